"""Guarantee 17: what ships holds in thousands of histories of a fleet, whatever goes wrong in them."""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.simulation.fleet import WEATHERS, Weather, measure
from tests.simulation.histories import KINDS, Result, draw, run, shorten

HISTORIES = {
    **dict.fromkeys(KINDS, 2000),
    "mixed": 5000,
    "restored": 500,
    "standstill": 500,
    "stepping up": 200,
    "resource": 200,
    "crowd": 50,
    "hasty": 50,
}
"""How many histories of each kind there are; fewer of those that take long."""
PIECES = {"standstill": 200, "stepping up": 100, "resource": 100, "crowd": 25, "hasty": 50}
"""How many are one test, where it's not `PIECE`."""
PIECE = 250
NARROW = {(kind, 0) for kind in HISTORIES} | {("mixed", begin) for begin in range(0, 1500, PIECE)}
"""What `make test` runs: the first of each kind, and more of that in which all goes wrong at once."""


@pytest.fixture(autouse=True)
def untraced() -> Iterator[None]:
    """Measure no coverage here: histories would take three times as long, and what they run, unit tests cover."""
    trace = sys.gettrace()
    sys.settrace(None)
    yield
    sys.settrace(trace)


@functools.cache
def result_of(seed: int, kind: str) -> Result:
    """Return what comes of a history, which several tests look at: it's run once."""
    return run(draw(seed, kind))


def report(result: Result, kind: str) -> str:
    """Return what to look at: the seed, the shortest history that shows a fault, and its trace."""
    shortest = shorten(result.config)
    again = run(shortest, is_traced=True)
    lines = [
        f"draw({result.config.seed}, {kind!r}): {result.violations[0]}",
        f"shortest: {shortest}",
        *again.trace[-200:],
        *again.violations,
    ]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("kind", "begin"),
    [
        pytest.param(kind, begin, marks=() if (kind, begin) in NARROW else pytest.mark.beyond)
        for kind, number in HISTORIES.items()
        for begin in range(0, number, PIECES.get(kind, PIECE))
    ],
)
def test_no_invariant_breaks(kind: str, begin: int) -> None:
    """Each request that could go through does, no refresh token is sent twice, no login is lost but by an exception.

    A refresh asks for what was granted, a user logs in only as an API demands, the store is looked into once a second.
    """
    for seed in range(begin, begin + PIECES.get(kind, PIECE)):
        result = result_of(seed, kind)
        if result.violations:
            pytest.fail(report(result, kind), pytrace=False)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("killed", "killed"),
        ("stopped", "stopped"),
        ("answers", "answer lost"),
        ("store loses", "write lost"),
        ("store loses", "rewound"),
        ("store loses", "emptied"),
        ("store", "store out"),
        ("restored", "restored"),
    ],
)
def test_each_exception_is_one(kind: str, cause: str) -> None:
    """The ways in which a login may be lost do lose it now and then: none of the exceptions is idle."""
    assert any(cause in result_of(seed, kind).losses for seed in range(300))


@pytest.mark.parametrize("kind", ["stepping up", "resource"])
def test_what_an_api_demands_happens(kind: str) -> None:
    """Users log in, refuse to, and do so in vain: none of what is judged of demands is idle."""
    counts = sum((result_of(seed, kind).counts for seed in range(80)), Counter[str]())

    assert counts["logins"] > 0
    assert counts["failed: the user refused"] > 0
    assert counts["unmet: no login is enough"] > 0
    assert kind == "stepping up" or counts["unmet: it can't be sent again"] > 0


@pytest.mark.parametrize("kind", ["stepping up", "resource", "restored", "hasty", "mixed"])
def test_a_history_happens_again(kind: str) -> None:
    """The same seed is the same history."""
    first, second = (run(draw(3, kind), is_traced=True) for _ in range(2))

    assert first.events == second.events
    assert first.counts == second.counts


@pytest.mark.parametrize("kind", ["calm", "killed", "server", "revoked", "clocks"])
def test_most_kinds_of_faults_lose_nothing(kind: str) -> None:
    """Outages of the server, revocations, clocks that differ and deaths elsewhere cost no login."""
    losses = Counter(cause for seed in range(300) for cause in result_of(seed, kind).losses)

    assert {"killed": losses["killed"]} == {"killed": 0, **losses} or not losses


def test_requests_that_change_nothing_can_be_left_out() -> None:
    """Requests before the refresh window, simulated or not, make no difference to token calls, store and adoption."""
    figures = {}
    for is_complete in (False, True):
        runs = [
            measure(50, WEATHERS["calm"]._replace(lives=3, period=20.0), seed=seed, all_requests=is_complete)
            for seed in range(12)
        ]
        calls = sum(one.calls for one in runs)
        operations = sum(one.operations for one in runs)
        adopted = sum(sum(one.adopted) / len(one.adopted) for one in runs) / len(runs)
        figures[is_complete] = (calls, operations, adopted)

    (calls, operations, adopted), (all_calls, all_operations, all_adopted) = figures.values()
    assert calls == all_calls
    assert operations == pytest.approx(all_operations, rel=0.03)
    assert adopted == pytest.approx(all_adopted, rel=0.1)


@pytest.mark.parametrize("weather", WEATHERS.values(), ids=WEATHERS)
def test_a_hundred_programs(weather: Weather) -> None:
    """A hundred programs on one store cost one token call for each token, and nobody waits for long."""
    figures = measure(100, weather._replace(lives=3), seed=1)

    assert not figures.violations
    assert figures.calls_per_token <= 1.0 or weather.name == "outage"
    assert figures.longest_wait <= weather.longest_wait
