"""The ways in which the library is used: each guarantee's test is written once and runs in all that it applies to."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import aiohttp
import anyio.from_thread
import httpx
import httpx2
import niquests
import pytest
import requests

import oauth_auth.aiohttp
import oauth_auth.httpx
import oauth_auth.httpx2
import oauth_auth.niquests
import oauth_auth.requests
from oauth_auth._renewal.flights import RenewalFlight


@dataclasses.dataclass(frozen=True)
class Mode:
    """An HTTP library, its plug-in, and for async clients the event loop."""

    name: str
    library: Any
    plugin: Any
    backend: str | None = None
    shares_loop: bool = False
    """Whether all flights that can share an event loop do so, as in programs with many auth objects."""

    def prepared(self, monkeypatch: pytest.MonkeyPatch) -> Mode:
        """Return self, when the library does as it says until the test ends."""
        if self.shares_loop:
            monkeypatch.setattr(RenewalFlight, "most_threads", 0)
        return self

    def __str__(self) -> str:
        return self.name

    @property
    def is_like_requests(self) -> bool:
        """Whether the library has the interface of requests."""
        return self.library in {requests, niquests}

    @property
    def is_like_httpx(self) -> bool:
        """Whether the library has the interface of httpx."""
        return self.library in {httpx, httpx2}

    @property
    def has_sync_client(self) -> bool:
        """Whether the library has clients that block, one of which can be a `token_client`."""
        return self.library is not aiohttp

    @property
    def shows_replays_in_history(self) -> bool:
        """Whether an answer that was replaced can be in the history of the one that replaces it."""
        return self.library is not aiohttp

    @property
    def transport_error(self) -> Any:
        """What the library raises when a server can't be reached."""
        if self.library is aiohttp:
            return aiohttp.ClientConnectionError
        return self.library.RequestException if self.is_like_requests else self.library.TransportError

    @property
    def sync_client(self) -> Any:
        """The class of clients that can be a `token_client`."""
        return self.library.Session if self.is_like_requests else self.library.Client

    @property
    def async_client(self) -> Any:
        """The class of clients whose requests are awaited."""
        return self.library.AsyncSession if self.is_like_requests else self.library.AsyncClient

    @contextlib.contextmanager
    def client(self, auth: Any = None, **options: Any) -> Iterator[Client]:
        """Open a client of the library that uses the auth object."""
        if self.library is aiohttp:
            with anyio.from_thread.start_blocking_portal("asyncio") as portal:
                inner = portal.call(partial(_open_session, auth, options))
                try:
                    yield AiohttpClient(self, inner, portal.start_task_soon)
                finally:
                    portal.call(inner.close)
            return
        if self.backend is None:
            with self.sync_client(**options) as inner:
                inner.auth = auth
                with ThreadPoolExecutor(64) as pool:
                    yield Client(self, inner, pool.submit)
            return
        with anyio.from_thread.start_blocking_portal(self.backend) as portal:
            inner = portal.call(partial(self.async_client, auth=auth, **options))
            try:
                yield Client(self, inner, portal.start_task_soon)
            finally:
                portal.call(inner.close if self.is_like_requests else inner.aclose)

    def get_token(self, auth: Any) -> Any:
        """Call `get_token`, or `aget_token` in a loop of its own."""
        return auth.get_token() if self.backend is None else anyio.run(auth.aget_token, backend=self.backend)

    def refresh(self, auth: Any) -> Any:
        """Call `refresh`, or `arefresh` in a loop of its own."""
        return auth.refresh() if self.backend is None else anyio.run(auth.arefresh, backend=self.backend)

    def revoke(self, auth: Any) -> None:
        """Call `revoke`, or `arevoke` in a loop of its own."""
        if self.backend is None:
            auth.revoke()
        else:
            anyio.run(auth.arevoke, backend=self.backend)


class Client:
    """A client of any mode: blocking to the test, whatever it is inside."""

    def __init__(self, mode: Mode, inner: Any, submit: Callable[..., Future[Any]]) -> None:
        self.mode = mode
        self.inner = inner
        self._submit = submit

    def begin(self, method: str, url: str, *, body: Any = None, follow_redirects: bool = True, **options: Any) -> Any:
        """Begin a request and return a future of its response."""
        if self.mode.is_like_requests:
            options.update(data=body, allow_redirects=follow_redirects)
        else:
            options.update(content=body, follow_redirects=follow_redirects)
        return self._submit(partial(self.inner.request, method, url, **options))

    def send(self, method: str, url: str, **options: Any) -> Any:
        """Send a request and return its response, or raise."""
        return self.begin(method, url, **options).result(30)

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, or a coroutine function, where the client lives."""
        return self._submit(function, *arguments).result(30)

    def get(self, url: str, **options: Any) -> Any:
        return self.send("GET", url, **options)

    def get_many(self, url: str, count: int, **options: Any) -> list[Any]:
        """Send many requests at the same time; return their responses, or the errors that they raised."""
        futures = [self.begin("GET", url, **options) for _ in range(count)]
        return [future.exception(30) or future.result() for future in futures]


class AiohttpResponse:
    """An answer of aiohttp, read to its end, with the names that the other libraries' answers have."""

    def __init__(self, inner: aiohttp.ClientResponse, content: bytes) -> None:
        self.inner = inner
        self.status_code = inner.status
        self.content = content
        self.headers = inner.headers
        self.cookies = {name: morsel.value for name, morsel in inner.cookies.items()}
        self.url = inner.url
        self.request = inner.request_info
        self.history = [AiohttpResponse(past, b"") for past in inner.history]

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


