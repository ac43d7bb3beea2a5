"""A flight: one piece of blocking work, run apart from the callers that wait for it, who all share its outcome.

The work runs in a thread of its own, so it's written once for sync and async callers, and cancelling or
interrupting one caller ends neither the flight nor the others' wait. At exit the interpreter waits for the
thread, since it may hold a refresh token that the server has just rotated; `daemon` is for work that may hang.
What the work emits is told when the outcome is out: a log handler may need a lock that a waiting caller holds. Callers
go on when it's told, or after a moment.

What a caller does around a flight is written once, too: as a generator of steps, each of which a thread (`run`) or a
task (`run_async`) can wait for. What a flight does is written as a generator of effects, see `do` and `carry_out`.
"""

from __future__ import annotations

import contextvars
import math
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from . import _events
from ._clock import call_beyond_freezegun
from ._event_loops import arrival, beside_running_loop
from ._record import Outcome, Record, capture

__all__ = [
    "Effect",
    "Flight",
    "Outcome",
    "Standby",
    "Step",
    "attempt",
    "capture",
    "carry_out",
    "do",
    "is_part_of_flight",
    "mark_retrying",
    "run",
    "run_async",
]

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)

_current_flights: contextvars.ContextVar[tuple[Flight[Any], ...]] = contextvars.ContextVar(
    "oauth_auth_flights", default=()
)


class Step(Protocol):
    """Something to wait for, in a thread or in a task."""

    def wait(self) -> Any:
        """Block until it's done, and return its result."""
        ...

    async def wait_async(self) -> Any:
        """Wait in a task of asyncio or trio."""
        ...


if TYPE_CHECKING:

    class Effect(Record, Generic[_T_co]):
        """What a procedure yields, see `do`: it's carried out elsewhere, and brings a `_T_co`."""

else:

    class Effect(Record):
        """The same; that it's generic would take longer, at import, than all else that effects are."""

        def __class_getitem__(cls, result: object) -> type:
            return cls


def do(effect: Effect[_T]) -> Generator[Any, Any, _T]:
    """Have an effect carried out, and return what it brings.

    As in `loaded = yield from do(Load())`.
    """
    result: _T = yield effect
    return result


def carry_out(steps: Generator[Any, Any, _T], perform: Callable[[Any], Any]) -> _T:
    """Return what the steps return; each thing that they yield is performed, and its result or error passed back."""
    go_on: Callable[[Any], Any] = steps.send
    result: Any = None
    while True:
        try:
            step = go_on(result)
        except StopIteration as end:
            value: _T = end.value
            return value
        try:
            go_on, result = steps.send, perform(step)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C reaches the work, too
            go_on, result = steps.throw, error


def run(steps: Generator[Step, Any, _T]) -> _T:
    """Return what the steps return; block while they wait."""
    return carry_out(steps, lambda step: step.wait())


async def run_async(steps: Generator[Step, Any, _T]) -> _T:
    """Return what the steps return, in a task of asyncio or trio."""
    go_on: Callable[[Any], Any] = steps.send
    result: Any = None
    while True:
        try:
            step = go_on(result)
        except StopIteration as end:
            value: _T = end.value
            return value
        try:
            go_on, result = steps.send, await step.wait_async()
        except BaseException as error:  # noqa: BLE001 - cancellation reaches the work, too
            go_on, result = steps.throw, error


class Standby:
    """A thread that waits for work: at a program's end none can be started any more.

    Raises `RuntimeError` where there's no thread to be had.
    """

    def __init__(self, name: str = "attempt", *, daemon: bool = True) -> None:
        self._works: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name=f"oauth_auth-{name}", daemon=daemon).start()

    def submit(self, work: Callable[[], object]) -> None:
        """Have it do this, after what it does now."""
        self._works.put(work)

    def close(self) -> None:
        """End the thread, once it has done its work."""
        self._works.put(None)

    def _serve(self) -> None:
        while (work := self._works.get()) is not None:
            work()


