"""Guarantee 15: what listens to events may block, or send through the same auth object: nobody waits for ever."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthError, OAuthToken, _events
from oauth_auth._flight import Flight
from oauth_auth._renewal.flights import RenewalFlight
from tests.support import modes
from tests.support.modes import Mode
from tests.support.rotation import Rotation, refresh_token
from tests.support.scripted import Answer, ScriptedServer
from tests.support.tokens import Gate, Tokens, client_credentials, token_that_expires_in
from tests.support.waiting import await_silence, flights_in_the_air, outcome_of, refuse_threads

pytestmark = pytest.mark.shared_core
ALSO_SHARING = True

PROGRAM, LIBRARY = logging.getLogger("tests.program"), logging.getLogger("oauth_auth")


class PatientLock:
    """A lock as a handler has one, but a wait that would never end is given up and noted, so that tests end."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.is_deadlocked = False

    def acquire(self) -> None:
        if not self._lock.acquire(timeout=8):
            self.is_deadlocked = True
            raise TimeoutError

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.release()


def post(mode: Mode, auth: Any, url: str, body: bytes) -> None:
    """Send a body, and block meanwhile; with a library that has no way to, in a thread with an event loop."""
    if mode.has_sync_client:
        with mode.sync_client() as session:
            session.auth = auth
            session.post(url, **{"data" if mode.is_like_requests else "content": body})
        return

    async def post_async() -> None:
        async with mode.async_client(auth) as session:
            await session.request("POST", url, body=body)

    with ThreadPoolExecutor(1) as pool:  # as asyncio.to_thread, which takes the context along
        pool.submit(copy_context().run, asyncio.run, post_async()).result(30)


class Shipping(logging.Handler):
    """Posts each record through an auth object; guards itself against its own records, as such handlers do."""

    def __init__(self, mode: Mode, auth: Any, url: str) -> None:
        super().__init__(logging.INFO)
        self.lost: list[OAuthError] = []
        self._post = partial(post, mode, auth, url)
        self._here = threading.local()

    def createLock(self) -> None:  # noqa: N802 - logging's name
        self.lock: Any = PatientLock()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(self._here, "is_shipping", False):
            return
        self._here.is_shipping = True
        try:
            self._post(getattr(record, "oauth_event", record.getMessage()).encode())
        except OAuthError as error:
            self.lost.append(error)
        finally:
            self._here.is_shipping = False


Attach = Callable[[logging.Handler], None]


@pytest.fixture(autouse=True)
def hurried(patience: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have callers leave what listens only the time that they do: here it waits for them."""
    await_silence()
    monkeypatch.setattr(Flight, "patience", patience)


@pytest.fixture
def attach(hurried: None) -> Iterator[Attach]:
    """Have a handler of the records of the library, and of a program's own, until the end of the test."""
    attached: list[logging.Handler] = []
    levels = {logger: logger.level for logger in (PROGRAM, LIBRARY)}

    def attach(handler: logging.Handler) -> None:
        attached.append(handler)
        for logger in levels:
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)

    yield attach
    await_silence()
    for logger, level in levels.items():
        logger.setLevel(level)
        for handler in attached:
            logger.removeHandler(handler)
    for handler in attached:
        handler.close()


@pytest.fixture
def listen(hurried: None) -> Iterator[Callable[[_events.Listener], None]]:
    """Add a listener, until the end of the test."""
    added: list[_events.Listener] = []

    def listen(listener: _events.Listener) -> None:
        added.append(listener)
        _events.listeners.append(listener)

    yield listen
    await_silence()
    for listener in added:
        _events.listeners.remove(listener)


# -- A handler that sends through the same auth object --------------------------------------------------------------


def shipped(api: ScriptedServer) -> list[str]:
    """Return what has arrived with a token that the API takes, once all is told."""
    await_silence()
    return [request.body.decode() for request in api.requests if request.authorization == "Bearer token-1"]


