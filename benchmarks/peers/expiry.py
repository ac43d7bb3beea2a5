"""Tokens that live for two seconds, under a steady load."""

from __future__ import annotations

from typing import Any

from ._contender import Contender
from ._load import RATE, WORKERS, Driver
from ._scenario import Column, Value

LIFE = 2
WAITED = 0.05
TITLE = "Tokens expire under load"
TEXT = (
    f"Tokens live {LIFE} s, the token endpoint takes 100 ms, {RATE} requests a second for {{seconds}} s. Where a "
    "library lets its users say how early a token counts as expired, that's 0.2 s here: the defaults, 20 to 60 s, "
    "would mean a token call for each request. oauth_auth keeps its defaults, which fit themselves to the life. A "
    f"request counts as having waited when it took more than {WAITED * 1e3:.0f} ms. With one token call for each "
    "life and none early, {seconds} s take {lives} calls."
)
COLUMNS = (
    Column("failures", "failed requests"),
    Column("waited", "requests that waited"),
    Column("p99", f"p99 in ms, by each {LIFE} s", digits=1),
    Column("calls", "token calls"),
)
HEADLINE = ("failures", "expiry: failed requests")
PARAMETERS = {"seconds": 6, "lives": 6 // LIFE}


def measure(contender: Contender, provider: Any, *, quick: bool) -> dict[str, Value]:
    seconds = 3 if quick else PARAMETERS["seconds"]
    provider.do(set={"token_lifetime": LIFE, "rotate_refresh_tokens": False, "token_delay": 0.1})
    driver = Driver(contender.service(provider, early=0.2), tasks=contender.tasks)
    driver.get(provider.api_url)
    driver.burst(provider.api_url, WORKERS)
    before = provider.token_calls
    load = driver.steady(provider.api_url, RATE, seconds)
    calls = provider.token_calls - before
    driver.close()
    pieces = [
        sorted(answer.latency for answer in load.answers if start <= answer.due < start + LIFE)
        for start in range(0, seconds, LIFE)
    ]
    return {
        "failures": load.failures,
        "waited": sum(answer.latency > WAITED for answer in load.answers),
        "p99": [piece[int(len(piece) * 0.99)] * 1e3 for piece in pieces],
        "calls": calls,
        "problems": load.problems,
    }
