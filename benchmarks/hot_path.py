"""One request's auth with a valid token, against the plainest auth that the library can have: a constant header."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import httpx2
import niquests
import requests
import yarl

import oauth_auth.aiohttp
import oauth_auth.httpx
import oauth_auth.httpx2
import oauth_auth.niquests
import oauth_auth.requests
from oauth_auth import OAuthToken

from ._figures import Figure

ROUNDS = 2001
CALLS = 20
URL = "https://api.example.com/v1/things?page=2"
HEADERS = {
    "User-Agent": "benchmark/1.0",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}


class ConstantHeader:
    def __call__(self, request: Any) -> Any:
        request.headers["Authorization"] = "Bearer a-token-of-usual-length-0123456789abcdef"
        return request


def constant_flow(library: Any) -> Any:
    class ConstantFlow(library.Auth):  # type: ignore[misc]
        def auth_flow(self, request: Any) -> Any:
            request.headers["Authorization"] = "Bearer a-token-of-usual-length-0123456789abcdef"
            yield request

    return ConstantFlow()


def ours(plugin: Any) -> Any:
    token = OAuthToken(access_token="a-token-of-usual-length-0123456789abcdef", expires_in=3600)
    return plugin.ClientCredentialsAuth("https://auth.example.com/token", "client", "secret", token=token)


def time_requests(library: Any, auth: Any) -> Callable[[], float]:
    def run() -> float:
        # A request is prepared once; its hooks are emptied between calls, outside of what is timed.
        prepared = [library.Request("GET", URL, headers=HEADERS).prepare() for _ in range(CALLS)]
        begun = time.perf_counter()
        for request in prepared:
            auth(request)
        return time.perf_counter() - begun

    return run


def time_sync_flow(library: Any, auth: Any) -> Callable[[], float]:
    def run() -> float:
        pairs = make_pairs(library)
        begun = time.perf_counter()
        for request, response in pairs:
            flow = auth.sync_auth_flow(request)
            next(flow)
            try:
                flow.send(response)
            except StopIteration:
                pass
        return time.perf_counter() - begun

    return run


def time_async_flow(library: Any, auth: Any) -> Callable[[], float]:
    async def run_async() -> float:
        pairs = make_pairs(library)
        begun = time.perf_counter()
        for request, response in pairs:
            flow = auth.async_auth_flow(request)
            await flow.__anext__()
            try:
                await flow.asend(response)
            except StopAsyncIteration:
                pass
        return time.perf_counter() - begun

    return lambda: asyncio.run(run_async())


def make_pairs(library: Any) -> list[tuple[Any, Any]]:
    pairs = []
    for _ in range(CALLS):
        request = library.Request("GET", URL, headers=HEADERS)
        pairs.append((request, library.Response(200, request=request)))
    return pairs


async def constant_middleware(request: Any, handler: Any) -> Any:
    request.headers["Authorization"] = "Bearer a-token-of-usual-length-0123456789abcdef"
    return await handler(request)


class Answer:
    """As much of an answer as a session of aiohttp looks at."""

    status, headers, cookies, connection = 200, {}, {}, None
    _raw_cookie_headers = _history = ()


ANSWER = Answer()


async def answering(request: Any, handler: Any = None) -> Answer:
    return ANSWER


def time_middleware(middleware: Any) -> Callable[[], float]:
    """Time a middleware alone."""

    async def run_async() -> float:
        async with aiohttp.ClientSession() as session:
            loop = asyncio.get_running_loop()
            requests = [
                aiohttp.ClientRequest("GET", yarl.URL(URL), headers=HEADERS, loop=loop, session=session)
                for _ in range(CALLS)
            ]
            begun = time.perf_counter()
            for request in requests:
                await middleware(request, answering)
            return time.perf_counter() - begun

    return lambda: asyncio.run(run_async())


def time_aiohttp(middleware: Any) -> Callable[[], float]:
    """Time requests that a last middleware answers."""

    async def run_async() -> float:
        async with aiohttp.ClientSession(middlewares=[middleware, answering], headers=HEADERS) as session:
            for _ in range(CALLS):  # which fill the caches of URLs
                await session.get(URL)
            begun = time.perf_counter()
            for _ in range(CALLS):
                await session.get(URL)
            return time.perf_counter() - begun

    return lambda: asyncio.run(run_async())


def compare(ours: Callable[[], float], theirs: Callable[[], float]) -> tuple[float, float, float]:
    """Run both in turn; return the median of the ratios, and both medians in microseconds per call."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(ROUNDS)]
    ratio = statistics.median(mine / other for mine, other in pairs)
    mine, other = (statistics.median(column) / CALLS * 1e6 for column in zip(*pairs, strict=True))
    return ratio, mine, other


def run() -> list[Figure]:
    figures = []
    for library, plugin in ((requests, oauth_auth.requests), (niquests, oauth_auth.niquests)):
        ratio, mine, other = compare(time_requests(library, ours(plugin)), time_requests(library, ConstantHeader()))
        figures.append(
            Figure(
                f"{library.__name__}: one auth(prepared_request)",
                f"{ratio:.2f} × ({mine:.2f} µs to {other:.2f} µs)",
                "≤ 2.5 × a constant header",
                ratio <= 2.5,
            )
        )
    for library, plugin in ((httpx, oauth_auth.httpx), (httpx2, oauth_auth.httpx2)):
        for kind, timer in (("sync", time_sync_flow), ("async", time_async_flow)):
            ratio, mine, other = compare(timer(library, ours(plugin)), timer(library, constant_flow(library)))
            figures.append(
                Figure(
                    f"{library.__name__} {kind}: one flow",
                    f"{ratio:.2f} × ({mine:.2f} µs to {other:.2f} µs)",
                    "≤ 1.0 × a constant header",
                    ratio <= 1.0,
                )
            )
    for what, timer, most in (
        ("the middleware alone", time_middleware, 2.5),
        ("one request without a network", time_aiohttp, 1.05),
    ):
        ratio, mine, other = compare(timer(ours(oauth_auth.aiohttp)), timer(constant_middleware))
        figures.append(
            Figure(
                f"aiohttp: {what}",
                f"{ratio:.2f} × ({mine:.2f} µs to {other:.2f} µs)",
                f"≤ {most} × a constant header",
                ratio <= most,
            )
        )
    return figures
