"""Guarantees 1 and 2 of `ResourceAuth`: the URL is enough, and nothing is asked for that isn't demanded."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthToken, ReauthorizationRequired, TokenError
from tests.support.clock import MonotonicClock
from tests.support.connections import limits, one_connection
from tests.support.modes import Mode
from tests.support.resources import RESOURCE_PLACE, SERVER_PLACE, Resource
from tests.support.scripted import Answer, Pieces, Received, ScriptedServer
from tests.support.waiting import await_silence, await_waiting, promptly

pytestmark = pytest.mark.shared_core

BODY = b"the same bytes" * 1000


ENDLESS = Answer(200, Pieces((b": \n\n", 60.0)), (("Content-Type", "text/event-stream"), ("Content-Length", "1000000")))
"""A stream of events that goes on after the test's end."""


class CountingStore(MemoryTokenStore):
    """It counts what's done with it."""

    def __init__(self) -> None:
        super().__init__()
        self.loads = self.saves = self.locks = 0

    def load(self, key: str) -> OAuthToken | None:
        self.loads += 1
        return super().load(key)

    def lock(self, key: str, **options: Any) -> Any:
        self.locks += 1
        return super().lock(key, **options)

    def save(self, key: str, token: OAuthToken) -> None:
        self.saves += 1
        super().save(key, token)


@pytest.fixture
def resource(serve: Callable[..., ScriptedServer]) -> Resource:
    return Resource(serve)


# -- The URL is enough ------------------------------------------------------------------------------------------------


@pytest.mark.each_mode
def test_the_url_is_enough(mode: Mode, resource: Resource) -> None:
    """The challenge leads to metadata, server, client and login; the caller sees the last answer alone."""
    with mode.client(resource.auth(mode)) as client:
        answer = client.send("POST", resource.url, body=BODY, headers={"X-Own": "kept"})
    assert (200, BODY) == (answer.status_code, answer.content)
    first, second = resource.requests
    assert (None, "Bearer token-3") == (first.authorization, second.authorization)
    assert BODY == first.body == second.body
    assert "kept" == first.headers["x-own"] == second.headers["x-own"]
    assert [f"{RESOURCE_PLACE}/api"] == resource.looked
    assert [SERVER_PLACE] == resource.authority.looked
    assert ["client-1"] == [asked["client_id"] for asked in resource.authority.asked]
    assert ["/register", "/token"] == [
        call.path for call in resource.authority.server.requests if "/.well-known/" not in call.path
    ]


def test_requests_at_once(mode: Mode, resource: Resource) -> None:
    """Fifty on a cold object: one login, one registration, and four calls to resource and server."""

    def login(begin: Any) -> str:
        await_waiting(auth, 50)
        return resource.log_in(begin)

    auth = resource.auth(mode, login=login)
    with mode.client(auth) as client:
        answers = client.get_many(resource.url, 50)
    assert 50 * [200] == [answer.status_code for answer in answers]
    assert 100 == len(resource.requests)
    assert 1 == len(resource.authority.visited)
    assert 1 == len(resource.authority.registered)
    assert 4 == len(resource.looked) + len(resource.authority.server.requests)


def test_a_token_that_is_there_is_sent_at_once(mode: Mode, resource: Resource) -> None:
    """No request goes without it any more, nor is anything asked."""
    with mode.client(resource.auth(mode)) as client:
        for path in ("", "", "/below", "/below/x?y=z"):
            assert 200 == client.get(f"{resource.url}{path}").status_code
    assert [None, *4 * ["token-3"]] == resource.tokens
    assert 4 == len(resource.looked) + len(resource.authority.server.requests)


def test_a_token_in_the_store_is_sent_at_once(mode: Mode, resource: Resource) -> None:
    """The next program on the store needs no challenge, discovery, registration or login."""
    store = MemoryTokenStore()
    with mode.client(resource.auth(mode, store=store)) as client:
        assert 200 == client.get(resource.url).status_code
    calls = len(resource.looked) + len(resource.authority.server.requests)
    with mode.client(resource.auth(mode, store=store)) as client:
        assert 200 == client.get(resource.url).status_code
    assert [None, "token-3", "token-3"] == resource.tokens
    assert calls == len(resource.looked) + len(resource.authority.server.requests)


@pytest.mark.each_mode
def test_the_first_answer_holds_no_connection(mode: Mode, resource: Resource, held: threading.Event) -> None:
    """A user takes minutes: one connection to the API is enough for others meanwhile."""
    waiting = threading.Event()
    resource.open_paths.add("/api/open")

    def login(begin: Any) -> str:
        waiting.set()
        assert held.wait(20)
        return resource.log_in(begin)

    with mode.client(resource.auth(mode, login=login), **limits(mode)) as client:
        one_connection(client, resource.origin)
        demanded = client.begin("GET", resource.url)
        assert waiting.wait(20)
        assert 200 == client.get(f"{resource.url}/open").status_code
        held.set()
        assert 200 == demanded.result(20).status_code


