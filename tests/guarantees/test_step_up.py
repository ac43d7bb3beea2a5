"""Guarantee 19 of the security profile: where an API wants a stronger or fresher login, the user logs in again."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthProviderException, ReauthorizationRequired
from oauth_auth._clock import Now
from tests.support.authority import REDIRECT_URI, Authority
from tests.support.clock import MonotonicClock
from tests.support.connections import limits, one_connection
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.waiting import await_waiting

pytestmark = pytest.mark.shared_core

BODY = b"the same bytes" * 1000


@pytest.fixture
def authority(serve: Callable[..., ScriptedServer]) -> Authority:
    return Authority(serve)


class Api:
    """An API that wants a login with these parameters, at `wants` alone if that's a path; and a token in any case."""

    def __init__(self, serve: Callable[..., ScriptedServer], authority: Authority) -> None:
        self._authority = authority
        self.demands = {"acr_values": "gold", "max_age": "0"}
        self.can_be_met = True
        self.before: Callable[[Received], None] = lambda _: None
        self.server = serve(self._answer)
        self.url = self.server.url
        self.weak = f"{self.url}/weak"
        """Here any login will do."""

    def _answer(self, request: Received) -> Answer:
        self.before(request)
        grant = self._authority.grant_of(request)
        if grant is None:
            return self._refuse(request, "invalid_token", {})
        is_met = self.can_be_met and self.demands.items() <= grant.parameters.items()
        if request.path == "/weak" or is_met:
            return Answer(200, request.body)
        return self._refuse(request, "insufficient_user_authentication", self.demands)

    def _refuse(self, request: Received, error: str, fields: dict[str, str]) -> Answer:
        scheme = (request.authorization or "Bearer").partition(" ")[0]
        challenge = ", ".join(f'{name}="{value}"' for name, value in {"error": error, **fields}.items())
        return Answer(401, b"log in anew", (("WWW-Authenticate", f"{scheme} {challenge}"),))

    @property
    def statuses(self) -> list[int]:
        """What each request was answered with."""
        return [self._answer(request).status for request in self.server.requests]


@pytest.fixture
def api(serve: Callable[..., ScriptedServer], authority: Authority) -> Api:
    return Api(serve, authority)


def stepping_up(mode: Mode, authority: Authority, **options: Any) -> Any:
    return authority.code_auth(mode, **{"login": authority.log_in, "step_up": True, **options})


def logins(authority: Authority) -> list[str]:
    """Return the codes that were redeemed."""
    return [call.form["code"][0] for call in authority.calls("/token") if "code" in call.form]


# -- A login for those who need it ----------------------------------------------------------------------------------


@pytest.mark.each_mode
@pytest.mark.parametrize("dpop", [None, True], ids=["bearer", "dpop"])
def test_a_login_is_made_as_the_api_demands(mode: Mode, authority: Authority, api: Api, dpop: bool | None) -> None:
    """What it demands goes into the authorization request beside all else, over what is the program's own there."""
    own = {"login_hint": "alice", "max_age": "900"}
    auth = stepping_up(mode, authority, par=True, dpop=dpop, scope="read", authorization_parameters=own)
    with mode.client(auth) as client:
        assert 200 == client.get(api.weak).status_code
        answer = client.send("POST", api.url, body=BODY)
        assert (200, BODY) == (answer.status_code, answer.content)
        assert 200 == client.get(api.url).status_code
    first, second = (call.form for call in authority.calls("/par"))
    assert (["900"], None) == (first["max_age"], first.get("acr_values"))
    assert (["0"], ["gold"], ["alice"], ["read"]) == (
        second["max_age"],
        second["acr_values"],
        second["login_hint"],
        second["scope"],
    )
    assert first["state"] != second["state"]
    assert 2 == len(logins(authority))
    [_, demanded, replayed, _] = api.server.requests
    assert BODY == demanded.body == replayed.body
    assert {"Bearer" if dpop is None else "DPoP"} == {
        (r.authorization or "").partition(" ")[0] for r in api.server.requests
    }


