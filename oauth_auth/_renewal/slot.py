"""Where one auth object's credential is: the state that requests are decided by, and the flight that may replace it.

A flight publishes the new state, and then ends: so a decision that finds no flight under way finds the new state.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import Any, Protocol

from .._events import emit
from .._flight import Effect
from .._lazy import hold_across_forks
from .._wire.token import Credential, OAuthToken
from .decisions import Purpose, State
from .landing import FlightOutcome

__all__ = ["FlightLike", "Landing", "Slot", "decision_lock"]

decision_lock = threading.RLock()
"""Guards the decisions of all sources: held for microseconds, never across I/O.

Re-entrant, so that a signal handler or a finalizer that sends a request doesn't wait for the code that it interrupts.
A flight publishes without it, else such a handler would wait for a flight that waits for the lock. That's safe since
a flight is the only one to write while it's under way, and decisions look first for a flight, then at what it wrote.
"""

hold_across_forks(decision_lock)


class FlightLike(Protocol):
    """What is needed of a flight: see `_flight.Flight`."""

    @property
    def is_under_way(self) -> bool: ...
    @property
    def is_reentrant(self) -> bool: ...
    @property
    def is_retrying(self) -> bool: ...
    def start(self, *, in_background: bool = False) -> None: ...
    def wait(self, timeout: float | None = None) -> Any: ...
    async def wait_async(self, timeout: float | None = None) -> Any: ...


class Landing(Effect[FlightOutcome | None]):
    """Wait for a flight, for `timeout` seconds at most: brings its outcome, or None."""

    flight: FlightLike
    timeout: float | None = None
    is_quiet: bool = False

    def wait(self) -> Any:
        """Block until the flight has landed."""
        begun = time.monotonic()
        outcome = self.flight.wait(self.timeout)
        self._emit(begun)
        return outcome

    async def wait_async(self) -> Any:
        """Wait in a task of asyncio or trio."""
        begun = time.monotonic()
        outcome = await self.flight.wait_async(self.timeout)
        self._emit(begun)
        return outcome

    def _emit(self, begun: float) -> None:
        if not self.is_quiet:
            duration = time.monotonic() - begun
            emit(logging.DEBUG, "waited", "waited %(duration).3f s for a token", duration=duration)


class Reader(Protocol):
    """Where requests read the credential that they are sent with."""

    current: Credential | None


class Slot:
    """Holds the state, publishes it to the reader, and knows the flight."""

    __slots__ = ("_flight", "_kept", "_reader", "newest", "purpose", "state")

    def __init__(self, reader: Reader, state: State, newest: OAuthToken | None) -> None:
        self._reader = weakref.ref(reader)
        """It has this slot, so it would be collected late."""
        self._kept: Reader | None = None
        """The same while a flight is under way."""
        self._flight: FlightLike | None = None
        self.purpose: Purpose | None = None
        """What the last flight is for; None if not for a token."""
        self.newest = newest
        """The newest token known when the last flight landed; with a store to look at first, it's not sent yet."""
        self.state: State
        self.publish(state)

    @property
    def reader(self) -> Reader | None:
        """Where requests read the credential; None if nobody uses it any more."""
        return self._reader()

    @property
    def flight(self) -> FlightLike | None:
        """The flight that is under way, if one is."""
        flight = self._flight
        return flight if flight is not None and flight.is_under_way else None

    def take(self, flight: FlightLike, purpose: Purpose | None) -> FlightLike:
        """Note that this flight begins, and return it."""
        self.purpose = purpose
        self._kept = self._reader()
        self._flight = flight
        return flight

    def publish(self, state: State) -> None:
        """Have requests decided by this state from now on, and sent with its credential."""
        self.state = state
        reader = self._reader()
        if reader is not None:
            reader.current = state.credential

    def conclude(self, state: State, newest: OAuthToken | None) -> None:
        """Publish, then end the flight."""
        self.newest = newest
        self.publish(state)
        self._kept = None
        self._flight = None  # from here on there may be another
