"""Guarantee 5 of `ResourceAuth`: the token stays in the resource, whatever each library makes of URLs."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from oauth_auth import OAuthToken
from tests.support.modes import Client, Mode
from tests.support.scripted import Answer, Received, ScriptedServer

pytestmark = pytest.mark.each_plugin

Serve = Callable[..., ScriptedServer]

TENANT = "/tenants/1"


class Place:
    """A host whose tenants are resources, each below /tenants/, and its authorization server, an origin of its own.

    A request is answered with 200 if it has the token, and with 401 if not, wherever it goes. `answers` are the test's
    own, by path.
    """

    def __init__(self, serve: Serve) -> None:
        self.answers: dict[str, Callable[[Received], Answer | None]] = {}
        self.issued = 0
        self.logins = 0
        self.host = serve(self._answer_as_host)
        self.authority = serve(self._answer_as_authority)
        self.url = f"{self.host.url}{TENANT}"
        self.tokens: set[str | None] = set()

    def auth(self, mode: Mode, url: str | None = None, **options: Any) -> Any:
        return mode.plugin.ResourceAuth(url or self.url, **{"login": self.log_in, **options})

    def log_in(self, begin: Any) -> str:
        self.logins += 1
        query = parse_qs(urlsplit(begin("http://127.0.0.1:1/callback").url).query)
        return f"{query['redirect_uri'][0]}?{urlencode({'code': 'code', 'state': query['state'][0]})}"

    @property
    def sent(self) -> list[tuple[str, bool]]:
        """The requests to the host, but for metadata: where they went, and whether with a token of ours."""
        requests = [request for request in self.host.requests if not request.path.startswith("/.well-known/")]
        return [(request.path, request.authorization in self.tokens) for request in requests]

    def _answer_as_host(self, request: Received) -> Answer:
        if request.path == f"/.well-known/oauth-protected-resource{TENANT}":
            return Answer(200, {"resource": self.url, "authorization_servers": [self.authority.url]})
        if request.path.startswith("/.well-known/"):
            return Answer(404)
        answer = self.answers[request.path](request) if request.path in self.answers else None
        return answer or challenging(self.tokens)(request)

    def _answer_as_authority(self, request: Received) -> Answer:
        url = self.authority.url
        if request.path.startswith("/.well-known/"):
            names = ("authorization", "token", "registration")
            endpoints = {f"{name}_endpoint": f"{url}/{name}" for name in names}
            return Answer(200, {"issuer": url, "code_challenge_methods_supported": ["S256"], **endpoints})
        if request.path == "/registration":
            return Answer(201, {"client_id": "client", "token_endpoint_auth_method": "none"})
        self.issued += 1
        token = f"token-{self.issued}"
        self.tokens.add(f"Bearer {token}")
        return Answer(200, {"access_token": token, "refresh_token": f"refresh-{token}", "expires_in": 3600})


def challenging(tokens: set[str | None]) -> Callable[[Received], Answer]:
    def script(request: Received) -> Answer:
        if request.authorization in tokens:
            return Answer(200, request.body)
        return Answer(401, b"who are you?", (("WWW-Authenticate", 'Bearer error="invalid_token"'),))

    return script


def redirecting(location: str, status: int = 307) -> Callable[[Received], Answer]:
    return lambda request: Answer(status, b"", (("Location", location),))


@pytest.fixture
def place(serve: Serve) -> Place:
    return Place(serve)


@pytest.fixture
def elsewhere(serve: Serve, place: Place) -> ScriptedServer:
    """Another origin, which says that it wants a token."""
    return serve(challenging(place.tokens))


@contextmanager
def logged_in(mode: Mode, place: Place) -> Iterator[tuple[Client, Any]]:
    """Open a client whose auth object has a token that was used."""
    auth = place.auth(mode)
    with mode.client(auth) as client:
        assert 200 == client.get(f"{place.url}/first").status_code
        place.host.requests.clear()
        yield client, auth
    assert 1 == place.logins
    assert 1 == place.issued


WITHIN = ["", "/", "/below", "/below/", "/a.b/..c", "/...", "?query=/../", "/?..", "/%20x", "//", "/.hidden", "/a;b=c"]
BESIDE = [
    "/",
    "/tenants",
    "/tenants/",
    "/tenants/2",
    "/tenants/10",
    "/tenants/1x",
    "/tenants/1;a=b/x",
    "/tenants/1%2fx",
    "/Tenants/1",
    "//tenants/1",
    "/x/tenants/1",
]
CLIMBING = [
    "/tenants/1/../2",
    "/tenants/1/..",
    "/tenants/1/x/../../2",
    "/tenants/1/%2e%2e/2",
    "/tenants/1/.%2e/2",
    "/tenants/1/%2E%2E/2",
    "/tenants/1/%252e%252e/2",
    "/tenants/1/%25252e%25252e/2",
    "/tenants/1/%2525252e%2525252e/2",
    "/tenants/1/..;/2",
    "/tenants/1/..;a=b/2",
    "/tenants/1/%2e%2e%3b/2",
    "/tenants/1/..%2f2",
    "/tenants/1/..%252f2",
    "/tenants/1%2f..%2f2",
    "/tenants/1/x%2f..%2f..%2f2",
    "/tenants/1/..\\2",
    "/tenants/1\\..\\2",
    "/tenants/1/..%5c2",
    "/tenants/1/%2e%2e%5c2",
    "/tenants/1/..%20/2",
    "/tenants/1/..%09/2",
    "/tenants/1/..%00/2",
    "/tenants/1/..%3f/2",
    "/tenants/1/..%23/2",
]


@pytest.mark.parametrize("path", WITHIN)
def test_within(plugin_mode: Mode, place: Place, path: str) -> None:
    """The resource and what's below it gets the token: this guards against sending it nowhere."""
    with logged_in(plugin_mode, place) as (client, _):
        assert 200 == client.get(f"{place.url}{path}").status_code
    assert [True] == [has_token for _, has_token in place.sent]


