"""The security profile against oidc-provider with everything on: whole flows, with each plug-in."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from oauth_auth import (
    AuthorizationResponseError,
    DPoPKey,
    JwtAssertion,
    OAuthProviderException,
    OAuthToken,
    RequestObject,
)
from oauth_auth.login import LoginContext
from tests.support.jwts import claims_of, header_of
from tests.support.modes import Mode

from .real_servers import received, shown
from .secure_provider import SecureProvider, log_in

pytestmark = pytest.mark.shared_core

BODY = b"the same bytes" * 10_000
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DETAILS = [{"type": "payment", "amount": "5.00", "creditor": {"iban": "DE02100100109307118603"}}]


def status(mode: Mode, auth: Any, url: str) -> int:
    with mode.client(auth) as client:
        return int(client.get(url).status_code)


class Visits:
    """A `login` that notes what's in the URLs that people are sent to."""

    def __init__(self) -> None:
        self.queries: list[dict[str, str]] = []

    def __call__(self, begin: LoginContext) -> str:
        redirect = log_in(begin)
        assert begin.request is not None
        query = parse_qs(urlsplit(begin.request.url).query)
        self.queries.append({name: " ".join(values) for name, values in query.items()})
        return redirect


# -- FAPI 2.0 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [False, True], ids=["own key", "key given"])
@pytest.mark.parametrize("signed", [False, True], ids=["plain", "signed"])
def test_a_whole_flow_of_fapi(mode: Mode, secure: SecureProvider, given: bool, signed: bool) -> None:
    """`private_key_jwt`, pushed requests, PKCE, issuer, bound tokens, nonces, refresh tokens that stay, and an end."""
    login = Visits()
    secure.use_nonces("required")
    secure.turn_nonce()
    options: dict[str, Any] = {
        "login": login,
        "dpop": DPoPKey.generate() if given else True,
        "par": True,
        "resource": secure.resources[0],
        "authorization_details": DETAILS,
        "request_object": RequestObject(secure.keys[0]) if signed else None,
    }
    with secure.make(mode, "AuthorizationCodeAuth", "fapi", **options) as auth, mode.client(auth) as client:
        assert received(BODY) == shown(client.send("POST", secure.api_url, body=BODY))
        first: OAuthToken = auth.token
        assert ("DPoP", DETAILS) == (first.token_type, first.extra["authorization_details"])
        told = mode.introspect(auth)
        assert (True, secure.resources[0], DETAILS) == (told["active"], told["aud"], told["authorization_details"])
        for _ in range(2):
            secure.revoke_access_tokens()
            secure.turn_nonce()
            assert received(BODY) == shown(client.send("POST", secure.api_url, body=BODY))
        assert first.access_token != auth.token.access_token
        assert first.refresh_token == auth.token.refresh_token
        assert DETAILS == auth.token.extra["authorization_details"]
        last = auth.token
        mode.revoke(auth)
    assert [{"client_id", "request_uri"}] == [{*query} for query in login.queries]
    with secure.make(mode, client="key") as other:
        assert not mode.introspect(other, last.access_token)["active"]
    assert 1 == secure.logins
    # One challenge for the first nonce, and none from then on.
    pushed, *calls = [call for call in secure.calls() if call.proof is not None]
    assert pushed.nonce is None
    assert None not in {call.nonce for call in calls}
    assert {"invalid_token", "use_dpop_nonce", None} == {request.error for request in secure.api_requests()}


def test_a_request_that_is_refused_sends_nobody_anywhere(plugin_mode: Mode, secure: SecureProvider) -> None:
    """It's known before a person is asked."""
    login = Visits()
    options: dict[str, Any] = {"login": login, "par": True, "dpop": True, "resource": "https://unknown.example"}
    with (
        secure.make(plugin_mode, "AuthorizationCodeAuth", "fapi", **options) as auth,
        pytest.raises(OAuthProviderException) as caught,
    ):
        auth.get_token()
    assert ("invalid_target", []) == (caught.value.error, login.queries)


