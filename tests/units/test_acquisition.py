"""How a token is acquired: store, lock, token call and save, driven by hand, with siblings that act in between."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest

from oauth_auth import (
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
from oauth_auth._flight import Outcome, capture
from oauth_auth._record import replace
from oauth_auth._renewal.acquisition import Acquisition, Making, Order
from oauth_auth._renewal.decisions import Purpose, Reason, RenewalSettings
from oauth_auth._renewal.effects import (
    Authorize,
    Await,
    Delete,
    Load,
    Loaded,
    Lock,
    Locked,
    Save,
    StillHeld,
    Unlock,
)
from oauth_auth._renewal.entry import Entry, SharedFailure, StoreUnread, identity
from oauth_auth._renewal.landing import Acquired, Nothing, Why
from oauth_auth._renewal.logins import Logins, NewLogin
from oauth_auth._renewal.on_demand import OnDemand
from oauth_auth._renewal.store_entry import StoreEntry
from oauth_auth._renewal.tokens import Tokens
from oauth_auth._server.calls import Ask, HeldUp, Sleep
from oauth_auth._server.code_grant import AuthorizationCodeGrant
from oauth_auth._server.grant import Grant, OnDemandGrant
from oauth_auth._server.grants import ClientCredentialsGrant, PasswordGrant, RefreshTokenGrant
from oauth_auth._wire.challenges import Demand, Kind
from oauth_auth._wire.token import Credential, digest
from tests.support.on_demand import Asked
from tests.support.steps import TOKEN_URL, HandClock, Highest, answer, at, form_of, play, token_calls

SETTINGS = RenewalSettings(10.0, 300.0, 10.0, None)
MISSING, DUE, STALE = Purpose(Reason.MISSING), Purpose(Reason.DUE), Purpose(Reason.STALE)
FORCED, LOGIN = Purpose(Reason.FORCED), Purpose(Reason.LOGIN)


def token(text: str, seconds: float = 3600.0, **fields: Any) -> OAuthToken:
    """Return a token that expires so many seconds after the start of the test."""
    return OAuthToken(access_token=text, expires_in=3600, expiry=at(seconds).wall, **fields)


def stored(stored_token: OAuthToken, **fields: Any) -> Entry:
    return Entry(stored_token, **{"login": identity(stored_token), **fields})


NEW = answer(200, {"access_token": "new", "expires_in": 3600})
THEIRS = stored(token("theirs"))
SPENT = token("spent", -1, refresh_token="refresh")
BUSY = answer(503, retry_after="60")
"""Trouble that isn't tried again within a call."""


class World:
    """A store, a server and a user, who answer what a renewal yields; `effects` is that, in order.

    Time passes while a lock is waited for, and while a user is. What is in `before` happens before the effects of that
    kind, one each: a sibling's doing.
    """

    def __init__(
        self, grant: Grant | None = None, *answers: Any, last: OAuthToken | None = None, shared: bool = True
    ) -> None:
        self.clock = HandClock()
        self.entry = Entry()
        self.answers = list(answers) or [NEW] * 9
        self.locks: list[Locked] = []
        self.spare_locks: list[Locked] = []
        self.is_readable = self.is_writable = self.is_deletable = self.still_held = True
        self.login: list[Outcome[Any] | None] = []
        self.is_user_there = False
        """Whether a user logs in at once, as the grant has them; else `login` is what comes of it."""
        self.before: dict[type, list[Callable[[], object] | None]] = {}
        self.effects: list[Any] = []
        self.provided: list[OAuthToken] = []
        self.cancelled = threading.Event()
        self.store_entry = StoreEntry(MemoryTokenStore() if shared else None, "key", clock=self.clock)
        self.grant = grant = grant or ClientCredentialsGrant(token_calls(clock=self.clock))
        self.tokens = Tokens(grant, SETTINGS, self.store_entry, token=last, clock=self.clock, chance=Highest())
        self.making = Making(self.tokens, grant, self.store_entry, self.clock)
        kind: Any = OnDemand if isinstance(grant, OnDemandGrant) else Acquisition
        self.acquisition = kind(self.tokens, self.making, grant, self.store_entry)
        self.logins = Logins(self.tokens, self.making, grant, self.store_entry)

    def acquire(self, purpose: Purpose = MISSING, held: OAuthToken | None = None) -> Any:
        """Run a renewal; return what it brings, or the error that it raises."""
        credential = None if held is None else self.credential(held)
        order = Order(purpose, credential, self.provided.append, self.cancelled)
        return self.ending(self.acquisition.acquire(order))

    def ending(self, steps: Any) -> Any:
        """Return what the steps bring, or the error that they raise."""
        try:
            return play(steps, self._perform)
        except OAuthError as error:
            return error

    def credential(self, of: OAuthToken) -> Credential:
        return self.tokens.credential(of)

    def _perform(self, effect: Any) -> Any:
        if waiting := self.before.get(type(effect)):
            (waiting.pop(0) or (lambda: None))()
        self.effects.append(effect)
        return _PERFORM[type(effect)](self, effect)

    def _lock(self, effect: Lock) -> Locked:
        locks = self.spare_locks if effect.is_spare else self.locks
        locked = locks.pop(0) if locks else Locked.HELD
        if locked is Locked.TAKEN:
            self.clock.advance(effect.timeout)
        return locked

    def _save(self, effect: Save) -> bool:
        if self.is_writable:
            self.entry = effect.entry
        return self.is_writable

    def _ask(self, _: Ask) -> Any:
        given = self.answers.pop(0)
        if callable(given):
            given = given()
        if isinstance(given, BaseException):
            raise given
        return given

    def _authorize(self, effect: Authorize) -> None:
        if self.is_user_there:
            self.login.append(capture(effect.work))

    def _await(self, effect: Await) -> Outcome[Any] | None:
        outcome = self.login.pop(0)
        if outcome is None:
            self.clock.advance(effect.seconds)
        return outcome

    def put(self, entry: Entry) -> Callable[[], None]:
        """Return what saves a sibling's entry, when called."""
        return lambda: setattr(self, "entry", entry)

    @property
    def trace(self) -> list[str]:
        """What was done, by its name."""
        return [type(effect).__name__ for effect in self.effects]

    @property
    def forms(self) -> list[dict[str, str]]:
        return [form_of(effect) for effect in self.effects if isinstance(effect, Ask)]


_PERFORM: dict[type, Callable[[World, Any], Any]] = {
    Load: lambda world, _: Loaded(world.entry if world.is_readable else Entry(), world.is_readable),
    Lock: World._lock,
    Unlock: lambda world, _: None,
    StillHeld: lambda world, _: world.still_held,
    Save: World._save,
    Delete: lambda world, _: world.is_deletable,
    Ask: World._ask,
    Sleep: lambda world, pause: world.clock.advance(pause.seconds),
    Authorize: World._authorize,
    Await: World._await,
}


def password() -> PasswordGrant:
    return PasswordGrant(token_calls(client_secret=None), username="alice", password="pass-word")


def refresh_only() -> RefreshTokenGrant:
    return RefreshTokenGrant(token_calls(client_secret=None), refresh_token="given")


