"""The promises of `oauth_auth.testing.LocalProvider`, asked of it as any HTTP client would."""

import base64
import gc
import hashlib
import http.client
import itertools
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from freezegun import freeze_time

from oauth_auth.testing import LocalProvider, ReceivedRequest

from .bare_client import BareClient, in_threads, redirected, refusal

VERIFIER = "v" * 43  # PKCE: the shortest that is allowed
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


# Grants and client authentication


def test_client_credentials(client: BareClient) -> None:
    """The client-credentials grant gives a token that the API takes, and no refresh token."""
    answer = client.token(scope="read write")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    fields = answer.json()
    assert client.api(fields.pop("access_token")).status_code == 200
    assert fields == {"token_type": "Bearer", "expires_in": 3600, "scope": "read write"}


def test_password(client: BareClient) -> None:
    """The password grant gives an access token and a refresh token, to the right user only."""
    fields = client.password().json()
    assert fields.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert client.api(fields["access_token"]).status_code == 200
    assert refusal(client.password(password="wrong")) == (400, "invalid_grant")
    assert refusal(client.password(username="bob")) == (400, "invalid_grant")


@pytest.mark.parametrize("secret", ["plain", "with space", "with+plus%25&more=", "ümläut:colon"])
def test_confidential_client_may_show_its_secret_in_header_or_form(client: BareClient, secret: str) -> None:
    """Basic credentials, encoded by RFC 6749 §2.3.1, and form fields both authenticate."""
    client.provider.client_secret = secret
    encoded = "".join(f"%{byte:02X}" for byte in secret.encode())
    client.basic = (client.provider.client_id, encoded)
    assert client.token().status_code == 200
    client.basic = None
    fields = {"client_id": client.provider.client_id, "client_secret": secret}
    assert client.token(**fields).status_code == 200


@pytest.mark.parametrize("header", ["Basic AAAA", "Basic /////w==", "Basic !", "Bearer x"])
def test_no_client_without_its_secret(client: BareClient, header: str) -> None:
    """A wrong, missing or unreadable secret is invalid_client, also beside the right client id."""
    client.basic = None
    assert refusal(client.token()) == (401, "invalid_client")
    client_id = client.provider.client_id
    assert refusal(client.token(client_id=client_id)) == (401, "invalid_client")
    fields = {"grant_type": "authorization_code", "client_id": client_id}
    answer = requests.post(client.provider.token_url, data=fields, headers={"Authorization": header}, timeout=10)
    assert refusal(answer) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    client.basic = (client_id, "wrong")
    assert refusal(client.token(client_id=client_id)) == (401, "invalid_client")


def test_one_get_of_the_authorization_url_gives_a_code(client: BareClient) -> None:
    """The authorization endpoint approves at once, and its answer names state and issuer."""
    answer = redirected(client.authorize(state="s t", scope="read"))
    assert (answer["state"], answer["iss"]) == ("s t", client.provider.issuer)
    fields = client.exchange(answer["code"]).json()
    assert fields["scope"] == "read"
    assert client.api(fields["access_token"]).status_code == 200
    assert client.refresh(fields["refresh_token"]).status_code == 200


def test_any_loopback_redirect_uri_is_allowed_and_no_other(client: BareClient) -> None:
    """Redirects go to plain http on loopback only; elsewhere the error is shown in place."""
    for uri in ("http://127.0.0.2:1/", "http://[::1]:2/x?y=z", "http://localhost/"):
        assert client.authorize(redirect_uri=uri).headers["Location"].startswith(uri)
    for uri in (
        "https://127.0.0.1/",
        "http://example.com/",
        "http://127.0.0.1@x.test/",
        "x",
        "//[",
    ):
        assert refusal(client.authorize(redirect_uri=uri)) == (400, "invalid_request")
    assert refusal(client.authorize(redirect_uri="")) == (400, "invalid_request")
    assert refusal(client.authorize(client_id="other")) == (400, "invalid_client")


def test_authorization_errors_go_to_the_redirect_uri(client: BareClient) -> None:
    """A request that can't be granted is answered by a redirect with error, state and issuer."""
    answer = redirected(client.authorize(response_type="token", state="s"))
    assert answer["error"] == "unsupported_response_type"
    assert (answer["state"], answer["iss"]) == ("s", client.provider.issuer)


