"""A flight: one piece of blocking work, run apart from the callers that wait for it, who all share its outcome.

The work runs in a thread of its own, so it's written once for sync and async callers, and cancelling or
interrupting one caller ends neither the flight nor the others' wait. At exit the interpreter waits for the
thread, since it may hold a refresh token that the server has just rotated; `daemon` is for work that may hang.

What a caller does around a flight is written once, too: as a generator of steps, each of which a thread (`run`) or a
task (`run_async`) can wait for.
"""

from __future__ import annotations

import contextvars
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from ._record import Record

__all__ = [
    "Flight",
    "Outcome",
    "Standby",
    "Step",
    "attempt",
    "call_beyond_freezegun",
    "capture",
    "carry_out",
    "in_event_loop",
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


class Outcome(Record, Generic[_T_co]):
    """What a function returned, or the error that it raised."""

    value: _T_co | None
    error: BaseException | None = None

    def unwrap(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


def capture(function: Callable[[], _T]) -> Outcome[_T]:
    """Call a function, and return its result or error as an `Outcome`."""
    try:
        return Outcome(function())
    except BaseException as error:  # noqa: BLE001 - the caller raises or judges it
        return Outcome(None, error)


class Standby:
    """A daemon thread that waits for work: at a program's end none can be started any more.

    Raises `RuntimeError` where there's no thread to be had.
    """

    def __init__(self) -> None:
        self._works: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="oauth_auth-attempt", daemon=True).start()

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

    It's done by the `standby` thread, if there's one, instead of by a new one.
    """

    __slots__ = (
        "_future",
        "_is_daemon",
        "_lock",
        "_name",
        "_once",
        "_pid",
        "_standby",
        "_started",
        "_work",
        "is_retrying",
        "waiting",
    )

    def __init__(
        self, work: Callable[[], _T], *, daemon: bool = False, name: str = "flight", standby: Standby | None = None
    ) -> None:
        self._work = work
        self._standby = standby
        self._name = f"oauth_auth-{name}"
        self._is_daemon = daemon
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
        return self in _current_flights.get()

    @property
    def has_started(self) -> bool:
        """Whether the work has begun, in its thread or in a caller's."""
        return self._started

    def start(self, *, in_background: bool = False) -> None:
        """Start the work, in the context of the caller; waiting does so too. Only the first call counts.

        If no thread can start any more, as at exit, the work is done here, or with `in_background` not yet.
        Safe from Ctrl-C and signal handlers at any point: the next to wait starts it, and `_run` runs once.
        """
        with self._lock:
            if self._started:
                return
            context = contextvars.copy_context()
            library = getattr(sys.modules.get("sniffio"), "current_async_library_cvar", None)
            if library is not None:
                # No event loop runs in the new thread, whatever the caller's context says.
                context.run(library.set, None)
            if not self._start_thread(context):
                if in_background:
                    return
                with _beside_running_loop():
                    context.run(self._run)
            self._started = True

    def _start_thread(self, context: contextvars.Context) -> bool:
        if self._standby is not None:
            self._standby.submit(partial(context.run, self._run))
            return True
        if not threading.main_thread().is_alive():
            return False  # the interpreter exits: Python 3.11 would still start a thread, and not wait for it
        try:
            threading.Thread(target=context.run, args=(self._run,), name=self._name, daemon=self._is_daemon).start()
        except RuntimeError:
            return False
        return True

    def _run(self) -> None:
        if self._take_up():
            try:
                self._future.set_result(call_beyond_freezegun(self._work))
            except BaseException as error:  # noqa: BLE001 - it must not happen, and if it does nobody may wait for ever
                self._future.set_exception(error)

    def _take_up(self) -> bool:
        """Return whether the work is this code's to do, and nobody else's; mark its context as part of the flight."""
        if not self._once.acquire(blocking=False):
            return False
        if not self._is_daemon:  # nobody uses an attempt in itself
            # Those that have ended are of no interest, and would add up where callbacks begin flights.
            _current_flights.set((*(flight for flight in _current_flights.get() if flight.is_under_way), self))
        return True

    def wait(self, timeout: float | None = None, tick: Callable[[], object] = lambda: None) -> _T | None:
        """Block until the result is there and return it, or None after `timeout` seconds.

        With a time-out, `tick` is called each second. The seconds are added up, not read from the clock: if the process
        was stopped, a result that has come meanwhile is still found.
        """
        self.start()
        with self._counted():
            if timeout is None:
                return self._future.result()
            while True:
                try:
                    return self._future.result(min(max(timeout, 0.0), 1.0))
                except FutureTimeoutError:
                    tick()
                    timeout -= 1.0
                    if timeout <= 0:
                        return None

    async def wait_async(self, timeout: float | None = None) -> _T | None:
        """Return the result, or None after `timeout` seconds, to a task of asyncio or trio."""
        self.start()
        with self._counted():
            if _in_trio():
                await self._wait_in_trio(timeout)
            else:
                await self._wait_in_asyncio(timeout)
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

    async def _wait_in_asyncio(self, timeout: float | None) -> None:
        import asyncio  # noqa: PLC0415 - sync programs needn't load it

        loop = asyncio.get_running_loop()
        arrival: asyncio.Future[None] = loop.create_future()

        def arrive() -> None:
            if not arrival.done():
                arrival.set_result(None)

        def wake(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: no task waits there any more
                loop.call_soon_threadsafe(arrive)

        self._future.add_done_callback(wake)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await arrival

    async def _wait_in_trio(self, timeout: float | None) -> None:
        import trio  # noqa: PLC0415 - it's loaded already, or this code wouldn't run

        token = trio.lowlevel.current_trio_token()
        arrival = trio.Event()

        def wake(_: object) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(arrival.set)

        self._future.add_done_callback(wake)
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            await arrival.wait()


def attempt(function: Callable[[], _T], *, standby: Standby | None = None) -> Flight[Outcome[_T]]:
    """Return a flight of a call that may raise, and may be given up: the interpreter doesn't wait for it."""
    return Flight(partial(capture, function), daemon=True, name="attempt", standby=standby)


def mark_retrying() -> None:
    """Mark the flights that the caller is part of: part of their work has failed, and is tried again."""
    for flight in _current_flights.get():
        flight.is_retrying = True


def is_part_of_flight() -> bool:
    """Return whether the code that asks is part of a flight under way, such as a callback in it."""
    return any(flight.is_under_way for flight in _current_flights.get())


def in_event_loop() -> bool:
    """Return whether this code runs in an event loop, of asyncio or trio."""
    running_loop = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return (running_loop is not None and running_loop() is not None) or _in_trio()


def call_beyond_freezegun(work: Callable[[], _T], frames: int = 5) -> _T:
    """Add five frames below `threading`, then call the work.

    freezegun returns the real time to code within five frames of an ignored module, and `threading` is one; the work
    must see the same clock as its callers. Seen in freezegun 1.5.
    """
    return work() if frames == 0 else call_beyond_freezegun(work, frames - 1)


@contextmanager
def _beside_running_loop() -> Iterator[None]:
    """Take off the marks by which asyncio knows the loop that runs in this thread, so that code here may run another.

    Token calls of aiohttp do, and so may a callback.
    """
    loop = getattr(sys.modules.get("asyncio"), "_get_running_loop", lambda: None)()
    if loop is None:
        yield
        return
    from asyncio import _set_running_loop, current_task  # noqa: PLC0415 - it's loaded already
    from asyncio.tasks import _enter_task, _leave_task  # noqa: PLC0415

    task = current_task(loop)
    _set_running_loop(None)
    if task is not None:
        _leave_task(loop, task)
    try:
        yield
    finally:
        if task is not None:
            _enter_task(loop, task)
        _set_running_loop(loop)


def _in_trio() -> bool:
    """Return whether this code runs in a task of trio.

    Another thread may be importing trio at this moment, as httpcore does in its first call: then it's in
    `sys.modules` without what it will have. A task of trio can only run where that import has ended.
    """
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    in_trio_task = getattr(lowlevel, "in_trio_task", None)
    return in_trio_task is not None and bool(in_trio_task())
