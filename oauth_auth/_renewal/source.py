"""A `TokenSource` keeps a program's current credential: it decides under a lock, waits outside it, and publishes.

Plug-ins read `current` and compare its `refresh_at` with the clock themselves: that's the hot path, and it's theirs.
All else is decided in `decisions`, under a lock and without I/O; then a `Flight` carries out the procedure of
`acquisition` without a lock, and publishes the new state. What callers wait for is written as steps, once for threads
and tasks.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Hashable
from contextlib import suppress
from functools import partial
from typing import Any

from .._clock import CHANCE, Chance, Clock, Now
from .._flight import Step
from .._record import Record
from .._server.calls import Steps
from .._server.grants import Grant
from .._wire.token import Credential, OAuthToken
from .._wire.urls import MOST_ORIGINS
from ..errors import OAuthError
from .backoff import OriginBreaker
from .decider import Decider, joined
from .decisions import (
    Decline,
    Demands,
    Reason,
    RenewalSettings,
    Send,
    State,
    for_rejection,
    for_renewal,
    for_request,
    for_step_up,
)
from .effects import carry_out_renewal
from .logins import Logins, NewLogin
from .renewer import FlightLike, FlightOutcome, Landing, decision_lock
from .store_entry import StoreEntry

__all__ = ["TokenSource", "Waiting"]

Waiting = Generator[Step, Any, Any]
"""What a caller does: it yields steps to wait for, in a thread or a task, see `_flight.run`."""

_VAIN_FOR = 600.0
"""Seconds in which no user is asked for the same login again, since it hasn't helped."""
_LOGIN_CHECK = 0.5
"""Seconds between two attempts to cancel a login, which may have just begun."""


class Replacement(Record):
    """What to send in place of a rejected token."""

    credential: Credential
    is_final: bool
    """Whether it was made because of a rejection; else it may have been revoked at the same time."""


