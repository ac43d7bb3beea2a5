from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigurationError
from ._context import is_async

__all__ = ["DeviceLogin"]


class DeviceLogin:
    """Log the user in on another device, with a code (RFC 8628): for machines without a browser.

    `show` is called with the keyword arguments `user_code`, `verification_uri`, `verification_uri_complete` (text or
    None) and `expires_in` (seconds), and tells the user where to log in; by default that's printed to stderr. It's for
    a `ResourceAuth`; elsewhere that's what a `DeviceCodeAuth` does. Raises `ConfigurationError`.
    """

    __slots__ = ("show",)

    def __init__(self, *, show: Callable[..., Any] | None = None) -> None:
        if show is not None and (not callable(show) or is_async(show)):
            raise ConfigurationError("show must be a plain function that takes user_code, verification_uri and more")
        self.show = show

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
