"""The ways to log in, in a real Chromium that clicks through the pages of oidc-provider."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.logins import EXAMPLES, running_example

from .mcp_servers import FastMcpServer, PythonServer, TypeScriptServer
from .oidc_provider import OidcProvider
from .programs import of_machine
from .resource_server import ResourceServer

ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = of_machine("chromium", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of a browser that nobody has logged in with."""
    with chromium.new_context() as context:
        context.set_default_timeout(20_000)
        yield context.new_page()


class Opener:
    """What programs start as the browser: it tells the test the URL."""

    _PROGRAM = """\
import pathlib, sys
whole = pathlib.Path(sys.argv[1])
part = whole.with_suffix(".part")
part.write_text(sys.argv[2])
part.rename(whole)
"""

    def __init__(self, folder: Path) -> None:
        self.told = folder / "url"
        program = folder / "open.py"
        program.write_text(self._PROGRAM)
        self.command = f"{sys.executable} {program} {self.told} %s"

    def wait_for_url(self, program: subprocess.Popen[str]) -> str:
        """Return the URL that a program opens."""
        deadline = time.monotonic() + 30
        while not self.told.exists():
            assert program.poll() is None, program.stdout and program.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        url = self.told.read_text()
        self.told.unlink()
        return url


@pytest.fixture
def opener(tmp_path: Path) -> Opener:
    return Opener(tmp_path)


def environment_of(oidc: OidcProvider) -> dict[str, str]:
    client = oidc.basic
    return {
        "ISSUER": oidc.issuer,
        "CLIENT_ID": client.client_id,
        "CLIENT_SECRET": client.secret,
        "API_URL": oidc.api_url,
    }


def log_in(page: Page) -> None:
    """Do what a person does at oidc-provider's pages: a name, a password, and the consent."""
    page.get_by_placeholder("Enter any login").fill("alice")
    page.get_by_placeholder("and password").fill("x")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


@pytest.mark.parametrize("name", ["flask_login.py", "fastapi_login.py"])
def test_a_web_app(page: Page, oidc: OidcProvider, name: str) -> None:
    """A person logs in, sees what the API says, logs out, and isn't logged in any more."""
    with running_example(name, **environment_of(oidc)) as url:
        page.goto(url)
        page.get_by_role("link", name="Log in").click()
        log_in(page)
        expect(page.get_by_text("The API says")).to_be_visible()
        assert f"{url}/" == page.url
        page.reload()
        expect(page.get_by_text("The API says")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_text("You are not logged in")).to_be_visible()


def test_a_script(page: Page, oidc: OidcProvider, opener: Opener, tmp_path: Path) -> None:
    """A script's browser comes to the last page, whose address holds no code; the script's next run needs none."""
    environment = {
        **os.environ,
        **environment_of(oidc),
        "BROWSER": opener.command,
        "TOKENS": str(tmp_path / "tokens"),
    }
    command = [sys.executable, "-W", "error", str(EXAMPLES / "browser_login.py")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as script:
        try:
            page.goto(opener.wait_for_url(script))
            log_in(page)
            expect(page.get_by_role("heading", name="You are logged in")).to_be_visible()
            assert script.stdout is not None
            assert "the API answers: 200" == script.stdout.read().splitlines()[-1]
        finally:
            script.kill()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/callback/done", page.url)
    assert "You are logged in" == page.title()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{scheme}.png")
        assert 7 <= contrast(page)

    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "the API answers: 200" == again.stdout.splitlines()[-1]
    assert not opener.told.exists()


def test_the_command(page: Page, oidc: OidcProvider, opener: Opener, tmp_path: Path) -> None:
    """`oauth-auth login` ends when the person has clicked through, and `oauth-auth token` prints what the API takes."""
    environment = {
        **os.environ,
        **{f"OAUTH_{name}": value for name, value in environment_of(oidc).items()},
        "OAUTH_SCOPE": "openid",
        "OAUTH_STORE": f"file:{tmp_path / 'tokens'}",
        "XDG_CONFIG_HOME": str(tmp_path),
        "BROWSER": opener.command,
    }
    command = [sys.executable, "-m", "oauth_auth"]
    with subprocess.Popen(
        [*command, "login"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as login:
        try:
            page.goto(opener.wait_for_url(login))
            log_in(page)
            expect(page.get_by_role("heading", name="You are logged in")).to_be_visible()
            assert 0 == login.wait(20)
        finally:
            login.kill()
    token = subprocess.run(
        [*command, "token"], env=environment, capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()
    answer = page.request.get(oidc.api_url, headers={"Authorization": f"Bearer {token}"})
    assert 200 == answer.status


@pytest.mark.parametrize("kind", [PythonServer, FastMcpServer, TypeScriptServer], ids=lambda kind: kind.__name__)
def test_an_mcp_client(page: Page, opener: Opener, tmp_path: Path, kind: type[ResourceServer]) -> None:
    """With nothing configured but a URL a person logs in once, for tokens that expire and for programs to come."""
    with kind() as server:
        server.set_access_token_lifetime(2)
        environment = {**os.environ, "BROWSER": opener.command, "TOKENS": str(tmp_path / "tokens")}
        command = [sys.executable, "-W", "error", str(EXAMPLES / "mcp_client.py"), server.url]
        with subprocess.Popen(
            [*command, "greet", "outlast", "greet"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as client:
            try:
                page.goto(opener.wait_for_url(client))
                expect(page.get_by_role("heading", name="You are logged in")).to_be_visible()
                assert client.stdout is not None
                assert ["Hello, Alice", "outlasted", "Hello, Alice"] == client.stdout.read().splitlines()[-3:]
            finally:
                client.kill()
        assert 2 <= server.token_requests

        again = subprocess.run(
            [*command, "greet"], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        assert "Hello, Alice\n" == again.stdout
        assert (1, 1) == (server.registrations, server.logins)
        assert not opener.told.exists()


def contrast(page: Page) -> float:
    """Return the contrast of the text to the page's ground (WCAG 2, 1.4.6): what the eye sees, from its colours."""
    text = page.evaluate("getComputedStyle(document.querySelector('h1')).color")
    ground = page.evaluate(
        "(e => { e.style.color = 'Canvas'; document.body.append(e); const c = getComputedStyle(e).color;"
        " e.remove(); return c })(document.createElement('i'))"
    )
    one, other = sorted((luminance(text), luminance(ground)))
    return (other + 0.05) / (one + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
