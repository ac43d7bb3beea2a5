"""Requests under load while their tokens expire, are revoked, and can't be had: see what they notice of it.

Three clients (requests, httpx, async httpx) call an API through three phases. The token endpoint takes 200 ms for each
token, so a request that waits for one is distinguished from the others.

Run it: make demo
"""

import argparse
import asyncio
import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import requests
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

import oauth_auth.httpx
import oauth_auth.requests
from oauth_auth.testing import LocalProvider

TOKEN_DELAY = 0.2
DELAYED = 0.15
PAUSE = 0.02
WORKERS = 2
COUNTS = ("requests", "failed", "delayed", "token calls")


class Load:
    """Counts what three clients see, by phase."""

    def __init__(self, provider: LocalProvider) -> None:
        self.provider = provider
        self.counts: dict[str, Counter[str]] = {}
        self.phase = "start"
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def note(self, begun: float, status: int) -> None:
        with self._lock:
            counts = self.counts.setdefault(self.phase, Counter())
            counts["requests"] += 1
            counts["failed"] += status != 200
            counts["delayed"] += time.perf_counter() - begun > DELAYED

    def send(self, get: Callable[[str], int]) -> None:
        """Send one request after the other until the end."""
        while not self._stopped.wait(PAUSE):
            begun = time.perf_counter()
            try:
                status = get(self.provider.api_url)
            except Exception as error:  # noqa: BLE001 - each failed request counts, whatever made it fail
                print(error, file=sys.stderr)
                status = 0
            self.note(begun, status)

    async def send_async(self, client: httpx.AsyncClient) -> None:
        while not self._stopped.is_set():
            await asyncio.sleep(PAUSE)
            begun = time.perf_counter()
            try:
                status = (await client.get(self.provider.api_url)).status_code
            except Exception as error:  # noqa: BLE001
                print(error, file=sys.stderr)
                status = 0
            self.note(begun, status)

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """Run the three clients meanwhile."""
        credentials = (self.provider.token_url, self.provider.client_id, self.provider.client_secret)
        with_requests = requests.Session()
        with_requests.auth = oauth_auth.requests.ClientCredentialsAuth(*credentials)
        with_httpx = httpx.Client(auth=oauth_auth.httpx.ClientCredentialsAuth(*credentials))

        async def run_async() -> None:
            auth = oauth_auth.httpx.ClientCredentialsAuth(*credentials)
            async with httpx.AsyncClient(auth=auth) as client:
                await asyncio.gather(*(self.send_async(client) for _ in range(WORKERS)))

        works: list[Callable[[], object]] = [lambda: asyncio.run(run_async())]
        for _ in range(WORKERS):
            works.append(lambda: self.send(lambda url: with_requests.get(url, timeout=30).status_code))
            works.append(lambda: self.send(lambda url: with_httpx.get(url, timeout=30).status_code))
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()
            with_requests.close()
            with_httpx.close()


class Stage:
    """The phases, one after the other, with a display of how far they are."""

    def __init__(self, load: Load, progress: Progress, scale: float) -> None:
        self._load = load
        self._progress = progress
        self._scale = scale

    def run(self) -> None:
        provider = self._load.provider
        time.sleep(0.5)  # the first tokens are fetched before anything is counted
        with self._phase("tokens expire every 3 s", 8):
            self._wait(8)
        with self._phase("all tokens revoked twice", 4):
            # The new tokens live 12 s, the last 3.6 s of which are for getting the next.
            provider.token_lifetime = 12 * self._scale
            for _ in range(2):
                self._wait(1)
                provider.revoke_access_tokens()
                self._wait(1)
        with self._phase("token endpoint down for 2 s", 12):
            self._wait(7.4)
            provider.fail_token_requests(503, count=1_000_000)
            self._wait(2)
            provider.fail_token_requests(503, count=0)
            self._wait(2.6)

    @contextlib.contextmanager
    def _phase(self, name: str, seconds: float) -> Iterator[None]:
        self._load.phase = name
        before = len(self._load.provider.token_requests)
        self._task = self._progress.add_task(name, total=seconds, counts="")
        yield
        counts = self._load.counts.setdefault(name, Counter())
        counts["token calls"] = len(self._load.provider.token_requests) - before

    def _wait(self, seconds: float) -> None:
        steps = max(int(seconds * 10 * self._scale), 1)
        for _ in range(steps):
            time.sleep(seconds * self._scale / steps)
            counts = self._load.counts.get(self._load.phase, Counter())
            text = "  ".join(f"{counts[name]} {name}" for name in COUNTS[:3])
            self._progress.update(self._task, advance=seconds / steps, counts=text)


def main() -> int:
    parser = argparse.ArgumentParser(description="Requests under load while their tokens come and go.")
    parser.add_argument("--seconds", type=float, default=24, help="how long it takes in all (default: %(default)s)")
    scale = parser.parse_args().seconds / 24
    console = Console()
    columns = (
        TextColumn("{task.description:30}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}"),
    )
    with LocalProvider(token_delay=TOKEN_DELAY, token_lifetime=3 * scale) as provider:
        load = Load(provider)
        with load.under_way(), Progress(*columns, console=console) as progress:
            Stage(load, progress, scale).run()
    show(console, load)
    failed = sum(counts["failed"] for counts in load.counts.values())
    console.print("no request failed" if failed == 0 else f"{failed} requests failed")
    return failed > 0


def show(console: Console, load: Load) -> None:
    table = Table("phase", *COUNTS, title="requests, httpx and async httpx together")
    for column in table.columns[1:]:
        column.justify = "right"
    load.counts.pop("start", None)
    for phase, counts in load.counts.items():
        table.add_row(phase, *(str(counts[name]) for name in COUNTS))
    console.print(table)
    console.print(f"Delayed: longer than {DELAYED * 1000:.0f} ms. A revocation can't be foreseen: requests")
    console.print(f"that meet one wait for a token call, of {TOKEN_DELAY * 1000:.0f} ms here; others don't.")


if __name__ == "__main__":
    sys.exit(main())
