"""Tokens that are made of others', in stores: each auth object gets those of its own subject, and nobody else's."""

from __future__ import annotations

import copy
import gc
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import ConfigurationError, DPoPKey, FileTokenStore, JwtAssertion, MemoryTokenStore, OAuthToken
from tests.support.copies import pickled
from tests.support.jwts import claims_of
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.stores import Failing

pytestmark = pytest.mark.shared_core

Serve = Callable[..., ScriptedServer]


def issue(request: Received) -> Answer:
    """Issue a token that names whom it's for."""
    fields = {name: values[0] for name, values in request.form.items()}
    whom = fields.get("subject_token") or claims_of(fields["assertion"])["iss"]
    return Answer(200, {"access_token": f"token-of-{whom}", "token_type": "Bearer", "expires_in": 3600})


def user(mode: Mode, url: str, name: str, store: Any = None) -> Any:
    """Return the auth object of a user who has logged in."""
    token = OAuthToken(access_token=name, expires_in=3600)
    key = None if store is None else f"login of {name}"
    return mode.plugin.AuthorizationCodeAuth(url, "client", token=token, store=store, store_key=key)


def test_exchanged_tokens_are_kept_for_each_user(mode: Mode, serve: Serve) -> None:
    """Users whose logins are kept under keys of their own share a store, and get tokens of their own."""
    server, store = serve(issue), MemoryTokenStore()
    for _ in range(2):
        for name in ("alice", "bob"):
            subject = user(mode, server.url, name, store)
            with mode.plugin.TokenExchangeAuth(server.url, "client", subject_token=subject, store=store) as auth:
                assert f"token-of-{name}" == mode.get_token(auth).access_token
    assert 2 == len(server.requests)


def test_a_key_that_does_not_tell_users_apart_is_not_derived(plugin_mode: Mode) -> None:
    """All logins of a client that are kept elsewhere have the same key: then one must be given."""
    url = "https://auth.example/token"
    for kept in (None, MemoryTokenStore()):
        subject, store = user(plugin_mode, url, "alice", kept), MemoryTokenStore()
        with pytest.raises(ConfigurationError, match="give a store_key with the store"):
            plugin_mode.plugin.TokenExchangeAuth(url, "client", subject_token=subject, store=store)
        plugin_mode.plugin.TokenExchangeAuth(url, "client", subject_token=subject, store=store, store_key="alice")


def test_service_accounts_that_share_a_key_by_mistake(mode: Mode, serve: Serve) -> None:
    """Without a client nothing else tells whose a stored token is: another account's is not sent."""
    server, store, key = serve(issue), MemoryTokenStore(), DPoPKey.generate().private_jwk
    for name in ("a@iam", "b@iam"):
        with mode.plugin.JwtBearerAuth(
            server.url, assertion=JwtAssertion(key, issuer=name), store=store, store_key="google"
        ) as auth:
            assert f"token-of-{name}" == mode.get_token(auth).access_token


@pytest.mark.parametrize("double", [tuple, copy.deepcopy, pickled], ids=["made here", "copied", "pickled"])
@pytest.mark.parametrize("way", ["revoke", "complete_login"])
def test_an_exchanged_token_ends_with_the_login_it_was_made_of(
    mode: Mode, serve: Serve, tmp_path: Path, way: str, double: Callable[[Any], Any]
) -> None:
    """Another user's login in the subject is another subject, for each link of a chain."""

    def answer(request: Received) -> Answer:
        if "code" in request.form:
            fields = {"access_token": "bob", "token_type": "Bearer", "expires_in": 3600}
            return Answer(200, fields)
        return issue(request)

    server, folder = serve(answer), FileTokenStore(tmp_path)
    options: Any = {"authorization_url": f"{server.url}/authorize", "token": OAuthToken(access_token="alice")}
    subject = mode.plugin.AuthorizationCodeAuth(server.url, "client", **options)
    exchange = mode.plugin.TokenExchangeAuth
    first = exchange(server.url, "client", subject_token=subject, store=folder, store_key="first")
    last = exchange(server.url, "client", subject_token=first)
    subject, first, last = double((subject, first, last))
    assert "token-of-token-of-alice" == mode.get_token(last).access_token
    if way == "revoke":
        mode.revoke(subject)
    request = subject.authorization_request("https://app.example/callback")
    subject.complete_login(request, f"?code=c&state={request.state}")
    assert "token-of-token-of-bob" == mode.get_token(last).access_token
    assert "token-of-bob" == mode.get_token(first).access_token


