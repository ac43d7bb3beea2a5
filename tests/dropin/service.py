"""A token endpoint and an API that can be asked for their answers, with a network or without; and calls to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.support.clock import WallClock
from tests.support.modes import AiohttpClient, Client
from tests.support.scripted import Answer, Received

__all__ = ["Reply", "Service", "go_through", "nothing", "posting", "sender"]


class Reply(NamedTuple):
    """An answer of the service."""

    status: int
    headers: dict[str, str]
    document: Any

    @property
    def body(self) -> bytes:
        return json.dumps(self.document).encode()


class Service:
    """Issues tokens named `token-1`, `token-2`, … and an API that takes the last one and sends bodies back."""

    def __init__(self, clock: WallClock | None = None, origin: str = "https://service.example.com") -> None:
        self._clock = clock
        self._accepted = ""
        self.origin = origin
        self.token_calls = 0
        self.seen: list[str | None] = []
        """The tokens that the API was given."""
        self.bodies: list[bytes] = []

    @property
    def token_url(self) -> str:
        return f"{self.origin}/token"

    @property
    def api_url(self) -> str:
        return f"{self.origin}/things"

    def auth(self, plugin: Any, **options: Any) -> Any:
        """Make an auth object that gets its tokens here."""
        return plugin.ClientCredentialsAuth(self.token_url, "client-id", "client-secret", **options)

    def expire(self) -> None:
        """Let the present token's hour pass."""
        assert self._clock is not None
        self._clock.ahead += 3600
        self._accepted = ""

    def revoke(self) -> None:
        self._accepted = ""

    def reply(self, url: Any, headers: Any, body: bytes | str | None = b"") -> Reply:
        """Answer a request."""
        if str(url) == self.token_url:
            self.token_calls += 1
            self._accepted = f"token-{self.token_calls}"
            answer = {"access_token": self._accepted, "token_type": "Bearer", "expires_in": 3600}
            return Reply(200, {"Content-Type": "application/json"}, answer)
        body = body.encode() if isinstance(body, str) else body or b""
        authorization = dict(headers).get("Authorization") or dict(headers).get("authorization")
        token = authorization.removeprefix("Bearer ") if isinstance(authorization, str) else authorization
        self.seen.append(token)
        self.bodies.append(body)
        if token != self._accepted:
            return Reply(401, {"WWW-Authenticate": 'Bearer error="invalid_token"'}, None)
        return Reply(200, {"Content-Type": "application/json"}, {"sent": body.decode()})

    def __call__(self, request: Received) -> Answer:
        """Answer as the script of a `ScriptedServer`."""
        reply = self.reply(f"{self.origin}{request.path}", request.headers, request.body)
        return Answer(reply.status, reply.body, tuple(reply.headers.items()))


def sender(service: Service, client: Client) -> Callable[[], int]:
    """Return a function that sends a request to the API and returns the answer's status."""

    def send() -> int:
        response = client.send("POST", service.api_url, body=b"body")
        assert response.status_code != 200 or response.json() == {"sent": "body"}
        return int(response.status_code)

    return send


def posting(client: Client, url: str) -> Callable[[], Any]:
    """Return what sends a request and returns the answer's status: a function, or a coroutine function."""
    body: dict[str, Any] = {"content" if client.mode.is_like_httpx else "data": b"body"}

    def post() -> int:
        return int(client.inner.post(url, **body).status_code)

    async def post_async() -> int:
        return int((await client.inner.post(url, **body)).status_code)

    async def post_with_aiohttp() -> int:
        async with client.inner.post(url, **body) as response:
            return int(response.status)

    if isinstance(client, AiohttpClient):
        return post_with_aiohttp
    return post if client.mode.backend is None else post_async


def go_through(service: Service, send: Callable[[], int]) -> None:
    """Make five calls: before the third the token expires, before the fifth it's revoked. None may fail."""
    events: Sequence[Callable[[], None]] = (nothing, nothing, service.expire, nothing, service.revoke)
    statuses = []
    for happen in events:
        happen()
        statuses.append(send())

    assert [200] * 5 == statuses
    assert ["token-1", "token-1", "token-2", "token-2", "token-2", "token-3"] == service.seen
    assert 3 == service.token_calls


def nothing() -> None:
    """Happen between two calls."""
