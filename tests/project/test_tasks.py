"""Ten tasks, each a whole program that runs, in as few lines as the documentation says."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oauth_auth.requests import AuthorizationCodeAuth
from tests.servers.documented import DocumentedHosts
from tests.servers.login import authorize

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "examples" / "tasks"

MOST_LINES = {
    "service_requests.py": 5,
    "service_async_httpx.py": 6,
    "service_aiohttp.py": 6,
    "from_issuer.py": 5,
    "audience.py": 6,
    "browser_login_kept.py": 8,
    "device_login.py": 5,
    "web_application.py": 15,
    "refresh_token.py": 8,
    "revoked_token.py": 5,
    "test_revoked_token.py": 6,
}
NOTHING = hashlib.sha256(b"").hexdigest()
ORDERS = {"method": "GET", "path": "/api/orders", "length": 0, "sha256": NOTHING}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentedHosts]:
    with DocumentedHosts(tmp_path_factory.mktemp("certificates")) as hosts:
        yield hosts


def lines_of(path: Path) -> list[str]:
    """Return the lines that count: not the module's docstring, comments, nor what runs any async program."""
    text = path.read_text()
    docstring = ast.get_docstring(ast.parse(text), clean=False) or ""
    lines = [line.strip() for line in text.replace(f'"""{docstring}"""', "", 1).splitlines()]
    runs_async = {"import asyncio", "async def main() -> None:", "asyncio.run(main())"}
    return [line for line in lines if line and not line.startswith("#") and line not in runs_async]


@pytest.mark.parametrize("name", MOST_LINES)
def test_a_task_takes_few_lines(name: str) -> None:
    """A task takes no more lines than the table in docs/tasks.md says, and the table says how many."""
    count = len(lines_of(TASKS / name))
    assert MOST_LINES[name] >= count
    rows = [row for row in (ROOT / "docs" / "tasks.md").read_text().splitlines() if f"({name})" in row]
    assert 1 == len(rows)
    assert f"| {count} |" in rows[0]


def test_no_task_is_left_out() -> None:
    """Each file in the folder is counted and run."""
    assert set(MOST_LINES) == {path.name for path in TASKS.glob("*.py")}


BEHIND_A_PROXY = """
import runpy, sys, aiohttp
aiohttp.ClientSession.__init__.__kwdefaults__["trust_env"] = True  # as sessions of the other libraries do
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def run(hosts: DocumentedHosts, home: Path, *command: str, **variables: str) -> str:
    environment = {
        **os.environ,
        **hosts.environment,
        "HOME": str(home),
        "BROWSER": f"{sys.executable} {ROOT / 'tests' / 'servers' / 'approving_browser.py'} %s",
        **variables,
    }
    finished = subprocess.run(
        [sys.executable, "-W", "error", *command],
        capture_output=True,
        text=True,
        env=environment,
        cwd=home,
        timeout=60,
        check=False,
    )
    assert 0 == finished.returncode, finished.stderr
    return finished.stdout


@pytest.mark.parametrize(
    "name",
    ["service_requests.py", "service_async_httpx.py", "service_aiohttp.py", "from_issuer.py", "audience.py"],
)
def test_a_service_gets_its_orders(name: str, hosts: DocumentedHosts, tmp_path: Path) -> None:
    """The program prints what the API answers."""
    assert f"{ORDERS}\n" == run(hosts, tmp_path, "-c", BEHIND_A_PROXY, str(TASKS / name))


@pytest.mark.parametrize("name", ["browser_login_kept.py", "device_login.py"])
def test_a_login_is_kept(name: str, hosts: DocumentedHosts, tmp_path: Path) -> None:
    """The user logs in once: the second run has the token from disk, and makes no token call."""
    assert str(ORDERS) in run(hosts, tmp_path, str(TASKS / name))
    calls = len(hosts.provider.token_requests)
    assert str(ORDERS) in run(hosts, tmp_path, str(TASKS / name))
    assert calls == len(hosts.provider.token_requests)


def test_processes_share_a_refresh_token(hosts: DocumentedHosts, tmp_path: Path) -> None:
    """The refresh token is used once, by whichever process comes first."""
    auth = AuthorizationCodeAuth(f"{hosts.origin}/token", "client-id", authorization_url=f"{hosts.origin}/authorize")
    request = auth.authorization_request("http://127.0.0.1/callback")
    token = auth.complete_login(request, authorize(request.url, "http://127.0.0.1/callback"))
    assert token.refresh_token is not None
    calls = len(hosts.provider.token_requests)
    for _ in range(2):
        assert str(ORDERS) in run(hosts, tmp_path, str(TASKS / "refresh_token.py"), TOKEN=token.refresh_token)
    assert calls + 1 == len(hosts.provider.token_requests)


def test_a_revoked_token_is_replaced(hosts: DocumentedHosts, tmp_path: Path) -> None:
    """Of ten requests each is answered, though one's token was rejected."""
    hosts.provider.fail_api_requests(401)
    assert f"{' '.join(['200'] * 10)}\n" == run(hosts, tmp_path, str(TASKS / "revoked_token.py"))


def test_the_test_passes(hosts: DocumentedHosts, tmp_path: Path) -> None:
    """The test of a revoked token passes under pytest."""
    assert "1 passed" in run(
        hosts, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TASKS / "test_revoked_token.py")
    )


USE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import requests, web_application
client = web_application.app.test_client()
answers = []
for user in ("alice", "bob"):
    with client.session_transaction() as session:
        session["user"] = user
    login = client.post("/connect").location
    back = requests.get(login, allow_redirects=False).headers["Location"]
    for _ in range(2):
        answers.append(client.get(back[back.index("/callback"):]).json)
print(json.dumps(answers))
"""


def test_users_of_a_web_application_connect_their_accounts(hosts: DocumentedHosts, tmp_path: Path) -> None:
    """Each user gets a token of their own; the page that the redirect leads to can be loaded again."""
    calls = len(hosts.provider.token_requests)
    variables: dict[str, Any] = {
        "FLASK_SECRET_KEY": json.dumps("key"),
        "OAUTH_ISSUER": "https://auth.example.com",
        "OAUTH_CLIENT_ID": "client-id",
        "OAUTH_CLIENT_SECRET": "client-secret",
        "OAUTH_REDIRECT_URI": "https://app.example.com/callback",
        "OAUTH_STORE": f"file:{tmp_path}/tokens",
    }
    answers = json.loads(run(hosts, tmp_path, "-c", USE, str(TASKS), **variables))
    assert [ORDERS] * 4 == answers
    assert calls + 2 == len(hosts.provider.token_requests)
