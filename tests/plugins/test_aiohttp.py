"""What only aiohttp has: a middleware that is called at each hop, payloads, WebSockets, sessions of one loop."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from oauth_auth import ConfigurationError, InsecureTransportError, OAuthError, OAuthToken, _events
from oauth_auth.aiohttp import ClientCredentialsAuth, TokenProviderAuth, TokenTransportError
from tests.servers.tls import certificate_for_loopback, tls_before
from tests.support.modes import answered
from tests.support.raw import ServeRaw
from tests.support.scripted import Answer, ScriptedServer
from tests.support.tokens import Gate, Tokens, accepting
from tests.support.waiting import await_waiting

Serve = Callable[..., ScriptedServer]
Handler = aiohttp.ClientHandlerType
T = TypeVar("T")

GIVEN = OAuthToken(access_token="given")
"""A token that the APIs of these tests don't take."""


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Return what a coroutine function returns, or fail if it takes too long."""

    async def within_time() -> T:
        return await asyncio.wait_for(main(), 40)

    return asyncio.run(within_time())


def auth_of(tokens: Tokens, **options: Any) -> ClientCredentialsAuth:
    return ClientCredentialsAuth(tokens.url, "client", "secret", **options)


def session_of(*middlewares: Any, **options: Any) -> aiohttp.ClientSession:
    """Make a session whose jar takes cookies of IP addresses, too."""
    return aiohttp.ClientSession(middlewares=middlewares, cookie_jar=aiohttp.CookieJar(unsafe=True), **options)


async def status_of(session: aiohttp.ClientSession, url: str, method: str = "GET", **options: Any) -> int:
    """Send a request, and read its answer to the end."""
    async with session.request(method, url, **options) as response:
        await response.read()
        return response.status


def sent(server: ScriptedServer) -> list[tuple[str, str | None]]:
    """Return what a server got: path and token."""
    return [(request.path, request.authorization) for request in server.requests]


class Network:
    """A last middleware that answers in place of all hosts there are; `seen` is what they got."""

    def __init__(self, answer: Callable[[str], tuple[int, dict[str, str]]] = lambda url: (200, {})) -> None:
        self._answer = answer
        self.seen: list[tuple[str, str | None]] = []

    async def __call__(self, request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        self.seen.append((str(request.url), request.headers.get("Authorization")))
        return answered(request, *self._answer(str(request.url)))


# -- Redirects ------------------------------------------------------------------------------------------------------


async def within_a_task(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
    """Give each hop a task, and so a context, of its own."""
    return await asyncio.wait_for(handler(request), 30)


@pytest.mark.parametrize("total", [60, None], ids=["timed", "untimed"])
@pytest.mark.parametrize("outside", [(), (within_a_task,)], ids=["alone", "within tasks"])
def test_a_call_that_was_led_away_never_has_the_token_again(
    tokens: Tokens, serve: Serve, outside: tuple[Any, ...], total: float | None
) -> None:
    """Back at the first origin it has none either, nor after a redirect within that; the next call has it."""
    first = serve(lambda _: Answer(500))
    other = serve(lambda _: redirecting(f"{first.url}/back"))
    places = {"/go": redirecting(other.url), "/back": redirecting("/end")}
    first.script = lambda request: places.get(request.path, Answer(200))
    auth = auth_of(tokens, token=GIVEN)

    async def main() -> None:
        async with session_of(*outside, auth, timeout=aiohttp.ClientTimeout(total)) as session:
            async with session.get(f"{first.url}/go") as response:
                assert (200, f"{first.url}/end") == (response.status, str(response.url))
            await status_of(session, f"{first.url}/next")

    run(main)
    assert [("/go", "Bearer given"), ("/back", None), ("/end", None), ("/next", "Bearer given")] == sent(first)
    assert [("/", None)] == sent(other)


def redirecting(location: str, status: int = 302, header: str = "Location") -> Answer:
    return Answer(status, b"", ((header, location),))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("header", ["Location", "URI"])
def test_each_redirect_and_each_of_its_headers_counts(tokens: Tokens, serve: Serve, status: int, header: str) -> None:
    """Each status that leads on does so by `Location` and by its old name; within the origin the token stays."""
    other = serve(lambda _: Answer(200))
    first = serve(lambda _: Answer(500))
    places = {"/one": "two", "/two": f"{first.url}/three", "/three": other.url}
    first.script = lambda request: redirecting(places[request.path], status, header)

    async def main() -> None:
        async with session_of(auth_of(tokens, token=GIVEN)) as session, session.post(f"{first.url}/one", data=b"x"):
            pass

    run(main)
    assert [(path, "Bearer given") for path in ("/one", "/two", "/three")] == sent(first)
    assert [("/", None)] == sent(other)


def test_an_origin_that_is_not_allowed_leads_to_none_that_is(tokens: Tokens, serve: Serve) -> None:
    """A call that was begun elsewhere gets no token where a redirect leads it."""
    api = serve(lambda _: Answer(200))
    other = serve(lambda _: redirecting(api.url))

    async def main() -> None:
        async with session_of(auth_of(tokens, token=GIVEN, allowed_origins=[api.url])) as session:
            await status_of(session, other.url)
            await status_of(session, api.url)

    run(main)
    assert [("/", None)] == sent(other)
    assert [("/", None), ("/", "Bearer given")] == sent(api)


def test_an_origin_addressed_by_hand_gets_the_token(tokens: Tokens, serve: Serve) -> None:
    """Who follows no redirects and goes to the other origin by hand makes another call."""
    other = serve(lambda _: Answer(200))
    api = serve(lambda _: redirecting(other.url))

    async def main() -> None:
        async with session_of(auth_of(tokens, token=GIVEN)) as session:
            async with session.get(api.url, allow_redirects=False) as response:
                location = response.headers["Location"]
            await status_of(session, location)

    run(main)
    assert [("/", "Bearer given")] == sent(api) == sent(other)


def test_calls_at_the_same_time_are_told_apart(tokens: Tokens) -> None:
    """A call that is led away takes the token from no other that is under way to the same origin."""
    both_begun = asyncio.Barrier(2)
    network = Network(lambda url: (302, {"Location": "https://other.example/"}) if url.endswith("/go") else (200, {}))

    async def meet(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        if request.url.host == "api.example":
            await both_begun.wait()
        return await handler(request)

    async def main() -> None:
        async with session_of(meet, auth_of(tokens, token=GIVEN), network) as session:
            for _ in range(3):
                await asyncio.gather(
                    status_of(session, "https://api.example/go"), status_of(session, "https://api.example/stay")
                )

    run(main)
    expected = {"https://api.example/go": "Bearer given", "https://api.example/stay": "Bearer given"}
    assert {**expected, "https://other.example/": None} == dict(network.seen)
    assert 9 == len(network.seen)


def test_a_foreign_host_over_plain_http_raises_nothing_and_gets_nothing(tokens: Tokens) -> None:
    """Where a redirect leads to plain http, no token is on its way that it could endanger."""
    network = Network(lambda url: (200, {}) if "other" in url else (302, {"Location": "http://other.example/"}))

    async def main() -> int:
        async with session_of(auth_of(tokens, token=GIVEN), network) as session:
            return await status_of(session, "https://api.example/")

    assert 200 == run(main)
    assert [("https://api.example/", "Bearer given"), ("http://other.example/", None)] == network.seen


@pytest.mark.parametrize("status", [302, 401])
def test_a_location_that_is_no_url_is_the_callers(tokens: Tokens, status: int) -> None:
    """Who follows no redirects gets an answer whose `Location` can't be read."""
    network = Network(lambda url: (status, {"Location": "http://[::1"}))

    async def main() -> list[int]:
        async with session_of(auth_of(tokens), network) as session:
            return [await status_of(session, "https://api.example/", allow_redirects=False) for _ in range(2)]

    assert [status] * 2 == run(main)


