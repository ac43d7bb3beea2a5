"""Where the token may go."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from .._wire.urls import MOST_ORIGINS, check_transport, origin_of

__all__ = ["CallsLedOn", "Origins"]


class Origins:
    """The origins that the token may go to: of those allowed, the ones that requests were sent to. Thread-safe."""

    __slots__ = ("_allow_insecure", "_allowed", "known")

    def __init__(self, allowed: frozenset[str] | None, *, allow_insecure: bool) -> None:
        self._allowed = allowed
        self._allow_insecure = allow_insecure
        self.known: dict[Any, Any] = {}
        """What a plug-in keeps of each origin, under a key that it gets from a URL at less cost than its origin."""

    def admits(self, url: str) -> bool:
        """Return whether the token may go to this URL. Raises `InsecureTransportError` if it would go unprotected."""
        if self._allowed is not None and origin_of(url) not in self._allowed:
            return False
        check_transport(url, allow_insecure=self._allow_insecure)
        return True

    def remember(self, key: Hashable, value: Any) -> None:
        """Keep an origin that was admitted, unless there are too many."""
        if len(self.known) < MOST_ORIGINS:
            self.known[key] = value


class CallsLedOn(dict[int, tuple[object, str | None, bool]]):
    """The calls that an answer has redirected, for a library that asks for the token again at each hop; not too many.

    Kept under the `id` of what a call's requests have in common: that itself, the origin that may have the token, or
    None if the call has left it, and whether a request of the call was replayed.
    """

    def note(self, call: object, origin: str | None) -> None:
        """Keep that a request of the call to this origin was redirected."""
        _, before, was_replayed = self.get(id(call), (call, origin, False))
        while len(self) >= MOST_ORIGINS:
            del self[next(iter(self))]
        self[id(call)] = call, before and origin, was_replayed

    def has_left(self, call: object, origin: str | None) -> bool:
        """Return whether a call, now on its way to this origin, has left that which it was sent to; it stays so."""
        _, before, was_replayed = self[id(call)]
        if before is not None and before == origin:
            return False
        self[id(call)] = call, None, was_replayed
        return True

    def mark_replayed(self, call: object) -> None:
        """Keep that a request of the call was replayed, if an answer has led the call on."""
        if id(call) in self:
            self[id(call)] = (*self[id(call)][:2], True)

    def was_replayed(self, call: object) -> bool:
        """Return whether a request of the call was replayed before an answer led it on."""
        return id(call) in self and self[id(call)][2]
