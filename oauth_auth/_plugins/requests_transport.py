"""How token calls are sent through requests and niquests, which have the same shape and different classes."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import Any, ClassVar

from .. import errors
from .._wire.messages import MAX_BODY, TokenRequest, TokenResponse
from .._wire.urls import without_query
from ..errors import ConfigurationError

__all__ = ["RequestsTokenTransport"]

_QUERY = r"\?[^\s'\")]*"


class RequestsTokenTransport:
    """Sends token calls with the user's session, or with one of its own for each call.

    Token calls are rare, so no connection is kept between them that could go stale, be shared with a forked child or
    stay open.
    """

    __slots__ = ("_session",)

    _library: ClassVar[Any]
    _urllib3: ClassVar[Any]
    error_class: ClassVar[type[errors.TokenTransportError]]

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
        with self._library.Session() as session:
            session.headers["Connection"] = "close"
            self._leave_unwatched(session)
            return self._send(session, request, timeouts)

    def _leave_unwatched(self, session: Any) -> None:
        """Turn off the thread that watches the session's idle connections: at exit no thread can start.

        urllib3-future starts one for each pool. niquests uses it, and so does requests where it replaces urllib3.
        """
        if not hasattr(self._urllib3.poolmanager.PoolKey, "key_background_watch_delay"):
            return
        for adapter in session.adapters.values():
            if isinstance(getattr(adapter, "poolmanager", None), self._urllib3.PoolManager):
                adapter.poolmanager.connection_pool_kw["background_watch_delay"] = None
                adapter.proxy_manager_for = partial(adapter.proxy_manager_for, background_watch_delay=None)

    def time_out(self, request: TokenRequest, timeout: float) -> errors.TokenTransportError:
        """Return the error for an answer that hasn't come within `timeout` seconds."""
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
                    auth=_no_auth,
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
            # OSError is a CA bundle that doesn't exist, ValueError a proxy that is no URL.
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
                if late:  # no caller waits any more; an answer that was complete by then was used
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
        wrapped = self.error_class(
            f"{endpoint} could not be reached: {text}",
            token_url=endpoint,
            status_code=status_code,
            retryable=may_pass and not isinstance(error, ValueError),  # others are of the environment
        )
        wrapped.__cause__ = cause
        return wrapped


def _no_auth(request: Any) -> Any:
    """No-op auth for token calls. Without one, requests replaces our Authorization header by a .netrc entry."""
    return request


def _answer(response: Any, body: bytes) -> TokenResponse:
    return TokenResponse(response.status_code, {name.lower(): text for name, text in response.headers.items()}, body)
