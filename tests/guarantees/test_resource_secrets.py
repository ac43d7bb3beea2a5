"""Guarantees 6 and 13 of `ResourceAuth`: what a server has issued stays with it, wherever the resource leads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from oauth_auth import (
    AuthorizationResponseError,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    ConfigurationError,
    DiscoveryError,
    MemoryTokenStore,
    OAuthError,
    OAuthToken,
    ReauthorizationRequired,
)
from oauth_auth._wire.messages import TokenResponse
from oauth_auth._wire.token_request import TokenRequest
from tests.support.internet import API, REDIRECT_URI, Api, Internet, Server
from tests.support.modes import HTTPX, Mode
from tests.support.steps import answer

pytestmark = pytest.mark.shared_core

METHODS = ["none", "client_secret_basic", "client_secret_post"]


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture(params=METHODS)
def old(internet: Internet, request: pytest.FixtureRequest) -> Server:
    """The server that the resource had at first; clients prove themselves there in this way."""
    return Server(internet, "https://old.example", [request.param])


@pytest.fixture
def good(internet: Internet) -> Server:
    return Server(internet, "https://good.example")


@pytest.fixture
def new(internet: Internet) -> Server:
    """The server that the resource names later, or that a hostile resource has named all the time."""
    return Server(internet, "https://new.example", METHODS)


def auth_for(internet: Internet, url: str = API, **options: Any) -> Any:
    return internet.join(HTTPX.plugin.ResourceAuth(url, **{"login": internet.log_in, **options}))


def refused(error: str = "invalid_grant", status: int = 400) -> Callable[[TokenRequest], TokenResponse | None]:
    """Return what refuses refresh tokens."""

    def refuse(request: TokenRequest) -> TokenResponse | None:
        is_refresh = b"grant_type=refresh_token" in request.body
        return answer(status, {"error": error}) if is_refresh else None

    return refuse


def forms(requests: list[TokenRequest]) -> list[dict[str, list[str]]]:
    return [parse_qs(request.body.decode()) for request in requests]


# -- Secrets that the user gives ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"client_id": "client", "client_secret": "secret"},
        {"client_id": "client", "client_secret": "secret", "client_auth": ClientSecretPost()},
        {"client_id": "client", "client_secret": "secret", "client_auth": ClientSecretBasic()},
        {"client_id": "client", "client_secret": "secret" * 10, "client_auth": ClientSecretJwt()},
        {"client_secret": "secret", "issuer": "https://good.example"},
        {"client_secret": "secret"},
    ],
    ids=" ".join,
)
def test_secret_without_server_or_client(plugin_mode: Mode, options: dict[str, Any]) -> None:
    """A secret needs the server, and the client, that it's for: else any API could be sent it."""
    with pytest.raises(ConfigurationError, match="client_secret needs"):
        plugin_mode.plugin.ResourceAuth(API, **options)
    if "client_id" in options:
        plugin_mode.plugin.ResourceAuth(API, issuer="https://good.example", **options)


@pytest.mark.parametrize("login", [True, False])
def test_secret_goes_to_its_server_alone(internet: Internet, good: Server, new: Server, login: bool) -> None:
    """Whatever the API names, and however often it changes its mind."""
    api = Api(internet, new)
    good.issued.append("the-secret")
    options: dict[str, Any] = {} if login else {"login": None}
    auth = auth_for(internet, client_id="own", client_secret="the-secret", issuer=good.issuer, **options)
    with pytest.raises(DiscoveryError):
        auth.get_token()
    api.names(new, good)
    auth = auth_for(internet, client_id="own", client_secret="the-secret", issuer=good.issuer, **options)
    assert auth.get_token().access_token in good.issued
    api.names(new)
    auth.refresh()
    assert new.origin not in internet.origins
    assert [] == internet.leaks_of(good)


