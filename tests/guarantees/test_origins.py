"""Guarantees 7 and 8: the token goes only where the caller sent it, and in the clear nowhere beyond loopback."""

from __future__ import annotations

import base64
import io
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import niquests.utils
import pytest

from oauth_auth import (
    ConfigurationError,
    InsecureTransportError,
    OAuthToken,
    TokenError,
    TokenResponseError,
)
from tests.support.modes import HTTPX, HTTPX2, NIQUESTS, OF_REQUESTS, REQUESTS, Client, Mode, adapter_of, answered
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, accepting, client_credentials

Serve = Callable[..., ScriptedServer]

GIVEN = OAuthToken(access_token="given")

BASIC = "Basic " + base64.b64encode(b"client:secret").decode()


def redirecting(location: str, status: int = 302) -> Callable[[Received], Answer]:
    return lambda request: Answer(status, b"", (("Location", location),))


def rejecting(request: Received) -> Answer:
    return Answer(401, b"foreign", (("WWW-Authenticate", 'Bearer error="invalid_token"'),))


def authorizations(server: ScriptedServer) -> list[str | None]:
    return [request.authorization for request in server.requests]


@pytest.fixture
def proxy(serve: Serve) -> ScriptedServer:
    """A server that takes requests for all hosts there are, as a proxy does; their paths are whole URLs."""
    return serve(lambda request: Answer(200))


@contextmanager
def through(proxy: ScriptedServer, mode: Mode, auth: Any) -> Iterator[Client]:
    """Open a client that sends all its requests through the proxy, so that a URL may name any host."""
    with mode.client(auth, **({} if mode.is_like_requests else {"proxy": proxy.url})) as client:
        if mode.is_like_requests:
            client.inner.proxies = {"http": proxy.url}
        yield client


def get_if_possible(client: Client, url: str, auth: Any) -> None:
    """Send a request; a URL that the library refuses goes nowhere, and InsecureTransportError is a ValueError."""
    refusals = (ValueError, client.mode.transport_error, getattr(client.mode.library, "InvalidURL", ValueError))
    with suppress(*refusals, AssertionError):  # http.client asserts that no host has a percent sign
        client.get(url, auth=auth)


# -- Redirects to other origins -----------------------------------------------------------------------------------

