"""What goes wrong: troubles of the token endpoint, of the tokens and of the store, one after the other."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import redis

__all__ = ["STORES", "FileStore", "RedisStore", "Span", "Troubles"]


class Span(NamedTuple):
    """When something was wrong, on the monotonic clock that all processes share."""

    kind: str
    begun: float
    ended: float

    def touches(self, begun: float, ended: float, tail: float = 0.0) -> bool:
        return self.begun <= ended and begun <= self.ended + tail


class FileStore:
    """A folder of tokens that can be put out of reach, and its files damaged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "tokens"
        self._away = folder / "away"
        self.place = f"file:{self._folder}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    @contextmanager
    def unusable(self) -> Iterator[None]:
        """Put a file where the folder was."""
        if not self._folder.exists():
            yield
            return
        self._folder.rename(self._away)
        self._swap(lambda: self._folder.open("x").close())
        try:
            yield
        finally:
            self._folder.unlink()
            self._swap(lambda: self._away.rename(self._folder))

    def _swap(self, step: Callable[[], object]) -> None:
        """Replace it, although processes make the folder again wherever it's missing."""
        while True:
            try:
                step()
            except OSError:
                shutil.rmtree(self._folder, ignore_errors=True)
            else:
                return

    def damage(self) -> None:
        """Cut each entry off in the middle, or replace it."""
        for number, path in enumerate(sorted(self._folder.glob("*.json"))):
            with contextlib.suppress(OSError):
                path.write_bytes(path.read_bytes()[:40] if number % 2 else b"\0" * 100)

    troubles = ("unusable", "damage")


class RedisStore:
    """A Redis that writes to disk what it's sent before it answers, and that can be stopped, hung and damaged."""

    def __init__(self, _: Path) -> None:
        from tests.servers.redis import RedisServer

        self._server = RedisServer()
        self.place = f"redis:{self._server.url}"

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.__exit__(None, None, None)

    def _start(self) -> None:
        self._server.start("--appendonly", "yes", "--appendfsync", "always")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        self._server.stop()
        try:
            yield
        finally:
            self._start()

    @contextmanager
    def hung(self) -> Iterator[None]:
        self._server.hang()
        try:
            yield
        finally:
            self._server.go_on()

    def damage(self) -> None:
        """Replace each entry, or delete it."""
        with redis.Redis(port=self._server.port) as client:
            for number, name in enumerate(sorted(client.scan_iter("oauth_auth:*}"))):
                client.set(name, b"\xff{") if number % 2 else client.delete(name)

    troubles = ("stopped", "hung", "damage")


STORES: dict[str, Callable[[Path], Any]] = {"file": FileStore, "redis": RedisStore}


class Troubles:
    """Makes trouble until it's ended; `spans` is what it was."""

    def __init__(self, provider: Any, store: Any, chance: random.Random) -> None:
        self._provider = provider
        self._store = store
        self._chance = chance
        self.spans: list[Span] = []
        self._kinds: list[str] = []

    def next(self, until: float) -> None:
        """Make one trouble, of some seconds at most, and leave some seconds in peace."""
        if not self._kinds:  # each kind comes once in a round
            self._kinds = ["outage", "too_many", "slow", "revocation", "revocation", *self._store.troubles]
            self._chance.shuffle(self._kinds)
        kind = self._kinds.pop()
        seconds = min(self._chance.uniform(0.5, 4.0), max(until - time.monotonic(), 0.0))
        begun = time.monotonic()
        if kind in self._store.troubles:
            trouble = getattr(self._store, kind)
            if kind == "damage":
                trouble()
            else:
                with trouble():
                    time.sleep(seconds)
        else:
            getattr(self, kind)(seconds)
        self.spans.append(Span(kind, begun, time.monotonic()))
        time.sleep(min(self._chance.uniform(0.5, 3.0), max(until - time.monotonic(), 0.0)))

    def outage(self, seconds: float) -> None:
        self._fail(503, seconds)

    def too_many(self, seconds: float) -> None:
        self._fail(429, seconds, 1)

    def _fail(self, status: int, seconds: float, retry_after: float | None = None) -> None:
        self._provider.do(call="fail_token_requests", args=[status, 10**6, retry_after])
        time.sleep(seconds)
        self._provider.do(call="fail_token_requests", args=[status, 0])

    def slow(self, seconds: float) -> None:
        self._provider.do(set={"token_delay": self._chance.uniform(0.2, 1.5)})
        time.sleep(seconds)
        self._provider.do(set={"token_delay": 0})

    def revocation(self, seconds: float) -> None:
        self._provider.do(call="revoke_access_tokens")
