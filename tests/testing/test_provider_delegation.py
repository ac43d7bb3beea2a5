"""Tokens that `LocalProvider` makes of other tokens (RFC 8693) and of assertions (RFC 7523 section 2.1)."""

from __future__ import annotations

from typing import Any

import pytest
import requests

import oauth_auth.requests
from oauth_auth import JwtAssertion
from oauth_auth.testing import LocalProvider

from .bare_client import BareClient, refusal
from .signing import SigningKey

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TYPE = "urn:ietf:params:oauth:token-type:"
ACCESS_TOKEN = f"{TYPE}access_token"


@pytest.fixture
def key(client: BareClient) -> SigningKey:
    key = SigningKey()
    client.provider.client_key = key.public
    return key


def exchange(client: BareClient, subject: str | None, kind: str | None = ACCESS_TOKEN, **fields: Any) -> Any:
    form = {"subject_token": subject, "subject_token_type": kind, **fields}
    return client.token(EXCHANGE, **form)


# Token exchange (RFC 8693)


def test_a_token_is_exchanged(client: BareClient) -> None:
    """A live access token gives another one of the same user, for whom it's asked for, without a refresh token."""
    subject = client.password(scope="read write").json()["access_token"]
    fields = exchange(client, subject, audience=["b", "c"], resource="https://a.example").json()
    assert {"access_token", "token_type", "expires_in", "scope", "issued_token_type"} == fields.keys()
    assert (ACCESS_TOKEN, "read write") == (fields["issued_token_type"], fields["scope"])
    told = client.introspect(fields["access_token"]).json()
    assert (client.provider.username, ["https://a.example", "b", "c"]) == (told["sub"], told["aud"])
    assert client.api(fields["access_token"]).ok
    assert "read" == exchange(client, subject, scope="read").json()["scope"]
    assert exchange(client, fields["access_token"]).ok


def test_an_actor_is_told(client: BareClient) -> None:
    """Who acts for the user is in introspection (section 4.1): another user, or the client."""
    subject, program = client.password().json()["access_token"], client.token().json()["access_token"]
    for actor, name in ((subject, client.provider.username), (program, client.provider.client_id)):
        fields = exchange(client, subject, actor_token=actor, actor_token_type=ACCESS_TOKEN).json()
        assert {"sub": name} == client.introspect(fields["access_token"]).json()["act"]


@pytest.mark.parametrize("kind", ["unknown", "revoked", "expired", "refresh token", "of another type", "missing"])
@pytest.mark.parametrize("party", ["subject", "actor"])
def test_what_is_dead_is_not_exchanged(client: BareClient, kind: str, party: str) -> None:
    """Neither a subject's nor an actor's token that isn't live and of its type is taken."""
    moment = 0.0
    client.provider._now = lambda: moment
    tokens = client.password().json()
    text, type_of = tokens["access_token"], ACCESS_TOKEN
    if kind == "revoked":
        client.revoke(text)
    elif kind == "expired":
        moment = 3600.0
    elif kind == "of another type":
        type_of = f"{TYPE}jwt"
    text = {"unknown": "x", "refresh token": tokens["refresh_token"], "missing": ""}.get(kind, text)
    if party == "subject":
        answer = exchange(client, text, type_of)
    else:
        answer = exchange(client, client.token().json()["access_token"], actor_token=text, actor_token_type=type_of)
    assert (400, "invalid_request") == refusal(answer)


def test_an_exchange_must_be_whole(client: BareClient) -> None:
    """A token without its type, a type without its token, and a type that isn't issued are refused."""
    subject = client.token().json()["access_token"]
    assert 200 == exchange(client, subject, requested_token_type=ACCESS_TOKEN).status_code
    for fields in (
        {"kind": None},
        {"subject": None},
        {"actor_token": subject},
        {"actor_token_type": ACCESS_TOKEN},
        {"requested_token_type": f"{TYPE}saml2"},
    ):
        assert (400, "invalid_request") == refusal(exchange(client, **{"subject": subject, **fields}))
    assert (400, "invalid_target") == refusal(exchange(client, subject, resource="relative"))
    client.basic = (client.provider.client_id, "wrong")
    assert (401, "invalid_client") == refusal(exchange(client, subject))


