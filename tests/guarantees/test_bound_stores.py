"""Guarantees 13 and 14 of the security profile where stores misbehave: a token is sent with its own key, or not at all.

The server binds refresh tokens and codes to keys, as it does for public clients.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc import jwk

from oauth_auth import DPoPKey, MemoryTokenStore, OAuthToken, TokenTransportError
from tests.support.jwts import header_of
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer

pytestmark = pytest.mark.shared_core

Serve = Callable[..., ScriptedServer]
REDIRECT_URI = "http://127.0.0.1/cb"


class Binding:
    """An authorization server and an API; what's bound to a key is of no use with another one."""

    def __init__(self, serve: Serve) -> None:
        self._lock = threading.Lock()
        self._issued = 0
        self.keys: dict[str, str | None] = {}
        """The keys of access tokens, refresh tokens and codes."""
        self.is_down = False
        self.lifetime = 3600
        self.token_calls: list[str] = []
        """Their grant types."""
        self.refused: list[str] = []
        """What came with another key, or without one."""
        self.api_calls = 0
        self.server = serve(self._answer)
        self.url, self.api_url = f"{self.server.url}/token", f"{self.server.url}/api"

    def _answer(self, request: Received) -> Answer:
        with self._lock:
            proof = request.headers.get("dpop")
            key = None if proof is None else str(jwk.import_key(header_of(proof)["jwk"]).thumbprint())
            if request.path == "/api":
                self.api_calls += 1
                sent = request.authorization or ""
                is_good = key is not None and self._is_of(sent.removeprefix("DPoP "), key)
                return Answer() if is_good else Answer(401, b"", (("WWW-Authenticate", 'DPoP error="invalid_token"'),))
            if self.is_down:
                return Answer(0)
            return self._issue({name: values[0] for name, values in request.form.items()}, key)

    def _issue(self, fields: dict[str, str], key: str | None) -> Answer:
        self.token_calls.append(fields["grant_type"])
        given = fields.get("refresh_token") or fields.get("code")
        if given is not None and not self._is_of(given, key):
            return Answer(400, {"error": "invalid_grant"})
        self._issued += 1
        names = {"access_token": f"access-{self._issued}", "refresh_token": f"refresh-{self._issued}"}
        self.keys.update(dict.fromkeys(names.values(), key))
        return Answer(200, {**names, "token_type": "DPoP", "expires_in": self.lifetime})

    def _is_of(self, name: str, key: str | None) -> bool:
        if name in self.keys and self.keys[name] == key:
            return True
        self.refused.append(name)
        return False

    def log_in(self, begin: Callable[[str], Any]) -> str:
        """Log a user in, who is quick; the code is bound to the key that the request names."""
        asked = dict(parse_qsl(urlsplit(begin(REDIRECT_URI).url).query))
        code = f"code-{asked['state']}"
        self.keys[code] = asked["dpop_jkt"]
        return f"{REDIRECT_URI}?code={code}&state={asked['state']}"

    def make(self, mode: Mode, store: Any, **options: Any) -> Any:
        return mode.plugin.AuthorizationCodeAuth(
            self.url,
            "client",
            **{
                "authorization_url": f"{self.server.url}/authorize",
                "login": self.log_in,
                "store": store,
                "store_key": "key",
                "dpop": True,
                **options,
            },
        )


@pytest.fixture
def server(serve: Serve) -> Binding:
    return Binding(serve)


def spoil(store: MemoryTokenStore, **state: Any) -> None:
    """Change what the library keeps beside the stored token; None removes it."""
    token = store.load("key")
    assert token is not None
    changed = {**token.extra["oauth_auth"], **state}
    changed = {name: value for name, value in changed.items() if value is not None}
    store.save("key", dataclasses.replace(token, extra={**token.extra, "oauth_auth": changed}))


LOST = pytest.mark.parametrize(
    "key",
    [None, "no key", {"kty": ["EC"]}, {**DPoPKey.generate().private_jwk, "key_ops": ["verify"]}],
    ids=["gone", "text", "of no kind", "not for signing"],
)


