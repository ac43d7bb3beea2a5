"""sentry-sdk: errors, log records and transactions are sent with stacks and local variables, and without a secret."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support import modes
from tests.support.modes import Mode

SECRETS = {name: f"hush-{name}" for name in ("client_secret", "password", "refresh_token", "code", "access_token")}
SHOWN = ["hush-", base64.b64encode(b"client-id:hush-client_secret").decode()]
"""What is in each of them, and the header that has one in other letters."""


@pytest.fixture(scope="module")
def sent() -> Any:
    """Run the program; return what Sentry would have sent, by mode."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.dropin.with_sentry", *map(str, modes.ALL)],
        input=json.dumps(SECRETS),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert 0 == finished.returncode, finished.stderr
    return json.loads(finished.stdout)


def test_this_test_sees_secrets(sent: Any) -> None:
    """A local variable that holds a secret is sent."""
    assert any(text in json.dumps(sent["shown"]) for text in SHOWN)


def test_sentry(mode: Mode, sent: Any) -> None:
    """Whatever goes wrong with a token, its event and its transaction hold neither token nor credential of ours."""
    [transaction] = [payload for payload in sent[mode.name] if payload.get("type") == "transaction"]
    events = [payload for payload in sent[mode.name] if payload is not transaction]
    raised = [[value["type"] for value in event.get("exception", {}).get("values", [])] for event in events]
    if mode.library is not modes.NIQUESTS.library:  # which Sentry doesn't know
        assert any("/token" in span["description"] for span in transaction["spans"])
    assert 18 == len(events)
    assert 2 == raised.count([])  # what was logged
    assert {"OAuthProviderException", "ReauthorizationRequired", "TokenTransportError", "TokenError"} <= {
        types[-1] for types in raised if types
    }
    assert [] == [text for text in SHOWN if text in json.dumps(sent[mode.name])]
