"""An auth object's place in a token store. What fails there is told, and nothing more: no request depends on it.

A store may hang, and a lock may belong to the thread that took it. So a flight makes all its calls in one thread,
a visit's, and gives that up if a call takes too long.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from ._events import tell
from ._flight import Flight, falter
from ._pauses import Pause
from ._token import OAuthToken
from .errors import TokenStoreError
from .stores import LockTaken, TokenStore
from .stores._protocol import LOCK_WAIT

__all__ = ["Shelf", "Visit"]

_MEMORY = "oauth_auth"
"""The field of a stored token's `extra` that keeps what the grant has learned, and whose the token is."""
_PATIENCE = 5.0
"""How long a call to a store may take that doesn't say so itself, in seconds."""
_SLOW = 1.0
"""From when on a call counts as slow: then callers who have a token don't wait for it, and after a failure the
store is left alone for a while."""
_FIRST_REST = 5.0
_LONGEST_REST = 60.0


class Shelf:
    """One key of a store. A shelf without a store is empty and stays so.

    `owner` is whose tokens these are, where the key alone doesn't tell: others' count as absent.
    """

    __slots__ = ("_is_polite", "_owner", "_patience", "_rest", "_store", "_troubles", "key")

    def __init__(self, store: TokenStore | None, key: str, owner: Mapping[str, str] | None = None) -> None:
        self._store = store
        self.key = key
        self._owner = dict(owner or {})
        self._troubles: set[str] = set()
        self._rest: Pause | None = None
        self._patience = _PATIENCE
        self._is_polite = False
        """Whether the store's lock can be tried without waiting."""
        if store is not None:
            import inspect  # noqa: PLC0415 - programs without a store needn't load it

            self._patience = float(getattr(store, "patience", _PATIENCE))
            self._is_polite = "timeout" in inspect.signature(store.lock).parameters

    @property
    def is_shared(self) -> bool:
        """Whether there is a store, and so may be siblings."""
        return self._store is not None

    @property
    def is_in_trouble(self) -> bool:
        """Whether the last load, save or lock failed: siblings may not know what this program knows."""
        return bool(self._troubles)

    def visit(self) -> Visit:
        """Return a context manager for one flight's calls."""
        return Visit(self)

    def unpack(self, stored: object) -> tuple[OAuthToken | None, Mapping[str, Any]]:
        """Return a stored token and the grant's memory; what is no token, or another client's, counts as absent."""
        if not isinstance(stored, OAuthToken):
            return None, {}
        memory = stored.extra.get(_MEMORY)
        memory = dict(memory) if isinstance(memory, dict) else {}
        owner = memory.pop("owner", None)
        if isinstance(owner, dict) and self._owner and any(owner.get(k, v) != v for k, v in self._owner.items()):
            text = "a stored token is ignored: it's another client's, so give each client a store_key of its own"
            self.note("read", TokenStoreError(text))
            return None, {}
        self.note("read", None)
        return dataclasses.replace(stored, extra={k: v for k, v in stored.extra.items() if k != _MEMORY}), memory

    def pack(self, token: OAuthToken, memory: Mapping[str, Any]) -> OAuthToken:
        """Return what to store for a token and the grant's memory."""
        kept = {**memory, "owner": self._owner} if self._owner else dict(memory)
        return dataclasses.replace(token, extra={**token.extra, _MEMORY: kept}) if kept else token

    def note(self, action: str, error: Exception | None, seconds: float = 0.0) -> None:
        """Tell of the first failure of a stretch, and of its end; leave a slow store alone for a while."""
        if error is None:
            if action in self._troubles:
                self._troubles.discard(action)
                if not self._troubles:
                    self._rest = None
                    tell(logging.INFO, "store_recovered", "token store works again")
            return
        if seconds >= _SLOW:
            length = _FIRST_REST if self._rest is None else min(self._rest.length * 2, _LONGEST_REST)
            self._rest = Pause.of(length)
        if not self._troubles:
            text = str(error) if isinstance(error, OSError | TokenStoreError) else "…"  # others may show the token
            message = "token store failed to %(action)s: %(error_type)s: %(error)s"
            tell(logging.WARNING, "store_failed", message, action=action, error_type=type(error).__name__, error=text)
        self._troubles.add(action)

    @property
    def is_resting(self) -> bool:
        """Whether the store failed slowly, a short time ago."""
        return self._rest is not None and self._rest.rest > 0


