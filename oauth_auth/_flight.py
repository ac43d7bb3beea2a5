"""A flight: one piece of blocking work, run apart from the callers that wait for it, who all share its outcome.

The work runs in a thread of its own, so it's written once for sync and async callers, and a caller that's cancelled
or interrupted takes nothing along: the flight goes on, and so do the others. At exit the interpreter waits for the
thread, since it may hold a refresh token that the server has just rotated; `daemon` is for work that may hang.
"""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Any, Generic, TypeVar

__all__ = ["Flight", "mark_retrying"]

_T = TypeVar("_T")

_current_flights: contextvars.ContextVar[tuple[Flight[Any], ...]] = contextvars.ContextVar(
    "oauth_auth_flights", default=()
)


class Flight(Generic[_T]):
    """Work under way. `work` must not raise; its result is what every waiter gets. Threads and tasks may wait."""

    __slots__ = ("_future", "_is_daemon", "_once", "_pid", "_started", "_starting", "_work", "is_retrying")

    def __init__(self, work: Callable[[], _T], *, daemon: bool = False) -> None:
        self._work = work
        self._is_daemon = daemon
        self._pid = os.getpid()
        self._started = False
        self.is_retrying = False
        """Whether part of the work has failed and is tried again, so that it may take long."""
        self._starting = threading.RLock()
        self._once = threading.Lock()
        self._future: Future[_T] = Future()
        # From here on nobody's cancellation can reach it.
        self._future.set_running_or_notify_cancel()

    @property
    def is_under_way(self) -> bool:
        """Whether it will still bring a result to this process: a fork takes no threads along."""
        return not self._future.done() and self._pid == os.getpid()

    @property
    def is_ours(self) -> bool:
        """Whether the code that asks is part of this very flight, a callback in it, and so would wait for itself."""
        return self in _current_flights.get()

    @property
    def has_started(self) -> bool:
        """Whether there was a thread to do the work, or somebody who waits for it has done it."""
        return self._started

    def start(self, *, in_background: bool = False) -> None:
        """Begin, in the context of the caller; waiting does so too. Only the first call counts.

        If no thread can start any more, as at exit, the work is done here and now, or for `in_background` not yet.
        Safe from Ctrl-C and signal handlers at any point: whoever waits next begins it, and `_run` runs once.
        """
        with self._starting:
            if self._started:
                return
            context = contextvars.copy_context()
            if (sniffio := sys.modules.get("sniffio")) is not None:
                # No event loop runs in the new thread, whatever the caller's context says.
                context.run(sniffio.current_async_library_cvar.set, None)
            if not self._start_thread(context):
                if in_background:
                    return
                context.run(self._run)
            self._started = True

    def _start_thread(self, context: contextvars.Context) -> bool:
        if not threading.main_thread().is_alive():
            return False  # the interpreter exits: Python 3.11 would still start a thread, and not wait for it
        name = "oauth_auth-attempt" if self._is_daemon else "oauth_auth-flight"
        try:
            threading.Thread(target=context.run, args=(self._run,), name=name, daemon=self._is_daemon).start()
        except RuntimeError:
            return False
        return True

    def _run(self) -> None:
        if self._once.acquire(blocking=False):
            # Those that have ended are of no interest, and would add up where callbacks begin flights.
            _current_flights.set((*(flight for flight in _current_flights.get() if flight.is_under_way), self))
            try:
                self._future.set_result(_call_beyond_freezegun(self._work))
            except BaseException as error:  # noqa: BLE001 - it must not happen, and if it does nobody may wait for ever
                self._future.set_exception(error)

    def wait(self, timeout: float | None = None) -> _T | None:
        """Block until the result is there and return it, or None after `timeout` seconds."""
        self.start()
        try:
            return self._future.result(timeout)
        except FutureTimeoutError:
            return None

    async def wait_async(self, timeout: float | None = None) -> _T | None:
        """Do the same in a task of asyncio or trio."""
        self.start()
        if _in_trio():
            await self._wait_in_trio(timeout)
        else:
            await self._wait_in_asyncio(timeout)
        return self._future.result() if self._future.done() else None

    async def _wait_in_asyncio(self, timeout: float | None) -> None:
        import asyncio  # noqa: PLC0415 - sync programs needn't load it

        loop = asyncio.get_running_loop()
        arrival: asyncio.Future[None] = loop.create_future()

        def arrive() -> None:
            if not arrival.done():
                arrival.set_result(None)

        def wake(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
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


def mark_retrying() -> None:
    """Mark the flights that the caller is part of: what it does has failed once, and is tried again."""
    for flight in _current_flights.get():
        flight.is_retrying = True


def _call_beyond_freezegun(work: Callable[[], _T], frames: int = 5) -> _T:
    """Call the work some frames further down.

    freezegun gives the real time to whatever has `threading` within five frames above it, and the work must see the
    same clock as its callers.
    """
    return work() if frames == 0 else _call_beyond_freezegun(work, frames - 1)


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())
