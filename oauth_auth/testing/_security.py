"""What a `LocalProvider` demands of its clients, beyond a secret: nothing, until a test says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

__all__ = ["SecurityProfile"]


class SecurityProfile:
    """The demands, as attributes, which may be set at any time, from any thread; the next request meets them."""

    require_dpop: bool = False
    """Whether each token must be bound to a key (RFC 9449). The token endpoint then refuses requests without a proof,
    and the API takes no other tokens. A proof is checked, and binds the token, in any case."""

    dpop_nonces: bool = False
    """Whether proofs must have the nonce that the authorization server and the API, each its own, have in all answers
    (RFC 9449 sections 8 and 9)."""

    clock_offset: float = 0.0
    """How far the provider's clock is ahead of this machine's, in seconds. It's told by `Date`, and judges proofs,
    assertions and the age of logins; tokens live as long as ever."""

    client_key: Mapping[str, Any] | None = None
    """The client's public key, a JWK or a set of them. What the client signs is verified with it, such as assertions
    of `private_key_jwt` (RFC 7523); without one they're refused."""

    assertion_audience: Literal["any", "issuer", "url"] = "any"
    """Whom assertions must be for, the `"issuer"` or the `"url"` that is called, each as a text, or `"any"` of the two,
    also in a list."""

    assertion_issuer: str | None = None
    """Who else may vouch for the client, as Kubernetes or SPIFFE do. Assertions of this issuer, signed with
    `client_key`, authenticate the client that's named beside them; they may be of any type, and used again."""

    require_pushed_authorization_requests: bool = False
    """Whether authorization requests must be pushed (RFC 9126); they may be in any case."""

    request_uri_lifetime: float = 60.0
    """How long a pushed request is good for, in seconds; it's used once."""

    require_signed_request_object: bool = False
    """Whether authorization requests must be signed with the key that `client_key` is of (RFC 9101); they may be in
    any case, in the URL or pushed."""

    authorization_details_types: Collection[str] | None = None
    """The types of authorization details (RFC 9396) that are known; with None any is."""

    subject_tokens: Collection[str] = ()
    """Tokens of others, of the types `jwt` and `id_token`, that are taken in exchange (RFC 8693), for `username`."""

    required_acr: str | None = None
    """How a user must have logged in for the API, one authentication context or several with spaces; an authorization
    request with `acr_values` gets a login of the first of them (RFC 9470). None: anyhow."""

    required_max_age: float | None = None
    """How long ago a login may have been for the API, in seconds (RFC 9470). Logins go on, as in a browser's session:
    an authorization request gets a fresh one if the last is older than its `max_age`. None: any time."""
