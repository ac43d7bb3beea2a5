"""Whose token counts, this program's or the store's: all cases of the merge."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_auth import OAuthToken
from oauth_auth._record import replace
from oauth_auth._renewal.entry import Entry, SharedFailure, identity
from oauth_auth._renewal.merge import Known, merge
from oauth_auth._wire.token import digest


def token(text: str, expiry: float | None = 1000.0, refresh_token: str | None = None) -> OAuthToken:
    return OAuthToken(access_token=text, expiry=expiry, refresh_token=refresh_token)


def entry(stored: OAuthToken | None, **fields: Any) -> Entry:
    login = None if stored is None else identity(stored)
    return Entry(stored, **{"login": login, **fields})


def digests(*texts: str) -> frozenset[str]:
    return frozenset(map(digest, texts))


OURS, THEIRS = token("ours"), token("theirs")
EARLIER, LATER, ENDLESS = token("earlier", 900.0), token("later", 1100.0), token("endless", None)
READ = Known(OURS, in_store=OURS, has_read=True, login=identity(OURS))
"""What is known after a first renewal was saved."""

# -- The first look -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "stored", "last", "previous"),
    [
        (None, THEIRS, THEIRS, None),
        (OURS, None, OURS, None),
        (None, None, None, None),
        (OURS, LATER, LATER, OURS),
        (OURS, THEIRS, THEIRS, OURS),  # of two that expire at once, the stored one
        (OURS, EARLIER, OURS, EARLIER),
        (OURS, ENDLESS, ENDLESS, OURS),
        (ENDLESS, LATER, ENDLESS, LATER),
    ],
)
def test_at_first_the_later_expiry_wins(
    known: OAuthToken | None, stored: OAuthToken | None, last: OAuthToken | None, previous: OAuthToken | None
) -> None:
    """Of a token given and a stored one, the one that expires later is the newest; the other is kept behind it."""
    after = merge(Known(known), entry(stored))
    assert (last, previous, stored, True) == (after.last, after.previous, after.in_store, after.has_read)


def test_the_very_token_that_is_known_is_saved() -> None:
    """A store that holds the token that this program has is up to date."""
    assert Known(OURS, in_store=OURS, has_read=True) == merge(Known(OURS, is_unsaved=True), entry(OURS))


def test_an_empty_store_has_been_read() -> None:
    """Once the store was read, what comes up in it is a sibling's, whatever its expiry."""
    first = merge(Known(OURS), Entry())
    assert EARLIER == merge(first, entry(EARLIER)).last


# -- A sibling's token ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("news", [EARLIER, THEIRS, LATER, ENDLESS], ids=lambda news: news.access_token)
def test_what_is_new_in_the_store_is_adopted(news: OAuthToken) -> None:
    """Later on, another token in the store is a sibling's and newer than this program's, whatever its expiry."""
    after = merge(READ, entry(news))
    assert Known(news, OURS, news, has_read=True, login=identity(news), superseded=(digest("ours"),)) == after


def test_what_a_sibling_has_replaced_is_not_kept() -> None:
    """A token that the store's one has replaced, as at a new login, is never gone back to."""
    after = merge(READ, entry(THEIRS, superseded=(digest("ours"),)))
    assert (THEIRS, None) == (after.last, after.previous)


def test_what_was_there_before_is_no_news() -> None:
    """A token that the store held at the last look isn't adopted at the next one."""
    known = replace(READ, in_store=EARLIER)
    assert known == merge(known, entry(EARLIER))


def test_the_login_goes_along() -> None:
    """A sibling's token belongs to the login that the store says."""
    assert "the login" == merge(READ, entry(THEIRS, login="the login")).login


def test_other_fields_make_no_other_token() -> None:
    """Tokens are the same if access and refresh token are."""
    again = OAuthToken(access_token="ours", expiry=5.0, scope="read", extra={"a": 1})
    assert READ == merge(READ, entry(again))


def test_a_new_refresh_token_makes_another_token() -> None:
    """An access token with another refresh token is news."""
    news = token("ours", refresh_token="new")
    assert news == merge(READ, entry(news)).last


def test_an_entry_that_was_deleted_takes_no_token_away() -> None:
    """Where a store has lost its entry, or has only a failure, this program goes on with what it has."""
    failure = SharedFailure("sibling", "TokenTransportError", "no", {}, 1, 0.0, 5.0)
    assert READ == merge(READ, Entry()) == merge(READ, Entry(failure=failure))


