"""Guarantee 7 of `ResourceAuth`: https, and no way from a public resource to this machine and its network."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_auth import DeviceLogin, DiscoveryError, InsecureTransportError, MemoryTokenStore
from tests.support.internet import API, RESOURCE_PLACE, Api, Internet, Server
from tests.support.modes import HTTPX, REQUESTS
from tests.support.steps import answer

pytestmark = pytest.mark.shared_core

INSIDE = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1.2.3",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0X7F.1",
    "0177.0.0.1",
    "0",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a00:1]",
    "[::ffff:0:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "service.localhost",
    # What some libraries take for another host than others do.
    r"127.0.0.1\.good.example",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "local%68ost",
    "localhost%2e",
    "127.0.0.1%00.good.example",
]
ENDPOINTS = ["authorization_endpoint", "token_endpoint", "registration_endpoint"]


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture
def good(internet: Internet) -> Server:
    return Server(internet, "https://good.example")


@pytest.fixture
def api(internet: Internet, good: Server) -> Api:
    return Api(internet, good)


def auth_for(internet: Internet, url: str = API, **options: Any) -> Any:
    return internet.join(REQUESTS.plugin.ResourceAuth(url, **{"login": internet.log_in, **options}))


@pytest.mark.parametrize("host", INSIDE)
def test_issuer_inside(internet: Internet, api: Api, host: str) -> None:
    """A public resource can't have anything sent to an issuer on this machine, or on its network."""
    for port in ("", ":8443"):
        api.metadata["authorization_servers"] = [f"https://{host}{port}", f"https://{host}{port}/tenant"]
        with pytest.raises(DiscoveryError, match="no authorization server can be used"):
            auth_for(internet).get_token()
    assert {api.origin} == internet.origins


@pytest.mark.parametrize("host", INSIDE)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_endpoint_inside(internet: Internet, api: Api, good: Server, endpoint: str, host: str) -> None:
    """Nor to an endpoint there, nor is a person sent to one."""
    good.metadata[endpoint] = f"https://{host}/there"
    with pytest.raises(DiscoveryError, match="no authorization server can be used"):
        auth_for(internet).get_token()
    assert {api.origin, good.origin} == internet.origins
    assert {"GET"} == {request.method for request in internet.sent}
    assert [] == internet.visited


@pytest.mark.parametrize(
    ("endpoint", "use"),
    [
        ("revocation_endpoint", lambda auth: auth.revoke()),
        ("introspection_endpoint", lambda auth: auth.introspect()),
    ],
    ids=["revocation", "introspection"],
)
def test_endpoint_inside_that_is_used_later(
    internet: Internet, api: Api, good: Server, endpoint: str, use: Any
) -> None:
    """Nor to one that's needed after the login alone."""
    good.metadata[endpoint] = "https://127.0.0.1/there"
    auth = auth_for(internet)
    auth.get_token()
    with pytest.raises(DiscoveryError, match=r"nothing is sent there"):
        use(auth)
    assert {api.origin, good.origin} == internet.origins


def test_device_endpoint_inside(internet: Internet, api: Api, good: Server) -> None:
    """The same goes for logins on another device."""
    good.metadata["device_authorization_endpoint"] = "https://169.254.169.254/latest"
    with pytest.raises(DiscoveryError, match="device_authorization_endpoint"):
        auth_for(internet, login=DeviceLogin()).get_token()
    assert {"GET"} == {request.method for request in internet.sent}


def test_pushed_request_inside(internet: Internet, api: Api, good: Server) -> None:
    """And for requests that the server wants to be pushed."""
    good.metadata |= {
        "pushed_authorization_request_endpoint": "https://[::1]/par",
        "require_pushed_authorization_requests": True,
    }
    with pytest.raises(DiscoveryError, match="pushed_authorization_request_endpoint"):
        auth_for(internet).get_token()
    assert {api.origin, good.origin} == internet.origins
    assert [] == internet.visited


