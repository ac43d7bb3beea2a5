"""Logins as auth objects make them: one for all callers, apart from them, and only where a person is needed."""

from __future__ import annotations

import asyncio
import copy
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import trio

from oauth_auth import (
    AuthorizationResponseError,
    BrowserLogin,
    ConfigurationError,
    ConsoleLogin,
    MemoryTokenStore,
    OAuthToken,
    ReauthorizationRequired,
    TokenTransportError,
)
from oauth_auth.login import LoginContext
from oauth_auth.testing import LocalProvider
from tests.servers.login import authorize
from tests.servers.oidc_provider import OidcProvider
from tests.support import modes
from tests.support.clock import Clock
from tests.support.logins import Browser, needs_ipv6
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, token_that_expires_in
from tests.support.waiting import await_waiting, outcome_of, promptly

pytestmark = pytest.mark.shared_core


def person(mode: Mode, provider: LocalProvider, login: Any, **options: Any) -> Any:
    """Make an auth object that has a person log in at the provider."""
    return mode.plugin.AuthorizationCodeAuth(
        provider.token_url,
        provider.client_id,
        provider.client_secret,
        **{"authorization_url": provider.authorization_url, "login": login, **options},
    )


class Door:
    """A login that waits until it's opened, and then goes through with it. `visits` counts how often it began."""

    def __init__(self) -> None:
        self.visits = 0
        self.came = threading.Event()
        self.opened = threading.Event()
        self.error: Exception | None = None
        self.was_over = threading.Event()

    def __call__(self, begin: LoginContext) -> str:
        self.visits += 1
        request = begin("http://127.0.0.1:49152/callback")
        self.came.set()
        while not self.opened.wait(0.02):
            if begin.is_cancelled:
                self.was_over.set()
                return ""
        if self.error is not None:
            raise self.error
        with requests.Session() as session:
            session.trust_env = False
            return session.get(request.url, allow_redirects=False, timeout=20).headers["Location"]


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.opened.set()


# -- What comes of a login --------------------------------------------------------------------------------------


def test_a_login_serves_requests(mode: Mode, provider: LocalProvider) -> None:
    """A person logs in once; code, redirect URI and verifier go to the token endpoint; then refresh tokens do."""
    browser = Browser()
    auth = person(mode, provider, BrowserLogin(open_browser=browser), scope="a b")
    with auth, mode.client(auth) as client:
        assert 3 * [200] == [client.get(provider.api_url).status_code for _ in range(3)]
        provider.revoke_access_tokens()
        assert 200 == client.get(provider.api_url).status_code
    assert 1 == len(browser.opened)
    page = browser.wait_for_page()
    assert "You are logged in" in page.text
    assert "code" not in page.url
    asked = parse_qs(urlsplit(browser.opened[0]).query)
    first, second = (request.form for request in provider.token_requests)
    assert ["authorization_code"] == first["grant_type"]
    assert asked["redirect_uri"] == first["redirect_uri"]
    assert ["a b"] == asked["scope"]
    assert 43 <= len(first["code_verifier"][0])
    assert ["refresh_token"] == second["grant_type"]


def test_a_redirect_uri_and_parameters_of_one_s_own(plugin_mode: Mode, provider: LocalProvider) -> None:
    """The redirect URI given sets the path; authorization parameters are sent along."""
    browser = Browser()
    options = {"redirect_uri": "http://localhost/a/b?c=d", "authorization_parameters": {"prompt": "consent"}}
    auth = person(plugin_mode, provider, BrowserLogin(open_browser=browser), **options)
    auth.get_token()
    asked = parse_qs(urlsplit(browser.opened[0]).query)
    assert ["consent"] == asked["prompt"]
    parts = urlsplit(asked["redirect_uri"][0])
    assert ("localhost", "/a/b", "c=d") == (parts.hostname, parts.path, parts.query)
    assert asked["redirect_uri"] == provider.token_requests[0].form["redirect_uri"]


