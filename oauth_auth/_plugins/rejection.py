"""What plug-ins log about an answer that rejects the token. Which answers do is decided by `_wire.challenges`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from .._events import emit
from .._record import Record
from .._wire.messages import MAX_BODY
from .._wire.urls import without_query

__all__ = ["Do", "Rejection", "is_short", "path_of"]


class Rejection(Record):
    """A request and the status of its answer, as errors and events name them."""

    method: str | None
    url: str
    status: int

    def __str__(self) -> str:
        return f"{self.method} {self.url} was answered with {self.status}"

    @property
    def about(self) -> str:
        """The end of an error's text that comes from it."""
        return f" (after {self})"

    def emit_rejection(self, *, can_replay: bool) -> None:
        """Log that it rejects the token, and without `can_replay` that the request won't be sent again."""
        emit(
            logging.INFO,
            "rejected",
            "token rejected: %(method)s %(url)s was answered with %(status)s",
            **self._asdict(),
        )
        if not can_replay:
            text = "not replayed, since the body can't be sent again: %(method)s %(url)s, answered with %(status)s"
            emit(logging.WARNING, "not_replayed", text, **self._asdict())

    def emit_replay(self) -> None:
        """Log that the request is sent again."""
        text = "replayed with another token: %(method)s %(url)s, answered with %(status)s before"
        emit(logging.INFO, "replayed", text, **self._asdict())


def path_of(method: str | None, url: str) -> str:
    """Return what acceptance and rejection are noted by: the method counts, since APIs treat them differently."""
    return f"{method} {without_query(url)}"


def is_short(response: Any) -> bool:
    """Return whether reading a rejected answer to its end costs less than another connection."""
    return int(response.headers.get("Content-Length") or 0) <= MAX_BODY


class Do(Record):
    """A step that calls a function; in a task, what it returns is awaited if it's awaitable."""

    function: Callable[[], Any]

    def wait(self) -> Any:
        """Call the function."""
        return self.function()

    async def wait_async(self) -> Any:
        """Call the function, and await what it returns."""
        result = self.function()
        return await result if inspect.isawaitable(result) else result
