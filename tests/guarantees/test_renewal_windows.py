"""Nobody waits for a renewal that isn't due, and a failed one never takes away a token that is still valid.

The windows, and who waits in them, are tables in tests/units/test_decisions.py, the pauses in test_backoff.py.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import OAuthProviderException, OAuthToken, ReauthorizationRequired, TokenError, TokenResponseError
from oauth_auth.stores import MemoryTokenStore
from tests.support.clock import Clock
from tests.support.modes import Mode
from tests.support.ports import free_port
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Gate, Tokens, client_credentials, token_that_expires_in
from tests.support.waiting import await_waiting, outcome_of

pytestmark = pytest.mark.shared_core
ALSO_SHARING = True

DOWN = Answer(503)
REFUSED = Answer(401, {"error": "invalid_client"})


@pytest.fixture
def open_api(serve: Callable[..., ScriptedServer]) -> ScriptedServer:
    """An API that takes any token: what it was sent is in its `requests`."""
    return serve(lambda request: Answer(200))


def sent(api: ScriptedServer) -> list[str | None]:
    return [request.authorization for request in api.requests]


# -- When it's renewed, and who waits -------------------------------------------------------------------------------


def test_nobody_waits_in_the_refresh_window(mode: Mode, tokens: Tokens, gate: Gate, open_api: ScriptedServer) -> None:
    """While one background call is under way, and the server takes its time, requests go out with the old token."""
    auth = client_credentials(mode, tokens, token=token_that_expires_in(100))
    with mode.client(auth) as client:
        for _ in range(10):
            client.get(open_api.url)
        gate.await_call()
        responses = client.get_many(open_api.url, 20)
        assert [200] * 20 == [response.status_code for response in responses]
        assert ["Bearer given"] * 30 == sent(open_api)
        gate.open()
        auth.close()
        client.get(open_api.url)
    assert "Bearer token-1" == sent(open_api)[-1]
    assert 1 == tokens.calls


def test_a_slow_renewal_is_not_begun_again(
    plugin_mode: Mode, tokens: Tokens, gate: Gate, clock: Clock, open_api: ScriptedServer
) -> None:
    """However long the background call takes, there is one at a time."""
    # The clock goes on for the call, too.
    auth = client_credentials(plugin_mode, tokens, token=token_that_expires_in(150), token_timeout=1000)
    with plugin_mode.client(auth) as client:
        client.get(open_api.url)
        gate.await_call()
        for _ in range(12):
            clock.advance(11)
            client.get(open_api.url)
    assert ["Bearer given"] * 13 == sent(open_api)
    assert 1 == tokens.calls


def test_callers_join_the_background_renewal_once_the_token_expires(
    mode: Mode, tokens: Tokens, gate: Gate, clock: Clock, open_api: ScriptedServer
) -> None:
    """If the token expires while it's being renewed in the background, callers wait for that call; there's no other."""
    auth = client_credentials(mode, tokens, token=token_that_expires_in(100))
    with mode.client(auth) as client:
        client.get(open_api.url)
        clock.now += 101  # the token's time is up, the call's isn't
        futures = [client.begin("GET", open_api.url) for _ in range(5)]
        await_waiting(auth, 5)
        gate.open()
        assert [200] * 5 == [future.result(30).status_code for future in futures]
    assert ["Bearer given"] + ["Bearer token-1"] * 5 == sent(open_api)
    assert 1 == tokens.calls


def test_within_the_leeway_callers_wait(mode: Mode, tokens: Tokens, open_api: ScriptedServer) -> None:
    """A token that's about to expire isn't sent while a better one can be had."""
    auth = client_credentials(mode, tokens, token=token_that_expires_in(9))
    with mode.client(auth) as client:
        client.get(open_api.url)
    assert ["Bearer token-1"] == sent(open_api)
    assert 1 == tokens.calls


def test_an_expired_token_is_never_sent(mode: Mode, tokens: Tokens, open_api: ScriptedServer, clock: Clock) -> None:
    """A token that has expired isn't sent even if no other can be had: the request fails with the reason."""
    tokens.answer = lambda request: DOWN
    auth = client_credentials(mode, tokens, token=token_that_expires_in(9))
    clock.advance(9)
    with mode.client(auth) as client, pytest.raises(TokenError):
        client.get(open_api.url)
    assert [] == sent(open_api)


