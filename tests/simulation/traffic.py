"""What the judge says of traffic: looks into the store, scopes that are sent, and logins that users are asked for.

The bounds are what the documentation promises; none is read from the code that is judged.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from oauth_auth._wire.challenges import Demand, Kind
from oauth_auth.errors import OAuthError

from .demands import can_be_met, meets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .demanding_caller import DemandingCaller
    from .demands import Authorization
    from .flight import Flight
    from .invariants import Judge
    from .server import Issue
    from .worker import Worker

__all__ = ["Logins", "Looks", "Scopes"]

MINUTE = 60.0
MOST_LOOKS = 60 + 40
"""How often a program looks in a minute: once a second, and at shorter distances just before a token's end."""
LOOK_DISTANCE = 0.5
"""Seconds between two looks while a sibling has the lock, or a user logs in."""
FEW = 9
"""How often a flight looks besides: at first, under the lock, and if it was held up or lost the lock."""
VAIN_FOR = 600.0
MOST_VAIN = 3
LEAST_PAUSE = 0.9
"""Seconds after a user's refusal in which nobody is asked again, about."""
LONGEST_LOGIN = 45.0
LONGEST_PAUSE = 60.0
TOKEN_TIMEOUT, SHARED_PAUSE, MOMENT = 10.0, 5.0, 2.0
MOST_SENT, MOST_SENT_TO_RESOURCE = 6, 3
"""How often a request is sent; of several programs whose APIs demand different logins, each has to wait for others."""
TROUBLE = {"down", "out", "lost", "stop", "suspend", "kill", "jump", "slow"}


class Looks:
    """How often programs look into the store."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._flights: dict[tuple[int, int, str], deque[float]] = {}
        self._in_flight: Counter[int] = Counter()

    def begin(self, flight: Flight) -> None:
        """Judge that a flight begins, each of which looks: not while each request may make a call, as in trouble."""
        worker, now = flight.worker, self._judge.now
        if flight.is_saver or self._is_asking_anew(worker):
            return
        recent = self._flights.setdefault((worker.index, flight.epoch, flight.name), deque())
        recent.append(now)
        while recent[0] < now - MINUTE:
            recent.popleft()
        if len(recent) > MOST_LOOKS:
            self._judge.violation(f"{worker} looked {len(recent)} times in a minute")

    def _is_asking_anew(self, worker: Worker) -> bool:
        """Return whether there's no token to send, and what was in the way may have passed."""
        judge, current = self._judge, worker.source.current
        if current is not None and judge.now + worker.wall_offset < current.expires_at:
            return False
        trouble = max(judge.server_bad_until, judge.store_bad_until, judge.asked_until)
        return judge.now < trouble + MINUTE

    def look(self, flight: Flight) -> None:
        """Judge one look of a flight."""
        number = id(flight)
        self._in_flight[number] += 1
        most = FEW + 1.1 * (self._judge.now - flight.begun_at) / LOOK_DISTANCE
        if self._in_flight[number] > most:
            self._judge.violation(f"{flight.worker} looked {self._in_flight[number]} times in one flight")

    def end(self, flight: Flight) -> None:
        """Forget a flight that has ended."""
        self._in_flight.pop(id(flight), None)


class Scopes:
    """Which scope a refresh asks for: what was granted with that very refresh token, if the server has said so."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._refused: set[str] = set()

    def sent(self, before: Issue, scope: str | None, flight: Flight) -> None:
        """Judge the scope that's sent with a refresh token; `before` is what that came with."""
        server, family = self._judge.server, before.family
        may_be = {_names(family.scope if server.tells_scope else family.asked)}
        if before is server.first or before.flight is None:  # who was given it wasn't told
            may_be |= {_names(family.asked), _names(family.scope)}
        if before.refresh in self._refused and scope is None:
            return
        if _names(scope) not in may_be:
            wanted = " or ".join(sorted(" ".join(sorted(names)) or "none" for names in may_be))
            self._judge.violation(f"{flight.worker} sent {before.refresh} for scope {scope}, not {wanted}")

    def refused(self, before: Issue) -> None:
        """Note that the server has refused the scope, so that it may be left out."""
        self._refused.add(str(before.refresh))


def _names(scope: str | None) -> frozenset[str]:
    return frozenset((scope or "").split())


