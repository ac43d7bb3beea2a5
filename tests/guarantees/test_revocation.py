"""`revoke()` ends what there is at the server and forgets it here, whatever the server says; then tells."""

from __future__ import annotations

import copy
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

import oauth_auth.httpx
import oauth_auth.requests
from oauth_auth import (
    ClientSecretPost,
    MemoryTokenStore,
    OAuthError,
    OAuthProviderException,
    OAuthToken,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
    TokenStoreError,
    TokenTransportError,
)
from oauth_auth.stores import FileTokenStore, LockTaken
from oauth_auth.testing import LocalProvider
from tests.servers.oidc_provider import OidcProvider
from tests.support import modes
from tests.support.clock import Clock
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.stores import token_in
from tests.support.tokens import Gate, Tokens, token_that_expires_in
from tests.support.waiting import await_waiting, outcome_of, promptly

pytestmark = pytest.mark.shared_core

CLASSES = ("ClientCredentialsAuth", "AuthorizationCodeAuth", "PasswordAuth", "RefreshTokenAuth")
AS_USER = CLASSES[1:]
OWN: dict[str, dict[str, Any]] = {
    "PasswordAuth": {"username": "alice", "password": "pass-word"},
    "AuthorizationCodeAuth": {"code": "the-code", "redirect_uri": "http://127.0.0.1/callback"},
    "RefreshTokenAuth": {"refresh_token": "refresh-0"},
}


class Revocations:
    """A revocation endpoint; `ended` is what was sent to it, with its hint. `answers` are given in turn, then 200."""

    def __init__(self, serve: Callable[..., ScriptedServer], tokens: Tokens) -> None:
        self.answers: list[Answer] = []
        self.server = serve(self._answer)
        self.url = f"{self.server.url}/revoke"
        self.tokens = tokens
        tokens.fields["refresh_token"] = "refresh-1"

    def _answer(self, request: Received) -> Answer:
        return self.answers.pop(0) if self.answers else Answer(200)

    @property
    def ended(self) -> list[tuple[str, str]]:
        forms = [request.form for request in self.server.requests]
        return [(form["token"][0], form["token_type_hint"][0]) for form in forms]

    def auth(self, mode: Mode, name: str = "PasswordAuth", **options: Any) -> Any:
        return getattr(mode.plugin, name)(
            self.tokens.url, "client", "secret", **{**OWN.get(name, {}), "revocation_url": self.url, **options}
        )


@pytest.fixture
def revocations(serve: Callable[..., ScriptedServer], tokens: Tokens) -> Revocations:
    return Revocations(serve, tokens)


def grants(tokens: Tokens) -> list[str]:
    return [request.form["grant_type"][0] for request in tokens.server.requests]


class BrokenStore(MemoryTokenStore):
    """Fails where `fails` says so."""

    fails: tuple[str, ...] = ()

    def load(self, key: str) -> OAuthToken | None:
        self._fail("load")
        return super().load(key)

    def save(self, key: str, token: OAuthToken) -> None:
        self._fail("save")
        super().save(key, token)

    def delete(self, key: str) -> None:
        self._fail("delete")
        super().delete(key)

    def _fail(self, name: str) -> None:
        if name in self.fails:
            raise TokenStoreError("out of order")


# -- What is ended ----------------------------------------------------------------------------------------------


def test_the_refresh_token_is_ended_first(revocations: Revocations, mode: Mode) -> None:
    """Both are ended in a call each, as the client (RFC 7009 section 2.1); the refresh token first."""
    auth = revocations.auth(mode)
    mode.get_token(auth)
    mode.revoke(auth)
    assert [("refresh-1", "refresh_token"), ("token-1", "access_token")] == revocations.ended
    assert {revocations.tokens.server.requests[0].authorization} == {
        request.authorization for request in revocations.server.requests
    }
    assert (None, "POST") == (auth.token, revocations.server.requests[0].method)


def test_a_token_without_refresh_token_is_ended(revocations: Revocations, plugin_mode: Mode) -> None:
    """What there is, is ended: here the access token alone."""
    del revocations.tokens.fields["refresh_token"]
    auth = revocations.auth(plugin_mode, "ClientCredentialsAuth", client_auth=ClientSecretPost())
    plugin_mode.get_token(auth)
    plugin_mode.revoke(auth)
    assert [("token-1", "access_token")] == revocations.ended
    assert ["secret"] == revocations.server.requests[0].form["client_secret"]


