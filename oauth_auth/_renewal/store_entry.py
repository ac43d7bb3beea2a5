"""Access to one key of a token store. Store failures are logged, never raised: no request may depend on the store.

What an entry contains is in `entry`.

A store may hang, and a lock may belong to the thread that took it. So a renewal makes all its calls in one thread,
that of its session's worker, and abandons it if a call takes too long.
"""

from __future__ import annotations

import enum
import inspect
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import copy_context
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

from .._clock import Clock, Now
from .._events import emit
from .._flight import Flight, Outcome, capture, mark_retrying
from ..errors import ConfigurationError, TokenStoreError
from ..stores import LockTaken, TokenStore
from ..stores._protocol import LOCK_WAIT
from .backoff import Cooldown
from .entry import Entry, pack, unpack

__all__ = ["Locked", "StoreEntry", "StoreSession", "StoreWorker"]


_NOTHING: frozenset[str] = frozenset()  # one for all objects, which have hundreds of bytes less by it
_SPARE = "-spare"
"""The suffix of the spare lock's key."""


class Locked(enum.Enum):
    """How an attempt to take the store's lock ended."""

    HELD = "this program has it"
    TAKEN = "a sibling has it"
    FAILED = "the store doesn't work, or there's none"


class StoreEntry:
    """One key of a store. An entry without a store is empty and stays so.

    `owner` says whose tokens these are, where the key alone doesn't; tokens of others count as absent.
    """

    __slots__ = (
        "_cooldown",
        "_failed_actions",
        "clock",
        "key",
        "owner",
        "standby",
        "store",
        "supports_timeout",
        "timeout",
    )

    default_timeout = 5.0
    """Seconds that a call may take, of a store that has no `timeout` of its own."""
    lock_wait = LOCK_WAIT
    """Seconds that a lock may be held while the entry doesn't change; then its holder counts as stopped."""
    slow = 1.0
    """Seconds after which a store call counts as slow. Callers with a valid token then stop waiting for it, and a
    store that fails this slowly is left alone for a while."""
    first_cooldown = 5.0
    longest_cooldown = 60.0
    longest_cooldown_after_hanging = 3600.0
    """Each attempt at a store that never answers costs a thread, which ends only if the store answers."""

    def __init__(
        self, store: TokenStore | None, key: str, owner: Mapping[str, str] | None = None, *, clock: Clock = Now.read
    ) -> None:
        self.store = store
        self.key = key
        self.owner = dict(owner or {})
        self.timeout = self.default_timeout
        self.supports_timeout = False
        """Whether the store's lock can be tried without waiting."""
        self.clock = clock
        self.standby: StoreWorker | None = None
        """What makes calls when the interpreter exits, and no more threads begin: a call made here might hang."""
        self._failed_actions = _NOTHING
        self._cooldown: Cooldown | None = None
        if store is not None:
            self.timeout = _read_timeout(getattr(store, "timeout", self.default_timeout))
            self.supports_timeout = _takes_timeout(store.lock)

    @property
    def is_shared(self) -> bool:
        """Whether there is a store, and so may be siblings."""
        return self.store is not None

    @property
    def is_in_trouble(self) -> bool:
        """Whether the last load, save or lock failed: siblings may not know what this program knows."""
        return bool(self._failed_actions)

    @property
    def is_resting(self) -> bool:
        """Whether the store failed slowly, a short time ago."""
        return self._cooldown is not None and self._cooldown.remaining(self.clock()) > 0

    def session(self, tick: Callable[[], object] = lambda: None) -> StoreSession:
        """Return a context manager for one renewal's calls; `tick` is called each second while one is waited for."""
        return StoreSession(self, tick)

    def worked(self, action: str) -> None:
        """Note that an action works; log the end of a stretch of failures."""
        if action in self._failed_actions:
            self._failed_actions -= {action}
            if not self._failed_actions:
                self._cooldown = None
                emit(logging.INFO, "store_recovered", "token store works again")

    def failed(self, action: str, error: BaseException, seconds: float = 0.0, *, still_hangs: bool = False) -> None:
        """Log the first failure of a stretch; leave a slow store alone for a while."""
        if seconds >= self.slow or still_hangs:
            longest = self.longest_cooldown_after_hanging if still_hangs else self.longest_cooldown
            length = self.first_cooldown if self._cooldown is None else min(self._cooldown.length * 2, longest)
            self._cooldown = Cooldown.begin(self.clock(), length)
        if not self._failed_actions:
            text, kind = _safe_text(error), type(error).__name__
            message = "token store failed to %(action)s: %(error_type)s: %(error)s"
            emit(logging.WARNING, "store_failed", message, action=action, error_type=kind, error=text)
        self._failed_actions |= {action}

    def end_cooldown(self) -> None:
        """Use the store again: the abandoned call has returned."""
        self._cooldown = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.store, self.key, self.owner)