@pytest.mark.parametrize("options", [{}, {"client_id": "own"}, {"issuer": "https://good.example"}], ids=str)
def test_given_refresh_token(internet: Internet, new: Server, options: dict[str, Any]) -> None:
    """A refresh token that was given goes to no server, unless the user says which, and which client has it."""
    Api(internet, new)
    given = OAuthToken(access_token="given", refresh_token="refresh-given", expires_in=3600, expiry=1.0)
    auth = auth_for(internet, token=given, **options)
    with_login = options.get("issuer") is None
    if with_login:
        assert auth.get_token().access_token in new.issued
        auth.revoke()
    else:
        with pytest.raises(DiscoveryError):
            auth.get_token()
    assert not any(b"given" in request.body for request in internet.sent)


def test_given_refresh_token_of_a_known_server(internet: Internet, good: Server) -> None:
    """With both it's used, there: this guards the test above."""
    Api(internet, good)
    given = OAuthToken(access_token="given", refresh_token="refresh-given", expires_in=3600, expiry=1.0)
    auth_for(internet, token=given, client_id="own", issuer=good.issuer).get_token()
    assert [["refresh-given"]] == [form["refresh_token"] for form in forms(good.calls("/token"))]
    assert [] == internet.visited


def test_given_token_is_not_told_to_a_server(internet: Internet, new: Server) -> None:
    """Nor is the access token, by revocation or introspection."""
    Api(internet, new)
    given = OAuthToken(access_token="given", expires_in=3600)
    auth = auth_for(internet, token=given, login=None)
    with pytest.raises(OAuthError):
        auth.introspect()
    auth.revoke()
    assert not any(b"given" in request.body for request in internet.sent)


@pytest.mark.parametrize("field", ["client_secret", "client_assertion"])
def test_a_secret_among_the_fields_needs_its_server(plugin_mode: Mode, field: str) -> None:
    """However it's given."""
    with pytest.raises(ConfigurationError, match=f"{field}.* needs issuer="):
        plugin_mode.plugin.ResourceAuth(API, client_id="own", field_parameters={field: "secret"})


def test_a_stored_token_of_another_server_is_not_sent(internet: Internet, good: Server, new: Server) -> None:
    """With `issuer` only that one's tokens will do: what a login elsewhere has stored isn't used, nor renewed."""
    api = Api(internet, new)
    store = MemoryTokenStore()
    elsewhere = auth_for(internet, store=store).get_token()
    api.names(good, new)
    assert elsewhere == auth_for(internet, store=store).get_token()
    mine = auth_for(internet, store=store, issuer=good.issuer).get_token()
    assert mine.access_token in good.issued
    assert [good.origin] == [f"https://{urlsplit(url).hostname}" for url in internet.visited[1:]]
    assert [] == internet.leaks_of(new)


def test_client_without_issuer_is_bound_to_the_first_server(internet: Internet, old: Server, new: Server) -> None:
    """A `client_id` without `issuer` is of the server that it was used at first: another one is an error."""
    api = Api(internet, old)
    store = MemoryTokenStore()
    auth = auth_for(internet, client_id="own", store=store)
    auth.get_token()
    api.names(new)
    old.answers["/token"] = refused()
    for again in (auth, auth_for(internet, client_id="own", store=store)):
        with pytest.raises(DiscoveryError, match="another server"):
            again.refresh()
    assert {"GET"} == {request.method for request in new.received}
    assert 1 == len(internet.visited)
    assert [] == internet.leaks_of(old)


# -- The server moves ---------------------------------------------------------------------------------------------


def test_server_moves(internet: Internet, old: Server, new: Server) -> None:
    """A new issuer in the metadata gets a client of its own, and a login; nothing of the old one reaches it."""
    api = Api(internet, old)
    auth = auth_for(internet, scope="read")
    auth.get_token()
    api.names(new)
    old.answers["/token"] = refused()
    assert auth.refresh().access_token in new.issued
    assert 2 == len(internet.visited)
    assert 1 == len(new.calls("/register"))
    assert 1 == len(new.calls("/token"))
    assert [] == internet.leaks_of(old)
    # And from there on it's renewed at the new one.
    auth.refresh()
    assert 2 == len(new.calls("/token"))
    assert 2 == len(internet.visited)
    assert [] == internet.leaks_of(old)
    assert [] == internet.leaks_of(new)


