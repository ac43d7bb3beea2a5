"""An event loop in a thread of its own, which carries out renewals when there are many at once.

Only what waits is done in the loop: token calls and pauses. The rest of a renewal may run code of the user's that
blocks, so it's done by workers, threads beside the loop's. What landed flights have emitted is told in one more.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from .._clock import call_beyond_freezegun
from .._flight import Flight, Outcome, Standby, attempt, capture, mark_retrying
from .._server.calls import Ask, GivenUp, Run, Sleep, crashed, sends_async
from ..errors import OAuthError

if TYPE_CHECKING:
    from .._server.calls import Steps
    from .effects import Runner

__all__ = ["SharedFlight", "SharedLoop"]

_CHECK = 0.5
"""Seconds between two looks at whether the workers keep up: they may be blocked, even by what waits for them."""
_MANY_WORKERS = 64
"""How many workers there are before they become more slowly."""
_MOST_LOOKUPS = 32
"""How many names are resolved at once."""

if sys.platform == "win32":
    _EventLoop = asyncio.ProactorEventLoop  # the other one takes 512 sockets there
else:
    _EventLoop = asyncio.SelectorEventLoop


class SharedFlight(Protocol):
    """What can be carried out here: see `flights.RenewalFlight`."""

    procedure: Steps[Any]
    runner: Runner

    @property
    def has_events(self) -> bool: ...
    def take_over(self) -> bool: ...
    def run_here(self) -> bool: ...
    def land(self, outcome: Outcome[Any]) -> None: ...
    def tell(self) -> None: ...


class SharedLoop:
    """Takes flights, and has a thread for them, which begins with the first and ends with the last.

    At exit the interpreter waits for it, as for a flight's own thread. Safe from Ctrl-C and signal handlers at any
    point: at worst there are two threads for a while, or a flight is taken twice, the second time in vain.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        """Guards the beginning and the end of the thread."""
        self._taken: deque[_Carried] = deque()
        self._thread: threading.Thread | None = None
        self._loop: _Loop | None = None
        """None while the thread begins: it will see by itself what was taken meanwhile."""

    @property
    def is_in_its_thread(self) -> bool:
        """Whether the code that asks is in the loop's thread, and so would hold up all flights."""
        return threading.current_thread() is self._thread

    def take(self, flight: SharedFlight, context: Context) -> bool:
        """Carry out a flight; return False if there's no thread to be had."""
        carried = _Carried(flight, context)
        with self._lock:
            self._taken.append(carried)
            if self._thread is not None and self._thread.is_alive():
                if self._loop is not None and len(self._taken) == 1:
                    self._loop.call_soon_threadsafe(self._loop.begin)
                return True
            self._loop = None
            self._thread = _thread(self._run)
            try:
                self._thread.start()
            except RuntimeError:
                self._taken.remove(carried)
                return False
            return True

    def _run(self) -> None:
        teller = _Teller()
        try:
            loop = _Loop(self._taken)
        except OSError:
            loop = None
        self._loop = loop
        while True:
            if loop is None:
                while self._taken:
                    carried = self._taken.popleft()
                    carried.run()
                    if not teller.tell(carried):
                        carried.tell()
            else:
                loop.call_soon(loop.begin)
                loop.run_forever()
            with self._lock:
                if not self._taken and (loop is None or loop.is_idle):
                    if self._thread is threading.current_thread():
                        self._loop = self._thread = None
                    break
        if loop is not None:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        teller.close()


def _thread(function: Callable[[], None]) -> threading.Thread:
    """Return a thread that the interpreter waits for, whichever thread it's made in."""
    return threading.Thread(target=call_beyond_freezegun, args=(function,), name="oauth_auth-flights", daemon=False)