def failure_of(by: str = "sibling", *, seconds: float = 0.0, times: int = 1, pause: float = 5.0) -> SharedFailure:
    fields = {"status_code": 503, "token_url": TOKEN_URL}
    return SharedFailure(by, "TokenResponseError", "no", fields, times, at(seconds).wall, pause)


# -- The way of a renewal -------------------------------------------------------------------------------------------


def test_a_first_token_is_made_under_the_lock_and_saved() -> None:
    """Look, lock, look again, ask, save: then the token is there, and its login has a name."""
    world = World()
    result = world.acquire()
    assert ["Load", "Lock", "Load", "Ask", "StillHeld", "Save"] == world.trace
    assert (True, "new") == (result.is_own, result.token.access_token)
    assert Entry(result.token, {}, identity(result.token)) == world.entry
    assert world.tokens.known.in_store is result.token


def test_without_a_store_there_is_only_the_call() -> None:
    """Where nothing is shared, nothing is looked for under the lock, and nothing saved."""
    world = World(shared=False)
    world.is_readable = False
    world.locks = [Locked.FAILED]
    assert world.acquire().is_own
    assert "Save" not in world.trace
    assert not world.tokens.known.is_unsaved


def test_a_siblings_token_is_taken_at_the_first_look() -> None:
    """A token that can be sent is taken from the store: no lock, no call."""
    world = World()
    world.entry = THEIRS
    assert Acquired(token("theirs"), is_own=False) == world.acquire()
    assert ["Load"] == world.trace


def test_a_siblings_token_is_taken_under_the_lock() -> None:
    """What a sibling saved while this one waited for the lock is taken instead of asking."""
    world = World()
    world.before[Lock] = [world.put(THEIRS)]
    assert Acquired(token("theirs"), is_own=False) == world.acquire()
    assert ["Load", "Lock", "Load"] == world.trace


@pytest.mark.parametrize(
    ("seconds", "is_taken"), [(3600, True), (10.5, True), (10, False), (5, False), (-1, False)], ids=str
)
def test_a_stored_token_must_live(seconds: float, is_taken: bool) -> None:
    """A stored token is taken if it isn't in its last seconds; else it is renewed from."""
    world = World()
    world.entry = stored(token("theirs", seconds))
    assert is_taken is not world.acquire().is_own


@pytest.mark.parametrize("purpose", [MISSING, DUE, STALE, FORCED])
def test_the_token_that_is_to_be_replaced_does_not_count(purpose: Purpose) -> None:
    """The token that is held is no news."""
    world = World(last=token("held"))
    world.entry = stored(token("held"))
    assert world.acquire(purpose, held=token("held")).is_own


def test_a_rejected_token_does_not_count() -> None:
    """The token that an API has rejected isn't taken from the store, even if this program holds another."""
    world = World(last=token("held"))
    world.entry = THEIRS
    assert world.acquire(Purpose(Reason.REJECTED, "Bearer theirs"), held=token("held")).is_own


def test_who_wants_a_new_token_does_not_take_the_stored_one() -> None:
    """A forced renewal without a token of one's own asks, though there's one in the store."""
    world = World()
    world.entry = THEIRS
    assert world.acquire(FORCED).is_own
    assert 1 == len(world.forms)


def test_a_sibling_alone_will_do_where_the_server_has_refused() -> None:
    """A mere look brings a sibling's token or nothing, and no call."""
    world = World()
    assert Nothing(Why.DEFERRED) == world.acquire(replace(MISSING, check_only=True))
    world.entry = THEIRS
    assert Acquired(token("theirs"), is_own=False) == world.acquire(replace(MISSING, check_only=True))
    assert ["Load", "Load"] == world.trace


# -- The lock -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", [DUE, STALE])
def test_a_lock_that_is_taken_is_not_waited_for_with_a_good_token(purpose: Purpose) -> None:
    """Who has a token that can be sent leaves the work to the sibling that holds the lock."""
    world = World()
    world.locks = [Locked.TAKEN]
    assert Nothing(Why.DEFERRED) == world.acquire(purpose, held=token("held", 200))
    assert (["Load", "Lock"], Lock(0.0)) == (world.trace, world.effects[1])


@pytest.mark.parametrize("purpose", [MISSING, FORCED, Purpose(Reason.REJECTED, "Bearer held")])
def test_waiters_look_meanwhile(purpose: Purpose) -> None:
    """Who needs a token waits for the lock, and takes what the holder saves without ever having the lock."""
    world = World()
    world.locks = [Locked.TAKEN] * 100
    world.before[Load] = [None, None, None, world.put(THEIRS)]
    assert Acquired(token("theirs"), is_own=False) == world.acquire(purpose)
    assert ["Load", *["Lock", "Load"] * 3] == world.trace
    assert {Lock(0.5)} == {effect for effect in world.effects if isinstance(effect, Lock)}


def test_a_lock_is_gone_without_after_30_seconds_of_nothing() -> None:
    """A lock whose holder brings nothing for 30 s is gone without: that program is stopped or dead."""
    world = World()
    world.locks = [Locked.TAKEN] * 100
    assert world.acquire().is_own
    assert 30.0 == world.clock.now.monotonic - at(0).monotonic
    locks = [effect for effect in world.effects if isinstance(effect, Lock)]
    assert [*[Lock(0.5)] * 60, Lock(0.5, is_spare=True)] == locks
    assert world.store_entry.is_in_trouble


def test_those_who_go_on_without_the_lock_do_so_one_after_the_other() -> None:
    """There's a spare lock for them: who waits for that takes what the one before has saved."""
    world = World()
    world.locks, world.spare_locks = [Locked.TAKEN] * 100, [Locked.TAKEN] * 100
    world.before[Load] = [*[None] * 65, world.put(THEIRS)]
    assert Acquired(token("theirs"), is_own=False) == world.acquire()
    assert [] == world.forms


def test_the_spare_lock_is_gone_without_too() -> None:
    """Nobody waits for ever: after 30 s more of nothing the renewal goes on."""
    world = World()
    world.locks, world.spare_locks = [Locked.TAKEN] * 100, [Locked.TAKEN] * 100
    assert world.acquire().is_own
    assert 60.0 == world.clock.now.monotonic - at(0).monotonic


def test_while_the_store_changes_the_lock_is_waited_for() -> None:
    """Each change in the store shows that somebody works: the 30 s begin anew."""
    world = World()
    world.locks = [Locked.TAKEN] * 200
    looks = [stored(token(f"expired-{number}", -1)) for number in range(3)]
    world.before[Load] = [*[None] * 40, world.put(looks[0]), *[None] * 39, world.put(looks[1])]
    assert world.acquire().is_own
    assert 40 * 0.5 + 40 * 0.5 + 30 == world.clock.now.monotonic - at(0).monotonic


@pytest.mark.parametrize("locked", [Locked.FAILED, Locked.HELD])
def test_a_store_that_cannot_lock_is_gone_without_at_once(locked: Locked) -> None:
    """Where the store fails there's nothing to wait for."""
    world = World()
    world.locks = [locked]
    assert world.acquire().is_own
    assert 1 == world.trace.count("Lock")


# -- Renewing -------------------------------------------------------------------------------------------------------


