"""A real Redis for the tests: a process on a free port, without files, that can be stopped, hung and started."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.support.ports import free_port

from .programs import redis_server

__all__ = ["RedisServer"]


class RedisServer:
    """A context manager. `url` stays the same when it's stopped and started. Raises `ServiceMissing`."""

    def __init__(self) -> None:
        self._program = redis_server()
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = redis.Redis(port=self.port)

    def start(self, *options: str) -> None:
        """Start, empty, and wait until it answers."""
        self._start("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *options)

    def start_as_sentinel(self, config: Path) -> None:
        """Start as what watches over other servers; `config` has to name the port."""
        self._start(str(config), "--sentinel")

    def _start(self, *options: str) -> None:
        folder = () if "--sentinel" in options else ("--dir", self._folder.name)
        self._process = subprocess.Popen(
            [self._program, *options, *folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                self.client.ping()
            except redis.exceptions.RedisError:
                assert self._process.poll() is None, "redis-server ended by itself"
                assert time.monotonic() < deadline, "redis-server doesn't answer"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Kill it; what it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None

    def hang(self) -> None:
        """Have it answer nothing any more, with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End that."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.client.close()
        self.stop()
        self._folder.cleanup()
