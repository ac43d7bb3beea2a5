"""A request to an API that demands things: it does what `_plugins.replacing` does, step by step."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from oauth_auth._wire.challenges import Demand, Kind
from oauth_auth._wire.token import Credential
from oauth_auth.errors import OAuthError

from .caller import DRAIN, Api, Caller
from .demands import ORIGIN, Answer, answer

if TYPE_CHECKING:
    from .worker import Worker

__all__ = ["DemandingCaller"]

MOST_TIMES = 3
"""How often a request to a resource that says itself what it wants is sent at most."""
Steps = Generator[Any, Any, Any]


class DemandingCaller(Caller):
    """One request of a program that steps up; of one whose API says what it wants, it first goes without a token."""

    def __init__(self, worker: Worker, path: str, *, is_repeatable: bool = True) -> None:
        super().__init__(worker, path)
        self.is_repeatable = is_repeatable
        self.is_on_demand = worker.world.config.grant in {"resource", "service"}
        kinds = {"login": {Kind.LOGIN}, "resource": {Kind.LOGIN, Kind.SCOPE}, "service": {Kind.SCOPE}}
        self.steps_up = kinds[worker.world.config.grant]
        self.times_sent = 0
        self.waits_for: Demand | None = None
        """What it waits to be met."""
        self.logins_made = 0
        """How many logins were made for it."""
        self.answer = Answer(is_accepted=False)
        self.is_forced = False
        """Whether it can't make do with the token that there is."""

    def _request(self) -> Steps:
        source, worker = self.worker.source, self.worker
        current = source.current
        if current is None or worker.clock().wall >= current.refresh_at:
            if self.is_on_demand:
                current = yield from source.offer(asks=not self.is_repeatable)
            else:
                current = yield from source.obtain()
        yield from self._send(current)
        header = "" if current is None else current.header
        if self._is_accepted:
            self._note(header, is_replay=False)
            return True
        is_fresh = False
        if not header:
            sent, is_fresh = yield from self._meet()
            if sent is None:
                return self._is_accepted
            header = sent
        header = yield from self._step_up(header)
        if is_fresh:
            self._note(header, is_replay=True)
            if self._is_rejected:
                source.count_vain_demand(ORIGIN, self.path)
        else:
            yield from self._replace(header)
        return self._is_accepted

    @property
    def _is_accepted(self) -> bool:
        return self.answer.is_accepted

    @property
    def _is_rejected(self) -> bool:
        return not self.answer.is_accepted and self.answer.demand is None

    @property
    def may_be_sent_again(self) -> bool:
        """Whether it may be sent once more."""
        return not self.is_on_demand or self.times_sent < MOST_TIMES

    def _send(self, credential: Credential | None) -> Steps:
        self.times_sent += 1
        self.answer = yield Api(credential, self.path)

    def _note(self, header: str, *, is_replay: bool) -> None:
        if self._is_accepted and header:
            self.worker.source.record_acceptance(ORIGIN, self.path, header, is_replay=is_replay)

    def _wait_for(self, demand: Demand, steps: Steps) -> Steps:
        self.waits_for, self.is_forced = demand, True
        self.worker.demanding.add(self)
        if demand.kind is not Kind.TOKEN:
            self.worker.judge.logins.waits(self.worker, demand)
        try:
            return (yield from steps)
        finally:
            self.worker.demanding.discard(self)
            self.waits_for = None

    def _meet(self) -> Generator[Any, Any, tuple[str | None, bool]]:
        demand = self.answer.demand
        if demand is None:
            return None, False
        try:
            replacement = yield from self._wait_for(demand, self.worker.source.meet(demand, "", DRAIN))
        except OAuthError:
            if self.is_repeatable:
                raise
        if not self.is_repeatable:
            return None, False
        self.logins_made += replacement.is_final
        self.is_forced = False
        yield from self._send(replacement.credential)
        return replacement.credential.header, replacement.is_final

    def _step_up(self, header: str) -> Generator[Any, Any, str]:
        source, made_for = self.worker.source, None
        while (demand := self._demanded()) is not None:
            if made_for is not None or not self.may_be_sent_again or not source.may_step_up(ORIGIN, header, demand):
                break
            credential, is_made = None, False
            try:
                credential, is_made = yield from self._wait_for(demand, source.step_up(header, demand, "", DRAIN))
            except OAuthError:
                if self.is_repeatable:
                    raise
            self.is_forced = False
            if credential is None or not self.is_repeatable:
                break
            self.logins_made += is_made
            yield from self._send(credential)
            header = credential.header
            made_for = demand if is_made else None
        if made_for is not None and (demand is not None or self._is_rejected):
            source.count_vain_login(ORIGIN, made_for)
            self.worker.judge.logins.was_vain(self.worker, made_for)
        return header

    def _demanded(self) -> Demand | None:
        demand = self.answer.demand
        return demand if demand is not None and demand.kind in self.steps_up else None

    def _replace(self, header: str) -> Steps:
        source = self.worker.source
        for is_last in (False, True):
            if not self._is_rejected:
                self._note(header, is_replay=is_last)
                return
            if not self.may_be_sent_again:
                return
            self.replacing_since = self.worker.world.now
            if not self.is_repeatable:
                try:
                    yield from source.replace(header, ORIGIN, self.path, "")
                except OAuthError:
                    self.worker.world.note(self.worker, "a renewal fails for a request that can't be sent again")
                return
            replacement = yield from source.replace(header, ORIGIN, self.path, "", DRAIN)
            if replacement is None:
                self.is_declined = True
                return
            yield from self._send(replacement.credential)
            header = yield from self._step_up(replacement.credential.header)
            self._note(header, is_replay=True)
            if replacement.is_final or is_last:
                return

    def _ask(self, step: Api) -> Answer:
        access = None if step.credential is None else step.credential.token.access_token
        return answer(self.worker.server, access, step.path)
