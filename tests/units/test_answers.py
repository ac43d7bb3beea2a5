"""What an answer says of its request's token: pure, so these are tables."""

from __future__ import annotations

import pytest

from oauth_auth._plugins.answers import NOTHING, Reading, Rules, error_said, read
from oauth_auth._record import replace
from oauth_auth._wire.challenges import Demand, Kind

BEARER, BOUND = "Bearer secret-token", "DPoP secret-token"
PLAIN = Rules()
USER = Rules(steps_up=frozenset({Kind.LOGIN, Kind.SCOPE}))
PROVING = Rules(has_proofs=True)
INVALID = 'Bearer error="invalid_token"'
SCOPE = 'Bearer error="insufficient_scope", scope="write"'
LOGIN = 'Bearer error="insufficient_user_authentication", acr_values="gold"'
NONCE = 'DPoP error="use_dpop_nonce"'
MORE = Demand(Kind.SCOPE, "write", error="insufficient_scope")
ANEW = Demand(Kind.LOGIN, login=(("acr_values", "gold"),), error="insufficient_user_authentication")


@pytest.mark.parametrize(
    ("status", "challenges", "header", "rules", "expected"),
    [
        (200, None, BEARER, PLAIN, Reading(accepts=True)),
        (404, None, BEARER, USER, Reading(accepts=True)),
        (302, None, BEARER, PLAIN, NOTHING),
        (503, None, BEARER, USER, NOTHING),
        (401, None, BEARER, PLAIN, Reading(rejects=True)),
        (401, INVALID, BEARER, PLAIN, Reading(rejects=True)),
        (401, INVALID, BEARER, replace(PLAIN, renews=False), NOTHING),
        (403, INVALID, BEARER, PLAIN, Reading(accepts=True)),
        (403, None, BEARER, Rules((401, 403)), Reading(rejects=True, accepts=True)),
        (403, SCOPE, BEARER, PLAIN, Reading(lacks_scope=True, wanted_scope="write", accepts=True)),
        (403, SCOPE, BEARER, USER, Reading(demand=MORE, lacks_scope=True, wanted_scope="write", accepts=True)),
        (401, SCOPE, BEARER, PLAIN, Reading(lacks_scope=True, wanted_scope="write")),
        (401, LOGIN, BEARER, USER, Reading(demand=ANEW)),
        (401, LOGIN, BEARER, PLAIN, NOTHING),
        (401, f"{LOGIN}, {INVALID}", BEARER, USER, Reading(demand=ANEW, rejects=True)),
        (401, NONCE, BOUND, PROVING, Reading(proof_error="use_dpop_nonce")),
        (401, NONCE, BEARER, PROVING, Reading(proof_error="use_dpop_nonce", rejects=True)),
        (401, NONCE, BOUND, PLAIN, NOTHING),
        (401, 'Bearer scope="read"', "", PLAIN, Reading(demand=Demand(Kind.TOKEN, "read"), rejects=True)),
        (200, None, "", PLAIN, Reading(accepts=True)),
    ],
)
def test_an_answer_is_read_once(
    status: int, challenges: str | None, header: str, rules: Rules, expected: Reading
) -> None:
    """All that it says of the token, several things at once where its challenges do."""
    assert expected == read(status, challenges, header, rules)


def test_demands_are_looked_for_where_they_can_be_met() -> None:
    """A request that won't be sent again needs none of them."""
    assert read(403, SCOPE, BEARER, USER, demands=False).demand is None


def test_what_an_answer_repeats_of_the_token_is_not_told() -> None:
    """Neither in what is wanted, nor in what is demanded, nor in the error."""
    challenges = 'Bearer error="insufficient_scope", scope="secret-token"'
    reading = read(403, challenges, BEARER, USER)
    assert "secret-token" not in repr(reading)
    assert reading.lacks_scope
    assert error_said('Bearer error="secret-token"', BEARER) == "[redacted]"


def test_the_error_that_is_told_is_of_the_tokens_scheme() -> None:
    """Of a Bearer challenge where no DPoP challenge names one."""
    both = 'DPoP error="a", Bearer error="b"'
    assert ["a", "b", None] == [error_said(both, BOUND), error_said(both, BEARER), error_said(None, BEARER)]