def test_a_refresh_token_comes_first() -> None:
    """A live refresh token is used before the grant's own way, with the scope that was granted with it."""
    world = World(password(), last=token("old", -1, refresh_token="refresh", scope="a"))
    assert world.acquire().is_own
    assert [
        {"grant_type": "refresh_token", "refresh_token": "refresh", "scope": "a", "client_id": "client"}
    ] == world.forms


def test_after_a_refused_refresh_token_the_store_is_looked_into() -> None:
    """A sibling without the lock may have been faster: its token is taken before giving up."""
    world = World(refresh_only(), answer(400), last=SPENT)
    world.before[Load] = [None, None, world.put(THEIRS)]
    assert Acquired(token("theirs"), is_own=False) == world.acquire()
    assert ["Load", "Lock", "Load", "Ask", "Load"] == world.trace


def test_after_a_refused_refresh_token_the_grant_goes_its_own_way() -> None:
    """Without a sibling's token the password is used, and the refresh token never again."""
    world = World(password(), answer(400), NEW, last=SPENT)
    assert world.acquire().is_own
    assert ["refresh_token", "password"] == [form["grant_type"] for form in world.forms]


def test_the_refresh_token_of_the_token_before_is_tried() -> None:
    """If a sibling's refresh token is refused, the one that this program had before may still live."""
    world = World(password(), answer(400), NEW, last=token("ours", -2, refresh_token="ours"))
    world.entry = stored(token("theirs", -1, refresh_token="theirs"))
    assert world.acquire().is_own
    assert ["theirs", "ours"] == [form.get("refresh_token") for form in world.forms]


def test_a_refusal_for_now_ends_no_refresh_token() -> None:
    """Trouble that may pass is raised, and neither password nor login stands in for the refresh token."""
    world = World(password(), BUSY, last=SPENT)
    error = world.acquire()
    assert (TokenResponseError, 503) == (type(error), error.status_code)
    assert ["refresh_token"] == [form["grant_type"] for form in world.forms]


def test_a_user_must_log_in_where_nothing_is_left() -> None:
    """When the last refresh token is refused, the error says so."""
    error = World(refresh_only(), answer(400), answer(400), last=SPENT).acquire()
    assert isinstance(error, ReauthorizationRequired)
    assert "the server refused the refresh token" in str(error)


def test_a_store_that_cannot_be_read_may_have_a_token() -> None:
    """Before the store could be read, nobody is told to log in: the error may pass."""
    world = World(RefreshTokenGrant(token_calls(client_secret=None), refresh_token="given"), answer(400))
    world.is_readable = False
    error = world.acquire()
    assert (StoreUnread, True, 400) == (type(error), error.retryable, error.status_code)


def test_a_token_in_its_last_seconds_is_provided_first() -> None:
    """At the start a token that's about to expire is handed over before a better one is asked for."""
    last = token("last", 5, refresh_token="refresh")
    world = World(password(), last=last)
    world.acquire()
    assert [last] == world.provided
    world.acquire(held=last)
    assert [last] == world.provided


# -- A program that stood still -------------------------------------------------------------------------------------


def test_who_was_held_up_looks_again() -> None:
    """An attempt that wasn't made is made after another look, under a lock taken anew."""
    world = World(password(), None, NEW, last=SPENT)
    assert world.acquire().is_own
    assert ["Load", *["Lock", "Load", "Ask"], "Unlock", *["Lock", "Load", "Ask"], "StillHeld", "Save"] == world.trace


def test_who_was_held_up_finds_what_a_sibling_saved() -> None:
    """What a sibling has done meanwhile is taken: the refresh token, which it has spent, isn't sent."""
    world = World(password(), None, last=SPENT)
    world.before[Load] = [None, None, world.put(THEIRS)]
    assert Acquired(token("theirs"), is_own=False) == world.acquire()
    assert ["Load", "Lock", "Load", "Ask", "Unlock", "Lock", "Load"] == world.trace


def test_who_is_held_up_again_and_again_gives_up_for_now() -> None:
    """After three times the renewal fails, and may work later."""
    world = World(password(), None, None, None, last=SPENT)
    error = world.acquire()
    assert (HeldUp, True, 3) == (type(error), error.retryable, world.trace.count("Ask"))


# -- Failures that siblings share -----------------------------------------------------------------------------------


def test_a_failure_that_may_pass_is_left_for_siblings() -> None:
    """What failed is saved beside what was there, with its count and its pause, unless the lock is lost."""
    world = World(None, BUSY)
    world.entry = stored(token("expired", -1))
    error = world.acquire()
    failure = world.entry.failure
    assert failure is not None
    assert ("TokenResponseError", 1, 60.0, world.clock.now.wall) == (
        failure.kind,
        failure.times,
        failure.pause,
        failure.at,
    )
    assert (token("expired", -1), 503) == (world.entry.token, error.status_code)
    assert ["Load", "Lock", "Load", "Ask", "StillHeld", "Load", "Save"] == world.trace


def test_a_pause_of_a_shared_failure_has_its_least() -> None:
    """Without a `Retry-After`, siblings share a failure for 5 s."""
    world = World(None, answer(500), answer(500), answer(500))
    world.acquire()
    assert 5.0 == (world.entry.failure and world.entry.failure.pause)


@pytest.mark.parametrize("purpose", [MISSING, DUE, STALE, Purpose(Reason.REJECTED, "Bearer held")])
def test_who_takes_the_lock_shares_the_last_failure(purpose: Purpose) -> None:
    """Within the pause a sibling's failure is raised instead of asking, and counts as one more in a row."""
    world = World()
    world.entry = Entry(failure=failure_of(times=4))
    error = world.acquire(purpose)
    assert ("no (another program on the same store asked)", 503, True) == (
        str(error),
        error.status_code,
        error.retryable,
    )
    assert ([], 4) == (world.forms, world.tokens.shared_times)


def test_waiters_share_a_failure_without_the_lock() -> None:
    """Who waits for the lock gets the holder's failure at the next look."""
    world = World()
    world.locks = [Locked.TAKEN] * 100
    world.before[Load] = [None, None, world.put(Entry(failure=failure_of(seconds=0.5)))]
    assert isinstance(world.acquire(), TokenResponseError)
    assert ["Load", "Lock", "Load", "Lock", "Load"] == world.trace


@pytest.mark.parametrize("purpose", [FORCED])
def test_who_asks_for_a_new_token_asks(purpose: Purpose) -> None:
    """A program that wants a new token now isn't held up by a sibling's failure."""
    world = World()
    world.entry = Entry(failure=failure_of())
    assert world.acquire(purpose).is_own


def test_an_old_failure_holds_up_nobody() -> None:
    """After its pause, or with a clock that differs, a failure is over."""
    for seconds in (-5.0, 1.0):
        world = World()
        world.entry = Entry(failure=failure_of(seconds=seconds))
        assert world.acquire().is_own


def test_ones_own_failure_is_no_siblings() -> None:
    """A program isn't held up by the failure that it left itself: its own pauses are longer or asked for."""
    world = World(None, BUSY, NEW)
    assert isinstance(world.acquire(), TokenError)
    assert world.acquire().is_own


def test_failures_in_a_row_are_counted_whoever_asked() -> None:
    """A failure after a sibling's is the next one of the row, and a success begins anew."""
    world = World(None, BUSY, NEW)
    world.entry = Entry(failure=failure_of(times=4))
    world.acquire()
    world.clock.advance(10)
    world.acquire()
    assert 5 == (world.entry.failure and world.entry.failure.times)
    world.acquire()
    assert (0, None) == (world.tokens.shared_times, world.entry.failure)


