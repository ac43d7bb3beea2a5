"""What tokens must be for at `LocalProvider`'s API: scopes (RFC 6750), and the resource itself (RFC 8707)."""

from __future__ import annotations

import pytest
import requests

from oauth_auth.testing import LocalProvider

from .bare_client import BareClient, redirected, refusal

TOO_LITTLE = (403, "insufficient_scope")


def api(client: BareClient, path: str, token: str | None) -> requests.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return client.session.get(client.provider.api_url + path, headers=headers)


def token(client: BareClient, **fields: str) -> str:
    return str(client.token(**fields).json()["access_token"])


# Scopes


def test_scopes_are_listed(client: BareClient) -> None:
    """The server lists all, the API those that are for it; by default none are listed."""
    urls = [
        client.provider.resource_metadata_url,
        *(
            f"{client.provider.issuer}/.well-known/{name}"
            for name in ("oauth-authorization-server", "openid-configuration")
        ),
    ]
    assert not any("scopes_supported" in client.session.get(url).json() for url in urls)
    client.provider.scopes_supported = ("read", "offline_access", "write")
    lists = [client.session.get(url).json()["scopes_supported"] for url in urls]
    assert [["read", "write"], *[["read", "offline_access", "write"]] * 2] == lists


def test_unknown_scopes_are_refused(client: BareClient) -> None:
    """Where scopes are listed there are no others, at any endpoint, for any grant."""
    assert 200 == client.token(scope="anything").status_code
    client.provider.scopes_supported = ["read"]
    subject = {"subject_token": token(client), "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}
    exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
    for scope, ok in (("read", True), ("read admin", False)):
        answers = [client.token(scope=scope), client.password(scope=scope), client.device(scope=scope)]
        answers.append(client.token(exchange, scope=scope, **subject))
        assert [ok] * 4 == [answer.ok for answer in answers]
        assert ok or {(400, "invalid_scope")} == {refusal(answer) for answer in answers}
        assert ok == ("code" in redirected(client.authorize(scope=scope)))
    assert "invalid_scope" == redirected(client.authorize(scope="admin"))["error"]


def test_the_api_demands_a_scope(client: BareClient) -> None:
    """A token with less is refused with 403 and a challenge that names what's needed; one with it is taken."""
    client.provider.required_scopes = {"/": "read write"}
    assert 200 == api(client, "/items", token(client, scope="write read more")).status_code
    for scope in ({}, {"scope": "read"}):
        answer = api(client, "/items", token(client, **scope))
        assert TOO_LITTLE == refusal(answer)
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith("Bearer ")
        assert 'error="insufficient_scope"' in challenge
        assert 'scope="read write"' in challenge
        assert f'resource_metadata="{client.provider.resource_metadata_url}"' in challenge


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("", "read"),
        ("/", "read"),
        ("/items", "read"),
        ("/admin", "read admin"),
        ("/%61dmin", "read admin"),
        ("/admin/", "read admin"),
        ("/admin?x=/", "read admin"),
        ("/admin/users/1", "read admin write"),
        ("/administer", "read"),
        ("/items/admin", "read"),
    ],
)
def test_scopes_go_by_path(client: BareClient, path: str, needed: str) -> None:
    """A request needs the scopes of its path and of those above it, by whole segments."""
    client.provider.required_scopes = {"/": "read", "/admin": "admin", "/admin/users/": "read write"}
    answer = api(client, path, token(client, scope="other"))
    assert TOO_LITTLE == refusal(answer)
    assert f'scope="{needed}"' in answer.headers["WWW-Authenticate"]
    assert 200 == api(client, path, token(client, scope=needed)).status_code


@pytest.mark.parametrize("kind", [None, "unknown", "on demand"])
def test_each_challenge_names_the_scope(client: BareClient, kind: str | None) -> None:
    """A 401 tells what to ask for, too, where its path wants something, unless challenges are to keep silent."""
    provider = client.provider
    provider.required_scopes = {"/admin": "admin"}
    for tells in (True, False):
        provider.scope_in_challenges = tells
        for path in ("/admin", "/items"):
            if kind == "on demand":
                provider.fail_api_requests(401)
            answer = api(client, path, kind)
            assert 401 == answer.status_code
            assert (tells and path == "/admin") == ('scope="admin"' in answer.headers["WWW-Authenticate"])
    answer = api(client, "/admin", token(client))
    assert TOO_LITTLE == refusal(answer)
    assert "scope=" not in answer.headers["WWW-Authenticate"]


def test_a_dead_token_is_dead_first(client: BareClient) -> None:
    """Whose token is no good, or whose login isn't, isn't told of scopes."""
    provider = client.provider
    provider.required_scopes, provider.required_acr = {"/": "read"}, "gold"
    assert (401, "invalid_token") == refusal(api(client, "", "unknown"))
    assert (401, "insufficient_user_authentication") == refusal(api(client, "", token(client)))


def test_demands_are_one_provider_s() -> None:
    """What a test sets at one provider holds at no other."""
    one, other = LocalProvider(), LocalProvider()
    one.required_scopes = {"/": "read"}
    assert {} == dict(other.required_scopes)


# Resources


def test_the_api_may_want_tokens_of_its_own(client: BareClient) -> None:
    """A token that was asked for without the resource, or for another, is refused then, and by default taken."""
    provider = client.provider
    tokens = [
        token(client),
        token(client, resource="https://other.example/"),
        token(client, resource=f"{provider.api_url}/"),
        token(client, resource=provider.api_url),
    ]
    assert [200] * 4 == [api(client, "", each).status_code for each in tokens]
    provider.require_resource = True
    assert [401, 401, 401, 200] == [api(client, "", each).status_code for each in tokens]
    answer = api(client, "/items", tokens[0])
    assert (401, "invalid_token") == refusal(answer)
    assert provider.resource_metadata_url in answer.headers["WWW-Authenticate"]
    assert (401, True) == (
        (answer := api(client, "", None)).status_code,
        "error" not in answer.headers["WWW-Authenticate"],
    )


def test_a_login_s_resource_goes_on(client: BareClient) -> None:
    """What a login was for, its refreshed tokens are for, asked for again or not; nothing else can be had."""
    provider = client.provider
    provider.require_resource = True
    tokens = client.exchange(client.code(resource=provider.api_url)).json()
    assert 200 == api(client, "", tokens["access_token"]).status_code
    for fields in ({}, {"resource": provider.api_url}):
        tokens = client.refresh(tokens["refresh_token"], **fields).json()
        assert 200 == api(client, "", tokens["access_token"]).status_code
    answer = client.refresh(tokens["refresh_token"], resource="https://other.example/")
    assert (400, "invalid_target") == refusal(answer)
