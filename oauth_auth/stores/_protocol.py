from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from .._wire.token import OAuthToken
from ..errors import TokenStoreError

__all__ = ["LOCK_WAIT", "LockTaken", "TokenStore", "lock_taken"]

LOCK_WAIT = 30.0
"""How long a renewal that callers wait for waits for the lock, in seconds; then it goes on without it."""


class LockTaken(TokenStoreError):
    """Another renewal holds the lock."""


def lock_taken(timeout: float) -> LockTaken:
    """Return the error for a lock that another renewal has held for `timeout` seconds."""
    return LockTaken(f"another renewal has held the lock for more than {timeout:.3g} s")


@runtime_checkable
class TokenStore(Protocol):
    """Keeps tokens by key. Methods may block: none is called on an event loop.

    A store is used by many threads at once, but one renewal makes all its calls in one thread. A method that fails may
    raise anything, best `TokenStoreError`: it's logged, and the request goes on with the token it has or can get. A
    call that takes longer than the attribute `timeout` says, in seconds (5 without it), is given up; until it returns,
    the store is tried at growing intervals, up to an hour.

    `oauth_auth.testing.store_contract` has the tests that a store must pass.
    """

    def load(self, key: str) -> OAuthToken | None:
        """Return the token saved under the key, or None."""
        ...

    def save(self, key: str, token: OAuthToken) -> None:
        """Save the token under the key, in place of any other. If interrupted, the old one or the new one is there."""
        ...

    def delete(self, key: str) -> None:
        """Remove the token under the key, if there is one."""
        ...

    def lock(self, key: str) -> AbstractContextManager[object]:
        """Return a context manager that one renewal at a time holds, in all processes that share the store.

        Entering waits at most 30 seconds for the holder, then raises `LockTaken`, and the renewal goes on without the
        lock. The lock of a holder that was killed is free within 15 seconds. The lock isn't re-entrant.

        Two things are optional. A parameter `timeout`, in seconds, to wait for instead of 30: with it, a renewal in
        the background finds a taken lock at once, and tries again later. And, where a lock can be lost, a method
        `is_held()` of what entering returns: it's called before a new token is saved.
        """
        ...
