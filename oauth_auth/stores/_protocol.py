from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from .._token import OAuthToken

__all__ = ["TokenStore"]


@runtime_checkable
class TokenStore(Protocol):
    """Keeps tokens by key. Methods block; an async caller reaches them through a flight, never on its event loop.

    Stores are used by many threads at once. A method that fails may raise anything, best `TokenStoreError`: it's
    logged, and the request goes on with the token it has or can get.
    """

    def load(self, key: str) -> OAuthToken | None:
        """Return the token saved under the key, or None."""
        ...

    def save(self, key: str, token: OAuthToken) -> None:
        """Save the token under the key, in place of any other."""
        ...

    def delete(self, key: str) -> None:
        """Forget the token under the key; there need be none."""
        ...

    def lock(self, key: str) -> AbstractContextManager[object]:
        """Return a context manager that one renewal at a time holds.

        Entering waits at most 30 seconds for the holder, then raises `TokenStoreError`; the renewal then goes on
        without it.
        """
        ...