@pytest.mark.parametrize(
    "answers", [[answer(400, {"error": "invalid_scope"})], [TokenError("a hook's")], [answer(401)]], ids=str
)
def test_what_will_not_pass_is_not_shared(answers: list[Any]) -> None:
    """A refusal for good is each program's own: a sibling may have another client, or other options."""
    world = World(ClientCredentialsGrant(token_calls(client_secret=None)), *answers)
    assert isinstance(world.acquire(), TokenError)
    assert Entry() == world.entry


def test_a_failure_is_not_left_by_who_lost_the_lock() -> None:
    """Who isn't sure to hold the lock any more leaves the store alone."""
    world = World(None, BUSY)
    world.still_held = False
    assert isinstance(world.acquire(), TokenError)
    assert Entry() == world.entry


def test_a_token_that_came_up_meanwhile_is_taken_instead_of_failing() -> None:
    """A sibling without the lock may have got a token while this one failed."""
    world = World(None, BUSY)
    world.before[Load] = [None, None, world.put(THEIRS)]
    assert Acquired(token("theirs"), is_own=False) == world.acquire()
    assert THEIRS == world.entry


def test_a_store_that_could_not_be_read_is_not_written() -> None:
    """What can't be read isn't overwritten by a failure."""
    world = World(None, BUSY)
    world.is_readable = False
    world.acquire()
    assert "Save" not in world.trace


# -- A lock that was lost, a store that fails -----------------------------------------------------------------------


def test_who_lost_the_lock_takes_what_a_sibling_saved() -> None:
    """A token that a sibling saved since the lock was lost isn't overwritten, but taken."""
    world = World()
    world.still_held = False
    world.before[StillHeld] = [world.put(THEIRS)]
    assert Acquired(token("theirs"), is_own=False) == world.acquire()
    assert ["Load", "Lock", "Load", "Ask", "StillHeld", "Load"] == world.trace
    assert THEIRS == world.entry


def test_who_lost_the_lock_to_nobody_saves() -> None:
    """Where no sibling has saved anything meanwhile, the new token is saved all the same."""
    world = World()
    world.still_held = False
    result = world.acquire()
    assert result.is_own
    assert result.token == world.entry.token


def test_who_was_logged_out_meanwhile_saves_nothing() -> None:
    """A token made with a refresh token whose login was ended meanwhile isn't used and isn't saved."""
    world = World(password(), NEW, last=SPENT)
    world.still_held = False
    mark = Entry(logged_out=frozenset({digest("refresh"), identity(SPENT)}))
    world.before[StillHeld] = [world.put(mark)]
    error = world.acquire()
    assert isinstance(error, ReauthorizationRequired)
    assert (mark, None) == (world.entry, world.tokens.known.last)


def test_a_token_that_cannot_be_saved_is_used() -> None:
    """A token that the store doesn't take serves this program, and is to be saved yet."""
    world = World()
    world.is_writable = False
    result = world.acquire()
    assert (True, True) == (result.is_own, world.tokens.known.is_unsaved)


def test_a_store_that_recovers_meanwhile_is_read_before_it_is_written() -> None:
    """Where the store couldn't be read before, it's tried once more: else what's in it could be lost."""
    world = World()
    world.is_readable = False
    world.before[StillHeld] = [lambda: setattr(world, "is_readable", True)]
    world.acquire()
    assert ["StillHeld", "Load", "Save"] == world.trace[-3:]
    assert not world.tokens.known.is_unsaved


def test_what_cannot_be_read_is_not_overwritten() -> None:
    """A token isn't saved where it could replace something that can't be read; it's tried again later."""
    world = World()
    world.is_readable = False
    assert world.acquire().is_own
    assert ("Save" in world.trace, world.tokens.known.is_unsaved) == (False, True)


@pytest.mark.parametrize(("can_wait", "is_deferred"), [(True, True), (False, False)])
def test_a_refresh_token_is_not_risked_while_the_store_fails(can_wait: bool, is_deferred: bool) -> None:
    """While the store is in trouble and there's time, no refresh token is used, which a sibling may use, too."""
    world = World(password(), NEW, last=token("held", 200, refresh_token="refresh"))
    world.store_entry.failed("load", OSError("down"))
    result = world.acquire(replace(DUE, can_wait=can_wait), held=token("held", 200))
    assert is_deferred is (result == Nothing(Why.DEFERRED))
    assert is_deferred is ([] == world.forms)


# -- Saving later ---------------------------------------------------------------------------------------------------


def unsaved_world() -> World:
    world = World()
    world.is_writable = False
    world.acquire()
    world.is_writable = True
    world.effects.clear()
    return world


def test_what_is_unsaved_is_saved_under_the_lock() -> None:
    """What couldn't be saved is saved later: lock, look, save; the token stays."""
    world = unsaved_world()
    held = world.credential(token("new"))
    assert Nothing(Why.DEFERRED) == world.ending(world.making.flush(held))
    assert ["Lock", "Load", "Save"] == world.trace
    assert ("new", False) == (world.entry.token and world.entry.token.access_token, world.tokens.known.is_unsaved)


def test_a_lock_that_is_taken_puts_saving_off() -> None:
    """Who only wants to save again what siblings have seen doesn't wait for the lock."""
    world = World()
    world.acquire()
    world.effects.clear()
    world.tokens.known = replace(world.tokens.known, is_unsaved=True)
    world.locks = [Locked.TAKEN]
    assert Nothing(Why.DEFERRED) == world.ending(world.making.flush(None))
    assert (["Lock"], True) == (world.trace, world.tokens.known.is_unsaved)


def test_what_nobody_else_has_is_saved_without_the_lock() -> None:
    """A token that no sibling can have is what the lock's holder needs: it's saved all the same."""
    world = unsaved_world()
    world.locks = [Locked.TAKEN]
    world.ending(world.making.flush(world.credential(token("new"))))
    assert (["Lock", "Load", "Save"], False) == (world.trace, world.tokens.known.is_unsaved)


def test_a_siblings_later_token_is_taken_instead_of_saving() -> None:
    """A token that a sibling saved, and that lives longer, is taken."""
    world = unsaved_world()
    world.entry = stored(token("theirs", 9000))
    held = world.credential(token("new"))
    assert Acquired(token("theirs", 9000), is_own=False) == world.ending(world.making.flush(held))
    assert ["Lock", "Load"] == world.trace


def test_a_store_that_still_fails_leaves_it_unsaved() -> None:
    """If it can't be saved now either, it's to be saved yet."""
    world = unsaved_world()
    world.is_writable = False
    world.ending(world.making.flush(None))
    assert world.tokens.known.is_unsaved


# -- Logging in -----------------------------------------------------------------------------------------------------


def interactive() -> AuthorizationCodeGrant:
    return AuthorizationCodeGrant(
        token_calls(client_secret=None), code=None, redirect_uri=None, code_verifier=None, login=lambda _: "url"
    )


