"""What a `LocalProvider` demands of its clients, beyond a secret: nothing, until a test says so."""

from __future__ import annotations

__all__ = ["SecurityProfile"]


class SecurityProfile:
    """The demands, as attributes, which may be set at any time, from any thread; the next request meets them."""

    require_dpop: bool = False
    """Whether each token must be bound to a key (RFC 9449): the token endpoint then refuses requests without a proof,
    and the API takes no other tokens. A proof is checked, and binds the token, in any case."""

    dpop_nonces: bool = False
    """Whether proofs must have the nonce that the authorization server and the API, each its own, have in all answers
    (RFC 9449 sections 8 and 9)."""

    clock_offset: float = 0.0
    """How far the provider's clock is ahead of this machine's, in seconds: its `Date`, and what proofs, assertions and
    the age of logins are judged by. Tokens live as long as ever."""