FOREIGN = {
    "other port": lambda serve, script: serve(script),
    "other address": lambda serve, script: serve(script, host="127.0.0.2"),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("answer", [200, 403])
def test_token_does_not_follow_a_redirect_to_another_origin(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, foreign: Callable[..., ScriptedServer], answer: int
) -> None:
    """Another origin never gets the token, whatever it answers, and a rejection from there renews nothing."""
    other = foreign(serve, lambda request: Answer(answer, b"foreign"))
    api = serve(redirecting(f"{other.url}/there", 307))
    auth = client_credentials(plugin_mode, tokens, token=GIVEN, rejection_statuses=(401, 403))
    with plugin_mode.client(auth) as client:
        response = client.send("POST", f"{api.url}/here", body=b"a body")

    assert (answer, b"foreign") == (response.status_code, response.content)
    assert ["Bearer given"] == authorizations(api)
    assert [None] == authorizations(other)
    assert 0 == tokens.calls


@pytest.mark.parametrize("where", ["client", "request"])
def test_rejection_by_another_origin_renews_nothing(mode: Mode, tokens: Tokens, serve: Serve, where: str) -> None:
    """A 401 from an origin that a redirect led to is the caller's, for auth of the client and of the request."""
    other = serve(rejecting)
    api = serve(redirecting(other.url))
    auth = client_credentials(mode, tokens, token=GIVEN)
    with mode.client(auth if where == "client" else None) as client:
        response = client.get(api.url, **({} if where == "client" else {"auth": auth}))

    assert (401, b"foreign") == (response.status_code, response.content)
    assert [None] == authorizations(other)
    assert ["Bearer given"] == authorizations(api)
    assert 0 == tokens.calls


def test_token_does_not_follow_a_redirect_to_another_name_of_the_same_server(
    mode: Mode, tokens: Tokens, serve: Serve
) -> None:
    """The same server under another name is another origin."""
    api = serve(lambda request: Answer(500))
    elsewhere = api.url.replace("127.0.0.1", "localhost")
    api.script = lambda request: redirecting(f"{elsewhere}/2")(request) if request.path == "/1" else rejecting(request)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 401 == client.get(f"{api.url}/1").status_code

    assert ["Bearer given", None] == authorizations(api)
    assert 0 == tokens.calls


def test_token_does_not_follow_a_redirect_of_the_replay(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """Where the replay is redirected to another origin, that one gets neither the old token nor the new."""
    other = serve(rejecting)
    answer = accepting(tokens)

    def script(request: Received) -> Answer:
        return redirecting(other.url)(request) if request.authorization in tokens.accepted else answer(request)

    api = serve(script)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        response = client.get(api.url)

    assert (401, b"foreign") == (response.status_code, response.content)
    assert ["Bearer given", "Bearer token-1"] == authorizations(api)
    assert [None] == authorizations(other)
    assert 1 == tokens.calls


@pytest.mark.parametrize("answer", [200, 401])
def test_chain_that_leads_back_costs_nothing(plugin_mode: Mode, tokens: Tokens, serve: Serve, answer: int) -> None:
    """Where another origin leads back to the first, nothing is renewed: no token was rejected."""
    api = serve(lambda request: Answer(500))
    other = serve(redirecting(f"{api.url}/back"))
    api.script = lambda request: Answer(answer) if request.path == "/back" else redirecting(other.url)(request)
    with plugin_mode.client(client_credentials(plugin_mode, tokens, token=GIVEN)) as client:
        assert answer == client.get(api.url).status_code

    assert "Bearer given" == api.requests[0].authorization
    assert [None] == authorizations(other)
    assert 0 == tokens.calls


def test_rejection_elsewhere_leaves_the_first_origin_as_it_was(plugin_mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """An origin that redirects lead to, and that rejects all, doesn't use up what the first origin is granted."""
    other = serve(rejecting)
    answer = accepting(tokens)
    api = serve(lambda request: redirecting(other.url)(request) if request.path == "/away" else answer(request))
    with plugin_mode.client(client_credentials(plugin_mode, tokens, token=GIVEN)) as client:
        assert [401] * 8 == [client.get(f"{api.url}/away").status_code for _ in range(8)]
        assert 0 == tokens.calls
        assert 200 == client.get(f"{api.url}/here").status_code

    assert 1 == tokens.calls


@pytest.mark.parametrize("allowed", ["all", "both"])
def test_allowed_origin_gets_no_token_by_a_redirect(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, allowed: str
) -> None:
    """An origin that the token may go to gets it if the caller addresses it, and not by a redirect from another."""
    other = serve(rejecting)
    api = serve(redirecting(other.url))
    origins = None if allowed == "all" else [api.url, other.url]
    auth = client_credentials(plugin_mode, tokens, token=GIVEN, allowed_origins=origins)
    with plugin_mode.client(auth) as client:
        assert 401 == client.get(api.url).status_code

    assert [None] == authorizations(other)
    assert 0 == tokens.calls


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_response_hooks_survive_redirects_to_another_origin(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """Response hooks of the caller's see the answers of the other origin, each one once."""
    other = serve(rejecting)
    api = serve(redirecting(other.url))
    seen: list[int] = []
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        client.get(api.url, hooks={"response": lambda response, **options: seen.append(response.status_code)})

    assert [302, 401] == seen
    assert 0 == tokens.calls


@contextmanager
def keeping_the_header(mode: Mode, auth: Any, header: str) -> Iterator[Client]:
    """Open a client whose owner sends the header along to wherever a redirect leads, as its library never would."""

    async def go_on(request: Any, handler: Any) -> Any:
        add(request)
        return await handler(request)

    def add(request: Any) -> None:
        request.headers["Authorization"] = header

    async def add_async(request: Any) -> None:
        add(request)

    with mode.client(auth, **({"after": [go_on]} if mode.has_middlewares else {})) as client:
        if mode.is_like_requests:
            client.inner.rebuild_auth = lambda request, response: None
        elif mode.is_like_httpx:
            client.inner.event_hooks = {"request": [add if mode.backend is None else add_async]}
        yield client


def test_rejection_by_another_origin_that_got_the_token_renews_nothing(
    mode: Mode, tokens: Tokens, serve: Serve
) -> None:
    """Where the caller's own client takes the token along, another origin's 401 is the caller's all the same."""
    other = serve(rejecting)
    api = serve(redirecting(other.url))
    auth = client_credentials(mode, tokens, token=GIVEN)
    with keeping_the_header(mode, auth, "Bearer given") as client:
        response = client.get(api.url)

    assert (401, b"foreign") == (response.status_code, response.content)
    assert ["Bearer given"] == authorizations(api)
    assert ["Bearer given"] == authorizations(other)
    assert 0 == tokens.calls


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("http://api.example/", "http://other.example/"),
        ("http://api.example/", "http://api.example:8080/"),
        ("http://api.example/", "http://api.example.other.example/"),
        ("http://api.example/", "http://www.api.example/"),
        ("http://api.example:8080/", "http://api.example/"),
        ("http://api.example/", "//other.example/"),
        ("http://api.example/", "http://api.example@other.example/"),
        ("http://api.example/", "http://api.example:80@other.example/"),
        ("http://api.example/", "http://api.example./"),
    ],
)
def test_token_does_not_follow_a_redirect_to_another_host(
    plugin_mode: Mode, tokens: Tokens, proxy: ScriptedServer, begin: str, end: str
) -> None:
    """Another host or port is another origin, however alike the URLs look."""
    proxy.script = lambda request: redirecting(end)(request) if request.path == begin else rejecting(request)
    auth = client_credentials(plugin_mode, tokens, token=GIVEN, allow_insecure_transport=True)
    with through(proxy, plugin_mode, auth) as client:
        assert 401 == client.get(begin).status_code

    assert ["Bearer given", user_info_of(plugin_mode, end)] == authorizations(proxy)
    assert 0 == tokens.calls


def user_info_of(mode: Mode, url: str) -> str | None:
    """Return the header that the library itself makes of user and password in a URL."""
    parts = urlsplit(url)
    if not mode.sends_user_info or parts.username is None:
        return None
    return "Basic " + base64.b64encode(f"{parts.username}:{parts.password or ''}".encode()).decode()


def carries_token(request: Received) -> bool:
    """Return whether a request has a token, and not just what its library makes of user info in a URL."""
    return (request.authorization or "").startswith("Bearer ")


TRICKY = [
    "http://api.example\\\\@other.example/",
    "http://other.example\\\\@api.example/",
    "http://other.example%5C@api.example/",
    "http://other.example#@api.example/",
    "http://other.example?@api.example/",
    "http://other.example/@api.example/",
    "\\\\\\\\other.example/",
    "/\\\\other.example/",
    "///other.example/",
    "////other.example/",
    "http:other.example/",
    "http:///other.example/",
    "http://api.example\t.other.example/",
    "http://api.example%2eother.example/",
    "http://api.example\xa0.other.example/",
    "HTTP://OTHER.EXAMPLE/",
    "http://api.example:80:80@other.example/",
    "http://[::1]@other.example/",
]


def test_no_trick_with_a_redirect_takes_the_token_along(
    plugin_mode: Mode, tokens: Tokens, proxy: ScriptedServer
) -> None:
    """However a redirect is written, the token stays with the host that it was sent to."""
    leaks = []
    with through(proxy, plugin_mode, None) as client:
        for location in TRICKY:
            # As it stands, and through the replay.
            for token in (GIVEN, None):
                auth = client_credentials(plugin_mode, tokens, token=token, allow_insecure_transport=True)
                proxy.script = lambda request: (
                    redirecting(location)(request)
                    if request.path == "http://api.example/begin" and request.authorization in {"Bearer given", None}
                    else Answer(404)
                )
                seen = len(proxy.requests)
                get_if_possible(client, "http://api.example/begin", auth)
                leaks += [
                    (location, request.path)
                    for request in proxy.requests[seen:]
                    if carries_token(request) and not request.path.startswith("http://api.example/")
                ]

    assert [] == leaks
    assert len(proxy.requests) > 2 * len(TRICKY)


@pytest.mark.parametrize("end", ["http://api.example:80/", "http://API.example/", "//api.example/", "/", "2"])
def test_token_follows_a_redirect_within_the_origin(
    plugin_mode: Mode, tokens: Tokens, proxy: ScriptedServer, end: str
) -> None:
    """The same origin in other words is the same origin: its rejection is renewed, too."""
    answer = accepting(tokens)
    proxy.script = lambda request: redirecting(end)(request) if request.path.endswith("/begin") else answer(request)
    auth = client_credentials(plugin_mode, tokens, token=GIVEN, allow_insecure_transport=True)
    with through(proxy, plugin_mode, auth) as client:
        assert 200 == client.get("http://api.example/begin").status_code

    assert ["Bearer given", "Bearer given", "Bearer token-1"] == authorizations(proxy)


# -- Other schemes ------------------------------------------------------------------------------------------------


class Network:
    """Two hosts that only exist in here, since loopback has no certificate: what they get, and what they answer."""

    def __init__(self, end: str | None = None) -> None:
        self.end = end
        self.seen: list[tuple[str, str | None]] = []

    def answer(self, request: Any) -> tuple[int, dict[str, str]]:
        self.seen.append((str(request.url), request.headers.get("Authorization")))
        if self.end is None:
            return 200, {}
        return (401, {}) if str(request.url) == self.end else (302, {"Location": self.end})


@contextmanager
def inside(network: Network, mode: Mode, auth: Any) -> Iterator[Client]:
    """Open a client that knows no other network."""

    def handle(request: Any) -> Any:
        status, headers = network.answer(request)
        return mode.library.Response(status, headers=headers)

    def respond(request: Any) -> Any:
        response = mode.library.Response()
        response.status_code, headers = network.answer(request)
        response.headers.update(headers)
        response.url, response.request = request.url or "", request
        response.raw, response._content, response._content_consumed = io.BytesIO(), b"", True
        return response

    async def answer_last(request: Any, handler: Any) -> Any:
        return answered(request, *network.answer(request))

    if mode.has_middlewares:
        with mode.client(auth, after=[answer_last]) as client:
            yield client
        return
    if mode.is_like_httpx:
        with mode.client(auth, transport=mode.library.MockTransport(handle)) as client:
            yield client
        return
    with mode.client(auth) as client:
        client.inner.mount("http://", adapter_of(mode, respond))
        client.inner.mount("https://", adapter_of(mode, respond))
        yield client


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("https://api.example/", "http://api.example/"),
        ("https://api.example:8080/", "http://api.example:8080/"),
        ("http://api.example:8080/", "https://api.example:8080/"),
        ("http://api.example:8080/", "https://api.example/"),
        ("https://api.example/", "https://api.example:8443/"),
    ],
)
def test_token_does_not_follow_a_redirect_to_another_scheme(
    plugin_mode: Mode, tokens: Tokens, begin: str, end: str
) -> None:
    """The same host by another scheme is another origin."""
    network = Network(end)
    auth = client_credentials(plugin_mode, tokens, token=GIVEN, allow_insecure_transport=True)
    with inside(network, plugin_mode, auth) as client:
        assert 401 == client.get(begin).status_code

    assert [(begin, "Bearer given"), (end, None)] == network.seen
    assert 0 == tokens.calls


