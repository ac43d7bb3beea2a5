"""Guarantee 10 of `ResourceAuth`: whatever an API answers, it causes no more than a few requests and logins."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import OAuthError
from tests.support.clock import MonotonicClock
from tests.support.modes import Mode
from tests.support.resources import RESOURCE_PLACE, Resource
from tests.support.scripted import Answer, Received, ScriptedServer

pytestmark = pytest.mark.shared_core

BODY = b"the same bytes" * 1000


@pytest.fixture
def resource(serve: Callable[..., ScriptedServer]) -> Resource:
    return Resource(serve)


def endless(resource: Resource, status: int, challenge: Callable[[], str]) -> None:
    """Have the resource answer each request that has a token with this status and another challenge."""

    def answer(request: Received) -> Answer | None:
        return None if request.authorization is None else Answer(status, b"no", (("WWW-Authenticate", challenge()),))

    resource.answers["/api"] = answer


# -- Answers that don't end -------------------------------------------------------------------------------------------


def test_a_401_that_does_not_end(mode: Mode, resource: Resource) -> None:
    """A login, and the answer to its token is the caller's; the next request causes none."""
    resource.takes_tokens = False
    with mode.client(resource.auth(mode)) as client:
        answer = client.send("POST", resource.url, body=BODY)
        assert (401, b"refused") == (answer.status_code, answer.content)
        assert [BODY, BODY] == [request.body for request in resource.requests]
        assert 1 == len(resource.authority.visited)
        for _ in range(5):
            assert 401 == client.get(resource.url).status_code
    assert 1 == len(resource.authority.visited)
    assert 0 == len(resource.authority.token_calls("refresh_token"))


def test_a_401_that_ends(mode: Mode, resource: Resource, monotonic: MonotonicClock) -> None:
    """After a pause the token is renewed where it's from; and once one is accepted, all is as before."""
    resource.takes_tokens = False
    auth = resource.auth(mode)
    with mode.client(auth) as client:
        assert 401 == client.get(resource.url).status_code
        resource.takes_tokens = True
        assert 200 == client.get(resource.url).status_code  # the very token
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    assert 1 == len(resource.authority.visited)
    assert 1 == len(resource.authority.token_calls("refresh_token"))


def test_a_401_that_ends_for_another_token_only(mode: Mode, resource: Resource, monotonic: MonotonicClock) -> None:
    """The first token is never accepted: after the pause it's refreshed, and nobody logs in again."""
    resource.takes_tokens = False
    with mode.client(resource.auth(mode)) as client:
        assert 401 == client.get(resource.url).status_code
        resource.takes_tokens = True
        resource.revoke()
        assert 401 == client.get(resource.url).status_code
        assert [] == resource.authority.token_calls("refresh_token")
        monotonic.ahead += 61
        assert 200 == client.get(resource.url).status_code
    assert 1 == len(resource.authority.visited)
    assert 1 == len(resource.authority.token_calls("refresh_token"))


def test_a_403_that_does_not_end(mode: Mode, resource: Resource) -> None:
    """Three times it's sent, with two logins; then the answer is the caller's, and no login is repeated."""
    endless(resource, 403, lambda: 'Bearer error="insufficient_scope", scope="write"')
    with mode.client(resource.auth(mode)) as client:
        answer = client.send("POST", resource.url, body=BODY)
        assert (403, b"no") == (answer.status_code, answer.content)
        assert [BODY, BODY, BODY] == [request.body for request in resource.requests]
        assert 2 == len(resource.authority.visited)
        for _ in range(5):
            assert 403 == client.get(resource.url).status_code
    assert 2 == len(resource.authority.visited)
    assert 8 == len(resource.requests)


@pytest.mark.parametrize("status", [401, 403])
def test_challenges_that_grow(mode: Mode, resource: Resource, status: int) -> None:
    """Each answer wants one scope more: a request causes two logins at most, and a few requests few in all."""
    count = itertools.count()
    endless(resource, status, lambda: f'Bearer error="insufficient_scope", scope="scope-{next(count)}"')
    with mode.client(resource.auth(mode)) as client:
        for number in range(1, 11):
            before = len(resource.authority.visited), len(resource.requests)
            answer = client.get(resource.url)
            assert (status, b"no") == (answer.status_code, answer.content)
            after = len(resource.authority.visited), len(resource.requests)
            assert after[0] - before[0] <= (2 if number == 1 else 1)
            assert after[1] - before[1] <= 3
    assert len(resource.authority.visited) <= 4


def test_challenges_that_alternate(mode: Mode, resource: Resource) -> None:
    """More scope, then another login, then another token: three times, two logins."""
    wanted = itertools.cycle(
        [
            'error="insufficient_scope", scope="a"',
            'error="insufficient_user_authentication", acr_values="gold"',
            'error="invalid_token"',
        ]
    )
    endless(resource, 401, lambda: f"Bearer {next(wanted)}")
    with mode.client(resource.auth(mode)) as client:
        for _ in range(9):
            before = len(resource.authority.visited), len(resource.requests)
            assert 401 == client.get(resource.url).status_code
            assert len(resource.authority.visited) - before[0] <= 2
            assert len(resource.requests) - before[1] <= 3
    assert len(resource.authority.visited) <= 4