class Redeem(NamedTuple):
    """What a login brings: steps that make a token under the lock."""

    world: World

    def __call__(self) -> Any:
        request = yield from ClientCredentialsGrant(token_calls(clock=self.world.clock)).request_token(None, None)
        return request


def logging_in(world: World, waits: int = 0) -> World:
    world.login = [*[None] * waits, Outcome(Redeem(world))]
    return world


def test_a_user_logs_in_without_the_lock() -> None:
    """The lock is released while a user logs in, taken again to redeem what they bring, and the store looked into."""
    world = logging_in(World(interactive()))
    result = world.acquire()
    assert result.is_own
    assert [
        *["Load", "Lock", "Load", "Unlock"],
        *["Authorize", "Await"],
        *["Lock", "Load", "Ask", "StillHeld", "Save"],
    ] == world.trace
    assert world.cancelled.is_set()
    assert identity(result.token) == world.entry.login


def test_a_siblings_token_ends_the_wait_for_a_user() -> None:
    """A token that comes up in the store meanwhile is taken, and the login given up."""
    world = logging_in(World(interactive()), waits=9)
    world.before[Load] = [None, None, None, world.put(THEIRS)]
    assert Acquired(token("theirs"), is_own=False) == world.acquire()
    assert ["Authorize", "Await", "Load", "Await", "Load"] == world.trace[4:]
    assert world.cancelled.is_set()


def test_a_login_that_is_cancelled_is_given_up() -> None:
    """Who closes the auth object ends the wait for a user."""
    world = logging_in(World(interactive()), waits=9)
    world.before[Await] = [None, world.cancelled.set]
    assert isinstance(world.acquire(), ReauthorizationRequired)


def test_a_login_that_fails_is_an_error() -> None:
    """What the login raises is the renewal's error."""
    world, refusal = World(interactive()), ReauthorizationRequired("not now")
    world.login = [Outcome(None, refusal)]
    assert refusal is world.acquire()
    assert world.cancelled.is_set()


@pytest.mark.parametrize("purpose", [DUE, STALE])
def test_no_user_is_asked_while_a_token_can_be_sent(purpose: Purpose) -> None:
    """In the background nobody is asked; the error holds up none of those who may ask later."""
    error = World(interactive()).acquire(purpose, held=token("held", 5))
    assert (ReauthorizationRequired, True) == (type(error), error.retryable)


def test_who_wants_to_log_in_is_asked_whatever_there_is() -> None:
    """A program that asks for a login gets one, though there's a token, and takes over none that was there before."""
    world = logging_in(World(interactive(), last=token("held")))
    world.entry = THEIRS
    assert world.acquire(LOGIN, held=token("held")).is_own
    assert ["Load", "Authorize", "Await", "Lock", "Load", "Ask", "StillHeld", "Save"] == world.trace


def test_a_failure_while_redeeming_is_not_shared() -> None:
    """What a login brings is this program's own, and so is its failure."""
    world = logging_in(World(interactive(), *[BUSY] * 3))
    assert isinstance(world.acquire(), TokenError)
    assert None is world.entry.failure


# -- Logins that were led elsewhere ---------------------------------------------------------------------------------

CODE_ANSWER = answer(200, {"access_token": "new", "expires_in": 3600, "refresh_token": "new-refresh"})


def completing(world: World, code: str = "code") -> Any:
    """Complete a login with a code; return what it brings, or the error."""
    grant: Any = world.grant
    redeem = partial(grant.complete, code, "https://app.example/", "verifier")
    result = world.ending(world.logins.complete_login(NewLogin(partial(grant.completion, code), redeem)))
    if isinstance(result, Exception):
        return result
    acquired, replaced = result
    if replaced is not None:
        assert None is world.ending(world.logins.end_login(replaced))
    return acquired


def led_elsewhere(*answers: Any, **options: Any) -> World:
    calls = token_calls(client_secret=None, given=REVOCATION)
    grant = AuthorizationCodeGrant(calls, code=None, redirect_uri=None, code_verifier=None)
    return World(grant, *answers, **options)


BEFORE = stored(token("before", refresh_token="old-refresh"))


def test_a_login_led_elsewhere_replaces_the_one_before() -> None:
    """The code is spent under the lock; the old refresh token is ended once the new one is saved."""
    world = led_elsewhere(CODE_ANSWER, answer(200))
    world.entry = BEFORE
    assert completing(world).is_own
    assert ["Lock", "Load", "Ask", "StillHeld", "Save", "Ask"] == world.trace
    assert world.entry.token is not None
    assert ("new", identity(world.entry.token)) == (world.entry.token.access_token, world.entry.login)
    assert ["code", "old-refresh"] == [world.forms[0]["code"], world.forms[1]["token"]]
    assert {digest("before"), digest("old-refresh")} <= set(world.entry.superseded)


def test_a_completed_login_is_not_completed_twice() -> None:
    """What the store says counts, also for a program that has just started; then nothing is sent or saved."""
    first = led_elsewhere(CODE_ANSWER)
    completing(first)
    for world in (first, led_elsewhere()):
        world.entry, world.effects = first.entry, []
        result = completing(world)
        assert (False, "new") == (result.is_own, result.token.access_token)
        assert ["Lock", "Load"] == world.trace


def test_a_code_that_was_only_spent_is_no_login() -> None:
    """Where a code was given at construction and refused, the store's mark of it doesn't stand for a login."""
    world = led_elsewhere(CODE_ANSWER, answer(200))
    world.entry = replace(BEFORE, grant_state={"code": digest("code")})
    assert "new" == completing(world).token.access_token


def test_only_the_present_logins_code_stands_for_it() -> None:
    """A redirect of a login that another has replaced is an error, and its code isn't sent again."""
    world = led_elsewhere(CODE_ANSWER, CODE_ANSWER)
    completing(world, "code")
    completing(world, "another")
    assert not completing(world, "another").is_own
    assert isinstance(completing(world, "code"), ReauthorizationRequired)
    assert 2 == len(world.forms)


def test_a_program_that_renews_forgets_no_completed_login() -> None:
    """A sibling takes over what the store knows of later logins, and saves it with its renewals."""
    first, second = led_elsewhere(CODE_ANSWER), led_elsewhere(CODE_ANSWER, answer(200), NEW)
    completing(first, "code")
    second.entry = first.entry
    completing(second, "another")
    first.entry, first.answers = second.entry, [NEW]
    first.acquire(FORCED, held=token("new"))
    assert [digest("code"), digest("another")] == first.entry.grant_state["completed"]


def test_a_login_is_kept_though_the_lock_was_lost() -> None:
    """A sibling that has renewed the old login meanwhile doesn't take the new one's place."""
    world = led_elsewhere(CODE_ANSWER, answer(200))
    world.entry, world.still_held = BEFORE, False
    renewed = stored(token("renewed", refresh_token="renewed-refresh"), login=BEFORE.login)
    world.before[StillHeld] = [world.put(renewed)]
    assert "new" == completing(world).token.access_token
    assert world.entry.token is not None
    assert "new" == world.entry.token.access_token
    assert {digest("renewed"), digest("renewed-refresh")} <= set(world.entry.superseded)
    assert "renewed-refresh" == world.forms[1]["token"]


