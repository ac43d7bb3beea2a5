"""The library against Authlib's server side, which is what `LocalProvider` is built on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from freezegun import freeze_time

from oauth_auth import ClientSecretPost, OAuthProviderException, ReauthorizationRequired
from oauth_auth.testing import LocalProvider
from tests.support import modes
from tests.support.modes import Mode

from .real_servers import AS_USER, GRANTS, Promises, RealServer, Registered, in_history, received, shown

pytestmark = pytest.mark.shared_core

_SECRETS = {
    "special": "+/%s %41:&=?#\"'\\~@;,<>[]{}|^`$!*()-_. äöü €",
    "ambiguous": "half%41half",
}


class Local(RealServer):
    def __init__(self, provider: LocalProvider) -> None:
        self.provider = provider
        self.basic = (provider.client_id, provider.client_secret)
        self.token_url = provider.token_url
        self.authorization_url = provider.authorization_url
        self.revocation_url = provider.revocation_url
        self.api_url = provider.api_url
        self.username = provider.username
        self.password = provider.password

    def client(self, name: str) -> Registered:
        """Return a client, which from now on is the one that the provider knows."""
        client_id, secret = self.basic
        if name == "special":
            client_id = "special:client ä"
        self.provider.client_id = client_id
        self.provider.client_secret = secret = _SECRETS.get(name, secret)
        if name == "public":
            return Registered(client_id=client_id, client_secret=None)
        options = {"client_auth": ClientSecretPost()} if name == "post" else {}
        return Registered(client_id=client_id, client_secret=secret, options=options)

    def redirect(self, authorization_url: str) -> str:
        answer = requests.get(authorization_url, allow_redirects=False, timeout=10)
        return answer.headers["Location"]

    def revoke_access_tokens(self) -> None:
        self.provider.revoke_access_tokens()

    @property
    def token_calls(self) -> int:
        return len(self.provider.token_requests)


@pytest.fixture
def server(provider: LocalProvider) -> Local:
    return Local(provider)


class TestPromises(Promises):
    """What holds at every real server."""


# -- The end of tokens ------------------------------------------------------------------------------------------


def test_the_server_s_clock_decides(server: Local, plugin_mode: Mode) -> None:
    """A token that the server takes for expired earlier than we do is renewed, and the request replayed."""
    now = 0.0
    server.provider._now = lambda: now
    body = b"the same bytes" * 1000
    with server.make(plugin_mode, "AuthorizationCodeAuth") as auth, plugin_mode.client(auth) as client:
        for calls in range(3):
            before = server.token_calls
            assert received(body) == shown(client.send("POST", server.api_url, body=body))
            assert before + 1 == server.token_calls, calls
            now += auth.token.expires_in


def test_a_revoked_access_token_is_renewed(server: Local, mode: Mode) -> None:
    """Where revoking the access token leaves the refresh token alone, that one renews it."""
    with server.make(mode, "AuthorizationCodeAuth") as auth, mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code
        assert 200 == server.ask_elsewhere(server.revocation_url, token=auth.token.access_token).status_code
        before = server.token_calls
        assert 200 == client.get(server.api_url).status_code
        assert before + 1 == server.token_calls


def test_after_a_revocation_a_person_must_log_in(server: Local, plugin_mode: Mode) -> None:
    """A login whose refresh token was revoked raises `ReauthorizationRequired`, after one call that asks."""
    with server.make(plugin_mode, "AuthorizationCodeAuth") as auth, plugin_mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code
        assert 200 == server.ask_elsewhere(server.revocation_url, token=auth.token.refresh_token).status_code
        before = server.token_calls
        with pytest.raises(ReauthorizationRequired, match="401"):
            client.get(server.api_url)
        assert before + 1 == server.token_calls


@pytest.mark.parametrize("grant", AS_USER)
def test_without_rotation_the_refresh_token_is_kept(server: Local, plugin_mode: Mode, grant: str) -> None:
    """Refresh answers without a refresh token leave the old one in use."""
    server.provider.rotate_refresh_tokens = False
    auth = server.make(plugin_mode, grant)
    first = auth.get_token()
    assert first.refresh_token is not None or grant == "RefreshTokenAuth"
    for _ in range(3):
        auth.refresh()
        assert "refresh_token" == server.provider.token_requests[-1].form["grant_type"][0]
        assert first.refresh_token == auth.token.refresh_token
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code


def test_tokens_without_a_lifetime_are_kept_until_rejected(server: Local, plugin_mode: Mode) -> None:
    """A token without `expires_in` is sent for years, and renewed when the API rejects it."""
    server.provider.token_lifetime = None
    auth = server.make(plugin_mode, "ClientCredentialsAuth")
    with freeze_time(tick=True) as clock, plugin_mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code
        clock.tick(10 * 365 * 86400)
        assert 200 == client.get(server.api_url).status_code
        assert 1 == server.token_calls
        server.revoke_access_tokens()
        assert 200 == client.get(server.api_url).status_code
        assert 2 == server.token_calls


# -- Challenges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [{}, {"WWW-Authenticate": ""}, {"WWW-Authenticate": 'Bearer error="'}, {"WWW-Authenticate": "Negotiate, ,=x"}],
    ids=["none", "empty", "cut short", "malformed"],
)
def test_a_poor_challenge_is_a_rejection(server: Local, plugin_mode: Mode, headers: dict[str, str]) -> None:
    """A 401 that doesn't say why, or not so that it can be read, rejects the token."""
    with server.make(plugin_mode, "PasswordAuth") as auth, plugin_mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code
        server.provider.fail_api_requests(401, headers=headers)
        assert 200 == client.get(server.api_url).status_code
    assert 2 == server.token_calls


