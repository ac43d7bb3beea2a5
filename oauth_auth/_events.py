"""Emit events: to the logger `oauth_auth`, and to registered listeners.

docs/events.md has all events and their fields. A request with a valid token emits none, and no field holds a secret.

Handlers and listeners are code of others: they may block, or send requests through an auth object. So what work emits
while callers wait for it is held, and told when they have its outcome.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar

__all__ = ["HeldEvents", "Listener", "emit", "happened_at", "hold", "holding", "is_telling", "listeners"]

Listener = Callable[[str, Mapping[str, object]], object]
"""Called with an event's name and fields, in the context in which it happened."""

listeners: list[Listener] = []

_logger = logging.getLogger("oauth_auth")

_held: ContextVar[HeldEvents | None] = ContextVar("oauth_auth_held", default=None)
"""What holds the events of the work that the code is part of."""
_times: ContextVar[tuple[int, ...]] = ContextVar("oauth_auth_event_times", default=())
"""When the events happened that are being told, in ns of Unix time: each but the first comes of telling the last."""
_DEEPEST = 2
"""How many events are told within each other: a handler whose requests fail would cause one after the other."""


class _Event:
    __slots__ = ("fields", "name", "record", "time")

    def __init__(self, name: str, fields: Mapping[str, object], record: logging.LogRecord | None) -> None:
        self.name = name
        self.fields = fields
        self.record = record
        self.time = time.time_ns()


class HeldEvents:
    """The events of work that callers wait for, in order; once they're released, others are told at once."""

    __slots__ = ("_events", "is_released")

    def __init__(self) -> None:
        self._events: deque[_Event] = deque()
        self.is_released = False
        """Whether what's emitted is told at once."""

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: _Event) -> None:
        """Hold one more."""
        self._events.append(event)
        if self.is_released:  # just now, by another thread, which may not have seen it
            self.release()

    def release(self) -> None:
        """Tell what is held; if the caller is itself part of work that's waited for, that holds it instead."""
        self.is_released = True
        while self._events:
            try:
                event = self._events.popleft()
            except IndexError:  # another thread was faster
                return
            _pass_on(event)


def hold() -> HeldEvents:
    """Hold what is emitted in this context from now on, until it's released."""
    held = HeldEvents()
    _held.set(held)
    return held


@contextmanager
def holding() -> Iterator[None]:
    """Hold what is emitted in the block, until its end."""
    held = HeldEvents()
    before = _held.set(held)
    try:
        yield
    finally:
        _held.reset(before)
        held.release()


if hasattr(os, "register_at_fork"):
    # The thread that would release them is the parent's.
    os.register_at_fork(after_in_child=lambda: _held.set(None))


def emit(level: int, event: str, message: str, /, **fields: object) -> None:
    """Emit an event; `message` is formatted with the fields, as `%(name)s`.

    The log record has the event's name as `oauth_event`, and each field under its name with `oauth_` before it. An
    error in a handler, filter or listener is ignored, so that the request goes on.
    """
    record = None
    with suppress(Exception):
        if _logger.isEnabledFor(level):
            extra = {"oauth_event": event, **{f"oauth_{name}": value for name, value in fields.items()}}
            path, line, function, _ = _logger.findCaller(stacklevel=2)
            args = (fields,) if fields else ()
            record = _logger.makeRecord(_logger.name, level, path, line, message, args, None, function, extra)
    if record is not None or listeners:
        _pass_on(_Event(event, fields, record))


def happened_at() -> int:
    """Return when the event happened that is being told, in ns of Unix time."""
    times = _times.get()
    return times[-1] if times else time.time_ns()


def is_telling() -> bool:
    """Return whether the code that asks handles an event."""
    return bool(_times.get())


def _pass_on(event: _Event) -> None:
    held = _held.get()
    if held is None or held.is_released:
        _tell(event)
    else:
        held.add(event)


def _tell(event: _Event) -> None:
    times = _times.get()
    if len(times) >= _DEEPEST:
        return
    before = _times.set((*times, event.time))
    try:
        with suppress(Exception):
            if event.record is not None:
                _logger.handle(event.record)
        for listener in tuple(listeners):  # another thread may change the list
            with suppress(Exception):
                listener(event.name, event.fields)
    finally:
        _times.reset(before)
