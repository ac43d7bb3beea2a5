"""Clients that register at `LocalProvider` (RFC 7591), and those whose id is the URL of their metadata."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import requests

import oauth_auth.requests
from oauth_auth import BrowserLogin
from oauth_auth.testing import LocalProvider

from .bare_client import REDIRECT_URI, BareClient, in_threads, redirected, refusal
from .test_local_provider import CHALLENGE, VERIFIER

GRANTS = ["authorization_code", "refresh_token", "client_credentials"]


def register(client: BareClient, **metadata: Any) -> requests.Response:
    fields = {"redirect_uris": [REDIRECT_URI], "grant_types": GRANTS, **metadata}
    return client.session.post(client.provider.registration_url, json=fields)


def registered(client: BareClient, method: str = "none", **metadata: Any) -> dict[str, Any]:
    answer = register(client, token_endpoint_auth_method=method, **metadata)
    assert 201 == answer.status_code
    return dict(answer.json())


def as_registered(client: BareClient, fields: dict[str, Any]) -> dict[str, str]:
    """Make the client the registered one; return what it must put into the form."""
    method = fields["token_endpoint_auth_method"]
    client.basic = (fields["client_id"], fields["client_secret"]) if method == "client_secret_basic" else None
    form = {"client_id": fields["client_id"]}
    return {**form, "client_secret": fields["client_secret"]} if method == "client_secret_post" else form


def log_in(client: BareClient, client_id: str, **parameters: str) -> requests.Response:
    pkce = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    return client.authorize(client_id=client_id, **pkce, **parameters)


def metadata_of(client: BareClient) -> dict[str, Any]:
    return dict(client.session.get(f"{client.provider.issuer}/.well-known/oauth-authorization-server").json())


# The endpoint


def test_a_registration_is_answered(client: BareClient) -> None:
    """The answer has an id, a secret, and all that was registered, the defaults included; the rest isn't known."""
    before = int(time.time())
    answer = client.session.post(
        client.provider.registration_url,
        json={"redirect_uris": [REDIRECT_URI], "client_name": "Orders", "application_type": "native", "x": 1},
    )
    assert (201, "no-store") == (answer.status_code, answer.headers["Cache-Control"])
    fields = answer.json()
    assert fields.pop("client_id")
    assert fields.pop("client_secret")
    assert before <= fields.pop("client_id_issued_at") <= time.time()
    assert {
        "redirect_uris": [REDIRECT_URI],
        "client_name": "Orders",
        "application_type": "native",
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "client_secret_expires_at": 0,
    } == fields


def test_a_public_client_has_no_secret(client: BareClient) -> None:
    """Neither a secret nor its end are in the answer."""
    assert {"client_secret", "client_secret_expires_at"}.isdisjoint(registered(client))


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
def test_a_registered_client_logs_in(client: BareClient, method: str) -> None:
    """It gets tokens, and renews them, as it has registered, and introspection tells whose they are."""
    fields = registered(client, method)
    own = client.basic
    form = as_registered(client, fields)
    code = redirected(log_in(client, fields["client_id"]))["code"]
    tokens = client.exchange(code, code_verifier=VERIFIER, **form).json()
    assert 200 == client.api(tokens["access_token"]).status_code
    fresh = client.refresh(tokens["refresh_token"], **form).json()
    assert 200 == client.api(fresh["access_token"]).status_code
    client.basic = own
    assert fields["client_id"] == client.introspect(fresh["access_token"]).json()["client_id"]


@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("used", ["none", "client_secret_basic", "client_secret_post"])
def test_a_client_authenticates_as_it_has_registered(client: BareClient, method: str, used: str) -> None:
    """Another way is refused, and so is another client's secret."""
    fields = registered(client, method)
    form = as_registered(client, {"client_secret": "unknown", **fields, "token_endpoint_auth_method": used})
    code = redirected(log_in(client, fields["client_id"]))["code"]
    answer = client.exchange(code, code_verifier=VERIFIER, **form)
    assert (used == method) == answer.ok
    assert answer.ok or refusal(answer)[1] == "invalid_client"
    other = registered(client, "client_secret_basic")
    client.basic = (other["client_id"], client.provider.client_secret)
    assert (401, "invalid_client") == refusal(client.token())


