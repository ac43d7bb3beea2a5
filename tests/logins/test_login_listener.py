"""The listener of `BrowserLogin`: what it takes, what it answers, and what can't harm it."""

from __future__ import annotations

import io
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any

import pytest

from oauth_auth import AuthorizationResponseError, BrowserLogin, ConfigurationError, ReauthorizationRequired
from tests.support.logins import Listening, location_of, needs_ipv6


def free_port(family: socket.AddressFamily = socket.AF_INET) -> int:
    with socket.socket(family) as free:
        free.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


# -- Where it listens -------------------------------------------------------------------------------------------


def test_it_listens_on_loopback_alone() -> None:
    """No other address of the machine takes a connection, so nobody else can answer."""
    with Listening() as login:
        port = login.address[1]
        others = {"127.0.0.2", *(str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None))}
        for other in others - {"127.0.0.1", "::1"}:
            with pytest.raises(OSError):
                socket.create_connection((other, port), timeout=5).close()
        assert b"HTTP/1.1 404" == login.get("/")[:12]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, r"http://127\.0\.0\.1:(\d+)/callback"),
        ("http://127.0.0.1/oauth/done", r"http://127\.0\.0\.1:(\d+)/oauth/done"),
        ("http://127.0.0.1:0/a?b=c&d=e", r"http://127\.0\.0\.1:(\d+)/a\?b=c&d=e"),
        ("http://127.0.0.1", r"http://127\.0\.0\.1:(\d+)"),
        ("http://127.0.0.1/", r"http://127\.0\.0\.1:(\d+)/"),
        ("http://localhost/callback", r"http://localhost:(\d+)/callback"),
        pytest.param("http://[::1]/callback/", r"http://\[::1\]:(\d+)/callback/", marks=needs_ipv6),
    ],
)
def test_the_redirect_uri_sets_host_and_path(given: str | None, expected: str) -> None:
    """The redirect URI is sent as it was given, with the port that the system chose."""
    with Listening(given) as login:
        match = re.fullmatch(expected, login.request.redirect_uri)
        assert match is not None
        assert 1023 < int(match[1])
        assert b"<h1>You are logged in</h1>" in login.log_in()
        assert "the-code" == login.request.code_from(login.outcome.result(20))


@pytest.mark.parametrize("way", ["by redirect_uri", "by port", "both"])
def test_a_port_of_one_s_own(way: str) -> None:
    """A port given is used, also twice in a row; that of the redirect URI wins."""
    port = free_port()
    redirect_uri = None if way == "by port" else f"http://127.0.0.1:{port}/callback"
    options: dict[str, Any] = {"by port": {"port": port}, "both": {"port": 1}}.get(way, {})
    for _ in range(3):
        with Listening(redirect_uri, **options) as login:
            assert f"http://127.0.0.1:{port}/callback" == login.request.redirect_uri
            # A browser's connection that stays open past the end, and one that the listener ends.
            with login.connect():
                login.log_in()
                login.outcome.result(20)


def test_a_port_that_is_taken() -> None:
    """A busy port is a `ConfigurationError` that names it and says what to do; no browser is opened."""
    with Listening() as other:
        port = other.address[1]
        login = Listening(port=port)
        with pytest.raises(ConfigurationError, match=rf"port {port} .* another login .* 0 for any"):
            login.login(login.begin)
        assert not login.shown.is_set()


@pytest.mark.parametrize(
    "redirect_uri",
    [
        *(
            "https://127.0.0.1/callback",
            "http://example.com/callback",
            "http://0.0.0.0/",
            "com.example:/cb",
            "callback",
        ),
        *(
            "http://[::1",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:x/",
            "http://user@127.0.0.1/",
            "urn:ietf:wg:oauth",
        ),
        *("http://127.0.0.1/a#b", "http://127.0.0.1/ü"),
    ],
)
def test_a_redirect_uri_elsewhere_is_refused(redirect_uri: str) -> None:
    """Where this machine can't listen, a login can't come back: `ConfigurationError`, and no browser."""
    login = Listening(redirect_uri)
    with pytest.raises(ConfigurationError, match="redirect_uri"):
        login.login(login.begin)
    assert not login.shown.is_set()


