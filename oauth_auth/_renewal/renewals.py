"""What flights do: acquire a token, complete or end a login, save what couldn't be saved; each publishes the new state.

A flight that has failed lands here, too: what becomes of the state is in `landing`, and who waits goes on in `source`.
All are procedures of effects, see `effects`. They run in a flight's thread, without the lock that decisions are made
under, one flight at a time; a simulator can run them in virtual time. At the interpreter's exit the saver makes its
last attempts.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Protocol

from .._clock import Chance, Clock
from .._events import emit
from .._flight import Flight, do
from .._record import Record
from .._server.calls import GivenUp, Run, Steps, unexpected
from .._server.grant import Grant, OnDemandGrant
from .._wire.token import Credential, OAuthToken
from ..errors import OAuthError, ReauthorizationRequired
from .acquisition import Acquisition, Making, Order
from .decisions import Purpose, Reason, RenewalSettings, State
from .effects import Idle, Unlock, carry_out_renewal
from .flights import RenewalFlight
from .landing import (
    Acquired,
    Failed,
    FlightOutcome,
    Flown,
    Landed,
    Nothing,
    Why,
    land_failed,
    land_token,
    land_without,
    provide,
    still_valid,
)
from .logins import Logins, NewLogin
from .slot import FlightLike, Landing, Slot, decision_lock
from .store_entry import StoreEntry
from .tokens import Tokens

__all__ = ["Renewals"]


class _Acquiring(Protocol):
    """How the next token comes: an `Acquisition`, or `OnDemand`."""

    def acquire(self, order: Order) -> Steps[Acquired | Nothing]:
        """Return a token that replaces the one that's held. Raises `OAuthError`."""
        ...


class _Saver(Record):
    """The flight that tries to save a token until it's saved."""

    flight: FlightLike
    is_done: threading.Event


