"""What processes and objects on one store cost each other: renewals, waits, and the store's traffic.

Token calls are counted twice. Per token served: one call for each token that requests were sent with is what the
library promises. Per nominal lifetime, the run's length divided by `expires_in`, there are more by design: tokens are
renewed before they expire, one of 2 s after 1.4 to 1.6 s, since its refresh window is a fifth of its lifetime.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

import oauth_auth.requests
from oauth_auth import OAuthToken
from oauth_auth.stores import RedisTokenStore

from ._figures import Figure
from ._server import NAMES, digest, remote_provider
from .chaos.troubles import STORES
from .chaos.worker import open_store

PROCESSES, THREADS = 4, 4
SECONDS = 30
PAUSE = 0.05
SHORT_LIFE = 2
OBJECTS = 200
LIFE = 10
LIVES = 3


def password_auth(provider: Any, store: Any, **options: Any) -> Any:
    urls = (provider["token_url"], provider["client_id"], provider["client_secret"])
    user = {"username": provider["username"], "password": provider["password"]}
    return oauth_auth.requests.PasswordAuth(*urls, **user, store=store, store_key="k", **options)


def details(provider: Any) -> dict[str, Any]:
    return {name: getattr(provider, name) for name in NAMES}


def process(provider: Any, place: str, barrier: Any, results: Any) -> None:
    """Send requests from some threads; report how many failed, and the tokens that were sent."""
    auth = password_auth(provider, open_store(place))
    failures: list[Any] = []
    served: set[Any] = set()

    def send() -> int:
        session = requests.Session()
        session.auth, session.trust_env = auth, False
        count, until = 0, time.monotonic() + SECONDS
        while time.monotonic() < until:
            try:
                answer = session.get(provider["api_url"], timeout=60)
            except Exception as error:
                failures.append(repr(error))
            else:
                served.add(digest(answer.request.headers["Authorization"]))
                if answer.status_code != 200:
                    failures.append(answer.status_code)
            count += 1
            time.sleep(PAUSE)
        return count

    barrier.wait(60)
    with ThreadPoolExecutor(THREADS) as pool:
        count = sum(future.result() for future in [pool.submit(send) for _ in range(THREADS)])
    results.put((count, failures, served))


def processes_on(kind: str) -> Figure:
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        STORES[kind](Path(folder)) as store,
        remote_provider(token_lifetime=SHORT_LIFE) as provider,
    ):
        barrier, results = context.Barrier(PROCESSES), context.Queue()
        arguments = (details(provider), store.place, barrier, results)
        workers = [context.Process(target=process, args=arguments, daemon=True) for _ in range(PROCESSES)]
        for worker in workers:
            worker.start()
        try:
            outcomes = [results.get(timeout=SECONDS + 60) for _ in workers]
        finally:
            for worker in workers:
                worker.kill()
                worker.join()
        ledger = provider.ledger
    count = sum(outcome[0] for outcome in outcomes)
    failures = [failure for outcome in outcomes for failure in outcome[1]]
    served = len(set().union(*(outcome[2] for outcome in outcomes)))
    families = sum(entry["grant"] == "password" for entry in ledger)
    per_token, per_life = len(ledger) / served, len(ledger) / (SECONDS / SHORT_LIFE)
    return Figure(
        f"{PROCESSES} processes of {THREADS} threads on one {kind} store, tokens of {SHORT_LIFE} s, {SECONDS} s",
        f"{len(failures)} failures in {count} requests, {families} family, {len(ledger)} token calls: {per_token:.2f} "
        f"per token served, {per_life:.2f} per nominal lifetime",
        "0 failures, 1 family, ≤ 1.1 calls per token served",
        not failures and families == 1 and per_token <= 1.1,
    )


class CountingStore:
    """A store that counts what's asked of it."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.delete = store.delete

    def _count(self, action: str) -> None:
        with self._lock:
            self.counts[action] += 1

    def load(self, key: str) -> Any:
        self._count("load")
        return self._store.load(key)

    def save(self, key: str, token: Any) -> None:
        self._count("save")
        self._store.save(key, token)

    @contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Any:
        self._count("lock")
        with self._store.lock(key, timeout=timeout) as held:
            yield held


