"""Emit events: to the logger `oauth_auth`, and to registered listeners.

docs/events.md has all events and their fields. A request with a valid token emits none, and no field holds a secret.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

__all__ = ["Listener", "emit", "listeners"]

Listener = Callable[[str, Mapping[str, object]], object]
"""Called with an event's name and fields, in the thread and context in which it happens."""

listeners: list[Listener] = []

_logger = logging.getLogger("oauth_auth")


def emit(level: int, event: str, message: str, /, **fields: object) -> None:
    """Emit an event; `message` is formatted with the fields, as `%(name)s`.

    The log record has the event's name as `oauth_event`, and each field under its name with `oauth_` before it. An
    error in a handler, filter or listener is ignored, so that the request goes on.
    """
    with suppress(Exception):
        if _logger.isEnabledFor(level):
            extra = {"oauth_event": event, **{f"oauth_{name}": value for name, value in fields.items()}}
            _logger.log(level, message, *([fields] if fields else []), extra=extra, stacklevel=2)
    for listener in tuple(listeners):  # another thread may change the list
        with suppress(Exception):
            listener(event, fields)