class StoreSession:
    """One renewal's calls to the store. None of them raises."""

    def __init__(self, entry: StoreEntry, tick: Callable[[], object]) -> None:
        self._entry = entry
        self._tick = tick
        self._worker: StoreWorker | None = None
        self._is_borrowed = False
        self._lock: _Lock | None = None

    @property
    def is_shared(self) -> bool:
        """Whether there is a store."""
        return self._entry.is_shared

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unlock()
        if self._worker is not None and not self._is_borrowed:
            if self._entry.standby is self._worker:
                self._entry.standby = None
            self._worker.shutdown()

    def stand_by(self) -> None:
        """Have a thread for the calls of other sessions at the interpreter's exit, until this one ends."""
        if self.is_shared and self._worker is None:
            self._entry.standby = self._worker = self._make_worker("saver")

    def _make_worker(self, name: str = "attempt") -> StoreWorker:
        return StoreWorker(self._entry.end_cooldown, slow=self._entry.slow, name=name)

    def load(self) -> tuple[Entry, bool]:
        """Return what is stored, and whether it could be read; anything but a token counts as absent."""
        store, key, owner = self._entry.store, self._entry.key, self._entry.owner
        if store is None:
            return Entry(), False
        is_ok, stored = self._call("load", lambda: store.load(key))
        if not is_ok:
            return Entry(), False
        try:
            entry = unpack(stored, owner)
        except TokenStoreError as error:
            self._entry.failed("read", error)
            return Entry(), True
        self._entry.worked("read")
        return entry, True

    def save(self, entry: Entry) -> bool:
        """Save; return whether that worked."""
        store, key = self._entry.store, self._entry.key
        if store is None:
            return False
        packed = pack(entry, self._entry.owner)
        return self._call("save", lambda: store.save(key, packed))[0]

    def delete(self) -> bool:
        """Delete what is stored; return whether nothing is there any more."""
        store, key = self._entry.store, self._entry.key
        return store is None or self._call("delete", lambda: store.delete(key))[0]

    def lock(self, timeout: float, *, is_spare: bool = False) -> Locked:
        """Take the store's lock; wait for `timeout` seconds at most, or 30 where the store's lock takes no time-out.

        The spare lock has another key, and is for renewals that go on without the lock.
        """
        store, entry = self._entry.store, self._entry
        key = f"{entry.key}{_SPARE}" if is_spare else entry.key
        if store is None:
            return Locked.FAILED
        if self._lock is not None:
            return Locked.HELD
        lock: Any = store.lock
        taking = _Lock(lambda: lock(key, timeout=timeout) if entry.supports_timeout else lock(key))
        wait = timeout if entry.supports_timeout else entry.lock_wait
        is_held, error = self._call("lock", taking.enter, wait, on_late=taking.leave)
        if is_held:
            self._lock = taking
            return Locked.HELD
        return Locked.TAKEN if isinstance(error, LockTaken) else Locked.FAILED

    def still_holds_lock(self) -> bool:
        """Return False if the lock has passed to another holder, as after this process was stopped for long."""
        is_held = None if self._lock is None else getattr(self._lock.held, "is_held", None)
        if is_held is None:
            return True
        is_known, held = self._call("lock", is_held)
        return bool(held) or not is_known

    def unlock(self) -> None:
        """Release the lock, whatever happened meanwhile; without waiting for a store that has become slow."""
        lock, self._lock = self._lock, None
        if lock is None:
            return
        if self._worker is not None and (self._worker.is_abandoned or self._entry.is_resting):
            self._worker.submit_later(lock.leave)
        else:
            self._call("unlock", lock.leave)

    def _call(
        self, action: str, function: Callable[[], Any], wait: float = 0.0, *, on_late: Callable[[], Any] | None = None
    ) -> tuple[bool, Any]:
        """Return whether a call of the store ended well, and what it returned, or raised if not.

        `wait` is how long it may take beyond the store's time-out; `on_late` is called if it ends later all the same.
        """
        entry = self._entry
        if entry.is_resting:
            return False, None
        if self._worker is None:
            self._worker, standby = self._make_worker(), entry.standby
            if not self._worker.has_thread and standby is not None and standby.has_thread:
                self._worker, self._is_borrowed = standby, True
        begun, slices = entry.clock().monotonic, 0

        def tick() -> None:
            nonlocal slices
            slices += 1
            self._tick()

        outcome = self._worker.submit(function, wait + entry.timeout, on_late, tick)
        if outcome.error is None:
            entry.worked(action)
            return True, outcome.value
        if not isinstance(outcome.error, LockTaken):
            seconds = entry.clock().monotonic - begun
            if self._worker.has_thread:  # if the program was stopped meanwhile, that says nothing against the store
                seconds = min(seconds, (slices + 0.99) * entry.slow)
            entry.failed(action, outcome.error, seconds - wait, still_hangs=self._worker.is_abandoned)
        return False, outcome.error