def test_one_login_for_all_callers(mode: Mode, authority: Authority, api: Api) -> None:
    """Ten are answered so at the same time: one user, one login, and ten that go through."""
    together = threading.Barrier(10)
    auth = stepping_up(mode, authority)
    first = mode.get_token(auth).access_token

    def wait(request: Received) -> None:
        if first in (request.authorization or ""):
            together.wait(20)

    api.before = wait
    with mode.client(auth) as client:
        answers = client.get_many(api.url, 10)
    assert 10 * [200] == [answer.status_code for answer in answers]
    assert 2 == len(logins(authority)) == len(authority.visited)
    assert 20 == len(api.server.requests)


def test_a_late_demand_finds_the_login_made(mode: Mode, authority: Authority, api: Api) -> None:
    """An answer to the old token that comes when another caller's login is over needs no other."""
    released, auth = threading.Event(), stepping_up(mode, authority)
    first = mode.get_token(auth).access_token
    arrived = threading.Event()

    def wait(request: Received) -> None:
        if request.path == "/late" and first in (request.authorization or ""):
            arrived.set()
            assert released.wait(20)

    api.before = wait
    with mode.client(auth) as client:
        late = client.begin("GET", f"{api.url}/late")
        assert arrived.wait(20)
        assert 200 == client.get(api.url).status_code
        released.set()
        assert 200 == late.result(20).status_code
    assert 2 == len(logins(authority))


def test_a_demand_while_the_token_is_renewed(mode: Mode, authority: Authority, api: Api) -> None:
    """A renewal that is under way brings the same login: its token is tried, and then the user logs in."""
    auth, held, called = stepping_up(mode, authority), threading.Event(), threading.Event()
    mode.get_token(auth)

    def hold(request: Received) -> None:
        if "refresh_token" in request.form:
            called.set()
            assert held.wait(20)

    authority.answers["/token"] = hold
    with mode.client(auth) as client:
        renewal = threading.Thread(target=auth.refresh)
        renewal.start()
        assert called.wait(20)
        answer = client.begin("GET", api.url)
        await_waiting(auth, 2)
        held.set()
        assert 200 == answer.result(20).status_code
        renewal.join(20)
    assert [401, 401, 200] == api.statuses
    assert 2 == len(logins(authority))


def test_a_rejected_token_is_renewed_first(mode: Mode, authority: Authority, api: Api) -> None:
    """A token that's no good any more is replaced, and only then it's seen that the login isn't enough."""
    auth = stepping_up(mode, authority)
    token = mode.get_token(auth)
    grant = authority.tokens.pop(token.access_token)

    def know_the_refresh_token(request: Received) -> None:
        if "refresh_token" in request.form:
            authority.tokens[token.access_token] = grant

    authority.answers["/token"] = know_the_refresh_token
    with mode.client(auth) as client:
        answer = client.send("POST", api.url, body=BODY)
    assert (200, BODY) == (answer.status_code, answer.content)
    assert 2 == len(logins(authority))
    assert 3 == len(api.server.requests)


def test_statuses_that_are_the_users_change_nothing(plugin_mode: Mode, authority: Authority, api: Api) -> None:
    """A demand is told by a 401, whichever statuses reject a token."""
    with plugin_mode.client(stepping_up(plugin_mode, authority, rejection_statuses=(418,))) as client:
        assert 200 == client.get(api.url).status_code
    assert 2 == len(logins(authority))


def test_the_new_login_is_the_one_that_is_kept(plugin_mode: Mode, authority: Authority, api: Api) -> None:
    """It's in the store for the next program, and renewed from then on."""
    store = MemoryTokenStore()
    auth = stepping_up(plugin_mode, authority, store=store, dpop=True)
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    other = stepping_up(plugin_mode, authority, store=store, dpop=True)
    with plugin_mode.client(other) as client:
        assert 200 == client.get(api.url).status_code
    other.refresh()
    [renewal] = [call for call in authority.calls("/token") if "refresh_token" in call.form]
    assert [f"refresh-{auth.token.access_token}"] == renewal.form["refresh_token"]
    assert 2 == len(logins(authority))


def test_a_siblings_login_is_tried_first(plugin_mode: Mode, authority: Authority, api: Api) -> None:
    """Another object on the store may have had the same answer: its user needn't log in twice."""
    store = MemoryTokenStore()
    auths = [stepping_up(plugin_mode, authority, store=store) for _ in range(2)]
    assert auths[0].get_token() == auths[1].get_token()
    for auth in auths:
        with plugin_mode.client(auth) as client:
            assert 200 == client.get(api.url).status_code
    assert auths[0].token == auths[1].token
    assert 2 == len(logins(authority))


