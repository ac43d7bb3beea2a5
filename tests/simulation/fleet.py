"""What a fleet costs, in virtual time; `benchmarks.virtual_fleet` writes it down."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from .histories import Run, quiet
from .world import BEGIN, Config, Fault

__all__ = ["WEATHERS", "Figures", "Weather", "measure"]

LIFETIME = 3600.0


class Weather(NamedTuple):
    """What happens to a fleet, and how long a request may wait at most in it; times in seconds."""

    name: str
    title: str
    lives: int
    period: float
    spread: float
    longest_wait: float
    fault: str = ""


WEATHERS = {
    weather.name: weather
    for weather in (
        Weather("calm", "calm", 20, 10.0, 60.0, 1.0),
        Weather("cold start", "cold start under load", 2, 0.1, 0.01, 2.0),
        Weather("revoked", "everything revoked", 2, 10.0, 60.0, 2.0, "revoke"),
        Weather("outage", "the server is out across expiry", 2, 10.0, 60.0, 16.0, "down"),
    )
}


class Figures(NamedTuple):
    """What came of it; `adopted` is how long it took until all had each new token, in seconds."""

    workers: int
    weather: Weather
    calls: int
    tokens: int
    attempts: int
    operations: int
    polls: int
    lives: float
    adopted: list[float]
    longest_wait: float
    failed: int
    seconds: float
    violations: list[str]

    @property
    def calls_per_token(self) -> float:
        """Token calls for each token that requests were sent with."""
        return self.calls / max(self.tokens, 1)

    @property
    def operations_per_life(self) -> float:
        """Store operations for each worker and token."""
        return self.operations / self.workers / max(self.tokens, 1)


class FleetRun(Run):
    """A history of a whole fleet that starts with nothing in the store, and notes who has adopted what."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.holders: dict[str, int] = {}
        judge = self.judge
        published = judge.published

        def note(worker: Any, credential: Any) -> None:
            is_new = credential is not None and (
                not worker.published_headers or worker.published_headers[-1] != credential.header
            )
            published(worker, credential)
            if is_new:
                del worker.published_headers[:-3]
                now = self.world.now
                self.first.setdefault(credential.header, now)
                self.last[credential.header] = now
                self.holders[credential.header] = self.holders.get(credential.header, 0) + 1

        judge.published = note  # type: ignore[method-assign]


def measure(workers: int, weather: Weather, *, seed: int = 0, all_requests: bool = False) -> Figures:
    """Run one fleet."""
    faults: tuple[Fault, ...] = ()
    if weather.fault == "revoke":
        faults = (Fault("revoke", LIFETIME * 0.6),)
    elif weather.fault == "down":
        faults = (Fault("down", LIFETIME - 360, length=390.0, mode="503"),)
    config = Config(
        seed=seed,
        workers=workers,
        lives=weather.lives,
        lifetime=LIFETIME,
        period=weather.period,
        spread=weather.spread,
        preemption=0.0,
        all_requests=all_requests,
        faults=faults,
    )
    begun = time.process_time()
    fleet = FleetRun(config)
    with quiet(fleet.judge):
        fleet.world.run(BEGIN + config.lives * config.lifetime)
    judge, counts = fleet.judge, fleet.store.counts
    complete = [header for header, number in fleet.holders.items() if number >= workers]
    operations = sum(number for name, number in counts.items() if name != "poll")
    return Figures(
        workers=workers,
        weather=weather,
        calls=judge.calls,
        tokens=len(fleet.first),
        attempts=judge.counts["attempts"],
        operations=operations,
        polls=counts["poll"],
        lives=config.lives,
        adopted=[fleet.last[header] - fleet.first[header] for header in complete[1:] or complete],
        longest_wait=judge.longest_wait,
        failed=sum(number for name, number in judge.counts.items() if name.startswith("failed")),
        seconds=time.process_time() - begun,
        violations=judge.violations,
    )
