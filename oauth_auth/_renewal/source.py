"""A `TokenSource` keeps a program's current credential: it decides under a lock, and waits outside it.

    a request ──► `current`: it's good, so it's sent
              └─► else `obtain`: decide (`decisions`, under the lock, without I/O), launch a flight, wait for it
    a flight ───► acquire a token (`Renewals`), publish the new state (`Slot`), and end

Plug-ins read `current` and compare its `refresh_at` with the clock themselves: that's the hot path, and it's theirs.
What callers wait for is written as steps, once for threads and tasks. A wait may end with nothing, see `landing`: then
the caller decides anew.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Hashable
from contextlib import suppress
from functools import partial
from typing import Any

from .._clock import CHANCE, Chance, Clock, Now
from .._flight import Step, do
from .._record import Record
from .._server.calls import Steps
from .._server.grant import Grant
from .._wire.challenges import Demand, Kind
from .._wire.token import Credential, OAuthToken, digest
from ..errors import OAuthError, TokenError
from .backoff import Breakers, VainLogins
from .decisions import (
    Around,
    Bare,
    Decision,
    Decline,
    Fail,
    Reason,
    RenewalSettings,
    Send,
    State,
    Wait,
    for_demand,
    for_offer,
    for_rejection,
    for_renewal,
    for_request,
    for_step_up,
)
from .landing import Failed, FlightOutcome, Got, Nothing, Why
from .logins import NewLogin
from .renewals import Renewals
from .slot import FlightLike, Landing, Slot, decision_lock
from .store_entry import StoreEntry
from .tokens import Tokens

__all__ = ["Replacement", "TokenSource", "Waiting"]

Waiting = Generator[Step, Any, Any]
"""What a caller does: it yields steps to wait for, in a thread or a task, see `_flight.run`."""

_LOGIN_CHECK = 0.5
"""Seconds between two attempts to cancel a login, which may have just begun."""

_NOTHING_YET = State(None)  # one for all objects


class Replacement(Record):
    """What to send in place of a rejected token."""

    credential: Credential
    is_final: bool
    """Whether it was made because of a rejection; else it may have been revoked at the same time."""


class TokenSource:
    """One program's tokens from one grant. Safe to use from threads, tasks, several event loops and forked children.

    `token` is a token to begin with; of it and a stored one the later expiry wins. `clock`, `chance` and `begin`, which
    starts a procedure as a flight, are parameters for simulations.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_dependents",
        "_entry",
        "_grant",
        "_renewals",
        "_settings",
        "_slot",
        "_tokens",
        "_vain_logins",
        "current",
        "rejecting_origins",
    )

    current: Credential | None
    """The credential that requests are sent with. Published by one assignment, so it can be read without a lock."""
    rejecting_origins: Breakers
    """Origins for which a renewal was vain, until one helps; empty for nearly all programs."""

    def __init__(
        self,
        grant: Grant,
        settings: RenewalSettings,
        *,
        token: OAuthToken | None = None,
        entry: StoreEntry | None = None,
        clock: Clock = Now.read,
        chance: Chance = CHANCE,
        begin: Callable[[Steps[Any]], FlightLike] | None = None,
    ) -> None:
        self._grant = grant
        self._settings = settings
        self._entry = entry or StoreEntry(None, "")
        self._tokens = Tokens(grant, settings, self._entry, token=token, clock=clock, chance=chance)
        # With a store or a code, the token given isn't sent before a flight has looked at these.
        is_sent = not (self._entry.is_shared or grant.has_unredeemed_code)
        credential = None
        if token is not None and is_sent and self._tokens.can_send(token):
            credential = self._tokens.credential(token)
        self._assemble(credential, token, clock, chance, begin)

    def _assemble(
        self,
        credential: Credential | None,
        newest: OAuthToken | None,
        clock: Clock,
        chance: Chance,
        begin: Callable[[Steps[Any]], FlightLike] | None,
    ) -> None:
        """Make the parts, and what copies in other processes don't share."""
        self._clock = clock
        self._slot = Slot(self, _NOTHING_YET if credential is None else State(credential), newest)
        self._renewals = Renewals(
            self._slot,
            self._tokens,
            grant=self._grant,
            settings=self._settings,
            entry=self._entry,
            clock=clock,
            chance=chance,
            begin=begin,
        )
        self.rejecting_origins = Breakers()
        self._vain_logins = VainLogins()
        self._dependents: weakref.WeakSet[TokenSource] | None = None
        """The sources whose tokens are made of this one's, in this process."""

    # -- What is known, without I/O -----------------------------------------------------------------------------

    @property
    def token(self) -> OAuthToken | None:
        """The current token, or the one given to begin with."""
        current = self.current
        return self._slot.newest if current is None else current.token

    @property
    def has_unsaved(self) -> bool:
        """Whether the last token is yet to be saved in the store."""
        return self._tokens.known.is_unsaved

    @property
    def renews(self) -> bool:
        """Whether there can ever be another token than the first."""
        return self._grant.renews

    def has_sent(self, header: str) -> bool:
        """Return whether requests had this header with the current token, or with one that it has replaced."""
        text, known = header.partition(" ")[2], self._tokens.known
        tokens = (self.token, known.last, known.previous)
        is_known = any(token is not None and token.access_token == text for token in tokens)
        return is_known or digest(text) in known.superseded

    def scope_of(self, header: str) -> str | None:
        """Return the scope of the token with this header, else the one asked for; None if it isn't known.

        Nor is that of a token which was replaced: another login may have asked for more.
        """
        current = self.current
        if current is not None and current.header != header:
            return None
        granted = None if current is None else current.token.scope
        return granted or self._grant.scope

    # -- A token for a request: steps, see `Waiting` ------------------------------------------------------------

    def obtain(self) -> Generator[Step, Any, Credential]:
        """Return a credential to send now; wait if there is none yet. Raises `OAuthError`."""
        while True:
            decision, flight = self._decide(for_request)
            if isinstance(decision, Send):
                _begin(flight)
                return decision.credential
            match (yield from _landing(flight, decision.timeout)):
                case None if (current := self._slot.state.unexpired(self._clock())) is not None:
                    return current
                case Got(credential=credential):
                    return credential
                case Failed(error=error, is_for_all=True):
                    return self._still_good(error)

    def offer(self, *, asks: bool = False) -> Generator[Step, Any, Credential | None]:
        """Return a credential to send now, or None if there's none and none was asked for. Raises `OAuthError`.

        With `asks` the resource is asked first whether it wants one, if there's none.
        """
        while True:
            decision, flight = self._decide(partial(for_offer, asks=asks))
            if isinstance(decision, Send | Bare):
                _begin(flight)
                return decision.credential if isinstance(decision, Send) else None
            match (yield from _landing(flight, decision.timeout)):
                case None if (current := self._slot.state.unexpired(self._clock())) is not None:
                    return current
                case Got(credential=credential):
                    return credential
                case Nothing(why=why) if why is Why.BARE or (why is Why.ABSENT and not asks):
                    return None
                case Failed(error=error, is_for_all=True):
                    if not asks and self._slot.state.unexpired(self._clock()) is None:
                        return None  # without a token the API says whether that matters
                    return self._still_good(error)

    def meet(self, demand: Demand, about: str, before_waiting: Step) -> Generator[Step, Any, Replacement]:
        """Return what to send for a request that went without a token, and whose API demands one.

        One flight serves all that demand one meanwhile. Errors end in `about`; before a wait, `before_waiting` is done.
        """
        yield before_waiting
        while True:
            decision, flight = self._decide(partial(for_demand, demand=demand), about)
            if isinstance(decision, Send):
                return Replacement(decision.credential, is_final=False)
            match (yield from _landing(flight)):
                case Got(credential=credential, is_replacement=is_replacement):
                    return Replacement(credential, is_replacement)
                case Failed(error=error, is_for_all=True):
                    return Replacement(self._still_good(error, about=about), is_final=False)

    def renew(self) -> Generator[Step, Any, Credential]:
        """Return a credential newer than the current one, whatever its age; share a running flight that brings one."""
        while True:
            _, flight = self._decide(lambda state, _, around: for_renewal(state, around, Reason.FORCED))
            match (yield from _landing(flight, is_quiet=True)):
                case Got(credential=credential, is_new=True):
                    return credential
                case Failed(error=error, is_for_all=True):
                    raise error.without_traceback()

    def check_store(self) -> OAuthToken | None:
        """Return the newest token known, after a look into the store, whatever its age; block meanwhile."""
        return self._renewals.check_store()

    def wait_idle(self) -> Generator[Step, Any, None]:
        """Wait until no flight is under way, and cancel a login; then try once more to save what is unsaved."""
        has_flushed = False
        while True:
            with decision_lock:
                flight = self._slot.flight
                if flight is not None and flight.is_reentrant:
                    return
                if flight is None:
                    if has_flushed or not self.has_unsaved:
                        return
                    has_flushed = True
                    flight = self._renewals.flush()
                else:
                    self._renewals.cancel_login()
            yield Landing(flight, None if has_flushed else _LOGIN_CHECK, is_quiet=True)

    # -- What an API says of a token ----------------------------------------------------------------------------

    def replace(
        self, rejected: str, origin: Hashable, path: str, about: str, before_waiting: Step | None = None
    ) -> Generator[Step, Any, Replacement | None]:
        """Return what to send instead of the credential with this header, which the origin rejected at this path.

        None means that the origin rejects every token, so that another one now would be useless. Errors end in `about`.
        If there's a renewal to wait for, `before_waiting` is done first.
        """
        for _ in range(3):
            decide = partial(for_rejection, rejected=rejected, path=path, breaker=self.rejecting_origins.get(origin))
            decision, flight = self._decide(decide, about)
            if isinstance(decision, Decline):
                return None
            if isinstance(decision, Send):
                return Replacement(decision.credential, self._slot.state.is_replacement)
            if decision.counts:
                with decision_lock:
                    is_interactive = self._grant.is_interactive
                    self.rejecting_origins.count_renewal(origin, self._clock(), path, is_interactive=is_interactive)
            if before_waiting is not None:
                yield before_waiting
                before_waiting = None
            match (yield from _landing(flight)):
                case Got(credential=credential, is_replacement=is_replacement) if credential.header != rejected:
                    return Replacement(credential, is_replacement)
                case Failed(error=error, is_for_all=True):
                    return Replacement(self._still_good(error, rejected=rejected, about=about), is_final=False)
        return None

    def record_acceptance(self, origin: Hashable, path: str, header: str, *, is_replay: bool) -> None:
        """Note that an origin accepted a token, at a replay or at first; needed only for `rejecting_origins`."""
        with decision_lock:
            self.rejecting_origins.accepted(origin, self._clock(), path, header, is_replay=is_replay)

    def record_rejection_of_new(self, origin: Hashable, path: str) -> bool:
        """Note that an origin has rejected a new token, too; return whether that's news, since it last accepted one."""
        with decision_lock:
            return self.rejecting_origins.rejected_new(origin, self._clock(), path)

    def count_vain_demand(self, origin: Hashable, path: str) -> None:
        """Note that an origin has rejected the very token that a path of it has demanded, for all who shared it."""
        with decision_lock:
            is_interactive = self._grant.is_interactive
            self.rejecting_origins.count_vain_demand(origin, self._clock(), path, is_interactive=is_interactive)

    # -- The user's login ---------------------------------------------------------------------------------------

    def step_up(
        self, sent: str, demand: Demand, about: str, before_waiting: Step
    ) -> Generator[Step, Any, tuple[Credential | None, bool]]:
        """Return what to send instead of the credential with this header, since an API asks for another login.

        And whether that's of a login which was made for this demand; all callers share one. None if another login
        can't bring more. Errors end in `about`. Before a wait, `before_waiting` is done.
        """
        yield before_waiting
        while True:
            decision, flight = self._decide(partial(for_step_up, sent=sent, demand=demand), about)
            if isinstance(decision, Send):
                return decision.credential, False
            outcome = yield from _landing(flight, is_quiet=True)
            if decision.is_login:
                if outcome == Nothing(Why.VAIN):
                    return None, False
                return _credential(outcome, about), isinstance(outcome, Got) and outcome.is_replacement

    def may_step_up(self, origin: Hashable, sent: str, demand: Demand) -> bool:
        """Return whether a login for an origin's demand may help, beyond that of the token with the header `sent`.

        Not where all the scope that's demanded was granted already, nor where such logins haven't helped.
        """
        if demand.scope and demand.kind is Kind.SCOPE:
            granted = (self.scope_of(sent) or "").split()
            if {*demand.scope.split()} <= {*granted}:
                return False
        return self._vain_logins.may_help(origin, demand, self._clock())

    def count_vain_login(self, origin: Hashable, demand: Demand) -> None:
        """Note that a login for an origin's demand hasn't helped."""
        self._vain_logins.count(origin, demand, self._clock())

    def log_in(self) -> Generator[Step, Any, Credential]:
        """Let the user log in, even if there is a valid token; return the new credential."""
        while True:
            decision, flight = self._decide(lambda state, _, around: for_renewal(state, around, Reason.LOGIN))
            outcome = yield from _landing(flight, is_quiet=True)
            if decision.launch is not None:
                return _credential(outcome)

    def complete_login(self, login: NewLogin) -> Generator[Step, Any, Credential]:
        """Replace whatever token there is by that of a login that was led elsewhere; return the new credential.

        Raises what went wrong; then all stays as it was.
        """
        outcome = yield from self._launch_alone(lambda: self._renewals.complete_login(login))
        credential = _credential(outcome)
        if isinstance(outcome, Got) and outcome.is_new:
            yield from self._end_dependents()
        return credential

    def revoke(self) -> Generator[Step, Any, None]:
        """Revoke the newest token at the server and forget it; afterwards raise `OAuthError` for what went wrong.

        A login under way is cancelled.
        """
        outcome = yield from self._launch_alone(self._renewals.revoke)
        yield from self._end_dependents()
        if isinstance(outcome, Failed):
            raise outcome.error.without_traceback()

    def add_dependent(self, source: TokenSource) -> None:
        """Note that the tokens of another source are made of this one's."""
        with decision_lock:
            self._dependents = weakref.WeakSet() if self._dependents is None else self._dependents
            self._dependents.add(source)

    def _end_dependents(self) -> Generator[Step, Any, None]:
        """End the tokens that were made of this source's: the next one may be another user's."""
        for dependent in tuple(self._dependents or ()):
            with suppress(OAuthError):  # it's forgotten whatever the server says
                yield from dependent.revoke()

    # -- Deciding, launching, and what comes of a wait ----------------------------------------------------------

    def _decide(
        self, decide: Callable[[State, Now, Around], tuple[Decision, State]], about: str = ""
    ) -> tuple[Any, FlightLike | None]:
        """Return the decision, and the flight under way or launched by it. Raises the error that it calls for."""
        slot = self._slot
        with decision_lock:
            flight, before = slot.flight, slot.state  # the flight first, then what it wrote
            decision, after = decide(before, self._clock(), self._around(flight))
            if after is not before:  # never while a flight is under way: it may publish just now
                slot.publish(after)
            if isinstance(decision, Fail):
                raise decision.error.without_traceback(about)
            if isinstance(decision, Send | Wait | Bare) and decision.launch is not None:
                flight = self._renewals.renew(decision.launch)
        return decision, flight

    def _around(self, flight: FlightLike | None) -> Around:
        purpose = None if flight is None else self._slot.purpose
        return Around(
            flight is not None,
            flight is not None and flight.is_retrying,
            self._entry.is_shared,
            self._settings.token_timeout,
            purpose.demand if purpose is not None and purpose.reason is Reason.LOGIN else None,
        )

    def _launch_alone(self, launch: Callable[[], FlightLike]) -> Generator[Step, Any, FlightOutcome]:
        """Return the outcome of a flight of the caller's own, after the one under way; a login in that is cancelled."""
        while True:
            with decision_lock:
                flight = self._slot.flight
                is_own = flight is None
                if flight is None:
                    flight = launch()
            self._renewals.cancel_login()
            outcome = yield from _landing(flight, None if is_own else _LOGIN_CHECK, is_quiet=True)
            if is_own and outcome is not None:
                return outcome

    def _still_good(self, error: OAuthError, *, rejected: str | None = None, about: str = "") -> Credential:
        """Return the old credential while it lasts, since a flight has brought no other, unless it's rejected.

        Else raise the flight's error.
        """
        current = self._slot.state.unexpired(self._clock())
        if current is not None and current.header != rejected:
            return current
        raise error.without_traceback(about)

    # -- Pickles ------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        names = ("_grant", "_settings", "_entry", "_tokens", "current")
        return {**{name: getattr(self, name) for name in names}, "_token": self._slot.newest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._grant, self._settings, self._entry = state["_grant"], state["_settings"], state["_entry"]
        # In older pickles what is known of tokens has the name `acquisition`, see `Logins`.
        self._tokens = state["_tokens"] if "_tokens" in state else state["acquisition"].tokens
        self._assemble(state["current"], state["_token"], Now.read, CHANCE, None)


def _begin(flight: FlightLike | None) -> None:
    """Let what was launched, or is under way, go on in the background."""
    if flight is not None:
        flight.start(in_background=True)


def _landing(
    flight: FlightLike | None, timeout: float | None = None, *, is_quiet: bool = False
) -> Generator[Step, Any, FlightOutcome | None]:
    """Wait for a flight; None after `timeout` seconds. Raises `TokenError` for a callback that'd wait for itself."""
    assert flight is not None  # noqa: S101 - a decision to wait has found or launched one
    if flight.is_reentrant:
        raise TokenError(
            "a callback of this auth object used the auth object itself, which waits for the callback: "
            "use the token that the callback was given, or another auth object"
        )
    return (yield from do(Landing(flight, timeout, is_quiet)))


def _credential(outcome: FlightOutcome | None, about: str = "") -> Credential:
    """Return what the caller's own flight has brought, whatever there was before. Raises `OAuthError`."""
    match outcome:
        case Got(credential=credential):
            return credential
        case Failed(error=error):
            raise error.without_traceback(about)
    raise TokenError("the renewal was deferred").without_traceback(about)
