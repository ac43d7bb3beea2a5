"""Which key a token is to be bound to (RFC 9449): the one that's given, else one that goes with the token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._wire.token_request import PerAttempt
    from .dpop import DPoPKey

__all__ = ["Binding", "proof_of"]


class Binding:
    """The keys of an auth object's tokens: `given` is the user's, which isn't stored; None stands for own ones."""

    __slots__ = ("_made", "given")

    def __init__(self, given: DPoPKey | None = None) -> None:
        self.given = given
        self._made: DPoPKey | None = None

    @property
    def name(self) -> str:
        """What tells its tokens from others in a store."""
        return "dpop" if self.given is None else f"dpop {self.given.thumbprint}"

    def key_for(self, present: DPoPKey | None) -> DPoPKey:
        """Return the key for the next token; `present` is that of the token which it replaces, if it's known.

        A refresh with another key may end the refresh token, so a login keeps its key. One that was made is used until
        a token is bound to it.
        """
        key = self.given or present
        if key is not None:
            return key
        if self._made is None:
            self._made = self.make()
        return self._made

    def use(self, key: DPoPKey | None) -> DPoPKey | None:
        """Take in that a token is bound to this key; return it, to be stored with the token, unless it's the user's."""
        if key is self._made:
            self._made = None  # the next login may be another user's
        return None if self.given is not None else key

    def make(self, private_jwk: Mapping[str, Any] | None = None) -> DPoPKey:
        """Return a new key for tokens, or the one that was made before. Raises `ConfigurationError` for another JWK."""
        from .dpop import DPoPKey

        return DPoPKey.generate() if private_jwk is None else DPoPKey(private_jwk)


def proof_of(key: DPoPKey | None) -> dict[str, PerAttempt]:
    """Return the header of a call that proves a key; nothing without one."""
    return {} if key is None else {"DPoP": key.header()}