# -- Origins that the caller allows -------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [200, 401])
def test_origin_that_is_not_allowed_gets_the_request_without_the_token(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, api: ScriptedServer, answer: int
) -> None:
    """To an origin outside `allowed_origins` the request goes without the token, and its answer is the caller's."""
    other = serve(lambda request: Answer(answer, b"foreign " + request.body))
    auth = client_credentials(plugin_mode, tokens, allowed_origins=[api.url])
    with plugin_mode.client(auth) as client:
        for _ in range(3):
            response = client.send("POST", f"{other.url}/there", body=b"a body")
            assert (answer, b"foreign a body") == (response.status_code, response.content)
        assert 0 == tokens.calls
        assert [] == response.history
        # The token that there is by now changes nothing.
        assert 200 == client.get(api.url).status_code
        assert answer == client.get(other.url).status_code

    assert [None] * 4 == authorizations(other)
    assert ["Bearer token-1"] == authorizations(api)
    assert 1 == tokens.calls


def test_origin_that_is_not_allowed_gets_what_the_caller_sends(plugin_mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """An `Authorization` header of the caller's own goes to an origin that the token may not go to."""
    other = serve(rejecting)
    auth = client_credentials(plugin_mode, tokens, token=GIVEN, allowed_origins=["https://api.example"])
    with plugin_mode.client(auth) as client:
        assert 401 == client.get(other.url, headers={"Authorization": "Bearer mine"}).status_code

    assert ["Bearer mine"] == authorizations(other)
    assert 0 == tokens.calls


def test_no_origin_may_be_allowed(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """An empty list allows none."""
    with plugin_mode.client(client_credentials(plugin_mode, tokens, token=GIVEN, allowed_origins=[])) as client:
        assert 401 == client.get(api.url).status_code

    assert [None] == authorizations(api)
    assert 0 == tokens.calls


def test_fixed_token_goes_to_allowed_origins_only(plugin_mode: Mode, serve: Serve) -> None:
    """`BearerAuth` keeps to `allowed_origins`, too."""
    api, other = serve(lambda request: Answer(200)), serve(lambda request: Answer(200))
    with plugin_mode.client(plugin_mode.plugin.BearerAuth("given", allowed_origins=[api.url])) as client:
        client.get(api.url)
        client.get(other.url)

    assert ["Bearer given"] == authorizations(api)
    assert [None] == authorizations(other)


IPV6 = "http://[2001:db8::1]"

SAME = [
    ("http://api.example", "http://api.example"),
    ("http://api.example", "http://api.example/path?query=1#fragment"),
    ("http://api.example", "http://api.example?query=1"),
    ("http://api.example", "http://api.example:80/"),
    ("http://api.example", "HTTP://API.Example/"),
    ("http://api.example", "http://user:password@api.example/"),
    ("http://api.example/", "http://api.example/"),
    ("http://api.example:80", "http://api.example/"),
    ("HTTP://API.EXAMPLE", "http://api.example/"),
    ("http://api.example:8080", "http://api.example:8080/"),
    ("http://api.example:08080", "http://api.example:8080/"),
    ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
    (IPV6, f"{IPV6}/"),
    (IPV6, f"{IPV6}:80/"),
    (f"{IPV6}:80", f"{IPV6}/"),
    (f"{IPV6}:8080", f"{IPV6}:8080/"),
    ("http://[2001:DB8::1]", f"{IPV6}/"),
    (IPV6, "http://[2001:DB8::1]/"),
    ("http://xn--bcher-kva.example", "http://xn--bcher-kva.example/"),
    ("http://xn--bcher-kva.example", "http://b\xfccher.example/"),
    ("http://XN--bcher-kva.example", "http://B\xdcCHER.example/"),
]


def test_allowed_origin_is_known_in_all_its_forms(plugin_mode: Mode, tokens: Tokens) -> None:
    """Case, default port, a trailing slash, user info and an international name make no other origin."""
    arrived = {}
    network = Network()
    with inside(network, plugin_mode, None) as client:
        for allowed, url in SAME:
            auth = client_credentials(
                plugin_mode, tokens, token=GIVEN, allowed_origins=[allowed], allow_insecure_transport=True
            )
            assert 200 == client.get(url, auth=auth).status_code
            _, arrived[allowed, url] = network.seen[-1]

    assert dict.fromkeys(SAME, "Bearer given") == arrived


OTHER = [
    ("http://api.example", "http://api.example:8080/"),
    ("http://api.example:8080", "http://api.example/"),
    ("http://api.example:443", "http://api.example/"),
    ("https://api.example", "http://api.example/"),
    ("https://api.example", "http://api.example:443/"),
    ("http://api.example", "http://www.api.example/"),
    ("http://api.example", "http://example/"),
    ("http://api.example", "http://api.example.other/"),
    ("http://api.example", "http://other-api.example/"),
    ("http://api.example", "http://other/http://api.example/"),
    ("http://api.example", "http://other/?http://api.example"),
    ("http://api.example", "http://other/#http://api.example"),
    ("http://api.example", "http://api.example@other/"),
    ("http://api.example", "http://api.example:80@other/"),
    ("http://api.example", "http://api.example:80@other:80/"),
    ("http://api.example", "http://api.example%2f@other/"),
    ("http://api.example", "http://api.example%40other/"),
    ("http://api.example", "http://other?@api.example/"),
    ("http://api.example", "http://other#@api.example/"),
    ("http://api.example", "http://other/@api.example/"),
    ("http://api.example", "http://other\\@api.example/"),
    ("http://api.example", "http://api.example\\@other/"),
    ("http://api.example", "http://api.example\\.other/"),
    ("http://api.example", "http:\\\\api.example@other/"),
    ("http://api.example", "http://other:80:api.example/"),
    ("http://api.example", "http://a@b@other/"),
    ("http://api.example", "http://api.example;@other/"),
    ("http://api.example", "http://api.example\t.other/"),
    ("http://api.example", "http://api.example\n.other/"),
    ("http://api.example", "http://api.example .other/"),
    ("http://api.example", "http://api\u3002example.other/"),
    ("http://api.example", "http://\uff41pi.example.other/"),
    ("http://127.0.0.1", "http://127.0.0.1.other/"),
    ("http://[::1]", "http://[::2]/"),
    ("http://xn--bcher-kva.example", "http://bucher.example/"),
]


def test_origin_that_only_looks_like_an_allowed_one_gets_no_token(
    plugin_mode: Mode, tokens: Tokens, proxy: ScriptedServer
) -> None:
    """No trick with a URL makes the token go to a host or port that isn't allowed."""
    leaks = []
    with through(proxy, plugin_mode, None) as client:
        for allowed, url in OTHER:
            auth = client_credentials(
                plugin_mode, tokens, token=GIVEN, allowed_origins=[allowed], allow_insecure_transport=True
            )
            seen = len(proxy.requests)
            get_if_possible(client, url, auth)
            # What counts is where the proxy is told to go.
            leaks += [
                (allowed, url, request.path)
                for request in proxy.requests[seen:]
                if carries_token(request) and not request.path.startswith(f"{allowed}/")
            ]

    assert [] == leaks
    assert 0 == tokens.calls
    assert len(proxy.requests) > len(OTHER) / 2


NO_ORIGINS: list[Any] = [
    "https://api.example",
    ["api.example"],
    ["https://api.example/path"],
    ["https://api.example?query"],
    ["https://api.example#fragment"],
    ["https://user:password@api.example"],
    ["https://"],
    ["ftp://api.example"],
    ["*"],
    ["https://*.example "],
    ["https://api.example:port"],
    ["https://b\xfccher.example"],
    [None],
    [b"https://api.example"],
    ["http://api.example"],
]


def test_origin_that_is_none_is_refused_at_construction(plugin_mode: Mode) -> None:
    """What is no origin is a `ConfigurationError`, and not an origin that never matches."""
    for origins in NO_ORIGINS:
        with pytest.raises(ConfigurationError):
            plugin_mode.plugin.BearerAuth("given", allowed_origins=origins)


# -- Plain http ---------------------------------------------------------------------------------------------------

BEYOND = [
    "http://api.example/",
    "HTTP://API.EXAMPLE/",
    "http://10.0.0.1/",
    "http://0.0.0.0/",
    "http://128.0.0.1/",
    "http://[::2]/",
    "http://[::ffff:10.0.0.1]/",
    "http://localhost.example/",
    "http://notlocalhost/",
    "http://127.0.0.1.example/",
    "http://localhost@api.example/",
    "http://127.0.0.1:80@api.example/",
]


def test_token_is_not_sent_over_plain_http(plugin_mode: Mode, tokens: Tokens, proxy: ScriptedServer) -> None:
    """Plain http beyond loopback raises before anything is sent: no request, no token call."""
    with through(proxy, plugin_mode, client_credentials(plugin_mode, tokens)) as client:
        for url in BEYOND:
            with pytest.raises(InsecureTransportError) as raised:
                client.get(f"{url}path?key=query-secret")
            assert "query-secret" not in str(raised.value)
            assert "@" not in str(raised.value)

    assert [] == proxy.requests
    assert 0 == tokens.calls


def test_token_is_not_sent_over_plain_http_though_there_is_one(
    mode: Mode, tokens: Tokens, proxy: ScriptedServer
) -> None:
    """The same in each mode, with a token at hand, and each time."""
    with through(proxy, mode, client_credentials(mode, tokens, token=GIVEN)) as client:
        for _ in range(3):
            with pytest.raises(InsecureTransportError):
                client.get("http://api.example/")

    assert [] == proxy.requests
    assert 0 == tokens.calls


@pytest.mark.parametrize(
    ("plugin_mode", "url"),
    [
        (REQUESTS, "http://api.invalid/"),
        (NIQUESTS, "http://api.invalid/"),
        (HTTPX, "http://api.invalid/"),
        (HTTPX2, "http://api.invalid/"),
        # httpx sends the handshake of a WebSocket as plain http, too.
        (HTTPX, "ws://api.invalid/"),
        (HTTPX2, "ws://api.invalid/"),
    ],
    ids=str,
)
def test_plain_http_raises_before_a_connection_is_made(plugin_mode: Mode, tokens: Tokens, url: str) -> None:
    """A host that doesn't even exist isn't looked up."""
    with (
        plugin_mode.client(client_credentials(plugin_mode, tokens)) as client,
        pytest.raises(InsecureTransportError),
    ):
        client.get(url)

    assert 0 == tokens.calls


LOOPBACK = [
    "http://localhost/",
    "http://LOCALHOST:8080/",
    "http://api.localhost/",
    "http://127.0.0.1/",
    "http://127.1.2.3:8080/",
    "http://[::1]/",
    "http://[::1]:8080/",
    "http://user:password@localhost/",
]


def test_plain_http_is_fine_on_loopback(plugin_mode: Mode, tokens: Tokens) -> None:
    """Each form of loopback gets the token over plain http."""
    network = Network()
    with inside(network, plugin_mode, client_credentials(plugin_mode, tokens, token=GIVEN)) as client:
        for url in LOOPBACK:
            assert 200 == client.get(url).status_code

    assert ["Bearer given"] * len(LOOPBACK) == [authorization for _, authorization in network.seen]


NOT_LOOPBACK = [
    "http://127.0.0.1@api.example/",
    "http://127.0.0.1:80@api.example/",
    "http://127.0.0.1\\@api.example/",
    "http://api.example\\@127.0.0.1/",
    "http://127.0.0.1#@api.example/",
    "http://127.0.0.1?@api.example/",
    "http://127.0.0.1%2f@api.example/",
    "http://localhost%00.api.example/",
    "http://127.0.0.1\t.api.example/",
    "http://0x7f000001.api.example/",
    "http://localhost\u3002api.example/",
]


def test_no_trick_with_a_url_makes_it_look_like_loopback(
    plugin_mode: Mode, tokens: Tokens, proxy: ScriptedServer
) -> None:
    """Where a URL that looks like loopback leads beyond it, the token isn't sent."""
    auth = client_credentials(plugin_mode, tokens, token=GIVEN)
    with through(proxy, plugin_mode, auth) as client:
        for url in NOT_LOOPBACK:
            get_if_possible(client, url, auth)

    # Nothing arrived but what the library itself reads as loopback.
    assert {"127.0.0.1"} >= {urlsplit(request.path).hostname for request in proxy.requests}


def test_plain_http_is_the_callers_to_allow(plugin_mode: Mode, tokens: Tokens, proxy: ScriptedServer) -> None:
    """`allow_insecure_transport=True` sends the token to any host."""
    auth = client_credentials(plugin_mode, tokens, token=GIVEN, allow_insecure_transport=True)
    with through(proxy, plugin_mode, auth) as client:
        assert 200 == client.get("http://api.example/").status_code

    assert ["Bearer given"] == authorizations(proxy)


def test_plain_http_is_fine_where_the_token_does_not_go(mode: Mode, tokens: Tokens, proxy: ScriptedServer) -> None:
    """A request to an origin that isn't allowed carries no token, so plain http is none of our business."""
    auth = client_credentials(mode, tokens, token=GIVEN, allowed_origins=["https://api.example"])
    with through(proxy, mode, auth) as client:
        assert 200 == client.get("http://api.example/").status_code
        assert 200 == client.get("http://other.example/").status_code

    assert [None, None] == authorizations(proxy)


# -- Token calls --------------------------------------------------------------------------------------------------


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("whose", ["own", "given"])
def test_token_call_follows_no_redirect(plugin_mode: Mode, tokens: Tokens, serve: Serve, whose: str) -> None:
    """A token endpoint that answers with a redirect is an error, and nothing goes where it points to."""
    other = serve(lambda request: Answer(200, {"access_token": "stolen"}))
    for location in (f"{other.url}/token", "/elsewhere"):
        tokens.answer = redirecting(location, 307)
        with plugin_mode.token_client() as client:
            options = {} if whose == "own" else {"token_client": client}
            auth = client_credentials(plugin_mode, tokens, **options)
            with pytest.raises(TokenResponseError) as raised:
                auth.get_token()
        assert 307 == raised.value.status_code

    assert [] == other.requests
    assert ["/token"] * 2 == [request.path for request in tokens.server.requests]


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have a `.netrc` that knows loopback; return the `Authorization` that it would make."""
    for name in (".netrc", "_netrc"):
        (tmp_path / name).write_text("machine 127.0.0.1 login netrc password netrc-secret\n")
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    # niquests remembers by URL what it found before, and a port may have been another test's.
    niquests.utils.get_netrc_auth.cache_clear()
    return "Basic " + base64.b64encode(b"netrc:netrc-secret").decode()


@pytest.mark.parametrize("whose", ["own", "given"])
@pytest.mark.parametrize("secret", ["secret", None], ids=["confidential", "public"])
def test_token_call_does_not_read_netrc(
    plugin_mode: Mode, tokens: Tokens, netrc: str, whose: str, secret: str | None
) -> None:
    """A `.netrc` that knows the token endpoint's host neither replaces nor stands in for the client's credentials."""
    with plugin_mode.token_client() as client:
        options = {} if whose == "own" else {"token_client": client}
        plugin_mode.plugin.ClientCredentialsAuth(tokens.url, "client", secret, **options).get_token()

    assert [BASIC if secret else None] == authorizations(tokens.server)


def test_netrc_does_not_replace_the_token(mode: Mode, tokens: Tokens, api: ScriptedServer, netrc: str) -> None:
    """A `.netrc` that knows the API's host doesn't replace the token, nor that of the replay."""
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 200 == client.get(api.url).status_code

    assert ["Bearer given", "Bearer token-1"] == authorizations(api)


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_netrc_of_another_origin_is_no_token(mode: Mode, tokens: Tokens, serve: Serve, netrc: str) -> None:
    """What requests takes from `.netrc` for another origin is no token of ours: its rejection renews nothing."""
    other = serve(rejecting)
    api = serve(redirecting(other.url))
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 401 == client.get(api.url).status_code

    assert [netrc] == authorizations(other)
    assert 0 == tokens.calls


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_rejection_of_other_credentials_after_a_redirect_renews_nothing(
    mode: Mode, tokens: Tokens, serve: Serve, netrc: str
) -> None:
    """At a redirect, requests puts what `.netrc` knows in the token's place: its rejection renews nothing."""
    api = serve(lambda request: redirecting("/there")(request) if request.path == "/here" else rejecting(request))
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 401 == client.get(f"{api.url}/here").status_code

    assert ["Bearer given", netrc] == authorizations(api)
    assert 0 == tokens.calls


@pytest.mark.parametrize("whose", ["own", "given"])
def test_cookies_of_token_calls_and_of_the_api_are_kept_apart(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, whose: str
) -> None:
    """The token endpoint's cookies don't enter the API client's jar, nor the API's cookies its token calls."""
    tokens.answer = lambda request: Answer(
        200,
        {"access_token": f"token-{tokens.calls}", "expires_in": 3600},
        (("Set-Cookie", "of-the-token-endpoint=1; Path=/"),),
    )

    def script(request: Received) -> Answer:
        status = 200 if request.authorization == f"Bearer token-{tokens.calls}" else 401
        return Answer(status, b"", (("Set-Cookie", "of-the-api=1; Path=/"),))

    api = serve(script)
    with plugin_mode.token_client() as given:
        auth = client_credentials(plugin_mode, tokens, **({} if whose == "own" else {"token_client": given}))
        with plugin_mode.client(auth) as client:
            client.set_cookie("had", "1")
            assert 200 == client.get(api.url).status_code
            plugin_mode.refresh(auth)
            assert 200 == client.get(api.url).status_code
            assert {"had": "1", "of-the-api": "1"} == client.cookies

    assert 2 == tokens.calls
    assert not any("of-the-api" in request.headers.get("cookie", "") for request in tokens.server.requests)
    assert not any("had" in request.headers.get("cookie", "") for request in tokens.server.requests)
    assert not any("of-the-token" in request.headers.get("cookie", "") for request in api.requests)


def test_token_calls_send_no_cookies(plugin_mode: Mode, tokens: Tokens) -> None:
    """A cookie that the token endpoint sets isn't sent back with the next token call."""
    tokens.answer = lambda request: Answer(200, {"access_token": "a"}, (("Set-Cookie", "tracked=1; Path=/"),))
    auth = client_credentials(plugin_mode, tokens)
    auth.get_token()
    auth.refresh()

    assert [None] * 2 == [request.headers.get("cookie") for request in tokens.server.requests]


def test_settings_of_a_given_token_client_are_kept(plugin_mode: Mode, tokens: Tokens, proxy: ScriptedServer) -> None:
    """A client given for token calls sends them with its headers and through its proxy, and stays open."""
    proxy.script = lambda request: Answer(200, {"access_token": "through-the-proxy"})
    with plugin_mode.token_client(proxy=proxy.url, headers={"User-Agent": "mine/1.0"}) as client:
        auth = plugin_mode.plugin.ClientCredentialsAuth(
            "http://auth.example/token", "client", "secret", token_client=client, allow_insecure_transport=True
        )
        assert "through-the-proxy" == auth.get_token().access_token
        auth.close()
        auth.refresh()

    assert ["http://auth.example/token"] * 2 == [request.path for request in proxy.requests]
    assert ["mine/1.0"] * 2 == [request.headers["user-agent"] for request in proxy.requests]
    assert [BASIC] * 2 == authorizations(proxy)


def test_environments_proxy_is_used_for_token_calls(
    plugin_mode: Mode, proxy: ScriptedServer, monkeypatch: pytest.MonkeyPatch, read_environment: None
) -> None:
    """Token calls go through the proxy that the environment names, by a client of our own, too."""
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.url)
    proxy.script = lambda request: Answer(200, {"access_token": "through-the-proxy"})
    auth = plugin_mode.plugin.ClientCredentialsAuth(
        "http://auth.example/token", "client", "secret", allow_insecure_transport=True
    )
    assert "through-the-proxy" == auth.get_token().access_token


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_environments_proxy_gets_no_secret_that_is_for_this_machine(
    plugin_mode: Mode,
    proxy: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    read_environment: None,
    host: str,
) -> None:
    """A token call over plain http to loopback goes there itself: a proxy would have the secret in the clear."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    proxy.script = lambda request: Answer(200, {"access_token": "through-the-proxy"})
    port = unused_port()
    url = f"http://{host}:{port}/token"
    auth = plugin_mode.plugin.ClientCredentialsAuth(url, "client", "secret", token_timeout=0.2)
    with pytest.raises(plugin_mode.plugin.TokenTransportError):
        auth.get_token()

    assert [] == proxy.requests


@pytest.mark.filterwarnings("ignore:(The 'auth' parameter|BasicAuth) :DeprecationWarning")
@pytest.mark.parametrize("secret", ["secret", None], ids=["confidential", "public"])
def test_auth_of_a_given_token_client_is_not_used(plugin_mode: Mode, tokens: Tokens, secret: str | None) -> None:
    """Credentials that a client given for token calls has for other purposes aren't sent with them."""
    settings: list[dict[str, Any]] = [
        {"auth": ("user", "password")},
        {"headers": {"Authorization": "Bearer of-another-purpose"}},
    ]
    for setting in settings:
        with plugin_mode.token_client(**setting) as client:
            plugin_mode.plugin.ClientCredentialsAuth(tokens.url, "client", secret, token_client=client).get_token()

    assert [BASIC if secret else None] * 2 == authorizations(tokens.server)


@pytest.mark.having("has_sync_client")
def test_auth_object_may_be_the_auth_of_its_own_token_client(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """One client can be used for the API and, given as `token_client`, for token calls: none waits for itself."""
    with plugin_mode.client() as client:
        client.inner.auth = client_credentials(plugin_mode, tokens, token=GIVEN, token_client=client.inner)
        assert 200 == client.get(api.url).status_code

    assert [BASIC] == authorizations(tokens.server)


def test_given_token_client_that_raises_for_statuses_harms_no_error(plugin_mode: Mode, tokens: Tokens) -> None:
    """A refusal is an error of ours though the client given raises for it, in a hook of its own."""
    tokens.answer = lambda request: Answer(400, {"error": "invalid_scope"})
    with plugin_mode.token_client(hook=lambda response: response.raise_for_status()) as client:
        auth = client_credentials(plugin_mode, tokens, token_client=client)
        with pytest.raises(TokenError) as raised:
            auth.get_token()

    assert 400 == raised.value.status_code
    assert not raised.value.retryable
    assert 1 == tokens.calls


@pytest.mark.parametrize("mode", [REQUESTS, NIQUESTS], ids=str)
def test_url_without_a_path_opens_no_other_origin(mode: Mode, tokens: Tokens) -> None:
    """A request prepared by hand, whose URL has no path, lets the token go to its own origin alone."""
    auth = client_credentials(mode, tokens, token=GIVEN, allowed_origins=["https://api.example.com"])

    def carries(url: str) -> bool:
        request = mode.library.PreparedRequest()
        request.prepare("GET", "https://api.example.com/")
        request.url = url
        return "Authorization" in auth(request).headers

    api = "https://api.example.com"
    # The origin used last is known by how its URLs begin.
    urls = [api, api, "https://api.example.co/", "https://api.example.co", f"{api}.other.example/", f"{api}:8443/"]
    assert [True, True, False, False, False, False, True] == [carries(url) for url in [*urls, f"{api}/"]]


@pytest.mark.parametrize("scheme", ["psse+native", "ws+native", "http"])
def test_scheme_of_any_length_opens_no_other_host(tokens: Tokens, scheme: str) -> None:
    """A request to loopback, whatever its scheme is called, doesn't open plain http to every host."""
    auth = client_credentials(NIQUESTS, tokens, token=GIVEN)

    def prepared(url: str) -> Any:
        request = niquests.PreparedRequest()
        request.prepare("GET", "http://127.0.0.1/")
        request.url = url
        return request

    assert "Authorization" in auth(prepared(f"{scheme}://127.0.0.1/")).headers
    for url in (f"{scheme}://192.0.2.2/", f"{scheme}://192.0.2.2", f"{scheme}://127.0.0.1.example.com/"):
        with pytest.raises(InsecureTransportError):
            auth(prepared(url))


@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_a_redirected_request_takes_no_token_to_where_it_may_not_go(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A session that applies the auth object to redirects, too, sends no token to an origin that isn't allowed."""
    other = serve(lambda request: Answer(200))
    api = serve(redirecting(other.url))
    auth = client_credentials(mode, tokens, token=GIVEN, allowed_origins=[api.url])
    with mode.client(auth) as client:
        client.inner.rebuild_auth = lambda request, response: request.prepare_auth(auth)
        assert 200 == client.get(api.url).status_code

    assert ["Bearer given"] == authorizations(api)
    assert [None] == authorizations(other)
