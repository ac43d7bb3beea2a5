"""A `TokenSource` keeps a program's current credential: it decides under a lock, waits outside it, and publishes.

Plug-ins read `current` and compare its `refresh_at` with the clock themselves: that's the hot path, and it's theirs.
All else is decided in `decisions`, under a lock and without I/O; then a `Flight` carries out the procedure of
`acquisition` without a lock, and publishes the new state. What callers wait for is written as steps, once for threads
and tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from functools import partial
from typing import Any

from .._clock import CHANCE, Chance, Clock, Now
from .._flight import Step
from .._record import Record
from .._server.calls import Steps
from .._server.grant import Grant
from .._wire.challenges import Demand
from .._wire.token import Credential, OAuthToken, digest
from .._wire.urls import MOST_ORIGINS
from .backoff import OriginBreaker
from .decider import joined
from .decisions import (
    Bare,
    Decline,
    Reason,
    RenewalSettings,
    Send,
    State,
    for_demand,
    for_offer,
    for_rejection,
    for_renewal,
    for_request,
)
from .effects import carry_out_renewal
from .landing import FlightLike, Landing, decision_lock
from .login_source import LOGIN_CHECK, LoginSource
from .logins import Logins
from .store_entry import StoreEntry

__all__ = ["TokenSource", "Waiting"]

Waiting = Generator[Step, Any, Any]
"""What a caller does: it yields steps to wait for, in a thread or a task, see `_flight.run`."""


class Replacement(Record):
    """What to send in place of a rejected token."""

    credential: Credential
    is_final: bool
    """Whether it was made because of a rejection; else it may have been revoked at the same time."""


class TokenSource(LoginSource):
    """One program's tokens from one grant. Safe to use from threads, tasks, several event loops and forked children.

    `token` is a token to begin with; of it and a stored one the later expiry wins. `clock`, `chance` and `begin`, which
    starts a procedure as a flight, are parameters for simulations.
    """

    __slots__ = ("rejecting_origins",)

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
        self._forget_logins()
        self._flight = None
        self._saver = None
        self._login_cancelled = None

    # -- What callers use: steps, see `Waiting` -----------------------------------------------------------------

    @property
    def token(self) -> OAuthToken | None:
        """The current token, or the one given to begin with; no I/O."""
        current = self.current
        return self._token if current is None else current.token

    def has_sent(self, header: str) -> bool:
        """Return whether requests had this header with the current token, or with one that it has replaced."""
        text, known = header.partition(" ")[2], self.acquisition.known
        tokens = (self.token, known.last, known.previous)
        is_known = any(token is not None and token.access_token == text for token in tokens)
        return is_known or digest(text) in known.superseded

    @property
    def renews(self) -> bool:
        """Whether there can ever be another token than the first."""
        return self._grant.renews

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

    def offer(self, *, asks: bool = False) -> Generator[Step, Any, Credential | None]:
        """Return a credential to send now, or None if there's none and none was asked for. Raises `OAuthError`.

        With `asks` the resource is asked first whether it wants one, if there's none.
        """
        while True:
            decision, flight = self._decide(partial(for_offer, asks=asks))
            if isinstance(decision, Send | Bare):
                if flight is not None:
                    flight.start(in_background=True)
                return decision.credential if isinstance(decision, Send) else None
            outcome = yield Landing(joined(flight), decision.timeout)
            if outcome is None:
                if (current := self._state.unexpired(self._clock())) is not None:
                    return current
            elif outcome.is_absent and (outcome.was_asked or not asks):
                return None
            elif not outcome.is_inconclusive:
                has_failed = outcome.error is not None and self._state.unexpired(self._clock()) is None
                # Without a token the API says whether that matters, unless that can't be tried.
                return None if has_failed and not asks else self._settle(outcome)

    def meet(self, demand: Demand, about: str, before_waiting: Step) -> Generator[Step, Any, Replacement]:
        """Return what to send for a request that went without a token, and whose API demands one.

        One flight serves all that demand one meanwhile. Errors end in `about`; before a wait, `before_waiting` is done.
        """
        yield before_waiting
        while True:
            decision, flight = self._decide(partial(for_demand, demand=demand), about)
            if isinstance(decision, Send):
                return Replacement(decision.credential, is_final=False)
            outcome = yield Landing(joined(flight))
            if outcome is not None and not outcome.is_inconclusive:
                return Replacement(self._settle(outcome, about=about), outcome.is_replacement)

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

    def check_store(self) -> OAuthToken | None:
        """Return the newest token known, after a look into the store, whatever its age; block meanwhile."""
        self._token = carry_out_renewal(self.acquisition.check_store(), self._entry, self._clock)
        return self._token

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
            yield Landing(flight, None if has_flushed else LOGIN_CHECK, is_quiet=True)

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

    def count_vain_demand(self, origin: Hashable, path: str) -> None:
        """Note that an origin has rejected the very token that a path of it has demanded, for all who shared it."""
        with decision_lock:
            past = self.rejecting_origins.get(origin)
            if past is None or past.cooldown.remaining(self._clock()) <= 0:
                self._count_rejection(origin, path)

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
