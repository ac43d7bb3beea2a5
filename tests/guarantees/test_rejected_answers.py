"""Guarantee 6: the answer that rejects a token is the caller's, whole, or costs the client's connections nothing."""

from __future__ import annotations

import copy
import gc
import gzip
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urljoin

import pytest

from oauth_auth import OAuthToken
from tests.servers.h2c import H2CServer
from tests.support.connections import limits, one_connection, stream
from tests.support.modes import NIQUESTS, NIQUESTS_ASYNCIO, OF_HTTPX, OF_REQUESTS, Client, Mode
from tests.support.scripted import Answer, Pieces, Received, ScriptedServer
from tests.support.tokens import Gate, Tokens, client_credentials
from tests.support.waiting import await_waiting, outcome_of, promptly

Serve = Callable[..., ScriptedServer]

GIVEN = OAuthToken(access_token="given")
"""A token that no API of these tests takes: the first request is rejected, and renewed with `token-1`."""

TEXT = b"It was a bright cold day in April, and the clocks were striking thirteen. " * 100


def sent(server: ScriptedServer) -> list[tuple[str, str | None]]:
    """Return what a server got: path and token."""
    return [
        (request.path, request.authorization and request.authorization.removeprefix("Bearer "))
        for request in server.requests
    ]


# -- Answers that aren't replaced: whole ----------------------------------------------------------------------------

KINDS = {
    "closes": ("HTTP/1.1", Answer(401, TEXT, (("Connection", "close"),)), TEXT),
    "HTTP/1.0": ("HTTP/1.0", Answer(401, TEXT), TEXT),
    "long when unpacked": (
        "HTTP/1.1",
        Answer(401, gzip.compress(b"x" * 200_000), (("Content-Encoding", "gzip"),)),
        b"x" * 200_000,
    ),
    "comes in halves": ("HTTP/1.1", Answer(401, Pieces((TEXT, 0.8, TEXT))), TEXT * 2),
}
CUT = Answer(401, b"half of", (("Content-Length", "100"), ("Connection", "close")))


def read(client: Client, url: str, *, streamed: bool) -> tuple[int, bytes]:
    """Send a GET; return the answer's status and content."""
    answer: Any = stream(client, "GET", url) if streamed else client.get(url)
    return (answer.status if streamed else answer.status_code), answer.content


def at_last(answer: Answer) -> Callable[[Received], Answer]:
    """Reject everything, and at the last request with this answer."""
    return lambda request: answer if request.path == "/?last" else Answer(401)


@pytest.mark.parametrize("streamed", [False, True], ids=["read", "streamed"])
@pytest.mark.parametrize(("version", "answer", "content"), KINDS.values(), ids=KINDS)
def test_rejection_that_is_not_replaced_is_whole(
    mode: Mode, tokens: Tokens, serve: Serve, version: str, answer: Answer, content: bytes, streamed: bool
) -> None:
    """Where an API rejects everything, so that nothing is renewed any more, its answers are as if nobody had looked."""
    api = serve(at_last(answer), version=version)
    with mode.client(client_credentials(mode, tokens)) as client:
        for _ in range(5):
            assert 401 == client.get(f"{api.url}/").status_code
        calls = tokens.calls
        assert (401, content) == read(client, f"{api.url}/?last", streamed=streamed)

    assert calls == tokens.calls
    assert 1 == [path for path, _ in sent(api)].count("/?last")


@pytest.mark.parametrize("streamed", [False, True], ids=["read", "streamed"])
def test_rejection_that_breaks_off_is_what_the_library_makes_of_it(
    mode: Mode, tokens: Tokens, serve: Serve, streamed: bool
) -> None:
    """One that isn't replaced, and ends before its time, raises what the library raises without an auth object."""
    api = serve(at_last(CUT))
    with mode.client() as plain, mode.client(client_credentials(mode, tokens)) as client:
        for _ in range(5):
            assert 401 == client.get(f"{api.url}/").status_code
        expected, found = (
            outcome_of(lambda one=one: read(one, f"{api.url}/?last", streamed=streamed)) for one in (plain, client)
        )

    assert isinstance(expected, Exception), expected
    assert type(expected) is type(found)


# -- Answers that are replaced: their connections -------------------------------------------------------------------


def get_in_time(client: Client, url: str) -> Any:
    """Send a GET and return its answer; fail if it waits for a connection for ever."""
    return promptly(client.request, "GET", url) if client.mode.backend is None else client.get(url)


