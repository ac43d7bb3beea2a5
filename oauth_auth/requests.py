"""OAuth 2 for `requests`: set `session.auth` to one of these, and never meet a token again."""

from __future__ import annotations

import datetime as dt
import functools
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urljoin

try:
    import requests
except ImportError as error:  # pragma: no cover - held by a test that runs apart
    raise ImportError('oauth_auth.requests needs requests: pip install "oauth_auth[requests]"') from error
import urllib3
from requests.auth import AuthBase
from requests.cookies import extract_cookies_to_jar, get_cookie_header

from . import controller, errors
from ._auth import TokenAuth
from ._auth_classes import AuthorizationCode, Bearer, ClientCredentials, DeviceCode, Password, Provider, RefreshToken
from ._grants import Grant
from ._options import Settings
from ._policy import Exchange, is_rejection, tells_acceptance
from ._replay import is_fixed, rewind
from ._shelf import Shelf
from ._token import Header, OAuthToken
from ._urls import MOST_ORIGINS, check_transport, origin_of, without_query
from ._wire import MAX_BODY, TokenRequest, TokenResponse
from .errors import ConfigurationError, OAuthError

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

PreparedRequest = requests.PreparedRequest
Response = requests.Response


class TokenTransportError(errors.TokenTransportError, requests.RequestException):
    """The token endpoint could not be reached; also what requests raises for trouble of its own."""


class _TokenTransport:
    """Sends token calls with the user's session, or with one of its own for each call.

    Token calls are rare, so no connection is kept between them: there's nothing to go stale, to share with a forked
    child or to forget to close.
    """

    __slots__ = ("_session",)

    def __init__(self, token_client: Any) -> None:
        if token_client is not None and not isinstance(token_client, requests.Session):
            raise ConfigurationError(f"token_client must be a requests.Session, not {type(token_client)}")
        self._session: requests.Session | None = token_client

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        """Send once. Raises `TokenTransportError`."""
        timeouts = (connect_timeout, timeout)
        if self._session is not None:
            return self._send(self._session, request, timeouts)
        with requests.Session() as session:
            session.headers["Connection"] = "close"
            return self._send(session, request, timeouts)

    def time_out(self, request: TokenRequest, timeout: float) -> TokenTransportError:
        """Return the error for an answer that wasn't there after so many seconds."""
        return _transport_error(requests.ReadTimeout(f"no answer in {timeout:.3g} s"), request, None)

    def _send(self, session: requests.Session, request: TokenRequest, timeouts: tuple[float, float]) -> TokenResponse:
        deadline = time.monotonic() + timeouts[1]
        response = None
        try:
            try:
                response = session.request(
                    request.method,
                    request.url,
                    data=request.body.decode("ascii"),  # as requests' own forms are, which mocks look into
                    headers={"Authorization": None, **request.headers},
                    auth=_leave_alone,
                    allow_redirects=False,
                    stream=True,
                    timeout=timeouts,
                )
            except requests.HTTPError as error:  # a hook of the user's that raises for a status: it's an answer
                if error.response is None:
                    raise
                response = error.response
            body = _read(response, deadline)
            return _answer(response, body)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # OSError is a CA bundle that isn't there, ValueError a proxy that is no URL.
            if response is not None and 400 <= response.status_code < 500:
                return _answer(response, b"")  # the status says enough
            failure = _transport_error(error, request, None if response is None else response.status_code)
        raise failure


_QUERY = r"\?[^\s'\")]*"

_TROUBLE = (requests.RequestException, urllib3.exceptions.HTTPError)
"""Errors that may pass; others are of the environment."""


def _leave_alone(request: PreparedRequest) -> PreparedRequest:
    """Be the auth of a token call: without any, requests puts what .netrc has in place of the client's credentials."""
    return request


def _answer(response: Response, body: bytes) -> TokenResponse:
    return TokenResponse(response.status_code, {name.lower(): text for name, text in response.headers.items()}, body)


def _read(response: Response, deadline: float) -> bytes:
    """Read the body as it arrives, to its end or to one byte more than is allowed."""
    if getattr(response, "_content_consumed", True) or not isinstance(response.raw, urllib3.response.BaseHTTPResponse):
        # A hook has read it, or it comes from an adapter of the user's, such as a mock.
        return (response.content or b"")[: MAX_BODY + 1]
    body = bytearray()
    late = False
    with response:
        while len(body) <= MAX_BODY and (chunk := response.raw.read1(65536, decode_content=True)):
            body += chunk
            if late:  # nobody waits any more; but what had arrived whole by then was used
                raise requests.ReadTimeout("the answer took too long to arrive")
            late = time.monotonic() > deadline
    return bytes(body[: MAX_BODY + 1])