def test_nothing_is_ended_where_nothing_is(revocations: Revocations, plugin_mode: Mode) -> None:
    """Without a token there's no call, however often; an expired one is ended all the same."""
    auth = revocations.auth(plugin_mode)
    plugin_mode.revoke(auth)
    plugin_mode.revoke(auth)
    assert [] == revocations.ended
    auth = revocations.auth(plugin_mode, token=token_that_expires_in(-10, refresh_token="old"))
    plugin_mode.revoke(auth)
    plugin_mode.revoke(auth)
    assert [("old", "refresh_token"), ("given", "access_token")] == revocations.ended
    assert 0 == revocations.tokens.calls


def test_a_sibling_s_newer_token_is_ended(
    revocations: Revocations, plugin_mode: Mode, make_shared_store: Callable[[], Any]
) -> None:
    """The store is looked at first: what is ended is what a sibling has put there."""
    first, second = (revocations.auth(plugin_mode, store=make_shared_store()) for _ in range(2))
    plugin_mode.get_token(first)
    revocations.tokens.fields["refresh_token"] = "refresh-2"
    second.refresh()
    plugin_mode.revoke(first)
    assert [("refresh-2", "refresh_token"), ("token-2", "access_token")] == revocations.ended
    assert token_in(make_shared_store(), first._source._entry.key) is None


def test_another_process_s_token_is_ended(revocations: Revocations, plugin_mode: Mode, tmp_path: Path) -> None:
    """A program that never used the token, such as one that logs out, ends what another one stored."""
    revocations.auth(plugin_mode, store=FileTokenStore(tmp_path / "t")).get_token()
    auth = revocations.auth(plugin_mode, store=FileTokenStore(tmp_path / "t"))
    plugin_mode.revoke(auth)
    assert [("refresh-1", "refresh_token"), ("token-1", "access_token")] == revocations.ended
    assert token_in(FileTokenStore(tmp_path / "t"), auth._source._entry.key) is None
    assert "-1" not in "".join(path.read_text() for path in (tmp_path / "t").glob("*.json"))


def test_without_a_revocation_url_it_is_only_forgotten(revocations: Revocations, plugin_mode: Mode) -> None:
    """There's no call, and no error."""
    store = MemoryTokenStore()
    auth = revocations.auth(plugin_mode, revocation_url=None, store=store)
    plugin_mode.get_token(auth)
    plugin_mode.revoke(auth)
    assert (None, None, []) == (auth.token, token_in(store, auth._source._entry.key), revocations.ended)


@pytest.mark.parametrize("make", [lambda p: p.BearerAuth("t"), lambda p: p.TokenProviderAuth(lambda last: last)])
def test_what_calls_no_server_only_forgets(plugin_mode: Mode, make: Callable[[Any], Any]) -> None:
    """A fixed or provided token is forgotten here; whoever gave it may end it."""
    auth = make(plugin_mode.plugin)
    plugin_mode.revoke(auth)
    assert auth.token is None
    with pytest.raises(TokenError):
        plugin_mode.get_token(auth)


# -- What comes afterwards --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("ClientCredentialsAuth", ["client_credentials", "client_credentials"]),
        ("PasswordAuth", ["password", "password"]),
        ("AuthorizationCodeAuth", ["authorization_code"]),
        ("RefreshTokenAuth", ["refresh_token"]),
    ],
)
def test_the_next_request_needs_another_token(
    revocations: Revocations, api: ScriptedServer, plugin_mode: Mode, name: str, calls: list[str]
) -> None:
    """A client or a password gets another one by itself; a code or a refresh token is used up, and isn't sent again."""
    auth = revocations.auth(plugin_mode, name, store=MemoryTokenStore())
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        client.run(auth.revoke if plugin_mode.backend is None else auth.arevoke)
        if len(calls) == 2:
            assert (200, "token-2") == (client.get(api.url).status_code, auth.token.access_token)
        else:
            with pytest.raises(ReauthorizationRequired, match="must log in"):
                client.get(api.url)
    assert calls == grants(revocations.tokens)


