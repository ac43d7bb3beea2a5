"""Flights use stores in a thread that can be given up: no store hangs, leaks or locks what uses it."""

from __future__ import annotations

import contextvars
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import anyio
import pytest

from oauth_auth import OAuthToken, TokenError, TokenStoreError
from oauth_auth._flight import Flight
from oauth_auth._renewal.entry import Entry
from oauth_auth._renewal.store_entry import Locked, StoreEntry, StoreWorker
from oauth_auth.stores import FileTokenStore, MemoryTokenStore
from tests.support import modes
from tests.support.clock import Clock
from tests.support.modes import Mode
from tests.support.steps import HandClock
from tests.support.tokens import Tokens, client_credentials
from tests.support.waiting import await_end, flights_in_the_air, promptly

KEY = "key"


class Hanging(MemoryTokenStore):
    """Hangs in the method that a test says, until it's told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs_in = ""
        self.arrivals = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.error: BaseException | None = None

    def suffer(self, method: str) -> None:
        if method == self.hangs_in:
            self.arrivals.release()
            assert self.go_on.wait(60)
            if self.error is not None:
                raise self.error

    def load(self, key: str) -> OAuthToken | None:
        self.suffer("load")
        return super().load(key)

    def save(self, key: str, token: OAuthToken) -> None:
        self.suffer("save")
        super().save(key, token)


class LockObject:
    """A lock as an object, which nothing but `__exit__` releases; it belongs to the thread that took it."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()


class WithLockObject(Hanging):
    """Its lock, re-entrant and bound to its thread, is the one that its other methods use, too."""

    def __init__(self) -> None:
        super().__init__()
        self.the_lock = threading.RLock()

    def load(self, key: str) -> OAuthToken | None:
        with self.the_lock:
            return super().load(key)

    def save(self, key: str, token: OAuthToken) -> None:
        with self.the_lock:
            super().save(key, token)

    def lock(self, key: str) -> LockObject:  # type: ignore[override]
        self.suffer("lock")
        return LockObject(self.the_lock)

    def is_free(self) -> bool:
        def take() -> bool:
            if taken := self.the_lock.acquire(timeout=5):
                self.the_lock.release()
            return taken

        return bool(promptly(take))


@pytest.fixture
def store() -> Iterator[WithLockObject]:
    store = WithLockObject()
    yield store
    store.go_on.set()
    await_no_threads()


@pytest.fixture
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StoreEntry, "default_timeout", 0.3)
    monkeypatch.setattr(StoreEntry, "lock_wait", 0.1)


def await_no_threads() -> None:
    deadline = time.perf_counter() + 20
    while threads := flights_in_the_air():  # one may start another at its end
        assert time.perf_counter() < deadline, threads
        await_end(threads, 10)


def test_a_lock_that_load_and_save_use_too(store: WithLockObject, tokens: Tokens) -> None:
    """A flight makes all its calls in one thread, so a lock may belong to it; afterwards the lock is free."""
    auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
    for number in (1, 2):
        token = promptly(auth.refresh)
        assert f"token-{number}" == token.access_token == store._tokens[KEY].access_token
        assert store.is_free()
    auth.close()
    await_no_threads()


@pytest.mark.usefixtures("short_timeout")
@pytest.mark.parametrize("method", ["load", "lock", "save"])
def test_the_lock_is_free_when_a_hanging_store_goes_on(method: str, store: WithLockObject, tokens: Tokens) -> None:
    """A call that was given up is followed, should it ever end, by the release of the lock."""
    auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
    store.hangs_in = method
    assert "token-1" == promptly(auth.get_token).access_token
    store.go_on.set()
    await_no_threads()
    assert store.is_free()


