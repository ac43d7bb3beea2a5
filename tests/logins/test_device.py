"""`DeviceCodeAuth` (RFC 8628): a person logs in elsewhere, and this program asks until they have."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import (
    ClientSecretPost,
    ConfigurationError,
    InsecureTransportError,
    MemoryTokenStore,
    OAuthProviderException,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
    TokenTransportError,
)
from oauth_auth._server.device_grant import DeviceCodeGrant, show_on_stderr
from tests.servers.login import approve_device
from tests.servers.oidc_provider import OidcProvider
from tests.support import modes
from tests.support.clock import Clock
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.waiting import await_waiting, promptly

pytestmark = pytest.mark.shared_core

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
CODES: dict[str, Any] = {
    "device_code": "the-device-code",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://auth.example.com/device",
    "verification_uri_complete": "https://auth.example.com/device?user_code=WDJB-MJHT",
    "expires_in": 600,
    "interval": 5,
}


class Shown:
    """A `show` that notes what it's called with."""

    def __init__(self, then: Callable[[dict[str, Any]], object] | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self._then = then

    def __call__(self, **shown: Any) -> None:
        self.calls.append(shown)
        if self._then is not None:
            self._then(shown)


class DeviceServer:
    """A scripted server: `codes` is what its device endpoint answers, `polls` what its token endpoint does in turn.

    An error's name stands for an answer with it, and the last one is repeated.
    """

    def __init__(self, serve: Callable[..., ScriptedServer]) -> None:
        self.codes: Any = dict(CODES)
        self.polls: list[Any] = [{"access_token": "token-1", "refresh_token": "refresh-1", "expires_in": 3600}]
        self.server = serve(self._answer)
        self.url = self.server.url

    def _answer(self, request: Received) -> Answer:
        if request.path == "/device":
            return self.codes if isinstance(self.codes, Answer) else Answer(200, self.codes)
        if request.form["grant_type"] == ["refresh_token"]:
            return Answer(200, {"access_token": "token-2", "refresh_token": "refresh-2", "expires_in": 3600})
        poll = self.polls.pop(0) if len(self.polls) > 1 else self.polls[0]
        if isinstance(poll, str):
            return Answer(400, {"error": poll, "error_description": "not yet"})
        return poll if isinstance(poll, Answer) else Answer(200, poll)

    def make(self, mode: Mode, secret: str | None = "secret", **options: Any) -> Any:
        urls = {"device_authorization_url": f"{self.url}/device"}
        return mode.plugin.DeviceCodeAuth(f"{self.url}/token", "client", secret, **{"show": Shown(), **urls, **options})

    @property
    def asked(self) -> list[Received]:
        return [request for request in self.server.requests if request.path == "/token"]


@pytest.fixture
def server(serve: Callable[..., ScriptedServer]) -> DeviceServer:
    return DeviceServer(serve)


class Waits:
    """Takes the place of the waits between polls: notes how long each would be, and moves the clock so far."""

    def __init__(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        waits = self

        def wait(_: DeviceCodeGrant, cancelled: threading.Event, seconds: float) -> bool:
            waits.seconds.append(round(seconds, 1))
            clock.advance(seconds)
            return cancelled.is_set()

        monkeypatch.setattr(DeviceCodeGrant, "wait", wait)


@pytest.fixture
def waits(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Waits:
    return Waits(clock, monkeypatch)


# -- At a certified server ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "client"),
    # What a client sends is the same in all modes of a plug-in.
    [(mode, "public") for mode in modes.ALL] + [(modes.REQUESTS, client) for client in ("basic", "special", "post")],
    ids=str,
)
def test_a_login_at_a_certified_server(
    oidc: OidcProvider, mode: Mode, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person approves on another device; then requests go through, and refresh tokens renew, for all clients."""
    monkeypatch.setattr(DeviceCodeGrant, "default_interval", 0.0)
    monkeypatch.setattr(DeviceCodeGrant, "shortest_interval", 0.01)
    registered = getattr(oidc, client)
    show = Shown(lambda shown: approve_device(shown["verification_uri_complete"]))
    auth = mode.plugin.DeviceCodeAuth.from_issuer(
        oidc.issuer,
        registered.client_id,
        registered.client_secret,
        scope="openid offline_access",
        show=show,
        client_auth=ClientSecretPost() if client == "post" else None,
    )
    with auth, mode.client(auth) as http:
        assert 200 == http.get(oidc.api_url).status_code
        assert {"user_code", "verification_uri", "verification_uri_complete", "expires_in"} == show.calls[0].keys()
        assert 600 == show.calls[0]["expires_in"]
        oidc.revoke_access_tokens()
        assert 200 == http.get(oidc.api_url).status_code
    assert 1 == len(show.calls)


# -- The polls ---------------------------------------------------------------------------------------------------


def test_it_asks_until_the_person_is_done(mode: Mode, server: DeviceServer, waits: Waits) -> None:
    """`authorization_pending` means to ask again after the interval, and `slow_down` 5 s later from then on."""
    server.polls[:0] = ["authorization_pending", "authorization_pending", "slow_down", "authorization_pending"]
    auth = server.make(mode, scope="a b")
    assert "token-1" == mode.get_token(auth).access_token
    assert [5.0, 5.0, 5.0, 10.0, 10.0] == waits.seconds
    begun, *asked = server.server.requests
    assert (["client"], ["a b"]) == (begun.form["client_id"], begun.form["scope"])
    assert begun.authorization is not None
    for request in asked:
        assert {"grant_type": [GRANT_TYPE], "device_code": ["the-device-code"]} == request.form
        assert begun.authorization == request.authorization


def test_a_public_client_says_who_it_is(plugin_mode: Mode, server: DeviceServer, waits: Waits) -> None:
    """Without a secret the id goes along in each call's body, once."""
    server.make(plugin_mode, None, field_parameters={"audience": "api"}).get_token()
    for request in server.server.requests:
        assert ["client"] == request.form["client_id"]
        assert ["api"] == request.form["audience"]
        assert request.authorization is None


def test_it_renews_with_the_refresh_token(mode: Mode, server: DeviceServer, waits: Waits, clock: Clock) -> None:
    """After the login nobody is shown anything any more: the refresh token renews."""
    show = Shown()
    auth = server.make(mode, show=show)
    mode.get_token(auth)
    clock.advance(3600)
    assert "token-2" == mode.get_token(auth).access_token
    assert ["refresh-1"] == server.asked[-1].form["refresh_token"]
    assert 1 == len(show.calls)


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        ([Answer(503)], [5.0, 10.0]),
        ([Answer(503, b"<html>")] * 5, [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]),
        ([Answer(429, b"", (("Retry-After", "30"),))], [5.0, 30.0]),
        ([Answer(500, {"error": "server_error"})] * 2, [5.0, 10.0, 20.0]),
        ([Answer(503, {"error": "temporarily_unavailable"}, (("Retry-After", "7"),))], [5.0, 10.0]),
        ([Answer(429, {"error": "slow_down"})], [5.0, 10.0]),
        ([Answer(0)] * 2, [5.0, 10.0, 20.0]),
        ([Answer(200, {"error": "authorization_pending"})], [5.0, 5.0]),
        ([Answer(403, {"error": "authorization_pending"})], [5.0, 5.0]),
        ([Answer(428, {"error": "authorization_pending"})], [5.0, 5.0]),
    ],
)
def test_trouble_while_it_asks(
    plugin_mode: Mode, server: DeviceServer, waits: Waits, trouble: list[Answer], expected: list[float]
) -> None:
    """A server that's busy or away is asked less often, and the person's approval isn't lost (RFC 8628 3.5)."""
    server.polls[:0] = trouble
    assert "token-1" == server.make(plugin_mode).get_token().access_token
    assert expected == waits.seconds


def test_a_time_out_while_it_asks(serve: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll without an answer ends in time, and is made again."""
    monkeypatch.setattr(DeviceCodeGrant, "shortest_interval", 0.01)
    hang, polls = threading.Event(), []

    def answer(request: Received) -> Answer:
        if request.path == "/device":
            return Answer(200, {**CODES, "interval": 0.01})
        polls.append(request)
        if len(polls) == 1:
            hang.wait(20)
            return Answer(0)
        return Answer(200, {"access_token": "late"})

    server = serve(answer)
    auth = modes.REQUESTS.plugin.DeviceCodeAuth(
        f"{server.url}/token",
        "client",
        device_authorization_url=f"{server.url}/device",
        show=Shown(),
        token_timeout=0.3,
    )
    assert "late" == auth.get_token().access_token
    hang.set()


# -- The end without a token -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [modes.REQUESTS, modes.HTTPX_ASYNCIO, modes.HTTPX2_TRIO], ids=str)
def test_a_code_that_has_expired(mode: Mode, server: DeviceServer, waits: Waits) -> None:
    """Nobody enters the code in time: `ReauthorizationRequired`, whether the server or the clock says so."""
    server.polls[:0] = ["authorization_pending", "expired_token"]
    with pytest.raises(ReauthorizationRequired, match="expired"):
        mode.get_token(server.make(mode))

    server.polls = ["authorization_pending"]
    server.codes["expires_in"] = 23
    waits.seconds.clear()
    with pytest.raises(ReauthorizationRequired, match="in time"):
        mode.get_token(server.make(mode))
    assert [5.0, 5.0, 5.0, 5.0] == waits.seconds[:4]
    assert waits.seconds[4:] == [pytest.approx(3, abs=1)]  # what's left, by a clock that goes on meanwhile


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("access_denied", "access_denied"),
        (Answer(401, {"error": "invalid_client"}), "invalid_client"),
        ("something_else", "something_else"),
    ],
)
def test_a_refusal(plugin_mode: Mode, server: DeviceServer, waits: Waits, answer: Any, error: str) -> None:
    """Any other refusal is an `OAuthProviderException`, which callers get for a while without another code."""
    server.polls = [answer]
    show = Shown()
    auth = server.make(plugin_mode, show=show)
    for _ in range(3):
        with pytest.raises(OAuthProviderException) as caught:
            auth.get_token()
        assert error == caught.value.error
    assert 1 == len(show.calls)
    assert 1 == len(server.asked)


def test_an_answer_that_is_no_token(plugin_mode: Mode, server: DeviceServer, waits: Waits) -> None:
    """A 200 without a token, or a refusal without an error, is a `TokenResponseError` at once."""
    for answer in (Answer(200, {}), Answer(404, b"<html>")):
        server.polls = [answer]
        with pytest.raises(TokenResponseError):
            server.make(plugin_mode).get_token()
    assert 2 == len(server.asked)


# -- The device endpoint's answer --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expires_in", "interval"),
    [
        ({}, 600, 5.0),
        ({"interval": None}, 600, 5.0),
        ({"interval": "2", "expires_in": "90"}, 90, 2.0),
        ({"interval": 0}, 600, 1.0),
        ({"interval": -3}, 600, 5.0),
        ({"verification_uri": None, "verification_url": CODES["verification_uri"]}, 600, 5.0),
    ],
)
def test_odd_answers(
    server: DeviceServer, waits: Waits, change: dict[str, Any], expires_in: float, interval: float
) -> None:
    """What servers leave out or write in their own way is read, and no answer makes it ask without a pause."""
    server.codes = {name: value for name, value in {**CODES, **change}.items() if value is not None}
    complete = server.codes.get("verification_uri_complete")
    show = Shown()
    server.make(modes.REQUESTS, show=show).get_token()
    assert [
        {
            "user_code": "WDJB-MJHT",
            "verification_uri": CODES["verification_uri"],
            "verification_uri_complete": complete if isinstance(complete, str) else None,
            "expires_in": expires_in,
        }
    ] == show.calls
    assert [interval] == waits.seconds


def test_an_answer_that_can_t_be_shown(server: DeviceServer) -> None:
    """Without a code or an address, or with control characters that a terminal would obey: `TokenResponseError`."""
    server.codes["user_code"] = "\x1b[2J"
    show = Shown()
    with pytest.raises(TokenResponseError):
        server.make(modes.REQUESTS, show=show).get_token()
    assert [] == show.calls
    assert [] == server.asked


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(400, {"error": "invalid_scope"}), OAuthProviderException),
        (Answer(302, b"", (("Location", "/elsewhere"),)), TokenResponseError),
        (Answer(503), TokenResponseError),
        (Answer(0), TokenTransportError),
    ],
)
def test_a_device_endpoint_that_refuses(
    plugin_mode: Mode, server: DeviceServer, clock: Clock, answer: Answer, expected: type[Exception]
) -> None:
    """No code can be had: the error of any other token call, with its retries, and nothing is shown."""
    server.codes = answer
    show = Shown()
    with pytest.raises(expected) as caught:
        server.make(plugin_mode, show=show).get_token()
    assert "secret" not in str(caught.value)
    assert [] == show.calls
    assert (3 if caught.value.retryable else 1) == len(server.server.requests)  # type: ignore[attr-defined]


# -- What's shown ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("complete", [True, False])
def test_by_default_it_s_printed(
    server: DeviceServer,
    waits: Waits,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    complete: bool,
) -> None:
    """Address, code and lifetime are on stderr; nothing on stdout, and not the device code."""
    monkeypatch.setitem(sys.modules, "segno", None)
    if not complete:
        del server.codes["verification_uri_complete"]
    server.make(modes.REQUESTS, show=show_on_stderr).get_token()
    out, err = capfd.readouterr()
    assert "" == out
    assert {CODES["verification_uri"], "WDJB-MJHT"} <= set(err.split())
    assert complete == (CODES["verification_uri_complete"] in err.split())
    assert "10 minutes" in err
    assert "the-device-code" not in err


def test_with_segno_there_s_a_qr_code(server: DeviceServer, waits: Waits, capfd: pytest.CaptureFixture[str]) -> None:
    """Where the package `segno` is, phones can read the address; one that's too long for that is left to be typed."""
    server.make(modes.REQUESTS, show=show_on_stderr).get_token()
    assert "█" in capfd.readouterr().err

    server.codes["verification_uri_complete"] = f"https://auth.example.com/{'x' * 5000}"
    server.make(modes.REQUESTS, show=show_on_stderr).get_token()
    err = capfd.readouterr().err
    assert "WDJB-MJHT" in err
    assert "█" not in err


def test_a_show_that_raises(mode: Mode, server: DeviceServer) -> None:
    """If the person can't be told, callers get an error that says so, and no poll is made."""

    def show(**shown: Any) -> None:
        raise OSError("no display")

    with pytest.raises(TokenError, match="show raised OSError"):
        mode.get_token(server.make(mode, show=show))
    assert [] == server.asked


def test_a_show_that_uses_its_own_auth_object(plugin_mode: Mode, server: DeviceServer) -> None:
    """It gets an error, and doesn't wait for itself for ever."""
    auth: Any = None
    auth = server.make(plugin_mode, show=Shown(lambda _: auth.get_token()))
    assert isinstance(promptly(auth.get_token), TokenError)


def test_what_can_t_work_is_refused_at_once(plugin_mode: Mode) -> None:
    """A missing or insecure URL, or a `show` that can't be called, is a `ConfigurationError` at construction."""
    make = plugin_mode.plugin.DeviceCodeAuth
    url = "http://127.0.0.1:9/device"

    async def show(**shown: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="device_authorization_url"):
        make("http://127.0.0.1:9/token", "client")
    with pytest.raises(InsecureTransportError):
        make("http://127.0.0.1:9/token", "client", device_authorization_url="http://example.com/device")
    for wrong in ("print", show):
        with pytest.raises(ConfigurationError, match="show"):
            make("http://127.0.0.1:9/token", "client", device_authorization_url=url, show=wrong)


# -- Together with others ----------------------------------------------------------------------------------------


def test_one_code_for_all_callers(mode: Mode, server: DeviceServer) -> None:
    """However many wait, one code is shown, and one token is asked for."""
    shown, go_on = threading.Event(), threading.Event()

    def show(**_: Any) -> None:
        shown.set()
        assert go_on.wait(20)

    server.codes["interval"] = 1
    auth = server.make(mode, show=show)
    with mode.client(auth) as client:
        futures = [client.begin("GET", server.url + "/token", body=b"grant_type=x") for _ in range(20)]
        assert shown.wait(20)
        await_waiting(auth, 20)
        go_on.set()
        assert 20 == len([future.result(30) for future in futures])
    assert 1 == sum(request.path == "/device" for request in server.server.requests)


def test_it_shares_the_token_of_a_browser_s_login(plugin_mode: Mode, server: DeviceServer, waits: Waits) -> None:
    """For the same server, client and scope it's the same person: `AuthorizationCodeAuth` finds the token."""
    store = MemoryTokenStore()
    server.make(plugin_mode, store=store, scope="a b").get_token()
    before = len(server.server.requests)
    code_auth = plugin_mode.plugin.AuthorizationCodeAuth
    assert (
        "token-1"
        == code_auth(f"{server.url}/token", "client", "secret", store=store, scope="b a").get_token().access_token
    )
    assert before == len(server.server.requests)
    with pytest.raises(ReauthorizationRequired):
        code_auth(f"{server.url}/token", "client", "secret", store=store, scope="a").get_token()


def test_a_sibling_s_login_is_adopted(mode: Mode, server: DeviceServer) -> None:
    """If another process on the same store gets a token meanwhile, this one stops to ask, and takes that one."""
    store = MemoryTokenStore()
    shown = threading.Event()
    server.codes["interval"] = 600
    auth = server.make(mode, store=store, show=lambda **_: shown.set())
    with mode.client(auth) as client:
        future = client._submit(auth.get_token if mode.backend is None else auth.aget_token)
        assert shown.wait(20)
        sibling = mode.plugin.AuthorizationCodeAuth(
            f"{server.url}/token", "client", "secret", store=store, code="c", redirect_uri="http://127.0.0.1/"
        )
        assert "token-1" == mode.get_token(sibling).access_token
        assert "token-1" == future.result(20).access_token
    assert [["authorization_code"]] == [request.form["grant_type"] for request in server.asked]


def test_close_gives_up(mode: Mode, server: DeviceServer) -> None:
    """Closing doesn't wait for the user, and the polls end."""
    shown = threading.Event()
    server.codes["interval"] = 600
    auth = server.make(mode, show=lambda **_: shown.set())
    with mode.client(auth) as client:
        future = client._submit(auth.get_token if mode.backend is None else auth.aget_token)
        assert shown.wait(20)
        assert promptly(auth.close) is None
        with pytest.raises(ReauthorizationRequired, match="closed"):
            future.result(20)


def test_nothing_secret_is_told(
    server: DeviceServer, waits: Waits, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """At level DEBUG neither log nor stderr hold the device code or a token, and errors don't repeat it."""
    caplog.set_level("DEBUG", "oauth_auth")
    server.polls[:0] = ["authorization_pending"]
    auth = server.make(modes.REQUESTS, show=show_on_stderr)
    auth.get_token()
    server.polls = [Answer(400, {"error": "odd", "error_description": "the-device-code is odd"})]
    with pytest.raises(OAuthProviderException) as caught:
        server.make(modes.REQUESTS).get_token()
    told = f"{caplog.text}{capfd.readouterr()}{caught.value!r}{caught.value.error_description}{auth!r}"
    for secret in ("the-device-code", "token-1", "refresh-1"):
        assert secret not in told
