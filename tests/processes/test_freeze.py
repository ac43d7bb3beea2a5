"""Functions in a cloud are frozen between two invocations, for hours: what runs in the background then is a trap."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.support.scripted import Answer, ScriptedServer
from tests.support.tokens import Gate, Tokens

from .running import Program, running

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="only Unix stops processes so")

HOUR = 3600
"""The lifetime of tokens, in seconds."""
DUE = 100
"""Seconds that the token given has left: by default it's renewed in the background then."""


def function(
    tokens: Tokens, api: ScriptedServer, *, left: float | None = None, closes: bool = False, **options: Any
) -> Any:
    """Start a function with an auth object; `left` is how long the token that it's given can be used."""
    tokens.accepted = {"Bearer given"}
    settings = {
        "client": [tokens.url, "client", "secret"],
        "api_url": api.url,
        "seconds_left": left,
        "closes": closes,
        "options": options,
    }
    return running("-W", "error", "-m", "tests.processes.programs.function", settings=settings)


def invoke(program: Program, *, later: float = 0) -> list[Any]:
    """Invoke it, so many seconds later; return the status, the token that was sent, and what still runs at the end."""
    program.tell(later)
    program.thaw()
    status_and_token, (_, running) = program.read(), program.read()
    return [*status_and_token, running]


@pytest.mark.parametrize(
    ("options", "is_renewed"), [({}, True), ({"refresh_window": 0}, False)], ids=["by default", "without a window"]
)
def test_nothing_is_begun_in_the_background(
    options: dict[str, Any], is_renewed: bool, tokens: Tokens, gate: Gate, api: ScriptedServer
) -> None:
    """Without a refresh window no renewal is under way when an invocation ends."""
    with function(tokens, api, left=DUE, **options) as program:
        status, sent, threads = invoke(program)
        assert [200, "Bearer given"] == [status, sent]
        assert is_renewed == bool(threads)
        if is_renewed:
            gate.await_call()
        gate.open()
        assert 0 == program.finish()
    assert int(is_renewed) == tokens.calls


def test_what_expired_in_the_cold_is_renewed(tokens: Tokens, api: ScriptedServer) -> None:
    """The next invocation sees by the clock that its token has expired, and gets one before it sends anything."""
    with function(tokens, api, refresh_window=0) as program:
        assert [200, "Bearer token-1", []] == invoke(program)
        program.freeze()
        assert [200, "Bearer token-2", []] == invoke(program, later=4 * HOUR)
        assert 0 == program.finish()
    assert ["Bearer token-1", "Bearer token-2"] == [request.authorization for request in api.requests]
    assert 2 == tokens.calls


LOST = Answer(0)
"""The connection has ended meanwhile."""
OLD = Answer(200, {"access_token": "frozen", "token_type": "Bearer", "expires_in": HOUR})
"""A token has come, and has expired before it's read. Its lifetime counts from then, so that only the API knows."""


@pytest.mark.parametrize("answer", [LOST, OLD], ids=["connection lost", "answered meanwhile"])
def test_a_renewal_that_was_frozen(answer: Answer, tokens: Tokens, gate: Gate, api: ScriptedServer) -> None:
    """A renewal in the background that's frozen holds up nothing: the next invocation gets a good token."""
    tokens.answer = lambda request: gate(request) if request is tokens.server.requests[0] else None
    with function(tokens, api, left=DUE) as program:
        assert [200, "Bearer given"] == invoke(program)[:2]
        gate.await_call()
        program.freeze()
        gate.open(answer)
        tokens.revoke()
        assert [200, "Bearer token-1"] == invoke(program, later=2 * DUE)[:2]
        assert 0 == program.finish()
    assert 2 == tokens.calls


def test_close_waits_for_the_renewal(tokens: Tokens, gate: Gate, api: ScriptedServer) -> None:
    """`close()` at the end of an invocation leaves nothing under way, with a refresh window, too."""
    with function(tokens, api, left=DUE, closes=True) as program:
        program.tell(0)
        assert [200, "Bearer given"] == program.read()
        assert program.is_silent(0.3)
        gate.open()
        assert ["token-1", []] == program.read()
        assert [200, "Bearer token-1", []] == invoke(program)
        assert 0 == program.finish()
    assert 1 == tokens.calls
