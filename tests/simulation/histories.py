"""Draws histories, runs them, and finds the shortest one that shows the same."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Any, NamedTuple

from oauth_auth._events import listeners
from oauth_auth._renewal.entry import Entry, identity, pack
from oauth_auth._wire.token import OAuthToken, digest

from .invariants import Judge
from .server import Server
from .store import Store
from .worker import Worker
from .world import BEGIN, Config, Fault, World

__all__ = ["KINDS", "Result", "Run", "draw", "quiet", "run", "shorten"]

SETTLED = 400.0
"""How long after the last fault every request must go through: the longest `Retry-After` counts 300 s."""

KINDS: Mapping[str, tuple[str, ...]] = {
    "calm": (),
    "killed": ("kill",),
    "stopped": ("stop", "suspend"),
    "ended": ("end",),
    "server": ("down",),
    "answers": ("lost",),
    "revoked": ("revoke",),
    "store": ("out",),
    "store loses": ("lost_write", "rewind", "empty"),
    "clocks": ("jump",),
    "api": ("forbid", "slow", "revoke"),
    "logout": ("logout",),
}
MIXED = sorted({kind for kinds in KINDS.values() for kind in kinds})


def draw(seed: int, kind: str) -> Config:
    """Return a history with faults of this kind, or of all kinds for `mixed`."""
    random = Random(f"{seed}-{kind}")
    if kind == "crowd":
        return _draw_crowd(random, seed)
    if kind == "standstill":
        return _draw_standstill(random, seed)
    if kind in {"stepping up", "resource"}:
        return _draw_demanding(random, seed, is_resource=kind == "resource")
    if kind == "restored":
        return _draw_restored(random, seed)
    if kind == "hasty":
        return _draw_hasty(random, seed)
    lifetime = random.choice([60.0, 600.0, 600.0, 3600.0])
    workers = random.choice([1, 2, 2, 3, 5])
    lives = random.choice([1.5, 2.5, 3.5])
    kinds = MIXED if kind == "mixed" else KINDS[kind]
    grant = random.choice(["refresh", "refresh", "refresh", "code", "password", "client"])
    if kind == "stopped":
        workers = random.choice([2, 3, 5])
    if kind == "logout":
        grant = random.choice(["refresh", "code"])
    faults = tuple(
        sorted(
            (
                _draw_fault(random, random.choice(kinds), workers, lifetime, lives)
                for _ in range(random.choice([1, 1, 2, 3]))
            ),
            key=lambda fault: fault.at,
        )
        if kinds
        else ()
    )
    return Config(
        seed=seed,
        workers=workers,
        lives=lives,
        lifetime=lifetime,
        period=random.choice([0.005, 0.02, 0.05, 0.1]) * lifetime,
        grant=grant,
        rotation=random.choice(["strict", "strict", "strict", "grace", "lenient", "none"]),
        scope=random.choice(["", "", "all", "told", "silent"]),
        lease=random.choice([0.0, 10.0]),
        latency=random.choice([0.05, 0.05, 0.3]),
        store_latency=random.choice([0.002, 0.02]),
        spread=random.choice([0.0, 1.0, lifetime / 2]),
        faults=faults,
    )


def _draw_crowd(random: Random, seed: int) -> Config:
    """Return a history of many programs, whose tokens expire while the server is out: what comes when it's back?"""
    lifetime = random.choice([60.0, 120.0])
    mode = random.choice(["503", "hang"])
    fault = Fault("down", lifetime * random.uniform(0.6, 0.8), length=random.choice([60.0, 90.0]), mode=mode)
    return Config(
        seed=seed,
        workers=random.choice([30, 60]),
        lives=2.5,
        lifetime=lifetime,
        period=random.choice([3.0, 6.0]),
        spread=5.0,
        store_latency=0.02,
        faults=(fault,),
    )


def _draw_standstill(random: Random, seed: int) -> Config:
    """Return a history in which the lock's holder stands still for longer than the others have a token."""
    fault = Fault("stop", 40.0, random.randrange(5), length=100.0, mode="after", number=random.randint(1, 2))
    return Config(seed=seed, workers=5, lifetime=60.0, period=random.choice([1.2, 3.0]), faults=(fault,))


