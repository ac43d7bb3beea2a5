"""What a program does with its source: requests, as the plug-ins make them, and logouts."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from oauth_auth._renewal.slot import Landing
from oauth_auth._wire.token import Credential
from oauth_auth.errors import OAuthError

if TYPE_CHECKING:
    from .worker import Worker

__all__ = ["DRAIN", "ORIGIN", "Api", "Caller", "LogOut"]

ORIGIN = "https://api.test"
DRAIN: Any = object()
"""The step of reading an answer to its end, before its caller waits: it takes no time here."""


class Api(NamedTuple):
    """The step of sending a request: brings what the API answers."""

    credential: Credential | None
    path: str


class Caller:
    """One request of a program, from the token to the API's answer."""

    def __init__(self, worker: Worker, path: str) -> None:
        self.worker = worker
        self.path = path
        self.begun = worker.world.now
        self.stopped_before = worker.stopped_for
        self.waited = 0.0
        self.sent: list[Credential] = []
        self.is_forced = False
        """Whether it can't make do with the token that there is."""
        self.replacing_since: float | None = None
        self.is_declined = False
        self._steps = self._request()
        self._serial = 0
        self._since = 0.0
        self._was_good = False

    def _request(self) -> Generator[Any, Any, bool]:
        """Do what the plug-ins do: `__call__`, and `_replacing` of what requests and niquests share."""
        source = self.worker.source
        current = source.current
        if current is None or self.worker.clock().wall >= current.refresh_at:
            current = yield from source.obtain()
        is_accepted = yield Api(current, self.path)
        if is_accepted:
            if source.rejecting_origins:
                source.record_acceptance(ORIGIN, self.path, current.header, is_replay=False)
            return True
        for _ in range(2):
            self.replacing_since = self.worker.world.now
            replacement = yield from source.replace(current.header, ORIGIN, self.path, "")
            if replacement is None:
                self.is_declined = True
                return False
            current = replacement.credential
            is_accepted = yield Api(current, self.path)
            if is_accepted:
                source.record_acceptance(ORIGIN, self.path, current.header, is_replay=True)
            if is_accepted or replacement.is_final:
                break
        return bool(is_accepted)

    def go(self, value: Any = None) -> None:
        """Go on to the next thing to wait for."""
        worker, world = self.worker, self.worker.world
        self._serial += 1
        while True:
            try:
                step = self._steps.send(value)
            except StopIteration as end:
                worker.has_failed = False
                worker.judge.answered_request(self, is_accepted=end.value)
                return
            except OAuthError as error:
                worker.has_failed = True
                worker.judge.failed_request(self, error)
                worker.next_arrival()
                return
            if isinstance(step, Landing):
                may_wait = self.replacing_since is not None or self.is_forced
                self._since, self._was_good = world.now, not may_wait and worker.judge.is_good(worker)
                step.flight.join(self._resumer(self._serial))  # type: ignore[attr-defined]
                if step.timeout is not None:
                    world.after(step.timeout, worker, self._resumer(self._serial), None)
                return
            if step is DRAIN:
                value = None
                continue
            if step.credential is not None:
                self.sent.append(step.credential)
                worker.judge.sends(self, step.credential)
            delay = worker.server.api_delay
            if delay:
                delay *= worker.chance.random()
                self._since, self._was_good = world.now + delay, False
                world.after(delay, worker, self._resumer(self._serial), self._ask(step))
                return
            value = self._ask(step)

    def _ask(self, step: Api) -> Any:
        assert step.credential is not None
        return self.worker.server.accepts(step.credential.token.access_token, step.path)

    def _resumer(self, serial: int) -> Callable[[Any], None]:
        def resume(value: Any) -> None:
            if serial == self._serial:
                waited = max(self.worker.world.now - self._since, 0.0)
                self.waited += waited
                if self._was_good and waited > 1e-6:
                    self.worker.judge.violation(f"worker {self.worker} waited {waited:.3f} s though its token was good")
                self.go(value)

        return resume


class LogOut:
    """One call of `revoke()`."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._steps = worker.source.revoke()
        self._serial = 0

    def go(self, value: Any = None) -> None:
        """Go on to the next wait."""
        self._serial += 1
        serial = self._serial

        def resume(outcome: Any) -> None:
            if serial == self._serial:
                self.go(outcome)

        try:
            step = self._steps.send(value)
        except StopIteration:
            self.worker.judge.logged_out(self.worker)
            return
        except OAuthError as error:
            self.worker.world.note(self.worker, f"the logout fails: {error}")
            self.worker.judge.logged_out(self.worker)
            return
        assert isinstance(step, Landing)
        step.flight.join(resume)  # type: ignore[attr-defined]
        if step.timeout is not None:
            self.worker.world.after(step.timeout, self.worker, resume, None)