def test_the_login_before_is_not_ended_until_the_new_one_is_saved() -> None:
    """While siblings have only the old refresh token, it lives on."""
    world = led_elsewhere(CODE_ANSWER)
    world.entry, world.is_writable = BEFORE, False
    assert completing(world).is_own
    assert 1 == len(world.forms)


def id_token(subject: str) -> dict[str, str]:
    payload = base64.urlsafe_b64encode(json.dumps({"sub": subject}).encode()).decode().rstrip("=")
    return {"id_token": f"header.{payload}.signature"}


@pytest.mark.parametrize(("subject", "ended"), [("alice", False), ("bob", True)])
def test_the_same_users_login_is_not_ended(subject: str, ended: bool) -> None:
    """Where ID tokens name the same user, the old refresh token isn't ended: the new one might end, too."""
    fields = {"access_token": "new", "refresh_token": "new-refresh", **id_token(subject)}
    world = led_elsewhere(answer(200, fields), answer(200))
    world.entry = stored(token("before", refresh_token="old-refresh", extra=id_token("alice")))
    assert completing(world).is_own
    assert ended == (len(world.forms) == 2)
    assert None is world.grant.live_refresh_token(BEFORE.token)


def test_no_siblings_token_takes_the_place_of_a_new_login() -> None:
    """A sibling that renews the old login meanwhile doesn't keep the user in it."""
    world = led_elsewhere(CODE_ANSWER, answer(200), last=token("before", refresh_token="old-refresh"))
    world.entry = BEFORE
    world.before[Load] = [world.put(stored(token("renewed", refresh_token="renewed-refresh"), login=BEFORE.login))]
    assert "new" == completing(world).token.access_token
    assert "renewed-refresh" == world.forms[1]["token"]


def test_a_siblings_failure_does_not_count_for_a_new_login() -> None:
    """A server that has just failed a sibling is asked all the same: the user waits."""
    failure = SharedFailure.of(TokenTransportError("down"), by="sibling", times=1, now=at(0), pause=60)
    world = led_elsewhere(CODE_ANSWER)
    world.entry = Entry(failure=failure)
    assert completing(world).is_own


def test_a_refused_code_changes_nothing() -> None:
    """The entry stays as it was, and the same code is sent again when asked: its refusal is told again."""
    world = led_elsewhere(*[answer(400, {"error": "invalid_grant"})] * 2)
    world.entry = BEFORE
    for calls in (1, 2):
        assert isinstance(completing(world), OAuthProviderException)
        assert (BEFORE, calls) == (world.entry, len(world.forms))


def test_a_new_login_stands_if_the_old_one_cannot_be_ended() -> None:
    """A refused revocation harms nothing; and the old refresh token isn't used any more."""
    world = led_elsewhere(CODE_ANSWER, answer(400, {"error": "invalid_request"}))
    world.entry = BEFORE
    assert completing(world).is_own
    assert None is world.grant.live_refresh_token(BEFORE.token)


@pytest.mark.parametrize("before", [None, stored(token("before")), stored(token("b", refresh_token="new-refresh"))])
def test_only_another_refresh_token_is_ended(before: Entry | None) -> None:
    """Where there was none, or the server has issued the same again, no revocation is sent."""
    world = led_elsewhere(CODE_ANSWER)
    world.entry = before or Entry()
    assert completing(world).is_own
    assert 1 == len(world.forms)


def test_a_program_that_was_held_up_looks_again_before_it_spends_a_code() -> None:
    """A code that a sibling may have spent meanwhile isn't sent."""
    world = led_elsewhere(None, CODE_ANSWER)
    assert completing(world).is_own
    assert ["Lock", "Load", "Ask", "Unlock", "Lock", "Load", "Ask", "StillHeld", "Save"] == world.trace


# -- Logging out ----------------------------------------------------------------------------------------------------

REVOCATION = {"token_url": TOKEN_URL, "revocation_url": "https://auth.example/revoke"}


def revoking(*answers: Any, last: OAuthToken | None = SPENT, **options: Any) -> World:
    grant = PasswordGrant(token_calls(client_secret=None, given=REVOCATION), username="alice", password="pass-word")
    return World(grant, *answers, last=last, **options)


def test_a_logout_leaves_a_mark() -> None:
    """Refresh and access token are ended at the server, and the store keeps a mark of the login, and no token."""
    world = revoking(answer(200), answer(200))
    assert None is world.ending(world.logins.revoke())
    assert ["Lock", "Load", "Ask", "Ask", "Save"] == world.trace
    assert Entry(logged_out=frozenset({digest("spent"), digest("refresh")})) == world.entry
    assert None is world.tokens.known.last


def test_a_logout_ends_what_a_sibling_has_saved_last() -> None:
    """The newest token is ended, wherever it was."""
    world = revoking(answer(200), answer(200))
    world.entry = stored(token("theirs", refresh_token="their-refresh"), login="the login")
    world.ending(world.logins.revoke())
    assert ["their-refresh", "theirs"] == [form["token"] for form in world.forms]
    assert {digest("theirs"), digest("their-refresh"), "the login"} <= (world.entry.logged_out or set())


def test_a_logout_that_the_server_refuses_is_one_all_the_same() -> None:
    """The token is forgotten first, and then the server's refusal is raised."""
    world = revoking(answer(400, {"error": "invalid_request"}), answer(200))
    error = world.ending(world.logins.revoke())
    assert (OAuthProviderException, True, None) == (
        type(error),
        world.entry.logged_out is not None,
        world.tokens.known.last,
    )


def test_a_mark_that_cannot_be_saved_deletes_at_least() -> None:
    """Where the mark can't be saved the entry is deleted; where that can't be either, the error says so."""
    for is_deletable in (True, False):
        world = revoking(answer(200), answer(200))
        world.is_writable, world.is_deletable = False, is_deletable
        error = world.ending(world.logins.revoke())
        assert ["Save", "Delete"] == world.trace[-2:]
        assert is_deletable is not isinstance(error, TokenStoreError)


def test_a_logout_that_is_tried_again_leaves_the_mark() -> None:
    """Where the store was out, a second attempt ends for siblings, too, what the first one has forgotten here."""
    world = revoking(*[answer(200)] * 4)
    world.entry = stored(SPENT, login="the login")
    world.is_writable = world.is_deletable = False
    assert isinstance(world.ending(world.logins.revoke()), TokenStoreError)
    world.is_writable = world.is_deletable = True
    assert None is world.ending(world.logins.revoke())
    assert frozenset({digest("spent"), digest("refresh"), "the login"}) == world.entry.logged_out


def test_a_logout_without_a_token_deletes() -> None:
    """Where there's no login to mark, the entry is deleted."""
    world = revoking(last=None)
    assert None is world.ending(world.logins.revoke())
    assert ["Lock", "Load", "Delete"] == world.trace


def test_a_logout_without_a_store_forgets() -> None:
    """Where nothing is shared the tokens are forgotten here."""
    world = revoking(answer(200), answer(200), shared=False)
    world.is_readable = False
    assert None is world.ending(world.logins.revoke())
    assert (None, ["Lock", "Load", "Ask", "Ask"]) == (world.tokens.known.last, world.trace)


