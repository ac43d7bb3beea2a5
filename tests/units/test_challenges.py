"""What an answer's status and challenges say of the token that it was sent with."""

from __future__ import annotations

import pytest

from oauth_auth._wire.challenges import (
    Demand,
    Kind,
    demand_for,
    errors_for,
    is_rejection,
    is_scope_name,
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


# -- What an answer demands -----------------------------------------------------------------------------------------

PLACE = "https://api.example/.well-known/oauth-protected-resource"


@pytest.mark.parametrize(
    ("status", "header", "expected"),
    [
        # A status that rejects demands a token, with any challenge or none.
        (401, None, Demand(Kind.TOKEN)),
        (401, "", Demand(Kind.TOKEN)),
        (401, "Bearer", Demand(Kind.TOKEN)),
        (401, "bEARER", Demand(Kind.TOKEN)),
        (401, 'Basic realm="api"', Demand(Kind.TOKEN)),
        (401, 'Bearer error="invalid_token"', Demand(Kind.TOKEN, error="invalid_token")),
        (401, 'Bearer error="something_else"', Demand(Kind.TOKEN, error="something_else")),
        (401, 'Bearer scope="a b"', Demand(Kind.TOKEN, "a b")),
        (401, f'Bearer scope=a, RESOURCE_Metadata="{PLACE}"', Demand(Kind.TOKEN, "a", PLACE)),
        (401, f"Bearer resource_metadata={PLACE}", Demand(Kind.TOKEN)),
        # What is about the request demands nothing.
        (401, 'Bearer error="invalid_request", scope="a"', None),
        (401, 'DPoP error="use_dpop_nonce"', None),
        (401, 'DPoP error="invalid_dpop_proof"', None),
        (200, 'Bearer scope="a"', None),
        (403, 'Bearer scope="a"', None),
        (403, 'Bearer error="invalid_token"', None),
        (404, None, None),
        (500, 'Bearer error="insufficient_scope"', None),
        # More scope
        (401, 'Bearer error="insufficient_scope"', Demand(Kind.SCOPE, error="insufficient_scope")),
        (403, 'Bearer error=insufficient_scope, scope="a"', Demand(Kind.SCOPE, "a", error="insufficient_scope")),
        (
            403,
            f'Bearer resource_metadata="{PLACE}", error="insufficient_scope", scope="a b"',
            Demand(Kind.SCOPE, "a b", PLACE, error="insufficient_scope"),
        ),
        (400, 'Bearer error="insufficient_scope"', None),
        (403, 'Basic error="insufficient_scope"', None),
        # Another login: that of a challenge for more scope, or for a token, doesn't count.
        (
            401,
            f'Bearer {STEP_UP}, acr_values="gold", scope="a"',
            Demand(Kind.LOGIN, "a", None, (("acr_values", "gold"),), "insufficient_user_authentication"),
        ),
        (401, 'Bearer acr_values="gold", max_age=1', Demand(Kind.TOKEN)),
        (403, 'Bearer error="insufficient_scope", max_age=1', Demand(Kind.SCOPE, error="insufficient_scope")),
        (403, f"Bearer {STEP_UP}", None),
        # The first challenge that names an error counts, else the first; other schemes don't.
        (401, 'Bearer scope="a", Bearer scope="b"', Demand(Kind.TOKEN, "a")),
        (401, 'Bearer scope="a", Bearer scope="b", error=x', Demand(Kind.TOKEN, "b", error="x")),
        (401, 'Bearer error=x, scope="a", Bearer error=y, scope="b"', Demand(Kind.TOKEN, "a", error="x")),
        (
            401,
            'Bearer error="invalid_token", Bearer error="invalid_request"',
            Demand(Kind.TOKEN, error="invalid_token"),
        ),
        (401, 'Bearer error="invalid_request", Bearer error="invalid_token"', None),
        (401, 'Basic realm="x", scope="a", Bearer scope="b", Digest scope="c"', Demand(Kind.TOKEN, "b")),
        (401, 'Negotiate YWJj==, Bearer scope="b"', Demand(Kind.TOKEN, "b")),
        (401, 'Basic error="invalid_request", Bearer', Demand(Kind.TOKEN)),
        # Several fields, as libraries join them
        (401, 'Basic realm="x",Bearer scope="a",Bearer error=y', Demand(Kind.TOKEN, error="y")),
        (401, 'Bearer realm="a, Bearer scope=b", Bearer scope="c", error=y', Demand(Kind.TOKEN, "c", error="y")),
        # Broken: what was read up to there counts.
        (401, "= = =", Demand(Kind.TOKEN)),
        (401, 'Bearer scope="a', Demand(Kind.TOKEN)),
        (401, 'Bearer scope="a", = =, error=x', Demand(Kind.TOKEN, "a")),
        (401, f'Bearer scope="a", {"x" * 9000}', Demand(Kind.TOKEN)),
    ],
)
def test_what_an_answer_demands(status: int, header: str | None, expected: Demand | None) -> None:
    """The same for a request without a token and for one with a bearer token, as far as it's a bearer challenge."""
    assert expected == demand_for(status, header, (401,), "")
    if "DPoP" not in (header or ""):
        assert expected == demand_for(status, header, (401,))


@pytest.mark.parametrize(
    ("header", "bare", "bearer", "bound"),
    [
        ('DPoP scope="a"', "a", None, "a"),
        ('Bearer scope="a"', "a", "a", "a"),
        ('DPoP scope="a", Bearer scope="b"', "b", "b", "a"),
        ('DPoP scope="a", error=x, Bearer scope="b"', "a", "b", "a"),
        ('DPoP scope="a", Bearer scope="b", error=x', "b", "b", "b"),
        ('DPoP scope="a", error=x, Bearer scope="b", error=y', "b", "b", "a"),
    ],
)
def test_a_demand_belongs_to_its_scheme(header: str, bare: str | None, bearer: str | None, bound: str | None) -> None:
    """Without a token the challenges for either kind count; for a bound one, those for bearers where no other errs."""
    demands = [demand_for(401, header, (401,), scheme) for scheme in ("", "bearer", "dpop")]
    assert [bare, bearer, bound] == [None if demand is None else demand.scope for demand in demands]


@pytest.mark.parametrize(
    ("statuses", "header", "expected"),
    [
        ((401, 403), None, Kind.TOKEN),
        ((401, 403), 'Bearer error="insufficient_scope"', Kind.SCOPE),
        ((403,), 'Bearer error="invalid_token"', Kind.TOKEN),
        ((403,), 'Bearer error="invalid_request"', None),
        ((), 'Bearer error="insufficient_scope"', Kind.SCOPE),
        ((), 'Bearer error="invalid_token"', None),
    ],
)
def test_which_statuses_demand_a_token_is_the_users_to_say(
    statuses: tuple[int, ...], header: str | None, expected: Kind | None
) -> None:
    """A 403 with `insufficient_scope` demands more whatever they are."""
    demand = demand_for(403, header, statuses, "")
    assert expected == (None if demand is None else demand.kind)


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        ("a", True),
        ("a b", True),
        ("https://api.example/scope.read a:b", True),
        ("!#[]~", True),
        ("", False),
        (" a", False),
        ("a ", False),
        ("a  b", False),
        ("a\tb", False),
        ("a\\b", False),
        ('a"b', False),
        ("\xe4", False),
        ("a\x7f", False),
    ],
)
def test_the_syntax_of_a_scope(text: str, is_valid: bool) -> None:
    """RFC 6749 section 3.3; one that breaks it counts as absent."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    demand = demand_for(401, f'Bearer scope="{quoted}", error="x"', (401,), "")
    assert demand is not None
    assert ((text if is_valid else None), "x") == (demand.scope, demand.error)
    assert is_scope_name(text) is (is_valid and " " not in text)


@pytest.mark.parametrize("place", ["", "\xe4", "https://api.example/\x07"])
def test_a_place_that_breaks_its_syntax_counts_as_absent(place: str) -> None:
    """Whether it's believed is decided elsewhere."""
    demand = demand_for(401, f'Bearer resource_metadata="{place}"', (401,), "")
    assert Demand(Kind.TOKEN) == demand


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (Demand(Kind.SCOPE, "a b"), Demand(Kind.SCOPE, "b a"), True),
        (Demand(Kind.SCOPE, "a", PLACE, error="x"), Demand(Kind.SCOPE, "a"), True),
        (Demand(Kind.SCOPE), Demand(Kind.SCOPE, ""), True),
        (Demand(Kind.SCOPE, "a"), Demand(Kind.SCOPE, "a b"), False),
        (Demand(Kind.SCOPE, "a"), Demand(Kind.TOKEN, "a"), False),
        (Demand(Kind.LOGIN, login=(("max_age", "1"),)), Demand(Kind.LOGIN, login=(("max_age", "2"),)), False),
    ],
)
def test_which_demands_are_one(one: Demand, other: Demand, is_same: bool) -> None:
    """A login that didn't help isn't repeated for the same demand, in whatever order it names the scope."""
    assert is_same is (one.wanted == other.wanted)
    assert hash(one.wanted) is not None
