"""What a store keeps under a key: a token, or none, and what programs that share it need to know. Pure.

A store takes an `OAuthToken`, so all else travels in a field of its `extra`. An entry without a token says that the
last login was ended (`logged_out`), or that the server failed before there was any token (`failure`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from .._clock import Now
from .._record import Record, asdict, fields
from .._wire.token import OAuthToken, digest
from ..errors import (
    ConfigurationError,
    OAuthProviderException,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
    TokenStoreError,
    TokenTransportError,
    rebuild,
)

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey

__all__ = ["Entry", "SharedFailure", "StoreUnread", "identity", "pack", "store_unread", "unpack"]

_FIELD = "oauth_auth"
_NO_TOKEN = "oauth_auth:this-entry-holds-no-token"
_LONGEST_PAUSE = 300.0
_SHARED_ERRORS: dict[str, type[TokenError]] = {
    error_class.__name__: error_class
    for error_class in (OAuthProviderException, TokenResponseError, TokenTransportError)
}
_MOST_SUPERSEDED = 8
"""How many digests of replaced tokens an entry keeps, two for each renewal: some stores have little room."""
_NUMBERS = {"status_code", "retry_after"}
_LARGE = 1e15
_SHARED_FIELDS = (
    "error",
    "error_description",
    "error_uri",
    "status_code",
    "token_url",
    "retry_after",
    "content_type",
    "server_message",
)


class SharedFailure(Record):
    """A failure that may pass; siblings share it, and don't call the server within the pause after it."""

    by: str
    """Which program it was."""
    kind: str
    text: str
    fields: Mapping[str, Any]
    times: int
    """How many failed in a row, whichever program made them."""
    at: float
    """When it failed, in Unix time."""
    pause: float
    """In seconds."""

    @classmethod
    def of(cls, error: TokenError, *, by: str, times: int, now: Now, pause: float) -> Self | None:
        """Return what is shared of a failure; None if the server hasn't caused it."""
        for kind, error_class in _SHARED_ERRORS.items():
            if isinstance(error, error_class):
                fields = {name: getattr(error, name, None) for name in _SHARED_FIELDS}
                plain = {name: field for name, field in fields.items() if _is_plain(field)}
                return cls(by, kind, str(error), plain, times, now.wall, pause)
        return None

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Return what `asdict` has written, or None if it's damaged."""
        if not isinstance(value, dict):
            return None
        by, kind, text, said, times, at, pause = (value.get(name) for name in fields(cls))
        is_valid = (
            isinstance(kind, str)
            and kind in _SHARED_ERRORS
            and isinstance(by, str)
            and isinstance(text, str)
            and isinstance(said, dict)
            and all(_is_shared_field(name, field) for name, field in said.items())
            and isinstance(times, int)
            and 0 < times < 1e6
            and _is_number(at)
            and _is_number(pause)
        )
        return cls(by, kind, text, said, times, at, min(pause, _LONGEST_PAUSE)) if is_valid else None  # type: ignore[arg-type, type-var]

    def is_recent(self, now: Now) -> bool:
        """Return whether the pause lasts; one in the future, by another machine's clock, counts as over."""
        return 0 <= now.wall - self.at < self.pause

    def restored(self, transport_error: type[TokenTransportError], now: Now) -> TokenError:
        """Return the error to raise here; a transport error is of this plug-in's class.

        Its `retry_after` is what is left of the pause that the server asked for.
        """
        error_class = transport_error if self.kind == TokenTransportError.__name__ else _SHARED_ERRORS[self.kind]
        text = f"{self.text} (another program on the same store asked)"
        asked = self.fields.get("retry_after")
        left = max(min(asked, self.pause) - (now.wall - self.at), 0.0) if isinstance(asked, int | float) else None
        return rebuild(error_class, (text,), {**self.fields, "retry_after": left, "retryable": True})


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGE


def _is_shared_field(name: object, value: object) -> bool:
    """Return whether an error may have this field: some are calculated with, and must be numbers."""
    return name in _SHARED_FIELDS and (_is_number(value) if name in _NUMBERS else isinstance(value, str))