@pytest.mark.parametrize("path", BESIDE)
def test_beside(mode: Mode, place: Place, path: str) -> None:
    """A path beside that of the resource gets none; its answer is the caller's, and asks nobody for anything."""
    with logged_in(mode, place) as (client, _):
        for _ in range(2):  # it's remembered
            answer = client.get(f"{place.host.url}{path}")
            assert (401, b"who are you?") == (answer.status_code, answer.content)
    assert [False, False] == [has_token for _, has_token in place.sent]


def _send(client: Client, url: str) -> None:
    """Send a request; a library may refuse to."""
    refusals = (ValueError, client.mode.transport_error, getattr(client.mode.library, "InvalidURL", ValueError))
    with suppress(*refusals):
        client.get(url)


@pytest.mark.parametrize("path", CLIMBING)
def test_climbing(mode: Mode, place: Place, path: str) -> None:
    """A path that climbs out of the resource gets none, however it's written, and however the library writes it."""
    with logged_in(mode, place) as (client, _):
        _send(client, f"{place.host.url}{path}")
        _send(client, f"{place.host.url}{path}?query")
    assert not any(has_token for _, has_token in place.sent)


@pytest.mark.parametrize("path", [*BESIDE[:4], *CLIMBING[:4]])
def test_no_token_yet(plugin_mode: Mode, place: Place, path: str) -> None:
    """Nor does a challenge from there lead to a login."""
    with plugin_mode.client(place.auth(plugin_mode)) as client:
        _send(client, f"{place.host.url}{path}")
    assert not any(has_token for _, has_token in place.sent)
    assert 0 == place.logins
    assert [] == place.authority.requests


