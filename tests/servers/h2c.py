"""A server on loopback that speaks HTTP/2 without TLS ("prior knowledge", RFC 9113 section 3.3), and nothing else."""

from __future__ import annotations

import socket
import socketserver
import threading
from typing import Any, Self

from jh2.config import H2Configuration
from jh2.connection import H2Connection
from jh2.events import DataReceived, RequestReceived, StreamEnded

from tests.support.scripted import Answer, Received, Script


class H2CServer:
    """Serves as a script says, each stream in its turn; `requests` is what arrived, in order."""

    def __init__(self, script: Script) -> None:
        self.script = script
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
        while data := self.request.recv(65536):
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
            _answer(connection, event.stream_id, self.server.owner.script(received))


def _answer(connection: Any, stream_id: int, answer: Answer) -> None:
    headers = [(":status", str(answer.status)), ("content-length", str(len(answer.body)))]
    headers += [(name.lower(), value) for name, value in answer.headers]
    connection.send_headers(stream_id, headers)
    connection.send_data(stream_id, answer.body, end_stream=True)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value
