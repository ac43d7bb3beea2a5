"""Where tokens are kept between flights, and shared: the `TokenStore` protocol and the stores that come with it.

The stores that need other packages are loaded at their first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ._memory import MemoryTokenStore
from ._protocol import LockTaken, TokenStore

if TYPE_CHECKING:
    from ._file import FileTokenStore
    from ._keyring import KeyringTokenStore
    from ._redis import RedisTokenStore

__all__ = ["FileTokenStore", "KeyringTokenStore", "LockTaken", "MemoryTokenStore", "RedisTokenStore", "TokenStore"]

_LAZY = {"FileTokenStore": "._file", "KeyringTokenStore": "._keyring", "RedisTokenStore": "._redis"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
