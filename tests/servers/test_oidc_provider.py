"""The library against oidc-provider, a certified OpenID provider that runs in a process of its own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from oauth_auth import ClientSecretPost, OAuthProviderException, ReauthorizationRequired
from tests.support import modes
from tests.support.modes import Mode

from .login import authorize
from .oidc_provider import OidcProvider
from .real_servers import REDIRECT_URI, Promises, RealServer, Registered, received, shown

pytestmark = pytest.mark.shared_core


class Certified(RealServer):
    def __init__(self, running: OidcProvider) -> None:
        self.running = running
        self.token_url = running.token_url
        self.authorization_url = running.authorization_url
        self.revocation_url = running.revocation_url
        self.api_url = running.api_url
        self.userinfo_url = running.userinfo_url
        self.username = running.username
        self.password = running.password

    def client(self, name: str) -> Registered:
        client = getattr(self.running, "plus" if name == "ambiguous" else name)
        options = {"client_auth": ClientSecretPost()} if name == "post" else {}
        return Registered(client_id=client.client_id, client_secret=client.client_secret, options=options)

    def redirect(self, authorization_url: str) -> str:
        return authorize(authorization_url, REDIRECT_URI)

    def revoke_access_tokens(self) -> None:
        self.running.revoke_access_tokens()

    @property
    def token_calls(self) -> int:
        return self.running.token_requests


@pytest.fixture
def server(oidc: OidcProvider) -> Certified:
    oidc.reset()
    return Certified(oidc)


class TestPromises(Promises):
    """What holds at every real server."""


# -- The end of tokens ------------------------------------------------------------------------------------------


def test_a_revoked_access_token_ends_its_refresh_token(server: Certified, plugin_mode: Mode) -> None:
    """Where revoking the access token ends the refresh token, a password goes on by itself within one request."""
    body = b"the same bytes" * 1000
    with server.make(plugin_mode, "PasswordAuth") as auth, plugin_mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code
        assert 200 == server.ask_elsewhere(server.revocation_url, token=auth.token.access_token).status_code
        before = server.token_calls
        assert received(body) == shown(client.send("POST", server.api_url, body=body))
        assert before + 2 == server.token_calls


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_after_a_revocation_a_person_must_log_in(server: Certified, plugin_mode: Mode, which: str) -> None:
    """A login that was ended at the server raises `ReauthorizationRequired`, after one call that asks."""
    with server.make(plugin_mode, "AuthorizationCodeAuth") as auth, plugin_mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code
        assert 200 == server.ask_elsewhere(server.revocation_url, token=getattr(auth.token, which)).status_code
        before = server.token_calls
        with pytest.raises(ReauthorizationRequired, match="401"):
            client.get(server.api_url)
        assert before + 1 == server.token_calls


def test_short_lifetimes_are_not_noticed(server: Certified) -> None:
    """Tokens of two seconds, which the server ends up to one second early, are renewed, and no request fails.

    All modes at once, since this one waits for the server's clock.
    """
    server.running.set_access_token_lifetime(2)
    kinds = [(mode, grant) for mode in modes.SYNC for grant in ("ClientCredentialsAuth", "AuthorizationCodeAuth")]
    kinds += [(mode, "PasswordAuth") for mode in modes.ASYNC]
    start = threading.Barrier(len(kinds))

    def use(kind: tuple[Mode, str]) -> list[int]:
        mode, grant = kind
        statuses = []
        with server.make(mode, grant) as auth, mode.client(auth) as client:
            start.wait(30)
            tokens: set[str] = set()
            while len(tokens) < 3:
                statuses += [response.status_code for response in client.get_many(server.api_url, 2)]
                tokens.add(auth.token.access_token)
        return statuses

    with ThreadPoolExecutor(len(kinds)) as pool:
        seen = list(pool.map(use, kinds))
    assert len(kinds) * [{200}] == [set(statuses) for statuses in seen]


# -- Challenges -------------------------------------------------------------------------------------------------


def test_userinfo_s_own_challenge_is_understood(server: Certified, plugin_mode: Mode) -> None:
    """A challenge that none of us wrote, the provider's own, leads to a renewal and a replay."""
    with server.make(plugin_mode, "AuthorizationCodeAuth") as auth, plugin_mode.client(auth) as client:
        assert {"sub": "alice"} == client.get(server.userinfo_url).json()
        server.revoke_access_tokens()
        before = server.token_calls
        assert {"sub": "alice"} == client.get(server.userinfo_url).json()
        assert before + 1 == server.token_calls


@pytest.mark.parametrize("statuses", [(401,), (401, 403)])
def test_insufficient_scope_is_no_rejection(server: Certified, plugin_mode: Mode, statuses: tuple[int, ...]) -> None:
    """A 403 that wants another scope is the caller's, and no call is made; the token goes on serving others."""
    with server.make(plugin_mode, "ClientCredentialsAuth", scope="api", rejection_statuses=statuses) as auth:
        before = server.token_calls
        with plugin_mode.client(auth) as client:
            refused = client.get(f"{server.api_url}/admin")
            assert 403 == refused.status_code
            assert [] == list(refused.history)
            assert 200 == client.get(server.api_url).status_code
    assert before + 1 == server.token_calls


def test_userinfo_wants_a_scope(server: Certified, plugin_mode: Mode) -> None:
    """The provider's own 403 isn't a rejection either, even where 403 was named as one."""
    auth = server.make(plugin_mode, "PasswordAuth", scope="api", rejection_statuses=(401, 403))
    before = server.token_calls
    with plugin_mode.client(auth) as client:
        assert 403 == client.get(server.userinfo_url).status_code
    assert before + 1 == server.token_calls


def test_an_api_that_rejects_every_token_costs_few_calls(server: Certified, plugin_mode: Mode) -> None:
    """Userinfo takes no token of a client's own: its 401 is the caller's, and renewals for it soon pause."""
    with server.make(plugin_mode, "ClientCredentialsAuth", scope="openid") as auth, plugin_mode.client(auth) as client:
        before = server.token_calls
        answers = [client.get(server.userinfo_url) for _ in range(10)] + client.get_many(server.userinfo_url, 20)
        assert 30 * [401] == [answer.status_code for answer in answers]
        assert 1 + 3 >= server.token_calls - before
        assert 200 == client.get(server.api_url).status_code


def test_a_public_client_has_no_token_of_its_own(server: Certified, plugin_mode: Mode) -> None:
    """What a server forbids to public clients is its own error, not trouble with the secret, and asked once."""
    auth = server.make(plugin_mode, "ClientCredentialsAuth", "public")
    before = server.token_calls
    with plugin_mode.client(auth) as client, pytest.raises(OAuthProviderException, match="invalid_request"):
        client.get(server.api_url)
    assert before + 1 == server.token_calls


# -- What else a real answer holds ------------------------------------------------------------------------------


def test_other_fields_survive(server: Certified, plugin_mode: Mode) -> None:
    """Fields beyond OAuth's own, such as OpenID's `id_token`, are kept with the token."""
    auth = server.make(plugin_mode, "AuthorizationCodeAuth")
    assert {"id_token"} == auth.get_token().extra.keys()
