"""The harness keeps what it says, measured with plain `requests` and none of our own code."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, quote_plus, urlencode, urlsplit

import pytest
import requests

from .login import LoginFailed, approve_device, authorize
from .node_server import RegisteredClient
from .oidc_provider import OidcProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REDIRECT_URI = "http://127.0.0.1:49152/callback"
CONFIDENTIAL = ["basic", "special", "plus", "post"]


@pytest.fixture
def server(oidc: OidcProvider) -> OidcProvider:
    oidc.reset()
    return oidc


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def basic(client_id: str, secret: str, encode: Callable[[str], str] = quote_plus) -> dict[str, str]:
    """Credentials by RFC 6749 §2.3.1; `encode=str` leaves the encoding out."""
    joined = f"{encode(client_id)}:{encode(secret)}".encode()
    return {"Authorization": "Basic " + base64.b64encode(joined).decode()}


class Caller:
    """A client that authenticates as it is registered."""

    def __init__(self, server: OidcProvider, http: requests.Session, name: str) -> None:
        self.server, self.http, self.name = server, http, name
        self.client: RegisteredClient = getattr(server, name)

    def post(self, url: str, **fields: str) -> requests.Response:
        headers = {}
        if self.name == "public":
            fields["client_id"] = self.client.client_id
        elif self.name == "post":
            fields |= {"client_id": self.client.client_id, "client_secret": self.client.secret}
        else:
            headers = basic(self.client.client_id, self.client.secret)
        return self.http.post(url, data=fields, headers=headers)

    def token(self, grant_type: str, **fields: str) -> requests.Response:
        return self.post(self.server.token_url, grant_type=grant_type, **fields)

    def tokens(self, grant_type: str, **fields: str) -> dict[str, Any]:
        response = self.token(grant_type, **fields)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def tokens_of_alice(self, scope: str = "openid offline_access") -> dict[str, Any]:
        return self.tokens("password", username="alice", password="x", scope=scope)

    def api(self, access_token: str, method: str = "GET", path: str = "", **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {access_token}"}
        return self.http.request(method, self.server.api_url + path, headers=headers, **options)


@pytest.fixture
def caller(server: OidcProvider, http: requests.Session) -> Caller:
    return Caller(server, http, "basic")


def refusal(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


# --- Client authentication ---


@pytest.mark.parametrize("name", CONFIDENTIAL)
def test_client_credentials(server: OidcProvider, http: requests.Session, name: str) -> None:
    """Each confidential client gets a token by its registered method, and the API takes it."""
    caller = Caller(server, http, name)
    token = caller.tokens("client_credentials", scope="api")
    assert token.keys() == {"access_token", "expires_in", "scope", "token_type"}
    assert (token["expires_in"], token["scope"], token["token_type"]) == (3600, "api", "Bearer")
    assert caller.api(token["access_token"]).status_code == 200


@pytest.mark.parametrize("encode", [quote_plus, lambda text: quote(text, safe="")], ids=["plus", "percent-20"])
def test_encoded_special_characters(server: OidcProvider, http: requests.Session, encode: Callable[[str], str]) -> None:
    """Encoded Basic credentials are decoded, with a space as `+` and as `%20`."""
    headers = basic(server.special.client_id, server.special.secret, encode)
    response = http.post(server.token_url, data={"grant_type": "client_credentials"}, headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("name", "expected"), [("special", (400, "invalid_request")), ("plus", (401, "invalid_client"))]
)
def test_unencoded_special_characters(
    server: OidcProvider, http: requests.Session, name: str, expected: tuple[int, str]
) -> None:
    """Unencoded credentials are refused: as malformed where no decoding exists, else as a wrong secret."""
    client = Caller(server, http, name).client
    headers = basic(client.client_id, client.secret, str)
    response = http.post(server.token_url, data={"grant_type": "client_credentials"}, headers=headers)
    assert refusal(response) == expected


def test_wrong_secret(server: OidcProvider, http: requests.Session) -> None:
    """A wrong secret is `invalid_client` with 401, and a challenge only where Basic was used."""
    fields = {"grant_type": "client_credentials"}
    by_basic = http.post(server.token_url, data=fields, headers=basic(server.basic.client_id, "wrong"))
    assert refusal(by_basic) == (401, "invalid_client")
    assert by_basic.headers["WWW-Authenticate"].startswith("Basic ")

    fields |= {"client_id": server.post.client_id, "client_secret": "wrong"}
    by_post = http.post(server.token_url, data=fields)
    assert refusal(by_post) == (401, "invalid_client")
    assert "WWW-Authenticate" not in by_post.headers


def test_public_client_has_no_token_of_its_own(server: OidcProvider, http: requests.Session) -> None:
    """A public client can't use client credentials."""
    assert refusal(Caller(server, http, "public").token("client_credentials")) == (
        400,
        "invalid_request",
    )


