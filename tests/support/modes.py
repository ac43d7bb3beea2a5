"""The ways in which the library is used: each guarantee's test is written once and runs in all that it applies to."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any, Self

import aiohttp
import anyio.from_thread
import httpx
import httpx2
import niquests
import pytest
import requests
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

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
    def code(self) -> str:
        """Whose code the plug-in is."""
        return "httpx" if self.is_like_httpx else str(self.library.__name__)

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
    def has_middlewares(self) -> bool:
        """Whether the caller may put functions around each request that is sent."""
        return self.library is aiohttp

    @property
    def has_prepared_requests(self) -> bool:
        """Whether a request can be made first and sent later, as often as its maker likes."""
        return self.library is not aiohttp

    @property
    def runs_under_trio(self) -> bool:
        """Whether the library's async clients run on trio, too."""
        return self.is_like_httpx

    @property
    def sends_user_info(self) -> bool:
        """Whether user and password of a URL go out as Basic though an auth object has no say there."""
        return self.library is aiohttp

    @property
    def takes_sync_generators(self) -> bool:
        """Whether a body may be an iterable that is no async one."""
        return self.library is not aiohttp

    @property
    def takes_any_file(self) -> bool:
        """Whether whatever has a `read` is a file, and not objects of the `io` module alone."""
        return self.library is not aiohttp

    @property
    def takes_files_without_position(self) -> bool:
        """Whether a file can be sent that doesn't say where it stands."""
        return self.library is not aiohttp

    @property
    def sees_headers_first(self) -> bool:
        """Whether there's an answer to see though what came with its headers isn't HTTP."""
        return self.library is not aiohttp

    @property
    def opens_files_early(self) -> bool:
        """Whether a multipart body is bytes before it's sent, so that its files are of no matter any more."""
        return self.is_like_requests

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
        if self.library is aiohttp:
            return AiohttpSession
        return self.library.AsyncSession if self.is_like_requests else self.library.AsyncClient

    @contextlib.contextmanager
    def token_client(
        self,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        auth: tuple[str, str] | None = None,
        proxy: str | None = None,
        hook: Callable[[Any], object] | None = None,
        reads: bool = False,
    ) -> Iterator[Any]:
        """Make what a user may give as `token_client`, with settings of their own; it would follow redirects.

        It calls the hook with each answer, which with `reads` has been read by then.
        """
        if self.library is aiohttp:
            yield partial(_make_session, dict(headers), auth, proxy, hook, reads)
            return

        def on_response(response: Any, **_: object) -> None:
            if reads:
                _ = response.content if self.is_like_requests else response.read()
            if hook is not None:
                hook(response)

        if self.is_like_requests:
            client = self.sync_client()
            client.hooks["response"].append(on_response)
            client.proxies = {} if proxy is None else {"http": proxy}
        else:
            client = self.sync_client(follow_redirects=True, proxy=proxy, event_hooks={"response": [on_response]})
        client.auth = auth
        client.headers.update(headers)
        with client:
            yield client

    def break_calls(self, monkeypatch: pytest.MonkeyPatch, fail: Callable[..., Any]) -> None:
        """Have the library call this function in place of sending anything."""
        if self.library is aiohttp:
            monkeypatch.setattr(aiohttp.TCPConnector, "connect", fail)
        elif self.is_like_requests:
            monkeypatch.setattr(self.library.adapters.HTTPAdapter, "send", fail)
        else:
            monkeypatch.setattr(self.library.HTTPTransport, "handle_request", fail)
            monkeypatch.setattr(self.library.AsyncHTTPTransport, "handle_async_request", fail)

    @contextlib.contextmanager
    def client(self, auth: Any = None, **options: Any) -> Iterator[Client]:
        """Open a client of the library that uses the auth object."""
        if self.library is aiohttp:
            with (
                anyio.from_thread.start_blocking_portal("asyncio") as portal,
                portal.wrap_async_context_manager(AiohttpSession(auth, **options)) as session,
            ):
                yield AiohttpClient(self, session, portal.start_task_soon)
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

    def introspect(self, auth: Any, *token: Any) -> Any:
        """Call `introspect`, or `aintrospect` in a loop of its own."""
        if self.backend is None:
            return auth.introspect(*token)
        return anyio.run(auth.aintrospect, *token, backend=self.backend)


