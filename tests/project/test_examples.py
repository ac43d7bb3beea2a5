from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

LAST_LINES = {
    "aiohttp_session.py": "token calls: 2",
    "async_httpx.py": "token calls: 1",
    "flask_service.py": "token calls: 1",
    "httpx_client.py": "refresh token was rotated: True",
    "niquests_session.py": "token calls: 2",
    "opentelemetry_traces.py": "token calls: 2",
    "requests_session.py": "token calls: 2",
    "token_provider.py": "200",
}


def run(*command: str) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
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


def test_the_demo_runs() -> None:
    """The demo, made short, goes through expiry, revocation and an outage without a failed request."""
    output = run(sys.executable, "-W", "error", str(EXAMPLES / "demo.py"), "--seconds", "12")

    assert "no request failed" in output


def test_no_example_is_left_out() -> None:
    """Each example is run by a test, those with a login in files of their own."""
    others = {"demo.py", "test_my_client.py", "flask_login.py", "fastapi_login.py", "browser_login.py"}

    assert {path.name for path in EXAMPLES.glob("*.py")} == others | set(LAST_LINES)
