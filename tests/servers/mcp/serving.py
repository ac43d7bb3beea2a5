"""What the MCP servers in Python have in common: how they are controlled by tests, start and end.

stdout carries one line of JSON, when a server is ready, and nothing else. When stdin ends, the server exits: so it
never outlives a test process that was killed.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ADMIN", "BASIC", "LIFETIME", "Control", "listen", "serve", "want_admin"]

BASIC, ADMIN = "basic", "admin"
LIFETIME = 3600

Control = Callable[[dict[str, str]], object]
"""What a test may have a server do; it gets the query."""

_PLACES = {
    ("POST", "/register"): "registration",
    ("GET", "/authorize"): "authorization",
    ("POST", "/token"): "token",
    ("GET", "/mcp"): "resource",
    ("POST", "/mcp"): "resource",
    ("DELETE", "/mcp"): "resource",
}


class _Controlled:
    """An application whose calls are counted, and which tests control."""

    def __init__(self, app: ASGIApp, controls: dict[str, Control]) -> None:
        self._app = app
        self._controls = controls
        self._calls: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        if path.startswith("/test/"):
            query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
            await JSONResponse(self._control(path, query))(scope, receive, send)
            return
        place = "metadata" if path.startswith("/.well-known/") else _PLACES.get((method, path))
        if place is not None:
            self._calls[place] += 1
        await self._app(scope, receive, send)

    def _control(self, path: str, query: dict[str, str]) -> dict[str, int]:
        """Do what a test wants; return how many calls there were."""
        if path == "/test/reset":
            self._calls.clear()
        if path != "/test/calls":
            self._controls[path](query)
        return self._calls


class _AdminGuard:
    """The SDK's guard of the endpoint; a call of the tool `administer` is for another one, that wants more scope."""

    def __init__(self, guard: Any) -> None:
        self._guard = guard
        self._strict = type(guard)(guard.app, [*guard.required_scopes, ADMIN], guard.resource_metadata_url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        body = b"".join(message.get("body", b"") for message in messages)

        async def again() -> Message:
            return messages.pop(0) if messages else await receive()

        guard = self._strict if _calls_administer(body) else self._guard
        await guard(scope, again, send)


def _calls_administer(body: bytes) -> bool:
    try:
        message = json.loads(body)
    except ValueError:
        return False
    return bool(message.get("method") == "tools/call" and message["params"]["name"] == "administer")


def want_admin(app: Starlette) -> None:
    """Have an application that an SDK has made want the scope `admin` for the tool `administer`."""
    (route,) = (route for route in app.routes if isinstance(route, Route) and route.path == "/mcp")
    route.app = _AdminGuard(route.app)


def listen() -> tuple[socket.socket, str]:
    """Listen on a port that's free; return the socket, and the URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


def serve(app: ASGIApp, listener: socket.socket, origin: str, controls: dict[str, Control]) -> None:
    """Serve the application until stdin ends."""
    threading.Thread(target=_exit_with_stdin, daemon=True).start()
    out = sys.stdout
    sys.stdout = sys.stderr  # it belongs to the ready line
    config = uvicorn.Config(_Controlled(app, controls), log_level="warning", timeout_keep_alive=600)
    urls = {"url": f"{origin}/mcp", "issuer": f"{origin}/"}
    out.write(json.dumps({"controls": origin, "urls": urls}) + "\n")
    out.flush()  # requests wait in the listener's queue
    uvicorn.Server(config).run([listener])


def _exit_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
