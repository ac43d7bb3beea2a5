"""Guarantee 15: the logger `oauth_auth` says what the library does, and how long it took."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthToken, ReauthorizationRequired, TokenError
from tests.support.log import Log
from tests.support.modes import Mode
from tests.support.scripted import Answer, ScriptedServer
from tests.support.tokens import Tokens, client_credentials, token_that_expires_in

pytestmark = pytest.mark.shared_core

DURATION = re.compile(r"\b\d+\.\d+ s\b")


def eventually(condition: Callable[[], object]) -> bool:
    """Wait for what a flight in the background does last, its word to the log."""
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(condition())


def test_it_says_that_a_token_was_acquired(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, log: Log) -> None:
    """The first token: `acquired`, at level INFO, with its duration."""
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        client.get(api.url)
        client.get(api.url)
    [record] = log.with_word("acquired")
    assert logging.INFO == record.levelno
    assert DURATION.search(record.getMessage())


def test_it_says_that_a_token_was_renewed(plugin_mode: Mode, tokens: Tokens, log: Log) -> None:
    """Each further token: `renewed`, at level INFO, with its duration."""
    auth = client_credentials(plugin_mode, tokens)
    for _ in range(3):
        plugin_mode.refresh(auth)
    assert 1 == len(log.with_word("acquired"))
    records = log.with_word("renewed")
    assert [logging.INFO] * 2 == [record.levelno for record in records]
    assert all(DURATION.search(record.getMessage()) for record in records)


def test_it_says_that_a_token_was_adopted(plugin_mode: Mode, tokens: Tokens, log: Log) -> None:
    """A token that a sibling had saved: neither acquired nor renewed, but `adopted`."""
    store = MemoryTokenStore()
    store.save("k", token_that_expires_in(3000))
    plugin_mode.get_token(client_credentials(plugin_mode, tokens, store=store, store_key="k"))
    assert ([], [], 1) == (log.with_word("acquired"), log.with_word("renewed"), len(log.with_word("adopted")))


def test_it_says_that_a_token_was_rejected_and_the_request_replayed(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, log: Log
) -> None:
    """A rejection and its replay: `rejected` and `replayed`, each with method, URL and status of the answer."""
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        client.get(api.url)
        tokens.revoke()
        client.send("PUT", f"{api.url}/thing", body=b"x")
    [rejected], [replayed] = log.with_word("rejected"), log.with_word("replayed")
    for record in (rejected, replayed):
        assert logging.INFO <= record.levelno <= logging.WARNING
        for part in ("PUT", f"{api.url}/thing", "401"):
            assert part in record.getMessage()


def test_it_says_that_a_request_could_not_be_replayed(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, log: Log
) -> None:
    """A rejection whose request can't be sent again: `not replayed`, at level WARNING."""
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        client.get(api.url)
        tokens.revoke()
        body: Any = (part for part in [b"x"]) if plugin_mode.backend is None else async_body()
        assert 401 == client.send("POST", api.url, body=body).status_code
    [record] = log.with_word("not replayed")
    assert logging.WARNING == record.levelno


async def async_body() -> Any:
    yield b"x"


def test_it_says_that_a_token_call_failed(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, log: Log) -> None:
    """A failure: `failed`, at level WARNING, with its duration, its reason and when the next attempt may come."""
    tokens.answer = lambda _: Answer(400, {"error": "invalid_scope"})
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client, pytest.raises(TokenError):
        client.get(api.url)
    [record] = log.with_word("failed")
    assert logging.WARNING == record.levelno
    assert "invalid_scope" in record.getMessage()
    assert 2 == len(DURATION.findall(record.getMessage()))


def test_a_background_failure_is_logged_once(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, log: Log) -> None:
    """A renewal that fails in the background is logged once, though no request notices it."""
    tokens.answer = lambda _: Answer(400)
    tokens.accepted = {"Bearer given"}
    auth = client_credentials(plugin_mode, tokens, token=token_that_expires_in(120))
    with plugin_mode.client(auth) as client:
        for _ in range(5):
            assert 200 == client.get(api.url).status_code
    assert eventually(lambda: log.with_word("failed"))
    auth.close()
    assert 1 == len(log.with_word("failed"))


def test_it_says_that_a_caller_waited(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, log: Log) -> None:
    """Callers that wait for a token: `waited`, at level DEBUG or INFO, with how long."""
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        client.get(api.url)
    records = log.with_word("waited")
    assert 1 == len(records)
    assert logging.INFO >= records[0].levelno
    assert DURATION.search(records[0].getMessage())


def test_nobody_waits_in_the_window(
    plugin_mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer], log: Log
) -> None:
    """A renewal that isn't waited for isn't said to be."""
    api = serve(lambda _: Answer(200))
    auth = client_credentials(plugin_mode, tokens, token=token_that_expires_in(120))
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    assert eventually(lambda: log.with_word("renewed"))
    assert [] == log.with_word("waited")


def test_the_hot_path_logs_nothing(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A request with a valid token writes nothing to the log."""
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        client.get(api.url)
        caplog.set_level(logging.DEBUG)
        caplog.clear()
        for _ in range(5):
            client.get(api.url)
    assert [] == [record for record in caplog.records if record.name.startswith("oauth_auth")]


def test_other_loggers_are_left_alone(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """All records come from the one logger `oauth_auth`, and no child of it."""
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        client.get(api.url)
    names = [name for name in logging.root.manager.loggerDict if name.startswith("oauth_auth")]
    assert ["oauth_auth"] == [name for name in names if not name.startswith("oauth_auth.testing")]


def test_without_logging_set_up_nothing_is_printed() -> None:
    """A program that doesn't set up logging sees nothing on stderr, not even of a failure."""
    code = """
import oauth_auth.requests
try:
    oauth_auth.requests.ClientCredentialsAuth("http://127.0.0.1:9/", "client", "secret", token_timeout=0.2).get_token()
except oauth_auth.TokenError:
    pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_trouble_in_a_callback_is_logged_with_its_traceback(
    plugin_mode: Mode, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    """What `on_token_update` raises is in the log with its text, so that its author finds the line."""

    def update(token: OAuthToken) -> None:
        raise LookupError("no such table: tokens")

    plugin_mode.get_token(client_credentials(plugin_mode, tokens, on_token_update=update))
    assert "on_token_update raised" in caplog.text
    assert "LookupError: no such table: tokens" in caplog.text
    assert "in update" in caplog.text


def test_a_person_who_must_log_in_is_logged(plugin_mode: Mode, tokens: Tokens, log: Log) -> None:
    """That the user must log in is in the log, too."""
    auth = plugin_mode.plugin.AuthorizationCodeAuth(tokens.url, "client", "secret")
    with pytest.raises(ReauthorizationRequired):
        plugin_mode.get_token(auth)
    assert 1 == len(log.with_word("nobody is logged in: pass login="))


def test_one_failure_is_one_record_for_many_callers(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, log: Log
) -> None:
    """A failure that many callers share is logged once, not once for each."""
    go = threading.Event()

    def answer(_: object) -> Answer:
        assert go.wait(20)
        return Answer(400, {"error": "invalid_scope"})

    tokens.answer = answer
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        futures = [client.begin("GET", api.url) for _ in range(8)]
        go.set()
        assert all(isinstance(future.exception(30), TokenError) for future in futures)
    assert tokens.calls == len(log.with_word("failed")) == 1
