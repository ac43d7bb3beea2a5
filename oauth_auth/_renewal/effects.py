"""The effects that a renewal yields, and the runner that carries them out in the flight's thread.

A renewal is a generator that yields these effects, and those of `_server.calls`, and is sent what they bring, see `do`.
It holds no thread, clock, store or client, so a simulator can run it in virtual time: each effect is a point where a
program can be stopped or die. What raises at the `yield` is a token call's error, the user's code, and a login that
can't go on; nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from .._clock import Clock
from .._flight import Effect, Flight, Outcome, Standby, attempt, carry_out, mark_retrying
from .._record import Record
from .._server.calls import Ask, Run, Sleep, Steps, perform, run_code
from ..errors import ReauthorizationRequired
from .entry import Entry
from .store_entry import Locked, StoreEntry, StoreSession

__all__ = [
    "Authorize",
    "Await",
    "Delete",
    "HoldUps",
    "Idle",
    "Load",
    "Loaded",
    "Lock",
    "Locked",
    "Runner",
    "Save",
    "StillHeld",
    "Unlock",
    "carry_out_renewal",
]

_T = TypeVar("_T")


class Loaded(Record):
    """What the store holds; nothing if it can't be read."""

    entry: Entry
    is_ok: bool


class Load(Effect[Loaded]):
    """Read the store."""


class Lock(Effect[Locked]):
    """Take the store's lock, or the spare one, within `timeout` seconds."""

    timeout: float
    is_spare: bool = False


class Unlock(Effect[None]):
    """Release the store's lock, if it's held."""


class StillHeld(Effect[bool]):
    """Ask the store; the result is False if the lock has passed to another holder, or may have been gone without."""


class Save(Effect[bool]):
    """Replace what the store holds; the result is whether that worked."""

    entry: Entry


class Delete(Effect[bool]):
    """Delete what the store holds; the result is whether that worked."""


class Authorize(Effect[None]):
    """Start an interactive login, in a thread of its own."""

    work: Callable[[], Callable[[], Steps[Any]]]


class Await(Effect["Outcome[Any] | None"]):
    """Wait for the login that was started; the result is its `Outcome`, or None after `seconds`."""

    seconds: float


class Idle(Effect[bool]):
    """Pause for `seconds`, or until `until` is set or the program ends; the result is True if the program ends."""

    seconds: float
    until: threading.Event


class HoldUps:
    """Notices, by both clocks and without I/O, that the program was held up: a suspended machine, a stopped process.

    While a program that holds the lock is held up, a sibling may take over, and a refresh token that's used twice ends
    its login. So nothing that may be used only once is sent until the lock is taken, and the store looked into, again.
    """

    limit = 3.75
    """Seconds without a reading that are a hold-up; waits read the clocks each second, a lock lasts at least 10."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock()
        self.is_held_up = False
        """Whether the program stood still since the lock was taken."""

    def tick(self, expected: float = 0.0) -> None:
        """Read the clocks; note a hold-up if more seconds have passed than expected."""
        now = self._clock()
        self.is_held_up = self.is_held_up or now.since(self._last) > expected + self.limit
        self._last = now

    def begin(self, effect: object) -> None:
        """Note that an effect begins; taking the lock clears an earlier hold-up."""
        self.tick()
        if isinstance(effect, Lock):
            self.is_held_up = False

    def end(self, effect: object) -> None:
        """Note that an effect has ended; pauses are expected to take their time."""
        seconds = effect.seconds if isinstance(effect, Sleep | Await | Idle) else 0.0
        self.tick(seconds)

    def forbid(self, effect: object) -> bool:
        """Return whether this effect must not be carried out before the lock was taken again.

        Nor may a failure replace what siblings have saved meanwhile.
        """
        is_spending = isinstance(effect, Ask) and effect.is_single_use
        return self.is_held_up and (is_spending or (isinstance(effect, Save) and effect.entry.failure is not None))


def carry_out_renewal(renewal: Steps[_T], entry: StoreEntry, clock: Clock, *, runs_code: bool = False) -> _T:
    """Return what a renewal returns; all its calls to the store are made in one thread, and its lock is released.

    `runs_code` says that it may call the user's code. A thread for that is started at once: the program may end before,
    and then none can be started any more, without which that code could not be left behind.
    """
    hold_ups = HoldUps(clock)
    standby = None
    if runs_code and threading.main_thread().is_alive():
        with suppress(RuntimeError):  # no thread to be had: then it's called in this one
            standby = Standby()
    try:
        with entry.session(hold_ups.tick) as session:
            return carry_out(renewal, Runner(session, hold_ups, standby).perform)
    finally:
        if standby is not None:
            standby.close()


class Runner:
    """Does what a renewal yields, and waits for it."""

    def __init__(self, session: StoreSession, hold_ups: HoldUps, standby: Standby | None = None) -> None:
        self.session = session
        self.hold_ups = hold_ups
        self.standby = standby
        self._login: Flight[Outcome[Any]] | None = None

    def perform(self, effect: object) -> Any:
        """Do it, and return what comes of it."""
        if hasattr(effect, "wait"):  # a step that callers wait for, too
            return effect.wait()
        if not self.session.is_shared:  # nobody takes over while this program is held up
            return self._perform(effect)
        self.hold_ups.begin(effect)
        if self.hold_ups.forbid(effect):
            return None
        try:
            return self._perform(effect)
        finally:
            self.hold_ups.end(effect)

    def _perform(self, effect: object) -> Any:
        do = _BY_EFFECT.get(type(effect))
        return perform(effect, self.hold_ups.tick) if do is None else do(self, effect)

    def idle(self, idle: Idle) -> bool:
        self.session.stand_by()
        return _idle(idle)

    def authorize(self, effect: Authorize) -> None:
        self._login = attempt(effect.work)
        mark_retrying()

    def await_login(self, effect: Await) -> Outcome[Any] | None:
        assert self._login is not None  # noqa: S101 - it was begun before
        if not threading.main_thread().is_alive():
            raise ReauthorizationRequired("the user must log in: the program ended before the login did")
        return self._login.wait(effect.seconds)


_BY_EFFECT: dict[type, Callable[[Runner, Any], Any]] = {
    Load: lambda runner, _: Loaded(*runner.session.load()),
    Lock: lambda runner, lock: runner.session.lock(lock.timeout, is_spare=lock.is_spare),
    Unlock: lambda runner, _: runner.session.unlock(),
    StillHeld: lambda runner, _: not runner.hold_ups.is_held_up and runner.session.still_holds_lock(),
    Save: lambda runner, save: runner.session.save(save.entry),
    Delete: lambda runner, _: runner.session.delete(),
    Authorize: Runner.authorize,
    Await: Runner.await_login,
    Idle: Runner.idle,
    Run: lambda runner, run: run_code(run, runner.hold_ups.tick, runner.standby),
}
"""What each effect does; `_server.calls.perform` knows the others."""


_IDLE_CHECK = 0.25
"""Seconds between two checks of whether an idling thread is still needed."""


def _idle(idle: Idle) -> bool:
    main_thread, left = threading.main_thread(), idle.seconds
    if not main_thread.is_alive():
        idle.until.wait(left)
        return True
    while left > 0 and main_thread is not threading.current_thread():
        main_thread.join(min(left, _IDLE_CHECK))  # it ends before the interpreter waits for other threads
        if idle.until.is_set() or not main_thread.is_alive():
            break
        left -= _IDLE_CHECK
    return not main_thread.is_alive()