@pytest.mark.parametrize("has_token", [True, False])
def test_other_origins(mode: Mode, place: Place, elsewhere: ScriptedServer, serve: Serve, has_token: bool) -> None:
    """Another port, name or address is another origin: it gets nothing, and its challenge leads to nothing."""
    neighbour = serve(challenging(place.tokens), host="127.0.0.2")
    urls = [f"{elsewhere.url}{TENANT}", f"{neighbour.url}{TENANT}", place.url.replace("127.0.0.1", "localhost")]
    with mode.client(place.auth(mode)) as client:
        if has_token:
            client.get(place.url)
        place.host.requests.clear()
        for url in urls:
            assert 401 == client.get(url).status_code
    received = [*elsewhere.requests, *neighbour.requests, *place.host.requests]
    assert [None] * 3 == [request.authorization for request in received]
    assert has_token == bool(place.logins)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_to_another_origin(mode: Mode, place: Place, elsewhere: ScriptedServer, status: int) -> None:
    """A redirect takes the token nowhere else, and a challenge from there is the caller's."""
    place.answers[f"{TENANT}/leads"] = redirecting(f"{elsewhere.url}{TENANT}", status)
    with logged_in(mode, place) as (client, _):
        assert 401 == client.get(f"{place.url}/leads").status_code
    assert [(f"{TENANT}/leads", True)] == place.sent
    assert [None] == [request.authorization for request in elsewhere.requests]


def test_redirect_without_a_token(mode: Mode, place: Place, elsewhere: ScriptedServer) -> None:
    """The same for a request that had none yet: what another origin, or path, demands isn't asked for."""
    place.answers[f"{TENANT}/leads"] = redirecting(f"{elsewhere.url}{TENANT}")
    place.answers[f"{TENANT}/sideways"] = redirecting("/tenants/2")
    with mode.client(place.auth(mode)) as client:
        assert 401 == client.get(f"{place.url}/leads").status_code
        assert 401 == client.get(f"{place.url}/sideways").status_code
    assert 0 == place.logins
    assert [] == place.authority.requests
    assert [None] == [request.authorization for request in elsewhere.requests]


def test_redirect_of_the_replay(mode: Mode, place: Place, elsewhere: ScriptedServer) -> None:
    """Nor does the request go there that's sent again with the token it lacked."""

    def answer(request: Received) -> Answer | None:
        return redirecting(f"{elsewhere.url}/there")(request) if request.authorization in place.tokens else None

    place.answers[TENANT] = answer
    with mode.client(place.auth(mode)) as client:
        assert 401 == client.get(place.url).status_code
    assert [(TENANT, False), (TENANT, True)] == place.sent
    assert [None] == [request.authorization for request in elsewhere.requests]
    assert 1 == place.logins


def test_redirect_from_another_origin(mode: Mode, place: Place, elsewhere: ScriptedServer) -> None:
    """Another origin can't have the token sent, by a redirect to the resource."""
    elsewhere.script = redirecting(f"{place.url}/transfer")
    with logged_in(mode, place) as (client, _):
        assert 401 == client.get(f"{elsewhere.url}/").status_code
    assert [(f"{TENANT}/transfer", False)] == place.sent


@pytest.mark.parametrize("has_token", [True, False])
def test_chain_that_leads_back(mode: Mode, place: Place, elsewhere: ScriptedServer, has_token: bool) -> None:
    """Once another origin has led a request on, it gets no token: what it does is that origin's choice."""
    place.answers[f"{TENANT}/leads"] = redirecting(f"{elsewhere.url}/there")
    elsewhere.script = redirecting(f"{place.url}/transfer")
    with mode.client(place.auth(mode)) as client:
        if has_token:
            client.get(place.url)
        place.host.requests.clear()
        assert 401 == client.send("POST", f"{place.url}/leads", body=b"a body").status_code
    assert [(f"{TENANT}/leads", has_token), (f"{TENANT}/transfer", False)] == place.sent
    assert [None] == [request.authorization for request in elsewhere.requests]
    assert has_token == bool(place.logins)


@pytest.mark.parametrize("target", ["/tenants/2", "/tenants/1/../2", "../2", "/tenants/1/%2e%2e/2"])
def test_redirect_within_the_host(mode: Mode, place: Place, target: str) -> None:
    """A redirect beside the resource renews nothing and asks for nothing, whether or not the library copies headers."""
    place.answers[f"{TENANT}/leads"] = redirecting(target)

    def answer(request: Received) -> Answer:
        return Answer(401, b"who are you?", (("WWW-Authenticate", 'Bearer error="invalid_token"'),))

    for path in ("/tenants/2", "/tenants/1/../2", "/tenants/1/%2e%2e/2"):
        place.answers[path] = answer
    with logged_in(mode, place) as (client, _):
        assert 401 == client.get(f"{place.url}/leads").status_code
    [first, second] = place.sent
    assert (f"{TENANT}/leads", True) == first
    assert mode.is_like_httpx == second[1]  # it copies the header within a host, and asks no auth about it


