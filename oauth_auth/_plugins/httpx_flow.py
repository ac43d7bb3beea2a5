"""The auth flow of httpx and httpx2, sync and async.

The two libraries have the same API and different classes: each plug-in names its own, and none is imported here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from .._flight import run, run_async
from .._record import Record, replace
from .._wire.identifiers import covers
from .._wire.token import NO_TOKEN, Prover
from .auth import AsyncTokens
from .exchange import position_of
from .httpx_exchange import AsyncHttpxExchange, HttpxExchange, Origin, Sent, can_rewind, note_nonces
from .origins import take_off
from .replacing import SendAgain, note_answer, replacing

__all__ = ["FastPath", "HttpxFlow"]

Place = tuple[Any, ...]
"""An origin, or an origin and a path."""


class HttpxFlow(AsyncTokens):
    """The auth flow: sends the token, and the request again with another token if the first is rejected.

    A flow sees the answer after redirects, so it looks at the answer's own request: it acts only if that request went
    to the origin first addressed and carried the token, and it sends that request again.
    """

    _library: ClassVar[Any]
    _byte_stream: ClassVar[type]
    _fast_path: ClassVar[FastPath]
    _momentary: ClassVar[frozenset[str]] = frozenset(
        {"_origins", "_parts", "_proofs", "_replaying", "_telling", "_addressable"}
    )

    def _prepare(self) -> None:
        super()._prepare()
        self._addressable = self._origins.known

    if not TYPE_CHECKING:  # with it, type checkers would take it for an auth of the other libraries

        def __call__(self, request: object) -> NoReturn:
            """Raise `TypeError`: the other libraries take any callable as auth, so httpx's must refuse to be called."""
            raise self._wrong_library(request)

    # The part of the flows that each request runs is written out twice: one more call would use up a request's budget.

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:  # noqa: C901 - see above
        """Send a request with the token. Raises `TokenError`, and `InsecureTransportError` for plain http."""
        fast_path = self._fast_path
        place = fast_path.place_of(request.url)
        if place not in self._addressable and not self._may_address(place, request):
            yield request
            return
        source = self._source
        current = source.current
        if current is None or time.time() >= current.refresh_at:
            current = run(self._obtain(request))
        if current is None:
            header, prove = NO_TOKEN, None
        else:
            header, prove = current.header, current.proof
            if prove is not None:
                self._prove(request, prove)
            fast_path.set_authorization(request.headers, header)
        position = None if request.stream.__class__ is self._byte_stream else _position(request.stream)
        response = yield request
        if prove is not None:
            note_nonces(self._proofs, response)  # type: ignore[arg-type]  # bound tokens come with them
        if response.status_code not in self._telling and not source.rejecting_origins:
            return
        parts, exchange = self._parts, HttpxExchange(self._sent(place, position), response)
        if response.status_code not in self._replaying:
            note_answer(parts, place[:3], header, exchange, is_replay=False)
            return
        steps = replacing(parts, place[:3], header, exchange)
        go_on: Callable[[Any], Any] = steps.send
        result: Any = None
        while True:
            try:
                step = go_on(result)
            except StopIteration:
                return
            if isinstance(step, SendAgain):
                exchange.response = yield step.function()
                go_on, result = steps.send, None
                continue
            try:
                go_on, result = steps.send, step.wait()
            except BaseException as error:  # noqa: BLE001 - Ctrl-C reaches the steps, too
                go_on, result = steps.throw, error

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:  # noqa: C901 - see above
        """Send a request with the token. Raises `TokenError`, and `InsecureTransportError` for plain http."""
        fast_path = self._fast_path
        place = fast_path.place_of(request.url)
        if place not in self._addressable and not self._may_address(place, request):
            yield request
            return
        source = self._source
        current = source.current
        if current is None or time.time() >= current.refresh_at:
            current = await run_async(self._obtain(request))
        if current is None:
            header, prove = NO_TOKEN, None
        else:
            header, prove = current.header, current.proof
            if prove is not None:
                self._prove(request, prove)
            fast_path.set_authorization(request.headers, header)
        position = None if request.stream.__class__ is self._byte_stream else _position(request.stream)
        response = yield request
        if prove is not None:
            note_nonces(self._proofs, response)  # type: ignore[arg-type]  # bound tokens come with them
        if response.status_code not in self._telling and not source.rejecting_origins:
            return
        parts, exchange = self._parts, AsyncHttpxExchange(self._sent(place, position), response)
        if response.status_code not in self._replaying:
            note_answer(parts, place[:3], header, exchange, is_replay=False)
            return
        steps = replacing(parts, place[:3], header, exchange)
        go_on: Callable[[Any], Any] = steps.send
        result: Any = None
        while True:
            try:
                step = go_on(result)
            except StopIteration:
                return
            if isinstance(step, SendAgain):
                exchange.response = yield step.function()
                go_on, result = steps.send, None
                continue
            try:
                go_on, result = steps.send, await step.wait_async()
            except BaseException as error:  # noqa: BLE001 - cancellation reaches the steps, too
                go_on, result = steps.throw, error

    def _prove(self, request: Any, prove: Prover) -> None:
        """Add a proof to a request whose token is bound to a key."""
        assert self._proofs is not None  # noqa: S101 - bound tokens come with them
        # Before the token, whose header is set faster where it's the last one.
        self._fast_path.set_proof(request.headers, self._proofs.header(prove, request.method, str(request.url)))

    def _sent(self, place: Place, position: int | None) -> Sent:
        """Return what the exchange needs to know of a request that was sent."""
        origin_of = self._fast_path.origin_of
        return Sent(self._library, self._byte_stream, origin_of, place[:3], position, self._shows_certificate)

    def _may_address(self, place: Place, request: Any) -> bool:
        """Return whether the token may go with this request, and remember its place if so."""
        url = request.url
        if self._reach is not None and not covers(self._reach, str(url)):
            take_off(request.headers, self._source)
            return False
        if not self._origins.admits(f"{url.scheme}://{url.netloc.decode('ascii')}"):
            return False
        self._origins.remember(place, True)  # noqa: FBT003 - that it's there is all that counts
        return True

    def _is_repeatable(self, request: Any) -> bool:
        stream = request.stream
        return isinstance(stream, self._byte_stream) or can_rewind(stream, _position(stream))