def test_a_login_ends_the_need_for_others(mode: Mode, provider: LocalProvider, door: Door) -> None:
    """However many callers wait, one person logs in once, and one token call is made."""
    auth = person(mode, provider, door)
    with mode.client(auth) as client:
        count = 20 if mode.backend is None else 50
        futures = [client.begin("GET", provider.api_url) for _ in range(count)]
        await_waiting(auth, count)
        door.opened.set()
        assert count * [200] == [future.result(30).status_code for future in futures]
    assert (1, 1) == (door.visits, len(provider.token_requests))


@pytest.mark.parametrize("mode", modes.ASYNC, ids=str)
def test_a_login_blocks_no_event_loop(mode: Mode, provider: LocalProvider, door: Door) -> None:
    """While a person thinks, other tasks of the loop go on; a caller that's cancelled takes nothing along."""
    auth = person(mode, provider, door)
    if mode.backend == "asyncio":

        async def with_asyncio() -> Any:
            tasks = [asyncio.create_task(auth.aget_token()) for _ in range(3)]
            await asyncio.to_thread(door.came.wait, 20)
            tasks[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[0]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(auth.aget_token(), 0.01)
            door.opened.set()
            return await asyncio.gather(*tasks[1:])

        tokens = asyncio.run(with_asyncio())
    else:
        tokens = []

        async def wait() -> None:
            tokens.append(await auth.aget_token())

        async def with_trio() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                nursery.start_soon(wait)
                await trio.to_thread.run_sync(door.came.wait, 20)
                with trio.move_on_after(0.01) as scope:
                    await auth.aget_token()
                assert scope.cancelled_caught
                door.opened.set()

        trio.run(with_trio)
    assert 2 * [auth.token] == tokens
    assert (1, 1) == (door.visits, len(provider.token_requests))


@pytest.mark.parametrize(
    "redirect_uri",
    [None, "http://localhost/oauth/done", pytest.param("http://[::1]/callback", marks=needs_ipv6)],
    ids=["default", "localhost", "IPv6"],
)
def test_at_a_certified_server(oidc: OidcProvider, plugin_mode: Mode, redirect_uri: str | None) -> None:
    """oidc-provider compares redirect URIs as they're registered, and says who it is: a login from its issuer works."""
    browser = Browser(lambda url: authorize(url, parse_qs(urlsplit(url).query)["redirect_uri"][0]))
    auth = plugin_mode.plugin.AuthorizationCodeAuth.from_issuer(
        oidc.issuer,
        oidc.public.client_id,
        redirect_uri=redirect_uri,
        scope="openid offline_access",
        authorization_parameters={"prompt": "consent"},
        login=BrowserLogin(open_browser=browser),
    )
    with plugin_mode.client(auth) as http:
        assert 200 == http.get(oidc.api_url).status_code
        before = auth.token
        assert before != auth.refresh()
    assert 1 == len(browser.opened)


def test_a_certified_server_s_refusal(oidc: OidcProvider) -> None:
    """An error that the server sends back with the state ends the login, and says why."""
    browser = Browser(lambda url: authorize(url, parse_qs(urlsplit(url).query)["redirect_uri"][0]))
    auth = modes.REQUESTS.plugin.AuthorizationCodeAuth.from_issuer(
        oidc.issuer,
        oidc.public.client_id,
        scope="openid",
        authorization_parameters={"prompt": "none"},
        login=BrowserLogin(open_browser=browser),
    )
    with pytest.raises(AuthorizationResponseError) as caught:
        auth.get_token()
    assert "login_required" == caught.value.error
    assert "did not work" in browser.wait_for_page().text


def test_an_answer_of_another_server(oidc: OidcProvider) -> None:
    """A server whose metadata says that it names itself is held to it (RFC 9207): mix-up ends the login."""

    def elsewhere(url: str) -> str:
        redirected = authorize(url, parse_qs(urlsplit(url).query)["redirect_uri"][0])
        return redirected.replace("iss=http%3A", "iss=https%3A").replace("iss=http:", "iss=https:")

    auth = modes.REQUESTS.plugin.AuthorizationCodeAuth.from_issuer(
        oidc.issuer, oidc.public.client_id, scope="openid", login=BrowserLogin(open_browser=Browser(elsewhere))
    )
    before = oidc.token_requests
    with pytest.raises(AuthorizationResponseError, match="9207"):
        auth.get_token()
    assert before == oidc.token_requests


# -- Where a person isn't needed, or can't help ------------------------------------------------------------------


def test_after_a_failed_login_nobody_is_asked_again_at_once(
    plugin_mode: Mode, provider: LocalProvider, door: Door, clock: Clock
) -> None:
    """Callers get the error for the length of the pause; after it a person may try again."""
    door.error = OSError("no screen")
    door.opened.set()
    auth = person(plugin_mode, provider, door)
    with plugin_mode.client(auth) as client:
        for _ in range(3):
            with pytest.raises(ReauthorizationRequired, match="the login raised OSError"):
                client.get(provider.api_url)
        assert 1 == door.visits
        door.error = None
        clock.advance(2.1)
        assert 200 == client.get(provider.api_url).status_code
    assert 2 == door.visits


def test_a_server_that_is_down_is_no_login(plugin_mode: Mode, door: Door) -> None:
    """Neither metadata nor a refresh token's call that can't be had makes a browser open: it's that error."""
    down = "http://127.0.0.1:9"
    make = plugin_mode.plugin.AuthorizationCodeAuth
    options: dict[str, Any] = {"login": door, "token_timeout": 0.5}
    old = token_that_expires_in(-5, refresh_token="refresh")
    auths = (
        make.from_issuer(down, "client", **options),
        make.from_issuer(down, "client", authorization_url=f"{down}/authorize", **options),
        make(f"{down}/token", "client", authorization_url=f"{down}/authorize", token=old, **options),
    )
    for auth in auths:
        with pytest.raises(TokenTransportError):
            auth.get_token()
    assert 1 >= door.visits  # given its URL, the login is asked, which makes no request
    assert not door.came.is_set()


def test_a_code_is_kept_while_the_token_endpoint_is_down(plugin_mode: Mode, tokens: Tokens, clock: Clock) -> None:
    """A token endpoint that breaks off after the login costs the person nothing: the code is sent again, later."""
    logins: list[str] = []

    def login(begin: LoginContext) -> str:
        request = begin("http://127.0.0.1/callback")
        logins.append(request.code_verifier)
        return f"?code=the-code&state={request.state}"

    tokens.answer = lambda request: Answer(0)
    auth = plugin_mode.plugin.AuthorizationCodeAuth(
        tokens.url, "client", "secret", authorization_url=f"{tokens.url}/authorize", login=login
    )
    assert isinstance(outcome_of(plugin_mode.get_token, auth), TokenTransportError)
    tokens.answer = None
    clock.advance(100)
    assert "token-1" == plugin_mode.get_token(auth).access_token
    assert 1 == len(logins)
    assert 1 == len({tuple(request.form["code"]) for request in tokens.server.requests})
    assert logins == tokens.server.requests[-1].form["code_verifier"]


def _accepting(request: Received) -> Answer:
    return Answer(200, b"") if request.authorization else Answer(401)


def test_a_refused_refresh_token_waits_for_the_end_of_the_token(
    plugin_mode: Mode, provider: LocalProvider, serve: Callable[..., ScriptedServer], clock: Clock
) -> None:
    """While the present token is good no browser opens, though no refresh can be had; once it's expired one does."""
    browser = Browser()
    api = serve(_accepting)
    given = token_that_expires_in(100, refresh_token="unknown there")
    auth = person(plugin_mode, provider, BrowserLogin(open_browser=browser), token=given)
    with plugin_mode.client(auth) as client:
        for seconds in (0, 1, 89, 5):  # due; the pause after the refusal; in the leeway
            clock.advance(seconds)
            assert 200 == client.get(api.url).status_code
            auth.close()  # the flight in the background ends
            assert given == auth.token
            assert [] == browser.opened
        clock.advance(10)
        assert 200 == client.get(api.url).status_code
    assert given != auth.token
    assert 1 == len(browser.opened)
    assert 1 == sum(request.form["grant_type"] == ["refresh_token"] for request in provider.token_requests)


def test_a_rejected_token_asks_a_person(plugin_mode: Mode, provider: LocalProvider) -> None:
    """A token that the API rejects and nothing renews: a person logs in, and the request is replayed."""
    browser = Browser()
    given = OAuthToken(access_token="revoked", refresh_token="unknown there")
    auth = person(plugin_mode, provider, BrowserLogin(open_browser=browser), token=given)
    with plugin_mode.client(auth) as client:
        assert 200 == client.send("POST", provider.api_url, body=b"the same").status_code
    assert 1 == len(browser.opened)
    assert 2 * [b"the same"] == [request.body for request in provider.api_requests]


def test_an_api_that_rejects_every_token_asks_a_person_once(
    plugin_mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer], clock: Clock
) -> None:
    """Who has logged in and is rejected all the same isn't asked to again by each request: the 401 is the caller's."""
    api = serve(lambda request: Answer(401))
    logins: list[float] = []

    def login(begin: LoginContext) -> str:
        logins.append(clock.now)
        return f"?code=code-{len(logins)}&state={begin('http://127.0.0.1/callback').state}"

    auth = plugin_mode.plugin.AuthorizationCodeAuth(
        tokens.url,
        "client",
        "secret",
        authorization_url=f"{tokens.url}/authorize",
        login=login,
        token=OAuthToken(access_token="revoked"),
    )
    with plugin_mode.client(auth) as client:
        assert 10 * [401] == [client.get(api.url).status_code for _ in range(10)]
        assert 1 == len(logins)
        clock.advance(11)
        assert 401 == client.get(api.url).status_code
    assert 2 == len(logins)


