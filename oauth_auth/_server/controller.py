"""The five token operations (RFC 6749 sections 4.1.3, 4.3.2, 4.4.2 and 6), and the retries of a token call.

`OAuthAuthorizationController` is complete but for the HTTP library; each plug-in module exports one that has it.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from .._events import emit
from .._wire.messages import (
    FieldParameters,
    build_token_request,
    join_scope,
    read_token_response,
)
from .._wire.token import OAuthToken
from .._wire.urls import check_endpoint, without_query
from ..errors import ConfigurationError, OAuthError, OAuthProviderException, TokenError
from .calls import EndpointCalls, TokenTransport

__all__ = ["OAuthAuthorizationController", "Server"]


class Server(StrEnum):
    """The two servers of the system: client credentials go to `AUTH`, all else to `DEFAULT`."""

    DEFAULT = "default"
    AUTH = "auth"


_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S")


def _hides_locals(
    operation: Callable[Concatenate[_S, _P], _R],
) -> Callable[Concatenate[_S, _P], _R]:
    """Raise the operation's errors from a frame that holds no secret: tracebacks show their frames' locals."""

    @functools.wraps(operation)
    def wrapper(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return operation(self, *args, **kwargs)
        except OAuthError as error:
            failure = error.without_traceback()
        del args, kwargs
        raise failure

    return wrapper


class OAuthAuthorizationController:
    """The token endpoint's operations, each one a POST that returns an `OAuthToken`. Safe to share between threads.

    `token_urls` is one URL for both servers, a mapping of `Server.DEFAULT` and `Server.AUTH` to theirs, or a function
    that finds out the URL for each call.
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

    def __init__(
        self,
        token_urls: str | Mapping[Server, str] | Callable[[], str],
        *,
        token_client: Any = None,
        token_timeout: float = 10.0,
        allow_insecure_transport: bool = False,
    ) -> None:
        self._token_urls = (
            token_urls if callable(token_urls) else _read_urls(token_urls, allow_insecure=allow_insecure_transport)
        )
        if isinstance(token_timeout, bool) or not isinstance(token_timeout, int | float) or not 0 < token_timeout < 1e6:
            raise ConfigurationError("token_timeout must be a positive number of seconds, such as 10.0")
        if not isinstance(allow_insecure_transport, bool):
            raise ConfigurationError("allow_insecure_transport must be True or False")
        self.calls = EndpointCalls(self._transport_class(token_client), float(token_timeout))

    @_hides_locals
    def request_token_o_auth_ccg(
        self, authorization: str | None, scope: str | None = None, _field_parameters: FieldParameters | None = None
    ) -> OAuthToken:
        """Create a token by the client credentials grant (RFC 6749 section 4.4.2), at `Server.AUTH`."""
        fields = {"grant_type": "client_credentials", "scope": join_scope(scope)}
        return self._call(Server.AUTH, authorization, fields, _field_parameters)

    @_hides_locals
    def request_token_o_auth_acg(
        self,
        authorization: str | None,
        code: str,
        redirect_uri: str,
        _field_parameters: FieldParameters | None = None,
    ) -> OAuthToken:
        """Create a token from an authorization code (RFC 6749 section 4.1.3), at `Server.DEFAULT`.

        After any answer the code is not sent again.
        """
        fields = {
            "grant_type": "authorization_code",
            "code": _required("code", code),
            "redirect_uri": _required("redirect_uri", redirect_uri),
        }
        return self._call(
            Server.DEFAULT, authorization, fields, _field_parameters, repeatable=_unless_answered, single_use=True
        )

    @_hides_locals
    def refresh_token_o_auth_acg(
        self,
        authorization: str | None,
        refresh_token: str,
        scope: str | None = None,
        _field_parameters: FieldParameters | None = None,
    ) -> OAuthToken:
        """Renew a token of the authorization code grant (RFC 6749 section 6), at `Server.DEFAULT`."""
        return self._refresh(authorization, refresh_token, scope, _field_parameters)

    @_hides_locals
    def request_token_o_auth_ropcg(
        self,
        authorization: str | None,
        username: str,
        password: str,
        scope: str | None = None,
        _field_parameters: FieldParameters | None = None,
    ) -> OAuthToken:
        """Create a token by the password grant (RFC 6749 section 4.3.2), at `Server.DEFAULT`."""
        fields = {
            "grant_type": "password",
            "username": _required("username", username),
            "password": _required("password", password),
            "scope": join_scope(scope),
        }
        return self._call(Server.DEFAULT, authorization, fields, _field_parameters)

    @_hides_locals
    def refresh_token_o_auth_ropcg(
        self,
        authorization: str | None,
        refresh_token: str,
        scope: str | None = None,
        _field_parameters: FieldParameters | None = None,
    ) -> OAuthToken:
        """Renew a token of the password grant (RFC 6749 section 6), at `Server.DEFAULT`."""
        return self._refresh(authorization, refresh_token, scope, _field_parameters)

    def _refresh(
        self,
        authorization: str | None,
        refresh_token: str,
        scope: str | None,
        field_parameters: FieldParameters | None,
    ) -> OAuthToken:
        fields = {
            "grant_type": "refresh_token",
            "refresh_token": _required("refresh_token", refresh_token),
            "scope": join_scope(scope),
        }
        return self._call(
            Server.DEFAULT, authorization, fields, field_parameters, repeatable=_unless_spent, single_use=True
        )

    def _token_url(self, server: Server) -> str:
        return self._token_urls() if callable(self._token_urls) else self._token_urls[server]

    def _call(
        self,
        server: Server,
        authorization: str | None,
        fields: Mapping[str, str | None],
        field_parameters: FieldParameters | None,
        *,
        repeatable: Callable[[TokenError], bool] = lambda error: error.retryable,
        single_use: bool = False,
    ) -> OAuthToken:
        """Make a token call, see `EndpointCalls.call`, and tell how it went."""
        if field_parameters is not None and not isinstance(field_parameters, Mapping):
            raise ConfigurationError("field parameters must be a mapping of field names to values")
        request = build_token_request(self._token_url(server), authorization, {**fields, **(field_parameters or {})})
        begun, result = time.monotonic(), "ok"
        statuses: list[int | None] = []
        try:
            return self.calls.call(
                request, read_token_response, repeatable=repeatable, single_use=single_use, statuses=statuses
            )
        except BaseException as error:
            result = str(error.error if isinstance(error, OAuthProviderException) else type(error).__name__)
            raise
        finally:
            emit(
                logging.DEBUG,
                "token_call",
                "token call to %(token_url)s (%(grant_type)s): %(result)s in %(duration).3f s, %(attempts)s attempts",
                token_url=without_query(request.url),
                grant_type=fields["grant_type"],
                result=result,
                status=statuses[-1] if statuses else None,
                attempts=len(statuses),
                duration=time.monotonic() - begun,
            )


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
    """A code is never sent twice after any answer: some servers then end the tokens that it brought."""
    return error.retryable and error.status_code is None


def _unless_spent(error: TokenError) -> bool:
    """A refresh token isn't sent again where the server may have rotated it, which a 2xx says even if cut short."""
    return error.retryable and (error.status_code is None or error.status_code == 429 or error.status_code >= 500)


def _required(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{name} must be text that isn't empty, not {type(value).__name__}")
    return value
