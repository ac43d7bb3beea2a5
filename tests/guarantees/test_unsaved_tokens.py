"""Guarantee 9: a rotated token that couldn't be saved is saved as soon as that's possible, with no request needed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore
from oauth_auth._renewal.renewals import Renewals
from oauth_auth.stores import FileTokenStore, RedisTokenStore, TokenStore
from tests.servers.redis import RedisServer
from tests.support import modes
from tests.support.modes import Mode
from tests.support.rotation import Rotation, code, refresh_token
from tests.support.scripted import ScriptedServer
from tests.support.stores import Failing
from tests.support.tokens import Tokens, token_that_expires_in

pytestmark = pytest.mark.shared_core


def given(store: Any) -> Any:
    """Put a token into the store whose refresh token is good."""
    MemoryTokenStore.save(store, "k", token_that_expires_in(-1, refresh_token="refresh-0"))
    return store


def refresh_token_in(store: TokenStore) -> str | None:
    token = store.load("k")
    return None if token is None else token.refresh_token


# -- A program that goes on, but has no requests --------------------------------------------------------------------


@pytest.mark.parametrize("failures", [1, 3])
def test_an_idle_program_saves_it(
    mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, failures: int
) -> None:
    """Two seconds after a save that failed the token is in the store, without another request; a sibling goes on."""
    store = given(Failing(failures))
    auth = code(mode, tokens.url, None, store=store, store_key="k")
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        assert store.saved.wait(2)
        assert "refresh-1" == refresh_token_in(store)
        assert "refresh-2" == code(mode, tokens.url, None, store=store, store_key="k").refresh().refresh_token
    assert ["refresh-0", "refresh-1"] == rotation.calls


def test_a_file_that_could_not_be_replaced_is_replaced_later(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for a file that another program holds open for longer than a save waits, as on Windows."""
    monkeypatch.setattr("oauth_auth.stores._file._PAUSES", ())
    store = FileTokenStore(tmp_path / "tokens")
    store.save("k", token_that_expires_in(-1, refresh_token="refresh-0"))
    replace, is_replaced = os.replace, threading.Event()
    failures = [PermissionError("in use")]

    def failing(*paths: Any) -> None:
        if failures:
            raise failures.pop()
        replace(*paths)
        is_replaced.set()

    monkeypatch.setattr(os, "replace", failing)
    code(plugin_mode, tokens.url, None, store=store, store_key="k").get_token()
    assert is_replaced.wait(2)
    assert "refresh-1" == refresh_token_in(store)


# -- A program that closes the auth object --------------------------------------------------------------------------


@pytest.fixture
def patient_saver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing tried again by itself within the length of a test."""
    monkeypatch.setattr(Renewals, "save_pauses", (60.0,))


def close(mode: Mode, auth: Any, client: modes.Client) -> None:
    client.run(auth.close if mode.backend is None else auth.aclose)


def test_closing_saves_it(
    patient_saver: None, mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """`close()` tries once more, and has saved the token when it returns: the next program goes on."""
    store = given(Failing(float("inf")))
    auth = code(mode, tokens.url, None, store=store, store_key="k")
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        store.failures = 0
        close(mode, auth, client)
        assert "refresh-1" == refresh_token_in(store)
    assert "refresh-2" == mode.refresh(code(mode, tokens.url, None, store=store, store_key="k")).refresh_token
    assert ["refresh-0", "refresh-1"] == rotation.calls


def test_closing_is_not_held_up_by_a_store_that_fails(
    patient_saver: None, mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """`close()` tries once, and no more; the token serves on, and is saved by the next one."""
    store = given(Failing(float("inf")))
    auth = code(mode, tokens.url, None, store=store, store_key="k")
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        begun = time.monotonic()
        close(mode, auth, client)
        assert time.monotonic() - begun < 10
        assert 200 == client.get(api.url).status_code
        store.failures = 0
        close(mode, auth, client)
    assert "refresh-1" == refresh_token_in(store)


# -- A program that ends --------------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, logging, sys, time
logging.basicConfig()
from oauth_auth.{plugin} import {grant}
from oauth_auth.stores import FileTokenStore, RedisTokenStore

auth = {grant}("{url}", "client", "secret", store={store}, store_key="k"{options})

async def renew():
    await auth.aget_token()
    print("it has the token", flush=True)
    sys.stdin.readline()
    await auth.arefresh()

if {is_async}:
    asyncio.run(renew())
else:
    auth.get_token()
    print("it has the token", flush=True)
    sys.stdin.readline()
    auth.refresh()
print("it ends", flush=True)
"""


