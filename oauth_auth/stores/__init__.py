"""Where tokens are stored and shared between processes: the protocol `TokenStore`, and four stores.

Importing this package imports no store; its first use does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import attach
from ._protocol import LockTaken, TokenStore

if TYPE_CHECKING:
    from ._file import FileTokenStore
    from ._keyring import KeyringTokenStore
    from ._memory import MemoryTokenStore
    from ._redis import RedisTokenStore

__all__ = ["FileTokenStore", "KeyringTokenStore", "LockTaken", "MemoryTokenStore", "RedisTokenStore", "TokenStore"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "FileTokenStore": "._file",
        "KeyringTokenStore": "._keyring",
        "MemoryTokenStore": "._memory",
        "RedisTokenStore": "._redis",
    },
)