class Entry(Record):
    """What is stored under one key."""

    token: OAuthToken | None = None
    grant_state: Mapping[str, Any] = {}
    """What the grant has learned, see `Grant.dump_state`."""
    login: str | None = None
    """Which login the token comes from: the identity of its first token."""
    logged_out: frozenset[str] | None = None
    """Digests of a login that was ended; None if it wasn't."""
    failure: SharedFailure | None = None
    superseded: tuple[str, ...] = ()
    """Digests of the tokens that this one has replaced, the last ones: programs that never had them know them, too, if
    the store goes back in time."""
    key: DPoPKey | None = None
    """The key that the token is bound to, if it was made for it: without it the token is of no use."""


def identity(token: OAuthToken) -> str:
    """Return a digest that identifies a token without revealing it."""
    return digest(f"{token.access_token} {token.refresh_token}")


def pack(entry: Entry, owner: Mapping[str, str]) -> OAuthToken:
    """Return what to store. `owner` is whose entry it is, where the key alone doesn't say so."""
    state: dict[str, Any] = dict(entry.grant_state)
    if owner:
        state["owner"] = dict(owner)
    if entry.login is not None:
        state["login"] = entry.login
    if entry.logged_out is not None:
        state["logged_out"] = sorted(entry.logged_out)
    if entry.failure is not None:
        state["failure"] = asdict(entry.failure)
    if entry.superseded:
        state["superseded"] = list(entry.superseded[-_MOST_SUPERSEDED:])
    if entry.key is not None:
        state["key"] = entry.key.private_jwk
    # An older version of this library takes an entry without a token for a token that expired long ago.
    token = entry.token or OAuthToken(access_token=_NO_TOKEN, expiry=0.0)
    return dataclasses.replace(token, extra={**token.extra, _FIELD: state}) if state else token


def unpack(stored: object, owner: Mapping[str, str]) -> Entry:
    """Return the entry in what a store has loaded. Raises `TokenStoreError` if it's no token, or another client's."""
    if stored is None:
        return Entry()
    if not isinstance(stored, OAuthToken):
        raise TokenStoreError(f"load returned {type(stored).__name__}, not an OAuthToken")
    state = stored.extra.get(_FIELD)
    state = dict(state) if isinstance(state, dict) else {}
    named = state.pop("owner", None)
    if isinstance(named, dict):
        if any(named.get(key, value) != value for key, value in owner.items()):
            text = "a stored token is ignored: it's another client's, so give each client a store_key of its own"
            raise TokenStoreError(text)
        if named.get("dpop") != owner.get("dpop"):
            text = (
                "a stored token is ignored: one is bound to a key, the other isn't, so give each a store_key of its own"
            )
            raise TokenStoreError(text)
    login, failure = state.pop("login", None), SharedFailure.read(state.pop("failure", None))
    logged_out = state.pop("logged_out", None)
    if isinstance(logged_out, list):
        logged_out = frozenset(text for text in logged_out if isinstance(text, str))
    else:  # a damaged mark ends no login
        logged_out = None
    superseded, key = _read_superseded(state.pop("superseded", None)), _read_key(state.pop("key", None))
    token = None
    if stored.access_token != _NO_TOKEN and logged_out is None:
        token = dataclasses.replace(stored, extra={k: v for k, v in stored.extra.items() if k != _FIELD})
        login = login if isinstance(login, str) else identity(token)
    login = login if token is not None else None
    return Entry(token, state, login, logged_out, failure, superseded, key if token is not None else None)


def _read_superseded(value: object) -> tuple[str, ...]:
    texts = [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
    return tuple(texts[-_MOST_SUPERSEDED:])


def _read_key(value: object) -> DPoPKey | None:
    """Return the key in a private JWK; None if there's none, or it's damaged."""
    if value is None:
        return None
    from .._keys.dpop import DPoPKey  # noqa: PLC0415 - most programs have no keys

    try:
        return DPoPKey(value)
    except ConfigurationError:
        return None


class StoreUnread(TokenError):
    """Only a user can bring a token, unless there's one in the store, which can't be read now."""

    retryable = True


def store_unread(error: ReauthorizationRequired) -> TokenError:
    """Return the error to raise instead while the store can't be read: it may hold a token, so a login is too early."""
    unread = StoreUnread(f"the token store can't be read; if there's no token in it, {error}")
    unread.token_url, unread.status_code = error.token_url, error.status_code
    return unread