# -- With other processes ---------------------------------------------------------------------------------------


class WatchedStore(MemoryTokenStore):
    """Counts who holds the lock of a key."""

    def __init__(self) -> None:
        super().__init__()
        self.holders = 0

    @contextmanager
    def lock(self, key: str, *, timeout: float | None = None) -> Iterator[Any]:
        with super().lock(key, **({} if timeout is None else {"timeout": timeout})) as held:
            self.holders += 1
            try:
                yield held
            finally:
                self.holders -= 1


def test_the_store_s_lock_isn_t_held_while_a_person_thinks(
    plugin_mode: Mode, provider: LocalProvider, door: Door
) -> None:
    """Others can take the lock meanwhile; the code is exchanged and the token saved under it."""
    store = WatchedStore()
    auth = person(plugin_mode, provider, door, store=store, store_key="alice")
    waiting = threading.Thread(target=auth.get_token)
    waiting.start()
    assert door.came.wait(20)
    assert 0 == store.holders
    with store.lock("alice", timeout=5.0):
        door.opened.set()
        waiting.join(0.3)
        assert [] == provider.token_requests
    waiting.join(20)
    assert 1 == len(provider.token_requests)
    assert auth.token.access_token == store.load("alice").access_token  # type: ignore[union-attr]


def test_a_sibling_s_login_is_adopted(plugin_mode: Mode, provider: LocalProvider) -> None:
    """If another process on the same store gets a token meanwhile, this login ends, without a token call."""
    store = MemoryTokenStore()
    opened = threading.Event()
    urls: list[str] = []

    def look_at(url: str) -> bool:
        urls.append(url)
        opened.set()
        return True

    auth = person(plugin_mode, provider, BrowserLogin(open_browser=look_at), store=store, store_key="alice")
    with plugin_mode.client(auth) as client:
        future = client.begin("GET", provider.api_url)
        assert opened.wait(20)
        sibling = person(plugin_mode, provider, BrowserLogin(open_browser=Browser()), store=store, store_key="alice")
        theirs = plugin_mode.get_token(sibling)
        assert 200 == future.result(20).status_code
    assert theirs == auth.token
    assert 1 == len(provider.token_requests)
    redirect_uri = urlsplit(parse_qs(urlsplit(urls[0]).query)["redirect_uri"][0])
    deadline = time.monotonic() + 20
    while True:  # the listener ends
        try:
            requests.get(f"http://{redirect_uri.netloc}/", timeout=5)
        except requests.ConnectionError:
            break
        except requests.RequestException:
            continue  # it was just ending
        assert time.monotonic() < deadline


