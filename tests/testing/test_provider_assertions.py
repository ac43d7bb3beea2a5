"""How `LocalProvider` authenticates clients by assertions (RFC 7523, OpenID Connect Core 9)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import requests
from joserfc import jwk

import oauth_auth.requests
from oauth_auth._keys.assertions import ClientAssertion, ClientSecretJwt, PrivateKeyJwt
from oauth_auth.testing import LocalProvider

from .bare_client import BareClient, in_threads, refusal
from .signing import SigningKey

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
KUBERNETES = "https://kubernetes.default.svc"
REFUSED = (401, "invalid_client")


@pytest.fixture
def key(client: BareClient) -> SigningKey:
    """Return the key of a client that has no other way to authenticate."""
    key = SigningKey()
    client.provider.client_key = key.public
    client.basic = None
    return key


def token(client: BareClient, assertion: str, assertion_type: str = JWT_BEARER, **fields: str) -> requests.Response:
    return client.token(client_assertion=assertion, client_assertion_type=assertion_type, **fields)


def by(client: BareClient, key: SigningKey, **changes: Any) -> requests.Response:
    return token(client, key.assertion(client.provider.client_id, client.provider.issuer, **changes))


def test_a_key_authenticates(client: BareClient, key: SigningKey) -> None:
    """An assertion that the client's key has signed is enough, also where tokens are revoked and told of."""
    access_token = by(client, key).json()["access_token"]
    for url, seen in ((client.provider.introspection_url, True), (client.provider.revocation_url, None)):
        assertion = key.assertion(client.provider.client_id, url)
        form = {"token": access_token, "client_assertion": assertion, "client_assertion_type": JWT_BEARER}
        answer = client.session.post(url, data=form)
        assert (200, seen) == (answer.status_code, answer.json().get("active"))


def test_a_secret_authenticates(client: BareClient, key: SigningKey) -> None:
    """So is one that its secret has signed, and no other secret."""
    for secret, status in ((client.provider.client_secret, 200), ("another-secret-of-some-length", 401)):
        shared = SigningKey(jwk.OctKey.import_key(secret), "HS256")
        assert status == by(client, shared).status_code


def test_the_client_may_be_named_as_well(client: BareClient, key: SigningKey) -> None:
    """A `client_id` beside the assertion must be the same one."""
    for client_id, status in ((client.provider.client_id, 200), ("other", 401)):
        assertion = key.assertion(client.provider.client_id, client.provider.issuer)
        assert status == token(client, assertion, client_id=client_id).status_code
    assertion = key.assertion(client.provider.client_id, client.provider.issuer, sub="other")
    assert REFUSED == refusal(token(client, assertion, client_id=client.provider.client_id))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "other"},
        {"iss": None},
        {"sub": "other"},
        {"sub": None},
        {"aud": "https://elsewhere.example"},
        {"aud": None},
        {"aud": []},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1_000_000_000},
        {"nbf": 9_000_000_000},
        {"iat": 9_000_000_000},
        {"jti": None},
        {"header": {"kid": "other"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_wrong_assertion_is_refused(client: BareClient, key: SigningKey, changes: dict[str, Any]) -> None:
    """Each claim that RFC 7523 section 3 names is looked at, and the key's id, if it has one."""
    client.provider.client_key = {**key.public, "kid": "mine"}
    assert 200 == by(client, key).status_code
    assert REFUSED == refusal(by(client, key, **changes))


@pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "e30.e30.", "e30.e30.e30"])
def test_what_is_no_assertion_is_refused(client: BareClient, key: SigningKey, assertion: str) -> None:
    """So is what's no JWT, also where a public client would be let through."""
    client_id = client.provider.client_id
    form = {"client_id": client_id, "client_assertion": assertion, "client_assertion_type": JWT_BEARER}
    assert REFUSED == refusal(client.token("authorization_code", code="x", **form))


def test_other_keys_and_algorithms_are_refused(client: BareClient, key: SigningKey) -> None:
    """Neither another's key, nor none, nor the public key as a secret is taken, nor any without `client_key`."""
    assert REFUSED == refusal(by(client, SigningKey()))
    head, claims, _ = key.assertion(client.provider.client_id, client.provider.issuer).split(".")
    assert REFUSED == refusal(token(client, f"{head}.{claims}."))
    assert isinstance(key.key, jwk.ECKey)
    shared = SigningKey(jwk.OctKey(key.key.as_pem(private=False), None), "HS256")
    assert REFUSED == refusal(by(client, shared))
    client.provider.client_key = None
    assert REFUSED == refusal(by(client, key))


def test_keys_rotate(client: BareClient, key: SigningKey) -> None:
    """With a set of keys each of them is taken, with and without a key id, and none that was taken out."""
    other = SigningKey()
    client.provider.client_key = {"keys": [{**key.public, "kid": "old"}, {**other.public, "kid": "new"}]}
    for one, header in ((key, {}), (other, {}), (other, {"kid": "new"})):
        assert 200 == by(client, one, header=header).status_code
    assert REFUSED == refusal(by(client, key, header={"kid": "new"}))
    client.provider.client_key = {"keys": [other.public]}
    assert [401, 200] == [by(client, k).status_code for k in (key, other)]