def test_a_siblings_renewal_is_no_login(plugin_mode: Mode, authority: Authority, api: Api) -> None:
    """It's tried, since it can't be known, and then the user is asked."""
    store = MemoryTokenStore()
    auth, sibling = (stepping_up(plugin_mode, authority, store=store) for _ in range(2))
    auth.get_token()
    sibling.refresh()
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    assert [401, 401, 200] == api.statuses
    assert 2 == len(logins(authority))


@pytest.mark.each_mode
def test_a_login_holds_no_connection(mode: Mode, authority: Authority, api: Api, held: threading.Event) -> None:
    """A user takes minutes: one connection to the API is enough for others meanwhile."""
    waiting = threading.Event()

    def login(begin: Any) -> str:
        if authority.visited:
            waiting.set()
            assert held.wait(20)
        return authority.log_in(begin)

    auth = stepping_up(mode, authority, login=login)
    mode.get_token(auth)
    with mode.client(auth, **limits(mode)) as client:
        one_connection(client, api.url)
        demanded = client.begin("GET", api.url)
        assert waiting.wait(20)
        assert 200 == client.get(api.weak).status_code
        held.set()
        assert 200 == demanded.result(20).status_code
    assert {1} == {request.connection for request in api.server.requests}


def test_a_machine_that_has_just_started(plugin_mode: Mode, authority: Authority, api: Api) -> None:
    """Its monotonic clock begins at 0, which is no login that didn't help."""
    auth = stepping_up(plugin_mode, authority)
    auth._source._clock = lambda: Now(time.time(), 5.0)
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code


# -- A login that doesn't help --------------------------------------------------------------------------------------


def test_a_second_demand_is_the_callers(mode: Mode, authority: Authority, api: Api) -> None:
    """Where the new login isn't enough either, the answer says so to the caller, whole, and that's all."""
    api.can_be_met = False
    with mode.client(stepping_up(mode, authority)) as client:
        answer = client.send("POST", api.url, body=BODY)
    assert (401, b"log in anew") == (answer.status_code, answer.content)
    assert 'acr_values="gold"' in answer.headers["WWW-Authenticate"]
    assert (2, 2) == (len(logins(authority)), len(api.server.requests))
    assert not [call for call in authority.calls("/token") if "refresh_token" in call.form]


def test_a_demand_that_is_never_met_is_not_asked_for_with_each_request(
    mode: Mode, authority: Authority, api: Api, monotonic: MonotonicClock, serve: Callable[..., ScriptedServer]
) -> None:
    """Nobody logs in for it again within ten minutes; for another demand, or another API, they do."""
    api.can_be_met = False
    elsewhere = Api(serve, authority)
    with mode.client(stepping_up(mode, authority)) as client:
        for _ in range(3):
            assert 401 == client.get(api.url).status_code
        assert (2, 4) == (len(logins(authority)), len(api.server.requests))
        elsewhere.demands = {"acr_values": "silver"}
        assert 200 == client.get(elsewhere.url).status_code
        api.demands = {"max_age": "5"}
        assert 401 == client.get(api.url).status_code
        assert 4 == len(logins(authority))
        assert 401 == client.get(api.url).status_code
        assert 4 == len(logins(authority))
        monotonic.ahead += 601
        assert 401 == client.get(api.url).status_code
        assert 5 == len(logins(authority))
        assert 200 == client.get(api.weak).status_code


def test_without_step_up_the_answer_is_the_callers(mode: Mode, authority: Authority, api: Api) -> None:
    """Neither a login nor a renewal, since a renewed token has the same login."""
    with mode.client(stepping_up(mode, authority, step_up=False)) as client:
        for _ in range(2):
            assert 401 == client.get(api.url).status_code
    assert (1, 2) == (len(authority.calls("/token")), len(api.server.requests))


def test_without_step_up_a_given_token_is_not_renewed(plugin_mode: Mode, authority: Authority, api: Api) -> None:
    """Other grants have no login to make."""
    auth = plugin_mode.plugin.ClientCredentialsAuth(authority.url("/token"), "client", "secret")
    with plugin_mode.client(auth) as client:
        assert 401 == client.get(api.url).status_code
    assert (1, 1) == (len(authority.calls("/token")), len(api.server.requests))