def test_however_many_calls_are_led_elsewhere_none_takes_the_token(tokens: Tokens, serve: Serve) -> None:
    """However many calls are redirected at once to another origin, and on within it, none has the token there."""
    other = serve(lambda request: redirecting("/end") if request.path == "/" else Answer(200))
    first = serve(lambda _: redirecting(f"{other.url}/"))

    async def main() -> set[int]:
        connector = aiohttp.TCPConnector(limit=100)
        async with session_of(auth_of(tokens, token=GIVEN), connector=connector) as session:
            return set(await asyncio.gather(*(status_of(session, first.url) for _ in range(1500))))

    assert {200} == run(main)
    assert {("/", "Bearer given")} == set(sent(first))
    assert {("/", None), ("/end", None)} == set(sent(other))


def test_calls_that_nobody_follows_make_no_other_forgotten(tokens: Tokens, serve: Serve) -> None:
    """A call that waits at another origin has no token there, however many calls end at a redirect meanwhile."""
    go_on = threading.Event()
    other = serve(lambda request: redirecting("/end") if go_on.wait(20) and request.path == "/" else Answer(200))
    first = serve(lambda _: redirecting(f"{other.url}/"))
    auth = auth_of(tokens, token=GIVEN)

    async def main() -> int:
        async with session_of(auth) as session:
            led = asyncio.create_task(status_of(session, first.url))
            for _ in range(1100):
                await status_of(session, first.url, allow_redirects=False)
            go_on.set()
            return await led

    assert 200 == run(main)
    assert {("/", None), ("/end", None)} == set(sent(other))


# -- Bodies ---------------------------------------------------------------------------------------------------------

PIECES = [b"one", b"two"]
LONG = b"0123456789abcdef" * 350_000
"""More than the systems' buffers take before the server reads any of it."""


async def pieces() -> AsyncIterator[bytes]:
    for piece in PIECES:
        yield piece


def form(*parts: Any) -> aiohttp.FormData:
    data = aiohttp.FormData({"field": "value"})
    for part in parts:
        data.add_field("part", part, filename="part", content_type="text/plain")
    return data


def nested(part: Any) -> aiohttp.MultipartWriter:
    inner = aiohttp.MultipartWriter("mixed")
    inner.append("text")
    inner.append(part)
    outer = aiohttp.MultipartWriter("form-data")
    outer.append(inner)
    return outer


@contextmanager
def pipe() -> Iterator[Any]:
    reading, writing = os.pipe()
    os.write(writing, b"".join(PIECES))
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        yield file


