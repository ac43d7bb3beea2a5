"""A server on loopback that speaks HTTP/2 without TLS ("prior knowledge", RFC 9113 section 3.3), and nothing else."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any, Self

from jh2.config import H2Configuration
from jh2.connection import H2Connection
from jh2.events import DataReceived, RequestReceived, StreamEnded

from tests.support.scripted import Answer, Received


class H2CServer:
    """Serves as a script says, each stream in its turn; `requests` is what arrived, in order.

    An answer that says that it's longer than its body never ends. A script that returns None is asked again when
    another request has arrived on that connection. After each request as many `pings` follow, so that whoever waits for
    the connection's bytes wakes up and leaves its turn to others.
    """

    def __init__(self, script: Callable[[Received], Answer | None], pings: int = 0) -> None:
        self.script = script
        self.pings = pings
        self.requests: list[Received] = []
        self._server = _Server(("127.0.0.1", 0), _Connection)
        self._server.owner = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    owner: H2CServer


class _Connection(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        self.request.sendall(connection.data_to_send())
        streams: dict[int, tuple[dict[str, str], bytearray]] = {}
        self.unanswered: dict[int, Received] = {}
        self.pings = 0
        while True:
            if self.pings and not select.select([self.request], [], [], 0.02)[0]:
                self.pings -= 1
                connection.ping(b"are you?")
                self.request.sendall(connection.data_to_send())
                continue
            if not (data := self.request.recv(65536)):
                return
            for event in connection.receive_data(data):
                self._take(connection, streams, event)
            self.request.sendall(connection.data_to_send())

    def _take(self, connection: Any, streams: dict[int, tuple[dict[str, str], bytearray]], event: Any) -> None:
        if isinstance(event, RequestReceived):
            headers = {_text(name): _text(value) for name, value in event.headers}
            streams[event.stream_id] = (headers, bytearray())
        elif isinstance(event, DataReceived):
            streams[event.stream_id][1].extend(event.data)
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            headers, body = streams.pop(event.stream_id)
            received = Received(headers[":method"], headers[":path"], headers, bytes(body), self.client_address[1])
            self.server.owner.requests.append(received)
            self.pings = self.server.owner.pings
            self.unanswered[event.stream_id] = received
            for stream_id, one in reversed(list(self.unanswered.items())):
                if (answer := self.server.owner.script(one)) is not None:
                    del self.unanswered[stream_id]
                    _answer(connection, stream_id, answer)


def _answer(connection: Any, stream_id: int, answer: Answer) -> None:
    headers = {"content-length": str(len(answer.body)), **{name.lower(): value for name, value in answer.headers}}
    connection.send_headers(stream_id, [(":status", str(answer.status)), *headers.items()])
    connection.send_data(stream_id, answer.body, end_stream=int(headers["content-length"]) == len(answer.body))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value
