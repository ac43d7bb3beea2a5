"""The programs that the documentation prints can be copied: they show, change and keep nothing that they shouldn't.

That they run and do what their pages say is in test_docs.py.
"""

from __future__ import annotations

import copy
import os
import stat
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import django
import django.conf
import django.test
import pytest
import requests

from oauth_auth.requests import AuthorizationCodeAuth, ClientCredentialsAuth
from oauth_auth.testing import LocalProvider
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
def web_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oauth_provider: LocalProvider) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    names, server = names_of("howto/web-app.md", "AuthorizationCodeAuth"), oauth_provider
    names |= {"ISSUER": server.issuer, "CLIENT_ID": server.client_id, "CLIENT_SECRET": server.client_secret}
    names |= {"REDIRECT_URI": "http://127.0.0.1:5000/callback", "API": server.api_url}
    return names


@pytest.fixture
def browser(web_app: dict[str, Any]) -> Any:
    """The browser of a user of the application."""
    browser = web_app["app"].test_client()
    with browser.session_transaction() as session:
        session["user"] = "alice"
    return browser


def connect(browser: Any) -> str:
    """Begin a login; return where the server sends the user back to."""
    back = requests.get(browser.get("/connect").location, allow_redirects=False, timeout=10).headers["Location"]
    return f"/callback?{urlsplit(back).query}"


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
    browser.get(connect(browser))
    token = web_app["STORE"].load("user:alice")
    assert 405 == browser.get("/disconnect").status_code
    cookie = browser.get("/connect").headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
    assert token == web_app["STORE"].load("user:alice")


@pytest.mark.parametrize("end", ["disconnect", "connect"])
def test_the_web_application_ends_tokens_at_the_server(
    web_app: dict[str, Any], browser: Any, oauth_provider: LocalProvider, end: str
) -> None:
    """Who disconnects, or connects again, has ended the login before: at the server, too."""
    browser.get(connect(browser))
    form = {"grant_type": "refresh_token", "refresh_token": web_app["STORE"].load("user:alice").refresh_token}
    if end == "disconnect":
        browser.post("/disconnect")
    else:
        browser.get(connect(browser))
    client = oauth_provider.client_id, str(oauth_provider.client_secret)
    answer = requests.post(oauth_provider.token_url, form, auth=client, timeout=10)
    assert (400, "invalid_grant") == (answer.status_code, answer.json()["error"])
    assert ("/connect" if end == "disconnect" else None) == browser.get("/orders").location


def test_users_of_the_web_application_have_tokens_of_their_own(web_app: dict[str, Any], browser: Any) -> None:
    """What one user has connected, another hasn't, and a redirect that was meant for one isn't taken from another."""
    other = web_app["app"].test_client()
    callback = connect(browser)
    assert 400 == other.get(callback).status_code
    browser.get(callback)
    assert 200 == browser.get("/orders").status_code
    assert "/connect" == other.get("/orders").location


# -- The views of Django ----------------------------------------------------------------------------------------------


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch, oauth_provider: LocalProvider) -> dict[str, Any]:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    if not django.conf.settings.configured:
        urls = ModuleType("urls")
        vars(urls)["urlpatterns"] = []
        apps = ["django.contrib.auth", "django.contrib.contenttypes"]
        django.conf.settings.configure(
            ALLOWED_HOSTS=["*"], INSTALLED_APPS=apps, LOGGING_CONFIG=None, LOGIN_URL="/login", ROOT_URLCONF=urls
        )
        django.setup()
    names = names_of("howto/web-app.md", "login_required")
    auths = {
        user: AuthorizationCodeAuth.from_issuer(
            oauth_provider.issuer,
            oauth_provider.client_id,
            oauth_provider.client_secret,
            redirect_uri="http://127.0.0.1:5000/callback",
        )
        for user in ("alice", "bob")
    }
    names |= {"auth_of": auths.__getitem__}
    return names


def view(views: dict[str, Any], name: str, session: dict[str, Any], user: str = "alice", **request: Any) -> Any:
    """Call a view as the user with the session."""
    method = request.pop("method", "GET")
    made = django.test.RequestFactory().generic(method, request.pop("path", f"/{name}"))
    made.session, made.user = session, SimpleNamespace(pk=user, is_authenticated=bool(user))
    return views[name](made)


def test_the_views_of_django_log_a_user_in(views: dict[str, Any]) -> None:
    """Each user has a login of their own, begun and ended by the views, and ended by POST alone."""
    session: dict[str, Any] = {}
    assert "/connect" == view(views, "orders", session).url
    to_server = view(views, "connect", session).url
    back = requests.get(to_server, allow_redirects=False, timeout=10).headers["Location"]
    path = f"/callback?{urlsplit(back).query}"
    assert "/orders" == view(views, "callback", session, path=path).url
    assert views["auth_of"]("alice").token is not None
    assert views["auth_of"]("bob").token is None
    assert 405 == view(views, "disconnect", session).status_code
    assert "/" == view(views, "disconnect", session, method="POST").url
    assert views["auth_of"]("alice").token is None


def test_the_views_of_django_show_no_script_of_a_url(views: dict[str, Any]) -> None:
    """What the redirect carries is shown as text, not as a page."""
    session: dict[str, Any] = {}
    view(views, "connect", session)
    state = session["oauth_login"]["state"]
    answer = view(views, "callback", session, path=f"/callback?state={state}&error=%3Cscript%3E")
    assert (400, "text/plain") == (answer.status_code, answer["Content-Type"])


def test_nobody_reaches_the_views_of_django_without_a_session(views: dict[str, Any]) -> None:
    """Who isn't known to the application is sent to its own login first."""
    for name in ("orders", "connect", "callback", "disconnect"):
        assert view(views, name, {}, user="").url.startswith("/login?")


# -- A generated client -----------------------------------------------------------------------------------------------


def test_a_generated_client_has_a_live_token(oauth_provider: LocalProvider) -> None:
    """What reads the attribute for each request gets a good token each time, whatever the constructor sets."""

    class Configuration:
        """As OpenAPI Generator makes it, as far as tokens go."""

        def __init__(self) -> None:
            self.access_token = ""

    names = names_of("dropin.md", "with_live_token")
    client = oauth_provider.client_id, oauth_provider.client_secret
    names["auth"] = auth = ClientCredentialsAuth(oauth_provider.token_url, *client)
    live = copy.deepcopy(names["with_live_token"](Configuration)())
    first = live.access_token
    assert first == live.access_token
    auth.refresh()
    assert first != live.access_token


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