def test_code_with_pkce_needs_its_verifier(client: BareClient) -> None:
    """A code that was asked for with a challenge is worth nothing without the verifier."""
    pkce = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    code = client.code(**pkce)
    assert refusal(client.exchange(code)) == (400, "invalid_request")
    assert refusal(client.exchange(code, code_verifier="w" * 43)) == (400, "invalid_grant")
    assert client.exchange(code, code_verifier=VERIFIER).status_code == 200


def test_pkce_is_s256_only(client: BareClient) -> None:
    """The method `plain` is refused, spelt out or implied."""
    for parameters in ({"code_challenge_method": "plain"}, {}):
        answer = redirected(client.authorize(code_challenge=CHALLENGE, **parameters))
        assert answer["error"] == "invalid_request"


def test_public_client_uses_pkce_instead_of_a_secret(client: BareClient) -> None:
    """A client without its secret can use a code that came with PKCE, and refresh what it got."""
    client.basic = None
    public = {"client_id": client.provider.client_id}
    code = client.code(code_challenge=CHALLENGE, code_challenge_method="S256")
    fields = client.exchange(code, code_verifier=VERIFIER, **public).json()
    again = client.refresh(fields["refresh_token"], **public).json()
    assert client.refresh(again["refresh_token"], **public).status_code == 200
    assert refusal(client.exchange(client.code(), **public)) == (400, "invalid_request")
    assert refusal(client.token("client_credentials", **public)) == (401, "invalid_client")


def test_public_client_cannot_use_a_confidential_refresh_token(client: BareClient) -> None:
    """A refresh token that was issued for a secret isn't refreshed without one, and stays good."""
    refresh_token = client.password().json()["refresh_token"]
    basic, client.basic = client.basic, None
    answer = client.refresh(refresh_token, client_id=client.provider.client_id)
    assert refusal(answer) == (400, "invalid_grant")
    client.basic = basic
    assert client.refresh(refresh_token).status_code == 200


def test_code_is_good_once(client: BareClient) -> None:
    """A code used twice is refused, and ends the tokens it had given."""
    code = client.code()
    fields = client.exchange(code).json()
    assert refusal(client.exchange(code)) == (400, "invalid_grant")
    assert client.api(fields["access_token"]).status_code == 401
    assert refusal(client.refresh(fields["refresh_token"])) == (400, "invalid_grant")


def test_code_is_bound_to_redirect_uri_and_time(client: BareClient) -> None:
    """A code is refused with another redirect URI, and after a minute."""
    moment = 0.0
    client.provider._now = lambda: moment
    code = client.code()
    other = "http://127.0.0.1:9/other"
    assert refusal(client.exchange(code, redirect_uri=other)) == (400, "invalid_grant")
    moment = 60.0
    assert refusal(client.exchange(code)) == (400, "invalid_grant")


def test_unknown_grant_is_refused(client: BareClient) -> None:
    """A grant that the server doesn't have is unsupported_grant_type."""
    assert refusal(client.token("magic")) == (400, "unsupported_grant_type")


# Refresh tokens


def test_refresh_tokens_rotate(client: BareClient) -> None:
    """A refresh gives a new refresh token and the scope of old; the earlier access token lives."""
    first = client.password(scope="read").json()
    second = client.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["scope"] == "read"
    for fields in (first, second):
        assert client.api(fields["access_token"]).status_code == 200


