"""Threads or tasks share a login whose refresh token rotates, and whose access token has expired."""

from __future__ import annotations

import time
from typing import Any

from ._contender import Contender, expired
from ._load import Driver
from ._scenario import Column, Value

TITLE = "A rotating refresh token, shared by {count} threads or tasks"
TEXT = (
    "A person's access token has expired, and {count} threads or tasks send a request at once. Each refresh answers "
    "with a new refresh token; a spent one that comes again ends the login (RFC 9700), and the person must log in "
    "anew. The token endpoint takes 100 ms; {rounds} rounds, each with a new login."
)
COLUMNS = (
    Column("ended", "logins that ended, of {rounds}"),
    Column("failures", "failed requests, of {count}"),
    Column("calls", "token calls"),
    Column("works", "next request works", plotted=False),
)
HEADLINE = ("ended", "refresh token shared by threads or tasks: logins ended, of {rounds}")
PARAMETERS = {"count": 16, "rounds": 3}


def measure(contender: Contender, provider: Any, *, quick: bool) -> dict[str, Value]:
    rounds = 1 if quick else PARAMETERS["rounds"]
    provider.do(set={"rotate_refresh_tokens": True})
    ended = works = 0
    failures: list[float] = []
    calls: list[float] = []
    problems = ""
    for _ in range(rounds):
        provider.do(call="revoke_refresh_tokens")
        driver = _with_expired_token(contender, provider)
        provider.do(set={"token_lifetime": 3600, "token_delay": 0.1})
        before = provider.token_calls
        load = driver.burst(provider.api_url, PARAMETERS["count"])
        calls.append(provider.token_calls - before)
        ended += provider.families()[1] > 0
        failures.append(load.failures)
        works += driver.get(provider.api_url) is None
        problems = problems or load.problems
        driver.close()
    return {
        "ended": ended,
        "failures": failures,
        "calls": calls,
        "works": f"{works} of {rounds}",
        "problems": problems,
    }


def _with_expired_token(contender: Contender, provider: Any) -> Driver:
    if not contender.logs_in:
        kept = expired(provider.login(1))
        return Driver(contender.person(provider, kept), tasks=contender.tasks)
    provider.do(set={"token_lifetime": 1, "token_delay": 0})
    driver = Driver(contender.person(provider, {}), tasks=contender.tasks)
    problem = driver.get(provider.api_url)
    assert problem is None, problem
    time.sleep(1.2)
    return driver
