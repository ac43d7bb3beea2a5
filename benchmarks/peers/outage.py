"""The token endpoint is down when the token comes due for renewal."""

from __future__ import annotations

from typing import Any

from ._contender import Contender
from ._load import RATE, WORKERS, Driver
from ._scenario import Column, Value

DUE, DOWN, UP, END = 2, 0.5, 3.5, 5.0
TITLE = "The token endpoint is down when renewal is due"
TEXT = (
    f"The token endpoint answers 503 for {UP - DOWN:.0f} s, in which the token comes due for renewal: by each "
    "library's own defaults, that is where its refresh window begins, or so long before expiry as a token counts as "
    "expired, or at expiry if there is neither (requests-oauthlib, mcp; for those two, the token really expires). An "
    "outage that is over by then touches none of them. "
    f"{RATE} requests a second for {END:.0f} s."
)
COLUMNS = (
    Column("failures", "failed requests"),
    Column("slowest", "slowest request in ms"),
    Column("calls", "token calls while it's down", plotted=False),
)
HEADLINE = ("failures", "outage: failed requests")
PARAMETERS: dict[str, Any] = {}


def measure(contender: Contender, provider: Any, *, quick: bool) -> dict[str, Value]:
    less = 2 if quick else 0  # seconds
    provider.do(set={"rotate_refresh_tokens": False})
    driver = Driver(contender.service_due_in(provider, 1 if quick else DUE), tasks=contender.tasks)
    driver.get(provider.api_url)
    driver.burst(provider.api_url, WORKERS)
    provider.do(set={"token_lifetime": 3600})
    calls: list[int] = []

    def go_down() -> None:
        provider.do(call="fail_token_requests", args=[503, 10**6])
        calls.append(provider.token_calls)

    def come_up() -> None:
        calls.append(provider.token_calls)
        provider.do(call="fail_token_requests", args=[503, 0])

    load = driver.steady(provider.api_url, RATE, END - less, [(DOWN, go_down), (UP - less, come_up)])
    driver.close()
    slowest = load.slowest() * 1e3
    return {"failures": load.failures, "slowest": slowest, "calls": calls[1] - calls[0], "problems": load.problems}