def test_a_login_that_fails_is_told_to_all(mode: Mode, resource: Resource) -> None:
    """Each caller who waits for it has the error, which names the request and its answer."""
    together = threading.Barrier(4)

    def login(begin: Any) -> str:
        begin("https://app.example/callback")
        await_waiting(auth, 4)
        raise RuntimeError("the window was closed")

    def wait(request: Received) -> None:
        together.wait(20)

    auth = resource.auth(mode, login=login)
    resource.answers["/api"] = wait
    with mode.client(auth) as client:
        errors = client.get_many(resource.url, 4)
    assert {ReauthorizationRequired} == {type(error) for error in errors}
    for error in errors:
        assert f"GET {resource.url} was answered with 401" in str(error)
    assert [None] * 4 == resource.tokens


def test_an_answer_of_any_status_can_demand(mode: Mode, resource: Resource) -> None:
    """A status of `rejection_statuses` demands a token with any challenge, or none."""
    resource.answers["/api"] = lambda request: Answer(418) if request.authorization is None else None
    with mode.client(resource.auth(mode, rejection_statuses=(418,))) as client:
        assert 200 == client.get(resource.url).status_code


@pytest.mark.each_mode
@pytest.mark.parametrize(
    "challenges",
    [
        (),
        ("Basic realm=x",),
        ("Digest realm=x, nonce=y",),
        ("Bearer",),
        ('Bearer error="invalid_token"',),
        ("\x80,,=",),
    ],
)
def test_a_401_demands_a_token(plugin_mode: Mode, resource: Resource, challenges: tuple[str, ...]) -> None:
    """Whatever else it says, a token may help; the resource's metadata is at its well-known place."""
    resource.challenges = challenges
    with plugin_mode.client(resource.auth(plugin_mode)) as client:
        assert 200 == client.get(resource.url).status_code
    assert [f"{RESOURCE_PLACE}/api"] == resource.looked


@pytest.mark.each_mode
def test_an_endless_401(mode: Mode, resource: Resource) -> None:
    """Its body isn't waited for: the login begins at once, and the request is sent again."""
    resource.answers["/api"] = lambda request: (
        dataclasses.replace(ENDLESS, status=401) if request.authorization is None else None
    )
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.begin("GET", resource.url).result(10).status_code


@pytest.mark.each_mode
def test_a_demand_after_a_redirect(mode: Mode, resource: Resource) -> None:
    """Within the resource it's met as any other; the request goes on from there."""
    redirect = Answer(307, b"", (("Location", "/api/below"),))
    resource.answers["/api"] = lambda _: redirect
    with mode.client(resource.auth(mode)) as client:
        answer = client.send("POST", resource.url, body=BODY)
        assert (200, BODY) == (answer.status_code, answer.content)
        answer = client.send("POST", resource.url, body=BODY)
        assert (200, BODY) == (answer.status_code, answer.content)
    assert 1 == len(resource.authority.visited)


