"""Guarantee 25: tokens that are made of others' tokens, and of assertions."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

import oauth_auth.aiohttp
import oauth_auth.httpx
import oauth_auth.requests
from oauth_auth import (
    ConfigurationError,
    DPoPKey,
    JwtAssertion,
    OAuthProviderException,
    OAuthToken,
    ReauthorizationRequired,
    TokenError,
)
from oauth_auth._server.calls import EndpointCalls
from tests.support.copies import forks, in_child, pickled
from tests.support.jwts import claims_of
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.waiting import promptly

pytestmark = pytest.mark.shared_core

Serve = Callable[..., ScriptedServer]
SUBJECT = "s3cret-subject"
ALSO_SHARING = True
KEY = DPoPKey.generate().private_jwk


class Exchanging:
    """A token endpoint that exchanges tokens, and an API that takes those of it that weren't revoked."""

    def __init__(self, serve: Serve) -> None:
        self.refused: set[str] = set()
        self.revoked: set[str] = set()
        self.faults: list[Answer | None] = []
        self.fields: dict[str, Any] = {"expires_in": 3600}
        self.server = serve(self._answer)
        self.url = f"{self.server.url}/token"
        self.api = serve(self._judge)
        self._lock = threading.Lock()
        self._count = 0

    def _answer(self, request: Received) -> Answer | None:
        with self._lock:
            if self.faults:
                return self.faults.pop(0)
            self._count += 1
            count = self._count
        form = {name: values[0] for name, values in request.form.items()}
        if form.get("subject_token") in self.refused:
            return Answer(400, {"error": "invalid_request"})
        return Answer(200, {"access_token": f"token-{count}", "token_type": "Bearer", **self.fields})

    def _judge(self, request: Received) -> Answer:
        return Answer(401 if request.authorization in self.revoked else 200, request.body)

    @property
    def forms(self) -> list[dict[str, str]]:
        return [{name: values[0] for name, values in request.form.items()} for request in self.server.requests]

    @property
    def exchanges(self) -> list[dict[str, str]]:
        return [form for form in self.forms if "subject_token" in form]


@pytest.fixture
def exchanging(serve: Serve) -> Exchanging:
    return Exchanging(serve)


def exchange(mode: Mode, exchanging: Exchanging, subject: Any, **options: Any) -> Any:
    return mode.plugin.TokenExchangeAuth(exchanging.url, "client", "secret", subject_token=subject, **options)


def service(exchanging: Exchanging, plugin: Any) -> Any:
    return plugin.ClientCredentialsAuth(exchanging.url, "client", "secret")


# -- Token exchange (RFC 8693) --------------------------------------------------------------------------------------


def test_what_is_sent(mode: Mode, exchanging: Exchanging) -> None:
    """Subject and actor with their types, audience, resource, scope and what's wanted, as RFC 8693 names them."""
    options: Any = {
        "actor_token": "actor",
        "actor_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "requested_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "audience": "stock",
        "resource": "https://stock.example",
        "scope": "read",
    }
    mode.get_token(exchange(mode, exchanging, SUBJECT, **options))
    access_token = "urn:ietf:params:oauth:token-type:access_token"
    (form,) = exchanging.forms
    assert form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": SUBJECT,
        "subject_token_type": access_token,
        **options,
    }


def test_without_an_actor_nothing_is_said_of_one(plugin_mode: Mode, exchanging: Exchanging) -> None:
    """Nor of what isn't asked for."""
    plugin_mode.get_token(exchange(plugin_mode, exchanging, SUBJECT))
    assert {"grant_type", "subject_token", "subject_token_type"} == {*exchanging.forms[0]}


def test_one_exchange_for_all_callers(mode: Mode, exchanging: Exchanging) -> None:
    """Sixteen requests at once make one exchange, and one token of the subject's."""
    subject = service(exchanging, mode.plugin)
    with mode.client(exchange(mode, exchanging, subject)) as client:
        begun = [client.begin("GET", exchanging.api.url) for _ in range(16)]
        assert {200} == {one.result(30).status_code for one in begun}
    assert 1 == len(exchanging.exchanges)
    assert 2 == len(exchanging.forms)


