"""Guarantee 4 of `ResourceAuth`: only the resource's own word counts, and nothing is sent to what another names."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_auth import DiscoveryError
from oauth_auth._wire.messages import TokenResponse
from tests.support.internet import API, RESOURCE_PLACE, Api, Internet, Server
from tests.support.modes import HTTPX
from tests.support.steps import answer

pytestmark = pytest.mark.shared_core

OWN_PLACE = f"https://api.example{RESOURCE_PLACE}/v1"
ROOT_PLACE = f"https://api.example{RESOURCE_PLACE}"


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture
def good(internet: Internet) -> Server:
    """The server that the resource itself names."""
    return Server(internet, "https://good.example")


@pytest.fixture
def evil(internet: Internet) -> Server:
    """A server that somebody else names."""
    return Server(internet, "https://evil.example")


@pytest.fixture
def api(internet: Internet, good: Server) -> Api:
    return Api(internet, good)


def auth_for(internet: Internet, url: str = API, **options: Any) -> Any:
    return internet.join(HTTPX.plugin.ResourceAuth(url, **{"login": internet.log_in, **options}))


def naming(server: Server, resource: str = API) -> dict[str, Any]:
    """Return metadata of a resource that names this server."""
    return {"resource": resource, "authorization_servers": [server.issuer]}


def assert_is_good(internet: Internet, good: Server, evil: Server) -> None:
    assert evil.origin not in internet.origins
    assert ["/authorize"] == [url.removeprefix(good.origin).partition("?")[0] for url in internet.visited]


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example/metadata",
        "http://api.example/metadata",
        "https://api.example:8443/metadata",
        "https://user@api.example/metadata",
        "https://api.example@evil.example/metadata",
        r"https://api.example\@evil.example/metadata",
        r"https://evil.example\@api.example/metadata",
        "https://api.example.evil.example/metadata",
        "//evil.example/metadata",
        "/metadata",
        "https:/evil.example",
        "file:///etc/passwd",
        "https://[",
        "",
    ],
)
def test_metadata_of_another_origin(internet: Internet, api: Api, good: Server, evil: Server, place: str) -> None:
    """Where a challenge names a place of another origin nothing is sent: the well-known place is looked at."""
    api.challenge = f'Bearer resource_metadata="{place}"'.replace("\\", "\\\\")
    evil.answers["/metadata"] = lambda _: answer(200, naming(evil))
    auth_for(internet).get_token()
    assert_is_good(internet, good, evil)
    assert {api.origin, good.origin} == internet.origins
    assert [API, OWN_PLACE] == [request.url for request in internet.sent[:2]]


@pytest.mark.parametrize(
    "named",
    [
        "https://other.example/v1",
        "http://api.example/v1",
        "https://api.example:8443/v1",
        "https://api.example/v2",
        "https://api.example/v1/below",
        "https://api.example/v",
        "https://api.example/v1/..",
        "https://api.example/v1/%2e%2e",
        "https://user@api.example/v1",
        "https://api.example/v1#fragment",
        "https://api.example/v1?tenant=2",
        "https://api.example/V1",
        r"https://api.example\.evil.example/v1",
        "https://api.example/v1\n",
        "/v1",
        "",
        ["https://api.example/v1"],
        {"resource": "https://api.example/v1"},
        None,
        True,
    ],
    ids=str,
)
def test_another_resource(internet: Internet, api: Api, good: Server, evil: Server, named: Any) -> None:
    """Metadata of another resource isn't used; where there's no other, that's an error, and nobody logs in."""
    api.documents = {f"{RESOURCE_PLACE}/v1": naming(evil) | {"resource": named}}
    with pytest.raises(DiscoveryError, match="of another resource") as raised:
        auth_for(internet).get_token()
    assert OWN_PLACE == raised.value.url
    assert {api.origin} == internet.origins
    assert [] == internet.visited

    # Other metadata is believed none the less.
    api.documents[RESOURCE_PLACE] = naming(good)
    auth_for(internet).get_token()
    assert_is_good(internet, good, evil)


@pytest.mark.parametrize("wider", ["https://api.example", "https://api.example/", "https://api.example/tenants"])
@pytest.mark.parametrize("by_challenge", [True, False])
def test_wider_resource(internet: Internet, good: Server, evil: Server, wider: str, by_challenge: bool) -> None:
    """A wider resource is believed from its own well-known place, and from nowhere that a tenant may write to."""
    url = "https://api.example/tenants/1"
    api = Api(internet, url=url)
    claim = naming(evil, wider)
    tenants_own = [f"{RESOURCE_PLACE}/tenants/1", "/tenants/1/metadata", f"{RESOURCE_PLACE}/tenants/1?x=/"]
    wider_place = f"{RESOURCE_PLACE}{wider.removeprefix(api.origin).rstrip('/')}"
    tenants_own += [f"{wider_place}/", f"{wider_place}?"]
    for place in tenants_own:
        api.documents = {place: claim}
        if by_challenge:
            api.challenge = f'Bearer resource_metadata="{api.origin}{place}"'
        internet.sent.clear()
        with pytest.raises(DiscoveryError):
            auth_for(internet, url).get_token()
        assert {api.origin} == internet.origins

    api.documents = {wider_place: naming(good, wider)}
    api.challenge = f'Bearer resource_metadata="{api.origin}{wider_place}"'
    auth_for(internet, url).get_token()
    assert_is_good(internet, good, evil)
    assert f"resource={wider}" in internet.visited[0].replace("%3A", ":").replace("%2F", "/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirected_metadata_of_the_resource(
    internet: Internet, api: Api, good: Server, evil: Server, status: int
) -> None:
    """A redirect means that there's no metadata here; it isn't followed, not within the origin either."""
    evil.answers["/metadata"] = lambda _: answer(200, naming(evil))
    api.documents = {
        f"{RESOURCE_PLACE}/v1": answer(status, location="https://evil.example/metadata"),
        "/elsewhere": naming(evil),
        RESOURCE_PLACE: answer(status, location="https://api.example/elsewhere"),
    }
    api.challenge = f'Bearer resource_metadata="{OWN_PLACE}"'
    with pytest.raises(DiscoveryError):
        auth_for(internet).get_token()
    # The origin may be a server itself.
    assert {api.origin} == internet.origins
    assert "GET https://api.example/elsewhere" not in internet.places
    assert [] == internet.visited


