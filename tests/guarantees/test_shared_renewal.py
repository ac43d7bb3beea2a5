"""Guarantees 1, 2, 5 and 9 across processes: one renewal for all that share a store, and nobody waits who needn't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from typing import Any

import pytest

from oauth_auth import BrowserLogin, MemoryTokenStore, OAuthToken, ReauthorizationRequired, TokenStoreError
from oauth_auth.requests import AuthorizationCodeAuth
from oauth_auth.stores import TokenStore
from oauth_auth.testing import LocalProvider
from tests.support import modes
from tests.support.clock import Clock
from tests.support.logins import Browser
from tests.support.modes import Mode
from tests.support.scripted import Answer, ScriptedServer
from tests.support.siblings import Sibling, Siblings
from tests.support.stores import SHARED_STORES, store_maker
from tests.support.tokens import Gate, Tokens, client_credentials, token_that_expires_in
from tests.support.waiting import outcome_of

pytestmark = pytest.mark.shared_core

PROCESSES = 3
THREADS = 6
ALL_WELL = [[200] * THREADS] * PROCESSES
INVALID_GRANT = Answer(400, {"error": "invalid_grant"})

# Each store with one plug-in, and each plug-in with one store.
WAYS = [(store, modes.REQUESTS) for store in SHARED_STORES] + [
    ("file", mode) for mode in modes.ALL if mode is not modes.REQUESTS
]


class Group:
    """Processes that have an auth object each, with the same key of one store."""

    def __init__(self, siblings: Siblings, mode: Mode, make_store: Callable[[], TokenStore], tokens: Tokens) -> None:
        self.store = make_store()
        self._start = partial(siblings.start, mode, "ClientCredentialsAuth", tokens.url, "client", "secret")
        self._make_store = make_store
        self.members: list[Sibling] = []

    def start(self, token: OAuthToken | None = None) -> None:
        """Start them, with a token that they all have taken from the store."""
        if token is not None:
            self.store.save("k", token)
        self.members = [self._start(store=self._make_store(), store_key="k") for _ in range(PROCESSES)]
        if token is not None:
            assert [token] * PROCESSES == self.do("get_token")

    def begin(self, name: str, *arguments: Any) -> list[Future[Any]]:
        return [member.begin(name, *arguments) for member in self.members]

    def do(self, name: str, *arguments: Any) -> list[Any]:
        """Have all do something at the same time; return what comes of it."""
        return [future.result(40) for future in self.begin(name, *arguments)]

    def tell(self, step: str) -> None:
        """Have all tell when they come to a step."""
        self.do("at", step, "tell")

    def await_step(self, step: str) -> None:
        """Block until all have come to it."""
        for member in self.members:
            member.await_step(step)


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{way[1]}")
def group(request: pytest.FixtureRequest, siblings: Siblings, tokens: Tokens) -> Group:
    name, mode = request.param
    return Group(siblings, mode, store_maker(request, name), tokens)


@pytest.fixture
def stores_group(make_shared_store: Callable[[], TokenStore], siblings: Siblings, tokens: Tokens) -> Group:
    """Do the same for what doesn't depend on the plug-in."""
    return Group(siblings, modes.REQUESTS, make_shared_store, tokens)


@pytest.fixture
def lenient_api(serve: Callable[..., ScriptedServer]) -> ScriptedServer:
    """An API that takes any token."""
    return serve(lambda request: Answer(200 if request.authorization else 401))


def send_at_once(group: Group, api: ScriptedServer, gate: Gate) -> list[Any]:
    """Have all processes send while one of them holds the store's lock; return what their threads got."""
    group.tell("lock")
    sent = group.begin("send", api.url, THREADS)
    group.await_step("lock")
    gate.open()
    return [future.result(40) for future in sent]


def test_a_cold_start(group: Group, tokens: Tokens, api: ScriptedServer, gate: Gate) -> None:
    """Processes whose threads all start at once on an empty store make one token call."""
    group.start()
    assert ALL_WELL == send_at_once(group, api, gate)
    assert 1 == tokens.calls


def test_at_expiry(group: Group, tokens: Tokens, api: ScriptedServer, gate: Gate) -> None:
    """Processes whose common token has expired make one token call."""
    group.start(token_that_expires_in(60))
    group.do("move_clock", 61)
    assert ALL_WELL == send_at_once(group, api, gate)
    assert 1 == tokens.calls


def test_after_a_revocation(group: Group, tokens: Tokens, api: ScriptedServer, gate: Gate) -> None:
    """If an API rejects the common token in all processes, one renews it, and all replay their requests with that."""
    group.start(token_that_expires_in(3600))
    assert ALL_WELL == send_at_once(group, api, gate)
    assert 1 == tokens.calls
    sent_with = Counter(request.authorization for request in api.requests)
    assert {"Bearer given", "Bearer token-1"} == sent_with.keys()
    assert PROCESSES * THREADS == sent_with["Bearer token-1"]


