from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._wire.token import OAuthToken
from ._protocol import LOCK_WAIT, lock_taken

__all__ = ["MemoryTokenStore"]


class MemoryTokenStore:
    """Keeps tokens in this process; auth objects with the same store share them. Thread-safe.

    Copies of an auth object share the store; a pickled one has a store of its own, with the same tokens. So has
    a child after a fork.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, OAuthToken] = {}
        self._reset_locks()

    def load(self, key: str) -> OAuthToken | None:
        """Return the token saved under the key, or None."""
        return self._tokens.get(key)

    def save(self, key: str, token: OAuthToken) -> None:
        """Save the token under the key, in place of any other."""
        self._tokens[key] = token

    def delete(self, key: str) -> None:
        """Remove the token under the key, if there is one."""
        self._tokens.pop(key, None)

    @contextmanager
    def lock(self, key: str, *, timeout: float = LOCK_WAIT) -> Iterator[None]:
        """Hold the key's lock. Raises `LockTaken` if another renewal holds it for longer than `timeout` seconds."""
        if self._pid != os.getpid():  # the threads that held these locks don't exist after a fork
            self._reset_locks()
        lock = self._locks.setdefault(key, threading.Lock())
        if not lock.acquire(timeout=max(timeout, 0)):
            raise lock_taken(timeout)
        try:
            yield
        finally:
            lock.release()

    def _reset_locks(self) -> None:
        self._locks: dict[str, threading.Lock] = {}
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._tokens)} tokens)"

    def __deepcopy__(self, memo: dict[int, Any]) -> MemoryTokenStore:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"_tokens": dict(self._tokens)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset_locks()
