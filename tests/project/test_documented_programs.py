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
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

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


class WebApp:
    """The web application in a folder of its own, and the server that its users have accounts at."""

    def __init__(self, server: LocalProvider) -> None:
        self.server = server
        self.start()

    def start(self) -> None:
        """Start it, or start it anew: what isn't in its folder is gone."""
        self.names = names_of("howto/web-app.md", "AuthorizationCodeAuth")
        server = self.server
        self.names |= {"ISSUER": server.issuer, "CLIENT_ID": server.client_id, "CLIENT_SECRET": server.client_secret}
        self.names |= {"API": server.api_url}

    def browser(self) -> Any:
        """Return the browser of a user of their own, who has opened the first page."""
        browser = self.names["app"].test_client()
        assert 200 == browser.get("/").status_code
        return browser

    def token_of(self, browser: Any) -> Any:
        with browser.session_transaction() as session:
            return self.names["STORE"].load(f"user:{session['user']}")


@pytest.fixture
def web_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oauth_provider: LocalProvider) -> WebApp:
    monkeypatch.chdir(tmp_path)
    return WebApp(oauth_provider)


@pytest.fixture
def browser(web_app: WebApp) -> Any:
    return web_app.browser()


def begin(browser: Any) -> str:
    """Begin a login; return where the server sends the user back to."""
    back = requests.get(browser.post("/connect").location, allow_redirects=False, timeout=10).headers["Location"]
    return f"/callback?{urlsplit(back).query}"


def connect(browser: Any) -> None:
    assert "/orders" == browser.get(begin(browser)).location


@pytest.mark.parametrize("field", ["error", "error_description", "error_uri", "code", "state", "iss"])
def test_the_web_application_reflects_nothing(web_app: WebApp, browser: Any, field: str) -> None:
    """What a hostile server, or a forged link, writes into the redirect isn't part of the page, escaped or not."""
    asked = parse_qs(urlsplit(browser.post("/connect").location).query)
    fields = {"state": asked["state"][0], "iss": web_app.server.issuer, "error": "access_denied"}
    fields[field] = "reflected"
    page = browser.get(f"/callback?{urlencode(fields)}")
    assert 400 == page.status_code
    assert "Connect your account again" in page.text
    assert [] == [word for word in ("reflected", "access_denied") if word in page.text]


