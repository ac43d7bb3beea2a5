"""TLS before a server that has none of its own: passes on what both sides send."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .certificates import Authority

__all__ = ["certificate_for_loopback", "tls_before"]


def certificate_for_loopback(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1, its key beside it, and in `ca.pem` the authority that has signed it."""
    return Authority(folder).server.certificate


@contextmanager
def tls_before(port: int, certificate: Path) -> Iterator[int]:
    """Listen on 127.0.0.1 for the server that has this port, and give the port; the key lies beside the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            with suppress(OSError):  # the client doesn't trust the certificate, say
                await asyncio.gather(_pass_on(reader, inner_writer), _pass_on(inner_reader, writer))
        finally:
            inner_writer.transport.abort()
            writer.transport.abort()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)

    with asyncio.Runner() as runner:
        server = runner.run(listen())
        thread = threading.Thread(target=runner.get_loop().run_forever)
        thread.start()
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            runner.get_loop().call_soon_threadsafe(runner.get_loop().stop)
            thread.join()
            server.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
