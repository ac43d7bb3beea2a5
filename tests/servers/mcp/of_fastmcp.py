"""An MCP server made with FastMCP, started by ../mcp_servers.py; its provider is FastMCP's own one for tests."""

from __future__ import annotations

import asyncio
from typing import Any

import fastmcp
from fastmcp.server.auth.auth import ClientRegistrationOptions, RevocationOptions
from fastmcp.server.auth.providers import in_memory

from .of_sdk import Answer, administer, greet
from .serving import ADMIN, BASIC, LIFETIME, listen, serve, want_admin


class Provider(in_memory.InMemoryOAuthProvider):  # type: ignore[misc]
    """FastMCP's own, whose tokens are good for as long as it says.

    By itself it ends them up to a second earlier, and the refresh token with one that's sent then.
    """

    async def exchange_authorization_code(self, client: Any, authorization_code: Any) -> Any:
        return self._lengthened(await super().exchange_authorization_code(client, authorization_code))

    async def exchange_refresh_token(self, client: Any, refresh_token: Any, scopes: list[str]) -> Any:
        return self._lengthened(await super().exchange_refresh_token(client, refresh_token, scopes))

    def _lengthened(self, token: Any) -> Any:
        self.access_tokens[token.access_token].expires_at += 1
        return token


async def ask(context: fastmcp.Context) -> str:
    """Ask the caller for a name, within the answer to the call, and greet whoever it is."""
    told: Any = await context.elicit("Who are you?", Answer)
    return f"Hello, {told.data.name}"


async def announce(context: fastmcp.Context) -> str:
    """Tell on the session's own stream that there are other tools."""
    await context.session.send_tool_list_changed()
    return "announced"


async def outlast() -> str:
    """Answer when the token that it was called with has expired."""
    await asyncio.sleep(in_memory.DEFAULT_ACCESS_TOKEN_EXPIRY_SECONDS)
    return "outlasted"


def main() -> None:
    listener, origin = listen()
    provider = Provider(
        base_url=origin,
        client_registration_options=ClientRegistrationOptions(
            enabled=True, valid_scopes=[BASIC, ADMIN], default_scopes=[BASIC]
        ),
        revocation_options=RevocationOptions(enabled=True),
        required_scopes=[BASIC],
    )
    server = fastmcp.FastMCP("greeter", auth=provider)
    for tool in (greet, administer, ask, announce, outlast):
        server.add_tool(fastmcp.tools.Tool.from_function(tool))
    app = server.http_app()
    want_admin(app)

    def set_lifetime(query: dict[str, str]) -> None:
        in_memory.DEFAULT_ACCESS_TOKEN_EXPIRY_SECONDS = int(query["seconds"])

    serve(
        app,
        listener,
        origin,
        {
            "/test/ttl": set_lifetime,
            "/test/revoke-access-tokens": lambda query: provider.access_tokens.clear(),
            "/test/forget-clients": lambda query: provider.clients.clear(),
            "/test/reset": lambda query: set_lifetime({"seconds": str(LIFETIME)}),
        },
    )


if __name__ == "__main__":
    main()