class Outage:
    """A store that can be put out of reach. `expression` makes it in a program, `open` here."""

    def __init__(self, tmp_path: Path, redis: RedisServer | None) -> None:
        self._folder, self._away, self._redis = tmp_path / "tokens", tmp_path / "away", redis
        self._make: Callable[[], TokenStore] = lambda: FileTokenStore(self._folder)
        self.expression = f"FileTokenStore({str(self._folder)!r})"
        if redis is not None:
            self._make = lambda: RedisTokenStore(redis.url)
            self.expression = f"RedisTokenStore({redis.url!r})"

    def open(self) -> TokenStore:
        return self._make()

    def begin(self) -> None:
        if self._redis is not None:
            self._redis.stop()
        else:
            self._folder.rename(self._away)
            self._folder.write_text("no folder")

    def end(self) -> None:
        if self._redis is not None:
            self._redis.start()  # empty, since it keeps nothing in files
        else:
            self._folder.unlink()
            self._away.rename(self._folder)


@pytest.fixture(params=["file", "redis"])
def outage(request: pytest.FixtureRequest, tmp_path: Path) -> Outage:
    return Outage(tmp_path, request.getfixturevalue("own_redis") if request.param == "redis" else None)


@contextlib.contextmanager
def running(text: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    program = subprocess.Popen([sys.executable, "-c", text], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


PROGRAMS = [*modes.SYNC, modes.NIQUESTS_ASYNCIO, modes.HTTPX_ASYNCIO]


@pytest.mark.parametrize("program_mode", PROGRAMS, ids=str)
def test_the_end_of_a_program_saves_it(program_mode: Mode, outage: Outage, rotation: Rotation, tokens: Tokens) -> None:
    """A program that ends while the store is away for half a second has saved the token when it's gone."""
    store = outage.open()
    store.save("k", token_that_expires_in(3000, refresh_token="refresh-0"))
    text = PROGRAM.format(
        plugin=program_mode.library.__name__,
        grant="AuthorizationCodeAuth",
        url=tokens.url,
        store=outage.expression,
        options="",
        is_async=program_mode.backend is not None,
    )
    with running(text) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert "it has the token\n" == program.stdout.readline()
        outage.begin()
        print(file=program.stdin, flush=True)
        assert "it ends\n" == program.stdout.readline()
        time.sleep(0.5)  # how long the outage lasts
        outage.end()
        _, errors = program.communicate(timeout=20)
        assert (0, True) == (program.returncode, "Traceback" not in errors), errors
    assert "refresh-1" == refresh_token_in(outage.open())
    next_one = code(program_mode, tokens.url, None, store=outage.open(), store_key="k")
    assert "refresh-2" == program_mode.refresh(next_one).refresh_token
    assert ["refresh-0", "refresh-1"] == rotation.calls


def test_a_store_that_stays_away_holds_up_no_exit(rotation: Rotation, tokens: Tokens, tmp_path: Path) -> None:
    """A program whose store never comes back ends a few seconds later, and says what it couldn't do."""
    outage = Outage(tmp_path, None)
    outage.open().save("k", token_that_expires_in(3000, refresh_token="refresh-0"))
    text = PROGRAM.format(
        plugin="requests",
        grant="AuthorizationCodeAuth",
        url=tokens.url,
        store=outage.expression,
        options="",
        is_async=False,
    )
    with running(text) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert "it has the token\n" == program.stdout.readline()
        outage.begin()
        print(file=program.stdin, flush=True)
        assert "it ends\n" == program.stdout.readline()
        begun = time.monotonic()
        _, errors = program.communicate(timeout=20)
    assert time.monotonic() - begun < 10
    assert "failed to" in errors


def test_a_refresh_token_that_was_given_is_followed_by_what_was_saved(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens
) -> None:
    """A job that is given its first refresh token, and that couldn't save the second at once, runs again."""
    store = Failing(1)
    for _ in range(3):
        with refresh_token(plugin_mode, tokens.url, store=store, store_key="k") as auth:
            auth.refresh()
    assert ["refresh-0", "refresh-1", "refresh-2"] == rotation.calls