def test_an_issued_token_is_renewed_in_its_window(
    plugin_mode: Mode, tokens: Tokens, clock: Clock, open_api: ScriptedServer
) -> None:
    """A token's windows count from its receipt, at each renewal anew."""
    auth = client_credentials(plugin_mode, tokens)
    with plugin_mode.client(auth) as client:
        for number in range(1, 4):
            client.get(open_api.url)
            assert (f"Bearer token-{number}", number) == (sent(open_api)[-1], tokens.calls)
            clock.advance(3600 - 310.1)
            client.get(open_api.url)
            auth.close()
            assert (f"Bearer token-{number}", number) == (sent(open_api)[-1], tokens.calls)
            clock.advance(310.1 - 159.9)
            client.get(open_api.url)
            auth.close()
            assert (f"Bearer token-{number}", number + 1) == (sent(open_api)[-1], tokens.calls)


def test_renewals_begin_at_random(plugin_mode: Mode, clock: Clock) -> None:
    """Programs that got their tokens at the same moment don't all renew them at the same moment."""
    asked: set[int] = set()

    def asks(number: int) -> Callable[[OAuthToken | None], OAuthToken]:
        def provider(last: OAuthToken | None) -> OAuthToken:
            asked.add(number)
            return OAuthToken(access_token="new", expires_in=3600)

        return provider

    token = OAuthToken(access_token="given", expires_in=3600)
    auths = [plugin_mode.plugin.TokenProviderAuth(asks(number), token=token) for number in range(64)]

    def begun_at(left: float) -> int:
        clock.advance(clock_end - left - clock.now)
        for auth in auths:
            auth.get_token()
            auth.close()
        return len(asked)

    clock_end = clock.now + 3600
    counts = [begun_at(left) for left in (310.1, 260, 210, 159.9)]
    assert counts[0] == 0 < counts[1] < counts[2] < counts[3] == 64


@pytest.mark.parametrize("lifetime", [0.5, 15])
def test_short_lifetimes_are_usable(
    plugin_mode: Mode, tokens: Tokens, clock: Clock, api: ScriptedServer, lifetime: float
) -> None:
    """A token whose lifetime is shorter than leeway and window is used for most of it, not fetched for each request."""
    tokens.fields["expires_in"] = lifetime
    auth = client_credentials(plugin_mode, tokens)
    with plugin_mode.client(auth) as client:
        for _ in range(10):
            assert 200 == client.get(api.url).status_code
        clock.advance(lifetime * 0.69)
        assert 200 == client.get(api.url).status_code
        assert 1 == tokens.calls
        clock.advance(lifetime)
        assert 200 == client.get(api.url).status_code
    assert 2 == tokens.calls


def test_a_token_without_expiry_is_never_renewed(
    plugin_mode: Mode, tokens: Tokens, clock: Clock, open_api: ScriptedServer
) -> None:
    """A server that doesn't say how long its token lives isn't asked for another as long as APIs take it."""
    tokens.fields["expires_in"] = None
    auth = client_credentials(plugin_mode, tokens)
    with plugin_mode.client(auth) as client:
        for _ in range(10):
            client.get(open_api.url)
            clock.advance(365 * 86400)
    auth.close()
    assert ["Bearer token-1"] * 10 == sent(open_api)
    assert 1 == tokens.calls


# -- When no better token can be had --------------------------------------------------------------------------------


def _closed_port() -> str:
    return f"http://127.0.0.1:{free_port()}/token"


