from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from joserfc.jwk import ECKey

from oauth_auth.testing import LocalProvider
from tests.project.test_tasks import lines_of

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

LAST_LINES = {
    "aiohttp_session.py": "token calls: 2",
    "async_httpx.py": "token calls: 1",
    "dpop_httpx.py": "token calls: 2",
    "flask_service.py": "token calls: 1",
    "httpx_client.py": "refresh token was rotated: True",
    "niquests_session.py": "token calls: 2",
    "opentelemetry_traces.py": "token calls: 2",
    "requests_session.py": "token calls: 2",
    "token_exchange.py": "token calls: authorization_code then token-exchange",
    "token_provider.py": "200",
}


def run(*command: str, **variables: str) -> str:
    finished = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, env={**os.environ, **variables}
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.mark.parametrize("name", LAST_LINES)
def test_each_example_runs(name: str) -> None:
    """An example does what it says, warnings being errors."""
    output = run(sys.executable, "-W", "error", str(EXAMPLES / name))

    assert LAST_LINES[name] == output.splitlines()[-1]


def test_the_example_of_a_test_suite_passes() -> None:
    """The tests that show how to test one's own code pass."""
    output = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / "test_my_client.py"))

    assert "3 passed" in output


def test_a_fapi_flow_takes_few_lines(tmp_path: Path, oauth_provider: LocalProvider) -> None:
    """In under twenty lines a user logs in at a server that demands all of FAPI 2.0, and is logged out."""
    provider, example, key = oauth_provider, EXAMPLES / "fapi.py", ECKey.generate_key("P-256")
    provider.client_key = key.as_dict(private=False)
    provider.require_dpop = provider.dpop_nonces = provider.require_pushed_authorization_requests = True
    provider.assertion_audience, provider.rotate_refresh_tokens = "issuer", False
    (tmp_path / "key.pem").write_bytes(key.as_pem(private=True))

    output = run(
        *(sys.executable, "-W", "error", str(example)),
        ISSUER=provider.issuer,
        CLIENT_ID=provider.client_id,
        KEY_FILE=str(tmp_path / "key.pem"),
        API_URL=provider.api_url,
        BROWSER=f"{sys.executable} {ROOT / 'tests' / 'servers' / 'approving_browser.py'} %s",
    )

    assert len(lines_of(example)) < 20
    assert ["after the login: 200", "renewed: a token of the type DPoP", "with the new token: 200"] == (
        output.splitlines()
    )
    grants = [request.form["grant_type"][0] for request in provider.token_requests]
    assert ["authorization_code", "refresh_token"] == grants
    scheme, token = provider.api_requests[-1].headers["Authorization"].split()
    assert "DPoP" == scheme
    assert provider._authorization_server.access_tokens[token].is_revoked()


def test_an_mcp_client_takes_few_lines() -> None:
    """In under twenty lines a client has a login, and all that comes after it: tests/servers has Chromium use it."""
    assert len(lines_of(EXAMPLES / "mcp_client.py")) < 20


def test_the_demo_runs() -> None:
    """The demo, made short, goes through expiry, revocation and an outage without a failed request."""
    output = run(sys.executable, "-W", "error", str(EXAMPLES / "demo.py"), "--seconds", "12")

    assert "no request failed" in output


def test_no_example_is_left_out() -> None:
    """Each example is run by a test, those with a login in files of their own."""
    with_logins = {"flask_login.py", "fastapi_login.py", "browser_login.py", "mcp_client.py"}
    others = {"demo.py", "test_my_client.py", "fapi.py"}

    assert {path.name for path in EXAMPLES.glob("*.py")} == with_logins | others | set(LAST_LINES)