# --- Authorization code, refresh, password, device ---


def authorization_request(caller: Caller, **parameters: str) -> str:
    query = {
        "response_type": "code",
        "client_id": caller.client.client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": "openid offline_access api",
        "prompt": "consent",
        "state": "some-state",
    }
    return f"{caller.server.authorization_url}?{urlencode(query | parameters)}"


def log_in(caller: Caller) -> dict[str, str]:
    """Return the fields of the token request that redeems the code of a login with PKCE."""
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    url = authorization_request(caller, code_challenge=challenge, code_challenge_method="S256")
    redirected = authorize(url, REDIRECT_URI)
    answer = {name: values[0] for name, values in parse_qs(urlsplit(redirected).query).items()}
    assert answer.keys() == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == ("some-state", caller.server.issuer)
    return {"code": answer["code"], "redirect_uri": REDIRECT_URI, "code_verifier": verifier}


@pytest.mark.parametrize("name", [*CONFIDENTIAL, "public"])
def test_authorization_code(server: OidcProvider, http: requests.Session, name: str) -> None:
    """Each client gets access and refresh token for a code with PKCE, on a port that wasn't registered."""
    caller = Caller(server, http, name)
    tokens = caller.tokens("authorization_code", **log_in(caller))
    assert {"access_token", "refresh_token", "id_token"} <= tokens.keys()
    assert caller.api(tokens["access_token"]).status_code == 200
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert http.get(server.userinfo_url, headers=headers).json() == {"sub": "alice"}
    refreshed = caller.tokens("refresh_token", refresh_token=tokens["refresh_token"])
    assert refreshed["refresh_token"] != tokens["refresh_token"]


def test_code_is_good_once(caller: Caller) -> None:
    """A second use of a code is refused, and ends what the first one got."""
    fields = log_in(caller)
    tokens = caller.tokens("authorization_code", **fields)
    assert refusal(caller.token("authorization_code", **fields)) == (400, "invalid_grant")
    assert caller.api(tokens["access_token"]).status_code == 401
    again = caller.token("refresh_token", refresh_token=tokens["refresh_token"])
    assert refusal(again) == (400, "invalid_grant")


def test_wrong_verifier(caller: Caller) -> None:
    """A code with another verifier is refused, and stays good for the right one."""
    fields = log_in(caller)
    wrong = fields | {"code_verifier": secrets.token_urlsafe(32)}
    assert refusal(caller.token("authorization_code", **wrong)) == (400, "invalid_grant")
    assert caller.token("authorization_code", **fields).status_code == 200


def test_public_client_needs_pkce(server: OidcProvider, http: requests.Session) -> None:
    """A public client's request without a challenge is redirected back with an error."""
    redirected = authorize(authorization_request(Caller(server, http, "public")), REDIRECT_URI)
    answer = parse_qs(urlsplit(redirected).query)
    assert (answer["error"], answer["state"]) == (["invalid_request"], ["some-state"])


def test_login_that_the_server_refuses(caller: Caller) -> None:
    """A refusal shown to the person is an error, not an endless walk."""
    with pytest.raises(LoginFailed, match="status 400"):
        authorize(
            authorization_request(caller, redirect_uri="http://127.0.0.1/other"),
            "http://127.0.0.1/other",
        )


def test_password(caller: Caller) -> None:
    """Username and password give access and refresh token; a wrong password is `invalid_grant`."""
    tokens = caller.tokens_of_alice()
    assert caller.api(tokens["access_token"]).status_code == 200
    assert "refresh_token" in caller.tokens("refresh_token", refresh_token=tokens["refresh_token"])
    wrong = caller.token("password", username="alice", password="y")
    assert refusal(wrong) == (400, "invalid_grant")


def test_password_without_scope(caller: Caller) -> None:
    """A token without any scope can be refreshed too."""
    tokens = caller.tokens("password", username="alice", password="x")
    assert "scope" not in tokens
    assert caller.tokens("refresh_token", refresh_token=tokens["refresh_token"])