def test_a_code_that_is_refused_begins_anew(web_app: WebApp, browser: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A user whose code the server refuses is told to connect again, not to wait, and the log has the reason."""
    fields = dict(parse_qsl(urlsplit(begin(browser)).query))
    page = browser.get(f"/callback?{urlencode(fields | {'code': 'spent'})}")
    assert (400, True) == (page.status_code, "Connect your account again" in page.text)
    assert "invalid_grant" in caplog.text
    assert web_app.token_of(browser) is None


def test_a_wrong_option_is_no_trouble_of_the_server(web_app: WebApp, browser: Any) -> None:
    """What the server won't do for the application is answered by «later», a bug in the application by status 500."""
    callback = begin(browser)
    web_app.names["app"].config["PROPAGATE_EXCEPTIONS"] = False
    web_app.server.fail_token_requests(401, error="invalid_client")
    assert 502 == browser.get(callback).status_code
    web_app.names["auth_of"].cache_clear()
    web_app.names["REDIRECT_URI"] = "no URI"
    assert 500 == browser.post("/connect").status_code


@pytest.mark.parametrize("status", [404, 503])
def test_the_web_application_passes_the_apis_status_on(web_app: WebApp, browser: Any, status: int) -> None:
    """What the API answers with is the page's status, too; if nobody answers, it's 502."""
    connect(browser)
    web_app.server.fail_api_requests(status)
    assert status == browser.get("/orders").status_code
    web_app.names["API"] = "http://127.0.0.1:1"
    assert 502 == browser.get("/orders").status_code


def test_logins_in_two_tabs(web_app: WebApp, browser: Any) -> None:
    """Each login that a user has begun can be completed, also the older one, and after the newer one."""
    older, newer = begin(browser), begin(browser)
    for callback in (newer, older, older):
        assert "/orders" == browser.get(callback).location
        assert 200 == browser.get("/orders").status_code


def test_a_restart_of_the_web_application_keeps_users_connected(web_app: WebApp, browser: Any) -> None:
    """After a restart each user is known by the cookie that they had, and has the token that they had."""
    connect(browser)
    token, cookie = web_app.token_of(browser), browser.get_cookie("session").value
    web_app.start()
    browser = web_app.names["app"].test_client()
    browser.set_cookie("session", cookie)
    assert 200 == browser.get("/orders").status_code
    assert token == web_app.token_of(browser)


@pytest.mark.skipif(os.name != "posix", reason="files have no modes")
def test_the_key_of_the_cookies_is_the_owners_alone(web_app: WebApp, tmp_path: Path) -> None:
    """No other user of the machine can read what signs the cookies."""
    assert [0o700, 0o600] == [
        stat.S_IMODE((tmp_path / "instance" / name).stat().st_mode) for name in ("", "cookie-key")
    ]


def test_the_web_application_changes_nothing_by_get(web_app: WebApp, browser: Any) -> None:
    """A link or an image of another site connects and disconnects nobody, and its forms come without the cookie."""
    connect(browser)
    token = web_app.token_of(browser)
    assert [405, 405] == [browser.get(path).status_code for path in ("/connect", "/disconnect")]
    cookie = browser.get("/").headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
    stranger = web_app.names["app"].test_client()
    for path in ("/connect", "/disconnect"):
        answer = stranger.post(path)
        assert (403, None) == (answer.status_code, answer.headers.get("Set-Cookie"))
    assert token == web_app.token_of(browser)


@pytest.mark.parametrize("end", ["disconnect", "connect"])
def test_the_web_application_ends_tokens_at_the_server(web_app: WebApp, browser: Any, end: str) -> None:
    """Who disconnects, or connects again, has ended the login before: at the server, too."""
    connect(browser)
    form = {"grant_type": "refresh_token", "refresh_token": web_app.token_of(browser).refresh_token}
    if end == "disconnect":
        browser.post("/disconnect")
    else:
        connect(browser)
    server = web_app.server
    answer = requests.post(server.token_url, form, auth=(server.client_id, str(server.client_secret)), timeout=10)
    assert (400, "invalid_grant") == (answer.status_code, answer.json()["error"])
    assert (403 if end == "disconnect" else 200) == browser.get("/orders").status_code


def test_users_of_the_web_application_have_tokens_of_their_own(web_app: WebApp, browser: Any) -> None:
    """What one user has connected, another hasn't, and a redirect that was meant for one isn't taken from another."""
    other = web_app.browser()
    callback = begin(browser)
    assert 400 == other.get(callback).status_code
    browser.get(callback)
    assert 200 == browser.get("/orders").status_code
    assert 403 == other.get("/orders").status_code


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
    assert "/" == view(views, "orders", session).url
    to_server = view(views, "connect", session, method="POST").url
    back = requests.get(to_server, allow_redirects=False, timeout=10).headers["Location"]
    assert 405 == view(views, "connect", session).status_code
    view(views, "connect", session, method="POST")  # in another tab
    path = f"/callback?{urlsplit(back).query}"
    assert "/orders" == view(views, "callback", session, path=path).url
    assert views["auth_of"]("alice").token is not None
    assert views["auth_of"]("bob").token is None
    assert 405 == view(views, "disconnect", session).status_code
    assert "/" == view(views, "disconnect", session, method="POST").url
    assert views["auth_of"]("alice").token is None


@pytest.mark.parametrize(
    "answer", ["state=forged", "state={state}&iss={iss}&error=reflected", "state={state}&code=reflected&iss={iss}"]
)
def test_the_views_of_django_reflect_nothing(views: dict[str, Any], oauth_provider: LocalProvider, answer: str) -> None:
    """A redirect that's forged, refused, or of a refused code, is answered by a fixed text."""
    session: dict[str, Any] = {}
    view(views, "connect", session, method="POST")
    (state,) = session["oauth_logins"]
    query = answer.format(state=state, iss=oauth_provider.issuer)
    page = view(views, "callback", session, path=f"/callback?{query}")
    assert (400, b"That did not work. Connect your account again.") == (page.status_code, page.content)


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