def _transport_error(error: Exception, request: TokenRequest, status_code: int | None) -> TokenTransportError:
    """Wrap an error of the library, or rather a copy of it without the request, the answer and the traceback."""
    endpoint = without_query(request.url)
    text = re.sub(_QUERY, "", str(error)) if "?" in request.url else str(error)
    cls = type(error) if isinstance(error, requests.RequestException) else requests.ConnectionError
    cause = cls.__new__(cls)
    cause.args = (text,)
    cause.request = cause.response = None
    wrapped = TokenTransportError(
        f"{endpoint} could not be reached: {text}",
        token_url=endpoint,
        status_code=status_code,
        retryable=isinstance(error, _TROUBLE) and not isinstance(error, ValueError),
    )
    wrapped.__cause__ = cause
    return wrapped


class OAuthAuthorizationController(controller.OAuthAuthorizationController):
    __doc__ = controller.OAuthAuthorizationController.__doc__

    _transport_class = _TokenTransport


class RequestsAuth(TokenAuth, AuthBase):
    """The mechanics of requests: a header on the way out, and a response hook that replays what was rejected.

    The hook rides along on redirects, so it looks at each response's own request: it acts only where that one was
    sent to the origin first addressed, and with a token.
    """

    _controller_class = OAuthAuthorizationController

    def _begin(self, settings: Settings, grant: Grant, *, token: OAuthToken | None, shelf: Shelf | None = None) -> None:
        super()._begin(settings, grant, token=token, shelf=shelf)
        self._hooks: dict[str, Callable[..., Response]] = {}
        """The response hook of each origin that the token may go to, by the URL's text up to its path.

        Made once per origin: one for each request would be a good part of what a request costs.
        """
        self._latest: tuple[str, Callable[..., Response] | None] = ("\0", None)
        """The one used last, with the slash that ends an origin: most programs go on with the same."""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the token to a request. Raises `TokenError`, and `InsecureTransportError` for plain http."""
        try:
            beginning, hook = self._latest
            if not request.url.startswith(beginning):  # type: ignore[union-attr]
                hook = self._hook_for(request)
        except AttributeError:
            raise self._wrong_library(request) from None
        if hook is None:
            return request
        current = self._source.current
        if current is None or time.time() >= current.refresh_at:
            current = self._source.obtain()
        request.headers["Authorization"] = current.header
        request.hooks["response"].append(hook)
        return request

    def _hook_for(self, request: PreparedRequest) -> Callable[..., Response] | None:
        """Return the hook for the URL's origin, or None if the token may not go there."""
        if not isinstance(request, PreparedRequest):
            raise self._wrong_library(request)
        url = request.url or ""
        path = url.find("/", 8)
        beginning = url if path < 0 else url[:path]
        if (known := self._hooks.get(beginning)) is not None:
            self._latest = (f"{beginning}/", known)
            return known
        if self._allowed_origins is not None and origin_of(url) not in self._allowed_origins:
            return None
        check_transport(url, allow_insecure=self._allow_insecure_transport)
        hook = functools.partial(self._on_response, beginning, None)
        if "@" not in beginning and len(self._hooks) < MOST_ORIGINS:
            self._hooks[beginning] = hook
        return hook

    def _wrong_library(self, request: object) -> TypeError:
        return TypeError(f"{type(self).__name__} of {type(self).__module__} can't be used with a {type(request)}")

    def _on_response(
        self, origin: str, replayed: PreparedRequest | None, response: Response, **kwargs: Any
    ) -> Response:
        """Replay what was rejected; after a replay only that very request, not a redirect of its new answer."""
        request = response.request
        sent = request.headers.get("Authorization")
        header = sent if sent is None else Header(sent)  # whose repr hides the token where a traceback shows locals
        if response.status_code not in self._rejection_statuses:
            if header is not None and self._source.doubted:
                self._note(origin, header, response)
            return response
        was_replayed = replayed is not None and replayed is not request
        if header is None or was_replayed or not self._is_rejection(origin, header, response):
            return response
        return self._renew_and_replay(origin, header, response, **kwargs)

    def _renew_and_replay(self, origin: str, header: str, response: Response, **kwargs: Any) -> Response:
        request = response.request
        answered = Exchange(request.method, without_query(request.url or ""), response.status_code)
        can_replay = _can_replay(response)
        answered.tell_rejection(can_replay=can_replay)
        if not can_replay:
            with suppress(OAuthError):  # it's logged, and the answer that the caller gets says what is wrong
                self._source.replace(header, origin, answered.about)
            return response
        _drain(response)
        credential = self._source.replace(header, origin, answered.about)
        if credential is None:
            return response
        answered.tell_replay()
        hooks = request.hooks["response"]
        request.hooks = {**request.hooks, "response": [self._after_replay(hook, origin, request) for hook in hooks]}
        answer = _replay(response, credential.header, **kwargs)
        self._note(origin, credential.header, answer)
        return answer

    def _after_replay(self, hook: Any, origin: str, request: PreparedRequest) -> Any:
        """Return the hook, or in place of our own one that knows of the replay: redirects will copy it."""
        if isinstance(hook, functools.partial) and hook.func == self._on_response:
            return functools.partial(self._on_response, origin, request)
        return hook

    def _is_rejection(self, origin: str, header: str, response: Response) -> bool:
        """Tell whether a response rejects a token of ours that there can be another for."""
        if not self._source.renews or not self._is_ours(origin, header, response):
            return False
        return is_rejection(response.status_code, response.headers.get("WWW-Authenticate"), self._rejection_statuses)

    def _note(self, origin: str, header: str, response: Response) -> None:
        accepted = tells_acceptance(response.status_code) or _leads_elsewhere(response)
        if accepted and self._is_ours(origin, header, response):
            self._source.trust(origin)

    def _is_ours(self, origin: str, header: str, response: Response) -> bool:
        """Tell whether this response is to a request that carried a token to the origin first addressed."""
        url = response.request.url or ""
        same = url.startswith(f"{origin}/") or origin_of(url) == origin_of(origin)
        return same and header.startswith("Bearer ")


