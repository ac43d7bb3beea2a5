"""The clock that the library goes by."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from oauth_auth._renewal import shared_loop
from oauth_auth._server.calls import Sleep
from tests.support.waiting import flights_in_the_air


class Clock:
    """The clock that the library goes by. It stands still and moves on when told, or where the library would sleep.

    `time.monotonic` goes on as well, since event loops live by it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        self.moved = 0.0
        monotonic, sleep = time.monotonic, time.sleep
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(time, "monotonic", lambda: monotonic() + self.moved)
        monkeypatch.setattr(time, "sleep", self._sleep)
        self._real_sleep = sleep
        self._of_earlier_tests = set(flights_in_the_air())

    def _sleep(self, seconds: float) -> None:
        if threading.current_thread() in self._of_earlier_tests:
            self._real_sleep(seconds)
        else:
            self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.moved += seconds


class WallClock:
    """The clock on the wall, by which tokens expire: it goes ahead by so many seconds when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + self.ahead)


class MonotonicClock:
    """The monotonic clock, by which pauses are measured: it goes ahead by so many seconds when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        monotonic = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: monotonic() + self.ahead)


class RetryClock:
    """The clock of retries: their pauses pass at once and are kept; each one takes `extra` seconds longer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.extra = 0.0
        self.pauses: list[float] = []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self._sleep)
        # An event loop goes by this clock, too, and would wait for ever.
        wait = shared_loop._wait
        monkeypatch.setattr(shared_loop, "_wait", lambda effect: self._wait(effect, wait))

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds + self.extra

    async def _wait(self, effect: object, wait: Callable[[object], Awaitable[object]]) -> object:
        if not isinstance(effect, Sleep):
            return await wait(effect)
        self._sleep(effect.seconds)
        return None