def test_the_fixed_client_stays(client: BareClient) -> None:
    """It needs no registration, and keeps its freedom."""
    registered(client)
    assert 200 == client.token(scope="anything").status_code
    assert "code" in redirected(client.authorize(scope="anything"))


def test_a_device_is_a_registered_client_s(client: BareClient) -> None:
    """A device's login belongs to the client that began it, however it authenticates."""
    fields = registered(
        client, "client_secret_basic", grant_types=["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]
    )
    own = client.basic
    as_registered(client, fields)
    device = client.device().json()
    client.provider.approve_device(device["user_code"])
    client.basic, registered_one = own, client.basic
    assert (400, "unauthorized_client") == refusal(client.poll(device["device_code"]))
    client.basic = registered_one
    assert 200 == client.poll(device["device_code"]).status_code


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example/callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example/callback#part"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https:///callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["/callback"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://[x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": REDIRECT_URI}, "invalid_client_metadata"),
        ({"redirect_uris": [1]}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"grant_types": [{}]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": 1}, "invalid_client_metadata"),
        ({"scope": ["read"]}, "invalid_client_metadata"),
        ({"client_uri": "nonsense"}, "invalid_client_metadata"),
    ],
    ids=str,
)
def test_strange_metadata_is_refused(client: BareClient, metadata: dict[str, Any], error: str) -> None:
    """What isn't known, or isn't of its type, is refused (section 3.2.2)."""
    assert (400, error) == refusal(register(client, **metadata))


@pytest.mark.parametrize("body", ["", "x", "[]", "1", "{"])
def test_what_is_no_json_object_is_refused(client: BareClient, body: str) -> None:
    """There must be an object."""
    headers = {"Content-Type": "application/json"}
    answer = client.session.post(client.provider.registration_url, data=body, headers=headers)
    assert (400, "invalid_client_metadata") == refusal(answer)


@pytest.mark.parametrize(
    "uri", ["https://app.example/callback", "http://[::1]:9/", "http://localhost", "com.example.app:/callback"]
)
def test_redirect_uris_of_any_kind(client: BareClient, uri: str) -> None:
    """Those of web applications, of programs on this machine, and of schemes of their own."""
    answer = log_in(client, registered(client, redirect_uris=[REDIRECT_URI, uri])["client_id"], redirect_uri=uri)
    assert 302 == answer.status_code
    assert answer.headers["Location"].startswith(uri)


def test_a_client_without_redirects_needs_no_uri(client: BareClient) -> None:
    """A program of its own registers a grant alone; other grants are then refused."""
    fields = registered(
        client, "client_secret_basic", redirect_uris=[], grant_types=["client_credentials"], response_types=[]
    )
    as_registered(client, fields)
    assert 200 == client.token().status_code
    assert (400, "unauthorized_client") == refusal(client.password())
    assert (400, "invalid_request") == refusal(client.authorize(client_id=fields["client_id"]))


def test_without_the_grant_there_is_no_refresh_token(client: BareClient) -> None:
    """A client that hasn't registered `refresh_token` gets none."""
    fields = registered(client, grant_types=["authorization_code"])
    form = as_registered(client, fields)
    code = redirected(log_in(client, fields["client_id"]))["code"]
    assert "refresh_token" not in client.exchange(code, code_verifier=VERIFIER, **form).json()


# What clients are held to


@pytest.mark.parametrize("uri", ["http://127.0.0.1:10/callback", "http://127.0.0.1/callback"])
def test_ports_count_unless_they_do_not(client: BareClient, uri: str) -> None:
    """A redirect URI is what was registered; on loopback the port may be left out of that."""
    client_id = registered(client)["client_id"]
    assert (400, "invalid_request") == refusal(log_in(client, client_id, redirect_uri=uri))
    client.provider.ignore_loopback_ports = True
    answer = log_in(client, client_id, redirect_uri=uri)
    assert answer.headers["Location"].startswith(uri + "?code=")


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9/other", "http://127.0.0.2:9/callback", "http://localhost:9/callback", "http://[x"]
)
@pytest.mark.parametrize("ignored", [False, True])
def test_other_redirect_uris_are_refused(client: BareClient, uri: str, ignored: bool) -> None:
    """Path and host count in any case, and nobody is redirected to what isn't registered."""
    client.provider.ignore_loopback_ports = ignored
    client_id = registered(client)["client_id"]
    assert (400, "invalid_request") == refusal(log_in(client, client_id, redirect_uri=uri))


