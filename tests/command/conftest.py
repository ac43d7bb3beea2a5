from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from pathlib import Path

import pytest

from oauth_auth.testing import LocalProvider
from tests.command.running import ROOT, Browser


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, keyring_folder: Path) -> pytest.MonkeyPatch:
    """No variable but those that a test sets; a keyring that's empty; no browser."""
    monkeypatch.setenv("BROWSER", "true")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("NO_PROXY", "*")
    return monkeypatch


@pytest.fixture
def browser() -> Iterator[Browser]:
    browser = Browser()
    webbrowser.register(browser.name, None, browser, preferred=True)
    yield browser
    browser.is_there = False  # what is registered stays


@pytest.fixture
def person(provider: LocalProvider, environment: pytest.MonkeyPatch, tmp_path: Path) -> LocalProvider:
    """A server where people can log in, and the variables for it, with a folder as the store."""
    variables = {
        "ISSUER": provider.issuer,
        "CLIENT_ID": provider.client_id,
        "CLIENT_SECRET": provider.client_secret,
        "STORE": f"file:{tmp_path}/tokens",
    }
    for name, value in variables.items():
        environment.setenv(f"OAUTH_{name}", value)
    return provider


@pytest.fixture
def machine(person: LocalProvider, environment: pytest.MonkeyPatch) -> LocalProvider:
    """A server that is only known by its token endpoint."""
    environment.setenv("OAUTH_ISSUER", "")
    environment.setenv("OAUTH_TOKEN_URL", person.token_url)
    return person