def test_old_scopes_stay_behind(internet: Internet, old: Server, new: Server) -> None:
    """What was asked for at the old server says nothing to the new one."""
    api = Api(internet, old)
    api.challenge = 'Bearer scope="of-old"'
    auth = auth_for(internet)
    auth.get_token()
    api.names(new)
    api.challenge = "Bearer"
    old.answers["/token"] = refused()
    auth.refresh()
    assert "of-old" in internet.visited[0]
    assert "of-old" not in internet.visited[1]
    assert not any(b"of-old" in request.body for request in new.received)


@pytest.mark.parametrize("failure", ["refused", "gone"])
def test_server_moves_across_programs(internet: Internet, old: Server, new: Server, failure: str) -> None:
    """The same where one program had the login, and another one with the same store meets the new server."""
    api, store = Api(internet, old), MemoryTokenStore()
    first = auth_for(internet, store=store)
    first.get_token()
    api.names(new)
    old.answers["/token"] = refused() if failure == "refused" else lambda _: answer(404)
    second = auth_for(internet, store=store)
    assert second.refresh().access_token in new.issued
    assert [] == internet.leaks_of(old)

    # The first takes the other's token, and renews it where it's from, without a person.
    new.answers["/token"] = lambda _: None
    assert first.refresh().access_token in new.issued
    third = auth_for(internet, store=store, login=None)
    assert third.refresh().access_token in new.issued
    assert 2 == len(internet.visited)
    assert 1 == len(new.calls("/register"))
    assert [] == internet.leaks_of(old)
    assert [] == internet.leaks_of(new)


def test_program_that_knew_the_old_server(internet: Internet, old: Server, new: Server) -> None:
    """A program that has found out the old server itself renews a sibling's token at the new one, without a person."""
    api, store = Api(internet, old), MemoryTokenStore()
    first = auth_for(internet, store=store)
    first.get_token()
    api.names(new)
    old.answers["/token"] = refused()
    auth_for(internet, store=store).refresh()
    first.refresh()  # the sibling's
    logins = len(internet.visited)
    assert first.refresh().access_token in new.issued
    assert logins == len(internet.visited)
    assert [] == internet.leaks_of(old)


def test_server_moves_back(internet: Internet, old: Server, new: Server) -> None:
    """If it moves back, the old client is used again, and what was issued meanwhile stays where it's from."""
    api = Api(internet, old)
    auth = auth_for(internet)
    auth.get_token()
    for server, other in ((new, old), (old, new)):
        api.names(server)
        other.answers["/token"] = refused()
        server.answers.pop("/token", None)
        assert auth.refresh().access_token in server.issued
    assert [] == internet.leaks_of(old)
    assert [] == internet.leaks_of(new)
    assert 1 == len(old.calls("/register")) == len(new.calls("/register"))


def test_revocation_after_the_move(internet: Internet, old: Server, new: Server) -> None:
    """A token is revoked where it's from."""
    api, store = Api(internet, old), MemoryTokenStore()
    auth_for(internet, store=store).get_token()
    api.names(new)
    auth_for(internet, store=store).revoke()
    assert 2 == len(old.calls("/revoke"))
    assert new.origin not in internet.origins
    assert [] == internet.leaks_of(old)


def test_code_that_was_not_redeemed_yet(internet: Internet, old: Server, new: Server) -> None:
    """A code is redeemed where it's from, though the resource names another server when that's tried again."""
    api = Api(internet, old)
    failures = [answer(503)] * 3

    def fail(request: TokenRequest) -> TokenResponse | None:
        if not failures:
            return None
        api.names(new)
        return failures.pop()

    old.answers["/token"] = fail
    auth = auth_for(internet)
    with pytest.raises(OAuthError):
        auth.get_token()
    token = auth.refresh()
    assert [] == internet.leaks_of(old)
    assert [] == internet.leaks_of(new)
    codes = [form["code"] for form in forms([*old.calls("/token"), *new.calls("/token")]) if "code" in form]
    assert token.access_token in old.issued or len({code[0] for code in codes}) > 1


