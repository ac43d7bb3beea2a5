"""What resources and servers answer may be anything: it's bounded in length and depth, and ends in an error of ours."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from oauth_auth import DiscoveryError, MemoryTokenStore, OAuthError, RegistrationError, TokenError
from oauth_auth._wire.challenges import demand_for
from oauth_auth._wire.messages import TokenResponse
from tests.support.internet import API, RESOURCE_PLACE, SERVER_PLACE, Api, Internet, Server
from tests.support.modes import HTTPX, Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.steps import answer

pytestmark = pytest.mark.shared_core
ONE_PER_PLUGIN = True

LONGEST = 128 * 1024


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture
def good(internet: Internet) -> Server:
    return Server(internet, "https://good.example", ["none", "client_secret_basic"])


@pytest.fixture
def api(internet: Internet, good: Server) -> Api:
    return Api(internet, good)


def auth_for(internet: Internet, url: str = API, **options: Any) -> Any:
    return internet.join(HTTPX.plugin.ResourceAuth(url, **{"login": internet.log_in, **options}))


def padded(document: dict[str, Any], length: int) -> TokenResponse:
    """Return a document that's this long."""
    text = json.dumps(document)
    return answer(200, (text + " " * (length - len(text))).encode())


# -- Documents ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("excess", [0, 1, 2_000_000])
def test_length_of_the_resources_metadata(internet: Internet, api: Api, good: Server, excess: int) -> None:
    """128 KiB at most."""
    api.documents[f"{RESOURCE_PLACE}/v1"] = padded(api.metadata, LONGEST + excess)
    if not excess:
        assert auth_for(internet).get_token().access_token in good.issued
        return
    with pytest.raises(DiscoveryError, match="longer than 131072 bytes"):
        auth_for(internet).get_token()
    assert {api.origin} == internet.origins


@pytest.mark.parametrize("excess", [0, 1, 2_000_000])
def test_length_of_the_servers_metadata(internet: Internet, api: Api, good: Server, excess: int) -> None:
    """The same for the server's, for a renewal by another program, too."""
    store = MemoryTokenStore()
    auth_for(internet, store=store).get_token()
    good.answers[SERVER_PLACE] = lambda _: padded(good.metadata, LONGEST + excess)
    first, again = auth_for(internet), auth_for(internet, store=store)
    if not excess:
        assert {first.get_token().access_token, again.refresh().access_token} <= {*good.issued}
        return
    for get in (first.get_token, again.refresh):
        with pytest.raises(TokenError, match="longer than 131072 bytes"):
            get()
    assert 1 == len(internet.visited)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 20_000, b'{"issuer":' * 9_000 + b"1"], ids=["[", "{", "{}"]
)
@pytest.mark.parametrize("where", ["resource", "server", "register", "token"])
def test_deep_documents(internet: Internet, api: Api, good: Server, where: str, body: bytes) -> None:
    """JSON that is nested without an end is unreadable, and no more than that."""
    if where == "resource":
        api.documents[f"{RESOURCE_PLACE}/v1"] = answer(200, body)
    else:
        path = SERVER_PLACE if where == "server" else f"/{where}"
        good.answers[path] = lambda _: answer(200, body, content_type="application/json")
    with pytest.raises(TokenError) as raised:
        auth_for(internet).get_token()
    assert not re.search("unexpected|raised", str(raised.value))


ODD: list[Any] = [None, True, 0, -1, 10**400, 1.5, "", "text", "\ud800", "\x00\r\n", [], [[]], [None], {}, {"a": {}}]
SERVER_FIELDS = [
    "authorization_endpoint",
    "token_endpoint",
    "registration_endpoint",
    "revocation_endpoint",
    "code_challenge_methods_supported",
    "token_endpoint_auth_methods_supported",
    "scopes_supported",
    "client_id_metadata_document_supported",
    "authorization_response_iss_parameter_supported",
    "require_pushed_authorization_requests",
    "mtls_endpoint_aliases",
]


@pytest.mark.parametrize("field", SERVER_FIELDS)
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_odd_values_in_the_servers_metadata(internet: Internet, api: Api, good: Server, field: str, odd: Any) -> None:
    """Whatever a field holds: it works without, or fails with an error that says more than «unexpected»."""
    good.metadata[field] = odd
    auth = auth_for(internet, client_metadata_url="https://app.example/client.json", scope="read")
    _expect_no_crash(auth)


@pytest.mark.parametrize("field", ["authorization_servers", "scopes_supported", "dpop_bound_access_tokens_required"])
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_odd_values_in_the_resources_metadata(internet: Internet, api: Api, good: Server, field: str, odd: Any) -> None:
    api.metadata[field] = odd
    _expect_no_crash(auth_for(internet))


