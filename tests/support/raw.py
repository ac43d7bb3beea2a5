"""A server that writes bytes as they're given, for answers that break HTTP, drip or never end."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Container
from typing import Self


class RawServer:
    """A server that reads a request and writes what it's given; a number is a pause, and `drip` comes for ever.

    A request whose Authorization is among `accepted` is answered with 200.
    """

    def __init__(
        self, *pieces: bytes | float, drip: bytes = b"", every: float = 0.02, accepted: Container[str] = ()
    ) -> None:
        outer = self
        self.connections = 0
        self.ended = threading.Event()

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                length, authorization = 0, ""
                while (line := self.rfile.readline()) not in {b"\r\n", b""}:
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                    if line.lower().startswith(b"authorization:"):
                        authorization = line.partition(b":")[2].strip().decode()
                self.rfile.read(length)
                if authorization in accepted:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine")
                    return
                try:
                    for piece in pieces:
                        if isinstance(piece, bytes):
                            self.wfile.write(piece)
                        else:
                            outer.ended.wait(piece)
                    while drip and not outer.ended.wait(every):
                        self.wfile.write(drip)
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


ServeRaw = Callable[..., RawServer]