class TokenSource(Decider):
    """One program's tokens from one grant. Safe to use from threads, tasks, several event loops and forked children.

    `token` is a token to begin with; of it and a stored one the later expiry wins. `clock`, `chance` and `begin`, which
    starts a procedure as a flight, are parameters for simulations.
    """

    __slots__ = ("_vain_logins", "dependents", "rejecting_origins")

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
        self._clock = clock
        self._chance = chance
        self._begin = begin
        self.acquisition = Logins(grant, settings, self._entry, token=token, clock=clock, chance=chance)
        self._token = token
        self._forget_the_moment()
        # With a store or a code, the token given isn't sent before a flight has looked at these.
        is_sent = not (self._entry.is_shared or grant.has_unredeemed_code)
        if token is not None and is_sent and self.acquisition.can_send(token):
            self._publish(State(self.acquisition.credential(token)))
        else:
            self._publish(State())

    def _forget_the_moment(self) -> None:
        """Reset what copies in other processes don't share."""
        self.rejecting_origins: dict[Hashable, OriginBreaker] = {}
        """Origins for which a renewal was vain, until one helps; an origin is any key that the plug-in chooses."""
        self.dependents: weakref.WeakSet[TokenSource] = weakref.WeakSet()
        """The sources whose tokens are made of this one's, in this process."""
        self._vain_logins: dict[tuple[Hashable, Demands], float] = {}
        """When a login last didn't help, by the origin and what it demanded."""
        self._flight = None
        self._saver = None
        self._login_cancelled = None

    # -- What callers use: steps, see `Waiting` -----------------------------------------------------------------

    @property
    def token(self) -> OAuthToken | None:
        """The current token, or the one given to begin with; no I/O."""
        current = self.current
        return self._token if current is None else current.token

    @property
    def renews(self) -> bool:
        """Whether there can ever be another token than the first."""
        return self._grant.renews

    def scope_of(self, header: str) -> str | None:
        """Return the scope of the token with this header, else the one asked for; None if it isn't known."""
        current = self.current
        granted = current.token.scope if current is not None and current.header == header else None
        return granted or self._grant.scope

    def obtain(self) -> Generator[Step, Any, Credential]:
        """Return a credential to send now; wait if there is none yet. Raises `OAuthError`."""
        while True:
            decision, flight = self._decide(for_request)
            if isinstance(decision, Send):
                if flight is not None:
                    flight.start(in_background=True)
                return decision.credential
            outcome = yield Landing(joined(flight), decision.timeout)
            if outcome is None:
                if (current := self._state.unexpired(self._clock())) is not None:
                    return current
            elif not outcome.is_inconclusive:
                return self._settle(outcome)

    def renew(self) -> Generator[Step, Any, Credential]:
        """Return a credential newer than the current one, whatever its age; share a running flight that brings one."""
        while True:
            _, flight = self._decide(lambda state, _, around: for_renewal(state, around, Reason.FORCED))
            outcome = yield Landing(joined(flight), is_quiet=True)
            if outcome is not None and not outcome.is_inconclusive and (outcome.is_new or outcome.error is not None):
                return self._settle(outcome, forced=True)

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
                return Replacement(decision.credential, self._state.is_replacement)
            if decision.counts:
                self._count_rejection(origin, path)
            if before_waiting is not None:
                yield before_waiting
                before_waiting = None
            outcome = yield Landing(joined(flight))
            if outcome is None or outcome.is_inconclusive:
                continue
            credential = self._settle(outcome, rejected=rejected, about=about)
            if credential.header != rejected:
                return Replacement(credential, outcome.is_replacement)
        return None

    def step_up(
        self, sent: str, demands: Demands, about: str, before_waiting: Step
    ) -> Generator[Step, Any, tuple[Credential, bool]]:
        """Return what to send instead of the credential with this header, since an API asks for another login.

        And whether that's of a login which was made for these demands; all callers share one. Errors end in `about`.
        Before a wait, `before_waiting` is done.
        """
        yield before_waiting
        while True:
            decision, flight = self._decide(partial(for_step_up, sent=sent, demands=demands), about)
            if isinstance(decision, Send):
                return decision.credential, False
            outcome = (yield Landing(joined(flight), is_quiet=True)) or FlightOutcome.deferred()
            if decision.launch is not None or outcome.login == demands:
                return self._settle(outcome, forced=True, about=about), outcome.is_replacement

    def may_step_up(self, origin: Hashable, demands: Demands) -> bool:
        """Return whether a login for an origin's demands may help: not while the last one is known not to have."""
        return self._clock().monotonic >= self._vain_logins.get((origin, demands), 0.0) + _VAIN_FOR

    def count_vain_login(self, origin: Hashable, demands: Demands) -> None:
        """Note that a login for an origin's demands hasn't helped."""
        recent = {} if len(self._vain_logins) >= MOST_ORIGINS else self._vain_logins
        self._vain_logins = {**recent, (origin, demands): self._clock().monotonic}

    def log_in(self) -> Generator[Step, Any, Credential]:
        """Let the user log in, even if there is a valid token; return the new credential."""
        while True:
            decision, flight = self._decide(lambda state, _, around: for_renewal(state, around, Reason.LOGIN))
            outcome = yield Landing(joined(flight), is_quiet=True)
            if decision.launch is not None:
                return self._settle(outcome or FlightOutcome.deferred(), forced=True)

    def complete_login(self, login: NewLogin) -> Generator[Step, Any, Credential]:
        """Replace whatever token there is by that of a login that was led elsewhere; return the new credential.

        Raises what went wrong; then all stays as it was.
        """
        outcome = yield from self._launch_alone(lambda: self._complete_login(login))
        if outcome.error is not None:
            raise outcome.error.without_traceback()
        assert outcome.credential is not None  # noqa: S101 - without an error there's one
        if outcome.is_new:
            yield from self._end_dependents()
        return outcome.credential

    def check_store(self) -> OAuthToken | None:
        """Return the newest token known, after a look into the store, whatever its age; block meanwhile."""
        self._token = carry_out_renewal(self.acquisition.check_store(), self._entry, self._clock)
        return self._token

    def revoke(self) -> Generator[Step, Any, None]:
        """Revoke the newest token at the server and forget it; afterwards raise `OAuthError` for what went wrong.

        A login under way is cancelled.
        """
        outcome = yield from self._launch_alone(self._revoke)
        yield from self._end_dependents()
        if outcome.error is not None:
            raise outcome.error.without_traceback()

    def _end_dependents(self) -> Generator[Step, Any, None]:
        """End the tokens that were made of this source's: the next one may be another user's."""
        for dependent in tuple(self.dependents):
            with suppress(OAuthError):  # it's forgotten whatever the server says
                yield from dependent.revoke()

    def _launch_alone(self, procedure: Callable[[], Steps[FlightOutcome]]) -> Generator[Step, Any, FlightOutcome]:
        """Return the outcome of a flight of the caller's own, after the one under way; a login in that is cancelled."""
        while True:
            with decision_lock:
                flight = self._under_way()
                is_own = flight is None
                if flight is None:
                    flight = self._launch(procedure())
            self._cancel_login()
            outcome: FlightOutcome | None = yield Landing(
                joined(flight), None if is_own else _LOGIN_CHECK, is_quiet=True
            )
            if is_own and outcome is not None:
                return outcome

    def wait_idle(self) -> Generator[Step, Any, None]:
        """Wait until no flight is under way, and cancel a login; then try once more to save what is unsaved."""
        has_flushed = False
        while True:
            with decision_lock:
                flight = self._under_way()
                if flight is not None and flight.is_reentrant:
                    return
                if flight is None:
                    if has_flushed or not self.has_unsaved:
                        return
                    has_flushed = True
                    flight = self._launch(self._flush())
                else:
                    self._cancel_login()
            yield Landing(flight, None if has_flushed else _LOGIN_CHECK, is_quiet=True)

    def record_acceptance(self, origin: Hashable, path: str, header: str, *, is_replay: bool) -> None:
        """Note that an origin accepted a token, at a replay or at first; needed only for `rejecting_origins`."""
        with decision_lock:
            breaker = self.rejecting_origins.get(origin)
            if breaker is not None:
                if is_replay or path in breaker.vain_paths or breaker.is_over(self._clock()):
                    del self.rejecting_origins[origin]
                else:
                    self.rejecting_origins[origin] = breaker.accepted(path, header)

    def record_rejection_of_new(self, origin: Hashable, path: str) -> bool:
        """Note that an origin has rejected a new token, too; return whether that's news, since it last accepted one."""
        with decision_lock:
            past = self.rejecting_origins.get(origin)
            if past is not None and past.is_told:
                return False
            self._set_breaker(origin, OriginBreaker.told(past, self._clock(), path))
            return True

    def _count_rejection(self, origin: Hashable, path: str) -> None:
        with decision_lock:
            past, is_interactive = self.rejecting_origins.get(origin), self._grant.is_interactive
            self._set_breaker(origin, OriginBreaker.after(past, self._clock(), path, is_interactive=is_interactive))

    def _set_breaker(self, origin: Hashable, breaker: OriginBreaker) -> None:
        if origin not in self.rejecting_origins and len(self.rejecting_origins) >= MOST_ORIGINS:
            self.rejecting_origins.clear()
        self.rejecting_origins[origin] = breaker

    # -- Pickles ------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        names = ("_grant", "_settings", "_entry", "_token", "acquisition", "current")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._clock, self._chance, self._begin = Now.read, CHANCE, None
        self._forget_the_moment()
        self._publish(State(self.current))
