"""Guarantee 9 of `ResourceAuth`: which scope is asked for, and that a token which suffices isn't given up for less."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore
from tests.support.clock import MonotonicClock
from tests.support.modes import Mode
from tests.support.resources import Resource
from tests.support.scripted import Received, ScriptedServer

pytestmark = pytest.mark.shared_core
ONE_PER_PLUGIN = True

BODY = b"the same bytes" * 1000


@pytest.fixture
def resource(serve: Callable[..., ScriptedServer]) -> Resource:
    return Resource(serve)


def scopes_asked(resource: Resource) -> list[set[str]]:
    """Return the scope of each login."""
    return [set(asked.get("scope", "").split()) for asked in resource.authority.asked]


def challenge_with(resource: Resource, scope: str) -> None:
    """Have the resource's first challenge name a scope."""
    resource.challenges = (f'{resource.challenges[0]}, scope="{scope}"',)


# -- The first login --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "named", "supported", "expected"),
    [
        (None, None, None, None),
        (None, None, ["a", "b"], "a b"),
        (None, "c", ["a", "b"], "c"),
        ("d", None, ["a", "b"], "d"),
        ("d", "c d", ["a", "b"], "d c"),
        (None, "c", None, "c"),
        (None, None, ["a", "no name", 7, "", 'b"', "b"], "a b"),
        (None, None, "a b", None),
    ],
)
def test_the_first_login(
    plugin_mode: Mode,
    resource: Resource,
    given: str | None,
    named: str | None,
    supported: Any,
    expected: str | None,
) -> None:
    """What the user gives and the challenge names; without both, what the metadata lists; without that, none."""
    if named is not None:
        challenge_with(resource, named)
    resource.metadata["scopes_supported"] = supported
    with plugin_mode.client(resource.auth(plugin_mode, scope=given)) as client:
        assert 200 == client.get(resource.url).status_code
    [asked] = resource.authority.asked
    assert expected == asked.get("scope")


def test_a_scope_that_breaks_its_syntax(plugin_mode: Mode, resource: Resource) -> None:
    """It counts as absent."""
    challenge_with(resource, "a  b")
    resource.metadata["scopes_supported"] = ["c"]
    with plugin_mode.client(resource.auth(plugin_mode)) as client:
        assert 200 == client.get(resource.url).status_code
    assert [{"c"}] == scopes_asked(resource)


@pytest.mark.parametrize(
    ("options", "supported", "listed", "expected"),
    [
        ({}, ["a"], ["offline_access"], ("a offline_access", "consent")),
        ({}, ["a", "offline_access"], ["offline_access"], ("a offline_access", "consent")),
        ({}, ["a"], ["openid"], ("a", None)),
        ({}, ["a"], None, ("a", None)),
        ({}, [], ["offline_access"], (None, None)),
        ({"scope": "b"}, ["a"], ["offline_access"], ("b", None)),
        ({"authorization_parameters": {"prompt": "login"}}, ["a"], ["offline_access"], ("a offline_access", "login")),
        ({"authorization_parameters": {"prompt": None}}, ["a"], ["offline_access"], ("a offline_access", None)),
    ],
)
def test_offline_access(
    plugin_mode: Mode,
    resource: Resource,
    options: dict[str, Any],
    supported: list[str],
    listed: list[str] | None,
    expected: tuple[str | None, str | None],
) -> None:
    """It's added with `prompt=consent` if no scope is given, something is asked for, and the server lists it."""
    resource.metadata["scopes_supported"] = supported
    resource.authority.metadata["scopes_supported"] = listed
    with plugin_mode.client(resource.auth(plugin_mode, **options)) as client:
        assert 200 == client.get(resource.url).status_code
    [asked] = resource.authority.asked
    assert expected == (asked.get("scope"), asked.get("prompt"))


