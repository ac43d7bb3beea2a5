"""An MCP server made with FastMCP, started by ../mcp_servers.py; its provider is FastMCP's own one for tests."""

from __future__ import annotations

import fastmcp
from fastmcp.server.auth.auth import ClientRegistrationOptions, RevocationOptions
from fastmcp.server.auth.providers import in_memory

from .of_sdk import administer, greet
from .serving import ADMIN, BASIC, LIFETIME, listen, serve, want_admin


def main() -> None:
    listener, origin = listen()
    provider = in_memory.InMemoryOAuthProvider(
        base_url=origin,
        client_registration_options=ClientRegistrationOptions(
            enabled=True, valid_scopes=[BASIC, ADMIN], default_scopes=[BASIC]
        ),
        revocation_options=RevocationOptions(enabled=True),
        required_scopes=[BASIC],
    )
    server = fastmcp.FastMCP("greeter", auth=provider)
    server.add_tool(fastmcp.tools.Tool.from_function(greet))
    server.add_tool(fastmcp.tools.Tool.from_function(administer))
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