def test_a_login_that_fails_is_told_to_all(mode: Mode, authority: Authority, api: Api) -> None:
    """Each caller who waits for it has the error, which names the request; the token before serves other requests."""
    together = threading.Barrier(4)
    asked: list[Any] = []

    def login(begin: Any) -> str:
        asked.append(begin)
        if len(asked) == 1:
            return authority.log_in(begin)
        begin(REDIRECT_URI)
        await_waiting(auth, 4)
        return f"{REDIRECT_URI}?error=access_denied&state={begin.request.state}&iss={authority.issuer}"

    def wait(request: Received) -> None:
        if request.path == "/":
            together.wait(20)

    auth = stepping_up(mode, authority, login=login)
    token = mode.get_token(auth)
    api.before = wait
    with mode.client(auth) as client:
        errors = client.get_many(f"{api.url}/", 4)
        assert {"AuthorizationResponseError"} == {type(error).__name__ for error in errors}
        assert 4 == len([error for error in errors if f"GET {api.url}/" in str(error) and "401" in str(error)])
        assert token == auth.token
        assert 200 == client.get(api.weak).status_code
    assert 2 == len(asked)


def test_a_user_who_refuses_is_not_asked_with_each_request(
    mode: Mode, authority: Authority, api: Api, monotonic: MonotonicClock
) -> None:
    """After a pause they are, as after any login that failed: no program that polls opens one window after another."""
    asked: list[Any] = []

    def login(begin: Any) -> str:
        asked.append(begin)
        if len(asked) == 2:
            raise RuntimeError("the window was closed")
        return authority.log_in(begin)

    with mode.client(stepping_up(mode, authority, login=login)) as client:
        for _ in range(3):
            with pytest.raises(ReauthorizationRequired, match=r"the login raised RuntimeError.*401"):
                client.get(api.url)
        assert 2 == len(asked)
        assert 200 == client.get(api.weak).status_code
        monotonic.ahead += 61
        assert 200 == client.get(api.url).status_code
    assert 3 == len(asked)


def test_trouble_at_the_server_is_raised(mode: Mode, authority: Authority, api: Api) -> None:
    """A code that's refused ends nothing but this login: the next request has the user asked once more."""
    auth = stepping_up(mode, authority)
    token = mode.get_token(auth)
    authority.faults["/token"] = [Answer(400, {"error": "invalid_grant"})]
    with mode.client(auth) as client:
        with pytest.raises(OAuthProviderException, match="invalid_grant"):
            client.get(api.url)
        assert token == auth.token
        assert 2 == len(authority.visited)
        assert 200 == client.get(api.url).status_code
    assert 3 == len(authority.visited)


def test_a_closed_object_ends_the_login(plugin_mode: Mode, authority: Authority, api: Api) -> None:
    """Who waits for a login when the program ends has the error, and nobody waits for the user any more."""
    waiting = threading.Event()

    def login(begin: Any) -> str:
        if not authority.visited:
            return authority.log_in(begin)
        begin(REDIRECT_URI)
        waiting.set()
        assert begin.cancelled.wait(20)
        raise RuntimeError("cancelled")

    auth = stepping_up(plugin_mode, authority, login=login)
    auth.get_token()
    with plugin_mode.client(auth) as client:
        answer = client.begin("GET", api.url)
        assert waiting.wait(20)
        auth.close()
        assert isinstance(answer.exception(20), ReauthorizationRequired)


# -- Requests that can't be sent again ------------------------------------------------------------------------------


def pieces() -> Iterator[bytes]:
    yield BODY


async def async_pieces() -> AsyncIterator[bytes]:
    yield BODY


@pytest.mark.each_mode
def test_a_body_that_is_spent(mode: Mode, authority: Authority, api: Api) -> None:
    """The user logs in for the next request; this one's answer is the caller's, whole."""
    body = pieces() if mode.backend is None else async_pieces()
    with mode.client(stepping_up(mode, authority)) as client:
        answer = client.send("POST", api.url, body=body)
        assert (401, b"log in anew") == (answer.status_code, answer.content)
        assert (2, 1) == (len(logins(authority)), len(api.server.requests))
        assert 200 == client.get(api.url).status_code
    assert 2 == len(logins(authority))
