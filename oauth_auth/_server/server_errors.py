"""What the errors of an authorization server mean for the client, the refresh token and the call. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._wire.token import OAuthToken
from ..errors import OAuthProviderError, OAuthProviderException, TokenError, TokenResponseError

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey

__all__ = ["check_binding", "ends_refresh_token", "is_about_proof", "refuses_client"]

_ABOUT_THE_PROOF = {
    "use_dpop_nonce",  # RFC 9449 section 8
    "invalid_dpop_proof",  # RFC 9449 section 5
}
_ABOUT_THE_CALL = {
    *_ABOUT_THE_PROOF,
    OAuthProviderError.INVALID_SCOPE,
    "invalid_target",  # RFC 8707 section 2
    "invalid_authorization_details",  # RFC 9396 section 5
    "server_error",
    "temporarily_unavailable",
}
"""Refusals of a refresh that say nothing against the refresh token."""


def refuses_client(error: TokenError) -> bool:
    """Return whether the error means, or may mean, that client authentication failed.

    Measured: `invalid_client`, `unauthorized_client`, or 400, 401, 403 without a readable `error`.
    """
    if isinstance(error, OAuthProviderException):
        return error.error in {OAuthProviderError.INVALID_CLIENT, OAuthProviderError.UNAUTHORIZED_CLIENT}
    return isinstance(error, TokenResponseError) and error.status_code in {400, 401, 403}


def ends_refresh_token(error: TokenError) -> bool:
    """Return whether a refusal means that the refresh token will never work again.

    Measured: servers answer 400 with `invalid_grant`, `invalid_request` or nothing at all, so the status decides,
    unless the error is about the client, or about the call.
    """
    if isinstance(error, OAuthProviderException):
        if error.error == OAuthProviderError.INVALID_GRANT:
            return True
        return error.status_code == 400 and error.error not in _ABOUT_THE_CALL and not refuses_client(error)
    return isinstance(error, TokenResponseError) and error.status_code == 400


def is_about_proof(error: TokenError) -> bool:
    """Return whether a refusal is about the proof of a key alone, so that a code that went along isn't used up."""
    return isinstance(error, OAuthProviderException) and error.error in _ABOUT_THE_PROOF


def check_binding(token: OAuthToken, key: DPoPKey | None) -> OAuthToken:
    """Return the token. Raises `TokenResponseError` if it should be bound to a key, and isn't."""
    if key is not None and not token.is_bound:
        kind = token.token_type[:50]
        raise TokenResponseError(
            f"the token isn't bound to a key, as dpop= asks: the server gave one of the type {kind!r}; "
            "is DPoP (RFC 9449) on for this client?"
        )
    return token
