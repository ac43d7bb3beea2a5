"""Which token a request is sent with, when it's renewed, and who waits: tables of states, times and surroundings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oauth_auth import OAuthToken, ReauthorizationRequired, TokenError
from oauth_auth._clock import Now
from oauth_auth._record import replace
from oauth_auth._renewal.backoff import Cooldown, Failure, OriginBreaker
from oauth_auth._renewal.decisions import (
    Around,
    Bare,
    Decision,
    Decline,
    Fail,
    Purpose,
    Reason,
    SameToken,
    Send,
    State,
    Wait,
    for_demand,
    for_offer,
    for_rejection,
    for_renewal,
    for_request,
    for_step_up,
)
from oauth_auth._server.calls import unexpected
from oauth_auth._wire.challenges import Demand, Kind
from oauth_auth._wire.token import Credential
from tests.support.steps import Highest, Lowest, at

LIFETIME, STALE, DUE = 3600.0, 3590.0, 3290.0
"""A token's deadlines, in seconds after the start: where it expires, callers wait, it's renewed in the background."""

IDLE, RUNNING = Around(), Around(is_running=True)
RETRYING = Around(is_running=True, is_retrying=True)
SHARED = Around(is_shared=True)


def credential(text: str = "held", expires_at: float = LIFETIME) -> Credential:
    token = OAuthToken(access_token=text, expires_in=LIFETIME, expiry=at(expires_at).wall)
    return Credential.from_token(token, at(0), Highest(), leeway=10.0, refresh_window=300.0)


def failing(*, retryable: bool, retry_after: float | None = None) -> TokenError:
    error = TokenError("it failed")
    error.retryable = retryable
    error.retry_after = retry_after
    return error


HELD = credential()
NEWER = credential("newer", expires_at=LIFETIME + 1000)
UNENDING = Credential.unending(OAuthToken(access_token="given"))
PASSING, FINAL = failing(retryable=True), failing(retryable=False)
UNEXPECTED = unexpected("a hook's error")
ASKED = failing(retryable=True, retry_after=120.0)

EMPTY, FRESH = State(), State(HELD)


def failed_at(seconds: float, error: TokenError = PASSING, state: State = FRESH) -> State:
    return state.failed(error, at(seconds), Highest())


def due_again(seconds: float, state: State = FRESH) -> Any:
    """Return the state with its renewal put off so far; the sum of floats is what the decision reckons."""
    return state.due_again_at(at(seconds).wall)


def plain(decision: Any) -> Any:
    """Return the decision with its credential as it was made, however far its renewal is put off by now."""
    if not isinstance(decision, Send):
        return decision
    sent = decision.credential
    return replace(decision, credential=replace(sent, refresh_at=sent.due_at))


# -- The state's deadlines, as the tables below take them -----------------------------------------------------------


def test_the_tables_know_the_deadlines() -> None:
    """The token of these tables falls due 300 s before its last 10 s."""
    start = at(0).wall
    assert (DUE, STALE, LIFETIME) == (HELD.due_at - start, HELD.stale_at - start, HELD.expires_at - start)


# -- A request ------------------------------------------------------------------------------------------------------

REQUESTS: dict[str, tuple[State, float, Around, Decision, Callable[[State], State] | None]] = {
    "no token": (EMPTY, 0, IDLE, Wait(Purpose(Reason.MISSING)), None),
    "no token, renewal under way": (EMPTY, 0, RUNNING, Wait(), None),
    "fresh": (FRESH, 0, IDLE, Send(HELD), None),
    "fresh, renewal under way": (FRESH, 0, RUNNING, Send(HELD), None),
    "fresh to the last": (FRESH, DUE - 0.5, IDLE, Send(HELD), None),
    "due": (
        FRESH,
        DUE,
        IDLE,
        Send(HELD, Purpose(Reason.DUE, can_wait=True)),
        lambda state: due_again(DUE + 10, state),
    ),
    "due, token_timeout of 30 s": (
        FRESH,
        DUE,
        Around(token_timeout=30.0),
        Send(HELD, Purpose(Reason.DUE, can_wait=True)),
        lambda state: due_again(DUE + 30, state),
    ),
    "due, at the end": (
        FRESH,
        STALE - 5,
        IDLE,
        Send(HELD, Purpose(Reason.DUE, can_wait=True)),
        lambda state: due_again(STALE, state),
    ),
    "due, renewal under way": (FRESH, DUE, RUNNING, Send(HELD), None),
    "due, launched before": (due_again(DUE + 10), DUE + 9, IDLE, Send(HELD), None),
    "stale": (FRESH, STALE, IDLE, Wait(Purpose(Reason.STALE), timeout=5.0), None),
    "stale, later": (FRESH, STALE + 8, IDLE, Wait(Purpose(Reason.STALE), timeout=1.0), None),
    "stale, renewal under way": (FRESH, STALE, RUNNING, Wait(timeout=5.0), None),
    "stale, renewal fails and tries again": (FRESH, STALE, RETRYING, Send(HELD), None),
    "stale, renewal has failed since it was due": (
        failed_at(DUE),
        STALE,
        IDLE,
        Send(HELD, Purpose(Reason.DUE)),
        lambda state: due_again(LIFETIME, state),
    ),
    "stale, renewal had failed before it was due": (
        failed_at(DUE - 100),
        STALE,
        IDLE,
        Wait(Purpose(Reason.STALE), timeout=5.0),
        None,
    ),
    "stale, deferred since it was due": (
        FRESH.deferred(at(STALE - 1)),
        STALE,
        IDLE,
        Send(HELD, Purpose(Reason.DUE)),
        lambda state: due_again(LIFETIME, state),
    ),
    "expired": (FRESH, LIFETIME, IDLE, Wait(Purpose(Reason.MISSING)), None),
    "expired, renewal under way": (FRESH, LIFETIME, RUNNING, Wait(), None),
    "unending": (State(UNENDING), 1e6, IDLE, Send(UNENDING), None),
    "failing, while the token is good": (failed_at(DUE), DUE + 1, IDLE, Send(HELD), None),
    "failing, due again": (
        replace(failed_at(DUE), credential=HELD),
        DUE + 0.5,
        IDLE,
        Send(HELD),
        lambda state: due_again(DUE + 2, state),
    ),
    "failed, and the pause is over": (
        failed_at(DUE),
        DUE + 2,
        IDLE,
        Send(HELD, Purpose(Reason.DUE, can_wait=True)),
        lambda state: due_again(DUE + 12, state),
    ),
    "no token, trouble that may pass": (
        failed_at(0, state=EMPTY),
        1,
        IDLE,
        Wait(Purpose(Reason.MISSING)),
        None,
    ),
    "no token, an error of an unknown kind": (
        failed_at(0, UNEXPECTED, EMPTY),
        0,
        IDLE,
        Wait(Purpose(Reason.MISSING)),
        None,
    ),
    "no token, an error of an unknown kind, renewal under way": (
        failed_at(0, UNEXPECTED, EMPTY),
        0,
        RUNNING,
        Wait(),
        None,
    ),
    "no token, an error of an unknown kind, a sibling may have one": (
        failed_at(0, UNEXPECTED, EMPTY),
        0,
        SHARED,
        Wait(Purpose(Reason.MISSING)),
        None,
    ),
    "due, an error of an unknown kind": (failed_at(DUE, UNEXPECTED), DUE + 1, IDLE, Send(HELD), None),
    "due, an error of an unknown kind, due again": (
        replace(failed_at(DUE, UNEXPECTED), credential=HELD),
        DUE + 0.5,
        IDLE,
        Send(HELD),
        lambda state: due_again(DUE + 2, state),
    ),
    "stale, an error of an unknown kind": (
        failed_at(STALE, UNEXPECTED),
        STALE + 1,
        IDLE,
        Send(HELD),
        lambda state: due_again(STALE + 2, state),
    ),
    "expired, an error of an unknown kind": (
        failed_at(LIFETIME, UNEXPECTED),
        LIFETIME,
        IDLE,
        Wait(Purpose(Reason.MISSING)),
        None,
    ),
    "no token, refused for good": (failed_at(0, FINAL, EMPTY), 1, IDLE, Fail(FINAL), None),
    "no token, refused for good, a while ago": (
        failed_at(0, FINAL, EMPTY),
        2,
        IDLE,
        Wait(Purpose(Reason.MISSING)),
        None,
    ),
    "no token, refused for good, renewal under way": (failed_at(0, FINAL, EMPTY), 1, RUNNING, Wait(), None),
    "no token, the server asks for a pause": (failed_at(0, ASKED, EMPTY), 119, IDLE, Fail(ASKED), None),
    "no token, the pause is over": (failed_at(0, ASKED, EMPTY), 120, IDLE, Wait(Purpose(Reason.MISSING)), None),
    "no token, refused, a sibling may have one": (
        failed_at(0, FINAL, EMPTY),
        0.5,
        SHARED,
        Wait(Purpose(Reason.MISSING, check_only=True)),
        lambda state: replace(state, checked=Cooldown.begin(at(0.5), 1.0)),
    ),
    "no token, refused, looked for a sibling's a moment ago": (
        replace(failed_at(0, FINAL, EMPTY), checked=Cooldown.begin(at(0.5), 1.0)),
        1.4,
        SHARED,
        Fail(FINAL),
        None,
    ),
    "no token, refused, looked for a sibling's a while ago": (
        replace(failed_at(0, FINAL, EMPTY), checked=Cooldown.begin(at(0.5), 1.0)),
        1.5,
        SHARED,
        Wait(Purpose(Reason.MISSING, check_only=True)),
        lambda state: replace(state, checked=Cooldown.begin(at(1.5), 1.0)),
    ),
    "expired, refused for good": (failed_at(LIFETIME, FINAL), LIFETIME + 1, IDLE, Fail(FINAL), None),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_decided(name: str) -> None:
    """A request is sent, waits or fails as the token's age, the last failure and the surroundings say."""
    state, seconds, around, decision, after = REQUESTS[name]
    expected = state if after is None else after(state)
    found, after_it = for_request(state, at(seconds), around)
    assert (type(decision), decision, expected) == (type(found), plain(found), after_it)