def test_spent_refresh_token_ends_the_family(caller: Caller) -> None:
    """Reuse of a rotated refresh token is refused, and ends the new tokens of the family."""
    first = caller.tokens_of_alice()
    second = caller.tokens("refresh_token", refresh_token=first["refresh_token"])
    assert caller.api(second["access_token"]).status_code == 200
    for spent_or_ended in (first, second):
        again = caller.token("refresh_token", refresh_token=spent_or_ended["refresh_token"])
        assert refusal(again) == (400, "invalid_grant")
    assert caller.api(second["access_token"]).status_code == 401


@pytest.mark.parametrize("name", ["basic", "public"])
def test_device(server: OidcProvider, http: requests.Session, name: str) -> None:
    """A device code is pending until somebody approves it, and then gives tokens once."""
    caller = Caller(server, http, name)
    response = caller.post(server.device_authorization_url, scope="openid offline_access")
    assert response.status_code == 200, response.text
    grant, code = "urn:ietf:params:oauth:grant-type:device_code", response.json()
    assert refusal(caller.token(grant, device_code=code["device_code"])) == (
        400,
        "authorization_pending",
    )
    approve_device(code["verification_uri_complete"])
    tokens = caller.tokens(grant, device_code=code["device_code"])
    assert "refresh_token" in tokens
    assert caller.api(tokens["access_token"]).status_code == 200
    assert refusal(caller.token(grant, device_code=code["device_code"])) == (400, "invalid_grant")


# --- Revocation, introspection, discovery ---


def test_revoked_refresh_token(caller: Caller) -> None:
    """Revoking a refresh token ends the family; revoking it again is no error."""
    tokens = caller.tokens_of_alice()
    for _ in range(2):
        assert caller.post(caller.server.revocation_url, token=tokens["refresh_token"]).status_code == 200
    assert caller.api(tokens["access_token"]).status_code == 401
    again = caller.token("refresh_token", refresh_token=tokens["refresh_token"])
    assert refusal(again) == (400, "invalid_grant")


def test_revoked_access_token(caller: Caller) -> None:
    """Revoking an access token ends its refresh token as well."""
    tokens = caller.tokens_of_alice()
    assert caller.post(caller.server.revocation_url, token=tokens["access_token"]).status_code == 200
    assert caller.api(tokens["access_token"]).status_code == 401
    again = caller.token("refresh_token", refresh_token=tokens["refresh_token"])
    assert refusal(again) == (400, "invalid_grant")


def test_introspection(caller: Caller) -> None:
    """A live token is active, an unknown one isn't."""
    token = caller.tokens("client_credentials", scope="api")["access_token"]
    url = caller.server.introspection_url
    assert caller.post(url, token=token).json()["active"] is True
    assert caller.post(url, token="unknown").json() == {"active": False}


@pytest.mark.parametrize("document", ["openid-configuration", "oauth-authorization-server"])
def test_discovery(server: OidcProvider, http: requests.Session, document: str) -> None:
    """Both metadata documents name the endpoints that the harness names."""
    metadata = http.get(f"{server.issuer}/.well-known/{document}").json()
    assert metadata["issuer"] == server.issuer
    assert metadata["authorization_response_iss_parameter_supported"] is True
    names = {
        "authorization_endpoint": server.authorization_url,
        "token_endpoint": server.token_url,
        "device_authorization_endpoint": server.device_authorization_url,
        "introspection_endpoint": server.introspection_url,
        "revocation_endpoint": server.revocation_url,
        "userinfo_endpoint": server.userinfo_url,
    }
    assert names == {name: metadata[name] for name in names}


