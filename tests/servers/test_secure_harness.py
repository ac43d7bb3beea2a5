"""The server with the security profile judges as it says, asked with plain `requests`, and proofs made by joserfc."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey

from .certificates import Authority, Certificate, self_signed
from .login import authorize
from .secure_provider import SecureProvider

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
REDIRECT_URI = SecureProvider.redirect_uri
VERIFIER = secrets.token_urlsafe(32)
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def caller(secure: SecureProvider) -> Iterator[Caller]:
    with requests.Session() as http:
        http.trust_env = False
        yield Caller(secure, http)


class Caller:
    """A client of the server's: `post` authenticates by an assertion, and sends a proof."""

    def __init__(self, server: SecureProvider, http: requests.Session, client: str = "key") -> None:
        self.server, self.http, self.client = server, http, client
        self.key = ECKey.generate_key("P-256")

    def assertion(self, **claims: Any) -> str:
        client_id, now = self.server.clients[self.client], int(time.time())
        own = {"iss": client_id, "sub": client_id, "aud": self.server.issuer, "jti": secrets.token_urlsafe()}
        key = ECKey.import_key(self.server.keys[0])
        return jwt.encode({"alg": "ES256", "kid": "one"}, {**own, "iat": now, "exp": now + 60, **claims}, key)

    def proof(self, method: str, url: str, token: str | None = None, **claims: Any) -> str:
        own: dict[str, Any] = {"htm": method, "htu": url, "jti": secrets.token_urlsafe(), "iat": int(time.time())}
        if token is not None:
            own["ath"] = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        head = {"alg": "ES256", "typ": "dpop+jwt", "jwk": self.key.as_dict(private=False)}
        return jwt.encode(head, {**own, **claims}, self.key)

    def post(self, url: str, *, proof: str = "", **fields: Any) -> Any:
        own = {
            "client_id": self.server.clients[self.client],
            "client_assertion_type": JWT_BEARER,
            "client_assertion": self.assertion(),
        }
        headers = {"DPoP": proof or self.proof("POST", url)}
        return self.http.post(url, data={**own, **fields}, headers=headers, timeout=20)

    def token(self, **fields: Any) -> str:
        answer = self.post(self.server.token_url, **{"grant_type": "client_credentials", "scope": "api", **fields})
        assert 200 == answer.status_code, answer.text
        return str(answer.json()["access_token"])

    def api(self, token: str, proof: str = "", *, path: str = "", scheme: str = "DPoP") -> requests.Response:
        url = self.server.api_url + path
        headers = {"Authorization": f"{scheme} {token}", "DPoP": proof or self.proof("GET", url, token)}
        return self.http.get(url, headers=headers, allow_redirects=False, timeout=20)

    def challenge(self, token: str, **claims: Any) -> str:
        """Return the error of the API's challenge to a proof that has these claims."""
        return self.error(self.api(token, self.proof("GET", self.server.api_url, token, **claims)))

    def error(self, answer: requests.Response) -> str:
        assert 401 == answer.status_code
        return answer.headers["WWW-Authenticate"].partition('error="')[2].partition('"')[0]

    def log_in(self, **fields: Any) -> dict[str, Any]:
        """Have a person log in, by a pushed request, and return the tokens."""
        request = {
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "scope": "openid api",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        pushed = self.post(self.server.pushed_authorization_request_url, **request, **fields)
        assert 201 == pushed.status_code, pushed.text
        query = f"client_id={self.server.clients[self.client]}&request_uri={pushed.json()['request_uri']}"
        code = parse_qs(urlsplit(authorize(f"{self.server.authorization_url}?{query}", REDIRECT_URI)).query)["code"][0]
        answer = self.post(
            self.server.token_url,
            grant_type="authorization_code",
            code=code,
            redirect_uri=REDIRECT_URI,
            code_verifier=VERIFIER,
        )
        assert 200 == answer.status_code, answer.text
        return dict(answer.json())


def test_assertions_and_proofs_are_good_once(caller: Caller) -> None:
    """Over all endpoints, and even where the answer was lost."""
    server = caller.server
    assertion, proof = caller.assertion(), caller.proof("POST", server.token_url)
    server.refuse("token", 503)
    assert (
        503
        == caller.post(
            server.token_url, client_assertion=assertion, proof=proof, grant_type="client_credentials"
        ).status_code
    )
    for url in (server.token_url, server.introspection_url):
        answer = caller.post(url, client_assertion=assertion, grant_type="client_credentials", token="x")
        assert (401, "invalid_client") == (answer.status_code, answer.json()["error"])
    answer = caller.post(server.token_url, proof=proof, grant_type="client_credentials")
    assert (400, "invalid_grant") == (answer.status_code, answer.json()["error"])
    assert 4 == len(server.calls())


def test_fapi_takes_the_issuer_alone(caller: Caller) -> None:
    """As an audience; others take URLs, too."""
    for client, audience, status in (
        ("key", caller.server.token_url, 200),
        ("fapi", caller.server.token_url, 401),
        ("fapi", caller.server.issuer, 200),
    ):
        caller.client = client
        answer = caller.post(
            caller.server.token_url, client_assertion=caller.assertion(aud=audience), grant_type="client_credentials"
        )
        assert status == answer.status_code


def test_the_api_judges_proofs(caller: Caller) -> None:
    """Each thing that can be wrong with one is an error of its own kind."""
    token = caller.token()
    assert 200 == caller.api(token).status_code
    for claims in ({"htm": "POST"}, {"htu": "http://127.0.0.1/api"}, {"ath": "x"}, {"iat": 1}):
        assert "invalid_dpop_proof" == caller.challenge(token, **claims), claims
    proof = caller.proof("GET", caller.server.api_url, token)
    assert [200, 401] == [caller.api(token, proof).status_code for _ in range(2)]
    assert "invalid_token" == caller.error(caller.api(token, scheme="Bearer"))
    caller.key = ECKey.generate_key("P-256")
    assert "invalid_token" == caller.challenge(token)
    assert 1 == len(
        [one for one in caller.server.api_requests() if one.error == "invalid_token" and one.scheme == "DPoP"]
    )


def test_nonces_turn(caller: Caller) -> None:
    """At each API for itself; a new one may be handed out while the others are still good."""
    server, token = caller.server, caller.token()
    server.turn_nonce()
    refused = caller.api(token)
    nonce = refused.headers["DPoP-Nonce"]
    assert "use_dpop_nonce" == caller.error(refused)

    def own() -> str:
        return caller.proof("GET", server.api_url, token, nonce=nonce)

    accepted = caller.api(token, own())
    assert (200, None) == (accepted.status_code, accepted.headers.get("DPoP-Nonce"))
    server.turn_nonce(keeps_others=True)
    accepted = caller.api(token, own())
    assert 200 == accepted.status_code
    assert accepted.headers["DPoP-Nonce"] not in {None, nonce}
    server.turn_nonce()
    assert "use_dpop_nonce" == caller.error(caller.api(token, own()))
    assert [] == server.api_requests("other_api")
    server.use_nonces("required")
    answer = caller.post(server.token_url, grant_type="client_credentials")
    assert (400, "use_dpop_nonce") == (answer.status_code, answer.json()["error"])
    proof = caller.proof("POST", server.token_url, nonce=answer.headers["DPoP-Nonce"])
    assert 200 == caller.post(server.token_url, proof=proof, grant_type="client_credentials").status_code


def test_which_is_judged_first(caller: Caller) -> None:
    """An API may look at the token before it looks at the nonce, or the other way round."""
    token = caller.token()
    caller.server.revoke_access_tokens()
    caller.server.turn_nonce()
    assert "use_dpop_nonce" == caller.challenge(token)
    caller.server.look_first_at("token")
    assert "invalid_token" == caller.challenge(token)


def test_the_clock_is_another(caller: Caller) -> None:
    """Proofs are judged by it, and answers show it."""
    token = caller.token()
    caller.server.set_clock_ahead(400)
    assert "invalid_dpop_proof" == caller.challenge(token)
    assert (
        200
        == caller.api(token, caller.proof("GET", caller.server.api_url, token, iat=int(time.time()) + 400)).status_code
    )
    caller.server.use_nonces("none")
    assertion = caller.assertion(exp=int(time.time()) + 1000)
    answer = caller.post(caller.server.token_url, client_assertion=assertion, grant_type="client_credentials")
    assert (400, "invalid_dpop_proof") == (answer.status_code, answer.json()["error"])


def test_faults(caller: Caller) -> None:
    """The next requests to one place are refused, or dropped, as a test says."""
    server, token = caller.server, caller.token()
    server.refuse("token", 0, is_handled=False)
    with pytest.raises(requests.ConnectionError):
        caller.token()
    assert server.calls("token")[-1].fields is None
    server.refuse("token", 400, "use_dpop_nonce", count=2)
    for _ in range(2):
        answer = caller.post(server.token_url, grant_type="client_credentials")
        assert "use_dpop_nonce" == answer.json()["error"]
        assert answer.headers["DPoP-Nonce"]
    server.refuse("api", 401, "use_dpop_nonce")
    assert ["use_dpop_nonce", None] == [
        server.api_requests()[-1].error for _ in range(2) if caller.api(token) is not None
    ]


def test_a_login_of_fapi(caller: Caller) -> None:
    """A pushed request with a proof; details, a resource, and a refresh token that's used again."""
    caller.client = "fapi"
    details = [{"type": "payment", "amount": "5"}]
    tokens = caller.log_in(resource=caller.server.resources[0], authorization_details=json.dumps(details))
    assert ("DPoP", details) == (tokens["token_type"], tokens["authorization_details"])
    for _ in range(2):
        refreshed = caller.post(
            caller.server.token_url, grant_type="refresh_token", refresh_token=tokens["refresh_token"]
        ).json()
        assert tokens["refresh_token"] == refreshed["refresh_token"]
        assert 200 == caller.api(refreshed["access_token"]).status_code
    known = caller.post(caller.server.introspection_url, token=refreshed["access_token"]).json()
    assert (True, caller.key.thumbprint(), details) == (
        known["active"],
        known["cnf"]["jkt"],
        known["authorization_details"],
    )


def test_what_must_be_pushed_or_signed(caller: Caller) -> None:
    """Some clients are refused otherwise."""
    query = f"response_type=code&redirect_uri={REDIRECT_URI}&code_challenge={CHALLENGE}&code_challenge_method=S256"
    for client in ("fapi", "pushing", "signing"):
        url = f"{caller.server.authorization_url}?client_id={caller.server.clients[client]}&scope=openid&{query}"
        assert "error=invalid_request" in authorize(url, REDIRECT_URI)


def test_fresh_and_strong_logins(caller: Caller) -> None:
    """An API may want either; people log in as it's asked for, or not more strongly than a test says."""
    strong = {"acr_values": "phishing-resistant"}
    weak_token, strong_token = caller.log_in()["access_token"], caller.log_in(**strong)["access_token"]
    caller.server.want_login(**strong)
    refused = caller.api(weak_token)
    assert "insufficient_user_authentication" == caller.error(refused)
    assert 'acr_values="phishing-resistant"' in refused.headers["WWW-Authenticate"]
    assert 200 == caller.api(strong_token).status_code
    caller.server.limit_logins("password")
    assert "insufficient_user_authentication" == caller.challenge(caller.log_in(**strong)["access_token"])
    caller.server.want_login(max_age=10)
    assert 200 == caller.api(strong_token).status_code
    caller.server.set_clock_ahead(20)
    assert "insufficient_user_authentication" == caller.challenge(strong_token, iat=int(time.time()) + 20)


def test_other_peoples_tokens(caller: Caller) -> None:
    """Tokens are exchanged for bound ones, and so are assertions of an issuer's, once each."""
    subject = caller.token()
    exchanged = caller.token(grant_type=EXCHANGE, subject_token=subject, subject_token_type=ACCESS_TOKEN)
    assert 200 == caller.api(exchanged).status_code
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": caller.assertion(sub="bob")}
    assert 200 == caller.api(caller.token(**grant)).status_code
    assert "invalid_grant" == caller.post(caller.server.token_url, **grant).json()["error"]


def test_certificates(tmp_path: Path) -> None:
    """Tokens are bound to them; a renewed one is the same client, and another certificate to its tokens."""
    authority = Authority(tmp_path)
    first, renewed, unknown = authority.issue("client"), authority.issue("client"), authority.issue("other")
    own = self_signed(tmp_path, "own")
    with SecureProvider(authority, first, (own,)) as server, requests.Session() as http:
        http.trust_env, http.verify = False, str(authority.certificate)

        def token(client: str, certificate: Certificate | None, url: str = "") -> Any:
            fields = {"grant_type": "client_credentials", "client_id": server.clients[client]}
            return http.post(url or aliases["token_endpoint"], data=fields, cert=files(certificate), timeout=20)

        def api(token: str, certificate: Certificate | None) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return http.get(server.certified_api_url, headers=headers, cert=files(certificate), timeout=20).status_code

        aliases = http.get(f"{server.issuer}/.well-known/openid-configuration").json()["mtls_endpoint_aliases"]
        assert server.certified_url == aliases["pushed_authorization_request_endpoint"].removesuffix("/request")
        for client, certificate in (("tls", first), ("fapi_tls", renewed), ("self_signed", own)):
            bound = token(client, certificate).json()["access_token"]
            assert 200 == api(bound, certificate)
            assert [401, 401] == [api(bound, unknown), api(bound, None)]
            assert certificate.thumbprint == server.calls("token")[-1].certificate
            for wrong in (unknown, None):
                assert 401 == token(client, wrong).status_code
        assert first.subject == renewed.subject != unknown.subject
        assert 401 == api(token("tls", first).json()["access_token"], renewed)
        assert 401 == token("tls", first, server.token_url).status_code  # there nobody asks for certificates
        renewed.copy_over(first)
        assert renewed.thumbprint == first.thumbprint


def files(certificate: Certificate | None) -> tuple[str, str] | None:
    return None if certificate is None else (str(certificate.certificate), str(certificate.private_key))
