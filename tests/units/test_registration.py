"""Dynamic registration: what is sent, what an answer says, what is kept of it and how long it serves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oauth_auth import OAuthError, OAuthProviderException, OAuthToken, RegistrationError, TokenResponseError
from oauth_auth._record import replace
from oauth_auth._wire.client_auth import ClientSecretBasic, ClientSecretPost, PublicClient
from oauth_auth._wire.registration import (
    Registration,
    build_registration,
    choose_method,
    client_metadata_for,
    read_registration_response,
)
from tests.support.steps import answer

ISSUER, URL = "https://auth.example", "https://auth.example/register?tenant=secret-tenant"
LOOPBACK = "http://127.0.0.1:7777/"
PUBLIC = Registration(ISSUER, "client", None, "none", LOOPBACK)
WHOLE = Registration(ISSUER, "client", "s3cret", "client_secret_post", LOOPBACK, "a b", 2000.0)


# -- What is kept -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kept", [PUBLIC, WHOLE, replace(WHOLE, redirect_uri=None), replace(WHOLE, scope=None, expires_at=None)]
)
def test_it_is_kept_as_a_token_is(kept: Registration) -> None:
    """In the shape in which every store takes it; the secret is where they encrypt."""
    token = kept.to_token()
    assert kept == Registration.from_token(OAuthToken.from_dict(json.loads(json.dumps(token.to_dict()))))
    assert ("client_registration", kept.client_secret) == (token.token_type, token.refresh_token)
    assert "s3cret" not in repr(token)
    assert "s3cret" not in json.dumps(dict(token.extra))


def stored(**extra: Any) -> OAuthToken:
    fields = {"access_token": "client", "token_type": "client_registration", "refresh_token": "s3cret"}
    own = {name: extra.pop(name) for name in fields if name in extra}
    return OAuthToken(**{**fields, **own}, extra={"issuer": ISSUER, "method": "client_secret_basic", **extra})


@pytest.mark.parametrize(
    ("token", "is_one"),
    [
        (None, False),
        (stored(), True),
        (stored(token_type="Bearer"), False),
        (stored(method="private_key_jwt"), False),
        (stored(method=None), False),
        (stored(method=["none"]), False),
        (stored(refresh_token=None), False),
        (stored(refresh_token=None, method="none"), True),
        (stored(issuer=None), False),
        (stored(issuer=5), False),
        (stored(redirect_uri=5), False),
        (stored(scope=["a"]), False),
        (stored(expires_at="soon"), True),
    ],
)
def test_what_is_damaged_counts_for_nothing(token: OAuthToken | None, is_one: bool) -> None:
    """It's registered anew then; a time that can't be read is as if there were none."""
    found = Registration.from_token(token)
    assert is_one is (found is not None)
    assert found is None or found.expires_at is None


def test_it_shows_no_secret() -> None:
    """Not in its repr."""
    assert "s3cret" not in repr(WHOLE)
    assert "client" in repr(WHOLE)


@pytest.mark.parametrize(
    ("scope", "asked", "expires_at", "expected"),
    [
        (None, None, None, True),
        (None, "a", None, True),
        ("a b", None, None, True),
        ("a b", "b a", None, True),
        ("a b", "a c", None, False),
        ("a", "a b", None, False),
        (None, "a", 1000.5, True),
        (None, "a", 1000.0, False),
        (None, "a", 999.0, False),
        ("a", "b", 2000.0, False),
    ],
)
def test_how_long_it_serves(scope: str | None, asked: str | None, expires_at: float | None, expected: bool) -> None:
    """Until its secret expires, and for what it was registered with; where no scope was told, for any."""
    assert expected is replace(WHOLE, scope=scope, expires_at=expires_at).serves(asked, 1000.0)


# -- What is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("supported", "wanted", "expected"),
    [
        (["client_secret_post", "client_secret_basic", "none"], None, "none"),
        (["client_secret_post", "client_secret_basic"], None, "client_secret_basic"),
        (["client_secret_post"], None, "client_secret_post"),
        (["private_key_jwt"], None, "client_secret_basic"),
        ([], None, "client_secret_basic"),
        (None, None, "client_secret_basic"),
        ("none", None, "client_secret_basic"),
        ([["none"]], None, "client_secret_basic"),
        (["none"], ClientSecretPost(), "client_secret_post"),
        (["none"], ClientSecretBasic(), "client_secret_basic"),
        (["client_secret_basic"], PublicClient(), "none"),
    ],
)
def test_which_method_is_asked_for(supported: object, wanted: Any, expected: str) -> None:
    """The user's; else a public client where the server knows it, else Basic, else post (RFC 8414: default Basic)."""
    assert expected == choose_method(supported, wanted)


@pytest.mark.parametrize(
    ("redirect_uri", "expected"),
    [
        (LOOPBACK, "native"),
        ("http://localhost/", "native"),
        ("http://[::1]:8000/cb", "native"),
        ("com.example.app:/cb", "native"),
        ("https://app.example/cb", "web"),
        ("https://127.0.0.1/cb", "web"),
        ("http://app.example/cb", "web"),
        (None, "native"),
    ],
)
def test_native_and_web_clients(redirect_uri: str | None, expected: str) -> None:
    """A program on the user's machine is native: on loopback, by a scheme of its own, or on another device."""
    assert expected == client_metadata_for(redirect_uri, None, "none", {})["application_type"]


