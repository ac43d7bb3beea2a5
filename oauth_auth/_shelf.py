"""An auth object's place in a token store. What fails there is logged, and nothing more: no request depends on it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ._events import tell
from ._token import OAuthToken
from .errors import TokenStoreError
from .stores import TokenStore

__all__ = ["Shelf"]

_MEMORY = "oauth_auth"
"""The field of a stored token's `extra` that keeps what the grant has learned."""


class Shelf:
    """One key of a store. A shelf without a store is empty and stays so."""

    __slots__ = ("_store", "_troubles", "key")

    def __init__(self, store: TokenStore | None, key: str) -> None:
        self._store = store
        self.key = key
        self._troubles: set[str] = set()

    @property
    def is_shared(self) -> bool:
        """Whether there is a store, and so may be siblings."""
        return self._store is not None

    @property
    def could_load(self) -> bool:
        """Whether the last `load` did not fail."""
        return "load" not in self._troubles

    def load(self) -> tuple[OAuthToken | None, Mapping[str, Any]]:
        """Return the token and the grant's memory; what is no token counts as absent."""
        if self._store is None:
            return None, {}
        try:
            stored = self._store.load(self.key)
        except Exception as error:  # noqa: BLE001 - a store may raise anything
            self._note("load", error)
            return None, {}
        self._note("load", None)
        if not isinstance(stored, OAuthToken):
            return None, {}
        memory = stored.extra.get(_MEMORY)
        token = dataclasses.replace(stored, extra={k: v for k, v in stored.extra.items() if k != _MEMORY})
        return token, memory if isinstance(memory, dict) else {}

    def save(self, token: OAuthToken, memory: Mapping[str, Any]) -> bool:
        """Save both; tell whether that worked."""
        if self._store is None:
            return False
        kept = dataclasses.replace(token, extra={**token.extra, _MEMORY: dict(memory)}) if memory else token
        try:
            self._store.save(self.key, kept)
        except Exception as error:  # noqa: BLE001 - a store may raise anything
            self._note("save", error)
            return False
        self._note("save", None)
        return True

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store's lock if it can be had; a renewal without it is better than none."""
        lock = None
        if self._store is not None:
            try:
                lock = self._store.lock(self.key)
                lock.__enter__()
                self._note("lock", None)
            except Exception as error:  # noqa: BLE001 - a store may raise anything
                lock = None
                self._note("lock", error)
        try:
            yield
        finally:
            if lock is not None:
                try:
                    lock.__exit__(None, None, None)
                    self._note("unlock", None)
                except Exception as error:  # noqa: BLE001 - a store may raise anything
                    self._note("unlock", error)

    def _note(self, action: str, error: Exception | None) -> None:
        """Log the first failure of a stretch, and its end."""
        if error is not None:
            if not self._troubles:
                text = str(error) if isinstance(error, OSError | TokenStoreError) else "…"  # others may show the token
                message = "token store failed to %(action)s: %(error_type)s: %(error)s"
                kind = type(error).__name__
                tell(logging.WARNING, "store_failed", message, action=action, error_type=kind, error=text)
            self._troubles.add(action)
        elif action in self._troubles:
            self._troubles.discard(action)
            if not self._troubles:
                tell(logging.INFO, "store_recovered", "token store works again")
