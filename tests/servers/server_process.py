"""Run a program as a server, for the length of a `with` block.

It is a process of its own: a clock moved in this process doesn't move there, and its controls go through
`http.client`, which no HTTP mock of a test intercepts.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urlsplit

_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 10.0


class ServerFailed(Exception):
    """The server didn't start, or ended by itself; the text holds what it wrote to stderr."""


class ServerProcess(ABC):
    """A program that says in one line of JSON when it's ready, and ends when its stdin does."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment or {}
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        command, folder = self._command()
        self._log = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **self._environment},
                stdin=subprocess.PIPE,  # never written to: its end tells an orphaned server to exit
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is for the tests; they then stop the server
            )
            self._read_ready_line(self._process)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        died = self._process is not None and self._process.poll() is not None
        log = self.log
        self._stop()
        if died and exc is None:
            raise ServerFailed(f"the server ended by itself:\n{log}")

    @abstractmethod
    def _command(self) -> tuple[list[str], Path]:
        """Return the command that runs the program, and the folder it's to run in. Raises `ServiceMissing`."""

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("the server isn't running")
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has written to stderr so far."""
        if self._log is None:
            return ""
        # By a second descriptor: seeking in the shared one would move where the server writes next.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def _read_ready_line(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        # Reading blocks until the line or the end of the stream, and a server that hangs gives neither.
        watchdog = threading.Timer(_START_TIMEOUT, process.kill)
        watchdog.start()
        try:
            line = process.stdout.readline()
        finally:
            watchdog.cancel()
            watchdog.join()
        if not line:
            process.wait(_STOP_TIMEOUT)
            raise ServerFailed(f"the server didn't start (exit status {process.returncode}):\n{self.log}")
        self._take(json.loads(line))

    def _take(self, ready: dict[str, Any]) -> None:
        """Take in what the program says when it's ready: `controls` and `urls`, which are to be attributes."""
        self._controls = urlsplit(ready["controls"])
        for name, url in ready["urls"].items():
            setattr(self, name, url)

    def _control(self, method: str, path: str) -> Any:
        connection = http.client.HTTPConnection(self._controls.hostname or "", self._controls.port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read().decode()
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise ValueError(f"{method} {path}: {response.status} {body}")
        return json.loads(body)

    def _stop(self) -> None:
        process, self._process = self._process, None
        log, self._log = self._log, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        if log is not None:
            log.close()
