"""MCP clients that know a URL, for the conformance tool.

A client is the Python SDK's; all that it does about OAuth is `auth=ResourceAuth(url, …)`.

    with Clients(["auth/metadata-default"]) as clients:
        subprocess.run([*tool, "--command", clients.command, …])
    assert clients.ends == {"auth/metadata-default": "done"}
"""

from __future__ import annotations

import asyncio
import json
import shlex
import socketserver
import sys
import threading
import traceback
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from oauth_auth import PrivateKeyJwt
from oauth_auth.httpx2 import ResourceAuth
from tests.servers.resource_server import log_in

_FIRST_WITHOUT_HANDSHAKE = "2026-07-28"
_AT_ONCE = 2
"""So many clients run at a time, since the tool starts all at once."""
_LONGEST = 30.0
"""Seconds that a client may take: the tool's own time-out, within which others have their turns here."""


class Clients(socketserver.ThreadingTCPServer):
    """Runs the client of each scenario when the tool starts one, and knows how it ended.

    The tool starts a program for each, which says here what it was told: to load an SDK takes ten times as long as to
    pass a scenario. Clients share the process alone: each has its event loop, its HTTP client and its auth object.
    """

    daemon_threads = True

    def __init__(self, scenarios: Collection[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Start)
        self.ends: dict[str, str] = {}
        """By scenario, `done`, or the name of the error."""
        self.scenarios = scenarios
        """Others that the tool starts a client for aren't run."""
        self.turns = threading.Semaphore(_AT_ONCE)

    @property
    def command(self) -> str:
        """What the tool is to start."""
        program = [sys.executable, "-I", "-S", str(Path(__file__).with_name("started.py"))]
        return shlex.join([*program, str(self.server_address[1])])

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


class _Start(socketserver.StreamRequestHandler):
    """One client, from its start to its end."""

    server: Clients

    def handle(self) -> None:
        told = json.loads(self.rfile.readline())
        scenario = told["MCP_CONFORMANCE_SCENARIO"]
        if scenario not in self.server.scenarios:
            return
        with self.server.turns:
            trace, end = _run(told["url"], scenario, told)
        self.server.ends[scenario] = end
        self.wfile.write(f"{trace}{end}\n".encode())


def _run(url: str, scenario: str, told: dict[str, str]) -> tuple[str, str]:
    """Run a client; return the traceback if there is one, and how it ended."""
    context = json.loads(told.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    try:
        conversation = _call(url, told["MCP_CONFORMANCE_PROTOCOL_VERSION"], options(scenario, url, context))
        asyncio.run(asyncio.wait_for(conversation, _LONGEST))
    except Exception as error:
        return traceback.format_exc(), " ".join(type(cause).__name__ for cause in causes(error))
    return "", "done"


def options(scenario: str, url: str, context: dict[str, Any]) -> dict[str, Any]:
    """Return what a person would have configured, beyond the URL."""
    client: dict[str, Any] = {
        name: context[name] for name in ("client_id", "client_secret", "issuer") if name in context
    }
    if scenario in {"auth/client-credentials-basic", "auth/client-credentials-jwt"}:
        # Who gives a secret or a key says whose it is; the tool doesn't, so it's looked up as a person would.
        metadata = httpx2.get(urljoin(url, "/.well-known/oauth-protected-resource/mcp")).json()
        if "private_key_pem" in context:
            client["client_auth"] = PrivateKeyJwt(context["private_key_pem"], alg=context["signing_algorithm"])
        return client | {"issuer": metadata["authorization_servers"][0]}
    if scenario in {"auth/dpop", "auth/dpop-nonce"}:
        client["dpop"] = True
    if scenario == "auth/basic-cimd":
        client["client_metadata_url"] = "https://conformance-test.local/client-metadata.json"
    return client | {"login": log_in}


async def _call(url: str, version: str, options: dict[str, Any]) -> None:
    http = httpx2.AsyncClient(auth=ResourceAuth(url, **options), timeout=httpx2.Timeout(30, read=300))
    mode = version if version >= _FIRST_WITHOUT_HANDSHAKE else "legacy"
    async with http, Client(streamable_http_client(url, http_client=http), mode=mode) as client:
        await client.list_tools()
        await client.call_tool("test-tool")


def causes(error: BaseException) -> list[BaseException]:
    """Return the errors of a group, or this one."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [cause for part in error.exceptions for cause in causes(part)]
