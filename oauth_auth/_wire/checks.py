"""Checks of what users pass: each returns the value, or raises `ConfigurationError` that says what to write instead."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigurationError

__all__ = ["require_encodable", "require_flag", "require_seconds", "require_text"]

_MOST_SECONDS = 1e9


def require_text(name: str, value: Any, hint: str = "text that isn't empty") -> str:
    """Return a text that can be sent."""
    if not isinstance(value, str) or not value:
        given = "" if value == "" and "empty" in hint else f", not {'empty' if value == '' else type(value).__name__}"
        raise ConfigurationError(f"{name} must be {hint}{given}")
    return require_encodable(name, value)


def require_encodable(name: str, text: str) -> str:
    """Return a text that UTF-8 can encode: half a surrogate pair can't be sent."""
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        # An encoder's own error would hold the text.
        raise ConfigurationError(f"{name} has half a surrogate pair in it, which can't be sent")
    return text


def require_seconds(name: str, value: Any, example: float, *, is_positive: bool = False) -> float:
    """Return a number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_SECONDS:
        raise ConfigurationError(f"{name} must be a number of seconds, 0 or more, such as {example}: {value!r}")
    if is_positive and value == 0:
        raise ConfigurationError(f"{name} must be more than 0 seconds, such as {example}: a call takes time")
    return float(value)


def require_flag(name: str, value: Any) -> bool:
    """Return a boolean; other values that are true or false are errors."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False")
    return value
