"""OAuth 2 for `httpx2`: pass one of these as `auth=`, sync or async, and never meet a token again."""

from __future__ import annotations

from typing import Any, ClassVar

try:
    import httpx2
except ImportError as error:  # pragma: no cover - tested in a process of its own
    raise ImportError('oauth_auth.httpx2 needs httpx2: pip install "oauth_auth[httpx2]"') from error

from . import errors
from ._plugins.classes import AuthorizationCode, Bearer, ClientCredentials, DeviceCode, Password, Provider, RefreshToken
from ._plugins.httpx_like import FastPath, HttpxFlow
from ._plugins.httpx_transport import HttpxTokenTransport
from ._server import controller as _controller

__all__ = [
    "AuthorizationCodeAuth",
    "BearerAuth",
    "ClientCredentialsAuth",
    "DeviceCodeAuth",
    "OAuthAuthorizationController",
    "PasswordAuth",
    "RefreshTokenAuth",
    "TokenProviderAuth",
    "TokenTransportError",
]


class TokenTransportError(errors.TokenTransportError, httpx2.TransportError):
    """The token endpoint could not be reached; also what httpx2 raises for errors of its own."""


class _TokenTransport(HttpxTokenTransport):
    __slots__ = ()

    _library: ClassVar[Any] = httpx2
    error_class: ClassVar[type[errors.TokenTransportError]] = TokenTransportError


class OAuthAuthorizationController(_controller.OAuthAuthorizationController):
    __doc__ = _controller.OAuthAuthorizationController.__doc__

    _transport_class = _TokenTransport


class Httpx2Auth(HttpxFlow, httpx2.Auth):
    """The base for httpx2; one object serves `Client` and `AsyncClient`."""

    _library: ClassVar[Any] = httpx2
    _byte_stream = httpx2.ByteStream
    _fast_path = FastPath.for_library(httpx2)
    _controller_class = OAuthAuthorizationController


class ClientCredentialsAuth(ClientCredentials, Httpx2Auth):
    __doc__ = ClientCredentials.__doc__


class AuthorizationCodeAuth(AuthorizationCode, Httpx2Auth):
    __doc__ = AuthorizationCode.__doc__


class DeviceCodeAuth(DeviceCode, Httpx2Auth):
    __doc__ = DeviceCode.__doc__


class PasswordAuth(Password, Httpx2Auth):
    __doc__ = Password.__doc__


class RefreshTokenAuth(RefreshToken, Httpx2Auth):
    __doc__ = RefreshToken.__doc__


class TokenProviderAuth(Provider, Httpx2Auth):
    __doc__ = Provider.__doc__


class BearerAuth(Bearer, Httpx2Auth):
    __doc__ = Bearer.__doc__