def test_a_service_asks_for_no_offline_access(plugin_mode: Mode, resource: Resource) -> None:
    """It's for people who log in."""
    resource.metadata["scopes_supported"] = ["a"]
    resource.authority.metadata["scopes_supported"] = ["offline_access"]
    service = {"login": None, "client_id": "client", "client_secret": "s3cret", "issuer": resource.authority.issuer}
    with plugin_mode.client(resource.auth(plugin_mode, **service)) as client:
        assert 200 == client.get(resource.url).status_code
    [form] = resource.authority.token_calls("client_credentials")
    assert ["a"] == form["scope"]


# -- More scope -------------------------------------------------------------------------------------------------------


def test_more_scope(mode: Mode, resource: Resource) -> None:
    """It's asked for together with all so far, by a new authorization and not by a refresh."""
    challenge_with(resource, "read")
    resource.needs = {"/api/write": "write", "/api/admin": "read admin"}
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
        answer = client.send("POST", f"{resource.url}/write", body=BODY)
        assert (200, BODY) == (answer.status_code, answer.content)
        assert 200 == client.get(f"{resource.url}/admin").status_code
        assert 200 == client.get(f"{resource.url}/write").status_code
    assert [{"read"}, {"read", "write"}, {"read", "write", "admin"}] == scopes_asked(resource)
    assert [] == resource.authority.token_calls("refresh_token")
    assert 3 == len(resource.authority.token_calls("authorization_code"))


def test_more_scope_at_once(mode: Mode, resource: Resource) -> None:
    """One login serves all who demand the same, and none of them a login of their own."""
    resource.needs = {"/api/write": "write"}
    together, auth = threading.Barrier(8), resource.auth(mode)
    first = f"Bearer {mode.get_token(auth).access_token}"

    def wait(request: Received) -> None:
        if request.authorization == first:
            together.wait(20)

    resource.answers["/api/write"] = wait
    with mode.client(auth) as client:
        answers = client.get_many(f"{resource.url}/write", 8)
    assert 8 * [200] == [answer.status_code for answer in answers]
    assert 2 == len(resource.authority.visited)


def test_different_scopes_at_once(mode: Mode, resource: Resource) -> None:
    """Each set is asked for, one after the other, and the second login keeps the scope of the first."""
    resource.needs = {"/api/a": "a", "/api/b": "b"}
    together, auth = threading.Barrier(2), resource.auth(mode)
    first = f"Bearer {mode.get_token(auth).access_token}"

    def wait(request: Received) -> None:
        if request.authorization == first:
            together.wait(20)

    resource.answers = {"/api/a": wait, "/api/b": wait}
    with mode.client(auth) as client:
        answers = [client.begin("GET", f"{resource.url}/{name}") for name in "ab"]
        assert [200, 200] == [answer.result(20).status_code for answer in answers]
    assert 3 == len(resource.authority.visited)
    assert {"a", "b"} == scopes_asked(resource)[-1]


def test_a_challenge_without_scope(mode: Mode, resource: Resource) -> None:
    """Then it's all that the resource lists, besides what was asked for."""
    challenge_with(resource, "read")
    resource.metadata["scopes_supported"] = ["write", "admin"]
    resource.needs, resource.names_scope = {"/api/write": "write"}, False
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
        assert 200 == client.get(f"{resource.url}/write").status_code
    assert [{"read"}, {"read", "write", "admin"}] == scopes_asked(resource)


@pytest.mark.parametrize("supported", [None, ["read"]])
def test_a_challenge_without_scope_and_nothing_to_ask_for(
    mode: Mode, resource: Resource, supported: list[str] | None
) -> None:
    """No login can bring more: the answer is the caller's, and nobody is asked."""
    challenge_with(resource, "read")
    resource.metadata["scopes_supported"] = supported
    resource.needs, resource.names_scope = {"/api/write": "write"}, False
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
        for _ in range(3):
            answer = client.get(f"{resource.url}/write")
            assert (403, b"refused") == (answer.status_code, answer.content)
    assert 1 == len(resource.authority.visited)


