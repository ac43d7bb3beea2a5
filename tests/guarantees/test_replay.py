"""Guarantee 6: a replay sends the same bytes or isn't made."""

from __future__ import annotations

import dataclasses
import io
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest

from oauth_auth import OAuthToken
from oauth_auth._plugins.exchange import DRAIN_LIMIT
from tests.support.connections import Streamed, limits, one_connection, stream
from tests.support.modes import (
    AIOHTTP,
    ALL,
    ASYNC,
    HTTPX,
    HTTPX2,
    HTTPX_ASYNCIO,
    NIQUESTS,
    NIQUESTS_ASYNCIO,
    OF_HTTPX,
    OF_REQUESTS,
    REQUESTS,
    SYNC,
    Mode,
    adapter_of,
)
from tests.support.raw import ServeRaw
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, accepting, client_credentials

Serve = Callable[..., ScriptedServer]

GIVEN = OAuthToken(access_token="given")
"""A token that no API of these tests takes: the first request is rejected, and renewed with `token-1`."""

TEXT = b"It was a bright cold day in April, and the clocks were striking thirteen. " * 2000
"""Longer than what is read of a file at once."""


def sent(server: ScriptedServer) -> list[tuple[str, str, str | None]]:
    """Return what a server got: method, path and token."""
    return [
        (request.method, request.path, request.authorization and request.authorization.removeprefix("Bearer "))
        for request in server.requests
    ]


def form(mode: Mode, fields: dict[str, str]) -> dict[str, Any]:
    """Return the options that send a form."""
    return {"data": fields} if mode.is_like_httpx else {"body": fields}


def multipart(mode: Mode, fields: dict[str, str], files: dict[str, tuple[str, Any, str]]) -> dict[str, Any]:
    """Return the options that send a form with files: name, content and type."""
    if mode.library is not aiohttp:
        return {"files": files, **form(mode, fields)}
    body = aiohttp.FormData(fields)
    for field, (name, content, kind) in files.items():
        body.add_field(field, content, filename=name, content_type=kind)
    return {"body": body}


# -- Bodies that can be sent again --------------------------------------------------------------------------------


def check_replayed(mode: Mode, tokens: Tokens, api: ScriptedServer, expected: bytes, **options: Any) -> None:
    """Check that a request whose token is rejected is sent again with the same bytes and headers."""
    method = options.pop("method", "POST")
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        response = client.send(method, f"{api.url}/path?query=1", **options)
        assert (200, expected) == (response.status_code, response.content)

    assert [(method, "/path?query=1", "given"), (method, "/path?query=1", "token-1")] == sent(api)
    first, replay = api.requests
    assert (expected, expected) == (first.body, replay.body)
    assert {**first.headers, "authorization": "Bearer token-1"} == replay.headers
    assert 1 == tokens.calls


@pytest.mark.parametrize("body", [None, b"", "", b"bytes", "te\xd7t", TEXT], ids=lambda body: repr(body)[:20])
def test_plain_body_is_sent_again(mode: Mode, tokens: Tokens, api: ScriptedServer, body: bytes | str | None) -> None:
    """Bytes, text and no body at all are the same in the replay."""
    expected = body.encode() if isinstance(body, str) else body or b""
    check_replayed(mode, tokens, api, expected, body=body)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_method_is_the_same(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, method: str) -> None:
    """The replay has the method and the body of the request, whatever the method is."""
    check_replayed(plugin_mode, tokens, api, b"a body", method=method, body=b"a body")


