"""Can a request be sent again with the very same body? Pure, but that it moves files back to where they stood.

The rule is to be sure: bytes are, and so are files that say where they stand and can be sent back there. Generators,
iterators and objects of unknown kinds may be spent, and sending what's left of them would lose data silently.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

__all__ = ["is_fixed", "position_of", "rewind"]


def is_fixed(body: object) -> bool:
    """Tell whether a body is the same however often it's read: nothing, bytes, text, or a list of them."""
    if isinstance(body, list | tuple):
        return all(isinstance(part, bytes | str) for part in body)
    return body is None or isinstance(body, bytes | str | bytearray | memoryview)


def position_of(body: Any) -> int | None:
    """Return where a file stands, to `rewind` it to, or None if it's no file or doesn't know."""
    if not hasattr(body, "read") or not hasattr(body, "seek"):
        return None
    try:
        position = body.tell()
    except Exception:  # noqa: BLE001 - a file of whatever kind, it just can't be used
        return None
    return position if isinstance(position, int) else None


def rewind(body: Any, position: object) -> bool:
    """Send a file back to a position, and tell whether it's there now."""
    if isinstance(position, bool) or not isinstance(position, int):
        return False
    try:
        body.seek(position)
        return bool(body.tell() == position)
    except Exception:  # noqa: BLE001 - closed, not seekable, or no file at all
        return False


def are_rewindable(files: Iterable[Any]) -> bool:
    """Tell whether all parts of a multipart body can be read again from their beginning."""
    return all(is_fixed(file) or (not _is_closed(file) and rewind(file, 0)) for file in files)


def _is_closed(file: Any) -> bool:
    return isinstance(file, io.IOBase) and file.closed
