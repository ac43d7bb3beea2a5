"""Guarantee 9: a logout stays one: siblings stop using the login at their next look, and never write it back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthToken, ReauthorizationRequired
from oauth_auth.stores import FileTokenStore, RedisTokenStore, TokenStore
from oauth_auth.testing import LocalProvider
from tests.servers.documented import DocumentedHosts
from tests.support import modes
from tests.support.clock import Clock
from tests.support.documentation import blocks_of
from tests.support.modes import Mode
from tests.support.rotation import Rotation, code, password, refresh_token
from tests.support.scripted import Answer, ScriptedServer
from tests.support.siblings import Siblings
from tests.support.stores import STORES, store_maker, token_in
from tests.support.tokens import Tokens
from tests.support.waiting import await_end, flights_in_the_air

pytestmark = pytest.mark.shared_core

ROOT = Path(__file__).parents[2]
AGAIN = "ReauthorizationRequired"
WINDOW = 3600 - 30
"""Seconds after which a token of an hour is in its refresh window."""


class DictStore:
    """A user's own store, with the four methods that the protocol asks for and nothing else; entries are JSON."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def load(self, key: str) -> OAuthToken | None:
        return OAuthToken.from_dict(json.loads(self.texts[key])) if key in self.texts else None

    def save(self, key: str, token: OAuthToken) -> None:
        self.texts[key] = json.dumps(token.to_dict())

    def delete(self, key: str) -> None:
        self.texts.pop(key, None)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        yield


@pytest.fixture
def lenient_api(serve: Callable[..., ScriptedServer]) -> ScriptedServer:
    """An API that takes any token: its server has no revocation, or ends only what it's shown."""
    return serve(lambda request: Answer(200 if request.authorization else 401))