def test_what_a_client_says_of_itself() -> None:
    """What RFC 7591 needs of a client that redirects, or logs in by device; no more than is known."""
    assert {
        "client_name": "oauth_auth",
        "redirect_uris": [LOOPBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "scope": "a b",
    } == client_metadata_for(LOOPBACK, "a b", "none", {})
    assert {
        "client_name": "oauth_auth",
        "grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
        "response_types": [],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    } == client_metadata_for(None, None, "none", {})


def test_the_users_fields_have_the_last_word() -> None:
    """They override ours, add to them, and None drops one."""
    own = {"client_name": "mine", "contacts": ["me@example.com"], "application_type": None, "scope": "z"}
    found = client_metadata_for(LOOPBACK, "a", "none", own)
    assert ("mine", ["me@example.com"], "z") == (found["client_name"], found["contacts"], found["scope"])
    assert "application_type" not in found


def test_the_request() -> None:
    """JSON, without credentials."""
    request = build_registration(URL, {"client_name": "\xe4"})
    assert ("POST", URL, {"client_name": "\xe4"}) == (request.method, request.url, json.loads(request.body))
    assert "application/json" == request.headers["Content-Type"]
    assert "Authorization" not in request.headers


# -- What an answer says ----------------------------------------------------------------------------------------------


def read(status: int = 201, body: Any = None, *, asked: dict[str, Any] | None = None, **fields: Any) -> Any:
    """Return what's read of an answer to what was asked for, or the error."""
    request = build_registration(URL, {"token_endpoint_auth_method": "none", "scope": "a", **(asked or {})})
    response = answer(status, {"client_id": "client", **fields} if body is None else body)
    try:
        return read_registration_response(request, response, ISSUER, LOOPBACK)
    except OAuthError as error:
        return error


@pytest.mark.parametrize(
    ("asked", "fields", "expected"),
    [
        ({}, {}, replace(PUBLIC, scope="a")),
        ({"scope": None}, {}, PUBLIC),
        # The answer wins.
        ({}, {"scope": "b c"}, replace(PUBLIC, scope="b c")),
        ({}, {"scope": ""}, PUBLIC),
        ({}, {"scope": None}, PUBLIC),
        ({}, {"scope": ["a"]}, PUBLIC),
        (
            {},
            {"token_endpoint_auth_method": "client_secret_post", "client_secret": "s3cret"},
            replace(WHOLE, scope="a", expires_at=None),
        ),
        (
            {"token_endpoint_auth_method": "client_secret_post"},
            {"client_secret": "s3cret", "client_secret_expires_at": 2000, "scope": "a b"},
            WHOLE,
        ),
        # A secret that a public client doesn't need isn't kept; when it ends is, since the client may end with it.
        (
            {},
            {"client_secret": "s3cret", "client_secret_expires_at": 2000},
            replace(PUBLIC, scope="a", expires_at=2000),
        ),
        ({}, {"client_secret_expires_at": 2000}, replace(PUBLIC, scope="a")),
        # What isn't compared
        ({}, {"redirect_uris": ["http://localhost/"], "issuer": "https://evil.example"}, replace(PUBLIC, scope="a")),
    ],
)
def test_what_the_answer_says_wins(asked: dict[str, Any], fields: dict[str, Any], expected: Registration) -> None:
    """Over what was asked for (RFC 7591 section 3.2.1); the redirect URIs in it aren't compared."""
    assert expected == read(asked=asked, **fields)


@pytest.mark.parametrize(
    ("expires_at", "expected"),
    [(0, None), (-1, None), (None, None), ("soon", None), (True, None), (1.5, 1.5), (2000, 2000.0)],
)
def test_when_a_secret_expires(expires_at: Any, expected: float | None) -> None:
    """0 is never, and so is what can't be read."""
    fields: dict[str, Any] = {"token_endpoint_auth_method": "client_secret_basic", "client_secret": "s"}
    assert expected == read(**fields, client_secret_expires_at=expires_at).expires_at


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"client_id": None}, "no usable client_id"),
        ({"client_id": ""}, "no usable client_id"),
        ({"client_id": 5}, "no usable client_id"),
        ({"client_id": "\xe4"}, "no usable client_id"),
        ({"client_id": "a\nb"}, "no usable client_id"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "'private_key_jwt'"),
        ({"token_endpoint_auth_method": ["none"]}, "['none']"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "no client_secret"),
        ({"token_endpoint_auth_method": "client_secret_post", "client_secret": ""}, "no client_secret"),
        ({"token_endpoint_auth_method": "client_secret_post", "client_secret": 5}, "no client_secret"),
    ],
)
def test_a_client_that_cannot_work_is_an_error(fields: dict[str, Any], text: str) -> None:
    """It says what is wrong, and what to pass instead; the URL's query isn't shown."""
    error = read(**fields)
    assert RegistrationError is type(error)
    assert (201, "https://auth.example/register") == (error.status_code, error.registration_url)
    assert text in str(error)
    assert "pass client_id=" in str(error)
    assert "secret-tenant" not in str(error)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "invalid_redirect_uri", "error_description": "no"}, OAuthProviderException),
        (401, {"error": "invalid_token"}, OAuthProviderException),
        (200, {"error": "invalid_client_metadata"}, OAuthProviderException),
        (404, b"", TokenResponseError),
        (201, b"<html>", TokenResponseError),
        (302, b"", TokenResponseError),
        (503, b"", TokenResponseError),
    ],
)
def test_what_is_no_registration_is_an_error(status: int, body: Any, kind: type[OAuthError]) -> None:
    """As of any endpoint."""
    assert kind is type(read(status, body))
