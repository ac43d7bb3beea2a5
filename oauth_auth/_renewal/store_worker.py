"""A `StoreWorker` makes calls that may hang, in a thread of its own, for a caller who waits only so long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from .._flight import Flight, mark_retrying
from ..errors import TokenStoreError

__all__ = ["SLOW", "StoreWorker"]

SLOW = 1.0
"""From when on a call counts as slow, in seconds: then callers who have a token don't wait for it, and after a
failure the store is left alone for a while."""


class StoreWorker:
    """A thread that does one call after the other, and can be given up; if it comes back after all, that's told."""

    def __init__(self, when_back: Callable[[], object]) -> None:
        from queue import SimpleQueue  # noqa: PLC0415 - programs without a store needn't load it

        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._when_back = when_back
        self.is_abandoned = False
        """Whether a call took too long; the thread then does what is left to do when that call ends, if it does."""
        self._thread = Flight(self._serve, daemon=True)
        self._thread.start(in_background=True)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def do(
        self, function: Callable[[], Any], timeout: float, given_up: Callable[[], Any] | None
    ) -> tuple[Any, BaseException | None]:
        """Return what the function returns, or what it raises, or a `TokenStoreError` after `timeout` seconds."""
        if self.is_abandoned:
            return None, TokenStoreError("the store still hasn't answered")
        if not self._thread.has_started:  # the interpreter exits: there are no threads any more
            return _outcome_of(function)
        outcome: Future[tuple[Any, BaseException | None]] = Future()
        self._calls.put(lambda: outcome.set_result(_outcome_of(function)))
        begun = time.monotonic()
        while True:
            left = begun + timeout - time.monotonic()
            try:
                return outcome.result(max(min(left, SLOW), 0.0))
            except FutureTimeoutError:
                mark_retrying()
                # At exit nobody waits for another's renewal any more; but what is to be saved is saved.
                if left <= SLOW or (given_up is not None and not threading.main_thread().is_alive()):
                    break
        self.is_abandoned = True
        if given_up is not None:
            self.submit_later(given_up)
        return None, TokenStoreError(f"the store hasn't answered for {timeout:.3g} s")

    def submit_later(self, function: Callable[[], Any]) -> None:
        """Do without waiting for it, as soon as there's time."""
        self._calls.put(lambda: _outcome_of(function))

    def shutdown(self) -> None:
        """End the thread, once it's done with what it has begun."""
        if self.is_abandoned:
            self._calls.put(self._when_back)
        self._calls.put(None)


def _outcome_of(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return function(), None
    except BaseException as error:  # noqa: BLE001 - a store may raise anything, and what it is decides the caller
        return None, error
