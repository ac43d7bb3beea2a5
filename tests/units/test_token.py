"""`OAuthToken`: what it is, how it's stored, when it expires."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest
from authlib.oauth2.rfc6749 import OAuth2Token
from freezegun import freeze_time

from oauth_auth import ConfigurationError, OAuthToken
from oauth_auth._wire.messages import read_token_response
from oauth_auth._wire.token_request import build_token_request
from tests.support.steps import TOKEN_URL, answer

NOW = 1_893_456_000.0
"""2030-01-01T00:00:00Z."""

ALL_FIELDS: dict[str, Any] = {
    "access_token": "access",
    "token_type": "bearer",
    "expires_in": 3600,
    "scope": "read write",
    "expiry": 2_000_000_000.5,
    "refresh_token": "refresh",
    "extra": {"id_token": "x.y.z", "user": {"roles": ["a", "b"]}},
}


def test_only_the_access_token_is_required() -> None:
    """All fields but the access token have a default."""
    token = OAuthToken(access_token="access")
    assert {
        "access_token": "access",
        "token_type": "Bearer",
        "expires_in": None,
        "scope": None,
        "expiry": None,
        "refresh_token": None,
        "extra": {},
    } == token.to_dict()


def test_the_fields_are_in_the_contracts_order() -> None:
    """The fields have the names of the contract, in its order."""
    assert [*ALL_FIELDS] == [field.name for field in dataclasses.fields(OAuthToken)]


def test_it_is_keyword_only() -> None:
    """A token can't be made from positional arguments, which would get mixed up."""
    with pytest.raises(TypeError):
        OAuthToken("access")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        OAuthToken()  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ALL_FIELDS)
