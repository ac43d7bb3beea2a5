"""Pauses after failures: of token calls, of renewals for an origin that rejects every token, and of vain logins.

`Breakers` and `VainLogins` remember, all else is pure; none of it reads a clock.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import TypeVar

from .._clock import Chance, Now
from .._record import Record, replace
from .._wire.challenges import Demand
from .._wire.urls import MOST_ORIGINS
from ..errors import OAuthError, ReauthorizationRequired, TokenError

__all__ = ["Breakers", "Cooldown", "Failure", "OriginBreaker", "VainLogins", "asked_pause", "is_final"]

_FIRST_COOLDOWN = 2.0
_LONGEST_COOLDOWN = 60.0
_LONGEST_RETRY_AFTER = 300.0

_FREE_REJECTIONS = 3
"""How many vain renewals an origin may cause before those for it are spaced."""
_REJECTION_COOLDOWN = 10.0
_FORGOTTEN_AFTER = 60.0
_MOST_PATHS = 1000

_VAIN_FOR = 600.0
"""Seconds in which no user is asked for the same login again, since it hasn't helped."""
_MOST_VAIN = 3
"""How many different demands of one origin a user is asked for in that time, if none of the logins has helped."""


class Cooldown(Record):
    """A stretch of the monotonic clock, in seconds. It ends, too, if that clock is set back, as tests do."""

    begun: float
    until: float

    @classmethod
    def begin(cls, now: Now, seconds: float) -> Cooldown:
        """Return a cooldown that begins now."""
        return cls(now.monotonic, now.monotonic + seconds)

    def remaining(self, now: Now) -> float:
        """Return the seconds that are left, 0 if it's over."""
        return self.until - now.monotonic if self.begun <= now.monotonic < self.until else 0.0

    @property
    def length(self) -> float:
        """Its whole length in seconds."""
        return self.until - self.begun


class Failure(Record):
    """The last renewal's error, how many failed in a row, the cooldown, and the Unix time when it happened."""

    error: OAuthError
    times: int
    cooldown: Cooldown
    at: float

    @classmethod
    def after(cls, past: Failure | None, error: OAuthError, now: Now, chance: Chance, *, times: int = 0) -> Failure:
        """Count one more failure: random cooldowns grow from 1 to 60 s; `Retry-After` may make them longer.

        `times` is the count of siblings, if that's higher.
        """
        times = 1 + max(times, 0 if past is None else past.times)
        longest = min(_LONGEST_COOLDOWN, _FIRST_COOLDOWN * 2.0 ** min(times - 1, 10))
        seconds = chance.uniform(longest / 2, longest)
        return cls(error, times, Cooldown.begin(now, max(seconds, asked_pause(error))), now.wall)

    @property
    def is_of_login(self) -> bool:
        """Whether a user didn't log in."""
        return isinstance(self.error, ReauthorizationRequired)

    def fails_fast(self, now: Now) -> bool:
        """Return whether even callers without a token get the error: it's final, or the server asks to wait."""
        asked = Cooldown(self.cooldown.begun, self.cooldown.begun + asked_pause(self.error))
        return is_final(self.error) or asked.remaining(now) > 0


def is_final(error: OAuthError) -> bool:
    """Return whether the next call would end the same way, since the server or the configuration said so.

    An error of an unknown kind, such as a mock's or a hook's, says nothing of the next call.
    """
    return not error.retryable and not (isinstance(error, TokenError) and error.is_unexpected)


def asked_pause(error: OAuthError) -> float:
    """Return how long the server asks to be left alone (`Retry-After`), in seconds, 300 at most."""
    return min(getattr(error, "retry_after", None) or 0.0, _LONGEST_RETRY_AFTER)


