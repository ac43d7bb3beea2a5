"""A program of the fleet: it drives the shipped `TokenSource`, whose flights and waits the world answers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from random import Random
from typing import Any, NamedTuple

from oauth_auth._clock import Now
from oauth_auth._flight import capture
from oauth_auth._renewal.decisions import RenewalSettings
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
from oauth_auth._renewal.renewer import Landing, Renewer
from oauth_auth._renewal.source import TokenSource
from oauth_auth._renewal.store_entry import Locked, StoreEntry
from oauth_auth._server.authorization_code import AuthorizationCodeGrant
from oauth_auth._server.calls import Ask, EndpointCalls, Run, Sleep, Steps
from oauth_auth._server.client import Client
from oauth_auth._server.controller import OAuthAuthorizationController
from oauth_auth._server.grants import ClientCredentialsGrant, Grant, PasswordGrant, RefreshTokenGrant, TokenCalls
from oauth_auth._server.metadata import Endpoints
from oauth_auth._wire.token import Credential
from oauth_auth.errors import OAuthError, TokenStoreError
from oauth_auth.stores import LockTaken

from .invariants import Judge
from .server import ASKED_SCOPE, REVOCATION_URL, TOKEN_URL, Server, Transport
from .store import Facade, Store
from .world import World

__all__ = ["LEEWAY", "ORIGIN", "TOKEN_TIMEOUT", "WINDOW", "Caller", "Flight", "Worker"]

LEEWAY, WINDOW, TOKEN_TIMEOUT = 10.0, 300.0, 10.0
ORIGIN = "https://api.test"
SETTINGS = RenewalSettings(LEEWAY, WINDOW, TOKEN_TIMEOUT, None)
IN_TROUBLE_PAUSE = 4.0
"""A program whose requests fail sends them no more often than decisions change, in seconds."""


class Controller(OAuthAuthorizationController):
    """The shipped controller."""

    _transport_class = Transport


class Api(NamedTuple):
    """The step of sending a request: brings whether the API accepts it."""

    credential: Credential
    path: str


class Source(TokenSource):
    """The shipped source, watched: what it publishes and decides, and who comes in between."""

    __slots__ = ("worker",)

    worker: Worker

    def __init__(self, worker: Worker, **options: Any) -> None:
        self.worker = worker
        super().__init__(**options)

    @property  # type: ignore[override]
    def _state(self) -> Any:
        return _STATE.__get__(self)

    @_state.setter
    def _state(self, state: Any) -> None:
        self.worker.before_publishing()
        _STATE.__set__(self, state)
        self.worker.published(state.credential)

    def _decide(self, decide: Any, about: str = "") -> Any:
        def judged(state: Any, now: Any, around: Any) -> Any:
            decision, after = decide(state, now, around)
            if around.is_running and after is not state:
                self.worker.judge.violation("a decision changed the state while a flight was under way")
            return decision, after

        self.worker.is_deciding = True
        try:
            return super()._decide(judged, about)
        finally:
            self.worker.is_deciding = False


_STATE: Any = Renewer.__dict__["_state"]


class Flight:
    """What the source takes for a flight: it does what the procedure yields, in the world."""

    is_reentrant = False

    def __init__(self, worker: Worker, procedure: Steps[Any]) -> None:
        self.worker = worker
        self.epoch = worker.epoch
        self.steps = procedure
        self.name = procedure.__name__
        self.is_saver = self.name == "_save_later"
        self.is_under_way = True
        self.is_retrying = False
        self.outcome: Any = None
        self.sent_at = 0.0
        self.looked_at = 0.0
        self.serial = 0
        self._has_started = False
        self._waiters: list[Callable[[Any], None]] = []
        self._hold_ups: HoldUps | None = None
        self._effect: Any = None
        self._begun = Now(0, 0)
        self._action: tuple[str, float] | None = None
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

    def _run(self, effect: Run) -> None:
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
        if self._has_lock:
            self._call("is_held", None)
        else:
            self._action = None
            self.worker.world.after(0.0, self.worker, self.answer, self.serial, True, None)

    def _load(self, effect: Load) -> None:
        self._call("load", None)

    def _save(self, effect: Save) -> None:
        self._call("save", pack(effect.entry, {}))

    def _delete(self, effect: Delete) -> None:
        self._call("delete", None)

    # -- The store's calls, as `StoreSession` makes them --------------------------------------------------------

    def _call(self, action: str, argument: Any, wait: float = 0.0) -> None:
        worker, world, entry = self.worker, self.worker.world, self.worker.entry
        self._action = (action, wait)
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
        assert self._hold_ups is not None
        self._hold_ups.tick()
        if left > 0:
            self.worker.world.after(min(left, 1.0), self.worker, self._wait_on, serial, left - 1.0)
        else:
            self._is_abandoned = True
            self.answer(serial, None, TokenStoreError("the store hasn't answered"))

    def come_back(self) -> None:
        """Note that the call that was given up has ended after all: what it held up is done when the flight has ended."""
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
            seconds = self.worker.clock().monotonic - self._begun.monotonic - wait
            entry.failed(action, error, seconds, still_hangs=self._is_abandoned)
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
        return f"Ask {effect.request.body.decode()}"
    if isinstance(effect, Save):
        entry = effect.entry
        token = entry.token.access_token if entry.token else None
        return f"Save {token}{' failure' if entry.failure else ''}{' logged out' if entry.logged_out else ''}"
    return str(effect)


class Caller:
    """One request of a program, from the token to the API's answer."""

    def __init__(self, worker: Worker, path: str) -> None:
        self.worker = worker
        self.path = path
        self.begun = worker.world.now
        self.stopped_before = worker.stopped_for
        self.waited = 0.0
        self.sent: list[Credential] = []
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
                self._since, self._was_good = world.now, self.replacing_since is None and worker.judge.is_good(worker)
                step.flight.join(self._resumer(self._serial))  # type: ignore[attr-defined]
                if step.patience is not None:
                    world.after(step.patience, worker, self._resumer(self._serial), None)
                return
            self.sent.append(step.credential)
            worker.judge.sends(self, step.credential)
            delay = worker.server.api_delay
            if delay:
                delay *= worker.chance.random()
                is_accepted = worker.server.accepts(step.credential.token.access_token, step.path)
                self._since, self._was_good = world.now + delay, False
                world.after(delay, worker, self._resumer(self._serial), is_accepted)
                return
            value = worker.server.accepts(step.credential.token.access_token, step.path)

    def _resumer(self, serial: int) -> Callable[[Any], None]:
        def resume(value: Any) -> None:
            if serial == self._serial:
                waited = max(self.worker.world.now - self._since, 0.0)
                self.waited += waited
                if self._was_good and waited > 1e-6:
                    self.worker.judge.violation(f"worker {self.worker} waited {waited:.3f} s though its token was good")
                self.go(value)

        return resume


