"""Pauses after what fails: token calls, and renewals for an origin that rejects whatever they bring."""

from __future__ import annotations

import random
import time
from typing import NamedTuple

from ..errors import OAuthError

__all__ = ["Failure", "OriginBreaker", "Pause"]

_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 60.0
_LONGEST_RETRY_AFTER = 300.0

_FREE_REJECTIONS = 3
"""So many new tokens may an origin reject before renewals for it are spaced."""
_REJECTION_PAUSE = 10.0


class Pause(NamedTuple):
    """A stretch of the monotonic clock. It ends, too, if that clock is set back, as tests do that move it."""

    begun: float
    until: float

    @classmethod
    def of(cls, seconds: float) -> Pause:
        """Begin a pause now."""
        now = time.monotonic()
        return cls(now, now + seconds)

    @property
    def rest(self) -> float:
        """What's left of it, in seconds."""
        now = time.monotonic()
        return self.until - now if self.begun <= now < self.until else 0.0

    @property
    def length(self) -> float:
        """How long it is, in seconds."""
        return self.until - self.begun


class Failure(NamedTuple):
    """The last flight's error, the pause after it, and the Unix time when it happened."""

    error: OAuthError
    times: int
    pause: Pause
    at: float

    @classmethod
    def after(cls, past: Failure | None, error: OAuthError) -> Failure:
        """Count one more failure; pauses grow from 1 to 60 s, at random, and `Retry-After` may make them longer."""
        times = 1 if past is None else past.times + 1
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(times - 1, 10))
        seconds = random.uniform(longest / 2, longest)  # noqa: S311
        return cls(error, times, Pause.of(max(seconds, _asked(error))), time.time())

    @property
    def fails_fast(self) -> bool:
        """Whether callers without a token get the error at once, too: no call could help, or the server asks."""
        return not self.error.retryable or Pause(self.pause.begun, self.pause.begun + _asked(self.error)).rest > 0


def _asked(error: OAuthError) -> float:
    """Return how long a server asks to be left alone, in seconds."""
    return min(getattr(error, "retry_after", None) or 0.0, _LONGEST_RETRY_AFTER)


class OriginBreaker(NamedTuple):
    """How many tokens an origin rejected before it accepted any request with them, and the pause after that."""

    times: int
    pause: Pause

    @classmethod
    def after(cls, past: OriginBreaker | None, *, is_interactive: bool) -> OriginBreaker:
        """Count one more; the first few, or none where a person would log in, call for no pause, the next for one."""
        times = 1 if past is None else past.times + 1
        seconds = 0.0
        free = 1 if is_interactive else _FREE_REJECTIONS
        if times >= free:
            seconds = min(_LONGEST_PAUSE, _REJECTION_PAUSE * 2.0 ** min(times - free, 10))
        return cls(times, Pause.of(seconds))
