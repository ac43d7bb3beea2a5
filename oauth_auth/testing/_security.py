"""What a `LocalProvider` demands of its clients, beyond a secret: nothing, until a test says so. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Literal

__all__ = ["RegistrationPolicy", "SecurityProfile"]


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

    client_auth_methods: Collection[str] | None = None
    """The ways in which clients may authenticate, and register for, such as `client_secret_post`, or `none` for public
    clients; with None all that are known."""

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

    scopes_supported: Collection[str] | None = None
    """The scopes that there are, which the metadata lists, but for `offline_access` the API's, too; others are refused.
    With None any scope is taken, and none is listed."""

    required_scopes: Mapping[str, str] = MappingProxyType({})
    """The scopes that the API wants, by path below `api_url`. A request needs those of its own path and of all above; a
    token without them is refused with 403 and `insufficient_scope`. With `{"/": "read", "/admin": "admin"}` the API
    wants `read`, and `/admin/users` both."""

    scope_in_challenges: bool = True
    """Whether challenges name what `required_scopes` says of the request."""

    require_resource: bool = False
    """Whether the API takes no tokens but those that were asked for with its URL as `resource` (RFC 8707)."""

    required_acr: str | None = None
    """How a user must have logged in for the API, one authentication context or several with spaces; an authorization
    request with `acr_values` gets a login of the first of them (RFC 9470). None: anyhow."""

    required_max_age: float | None = None
    """How long ago a login may have been for the API, in seconds (RFC 9470). Logins go on, as in a browser's session:
    an authorization request gets a fresh one if the last is older than its `max_age`. None: any time."""


class RegistrationPolicy:
    """Who becomes a client, and what clients are held to; set as the demands are."""

    allow_registration: bool = True
    """Whether anybody can register at `registration_url`; if not, the metadata doesn't name it."""

    client_secret_lifetime: float | None = None
    """How long the secrets of clients that register are good for, in seconds, by the clock of `clock_offset`
    (`client_secret_expires_at`); with None they don't expire."""

    ignore_loopback_ports: bool = False
    """Whether a registered redirect URI on loopback is good with any port (RFC 8252 section 7.3). Servers differ."""

    client_id_metadata_document_supported: bool = False
    """Whether a client's id may be the URL of its metadata, https or on loopback. The document is fetched when the id
    is used first, and makes a public client, until `forget_clients`."""