def test_it_is_frozen(name: str) -> None:
    """No field can be set or deleted."""
    token = OAuthToken(**ALL_FIELDS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(token, name, "another")
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(token, name)


def test_it_is_a_dataclass() -> None:
    """What `dataclasses` does with one works, though its methods are written out; a subclass can be one, too."""
    token = OAuthToken(**ALL_FIELDS)
    assert dataclasses.is_dataclass(OAuthToken)
    assert ALL_FIELDS == dataclasses.asdict(token)
    assert () == OAuthToken.__match_args__
    assert "new" == dataclasses.replace(token, access_token="new").access_token
    assert "OAuthToken(token_type='bearer', expires_in=3600, scope='read write', expiry=2000000000.5)" == repr(token)

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Ours(OAuthToken):
        tenant: str

    ours = Ours(**ALL_FIELDS, tenant="t")
    assert (ours, {**ALL_FIELDS, "tenant": "t"}) == (dataclasses.replace(ours), dataclasses.asdict(ours))
    assert ours != token
    assert token != ours
    assert ours != dataclasses.replace(ours, tenant="u")
    with pytest.raises(dataclasses.FrozenInstanceError):
        ours.scope = "another"  # type: ignore[misc]
    with pytest.raises(ConfigurationError):
        Ours(access_token="", tenant="t")


def test_it_is_equal_to_its_like() -> None:
    """Tokens with the same fields are equal, and equal as keys; others are not."""
    assert OAuthToken(**ALL_FIELDS) == OAuthToken(**ALL_FIELDS)
    assert 1 == len({OAuthToken(**ALL_FIELDS), OAuthToken(**ALL_FIELDS)})
    for name in ("access_token", "refresh_token", "scope"):
        assert OAuthToken(**ALL_FIELDS) != OAuthToken(**{**ALL_FIELDS, name: "another"})


def test_it_does_not_share_the_callers_dictionary() -> None:
    """Changing the dictionary that `extra` was given as, or one that `to_dict` returned, changes no token."""
    extra = {"a": 1}
    token = OAuthToken(access_token="access", extra=extra)
    extra["a"] = 2
    token.to_dict()["extra"]["a"] = 3
    assert {"a": 1} == token.extra


@pytest.mark.parametrize(
    "again",
    [
        lambda token: OAuthToken.from_dict(token.to_dict()),
        lambda token: OAuthToken.from_dict(json.loads(json.dumps(token.to_dict()))),
        lambda token: pickle.loads(pickle.dumps(token)),
        copy.copy,
        copy.deepcopy,
        dataclasses.replace,
    ],
    ids=["dict", "JSON", "pickle", "copy", "deepcopy", "replace"],
)
@pytest.mark.parametrize(
    "fields",
    [
        ALL_FIELDS,
        {"access_token": "access"},
        {"access_token": "access", "expires_in": 0},
        {"access_token": "access", "expiry": 0.0},
        {"access_token": "access", "scope": "", "token_type": ""},
        {"access_token": "access", "extra": {"extra": {"extra": 1}, "expiry": "soon", "access_token": "other"}},
    ],
)
def test_it_survives_being_stored(again: Callable[[OAuthToken], OAuthToken], fields: dict[str, Any]) -> None:
    """A token comes back from a dictionary, from JSON, from a pickle as it was, its expiry included."""
    token = OAuthToken(**fields)
    assert token.to_dict() == again(token).to_dict()
    assert token == again(token)


def test_unknown_fields_go_to_extra() -> None:
    """`from_dict` reads a token answer, too: what it doesn't know is kept."""
    token = OAuthToken.from_dict({"access_token": "access", "expires_in": 60, "id_token": "x", "extra": {"y": 1}})
    assert {"id_token": "x", "y": 1} == token.extra


ANSWERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "lifetime as text": ({"expires_in": "3600"}, {"expires_in": 3600, "expiry": NOW + 3600}),
    "lifetime as text with a fraction": ({"expires_in": "1800.5"}, {"expires_in": 1800.5, "expiry": NOW + 1800.5}),
    "lifetime as float": ({"expires_in": 3600.0}, {"expires_in": 3600, "expiry": NOW + 3600}),
    "lifetime below zero": ({"expires_in": -5}, {"expires_in": 0, "expiry": NOW}),
    "no lifetime": ({"expires_in": None}, {}),
    "lifetime as empty text": ({"expires_in": ""}, {}),
    "lifetime that is no number": ({"expires_in": "soon"}, {}),
    "lifetime beyond floats": ({"expires_in": 10**400}, {}),
    "scope as list": ({"scope": ["read", "write"]}, {"scope": "read write"}),
    "scope as empty text": ({"scope": ""}, {}),
    "no token type": ({"token_type": None}, {}),
    "token type as empty text": ({"token_type": ""}, {}),
    "token type in small letters": ({"token_type": " bearer"}, {"token_type": "bearer"}),
    "refresh token as empty text": ({"refresh_token": ""}, {}),
    "other fields": ({"id_token": "x", "extra": 1}, {"extra": {"id_token": "x", "extra": 1}}),
    "an expiry that is no time": ({"expiry": "soon"}, {"extra": {"expiry": "soon"}}),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_token_answer_is_read_as_it_is_off_the_wire(name: str) -> None:
    """`from_dict` reads what `read_token_response` reads, and means the same by it."""
    fields, expected = ANSWERS[name]
    fields = {"access_token": "access", **fields}
    with freeze_time("2030-01-01T00:00:00Z"):
        read = read_token_response(build_token_request(TOKEN_URL, None, {}), answer(200, fields))
        assert OAuthToken(access_token="access", **expected) == OAuthToken.from_dict(fields) == read


@pytest.mark.parametrize(
    ("fields", "expiry", "extra"),
    [
        ({"expires_at": NOW + 5}, NOW + 5, {}),
        ({"expires_at": int(NOW) + 5, "expires_in": 3600}, NOW + 5, {}),
        ({"expires_at": f"{NOW + 5.5}"}, NOW + 5.5, {}),
        ({"expires_at": 0}, 0.0, {}),
        ({"expires_at": None, "expires_in": 60}, NOW + 60, {}),
        ({"expires_at": "2030-01-01T00:00:05Z", "expires_in": 60}, NOW + 60, {"expires_at": "2030-01-01T00:00:05Z"}),
        ({"expires_at": True}, None, {"expires_at": True}),
        ({"expires_at": float("inf")}, None, {"expires_at": float("inf")}),
        ({"expires_at": 5, "expiry": NOW + 5}, NOW + 5, {}),
        ({"expiry": NOW + 5, "expires_in": 3600}, NOW + 5, {}),
        ({"expiry": None, "extra": None}, None, {}),
    ],
    ids=str,
)
def test_a_token_that_was_kept_says_when_it_expires(
    fields: dict[str, Any], expiry: float | None, extra: dict[str, Any]
) -> None:
    """`expires_at` is Unix time, as Authlib and requests-oauthlib keep it: it counts, not when the token is read."""
    with freeze_time("2030-01-01T00:00:00Z"):
        token = OAuthToken.from_dict({"access_token": "access", **fields})
    assert (expiry, extra) == (token.expiry, token.extra)


KEPT: dict[str, Any] = {
    "Authlib": OAuth2Token.from_dict(
        {"access_token": "a", "expires_in": 60, "scope": "x y", "expires_at": 1_700_000_060}
    ),
    # As oauthlib 3.3.1 parses an answer for it.
    "requests-oauthlib": {"access_token": "a", "expires_in": 60, "scope": ["x", "y"], "expires_at": 1_700_000_060},
}


@pytest.mark.parametrize("library", KEPT)
def test_a_token_that_another_library_kept_is_read(library: str) -> None:
    """What another library kept, as JSON and years ago, is what it was, and it has expired."""
    token = OAuthToken.from_dict(json.loads(json.dumps(KEPT[library])))
    assert OAuthToken(access_token="a", expires_in=60, scope="x y", expiry=1_700_000_060) == token
    assert token.is_expired()


def test_nulls_count_as_absent() -> None:
    """`from_dict` takes None for a field that isn't there."""
    token = OAuthToken.from_dict({**dict.fromkeys(ALL_FIELDS), "access_token": "access"})
    assert OAuthToken(access_token="access") == token


def test_from_dict_leaves_its_argument_alone() -> None:
    """The dictionary that a token is made from isn't changed."""
    fields = {**ALL_FIELDS, "more": 1}
    before = copy.deepcopy(fields)
    OAuthToken.from_dict(fields)
    assert before == fields


def test_a_subclass_makes_its_own() -> None:
    """`from_dict` of a subclass returns one of that class."""

    class Mine(OAuthToken):
        pass

    assert isinstance(Mine.from_dict({"access_token": "access"}), Mine)


WRONG: dict[str, dict[str, Any]] = {
    "access token as bytes": {"access_token": b"access"},
    "access token missing": {"access_token": None},
    "access token empty": {"access_token": ""},
    "access token of spaces": {"access_token": "  "},
    "access token with a line end": {"access_token": "access\n"},
    "access token with a scheme": {"access_token": "Bearer access"},
    "access token beyond ASCII": {"access_token": "äccess"},
    "token type as number": {"token_type": 5},
    "expires_in as text": {"expires_in": "3600"},
    "expires_in as truth value": {"expires_in": True},
    "expires_in not a number": {"expires_in": float("nan")},
    "expires_in beyond floats": {"expires_in": 10**400},
    "expiry as text": {"expiry": "2030-01-01"},
    "expiry for ever": {"expiry": float("inf")},
    "scope as list": {"scope": ["read"]},
    "refresh token as number": {"refresh_token": 5},
    "extra as text": {"extra": "extra"},
    "extra as number": {"extra": 7},
    "extra as list": {"extra": ["a"]},
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("make", [lambda fields: OAuthToken(**fields), OAuthToken.from_dict], ids=["()", "from_dict"])
def test_fields_of_the_wrong_type_are_refused(make: Callable[[dict[str, Any]], OAuthToken], name: str) -> None:
    """A field that can't be is a `ConfigurationError` that names it, not trouble at some later request."""
    [field] = WRONG[name]
    with pytest.raises(ConfigurationError, match=field):
        make({**ALL_FIELDS, **WRONG[name]})


@pytest.mark.parametrize("junk", [None, 5, "text", b"bytes", [], [("access_token", "x")], object()])
def test_from_dict_takes_mappings_alone(junk: Any) -> None:
    """What a broken store might hand over in place of a dictionary is a `ConfigurationError`."""
    with pytest.raises(ConfigurationError):
        OAuthToken.from_dict(junk)


def test_expiry_counts_from_construction() -> None:
    """Given only `expires_in`, `expiry` is that many seconds after now."""
    with freeze_time("2030-01-01T00:00:00Z"):
        token = OAuthToken(access_token="access", expires_in=3600)
    assert 1_893_456_000 + 3600 == token.expiry


def test_an_expiry_given_is_kept() -> None:
    """`expiry` wins over what `expires_in` would make of it."""
    assert 5.0 == OAuthToken(access_token="access", expires_in=3600, expiry=5.0).expiry


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"])
def test_expiry_is_in_utc_everywhere(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """`expiry` is Unix time: the same wherever the program runs, in summer and winter."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for now in ("2030-01-01T00:00:00Z", "2030-07-01T00:00:00Z"):
            with freeze_time(now):
                expiry = OAuthToken(access_token="access", expires_in=0).expiry
            assert {"2030-01-01T00:00:00Z": 1_893_456_000, "2030-07-01T00:00:00Z": 1_909_094_400}[now] == expiry
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("seconds_left", "leeway", "expired"),
    [
        (10.0, 0.0, False),
        (10.0, 9.0, False),
        (10.0, 10.0, True),
        (10.0, 11.0, True),
        (0.0, 0.0, True),
        (-1.0, 0.0, True),
        (-1.0, -2.0, False),
    ],
)
def test_it_knows_when_it_expires(seconds_left: float, leeway: float, expired: bool) -> None:
    """A token has expired at its expiry, or `leeway` seconds before."""
    with freeze_time("2030-01-01T00:00:00Z"):
        token = OAuthToken(access_token="access", expiry=1_893_456_000 + seconds_left)
        assert expired is token.is_expired(leeway)
        assert expired is token.is_expired(leeway=leeway)


def test_without_expiry_it_never_expires() -> None:
    """A token whose lifetime nobody told never counts as expired."""
    assert not OAuthToken(access_token="access").is_expired()
    assert not OAuthToken(access_token="access").is_expired(10**9)


def test_zero_seconds_is_no_lifetime_not_an_endless_one() -> None:
    """`expires_in: 0` has expired at once."""
    assert OAuthToken(access_token="access", expires_in=0).is_expired()


def test_its_repr_shows_all_that_is_no_secret() -> None:
    """The repr has type, lifetime, scope and expiry, and nothing else."""
    assert (
        "OAuthToken(token_type='bearer', expires_in=3600, scope='read write', expiry=2000000000.5)"
        == repr(OAuthToken(**ALL_FIELDS))
        == str(OAuthToken(**ALL_FIELDS))
    )
