"""Authorization requests to `LocalProvider`: pushed (RFC 9126), signed (RFC 9101), and for what (8707, 9396)."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests

from .bare_client import REDIRECT_URI, BareClient, in_threads, redirected, refusal
from .signing import SigningKey

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
DETAILS = [{"type": "payment", "amount": 5}, {"type": "account"}]
PAYMENT = json.dumps(DETAILS[:1])


@pytest.fixture
def key(client: BareClient) -> SigningKey:
    key = SigningKey()
    client.provider.client_key = key.public
    return key


def fields_of(client: BareClient, **changes: Any) -> dict[str, Any]:
    fields = {"response_type": "code", "client_id": client.provider.client_id, "redirect_uri": REDIRECT_URI}
    return {**fields, **changes}


def push(client: BareClient, proof: str | None = None, **changes: Any) -> requests.Response:
    headers = {} if proof is None else {"DPoP": proof}
    url = client.provider.pushed_authorization_request_url
    return client.session.post(url, data=fields_of(client, **changes), auth=client.basic, headers=headers)


def visit(client: BareClient, **query: Any) -> requests.Response:
    url = client.provider.authorization_url
    return client.session.get(url, params=query, allow_redirects=False)


def use(client: BareClient, pushed: requests.Response, **query: Any) -> requests.Response:
    query = {"client_id": client.provider.client_id, "request_uri": pushed.json()["request_uri"], **query}
    return visit(client, **query)


def exchange(client: BareClient, code: str, proof: str | None = None) -> requests.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
    headers = {} if proof is None else {"DPoP": proof}
    return client.session.post(client.provider.token_url, data=form, auth=client.basic, headers=headers)


# Pushed (RFC 9126)


def test_a_pushed_request(client: BareClient) -> None:
    """What was pushed is what counts; beside the reference nothing else does."""
    pushed = push(client, scope="read", state="s")
    assert (201, "no-store") == (pushed.status_code, pushed.headers["Cache-Control"])
    assert 60 == pushed.json()["expires_in"]
    answer = redirected(use(client, pushed, scope="admin", state="other"))
    assert "s" == answer["state"]
    assert "read" == exchange(client, answer["code"]).json()["scope"]


def test_a_reference_is_good_once(client: BareClient) -> None:
    """A second use is refused in place, and of many at once one gets through."""
    pushed = push(client)
    assert 1 == sum(answer.status_code == 302 for answer in in_threads(8, lambda: use(client, pushed)))
    assert (400, "invalid_request_uri") == refusal(use(client, pushed))


def test_a_reference_is_the_client_s_and_expires(client: BareClient) -> None:
    """An unknown one, one of another client, or without a client is refused, and so is one that's too old."""
    moment = 0.0
    client.provider._now = lambda: moment
    client.provider.request_uri_lifetime = 5
    pushed = push(client)
    for query in ({"client_id": "other"}, {"client_id": None}, {"request_uri": "urn:x"}, {"request_uri": ""}):
        assert (400, "invalid_request_uri") == refusal(use(client, pushed, **query))
    moment = 5.0
    assert (400, "invalid_request_uri") == refusal(use(client, pushed))
    moment = 0.0
    in_time = push(client)
    moment = 4.9
    assert 302 == use(client, in_time).status_code


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"redirect_uri": "https://elsewhere.example/"}, "invalid_request"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"code_challenge": "c" * 43, "code_challenge_method": "plain"}, "invalid_request"),
        ({"request_uri": "urn:x"}, "invalid_request"),
        ({"state": ["a", "b"]}, "invalid_request"),
        ({"authorization_details": "x"}, "invalid_authorization_details"),
        ({"resource": "relative"}, "invalid_target"),
        ({"request": "x"}, "invalid_request_object"),
    ],
    ids=str,
)
def test_a_pushed_request_is_looked_at(client: BareClient, changes: dict[str, Any], error: str) -> None:
    """What would be refused in the browser is refused when it's pushed, in place."""
    assert (400, error) == refusal(push(client, **changes))


def test_who_pushes_is_authenticated(client: BareClient, key: SigningKey) -> None:
    """A wrong secret is refused; each other way is taken, none for a public client among them."""
    client_id = client.provider.client_id
    client.basic = (client_id, "wrong")
    assert (401, "invalid_client") == refusal(push(client))
    client.basic = None
    url = client.provider.pushed_authorization_request_url
    for way in (
        {},
        {"client_secret": client.provider.client_secret},
        {"client_assertion": key.assertion(client_id, url), "client_assertion_type": JWT_BEARER},
    ):
        assert 302 == use(client, push(client, **way)).status_code
    assert (401, "invalid_client") == refusal(push(client, client_id="other"))
    assertion = key.assertion(client_id, client.provider.token_url)
    answer = push(client, client_assertion=assertion, client_assertion_type=JWT_BEARER)
    assert (401, "invalid_client") == refusal(answer)


