"""Where the token may go."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from typing import Any

from .._events import emit
from .._wire.urls import MOST_ORIGINS, check_transport, origin_of

__all__ = ["Origins"]


class Origins:
    """The origins that the token may go to: of those allowed, the ones that requests were sent to. Thread-safe."""

    __slots__ = ("_allow_insecure", "_allowed", "_told", "known")

    def __init__(self, allowed: frozenset[str] | None, *, allow_insecure: bool) -> None:
        self._allowed = allowed
        self._allow_insecure = allow_insecure
        self.known: dict[Any, Any] = {}
        """What a plug-in keeps of each origin, under a key that it gets from a URL at less cost than its origin."""
        self._told: dict[Hashable, dict[Hashable, object]] = {}

    def admits(self, url: str) -> bool:
        """Return whether the token may go to this URL. Raises `InsecureTransportError` if it would go unprotected."""
        if self._allowed is not None and (origin := origin_of(url)) not in self._allowed:
            if self.is_news("withheld", origin):
                _emit_withheld(origin, sorted(self._allowed))
            return False
        check_transport(url, allow_insecure=self._allow_insecure)
        return True

    def remember(self, key: Hashable, value: Any) -> None:
        """Keep an origin that was admitted, unless there are too many."""
        if len(self.known) < MOST_ORIGINS:
            self.known[key] = value

    def is_news(self, *what: Hashable) -> bool:
        """Return whether this is told for the first time; after too much of its kind, no more is told."""
        told, mark = self._told.setdefault(what[0], {}), object()
        return len(told) < MOST_ORIGINS and told.setdefault(what, mark) is mark


def _emit_withheld(origin: str | None, allowed: list[str]) -> None:
    emit(
        logging.WARNING,
        "withheld",
        "the token isn't sent to %(origin)s, which isn't in allowed_origins: %(allowed_origins)s",
        origin=origin or "an unreadable URL",
        allowed_origins=allowed,
    )