@pytest.mark.parametrize("par", [None, True], ids=["by value", "pushed"])
def test_signed_requests(mode: Mode, secure: SecureProvider, par: bool | None) -> None:
    """A client that must sign its requests: nobody reads or changes what's beside `client_id`."""
    login = Visits()
    signs = RequestObject(secure.keys[0])
    options: dict[str, Any] = {"login": login, "par": par, "request_object": signs, "dpop": True}
    with secure.make(mode, "AuthorizationCodeAuth", "signing", **options) as auth, mode.client(auth) as client:
        assert 200 == client.get(secure.api_url).status_code
    (query,) = login.queries
    assert {"client_id", "request" if par is None else "request_uri"} == query.keys()
    pushed = [call.fields or {} for call in secure.calls("pushed_authorization_request")]
    request = pushed[0]["request"] if par else query["request"]
    assert "oauth-authz-req+jwt" == header_of(request)["typ"]
    claims = claims_of(request)
    assert (secure.clients["signing"], secure.issuer) == (claims["iss"], claims["aud"])
    assert 0 < claims["exp"] - claims["nbf"] <= 3600


def test_a_server_that_wants_requests_otherwise(plugin_mode: Mode, secure: SecureProvider) -> None:
    """What it says of it reaches the program, which may push or sign then."""
    for client, options in (("pushing", {"par": True}), ("signing", {"request_object": RequestObject(secure.keys[0])})):
        with (
            secure.make(plugin_mode, "AuthorizationCodeAuth", client) as auth,
            pytest.raises(AuthorizationResponseError) as caught,
        ):
            auth.get_token()
        assert "invalid_request" == caught.value.error
        with secure.make(plugin_mode, "AuthorizationCodeAuth", client, **options) as auth:
            assert 200 == status(plugin_mode, auth, secure.api_url)


# -- What a token is for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grant", ["ClientCredentialsAuth", "AuthorizationCodeAuth"])
def test_resource_and_details(mode: Mode, secure: SecureProvider, grant: str) -> None:
    """They go along wherever they belong, and what was granted is with the token."""
    options: dict[str, Any] = {"resource": secure.resources[1], "authorization_details": DETAILS, "dpop": True}
    with secure.make(mode, grant, **options) as auth:
        for _ in range(2):
            assert DETAILS == mode.refresh(auth).extra["authorization_details"]
            assert secure.resources[1] == mode.introspect(auth)["aud"]
        assert 200 == status(mode, auth, secure.api_url)
    fields = [call.fields or {} for call in secure.calls("token")]
    assert 2 * [secure.resources[1]] == [sent.get("resource") for sent in fields]
    # A person has agreed to the details before.
    assert [grant == "ClientCredentialsAuth"] * 2 == ["authorization_details" in sent for sent in fields]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"resource": "https://unknown.example"}, "invalid_target"),
        ({"authorization_details": DETAILS}, "invalid_target"),  # details need a resource there
        (
            {"authorization_details": [{"type": "loan"}], "resource": SecureProvider.resources[0]},
            "invalid_authorization_details",
        ),
    ],
)
def test_what_a_server_does_not_grant(
    plugin_mode: Mode, secure: SecureProvider, options: dict[str, Any], error: str
) -> None:
    """Its own error, asked for once."""
    with secure.make(plugin_mode, **options) as auth, pytest.raises(OAuthProviderException) as caught:
        auth.get_token()
    assert (error, 1) == (caught.value.error, len(secure.calls("token")))


# -- Step-up --------------------------------------------------------------------------------------------------------

STRONG = {"acr_values": "phishing-resistant"}


def test_a_stronger_login_for_all_callers(mode: Mode, secure: SecureProvider) -> None:
    """One login more, however many callers wait for it, and each request goes through with its body."""
    options: dict[str, Any] = {"dpop": True, "step_up": True}
    with secure.make(mode, "AuthorizationCodeAuth", "fapi", par=True, **options) as auth, mode.client(auth) as client:
        assert 200 == client.get(secure.api_url).status_code
        secure.turn_nonce()
        secure.want_login(**STRONG)
        begun = [client.begin("POST", secure.api_url, body=BODY) for _ in range(8)]
        assert 8 * [received(BODY)] == [shown(future.result(30)) for future in begun]
        assert 200 == client.get(secure.api_url).status_code
        assert "phishing-resistant" == mode.introspect(auth)["acr"]
    assert 2 == secure.logins
    asked = [call.fields or {} for call in secure.calls("pushed_authorization_request")]
    assert [None, "phishing-resistant"] == [fields.get("acr_values") for fields in asked]


def test_a_fresher_login(mode: Mode, secure: SecureProvider) -> None:
    """By the server's clock, which has gone on since the last one."""
    with secure.make(mode, "AuthorizationCodeAuth", dpop=True, step_up=True) as auth, mode.client(auth) as client:
        assert 200 == client.get(secure.api_url).status_code
        secure.want_login(max_age=30)
        assert 200 == client.get(secure.api_url).status_code
        assert 1 == secure.logins
        secure.set_clock_ahead(50)
        assert received(BODY) == shown(client.send("POST", secure.api_url, body=BODY))
        assert 200 == client.get(secure.api_url).status_code
    assert 2 == secure.logins


