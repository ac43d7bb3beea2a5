"""HTTP's own fields: its dates, the pause that `Retry-After` asks for, and how a body is compressed. Pure.

HTTP libraries decompress without a limit, and a kilobyte can become a gigabyte; here no more is made than is asked for.
"""

from __future__ import annotations

import zlib

from .token import CENTURY

__all__ = ["can_decompress", "decompress", "read_date", "read_retry_after"]

_PACKED = {"gzip", "x-gzip", "deflate"}

_GZIP_OR_ZLIB = 47
"""What tells zlib to take both, by their first bytes."""


def read_retry_after(value: str | None, sent_at: float) -> float | None:
    """Return the seconds that `Retry-After` asks for (RFC 9110 section 10.2.3), or None if it can't be read.

    `sent_at` is when the answer was sent, in Unix time.
    """
    if value is None or len(value) > 64:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), CENTURY)
    date = read_date(value)
    return None if date is None else min(max(date - sent_at, 0.0), CENTURY)


def read_date(value: str | None) -> float | None:
    """Return an HTTP date (RFC 9110 section 5.6.7) as Unix time, or None if it can't be read."""
    if value is None or len(value) > 64:
        return None
    import datetime as dt  # noqa: PLC0415 - both take their time, and only errors need them
    import email.utils  # noqa: PLC0415

    try:
        date = email.utils.parsedate_to_datetime(value)
        # Dates without a zone are in UTC, which datetime takes for local time.
        return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


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