class Worker:
    """One program, through all its restarts."""

    def __init__(self, world: World, server: Server, store: Store, judge: Judge, index: int) -> None:
        self.world, self.server, self.store, self.judge, self.index = world, server, store, judge, index
        seed = f"{world.config.seed}-{index}"
        self.chance, self.arrivals, self.preemptions = Random(seed), Random(f"{seed}-a"), Random(f"{seed}-p")
        self._preemption = world.config.preemption
        self.epoch = 0
        self.stopped_until = 0.0
        self.stopped_for = 0.0
        self.stopped_at = 0.0
        self.died_at = -1.0
        self.wall_offset = 0.0
        self.monotonic_offset = -world.now + self.chance.uniform(100, 100_000)
        self.is_alive = False
        self.is_ending = False
        self.is_deciding = False
        self.has_failed = False
        self.stepping: Flight | None = None
        self.flights: list[Flight] = []
        self.graveyard: list[Any] = []
        self.trap: tuple[str, int, str, float] | None = None
        self.path = "/"
        self.idling: list[tuple[Flight, int]] = []
        self.published_headers: list[str] = []
        self.taken_at = 0.0
        self.window_request_at = 0.0
        self._arrival = 0
        self.source: Source
        self.entry: StoreEntry

    def __str__(self) -> str:
        return f"w{self.index}.{self.epoch}"

    def clock(self) -> Now:
        """Read the clocks; when a decision does so, a flight may land at that very moment."""
        if self.is_deciding and self._preemption and self.preemptions.random() < self._preemption:
            self.is_deciding = False
            for flight in self.flights:
                if flight.on_the_way is not None and not flight.is_saver and flight is not self.stepping:
                    flight.arrive_early()
                    break
            self.is_deciding = True
        return Now(self.world.now + self.wall_offset, self.world.now + self.monotonic_offset)

    def begin(self) -> None:
        """Start the program."""
        self.is_alive, self.is_ending, self.has_failed = True, False, False
        self.published_headers = []
        self.flights = []
        self.entry = StoreEntry(Facade(), "key", clock=self.clock)  # type: ignore[arg-type]
        grant = self._make_grant()
        self.source = Source(
            self,
            grant=grant,
            settings=SETTINGS,
            entry=self.entry,
            clock=self.clock,
            chance=self.chance,
            begin=self.begin_flight,
        )
        self.next_arrival()

    def _make_grant(self) -> Grant:
        calls = EndpointCalls(Transport(), TOKEN_TIMEOUT, clock=self.clock, chance=self.chance)
        urls = {"token_url": TOKEN_URL, "revocation_url": REVOCATION_URL if self.world.config.seed % 2 else None}
        endpoints = Endpoints(urls, None, calls, allow_insecure=False)
        controller = Controller.from_endpoints(endpoints)
        client = Client("client", "secret", None, endpoints)
        shared = TokenCalls(controller, endpoints, client, ASKED_SCOPE if self.world.config.scope else None, {})
        kind = self.world.config.grant
        if kind == "client":
            return ClientCredentialsGrant(shared)
        if kind == "password":
            return PasswordGrant(shared, username="user", password="password")
        if kind == "code":
            return AuthorizationCodeGrant(shared, code=None, redirect_uri=None, code_verifier=None)
        return RefreshTokenGrant(shared, refresh_token=self.server.first.refresh or "")

    def begin_flight(self, procedure: Steps[Any]) -> Flight:
        """Return the flight that the source wants; it must be the only one."""
        flight = Flight(self, procedure)
        self.flights = [other for other in self.flights if other.is_under_way]
        if not flight.is_saver:
            inside = self.is_publishing
            for other in self.flights:
                if not other.is_saver and (other is not self.stepping or inside):
                    self.judge.violation(f"two flights of one source: {other.name} and {flight.name}")
        self.flights.append(flight)
        return flight

    # -- Requests -----------------------------------------------------------------------------------------------

    def next_arrival(self) -> None:
        """Draw the next request; those before `refresh_at` neither read nor change anything, and are left out."""
        if self.is_ending or not self.is_alive:
            return
        self._arrival += 1
        world, current = self.world, self.source.current
        begin = world.now
        if current is not None and not world.config.all_requests and not self.source.rejecting_origins:
            begin = max(begin, current.refresh_at - self.wall_offset)
        elif self.has_failed:
            is_lost = self.judge.is_ended or self.judge.losses
            begin += max(30.0, world.config.lifetime / 8) if is_lost else IN_TROUBLE_PAUSE
        world.at(begin + self.arrivals.expovariate(1 / world.config.period), self, self._arrive, self._arrival)

    def _arrive(self, number: int) -> None:
        if number == self._arrival:
            self.request()
            self.next_arrival()

    def request(self) -> None:
        """Send one request."""
        if self.is_alive and not self.is_ending:
            path = "/" if self.path == "/" or self.arrivals.random() < 0.5 else self.path
            self.judge.arrives(self)
            Caller(self, path).go()

    # -- What happens in between --------------------------------------------------------------------------------

    is_publishing = False

    def before_publishing(self) -> None:
        """Let a caller decide while a flight writes."""
        flight = self.stepping
        if flight is None or flight.is_saver or self.is_publishing or self.is_deciding:
            return
        if self.preemptions.random() < self.world.config.preemption:
            self.is_publishing = True
            self.request()
            self.is_publishing = False

    def published(self, credential: Credential | None) -> None:
        """Judge what was published."""
        self.judge.published(self, credential)

    def landed(self, flight: Flight) -> None:
        """Draw requests anew, since what decides about them has changed."""
        if not flight.is_saver:
            self.next_arrival()
        if self.is_ending:
            self.end_if_idle()

    def spring_trap(self, flight: Flight, effect: Any) -> None:
        """Have the effect performed; the program may die or stop before, while or after."""
        trap = self.trap
        if trap is not None and not isinstance(effect, Landing):
            what, left, phase, length = trap
            if left > 0:
                self.trap = (what, left - 1, phase, length)
            else:
                self.trap = None
                happens: Callable[[], None] = self.kill if what == "kill" else lambda: self.stop(length, what)
                if phase == "before":
                    happens()
                    if not flight.is_dead:
                        self.world.after(0.0, self, flight.perform, effect)
                    return
                if phase == "after":
                    flight._dies_after = happens
                else:
                    config = self.world.config
                    trip = config.latency if isinstance(effect, Ask) else config.store_latency
                    self.world.after(trip * self.preemptions.random(), self, happens)
        if isinstance(effect, Unlock) and not flight.is_saver:
            often = self.world.config.preemption * (0.1 if flight.name == "_flush" else 1)
            if self.preemptions.random() < often:  # into the moment of the landing
                self.world.after(self.world.config.store_latency * self.preemptions.random(), self, self.request)
        flight.perform(effect)

    def kill(self) -> None:
        """End the program at once."""
        if not self.is_alive:
            return
        self.world.note(self, "is killed")
        self.judge.died(self)
        self._vanish()

    def _vanish(self) -> None:
        self.store.freed_by_death(self)
        self.graveyard.extend(self.flights)  # generators that are collected would be closed
        self.flights, self.idling = [], []
        self.is_alive = False
        self.epoch += 1
        self.stopped_until = 0.0
        self.world.after(self.arrivals.uniform(0.5, 60), self, self.begin)

    def stop(self, length: float, how: str = "stop") -> None:
        """Have the program stand still; `suspend` stops its monotonic clock, too."""
        if not self.is_alive:
            return
        self.world.note(self, f"stands still for {length:.1f} s ({how})")
        self.stopped_at = self.world.now
        self.stopped_until = self.world.now + length
        self.stopped_for += length
        self.judge.stopped(self, length)
        self.store.lost_by_standing_still(self)
        if how == "suspend":
            self.world.after(length, None, self._set_back, self.epoch, length)

    def _set_back(self, epoch: int, length: float) -> None:
        if epoch == self.epoch:
            self.monotonic_offset -= length

    def end(self) -> None:
        """End the program in order: no more requests; what's under way is finished, and what's unsaved is saved."""
        if not self.is_alive or self.is_ending:
            return
        self.world.note(self, "ends")
        self.is_ending = True
        for flight, serial in self.idling:
            self.world.after(0.0, self, flight.answer, serial, True, None)
        self.idling = []
        self.end_if_idle()

    def end_if_idle(self) -> None:
        """Be gone, once no flight is under way."""
        if not any(flight.is_under_way and flight._has_started for flight in self.flights):
            self._vanish()

    def log_out(self) -> None:
        """Call `revoke()`."""
        if self.is_alive and not self.is_ending:
            self.world.note(self, "logs out")
            self.judge.logs_out(self)
            LogOut(self).go()


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
        if step.patience is not None:
            self.worker.world.after(step.patience, self.worker, resume, None)