class BrokenStore:
    """A store that raises whatever is asked of it."""

    def load(self, key: str) -> OAuthToken | None:
        raise OSError("the disk is gone")

    def save(self, key: str, token: OAuthToken) -> None:
        raise OSError("the disk is gone")

    def delete(self, key: str) -> None:
        raise OSError("the disk is gone")

    def lock(self, key: str) -> contextlib.AbstractContextManager[None]:
        raise OSError("the disk is gone")


class HangingStore(MemoryTokenStore):
    """A store that is slow to load, from the second time on."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self._gate = gate
        self._loads = itertools.count()

    def load(self, key: str) -> OAuthToken | None:
        if next(self._loads):
            self._gate(None)  # type: ignore[arg-type]
        return super().load(key)


def _provider_that_fails(last: OAuthToken | None) -> OAuthToken:
    raise OSError("the vault is sealed")


def _answering(answer: Answer) -> Callable[..., Any]:
    def make(mode: Mode, tokens: Tokens, gate: Gate, token: OAuthToken) -> Any:
        gate.open(answer)
        return client_credentials(mode, tokens, token=token)

    return make


def _hanging(mode: Mode, tokens: Tokens, gate: Gate, token: OAuthToken) -> Any:
    return client_credentials(mode, tokens, token=token)


def _refusing_connections(mode: Mode, tokens: Tokens, gate: Gate, token: OAuthToken) -> Any:
    return mode.plugin.ClientCredentialsAuth(_closed_port(), "client", "secret", token=token)


def _failing_provider(mode: Mode, tokens: Tokens, gate: Gate, token: OAuthToken) -> Any:
    return mode.plugin.TokenProviderAuth(_provider_that_fails, token=token)


def _exiting_provider(mode: Mode, tokens: Tokens, gate: Gate, token: OAuthToken) -> Any:
    return mode.plugin.TokenProviderAuth(lambda last: sys.exit("no vault"), token=token)


def _dead_refresh_token(mode: Mode, tokens: Tokens, gate: Gate, token: OAuthToken) -> Any:
    gate.open(Answer(400, {"error": "invalid_grant"}))
    return mode.plugin.RefreshTokenAuth(tokens.url, "client", "secret", refresh_token="dead", token=token)


REASONS: dict[str, Callable[..., Any]] = {
    "dropped": _answering(Answer(0)),
    "hanging": _hanging,
    "connections-refused": _refusing_connections,
    "provider-fails": _failing_provider,
    "provider-exits": _exiting_provider,
    "refresh-token-dead": _dead_refresh_token,
}


@pytest.mark.parametrize("make", REASONS.values(), ids=REASONS)
def test_a_failed_renewal_takes_no_token_away(
    plugin_mode: Mode,
    tokens: Tokens,
    gate: Gate,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    open_api: ScriptedServer,
    make: Callable[..., Any],
) -> None:
    """For whatever reason no better token can be had, callers that waited send the old one until it expires."""
    # Retries must not eat the token's last fraction of a second, nor need the test wait for them.
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    token = OAuthToken(access_token="given", expires_in=3600, expiry=clock.now + 0.15)
    auth = make(plugin_mode, tokens, gate, token)
    with plugin_mode.client(auth) as client:
        for _ in range(3):
            assert 200 == client.get(open_api.url).status_code
    assert ["Bearer given"] * 3 == sent(open_api)


def test_waiting_ends_while_the_old_token_is_good(
    mode: Mode, tokens: Tokens, gate: Gate, open_api: ScriptedServer, clock: Clock
) -> None:
    """If the renewal hangs, a caller that waits for it goes on with the old token before that expires."""
    token = OAuthToken(access_token="given", expires_in=3600, expiry=clock.now + 0.2)
    auth = client_credentials(mode, tokens, token=token)
    with mode.client(auth) as client:
        client.get(open_api.url)
        assert ["Bearer given"] == sent(open_api)
        gate.open()
        auth.close()
        client.get(open_api.url)
    assert ["Bearer given", "Bearer token-1"] == sent(open_api)
    assert 1 == tokens.calls


def test_a_broken_store_harms_no_request(
    plugin_mode: Mode, tokens: Tokens, open_api: ScriptedServer, clock: Clock
) -> None:
    """A store that raises at all it's asked costs nothing but its use: tokens are fetched and renewed without it."""
    auth = client_credentials(plugin_mode, tokens, store=BrokenStore())
    with plugin_mode.client(auth) as client:
        client.get(open_api.url)
        clock.advance(3600 - 100)
        client.get(open_api.url)
        auth.close()
        client.get(open_api.url)
    assert ["Bearer token-1", "Bearer token-1", "Bearer token-2"] == sent(open_api)
    assert 2 == tokens.calls