async def _open_session(auth: Any, options: dict[str, Any]) -> aiohttp.ClientSession:
    # Its jar takes no cookies of IP addresses unless it's told to.
    return aiohttp.ClientSession(
        middlewares=() if auth is None else (auth,), cookie_jar=aiohttp.CookieJar(unsafe=True), **options
    )


class AiohttpClient(Client):
    """A session of aiohttp, whose answers are read to their end."""

    def begin(self, method: str, url: str, *, body: Any = None, follow_redirects: bool = True, **options: Any) -> Any:
        if "auth" in options:
            auth = options.pop("auth")
            options["middlewares"] = () if auth is None else (auth,)
        if "timeout" in options:
            options["timeout"] = aiohttp.ClientTimeout(options["timeout"])
        options.update({"data": body} if body is not None else {})
        return self._submit(self._request, method, url, {"allow_redirects": follow_redirects, **options})

    async def _request(self, method: str, url: str, options: dict[str, Any]) -> AiohttpResponse:
        async with self.inner.request(method, url, **options) as response:
            return AiohttpResponse(response, await response.read())


REQUESTS = Mode("requests", requests, oauth_auth.requests)
NIQUESTS = Mode("niquests", niquests, oauth_auth.niquests)
NIQUESTS_ASYNCIO = Mode("niquests-asyncio", niquests, oauth_auth.niquests, "asyncio")
HTTPX = Mode("httpx", httpx, oauth_auth.httpx)
HTTPX_ASYNCIO = Mode("httpx-asyncio", httpx, oauth_auth.httpx, "asyncio")
HTTPX_TRIO = Mode("httpx-trio", httpx, oauth_auth.httpx, "trio")
HTTPX2 = Mode("httpx2", httpx2, oauth_auth.httpx2)
HTTPX2_ASYNCIO = Mode("httpx2-asyncio", httpx2, oauth_auth.httpx2, "asyncio")
HTTPX2_TRIO = Mode("httpx2-trio", httpx2, oauth_auth.httpx2, "trio")
AIOHTTP = Mode("aiohttp", aiohttp, oauth_auth.aiohttp, "asyncio")

ALL = (
    REQUESTS,
    NIQUESTS,
    NIQUESTS_ASYNCIO,
    HTTPX,
    HTTPX_ASYNCIO,
    HTTPX_TRIO,
    HTTPX2,
    HTTPX2_ASYNCIO,
    AIOHTTP,
)
"""httpx2 isn't among them with trio: its plug-in is the code of httpx's, and what waits in trio knows no library."""
SYNC = (REQUESTS, NIQUESTS, HTTPX, HTTPX2, AIOHTTP)
"""One mode of each plug-in is enough where only what the plug-in sends is looked at."""
ASYNC = tuple(mode for mode in ALL if mode.backend is not None)
OF_REQUESTS = tuple(mode for mode in ALL if mode.is_like_requests)
OF_HTTPX = tuple(mode for mode in ALL if mode.is_like_httpx)
SHARING = tuple(
    dataclasses.replace(mode, name=f"{mode.name}-shared", shares_loop=True) for mode in (HTTPX_ASYNCIO, HTTPX2_TRIO)
)
"""Not among all: modules that set `ALSO_SHARING` run in them, too."""
WITH_ASYNC = (NIQUESTS, HTTPX, HTTPX2, AIOHTTP)
"""The plug-ins whose objects serve threads and event loops alike."""


def adapter_of(mode: Mode, answer: Callable[[Any], Any]) -> Any:
    """Make an adapter for a session of requests or niquests that returns a function's responses and sends nothing."""
    adapters = mode.library.adapters

    class Adapter(adapters.BaseAdapter):  # type: ignore[misc, name-defined]
        def send(self, request: Any, *args: Any, **options: Any) -> Any:
            return answer(request)

        def close(self) -> None:
            pass

    if mode.backend is None:
        return Adapter()

    class AsyncAdapter(adapters.AsyncBaseAdapter):  # type: ignore[misc, name-defined]
        async def send(self, request: Any, *args: Any, **options: Any) -> Any:
            return answer(request)

        async def close(self) -> None:
            pass

    return AsyncAdapter()
