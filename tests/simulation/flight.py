"""What a source takes for a flight: what its procedure yields is done in the world, one effect after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from oauth_auth._clock import Now
from oauth_auth._flight import capture
from oauth_auth._renewal.effects import (
    Authorize,
    Await,
    Delete,
    HoldUps,
    Idle,
    Load,
    Loaded,
    Lock,
    Save,
    StillHeld,
    Unlock,
)
from oauth_auth._renewal.entry import Entry, pack
from oauth_auth._renewal.slot import Landing
from oauth_auth._renewal.store_entry import Locked
from oauth_auth._server.calls import Ask, Run, Sleep, Steps
from oauth_auth.errors import TokenStoreError
from oauth_auth.stores import LockTaken

if TYPE_CHECKING:
    from .worker import Worker

__all__ = ["Flight"]


class Flight:
    """What the source takes for a flight: it does what the procedure yields, in the world."""

    is_reentrant = False

    def __init__(self, worker: Worker, procedure: Steps[Any]) -> None:
        self.worker = worker
        self.epoch = worker.epoch
        self.steps = procedure
        self.name: str = getattr(procedure, "__name__", "")
        self.is_saver = self.name == "_save_later"
        self.is_under_way = True
        self.is_retrying = False
        self.outcome: Any = None
        self.sent_at = 0.0
        self.looked_at = 0.0
        self.serial = 0
        self.begun_at = 0.0
        self._has_started = False
        self._waiters: list[Callable[[Any], None]] = []
        self._hold_ups: HoldUps | None = None
        self._effect: Any = None
        self._begun = Now(0, 0)
        self._action: tuple[str, float] | None = None
        self._slices = 0
        self._has_lock = False
        self._is_abandoned = False
        self._has_come_back = False
        self._dies_after: Callable[[], None] | None = None
        self._login: Any = None
        self._login_done: Any = None
        self.on_the_way: tuple[Any, ...] | None = None
        """The answer that is coming: a decision may find that it has just arrived."""

    @property
    def is_dead(self) -> bool:
        return self.epoch != self.worker.epoch

    def start(self, *, in_background: bool = False) -> None:
        if not self._has_started:
            self._has_started = True
            self.worker.world.after(0.0005, self.worker, self._begin)

    def wait(self, timeout: float | None = None) -> Any:
        raise AssertionError

    async def wait_async(self, timeout: float | None = None) -> Any:
        raise AssertionError

    def join(self, waiter: Callable[[Any], None]) -> None:
        """Call the waiter with the outcome, once there is one."""
        self.start()
        if self.is_under_way:
            self._waiters.append(waiter)
        else:
            self.worker.world.after(0.0, self.worker, waiter, self.outcome)

    def _begin(self) -> None:
        self.begun_at = self.worker.world.now
        self.worker.judge.looks.begin(self)
        self._hold_ups = HoldUps(self.worker.clock)
        self._advance(None, None)

    # -- One step -----------------------------------------------------------------------------------------------

    def _advance(self, value: Any, error: BaseException | None) -> None:
        worker = self.worker
        outer, worker.stepping = worker.stepping, self
        self.serial += 1
        self.on_the_way = None
        try:
            effect = self.steps.throw(error) if error is not None else self.steps.send(value)
        except StopIteration as end:
            self._finish(end.value)
            return
        finally:
            worker.stepping = outer
        worker.spring_trap(self, effect)

    def _finish(self, outcome: Any) -> None:
        world = self.worker.world
        self.is_under_way, self.outcome = False, outcome
        if self._has_lock:
            world.after(0.0, None, self.worker.store.receive, self, self.serial, "unlock", None)
        if self._has_come_back:
            self.worker.entry.end_cooldown()
        for waiter in self._waiters:
            world.after(0.0, self.worker, waiter, outcome)
        self.worker.judge.looks.end(self)
        self.worker.landed(self)

    def perform(self, effect: Any) -> None:
        """Do what was yielded."""
        worker = self.worker
        if worker.world.trace is not None and not isinstance(effect, Landing):
            worker.world.note(worker, f"{self.name}: {_text_of(effect)}")
        if isinstance(effect, Landing):
            effect.flight.join(self._advance_with)  # type: ignore[attr-defined]
            return
        assert self._hold_ups is not None
        self._effect = effect
        self._hold_ups.begin(effect)
        self._begun = worker.clock()
        if self._hold_ups.forbid(effect):
            worker.world.after(0.0, worker, self._advance, None, None)
            return
        _PERFORM[type(effect)](self, effect)

    def _advance_with(self, outcome: Any) -> None:
        self._advance(outcome, None)

    def answer_after(self, delay: float, serial: int, value: Any, error: BaseException | None) -> None:
        """Bring what came of the effect with this number after a while."""
        if serial == self.serial and not self.is_dead:
            self.on_the_way = (serial, value, error)
            self.worker.world.after(delay, self.worker, self.answer, serial, value, error)

    def answer(self, serial: int, value: Any, error: BaseException | None) -> None:
        """Go on, unless a time-out was faster."""
        if serial != self.serial or not self.is_under_way:
            return
        if self._dies_after is not None:
            happens, self._dies_after = self._dies_after, None
            happens()
            if not self.is_dead:
                self.worker.world.after(0.0, self.worker, self.answer, serial, value, error)
            return
        if self._action is not None:
            value, error = self._store_result(value, error), None
        if isinstance(self._effect, Ask) and value is not None:
            self.worker.judge.answered(self)
        assert self._hold_ups is not None
        self._hold_ups.end(self._effect)
        self._advance(value, error)

    def arrive_early(self) -> None:
        """Let the answer that's on the way be there already."""
        if self.on_the_way is not None:
            self.answer(*self.on_the_way)

    # -- What each effect is ------------------------------------------------------------------------------------

    def _ask(self, effect: Ask) -> None:
        worker, world = self.worker, self.worker.world
        self._action = None
        self.sent_at = world.now
        latency = world.config.latency * (0.3 + worker.chance.random() * 0.4)
        world.after(latency, None, worker.server.receive, self, self.serial, effect.request, effect.timeout)
        world.after(min(effect.timeout, 1.0), worker, self._wait_for_answer, self.serial, effect, effect.timeout - 1.0)

    def _wait_for_answer(self, serial: int, effect: Ask, left: float) -> None:
        """Wait for one more second, as a `Flight` does: a program that stands still loses one of them."""
        if serial != self.serial:
            return
        assert self._hold_ups is not None
        self._hold_ups.tick()
        if left > 0:
            self.worker.world.after(min(left, 1.0), self.worker, self._wait_for_answer, serial, effect, left - 1.0)
        else:
            self.answer(serial, None, effect.transport.time_out(effect.request, effect.timeout))

    def _sleep(self, effect: Sleep) -> None:
        self._action = None
        self.is_retrying = True
        self.worker.world.after(effect.seconds, self.worker, self.answer, self.serial, None, None)

    def _run(self, effect: Run[Any]) -> None:
        self._action = None
        outcome = capture(effect.function)
        self.worker.world.after(0.0, self.worker, self.answer, self.serial, outcome.value, outcome.error)

    def _idle(self, effect: Idle) -> None:
        self._action = None
        seconds = 0.0 if self.worker.is_ending else effect.seconds
        if not self.worker.is_ending:
            self.worker.idling.append((self, self.serial))
        self.worker.world.after(seconds, self.worker, self.answer, self.serial, self.worker.is_ending, None)

    def _authorize(self, effect: Authorize) -> None:
        self._action = None
        self.is_retrying = True
        self._login_done = None

        def log_in() -> None:
            self._login_done = capture(effect.work)
            if self._login is not None:
                self.answer(self._login, self._login_done, None)

        self.worker.judge.logins.begun(self)
        self.worker.world.after(self.worker.chance.uniform(5, 40), self.worker, log_in)
        self.worker.world.after(0.0, self.worker, self.answer, self.serial, None, None)

    def _await(self, effect: Await) -> None:
        self._action = None
        self._login = self.serial
        seconds = 0.0 if self._login_done is not None else effect.seconds
        self.worker.world.after(seconds, self.worker, self.answer, self.serial, self._login_done, None)

    def _lock(self, effect: Lock) -> None:
        if self._has_lock:
            self._action = None
            self.worker.world.after(0.0, self.worker, self.answer, self.serial, Locked.HELD, None)
        else:
            self._call("lock", effect, effect.timeout)

    def _unlock(self, effect: Unlock) -> None:
        if not self._has_lock:
            self._action = None
            self.worker.world.after(0.0, self.worker, self.answer, self.serial, None, None)
        elif self._is_abandoned or self.worker.entry.is_resting:
            self._has_lock, self._action = False, None
            self.worker.world.after(0.0, None, self.worker.store.receive, self, -1, "unlock", None)
            self.worker.world.after(0.0, self.worker, self.answer, self.serial, None, None)
        else:
            self._has_lock = False
            self._call("unlock", None)

    def _still_held(self, effect: StillHeld) -> None:
        assert self._hold_ups is not None
        if self._has_lock and not self._hold_ups.is_held_up:
            self._call("is_held", None)
        else:
            self._action = None
            is_held = not self._hold_ups.is_held_up
            self.worker.world.after(0.0, self.worker, self.answer, self.serial, is_held, None)

    def _load(self, effect: Load) -> None:
        self.worker.judge.looks.look(self)
        self._call("load", None)

    def _save(self, effect: Save) -> None:
        self._call("save", pack(effect.entry, {}))

    def _delete(self, effect: Delete) -> None:
        self._call("delete", None)

    # -- The store's calls, as `StoreSession` makes them --------------------------------------------------------

    def _call(self, action: str, argument: Any, wait: float = 0.0) -> None:
        worker, world, entry = self.worker, self.worker.world, self.worker.entry
        self._action, self._slices = (action, wait), 0
        if entry.is_resting:
            self._action = (action, -1.0)
            world.after(0.0, worker, self.answer, self.serial, None, TokenStoreError("resting"))
        elif self._is_abandoned:
            world.after(0.0, worker, self.answer, self.serial, None, TokenStoreError("still hangs"))
        else:
            store = worker.store
            world.after(store.delay(), None, store.receive, self, self.serial, action, argument)
            if wait:
                self.wait_long()

    def wait_long(self) -> None:
        """Begin to count the seconds, since the store won't answer at once."""
        assert self._action is not None
        entry = self.worker.entry
        left = self._action[1] + entry.timeout - entry.slow
        self.worker.world.after(entry.slow, self.worker, self._wait_on, self.serial, left)

    def _wait_on(self, serial: int, left: float) -> None:
        """Wait for one more second, as `StoreWorker` does: a program that stands still loses one of them."""
        if serial != self.serial:
            return
        self.is_retrying = True
        self._slices += 1
        assert self._hold_ups is not None
        self._hold_ups.tick()
        if left > 0:
            self.worker.world.after(min(left, 1.0), self.worker, self._wait_on, serial, left - 1.0)
        else:
            self._is_abandoned = True
            self.answer(serial, None, TokenStoreError("the store hasn't answered"))

    def come_back(self) -> None:
        """Note that a call that was given up has ended: the store is used again once the flight has ended, too."""
        self._has_come_back = True
        if not self.is_under_way:
            self.worker.entry.end_cooldown()

    def _store_result(self, value: Any, error: BaseException | None) -> Any:
        assert self._action is not None
        (action, wait), self._action = self._action, None
        entry = self.worker.entry
        is_ok = error is None
        if is_ok:
            entry.worked(action)
        elif wait >= 0 and not isinstance(error, LockTaken):
            assert error is not None
            seconds = self.worker.clock().monotonic - self._begun.monotonic
            seconds = min(seconds, (self._slices + 0.99) * entry.slow)
            entry.failed(action, error, seconds - wait, still_hangs=self._is_abandoned)
        if action == "load":
            self.looked_at = self.worker.world.now
            return Loaded(self.worker.store.unpacked(value), is_ok=True) if is_ok else Loaded(Entry(), is_ok=False)
        if action == "lock":
            self._has_lock = is_ok
            result = Locked.HELD if is_ok else Locked.TAKEN if isinstance(error, LockTaken) else Locked.FAILED
            if result is Locked.TAKEN:
                self.worker.taken_at = self.worker.world.now
            return result
        if action == "is_held":
            return bool(value) or not is_ok
        return is_ok


_PERFORM: dict[type, Callable[[Flight, Any], None]] = {
    Ask: Flight._ask,
    Sleep: Flight._sleep,
    Run: Flight._run,
    Idle: Flight._idle,
    Authorize: Flight._authorize,
    Await: Flight._await,
    Lock: Flight._lock,
    Unlock: Flight._unlock,
    StillHeld: Flight._still_held,
    Load: Flight._load,
    Save: Flight._save,
    Delete: Flight._delete,
}


def _text_of(effect: Any) -> str:
    if isinstance(effect, Ask):
        request = effect.request
        if request.method == "GET":
            return f"Ask {request.url}"
        fields = [(name, value) for name, value in parse_qsl(request.body.decode()) if name != "code_verifier"]
        return f"Ask {urlencode(fields)}"
    if isinstance(effect, Save):
        entry = effect.entry
        token = entry.token.access_token if entry.token else None
        return f"Save {token}{' failure' if entry.failure else ''}{' logged out' if entry.logged_out else ''}"
    return str(effect)
