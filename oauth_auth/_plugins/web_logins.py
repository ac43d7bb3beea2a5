"""Logins that a web application leads: it redirects the user, and gets the redirect back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .._flight import attempt, run, run_async
from .._server.authorization_code import AuthorizationCodeGrant
from .._wire.token import OAuthToken
from ..errors import ConfigurationError
from .token_endpoint import TokenEndpointAuth

if TYPE_CHECKING:
    from .._renewal.source import Waiting
    from ..login._request import AuthorizationRequest

__all__ = ["WebLogins"]


class WebLogins(TokenEndpointAuth):
    """An auth object whose users log in by an authorization request."""

    _grant: AuthorizationCodeGrant

    def authorization_request(self, redirect_uri: str | None = None) -> AuthorizationRequest:
        """Return a new request that a user authorize the client: redirect them to its `url`.

        Keep it for `complete_login` where the user can't see it: `to_dict()` goes into a session on the server.
        `redirect_uri` may be left out if the auth object was given one. Blocks if the issuer's metadata must be fetched
        first. Raises `ConfigurationError`, and `TokenError` if the metadata can't be had.
        """
        return self._endpoints.calls.run(self._grant.authorization_request(redirect_uri))

    async def aauthorization_request(self, redirect_uri: str | None = None) -> AuthorizationRequest:
        """Return a new request without blocking the event loop, see `authorization_request`."""
        outcome: Any = await attempt(partial(self.authorization_request, redirect_uri)).wait_async()
        request: AuthorizationRequest = outcome.unwrap()
        return request

    def complete_login(self, request: AuthorizationRequest, redirected_url: str) -> OAuthToken:
        """Log the user in with the URL that they were redirected to, and return the token.

        The code in it is exchanged at once. The token replaces what was stored, whose refresh token is revoked where
        the server has a URL for that. The same redirect again, as by a reload, changes nothing, and returns the present
        token. Where anything goes wrong, all stays as it was.

        Raises `AuthorizationResponseError` if the URL doesn't answer the request or carries an error, `TokenError` if
        the code can't be exchanged, and `ConfigurationError` for a request of another client.
        """
        token: OAuthToken = run(self._complete(request, redirected_url)).token
        return token

    async def acomplete_login(self, request: AuthorizationRequest, redirected_url: str) -> OAuthToken:
        """Log the user in without blocking the event loop, see `complete_login`."""
        token: OAuthToken = (await run_async(self._complete(request, redirected_url))).token
        return token

    def _complete(self, request: Any, redirected_url: str) -> Waiting:
        from ..login._request import AuthorizationRequest  # noqa: PLC0415 - programs without logins needn't load it

        if not isinstance(request, AuthorizationRequest):
            kind = type(request).__name__
            raise ConfigurationError(
                f"complete_login takes the AuthorizationRequest that the user was sent with, not {kind}"
            )
        if request.client_id != self._client.client_id:
            raise ConfigurationError(f"the request is of another client, {request.client_id!r}: use its auth object")
        code, grant = request.code_from(redirected_url), self._grant
        is_complete = partial(grant.has_completed, code)
        redeem = partial(grant.complete, code, request.redirect_uri, request.code_verifier)
        return (yield from self._source.complete_login(is_complete, redeem))
