"""What is said where only a user can bring a token: why, and to whom it's said. Pure."""

from __future__ import annotations

from .._wire.token import OAuthToken
from ..errors import ReauthorizationRequired, TokenError

__all__ = ["reauthorization"]


def reauthorization(reason: str | None, last: OAuthToken | None, refusal: TokenError | None) -> ReauthorizationRequired:
    """Return the error that says why the user must log in.

    `reason` is used where nothing more exact is known; without one, nobody is logged in.
    """
    if refusal is not None:
        reason = f"the server refused the refresh token ({refusal})"
    elif last is not None and last.refresh_token is None:
        reason = "the token can't be renewed, since it came without a refresh token"
    elif last is not None:
        reason = "the refresh token was refused before"
    if reason is None:
        return ReauthorizationRequired("nobody is logged in: pass login=, such as BrowserLogin(), code= or token=")
    error = ReauthorizationRequired(f"the user must log in again: {reason}")
    if refusal is not None:
        error.token_url, error.status_code = refusal.token_url, refusal.status_code
        error.server_message = refusal.server_message
    return error