WINDOWS: list[tuple[float, dict[str, float], float, str]] = [
    # lifetime, options, seconds left, what happens
    (3600, {}, 310.1, "nothing"),
    (3600, {}, 159.9, "renewed in the background"),
    (3600, {}, 10.1, "renewed in the background"),
    (3600, {}, 9.9, "waited for"),
    # a lifetime at which the caps begin to count, and shorter ones
    (100, {}, 30.1, "nothing"),
    (100, {}, 19.9, "renewed in the background"),
    (100, {}, 10.1, "renewed in the background"),
    (100, {}, 9.9, "waited for"),
    (50, {}, 15.1, "nothing"),
    (50, {}, 9.9, "renewed in the background"),
    (50, {}, 5.1, "renewed in the background"),
    (50, {}, 4.9, "waited for"),
    (1, {}, 0.301, "nothing"),
    (1, {}, 0.199, "renewed in the background"),
    (1, {}, 0.101, "renewed in the background"),
    (1, {}, 0.099, "waited for"),
    # the user's own windows, below the caps and above
    (3600, {"leeway": 60, "refresh_window": 600}, 660.1, "nothing"),
    (3600, {"leeway": 60, "refresh_window": 600}, 359.9, "renewed in the background"),
    (3600, {"leeway": 60, "refresh_window": 600}, 60.1, "renewed in the background"),
    (3600, {"leeway": 60, "refresh_window": 600}, 59.9, "waited for"),
    (3600, {"leeway": 1e6, "refresh_window": 1e6}, 1080.1, "nothing"),
    (3600, {"leeway": 1e6, "refresh_window": 1e6}, 719.9, "renewed in the background"),
    (3600, {"leeway": 1e6, "refresh_window": 1e6}, 360.1, "renewed in the background"),
    (3600, {"leeway": 1e6, "refresh_window": 1e6}, 359.9, "waited for"),
    # none of the one or of the other
    (3600, {"leeway": 0}, 0.1, "renewed in the background"),
    (3600, {"leeway": 0}, 0.0, "waited for"),
    (3600, {"refresh_window": 0}, 10.1, "nothing"),
    (3600, {"refresh_window": 0}, 9.9, "waited for"),
    (3600, {"leeway": 0, "refresh_window": 0}, 0.1, "nothing"),
    (3600, {"leeway": 0, "refresh_window": 0}, 0.0, "waited for"),
]