def _can_replay(response: Response) -> bool:
    request = response.request
    if not hasattr(response, "connection"):  # an adapter of the user's, such as a mock, need not name itself
        return False
    return is_fixed(request.body) or rewind(request.body, getattr(request, "_body_position", None))


def _leads_elsewhere(response: Response) -> bool:
    """Tell whether a redirect leads to another origin, as to a download; one within the origin may lead to a 401."""
    url = response.request.url or ""
    return response.is_redirect and origin_of(urljoin(url, response.headers["Location"])) != origin_of(url)


def _drain(response: Response) -> None:
    """Read what's left, so that the connection is free for the next request while this one waits."""
    try:
        if int(response.headers.get("Content-Length") or 0) <= MAX_BODY:
            _ = response.content
    except Exception:  # noqa: BLE001 - the answer is to be replaced anyway
        response.close()


def _replay(response: Response, header: str, **kwargs: Any) -> Response:
    """Send the response's request again.

    It's the same object as before, since a redirect of the new answer copies it; the old answer keeps a copy of
    what was sent then.
    """
    request = response.request
    response.request = request.copy()
    request.headers["Authorization"] = header
    _keep_cookies(request, response)
    if not getattr(response, "_content_consumed", True):
        response.close()  # too long to be read for its connection's sake
    begun = time.perf_counter()
    replayed: Response = response.connection.send(request, **kwargs)
    replayed.elapsed = dt.timedelta(seconds=time.perf_counter() - begun)
    replayed.history.append(response)
    return replayed


def _keep_cookies(request: PreparedRequest, response: Response) -> None:
    """Add the cookies that the answer sets, unless the caller wrote the Cookie header by hand."""
    jar = getattr(request, "_cookies", None)
    sent = request.headers.pop("Cookie", None)
    if jar is None or (sent is not None and sent != get_cookie_header(jar, request)):  # type: ignore[no-untyped-call]
        if sent is not None:
            request.headers["Cookie"] = sent
        return
    extract_cookies_to_jar(jar, request, response.raw)  # type: ignore[no-untyped-call]
    request.prepare_cookies(jar)


class ClientCredentialsAuth(ClientCredentials, RequestsAuth):
    __doc__ = ClientCredentials.__doc__


class AuthorizationCodeAuth(AuthorizationCode, RequestsAuth):
    __doc__ = AuthorizationCode.__doc__


class DeviceCodeAuth(DeviceCode, RequestsAuth):
    __doc__ = DeviceCode.__doc__


class PasswordAuth(Password, RequestsAuth):
    __doc__ = Password.__doc__


class RefreshTokenAuth(RefreshToken, RequestsAuth):
    __doc__ = RefreshToken.__doc__


class TokenProviderAuth(Provider, RequestsAuth):
    __doc__ = Provider.__doc__


class BearerAuth(Bearer, RequestsAuth):
    __doc__ = Bearer.__doc__