# -- A token that couldn't be saved ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "last", "is_unsaved"), [(EARLIER, OURS, True), (THEIRS, THEIRS, False), (LATER, LATER, False)]
)
def test_while_a_token_is_unsaved_the_later_expiry_wins(stored: OAuthToken, last: OAuthToken, is_unsaved: bool) -> None:
    """A sibling that knew nothing of an unsaved token may have got an older or a newer one."""
    known = replace(READ, in_store=token("replaced"), is_unsaved=True)
    after = merge(known, entry(stored))
    assert (last, is_unsaved) == (after.last, after.is_unsaved)


def test_a_save_that_worked_after_all_is_noticed() -> None:
    """A token that was thought unsaved, and is in the store, is saved."""
    known = replace(READ, in_store=token("replaced"), is_unsaved=True)
    assert READ == merge(known, entry(OURS))


# -- A store that has gone back in time -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stored",
    [token("before", 5000.0), token("another", 5000.0, refresh_token="refresh-before")],
    ids=["access token", "refresh token"],
)
def test_a_replaced_token_is_no_news(stored: OAuthToken) -> None:
    """A stored token that is known to have been replaced isn't adopted: the live one is to be saved again."""
    known = replace(READ, superseded=(digest("before"), digest("refresh-before")))
    assert replace(known, in_store=stored, is_unsaved=True) == merge(known, entry(stored))


def test_who_joins_later_learns_what_was_replaced() -> None:
    """A program that never had the tokens of before knows them by the entry, and doesn't take them up either."""
    news = token("new", 900.0, refresh_token="same")
    replaced = (digest("before"), digest("refresh-before"), digest("same"), digest("new"))
    for known in (Known(), READ, Known(news)):
        after = merge(known, entry(news, superseded=replaced))
        assert news == after.last
        assert not after.has_superseded(news)
        for before in (token("before", 5000.0), token("x", 5000.0, refresh_token="refresh-before")):
            assert (news, True) == (merge(after, entry(before)).last, merge(after, entry(before)).is_unsaved)


def test_a_replaced_token_after_a_logout_is_not_taken_up() -> None:
    """Who has logged out doesn't take up again what the store brings back."""
    after = merge(READ.logged_out(), entry(OURS))
    assert (None, False) == (after.last, after.is_unsaved)


def test_a_refresh_token_that_stays_is_not_replaced() -> None:
    """Where renewals keep the refresh token, only the access tokens of before count as replaced."""
    known = Known(token("a", refresh_token="same")).renewed(token("b", refresh_token="same"), is_login=False)
    assert (digest("a"),) == known.superseded
    assert token("c", refresh_token="same") == merge(known, entry(token("c", refresh_token="same"))).last


def test_replaced_tokens_are_bounded() -> None:
    """The last 200 digests of replaced tokens are remembered."""
    known = Known()
    for number in range(300):
        known = known.renewed(token(f"t{number}", refresh_token=f"r{number}"), is_login=False)
    assert 200 == len(known.superseded)
    assert known.has_superseded(token("t298"))
    assert known.has_superseded(token("x", refresh_token="r298"))
    assert not known.has_superseded(token("t10"))


# -- Logging out ----------------------------------------------------------------------------------------------------

LOGGED_IN = Known(
    token("ours", refresh_token="refresh"), in_store=token("ours", refresh_token="refresh"), has_read=True, login="here"
)


@pytest.mark.parametrize(
    ("mark", "ends"),
    [
        (digests("ours"), True),
        (digests("refresh"), True),
        (frozenset({"here"}), True),
        (frozenset({"here", "elsewhere"}), True),
        (digests("another", "refresh-of-another"), False),
        (frozenset({"elsewhere"}), False),
        (frozenset(), False),
    ],
)
def test_a_mark_ends_the_login_that_it_is_about(mark: frozenset[str], ends: bool) -> None:
    """The mark of a logout ends this login if it names its token, its refresh token or the login; no other."""
    after = merge(LOGGED_IN, Entry(logged_out=mark))
    if ends:
        assert (None, None, None) == (after.last, after.previous, after.login)
        assert after.has_superseded(token("ours"))
        assert after.has_superseded(token("x", refresh_token="refresh"))
    else:
        assert replace(LOGGED_IN, in_store=None) == after


