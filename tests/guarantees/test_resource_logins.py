"""Guarantee 11 of `ResourceAuth`, and who gets the token: people in a browser, on a device, services, and nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import (
    BrowserLogin,
    ConfigurationError,
    DeviceLogin,
    MemoryTokenStore,
    OAuthToken,
    ReauthorizationRequired,
)
from oauth_auth._server.device_grant import DeviceCodeGrant
from tests.support.clock import MonotonicClock
from tests.support.jwts import header_of
from tests.support.logins import Browser
from tests.support.modes import Mode
from tests.support.resources import Resource
from tests.support.scripted import Answer, Received, ScriptedServer

pytestmark = pytest.mark.shared_core

BODY = b"the same bytes" * 1000


@pytest.fixture
def resource(serve: Callable[..., ScriptedServer]) -> Resource:
    return Resource(serve)


# -- Another login (RFC 9470) -----------------------------------------------------------------------------------------


def test_another_login(mode: Mode, resource: Resource) -> None:
    """What the API demands of it reaches the authorization request, over what is the program's own; no refresh."""
    auth = resource.auth(mode, scope="read", authorization_parameters={"max_age": "900", "login_hint": "alice"})
    with mode.client(auth) as client:
        assert 200 == client.get(resource.url).status_code
        resource.demands = {"acr_values": "gold", "max_age": "0"}
        answer = client.send("POST", resource.url, body=BODY)
        assert (200, BODY) == (answer.status_code, answer.content)
    first, second = resource.authority.asked
    assert ("900", None) == (first["max_age"], first.get("acr_values"))
    assert ("0", "gold", "alice", "read") == tuple(
        second[name] for name in ("max_age", "acr_values", "login_hint", "scope")
    )
    assert [] == resource.authority.token_calls("refresh_token")


def test_another_login_on_a_cold_object(mode: Mode, resource: Resource) -> None:
    """Three times it's sent: without a token, with one, and with the one of the login that's demanded."""
    resource.demands = {"acr_values": "gold"}
    with mode.client(resource.auth(mode)) as client:
        answer = client.send("POST", resource.url, body=BODY)
    assert (200, BODY) == (answer.status_code, answer.content)
    assert 3 == len(resource.requests)
    assert [None, "gold"] == [asked.get("acr_values") for asked in resource.authority.asked]


def test_the_first_challenge_may_demand_it(mode: Mode, resource: Resource) -> None:
    """A request without a token may be answered so, too: then one login is enough."""
    resource.demands = {"acr_values": "gold"}
    resource.challenges = ('Bearer error="insufficient_user_authentication", acr_values="gold"',)
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
    assert ["gold"] == [asked.get("acr_values") for asked in resource.authority.asked]


def test_one_login_for_all_who_demand_it(mode: Mode, resource: Resource) -> None:
    """Ten are answered so at the same time."""
    together, auth = threading.Barrier(10), resource.auth(mode)
    first = f"Bearer {mode.get_token(auth).access_token}"
    resource.demands = {"acr_values": "gold"}

    def wait(request: Received) -> None:
        if request.authorization == first:
            together.wait(20)

    resource.answers["/api"] = wait
    with mode.client(auth) as client:
        assert 10 * [200] == [answer.status_code for answer in client.get_many(resource.url, 10)]
    assert 2 == len(resource.authority.visited)


def test_a_login_that_does_not_help(mode: Mode, resource: Resource) -> None:
    """It's not repeated for the next request; the answer is the caller's."""
    auth = resource.auth(mode)
    mode.get_token(auth)
    resource.demands = {"acr_values": "gold", "never": "met"}
    with mode.client(auth) as client:
        for _ in range(5):
            answer = client.get(resource.url)
            assert (401, b"refused") == (answer.status_code, answer.content)
    assert 2 == len(resource.authority.visited)


def test_without_a_person_the_401_is_the_callers(mode: Mode, resource: Resource) -> None:
    """Neither what's in the store nor a service's own token can be of another login."""
    store = MemoryTokenStore()
    mode.get_token(resource.auth(mode, store=store))
    resource.demands = {"acr_values": "gold"}
    for auth in (resource.auth(mode, store=store, login=None), resource.auth(mode, **service(resource))):
        with mode.client(auth) as client:
            answer = client.get(resource.url)
            assert (401, b"refused") == (answer.status_code, answer.content)
    assert 1 == len(resource.authority.visited)
    assert [] == resource.authority.token_calls("refresh_token")


# -- Who logs in ------------------------------------------------------------------------------------------------------


def test_a_browser(plugin_mode: Mode, resource: Resource) -> None:
    """The client is registered with the listener's port, as a native one, and that port is tried first next time."""
    authority = resource.authority
    browser = Browser(authority.authorize)
    auth = resource.auth(plugin_mode, login=BrowserLogin(open_browser=browser))
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(resource.url).status_code
        authority.end_logins()
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    [registered] = authority.registered
    assert "native" == registered["application_type"]
    assert 2 * registered["redirect_uris"] == [asked["redirect_uri"] for asked in authority.asked]