@pytest.mark.parametrize(
    "options",
    [
        *({"port": port} for port in (-1, 65536, "80", None, True, 1.5)),
        *({"timeout": seconds} for seconds in (0, -1, "5", None, True, float("nan"))),
        {"open_browser": None},
        {"open_browser": "firefox"},
        {"quiet": 1},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    """A wrong option is a `ConfigurationError` at construction."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        BrowserLogin(**options)


# -- What it ignores --------------------------------------------------------------------------------------------

STRAY = {
    "favicon": b"GET /favicon.ico HTTP/1.1\r\nHost: x\r\n\r\n",
    "another path": b"GET /other?code=c&state=STATE HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path below": b"GET /callback/x?code=c&state=STATE HTTP/1.1\r\nHost: x\r\n\r\n",
    "the last page, too early": b"GET /callback/done HTTP/1.1\r\nHost: x\r\n\r\n",
    "the other last page": b"GET /callback/failed HTTP/1.1\r\nHost: x\r\n\r\n",
    "no query": b"GET /callback HTTP/1.1\r\nHost: x\r\n\r\n",
    "no state": b"GET /callback?code=c HTTP/1.1\r\nHost: x\r\n\r\n",
    "a wrong state": b"GET /callback?code=c&state=guess HTTP/1.1\r\nHost: x\r\n\r\n",
    "the state twice": b"GET /callback?code=c&state=STATE&state=STATE HTTP/1.1\r\nHost: x\r\n\r\n",
    "an error without the state": b"GET /callback?error=access_denied HTTP/1.1\r\nHost: x\r\n\r\n",
    "too many parameters": b"GET /callback?state=STATE" + b"&a=b" * 200 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "an absolute target": b"GET http://evil.example/callback?code=c&state=STATE HTTP/1.1\r\nHost: x\r\n\r\n",
    **{
        method: f"{method} /callback?code=c&state=STATE&iss=ISS HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for method in ("POST", "HEAD", "OPTIONS", "PUT", "DELETE", "get", "PROPFIND", "__class__")
    },
    "a body": b"POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\ncode=c&state=STATE",
    "HTTP/0.9": b"GET /other\r\n",
    "HTTP/9.9": b"GET /callback?code=c&state=STATE HTTP/9.9\r\n\r\n",
    "no version": b"GET /callback?code=c&state=STATE HTTP/\r\n\r\n",
    "a line": b"hello\r\n",
    "an empty line": b"\r\n\r\n",
    "half a line": b"GET /callback?code=c&state=STATE",
    "nothing": b"",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(range(200)),
    "zeros": bytes(1000),
    "a huge line": b"GET /callback?code=" + b"c" * 200_000 + b" HTTP/1.1\r\n\r\n",
    "a huge header": b"GET /callback?code=c&state=STATE HTTP/1.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
    "many headers": b"GET /callback?code=c&state=STATE HTTP/1.1\r\n" + b"X: x\r\n" * 500 + b"\r\n",
    "letters beyond ASCII": "GET /callback?code=ü&state=ü HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "percent signs": b"GET /callback?%zz=%&state=%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
    "a script": b"GET /<script>alert(1)</script>?<script> HTTP/1.1\r\nHost: <script>\r\n\r\n",
}


def test_stray_requests_neither_end_nor_spoil_a_login() -> None:
    """Whatever else arrives is answered without a word of it, or not at all, and the login goes on to its end."""
    with Listening() as login:
        state = login.request.state.encode()
        for name, data in STRAY.items():
            answer = login.send(data.replace(b"STATE", state).replace(b"ISS", b"https%3A%2F%2Fauth.example.com"))
            assert answer == b"" or re.match(rb"HTTP/1\.1 4\d\d |HTTP/1\.1 505 |<!doctype", answer), (name, answer)
            assert not re.search(rb"script|guess|hello|Location", answer), (name, answer)
            assert state not in answer
            assert not login.outcome.done(), name
        assert b"<h1>You are logged in</h1>" in login.log_in()
        assert "the-code" == login.request.code_from(login.outcome.result(20))


def test_a_refused_method_is_told_which_is_allowed() -> None:
    """405 comes with Allow, and the answer to HEAD has no body (RFC 9110)."""
    with Listening() as login:
        head = login.get("/callback", method="HEAD")
        assert head.startswith(b"HTTP/1.1 405 ")
        assert b"\r\nAllow: GET\r\n" in head
        assert head.endswith(b"\r\n\r\n")


def test_slow_connections_hold_up_nothing() -> None:
    """200 idle connections, and some that send a byte at a time, don't keep the answer from coming through."""
    with Listening() as login:
        idle = [login.connect() for _ in range(200)]
        slow = [login.connect() for _ in range(5)]
        for connection in slow:
            connection.sendall(b"G")
        begun = time.monotonic()
        assert b"<h1>You are logged in</h1>" in login.log_in()
        login.outcome.result(20)
        assert 5 > time.monotonic() - begun
        # What's still open is ended with the login: neither connections nor threads are left behind.
        for connection in (*idle, *slow):
            connection.settimeout(20)
            with suppress(ConnectionError):
                assert b"" == connection.recv(1)
            connection.close()


def test_a_connection_may_send_its_request_in_pieces() -> None:
    """A slow answer is still an answer."""
    with Listening() as login, login.connect() as connection:
        for byte in f"GET {login.target()} HTTP/1.1\r\nHost: x\r\n\r\n".encode():
            connection.sendall(bytes([byte]))
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 303 ")
        login.get(location_of(answer))
        assert "the-code" == login.request.code_from(login.outcome.result(20))


def test_an_idle_connection_is_ended() -> None:
    """A connection that says nothing is closed after a while."""
    listening = Listening()
    listening.login._idle_seconds = 0.1
    with listening as login, login.connect() as connection:
        connection.sendall(b"GET /callb")
        assert b"" == connection.recv(1)
        assert not login.outcome.done()


# -- The answer -------------------------------------------------------------------------------------------------


def test_the_first_answer_counts() -> None:
    """Of many answers at once one is taken; the same again, as from a reload, is sent to the last page, too."""
    with Listening() as login, ThreadPoolExecutor(20) as pool:
        start = threading.Barrier(20)

        def answer(number: int) -> tuple[str, bytes]:
            target = login.target(code=f"code-{number}")
            start.wait(20)
            return target, login.get(target)

        answers = list(pool.map(answer, range(20)))
        taken = [target for target, got in answers if got.startswith(b"HTTP/1.1 303 ")]
        assert 1 == len(taken)
        assert 19 == sum(got.startswith(b"HTTP/1.1 400 ") for _, got in answers)
        assert login.get(taken[0]).startswith(b"HTTP/1.1 303 ")
        login.get("/callback/done")
        assert taken == [login.outcome.result(20).removeprefix(f"http://127.0.0.1:{login.address[1]}")]


def test_an_error_ends_the_login() -> None:
    """An error with the right state ends the login at once, and the page says that it failed, not how."""
    with Listening() as login:
        target = login.target(code=None, error="access_denied", error_description="<b>no</b>")
        page = login.get(location_of(login.get(target)))
        assert b"<h1>The login did not work</h1>" in page
        assert b"denied" not in page
        assert b"<b>" not in page
        url = login.outcome.result(20)
    with pytest.raises(AuthorizationResponseError) as caught:
        login.request.code_from(url)
    assert ("access_denied", "<b>no</b>") == (caught.value.error, caught.value.error_description)


@pytest.mark.parametrize("fields", [{"iss": "https://evil.example"}, {"code": None}, {"code": ""}])
def test_an_answer_that_can_t_be_used_ends_the_login(fields: dict[str, str | None]) -> None:
    """With the right state, but from another server or without a code: the page says that it failed."""
    with Listening() as login:
        assert b"The login did not work" in login.get(location_of(login.get(login.target(**fields))))
        url = login.outcome.result(20)
    with pytest.raises(AuthorizationResponseError):
        login.request.code_from(url)


class _Texts(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.language: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "html":
            self.language = dict(attrs).get("lang")


def test_the_last_page() -> None:
    """It's there before the login returns; its address holds no code; it's accessible and may do nothing."""
    with Listening() as login:
        redirect = login.get(login.target())
        assert "/callback/done" == location_of(redirect)
        assert not login.outcome.done()
        head, _, page = login.get("/callback/done").decode().partition("\r\n\r\n")
        login.outcome.result(20)
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
        assert "text/html; charset=utf-8" == headers["Content-Type"]
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert ("no-referrer", "no-store", "nosniff") == (
            headers["Referrer-Policy"],
            headers["Cache-Control"],
            headers["X-Content-Type-Options"],
        )
        assert str(len(page.encode())) == headers["Content-Length"]
        assert "Python" not in head
    texts = _Texts(page)
    assert "en" == texts.language
    assert {"title", "main", "h1", "p"} <= set(texts.tags)
    assert not {"script", "img", "link", "a", "iframe"} & set(texts.tags)
    assert '<meta name="color-scheme" content="light dark">' in page
    assert '<meta name="viewport"' in page


def test_a_browser_that_never_fetches_the_last_page_holds_up_nobody() -> None:
    """The login returns a moment later all the same."""
    listening = Listening()
    listening.login._last_page_seconds = 0.05
    with listening as login:
        login.get(login.target())
        assert "the-code" == login.request.code_from(login.outcome.result(20))


# -- The end without an answer ----------------------------------------------------------------------------------


def test_a_time_out() -> None:
    """No user comes: `ReauthorizationRequired`, which says for how long it waited."""
    with Listening(timeout=0.3) as login, pytest.raises(ReauthorizationRequired, match=r"they didn.t within 0\.3 s"):
        login.outcome.result(20)


def test_a_login_that_is_cancelled_ends() -> None:
    """A login that's no longer needed stops listening."""
    with Listening() as login:
        login.cancelled.set()
        with pytest.raises(ReauthorizationRequired):
            login.outcome.result(20)
        with pytest.raises(OSError):
            login.connect()


# -- The browser ------------------------------------------------------------------------------------------------


def _raise(_: str) -> object:
    raise OSError("no browser")


def _exit(_: str) -> object:
    raise SystemExit(3)


OPENERS = {
    "True": lambda url: True,
    "None": lambda url: None,
    "False": lambda url: False,
    "raises": _raise,
    "exits": _exit,
}


@pytest.mark.parametrize("open_browser", OPENERS.values(), ids=OPENERS)
def test_the_url_is_told_at_once(open_browser: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever `open_browser` does, the URL is on stderr before, on a line of its own, and nothing else is."""
    with Listening(open_browser=open_browser) as login:
        said = f"Opening your browser to log in. If nothing opens, visit:\n{login.request.url}\n"
        assert ("", said) == capfd.readouterr()
        login.log_in()
        assert "the-code" == login.request.code_from(login.outcome.result(20))
    assert ("", "") == capfd.readouterr()


@pytest.mark.parametrize(
    ("redirect_uri", "registered", "is_port_ours"),
    [
        (None, r"http://127\.0\.0\.1/callback", True),
        ("http://localhost/a?b=c", r"http://localhost/a\?b=c", True),
        ("http://127.0.0.1:PORT/callback", r"http://127\.0\.0\.1:PORT/callback", False),
    ],
)
def test_a_user_who_takes_long_is_told_what_may_be_wrong(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    redirect_uri: str | None,
    registered: str,
    is_port_ours: bool,
) -> None:
    """After a while, once: which redirect URI to register, with the port where it isn't ours to choose."""
    monkeypatch.setattr(BrowserLogin, "_hint_seconds", 0.01)
    port = str(free_port())
    with Listening(redirect_uri and redirect_uri.replace("PORT", port), timeout=0.3) as login:
        error = login.outcome.exception(20)
    told = capfd.readouterr().err.partition(f"{login.request.url}\n")[2]
    assert 1 == len(told.splitlines())
    assert re.search(rf"unregistered redirect URI, register {registered.replace('PORT', port)} with the server\.", told)
    literal = f"compares literally, register {login.request.redirect_uri} and pass port={login.address[1]}"
    assert is_port_ours is (literal in told)

    for fact in ("https://auth.example.com/authorize ", login.request.redirect_uri, "--device", "--console"):
        assert fact in str(error)
    for fact in ("DeviceCodeAuth", "ConsoleLogin", "0.3 s"):
        assert fact in str(error)
    assert login.request.state not in str(error)


def test_a_quiet_login_prints_nothing(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """`quiet=True`: whatever `open_browser` returns, and however long it takes; the error has it all."""
    monkeypatch.setattr(BrowserLogin, "_hint_seconds", 0.01)
    with Listening(open_browser=lambda url: False, timeout=0.1, quiet=True) as login:
        assert login.request.redirect_uri in str(login.outcome.exception(20))
    assert ("", "") == capfd.readouterr()


@pytest.mark.parametrize("stderr", ["is None", "is closed"])
def test_a_program_without_stderr(monkeypatch: pytest.MonkeyPatch, stderr: str) -> None:
    """Where nothing can be printed, as in a program without a console, the login goes on."""
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr("sys.stderr", None if stderr == "is None" else stream)
    with Listening() as login:
        login.log_in()
        assert "the-code" == login.request.code_from(login.outcome.result(20))


def test_a_browser_that_comes_back_only_at_its_end() -> None:
    """The listener answers while `open_browser` still runs, and its end isn't waited for."""
    closed = threading.Event()
    with Listening(open_browser=lambda url: closed.wait(60)) as login:
        login.log_in()
        assert "the-code" == login.request.code_from(login.outcome.result(20))
        assert not closed.is_set()
    closed.set()