def test_a_port_elsewhere_counts(client: BareClient) -> None:
    """Ports that are ignored are those on loopback."""
    client.provider.ignore_loopback_ports = True
    fields = registered(client, redirect_uris=["https://app.example:1/"])
    answer = log_in(client, fields["client_id"], redirect_uri="https://app.example:2/")
    assert (400, "invalid_request") == refusal(answer)


def test_the_registered_scope_is_the_ceiling(client: BareClient) -> None:
    """Less may be asked for, nothing else, at each endpoint."""
    device_code = "urn:ietf:params:oauth:grant-type:device_code"
    fields = registered(client, "client_secret_basic", scope="read write", grant_types=[*GRANTS, device_code])
    assert "read write" == fields["scope"]
    client_id = fields["client_id"]
    as_registered(client, fields)
    assert "code" in redirected(log_in(client, client_id, scope="write"))
    assert "invalid_scope" == redirected(log_in(client, client_id, scope="write admin"))["error"]
    assert "read" == client.token(scope="read").json()["scope"]
    assert (400, "invalid_scope") == refusal(client.token(scope="admin"))
    assert 200 == client.device(scope="read").status_code
    assert (400, "invalid_scope") == refusal(client.device(scope="read admin"))


def test_without_a_scope_all_that_are_known_are_registered(client: BareClient) -> None:
    """A registration that names none is answered with those of the server, or has no ceiling."""
    fields = registered(client, "client_secret_basic")
    assert "scope" not in fields
    as_registered(client, fields)
    assert "anything" == client.token(scope="anything").json()["scope"]
    client.provider.scopes_supported = ["read", "write"]
    assert "read write" == registered(client)["scope"]
    assert (400, "invalid_client_metadata") == refusal(register(client, scope="read admin"))


def test_codes_and_tokens_are_one_client_s(client: BareClient) -> None:
    """Another client can neither exchange, nor refresh, nor revoke them; the client that they are of still can."""
    first, second = registered(client), registered(client)
    code = redirected(log_in(client, first["client_id"]))["code"]
    forms = [as_registered(client, fields) for fields in (second, first)]
    assert (400, "invalid_grant") == refusal(client.exchange(code, code_verifier=VERIFIER, **forms[0]))
    tokens = client.exchange(code, code_verifier=VERIFIER, **forms[1]).json()
    assert (400, "invalid_grant") == refusal(client.refresh(tokens["refresh_token"], **forms[0]))
    answer = client.session.post(client.provider.revocation_url, data={"token": tokens["refresh_token"], **forms[0]})
    assert (400, "invalid_grant") == refusal(answer)
    assert 200 == client.refresh(tokens["refresh_token"], **forms[1]).status_code


def test_the_form_s_client_is_the_header_s(client: BareClient) -> None:
    """Who authenticates as one client can't ask as another."""
    other = registered(client)["client_id"]
    assert (401, "invalid_client") == refusal(client.token(client_id=other))


def test_secrets_expire(client: BareClient) -> None:
    """The answer tells when, and from then on the secret is refused."""
    client.provider.client_secret_lifetime = 60
    before = int(time.time())
    fields = registered(client, "client_secret_basic")
    assert before + 60 <= fields["client_secret_expires_at"] <= time.time() + 60
    as_registered(client, fields)
    assert 200 == client.token().status_code
    client.provider.clock_offset = 61
    assert (401, "invalid_client") == refusal(client.token())


# On demand


def test_registrations_are_listed(client: BareClient) -> None:
    """What arrived can be looked at, failures included."""
    client.provider.fail_registrations(503, 2)
    assert (503, "temporarily_unavailable") == refusal(register(client, client_name="one"))
    assert (503, "temporarily_unavailable") == refusal(register(client, client_name="two"))
    assert 201 == register(client, client_name="three").status_code
    arrived = client.provider.registrations
    assert ["one", "two", "three"] == [request.json["client_name"] for request in arrived]
    assert {("POST", "/register")} == {(request.method, request.path) for request in arrived}
    assert [] == client.provider.token_requests