@pytest.mark.parametrize("error", [LookupError, SystemExit])
def test_the_lock_is_free_after_a_slow_failure(
    error: type[BaseException], store: WithLockObject, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that failed slowly is left alone for a while, but not before its lock is released."""
    monkeypatch.setattr(StoreEntry, "slow", 0.05)
    auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
    store.hangs_in, store.error = "save", error()
    timer = threading.Timer(0.2, store.go_on.set)
    timer.start()
    assert "token-1" == promptly(auth.get_token).access_token
    timer.join()
    await_no_threads()
    assert store.is_free()


def test_a_store_that_hangs_for_ever_costs_few_threads(
    store: WithLockObject, tokens: Tokens, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attempts become rare, down to one an hour; as soon as one of them ends, the store is used again."""
    monkeypatch.setattr(StoreEntry, "default_timeout", 0.05)
    auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
    store.hangs_in = "load"
    hanging = []
    for _ in range(10):
        for _ in range(12):
            auth.refresh()
            clock.advance(300)
        hanging.append(len(flights_in_the_air()))
    assert 1 < hanging[0] <= 10
    assert hanging[9] <= hanging[0] + 10
    store.hangs_in = ""
    auth.refresh()
    assert KEY not in store._tokens
    store.go_on.set()
    await_no_threads()
    auth.refresh()
    assert f"token-{tokens.issued}" == store._tokens[KEY].access_token


def test_who_waits_is_shown_that_a_call_is_slow() -> None:
    """A call that takes long is shown by the flight: callers with a token that's still good go on without it."""
    is_slow, go_on = threading.Event(), threading.Event()
    worker = StoreWorker(lambda: None, slow=0.01)
    flight = Flight(lambda: worker.submit(lambda: go_on.wait(20), 20.0, None, is_slow.set))
    flight.start()
    assert is_slow.wait(20)
    is_shown = flight.is_retrying
    go_on.set()
    flight.wait()
    worker.shutdown()
    assert is_shown


def test_a_store_that_uses_its_own_auth_object(tokens: Tokens, caplog: pytest.LogCaptureFixture) -> None:
    """It gets an error, not a deadlock, and the request goes on."""

    class Circular(MemoryTokenStore):
        def load(self, key: str) -> OAuthToken | None:
            raise auth.get_token()

    auth = client_credentials(modes.REQUESTS, tokens, store=Circular(), store_key=KEY)
    assert "token-1" == promptly(auth.get_token).access_token
    assert [TokenError.__name__] == [getattr(record, "oauth_error_type", None) for record in caplog.records]


def test_stores_see_the_callers_context(plugin_mode: Mode, tokens: Tokens) -> None:
    """Context variables of the request, such as a tenant's or a trace's, hold in the store, too."""
    variable = contextvars.ContextVar("variable", default="default")
    seen: list[str] = []

    class Curious(MemoryTokenStore):
        def load(self, key: str) -> OAuthToken | None:
            seen.append(variable.get())
            return super().load(key)

        def save(self, key: str, token: OAuthToken) -> None:
            seen.append(variable.get())
            super().save(key, token)

    variable.set("mine")
    client_credentials(plugin_mode, tokens, store=Curious(), store_key=KEY).get_token()
    assert {"mine"} == set(seen)


@pytest.mark.parametrize("mode", modes.ASYNC, ids=str)
@pytest.mark.parametrize("method", ["load", "save", "lock"])
def test_a_cancelled_caller(mode: Mode, method: str, store: WithLockObject, tokens: Tokens) -> None:
    """Who is cancelled while the store hangs is free at once; the flight goes on, and its token is saved."""
    auth = client_credentials(mode, tokens, store=store, store_key=KEY)
    store.hangs_in = method

    async def give_up() -> bool:
        with anyio.move_on_after(30) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(auth.aget_token)
                await anyio.to_thread.run_sync(store.arrivals.acquire)
                group.cancel_scope.cancel()
        return not scope.cancelled_caught

    assert anyio.run(give_up, backend=mode.backend or "")
    store.go_on.set()
    auth.close()
    assert "token-1" == store._tokens[KEY].access_token
    assert (1, True) == (tokens.issued, store.is_free())


EXIT = """
import sys, threading
from oauth_auth import OAuthToken
from oauth_auth._renewal.store_entry import StoreEntry
from oauth_auth.requests import TokenProviderAuth
from oauth_auth.stores import MemoryTokenStore
StoreEntry.default_timeout, StoreEntry.lock_wait = 0.5, 0.1
hanging = threading.Event()

class Hanging(MemoryTokenStore):
    def hang(self):
        hanging.set()
        threading.Event().wait()
    def lock(self, key):
        self.hang()

if sys.argv[1] in ("load", "save"):
    del Hanging.lock
    setattr(Hanging, sys.argv[1], lambda self, *args: self.hang())
calls = []
auth = TokenProviderAuth(lambda _: calls.append(1) or OAuthToken(access_token="a"), store=Hanging(), store_key="key")
thread = threading.Thread(target=auth.get_token, daemon=sys.argv[2] == "daemon")
thread.start()
hanging.wait()
if sys.argv[2] == "fork":
    import os
    pid = os.fork()
    if pid == 0:
        Hanging.hang = lambda self: None
        print("child", auth.get_token().access_token, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
if sys.argv[2] == "atexit":
    import atexit
    atexit.register(lambda: print("at exit", auth.get_token().access_token, flush=True))
print("end", flush=True)
"""


@pytest.mark.parametrize("method", ["load", "save", "lock"])
@pytest.mark.parametrize("kind", ["plain", "daemon", "fork", "atexit"])
def test_a_program_ends_though_its_store_hangs(method: str, kind: str) -> None:
    """The interpreter exits soon, whatever thread waits; a forked child has nothing to do with what hangs."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EXIT, method, kind],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    expected = {"fork": ["child a", "end"], "atexit": ["end", "at exit a"]}
    assert expected.get(kind, ["end"]) == run.stdout.splitlines()
    assert "Traceback" not in run.stderr


HANGS_AT_EXIT = """
import threading
from oauth_auth import OAuthToken
from oauth_auth._renewal.store_entry import StoreEntry
from oauth_auth.requests import TokenProviderAuth
from oauth_auth.stores import MemoryTokenStore
StoreEntry.default_timeout = 0.5

class Hanging(MemoryTokenStore):
    def save(self, key, token):
        if threading.main_thread().is_alive():
            raise OSError("out of order")
        print("hangs", flush=True)
        threading.Event().wait()

token = OAuthToken(access_token="a", refresh_token="r")
auth = TokenProviderAuth(lambda _: token, store=Hanging(), store_key="key")
auth.get_token()
while auth._source._entry.standby is None:
    pass
"""


def test_a_program_ends_though_its_store_begins_to_hang_at_exit() -> None:
    """Where no thread can begin any more, an unsaved token is saved in one that has waited for it, and can hang."""
    command = [sys.executable, "-W", "ignore", "-c", HANGS_AT_EXIT]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert ["hangs"] == run.stdout.splitlines()
    assert "Traceback" not in run.stderr


def test_a_lock_made_by_something_without_a_signature(tokens: Tokens) -> None:
    """Whether a lock takes a time-out is found out where it can be; else it's used without."""

    class Strange(MemoryTokenStore):
        class _Lock:
            __signature__ = "none"

            def __init__(self, store: Strange) -> None:
                self._store = store

            def __call__(self, key: str) -> Any:
                return MemoryTokenStore.lock(self._store, key)

        lock = property(_Lock)

    store = Strange()
    auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
    assert "token-1" == auth.get_token().access_token == store._tokens[KEY].access_token


def test_errors_of_a_lost_lock_question(tokens: Tokens) -> None:
    """A lock whose `is_held` fails, or isn't a method, counts as held."""
    for is_held in (lambda: 1 / 0, 3, None):

        class Lease:
            pass

        Lease.is_held = is_held  # type: ignore[attr-defined]

        class Leasing(MemoryTokenStore):
            @contextmanager
            def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
                yield Lease()

        store = Leasing()
        auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
        assert "token-" in auth.get_token().access_token == store._tokens[KEY].access_token


def test_an_outcome_has_no_time_limit_of_its_own(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that says so may take longer than others."""

    class Patient(Hanging):
        timeout = 20.0

    monkeypatch.setattr(StoreEntry, "default_timeout", 0.1)
    store = Patient()
    store.hangs_in = "load"
    timer = threading.Timer(0.4, store.go_on.set)
    timer.start()
    auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
    assert "token-1" == auth.get_token().access_token == store._tokens[KEY].access_token
    timer.join()


def test_a_pickled_copy_begins_anew(tmp_path: Path, tokens: Tokens) -> None:
    """What hung or failed here says nothing of the program to which an auth object travels."""
    auth = client_credentials(modes.REQUESTS, tokens, store=FileTokenStore(tmp_path / "tokens"), store_key=KEY)
    auth._source._entry.failed("load", TokenStoreError("it hangs"), still_hangs=True)
    assert auth._source._entry.is_resting
    entry = pickle.loads(pickle.dumps(auth))._source._entry
    assert (False, False, True, KEY) == (entry.is_resting, entry.is_in_trouble, entry.is_shared, entry.key)
    assert auth._source._entry.owner == entry.owner


def test_a_stop_says_nothing_against_the_store() -> None:
    """A program that was stopped while a call failed doesn't leave the store alone: it may have failed at once."""
    clock = HandClock()

    class Failing(MemoryTokenStore):
        def load(self, key: str) -> OAuthToken | None:
            clock.advance(100)
            raise OSError("out of order")

    entry = StoreEntry(Failing(), KEY, clock=clock)
    with entry.session() as session:
        assert (Entry(), False) == session.load()
        assert not entry.is_resting
        assert Locked.HELD is session.lock(0.0)


def test_a_program_that_can_begin_no_thread_waits_for_no_store(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where threads are used up a caller does the flight's work, but doesn't wait until the store takes the token."""

    class Failing(MemoryTokenStore):
        attempts = 0

        def save(self, key: str, token: OAuthToken) -> None:
            self.attempts += 1
            if self.attempts < 50:
                raise OSError("out of order")
            super().save(key, token)

    store = Failing()
    auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
    with monkeypatch.context() as patch:
        patch.setattr(Flight, "start_apart", lambda *_: False)
        assert "token-1" == auth.get_token().access_token
        assert 1 == store.attempts
    store.attempts = 50
    auth.refresh()
    assert "token-2" == store._tokens[KEY].access_token
    await_no_threads()
