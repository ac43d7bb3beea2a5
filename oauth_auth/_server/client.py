"""The client at the authorization server: how it authenticates, and which form of Basic credentials the server takes.

The forms themselves are in `_wire.client_auth`; which one this server takes is detected here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .._wire.client_auth import (
    ClientAuthentication,
    ClientAuthParameters,
    ClientSecretBasic,
    ClientSecretPost,
    PublicClient,
)
from ..errors import OAuthProviderError, OAuthProviderException, TokenError, TokenResponseError
from .calls import Steps
from .metadata import Endpoints
from .secret_file import read_anew

__all__ = ["Client", "refuses_client"]

_T = TypeVar("_T")


def refuses_client(error: TokenError) -> bool:
    """Return whether the error means, or may mean, that client authentication failed.

    Measured: `invalid_client`, `unauthorized_client`, or 400, 401, 403 without a readable `error`.
    """
    if isinstance(error, OAuthProviderException):
        return error.error in {OAuthProviderError.INVALID_CLIENT, OAuthProviderError.UNAUTHORIZED_CLIENT}
    return isinstance(error, TokenResponseError) and error.status_code in {400, 401, 403}


class Client:
    """The client at the authorization server, and the form of its Basic credentials that this server takes.

    RFC 6749 section 2.3.1 requires id and secret to be form-encoded; of the servers tried for this library (2026) about
    half don't decode them. Where the two forms differ and the server refuses the client, the other one is tried once.
    The form that works is kept and never changed again, since some servers end a family of refresh tokens at one
    wrong client authentication.
    """

    def __init__(
        self, client_id: str, client_secret: str | None, method: ClientAuthentication | None, endpoints: Endpoints
    ) -> None:
        self.client_id = client_id
        self._client_secret = client_secret
        self._endpoints = endpoints
        self._is_fixed = method is not None or client_secret is None or endpoints.issuer is None
        """Whether the method is known; else the server's metadata may ask for another one."""
        self._method: ClientAuthentication = method or (
            PublicClient() if client_secret is None else ClientSecretBasic()
        )
        self._detected: ClientSecretBasic | None = None
        self._method.authenticate(client_id, client_secret)  # raises ConfigurationError early

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
        method = self._detected or self._method
        alternative = None if self._detected else self._alternative()
        try:
            token = yield from send(method.authenticate(self.client_id, self._client_secret))
        except TokenError as error:
            if alternative is None or not refuses_client(error):
                raise
            refusal = error
        else:
            if alternative is not None and isinstance(method, ClientSecretBasic):
                self._detected = method
            return token
        try:
            token = yield from send(alternative.authenticate(self.client_id, self._client_secret))
        except TokenError as error:
            if refuses_client(error):
                raise refusal from None
            if error.status_code is not None and not error.retryable:
                self._detected = alternative
            raise
        self._detected = alternative
        return token

    def _alternative(self) -> ClientSecretBasic | None:
        """Return the other form of Basic credentials, if it differs for this id and secret."""
        if not isinstance(self._method, ClientSecretBasic) or self._client_secret is None:
            return None
        return self._method.other_form(self.client_id, self._client_secret)

    def dump_state(self) -> dict[str, Any]:
        """Return what was detected, as JSON."""
        return {} if self._detected is None else {"basic_encode": self._detected.encode}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `dump_state` returned; unknown keys are ignored."""
        encode = state.get("basic_encode")
        if isinstance(encode, bool) and self._detected is None and self._alternative() is not None:
            self._detected = ClientSecretBasic(encode=encode)
