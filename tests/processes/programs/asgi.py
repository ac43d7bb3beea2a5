"""A web application for uvicorn. Tests copy this file, and change its version while it's served."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from oauth_auth.httpx import ClientCredentialsAuth
from oauth_auth.stores import FileTokenStore

VERSION = 1
SETTINGS = json.loads(os.environ["SETTINGS"])
AUTH = ClientCredentialsAuth(*SETTINGS["client"], store=FileTokenStore(SETTINGS["store"]))


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    assert scope["type"] == "http"
    async with httpx.AsyncClient(auth=AUTH) as client:
        answer = await client.get(SETTINGS["api_url"])
    result = [VERSION, answer.status_code, answer.request.headers["Authorization"]]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(result).encode()})
