"""The API: which requests it takes, and how it refuses the others (RFC 6750, RFC 9449 section 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ._issued import in_seconds
from ._jwts import ASYMMETRIC
from ._login import suffices
from ._proofs import ProofError, Proofs

if TYPE_CHECKING:
    from ._authorization import AuthorizationServer
    from ._issued import AccessToken
    from ._provider import LocalProvider
    from ._received import ReceivedRequest

__all__ = ["Api"]

_REALM = "LocalProvider"
_TOO_LITTLE = "insufficient_scope"
_SCHEMES = {"bearer": "Bearer", "dpop": "DPoP"}


class Api:
    """Takes requests with a token of the authorization server's that's good for them. Thread-safe."""

    def __init__(self, provider: LocalProvider, server: AuthorizationServer) -> None:
        self._provider = provider
        self._server = server
        self.proofs = Proofs(provider, server.unix_time, server.proofs_seen)

    def refusal(
        self, request: ReceivedRequest, url: str, certificate: str | None
    ) -> tuple[int, dict[str, str], list[tuple[str, str]]] | None:
        """Return the refusal of a request of this URL, or None if its access token is good for it.

        `certificate` is the thumbprint of the one that the client has shown, if it's good. A refusal is a status, JSON
        fields and header fields, the challenge of RFC 6750 section 3 among them.
        """
        scheme, text = _credentials(request)
        if not text:
            # A request without a token is answered without an error code (RFC 6750 section 3.1).
            return 401, {}, [("WWW-Authenticate", self.challenge(request, scheme))]
        try:
            self._check(request, url, certificate, scheme, text)
        except _RefusedError as refused:
            fields = {"error": refused.error, "error_description": refused.description}
            challenge = self.challenge(request, refused.scheme, **fields, **self._demands(refused.error))
            return 403 if refused.error == _TOO_LITTLE else 401, fields, [("WWW-Authenticate", challenge)]
        return None

    def challenge(self, request: ReceivedRequest, scheme: str | None = None, **fields: str) -> str:
        """Return the challenge of a refusal, which names the API's metadata (RFC 9728 section 5.1)."""
        scheme = scheme or ("DPoP" if self._provider.require_dpop else "Bearer")
        fields = {"realm": _REALM, "resource_metadata": self._provider.resource_metadata_url, **fields}
        if self._provider.scope_in_challenges and (scopes := self._required_scopes(request)):
            fields["scope"] = " ".join(scopes)
        if scheme == "DPoP":
            fields["algs"] = " ".join(ASYMMETRIC)
        return f"{scheme} " + ", ".join(f'{name}="{value}"' for name, value in fields.items())

    def invalid_token(self, request: ReceivedRequest) -> str:
        """Return the challenge for a request whose token is rejected, whatever it is."""
        return self.challenge(request, _credentials(request)[0], error="invalid_token")

    def _required_scopes(self, request: ReceivedRequest) -> list[str]:
        """Return the scopes of the request's path and of all above it, each once."""
        path = unquote(request.path).removeprefix("/api") + "/"
        required = self._provider.required_scopes.items()
        scopes = [scope for above, scope in required if path.startswith(above.rstrip("/") + "/")]
        return [*dict.fromkeys(" ".join(scopes).split())]

    def _demands(self, error: str) -> dict[str, str]:
        """Return what the challenge of an insufficient login says of a sufficient one (RFC 9470 section 3)."""
        if error != "insufficient_user_authentication":
            return {}
        acr, max_age = self._provider.required_acr, self._provider.required_max_age
        demands = {"acr_values": acr, "max_age": None if max_age is None else f"{in_seconds(max_age)}"}
        return {name: value for name, value in demands.items() if value is not None}

    def _check(
        self, request: ReceivedRequest, url: str, certificate: str | None, scheme: str | None, text: str
    ) -> None:
        """Raise `_RefusedError` for a request that isn't to be answered."""
        token = self._server.access_tokens.get(text)
        if token is None or token.is_expired() or token.is_revoked():
            raise _RefusedError(scheme, "invalid_token", "The token is unknown, has expired, or was revoked.")
        if scheme == "DPoP":
            self._check_proof(request, url, token, text)
        elif token.binding.jkt is not None:
            raise _RefusedError("DPoP", "invalid_token", "The token is bound to a key: send it with a proof.")
        elif self._provider.require_dpop:
            raise _RefusedError("DPoP", "invalid_token", "The token must be bound to a key.")
        if self._provider.require_resource and self._provider.api_url not in token.terms.audience:
            raise _RefusedError(scheme, "invalid_token", "The token is for another resource, or for none.")
        if token.binding.x5t not in {None, certificate}:
            raise _RefusedError(scheme, "invalid_token", "The token is bound to another certificate.")
        if not suffices(token.family.login, self._provider, self._server.unix_time()):
            raise _RefusedError(scheme, "insufficient_user_authentication", "The user must log in otherwise, or again.")
        if not {*self._required_scopes(request)} <= {*token.scope.split()}:
            raise _RefusedError(scheme, _TOO_LITTLE, "The token's scope isn't enough.")

    def _check_proof(self, request: ReceivedRequest, url: str, token: AccessToken, text: str) -> None:
        try:
            thumbprint = self.proofs.check(request.headers.get("DPoP", ""), request.method, url, token=text)
        except ProofError as error:
            raise _RefusedError("DPoP", error.error, error.description) from None
        if thumbprint != token.binding.jkt:
            raise _RefusedError("DPoP", "invalid_token", "The token is bound to another key, or to none.")


class _RefusedError(Exception):
    def __init__(self, scheme: str | None, error: str, description: Any) -> None:
        super().__init__(error)
        self.scheme = scheme
        self.error = error
        self.description = str(description)


def _credentials(request: ReceivedRequest) -> tuple[str | None, str]:
    """Return scheme and token, if the request has any that are known here."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    known = _SCHEMES.get(scheme.lower())
    return known, text.strip() if known else ""
