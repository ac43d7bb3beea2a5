"""How flights land: what each outcome makes of the state that requests are decided by.

A flight publishes the new state, and then ends, see `Renewer`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from .._clock import Chance, Clock
from .._events import emit
from .._record import Record
from .._server.calls import Steps, unexpected
from .._server.grant import Grant
from .._wire.challenges import Demand
from .._wire.token import Credential, OAuthToken
from ..errors import OAuthError
from .acquisition import Absent, Vain
from .backoff import Cooldown
from .decisions import CHECK_INTERVAL, Purpose, Reason, RenewalSettings, State
from .logins import Logins
from .store_entry import StoreEntry
from .token_making import Acquired

__all__ = ["FlightLike", "FlightOutcome", "Landing", "Landings", "Saver", "as_error", "decision_lock", "traceback_text"]

decision_lock = threading.RLock()
"""Guards the decisions of all sources: held for microseconds, never across I/O.

Re-entrant, so that a signal handler or a finalizer that sends a request doesn't wait for the code that it interrupts.
A flight publishes without it, else such a handler would wait for a flight that waits for the lock. That's safe since
a flight is the only one to write while it's under way, and decisions look first for a flight, then at what it wrote.
"""

if hasattr(os, "register_at_fork"):
    # Held across a fork, so that the child finds no decision half made and no lock that nobody will release.
    os.register_at_fork(
        before=decision_lock.acquire, after_in_parent=decision_lock.release, after_in_child=decision_lock.release
    )

_REPLACING = {Reason.REJECTED, Reason.FORCED, Reason.LOGIN}


class FlightOutcome(Record):
    """How a flight ended: with a credential, or with an error of which each waiter raises a copy."""

    credential: Credential | None
    error: OAuthError | None
    is_replacement: bool = False
    """Whether the token was made because the one before was rejected or unwanted."""
    is_new: bool = False
    is_inconclusive: bool = False
    """Whether waiters should decide anew: the flight was launched when no caller waited."""
    login: Demand | None = None
    """What an API demanded of a new login, whatever token there was."""
    is_absent: bool = False
    """Whether there's no token, and none was asked for."""
    was_asked: bool = False
    """Whether the resource itself has said so."""
    is_vain: bool = False
    """Whether a new login could bring no more than there is."""

    @classmethod
    def deferred(cls) -> FlightOutcome:
        """Return the outcome of a flight that left the work to a sibling, or to a later time."""
        return cls(None, None, is_inconclusive=True)


class FlightLike(Protocol):
    """What a source needs of a flight: see `_flight.Flight`."""

    @property
    def is_under_way(self) -> bool: ...
    @property
    def is_reentrant(self) -> bool: ...
    @property
    def is_retrying(self) -> bool: ...
    def start(self, *, in_background: bool = False) -> None: ...
    def wait(self, timeout: float | None = None) -> Any: ...
    async def wait_async(self, timeout: float | None = None) -> Any: ...


class Landing(Record):
    """The step of waiting for a flight, for `timeout` seconds at most; the result is its outcome, or None."""

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


class Saver(Record):
    """The flight that tries to save a token until it's saved."""

    flight: FlightLike
    is_done: threading.Event


