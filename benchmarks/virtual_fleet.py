"""Measure what a fleet costs, in virtual time: python -m benchmarks.virtual_fleet [--write FILE]."""

from __future__ import annotations

import argparse
import itertools
import statistics
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.simulation.fleet import WEATHERS, Figures, measure

from ._page import table, write_part

SIZES = (10, 100, 1_000, 10_000)


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
            f"{statistics.median(one.adopted):.0f} / {max(one.adopted):.0f}" if one.adopted else "-",
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
        f"(`python -m benchmarks.virtual_fleet`, {seconds:.0f} s on one core): tokens of an hour, default windows, a "
        "rotating refresh token with reuse detection, a server that takes 50 ms and a store that takes 2 ms. Calm "
        "weather is 20 lifetimes with a request of each program every 10 s; a cold start begins with all programs "
        "within 10 ms and a request of each every 0.1 s. **The simulated store has latency but no queue:** a real one "
        "takes the polls for its lock one after the other. While the server is out, requests fail that have no token "
        "any more."
    )
    plot = "![What a fleet costs](performance/fleet.svg)"
    return "\n\n".join(["## Fleets", intro, plot, table(HEADINGS, rows_of(figures))])


def draw_plot(folder: Path, figures: list[Figures]) -> None:
    """Write the plot: how long it takes until all have a new token, and store operations, by the number of programs."""
    from matplotlib.figure import Figure  # what only measures needn't have it

    from benchmarks.peers._plots import save

    calm = [one for one in figures if one.weather.name == "calm"]
    figure = Figure(figsize=(9.2, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [one.workers for one in calm]
    left.plot(sizes, [statistics.median(one.adopted) for one in calm], "o-", color="#1b6ca8", label="median")
    left.plot(sizes, [max(one.adopted) for one in calm], "o--", color="#9a9a9a", label="most")
    left.set(xscale="log", ylim=(0, None), xlabel="programs on one store", title="seconds until all have a new token")
    left.legend(frameon=False)
    right.plot(sizes, [one.operations_per_life for one in calm], "o-", color="#1b6ca8")
    right.set(
        xscale="log", ylim=(0, None), xlabel="programs on one store", title="store operations per program and token"
    )
    save(figure, folder / "fleet.svg")


def main() -> None:
    """Measure all sizes in all weathers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the Markdown page whose part about fleets to write, and its plot")
    arguments = parser.parse_args()
    figures = []
    weathers, sizes = zip(*itertools.product(WEATHERS.values(), SIZES), strict=True)
    with ProcessPoolExecutor() as pool:
        for one in pool.map(partial(measure, seed=1), sizes, weathers):
            figures.append(one)
            print(f"{one.seconds:6.2f} s", *rows_of([one])[0], *one.violations, sep="  ", flush=True)
    if arguments.write:
        write_part(arguments.write, "fleet", part_of_page(figures))
        draw_plot(arguments.write.parent / "performance", figures)


if __name__ == "__main__":
    main()