def in_chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def test_connection_of_a_packed_rejection_is_used_again(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A piece of a 401 of which nothing can be unpacked yet isn't its end: one connection is enough for all."""
    packed = gzip.compress(TEXT)
    chunks = in_chunks(packed[:10], packed[10:50], packed[50:])
    rejection = Answer(401, chunks, (("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")))
    api = serve(lambda request: Answer(200) if request.authorization in tokens.accepted else rejection)
    with mode.client(client_credentials(mode, tokens, token=GIVEN), **limits(mode)) as client:
        one_connection(client, api.url)
        for _ in range(3):
            tokens.revoke()
            assert 200 == get_in_time(client, api.url).status_code

    assert {1} == {request.connection for request in api.requests}
    assert (3, 6) == (tokens.calls, len(api.requests))


def pieces() -> Iterator[bytes]:
    yield b"one"


async def async_pieces() -> Any:
    yield b"one"


def interrupt(client: Client, auth: Any, gate: Gate, url: str, body: Any) -> None:
    """Send a request, and interrupt or cancel it as soon as it waits for the renewal of its token."""
    if client.mode.backend is not None:
        sending = client.begin("POST", url, body=body)
        gate.await_call()
        await_waiting(auth, 1)
        sending.cancel()
        return

    def press() -> None:
        gate.await_call()
        await_waiting(auth, 1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pressing = threading.Thread(target=press)
    pressing.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            client.request("POST", url, body=body)
    finally:
        pressing.join()
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="there's no SIGINT to send")
@pytest.mark.parametrize("content", [b"who are you?", b"x" * 3_000_000], ids=["short", "long"])
@pytest.mark.parametrize("can_replay", [True, False], ids=["bytes", "iterator"])
def test_interrupted_renewal_holds_no_connection(
    mode: Mode, tokens: Tokens, serve: Serve, gate: Gate, content: bytes, can_replay: bool
) -> None:
    """A caller that's interrupted or cancelled while the token is renewed leaves no connection behind with the 401."""
    api = serve(lambda request: Answer(200 if request.authorization in tokens.accepted else 401, content))
    auth = client_credentials(mode, tokens, token=GIVEN)
    iterator = pieces() if mode.backend is None else async_pieces()
    with mode.client(auth, **limits(mode)) as client:
        one_connection(client, api.url)
        interrupt(client, auth, gate, f"{api.url}/interrupted", b"one" if can_replay else iterator)
        gate.open()
        response = get_in_time(client, f"{api.url}/next")
        assert (200, content) == (response.status_code, response.content)

    assert ("/interrupted", "token-1") not in sent(api)
    assert 1 == tokens.calls


@pytest.mark.parametrize("streamed", [False, True], ids=["read", "streamed"])
def test_replay_has_the_time_that_the_caller_gives_it(mode: Mode, tokens: Tokens, serve: Serve, streamed: bool) -> None:
    """The short time that reading a 401 may take isn't that of the replay's answer, which pauses longer."""
    halves = Answer(200, Pieces((b"fi", 0.8, b"ne")))
    api = serve(lambda request: halves if request.authorization in tokens.accepted else Answer(401, TEXT))
    with mode.client(client_credentials(mode, tokens, token=GIVEN), **limits(mode)) as client:
        one_connection(client, api.url)
        assert (200, b"fine") == read(client, api.url, streamed=streamed)

    assert {1} == {request.connection for request in api.requests}


# -- Connections that others share ----------------------------------------------------------------------------------


@pytest.fixture
def serve_h2() -> Iterator[Callable[..., H2CServer]]:
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(H2CServer(script, pings=100))


class Stalling:
    """An API on HTTP/2 whose 401s never end, and whose other answers wait until a request has been replayed."""

    def __init__(self, serve_h2: Callable[..., H2CServer], tokens: Tokens) -> None:
        self.rejected_at = self.replayed_at = 0.0
        self._tokens = tokens
        self._others = threading.Semaphore(0)
        self._seen: set[str] = set()
        self.url = serve_h2(self._answer).url

    def _answer(self, request: Received) -> Answer | None:
        if request.path != "/rejected":
            if request.path not in self._seen:
                self._seen.add(request.path)
                self._others.release()
            return Answer(200, b"open to all") if self.replayed_at else None
        if request.authorization in self._tokens.accepted:
            self.replayed_at = time.monotonic()
            return Answer(200, b"fine")
        self.rejected_at = time.monotonic()
        return Answer(401, b"who", (("Content-Length", "12"),))

    def await_other(self) -> None:
        """Block until one more of the other requests has arrived."""
        assert self._others.acquire(timeout=20)

    def check_time(self) -> None:
        assert 0 < self.replayed_at - self.rejected_at < 2


@pytest.mark.parametrize("mode", OF_HTTPX, ids=str)
def test_rejection_that_stalls_ends_nothing_else_on_its_connection(
    mode: Mode, tokens: Tokens, serve_h2: Callable[..., H2CServer]
) -> None:
    """On HTTP/2 a 401 whose body doesn't come is replaced at once, and other requests on its connection go on."""
    api = Stalling(serve_h2, tokens)
    auth = client_credentials(mode, tokens, token=GIVEN)
    with mode.client(http1=False, http2=True, timeout=20) as client:
        others = []
        for number in range(2):  # one by one, else each would have a connection of its own
            others.append(client.begin("GET", f"{api.url}/{number}"))
            api.await_other()
        response = client.get(f"{api.url}/rejected", auth=auth)
        assert (200, b"fine") == (response.status_code, response.content)
        assert [b"open to all"] * 2 == [other.result(20).content for other in others]

    api.check_time()


# niquests leaves a connection with a stream that hasn't ended to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore:loop is closed:ResourceWarning")
@pytest.mark.parametrize("mode", [NIQUESTS, NIQUESTS_ASYNCIO], ids=str)
def test_promise_whose_rejection_stalls_ends_no_other(
    mode: Mode, tokens: Tokens, serve_h2: Callable[..., H2CServer]
) -> None:
    """The same for promises of a multiplexed session of niquests."""
    api = Stalling(serve_h2, tokens)
    auth = client_credentials(mode, tokens, token=GIVEN)
    urls = {f"{api.url}/0": None, f"{api.url}/rejected": auth, f"{api.url}/1": None}

    def get_all(session: Any) -> list[Any]:
        promised = [session.get(url, auth=auth, timeout=20) for url, auth in urls.items()]
        session.gather()
        return [(one.status_code, one.content) for one in promised]

    async def get_all_async(session: Any) -> list[Any]:
        promised = [await session.get(url, auth=auth, timeout=20) for url, auth in urls.items()]
        await session.gather()
        return [(one.status_code, one.content) for one in promised]

    with mode.client(multiplexed=True, disable_http1=True) as client:
        found = client.run(get_all if mode.backend is None else get_all_async, client.inner)

    assert [(200, b"open to all"), (200, b"fine"), (200, b"open to all")] == found
    api.check_time()
    del client
    gc.collect()


# -- Requests that were replayed: their copies, and where redirects lead them ---------------------------------------


def redirecting(tokens: Tokens) -> Callable[[Received], Answer]:
    """Accept the token issued last, and then redirect what comes to the first page."""

    def script(request: Received) -> Answer:
        if request.authorization not in tokens.accepted:
            return Answer(401)
        return Answer(302, b"", (("Location", "/target"),)) if request.path == "/" else Answer(200)

    return script


def to(path: str) -> Callable[[Any], Any]:
    """Copy a request, and give the copy another path."""

    def copied(request: Any) -> Any:
        other = request.copy()
        other.prepare_url(urljoin(request.url, path), {})
        return other

    return copied


COPIES: dict[str, Callable[[Any], Any]] = {
    "itself": lambda request: request,
    "copy": lambda request: request.copy(),
    "deep copy": copy.deepcopy,
    "next page": to("/?page=2"),
    "elsewhere": to("/elsewhere"),
}


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_of_a_request_that_was_replayed_and_redirected_are_replayed(
    mode: Mode, tokens: Tokens, serve: Serve, copied: Callable[[Any], Any]
) -> None:
    """A request that was replayed and then redirected can be sent again, and so can its copies, to any URL."""
    api = serve(redirecting(tokens))
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        prepared = client.inner.prepare_request(mode.library.Request("GET", f"{api.url}/"))
        assert 200 == client.run(client.inner.send, prepared).status_code
        tokens.revoke()
        assert 200 == client.run(client.inner.send, copied(prepared)).status_code

    assert 2 == tokens.calls


def test_renewal_that_helps_at_the_end_of_a_redirect_was_not_vain(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """Where a replay is redirected and its token accepted there, as many renewals as are needed are made."""
    api = serve(redirecting(tokens))
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        for _ in range(6):
            assert 200 == client.get(f"{api.url}/").status_code
            tokens.revoke()

    assert 6 == tokens.calls


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
@pytest.mark.parametrize("location", ["/target", "/target#there", "/", "/caf\xc3\xa9", "//{host}/"])
def test_redirect_of_a_replay_is_not_replayed(mode: Mode, tokens: Tokens, serve: Serve, location: str) -> None:
    """A replay that's redirected and rejected there, were it at the very same URL, is the caller's: it's sent once."""
    api = serve(lambda request: Answer(401, b"the second one"))
    location = location.format(host=api.url.removeprefix("http://"))
    answers = iter([Answer(401), Answer(302, b"", (("Location", location),))])
    api.script = lambda request: next(answers, Answer(401, b"the second one"))
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        response = client.get(f"{api.url}/")
        assert (401, b"the second one") == (response.status_code, response.content)

    assert ["given", "token-1", "token-1"] == [token for _, token in sent(api)]
    assert 1 == tokens.calls


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_no_redirect_of_a_replay_is_replayed_however_many_there_are(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """The same after several redirects."""
    onward = {"/": "/one", "/one": "/two"}

    def script(request: Received) -> Answer:
        if request.authorization == "Bearer given" or request.path not in onward:
            return Answer(401)
        return Answer(302, b"", (("Location", onward[request.path]),))

    api = serve(script)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 401 == client.get(f"{api.url}/").status_code

    assert [("/", "given"), ("/", "token-1"), ("/one", "token-1"), ("/two", "token-1")] == sent(api)
    assert 1 == tokens.calls
