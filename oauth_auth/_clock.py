"""Time and randomness as arguments, so that decisions can be tested with tables and run in a simulator."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

__all__ = ["CHANCE", "Chance", "Clock", "Now", "call_beyond_freezegun"]

_T = TypeVar("_T")


class Now(NamedTuple):
    """One reading of both clocks, in seconds: Unix time, and time that is never set."""

    wall: float
    monotonic: float

    @classmethod
    def read(cls) -> Now:
        """Read the clocks, through the module: freezegun and time-machine replace its functions."""
        return cls(time.time(), time.monotonic())

    def since(self, earlier: Now) -> float:
        """Return the seconds since an earlier reading, by whichever clock counted more.

        On Linux, suspending the machine stops the monotonic clock; setting the time moves the other.
        """
        return max(self.wall - earlier.wall, self.monotonic - earlier.monotonic)


Clock = Callable[[], Now]


class Chance(Protocol):
    """A source of random numbers, such as a `random.Random`."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a random number between `a` and `b`."""
        ...


_system_random = random.SystemRandom()


class _SystemChance:
    """The operating system's numbers: a program's `random.seed` neither repeats them nor is disturbed by them."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a random number between `a` and `b`."""
        return _system_random.uniform(a, b)


CHANCE = _SystemChance()
"""The default source of random numbers."""


def call_beyond_freezegun(work: Callable[[], _T], frames: int = 5) -> _T:
    """Add five frames below `threading`, then call the work.

    freezegun returns the real time to code within five frames of an ignored module, and `threading` is one; the work
    must see the same clock as its callers. Seen in freezegun 1.5.
    """
    return work() if frames == 0 else call_beyond_freezegun(work, frames - 1)
