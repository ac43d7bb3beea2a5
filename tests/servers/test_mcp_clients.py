"""MCP's clients with a `ResourceAuth`, at MCP servers that protect themselves: nobody here has written either."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import fastmcp
import httpx
import httpx2
import mcp
import pytest
from mcp import types
from mcp.client.streamable_http import streamable_http_client

import oauth_auth.httpx
import oauth_auth.httpx2
from oauth_auth import FileTokenStore, ReauthorizationRequired
from oauth_auth.login import LoginContext
from tests.support.logins import EXAMPLES
from tests.support.modes import Mode

from .mcp_servers import FastMcpServer, PythonServer, TypeScriptServer
from .resource_server import ResourceServer, log_in

SERVERS = [PythonServer, FastMcpServer, TypeScriptServer]


@dataclasses.dataclass(kw_only=True)
class Program:
    """What uses a client: it tells its name when asked, and is told when the tools have changed."""

    name: Callable[[], str] = lambda: "Bob"
    changed: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def on_message(self, message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self.changed.set()


@dataclasses.dataclass(kw_only=True)
class Conversation:
    """A client that's connected."""

    client: Any
    session: Callable[[], str | None]
    """Return the id of the session that the server has begun; in the revision 2026-07-28 there's none."""

    async def call(self, tool: str) -> str:
        """Call a tool and return what it says."""
        return str((await self.client.call_tool(tool)).content[0].text)

    async def call_many(self, tool: str) -> list[str]:
        """Call a tool ten times at once."""
        return await asyncio.gather(*(self.call(tool) for _ in range(10)))


Connect = Callable[..., AbstractAsyncContextManager[Conversation]]


@contextlib.asynccontextmanager
async def with_sdk(
    library: Any, auth: Any, url: str, mode: str, program: Program, seconds: float | None = None
) -> AsyncIterator[Conversation]:
    """Connect the Python SDK's client over httpx2 or httpx; it waits so many seconds for answers."""
    sessions: list[str] = []

    async def on_request(request: Any) -> None:
        sessions.extend(filter(None, [request.headers.get("Mcp-Session-Id")]))

    async def on_question(context: Any, question: Any) -> Any:
        return types.ElicitResult(action="accept", content={"name": program.name()})

    http = library.AsyncClient(
        auth=auth, timeout=library.Timeout(30, read=300), event_hooks={"request": [on_request], "response": []}
    )
    transport = streamable_http_client(url, http_client=http)
    options = {"elicitation_callback": on_question, "message_handler": program.on_message}
    async with http, mcp.Client(transport, mode=mode, read_timeout_seconds=seconds, **options) as client:
        yield Conversation(client=client, session=lambda: sessions[-1] if sessions else None)


@contextlib.asynccontextmanager
async def with_fastmcp(
    library: Any, auth: Any, url: str, mode: str, program: Program, seconds: float | None = None
) -> AsyncIterator[Conversation]:
    """Connect FastMCP's client."""

    async def on_question(*question: Any) -> Any:
        return {"name": program.name()}

    options = {"elicitation_handler": on_question, "message_handler": program.on_message}
    async with fastmcp.Client(url, auth=auth, mode=mode, timeout=seconds, **options) as client:
        yield Conversation(client=client, session=client.transport.get_session_id)


@dataclasses.dataclass(frozen=True)
class Way:
    """A client, the HTTP library that it's on, and how it agrees on the protocol's revision."""

    name: str
    connect: Callable[..., AbstractAsyncContextManager[Conversation]]
    library: Any
    plugin: Any
    mode: str

    def make(self, server: ResourceServer, **options: Any) -> Any:
        return self.plugin.ResourceAuth(server.url, **{"login": log_in, **options})

    def open(
        self, auth: Any, url: str, program: Program | None = None, **options: Any
    ) -> AbstractAsyncContextManager[Conversation]:
        return self.connect(self.library, auth, url, self.mode, program or Program(), **options)


IN_SESSIONS = [
    Way("mcp-session", with_sdk, httpx2, oauth_auth.httpx2, "legacy"),
    Way("mcp-session-httpx", with_sdk, httpx, oauth_auth.httpx, "legacy"),
    Way("fastmcp-session", with_fastmcp, httpx2, oauth_auth.httpx2, "legacy"),
]
"""By the handshake of the revisions before 2026-07-28, after which a session has streams and a state."""
WAYS = [
    Way("mcp", with_sdk, httpx2, oauth_auth.httpx2, "auto"),
    Way("fastmcp", with_fastmcp, httpx2, oauth_auth.httpx2, "auto"),
    *IN_SESSIONS,
]


def at_servers(ways: list[Way], turn: int) -> pytest.MarkDecorator:
    """Have a test run in each way, and at each server; with `--all-modes` in each way at each server.

    Tests have different turns, and so together bring each way and each server together.
    """
    narrow = {way: (number + turn) % len(SERVERS) for number, way in enumerate(ways)}
    values = [
        pytest.param(
            kind, way, marks=() if place == narrow[way] else pytest.mark.beyond, id=f"{kind.__name__}-{way.name}"
        )
        for place, kind in enumerate(SERVERS)
        for way in ways
    ]
    return pytest.mark.parametrize(("server", "way"), values, indirect=["server"])


