"""An MCP server made with the Python SDK, started by ../mcp_servers.py.

Only what the SDK leaves to its operator is written here: where clients and tokens are kept, who may log in, and that a
tool wants more scope than the rest.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

from mcp.server.auth.provider import AccessToken, AuthorizationCode, RefreshToken, construct_redirect_uri
from mcp.server.auth.routes import create_protected_resource_routes
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.auth import OAuthToken
from pydantic import AnyHttpUrl, BaseModel

from .serving import ADMIN, BASIC, LIFETIME, listen, serve, want_admin


class Provider:
    """The clients and tokens, in memory. Whoever comes is logged in, and agrees to all. Refresh tokens rotate."""

    def __init__(self) -> None:
        self.lifetime = LIFETIME
        self.clients: dict[str, Any] = {}
        self.codes: dict[str, Any] = {}
        self.access_tokens: dict[str, Any] = {}
        self.refresh_tokens: dict[str, Any] = {}

    async def get_client(self, client_id: str) -> Any:
        return self.clients.get(client_id)

    async def register_client(self, client_info: Any) -> None:
        self.clients[client_info.client_id] = client_info

    async def authorize(self, client: Any, params: Any) -> str:
        code = AuthorizationCode(
            code=secrets.token_urlsafe(32),
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            expires_at=time.time() + 60,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
            scopes=params.scopes or [BASIC],
            subject="alice",
        )
        self.codes[code.code] = code
        return str(construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state))

    async def load_authorization_code(self, client: Any, authorization_code: str) -> Any:
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client: Any, authorization_code: Any) -> Any:
        del self.codes[authorization_code.code]
        return self._issue(authorization_code, authorization_code.scopes)

    async def load_refresh_token(self, client: Any, refresh_token: str) -> Any:
        found = self.refresh_tokens.get(refresh_token)
        return found if found is not None and found.client_id == client.client_id else None

    async def exchange_refresh_token(self, client: Any, refresh_token: Any, scopes: list[str]) -> Any:
        del self.refresh_tokens[refresh_token.token]
        return self._issue(refresh_token, scopes)

    async def load_access_token(self, token: str) -> Any:
        found, expires_at = self.access_tokens.get(token, (None, 0.0))
        return found if time.time() < expires_at else None

    async def revoke_token(self, token: Any) -> None:
        self.access_tokens.pop(token.token, None)
        self.refresh_tokens.pop(token.token, None)

    def _issue(self, basis: Any, scopes: list[str]) -> Any:
        whose = {"client_id": basis.client_id, "resource": basis.resource, "subject": basis.subject}
        access = AccessToken(token=secrets.token_urlsafe(32), scopes=scopes, **whose)
        refresh = RefreshToken(token=secrets.token_urlsafe(32), scopes=basis.scopes, **whose)
        self.access_tokens[access.token] = access, time.time() + self.lifetime
        self.refresh_tokens[refresh.token] = refresh
        return OAuthToken(
            access_token=access.token,
            expires_in=self.lifetime,
            refresh_token=refresh.token,
            scope=" ".join(scopes),
        )


def greet() -> str:
    """Return a greeting."""
    return "Hello, Alice"


def administer() -> str:
    """Return what only administrators see."""
    return "secrets"


class Answer(BaseModel):
    """What a person tells when asked for a name."""

    name: str


async def ask(context: Context) -> str:
    """Ask the caller for a name, within the answer to the call, and greet whoever it is."""
    told = await context.elicit("Who are you?", Answer)
    return f"Hello, {told.data.name}"


async def announce(context: Context) -> str:
    """Tell on the session's own stream that there are other tools."""
    await context.session.send_tool_list_changed()
    return "announced"


def main() -> None:
    listener, origin = listen()
    provider = Provider()
    url, issuer = AnyHttpUrl(f"{origin}/mcp"), AnyHttpUrl(origin)
    server = MCPServer(
        "greeter",
        auth_server_provider=provider,
        auth=AuthSettings(
            issuer_url=issuer,
            resource_server_url=url,
            client_registration_options=ClientRegistrationOptions(
                enabled=True, valid_scopes=[BASIC, ADMIN], default_scopes=[BASIC]
            ),
            revocation_options=RevocationOptions(enabled=True),
            required_scopes=[BASIC],
            validate_token_resource=True,
        ),
    )

    async def outlast() -> str:
        """Answer when the token that it was called with has expired."""
        await asyncio.sleep(provider.lifetime)
        return "outlasted"

    for tool in (greet, administer, ask, announce, outlast):
        server.add_tool(tool)
    app = server.streamable_http_app()
    # By itself it lists in the resource's metadata only what all requests want.
    app.router.routes[:0] = create_protected_resource_routes(url, [issuer], [BASIC, ADMIN])
    want_admin(app)

    def set_lifetime(query: dict[str, str]) -> None:
        provider.lifetime = int(query["seconds"])

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