@pytest.mark.parametrize(("lifetime", "options", "left", "expected"), WINDOWS)
def test_the_windows(lifetime: float, options: dict[str, float], left: float, expected: str) -> None:
    """The leeway is at most a tenth of the lifetime, the window before it a fifth; renewal begins in its first half."""
    token = OAuthToken(access_token="given", expires_in=lifetime, expiry=at(lifetime).wall)
    windows: dict[str, Any] = {"leeway": 10.0, "refresh_window": 300.0, **options}
    for chance in (Highest(), Lowest()):
        held = Credential.from_token(token, at(0), chance, **windows)
        decision, _ = for_request(State(held), at(lifetime - left), IDLE)
        if isinstance(decision, Send):
            assert expected == ("nothing" if decision.launch is None else "renewed in the background")
        else:
            assert expected == "waited for"


# -- A rejection ----------------------------------------------------------------------------------------------------

OTHER = "Bearer another"
RENEW = Wait(Purpose(Reason.REJECTED, HELD.header), counts=True)
DOUBT = Wait(Purpose(Reason.REJECTED, HELD.header, doubts_server=True), counts=True)
"""The same, after the pause that follows vain renewals: the resource may have another server by now."""
BLOCKING = OriginBreaker(3, Cooldown.begin(at(0), 10.0), frozenset({"/path"}))
FREE = OriginBreaker(1, Cooldown.begin(at(0), 0.0), frozenset({"/path"}))
"""After a vain renewal, of which the next needs no pause."""
TOLD = OriginBreaker.told(None, at(0), "/path")
"""An origin of which no renewal was vain: that it rejects a new token was told, no more."""
REJECTIONS: dict[str, tuple[State, float, Around, str, OriginBreaker | None, Decision]] = {
    "the current one": (FRESH, 0, IDLE, HELD.header, None, RENEW),
    "the current one, renewal under way": (FRESH, 0, RUNNING, HELD.header, None, Wait()),
    "an older one": (FRESH, 0, IDLE, OTHER, None, Send(HELD)),
    "an older one, renewal under way": (FRESH, 0, RUNNING, OTHER, None, Send(HELD)),
    "an older one, the current one is stale": (FRESH, STALE, IDLE, OTHER, None, Wait(Purpose(Reason.REJECTED, OTHER))),
    "an older one, stale, renewal under way": (FRESH, STALE, RUNNING, OTHER, None, Wait()),
    "an older one, stale, renewals fail": (failed_at(STALE), STALE + 1, IDLE, OTHER, None, Send(HELD)),
    "an older one, stale, failing, renewal under way": (failed_at(STALE), STALE + 1, RUNNING, OTHER, None, Wait()),
    "the current one, and it has expired": (FRESH, LIFETIME, IDLE, HELD.header, None, RENEW),
    "after a failure that may pass": (
        failed_at(0),
        1,
        IDLE,
        HELD.header,
        None,
        Wait(Purpose(Reason.REJECTED, HELD.header)),
    ),
    "after a renewal that brought the same token": (failed_at(0, SameToken("same")), 1, IDLE, HELD.header, None, RENEW),
    "after a refusal": (failed_at(0, FINAL), 1, IDLE, HELD.header, None, Fail(FINAL)),
    "after an error of an unknown kind": (
        failed_at(0, UNEXPECTED),
        0,
        IDLE,
        HELD.header,
        None,
        Wait(Purpose(Reason.REJECTED, HELD.header)),
    ),
    "after a refusal, a while ago": (
        failed_at(0, FINAL),
        2,
        IDLE,
        HELD.header,
        None,
        Wait(Purpose(Reason.REJECTED, HELD.header)),
    ),
    "while the server asks for a pause": (failed_at(0, ASKED), 100, IDLE, HELD.header, None, Fail(ASKED)),
    "by an origin that rejects everything": (FRESH, 9, IDLE, HELD.header, BLOCKING, Decline()),
    "by such an origin, an older one": (FRESH, 9, IDLE, OTHER, BLOCKING, Send(HELD)),
    "by such an origin, after a refusal": (failed_at(8, FINAL), 9, IDLE, HELD.header, BLOCKING, Fail(FINAL)),
    "by such an origin, when the pause is over": (FRESH, 10, IDLE, HELD.header, BLOCKING, DOUBT),
    "by such an origin, when the pause is over, after a refusal": (
        failed_at(9, FINAL),
        10,
        IDLE,
        HELD.header,
        BLOCKING,
        Fail(FINAL),
    ),
    "by such an origin, an older one, when the pause is over": (FRESH, 10, IDLE, OTHER, BLOCKING, Send(HELD)),
    "by such an origin, an older one, and the current one has expired": (
        FRESH,
        LIFETIME,
        IDLE,
        OTHER,
        BLOCKING,
        Wait(Purpose(Reason.REJECTED, OTHER, doubts_server=True), counts=True),
    ),
    "after a vain renewal, without a pause": (FRESH, 0, IDLE, HELD.header, FREE, RENEW),
    "after a vain renewal, another under way": (FRESH, 0, RUNNING, HELD.header, FREE, Wait()),
    "after a vain renewal, of a token that this path has accepted": (
        FRESH,
        0,
        IDLE,
        HELD.header,
        replace(FREE, accepting=frozenset({("/path", HELD.header)})),
        RENEW,
    ),
    "after a vain renewal, of a token that another path has accepted": (
        FRESH,
        0,
        IDLE,
        HELD.header,
        replace(FREE, accepting=frozenset({("/other", HELD.header)})),
        RENEW,
    ),
    "after a vain renewal, of another token than this path has accepted": (
        FRESH,
        0,
        IDLE,
        HELD.header,
        replace(FREE, accepting=frozenset({("/path", OTHER)})),
        RENEW,
    ),
    "by an origin that was told of": (FRESH, 0, IDLE, HELD.header, TOLD, RENEW),
    "by such an origin, renewal under way": (FRESH, 9, RUNNING, HELD.header, BLOCKING, Wait()),
    "by another path, which had accepted it": (
        FRESH,
        9,
        IDLE,
        HELD.header,
        replace(BLOCKING, vain_paths=frozenset(), accepting=frozenset({("/path", HELD.header)})),
        RENEW,
    ),
}


