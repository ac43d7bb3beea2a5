"""What holds at every real authorization server: written once, and run against each of them.

A test module derives from `Promises` and has a fixture `server`, a `RealServer`. What's asked of a server aside from
the library ("elsewhere") goes through plain requests.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import secrets
from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from freezegun import freeze_time

from oauth_auth import (
    ClientSecretBasic,
    MemoryTokenStore,
    OAuthProviderError,
    OAuthProviderException,
    ReauthorizationRequired,
)
from tests.support.modes import Mode

REDIRECT_URI = "http://127.0.0.1:49152/callback"
SCOPE = "openid offline_access api"

GRANTS = ("ClientCredentialsAuth", "PasswordAuth", "AuthorizationCodeAuth", "RefreshTokenAuth")
AS_USER = GRANTS[1:]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registered:
    """A client that the server knows, and the options that an auth object needs to be it."""

    client_id: str
    client_secret: str | None = dataclasses.field(repr=False)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


class RealServer(ABC):
    """An authorization server and a protected API."""

    token_url: str
    authorization_url: str
    revocation_url: str
    api_url: str
    username: str
    password: str

    @abstractmethod
    def client(self, name: str) -> Registered:
        """Return a client: `basic`, `post`, `public`; `special` and `ambiguous` have odd secrets.

        The `ambiguous` secret is another one if it's sent unencoded.
        """

    @abstractmethod
    def redirect(self, authorization_url: str) -> str:
        """Have a person open the URL and log in; return the redirect to `REDIRECT_URI`."""

    @abstractmethod
    def revoke_access_tokens(self) -> None:
        """Reject each access token issued so far; refresh tokens stay good."""

    @property
    @abstractmethod
    def token_calls(self) -> int:
        """How many requests the token endpoint has had, refused ones included."""

    def make(self, mode: Mode, grant: str, client: str = "basic", **options: Any) -> Any:
        """Make an auth object of the mode's plug-in; for a code or a refresh token somebody logs in first."""
        registered = self.client(client)
        own: dict[str, Any] = {}
        if grant == "PasswordAuth":
            own = {"username": self.username, "password": self.password, "scope": SCOPE}
        elif grant == "AuthorizationCodeAuth" and "code" not in options:
            own = self.log_in(client)
        elif grant == "RefreshTokenAuth" and "refresh_token" not in options:
            own = {"refresh_token": self.tokens_elsewhere()["refresh_token"]}
        auth_class = getattr(mode.plugin, grant)
        return auth_class(
            self.token_url, registered.client_id, registered.client_secret, **{**registered.options, **own, **options}
        )

    def log_in(self, client: str = "basic") -> dict[str, str]:
        """Log a person in, with PKCE; return what exchanges the code, as options of `AuthorizationCodeAuth`."""
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self.client(client).client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": SCOPE,
            "prompt": "consent",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        redirected = self.redirect(f"{self.authorization_url}?{urlencode(query)}")
        code = parse_qs(urlsplit(redirected).query)["code"][0]
        return {"code": code, "redirect_uri": REDIRECT_URI, "code_verifier": verifier}

    def ask_elsewhere(self, url: str, **fields: str) -> requests.Response:
        """Post a form as the client `basic`, and not through the library."""
        client = self.client("basic")
        with requests.Session() as session:
            session.trust_env = False
            return session.post(url, data=fields, auth=(client.client_id, client.client_secret or ""), timeout=10)

    def tokens_elsewhere(self) -> dict[str, Any]:
        """Get tokens for the user."""
        user = {"username": self.username, "password": self.password, "scope": SCOPE}
        answer = self.ask_elsewhere(self.token_url, grant_type="password", **user)
        assert answer.status_code == 200
        return dict(answer.json())

    def refresh_elsewhere(self, refresh_token: str) -> requests.Response:
        """Use a refresh token."""
        return self.ask_elsewhere(self.token_url, grant_type="refresh_token", refresh_token=refresh_token)

    def end_family(self, auth: Any, mode: Mode) -> None:
        """Use a spent refresh token of the auth object elsewhere, by which the server ends all that came of it."""
        spent = auth.token.refresh_token
        mode.refresh(auth)
        assert self.refresh_elsewhere(spent).json()["error"] == "invalid_grant"