def test_pushing_can_be_demanded(client: BareClient) -> None:
    """Then no other request is taken, and the metadata says so."""
    client.provider.require_pushed_authorization_requests = True
    assert (400, "invalid_request") == refusal(client.authorize())
    assert 302 == use(client, push(client)).status_code
    metadata = client.session.get(f"{client.provider.issuer}/.well-known/oauth-authorization-server").json()
    assert metadata["require_pushed_authorization_requests"]


# Bound to a key (RFC 9449 section 10)


@pytest.mark.parametrize("how", ["dpop_jkt", "proof", "both", "in the URL"])
def test_a_code_is_bound_to_its_key(client: BareClient, how: str) -> None:
    """A code that was asked for with a key is nothing without it, and good with it still."""
    key, other = SigningKey(), SigningKey()
    jkt = key.thumbprint if how != "proof" else None
    proof = key.proof(client.provider.pushed_authorization_request_url) if how in {"proof", "both"} else None
    answer = client.authorize(dpop_jkt=key.thumbprint) if how == "in the URL" else None
    answer = answer or use(client, push(client, proof, dpop_jkt=jkt))
    code = redirected(answer)["code"]
    for wrong in (None, other.proof(client.provider.token_url)):
        assert (400, "invalid_grant") == refusal(exchange(client, code, wrong))
    assert "DPoP" == exchange(client, code, key.proof(client.provider.token_url)).json()["token_type"]


def test_a_pushed_request_s_proof_is_checked(client: BareClient) -> None:
    """It must be of the key that's named, for the endpoint, and have the nonce; one isn't demanded there."""
    key, url = SigningKey(), client.provider.pushed_authorization_request_url
    wrong = (key.proof(url), SigningKey().thumbprint), (key.proof(client.provider.token_url), None)
    for proof, jkt in wrong:
        assert (400, "invalid_dpop_proof") == refusal(push(client, proof, dpop_jkt=jkt))
    client.provider.dpop_nonces = client.provider.require_dpop = True
    answer = push(client, key.proof(url))
    assert (400, "use_dpop_nonce") == refusal(answer)
    assert 201 == push(client, key.proof(url, nonce=answer.headers["DPoP-Nonce"])).status_code
    assert 201 == push(client).status_code


# Signed (RFC 9101)