@pytest.mark.parametrize("name", REJECTIONS)
def test_a_rejection_is_decided(name: str) -> None:
    """A rejected request is sent again, waits, fails or is left alone; the state changes in no case."""
    state, seconds, around, rejected, breaker, decision = REJECTIONS[name]
    found, after = for_rejection(state, at(seconds), around, rejected=rejected, path="/path", breaker=breaker)
    assert (type(decision), decision) == (type(found), plain(found))
    assert after is state


def test_a_rejection_after_a_refusal_looks_for_a_siblings_token() -> None:
    """With a store, a sibling may have what the server refuses to give: it's looked for, once a second."""
    state = failed_at(0, FINAL)
    decision, after = for_rejection(state, at(1), SHARED, rejected=HELD.header, path="/", breaker=None)
    assert Wait(Purpose(Reason.REJECTED, HELD.header, check_only=True)) == decision
    assert replace(state, checked=Cooldown.begin(at(1), 1.0)) == after
    again, last = for_rejection(after, at(1.5), SHARED, rejected=HELD.header, path="/", breaker=None)
    assert (Fail(FINAL), after) == (again, last)


@pytest.mark.parametrize("reason", [Reason.FORCED, Reason.LOGIN])
@pytest.mark.parametrize("state", [EMPTY, FRESH, failed_at(0, FINAL)], ids=["empty", "fresh", "refused"])
@pytest.mark.parametrize("around", [IDLE, RUNNING, SHARED], ids=["idle", "running", "shared"])
def test_who_wants_a_new_token_waits_for_it(reason: Reason, state: State, around: Around) -> None:
    """A renewal that the program asks for is launched whatever has failed before; one under way is shared."""
    expected = Wait() if around.is_running else Wait(Purpose(reason))
    assert (expected, state) == for_renewal(state, around, reason)


DEMAND = Demand(Kind.LOGIN, login=(("max_age", "0"),))
CLOSED = ReauthorizationRequired("the window was closed")
ASKABLE = ReauthorizationRequired("nobody was there to be asked")
ASKABLE.retryable = True
LAUNCHED = Wait(Purpose(Reason.LOGIN, demand=DEMAND), is_login=True)


@pytest.mark.parametrize(
    ("state", "sent", "around", "seconds", "expected"),
    [
        (FRESH, HELD.header, IDLE, 0, LAUNCHED),
        (FRESH, HELD.header, SHARED, 0, LAUNCHED),
        (EMPTY, HELD.header, IDLE, 0, LAUNCHED),
        (FRESH, HELD.header, RUNNING, 0, Wait()),
        (EMPTY, HELD.header, RUNNING, 0, Wait()),
        # Another token than that of the login which isn't enough is tried first, unless a better one is coming.
        (FRESH, OTHER, IDLE, 0, Send(HELD)),
        (FRESH, OTHER, IDLE, STALE, Send(HELD)),
        (FRESH, OTHER, RUNNING, 0, Wait()),
        (FRESH, HELD.header, replace(RUNNING, login_for=DEMAND), 0, Wait(is_login=True)),
        (FRESH, HELD.header, replace(RUNNING, login_for=Demand(Kind.SCOPE, "write")), 0, Wait()),
        (FRESH, OTHER, IDLE, LIFETIME, LAUNCHED),
        # What failed before was no login, or an older one.
        (failed_at(0, FINAL), HELD.header, IDLE, 1, LAUNCHED),
        (failed_at(0, FINAL), OTHER, IDLE, 1, Send(HELD)),
        # After a login that failed no user is asked again at once.
        (failed_at(0, CLOSED), HELD.header, IDLE, 0.5, Fail(CLOSED)),
        (failed_at(0, CLOSED), HELD.header, RUNNING, 0.5, Wait()),
        (failed_at(0, CLOSED), HELD.header, IDLE, 600, LAUNCHED),
        (failed_at(0, ASKABLE), HELD.header, IDLE, 0.5, LAUNCHED),
    ],
)
def test_a_login_that_an_api_demands(
    state: State, sent: str, around: Around, seconds: float, expected: Decision
) -> None:
    """One login for all who ask at the same time; a token that has come since is tried first."""
    assert (expected, state) == for_step_up(state, at(seconds), around, sent=sent, demand=DEMAND)


