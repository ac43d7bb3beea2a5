"""What one request's authorization costs when the token is valid.

It's measured as the processor time of the one thread that does it: other programs on the machine don't count.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from ._contender import Contender
from ._load import Driver
from ._ours import constant_header, open_plain
from ._scenario import Column, Value

TITLE = "A valid token: what one request costs"
TEXT = (
    "One `get` through the client with a transport that answers at once, against the same HTTP library's own client "
    "with an auth that only sets a constant header; {rounds} times in turn. All of `get` counts, since some "
    "libraries add the token in a session class of their own; processor time, not that of the clock."
)
COLUMNS = (
    Column("ratio", "× constant header, median (quartiles)", digits=2),
    Column("extra", "µs more, median (quartiles)", digits=1),
)
HEADLINE = ("ratio", "valid token: × constant header")
PARAMETERS = {"rounds": 800}
CALLS = 10


def measure(contender: Contender, provider: Any, *, quick: bool) -> dict[str, Value]:
    rounds = 20 if quick else PARAMETERS["rounds"]
    provider.do(set={"token_lifetime": 3600, "rotate_refresh_tokens": False})
    client = contender.service(provider)
    plain = open_plain(contender.http, constant_header(contender.http, "x" * 43), tasks=contender.tasks)
    driver = Driver(client, tasks=contender.tasks)
    problem = driver.get(provider.api_url)
    assert problem is None, problem
    for each in (client, plain):
        answer_at_once(each, contender)
    if contender.tasks:
        pairs = asyncio.run(_time_tasks(client, plain, provider.api_url, rounds))
    else:
        pairs = [
            (_time(client, provider.api_url), _time(plain, provider.api_url)) for _ in range(rounds + rounds // 10)
        ]
    pairs = pairs[rounds // 10 :]
    ratios = [mine / other for mine, other in pairs]
    extra = [(mine - other) / CALLS * 1e6 for mine, other in pairs]
    return {"ratio": statistics.quantiles(ratios, n=4), "extra": statistics.quantiles(extra, n=4)}


def answer_at_once(client: Any, contender: Contender) -> None:
    """Replace the client's transport."""
    if contender.http == "requests":
        client.mount("http://", _make_adapter())
    elif contender.http == "aiohttp":
        client.middlewares.append(_make_middleware())
    else:
        client._transport = _make_transport(contender.http)


def _time(client: Any, url: str) -> float:
    begun = time.thread_time()
    for _ in range(CALLS):
        client.get(url)
    return time.thread_time() - begun


async def _time_tasks(client: Any, plain: Any, url: str, rounds: int) -> list[tuple[float, float]]:
    async def run(client: Any) -> float:
        begun = time.thread_time()
        for _ in range(CALLS):
            await client.get(url)
        return time.thread_time() - begun

    return [(await run(client), await run(plain)) for _ in range(rounds + rounds // 10)]


def _make_adapter() -> Any:
    import requests

    class AtOnce(requests.adapters.BaseAdapter):
        def send(self, request: Any, *_: Any, **__: Any) -> Any:
            assert request.headers["Authorization"].startswith("Bearer ")
            response = requests.Response()
            response.status_code, response._content, response._content_consumed = 200, b"{}", True
            response.request, response.url = request, request.url
            return response

        def close(self) -> None:
            pass

    return AtOnce()


def _make_middleware() -> Any:
    class AtOnce:
        status, headers, cookies, connection = 200, {}, {}, None
        _raw_cookie_headers = _history = ()

        async def read(self) -> bytes:
            return b"{}"

        async def __aenter__(self) -> Any:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        def release(self) -> None:
            pass

        async def wait_for_close(self) -> None:
            pass

    async def answer(request: Any, handler: Any) -> Any:
        assert request.headers["Authorization"].startswith("Bearer ")
        return AtOnce()

    return answer


def _make_transport(http: str) -> Any:
    import importlib

    library = importlib.import_module(http)

    class AtOnce(library.BaseTransport, library.AsyncBaseTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            assert request.headers["Authorization"].startswith("Bearer ")
            return library.Response(200, content=b"{}")

        async def handle_async_request(self, request: Any) -> Any:
            return self.handle_request(request)

    return AtOnce()
