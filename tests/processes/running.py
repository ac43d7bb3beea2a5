"""Starts programs as processes, and gives them tasks."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.support.scripted import Answer, Received

__all__ = ["Gathering", "Program", "listening", "running"]

_ROOT = Path(__file__).parents[2]
_TIMEOUT = 60.0


class Gathering:
    """A server's script that answers when so many requests have come, and so holds their senders together."""

    def __init__(self, count: int) -> None:
        self._barrier = threading.Barrier(count)

    def __call__(self, request: Received) -> Answer:
        try:
            self._barrier.wait(_TIMEOUT)
        except threading.BrokenBarrierError:
            return Answer(503)
        return Answer(200)


class Program:
    """A process that runs a program, and those that it has started."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str]) -> None:
        self._process = process
        self._log = log

    @property
    def said(self) -> str:
        """What it has written to stderr so far."""
        self._log.seek(0)
        return self._log.read()

    def ask(self, line: object) -> Any:
        """Send it a line, and return the JSON of the line that it answers."""
        self.tell(line)
        return self.read()

    def tell(self, line: object) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)

    def read(self) -> Any:
        """Return the JSON of its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"it has ended with {self._process.wait(_TIMEOUT)}"
        return json.loads(line)

    def is_silent(self, seconds: float) -> bool:
        """Tell whether it says nothing for so long."""
        assert self._process.stdout is not None
        return not select.select([self._process.stdout], [], [], seconds)[0]

    def finish(self) -> int:
        """Tell it that there are no more lines, and return its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(_TIMEOUT)

    def terminate(self) -> int:
        """Send it SIGTERM, and return its exit status."""
        self._process.terminate()
        return self._process.wait(_TIMEOUT)

    def freeze(self) -> None:
        """Stop it where it stands; return when it's stopped."""
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self._process.pid, signal.SIGCONT)


@contextmanager
def running(*command: str, settings: dict[str, Any], descriptors: tuple[int, ...] = ()) -> Iterator[Program]:
    """Run a program for the length of the block; `command` is what follows `python`. Nothing of it is left then.

    An error in the block is shown with what the program said.
    """
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [sys.executable, *command],
            cwd=_ROOT,
            env={**os.environ, "SETTINGS": json.dumps(settings)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            pass_fds=descriptors,
            start_new_session=True,
        ) as process,
    ):
        program = Program(process, log)
        try:
            yield program
        except BaseException as error:
            error.add_note(program.said)
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def listening() -> Iterator[tuple[int, str]]:
    """Open a socket for a web server to inherit; yield its descriptor and URL. Who connects early waits."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.fileno(), f"http://127.0.0.1:{server.getsockname()[1]}"
