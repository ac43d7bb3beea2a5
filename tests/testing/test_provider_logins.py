"""How well and how lately a user must have logged in for `LocalProvider`'s API (RFC 9470)."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

import oauth_auth.requests
from oauth_auth import BrowserLogin
from oauth_auth.testing import LocalProvider

from .bare_client import BareClient, redirected, refusal
from .signing import SigningKey

TOO_LITTLE = (401, "insufficient_user_authentication")


def login(client: BareClient, **parameters: str) -> dict[str, Any]:
    return dict(client.exchange(client.code(**parameters)).json())


def told(client: BareClient, fields: dict[str, Any]) -> tuple[str | None, int]:
    answer = client.introspect(fields["access_token"]).json()
    return answer.get("acr"), answer["auth_time"]


def test_a_login_s_context_can_be_demanded(client: BareClient) -> None:
    """A token of another login is refused with a challenge that names it, and who asks for it gets it."""
    plain = login(client)
    client.provider.required_acr = "gold platinum"
    answer = client.api(plain["access_token"])
    assert TOO_LITTLE == refusal(answer)
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith("Bearer ")
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'acr_values="gold platinum"' in challenge
    assert "max_age" not in challenge
    assert TOO_LITTLE == refusal(client.api(login(client, acr_values="silver")["access_token"]))
    gold = login(client, acr_values="platinum gold")
    assert 200 == client.api(gold["access_token"]).status_code
    assert (None, "platinum") == (told(client, plain)[0], told(client, gold)[0])
    assert TOO_LITTLE == refusal(client.api(client.refresh(plain["refresh_token"]).json()["access_token"]))


def test_a_login_s_age_can_be_demanded(client: BareClient) -> None:
    """A token of a login that's too old is refused, and so is what a refresh or a login that goes on gives."""
    provider, before = client.provider, login(client)
    provider.required_max_age = 60
    assert 200 == client.api(before["access_token"]).status_code
    provider.clock_offset = 61
    answer = client.api(before["access_token"])
    assert TOO_LITTLE == refusal(answer)
    challenge = answer.headers["WWW-Authenticate"]
    assert 'max_age="60"' in challenge
    assert "acr_values" not in challenge
    for fields in (client.refresh(before["refresh_token"]).json(), login(client), login(client, max_age="3600")):
        assert TOO_LITTLE == refusal(client.api(fields["access_token"]))
    assert 200 == client.api(login(client, max_age="60")["access_token"]).status_code
    provider.clock_offset = 130
    assert 200 == client.api(login(client, prompt="login")["access_token"]).status_code
    assert 200 == client.api(login(client)["access_token"]).status_code


def test_logins_go_on(client: BareClient) -> None:
    """The last login counts until a request asks for more: another context, or a fresher one."""
    assert told(client, login(client)) <= (None, int(time.time()))
    client.provider.clock_offset = 100
    first = told(client, login(client))
    assert first[1] < time.time() + 50
    gold = told(client, login(client, acr_values="gold"))
    assert ("gold", True) == (gold[0], gold[1] > time.time() + 50)
    assert gold == told(client, login(client)) == told(client, login(client, acr_values="silver gold"))


def test_a_program_has_not_logged_in(client: BareClient) -> None:
    """A token of no user is never enough, one by password is of a fresh login without a context."""
    program, user = client.token().json()["access_token"], client.password().json()["access_token"]
    client.provider.required_max_age = 60
    assert (401, 200) == (client.api(program).status_code, client.api(user).status_code)
    client.provider.required_max_age, client.provider.required_acr = None, "gold"
    assert (401, 401) == (client.api(program).status_code, client.api(user).status_code)


def test_a_dead_token_is_dead_first(client: BareClient) -> None:
    """What is no good token is told so, and a bound one is challenged as what it is."""
    client.provider.required_acr = "gold"
    assert (401, "invalid_token") == refusal(client.api("unknown"))
    key, url = SigningKey(), client.provider.token_url
    form = {"grant_type": "client_credentials"}
    answer = client.session.post(url, data=form, auth=client.basic, headers={"DPoP": key.proof(url)}).json()
    api_url, token = client.provider.api_url, answer["access_token"]
    headers = {"Authorization": f"DPoP {token}", "DPoP": key.proof(api_url, "GET", token=token)}
    answer = client.session.get(api_url, headers=headers)
    assert TOO_LITTLE == refusal(answer)
    assert answer.headers["WWW-Authenticate"].startswith("DPoP ")


@pytest.mark.parametrize("max_age", ["", "-1", "soon", "1.5", "٣"])
def test_a_strange_age_is_refused(client: BareClient, max_age: str) -> None:
    """`max_age` is a number of whole seconds."""
    assert "invalid_request" == redirected(client.authorize(max_age=max_age))["error"]


@pytest.mark.parametrize("demand", [{"required_acr": "gold"}, {"required_max_age": 30.0}], ids=str)
def test_auth_objects_step_up(demand: dict[str, Any]) -> None:
    """The library logs in again where the API asks for it, and the request goes through."""
    with LocalProvider() as provider, requests.Session() as session:
        browser = BrowserLogin(open_browser=lambda url: requests.get(url, timeout=10).ok)
        session.auth = oauth_auth.requests.AuthorizationCodeAuth.from_issuer(
            provider.issuer, provider.client_id, login=browser, step_up=True
        )
        assert session.get(provider.api_url).ok
        for name, value in demand.items():
            setattr(provider, name, value)
        provider.clock_offset = 60
        assert session.get(provider.api_url).ok
        assert 2 == len(provider.token_requests)