def test_reuse_of_a_spent_refresh_token_ends_the_family(client: BareClient) -> None:
    """A refresh token used twice ends all tokens of its login, and of no other login."""
    other = client.password().json()
    first = client.password().json()
    second = client.refresh(first["refresh_token"]).json()
    assert refusal(client.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert refusal(client.refresh(second["refresh_token"])) == (400, "invalid_grant")
    for fields in (first, second):
        assert client.api(fields["access_token"]).status_code == 401
    assert client.api(other["access_token"]).status_code == 200
    assert client.refresh(other["refresh_token"]).status_code == 200


def test_without_rotation_a_refresh_token_stays_good(client: BareClient) -> None:
    """With rotation off, answers omit the refresh token, and the old one goes on working."""
    refresh_token = client.password().json()["refresh_token"]
    client.provider.rotate_refresh_tokens = False
    for _ in range(3):
        answer = client.refresh(refresh_token)
        assert answer.status_code == 200
        assert "refresh_token" not in answer.json()


def test_of_simultaneous_refreshes_one_succeeds(client: BareClient) -> None:
    """Of 16 requests with one refresh token, one gets tokens; the others are reuse."""
    refresh_token = client.password().json()["refresh_token"]
    answers = in_threads(16, lambda: client.refresh(refresh_token))
    assert sorted(answer.status_code for answer in answers) == [200] + 15 * [400]
    [good] = [answer.json() for answer in answers if answer.ok]
    assert client.api(good["access_token"]).status_code == 401


# Ends of tokens


def test_expiry_is_enforced_to_the_fraction(client: BareClient) -> None:
    """A lifetime of 2.5 s is sent as such, and the API takes the token that long, and no longer."""
    moment = 100.0
    client.provider._now = lambda: moment
    client.provider.token_lifetime = 2.5
    fields = client.token().json()
    assert fields["expires_in"] == 2.5
    moment = 102.49
    assert client.api(fields["access_token"]).status_code == 200
    moment = 102.5
    assert client.api(fields["access_token"]).status_code == 401


@pytest.mark.parametrize(("lifetime", "sent"), [(3600, "3600"), (2.0, "2"), (0, "0"), (0.5, "0.5")])
def test_expires_in_is_an_integer_where_it_can_be(client: BareClient, lifetime: float, sent: str) -> None:
    """Whole seconds are sent as an integer, also if set as a float; zero is sent too."""
    client.provider.token_lifetime = lifetime
    assert f'"expires_in": {sent},' in client.token().text


def test_without_lifetime_tokens_do_not_expire(client: BareClient) -> None:
    """A lifetime of None leaves `expires_in` out and the token good for ever."""
    moment = 0.0
    client.provider._now = lambda: moment
    client.provider.token_lifetime = None
    fields = client.token().json()
    assert "expires_in" not in fields
    moment = 1e9
    assert client.api(fields["access_token"]).status_code == 200


def test_a_frozen_clock_of_the_client_does_not_move_the_server(client: BareClient) -> None:
    """A test may move time with freezegun: the server's tokens keep their real lifetime."""
    access_token = client.token().json()["access_token"]
    with freeze_time("2030-01-01") as frozen:
        assert client.api(access_token).status_code == 200
        frozen.tick(100_000)
        assert client.api(access_token).status_code == 200
        assert client.api(client.token().json()["access_token"]).status_code == 200


def test_revoke_access_tokens(client: BareClient) -> None:
    """All access tokens so far end; refresh tokens and later access tokens don't."""
    first, second = client.password().json(), client.token().json()
    client.provider.revoke_access_tokens()
    for fields in (first, second):
        assert client.api(fields["access_token"]).status_code == 401
    renewed = client.refresh(first["refresh_token"]).json()
    assert client.api(renewed["access_token"]).status_code == 200


def test_metadata(client: BareClient) -> None:
    """The issuer tells where the endpoints are (RFC 8414), and the same as it tells the test."""
    provider = client.provider
    answer = requests.get(f"{provider.issuer}/.well-known/oauth-authorization-server", timeout=10)
    assert answer.status_code == 200
    metadata = answer.json()
    assert (provider.issuer, provider.token_url, provider.authorization_url, provider.revocation_url) == tuple(
        metadata[name] for name in ("issuer", "token_endpoint", "authorization_endpoint", "revocation_endpoint")
    )
    assert ["S256"] == metadata["code_challenge_methods_supported"]
    assert metadata["authorization_response_iss_parameter_supported"] is True


def test_revoke_refresh_tokens(client: BareClient) -> None:
    """All refresh tokens so far end; access tokens and later refresh tokens don't."""
    fields = client.password().json()
    client.provider.revoke_refresh_tokens()
    assert refusal(client.refresh(fields["refresh_token"])) == (400, "invalid_grant")
    assert client.api(fields["access_token"]).status_code == 200
    assert client.refresh(client.password().json()["refresh_token"]).status_code == 200


def test_revocation_endpoint(client: BareClient) -> None:
    """An access token ends alone; a refresh token takes along what came from it (RFC 7009)."""
    first = client.password().json()
    assert client.revoke(first["access_token"]).status_code == 200
    assert client.api(first["access_token"]).status_code == 401
    second = client.refresh(first["refresh_token"]).json()
    assert client.revoke(second["refresh_token"]).status_code == 200
    assert client.api(second["access_token"]).status_code == 401
    assert refusal(client.refresh(second["refresh_token"])) == (400, "invalid_grant")
    assert client.revoke("unknown").status_code == 200
    client.basic = (client.provider.client_id, "wrong")
    assert refusal(client.revoke(first["access_token"])) == (401, "invalid_client")


# The API


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
@pytest.mark.parametrize("path", ["", "/", "/items/1", "//a%20b/../ü"])
def test_api_takes_any_method_and_path(client: BareClient, method: str, path: str) -> None:
    """The API tells the method, the path as sent, and length and digest of the body."""
    access_token = client.token().json()["access_token"]
    answer = client.session.request(
        method,
        client.provider.api_url + path,
        params={"q": "1"},
        data=b"body",
        headers={"Authorization": f"Bearer {access_token}"},
    )
    assert answer.json() == {
        "method": method,
        "path": urlsplit(answer.request.url or "").path,
        "length": 4,
        "sha256": hashlib.sha256(b"body").hexdigest(),
    }
    assert client.provider.api_requests[-1].query == "q=1"


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_api_reads_bodies_of_any_size(client: BareClient, size: int, chunked: bool) -> None:
    """The digest is of all of the body, sized or chunked; of it at most 64 KiB are kept."""
    access_token = client.token().json()["access_token"]
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    pieces = (body[i : i + 10_000] for i in range(0, size, 10_000))
    answer = client.session.post(
        client.provider.api_url,
        data=pieces if chunked else body,
        headers={"Authorization": f"bearer {access_token}"},
    )
    assert answer.json()["length"] == size
    assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest()
    [request] = client.provider.api_requests
    assert request.body == body[:65_536]


def test_head_gets_no_body(client: BareClient) -> None:
    """HEAD is answered like GET, without the body, and the connection goes on."""
    headers = {"Authorization": f"Bearer {client.token().json()['access_token']}"}
    for _ in range(2):
        answer = client.session.head(client.provider.api_url, headers=headers)
        assert (answer.status_code, answer.content) == (200, b"")


def test_api_challenges_a_request_without_token(client: BareClient) -> None:
    """Without a bearer token the challenge names no error (RFC 6750 §3.1), but the API's metadata (RFC 9728 §5.1)."""
    expected = f'Bearer realm="LocalProvider", resource_metadata="{client.provider.resource_metadata_url}"'
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        answer = client.session.get(client.provider.api_url, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == expected


def test_api_challenges_a_bad_token(client: BareClient) -> None:
    """A token that isn't good is answered with the challenge invalid_token (RFC 6750 §3)."""
    answer = client.api("wrong")
    assert refusal(answer) == (401, "invalid_token")
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="LocalProvider", ')
    assert 'error="invalid_token", error_description="' in challenge


# Faults on demand


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "invalid_request"),
        (401, "invalid_client"),
        (403, "invalid_request"),
        (429, "temporarily_unavailable"),
        (500, "temporarily_unavailable"),
        (503, "temporarily_unavailable"),
        (599, "temporarily_unavailable"),
    ],
)
def test_fail_token_requests(client: BareClient, status: int, error: str) -> None:
    """The next so many token requests fail with that status and a fitting error, then no more."""
    client.provider.fail_token_requests(status, count=2)
    for _ in range(2):
        answer = client.token()
        assert refusal(answer) == (status, error)
        assert "Retry-After" not in answer.headers
    assert client.token().status_code == 200
    assert len(client.provider.token_requests) == 3