FIXED: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "nested multipart": (lambda: nested(io.BytesIO(b"onetwo")), {}),
    "form of files": (lambda: form(io.BytesIO(b"one"), io.BufferedReader(io.BytesIO(b"two"))), {}),
    "payload": (lambda: aiohttp.payload.BytesPayload(b"onetwo"), {}),
    "compressed": (lambda: io.BytesIO(b"onetwo"), {"compress": "deflate"}),
    "chunked": (lambda: io.BytesIO(b"onetwo"), {"chunked": True}),
    "to be continued": (lambda: b"onetwo", {"expect100": True}),
    "nothing to be continued": (lambda: None, {"expect100": True}),
}


@pytest.mark.parametrize(("make", "options"), FIXED.values(), ids=FIXED)
def test_a_payload_is_sent_again_as_it_was(
    tokens: Tokens, api: ScriptedServer, make: Callable[[], Any], options: dict[str, Any]
) -> None:
    """All that aiohttp holds in memory or can rewind arrives twice, with the same headers."""

    async def main() -> int:
        async with session_of(auth_of(tokens, token=GIVEN)) as session:
            return await status_of(session, api.url, data=make(), **options, method="POST")

    assert 200 == run(main)
    first, replay = api.requests
    assert (first.body, {**first.headers, "authorization": "Bearer token-1"}) == (replay.body, replay.headers)
    assert make() is None or len(first.body) > 5


@pytest.mark.parametrize("part", [lambda: nullcontext(pieces()), pipe], ids=["generator", "pipe"])
@pytest.mark.parametrize("make", [form, nested])
def test_a_form_with_a_spent_part_is_not_sent_again(
    tokens: Tokens, api: ScriptedServer, make: Callable[[Any], Any], part: Callable[[], AbstractContextManager[Any]]
) -> None:
    """A part that's spent keeps the whole from being sent again, though neither says so; the 401 is the caller's."""

    async def main() -> tuple[int, bytes]:
        with part() as content:
            async with (
                session_of(auth_of(tokens, token=GIVEN)) as session,
                session.post(api.url, data=make(content)) as response,
            ):
                return response.status, await response.read()

    assert (401, b"who are you?") == run(main)
    [request] = api.requests
    assert b"onetwo" in request.body
    assert 1 == tokens.calls