def test_a_given_refresh_token_is_ended_before_its_first_use(revocations: Revocations, plugin_mode: Mode) -> None:
    """It's all that there is: it's ended, and never sent for a token."""
    auth = revocations.auth(plugin_mode, "RefreshTokenAuth")
    plugin_mode.revoke(auth)
    assert [("refresh-0", "refresh_token")] == revocations.ended
    with pytest.raises(ReauthorizationRequired):
        plugin_mode.get_token(auth)
    assert 0 == revocations.tokens.calls


def test_a_given_code_is_not_used_afterwards(revocations: Revocations, plugin_mode: Mode) -> None:
    """A login that's revoked before its code is exchanged stays without a token."""
    auth = revocations.auth(plugin_mode, "AuthorizationCodeAuth")
    plugin_mode.revoke(auth)
    with pytest.raises(ReauthorizationRequired):
        plugin_mode.get_token(auth)
    assert 0 == revocations.tokens.calls


def test_a_login_follows(revocations: Revocations, plugin_mode: Mode, provider: LocalProvider) -> None:
    """Where a person can log in, the next request asks them."""
    logins: list[str] = []

    def login(begin: Any) -> str:
        logins.append("asked")
        request = begin("http://127.0.0.1:49152/callback")
        return str(client.get(request.url, follow_redirects=False).headers["Location"])

    with plugin_mode.client() as client:
        auth = plugin_mode.plugin.AuthorizationCodeAuth.from_issuer(
            provider.issuer, provider.client_id, provider.client_secret, login=login, store=MemoryTokenStore()
        )
        first = auth.get_token()
        auth.revoke()
        assert first.access_token != auth.get_token().access_token
    assert 2 == len(logins)


def test_copies_share_it(revocations: Revocations, plugin_mode: Mode) -> None:
    """A copy without a store has no token any more either, and doesn't use the spent refresh token."""
    auth = revocations.auth(plugin_mode)
    auth.get_token()
    twin = copy.deepcopy(auth)
    auth.revoke()
    assert (None, None) == (auth.token, twin.token)
    twin.refresh()
    assert ["password", "password"] == grants(revocations.tokens)


def test_siblings_notice(revocations: Revocations, api: ScriptedServer, plugin_mode: Mode) -> None:
    """Another object on the store learns of it by its next 401: it finds the mark, and needs a login."""
    store = MemoryTokenStore()
    first, second = (revocations.auth(plugin_mode, "AuthorizationCodeAuth", store=store) for _ in range(2))
    with plugin_mode.client(first) as one, plugin_mode.client(second) as other:
        assert [200, 200] == [client.get(api.url).status_code for client in (one, other)]
        plugin_mode.revoke(first)
        revocations.tokens.revoke()
        with pytest.raises(ReauthorizationRequired, match="401"):
            other.get(api.url)
    assert ["authorization_code"] == grants(revocations.tokens)


# -- When the server refuses, or isn't there --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "error", "text"),
    [
        ([Answer(400, {"error": "invalid_request"})], OAuthProviderException, "invalid_request"),
        ([Answer(302, b"", (("Location", "https://x.example"),))], TokenResponseError, "follow no redirect"),
        (6 * [Answer(0)], TokenTransportError, "could not be reached"),
        ([Answer(401, {"error": "invalid_client"})] * 2, OAuthProviderException, "invalid_client"),
    ],
    ids=lambda value: None if isinstance(value, list) else str(value),
)
def test_it_is_forgotten_whatever_the_server_says(
    revocations: Revocations, plugin_mode: Mode, clock: Clock, answers: list[Answer], error: type[OAuthError], text: str
) -> None:
    """In memory and in the store; only then it's raised what went wrong, and no secret is shown."""
    store = MemoryTokenStore()
    auth = revocations.auth(plugin_mode, store=store)
    plugin_mode.get_token(auth)
    revocations.answers = list(answers)
    with pytest.raises(error, match=text) as caught:
        plugin_mode.revoke(auth)
    assert (None, None) == (auth.token, token_in(store, auth._source._entry.key))
    assert not [word for word in ("refresh-1", "token-1", "secret") if word in str(caught.value)]
    assert "token-2" == plugin_mode.get_token(auth).access_token
    assert ["password", "password"] == grants(revocations.tokens)