def test_a_hanging_store_holds_up_no_request(
    plugin_mode: Mode, tokens: Tokens, open_api: ScriptedServer, clock: Clock
) -> None:
    """A store that doesn't answer at a renewal holds up nobody while the token is good."""
    gate = Gate()
    store = HangingStore(gate)
    auth = client_credentials(plugin_mode, tokens, store=store)
    try:
        with plugin_mode.client(auth) as client:
            # The first look at the store finds nothing, the one under the lock must be quick, too.
            store._loads = itertools.chain((0, 0), itertools.repeat(1))  # type: ignore[assignment]
            client.get(open_api.url)
            clock.advance(3600 - 100)
            client.get(open_api.url)
            gate.await_call()
            client.get(open_api.url)
            clock.advance(100 - 0.2)  # now within the leeway
            client.get(open_api.url)
        assert ["Bearer token-1"] * 4 == sent(open_api)
    finally:
        gate.open()
        auth.close()


@pytest.mark.parametrize("left", [200, 9], ids=["in-window", "within-leeway"])
def test_a_stored_token_outlives_an_outage_at_the_start(
    plugin_mode: Mode, tokens: Tokens, clock: Clock, open_api: ScriptedServer, left: float
) -> None:
    """A program that starts with a stored token, while the token endpoint is down, sends it until it expires."""
    tokens.answer = lambda request: DOWN
    clock_end = clock.now + left
    store = MemoryTokenStore()
    store.save("key", OAuthToken(access_token="stored", expires_in=3600, expiry=clock_end))
    auth = client_credentials(plugin_mode, tokens, store=store, store_key="key")
    with plugin_mode.client(auth) as client:
        client.get(open_api.url)
        assert ["Bearer stored"] == sent(open_api)
        clock.advance(max(clock_end - clock.now, 0))
        with pytest.raises(TokenError):
            client.get(open_api.url)


@pytest.mark.parametrize("store", [MemoryTokenStore, BrokenStore])
def test_a_given_token_outlives_an_outage_at_the_start(
    plugin_mode: Mode, tokens: Tokens, clock: Clock, open_api: ScriptedServer, store: Callable[[], Any]
) -> None:
    """The same for a `token=` given beside a store: it's sent until it expires, though it's within its leeway."""
    tokens.answer = lambda request: DOWN
    auth = client_credentials(plugin_mode, tokens, token=token_that_expires_in(9), store=store())
    with plugin_mode.client(auth) as client:
        client.get(open_api.url)
    assert ["Bearer given"] == sent(open_api)


@pytest.mark.parametrize("answer", [DOWN, REFUSED], ids=["down", "client-refused"])
def test_an_outage_for_the_whole_window_goes_unnoticed(
    plugin_mode: Mode, tokens: Tokens, clock: Clock, open_api: ScriptedServer, answer: Answer
) -> None:
    """The token endpoint may be down for the whole window and the leeway: no request notices."""
    auth = client_credentials(plugin_mode, tokens)
    with plugin_mode.client(auth) as client:
        client.get(open_api.url)
        expiry = auth.token.expiry
        tokens.answer = lambda request: answer
        clock.advance(3600 - 310)
        while clock.now < expiry:
            assert 200 == client.get(open_api.url).status_code
            auth.close()
            clock.advance(15)
        assert {"Bearer token-1"} == set(sent(open_api))
        assert tokens.calls > 3
        tokens.answer = None
        clock.advance(60)
        assert 200 == client.get(open_api.url).status_code
    assert "Bearer token-2" == sent(open_api)[-1]