def _draw_restored(random: Random, seed: int) -> Config:
    """Return a history whose store comes back with what another login has left, once: two tokens are remembered."""
    lifetime, workers, lives = random.choice([60.0, 600.0, 3600.0]), random.choice([1, 2, 2, 3, 5]), 2.5
    grant = random.choice(["refresh", "code", "password", "login"])
    faults = [_draw_fault(random, "restore", workers, lifetime, lives)]
    faults += [_draw_fault(random, "revoke", workers, lifetime, lives) for _ in range(random.choice([0, 0, 1]))]
    return Config(
        seed=seed,
        workers=workers,
        lives=lives,
        lifetime=lifetime,
        period=random.choice([0.005, 0.02, 0.05]) * lifetime,
        grant=grant,
        rotation=random.choice(["strict", "strict", "grace", "none"]),
        scope=random.choice(["", "told", "silent"]),
        lease=random.choice([0.0, 10.0]),
        store_latency=random.choice([0.002, 0.02]),
        spread=random.choice([0.0, 1.0, lifetime / 2]),
        paths=("/",) if grant == "login" else (),
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
    )


_OF_A_USER = (
    "refuse",
    "refuse",
    "refuse",
    "revoke",
    "end_login",
    "logout",
    "down",
    "rewind",
    "restore",
    "empty",
    "lost",
    "out",
)
"""Without those that would leave a logout half done."""


def _draw_demanding(random: Random, seed: int, *, is_resource: bool) -> Config:
    """Return a history whose API demands things; each history has a few of its paths."""
    lifetime, workers, lives = random.choice([60.0, 200.0, 600.0]), random.choice([1, 2, 2, 3]), 2.5
    grant = random.choice(["resource", "resource", "service"]) if is_resource else "login"
    paths = ["/", "/gold", "/fresh", "/never", *(["/open", "/open", "/write", "/admin"] if is_resource else [])]
    number = random.choice([0, 0, 1, 2])
    faults = [_draw_fault(random, random.choice(_OF_A_USER), workers, lifetime, lives) for _ in range(number)]
    # A login that's demanded doesn't wait for what `Retry-After` says; a resource's token is known by where it's from.
    faults = [fault._replace(number=0) if fault.kind == "down" else fault for fault in faults]
    if is_resource:
        faults = [fault._replace(mode="mark") if fault.kind == "restore" else fault for fault in faults]
    return Config(
        seed=seed,
        workers=workers,
        lives=lives,
        lifetime=lifetime,
        period=random.choice([3.0, 6.0, 12.0]),
        grant=grant,
        rotation=random.choice(["strict", "strict", "grace", "none"]),
        scope=random.choice(["all", "told", "silent"]),
        lease=random.choice([0.0, 10.0]),
        store_latency=random.choice([0.002, 0.02]),
        spread=random.choice([0.0, 1.0, lifetime / 2]),
        paths=tuple(sorted(random.sample(paths, random.randint(1, 3)))),
        consent=random.choice(["all", "all", "some"]),
        is_open=is_resource and random.random() < 0.3,
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
    )


def _draw_hasty(random: Random, seed: int) -> Config:
    """Return a history of programs with several requests a second, also when these fail: how often do they look?"""
    lifetime, workers = 60.0, random.choice([1, 2])
    kind = random.choice(["end_login", "end_login", "down", "out", "rewind", "revoke"])
    grant = random.choice(["refresh", "code", "code", "resource"])
    return Config(
        seed=seed,
        workers=workers,
        lives=2.0,
        lifetime=lifetime,
        period=random.choice([0.15, 0.3]),
        grant=grant,
        scope="all" if grant == "resource" else "",
        spread=1.0,
        paths=random.choice([("/open",), ("/open", "/open", "/")]) if grant == "resource" else (),
        is_hasty=True,
        faults=(_draw_fault(random, kind, workers, lifetime, 2.0),) if random.random() < 0.8 else (),
    )