def test_a_login_without_a_name_is_that_of_its_token() -> None:
    """A token that was given, and came from no login of this program, is named by its own identity."""
    expected = Known(has_read=True, superseded=(identity(OURS), digest("ours")))
    assert expected == merge(Known(OURS), Entry(logged_out=frozenset({identity(OURS)})))


def test_a_logout_outlives_a_store_that_goes_back() -> None:
    """Who had only an older token of the login doesn't take up the newest one when the store brings it back."""
    newest = token("newest", 5000.0, refresh_token="newest-refresh")
    after = merge(LOGGED_IN, Entry(logged_out=digests("newest", "newest-refresh") | {"here"}))
    assert None is merge(after, entry(newest, login="here")).last


def test_a_mark_says_nothing_to_who_has_no_token() -> None:
    """Without a token there's no login to end."""
    assert Known(has_read=True) == merge(Known(), Entry(logged_out=digests("ours")))


def test_a_login_of_its_own_outlives_the_mark_of_another() -> None:
    """Who was logged in anew meanwhile saves that login in place of the mark."""
    after = merge(LOGGED_IN, Entry(logged_out=digests("another")))
    assert (LOGGED_IN.last, None) == (after.last, after.in_store)


def test_the_mark_of_a_logout_names_all_that_it_ends() -> None:
    """The mark has digests of the newest token and the one before, and the login; no token."""
    known = replace(LOGGED_IN, previous=token("before", refresh_token="refresh-before"))
    assert digests("ours", "refresh", "before", "refresh-before") | {"here"} == known.digests()
    assert frozenset() == Known().digests()


# -- Renewals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "is_login", "expected"),
    [(None, False, identity(THEIRS)), ("here", False, "here"), ("here", True, identity(THEIRS))],
)
def test_a_renewal_goes_on_with_a_login(login: str | None, is_login: bool, expected: str) -> None:
    """A token made with a refresh token belongs to the login of before; any other begins one of its own."""
    known = replace(READ, login=login).renewed(THEIRS, is_login=is_login)
    assert (THEIRS, expected, (digest("ours"),)) == (known.last, known.login, known.superseded)
    assert known.is_only_here
    assert OURS == known.in_store


def test_a_renewed_token_is_saved() -> None:
    """Once the newest token is saved, it's what the store holds."""
    known = replace(READ.renewed(THEIRS, is_login=False), is_unsaved=True).saved()
    assert (THEIRS, True, False, False) == (known.in_store, known.has_read, known.is_unsaved, known.is_only_here)


# -- Whatever happens -----------------------------------------------------------------------------------------------

tokens = st.builds(
    token,
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from([None, 1.0, 2.0, 3.0]),
    st.sampled_from([None, "r", "s", "t"]),
)
marks = st.frozensets(st.sampled_from(["a", "b", "r", "s"]).map(digest))
entries = (st.none() | tokens).map(entry) | marks.map(lambda mark: Entry(logged_out=mark))


@st.composite
def knowledge(draw: st.DrawFn) -> Known:
    """Make what could be known after some renewals and looks."""
    known = Known(draw(st.none() | tokens))
    for step in draw(st.lists(tokens | entries, max_size=5)):
        known = merge(known, step) if isinstance(step, Entry) else known.renewed(step, is_login=False)
    return known


@given(knowledge(), entries)
def test_looking_twice_is_looking_once(known: Known, stored: Entry) -> None:
    """A second look at the same entry changes nothing."""
    once = merge(known, stored)
    assert once == merge(once, stored)


@given(knowledge(), entries)
def test_a_live_token_is_taken_away_by_a_logout_alone(known: Known, stored: Entry) -> None:
    """A look never leaves a program without a token that it had, unless its login was ended."""
    after = merge(known, stored)
    if known.last is not None and stored.logged_out is None:
        assert after.last is not None
    assert after.last is None or not after.has_superseded(after.last) or after.last == known.last


@given(knowledge(), st.lists(entries, max_size=4), tokens)
def test_what_was_replaced_never_comes_back(known: Known, looks: list[Entry], news: OAuthToken) -> None:
    """A token whose access and refresh token were replaced is never the newest again."""
    replaced = known.last
    known = known.renewed(news, is_login=False)
    if replaced is None or news.access_token == replaced.access_token:
        return
    for stored in looks:
        known = merge(known, stored)
        assert known.last is None or known.last.access_token != replaced.access_token or known.last is news