def open_nothing(url: str) -> bool:
    """Be an `open_browser` that pickles."""
    return True


def test_an_auth_object_with_a_login_is_copied(plugin_mode: Mode, provider: LocalProvider, door: Door) -> None:
    """One with a login pickles; of one that is copied while somebody is to log in, the copy shares that login."""
    auth = person(plugin_mode, provider, BrowserLogin(open_browser=open_nothing))
    assert isinstance(pickle.loads(pickle.dumps(auth))._source._grant._login, BrowserLogin)

    auth = person(plugin_mode, provider, door)
    waiting = threading.Thread(target=auth.get_token)
    waiting.start()
    assert door.came.wait(20)
    twin = copy.deepcopy(auth)
    door.opened.set()
    assert promptly(twin.get_token) == auth.token
    waiting.join(20)
    assert 1 == door.visits


# -- The end of the program, and of the auth object --------------------------------------------------------------


def test_close_gives_up_a_login(mode: Mode, provider: LocalProvider, door: Door) -> None:
    """Closing doesn't wait for a person: those who wait get an error, the login is told, and a later one works."""
    auth = person(mode, provider, door)
    with mode.client(auth) as client:
        future = client.begin("GET", provider.api_url)
        assert door.came.wait(20)
        assert promptly(auth.close) is None
        with pytest.raises(ReauthorizationRequired, match="closed"):
            future.result(20)
        assert door.was_over.wait(20)
    door.opened.set()
    assert 1 == door.visits


_PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever ran the tests, in the background perhaps
from oauth_auth import BrowserLogin, ConsoleLogin
from oauth_auth.{plugin} import AuthorizationCodeAuth

def open_browser(url):
    print("opened", flush=True)
    return True

login = {login}
url = "http://127.0.0.1:9/"
auth = AuthorizationCodeAuth(url, "client", authorization_url=url, login=login)
try:
    {use}
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(7)
"""

_USES = {
    "requests": "import requests; requests.get(url, auth=auth)",
    "with": "with auth: auth.get_token()",
    "httpx": "import httpx; httpx.get(url, auth=auth)",
    "asyncio": "import asyncio; asyncio.run(auth.aget_token())",
    "trio": "import trio; trio.run(auth.aget_token)",
}


@pytest.mark.parametrize(
    ("use", "login"),
    [
        *((use, "BrowserLogin(open_browser=open_browser)") for use in _USES),
        ("requests", 'print("opened", flush=True) or ConsoleLogin("http://127.0.0.1/callback")'),
        ("requests", "lambda begin: print('opened', flush=True) or __import__('time').sleep(60)"),
    ],
)
def test_ctrl_c_ends_the_wait_and_the_program(use: str, login: str) -> None:
    """Ctrl-C reaches whoever waits for a login at once, and the process ends promptly, with no word of a crash."""
    plugin = "requests" if use in {"requests", "with"} else "httpx"
    program = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(plugin=plugin, login=login, use=_USES[use])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with program:
        try:
            assert program.stdout is not None
            assert program.stderr is not None
            assert "opened\n" == program.stdout.readline()
            if "Console" in login:
                while "paste" not in program.stderr.readline():
                    pass
            os.kill(program.pid, signal.SIGINT)
            begun = time.monotonic()
            assert "interrupted\n" == program.stdout.readline()
            assert 7 == program.wait(20)
            assert 20 > time.monotonic() - begun
            assert "Traceback" not in program.stderr.read()
        finally:
            program.kill()


# -- Logins that can't work --------------------------------------------------------------------------------------


def test_a_login_needs_somewhere_to_go(plugin_mode: Mode) -> None:
    """Without authorization URL or issuer, or with what can't be a login, it's a `ConfigurationError` at once."""
    make = plugin_mode.plugin.AuthorizationCodeAuth
    url = "http://127.0.0.1:9/authorize"

    async def asynchronous(begin: LoginContext) -> str:
        return ""

    for options in (
        {"login": BrowserLogin()},
        {"login": BrowserLogin, "authorization_url": url},
        {"login": "browser", "authorization_url": url},
        {"login": asynchronous, "authorization_url": url},
        {"login": BrowserLogin(), "authorization_url": "http://example.com/authorize"},
        {"login": BrowserLogin(), "authorization_url": url, "authorization_parameters": {"state": "x"}},
        {"login": BrowserLogin(), "authorization_url": url, "authorization_parameters": ["prompt"]},
    ):
        with pytest.raises(ConfigurationError):
            make("http://127.0.0.1:9/token", "client", **options)


def test_without_a_login_a_person_is_needed(plugin_mode: Mode, provider: LocalProvider) -> None:
    """Without `login` it's `ReauthorizationRequired`, though the authorization URL is known."""
    auth = person(plugin_mode, provider, None)
    with pytest.raises(ReauthorizationRequired):
        auth.get_token()