class Visit:
    """One flight's calls to the store. None of them raises but `lock`, and that only `LockTaken`."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._store = shelf._store  # noqa: SLF001 - a visit is part of its shelf
        self._clerk: _Clerk | None = None
        self._held: Any = None
        self.could_load = False
        """Whether the last `load` did not fail."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._clerk is not None:
            self._clerk.dismiss()

    def load(self) -> tuple[OAuthToken | None, Mapping[str, Any]]:
        """Return the stored token and the grant's memory; what is no token counts as absent."""
        store, key = self._store, self._shelf.key
        if store is None:
            return None, {}
        self.could_load, stored = self._call("load", lambda: store.load(key))
        return self._shelf.unpack(stored) if self.could_load else (None, {})

    def save(self, token: OAuthToken, memory: Mapping[str, Any]) -> bool:
        """Save both; tell whether that worked."""
        store, key = self._store, self._shelf.key
        if store is None:
            return False
        kept = self._shelf.pack(token, memory)
        return self._call("save", lambda: store.save(key, kept))[0]

    def delete(self) -> bool:
        """Forget what is stored; tell whether nothing is there any more."""
        store, key = self._store, self._shelf.key
        return store is None or self._call("delete", lambda: store.delete(key))[0]

    @contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Hold the store's lock if it can be had; a renewal without it is better than none.

        Raises `LockTaken` if it's taken and `timeout`, in seconds, is shorter than a renewal may wait.
        """
        store, key, shelf = self._store, self._shelf.key, self._shelf
        if store is None:
            yield
            return
        clerk_lock = _Lock(lambda: store.lock(key, timeout=timeout) if shelf._is_polite else store.lock(key))  # type: ignore[call-arg]  # noqa: SLF001
        wait = timeout if shelf._is_polite else LOCK_WAIT  # noqa: SLF001
        has_lock = self._call("lock", clerk_lock.enter, wait, given_up=clerk_lock.leave, polite=timeout < LOCK_WAIT)[0]
        self._held = clerk_lock.held if has_lock else None
        try:
            yield
        finally:
            self._held = None
            if has_lock:
                self._call("unlock", clerk_lock.leave)

    def has_lost_lock(self) -> bool:
        """Tell whether a lock that was had is another's by now, as after this process was stopped for long."""
        is_held = getattr(self._held, "is_held", None)
        if is_held is None:
            return False
        done, held = self._call("lock", is_held)
        return done and not held

    def _call(
        self,
        action: str,
        function: Callable[[], Any],
        wait: float = 0.0,
        *,
        given_up: Callable[[], Any] | None = None,
        polite: bool = False,
    ) -> tuple[bool, Any]:
        """Return whether a call of the store ended well, and what it returned.

        `wait` is how long it may take beyond the store's patience; `given_up` is called should it end after all.
        """
        shelf = self._shelf
        if shelf.is_resting:
            return False, None
        if self._clerk is None:
            self._clerk = _Clerk()
        begun = time.monotonic()
        try:
            result = self._clerk.do(function, wait + shelf._patience, given_up)  # noqa: SLF001
        except LockTaken as error:
            if polite:
                raise
            shelf.note(action, error)
        except Exception as error:  # noqa: BLE001 - a store may raise anything
            shelf.note(action, error, time.monotonic() - begun - wait)
        else:
            shelf.note(action, None)
            return True, result
        return False, None


class _Lock:
    """A store's lock; entering and leaving it are calls of the visit's thread."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock: Any = None
        self.held: Any = None

    def enter(self) -> None:
        lock = self._make()
        self.held = lock.__enter__()
        self._lock = lock

    def leave(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.__exit__(None, None, None)


class _Clerk:
    """A thread that does one call after the other, and can be given up."""

    def __init__(self) -> None:
        from queue import SimpleQueue  # noqa: PLC0415 - programs without a store needn't load it

        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_lost = False
        self._thread = Flight(self._serve, daemon=True)
        self._thread.start(in_background=True)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def do(self, function: Callable[[], Any], timeout: float, given_up: Callable[[], Any] | None) -> Any:
        """Return what the function returns, or raise what it raises, or `TokenStoreError` after `timeout` seconds."""
        if self._is_lost:
            raise TokenStoreError("the store still hasn't answered")
        if not self._thread.has_started:  # the interpreter exits: there are no threads any more
            return function()
        outcome: Future[Any] = Future()

        def call() -> None:
            try:
                outcome.set_result(function())
            except BaseException as error:  # noqa: BLE001 - it's raised where it's waited for
                outcome.set_exception(error)

        self._calls.put(call)
        begun = time.monotonic()
        while True:
            left = begun + timeout - time.monotonic()
            try:
                return outcome.result(max(min(left, _SLOW), 0.0))
            except FutureTimeoutError:
                if outcome.done():
                    return outcome.result()  # a time-out of the store's own
                falter()
                # At exit nobody waits for another's renewal any more; but what is to be saved is saved.
                if left <= _SLOW or (given_up is not None and not threading.main_thread().is_alive()):
                    break
        self._is_lost = True
        if given_up is not None:
            self._calls.put(given_up)
        raise TokenStoreError(f"the store hasn't answered for {timeout:.3g} s")

    def dismiss(self) -> None:
        """End the thread, once it's done with what it has begun."""
        self._calls.put(None)
