"""Answers that are streamed, and clients that have but one connection."""

from __future__ import annotations

import dataclasses
from typing import Any

import aiohttp

from tests.support.modes import AiohttpClient, Client, Mode


@dataclasses.dataclass(frozen=True)
class Streamed:
    """An answer that was streamed, and whether it had been read before the caller did so."""

    status: int
    content: bytes
    was_read: bool


def stream(client: Client, method: str, url: str, **options: Any) -> Streamed:
    """Send a request and stream its answer."""
    inner = client.inner
    if isinstance(client, AiohttpClient):
        options["body"] = options.pop("content", None)
        return client.run(read_from_aiohttp, client, method, url, options)  # type: ignore[no-any-return]
    if client.mode.is_like_requests:
        options["data"] = options.pop("content", None)
        options["stream"] = True
        if client.mode.backend is not None:
            return client.run(read_from_niquests, inner, method, url, options)  # type: ignore[no-any-return]
        with inner.request(method, url, **options) as response:
            was_read = response._content_consumed
            return Streamed(response.status_code, b"".join(response.iter_content(1000)), was_read)
    if client.mode.backend is None:
        with inner.stream(method, url, **options) as response:
            was_read = response.is_stream_consumed
            return Streamed(response.status_code, b"".join(response.iter_bytes()), was_read)

    async def read() -> Streamed:
        async with inner.stream(method, url, **options) as response:
            was_read = response.is_stream_consumed
            pieces = [piece async for piece in response.aiter_bytes()]
            return Streamed(response.status_code, b"".join(pieces), was_read)

    return client.run(read)  # type: ignore[no-any-return]


async def read_from_niquests(session: Any, method: str, url: str, options: dict[str, Any]) -> Streamed:
    async with await session.request(method, url, **options) as response:
        was_read = response._content_consumed
        pieces = [piece async for piece in await response.iter_content(1000)]
        return Streamed(response.status_code, b"".join(pieces), was_read)


async def read_from_aiohttp(client: AiohttpClient, method: str, url: str, options: dict[str, Any]) -> Streamed:
    async with client.session.open(method, url, **options) as response:
        was_read = response._body is not None
        pieces = [piece async for piece in response.content.iter_chunked(1000)]
        return Streamed(response.status, b"".join(pieces), was_read)


def one_connection(client: Client, url: str) -> None:
    """Leave a client of any library one connection, which requests wait for."""
    if client.mode.is_like_requests:
        adapters = client.mode.library.adapters
        adapter = adapters.HTTPAdapter if client.mode.backend is None else adapters.AsyncHTTPAdapter
        client.inner.mount(url, adapter(1, 1, pool_block=True))


def limits(mode: Mode) -> dict[str, Any]:
    if mode.library is aiohttp:
        return {"connections": 1}
    return {} if mode.is_like_requests else {"limits": mode.library.Limits(max_connections=1)}