def test_in_the_refresh_window(group: Group, tokens: Tokens, lenient_api: ScriptedServer, gate: Gate) -> None:
    """One process renews in the background while all send the old token; the others adopt the new one afterwards."""
    group.start(token_that_expires_in(60))
    group.tell("lock")
    assert ALL_WELL == group.do("send", lenient_api.url, THREADS)
    group.await_step("lock")
    assert {"Bearer given"} == {request.authorization for request in lenient_api.requests}
    gate.await_call()
    looking = group.begin("token")
    for _ in islice(as_completed(looking, 40), PROCESSES - 1):
        pass  # the others have found the lock taken
    gate.open()
    assert ["given"] * (PROCESSES - 1) + ["token-1"] == sorted(future.result(40).access_token for future in looking)
    group.do("move_clock", 2)  # beyond the pause before the next look
    assert ALL_WELL == group.do("send", lenient_api.url, THREADS)
    assert ["token-1"] * PROCESSES == [token.access_token for token in group.do("token")]
    assert 1 == tokens.calls


@pytest.mark.parametrize("left", [60, 5], ids=["in the window", "in the leeway"])
def test_a_held_lock_delays_nobody_who_has_a_token(
    stores_group: Group, tokens: Tokens, lenient_api: ScriptedServer, left: int
) -> None:
    """While another process holds the lock, the old token is sent without waiting for it, also in its leeway."""
    group = stores_group
    group.start(token_that_expires_in(60))
    group.do("move_clock", 60 - left)
    with group.store.lock("k"):
        assert ALL_WELL == group.do("send", lenient_api.url, THREADS)
        assert ALL_WELL == group.do("send", lenient_api.url, THREADS)
        assert [[0.0]] * PROCESSES == [sorted(set(waits)) for waits in group.do("lock_waits")]
    assert {"Bearer given"} == {request.authorization for request in lenient_api.requests}
    assert 0 == tokens.calls
    group.do("move_clock", 2)
    assert ALL_WELL == group.do("send", lenient_api.url, THREADS)
    group.do("token")
    group.do("move_clock", 2)
    assert ALL_WELL == group.do("send", lenient_api.url, THREADS)
    assert ["token-1"] * PROCESSES == [token.access_token for token in group.do("token")]
    assert 1 == tokens.calls


def test_without_a_token_the_lock_is_waited_for(stores_group: Group, tokens: Tokens, api: ScriptedServer) -> None:
    """Who has no valid token waits for the process that holds the lock, and takes what that one has saved."""
    group = stores_group
    group.start(token_that_expires_in(60))
    group.do("move_clock", 61)
    group.tell("lock")
    with group.store.lock("k"):
        sent = group.begin("send", api.url, THREADS)
        group.await_step("lock")
        tokens.accepted = {"Bearer newer"}
        assert [False] * PROCESSES == [future.done() for future in sent]
        group.store.save("k", token_that_expires_in(3600, "newer"))
    assert ALL_WELL == [future.result(40) for future in sent]
    assert 0 == tokens.calls


# -- Refresh tokens that rotate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHARED_STORES)
def test_a_rotating_family_lives_on(
    request: pytest.FixtureRequest, siblings: Siblings, provider: LocalProvider, name: str
) -> None:
    """Processes that renew at the same time, over several lifetimes, use each refresh token once."""
    make_store = store_maker(request, name)
    login = (provider.token_url, provider.client_id, provider.client_secret)
    user: dict[str, Any] = {"username": provider.username, "password": provider.password}
    group = [
        siblings.start(modes.REQUESTS, "PasswordAuth", *login, store=make_store(), **user) for _ in range(PROCESSES)
    ]
    for _ in range(4):
        sent = [sibling.begin("send", provider.api_url, THREADS) for sibling in group]
        assert ALL_WELL == [future.result(40) for future in sent]
        for sibling in group:
            sibling.do("move_clock", 3600)
    forms = [call.form for call in provider.token_requests]
    assert ["password", *["refresh_token"] * 3] == [form["grant_type"][0] for form in forms]
    assert 3 == len({form["refresh_token"][0] for form in forms[1:]})


def test_a_siblings_token_is_adopted_when_a_refresh_is_refused(
    make_shared_store: Callable[[], TokenStore], siblings: Siblings, tokens: Tokens, api: ScriptedServer
) -> None:
    """On `invalid_grant`, what a sibling without the lock saved meanwhile is taken instead of giving up."""
    store = make_shared_store()
    store.save("k", token_that_expires_in(-1, "old", refresh_token="spent"))
    tokens.answer = lambda _: INVALID_GRANT
    sibling = siblings.start(
        modes.REQUESTS, "AuthorizationCodeAuth", tokens.url, "client", store=make_shared_store(), store_key="k"
    )
    sibling.do("at", "call", "hold")
    sent = sibling.begin("send", api.url, THREADS)
    sibling.await_step("call")
    tokens.accepted = {"Bearer siblings"}
    store.save("k", token_that_expires_in(3600, "siblings", refresh_token="good"))
    sibling.do("go", "call")
    assert [200] * THREADS == sent.result(40)
    assert 1 == tokens.calls


