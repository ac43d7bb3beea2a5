"""werkzeug's threaded server, with connections that stay open and a prompt end.

werkzeug (3.1) closes each connection after one answer, because an application may leave some of the body unread, and
waits 10 ms for the rest. Clients under test reuse their connections, so here the body is read to its end before the
answer is sent, and the connection stays open. The price: an answer is sent as a whole, not streamed.

At the end, idle connections are shut down, which ends their threads: no socket and no thread remains.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import socketserver
import ssl
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wsgi import LimitedStream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CHUNK_BYTES = 64 * 1024


class LoopbackServer(ThreadedWSGIServer):
    """Serves a WSGI application on 127.0.0.1, each connection in a daemon thread of its own."""

    # A load test opens hundreds of connections at once. With werkzeug's 128 some would be dropped, and TCP retries
    # those only after a second.
    request_queue_size = 1024

    def __init__(
        self, app: WSGIApplication, port: int, unix_time: Callable[[], float], tls: ssl.SSLContext | None
    ) -> None:
        self.unix_time = unix_time
        self.tls = tls
        self.stopping = threading.Event()
        # Weak, so that a finished thread or connection needs no removal, and no lock for it.
        self._connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._workers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        super().__init__("127.0.0.1", port, app, _RequestHandler)
        self._accepting = threading.Thread(target=self._accept, name=f"LocalProvider-{self.port}", daemon=True)

    def server_bind(self) -> None:
        """Bind without the standard library's reverse DNS look-up."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def start(self) -> None:
        """Accept connections in a thread from now on."""
        self._accepting.start()

    def stop(self) -> None:
        """Close all sockets and wait until all threads have ended, a few milliseconds; open requests get no answer."""
        self.stopping.set()
        # The accepting thread sleeps in `select`: a connection wakes it at once, `shutdown()` after a polling interval.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._accepting.join()
        self.server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # it was closed in the meantime
                # Not a TLS connection's own method, which takes from its thread what that works with.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for worker in list(self._workers):
            worker.join()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            self.handle_request()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether to serve a connection: none after `stop` was called."""
        return not self.stopping.is_set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print the traceback of an error in the server, but not for a client that closed its connection."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a new thread, and keep both for `stop`."""
        worker = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name=f"LocalProvider-{self.port}-connection",
            daemon=True,
        )
        self._connections.add(request)
        self._workers.add(worker)
        worker.start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in its thread; a handshake that takes long delays no other connection."""
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as connection:
            self._connections.add(connection)
            if not self.stopping.is_set():
                connection.do_handshake()
                super().finish_request(connection, client_address)


class _RequestHandler(WSGIRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def make_environ(self) -> WSGIEnvironment:
        """Return werkzeug's environment, with a body that ends where the request does."""
        environ = super().make_environ()
        # Authlib refuses plain http, older versions on loopback, too, unless an environment variable allows it for the
        # whole process, and so for the code under test. That the request came over TLS is said to this server alone.
        environ["wsgi.url_scheme"] = "https"
        # What was really called, for what is bound to its URL.
        server: Any = self.server
        host = environ.get("HTTP_HOST") or f"127.0.0.1:{server.server_port}"
        scheme = "http" if server.tls is None else "https"
        environ["oauth_auth.url"] = f"{scheme}://{host}{environ['REQUEST_URI'].partition('?')[0]}"
        if not environ.get("wsgi.input_terminated"):
            given = environ.get("CONTENT_LENGTH") or "0"
            if not given.isdecimal():
                self.close_connection = True  # where the next request would start is unknown
                given = "0"
            rfile: Any = self.rfile
            environ["wsgi.input"] = LimitedStream(rfile, int(given)) if given != "0" else io.BytesIO()
            environ["wsgi.input_terminated"] = True
        return environ

    def run_wsgi(self) -> None:
        """Call the application, read what it left of the body, and send the answer."""
        status, headers = "500 Internal Server Error", list[tuple[str, str]]()

        def start_response(given_status: str, given_headers: list[tuple[str, str]], _: object = None) -> Any:
            nonlocal status, headers
            status, headers = given_status, given_headers

        try:
            environ = self.make_environ()
            request_body = environ["wsgi.input"]
            parts: Any = self.server.app(environ, start_response)
            try:
                body = b"".join(parts)
            finally:
                if hasattr(parts, "close"):
                    parts.close()
            while request_body.read(_CHUNK_BYTES):
                pass
        except (ClientDisconnected, OSError):
            # The client closed the connection or sent malformed chunks, or the server stops: there is no answer, and
            # what follows on this connection isn't the start of a request.
            self.close_connection = True
            return
        self._send(status, headers, body)

    def _send(self, status: str, headers: list[tuple[str, str]], body: bytes) -> None:
        server: Any = self.server
        lines = [f"{self.protocol_version} {status}", f"Date: {self.date_time_string(server.unix_time())}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if status.startswith("1") or status[:3] in ("204", "304"):
            body = b""
        elif not any(name.lower() == "content-length" for name, _ in headers):
            lines.append(f"Content-Length: {len(body)}")
        if self.close_connection:
            lines.append("Connection: close")
        if self.command == "HEAD":
            body = b""
        # In one call, so in one packet: with two, the client would wake up twice.
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: a request line may hold a code, and would stand in the test's output."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Log nothing."""


def json_answer(
    start_response: StartResponse,
    status: int,
    fields: Mapping[str, object],
    headers: Iterable[tuple[str, str]] = (),
) -> list[bytes]:
    """Answer a WSGI request with a JSON object."""
    reason = http.client.responses.get(status, "Unknown")
    start_response(f"{status} {reason}", [("Content-Type", "application/json"), *headers])
    return [json.dumps(fields).encode()]