def test_a_callers_file_is_never_closed_by_us(tokens: Tokens, api: ScriptedServer, tmp_path: Path) -> None:
    """Each time that the request goes out its file is open, at what it had read: closing it is aiohttp's affair."""
    path = tmp_path / "upload"
    path.write_bytes(LONG)
    closed = []

    async def look(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        closed.append(file.closed)
        response = await handler(request)
        closed.append(file.closed)
        return response

    with path.open("rb") as file:

        async def main() -> int:
            async with session_of(auth_of(tokens, token=GIVEN), look) as session:
                return await status_of(session, api.url, data=file, method="POST")

        assert 200 == run(main)
    assert [False] * 4 == closed
    assert [LONG, LONG] == [request.body for request in api.requests]


@asynccontextmanager
async def serving(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve what a function writes, in the loop that runs; in the end wait until each connection is closed."""
    handlers: set[asyncio.Task[Any] | None] = set()

    async def handle_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        with suppress(OSError):
            try:
                await handle(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    server = await asyncio.start_server(handle_and_close, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        await asyncio.gather(*(handler for handler in handlers if handler is not None))


class Gateway:
    """A server that decides by the headers: a 401 comes before the body is through, or in place of 100 Continue."""

    def __init__(self, tokens: Tokens, *, reads_on: bool) -> None:
        self._tokens = tokens
        self._reads_on = reads_on
        self.heads: list[str] = []
        self.bodies: list[bytes] = []

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        self._over = asyncio.Event()
        async with serving(self._serve) as url:
            try:
                yield url
            finally:
                self._over.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                self.heads.append(head)
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
                accepts = any(f"authorization: {token.lower()}\r\n" in head for token in self._tokens.accepted)
                waits = "expect: 100-continue" in head
                if accepts and waits:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                if not accepts:
                    writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno!")
                    if waits:
                        continue
                    if not self._reads_on:
                        await self._over.wait()
                        return
                body = await reader.readexactly(length)
                if accepts:
                    self.bodies.append(body)
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except asyncio.IncompleteReadError:
            pass


def long_file(folder: Path, mode: str = "rb") -> Any:
    path = folder / "upload"
    path.write_bytes(LONG)
    return path.open(mode)


EARLY: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda folder: aiohttp.payload.BytesPayload(LONG, content_type="text/plain"),
    "BytesIO": lambda folder: io.BytesIO(LONG),
    "file": long_file,
    "form": lambda folder: form(long_file(folder)),
}


@pytest.mark.parametrize("reads_on", [True, False])
@pytest.mark.parametrize("make", EARLY.values(), ids=EARLY)
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
def test_a_rejection_before_the_body_is_through(
    tokens: Tokens, make: Callable[[Path], Any], reads_on: bool, tmp_path: Path
) -> None:
    """What is still being sent has ended before it's sent again, from its beginning, as much as was announced."""
    gateway = Gateway(tokens, reads_on=reads_on)

    async def main() -> int:
        async with gateway.serve() as url, session_of(auth_of(tokens, token=GIVEN)) as session:
            return await status_of(session, url, data=make(tmp_path), method="POST")

    assert 200 == run(main)
    [body] = gateway.bodies
    assert LONG in body
    assert 2 == len(gateway.heads)


def test_a_rejection_in_place_of_100_continue(tokens: Tokens) -> None:
    """A body that was never sent, since the server refused to have it, is sent when it takes the token."""
    gateway = Gateway(tokens, reads_on=True)

    async def main() -> int:
        async with gateway.serve() as url, session_of(auth_of(tokens, token=GIVEN)) as session:
            return await status_of(session, url, data=b"onetwo", expect100=True, method="POST")

    assert 200 == run(main)
    assert [b"onetwo"] == gateway.bodies
    assert ["expect: 100-continue" in head for head in gateway.heads] == [True, True]


class Slow(io.RawIOBase):
    """A file whose second read takes until it's let go, in the thread where aiohttp reads it."""

    def __init__(self) -> None:
        self._file = io.BytesIO(LONG)
        self._reads = 0
        self.let_go = threading.Event()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = 0, /) -> int:
        return self._file.seek(position, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any, /) -> int:
        self._reads += 1
        if self._reads > 1:
            assert self.let_go.wait(30)
        return self._file.readinto(buffer)


async def held_up(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
    """Be a middleware that takes a moment, after which a sending that was cut short looks as if it had ended."""
    response = await handler(request)
    for _ in range(5):
        await asyncio.sleep(0)
    return response


@pytest.mark.parametrize("between", [(), (held_up,)], ids=["alone", "with another"])
@pytest.mark.parametrize("kind", ["slow file", "text"])
def test_a_file_that_may_still_be_read_is_not_sent_again(
    tokens: Tokens, kind: str, between: tuple[Any, ...], tmp_path: Path
) -> None:
    """A file whose reading can't be stopped, and hasn't come to its end, isn't rewound under it: the 401 stays."""
    gateway = Gateway(tokens, reads_on=False)
    slow = Slow()
    file = slow if kind == "slow file" else long_file(tmp_path, "r")

    async def main() -> tuple[int, bytes]:
        async with gateway.serve() as url, session_of(auth_of(tokens, token=GIVEN), *between) as session:
            try:
                async with session.post(url, data=file) as response:
                    return response.status, await response.read()
            finally:
                slow.let_go.set()

    assert (401, b"no!") == run(main)
    assert (1, 1) == (len(gateway.heads), tokens.calls)


# -- Token calls ----------------------------------------------------------------------------------------------------


def test_certificates_named_after_the_import_count(
    tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    """The library looks at `SSL_CERT_FILE` when it's imported; our calls do when they're made."""
    certificate = certificate_for_loopback(tmp_path)
    with tls_before(urlsplit(tokens.url).port or 0, certificate) as port:
        auth = ClientCredentialsAuth(f"https://127.0.0.1:{port}/token", "client", "secret")
        with pytest.raises(TokenTransportError, match="certificate"):
            auth.get_token()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_name("ca.pem")))
        assert "token-1" == auth.refresh().access_token


class OfTheMainThread(asyncio.DefaultEventLoopPolicy if sys.version_info < (3, 14) else object):  # type: ignore[misc]
    """A policy whose loops are for the main thread alone, as those of some toolkits are."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        assert threading.current_thread() is threading.main_thread()
        return super().new_event_loop()  # type: ignore[no-any-return]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="policies are on their way out of Python")
def test_the_programs_event_loop_policy_is_its_own(tokens: Tokens, api: ScriptedServer) -> None:
    """A token call's loop runs in a thread of ours, and so isn't made as the program's loops are."""
    asyncio.set_event_loop_policy(OfTheMainThread())
    try:

        async def main() -> int:
            async with session_of(auth_of(tokens)) as session:
                return await status_of(session, api.url)

        assert 200 == run(main)
    finally:
        asyncio.set_event_loop_policy(None)


HANGING = """
import asyncio, socket, threading, time
import aiohttp
from oauth_auth.aiohttp import ClientCredentialsAuth

real = socket.getaddrinfo
hung = []
def getaddrinfo(host, *args, **kwargs):
    if host == "hanging.example":
        hung.append(host)
        if len(hung) == 1:
            threading.Event().wait()
        raise socket.gaierror("unknown")
    return real(host, *args, **kwargs)
socket.getaddrinfo = getaddrinfo

async def main():
    auth = ClientCredentialsAuth("https://hanging.example/token", "client", "secret", token_timeout=4.0)
    async with aiohttp.ClientSession(middlewares=(auth,)) as session:
        begun = time.monotonic()
        try:
            await session.get("https://api.example/", timeout=aiohttp.ClientTimeout(0.3))
        except TimeoutError:
            print(time.monotonic() - begun < 3, flush=True)

asyncio.run(main())
print("the loop has ended")
"""

LATE = """
import asyncio, sys, threading
from oauth_auth import OAuthToken
from oauth_auth.aiohttp import RefreshTokenAuth

auth = RefreshTokenAuth(sys.argv[1], "client", "secret", refresh_token="refresh-0", on_token_update=lambda token:
    print("saved", token.refresh_token, flush=True))

def late():
    threading.main_thread().join()
    print("thread", auth.get_token().access_token, flush=True)

threading.Thread(target=late).start()
"""


def program(code: str, *arguments: str) -> tuple[str, str, int]:
    """Run a program; return what it printed on both streams, and its exit status."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.replace("\r", ""), done.stderr, done.returncode


def test_a_resolver_that_hangs_holds_up_nobody() -> None:
    """While a name is looked up for ever, callers have their own time-outs, and the process ends without waiting."""
    assert ("True\nthe loop has ended\n", "", 0) == program(HANGING)


def test_a_token_is_fetched_and_saved_after_the_main_thread_has_ended(tokens: Tokens) -> None:
    """No thread can be started any more, and the endpoint has a name to look up: the rotated token is saved."""
    tokens.fields["refresh_token"] = "refresh-1"
    url = tokens.url.replace("127.0.0.1", "localhost")
    assert ("saved refresh-1\nthread token-1\n", "", 0) == program(LATE, url)


def test_a_token_client_makes_a_session_for_each_call(tokens: Tokens) -> None:
    """It's called in the loop that the call runs in, and its session is closed after the call."""
    made: list[aiohttp.ClientSession] = []

    def make() -> aiohttp.ClientSession:
        made.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1), headers={"X-Mine": "1"}))
        return made[-1]

    auth = auth_of(tokens, token_client=make)
    auth.get_token()
    auth.refresh()
    assert [True, True] == [session.closed for session in made]
    assert ["1", "1"] == [request.headers["x-mine"] for request in tokens.server.requests]


def test_a_token_client_that_is_no_plain_function_is_refused(tokens: Tokens) -> None:
    """A session belongs to one event loop; an async function would have to be awaited: both say what to write."""

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            for given in (session, make):
                with pytest.raises(ConfigurationError, match="plain function that makes an aiohttp"):
                    auth_of(tokens, token_client=given)

    run(main)


def test_a_token_client_that_makes_something_else_is_an_error_of_ours(tokens: Tokens) -> None:
    """What it returns is known at the first call only: the error says what it must be."""
    for made in (None, "session", aiohttp.TCPConnector):
        with pytest.raises(OAuthError, match=r"must return an aiohttp\.ClientSession"):
            auth_of(tokens, token_client=lambda made=made: made).get_token()
    assert 0 == tokens.calls


# -- Errors ---------------------------------------------------------------------------------------------------------


def test_a_failed_token_call_is_not_tried_again_by_the_session(
    tokens: Tokens, api: ScriptedServer, quick: None
) -> None:
    """The session repeats requests at errors of the operating system: ours is none, and the middleware runs once."""
    tokens.answer = lambda _: Answer(0)
    count = []

    async def outermost(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        count.append(request)
        return await handler(request)

    async def main() -> None:
        async with session_of(outermost, auth_of(tokens)) as session:
            await status_of(session, api.url)

    with pytest.raises(aiohttp.ClientConnectionError) as caught:
        run(main)
    assert isinstance(caught.value, TokenTransportError)
    assert not isinstance(caught.value, OSError)
    assert (1, 0, 3) == (len(count), len(api.requests), tokens.calls)


def test_an_error_for_a_status_shows_no_token(tokens: Tokens, serve: Serve) -> None:
    """`ClientResponseError` holds the request's headers, and its repr shows them: the token's is hidden there."""
    api = serve(lambda _: Answer(403))

    async def main() -> None:
        async with session_of(auth_of(tokens), raise_for_status=True) as session:
            await status_of(session, api.url)

    with pytest.raises(aiohttp.ClientResponseError) as caught:
        run(main)
    assert [("/", "Bearer token-1")] == sent(api)
    for text in (repr(caught.value), str(caught.value), repr(caught.value.request_info), repr(caught.value.args)):
        assert "token-1" not in text


@pytest.mark.parametrize("size", [12, 3_000_000])
@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_a_renewal_that_comes_to_nothing_keeps_no_connection(
    tokens: Tokens, serve: Serve, gate: Gate, how: str, size: int
) -> None:
    """The 401's connection is free again, though somebody keeps the error, or the caller was cancelled meanwhile."""
    api = serve(lambda request: Answer(200) if request.path == "/open" else Answer(401, b"x" * size))
    auth = auth_of(tokens, token=GIVEN)
    kept: list[BaseException] = []

    async def main() -> int:
        async with session_of(auth, connector=aiohttp.TCPConnector(limit=1)) as session:
            rejected = asyncio.create_task(status_of(session, f"{api.url}/closed"))
            await asyncio.to_thread(gate.await_call)
            if how == "is cancelled":
                rejected.cancel()
            gate.open(Answer(400, {"error": "invalid_scope"}))
            try:
                await rejected
            except BaseException as error:
                kept.append(error)
            async with asyncio.timeout(10), session.get(f"{api.url}/open", middlewares=()) as response:
                return response.status

    assert 200 == run(main)
    assert ["CancelledError" if how == "is cancelled" else "OAuthProviderException"] == [
        type(error).__name__ for error in kept
    ]


# -- The rejected answer --------------------------------------------------------------------------------------------


def test_challenges_may_be_in_headers_of_their_own(tokens: Tokens, serve: Serve) -> None:
    """A server that names several schemes does so in several headers: what it says of the token isn't in the first."""
    challenges = (("WWW-Authenticate", 'Basic realm="x"'), ("WWW-Authenticate", 'Bearer error="insufficient_scope"'))
    api = serve(lambda _: Answer(401, b"", challenges))

    async def main() -> int:
        async with session_of(auth_of(tokens, token=GIVEN)) as session:
            return await status_of(session, api.url)

    assert 401 == run(main)
    assert 0 == tokens.calls


@pytest.mark.parametrize("size", [12, 60_000])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_rejection_that_was_read_can_be_read(tokens: Tokens, serve: Serve, size: int, streamed: bool) -> None:
    """Where there's no replay after all, the caller gets the 401 whole, in pieces or at once, and again."""
    api = serve(lambda _: Answer(401, b"x" * size))
    auth = auth_of(tokens)

    async def main() -> list[bytes]:
        read = []
        async with session_of(auth) as session:
            for _ in range(6):
                async with session.get(api.url) as response:
                    if streamed:
                        read.append(b"".join([piece async for piece in response.content.iter_chunked(1000)]))
                    else:
                        assert await response.text() == (await response.read()).decode()
                        read.append(await response.read())
        return read

    assert [b"x" * size] * 6 == run(main)
    assert len(api.requests) < 12, "each one was replayed"


def test_a_rejection_whose_body_breaks_later_is_replaced(tokens: Tokens, unhurried: Callable[[], None]) -> None:
    """A body that turns out to be no HTTP after its headers have arrived is of no matter.

    aiohttp doesn't tell who reads meanwhile, so the reading ends with the time that it's given.
    """
    unhurried()

    async def main() -> int:
        arrived = asyncio.Event()

        async def note(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
            response = await handler(request)
            arrived.set()
            return response

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"token-1" in head:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n")
                await arrived.wait()
                writer.write(b"zz\r\n")
            await writer.drain()

        async with serving(serve) as url, session_of(auth_of(tokens, token=GIVEN), note) as session:
            return await status_of(session, url)

    assert 200 == run(main)


def test_a_rejection_that_never_ends_is_the_callers_without_its_body(
    serve_raw: ServeRaw, unhurried: Callable[[], None]
) -> None:
    """One that announced little and sends nothing is given up; without a replay the caller has its status in time."""
    unhurried()
    stuck = serve_raw(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\n", 30.0)
    auth = TokenProviderAuth(lambda last: GIVEN)

    async def main() -> tuple[int, bytes, bytes]:
        async with session_of(auth) as session, session.get(stuck.url) as response:
            return response.status, await response.read(), await response.content.read()

    assert (401, b"", b"") == run(main)
    assert 1 == stuck.connections


def test_the_log_has_what_the_history_has_not(tokens: Tokens, api: ScriptedServer, log: Any) -> None:
    """The session makes the history after our middleware: a 401 that was replaced isn't in it, the log has it."""

    async def main() -> tuple[Any, ...]:
        async with session_of(auth_of(tokens, token=GIVEN)) as session, session.get(api.url) as response:
            return response.history

    assert () == run(main)
    assert 1 == len(log.with_word("rejected"))
    assert 1 == len(log.with_word("replayed"))


# -- WebSockets -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def echo(tokens: Tokens, seen: list[str | None]) -> AsyncIterator[str]:
    """Serve WebSockets that echo, to those who have the token."""

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        if seen[-1] not in tokens.accepted:
            return web.Response(status=401, text="who are you?")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("allowed", ["all", "http", "other"])
def test_a_websocket_has_the_token_and_a_new_one(tokens: Tokens, allowed: str) -> None:
    """The handshake carries the token, and is sent again with another; an origin of http counts for ws, too."""
    seen: list[str | None] = []

    async def main() -> str:
        async with echo(tokens, seen) as url:
            origins = {"all": None, "other": ["https://other.example"]}.get(
                allowed, [url.rstrip("/").replace("ws", allowed)]
            )
            auth = auth_of(tokens, token=GIVEN, allowed_origins=origins)
            async with session_of(auth) as session, session.ws_connect(url) as socket:
                await socket.send_str("hello")
                return str((await socket.receive()).data)

    if allowed == "other":
        with pytest.raises(aiohttp.WSServerHandshakeError):
            run(main)
        assert [None] == seen
    else:
        assert "hello" == run(main)
        assert ["Bearer given", "Bearer token-1"] == seen


def test_an_allowed_origin_of_https_counts_for_wss(tokens: Tokens) -> None:
    """With TLS it's the same, at the default port, too; and plain ws isn't allowed by it."""
    network = Network(lambda url: (403, {}))
    auth = auth_of(tokens, token=GIVEN, allowed_origins=["https://api.example"])

    async def main() -> None:
        async with session_of(auth, network) as session:
            for url in (
                "wss://api.example/",
                "wss://api.example:443/",
                "ws://api.example:443/",
                "wss://api.example:80/",
            ):
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await session.ws_connect(url)

    run(main)
    assert ["Bearer given", "Bearer given", None, None] == [token for _, token in network.seen]


def test_plain_ws_beyond_loopback_is_refused(tokens: Tokens) -> None:
    """The handshake would carry the token in the clear."""
    network = Network()

    async def main() -> None:
        async with session_of(auth_of(tokens), network) as session:
            await session.ws_connect("ws://api.example/")

    with pytest.raises(InsecureTransportError):
        run(main)
    assert ([], 0) == (network.seen, tokens.calls)


# -- Sessions -------------------------------------------------------------------------------------------------------


def test_a_base_url_is_the_origin(tokens: Tokens, api: ScriptedServer) -> None:
    """With `base_url` a request's path is enough; the token goes to that origin if it's allowed, and only then."""

    async def main() -> list[int]:
        statuses = []
        for allowed in (api.url, "https://other.example"):
            auth = auth_of(tokens, token=GIVEN, allowed_origins=[allowed])
            async with session_of(auth, base_url=f"{api.url}/base/") as session:
                statuses.append(await status_of(session, "path"))
        return statuses

    assert [200, 401] == run(main)
    assert [("/base/path", "Bearer given"), ("/base/path", "Bearer token-1"), ("/base/path", None)] == sent(api)


def test_middlewares_of_the_request_replace_those_of_the_session(tokens: Tokens, api: ScriptedServer) -> None:
    """Without any, there is no token; and an auth object may be given with one request."""
    auth = auth_of(tokens)

    async def main() -> list[int]:
        async with session_of(auth) as session, session_of() as bare:
            return [
                await status_of(session, api.url, middlewares=()),
                await status_of(bare, api.url, middlewares=(auth,)),
            ]

    assert [401, 200] == run(main)
    assert [("/", None), ("/", "Bearer token-1")] == sent(api)


def test_middlewares_around_it_see_one_request_and_those_behind_it_two(tokens: Tokens, api: ScriptedServer) -> None:
    """The first in the list is outermost: it sees the call, and those after ours each request with its token."""
    seen: list[tuple[str, str | None, int]] = []

    async def note(name: str, request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        header = request.headers.get("Authorization")
        response = await handler(request)
        seen.append((name, header, response.status))
        return response

    async def main() -> None:
        auth = auth_of(tokens, token=GIVEN)
        async with session_of(partial(note, "before"), auth, partial(note, "after")) as session:
            await status_of(session, api.url)

    run(main)
    assert [("after", "Bearer given", 401), ("after", "Bearer token-1", 200), ("before", None, 200)] == seen


def test_a_middleware_before_it_may_send_a_request_again(tokens: Tokens, serve: Serve) -> None:
    """One that retries calls ours with the same request object, which by then has a header of ours."""
    answers = iter([Answer(503), Answer(401), Answer(200)])
    api = serve(lambda _: next(answers))

    async def retry(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        response = await handler(request)
        return await handler(request) if response.status == 503 else response

    async def main() -> int:
        async with session_of(retry, auth_of(tokens)) as session:
            return await status_of(session, api.url, data=b"x", method="POST")

    assert 200 == run(main)
    assert ["Bearer token-1", "Bearer token-1", "Bearer token-2"] == [token for _, token in sent(api)]


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve: Serve) -> ScriptedServer:
    """Have a .netrc that knows loopback, and a proxy, which is returned."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password evil\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    proxy = serve(lambda _: Answer(200, b"from the proxy"))
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.url)
    return proxy


@pytest.mark.parametrize("whose", ["environment", "session", "request"])
def test_no_proxy_gets_what_is_for_this_machine(
    tokens: Tokens, api: ScriptedServer, own_environment: ScriptedServer, whose: str
) -> None:
    """Plain http to loopback goes there itself, and with the token instead of what a .netrc knows."""
    proxy = own_environment
    auth = auth_of(tokens, token=GIVEN)

    async def main() -> int:
        at_session = {"trust_env": True} if whose == "environment" else {}
        at_request = {"proxy": proxy.url} if whose == "request" else {}
        if whose == "session":
            at_session["proxy"] = proxy.url  # type: ignore[assignment]
        async with session_of(auth, **at_session) as session:
            return await status_of(session, api.url, **at_request)

    assert 200 == run(main)
    assert [("/", "Bearer given"), ("/", "Bearer token-1")] == sent(api)
    assert [] == proxy.requests


def test_other_hosts_are_reached_through_the_proxy(tokens: Tokens, own_environment: ScriptedServer) -> None:
    """A proxy of the session's is used for all else."""

    async def main() -> bytes:
        auth = auth_of(tokens, token=GIVEN, allow_insecure_transport=True)
        async with session_of(auth, trust_env=True) as session, session.get("http://api.invalid/") as response:
            return await response.read()

    assert b"from the proxy" == run(main)
    assert [("http://api.invalid/", "Bearer given")] == sent(own_environment)


def test_a_total_timeout_covers_the_wait_for_the_token(tokens: Tokens, api: ScriptedServer, gate: Gate) -> None:
    """The caller gets `TimeoutError` in time, and the flight goes on for the next one."""
    auth = auth_of(tokens)

    async def main() -> int:
        async with session_of(auth) as session:
            with pytest.raises(TimeoutError):
                await status_of(session, api.url, timeout=aiohttp.ClientTimeout(0.2))
            gate.open()
            return await status_of(session, api.url)

    assert 200 == run(main)
    assert (1, 1) == (tokens.calls, len(api.requests))


def test_raise_for_status_goes_by_the_last_answer(tokens: Tokens, serve: Serve) -> None:
    """A 401 that is replaced raises nothing, one that stays does."""
    accept = accepting(tokens)
    api = serve(lambda request: Answer(401) if request.path == "/never" else accept(request))

    async def main() -> int:
        async with session_of(auth_of(tokens, token=GIVEN), raise_for_status=True) as session:
            status = await status_of(session, api.url)
            with pytest.raises(aiohttp.ClientResponseError) as caught:
                await status_of(session, f"{api.url}/never")
            return status + caught.value.status

    assert 200 + 401 == run(main)


@pytest.mark.parametrize("token", [None, GIVEN], ids=["cold", "rejected"])
def test_loops_and_threads_share_one_object(
    tokens: Tokens, api: ScriptedServer, gate: Gate, token: OAuthToken | None
) -> None:
    """Two event loops with sessions of their own and twelve threads make one token call."""
    auth = auth_of(tokens, token=token)

    async def main() -> list[Any]:
        async with session_of(auth) as session:
            answers = await asyncio.gather(*(status_of(session, api.url) for _ in range(10)))
            return list(answers)

    with ThreadPoolExecutor(14) as pool:
        loops = [pool.submit(run, main) for _ in range(2)]
        await_waiting(auth, 20)
        threads = [pool.submit(auth.refresh if token else auth.get_token) for _ in range(12)]
        await_waiting(auth, 32)
        gate.open()
        assert [[200] * 10] * 2 == [loop.result(30) for loop in loops]
        assert {"token-1"} == {thread.result(30).access_token for thread in threads}
    assert 1 == tokens.calls


def test_an_answer_of_a_mock_is_judged_like_any_other(tokens: Tokens) -> None:
    """A last middleware that answers serves users' tests: its 401 is replaced, and its 200 needs no network."""
    statuses = iter([401, 200])
    network = Network(lambda url: (next(statuses), {}))

    async def main() -> int:
        async with session_of(auth_of(tokens, token=GIVEN), network) as session:
            return await status_of(session, "https://api.example/")

    assert 200 == run(main)
    assert [("https://api.example/", f"Bearer {token}") for token in ("given", "token-1")] == network.seen


# -- Wrong pairings -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:(The 'auth' parameter|BasicAuth) :DeprecationWarning")
@pytest.mark.parametrize("where", ["session", "request"])
def test_it_is_no_auth_of_a_session(tokens: Tokens, api: ScriptedServer, where: str) -> None:
    """`auth=` takes a name and a password: an object of ours there raises, and sends nothing."""
    auth: Any = auth_of(tokens)

    async def main() -> None:
        at_session, at_request = ({"auth": auth}, {}) if where == "session" else ({}, {"auth": auth})
        async with aiohttp.ClientSession(**at_session) as session:
            await status_of(session, api.url, **at_request)

    with pytest.raises(TypeError):
        run(main)
    assert ([], 0) == (api.requests, tokens.calls)


@pytest.mark.filterwarnings("ignore:old-style middleware:DeprecationWarning")
def test_it_is_no_middleware_of_a_server(tokens: Tokens, log: Any) -> None:
    """A server with it in its `middlewares` answers with 500, and no token is fetched."""

    async def main() -> int:
        application = web.Application(middlewares=[auth_of(tokens)])  # type: ignore[list-item]
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            async with session_of() as session:
                return await status_of(session, f"http://127.0.0.1:{runner.addresses[0][1]}/")
        finally:
            await runner.cleanup()

    assert 500 == run(main)
    assert 0 == tokens.calls


# -- Interrupted, and mistaken --------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["the renewal", "the rest of the answer"])
def test_a_rejected_answer_is_closed_when_its_caller_is_cancelled(
    tokens: Tokens, serve_raw: ServeRaw, when: str, monkeypatch: pytest.MonkeyPatch, unhurried: Callable[[], None]
) -> None:
    """A pool of one isn't lost to a 401 whose caller was cancelled while it waited for the renewal, or its own end."""
    unhurried()
    stuck = serve_raw(b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n", 30.0, accepted={"Bearer token-1"})
    gate = Gate()
    tokens.answer = gate if when == "the renewal" else None

    async def main() -> int:
        is_replaced = asyncio.Event()
        monkeypatch.setattr(_events, "listeners", [lambda name, _: is_replaced.set() if name == "replayed" else None])
        connector = aiohttp.TCPConnector(limit=1)
        async with session_of(auth_of(tokens, token=GIVEN), connector=connector) as session:
            body = pieces() if when == "the renewal" else b"once more"  # which isn't sent again, or is
            call = asyncio.create_task(status_of(session, stuck.url, "POST", data=body))
            await (asyncio.to_thread(gate.await_call) if when == "the renewal" else is_replaced.wait())
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            gate.open()
            async with asyncio.timeout(10):
                return await status_of(session, stuck.url)

    assert 200 == run(main)


def test_cookies_of_one_name_are_kept_apart(tokens: Tokens, serve: Serve) -> None:
    """A 401 that sets a cookie, and deletes one of the same name on another path, leaves the session the new one."""
    cookies = (("Set-Cookie", "sid=new; Path=/"), ("Set-Cookie", "sid=; Path=/old; Max-Age=0"))
    api = serve(lambda request: Answer(200) if request.authorization in tokens.accepted else Answer(401, b"", cookies))

    async def main() -> None:
        async with session_of(auth_of(tokens, token=GIVEN)) as session:
            assert 200 == await status_of(session, api.url)
            assert ["new"] == [cookie.value for cookie in session.cookie_jar]

    run(main)
    assert [None, "sid=new"] == [request.headers.get("cookie") for request in api.requests]
