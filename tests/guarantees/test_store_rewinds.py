"""Guarantee 9: a store that goes back in time loses nothing that each program in use has adopted."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthToken
from oauth_auth._record import replace
from oauth_auth.stores import RedisTokenStore, TokenStore
from tests.servers.redis import RedisServer
from tests.support import modes
from tests.support.clock import Clock
from tests.support.modes import Mode
from tests.support.rotation import INVALID_GRANT, Rotation, code, refresh_token, sent_with
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens
from tests.support.waiting import await_end, flights_in_the_air

pytestmark = pytest.mark.shared_core


class Worker:
    """A client with an auth object on a common store."""

    def __init__(self, mode: Mode, tokens: Tokens, api: ScriptedServer, store: TokenStore, **options: Any) -> None:
        make = refresh_token if options else code
        self.auth = make(mode, tokens.url, **{"text": None, **options}, store=store, store_key="k")
        self._mode, self._api = mode, api

    def works(self) -> bool:
        """Whether a request goes through."""
        with self._mode.client(self.auth) as client:
            return bool(200 == client.get(self._api.url).status_code)


def first_token(store: TokenStore) -> OAuthToken:
    """Save a token with which a login begins."""
    token = OAuthToken(access_token="given", expires_in=3600, refresh_token="refresh-0")
    store.save("k", token)
    return token


def live_in(store: TokenStore) -> str | None:
    token = store.load("k")
    return None if token is None else token.refresh_token


def test_a_store_that_went_back_kills_no_login(
    make_store: Callable[[], TokenStore], rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """Workers that hold the live token go on with it when the store has an older one, and save it again."""
    check(modes.REQUESTS, make_store, rotation, tokens, api)


def test_every_plug_in_survives_it(mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer) -> None:
    """The same for each plug-in, sync and async."""
    store = MemoryTokenStore()
    check(mode, lambda: store, rotation, tokens, api)


def check(
    mode: Mode, make_store: Callable[[], TokenStore], rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    store = make_store()
    backup = first_token(store)
    tokens.accepted = {"Bearer given"}
    one, other = (Worker(mode, tokens, api, make_store()) for _ in range(2))
    assert [True, True] == [one.works(), other.works()]
    tokens.revoke()
    assert [True, True] == [one.works(), other.works()]  # one renews, the other adopts
    assert ["refresh-0"] == rotation.calls
    for number, worker in enumerate((other, one, other), 1):
        store.save("k", backup)
        tokens.revoke()
        assert worker.works()
        assert [f"refresh-{n}" for n in range(number + 1)] == rotation.calls
        assert rotation.live == live_in(store)
        assert [True, True] == [one.works(), other.works()]
        assert number + 1 == len(rotation.calls)


def test_many_generations_are_known_to_be_old(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """Any of the last tokens may come back, from this program or a sibling."""
    store = MemoryTokenStore()
    backups = [first_token(store)]
    tokens.accepted = {"Bearer given"}
    one, other = (Worker(plugin_mode, tokens, api, store) for _ in range(2))
    for worker in (one, other) * 5:
        assert [True, True] == [one.works(), other.works()]
        tokens.revoke()
        assert worker.works()
        stored = store.load("k")
        assert stored is not None
        backups.append(stored)
    assert [True, True] == [one.works(), other.works()]
    for backup in backups[:-1]:
        store.save("k", backup)
        tokens.revoke()
        assert [True, True] == [other.works(), one.works()]
    assert len(set(rotation.calls)) == len(rotation.calls) == 10 + len(backups) - 1


def test_redis_that_is_started_with_an_old_snapshot(
    plugin_mode: Mode, own_redis: RedisServer, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """A Redis that crashes and has a snapshot from before the last renewal costs no login."""
    prefix = f"{uuid.uuid4()}:"
    store = RedisTokenStore(own_redis.url, prefix=prefix)
    first_token(store)
    tokens.accepted = {"Bearer given"}
    one, other = (Worker(plugin_mode, tokens, api, RedisTokenStore(own_redis.url, prefix=prefix)) for _ in range(2))
    assert [True, True] == [one.works(), other.works()]
    own_redis.client.save()
    tokens.revoke()
    assert [True, True] == [one.works(), other.works()]
    own_redis.stop()
    own_redis.start()
    assert "refresh-0" == live_in(store)
    tokens.revoke()
    assert [True, True] == [other.works(), one.works()]
    assert ["refresh-0", "refresh-1"] == rotation.calls
    assert rotation.live == live_in(store)


class Told(MemoryTokenStore):
    """A store that tells when a refresh token has been saved."""

    def __init__(self) -> None:
        super().__init__()
        self.awaited: str | None = None
        self.saved = threading.Event()

    def save(self, key: str, token: OAuthToken) -> None:
        super().save(key, token)
        if token.refresh_token == self.awaited:
            self.saved.set()


def test_the_live_token_is_saved_again_without_a_renewal(
    mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, clock: Clock
) -> None:
    """Who notices keeps the live token, and saves it again for those that start later; no call, and no wait."""
    store = Told()
    backup = first_token(store)
    tokens.accepted = {"Bearer given"}
    worker = Worker(mode, tokens, api, store)
    assert worker.works()
    tokens.revoke()
    assert worker.works()
    store.awaited = "refresh-1"
    store.save("k", backup)
    clock.advance(3600 - 30)
    with store.lock("k"):  # as if a sibling renewed: so this one only looks
        assert worker.works()
        await_end(flights_in_the_air(), 10)
    assert store.saved.wait(10)
    assert (["refresh-0"], "refresh-1") == (rotation.calls, live_in(store))


def test_the_live_token_is_asked_before_the_one_given(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """Who can't know that the store's token is old asks with the one before next, not with the one given long ago."""
    store = MemoryTokenStore()
    first_token(store)
    assert "refresh-1" == code(plugin_mode, tokens.url, None, store=store, store_key="k").refresh().refresh_token
    old = store.load("k")
    assert old is not None
    assert "refresh-2" == code(plugin_mode, tokens.url, None, store=store, store_key="k").refresh().refresh_token
    worker = Worker(plugin_mode, tokens, api, store, text="refresh-0")
    assert worker.works()  # it has only seen the second, and what an older version saved doesn't name the first
    store.save("k", old)
    source = worker.auth._source
    source._tokens.known = replace(source._tokens.known, superseded=())
    # A server that refuses a spent token, and doesn't end its family.
    rotation.before = refusing_what_is_spent(rotation)
    tokens.revoke()
    before = len(rotation.calls)
    assert worker.works()
    assert ["refresh-1", "refresh-2"] == rotation.calls[before:]


def test_who_joined_later_survives_it(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer
) -> None:
    """A worker that has only seen the live token doesn't take up the one before it, and saves the live one again."""
    store = MemoryTokenStore()
    first_token(store)
    assert "refresh-1" == code(plugin_mode, tokens.url, None, store=store, store_key="k").refresh().refresh_token
    old = store.load("k")
    assert old is not None
    assert "refresh-2" == code(plugin_mode, tokens.url, None, store=store, store_key="k").refresh().refresh_token
    worker = Worker(plugin_mode, tokens, api, store)
    assert worker.works()
    store.save("k", old)
    rotation.before = refusing_what_is_spent(rotation)
    tokens.revoke()
    before = len(rotation.calls)
    assert worker.works()
    assert ["refresh-2"] == rotation.calls[before:]
    assert "refresh-3" == live_in(store)


def refusing_what_is_spent(rotation: Rotation) -> Callable[[Received], Answer | None]:
    return lambda request: None if sent_with(request) == rotation.live else INVALID_GRANT
