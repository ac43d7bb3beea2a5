"""What `LocalProvider` answers to requests that only the small print of an RFC decides: a table for each."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests

from .bare_client import REDIRECT_URI, BareClient, redirected, refusal

CREDENTIALS = {"grant_type": "client_credentials"}


def post(client: BareClient, url: str, fields: Any, **headers: str) -> requests.Response:
    return client.session.post(url, data=fields, headers=headers)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# Client authentication (RFC 6749 section 2.3)


@pytest.mark.parametrize(
    ("secret", "sent"),
    [
        ("two words", "two+words"),
        ("two words", "two%20words"),
        ("two words", "two words"),
        ("a+b", "a%2Bb"),
        ("a+b", "a+b"),
        ("50% off", "50%25+off"),
        ("50% off", "50% off"),
        ("half%41half", "half%2541half"),
        ("a&b=c/ü", "a%26b%3Dc%2F%C3%BC"),
        ("a&b=c/ü", "a&b=c/ü"),
    ],
)
def test_basic_credentials_are_form_decoded(client: BareClient, secret: str, sent: str) -> None:
    """Id and secret may be form-encoded, or sent as they are where that can be meant (section 2.3.1)."""
    client.provider.client_secret = secret
    client.provider.client_id = secret
    assert 200 == post(client, client.provider.token_url, CREDENTIALS, Authorization=basic(sent, sent)).status_code


@pytest.mark.parametrize(
    ("secret", "sent"), [("half%41half", "half%41half"), ("a b", "a%2Bb"), ("a+b", "a%20b"), ("a+b", "a b"), ("a", "")]
)
def test_basic_credentials_that_are_others(client: BareClient, secret: str, sent: str) -> None:
    """What is another secret when it's decoded is refused, even if it reads like the client's own."""
    client.provider.client_secret = secret
    header = basic(client.provider.client_id, sent)
    answer = post(client, client.provider.token_url, CREDENTIALS, Authorization=header)
    assert (401, "invalid_client") == refusal(answer)
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("secret", ["right", "wrong"])
@pytest.mark.parametrize("header", ["right", "wrong", "unreadable"])
def test_one_way_to_authenticate_is_enough(client: BareClient, secret: str, header: str) -> None:
    """Basic and a secret in the body are one too many, whether they're right or not (sections 2.3 and 5.2)."""
    own = client.provider.client_id, client.provider.client_secret
    fields = {**CREDENTIALS, "client_id": own[0], "client_secret": own[1] if secret == "right" else "wrong"}
    headers = {"right": basic(*own), "wrong": basic("a", "b"), "unreadable": "basic !"}
    answer = post(client, client.provider.token_url, fields, Authorization=headers[header])
    assert (400, "invalid_request") == refusal(answer)


def test_basic_and_the_client_s_id_go_together(client: BareClient) -> None:
    """The id beside Basic credentials is no second way, and neither is a secret without a value (section 3.2)."""
    assert 200 == client.token(client_id=client.provider.client_id, client_secret="").status_code


# Parameters (RFC 6749 sections 3.1, 3.2, 4.1.2.1 and 5.2)


@pytest.mark.parametrize("name", ["grant_type", "scope", "client_id", "client_secret", "username", "password"])
def test_a_repeated_parameter_is_an_invalid_request(client: BareClient, name: str) -> None:
    """No parameter of a token request may be there twice, not even with the same value."""
    provider, client.basic = client.provider, None
    fields = {"grant_type": "password", "username": provider.username, "password": provider.password, "scope": "a"}
    fields |= {"client_id": provider.client_id, "client_secret": provider.client_secret}
    assert 200 == post(client, provider.token_url, fields).status_code
    answer = post(client, provider.token_url, [*fields.items(), (name, fields[name])])
    assert (400, "invalid_request") == refusal(answer)
    answer = post(client, f"{provider.token_url}?{name}=other", fields)
    assert (400, "invalid_request") == refusal(answer)


@pytest.mark.parametrize(
    ("name", "grant_type"), [("refresh_token", "refresh_token"), ("code", "authorization_code"), ("token", None)]
)
def test_a_repeated_token_is_an_invalid_request(client: BareClient, name: str, grant_type: str | None) -> None:
    """The same holds for each grant, and where tokens are revoked."""
    fields = [(name, "x"), (name, "y"), *([("grant_type", grant_type)] if grant_type else [])]
    url = client.provider.token_url if grant_type else client.provider.revocation_url
    header = basic(client.provider.client_id, client.provider.client_secret)
    assert (400, "invalid_request") == refusal(post(client, url, fields, Authorization=header))


