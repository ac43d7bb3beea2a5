"""Guarantees 9 and 13: what the user's own code does in a renewal is bounded in time, and never a deadlock."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthToken, ReauthorizationRequired, TokenError
from tests.support import modes
from tests.support.modes import Mode
from tests.support.scripted import Answer, ScriptedServer
from tests.support.tokens import Gate, Tokens, client_credentials

pytestmark = pytest.mark.shared_core

TIMEOUT = 0.5
ENOUGH = 10
"""Within which, in seconds, something is over that would last for ever; machines are slow at times."""


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """Hold up what waits for it, to the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def provided(mode: Mode, provider: Callable[[OAuthToken | None], OAuthToken]) -> Any:
    return mode.plugin.TokenProviderAuth(provider, token_timeout=TIMEOUT)


# -- on_token_update ------------------------------------------------------------------------------------------------


def test_an_update_that_hangs_is_left_behind(
    mode: Mode, tokens: Tokens, api: ScriptedServer, hanging: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """After `token_timeout` the requests go on, with the token that was saved before; it's logged, and no failure."""
    store = MemoryTokenStore()
    told: list[str] = []

    def update(token: OAuthToken) -> None:
        told.append(token.access_token)
        hanging.wait(60)

    auth = client_credentials(mode, tokens, on_token_update=update, token_timeout=TIMEOUT, store=store, store_key="k")
    begun = time.monotonic()
    with mode.client(auth) as client:
        assert [200] * 4 == [answer.status_code for answer in client.get_many(api.url, 4)]
        assert TIMEOUT <= time.monotonic() - begun < ENOUGH
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    assert ["token-1", "token-2"] == told
    assert "token-2" == store.load("k").access_token  # type: ignore[union-attr]
    assert ["callback_hangs"] * 2 == [
        record.oauth_event
        for record in caplog.records
        if record.levelno >= logging.WARNING and hasattr(record, "oauth_event")
    ]


def test_an_update_that_waits_for_its_own_object_in_a_pool(
    mode: Mode, tokens: Tokens, api: ScriptedServer, pool: ThreadPoolExecutor
) -> None:
    """In another thread, whose context says nothing, the auth object is waited for no longer than `token_timeout`."""
    inner: list[Any] = []

    def update(_: OAuthToken) -> None:
        inner.append(pool.submit(auth.get_token))
        inner[0].result(60)

    auth = client_credentials(mode, tokens, on_token_update=update, token_timeout=TIMEOUT)
    begun = time.monotonic()
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    assert time.monotonic() - begun < ENOUGH
    pool.shutdown(wait=True)
    assert ["token-1"] == [future.result().access_token for future in inner]


def test_an_update_that_is_in_time_is_waited_for(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """Callers go on after the callback has returned, not before."""
    done: list[int] = []

    def update(_: OAuthToken) -> None:
        time.sleep(0.1)
        done.append(len(api.requests))

    with mode.client(client_credentials(mode, tokens, on_token_update=update)) as client:
        assert 200 == client.get(api.url).status_code
    assert [0] == done


# -- Token providers ------------------------------------------------------------------------------------------------


def test_a_provider_that_hangs_is_given_up(
    mode: Mode, serve: Callable[..., ScriptedServer], hanging: threading.Event
) -> None:
    """Its callers get an error of ours after `token_timeout`, which may pass; the next one asks again."""
    api = serve(lambda _: Answer(200))
    hangs = [True]

    def provider(_: OAuthToken | None) -> OAuthToken:
        if hangs:
            hangs.clear()
            hanging.wait(60)
        return OAuthToken(access_token="provided", expires_in=3600)

    begun = time.monotonic()
    with mode.client(provided(mode, provider)) as client:
        errors = client.get_many(api.url, 4)
        assert {(TokenError, True)} == {(type(error), error.retryable) for error in errors}
        assert all("token_timeout" in str(error) for error in errors)
        assert time.monotonic() - begun < ENOUGH
        assert [] == api.requests
        assert 200 == client.get(api.url).status_code


def test_a_provider_that_waits_for_its_own_object_in_a_pool(mode: Mode, pool: ThreadPoolExecutor) -> None:
    """It gets an error of ours, and so does who waits for it: no deadlock."""
    inner: list[Any] = []

    def provider(_: OAuthToken | None) -> OAuthToken:
        inner.append(pool.submit(auth.get_token))
        inner[0].exception(60)
        return OAuthToken(access_token="too late", expires_in=3600)

    auth = provided(mode, provider)
    begun = time.monotonic()
    with pytest.raises(TokenError, match="token_timeout"):
        mode.get_token(auth)
    pool.shutdown(wait=True)
    assert time.monotonic() - begun < ENOUGH
    assert [TokenError] == [type(future.exception()) for future in inner]


# -- The end of a program -------------------------------------------------------------------------------------------

PROGRAM = """
import contextlib, sys, threading
from oauth_auth.{plugin} import ClientCredentialsAuth, TokenProviderAuth

hangs = threading.Event()

def hang(_):
    hangs.set()
    threading.Event().wait()

updated = ClientCredentialsAuth("{url}", "client", "secret", on_token_update=hang, token_timeout=1)
provided = TokenProviderAuth(hang, token_timeout=1)

def work():
    while not hangs.is_set():  # a busy machine may need more than one attempt to come so far
        with contextlib.suppress(Exception):
            {which}.get_token()

threading.Thread(target=work, daemon=True).start()
{wait}
print("it ends", flush=True)
"""


@pytest.mark.parametrize("which", ["updated", "provided"])
def test_a_program_ends_though_its_callback_hangs(plugin_mode: Mode, tokens: Tokens, which: str) -> None:
    """The interpreter waits for a renewal under way, and no longer than `token_timeout` for the callback in it."""
    assert ends_within_seconds(plugin_mode, tokens, which, wait="hangs.wait()")


def test_a_program_ends_though_its_callback_begins_to_hang_then(plugin_mode: Mode, tokens: Tokens, gate: Gate) -> None:
    """The same if the program's end comes first: the token call ends then, and the callback begins."""
    assert ends_within_seconds(plugin_mode, tokens, "updated", gate, wait="sys.stdin.readline()")


def ends_within_seconds(mode: Mode, tokens: Tokens, which: str, gate: Gate | None = None, *, wait: str) -> bool:
    text = PROGRAM.format(plugin=mode.library.__name__, url=tokens.url, which=which, wait=wait)
    pipe = subprocess.PIPE
    program = subprocess.Popen([sys.executable, "-c", text], stdin=pipe, stdout=pipe, text=True)
    try:
        assert program.stdout is not None
        assert program.stdin is not None
        if gate is not None:
            gate.await_call()
            print(file=program.stdin, flush=True)
        assert "it ends\n" == program.stdout.readline()
        begun = time.monotonic()
        if gate is not None:
            gate.open()
        return program.wait(60) == 0 and time.monotonic() - begun < ENOUGH
    finally:
        program.kill()
        program.communicate()


def test_a_login_is_not_bounded_by_token_timeout(tokens: Tokens, serve: Callable[..., ScriptedServer]) -> None:
    """A user takes their time: `show` and `login` have time limits of their own."""
    shown = threading.Event()

    def login(begin: Any) -> str:
        request = begin("http://127.0.0.1:1/callback")
        assert not shown.wait(1.2)
        return f"http://127.0.0.1:1/callback?code=c&state={request.state}"

    auth = modes.REQUESTS.plugin.AuthorizationCodeAuth(
        tokens.url, "client", authorization_url="https://auth.example.com/authorize", login=login, token_timeout=1.0
    )
    assert "token-1" == auth.get_token().access_token


def test_a_login_that_failed_is_not_asked_for_by_each_request(
    mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer]
) -> None:
    """An API asks for another login (RFC 9470), and the person closes the window: the next requests open none."""
    challenge = (("WWW-Authenticate", 'Bearer error="insufficient_user_authentication", acr_values="gold"'),)
    demanding = serve(lambda request: Answer(401, b"", challenge))
    asked: list[Any] = []

    def close(begin: Any) -> str:
        asked.append(begin)
        raise ReauthorizationRequired("the window was closed")

    auth = mode.plugin.AuthorizationCodeAuth(
        tokens.url,
        "client",
        authorization_url="https://auth.example.com/authorize",
        login=close,
        token=OAuthToken(access_token="given"),
        step_up=True,
    )
    with mode.client(auth) as client:
        for _ in range(3):
            with pytest.raises(ReauthorizationRequired, match="the window was closed"):
                client.get(demanding.url)
    assert 1 == len(asked)