def test_failures_can_be_shaped_replaced_and_ended(client: BareClient) -> None:
    """A failure carries the error and Retry-After asked for; a later call replaces an earlier."""
    client.provider.fail_token_requests(500, count=10**9)
    assert client.token().status_code == 500
    client.provider.fail_token_requests(429, retry_after=1.5, error="slow_down")
    answer = client.token()
    assert refusal(answer) == (429, "slow_down")
    assert answer.headers["Retry-After"] == "1.5"
    assert client.token().status_code == 200
    client.provider.fail_token_requests(500, count=10**9)
    client.provider.fail_token_requests(500, count=0)
    assert client.token().status_code == 200


def test_fail_api_requests(client: BareClient) -> None:
    """API requests fail in the same way; a 401 has a real challenge unless told otherwise."""
    access_token = client.token().json()["access_token"]
    client.provider.fail_api_requests(503, headers={"Retry-After": "1"})
    answer = client.api(access_token)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert client.api(access_token).status_code == 200
    client.provider.fail_api_requests(401, count=10**9)
    for _ in range(3):
        assert 'error="invalid_token"' in client.api(access_token).headers["WWW-Authenticate"]
    client.provider.fail_api_requests(401, headers={})
    assert "WWW-Authenticate" not in client.api(access_token).headers
    client.provider.fail_api_requests(204)
    assert client.api(access_token).content == b""
    assert client.api(access_token).status_code == 200