@pytest.mark.parametrize("kind", ["text", "file", "function", "auth object", "aiohttp's"])
def test_where_a_subject_comes_from(mode: Mode, exchanging: Exchanging, tmp_path: Path, kind: str) -> None:
    """It's the one of the moment: files and functions are asked for each exchange, auth objects for a live token."""
    file, called = tmp_path / "subject", []
    file.write_text("first\n")

    def function() -> str:
        called.append(True)
        return f"call-{len(called)}"

    own: Any = {"aiohttp's": oauth_auth.aiohttp, "auth object": oauth_auth.httpx}.get(kind)
    subject: Any = {"text": SUBJECT, "file": file, "function": function}.get(kind) or service(exchanging, own)
    auth = exchange(mode, exchanging, subject)
    mode.get_token(auth)
    file.write_text("second")
    if own is not None:
        subject.refresh()
    mode.refresh(auth)
    sent = [form["subject_token"] for form in exchanging.exchanges]
    tokens = {"text": [SUBJECT] * 2, "file": ["first", "second"], "function": ["call-1", "call-2"]}
    assert tokens.get(kind, ["token-1", "token-3"]) == sent


def test_a_rejected_token_is_exchanged_anew(mode: Mode, exchanging: Exchanging) -> None:
    """And the subject left alone: it's good."""
    subject = service(exchanging, mode.plugin)
    auth = exchange(mode, exchanging, subject)
    with mode.client(auth) as client:
        assert 200 == client.get(exchanging.api.url).status_code
        exchanging.revoked.add(f"Bearer {auth.token.access_token}")
        answer = client.send("POST", exchanging.api.url, body=b"body")
        assert (200, b"body") == (answer.status_code, answer.content)
    assert ["token-1", "token-1"] == [form["subject_token"] for form in exchanging.exchanges]
    assert "token-1" == subject.token.access_token


def test_a_refused_subject_is_renewed_once(mode: Mode, exchanging: Exchanging) -> None:
    """It may have been revoked; if its successor is refused, too, that's told."""
    subject = service(exchanging, mode.plugin)
    auth = exchange(mode, exchanging, subject)
    exchanging.refused = {"token-1"}
    mode.get_token(auth)
    assert ["token-1", "token-3"] == [form["subject_token"] for form in exchanging.exchanges]
    exchanging.refused = {f"token-{number}" for number in range(20)}
    with pytest.raises(OAuthProviderException, match="invalid_request"):
        mode.refresh(auth)
    assert 4 == len(exchanging.exchanges)


def test_a_subject_that_nobody_can_renew_is_refused_once(plugin_mode: Mode, exchanging: Exchanging) -> None:
    """A text, a function and a `BearerAuth` stay what they are."""
    exchanging.refused = {SUBJECT}
    for subject in (SUBJECT, lambda: SUBJECT, plugin_mode.plugin.BearerAuth(SUBJECT)):
        with pytest.raises(OAuthProviderException, match="invalid_request"):
            plugin_mode.get_token(exchange(plugin_mode, exchanging, subject))
    assert 3 == len(exchanging.exchanges)


def test_a_refresh_token_that_came_is_used(mode: Mode, exchanging: Exchanging) -> None:
    """Once it's refused, the subject is exchanged again."""
    exchanging.fields = {"expires_in": 3600, "refresh_token": "refresh"}
    auth = exchange(mode, exchanging, SUBJECT)
    mode.get_token(auth)
    mode.refresh(auth)
    assert "refresh" == exchanging.forms[-1]["refresh_token"]
    exchanging.faults = [Answer(400, {"error": "invalid_grant"})]
    mode.refresh(auth)
    assert ["subject_token" in form for form in exchanging.forms] == [True, False, False, True]


@pytest.mark.parametrize("is_mixed", [True, False], ids=["three libraries", "one library"])
def test_chains_do_not_wait_for_themselves(mode: Mode, exchanging: Exchanging, is_mixed: bool) -> None:
    """Auth objects that are made of others, asked from all ends at once; they may share an event loop."""
    plugins: list[Any] = [oauth_auth.aiohttp, oauth_auth.httpx, oauth_auth.requests] if is_mixed else 3 * [mode.plugin]
    first = service(exchanging, plugins[0])
    second = plugins[1].TokenExchangeAuth(exchanging.url, "client", "secret", subject_token=first)
    third = plugins[2].TokenExchangeAuth(exchanging.url, "client", "secret", subject_token=second)
    last = exchange(mode, exchanging, third, actor_token=first)

    def ask_all() -> list[Any]:
        work = [first.get_token, second.get_token, third.get_token, lambda: mode.get_token(last)] * 3
        with ThreadPoolExecutor(12) as pool:
            return list(pool.map(lambda ask: ask(), work))

    tokens = promptly(ask_all)
    assert 4 == len({token.access_token for token in tokens})
    assert 4 == len(exchanging.forms)