class _Carried:
    """A flight that's carried out by turns: by a worker, and where it waits by the loop."""

    __slots__ = ("_context", "_flight", "_go_on", "_has_landed", "_result")

    def __init__(self, flight: SharedFlight, context: Context) -> None:
        self._flight = flight
        self._context = context
        self._go_on: Callable[[Any], Any] | None = None
        """None before it has begun."""
        self._result: Any = None
        self._has_landed = False

    def run(self) -> None:
        """Carry the flight out in this thread."""
        if self._context.run(self._flight.run_here):
            self._land()

    @property
    def has_events(self) -> bool:
        """Whether it has landed, and emitted something to tell."""
        return self._has_landed and self._flight.has_events

    def tell(self) -> None:
        """Tell what the flight has emitted; a handler may block."""
        self._context.run(self._flight.tell)

    def _land(self) -> None:
        self._has_landed = True
        if not self._flight.has_events:
            self._flight.tell()  # at once, if an attempt that was given up emits something later

    def advance(self) -> object:
        """Go on to where the renewal must wait, and return what for, or None at its end. Never raises."""
        return self._context.run(call_beyond_freezegun, self._advance)

    def _advance(self) -> object:
        flight = self._flight
        if self._go_on is None:
            if not flight.take_over():
                return None
            self._go_on = flight.procedure.send
        while True:
            try:
                effect: object = self._go_on(self._result)
            except StopIteration as end:
                flight.land(Outcome(end.value))
                break
            except BaseException as error:  # noqa: BLE001 - it must not happen, and if it does nobody may wait for ever
                flight.land(Outcome(None, error))
                break
            if isinstance(effect, Sleep | Run) or (isinstance(effect, Ask) and sends_async(effect.transport)):
                return effect
            self._pass_on(capture(partial(flight.runner.perform, effect)))
        self._land()
        return None

    def begin_waiting(self, effect: object, loop: _Loop) -> asyncio.Task[Any]:
        """Return a task that waits, in a copy of the flight's context: a worker and a task can't share one."""
        context = self._context.copy()
        library = getattr(sys.modules.get("sniffio"), "current_async_library_cvar", None)
        if library is not None:
            context.run(library.set, "asyncio")  # else HTTP libraries find it out many times in each call
        return asyncio.Task(_wait(effect), loop=loop, context=context)

    def end_waiting(self, task: asyncio.Task[Any]) -> None:
        """Take what came of a wait."""
        self._pass_on(capture(task.result))

    def _pass_on(self, outcome: Outcome[Any]) -> None:
        steps = self._flight.procedure
        self._go_on, self._result = (
            (steps.send, outcome.value) if outcome.error is None else (steps.throw, outcome.error)
        )


class _Teller:
    """Tells what flights have emitted, in the order of their landings, in a thread of its own: it holds up none."""

    def __init__(self) -> None:
        self._thread: Standby | None = None

    def tell(self, carried: _Carried) -> bool:
        """Tell it soon, if there's something to tell; return False if there's no thread to be had."""
        if not carried.has_events:
            return True
        try:
            self._thread = self._thread or Standby("flights", daemon=False)
        except RuntimeError:
            return False
        self._thread.submit(carried.tell)
        return True

    def close(self) -> None:
        """End the thread, once all is told."""
        if self._thread is not None:
            self._thread.close()