def _origin(url: Any) -> Origin:
    return url.scheme, url.raw_host, url.port


def _origin_private(url: Any) -> Origin:
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


def _set_proof(headers: Any, value: str) -> None:
    headers["DPoP"] = value


def _set_proof_private(headers: Any, value: str) -> None:
    fields = headers._list  # noqa: SLF001
    for present in fields:
        if present[1] == b"dpop":
            headers["DPoP"] = value
            return
    fields.append((b"DPoP", b"dpop", value.encode("ascii")))


def _place(url: Any) -> Place:
    return *_origin(url), url.raw_path.partition(b"?")[0]


def _place_private(url: Any) -> Place:
    parts = url._uri_reference  # noqa: SLF001
    return parts.scheme, parts.host, parts.port, parts.path


class FastPath(Record):
    """Four operations of the hot path, through private attributes of the library if these are as expected.

    The public API, three properties of a URL and `headers[name] = value`, costs more than all else that a request with
    a valid token needs. The private one is tried on examples before it's used.
    """

    origin_of: Callable[[Any], Origin]
    place_of: Callable[[Any], Place]
    """What a request's admission depends on: its origin, or with its path where the token may not go to all of them."""
    set_authorization: Callable[[Any, str], None]
    set_proof: Callable[[Any, str], None]

    @classmethod
    def for_library(cls, library: Any) -> FastPath:
        plain = cls(_origin, _origin, _set_authorization, _set_proof)
        try:
            for text in ("https://api.example.com/v1?x=1", "http://u:p@127.0.0.1:8000", "http://[::1]:80/"):
                url = library.URL(text)
                if _origin_private(url) != (url.scheme, url.host, url.port):
                    return plain
            for before in ([], [("authorization", "Basic")], [("authorization", "Basic"), ("Accept", "*/*")]):
                one, other = library.Headers(before), library.Headers(before)
                for values in (("proof", "Bearer token"), ("another", "Bearer token")):
                    _set_proof_private(one, values[0])
                    _set_proof(other, values[0])
                    _set_authorization_private(one, values[1])
                    _set_authorization(other, values[1])
                if one.raw != other.raw or one["authorization"] != "Bearer token":
                    return plain
        except Exception:  # noqa: BLE001 - a version of the library with other internals
            return plain
        return cls(_origin_private, _origin_private, _set_authorization_private, _set_proof_private)

    def by_path(self) -> FastPath:
        """Return the same for tokens that may not go to all paths of an origin."""
        return replace(self, place_of=_place if self.origin_of is _origin else _place_private)


def _position(stream: Any) -> int | None:
    """Return the position of the file behind a request's stream, or None if there is none."""
    return position_of(stream._stream) if type(stream).__name__ == "IteratorByteStream" else None  # noqa: SLF001