def test_a_scope_that_is_granted_is_not_asked_for(mode: Mode, resource: Resource) -> None:
    """A 403 that wants what the token has is about something else: nothing is found out anew, either."""
    challenge_with(resource, "read write")
    resource.needs = {"/api/write": "read write"}
    auth = resource.auth(mode)
    token = mode.get_token(auth)
    grant = resource.authority.tokens[token.access_token]
    grant.parameters["scope"] = "read"  # as if it had been withdrawn
    with mode.client(auth) as client:
        answer = client.get(f"{resource.url}/write")
        assert (403, b"refused") == (answer.status_code, answer.content)
        assert token == auth.token
    assert 1 == len(resource.authority.visited)
    assert 1 == len(resource.looked)


def test_a_scope_that_is_not_granted(mode: Mode, resource: Resource, monotonic: MonotonicClock) -> None:
    """The user is asked once: this set didn't help. The token that came is kept, and sent elsewhere."""
    challenge_with(resource, "read")
    resource.needs = {"/api": "read", "/api/write": "write"}
    resource.authority.withheld, resource.authority.tells_scope = {"write"}, True
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
        for _ in range(3):
            assert 403 == client.get(f"{resource.url}/write").status_code
            assert 200 == client.get(resource.url).status_code
        assert 2 == len(resource.authority.visited)
        monotonic.ahead += 60
        assert 403 == client.get(f"{resource.url}/write").status_code
    assert 2 == len(resource.authority.visited)
    assert [{"read"}, {"read", "write"}] == scopes_asked(resource)


def test_what_was_granted_is_asked_for_again(mode: Mode, resource: Resource) -> None:
    """Beyond what was asked for, too: a login for more mustn't bring less."""
    authority = resource.authority
    authority.fields["scope"] = "profile read"
    resource.needs = {"/api/write": "write"}
    with mode.client(resource.auth(mode, scope="read")) as client:
        assert 200 == client.get(resource.url).status_code
        del authority.fields["scope"]
        assert 200 == client.get(f"{resource.url}/write").status_code
    assert [{"read"}, {"profile", "read", "write"}] == scopes_asked(resource)


def test_an_insufficient_scope_in_a_401(mode: Mode, resource: Resource) -> None:
    """Some APIs send it so: it's no rejection of the token."""
    resource.needs = {"/api/write": "write"}
    auth = resource.auth(mode)
    mode.get_token(auth)
    refuse = resource._refuse
    resource._refuse = lambda status, *challenges: refuse(401, *challenges)  # type: ignore[method-assign]
    with mode.client(auth) as client:
        assert 200 == client.get(f"{resource.url}/write").status_code
    assert [] == resource.authority.token_calls("refresh_token")
    assert [set(), {"write"}] == scopes_asked(resource)


def test_a_first_challenge_for_more_scope(mode: Mode, resource: Resource) -> None:
    """A request without a token may be answered with a 403, too: that's a demand for a token of this scope."""
    resource.needs = {"/api": "write"}

    def refuse(request: Received) -> Any:
        if request.authorization is None:
            return resource._refuse(403, 'Bearer error="insufficient_scope", scope="write"')
        return None

    resource.answers["/api"] = refuse
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
    assert [{"write"}] == scopes_asked(resource)


def pieces() -> Iterator[bytes]:
    yield BODY


async def async_pieces() -> AsyncIterator[bytes]:
    yield BODY


def test_a_body_that_is_spent(mode: Mode, resource: Resource) -> None:
    """The user logs in for the next request; this one's answer is the caller's, whole."""
    resource.needs = {"/api/write": "write"}
    auth = resource.auth(mode)
    mode.get_token(auth)
    with mode.client(auth) as client:
        answer = client.send("POST", f"{resource.url}/write", body=pieces() if mode.backend is None else async_pieces())
        assert (403, b"refused") == (answer.status_code, answer.content)
        assert 2 == len(resource.authority.visited)
        assert 200 == client.get(f"{resource.url}/write").status_code
    assert 2 == len(resource.authority.visited)


