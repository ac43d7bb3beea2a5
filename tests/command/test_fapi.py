"""A whole flow of FAPI 2.0 by the command, at oidc-provider: a key, a pushed request, a bound token, and its end."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests

import oauth_auth.requests
from tests.command.running import Browser, run
from tests.servers.secure_provider import SecureProvider


def test_a_whole_flow_of_fapi(secure: SecureProvider, tmp_path: Path, browser: Browser, environment: object) -> None:
    """Login, token, status and logout, of which only the login has options; the token alone opens nothing."""
    key = tmp_path / "key.json"
    key.write_text(json.dumps(secure.keys[0]))
    secure.use_nonces("required")
    secure.turn_nonce()
    options = {
        "--issuer": secure.issuer,
        "--client-id": secure.clients["fapi"],
        "--private-key-file": str(key),
        "--scope": "openid api",
        "--store": f"file:{tmp_path}/tokens",
    }
    logged_in = run("login", "--dpop", "--par", *(text for pair in options.items() for text in pair))
    assert (0, "") == (logged_in.status, logged_in.stdout), logged_in.stderr
    (url,) = browser.opened
    assert {"client_id", "request_uri"} == set(parse_qs(urlsplit(url).query))

    printed = run("token", "--format", "header")
    assert 0 == printed.status, printed.stderr
    assert printed.stdout.startswith("Authorization: DPoP ")
    assert "bound to a key" in printed.stderr
    name, _, value = printed.stdout.strip().partition(": ")
    assert 401 == requests.get(secure.api_url, headers={name: value}, timeout=10).status_code
    assert 0 == run("status").status

    variables = {
        "ISSUER": secure.issuer,
        "CLIENT_ID": secure.clients["fapi"],
        "PRIVATE_KEY_FILE": str(key),
        "SCOPE": "openid api",
        "STORE": f"file:{tmp_path}/tokens",
        "DPOP": "true",
        "PAR": "true",
    }
    for variable, text in variables.items():
        environment.setenv(f"OAUTH_{variable}", text)  # type: ignore[attr-defined]
    with oauth_auth.requests.AuthorizationCodeAuth.from_env() as auth:
        assert 200 == requests.get(secure.api_url, auth=auth, timeout=10).status_code

    assert (0, "You are logged out.\n") == ((ended := run("logout")).status, ended.stderr)
    assert 1 == run("token").status
    assert 1 == secure.logins