class Renewals:
    """The flights of one auth object. Whoever launches one holds the lock of decisions, and has seen no other.

    `begin` starts a procedure as a flight, in simulations.
    """

    __slots__ = (
        "_acquisition",
        "_begin",
        "_chance",
        "_clock",
        "_entry",
        "_grant",
        "_login_cancelled",
        "_saver",
        "_settings",
        "_slot",
        "_tokens",
    )

    save_pauses: ClassVar[tuple[float, ...]] = (0.1, 0.5, 1.0)
    """Seconds before each further attempt to save a token; the last pause is repeated. Once the store is back, siblings
    use the refresh token that this one has replaced until it's saved, so the pauses stay short."""
    last_save_pauses: ClassVar[tuple[float, ...]] = (0.0, 0.1, 0.5, 1.0)
    """The same, once the program ends."""

    def __init__(
        self,
        slot: Slot,
        tokens: Tokens,
        *,
        grant: Grant,
        settings: RenewalSettings,
        entry: StoreEntry,
        clock: Clock,
        chance: Chance,
        begin: Callable[[Steps[Any]], FlightLike] | None,
    ) -> None:
        self._slot = slot
        self._tokens = tokens
        self._acquisition = _acquisition_for(grant)
        """Makes what acquires a token. It knows nothing, as what else a flight uses, and so is made for each."""
        self._grant = grant
        self._settings = settings
        self._entry = entry
        self._clock = clock
        self._chance = chance
        self._begin = begin
        self._login_cancelled: threading.Event | None = None
        """Set to end the login that the present flight may be waiting for."""
        self._saver: _Saver | None = None
        """The saver of a token that couldn't be saved."""

    # -- Launching ----------------------------------------------------------------------------------------------

    def renew(self, purpose: Purpose) -> FlightLike:
        """Launch a flight that acquires a token."""
        return self._slot.take(self._make_flight(self._renew(purpose)), purpose)

    def complete_login(self, login: NewLogin) -> FlightLike:
        """Launch a flight that replaces the login, see `Logins.complete_login`."""
        return self._slot.take(self._make_flight(self._complete_login(login)), None)

    def revoke(self) -> FlightLike:
        """Launch a flight that ends the login."""
        return self._slot.take(self._make_flight(self._revoke()), None)

    def flush(self, name: str = "flight") -> FlightLike:
        """Launch a flight that saves what couldn't be saved."""
        return self._slot.take(self._make_flight(self._flush(), name), None)

    def check_store(self) -> OAuthToken | None:
        """Return the newest token known, after a look into the store, whatever its age; block meanwhile."""
        self._slot.newest = newest = carry_out_renewal(self._tokens.check_store(), self._entry, self._clock)
        return newest

    def cancel_login(self) -> None:
        """End the login that the present flight may be waiting for."""
        if self._login_cancelled is not None:
            self._login_cancelled.set()

    def _make_flight(self, procedure: Steps[Any], name: str = "flight", *, holds_events: bool = True) -> FlightLike:
        if self._begin is not None:
            return self._begin(procedure)
        runs_code = name == "flight" and (self._grant.runs_code or self._settings.on_token_update is not None)
        if self._grant.sends_async and not self._entry.is_shared:
            return RenewalFlight(procedure, self._entry, self._clock, runs_code=runs_code, name=name)
        run = partial(carry_out_renewal, procedure, self._entry, self._clock, runs_code=runs_code)
        return Flight(run, name=name, holds_events=holds_events)

    # -- Procedures: in a thread of their own, without the lock -------------------------------------------------

    def _making(self) -> Making:
        return Making(self._tokens, self._grant, self._entry, self._clock)

    def _logins(self) -> Logins:
        return Logins(self._tokens, self._making(), self._grant, self._entry)

    def _renew(self, purpose: Purpose) -> Steps[FlightOutcome]:
        """Acquire a token and land."""
        begun, held = self._clock().monotonic, self._slot.state.credential
        self._login_cancelled = cancelled = threading.Event()
        acquiring = self._acquisition(self._tokens, self._making(), self._grant, self._entry)
        order = Order(purpose, held, partial(self._provide, rejected=purpose.rejected), cancelled)
        try:
            result = yield from acquiring.acquire(order)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, waiting callers must learn of it
            yield from do(Unlock())
            # Where a user can log in, callers without a token may still ask them.
            may_ask = isinstance(error, ReauthorizationRequired) and error.retryable
            return self._land_failed(error, begun, is_for_all=not may_ask)
        # Before it lands, so that a sibling that looks then doesn't find the lock taken.
        yield from do(Unlock())
        if isinstance(result, Nothing):
            return self._land(land_without(self._slot.state, result, purpose, self._flown()))
        if result.is_own:
            yield from self._notify(result.token)
        return self._land_token(result, held, purpose, begun)

    def _complete_login(self, login: NewLogin) -> Steps[FlightOutcome]:
        """Replace the login; where that fails, all stays as it was."""
        begun, held, logins = self._clock().monotonic, self._slot.state.credential, self._logins()
        try:
            result, replaced = yield from logins.complete_login(login)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must learn of it
            yield from do(Unlock())
            failed = Failed(_as_error(error, "login"), is_for_all=False)
            return self._land(Landed(still_valid(self._slot.state, self._flown()), failed))
        yield from do(Unlock())
        if result.is_own:
            yield from self._notify(result.token)
        if replaced is not None:
            # Requests have the new token by then.
            self._slot.publish(State(self._tokens.credential(result.token)))
            yield from logins.end_login(replaced)
        return self._land_token(result, held, Purpose(Reason.LOGIN), begun)

    def _flush(self) -> Steps[FlightOutcome]:
        """Save what couldn't be saved, or take what a sibling saved meanwhile."""
        held = self._slot.state.credential
        try:
            result = yield from self._making().flush(held)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, callers may be waiting by now
            yield from do(Unlock())
            return self._land_failed(error)
        yield from do(Unlock())
        if isinstance(result, Acquired):
            self._land_token(result, held, Purpose(Reason.UNSAVED))
        else:
            self._land(Landed(still_valid(self._slot.state, self._flown()), result))
        return Nothing(Why.DEFERRED)

    def _revoke(self) -> Steps[FlightOutcome]:
        outcome: FlightOutcome = Nothing(Why.ENDED)
        try:
            yield from self._logins().revoke()
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must learn of it
            outcome = Failed(_as_error(error, "revocation"), is_for_all=False)
        yield from do(Unlock())
        return self._land(Landed(State(), outcome))

    def _notify(self, token: OAuthToken) -> Steps[None]:
        """Call `on_token_update`, and go on without it after `token_timeout` seconds."""
        callback = self._settings.on_token_update
        if callback is None:
            return
        try:
            yield from do(Run(partial(callback, token), self._settings.token_timeout))
        except GeneratorExit:
            raise
        except GivenUp:
            text = "on_token_update hasn't returned within %(timeout).3g s: the requests go on without it"
            emit(logging.ERROR, "callback_hangs", text, timeout=self._settings.token_timeout)
        except BaseException as error:  # noqa: BLE001 - the token is good whatever the callback does
            text = "on_token_update raised an error:\n%(error)s"
            emit(logging.ERROR, "callback_failed", text, error=_traceback_text(error))

    # -- Landing: each publishes the state after a flight, and ends it ------------------------------------------

    def _flown(self, held: Credential | None = None, begun: float | None = None) -> Flown:
        now = self._clock()
        duration = 0.0 if begun is None else now.monotonic - begun
        return Flown(now, self._chance, held, self._tokens.known.last is not None, duration)

    def _land_token(
        self, acquired: Acquired, held: Credential | None, purpose: Purpose, begun: float | None = None
    ) -> FlightOutcome:
        credential = self._tokens.credential(acquired.token)
        return self._land(land_token(self._slot.state, acquired, credential, purpose, self._flown(held, begun)))

    def _land_failed(
        self, error: BaseException, begun: float | None = None, *, is_for_all: bool = True
    ) -> FlightOutcome:
        ours, times = _as_error(error, "renewal"), self._tokens.shared_times
        flown = self._flown(begun=begun)
        return self._land(land_failed(self._slot.state, ours, flown, shared_times=times, is_for_all=is_for_all))

    def _land(self, landed: Landed) -> FlightOutcome:
        """Publish, then end the flight; see to what couldn't be saved."""
        self._slot.conclude(landed.state, self._tokens.known.last)
        self._mind_saver()
        event = landed.event
        if event is not None:
            emit(event.level, event.name, event.text, **event.fields)
        return landed.outcome

    def _provide(self, token: OAuthToken, *, rejected: str | None) -> None:
        """Publish a stored token in its last seconds, to be sent if no better one comes."""
        before = self._slot.state
        state = provide(before, self._tokens.credential(token), self._clock(), rejected=rejected)
        if state is not before:
            self._slot.publish(state)

    # -- Saving what couldn't be saved --------------------------------------------------------------------------

    def _mind_saver(self) -> None:
        """Begin to save what couldn't be saved, or end that."""
        known, saver = self._tokens.known, self._saver
        # Where there's no refresh token, no login is at stake: the next renewal saves, or close().
        is_at_stake = known.is_unsaved and known.last is not None and known.last.refresh_token is not None
        if saver is not None and (not is_at_stake or not saver.flight.is_under_way):
            saver.is_done.set()
            self._saver = saver = None
        if saver is None and is_at_stake:
            is_done = threading.Event()
            # Nobody waits for a saver, which may go on for as long as the program.
            flight = self._make_flight(self._save_later(is_done, self._slot.reader), "saver", holds_events=False)
            self._saver = saver = _Saver(flight, is_done)
        if saver is not None:
            # Where no thread can begin, callers don't do it meanwhile: it takes as long as the store is out.
            saver.flight.start(in_background=threading.main_thread().is_alive())

    def _save_later(self, is_done: threading.Event, reader: object) -> Steps[None]:
        """Try to save an unsaved token after growing pauses until it's saved, whether or not requests are made.

        At exit the interpreter waits for the last attempts, a few seconds. The reader is kept until then: a logout that
        ends the tokens of others with the user's finds this one.
        """
        pauses, is_ending = list(self.save_pauses), False
        while pauses and not is_done.is_set():
            pause = pauses.pop(0) if is_ending or len(pauses) > 1 else pauses[0]
            if (yield from do(Idle(pause, is_done))) and not is_ending:
                pauses, is_ending = list(self.last_save_pauses), True
            if is_done.is_set():
                return
            with decision_lock:
                flight = self._slot.flight or self.flush("saver")
            yield from do(Landing(flight, is_quiet=True))


def _acquisition_for(grant: Grant) -> Callable[[Tokens, Making, Any, StoreEntry], _Acquiring]:
    """Return the class that acquires the tokens of a grant: there's a second procedure for those on demand."""
    if not isinstance(grant, OnDemandGrant):
        return Acquisition
    from .on_demand import OnDemand  # noqa: PLC0415 - few programs need it

    return OnDemand


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
