"""Guarantee 3 of `ResourceAuth`: what a resource and its servers say of themselves is found as the RFCs have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import DiscoveryError, MemoryTokenStore, OAuthError, TokenError
from tests.support.modes import Mode
from tests.support.resources import NOT_HERE, RESOURCE_PLACE, SERVER_PLACE, OpenAuthority, Resource
from tests.support.scripted import Answer, ScriptedServer

pytestmark = pytest.mark.shared_core
ONE_PER_PLUGIN = True

OPENID_PLACE = "/.well-known/openid-configuration"
NAMED_PLACE = "/.well-known/named"

HTML = Answer(200, b"<html>Welcome!</html>", (("Content-Type", "text/html"),))
OF_A_PROXY = Answer(401, b"who are you?", (("WWW-Authenticate", 'Bearer realm="proxy"'),))
ABSENCES = {
    "404": NOT_HERE,
    "HTML": HTML,
    "list": Answer(200, ["no object"]),
    "nothing": Answer(200),
    "204": Answer(204),
    "401": OF_A_PROXY,
    "403": Answer(403, {"error": "forbidden"}),
    "502": Answer(502, b"Bad Gateway"),
}
"""Answers that say that there's no metadata at a place."""


@pytest.fixture
def resource(serve: Callable[..., ScriptedServer]) -> Resource:
    return Resource(serve)


def naming(resource: Resource, place: str = NAMED_PLACE) -> str:
    return f'resource_metadata="{resource.origin}{place}"'


def error_of(mode: Mode, auth: Any, url: str) -> Any:
    """Return what a request raises; nobody has logged in."""
    with mode.client(auth) as client, pytest.raises(OAuthError) as raised:
        client.get(url)
    return raised.value


def works(mode: Mode, auth: Any, url: str) -> bool:
    with mode.client(auth) as client:
        return bool(client.get(url).status_code == 200)


# -- Where the resource's metadata is ---------------------------------------------------------------------------------


def test_the_place_that_the_challenge_names(mode: Mode, resource: Resource) -> None:
    """It's the first to be looked at, and the only one if the metadata is there."""
    resource.challenges = (f"Bearer {naming(resource)}",)
    resource.documents = {NAMED_PLACE: resource.metadata, **dict.fromkeys(resource.documents, Answer(500))}
    assert works(mode, resource.auth(mode), resource.url)
    assert [NAMED_PLACE] == resource.looked


def test_the_named_place_is_found_at_later_logins(mode: Mode, resource: Resource) -> None:
    """Also where there's none but that, and no answer has just named it: the resource is asked then."""
    resource.challenges = (f"Bearer {naming(resource)}",)
    resource.documents, store = {NAMED_PLACE: resource.metadata}, MemoryTokenStore()
    auth = resource.auth(mode, store=store)
    assert works(mode, auth, resource.url)
    for later in (auth, resource.auth(mode, store=store)):
        resource.authority.end_logins()
        resource.revoke()
        assert works(mode, later, resource.url)
    assert 3 == len(resource.authority.visited)


def test_the_named_place_is_found_for_more_scope(plugin_mode: Mode, resource: Resource) -> None:
    """The challenge for that needn't name it again."""
    resource.challenges = (f"Bearer {naming(resource)}",)
    resource.documents, store = {NAMED_PLACE: resource.metadata}, MemoryTokenStore()
    resource.needs = {"/api/a": "a", "/api/b": "b"}
    for path in ("a", "b"):
        assert works(plugin_mode, resource.auth(plugin_mode, store=store), f"{resource.url}/{path}")
    assert ["", "a", "a b"] == [asked.get("scope", "") for asked in resource.authority.asked]


def test_the_named_place_is_found_without_a_request(mode: Mode, resource: Resource) -> None:
    """Whoever wants a new token, or a new login, where there was none before, has the resource asked, too."""
    resource.challenges = (f'Bearer {naming(resource)}, scope="read"',)
    resource.documents = {NAMED_PLACE: resource.metadata}
    assert mode.refresh(resource.auth(mode)).access_token in resource.authority.tokens
    assert resource.auth(mode)._log_in().access_token in resource.authority.tokens
    assert ["read", "read"] == [asked["scope"] for asked in resource.authority.asked]


