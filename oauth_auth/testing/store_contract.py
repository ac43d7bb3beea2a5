"""The tests that each token store must pass, yours, too.

    from oauth_auth.testing.store_contract import StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda: MyStore(tmp_path)  # each call returns a new object, with the same storage

Needs pytest. The tests with several processes need a store that pickles.
"""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import pytest

from oauth_auth import OAuthToken
from oauth_auth._flight import Outcome, capture
from oauth_auth.stores import LockTaken, TokenStore

__all__ = ["StoreContract"]

TOKENS = {
    "the least": OAuthToken(access_token="a"),
    "all fields": OAuthToken(
        access_token="access",
        token_type="DPoP",
        expires_in=60.5,
        scope="one two",
        expiry=2_000_000_000.25,
        refresh_token="refresh",
        extra={"id_token": "x.y.z", "nested": {"list": [1, None, True, "ü 🔑"]}},
    ),
    "long": OAuthToken(access_token="a" * 8000, refresh_token="r" * 8000, expires_in=3600),
}
KEYS = (
    "key",
    "a/b",
    "../../etc/passwd",
    "C:\\a:b*?",
    "me@example.com",
    "ключ 🔑",
    " ",
    "two\nlines",
    "k" * 1000,
    "{x}",
)


class StoreContract:
    """The tests, for subclasses that have the fixture `make_store`."""

    shared_between_processes: ClassVar[bool] = True
    """Whether processes share the store; if False, the tests with several processes do nothing."""
    timeout: ClassVar[float] = 30.0
    """Seconds after which a call that hasn't returned counts as hanging."""

    @pytest.fixture
    def make_store(self) -> Callable[[], TokenStore]:
        """Return a function that returns new store objects with the same storage."""
        raise NotImplementedError("a subclass of StoreContract must have the fixture make_store")

    @pytest.fixture
    def store(self, make_store: Callable[[], TokenStore]) -> TokenStore:
        return make_store()

    def test_it_is_a_token_store(self, store: TokenStore) -> None:
        """It has the protocol's methods, and none is async."""
        assert isinstance(store, TokenStore)
        for name in ("load", "save", "delete", "lock"):
            assert not inspect.iscoroutinefunction(getattr(store, name))

    def test_what_was_never_saved_is_none(self, store: TokenStore) -> None:
        """Loading an absent key returns None, and deleting it does nothing."""
        store.delete("absent")
        assert store.load("absent") is None

    @pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
    def test_a_token_comes_back_whole(self, make_store: Callable[[], TokenStore], token: OAuthToken) -> None:
        """All fields of a token come back as they were, from another object with the same storage, too."""
        make_store().save("key", token)
        assert make_store().load("key") == token

    @pytest.mark.parametrize("key", KEYS, ids=ascii)
    def test_keys_may_be_any_text(self, make_store: Callable[[], TokenStore], key: str) -> None:
        """A key is any text: nothing in it has a meaning to the store."""
        store = make_store()
        with store.lock(key):
            store.save(key, TOKENS["all fields"])
        assert make_store().load(key) == TOKENS["all fields"]
        store.delete(key)
        assert make_store().load(key) is None

    def test_keys_are_independent(self, store: TokenStore) -> None:
        """Saving and deleting under one key changes nothing under another, however alike: keys aren't normalized."""
        names = ("a", "b", "A", "a ", "\u00fc", "u\u0308", "k" * 1000 + "a", "k" * 1000 + "b")
        for number, name in enumerate(names):
            store.save(name, OAuthToken(access_token=f"{number}"))
        store.delete("b")
        store.save("A", OAuthToken(access_token="other"))
        found = [token and token.access_token for token in map(store.load, names)]
        assert found == ["0", None, "other", "3", "4", "5", "6", "7"]

    def test_saving_replaces(self, make_store: Callable[[], TokenStore]) -> None:
        """A saved token replaces the one before, whichever object saved it, whether longer or shorter."""
        one, other = make_store(), make_store()
        for store, name in ((one, "long"), (other, "the least"), (one, "all fields"), (other, "long")):
            store.save("key", TOKENS[name])
            assert one.load("key") == other.load("key") == TOKENS[name]

    def test_deleting(self, make_store: Callable[[], TokenStore]) -> None:
        """A deleted token is gone for all objects, and another one can be saved."""
        make_store().save("key", TOKENS["long"])
        make_store().delete("key")
        assert make_store().load("key") is None
        make_store().save("key", TOKENS["the least"])
        assert make_store().load("key") == TOKENS["the least"]

    def test_a_token_that_cannot_be_saved(self, store: TokenStore) -> None:
        """If a token can't be saved, the old one stays, and the error shows nothing of the new one."""
        store.save("key", TOKENS["the least"])
        strange = OAuthToken(access_token="top-secret", refresh_token="top-secret", extra={"strange": object()})
        try:
            store.save("key", strange)
        except Exception as error:  # noqa: BLE001 - a store may raise anything
            said = f"{error} {error!r}"
            assert "top-secret" not in said
            assert store.load("key") == TOKENS["the least"]

    def test_readers_never_see_half_a_token(self, make_store: Callable[[], TokenStore]) -> None:
        """While one thread saves, others load the old token or the new one, whole."""
        writer, tokens = make_store(), [OAuthToken(access_token=c * 3000, refresh_token=c * 3000) for c in "abcdefgh"]
        writer.save("key", tokens[0])
        done = threading.Event()
        seen: list[object] = []

        def read() -> None:
            reader = make_store()
            while not done.is_set():
                try:
                    seen.append(reader.load("key"))
                except Exception as error:  # noqa: BLE001 - a store may raise anything
                    seen.append(error)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for token in tokens * 5:
                writer.save("key", token)
        finally:
            done.set()
            for thread in threads:
                thread.join(self.timeout)
        assert [token for token in seen if token not in tokens] == []

    def test_the_lock_excludes(self, make_store: Callable[[], TokenStore]) -> None:
        """Of two that take a key's lock, the second gets it when the first has released it."""
        order: list[str] = []
        wanted = threading.Event()

        def second() -> None:
            lock = make_store().lock("key")
            wanted.set()
            with lock:
                order.append("second in")

        with make_store().lock("key"):
            thread = _Caller(second)
            assert wanted.wait(self.timeout)
            thread.join(0.3)  # with a lock that doesn't exclude it would have ended by then
            order.append("first out")
        thread.join(self.timeout)
        assert order == ["first out", "second in"]

    def test_locks_of_different_keys_are_independent(self, store: TokenStore) -> None:
        """Holding one key's lock doesn't delay taking another's."""
        with store.lock("one"):
            assert self._enters_soon(store.lock("other"))

    def test_an_error_leaves_no_lock(self, store: TokenStore) -> None:
        """An error raised while the lock is held releases it, and is raised."""
        with pytest.raises(LookupError), store.lock("key"):
            raise LookupError
        assert self._enters_soon(store.lock("key"))

    def test_the_lock_can_be_taken_again_and_again(self, store: TokenStore) -> None:
        """A released lock can be taken at once, also in another thread."""
        begun = time.monotonic()
        for _ in range(10):
            with store.lock("key"):
                pass
            assert self._enters_soon(store.lock("key"))
        assert time.monotonic() - begun < self.timeout / 2

    def test_the_holder_can_load_and_save(self, make_store: Callable[[], TokenStore]) -> None:
        """While the lock is held, its holder can use the store, and so can others without the lock."""
        store, other = make_store(), make_store()
        with store.lock("key"):
            store.save("key", TOKENS["the least"])
            assert other.load("key") == store.load("key") == TOKENS["the least"]

    def test_a_lock_with_a_timeout_gives_up(self, make_store: Callable[[], TokenStore]) -> None:
        """If `lock` takes a time-out, a taken lock raises `LockTaken` after it. Without that parameter: no test."""
        store: Any = make_store()
        if "timeout" not in inspect.signature(store.lock).parameters:
            return
        with make_store().lock("key"):
            for timeout in (0.0, 0.2):
                begun = time.monotonic()
                with pytest.raises(LockTaken), store.lock("key", timeout=timeout):
                    pytest.fail("two hold the lock")
                assert time.monotonic() - begun < timeout + 2
        with store.lock("key", timeout=0.0):
            pass

    def test_a_lock_that_can_be_lost_is_held_at_first(self, store: TokenStore) -> None:
        """If entering the lock returns an object with `is_held`, that is true. Without one: no test."""
        with store.lock("key") as held:
            is_held: Any = getattr(held, "is_held", lambda: True)
            assert is_held()

    def test_a_deep_copy_is_at_the_same_place(self, store: TokenStore) -> None:
        """A deep copy has the same storage, so that copied auth objects share it."""
        store.save("key", TOKENS["all fields"])
        assert copy.deepcopy(store).load("key") == TOKENS["all fields"]

    def test_its_repr_shows_no_secret(self, store: TokenStore) -> None:
        """Neither access nor refresh token is in the store's `repr`, which logs and tracebacks show."""
        store.save("key", OAuthToken(access_token="top-secret", refresh_token="top-secret"))
        assert "top-secret" not in repr(store) + str(store)

    def test_processes_share_tokens(self, store: TokenStore) -> None:
        """A token that one process saves, another one loads."""
        if self.shared_between_processes:
            store.save("key", TOKENS["all fields"])
            assert self._in_processes(_load, [store]) == [TOKENS["all fields"]]

    def test_processes_exclude_each_other(self, store: TokenStore) -> None:
        """Of several processes that load, change and save under the lock, none undoes another's change."""
        if self.shared_between_processes:
            store.save("key", OAuthToken(access_token="0"))
            self._in_processes(_count_up, [store] * 3)
            assert store.load("key") == OAuthToken(access_token=str(3 * _ROUNDS))

    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system kills no processes")
    def test_a_killed_holder_is_outlived(self, store: TokenStore) -> None:
        """The lock of a process that was killed becomes free within 15 seconds."""
        if self.shared_between_processes:
            context = multiprocessing.get_context("spawn")
            here, there = context.Pipe()
            process = context.Process(target=_hold, args=(store, there, self.timeout * 2))
            process.start()
            assert here.poll(self.timeout)
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join(self.timeout)
            begun = time.monotonic()
            with store.lock("key"):
                assert time.monotonic() - begun < 15

    def _enters_soon(self, lock: AbstractContextManager[object]) -> bool:
        """Return whether another thread gets the lock without waiting for long. Raises the lock's error."""
        entered = threading.Event()

        def enter() -> None:
            with lock:
                entered.set()

        _Caller(enter).join(self.timeout / 3)
        return entered.is_set()

    def _in_processes(self, function: Callable[[TokenStore], Any], stores: list[TokenStore]) -> list[Any]:
        """Return the results of a function called with each store, in a new process each, at the same time."""
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(len(stores), timeout=self.timeout)
        with context.Pool(len(stores), _set_barrier, (barrier,)) as pool:
            return pool.map_async(function, stores, chunksize=1).get(self.timeout * 2)