def test_a_subject_may_take_as_long_as_its_user(plugin_mode: Mode, exchanging: Exchanging) -> None:
    """An auth object has its own time-outs: that of the exchange bounds what's its own."""
    released = threading.Event()

    def provide(_: OAuthToken | None) -> OAuthToken:
        assert released.wait(30)
        return OAuthToken(access_token=SUBJECT, expires_in=3600)

    subject = plugin_mode.plugin.TokenProviderAuth(provide, token_timeout=60)
    auth = exchange(plugin_mode, exchanging, subject, token_timeout=1.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(plugin_mode.get_token, auth)
        with pytest.raises(TimeoutError):
            waiting.result(1.5)
        released.set()
        assert "token-1" == waiting.result(30).access_token


@pytest.mark.parametrize("fails", ["raises", "hangs", "returns nothing", "has no token"])
def test_a_subject_that_can_not_be_had(plugin_mode: Mode, exchanging: Exchanging, fails: str) -> None:
    """That's told, without what was raised, which may hold a secret; nothing is sent."""
    released = threading.Event()

    def function() -> Any:
        if fails == "raises":
            raise LookupError(SUBJECT)
        return released.wait(30) and SUBJECT if fails == "hangs" else None

    def provide(_: OAuthToken | None) -> OAuthToken:
        raise ReauthorizationRequired("the user must log in")

    subject: Any = plugin_mode.plugin.TokenProviderAuth(provide) if fails == "has no token" else function
    kind = ReauthorizationRequired if fails == "has no token" else TokenError
    auth = exchange(plugin_mode, exchanging, subject, token_timeout=0.3)
    with pytest.raises(kind) as caught:
        plugin_mode.get_token(auth)
    released.set()
    assert SUBJECT not in str(caught.value)
    assert [] == exchanging.forms


def test_subjects_are_not_shown(plugin_mode: Mode, exchanging: Exchanging, caplog: pytest.LogCaptureFixture) -> None:
    """Neither by `repr`, nor in errors, nor in the log, even if the server repeats them."""
    caplog.set_level(logging.DEBUG)
    echo = {"error": "invalid_grant", "error_description": f"{SUBJECT} and {SUBJECT}-actor"}
    exchanging.faults = [Answer(400, echo)]
    auth = exchange(plugin_mode, exchanging, SUBJECT, actor_token=f"{SUBJECT}-actor")
    with pytest.raises(OAuthProviderException) as caught:
        plugin_mode.get_token(auth)
    told = f"{auth!r} {auth._grant!r} {caught.value} {caught.value!r} {caplog.text}"
    assert SUBJECT not in told


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"subject_token": None}, "subject_token must be text, the Path of a file, a function, or another auth object"),
        ({"subject_token": ""}, "subject_token must be text"),
        ({"subject_token": 5}, "subject_token must be text"),
        ({"subject_token": "a", "actor_token": 5}, "actor_token must be text"),
        ({"subject_token": "a", "subject_token_type": ""}, "subject_token_type must be text"),
        ({"subject_token": "a", "requested_token_type": 5}, "requested_token_type must be text"),
    ],
    ids=str,
)
def test_what_is_no_subject_is_refused(plugin_mode: Mode, options: dict[str, Any], text: str) -> None:
    """At construction, with a text that says what one is."""
    with pytest.raises(ConfigurationError, match=text):
        plugin_mode.plugin.TokenExchangeAuth("https://auth.example/token", "client", "secret", **options)


# -- JWT bearer (RFC 7523 section 2.1) --------------------------------------------------------------------------------


