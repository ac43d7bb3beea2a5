"""A request of a client of httpx or httpx2 whose token was rejected, and what is done with its answer."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._wire.http_fields import decompress
from .._wire.messages import MAX_BODY
from .._wire.token import Credential
from .rejection import (
    DRAIN_LIMIT,
    DRAIN_SECONDS,
    Exchange,
    path_of,
)
from .replay import are_rewindable, cookie_pairs, is_fixed, rewind

if TYPE_CHECKING:
    from .httpx_like import HttpxFlow

__all__ = ["AsyncHttpxExchange", "HttpxExchange", "Origin", "can_rewind"]

Origin = tuple[str, str | bytes, int | None]
"""Scheme, host and port, as the library has them."""


class HttpxExchange(Exchange):
    """A request of a client, and its latest answer, after redirects."""

    def __init__(self, auth: HttpxFlow, origin: Origin, position: int | None, response: Any) -> None:
        super().__init__(auth, response)
        self._auth = auth
        self.origin = origin
        self._position = position
        """Where the body was, if it's a file."""
        self._raw: bytes | None = None
        """The body of the answer, as it was sent, once it has been drained."""

    # -- What the answer says -----------------------------------------------------------------------------------

    @property
    def target(self) -> tuple[str | None, str]:
        request = self.response.request
        return request.method, str(request.url)

    @property
    def leads_elsewhere(self) -> bool:
        following = self.response.next_request
        return following is not None and self._origin_of(following) != self.origin

    @property
    def proof(self) -> str | None:
        found: str | None = self.response.request.headers.get("DPoP")
        return found

    def carried(self, header: str) -> bool:
        # A token is taken off by the library where a redirect leads elsewhere; without one that must be looked at.
        has_left = not header and any(self._origin_of(past.request) != self.origin for past in self.response.history)
        return self._carries(header, self.response.request) and not has_left

    def accepted_path(self, header: str) -> str | None:
        """Return the path that accepted the token: of an answer that was redirected since, too."""
        if not self.carried(header):
            for past in self.response.history:
                if self._carries(header, past.request):
                    return path_of(past.request.method, str(past.request.url))
        return super().accepted_path(header)

    def _carries(self, header: str, request: Any) -> bool:
        has_it = not header or request.headers.get("Authorization") == header
        return self._origin_of(request) == self.origin and has_it and self.is_within_reach

    def _origin_of(self, request: Any) -> Origin:
        return self._auth._fast_path.origin_of(request.url)  # noqa: SLF001 - of the package

    # -- What is done with it -----------------------------------------------------------------------------------

    def can_replay(self) -> Any:
        stream = self.response.request.stream
        return isinstance(stream, self._auth._byte_stream) or can_rewind(stream, self._position)  # noqa: SLF001

    def drain(self) -> Any:
        if self._should_drain():
            self._drained(self._read())

    def discard(self) -> Any:
        if not hasattr(self.response, "_content"):
            self._discarded(self._read() if self._raw is None else self._raw)
        if self._shows_certificate:
            for connection in _connections_of(self.response):
                with suppress(Exception), connection._state_lock:  # noqa: SLF001 - else a thread begins to use it
                    _let_expire(connection)

    def close(self) -> Any:
        """Do nothing: the client does it when the flow raises an error."""

    def _should_drain(self) -> bool:
        response = self.response
        return not hasattr(response, "_content") and self.is_short and not _is_multiplexed(response)

    def _drained(self, raw: bytes | None) -> None:
        """Put back what was read, so that whoever gets the response can read it, streamed or not."""
        response = self.response
        if raw is None:
            response._content = b""  # noqa: SLF001 - else the client fails when it reads it
            return
        self._raw = raw
        with suppress(RuntimeError):  # a mock's has no time
            response.elapsed = response.elapsed  # httpx2 has it from the stream
        response.stream = self._auth._byte_stream(raw)  # noqa: SLF001 - of the package
        response.is_closed = response.is_stream_consumed = False

    def _discarded(self, raw: bytes | None) -> None:
        """Give the response the content that the client would read, without unpacking it to any length."""
        encoding = self.response.headers.get("Content-Encoding")
        self.response._content = b"" if raw is None else decompress(raw, encoding, MAX_BODY)  # noqa: SLF001

    def _read(self) -> bytes | None:
        """Return the body of the answer; if it's too long or takes too long, close it and return None."""
        response, part = self.response, _Part(self.response, self.may_be_short)
        try:
            if part.is_whole:
                for chunk in response.iter_raw():
                    if not part.takes(chunk):
                        break
        except Exception:  # noqa: BLE001 - the answer is to be replaced anyway
            part.is_whole = False
        finally:
            part.end()
            response.close()
        return part.content

    def send_again(self, credential: Credential) -> Any:
        """Return the request to send: the response's, with this token and the cookies that the response sets."""
        old = self.response.request
        request = self._auth._library.Request(  # noqa: SLF001 - of the package
            old.method, old.url, headers=old.headers, stream=old.stream, extensions=old.extensions
        )
        self.authorize(request.headers, credential)
        if isinstance(request.stream, self._auth._byte_stream):  # noqa: SLF001 - of the package
            request.read()  # hooks of the caller's may look at its content
        self._keep_cookies(request)
        self._raw = None
        return request

    def mind_proofs(self) -> None:
        if self.proofs is not None:
            self._auth._note_nonce(self.response)  # noqa: SLF001 - of the package

    def _keep_cookies(self, request: Any) -> None:
        """Update the Cookie header with what the response sets and deletes, as a client's jar would."""
        if "Set-Cookie" not in self.response.headers:
            return
        cookies = self._auth._library.Cookies()  # noqa: SLF001 - of the package
        host = f"[{request.url.host}]" if ":" in request.url.host else request.url.host
        domain = host if "." in host else f"{host}.local"  # as Python's cookie jars call hosts without dots
        for name, value in cookie_pairs(request.headers.get("Cookie")).items():
            cookies.set(name, value, domain=domain)
        cookies.extract_cookies(self.response)
        request.headers.pop("Cookie", None)
        cookies.set_cookie_header(request)


