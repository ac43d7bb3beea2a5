"""The flights of programs with many auth objects: beyond some, they need no thread each."""

from __future__ import annotations

import contextvars
import os
import threading
import types
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from .._clock import Clock
from .._event_loops import in_event_loop
from .._flight import Flight, is_part_of_flight
from .._server.calls import Steps
from .effects import HoldUps, Runner, carry_out_renewal
from .store_entry import StoreEntry

if TYPE_CHECKING:
    from .shared_loop import SharedLoop

__all__ = ["RenewalFlight"]


class RenewalFlight(Flight[Any]):
    """A renewal without a store whose calls can be sent from tasks of asyncio.

    It's carried out in a thread of its own, unless many are already, and the caller is a task: then in one that they
    share, see `shared_loop`. Starting a thread holds its starter up, and a caller in a thread has one already.
    """

    __slots__ = ("__weakref__", "_clock", "_entry", "_is_shared", "procedure", "runner")

    most_threads: ClassVar[int] = 4
    """How many have a thread of their own, at most, before others share one."""
    _in_threads: ClassVar[weakref.WeakSet[RenewalFlight]] = weakref.WeakSet()
    _shared_loop: ClassVar[SharedLoop | None] = None

    def __init__(
        self, procedure: Steps[Any], entry: StoreEntry, clock: Clock, *, runs_code: bool = False, name: str = "flight"
    ) -> None:
        super().__init__(partial(carry_out_renewal, procedure, entry, clock, runs_code=runs_code), name=name)
        self.procedure = procedure
        self.runner: Runner
        """What does what the procedure yields, where it's carried out elsewhere than in `work`."""
        self._entry = entry
        self._clock = clock
        self._is_shared = False

    @property
    def is_reentrant(self) -> bool:
        """Whether the code that asks would wait for itself.

        Besides the flight's own code, that's a handler of what an HTTP library logs in the thread of all of them.
        """
        shared_loop = RenewalFlight._shared_loop
        return super().is_reentrant or (self._is_shared and shared_loop is not None and shared_loop.is_in_its_thread)

    def start_apart(self, context: contextvars.Context) -> bool:
        if self._should_share():
            self._is_shared = _the_shared_loop().take(self, context)
            if self._is_shared:
                return True
        self._in_threads.add(self)
        return super().start_apart(context)

    def _should_share(self) -> bool:
        """Return whether a thread of its own is to be saved.

        Code in a flight may block what's shared, and greenlets of gevent or eventlet are no threads.
        """
        return (
            len(self._in_threads) >= self.most_threads
            and in_event_loop()
            and not is_part_of_flight()
            and isinstance(threading.get_ident, types.BuiltinFunctionType)
            and threading.main_thread().is_alive()
        )

    def run_here(self) -> bool:
        try:
            return super().run_here()
        finally:
            self._in_threads.discard(self)

    def take_over(self) -> bool:
        """Return whether the procedure is the caller's to carry out, and nobody else's."""
        is_ours = super().take_up()
        if is_ours:
            self.runner = Runner(self._entry.session(), HoldUps(self._clock))
        return is_ours


def _the_shared_loop() -> SharedLoop:
    if RenewalFlight._shared_loop is None:  # noqa: SLF001 - of this module
        from .shared_loop import SharedLoop  # noqa: PLC0415 - programs without event loops needn't load asyncio

        RenewalFlight._shared_loop = SharedLoop()  # noqa: SLF001
    return RenewalFlight._shared_loop  # noqa: SLF001


def _forget() -> None:
    """Forget what doesn't outlive a fork."""
    RenewalFlight._in_threads = weakref.WeakSet()  # noqa: SLF001 - of this module
    RenewalFlight._shared_loop = None  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