def test_what_is_no_json_is_none(client: BareClient) -> None:
    """A body of another type, or one that's broken, has no fields."""
    client.token()
    for kind in ("text/plain", "application/json"):
        client.session.post(client.provider.registration_url, data="{", headers={"Content-Type": kind})
    assert [None, None] == [request.json for request in client.provider.registrations]
    assert [None] == [request.json for request in client.provider.token_requests]


@pytest.mark.parametrize(("status", "error"), [(400, "invalid_client_metadata"), (429, "temporarily_unavailable")])
def test_registrations_fail_on_demand(client: BareClient, status: int, error: str) -> None:
    """The status has its error, unless the test says another; a count of 0 ends it."""
    client.provider.fail_registrations(status)
    assert (status, error) == refusal(register(client))
    client.provider.fail_registrations(status, error="unapproved_software_statement")
    assert (status, "unapproved_software_statement") == refusal(register(client))
    client.provider.fail_registrations(status)
    client.provider.fail_registrations(status, 0)
    assert 201 == register(client).status_code


def test_registrations_can_be_closed(client: BareClient) -> None:
    """Metadata then names no endpoint, and who calls it is refused."""
    client.provider.allow_registration = False
    assert "registration_endpoint" not in metadata_of(client)
    assert (403, "access_denied") == refusal(register(client))


def test_ways_to_authenticate_can_be_taken_away(client: BareClient) -> None:
    """Without `none` no public client registers, nor gets a token; the metadata tells so."""
    code = client.code(code_challenge=CHALLENGE, code_challenge_method="S256")
    client.provider.client_auth_methods = ["client_secret_post"]
    assert ["client_secret_post"] == metadata_of(client)["token_endpoint_auth_methods_supported"]
    assert (400, "invalid_client_metadata") == refusal(register(client, token_endpoint_auth_method="none"))
    assert 201 == register(client, token_endpoint_auth_method="client_secret_post").status_code
    assert (400, "invalid_client") == refusal(client.exchange(code, code_verifier=VERIFIER))
    client.basic = None
    form = {"client_id": client.provider.client_id, "code_verifier": VERIFIER}
    assert (400, "invalid_client") == refusal(client.exchange(code, **form))
    assert 200 == client.exchange(code, client_secret=client.provider.client_secret, **form).status_code


def test_clients_can_be_forgotten(client: BareClient) -> None:
    """No endpoint knows them then, nobody is redirected, and the fixed client and all tokens stay."""
    fields = registered(client, "client_secret_basic")
    own = client.basic
    as_registered(client, fields)
    answer = client.exchange(redirected(log_in(client, fields["client_id"]))["code"], code_verifier=VERIFIER)
    client.provider.forget_clients()
    assert (401, "invalid_client") == refusal(client.refresh(answer.json()["refresh_token"]))
    page = log_in(client, fields["client_id"])
    assert (400, "invalid_client") == refusal(page)
    assert "Location" not in page.headers
    assert 200 == client.api(answer.json()["access_token"]).status_code
    client.basic = own
    assert 200 == client.token().status_code
    assert 201 == register(client).status_code


def test_registrations_at_once(client: BareClient) -> None:
    """Each is a client of its own."""
    url, fields = client.provider.registration_url, {"redirect_uris": [REDIRECT_URI]}
    answers = in_threads(8, lambda: requests.post(url, json=fields, timeout=30).json()["client_id"])
    assert 8 == len({*answers}) == len(client.provider.registrations)


def test_a_second_run_knows_the_clients(client: BareClient) -> None:
    """Clients outlive the block, as tokens do."""
    provider = LocalProvider()
    with provider:
        fields = registered(BareClient(provider, client.session))
    with provider:
        assert 302 == log_in(BareClient(provider, client.session), fields["client_id"]).status_code


