"""Guarantee 4: a token call is retried where that can help, never where it can harm, and always ends.

Which operation is tried again after which answer, and when, is a table in tests/units/test_calls.py; here it's shown
that each plug-in tells that module what came, and what each of them does with connections, bodies and clients.
"""

from __future__ import annotations

import email.utils
import functools
import gc
import gzip
import json
import pickle
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx2
import niquests
import pytest
import requests

from oauth_auth import (
    ConfigurationError,
    OAuthError,
    OAuthProviderException,
    OAuthToken,
    PublicClient,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
    TokenTransportError,
    basic_authorization,
)
from tests.servers.tls import certificate_for_loopback, tls_before
from tests.support.clock import RetryClock
from tests.support.modes import Mode
from tests.support.ports import free_port
from tests.support.raw import ServeRaw
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, client_credentials
from tests.support.waiting import open_sockets

ALSO_SHARING = True

BASIC = basic_authorization("client", "secret")

Serve = Callable[..., ScriptedServer]
Operation = Callable[[Any], OAuthToken]

ACG = pytest.param(lambda c: c.request_token_o_auth_acg(BASIC, "the-code", "https://app.example/cb"), id="code")
CCG = pytest.param(lambda c: c.request_token_o_auth_ccg(BASIC), id="client credentials")
ROPCG = pytest.param(lambda c: c.request_token_o_auth_ropcg(BASIC, "alice", "pass-word"), id="password")
REFRESH_ACG = pytest.param(lambda c: c.refresh_token_o_auth_acg(BASIC, "refresh-0"), id="refresh acg")
REFRESH_ROPCG = pytest.param(lambda c: c.refresh_token_o_auth_ropcg(BASIC, "refresh-0"), id="refresh ropcg")
ALL_OPERATIONS = [CCG, ROPCG, ACG, REFRESH_ACG, REFRESH_ROPCG]

NO_ANSWER = Answer(0)
TOKEN = Answer(200, {"access_token": "good", "token_type": "Bearer", "expires_in": 3600})


def cut_off(status: int) -> Answer:
    """Announce a longer body than comes before the connection ends."""
    return Answer(status, b'{"access_token": "lost', (("Content-Length", "1000"), ("Connection", "close")))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> RetryClock:
    return RetryClock(monkeypatch)


