"""The client at the authorization server, and what it has learned of how that server takes its credentials."""

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
from .metadata import Endpoints

__all__ = ["Client", "refuses_client"]

_T = TypeVar("_T")


def refuses_client(error: TokenError) -> bool:
    """Tell whether the server says that it doesn't know the client, or answers so vaguely that it may mean that."""
    if isinstance(error, OAuthProviderException):
        return error.error in {OAuthProviderError.INVALID_CLIENT, OAuthProviderError.UNAUTHORIZED_CLIENT}
    return isinstance(error, TokenResponseError) and error.status_code in {400, 401, 403}


class Client:
    """The client at the authorization server, and the form of its Basic credentials that this server takes.

    RFC 6749 section 2.3.1 has id and secret form-encoded, and about half of the servers don't decode them. Where
    the two forms differ and the server refuses the client, the other one is tried once. The form that works is kept
    and never doubted again, since some servers end a family of refresh tokens at one wrong client authentication.
    """

    def __init__(
        self, client_id: str, client_secret: str | None, way: ClientAuthentication | None, endpoints: Endpoints
    ) -> None:
        self.client_id = client_id
        self._client_secret = client_secret
        self._endpoints = endpoints
        self._is_fixed = way is not None or client_secret is None or endpoints.issuer is None
        """Whether the way is known; else the server's metadata may ask for another one."""
        self._way: ClientAuthentication = way or (PublicClient() if client_secret is None else ClientSecretBasic())
        self._detected: ClientSecretBasic | None = None
        self._way.authenticate(client_id, client_secret)  # raises ConfigurationError early

    def _choose(self) -> None:
        """Take the way that the server's metadata lists (RFC 8414 section 2)."""
        if not self._is_fixed:
            methods = self._endpoints.metadata().get("token_endpoint_auth_methods_supported")
            if isinstance(methods, list) and "client_secret_basic" not in methods and "client_secret_post" in methods:
                self._way = ClientSecretPost()
            self._is_fixed = True

    def call(self, send: Callable[[ClientAuthParameters], _T]) -> _T:
        """Send a call that proves who the client is, in the other form too if the server refuses the first."""
        self._choose()
        way = self._detected or self._way
        other = None if self._detected else self._alternative()
        try:
            token = send(way.authenticate(self.client_id, self._client_secret))
        except TokenError as error:
            if other is None or not refuses_client(error):
                raise
            refusal = error
        else:
            if other is not None and isinstance(way, ClientSecretBasic):
                self._detected = way
            return token
        try:
            token = send(other.authenticate(self.client_id, self._client_secret))
        except TokenError as error:
            if refuses_client(error):
                raise refusal from None
            if error.status_code is not None and not error.retryable:
                self._detected = other
            raise
        self._detected = other
        return token

    def _alternative(self) -> ClientSecretBasic | None:
        if not isinstance(self._way, ClientSecretBasic) or self._client_secret is None or ":" in self.client_id:
            return None
        other = ClientSecretBasic(encode=not self._way.encode)
        same = other.authenticate(self.client_id, self._client_secret) == self._way.authenticate(
            self.client_id, self._client_secret
        )
        return None if same else other

    def memory(self) -> dict[str, Any]:
        return {} if self._detected is None else {"basic_encode": self._detected.encode}

    def recall(self, memory: Mapping[str, Any]) -> None:
        encode = memory.get("basic_encode")
        if isinstance(encode, bool) and self._detected is None and self._alternative() is not None:
            self._detected = ClientSecretBasic(encode=encode)
