"""Ports at which nobody listens."""

from __future__ import annotations

import random
import socket

__all__ = ["free_port"]

_PORTS = range(10_000, 32_000)
"""Those that no system gives away by itself: one of these may belong to anybody as soon as it's free again."""


def free_port() -> int:
    """Return a port of 127.0.0.1 at which nobody listens, and none will but who was told this one."""
    choice = random.SystemRandom()  # tests may seed the shared one, and so would all have the same port
    while True:
        port = choice.choice(_PORTS)
        with socket.socket() as free:
            try:
                free.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
