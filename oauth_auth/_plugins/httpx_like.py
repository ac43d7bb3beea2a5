"""What the plug-ins for httpx and httpx2 share: the auth flow, sync and async.

The two libraries have the same API and different classes: each plug-in names its own, and none is imported here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from typing import Any, ClassVar, NoReturn

from .._flight import run, run_async
from .._record import Record
from .._wire.challenges import is_rejection, tells_acceptance
from .._wire.urls import MOST_ORIGINS, check_transport, origin_of, without_query
from ..errors import OAuthError
from .auth import AsyncTokens
from .rejection import Rejection, is_short, path_of
from .replay import are_rewindable, is_fixed, position_of, rewind

__all__ = ["FastPath", "HttpxFlow"]


_Origin = tuple[str, str | bytes, int | None]


class _Drain(Record):
    """The step of reading a rejected answer to its end, which frees its connection for other requests."""

    response: Any

    def wait(self) -> None:
        response = self.response
        try:
            if is_short(response):
                response.read()
        except Exception:  # noqa: BLE001 - the answer is to be replaced anyway
            response.close()
            response._content = b""  # noqa: SLF001 - else the client fails when it reads it

    async def wait_async(self) -> None:
        response = self.response
        try:
            if is_short(response):
                await response.aread()
        except Exception:  # noqa: BLE001 - the answer is to be replaced anyway
            await response.aclose()
            response._content = b""  # noqa: SLF001 - else the client fails when it reads it


class HttpxFlow(AsyncTokens):
    """The auth flow: sends the token, and the request again with another token if the first is rejected.

    A flow sees the answer after redirects, so it looks at the answer's own request: it acts only if that request went
    to the origin first addressed and carried the token, and it sends that request again.
    """

    _library: ClassVar[Any]
    _byte_stream: ClassVar[type]
    _fast_path: ClassVar[FastPath]

    def _prepare(self) -> None:
        self._addressable: set[_Origin] = set()
        """Origins that the token may go to."""

    def __call__(self, request: object) -> NoReturn:
        """Raise `TypeError`: requests and niquests take any callable as auth, so httpx's must refuse to be called."""
        raise TypeError(f"{type(self).__name__} of {type(self).__module__} can't be used with a {type(request)}")

    # The part of the flows that each request runs is written out twice: one more call would use up a request's budget.

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Send a request with the token. Raises `TokenError`, and `InsecureTransportError` for plain http."""
        fast_path = self._fast_path
        origin = fast_path.origin_of(request.url)
        if origin not in self._addressable and not self._may_address(origin, request.url):
            yield request
            return
        current = self._source.current
        if current is None or time.time() >= current.refresh_at:
            current = run(self._source.obtain())
        header = current.header
        fast_path.set_authorization(request.headers, header)
        position = None if request.stream.__class__ is self._byte_stream else _position(request.stream)
        response = yield request
        if response.status_code not in self._rejection_statuses:
            if self._source.rejecting_origins:
                self._note(origin, header, response, is_replay=False)
            return
        steps = self._replacing(origin, header, position, response)
        go_on: Callable[[Any], Any] = steps.send
        result: Any = None
        while True:
            try:
                step = go_on(result)
            except StopIteration:
                return
            if isinstance(step, self._library.Request):
                go_on, result = steps.send, (yield step)
                continue
            try:
                go_on, result = steps.send, step.wait()
            except BaseException as error:  # noqa: BLE001 - Ctrl-C reaches the steps, too
                go_on, result = steps.throw, error

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Send a request with the token. Raises `TokenError`, and `InsecureTransportError` for plain http."""
        fast_path = self._fast_path
        origin = fast_path.origin_of(request.url)
        if origin not in self._addressable and not self._may_address(origin, request.url):
            yield request
            return
        current = self._source.current
        if current is None or time.time() >= current.refresh_at:
            current = await run_async(self._source.obtain())
        header = current.header
        fast_path.set_authorization(request.headers, header)
        position = None if request.stream.__class__ is self._byte_stream else _position(request.stream)
        response = yield request
        if response.status_code not in self._rejection_statuses:
            if self._source.rejecting_origins:
                self._note(origin, header, response, is_replay=False)
            return
        steps = self._replacing(origin, header, position, response)
        go_on: Callable[[Any], Any] = steps.send
        result: Any = None
        while True:
            try:
                step = go_on(result)
            except StopIteration:
                return
            if isinstance(step, self._library.Request):
                go_on, result = steps.send, (yield step)
                continue
            try:
                go_on, result = steps.send, await step.wait_async()
            except BaseException as error:  # noqa: BLE001 - cancellation reaches the steps, too
                go_on, result = steps.throw, error

    def _replacing(
        self, origin: _Origin, header: str, position: int | None, response: Any
    ) -> Generator[Any, Any, None]:
        """Replace a rejected token: yield requests to send, and steps to wait for.

        A sibling's token may have been revoked as well, so it's replaced once more.
        """
        for _ in range(2):
            if (rejection := self._read_rejection(origin, header, response)) is None:
                return
            request = response.request
            can_replay = isinstance(request.stream, self._byte_stream) or _rewind(request.stream, position)
            rejection.emit_rejection(can_replay=can_replay)
            replacing = self._source.replace(header, origin, path_of(request.method, str(request.url)), rejection.about)
            if not can_replay:
                with suppress(OAuthError):  # it's logged, and the answer that the caller gets says what is wrong
                    yield from replacing
                return
            yield _Drain(response)
            replacement = yield from replacing
            if replacement is None:
                return
            header = replacement.credential.header
            response = yield self._replay(response, header, rejection)
            self._note(origin, header, response, is_replay=True)
            if replacement.is_final:
                return

    def _may_address(self, origin: _Origin, url: Any) -> bool:
        """Return whether the token may go to this origin, and remember it if so."""
        text = f"{url.scheme}://{url.netloc.decode('ascii')}"
        if self._allowed_origins is not None and origin_of(text) not in self._allowed_origins:
            return False
        check_transport(text, allow_insecure=self._allow_insecure_transport)
        if len(self._addressable) < MOST_ORIGINS:
            self._addressable.add(origin)
        return True

    def _note(self, origin: _Origin, header: str, response: Any, *, is_replay: bool) -> None:
        """Note that the origin accepted the token: it answered, or redirects to another origin, as to a download."""
        request = response.request
        if self._carried(origin, header, request):
            if not tells_acceptance(response.status_code) and not self._leads_elsewhere(origin, response):
                return
        else:
            accepting = [past.request for past in response.history if self._carried(origin, header, past.request)]
            if not accepting:
                return
            request = accepting[0]
        path = path_of(request.method, str(request.url))
        self._source.record_acceptance(origin, path, header, is_replay=is_replay)

    def _leads_elsewhere(self, origin: _Origin, response: Any) -> bool:
        """Return whether a redirect that the client doesn't follow leads to another origin."""
        following = response.next_request
        return following is not None and self._fast_path.origin_of(following.url) != origin

    def _carried(self, origin: _Origin, header: str, request: Any) -> bool:
        """Return whether this request went to the origin and had the header; a redirect may lead elsewhere."""
        return self._fast_path.origin_of(request.url) == origin and request.headers.get("Authorization") == header

    def _read_rejection(self, origin: _Origin, header: str, response: Any) -> Rejection | None:
        request = response.request
        if response.status_code not in self._rejection_statuses or not self._source.renews:
            return None
        if not self._carried(origin, header, request):
            return None
        if not is_rejection(response.status_code, response.headers.get("WWW-Authenticate"), self._rejection_statuses):
            return None
        return Rejection(request.method, without_query(str(request.url)), response.status_code)

    def _replay(self, response: Any, header: str, rejection: Rejection) -> Any:
        """Return the response's request again, with another token and the cookies that the response sets."""
        rejection.emit_replay()
        old = response.request
        request = self._library.Request(
            old.method, old.url, headers=old.headers, stream=old.stream, extensions=old.extensions
        )
        request.headers["Authorization"] = header
        if isinstance(request.stream, self._byte_stream):
            request.read()  # hooks of the caller's may look at its content
        self._keep_cookies(request, response)
        return request

    def _keep_cookies(self, request: Any, response: Any) -> None:
        """Update the Cookie header with what the response sets and deletes, as a client's jar would."""
        if "Set-Cookie" not in response.headers:
            return
        cookies = self._library.Cookies()
        host = f"[{request.url.host}]" if ":" in request.url.host else request.url.host
        domain = host if "." in host else f"{host}.local"  # as Python's cookie jars call hosts without dots
        for name, value in _pairs(request.headers.get("Cookie")).items():
            cookies.set(name, value, domain=domain)
        cookies.extract_cookies(response)
        request.headers.pop("Cookie", None)
        cookies.set_cookie_header(request)