def test_a_login_that_does_not_suffice(mode: Mode, secure: SecureProvider) -> None:
    """Nobody is asked a third time: the answer is the caller's."""
    with secure.make(mode, "AuthorizationCodeAuth", dpop=True, step_up=True) as auth, mode.client(auth) as client:
        assert 200 == client.get(secure.api_url).status_code
        secure.limit_logins("password")
        secure.want_login(**STRONG)
        refused = client.get(secure.api_url)
        assert (401, "insufficient_user_authentication") == (refused.status_code, refused.json()["error"])
    assert 2 == secure.logins


def test_without_step_up_there_is_no_login(mode: Mode, secure: SecureProvider) -> None:
    """And no renewal, which would bring a token of the same login."""
    with secure.make(mode, "AuthorizationCodeAuth", dpop=True) as auth, mode.client(auth) as client:
        assert 200 == client.get(secure.api_url).status_code
        secure.want_login(**STRONG)
        assert 3 * [401] == [client.get(secure.api_url).status_code for _ in range(3)]
    assert (1, 1) == (secure.logins, len(secure.calls("token")))


# -- Tokens of other tokens -----------------------------------------------------------------------------------------


def grants(secure: SecureProvider) -> list[str]:
    """Return the grants of the token calls so far."""
    return [(call.fields or {})["grant_type"] for call in secure.calls("token")]


def test_an_exchange_for_all_callers(mode: Mode, secure: SecureProvider) -> None:
    """One; a token that's rejected is exchanged anew, and a subject that's no good is renewed first."""
    with secure.make(mode, "AuthorizationCodeAuth", dpop=True) as subject:
        auth = secure.make(mode, "TokenExchangeAuth", subject_token=subject, dpop=True)
        with auth, mode.client(auth) as client:
            assert 8 * [200] == [answer.status_code for answer in client.get_many(secure.api_url, 8)]
            assert ["authorization_code", EXCHANGE] == grants(secure)
            first = subject.token
            mode.refresh(auth)
            assert (first, EXCHANGE) == (subject.token, grants(secure)[-1])
            secure.revoke_access_tokens()
            assert received(BODY) == shown(client.send("POST", secure.api_url, body=BODY))
            assert first != subject.token
    assert [EXCHANGE, "refresh_token", EXCHANGE] == grants(secure)[-3:]
    assert 6 == len(secure.calls("token"))
    assert 1 == secure.logins


def test_chains_of_exchanges(plugin_mode: Mode, secure: SecureProvider) -> None:
    """Services that call services for a user: each link has a token, and a key, of its own."""
    with secure.make(plugin_mode, "AuthorizationCodeAuth", dpop=True) as first:
        links = [first]
        for _ in range(3):
            links.append(secure.make(plugin_mode, "TokenExchangeAuth", subject_token=links[-1], dpop=True))
        for _ in range(2):
            assert 200 == status(plugin_mode, links[-1], secure.api_url)
            assert "alice" == links[-1].introspect()["sub"]
            assert 4 == len({link.token.access_token for link in links})
            secure.revoke_access_tokens()
        for link in links[1:]:
            link.close()


def test_assertions_as_grants(mode: Mode, secure: SecureProvider, quick: None) -> None:
    """Each attempt has one of its own, and a refusal is the server's, not a call for a login."""
    assertion = JwtAssertion(secure.keys[0], issuer="issuer", subject="bob")
    secure.refuse("token", 503)
    with secure.make(mode, "JwtBearerAuth", assertion=assertion, dpop=True) as auth, mode.client(auth) as client:
        for _ in range(2):
            assert 200 == client.get(secure.api_url).status_code
            secure.revoke_access_tokens()
        mode.refresh(auth)
        assert "bob" == mode.introspect(auth)["sub"]
    sent = [claims_of((call.fields or {})["assertion"]) for call in secure.calls("token")]
    assert 4 == len({claims["jti"] for claims in sent}) == len(sent)
    spent = SecureProvider().keys[0]
    with secure.make(mode, "JwtBearerAuth", assertion=JwtAssertion(spent, issuer="issuer")) as auth:
        with pytest.raises(OAuthProviderException) as caught:
            mode.get_token(auth)
        assert (OAuthProviderException, "invalid_grant") == (type(caught.value), caught.value.error)