@pytest.mark.parametrize("use", ["revoke", "introspect", "refresh"])
def test_secret_beside_the_login_of_another_server(internet: Internet, good: Server, new: Server, use: str) -> None:
    """A client's secret isn't sent to the server of a login in the store that the same client has without it."""
    api, store = Api(internet, new), MemoryTokenStore()
    new.metadata["introspection_endpoint"] = f"{new.origin}/introspect"
    auth_for(internet, client_id="own", store=store).get_token()
    api.names(good)
    good.issued.append("the-secret")
    auth = auth_for(internet, client_id="own", client_secret="the-secret", issuer=good.issuer, store=store)
    with suppress(OAuthError):
        getattr(auth, use)()
    assert [] == internet.leaks_of(good)


# -- Several resources --------------------------------------------------------------------------------------------


def test_registrations_of_two_servers(internet: Internet, old: Server, new: Server) -> None:
    """Two resources with servers of their own on one store: neither server sees the other's client."""
    store = MemoryTokenStore()
    Api(internet, old)
    Api(internet, new, url="https://evil.example/v1")
    for url in (API, "https://evil.example/v1"):
        auth = auth_for(internet, url, store=store)
        auth.get_token()
        auth.refresh()
    assert [] == internet.leaks_of(old)
    assert [] == internet.leaks_of(new)


def test_hostile_resource_of_the_same_server(internet: Internet, old: Server) -> None:
    """A resource that shares a server, and so the client, gets a login and tokens of its own, for it alone."""
    store = MemoryTokenStore()
    Api(internet, old)
    Api(internet, old, url="https://evil.example/v1")
    tokens = {auth_for(internet, url, store=store).get_token() for url in (API, "https://evil.example/v1")}
    assert 2 == len({token.access_token for token in tokens})
    asked = [dict(parse_qsl(urlsplit(url).query)) for url in internet.visited]
    assert [API, "https://evil.example/v1"] == [one["resource"] for one in asked]
    assert 1 == len({one["client_id"] for one in asked})
    assert [[API], ["https://evil.example/v1"]] == [form["resource"] for form in forms(old.calls("/token"))]


def test_hostile_resource_that_has_the_client_replaced(internet: Internet, old: Server) -> None:
    """It can have another client registered, by a scope that none was registered for.

    The login of the first resource goes on, or at worst is asked for again.
    """
    store = MemoryTokenStore()
    api = Api(internet, old)
    evil = Api(internet, old, url="https://evil.example/v1")
    api.challenge, evil.challenge = 'Bearer scope="read"', 'Bearer scope="never-heard-of"'
    auth = auth_for(internet, store=store)
    auth.get_token()
    secrets = [text for text in old.issued if text.startswith("secret")]

    def issue(request: TokenRequest) -> TokenResponse | None:
        """Refuse refreshes without the secret of the client that has the refresh token."""
        shown = internet.said_in(request)
        is_refused = b"refresh_token=" in request.body and not all(secret in shown for secret in secrets)
        return answer(401, {"error": "invalid_client"}) if is_refused else None

    old.answers["/token"] = issue
    auth_for(internet, "https://evil.example/v1", store=store).get_token()
    assert 2 == len(old.calls("/register"))
    assert auth.refresh().access_token in old.issued
    assert [] == internet.leaks_of(old)


# -- Mix-up -------------------------------------------------------------------------------------------------------


def test_answer_of_another_server(internet: Internet, good: Server, new: Server) -> None:
    """An answer that another server has sent is refused, by its `iss`, and its code is sent nowhere."""
    Api(internet, new)
    new.metadata["authorization_endpoint"] = f"{good.origin}/authorize"  # so that a person logs in there
    with pytest.raises(AuthorizationResponseError, match="another server sent it"):
        auth_for(internet).get_token()
    assert [f"{good.origin}/authorize"] == [url.partition("?")[0] for url in internet.visited]
    assert [] == new.calls("/token")
    assert [] == internet.leaks_of(good)


def test_answer_without_issuer_where_it_must_have_one(internet: Internet, good: Server) -> None:
    """A server that says that it names itself is held to that."""
    Api(internet, good)
    good.metadata["authorization_response_iss_parameter_supported"] = True
    good.sends_issuer = False
    with pytest.raises(AuthorizationResponseError, match="no iss"):
        auth_for(internet).get_token()
    assert [] == good.calls("/token")