@pytest.fixture(scope="module")
def running() -> Iterator[Callable[[type[ResourceServer]], ResourceServer]]:
    """Each server as it was at the start; it's started when a test first asks for it."""
    with contextlib.ExitStack() as stack:
        start = functools.cache(lambda kind: stack.enter_context(kind()))

        def take(kind: type[ResourceServer]) -> ResourceServer:
            server: ResourceServer = start(kind)
            server.reset()
            return server

        yield take


@pytest.fixture(params=SERVERS, ids=lambda kind: kind.__name__)
def server(request: pytest.FixtureRequest, running: Callable[[type[ResourceServer]], ResourceServer]) -> ResourceServer:
    return running(request.param)


def counts(server: ResourceServer) -> tuple[int, int, int]:
    """Return how many registrations, logins and token requests there were."""
    return server.registrations, server.logins, server.token_requests


def converse(conversation: Awaitable[None]) -> None:
    """Run it to its end."""

    async def run() -> None:
        async with asyncio.timeout(60):
            await conversation

    asyncio.run(run())


@at_servers(WAYS, 1)
def test_a_revocation_under_ten_calls(server: ResourceServer, way: Way) -> None:
    """The URL is enough; ten calls at once with a token that was revoked cost one refresh, and no login."""

    async def conversation() -> None:
        async with way.open(way.make(server), server.url) as client:
            assert "Hello, Alice" == await client.call("greet")
            assert (1, 1, 1) == counts(server)
            server.revoke_access_tokens()
            assert 10 * ["Hello, Alice"] == await client.call_many("greet")
            assert (1, 1, 2) == counts(server)

    converse(conversation())


@at_servers(WAYS, 2)
def test_more_scope_for_ten_calls(server: ResourceServer, way: Way) -> None:
    """Ten calls at once that want more scope cost one login, of the same client, and the session goes on."""

    async def conversation() -> None:
        async with way.open(way.make(server, scope="basic"), server.url) as client:
            assert "Hello, Alice" == await client.call("greet")
            before = client.session()
            assert 10 * ["secrets"] == await client.call_many("administer")
            assert "Hello, Alice" == await client.call("greet")
            assert before == client.session()
            assert (before is not None) >= (way in IN_SESSIONS)
            assert (1, 2, 2) == counts(server)

    converse(conversation())


@at_servers(IN_SESSIONS, 0)
def test_streams(server: ResourceServer, way: Way) -> None:
    """A revocation within an answer ends neither that, nor the session's own stream; what's told meanwhile arrives."""

    def name() -> str:
        server.revoke_access_tokens()
        return "Bob"

    async def conversation() -> None:
        program = Program(name=name)
        async with way.open(way.make(server), server.url, program) as client:
            assert "Hello, Bob" == await client.call("ask")
            while not program.changed.is_set():  # the client opens the stream when it likes
                assert "announced" == await client.call("announce")
            assert (1, 1, 2) == counts(server)

    converse(conversation())


def test_tokens_expire_under_sessions(running: Callable[[type[ResourceServer]], ResourceServer]) -> None:
    """Calls and sessions that last longer than tokens of two seconds don't notice, and nobody logs in again.

    All servers and ways at once, since this one waits for the servers' clocks.
    """

    async def conversation(way: Way, server: ResourceServer) -> str | None:
        async with way.open(way.make(server), server.url) as client:
            for _ in range(2):
                assert "Hello, Alice" == await client.call("greet")
                assert "outlasted" == await client.call("outlast")
            assert "Hello, Alice" == await client.call("greet")
            return client.session()

    async def conversations(server: ResourceServer) -> list[str | None]:
        return await asyncio.gather(*(conversation(way, server) for way in WAYS))

    def use(server: ResourceServer) -> tuple[int, int, int]:
        server.set_access_token_lifetime(2)
        asyncio.run(conversations(server))
        return counts(server)

    with ThreadPoolExecutor(len(SERVERS)) as pool:
        for registrations, logins, token_requests in pool.map(use, map(running, SERVERS)):
            assert len(WAYS) == registrations == logins
            assert 3 * len(WAYS) <= token_requests  # more where a renewal came before the end of a token


@pytest.mark.parametrize(
    "server",
    # What another process finds is in the store; `test_in_browser.py` has other processes at each server.
    [TypeScriptServer, *(pytest.param(kind, marks=pytest.mark.beyond) for kind in (PythonServer, FastMcpServer))],
    ids=lambda kind: kind.__name__,
    indirect=True,
)
def test_another_process_needs_no_login(server: ResourceServer, tmp_path: Path) -> None:
    """What one process has stored, another uses: the first request has the token, and nothing else is asked."""

    async def conversation() -> None:
        store = FileTokenStore(tmp_path)
        async with WAYS[0].open(WAYS[0].make(server, store=store), server.url) as client:
            assert "Hello, Alice" == await client.call("greet")

    def run(*tools: str) -> str:
        """Run the example, with a browser that fails."""
        command = [sys.executable, "-W", "error", str(EXAMPLES / "mcp_client.py"), server.url, *tools]
        environment = {**os.environ, "TOKENS": str(tmp_path), "BROWSER": "false %s"}
        return subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=True
        ).stdout

    converse(conversation())
    before = server.metadata_requests
    assert "Hello, Alice\n" == run("greet")
    assert (1, 1, 1, before) == (*counts(server), server.metadata_requests)
    server.revoke_access_tokens()
    assert "Hello, Alice\n" == run("greet")
    assert (1, 1, 2, before + 1) == (*counts(server), server.metadata_requests)


