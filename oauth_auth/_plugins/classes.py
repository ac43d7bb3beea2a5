"""The auth classes but for the HTTP library: each is a mixin that holds a grant's signature.

A plug-in joins them with the mechanics of its library: `class ClientCredentialsAuth(ClientCredentials, RequestsAuth)`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack, cast

from .._renewal.store_entry import StoreEntry
from .._server.client import Client
from .._server.grants import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    FixedToken,
    Grant,
    PasswordGrant,
    RefreshTokenGrant,
    TokenCalls,
    TokenProvider,
)
from .._server.metadata import Endpoints, Issuer
from .._wire.token import OAuthToken
from .._wire.urls import without_query
from ..errors import ConfigurationError
from .auth import TokenAuth
from .options import (
    CommonOptions,
    EndpointOptions,
    Options,
    Settings,
    check_callback,
    derive_store_key,
    read_options,
    require_text,
)

if TYPE_CHECKING:  # loaded when they're needed: most programs log nobody in
    from .._server.device import Show
    from ..login._context import LoginContext

__all__ = [
    "AuthorizationCode",
    "Bearer",
    "ClientCredentials",
    "DeviceCode",
    "Password",
    "Provider",
    "RefreshToken",
]


class TokenEndpointAuth(TokenAuth):
    """An auth object that calls a token endpoint."""

    _grant_type: ClassVar[str]
    _variables: ClassVar[Mapping[str, str]] = {}
    """What `from_env` reads for this class alone: the variable's name without its prefix, and the parameter's."""

    @classmethod
    def from_issuer(cls, issuer: str, client_id: str, client_secret: str | None = None, **options: Any) -> Self:
        """Make one that finds out the server's URLs from its metadata (RFC 8414, OpenID Discovery) when first needed.

        Options are those of the class; URLs among them, `token_url` included, override what the metadata says.
        """
        if issuer is None:
            raise ConfigurationError("issuer must be a URL as text, not NoneType")
        token_url = Issuer(issuer, options.pop("token_url", None))
        return cls(token_url, client_id, client_secret, **options)  # type: ignore[call-arg]

    @classmethod
    def from_env(cls, prefix: str = "OAUTH_", **options: Any) -> Self:
        """Make one from environment variables; options override them.

        All classes read ISSUER or TOKEN_URL, CLIENT_ID, CLIENT_SECRET, SCOPE, REVOCATION_URL and STORE ("file:PATH",
        "keyring:" or "redis://…"), and some USERNAME, PASSWORD, REFRESH_TOKEN, AUTHORIZATION_URL, REDIRECT_URI and
        DEVICE_AUTHORIZATION_URL, each after the prefix. A variable whose name ends in _FILE names a file that holds
        the value. Raises `ConfigurationError`, which names the variable.
        """
        from .environment import Environment, make_from_environment  # noqa: PLC0415 - few programs need to load it

        return make_from_environment(cls, Environment(prefix), cls._variables, options)

    def _begin_with_endpoint(
        self,
        token_url: str | Issuer,
        client_id: str,
        client_secret: str | None,
        settings: Settings,
        make_grant: Callable[[TokenCalls], Grant],
        *,
        subject: str = "",
        **urls: str | None,
    ) -> None:
        require_text("client_id", client_id, "the text that the authorization server issued")
        if client_secret is not None:
            require_text("client_secret", client_secret, "text that isn't empty, or None for a public client")
        issuer, given = token_url if isinstance(token_url, Issuer) else (None, token_url)
        insecure = settings.allow_insecure_transport
        urls = {"token_url": given, "revocation_url": settings.revocation_url, **urls}
        endpoints = Endpoints(urls, issuer, allow_insecure=insecure)
        controller = self._controller_class(
            cast("str", given) if issuer is None else functools.partial(endpoints.require, "token_url"),
            token_client=settings.token_client,
            token_timeout=settings.renewal.token_timeout,
            allow_insecure_transport=insecure,
        )
        endpoints.calls = controller.calls
        self._endpoints = endpoints
        client = Client(client_id, client_secret, settings.client_auth, endpoints)
        calls = TokenCalls(controller, endpoints, client, settings.scope, settings.field_parameters)
        shelf = self._shelf_for(settings, issuer or cast("str", given), client_id, subject)
        self._begin(settings, make_grant(calls), token=settings.token, shelf=shelf)

    def _find_endpoint(self, name: str) -> str | None:
        """Return an endpoint's URL, such as "revocation_url", or None; block while metadata is fetched."""
        return self._endpoints.find(name)

    def _shelf_for(self, settings: Settings, server: str, client_id: str, subject: str) -> StoreEntry:
        if settings.store_key is None:
            return StoreEntry(settings.store, derive_store_key(settings, self._grant_type, server, client_id, subject))
        # The key doesn't say whose the token is.
        return StoreEntry(settings.store, settings.store_key, {"server": without_query(server), "client_id": client_id})


class ClientCredentials(TokenEndpointAuth):
    """Authorize requests as the client itself (RFC 6749 section 4.4)."""

    _grant_type = "client_credentials"

    def __init__(
        self, token_url: str, client_id: str, client_secret: str | None = None, **options: Unpack[EndpointOptions]
    ) -> None:
        settings = read_options(options, EndpointOptions)
        self._begin_with_endpoint(token_url, client_id, client_secret, settings, ClientCredentialsGrant)