def test_the_access_token_is_ended_though_the_refresh_token_can_not(
    revocations: Revocations, plugin_mode: Mode
) -> None:
    """What a server says of one token is no reason to leave it the other."""
    auth = revocations.auth(plugin_mode)
    plugin_mode.get_token(auth)
    revocations.answers = [Answer(400, {"error": "unsupported_token_type"})]
    with pytest.raises(OAuthProviderException, match="unsupported_token_type"):
        plugin_mode.revoke(auth)
    assert ["refresh-1", "token-1"] == [token for token, _ in revocations.ended]


def test_access_tokens_that_can_not_be_ended_are_no_error(revocations: Revocations, plugin_mode: Mode) -> None:
    """Once the refresh token is dead, an access token that the server can't end lives out its time."""
    auth = revocations.auth(plugin_mode)
    plugin_mode.get_token(auth)
    revocations.answers = [Answer(200), Answer(400, {"error": "unsupported_token_type"})]
    plugin_mode.revoke(auth)
    assert auth.token is None


def test_a_server_that_is_not_there_is_asked_for_one_token(revocations: Revocations, plugin_mode: Mode) -> None:
    """A server that can't be reached costs one call's time, not one for each token."""
    auth = revocations.auth(plugin_mode, revocation_url="http://127.0.0.1:1/revoke", token_timeout=0.3)
    auth.get_token()
    with pytest.raises(plugin_mode.transport_error, match="/revoke could not be reached") as caught:
        auth.revoke()
    assert isinstance(caught.value, TokenTransportError)
    assert auth.token is None


@pytest.mark.parametrize("trouble", [Answer(503, b"", (("Retry-After", "2"),)), Answer(0)])
def test_trouble_that_passes_is_not_noticed(
    revocations: Revocations, plugin_mode: Mode, clock: Clock, trouble: Answer
) -> None:
    """A revocation is tried again like a token call, after the pause that the server asks for (RFC 7009 2.2.1)."""
    auth = revocations.auth(plugin_mode)
    plugin_mode.get_token(auth)
    revocations.answers = [trouble, trouble]
    before = clock.moved
    plugin_mode.revoke(auth)
    assert 4 == len(revocations.server.requests)
    if trouble.headers:
        assert clock.moved - before >= 4


def test_an_unexpected_error_forgets_too(revocations: Revocations, plugin_mode: Mode) -> None:
    """Whatever happens while it's ended, it isn't used any more, and the caller is told."""
    store = MemoryTokenStore()
    auth = revocations.auth(plugin_mode, store=store)
    auth.get_token()
    auth._source._grant.revoke = lambda token: 1 / 0
    with pytest.raises(TokenError, match="unexpected ZeroDivisionError"):
        promptly_raised(auth.revoke)
    assert (None, None) == (auth.token, token_in(store, auth._source._entry.key))


def promptly_raised(function: Callable[[], Any]) -> None:
    if isinstance(outcome := promptly(function), Exception):
        raise outcome


# -- When the store doesn't work --------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [("save", "delete"), ("load", "save", "delete")])
def test_a_store_that_keeps_the_token_is_told(
    revocations: Revocations, plugin_mode: Mode, fails: tuple[str, ...]
) -> None:
    """It's ended at the server all the same, isn't taken from the store again, and the caller is told."""
    store = BrokenStore()
    auth = revocations.auth(plugin_mode, store=store)
    plugin_mode.get_token(auth)
    store.fails = fails
    with pytest.raises(TokenStoreError, match="could not delete"):
        plugin_mode.revoke(auth)
    assert ["refresh-1", "token-1"] == [token for token, _ in revocations.ended]
    store.fails = ()
    assert 1 == len(store._tokens)
    assert "token-2" == plugin_mode.get_token(auth).access_token
    assert "token-2" == store._tokens[auth._source._entry.key].access_token


def test_what_the_server_says_goes_before_the_store(revocations: Revocations, plugin_mode: Mode) -> None:
    """Of two troubles the server's is raised: there the token may live on."""
    store = BrokenStore()
    auth = revocations.auth(plugin_mode, store=store)
    auth.get_token()
    store.fails, revocations.answers = ("save", "delete"), [Answer(400, {"error": "invalid_request"})]
    with pytest.raises(OAuthProviderException):
        auth.revoke()


# -- At the same time -------------------------------------------------------------------------------------------


