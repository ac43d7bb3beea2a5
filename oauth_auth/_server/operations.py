"""The five token operations (RFC 6749 sections 4.1.3, 4.3.2, 4.4.2 and 6), and which errors are retried.

`OAuthAuthorizationController` lacks only the HTTP library; each plug-in module exports a subclass that has one.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar

from .. import _events
from .._events import emit
from .._wire.checks import require_flag, require_seconds, require_text
from .._wire.messages import join_scope
from .._wire.token import OAuthToken
from .._wire.token_request import FieldParameters, build_call
from .._wire.urls import check_endpoint, without_query
from ..errors import ConfigurationError, OAuthError, OAuthProviderException, TokenError
from .calls import EndpointCalls, Steps, TokenTransport
from .endpoints import Endpoints

if TYPE_CHECKING:
    from .._keys.certificate import ClientCertificate

__all__ = ["OAuthAuthorizationController", "Server"]


class Server(StrEnum):
    """The two servers of the system: client credentials go to `AUTH`, all else to `DEFAULT`."""

    DEFAULT = "default"
    AUTH = "auth"


_P = ParamSpec("_P")
_R = TypeVar("_R")

_STEPS: dict[Any, Callable[..., Steps[Any]]] = {}
"""The steps of each operation, by the function that users call."""


def _operation(
    steps: Callable[Concatenate[OAuthAuthorizationController, _P], Steps[_R]],
) -> Callable[Concatenate[OAuthAuthorizationController, _P], _R]:
    """Return an operation that runs its steps and blocks.

    It raises and tells its events from a frame that holds no secret, since tracebacks, and some log handlers, show the
    local variables of the frames.
    """

    @functools.wraps(steps)
    def operation(self: OAuthAuthorizationController, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        failure = None
        with _events.holding():
            try:
                result = self.calls.run(steps(self, *args, **kwargs))
            except OAuthError as error:
                failure = error.without_traceback()
            finally:
                del args, kwargs
        if failure is not None:
            raise failure
        return result

    steps.__annotations__["return"] = "OAuthToken"  # what `help()` shows
    _STEPS[operation] = steps
    return operation


class OAuthAuthorizationController:
    """The token endpoint's operations, each one a POST that returns an `OAuthToken`. Safe to share between threads.

    `token_urls` is one URL for both servers, or a mapping of `Server.DEFAULT` and `Server.AUTH` to theirs.
    `token_client` sends the calls (a sync client of the plug-in's library; it stays the caller's to close).
    `token_timeout` bounds a whole call with its retries, in seconds; one attempt takes at most half of it, but for
    codes and refresh tokens, where a late answer is waited for as long as there's time.

    Each operation raises `OAuthProviderException` if the server answers with an error, `TokenResponseError` if
    with something else, `TokenTransportError` if not at all, and `ConfigurationError` for values that can't be sent.
    Connection errors and the statuses 429 and 5xx are retried, up to three attempts in all, after the pause that
    `Retry-After` asks for. `authorization` is the header's value, see `basic_authorization`; None sends no header.
    `_field_parameters` are additional form fields and have the last word: a sequence repeats its field, None drops it.
    """

    _transport_class: ClassVar[type[TokenTransport]]

    calls: EndpointCalls

    def __init__(
        self,
        token_urls: str | Mapping[Server, str],
        *,
        token_client: Any = None,
        token_timeout: float = 10.0,
        allow_insecure_transport: bool = False,
    ) -> None:
        timeout = require_seconds("token_timeout", token_timeout, 10.0, is_positive=True)
        insecure = require_flag("allow_insecure_transport", allow_insecure_transport)
        self._token_urls = _read_urls(token_urls, allow_insecure=insecure)
        self._endpoints: Endpoints | None = None
        self.calls = EndpointCalls(self._transport_class(token_client), timeout)

    @classmethod
    def _from_endpoints(cls, endpoints: Endpoints) -> Self:
        """Return a controller that takes the token URL from these endpoints, which may have to look it up."""
        controller = cls.__new__(cls)
        controller.__dict__.update(_token_urls={}, _endpoints=endpoints, calls=endpoints.calls)
        return controller

    @classmethod
    def _make_transport(cls, token_client: Any, certificate: ClientCertificate | None) -> TokenTransport:
        """Return what sends the calls. Raises `ConfigurationError` for a client of another library."""
        return cls._transport_class(token_client, certificate)

    def _steps(self, operation: str, *args: Any) -> Steps[OAuthToken]:
        """Return the operation of this name as steps; one that a subclass has overridden is called as it is."""
        steps = _STEPS.get(getattr(type(self), operation))
        if steps is None or operation in vars(self):
            overridden: OAuthToken = getattr(self, operation)(*args)
            return overridden
        token: OAuthToken = yield from steps(self, *args)
        return token

    @_operation
    def request_token_o_auth_ccg(
        self, authorization: str | None, scope: str | None = None, _field_parameters: FieldParameters | None = None
    ) -> Steps[OAuthToken]:
        """Create a token by the client credentials grant (RFC 6749 section 4.4.2), at `Server.AUTH`."""
        fields = {"grant_type": "client_credentials", "scope": join_scope(scope)}
        return (yield from self._call(Server.AUTH, authorization, fields, _field_parameters))

    @_operation
    def request_token_o_auth_acg(
        self,
        authorization: str | None,
        code: str,
        redirect_uri: str,
        _field_parameters: FieldParameters | None = None,
    ) -> Steps[OAuthToken]:
        """Create a token from an authorization code (RFC 6749 section 4.1.3), at `Server.DEFAULT`.

        After any answer the code is not sent again.
        """
        fields = {
            "grant_type": "authorization_code",
            "code": require_text("code", code),
            "redirect_uri": require_text("redirect_uri", redirect_uri),
        }
        return (
            yield from self._call(
                Server.DEFAULT, authorization, fields, _field_parameters, repeatable=_unless_answered, single_use=True
            )
        )

    @_operation
    def refresh_token_o_auth_acg(
        self,
        authorization: str | None,
        refresh_token: str,
        scope: str | None = None,
        _field_parameters: FieldParameters | None = None,
    ) -> Steps[OAuthToken]:
        """Renew a token of the authorization code grant (RFC 6749 section 6), at `Server.DEFAULT`."""
        return (yield from self._refresh(authorization, refresh_token, scope, _field_parameters))

    @_operation
    def request_token_o_auth_ropcg(
        self,
        authorization: str | None,
        username: str,
        password: str,
        scope: str | None = None,
        _field_parameters: FieldParameters | None = None,
    ) -> Steps[OAuthToken]:
        """Create a token by the password grant (RFC 6749 section 4.3.2), at `Server.DEFAULT`."""
        fields = {
            "grant_type": "password",
            "username": require_text("username", username),
            "password": require_text("password", password),
            "scope": join_scope(scope),
        }
        return (yield from self._call(Server.DEFAULT, authorization, fields, _field_parameters))

    @_operation
    def refresh_token_o_auth_ropcg(
        self,
        authorization: str | None,
        refresh_token: str,
        scope: str | None = None,
        _field_parameters: FieldParameters | None = None,
    ) -> Steps[OAuthToken]:
        """Renew a token of the password grant (RFC 6749 section 6), at `Server.DEFAULT`."""
        return (yield from self._refresh(authorization, refresh_token, scope, _field_parameters))

    def _refresh(
        self,
        authorization: str | None,
        refresh_token: str,
        scope: str | None,
        field_parameters: FieldParameters | None,
    ) -> Steps[OAuthToken]:
        fields = {
            "grant_type": "refresh_token",
            "refresh_token": require_text("refresh_token", refresh_token),
            "scope": join_scope(scope),
        }
        return (
            yield from self._call(
                Server.DEFAULT, authorization, fields, field_parameters, repeatable=_unless_rotated, single_use=True
            )
        )

    def _token_url(self, server: Server) -> Steps[str]:
        if self._endpoints is None:
            return self._token_urls[server]
        return (yield from self._endpoints.require("token_url"))

    def _call(
        self,
        server: Server,
        authorization: str | None,
        fields: Mapping[str, str | None],
        field_parameters: FieldParameters | None,
        *,
        repeatable: Callable[[TokenError], bool] = lambda error: error.retryable,
        single_use: bool = False,
    ) -> Steps[OAuthToken]:
        """Make a token call, see `EndpointCalls.token_call`, and emit how it went."""
        if field_parameters is not None and not isinstance(field_parameters, Mapping):
            raise ConfigurationError("field parameters must be a mapping of field names to values")
        token_url = yield from self._token_url(server)
        call = build_call(token_url, authorization, {**fields, **(field_parameters or {})})
        begun, result = time.monotonic(), "ok"
        attempts = self.calls.token_call(call, repeatable=repeatable, single_use=single_use)
        try:
            token = yield from attempts.make()
        except GeneratorExit:  # a simulated program has died
            raise
        except BaseException as error:
            result = str(error.error if isinstance(error, OAuthProviderException) else type(error).__name__)
            _emit_call(token_url, fields["grant_type"], result, attempts.statuses, time.monotonic() - begun)
            raise
        _emit_call(token_url, fields["grant_type"], result, attempts.statuses, time.monotonic() - begun)
        if token.token_type.lower() != "bearer" and not token.is_bound:
            _emit_unknown_type(token.token_type)
        return token


def _emit_call(
    token_url: str, grant_type: str | None, result: str, statuses: list[int | None], duration: float
) -> None:
    emit(
        logging.DEBUG,
        "token_call",
        "token call to %(token_url)s (%(grant_type)s): %(result)s in %(duration).3f s, %(attempts)s attempts",
        token_url=without_query(token_url),
        grant_type=grant_type,
        result=result,
        status=statuses[-1] if statuses else None,
        attempts=len(statuses),
        duration=duration,
    )


unknown_types: set[str] = set()
"""Token types that were logged: each is logged once in a program, and no more than a hundred."""


def _emit_unknown_type(token_type: str) -> None:
    if token_type not in unknown_types and len(unknown_types) < 100:
        unknown_types.add(token_type)
        text = "unknown token_type %(token_type)r: the token is sent as Bearer"
        emit(logging.WARNING, "unknown_token_type", text, token_type=token_type[:50])


def _read_urls(token_urls: str | Mapping[Server, str], *, allow_insecure: bool) -> dict[Server, str]:
    if isinstance(token_urls, Mapping):
        missing = [f"Server.{server.name}" for server in Server if server not in token_urls]
        if missing:
            raise ConfigurationError(f"token_urls has no URL for {' and '.join(missing)}: give both, or one text")
        urls = {server: token_urls[server] for server in Server}
    else:
        urls = dict.fromkeys(Server, token_urls)
    return {server: check_endpoint("token_url", url, allow_insecure=allow_insecure) for server, url in urls.items()}


def _unless_answered(error: TokenError) -> bool:
    """Return whether a code may be sent again: not after any answer, since some servers then end its tokens."""
    return error.retryable and error.status_code is None


def _unless_rotated(error: TokenError) -> bool:
    """Return whether a refresh token may be sent again: not after a 2xx, even cut short: it may be rotated."""
    return error.retryable and (error.status_code is None or error.status_code == 429 or error.status_code >= 500)