def without_key(mode: Mode, server: Binding, key: Any, seconds: float = 3600) -> MemoryTokenStore:
    """Return a store with a token that has so many seconds left, and this in place of its key."""
    store = MemoryTokenStore()
    with server.make(mode, store) as auth:
        mode.get_token(auth)
    spoil(store, key=key)
    token = store.load("key")
    assert token is not None
    store.save("key", dataclasses.replace(token, expiry=time.time() + seconds))
    return store


@LOST
def test_a_token_whose_key_is_lost_is_replaced(plugin_mode: Mode, server: Binding, key: Any) -> None:
    """A program that starts then gets another one instead of sending it."""
    with server.make(plugin_mode, without_key(plugin_mode, server, key)) as auth, plugin_mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code
    assert 1 == server.api_calls


def test_a_token_whose_key_is_lost_is_not_sent_in_its_last_seconds(mode: Mode, server: Binding, quick: None) -> None:
    """Not even where no other can be had: it would be refused."""
    store = without_key(mode, server, None, 5)
    server.is_down = True
    with server.make(mode, store) as auth, mode.client(auth) as client:
        with pytest.raises(TokenTransportError):
            client.get(server.api_url)
        server.is_down = False
    assert 0 == server.api_calls


def test_a_key_that_the_store_has_lost_is_saved_again(plugin_mode: Mode, server: Binding) -> None:
    """Who has it puts it back, so that siblings needn't log in."""
    store = MemoryTokenStore()
    with server.make(plugin_mode, store) as auth:
        auth.get_token()
        spoil(store, key=None)
        auth._stored_token()
    with server.make(plugin_mode, store) as sibling, plugin_mode.client(sibling) as client:
        assert 200 == client.get(server.api_url).status_code
        sibling.refresh()
    assert [] == server.refused
    assert ["authorization_code", "refresh_token"] == server.token_calls


@pytest.mark.parametrize("dpop", [True, DPoPKey.generate()], ids=["own key", "key given"])
def test_a_stored_token_that_is_not_bound_is_not_sent(mode: Mode, server: Binding, dpop: Any) -> None:
    """A program that wants bound tokens doesn't send another one, whoever has put it there."""
    store = MemoryTokenStore()
    store.save("key", OAuthToken(access_token="bearer", expires_in=3600))
    with server.make(mode, store, dpop=dpop) as auth, mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code
    assert 1 == server.api_calls


def test_a_given_token_that_is_not_bound_is_not_sent(mode: Mode, server: Binding) -> None:
    """The same for one that the program is given."""
    token = OAuthToken(access_token="bearer", expires_in=3600)
    options: dict[str, Any] = {"store_key": None, "token": token, "dpop": DPoPKey.generate()}
    with server.make(mode, None, **options) as auth, mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code
    assert 1 == server.api_calls


def test_a_code_that_is_kept_is_redeemed_with_its_own_key(mode: Mode, server: Binding, quick: None) -> None:
    """A user has logged in, the server is down for a moment, and a sibling gets a token meanwhile, with another key."""
    store = MemoryTokenStore()
    with server.make(mode, store) as auth, server.make(mode, store) as sibling:
        server.is_down = True
        with pytest.raises(TokenTransportError):
            mode.get_token(auth)
        server.is_down = False
        mode.get_token(sibling)
        mode.refresh(auth)
        for one in (auth, sibling):
            with mode.client(one) as client:
                assert 200 == client.get(server.api_url).status_code
    assert [] == server.refused
    assert 2 * ["authorization_code"] == server.token_calls


@pytest.mark.parametrize("has_store", [True, False])
def test_the_next_user_has_another_key(plugin_mode: Mode, server: Binding, has_store: bool) -> None:
    """A key lives as long as the login: by one that two users have, APIs could tell that they share a machine."""
    store = MemoryTokenStore() if has_store else None
    with server.make(plugin_mode, store, store_key="key" if has_store else None) as auth:
        for _ in range(2):
            auth.get_token()
            auth.refresh()
            auth.revoke()
    assert 2 == len({key for name, key in server.keys.items() if name.startswith("code")})
    assert [] == server.refused