def log_at(mode: Mode, handler: Shipping) -> None:
    """Log a record where the mode's clients live: in a thread, or in an event loop."""
    with mode.client() as client:
        client.run(PROGRAM.info, "hello")
    assert not handler.lock.is_deadlocked


def test_the_first_token_may_be_for_a_log_record(
    mode: Mode, tokens: Tokens, api: ScriptedServer, attach: Attach
) -> None:
    """A record that needs the first token is sent, and so is the one that says that there's a token."""
    handler = Shipping(mode, client_credentials(mode, tokens), api.url)
    attach(handler)
    log_at(mode, handler)
    assert ["hello", "acquired"] == shipped(api)
    assert ([], 1) == (handler.lost, tokens.calls)


def test_a_renewal_may_be_for_a_log_record(mode: Mode, tokens: Tokens, api: ScriptedServer, attach: Attach) -> None:
    """A record that comes when the token has expired is sent with the next, and so is the one about that."""
    handler = Shipping(mode, client_credentials(mode, tokens, token=token_that_expires_in(-5)), api.url)
    attach(handler)
    log_at(mode, handler)
    assert ["hello", "renewed"] == shipped(api)
    assert ([], 1) == (handler.lost, tokens.calls)


def test_a_renewal_in_the_background_may_be_for_a_log_record(
    mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer], attach: Attach
) -> None:
    """A record in the refresh window is sent at once, and the one about the renewal afterwards."""
    api = serve(lambda _: Answer(200))
    handler = Shipping(mode, client_credentials(mode, tokens, token=token_that_expires_in(120)), api.url)
    attach(handler)
    log_at(mode, handler)
    await_silence()
    assert [(b"hello", "Bearer given"), (b"renewed", "Bearer token-1")] == [
        (request.body, request.authorization) for request in api.requests
    ]


SENDING_THEMSELVES = pytest.mark.parametrize(
    "mode", [mode for mode in (*modes.ALL, *modes.SHARING) if mode.has_sync_client], ids=str, indirect=True
)
"""Not aiohttp: a rejection is told by the thread that sends the request, so a handler that holds its lock, and waits
for another thread to send, waits for itself, as it would with whatever else is logged there."""


@SENDING_THEMSELVES
def test_a_replay_may_be_for_a_log_record(mode: Mode, tokens: Tokens, api: ScriptedServer, attach: Attach) -> None:
    """A record whose token is rejected is replayed with the next, and the one about that is sent."""
    handler = Shipping(mode, client_credentials(mode, tokens, token=token_that_expires_in(3000)), api.url)
    attach(handler)
    log_at(mode, handler)
    assert ["hello", "renewed"] == shipped(api)
    assert ([], 1) == (handler.lost, tokens.calls)


@pytest.mark.parametrize("status", [400, 503])
def test_a_failure_may_be_for_a_log_record(
    mode: Mode, tokens: Tokens, api: ScriptedServer, attach: Attach, quick: None, status: int
) -> None:
    """A record for which no token can be had gets the error, and so does the one about that, and no more come of it."""
    handler = Shipping(mode, client_credentials(mode, tokens), api.url)
    tokens.answer = lambda _: Answer(status, {"error": "invalid_scope"})
    attach(handler)
    log_at(mode, handler)
    await_silence()
    assert (0, 2) == (len(api.requests), len(handler.lost[:2]))
    # A refusal is remembered; what may pass is asked for three times, for each of the records.
    assert tokens.calls <= (1 if status == 400 else 9)


@SENDING_THEMSELVES
def test_a_request_may_be_logged_meanwhile(mode: Mode, tokens: Tokens, api: ScriptedServer, attach: Attach) -> None:
    """Requests of the program go through while its records are sent with the same object: before and after renewals."""
    auth = client_credentials(mode, tokens)
    handler = Shipping(mode, auth, api.url)
    attach(handler)
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        await_silence()
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
        await_silence()
    assert not handler.lock.is_deadlocked
    bodies = [request.body for request in api.requests if request.body]
    # The token was revoked when the rejection was told: that record was replayed, and then the request, too.
    assert ([b"acquired", b"rejected"], {b"acquired", b"rejected", b"renewed", b"replayed"}) == (bodies[:2], {*bodies})
    assert ([], 2) == (handler.lost, tokens.calls)