def _origin(url: Any) -> _Origin:
    return url.scheme, url.raw_host, url.port


def _origin_private(url: Any) -> _Origin:
    parts = url._uri_reference  # noqa: SLF001
    return parts.scheme, parts.host, parts.port


def _set_authorization(headers: Any, value: str) -> None:
    headers["Authorization"] = value


def _set_authorization_private(headers: Any, value: str) -> None:
    fields = headers._list  # noqa: SLF001
    for position, present in enumerate(fields, 1):
        if present[1] == b"authorization":
            if position == len(fields):
                fields.pop()
                break
            headers["Authorization"] = value
            return
    fields.append((b"Authorization", b"authorization", value.encode("ascii")))


class FastPath(Record):
    """Two operations of the hot path, through private attributes of the library if these are as expected.

    The public API, three properties of a URL and `headers[name] = value`, costs more than all else that a request with
    a valid token needs. The private one is tried on examples before it's used.
    """

    origin_of: Callable[[Any], _Origin]
    set_authorization: Callable[[Any, str], None]

    @classmethod
    def for_library(cls, library: Any) -> FastPath:
        plain = cls(_origin, _set_authorization)
        try:
            for text in ("https://api.example.com/v1?x=1", "http://u:p@127.0.0.1:8000", "http://[::1]:80/"):
                url = library.URL(text)
                if _origin_private(url) != (url.scheme, url.host, url.port):
                    return plain
            for before in ([], [("authorization", "Basic")], [("authorization", "Basic"), ("Accept", "*/*")]):
                one, other = library.Headers(before), library.Headers(before)
                _set_authorization_private(one, "Bearer token")
                _set_authorization(other, "Bearer token")
                if one.raw != other.raw or one["authorization"] != "Bearer token":
                    return plain
        except Exception:  # noqa: BLE001 - a version of the library with other internals
            return plain
        return cls(_origin_private, _set_authorization_private)


def _position(stream: Any) -> int | None:
    """Return the position of the file behind a request's stream, or None if there is none."""
    return position_of(stream._stream) if type(stream).__name__ == "IteratorByteStream" else None  # noqa: SLF001


def _rewind(stream: Any, position: int | None) -> bool:
    """Rewind a stream that isn't just bytes; return whether it can be sent again.

    Neither library has a public API for its streams' content. An unknown stream, or one that changes in a later
    version, isn't replayed.
    """
    fields = getattr(stream, "fields", None)
    if isinstance(fields, list) and type(stream).__name__ == "MultipartStream":
        return are_rewindable(field.file for field in fields if hasattr(field, "file"))
    if type(stream).__name__ != "IteratorByteStream":
        return False
    content = getattr(stream, "_stream", None)
    return content is not None and (is_fixed(content) or rewind(content, position))


def _pairs(cookies: str | None) -> dict[str, str]:
    """Read a Cookie header."""
    pairs = (pair.strip().partition("=") for pair in (cookies or "").split(";"))
    return {name: value for name, separator, value in pairs if separator}