def test_many_callers_end_it_once(revocations: Revocations, mode: Mode) -> None:
    """However many revoke at once, threads or tasks, each token is ended once, and all go on."""
    auth = revocations.auth(mode, store=MemoryTokenStore())
    mode.get_token(auth)
    if mode.backend is None:
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda _: auth.revoke(), range(20)))
    else:

        async def all_at_once() -> None:
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(auth.arevoke)

        anyio.run(all_at_once, backend=mode.backend)
    assert [("refresh-1", "refresh_token"), ("token-1", "access_token")] == revocations.ended


def test_a_renewal_under_way_ends_first(revocations: Revocations, mode: Mode, gate: Gate) -> None:
    """What a renewal brings meanwhile is ended, too: nothing it got lives on."""
    gate.open()
    auth = revocations.auth(mode, store=MemoryTokenStore())
    mode.get_token(auth)
    held = Gate()
    revocations.tokens.answer = held
    revocations.tokens.fields["refresh_token"] = "refresh-2"
    with ThreadPoolExecutor(2) as pool:
        renewed = pool.submit(mode.refresh, auth)
        held.await_call()
        revoked = pool.submit(mode.revoke, auth)
        held.open()
        assert "token-2" == renewed.result(20).access_token
        revoked.result(20)
    assert [("refresh-2", "refresh_token"), ("token-2", "access_token")] == revocations.ended
    assert auth.token is None


def test_requests_meanwhile_get_another_token(revocations: Revocations, api: ScriptedServer, mode: Mode) -> None:
    """A request whose token is ended under its feet waits for the revocation, and goes out with a new one."""
    is_asked, goes_on = threading.Event(), threading.Event()

    def answer(request: Received) -> Answer:
        is_asked.set()
        assert goes_on.wait(20)
        return Answer(200)

    auth = revocations.auth(mode, "ClientCredentialsAuth")
    with mode.client(auth) as client, ThreadPoolExecutor(1) as pool:
        client.get(api.url)
        revocations.server.script = answer
        revoked = pool.submit(mode.revoke, auth)
        assert is_asked.wait(20)
        revocations.tokens.revoke()
        pending = client.begin("GET", api.url)
        await_waiting(auth, 2)
        goes_on.set()
        revoked.result(20)
        assert 200 == pending.result(20).status_code
    assert "token-2" == auth.token.access_token


def test_requests_meanwhile_get_a_first_token(revocations: Revocations, api: ScriptedServer, mode: Mode) -> None:
    """A request that has no token waits for the revocation, which brings none, and then gets one of its own."""
    is_asked, goes_on = threading.Event(), threading.Event()

    def answer(request: Received) -> Answer:
        is_asked.set()
        assert goes_on.wait(20)
        return Answer(200)

    revocations.server.script = answer
    auth = revocations.auth(mode, "ClientCredentialsAuth", token=token_that_expires_in(-1))
    with mode.client(auth) as client, ThreadPoolExecutor(1) as pool:
        revoked = pool.submit(mode.revoke, auth)
        assert is_asked.wait(20)
        pending = client.begin("GET", api.url)
        await_waiting(auth, 2)
        goes_on.set()
        revoked.result(20)
        assert 200 == pending.result(20).status_code
    assert "token-1" == auth.token.access_token


def test_a_cancelled_caller_leaves_nothing_half_done(revocations: Revocations) -> None:
    """A task that is cancelled while it waits doesn't stop the revocation."""
    is_asked, goes_on = threading.Event(), threading.Event()

    def answer(request: Received) -> Answer:
        is_asked.set()
        assert goes_on.wait(20)
        return Answer(200)

    revocations.server.script = answer
    auth = oauth_auth.httpx.ClientCredentialsAuth(
        revocations.tokens.url, "client", "secret", revocation_url=revocations.url
    )
    auth.get_token()

    async def give_up() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(auth.arevoke)
            await anyio.to_thread.run_sync(is_asked.wait, 20)
            group.cancel_scope.cancel()

    for backend in ("asyncio", "trio"):
        anyio.run(give_up, backend=backend)
    goes_on.set()
    auth.close()
    assert auth.token is None


