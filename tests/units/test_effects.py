"""The runner of a renewal's effects, and how it notices that the program stood still."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self

import pytest

from oauth_auth import OAuthToken, TokenError
from oauth_auth._clock import Now
from oauth_auth._renewal.effects import (
    Await,
    Delete,
    HoldUps,
    Idle,
    Load,
    Loaded,
    Lock,
    Locked,
    Save,
    StillHeld,
    Unlock,
    carry_out_renewal,
)
from oauth_auth._renewal.entry import Entry, SharedFailure
from oauth_auth._server.calls import Ask, Sleep
from oauth_auth._wire.token_request import build_token_request
from tests.support.steps import TOKEN_URL, HandClock, Transport

REQUEST = build_token_request(TOKEN_URL, None, {})
SPENT_ONCE = Ask(REQUEST, Transport(), 5.0, 10.0, is_single_use=True)
ANY_NUMBER = Ask(REQUEST, Transport(), 5.0, 5.0, is_single_use=False)


# -- Standing still -------------------------------------------------------------------------------------------------


class Watched:
    """A clock, and what notices that it jumped."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.hold_ups = HoldUps(self.clock)

    def carry_out(self, effect: object, *, seconds: float = 0.0) -> bool:
        """Carry out an effect that takes so long; return whether it was forbidden."""
        self.hold_ups.begin(effect)
        is_forbidden = self.hold_ups.forbid(effect)
        if not is_forbidden:
            self.clock.advance(seconds)
        self.hold_ups.end(effect)
        return is_forbidden


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_program_that_runs_may_ask(watched: Watched) -> None:
    """Where nothing took long, what can be used once is sent."""
    watched.carry_out(Lock(0.5), seconds=3.75)
    watched.carry_out(Load(), seconds=3.75)
    watched.clock.advance(3.75)
    assert not watched.carry_out(SPENT_ONCE)


@pytest.mark.parametrize(
    ("wall", "monotonic"),
    [(3.76, 3.76), (3.76, 0.0), (0.0, 3.76), (1e6, 0.0)],
    ids=["both", "suspended", "set", "days"],
)
def test_a_program_that_stood_still_must_take_the_lock_again(watched: Watched, wall: float, monotonic: float) -> None:
    """A jump of either clock, longer than a quarter of the shortest lease, forbids what can be used once."""
    watched.carry_out(Lock(0.5))
    watched.clock.now = Now(watched.clock.now.wall + wall, watched.clock.now.monotonic + monotonic)
    assert watched.carry_out(SPENT_ONCE)
    assert watched.carry_out(SPENT_ONCE)
    watched.carry_out(Load())
    assert watched.carry_out(SPENT_ONCE)
    watched.carry_out(Lock(0.5))
    watched.carry_out(Load())
    assert not watched.carry_out(SPENT_ONCE)


@pytest.mark.parametrize("effect", [ANY_NUMBER, Load(), Save(Entry()), Lock(0.5), Unlock(), Sleep(1.0), StillHeld()])
def test_all_else_may_be_done(watched: Watched, effect: Any) -> None:
    """Only what can be used once is forbidden."""
    watched.clock.advance(100)
    assert not watched.carry_out(effect)


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (Sleep(2.0), 2.0),
        (Await(0.5), 0.5),
        (Idle(9.0, threading.Event()), 9.0),
        (Save(Entry()), 0.0),
        (Load(), 0.0),
        (Lock(0.5), 0.0),
        (StillHeld(), 0.0),
        (ANY_NUMBER, 0.0),
    ],
)
def test_an_effect_may_take_its_time(effect: Any, expected: float) -> None:
    """An effect takes as long as it says, and a little more, before it counts as standing still."""
    for beyond, is_held_up in ((3.75, False), (3.8, True)):
        watched = Watched()
        watched.carry_out(effect, seconds=expected + beyond)
        assert is_held_up is watched.carry_out(SPENT_ONCE)


def test_what_waits_reads_the_clocks_each_second(watched: Watched) -> None:
    """A wait of any length counts as running, as long as the clocks are read meanwhile."""
    watched.carry_out(Lock(0.5))
    watched.hold_ups.begin(ANY_NUMBER)
    for _ in range(20):
        watched.clock.advance(1.0)
        watched.hold_ups.tick()
    watched.hold_ups.end(ANY_NUMBER)
    assert not watched.carry_out(SPENT_ONCE)


def test_standing_still_while_waiting_is_noticed(watched: Watched) -> None:
    """A program that was stopped in the middle of a wait is one that stood still, however long the wait may take."""
    watched.carry_out(Lock(0.5))
    watched.hold_ups.begin(ANY_NUMBER)
    watched.clock.advance(1.0)
    watched.hold_ups.tick()
    watched.clock.advance(4.0)
    watched.hold_ups.tick()
    watched.hold_ups.end(ANY_NUMBER)
    assert watched.carry_out(SPENT_ONCE)


