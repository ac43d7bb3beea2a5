"""One process under load: auth objects of one plug-in, each with some threads or tasks that send requests.

It writes down, a line of JSON each: every request, what the library emits, what it saved.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from oauth_auth import _events
from oauth_auth.errors import TokenStoreError
from oauth_auth.stores import FileTokenStore, RedisTokenStore
from oauth_auth.stores._protocol import LOCK_WAIT

from .._server import digest

__all__ = ["KINDS", "open_store"]

KINDS = ("requests", "httpx", "async httpx", "niquests", "async niquests")
LINES = 2
"""Threads or tasks per auth object."""
RATE = 8.0
"""Requests per second of each."""
TIME_OUT = 60.0
JUMPS = (-3600.0, -30.0, 0.0, 30.0, 3600.0)
"""Where a jumping clock stands, in seconds, for some seconds each."""


def open_store(place: str) -> Any:
    """Make a store object, as soon as that can be done: a folder that's no folder is refused at once."""
    kind, _, where = place.partition(":")
    while True:
        try:
            return FileTokenStore(where) if kind == "file" else RedisTokenStore(where)
        except TokenStoreError:
            time.sleep(0.1)


class Log:
    def __init__(self, path: str) -> None:
        self._file = open(path, "a", buffering=1)  # noqa: PTH123, SIM115 - as long as the process lives
        self._lock = threading.Lock()

    def write(self, what: str, **fields: Any) -> None:
        with self._lock:
            self._file.write(json.dumps({"what": what, "time": time.monotonic(), **fields}, default=str) + "\n")


class NotedStore:
    """A store that writes down what was saved, once it was."""

    def __init__(self, store: Any, log: Log) -> None:
        self._store = store
        self._log = log
        self.load = store.load
        self.delete = store.delete

    def save(self, key: str, token: Any) -> None:
        self._store.save(key, token)
        self._log.write("saved", refresh=digest(token.refresh_token), access=digest(token.access_token))

    @contextmanager
    def lock(self, key: str, *, timeout: float = LOCK_WAIT) -> Any:
        with self._store.lock(key, timeout=timeout) as held:
            yield held


class Line(NamedTuple):
    """What one thread or task works with."""

    group: str
    auth: Any
    api_url: str
    log: Log
    pauses: random.Random

    def pause(self) -> float:
        return self.pauses.uniform(0, 2 / RATE)

    def note(self, begun: float, outcome: Any, held: Any) -> None:
        """Write down a request that brought an answer or an error.

        Of one that failed, too, the token of its last attempt, and whether the one from before it is accepted even now.
        """
        status = getattr(outcome, "status_code", None) if not isinstance(outcome, Exception) else None
        if status == 200:
            self.log.write("request", group=self.group, begun=begun, ok=True)
            return
        could = held is not None and not held.is_expired() and accepts(self.api_url, held.access_token)
        fields = {"group": self.group, "begun": begun, "ok": False, "held_a_valid_token": could}
        if status is None:
            self.log.write("request", **fields, error=f"{type(outcome).__name__}: {outcome}", sent=None)
        else:
            sent = outcome.request.headers.get("Authorization", "").partition(" ")[2]
            self.log.write("request", **fields, error=status, sent=digest(sent))


def accepts(api_url: str, access_token: str) -> bool:
    request = urllib.request.Request(api_url, headers={"Authorization": f"Bearer {access_token}"})
    try:
        with urllib.request.urlopen(request, timeout=TIME_OUT) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def send(line: Line, get: Callable[[str], Any]) -> None:
    while True:
        time.sleep(line.pause())
        begun, held = time.monotonic(), line.auth.token
        try:
            outcome = get(line.api_url)
        except Exception as error:
            outcome = error
        line.note(begun, outcome, held)


async def send_async(line: Line, client: Any) -> None:
    while True:
        await asyncio.sleep(line.pause())
        begun, held = time.monotonic(), line.auth.token
        try:
            outcome = await client.get(line.api_url)
        except Exception as error:
            outcome = error
        await asyncio.to_thread(line.note, begun, outcome, held)


def client_for(kind: str, auth: Any) -> Any:
    name = kind.removeprefix("async ")
    library = import_module(name)
    if name == "httpx":
        cls = library.AsyncClient if kind.startswith("async") else library.Client
        return cls(auth=auth, timeout=TIME_OUT, trust_env=False)
    client = library.AsyncSession() if kind.startswith("async") else library.Session()
    client.auth, client.trust_env = auth, False
    return client


def work(kind: str, lines: list[Line]) -> None:
    """Send until killed."""
    if not kind.startswith("async"):
        threads = [threading.Thread(target=send, args=(line, client_for(kind, line.auth).get)) for line in lines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return

    async def run() -> None:
        await asyncio.gather(*(send_async(line, client_for(kind, line.auth)) for line in lines))

    asyncio.run(run())


def jump(chance: random.Random, log: Log) -> None:
    """Set the clock that the library goes by, again and again."""
    real = time.time
    while True:
        shift = chance.choice(JUMPS)
        time.time = lambda shift=shift: real() + shift
        log.write("jumped", shift=shift)
        time.sleep(chance.uniform(1, 5))


def end_with_the_run() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    plan = json.loads(sys.argv[1])
    provider, name, kind = plan["provider"], plan["name"], plan["kind"]
    log, chance = Log(plan["log"]), random.Random(plan["seed"])
    _events.listeners.append(lambda event, fields: log.write("event", event=event, fields=dict(fields)))
    plugin: Any = import_module(f"oauth_auth.{kind.removeprefix('async ')}")
    store = NotedStore(open_store(plan["store"]), log)
    client = (provider["token_url"], provider["client_id"], provider["client_secret"])
    user = {"username": provider["username"], "password": provider["password"]}
    ways = {
        "machine": ("ClientCredentialsAuth", {}),
        "user": ("PasswordAuth", user),
        "login": ("AuthorizationCodeAuth", {}),
    }
    lines = []
    for group in plan["groups"]:
        grant, options = ways[group]
        who = {"group": group, "worker": name}  # the server's ledger has them
        auth = getattr(plugin, grant)(*client, store=store, store_key=group, field_parameters=who, **options)
        lines += [Line(group, auth, provider["api_url"], log, random.Random(chance.random())) for _ in range(LINES)]
    log.write("started", kind=kind)
    threading.Thread(target=end_with_the_run, daemon=True).start()
    if plan["clock_jumps"]:
        threading.Thread(target=jump, args=(random.Random(chance.random()), log), daemon=True).start()
    work(kind, lines)


if __name__ == "__main__":
    main()