def test_head_is_replayed(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A HEAD, whose 401 has no body, is replayed."""
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 200 == client.send("HEAD", api.url).status_code

    assert [("HEAD", "/", "given"), ("HEAD", "/", "token-1")] == sent(api)


def test_json_is_sent_again(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """JSON, with its content type, is the same in the replay."""
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 200 == client.send("POST", api.url, json={"name": "Zo\xeb"}).status_code

    first, replay = api.requests
    assert first.body == replay.body != b""
    assert first.headers["content-type"] == replay.headers["content-type"]
    assert "application/json" == first.headers["content-type"].partition(";")[0]


def test_form_is_sent_again(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A form, with its content type, is the same in the replay."""
    check_replayed(mode, tokens, api, b"name=a+b&other=%26", **form(mode, {"name": "a b", "other": "&"}))


def test_headers_of_the_caller_are_sent_again(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """Headers of the caller's are on the replay, one that replaces `Host` included."""
    headers = {"X-Mine": "1", "Accept": "text/plain", "Host": "api.example"}
    check_replayed(mode, tokens, api, b"x", body=b"x", headers=headers)
    assert headers.items() <= {name.title(): value for name, value in api.requests[1].headers.items()}.items()


@dataclasses.dataclass(frozen=True)
class Part:
    """A file in a multipart body; `make` opens it."""

    name: str
    make: Callable[[Path], Any]

    def __str__(self) -> str:
        return self.name


def real_file(folder: Path, content: bytes = TEXT, position: int = 0) -> Any:
    path = folder / "upload"
    path.write_bytes(content)
    file = path.open("rb")
    file.seek(position)
    return file


@pytest.mark.parametrize(
    "part",
    [
        Part("bytes", lambda folder: TEXT),
        Part("BytesIO", lambda folder: io.BytesIO(TEXT)),
        Part("file", real_file),
        Part("empty", lambda folder: io.BytesIO()),
        Part("standing at its end", lambda folder: real_file(folder, position=len(TEXT))),
    ],
    ids=str,
)
def test_multipart_is_sent_again(mode: Mode, tokens: Tokens, api: ScriptedServer, part: Part, tmp_path: Path) -> None:
    """A multipart body with fields and two files is the same in the replay."""
    file = part.make(tmp_path)
    try:
        files = {"file": ("name.txt", file, "text/plain"), "other": ("x", b"other file", "text/x-other")}
        with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
            assert 200 == client.send("POST", api.url, **multipart(mode, {"field": "value"}, files)).status_code
    finally:
        if isinstance(file, io.IOBase):
            file.close()

    first, replay = api.requests
    assert b"other file" in first.body
    assert first.body == replay.body
    assert first.headers["content-type"] == replay.headers["content-type"]


@dataclasses.dataclass(frozen=True)
class Body:
    """A body of a kind: `make` makes it, `expected` is what arrives."""

    name: str
    make: Callable[[Path], Any]
    expected: bytes = TEXT

    def __str__(self) -> str:
        return self.name


def at(file: Any, position: int) -> Any:
    file.seek(position)
    return file


def spooled() -> Any:
    file = tempfile.SpooledTemporaryFile(max_size=1_000_000)  # noqa: SIM115
    file.write(TEXT)
    return at(file, 0)


class Seekable:
    """A file of another's making: it can be read, iterated, and sent back, and that's all."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)
        self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)


FILES = [
    Body("BytesIO", lambda folder: io.BytesIO(TEXT)),
    Body("file", real_file),
    Body("unbuffered file", lambda folder: open(real_file(folder).name, "rb", buffering=0)),  # noqa: SIM115, PTH123
    Body("spooled", lambda folder: spooled()),
    Body("BufferedReader", lambda folder: io.BufferedReader(io.BytesIO(TEXT))),
    Body("short", lambda folder: io.BytesIO(b"x"), b"x"),
]
FILES_OF_ONE_S_OWN = [Body("seekable", lambda folder: Seekable(TEXT))]
TEXT_FILES = [
    Body("text file", lambda folder: open(real_file(folder).name)),  # noqa: SIM115, PTH123
    Body("StringIO", lambda folder: io.StringIO(TEXT.decode())),
]


def file_bodies() -> Iterator[Any]:
    for mode in SYNC:
        own = FILES_OF_ONE_S_OWN if mode.takes_any_file else []
        text = TEXT_FILES if mode.library is aiohttp else []  # the others take files of bytes
        for body in (*FILES, *own, *text):
            yield pytest.param(mode, body, id=f"{body}-{mode}")


def close(body: Any) -> None:
    if isinstance(body, io.IOBase):
        body.close()


@pytest.mark.parametrize(("mode", "body"), list(file_bodies()))
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_file_is_sent_again(mode: Mode, tokens: Tokens, api: ScriptedServer, body: Body, tmp_path: Path) -> None:
    """A file that can be sent back is sent again from its beginning."""
    file = body.make(tmp_path)
    try:
        check_replayed(mode, tokens, api, body.expected, body=file)
    finally:
        close(file)


@pytest.mark.parametrize("mode", SYNC, ids=str)
@pytest.mark.parametrize("position", [1, 65_536, len(TEXT) - 1])
@pytest.mark.parametrize("kind", ["BytesIO", "file"])
def test_file_is_sent_again_from_where_it_stood(
    mode: Mode, tokens: Tokens, api: ScriptedServer, position: int, kind: str, tmp_path: Path
) -> None:
    """A file that stood at some place is sent again from there, not from its beginning."""
    file = at(io.BytesIO(TEXT), position) if kind == "BytesIO" else real_file(tmp_path, position=position)
    # httpx takes the length of the whole file, so there the caller has to say what is left.
    headers = {"Content-Length": str(len(TEXT) - position)} if mode.library is httpx else None
    with file:
        check_replayed(mode, tokens, api, TEXT[position:], body=file, headers=headers)


class Wanders(io.BytesIO):
    """A file that others use, too: it stands elsewhere as soon as it was read to its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if not piece:
            self.seek(33)
        return piece


@pytest.mark.parametrize("mode", SYNC, ids=str)
def test_file_is_sent_again_though_it_was_moved_in_between(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A file that was moved elsewhere after it was sent is sent again from where it stood at first."""
    headers = {"Content-Length": str(len(TEXT) - 10)} if mode.library is httpx else None
    check_replayed(mode, tokens, api, TEXT[10:], body=at(Wanders(TEXT), 10), headers=headers)


@pytest.mark.parametrize("mode", [HTTPX, HTTPX2], ids=str)
@pytest.mark.parametrize("make", [list, tuple])
def test_list_of_pieces_is_sent_again(
    mode: Mode, tokens: Tokens, api: ScriptedServer, make: Callable[[Iterable[bytes]], Any]
) -> None:
    """A list or tuple of bytes, which httpx sends as a stream, is the same in the replay."""
    check_replayed(mode, tokens, api, b"onetwo", body=make([b"one", b"two"]))


@pytest.mark.parametrize("mode", SYNC, ids=str)
def test_empty_file_is_sent_again(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A file with nothing in it is nothing again in the replay."""
    check_replayed(mode, tokens, api, b"", body=io.BytesIO())


# -- Bodies that can't be sent again ------------------------------------------------------------------------------


class NoSeek:
    """A file that can only be read."""

    def __init__(self, content: bytes = TEXT) -> None:
        self._file = io.BytesIO(content)
        self.read = self._file.read

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)


class SeekRaises(io.BytesIO):
    """A file that can't be sent back once it was read to its end."""

    spent = False

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.spent = super().tell() == len(self.getvalue())
        return piece

    def seek(self, position: int, whence: int = 0, /) -> int:
        if self.spent:
            raise OSError("the tape is torn")
        return super().seek(position, whence)


class SeekLies(SeekRaises):
    """A file that claims to be back and isn't."""

    def seek(self, position: int, whence: int = 0, /) -> int:
        return position if self.spent else super().seek(position, whence)


class SeekDoesNothing(SeekRaises):
    """A file whose `seek` returns nothing and does nothing."""

    def seek(self, position: int, whence: int = 0, /) -> int:
        return None if self.spent else super().seek(position, whence)  # type: ignore[return-value]


class TellRaises(io.BytesIO):
    """A file that doesn't know where it stands."""

    def tell(self) -> int:
        raise OSError("lost")


class ClosesItself(SeekRaises):
    """A file that's closed as soon as it was read to its end."""

    def read(self, size: int | None = -1, /) -> bytes:
        piece = b"" if self.closed else super().read(size)
        if self.spent:
            self.close()
        return piece


class Again:
    """An iterable that starts anew each time, which nobody can know."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"one"
        yield b"two"


class OnlyOnce:
    """An iterable that's spent after one time, and is empty then rather than an error."""

    def __init__(self) -> None:
        self._pieces = [b"one", b"two"]

    def __iter__(self) -> Iterator[bytes]:
        while self._pieces:
            yield self._pieces.pop(0)


class Unseekable(io.RawIOBase):
    """A file of the `io` module's kind that knows that it can only be read."""

    def __init__(self) -> None:
        self._pieces = [b"", b"two", b"one"]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        piece = self._pieces.pop() if self._pieces else b""
        buffer[: len(piece)] = piece
        return len(piece)


class OwnPayload(aiohttp.payload.Payload):
    """A payload of the caller's own making, which is spent after one time and doesn't say so."""

    def __init__(self) -> None:
        super().__init__(None, content_type="text/plain")
        self._pieces = [b"two", b"one"]

    async def write(self, writer: Any) -> None:
        while self._pieces:
            await writer.write(self._pieces.pop())

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise AssertionError("it's a stream")


class SyncStream(httpx.SyncByteStream, httpx2.SyncByteStream):
    """A stream of the caller's own making."""

    def __init__(self) -> None:
        self._pieces = iter([b"one", b"two"])

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


class AsyncStream(httpx.AsyncByteStream, httpx2.AsyncByteStream):
    """The same for async clients."""

    def __init__(self) -> None:
        self._pieces = [b"one", b"two"]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._pieces:
            yield self._pieces.pop(0)


class AsyncPieces:
    """An async iterable that is no generator."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"


class AsyncFile:
    """An async file, as from anyio or aiofiles: its `seek` must be awaited."""

    def __init__(self, content: bytes = b"onetwo") -> None:
        self._file = io.BytesIO(content)

    async def aread(self, size: int = -1) -> bytes:
        return self._file.read(size)

    async def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    async def seek(self, position: int, whence: int = 0) -> int:
        return self._file.seek(position, whence)

    async def tell(self) -> int:
        return self._file.tell()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._file.read()


class AsyncSeekRaises(AsyncFile):
    async def seek(self, position: int, whence: int = 0) -> int:
        raise OSError("the tape is torn")


class AsyncSeekLies(AsyncFile):
    async def seek(self, position: int, whence: int = 0) -> int:
        return position


def pieces() -> Iterator[bytes]:
    yield b"one"
    yield b"two"


async def async_pieces() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


def nothing() -> Iterator[bytes]:
    yield from ()


async def async_nothing() -> AsyncIterator[bytes]:
    for piece in nothing():
        yield piece


def pipe() -> Any:
    reading, writing = os.pipe()
    os.write(writing, b"onetwo")
    os.close(writing)
    return os.fdopen(reading, "rb")


def spent_bodies() -> Iterator[Any]:
    iterables = [
        Body("generator", lambda folder: pieces(), b"onetwo"),
        Body("empty generator", lambda folder: nothing(), b""),
        Body("iterator", lambda folder: iter([b"one", b"two"]), b"onetwo"),
        Body("map", lambda folder: map(bytes.upper, [b"one", b"two"]), b"ONETWO"),
        Body("iterable", lambda folder: Again(), b"onetwo"),
        Body("iterable, once", lambda folder: OnlyOnce(), b"onetwo"),
    ]
    files = [
        Body("seek raises", lambda folder: SeekRaises(TEXT)),
        Body("seek lies", lambda folder: SeekLies(TEXT)),
        Body("seek does nothing", lambda folder: SeekDoesNothing(TEXT)),
        Body("closes itself", lambda folder: ClosesItself(TEXT)),
    ]
    no_seek = Body("no seek", lambda folder: NoSeek())
    tell_raises = Body("tell raises", lambda folder: TellRaises(TEXT))
    for mode in SYNC:
        for body in (
            *(iterables if mode.takes_sync_generators else ()),
            *([no_seek] if mode.takes_any_file else ()),
            *files,
            *([tell_raises] if mode.takes_files_without_position else ()),
        ):
            yield pytest.param(mode, body, id=f"{mode}-{body}")
    for body in (
        Body("raw file that can't seek", lambda folder: Unseekable(), b"onetwo"),
        Body("buffered file that can't seek", lambda folder: io.BufferedReader(Unseekable()), b"onetwo"),
        Body("payload", lambda folder: OwnPayload(), b"onetwo"),
    ):
        yield pytest.param(AIOHTTP, body, id=f"{AIOHTTP}-{body}")
    # httpx takes a pipe for an empty file.
    for mode in (REQUESTS, NIQUESTS, AIOHTTP):
        yield pytest.param(mode, Body("pipe", lambda folder: pipe(), b"onetwo"), id=f"{mode}-pipe")
    for mode in (HTTPX, HTTPX2):
        yield pytest.param(mode, Body("byte stream", lambda folder: SyncStream(), b"onetwo"), id=f"{mode}-byte stream")
    for mode in ASYNC:
        for body in (
            Body("async generator", lambda folder: async_pieces(), b"onetwo"),
            Body("empty async generator", lambda folder: async_nothing(), b""),
            Body("async iterable", lambda folder: AsyncPieces(), b"onetwo"),
            Body("async byte stream", lambda folder: AsyncStream(), b"onetwo"),
        ):
            yield pytest.param(mode, body, id=f"{mode}-{body}")
    for mode in OF_HTTPX:
        if mode.backend is not None:
            yield pytest.param(mode, Body("async file", lambda folder: AsyncFile(), b"onetwo"), id=f"{mode}-async file")
    for make in (AsyncSeekRaises, AsyncSeekLies):
        body = Body(make.__name__, lambda folder, make=make: make(), b"onetwo")  # type: ignore[misc]
        yield pytest.param(NIQUESTS_ASYNCIO, body, id=f"{NIQUESTS_ASYNCIO}-{body}")


@pytest.mark.parametrize(("mode", "body"), list(spent_bodies()))
def test_spent_body_is_not_sent_again(
    mode: Mode, tokens: Tokens, api: ScriptedServer, body: Body, tmp_path: Path
) -> None:
    """A body that may be spent isn't sent again: the token is renewed, and the caller gets the 401, whole."""
    content = body.make(tmp_path)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        response = client.send("POST", api.url, body=content)
        assert (401, b"who are you?") == (response.status_code, response.content)
        assert "WWW-Authenticate" in response.headers
        # The next request has the new token.
        assert 200 == client.send("POST", api.url, body=b"next").status_code
    close(content)

    assert [("given", body.expected), ("token-1", b"next")] == [
        (token, request.body) for (_, _, token), request in zip(sent(api), api.requests, strict=True)
    ]
    assert 1 == tokens.calls


def test_rejection_of_a_spent_body_is_returned_though_the_renewal_fails(
    mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """Where nothing can be replayed, the failure of the renewal takes nothing away: the 401 comes back, whole."""
    tokens.answer = lambda request: Answer(401, {"error": "invalid_client"})
    body = pieces() if mode.backend is None else async_pieces()
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        response = client.send("POST", api.url, body=body)

    assert (401, b"who are you?") == (response.status_code, response.content)
    assert 1 == tokens.calls


def test_rejection_of_a_spent_body_is_returned_though_a_person_must_log_in(
    mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """The same where there's no way to another token at all."""
    body = pieces() if mode.backend is None else async_pieces()
    auth = mode.plugin.AuthorizationCodeAuth(tokens.url, "client", "secret", token=GIVEN)
    with mode.client(auth) as client:
        response = client.send("POST", api.url, body=body)

    assert (401, b"who are you?") == (response.status_code, response.content)


def test_answer_to_a_spent_body_is_returned_though_a_login_fails(
    mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer]
) -> None:
    """The same where an API asks for another login (RFC 9470), which the person closes."""
    challenge = (("WWW-Authenticate", 'Bearer error="insufficient_user_authentication", max_age="60"'),)
    demanding = serve(lambda request: Answer(401, b"log in anew", challenge))
    asked: list[Any] = []
    auth = mode.plugin.AuthorizationCodeAuth(
        tokens.url, "client", authorization_url=tokens.url, token=GIVEN, login=asked.append, step_up=True
    )
    body = pieces() if mode.backend is None else async_pieces()
    with mode.client(auth) as client:
        response = client.send("POST", demanding.url, body=body)

    assert (401, b"log in anew") == (response.status_code, response.content)
    assert (1, 1) == (len(asked), len(demanding.requests))


def multipart_files() -> Iterator[Any]:
    for mode in (HTTPX, HTTPX2, HTTPX_ASYNCIO, AIOHTTP):
        for make in (NoSeek, SeekRaises, SeekLies, ClosesItself):
            if make is not NoSeek or mode.takes_any_file:
                yield pytest.param(mode, make, id=f"{make.__name__}-{mode}")


@pytest.mark.parametrize(("mode", "make"), list(multipart_files()))
def test_multipart_with_a_spent_file_is_not_sent_again(
    mode: Mode, tokens: Tokens, api: ScriptedServer, make: Callable[[bytes], Any]
) -> None:
    """A multipart body with a file that can't be sent back isn't sent again; requests reads it in advance."""
    files = {"one": ("one", io.BytesIO(TEXT), "text/plain"), "two": ("two", make(TEXT), "text/plain")}
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        response = client.send("POST", api.url, **multipart(mode, {}, files))

    assert (401, b"who are you?") == (response.status_code, response.content)
    assert [("POST", "/", "given")] == sent(api)
    assert api.requests[0].body.count(TEXT) == 2
    assert 1 == tokens.calls


# -- Streamed answers ---------------------------------------------------------------------------------------------


def test_streamed_answer_of_the_replay_is_not_read_in_advance(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A caller who streams gets the replay's answer as a stream."""
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert Streamed(200, TEXT, was_read=False) == stream(client, "POST", api.url, content=TEXT)

    assert [("POST", "/", "given"), ("POST", "/", "token-1")] == sent(api)


def test_streamed_rejection_can_be_read(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A caller who streams, and whose body can't be sent again, gets the 401 as a stream."""
    body = pieces() if mode.backend is None else async_pieces()
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert Streamed(401, b"who are you?", was_read=False) == stream(client, "POST", api.url, content=body)

    assert 1 == tokens.calls


def test_streamed_second_rejection_can_be_read(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A caller who streams gets the second 401, and the first where nothing is replayed any more, readable."""
    api = serve(lambda request: Answer(401, b"never"))
    with mode.client(client_credentials(mode, tokens)) as client:
        answers = [stream(client, "GET", api.url) for _ in range(6)]

    assert [(401, b"never")] * 6 == [(answer.status, answer.content) for answer in answers]
    assert len(api.requests) < 12, "each one was replayed"


# -- Redirects ----------------------------------------------------------------------------------------------------

REDIRECTS = pytest.mark.parametrize(
    ("status", "method", "body"),
    [(301, "GET", b""), (302, "GET", b""), (303, "GET", b""), (307, "POST", b"a body"), (308, "POST", b"a body")],
)
"""What becomes of a POST at each of them."""


@REDIRECTS
def test_last_request_of_a_chain_of_redirects_is_replayed(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, status: int, method: str, body: bytes
) -> None:
    """After redirects it's the last request that is sent again, with the method and body that it had."""
    answer = accepting(tokens)
    onward = {"/one": "/two", "/two": "/three"}

    def script(request: Received) -> Answer:
        if request.path in onward:
            return Answer(status, b"", (("Location", onward[request.path]),))
        return answer(request)

    api = serve(script)
    with plugin_mode.client(client_credentials(plugin_mode, tokens, token=GIVEN)) as client:
        response = client.send("POST", f"{api.url}/one", body=b"a body")
        assert (200, body) == (response.status_code, response.content)
        assert f"{api.url}/three" == str(response.url)

    assert [
        ("POST", "/one", "given"),
        (method, "/two", "given"),
        (method, "/three", "given"),
        (method, "/three", "token-1"),
    ] == sent(api)
    first, replay = api.requests[2:]
    assert (body, body) == (first.body, replay.body)
    assert {**first.headers, "authorization": "Bearer token-1"} == replay.headers


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_file_that_was_redirected_is_replayed(
    mode: Mode, tokens: Tokens, serve: Serve, status: int, tmp_path: Path
) -> None:
    """A file that requests sent again after a redirect is sent once more from where it had stood."""
    answer = accepting(tokens)

    def script(request: Received) -> Answer:
        return Answer(status, b"", (("Location", "/two"),)) if request.path == "/one" else answer(request)

    api = serve(script)
    with (
        real_file(tmp_path, position=7) as file,
        mode.client(client_credentials(mode, tokens, token=GIVEN)) as client,
    ):
        assert 200 == client.send("POST", f"{api.url}/one", body=file).status_code

    assert [TEXT[7:]] * 3 == [request.body for request in api.requests]
    assert [("POST", "/one", "given"), ("POST", "/two", "given"), ("POST", "/two", "token-1")] == sent(api)


@REDIRECTS
def test_redirect_of_the_replay_carries_the_new_token(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, status: int, method: str, body: bytes
) -> None:
    """Where the replay is answered with a redirect, the requests that follow carry the new token, not the old."""
    answer = accepting(tokens)
    onward = {"/one": "/two", "/two": "/three"}

    def script(request: Received) -> Answer:
        if request.authorization in tokens.accepted and request.path in onward:
            return Answer(status, b"", (("Location", onward[request.path]),))
        return answer(request)

    api = serve(script)
    with plugin_mode.client(client_credentials(plugin_mode, tokens, token=GIVEN)) as client:
        response = client.send("POST", f"{api.url}/one", body=b"a body")
        assert (200, body) == (response.status_code, response.content)

    assert [
        ("POST", "/one", "given"),
        ("POST", "/one", "token-1"),
        (method, "/two", "token-1"),
        (method, "/three", "token-1"),
    ] == sent(api)


def test_redirect_that_is_not_followed_is_the_callers(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A caller who follows no redirects gets the one that the replay was answered with."""

    def script(request: Received) -> Answer:
        if request.authorization == "Bearer given":
            return Answer(401)
        return Answer(302, b"", (("Location", "/elsewhere"),))

    api = serve(script)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        response = client.get(f"{api.url}/", follow_redirects=False)

    assert (302, "/elsewhere") == (response.status_code, response.headers["Location"])
    assert [("GET", "/", "given"), ("GET", "/", "token-1")] == sent(api)


def test_endless_redirects_after_a_replay_end_where_the_client_says(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """The client's own limit of redirects holds, with one renewal and one replay."""

    def script(request: Received) -> Answer:
        if request.authorization == "Bearer given":
            return Answer(401)
        return Answer(302, b"", (("Location", f"{request.path}x"),))

    api = serve(script)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        client.limit_redirects(4)
        with pytest.raises(mode.library.TooManyRedirects):
            client.get(f"{api.url}/")

    assert 1 == tokens.calls
    assert ["given"] + ["token-1"] * (len(api.requests) - 1) == [token for _, _, token in sent(api)]
    assert len(api.requests) <= 6


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_replay_counts_for_no_redirect_in_requests(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """As many redirects as the session allows can be followed with a replay among them; httpx itself counts it."""
    answer = accepting(tokens)

    def script(request: Received) -> Answer:
        if request.path == "/one" and request.authorization in tokens.accepted:
            return Answer(302, b"", (("Location", "/two"),))
        return answer(request)

    api = serve(script)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        client.inner.max_redirects = 1
        assert 200 == client.get(f"{api.url}/one").status_code


# -- Connections --------------------------------------------------------------------------------------------------


REJECTIONS = {
    "plain": Answer(401, b"who are you?"),
    "empty": Answer(401),
    "chunked": Answer(401, b"3\r\nabc\r\n0\r\n\r\n", (("Transfer-Encoding", "chunked"),)),
    "long": Answer(401, TEXT[:DRAIN_LIMIT]),
}


@pytest.mark.parametrize("rejection", REJECTIONS.values(), ids=REJECTIONS)
def test_connection_of_the_rejection_is_used_again(mode: Mode, tokens: Tokens, serve: Serve, rejection: Answer) -> None:
    """The 401 is read to its end, so that the replay uses the same connection."""
    api = serve(lambda request: Answer(200) if request.authorization in tokens.accepted else rejection)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 200 == client.get(api.url).status_code

    first, replay = api.requests
    assert first.connection == replay.connection


def test_connection_of_a_streamed_rejection_is_used_again(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """The same where the caller streams."""
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 200 == stream(client, "GET", api.url).status

    first, replay = api.requests
    assert first.connection == replay.connection


def test_connection_of_the_rejection_serves_others_while_the_token_is_renewed(
    mode: Mode, tokens: Tokens, serve: Serve, held: threading.Event
) -> None:
    """A renewal that takes long holds no connection to the API: one is enough for the others meanwhile."""
    calling = threading.Event()
    answer = accepting(tokens)

    def answer_token(request: Received) -> Answer | None:
        calling.set()
        held.wait(20)
        return None

    tokens.answer = answer_token
    api = serve(lambda request: Answer(200, b"open to all") if request.path == "/open" else answer(request))
    with mode.client(client_credentials(mode, tokens, token=GIVEN), **limits(mode)) as client:
        one_connection(client, api.url)
        rejected = client.begin("GET", f"{api.url}/closed")
        assert calling.wait(20)
        assert 200 == client.get(f"{api.url}/open").status_code
        held.set()
        assert 200 == rejected.result(20).status_code

    assert [("GET", "/closed", "given"), ("GET", "/open", "given"), ("GET", "/closed", "token-1")] == sent(api)
    assert {1} == {request.connection for request in api.requests}


def test_enormous_rejection_holds_no_connection(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A 401 that's too long to be read is closed, so that the replay gets a connection though there may be only one."""
    enormous = Answer(401, b"x" * 3_000_000)
    api = serve(lambda request: Answer(200) if request.authorization in tokens.accepted else enormous)
    with mode.client(client_credentials(mode, tokens, token=GIVEN), **limits(mode)) as client:
        one_connection(client, api.url)
        assert 200 == client.get(api.url).status_code

    assert [("GET", "/", "given"), ("GET", "/", "token-1")] == sent(api)


def test_enormous_rejection_that_is_not_replaced_is_the_callers(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A 401 too long to be read in advance, of an API that rejects everything, can still be streamed."""
    body = b"x" * 3_000_000
    api = serve(lambda request: Answer(401, body))
    with mode.client(client_credentials(mode, tokens)) as client:
        answers = [stream(client, "GET", api.url) for _ in range(5)]

    assert [Streamed(401, body, was_read=False)] * 5 == answers


def test_enormous_rejection_whose_renewal_fails_holds_no_connection(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """Where no other token can be had, a 401 too long to be read is closed: its connection isn't lost to the client."""
    tokens.answer = lambda request: Answer(400, {"error": "invalid_scope"})
    api = serve(lambda request: Answer(401, b"x" * 3_000_000))
    with mode.client(client_credentials(mode, tokens, token=GIVEN), **limits(mode)) as client:
        one_connection(client, api.url)
        errors = client.get_many(api.url, 3)

    assert ["OAuthProviderException"] * 3 == [type(error).__name__ for error in errors]


BROKEN = {
    "short": Answer(401, b"half of", (("Content-Length", "100"), ("Connection", "close"))),
    "no chunk": Answer(401, b"zz\r\n", (("Transfer-Encoding", "chunked"), ("Connection", "close"))),
    "no gzip": Answer(401, b"this is no gzip", (("Content-Encoding", "gzip"),)),
    "no charset": Answer(401, b"\xff\xfe", (("Content-Type", "text/plain; charset=no-such"),)),
}


def broken_bodies(modes: Iterable[Mode]) -> list[Any]:
    return [
        pytest.param(mode, rejection, id=f"{mode}-{name}")
        for mode in modes
        for name, rejection in BROKEN.items()
        if name != "no chunk" or mode.sees_headers_first
    ]


# httpx leaves async generators behind where it can't decode, and trio minds.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore:Async generator:ResourceWarning")
@pytest.mark.parametrize(("mode", "rejection"), broken_bodies(ALL))
def test_rejection_with_a_broken_body_is_replayed(mode: Mode, tokens: Tokens, serve: Serve, rejection: Answer) -> None:
    """A 401 whose body breaks off or can't be decoded is replaced by the replay's answer all the same."""
    api = serve(lambda request: Answer(200, b"fine") if request.authorization in tokens.accepted else rejection)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        response = client.get(api.url)
        assert (200, b"fine") == (response.status_code, response.content)

    assert [("GET", "/", "given"), ("GET", "/", "token-1")] == sent(api)


@pytest.mark.parametrize(("mode", "rejection"), broken_bodies(SYNC))
def test_streamed_rejection_with_a_broken_body_is_replayed(
    mode: Mode, tokens: Tokens, serve: Serve, rejection: Answer
) -> None:
    """The same where the caller streams."""
    api = serve(lambda request: Answer(200, b"fine") if request.authorization in tokens.accepted else rejection)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert Streamed(200, b"fine", was_read=False) == stream(client, "GET", api.url)

    assert [("GET", "/", "given"), ("GET", "/", "token-1")] == sent(api)


HEAD_401 = b"HTTP/1.1 401 Unauthorized\r\n"
ENDLESS = {
    "chunks": (HEAD_401 + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    "drops": (HEAD_401 + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "drops of a known length": (HEAD_401 + b"Content-Length: 60000\r\n\r\n", b"x"),
    "until the connection ends": (HEAD_401 + b"Connection: close\r\n\r\n", b"x" * 4096),
    "nothing": (HEAD_401 + b"Content-Length: 10\r\n\r\n", b""),
}


@pytest.mark.parametrize(("name", "streamed"), [*((name, False) for name in ENDLESS), ("drops", True)])
def test_endless_rejection_is_replaced_in_time(
    mode: Mode, tokens: Tokens, serve_raw: ServeRaw, name: str, streamed: bool, unhurried: Callable[[], None]
) -> None:
    """A 401 that doesn't end is read for a second at most, streamed or not; then it's closed, and a replay follows."""
    unhurried()
    head, drip = ENDLESS[name]
    stuck = serve_raw(head, *([] if drip else [30.0]), drip=drip, every=0.005, accepted={"Bearer token-1"})
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        begun = time.monotonic()
        answer = stream(client, "GET", stuck.url).content if streamed else client.get(stuck.url).content
        seconds = time.monotonic() - begun

    assert b"fine" == answer
    assert seconds < 4
    assert 1 == tokens.calls


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_copies_of_a_request_that_was_replayed_are_replayed_again(
    mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """A request that's prepared once and sent as copies is replayed whenever its token is rejected."""
    auth = client_credentials(mode, tokens, token=GIVEN)
    with mode.client() as client:
        prepared = client.inner.prepare_request(mode.library.Request("GET", api.url, auth=auth))
        for _ in range(3):
            assert 200 == client.run(client.inner.send, prepared.copy()).status_code
            assert 200 == client.run(client.inner.send, prepared).status_code
            tokens.revoke()

    assert 3 == tokens.calls


# -- Cookies ------------------------------------------------------------------------------------------------------


def cookies_of(request: Received) -> dict[str, str]:
    pairs = (pair.strip().partition("=") for pair in request.headers.get("cookie", "").split(";"))
    return {name: value for name, _, value in pairs if name}


def setting(tokens: Tokens, *cookies: str) -> Callable[[Received], Answer]:
    """Return a script of an API whose 401 sets cookies."""

    def script(request: Received) -> Answer:
        if request.authorization in tokens.accepted:
            return Answer(200)
        return Answer(401, b"", tuple(("Set-Cookie", cookie) for cookie in cookies))

    return script


def test_cookies_of_the_rejection_are_kept(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """Cookies that the 401 sets are on the replay, beside those that the client had, and in its jar."""
    api = serve(setting(tokens, "set=1; Path=/", "changed=new; Path=/", "elsewhere=1; Path=/elsewhere"))
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        client.set_cookie("had", "0")
        client.set_cookie("changed", "old")
        assert 200 == client.get(f"{api.url}/api").status_code
        assert 200 == client.get(f"{api.url}/api").status_code
        assert {"had": "0", "set": "1", "changed": "new", "elsewhere": "1"} == client.cookies

    first, *others = [cookies_of(request) for request in api.requests]
    assert {"had": "0", "changed": "old"} == first
    assert [{"had": "0", "set": "1", "changed": "new"}] * 2 == others


def test_cookies_of_a_rejection_after_a_redirect_are_kept(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """The same where the 401 came after a redirect that set cookies of its own."""
    answer = setting(tokens, "second=2; Path=/")

    def script(request: Received) -> Answer:
        if request.path == "/one":
            return Answer(302, b"", (("Location", "/two"), ("Set-Cookie", "first=1; Path=/")))
        return answer(request)

    api = serve(script)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 200 == client.get(f"{api.url}/one").status_code
        assert {"first": "1", "second": "2"} == client.cookies

    assert [{}, {"first": "1"}, {"first": "1", "second": "2"}] == [cookies_of(request) for request in api.requests]


def test_cookie_that_the_rejection_deletes_is_not_on_the_replay(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A 401 that ends a session does so for the replay, too."""
    api = serve(setting(tokens, "session=; Path=/; Max-Age=0"))
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        client.set_cookie("session", "dead")
        client.set_cookie("other", "1")
        assert 200 == client.get(api.url).status_code
        assert {"other": "1"} == client.cookies

    assert [{"session": "dead", "other": "1"}, {"other": "1"}] == [cookies_of(request) for request in api.requests]


def test_cookies_are_kept_for_a_host_without_dots(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """Jars have rules of their own for names such as `localhost`: the cookies that a client had are kept there, too."""
    server = serve(setting(tokens, "set=1; Path=/", "gone=; Path=/; Max-Age=0"))
    url = server.url.replace("127.0.0.1", "localhost")
    tokens.accepted = {"Bearer given"}
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        server.script = lambda request: Answer(200, b"", (("Set-Cookie", "had=0"), ("Set-Cookie", "gone=0")))
        assert 200 == client.get(url).status_code
        tokens.revoke()
        server.script = setting(tokens, "set=1; Path=/", "gone=; Path=/; Max-Age=0")
        assert 200 == client.get(url).status_code

    assert [{}, {"had": "0", "gone": "0"}, {"had": "0", "set": "1"}] == [
        cookies_of(request) for request in server.requests
    ]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_cookie_header_of_the_caller_is_kept_where_the_rejection_sets_cookies(
    mode: Mode, tokens: Tokens, serve: Serve, host: str
) -> None:
    """A `Cookie` header that the caller wrote, of whatever text, is on the replay."""
    server = serve(setting(tokens, "set=1; Path=/"))
    written = 'mine="a b"; yours=x=y; theirs=%20'
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        url = server.url.replace("127.0.0.1", host)
        assert 200 == client.get(url, headers={"Cookie": written}).status_code

    first, replay = [cookies_of(request) for request in server.requests]
    assert {"mine": '"a b"', "yours": "x=y", "theirs": "%20"} == first
    assert first.items() <= replay.items()


def test_cookie_that_the_rejection_sets_for_others_changes_nothing(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A cookie of the same name for another host or path, set or deleted, leaves the client's own on the replay."""
    api = serve(setting(tokens, "one=x; Domain=other.example; Path=/", "two=; Path=/elsewhere; Max-Age=0"))
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        for name in ("one", "two"):
            client.set_cookie(name, "1")
        assert 200 == client.get(api.url).status_code
        assert {"one": "1", "two": "1"} == client.cookies

    assert [{"one": "1", "two": "1"}] * 2 == [cookies_of(request) for request in api.requests]


def test_cookie_header_of_the_caller_is_kept(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A `Cookie` header that the caller wrote is on the replay as it was."""
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 200 == client.get(api.url, headers={"Cookie": "mine=1; yours=2"}).status_code

    assert ["mine=1; yours=2"] * 2 == [request.headers["cookie"] for request in api.requests]


@pytest.mark.filterwarnings("ignore:Setting per-request cookies:DeprecationWarning")
def test_cookies_of_the_request_are_kept(plugin_mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """Cookies that the caller gave for one request are on its replay, and don't enter the client's jar."""
    api = serve(setting(tokens, "set=1; Path=/"))
    with plugin_mode.client(client_credentials(plugin_mode, tokens, token=GIVEN)) as client:
        assert 200 == client.get(api.url, cookies={"mine": "1"}).status_code
        assert {"set": "1"} == client.cookies

    assert [{"mine": "1"}, {"mine": "1", "set": "1"}] == [cookies_of(request) for request in api.requests]


# -- What the caller sees -----------------------------------------------------------------------------------------


@pytest.mark.having("shows_replays_in_history")
def test_rejection_is_in_the_history_and_the_token_call_is_not(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """The history holds the 401 and nothing of the token call; each response knows what was sent for it."""
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        response = client.send("POST", f"{api.url}/path", body=b"a body")

    assert [401] == [past.status_code for past in response.history]
    assert [b"who are you?"] == [past.content for past in response.history]
    both = [*response.history, response]
    assert ["Bearer given", "Bearer token-1"] == [past.request.headers["Authorization"] for past in both]
    assert [f"{api.url}/path"] * 2 == [str(past.request.url) for past in both]
    assert [f"{api.url}/path"] * 2 == [str(past.url) for past in both]
    assert all(past.elapsed.total_seconds() > 0 for past in both)


def test_no_rejection_leaves_no_history(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A request that had to fetch its token first has no history."""
    with mode.client(client_credentials(mode, tokens)) as client:
        assert [] == client.get(api.url).history


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_response_hooks_of_requests_see_each_final_response_once(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """Hooks of session and request see the replay's answer in place of the 401, and those of redirects, each once."""
    answer = accepting(tokens)

    def script(request: Received) -> Answer:
        if request.path == "/one" and request.authorization in tokens.accepted:
            return Answer(302, b"", (("Location", "/two"),))
        return answer(request)

    api = serve(script)
    seen: list[tuple[str, int]] = []

    def raise_for_status(response: Any, **options: Any) -> None:
        seen.append((response.request.path_url, response.status_code))
        response.raise_for_status()

    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 200 == client.get(f"{api.url}/one", hooks={"response": raise_for_status}).status_code
        client.inner.hooks["response"].append(raise_for_status)
        tokens.revoke()
        assert 200 == client.get(f"{api.url}/one").status_code

    assert [("/one", 302), ("/two", 200)] * 2 == seen


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_response_hook_of_requests_may_put_its_own_response_in_place(
    mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """What a hook of the caller's makes of the replay's answer is what the caller gets."""
    others: list[Any] = []

    def replace(response: Any, **options: Any) -> Any:
        other = type(response)()
        other.status_code, other.request, other.raw = 299, response.request, response.raw
        others.append(other)
        return other

    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert [client.get(api.url, hooks={"response": replace})] == others

    assert 1 == tokens.calls


@pytest.mark.parametrize("mode", OF_HTTPX, ids=str)
def test_event_hooks_of_httpx_see_each_request_and_response_once(
    mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """Event hooks see what is sent and what arrives, the replay with its new token and its body included."""
    requested: list[tuple[str | None, bytes]] = []
    answered: list[int] = []

    def on_request(request: Any) -> None:
        requested.append((request.headers.get("Authorization"), request.content))

    def on_response(response: Any) -> None:
        answered.append(response.status_code)

    async def on_request_async(request: Any) -> None:
        on_request(request)

    async def on_response_async(response: Any) -> None:
        on_response(response)

    hooks = (on_request, on_response) if mode.backend is None else (on_request_async, on_response_async)
    event_hooks = {"request": [hooks[0]], "response": [hooks[1]]}
    with mode.client(client_credentials(mode, tokens, token=GIVEN), event_hooks=event_hooks) as client:
        assert 200 == client.send("POST", api.url, body=b"a body").status_code

    assert [("Bearer given", b"a body"), ("Bearer token-1", b"a body")] == requested
    assert [401, 200] == answered


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_replay_is_sent_as_the_caller_asked(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """Time-outs, proxies, certificates and streaming of the request hold for its replay, too."""
    asked: list[dict[str, Any]] = []
    adapters = mode.library.adapters

    class Adapter(adapters.HTTPAdapter if mode.backend is None else adapters.AsyncHTTPAdapter):  # type: ignore[misc]
        def send(self, request: Any, **options: Any) -> Any:
            asked.append(dict(options))
            return super().send(request, **options)

    options = {"timeout": (11, 12), "verify": False, "stream": True, "proxies": {"https": "http://127.0.0.1:1"}}
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        client.inner.mount(api.url, Adapter())
        response = client.get(api.url, **options)
        client.run(response.close)

    first, replay = asked
    assert first == replay
    assert (11, 12) == replay["timeout"]


@pytest.mark.parametrize("mode", OF_HTTPX, ids=str)
@pytest.mark.parametrize("where", ["client", "request"])
def test_timeout_holds_for_the_replay(mode: Mode, tokens: Tokens, api: ScriptedServer, where: str) -> None:
    """The time-outs of client and request, and other extensions, are those of the replay."""
    at_client, at_request = ({"timeout": 17}, {}) if where == "client" else ({}, {"timeout": 17})
    with mode.client(client_credentials(mode, tokens, token=GIVEN), **at_client) as client:
        response = client.get(api.url, extensions={"mine": "kept"}, **at_request)

    assert dict.fromkeys(("connect", "read", "write", "pool"), 17) == response.request.extensions["timeout"]
    assert "kept" == response.request.extensions["mine"]


@pytest.mark.having("has_prepared_requests")
def test_prepared_request_can_be_sent_again_and_again(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A request object that the caller sends several times is replayed each time that its token is rejected."""
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        inner = client.inner
        if mode.is_like_requests:
            prepared = inner.prepare_request(mode.library.Request("POST", api.url, data=b"a body"))
        else:
            prepared = inner.build_request("POST", api.url, content=b"a body")
        statuses = []
        for _ in range(4):
            statuses.append(client.run(inner.send, prepared).status_code)
            tokens.revoke()

    assert [200] * 4 == statuses
    assert {b"a body"} == {request.body for request in api.requests}
    assert ["given", "token-1", "token-1", "token-2", "token-2", "token-3", "token-3", "token-4"] == [
        token for _, _, token in sent(api)
    ]


def test_exception_of_the_replay_is_the_librarys_own(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A replay whose connection breaks raises what the library raises for any request."""
    api = serve(lambda request: Answer(401 if request.authorization == "Bearer given" else 0))
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client, pytest.raises(mode.transport_error):
        client.send("POST", api.url, body=b"a body")

    assert 1 == tokens.calls


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_adapter_without_a_connection_returns_the_rejection(mode: Mode, tokens: Tokens) -> None:
    """A 401 from an adapter that names no connection to replay on is returned after the renewal, and no exception."""

    def answer(request: Any) -> Any:
        response = mode.library.Response()
        response.status_code = 200 if request.headers["Authorization"] == "Bearer token-1" else 401
        response.url, response.request = request.url or "", request
        response.raw = io.BytesIO(b"from the adapter")
        return response

    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        client.inner.mount("https://", adapter_of(mode, answer))
        response = client.get("https://api.example/")
        assert (401, b"from the adapter") == (response.status_code, response.content)
        assert 200 == client.get("https://api.example/").status_code

    assert 1 == tokens.calls