@at_servers(WAYS, 0)
def test_the_server_forgets_the_client(server: ResourceServer, way: Way) -> None:
    """A server that knows the client no more gets another one, in the middle of it all.

    Where a session belongs to its client, it has ended with it; the next one costs nothing more.
    """

    async def conversation() -> None:
        auth = way.make(server)
        async with way.open(auth, server.url) as client:
            assert "Hello, Alice" == await client.call("greet")
            server.forget_clients()
            server.revoke_access_tokens()
            if way in IN_SESSIONS and not isinstance(server, TypeScriptServer):
                with pytest.raises(mcp.MCPError, match="Session not found"):
                    await client.call("greet")
            else:
                assert "Hello, Alice" == await client.call("greet")
        # registered anew after a refresh in vain
        assert (2, 2, 3) == counts(server)
        async with way.open(auth, server.url) as client:
            assert 10 * ["Hello, Alice"] == await client.call_many("greet")
        assert (2, 2, 3) == counts(server)

    converse(conversation())


@at_servers(WAYS, 2)
def test_our_error_reaches_the_program(server: ResourceServer, way: Way) -> None:
    """Where nobody can log in, the client's error has ours in it, which says what to do."""

    async def conversation() -> None:
        async with way.open(way.make(server, login=None), server.url):
            pytest.fail("it connected without a token")

    with pytest.raises((ExceptionGroup, RuntimeError)) as raised:
        converse(conversation())
    error: BaseException | None = raised.value.__cause__
    if isinstance(raised.value, ExceptionGroup):
        (error,) = raised.value.exceptions
    assert isinstance(error, ReauthorizationRequired)
    assert f"oauth-auth login {server.url}" in str(error)
    assert (0, 0, 0) == counts(server)


@at_servers(IN_SESSIONS, 1)
def test_a_login_outlasts_the_client_s_patience(server: ResourceServer, way: Way) -> None:
    """A client that doesn't wait for a login ends; the login goes on, and whoever comes next has its token."""
    may_go_on = threading.Event()

    def slowly(begin: LoginContext) -> str:
        assert may_go_on.wait(30)
        return log_in(begin)

    async def impatient(auth: Any) -> None:
        async with way.open(auth, server.url, seconds=0.3):
            pytest.fail("it connected without a token")

    async def conversation(auth: Any) -> None:
        assert (await auth.aget_token()).access_token
        async with way.open(auth, server.url, seconds=30) as client:
            assert "Hello, Alice" == await client.call("greet")

    auth = way.make(server, login=slowly)
    with pytest.raises((ExceptionGroup, mcp.MCPError)) as raised:
        converse(impatient(auth))
    assert "timed out" in repr(raised.value)
    may_go_on.set()
    converse(conversation(auth))
    assert (1, 1, 1) == counts(server)


@at_servers(IN_SESSIONS, 2)
def test_a_call_that_is_given_up_leaves_the_session(server: ResourceServer, way: Way) -> None:
    """A call that doesn't wait for the login which it led to ends alone; the session, and the login, go on."""
    may_go_on = threading.Event()
    may_go_on.set()

    def slowly(begin: LoginContext) -> str:
        assert may_go_on.wait(30)
        return log_in(begin)

    async def conversation() -> None:
        async with way.open(way.make(server, login=slowly, scope="basic"), server.url) as client:
            assert "Hello, Alice" == await client.call("greet")
            before = client.session()
            may_go_on.clear()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.call("administer")
            assert "Hello, Alice" == await client.call("greet")
            may_go_on.set()
            assert "secrets" == await client.call("administer")
            assert before == client.session()
            assert (1, 2, 2) == counts(server)

    converse(conversation())


@pytest.mark.shared_core
def test_each_way_to_prove_the_client(plugin_mode: Mode, server: ResourceServer) -> None:
    """In whichever way that the server lists the client is to prove itself, it's known, in logins and refreshes.

    Two of the servers know none without a `client_id` in the form, whatever the header says.
    """
    metadata = httpx.get(f"{server.issuer}.well-known/oauth-authorization-server").json()
    methods = metadata["token_endpoint_auth_methods_supported"]
    assert {"none", "client_secret_basic"} & {*methods}
    for method in methods:
        client_metadata = {"token_endpoint_auth_method": method}
        with plugin_mode.plugin.ResourceAuth(server.url, login=log_in, client_metadata=client_metadata) as auth:
            assert auth.get_token().access_token != auth.refresh().access_token
    assert (len(methods), len(methods), 2 * len(methods)) == counts(server)
