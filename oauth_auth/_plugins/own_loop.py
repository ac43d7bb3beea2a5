"""An event loop for one call in a thread that has none, which needs no other thread and leaves nothing open."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run_alone"]

_T = TypeVar("_T")


def run_alone(main: Coroutine[Any, Any, _T]) -> _T:
    """Return what a coroutine returns, run in a loop of its own; that isn't made as the program's own loops are."""
    loop = _EventLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(main)
        finally:
            for transport in loop.transports:
                transport.abort()


class _EventLoop(asyncio.SelectorEventLoop):
    """Resolves names in its own thread, where nothing else runs: at exit no other thread can begin.

    Its connections are aborted in the end: TLS would wait for the other side's farewell, with an open socket.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transports: list[asyncio.WriteTransport] = []

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        return socket.getaddrinfo(host, port, **options)

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        connection = await super().create_connection(*args, **options)
        self.transports.append(connection[0])
        return connection
