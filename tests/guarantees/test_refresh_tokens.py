"""Guarantee 9: rotated refresh tokens aren't lost, and a dead one is never sent again.

Which refusals end a refresh token, whose token counts, and each way of a renewal through store and lock are tables in
tests/units: test_grants.py, test_merge.py, test_entry.py, test_acquisition.py.
"""

from __future__ import annotations

import itertools
import json
import logging
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from oauth_auth import (
    MemoryTokenStore,
    OAuthProviderException,
    OAuthToken,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
)
from oauth_auth._renewal.store_entry import StoreEntry
from oauth_auth.testing import LocalProvider
from tests.support.modes import REQUESTS, SYNC, Mode
from tests.support.rotation import INVALID_GRANT, Rotation, code, password, refresh_token, sent_with
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, token_that_expires_in

pytestmark = pytest.mark.shared_core


class Diary(MemoryTokenStore):
    """A store that writes down what happens to it, in order; a test may write, too."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[str] = []
        self.saved: list[OAuthToken] = []

    def load(self, key: str) -> OAuthToken | None:
        self.entries.append("load")
        return super().load(key)

    def save(self, key: str, token: OAuthToken) -> None:
        self.entries.append("save")
        self.saved.append(token)
        super().save(key, token)

    @contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[None]:
        with super().lock(key, timeout=timeout):
            self.entries.append("lock")
            yield
        self.entries.append("unlock")


# -- Which refresh token is kept ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [password, refresh_token, code])
def test_an_answer_without_refresh_token_keeps_the_old_one(
    plugin_mode: Mode, tokens: Tokens, make: Callable[..., Any]
) -> None:
    """A refresh answer without a refresh token leaves the old one: in the token, the store and the next call."""
    store = Diary()
    tokens.fields["refresh_token"] = "refresh-0"
    auth = make(plugin_mode, tokens.url, store=store)
    auth.get_token()
    del tokens.fields["refresh_token"]
    auth.refresh()
    auth.refresh()
    assert ["refresh-0"] * 2 == [sent_with(request) for request in tokens.server.requests[-2:]]
    assert ["refresh-0"] * 3 == [token.refresh_token for token in store.saved]
    assert "refresh-0" == auth.token.refresh_token


@pytest.mark.parametrize("make", [password, refresh_token, code])
def test_a_rotated_refresh_token_takes_the_old_ones_place(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, make: Callable[..., Any]
) -> None:
    """Each renewal sends the refresh token that came last."""
    auth = make(plugin_mode, tokens.url)
    with plugin_mode.client(auth) as client:
        for _ in range(3):
            assert 200 == client.get(api.url).status_code
            tokens.revoke()
    assert ["refresh-1", "refresh-2"] == rotation.calls[1:]


@pytest.mark.parametrize("make", [password, refresh_token, code])
def test_a_rotating_server_sees_no_reuse(plugin_mode: Mode, provider: LocalProvider, make: Callable[..., Any]) -> None:
    """A real server with rotation and reuse detection never sees a refresh token twice."""
    provider.client_id, provider.client_secret = "client", "secret"
    provider.username, provider.password = "alice", "pass-word"
    if make is refresh_token:
        first = password(plugin_mode, provider.token_url).get_token().refresh_token
        auth = refresh_token(plugin_mode, provider.token_url, first)
    elif make is code:
        auth = code(plugin_mode, provider.token_url, None, token=password(plugin_mode, provider.token_url).get_token())
    else:
        auth = password(plugin_mode, provider.token_url)
    with plugin_mode.client(auth) as client:
        for _ in range(4):
            assert 200 == client.get(provider.api_url).status_code
            provider.revoke_access_tokens()
    sent = [request.form["refresh_token"][0] for request in provider.token_requests if "refresh_token" in request.form]
    assert len(sent) == len(set(sent)) >= 3
    assert 1 == sum(request.form["grant_type"] == ["password"] for request in provider.token_requests)


# -- Order ----------------------------------------------------------------------------------------------------------


def test_a_new_token_is_saved_before_anybody_uses_it(
    mode: Mode, rotation: Rotation, tokens: Tokens, serve: Callable[..., ScriptedServer]
) -> None:
    """Lock, load, call, save, unlock, tell, send: in this order, at the first token and at each renewal."""
    store = Diary()

    def note(request: Received) -> None:
        store.entries.append("call " + sent_with(request))

    def api(request: Received) -> Answer:
        store.entries.append(f"api {request.authorization}")
        return Answer(200 if request.authorization in tokens.accepted else 401)

    def told(token: OAuthToken) -> None:
        store.entries.append(f"told {token.access_token}")

    rotation.before = note
    auth = password(mode, tokens.url, store=store, on_token_update=told)
    url = serve(api).url
    with mode.client(auth) as client:
        client.get(url)
        first, store.entries = store.entries, []
        tokens.revoke()
        client.get(url)
    begin = ["load", "lock", "load"]
    assert [*begin, "call password", "save", "unlock", "told token-1", "api Bearer token-1"] == first
    assert [
        "api Bearer token-1",
        *begin,
        "call refresh-1",
        "save",
        "unlock",
        "told token-2",
        "api Bearer token-2",
    ] == store.entries


def test_nobody_goes_on_before_the_new_token_is_saved(
    mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer]
) -> None:
    """While the store still saves, no caller has the new token, whether it waits or comes just then."""
    saving, may_save = threading.Event(), threading.Event()

    class Slow(MemoryTokenStore):
        def save(self, key: str, token: OAuthToken) -> None:
            saving.set()
            assert may_save.wait(20)
            super().save(key, token)

    api = serve(lambda _: Answer(200))
    auth = password(mode, tokens.url, store=Slow())
    with mode.client(auth) as client:
        first = client.begin("GET", api.url)
        assert saving.wait(20)
        second = client.begin("GET", api.url)
        # A caller that doesn't wait would be through by then; one that does can't fail the test by being slow.
        assert not may_save.wait(0.1)
        assert (None, []) == (auth.token, api.requests)
        may_save.set()
        assert [200, 200] == [first.result(20).status_code, second.result(20).status_code]
    assert 1 == tokens.calls


# -- Siblings on one store ------------------------------------------------------------------------------------------


def test_a_siblings_newer_token_is_adopted(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """Where a sibling has renewed already, its token is taken from the store: no call, and no update is told."""
    store = MemoryTokenStore()
    told: list[OAuthToken] = []
    one = password(plugin_mode, tokens.url, store=store)
    other = password(plugin_mode, tokens.url, store=store, on_token_update=told.append)
    with plugin_mode.client(one) as its_client, plugin_mode.client(other) as client:
        its_client.get(api.url)
        client.get(api.url)
        tokens.revoke()
        assert 200 == its_client.get(api.url).status_code
        assert 200 == client.get(api.url).status_code
    assert (["password", "refresh-1"], []) == (rotation.calls, told)
    assert one.token == other.token


class Watched(MemoryTokenStore):
    """A store that tells how many have come for its lock so far."""

    def __init__(self) -> None:
        super().__init__()
        self.comers = 0
        self.two_came = threading.Event()

    @contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[None]:
        self.comers += 1
        if self.comers == 2:
            self.two_came.set()
        with super().lock(key, timeout=timeout):
            yield


@pytest.mark.parametrize("begin", ["get_token", "refresh"])
def test_a_sibling_that_waits_for_the_lock_adopts(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, begin: str
) -> None:
    """Of two siblings that renew at the same time, the second waits for the first, then takes its token."""
    store = Watched()
    store.save("k", token_that_expires_in(-1 if begin == "get_token" else 3000, refresh_token="refresh-0"))

    def hold(_: Received) -> None:
        assert store.two_came.wait(20)

    rotation.before = hold
    siblings = [code(plugin_mode, tokens.url, None, store=store, store_key="k") for _ in range(2)]
    if begin == "refresh":
        for auth in siblings:
            auth.get_token()  # they know the old token, as siblings do that have run for a while
    results: list[OAuthToken] = []
    call = plugin_mode.get_token if begin == "get_token" else plugin_mode.refresh
    threads = [threading.Thread(target=lambda auth=auth: results.append(call(auth))) for auth in siblings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert ["refresh-0"] == rotation.calls
    assert ["token-1"] * 2 == [token.access_token for token in results]


@pytest.mark.parametrize("make", [password, code])
def test_a_refused_refresh_looks_at_the_store_once_more(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, make: Callable[..., Any]
) -> None:
    """A refresh that is refused, since a sibling without the lock was faster, ends with the sibling's token."""
    store = MemoryTokenStore()
    store.save("k", token_that_expires_in(-1, refresh_token="refresh-0"))

    def sibling(_: Received) -> Answer:
        store.save("k", token_that_expires_in(3600, "siblings", refresh_token="refresh-of-sibling"))
        return INVALID_GRANT

    rotation.before = sibling
    options = {"text": None} if make is code else {}
    auth = make(plugin_mode, tokens.url, store=store, store_key="k", **options)
    assert "siblings" == plugin_mode.get_token(auth).access_token
    assert ["refresh-0"] == rotation.calls