MORE = Demand(Kind.SCOPE, "write")


@pytest.mark.parametrize("demand", [DEMAND, MORE, Demand(Kind.SCOPE)])
def test_what_is_demanded_goes_into_the_flight(demand: Demand) -> None:
    """Whether it's another login or more scope: the grant must know why it's asked."""
    expected = Wait(Purpose(Reason.LOGIN, demand=demand), is_login=True)
    assert (expected, FRESH) == for_step_up(FRESH, at(0), IDLE, sent=HELD.header, demand=demand)
    assert (Send(HELD), FRESH) == for_step_up(FRESH, at(0), IDLE, sent=OTHER, demand=demand)
    assert (Wait(), FRESH) == for_step_up(FRESH, at(0), RUNNING, sent=HELD.header, demand=demand)
    state = failed_at(0, CLOSED)
    assert (Fail(CLOSED), state) == for_step_up(state, at(0.5), IDLE, sent=HELD.header, demand=demand)


# -- Where the API may want no token --------------------------------------------------------------------------------

LOOKED = replace(EMPTY, looked=Cooldown.begin(at(0), 1.0))
OFFERS: dict[str, tuple[State, float, Around, bool, Decision, Callable[[State], State] | None]] = {
    # Nothing is asked for before it's demanded; where there's a store, it's looked into once.
    "no token": (EMPTY, 0, IDLE, False, Bare(), None),
    "no token, a login under way": (EMPTY, 0, RUNNING, False, Bare(), None),
    "no token, a login has failed": (failed_at(0, CLOSED, EMPTY), 0.5, IDLE, False, Bare(), None),
    "no token, a store": (EMPTY, 0, SHARED, False, Wait(Purpose(Reason.LOOK)), None),
    "no token, a store, somebody looks": (EMPTY, 0, replace(SHARED, is_running=True), False, Wait(), None),
    "no token, a store, looked just now": (LOOKED, 0.9, SHARED, False, Bare(), None),
    "no token, a store, looked, somebody looks": (LOOKED, 5, replace(SHARED, is_running=True), False, Bare(), None),
    "no token, a store, looked a while ago": (
        LOOKED,
        1,
        SHARED,
        False,
        Bare(Purpose(Reason.LOOK)),
        lambda state: replace(state, looked=Cooldown.begin(at(1), 1.0)),
    ),
    # A body that can't be sent again: the resource is asked first, unless a renewal couldn't end otherwise now.
    "no token, can't be sent again": (EMPTY, 0, IDLE, True, Wait(Purpose(Reason.ASK)), None),
    "no token, can't be sent again, looked just now": (LOOKED, 0, SHARED, True, Wait(Purpose(Reason.ASK)), None),
    "no token, can't be sent again, somebody asks": (EMPTY, 0, RUNNING, True, Wait(), None),
    "no token, can't be sent again, a login has failed": (
        failed_at(0, CLOSED, EMPTY),
        0.5,
        IDLE,
        True,
        Bare(),
        None,
    ),
    # With a token it's as everywhere; one that has expired is renewed if it can be, and no user is asked.
    "fresh": (FRESH, 0, SHARED, False, Send(HELD), None),
    "fresh, can't be sent again": (FRESH, 0, IDLE, True, Send(HELD), None),
    "stale": (FRESH, STALE, IDLE, False, Wait(Purpose(Reason.STALE), timeout=5.0), None),
    "expired": (FRESH, LIFETIME, IDLE, False, Wait(Purpose(Reason.LOOK)), None),
    "expired, can't be sent again": (FRESH, LIFETIME, IDLE, True, Wait(Purpose(Reason.ASK)), None),
    "expired, renewal under way": (FRESH, LIFETIME, RUNNING, False, Wait(), None),
    "expired, trouble that may pass": (
        failed_at(LIFETIME),
        LIFETIME + 1,
        IDLE,
        False,
        Bare(),
        None,
    ),
    # The API says whether it matters that there's none.
    "expired, refused for good": (failed_at(LIFETIME, FINAL), LIFETIME + 1, IDLE, False, Bare(), None),
    "expired, refused for good, a store": (failed_at(LIFETIME, FINAL), LIFETIME + 1, SHARED, False, Bare(), None),
    "expired, the server asks for a pause": (failed_at(LIFETIME, ASKED), LIFETIME + 100, IDLE, False, Bare(), None),
    "expired, refused for good, a while ago": (
        failed_at(LIFETIME, FINAL),
        LIFETIME + 600,
        IDLE,
        False,
        Wait(Purpose(Reason.LOOK)),
        None,
    ),
    "good, refused for good": (failed_at(DUE, FINAL), DUE + 1, IDLE, False, Send(HELD), None),
}


