"""Decompresses the body of an answer, never to more than is asked for. Pure.

HTTP libraries do it without a limit: a kilobyte can become a gigabyte.
"""

from __future__ import annotations

import zlib

__all__ = ["can_decompress", "decompress"]

_PACKED = {"gzip", "x-gzip", "deflate"}

_GZIP_OR_ZLIB = 47
"""What tells zlib to take both, by their first bytes."""


def can_decompress(encoding: str | None) -> bool:
    """Return whether a body with this `Content-Encoding`, or none, can be decompressed here."""
    return _name_of(encoding) in {"", "identity", *_PACKED}


def decompress(body: bytes, encoding: str | None, limit: int) -> bytes:
    """Return the body without its `Content-Encoding` (RFC 9110 section 8.4), its first `limit` bytes at most.

    What isn't gzip or deflate, or is damaged, is returned as it is: no reader takes it for an answer.
    """
    if _name_of(encoding) not in _PACKED:
        return body
    for bits in (_GZIP_OR_ZLIB, -zlib.MAX_WBITS):  # some servers' deflate has no header
        try:
            return zlib.decompressobj(bits).decompress(body, limit)
        except zlib.error:
            continue
    return body


def _name_of(encoding: str | None) -> str:
    return (encoding or "").strip().lower()