def test_a_siblings_refresh_token_is_used_if_its_token_has_expired(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens
) -> None:
    """A sibling's newer token that has expired by now is renewed with its refresh token."""
    store = MemoryTokenStore()
    store.save("k", token_that_expires_in(-20, refresh_token="spent"))

    def sibling(request: Received) -> Answer | None:
        if sent_with(request) != "spent":
            return None
        store.save("k", token_that_expires_in(-10, "siblings", refresh_token="refresh-0"))
        return INVALID_GRANT

    rotation.before = sibling
    assert (
        "token-1" == plugin_mode.get_token(code(plugin_mode, tokens.url, None, store=store, store_key="k")).access_token
    )
    assert ["spent", "refresh-0"] == rotation.calls


def test_the_token_an_api_rejected_is_not_adopted(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """A stored token that is just the rejected one is no news: it's renewed."""
    store = MemoryTokenStore()
    store.save("k", token_that_expires_in(3000, "rejected", refresh_token="refresh-0"))
    with plugin_mode.client(code(plugin_mode, tokens.url, None, store=store, store_key="k")) as client:
        assert 200 == client.get(api.url).status_code
    assert ["Bearer rejected", "Bearer token-1"] == [request.authorization for request in api.requests]
    assert ["refresh-0"] == rotation.calls


def test_a_held_lock_delays_nobody_who_has_a_token(
    mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """A sibling that holds the lock doesn't delay requests whose token is still good, in its window, too."""
    store = Watched()
    tokens.accepted = {"Bearer given"}
    auth = code(mode, tokens.url, None, store=store, token=token_that_expires_in(60, refresh_token="refresh-0"))
    with mode.client(auth) as client:
        client.get(api.url)  # looks at the store, and finds nothing better
        key = auth._source._entry.key
        with store.lock(key):
            for _ in range(3):
                assert 200 == client.get(api.url).status_code
            assert 0 == tokens.calls
    auth.close()


class Impatient(MemoryTokenStore):
    """A store whose lock takes no time-out, and waits for a moment only."""

    def lock(self, key: str) -> Any:  # type: ignore[override]
        return super().lock(key, timeout=0.05)


def test_a_lock_that_is_not_had_is_done_without(
    rotation: Rotation, tokens: Tokens, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that isn't had in time is done without, and logged; how long that is, half a minute, unit tests hold."""
    monkeypatch.setattr(StoreEntry, "lock_wait", 0.5)
    store = Impatient()
    auth = password(REQUESTS, tokens.url, store=store, store_key="k")
    with store.lock("k"):
        assert "token-1" == auth.get_token().access_token
    assert "failed to lock" in caplog.text
    assert "token-1" == stored(store, "k").access_token


def stored(store: MemoryTokenStore, key: str) -> OAuthToken:
    token = store.load(key)
    assert token is not None
    return token


# -- When saving fails ----------------------------------------------------------------------------------------------


class Broken(MemoryTokenStore):
    """A store whose methods, those named in `broken`, raise."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = set(broken)
        self.lost: list[OAuthToken] = []

    def _break(self, name: str) -> None:
        if name in self.broken:
            raise OSError(f"no {name} today")

    def load(self, key: str) -> OAuthToken | None:
        self._break("load")
        return super().load(key)

    def save(self, key: str, token: OAuthToken) -> None:
        self._break("save")
        super().save(key, token)

    @contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[None]:
        self._break("lock")
        with super().lock(key, timeout=timeout):
            yield
            self._break("unlock")


def test_a_token_that_could_not_be_saved_is_used(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """If saving fails after the server rotated, the request goes through, and the next renewal sends the new one."""
    store = Broken("save")
    store._tokens["k"] = token_that_expires_in(-1, refresh_token="refresh-0")
    with plugin_mode.client(code(plugin_mode, tokens.url, None, store=store, store_key="k")) as client:
        assert 200 == client.get(api.url).status_code
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
        store.broken.clear()
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    assert ["refresh-0", "refresh-1", "refresh-2"] == rotation.calls
    assert "refresh-3" == stored(store, "k").refresh_token
    assert "failed to save" in caplog.text


@pytest.mark.parametrize("closes", [False, True])
def test_a_token_that_could_not_be_saved_is_saved_without_a_request(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, closes: bool
) -> None:
    """A store that's back gets the token with no request needed: within a moment, or at once from `close()`."""
    saved = threading.Event()

    class Mended(Broken):
        def save(self, key: str, token: OAuthToken) -> None:
            super().save(key, token)
            saved.set()

    store = Mended("save")
    auth = password(plugin_mode, tokens.url, store=store, store_key="k")
    auth.get_token()
    assert store.load("k") is None
    store.broken.clear()
    if closes:
        auth.close()
    else:
        assert saved.wait(20)
    assert "refresh-1" == stored(store, "k").refresh_token


def test_an_older_stored_token_is_not_adopted_again(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """If saving failed, the older token in the store isn't taken for a sibling's news, though it's still valid."""
    store = Broken("save")
    store._tokens["k"] = token_that_expires_in(3000, "older", refresh_token="refresh-0")
    with plugin_mode.client(code(plugin_mode, tokens.url, None, store=store, store_key="k")) as client:
        client.get(api.url)
        tokens.revoke()
        store.broken.clear()
        assert 200 == client.get(api.url).status_code
    assert [
        "Bearer older",
        "Bearer token-1",
        "Bearer token-1",
        "Bearer token-2",
    ] == [request.authorization for request in api.requests]
    assert ["refresh-0", "refresh-1"] == rotation.calls


def test_an_older_token_that_a_sibling_saved_meanwhile_is_not_adopted(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens
) -> None:
    """If saving failed, a sibling's token that came into the store meanwhile counts if it expires later, else not."""
    store = Broken()
    auth = password(plugin_mode, tokens.url, store=store, store_key="k")
    auth.get_token()
    store.broken = {"save"}
    auth.refresh()
    store._tokens["k"] = token_that_expires_in(60, "of-a-sibling", refresh_token="refresh-of-a-sibling")
    store.broken = set()
    auth.close()
    assert ("token-2", "refresh-2") == (auth.token.access_token, stored(store, "k").refresh_token)
    auth.refresh()
    assert ["password", "refresh-1", "refresh-2"] == rotation.calls


@pytest.mark.parametrize("expires_in", [-100, 3000])
def test_an_older_stored_token_that_could_not_be_loaded_is_not_adopted_later(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, expires_in: float
) -> None:
    """If the store was down at the start, what it holds when it's back is older than what was got meanwhile."""
    store = Broken("load", "save", "lock")
    store._tokens["k"] = token_that_expires_in(expires_in, "older", refresh_token="spent-long-ago")
    with plugin_mode.client(refresh_token(plugin_mode, tokens.url, store=store, store_key="k")) as client:
        assert 200 == client.get(api.url).status_code
        tokens.revoke()
        store.broken.clear()
        assert 200 == client.get(api.url).status_code
    assert ["refresh-0", "refresh-1"] == rotation.calls
    assert "refresh-2" == stored(store, "k").refresh_token


# -- When the server refuses ----------------------------------------------------------------------------------------

DEAD = {
    "400 invalid_grant": INVALID_GRANT,
    "400 empty": Answer(400),
    "400 that is cut off": Answer(400, b'{"err', (("Content-Length", "90"), ("Connection", "close"))),
    "500 invalid_grant": Answer(500, {"error": "invalid_grant"}),
}
"""Some of the answers that end a refresh token."""
ALIVE = {
    "401 invalid_client": Answer(401, {"error": "invalid_client"}),
    "503": Answer(503, {"error": "temporarily_unavailable"}),
}


def refusing(rotation: Rotation, answer: Answer) -> None:
    rotation.before = lambda request: answer if request.form["grant_type"] == ["refresh_token"] else None


@pytest.mark.parametrize("name", DEAD)
def test_a_refused_refresh_token_leads_to_the_password(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, quick: None, name: str
) -> None:
    """A refresh token is dead at 400, whatever the body, and at `invalid_grant`: then the password, and never again."""
    auth = password(plugin_mode, tokens.url)
    auth.get_token()
    refusing(rotation, DEAD[name])
    assert "token-2" == auth.refresh().access_token
    sent = rotation.calls
    assert ("password", {"refresh-1"}, "password") == (sent[0], set(sent[1:-1]), sent[-1])
    assert (3 if "500" in name else 1) == len(sent[1:-1])


def test_a_dead_refresh_token_is_never_sent_again(plugin_mode: Mode, rotation: Rotation, tokens: Tokens) -> None:
    """A refresh token that the server has ended isn't sent by any later renewal."""
    refusing(rotation, INVALID_GRANT)
    auth = refresh_token(plugin_mode, tokens.url)
    with pytest.raises(ReauthorizationRequired):
        auth.get_token()
    calls = tokens.calls
    for ask in (auth.get_token, auth.refresh, auth.refresh):
        with pytest.raises(ReauthorizationRequired):
            ask()
    assert calls == tokens.calls


@pytest.mark.parametrize("name", ALIVE)
def test_another_refusal_leaves_the_refresh_token_alive(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, quick: None, name: str
) -> None:
    """Where the server refuses the client, or fails, no password is sent, and the refresh token is used again."""
    auth = password(plugin_mode, tokens.url)
    auth.get_token()
    refusing(rotation, ALIVE[name])
    with pytest.raises((OAuthProviderException, TokenResponseError)) as caught:
        auth.refresh()
    assert int(name[:3]) == caught.value.status_code
    assert ["password", "refresh-1"] == rotation.calls[:2]
    rotation.before = lambda _: None
    assert "token-2" == auth.refresh().access_token
    assert "refresh-1" == rotation.calls[-1]


def test_rejected_refused_password_replayed(mode: Mode, provider: LocalProvider) -> None:
    """Rejected, refreshed, refused, password, replayed: all in one request that succeeds."""
    auth = mode.plugin.PasswordAuth(
        provider.token_url,
        provider.client_id,
        provider.client_secret,
        username=provider.username,
        password=provider.password,
    )
    with mode.client(auth) as client:
        client.get(provider.api_url)
        provider.revoke_access_tokens()
        provider.revoke_refresh_tokens()
        response = client.send("POST", provider.api_url, body=b"the body")
    assert (200, 8) == (response.status_code, response.json()["length"])
    assert ["password", "refresh_token", "password"] == [r.form["grant_type"][0] for r in provider.token_requests]
    assert 3 == len(provider.api_requests)


@pytest.mark.parametrize("make", [refresh_token, code])
def test_without_another_way_a_person_is_needed(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, make: Callable[..., Any]
) -> None:
    """Rejected and refused, without a password: `ReauthorizationRequired`, which names status and URL of both."""
    with plugin_mode.client(make(plugin_mode, tokens.url)) as client:
        client.get(api.url)
        rotation.revoke()
        with pytest.raises(ReauthorizationRequired) as caught:
            client.get(api.url + "/things")
        calls = tokens.calls
        with pytest.raises(ReauthorizationRequired):
            client.get(api.url)
    error = caught.value
    assert (400, tokens.url, False) == (error.status_code, error.token_url, error.retryable)
    assert f"GET {api.url}/things was answered with 401" in str(error)
    assert "invalid_grant" in str(error)
    assert calls == tokens.calls == 2


def test_without_any_refresh_token_a_person_is_needed(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A code that brought no refresh token: the first token works, and when it's rejected a person is needed."""
    with plugin_mode.client(code(plugin_mode, tokens.url)) as client:
        assert 200 == client.get(api.url).status_code
        tokens.revoke()
        with pytest.raises(ReauthorizationRequired):
            client.get(api.url)
    assert 1 == tokens.calls


def test_without_anything_a_person_is_needed(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """Without code, token or stored token there is no call, and `ReauthorizationRequired`."""
    auth = plugin_mode.plugin.AuthorizationCodeAuth(tokens.url, "client", "secret")
    with plugin_mode.client(auth) as client, pytest.raises(ReauthorizationRequired):
        client.get(api.url)
    assert (0, []) == (tokens.calls, api.requests)


def test_a_dead_refresh_token_in_the_store_gives_way_to_the_one_given(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens
) -> None:
    """A refresh token given anew, after the stored one died, is used: the program needs no cleaning of its store."""
    store = MemoryTokenStore()
    store.save("k", token_that_expires_in(-1, refresh_token="died-last-week"))
    rotation.before = lambda request: INVALID_GRANT if sent_with(request) == "died-last-week" else None
    auth = refresh_token(plugin_mode, tokens.url, "refresh-0", store=store, store_key="k")
    assert "token-1" == plugin_mode.get_token(auth).access_token
    assert "refresh-1" == stored(store, "k").refresh_token


def test_a_sibling_that_logs_in_again_helps_all(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `ReauthorizationRequired`, a token that a sibling saves is found, and there's no call."""
    store = MemoryTokenStore()
    tokens.accepted = {"Bearer fresh"}
    with plugin_mode.client(code(plugin_mode, tokens.url, None, store=store, store_key="k")) as client:
        with pytest.raises(ReauthorizationRequired):
            client.get(api.url)
        store.save("k", token_that_expires_in(3000, "fresh", refresh_token="refresh-0"))
        assert 200 == client.get(api.url).status_code
    assert 0 == tokens.calls


# -- Codes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [False, True])
def test_a_code_wins_over_older_tokens(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, given: bool
) -> None:
    """A code is exchanged though there is a valid token, stored or given, and what it brings takes its place."""
    store = MemoryTokenStore()
    old = token_that_expires_in(100_000, "old", refresh_token="refresh-of-old")
    store.save("k", old)
    options: dict[str, Any] = {"token": old} if given else {"store": store, "store_key": "k"}
    auth = code(plugin_mode, tokens.url, **options)
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    assert ["the-code", "refresh-1"] == rotation.calls
    if not given:
        assert "token-2" == stored(store, "k").access_token


@pytest.mark.parametrize("expired", [False, True])
def test_a_code_is_spent_after_a_restart(plugin_mode: Mode, rotation: Rotation, tokens: Tokens, expired: bool) -> None:
    """A program that is started again with the same code and store goes on with the token that the code brought."""
    store = MemoryTokenStore()
    tokens.fields["expires_in"] = 0 if expired else 3600
    code(plugin_mode, tokens.url, store=store).get_token()
    again = code(plugin_mode, tokens.url, store=store)
    assert ("token-2" if expired else "token-1") == plugin_mode.get_token(again).access_token
    assert ["the-code", "refresh-1"][: 2 if expired else 1] == rotation.calls


def test_a_code_is_spent_after_many_renewals_and_a_restart(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens
) -> None:
    """That the code is spent stays known through renewals."""
    store = MemoryTokenStore()
    auth = code(plugin_mode, tokens.url, store=store)
    for _ in range(3):
        auth.refresh()
    plugin_mode.refresh(code(plugin_mode, tokens.url, store=store))
    assert ["the-code", "refresh-1", "refresh-2", "refresh-3"] == rotation.calls


def test_a_code_is_spent_though_a_sibling_without_it_renewed(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens
) -> None:
    """That the code is spent stays known if a sibling that was never given it renews in between."""
    store = MemoryTokenStore()
    code(plugin_mode, tokens.url, store=store).get_token()
    code(plugin_mode, tokens.url, None, store=store).refresh()
    assert "token-2" == plugin_mode.get_token(code(plugin_mode, tokens.url, store=store)).access_token
    assert ["the-code", "refresh-1"] == rotation.calls


def test_another_code_is_used_after_a_restart(plugin_mode: Mode, rotation: Rotation, tokens: Tokens) -> None:
    """A new code, from a new login, is exchanged, whatever is stored."""
    store = MemoryTokenStore()
    code(plugin_mode, tokens.url, store=store).get_token()
    assert "token-2" == plugin_mode.get_token(code(plugin_mode, tokens.url, "another-code", store=store)).access_token
    assert ["the-code", "another-code"] == rotation.calls


def test_what_is_remembered_with_a_token_is_not_the_callers(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens
) -> None:
    """What is stored beside a token holds no code and shows neither in `token` nor to `on_token_update`."""
    store = Diary()
    told: list[OAuthToken] = []
    auth = code(plugin_mode, tokens.url, store=store, on_token_update=told.append)
    assert {} == plugin_mode.get_token(auth).extra
    assert {} == code(plugin_mode, tokens.url, store=store).get_token().extra
    assert [{}] == [token.extra for token in told]
    assert "the-code" not in json.dumps(store.saved[0].to_dict())


# -- A token given and a stored one ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept", "winner"),
    [
        (1000, 2000, "kept"),
        (None, 2000, "given"),
        (-10, -20, "given"),
    ],
)
def test_of_a_token_given_and_a_stored_one_the_later_expiry_wins(
    plugin_mode: Mode,
    rotation: Rotation,
    tokens: Tokens,
    *,
    given: float | None,
    kept: float | None,
    winner: str,
) -> None:
    """Of `token=` and a stored token the one that expires later is used; expired, it's the one that is renewed."""

    def token(seconds: float | None, name: str) -> OAuthToken:
        refresh = f"refresh-of-{name}"
        if seconds is None:
            return OAuthToken(access_token=name, refresh_token=refresh)
        return token_that_expires_in(seconds, name, refresh_token=refresh)

    rotation.live = f"refresh-of-{winner}"
    store = MemoryTokenStore()
    store.save("k", token(kept, "kept"))
    auth = code(plugin_mode, tokens.url, None, store=store, store_key="k", token=token(given, "given"))
    used = plugin_mode.get_token(auth).access_token
    if given is not None and given < 0:
        assert ("token-1", [f"refresh-of-{winner}"]) == (used, rotation.calls)
    else:
        assert (winner, []) == (used, rotation.calls)


@pytest.mark.parametrize(("given", "kept"), [(-10, -20), (-20, -10)])
def test_the_losers_refresh_token_is_asked_last(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, given: float, kept: float
) -> None:
    """If the winner's refresh token is refused, the other one's is tried before a person is asked."""
    store = MemoryTokenStore()
    store.save("k", token_that_expires_in(kept, "kept", refresh_token="refresh-of-kept"))
    own = token_that_expires_in(given, "given", refresh_token="refresh-of-given")
    winner, loser = ("given", "kept") if given > kept else ("kept", "given")
    rotation.live = f"refresh-of-{loser}"
    rotation.before = lambda request: INVALID_GRANT if sent_with(request) == f"refresh-of-{winner}" else None
    auth = code(plugin_mode, tokens.url, None, store=store, store_key="k", token=own)
    assert "token-1" == plugin_mode.get_token(auth).access_token
    assert [f"refresh-of-{winner}", f"refresh-of-{loser}"] == rotation.calls


# -- on_token_update ------------------------------------------------------------------------------------------------


def test_an_update_is_told_once_for_each_token(
    mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """`on_token_update` hears of each new token once, whoever asked for it, and of nothing else."""
    told: list[str] = []
    auth = password(mode, tokens.url, on_token_update=lambda token: told.append(token.access_token))
    with mode.client(auth) as client:
        assert [200] * 10 == [response.status_code for response in client.get_many(api.url, 10)]
        mode.get_token(auth)
        mode.refresh(auth)
        tokens.revoke()
        assert [200] * 10 == [response.status_code for response in client.get_many(api.url, 10)]
    assert ["token-1", "token-2", "token-3"] == told


@pytest.mark.parametrize("trouble", [ValueError, SystemExit])
def test_an_update_that_raises_harms_no_request(
    plugin_mode: Mode,
    tokens: Tokens,
    api: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    trouble: type[BaseException],
) -> None:
    """What `on_token_update` raises is logged, and the request goes through."""

    def update(token: OAuthToken) -> None:
        raise trouble("that is my way")

    with plugin_mode.client(password(plugin_mode, tokens.url, on_token_update=update)) as client:
        assert 200 == client.get(api.url).status_code
    assert "on_token_update raised" in caplog.text
    assert f"{trouble.__name__}: that is my way" in caplog.text


def test_no_update_is_told_of_tokens_that_were_there(plugin_mode: Mode, tokens: Tokens) -> None:
    """Neither a token given nor a stored one is news to `on_token_update`."""
    store = MemoryTokenStore()
    told: list[OAuthToken] = []
    store.save("k", token_that_expires_in(3000))
    options = {"on_token_update": told.append}
    plugin_mode.get_token(password(plugin_mode, tokens.url, token=token_that_expires_in(3000), **options))
    plugin_mode.get_token(password(plugin_mode, tokens.url, store=store, store_key="k", **options))
    assert ([], 0) == (told, tokens.calls)


def test_an_update_may_not_use_its_own_auth_object(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """`on_token_update` that uses its own auth object gets an error of ours, not a deadlock."""
    raised: list[BaseException] = []

    def update(token: OAuthToken) -> None:
        for ask in (auth.get_token, auth.refresh):
            try:
                ask()
            except TokenError as error:
                raised.append(error)

    auth = password(plugin_mode, tokens.url, on_token_update=update)
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    assert 2 == len(raised)


# -- The store's key ------------------------------------------------------------------------------------------------


class Keys(MemoryTokenStore):
    """A store that notes the keys that it's asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[str] = []

    def load(self, key: str) -> OAuthToken | None:
        self.keys.append(key)
        return super().load(key)


def key_of(make: Callable[..., Any], *args: Any, **options: Any) -> str:
    store = Keys()
    token = token_that_expires_in(3000, refresh_token="refresh-0")
    make(*args, store=store, token=token, **options).get_token()
    return store.keys[0]


URL = "https://auth.example/token"


def test_two_clients_never_share_a_token(plugin_mode: Mode) -> None:
    """The key differs with token URL, client id, grant, subject, scope and additional fields."""
    plugin = plugin_mode.plugin
    cca, user = plugin.ClientCredentialsAuth, {"username": "alice", "password": "x"}
    keys = [
        key_of(cca, URL, "client", "secret"),
        key_of(cca, URL + "2", "client", "secret"),
        key_of(cca, URL + "?tenant=2", "client", "secret"),
        key_of(cca, URL, "client2", "secret"),
        key_of(cca, URL, "client", "secret", scope="a"),
        key_of(cca, URL, "client", "secret", scope="a b"),
        key_of(cca, URL, "client", "secret", scope="ab"),
        key_of(cca, URL, "client", "secret", field_parameters={"audience": "a"}),
        key_of(cca, URL, "client", "secret", field_parameters={"audience": "b"}),
        key_of(cca, URL, "client", "secret", field_parameters={"resource": "a"}),
        key_of(cca, URL, "client", "secret", field_parameters={"audience": ["a", "b"]}),
        key_of(cca, URL, "client", "secret", field_parameters={"audience": None}),
        key_of(plugin.AuthorizationCodeAuth, URL, "client", "secret"),
        key_of(plugin.PasswordAuth, URL, "client", "secret", **user),
        key_of(plugin.PasswordAuth, URL, "client", "secret", **{**user, "username": "bob"}),
        key_of(plugin.RefreshTokenAuth, URL, "client", "secret", refresh_token="one"),
        key_of(plugin.RefreshTokenAuth, URL, "client", "secret", refresh_token="two"),
        # The parts can't run into each other.
        key_of(plugin.PasswordAuth, URL, "clientalice", "secret", **{**user, "username": "a"}),
        key_of(plugin.PasswordAuth, URL, "client", "secret", **{**user, "username": "alicea"}),
    ]
    assert len(keys) == len(set(keys))


def test_the_key_is_the_same_everywhere() -> None:
    """Programs that differ only in HTTP library, secret or the order of scopes share their token."""
    keys = {
        key_of(mode.plugin.ClientCredentialsAuth, URL, "client", secret, scope=scope)
        for mode in SYNC
        for secret in ("secret", "next secret", None)
        for scope in ("a b", "b a", ["a", "b"], ("b", "a"))
    }
    assert 1 == len(keys)


def test_the_key_holds_no_secret(plugin_mode: Mode) -> None:
    """Neither refresh token nor user name nor additional fields can be read from a key."""
    plugin = plugin_mode.plugin
    keys = [
        key_of(plugin.RefreshTokenAuth, URL, "client", "s3cret", refresh_token="refresh-s3cret"),
        key_of(plugin.ClientCredentialsAuth, URL, "client", "s3cret", field_parameters={"otp": "s3cret"}),
        key_of(plugin.PasswordAuth, URL, "client", "s3cret", username="alice", password="s3cret"),
    ]
    assert [] == [key for key in keys if "s3cret" in key or "alice" in key]


def test_a_key_given_is_used_as_it_is(plugin_mode: Mode) -> None:
    """`store_key` is the key, for a token provider, too."""
    assert "mine" == key_of(plugin_mode.plugin.ClientCredentialsAuth, URL, "client", "secret", store_key="mine")
    assert "mine" == key_of(plugin_mode.plugin.TokenProviderAuth, lambda _: None, store_key="mine")


# -- Stores that are broken -----------------------------------------------------------------------------------------


def store_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and "store" in record.getMessage()
    ]


@pytest.mark.parametrize("broken", [("unlock",), ("load", "save", "lock")])
def test_a_broken_store_breaks_no_request_and_is_logged_once(
    plugin_mode: Mode,
    rotation: Rotation,
    tokens: Tokens,
    api: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    *,
    broken: tuple[str, ...],
) -> None:
    """A store that raises is logged once, however often it does so; requests and renewals go on without it."""
    with plugin_mode.client(password(plugin_mode, tokens.url, store=Broken(*broken))) as client:
        for _ in range(4):
            assert 200 == client.get(api.url).status_code
            tokens.revoke()
    assert ["password", "refresh-1", "refresh-2", "refresh-3"] == rotation.calls
    warnings = store_warnings(caplog)
    assert len(broken) >= len(warnings) >= 1
    assert "OSError" in warnings[0]


def test_each_stretch_of_trouble_is_logged(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that works again and then fails again is logged again, and so is that it works."""
    caplog.set_level(logging.INFO, "oauth_auth")
    store = Broken()
    auth = password(plugin_mode, tokens.url, store=store)
    for broken in ([], ["load"], ["load"], [], [], ["load"], []):
        store.broken = set(broken)
        auth.refresh()
    assert 2 == len(store_warnings(caplog))
    assert 2 == sum("works again" in record.getMessage() for record in caplog.records)


class Junk:
    """A store that does nothing right."""

    def __init__(self, loaded: Any, lock: Any) -> None:
        self._loaded = loaded
        self._lock = lock

    def load(self, key: str) -> Any:
        return self._loaded

    def save(self, key: str, token: OAuthToken) -> Any:
        return self._loaded

    def delete(self, key: str) -> Any:
        return self._loaded

    def lock(self, key: str) -> Any:
        return self._lock


class OddLock:
    """A lock that says that it swallows exceptions, and wants its arguments."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exc_info: object) -> bool:
        assert 3 == len(exc_info)
        return True


@pytest.mark.parametrize(
    "loaded",
    ["token", OAuthToken, token_that_expires_in(-1, extra={"oauth_auth": {"failure": {"kind": []}, "code": 7}})],
    ids=lambda junk: type(junk).__name__,
)
def test_a_store_that_loads_junk_breaks_no_request(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, *, loaded: Any
) -> None:
    """A store that returns anything but tokens breaks no request, nor the renewal after a rejection."""
    auth = code(plugin_mode, tokens.url, store=Junk(loaded, threading.Lock()))
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    assert ["the-code", "refresh-1"] == rotation.calls


@pytest.mark.parametrize("lock", [None, OddLock(), OddLock])
def test_a_store_whose_locks_are_junk_breaks_no_request(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, *, lock: Any
) -> None:
    """A store that returns anything but locks breaks no request, nor the renewal after a rejection."""
    with plugin_mode.client(code(plugin_mode, tokens.url, store=Junk(None, lock))) as client:
        assert 200 == client.get(api.url).status_code
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    assert ["the-code", "refresh-1"] == rotation.calls


def test_a_failing_call_is_not_swallowed_by_an_odd_lock(plugin_mode: Mode, tokens: Tokens) -> None:
    """A store's lock that swallows exceptions doesn't swallow the server's refusal."""
    tokens.answer = lambda _: INVALID_GRANT
    auth = password(plugin_mode, tokens.url, store=Junk(None, OddLock()))
    with pytest.raises(OAuthProviderException):
        auth.get_token()


def test_expiry_of_a_stored_token_counts_from_when_it_came(plugin_mode: Mode, tokens: Tokens) -> None:
    """A token that was stored with its expiry doesn't live longer for having been loaded."""
    store = MemoryTokenStore()
    kept = OAuthToken(access_token="kept", expires_in=3600, expiry=time.time() + 5)
    store.save("k", OAuthToken.from_dict(json.loads(json.dumps(kept.to_dict()))))
    auth = password(plugin_mode, tokens.url, store=store, store_key="k", leeway=10.0)
    assert "token-1" == auth.get_token().access_token


def test_many_rotations_leave_nothing_behind(plugin_mode: Mode) -> None:
    """What is remembered of spent refresh tokens is bounded: after 400 rotations a pickle is as long as after 200."""
    numbers = itertools.count(1000)
    answer = {"expires_in": 3600, "token_type": "Bearer"}

    def script(_: Received) -> Answer:
        number = next(numbers)
        return Answer(200, {**answer, "access_token": f"token-{number}", "refresh_token": f"refresh-{number}"})

    with ScriptedServer(script) as server:
        auth = refresh_token(plugin_mode, f"{server.url}/token")
        sizes = []
        for _ in range(2):
            for _ in range(200):
                auth.refresh()
            sizes.append(len(pickle.dumps(auth)))
    assert abs(sizes[1] - sizes[0]) < 200
