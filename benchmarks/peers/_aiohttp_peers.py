"""What aiohttp's users have: a middleware written by hand, as aiohttp's cookbook of client middlewares suggests."""

from __future__ import annotations

import asyncio
import time
from typing import Any, ClassVar, NamedTuple

from ._contender import NO_DPOP, Contender


class Answer(NamedTuple):
    status_code: int


class Session:
    """A session of aiohttp with the interface that the load needs; one for each event loop, since it belongs to one."""

    def __init__(self, *middlewares: Any) -> None:
        self.middlewares = list(middlewares)
        self._session: Any = None
        self._loop: Any = None

    async def get(self, url: str) -> Answer:
        return await self._send("GET", url)

    async def post(self, url: str, data: Any) -> Answer:
        return await self._send("POST", url, data=data)

    async def _send(self, method: str, url: str, **options: Any) -> Answer:
        import aiohttp

        if self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            timeout, connector = aiohttp.ClientTimeout(30), aiohttp.TCPConnector(limit=64)
            self._session = aiohttp.ClientSession(
                middlewares=self.middlewares, timeout=timeout, connector=connector, trust_env=False
            )
        async with self._session.request(method, url, **options) as response:
            await response.read()
            return Answer(response.status)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


class ByHand:
    """Gets a token under a lock when it has none or it has expired, and again after a 401, and then retries once."""

    def __init__(self, provider: Any, token: dict[str, Any] | None = None) -> None:
        self._provider = provider
        self._token = token or {"access_token": None, "expires_at": 0}
        self._lock = asyncio.Lock()

    async def __call__(self, request: Any, handler: Any) -> Any:
        if time.time() >= self._token["expires_at"]:
            await self._renew(request.session, self._token)
        sent = self._token
        request.headers["Authorization"] = f"Bearer {sent['access_token']}"
        response = await handler(request)
        if response.status == 401:
            await self._renew(request.session, sent)
            request.headers["Authorization"] = f"Bearer {self._token['access_token']}"
            response = await handler(request)
        return response

    async def _renew(self, session: Any, old: dict[str, Any]) -> None:
        async with self._lock:
            if self._token is not old:  # another task has done it
                return
            form = {"grant_type": "client_credentials"}
            if old.get("refresh_token"):
                form = {"grant_type": "refresh_token", "refresh_token": old["refresh_token"]}
            form |= {"client_id": self._provider.client_id, "client_secret": self._provider.client_secret}
            async with session.post(self._provider.token_url, data=form, middlewares=()) as response:
                response.raise_for_status()
                answer = await response.json()
            self._token = {"refresh_token": old.get("refresh_token"), **answer}
            self._token["expires_at"] = time.time() + answer["expires_in"]


class HandWritten(Contender):
    name = "middleware by hand, aiohttp (tasks)"
    http = "aiohttp"
    tasks = True
    cannot: ClassVar = {"processes": "can't: has no store", "proofs": NO_DPOP}

    def service(self, provider: Any, early: float | None = None) -> Any:
        return Session(ByHand(provider))

    def person(self, provider: Any, kept: dict[str, Any]) -> Any:
        return Session(ByHand(provider, kept))


CONTENDERS: list[Contender] = [HandWritten()]
