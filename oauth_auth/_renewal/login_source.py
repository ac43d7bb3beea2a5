"""What callers do about a user's login: have them log in, take over a login that was led elsewhere, end one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Hashable, Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Any

from .._flight import Step
from .._server.calls import Steps
from .._wire.challenges import Demand, Kind
from .._wire.token import Credential
from .._wire.urls import MOST_ORIGINS
from ..errors import OAuthError
from .decider import Decider, joined
from .decisions import Reason, Send, for_renewal, for_step_up
from .landing import FlightOutcome, Landing, decision_lock
from .logins import NewLogin

__all__ = ["LOGIN_CHECK", "LoginSource"]

_NO_LOGINS: Mapping[tuple[Hashable, Hashable], float] = MappingProxyType({})
_VAIN_FOR = 600.0
"""Seconds in which no user is asked for the same login again, since it hasn't helped."""
_MOST_VAIN = 3
"""How many different demands of one origin a user is asked for in that time, if none of the logins has helped."""
LOGIN_CHECK = 0.5
"""Seconds between two attempts to cancel a login, which may have just begun."""


class LoginSource(Decider):
    """The part of a `TokenSource` that's about the user."""

    __slots__ = ("_dependents", "_vain_logins")

    _vain_logins: Mapping[tuple[Hashable, Hashable], float]
    """When a login last didn't help, by the origin and what it demanded."""
    _dependents: weakref.WeakSet[LoginSource] | None
    """The sources whose tokens are made of this one's, in this process."""

    def _forget_logins(self) -> None:
        self._vain_logins, self._dependents = _NO_LOGINS, None

    def scope_of(self, header: str) -> str | None:
        """Return the scope of the token with this header, else the one asked for; None if it isn't known.

        Nor is that of a token which was replaced: another login may have asked for more.
        """
        current = self.current
        if current is not None and current.header != header:
            return None
        granted = None if current is None else current.token.scope
        return granted or self._grant.scope

    def add_dependent(self, source: LoginSource) -> None:
        """Note that the tokens of another source are made of this one's."""
        with decision_lock:
            self._dependents = weakref.WeakSet() if self._dependents is None else self._dependents
            self._dependents.add(source)

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
            outcome = (yield Landing(joined(flight), is_quiet=True)) or FlightOutcome.deferred()
            if decision.launch is not None or outcome.login == demand:
                if outcome.is_vain:
                    return None, False
                return self._settle(outcome, forced=True, about=about), outcome.is_replacement

    def may_step_up(self, origin: Hashable, sent: str, demand: Demand) -> bool:
        """Return whether a login for an origin's demand may help, beyond that of the token with the header `sent`.

        Not while the last one is known not to have, nor while the last few for any of its demands haven't, nor where
        all the scope that's demanded was granted already.
        """
        if demand.scope and demand.kind is Kind.SCOPE:
            granted = (self.scope_of(sent) or "").split()
            if {*demand.scope.split()} <= {*granted}:
                return False
        now = self._clock().monotonic
        recent = [key for key, at in self._vain_logins.items() if key[0] == origin and now < at + _VAIN_FOR]
        return (origin, demand.wanted) not in recent and len(recent) < _MOST_VAIN

    def count_vain_login(self, origin: Hashable, demand: Demand) -> None:
        """Note that a login for an origin's demand hasn't helped."""
        recent = _NO_LOGINS if len(self._vain_logins) >= MOST_ORIGINS else self._vain_logins
        self._vain_logins = {**recent, (origin, demand.wanted): self._clock().monotonic}

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
        for dependent in tuple(self._dependents or ()):
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
                joined(flight), None if is_own else LOGIN_CHECK, is_quiet=True
            )
            if is_own and outcome is not None:
                return outcome