def test_a_logout_names_the_refresh_token_that_was_given() -> None:
    """A refresh token that the program was given is part of what's ended, and not sent again."""
    grant = RefreshTokenGrant(token_calls(client_secret=None, given=REVOCATION), refresh_token="given")
    world = World(grant, answer(200))
    world.ending(world.logins.revoke())
    assert frozenset({digest("given")}) == world.entry.logged_out
    assert isinstance(world.acquire(), ReauthorizationRequired)


def test_a_logout_waits_for_the_lock_whatever_it_finds() -> None:
    """Neither a sibling's token nor its failure ends the wait for the lock of a logout."""
    world = revoking(answer(200), answer(200))
    world.locks = [Locked.TAKEN] * 2
    world.entry = Entry(token("theirs"), login="x", failure=failure_of())
    assert None is world.ending(world.logins.revoke())
    assert ["Lock", "Load", "Lock", "Load", "Lock", "Load"] == world.trace[:6]


def test_a_siblings_logout_is_heeded_at_the_next_look() -> None:
    """A mark in the store ends this login: its refresh token isn't sent, and the grant goes its own way."""
    world = World(password(), NEW, last=SPENT)
    world.entry = Entry(logged_out=frozenset({identity(SPENT), digest("refresh"), digest("spent")}))
    assert world.acquire().is_own
    assert ["password"] == [form["grant_type"] for form in world.forms]
    assert (None, "new") == (world.entry.logged_out, world.entry.token and world.entry.token.access_token)


def test_another_logins_mark_is_nothing_to_this_one() -> None:
    """A mark of another login leaves this one its refresh token."""
    world = World(password(), NEW, last=SPENT)
    world.entry = Entry(logged_out=frozenset({digest("another")}))
    assert world.acquire().is_own
    assert ["refresh"] == [form.get("refresh_token") for form in world.forms]


# -- What is learned ------------------------------------------------------------------------------------------------


def test_what_the_grant_has_learned_goes_along() -> None:
    """What a sibling's grant has found out is restored at each look, and saved with the token."""
    grant = ClientCredentialsGrant(token_calls(client_secret="s/cret"))
    world = World(grant)
    world.entry = Entry(token("expired", -1), {"basic_encode": False}, "login")
    world.acquire()
    assert {"basic_encode": False} == world.entry.grant_state


def test_an_expired_siblings_code_is_redeemed_all_the_same() -> None:
    """A code that was given wins over a stored token, and over a refresh token."""
    grant = AuthorizationCodeGrant(
        token_calls(client_secret=None), code="the-code", redirect_uri="https://a/cb", code_verifier=None
    )
    world = World(grant, NEW, last=SPENT)
    world.entry = THEIRS
    assert world.acquire().is_own
    assert ["authorization_code"] == [form["grant_type"] for form in world.forms]
    assert [] == world.provided


def test_a_look_brings_the_newest_token_whatever_its_age() -> None:
    """Who looks into the store sees a token that can't be sent, too."""
    world = World()
    world.entry = stored(token("expired", -1))
    assert token("expired", -1) == world.ending(world.tokens.check_store())


def test_a_transport_error_that_is_shared_is_the_plug_ins() -> None:
    """A sibling's network trouble is raised as this plug-in's kind of error."""
    world = World()
    world.entry = Entry(failure=SharedFailure("sibling", "TokenTransportError", "no", {}, 1, at(0).wall, 5.0))
    assert isinstance(world.acquire(), TokenTransportError)


# -- Where the API may want no token ----------------------------------------------------------------------------------

LOOK, ASK = Purpose(Reason.LOOK), Purpose(Reason.ASK)
REJECTED = Purpose(Reason.REJECTED, "Bearer held")
WANTED, MORE = Demand(Kind.TOKEN, "read"), Demand(Kind.SCOPE, "write")
STRONGER = Demand(Kind.LOGIN, login=(("acr_values", "gold"),))
HELD = token("held", refresh_token="refresh")
FINAL, PASSING, DEAD = TokenError("no"), TokenTransportError("not now"), ReauthorizationRequired("dead")


def on_demand(
    *tokens: OAuthToken | OAuthError, last: OAuthToken | None = None, has_login: bool = True, **answers: Any
) -> tuple[World, Asked]:
    """Return a world whose grant brings these tokens, and answers so; a user logs in at once."""
    grant = Asked(*tokens, has_login=has_login)
    for name, value in answers.items():
        setattr(grant, name, value)
    world = World(grant, last=last)
    world.is_user_there = True
    return world, grant


NEW_TOKEN = token("new")


@pytest.mark.parametrize("last", [None, token("expired", -1)])
def test_a_look_asks_for_nothing(last: OAuthToken | None) -> None:
    """A sibling's token is taken; without one there's none, and nobody has asked for one."""
    world, grant = on_demand(last=last)
    assert Nothing(Why.ABSENT) == world.acquire(LOOK)
    world.entry = THEIRS
    assert Acquired(token("theirs"), is_own=False) == world.acquire(LOOK)
    assert [] == grant.calls


def test_a_look_renews_what_can_be_renewed() -> None:
    """A token that has expired is refreshed without a user; where that's refused there's none, and nobody is asked."""
    world, grant = on_demand(last=SPENT, refreshes=[NEW_TOKEN])
    assert Acquired(NEW_TOKEN, is_own=True) == world.acquire(LOOK)
    world, grant = on_demand(last=SPENT, refreshes=[DEAD])
    assert Nothing(Why.ABSENT) == world.acquire(LOOK)
    assert ["refresh"] == grant.calls


@pytest.mark.parametrize(("moved", "expected"), [(False, PASSING), (PASSING, PASSING), (True, Nothing(Why.ABSENT))])
def test_a_look_that_fails_is_an_error_unless_the_server_has_moved(moved: Any, expected: Any) -> None:
    """Tokens of another server than the resource has now are no loss."""
    world, grant = on_demand(last=SPENT, refreshes=[PASSING], moved=[moved])
    assert expected == world.acquire(LOOK)
    assert ["refresh", "moved?"] == grant.calls


def test_an_open_resource_that_is_asked_wants_nothing() -> None:
    """Then there's no discovery, no login, and no token."""
    world, grant = on_demand()
    assert Nothing(Why.BARE) == world.acquire(ASK)
    assert ["ask"] == grant.calls


@pytest.mark.parametrize(("purpose", "asks"), [(ASK, True), (MISSING, True), (replace(MISSING, demand=WANTED), False)])
def test_what_the_resource_demands_is_known_before_a_login(purpose: Purpose, asks: bool) -> None:
    """From the answer that led to it, else by asking; then all is found out, without the lock, and the user logs in."""
    world, grant = on_demand(NEW_TOKEN, demand=WANTED)
    assert Acquired(NEW_TOKEN, is_own=True) == world.acquire(purpose)
    assert [*(["ask"] if asks else []), ("prepare", WANTED), "log in", "request"] == grant.calls
    assert ["Load", "Lock", "Load", "Unlock", "Authorize"] == world.trace[:5]


def test_who_wants_a_token_gets_one_also_where_none_is_demanded() -> None:
    """`get_token()` was called for it."""
    world, grant = on_demand(NEW_TOKEN)
    assert Acquired(NEW_TOKEN, is_own=True) == world.acquire(MISSING)
    assert ["ask", ("prepare", None), "log in", "request"] == grant.calls


