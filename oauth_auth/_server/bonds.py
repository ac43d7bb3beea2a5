"""Where tokens are from: the server and the client that each belongs to, as far as it's known. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from .._record import Record, asdict, fields
from .._wire.identifiers import is_same_issuer
from .._wire.token import OAuthToken, digest

__all__ = ["Bond", "Bonds"]

_MOST = 8
"""How many are remembered: of the tokens that are in use, and of those that they have just replaced."""
_FIELD = "bonds"
_NOTHING: frozenset[str] = frozenset()  # one for all objects


class Bond(Record):
    """Where a token is from, and what was asked for. It's the only way to renew it: nobody else is told of it."""

    issuer: str
    client_id: str
    resource: str
    """The resource's identifier, as it was sent (RFC 8707)."""
    scope: str | None = None
    """What was asked for, all in all."""
    redirect_uri: str | None = None
    """That of the client, if it was registered dynamically for one."""
    is_registered: bool = False
    is_bound: bool = False
    """Whether the token is bound to a key (RFC 9449)."""
    learned: Mapping[str, Any] = {}
    """What the server takes, see `Client.dump_state`."""

    @classmethod
    def read(cls, value: object) -> Self | None:
        """Return what `asdict` has written, or None if it's damaged."""
        if not isinstance(value, dict):
            return None
        given = {name: value[name] for name in fields(cls) if name in value}
        texts = [given.get(name) for name in ("issuer", "client_id", "resource")]
        optional = [given.get(name) for name in ("scope", "redirect_uri")]
        is_valid = (
            all(isinstance(text, str) and text for text in texts)
            and all(text is None or isinstance(text, str) for text in optional)
            and all(isinstance(given.get(name, False), bool) for name in ("is_registered", "is_bound"))
            and isinstance(given.get("learned", {}), dict)
        )
        return cls(**given) if is_valid else None


class Bonds:
    """The bonds of the last tokens, by their digests."""

    __slots__ = ("_left", "_of")

    def __init__(self) -> None:
        self._of: dict[str, Bond] = {}
        self._left = _NOTHING

    @property
    def latest(self) -> Bond | None:
        """The bond noted last."""
        return next(reversed(self._of.values()), None)

    def of(self, token: OAuthToken | None) -> Bond | None:
        """Return a token's bond, if it's known."""
        return None if token is None else self._of.get(_key(token))

    def of_refresh_token(self, refresh_token: str) -> Bond | None:
        """Return the bond of a refresh token, if it's known."""
        return self._of.get(digest(refresh_token))

    def move(self, issuer: str) -> None:
        """Note that the resource has this server now: tokens of others that are known by now have been left behind."""
        self._left = frozenset(key for key, bond in self._of.items() if not is_same_issuer(bond.issuer, issuer))

    def has_left(self, token: OAuthToken) -> bool:
        """Return whether the resource has moved to another server than a token's since that came."""
        return _key(token) in self._left

    def note(self, token: OAuthToken, bond: Bond) -> None:
        """Note where a token is from."""
        self._note({_key(token): bond})

    def _note(self, more: Mapping[str, Bond]) -> None:
        bonds = {key: bond for key, bond in self._of.items() if key not in more} | dict(more)
        self._of = dict(list(bonds.items())[-_MOST:])

    def dump(self) -> dict[str, Any]:
        """Return them as JSON."""
        return {_FIELD: {key: asdict(bond) for key, bond in self._of.items()}} if self._of else {}

    def load(self, state: Mapping[str, Any], may_be_called: Callable[[str], bool] = lambda _: True) -> None:
        """Take in what `dump` returned, here or in another program; what is damaged is ignored.

        So is a server that may not be called.
        """
        stored = state.get(_FIELD)
        if not isinstance(stored, dict):
            return
        read = {key: Bond.read(value) for key, value in list(stored.items())[-_MOST:] if isinstance(key, str)}
        self._note({key: bond for key, bond in read.items() if bond is not None and may_be_called(bond.issuer)})


def _key(token: OAuthToken) -> str:
    """Return what a token is recognized by: what renews it, if it has that."""
    return digest(token.refresh_token or token.access_token)
