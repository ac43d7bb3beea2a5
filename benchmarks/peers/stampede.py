"""Many ask at once, and there is no usable token."""

from __future__ import annotations

from typing import Any

from ._contender import Contender
from ._load import Driver
from ._scenario import Column, Value

TITLE = "No token yet, and {count} ask at once"
TEXT = (
    "{count} threads or tasks send a request at once through one new client; the token endpoint takes 200 ms. "
    "One token call would do; {rounds} rounds."
)
COLUMNS = (
    Column("failures", "failed requests"),
    Column("calls", "token calls"),
    Column("ms", "ms until all were answered"),
)
HEADLINE = ("calls", "cold: token calls")
PARAMETERS = {"count": 32, "rounds": 3}


def measure(contender: Contender, provider: Any, *, quick: bool) -> dict[str, Value]:
    provider.do(set={"token_lifetime": 3600, "rotate_refresh_tokens": False, "token_delay": 0.2})
    failures: list[float] = []
    calls: list[float] = []
    ms: list[float] = []
    problems = ""
    for _ in range(1 if quick else PARAMETERS["rounds"]):
        driver = Driver(contender.service(provider), tasks=contender.tasks)
        before = provider.token_calls
        load = driver.burst(provider.api_url, PARAMETERS["count"])
        calls.append(provider.token_calls - before)
        failures.append(load.failures)
        ms.append(load.seconds * 1e3)
        problems = problems or load.problems
        driver.close()
    return {"failures": failures, "calls": calls, "ms": ms, "problems": problems}