class Client:
    """A client of any mode: blocking to the test, whatever it is inside."""

    def __init__(self, mode: Mode, inner: Any, submit: Callable[..., Future[Any]]) -> None:
        self.mode = mode
        self.inner = inner
        self._submit = submit

    @property
    def cookies(self) -> dict[str, str]:
        """What is in its jar."""
        return dict(self.inner.cookies)

    def set_cookie(self, name: str, value: str) -> None:
        """Put a cookie for 127.0.0.1 in its jar."""
        self.inner.cookies.set(name, value, domain="127.0.0.1", path="/")

    def limit_redirects(self, most: int) -> None:
        """Have it follow so many redirects at most."""
        self.inner.max_redirects = most

    def request(self, method: str, url: str, *, body: Any = None, follow_redirects: bool = True, **options: Any) -> Any:
        """Call the library's own client, where it lives; what that returns is awaited if it's async."""
        if self.mode.is_like_requests:
            options.update(data=body, allow_redirects=follow_redirects)
        else:
            options.update(content=body, follow_redirects=follow_redirects)
        return self.inner.request(method, url, **options)

    def begin(self, method: str, url: str, **options: Any) -> Any:
        """Begin a request and return a future of its response."""
        return self._submit(partial(self.request, method, url, **options))

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


class AiohttpSession:
    """A session of aiohttp, opened with `async with`; its answers are read to their end.

    `connections` is how many it may have at once, `verify` the TLS context that they have, `after` are middlewares that
    see what the auth object has made of requests. Its jar takes cookies of IP addresses, as those of the other
    libraries do.
    """

    def __init__(
        self,
        auth: Any = None,
        *,
        after: Iterable[Any] = (),
        connections: int = 100,
        timeout: float = 60.0,
        verify: Any = True,
        **options: Any,
    ) -> None:
        self._auth = auth
        self._after = tuple(after)
        self._connector = {"limit": connections, "ssl": verify}
        self._options = {"timeout": aiohttp.ClientTimeout(timeout), **options}
        self.max_redirects = 10

    async def __aenter__(self) -> Self:
        self.inner = aiohttp.ClientSession(
            middlewares=self._middlewares(self._auth),
            connector=aiohttp.TCPConnector(**self._connector),
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            **self._options,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.inner.close()

    def _middlewares(self, auth: Any) -> tuple[Any, ...]:
        return self._after if auth is None else (auth, *self._after)

    def open(self, method: str, url: str, *, body: Any = None, follow_redirects: bool = True, **options: Any) -> Any:
        """Begin a request; the answer is not read."""
        if "auth" in options:
            options["middlewares"] = self._middlewares(options.pop("auth"))
        if "timeout" in options:
            options["timeout"] = aiohttp.ClientTimeout(options["timeout"])
        if body is not None:
            options["data"] = body
        return self.inner.request(
            method, url, allow_redirects=follow_redirects, max_redirects=self.max_redirects, **options
        )

    async def request(self, method: str, url: str, **options: Any) -> AiohttpResponse:
        async with self.open(method, url, **options) as response:
            return AiohttpResponse(response, await response.read())

    async def get(self, url: str, **options: Any) -> AiohttpResponse:
        return await self.request("GET", url, **options)


class AiohttpClient(Client):
    """A client of aiohttp; `session` is what the others call `inner`."""

    def __init__(self, mode: Mode, session: AiohttpSession, submit: Callable[..., Future[Any]]) -> None:
        super().__init__(mode, session.inner, submit)
        self.session = session

    @property
    def cookies(self) -> dict[str, str]:
        return {morsel.key: morsel.value for morsel in self.inner.cookie_jar}

    def set_cookie(self, name: str, value: str) -> None:
        self.inner.cookie_jar.update_cookies({name: value}, URL("http://127.0.0.1/"))

    def limit_redirects(self, most: int) -> None:
        self.session.max_redirects = most

    def request(self, method: str, url: str, **options: Any) -> Any:
        return self.session.request(method, url, **options)


def answered(request: aiohttp.ClientRequest, status: int, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
    """Make an answer of aiohttp, as a last middleware may return it, and as libraries that mock it do."""
    makes_writer = "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters
    response = aiohttp.ClientResponse(
        request.method,
        request.url,
        writer=None,
        continue100=None,
        timer=request._timer,
        request_info=request.request_info,
        traces=[],
        loop=asyncio.get_running_loop(),
        session=request.session,
        **({"stream_writer": SimpleNamespace(output_size=0)} if makes_writer else {}),  # type: ignore[arg-type]
    )
    response.status, response.reason, response._body = status, "", b""
    response._headers = CIMultiDictProxy(CIMultiDict(headers))
    return response


def _make_session(
    headers: dict[str, str],
    auth: tuple[str, str] | None,
    proxy: str | None,
    hook: Callable[[Any], object] | None,
    reads: bool,
) -> aiohttp.ClientSession:
    async def on_request_end(session: Any, context: Any, parameters: aiohttp.TraceRequestEndParams) -> None:
        if reads:
            await parameters.response.read()
        if hook is not None:
            hook(parameters.response)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(on_request_end)
    return aiohttp.ClientSession(
        headers=headers,
        auth=None if auth is None else aiohttp.BasicAuth(*auth),
        proxy=proxy,
        trace_configs=[trace],
        cookie_jar=aiohttp.CookieJar(unsafe=True),
        trust_env=True,
    )


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


def narrow(candidates: Sequence[Mode], whose: str, test: str) -> list[Mode]:
    """Return the modes in which a test can fail differently, of those that it applies to.

    `whose` work it tests is a marker's name, see `WHOSE`. What the plug-ins share is tested in one mode that blocks and
    one that's awaited; of one mode for each plug-in, in two. httpx and httpx2 have one plug-in between them, whose two
    names differ in the library alone: one of them blocks, the other one is awaited. Which ones goes by the test's name,
    so that each gets its share.
    """
    sharing = [mode for mode in candidates if mode.shares_loop]
    others = [mode for mode in candidates if not mode.shares_loop]
    turn = zlib.crc32(test.encode())
    groups = [sharing]
    if whose == "each_mode":
        kinds = {(mode.code, mode.backend): 0 for mode in others}
        groups += [[mode for mode in others if (mode.code, mode.backend) == kind] for kind in kinds]
        groups = [group[::-1] if group and group[0].backend is not None else group for group in groups]
    elif whose == "each_plugin":
        groups += [[mode for mode in others if mode.plugin is plugin] for plugin in {mode.plugin: 0 for mode in others}]
    elif len({mode.plugin for mode in others}) == len(others):
        groups += [others[:1], others[1:]]
    else:
        groups += [[mode for mode in others if mode.backend is None][:1], [m for m in others if m.backend is not None]]
    chosen = {group[turn % len(group)] for group in groups if group}
    return [mode for mode in candidates if mode in chosen]


WHOSE = {
    "each_mode": "what's tested is done by the plug-ins, and may differ in each of their modes; so it is by default",
    "each_plugin": "it's done by the plug-ins, and a client that blocks has nothing that an async one hasn't",
    "shared_core": "it's done by what the plug-ins share",
}
"""By marker: whose work a test looks at. That says in which modes it runs unless all are asked for (`--all-modes`)."""


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