def test_a_callback_can_not_revoke_its_own(revocations: Revocations, mode: Mode) -> None:
    """A callback that would wait for itself gets an error, and the token it was told of is used."""
    errors: list[Any] = []
    auth: Any = revocations.auth(mode, on_token_update=lambda token: errors.append(outcome_of(auth.revoke)))
    assert "token-1" == mode.get_token(auth).access_token
    assert "callback" in str(errors[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_revoke(revocations: Revocations, plugin_mode: Mode) -> None:
    """A child ends the token that its parent had."""
    auth = revocations.auth(plugin_mode)
    auth.get_token()
    child = os.fork()
    if child == 0:
        os._exit(0 if outcome_of(auth.revoke) is None and auth.token is None else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert 2 == len(revocations.ended)


# -- Real servers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ["basic", "special", "plus", "post", "public"])
def test_at_a_certified_provider_it_is_dead(oidc: OidcProvider, plugin_mode: Mode, client: str) -> None:
    """The tokens are dead at oidc-provider, whichever way the client is known; a copy of them is worth nothing."""
    registered = getattr(oidc, client)
    options: dict[str, Any] = {"client_auth": ClientSecretPost()} if client == "post" else {}
    make = functools.partial(
        plugin_mode.plugin.PasswordAuth,
        oidc.token_url,
        registered.client_id,
        registered.client_secret,
        username=oidc.username,
        password=oidc.password,
        scope="openid offline_access api",
        revocation_url=oidc.revocation_url,
        **options,
    )
    auth = make()
    stolen = auth.get_token()
    with plugin_mode.client(plugin_mode.plugin.BearerAuth(stolen)) as http:
        assert 200 == http.get(oidc.api_url).status_code
        auth.revoke()
        assert 401 == http.get(oidc.api_url).status_code
    thief = plugin_mode.plugin.RefreshTokenAuth(
        oidc.token_url, registered.client_id, registered.client_secret, refresh_token=stolen.refresh_token, **options
    )
    with pytest.raises(ReauthorizationRequired, match="invalid_grant"):
        thief.get_token()
    assert stolen.access_token != auth.get_token().access_token


def test_at_authlib_it_is_dead(provider: LocalProvider, plugin_mode: Mode) -> None:
    """The same at Authlib, whose revocation endpoint ends an access token alone."""
    auth = plugin_mode.plugin.PasswordAuth(
        provider.token_url,
        provider.client_id,
        provider.client_secret,
        username=provider.username,
        password=provider.password,
        revocation_url=provider.revocation_url,
    )
    stolen = plugin_mode.get_token(auth)
    plugin_mode.revoke(auth)
    with plugin_mode.client(plugin_mode.plugin.BearerAuth(stolen)) as http:
        assert 401 == http.get(provider.api_url).status_code
    thief = plugin_mode.plugin.RefreshTokenAuth(
        provider.token_url, provider.client_id, provider.client_secret, refresh_token=stolen.refresh_token
    )
    with pytest.raises(ReauthorizationRequired, match="invalid_grant"):
        plugin_mode.get_token(thief)


class OnceTaken(MemoryTokenStore):
    """A store whose lock is taken once."""

    was_taken = False

    @contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[None]:
        if not self.was_taken:
            self.was_taken = True
            raise LockTaken("it's another's")
        with super().lock(key, timeout=timeout):
            yield


@pytest.mark.parametrize("reading", range(1, 6))
def test_a_renewal_that_is_put_off_just_then_undoes_nothing(
    revocations: Revocations, monkeypatch: pytest.MonkeyPatch, reading: int
) -> None:
    """A revocation that comes while a renewal is being put off isn't overwritten by it, at whatever point it comes.

    The points are the readings of the clock, after the renewal has found the lock taken.
    """
    store, read, revoking = OnceTaken(), time.time, list[threading.Thread]()
    store.save("k", token_that_expires_in(60, refresh_token="refresh-0"))
    auth = revocations.auth(modes.REQUESTS, "AuthorizationCodeAuth", code=None, store=store, store_key="k")
    auth.get_token()
    left = reading

    def preempted() -> float:
        nonlocal left
        if store.was_taken and threading.current_thread().name == "oauth_auth-flight" and not revoking:
            left -= 1
            if left == 0:
                revoking.append(threading.Thread(target=auth.revoke))
                revoking[0].start()
                revoking[0].join(0.5)  # it waits for this flight, or is through, and then is undone by it
        return read()

    monkeypatch.setattr(time, "time", preempted)
    auth.get_token()  # in the window: begins a renewal in the background, which finds the lock taken
    auth.close()
    for thread in revoking:
        thread.join(20)
    assert not revoking or auth.token is None
