"""Event loops, of asyncio and trio: whether one runs here, waiting in one for a thread, and working beside one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["arrival", "beside_running_loop", "in_event_loop"]


async def arrival(future: Future[Any], timeout: float | None) -> None:
    """Wait in a task until the future is done, `timeout` seconds at most."""
    await (_arrival_in_trio if _in_trio() else _arrival_in_asyncio)(future, timeout)


async def _arrival_in_asyncio(future: Future[Any], timeout: float | None) -> None:
    import asyncio  # noqa: PLC0415 - sync programs needn't load it

    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[None] = loop.create_future()

    def arrive() -> None:
        if not arrived.done():
            arrived.set_result(None)

    def wake(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: no task waits there any more
            loop.call_soon_threadsafe(arrive)

    future.add_done_callback(wake)
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await arrived


async def _arrival_in_trio(future: Future[Any], timeout: float | None) -> None:
    import trio  # noqa: PLC0415 - it's loaded already, or this code wouldn't run

    token = trio.lowlevel.current_trio_token()
    arrived = trio.Event()

    def wake(_: object) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(arrived.set)

    future.add_done_callback(wake)
    with trio.move_on_after(float("inf") if timeout is None else timeout):
        await arrived.wait()


def in_event_loop() -> bool:
    """Return whether this code runs in an event loop, of asyncio or trio."""
    running_loop = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return (running_loop is not None and running_loop() is not None) or _in_trio()


@contextmanager
def beside_running_loop() -> Iterator[None]:
    """Take off the marks by which asyncio knows the loop that runs in this thread, so that code here may run another.

    Token calls of aiohttp do, and so may a callback.
    """
    loop = getattr(sys.modules.get("asyncio"), "_get_running_loop", lambda: None)()
    if loop is None:
        yield
        return
    from asyncio import _set_running_loop, current_task  # noqa: PLC0415 - it's loaded already
    from asyncio.tasks import _enter_task, _leave_task  # noqa: PLC0415

    task = current_task(loop)
    _set_running_loop(None)
    if task is not None:
        _leave_task(loop, task)
    try:
        yield
    finally:
        if task is not None:
            _enter_task(loop, task)
        _set_running_loop(loop)


def _in_trio() -> bool:
    """Return whether this code runs in a task of trio.

    Another thread may be importing trio at this moment, as httpcore does in its first call: then it's in
    `sys.modules` without what it will have. A task of trio can only run where that import has ended.
    """
    lowlevel = getattr(sys.modules.get("trio"), "lowlevel", None)
    in_trio_task = getattr(lowlevel, "in_trio_task", None)
    return in_trio_task is not None and bool(in_trio_task())