def _draw_fault(  # noqa: PLR0911 - one for each kind
    random: Random, kind: str, workers: int, lifetime: float, lives: float
) -> Fault:
    """Return a fault, half of the time close to a renewal."""
    window = min(300.0, lifetime / 5)
    if random.random() < 0.5:
        life = random.randint(1, max(int(lives), 1))
        spread = random.uniform(0.0, 0.8) if kind == "revoke" else random.uniform(-0.3, 0.6)
        at = life * (lifetime - window * 0.8) + spread * window
    else:
        at = random.uniform(0, lives * lifetime)
    fault = Fault(kind, round(at, 1), random.randrange(workers))
    if kind == "kill":
        return fault._replace(mode=random.choice(["before", "while", "after"]), number=random.randint(0, 9))
    if kind in {"stop", "suspend"}:
        length = random.choice([1.0, 5.0, 12.0, 35.0, 100.0, lifetime])
        return fault._replace(
            mode=random.choice(["before", "while", "after"]), number=random.randint(0, 6), length=length
        )
    if kind == "down":
        length = random.choice([3.0, 20.0, window, 1.5 * window, min(lifetime, 300.0)])
        asked = random.choice([0, 0, 2, 30, 400])
        return fault._replace(mode=random.choice(["503", "503", "429", "hang"]), length=length, number=asked)
    if kind == "lost":
        return fault._replace(mode=random.choice(["reset", "silence"]), number=random.choice([1, 1, 2]))
    if kind == "out":
        length = random.choice([0.5, 3.0, window / 4, window * 1.2, 1.5 * window])
        mode = random.choice(["error", "error", "hang"])
        return fault._replace(mode=mode, length=length, number=random.choice([0, 1]))
    if kind in {"lost_write", "rewind"}:
        return fault._replace(number=random.choice([1, 1, 2]))
    if kind == "jump":
        return fault._replace(length=random.choice([-1, 1]) * random.choice([2.0, 20.0, 100.0, 600.0]))
    if kind in {"forbid", "slow", "refuse"}:
        return fault._replace(length=random.choice([30.0, 120.0, 200.0]))
    if kind == "restore":
        return fault._replace(mode=random.choice(["mark", "token", "ended token"]), number=random.choice([0, 1, 2]))
    return fault


class Result(NamedTuple):
    """What came of a history."""

    config: Config
    violations: list[str]
    counts: Counter[str]
    losses: frozenset[str]
    events: int
    trace: list[str]