class Logins:
    """Which logins users are asked for, and what becomes of a demand."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._refused_at: dict[tuple[int, int], float] = {}
        self._vain: dict[tuple[int, int], dict[tuple[object, ...], float]] = {}
        self._code_refused_at: dict[tuple[int, int], float] = {}

    # -- Logins -------------------------------------------------------------------------------------------------

    def begun(self, flight: Flight) -> None:
        """Judge that a user is asked to log in: an API demands it, or nothing else brings a token."""
        judge, worker = self._judge, flight.worker
        judge.excuse("logins")
        demands = [demand for caller in worker.demanding if (demand := caller.waits_for) is not None]
        wanted = [demand for demand in demands if demand.kind is not Kind.TOKEN]
        refused_at = self._refused_at.get((worker.index, flight.epoch))
        if refused_at is not None and judge.now < refused_at + LEAST_PAUSE:
            judge.violation(f"{worker} asked its user again {judge.now - refused_at:.3f} s after a refusal")
        current = worker.source.current
        if current is not None and judge.can_be_sent(worker, current.token):
            issue = judge.server.by_access[current.token.access_token]
            if all(meets(judge.server, issue, demand) for demand in wanted):
                judge.violation(f"{worker} had its user log in though {issue.access} was good")
        if not wanted and not self._is_troubled() and judge.holds_live_refresh_token(worker):
            judge.violation(f"{worker} had its user log in though its refresh token was good")

    def made(self, worker: Worker, granted: Authorization, parameters: Mapping[str, str]) -> None:
        """Judge what a login asks for: what an API demands, if it's for that."""
        demands = [demand for caller in worker.demanding if (demand := caller.waits_for) is not None]
        logins = [dict(demand.login) for demand in demands if demand.kind is Kind.LOGIN]
        asked = {name: parameters[name] for name in ("acr_values", "max_age") if name in parameters}
        if asked and logins and asked not in logins:
            self._judge.violation(f"{worker} had its user log in with {asked}, which nobody demands")
        if demands and len(logins) == len(demands) and not asked and self._judge.can_send_now(worker):
            self._judge.violation(f"{worker} had its user log in, not as demanded")
        scopes = [demand.scope for demand in demands if demand.kind is Kind.SCOPE]
        is_for_scope = scopes and len(scopes) == len(demands) and self._judge.can_send_now(worker)
        if is_for_scope and not any(_names(scope) <= _names(granted.asked) for scope in scopes):
            self._judge.violation(f"{worker} asked its user for {granted.asked}, which nobody demands")

    def refused(self, worker: Worker) -> None:
        """Note that a user doesn't log in."""
        self._refused_at[worker.index, worker.epoch] = self._judge.now

    def redeemed_again(self, issue: Issue, flight: Flight) -> None:
        """Judge that a code is sent again: only if no answer has come. Then one flight fails."""
        worker = flight.worker
        if not issue.is_lost and not self._judge.begun & {"stop", "suspend"}:
            self._judge.violation(f"{worker} sent the code of {issue.access} again")
        self._code_refused_at[worker.index, worker.epoch] = self._judge.now

    # -- Demands ------------------------------------------------------------------------------------------------

    def waits(self, worker: Worker, demand: Demand) -> None:
        """Judge that a request waits for a login: not for one which was vain a short time ago."""
        vain = self._recently_vain(worker)
        if demand.wanted in vain:
            ago = self._judge.now - vain[demand.wanted]
            self._judge.violation(f"{worker} waits for a login that was vain {ago:.0f} s ago")
        elif len(vain) >= MOST_VAIN:
            self._judge.violation(f"{worker} waits for a login after {len(vain)} that were vain")

    def was_vain(self, worker: Worker, demand: Demand) -> None:
        """Note that a login as demanded hasn't helped."""
        self._vain.setdefault((worker.index, worker.epoch), {})[demand.wanted] = self._judge.now

    def _recently_vain(self, worker: Worker) -> dict[tuple[object, ...], float]:
        now = self._judge.now
        vain = self._vain.get((worker.index, worker.epoch), {})
        return {wanted: at for wanted, at in vain.items() if now < at + VAIN_FOR - 1.0}

    def answered(self, caller: DemandingCaller) -> None:
        """Judge what a request has come to."""
        judge, worker = self._judge, caller.worker
        most = MOST_SENT_TO_RESOURCE if caller.is_on_demand else MOST_SENT
        if caller.times_sent > most and (caller.is_on_demand or worker.world.config.workers == 1):
            judge.violation(f"{worker} sent a request {caller.times_sent} times")
        if caller.logins_made > (2 if caller.is_on_demand else 1):
            judge.violation(f"{worker} had its user log in {caller.logins_made} times for a request")
        demand = caller.answer.demand
        if demand is None:
            return
        name = self._why_unmet(caller, demand)
        if name is None:
            judge.violation(f"{worker} left a demand of {caller.path} to its caller")
        else:
            judge.excuse(f"unmet: {name}")

    def _why_unmet(  # noqa: PLR0911 - one for each reason
        self, caller: DemandingCaller, demand: Demand
    ) -> str | None:
        judge, worker = self._judge, caller.worker
        config = worker.world.config
        if not caller.is_repeatable:
            return "it can't be sent again"
        if demand.kind is Kind.TOKEN:
            return None
        if demand.kind not in caller.steps_up:
            return "nobody to ask"
        if not can_be_met(caller.path, config.consent):
            return "no login is enough"
        if demand.kind is Kind.SCOPE and config.scope == "silent":
            return "nobody knows the scope"
        if not caller.may_be_sent_again:
            return "it was sent often enough"
        vain = self._recently_vain(worker)
        if len(vain) >= MOST_VAIN or demand.wanted in vain:
            return "logins were vain"
        if judge.is_ended or judge.begun & TROUBLE:
            return "trouble meanwhile"
        return None

    def why_failed(self, caller: DemandingCaller, error: OAuthError, stood: float) -> str | None:
        """Return why a request has raised; None if it need not have."""
        judge, worker = self._judge, caller.worker
        now = judge.now
        refused_at = self._refused_at.get((worker.index, worker.epoch))
        if refused_at is not None and now < refused_at + LONGEST_PAUSE + MOMENT + stood:
            return "the user refused"
        if now < self._code_refused_at.get((worker.index, worker.epoch), 0.0) + MOMENT:
            return "an answer was lost"
        if self._is_troubled(stood):
            return "server in trouble"
        if stood:
            return "stopped"
        if judge.is_ended and now < judge.ended_at + LONGEST_LOGIN:
            return "logged out"
        return None

    def _is_troubled(self, stood: float = 0.0) -> bool:
        judge = self._judge
        if judge.is_final:
            return False
        until = max(judge.server_bad_until + TOKEN_TIMEOUT + SHARED_PAUSE, judge.asked_until)
        return judge.now <= until + MOMENT + stood