def test_a_logout_ends_an_exchanged_token_that_is_yet_to_be_saved(plugin_mode: Mode, serve: Serve) -> None:
    """It finds the token though nobody uses its auth object any more; else that would be saved after the logout."""
    revoked: list[str] = []

    def answer(request: Received) -> Answer:
        if "token" not in request.form:
            fields = {"access_token": "token", "refresh_token": "refresh", "token_type": "Bearer", "expires_in": 3600}
            return Answer(200, fields)
        revoked.extend(request.form["token"])
        return Answer(200)

    server, store = serve(answer), Failing(math.inf)
    alice = plugin_mode.plugin.AuthorizationCodeAuth(
        server.url,
        "client",
        authorization_url=f"{server.url}/authorize",
        revocation_url=f"{server.url}/revoke",
        token=OAuthToken(access_token="alice", expires_in=3600),
    )
    options: Any = {"store": store, "store_key": "k", "revocation_url": f"{server.url}/revoke"}
    plugin_mode.get_token(plugin_mode.plugin.TokenExchangeAuth(server.url, "client", subject_token=alice, **options))
    gc.collect()
    plugin_mode.revoke(alice)
    assert ["alice", "refresh", "token"] == revoked


KEYS: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "ClientCredentialsAuth": ({}, ("cbeb1f14b032", "7b364e7e2112", "cbeb1f14b032")),
    "AuthorizationCodeAuth": (
        {"authorization_url": "https://auth.example/authorize"},
        ("199eb6048f8d", "e1422fca06e4", "199eb6048f8d"),
    ),
    "DeviceCodeAuth": (
        {"device_authorization_url": "https://auth.example/device"},
        ("199eb6048f8d", "e1422fca06e4", "199eb6048f8d"),
    ),
    "PasswordAuth": (
        {"username": "user", "password": "pass"},
        ("2713c3576300", "1902238d6b45", "2713c3576300"),
    ),
    "RefreshTokenAuth": ({"refresh_token": "refresh"}, ("1323875560b7", "4f006b74702a", "1323875560b7")),
    "TokenExchangeAuth": ({"subject_token": "subject"}, ("e078afd6a771", "67a892772e79", "e15b9d597830")),
    "JwtBearerAuth": ({"assertion": "assertion"}, ("43361d85b650", "c85546019a8b", "43361d85b650")),
}
"""By class, an example's own options, and how the keys begin that its ways to be made derived before the rebuild."""


@pytest.mark.parametrize("name", KEYS)
def test_keys_stay_what_they_were(plugin_mode: Mode, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Tokens that programs have stored are found by them after an update, however the auth object is made."""
    own, keys = KEYS[name]
    options, auth_class = {**own, "store": MemoryTokenStore(), "scope": "read"}, getattr(plugin_mode.plugin, name)
    monkeypatch.setenv("OAUTH_TOKEN_URL", "https://auth.example/token")
    monkeypatch.setenv("OAUTH_CLIENT_ID", "client")
    made = (
        auth_class("https://auth.example/token", "client", **options),
        auth_class.from_issuer("https://auth.example", "client", **options),
        auth_class.from_env(**options),
    )
    assert keys == tuple(auth._store_key[:12] for auth in made)


def test_the_key_of_a_resource_stays_what_it_was(plugin_mode: Mode) -> None:
    """So are those of a resource's tokens."""
    auth = plugin_mode.plugin.ResourceAuth("https://api.example/v1", store=MemoryTokenStore(), scope="read")
    assert auth._store_key.startswith("3dabace2ba51")