class OriginBreaker(Record):
    """A circuit breaker for an origin: how many renewals in a row were vain for it, and the cooldown after that.

    A renewal is vain if the origin rejects the new token, too. It's counted when it begins, and the breaker is
    dropped when one has helped. So an origin that rejects every token, or has paths that reject every token among
    others that don't, costs a handful of token calls a minute. Paths are as `_plugins.replacing.path_of` returns them.
    """

    times: int
    cooldown: Cooldown
    vain_paths: frozenset[str] = frozenset()
    """Those that the renewals were for: once one of them accepts a token, the breaker is dropped."""
    accepting: frozenset[tuple[str, str]] = frozenset()
    """Paths that have accepted a token meanwhile, with its header."""
    is_told: bool = False
    """Whether it was told that the origin has rejected a new token, since it last accepted one."""

    @classmethod
    def after(cls, past: OriginBreaker | None, now: Now, path: str, *, is_interactive: bool) -> OriginBreaker:
        """Count one more renewal; the first few need no pause, unless a user would have to log in."""
        times = 1 if past is None else past.times + 1
        free = 1 if is_interactive else _FREE_REJECTIONS
        seconds = 0.0
        if times >= free:
            seconds = min(_LONGEST_COOLDOWN, _REJECTION_COOLDOWN * 2.0 ** min(times - free, 10))
        cooldown = Cooldown.begin(now, seconds)
        if past is None:
            return cls(times, cooldown, frozenset({path}))
        return replace(past, times=times, cooldown=cooldown, vain_paths=_bounded(past.vain_paths, path))

    def blocks(self, now: Now, path: str, header: str) -> bool:
        """Return whether a renewal because this path has rejected this token would be vain, as far as is known.

        One that has accepted the very token before is renewed for at once: the token was revoked.
        """
        return self.cooldown.remaining(now) > 0 and (path, header) not in self.accepting

    @classmethod
    def told(cls, past: OriginBreaker | None, now: Now, path: str) -> OriginBreaker:
        """Return the breaker after it was told that the origin has rejected a new token; nothing more is counted."""
        if past is None:
            return cls(0, Cooldown.begin(now, 0.0), frozenset({path}), is_told=True)
        return replace(past, is_told=True)

    def accepted(self, path: str, header: str) -> OriginBreaker:
        """Return the breaker after a path has accepted a token; what accepted other tokens is forgotten."""
        accepting = self.accepting
        if (path, header) not in accepting:
            kept = frozenset(known for known in accepting if known[1] == header)
            accepting = _bounded(kept, (path, header))
        elif not self.is_told:
            return self
        return replace(self, accepting=accepting, is_told=False)

    def is_over(self, now: Now) -> bool:
        """Return whether the last vain renewal was long enough ago to be forgotten."""
        return not self.cooldown.begun <= now.monotonic < self.cooldown.until + _FORGOTTEN_AFTER


class Breakers(dict[Hashable, OriginBreaker]):
    """The breakers of origins for which a renewal was vain, until one helps; an origin is any key of the plug-in's.

    Its methods are called one at a time; whether it's empty can be read at any time.
    """

    __slots__ = ()

    def count_renewal(self, origin: Hashable, now: Now, path: str, *, is_interactive: bool) -> None:
        """Count a renewal that begins since a path has rejected its token: it's vain until it has helped."""
        self._put(origin, OriginBreaker.after(self.get(origin), now, path, is_interactive=is_interactive))

    def count_vain_demand(self, origin: Hashable, now: Now, path: str, *, is_interactive: bool) -> None:
        """Count once, for all who shared it, that a path has rejected the very token that it has demanded."""
        past = self.get(origin)
        if past is None or past.cooldown.remaining(now) <= 0:
            self.count_renewal(origin, now, path, is_interactive=is_interactive)

    def accepted(self, origin: Hashable, now: Now, path: str, header: str, *, is_replay: bool) -> None:
        """Note that a path has accepted a token, at a replay or at first."""
        breaker = self.get(origin)
        if breaker is None:
            return
        if is_replay or path in breaker.vain_paths or breaker.is_over(now):
            del self[origin]
        else:
            self[origin] = breaker.accepted(path, header)

    def rejected_new(self, origin: Hashable, now: Now, path: str) -> bool:
        """Note that an origin has rejected a new token, too; return whether that's news, since it last accepted one."""
        past = self.get(origin)
        if past is not None and past.is_told:
            return False
        self._put(origin, OriginBreaker.told(past, now, path))
        return True

    def _put(self, origin: Hashable, breaker: OriginBreaker) -> None:
        if origin not in self and len(self) >= MOST_ORIGINS:
            self.clear()
        self[origin] = breaker


class VainLogins:
    """The logins for demands of APIs that haven't helped. Safe to use from several threads."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at = _NO_LOGINS
        """When one last didn't help, by the origin and what it demanded; replaced as a whole."""

    def may_help(self, origin: Hashable, demand: Demand, now: Now) -> bool:
        """Return whether another login for an origin's demand may help.

        Not while the last one is known not to have, nor while the last few for any of its demands haven't.
        """
        recent = [key for key, at in self._at.items() if key[0] == origin and now.monotonic < at + _VAIN_FOR]
        return (origin, demand.wanted) not in recent and len(recent) < _MOST_VAIN

    def count(self, origin: Hashable, demand: Demand, now: Now) -> None:
        """Note that a login for an origin's demand hasn't helped."""
        recent = _NO_LOGINS if len(self._at) >= MOST_ORIGINS else self._at
        self._at = {**recent, (origin, demand.wanted): now.monotonic}


_NO_LOGINS: Mapping[tuple[Hashable, Hashable], float] = MappingProxyType({})  # one for all objects

_T = TypeVar("_T")


def _bounded(items: frozenset[_T], item: _T) -> frozenset[_T]:
    return items | {item} if len(items) < _MOST_PATHS else items
