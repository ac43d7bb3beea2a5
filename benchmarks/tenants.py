"""Many objects in one event loop: a thousand tenants get their first token at once, from an endpoint that takes 500 ms.

Compared with plain async httpx making the same calls, in each of the two ways that a program would be written: one
client for all, and one for each tenant, with one TLS context between them. Each run is a process of its own, and so is
the server.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import Any, NamedTuple

from ._figures import Figure

TENANTS = 1000
TIMEOUT = 30
"""Seconds for an attempt: where a machine does much else, it must not end what is measured."""
DELAY = 0.5
ROUNDS = 7
PLAIN = ("a client each", "one client")
OURS = "auth objects"
SECRET = "secret"
MODULE = "benchmarks.tenants"  # `__name__` is "__main__" in a process of its own


class Run(NamedTuple):
    """What one process measured: seconds in all, the longest time that the loop stood still, the most threads."""

    seconds: float
    block: float
    threads: int


async def measure(work: Callable[[], Awaitable[Any]]) -> Run:
    """Do the work in this loop, beside a task that should run each millisecond, and a thread that counts threads."""
    block, most, is_over = 0.0, 0, threading.Event()

    async def look() -> None:
        nonlocal block
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            block = max(block, time.perf_counter() - begun - 0.001)

    def count() -> None:
        nonlocal most
        while not is_over.wait(0.005):
            most = max(most, threading.active_count() - 1)

    counting = threading.Thread(target=count)
    counting.start()
    looking = asyncio.create_task(look())
    await asyncio.sleep(0.02)
    begun = time.perf_counter()
    try:
        await work()
        seconds = time.perf_counter() - begun
        await asyncio.sleep(0.005)
    finally:
        looking.cancel()
        is_over.set()
        counting.join()
    return Run(seconds, block, most)


async def plain_calls(url: str, *, shared: bool) -> Run:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    tls = httpx.create_ssl_context()
    clients = [httpx.AsyncClient(verify=tls, limits=limits, timeout=TIMEOUT) for _ in range(1 if shared else TENANTS)]

    async def call(client: Any, number: int) -> str:
        response = await client.post(url, auth=(f"tenant-{number}", SECRET), data={"grant_type": "client_credentials"})
        return str(response.raise_for_status().json()["access_token"])

    async def work() -> None:
        tokens = await asyncio.gather(*map(call, itertools.cycle(clients), range(TENANTS)))
        assert len(set(tokens)) == TENANTS

    run = await measure(work)
    for client in clients:
        await client.aclose()
    return run


async def our_calls(url: str) -> Run:
    import httpx

    import oauth_auth.httpx

    client = httpx.AsyncClient()  # what the program has for its API: making it loads what httpx loads late
    auths = [
        oauth_auth.httpx.ClientCredentialsAuth(url, f"tenant-{number}", SECRET, token_timeout=2 * TIMEOUT)
        for number in range(TENANTS)
    ]

    async def work() -> None:
        tokens = await asyncio.gather(*(auth.aget_token() for auth in auths))
        assert len({token.access_token for token in tokens}) == TENANTS

    run = await measure(work)
    await client.aclose()
    return run


async def serve() -> None:
    """Answer each token request after a while: as little work as can be, since it shares the cores."""
    numbers = itertools.count()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.partition(b":")[2]))
                await asyncio.sleep(DELAY)
                body = b'{"access_token": "token-%d", "token_type": "Bearer", "expires_in": 3600}' % next(numbers)
                fields = b"Content-Type: application/json\r\nContent-Length: %d" % len(body)
                writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (fields, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2 * TENANTS)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def remote_server() -> Any:
    command = [sys.executable, "-m", MODULE, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/token"
        finally:
            process.stdin.close()
            process.wait(10)


def run_apart(what: str, url: str) -> Run:
    finished = subprocess.run([sys.executable, "-m", MODULE, what, url], capture_output=True, text=True, check=True)
    return Run(*json.loads(finished.stdout))


def measure_rounds(rounds: int) -> dict[str, list[Run]]:
    """Run in turn, so that what else the machine does meets each way; one client for all is far slower, so once."""
    runs: dict[str, list[Run]] = {name: [] for name in (*PLAIN, OURS)}
    with remote_server() as url:
        runs[PLAIN[1]].append(run_apart(PLAIN[1], url))
        for _ in range(rounds):
            for name in (PLAIN[0], OURS):
                runs[name].append(run_apart(name, url))
    return runs


def medians(runs: list[Run]) -> Run:
    seconds, blocks, threads = zip(*runs, strict=True)
    return Run(statistics.median(seconds), statistics.median(blocks), max(threads))


def run() -> list[Figure]:
    runs = measure_rounds(ROUNDS)
    shared = medians(runs[PLAIN[1]])
    pairs = list(zip(runs[OURS], runs[PLAIN[0]], strict=True))
    slower = statistics.median(ours.seconds / plain.seconds for ours, plain in pairs)
    longer = statistics.median(ours.block / plain.block for ours, plain in pairs)
    ours, plain = medians(runs[OURS]), medians(runs[PLAIN[0]])
    return [
        Figure(
            f"{TENANTS:,} objects get their first token in one event loop, token call 500 ms (httpx)",
            f"{ours.seconds:.2f} s = {slower:.2f} × plain async httpx ({plain.seconds:.2f} s with {PLAIN[0]}, "
            f"{shared.seconds:.0f} s with {PLAIN[1]}); loop blocked for {ours.block * 1e3:.0f} ms = {longer:.2f} × "
            f"plain ({plain.block * 1e3:.0f} ms); {ours.threads} threads",
            "≤ 1.2 × the time, ≤ 2 × the longest block, ≤ 200 threads",
            slower <= 1.2 and longer <= 2 and ours.threads <= 200,
        )
    ]


def main() -> None:
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(serve())
        case ["rounds", rounds]:
            for name, made in measure_rounds(int(rounds)).items():
                print(f"{name}: {medians(made)}", *(f"{run.seconds:.2f}/{run.block:.3f}/{run.threads}" for run in made))
        case [what, url]:
            work = our_calls(url) if what == OURS else plain_calls(url, shared=what == PLAIN[1])
            print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main()