@pytest.mark.parametrize(
    "field",
    [
        "client_id",
        "client_secret",
        "client_secret_expires_at",
        "token_endpoint_auth_method",
        "scope",
        "redirect_uris",
        "grant_types",
        "error",
        "registration_access_token",
    ],
)
@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_odd_values_in_a_registration(
    internet: Internet, api: Api, good: Server, field: str, method: str, odd: Any
) -> None:
    good.metadata["token_endpoint_auth_methods_supported"] = [method]
    good.registration = {field: odd}
    store = MemoryTokenStore()
    for _ in range(2):  # what's kept is read again
        _expect_no_crash(auth_for(internet, store=store, scope="read"))


def _expect_no_crash(auth: Any) -> None:
    errors: list[OAuthError] = []
    for get in (auth.get_token, auth.refresh, auth.revoke):
        try:
            get()
        except OAuthError as error:
            errors.append(error)
    texts = [str(error) for error in errors]
    assert not any(re.search("unexpected|raised", text) for text in texts), texts
    assert all(len(text) < 3000 and text.encode() for text in texts)


# -- Registrations that lie ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"token_endpoint_auth_method": "private_key_jwt"}, "private_key_jwt"),
        ({"token_endpoint_auth_method": "client_secret_jwt", "client_secret": "secret"}, "client_secret_jwt"),
        ({"token_endpoint_auth_method": ["none"]}, "none"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "no client_secret"),
        ({"token_endpoint_auth_method": "client_secret_post", "client_secret": ""}, "no client_secret"),
        ({"token_endpoint_auth_method": "client_secret_post", "client_secret": 1}, "no client_secret"),
        ({"client_id": None}, "client_id"),
        ({"client_id": ""}, "client_id"),
        ({"client_id": 12}, "client_id"),
        ({"client_id": "client\nid"}, "client_id"),
        ({"client_id": "client\x1b[2J"}, "client_id"),
        ({"client_id": "clïent"}, "client_id"),
        ({"client_id": "c" * 100_000}, "client_id"),
        ({"token_endpoint_auth_method": "client_secret_post", "client_secret": "s" * 100_000}, "client_secret"),
        ({"token_endpoint_auth_method": "client_secret_post", "client_secret": "\ud800"}, "client_secret"),
    ],
    ids=lambda told: str(told)[:60],
)
def test_registration_that_cannot_work(
    internet: Internet, api: Api, good: Server, told: dict[str, Any], reason: str
) -> None:
    """A client that can't be used is an error in words; nobody is sent to a page with it, and it isn't kept."""
    good.registration = told
    store = MemoryTokenStore()
    with pytest.raises(RegistrationError, match=reason) as raised:
        auth_for(internet, store=store).get_token()
    assert f"{good.origin}/register" == raised.value.registration_url
    assert str(raised.value).isprintable()
    assert [] == internet.visited
    good.registration = {}
    assert auth_for(internet, store=store).get_token().access_token in good.issued


@pytest.mark.parametrize(
    "told",
    [
        {"redirect_uris": ["https://evil.example/callback"]},
        {"redirect_uris": []},
        {"redirect_uri": "https://evil.example/callback"},
        {"token_endpoint": "https://evil.example/token", "issuer": "https://evil.example"},
        {"registration_client_uri": "https://evil.example/client", "registration_access_token": "token"},
        {"client_secret_expires_at": 0},
        {"grant_types": ["client_credentials"], "response_types": ["token"]},
    ],
    ids=lambda told: str(told)[:60],
)
def test_registration_that_says_something_else(
    internet: Internet, api: Api, good: Server, told: dict[str, Any]
) -> None:
    """What it says of anything but the client itself isn't followed: the person comes back to this program."""
    Server(internet, "https://evil.example")
    good.registration = told
    assert auth_for(internet).get_token().access_token in good.issued
    assert "redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback" in internet.visited[0]
    assert {api.origin, good.origin} == internet.origins


@pytest.mark.parametrize("status", [301, 307, 308])
@pytest.mark.parametrize("path", ["/register", "/token"])
def test_redirected_call(internet: Internet, api: Api, good: Server, path: str, status: int) -> None:
    """No call follows a redirect: neither a registration, nor a code, goes elsewhere."""
    evil = Server(internet, "https://evil.example")
    good.answers[path] = lambda _: answer(status, location=f"{evil.origin}{path}")
    with pytest.raises(TokenError):
        auth_for(internet).get_token()
    assert [] == evil.received
    assert [] == internet.leaks_of(good)


# -- Challenges ---------------------------------------------------------------------------------------------------

PATTERNS = {
    "commas": "," * 100_000,
    "spaces": "Bearer" + " " * 100_000 + "x",
    "open quote": 'Bearer error="' + "\\" * 100_000,
    "escapes": 'Bearer error="' + '\\"' * 50_000,
    "parameters": "Bearer " + ",".join(f'p{i}="v"' for i in range(10_000)),
    "the same parameter": "Bearer " + ",".join(['error="invalid_token"'] * 5_000),
    "schemes": ", ".join(["Bearer"] * 15_000),
    "no equals": "Bearer " + "a" * 100_000,
    "equals": "Bearer " + "=" * 100_000,
    "scopes": 'Bearer error="insufficient_scope", scope="' + "a " * 50_000 + '"',
    "a scope": 'Bearer error="insufficient_scope", scope="' + "a" * 100_000 + '"',
    "tabs": "Bearer\t" * 15_000,
}


