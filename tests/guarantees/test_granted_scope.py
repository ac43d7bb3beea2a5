"""Guarantee 9: a user who granted less than was asked for isn't logged out by the first renewal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthProviderException
from tests.support.modes import Mode
from tests.support.rotation import INVALID_GRANT, Rotation, code, password, refresh_token
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens

pytestmark = pytest.mark.shared_core

ASKED = "orders.read orders.write"
GRANTED = "orders.read"
INVALID_SCOPE = Answer(400, {"error": "invalid_scope"})


class Consent:
    """A server at which the user grants less than is asked for; a refresh that asks for more is refused.

    That's what oidc-provider and Authlib do (RFC 6749 section 6). `tells`: whether answers name what was granted;
    `needs_scope`: whether a refresh without any is refused, as by eBay.
    """

    def __init__(self, rotation: Rotation, *, tells: bool) -> None:
        self.tells = tells
        self.needs_scope = False
        rotation.before = self._check
        self._fields = rotation.tokens.fields

    def _check(self, request: Received) -> Answer | None:
        if request.form["grant_type"] == ["refresh_token"]:
            [asked] = request.form.get("scope", [""])
            if not set(asked.split()) <= {GRANTED} or (self.needs_scope and not asked):
                return INVALID_SCOPE
        if self.tells:
            self._fields["scope"] = GRANTED
        return None


def scopes(tokens: Tokens) -> list[str | None]:
    """What each call asked for."""
    return [request.form.get("scope", [None])[0] for request in tokens.server.requests]


FIRST: dict[Callable[..., Any], list[str | None]] = {password: [ASKED], code: [None], refresh_token: [ASKED, None]}
"""What the first token takes. Who was given a refresh token can't know what was granted with it."""


@pytest.mark.parametrize("make", FIRST)
def test_a_refresh_asks_for_what_was_granted(
    mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, make: Callable[..., Any]
) -> None:
    """Where the server tells what it granted, each renewal asks for just that, by one call, and no user is needed."""
    Consent(rotation, tells=True)
    auth = make(mode, tokens.url, scope=ASKED)
    with mode.client(auth) as client:
        for _ in range(4):
            assert 200 == client.get(api.url).status_code
            tokens.revoke()
    assert [*FIRST[make], *[GRANTED] * 3] == scopes(tokens)
    assert GRANTED == auth.token.scope
    assert rotation.live == auth.token.refresh_token


@pytest.mark.parametrize("make", FIRST)
def test_a_scope_that_is_refused_is_left_out(
    mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, make: Callable[..., Any]
) -> None:
    """Where the server doesn't tell, `invalid_scope` is answered once without a scope: the refresh token lives on."""
    Consent(rotation, tells=False)
    auth = make(mode, tokens.url, scope=ASKED)
    with mode.client(auth) as client:
        for _ in range(4):
            assert 200 == client.get(api.url).status_code
            tokens.revoke()
    assert [*FIRST[make], *[ASKED, None] * 3] == scopes(tokens)
    assert rotation.live == auth.token.refresh_token


@pytest.mark.parametrize("make", FIRST)
def test_a_restart_knows_what_was_granted(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, make: Callable[..., Any]
) -> None:
    """The scope that was granted is stored with the token."""
    Consent(rotation, tells=True)
    store = MemoryTokenStore()
    make(plugin_mode, tokens.url, scope=ASKED, store=store).get_token()
    make(plugin_mode, tokens.url, scope=ASKED, store=store).refresh()
    assert GRANTED == scopes(tokens)[-1]
    assert len(FIRST[make]) + 1 == tokens.calls


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("make", FIRST)
def test_a_server_that_needs_a_scope_gets_it(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, make: Callable[..., Any], tells: bool
) -> None:
    """A refresh always names a scope first: what was granted, else what was asked for."""
    Consent(rotation, tells=tells).needs_scope = True
    auth = make(plugin_mode, tokens.url, scope=GRANTED)
    for _ in range(3):
        auth.refresh()
    assert {GRANTED} == {
        request.form["scope"][0]
        for request in tokens.server.requests
        if request.form["grant_type"] == ["refresh_token"]
    }
    assert rotation.live == auth.token.refresh_token


@pytest.mark.parametrize("error", ["invalid_scope", "invalid_target", "use_dpop_nonce"])
def test_a_refusal_of_the_call_ends_no_login(plugin_mode: Mode, rotation: Rotation, tokens: Tokens, error: str) -> None:
    """A refusal that is about the call is raised as it is: no password is sent, and the refresh token serves later."""
    auth = password(plugin_mode, tokens.url, scope=ASKED, store=MemoryTokenStore())
    auth.get_token()
    rotation.before = lambda _: Answer(400, {"error": error})
    with pytest.raises(OAuthProviderException, match=error):
        auth.refresh()
    assert {"refresh-1"} == set(rotation.calls[1:])
    rotation.before = lambda _: None
    auth.refresh()
    assert rotation.live == auth.token.refresh_token == "refresh-2"


def test_what_ends_a_refresh_token_still_does(plugin_mode: Mode, rotation: Rotation, tokens: Tokens) -> None:
    """`invalid_grant` to the call without a scope ends the refresh token: then the password, and never again."""
    auth = password(plugin_mode, tokens.url, scope=ASKED)
    auth.get_token()
    answers = [INVALID_SCOPE, INVALID_GRANT]
    rotation.before = lambda request: answers.pop(0) if "refresh_token" in request.form else None
    auth.refresh()
    assert ["password", "refresh-1", "refresh-1", "password"] == rotation.calls