def test_renewal_by_another_object(internet: Internet, api: Api, good: Server) -> None:
    """Nor does an object send anything there that has the login from a store, and finds other metadata now."""
    store = MemoryTokenStore()
    auth_for(internet, store=store).get_token()
    good.metadata["token_endpoint"] = "https://10.0.0.1/token"
    with pytest.raises(DiscoveryError, match=r"token_endpoint"):
        auth_for(internet, store=store).refresh()
    assert {api.origin, good.origin} == internet.origins


def test_next_server_is_tried(internet: Internet, good: Server) -> None:
    """A server that's inside isn't the end: the next one may do."""
    api = Api(internet, good)
    api.metadata["authorization_servers"] = ["https://127.0.0.1:8443", "http://good.example", good.issuer]
    assert auth_for(internet).get_token().access_token in good.issued
    assert {api.origin, good.origin} == internet.origins


@pytest.mark.parametrize("inside", ["https://127.0.0.1:9000/v1", "https://localhost/v1", "https://10.1.2.3/v1"])
def test_resource_that_is_inside_itself(internet: Internet, inside: str) -> None:
    """A resource on this machine or network may have its server there."""
    server = Server(internet, "https://192.168.1.1")
    Api(internet, server, url=inside)
    assert auth_for(internet, inside).get_token().access_token in server.issued


def test_issuer_that_the_user_has_named(internet: Internet) -> None:
    """A user may name a server of their own network for a public resource."""
    server = Server(internet, "https://192.168.1.1")
    Api(internet, server)
    with pytest.raises(DiscoveryError):
        auth_for(internet).get_token()
    assert auth_for(internet, issuer=server.issuer).get_token().access_token in server.issued


@pytest.mark.parametrize(
    "host", ["good.example", "1.1.1.1", "[2606:4700::1111]", "a_b.example", "xn--bcher-kva.example"]
)
def test_public_hosts(internet: Internet, host: str) -> None:
    """What's plainly public is used: this guards against refusing all."""
    server = Server(internet, f"https://{host}")
    Api(internet, server)
    assert auth_for(internet).get_token().access_token in server.issued


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("scheme", ["http", "ftp", "file", "javascript", "HTTP", "ws"])
def test_endpoints_without_tls(internet: Internet, api: Api, good: Server, endpoint: str, scheme: str) -> None:
    """An endpoint has https; a server without isn't used, and nobody is sent there."""
    good.metadata[endpoint] = f"{scheme}://good.example/there"
    with pytest.raises(DiscoveryError, match="no authorization server can be used"):
        auth_for(internet).get_token()
    assert {"GET"} == {request.method for request in internet.sent}
    assert [] == internet.visited
    assert {"https"} == {request.url.partition(":")[0] for request in internet.sent}


@pytest.mark.parametrize("url", ["http://api.example/v1", "http://10.0.0.1/v1", "HTTP://api.example/v1"])
def test_resource_without_tls(url: str) -> None:
    """So has the resource, but for loopback, unless the user says otherwise."""
    with pytest.raises(InsecureTransportError):
        HTTPX.plugin.ResourceAuth(url)
    HTTPX.plugin.ResourceAuth(url, allow_insecure_transport=True)


def test_metadata_by_http_of_a_resource_by_https(internet: Internet, api: Api, good: Server) -> None:
    """A challenge can't have the metadata fetched in the clear."""
    api.challenge = f'Bearer resource_metadata="http://api.example{RESOURCE_PLACE}/v1"'
    internet.hosts["http://api.example"] = api
    auth_for(internet).get_token()
    assert {api.origin, good.origin} == internet.origins


def test_server_at_http_of_a_resource_by_https(internet: Internet, api: Api, good: Server) -> None:
    """Nor the server's."""
    api.metadata["authorization_servers"] = ["http://good.example"]
    internet.hosts["http://good.example"] = good
    good.answers[good.place] = lambda _: answer(200, good.metadata | {"issuer": "http://good.example"})
    with pytest.raises(DiscoveryError, match="plain http"):
        auth_for(internet).get_token()
    assert {api.origin} == internet.origins