@pytest.mark.parametrize("failing", ["demand", "brings_more"])
@pytest.mark.parametrize("error", [FINAL, PASSING])
def test_what_cannot_be_found_out_is_an_error(failing: str, error: TokenError) -> None:
    """And nobody is asked to log in."""
    world, grant = on_demand()
    setattr(grant, failing, error)
    assert error == world.acquire(MISSING)
    assert "log in" not in grant.calls


def test_a_service_asks_under_the_lock_once_all_is_known() -> None:
    """Without a user, too, discovery comes before the first token, and not again."""
    world, grant = on_demand(NEW_TOKEN, token("next"), has_login=False)
    assert Acquired(NEW_TOKEN, is_own=True) == world.acquire(replace(MISSING, demand=WANTED))
    assert [("prepare", WANTED), "request"] == grant.calls
    assert ["Load", "Lock", "Load", "Unlock", "Lock", "Load", "StillHeld", "Save"] == world.trace
    assert Acquired(token("next"), is_own=True) == world.acquire(REJECTED, held=NEW_TOKEN)
    assert [("prepare", WANTED), "request", "request"] == grant.calls


# -- Renewing where a token is from -----------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", [REJECTED, FORCED, DUE, STALE, MISSING])
def test_a_token_is_renewed_where_it_is_from(purpose: Purpose) -> None:
    """The resource isn't asked who its server is while that one renews."""
    world, grant = on_demand(last=HELD, refreshes=[NEW_TOKEN])
    assert Acquired(NEW_TOKEN, is_own=True) == world.acquire(purpose, held=HELD)
    assert ["refresh"] == grant.calls


@pytest.mark.parametrize("moved", [False, True, FINAL])
def test_a_server_that_is_doubted_is_asked_about_first(moved: Any) -> None:
    """A token fresh from it was rejected; where that can't be found out it's renewed where it's from."""
    world, grant = on_demand(last=HELD, refreshes=[NEW_TOKEN], moved=[moved])
    assert Acquired(NEW_TOKEN, is_own=True) == world.acquire(replace(REJECTED, doubts_server=True), held=HELD)
    assert ["moved?", "refresh"] == grant.calls


@pytest.mark.parametrize("failure", [FINAL, PASSING])
def test_a_server_that_fails_is_asked_about(failure: TokenError) -> None:
    """If it's still the resource's, or nobody knows, the failure is the renewal's; else a user logs in at the other."""
    for moved in (False, PASSING):
        world, grant = on_demand(last=HELD, refreshes=[failure], moved=[moved])
        assert failure == world.acquire(REJECTED, held=HELD)
        assert ["refresh", "moved?"] == grant.calls
    world, grant = on_demand(NEW_TOKEN, last=HELD, refreshes=[failure], moved=[True])
    assert Acquired(NEW_TOKEN, is_own=True) == world.acquire(REJECTED, held=HELD)
    assert ["refresh", "moved?", ("prepare", None), "log in", "request"] == grant.calls


@pytest.mark.parametrize("purpose", [DUE, STALE])
def test_in_the_background_a_failure_is_a_failure(purpose: Purpose) -> None:
    """There's a token that can be sent, and nobody is asked for anything."""
    world, grant = on_demand(last=HELD, refreshes=[FINAL], moved=[True])
    assert FINAL == world.acquire(purpose, held=HELD)
    assert ["refresh"] == grant.calls


def test_the_lock_is_not_held_while_the_resource_is_asked() -> None:
    """It may take as long as its server likes."""
    world, grant = on_demand(last=HELD, refreshes=[PASSING])
    seen: list[list[str]] = []
    grant.has_moved = lambda last: seen.append(list(world.trace)) or iter(())  # type: ignore[assignment, return-value, func-returns-value, method-assign]
    assert PASSING == world.acquire(REJECTED, held=HELD)
    assert "Unlock" == [name for name in seen[0] if name in {"Lock", "Unlock"}][-1]


def test_before_a_user_is_asked_the_resource_is_read_anew() -> None:
    """A refresh token that's refused ends the old login; the next one may be at another server."""
    world, grant = on_demand(NEW_TOKEN, last=HELD, refreshes=[DEAD])
    assert Acquired(NEW_TOKEN, is_own=True) == world.acquire(REJECTED, held=HELD)
    assert ["refresh", ("prepare", None), "log in", "request"] == grant.calls


# -- More scope, and other logins -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("demand", "parameters"), [(MORE, {}), (STRONGER, {"acr_values": "gold"})])
def test_a_login_for_a_demand(demand: Demand, parameters: dict[str, str]) -> None:
    """Not by a refresh: the user logs in as is demanded."""
    world, grant = on_demand(NEW_TOKEN, last=HELD, refreshes=[])
    assert Acquired(NEW_TOKEN, is_own=True) == world.acquire(replace(LOGIN, demand=demand), held=HELD)
    assert [("prepare", demand), "log in", "request"] == grant.calls
    assert [parameters] == grant.demands


def test_a_login_that_could_bring_no_more_is_not_asked_for() -> None:
    """All of it was granted already, or asked for in vain."""
    world, grant = on_demand(last=HELD, brings_more=False)
    assert Nothing(Why.VAIN) == world.acquire(replace(LOGIN, demand=MORE), held=HELD)
    assert [("prepare", MORE)] == grant.calls


def test_a_siblings_token_may_be_of_the_login_that_is_demanded() -> None:
    """It's tried first; a program that wants a login for itself gets one."""
    for purpose, is_own in ((replace(LOGIN, demand=MORE), False), (LOGIN, True)):
        world, grant = on_demand(NEW_TOKEN, last=HELD)
        world.entry = THEIRS
        assert is_own is world.acquire(purpose, held=HELD).is_own
        assert is_own is ("log in" in grant.calls)


# -- A client that the server has forgotten ---------------------------------------------------------------------------


def test_with_another_client_a_login_is_tried_once_more() -> None:
    """What the server says of the first is no failure, if another can be had; the lock is free in between."""
    world, grant = on_demand(FINAL, NEW_TOKEN, forgotten=[True])
    assert Acquired(NEW_TOKEN, is_own=True) == world.acquire(replace(MISSING, demand=WANTED))
    assert [("prepare", WANTED), "log in", "request", "client?", "log in", "request"] == grant.calls
    assert ["Unlock", "Authorize"] == world.trace[-7:-5]


@pytest.mark.parametrize(("forgotten", "logins"), [([], 1), ([False], 1), ([True], 2), ([True, True], 2)])
def test_no_client_is_tried_for_ever(forgotten: list[bool], logins: int) -> None:
    """Once more in a flight, and only where the error is about the client."""
    world, grant = on_demand(FINAL, PASSING, NEW_TOKEN, forgotten=forgotten)
    assert (FINAL if logins == 1 else PASSING) == world.acquire(replace(MISSING, demand=WANTED))
    assert (logins, 1) == (grant.calls.count("log in"), grant.calls.count("client?"))


def test_a_demand_goes_along_with_the_other_client() -> None:
    """It's the same login."""
    world, grant = on_demand(FINAL, NEW_TOKEN, last=HELD, forgotten=[True])
    assert world.acquire(replace(LOGIN, demand=STRONGER), held=HELD).is_own
    assert [{"acr_values": "gold"}] * 2 == grant.demands
