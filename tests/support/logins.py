"""Logins for tests: a browser without a window, and a listener that waits for whatever a test sends."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from oauth_auth import AuthorizationRequest, BrowserLogin
from oauth_auth.login import LoginContext
from tests.support.ports import free_port

ISSUER = "https://auth.example.com"


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


class Browser:
    """An `open_browser` that follows redirects to the last page, and notes the URLs that it was to open."""

    def __init__(self, walk: Callable[[str], Any] | None = None) -> None:
        self.opened: list[str] = []
        self._pages: queue.Queue[requests.Response] = queue.Queue()
        self._walk = walk or (lambda url: url)
        """What comes before the redirect back: from the URL that's opened to the one to fetch then."""

    def __call__(self, url: str) -> bool:
        self.opened.append(url)
        with requests.Session() as session:
            session.trust_env = False
            self._pages.put(session.get(self._walk(url), timeout=20))
        return True

    def wait_for_page(self) -> requests.Response:
        """Return the next page that it has come to: a login may be over before the browser has it whole."""
        return self._pages.get(timeout=20)


class Listening:
    """A `BrowserLogin` that waits in a thread, for the length of a `with` block; `outcome` is what it returns."""

    def __init__(self, redirect_uri: str | None = None, *, issuer: str | None = ISSUER, **options: Any) -> None:
        self.cancelled = threading.Event()
        self.outcome: Future[str] = Future()
        self.shown = threading.Event()
        self.begin = LoginContext(self._make, redirect_uri, self.cancelled)
        self._issuer = issuer
        self._browse = options.pop("open_browser", None)
        self.login = BrowserLogin(open_browser=self._open, **options)
        self._thread = threading.Thread(target=self._run)

    def _make(self, redirect_uri: str) -> AuthorizationRequest:
        return AuthorizationRequest(f"{ISSUER}/authorize", "client", redirect_uri, issuer=self._issuer)

    def _open(self, url: str) -> object:
        self.shown.set()
        return self._browse(url) if self._browse is not None else True

    def _run(self) -> None:
        try:
            self.outcome.set_result(self.login(self.begin))
        except BaseException as error:
            self.outcome.set_exception(error)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.shown.wait(20)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancelled.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def request(self) -> AuthorizationRequest:
        assert self.begin.request is not None
        return self.begin.request

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.request.redirect_uri)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def target(self, **fields: str | None) -> str:
        """Return the path and query of the right answer, with fields replaced, or left out where None."""
        parts = urlsplit(self.request.redirect_uri)
        own = {"code": "the-code", "state": self.request.state, "iss": self._issuer, **fields}
        query = urlencode({name: value for name, value in own.items() if value is not None})
        return f"{parts.path or '/'}?{f'{parts.query}&' if parts.query else ''}{query}"

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=20)

    def send(self, data: bytes) -> bytes:
        """Send bytes on a connection of their own, end the sending half, and return all that comes back."""
        answer = b""
        with self.connect() as connection:
            with suppress(ConnectionError):
                connection.sendall(data)
            with suppress(OSError):  # reset by a listener that has read enough
                connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65536):
                    answer += piece
        return answer

    def get(self, target: str, *, method: str = "GET", host: str = "127.0.0.1") -> bytes:
        return self.send(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

    def log_in(self) -> bytes:
        """Do what a browser does at the end; return the last page with its headers."""
        redirect = self.get(self.target())
        assert redirect.startswith(b"HTTP/1.1 303 ")
        return self.get(location_of(redirect))


EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def running_example(name: str, **environment: str) -> Iterator[str]:
    """Run an example that's a web app; return its address, once it answers."""
    port = free_port()
    with tempfile.TemporaryFile() as output:
        program = subprocess.Popen(
            [sys.executable, "-W", "error", str(EXAMPLES / name)],
            env={**os.environ, "PORT": str(port), **environment},
            stdout=output,
            stderr=output,
        )
        try:
            deadline = time.monotonic() + 60
            while not _answers(port):
                if program.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    raise AssertionError(output.read().decode())
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            program.terminate()
            program.wait(20)


def _answers(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def location_of(answer: bytes) -> str:
    return next(line[10:] for line in answer.decode().split("\r\n") if line.startswith("Location: "))
