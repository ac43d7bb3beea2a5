"""A scripted token endpoint and an API that takes its tokens, and auth objects for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from oauth_auth import OAuthToken
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, Script, ScriptedServer


class Tokens:
    """A scripted token endpoint that issues tokens named `token-1`, `token-2`, …; and an API that takes the last."""

    def __init__(self, serve: Callable[..., ScriptedServer]) -> None:
        self.issued = 0
        self.accepted: set[str] = set()
        self.fields: dict[str, Any] = {"token_type": "Bearer", "expires_in": 3600}
        self.answer: Callable[[Received], Answer | None] | None = None
        self.server = serve(self._issue)
        self.url = f"{self.server.url}/token"

    def _issue(self, request: Received) -> Answer:
        if self.answer is not None and (answer := self.answer(request)) is not None:
            return answer
        self.issued += 1
        token = f"token-{self.issued}"
        self.accepted = {f"Bearer {token}"}
        return Answer(200, {"access_token": token, **self.fields})

    @property
    def calls(self) -> int:
        return len(self.server.requests)

    def revoke(self) -> None:
        self.accepted = set()


def accepting(tokens: Tokens, challenge: str | None = 'Bearer error="invalid_token"') -> Script:
    def script(request: Received) -> Answer:
        if request.authorization in tokens.accepted:
            return Answer(200, request.body)
        return Answer(401, b"who are you?", () if challenge is None else (("WWW-Authenticate", challenge),))

    return script


def client_credentials(mode: Mode, tokens: Tokens, **options: Any) -> Any:
    return mode.plugin.ClientCredentialsAuth(tokens.url, "client", "secret", **options)


def token_that_expires_in(seconds: float, access_token: str = "given", **fields: Any) -> OAuthToken:
    """Make a token of one hour's lifetime that has this much left of it."""
    return OAuthToken(access_token=access_token, expires_in=3600, expiry=time.time() + seconds, **fields)


class Gate:
    """A token endpoint's script that holds its answers back until it's opened."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        """What is answered then; None: a token."""
        self._opened = threading.Event()
        self._arrivals = threading.Semaphore(0)

    def __call__(self, request: Received) -> Any:
        self._arrivals.release()
        assert self._opened.wait(60)
        return self.answer

    def await_call(self) -> None:
        """Block until one more token call has arrived."""
        assert self.may_call(60), "no token call has come"  # whoever makes it may be a program that has just begun

    def may_call(self, seconds: float) -> bool:
        """Tell whether one more token call arrives within this time."""
        return self._arrivals.acquire(timeout=seconds)

    def open(self, answer: Answer | None = None) -> None:
        self.answer = answer
        self._opened.set()