def test_a_second_rejection_is_the_caller_s(server: Local, plugin_mode: Mode) -> None:
    """A request is replayed once; when the new token is rejected too, the caller gets that answer."""
    with server.make(plugin_mode, "PasswordAuth") as auth, plugin_mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code
        server.provider.fail_api_requests(401, count=2)
        server.provider.api_requests.clear()
        answer = client.get(server.api_url)
        history = [before.status_code for before in answer.history]
        assert (401, in_history(plugin_mode, 401)) == (answer.status_code, history)
        assert 2 == len(server.provider.api_requests)
        assert 200 == client.get(server.api_url).status_code


# -- Trouble at the token endpoint ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grant", "status"),
    [*((grant, 503) for grant in GRANTS), ("ClientCredentialsAuth", 429), ("RefreshTokenAuth", 500)],
)
def test_a_passing_failure_is_not_noticed(server: Local, plugin_mode: Mode, grant: str, status: int) -> None:
    """A token call that fails once in passing is made again, and the request goes through.

    But for a code, which is never sent twice after any answer.
    """
    auth = server.make(plugin_mode, grant)
    before = server.token_calls
    server.provider.fail_token_requests(status)
    with plugin_mode.client(auth) as client:
        if grant == "AuthorizationCodeAuth":
            with pytest.raises(OAuthProviderException, match="temporarily_unavailable"):
                client.get(server.api_url)
            assert before + 1 == server.token_calls
        else:
            assert 200 == client.get(server.api_url).status_code
            assert before + 2 == server.token_calls


def test_an_outage_within_the_refresh_window_is_not_noticed(server: Local, plugin_mode: Mode) -> None:
    """While the token is good, a token endpoint that is down harms no request, and is not hammered."""
    with freeze_time() as clock, server.make(plugin_mode, "PasswordAuth") as auth, plugin_mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code
        server.provider.fail_token_requests(503, count=10**9, retry_after=60)
        clock.tick(3600 - 30)
        assert 20 * [200] == [client.get(server.api_url).status_code for _ in range(20)]
        auth.close()
        assert 2 == server.token_calls
        clock.tick(25)  # within the leeway, so that callers would wait for a better one
        assert 20 * [200] == [client.get(server.api_url).status_code for _ in range(20)]
        assert 2 == server.token_calls


def test_an_outage_with_an_expired_token_is_everybody_s_error(server: Local, plugin_mode: Mode) -> None:
    """An endpoint that asks for a pause longer than there's time gets one call, and all callers an error of theirs."""
    server.provider.fail_token_requests(503, count=10**9, retry_after=60)
    with server.make(plugin_mode, "ClientCredentialsAuth") as auth, plugin_mode.client(auth) as client:
        errors = client.get_many(server.api_url, 20)
    assert 20 * [(OAuthProviderException, 503, 60)] == [
        (type(error), error.status_code, error.retry_after) for error in errors
    ]
    assert 20 == len({id(error) for error in errors})
    assert 1 == server.token_calls


def test_a_slow_endpoint_is_called_once_for_all(server: Local, mode: Mode) -> None:
    """All who want the first token at once wait for one call, however long it takes."""
    server.provider.token_delay = 0.1
    with server.make(mode, "PasswordAuth") as auth, mode.client(auth) as client:
        assert 30 * [200] == [answer.status_code for answer in client.get_many(server.api_url, 30)]
    assert 1 == server.token_calls


def test_nobody_waits_for_a_slow_renewal_or_a_restart_of_the_server(server: Local, plugin_mode: Mode) -> None:
    """A renewal in the background keeps no request waiting; when the server is restarted meanwhile, it succeeds."""
    with freeze_time(tick=True) as clock, server.make(plugin_mode, "PasswordAuth", token_timeout=60) as auth:
        with plugin_mode.client(auth) as client:
            first = plugin_mode.get_token(auth)
            clock.tick(3600 - 30)
            server.provider.token_delay = 600
            assert 5 * [200] == [client.get(server.api_url).status_code for _ in range(5)]
            assert first is auth.token
        server.provider.__exit__(None, None, None)
        server.provider.token_delay = 0
        with server.provider:
            auth.close()
            assert first is not auth.token


def test_a_lost_answer_does_not_lose_the_family(server: Local, plugin_mode: Mode) -> None:
    """A refresh that the endpoint fails with a 5xx is tried again with the same refresh token."""
    auth = server.make(plugin_mode, "AuthorizationCodeAuth")
    auth.get_token()
    server.provider.fail_token_requests(503)
    auth.refresh()
    sent: list[Any] = [request.form["refresh_token"] for request in server.provider.token_requests[-2:]]
    assert sent[0] == sent[1]
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(server.api_url).status_code


def test_a_late_answer_ends_no_login(server: Local) -> None:
    """An endpoint so slow that a second attempt would be due isn't sent the same code or refresh token again.

    All plug-ins at once, since this one waits for the delay.
    """
    kinds = [(mode, grant) for mode in modes.SYNC for grant in ("AuthorizationCodeAuth", "RefreshTokenAuth")]
    auths = [server.make(mode, grant, token_timeout=3) for mode, grant in kinds]
    before = server.token_calls
    server.provider.token_delay = 1.6
    with ThreadPoolExecutor(len(auths)) as pool:
        tokens = list(pool.map(lambda auth: auth.get_token(), auths))
    assert before + len(auths) == server.token_calls
    server.provider.token_delay = 0
    assert len(auths) * [200] == [server.refresh_elsewhere(token.refresh_token).status_code for token in tokens]