class Run:
    """One history."""

    def __init__(self, config: Config, *, is_traced: bool = False) -> None:
        self.config = config
        self.world = World(config)
        if is_traced:
            self.world.trace = []
        self.judge = Judge(self.world)
        self.server = Server(self.world, self.judge)
        self.store = Store(self.world, self.judge)
        self.judge.server, self.judge.store = self.server, self.store
        self.workers = [
            Worker(self.world, self.server, self.store, self.judge, index) for index in range(config.workers)
        ]
        self.judge.workers = self.workers
        self._last_fault = BEGIN
        spread = Random(f"{config.seed}-spread")
        for worker in self.workers:
            self.world.after(spread.uniform(0, config.spread), worker, worker.begin)
        if config.grant == "code":
            self._store_first_token()
        for fault in config.faults:
            self.world.at(BEGIN + fault.at, None, self._strike, fault)
            self._last_fault = max(self._last_fault, BEGIN + fault.at + max(fault.length, 0.0))

    def _store_first_token(self) -> None:
        issue = self.server.first
        scope = None if self.config.scope == "silent" else issue.family.scope
        token = OAuthToken(
            access_token=issue.access,
            expires_in=self.config.lifetime,
            expiry=BEGIN + self.config.lifetime,
            refresh_token=issue.refresh,
            scope=scope,
        )
        issue.saved_at = BEGIN
        self.store.entry = pack(Entry(token), {})

    # -- Faults -------------------------------------------------------------------------------------------------

    def _strike(self, fault: Fault) -> None:
        self.world.note("fault", str(fault))
        self.judge.begun.add(fault.kind)
        if fault.kind == "out" and fault.number:  # when the next token has just been issued
            self.server.on_issue.append(lambda: self._STRIKES[fault.kind](self, fault))
            return
        self._STRIKES[fault.kind](self, fault)

    def _set_trap(self, fault: Fault) -> None:
        self.workers[fault.who].trap = (fault.kind, fault.number, fault.mode, fault.length)

    def _end(self, fault: Fault) -> None:
        self.workers[fault.who].end()

    def _down(self, fault: Fault) -> None:
        self.server.mode = fault.mode
        self.server.retry_after = 0.0 if fault.mode == "hang" else float(fault.number)
        self.judge.server_bad_until = float("inf")
        self.judge.failing_attempts = 0
        self.world.after(fault.length, None, self._up, fault)

    def _up(self, fault: Fault) -> None:
        self.server.mode = ""
        self.judge.server_bad_until = self.world.now
        self.judge.check_outage(fault.length)
        for worker in self.workers:  # whatever the library thinks of its own pauses
            begin = max(self.judge.asked_until, self.world.now) + 63.0
            self.world.at(begin + worker.arrivals.uniform(0, 30), worker, worker.request)

    def _lose(self, fault: Fault) -> None:
        self.server.lose, self.server.lose_mode = fault.number, fault.mode

    def _revoke(self, fault: Fault) -> None:
        self.server.revoke_access_tokens()
        self._redraw()

    def _redraw(self) -> None:
        for worker in self.workers:
            if worker.is_alive:
                self.world.after(worker.arrivals.expovariate(1 / self.config.period), worker, worker.request)

    def _out(self, fault: Fault) -> None:
        self.judge.begun.add("out")
        self.store.mode = fault.mode
        self.judge.store_bad_until = float("inf")
        self.judge.outages.append((self.world.now, self.world.now + fault.length))
        self.world.after(fault.length, None, self._in)

    def _in(self) -> None:
        self.judge.store_bad_until = self.world.now
        self.store.recover()

    def _lose_write(self, fault: Fault) -> None:
        self.store.lose = fault.number

    def _rewind(self, fault: Fault) -> None:
        self.store.rewind(fault.number)
        self.judge.went_back("rewound")

    def _empty(self, fault: Fault) -> None:
        self.store.empty()
        self.judge.went_back("emptied")

    def _restore(self, fault: Fault) -> None:
        """Have the store come back with a token of another login, one that has ended maybe, or with its mark."""
        issue = self.server.log_in_elsewhere()
        age = (-0.3, 0.0, 0.5)[fault.number] * self.config.lifetime  # how much earlier than others it expires
        lifetime = self.config.lifetime
        issue.at -= max(age, 0.0)
        token = OAuthToken(
            access_token=issue.access,
            expires_in=lifetime,
            expiry=issue.at + lifetime + min(age, 0.0),
            refresh_token=issue.refresh,
            scope=issue.family.scope if self.server.tells_scope else None,
        )
        if fault.mode == "mark":
            texts = [text for text in (issue.access, issue.refresh) if text is not None]
            ended = frozenset({identity(token), *map(digest, texts)})
            self.store.restore(Entry(None, logged_out=ended))
        else:
            if fault.mode == "ended token":
                self.server.end_family(issue.family)
            self.store.restore(Entry(token))
        self.judge.went_back("restored")

    def _end_login(self, fault: Fault) -> None:
        """End the newest login at the server, as an administrator does."""
        self.server.end_family(self.server.newest.family)
        self._redraw()

    def _refuse(self, fault: Fault) -> None:
        self.workers[fault.who].user.refuses_until = self.world.now + fault.length

    def _jump(self, fault: Fault) -> None:
        worker = self.workers[fault.who]
        worker.wall_offset += fault.length
        if worker.is_alive:
            worker.next_arrival()

    def _forbid(self, fault: Fault) -> None:
        worker = self.workers[fault.who]
        path = f"/forbidden/{fault.who}"
        self.server.forbidden.add(path)
        worker.path = path
        if worker.is_alive:
            worker.next_arrival()
        end = self.world.now + fault.length
        self.world.after(fault.length, None, self._permit, worker, path)
        while_forbidden = Random(f"{self.config.seed}-forbidden")
        at = self.world.now
        while at < end:
            at += while_forbidden.expovariate(1 / 3.0)
            self.world.at(at, worker, worker.request)

    def _permit(self, worker: Worker, path: str) -> None:
        worker.path = "/"

    def _slow(self, fault: Fault) -> None:
        self.server.api_delay = 5.0
        self.world.after(fault.length, None, self._quicken)
        self._redraw()

    def _quicken(self) -> None:
        self.server.api_delay = 0.0

    def _log_out(self, fault: Fault) -> None:
        worker = self.workers[fault.who]
        self.world.after(0.0, worker, worker.log_out)
        self._redraw()

    _STRIKES: Mapping[str, Any] = {
        "kill": _set_trap,
        "stop": _set_trap,
        "suspend": _set_trap,
        "end": _end,
        "down": _down,
        "lost": _lose,
        "revoke": _revoke,
        "out": _out,
        "lost_write": _lose_write,
        "rewind": _rewind,
        "empty": _empty,
        "restore": _restore,
        "end_login": _end_login,
        "refuse": _refuse,
        "jump": _jump,
        "forbid": _forbid,
        "slow": _slow,
        "logout": _log_out,
    }

    # -- From the beginning to the end --------------------------------------------------------------------------

    def run(self) -> Result:
        """Let it happen; afterwards a request of each worker goes through, if anything could help."""
        config, world, judge = self.config, self.world, self.judge
        with quiet(judge):
            world.run(max(BEGIN + config.lives * config.lifetime, self._last_fault + SETTLED))
            world.run(max(worker.stopped_until for worker in self.workers) + SETTLED)
            if not world.is_over:
                judge.is_final = True
                self.server.lose = self.store.lose = 0
                self.server.on_issue.clear()
                for worker in self.workers:
                    worker.trap = None
                    world.after(0.0, worker, worker.request)
                world.run(world.now + 60.0)
                if not world.is_over:
                    judge.check_end()
        counts = judge.counts + Counter({f"store {name}": number for name, number in self.store.counts.items()})
        losses = frozenset(judge.losses)
        return Result(config, judge.violations, counts, losses, world.events, world.trace or [])


