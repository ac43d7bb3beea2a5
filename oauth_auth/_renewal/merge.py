"""Decides whose token counts, this program's or the store's, and whether a sibling's logout ends the login. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .._record import Record, replace
from .._wire.token import OAuthToken, digest
from .entry import Entry, identity

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey

__all__ = ["Known", "merge"]

_MOST_SUPERSEDED = 200
"""How many digests of replaced tokens are remembered: enough for a store that goes back by a hundred renewals."""


class Known(Record):
    """The tokens that one auth object knows of."""

    last: OAuthToken | None = None
    """The newest, whether or not it can be sent: what is renewed from."""
    previous: OAuthToken | None = None
    """The one that a sibling's token replaced: used only if the last one's refresh token is refused."""
    in_store: OAuthToken | None = None
    """What the store held when last read: only something else is news."""
    has_read: bool = False
    """Whether the store could be read or written once: only then `in_store` says anything."""
    is_unsaved: bool = False
    """Whether the last token is still to be saved."""
    is_only_here: bool = False
    """Whether no sibling can have the last token, since it was made here and couldn't be saved yet."""
    login: str | None = None
    """Which login the last token comes from."""
    superseded: tuple[str, ...] = ()
    """Digests of tokens that others have replaced: a store that brings one has gone back in time."""
    keys: Mapping[str, DPoPKey] = {}
    """The keys that these tokens are bound to, by the tokens' identities: each token has its own."""

    def renewed(self, token: OAuthToken, *, is_login: bool, key: DPoPKey | None = None) -> Known:
        """Return what is known with a new token, and the key that it's bound to; `is_login` begins a new login."""
        login = identity(token) if is_login or self.login is None else self.login
        known = self.with_key(token, key)
        return replace(known, last=token, is_only_here=True, login=login, superseded=self.superseded_by(token))

    def with_key(self, token: OAuthToken, key: DPoPKey | None) -> Known:
        """Return what is known with a token's key; those of tokens that are gone are forgotten."""
        if key is None:
            return self
        kept = {identity(one) for one in (self.last, self.previous, self.in_store) if one is not None}
        keys = {name: known for name, known in self.keys.items() if name in kept}
        return replace(self, keys={**keys, identity(token): key})

    def key_of(self, token: OAuthToken) -> DPoPKey | None:
        """Return the key that a token is bound to, if it's known."""
        return self.keys.get(identity(token)) if self.keys else None

    @property
    def has_key(self) -> bool:
        """Whether the last token's key is known."""
        return self.last is not None and self.key_of(self.last) is not None

    def saved(self) -> Known:
        """Return what is known once the last token is in the store."""
        return replace(self, in_store=self.last, has_read=True, is_unsaved=False, is_only_here=False)

    def logged_out(self) -> Known:
        """Return what is known once the login has ended."""
        ended = self.superseded_by(None)
        return Known(has_read=self.has_read, superseded=ended)

    def digests(self) -> frozenset[str]:
        """Return the digests by which the mark of a logout names these tokens and their login."""
        tokens = [token for token in (self.last, self.previous) if token is not None]
        return frozenset().union(*map(_digests_of, tokens), [] if self.login is None else [self.login])

    def is_ended_by(self, logged_out: frozenset[str]) -> bool:
        """Return whether this mark of a logout is about the last token's login."""
        last = self.last
        if last is None:
            return False
        return not logged_out.isdisjoint({*_digests_of(last), self.login or identity(last)})

    def superseded_by(self, token: OAuthToken | None) -> tuple[str, ...]:
        """Return the digests of what a token replaces, after those of before; a refresh token may stay the same."""
        kept = set() if token is None else {token.access_token, token.refresh_token}
        old = [] if self.last is None else [self.last.access_token, self.last.refresh_token]
        new = [digest(text) for text in old if text is not None and text not in kept]
        return (*(known for known in self.superseded if known not in new), *new)[-_MOST_SUPERSEDED:]

    def learned(self, entry: Entry) -> Known:
        """Return what is known with what the store says that its token has replaced."""
        no_news = {*self.superseded, *(() if entry.token is None else _digests_of(entry.token))}
        news = [known for known in entry.superseded if known not in no_news]
        return replace(self, superseded=(*news, *self.superseded)[-_MOST_SUPERSEDED:]) if news else self

    def has_superseded(self, token: OAuthToken) -> bool:
        """Return whether this token is known to have been replaced."""
        return not _digests_of(token).isdisjoint(self.superseded)


def merge(known: Known, stored: Entry) -> Known:
    """Return what is known after a look into the store.

    At first, and while the last token is unsaved, the later expiry wins; else what's new in the store is a sibling's,
    and newer. A token that is known to have been replaced is no news: then the store has gone back in time, and the
    live one is to be saved again, as is one whose key the store has lost. The mark of a logout ends the login that it's
    about, and no other.
    """
    known = replace(known, has_read=known.has_read or stored.token is None)
    if stored.logged_out is not None:
        # The mark names newer tokens of the login, too, which a store that goes back in time may bring.
        named = tuple(sorted(stored.logged_out)[:_MOST_SUPERSEDED])
        ended = known.logged_out().learned(Entry(superseded=named))
        return ended if known.is_ended_by(stored.logged_out) else replace(known, in_store=None)
    token = stored.token
    is_last = token is not None and _is_same(token, known.last)
    has_lost_key = is_last and stored.key is None and known.has_key
    if token is None or _is_same(token, known.in_store):
        return replace(known, has_read=True, is_unsaved=known.is_unsaved or has_lost_key)
    known = known.with_key(token, stored.key)
    if is_last:
        return replace(known.saved(), is_unsaved=has_lost_key).learned(stored)
    if known.has_superseded(token):
        return replace(known, in_store=token, has_read=True, is_unsaved=known.last is not None)
    trusts_store = known.has_read and not known.is_unsaved
    if trusts_store or known.last is None or _expiry(token) >= _expiry(known.last):
        login = stored.login or identity(token)
        superseded = known.superseded_by(token)
        # What a sibling has replaced is never gone back to: it may be another user's.
        was_replaced = known.last is not None and not _digests_of(known.last).isdisjoint(stored.superseded)
        previous = None if was_replaced else known.last
        return Known(
            token, previous, token, has_read=True, login=login, superseded=superseded, keys=known.keys
        ).learned(stored)
    return replace(known, previous=token, in_store=token, has_read=True)


def _digests_of(token: OAuthToken) -> set[str]:
    """Return the digests of the access token and the refresh token."""
    return {digest(text) for text in (token.access_token, token.refresh_token) if text is not None}


def _is_same(one: OAuthToken, other: OAuthToken | None) -> bool:
    return other is not None and (one.access_token, one.refresh_token) == (other.access_token, other.refresh_token)


def _expiry(token: OAuthToken) -> float:
    return math.inf if token.expiry is None else token.expiry
