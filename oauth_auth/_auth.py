"""The six auth classes but for the HTTP library: each is a mixin that holds a grant's signature.

A plug-in joins them with the mechanics of its library: `class ClientCredentialsAuth(ClientCredentials, RequestsAuth)`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import ClassVar, Self, Unpack

from ._grants import (
    AuthorizationCodeGrant,
    Client,
    ClientCredentialsGrant,
    FixedToken,
    Grant,
    PasswordGrant,
    RefreshTokenGrant,
    TokenCalls,
    TokenProvider,
)
from ._options import (
    CommonOptions,
    Options,
    Settings,
    check_callback,
    choose_client_auth,
    derive_store_key,
    read_options,
    require_text,
)
from ._shelf import Shelf
from ._source import TokenSource
from ._token import OAuthToken
from ._urls import without_query
from .controller import OAuthAuthorizationController
from .errors import ConfigurationError

__all__ = [
    "AsyncTokens",
    "AuthorizationCode",
    "Bearer",
    "ClientCredentials",
    "Password",
    "Provider",
    "RefreshToken",
    "TokenAuth",
]


class TokenAuth:
    """What all auth objects have. Safe to share between threads, tasks and event loops; pickles and deep-copies."""

    _controller_class: ClassVar[type[OAuthAuthorizationController]]
    _source: TokenSource

    def _begin(self, settings: Settings, grant: Grant, *, token: OAuthToken | None, shelf: Shelf | None = None) -> None:
        """Take the settings; plug-ins extend it by what their library needs."""
        self._source = TokenSource(grant, settings.renewal, token=token, shelf=shelf)
        self._allowed_origins = settings.allowed_origins
        self._allow_insecure_transport = settings.allow_insecure_transport
        self._rejection_statuses = settings.rejection_statuses

    @property
    def token(self) -> OAuthToken | None:
        """The current token, or None if there is none yet; no I/O."""
        return self._source.token

    def get_token(self) -> OAuthToken:
        """Return a token that can be sent now, as a request would; block if one must be fetched.

        Raises `TokenError`.
        """
        return self._source.obtain().token

    def refresh(self) -> OAuthToken:
        """Renew the token now, whatever its age, and return the new one; block meanwhile.

        Callers at the same time share one renewal; where a sibling on the same store has just renewed, its token is
        taken. Raises `TokenError`.
        """
        return self._source.renew().token

    def close(self) -> None:
        """Wait for a renewal under way to end, and free what it used. The object can be used again afterwards."""
        self._source.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} {self.token!r}>"


class AsyncTokens(TokenAuth):
    """What auth objects of libraries with async clients have beyond that; for asyncio and trio."""

    async def aget_token(self) -> OAuthToken:
        """Return a token that can be sent now, as a request would. Raises `TokenError`."""
        return (await self._source.aobtain()).token

    async def arefresh(self) -> OAuthToken:
        """Renew the token now, whatever its age, and return the new one. Raises `TokenError`."""
        return (await self._source.arenew()).token

    async def aclose(self) -> None:
        """Do what `close` does without blocking the event loop."""
        await self._source.afinish()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


class _TokenEndpointAuth(TokenAuth):
    """An auth object that calls a token endpoint."""

    _grant_type: ClassVar[str]

    def _begin_with_endpoint(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None,
        settings: Settings,
        make_grant: Callable[[TokenCalls], Grant],
        *,
        subject: str = "",
    ) -> None:
        require_text("client_id", client_id, "the text that the authorization server issued")
        if client_secret is not None:
            require_text("client_secret", client_secret, "text that isn't empty, or None for a public client")
        controller = self._controller_class(
            token_url,
            token_client=settings.token_client,
            token_timeout=settings.renewal.token_timeout,
            allow_insecure_transport=settings.allow_insecure_transport,
        )
        client = Client(client_id, client_secret, choose_client_auth(settings, client_secret))
        calls = TokenCalls(controller, client, settings.scope, settings.field_parameters)
        if settings.store_key is None:
            shelf = Shelf(settings.store, derive_store_key(settings, self._grant_type, token_url, client_id, subject))
        else:  # a key that doesn't say whose the token is
            owner = {"token_url": without_query(token_url), "client_id": client_id}
            shelf = Shelf(settings.store, settings.store_key, owner)
        self._begin(settings, make_grant(calls), token=settings.token, shelf=shelf)


class ClientCredentials(_TokenEndpointAuth):
    """Authorize requests as the client itself (RFC 6749 section 4.4)."""

    _grant_type = "client_credentials"

    def __init__(
        self, token_url: str, client_id: str, client_secret: str | None = None, **options: Unpack[Options]
    ) -> None:
        settings = read_options(options)
        self._begin_with_endpoint(
            token_url,
            client_id,
            client_secret,
            settings,
            ClientCredentialsGrant,
        )


class AuthorizationCode(_TokenEndpointAuth):
    """Authorize requests for a person who has logged in (RFC 6749 section 4.1, RFC 7636).

    `code`, with the `redirect_uri` and PKCE's `code_verifier` that it was asked for with, is exchanged once, and
    wins over a stored token. Afterwards the refresh token renews; when it's dead, `ReauthorizationRequired`.
    """

    _grant_type = "authorization_code"

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        code: str | None = None,
        redirect_uri: str | None = None,
        code_verifier: str | None = None,
        **options: Unpack[Options],
    ) -> None:
        settings = read_options(options)
        for name, value in (("code", code), ("redirect_uri", redirect_uri), ("code_verifier", code_verifier)):
            if value is not None:
                require_text(name, value, "text that isn't empty, or None")
        if code is not None and redirect_uri is None:
            raise ConfigurationError("a code needs the redirect_uri that it was asked for with: pass redirect_uri=")
        self._begin_with_endpoint(
            token_url,
            client_id,
            client_secret,
            settings,
            lambda calls: AuthorizationCodeGrant(
                calls, code=code, redirect_uri=redirect_uri, code_verifier=code_verifier
            ),
        )


class Password(_TokenEndpointAuth):
    """Authorize requests for a user whose password the program knows (RFC 6749 section 4.3).

    Renewed with the refresh token; without a live one the password is used again.
    """

    _grant_type = "password"

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        username: str,
        password: str,
        **options: Unpack[Options],
    ) -> None:
        settings = read_options(options)
        require_text("username", username)
        require_text("password", password)
        self._begin_with_endpoint(
            token_url,
            client_id,
            client_secret,
            settings,
            lambda calls: PasswordGrant(calls, username=username, password=password),
            subject=username,
        )


class RefreshToken(_TokenEndpointAuth):
    """Authorize requests with a refresh token that came from elsewhere (RFC 6749 section 6).

    If the server rotates refresh tokens, a copy of the object needs the same store to follow.
    """

    _grant_type = "refresh_token"

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        refresh_token: str,
        **options: Unpack[Options],
    ) -> None:
        settings = read_options(options)
        require_text("refresh_token", refresh_token)
        self._begin_with_endpoint(
            token_url,
            client_id,
            client_secret,
            settings,
            lambda calls: RefreshTokenGrant(calls, refresh_token=refresh_token),
            subject=hashlib.sha256(refresh_token.encode()).hexdigest(),
        )


class Provider(TokenAuth):
    """Authorize requests with tokens from a function of yours.

    `provider` is called with the last token, or None, in a thread of its own, and returns the next. It may block
    and raise.
    """

    def __init__(self, provider: Callable[[OAuthToken | None], OAuthToken], **options: Unpack[Options]) -> None:
        settings = read_options(options)
        if provider is None:
            raise ConfigurationError("provider must be a function from the last OAuthToken, or None, to the next")
        if settings.store is not None and settings.store_key is None:
            raise ConfigurationError("nothing tells what a provider's tokens are for: give a store_key with the store")
        shelf = Shelf(settings.store, settings.store_key or "")
        self._begin(settings, TokenProvider(check_callback("provider", provider)), token=settings.token, shelf=shelf)


class Bearer(TokenAuth):
    """Authorize requests with one token that is never renewed (RFC 6750): a 401 is the caller's."""

    def __init__(self, token: str | OAuthToken, **options: Unpack[CommonOptions]) -> None:
        settings = read_options(options)
        if isinstance(token, str):
            token = OAuthToken(access_token=token)
        if not isinstance(token, OAuthToken):
            raise ConfigurationError(f"token must be text or an OAuthToken, not {type(token).__name__}")
        # There is nothing to store: the token is what the caller gave.
        self._begin(settings, FixedToken(), token=token)
