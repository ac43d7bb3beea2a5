"""All access tokens are revoked once a second, under a steady load."""

from __future__ import annotations

from typing import Any

from ._contender import Contender
from ._load import RATE, WORKERS, Driver
from ._scenario import Column, Value

TITLE = "Access tokens are revoked under load"
TEXT = (
    f"All access tokens are revoked once a second, {{times}} times; the token endpoint takes 50 ms, {RATE} requests "
    "a second. Libraries that do nothing about a 401 aren't run: all their requests would fail until the token expires."
)
COLUMNS = (
    Column("failures", "failed requests"),
    Column("calls", "token calls for {times} revocations"),
    Column("slowest", "slowest request in ms"),
)
HEADLINE = ("failures", "revocation: failed requests")
PARAMETERS = {"times": 5}


def measure(contender: Contender, provider: Any, *, quick: bool) -> dict[str, Value]:
    times = 2 if quick else PARAMETERS["times"]
    provider.do(set={"token_lifetime": 3600, "rotate_refresh_tokens": False, "token_delay": 0.05})
    driver = Driver(contender.service(provider), tasks=contender.tasks)
    driver.get(provider.api_url)
    driver.burst(provider.api_url, WORKERS)
    before = provider.token_calls
    at = [(second - 0.5, lambda: provider.do(call="revoke_access_tokens")) for second in range(1, times + 1)]
    load = driver.steady(provider.api_url, RATE, times + 0.5, at)
    calls = provider.token_calls - before
    driver.close()
    slowest = load.slowest() * 1e3
    return {"failures": load.failures, "calls": calls, "slowest": slowest, "problems": load.problems}
