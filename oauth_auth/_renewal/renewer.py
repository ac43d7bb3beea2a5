"""What flights do: one acquires a token and publishes the new state; a saver saves later what couldn't be saved.

Both are procedures of effects, see `effects`. They run in a flight's thread, without the lock that decisions are made
under, one flight at a time; a simulator can run them in virtual time. At the interpreter's exit the saver makes its
last attempts.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any, ClassVar

from .._events import emit
from .._flight import Flight
from .._server.calls import GivenUp, Run, Steps
from .._wire.token import OAuthToken
from ..errors import OAuthError, ReauthorizationRequired
from .acquisition import Absent, Vain
from .decisions import Purpose, Reason, State
from .effects import Idle, Unlock, carry_out_renewal
from .flights import RenewalFlight
from .landing import FlightLike, FlightOutcome, Landing, Landings, Saver, as_error, decision_lock, traceback_text
from .logins import NewLogin
from .token_making import Acquired, Deferred

__all__ = ["Renewer"]


class Renewer(Landings):
    """The part of a `TokenSource` that flights use: what they do, and how they end."""

    __slots__ = ()

    save_pauses: ClassVar[tuple[float, ...]] = (0.1, 0.5, 1.0)
    """Seconds before each further attempt to save a token; the last pause is repeated. Once the store is back, siblings
    use the refresh token that this one has replaced until it's saved, so the pauses stay short."""
    last_save_pauses: ClassVar[tuple[float, ...]] = (0.0, 0.1, 0.5, 1.0)
    """The same, once the program ends."""

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
            return FlightOutcome(None, as_error(error, "login"), is_inconclusive=True)
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
            failure = as_error(error, "revocation")
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
            emit(logging.ERROR, "callback_failed", text, error=traceback_text(error))

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
            self._saver = saver = Saver(flight, is_done)
        if saver is not None:
            # Where no thread can begin, callers don't do it meanwhile: it takes as long as the store is out.
            saver.flight.start(in_background=threading.main_thread().is_alive())

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
