"""A `StoreWorker` makes calls that may hang, in a thread of its own, for a caller whose wait is bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

from .._flight import Flight, Outcome, capture, mark_retrying
from ..errors import TokenStoreError

__all__ = ["StoreWorker"]


class StoreWorker:
    """A thread that makes one call after the other, and can be abandoned; `on_return` is called if it comes back.

    A call that takes longer than `slow` seconds is shown to those who wait for the flight: they may go on without it.
    """

    def __init__(self, on_return: Callable[[], object], *, slow: float, name: str = "attempt") -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._on_return = on_return
        self._slow = slow
        self.is_abandoned = False
        """Whether a call took too long; if it ends, the thread then makes the calls that are left."""
        self._thread = Flight(self._serve, daemon=True, name=name, holds_events=False)
        self._thread.start(in_background=True)

    @property
    def has_thread(self) -> bool:
        """Whether calls are made in the thread, and not by who asks for them, as when the interpreter exits."""
        return self._thread.has_started and self._thread.is_under_way

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def submit(
        self,
        function: Callable[[], Any],
        timeout: float,
        on_late: Callable[[], Any] | None,
        tick: Callable[[], object] = lambda: None,
    ) -> Outcome[Any]:
        """Return the function's outcome, or a `TokenStoreError` after `timeout` seconds.

        `on_late` is called if the function ends later all the same; `tick` after every `slow` seconds.
        """
        if self.is_abandoned:
            return Outcome(None, TokenStoreError("the store still hasn't answered"))
        if not self.has_thread:  # the interpreter exits: there are no threads any more
            return capture(function)
        outcome: Future[Outcome[Any]] = Future()
        context = copy_context()  # that of the renewal, whoever's thread it is
        self._calls.put(lambda: outcome.set_result(context.run(capture, function)))
        left = timeout
        while left > 0:
            # Waits are added up, not read from the clock: the time that a process was stopped isn't the store's.
            wait = min(left, self._slow)
            try:
                return outcome.result(wait)
            except FutureTimeoutError:
                mark_retrying()
                tick()
                left -= wait
                # At exit a sibling's lock isn't waited for any more; but what is to be saved is saved.
                if on_late is not None and not threading.main_thread().is_alive():
                    break
        self.is_abandoned = True
        if on_late is not None:
            self.submit_later(on_late)
        return Outcome(None, TokenStoreError(f"the store hasn't answered for {timeout:.3g} s"))

    def submit_later(self, function: Callable[[], Any]) -> None:
        """Make a call without waiting for it, when those before it have ended."""
        self._calls.put(lambda: capture(function))

    def shutdown(self) -> None:
        """End the thread after the calls that it was given."""
        if self.is_abandoned:
            self._calls.put(self._on_return)
        self._calls.put(None)