def test_failures_are_counted_exactly_under_load(client: BareClient) -> None:
    """Of 64 simultaneous requests exactly as many fail as were asked to."""
    client.provider.fail_token_requests(503, count=40)
    answers = in_threads(64, client.token)
    assert sorted(answer.status_code for answer in answers) == 24 * [200] + 40 * [503]


def test_token_delay(client: BareClient) -> None:
    """The token endpoint takes the time it is told to."""
    client.provider.token_delay = 0.05
    begin = time.monotonic()
    assert client.token().status_code == 200
    assert time.monotonic() - begin >= 0.05


# What arrived


def test_received_requests(client: BareClient) -> None:
    """A request is kept with all that a test may ask: method, path, headers, form, time."""
    client.token(scope="read write")
    [request] = client.provider.token_requests
    assert (request.method, request.path, request.query) == ("POST", "/token", "")
    assert request.form == {"grant_type": ["client_credentials"], "scope": ["read write"]}
    assert request.headers["authorization"] == request.headers["Authorization"]
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "X-Other" not in request.headers
    assert {"authorization", "content-type"} < dict(request.headers).keys()
    client.token()
    assert client.provider.token_requests[1].time >= request.time
    client.provider.token_requests.clear()
    client.token()
    assert len(client.provider.token_requests) == 1


def test_received_requests_show_no_secret(client: BareClient) -> None:
    """Neither a request's `repr` nor that of its headers or the provider holds a secret."""
    client.password()
    access_token = client.token().json()["access_token"]
    client.api(access_token)
    requests_seen = [*client.provider.token_requests, *client.provider.api_requests]
    shown = repr((client.provider, requests_seen, [request.headers for request in requests_seen]))
    assert "<ReceivedRequest POST /token>" in shown
    for secret in (client.provider.client_secret, client.provider.password, access_token, "Basic"):
        assert secret not in shown


def test_form_is_empty_for_other_bodies(client: BareClient) -> None:
    """A body that isn't form-encoded has no form fields."""
    client.session.post(client.provider.api_url, json={"a": "b"})
    [request] = client.provider.api_requests
    assert (request.form, request.body) == ({}, b'{"a": "b"}')


def test_no_secret_is_logged(client: BareClient, caplog: pytest.LogCaptureFixture) -> None:
    """At no level does a logger of the server's side show a token, code or secret."""
    caplog.set_level(logging.DEBUG)
    code = client.code()
    answers = [client.exchange(code).json(), client.token().json(), client.password().json()]
    answers.append(client.refresh(answers[0]["refresh_token"]).json())
    client.api(answers[0]["access_token"])
    client.api("wrong")
    client.revoke(answers[3]["refresh_token"])
    text = "".join(r.getMessage() for r in caplog.records if not r.name.startswith("urllib3"))
    assert "token answer" in text  # or this test watches nothing: Authlib logs what it issues
    for fields in answers:
        for name in fields.keys() & {"access_token", "refresh_token"}:
            assert fields[name] not in text
    for secret in (code, client.provider.client_secret, client.provider.password):
        assert secret not in text