# --- The protected resources ---


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_api_answers_what_it_got(caller: Caller, method: str) -> None:
    """Any method and subpath is answered with the digest of the body."""
    token = caller.tokens("client_credentials")["access_token"]
    body = os.urandom(100_000)
    response = caller.api(token, method, "/some/path?query", data=body)
    expected = {"method": method, "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    assert response.json() == expected


def test_api_challenges(caller: Caller) -> None:
    """No token, a wrong one and one with too narrow a scope get the challenges of RFC 6750 §3."""
    no_token = caller.http.get(caller.server.api_url)
    assert (no_token.status_code, no_token.headers["WWW-Authenticate"]) == (
        401,
        'Bearer realm="api"',
    )

    wrong = caller.api("wrong", "POST", data=b"body")
    assert refusal(wrong) == (401, "invalid_token")
    assert wrong.headers["WWW-Authenticate"].startswith('Bearer realm="api", error="invalid_token"')

    narrow = caller.api(caller.tokens("client_credentials", scope="api")["access_token"], path="/admin/x")
    assert refusal(narrow) == (403, "insufficient_scope")
    challenge = 'Bearer realm="api", error="insufficient_scope", scope="admin"'
    assert narrow.headers["WWW-Authenticate"] == challenge

    wide = caller.tokens("client_credentials", scope="api admin")["access_token"]
    assert caller.api(wide, path="/admin/x").status_code == 200


def test_userinfo_challenges(caller: Caller) -> None:
    """The provider's own resource refuses an unknown token with 401 and one without `openid` with 403."""
    url = caller.server.userinfo_url
    unknown = caller.http.get(url, headers={"Authorization": "Bearer unknown"})
    assert refusal(unknown) == (401, "invalid_token")
    narrow = caller.tokens_of_alice(scope="api")["access_token"]
    response = caller.http.get(url, headers={"Authorization": f"Bearer {narrow}"})
    assert refusal(response) == (403, "insufficient_scope")


# --- Controls ---


def test_access_token_lifetime(caller: Caller) -> None:
    """The control sets the lifetime of later tokens, until the reset."""
    caller.server.set_access_token_lifetime(7)
    assert caller.tokens("client_credentials")["expires_in"] == 7
    assert caller.tokens_of_alice()["expires_in"] == 7
    caller.server.reset()
    assert caller.tokens("client_credentials")["expires_in"] == 3600
    with pytest.raises(ValueError, match="whole number"):
        caller.server.set_access_token_lifetime(0)


def test_expiry(caller: Caller) -> None:
    """An expired access token is rejected, an expired refresh token is `invalid_grant`."""
    caller.server.set_access_token_lifetime(1)
    caller.server.set_refresh_token_lifetime(1)
    tokens = caller.tokens_of_alice()
    # Asked until it changes: the server's clock can't be moved from here. The refresh token was issued
    # last, so that it expires no earlier than the access token; asking about it doesn't spend it.
    while caller.post(caller.server.introspection_url, token=tokens["refresh_token"]).json()["active"]:
        pass
    assert refusal(caller.api(tokens["access_token"])) == (401, "invalid_token")
    again = caller.token("refresh_token", refresh_token=tokens["refresh_token"])
    assert refusal(again) == (400, "invalid_grant")


def test_revoke_access_tokens(caller: Caller) -> None:
    """All access tokens issued so far are rejected; refresh tokens and later tokens aren't."""
    own, of_alice = caller.tokens("client_credentials"), caller.tokens_of_alice()
    caller.server.revoke_access_tokens()
    assert caller.api(own["access_token"]).status_code == 401
    assert caller.api(of_alice["access_token"]).status_code == 401
    renewed = caller.tokens("refresh_token", refresh_token=of_alice["refresh_token"])
    assert caller.api(renewed["access_token"]).status_code == 200


def test_counters(caller: Caller) -> None:
    """Token and API requests are counted, refused ones included, from the reset on."""
    server = caller.server
    assert (server.token_requests, server.api_requests) == (0, 0)
    token = caller.tokens("client_credentials")["access_token"]
    caller.token("password", username="alice", password="y")
    caller.post(server.revocation_url, token=token)
    caller.api(token)
    assert (server.token_requests, server.api_requests) == (2, 1)
    server.reset()
    assert (server.token_requests, server.api_requests) == (0, 0)


def test_issuers_with_a_path(server: OidcProvider, http: requests.Session) -> None:
    """Each has its metadata at one place, where it names itself; tokens are good at all, and calls are counted."""
    oauth, openid = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
    places = {
        server.openid_issuer: f"{server.openid_issuer}{openid}",
        server.rfc8414_issuer: f"{server.issuer}{oauth}/rfc8414/tenant",
    }
    for issuer, place in places.items():
        path = issuer.removeprefix(server.issuer)
        all_places = [f"{issuer}{openid}", f"{server.issuer}{oauth}{path}", f"{issuer}{oauth}"]
        assert [place] == [url for url in all_places if http.get(url).status_code == 200]
        metadata = http.get(place).json()
        assert (issuer, f"{issuer}/token") == (metadata["issuer"], metadata["token_endpoint"])
        answer = http.post(
            metadata["token_endpoint"],
            data={"grant_type": "client_credentials"},
            auth=(server.basic.client_id, server.basic.secret),
        )
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert 200 == http.get(server.api_url, headers=headers).status_code
    assert 2 == server.token_requests
