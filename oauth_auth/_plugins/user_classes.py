"""The auth classes for users who have entrusted the program with a password or a refresh token.

Written as those of `service_classes` are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .._server.grant import Grant
from .._server.grants import PasswordGrant, RefreshTokenGrant, TokenCalls
from .._wire.checks import require_text
from .._wire.client_auth import ClientAuthentication
from .._wire.token import OAuthToken, digest
from .._wire.token_request import FieldParameters, TokenRequest
from ..stores import TokenStore
from .options import ForClient, HTTPClient, Settings, check_arguments, read_environment
from .token_endpoint import TokenEndpointAuth

if TYPE_CHECKING:
    from .._keys.certificate import ClientCertificate
    from .._keys.dpop import DPoPKey

__all__ = ["Password", "RefreshToken"]


class Password(TokenEndpointAuth, ForClient[HTTPClient]):
    """Authorize requests for a user whose password the program knows (RFC 6749 section 4.3).

    Renewed with the refresh token; without a live one the password is used again.
    """

    _grant_type = "password"
    _variables: ClassVar[Mapping[str, str]] = {"USERNAME": "username", "PASSWORD": "password"}

    @check_arguments
    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        username: str,
        password: str,
        scope: str | Iterable[str] | None = None,
        audience: str | Iterable[str] | None = None,
        resource: str | Iterable[str] | None = None,
        field_parameters: FieldParameters | None = None,
        client_auth: ClientAuthentication | None = None,
        dpop: bool | DPoPKey | None = None,
        client_certificate: ClientCertificate | None = None,
        authorization_details: Iterable[Mapping[str, Any]] | None = None,
        token: OAuthToken | None = None,
        store: TokenStore | None = None,
        store_key: str | None = None,
        on_token_update: Callable[[OAuthToken], object] | None = None,
        token_request_hook: Callable[[TokenRequest], TokenRequest] | None = None,
        token_response_hook: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        token_client: HTTPClient | None = None,
        token_timeout: float = 10.0,
        leeway: float = 10.0,
        refresh_window: float = 300.0,
        revocation_url: str | None = None,
        introspection_url: str | None = None,
        allowed_origins: Iterable[str] | None = None,
        allow_insecure_transport: bool = False,
        rejection_statuses: Iterable[int] = (401,),
    ) -> None:
        """Take the options; nothing is sent before a token is needed. Raises `ConfigurationError`.

        Args:
            token_url: The URL of the token endpoint.
            client_id: The id that the authorization server issued for your client.
            client_secret: Its secret; None for a public client.
            username: The user's name.
            password: The user's password.
            scope: Text with names separated by spaces, or an iterable of names.
            audience: Whom the token is for, as Auth0 and others ask: one text or several.
            resource: The absolute URI of the API that the token is for, or several (RFC 8707).
            field_parameters: Additional form fields of each token call, with the last word; a sequence repeats its
                field, None drops it.
            client_auth: How the client proves itself: `ClientSecretBasic()`, the default with a secret,
                `ClientSecretPost()`, `ClientSecretJwt()`, `PrivateKeyJwt(…)`, `ClientAssertion(…)` or `PublicClient()`,
                the default without.
            dpop: True binds tokens to a key that is made when it's first needed and kept with them (RFC 9449), so that
                they are worth nothing to a thief; a `DPoPKey` binds them to that one.
            client_certificate: A `ClientCertificate`, which each call to the server shows (RFC 8705): it proves the
                client where there's neither a secret nor `client_auth`, and the server may bind tokens to it.
            authorization_details: What the token is to allow, a list of mappings with a `type` each (RFC 9396).
            token: A token to begin with; of it and a stored one the later expiry wins.
            store: Where tokens are kept and shared, such as `FileTokenStore(…)`; by default in memory.
            store_key: The key to use in the store; by default one derived from what the token is for.
            on_token_update: Called with each new token, after it was saved and before any request uses it, in a
                thread of its own. What it raises is logged; if it takes longer than `token_timeout`, the requests go
                on without it.
            token_request_hook: Called with each attempt of a token call before it's sent; returns what to send
                instead. It must be pure.
            token_response_hook: Called with the fields of each answer of the token endpoint; returns them as RFC 6749
                has them. It must be pure.
            token_client: A sync client of the same HTTP library that sends the token calls, for proxies and
                certificates; it stays yours to close. For aiohttp: a function that makes a `ClientSession`.
            token_timeout: Seconds that a whole token call with its retries may take; one attempt takes at most half
                of it. It bounds a provider and `on_token_update`, too.
            leeway: A token this near its expiry, in seconds, is not sent unless no better one can be had; at most a
                tenth of the token's lifetime.
            refresh_window: Seconds before that in which the token is renewed in the background; at most a fifth of
                its lifetime.
            revocation_url: Where tokens are ended (RFC 7009); if it's None and the metadata has none, `revoke` only
                forgets.
            introspection_url: Where the server tells about tokens (RFC 7662), for `introspect`.
            allowed_origins: The origins that the token may go to, such as "https://api.example.com"; None allows any
                that the caller addresses. Requests to others go without the token.
            allow_insecure_transport: Allow http:// beyond loopback.
            rejection_statuses: The statuses by which an API says that it rejects the token.
        """
        self._set_up(locals())

    @classmethod
    @check_arguments
    def from_issuer(
        cls,
        issuer: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        token_url: str | None = None,
        username: str,
        password: str,
        scope: str | Iterable[str] | None = None,
        audience: str | Iterable[str] | None = None,
        resource: str | Iterable[str] | None = None,
        field_parameters: FieldParameters | None = None,
        client_auth: ClientAuthentication | None = None,
        dpop: bool | DPoPKey | None = None,
        client_certificate: ClientCertificate | None = None,
        authorization_details: Iterable[Mapping[str, Any]] | None = None,
        token: OAuthToken | None = None,
        store: TokenStore | None = None,
        store_key: str | None = None,
        on_token_update: Callable[[OAuthToken], object] | None = None,
        token_request_hook: Callable[[TokenRequest], TokenRequest] | None = None,
        token_response_hook: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        token_client: HTTPClient | None = None,
        token_timeout: float = 10.0,
        leeway: float = 10.0,
        refresh_window: float = 300.0,
        revocation_url: str | None = None,
        introspection_url: str | None = None,
        allowed_origins: Iterable[str] | None = None,
        allow_insecure_transport: bool = False,
        rejection_statuses: Iterable[int] = (401,),
    ) -> Self:
        """Make one that takes the server's URLs from its metadata (RFC 8414, OpenID Discovery) when first needed.

        `issuer` is the URL that the metadata names, to the letter. URLs that are given override those in the metadata.
        The options are the constructor's.
        """
        return cls._from_issuer(locals())

    @classmethod
    @read_environment
    def from_env(
        cls,
        prefix: str = "OAUTH_",
        *,
        issuer: str | None = None,
        token_url: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        username: str | None = None,
        password: str | None = None,
        scope: str | Iterable[str] | None = None,
        audience: str | Iterable[str] | None = None,
        resource: str | Iterable[str] | None = None,
        field_parameters: FieldParameters | None = None,
        client_auth: ClientAuthentication | None = None,
        dpop: bool | DPoPKey | None = None,
        client_certificate: ClientCertificate | None = None,
        authorization_details: Iterable[Mapping[str, Any]] | None = None,
        token: OAuthToken | None = None,
        store: TokenStore | None = None,
        store_key: str | None = None,
        on_token_update: Callable[[OAuthToken], object] | None = None,
        token_request_hook: Callable[[TokenRequest], TokenRequest] | None = None,
        token_response_hook: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        token_client: HTTPClient | None = None,
        token_timeout: float = 10.0,
        leeway: float = 10.0,
        refresh_window: float = 300.0,
        revocation_url: str | None = None,
        introspection_url: str | None = None,
        allowed_origins: Iterable[str] | None = None,
        allow_insecure_transport: bool = False,
        rejection_statuses: Iterable[int] = (401,),
    ) -> Self:
        """Make one from environment variables; options override them.

        It reads ISSUER or TOKEN_URL, CLIENT_ID, CLIENT_SECRET, SCOPE, AUDIENCE, RESOURCE, REVOCATION_URL, STORE
        ("file:PATH", "keyring:" or "redis://…"), USERNAME and PASSWORD, each after the prefix. A variable whose name
        ends in _FILE names a file that holds the value; those of secret and password are read anew when the server
        refuses what was in them.

        PRIVATE_KEY or PRIVATE_KEY_FILE with PRIVATE_KEY_ID, CLIENT_ASSERTION_FILE, CLIENT_CERTIFICATE_FILE with
        CLIENT_CERTIFICATE_KEY_FILE, and DPOP ("true") stand for `client_auth`, `client_certificate` and `dpop`; these
        files are read anew for each call. Raises `ConfigurationError`, which names the variable.
        """
        raise NotImplementedError  # `read_environment` does it

    def _make_grant(self, calls: TokenCalls, settings: Settings, own: Mapping[str, Any]) -> Grant:
        return PasswordGrant(calls, username=own["username"], password=own["password"])

    def _check_own(self, own: Mapping[str, Any], *, has_issuer: bool) -> str:
        require_text("password", own.get("password"))
        return require_text("username", own.get("username"))


class RefreshToken(TokenEndpointAuth, ForClient[HTTPClient]):
    """Authorize requests with a refresh token that came from elsewhere (RFC 6749 section 6).

    If the server rotates refresh tokens, a copy of the object needs the same store to follow.
    """

    _grant_type = "refresh_token"
    _variables: ClassVar[Mapping[str, str]] = {"REFRESH_TOKEN": "refresh_token"}

    @check_arguments
    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        refresh_token: str,
        scope: str | Iterable[str] | None = None,
        audience: str | Iterable[str] | None = None,
        resource: str | Iterable[str] | None = None,
        field_parameters: FieldParameters | None = None,
        client_auth: ClientAuthentication | None = None,
        dpop: bool | DPoPKey | None = None,
        client_certificate: ClientCertificate | None = None,
        authorization_details: Iterable[Mapping[str, Any]] | None = None,
        token: OAuthToken | None = None,
        store: TokenStore | None = None,
        store_key: str | None = None,
        on_token_update: Callable[[OAuthToken], object] | None = None,
        token_request_hook: Callable[[TokenRequest], TokenRequest] | None = None,
        token_response_hook: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        token_client: HTTPClient | None = None,
        token_timeout: float = 10.0,
        leeway: float = 10.0,
        refresh_window: float = 300.0,
        revocation_url: str | None = None,
        introspection_url: str | None = None,
        allowed_origins: Iterable[str] | None = None,
        allow_insecure_transport: bool = False,
        rejection_statuses: Iterable[int] = (401,),
    ) -> None:
        """Take the options; nothing is sent before a token is needed. Raises `ConfigurationError`.

        Args:
            token_url: The URL of the token endpoint.
            client_id: The id that the authorization server issued for your client.
            client_secret: Its secret; None for a public client.
            refresh_token: A refresh token that came from elsewhere.
            scope: Text with names separated by spaces, or an iterable of names.
            audience: Whom the token is for, as Auth0 and others ask: one text or several.
            resource: The absolute URI of the API that the token is for, or several (RFC 8707).
            field_parameters: Additional form fields of each token call, with the last word; a sequence repeats its
                field, None drops it.
            client_auth: How the client proves itself: `ClientSecretBasic()`, the default with a secret,
                `ClientSecretPost()`, `ClientSecretJwt()`, `PrivateKeyJwt(…)`, `ClientAssertion(…)` or `PublicClient()`,
                the default without.
            dpop: True binds tokens to a key that is made when it's first needed and kept with them (RFC 9449), so that
                they are worth nothing to a thief; a `DPoPKey` binds them to that one.
            client_certificate: A `ClientCertificate`, which each call to the server shows (RFC 8705): it proves the
                client where there's neither a secret nor `client_auth`, and the server may bind tokens to it.
            authorization_details: What the token is to allow, a list of mappings with a `type` each (RFC 9396).
            token: A token to begin with; of it and a stored one the later expiry wins.
            store: Where tokens are kept and shared, such as `FileTokenStore(…)`; by default in memory.
            store_key: The key to use in the store; by default one derived from what the token is for.
            on_token_update: Called with each new token, after it was saved and before any request uses it, in a
                thread of its own. What it raises is logged; if it takes longer than `token_timeout`, the requests go
                on without it.
            token_request_hook: Called with each attempt of a token call before it's sent; returns what to send
                instead. It must be pure.
            token_response_hook: Called with the fields of each answer of the token endpoint; returns them as RFC 6749
                has them. It must be pure.
            token_client: A sync client of the same HTTP library that sends the token calls, for proxies and
                certificates; it stays yours to close. For aiohttp: a function that makes a `ClientSession`.
            token_timeout: Seconds that a whole token call with its retries may take; one attempt takes at most half
                of it. It bounds a provider and `on_token_update`, too.
            leeway: A token this near its expiry, in seconds, is not sent unless no better one can be had; at most a
                tenth of the token's lifetime.
            refresh_window: Seconds before that in which the token is renewed in the background; at most a fifth of
                its lifetime.
            revocation_url: Where tokens are ended (RFC 7009); if it's None and the metadata has none, `revoke` only
                forgets.
            introspection_url: Where the server tells about tokens (RFC 7662), for `introspect`.
            allowed_origins: The origins that the token may go to, such as "https://api.example.com"; None allows any
                that the caller addresses. Requests to others go without the token.
            allow_insecure_transport: Allow http:// beyond loopback.
            rejection_statuses: The statuses by which an API says that it rejects the token.
        """
        self._set_up(locals())

    @classmethod
    @check_arguments
    def from_issuer(
        cls,
        issuer: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        token_url: str | None = None,
        refresh_token: str,
        scope: str | Iterable[str] | None = None,
        audience: str | Iterable[str] | None = None,
        resource: str | Iterable[str] | None = None,
        field_parameters: FieldParameters | None = None,
        client_auth: ClientAuthentication | None = None,
        dpop: bool | DPoPKey | None = None,
        client_certificate: ClientCertificate | None = None,
        authorization_details: Iterable[Mapping[str, Any]] | None = None,
        token: OAuthToken | None = None,
        store: TokenStore | None = None,
        store_key: str | None = None,
        on_token_update: Callable[[OAuthToken], object] | None = None,
        token_request_hook: Callable[[TokenRequest], TokenRequest] | None = None,
        token_response_hook: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        token_client: HTTPClient | None = None,
        token_timeout: float = 10.0,
        leeway: float = 10.0,
        refresh_window: float = 300.0,
        revocation_url: str | None = None,
        introspection_url: str | None = None,
        allowed_origins: Iterable[str] | None = None,
        allow_insecure_transport: bool = False,
        rejection_statuses: Iterable[int] = (401,),
    ) -> Self:
        """Make one that takes the server's URLs from its metadata (RFC 8414, OpenID Discovery) when first needed.

        `issuer` is the URL that the metadata names, to the letter. URLs that are given override those in the metadata.
        The options are the constructor's.
        """
        return cls._from_issuer(locals())

    @classmethod
    @read_environment
    def from_env(
        cls,
        prefix: str = "OAUTH_",
        *,
        issuer: str | None = None,
        token_url: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        refresh_token: str | None = None,
        scope: str | Iterable[str] | None = None,
        audience: str | Iterable[str] | None = None,
        resource: str | Iterable[str] | None = None,
        field_parameters: FieldParameters | None = None,
        client_auth: ClientAuthentication | None = None,
        dpop: bool | DPoPKey | None = None,
        client_certificate: ClientCertificate | None = None,
        authorization_details: Iterable[Mapping[str, Any]] | None = None,
        token: OAuthToken | None = None,
        store: TokenStore | None = None,
        store_key: str | None = None,
        on_token_update: Callable[[OAuthToken], object] | None = None,
        token_request_hook: Callable[[TokenRequest], TokenRequest] | None = None,
        token_response_hook: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        token_client: HTTPClient | None = None,
        token_timeout: float = 10.0,
        leeway: float = 10.0,
        refresh_window: float = 300.0,
        revocation_url: str | None = None,
        introspection_url: str | None = None,
        allowed_origins: Iterable[str] | None = None,
        allow_insecure_transport: bool = False,
        rejection_statuses: Iterable[int] = (401,),
    ) -> Self:
        """Make one from environment variables; options override them.

        It reads ISSUER or TOKEN_URL, CLIENT_ID, CLIENT_SECRET, SCOPE, AUDIENCE, RESOURCE, REVOCATION_URL, STORE
        ("file:PATH", "keyring:" or "redis://…") and REFRESH_TOKEN, each after the prefix. A variable whose name ends in
        _FILE names a file that holds the value; those of secret and password are read anew when the server refuses what
        was in them.

        PRIVATE_KEY or PRIVATE_KEY_FILE with PRIVATE_KEY_ID, CLIENT_ASSERTION_FILE, CLIENT_CERTIFICATE_FILE with
        CLIENT_CERTIFICATE_KEY_FILE, and DPOP ("true") stand for `client_auth`, `client_certificate` and `dpop`; these
        files are read anew for each call. Raises `ConfigurationError`, which names the variable.
        """
        raise NotImplementedError  # `read_environment` does it

    def _make_grant(self, calls: TokenCalls, settings: Settings, own: Mapping[str, Any]) -> Grant:
        return RefreshTokenGrant(calls, refresh_token=own["refresh_token"])

    def _check_own(self, own: Mapping[str, Any], *, has_issuer: bool) -> str:
        return digest(require_text("refresh_token", own.get("refresh_token")))