def client_alone(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.ClientCredentialsAuth(url, "client", "secret", **options)


def let_flights_land() -> None:
    await_end(flights_in_the_air(), 10)


def outcome(client: modes.Client, url: str) -> Any:
    """Send a request; return its status, or the name of the error that it raised."""
    try:
        return client.get(url).status_code
    except ReauthorizationRequired:
        return AGAIN


# -- Siblings in one program ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [code, refresh_token])
def test_a_sibling_stops_within_the_window(
    mode: Mode,
    rotation: Rotation,
    tokens: Tokens,
    lenient_api: ScriptedServer,
    clock: Clock,
    make: Callable[..., Any],
) -> None:
    """At the next look another object finds the mark: it has no token any more, makes no call, and saves nothing."""
    store = MemoryTokenStore()
    one, other = (make(mode, tokens.url, store=store, store_key="k") for _ in range(2))
    with mode.client(one) as its_client, mode.client(other) as client:
        assert [200, 200] == [c.get(lenient_api.url).status_code for c in (its_client, client)]
        calls = tokens.calls
        mode.revoke(one)
        clock.advance(WINDOW)
        assert 200 == client.get(lenient_api.url).status_code  # nobody waits in the window
        let_flights_land()
        assert other.token is None
        for c in (client, its_client) * 2:
            assert AGAIN == outcome(c, lenient_api.url)
    assert (calls, None) == (tokens.calls, token_in(store, "k"))


@pytest.mark.parametrize("name", STORES)
def test_each_store_keeps_the_mark(
    request: pytest.FixtureRequest, rotation: Rotation, tokens: Tokens, api: ScriptedServer, name: str
) -> None:
    """What is kept is no token, and it's kept by each store; a sibling whose token is rejected finds it at once."""
    check_sibling_learns(modes.REQUESTS, store_maker(request, name), tokens, api)


def test_a_store_with_four_methods_keeps_the_mark(
    mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """A store of the user's own needs nothing more than before."""
    store: Any = DictStore()
    check_sibling_learns(mode, lambda: store, tokens, api)
    assert "refresh-1" not in store.texts["k"]
    assert "token-1" not in store.texts["k"]


def check_sibling_learns(mode: Mode, make: Callable[[], TokenStore], tokens: Tokens, api: ScriptedServer) -> None:
    one, other = (code(mode, tokens.url, store=make(), store_key="k") for _ in range(2))
    with mode.client(one) as its_client, mode.client(other) as client:
        assert [200, 200] == [c.get(api.url).status_code for c in (its_client, client)]
        mode.revoke(one)
        tokens.revoke()
        assert [AGAIN] * 4 == [outcome(c, api.url) for c in (client, its_client) * 2]
    assert (1, None) == (tokens.calls, token_in(make(), "k"))


def test_a_token_made_meanwhile_is_not_saved(mode: Mode, rotation: Rotation, tokens: Tokens) -> None:
    """A sibling that has rotated since, and couldn't save, doesn't bring the login back."""

    class Flaky(MemoryTokenStore):
        fails = False

        def save(self, key: str, token: OAuthToken) -> None:
            if self.fails:
                raise OSError("no space left")
            super().save(key, token)

    store = Flaky()
    one, other = (code(mode, tokens.url, store=store, store_key="k") for _ in range(2))
    for auth in (one, other):
        mode.get_token(auth)
    store.fails = True
    assert "refresh-2" == mode.refresh(other).refresh_token
    store.fails = False
    mode.revoke(one)
    other.close()
    let_flights_land()
    assert (None, None) == (token_in(store, "k"), other.token)
    with pytest.raises(ReauthorizationRequired):
        mode.refresh(other)
    assert 2 == tokens.calls


@pytest.mark.parametrize("make", [client_alone, password])
def test_who_needs_no_user_gets_a_token_of_its_own(
    mode: Mode, tokens: Tokens, lenient_api: ScriptedServer, clock: Clock, make: Callable[..., Any]
) -> None:
    """A client, or a password, that is revoked goes on with a new token: for all, by one call, and not with the old."""
    store = MemoryTokenStore()
    one, other = (make(mode, tokens.url, store=store, store_key="k") for _ in range(2))
    with mode.client(one) as its_client, mode.client(other) as client:
        assert [200, 200] == [c.get(lenient_api.url).status_code for c in (its_client, client)]
        mode.revoke(one)
        clock.advance(WINDOW)
        client.get(lenient_api.url)
        let_flights_land()
        lenient_api.requests.clear()
        assert [200] * 4 == [c.get(lenient_api.url).status_code for c in (client, its_client) * 2]
    assert {"Bearer token-2"} == {request.authorization for request in lenient_api.requests}
    assert 2 == tokens.calls


# -- Afterwards -----------------------------------------------------------------------------------------------------


def test_a_new_login_is_one_for_all(mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer) -> None:
    """A new code under the same key ends the mark: all siblings go on with what it brings."""
    store = MemoryTokenStore()
    one, other, idle = (code(mode, tokens.url, store=store, store_key="k") for _ in range(3))
    with mode.client(one) as its_client, mode.client(other) as client, mode.client(idle) as third:
        assert [200] * 3 == [c.get(api.url).status_code for c in (its_client, client, third)]
        mode.revoke(one)
        tokens.revoke()
        assert [AGAIN] * 2 == [outcome(c, api.url) for c in (its_client, client)]
        assert "token-2" == mode.get_token(code(mode, tokens.url, "new", store=store, store_key="k")).access_token
        until(lambda: [200] * 3 == [outcome(c, api.url) for c in (its_client, client, third)])
        mode.refresh(other)
        assert [200] * 3 == [outcome(c, api.url) for c in (its_client, client, third)]
    assert ["the-code", "new", "refresh-2"] == rotation.calls


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so; siblings look for a new login once a second."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_second_logout_keeps_the_first(plugin_mode: Mode, rotation: Rotation, tokens: Tokens) -> None:
    """A sibling that has seen neither of two logouts, nor the login between them, ends its own all the same."""
    store = MemoryTokenStore()
    one, other = (code(plugin_mode, tokens.url, store=store, store_key="k") for _ in range(2))
    for auth in (one, other):
        auth.get_token()
    one.revoke()
    again = code(plugin_mode, tokens.url, None, store=store, store_key="k")
    again.revoke()
    with pytest.raises(ReauthorizationRequired):
        other.refresh()
    assert (1, None) == (tokens.calls, token_in(store, "k"))


@pytest.mark.parametrize("mark", ["junk", 5, {}, [1, None], True, ""], ids=repr)
def test_a_damaged_mark_breaks_nothing(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, mark: Any
) -> None:
    """A mark that can't be read logs no user out, and breaks no request."""
    store = MemoryTokenStore()
    with plugin_mode.client(code(plugin_mode, tokens.url, store=store, store_key="k")) as client:
        assert 200 == client.get(api.url).status_code
        entry = OAuthToken(access_token="damaged", expiry=0.0, extra={"oauth_auth": {"logged_out": mark}})
        store.save("k", entry)
        tokens.revoke()
        assert outcome(client, api.url) in {200, AGAIN}
        auth = code(plugin_mode, tokens.url, "another", store=store, store_key="k")
        assert auth.get_token().access_token == store.load("k").access_token  # type: ignore[union-attr]


def test_entries_of_the_first_release_are_read(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, lenient_api: ScriptedServer, clock: Clock
) -> None:
    """An entry that names no login, as earlier versions wrote it, is used, renewed and ended like any other."""
    store = MemoryTokenStore()
    state = {"oauth_auth": {"basic": "encoded"}}
    store.save("k", OAuthToken(access_token="given", expires_in=3600, refresh_token="refresh-0", extra=state))
    one, other = (code(plugin_mode, tokens.url, None, store=store, store_key="k") for _ in range(2))
    with plugin_mode.client(other) as client:
        assert ["given", 200] == [one.get_token().access_token, client.get(lenient_api.url).status_code]
        one.revoke()
        clock.advance(WINDOW)
        client.get(lenient_api.url)
        let_flights_land()
        assert AGAIN == outcome(client, lenient_api.url)
    assert (0, None) == (tokens.calls, token_in(store, "k"))


# -- Other processes ------------------------------------------------------------------------------------------------


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the command and programs have their store."""
    return f"file:{tmp_path / 'tokens'}" if request.param == "file" else request.getfixturevalue("own_redis").url


def open_store(place: str) -> TokenStore:
    return FileTokenStore(place.removeprefix("file:")) if place.startswith("file:") else RedisTokenStore(place)


@pytest.mark.parametrize("way", ["revoke", "oauth-auth logout"])
def test_another_process_stops(
    siblings: Siblings, provider: LocalProvider, place: str, tmp_path: Path, way: str
) -> None:
    """A process that goes on while the user logs out in another has no token after its next look."""
    client = (provider.token_url, provider.client_id, provider.client_secret)
    store = open_store(place)
    user = {"username": provider.username, "password": provider.password}
    token = modes.REQUESTS.plugin.PasswordAuth(*client, **user).get_token()
    auth = modes.REQUESTS.plugin.AuthorizationCodeAuth(*client, store=store, token=token)
    auth.refresh()  # which saves it
    agent = siblings.start(modes.REQUESTS, "AuthorizationCodeAuth", *client, store=open_store(place))
    assert [200] == agent.do("send", provider.api_url, 1)
    calls = len(provider.token_requests)
    if way == "revoke":
        auth.revoke()
    else:
        names = ("TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET")
        variables = {f"OAUTH_{name}": value for name, value in zip(names, client, strict=True)}
        subprocess.run(
            [sys.executable, "-m", "oauth_auth", "logout"],
            env=os.environ | variables | {"OAUTH_STORE": place, "PYTHONPATH": str(ROOT)},
            check=True,
            timeout=60,
        )
    agent.do("move_clock", WINDOW)
    assert [200] == agent.do("send", provider.api_url, 1)
    assert agent.do("token") is None
    assert [AGAIN] == agent.do("send", provider.api_url, 1)
    agent.do("move_clock", WINDOW)
    assert [AGAIN] == agent.do("send", provider.api_url, 1)
    assert calls == len(provider.token_requests)
    assert token_in(store, auth._store_key) is None


# -- The web application of the documentation -----------------------------------------------------------------------

WORKERS = """
import json, sys, time
from urllib.parse import urlsplit
import requests

def worker():
    names = {"__name__": "app"}
    exec(json.loads(sys.argv[1]), names)
    browser = names["app"].test_client()
    browser.get("/")
    with browser.session_transaction() as session:
        session["user"] = "alice"
    return browser

one, other = worker(), worker()
there = one.post("/connect").location
back = requests.get(there, allow_redirects=False).headers["Location"]
one.get(f"/callback?{urlsplit(back).query}")
print(one.get("/orders").status_code, other.get("/orders").status_code)
print(one.post("/disconnect").status_code)
print(one.get("/orders").status_code)
real = time.time
time.time = lambda: real() + 3570
other.get("/orders")
import threading
[thread.join() for thread in threading.enumerate() if thread.name == "oauth_auth-flight"]
print(other.get("/orders").status_code)
print(one.get("/orders").status_code)
"""


def test_workers_of_a_web_application_stop(tmp_path: Path) -> None:
    """As the documentation has it: who disconnects at one worker is disconnected at the other, and stays so."""
    page = blocks_of((ROOT / "docs" / "howto" / "web-app.md").read_text())
    app = next(block.code for block in page if "AuthorizationCodeAuth" in block.code)
    (tmp_path / "certificates").mkdir()
    with DocumentedHosts(tmp_path / "certificates") as hosts:
        finished = subprocess.run(
            [sys.executable, "-c", WORKERS, json.dumps(app)],
            cwd=tmp_path,
            env={**os.environ, **hosts.environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert "" == finished.stderr
    assert ["200 200", "200", "403", "403", "403"] == finished.stdout.splitlines()
