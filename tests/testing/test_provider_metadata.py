"""What `LocalProvider` tells of tokens (RFC 7662) and of itself (RFC 8414, OpenID Discovery, RFC 9728)."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.discovery import OpenIDProviderMetadata
from freezegun import freeze_time

from oauth_auth.testing import LocalProvider

from .bare_client import DEVICE, BareClient, refusal

INACTIVE = {"active": False}


# Introspection


def test_an_access_token_is_told(client: BareClient) -> None:
    """A user's access token: whose it is, from whom, what for, and until when."""
    provider, before = client.provider, int(time.time())
    answer = client.introspect(client.password(scope="read write").json()["access_token"])
    assert (200, "no-store") == (answer.status_code, answer.headers["Cache-Control"])
    fields = answer.json()
    issued_at = fields.pop("iat")
    assert before <= fields.pop("auth_time") <= issued_at <= time.time()
    assert {
        "active": True,
        "iss": provider.issuer,
        "client_id": provider.client_id,
        "scope": "read write",
        "username": provider.username,
        "sub": provider.username,
        "token_type": "Bearer",
        "exp": issued_at + 3600,
    } == fields


def test_what_is_not_known_is_not_told(client: BareClient) -> None:
    """A program's token has no user, one that was asked for without a scope has none, and not all expire."""
    client.provider.token_lifetime = None
    fields = client.introspect(client.token().json()["access_token"]).json()
    assert {"active", "iss", "client_id", "token_type", "iat"} == fields.keys()


def test_a_refresh_token_is_told(client: BareClient) -> None:
    """A refresh token has all that was granted, where an access token may have less; it's no Bearer token."""
    first = client.password(scope="read write").json()
    second = client.refresh(first["refresh_token"], scope="read").json()
    assert "read" == client.introspect(second["access_token"]).json()["scope"]
    fields = client.introspect(second["refresh_token"]).json()
    assert {"active", "iss", "client_id", "scope", "username", "sub"} == fields.keys()
    assert (True, "read write") == (fields["active"], fields["scope"])
    assert INACTIVE == client.introspect(first["refresh_token"]).json()  # spent


def test_dead_tokens_are_inactive(client: BareClient) -> None:
    """Of a token that's unknown, revoked or expired nothing else is told (section 2.2)."""
    moment = 0.0
    client.provider._now = lambda: moment
    revoked, ended, expired = (client.password().json() for _ in range(3))
    client.revoke(revoked["access_token"])
    client.revoke(ended["refresh_token"])
    assert client.introspect(revoked["refresh_token"]).json()["active"]
    assert client.introspect(expired["access_token"]).json()["active"]
    moment = 3600.0
    for token in ("unknown", revoked["access_token"], *(ended[name] for name in ("access_token", "refresh_token"))):
        assert INACTIVE == client.introspect(token).json()
    assert INACTIVE == client.introspect(expired["access_token"]).json()
    fresh = client.token().json()["access_token"]
    client.provider.revoke_access_tokens()
    assert INACTIVE == client.introspect(fresh).json()


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense"])
def test_an_introspection_s_hint_is_no_more_than_a_hint(client: BareClient, hint: str) -> None:
    """A token is found whatever kind it was said to be (section 2.1)."""
    tokens = client.password().json()
    for name in ("access_token", "refresh_token"):
        assert client.introspect(tokens[name], token_type_hint=hint).json()["active"]


def test_introspection_needs_the_secret(client: BareClient) -> None:
    """Nobody may try tokens out (section 2.1): a client without its secret is refused, and so is a bare question."""
    token = client.token().json()["access_token"]
    assert (400, "invalid_request") == refusal(client.introspect(""))
    client.basic = None
    assert (401, "invalid_client") == refusal(client.introspect(token, client_id=client.provider.client_id))
    own = {"client_id": client.provider.client_id, "client_secret": client.provider.client_secret}
    assert client.introspect(token, **own).json()["active"]


def test_introspection_tells_the_server_s_time(client: BareClient) -> None:
    """A frozen clock of the client moves neither issue nor expiry."""
    before = int(time.time())
    with freeze_time("2001-01-01"):
        fields = client.introspect(client.token().json()["access_token"]).json()
    assert before <= fields["iat"] <= time.time()


# Metadata


