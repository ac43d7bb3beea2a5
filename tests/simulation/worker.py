"""A program of the fleet: it drives the shipped `TokenSource`, whose flights and waits the world answers."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from oauth_auth._clock import Now
from oauth_auth._renewal.decisions import RenewalSettings, State
from oauth_auth._renewal.effects import Unlock
from oauth_auth._renewal.slot import Landing, Slot
from oauth_auth._renewal.source import TokenSource
from oauth_auth._renewal.store_entry import StoreEntry
from oauth_auth._server.calls import Ask, EndpointCalls, Steps
from oauth_auth._server.client import Client
from oauth_auth._server.code_grant import AuthorizationCodeGrant
from oauth_auth._server.endpoints import Endpoints
from oauth_auth._server.grant import Grant
from oauth_auth._server.grants import ClientCredentialsGrant, PasswordGrant, RefreshTokenGrant, TokenCalls
from oauth_auth._server.operations import OAuthAuthorizationController
from oauth_auth._wire.token import Credential

from .caller import Caller, LogOut
from .demanding_caller import DemandingCaller
from .demands import AUTHORIZATION_URL, User, login_grant, resource_grant
from .flight import Flight
from .invariants import Judge
from .server import ASKED_SCOPE, REVOCATION_URL, TOKEN_URL, Server, Transport
from .store import Facade, Store
from .world import World

__all__ = ["LEEWAY", "TOKEN_TIMEOUT", "WINDOW", "Worker"]

LEEWAY, WINDOW, TOKEN_TIMEOUT = 10.0, 300.0, 10.0
SETTINGS = RenewalSettings(LEEWAY, WINDOW, TOKEN_TIMEOUT, None)
IN_TROUBLE_PAUSE = 4.0
"""A program whose requests fail sends them no more often than decisions change, in seconds."""


class Controller(OAuthAuthorizationController):
    """The shipped controller."""

    _transport_class = Transport


class Source(TokenSource):
    """The shipped source, watched: what it publishes and decides, and who comes in between."""

    __slots__ = ("worker",)

    worker: Worker

    def __init__(self, worker: Worker, **options: Any) -> None:
        self.worker = worker
        super().__init__(**options)
        self._slot.__class__ = _Slot

    @property
    def current(self) -> Credential | None:
        published: Credential | None = _CURRENT.__get__(self)
        return published

    @current.setter
    def current(self, credential: Credential | None) -> None:
        _CURRENT.__set__(self, credential)
        self.worker.published(credential)

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


_CURRENT: Any = TokenSource.__dict__["current"]


class _Slot(Slot):
    """The shipped slot of a source, with callers who come in before it has the new state."""

    __slots__ = ()

    def publish(self, state: State) -> None:
        reader = self.reader
        if isinstance(reader, Source):
            reader.worker.before_publishing()
        super().publish(state)


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
        self.transport = Transport()
        self.user = User(self)
        self.demanding: set[DemandingCaller] = set()
        """The callers that wait for a demand to be met."""
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
        self.demanding = set()
        self.entry = StoreEntry(Facade(), "key", clock=self.clock)
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
        calls = EndpointCalls(self.transport, TOKEN_TIMEOUT, clock=self.clock, chance=self.chance)
        if self.world.config.grant in {"resource", "service"}:
            return resource_grant(self, Controller)
        urls = {
            "token_url": TOKEN_URL,
            "authorization_url": AUTHORIZATION_URL,
            "revocation_url": REVOCATION_URL if self.world.config.seed % 2 else None,
        }
        endpoints = Endpoints(urls, None, calls, allow_insecure=False)
        controller = Controller._from_endpoints(endpoints)
        client = Client("client", "secret", None, endpoints)
        shared = TokenCalls(controller, endpoints, client, ASKED_SCOPE if self.world.config.scope else None, {})
        kind = self.world.config.grant
        if kind == "login":
            return login_grant(self, shared)
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
        is_complete = world.config.all_requests or world.config.paths
        if current is not None and not is_complete and not self.source.rejecting_origins:
            begin = max(begin, current.refresh_at - self.wall_offset)
        elif self.has_failed and not world.config.is_hasty:
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
            self.judge.arrives(self)
            self._caller().go()
            if not self.is_publishing:
                self.judge.departs(self)

    def _caller(self) -> Caller:
        if paths := self.world.config.paths:
            is_repeatable = self.world.config.grant == "login" or self.arrivals.random() < 0.85
            return DemandingCaller(self, self.arrivals.choice(paths), is_repeatable=is_repeatable)
        return Caller(self, "/" if self.path == "/" or self.arrivals.random() < 0.5 else self.path)

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