class StoreWorker:
    """A thread that makes one call after the other, and can be abandoned; `on_return` is called if it comes back.

    A call that takes longer than `slow` seconds is shown to those who wait for the flight: they may go on without it.
    """

    def __init__(self, on_return: Callable[[], object], *, slow: float, name: str = "attempt") -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._on_return = on_return
        self._slow = slow
        self.is_abandoned = False
        """Whether a call took too long; if it ends, the thread then makes the calls that are left."""
        self._thread = Flight(self._serve, daemon=True, name=name, holds_events=False)
        self._thread.start(in_background=True)

    @property
    def has_thread(self) -> bool:
        """Whether calls are made in the thread, and not by who asks for them, as when the interpreter exits."""
        return self._thread.has_started and self._thread.is_under_way

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def submit(
        self,
        function: Callable[[], Any],
        timeout: float,
        on_late: Callable[[], Any] | None,
        tick: Callable[[], object] = lambda: None,
    ) -> Outcome[Any]:
        """Return the function's outcome, or a `TokenStoreError` after `timeout` seconds.

        `on_late` is called if the function ends later all the same; `tick` after every `slow` seconds.
        """
        if self.is_abandoned:
            return Outcome(None, TokenStoreError("the store still hasn't answered"))
        if not self.has_thread:  # the interpreter exits: there are no threads any more
            return capture(function)
        outcome: Future[Outcome[Any]] = Future()
        context = copy_context()  # that of the renewal, whoever's thread it is
        self._calls.put(lambda: outcome.set_result(context.run(capture, function)))
        left = timeout
        while left > 0:
            # Waits are added up, not read from the clock: the time that a process was stopped isn't the store's.
            wait = min(left, self._slow)
            try:
                return outcome.result(wait)
            except FutureTimeoutError:
                mark_retrying()
                tick()
                left -= wait
                # At exit a sibling's lock isn't waited for any more; but what is to be saved is saved.
                if on_late is not None and not threading.main_thread().is_alive():
                    break
        self.is_abandoned = True
        if on_late is not None:
            self.submit_later(on_late)
        return Outcome(None, TokenStoreError(f"the store hasn't answered for {timeout:.3g} s"))

    def submit_later(self, function: Callable[[], Any]) -> None:
        """Make a call without waiting for it, when those before it have ended."""
        self._calls.put(lambda: capture(function))

    def shutdown(self) -> None:
        """End the thread after the calls that it was given."""
        if self.is_abandoned:
            self._calls.put(self._on_return)
        self._calls.put(None)


class _Lock:
    """A store's lock; entering and leaving it are calls of the session's thread."""

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


def _read_timeout(timeout: object) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ConfigurationError("the store's attribute `timeout` must be a number of seconds, more than 0")
    return float(timeout)


def _takes_timeout(lock: Callable[..., Any]) -> bool:
    try:
        return "timeout" in inspect.signature(lock).parameters
    except (TypeError, ValueError):  # it's no Python function
        return False


def _safe_text(error: BaseException) -> str:
    """Return an error's text, if it's of a class whose text can't show the token."""
    if not isinstance(error, OSError | TokenStoreError):
        return "…"
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a store may raise anything
        return "…"