@pytest.mark.having("is_like_requests")
def test_request_that_is_sent_twice(mode: Mode, place: Place) -> None:
    """One that was prepared, and redirected beside the resource, shows what was sent, and can be sent once more."""
    auth = place.auth(mode)
    with mode.client(auth) as client:
        client.get(place.url)
        place.host.requests.clear()
        place.answers[f"{TENANT}/leads"] = redirecting("/tenants/2")
        prepared = client.inner.prepare_request(mode.library.Request("GET", f"{place.url}/leads"))
        answer = client.run(client.inner.send, prepared)
        assert 401 == answer.status_code
        assert "Bearer token-1" == answer.history[0].request.headers["Authorization"]
        place.answers.clear()
        assert 200 == client.run(client.inner.send, prepared).status_code
    assert [True, False, False, True] == [has_token for _, has_token in place.sent]


@pytest.mark.having("has_prepared_requests")
@pytest.mark.parametrize("is_renewed", [False, True])
def test_own_token_is_taken_off(mode: Mode, place: Place, is_renewed: bool) -> None:
    """A request that was made of another one, as by a redirect that's followed by hand, loses the token beside it.

    So it does if the token was renewed meanwhile: the old one may be good for longer.
    """
    auth = place.auth(mode)
    with mode.client(auth) as client:
        client.get(place.url)
        header = f"Bearer {auth.token.access_token}"
        if is_renewed:
            mode.refresh(auth)
        place.host.requests.clear()
        for path in ("/tenants/2", "/tenants/1/%2e%2e/2"):
            client.get(f"{place.host.url}{path}", headers={"Authorization": header})
    assert [None, None] == [request.authorization for request in place.host.requests]


def test_callers_own_header_stays(mode: Mode, place: Place) -> None:
    """What isn't ours is the caller's, beside the resource and elsewhere."""
    with logged_in(mode, place) as (client, _):
        client.get(f"{place.host.url}/tenants/2", headers={"Authorization": "Bearer theirs"})
        client.get(f"{place.host.url}/tenants/2", headers={"Authorization": "Basic dTpw"})
    assert ["Bearer theirs", "Basic dTpw"] == [request.authorization for request in place.host.requests]


def test_two_resources_of_a_host(mode: Mode, place: Place) -> None:
    """Each has a token of its own, in one client."""
    other = place.auth(mode, f"{place.host.url}/tenants/2", token=OAuthToken(access_token="other"))
    with logged_in(mode, place) as (client, auth):
        place.tokens.add("Bearer other")
        for tenant in (1, 2, 1):
            client.get(f"{place.host.url}/tenants/{tenant}/x", auth=auth)
            client.get(f"{place.host.url}/tenants/{tenant}/x", auth=other)
    sent = [request.authorization for request in place.host.requests]
    assert ["Bearer token-1", None, None, "Bearer other", "Bearer token-1", None] == sent


def test_the_resource_is_a_whole_host(mode: Mode, place: Place, elsewhere: ScriptedServer) -> None:
    """A resource without a path is all of its host, with dot segments that lead nowhere else left out."""
    auth = place.auth(mode, place.host.url, token=OAuthToken(access_token="given"))
    place.tokens.add("Bearer given")
    with mode.client(auth) as client:
        for path in ("", "/", "/x", "/tenants/2"):
            assert 200 == client.get(f"{place.host.url}{path}").status_code
        assert 401 == client.get(f"{elsewhere.url}/x").status_code
    assert [None] == [request.authorization for request in elsewhere.requests]
    assert 0 == place.logins


def test_http_client_sends_what_was_written(place: Place) -> None:
    """The server sees paths as they were sent: this guards the tests above against being about other ones."""
    address = urlsplit(place.host.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port)
    connection.request("GET", "/tenants/1/%2e%2e/2")
    connection.getresponse().read()
    connection.close()
    assert [("/tenants/1/%2e%2e/2", False)] == place.sent