class AsyncHttpxExchange(HttpxExchange):
    """A request of an async client, and its latest answer."""

    async def drain(self) -> None:
        if self._should_drain():
            self._drained(await self._read_async())

    async def discard(self) -> None:
        if not hasattr(self.response, "_content"):
            self._discarded(await self._read_async() if self._raw is None else self._raw)
        if self._shows_certificate:
            for connection in _connections_of(self.response):
                with suppress(Exception):
                    _let_expire(connection)

    async def _read_async(self) -> bytes | None:
        response, part = self.response, _Part(self.response, self.may_be_short)
        try:
            if part.is_whole:
                async for chunk in response.aiter_raw():
                    if response.is_closed:
                        break
                    if not part.takes(chunk):
                        await response.aclose()  # which ends the generators that the iteration goes through
        except Exception:  # noqa: BLE001 - the answer is to be replaced anyway
            part.is_whole = False
        finally:
            part.end()
            await response.aclose()
        return part.content


def _is_multiplexed(response: Any) -> bool:
    """Return whether others share the connection: one's time-out ends all of them, and an unread one is no burden."""
    return bool(response.http_version == "HTTP/2")


def _connections_of(response: Any) -> list[Any]:
    """Return the connections of the pool that an answer comes from, if that can be found out: nothing public says so.

    A request that's sent again would take any of them that is idle, and shows what was shown on it.
    """
    try:
        pool = response.stream._stream._httpcore_stream._pool  # noqa: SLF001
        return [connection._connection for connection in pool.connections]  # noqa: SLF001
    except Exception:  # noqa: BLE001 - a mock's, or a version of the library with other internals
        return []


def _let_expire(connection: Any) -> None:
    """Have the pool close a connection when it next looks for one, if it's idle."""
    if connection.is_idle():
        connection._expire_at = 0.0  # noqa: SLF001


class _Part:
    """As much of an answer as is read for its connection's sake; meanwhile the request's time-outs are shorter."""

    def __init__(self, response: Any, is_worthwhile: bool) -> None:  # noqa: FBT001
        self.is_whole = is_worthwhile and not _is_multiplexed(response)
        self._extensions = response.request.extensions
        self._timeouts = self._extensions.get("timeout", {})
        self._deadline = time.monotonic() + DRAIN_SECONDS / 2  # the last wait may begin just before it
        self._bytes = bytearray()
        # The library reads it when it begins to read the answer.
        self._extensions["timeout"] = {**self._timeouts, "read": DRAIN_SECONDS / 2}

    @property
    def content(self) -> bytes | None:
        return bytes(self._bytes) if self.is_whole else None

    def takes(self, chunk: bytes) -> bool:
        """Take another chunk, unless it's too much or too late."""
        self._bytes += chunk
        self.is_whole = len(self._bytes) <= DRAIN_LIMIT and time.monotonic() <= self._deadline
        return self.is_whole

    def end(self) -> None:
        self._extensions["timeout"] = self._timeouts


def can_rewind(stream: Any, position: int | None) -> bool:
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
