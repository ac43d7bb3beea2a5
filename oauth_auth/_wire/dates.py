"""HTTP's dates, and the pause that `Retry-After` asks for (RFC 9110 sections 5.6.7 and 10.2.3). Pure."""

from __future__ import annotations

import datetime as dt
import email.utils

from .token import CENTURY

__all__ = ["read_date", "read_retry_after"]


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
    try:
        date = email.utils.parsedate_to_datetime(value)
        # Dates without a zone are in UTC, which datetime takes for local time.
        return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
