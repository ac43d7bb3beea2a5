"""The auth classes without an HTTP library: each is a mixin that holds a grant's signature.

A plug-in combines each with the base for its library: `class ClientCredentialsAuth(ClientCredentials, RequestsAuth)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from .._renewal.store_entry import StoreEntry
from .._server.authorization_code import AuthorizationCodeGrant
from .._server.grants import (
    ClientCredentialsGrant,
    FixedToken,
    PasswordGrant,
    RefreshTokenGrant,
    TokenProvider,
)
from .._wire.checks import require_text
from .._wire.token import OAuthToken, digest
from ..errors import ConfigurationError
from .auth import TokenAuth
from .options import (
    CommonOptions,
    EndpointOptions,
    Options,
    check_callback,
    read_options,
)
from .token_endpoint import Location, TokenEndpointAuth

if TYPE_CHECKING:  # loaded when needed: most programs have no logins
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


class ClientCredentials(TokenEndpointAuth):
    """Authorize requests as the client itself (RFC 6749 section 4.4)."""

    _grant_type = "client_credentials"

    def __init__(
        self, token_url: str, client_id: str, client_secret: str | None = None, **options: Unpack[EndpointOptions]
    ) -> None:
        self._set_up(Location(token_url), client_id, client_secret, **options)

    def _set_up(self, location: Location, client_id: str, client_secret: str | None, **options: Any) -> None:
        settings = read_options(options, EndpointOptions)
        self._connect(location, client_id, client_secret, settings, ClientCredentialsGrant)


class AuthorizationCode(TokenEndpointAuth):
    """Authorize requests for a user who logs in (RFC 6749 section 4.1, RFC 7636).

    `code`, with the `redirect_uri` and PKCE's `code_verifier` that it was asked for with, is exchanged once, and
    wins over a stored token. Afterwards the refresh token renews. When there's none that lives, `login`, such as
    `BrowserLogin()`, has the user log in at `authorization_url`, with `authorization_parameters` in addition;
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
        self._set_up(
            Location(token_url),
            client_id,
            client_secret,
            code=code,
            redirect_uri=redirect_uri,
            code_verifier=code_verifier,
            authorization_url=authorization_url,
            authorization_parameters=authorization_parameters,
            login=login,
            **options,
        )

    def _set_up(
        self,
        location: Location,
        client_id: str,
        client_secret: str | None,
        *,
        code: str | None = None,
        redirect_uri: str | None = None,
        code_verifier: str | None = None,
        authorization_url: str | None = None,
        authorization_parameters: Mapping[str, Any] | None = None,
        login: Callable[[LoginContext], str] | None = None,
        **options: Any,
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
            if authorization_url is None and location.issuer is None:
                raise ConfigurationError("login needs the authorization_url: pass it, or use from_issuer()")
            check_parameters(authorization_parameters)
        self._connect(
            location,
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
    """Authorize requests for a user who logs in on another device (RFC 8628).

    `show` is called with the keyword arguments `user_code`, `verification_uri`, `verification_uri_complete` (or
    None) and `expires_in`, in seconds; by default they're printed to stderr. Afterwards the refresh token renews;
    without a live one the user logs in again. `device_authorization_url` may be left out in `from_issuer`.
    """

    _grant_type = "authorization_code"  # a login in a browser serves here, too: it's the same user
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
        self._set_up(
            Location(token_url),
            client_id,
            client_secret,
            device_authorization_url=device_authorization_url,
            show=show,
            **options,
        )

    def _set_up(
        self,
        location: Location,
        client_id: str,
        client_secret: str | None,
        *,
        device_authorization_url: str | None = None,
        show: Show | None = None,
        **options: Any,
    ) -> None:
        from .._server.device import DeviceCodeGrant, show_on_stderr  # noqa: PLC0415 - see above

        settings = read_options(options, EndpointOptions)
        if device_authorization_url is None and location.issuer is None:
            raise ConfigurationError("DeviceCodeAuth needs the device_authorization_url: pass it, or use from_issuer()")
        check_callback("show", show)
        self._connect(
            location,
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
        self._set_up(Location(token_url), client_id, client_secret, username=username, password=password, **options)

    def _set_up(
        self,
        location: Location,
        client_id: str,
        client_secret: str | None,
        *,
        username: str | None = None,
        password: str | None = None,
        **options: Any,
    ) -> None:
        settings = read_options(options, EndpointOptions)
        user, secret = require_text("username", username), require_text("password", password)
        self._connect(
            location,
            client_id,
            client_secret,
            settings,
            lambda calls: PasswordGrant(calls, username=user, password=secret),
            subject=user,
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
        self._set_up(Location(token_url), client_id, client_secret, refresh_token=refresh_token, **options)

    def _set_up(
        self,
        location: Location,
        client_id: str,
        client_secret: str | None,
        *,
        refresh_token: str | None = None,
        **options: Any,
    ) -> None:
        settings = read_options(options, EndpointOptions)
        given = require_text("refresh_token", refresh_token)
        self._connect(
            location,
            client_id,
            client_secret,
            settings,
            lambda calls: RefreshTokenGrant(calls, refresh_token=given),
            subject=digest(given),
        )


class Provider(TokenAuth):
    """Authorize requests with tokens from a function of yours.

    `provider` is called with the last token, or None, in a thread of its own, and returns the next. It may raise, and
    block for `token_timeout` seconds at most.
    """

    def __init__(self, provider: Callable[[OAuthToken | None], OAuthToken], **options: Unpack[Options]) -> None:
        settings = read_options(options, Options)
        if provider is None:
            raise ConfigurationError("provider must be a function from the last OAuthToken, or None, to the next")
        if settings.store is not None and settings.store_key is None:
            raise ConfigurationError("no key can be derived for a provider's tokens: give a store_key with the store")
        entry = StoreEntry(settings.store, settings.store_key or "")
        grant = TokenProvider(check_callback("provider", provider), settings.renewal.token_timeout)
        self._take(settings, grant, token=settings.token, entry=entry)


class Bearer(TokenAuth):
    """Authorize requests with one token that is never renewed (RFC 6750); a 401 is returned to the caller."""

    def __init__(self, token: str | OAuthToken, **options: Unpack[CommonOptions]) -> None:
        settings = read_options(options, CommonOptions)
        if isinstance(token, str):
            token = OAuthToken(access_token=token)
        if not isinstance(token, OAuthToken):
            raise ConfigurationError(f"token must be text or an OAuthToken, not {type(token).__name__}")
        # There is nothing to store: the token comes from the caller each time.
        self._take(settings, FixedToken(), token=token, entry=StoreEntry(None, ""))
