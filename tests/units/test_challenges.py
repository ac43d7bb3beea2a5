"""What an answer's status and challenges say of the token that it was sent with."""

from __future__ import annotations

import pytest

from oauth_auth._wire.challenges import (
    Kind,
    demand_for,
    errors_for,
    is_rejection,
    proof_error,
    tells_acceptance,
    wanted_scope,
)


@pytest.mark.parametrize("status", [200, 201, 204, 206, 304, 400, 403, 404, 405, 409, 410, 415, 422, 451])
def test_answers_that_show_acceptance(status: int) -> None:
    """An answer that only comes after a token was looked at shows that it was found good."""
    assert tells_acceptance(status)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 401, 407, 408, 429, 500, 502, 503, 504, 599])
def test_answers_that_show_nothing(status: int) -> None:
    """What proxies and rate limiters answer, before anybody has looked at the token, shows nothing."""
    assert not tells_acceptance(status)


@pytest.mark.parametrize(
    ("header", "is_rejected"),
    [
        (None, True),
        ("", True),
        ("Bearer", True),
        ('Bearer realm="api"', True),
        ('Bearer error="invalid_token"', True),
        ('Bearer error="insufficient_scope"', False),
        ("Bearer error=insufficient_scope", False),
        ('bearer ERROR="insufficient_scope", scope="a b"', False),
        ('Bearer error="invalid_request"', False),
        ('Bearer error="insufficient_user_authentication", acr_values="myACR"', False),
        ('Bearer error="something_else"', True),
        ('Basic realm="api", Bearer error="insufficient_scope"', False),
        ('Bearer error="insufficient_scope", Basic realm="api"', False),
        ('Bearer error="insufficient_scope", Bearer error="invalid_token"', True),
        ('Basic realm="api", Digest nonce="1"', True),
        ('Basic error="insufficient_scope"', True),
        ('Bearer error="insufficient_scope', True),
        ("Bearer " + "x" * 9000 + ' error="insufficient_scope"', True),
    ],
)
def test_a_challenge_may_say_that_the_token_is_good(header: str | None, is_rejected: bool) -> None:
    """A 401 rejects the token, unless all Bearer challenges that name an error are about the request."""
    assert is_rejected is is_rejection(401, header, (401,))


@pytest.mark.parametrize(
    ("header", "is_rejected"),
    [
        (None, True),
        ("DPoP", True),
        ('DPoP error="invalid_token"', True),
        ('DPoP error="use_dpop_nonce", error_description="x"', False),
        ('DPoP error="invalid_dpop_proof", algs="ES256"', False),
        ('DPoP error="insufficient_scope"', False),
        ('Bearer, DPoP error="use_dpop_nonce"', False),
        ('DPoP error="invalid_token", Bearer error="insufficient_scope"', True),
        ('Bearer error="invalid_token", DPoP error="insufficient_scope"', False),
        ('Bearer error="insufficient_scope", DPoP algs="ES256"', False),
        ('Bearer error="invalid_token", DPoP algs="ES256"', True),
        ('Basic error="use_dpop_nonce"', True),
    ],
)
def test_a_challenge_belongs_to_its_scheme(header: str | None, is_rejected: bool) -> None:
    """What is said of a bound token counts; where nothing is, what's said of bearer tokens does."""
    assert is_rejected is is_rejection(401, header, (401,), "dpop")


@pytest.mark.parametrize(
    ("status", "header", "error"),
    [
        (401, 'DPoP error="use_dpop_nonce"', "use_dpop_nonce"),
        (400, 'DPoP error="use_dpop_nonce"', "use_dpop_nonce"),
        (401, 'Bearer, DPoP algs="ES256", error=invalid_dpop_proof', "invalid_dpop_proof"),
        (401, 'Bearer error="use_dpop_nonce"', "use_dpop_nonce"),
        (403, 'DPoP error="use_dpop_nonce"', None),
        (200, 'DPoP error="use_dpop_nonce"', None),
        (401, 'DPoP error="invalid_token"', None),
        (401, 'DPoP error="use_dpop_nonce", DPoP error="invalid_token"', None),
        (401, None, None),
    ],
)
def test_which_answers_are_about_the_proof(status: int, header: str | None, error: str | None) -> None:
    """Those that say so, and have nothing against the token."""
    assert error == proof_error(status, header)


STEP_UP = 'error="insufficient_user_authentication"'


