"""What a history is, as data; and the world in which it happens: a heap of events, and nothing that isn't drawn."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

__all__ = ["BEGIN", "Config", "Fault", "Owner", "World"]

BEGIN = 1_700_000_000.0
"""When each history begins, in Unix time."""


class Fault(NamedTuple):
    """Something that goes wrong at a time, in seconds since the beginning, or at the next event of a kind after it."""

    kind: str
    at: float
    who: int = 0
    length: float = 0.0
    mode: str = ""
    number: int = 0


class Config(NamedTuple):
    """A history: all that isn't drawn from the random streams, and their seed. Times in seconds."""

    seed: int
    workers: int = 2
    lives: float = 2.5
    lifetime: float = 600.0
    period: float = 20.0
    grant: str = "refresh"
    rotation: str = "strict"
    """What a spent refresh token does. `strict`: it ends its family; `grace`: not within a minute; `lenient`: nothing;
    `none`: refresh tokens stay the same."""
    scope: str = ""
    """Empty: none is asked for; `all`, `told`, `silent`: granted, narrowed and told, narrowed and not told."""
    lease: float = 0.0
    """How long a lock outlives its holder, 0 for a lock that the kernel frees."""
    latency: float = 0.05
    store_latency: float = 0.002
    spread: float = 5.0
    """How long it takes until all workers have begun."""
    preemption: float = 0.25
    """How often a landing happens inside a decision, and the other way round."""
    all_requests: bool = False
    """Whether requests that neither read nor change anything are simulated, too."""
    paths: tuple[str, ...] = ()
    """The paths that requests go to, where the API demands things, see `demands`; empty for an API that doesn't."""
    consent: str = "all"
    """What a user agrees to: `all` that's asked for, or `some` of it."""
    is_open: bool = False
    """Whether the resource itself can be had without a token."""
    is_hasty: bool = False
    """Whether programs whose requests fail send as many as others."""
    faults: tuple[Fault, ...] = ()


class Owner(Protocol):
    """A program whose events are dropped when it dies and put off while it stands still."""

    epoch: int
    stopped_until: float


class World:
    """Events in the order of their time. An event of a program that has died meanwhile is dropped."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.now = BEGIN
        self.events = 0
        self.is_over = False
        self.trace: list[str] | None = None
        self._heap: list[tuple[float, int, Owner | None, int, Callable[..., object], tuple[Any, ...]]] = []
        self._numbers = itertools.count()

    def at(self, time: float, owner: Owner | None, function: Callable[..., object], *args: Any) -> None:
        """Call the function at a time; not if its owner has died by then, and later if it stands still."""
        epoch = 0 if owner is None else owner.epoch
        heapq.heappush(self._heap, (max(time, self.now), next(self._numbers), owner, epoch, function, args))

    def after(self, delay: float, owner: Owner | None, function: Callable[..., object], *args: Any) -> None:
        """Call the function after a while."""
        self.at(self.now + delay, owner, function, *args)

    def run(self, until: float) -> None:
        """Let all happen that happens before a time."""
        heap = self._heap
        while heap and not self.is_over and heap[0][0] <= until:
            time, _, owner, epoch, function, args = heapq.heappop(heap)
            if owner is not None:
                if owner.epoch != epoch:
                    continue
                if owner.stopped_until > time:
                    entry = (owner.stopped_until, next(self._numbers), owner, epoch, function, args)
                    heapq.heappush(heap, entry)
                    continue
            self.now = time
            self.events += 1
            function(*args)
        if not self.is_over and until > self.now:
            self.now = until

    def note(self, who: object, text: str) -> None:
        """Add a line to the trace, if there's one."""
        if self.trace is not None:
            self.trace.append(f"{self.now - BEGIN:10.3f}  {who!s:<10} {text}")
