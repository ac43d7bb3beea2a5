"""Where tokens are from: what's remembered of each, stored, and taken in again, damaged or not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oauth_auth import OAuthToken
from oauth_auth._record import asdict, replace
from oauth_auth._server.bonds import Bond, Bonds
from oauth_auth._wire.token import digest

AUTH, API = "https://auth.example", "https://api.example"
BOND = Bond(AUTH, "client", API)
WHOLE = Bond(AUTH, "client", API, "a b", "http://127.0.0.1/", True, True, {"basic_encode": False})


def token(number: int) -> OAuthToken:
    return OAuthToken(access_token=f"access-{number}", refresh_token=f"refresh-{number}")


@pytest.mark.parametrize("bond", [BOND, WHOLE])
def test_a_bond_is_stored_as_json(bond: Bond) -> None:
    """And what comes back is the same."""
    assert bond == Bond.read(json.loads(json.dumps(asdict(bond))))


def test_what_a_later_version_adds_is_left_out() -> None:
    """And what an earlier one didn't have is as if nothing was known."""
    fields = {"issuer": AUTH, "client_id": "client", "resource": API}
    assert BOND == Bond.read(fields) == Bond.read({**fields, "more": 1})


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        [],
        "bond",
        {},
        {**asdict(BOND), "issuer": ""},
        {**asdict(BOND), "issuer": None},
        {**asdict(BOND), "client_id": 5},
        {**asdict(BOND), "resource": ["x"]},
        {**asdict(BOND), "scope": 5},
        {**asdict(BOND), "redirect_uri": []},
        {**asdict(BOND), "is_registered": "yes"},
        {**asdict(BOND), "is_bound": 1},
        {**asdict(BOND), "learned": []},
        {**asdict(BOND), "learned": None},
    ],
)
def test_what_is_damaged_is_no_bond(value: Any) -> None:
    """A token without one isn't renewed, rather than sent to the wrong server; others aren't affected."""
    assert None is Bond.read(value)
    bonds = Bonds()
    bonds.load({"bonds": {"damaged": value, digest("refresh-1"): asdict(BOND)}})
    assert BOND == bonds.of_refresh_token("refresh-1")
    assert 1 == len(bonds.dump()["bonds"])


@pytest.mark.parametrize("state", [{}, {"bonds": None}, {"bonds": []}, {"bonds": "x"}, {"bonds": {}}])
def test_a_state_without_bonds_changes_nothing(state: dict[str, Any]) -> None:
    """What a grant of another kind has stored is nothing to this one."""
    bonds = Bonds()
    bonds.note(token(1), BOND)
    bonds.load(state)
    assert (BOND, BOND) == (bonds.of(token(1)), bonds.latest)


def test_a_token_is_recognized_by_what_renews_it() -> None:
    """A refresh that keeps the refresh token keeps the bond; a token without one is known by itself."""
    bonds, bare = Bonds(), OAuthToken(access_token="access-1")
    bonds.note(token(1), BOND)
    assert BOND == bonds.of(OAuthToken(access_token="other", refresh_token="refresh-1"))
    assert BOND == bonds.of_refresh_token("refresh-1")
    assert (None, None, None) == (bonds.of(bare), bonds.of(None), bonds.of(token(2)))
    bonds.note(bare, WHOLE)
    assert WHOLE == bonds.of(bare)


def test_nothing_of_a_token_is_stored() -> None:
    """Digests are."""
    bonds = Bonds()
    bonds.note(token(1), BOND)
    assert {digest("refresh-1"): asdict(BOND)} == bonds.dump()["bonds"]
    assert "refresh-1" not in json.dumps(bonds.dump())
    assert {} == Bonds().dump()


def test_the_last_eight_are_remembered() -> None:
    """The latest is the last that was noted, also if it was known before."""
    bonds = Bonds()
    assert None is bonds.latest
    for number in range(12):
        bonds.note(token(number), replace(BOND, client_id=f"client-{number}"))
    assert [*[False] * 4, *[True] * 8] == [bonds.of(token(number)) is not None for number in range(12)]
    bonds.note(token(5), WHOLE)
    assert WHOLE == bonds.latest
    assert 8 == len(bonds.dump()["bonds"])


def test_what_another_program_has_stored_comes_after_what_was_known() -> None:
    """So that the newest is the latest here, too; and what only this program knows stays."""
    ours, theirs = Bonds(), Bonds()
    ours.note(token(1), BOND)
    theirs.load(ours.dump())
    theirs.note(token(2), WHOLE)
    ours.note(token(3), replace(BOND, scope="mine"))
    ours.load(json.loads(json.dumps(theirs.dump())))
    assert WHOLE == ours.latest
    assert [BOND, WHOLE, replace(BOND, scope="mine")] == [ours.of(token(number)) for number in (1, 2, 3)]
    many = {"bonds": {f"key-{number}": asdict(BOND) for number in range(100)}}
    ours.load(many)
    assert 8 == len(ours.dump()["bonds"])


def test_a_server_that_may_not_be_called_is_left_out() -> None:
    """What a store holds is believed no more than what a resource says."""
    ours, theirs = Bonds(), Bonds()
    theirs.note(token(1), BOND)
    theirs.note(token(2), replace(BOND, issuer="https://10.0.0.1"))
    ours.load(theirs.dump(), lambda issuer: issuer == AUTH)
    assert [BOND, None] == [ours.of(token(number)) for number in (1, 2)]
