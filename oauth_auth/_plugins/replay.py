"""Decides whether a request can be sent again with the same body, and rewinds files. Otherwise pure.

Only what is certain is replayed: bytes, and files that report their position and can be moved back to it.
Generators, iterators and objects of unknown kinds may be exhausted, and sending the rest would lose data silently.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from http.cookies import BaseCookie
from typing import Any

__all__ = ["are_rewindable", "cookie_pairs", "is_fixed", "position_of", "rewind", "rewind_async", "with_new_cookies"]


def is_fixed(body: object) -> bool:
    """Return whether a body is the same each time it's read: None, bytes, text, or a list of bytes and text."""
    if isinstance(body, list | tuple):
        return all(isinstance(part, bytes | str) for part in body)
    return body is None or isinstance(body, bytes | str | bytearray | memoryview)


def position_of(body: Any) -> int | None:
    """Return a file's position, for `rewind`; None if it has none."""
    if not hasattr(body, "read") or not hasattr(body, "seek"):
        return None
    try:
        position = body.tell()
    except Exception:  # noqa: BLE001 - a file of any kind, which then isn't replayed
        return None
    return position if isinstance(position, int) else None


def rewind(body: Any, position: object) -> bool:
    """Move a file to a position, and return whether it's there."""
    if isinstance(position, bool) or not isinstance(position, int):
        return False
    try:
        body.seek(position)
        return bool(body.tell() == position)
    except Exception:  # noqa: BLE001 - closed, not seekable, or no file at all
        return False


def are_rewindable(files: Iterable[Any]) -> bool:
    """Return whether all parts of a multipart body can be read again from their beginning, and move files there."""
    return all(is_fixed(file) or (not _is_closed(file) and rewind(file, 0)) for file in files)


def _is_closed(file: Any) -> bool:
    return isinstance(file, io.IOBase) and file.closed


def cookie_pairs(cookies: str | None) -> dict[str, str]:
    """Read a Cookie header."""
    pairs = (pair.strip().partition("=") for pair in (cookies or "").split(";"))
    return {name: value for name, separator, value in pairs if separator}


def with_new_cookies(header: str | None, before: BaseCookie[str], after: BaseCookie[str]) -> str:
    """Return a Cookie header after a client's jar has changed; what the jar didn't have is the caller's, and stays."""
    kept = {name: value for name, value in cookie_pairs(header).items() if name in after or name not in before}
    new = {name: cookie.coded_value for name, cookie in after.items() if before.get(name) != cookie}
    return "; ".join(f"{name}={value}" for name, value in {**kept, **new}.items())


async def rewind_async(request: Any) -> bool:
    """Rewind a request's async file to its first position; return whether that worked."""
    body, position = request.body, getattr(request, "_body_position", None)
    if isinstance(position, bool) or not isinstance(position, int):
        return False
    try:
        await body.seek(position)
        return bool(await body.tell() == position)
    except Exception:  # noqa: BLE001 - closed, or not seekable
        return False
