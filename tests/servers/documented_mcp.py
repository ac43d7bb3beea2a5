"""The MCP server at https://api.example.com/mcp of the documentation. It leaves tokens to the proxy before it."""

from __future__ import annotations

import threading

import uvicorn
from mcp.server.mcpserver import MCPServer

from .mcp.serving import listen

__all__ = ["DocumentedMcpServer"]


def search(query: str) -> str:
    """Return what was found."""
    return f"all about {query}"


class DocumentedMcpServer:
    """Serves in a thread, without sessions, on loopback."""

    def __init__(self) -> None:
        server = MCPServer("library")
        server.add_tool(search)
        app = server.streamable_http_app(stateless_http=True, json_response=True)
        listener, self.url = listen()
        self.port: int = listener.getsockname()[1]
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        threading.Thread(target=self._server.run, args=([listener],), daemon=True).start()

    def close(self) -> None:
        """Have it end."""
        self._server.should_exit = True