@pytest.mark.parametrize("name", OFFERS)
def test_an_offer_is_decided(name: str) -> None:
    """No token is an answer, too: then the request goes as it is."""
    state, seconds, around, asks, decision, after = OFFERS[name]
    found, after_it = for_offer(state, at(seconds), around, asks=asks)
    assert (type(decision), decision) == (type(found), plain(found))
    assert (state if after is None else after(state)) == after_it


WANTED = Demand(Kind.TOKEN, "read")
GET = Wait(Purpose(Reason.MISSING, demand=WANTED))


@pytest.mark.parametrize(
    ("state", "around", "seconds", "expected"),
    [
        (EMPTY, IDLE, 0, GET),
        (EMPTY, SHARED, 0, GET),
        (LOOKED, SHARED, 0, GET),
        (EMPTY, RUNNING, 0, Wait()),
        # One that has come since is sent.
        (FRESH, IDLE, 0, Send(HELD)),
        (FRESH, IDLE, STALE, Send(HELD)),
        (FRESH, RUNNING, 0, Send(HELD)),
        (FRESH, IDLE, LIFETIME, GET),
        # A user who has just closed the window isn't asked for each request.
        (failed_at(0, CLOSED, EMPTY), IDLE, 0.5, Fail(CLOSED)),
        (failed_at(0, CLOSED, EMPTY), RUNNING, 0.5, Wait()),
        (failed_at(0, CLOSED, EMPTY), IDLE, 600, GET),
        (failed_at(0, ASKABLE, EMPTY), IDLE, 0.5, GET),
        (failed_at(0, PASSING, EMPTY), IDLE, 0.5, GET),
    ],
)
def test_a_demand_is_decided(state: State, around: Around, seconds: float, expected: Decision) -> None:
    """One login for all whose request went without a token, and was answered so."""
    assert (expected, state) == for_demand(state, at(seconds), around, demand=WANTED)


def test_after_a_refusal_a_siblings_token_is_looked_for() -> None:
    """Once a second, as after any; the demand goes along."""
    state = failed_at(0, FINAL, EMPTY)
    decision, after = for_demand(state, at(0.5), SHARED, demand=WANTED)
    assert Wait(Purpose(Reason.MISSING, check_only=True, demand=WANTED)) == decision
    assert replace(state, checked=Cooldown.begin(at(0.5), 1.0)) == after
    assert (Fail(FINAL), after) == for_demand(after, at(1), SHARED, demand=WANTED)


# -- The one rule ---------------------------------------------------------------------------------------------------

STATES = {
    "empty": EMPTY,
    "fresh": FRESH,
    "unending": State(UNENDING),
    "failed": failed_at(DUE),
    "refused": failed_at(DUE, FINAL),
    "asked to pause": failed_at(DUE, ASKED),
    "same token": failed_at(DUE, SameToken("same")),
    "refused, nothing held": failed_at(DUE, FINAL, EMPTY),
    "refused, looked": replace(failed_at(DUE, FINAL), checked=Cooldown.begin(at(DUE), 1.0)),
    "deferred": FRESH.deferred(at(DUE)),
    "put off": due_again(DUE + 10),
    "provided": EMPTY.provided(HELD),
    "looked": LOOKED,
}
TIMES = {
    "fresh": 0.0,
    "due": DUE,
    "a moment later": DUE + 0.5,
    "pause over": DUE + 200,
    "stale": STALE,
    "last": LIFETIME - 0.1,
    "expired": LIFETIME,
    "long expired": LIFETIME + 1e6,
}
QUESTIONS: dict[str, Callable[[State, Now, Around], tuple[Any, State]]] = {
    "request": for_request,
    "rejection": lambda state, now, around: for_rejection(
        state, now, around, rejected=HELD.header, path="/path", breaker=None
    ),
    "late rejection": lambda state, now, around: for_rejection(
        state, now, around, rejected=OTHER, path="/path", breaker=None
    ),
    "blocked rejection": lambda state, now, around: for_rejection(
        state, now, around, rejected=HELD.header, path="/path", breaker=BLOCKING
    ),
    "renewal": lambda state, _, around: for_renewal(state, around, Reason.FORCED),
    "rejection of a fresh token": lambda state, now, around: for_rejection(
        state, now, around, rejected=HELD.header, path="/path", breaker=FREE
    ),
    "step-up": lambda state, now, around: for_step_up(state, now, around, sent=HELD.header, demand=DEMAND),
    "more scope": lambda state, now, around: for_step_up(state, now, around, sent=HELD.header, demand=MORE),
    "offer": for_offer,
    "offer of what can't be sent again": lambda state, now, around: for_offer(state, now, around, asks=True),
    "demand": lambda state, now, around: for_demand(state, now, around, demand=WANTED),
}


SITUATIONS = [
    (seconds, Around(is_running=True, is_retrying=is_retrying, is_shared=is_shared))
    for seconds in TIMES.values()
    for is_retrying in (False, True)
    for is_shared in (False, True)
]


@pytest.mark.parametrize("before", STATES.values(), ids=list(STATES))
def test_while_a_renewal_is_under_way_the_state_stays_the_very_same(before: State) -> None:
    """While a renewal is under way a decision returns the very same state and launches nothing: it may land now."""
    for question, decide in QUESTIONS.items():
        for seconds, around in SITUATIONS:
            decision, after = decide(before, at(seconds), around)
            assert after is before, (question, seconds, around)
            assert getattr(decision, "launch", None) is None
            assert isinstance(decision, Send | Wait | Bare)
            assert question.startswith("offer") or not isinstance(decision, Bare)