class AuthorizationCode(TokenEndpointAuth):
    """Authorize requests for a person who logs in (RFC 6749 section 4.1, RFC 7636).

    `code`, with the `redirect_uri` and PKCE's `code_verifier` that it was asked for with, is exchanged once, and
    wins over a stored token. Afterwards the refresh token renews. When there's none that lives, `login`, such as
    `BrowserLogin()`, has the person log in at `authorization_url`, with `authorization_parameters` in addition;
    without it: `ReauthorizationRequired`.
    """

    _grant_type = "authorization_code"
    _variables: ClassVar[Mapping[str, str]] = {
        "AUTHORIZATION_URL": "authorization_url",
        "REDIRECT_URI": "redirect_uri",
    }

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        code: str | None = None,
        redirect_uri: str | None = None,
        code_verifier: str | None = None,
        authorization_url: str | None = None,
        authorization_parameters: Mapping[str, Any] | None = None,
        login: Callable[[LoginContext], str] | None = None,
        **options: Unpack[EndpointOptions],
    ) -> None:
        settings = read_options(options, EndpointOptions)
        for name, value in (("code", code), ("redirect_uri", redirect_uri), ("code_verifier", code_verifier)):
            if value is not None:
                require_text(name, value, "text that isn't empty, or None")
        if code is not None and redirect_uri is None:
            raise ConfigurationError("a code needs the redirect_uri that it was asked for with: pass redirect_uri=")
        if login is not None:
            from ..login._context import check_login, check_parameters  # noqa: PLC0415 - see above

            check_login(login)
            if authorization_url is None and not isinstance(token_url, Issuer):
                raise ConfigurationError("login needs the authorization_url: pass it, or use from_issuer()")
            check_parameters(authorization_parameters)
        self._begin_with_endpoint(
            token_url,
            client_id,
            client_secret,
            settings,
            lambda calls: AuthorizationCodeGrant(
                calls,
                code=code,
                redirect_uri=redirect_uri,
                code_verifier=code_verifier,
                login=login,
                authorization_parameters=authorization_parameters,
            ),
            authorization_url=authorization_url,
        )


class DeviceCode(TokenEndpointAuth):
    """Authorize requests for a person who logs in on another device (RFC 8628).

    `show` is called with the keyword arguments `user_code`, `verification_uri`, `verification_uri_complete` (or
    None) and `expires_in`, in seconds; by default they're printed to stderr. Afterwards the refresh token renews;
    without a live one the person logs in again. `device_authorization_url` may be left out in `from_issuer`.
    """

    _grant_type = "authorization_code"  # what a person did in a browser here serves there: it's the same person
    _variables: ClassVar[Mapping[str, str]] = {"DEVICE_AUTHORIZATION_URL": "device_authorization_url"}

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        device_authorization_url: str | None = None,
        show: Show | None = None,
        **options: Unpack[EndpointOptions],
    ) -> None:
        from .._server.device import DeviceCodeGrant, show_on_stderr  # noqa: PLC0415 - see above

        settings = read_options(options, EndpointOptions)
        if device_authorization_url is None and not isinstance(token_url, Issuer):
            raise ConfigurationError("DeviceCodeAuth needs the device_authorization_url: pass it, or use from_issuer()")
        check_callback("show", show)
        self._begin_with_endpoint(
            token_url,
            client_id,
            client_secret,
            settings,
            lambda calls: DeviceCodeGrant(calls, show=show or show_on_stderr),
            device_authorization_url=device_authorization_url,
        )


class Password(TokenEndpointAuth):
    """Authorize requests for a user whose password the program knows (RFC 6749 section 4.3).

    Renewed with the refresh token; without a live one the password is used again.
    """

    _grant_type = "password"
    _variables: ClassVar[Mapping[str, str]] = {"USERNAME": "username", "PASSWORD": "password"}

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        username: str,
        password: str,
        **options: Unpack[EndpointOptions],
    ) -> None:
        settings = read_options(options, EndpointOptions)
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


class RefreshToken(TokenEndpointAuth):
    """Authorize requests with a refresh token that came from elsewhere (RFC 6749 section 6).

    If the server rotates refresh tokens, a copy of the object needs the same store to follow.
    """

    _grant_type = "refresh_token"
    _variables: ClassVar[Mapping[str, str]] = {"REFRESH_TOKEN": "refresh_token"}

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        refresh_token: str,
        **options: Unpack[EndpointOptions],
    ) -> None:
        settings = read_options(options, EndpointOptions)
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
        settings = read_options(options, Options)
        if provider is None:
            raise ConfigurationError("provider must be a function from the last OAuthToken, or None, to the next")
        if settings.store is not None and settings.store_key is None:
            raise ConfigurationError("nothing tells what a provider's tokens are for: give a store_key with the store")
        shelf = StoreEntry(settings.store, settings.store_key or "")
        self._begin(settings, TokenProvider(check_callback("provider", provider)), token=settings.token, shelf=shelf)


class Bearer(TokenAuth):
    """Authorize requests with one token that is never renewed (RFC 6750): a 401 is the caller's."""

    def __init__(self, token: str | OAuthToken, **options: Unpack[CommonOptions]) -> None:
        settings = read_options(options, CommonOptions)
        if isinstance(token, str):
            token = OAuthToken(access_token=token)
        if not isinstance(token, OAuthToken):
            raise ConfigurationError(f"token must be text or an OAuthToken, not {type(token).__name__}")
        # There is nothing to store: the token is what the caller gave.
        self._begin(settings, FixedToken(), token=token)