def test_an_assertion_is_good_once(client: BareClient, key: SigningKey) -> None:
    """It's taken once over all endpoints, and of many at once one gets through."""
    client_id, issuer = client.provider.client_id, client.provider.issuer
    assertion = key.assertion(client_id, issuer)
    answers = in_threads(8, lambda: token(client, assertion))
    [access_token] = [answer.json()["access_token"] for answer in answers if answer.ok]
    form = {"token": access_token, "client_assertion": assertion, "client_assertion_type": JWT_BEARER}
    for url in (client.provider.introspection_url, client.provider.revocation_url):
        assert REFUSED == refusal(client.session.post(url, data=form))


def test_its_type_must_be_said(client: BareClient, key: SigningKey) -> None:
    """An assertion of the client's own has one type."""
    assertion = key.assertion(client.provider.client_id, client.provider.issuer)
    assert REFUSED == refusal(token(client, assertion, SPIFFE))
    assertion = key.assertion(client.provider.client_id, client.provider.issuer)
    assert REFUSED == refusal(client.token(client_assertion=assertion))


@pytest.mark.parametrize(
    ("strict", "taken"), [("any", {"issuer", "url", "list"}), ("issuer", {"issuer"}), ("url", {"url"})]
)
def test_the_audience(client: BareClient, key: SigningKey, strict: Any, taken: set[str]) -> None:
    """The issuer, the URL that is called, or either, also in a list; a FAPI server takes the issuer as a text alone."""
    provider = client.provider
    audiences = {"issuer": provider.issuer, "url": provider.token_url, "list": [provider.issuer, "https://x.example"]}
    audiences |= {"slash": provider.issuer + "/", "another endpoint": provider.introspection_url}
    provider.assertion_audience = strict
    assert taken == {name for name, audience in audiences.items() if by(client, key, aud=audience).ok}


def test_others_may_vouch_for_the_client(client: BareClient, key: SigningKey) -> None:
    """An assertion of `assertion_issuer` is taken again and again, has any type and subject, and needs a client id."""
    client_id, issuer = client.provider.client_id, client.provider.issuer

    def projected(**changes: Any) -> str:
        return key.assertion("system:serviceaccount:a:b", issuer, **{"iss": KUBERNETES, "jti": None, **changes})

    assert REFUSED == refusal(token(client, projected(), client_id=client_id))
    client.provider.assertion_issuer = KUBERNETES
    assertion = projected()
    for kind in (JWT_BEARER, SPIFFE):
        assert 200 == token(client, assertion, kind, client_id=client_id).status_code
    assert REFUSED == refusal(token(client, assertion))
    assert REFUSED == refusal(token(client, assertion, client_id="other"))
    for changes in ({"aud": "other"}, {"exp": int(time.time()) - 1}, {"iss": "other"}):
        assert REFUSED == refusal(token(client, projected(**changes), client_id=client.provider.client_id))
    assert 200 == by(client, key).status_code


def test_one_way_is_enough(client: BareClient, key: SigningKey) -> None:
    """A client that shows its secret as well is refused, in the header and in the form."""
    secret = client.provider.client_secret
    assertion = key.assertion(client.provider.client_id, client.provider.issuer)
    both = token(client, assertion, client_id=client.provider.client_id, client_secret=secret)
    assert (400, "invalid_request") == refusal(both)
    client.basic = (client.provider.client_id, secret)
    assert (400, "invalid_request") == refusal(by(client, key))


def test_an_assertion_is_no_public_client(client: BareClient, key: SigningKey) -> None:
    """What a client with a key was given isn't refreshed without it."""
    user = {"username": client.provider.username, "password": client.provider.password}
    assertion = key.assertion(client.provider.client_id, client.provider.issuer)
    form = {"client_assertion": assertion, "client_assertion_type": JWT_BEARER}
    refresh_token = client.token("password", **user, **form).json()["refresh_token"]
    assert (400, "invalid_grant") == refusal(client.refresh(refresh_token, client_id=client.provider.client_id))


def test_its_clock_judges(client: BareClient, key: SigningKey) -> None:
    """An assertion is judged by the provider's clock."""
    client.provider.clock_offset = 120
    assert REFUSED == refusal(by(client, key))
    assert 200 == by(client, key, exp=int(time.time()) + 180).status_code


def test_auth_objects_authenticate(tmp_path: Path) -> None:
    """Each way of this library's is taken, whatever the audience that's wanted."""
    key = SigningKey()
    file = tmp_path / "token"
    with LocalProvider() as provider, requests.Session() as session:
        provider.client_key, provider.assertion_issuer = key.public, KUBERNETES
        file.write_text(key.assertion("pod", provider.issuer, iss=KUBERNETES, jti=None))
        private = PrivateKeyJwt(key.key.as_dict(private=True))
        ways: list[tuple[Any, str | None]] = [(private, None), (ClientSecretJwt(), provider.client_secret)]
        for method, secret in (*ways, (ClientAssertion(file), None)):
            session.auth = oauth_auth.requests.ClientCredentialsAuth(
                provider.token_url, provider.client_id, secret, client_auth=method
            )
            assert session.get(provider.api_url).ok
