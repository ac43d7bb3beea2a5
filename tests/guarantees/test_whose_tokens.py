"""Tokens that are made of others', in stores: each auth object gets those of its own subject, and nobody else's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import ConfigurationError, DPoPKey, FileTokenStore, JwtAssertion, MemoryTokenStore, OAuthToken
from tests.support.copies import pickled
from tests.support.jwts import claims_of
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer

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
