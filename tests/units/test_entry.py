"""What a store keeps under a key: whole, of the format of before, half written, from the future, another's."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oauth_auth import (
    ConfigurationError,
    OAuthProviderException,
    OAuthToken,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
    TokenStoreError,
    TokenTransportError,
)
from oauth_auth._record import asdict, replace
from oauth_auth._renewal.entry import Entry, SharedFailure, identity, pack, unpack
from tests.support.steps import at

TOKEN = OAuthToken(access_token="access", refresh_token="refresh", expires_in=60, expiry=5.0, extra={"user": "alice"})
OWNER = {"client_id": "client", "token_url": "https://auth.example/token"}
FAILURE = SharedFailure("program", "TokenResponseError", "it failed", {"status_code": 503}, 2, at(0).wall, 5.0)


def stored(state: Any, token: OAuthToken = TOKEN) -> OAuthToken:
    """Return a token with this in the library's own field."""
    return OAuthToken.from_dict({**token.to_dict(), "extra": {**token.extra, "oauth_auth": state}})


ENTRIES = {
    "token": Entry(TOKEN, login="the login"),
    "token with what the grant has learned": Entry(TOKEN, {"basic_encode": False, "code": "digest"}, "the login"),
    "token after a failure": Entry(TOKEN, login="the login", failure=FAILURE),
    "token that has replaced others": Entry(TOKEN, login="the login", superseded=("one", "two")),
    "failure alone": Entry(failure=FAILURE),
    "logout": Entry(logged_out=frozenset({"one", "two"})),
    "logout, with what the grant has learned": Entry(None, {"basic_encode": True}, logged_out=frozenset({"one"})),
    "logout, after a failure": Entry(logged_out=frozenset({"one"}), failure=FAILURE),
}


@pytest.mark.parametrize("owner", [{}, OWNER], ids=["named by its key", "named by its owner"])
@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_comes_back_as_it_was(name: str, owner: dict[str, str]) -> None:
    """An entry survives being stored, as JSON, too."""
    packed = pack(ENTRIES[name], owner)
    again = OAuthToken.from_dict(json.loads(json.dumps(packed.to_dict())))
    assert ENTRIES[name] == unpack(packed, owner) == unpack(again, owner)


def test_a_token_alone_is_stored_as_it_is() -> None:
    """Where there's nothing to say of a token, nothing is added to it."""
    assert pack(Entry(TOKEN), {}) is TOKEN


def test_users_fields_stay_their_own() -> None:
    """The library keeps what it needs in one field of `extra`, and takes that one out again."""
    packed = pack(Entry(TOKEN, login="the login"), OWNER)
    assert {"user": "alice", "oauth_auth": {"owner": OWNER, "login": "the login"}} == packed.extra
    assert unpack(packed, OWNER).token == TOKEN


def test_an_entry_without_a_token_looks_expired_to_older_versions() -> None:
    """A version of this library that doesn't know such entries finds a token that can't be sent."""
    packed = pack(Entry(logged_out=frozenset({"one"})), {})
    assert packed.is_expired()
    assert packed.refresh_token is None


def test_nothing_is_an_empty_entry() -> None:
    """A key that nothing is saved under has an entry that says nothing."""
    assert Entry() == unpack(None, OWNER)


def test_an_entry_names_the_last_tokens_replaced() -> None:
    """Of the tokens that were replaced an entry names the last ones; what is damaged names none."""
    digests = tuple(str(number) for number in range(100))
    assert digests[-8:] == unpack(pack(Entry(TOKEN, superseded=digests), {}), {}).superseded
    for damaged in ("text", {"a": 1}, 5, None, [1, None, ["x"]]):
        assert () == unpack(stored({"superseded": damaged}), {}).superseded


# -- Of before ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state",
    [
        {"basic_encode": False},
        {"code": "digest"},
        {"basic_encode": True, "code": "digest"},
        {"basic_encode": False, "owner": OWNER},
        {"owner": OWNER},
        {},
    ],
)
def test_entries_of_the_first_format_are_read(state: dict[str, Any]) -> None:
    """What the first version stored is a token, what its grant had learned, and a login of the token's own name."""
    learned = {name: value for name, value in state.items() if name != "owner"}
    assert Entry(TOKEN, learned, identity(TOKEN)) == unpack(stored(state), OWNER)


def test_a_token_that_the_user_stored_is_read() -> None:
    """A token without anything of the library's is an entry, too."""
    assert Entry(TOKEN, {}, identity(TOKEN)) == unpack(TOKEN, OWNER)


def test_fields_from_the_future_survive_as_the_grants() -> None:
    """What a later version has added is handed to the grant, which ignores what it doesn't know."""
    entry = unpack(stored({"login": "the login", "dpop_key": {"kty": "EC"}}), OWNER)
    assert Entry(TOKEN, {"dpop_key": {"kty": "EC"}}, "the login") == entry
    assert {"kty": "EC"} == unpack(pack(entry, OWNER), OWNER).grant_state["dpop_key"]