class Flight(Generic[_T]):
    """Work under way. `work` must not raise; its result is what every waiter gets. Threads and tasks may wait.

    It's done by the `standby` thread, if there's one, instead of by a new one. With `holds_events`, what it emits is
    told when the result is out; else it's for the work that it's part of to hold.
    """

    __slots__ = (
        "_events",
        "_future",
        "_holds_events",
        "_is_daemon",
        "_lock",
        "_name",
        "_once",
        "_pid",
        "_standby",
        "_started",
        "_told",
        "_work",
        "is_retrying",
        "waiting",
    )

    patience: ClassVar[float] = 0.1
    """Seconds that callers leave to handlers and listeners, so that what these tell mostly comes before what callers do
    next; no more, since a handler may wait for a caller."""

    def __init__(
        self,
        work: Callable[[], _T],
        *,
        daemon: bool = False,
        name: str = "flight",
        standby: Standby | None = None,
        holds_events: bool = True,
    ) -> None:
        self._work = work
        self._standby = standby
        self._name = f"oauth_auth-{name}"
        self._is_daemon = daemon
        self._holds_events = holds_events
        self._events: _events.HeldEvents | None = None
        self._told: Future[None] | None = None
        """Done once the events are told; None if there are none."""
        self._pid = os.getpid()
        self._started = False
        self.is_retrying = False
        """Whether part of the work has failed and is tried again, so that it may take long."""
        self.waiting = 0
        """How many callers are waiting for it."""
        self._lock = threading.RLock()
        """Guards the start and the number of those who wait."""
        self._once = threading.Lock()
        self._future: Future[_T] = Future()
        # From here on it can't be cancelled.
        self._future.set_running_or_notify_cancel()

    @property
    def is_under_way(self) -> bool:
        """Whether it will still bring a result to this process: a fork takes no threads along."""
        return not self._future.done() and self._pid == os.getpid()

    @property
    def is_reentrant(self) -> bool:
        """Whether the calling code is a callback in this very flight, and so would wait for itself."""
        return self.is_under_way and self in _current_flights.get()

    @property
    def has_started(self) -> bool:
        """Whether the work has begun, in its thread or in a caller's."""
        return self._started

    @property
    def has_events(self) -> bool:
        """Whether there's something to tell."""
        return bool(self._events)

    def start(self, *, in_background: bool = False) -> None:
        """Start the work, in the context of the caller; waiting does so too. Only the first call counts.

        If no thread can start any more, as at exit, the work is done here, or with `in_background` not yet.
        Safe from Ctrl-C and signal handlers at any point: the next to wait starts it, and the work is done once.
        """
        is_done_here = False
        with self._lock:
            if self._started:
                return
            context = contextvars.copy_context()
            library = getattr(sys.modules.get("sniffio"), "current_async_library_cvar", None)
            if library is not None:
                # No event loop runs in the new thread, whatever the caller's context says.
                context.run(library.set, None)
            if not self.start_apart(context):
                if in_background:
                    return
                with beside_running_loop():
                    is_done_here = context.run(self.run_here)
            self._started = True
        if is_done_here:
            self.tell()

    def start_apart(self, context: contextvars.Context) -> bool:
        """Have the work done in another thread; return False if there's none to be had."""
        if self._standby is not None:
            self._standby.submit(partial(context.run, self.run_here))
            return True
        if not threading.main_thread().is_alive():
            return False  # the interpreter exits: Python 3.11 would still start a thread, and not wait for it
        work = partial(context.run, self._run_and_tell)
        try:
            threading.Thread(target=work, name=self._name, daemon=self._is_daemon).start()
        except RuntimeError as error:
            raise_interruption(error)
            return False
        return True

    def _run_and_tell(self) -> None:
        if self.run_here():
            self.tell()

    def run_here(self) -> bool:
        """Do the work in this thread, unless it's done elsewhere; return whether it was done here."""
        if not self.take_up():
            return False
        # An error must not happen, and if it does nobody may wait for ever.
        self.land(capture(partial(call_beyond_freezegun, self._work)))
        return True

    def land(self, outcome: Outcome[_T]) -> None:
        """Give those who wait the work's result, or raise its error for them."""
        if self._events:
            self._told = Future()
        if outcome.error is None:
            self._future.set_result(outcome.unwrap())
        else:
            self._future.set_exception(outcome.error)

    def tell(self) -> None:
        """Tell what the work has emitted, now that its result is out; handlers may block."""
        if self._events is None:
            return
        try:
            call_beyond_freezegun(self._events.release)
        finally:
            if self._told is not None:
                self._told.set_result(None)

    def take_up(self) -> bool:
        """Return whether the work is this code's to do, and nobody else's; mark its context as part of the flight."""
        if not self._once.acquire(blocking=False):
            return False
        if self._holds_events:
            self._events = _events.hold()
        if not self._is_daemon:  # nobody uses an attempt in itself
            # Those that have ended are of no interest, and would add up where callbacks begin flights.
            _current_flights.set((*(flight for flight in _current_flights.get() if flight.is_under_way), self))
        return True

    def wait(self, timeout: float | None = None, tick: Callable[[], object] = lambda: None) -> _T | None:
        """Block until the result is there and return it, or None after `timeout` seconds.

        It wakes up each second, and calls `tick` then: where a signal arrives just before the wait, or on Windows at
        any time, Python would notice Ctrl-C only at the wait's end. The seconds are added up, not read from the clock:
        if the process was stopped, a result that has come meanwhile is still found.
        """
        self.start()
        try:
            with self._counted():
                result = self._result(timeout, tick)
                if self._told is not None and not _events.is_telling():
                    with suppress(FutureTimeoutError):
                        self._told.result(self.patience)
        except RuntimeError as error:  # none of the work's, which doesn't raise
            raise_interruption(error)
            raise
        return result

    def _result(self, timeout: float | None, tick: Callable[[], object]) -> _T | None:
        left = math.inf if timeout is None else timeout
        while True:
            try:
                return self._future.result(min(max(left, 0.0), 1.0))
            except FutureTimeoutError:
                tick()
                left -= 1.0
                if left <= 0:
                    return None

    async def wait_async(self, timeout: float | None = None) -> _T | None:
        """Return the result, or None after `timeout` seconds, to a task of asyncio or trio."""
        self.start()
        with self._counted():
            await arrival(self._future, timeout)
            if self._told is not None and not _events.is_telling():
                await arrival(self._told, self.patience)
        return self._future.result() if self._future.done() else None

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self.waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self.waiting -= 1


def attempt(function: Callable[[], _T], *, standby: Standby | None = None) -> Flight[Outcome[_T]]:
    """Return a flight of a call that may raise, and may be given up: the interpreter doesn't wait for it."""
    return Flight(partial(capture, function), daemon=True, name="attempt", standby=standby, holds_events=False)


def raise_interruption(error: RuntimeError) -> None:
    """Raise what `error` has replaced: Ctrl-C at a wrong moment has a condition release a lock that it lacks."""
    if error.__context__ is not None and "release" in str(error):
        raise error.__context__ from None


def mark_retrying() -> None:
    """Mark the flights that the caller is part of: part of their work has failed, and is tried again."""
    for flight in _current_flights.get():
        flight.is_retrying = True


def is_part_of_flight() -> bool:
    """Return whether the code that asks is part of a flight under way, such as a callback in it."""
    return any(flight.is_under_way for flight in _current_flights.get())