@pytest.mark.parametrize("name", ["resource", "audience", "x-unknown"])
def test_other_parameters_may_be_repeated(client: BareClient, name: str) -> None:
    """Those that their RFCs let repeat (8707, 8693) may be; unknown ones are ignored (section 3.2)."""
    fields = [*CREDENTIALS.items(), (name, "https://a.example"), (name, "https://b.example")]
    header = basic(client.provider.client_id, client.provider.client_secret)
    assert 200 == post(client, client.provider.token_url, fields, Authorization=header).status_code


@pytest.mark.parametrize("fields", [{}, {"grant_type": ""}, {"scope": "a"}], ids=str)
def test_without_a_grant_type_a_request_is_invalid(client: BareClient, fields: dict[str, str]) -> None:
    """A missing grant type isn't an unsupported one; nor is an empty one, which counts as missing."""
    header = basic(client.provider.client_id, client.provider.client_secret)
    answer = post(client, client.provider.token_url, fields, Authorization=header)
    assert (400, "invalid_request") == refusal(answer)


def test_without_a_response_type_a_request_is_invalid(client: BareClient) -> None:
    """A missing response type isn't an unsupported one; the client is told by the redirect, with state and issuer."""
    answer = redirected(client.authorize(response_type="", state="s"))
    assert "invalid_request" == answer["error"]
    assert ("s", client.provider.issuer) == (answer["state"], answer["iss"])


@pytest.mark.parametrize("change", [{"redirect_uri": "https://elsewhere.example/"}, {"client_id": "other"}], ids=str)
def test_without_a_response_type_nothing_goes_elsewhere(client: BareClient, change: dict[str, str]) -> None:
    """Nobody is redirected for a client that isn't known, or to an URI that isn't its own."""
    answer = client.authorize(response_type="", **change)
    assert (400, "invalid_request") == refusal(answer)


@pytest.mark.parametrize("name", ["response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge"])
def test_a_repeated_parameter_gets_no_code(client: BareClient, name: str) -> None:
    """No parameter of an authorization request may be there twice."""
    query = {"response_type": "code", "client_id": client.provider.client_id, "redirect_uri": REDIRECT_URI}
    query |= {"scope": "a", "state": "s", "code_challenge": "c" * 43, "code_challenge_method": "S256"}
    url = client.provider.authorization_url
    assert "code" in redirected(client.session.get(url, params=query, allow_redirects=False))
    answer = client.session.get(url, params=[*query.items(), (name, query[name])], allow_redirects=False)
    assert (400, "invalid_request") == refusal(answer)


# Refresh tokens (RFC 6749 section 6)


@pytest.mark.parametrize("rotate", [True, False])
def test_a_narrower_scope_is_for_once(client: BareClient, rotate: bool) -> None:
    """A refresh for less gets less; the next one that names no scope gets all that was granted, and no more is had."""
    client.provider.rotate_refresh_tokens = rotate
    answer = client.password(scope="read write").json()
    refresh_token = answer["refresh_token"]
    for scope, granted in (("read", "read"), (None, "read write"), ("write", "write"), ("read write", "read write")):
        answer = client.refresh(refresh_token, **({"scope": scope} if scope else {})).json()
        assert granted == answer["scope"]
        refresh_token = answer.get("refresh_token", refresh_token)
    assert (400, "invalid_scope") == refusal(client.refresh(refresh_token, scope="read admin"))


# Revocation (RFC 7009 section 2.1)


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "id_token", "nonsense", ""])
@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
def test_a_hint_is_no_more_than_a_hint(client: BareClient, kind: str, hint: str) -> None:
    """A token is revoked whatever kind it was said to be, a kind that isn't known among them."""
    tokens = client.password().json()
    fields = {"token": tokens[kind], "token_type_hint": hint}
    header = basic(client.provider.client_id, client.provider.client_secret)
    assert 200 == post(client, client.provider.revocation_url, fields, Authorization=header).status_code
    assert 401 == client.api(tokens["access_token"]).status_code
    assert (kind == "access_token") == client.refresh(tokens["refresh_token"]).ok


def test_a_revocation_without_a_token_is_invalid(client: BareClient) -> None:
    """There must be a token to revoke."""
    header = basic(client.provider.client_id, client.provider.client_secret)
    answer = post(client, client.provider.revocation_url, {"token_type_hint": "access_token"}, Authorization=header)
    assert (400, "invalid_request") == refusal(answer)