def test_many_callers_and_no_end(mode: Mode, resource: Resource) -> None:
    """What's bounded for one is for all: ten at once cause as many logins as one does."""
    endless(resource, 403, lambda: 'Bearer error="insufficient_scope", scope="write"')
    with mode.client(resource.auth(mode)) as client:
        for _ in range(3):
            assert 10 * [403] == [answer.status_code for answer in client.get_many(resource.url, 10)]
    assert 2 == len(resource.authority.visited)


def test_a_stale_token_and_more_scope(mode: Mode, resource: Resource) -> None:
    """A rejection, a refresh, and a login for more: three times is enough for that, and all that there is."""
    resource.needs = {"/api/write": "write"}
    auth = resource.auth(mode)
    mode.get_token(auth)
    resource.revoke()
    resource.server.requests.clear()
    with mode.client(auth) as client:
        answer = client.send("POST", f"{resource.url}/write", body=BODY)
    assert (200, BODY) == (answer.status_code, answer.content)
    assert 3 == len(resource.requests)
    assert (2, 1) == (len(resource.authority.visited), len(resource.authority.token_calls("refresh_token")))


def test_a_request_is_sent_three_times_at_most(mode: Mode, resource: Resource) -> None:
    """Without a token, with one that's revoked meanwhile, and with a third: no more."""
    seen: list[str] = []

    def reject(request: Received) -> Answer | None:
        if request.authorization is not None and len(seen) < 5:
            seen.append(request.authorization)
            resource.revoke()
        return None

    resource.answers["/api"] = reject
    with mode.client(resource.auth(mode)) as client:
        assert 401 == client.get(resource.url).status_code
    assert len(resource.requests) <= 3
    assert len(resource.authority.visited) <= 2


def test_a_late_answer_counts_as_one_of_three(mode: Mode, resource: Resource, held: threading.Event) -> None:
    """Without a token, with one that has come meanwhile, with that of a login for more: then the answer is final."""
    arrived, challenges = threading.Event(), iter(['"insufficient_scope", scope="a"', '"invalid_token"'])

    def answer(request: Received) -> Answer | None:
        if request.authorization is not None:
            return Answer(401, b"no", (("WWW-Authenticate", f"Bearer error={next(challenges)}"),))
        arrived.set()
        assert held.wait(20)
        return None

    resource.answers["/api/late"] = answer
    auth = resource.auth(mode)
    with mode.client(auth) as client:
        late = client.begin("GET", f"{resource.url}/late")
        assert arrived.wait(20)
        assert 200 == client.get(resource.url).status_code
        held.set()
        result = late.result(20)
    assert (401, b"no") == (result.status_code, result.content)
    assert 3 == len([request for request in resource.requests if request.path == "/api/late"])
    assert 2 == len(resource.authority.visited)


def test_logins_of_others_dont_count(mode: Mode, resource: Resource, held: threading.Event) -> None:
    """A request that comes while a user logs in waits for that login, and causes none."""
    begun = threading.Event()

    def login(begin: Any) -> str:
        begun.set()
        assert held.wait(20)
        return resource.log_in(begin)

    with mode.client(resource.auth(mode, login=login)) as client:
        first = client.begin("GET", resource.url)
        assert begun.wait(20)
        others = [client.begin("GET", f"{resource.url}/{number}") for number in range(3)]
        held.set()
        assert 4 * [200] == [answer.result(20).status_code for answer in (first, *others)]
    assert 1 == len(resource.authority.visited)


# -- Where nothing helps ----------------------------------------------------------------------------------------------


def test_a_resource_that_cannot_be_used_is_not_asked_with_each_request(
    mode: Mode, resource: Resource, monotonic: MonotonicClock
) -> None:
    """The error is told to the next callers, too, for a while; then it's found out anew."""
    resource.authority.documents = {}
    with mode.client(resource.auth(mode)) as client:
        for _ in range(5):
            with pytest.raises(OAuthError, match="no authorization server can be used"):
                client.get(resource.url)
        assert 1 == resource.looked.count(f"{RESOURCE_PLACE}/api")
        monotonic.ahead += 61
        with pytest.raises(OAuthError, match="no authorization server can be used"):
            client.get(resource.url)
    assert 2 == resource.looked.count(f"{RESOURCE_PLACE}/api")


def test_a_user_who_refuses_is_not_asked_with_each_request(
    mode: Mode, resource: Resource, monotonic: MonotonicClock
) -> None:
    """After a pause they are; no program that polls opens one window after another."""
    asked: list[Any] = []

    def login(begin: Any) -> str:
        asked.append(begin)
        raise RuntimeError("the window was closed")

    with mode.client(resource.auth(mode, login=login)) as client:
        for _ in range(3):
            with pytest.raises(OAuthError, match="the login raised RuntimeError"):
                client.get(resource.url)
        assert 1 == len(asked)
        monotonic.ahead += 61
        with pytest.raises(OAuthError, match="the login raised RuntimeError"):
            client.get(resource.url)
    assert 2 == len(asked)
