"""Start MCP servers that protect themselves, each made with an SDK of others, on loopback.

    with TypeScriptServer() as server:
        auth = ResourceAuth(server.url, login=log_in)
        http = httpx2.AsyncClient(auth=auth, timeout=httpx2.Timeout(30, read=300))
        async with http, Client(streamable_http_client(server.url, http_client=http)) as client:
            await client.call_tool("greet")

The tools are

- `greet`;
- `administer`, which wants the scope `admin`, too: else the answer is 403;
- `outlast`, which takes as long as a token lives;
- in a session `ask`, which asks the client for a name within its answer, and `announce`, which tells on the session's
  own stream that the tools have changed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from .node_server import NodeServer
from .resource_server import ResourceServer

FOLDER = Path(__file__).parent / "mcp"


class _PythonServer(ResourceServer):
    module: ClassVar[str]

    def _command(self) -> tuple[list[str], Path]:
        return [sys.executable, "-m", self.module], FOLDER.parents[2]


class PythonServer(_PythonServer):
    """The Python SDK, package `mcp`.

    Neither its 401 nor its 403 names a scope; the resource's metadata lists both. A session belongs to the client that
    has begun it: for another one it doesn't exist.
    """

    module: ClassVar = "tests.servers.mcp.of_sdk"


class FastMcpServer(_PythonServer):
    """FastMCP, with its own provider in memory. Its challenges name the scope that's wanted."""

    module: ClassVar = "tests.servers.mcp.of_fastmcp"


class TypeScriptServer(ResourceServer, NodeServer):
    """The TypeScript SDK, package `@modelcontextprotocol/sdk`. Its challenges name the scope that's wanted."""

    program: ClassVar = "server.mjs"
    folder: ClassVar = FOLDER
    package: ClassVar = "@modelcontextprotocol/sdk"