def test_a_lock_makes_up_for_what_was_before(watched: Watched) -> None:
    """Whatever took long before the lock was taken is of no matter."""
    watched.carry_out(Save(Entry()), seconds=100)
    watched.carry_out(Lock(0.5), seconds=1)
    assert not watched.carry_out(SPENT_ONCE)


def test_a_failure_from_before_replaces_nothing(watched: Watched) -> None:
    """Who stood still doesn't leave a failure in the store: siblings may have saved a token meanwhile."""
    failure = SharedFailure("program", "TokenResponseError", "it failed", {}, 1, 0.0, 5.0)
    watched.carry_out(Lock(0.5))
    assert not watched.carry_out(Save(Entry(failure=failure)), seconds=4)
    assert watched.carry_out(Save(Entry(failure=failure)))
    assert not watched.carry_out(Save(Entry(OAuthToken(access_token="a"))))


# -- Carrying out ---------------------------------------------------------------------------------------------------


class Session:
    """A store's session that notes what it's asked to do."""

    def __init__(self, *, is_shared: bool) -> None:
        self.is_shared = is_shared
        self.done: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.done.append("released")

    def load(self) -> tuple[Entry, bool]:
        return Entry(), True

    def lock(self, timeout: float, *, is_spare: bool) -> Locked:
        self.done.append((timeout, is_spare))
        return Locked.HELD

    def unlock(self) -> None:
        self.done.append("unlocked")

    def stand_by(self) -> None:
        pass

    def still_holds_lock(self) -> bool:
        return True

    def save(self, entry: Entry) -> bool:
        self.done.append(entry)
        return True

    def delete(self) -> bool:
        return False


class StoreOfOne:
    """As much of a store's entry as the runner needs."""

    def __init__(self, *, is_shared: bool = True) -> None:
        self.of = Session(is_shared=is_shared)

    def session(self, tick: Callable[[], object]) -> Session:
        return self.of


def run(renewal: Any, store: StoreOfOne | None = None, clock: HandClock | None = None) -> Any:
    return carry_out_renewal(renewal, store or StoreOfOne(), clock or HandClock())  # type: ignore[arg-type]


def test_effects_are_carried_out_in_the_session() -> None:
    """Each effect is a call of the store's session, and brings what that returns; at the end all is released."""
    store, entry = StoreOfOne(), Entry(OAuthToken(access_token="a"))

    def renewal() -> Any:
        results = [(yield Load()), (yield Lock(0.5)), (yield StillHeld()), (yield Save(entry)), (yield Delete())]
        results.append((yield Unlock()))
        return results

    assert [Loaded(Entry(), is_ok=True), Locked.HELD, True, True, False, None] == run(renewal(), store)
    assert [(0.5, False), entry, "unlocked", "released"] == store.of.done


def test_who_stood_still_counts_as_without_the_lock() -> None:
    """A lock that was held by a program that stood still may have been gone without: the store is to be looked into."""
    clock = HandClock()

    def renewal() -> Any:
        yield Lock(0.5)
        clock.advance(100)
        before = yield StillHeld()
        yield Lock(0.5)
        return before, (yield StillHeld())

    assert (False, True) == run(renewal(), clock=clock)


def test_what_is_held_is_released_whatever_happens() -> None:
    """A renewal that raises leaves no lock behind."""
    store = StoreOfOne()

    def renewal() -> Any:
        yield Lock(0.0, is_spare=True)
        raise TokenError("no")

    with pytest.raises(TokenError):
        run(renewal(), store)
    assert [(0.0, True), "released"] == store.of.done


def asking(jump: Callable[[], None]) -> Any:
    yield Lock(0.0)
    jump()
    return (yield SPENT_ONCE)


def test_nothing_is_sent_by_who_stood_still() -> None:
    """Where siblings could have acted meanwhile, an attempt brings None and sends nothing."""
    clock = HandClock()
    assert None is run(asking(lambda: clock.advance(100)), clock=clock)


def test_who_has_no_siblings_may_stand_still() -> None:
    """Without a store nobody could have used the refresh token meanwhile: it's sent."""
    clock = HandClock()
    with pytest.raises(TokenError, match="AssertionError"):  # the transport of these tests sends nothing
        run(asking(lambda: clock.advance(100)), StoreOfOne(is_shared=False), clock)


def test_steps_of_callers_are_waited_for() -> None:
    """A step that callers can wait for is waited for in a renewal, too."""

    class Step:
        def wait(self) -> str:
            return "arrived"

    def renewal() -> Any:
        return (yield Step())

    assert "arrived" == run(renewal())


def test_who_does_nothing_for_a_while_is_told_if_the_program_goes_on() -> None:
    """An idle stretch of no length ends at once, and the program goes on."""

    def renewal() -> Any:
        return (yield Idle(0.0, threading.Event()))

    assert False is run(renewal())
