"""What flights do: one acquires a token and publishes the new state; a saver saves later what couldn't be saved.

Both are procedures of effects, see `effects`. They run in a flight's thread, without the lock that decisions are made
under, one flight at a time; a simulator can run them in virtual time. At the interpreter's exit the saver makes its
last attempts.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Protocol

from .._clock import Chance, Clock
from .._events import emit
from .._flight import Flight
from .._record import Record
from .._server.calls import GivenUp, Run, Steps, unexpected
from .._server.grant import Grant
from .._wire.challenges import Demand
from .._wire.token import Credential, OAuthToken
from ..errors import OAuthError, ReauthorizationRequired
from .acquisition import Absent, Acquired, Deferred, Vain
from .backoff import Cooldown
from .decisions import CHECK_INTERVAL, Purpose, Reason, RenewalSettings, State
from .effects import Idle, Unlock, carry_out_renewal
from .flights import RenewalFlight
from .logins import Logins, NewLogin
from .store_entry import StoreEntry

__all__ = ["FlightLike", "FlightOutcome", "Landing", "Renewer", "decision_lock"]

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


class _Saver(Record):
    """The flight that tries to save a token until it's saved."""

    flight: FlightLike
    is_done: threading.Event


class Renewer:
    """The part of a `TokenSource` that flights use: the state, and what changes it."""

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

    save_pauses: ClassVar[tuple[float, ...]] = (0.1, 0.5, 1.0)
    """Seconds before each further attempt to save a token; the last pause is repeated. Once the store is back, siblings
    use the refresh token that this one has replaced until it's saved, so the pauses stay short."""
    last_save_pauses: ClassVar[tuple[float, ...]] = (0.0, 0.1, 0.5, 1.0)
    """The same, once the program ends."""

    _begin: Callable[[Steps[Any]], FlightLike] | None
    _chance: Chance
    _clock: Clock
    _entry: StoreEntry
    _flight: FlightLike | None
    _grant: Grant
    _login_cancelled: threading.Event | None
    """Set to end the login that the present flight may be waiting for."""
    _saver: _Saver | None
    """The saver of a token that couldn't be saved."""
    _settings: RenewalSettings
    _state: State
    _token: OAuthToken | None
    """The newest token known when the last flight landed; with a store to look at first, it need not be sent yet."""
    acquisition: Logins
    current: Credential | None
    """The credential that requests are sent with. Published by one assignment, so it can be read without a lock."""

    def _publish(self, state: State) -> None:
        self._state = state
        self.current = state.credential

    @property
    def has_unsaved(self) -> bool:
        """Whether the last token is yet to be saved in the store."""
        return self.acquisition.known.is_unsaved

    def _cancel_login(self) -> None:
        if self._login_cancelled is not None:
            self._login_cancelled.set()

    def _under_way(self) -> FlightLike | None:
        flight = self._flight
        return flight if flight is not None and flight.is_under_way else None

    def _launch(self, procedure: Steps[FlightOutcome], name: str = "flight") -> FlightLike:
        self._flight = flight = self._make_flight(procedure, name)
        return flight

    def _make_flight(self, procedure: Steps[Any], name: str = "flight", *, holds_events: bool = True) -> FlightLike:
        if self._begin is not None:
            return self._begin(procedure)
        runs_code = name == "flight" and (self._grant.runs_code or self._settings.on_token_update is not None)
        if self._grant.sends_async and not self._entry.is_shared:
            return RenewalFlight(procedure, self._entry, self._clock, runs_code=runs_code, name=name)
        run = partial(carry_out_renewal, procedure, self._entry, self._clock, runs_code=runs_code)
        return Flight(run, name=name, holds_events=holds_events)

    # -- Procedures: in a thread of their own, without the lock -------------------------------------------------------

    def _fly(self, purpose: Purpose) -> Steps[FlightOutcome]:
        """Acquire a token and land."""
        begun, held = self._clock().monotonic, self.current
        self._login_cancelled = cancelled = threading.Event()
        provide = partial(self._provide, rejected=purpose.rejected)
        try:
            result = yield from self.acquisition.acquire(held, purpose, provide, cancelled)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, waiting callers must learn of it
            yield Unlock()
            outcome = self._land_failed(error, self._clock().monotonic - begun)
            # Where a user can log in, callers without a token may still ask them.
            outcome = outcome._replace(is_inconclusive=isinstance(error, ReauthorizationRequired) and error.retryable)
        else:
            # Before it lands, so that a sibling that looks then doesn't find the lock taken.
            yield Unlock()
            if isinstance(result, Deferred):
                outcome = self._land_deferred(purpose)
            elif isinstance(result, Absent | Vain):
                outcome = self._land_without(result, purpose)
            else:
                if result.is_own:
                    yield from self._notify(result.token)
                outcome = self._land(held, result, purpose, self._clock().monotonic - begun)
        return outcome._replace(login=purpose.demand if purpose.reason is Reason.LOGIN else None)

    def _complete_login(self, login: NewLogin) -> Steps[FlightOutcome]:
        """Replace the login, see `Logins.complete_login`; where that fails, all stays as it was."""
        begun, held = self._clock().monotonic, self.current
        try:
            result, replaced = yield from self.acquisition.complete_login(login)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must learn of it
            yield Unlock()
            self._conclude(self._still_valid())
            return FlightOutcome(None, _as_error(error, "login"), is_inconclusive=True)
        yield Unlock()
        if result.is_own:
            yield from self._notify(result.token)
        if replaced is not None:
            # Requests have the new token by then.
            self._publish(State(self.acquisition.credential(result.token)))
            yield from self.acquisition.end_login(replaced)
        return self._land(held, result, Purpose(Reason.LOGIN), self._clock().monotonic - begun)

    def _flush(self) -> Steps[FlightOutcome]:
        """Save what couldn't be saved, or take what a sibling saved meanwhile."""
        held = self.current
        try:
            result = yield from self.acquisition.flush_unsaved(held)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, callers may be waiting by now
            yield Unlock()
            return self._land_failed(error, 0.0)
        yield Unlock()
        if isinstance(result, Acquired):
            self._land(held, result, Purpose(Reason.UNSAVED), 0.0)
        else:
            self._conclude(self._still_valid())
        return FlightOutcome.deferred()

    def _revoke(self) -> Steps[FlightOutcome]:
        failure: OAuthError | None = None
        try:
            yield from self.acquisition.revoke()
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must learn of it
            failure = _as_error(error, "revocation")
        yield Unlock()
        self._conclude(State())
        return FlightOutcome(None, failure, is_inconclusive=True)

    def _notify(self, token: OAuthToken) -> Steps[None]:
        """Call `on_token_update`, and go on without it after `token_timeout` seconds."""
        callback = self._settings.on_token_update
        if callback is None:
            return
        try:
            yield Run(partial(callback, token), self._settings.token_timeout)
        except GeneratorExit:
            raise
        except GivenUp:
            text = "on_token_update hasn't returned within %(timeout).3g s: the requests go on without it"
            emit(logging.ERROR, "callback_hangs", text, timeout=self._settings.token_timeout)
        except BaseException as error:  # noqa: BLE001 - the token is good whatever the callback does
            text = "on_token_update raised an error:\n%(error)s"
            emit(logging.ERROR, "callback_failed", text, error=_traceback_text(error))

    # -- Landing: each publishes the state after a flight, and ends it ----------------------------------

    def _conclude(self, state: State) -> None:
        """Publish, then end the flight, so that a decision that finds no flight finds the new state."""
        self._token = self.acquisition.known.last
        self._publish(state)
        self._flight = None
        # Where there's no refresh token, no login is at stake: the next renewal saves, or close().
        last, saver = self.acquisition.known.last, self._saver
        is_at_stake = self.has_unsaved and last is not None and last.refresh_token is not None
        if saver is not None and (not is_at_stake or not saver.flight.is_under_way):
            saver.is_done.set()
            self._saver = saver = None
        if saver is None and is_at_stake:
            is_done = threading.Event()
            # Nobody waits for a saver, which may go on for as long as the program.
            flight = self._make_flight(self._save_later(is_done), "saver", holds_events=False)
            self._saver = saver = _Saver(flight, is_done)
        if saver is not None:
            # Where no thread can begin, callers don't do it meanwhile: it takes as long as the store is out.
            saver.flight.start(in_background=threading.main_thread().is_alive())

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
        ours = _as_error(error, "renewal")
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

    # -- Saving what couldn't be saved --------------------------------------------------------------------------

    def _save_later(self, is_done: threading.Event) -> Steps[None]:
        """Try to save an unsaved token after growing pauses until it's saved, whether or not requests are made.

        At exit the interpreter waits for the last attempts, a few seconds.
        """
        pauses, is_ending = list(self.save_pauses), False
        while pauses and not is_done.is_set():
            pause = pauses.pop(0) if is_ending or len(pauses) > 1 else pauses[0]
            if (yield Idle(pause, is_done)) and not is_ending:
                pauses, is_ending = list(self.last_save_pauses), True
            if is_done.is_set():
                return
            with decision_lock:
                flight = self._under_way() or self._launch(self._flush(), "saver")
            yield Landing(flight, is_quiet=True)


def _traceback_text(error: BaseException) -> str:
    """Return an error's traceback as text: its frames, which some handlers look into, hold secrets."""
    return "".join(traceback.format_exception(error))


def _as_error(error: BaseException, work: str) -> OAuthError:
    """Return an error of ours without a traceback; any other is logged, and stands for itself alone."""
    if isinstance(error, OAuthError):
        return error.without_traceback()
    text = f"a {work} ended in an unexpected error:\n%(error)s"
    emit(logging.ERROR, "crashed", text, error=_traceback_text(error))
    return unexpected(f"the {work} ended in an unexpected {type(error).__name__}: see the log")
