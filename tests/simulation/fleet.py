"""Measure what a fleet costs, in virtual time: python -m tests.simulation.fleet [--write FILE]."""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from benchmarks._page import table, write_part

from .histories import Run, quiet
from .world import BEGIN, Config, Fault

__all__ = ["WEATHERS", "Figures", "Weather", "measure"]

SIZES = (10, 100, 1_000, 10_000)
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
        faults = (Fault("down", LIFETIME - 200, length=240.0, mode="503"),)
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


def rows_of(figures: list[Figures]) -> list[list[str]]:
    """Return the table's rows."""
    return [
        [
            one.weather.title,
            f"{one.workers:,}",
            f"{one.calls_per_token:.2f}",
            f"{one.attempts:,}",
            f"{one.operations_per_life:.2f}",
            f"{one.polls / one.workers / max(one.tokens, 1):.2f}",
            f"{statistics.median(one.adopted):.0f} / {max(one.adopted):.0f}" if one.adopted else "–",
            f"{one.longest_wait:.2f}",
            f"{one.failed:,}",
        ]
        for one in figures
    ]


HEADINGS = [
    "weather",
    "programs",
    "token calls for each token",
    "attempts",
    "store operations per program and token",
    "lock polls per program and token",
    "s until all had it: median / most",
    "longest wait in s",
    "failed requests",
]


def part_of_page(figures: list[Figures]) -> str:
    """Return the part of the page about fleets."""
    seconds = sum(one.seconds for one in figures)
    intro = (
        "The library's own decisions, store procedure and token calls, run in virtual time by `make fleet` "
        f"(`python -m tests.simulation.fleet`, {seconds:.0f} s on one core): tokens of an hour, default windows, a "
        "rotating refresh token with reuse detection, a server that takes 50 ms and a store that takes 2 ms. Calm weather "
        "is 20 lifetimes with a request of each program every 10 s; a cold start begins with all programs within 10 ms "
        "and a request of each every 0.1 s. **The simulated store has latency but no queue:** a real one takes the polls "
        "for its lock one after the other. While the server is out, failed requests are those that had no token any more."
    )
    plot = "![What a fleet costs](performance/fleet.svg)"
    return "\n\n".join(["## Fleets", intro, plot, table(HEADINGS, rows_of(figures))])


def draw_plot(folder: Path, figures: list[Figures]) -> None:
    """Write the plot: how long it takes until all have a new token, and store operations, by the number of programs."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    calm = [one for one in figures if one.weather.name == "calm"]
    figure = Figure(figsize=(9.2, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [one.workers for one in calm]
    left.plot(sizes, [statistics.median(one.adopted) for one in calm], "o-", color="#1b6ca8", label="median")
    left.plot(sizes, [max(one.adopted) for one in calm], "o--", color="#9a9a9a", label="most")
    left.set(xscale="log", ylim=(0, None), xlabel="programs on one store", title="seconds until all have a new token")
    left.legend(frameon=False)
    right.plot(sizes, [one.operations_per_life for one in calm], "o-", color="#1b6ca8")
    right.set(xscale="log", ylim=(0, None), xlabel="programs on one store", title="store operations per program and token")
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "fleet", "svg.fonttype": "none"}):
        figure.savefig(folder / "fleet.svg", metadata={"Date": None}, facecolor="white")


def main() -> None:
    """Measure all sizes in all weathers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the Markdown page whose part about fleets to write, and its plot")
    arguments = parser.parse_args()
    figures = []
    for weather in WEATHERS.values():
        for size in SIZES:
            one = measure(size, weather, seed=Random("fleet").randrange(1000))
            figures.append(one)
            print(f"{one.seconds:6.2f} s", *rows_of([one])[0], *one.violations, sep="  ", flush=True)
    if arguments.write:
        write_part(arguments.write, "fleet", part_of_page(figures))
        draw_plot(arguments.write.parent / "performance", figures)


if __name__ == "__main__":
    main()