def controller(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.OAuthAuthorizationController(url, **options)


def in_turn(*answers: Answer) -> Callable[[Received], Answer]:
    """Answer so, one after the other; the last one for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


# -- What is retried ------------------------------------------------------------------------------------------------


@pytest.mark.shared_core
@pytest.mark.parametrize("status", [429, 503])
def test_429_and_5xx_are_retried(plugin_mode: Mode, serve: Serve, clock: RetryClock, status: int) -> None:
    """429 and 5xx are tried again, three times in all, and then raised with their status."""
    server = serve(in_turn(Answer(status)))
    with pytest.raises(TokenResponseError) as caught:
        controller(plugin_mode, server.url).request_token_o_auth_ccg(BASIC)
    assert (status, True, 3) == (caught.value.status_code, caught.value.retryable, len(server.requests))
    assert 2 == len(clock.pauses)


def test_a_connection_that_ends_without_answer_is_retried(plugin_mode: Mode, serve: Serve, clock: RetryClock) -> None:
    """A connection closed before any answer is tried again, with a code, too, three times in all."""
    server = serve(in_turn(NO_ANSWER))
    with pytest.raises(plugin_mode.plugin.TokenTransportError) as caught:
        controller(plugin_mode, server.url).request_token_o_auth_acg(BASIC, "the-code", "https://app.example/cb")
    assert (None, True, 3) == (caught.value.status_code, caught.value.retryable, len(server.requests))


def test_a_refused_connection_is_retried(plugin_mode: Mode, clock: RetryClock) -> None:
    """A refused connection is tried again, three times in all."""
    with pytest.raises(plugin_mode.plugin.TokenTransportError):
        controller(plugin_mode, closed_port()).request_token_o_auth_ccg(BASIC)
    assert 2 == len(clock.pauses)


@pytest.mark.shared_core
@pytest.mark.parametrize("trouble", [NO_ANSWER, Answer(503)], ids=["no answer", "503"])
def test_trouble_that_passes_is_not_noticed(
    mode: Mode, tokens: Tokens, api: ScriptedServer, clock: RetryClock, trouble: Answer
) -> None:
    """A request goes through if the token endpoint answers at the third attempt."""
    troubles = [trouble] * 2
    tokens.answer = lambda _: troubles.pop() if troubles else None
    with mode.client(client_credentials(mode, tokens)) as client:
        assert 200 == client.get(api.url).status_code
    assert 3 == tokens.calls


@pytest.mark.shared_core
@pytest.mark.parametrize("status", [400, 404])
def test_another_4xx_is_not_retried(plugin_mode: Mode, serve: Serve, clock: RetryClock, status: int) -> None:
    """A 4xx other than 429 is never tried again, whatever its Retry-After asks for."""
    server = serve(in_turn(Answer(status, b"", (("Retry-After", "0"),))))
    for operation in ALL_OPERATIONS:
        server.requests.clear()
        with pytest.raises(TokenError) as caught:
            operation.values[0](controller(plugin_mode, server.url))  # type: ignore[operator]
        assert (status, False, 1) == (caught.value.status_code, caught.value.retryable, len(server.requests))


# -- What is never sent twice ---------------------------------------------------------------------------------------

SPENDING = {
    "200 that is cut off": cut_off(200),
    "200 not gzip": Answer(200, b"no gzip", (("Content-Encoding", "gzip"),)),
    "400 that is cut off": cut_off(400),
    "302": Answer(302, b"", (("Location", "/elsewhere"),)),
}
"""Answers after which what may be sent once isn't sent again."""
FAILING = {"503": Answer(503, b"", (("Retry-After", "0"),)), "503 that is cut off": cut_off(503)}
"""Answers which say that the server did nothing."""


@pytest.mark.shared_core
@pytest.mark.parametrize("name", [*SPENDING, *FAILING])
def test_a_code_is_never_sent_twice_after_an_answer(
    plugin_mode: Mode, serve: Serve, clock: RetryClock, name: str
) -> None:
    """A code is sent once if any answer came, be it cut off: not by a retry, nor by a later request."""
    server = serve(in_turn({**SPENDING, **FAILING}[name]))
    auth = plugin_mode.plugin.AuthorizationCodeAuth(
        server.url, "client", "secret", code="the-code", redirect_uri="https://app.example/cb"
    )
    for _ in range(3):
        with pytest.raises(TokenError):
            auth.get_token()
    with pytest.raises(TokenError):
        auth.refresh()
    assert 1 == len(server.requests)


@pytest.mark.shared_core
def test_a_code_without_an_answer_is_sent_again_by_a_later_request(
    plugin_mode: Mode, serve: Serve, clock: RetryClock
) -> None:
    """A code that no answer came to is still good: a later request sends it."""
    server = serve(in_turn(NO_ANSWER, NO_ANSWER, NO_ANSWER, TOKEN))
    auth = plugin_mode.plugin.AuthorizationCodeAuth(
        server.url, "client", "secret", code="the-code", redirect_uri="https://app.example/cb"
    )
    with pytest.raises(TokenTransportError):
        auth.get_token()
    assert "good" == auth.get_token().access_token
    assert 4 == len(server.requests)


@pytest.mark.shared_core
@pytest.mark.parametrize("name", [*SPENDING, *FAILING])
def test_a_refresh_token_is_sent_again_only_where_nothing_was_done(
    plugin_mode: Mode, serve: Serve, clock: RetryClock, name: str
) -> None:
    """A refresh token is sent once if a 2xx, 3xx or 4xx came, be it cut off, and up to three times after a 5xx."""
    server = serve(in_turn({**SPENDING, **FAILING}[name]))
    with pytest.raises(TokenError):
        controller(plugin_mode, server.url).refresh_token_o_auth_acg(BASIC, "refresh-0")
    assert (3 if name in FAILING else 1) == len(server.requests)


@pytest.mark.shared_core
def test_a_2xx_that_is_cut_off_is_retried_where_nothing_is_spent(
    plugin_mode: Mode, serve: Serve, clock: RetryClock
) -> None:
    """Client credentials are asked for again after an answer that was cut off: nothing of theirs is spent."""
    server = serve(in_turn(cut_off(200), TOKEN))
    assert "good" == controller(plugin_mode, server.url).request_token_o_auth_ccg(BASIC).access_token


# -- Retry-After ----------------------------------------------------------------------------------------------------


@pytest.mark.shared_core
def test_retry_after_is_honoured(plugin_mode: Mode, serve: Serve, clock: RetryClock) -> None:
    """The pause is as long as Retry-After asks for, in seconds or as a date."""
    later = email.utils.formatdate(time.time() + 5, usegmt=True)
    headers = [(("Retry-After", "3"),), (("Retry-After", later),)]
    server = serve(in_turn(*(Answer(503, b"", header) for header in headers), TOKEN))
    controller(plugin_mode, server.url).request_token_o_auth_ccg(BASIC)
    seconds, until_the_date = clock.pauses
    assert 3.0 == seconds
    assert 2 < until_the_date <= 5


@pytest.mark.shared_core
@pytest.mark.parametrize("skew", [-600, 600], ids=["a slow clock", "a fast clock"])
def test_a_date_is_one_by_the_servers_own_clock(
    plugin_mode: Mode, serve: Serve, clock: RetryClock, skew: float
) -> None:
    """A date in Retry-After is as far away as the answer's own Date says, ten minutes of difference or not."""
    now = time.time() + skew
    dates = {"Date": now, "Retry-After": now + 3}
    headers = tuple((name, email.utils.formatdate(moment, usegmt=True)) for name, moment in dates.items())
    server = serve(in_turn(Answer(503, b"", headers), TOKEN))
    controller(plugin_mode, server.url).request_token_o_auth_ccg(BASIC)
    assert [3.0] == clock.pauses


@pytest.mark.shared_core
def test_a_retry_after_beyond_the_time_out_is_not_waited_for(
    plugin_mode: Mode, serve: Serve, clock: RetryClock
) -> None:
    """Where Retry-After asks for more than is left of `token_timeout`, the error comes at once."""
    server = serve(in_turn(Answer(503, b"", (("Retry-After", "60"),)), TOKEN))
    with pytest.raises(TokenResponseError):
        controller(plugin_mode, server.url).request_token_o_auth_ccg(BASIC)
    assert ([], 1) == (clock.pauses, len(server.requests))


@pytest.mark.shared_core
def test_a_retry_after_beyond_reading_leaves_the_usual_pause(
    plugin_mode: Mode, serve: Serve, clock: RetryClock
) -> None:
    """A Retry-After that can't be read, in bytes that are no ASCII, leaves the pause as it is."""
    server = serve(in_turn(Answer(503, b"", (("Retry-After", "٣".encode().decode("latin-1")),)), TOKEN))
    controller(plugin_mode, server.url).request_token_o_auth_ccg(BASIC)
    [pause] = clock.pauses
    assert 0 < pause < 1


@pytest.mark.shared_core
def test_retry_after_is_told(plugin_mode: Mode, serve: Serve, clock: RetryClock) -> None:
    """The error says how long the server asked to wait."""
    server = serve(in_turn(Answer(503, {"error": "temporarily_unavailable"}, (("Retry-After", "77"),))))
    with pytest.raises(OAuthProviderException) as caught:
        controller(plugin_mode, server.url).request_token_o_auth_ccg(BASIC)
    assert (77.0, 503, True) == (caught.value.retry_after, caught.value.status_code, caught.value.retryable)


# -- Time -----------------------------------------------------------------------------------------------------------


def test_all_attempts_end_within_the_time_out(plugin_mode: Mode, serve: Serve) -> None:
    """A server that never answers is given up after `token_timeout`, pauses included."""
    ended = threading.Event()
    server = serve(lambda _: Answer(200) if ended.wait(20) else NO_ANSWER)
    begun = time.monotonic()
    with pytest.raises(plugin_mode.plugin.TokenTransportError):
        controller(plugin_mode, server.url, token_timeout=0.6).request_token_o_auth_ccg(BASIC)
    seconds = time.monotonic() - begun
    ended.set()
    assert 0.3 <= seconds < 8


def test_one_attempt_takes_at_most_half_of_the_time_out(plugin_mode: Mode, serve: Serve) -> None:
    """An attempt that hangs leaves time for a second one."""
    ended = threading.Event()
    server = serve(lambda _: TOKEN)
    server.script = lambda _: TOKEN if len(server.requests) > 1 or ended.wait(20) else NO_ANSWER
    token = controller(plugin_mode, server.url, token_timeout=3.0).request_token_o_auth_ccg(BASIC)
    ended.set()
    assert ("good", 2) == (token.access_token, len(server.requests))


STATUS = b"HTTP/1.1 200 OK\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

# What gzip has to say before any text: a header with a name that never ends.
GZIP_NAME = b"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff"

DRIPS = {
    "body": ((STATUS + JSON + b"Content-Length: 100000\r\n\r\n",), b" "),
    "chunked body": ((STATUS + JSON + CHUNKED,), b"1\r\n \r\n"),
    "compressed body that yields nothing": (
        (STATUS + b"Content-Encoding: gzip\r\nContent-Length: 100000\r\n\r\n" + GZIP_NAME,),
        b"a",
    ),
    "chunk extension": ((STATUS + JSON + CHUNKED + b"5;",), b"a"),
    "headers": ((STATUS,), b"X: y\r\n"),
    "one header": ((STATUS + b"X: ",), b"y"),
    "status line": ((), b"H"),
    "1xx answers": ((), b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("name", DRIPS)
def test_an_answer_that_drips_is_given_up(plugin_mode: Mode, serve_raw: ServeRaw, name: str) -> None:
    """An answer that arrives in drips, each one in time, is given up after `token_timeout` all the same."""
    pieces, drip = DRIPS[name]
    # An answer of many small headers ends by itself, at a limit of the library's: not within the test's time.
    server = serve_raw(*pieces, drip=drip, every=0.05)
    timer = threading.Timer(10, server.ended.set)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(TokenError):
        controller(plugin_mode, server.url, token_timeout=0.25).request_token_o_auth_ccg(BASIC)
    seconds = time.monotonic() - begun
    timer.cancel()
    assert seconds < 8


LATE_HEADERS = STATUS + JSON + b"Content-Length: 24\r\n\r\n"
LATE_BODY = b'{"access_token": "late"}'


def test_the_parts_of_an_attempt_share_its_time(plugin_mode: Mode, serve_raw: ServeRaw) -> None:
    """Headers that are late leave less time for the body: together they have half of `token_timeout`."""
    server = serve_raw(1.2, LATE_HEADERS, 1.2, LATE_BODY)
    with pytest.raises(plugin_mode.plugin.TokenTransportError):
        controller(plugin_mode, server.url, token_timeout=3.0).request_token_o_auth_ccg(BASIC)


@pytest.mark.shared_core
@pytest.mark.parametrize("operation", [ACG, REFRESH_ACG])
def test_the_late_answer_to_what_may_be_sent_once_is_waited_for(
    plugin_mode: Mode, serve_raw: ServeRaw, operation: Operation
) -> None:
    """A code or refresh token isn't sent again while its answer may still come: it would count as stolen."""
    server = serve_raw(1.6, LATE_HEADERS, LATE_BODY)
    # Half of the time has long passed by then, and what is left of it is plenty.
    assert "late" == operation(controller(plugin_mode, server.url, token_timeout=3.0)).access_token
    assert 1 == server.connections


# -- Bodies and redirects -------------------------------------------------------------------------------------------


def test_a_body_of_one_mebibyte_is_read(plugin_mode: Mode, serve: Serve) -> None:
    """An answer of 1 MiB is read."""
    body = json.dumps({"access_token": "good"}).encode()
    server = serve(in_turn(Answer(200, body.ljust(1024 * 1024))))
    assert "good" == controller(plugin_mode, server.url).request_token_o_auth_ccg(BASIC).access_token


@pytest.mark.parametrize("compressed", [False, True])
def test_a_longer_body_is_refused(plugin_mode: Mode, serve: Serve, clock: RetryClock, compressed: bool) -> None:
    """An answer of more than 1 MiB, after decompression, is a `TokenResponseError`, whatever its status."""
    long = json.dumps({"access_token": "good"}).encode().ljust(1024 * 1024 + 1)
    body, headers = (gzip.compress(long), (("Content-Encoding", "gzip"),)) if compressed else (long, ())
    for status in (200, 400, 503):
        server = serve(in_turn(Answer(status, body, headers)))
        with pytest.raises(TokenResponseError) as caught:
            controller(plugin_mode, server.url).request_token_o_auth_ccg(BASIC)
        assert status == caught.value.status_code


@functools.cache
def bomb(encoding: str) -> bytes:
    """Return what unpacks to 128 MiB."""
    packer = zlib.compressobj(9, wbits=-15 if encoding == "deflate" else 31)
    packed = b"".join([*(packer.compress(bytes(2**20)) for _ in range(128)), packer.flush()])
    return gzip.compress(packed) if encoding == "gzip, gzip" else packed


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "deflate"])
def test_a_body_that_unpacks_to_gigabytes_is_refused_before_it_does(
    plugin_mode: Mode, serve: Serve, encoding: str
) -> None:
    """A few kilobytes that would be unpacked to 128 MiB take no more memory than other answers."""
    packed = bomb(encoding)  # which takes longer than an answer may
    server = serve(lambda _: Answer(200, packed, (("Content-Encoding", encoding),)))
    calls = controller(plugin_mode, server.url)
    tracemalloc.start()
    try:
        with pytest.raises(TokenResponseError):
            calls.request_token_o_auth_ccg(BASIC)
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


def test_answers_are_asked_for_uncompressed(plugin_mode: Mode, tokens: Tokens) -> None:
    """No token call asks for a compressed answer; one that comes all the same is read."""
    token = gzip.compress(json.dumps({"access_token": "packed"}).encode())
    tokens.answer = lambda _: Answer(200, token, (("Content-Encoding", "gzip"),))
    assert "packed" == client_credentials(plugin_mode, tokens).get_token().access_token
    assert ["identity"] == [request.headers["accept-encoding"] for request in tokens.server.requests]


def test_an_endless_body_is_refused(plugin_mode: Mode, serve_raw: ServeRaw) -> None:
    """A body that never ends is refused when 1 MiB of it has come, long before the time-out."""
    server = serve_raw(STATUS + JSON + b"\r\n", drip=b" " * 65536, every=0.0001)
    begun = time.monotonic()
    with pytest.raises(TokenResponseError):
        controller(plugin_mode, server.url, token_timeout=16.0).request_token_o_auth_ccg(BASIC)
    assert time.monotonic() - begun < 7


@pytest.mark.parametrize("own", [True, False])
def test_no_redirect_is_followed(plugin_mode: Mode, serve: Serve, own: bool) -> None:
    """A redirect of the token endpoint isn't followed, neither with a client that does so by itself."""
    elsewhere = serve(in_turn(TOKEN))
    with plugin_mode.token_client() as client:
        for status in (301, 302, 303, 307, 308):
            server = serve(in_turn(Answer(status, b"", (("Location", elsewhere.url),))))
            calls = controller(plugin_mode, server.url, token_client=None if own else client)
            with pytest.raises(TokenResponseError, match="give its final URL") as caught:
                calls.request_token_o_auth_ccg(BASIC)
            assert (status, 1, 0) == (caught.value.status_code, len(server.requests), len(elsewhere.requests))


# -- The plug-in's own client ---------------------------------------------------------------------------------------


def test_the_own_client_sends_no_cookies(plugin_mode: Mode, serve: Serve, clock: RetryClock) -> None:
    """A cookie that the token endpoint sets comes back neither at a retry nor at a later call."""
    cookie = (("Set-Cookie", "session=1; Path=/"),)
    server = serve(in_turn(Answer(503, b"", cookie), Answer(200, {"access_token": "good"}, cookie)))
    calls = controller(plugin_mode, server.url)
    calls.request_token_o_auth_ccg(BASIC)
    calls.request_token_o_auth_ccg(BASIC)
    assert [None] * 3 == [request.headers.get("cookie") for request in server.requests]


def test_the_api_clients_cookies_stay_its_own(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """Token endpoint and API don't see each other's cookies, though they are on one host."""
    tokens.answer = lambda _: Answer(200, {"access_token": "token"}, (("Set-Cookie", "of=token-endpoint"),))
    tokens.accepted = {"Bearer token"}
    with mode.client(client_credentials(mode, tokens)) as client:
        client.set_cookie("of", "api")
        client.get(api.url)
        client.get(api.url)
    assert ["of=api", "of=api"] == [request.headers["cookie"] for request in api.requests]
    assert [None] == [request.headers.get("cookie") for request in tokens.server.requests]


@pytest.mark.parametrize("public", [False, True])
def test_the_own_client_reads_no_netrc(
    plugin_mode: Mode, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, public: bool
) -> None:
    """An entry of .netrc for the token endpoint's host changes nothing."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1\nlogin eve\npassword evil\ndefault\nlogin eve\npassword evil\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    secret = None if public else "secret"
    plugin_mode.plugin.ClientCredentialsAuth(tokens.url, "client", secret).get_token()
    assert [None if public else BASIC] == [request.authorization for request in tokens.server.requests]


def test_the_own_client_uses_the_environments_proxy(
    plugin_mode: Mode, serve: Serve, monkeypatch: pytest.MonkeyPatch, read_environment: None
) -> None:
    """Token calls go through the proxy that the environment names."""
    proxy = serve(in_turn(TOKEN))
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.url)
    url = "http://auth.invalid/token"
    controller(plugin_mode, url, allow_insecure_transport=True).request_token_o_auth_ccg(BASIC)
    assert [url] == [request.path for request in proxy.requests]


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "http_proxy", "https_proxy"])
def test_an_environment_that_is_wrong_is_an_error_of_ours(
    plugin_mode: Mode, monkeypatch: pytest.MonkeyPatch, clock: RetryClock, read_environment: None, name: str
) -> None:
    """A CA bundle that isn't there or a proxy that is no URL keeps the call from being made: that's our error."""
    if "proxy" in name:
        for proxies in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(proxies, raising=False)
    monkeypatch.setenv(name, "nonsense://[/no/such/file")
    url = closed_port()
    with pytest.raises(plugin_mode.plugin.TokenTransportError):
        controller(plugin_mode, url.replace("http:", "https:")).request_token_o_auth_ccg(BASIC)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Let nothing be freed that others still point to: what is left open isn't closed by chance."""
    gc.disable()
    yield
    gc.enable()


def test_a_call_over_tls_leaves_nothing_open(
    plugin_mode: Mode, tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uncollected: None
) -> None:
    """The connection is closed when the call is over, and not when the other side has said farewell."""
    certificate = certificate_for_loopback(tmp_path)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(certificate.with_name("ca.pem")))
    with tls_before(urlsplit(tokens.url).port or 0, certificate) as port:
        for number in range(1, 11):
            auth = plugin_mode.plugin.ClientCredentialsAuth(f"https://127.0.0.1:{port}/token", "client", "secret")
            assert f"token-{number}" == auth.get_token().access_token
        assert [] == open_sockets(f"https://127.0.0.1:{port}")


# -- token_client ---------------------------------------------------------------------------------------------------


@pytest.mark.having("has_sync_client")
def test_the_token_client_is_used_and_stays_open(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """`token_client` sends the token calls, with its own settings, and nobody but its owner closes it."""
    closed: list[bool] = []

    class Kept(mode.sync_client):  # type: ignore[misc, name-defined]
        def close(self) -> None:
            closed.append(True)
            super().close()

    with Kept() as token_client:
        token_client.headers["X-Mine"] = "yes"
        auth = client_credentials(mode, tokens, token_client=token_client)
        with mode.client(auth) as client:
            assert 200 == client.get(api.url).status_code
            auth.close()
            auth.refresh()
        assert [] == closed
    assert ["yes", "yes"] == [request.headers.get("x-mine") for request in tokens.server.requests]
    assert [None] == [request.headers.get("x-mine") for request in api.requests]


@pytest.mark.filterwarnings("ignore:(The 'auth' parameter|BasicAuth) :DeprecationWarning")
@pytest.mark.parametrize("public", [False, True])
def test_the_token_clients_own_authorization_stays_out(plugin_mode: Mode, tokens: Tokens, public: bool) -> None:
    """Neither `auth` nor an Authorization header of `token_client` gets in place of the client's credentials."""
    secret = None if public else "secret"
    for settings in ({"auth": ("eve", "evil")}, {"headers": {"Authorization": "Bearer evil"}}):
        with plugin_mode.token_client(**settings) as token_client:
            auth = plugin_mode.plugin.ClientCredentialsAuth(tokens.url, "client", secret, token_client=token_client)
            auth.get_token()
            if plugin_mode.has_sync_client and "headers" in settings:
                assert "Bearer evil" == token_client.headers["Authorization"]
    assert [None if public else BASIC] * 2 == [request.authorization for request in tokens.server.requests]


def test_a_token_client_of_another_kind_is_refused(plugin_mode: Mode) -> None:
    """A client that is async or of another library is refused at construction, by the auth classes, too."""
    makers: list[Callable[[], Any]] = [
        requests.Session,
        niquests.Session,
        niquests.AsyncSession,
        httpx.Client,
        httpx2.Client,
        httpx.AsyncClient,
        httpx2.AsyncClient,
        lambda: "client",
        lambda: 5,
    ]
    if plugin_mode.has_sync_client:
        makers.remove(plugin_mode.sync_client)
        makers.append(lambda: plugin_mode.sync_client)  # the class itself
    named = rf"{plugin_mode.library.__name__}\.(Session|Client)"
    for make in makers:
        client = make()
        with pytest.raises(ConfigurationError, match=named):
            controller(plugin_mode, "https://auth.example/token", token_client=client)
        with pytest.raises(ConfigurationError, match=named):
            plugin_mode.plugin.ClientCredentialsAuth("https://auth.example/token", "c", "s", token_client=client)


def raising_client(mode: Mode, *, reads: bool) -> AbstractContextManager[Any]:
    """Make a client with a hook that raises for each 4xx and 5xx."""
    return mode.token_client(hook=lambda response: response.raise_for_status(), reads=reads)


def test_a_hook_that_reads_the_answer_takes_nothing_away(plugin_mode: Mode, tokens: Tokens) -> None:
    """A hook that reads the answer, to log it, say, leaves it to us, too; packed or not."""
    packed = gzip.compress(json.dumps({"access_token": "packed"}).encode())
    answers = [Answer(200, packed, (("Content-Encoding", "gzip"),)), TOKEN]
    tokens.answer = lambda _: answers.pop()
    with plugin_mode.token_client(reads=True) as token_client:
        auth = client_credentials(plugin_mode, tokens, token_client=token_client)
        assert ["good", "packed"] == [auth.get_token().access_token, auth.refresh().access_token]


def test_a_hook_that_raises_for_a_status_hides_no_error(plugin_mode: Mode, serve: Serve) -> None:
    """A hook that reads the answer and raises for its status doesn't hide what the server says."""
    server = serve(in_turn(Answer(400, {"error": "invalid_grant", "error_description": "It is over."})))
    with raising_client(plugin_mode, reads=True) as client, pytest.raises(OAuthProviderException) as caught:
        controller(plugin_mode, server.url, token_client=client).refresh_token_o_auth_acg(BASIC, "refresh-0")
    assert ("invalid_grant", 400, "It is over.") == (
        caught.value.error,
        caught.value.status_code,
        caught.value.error_description,
    )


@pytest.mark.parametrize("status", [400, 503])
def test_a_hook_that_raises_before_reading_leaves_the_status(
    plugin_mode: Mode, serve: Serve, clock: RetryClock, status: int
) -> None:
    """A hook that raises before anybody has read the body leaves an error of ours with the status."""
    server = serve(in_turn(Answer(status, {"error": "invalid_grant"})))
    with raising_client(plugin_mode, reads=False) as client:
        calls = controller(plugin_mode, server.url, token_client=client)
        with pytest.raises((OAuthProviderException, TokenResponseError)) as caught:
            calls.refresh_token_o_auth_acg(BASIC, "refresh-0")
    assert status == caught.value.status_code
    assert (3 if status == 503 else 1) == len(server.requests)


def test_a_hook_that_raises_for_a_status_leaves_the_password_grant_whole(
    mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """With such a hook a refused refresh token still leads to the password."""
    tokens.fields["refresh_token"] = "refresh-1"
    tokens.answer = lambda request: (
        Answer(400, {"error": "invalid_grant"}) if request.form["grant_type"] == ["refresh_token"] else None
    )
    with raising_client(mode, reads=False) as token_client:
        auth = mode.plugin.PasswordAuth(
            tokens.url, "client", "secret", username="alice", password="pass-word", token_client=token_client
        )
        with mode.client(auth) as client:
            client.get(api.url)
            tokens.revoke()
            assert 200 == client.get(api.url).status_code


def test_a_hook_that_raises_anything_else_is_an_error_of_ours(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """Whatever a hook of `token_client` raises, a request raises an `OAuthError`, and the next one may succeed."""
    broken = True

    def hook(response: Any) -> None:
        if broken:
            raise ZeroDivisionError("what a hook")

    with mode.token_client(hook=hook) as token_client:
        auth = client_credentials(mode, tokens, token_client=token_client)
        with mode.client(auth) as client:
            with pytest.raises(OAuthError):
                client.get(api.url)
            broken = False
            auth.refresh()
            assert 200 == client.get(api.url).status_code


@pytest.mark.having("has_sync_client")
def test_a_token_client_that_is_closed(plugin_mode: Mode, tokens: Tokens, clock: RetryClock) -> None:
    """A closed client is a `TokenTransportError` that isn't retried; sessions like requests' outlive their closing."""
    token_client = plugin_mode.sync_client()
    token_client.close()
    auth = client_credentials(plugin_mode, tokens, token_client=token_client)
    if plugin_mode.is_like_requests:
        assert "token-1" == auth.get_token().access_token
        token_client.close()
        return
    with pytest.raises(plugin_mode.plugin.TokenTransportError, match="closed"):
        auth.get_token()
    assert ([], 0) == (clock.pauses, tokens.calls)


# -- TokenTransportError --------------------------------------------------------------------------------------------


def test_a_transport_error_is_the_librarys_own_too(
    mode: Mode, serve: Serve, api: ScriptedServer, clock: RetryClock
) -> None:
    """Code that handles the library's network errors handles `TokenTransportError`; so does code that handles ours."""
    url = closed_port()
    auth = mode.plugin.ClientCredentialsAuth(url, "client", "secret")
    with mode.client(auth) as client, pytest.raises(mode.transport_error) as caught:
        client.get(api.url)
    error = caught.value
    assert isinstance(error, mode.plugin.TokenTransportError)
    assert isinstance(error, TokenTransportError)
    assert isinstance(error.__cause__, mode.transport_error)
    assert (url, None, True) == (error.token_url, error.status_code, error.retryable)
    assert [] == api.requests


def transport_error(mode: Mode) -> Any:
    with pytest.raises(TokenTransportError) as caught:
        controller(mode, closed_port()).request_token_o_auth_ccg(BASIC)
    return caught.value


def test_a_transport_error_pickles(plugin_mode: Mode, clock: RetryClock) -> None:
    """A `TokenTransportError` comes out of a pickle as it went in."""
    error = transport_error(plugin_mode)
    again = pickle.loads(pickle.dumps(error))
    assert (type(error), str(error), error.token_url, error.retryable) == (
        type(again),
        str(again),
        again.token_url,
        again.retryable,
    )
    assert "could not be reached" in str(again)


def test_the_cause_of_a_transport_error_holds_nothing(plugin_mode: Mode, clock: RetryClock) -> None:
    """The cause is the library's error without request, response, traceback, cause or context."""
    cause = transport_error(plugin_mode).__cause__
    assert isinstance(cause, plugin_mode.transport_error)
    assert (None, None, None) == (cause.__traceback__, cause.__cause__, cause.__context__)
    held = {name: value for name, value in vars(cause).items() if value is not None}
    assert {} == held
    assert all(isinstance(arg, str) for arg in cause.args)


@pytest.mark.shared_core
def test_a_public_clients_calls_have_no_authorization(plugin_mode: Mode, tokens: Tokens) -> None:
    """A public client's token call has its id in the form, and no Authorization header."""
    plugin_mode.plugin.ClientCredentialsAuth(tokens.url, "client", client_auth=PublicClient()).get_token()
    [request] = tokens.server.requests
    assert (None, ["client"]) == (request.authorization, request.form["client_id"])


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\r\n"]
)
def test_an_answer_that_is_not_http_is_an_error_of_ours(
    plugin_mode: Mode, serve_raw: ServeRaw, clock: RetryClock, garbage: bytes
) -> None:
    """A server that speaks another protocol is a `TokenTransportError`."""
    with pytest.raises(plugin_mode.plugin.TokenTransportError):
        controller(plugin_mode, serve_raw(garbage).url).request_token_o_auth_ccg(BASIC)


@pytest.mark.shared_core
def test_a_code_that_is_used_up_needs_a_user(plugin_mode: Mode, serve: Serve, clock: RetryClock) -> None:
    """After a code's answer without a token, the next request says that the user must log in."""
    server = serve(in_turn(Answer(503)))
    auth = plugin_mode.plugin.AuthorizationCodeAuth(
        server.url, "client", "secret", code="the-code", redirect_uri="https://app.example/cb"
    )
    with pytest.raises(TokenResponseError):
        auth.get_token()
    with pytest.raises(ReauthorizationRequired):
        auth.get_token()


def closed_port() -> str:
    """Return a URL at which nobody listens."""
    return f"http://127.0.0.1:{free_port()}/token"
