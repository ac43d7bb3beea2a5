"""OAuth 2 for `httpx`: pass one of these as `auth=`, sync or async, and never meet a token again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

try:
    import httpx
except ImportError as error:  # pragma: no cover - tested in a process of its own
    raise ImportError('oauth_auth.httpx needs httpx: pip install "oauth_auth[httpx]"') from error

from . import errors
from ._lazy import point_elsewhere
from ._plugins.authorization_code_class import AuthorizationCode
from ._plugins.device_class import DeviceCode
from ._plugins.httpx_flow import FastPath, HttpxFlow
from ._plugins.httpx_transport import HttpxTokenTransport
from ._plugins.jwt_bearer_class import JwtBearer
from ._plugins.resource_class import Resource
from ._plugins.service_classes import Bearer, ClientCredentials, Provider
from ._plugins.token_exchange_class import TokenExchange
from ._plugins.user_classes import Password, RefreshToken
from ._server import operations as _controller

__all__ = [
    "AuthorizationCodeAuth",
    "BearerAuth",
    "ClientCredentialsAuth",
    "DeviceCodeAuth",
    "JwtBearerAuth",
    "OAuthAuthorizationController",
    "PasswordAuth",
    "RefreshTokenAuth",
    "ResourceAuth",
    "TokenExchangeAuth",
    "TokenProviderAuth",
    "TokenTransportError",
]

if not TYPE_CHECKING:
    __getattr__ = point_elsewhere(__name__)


class TokenTransportError(errors.TokenTransportError, httpx.TransportError):
    """The token endpoint could not be reached; also what httpx raises for errors of its own."""


class _TokenTransport(HttpxTokenTransport):
    __slots__ = ()

    _library: ClassVar[Any] = httpx
    error_class: ClassVar[type[errors.TokenTransportError]] = TokenTransportError


class OAuthAuthorizationController(_controller.OAuthAuthorizationController):
    __doc__ = _controller.OAuthAuthorizationController.__doc__

    _transport_class = _TokenTransport


class HttpxAuth(HttpxFlow, httpx.Auth):
    """The base for httpx; one object serves `Client` and `AsyncClient`."""

    _library: ClassVar[Any] = httpx
    _byte_stream = httpx.ByteStream
    _fast_path = FastPath.for_library(httpx)
    _controller_class = OAuthAuthorizationController


class ClientCredentialsAuth(ClientCredentials[httpx.Client], HttpxAuth):
    __doc__ = ClientCredentials.__doc__


class AuthorizationCodeAuth(AuthorizationCode[httpx.Client], HttpxAuth):
    __doc__ = AuthorizationCode.__doc__


class DeviceCodeAuth(DeviceCode[httpx.Client], HttpxAuth):
    __doc__ = DeviceCode.__doc__


class PasswordAuth(Password[httpx.Client], HttpxAuth):
    __doc__ = Password.__doc__


class RefreshTokenAuth(RefreshToken[httpx.Client], HttpxAuth):
    __doc__ = RefreshToken.__doc__


class ResourceAuth(Resource[httpx.Client], HttpxAuth):
    __doc__ = Resource.__doc__

    _fast_path = FastPath.for_library(httpx).by_path()


class TokenExchangeAuth(TokenExchange[httpx.Client], HttpxAuth):
    __doc__ = TokenExchange.__doc__


class JwtBearerAuth(JwtBearer[httpx.Client], HttpxAuth):
    __doc__ = JwtBearer.__doc__


class TokenProviderAuth(Provider[httpx.Client], HttpxAuth):
    __doc__ = Provider.__doc__


class BearerAuth(Bearer[httpx.Client], HttpxAuth):
    __doc__ = Bearer.__doc__