class Landings:
    """The part of a `Renewer` that's about the state, and what the outcomes of flights make of it."""

    __slots__ = (
        "__weakref__",
        "_begin",
        "_chance",
        "_clock",
        "_entry",
        "_flight",
        "_grant",
        "_login_cancelled",
        "_saver",
        "_settings",
        "_state",
        "_token",
        "acquisition",
        "current",
    )

    _begin: Callable[[Steps[Any]], FlightLike] | None
    _chance: Chance
    _clock: Clock
    _entry: StoreEntry
    _flight: FlightLike | None
    _grant: Grant
    _login_cancelled: threading.Event | None
    """Set to end the login that the present flight may be waiting for."""
    _saver: Saver | None
    """The saver of a token that couldn't be saved."""
    _settings: RenewalSettings
    _state: State
    _token: OAuthToken | None
    """The newest token known when the last flight landed; with a store to look at first, it need not be sent yet."""
    acquisition: Logins
    current: Credential | None
    """The credential that requests are sent with. Published by one assignment, so it can be read without a lock."""

    def _conclude(self, state: State) -> None:
        """Publish, then end the flight."""
        raise NotImplementedError

    def _publish(self, state: State) -> None:
        self._state = state
        self.current = state.credential

    @property
    def has_unsaved(self) -> bool:
        """Whether the last token is yet to be saved in the store."""
        return self.acquisition.known.is_unsaved

    def _still_valid(self) -> State:
        """Return the state before the flight; an empty one if the user has logged out in another program."""
        is_logged_out = self._state.credential is not None and self.acquisition.known.last is None
        return State() if is_logged_out else self._state

    def _land(self, held: Credential | None, result: Acquired, purpose: Purpose, duration: float) -> FlightOutcome:
        credential = self.acquisition.credential(result.token)
        is_replacement = result.is_own and (purpose.reason in _REPLACING or purpose.demand is not None)
        self._conclude(self._state.renewed(credential, self._clock(), self._chance, is_replacement=is_replacement))
        event = "adopted" if not result.is_own else "acquired" if held is None else "renewed"
        text = f"token {event} in %(duration).3f s, expires in %(expires_in)s s"
        emit(logging.INFO, event, text, duration=duration, expires_in=result.token.expires_in)
        is_new = result.is_own or (held is not None and held.header != credential.header)
        return FlightOutcome(credential, None, is_replacement, is_new)

    def _land_without(self, result: Absent | Vain, purpose: Purpose) -> FlightOutcome:
        if isinstance(result, Vain):
            self._conclude(self._still_valid())
            return FlightOutcome.deferred()._replace(is_vain=True)
        self._conclude(State(failure=self._state.failure, looked=Cooldown.begin(self._clock(), CHECK_INTERVAL)))
        return FlightOutcome.deferred()._replace(is_absent=True, was_asked=purpose.reason is Reason.ASK)

    def _land_deferred(self, purpose: Purpose) -> FlightOutcome:
        failure = self._state.failure
        if purpose.check_only and failure is not None:
            self._conclude(self._state if self.acquisition.known.last is not None else State(failure=failure))
            return FlightOutcome(None, failure.error)
        self._conclude(self._still_valid().deferred(self._clock()))
        return FlightOutcome.deferred()

    def _land_failed(self, error: BaseException, duration: float) -> FlightOutcome:
        ours = as_error(error, "renewal")
        state = self._state
        if state.credential is not None and self.acquisition.known.last is None:
            state = State(failure=state.failure)  # the user has logged out in another program
        state = state.failed(ours, self._clock(), self._chance, times=self.acquisition.shared_times)
        self._conclude(state)
        failure = state.failure
        pause = 0.0 if failure is None else failure.cooldown.length
        text = "token call failed after %(duration).3f s, next one in %(pause).1f s at the earliest: %(error)s"
        kind = type(ours).__name__
        emit(logging.WARNING, "failed", text, duration=duration, pause=pause, error_type=kind, error=str(ours))
        return FlightOutcome(None, ours)

    def _provide(self, token: OAuthToken, *, rejected: str | None) -> None:
        """Publish a stored token in its last seconds, to be sent if no better one comes."""
        credential = self.acquisition.credential(token)
        if self._clock().wall < credential.expires_at and credential.header != rejected:
            self._publish(self._state.provided(credential))


def traceback_text(error: BaseException) -> str:
    """Return an error's traceback as text: its frames, which some handlers look into, hold secrets."""
    return "".join(traceback.format_exception(error))


def as_error(error: BaseException, work: str) -> OAuthError:
    """Return an error of ours without a traceback; any other is logged, and stands for itself alone."""
    if isinstance(error, OAuthError):
        return error.without_traceback()
    text = f"a {work} ended in an unexpected error:\n%(error)s"
    emit(logging.ERROR, "crashed", text, error=traceback_text(error))
    return unexpected(f"the {work} ended in an unexpected {type(error).__name__}: see the log")