def _never_begins(begin: LoginContext) -> str:
    return "http://127.0.0.1/callback?code=c&state=s"


def _returns_none(begin: LoginContext) -> Any:
    begin("http://127.0.0.1/callback")


def _returns_rubbish(begin: LoginContext) -> str:
    begin("http://127.0.0.1/callback")
    return "rubbish \ud800"


def _begins_with_rubbish(begin: LoginContext) -> str:
    return begin("callback").url


def _answers_an_earlier_request(begin: LoginContext) -> str:
    first = begin("http://127.0.0.1/callback")
    begin("http://127.0.0.1/callback")
    return f"http://127.0.0.1/callback?code=c&state={first.state}"


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        (_never_begins, ConfigurationError),
        (_returns_none, ConfigurationError),
        (_begins_with_rubbish, ConfigurationError),
        (_returns_rubbish, AuthorizationResponseError),
        (_answers_an_earlier_request, AuthorizationResponseError),
    ],
)
def test_rubbish_from_a_login(
    plugin_mode: Mode, provider: LocalProvider, login: Callable[[LoginContext], str], expected: type[Exception]
) -> None:
    """What a login returns that's no answer is an error, and makes no token call."""
    auth = person(plugin_mode, provider, login)
    with pytest.raises(expected):
        auth.get_token()
    assert [] == provider.token_requests


@pytest.mark.parametrize("where", ["login", "open_browser"])
def test_a_login_that_uses_its_own_auth_object(plugin_mode: Mode, provider: LocalProvider, where: str) -> None:
    """It gets an error, and doesn't wait for itself for ever."""
    errors: list[Any] = []

    def use(_: object) -> Any:
        errors.append(outcome_of(auth.get_token))
        raise OSError

    login = use if where == "login" else BrowserLogin(open_browser=use, timeout=0.5)
    auth = person(plugin_mode, provider, login)
    assert isinstance(promptly(auth.get_token), ReauthorizationRequired)
    assert "a callback" in str(errors[0])