def signed(client: BareClient, key: SigningKey, header: dict[str, Any] | None = None, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": client.provider.client_id, "aud": client.provider.issuer, "iat": now, "nbf": now, "exp": now + 60}
    return key.sign(
        {**claims, **fields_of(client, scope="read"), **changes}, **{"typ": "oauth-authz-req+jwt", **(header or {})}
    )


@pytest.mark.parametrize("pushed", [False, True])
def test_a_signed_request(client: BareClient, key: SigningKey, pushed: bool) -> None:
    """What is signed is what counts, by value and pushed, for the client that's beside it."""
    request = signed(client, key, authorization_details=DETAILS, resource=["https://a.example", "https://b.example"])
    client_id = client.provider.client_id
    if pushed:
        url, form = client.provider.pushed_authorization_request_url, {"request": request, "scope": "admin"}
        answer = use(client, client.session.post(url, data=form, auth=client.basic))
    else:
        answer = visit(client, client_id=client_id, request=request, scope="admin", redirect_uri="http://127.0.0.1:1/")
    fields = exchange(client, redirected(answer)["code"]).json()
    assert ("read", DETAILS) == (fields["scope"], fields["authorization_details"])
    told = client.introspect(fields["access_token"]).json()
    assert ["https://a.example", "https://b.example"] == told["aud"]


@pytest.mark.parametrize(
    "changes",
    [
        {"header": {"typ": "JWT"}},
        {"header": {"typ": None}},
        {"iss": "other"},
        {"iss": None},
        {"aud": "https://elsewhere.example"},
        {"aud": None},
        {"client_id": "other"},
        {"client_id": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": 9_000_000_000},
        {"nbf": 9_000_000_000},
        {"nbf": None},
        {"nbf": 1_000_000_000},
        {"request": "x"},
        {"request_uri": "urn:x"},
    ],
    ids=str,
)
def test_a_wrong_signed_request_is_refused(client: BareClient, key: SigningKey, changes: dict[str, Any]) -> None:
    """Each claim that FAPI asks for is looked at, and where it is refused nobody is redirected."""
    request = signed(client, key, **changes)
    assert (400, "invalid_request_object") == refusal(
        visit(client, client_id=client.provider.client_id, request=request)
    )


def test_who_has_signed_counts(client: BareClient, key: SigningKey) -> None:
    """Another's signature is refused, and so is none, and another client beside it."""
    client_id, good = client.provider.client_id, signed(client, key)
    unsigned = ".".join((*good.split(".")[:2], ""))
    for request, beside in ((signed(client, SigningKey()), client_id), (unsigned, client_id), (good, "other")):
        assert (400, "invalid_request_object") == refusal(visit(client, client_id=beside, request=request))
    assert 302 == visit(client, client_id=client_id, request=good).status_code


@pytest.mark.parametrize("pushed", [False, True])
def test_signing_can_be_demanded(client: BareClient, key: SigningKey, pushed: bool) -> None:
    """Then an unsigned request is refused, in the URL and pushed, and the metadata says so."""
    client.provider.require_signed_request_object = True
    assert (400, "invalid_request") == refusal(push(client) if pushed else client.authorize())
    request = signed(client, key)
    query = {"client_id": client.provider.client_id, "request": request}
    assert 302 == (use(client, push(client, request=request)) if pushed else visit(client, **query)).status_code
    metadata = client.session.get(f"{client.provider.issuer}/.well-known/oauth-authorization-server").json()
    assert metadata["require_signed_request_object"]


# For what


@pytest.mark.parametrize("where", ["token", "authorization", "pushed"])
def test_details_are_granted(client: BareClient, where: str) -> None:
    """Details that were asked for are in the token answer, in introspection, and in what refreshes give."""
    details = json.dumps(DETAILS)
    if where == "token":
        fields = client.password(authorization_details=details).json()
    elif where == "pushed":
        fields = exchange(client, redirected(use(client, push(client, authorization_details=details)))["code"]).json()
    else:
        fields = exchange(client, client.code(authorization_details=details)).json()
    again = client.refresh(fields["refresh_token"]).json()
    for answer in (fields, again):
        assert DETAILS == answer["authorization_details"]
        assert DETAILS == client.introspect(answer["access_token"]).json()["authorization_details"]


def test_a_refresh_may_ask_for_less(client: BareClient) -> None:
    """Some of the details, and no others: a refusal leaves the refresh token good. Likewise resources."""
    resources = {"resource": "https://a.example"}
    fields = client.password(authorization_details=json.dumps(DETAILS), **resources).json()
    refresh_token = fields["refresh_token"]
    other = json.dumps([{"type": "payment", "amount": 500}])
    answer = client.refresh(refresh_token, authorization_details=other)
    assert (400, "invalid_authorization_details") == refusal(answer)
    assert (400, "invalid_target") == refusal(client.refresh(refresh_token, resource="https://b.example"))
    assert DETAILS[:1] == client.refresh(refresh_token, authorization_details=PAYMENT).json()["authorization_details"]
    without = client.exchange(client.code(), authorization_details=PAYMENT)
    assert (400, "invalid_authorization_details") == refusal(without)


@pytest.mark.parametrize("details", ["", "x", "{}", "[]", "[1]", "[{}]", '[{"type": 1}]', "[" * 5000])
def test_strange_details_are_refused(client: BareClient, details: str) -> None:
    """They must be an array of objects with a type each: by redirect, and at the token endpoint."""
    assert (400, "invalid_authorization_details") == refusal(client.token(authorization_details=details))
    answer = redirected(client.authorize(authorization_details=details, state="s"))
    assert ("invalid_authorization_details", "s") == (answer["error"], answer["state"])


def test_types_of_details_can_be_named(client: BareClient) -> None:
    """Then others are refused, and the metadata names them."""
    url = f"{client.provider.issuer}/.well-known/oauth-authorization-server"
    assert "authorization_details_types_supported" not in client.session.get(url).json()
    client.provider.authorization_details_types = ["payment"]
    assert 200 == client.token(authorization_details=PAYMENT).status_code
    refused = client.token(authorization_details=json.dumps(DETAILS))
    assert (400, "invalid_authorization_details") == refusal(refused)
    assert ["payment"] == client.session.get(url).json()["authorization_details_types_supported"]


def test_resources_are_the_audience(client: BareClient) -> None:
    """One resource is the audience as a text, several are a list; a code's are those of its token, or fewer."""
    form: dict[str, Any] = {"resource": ["https://a.example", "https://b.example/x?y"]}
    assert "aud" not in client.introspect(client.token().json()["access_token"]).json()
    assert form["resource"] == client.introspect(client.token(**form).json()["access_token"]).json()["aud"]
    code = client.code(**form)
    assert (400, "invalid_target") == refusal(client.exchange(code, resource="https://c.example"))
    fields = client.exchange(code, resource="https://a.example").json()
    assert "https://a.example" == client.introspect(fields["access_token"]).json()["aud"]
    again = client.refresh(fields["refresh_token"]).json()
    assert form["resource"] == client.introspect(again["access_token"]).json()["aud"]


@pytest.mark.parametrize("resource", ["", "relative", "/path", "https://a.example/#part", "http://[x"])
def test_strange_resources_are_refused(client: BareClient, resource: str) -> None:
    """A resource is an absolute URI without a fragment: by redirect, and at the token endpoint."""
    assert (400, "invalid_target") == refusal(client.token(resource=resource))
    assert "invalid_target" == redirected(client.authorize(resource=resource))["error"]