@pytest.mark.parametrize("state", ["another", "", None])
def test_forged_answer(internet: Internet, good: Server, state: str | None) -> None:
    """An answer without this login's state brings nothing."""
    Api(internet, good)

    def log_in(begin: Any) -> str:
        begin(REDIRECT_URI)
        forged = {"code": "forged", "iss": good.issuer} | ({} if state is None else {"state": state})
        return f"{REDIRECT_URI}?{urlencode(forged)}"

    with pytest.raises(AuthorizationResponseError, match="state"):
        auth_for(internet, login=log_in).get_token()
    assert [] == good.calls("/token")


def test_each_login_has_its_own_state_and_verifier(internet: Internet, old: Server, new: Server) -> None:
    """PKCE's challenge and state are never used twice, least of all at two servers."""
    api = Api(internet, old)
    auth = auth_for(internet)
    auth.get_token()
    api.names(new)
    old.answers["/token"] = refused()
    auth.refresh()
    asked = [dict(parse_qsl(urlsplit(url).query)) for url in internet.visited]
    for name in ("state", "code_challenge"):
        assert 2 == len({one[name] for one in asked})
    assert ["S256"] * 2 == [one["code_challenge_method"] for one in asked]


@pytest.mark.parametrize("methods", [None, [], ["plain"], "S256"], ids=str)
def test_server_without_pkce(internet: Internet, good: Server, methods: Any) -> None:
    """No person is sent to a server that doesn't say that it knows S256; only the user's own need not say so."""
    Api(internet, good)
    good.metadata["code_challenge_methods_supported"] = methods
    with pytest.raises(DiscoveryError, match="PKCE"):
        auth_for(internet).get_token()
    assert [] == internet.visited
    if methods is None:
        auth_for(internet, issuer=good.issuer).get_token()


# -- What stays in the store --------------------------------------------------------------------------------------


def test_stored_entry_of_nobody_knows_whom(internet: Internet, good: Server) -> None:
    """A refresh token in the store that isn't known to be from a server goes to none."""
    Api(internet, good)
    store = MemoryTokenStore()
    strange = OAuthToken(access_token="strange", refresh_token="refresh-strange", expires_in=3600, expiry=1.0)
    store.save("key", strange)
    assert auth_for(internet, store=store, store_key="key").get_token().access_token in good.issued
    assert not any(b"strange" in request.body for request in internet.sent)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example"},
        {"issuer": "http://good.example"},
        {"issuer": "https://127.0.0.1"},
        {"issuer": "no URL"},
        {"issuer": 1},
        {"client_id": "other\r\nclient"},
        {"client_id": ""},
        {"resource": 1},
        {"scope": ["read"]},
        {"learned": "text"},
        {"learned": {"nonce": 1, "basic_encode": "x"}},
        {"redirect_uri": 1},
        {"is_registered": "yes"},
    ],
    ids=str,
)
def test_stored_entry_that_is_damaged(internet: Internet, good: Server, change: dict[str, Any]) -> None:
    """What the store says of where a token is from may be damaged: then the person logs in again, at worst."""
    Api(internet, good)
    store = MemoryTokenStore()
    auth_for(internet, store=store, store_key="key").get_token()
    entry = store.load("key")
    assert entry is not None
    [(field, state)] = [(name, value) for name, value in entry.extra.items() if "bonds" in value]
    bonds = {name: {**bond, **change} for name, bond in state["bonds"].items()}
    store.save("key", replace(entry, expiry=1.0, extra={**entry.extra, field: {**state, "bonds": bonds}}))
    assert auth_for(internet, store=store, store_key="key").get_token().access_token in good.issued
    assert all(request.url.startswith("https://") for request in internet.sent)
    assert "https://127.0.0.1" not in internet.origins


def test_another_clients_login(internet: Internet, old: Server) -> None:
    """A login in the store that another client has got isn't renewed as this one."""
    Api(internet, old)
    store = MemoryTokenStore()
    auth_for(internet, store=store, store_key="key").get_token()
    other = auth_for(internet, store=store, store_key="key", client_id="own", login=None)
    with pytest.raises(ReauthorizationRequired):
        other.refresh()
    assert 1 == len(old.calls("/token"))
