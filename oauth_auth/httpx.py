"""OAuth 2 for `httpx`: pass one of these as `auth=`, sync or async, and never meet a token again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

try:
    import httpx
except ImportError as error:  # pragma: no cover - tested in a process of its own
    raise ImportError('oauth_auth.httpx needs httpx: pip install "oauth_auth[httpx]"') from error

from . import errors
from ._plugins.auth import auth_classes
from ._plugins.httpx_flow import FastPath, HttpxFlow
from ._plugins.httpx_transport import HttpxTokenTransport
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

if TYPE_CHECKING:
    from ._plugins.authorization_code import AuthorizationCode
    from ._plugins.client_credentials import ClientCredentials
    from ._plugins.device import DeviceCode
    from ._plugins.given import Bearer, Provider
    from ._plugins.jwt_bearer import JwtBearer
    from ._plugins.password import Password
    from ._plugins.refresh_token import RefreshToken
    from ._plugins.resource_auth import Resource
    from ._plugins.token_exchange import TokenExchange


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


class HttpxResourceAuth(HttpxAuth):
    """The base of `ResourceAuth`, whose token goes to some paths of an origin alone."""

    _fast_path = FastPath.for_library(httpx).by_path()


if TYPE_CHECKING:

    class AuthorizationCodeAuth(AuthorizationCode[httpx.Client], HttpxAuth): ...

    class BearerAuth(Bearer, HttpxAuth): ...

    class ClientCredentialsAuth(ClientCredentials[httpx.Client], HttpxAuth): ...

    class DeviceCodeAuth(DeviceCode[httpx.Client], HttpxAuth): ...

    class JwtBearerAuth(JwtBearer[httpx.Client], HttpxAuth): ...

    class PasswordAuth(Password[httpx.Client], HttpxAuth): ...

    class RefreshTokenAuth(RefreshToken[httpx.Client], HttpxAuth): ...

    class ResourceAuth(Resource[httpx.Client], HttpxResourceAuth): ...

    class TokenExchangeAuth(TokenExchange[httpx.Client], HttpxAuth): ...

    class TokenProviderAuth(Provider, HttpxAuth): ...

else:
    __getattr__, __dir__ = auth_classes(__name__, HttpxAuth, of_resource=HttpxResourceAuth)