class _Caller:
    """A call in a thread of its own.

    An error that comes when nobody waits any more, such as a `LockTaken` after the lock's own time-out, is dropped: a
    thread that ends with one would fail whatever test runs at that moment.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._outcome: Outcome[None] | None = None
        self._thread = threading.Thread(target=self._call, args=(function,), daemon=True)
        self._thread.start()

    def _call(self, function: Callable[[], None]) -> None:
        self._outcome = capture(function)

    def join(self, timeout: float) -> None:
        """Wait for the call's end, `timeout` seconds at most; raise what it raised."""
        self._thread.join(timeout)
        if self._outcome is not None:
            self._outcome.unwrap()


_ROUNDS = 10
_barrier: Any = None
"""A barrier for the processes of a test."""


def _set_barrier(barrier: Any) -> None:
    global _barrier  # noqa: PLW0603 - the processes of a pool get it by their initializer
    _barrier = barrier


def _load(store: TokenStore) -> OAuthToken | None:
    return store.load("key")


def _count_up(store: TokenStore) -> None:
    _barrier.wait()
    for _ in range(_ROUNDS):
        with store.lock("key"):
            token = store.load("key")
            count = int(token.access_token) if token is not None else 0
            time.sleep(0.005)  # the length of a token call, in which the other processes wait for the lock
            store.save("key", OAuthToken(access_token=str(count + 1)))


def _hold(store: TokenStore, pipe: Any, seconds: float) -> None:
    with store.lock("key"):
        pipe.send("held")
        time.sleep(seconds)