def test_a_login_shows_no_secret(
    provider: LocalProvider, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """At level DEBUG nothing that's told holds code, state or verifier; the URL to visit, on stderr, has the state."""
    caplog.set_level("DEBUG", "oauth_auth")
    browser = Browser()
    auth = person(modes.REQUESTS, provider, BrowserLogin(open_browser=browser))
    auth.get_token()
    secrets = [*provider.token_requests[0].form["code"], *provider.token_requests[0].form["code_verifier"]]
    secrets += parse_qs(urlsplit(browser.opened[0]).query)["state"]
    told = caplog.text + "".join(capfd.readouterr()).replace(browser.opened[0], "")
    assert "acquired" in told
    assert not [secret for secret in secrets if secret in told]


# -- ConsoleLogin ------------------------------------------------------------------------------------------------

REDIRECT_URI = "http://127.0.0.1:49152/callback"


class Pasting:
    """Stdin, with a person who opens the URL that was printed and pastes lines made of the redirected one."""

    def __init__(self, capfd: pytest.CaptureFixture[str], lines: list[Callable[[str], str]]) -> None:
        self.shown = ""
        self._capfd = capfd
        self._lines = iter(lines)
        self._redirected = ""

    def readline(self) -> str:
        out, err = self._capfd.readouterr()
        assert "" == out
        self.shown += err
        if not self._redirected:
            url = next(word for word in err.split() if word.startswith("http"))
            with requests.Session() as session:
                session.trust_env = False
                self._redirected = session.get(url, allow_redirects=False, timeout=20).headers["Location"]
        return next(self._lines, lambda _: "")(self._redirected)


@pytest.mark.parametrize(
    ("lines", "asked"),
    [
        ([lambda url: f"{url}\n"], 1),
        ([lambda url: f"  {url}\r\n"], 1),
        ([lambda url: f"?{urlsplit(url).query}\n"], 1),
        ([lambda url: "\n", lambda url: f"{url}\n"], 2),
        ([lambda url: "rubbish \udcff\n", lambda url: f"{REDIRECT_URI}?code=c&state=s\n", lambda url: url], 3),
    ],
)
def test_a_login_at_the_console(
    provider: LocalProvider,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    lines: list[Callable[[str], str]],
    asked: int,
) -> None:
    """The URL and the questions are on stderr; a wrong paste is asked for again."""
    stdin = Pasting(capfd, lines)
    monkeypatch.setattr(sys, "stdin", stdin)
    auth = person(modes.REQUESTS, provider, ConsoleLogin(REDIRECT_URI))
    auth.get_token()
    assert asked == stdin.shown.count("paste")
    assert [REDIRECT_URI] == provider.token_requests[0].form["redirect_uri"]


@pytest.mark.parametrize("stdin", ["ends", "is closed", "is None"])
def test_a_console_without_input(monkeypatch: pytest.MonkeyPatch, provider: LocalProvider, stdin: str) -> None:
    """Where nobody can paste anything it's `ReauthorizationRequired`."""
    stream = io.StringIO("")
    if stdin == "is closed":
        stream.close()
    monkeypatch.setattr(sys, "stdin", None if stdin == "is None" else stream)
    auth = person(modes.REQUESTS, provider, ConsoleLogin(REDIRECT_URI))
    with pytest.raises(ReauthorizationRequired, match="input ended"):
        auth.get_token()


def test_wrong_pastes_end(monkeypatch: pytest.MonkeyPatch, provider: LocalProvider) -> None:
    """After the third wrong paste it's an `AuthorizationResponseError`."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("one\ntwo\nthree\nfour\n"))
    auth = person(modes.REQUESTS, provider, ConsoleLogin(REDIRECT_URI))
    with pytest.raises(AuthorizationResponseError):
        auth.get_token()
    assert "four\n" == sys.stdin.read()


def test_a_console_s_redirect_uri_is_checked() -> None:
    """A redirect URI that can't be one is a `ConfigurationError` at construction."""
    for redirect_uri in ("", "/callback", None):
        with pytest.raises(ConfigurationError, match="redirect_uri"):
            ConsoleLogin(redirect_uri)  # type: ignore[arg-type]