@pytest.mark.each_mode
def test_cookies_of_the_first_answer(mode: Mode, resource: Resource) -> None:
    """They are sent with the request when it's sent again, as they would be with the next one."""
    cookie = (("WWW-Authenticate", "Bearer"), ("Set-Cookie", "session=begun; Path=/"))
    resource.answers["/api"] = lambda request: Answer(401, b"", cookie) if request.authorization is None else None
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
    assert "session=begun" == resource.requests[-1].headers["cookie"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_other_answers_are_the_callers(plugin_mode: Mode, resource: Resource, status: int) -> None:
    """What isn't about a token leads to nothing: `invalid_request`, and statuses that aren't 401."""
    challenge = 'Bearer error="invalid_request"' if status in {400, 401} else "Bearer"
    resource.answers["/api"] = lambda _: Answer(status, b"no", (("WWW-Authenticate", challenge),))
    with plugin_mode.client(resource.auth(plugin_mode)) as client:
        answer = client.get(resource.url)
    assert (status, b"no") == (answer.status_code, answer.content)
    assert [None] == resource.tokens
    assert [] == resource.looked


# -- Nothing that isn't demanded --------------------------------------------------------------------------------------


def test_an_open_api(mode: Mode, resource: Resource) -> None:
    """It gets no token; nothing is looked for, and nobody logs in."""
    resource.open_paths.add("/api")
    with mode.client(resource.auth(mode)) as client:
        for _ in range(3):
            assert 200 == client.get(resource.url).status_code
        answers = client.get_many(resource.url, 10)
    assert 10 * [200] == [answer.status_code for answer in answers]
    assert [None] * 13 == resource.tokens
    assert [] == resource.looked == resource.authority.visited
    assert [] == resource.authority.server.requests


def test_an_open_api_costs_one_look_into_the_store(mode: Mode, resource: Resource, monotonic: MonotonicClock) -> None:
    """Not a look for each request, but one after a pause: another program may have put a token there meanwhile."""
    resource.open_paths.add("/api")
    store = CountingStore()
    with mode.client(resource.auth(mode, store=store)) as client:
        assert 10 * [200] == [answer.status_code for answer in client.get_many(resource.url, 10)]
        for _ in range(10):
            assert 200 == client.get(resource.url).status_code
        await_silence()
        first = store.loads
        monotonic.ahead += 2
        for _ in range(10):
            assert 200 == client.get(resource.url).status_code
        await_silence()
    assert (1, 2) == (first, store.loads)
    assert (0, 0) == (store.locks, store.saves)
    assert {None} == {*resource.tokens}


def test_a_siblings_token_is_found_by_and_by(mode: Mode, resource: Resource, monotonic: MonotonicClock) -> None:
    """A program that needs none uses the one that's in the store later, without having been asked for any."""
    resource.open_paths.add("/api/open")
    store = MemoryTokenStore()
    with mode.client(resource.auth(mode, store=store)) as client:
        assert 200 == client.get(f"{resource.url}/open").status_code
        token = resource.auth(mode, store=store).get_token()
        monotonic.ahead += 2
        assert 200 == client.get(f"{resource.url}/open").status_code
        await_silence()
        assert 200 == client.get(f"{resource.url}/open").status_code
    assert token.access_token == resource.tokens[-1]
    assert 1 == len(resource.authority.visited)


def test_a_mixed_api(mode: Mode, resource: Resource) -> None:
    """The open part goes without a token until the other part has demanded one; from then on all goes with it."""
    resource.open_paths.add("/api/open")
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(f"{resource.url}/open").status_code
        assert [] == resource.authority.visited
        assert 200 == client.get(f"{resource.url}/closed").status_code
        assert 200 == client.get(f"{resource.url}/open").status_code
    assert [None, None, "token-3", "token-3"] == resource.tokens
    assert 1 == len(resource.authority.visited)


# -- Requests that can't be sent again --------------------------------------------------------------------------------


def test_an_open_path_while_the_server_is_in_trouble(mode: Mode, resource: Resource, quick: None) -> None:
    """A token that has expired, and can't be renewed, fails no request that needs none; others are told why."""
    resource.open_paths.add("/api/open")
    resource.authority.fields["expires_in"] = 0
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
        resource.authority.faults["/token"] = [Answer(503)] * 9
        assert [200, 200] == [client.get(f"{resource.url}/open").status_code for _ in range(2)]
        with pytest.raises(TokenError):
            client.get(resource.url)


def pieces() -> Iterator[bytes]:
    yield BODY


async def async_pieces() -> AsyncIterator[bytes]:
    yield BODY


def spent_once(mode: Mode) -> Any:
    return pieces() if mode.backend is None else async_pieces()


@pytest.mark.each_mode
def test_a_body_that_can_be_sent_once(mode: Mode, resource: Resource) -> None:
    """The resource is asked first, by a request of ours; then the body goes out once, with a token."""
    with mode.client(resource.auth(mode)) as client:
        client.set_cookie("session", "secret")
        body = spent_once(mode)
        answer = client.send("POST", f"{resource.url}/below", body=body, headers={"X-Own": "secret"})
        assert (200, BODY) == (answer.status_code, answer.content)
    question, request = resource.requests
    assert ("GET", "/api", b"", None) == (question.method, question.path, question.body, question.authorization)
    assert "application/json, text/event-stream" == question.headers["accept"]
    assert not {"cookie", "x-own"} & question.headers.keys()
    assert ("POST", BODY, "Bearer token-3") == (request.method, request.body, request.authorization)


def test_an_open_api_is_asked_first_too(mode: Mode, resource: Resource) -> None:
    """If it demands nothing, the body goes out as it is; nobody logs in."""
    resource.open_paths.add("/api")
    with mode.client(resource.auth(mode)) as client:
        answer = client.send("POST", resource.url, body=spent_once(mode))
        assert (200, BODY) == (answer.status_code, answer.content)
    assert ["GET", "POST"] == [request.method for request in resource.requests]
    assert [] == resource.looked == resource.authority.visited


@pytest.mark.each_mode
def test_a_question_with_an_endless_answer(mode: Mode, resource: Resource) -> None:
    """Its body isn't read: a stream of events that never ends delays nothing."""
    resource.answers["/api"] = lambda request: ENDLESS if request.method == "GET" else None
    resource.open_paths.add("/api")
    with mode.client(resource.auth(mode)) as client:
        answer = client.begin("POST", resource.url, body=spent_once(mode)).result(10)
        assert (200, BODY) == (answer.status_code, answer.content)


def test_a_demand_after_the_question(mode: Mode, resource: Resource) -> None:
    """What the resource itself doesn't demand, a path below it may: that answer is the caller's, and all is told."""
    resource.open_paths.add("/api")
    with mode.client(resource.auth(mode)) as client:
        answer = client.send("POST", f"{resource.url}/closed", body=spent_once(mode))
        assert (401, b"refused") == (answer.status_code, answer.content)
        assert 200 == client.send("POST", f"{resource.url}/closed", body=spent_once(mode)).status_code
    assert 1 == len(resource.authority.visited)
    assert ["GET", "POST", "POST"] == [request.method for request in resource.requests]


def test_a_question_while_the_store_is_looked_into(mode: Mode, resource: Resource, held: threading.Event) -> None:
    """That there's no token in the store isn't what such a request waits for: the resource is asked all the same."""
    looking = threading.Event()

    class SlowStore(MemoryTokenStore):
        def load(self, key: str) -> OAuthToken | None:
            looking.set()
            assert held.wait(20)
            return super().load(key)

    resource.open_paths.add("/api/open")
    auth = resource.auth(mode, store=SlowStore())
    with mode.client(auth) as client:
        first = client.begin("GET", f"{resource.url}/open")
        assert looking.wait(20)
        others = [client.begin("POST", resource.url, body=spent_once(mode)) for _ in range(3)]
        await_waiting(auth, 4)
        held.set()
        assert 4 * [200] == [answer.result(20).status_code for answer in (first, *others)]
    assert 2 == len([request for request in resource.requests if request.method == "GET"])


def test_one_question_for_all(mode: Mode, resource: Resource, held: threading.Event) -> None:
    """What the resource has said serves all who were waiting for it."""
    asked = threading.Event()

    def hold(request: Received) -> None:
        if request.method == "GET":
            asked.set()
            assert held.wait(20)

    resource.answers["/api"] = hold
    resource.open_paths.add("/api")
    auth = resource.auth(mode)
    with mode.client(auth) as client:
        answers = [client.begin("POST", resource.url, body=spent_once(mode)) for _ in range(5)]
        assert asked.wait(20)
        await_waiting(auth, 5)
        held.set()
        assert 5 * [200] == [answer.result(20).status_code for answer in answers]
    assert 6 == len(resource.requests)


def test_a_question_that_fails(mode: Mode, resource: Resource, quick: None) -> None:
    """Nothing is known then, so that the caller gets an error, and the body isn't spent."""
    resource.answers["/api"] = lambda _: Answer(503)
    body = spent_once(mode)
    with mode.client(resource.auth(mode)) as client, pytest.raises(TokenError, match="503"):
        client.send("POST", f"{resource.url}/below", body=body)
    assert {"/api"} == {request.path for request in resource.requests}


# -- Tokens without a request -----------------------------------------------------------------------------------------


def test_get_token(mode: Mode, resource: Resource) -> None:
    """The resource is asked once, without a token; and not at all once there is one."""
    auth = resource.auth(mode)
    assert "token-3" == mode.get_token(auth).access_token == mode.get_token(auth).access_token
    [question] = resource.requests
    assert ("GET", "/api", None) == (question.method, question.path, question.authorization)
    assert "application/json, text/event-stream" == question.headers["accept"]


@pytest.mark.parametrize("status", [200, 302, 400, 404, 405])
def test_get_token_where_none_is_demanded(mode: Mode, resource: Resource, status: int) -> None:
    """Whoever asks for one gets one: the well-known places tell what the resource's answer doesn't."""
    resource.answers["/api"] = lambda _: Answer(status, b"", (("Location", f"{resource.origin}/elsewhere"),))
    assert "token-3" == mode.get_token(resource.auth(mode)).access_token


@pytest.mark.each_mode
def test_get_token_reads_no_body(mode: Mode, resource: Resource) -> None:
    """A stream of events that never ends delays nothing here, either."""
    resource.answers["/api"] = lambda _: ENDLESS
    assert "token-3" == promptly(mode.get_token, resource.auth(mode)).access_token