@pytest.mark.parametrize("length", [4_000, 8_000, 100_000])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_time_to_read_a_challenge(pattern: str, length: int) -> None:
    """A challenge is read in time that grows with its length at most, or not at all."""
    begun = time.process_time()
    for status in (401, 403):
        demand_for(status, pattern[:length], (401,), "")
    assert time.process_time() - begun < 0.2


@pytest.mark.parametrize("size", [1_000, 8_000])
def test_long_challenges(mode: Mode, serve: Callable[..., ScriptedServer], size: int) -> None:
    """A request whose answer has the longest challenges that its library takes ends, with that answer or our error."""
    fields = tuple(("WWW-Authenticate", pattern[:size]) for pattern in list(PATTERNS.values())[:3])

    def script(request: Received) -> Answer:
        return Answer(404) if request.path.startswith("/.well-known/") else Answer(401, b"no", fields)

    server = serve(script)
    auth = mode.plugin.ResourceAuth(server.url, login=lambda begin: "")
    with mode.client(auth) as client, suppress(OAuthError, mode.transport_error):
        assert 401 == client.get(server.url).status_code


@pytest.mark.parametrize("name", ["scope", "acr_values", "max_age", "resource_metadata", "error"])
@pytest.mark.parametrize("value", ["\x00", 'a\\"b', "ü", " ", "  a  b ", "a" * 5_000, "%0d%0aX: y", "&client_id=evil"])
def test_what_challenges_bring_into_requests(internet: Internet, api: Api, good: Server, name: str, value: str) -> None:
    """Text of a challenge is a parameter's value at most, never a parameter, or part of a header."""
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    api.challenge = f'Bearer {name}="{quoted}"'
    _expect_no_crash(auth_for(internet))
    for url in internet.visited:
        assert 1 == url.count("client_id=")
        assert url.isascii()
        assert url.isprintable()


def endless(kind: str) -> Callable[[int], Answer]:
    """Return answers that don't end, and differ from each other."""
    challenges: dict[str, Callable[[int], tuple[int, str]]] = {
        "401": lambda _: (401, 'Bearer error="invalid_token"'),
        "403": lambda _: (403, 'Bearer error="insufficient_scope", scope="more"'),
        "403 without scope": lambda _: (403, 'Bearer error="insufficient_scope"'),
        "403 that grow": lambda count: (403, f'Bearer error="insufficient_scope", scope="more-{count}"'),
        "401 that grow": lambda count: (401, f'Bearer error="invalid_token", scope="more-{count}"'),
        "both": lambda count: (401 + count % 2 * 2, f'Bearer error="insufficient_scope", scope="more-{count}"'),
        "logins": lambda count: (401, f'Bearer error="insufficient_user_authentication", acr_values="{count}"'),
        "places": lambda count: (401, f'Bearer resource_metadata="https://evil.example/{count}"'),
    }

    def make(count: int) -> Answer:
        status, challenge = challenges[kind](count)
        return Answer(status, b"more", (("WWW-Authenticate", challenge),))

    return make


@pytest.mark.parametrize(
    "kind", ["401", "403", "403 without scope", "403 that grow", "401 that grow", "both", "logins", "places"]
)
def test_endless_challenges(mode: Mode, serve: Callable[..., ScriptedServer], kind: str) -> None:
    """A request is sent three times at most and causes two logins at most; twenty of them cause a handful."""
    make, logins = endless(kind), 0
    asked: list[str | None] = []

    def script(request: Received) -> Answer:
        if request.path.startswith("/.well-known/oauth-authorization-server"):
            names = ("authorization", "token", "registration")
            endpoints = {f"{name}_endpoint": f"{server.url}/{name}" for name in names}
            return Answer(200, {"issuer": server.url, "code_challenge_methods_supported": ["S256"], **endpoints})
        if request.path.startswith("/.well-known/"):
            return Answer(404)
        if request.path == "/registration":
            return Answer(201, {"client_id": "client", "token_endpoint_auth_method": "none"})
        if request.path == "/token":
            return Answer(200, {"access_token": f"token-{len(server.requests)}", "expires_in": 3600})
        asked.append(request.authorization)
        if request.authorization is None:
            return Answer(401, b"more", (("WWW-Authenticate", "Bearer"),))
        return make(len(asked))

    def log_in(begin: Any) -> str:
        nonlocal logins
        logins += 1
        return f"{begin('http://127.0.0.1:1/callback').url}&code=code".replace(
            f"{server.url}/authorization", "/callback"
        )

    server = serve(script)
    with mode.client(mode.plugin.ResourceAuth(server.url, login=log_in)) as client:
        assert b"more" == client.get(f"{server.url}/x").content
        assert len(asked) <= 3
        assert 1 <= logins <= 2
        for number in range(20):
            asked.clear()
            client.get(f"{server.url}/{number}")
            assert len(asked) <= 3
    assert logins <= 6