# -- What happens to a state ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", STATES.values(), ids=list(STATES))
def test_a_new_token_ends_all_that_was(before: State) -> None:
    """A renewal that brings a new token leaves nothing of earlier failures."""
    assert State(NEWER) == before.renewed(NEWER, at(DUE), Highest())


def test_a_replacement_is_known_as_one() -> None:
    """A token that was made because the one before was rejected is known as such until the next one."""
    replaced = FRESH.renewed(NEWER, at(DUE), Highest(), is_replacement=True)
    assert State(NEWER, is_replacement=True) == replaced
    assert replaced.failed(PASSING, at(DUE), Highest()).is_replacement
    assert not replaced.renewed(HELD, at(DUE), Highest()).is_replacement


def test_the_same_token_again_is_a_failure() -> None:
    """A renewal that brings the token that was there counts as failed, so that the next one comes after a pause."""
    again = credential(expires_at=LIFETIME + 5)
    after = FRESH.renewed(again, at(DUE), Highest())
    assert after.failure is not None
    assert (SameToken, 1, 2.0) == (type(after.failure.error), after.failure.times, after.failure.cooldown.length)
    assert again == after.credential
    second = after.renewed(again, at(DUE + 10), Highest())
    assert (2, 4.0) == (second.failure and second.failure.times, second.failure and second.failure.cooldown.length)


@pytest.mark.parametrize("before", STATES.values(), ids=list(STATES))
def test_a_token_that_is_provided_changes_nothing_else(before: State) -> None:
    """A token in its last seconds is there to be sent, and what failed is still known."""
    assert replace(before, credential=NEWER) == before.provided(NEWER)


@pytest.mark.parametrize(
    ("seconds", "refresh_at"),
    [
        (0, DUE),  # it isn't due, so it isn't put off
        (DUE - 0.5, DUE),
        (DUE, DUE + 2),
        (STALE - 1, STALE),
        (STALE, STALE),
        (STALE + 4, STALE + 4),
    ],
)
def test_a_failure_puts_off_the_renewal_that_was_due(seconds: float, refresh_at: float) -> None:
    """After a failure the next renewal comes when the pause ends, or where callers would begin to wait."""
    after = failed_at(seconds)
    assert after.credential is not None
    assert replace(HELD, refresh_at=at(refresh_at).wall) == after.credential
    assert Failure(PASSING, 1, Cooldown.begin(at(seconds), 2.0), at(seconds).wall) == after.failure


def test_failures_in_a_row_are_counted() -> None:
    """Each further failure makes the pause longer; siblings' count is gone on with if it's higher."""
    state, lengths = EMPTY, []
    for times in (0, 0, 0, 7, 1):
        state = state.failed(PASSING, at(0), Highest(), times=times)
        assert state.failure is not None
        lengths.append((state.failure.times, state.failure.cooldown.length))
    assert [(1, 2.0), (2, 4.0), (3, 8.0), (8, 60.0), (9, 60.0)] == lengths


@pytest.mark.parametrize(
    ("seconds", "pause"),
    [(0, 1.0), (DUE, 1.0), (STALE - 2, 0.5), (STALE - 0.1, 0.05), (STALE, 1.0), (LIFETIME - 2, 0.5), (LIFETIME, 0.0)],
)
def test_a_renewal_that_was_deferred_is_tried_again_soon(seconds: float, pause: float) -> None:
    """Who left the work to a sibling looks again after a second, or sooner where less time is left."""
    after = FRESH.deferred(at(seconds))
    assert after.credential is not None
    assert pytest.approx(at(seconds).wall + pause, abs=1e-5) == after.credential.refresh_at
    assert at(seconds).wall == after.deferred_at


def test_without_a_token_there_is_nothing_to_defer() -> None:
    """Who has no token decides anew."""
    assert EMPTY.deferred(at(0)) is EMPTY


@pytest.mark.parametrize(
    ("state", "seconds", "expected"),
    [
        (EMPTY, 0, None),
        (FRESH, 0, HELD),
        (FRESH, LIFETIME - 0.5, HELD),
        (FRESH, LIFETIME, None),
        (State(UNENDING), 1e9, UNENDING),
    ],
)
def test_a_token_can_be_sent_until_it_expires(state: State, seconds: float, expected: Credential | None) -> None:
    """A token is sent to its very end, and not beyond."""
    assert expected == state.unexpired(at(seconds))


# -- Whatever happens -----------------------------------------------------------------------------------------------