class Careless(Shipping):
    """The same without a guard."""

    def emit(self, record: logging.LogRecord) -> None:
        self._here.is_shipping = False
        super().emit(record)


def test_a_handler_whose_records_cause_records_comes_to_an_end(
    mode: Mode, tokens: Tokens, api: ScriptedServer, attach: Attach, quick: None
) -> None:
    """A handler that answers each failure with a request that fails makes no endless row of token calls."""
    handler = Careless(mode, client_credentials(mode, tokens), api.url)
    tokens.answer = lambda _: Answer(503)
    attach(handler)
    log_at(mode, handler)
    await_silence()
    assert [] == flights_in_the_air()
    assert 9 == tokens.calls


# -- A lock that a caller holds -------------------------------------------------------------------------------------


def test_a_listener_may_need_a_lock_that_a_caller_holds(
    mode: Mode, tokens: Tokens, listen: Callable[[_events.Listener], None]
) -> None:
    """The caller gets its token, and then the listener the lock: for a token, a failure, and a logout."""
    lock, heard = PatientLock(), []

    def listener(event: str, fields: Mapping[str, object]) -> None:
        if threading.current_thread() is not threading.main_thread():  # `waited` is told by who has waited
            with lock:
                heard.append(event)

    listen(listener)
    auth = client_credentials(mode, tokens)
    with lock:
        assert "token-1" == mode.get_token(auth).access_token
    await_silence()
    tokens.answer = lambda _: Answer(400)
    with lock:
        assert isinstance(outcome_of(mode.refresh, auth), OAuthError)
    await_silence()
    with lock:
        mode.revoke(auth)
    await_silence()
    assert not lock.is_deadlocked
    assert ["token_call", "acquired", "token_call", "failed"] == heard


def test_a_listener_may_need_a_lock_that_a_caller_holds_when_the_store_fails(
    plugin_mode: Mode, tokens: Tokens, listen: Callable[[_events.Listener], None]
) -> None:
    """What is told of the store, of its worker thread's calls, too, comes after the outcome as well."""
    lock, heard = PatientLock(), []

    class Broken(MemoryTokenStore):
        def load(self, key: str) -> OAuthToken | None:
            _events.emit(logging.WARNING, "entry_ignored", "as a store of ours does in its worker", reason="")
            raise OSError("the disk is away")

    def listener(event: str, fields: Mapping[str, object]) -> None:
        if threading.current_thread() is not threading.main_thread():
            with lock:
                heard.append(event)

    listen(listener)
    auth = client_credentials(plugin_mode, tokens, store=Broken(), store_key="k")
    with lock:
        assert "token-1" == auth.get_token().access_token
    await_silence()
    assert not lock.is_deadlocked
    assert ["entry_ignored", "store_failed"] == heard[:2]


# -- Where no thread can be had, at exit, and for long --------------------------------------------------------------