@pytest.mark.parametrize("status", [302, 307])
def test_redirected_metadata_of_the_server(
    internet: Internet, api: Api, good: Server, evil: Server, status: int
) -> None:
    """Nor is one of the server's metadata, even if what it leads to calls itself by the server's name."""
    evil.metadata["issuer"] = good.issuer
    good.answers[good.place] = lambda _: answer(status, location=f"{evil.origin}{evil.place}")
    with pytest.raises(DiscoveryError, match="redirects"):
        auth_for(internet).get_token()
    assert evil.origin not in internet.origins
    assert [] == internet.visited


@pytest.mark.parametrize(
    "issuer",
    [
        "https://evil.example",
        "https://good.example/tenant",
        "https://good.example//",
        "https://GOOD.example",
        "https://good.example:443",
        "http://good.example",
        "https://good.example.",
        "https://good.example?",
        "https://good.example#",
        ["https://good.example"],
        "",
        None,
    ],
    ids=str,
)
def test_another_issuer_in_the_metadata(internet: Internet, api: Api, good: Server, issuer: Any) -> None:
    """A server that calls itself by another name isn't the one that the resource has named: it gets nothing."""
    good.metadata["issuer"] = issuer
    with pytest.raises(DiscoveryError, match=r"another issuer|calls it|has no issuer"):
        auth_for(internet).get_token()
    assert {"GET"} == {request.method for request in internet.sent}
    assert [] == internet.visited


def test_issuer_of_another_tenant_on_the_same_host(internet: Internet, good: Server) -> None:
    """Of two issuers on one host each has its own metadata: one can't answer for the other."""
    api = Api(internet)
    api.metadata["authorization_servers"] = ["https://good.example/one"]
    document = {**good.metadata, "issuer": "https://good.example/two"}
    for place in ("/.well-known/openid-configuration/one", "/one/.well-known/openid-configuration"):
        good.answers[place] = lambda _: answer(200, document)
    with pytest.raises(DiscoveryError, match=r"good\.example/two"):
        auth_for(internet).get_token()
    assert [] == internet.visited


def test_other_servers_than_the_users(internet: Internet, api: Api, good: Server, evil: Server) -> None:
    """With `issuer` a resource that lists others is an error; nothing is sent to them, nor to the one given."""
    api.names(evil)
    with pytest.raises(DiscoveryError, match="other authorization servers than issuer="):
        auth_for(internet, issuer=good.issuer).get_token()
    assert {api.origin} == internet.origins

    # Among others it's the only one that's asked.
    api.names(evil, good)
    auth_for(internet, issuer=good.issuer).get_token()
    assert_is_good(internet, good, evil)


@pytest.mark.parametrize(
    "document",
    [
        [],
        "text",
        answer(200, b'{"resource": '),
        answer(200, b"\xff\xfe"),
        answer(200, b"<html>", content_type="text/html"),
        answer(401, b"{}", www_authenticate='Bearer resource_metadata="https://evil.example/metadata"'),
        answer(404),
        answer(502),
        answer(200, b"[" * 100_000),
        answer(200, b'{"resource":' * 10_000),
    ],
    ids=lambda document: str(document)[:30],
)
def test_what_is_no_metadata(internet: Internet, api: Api, good: Server, evil: Server, document: Any) -> None:
    """What is no JSON object with status 200 means that there's none here, and what it says isn't followed."""
    place = f"{RESOURCE_PLACE}/v1"
    api.documents = {place: document, RESOURCE_PLACE: naming(good)}
    auth_for(internet).get_token()
    assert_is_good(internet, good, evil)
    assert [f"GET {OWN_PLACE}", f"GET {ROOT_PLACE}"] == internet.places[1:3]


def test_the_challenge_counts_where_it_is_the_resources_own(
    internet: Internet, api: Api, good: Server, evil: Server
) -> None:
    """A place of the resource's own origin is looked at first, whatever is at the well-known ones."""
    api.documents = {"/somewhere": naming(good), f"{RESOURCE_PLACE}/v1": naming(evil)}
    api.challenge = 'Bearer resource_metadata="https://api.example/somewhere"'
    auth_for(internet).get_token()
    assert_is_good(internet, good, evil)


def test_duplicate_names_in_metadata(internet: Internet, api: Api, good: Server, evil: Server) -> None:
    """Of a name that's there twice one value counts, for the check and for what follows from it."""
    text = '{{"resource": "{}", "resource": "{}", "authorization_servers": ["{}"]}}'
    twice: TokenResponse = answer(200, text.format(API, "https://api.example/v2", evil.issuer).encode())
    api.documents = {f"{RESOURCE_PLACE}/v1": twice}
    with pytest.raises(DiscoveryError, match="of another resource"):
        auth_for(internet).get_token()
    assert {api.origin} == internet.origins
