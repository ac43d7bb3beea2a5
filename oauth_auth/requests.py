"""OAuth 2 for `requests`: set `session.auth` to one of these, and never meet a token again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

try:
    import requests
except ImportError as error:  # pragma: no cover - tested in a process of its own
    raise ImportError('oauth_auth.requests needs requests: pip install "oauth_auth[requests]"') from error
import urllib3
from requests.auth import AuthBase

from . import errors
from ._flight import run
from ._plugins.auth import auth_classes
from ._plugins.replacing import replacing
from ._plugins.requests_like import Hook, RequestsExchange, RequestsHooks
from ._plugins.requests_transport import RequestsTokenTransport
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

PreparedRequest = requests.PreparedRequest
Response = requests.Response


class TokenTransportError(errors.TokenTransportError, requests.RequestException):
    """The token endpoint could not be reached; also what requests raises for errors of its own."""


class _TokenTransport(RequestsTokenTransport):
    __slots__ = ()

    _library: ClassVar[Any] = requests
    _urllib3: ClassVar[Any] = urllib3
    error_class: ClassVar[type[errors.TokenTransportError]] = TokenTransportError


class OAuthAuthorizationController(_controller.OAuthAuthorizationController):
    __doc__ = _controller.OAuthAuthorizationController.__doc__

    _transport_class = _TokenTransport


class RequestsAuth(RequestsHooks, AuthBase):
    """The base for requests: sets the header, and replays rejected requests in a response hook."""

    _library: ClassVar[Any] = requests
    _controller_class = OAuthAuthorizationController

    def _prepare(self) -> None:
        super()._prepare()
        self._places = {}
        self._latest = ("\0", 1, None)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the token to a request. Raises `TokenError`, and `InsecureTransportError` for plain http."""
        try:
            beginning, end, hook = self._latest
            # The class is checked each time: a request of niquests would pass otherwise.
            if request.__class__ is not PreparedRequest or request.url[:end] != beginning:  # type: ignore[index]
                hook = self._hook_for(request)
                if hook is None:
                    return request
        except AttributeError:
            raise self._wrong_library(request) from None
        current = self._source.current
        if current is None or time.time() >= current.refresh_at:
            current = run(self._obtain(request))
        if current is not None:
            request.headers["Authorization"] = current.text
            if current.proof is not None:
                request.headers["DPoP"] = self._proofs.header(current.proof, request.method, request.url)  # type: ignore[union-attr, arg-type]
        request.hooks["response"].append(hook)
        return request

    def _make_hook(self, origin: str) -> Hook:
        return Hook(self._on_response, origin, None)

    def _on_response(self, origin: str, led_to: str | None, response: Response, **kwargs: Any) -> Response:
        """Replay what was rejected."""
        begun = self._begin_exchange(RequestsExchange, origin, led_to, response, kwargs)
        if begun is None:
            return response
        header, exchange = begun
        run(replacing(self._parts, origin, header, exchange))
        answer: Response = exchange.response
        return answer


if TYPE_CHECKING:

    class AuthorizationCodeAuth(AuthorizationCode[requests.Session], RequestsAuth): ...

    class BearerAuth(Bearer, RequestsAuth): ...

    class ClientCredentialsAuth(ClientCredentials[requests.Session], RequestsAuth): ...

    class DeviceCodeAuth(DeviceCode[requests.Session], RequestsAuth): ...

    class JwtBearerAuth(JwtBearer[requests.Session], RequestsAuth): ...

    class PasswordAuth(Password[requests.Session], RequestsAuth): ...

    class RefreshTokenAuth(RefreshToken[requests.Session], RequestsAuth): ...

    class ResourceAuth(Resource[requests.Session], RequestsAuth): ...

    class TokenExchangeAuth(TokenExchange[requests.Session], RequestsAuth): ...

    class TokenProviderAuth(Provider, RequestsAuth): ...

else:
    __getattr__, __dir__ = auth_classes(__name__, RequestsAuth)