@contextlib.contextmanager
def quiet(judge: Judge) -> Iterator[None]:
    """Keep the library from logging, which takes time; an error that it didn't expect ends the history."""
    logger = logging.getLogger("oauth_auth")
    was_disabled, logger.disabled = logger.disabled, True

    def listen(event: str, fields: Mapping[str, object]) -> None:
        if event == "crashed":
            judge.violation(f"crashed: {fields['error']}")

    listeners.append(listen)
    is_collecting = gc.isenabled()
    gc.disable()  # it would look through all programs again and again
    try:
        yield
    finally:
        if is_collecting:
            gc.enable()
        listeners.remove(listen)
        logger.disabled = was_disabled


def run(config: Config, *, is_traced: bool = False) -> Result:
    """Run one history."""
    return Run(config, is_traced=is_traced).run()


def _kind_of(result: Result) -> str:
    """Return what a violation says, without its numbers and names."""
    text = result.violations[0].partition(" s: ")[2] if result.violations else ""
    return "".join(char for char in text if not char.isdigit())


def shorten(config: Config) -> Config:
    """Return the shortest history that dropping faults and workers, and plain values, find: it fails, too."""
    found = True
    while found:
        found = False
        for simpler in _simpler(config):
            if run(simpler).violations:
                config, found = simpler, True
                break
    return config


def _simpler(config: Config) -> Iterable[Config]:
    for index in range(len(config.faults)):
        yield config._replace(faults=config.faults[:index] + config.faults[index + 1 :])
    if config.workers > 1:
        most = max((fault.who for fault in config.faults), default=0)
        if most < config.workers - 1:
            yield config._replace(workers=config.workers - 1)
    plain = Config(config.seed)
    for name in ("lives", "scope", "lease", "latency", "store_latency", "preemption", "spread", "rotation", "lifetime"):
        value = 0.0 if name in {"preemption", "spread"} else getattr(plain, name)
        if getattr(config, name) != value:
            plainer: dict[str, Any] = {name: value}
            yield config._replace(**plainer)
    for index, fault in enumerate(config.faults):
        for name, value in (("length", 0.0), ("number", 0), ("mode", "before"), ("who", 0)):
            if getattr(fault, name) not in {value, ""} and (name != "mode" or fault.kind in {"kill", "stop"}):
                plainer = {name: value}
                simpler = fault._replace(**plainer)
                yield config._replace(faults=(*config.faults[:index], simpler, *config.faults[index + 1 :]))
