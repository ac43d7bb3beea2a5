"""Where tokens are kept between flights, and shared: the `TokenStore` protocol and the stores that come with it."""

from ._memory import MemoryTokenStore
from ._protocol import TokenStore

__all__ = ["MemoryTokenStore", "TokenStore"]
