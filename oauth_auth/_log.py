"""The one logger, and how everything here logs."""

from __future__ import annotations

import logging
from contextlib import suppress

__all__ = ["log"]

_logger = logging.getLogger("oauth_auth")


def log(level: int, message: str, *values: object) -> None:
    """Log; whatever a handler or filter of the program's raises, the request goes on."""
    with suppress(Exception):
        _logger.log(level, message, *values)