# Connections


def test_connection_stays_open_and_in_step(provider: LocalProvider) -> None:
    """One connection serves requests of all kinds in turn, whatever became of their bodies."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(provider.issuer).port, timeout=10)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.connect()
    sock = connection.sock
    provider.fail_api_requests(500, count=2)
    requests_to_make: list[tuple[str, str, Any, dict[str, str]]] = [
        ("POST", "/api", b"x" * 100_000, {}),
        ("POST", "/api", iter([b"abc", b"d" * 70_000]), {}),
        ("POST", "/api", iter([b"abc", b"d" * 70_000]), {}),
        ("POST", "/api", b"expected", {"Expect": "100-continue"}),
        ("POST", "/nowhere", b"x" * 100_000, {}),
        ("PUT", "/token", iter([b"unread"]), {}),
        ("POST", "/token", b"grant_type=magic", form),
        ("GET", "/authorize", None, {}),
        ("GET", "/api", None, {}),
    ]
    for method, path, body, headers in requests_to_make:
        connection.request(method, path, body, headers)
        connection.getresponse().read()
        assert connection.sock is sock
    assert [len(request.body) for request in provider.api_requests] == [
        65_536,
        65_536,
        65_536,
        8,
        0,
    ]
    connection.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
        b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\nGET /api HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_broken_requests_harm_no_other(
    client: BareClient, request_bytes: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """A request without an end closes its own connection, quietly, and nothing else."""
    address = ("127.0.0.1", urlsplit(client.provider.issuer).port)
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert client.token().status_code == 200
    assert capsys.readouterr() == ("", "")


def test_400_connections_at_once(provider: LocalProvider) -> None:
    """As many connections as a load test opens are all served, none dropped and tried again."""
    address = ("127.0.0.1", urlsplit(provider.issuer).port)
    connections = [socket.create_connection(address, timeout=10) for _ in range(400)]
    try:
        for connection in connections:
            connection.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n")
        for connection in connections:
            assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
    finally:
        for connection in connections:
            connection.close()


def test_64_threads(client: BareClient) -> None:
    """64 threads get tokens and use them, all at once, each with the answer that is its own."""
    numbers = itertools.count()

    def call() -> requests.Response:
        body = str(next(numbers)).encode()
        with requests.Session() as session:
            answer = BareClient(client.provider, session).token()
            headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            answer = session.post(client.provider.api_url, data=body, headers=headers)
        assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest()
        return answer

    assert [answer.status_code for answer in in_threads(64, call)] == 64 * [200]
    assert len(client.provider.token_requests) == len(client.provider.api_requests) == 64


# Beginning and end


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def left_by_100_rounds() -> tuple[int, int]:
    """Return how many more threads and files there are after a hundred servers."""
    with LocalProvider():  # loads what is loaded at first use
        pass
    gc.collect()
    threads, files = threading.active_count(), open_files()
    for _ in range(100):
        with LocalProvider() as provider, requests.Session() as session:
            assert session.get(provider.api_url).status_code == 401
            port = urlsplit(provider.issuer).port
            idle = socket.create_connection(("127.0.0.1", port), timeout=10)
            provider.__exit__(None, None, None)
            idle.close()
    gc.collect()
    return threading.active_count() - threads, open_files() - files


def test_100_rounds_leave_nothing_behind() -> None:
    """Beginning and ending leaves no thread and no socket, whatever the clients still hold."""
    # In a program of its own: here what other tests have left comes and goes.
    code = f"from {__name__} import left_by_100_rounds; print(left_by_100_rounds())"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout == "(0, 0)\n"


class Arrivals(list[ReceivedRequest]):
    """A list that tells when something is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Event()

    def append(self, request: ReceivedRequest) -> None:
        super().append(request)
        self.arrived.set()