def many_objects(url: str, provider: Any) -> list[Figure]:
    """Let many objects, each in a thread of its own, authorize requests that aren't sent, for some lifetimes."""
    provider.do(set={"token_lifetime": LIFE})
    store = CountingStore(RedisTokenStore(url, prefix="many:"))
    renewed: dict[str, float] = {}
    seen: dict[str, list[float]] = {}
    note = threading.Lock()
    done = threading.Event()

    def told(token: OAuthToken) -> None:
        renewed[f"Bearer {token.access_token}"] = time.monotonic()

    auths = [password_auth(details(provider), store, on_token_update=told) for _ in range(OBJECTS)]
    with ThreadPoolExecutor(OBJECTS) as pool:  # they all begin with the first's token
        auths[0].get_token()
        list(pool.map(lambda auth: auth.get_token(), auths))
        store.counts.clear()
        for auth in auths:
            use(auth, 20)
        hot = sum(store.counts.values())
        first = auths[0].token.access_token
        before = provider.token_calls

        def live(auth: Any) -> None:
            last = f"Bearer {first}"
            while not done.wait(0.1):
                header = use(auth, 1)
                if header != last:
                    last = header
                    with note:
                        seen.setdefault(header, []).append(time.monotonic())

        futures = [pool.submit(live, auth) for auth in auths]
        until = time.monotonic() + LIFE * LIVES
        while time.monotonic() < until and sum(len(times) == OBJECTS for times in seen.values()) < LIVES:
            time.sleep(0.1)
        done.set()
        for future in futures:
            future.result()
    calls = provider.token_calls - before
    delays = sorted(moment - renewed[header] for header, times in seen.items() for moment in times)
    lives = len(seen)
    complete = all(len(times) == OBJECTS for times in seen.values())
    loads = store.counts["load"] / (OBJECTS * lives)
    return [
        Figure(
            f"{OBJECTS} objects on one Redis, tokens of {LIFE} s",
            f"{calls} token calls for {lives} lives; from a renewal to the adoption: "
            f"median {delays[len(delays) // 2]:.2f} s, last {delays[-1]:.2f} s",
            "1 call a life, all adopt",
            calls == lives and complete,
        ),
        Figure(
            f"store traffic of these objects, {store.counts['lock']} locks and {store.counts['save']} saves in all",
            f"{loads:.2f} loads per object and refresh window, {hot} accesses while the token is valid",
            "about 1, and 0",
            loads <= 1.5 and hot == 0,
        ),
    ]


def use(auth: Any, times: int) -> str:
    request = requests.Request("GET", "http://127.0.0.1/").prepare()
    for _ in range(times):
        auth(request)
    return str(request.headers["Authorization"])


def hold(url: str, pipe: Any) -> None:
    with RedisTokenStore(url).lock("k"):
        pipe.send("held")
        threading.Event().wait(60)


def killed_holder(url: str, provider: Any) -> Figure:
    """Kill a process that holds the lock, and measure who waits."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    holder = context.Process(target=hold, args=(url, there), daemon=True)
    store = RedisTokenStore(url)
    with_token = password_auth(details(provider), store)
    token = with_token.get_token()
    # Most of its life is over: it's in its refresh window.
    aged = OAuthToken(access_token=token.access_token, expires_in=600, expiry=time.time() + 70)
    store.save("k", aged)
    with_token = password_auth(details(provider), store)
    with_token.get_token()
    holder.start()
    try:
        here.recv()
        store.delete("k")
        os.kill(holder.pid or 0, signal.SIGKILL)
        killed = time.perf_counter()
        delays: list[float] = []
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(password_auth(details(provider), store).get_token)
            while not waiting.done():
                begun = time.perf_counter()
                with_token.get_token()
                delays.append(time.perf_counter() - begun)
                time.sleep(0.01)
            waiting.result()
        waited = time.perf_counter() - killed
    finally:
        holder.kill()
        holder.join()
    return Figure(
        "a process is killed that holds the lock in Redis",
        f"without a valid token: {waited:.1f} s; with one: {max(delays) * 1e3:.1f} ms at most",
        "≤ 15 s; 0 (≤ 50 ms)",
        waited <= 15 and max(delays) <= 0.05,
    )


def run() -> list[Figure]:
    figures = [processes_on(kind) for kind in STORES]
    with tempfile.TemporaryDirectory() as folder, STORES["redis"](Path(folder)) as redis, remote_provider() as provider:
        url = redis.place.partition(":")[2]
        return [*figures, *many_objects(url, provider), killed_holder(url, provider)]