@pytest.mark.parametrize("absence", ABSENCES)
def test_the_order_of_places(plugin_mode: Mode, resource: Resource, absence: str) -> None:
    """After the one that's named, the one of the resource's path, then that of its origin."""
    resource.challenges = (f"Bearer {naming(resource)}",)
    resource.metadata["resource"] = resource.origin
    gone = ABSENCES[absence]
    resource.documents = {
        NAMED_PLACE: gone,
        f"{RESOURCE_PLACE}/api": gone,
        RESOURCE_PLACE: resource.metadata,
    }
    assert works(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert [NAMED_PLACE, f"{RESOURCE_PLACE}/api", RESOURCE_PLACE] == resource.looked


def test_a_redirect_is_not_followed(plugin_mode: Mode, resource: Resource) -> None:
    """It counts as «not here»: what it names isn't the resource's own place."""
    place = f"{RESOURCE_PLACE}/api"
    resource.documents = {
        place: Answer(302, b"", (("Location", f"{resource.origin}/.well-known/elsewhere"),)),
        "/.well-known/elsewhere": resource.metadata,
        RESOURCE_PLACE: {**resource.metadata, "resource": resource.origin},
    }
    assert works(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert [place, RESOURCE_PLACE] == resource.looked


@pytest.mark.parametrize("status", [429, 500, 503, 504])
@pytest.mark.parametrize("place", [NAMED_PLACE, f"{RESOURCE_PLACE}/api"])
def test_trouble_is_not_absence(plugin_mode: Mode, resource: Resource, status: int, place: str, quick: None) -> None:
    """A server in trouble says nothing about the next place: another server might be found there than is right."""
    resource.challenges = (f"Bearer {naming(resource)}",)
    resource.documents = {place: Answer(status), RESOURCE_PLACE: {**resource.metadata, "resource": resource.origin}}
    error = error_of(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert isinstance(error, TokenError)
    assert error.retryable
    assert status == error.status_code
    assert RESOURCE_PLACE not in resource.looked
    assert [] == resource.authority.server.requests


def test_trouble_that_passes(mode: Mode, resource: Resource, quick: None) -> None:
    """The call is tried again as all are, and the caller doesn't notice."""
    troubles = [Answer(503), Answer(0)]
    resource.documents[f"{RESOURCE_PLACE}/api"] = lambda _: (
        troubles.pop() if troubles else Answer(200, resource.metadata)
    )
    assert works(mode, resource.auth(mode), resource.url)
    assert 3 * [f"{RESOURCE_PLACE}/api"] == resource.looked


def test_trouble_is_over_at_the_next_request(plugin_mode: Mode, resource: Resource, quick: None) -> None:
    """What failed is asked anew: nothing is known of it, nor held against it."""
    document = resource.documents[f"{RESOURCE_PLACE}/api"]
    resource.documents[f"{RESOURCE_PLACE}/api"] = Answer(503)
    auth = resource.auth(plugin_mode)
    error_of(plugin_mode, auth, resource.url)
    resource.documents[f"{RESOURCE_PLACE}/api"] = document
    assert works(plugin_mode, auth, resource.url)


@pytest.mark.parametrize("url", ["/.well-known/relative", "ftp://x/y", "http://[/", "http://:x/", "", "https://"])
def test_a_place_that_is_none(plugin_mode: Mode, resource: Resource, url: str) -> None:
    """It's passed over, whatever it is: the well-known ones do."""
    resource.challenges = (f'Bearer resource_metadata="{url}"',)
    assert works(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert [f"{RESOURCE_PLACE}/api"] == resource.looked


@pytest.mark.parametrize("path", ["", "/", "/a/b", "/a/b/"])
def test_resources_with_and_without_a_path(plugin_mode: Mode, serve: Callable[..., ScriptedServer], path: str) -> None:
    """The well-known part comes before the path; a trailing slash doesn't count."""
    resource = Resource(serve, path)
    resource.challenges = ("Bearer",)
    place = f"{RESOURCE_PLACE}{path.rstrip('/')}"
    resource.documents = {place: resource.metadata}
    assert works(plugin_mode, resource.auth(plugin_mode), f"{resource.origin}{path or '/'}")
    assert [place] == resource.looked


def test_no_document_of_any_length_is_read(plugin_mode: Mode, resource: Resource) -> None:
    """128 KiB are enough for metadata; a longer one is an error, and not looked for elsewhere."""
    resource.metadata["padding"] = "x" * 120 * 1024
    auth = resource.auth(plugin_mode)
    assert works(plugin_mode, auth, resource.url)
    resource.metadata["padding"] += "x" * 10 * 1024
    error = error_of(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert isinstance(error, DiscoveryError)
    assert "131072 bytes" in str(error)


def test_no_document_of_a_server_of_any_length_is_read(plugin_mode: Mode, resource: Resource) -> None:
    """That bound is for servers, too."""
    resource.authority.metadata["padding"] = "x" * 130 * 1024
    error = error_of(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert isinstance(error, DiscoveryError)
    assert "131072 bytes" in str(error)


# -- Which challenge --------------------------------------------------------------------------------------------------


def test_a_challenge_among_others(mode: Mode, resource: Resource) -> None:
    """In any case, in several fields, after others and before them: the bearer challenge counts."""
    named = naming(resource).replace("resource_metadata", "Resource_Metadata")
    resource.documents = {NAMED_PLACE: resource.metadata}
    for challenges in (
        ('Digest realm="a, b", nonce="Bearer resource_metadata="', f"bEARER {named}"),
        (f'Basic realm="x", BEARER realm="y", {named}, Negotiate abc==',),
        (f"Bearer\t {named.replace('=', ' = ')}", "Basic"),
    ):
        resource.server.requests.clear()
        resource.challenges = challenges
        assert works(mode, resource.auth(mode), resource.url)
        assert [NAMED_PLACE] == resource.looked, challenges


def test_the_challenge_that_names_an_error_counts(plugin_mode: Mode, resource: Resource) -> None:
    """Of several, the first with an error does, else the first."""
    resource.documents = {NAMED_PLACE: resource.metadata}
    other = naming(resource, "/.well-known/other")
    for challenges in (
        (f"Bearer {other}", f'Bearer {naming(resource)}, error="invalid_token"', f'Bearer {other}, error="x"'),
        (f"Bearer {naming(resource)}", f"Bearer {other}"),
    ):
        resource.server.requests.clear()
        resource.challenges = challenges
        assert works(plugin_mode, resource.auth(plugin_mode), resource.url)
        assert [NAMED_PLACE] == resource.looked, challenges


# -- Which server -----------------------------------------------------------------------------------------------------


def add_authorities(resource: Resource, *others: OpenAuthority) -> None:
    """Have the resource name other servers before its own."""
    resource.metadata["authorization_servers"] = [*(other.issuer for other in others), resource.authority.issuer]


UNUSABLE: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://other.example.com"},
    "no issuer": {"issuer": None},
    "no authorization endpoint": {"authorization_endpoint": None},
    "no token endpoint": {"token_endpoint": None},
    "no registration": {"registration_endpoint": None},
    "no S256": {"code_challenge_methods_supported": ["plain"]},
    "no PKCE": {"code_challenge_methods_supported": []},
    "no list of PKCE": {"code_challenge_methods_supported": None},
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_a_server_that_cannot_serve_is_passed_over(plugin_mode: Mode, resource: Resource, fault: str) -> None:
    """The first that can is taken, and nothing but its metadata is asked of the others."""
    other = resource.add_authority()
    other.metadata |= UNUSABLE[fault]
    add_authorities(resource, other)
    assert works(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert other.looked == [request.path for request in other.server.requests]
    assert SERVER_PLACE == other.looked[0]
    assert 1 == len(resource.authority.visited)


@pytest.mark.parametrize("fault", UNUSABLE)
def test_no_server_that_can_serve(plugin_mode: Mode, resource: Resource, fault: str) -> None:
    """The error names the server, what's the matter with it, and what to pass."""
    resource.authority.metadata |= UNUSABLE[fault]
    error = error_of(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert isinstance(error, DiscoveryError)
    assert not error.retryable
    assert resource.authority.issuer in str(error)
    assert "issuer=" in str(error)
    assert [] == resource.authority.visited
    assert [] == resource.authority.registered


def test_a_given_client_needs_no_registration(plugin_mode: Mode, resource: Resource) -> None:
    """A server without registration serves whoever has a client id."""
    resource.authority.metadata["registration_endpoint"] = None
    assert works(plugin_mode, resource.auth(plugin_mode, client_id="client"), resource.url)
    assert ["client"] == [asked["client_id"] for asked in resource.authority.asked]


def test_only_a_server_of_the_users_may_keep_pkce_to_itself(mode: Mode, resource: Resource) -> None:
    """Some know PKCE and don't say so: the user who names such a server takes it upon themselves."""
    resource.authority.metadata["code_challenge_methods_supported"] = None
    error = error_of(mode, resource.auth(mode), resource.url)
    assert "PKCE" in str(error)
    assert "issuer=" in str(error)
    assert works(mode, resource.auth(mode, issuer=resource.authority.issuer), resource.url)
    [asked] = resource.authority.asked
    assert "S256" == asked["code_challenge_method"]


def test_not_even_the_user_does_without_pkce(plugin_mode: Mode, resource: Resource) -> None:
    """Where the server says that it doesn't know S256, nobody logs in."""
    resource.authority.metadata["code_challenge_methods_supported"] = ["plain"]
    error = error_of(plugin_mode, resource.auth(plugin_mode, issuer=resource.authority.issuer), resource.url)
    assert isinstance(error, DiscoveryError)


@pytest.mark.parametrize("count", [4, 5])
def test_the_first_usable_of_five_servers(plugin_mode: Mode, resource: Resource, count: int) -> None:
    """No more are asked."""
    others = [resource.add_authority() for _ in range(count)]
    for other in others:
        other.documents = {}
    add_authorities(resource, *others)
    auth = resource.auth(plugin_mode)
    if count == 4:
        assert works(plugin_mode, auth, resource.url)
    else:
        error = error_of(plugin_mode, auth, resource.url)
        assert all(other.issuer in str(error) for other in others)
        assert [] == resource.authority.server.requests
    assert all(other.looked for other in others)


def test_a_server_in_trouble_is_passed_over(plugin_mode: Mode, resource: Resource, quick: None) -> None:
    """Another that the resource names will do. Without one the trouble is told, which may pass."""
    other = resource.add_authority()
    own, other.documents = other.documents, {SERVER_PLACE: Answer(503)}
    add_authorities(resource, other)
    assert works(plugin_mode, resource.auth(plugin_mode), resource.url)
    resource.metadata["authorization_servers"] = [other.issuer]
    error = error_of(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert (503, True) == (error.status_code, error.retryable)
    other.documents = own
    assert works(plugin_mode, resource.auth(plugin_mode), resource.url)


# -- Where a server's metadata is -------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(4))
def test_the_places_of_a_server_with_a_path(plugin_mode: Mode, resource: Resource, at: int) -> None:
    """RFC 8414's, then OpenID's, the well-known part inserted, then appended; no more than four."""
    authority = resource.add_authority("/tenant/x")
    resource.metadata["authorization_servers"] = [authority.issuer]
    [document] = authority.documents.values()
    places = [
        f"{SERVER_PLACE}/tenant/x",
        f"{OPENID_PLACE}/tenant/x",
        f"/tenant/x{OPENID_PLACE}",
        f"/tenant/x{SERVER_PLACE}",
    ]
    authority.documents = {places[at]: document}
    assert works(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert places[: at + 1] == authority.looked


def test_the_places_of_a_server_without_a_path(plugin_mode: Mode, resource: Resource) -> None:
    """There are two: both OpenID's are the same."""
    [document] = resource.authority.documents.values()
    resource.authority.documents = {OPENID_PLACE: document}
    assert works(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert [SERVER_PLACE, OPENID_PLACE] == resource.authority.looked


def test_a_document_of_another_issuer_is_not_used(plugin_mode: Mode, resource: Resource) -> None:
    """A host may have several issuers: the next place may have the right one's."""
    authority = resource.authority
    [document] = authority.documents.values()
    other = {"issuer": f"{authority.issuer}/other", "token_endpoint": "https://evil.example.com/token"}
    authority.documents = {SERVER_PLACE: Answer(200, other), OPENID_PLACE: document}
    assert works(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert [SERVER_PLACE, OPENID_PLACE] == authority.looked


@pytest.mark.parametrize(
    ("named", "own"),
    [("/", ""), ("", "/"), ("/", "/")],
    ids=["resource with", "server with", "both"],
)
def test_the_slash_of_a_bare_issuer(plugin_mode: Mode, resource: Resource, named: str, own: str) -> None:
    """Libraries add one to an origin: it's the same issuer, in the login's answer, too."""
    authority = resource.authority
    resource.metadata["authorization_servers"] = [authority.server.url + named]
    authority.issuer = authority.server.url + own
    assert works(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert SERVER_PLACE == authority.looked[0]


def test_the_slash_of_an_issuer_with_a_path(plugin_mode: Mode, resource: Resource) -> None:
    """Else issuers are equal letter by letter."""
    authority = resource.add_authority("/tenant")
    resource.metadata["authorization_servers"] = [f"{authority.issuer}/"]
    error = error_of(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert isinstance(error, DiscoveryError)
    assert [] == authority.visited


# -- Resources that tell nothing --------------------------------------------------------------------------------------


class Legacy(Resource):
    """A resource without metadata, whose origin is its own authorization server (MCP 2025-03-26)."""

    def __init__(self, serve: Callable[..., ScriptedServer]) -> None:
        super().__init__(serve)
        self.documents, self.challenges = {}, ("Bearer",)
        self.authority.issuer = self.origin
        self.documents[SERVER_PLACE] = lambda _: Answer(200, self.authority._metadata)


def test_a_resource_without_metadata(mode: Mode, serve: Callable[..., ScriptedServer]) -> None:
    """Its origin is tried as the issuer, and `resource` is the URL that was given."""
    resource = Legacy(serve)
    assert works(mode, resource.auth(mode), resource.url)
    assert [f"{RESOURCE_PLACE}/api", RESOURCE_PLACE, SERVER_PLACE] == resource.looked
    [asked] = resource.authority.asked
    assert resource.url == asked["resource"]


def test_a_resource_without_metadata_or_server(plugin_mode: Mode, serve: Callable[..., ScriptedServer]) -> None:
    """Then `issuer` is what helps, and the error says so; no endpoint is guessed."""
    resource = Legacy(serve)
    resource.documents = {}
    error = error_of(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert isinstance(error, DiscoveryError)
    assert "issuer=" in str(error)
    assert {"/api"} == {request.path for request in resource.requests}
    assert [] == resource.authority.server.requests


def test_the_users_issuer_where_the_resource_tells_nothing(mode: Mode, resource: Resource) -> None:
    """It's used in place of the resource's word."""
    resource.documents, resource.challenges = {}, ()
    assert works(mode, resource.auth(mode, issuer=resource.authority.issuer), resource.url)
    assert [f"{RESOURCE_PLACE}/api", RESOURCE_PLACE] == resource.looked
    [asked] = resource.authority.asked
    assert resource.url == asked["resource"]


def test_metadata_that_names_no_server(plugin_mode: Mode, resource: Resource) -> None:
    """`authorization_servers` is optional: the origin is tried, or the user's issuer is used."""
    del resource.metadata["authorization_servers"]
    error = error_of(plugin_mode, resource.auth(plugin_mode), resource.url)
    assert isinstance(error, DiscoveryError)
    assert SERVER_PLACE in resource.looked
    assert works(plugin_mode, resource.auth(plugin_mode, issuer=resource.authority.issuer), resource.url)


def test_the_users_issuer_is_the_only_one(mode: Mode, resource: Resource) -> None:
    """Of several that are named it's taken; where only others are, that's an error, and nothing is sent to any."""
    other = resource.add_authority()
    add_authorities(resource, other)
    assert works(mode, resource.auth(mode, issuer=resource.authority.issuer), resource.url)
    assert [] == other.server.requests
    resource.metadata["authorization_servers"] = [other.issuer]
    calls = len(resource.authority.server.requests)
    error = error_of(mode, resource.auth(mode, issuer=resource.authority.issuer), resource.url)
    assert isinstance(error, DiscoveryError)
    assert other.issuer in str(error)
    assert [] == other.server.requests
    assert calls == len(resource.authority.server.requests)


@pytest.mark.parametrize("servers", ["https://x", {"a": 1}, 7, [], [7, None, {}], None])
def test_servers_that_are_none(plugin_mode: Mode, resource: Resource, servers: Any) -> None:
    """What breaks the RFC counts as absent."""
    resource.metadata["authorization_servers"] = servers
    assert isinstance(error_of(plugin_mode, resource.auth(plugin_mode), resource.url), DiscoveryError)
    assert works(plugin_mode, resource.auth(plugin_mode, issuer=resource.authority.issuer), resource.url)
