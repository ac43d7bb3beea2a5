"""Pauses after what fails: how long they are, when they end, and whom they hold up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_auth import (
    ConfigurationError,
    InsecureTransportError,
    OAuthError,
    OAuthProviderException,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
    TokenTransportError,
)
from oauth_auth._clock import Chance, Now
from oauth_auth._renewal.backoff import Cooldown, Failure, OriginBreaker, asked_pause, is_final
from oauth_auth._server.calls import unexpected
from tests.support.steps import Highest, Lowest, at


def failing(*, retryable: bool = True, retry_after: float | None = None, is_unexpected: bool = False) -> TokenError:
    error = TokenError("it failed")
    error.retryable = retryable
    error.retry_after = retry_after
    error.is_unexpected = is_unexpected
    return error


# -- Cooldown -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "remaining"), [(-0.5, 0.0), (0, 8.0), (1, 7.0), (7.5, 0.5), (8, 0.0), (9, 0.0), (1e6, 0.0)]
)
def test_a_cooldown_ends(seconds: float, remaining: float) -> None:
    """A pause lasts as long as it was to, and is over if the clock is set back before its beginning."""
    cooldown = Cooldown.begin(at(0), 8.0)
    assert (remaining, 8.0) == (cooldown.remaining(at(seconds)), cooldown.length)


def test_a_cooldown_goes_by_the_clock_that_is_never_set() -> None:
    """Setting the time makes a pause neither longer nor shorter."""
    cooldown = Cooldown.begin(at(0), 8.0)
    assert 5.0 == cooldown.remaining(Now(at(0).wall + 1e6, at(3).monotonic))


def test_a_cooldown_of_nothing_is_over_at_once() -> None:
    """A pause of 0 s holds up nobody."""
    assert 0.0 == Cooldown.begin(at(0), 0.0).remaining(at(0))


# -- Failure --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chance", "lengths"),
    [(Highest(), [2, 4, 8, 16, 32, 60, 60, 60]), (Lowest(), [1, 2, 4, 8, 16, 30, 30, 30])],
    ids=["longest", "shortest"],
)
def test_pauses_grow(chance: Chance, lengths: list[float]) -> None:
    """Pauses after failures in a row double from 1 to 2 s up to 30 to 60 s."""
    failure, found = None, []
    for _ in lengths:
        failure = Failure.after(failure, failing(), at(0), chance)
        found.append(failure.cooldown.length)
    assert lengths == found


def test_many_failures_do_no_harm() -> None:
    """The pause is bounded however many failures there were."""
    assert 60.0 == Failure.after(None, failing(), at(0), Highest(), times=10**9).cooldown.length


@pytest.mark.parametrize(
    ("past", "times", "expected"), [(0, 0, 1), (0, 3, 4), (3, 0, 4), (3, 2, 4), (2, 5, 6), (1, 1, 2)]
)
def test_failures_of_siblings_count(past: int, times: int, expected: int) -> None:
    """A failure comes after those of this program, or after those that siblings have counted if they are more."""
    before = Failure(failing(), past, Cooldown.begin(at(0), 1.0), at(0).wall) if past else None
    assert expected == Failure.after(before, failing(), at(0), Highest(), times=times).times


@pytest.mark.parametrize(
    ("retry_after", "length", "asked"),
    [
        (None, 2.0, 0.0),
        (0.0, 2.0, 0.0),
        (1.0, 2.0, 1.0),
        (90.0, 90.0, 90.0),
        (300.0, 300.0, 300.0),
        (1e9, 300.0, 300.0),
    ],
)
def test_retry_after_makes_a_pause_longer(retry_after: float | None, length: float, asked: float) -> None:
    """A pause is as long as the server asks for, but no longer than 300 s."""
    error = failing(retry_after=retry_after)
    assert (length, asked) == (Failure.after(None, error, at(0), Highest()).cooldown.length, asked_pause(error))


@pytest.mark.parametrize(
    ("error", "seconds", "expected"),
    [
        (failing(), 0, False),
        (failing(), 1, False),
        (failing(retryable=False), 0, True),
        (failing(retryable=False), 1e6, True),
        (failing(retryable=False, is_unexpected=True), 0, False),
        (failing(retryable=False, is_unexpected=True), 1, False),
        (failing(retry_after=30.0), 0, True),
        (failing(retry_after=30.0), 29, True),
        (failing(retry_after=30.0), 30, False),
        (failing(retry_after=1e9), 299, True),
        (failing(retry_after=1e9), 300, False),
    ],
)
def test_whom_a_failure_holds_up(error: TokenError, seconds: float, expected: bool) -> None:
    """Callers without a token get the error at once if it's final, or while the server asks for a pause."""
    failure = Failure.after(None, error, at(0), Highest())
    assert expected is failure.fails_fast(at(seconds))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OAuthProviderException("invalid_client", status_code=401), True),
        (OAuthProviderException("temporarily_unavailable", status_code=503), False),
        (TokenResponseError("HTML", status_code=200), True),
        (TokenTransportError("no such host"), False),
        (TokenTransportError("no such URL", retryable=False), True),
        (ReauthorizationRequired("the user must log in"), True),
        (ConfigurationError("wrong"), True),
        (InsecureTransportError("http"), True),
        (TokenError("the provider returned an int"), True),
        (unexpected("a mock's"), False),
    ],
    ids=lambda value: f"{type(value).__name__}-{value}" if isinstance(value, Exception) else None,
)
def test_what_is_final(error: OAuthError, expected: bool) -> None:
    """A refusal of the server's or the configuration's is; what may pass, or is of an unknown kind, isn't."""
    assert expected is is_final(error)


