"""The mechanics that requests and niquests share: the response hook's decisions, and the transport of token calls.

niquests began as a copy of requests, so the two have the same shape and different classes: each plug-in names its
own, and none is imported here. What each request costs, `__call__`, is the plug-ins' own, too.
"""

from __future__ import annotations

import re
import time
from typing import Any, ClassVar
from urllib.parse import urljoin

from .. import errors
from .._wire.challenges import Rejection, is_rejection, tells_acceptance
from .._wire.messages import MAX_BODY, TokenRequest, TokenResponse
from .._wire.token import Header
from .._wire.urls import MOST_ORIGINS, check_transport, origin_of, without_query
from ..errors import ConfigurationError
from .auth import TokenAuth
from .replay import is_fixed, rewind

__all__ = ["RequestsHooks", "RequestsTokenTransport", "can_replay", "is_short", "rejection_of"]


class RequestsHooks(TokenAuth):
    """Which requests get the token, which answers reject it, and what is sent in place of what was rejected.

    A response hook rides along on redirects, so it looks at each response's own request: it acts only where that one
    was sent to the origin first addressed, and with a token.
    """

    _library: ClassVar[Any]

    _hooks: dict[str, Any]
    """What to hook to a request of each origin that the token may go to, by the URL's text up to its path.

    Made once per origin: one for each request would be a good part of what a request costs.
    """
    _latest: tuple[str, Any]
    """The one used last, with the slash that ends an origin: most programs go on with the same."""

    def _make_hook(self, origin: str, replayed: Any) -> Any:
        """Return what is hooked to a request to the origin; after a replay it acts for that very request only."""
        raise NotImplementedError

    def _hook_for(self, request: Any) -> Any:
        """Return the hook for the URL's origin, or None if the token may not go there."""
        if not isinstance(request, self._library.PreparedRequest):
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
        hook = self._make_hook(beginning, None)
        if "@" not in beginning and len(self._hooks) < MOST_ORIGINS:
            self._hooks[beginning] = hook
        return hook

    def _wrong_library(self, request: object) -> TypeError:
        return TypeError(f"{type(self).__name__} of {type(self).__module__} can't be used with a {type(request)}")

    def _rejected_header(self, origin: str, replayed: Any, response: Any) -> Header | None:
        """Return the header that this response rejects and that can be replaced, if any; note it if it accepts one.

        After a replay only that very request counts, not a redirect of its new answer.
        """
        request = response.request
        sent = request.headers.get("Authorization")
        if not isinstance(sent, str):
            return None
        header = Header(sent)  # whose repr hides the token where a traceback shows locals
        if response.status_code not in self._rejection_statuses:
            if self._source.rejecting_origins:
                self._note(origin, header, response)
            return None
        was_replayed = replayed is not None and replayed is not request
        if was_replayed or not self._source.renews or not _is_ours(origin, header, response):
            return None
        challenge = response.headers.get("WWW-Authenticate")
        return header if is_rejection(response.status_code, challenge, self._rejection_statuses) else None

    def _note(self, origin: str, header: str, response: Any) -> None:
        accepted = tells_acceptance(response.status_code) or _leads_elsewhere(response)
        if accepted and _is_ours(origin, header, response):
            self._source.trust(origin)

    def _prepare_replay(self, origin: str, response: Any, header: str) -> Any:
        """Make the response's request ready to be sent again; the response keeps a copy of what was sent before.

        It's the same object as before, since a redirect of the new answer copies it.
        """
        request = response.request
        response.request = request.copy()
        hooks = [self._after_replay(hook, origin, request) for hook in request.hooks["response"]]
        request.hooks = {**request.hooks, "response": hooks}
        request.headers["Authorization"] = header
        self._keep_cookies(request, response)
        return request

    def _after_replay(self, hook: Any, origin: str, request: Any) -> Any:
        """Return the hook, or in place of our own one that knows of the replay: redirects will copy it."""
        raise NotImplementedError

    def _keep_cookies(self, request: Any, response: Any) -> None:
        """Add the cookies that the answer sets, unless the caller wrote the Cookie header by hand."""
        cookies = self._library.cookies
        jar = getattr(request, "_cookies", None)
        sent = request.headers.pop("Cookie", None)
        if jar is None or (sent is not None and sent != cookies.get_cookie_header(jar, request)):
            if sent is not None:
                request.headers["Cookie"] = sent
            return
        cookies.extract_cookies_to_jar(jar, request, response.raw)
        request.prepare_cookies(jar)

    def _conclude_replay(self, origin: str, header: str, response: Any, replayed: Any) -> None:
        replayed.history.append(response)
        self._note(origin, header, replayed)


def rejection_of(response: Any) -> Rejection:
    """Return what an answer says and to which request, as errors and events tell of it."""
    return Rejection(response.request.method, without_query(response.request.url or ""), response.status_code)


def can_replay(response: Any) -> bool:
    """Tell whether the response's request can be sent again with the same bytes; make its body ready for it."""
    request = response.request
    if not hasattr(response, "connection"):  # an adapter of the user's, such as a mock, need not name itself
        return False
    return is_fixed(request.body) or rewind(request.body, getattr(request, "_body_position", None))