def test_a_device(mode: Mode, resource: Resource, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user is shown a code; no browser, no redirect, no PKCE; and the token is refreshed as others are."""
    monkeypatch.setattr(DeviceCodeGrant, "wait", lambda *_: False)
    shown: list[dict[str, Any]] = []
    resource.authority.metadata |= {"authorization_endpoint": None, "code_challenge_methods_supported": None}
    auth = resource.auth(mode, login=DeviceLogin(show=lambda **fields: shown.append(fields)), scope="read")
    with mode.client(auth) as client:
        answer = client.send("POST", resource.url, body=BODY)
        assert (200, BODY) == (answer.status_code, answer.content)
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    assert ["ABCD"] == [fields["user_code"] for fields in shown]
    [registered] = resource.authority.registered
    assert "urn:ietf:params:oauth:grant-type:device_code" in registered["grant_types"]
    assert not {"redirect_uris"} & registered.keys()
    [device] = resource.authority.calls("/device")
    assert (["read"], ["client-1"]) == (device.form["scope"], device.form["client_id"])
    assert 1 == len(resource.authority.token_calls("refresh_token"))


def test_a_server_without_device_logins(plugin_mode: Mode, resource: Resource) -> None:
    """It's passed over, and the error says what it lacks."""
    resource.authority.metadata["device_authorization_endpoint"] = None
    auth = resource.auth(plugin_mode, login=DeviceLogin(show=lambda **_: None))
    with plugin_mode.client(auth) as client, pytest.raises(Exception, match="device authorization endpoint"):
        client.get(resource.url)


def service(resource: Resource) -> dict[str, Any]:
    return {"login": None, "client_id": "client", "client_secret": "s3cret", "issuer": resource.authority.issuer}


def test_a_service(mode: Mode, resource: Resource) -> None:
    """A client with a secret gets a token of its own, anew after a rejection; nobody logs in, or registers."""
    resource.authority.fields["refresh_token"] = None
    with mode.client(resource.auth(mode, **service(resource))) as client:
        answer = client.send("POST", resource.url, body=BODY)
        assert (200, BODY) == (answer.status_code, answer.content)
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    assert 2 == len(resource.authority.token_calls("client_credentials"))
    assert [] == resource.authority.visited
    assert [] == resource.authority.registered
    assert 1 == len(resource.looked)


def test_a_service_needs_its_server(plugin_mode: Mode, resource: Resource) -> None:
    """Else any API could name one of its own, and be sent the secret."""
    options = service(resource)
    del options["issuer"]
    with pytest.raises(ConfigurationError, match="issuer"):
        resource.auth(plugin_mode, **options)


def test_nobody(mode: Mode, resource: Resource) -> None:
    """Without `login` an API that demands a token gets none: the error says how to log in. An open one is open."""
    resource.open_paths.add("/api/open")
    with mode.client(resource.auth(mode, login=None)) as client:
        assert 200 == client.get(f"{resource.url}/open").status_code
        for _ in range(2):
            with pytest.raises(ReauthorizationRequired, match=f"oauth-auth login {resource.url}.*401"):
                client.get(resource.url)
    assert [] == resource.authority.registered


def test_nobody_and_a_token_in_the_store(mode: Mode, resource: Resource) -> None:
    """It's sent, and renewed; once it can't be, somebody must log in, and then it's sent again."""
    store = MemoryTokenStore()
    mode.get_token(resource.auth(mode, store=store))
    with mode.client(resource.auth(mode, store=store, login=None)) as client:
        assert 200 == client.get(resource.url).status_code
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
        resource.authority.end_logins()
        resource.revoke()
        with pytest.raises(ReauthorizationRequired, match=r"log in.*401"):
            client.get(resource.url)
        with mode.client(resource.auth(mode, store=store)) as other:
            assert 200 == other.get(resource.url).status_code
        assert 200 == client.get(resource.url).status_code
    assert 2 == len(resource.authority.visited)


def test_a_token_to_begin_with(mode: Mode, resource: Resource) -> None:
    """It's sent as it is; nobody knows where it's from, so that its refresh token goes nowhere."""
    given = OAuthToken(access_token="given", refresh_token="refresh-given")
    with mode.client(resource.auth(mode, token=given)) as client:
        assert 200 == client.get(resource.url).status_code
    assert "given" == resource.tokens[0]
    assert [] == resource.authority.token_calls("refresh_token")
    assert 1 == len(resource.authority.visited)


# -- Bound tokens -----------------------------------------------------------------------------------------------------


def test_a_resource_that_wants_bound_tokens(mode: Mode, resource: Resource) -> None:
    """`dpop_bound_access_tokens_required` has them bound to a key, without an option; also in the next process."""
    resource.metadata["dpop_bound_access_tokens_required"] = True
    store = MemoryTokenStore()
    with mode.client(resource.auth(mode, store=store)) as client:
        answer = client.send("POST", resource.url, body=BODY)
        assert (200, BODY) == (answer.status_code, answer.content)
    with mode.client(resource.auth(mode, store=store)) as client:
        assert 200 == client.get(resource.url).status_code
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    bare, *others = resource.requests
    assert bare.authorization is None
    assert "dpop" not in bare.headers
    assert {"DPoP"} == {(request.authorization or "").partition(" ")[0] for request in others}
    [code] = resource.authority.asked
    assert code["dpop_jkt"]
    keys = {header_of(request.headers["dpop"])["jwk"]["x"] for request in others}
    assert 1 == len(keys)


def test_bearer_tokens_where_bound_ones_are_optional(plugin_mode: Mode, resource: Resource) -> None:
    """Only the word `true` demands them."""
    resource.metadata["dpop_bound_access_tokens_required"] = "true"
    with plugin_mode.client(resource.auth(plugin_mode)) as client:
        assert 200 == client.get(resource.url).status_code
    assert ["Bearer"] == [(request.authorization or "").partition(" ")[0] for request in resource.requests[1:]]


# -- After a rejection ------------------------------------------------------------------------------------------------


def test_a_rejected_token_is_renewed_where_it_is_from(mode: Mode, resource: Resource) -> None:
    """By a refresh, which all share; resource and server aren't asked what they say of themselves."""
    together, auth = threading.Barrier(10), resource.auth(mode)
    with mode.client(auth) as client:
        assert 200 == client.get(resource.url).status_code
        looked = len(resource.looked), len(resource.authority.looked)
        resource.revoke()
        revoked = f"Bearer {auth.token.access_token}"

        def wait(request: Received) -> None:
            if request.authorization == revoked:
                together.wait(20)

        resource.answers["/api"] = wait
        assert 10 * [200] == [answer.status_code for answer in client.get_many(resource.url, 10)]
    assert 1 == len(resource.authority.token_calls("refresh_token"))
    assert 1 == len(resource.authority.visited)
    assert looked == (len(resource.looked), len(resource.authority.looked))


def test_a_rejected_token_that_cannot_be_renewed(mode: Mode, resource: Resource) -> None:
    """Before a person is asked, the resource is, at its own places: it may have another server by now."""
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
        other = resource.add_authority()
        resource.metadata["authorization_servers"] = [other.issuer]
        resource.authority.end_logins()
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    assert (1, 1) == (len(resource.authority.visited), len(resource.authority.registered))
    assert (1, 1) == (len(other.visited), len(other.registered))


def test_a_server_whose_tokens_are_rejected(mode: Mode, resource: Resource, monotonic: MonotonicClock) -> None:
    """If a fresh one is, too, the resource may have moved: it's asked after the pause, and one login is made there."""
    resource.needs = {"/api/write": "write"}
    with mode.client(resource.auth(mode, scope="read")) as client:
        assert 200 == client.get(f"{resource.url}/write").status_code
        other = resource.add_authority()
        resource.metadata["authorization_servers"] = [other.issuer]
        resource.authorities.remove(resource.authority)
        logins = len(resource.authority.visited)
        assert 401 == client.get(resource.url).status_code
        assert 401 == client.get(resource.url).status_code
        assert [] == other.server.requests
        monotonic.ahead += 61
        assert 200 == client.get(resource.url).status_code
        assert 200 == client.get(resource.url).status_code
    assert (logins, 1) == (len(resource.authority.visited), len(other.visited))
    assert 1 == len(resource.authority.token_calls("refresh_token"))
    assert ["read"] == [asked["scope"] for asked in other.asked]
    assert ["authorization_code"] == [call.form["grant_type"][0] for call in other.calls("/token")]


def test_a_server_that_is_gone(mode: Mode, resource: Resource, quick: None) -> None:
    """If it can't be reached, and the resource names another one, that's where the user logs in."""
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
        other = resource.add_authority()
        resource.metadata["authorization_servers"] = [other.issuer]
        resource.revoke()
        resource.authority.faults["/token"] = [Answer(503)] * 3
        assert 200 == client.get(resource.url).status_code
    assert (1, 1) == (len(resource.authority.visited), len(other.visited))


def test_a_server_that_cannot_be_reached(mode: Mode, resource: Resource, quick: None) -> None:
    """Where the resource says that it's still the one, its trouble is told; no person is asked."""
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
        resource.revoke()
        resource.authority.faults["/token"] = [Answer(503)] * 3
        with pytest.raises(Exception, match="503"):
            client.get(resource.url)
    assert 1 == len(resource.authority.visited)


def test_a_revocation_in_the_middle(mode: Mode, resource: Resource) -> None:
    """A first answer without a token is no rejection: the one that comes later is met at once, again and again."""
    with mode.client(resource.auth(mode)) as client:
        for _ in range(6):
            assert 200 == client.get(resource.url).status_code
            resource.revoke()
        assert 200 == client.get(resource.url).status_code
    assert 1 == len(resource.authority.visited)
    assert 6 == len(resource.authority.token_calls("refresh_token"))


def test_more_scope_is_no_rejection(mode: Mode, resource: Resource) -> None:
    """`insufficient_scope` says that the token was accepted: a revocation just after it is met at once."""
    resource.needs = {"/api/write": "write"}
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(f"{resource.url}/write").status_code
        resource.revoke()
        assert 200 == client.get(f"{resource.url}/write").status_code
    assert 2 == len(resource.authority.visited)
    assert 1 == len(resource.authority.token_calls("refresh_token"))
