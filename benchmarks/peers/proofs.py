"""Tokens that are bound to a key, at two APIs that each have nonces of their own (DPoP, RFC 9449)."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ._bound_server import BODY_LIMIT
from ._contender import Contender
from ._load import RATE, WORKERS, Driver, Load, told
from ._scenario import Column, Value

SERVER = "benchmarks.peers._bound_server"
LIFE, SECONDS = 2, 4
AFTER = 20
SIZE = 300_000
BODY_OPTION = {"requests": "data", "httpx": "content", "aiohttp": "data"}
TITLE = "Tokens bound to a key (DPoP), two APIs with nonces"
TEXT = (
    "An authorization server and two APIs, written for this scenario, take bound tokens only. Each checks all of a "
    "proof with joserfc, believes none twice, and wants the latest nonce of its own, which it sends with the challenge "
    "`use_dpop_nonce` and with nothing else. Each column has new clients, one auth object for both APIs:\n\n"
    "- *requests for {calls} calls*: those that reached the APIs, refused ones included; to the two in turns, and to "
    "one alone. With one challenge for each API it's 102 and 101.\n"
    f"- *uploads*: `POST` of {SIZE // 1000} kB, from an open file or from a generator, {{uploads}} times each, just "
    "after the API's nonce has changed. One has failed if the whole body, by its SHA-256, wasn't accepted; it's *lost* "
    "if the caller has got a 200 all the same, for an empty or short one. A generator can't be read twice: a client "
    "that doesn't keep all of it in memory can only fail, and say so. A body that doesn't go on is answered with 408 "
    f"after {BODY_LIMIT} s; other servers may wait for a minute.\n"
    f"- *expiry*: tokens live {LIFE} s, {RATE} requests a second for {{seconds}} s, to one API whose nonce stays. How "
    "early a token counts as expired is as in «Tokens expire under load». This one depends on how busy the machine "
    "is: how many threads have a new token at once.\n"
    f"- *revoked*: all tokens are revoked once, and {AFTER} calls follow, one after the other.\n"
    "- *{threads} at a new nonce*: a client at work, and the API's nonce changes; {threads} threads or tasks then ask "
    "at once, and the API takes 50 ms for each answer, so that they're challenged together; {rounds} rounds.\n\n"
    "With requests_oauth2client an auth object for each API would have one challenge for each, too. By design it makes "
    "no token call for a 401; but what its caller gets for a revoked token isn't the 401: it's an exception that is "
    "about nonces. The async client of httpx takes no body from a file, and has no row."
)
COLUMNS = (
    Column("two", "requests for {calls} calls to two APIs in turns"),
    Column("one", "requests for {calls} calls to one", plotted=False),
    Column("file", "uploads of a file that failed, of {uploads}"),
    Column("generator", "uploads of a generator that failed, of {uploads}"),
    Column("lost", "lost, of both"),
    Column("expiry", "expiry: failed requests", plotted=False),
    Column("revoked", f"revoked: failed requests, of {AFTER}", plotted=False),
    Column("at_once", "{threads} at a new nonce: failed"),
    Column("at_once_requests", "their requests", plotted=False),
)
HEADLINE = ("two", "DPoP: requests for {calls} calls to two APIs")
PARAMETERS = {"calls": 100, "uploads": 10, "seconds": SECONDS, "threads": 16, "rounds": 5}


def measure(contender: Contender, provider: Any, *, quick: bool) -> dict[str, Value]:
    uploads, rounds = (2, 1) if quick else (PARAMETERS["uploads"], PARAMETERS["rounds"])
    bench = _Bench(contender, provider)
    files, generators = bench.upload(uploads, from_file=True), bench.upload(uploads, from_file=False)
    at_once = [bench.meet_new_nonce_at_once() for _ in range(rounds)]
    return {
        "two": bench.count_requests(provider.api_urls),
        "one": bench.count_requests(provider.api_urls[:1]),
        "file": files[0],
        "generator": generators[0],
        "lost": files[1] + generators[1],
        "expiry": bench.let_tokens_expire(LIFE + 1 if quick else SECONDS),
        "revoked": bench.revoke(),
        "at_once": [failures for failures, _ in at_once],
        "at_once_requests": [requests for _, requests in at_once],
        "problems": told(bench.problems),
    }


class _Bench:
    """What's measured, each with a client of its own. `problems` are those of all."""

    def __init__(self, contender: Contender, provider: Any) -> None:
        self._contender, self._provider = contender, provider
        self._url = provider.api_urls[0]
        self.problems: Counter[str] = Counter()

    def count_requests(self, urls: list[str]) -> int:
        """Return how many requests reach the APIs for calls to these in turns."""
        with self._client() as driver:
            self._provider.do(call="count_api_requests")
            for number in range(PARAMETERS["calls"]):
                self._get(driver, urls[number % len(urls)])
            return int(self._provider.do(call="count_api_requests"))

    def upload(self, times: int, *, from_file: bool) -> tuple[int, int]:
        """Return how many uploads failed, and how many of them were lost: the caller has got a 200."""
        failed = lost = 0
        with self._client() as driver, tempfile.TemporaryDirectory() as folder:
            for number in range(times):
                content = f"{number:10}".encode() * (SIZE // 10)
                path = Path(folder) / f"{number}"
                path.write_bytes(content)
                self._get(driver, self._url)
                self._provider.do(call="turn_nonces")
                self._provider.do(call="take_accepted")
                problem = self._post(driver, path, from_file=from_file)
                if hashlib.sha256(content).hexdigest() not in self._provider.do(call="take_accepted"):
                    failed += 1
                    lost += problem is None
        return failed, lost

    def let_tokens_expire(self, seconds: int) -> int:
        self._provider.do(set={"token_lifetime": LIFE})
        with self._client(early=0.2) as driver:
            driver.send(lambda client: client.get(self._url))
            driver.burst(self._url, WORKERS)
            load = self._noted(driver.steady(self._url, RATE, seconds))
        self._provider.do(set={"token_lifetime": 3600})
        return load.failures

    def revoke(self) -> int:
        with self._client() as driver:
            self._get(driver, self._url)
            self._provider.do(call="revoke_access_tokens")
            return sum(self._get(driver, self._url) is not None for _ in range(AFTER))

    def meet_new_nonce_at_once(self) -> tuple[int, int]:
        """Return how many failed, and how many requests reached the API."""
        with self._client() as driver:
            self._get(driver, self._url)
            self._provider.do(set={"api_delay": 0.05})
            driver.burst(self._url, PARAMETERS["threads"])
            self._provider.do(call="turn_nonces")
            self._provider.do(call="count_api_requests")
            load = self._noted(driver.burst(self._url, PARAMETERS["threads"]))
            self._provider.do(set={"api_delay": 0})
            return load.failures, int(self._provider.do(call="count_api_requests"))

    @contextmanager
    def _client(self, early: float | None = None) -> Iterator[Driver]:
        client = self._contender.bound(self._provider, early)
        with closing(Driver(client, tasks=self._contender.tasks)) as driver:
            yield driver

    def _get(self, driver: Driver, url: str) -> str | None:
        return self._note(driver.send(lambda client: client.get(url)))

    def _post(self, driver: Driver, path: Path, *, from_file: bool) -> str | None:
        option = BODY_OPTION[self._contender.http]
        with path.open("rb") as file:
            body: Any = file
            if not from_file:
                body = _read_by_tasks(path) if self._contender.tasks else _read(path)
            return self._note(driver.send(lambda client: client.post(self._url, **{option: body})))

    def _note(self, problem: str | None) -> str | None:
        if problem:
            self.problems[problem] += 1
        return problem

    def _noted(self, load: Load) -> Load:
        self.problems += load.counts
        return load


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(65536):
            yield chunk


async def _read_by_tasks(path: Path) -> AsyncIterator[bytes]:
    for chunk in _read(path):
        yield chunk
        await asyncio.sleep(0)
