"""The client at the authorization server: how it authenticates, and which form of Basic credentials the server takes.

The forms themselves are in `_wire.client_auth`; which one this server takes is detected here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .._record import Record, replace
from .._wire.client_auth import (
    ClientAuthentication,
    ClientAuthParameters,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
)
from ..errors import OAuthProviderError, OAuthProviderException, TokenError, TokenResponseError
from .calls import Steps
from .endpoints import Endpoints
from .server_state import is_nonce

__all__ = ["Client", "read_anew", "refuses_client"]

_T = TypeVar("_T")


class Client:
    """The client at the authorization server, and the form of its Basic credentials that this server takes.

    RFC 6749 section 2.3.1 requires id and secret to be form-encoded; of the servers tried for this library (2026) about
    half don't decode them. Where the two forms differ and the server refuses the client, the other one is tried once.
    The form that works is kept and never changed again, since some servers end a family of refresh tokens at one
    wrong client authentication.
    """

    def __init__(
        self,
        client_id: str,
        client_secret: str | None,
        method: ClientAuthentication | None,
        endpoints: Endpoints,
        *,
        always_named: bool = False,
    ) -> None:
        self.client_id = client_id
        self._always_named = always_named
        """Whether the id is among the fields, too, where a header has it: some servers read it there alone."""
        self._client_secret = client_secret
        self._endpoints = endpoints
        self._is_fixed = method is not None or client_secret is None or endpoints.issuer is None
        """Whether the method is known; else the server's metadata may ask for another one."""
        self._method: ClientAuthentication = method or (
            PublicClient() if client_secret is None else ClientSecretBasic()
        )
        self._detected: _Way | None = None
        self._calls = endpoints.calls
        self._method.authenticate(client_id, client_secret)  # raises ConfigurationError early

    @property
    def runs_code(self) -> bool:
        """Whether code of the user's is called for each attempt."""
        return bool(getattr(self._method, "runs_code", False))

    def _choose(self) -> Steps[None]:
        """Take the method that the server's metadata lists (RFC 8414 section 2)."""
        if not self._is_fixed:
            methods = (yield from self._endpoints.metadata()).get("token_endpoint_auth_methods_supported")
            if isinstance(methods, list) and "client_secret_basic" not in methods and "client_secret_post" in methods:
                self._method = ClientSecretPost()
            self._is_fixed = True

    def call(self, send: Callable[[ClientAuthParameters], Steps[_T]]) -> Steps[_T]:
        """Send a call that authenticates the client; if the server refuses one form of Basic, try the other.

        If it refuses a secret that came from a file, and there's another one in it by now, go on with that.
        """
        yield from self._choose()
        try:
            return (yield from self._send(send))
        except TokenError as error:
            if not refuses_client(error) or (next_secret := read_anew(self._client_secret)) is None:
                raise
        self._client_secret = next_secret
        return (yield from self._send(send))

    def _send(self, send: Callable[[ClientAuthParameters], Steps[_T]]) -> Steps[_T]:
        """Send a call in the way that this server takes; where that isn't known, one way after the other."""
        ways, refusal = self._ways(), None
        for way in ways:
            try:
                result = yield from self._send_by(way, send)
            except TokenError as error:
                if refuses_client(error) and len(ways) > 1:
                    refusal = refusal or error
                    continue
                is_taken = refusal is not None and error.status_code is not None and not error.retryable
                self._detected = way if is_taken else self._detected
                raise
            self._detected = way if len(ways) > 1 else self._detected
            return result
        assert refusal is not None  # noqa: S101 - there's a way
        raise refusal

    def _send_by(self, way: _Way, send: Callable[[ClientAuthParameters], Steps[_T]]) -> Steps[_T]:
        """Send a call in one way; if the server refuses an assertion by another clock than ours, once more by its own.

        What a refused assertion lacks is never said.
        """
        try:
            return (yield from send(self._parameters(way)))
        except TokenError as error:
            is_signed = hasattr(self._method, "authenticate_for")
            if not is_signed or not refuses_client(error) or not self._calls.server.sets_clock(for_proof=False):
                raise
        return (yield from send(self._parameters(way)))

    def _parameters(self, way: _Way) -> ClientAuthParameters:
        made = way.method.authenticate(self.client_id, self._client_secret)
        return made if not self._always_named else replace(made, fields={"client_id": self.client_id, **made.fields})

    def _ways(self) -> tuple[_Way, ...]:
        """Return the ways that the server may take, the first one first; the one that it does, once that's known."""
        return self._possible_ways() if self._detected is None else (self._detected,)

    def _possible_ways(self) -> tuple[_Way, ...]:
        method, secret = self._method, self._client_secret
        if isinstance(method, ClientSecretBasic) and secret is not None:
            other = method.other_form(self.client_id, secret)
            return tuple(_Way(one, {"basic_encode": one.encode}) for one in (method, other) if one is not None)
        if getattr(method, "audience", "") is None and self._endpoints.issuer is not None:
            return _Way(method, {"assertion_to_url": False}), _Way(_ToUrl(method), {"assertion_to_url": True})
        return (_Way(method, {}),)

    def dump_state(self) -> dict[str, Any]:
        """Return what was detected, as JSON."""
        nonce = self._calls.server.nonce
        return {**({} if self._detected is None else self._detected.learned), **({"nonce": nonce} if nonce else {})}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `dump_state` returned; unknown keys are ignored."""
        server, nonce = self._calls.server, state.get("nonce")
        if server.nonce is None and isinstance(nonce, str) and is_nonce(nonce):
            server.nonce = nonce
        ways = self._possible_ways()
        if self._detected is None and len(ways) > 1:
            self._detected = next((way for way in ways if _is_part_of(way.learned, state)), None)


class _Way(Record):
    """A way to authenticate the client, and what is remembered if the server takes it."""

    method: ClientAuthentication
    learned: Mapping[str, bool]


class _ToUrl(Record):
    """Authenticates by assertions for the URL that is called, though the issuer is known."""

    method: Any

    def authenticate(self, client_id: str, client_secret: str | None) -> ClientAuthParameters:
        parameters: ClientAuthParameters = self.method.authenticate_for(client_id, client_secret, to_url=True)
        return parameters


def _is_part_of(learned: Mapping[str, bool], state: Mapping[str, Any]) -> bool:
    return all(state.get(name) is value for name, value in learned.items())


def refuses_client(error: TokenError) -> bool:
    """Return whether the error means, or may mean, that client authentication failed.

    Measured: `invalid_client`, `unauthorized_client`, or 400, 401, 403 without a readable `error`.
    """
    if isinstance(error, OAuthProviderException):
        return error.error in {OAuthProviderError.INVALID_CLIENT, OAuthProviderError.UNAUTHORIZED_CLIENT}
    return isinstance(error, TokenResponseError) and error.status_code in {400, 401, 403}


def read_anew(secret: str | None) -> str | None:
    """Return the secret that is in this one's file by now; None if there's no other, or it came from no file."""
    read: Callable[[], str | None] | None = getattr(secret, "read_anew", None)  # as a `FileSecret` has
    return None if read is None else read()