def test_a_failure_knows_when_it_was() -> None:
    """A failure has its error and its time."""
    error = failing()
    failure = Failure.after(None, error, at(7), Highest())
    assert (error, at(7).wall) == (failure.error, failure.at)


# -- OriginBreaker --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("is_interactive", "lengths"),
    [(False, [0, 0, 10, 20, 40, 60, 60]), (True, [10, 20, 40, 60, 60])],
    ids=["nobody logs in", "a user would log in"],
)
def test_vain_renewals_are_spaced(is_interactive: bool, lengths: list[float]) -> None:
    """After three vain renewals in a row, or one where a user would log in, pauses grow from 10 to 60 s."""
    breaker, found = None, []
    for _ in lengths:
        breaker = OriginBreaker.after(breaker, at(0), "/path", is_interactive=is_interactive)
        found.append(breaker.cooldown.length)
    assert lengths == found


def breaker_after(times: int, path: str = "/vain") -> OriginBreaker:
    breaker = None
    for _ in range(times):
        breaker = OriginBreaker.after(breaker, at(0), path, is_interactive=False)
    assert breaker is not None
    return breaker


@pytest.mark.parametrize(
    ("breaker", "path", "header", "seconds", "expected"),
    [
        (breaker_after(1), "/vain", "Bearer a", 0, False),
        (breaker_after(2), "/vain", "Bearer a", 0, False),
        (breaker_after(3), "/vain", "Bearer a", 0, True),
        (breaker_after(3), "/vain", "Bearer a", 9, True),
        (breaker_after(3), "/vain", "Bearer a", 10, False),
        (breaker_after(3), "/never seen", "Bearer a", 9, True),
        (breaker_after(3).accepted("/good", "Bearer a"), "/good", "Bearer a", 9, False),
        (breaker_after(3).accepted("/good", "Bearer a"), "/good", "Bearer b", 9, True),
        (breaker_after(3).accepted("/good", "Bearer a"), "/other", "Bearer a", 9, True),
        (breaker_after(3).accepted("/vain", "Bearer a"), "/vain", "Bearer a", 9, False),
    ],
)
def test_what_a_breaker_blocks(
    *, breaker: OriginBreaker, path: str, header: str, seconds: float, expected: bool
) -> None:
    """During the pause an origin's rejections count for nothing, but on a path that had accepted this very token."""
    assert expected is breaker.blocks(at(seconds), path, header)


def test_paths_of_vain_renewals_are_remembered() -> None:
    """Each vain renewal adds its path, and what has accepted a token stays known."""
    breaker = breaker_after(1, "/a").accepted("/good", "Bearer a")
    after = OriginBreaker.after(breaker, at(0), "/b", is_interactive=False)
    assert (2, {"/a", "/b"}, {("/good", "Bearer a")}) == (after.times, {*after.vain_paths}, {*after.accepting})


def test_what_accepted_an_older_token_is_forgotten() -> None:
    """A path that accepted another token than the last says nothing about this one."""
    breaker = breaker_after(3).accepted("/a", "Bearer 1").accepted("/b", "Bearer 1").accepted("/c", "Bearer 2")
    assert {("/c", "Bearer 2")} == breaker.accepting


def test_what_is_known_changes_nothing() -> None:
    """A path that has accepted this token before leaves the very same breaker."""
    breaker = breaker_after(3).accepted("/a", "Bearer 1")
    assert breaker.accepted("/a", "Bearer 1") is breaker


@pytest.mark.parametrize("past", [None, breaker_after(1), breaker_after(3).accepted("/a", "Bearer 1")])
def test_what_was_told_counts_for_nothing_and_ends_with_an_acceptance(past: OriginBreaker | None) -> None:
    """That an origin rejects new tokens is told until it accepts one; renewals are spaced as if nobody was told."""
    told = OriginBreaker.told(past, at(0), "/vain")
    assert told.is_told
    assert not told.accepted("/a", "Bearer 1").is_told
    (one, other) = (OriginBreaker.after(breaker, at(0), "/b", is_interactive=False) for breaker in (past, told))
    assert (one.times, one.cooldown) == (other.times, other.cooldown)
    assert {"/vain", "/b"} <= other.vain_paths


def test_paths_are_bounded() -> None:
    """A program that visits ever more paths remembers 1,000 of each kind."""
    breaker = breaker_after(3)
    for number in range(1100):
        breaker = OriginBreaker.after(breaker, at(0), f"/{number}", is_interactive=False)
        breaker = breaker.accepted(f"/good/{number}", "Bearer a")
    assert (1000, 1000) == (len(breaker.vain_paths), len(breaker.accepting))


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-1, True), (0, False), (10, False), (69.5, False), (70, True), (1e6, True)]
)
def test_a_breaker_is_over_some_time_after_its_pause(seconds: float, expected: bool) -> None:
    """A minute after the pause of the last vain renewal, it needn't be remembered any more."""
    assert expected is breaker_after(3).is_over(at(seconds))


@given(st.lists(st.integers(0, 60), max_size=8), st.booleans())
def test_an_origin_costs_a_handful_of_renewals_a_minute(gaps: list[int], is_interactive: bool) -> None:
    """However its rejections come, an origin that rejects everything gets few renewals in any minute."""
    breaker, renewals, seconds = None, [], 0.0
    for gap in [0] * 20 + gaps + [1] * 120:
        seconds += gap
        if breaker is None or not breaker.blocks(at(seconds), "/", "Bearer a"):
            breaker = OriginBreaker.after(breaker, at(seconds), "/", is_interactive=is_interactive)
            renewals.append(seconds)
    busiest = max(sum(start <= moment < start + 60 for moment in renewals) for start in renewals)
    assert busiest <= (3 if is_interactive else 5)
