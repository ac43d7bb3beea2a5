from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from .._wire.token import OAuthToken
from ..errors import TokenStoreError

__all__ = ["LOCK_WAIT", "LockTaken", "TokenStore"]

LOCK_WAIT = 30.0
"""How long a renewal that callers wait for waits for another's, in seconds; afterwards it goes on without the lock."""


class LockTaken(TokenStoreError):
    """Another renewal holds the lock."""


@runtime_checkable
class TokenStore(Protocol):
    """Keeps tokens by key. Methods block; an async caller reaches them through a flight, never on its event loop.

    Stores are used by many threads at once, but one renewal makes all its calls in one thread. A method that fails
    may raise anything, best `TokenStoreError`: it's logged, and the request goes on with the token it has or can get.
    A call that takes longer than the attribute `timeout` says, in seconds (5 if there's none), is given up; until it
    ends after all, the store is tried ever more rarely, down to once an hour.

    `oauth_auth.testing.store_contract` has the tests that a store must pass.
    """

    def load(self, key: str) -> OAuthToken | None:
        """Return the token saved under the key, or None."""
        ...

    def save(self, key: str, token: OAuthToken) -> None:
        """Save the token under the key, in place of any other: the whole of it or nothing, also if interrupted."""
        ...

    def delete(self, key: str) -> None:
        """Forget the token under the key; there need be none."""
        ...

    def lock(self, key: str) -> AbstractContextManager[object]:
        """Return a context manager that one renewal at a time holds, in all processes that share the store.

        Entering waits at most 30 seconds for the holder, then raises `LockTaken`; the renewal then goes on without
        it. The lock of a holder that was killed becomes free within 15 seconds. The lock isn't re-entrant.

        Two things are optional. A further parameter `timeout`, in seconds: with it, renewals in the background find
        out at once that the lock is taken, and look again later. And a method `is_held()` on what entering returns,
        where a lock can be lost: it's asked before a new token is saved.
        """
        ...
