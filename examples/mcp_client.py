"""A client of an MCP server, of which it needs to know no more than the URL: it calls tools and prints what they say.

Run it: python examples/mcp_client.py https://mcp.example.com/mcp TOOL…

The first run opens a browser, if the server demands a login; what it gets is kept in a file for the next ones.
"""

import asyncio
import os
import sys
from pathlib import Path

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from oauth_auth import BrowserLogin, FileTokenStore
from oauth_auth.httpx2 import ResourceAuth

TOKENS = Path(os.environ.get("TOKENS", "~/.my-tool/tokens")).expanduser()


async def main(url: str, *tools: str) -> None:
    auth = ResourceAuth(url, login=BrowserLogin(), store=FileTokenStore(TOKENS))
    http = httpx2.AsyncClient(auth=auth, timeout=httpx2.Timeout(30, read=300))
    async with http, Client(streamable_http_client(url, http_client=http)) as client:
        for tool in tools:
            result = await client.call_tool(tool)
            print(result.content[0].text)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
