"""Under gevent an auth object serves many greenlets, and stops none that needs no token."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens

from .running import running


class Hold:
    """Holds a token call until a request that needs no token has come, and that until there is a token call."""

    def __init__(self) -> None:
        self._calls, self._others = threading.Semaphore(0), threading.Semaphore(0)

    def token_call(self, request: Received) -> Answer | None:
        self._calls.release()
        return None if self._others.acquire(timeout=30) else Answer(500)

    def other(self, request: Received) -> Answer:
        self._others.release()
        return Answer(200 if self._calls.acquire(timeout=30) else 503)


@pytest.mark.parametrize("library", ["requests", "niquests", "httpx", "httpx2"])
def test_a_hundred_greenlets(
    library: str, tokens: Tokens, api: ScriptedServer, serve: Callable[..., ScriptedServer], tmp_path: Path
) -> None:
    """A first token and a renewal cost one call each, and while it lasts another greenlet's request goes through."""
    settings = {"client": [tokens.url, "client", "secret"], "api_url": api.url, "store": str(tmp_path / "store")}
    hold = Hold()
    tokens.answer = hold.token_call
    settings |= {"library": library, "other_url": serve(hold.other).url}
    with running("-W", "error", "-m", "tests.processes.programs.greenlets", settings=settings) as program:
        for _ in range(2):
            assert [200] * 101 == program.ask("go")
            tokens.revoke()
        assert 0 == program.finish()
    assert 2 == tokens.calls