# -- Damaged --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["text", 5, None, [], [["login", "x"]], True])
def test_a_field_that_is_no_mapping_says_nothing(state: Any) -> None:
    """A damaged field costs what it said, and not the token."""
    assert Entry(TOKEN, {}, identity(TOKEN)) == unpack(stored(state), OWNER)


@pytest.mark.parametrize("login", [5, None, [], {}])
def test_a_damaged_login_is_the_tokens_own(login: Any) -> None:
    """A login that's no text is named after the token."""
    assert identity(TOKEN) == unpack(stored({"login": login}), OWNER).login


@pytest.mark.parametrize("mark", ["text", 5, {}, None, True])
def test_a_damaged_mark_ends_no_login(mark: Any) -> None:
    """A mark of a logout that can't be read takes no token away."""
    entry = unpack(stored({"logged_out": mark}), OWNER)
    assert (TOKEN, None) == (entry.token, entry.logged_out)


def test_what_can_be_read_of_a_mark_counts() -> None:
    """Of a mark that is damaged in part, the rest counts."""
    assert frozenset({"one"}) == unpack(stored({"logged_out": ["one", 5, None]}), OWNER).logged_out


@pytest.mark.parametrize(
    "damage",
    [
        None,
        5,
        "text",
        [],
        {},
        *({**asdict(FAILURE), name: None} for name in FAILURE._fields),
        {**asdict(FAILURE), "kind": "OSError"},
        {**asdict(FAILURE), "kind": "ReauthorizationRequired"},
        {**asdict(FAILURE), "kind": ["TokenError"]},
        {**asdict(FAILURE), "fields": {"__class__": "x"}},
        {**asdict(FAILURE), "fields": {"status_code": [503]}},
        {**asdict(FAILURE), "fields": {"status_code": "503"}},
        {**asdict(FAILURE), "fields": {"retry_after": "soon"}},
        {**asdict(FAILURE), "fields": {"retry_after": math.nan}},
        {**asdict(FAILURE), "fields": {"retry_after": True}},
        {**asdict(FAILURE), "fields": {"error": 5}},
        {**asdict(FAILURE), "times": 0},
        {**asdict(FAILURE), "times": -1},
        {**asdict(FAILURE), "times": 10**9},
        {**asdict(FAILURE), "times": 1.5},
        {**asdict(FAILURE), "at": "now"},
        {**asdict(FAILURE), "at": True},
        {**asdict(FAILURE), "at": 10**400},
        {**asdict(FAILURE), "pause": "long"},
        {name: value for name, value in asdict(FAILURE).items() if name != "by"},
    ],
    ids=str,
)
def test_a_damaged_failure_says_nothing(damage: Any) -> None:
    """A failure that can't be read holds up nobody, and costs no token."""
    assert Entry(TOKEN, {}, "the login") == unpack(stored({"login": "the login", "failure": damage}), OWNER)


@pytest.mark.parametrize("junk", ["text", b"bytes", 5, {}, {"access_token": "x"}, [TOKEN], object()])
def test_what_is_no_token_is_an_error(junk: Any) -> None:
    """A store that brings anything but a token or None is told apart from an empty one."""
    with pytest.raises(TokenStoreError, match=type(junk).__name__):
        unpack(junk, OWNER)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
states = st.fixed_dictionaries(
    {},
    optional={
        "owner": anything,
        "login": anything,
        "logged_out": anything,
        "failure": anything | st.fixed_dictionaries(dict.fromkeys(SharedFailure._fields, anything)),
        "basic_encode": anything,
    },
)


def text(entry: Entry) -> str:
    """Return an entry's text, in which NaN is like itself, and a set has an order."""
    return repr(replace(entry, logged_out=entry.logged_out and sorted(entry.logged_out)))


@given(states | anything)
@example({"logged_out": ["000000000", ""]})  # a set whose order is another one when it's made again
def test_whatever_is_stored_is_an_entry_or_an_error_of_ours(state: Any) -> None:
    """Whatever stands in the library's field, it's read, or it's a `TokenStoreError`."""
    try:
        entry = unpack(stored(state), OWNER)
    except TokenStoreError:
        return
    assert (entry.token is None) == (entry.logged_out is not None)
    assert entry.failure is None or isinstance(entry.failure.restored(TokenTransportError, at(0)), TokenError)
    assert text(entry) == text(unpack(pack(entry, {}), {}))


# -- Another's ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named", [{**OWNER, "client_id": "another"}, {"token_url": "https://other.example/token"}, {"client_id": None}]
)
def test_another_clients_token_is_refused(named: dict[str, Any]) -> None:
    """An entry that says it's another client's is an error that says what to do."""
    with pytest.raises(TokenStoreError, match="store_key"):
        unpack(stored({"owner": named}), OWNER)