# -- How often it's tried -------------------------------------------------------------------------------------------


class Attempts:
    """A token endpoint that fails, and when each flight began to ask it."""

    def __init__(self, clock: Clock, answer: Answer) -> None:
        self.times: list[float] = []
        self._clock = clock
        self._answer = answer
        self._begun = True

    def __call__(self, request: Received) -> Answer:
        if self._begun:
            self.times.append(self._clock.now)
            self._begun = False
        return self._answer

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in itertools.pairwise(self.times)]

    def watch(self, auth: Any, seconds: float, step: float = 0.25) -> None:
        """Ask for a token again and again for so long, one attempt at a time."""
        end = self._clock.now + seconds
        while self._clock.now < end:
            outcome_of(auth.get_token)
            auth.close()
            self._begun = True
            self._clock.advance(step)


@pytest.mark.parametrize("answer", [DOWN, REFUSED], ids=["down", "refused"])
def test_attempts_are_spaced_by_growing_pauses(plugin_mode: Mode, tokens: Tokens, clock: Clock, answer: Answer) -> None:
    """In the window a renewal that fails is tried again after 1 s at the earliest, then ever later, up to 60 s."""
    tokens.answer = attempts = Attempts(clock, answer)
    token = OAuthToken(access_token="given", expires_in=7200, expiry=clock.now + 600)
    auth = client_credentials(plugin_mode, tokens, token=token, refresh_window=1200)
    attempts.watch(auth, 590)
    # A flight's own retries take up to 1.8 s, the watching a step or two.
    slack = 2.5
    assert 1 <= attempts.pauses[0] <= 2 + slack
    assert all(1 <= pause <= 60 + slack for pause in attempts.pauses), attempts.pauses
    assert all(earlier < later + slack for earlier, later in itertools.pairwise(attempts.pauses[:6])), attempts.pauses
    assert all(30 <= pause for pause in attempts.pauses[6:]), attempts.pauses
    assert 12 <= len(attempts.times) <= 24


def test_pauses_are_jittered(plugin_mode: Mode, tokens: Tokens, clock: Clock) -> None:
    """Programs whose renewals failed at the same moment don't all try again at the same moment."""
    pauses = set()
    for _ in range(5):
        tokens.answer = attempts = Attempts(clock, REFUSED)
        auth = client_credentials(plugin_mode, tokens, token=token_that_expires_in(150))
        attempts.watch(auth, 30, step=0.1)
        pauses.add(tuple(round(pause, 3) for pause in attempts.pauses[:4]))
    assert len(pauses) > 1


def test_a_success_begins_the_pauses_anew(plugin_mode: Mode, tokens: Tokens, clock: Clock) -> None:
    """After a renewal that worked, a failure is followed by a short pause again."""
    auth = client_credentials(plugin_mode, tokens, token=token_that_expires_in(150))
    first = tokens.answer = Attempts(clock, REFUSED)
    first.watch(auth, 60)
    tokens.answer = None
    clock.advance(60)
    assert "given" == auth.get_token().access_token
    auth.close()
    assert "token-1" == auth.get_token().access_token
    clock.advance(3600 - 150)
    second = tokens.answer = Attempts(clock, REFUSED)
    second.watch(auth, 60)
    assert 1 <= second.pauses[0] <= 2.5