def test_a_service_gets_more_scope(mode: Mode, resource: Resource) -> None:
    """A client that has a token of its own asks for more as people do, by another token call."""
    resource.needs = {"/api/write": "write"}
    service = {"login": None, "client_id": "client", "client_secret": "s3cret", "issuer": resource.authority.issuer}
    with mode.client(resource.auth(mode, scope="read", **service)) as client:
        assert 200 == client.get(resource.url).status_code
        assert 200 == client.get(f"{resource.url}/write").status_code
        assert 200 == client.get(resource.url).status_code
    forms = resource.authority.token_calls("client_credentials")
    assert [{"read"}, {"read", "write"}] == [{*form["scope"][0].split()} for form in forms]


def test_without_a_person_the_403_is_the_callers(mode: Mode, resource: Resource) -> None:
    """A program without `login` can't get more scope than is in the store."""
    store = MemoryTokenStore()
    mode.get_token(resource.auth(mode, store=store))
    resource.needs = {"/api/write": "write"}
    with mode.client(resource.auth(mode, store=store, login=None)) as client:
        assert 200 == client.get(resource.url).status_code
        answer = client.get(f"{resource.url}/write")
        assert (403, b"refused") == (answer.status_code, answer.content)
    assert 1 == len(resource.authority.visited)


# -- Later logins and refreshes ---------------------------------------------------------------------------------------


def test_later_logins_ask_for_all_so_far(mode: Mode, resource: Resource) -> None:
    """When the refresh token is dead, the login brings what the ones before have brought, all in all."""
    challenge_with(resource, "read")
    resource.needs = {"/api/write": "write"}
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(resource.url).status_code
        assert 200 == client.get(f"{resource.url}/write").status_code
        resource.authority.end_logins()
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
        assert 200 == client.get(f"{resource.url}/write").status_code
    assert [{"read"}, {"read", "write"}, {"read", "write"}] == scopes_asked(resource)


def test_later_logins_in_another_process(plugin_mode: Mode, resource: Resource) -> None:
    """The store tells it what was asked for."""
    store = MemoryTokenStore()
    challenge_with(resource, "read")
    resource.needs = {"/api/write": "write"}
    with plugin_mode.client(resource.auth(plugin_mode, store=store)) as client:
        assert 200 == client.get(resource.url).status_code
    with plugin_mode.client(resource.auth(plugin_mode, store=store)) as client:
        assert 200 == client.get(f"{resource.url}/write").status_code
    resource.authority.end_logins()
    resource.revoke()
    with plugin_mode.client(resource.auth(plugin_mode, store=store)) as client:
        assert 200 == client.get(resource.url).status_code
    assert [{"read"}, {"read", "write"}, {"read", "write"}] == scopes_asked(resource)


def test_a_refresh_keeps_the_scope(mode: Mode, resource: Resource) -> None:
    """It sends what was granted, which may be less than was asked for, and no more than that."""
    challenge_with(resource, "read write")
    resource.authority.withheld, resource.authority.tells_scope = {"write"}, True
    auth = resource.auth(mode)
    with mode.client(auth) as client:
        assert 200 == client.get(resource.url).status_code
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    [form] = resource.authority.token_calls("refresh_token")
    assert ["read"] == form["scope"]
    assert 1 == len(resource.authority.visited)


def test_the_client_is_registered_for_all_there_is(plugin_mode: Mode, resource: Resource) -> None:
    """A new client in the middle of a session would end it, so that the first one is registered with what may come."""
    challenge_with(resource, "read")
    resource.metadata["scopes_supported"] = ["read", "write"]
    resource.authority.metadata["scopes_supported"] = ["openid", "read"]
    resource.needs = {"/api/write": "write"}
    with plugin_mode.client(resource.auth(plugin_mode)) as client:
        assert 200 == client.get(resource.url).status_code
        assert 200 == client.get(f"{resource.url}/write").status_code
    [registered] = resource.authority.registered
    assert {"read", "write", "openid"} == {*registered["scope"].split()}
    assert [{"read"}, {"read", "write"}] == scopes_asked(resource)