@pytest.mark.parametrize("kind", ["jwt", "id_token"])
def test_others_tokens_are_taken_if_the_test_says_so(client: BareClient, kind: str) -> None:
    """A text in `subject_tokens` stands for the user, as a token of the types of JWTs, and as no other."""
    assert (400, "invalid_request") == refusal(exchange(client, "theirs", TYPE + kind))
    client.provider.subject_tokens = {"theirs"}
    fields = exchange(client, "theirs", TYPE + kind).json()
    assert client.provider.username == client.introspect(fields["access_token"]).json()["sub"]
    assert (400, "invalid_request") == refusal(exchange(client, "theirs"))


def test_an_exchanged_token_can_be_bound(client: BareClient) -> None:
    """With a proof the token is bound, like any other."""
    key, subject = SigningKey(), client.token().json()["access_token"]
    form = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN}
    headers = {"DPoP": key.proof(client.provider.token_url)}
    answer = client.session.post(client.provider.token_url, data=form, auth=client.basic, headers=headers)
    assert "DPoP" == answer.json()["token_type"]


# JWT bearer (RFC 7523 section 2.1)


def bearer(
    client: BareClient, key: SigningKey, form: dict[str, str] | None = None, **changes: Any
) -> requests.Response:
    assertion = key.assertion("service", client.provider.token_url, **{"sub": "carol", **changes})
    return client.token(BEARER, assertion=assertion, **(form or {}))


def test_an_assertion_gives_a_token(client: BareClient, key: SigningKey) -> None:
    """It's for the assertion's subject, and needs no client; one that shows itself must be right."""
    for basic in (client.basic, None):
        client.basic = basic
        answer = bearer(client, key, {"scope": "read"}).json()
        assert {"access_token", "token_type", "expires_in", "scope"} == answer.keys()
        assert client.api(answer["access_token"]).ok
    client.basic = (client.provider.client_id, client.provider.client_secret)
    assert "carol" == client.introspect(answer["access_token"]).json()["sub"]
    client.basic = (client.provider.client_id, "wrong")
    assert (401, "invalid_client") == refusal(bearer(client, key))
    client.basic = None
    for form in ({"client_id": "other"}, {"client_assertion": "x"}, {"client_secret": "wrong"}):
        assert (401, "invalid_client") == refusal(bearer(client, key, form))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"aud": None},
        {"aud": "https://elsewhere.example"},
        {"exp": None},
        {"exp": 1_000_000_000},
        {"nbf": 9_000_000_000},
        {"jti": "twice"},
    ],
    ids=str,
)
def test_a_wrong_assertion_is_no_grant(client: BareClient, key: SigningKey, changes: dict[str, Any]) -> None:
    """Each claim that section 3 names is looked at."""
    before: dict[str, Any] = {"jti": "twice"} if "jti" in changes else {}
    assert bearer(client, key, **before).ok
    assert (400, "invalid_grant") == refusal(bearer(client, key, **changes))


def test_another_s_assertion_is_no_grant(client: BareClient, key: SigningKey) -> None:
    """It must be there, and be signed with the key that the provider knows."""
    assert (400, "invalid_request") == refusal(client.token(BEARER))
    assert (400, "invalid_grant") == refusal(client.token(BEARER, assertion="x"))
    assert (400, "invalid_grant") == refusal(bearer(client, SigningKey()))
    client.provider.client_key = None
    assert (400, "invalid_grant") == refusal(bearer(client, key))


def test_a_proof_can_be_demanded_there_as_well(client: BareClient, key: SigningKey) -> None:
    """Without a client a proof is read all the same, and demanded where it must be."""
    client.basic = None
    client.provider.require_dpop = True
    assert (400, "invalid_dpop_proof") == refusal(bearer(client, key))
    url = client.provider.token_url
    form = {"grant_type": BEARER, "assertion": key.assertion("service", url)}
    assert "DPoP" == client.session.post(url, data=form, headers={"DPoP": key.proof(url)}).json()["token_type"]


# With this library


def test_auth_objects_delegate() -> None:
    """Its classes for both grants get tokens that the API takes, over a revocation."""
    key = SigningKey()
    with LocalProvider() as provider, requests.Session() as session:
        provider.client_key = key.public
        client = provider.token_url, provider.client_id, provider.client_secret
        assertion = JwtAssertion(key.key.as_dict(private=True), issuer="service")
        subject = oauth_auth.requests.PasswordAuth(*client, username=provider.username, password=provider.password)
        for auth in (
            oauth_auth.requests.TokenExchangeAuth(*client, subject_token=subject),
            oauth_auth.requests.JwtBearerAuth(provider.token_url, assertion=assertion),
        ):
            session.auth = auth
            assert session.get(provider.api_url).ok
            provider.revoke_access_tokens()
            assert session.get(provider.api_url).ok
