"""The programs that the documentation prints can be copied: they show, change and keep nothing that they shouldn't.

That they run and do what their pages say is in test_docs.py.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from oauth_auth import OAuthToken
from tests.support.documentation import blocks_of

DOCS = Path(__file__).parents[2] / "docs"


def names_of(page: str, mark: str) -> dict[str, Any]:
    """Run the first block of a page that has this mark in it; return its names."""
    code = next(block.code for block in blocks_of((DOCS / page).read_text()) if mark in block.code)
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(code, page, "exec"), names)
    return names


# -- The web application --------------------------------------------------------------------------------------------


@pytest.fixture
def web_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return names_of("howto/web-app.md", "AuthorizationCodeAuth")


@pytest.fixture
def browser(web_app: dict[str, Any]) -> Any:
    """The browser of a user of the application."""
    browser = web_app["app"].test_client()
    with browser.session_transaction() as session:
        session["user"] = "alice"
    return browser


@pytest.mark.parametrize("field", ["error", "error_description", "error_uri", "code", "state", "iss"])
def test_the_web_application_shows_no_script_of_a_url(browser: Any, field: str) -> None:
    """What a hostile server, or a forged link, writes into the redirect isn't part of the page."""
    asked = parse_qs(urlsplit(browser.get("/connect").location).query)
    fields = {"state": asked["state"][0], "error": "access_denied"} | {field: "<script>alert(1)</script>"}
    page = browser.get(f"/callback?{urlencode(fields)}")
    assert 400 == page.status_code
    assert "The login did not work" in page.text
    assert "<script" not in page.text


def test_the_web_application_changes_nothing_by_get(web_app: dict[str, Any], browser: Any) -> None:
    """A link or an image of another site disconnects nobody, and other sites' forms come without the cookie."""
    token = OAuthToken(access_token="alices")
    web_app["STORE"].save("user:alice", token)
    assert 405 == browser.get("/disconnect").status_code
    assert token == web_app["STORE"].load("user:alice")
    cookie = browser.get("/connect").headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}


def test_the_web_application_ends_tokens_at_the_server(web_app: dict[str, Any]) -> None:
    """Who disconnects is disconnected everywhere: there's a revocation endpoint."""
    assert "https://auth.example.com/revoke" == web_app["auth_of"]("alice")._find_endpoint("revocation_url")


# -- The store of one's own -----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="files have no modes")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_the_store_of_ones_own_is_its_owners_alone(tmp_path: Path, umask: int) -> None:
    """No other user can read or write any of its files, whatever the umask, while it's written to, too."""
    before = os.umask(umask)
    try:
        store = names_of("howto/many-processes.md", "class SqliteTokenStore")["SqliteTokenStore"](tmp_path)
        with store.lock("key"), store._tokens() as database:
            database.execute("REPLACE INTO tokens VALUES ('key', '{}')")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert {"tokens.sqlite", "tokens.sqlite-journal"} < modes.keys()
    assert {0o600} == set(modes.values())
