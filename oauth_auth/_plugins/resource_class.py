"""The auth class of APIs that nobody has configured; written as those of `service_classes` are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from .._wire.client_auth import ClientAuthentication
from .._wire.token import OAuthToken
from .._wire.token_request import FieldParameters, TokenRequest
from ..stores import TokenStore
from .authorization_code_class import AuthorizationParameters
from .options import ForClient, HTTPClient, check_arguments, read_environment
from .resource import ResourceDiscovery

if TYPE_CHECKING:  # loaded when needed: most programs have no logins
    from .._keys.certificate import ClientCertificate
    from .._keys.dpop import DPoPKey
    from ..login._context import DeviceLogin, LoginContext

__all__ = ["Resource"]


class Resource(ResourceDiscovery, ForClient[HTTPClient]):
    """Authorize requests to an API that says itself what it wants (RFC 9728), such as an MCP server.

    Its challenges tell which authorization server it has, and which scope a request needs; the client is registered
    there (RFC 7591), and the user logs in. A request within the resource goes with the token if there is one, else
    without, and only an answer that demands one leads to a login. Requests elsewhere go without.
    """

    @check_arguments
    def __init__(
        self,
        resource: str,
        *,
        login: Callable[[LoginContext], str] | DeviceLogin | None = None,
        issuer: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        client_metadata_url: str | None = None,
        client_metadata: Mapping[str, Any] | None = None,
        redirect_uri: str | None = None,
        authorization_parameters: AuthorizationParameters | None = None,
        scope: str | Iterable[str] | None = None,
        offline_access: bool | None = None,
        audience: str | Iterable[str] | None = None,
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
        allow_insecure_transport: bool = False,
        rejection_statuses: Iterable[int] = (401,),
    ) -> None:
        """Take the options; nothing is sent before a request needs it. Raises `ConfigurationError`.

        Args:
            resource: The URL of the protected resource: the one that is called, or one above it.
            login: How the user logs in: `BrowserLogin()`, `ConsoleLogin(uri)`, `DeviceLogin()`, or a function; without
                it the client gets a token of its own, if it has a secret, or there's one in the store, else that's a
                `ReauthorizationRequired`.
            issuer: The only authorization server that will do; also where the resource itself names none.
            client_id: The id of a client that was registered by hand; without it, one is registered where needed.
            client_secret: Its secret, which needs `issuer`: else any API could name a server and be sent it.
            client_metadata_url: The https URL of this program's metadata document, which is its client id where the
                server takes such. Not with `client_id`.
            client_metadata: Fields for dynamic registration (RFC 7591 section 2), such as `{"client_name": "My tool"}`;
                they override ours, None drops one.
            redirect_uri: Where the server redirects the user to, for a login that needs to be told.
            authorization_parameters: Additional parameters of the authorization request, such as `{"prompt":
                "login"}`; a sequence repeats its parameter, None drops it.
            scope: Text with names separated by spaces, or an iterable of names.
            offline_access: Ask for a refresh token by the scope `offline_access` and `prompt=consent` (OpenID Core
                11): None does where a scope is given and the metadata lists it, True always, False never.
            audience: Whom the token is for, as Auth0 and others ask: one text or several.
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
            token: A token to begin with; of it and a stored one the later expiry wins. Its refresh token is sent only
                if `issuer` and `client_id` say where it's from.
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
            allow_insecure_transport: Allow http:// beyond loopback.
            rejection_statuses: The statuses by which an API says that it rejects the token.
        """
        self._set_up(locals())

    @classmethod
    @read_environment
    def from_env(
        cls,
        prefix: str = "OAUTH_",
        *,
        resource: str | None = None,
        login: Callable[[LoginContext], str] | DeviceLogin | None = None,
        issuer: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        client_metadata_url: str | None = None,
        client_metadata: Mapping[str, Any] | None = None,
        redirect_uri: str | None = None,
        authorization_parameters: AuthorizationParameters | None = None,
        scope: str | Iterable[str] | None = None,
        offline_access: bool | None = None,
        audience: str | Iterable[str] | None = None,
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
        allow_insecure_transport: bool = False,
        rejection_statuses: Iterable[int] = (401,),
    ) -> Self:
        """Make one from environment variables; options override them.

        It reads RESOURCE, ISSUER, CLIENT_ID, CLIENT_SECRET, CLIENT_METADATA_URL, SCOPE, AUDIENCE, REDIRECT_URI,
        REVOCATION_URL and STORE ("file:PATH", "keyring:" or "redis://…"), each after the prefix. A variable whose name
        ends in _FILE names a file that holds the value; that of the secret is read anew when the server refuses what
        was in it.

        PRIVATE_KEY or PRIVATE_KEY_FILE with PRIVATE_KEY_ID, CLIENT_ASSERTION_FILE, CLIENT_CERTIFICATE_FILE with
        CLIENT_CERTIFICATE_KEY_FILE, and DPOP ("true") stand for `client_auth`, `client_certificate` and `dpop`; these
        files are read anew for each call. Raises `ConfigurationError`, which names the variable.
        """
        raise NotImplementedError  # `read_environment` does it