def test_a_request_is_listed_before_its_delay_and_the_end_waits_for_none(
    client: BareClient,
) -> None:
    """A request shows in the list while it is delayed, and gets no answer when the server ends."""
    client.provider.token_requests = arrivals = Arrivals()
    client.provider.token_delay = 600.0
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.token)
        assert arrivals.arrived.wait(10)
        assert not answer.done()
        begin = time.monotonic()
        client.provider.__exit__(None, None, None)
        assert time.monotonic() - begin < 5
        with pytest.raises(requests.ConnectionError):
            answer.result(10)
    assert client.provider._authorization_server.access_tokens == {}


def test_the_end_under_load_is_quiet(provider: LocalProvider, capsys: pytest.CaptureFixture[str]) -> None:
    """Clients that are busy when the server ends see connection errors, and nothing is printed."""
    provider.api_requests = arrivals = Arrivals()
    url = provider.api_url

    def call() -> None:
        with requests.Session() as session, suppress(requests.ConnectionError):
            while True:
                session.get(url)

    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(in_threads, 16, call)
        assert arrivals.arrived.wait(10)
        provider.__exit__(None, None, None)
        answers.result(10)
    assert capsys.readouterr() == ("", "")


def test_after_the_end_the_urls_refuse_and_a_second_run_goes_on(client: BareClient) -> None:
    """An outage: the same URLs refuse connections, then serve again, with what was issued."""
    fields = client.password().json()
    url = client.provider.token_url
    client.provider.__exit__(None, None, None)
    assert client.provider.token_url == url
    with pytest.raises(requests.ConnectionError):
        client.token()
    with client.provider:
        assert client.provider.token_url == url
        assert client.api(fields["access_token"]).status_code == 200
        assert client.refresh(fields["refresh_token"]).status_code == 200


def test_misuse_is_told() -> None:
    """URLs before the beginning, and a second beginning, are errors that say what to do."""
    provider = LocalProvider()
    assert repr(provider) == "<LocalProvider, not started>"
    with pytest.raises(RuntimeError, match="with LocalProvider"):
        _ = provider.token_url
    with provider, pytest.raises(RuntimeError, match="already running"):
        provider.__enter__()


def test_options() -> None:
    """All that can be set can be given at construction."""
    options = {
        "client_id": "c",
        "client_secret": "s",
        "username": "u",
        "password": "p",
        "token_lifetime": 5.0,
        "token_delay": 0.25,
        "rotate_refresh_tokens": False,
        "device_code_lifetime": 30.0,
        "device_interval": 2.0,
    }
    provider = LocalProvider(**options)  # type: ignore[arg-type]
    assert {name: getattr(provider, name) for name in options} == options


# Packaging


def run_python(code: str) -> str:
    checkout = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": checkout},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["oauth_auth.testing", "oauth_auth.testing._pytest"])
def test_importing_loads_no_server(module: str) -> None:
    """Importing the package or its pytest plug-in costs nothing that a test didn't ask for."""
    code = f"import sys, {module}; print({{'flask', 'authlib', 'werkzeug'}} & sys.modules.keys())"
    assert run_python(code) == "set()"


@pytest.mark.parametrize("missing", ["flask", "authlib"])
def test_a_missing_extra_is_named(missing: str) -> None:
    """Without Authlib or Flask the ImportError says what to install."""
    code = f"""
import sys
sys.modules[{missing!r}] = None
import oauth_auth.testing
try:
    from oauth_auth.testing import LocalProvider
except ImportError as error:
    print(error)
"""
    assert 'pip install "oauth_auth[testing]"' in run_python(code)
    assert f"{missing!r} is missing" in run_python(code)


def test_names() -> None:
    """The package has two names, and says so of any other."""
    import oauth_auth.testing

    assert dir(oauth_auth.testing) == ["LocalProvider", "ReceivedRequest"]
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        _ = oauth_auth.testing.Other


def test_pytest_fixture(oauth_provider: LocalProvider) -> None:
    """The fixture `oauth_provider` is a running provider."""
    assert requests.get(oauth_provider.api_url, timeout=10).status_code == 401
