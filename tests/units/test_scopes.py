"""Which scope is asked for: each sentence of the rule has a row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_auth._wire.challenges import Demand, Kind, is_within, scope_to_ask, united


def token(scope: str | None = None) -> Demand:
    return Demand(Kind.TOKEN, scope)


def more(scope: str | None = None) -> Demand:
    return Demand(Kind.SCOPE, scope)


@pytest.mark.parametrize(
    ("demand", "given", "supported", "asked", "granted", "expected"),
    [
        # First: the user's and the challenge's …
        (token("b"), "a", "x y", None, None, "a b"),
        (token(), "a", "x y", None, None, "a"),
        (token("b"), None, "x y", None, None, "b"),
        (None, "a", "x y", None, None, "a"),
        # … without both, what the resource lists …
        (token(), None, "x y", None, None, "x y"),
        (None, None, "x y", None, None, "x y"),
        # … without that, none.
        (token(), None, "", None, None, None),
        (None, None, "", None, None, None),
        # Each name once
        (token("a b"), "b a", "", None, None, "b a"),
        # More scope: all asked for or granted so far, and the challenge's …
        (more("c"), None, "x y", "a", "b", "a b c"),
        (more("c"), "g", "x y", "a", "b", "g a b c"),
        (more("c"), None, "x y", None, None, "c"),
        (more("a"), None, "x y", "a b", "a", "a b"),
        # … without one, what the resource lists.
        (more(), None, "x y", "a", "b", "a b x y"),
        (more(), "a", "", "a", None, "a"),
        (more(), None, "", None, None, None),
        # Later logins: all asked for so far; what was granted besides isn't asked for.
        (token("c"), None, "x y", "a b", "a", "a b c"),
        (token(), None, "x y", "a b", None, "a b"),
        (None, "g", "x y", "a b", None, "g a b"),
        (token(), None, "x y", None, "z", "x y"),
        (Demand(Kind.LOGIN, login=(("max_age", "0"),)), None, "x y", "a b", None, "a b"),
        (Demand(Kind.LOGIN, "c", login=(("max_age", "0"),)), None, "x y", "a b", None, "a b c"),
    ],
)
def test_which_scope_is_asked_for(
    demand: Demand | None, given: str | None, supported: str, asked: str | None, granted: str | None, expected: str
) -> None:
    """What the user gave, the API demands, the resource lists, and what came of it so far."""
    found = scope_to_ask(demand, given=given, supported=supported.split(), asked=asked, granted=granted)
    assert expected == found


names = st.lists(st.sampled_from("abcdef"), max_size=4).map(" ".join)


@given(kind=st.sampled_from([Kind.TOKEN, Kind.SCOPE, Kind.LOGIN]), scope=names, own=names, listed=names, asked=names)
def test_nothing_that_was_asked_for_is_left_out(kind: Kind, scope: str, own: str, listed: str, asked: str) -> None:
    """Whatever the demand: what the user gave, what was asked for before, and what's demanded is asked for."""
    found = scope_to_ask(Demand(kind, scope or None), given=own or None, supported=listed.split(), asked=asked or None)
    assert is_within(united(own, asked, scope), found)
    assert is_within(found, united(own, asked, scope, listed))
    assert len(set((found or "").split())) == len((found or "").split())


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [((), None), ((None, ""), None), (("b a", None, "a c"), "b a c"), (("a  a",), "a")],
)
def test_scopes_are_united(scopes: tuple[str | None, ...], expected: str | None) -> None:
    """In their order."""
    assert expected == united(*scopes)


@pytest.mark.parametrize(
    ("scope", "other", "expected"),
    [
        (None, None, True),
        (None, "a", True),
        ("", None, True),
        ("a", None, False),
        ("b a", "a b c", True),
        ("a d", "a b c", False),
        ("ab", "a b", False),
    ],
)
def test_a_scope_within_another(scope: str | None, other: str | None, expected: bool) -> None:
    """By whole names."""
    assert expected is is_within(scope, other)
