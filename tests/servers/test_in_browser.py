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

from .oidc_provider import OidcProvider
from .programs import of_machine

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


_OPENER = """\
import pathlib, sys
whole = pathlib.Path(sys.argv[1])
part = whole.with_suffix(".part")
part.write_text(sys.argv[2])
part.rename(whole)
"""


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


def test_a_script(page: Page, oidc: OidcProvider, tmp_path: Path) -> None:
    """A script's browser comes to the last page, whose address holds no code; the script's next run needs none."""
    told = tmp_path / "url"
    opener = tmp_path / "open.py"
    opener.write_text(_OPENER)
    environment = {
        **os.environ,
        **environment_of(oidc),
        "BROWSER": f"{sys.executable} {opener} {told} %s",
        "TOKENS": str(tmp_path / "tokens"),
    }
    command = [sys.executable, "-W", "error", str(EXAMPLES / "browser_login.py")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as script:
        try:
            deadline = time.monotonic() + 30
            while not told.exists():
                assert script.poll() is None, script.stdout and script.stdout.read()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            page.goto(told.read_text())
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

    told.unlink()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "the API answers: 200" == again.stdout.splitlines()[-1]
    assert not told.exists()


def test_the_command(page: Page, oidc: OidcProvider, tmp_path: Path) -> None:
    """`oauth-auth login` ends when the person has clicked through, and `oauth-auth token` prints what the API takes."""
    told = tmp_path / "url"
    opener = tmp_path / "open.py"
    opener.write_text(_OPENER)
    environment = {
        **os.environ,
        **{f"OAUTH_{name}": value for name, value in environment_of(oidc).items()},
        "OAUTH_SCOPE": "openid",
        "OAUTH_STORE": f"file:{tmp_path / 'tokens'}",
        "XDG_CONFIG_HOME": str(tmp_path),
        "BROWSER": f"{sys.executable} {opener} {told} %s",
    }
    command = [sys.executable, "-m", "oauth_auth"]
    with subprocess.Popen(
        [*command, "login"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as login:
        try:
            deadline = time.monotonic() + 30
            while not told.exists():
                assert login.poll() is None, login.stdout and login.stdout.read()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            page.goto(told.read_text())
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