@pytest.mark.parametrize(
    ("status", "header", "scheme", "demands"),
    [
        (401, f'Bearer {STEP_UP}, acr_values="a b", max_age="5"', "bearer", (("acr_values", "a b"), ("max_age", "5"))),
        (401, f"Bearer max_age=5, {STEP_UP}", "bearer", (("max_age", "5"),)),
        (401, f'Bearer realm="x", {STEP_UP}, acr_values=gold', "bearer", (("acr_values", "gold"),)),
        (401, f"Bearer {STEP_UP}", "bearer", ()),
        (401, f'bearer {STEP_UP.replace("error", "ERROR")}, Acr_Values="a"', "bearer", (("acr_values", "a"),)),
        (401, f'DPoP algs="ES256", {STEP_UP}, max_age=0', "dpop", (("max_age", "0"),)),
        (401, f"Bearer {STEP_UP}, max_age=0", "dpop", (("max_age", "0"),)),
        (401, f"Basic, Negotiate abc==, Bearer {STEP_UP}, max_age=1", "bearer", (("max_age", "1"),)),
        (401, f'Bearer scope="a", Bearer {STEP_UP}, max_age=1', "bearer", (("max_age", "1"),)),
        # What can't be sent on is left out.
        (401, f'Bearer {STEP_UP}, max_age="soon", acr_values=""', "bearer", ()),
        (401, f'Bearer {STEP_UP}, max_age="-1"', "bearer", ()),
        (401, f'Bearer {STEP_UP}, max_age="\u0663"', "bearer", ()),
        (401, f'Bearer {STEP_UP}, acr_values="a\tb"', "bearer", ()),
        (401, f'Bearer {STEP_UP}, acr_values="\xe9"', "bearer", ()),
        # No such demand.
        (401, f"DPoP {STEP_UP}, max_age=1", "bearer", None),
        (401, f"Basic {STEP_UP}", "bearer", None),
        (403, f"Bearer {STEP_UP}, max_age=1", "bearer", None),
        (200, f"Bearer {STEP_UP}, max_age=1", "bearer", None),
        (401, 'Bearer error="invalid_token", max_age=1', "bearer", None),
        (401, 'Bearer error_description="insufficient_user_authentication"', "bearer", None),
        (401, 'Bearer realm="x, error=insufficient_user_authentication"', "bearer", None),
        (401, "Bearer", "bearer", None),
        (401, "", "bearer", None),
        (401, None, "bearer", None),
        (401, f"Bearer {'x' * 9000}, {STEP_UP}", "bearer", None),
    ],
)
def test_what_is_demanded_of_a_login(
    status: int, header: str | None, scheme: str, demands: tuple[tuple[str, str], ...] | None
) -> None:
    """A 401 whose challenge for tokens says so, with what it names (RFC 9470 section 3)."""
    demand = demand_for(status, header, (401,), scheme)
    assert demands == (demand.login if demand is not None and demand.kind is Kind.LOGIN else None)
    if demands is not None and status == 401:
        assert not is_rejection(401, header, (401,), scheme)


@pytest.mark.parametrize(
    ("status", "statuses", "is_rejected"),
    [(401, (401,), True), (403, (401,), False), (403, (401, 403), True), (401, (), False), (200, (401,), False)],
)
def test_statuses_are_the_users_to_choose(status: int, statuses: tuple[int, ...], is_rejected: bool) -> None:
    """Only the statuses that mean a rejection do."""
    assert is_rejected is is_rejection(status, None, statuses)


@pytest.mark.parametrize(
    ("header", "errors"),
    [
        ('Bearer error="a"', ["a"]),
        (r'Bearer error="a\"b"', ['a"b']),
        ('Bearer realm="x, error=y", error="z"', ["z"]),
        ("Negotiate abc==, Bearer error=a", ["a"]),
        ('Bearer error = "a" , error="b"', ["a", "b"]),
        ("Bearer error=", []),
        ("= = =", []),
    ],
)
def test_errors_are_found(header: str, errors: list[str]) -> None:
    """The errors of all Bearer challenges are found among parameters and other schemes."""
    assert errors == errors_for("bearer", header)


@pytest.mark.parametrize(
    ("status", "header", "scope"),
    [
        (403, 'Bearer error="insufficient_scope", scope="a b"', "a b"),
        (401, 'Bearer scope=a, error="insufficient_scope"', "a"),
        (403, 'Bearer error="insufficient_scope"', ""),
        (403, 'Bearer scope="no", Bearer error="insufficient_scope", scope="a"', "a"),
        (403, 'Bearer error="invalid_token", scope="a"', None),
        (403, 'Basic error="insufficient_scope", scope="a"', None),
        (404, 'Bearer error="insufficient_scope", scope="a"', None),
        (403, "", None),
        (403, None, None),
        (403, "Bearer " + "x" * 9000 + ' error="insufficient_scope"', None),
    ],
)
def test_a_scope_that_is_wanted(status: int, header: str | None, scope: str | None) -> None:
    """The scope is that of the challenge that says it's lacking, and is read from no other."""
    assert scope == wanted_scope(status, header)