def test_both_documents_of_the_server_are_valid(client: BareClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of RFC 8414 and OpenID Discovery are of one issuer, agree, and have all that they must."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # older versions of Authlib want https on loopback, too
    documents: list[dict[str, Any]] = [
        client.session.get(f"{client.provider.issuer}/.well-known/{name}").json()
        for name in ("oauth-authorization-server", "openid-configuration")
    ]
    oauth, openid = documents
    AuthorizationServerMetadata(oauth).validate()
    OpenIDProviderMetadata(openid).validate()
    assert oauth == {name: openid[name] for name in oauth}
    assert client.provider.issuer == oauth["issuer"]
    assert {"keys": []} == client.session.get(openid["jwks_uri"]).json()


def test_metadata_names_all_endpoints(client: BareClient) -> None:
    """Each endpoint that the metadata names is there, and each URL that the test can ask for is named."""
    provider = client.provider
    metadata = client.session.get(f"{provider.issuer}/.well-known/oauth-authorization-server").json()
    endpoints = {name: url for name, url in metadata.items() if name.endswith("_endpoint")}
    assert {
        "authorization_endpoint": provider.authorization_url,
        "pushed_authorization_request_endpoint": provider.pushed_authorization_request_url,
        "token_endpoint": provider.token_url,
        "device_authorization_endpoint": provider.device_authorization_url,
        "revocation_endpoint": provider.revocation_url,
        "introspection_endpoint": provider.introspection_url,
        "registration_endpoint": provider.registration_url,
    } == endpoints
    assert 404 not in {client.session.post(url).status_code for url in endpoints.values()}
    assert DEVICE in metadata["grant_types_supported"]
    assert "none" not in metadata["introspection_endpoint_auth_methods_supported"]


def test_metadata_tells_what_is_taken(client: BareClient) -> None:
    """Algorithms of proofs, assertions and request objects, the ways to authenticate, and all grants."""
    metadata = client.session.get(f"{client.provider.issuer}/.well-known/oauth-authorization-server").json()
    for what in ("dpop", "token_endpoint_auth", "request_object"):
        assert {"ES256", "EdDSA", "PS256", "RS256"} <= {*metadata[f"{what}_signing_alg_values_supported"]}
    assert "HS256" in metadata["token_endpoint_auth_signing_alg_values_supported"]
    assert "HS256" not in metadata["dpop_signing_alg_values_supported"]
    ways = {"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"}
    assert ways == {*metadata["token_endpoint_auth_methods_supported"]}
    for grant in ("token-exchange", "jwt-bearer"):
        assert f"urn:ietf:params:oauth:grant-type:{grant}" in metadata["grant_types_supported"]
    assert metadata["request_parameter_supported"]
    assert metadata["authorization_response_iss_parameter_supported"]
    demands = "require_pushed_authorization_requests", "require_signed_request_object"
    assert [False, False] == [metadata[name] for name in demands]


def test_the_api_s_metadata(client: BareClient) -> None:
    """The API names its authorization server (RFC 9728), which names it in turn."""
    provider = client.provider
    metadata = client.session.get(provider.resource_metadata_url).json()
    assert (provider.api_url, [provider.issuer]) == (metadata["resource"], metadata["authorization_servers"])
    assert ["header"] == metadata["bearer_methods_supported"]
    server = client.session.get(f"{provider.issuer}/.well-known/oauth-authorization-server").json()
    assert [provider.api_url] == server["protected_resources"]


@pytest.mark.parametrize("path", ["", "/items/1"])
@pytest.mark.parametrize("kind", ["no token", "bad token", "on demand"])
def test_a_challenge_leads_to_the_metadata(path: str, kind: str, client: BareClient) -> None:
    """Each 401 of the API names its metadata once (section 5.1), below it, too."""
    headers = {} if kind == "no token" else {"Authorization": "Bearer x"}
    if kind == "on demand":
        client.provider.fail_api_requests(401)
        headers = {"Authorization": f"Bearer {client.token().json()['access_token']}"}
    answer = client.session.get(client.provider.api_url + path, headers=headers)
    found = re.findall('resource_metadata="([^"]*)"', answer.headers["WWW-Authenticate"])
    assert (401, [client.provider.resource_metadata_url]) == (answer.status_code, found)
    assert ('error="invalid_token"' in answer.headers["WWW-Authenticate"]) == (kind != "no token")


def test_a_failure_can_be_planned_before_the_start(client: BareClient) -> None:
    """A challenge names URLs of a server that may not have begun when it's asked for."""
    provider = LocalProvider()
    provider.fail_api_requests(401)
    with provider:
        challenge = client.session.get(provider.api_url).headers["WWW-Authenticate"]
        assert provider.resource_metadata_url in challenge
