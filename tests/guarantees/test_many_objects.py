"""Many objects in one event loop: beyond a few, their flights share one, and what holds for a thread holds there."""

from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from freezegun import freeze_time

from oauth_auth import MemoryTokenStore, TokenError, TokenResponseError, _events
from oauth_auth._flight import Flight
from oauth_auth._renewal import shared_loop
from oauth_auth._renewal.flights import RenewalFlight
from tests.guarantees.test_lifecycle import Program
from tests.support import modes
from tests.support.copies import forks, in_child
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Gate, Tokens, client_credentials
from tests.support.waiting import await_silence, flights_in_the_air, promptly

pytestmark = pytest.mark.shared_core

MODES = tuple(mode for mode in modes.OF_HTTPX if mode.backend is not None)


@pytest.fixture(params=modes.SHARING, ids=str)
def sharing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Mode:
    """Each mode in which all flights share an event loop."""
    return request.param.prepared(monkeypatch)  # type: ignore[no-any-return]


def shared_threads() -> int:
    return sum(thread.name == "oauth_auth-flights" for thread in threading.enumerate())


def run_in(mode: Mode, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Call a coroutine function in an event loop of the mode's kind."""
    assert mode.backend is not None
    return anyio.run(function, *args, backend=mode.backend)


async def all_of(functions: list[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """Await all at once, in either kind of event loop; return their results in order."""
    results: list[Any] = [None] * len(functions)

    async def keep(number: int, function: Callable[[], Awaitable[Any]]) -> None:
        results[number] = await function()

    async with anyio.create_task_group() as group:
        for number, function in enumerate(functions):
            group.start_soon(keep, number, function)
    return results


def get_tokens(mode: Mode, auths: list[Any]) -> list[str]:
    tokens = run_in(mode, all_of, [auth.aget_token for auth in auths])
    return [token.access_token for token in tokens]


# -- Threads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_many_objects_need_few_threads(mode: Mode, tokens: Tokens, gate: Gate) -> None:
    """300 objects that get a token in one event loop make a call each, and have few threads in all."""
    await_silence()
    auths = [client_credentials(mode, tokens, token_timeout=60) for _ in range(300)]
    most = 0

    def open_gate() -> None:
        nonlocal most
        for _ in auths:
            gate.await_call()
        most = len(flights_in_the_air())
        gate.open()

    opening = threading.Thread(target=open_gate)
    opening.start()
    got = get_tokens(mode, auths)
    opening.join()
    assert {f"token-{number + 1}" for number in range(300)} == set(got)
    assert 300 == tokens.calls
    assert 2 * RenewalFlight.most_threads < most <= 2 * RenewalFlight.most_threads + 8
    await_silence()
    assert [] == flights_in_the_air()


def test_few_objects_have_a_thread_each(tokens: Tokens) -> None:
    """A program with few objects never has the shared loop."""
    seen: list[int] = []
    tokens.answer = lambda _: seen.append(shared_threads())
    get_tokens(modes.HTTPX_ASYNCIO, [client_credentials(modes.HTTPX_ASYNCIO, tokens) for _ in range(4)])
    assert [0] * 4 == seen


@pytest.mark.parametrize(
    "options", [{"token_client": True}, {"store": MemoryTokenStore()}, None], ids=["client", "store", "thread"]
)
def test_others_keep_their_thread(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any] | None
) -> None:
    """Flights that use a client of the user's or a store, and those of callers in threads, don't share a loop."""
    monkeypatch.setattr(RenewalFlight, "most_threads", 0)
    await_silence()
    seen: list[int] = []
    tokens.answer = lambda _: seen.append(shared_threads())
    with modes.HTTPX.library.Client() as client:
        options = {name: client if name == "token_client" else value for name, value in (options or {}).items()}
        auth = client_credentials(modes.HTTPX_ASYNCIO, tokens, **options)
        token = modes.HTTPX_ASYNCIO.get_token(auth) if options else auth.get_token()
    assert ("token-1", [0]) == (token.access_token, seen)


def test_a_shared_flight_has_the_shared_loop(sharing: Mode, tokens: Tokens) -> None:
    """The fixture of these tests does what it says, and the loop ends with its flights."""
    seen: list[int] = []
    tokens.answer = lambda _: seen.append(shared_threads())
    sharing.get_token(client_credentials(sharing, tokens))
    await_silence()
    assert ([2], 0) == (seen, shared_threads())


# -- Callers ----------------------------------------------------------------------------------------------------------


def test_a_cancelled_caller_takes_nothing_along(sharing: Mode, tokens: Tokens, gate: Gate) -> None:
    """The flight goes on when its caller's task, and even the caller's event loop, has ended."""
    auth = client_credentials(sharing, tokens)

    async def leave() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(auth.aget_token)
            await anyio.to_thread.run_sync(gate.await_call)
            group.cancel_scope.cancel()

    run_in(sharing, leave)
    gate.open()
    assert "token-1" == sharing.get_token(auth).access_token
    assert 1 == tokens.calls


def test_it_has_a_copy_of_the_callers_context(sharing: Mode, tokens: Tokens) -> None:
    """Callbacks of each flight see the context variables of its own caller."""
    tenant: contextvars.ContextVar[int] = contextvars.ContextVar("tenant")
    seen: list[int] = []

    def caller(number: int) -> Callable[[], Awaitable[Any]]:
        auth = client_credentials(sharing, tokens, on_token_update=lambda _: seen.append(tenant.get()))

        async def call() -> None:
            tenant.set(number)
            await auth.aget_token()

        return call

    run_in(sharing, all_of, [caller(number) for number in range(20)])
    assert list(range(20)) == sorted(seen)


def test_a_callback_may_use_another_object(sharing: Mode, tokens: Tokens) -> None:
    """A callback that waits for the flight of another object, in the same loop, gets its token."""
    others = [client_credentials(sharing, tokens) for _ in range(8)]
    got: list[str] = []
    auths = [
        client_credentials(sharing, tokens, on_token_update=lambda _, other=other: got.append(other.get_token()))
        for other in others
    ]
    promptly(get_tokens, sharing, [*auths, *others])
    assert 8 == len(got)
    assert 16 == tokens.calls


@pytest.fixture
def shipping() -> Iterator[Callable[[Any], list[Any]]]:
    """Have an object's token got, in a blocking way, for each record that the library logs."""
    logger, handlers = logging.getLogger("oauth_auth"), []

    def ship(auth: Any) -> list[Any]:
        class Shipping(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                got.append(auth.get_token())

        got: list[Any] = []
        handlers.append(Shipping(logging.INFO))
        logger.addHandler(handlers[-1])
        return got

    level = logger.level
    logger.setLevel(logging.INFO)
    yield ship
    logger.setLevel(level)
    for handler in handlers:
        logger.removeHandler(handler)


def test_log_records_may_be_shipped_with_an_object_whose_flight_is_shared(
    sharing: Mode, tokens: Tokens, shipping: Callable[[Any], list[Any]]
) -> None:
    """A log handler that waits for another flight in the loop holds up neither of them for long."""
    shipper = client_credentials(sharing, tokens)
    got = shipping(shipper)
    begun = time.monotonic()
    promptly(get_tokens, sharing, [*(client_credentials(sharing, tokens) for _ in range(5)), shipper])
    assert len(got) >= 5
    assert time.monotonic() - begun < 8


def test_a_listener_that_blocks_holds_up_no_flight(
    sharing: Mode, tokens: Tokens, gate: Gate, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a listener has to do with one event, flights land one after the other, and need no more threads."""
    monkeypatch.setattr(Flight, "patience", patience)
    tokens.answer = lambda request: gate(request) if request is tokens.server.requests[0] else None
    go_on, threads = threading.Event(), []
    listener: _events.Listener = lambda event, _: event == "acquired" and go_on.wait(20)

    async def one_by_one() -> None:
        await anyio.to_thread.run_sync(gate.await_call)
        for _ in range(8):
            await client_credentials(sharing, tokens).aget_token()
        threads.append(shared_threads())
        gate.open()

    _events.listeners.append(listener)
    try:
        run_in(sharing, all_of, [client_credentials(sharing, tokens).aget_token, one_by_one])
    finally:
        go_on.set()
        await_silence()
        _events.listeners.remove(listener)
    assert (9, [3]) == (tokens.calls, threads)  # the loop's, one that carries flights on, and one that tells


# -- Token calls ------------------------------------------------------------------------------------------------------


def test_nothing_is_kept_between_calls(sharing: Mode, tokens: Tokens) -> None:
    """Calls that share a loop share neither connections nor cookies."""
    tokens.answer = lambda _: Answer(
        200, {"access_token": "it", "token_type": "Bearer"}, (("Set-Cookie", "tenant=1; Path=/"),)
    )
    auths = [client_credentials(sharing, tokens) for _ in range(40)]

    async def in_turns() -> None:
        for begin in range(0, 40, 8):
            await all_of([auth.aget_token for auth in auths[begin : begin + 8]])

    run_in(sharing, in_turns)
    requests = tokens.server.requests
    assert 40 == len({request.connection for request in requests})
    assert [] == [request.headers["cookie"] for request in requests if "cookie" in request.headers]


def test_cookies_are_not_shared_by_calls_under_way(sharing: Mode, tokens: Tokens) -> None:
    """A cookie that one call was given isn't sent with the next, though a third is under way meanwhile."""
    has_come, goes_on = threading.Event(), threading.Event()

    def answer(_: Received) -> Answer:
        if not has_come.is_set():
            has_come.set()
            assert goes_on.wait(20)
        return Answer(200, {"access_token": "it"}, (("Set-Cookie", "tenant=1; Path=/"),))

    tokens.answer = answer
    first, *others = (client_credentials(sharing, tokens) for _ in range(3))

    async def others_meanwhile() -> None:
        assert await anyio.to_thread.run_sync(has_come.wait, 20)
        for auth in others:
            await auth.aget_token()
        goes_on.set()

    run_in(sharing, all_of, [first.aget_token, others_meanwhile])
    assert [None] * 3 == [request.headers.get("cookie") for request in tokens.server.requests]


def test_calls_look_the_same(sharing: Mode, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token call is the same to the server, whether it's sent by a thread or by the loop."""
    sharing.get_token(client_credentials(sharing, tokens, scope="read"))
    monkeypatch.setattr(RenewalFlight, "most_threads", 16)
    sharing.get_token(client_credentials(sharing, tokens, scope="read"))
    shared, own = tokens.server.requests
    assert (own.method, own.path, own.headers, own.body) == (shared.method, shared.path, shared.headers, shared.body)


def test_no_redirect_is_followed(sharing: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer]) -> None:
    """A redirect of the token endpoint takes no secret elsewhere."""
    elsewhere = serve(lambda _: Answer(200, {"access_token": "elsewhere"}))
    tokens.answer = lambda _: Answer(307, b"", (("Location", elsewhere.url),))
    with pytest.raises(TokenResponseError, match="redirect"):
        sharing.get_token(client_credentials(sharing, tokens))
    assert (1, []) == (tokens.calls, elsewhere.requests)


def test_a_server_that_hangs_is_given_up(sharing: Mode, tokens: Tokens, gate: Gate) -> None:
    """Each attempt is bounded, and so is the call."""
    begun = time.monotonic()
    auth = client_credentials(sharing, tokens, token_timeout=1)
    with pytest.raises(sharing.plugin.TokenTransportError, match="no answer in"):
        sharing.get_token(auth)
    assert 0.9 < time.monotonic() - begun < 20
    gate.open()


def test_a_call_is_repeated(sharing: Mode, tokens: Tokens, quick: None) -> None:
    """A call that fails is sent again after a pause."""
    answers = iter([Answer(503), Answer(0), None])
    tokens.answer = lambda _: next(answers)
    assert "token-1" == sharing.get_token(client_credentials(sharing, tokens)).access_token
    assert 3 == tokens.calls


def test_names_are_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls to one host at once share the look-up of its name."""
    gate, lookups = threading.Event(), []

    def getaddrinfo(host: str, port: int, **options: Any) -> list[str]:
        lookups.append((host, port))
        assert gate.wait(20)
        return ["address"]

    async def look_up() -> list[Any]:
        names = ["a.example"] * 20 + ["b.example"]
        asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(gate.set))
        return await asyncio.gather(*(loop.getaddrinfo(name, 443) for name in names))

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    loop = shared_loop._Loop(deque())
    try:
        assert [["address"]] * 21 == loop.run_until_complete(look_up())
    finally:
        loop.close()
    assert [("a.example", 443), ("b.example", 443)] == sorted(lookups)


def test_an_error_in_the_library_is_told(
    sharing: Mode, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected error of an attempt is logged, and raised as one of ours."""

    async def fail(*args: Any) -> None:
        raise KeyError("strange")

    monkeypatch.setattr(sharing.library.AsyncHTTPTransport, "handle_async_request", fail)
    with pytest.raises(TokenError, match="unexpected KeyError"):
        sharing.get_token(client_credentials(sharing, tokens))
    assert "crashed" in [getattr(record, "oauth_event", None) for record in caplog.records]


def test_a_frozen_clock_stops_no_time_out(sharing: Mode, tokens: Tokens, gate: Gate) -> None:
    """With freezegun, attempts end by the real clock, and tokens get their times by the frozen one."""
    auth = client_credentials(sharing, tokens, token_timeout=1)
    with freeze_time("2012-01-14", real_asyncio=True):
        with pytest.raises(sharing.plugin.TokenTransportError):
            promptly_raising(sharing.get_token, auth)
        gate.open()
        token = promptly_raising(sharing.get_token, client_credentials(sharing, tokens))
    assert 1326502800 == token.expiry  # 2012-01-14 01:00


def promptly_raising(function: Callable[..., Any], *args: Any) -> Any:
    result = promptly(function, *args)
    if isinstance(result, Exception):
        raise result
    return result


# -- Exit, forks, and where nothing is to be had ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_flights_are_finished_at_exit(name: str, tokens: Tokens, gate: Gate, tmp_path: Path) -> None:
    """A program that ends while token calls are under way in the loop waits for them, and has their tokens saved."""
    mode = modes.HTTPX if name == "httpx" else modes.HTTPX2
    tokens.url = tokens.url.replace("127.0.0.1", "localhost")
    program = Program(mode, tokens, tmp_path)
    program.run(
        """
from oauth_auth._renewal.flights import RenewalFlight
RenewalFlight.most_threads = 2

async def leave():
    tasks = [asyncio.create_task(auth().aget_token()) for _ in range(10)]
    await asyncio.to_thread(sys.stdin.readline)

asyncio.run(leave())
print("leaving", flush=True)
"""
    )
    for _ in range(10):
        gate.await_call()
    program.tell()
    assert "leaving" == program.line()
    gate.open()
    assert ("", "", 0) == program.end()
    assert 10 == tokens.calls
    assert sorted(f"token-{number + 1}" for number in range(10)) == sorted(program.updates)


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_flights_begun_just_before_exit_are_finished(name: str, tokens: Tokens, tmp_path: Path) -> None:
    """Renewals that were begun in the background when the program ended get their tokens, by a host's name, too."""
    mode = modes.HTTPX if name == "httpx" else modes.HTTPX2
    tokens.url = tokens.url.replace("127.0.0.1", "localhost")
    program = Program(mode, tokens, tmp_path)
    program.run(
        """
from oauth_auth._renewal.flights import RenewalFlight
RenewalFlight.most_threads = 0

async def leave():
    for _ in range(10):
        await auth(in_window).aget_token()

asyncio.run(leave())
"""
    )
    assert ("", "", 0) == program.end()
    assert sorted(f"token-{number + 1}" for number in range(10)) == sorted(program.updates)


@forks
def test_a_child_has_a_loop_of_its_own(sharing: Mode, tokens: Tokens, gate: Gate) -> None:
    """A child of a fork doesn't wait for flights in its parent's loop, and can have one itself."""
    auths = [client_credentials(sharing, tokens) for _ in range(3)]
    got: list[str] = []
    waiting = threading.Thread(target=lambda: got.extend(get_tokens(sharing, auths)))
    waiting.start()
    for _ in auths:
        gate.await_call()
    tokens.answer = None
    assert ["token-1", "token-2", "token-3"] == sorted(in_child(lambda: get_tokens(sharing, auths)))
    gate.open()
    waiting.join(20)
    assert ["token-4", "token-5", "token-6"] == sorted(got)


@pytest.mark.parametrize("refused", ["thread", "loop"])
def test_a_token_can_be_had_without_the_loop(
    sharing: Mode, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """Where the loop can't be had, because of too many threads or open files, its flights go another way."""
    start, socketpair = threading.Thread.start, socket.socketpair

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "oauth_auth-flights":
            raise RuntimeError("can't start new thread")
        start(thread)

    def fail(*args: Any) -> Any:
        if threading.current_thread().name == "oauth_auth-flights":
            raise OSError(errno.EMFILE, "Too many open files")
        return socketpair(*args)

    if refused == "thread":
        monkeypatch.setattr(threading.Thread, "start", refuse)
    else:
        monkeypatch.setattr(socket, "socketpair", fail)
    assert "token-1" == promptly_raising(sharing.get_token, client_credentials(sharing, tokens)).access_token


# -- Which kind of event loop it is -----------------------------------------------------------------------------------

IMPORTING = """
import asyncio, importlib.machinery, sys, threading
import oauth_auth.{plugin} as plugin

assert "trio" not in sys.modules
half_imported, go_on = threading.Event(), threading.Event()

class Finder:
    def find_spec(self, name, path=None, target=None):
        # It must not wait here, under the lock of all imports, which the event loop may need for its own.
        if name != "trio._core" or half_imported.is_set():
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def exec_module(module):
            half_imported.set()
            assert go_on.wait(20)
            run(module)

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())

async def main():
    importing = threading.Thread(target=lambda: __import__("trio"))
    importing.start()
    assert await asyncio.to_thread(half_imported.wait, 20)
    assert "trio" in sys.modules
    auth = plugin.TokenProviderAuth(lambda last: plugin_token)
    print((await auth.aget_token()).access_token)
    go_on.set()
    await asyncio.to_thread(importing.join)

from oauth_auth import OAuthToken
plugin_token = OAuthToken(access_token="it")
asyncio.run(main())
"""


@pytest.mark.parametrize("name", ["niquests", "httpx"])  # httpx2 imports trio with itself
def test_trio_may_just_be_imported(name: str) -> None:
    """A task of asyncio gets its token while another thread imports trio, as HTTP libraries do in their first call."""
    code = IMPORTING.format(plugin=name)
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ("it\n", "", 0) == (finished.stdout, finished.stderr, finished.returncode)