@pytest.mark.parametrize("plugin_mode", [mode for mode in modes.SYNC if mode.has_sync_client], ids=str)
def test_without_a_thread_the_caller_tells(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, attach: Attach, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler may send through the same object where the flight is done in the caller's thread, too."""
    refuse_threads(monkeypatch)
    auth = client_credentials(plugin_mode, tokens)
    handler = Shipping(plugin_mode, auth, api.url)
    attach(handler)
    log_at(plugin_mode, handler)
    assert ["hello"] == shipped(api)  # the handler guards itself, in this thread
    plugin_mode.refresh(auth)
    assert [b"hello", b"renewed"] == [request.body for request in api.requests]


AT_EXIT = """
import asyncio, logging, sys, time
import oauth_auth.{plugin} as plugin
from oauth_auth import OAuthToken
from oauth_auth._renewal.flights import RenewalFlight

RenewalFlight.most_threads = {most_threads}
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
token = OAuthToken(access_token="given", expires_in=3600, expiry=time.time() + 100)
auth = plugin.ClientCredentialsAuth({url!r}, "client", "secret", token=token)
{begin}
print("it ends", flush=True)
"""
BEGIN = {RenewalFlight.most_threads: "auth.get_token()", 0: "asyncio.run(auth.aget_token())"}


@pytest.mark.parametrize(
    ("mode", "most_threads"),
    [*((mode, RenewalFlight.most_threads) for mode in modes.SYNC), (modes.HTTPX, 0), (modes.HTTPX2, 0)],
    ids=str,
    indirect=["mode"],
)
def test_events_are_told_at_exit(mode: Mode, most_threads: int, tokens: Tokens, gate: Gate) -> None:
    """A renewal that ends when the program has ended is told, whether it has a thread or shares a loop."""
    code = AT_EXIT.format(
        plugin=mode.library.__name__, url=tokens.url, most_threads=most_threads, begin=BEGIN[most_threads]
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        gate.await_call()
        assert "it ends\n" == program.stdout.readline()
        gate.open()
        rest = [line.partition(" in ")[0] for line in program.stdout if not line.startswith("HTTP Request")]
    assert (["token renewed"], 0) == (rest, program.returncode)


@pytest.mark.parametrize("has_threads", [True, False], ids=["threads", "no more threads"])
def test_what_a_saver_does_is_told_as_it_happens(
    plugin_mode: Mode,
    rotation: Rotation,
    tokens: Tokens,
    listen: Callable[[_events.Listener], None],
    monkeypatch: pytest.MonkeyPatch,
    has_threads: bool,
) -> None:
    """What it meets in a store that fails, and that it works again, is told while it goes on, not at its end."""
    events: list[str] = []
    has_recovered, works = threading.Event(), threading.Event()

    class Unsteady(MemoryTokenStore):
        def load(self, key: str) -> OAuthToken | None:
            _events.emit(logging.WARNING, "entry_ignored", "as a store of ours does", reason="")
            return super().load(key)

        def save(self, key: str, token: OAuthToken) -> None:
            if not works.is_set():
                raise OSError("the disk is full")
            super().save(key, token)

    def listener(event: str, fields: Mapping[str, object]) -> None:
        if event == "store_failed" and not has_threads:
            refuse_threads(monkeypatch)
        if "store_failed" in events and event == "entry_ignored":
            works.set()  # it's told of what the saver has met
        if event == "store_recovered":
            has_recovered.set()
        events.append(event)

    listen(listener)
    refresh_token(plugin_mode, tokens.url, store=Unsteady(), store_key="k").get_token()
    assert has_recovered.wait(20)
    assert ["store_failed", "store_recovered"] == [event for event in events if event.startswith("store")]


# -- A handler that blocks ------------------------------------------------------------------------------------------


def test_a_listener_that_blocks_holds_up_no_caller(
    mode: Mode, tokens: Tokens, api: ScriptedServer, listen: Callable[[_events.Listener], None], held: threading.Event
) -> None:
    """Requests go on while a listener still has to do with the events of their token, and further flights land."""
    released: list[bool] = []

    def listener(event: str, fields: Mapping[str, object]) -> None:
        if event in {"acquired", "renewed"}:
            released.append(held.wait(20))

    listen(listener)
    auth = client_credentials(mode, tokens)
    with mode.client(auth) as client:
        assert [200, 200] == [answer.status_code for answer in client.get_many(api.url, 2)]
        tokens.revoke()
        assert [200, 200] == [answer.status_code for answer in client.get_many(api.url, 2)]
    assert (2, []) == (tokens.calls, released)
    held.set()
    await_silence()
    assert [True, True] == released