@pytest.mark.parametrize("left", [400, 0], ids=["valid-token", "no-token"])
def test_retry_after_is_honoured(plugin_mode: Mode, tokens: Tokens, clock: Clock, left: float) -> None:
    """A server that asks for a pause gets it: no attempt before, and one soon after; with a token or without."""
    attempts = tokens.answer = Attempts(clock, Answer(503, b"", (("Retry-After", "90"),)))
    token = OAuthToken(access_token="given", expires_in=7200, expiry=clock.now + left)
    auth = client_credentials(plugin_mode, tokens, token=token, refresh_window=1200)
    attempts.watch(auth, 300)
    assert 4 == tokens.calls
    assert all(90 <= pause <= 91 for pause in attempts.pauses), attempts.pauses


def test_a_final_refusal_is_remembered(mode: Mode, tokens: Tokens, clock: Clock, open_api: ScriptedServer) -> None:
    """After a final refusal callers get it at once, as an exception of their own, without a token call."""
    tokens.answer = lambda request: REFUSED
    auth = client_credentials(mode, tokens)
    with mode.client(auth) as client:
        errors = [outcome_of(client.get, open_api.url) for _ in range(20)]
        assert {OAuthProviderException} == {type(error) for error in errors}
        assert 20 == len({id(error) for error in errors})
        assert 1 == len({str(error) for error in errors})
        assert 1 == tokens.calls
        tokens.answer = None
        clock.advance(60)
        assert 200 == client.get(open_api.url).status_code
    assert 2 == tokens.calls
    assert ["Bearer token-1"] == sent(open_api)


def _with_a_secret_of_two_forms(mode: Mode, tokens: Tokens) -> Any:
    return mode.plugin.ClientCredentialsAuth(tokens.url, "client", "se cret+")


def _with_a_refresh_token_and_a_password(mode: Mode, tokens: Tokens) -> Any:
    token = OAuthToken(access_token="old", expires_in=0, refresh_token="dead")
    return mode.plugin.PasswordAuth(tokens.url, "client", "secret", username="u", password="p", token=token)


@pytest.mark.parametrize("error", ["invalid_client", "invalid_scope"])
@pytest.mark.parametrize(
    "make", [client_credentials, _with_a_secret_of_two_forms, _with_a_refresh_token_and_a_password]
)
def test_a_final_refusal_costs_three_calls_a_second_at_most(
    plugin_mode: Mode, tokens: Tokens, clock: Clock, make: Callable[[Mode, Tokens], Any], error: str
) -> None:
    """A server that refuses for good isn't asked by each request: three calls in a second, ever fewer in a minute."""
    times: list[float] = []

    def refuse(request: Received) -> Answer:
        times.append(clock.now)
        return Answer(400, {"error": error})

    tokens.answer = refuse
    auth = make(plugin_mode, tokens)
    begun = clock.now
    while clock.now < begun + 60:
        with pytest.raises(TokenError):
            auth.get_token()
        clock.advance(0.1)
    busiest = max(sum(begin <= moment < begin + 1 for moment in times) for begin in times)
    assert 1 <= busiest <= 3
    assert len(times) <= 15


@pytest.mark.parametrize("expires_in", [3600, None], ids=["an-hour", "no-expiry"])
def test_a_failed_refresh_brings_no_renewal_forward(
    plugin_mode: Mode, tokens: Tokens, clock: Clock, open_api: ScriptedServer, expires_in: float | None
) -> None:
    """After a `refresh()` that failed the token is as good as before: it's renewed when it's due, and not earlier."""
    tokens.fields["expires_in"] = expires_in
    auth = client_credentials(plugin_mode, tokens)
    plugin_mode.get_token(auth)
    tokens.answer = lambda request: REFUSED
    with pytest.raises(TokenError):
        plugin_mode.refresh(auth)
    assert 2 == tokens.calls
    with plugin_mode.client(auth) as client:
        for _ in range(20):
            clock.advance(60)
            assert 200 == client.get(open_api.url).status_code
            auth.close()
    assert ["Bearer token-1"] * 20 == sent(open_api)
    assert 2 == tokens.calls


