"""What the command prints, by tables: a token in each format, and what is known of one."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from oauth_auth import OAuthToken
from oauth_auth._command.formats import describe, format_status, format_token, user_of
from oauth_auth.errors import ConfigurationError

V1, BETA = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
FULL = OAuthToken(access_token="at", token_type="bearer", expiry=1_700_000_000.9, scope="a b", refresh_token="rt")
BARE = OAuthToken(access_token="at")


def id_token(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


@pytest.mark.parametrize("token", [FULL, BARE])
def test_the_token_alone(token: OAuthToken) -> None:
    """`text` is the access token, `header` what curl takes after -H."""
    assert "at" == format_token(token, "text", None)
    assert "Authorization: Bearer at" == format_token(token, "header", None)


@pytest.mark.parametrize(
    ("token", "fields"),
    [
        (FULL, {"access_token": "at", "token_type": "bearer", "expires_at": 1_700_000_000, "scope": "a b"}),
        (BARE, {"access_token": "at", "token_type": "Bearer", "expires_at": None, "scope": None}),
    ],
)
def test_json(token: OAuthToken, fields: dict[str, Any]) -> None:
    """`json` has the token's type, the Unix time at which it expires, and its scope; no refresh token."""
    assert fields == json.loads(format_token(token, "json", None))


@pytest.mark.parametrize(
    ("info", "version"),
    [
        (None, V1),
        ("", V1),
        (json.dumps({"apiVersion": V1, "kind": "ExecCredential", "spec": {"interactive": False}}), V1),
        (json.dumps({"apiVersion": BETA}), BETA),
    ],
)
def test_exec_credential(info: str | None, version: str) -> None:
    """`exec-credential` is in the version that kubectl asks for, and has a time only if one is known."""
    status = {"token": "at", "expirationTimestamp": "2023-11-14T22:13:20Z"}
    whole = {"apiVersion": version, "kind": "ExecCredential", "status": status}
    assert whole == json.loads(format_token(FULL, "exec-credential", info))
    for token in (BARE, OAuthToken(access_token="at", expiry=1e14)):
        assert {"token": "at"} == json.loads(format_token(token, "exec-credential", info))["status"]


@pytest.mark.parametrize("info", ["{", "[]", "{}", '{"apiVersion": 3}', '{"apiVersion": "v1"}', "[" * 100_000])
def test_a_version_that_nobody_knows(info: str) -> None:
    """Another version, or none, is an error that names those that there are."""
    with pytest.raises(ConfigurationError, match=f"KUBERNETES_EXEC_INFO must ask for apiVersion {V1} or {BETA}"):
        format_token(FULL, "exec-credential", info)


@pytest.mark.parametrize(
    ("value", "user"),
    [
        (None, None),
        (3, None),
        ("", None),
        ("a.b", None),
        ("a.b.c", None),
        ("a.\N{SNOWMAN}.c", None),
        (id_token([]), None),
        (id_token({}), None),
        (id_token({"sub": 3}), None),
        (id_token({"sub": "1"}), "1"),
        (id_token({"sub": "1", "name": "Alice"}), "Alice"),
        (id_token({"sub": "1", "name": "Alice", "email": "alice@a.example"}), "alice@a.example"),
        (id_token({"sub": "1", "email": "alice@a.example", "preferred_username": "alice"}), "alice"),
        (id_token({"sub": "1", "preferred_username": "\x1b[31m"}), "1"),
        (id_token({"sub": "\N{SNOWMAN}"}), "\N{SNOWMAN}"),
    ],
)
def test_the_user_of_an_id_token(value: object, user: str | None) -> None:
    """The claim that people know best; what can't be read names nobody."""
    assert user == user_of(OAuthToken(access_token="at", extra={"id_token": value}))


@pytest.mark.parametrize(("token", "scope", "expires_at"), [(FULL, "a b", 1_700_000_000), (BARE, "asked", None)])
def test_status_as_json(token: OAuthToken, scope: str, expires_at: int | None) -> None:
    """What is known, and null for the rest; the scope that was granted, else the one asked for."""
    about = {"issuer": "https://a.example", "client_id": "c", "user": None, "scope": "asked", "store": "keyring:"}
    assert {**about, "scope": scope, "expires_at": expires_at} == json.loads(format_status(token, about))


@pytest.mark.parametrize(
    ("left", "text"),
    [
        (-1.0, "The access token has expired."),
        (90.0, "The access token expires in 90 seconds."),
        (600.0, "The access token expires in 10 minutes."),
        (10_000.0, "The access token expires in 3 hours."),
        (400_000.0, "The access token expires in 5 days."),
    ],
)
def test_lifetimes(left: float, text: str) -> None:
    """A lifetime is in the unit that people would use."""
    assert [text] == describe(OAuthToken(access_token="at", expiry=1e9 + left), 1e9)
