"""The refresh tokens that are never sent again."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["DeadTokens"]

_MOST = 100
"""How many are remembered: a server or a store returns one of the last, if any."""


class DeadTokens:
    """Digests of the refresh tokens that a server has ended or replaced, the last ones."""

    __slots__ = ("_digests",)

    def __init__(self) -> None:
        self._digests: dict[str, None] = {}

    def add(self, digests: Iterable[str]) -> None:
        """Take in more of them."""
        dead = {**self._digests, **dict.fromkeys(digests)}
        self._digests = dict.fromkeys(list(dead)[-_MOST:])

    def __contains__(self, token_digest: str) -> bool:
        return token_digest in self._digests
