"""An MCP client that knows a URL, for the conformance tool: `python -m tests.conformance.client URL`.

The client is the Python SDK's; all that it does about OAuth is `auth=ResourceAuth(url, …)`. It prints at last how it
ended: `done`, or the name of the error.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any
from urllib.parse import urljoin

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from oauth_auth import PrivateKeyJwt
from oauth_auth.httpx2 import ResourceAuth
from tests.servers.resource_server import log_in

_FIRST_WITHOUT_HANDSHAKE = "2026-07-28"


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


async def main(url: str) -> None:
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    version = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"]
    auth = ResourceAuth(url, **options(os.environ["MCP_CONFORMANCE_SCENARIO"], url, context))
    http = httpx2.AsyncClient(auth=auth, timeout=httpx2.Timeout(30, read=300))
    mode = version if version >= _FIRST_WITHOUT_HANDSHAKE else "legacy"
    async with http, Client(streamable_http_client(url, http_client=http), mode=mode) as client:
        await client.list_tools()
        await client.call_tool("test-tool")


def causes(error: BaseException) -> list[BaseException]:
    """Return the errors of a group, or this one."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [cause for part in error.exceptions for cause in causes(part)]


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except Exception as error:
        print(*(type(cause).__name__ for cause in causes(error)))
        raise
    print("done")