def test_a_new_login_ends_a_final_refusal(
    make_shared_store: Callable[[], TokenStore], tokens: Tokens, clock: Clock
) -> None:
    """Where a person must log in, what a sibling's login stored is adopted within a second, without a token call.

    The refusal's pause would last longer, and doesn't cause a look at the store for each request either.
    """
    store = Counting(make_shared_store())
    store.save("k", token_that_expires_in(-1, "old", refresh_token="spent"))
    tokens.answer = lambda _: INVALID_GRANT
    with AuthorizationCodeAuth(tokens.url, "client", store=store, store_key="k") as auth:
        assert isinstance(outcome_of(auth.get_token), ReauthorizationRequired)
        for _ in range(50):
            assert isinstance(outcome_of(auth.get_token), ReauthorizationRequired)
        make_shared_store().save("k", token_that_expires_in(3600, "new", refresh_token="good"))
        looks = store.counts["load"]
        clock.advance(1.01)
        assert "new" == auth.get_token().access_token
        assert looks + 1 == store.counts["load"]
    assert 1 == tokens.calls


class Broken(MemoryTokenStore):
    """A store that can be out of order."""

    is_broken = True

    def load(self, key: str) -> OAuthToken | None:
        if self.is_broken:
            raise TokenStoreError("out of order")
        return super().load(key)


@pytest.mark.parametrize("refused", [False, True])
def test_a_store_that_is_down_calls_for_no_login(plugin_mode: Mode, tokens: Tokens, refused: bool) -> None:
    """If the token that could help may be in a store that can't be read now, nobody is asked to log in yet."""
    store = Broken()
    tokens.answer = lambda _: INVALID_GRANT
    token = token_that_expires_in(-1, "old", refresh_token="spent") if refused else None
    auth = plugin_mode.plugin.AuthorizationCodeAuth(tokens.url, "client", store=store, store_key="k", token=token)
    for _ in range(2):
        error = outcome_of(auth.get_token)
        assert (True, True) == (type(error) is not ReauthorizationRequired, error.retryable)
    assert refused == tokens.calls
    store.save("k", token_that_expires_in(3600, "siblings", refresh_token="good"))
    store.is_broken = False
    assert "siblings" == auth.get_token().access_token


# -- What it costs ----------------------------------------------------------------------------------------------------


class Counting:
    """A store that counts what's asked of it."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.counts: Counter[str] = Counter()
        self.timeout = getattr(store, "timeout", 5.0)

    def load(self, key: str) -> OAuthToken | None:
        self.counts["load"] += 1
        token: OAuthToken | None = self._store.load(key)
        return token

    def save(self, key: str, token: OAuthToken) -> None:
        self.counts["save"] += 1
        self._store.save(key, token)

    def delete(self, key: str) -> None:
        self.counts["delete"] += 1
        self._store.delete(key)

    @contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[object]:
        self.counts["lock"] += 1
        with self._store.lock(key, timeout=timeout) as held:
            yield held


@pytest.mark.parametrize(("name", "mode"), WAYS, ids=str)
def test_store_traffic(
    request: pytest.FixtureRequest, name: str, mode: Mode, tokens: Tokens, lenient_api: ScriptedServer, clock: Clock
) -> None:
    """A valid token costs no access to the store; a sibling's one load, and a renewal two, the lock and a save."""
    make_store = store_maker(request, name)
    stores = [Counting(make_store()) for _ in range(2)]
    auths = [client_credentials(mode, tokens, store=store) for store in stores]
    with mode.client(auths[0]) as one, mode.client(auths[1]) as other:
        for _ in range(3):
            for auth, client in zip(auths, (one, other), strict=True):
                client.get(lenient_api.url)
                auth.close()
            expected = [{"load": 2, "lock": 1, "save": 1}, {"load": 1}]
            assert expected == [store.counts for store in stores]
            for client in (one, other):
                assert {200} == {answer.status_code for answer in client.get_many(lenient_api.url, 20)}
            assert expected == [store.counts for store in stores]
            clock.advance(3500)
            for store in stores:
                store.counts.clear()
    assert 3 == tokens.calls


def test_a_login_that_an_api_asks_for_serves_siblings(mode: Mode, provider: LocalProvider) -> None:
    """The user has logged in as the API wants, in one program: the others are told, and find that in the store."""
    browser, store = Browser(), MemoryTokenStore()
    auths = [
        mode.plugin.AuthorizationCodeAuth.from_issuer(
            provider.issuer,
            provider.client_id,
            provider.client_secret,
            login=BrowserLogin(open_browser=browser),
            store=store,
            step_up=True,
        )
        for _ in range(3)
    ]
    with ExitStack() as stack:
        clients = [stack.enter_context(mode.client(auth)) for auth in auths]
        for demanded in (None, "gold"):
            provider.required_acr = demanded
            assert [200] * 3 == [client.get(provider.api_url).status_code for client in clients]
        assert 2 == len(browser.opened)
        # What is found isn't taken for what is wanted.
        provider.required_acr = "platinum"
        mode.refresh(auths[0])
        assert [200] * 3 == [client.get(provider.api_url).status_code for client in reversed(clients)]
    assert 3 == len(browser.opened)
