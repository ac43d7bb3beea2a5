"""A request of a client of httpx or httpx2 whose token was rejected, and what is done with its answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .._record import Record
from .._wire.http_fields import decompress
from .._wire.messages import MAX_BODY
from .._wire.token import Credential
from .answers import Answer
from .exchange import (
    DRAIN_LIMIT,
    DRAIN_SECONDS,
    are_rewindable,
    cookie_pairs,
    is_fixed,
    is_short,
    may_be_short,
    rewind,
)
from .origins import Proofs

__all__ = ["AsyncHttpxExchange", "HttpxExchange", "Origin", "Sent", "can_rewind", "note_nonces"]

Origin = tuple[str, str | bytes, int | None]
"""Scheme, host and port, as the library has them."""


class Sent(Record):
    """What a flow hands over: how it sent a request, and with which library."""

    library: Any
    byte_stream: type
    origin_of: Callable[[Any], Origin]
    origin: Origin
    """The one first addressed."""
    position: int | None
    """Where the body was, if it's a file."""
    shows_certificate: bool


class HttpxExchange:
    """A request of a client, and its latest answer, after redirects."""

    def __init__(self, sent: Sent, response: Any) -> None:
        self._sent = sent
        self.response = response
        self.was_replayed = False
        self._raw: bytes | None = None
        """The body of the answer, as it was sent, once it has been drained."""

    # -- What the answer says -----------------------------------------------------------------------------------

    def answer(self) -> Answer:
        response, request = self.response, self.response.request
        challenges, proof = response.headers.get("WWW-Authenticate"), request.headers.get("DPoP")
        return Answer(response.status_code, challenges, *_target(request), proof)

    def carried(self, header: str) -> bool:
        # A token is taken off by the library where a redirect leads elsewhere; without one that must be looked at.
        has_left = not header and any(self._leaves(past.request) for past in self.response.history)
        return self._carries(header, self.response.request) and not has_left

    def led_on(self, header: str) -> tuple[str | None, str] | None:
        """Return the request whose answer led on: one before the latest, if that went without the token, too."""
        if not self.carried(header):
            past = (past.request for past in self.response.history if self._carries(header, past.request))
            return next(map(_target, past), None)
        following = self.response.next_request
        return None if following is None or not self._leaves(following) else _target(self.response.request)

    def mind_proofs(self, proofs: Proofs) -> None:
        note_nonces(proofs, self.response)

    def _carries(self, header: str, request: Any) -> bool:
        return not self._leaves(request) and (not header or request.headers.get("Authorization") == header)

    def _leaves(self, request: Any) -> bool:
        """Return whether a request goes to another origin than the one first addressed."""
        return self._sent.origin_of(request.url) != self._sent.origin

    # -- What is done with it -----------------------------------------------------------------------------------

    def can_replay(self) -> Any:
        stream = self.response.request.stream
        return isinstance(stream, self._sent.byte_stream) or can_rewind(stream, self._sent.position)

    def drain(self) -> Any:
        if self._should_drain():
            self._drained(self._read())

    def discard(self) -> Any:
        if not hasattr(self.response, "_content"):
            self._discarded(self._read() if self._raw is None else self._raw)
        if self._sent.shows_certificate:
            for connection in _connections_of(self.response):
                with suppress(Exception), connection._state_lock:  # noqa: SLF001 - else a thread begins to use it
                    _let_expire(connection)

    def close(self) -> Any:
        """Do nothing: the client does it when the flow raises an error."""

    def _should_drain(self) -> bool:
        response = self.response
        is_worthwhile = not self._sent.shows_certificate and is_short(response.headers)
        return not hasattr(response, "_content") and is_worthwhile and not _is_multiplexed(response)

    def _drained(self, raw: bytes | None) -> None:
        """Put back what was read, so that whoever gets the response can read it, streamed or not."""
        response = self.response
        if raw is None:
            response._content = b""  # noqa: SLF001 - else the client fails when it reads it
            return
        self._raw = raw
        with suppress(RuntimeError):  # a mock's has no time
            response.elapsed = response.elapsed  # httpx2 has it from the stream
        response.stream = self._sent.byte_stream(raw)
        response.is_closed = response.is_stream_consumed = False

    def _discarded(self, raw: bytes | None) -> None:
        """Give the response the content that the client would read, without unpacking it to any length."""
        encoding = self.response.headers.get("Content-Encoding")
        self.response._content = b"" if raw is None else decompress(raw, encoding, MAX_BODY)  # noqa: SLF001

    def _read(self) -> bytes | None:
        """Return the body of the answer; if it's too long or takes too long, close it and return None."""
        response, part = self.response, _Part(self.response, shows_certificate=self._sent.shows_certificate)
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

    def send_again(self, credential: Credential, proof: str | None) -> Any:
        """Return the request to send: the response's, with this token and the cookies that the response sets."""
        old = self.response.request
        request = self._sent.library.Request(
            old.method, old.url, headers=old.headers, stream=old.stream, extensions=old.extensions
        )
        request.headers["Authorization"] = credential.text
        if proof is not None:
            request.headers["DPoP"] = proof
        if isinstance(request.stream, self._sent.byte_stream):
            request.read()  # hooks of the caller's may look at its content
        self._keep_cookies(request)
        self._raw = None
        return request

    def _keep_cookies(self, request: Any) -> None:
        """Update the Cookie header with what the response sets and deletes, as a client's jar would."""
        if "Set-Cookie" not in self.response.headers:
            return
        cookies = self._sent.library.Cookies()
        host = f"[{request.url.host}]" if ":" in request.url.host else request.url.host
        domain = host if "." in host else f"{host}.local"  # as Python's cookie jars call hosts without dots
        for name, value in cookie_pairs(request.headers.get("Cookie")).items():
            cookies.set(name, value, domain=domain)
        cookies.extract_cookies(self.response)
        request.headers.pop("Cookie", None)
        cookies.set_cookie_header(request)


def _target(request: Any) -> tuple[str | None, str]:
    return request.method, str(request.url)


def note_nonces(proofs: Proofs, response: Any) -> None:
    """Take in the nonces of an answer, and of those that led to it."""
    if response.headers.get("DPoP-Nonce") is None and not response.history:
        return
    for one in (*response.history, response):
        proofs.note_nonce(str(one.request.url), one.headers.get("DPoP-Nonce"))


class AsyncHttpxExchange(HttpxExchange):
    """A request of an async client, and its latest answer."""

    async def drain(self) -> None:
        if self._should_drain():
            self._drained(await self._read_async())

    async def discard(self) -> None:
        if not hasattr(self.response, "_content"):
            self._discarded(await self._read_async() if self._raw is None else self._raw)
        if self._sent.shows_certificate:
            for connection in _connections_of(self.response):
                with suppress(Exception):
                    _let_expire(connection)

    async def _read_async(self) -> bytes | None:
        response, part = self.response, _Part(self.response, shows_certificate=self._sent.shows_certificate)
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

    def __init__(self, response: Any, *, shows_certificate: bool) -> None:
        is_worthwhile = not shows_certificate and may_be_short(response.headers)
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
