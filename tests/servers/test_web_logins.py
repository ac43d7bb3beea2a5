"""The examples that log people in, from end to end: as programs of their own, and without a browser."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.support.logins import EXAMPLES, running_example


@pytest.fixture(scope="module", params=["flask_login.py", "fastapi_login.py"])
def app(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an app that runs, with a server that lets anybody in at once."""
    with running_example(request.param) as url:
        yield url


class Person(requests.Session):
    """A browser of one person."""

    def __init__(self, app: str) -> None:
        super().__init__()
        self.trust_env = False
        self.app = app

    def see(self, path: str, *, method: str = "GET", follow: bool = True) -> requests.Response:
        return self.request(method, f"{self.app}{path}", allow_redirects=follow, timeout=20)

    def begin(self) -> str:
        """Begin a login; return the URL that it comes back to."""
        url = self.see("/login", follow=False).headers["Location"]
        return self.get(url, allow_redirects=False, timeout=20).headers["Location"]


def test_a_person_logs_in_and_out(app: str) -> None:
    """After a login the API is called for the person, without another; after the logout no more."""
    person = Person(app)
    assert "You are not logged in" in person.see("/").text
    page = person.see("/login")
    assert "/" == urlsplit(page.url).path
    assert "The API says" in page.text
    assert "The API says" in person.see("/").text
    kept = dict(person.cookies)
    assert "You are not logged in" in person.see("/logout", method="POST").text
    assert "You are not logged in" in person.see("/").text
    # A cookie from before is of no use any more: the token is gone, so it's a new login.
    person.cookies.update(kept)
    assert "/login" == urlsplit(person.see("/", follow=False).headers["Location"]).path


def test_the_session_is_out_of_reach(app: str) -> None:
    """The cookie is out of scripts' and other sites' reach, it holds no secret, and another one after a login."""
    person = Person(app)
    begun = person.see("/login", follow=False)
    cookie = begun.headers["Set-Cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=lax" in cookie.lower()
    state = parse_qs(urlsplit(begun.headers["Location"]).query)["state"][0]
    assert state not in cookie
    before = dict(person.cookies)
    person.get(begun.headers["Location"], timeout=20)
    assert before != dict(person.cookies)
    assert "The API says" in person.see("/").text


def test_nobody_gets_into_another_s_session(app: str) -> None:
    """An answer counts once, in the session that asked for it: a forged or foreign one is refused."""
    alice, eve = Person(app), Person(app)
    assert 400 == eve.see("/callback?code=c&state=s").status_code
    answer = alice.begin()
    eve.begin()
    assert 400 == eve.get(answer, timeout=20).status_code
    assert "You are not logged in" in eve.see("/").text
    assert 200 == alice.get(answer, timeout=20).status_code
    assert 400 == alice.get(answer, timeout=20).status_code
    assert "The API says" in alice.see("/").text


def test_two_people_have_two_sessions(app: str) -> None:
    """The logout of one ends nothing of the other's."""
    alice, bob = Person(app), Person(app)
    assert "The API says" in alice.see("/login").text
    assert "The API says" in bob.see("/login").text
    alice.see("/logout", method="POST")
    assert "The API says" in bob.see("/").text


def test_a_refused_login(app: str) -> None:
    """An error answer is told without its text, which comes from whoever made the URL."""
    person = Person(app)
    state = parse_qs(urlsplit(person.begin()).query)["state"][0]
    iss = parse_qs(urlsplit(Person(app).begin()).query)["iss"][0]
    answer = f"/callback?error=access_denied&error_description=%3Cscript%3E&state={state}&iss={iss}"
    page = person.see(answer)
    assert 400 == page.status_code
    assert "The login did not work" in page.text
    assert "Please try again." in page.text
    assert "script" not in page.text
    assert "access_denied" not in page.text


def test_a_script_that_opens_a_browser(tmp_path: Path) -> None:
    """The script waits for the browser, whatever program that is, and goes on when the person is back."""
    browser = tmp_path / "browser.py"
    browser.write_text("import sys, urllib.request\nurllib.request.urlopen(sys.argv[1])\n")
    finished = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / "browser_login.py")],
        env={**os.environ, "BROWSER": f"{sys.executable} {browser} %s", "HOME": tempfile.gettempdir()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "the API answers: 200" == finished.stdout.splitlines()[-1], finished.stderr
    assert finished.stderr.startswith("Opening your browser to log in. If nothing opens, visit:\nhttp://127.0.0.1:")
    assert 2 == len(finished.stderr.splitlines())