def test_an_auth_object_of_a_registered_client(client: BareClient) -> None:
    """The library logs in as a client that has registered for its port."""
    provider = client.provider
    provider.ignore_loopback_ports = True
    fields = registered(client, redirect_uris=["http://127.0.0.1/callback"])
    with requests.Session() as session:
        session.auth = oauth_auth.requests.AuthorizationCodeAuth(
            provider.token_url,
            fields["client_id"],
            authorization_url=provider.authorization_url,
            login=BrowserLogin(open_browser=lambda url: requests.get(url, timeout=10).ok),
        )
        assert session.get(provider.api_url).ok
        provider.revoke_access_tokens()
        assert session.get(provider.api_url).ok
        assert 2 == len(provider.token_requests)


# Client ID metadata documents


class Documents:
    """A web server with one document, at any path; `status` is its answer's."""

    def __init__(self) -> None:
        self.fields: Any = {}
        self.status = 200
        self.paths: list[str] = []
        documents = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                documents.paths.append(self.path)
                self.send_response(documents.status)
                self.send_header("Location", f"{documents.url}/elsewhere")
                self.end_headers()
                self.wfile.write(json.dumps(documents.fields).encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/client?v=1"
        self.fields = {"client_id": self.url, "redirect_uris": [REDIRECT_URI], "grant_types": GRANTS}


@pytest.fixture
def documents() -> Iterator[Documents]:
    documents = Documents()
    thread = Thread(target=documents.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield documents
    documents.server.shutdown()
    documents.server.server_close()
    thread.join(10)


def test_a_document_makes_a_client(client: BareClient, documents: Documents) -> None:
    """Its URL is the id of a public client; it's fetched once, and anew for a client that was forgotten."""
    client.provider.client_id_metadata_document_supported = True
    assert metadata_of(client)["client_id_metadata_document_supported"] is True
    client.basic, form = None, {"client_id": documents.url, "code_verifier": VERIFIER}
    for _ in range(2):
        code = redirected(log_in(client, documents.url))["code"]
        tokens = client.exchange(code, **form).json()
        assert 200 == client.api(tokens["access_token"]).status_code
    assert ["/client?v=1"] == documents.paths
    client.provider.forget_clients()
    assert 200 == client.refresh(tokens["refresh_token"], client_id=documents.url).status_code
    assert 2 == len(documents.paths)
    assert [] == client.provider.registrations


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "http://127.0.0.1/other"},
        {"client_id": None},
        {"client_secret": "secret"},
        {"token_endpoint_auth_method": "client_secret_basic"},
        {"redirect_uris": []},
        {"redirect_uris": ["http://127.0.0.1/other"]},
    ],
    ids=str,
)
def test_a_document_that_will_not_do(client: BareClient, documents: Documents, change: dict[str, Any]) -> None:
    """Its id must be its URL, it has no secret, and it's held to its redirect URIs."""
    client.provider.client_id_metadata_document_supported = True
    documents.fields |= change
    answer = log_in(client, documents.url)
    assert 400 == answer.status_code
    assert "Location" not in answer.headers


@pytest.mark.parametrize("status", [302, 404, 500])
def test_only_a_document_at_its_url_counts(client: BareClient, documents: Documents, status: int) -> None:
    """A redirect isn't followed, an error makes no client, and a server that's gone makes none."""
    client.provider.client_id_metadata_document_supported = True
    documents.status = status
    assert (400, "invalid_client") == refusal(log_in(client, documents.url))
    assert 1 == len({*documents.paths})
    documents.status, documents.fields = 200, []
    assert (400, "invalid_client") == refusal(log_in(client, documents.url))


@pytest.mark.parametrize(
    "url", ["http://app.example/client", "https://127.0.0.1:9", "http://127.0.0.1:9/", "http://[x"]
)
def test_what_is_no_url_of_a_document(client: BareClient, url: str) -> None:
    """Plain http elsewhere and a URL without a path are unknown ids; nothing is fetched."""
    client.provider.client_id_metadata_document_supported = True
    assert (400, "invalid_client") == refusal(log_in(client, url))


def test_documents_are_not_asked_for_by_default(client: BareClient, documents: Documents) -> None:
    """Without the attribute such an id is unknown, and the metadata is silent."""
    assert "client_id_metadata_document_supported" not in metadata_of(client)
    assert (400, "invalid_client") == refusal(log_in(client, documents.url))
    assert [] == documents.paths
