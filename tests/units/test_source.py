"""Requests whose API may want no token: what's sent, what's asked, and what a flight that brings nothing means."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthToken, ReauthorizationRequired
from oauth_auth._flight import run
from oauth_auth._renewal.decisions import RenewalSettings
from oauth_auth._renewal.effects import carry_out_renewal
from oauth_auth._renewal.source import TokenSource
from oauth_auth._renewal.store_entry import StoreEntry
from oauth_auth._wire.challenges import Demand, Kind
from tests.support.on_demand import Asked
from tests.support.steps import HandClock, Highest, at

TOKEN = OAuthToken(access_token="new", expires_in=3600, expiry=at(3600).wall)
EXPIRED = OAuthToken(access_token="old", expires_in=3600, expiry=at(-1).wall)
WANTED = Demand(Kind.TOKEN, "read")


class Nothing:
    """A step that is nothing to wait for."""

    def wait(self) -> None: ...

    async def wait_async(self) -> None: ...


class LateFlight:
    """A flight that does its work when it's first waited for, or when it's told to."""

    is_reentrant = is_retrying = False

    def __init__(self, source: Late, procedure: Any) -> None:
        self._source, self._procedure = source, procedure
        self.is_under_way = True
        self.outcome: Any = None

    def start(self, *, in_background: bool = False) -> None: ...

    def wait(self, timeout: float | None = None) -> Any:
        if self.is_under_way:
            self.outcome = carry_out_renewal(self._procedure, self._source.entry, self._source.clock)
            self.is_under_way = False
        return self.outcome

    async def wait_async(self, timeout: float | None = None) -> Any:
        raise AssertionError


class Late:
    """A token source whose flights are `LateFlight`s, in the order in which they began."""

    def __init__(self, grant: Asked, *, token: OAuthToken | None = None, shared: bool = False) -> None:
        self.clock, self.flights = HandClock(), list[LateFlight]()
        self.entry = StoreEntry(MemoryTokenStore() if shared else None, "key", clock=self.clock)
        self.source = TokenSource(
            grant,
            RenewalSettings(10.0, 300.0, 10.0, None),
            token=token,
            entry=self.entry,
            clock=self.clock,
            chance=Highest(),
            begin=self._begin,
        )

    def _begin(self, procedure: Any) -> LateFlight:
        self.flights.append(LateFlight(self, procedure))
        return self.flights[-1]

    def offer(self, *, asks: bool = False) -> str | None:
        """Return the access token that a request is sent with, None for none."""
        credential = run(self.source.offer(asks=asks))
        return None if credential is None else credential.token.access_token

    def meet(self, demand: Demand = WANTED) -> str:
        return run(self.source.meet(demand, "", Nothing())).credential.token.access_token


def test_an_open_api_costs_nothing() -> None:
    """No token, no store: no flight is begun for any number of requests."""
    grant = Asked()
    late = Late(grant)
    assert [None] * 100 == [late.offer() for _ in range(100)]
    assert ([], []) == (late.flights, grant.calls)


def test_with_a_store_there_is_one_look_for_each_pause() -> None:
    """The first request waits for a look; then one is made in the background, once a second."""
    grant = Asked()
    late = Late(grant, shared=True)
    assert [None] * 100 == [late.offer() for _ in range(100)]
    assert 1 == len(late.flights)
    late.clock.advance(1.0)
    assert [None] * 100 == [late.offer() for _ in range(100)]
    assert (2, True) == (len(late.flights), late.flights[1].is_under_way)
    assert [] == grant.calls


def test_a_demand_brings_one_login_for_all() -> None:
    """It goes into the flight; the next request has the token at once."""
    grant = Asked(TOKEN)
    late = Late(grant)
    assert ["new", "new", "new"] == [late.meet(), late.meet(), str(late.offer())]
    assert [("prepare", WANTED), "log in", "request"] == grant.calls
    assert 1 == len(late.flights)


def test_a_login_that_failed_is_not_repeated_for_the_next_request() -> None:
    """Which gets the same error, with its own answer's text; requests that nobody demands a token for go on."""
    grant = Asked(ReauthorizationRequired("the window was closed"), TOKEN)
    late = Late(grant)
    for about in (" (one)", " (two)"):
        with pytest.raises(ReauthorizationRequired, match=f"closed{about}".replace("(", "\\(").replace(")", "\\)")):
            run(late.source.meet(WANTED, about, Nothing()))
    assert None is late.offer()
    assert 1 == grant.calls.count("log in")


@pytest.mark.parametrize("token", [None, EXPIRED])
@pytest.mark.parametrize("shared", [False, True])
def test_what_cannot_be_sent_again_has_the_resource_asked(token: OAuthToken | None, shared: bool) -> None:
    """If there's no token that could be sent, none that has expired either: it would be in vain without one."""
    grant = Asked(TOKEN)
    grant.demand = WANTED
    late = Late(grant, token=token, shared=shared)
    assert "new" == late.offer(asks=True)
    assert ["ask", ("prepare", WANTED), "log in", "request"] == [call for call in grant.calls if call != "moved?"]


def test_what_cannot_be_sent_again_goes_bare_where_nothing_is_demanded() -> None:
    """One question for each such request: an API that wants a token for some requests may say so for the next."""
    grant = Asked()
    late = Late(grant)
    assert [None, None] == [late.offer(asks=True), late.offer(asks=True)]
    assert ["ask", "ask"] == grant.calls


def test_a_look_of_another_request_is_no_answer_to_what_cannot_be_sent_again() -> None:
    """It waits for the flight under way; if that brings no token, the resource is asked all the same."""
    grant = Asked(TOKEN)
    grant.demand = WANTED
    late = Late(grant, shared=True)
    first = late.source.offer()
    landing: Any = next(first)  # a look into the store has begun
    assert "new" == late.offer(asks=True)
    assert [False, False] == [flight.is_under_way for flight in late.flights]
    with pytest.raises(StopIteration) as ended:
        first.send(landing.wait())
    assert None is ended.value.value  # that request goes without


def test_an_expired_token_that_cannot_be_renewed_is_as_none() -> None:
    """The request goes without one, and nobody is asked to log in."""
    grant = Asked()
    late = Late(grant, token=EXPIRED)
    assert [None, None] == [late.offer(), late.offer()]
    assert "log in" not in grant.calls
    assert 1 == len(late.flights)
