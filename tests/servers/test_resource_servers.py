"""The servers that protect a resource do as their harness says, measured with plain `requests` and none of our code."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from .login import LoginFailed, approve_device, authorize
from .mcp_servers import FastMcpServer, PythonServer, TypeScriptServer
from .resource_provider import ResourceProvider
from .resource_server import REDIRECT_URI, ResourceServer

SERVERS = [ResourceProvider, PythonServer, FastMcpServer, TypeScriptServer]
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture(scope="module", params=SERVERS, ids=lambda kind: kind.__name__)
def running(request: pytest.FixtureRequest) -> Iterator[ResourceServer]:
    with request.param() as server:
        yield server


@pytest.fixture(scope="module")
def running_provider() -> Iterator[ResourceProvider]:
    with ResourceProvider() as server:
        yield server


class Program:
    """A program that knows a URL, and finds out the rest."""

    def __init__(self, server: ResourceServer, http: requests.Session) -> None:
        self.server, self.http = server, http
        self.challenge = self.http.post(server.url, json={}).headers["WWW-Authenticate"]
        found = re.search(r'resource_metadata="([^"]*)"', self.challenge)
        assert found is not None
        self.resource_metadata = self.http.get(found[1]).json()
        (issuer,) = self.resource_metadata["authorization_servers"]
        self.metadata = self.http.get(f"{issuer.rstrip('/')}/.well-known/oauth-authorization-server").json()
        self.client_id = ""

    def register(self, **metadata: Any) -> requests.Response:
        """Register as a public client for both scopes."""
        fields = {
            "application_type": "native",
            "grant_types": ["authorization_code", "refresh_token"],
            "redirect_uris": [REDIRECT_URI],
            "response_types": ["code"],
            "scope": "basic admin",
            "token_endpoint_auth_method": "none",
        }
        response = self.http.post(self.metadata["registration_endpoint"], json=fields | metadata)
        self.client_id = response.json().get("client_id", "")
        return response

    def log_in(self, scope: str = "basic", **parameters: str) -> dict[str, Any]:
        """Have Alice log in, and return the token."""
        verifier = secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        query = {
            "client_id": self.client_id,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "redirect_uri": REDIRECT_URI,
            "resource": self.server.url,
            "response_type": "code",
            "scope": scope,
            "state": "s",
        }
        redirect = authorize(f"{self.metadata['authorization_endpoint']}?{urlencode(query | parameters)}", REDIRECT_URI)
        answer = {name: values[0] for name, values in parse_qs(urlsplit(redirect).query).items()}
        assert "s" == answer["state"]
        return self.token("authorization_code", code=answer["code"], code_verifier=verifier, redirect_uri=REDIRECT_URI)

    def token(self, grant_type: str, **fields: str) -> dict[str, Any]:
        given = {"client_id": self.client_id, "grant_type": grant_type, "resource": self.server.url}
        return dict(self.http.post(self.metadata["token_endpoint"], data=given | fields).json())

    def use(self, token: dict[str, Any], *, admin: bool = False) -> requests.Response:
        """Do with the resource what any token is for, or what `admin` is for."""
        self.http.headers["Authorization"] = f"Bearer {token['access_token']}"
        try:
            if isinstance(self.server, ResourceProvider):
                return self.http.get(self.server.url + ("/admin" if admin else ""))
            return self._call_tool("administer" if admin else "greet")
        finally:
            del self.http.headers["Authorization"]

    def _call_tool(self, name: str) -> requests.Response:
        client = {"name": "program", "version": "1"}
        first = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        headers = {"Accept": "application/json, text/event-stream"}
        begun = self._ask("initialize", first, headers)
        if not begun.ok:
            return begun
        return self._ask(
            "tools/call", {"name": name, "arguments": {}}, headers | {"Mcp-Session-Id": begun.headers["Mcp-Session-Id"]}
        )

    def _ask(self, method: str, parameters: dict[str, Any], headers: dict[str, str]) -> requests.Response:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        return self.http.post(self.server.url, json=message, headers=headers)


@pytest.fixture
def program(running: ResourceServer) -> Iterator[Program]:
    with requests.Session() as http:
        http.trust_env = False
        running.reset()
        yield Program(running, http)


@pytest.fixture
def at_provider(running_provider: ResourceProvider) -> Iterator[Program]:
    with requests.Session() as http:
        http.trust_env = False
        running_provider.reset()
        yield Program(running_provider, http)


def test_the_url_is_enough(program: Program) -> None:
    """From its own challenge on, the server tells all that's needed, and takes the token that comes of it."""
    assert program.server.url == program.resource_metadata["resource"]
    assert program.server.issuer == program.metadata["issuer"]
    assert ["basic", "admin"] == program.resource_metadata["scopes_supported"]
    assert 201 == program.register().status_code
    assert 200 == program.use(program.log_in()).status_code


