"""A server on loopback that answers as a test's own function says: for what real servers rarely do on demand."""

from __future__ import annotations

import dataclasses
import json
import ssl
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs


@dataclasses.dataclass(frozen=True)
class Received:
    """A request as it arrived; `connection` is the same number for all requests on one connection."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    certificate: str | None = None
    """The name in the certificate that the client has shown on this connection."""

    @property
    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode(), keep_blank_values=True)

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")


class Pieces(tuple[bytes | float, ...]):
    """A body that's sent piece by piece; a number is a pause, in seconds."""

    __slots__ = ()

    def __len__(self) -> int:
        return sum(len(piece) for piece in self if isinstance(piece, bytes))


@dataclasses.dataclass(frozen=True)
class Answer:
    """What to answer. A body that's neither bytes nor `Pieces` is sent as JSON. With `status` 0 the connection ends."""

    status: int = 200
    body: Any = b""
    headers: tuple[tuple[str, str], ...] = ()


Script = Callable[[Received], Answer]


class ScriptedServer:
    """Serves HTTP/1.1 with keep-alive on an address of loopback; `requests` is what arrived, in order.

    With `version` it may be HTTP/1.0, without keep-alive; with `tls` it's behind TLS.
    """

    def __init__(
        self,
        script: Script,
        host: str = "127.0.0.1",
        version: str = "HTTP/1.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.script = script
        self._tls = tls
        self._version = version
        self.requests: list[Received] = []
        self._connections = 0
        self._lock = threading.Lock()
        self._server = _Server((host, 0), self._handler())
        self.url = f"{'http' if tls is None else 'https'}://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _next_connection(self) -> int:
        with self._lock:
            self._connections += 1
            return self._connections

    def _handler(outer) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler has a self of its own
        class Handler(BaseHTTPRequestHandler):
            protocol_version = outer._version
            timeout = 20
            disable_nagle_algorithm = True

            certificate: str | None = None

            def setup(self) -> None:
                if outer._tls is not None:
                    self.request.settimeout(self.timeout)
                    self.request = outer._tls.wrap_socket(self.request, server_side=True)
                    shown = self.request.getpeercert() or {}
                    self.certificate = dict(shown.get("subjectAltName", ())).get("DNS")
                super().setup()
                self.connection_number = outer._next_connection()

            def finish(self) -> None:
                super().finish()
                if outer._tls is not None:
                    self.request.close()  # the server knows only the socket that was wrapped

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    self.close_connection = True

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(
                    self.command,
                    self.path,
                    headers,
                    self._body(headers),
                    self.connection_number,
                    self.certificate,
                )
                outer.requests.append(received)
                self._answer(outer.script(received))

            def _body(self, headers: dict[str, str]) -> bytes:
                if headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(headers.get("content-length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _answer(self, answer: Answer) -> None:
                if answer.status == 0:
                    self.close_connection = True
                    return
                body, headers = answer.body, list(answer.headers)
                if not isinstance(body, bytes | Pieces):
                    body = json.dumps(body).encode()
                    headers.append(("Content-Type", "application/json"))
                given = {name.lower() for name, _ in headers}
                self.send_response_only(answer.status)
                if "date" not in given:
                    self.send_header("Date", self.date_time_string())
                for name, value in headers:
                    self.send_header(name, value)
                if not given & {"content-length", "transfer-encoding"}:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    for piece in body if isinstance(body, Pieces) else (body,):
                        if isinstance(piece, bytes):
                            self.wfile.write(piece)
                        else:
                            time.sleep(piece)

            def log_message(self, *args: object) -> None:
                pass

        return Handler


class _Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass
