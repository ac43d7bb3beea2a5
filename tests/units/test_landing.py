"""What each ending of a flight makes of the state that requests are decided by, and what it brings to who waits."""

from __future__ import annotations

import weakref
from functools import partial
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthError, OAuthToken, ReauthorizationRequired, TokenError
from oauth_auth._flight import run
from oauth_auth._record import replace
from oauth_auth._renewal.backoff import Cooldown, Failure
from oauth_auth._renewal.decisions import Purpose, Reason, RenewalSettings, SameToken, State
from oauth_auth._renewal.effects import carry_out_renewal
from oauth_auth._renewal.entry import Entry, SharedFailure, identity, pack
from oauth_auth._renewal.landing import (
    Acquired,
    Failed,
    Flown,
    Got,
    Nothing,
    Why,
    land_failed,
    land_token,
    land_without,
    provide,
    still_valid,
)
from oauth_auth._renewal.slot import Slot
from oauth_auth._renewal.source import TokenSource
from oauth_auth._renewal.store_entry import StoreEntry
from oauth_auth._server.grant import Grant
from oauth_auth._server.grants import RefreshTokenGrant
from oauth_auth._wire.challenges import Demand, Kind
from oauth_auth._wire.token import Credential
from tests.support.steps import HandClock, Highest, Lowest, at, token_calls


def credential(text: str, expires_at: float = 3600.0) -> Credential:
    token = OAuthToken(access_token=text, expires_in=3600, expiry=at(expires_at).wall)
    return Credential.from_token(token, at(0), Highest(), leeway=10.0, refresh_window=300.0)


HELD, OTHER = credential("held"), credential("other", 5000.0)
FAILURE = Failure(TokenError("before"), 2, Cooldown.begin(at(0), 4.0), at(0).wall)
HOLDING, FAILED = State(HELD), State(HELD, FAILURE)
NOW = Flown(at(100), Lowest(), HELD, duration=2.5)
COLD = replace(NOW, held=None)
LOGGED_OUT = replace(NOW, has_token=False)
DEMAND = Demand(Kind.SCOPE, "write")
MISSING, DUE, REJECTED = Purpose(Reason.MISSING), Purpose(Reason.DUE), Purpose(Reason.REJECTED, HELD.header)
WRONG = TokenError("wrong")

# -- With a token ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("is_own", "flown", "brought", "is_new", "event"),
    [
        (True, COLD, OTHER, True, "acquired"),
        (True, NOW, OTHER, True, "renewed"),
        (True, NOW, HELD, True, "renewed"),  # as from a provider's cache: it was made all the same
        (False, NOW, OTHER, True, "adopted"),
        (False, NOW, HELD, False, "adopted"),
        (False, COLD, OTHER, False, "adopted"),  # a first token is new only if it was made here
    ],
)
def test_which_token_is_new(is_own: bool, flown: Flown, brought: Credential, is_new: bool, event: str) -> None:
    """One that was made here, and one that was found in place of another."""
    state = State(flown.held)
    landed = land_token(state, Acquired(brought.token, is_own=is_own), brought, DUE, flown)
    assert Got(brought, is_new=is_new, is_replacement=False) == landed.outcome
    assert landed.event is not None
    assert (event, 2.5, 3600) == (landed.event.name, *landed.event.fields.values())


@pytest.mark.parametrize("is_own", [True, False])
@pytest.mark.parametrize(
    ("purpose", "replaces"),
    [
        *((Purpose(reason), reason in {Reason.REJECTED, Reason.FORCED, Reason.LOGIN}) for reason in Reason),
        (Purpose(Reason.MISSING, demand=DEMAND), True),
    ],
)
def test_which_token_is_a_replacement(purpose: Purpose, replaces: bool, is_own: bool) -> None:
    """One that was made here since the one before was rejected, or unwanted: nobody need try a third."""
    landed = land_token(HOLDING, Acquired(OTHER.token, is_own), OTHER, purpose, NOW)
    expected = replaces and is_own
    assert State(OTHER, is_replacement=expected) == landed.state
    assert Got(OTHER, is_new=True, is_replacement=expected) == landed.outcome


def test_a_token_ends_what_failed_before() -> None:
    """Failures are forgotten with the first token that comes after them."""
    assert State(OTHER) == land_token(FAILED, Acquired(OTHER.token, is_own=False), OTHER, DUE, NOW).state


def test_the_same_token_again_is_no_renewal() -> None:
    """The next attempt comes after a pause, and the token is sent meanwhile."""
    state = land_token(HOLDING, Acquired(HELD.token, is_own=True), HELD, DUE, NOW).state
    assert state.failure is not None
    assert isinstance(state.failure.error, SameToken)
    assert (HELD, 1) == (state.credential, state.failure.times)


# -- With nothing ---------------------------------------------------------------------------------------------------

CHECKED = replace(FAILED, checked=Cooldown.begin(at(99), 1.0))
LOOKED = Cooldown.begin(at(100), 1.0)


@pytest.mark.parametrize(
    ("why", "purpose", "before", "flown", "after", "outcome"),
    [
        (Why.DEFERRED, DUE, HOLDING, NOW, HOLDING.deferred(at(100)), None),
        (Why.DEFERRED, DUE, FAILED, NOW, FAILED.deferred(at(100)), None),
        (Why.DEFERRED, DUE, HOLDING, LOGGED_OUT, State(), None),
        (Why.DEFERRED, MISSING, State(), COLD, State(), None),
        # A look for a sibling's token that finds none has the failure that led to it.
        (Why.DEFERRED, replace(MISSING, check_only=True), CHECKED, NOW, CHECKED, Failed(FAILURE.error)),
        (
            *(Why.DEFERRED, replace(MISSING, check_only=True), CHECKED, LOGGED_OUT),
            *(State(failure=FAILURE), Failed(FAILURE.error)),
        ),
        (Why.DEFERRED, replace(MISSING, check_only=True), HOLDING, NOW, HOLDING.deferred(at(100)), None),
        (Why.ABSENT, Purpose(Reason.LOOK), State(), COLD, State(looked=LOOKED), None),
        (Why.ABSENT, Purpose(Reason.LOOK), FAILED, NOW, State(failure=FAILURE, looked=LOOKED), None),
        (Why.BARE, Purpose(Reason.ASK), FAILED, NOW, State(failure=FAILURE, looked=LOOKED), None),
        (Why.VAIN, Purpose(Reason.LOGIN, demand=DEMAND), FAILED, NOW, FAILED, None),
        (Why.VAIN, Purpose(Reason.LOGIN, demand=DEMAND), FAILED, LOGGED_OUT, State(), None),
        (Why.ENDED, Purpose(Reason.LOGIN), FAILED, NOW, State(), None),
    ],
)
def test_landing_without_a_token(
    why: Why, purpose: Purpose, before: State, flown: Flown, after: State, outcome: Failed | None
) -> None:
    """What is left of the state, and that who waits decides anew, but after a look that was the last resort."""
    landed = land_without(before, Nothing(why), purpose, flown)
    assert (after, outcome or Nothing(why), None) == (landed.state, landed.outcome, landed.event)


@pytest.mark.parametrize(
    ("state", "flown", "expected"),
    [
        (FAILED, NOW, FAILED),
        (FAILED, LOGGED_OUT, State()),
        (State(failure=FAILURE), LOGGED_OUT, State(failure=FAILURE)),  # there was no token that could have ended
    ],
)
def test_a_logout_elsewhere_ends_what_there_was(state: State, flown: Flown, expected: State) -> None:
    """Nothing of a login is left that the user has ended in another program."""
    assert expected == still_valid(state, flown)


# -- With an error --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "shared_times", "times", "pause"),
    [
        (HOLDING, 0, 1, 1.0),
        (FAILED, 0, 3, 4.0),
        (FAILED, 1, 3, 4.0),  # the program has counted more itself
        (HOLDING, 4, 5, 16.0),  # a fleet has failed four times: it's as if this program had
        (State(), 4, 5, 16.0),
    ],
)
def test_failures_of_the_fleet_count(before: State, shared_times: int, times: int, pause: float) -> None:
    """The pause after a failure grows with all failures in a row, whichever program on the store they were."""
    landed = land_failed(before, WRONG, NOW, shared_times=shared_times)
    assert landed.state.failure == Failure(WRONG, times, Cooldown.begin(at(100), pause), at(100).wall)
    assert landed.event is not None
    assert {"duration": 2.5, "pause": pause, "error_type": "TokenError", "error": "wrong"} == landed.event.fields
    assert before.credential == landed.state.credential


@pytest.mark.parametrize("is_for_all", [True, False])
def test_whose_error_it_is(is_for_all: bool) -> None:
    """It's of all that wait, or they decide anew."""
    landed = land_failed(HOLDING, WRONG, NOW, shared_times=0, is_for_all=is_for_all)
    assert Failed(WRONG, is_for_all=is_for_all) == landed.outcome


def test_a_failure_after_a_logout_elsewhere_counts_on() -> None:
    """The token is gone with its login; how many renewals have failed is still known."""
    state = land_failed(FAILED, WRONG, LOGGED_OUT, shared_times=0).state
    assert (None, 3) == (state.credential, state.failure and state.failure.times)


# -- In between -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "rejected", "is_provided"),
    [(0, None, True), (0, HELD.header, True), (0, OTHER.header, False), (5000.0, None, False)],
)
def test_what_is_provided(seconds: float, rejected: str | None, is_provided: bool) -> None:
    """A stored token in its last seconds, but not the one that an API has rejected, nor one that has expired."""
    state = provide(FAILED, OTHER, at(seconds), rejected=rejected)
    assert (State(OTHER, FAILURE) if is_provided else FAILED) == state


# -- What a source makes of it --------------------------------------------------------------------------------------


class Now:
    """A flight that does its work when it's waited for."""

    is_reentrant = is_retrying = False
    is_under_way = True

    def __init__(self, procedure: Any, entry: StoreEntry, clock: HandClock) -> None:
        self._work = partial(carry_out_renewal, procedure, entry, clock)
        self.outcome: Any = None

    def start(self, *, in_background: bool = False) -> None: ...

    def wait(self, timeout: float | None = None) -> Any:
        if self.is_under_way:
            self.outcome = self._work()
            self.is_under_way = False
        return self.outcome

    async def wait_async(self, timeout: float | None = None) -> Any:
        raise AssertionError


def source_on(stored: Entry, grant: Grant | None = None) -> tuple[Any, HandClock]:
    """Return a source on a store that holds this."""
    clock, store = HandClock(), MemoryTokenStore()
    store.save("key", pack(stored, {}))
    entry = StoreEntry(store, "key", clock=clock)
    source = TokenSource(
        grant or RefreshTokenGrant(token_calls(clock=clock), refresh_token="given"),
        RenewalSettings(10.0, 300.0, 10.0, None),
        entry=entry,
        clock=clock,
        chance=Lowest(),
        begin=lambda procedure: Now(procedure, entry, clock),
    )
    return source, clock


def error_of(steps: Any) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        run(steps)
    return caught.value


def test_a_source_counts_the_failures_of_its_siblings() -> None:
    """It pauses as long as they do, though it hasn't asked the server itself."""
    failure = SharedFailure("sibling", "TokenTransportError", "no", {}, 4, at(0).wall, 5.0)
    source, _ = source_on(Entry(failure=failure))
    error_of(source.obtain())
    assert source._slot.state.failure is not None
    assert (5, 16.0) == (source._slot.state.failure.times, source._slot.state.failure.cooldown.length)


class Busy(Grant):
    """A grant that notes what requests were sent with while it made a token, which fails."""

    def __init__(self) -> None:
        self.source: Any = None
        self.meanwhile: list[str | None] = []

    def request_token(self, last: Any, refusal: Any, key: Any = None) -> Any:
        yield from ()
        current = self.source.current
        self.meanwhile.append(None if current is None else current.token.access_token)
        raise TokenError("no")


@pytest.mark.parametrize("is_rejected", [False, True])
def test_a_source_sends_no_rejected_token_meanwhile(is_rejected: bool) -> None:
    """A stored token in its last seconds is sent while a better one is made, unless an API has just rejected it."""
    last = OAuthToken(access_token="last", expires_in=3600, expiry=at(5).wall)
    grant = Busy()
    grant.source, _ = source_on(Entry(last, login=identity(last)), grant)
    rejected = "Bearer last" if is_rejected else "Bearer another"
    steps = grant.source.replace(rejected, "origin", "/", "")
    if is_rejected:
        error_of(steps)
    else:
        assert "last" == run(steps).credential.token.access_token
    assert [None if is_rejected else "last"] == grant.meanwhile


def test_a_first_token_that_was_found_is_not_what_a_refresh_asks_for() -> None:
    """Who calls `refresh()` while a request looks for a first token gets one that's made for it."""
    found = OAuthToken(access_token="found", expires_in=3600, expiry=at(3600).wall)
    source, _ = source_on(Entry(found, login=identity(found)), Busy())
    source._grant.source = source
    obtaining = source.obtain()
    landing: Any = next(obtaining)
    refreshing = source.renew()
    assert landing.flight is next(refreshing).flight
    outcome = landing.wait()
    assert Got(source.current, is_new=False, is_replacement=False) == outcome
    again: Any = refreshing.send(outcome)
    assert again.flight is not landing.flight


def test_a_slot_keeps_its_reader_for_a_flight_alone() -> None:
    """Who drops an auth object has it gone at once, or when the flight has landed that's under way."""

    class Reader:
        current: Credential | None = None

    reader = Reader()
    slot = Slot(reader, HOLDING, HELD.token)
    assert HELD is reader.current
    slot.take(Now(iter(()), StoreEntry(None, ""), HandClock()), DUE)
    kept = weakref.ref(reader)
    del reader
    assert kept() is not None
    slot.conclude(State(OTHER), OTHER.token)
    assert (None, State(OTHER), OTHER.token) == (kept(), slot.state, slot.newest)


def test_a_flight_ends_with_what_it_publishes() -> None:
    """Who decides just then finds the new state, and no flight to wait for, though its thread has yet to end."""
    source, clock = source_on(Entry())
    flight = source._slot.take(Now(iter(()), StoreEntry(None, ""), clock), DUE)
    assert flight is source._slot.flight
    source._slot.conclude(HOLDING, HELD.token)
    assert (True, None, HELD) == (flight.is_under_way, source._slot.flight, source.current)


def test_who_could_log_in_is_asked_anew() -> None:
    """A failure in the background, after which a user can be asked, is nobody's error."""
    later = ReauthorizationRequired("a user must log in")
    later.retryable = True

    class Asking(Busy):
        def request_token(self, last: Any, refusal: Any, key: Any = None) -> Any:
            yield from ()
            raise later

    source, _ = source_on(Entry(), Asking())
    flight = source._renewals.renew(DUE)
    outcome = flight.wait()
    assert (False, str(later)) == (outcome.is_for_all, str(outcome.error))


def test_a_saver_is_begun_and_ended() -> None:
    """A refresh token that couldn't be saved has a saver until it's saved."""
    spent = OAuthToken(access_token="spent", refresh_token="refresh", expires_in=3600, expiry=at(-1).wall)
    source, _ = source_on(Entry(spent, login=identity(spent)))
    tokens = source._tokens
    source._renewals._mind_saver()
    assert source._renewals._saver is None
    tokens.known = replace(tokens.known, last=spent, is_unsaved=True)
    source._renewals._mind_saver()
    saver: Any = source._renewals._saver
    assert not saver.is_done.is_set()
    tokens.known = tokens.known.saved()
    source._renewals._mind_saver()
    assert (None, True) == (source._renewals._saver, saver.is_done.is_set())