class _Loop(_EventLoop):
    """The event loop of one thread. All but what workers do runs in that thread."""

    # A clock that freezegun has stopped would end no pause and no time-out.
    time = staticmethod(getattr(sys.modules.get("freezegun.api"), "real_monotonic", time.monotonic))

    def __init__(self, taken: deque[_Carried]) -> None:
        try:
            super().__init__()
        except OSError:  # too many files are open
            with suppress(AttributeError):  # it may not even have begun
                asyncio.BaseEventLoop.close(self)  # else it complains when it's collected, half made as it is
            raise
        self._taken = taken
        self._teller = _Teller()
        self._under_way: set[_Carried] = set()
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        """What workers are to do; None ends one of them."""
        self._advanced: deque[tuple[_Carried, object]] = deque()
        """What workers have advanced, and what it waits for."""
        self._is_told = False
        """Whether the loop is going to look at what they have advanced."""
        self._workers = self._put = self._put_before = 0
        self._lookups: dict[Any, Flight[Outcome[Any]]] = {}
        self._lookup_slots = asyncio.Semaphore(_MOST_LOOKUPS)
        self._add_worker()
        self._check()

    def begin(self) -> None:
        """Begin what was taken; end the loop if nothing is left to do."""
        while self._taken:
            carried = self._taken.popleft()
            self._under_way.add(carried)
            self._put_job(partial(self._advance, carried))
        if not self._under_way:
            self.stop()

    @property
    def is_idle(self) -> bool:
        """Whether no flight is under way in it."""
        return not self._under_way

    def close(self) -> None:
        """End the workers, too."""
        for _ in range(self._workers):
            self._jobs.put(None)
        self._teller.close()
        super().close()

    def _put_job(self, job: Callable[[], object]) -> None:
        self._put += 1
        if self._workers:
            self._jobs.put(job)
        else:
            job()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _advance(self, carried: _Carried) -> None:
        self._advanced.append((carried, carried.advance()))
        if not self._is_told:
            self._is_told = True
            self.call_soon_threadsafe(self._wait_for_advanced)

    def _wait_for_advanced(self) -> None:
        self._is_told = False
        while self._advanced:
            carried, effect = self._advanced.popleft()
            if effect is None:
                self._under_way.discard(carried)
                if not self._teller.tell(carried):
                    self._put_job(carried.tell)
            else:
                carried.begin_waiting(effect, self).add_done_callback(partial(self._end_waiting, carried))
        if not self._under_way:
            self.stop()

    def _end_waiting(self, carried: _Carried, task: asyncio.Task[Any]) -> None:
        carried.end_waiting(task)
        self._put_job(partial(self._advance, carried))

    def _add_worker(self) -> None:
        """Begin another worker; if no thread can start any more, as at exit, do a job here and now."""
        try:
            _thread(self._work).start()
            self._workers += 1
        except RuntimeError:
            with suppress(Empty):
                if (job := self._jobs.get_nowait()) is not None:
                    job()

    def _check(self) -> None:
        """Have more workers if a job that was there at the last look still waits for one.

        A flight whose taking was interrupted is begun, too.
        """
        if self._taken:
            self.begin()
        if self._put - self._jobs.qsize() < self._put_before:
            for _ in range(max(1, min(self._workers, _MANY_WORKERS - self._workers))):
                self._add_worker()
        self._put_before = self._put
        self.call_later(_CHECK, self._check)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Resolve a name, once for all that ask meanwhile, in a thread that may hang.

        The loop's own way would need a thread pool that can't be used any more while the interpreter exits.
        """
        key = (host, port, *sorted(options.items()))
        lookup = self._lookups.get(key)
        if lookup is not None:
            return _unwrap(await lookup.wait_async())
        async with self._lookup_slots:
            lookup = self._lookups.setdefault(key, attempt(partial(socket.getaddrinfo, host, port, **options)))
            try:
                return _unwrap(await lookup.wait_async())
            finally:
                self._lookups.pop(key, None)


def _unwrap(outcome: Outcome[Any] | None) -> Any:
    assert outcome is not None  # noqa: S101 - without a time-out there's an outcome
    return outcome.unwrap()


async def _wait(effect: object) -> Any:
    """Do what takes time, see `_server.calls.perform`."""
    if isinstance(effect, Ask):
        return await _ask(effect)
    if isinstance(effect, Sleep):
        mark_retrying()
        await asyncio.sleep(effect.seconds)
        return None
    if isinstance(effect, Run):
        outcome = await attempt(effect.function).wait_async(effect.timeout)
        if outcome is None:
            raise GivenUp
        return outcome.unwrap()
    raise AssertionError(effect)  # pragma: no cover - there are no others


async def _ask(effect: Ask) -> Any:
    """Send, and give up after the time that an attempt may take in all."""
    transport: Any = effect.transport
    try:
        async with asyncio.timeout(effect.timeout) as bound:
            return await transport.send_async(effect.request, effect.connect_timeout, effect.timeout)
    except OAuthError:
        raise
    except BaseException as error:  # noqa: BLE001 - see `_server.calls.perform`
        if bound.expired():
            failure = transport.time_out(effect.request, effect.timeout)
        else:
            failure = crashed(error)
            failure.__cause__ = error.with_traceback(None)
    raise failure
