"""OAuth 2 for `httpx2`: pass one of these as `auth=`, sync or async, and never meet a token again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

try:
    import httpx2
except ImportError as error:  # pragma: no cover - tested in a process of its own
    raise ImportError('oauth_auth.httpx2 needs httpx2: pip install "oauth_auth[httpx2]"') from error

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


class Httpx2ResourceAuth(Httpx2Auth):
    """The base of `ResourceAuth`, whose token goes to some paths of an origin alone."""

    _fast_path = FastPath.for_library(httpx2).by_path()


if TYPE_CHECKING:

    class AuthorizationCodeAuth(AuthorizationCode[httpx2.Client], Httpx2Auth): ...

    class BearerAuth(Bearer, Httpx2Auth): ...

    class ClientCredentialsAuth(ClientCredentials[httpx2.Client], Httpx2Auth): ...

    class DeviceCodeAuth(DeviceCode[httpx2.Client], Httpx2Auth): ...

    class JwtBearerAuth(JwtBearer[httpx2.Client], Httpx2Auth): ...

    class PasswordAuth(Password[httpx2.Client], Httpx2Auth): ...

    class RefreshTokenAuth(RefreshToken[httpx2.Client], Httpx2Auth): ...

    class ResourceAuth(Resource[httpx2.Client], Httpx2ResourceAuth): ...

    class TokenExchangeAuth(TokenExchange[httpx2.Client], Httpx2Auth): ...

    class TokenProviderAuth(Provider, Httpx2Auth): ...

else:
    __getattr__, __dir__ = auth_classes(__name__, Httpx2Auth, of_resource=Httpx2ResourceAuth)