def test_calls_are_counted(program: Program) -> None:
    """Each kind of call is counted by itself, until a reset."""
    server = program.server
    program.register()
    program.log_in()
    places = ("registrations", "logins", "token_requests", "metadata_requests", "requests")
    assert [1, 1, 1, 2, 1] == [getattr(server, place) for place in places]
    server.reset()
    assert 5 * [0] == [getattr(server, place) for place in places]


def test_administering_wants_more_scope(program: Program) -> None:
    """A token without the scope `admin` is answered 403, one with it isn't."""
    program.register()
    refused = program.use(program.log_in(), admin=True)
    assert 403 == refused.status_code
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    assert 200 == program.use(program.log_in("basic admin"), admin=True).status_code


def test_revoked_tokens_are_renewed(program: Program) -> None:
    """After a revocation the token is rejected, and the refresh token, which rotates, is good."""
    if isinstance(program.server, ResourceProvider):
        program.register(scope="basic offline_access")
        first = program.log_in("basic offline_access", prompt="consent")
    else:
        program.register()
        first = program.log_in()
    program.server.revoke_access_tokens()
    rejected = program.use(first)
    assert 401 == rejected.status_code
    assert 'error="invalid_token"' in rejected.headers["WWW-Authenticate"]
    second = program.token("refresh_token", refresh_token=first["refresh_token"])
    assert first["refresh_token"] != second["refresh_token"]
    assert 200 == program.use(second).status_code
    assert "invalid_grant" == program.token("refresh_token", refresh_token=first["refresh_token"])["error"]


def test_lifetimes_can_be_set(program: Program) -> None:
    """Tokens issued from then on have the lifetime, until a reset."""
    program.register()
    program.server.set_access_token_lifetime(2)
    assert 2 == program.log_in()["expires_in"]
    program.server.reset()
    assert 3600 == program.log_in()["expires_in"]


def test_clients_can_be_forgotten(program: Program) -> None:
    """A forgotten client is told so by the token endpoint; at the authorization endpoint only the person is."""
    program.register()
    program.server.forget_clients()
    assert "invalid_client" == program.token("refresh_token", refresh_token="r")["error"]
    with pytest.raises(LoginFailed):
        program.log_in()


# -- What only oidc-provider has ----------------------------------------------------------------------------------


def test_a_metadata_document_is_a_client(at_provider: Program) -> None:
    """A client that hasn't registered logs in by the URL of its document."""
    server = at_provider.server
    assert isinstance(server, ResourceProvider)
    at_provider.client_id = server.client_metadata_url
    assert 200 == at_provider.use(at_provider.log_in()).status_code
    assert 0 == server.registrations


def test_a_token_is_for_one_resource(at_provider: Program) -> None:
    """The resource beside it, of the same origin and server, takes a token of its own alone."""
    server = at_provider.server
    assert isinstance(server, ResourceProvider)
    at_provider.register()
    headers = {"Authorization": f"Bearer {at_provider.log_in()['access_token']}"}
    assert 401 == at_provider.http.get(server.other_url, headers=headers).status_code
    assert 404 == at_provider.http.get(f"{server.url}x", headers=headers).status_code
    assert 200 == at_provider.http.get(f"{server.url}/x", headers=headers).status_code


def test_a_device_logs_in(at_provider: Program) -> None:
    """A registered client may use the device grant."""
    at_provider.register(grant_types=[DEVICE_GRANT, "authorization_code"])
    fields = {"client_id": at_provider.client_id, "scope": "basic", "resource": at_provider.server.url}
    begun = at_provider.http.post(at_provider.metadata["device_authorization_endpoint"], data=fields).json()
    approve_device(begun["verification_uri_complete"])
    assert 200 == at_provider.use(at_provider.token(DEVICE_GRANT, device_code=begun["device_code"])).status_code


def test_a_service_has_its_own_token(at_provider: Program) -> None:
    """The client that's known from the start gets a token for the resource."""
    server = at_provider.server
    assert isinstance(server, ResourceProvider)
    fields = {"grant_type": "client_credentials", "resource": server.url, "scope": "basic"}
    credentials = (server.service.client_id, server.service.secret)
    token = at_provider.http.post(server.token_url, data=fields, auth=credentials).json()
    assert 200 == at_provider.use(token).status_code


def test_another_login_can_be_wanted(at_provider: Program) -> None:
    """The API wants a login of some strength, and whoever asks for it, and for `openid`, gets it."""
    server = at_provider.server
    assert isinstance(server, ResourceProvider)
    at_provider.register(scope="openid basic")
    server.want_login(acr_values="phishing-resistant")
    refused = at_provider.use(at_provider.log_in("openid basic"))
    assert 401 == refused.status_code
    assert 'acr_values="phishing-resistant"' in refused.headers["WWW-Authenticate"]
    stronger = at_provider.log_in("openid basic", acr_values="phishing-resistant")
    assert 200 == at_provider.use(stronger).status_code