def test_each_attempt_has_an_assertion_of_its_own(
    mode: Mode, exchanging: Exchanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a 503 and a dropped connection, too; nothing of a client is sent where there's none."""
    monkeypatch.setattr(EndpointCalls, "pauses", ((0.0, 0.0), (0.0, 0.0)))
    exchanging.faults = [Answer(503), None]
    assertion = JwtAssertion(KEY, issuer="x@y.iam", claims={"scope": "read"})
    mode.get_token(mode.plugin.JwtBearerAuth(exchanging.url, assertion=assertion))
    made = [claims_of(form["assertion"]) for form in exchanging.forms]
    assert 3 == len({claims["jti"] for claims in made})
    assert {("x@y.iam", "x@y.iam", exchanging.url, "read")} == {
        (claims["iss"], claims["sub"], claims["aud"], claims["scope"]) for claims in made
    }
    assert {"grant_type", "assertion"} == {*exchanging.forms[-1]}
    assert {""} == {request.authorization or "" for request in exchanging.server.requests}


def test_a_refused_assertion_asks_nobody_to_log_in(mode: Mode, exchanging: Exchanging) -> None:
    """A refusal is the server's error."""
    exchanging.faults = [Answer(400, {"error": "invalid_grant"})]
    auth = mode.plugin.JwtBearerAuth(exchanging.url, assertion=JwtAssertion(KEY, issuer="x@y.iam"))
    with pytest.raises(OAuthProviderException, match="invalid_grant") as caught:
        mode.get_token(auth)
    assert not isinstance(caught.value, ReauthorizationRequired)


def test_where_an_assertion_comes_from(plugin_mode: Mode, exchanging: Exchanging, tmp_path: Path) -> None:
    """Others' assertions: a file and a function are asked for each attempt."""
    file, calls = tmp_path / "assertion", iter("12")
    file.write_text("in-a-file\n")
    for source in (file, lambda: f"made-{next(calls)}", "a-text"):
        auth = plugin_mode.plugin.JwtBearerAuth(exchanging.url, "client", "secret", assertion=source)
        plugin_mode.get_token(auth)
        plugin_mode.refresh(auth)
    sent = [form["assertion"] for form in exchanging.forms]
    assert ["in-a-file", "in-a-file", "made-1", "made-2", "a-text", "a-text"] == sent
    assert all(request.authorization for request in exchanging.server.requests)


@pytest.mark.parametrize(
    ("args", "options", "text"),
    [
        ((), {"assertion": None}, "assertion must be a JwtAssertion"),
        ((), {"assertion": JwtAssertion}, "assertion must be text"),
        ((None, "secret"), {"assertion": "a"}, "needs a client_id"),
        (("",), {"assertion": "a"}, "client_id must be"),
    ],
    ids=str,
)
def test_what_is_no_assertion_is_refused(plugin_mode: Mode, args: Any, options: dict[str, Any], text: str) -> None:
    """At construction, with a text that says what one is; an auth object's token is exchanged instead."""
    with pytest.raises(ConfigurationError, match=text):
        plugin_mode.plugin.JwtBearerAuth("https://auth.example/token", *args, **options)
    other = plugin_mode.plugin.BearerAuth("a")
    with pytest.raises(ConfigurationError, match="TokenExchangeAuth"):
        plugin_mode.plugin.JwtBearerAuth("https://auth.example/token", assertion=other)


# -- Copies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [copy.copy, copy.deepcopy, pickled], ids=["copy", "deepcopy", "pickle"])
def test_copies_exchange_as_well(mode: Mode, exchanging: Exchanging, double: Callable[[Any], Any]) -> None:
    """A copy here has the same subject; one in another process brings its own along."""
    subject = service(exchanging, oauth_auth.httpx)
    auth = double(exchange(mode, exchanging, subject))
    with mode.client(auth) as client:
        assert 200 == client.get(exchanging.api.url).status_code
        auth.refresh()
    assert ["token-1", "token-1"] == [form["subject_token"] for form in exchanging.exchanges]
    assert (subject.token is None) == (double is pickled)


@forks
def test_a_child_exchanges_for_itself(plugin_mode: Mode, exchanging: Exchanging) -> None:
    """After a fork nobody waits for what the parent's threads were doing."""
    auth = exchange(plugin_mode, exchanging, service(exchanging, oauth_auth.aiohttp))
    first = auth.get_token()
    assert first == in_child(auth.get_token)
    renewed = in_child(auth.refresh)
    assert renewed.access_token not in {first.access_token, auth.refresh().access_token}


@pytest.mark.having("backend")
def test_event_loops_go_on_while_a_subject_takes_long(mode: Mode, exchanging: Exchanging) -> None:
    """Neither that of the caller nor the one that renewals share waits for another auth object."""
    asked, released = threading.Event(), threading.Event()

    def provide(_: OAuthToken | None) -> OAuthToken:
        asked.set()
        assert released.wait(20)
        return OAuthToken(access_token=SUBJECT, expires_in=3600)

    subject = oauth_auth.requests.TokenProviderAuth(provide)
    with mode.client(exchange(mode, exchanging, subject)) as client:
        waiting = client.begin("GET", exchanging.api.url)
        assert asked.wait(20)
        client.run(anyio.sleep, 0)
        assert promptly(mode.get_token, service(exchanging, mode.plugin)).access_token
        released.set()
        assert 200 == waiting.result(20).status_code