moments = st.sampled_from([0.0, 1.0, DUE - 1, DUE, DUE + 1, DUE + 250, STALE - 1, STALE, STALE + 5, LIFETIME - 1]) | (
    st.integers(0, int(LIFETIME) + 200).map(float)
)
events = st.one_of(
    st.sampled_from([PASSING, FINAL, ASKED, SameToken("same")]),
    st.just("deferred"),
    st.just("provided"),
    st.just("renewed"),
    st.just("request"),
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[State, Now]:
    """Make a state that could have come about, and a time after all that happened to it."""
    state, times = draw(st.sampled_from([EMPTY, FRESH])), sorted(draw(st.lists(moments, min_size=1, max_size=6)))
    for seconds in times[:-1]:
        now, event = at(seconds), draw(events)
        if isinstance(event, TokenError):
            state = state.failed(event, now, Highest() if draw(st.booleans()) else Lowest())
        elif event == "deferred":
            state = state.deferred(now)
        elif event == "provided":
            state = state.provided(HELD)
        elif event == "renewed":
            state = state.renewed(draw(st.sampled_from([HELD, NEWER])), now, Highest())
        else:
            state = for_request(state, now, Around(is_shared=draw(st.booleans())))[1]
    return state, at(times[-1])


surroundings = st.builds(Around, st.booleans(), st.booleans(), st.booleans(), st.sampled_from([1.0, 10.0, 60.0]))
thorough = settings(max_examples=300)
EXPIRED_IN_A_PAUSE = (FRESH.failed(SameToken("same"), at(LIFETIME - 1), Highest()), at(LIFETIME))
"""A token that expired in the pause after a failure that may pass."""


@thorough
@given(history=histories(), around=surroundings)
def test_whatever_happened_a_request_is_decided_well(history: tuple[State, Now], around: Around) -> None:
    """No token is sent after it expired, none is held back before it's stale, and a wait ends before it expires."""
    state, now = history
    decision, after = for_request(state, now, around)
    current = state.unexpired(now)
    if isinstance(decision, Send):
        assert now.wall < decision.credential.expires_at
        assert decision.credential == current
    elif current is not None:
        assert isinstance(decision, Wait)
        assert now.wall >= current.stale_at
        assert decision.timeout is not None
        assert 0 < decision.timeout < current.expires_at - now.wall
    if isinstance(decision, Fail):
        assert after.failure is not None
        assert after.failure.fails_fast(now)
    if around.is_running:
        assert after is state


@thorough
@given(history=histories(), around=surroundings)
def test_whatever_happened_one_background_renewal_is_launched(history: tuple[State, Now], around: Around) -> None:
    """After a request that launched a renewal in the background, the next one launches none, and waits for none."""
    state, now = history
    decision, after = for_request(state, now, around)
    if isinstance(decision, Send) and decision.launch is not None:
        assert isinstance(for_request(after, now, replace(around, is_running=True))[0], Send)
        again, last = for_request(after, now, around)
        assert isinstance(again, Send)
        assert again.launch is None
        assert last is after


@thorough
@given(history=histories(), error=st.sampled_from([PASSING, FINAL, ASKED]))
def test_whatever_happened_a_failure_takes_no_token_away(history: tuple[State, Now], error: TokenError) -> None:
    """After a failed or deferred renewal the token that was there is still there, with its deadlines."""
    state, now = history
    for after in (state.failed(error, now, Highest()), state.deferred(now)):
        before, kept = state.credential, after.credential
        assert (before is None) == (kept is None)
        if before is not None and kept is not None:
            assert replace(before, refresh_at=0) == replace(kept, refresh_at=0)


@thorough
@given(history=histories(), rejected=st.sampled_from([HELD.header, NEWER.header, OTHER]), around=surroundings)
def test_whatever_happened_a_rejected_token_is_not_sent_again(
    history: tuple[State, Now], rejected: str, around: Around
) -> None:
    """A rejection is never answered with the token that was rejected, nor with one that has expired."""
    state, now = history
    decision, _ = for_rejection(state, now, around, rejected=rejected, path="/", breaker=None)
    if isinstance(decision, Send):
        assert rejected != decision.credential.header
        assert now.wall < decision.credential.expires_at


@thorough
@given(history=histories(), around=surroundings, asks=st.booleans())
@example(history=EXPIRED_IN_A_PAUSE, around=Around(), asks=False)
@example(history=EXPIRED_IN_A_PAUSE, around=Around(), asks=True)
def test_whatever_happened_an_offer_asks_for_nothing(history: tuple[State, Now], around: Around, asks: bool) -> None:
    """A request that nobody has demanded a token for launches no login, and goes without one or with a good one.

    It goes without where there never was one, or where the one that was has expired and a renewal has just failed: the
    API says whether that matters. One that asks first goes without only where the failure is final.
    """
    state, now = history
    decision, after = for_offer(state, now, around, asks=asks)
    launch = getattr(decision, "launch", None)
    assert launch is None or launch.reason in {Reason.LOOK, Reason.DUE, Reason.STALE, Reason.ASK}
    assert launch is None or (launch.reason is Reason.LOOK) <= (not asks)
    assert launch is None or (launch.reason is Reason.ASK) <= asks
    assert not isinstance(decision, Fail)
    if isinstance(decision, Bare):
        assert state.unexpired(now) is None
        failure = state.backing_off(now)
        if asks:
            assert failure is not None
            assert failure.fails_fast(now)
        else:
            assert state.credential is None or failure is not None
    if isinstance(decision, Send):
        assert now.wall < decision.credential.expires_at
    if around.is_running:
        assert after is state


@thorough
@given(history=histories(), around=surroundings)
def test_whatever_happened_a_demand_is_met_or_waited_for(history: tuple[State, Now], around: Around) -> None:
    """A token that can be sent is sent, whatever its age; else one flight is waited for, or its failure raised."""
    state, now = history
    decision, after = for_demand(state, now, around, demand=WANTED)
    current = state.unexpired(now)
    assert (current is not None) == isinstance(decision, Send)
    if isinstance(decision, Wait):
        assert decision.timeout is None
        assert (decision.launch is None) == around.is_running
        assert decision.launch is None or decision.launch.demand == WANTED
    if isinstance(decision, Fail):
        assert after.failure is not None
        assert after.failure.fails_fast(now)
    if around.is_running:
        assert after is state