def test_a_failed_refresh_is_forgotten_in_time(
    plugin_mode: Mode, tokens: Tokens, clock: Clock, open_api: ScriptedServer
) -> None:
    """A `refresh()` that failed long ago doesn't keep a request within the leeway from waiting for a better token."""
    auth = client_credentials(plugin_mode, tokens)
    plugin_mode.get_token(auth)
    tokens.answer = lambda request: REFUSED
    with pytest.raises(TokenError):
        plugin_mode.refresh(auth)
    tokens.answer = None
    clock.advance(3600 - 9)
    with plugin_mode.client(auth) as client:
        client.get(open_api.url)
    assert ["Bearer token-2"] == sent(open_api)


def test_a_fixed_token_is_never_renewed(
    plugin_mode: Mode, clock: Clock, open_api: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """`BearerAuth` sends its token whatever its age, also after a `refresh()`, which says that it can't be renewed."""
    auth = plugin_mode.plugin.BearerAuth(token_that_expires_in(5))
    with plugin_mode.client(auth) as client:
        client.get(open_api.url)
        with pytest.raises(ReauthorizationRequired):
            plugin_mode.refresh(auth)
        caplog.clear()
        for _ in range(3):
            clock.advance(60)
            client.get(open_api.url)
            auth.close()
    assert ["Bearer given"] * 4 == sent(open_api)
    assert [] == [record for record in caplog.records if record.name == "oauth_auth"]


def test_a_renewal_that_brings_the_same_token_is_not_repeated_at_once(
    plugin_mode: Mode, clock: Clock, open_api: ScriptedServer
) -> None:
    """Providers and servers that keep a token until it expires aren't asked again by each request in its window."""
    token = token_that_expires_in(150)
    asked = []

    def provider(last: OAuthToken | None) -> OAuthToken:
        asked.append(clock.now)
        return token

    auth = plugin_mode.plugin.TokenProviderAuth(provider, token=token)
    with plugin_mode.client(auth) as client:
        for _ in range(20):
            client.get(open_api.url)
            auth.close()
            clock.advance(0.04)
    assert ["Bearer given"] * 20 == sent(open_api)
    assert 1 == len(asked)


def test_a_renewal_that_fails_is_not_held_against_the_api(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, clock: Clock
) -> None:
    """While the token endpoint is down, rejections don't add up: the first request after that gets a new token."""
    with plugin_mode.client(client_credentials(plugin_mode, tokens, token=token_that_expires_in(3000))) as client:
        tokens.answer = lambda _: Answer(503)
        for _ in range(6):
            assert isinstance(outcome_of(client.get, api.url), TokenError)
        tokens.answer = None
        assert 200 == client.get(api.url).status_code


def test_callers_are_held_as_long_as_the_server_asked(plugin_mode: Mode, tokens: Tokens, clock: Clock) -> None:
    """However often it failed: after the time in `Retry-After` a caller without a token asks again."""
    auth = client_credentials(plugin_mode, tokens)
    tokens.answer = lambda _: Answer(429, headers=(("Retry-After", "20"),))
    for calls in range(1, 9):
        for _ in range(3):
            assert isinstance(outcome_of(auth.get_token), TokenResponseError)
        assert calls == tokens.calls
        clock.advance(20)
    tokens.answer = None
    assert "token-1" == auth.get_token().access_token


def test_a_token_that_expires_while_its_renewal_is_waited_for(
    plugin_mode: Mode, tokens: Tokens, gate: Gate, open_api: ScriptedServer, clock: Clock
) -> None:
    """A caller who would send the old token then, but finds that it has expired meanwhile, waits on for the new one."""
    with plugin_mode.client(client_credentials(plugin_mode, tokens, token=token_that_expires_in(3))) as client:
        request = client.begin("GET", open_api.url)
        gate.await_call()
        clock.advance(3)  # long before the caller has waited so long
        with pytest.raises(TimeoutError):
            request.result(3.5)
        gate.open()
        assert 200 == request.result(20).status_code
    assert ["Bearer token-1"] == sent(open_api)