def received(body: bytes) -> dict[str, Any]:
    """What the API answers to a body it got whole."""
    return {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def shown(response: Any) -> dict[str, Any]:
    """What the API says that it got."""
    assert response.status_code == 200
    return {name: response.json()[name] for name in ("length", "sha256")}


def in_history(mode: Mode, *statuses: int) -> list[int]:
    """Return the statuses that the history of a replay's answer has, where the library lets it have any."""
    return list(statuses) if mode.shows_replays_in_history else []


class Promises:
    """The promises, each for all plug-ins it applies to."""

    # -- Every grant, every kind of client ----------------------------------------------------------------------

    @pytest.mark.parametrize("grant", GRANTS)
    def test_a_grant_brings_tokens(self, server: RealServer, plugin_mode: Mode, grant: str) -> None:
        """Each grant gets a token by one call, uses it for all requests, and renews it by one more."""
        with server.make(plugin_mode, grant) as auth, plugin_mode.client(auth) as client:
            before = server.token_calls
            assert [200, 200] == [client.get(server.api_url).status_code for _ in range(2)]
            first = auth.token
            assert before + 1 == server.token_calls
            assert first != auth.refresh() == auth.token
            assert 200 == client.get(server.api_url).status_code
            assert before + 2 == server.token_calls

    @pytest.mark.parametrize("name", ["basic", "special", "ambiguous", "post"])
    def test_a_client_is_known(self, server: RealServer, plugin_mode: Mode, name: str) -> None:
        """A confidential client is known at the first call, whatever characters its secret has."""
        auth = server.make(plugin_mode, "ClientCredentialsAuth", name)
        before = server.token_calls
        with plugin_mode.client(auth) as client:
            assert 200 == client.get(server.api_url).status_code
        assert before + 1 == server.token_calls

    @pytest.mark.parametrize("name", ["basic", "special", "ambiguous", "post", "public"])
    def test_a_code_is_exchanged_and_its_token_renewed(self, server: RealServer, plugin_mode: Mode, name: str) -> None:
        """A code with PKCE brings a token, also to a public client, and refresh tokens that rotate renew it."""
        auth = server.make(plugin_mode, "AuthorizationCodeAuth", name)
        spent = set()
        with plugin_mode.client(auth) as client:
            for _ in range(3):
                assert 200 == client.get(server.api_url).status_code
                spent.add(auth.token.refresh_token)
                auth.refresh()
        assert 3 == len(spent)

    def test_the_scope_is_asked_for(self, server: RealServer, plugin_mode: Mode) -> None:
        """A scope given as names arrives as the RFC writes it, and the token says what was granted."""
        auth = server.make(plugin_mode, "ClientCredentialsAuth", scope=["api", "admin"])
        assert {"api", "admin"} == set(auth.get_token().scope.split())

    @pytest.mark.parametrize("grant", ["AuthorizationCodeAuth", "RefreshTokenAuth"])
    def test_a_user_who_grants_less_stays_logged_in(self, server: RealServer, plugin_mode: Mode, grant: str) -> None:
        """Where the server refuses in a refresh what it didn't grant, renewals work all the same."""
        auth = server.make(plugin_mode, grant, scope=f"{SCOPE} admin")
        with plugin_mode.client(auth) as client:
            for _ in range(3):
                assert set(SCOPE.split()) == set(auth.refresh().scope.split())
                assert 200 == client.get(server.api_url).status_code

    # -- What the server refuses --------------------------------------------------------------------------------

    def test_a_wrong_secret_is_the_caller_s_error(self, server: RealServer, mode: Mode) -> None:
        """A wrong secret raises the server's own error, is sent once, and isn't asked about again at once."""
        client_id = server.client("basic").client_id
        auth = mode.plugin.ClientCredentialsAuth(server.token_url, client_id, "wrong")
        before = server.token_calls
        with mode.client(auth) as client:
            errors = [*client.get_many(server.api_url, 5), *client.get_many(server.api_url, 5)]
        assert 10 * [(OAuthProviderException, OAuthProviderError.INVALID_CLIENT, 401)] == [
            (type(error), error.error, error.status_code) for error in errors
        ]
        assert before + 1 == server.token_calls

    def test_a_wrong_password_is_the_caller_s_error(self, server: RealServer, plugin_mode: Mode) -> None:
        """A wrong password raises the server's own error, is sent once, and isn't shown."""
        auth = server.make(plugin_mode, "PasswordAuth", password="open sesame")
        before = server.token_calls
        with plugin_mode.client(auth) as client, pytest.raises(OAuthProviderException) as caught:
            client.get(server.api_url)
        assert OAuthProviderError.INVALID_GRANT == caught.value.error
        assert "sesame" not in str(caught.value)
        assert before + 1 == server.token_calls

    def test_a_code_is_sent_once(self, server: RealServer, plugin_mode: Mode) -> None:
        """A code that somebody else has used raises the server's own error, and is never sent again."""
        exchange = server.log_in()
        answer = server.ask_elsewhere(server.token_url, grant_type="authorization_code", **exchange)
        assert answer.status_code == 200
        client = server.client("basic")
        auth = plugin_mode.plugin.AuthorizationCodeAuth(
            server.token_url, client.client_id, client.client_secret, **exchange
        )
        before = server.token_calls
        with pytest.raises(OAuthProviderException) as caught:
            auth.get_token()
        assert OAuthProviderError.INVALID_GRANT == caught.value.error
        with pytest.raises(ReauthorizationRequired):
            auth.refresh()
        assert before + 1 == server.token_calls

    # -- The form of Basic credentials --------------------------------------------------------------------------

    @pytest.mark.parametrize("grant", GRANTS)
    def test_the_wrong_form_of_a_secret_is_corrected(self, server: RealServer, plugin_mode: Mode, grant: str) -> None:
        """A secret in the form that the server doesn't take costs one call more, once; code and token survive it."""
        form = ClientSecretBasic(encode=False)
        options: dict[str, Any] = {"client_auth": form}
        if grant == "RefreshTokenAuth":  # a refresh token is good for the client that it was issued to
            other = server.make(plugin_mode, "PasswordAuth", "ambiguous")
            options["refresh_token"] = other.get_token().refresh_token
        auth = server.make(plugin_mode, grant, "ambiguous", **options)
        before = server.token_calls
        with plugin_mode.client(auth) as client:
            assert 200 == client.get(server.api_url).status_code
            assert before + 2 == server.token_calls
            auth.refresh()
            assert 200 == client.get(server.api_url).status_code
            assert before + 3 == server.token_calls

    def test_the_form_that_works_is_stored(self, server: RealServer, plugin_mode: Mode) -> None:
        """After a restart from a store the first renewal has the right form at once."""
        store = MemoryTokenStore()
        options: dict[str, Any] = {"client_auth": ClientSecretBasic(encode=False), "store": store, "store_key": "alice"}
        server.make(plugin_mode, "AuthorizationCodeAuth", "ambiguous", **options).get_token()
        restarted = server.make(plugin_mode, "AuthorizationCodeAuth", "ambiguous", code=None, **options)
        before = server.token_calls
        restarted.get_token()
        assert before == server.token_calls
        restarted.refresh()
        assert before + 1 == server.token_calls

    # -- OriginBreaker and replays ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("grant", GRANTS)
    def test_a_rejected_token_is_renewed_and_the_request_replayed(
        self, server: RealServer, mode: Mode, grant: str
    ) -> None:
        """A token that the API rejects with a real challenge is renewed, and the same body sent again."""
        body = b"the same bytes" * 1000
        with server.make(mode, grant) as auth, mode.client(auth) as client:
            assert received(body) == shown(client.send("POST", server.api_url, body=body))
            server.revoke_access_tokens()
            before = server.token_calls
            replayed = client.send("POST", server.api_url, body=body)
            assert received(body) == shown(replayed)
            assert in_history(mode, 401) == [response.status_code for response in replayed.history]
            for rejected in replayed.history:
                assert 'error="invalid_token"' in rejected.headers["WWW-Authenticate"]
            assert before + 1 == server.token_calls

    @pytest.mark.parametrize("how", ["expired", "rejected"])
    def test_one_family_survives(self, server: RealServer, mode: Mode, how: str) -> None:
        """Through several expiries or rejections at once for many callers, each refresh token is used once."""
        with freeze_time(tick=True) as clock, server.make(mode, "AuthorizationCodeAuth") as auth:
            before = server.token_calls
            with mode.client(auth) as client:
                for calls in range(1, 5):
                    assert 16 * [200] == [response.status_code for response in client.get_many(server.api_url, 16)]
                    assert before + calls == server.token_calls
                    if how == "expired":
                        clock.tick(2 * auth.token.expires_in)
                    else:
                        server.revoke_access_tokens()
            assert 200 == server.refresh_elsewhere(auth.token.refresh_token).status_code

    @pytest.mark.parametrize("how", ["expired", "rejected"])
    def test_siblings_on_one_store_share_a_family(self, server: RealServer, plugin_mode: Mode, how: str) -> None:
        """Two objects on one store, with many callers each, renew their rotating refresh token once for both."""
        options: dict[str, Any] = {"store": MemoryTokenStore(), "store_key": "alice"}
        with freeze_time(tick=True) as clock:
            one = server.make(plugin_mode, "AuthorizationCodeAuth", **options)
            one.get_token()
            options["code"] = None
            other = server.make(plugin_mode, "AuthorizationCodeAuth", **options)
            before = server.token_calls
            with one, other, plugin_mode.client(one) as first, plugin_mode.client(other) as second:
                for calls in range(4):
                    begun = [client.begin("GET", server.api_url) for client in (first, second) for _ in range(8)]
                    assert 16 * [200] == [future.result(30).status_code for future in begun]
                    assert before + calls == server.token_calls
                    assert one.token.access_token == other.token.access_token
                    if how == "expired":
                        clock.tick(2 * one.token.expires_in)
                    else:
                        server.revoke_access_tokens()

    # -- The end of a family ------------------------------------------------------------------------------------

    def test_a_person_is_asked_for(self, server: RealServer, mode: Mode) -> None:
        """When a spent refresh token is used elsewhere and ends the family, all callers learn who must act, and where.

        The refused refresh token isn't sent again.
        """
        with server.make(mode, "AuthorizationCodeAuth") as auth, mode.client(auth) as client:
            assert 200 == client.get(server.api_url).status_code
            server.end_family(auth, mode)
            before = server.token_calls
            errors = [*client.get_many(server.api_url, 8), *client.get_many(server.api_url, 8)]
        assert {ReauthorizationRequired} == {type(error) for error in errors}
        assert 16 == len({id(error) for error in errors})
        assert all("401" in str(error) and server.api_url in str(error) for error in errors)
        assert before + 1 == server.token_calls

    @pytest.mark.parametrize("grant", ["AuthorizationCodeAuth", "RefreshTokenAuth"])
    def test_a_stolen_refresh_token_is_noticed(self, server: RealServer, plugin_mode: Mode, grant: str) -> None:
        """When somebody else has used the current refresh token, the next renewal says that a person must log in."""
        auth = server.make(plugin_mode, grant)
        auth.get_token()
        assert 200 == server.refresh_elsewhere(auth.token.refresh_token).status_code
        with pytest.raises(ReauthorizationRequired, match="invalid_grant"):
            auth.refresh()

    def test_a_password_goes_on_by_itself(self, server: RealServer, mode: Mode) -> None:
        """Rejected, refreshed, refused, password, replayed: all within one request, with the same body."""
        body = b"the same bytes" * 1000
        with server.make(mode, "PasswordAuth") as auth, mode.client(auth) as client:
            assert 200 == client.get(server.api_url).status_code
            server.end_family(auth, mode)
            before = server.token_calls
            replayed = client.send("POST", server.api_url, body=body)
            assert received(body) == shown(replayed)
            assert in_history(mode, 401) == [response.status_code for response in replayed.history]
            assert before + 2 == server.token_calls

    # -- Restarts -----------------------------------------------------------------------------------------------

    def test_a_restart_goes_on_with_the_rotated_token(self, server: RealServer, plugin_mode: Mode) -> None:
        """A program that is started again with its first refresh token goes on with the one in the store."""
        first = server.tokens_elsewhere()["refresh_token"]
        store = MemoryTokenStore()
        used = {first}
        for _ in range(3):
            auth = server.make(plugin_mode, "RefreshTokenAuth", refresh_token=first, store=store)
            auth.refresh()
            with plugin_mode.client(auth) as client:
                assert 200 == client.get(server.api_url).status_code
            used.add(auth.token.refresh_token)
        assert 4 == len(used)

    def test_a_restart_does_not_use_a_code_twice(self, server: RealServer, plugin_mode: Mode) -> None:
        """A program that is started again with its old code goes on with the stored token, whose family lives."""
        options: dict[str, Any] = {"store": MemoryTokenStore(), **server.log_in()}
        first = server.make(plugin_mode, "AuthorizationCodeAuth", **options)
        first.get_token()
        before = server.token_calls
        again = server.make(plugin_mode, "AuthorizationCodeAuth", **options)
        with plugin_mode.client(again) as client:
            assert 200 == client.get(server.api_url).status_code
            assert before == server.token_calls
            again.refresh()
            assert 200 == client.get(server.api_url).status_code

    def test_a_new_code_replaces_a_stored_token(self, server: RealServer, plugin_mode: Mode) -> None:
        """A new code wins over the token of an earlier login in the store."""
        store = MemoryTokenStore()
        first = server.make(plugin_mode, "AuthorizationCodeAuth", store=store, store_key="alice")
        first.get_token()
        again = server.make(plugin_mode, "AuthorizationCodeAuth", store=store, store_key="alice")
        before = server.token_calls
        assert first.token != again.get_token()
        assert before + 1 == server.token_calls