def is_short(response: Any) -> bool:
    """Tell whether reading a rejected response to its end costs less than another connection would."""
    return int(response.headers.get("Content-Length") or 0) <= MAX_BODY


def _is_ours(origin: str, header: str, response: Any) -> bool:
    """Tell whether this response is to a request that carried a token to the origin first addressed."""
    url = response.request.url or ""
    same = url.startswith(f"{origin}/") or origin_of(url) == origin_of(origin)
    return same and header.startswith("Bearer ")


def _leads_elsewhere(response: Any) -> bool:
    """Tell whether a redirect leads to another origin, as to a download; one within the origin may lead to a 401."""
    url = response.request.url or ""
    return response.is_redirect and origin_of(urljoin(url, response.headers["Location"])) != origin_of(url)


class RequestsTokenTransport:
    """Sends token calls with the user's session, or with one of its own for each call.

    Token calls are rare, so no connection is kept between them: there's nothing to go stale, to share with a forked
    child or to forget to close.
    """

    __slots__ = ("_session",)

    _library: ClassVar[Any]
    _urllib3: ClassVar[Any]
    _error_class: ClassVar[type[errors.TokenTransportError]]

    def __init__(self, token_client: Any) -> None:
        if token_client is not None and not self._is_session(token_client):
            name = self._library.__name__
            raise ConfigurationError(f"token_client must be a {name}.Session, not {type(token_client)}")
        self._session = token_client

    def _is_session(self, token_client: Any) -> bool:
        return isinstance(token_client, self._library.Session)

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        """Send once. Raises `TokenTransportError`."""
        timeouts = (connect_timeout, timeout)
        if self._session is not None:
            return self._send(self._session, request, timeouts)
        with self._new_session() as session:
            session.headers["Connection"] = "close"
            return self._send(session, request, timeouts)

    def _new_session(self) -> Any:
        return self._library.Session()

    def time_out(self, request: TokenRequest, timeout: float) -> errors.TokenTransportError:
        """Return the error for an answer that wasn't there after so many seconds."""
        return self._wrap(self._library.ReadTimeout(f"no answer in {timeout:.3g} s"), request, None)

    def _send(self, session: Any, request: TokenRequest, timeouts: tuple[float, float]) -> TokenResponse:
        deadline = time.monotonic() + timeouts[1]
        response = None
        try:
            try:
                response = session.request(
                    request.method,
                    request.url,
                    data=request.body.decode("ascii"),  # as the libraries' own forms are, which mocks look into
                    headers={"Authorization": None, **request.headers},
                    auth=_leave_alone,
                    allow_redirects=False,
                    stream=True,
                    timeout=timeouts,
                )
            except self._library.HTTPError as error:  # a hook of the user's that raises for a status: it's an answer
                if error.response is None:
                    raise
                response = error.response
            body = self._read(response, deadline)
            return _answer(response, body)
        except (self._library.RequestException, self._urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            # OSError is a CA bundle that isn't there, ValueError a proxy that is no URL.
            if response is not None and 400 <= response.status_code < 500:
                return _answer(response, b"")  # the status says enough
            failure = self._wrap(error, request, None if response is None else response.status_code)
        raise failure

    def _read(self, response: Any, deadline: float) -> bytes:
        """Read the body as it arrives, to its end or to one byte more than is allowed."""
        if getattr(response, "_content_consumed", True) or not isinstance(
            response.raw, self._urllib3.response.BaseHTTPResponse
        ):
            # A hook has read it, or it comes from an adapter of the user's, such as a mock.
            return (response.content or b"")[: MAX_BODY + 1]
        body = bytearray()
        late = False
        with response:
            while len(body) <= MAX_BODY and (chunk := response.raw.read1(65536, decode_content=True)):
                body += chunk
                if late:  # nobody waits any more; but what had arrived whole by then was used
                    raise self._library.ReadTimeout("the answer took too long to arrive")
                late = time.monotonic() > deadline
        return bytes(body[: MAX_BODY + 1])

    def _wrap(self, error: Exception, request: TokenRequest, status_code: int | None) -> errors.TokenTransportError:
        """Wrap an error of the library, or rather a copy of it without the request, the answer and the traceback."""
        library = self._library
        endpoint = without_query(request.url)
        text = re.sub(_QUERY, "", str(error)) if "?" in request.url else str(error)
        cls: Any = type(error) if isinstance(error, library.RequestException) else library.ConnectionError
        cause = cls.__new__(cls)
        cause.args = (text,)
        cause.request = cause.response = None
        may_pass = isinstance(error, library.RequestException | self._urllib3.exceptions.HTTPError)
        wrapped = self._error_class(
            f"{endpoint} could not be reached: {text}",
            token_url=endpoint,
            status_code=status_code,
            retryable=may_pass and not isinstance(error, ValueError),  # others are of the environment
        )
        wrapped.__cause__ = cause
        return wrapped


_QUERY = r"\?[^\s'\")]*"


def _leave_alone(request: Any) -> Any:
    """Be the auth of a token call: without any, what .netrc has would take the place of the client's credentials."""
    return request


def _answer(response: Any, body: bytes) -> TokenResponse:
    return TokenResponse(response.status_code, {name.lower(): text for name, text in response.headers.items()}, body)