@pytest.mark.parametrize("named", [{"client_id": "client"}, {}, "text", None, {**OWNER, "more": "x"}])
def test_an_owner_that_agrees_is_fine(named: Any) -> None:
    """What an entry doesn't say of its owner, or says in addition, is no contradiction."""
    assert TOKEN == unpack(stored({"owner": named}), OWNER).token


# -- Failures that siblings share -----------------------------------------------------------------------------------

ERRORS: dict[str, TokenError] = {
    "provider": OAuthProviderException(
        "temporarily_unavailable",
        error_description="later",
        error_uri="https://x/y",
        status_code=503,
        token_url="https://auth.example/token",
        retry_after=7.0,
    ),
    "answer": TokenResponseError(
        "no token",
        status_code=502,
        content_type="text/html",
        token_url="https://auth.example/token",
        server_message="Bad Gateway",
    ),
    "transport": TokenTransportError("could not be reached", token_url="https://auth.example/token"),
}


class PluginsTransportError(TokenTransportError, OSError):
    """As a plug-in has it: an error of the HTTP library's, too."""


@pytest.mark.parametrize("name", ERRORS)
def test_a_failure_is_restored(name: str) -> None:
    """Siblings raise an error of the same class, with the same fields, that says who asked and may be tried again."""
    error = ERRORS[name]
    failure = SharedFailure.of(error, by="program", times=3, now=at(0), pause=5.0)
    assert failure is not None
    read = SharedFailure.read(json.loads(json.dumps(asdict(failure))))
    assert failure == read
    restored = failure.restored(PluginsTransportError, at(3))
    kind = PluginsTransportError if name == "transport" else type(error)
    text = f"{error} (another program on the same store asked)"
    assert (kind, text, True) == (type(restored), str(restored), restored.retryable)
    plain = ("error", "error_description", "error_uri", "status_code", "token_url", "content_type", "server_message")
    for field in plain:
        assert getattr(error, field, None) == getattr(restored, field, None)
    assert (None if error.retry_after is None else 2.0) == restored.retry_after


@pytest.mark.parametrize(
    ("retry_after", "pause", "seconds", "left"),
    [(90.0, 90.0, 0, 90.0), (90.0, 90.0, 60, 30.0), (90.0, 90.0, 100, 0.0), (1e6, 300.0, 0, 300.0), (3.0, 5.0, 4, 0.0)],
)
def test_what_is_left_of_a_pause_is_shared(retry_after: float, pause: float, seconds: float, left: float) -> None:
    """A server that asks for a pause asks each program for what is left of it when that one learns of it."""
    failure = replace(FAILURE, fields={"retry_after": retry_after}, pause=pause)
    assert left == failure.restored(TokenTransportError, at(seconds)).retry_after


def test_a_plug_ins_own_error_is_shared_as_what_it_is() -> None:
    """An error that is an HTTP library's, too, is stored by the name that all plug-ins know."""
    failure = SharedFailure.of(PluginsTransportError("no"), by="program", times=1, now=at(0), pause=5.0)
    assert failure is not None
    assert "TokenTransportError" == failure.kind


@pytest.mark.parametrize("error", [TokenError("?"), ReauthorizationRequired("?"), TokenError("a provider raised")])
def test_what_the_server_has_not_caused_is_not_shared(error: TokenError) -> None:
    """A failure of this program's own is no business of its siblings."""
    assert SharedFailure.of(error, by="program", times=1, now=at(0), pause=5.0) is None


@pytest.mark.parametrize(("seconds", "expected"), [(-1, False), (0, True), (4.9, True), (5, False), (1e6, False)])
def test_a_failure_is_shared_for_a_while(seconds: float, expected: bool) -> None:
    """A failure counts during the pause after it; one of the future, by another machine's clock, is over."""
    assert expected is FAILURE.is_recent(at(seconds))


def test_a_pause_is_bounded() -> None:
    """No entry holds siblings up for longer than five minutes."""
    read = SharedFailure.read({**asdict(FAILURE), "pause": 1e9})
    assert read is not None
    assert 300.0 == read.pause


def test_a_token_is_told_apart_without_being_told() -> None:
    """The identity of a token is the same for the same token, and holds nothing of it."""
    assert identity(TOKEN) == identity(OAuthToken(access_token="access", refresh_token="refresh"))
    assert identity(TOKEN) != identity(OAuthToken(access_token="access"))
    assert "access" not in identity(TOKEN)


def test_an_entrys_token_can_be_any_that_a_server_gives() -> None:
    """The text that marks an entry without a token is none that a header's token could clash with by chance."""
    packed = pack(Entry(failure=FAILURE), {})
    assert ":" in packed.access_token
    with pytest.raises(ConfigurationError):
        OAuthToken(access_token="")
