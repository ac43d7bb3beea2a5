"""The options of the auth classes: each stands here once, with its type and, below it, its meaning.

There's a typed dictionary for each family. Signatures, `help()`, type checkers and the documentation show what stands
here. What is given is checked by `options`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import Generic, Protocol, Required, TypedDict

    from .._keys.assertions import JwtAssertion
    from .._keys.certificate import ClientCertificate
    from .._keys.dpop import DPoPKey
    from .._keys.request_object import RequestObject
    from .._server.device_grant import Show
    from .._wire.client_auth import ClientAuthentication
    from .._wire.token import OAuthToken
    from .._wire.token_request import FieldParameters, TokenRequest
    from ..login._context import DeviceLogin, LoginContext
    from ..stores import TokenStore

    AuthorizationParameters = Mapping[str, str | Sequence[str] | None]

    class AuthObject(Protocol):
        """An auth object of any plug-in."""

        @property
        def token(self) -> OAuthToken | None: ...
        def get_token(self) -> OAuthToken: ...
        def refresh(self) -> OAuthToken: ...
        def revoke(self) -> None: ...
else:
    # What `typing` has takes longer to import. At run time only the annotations are read.

    class Generic:
        def __class_getitem__(cls, parameters: object) -> type:
            return cls

    class TypedDict(Generic):
        def __init_subclass__(cls, *, total: bool) -> None:
            """Take what typed dictionaries take."""


__all__ = [
    "ACCESS_TOKEN",
    "DEFAULTS",
    "AuthorizationCodeOptions",
    "AuthorizationCodeParameters",
    "BearerOptions",
    "BearerParameters",
    "ClientCredentialsParameters",
    "DeviceCodeOptions",
    "DeviceCodeParameters",
    "EndpointOptions",
    "EndpointParameters",
    "Generic",
    "HTTPClient",
    "JwtBearerParameters",
    "LoginOptions",
    "OfflineOptions",
    "PasswordParameters",
    "ProviderOptions",
    "ProviderParameters",
    "ReachOptions",
    "RefreshTokenParameters",
    "RenewalOptions",
    "RequestOptions",
    "ResourceAuthOptions",
    "ResourceParameters",
    "ServerOptions",
    "TokenExchangeOptions",
    "TokenExchangeParameters",
]

HTTPClient = TypeVar("HTTPClient")
"""A sync client of a plug-in's HTTP library; for aiohttp, a function that makes one of its sessions."""

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

DEFAULTS: dict[str, Any] = {
    "token_timeout": 10.0,
    "leeway": 10.0,
    "refresh_window": 300.0,
    "allow_insecure_transport": False,
    "rejection_statuses": (401,),
    "step_up": False,
    "subject_token_type": ACCESS_TOKEN,
    "actor_token_type": ACCESS_TOKEN,
}
"""The values of options that aren't given; of all others it's None."""


# -- Families -------------------------------------------------------------------------------------------------------


class ReachOptions(TypedDict, total=False):
    """Those of classes whose tokens may go to more than one resource."""

    allowed_origins: Iterable[str] | None
    """The origins that the token may go to, such as "https://api.example.com"; None allows any that the caller
    addresses. Requests to others go without the token."""


class RequestOptions(TypedDict, total=False):
    """Those of all classes."""

    allow_insecure_transport: bool
    """Allow http:// beyond loopback."""
    rejection_statuses: Iterable[int]
    """The statuses by which an API says that it rejects the token."""


class RenewalOptions(RequestOptions, total=False):
    """Those of classes that get another token."""

    token: OAuthToken | None
    """A token to begin with; of it and a stored one the later expiry wins. A `ResourceAuth` sends its refresh token
    only if `issuer` and `client_id` say where it's from."""
    store: TokenStore | None
    """Where tokens are kept and shared, such as `FileTokenStore(…)`; by default in memory."""
    store_key: str | None
    """The key to use in the store; by default one derived from what the token is for."""
    on_token_update: Callable[[OAuthToken], object] | None
    """Called with each new token, after it was saved and before any request uses it, in a thread of its own. What it
    raises is logged; if it takes longer than `token_timeout`, the requests go on without it."""
    token_timeout: float
    """Seconds that a whole token call with its retries may take; one attempt takes at most half of it. It bounds a
    provider and `on_token_update`, too."""
    leeway: float
    """A token this near its expiry, in seconds, is not sent unless no better one can be had; at most a tenth of the
    token's lifetime."""
    refresh_window: float
    """Seconds before that in which the token is renewed in the background; at most a fifth of its lifetime."""


class ServerOptions(RenewalOptions, Generic[HTTPClient], total=False):
    """Those of classes that call an authorization server."""

    scope: str | Iterable[str] | None
    """Text with names separated by spaces, or an iterable of names."""
    audience: str | Iterable[str] | None
    """Whom the token is for, as Auth0 and others ask: one text or several."""
    field_parameters: FieldParameters | None
    """Additional form fields of each token call, with the last word; a sequence repeats its field, None drops it."""
    client_auth: ClientAuthentication | None
    """How the client proves itself: `ClientSecretBasic()`, the default with a secret, `ClientSecretPost()`,
    `ClientSecretJwt()`, `PrivateKeyJwt(…)`, `ClientAssertion(…)` or `PublicClient()`, the default without."""
    dpop: bool | DPoPKey | None
    """True binds tokens to a key that is made when it's first needed and kept with them (RFC 9449), so that they are
    worth nothing to a thief; a `DPoPKey` binds them to that one."""
    client_certificate: ClientCertificate | None
    """A `ClientCertificate`, which each call to the server shows (RFC 8705): it proves the client where there's neither
    a secret nor `client_auth`, and the server may bind tokens to it."""
    authorization_details: Iterable[Mapping[str, Any]] | None
    """What the token is to allow, a list of mappings with a `type` each (RFC 9396)."""
    token_request_hook: Callable[[TokenRequest], TokenRequest] | None
    """Called with each attempt of a token call before it's sent; returns what to send instead. It must be pure."""
    token_response_hook: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None
    """Called with the fields of each answer of the token endpoint; returns them as RFC 6749 has them. It must be
    pure."""
    token_client: HTTPClient | None
    """A sync client of the same HTTP library that sends the token calls, for proxies and certificates; it stays
    yours to close. For aiohttp: a function that makes a `ClientSession`."""
    revocation_url: str | None
    """Where tokens are ended (RFC 7009); if it's None and the metadata has none, `revoke` only forgets."""
    introspection_url: str | None
    """Where the server tells about tokens (RFC 7662), for `introspect`."""


class EndpointOptions(ServerOptions[HTTPClient], ReachOptions, total=False):
    """Those of classes with a token endpoint."""

    resource: str | Iterable[str] | None
    """The absolute URI of the API that the token is for, or several (RFC 8707)."""


class EndpointParameters(EndpointOptions[HTTPClient], total=False):
    """All that an object with a token endpoint is made of; `from_env` reads what isn't given."""

    issuer: str | None
    """The URL that the server's metadata names, to the letter."""
    token_url: str | None
    """The URL of the token endpoint."""
    client_id: str | None
    """The id that the authorization server issued for your client."""
    client_secret: str | None
    """Its secret; None for a public client."""


class OfflineOptions(TypedDict, total=False):
    """Those of classes whose users log in."""

    offline_access: bool | None
    """Ask for a refresh token by the scope `offline_access` and `prompt=consent` (OpenID Core 11): None does where a
    scope is given and the metadata lists it, True always, False never."""


class LoginOptions(OfflineOptions, total=False):
    """Those of classes whose users are sent to the server."""

    authorization_parameters: AuthorizationParameters | None
    """Additional parameters of the authorization request, such as `{"prompt": "login"}`; a sequence repeats its
    parameter, None drops it."""


# -- Each class with its own ----------------------------------------------------------------------------------------


class ClientCredentialsParameters(EndpointParameters[HTTPClient], total=False):
    """All that a `ClientCredentialsAuth` is made of."""


class AuthorizationCodeOptions(LoginOptions, EndpointOptions[HTTPClient], total=False):
    """Those of `AuthorizationCodeAuth`."""

    code: str | None
    """An authorization code; it's exchanged once, and wins over a stored token."""
    redirect_uri: str | None
    """Where the server redirects the user to: the one that the code was asked for with, or the one for `login`."""
    code_verifier: str | None
    """PKCE's secret, which the code was asked for with (RFC 7636)."""
    authorization_url: str | None
    """The URL of the authorization endpoint, where users log in; an issuer's metadata has it."""
    login: Callable[[LoginContext], str] | None
    """Has the user log in when no refresh token lives, such as `BrowserLogin()`; without it that's a
    `ReauthorizationRequired`."""
    par: bool | None
    """Whether the authorization request is pushed to the server, so that nobody can read or change it (RFC 9126): True
    pushes, None does where the metadata requires it, or the next option is given; False never."""
    pushed_authorization_request_url: str | None
    """The URL that requests are pushed to; an issuer's metadata has it."""
    request_object: RequestObject | None
    """A `RequestObject`, which signs the authorization request (RFC 9101)."""
    step_up: bool
    """Have the user log in again where an API asks for a stronger or a fresher login (RFC 9470)."""


class AuthorizationCodeParameters(AuthorizationCodeOptions[HTTPClient], EndpointParameters[HTTPClient], total=False):
    """All that an `AuthorizationCodeAuth` is made of."""


class DeviceCodeOptions(OfflineOptions, EndpointOptions[HTTPClient], total=False):
    """Those of `DeviceCodeAuth`."""

    device_authorization_url: str | None
    """The URL of the device authorization endpoint; an issuer's metadata has it."""
    show: Show | None
    """Called with the keyword arguments `user_code`, `verification_uri`, `verification_uri_complete` (or None) and
    `expires_in`, in seconds; by default they're printed to stderr."""


class DeviceCodeParameters(DeviceCodeOptions[HTTPClient], EndpointParameters[HTTPClient], total=False):
    """All that a `DeviceCodeAuth` is made of."""


class PasswordParameters(EndpointParameters[HTTPClient], total=False):
    """All that a `PasswordAuth` is made of."""

    username: str | None
    """The user's name."""
    password: str | None
    """The user's password."""


class RefreshTokenParameters(EndpointParameters[HTTPClient], total=False):
    """All that a `RefreshTokenAuth` is made of."""

    refresh_token: str | None
    """A refresh token that came from elsewhere."""


class TokenExchangeOptions(EndpointOptions[HTTPClient], total=False):
    """Those of `TokenExchangeAuth`."""

    subject_token_type: str
    """The subject's type (RFC 8693 section 3)."""
    actor_token: str | Path | Callable[[], str] | AuthObject | None
    """Who acts for them, given like the subject; None for nobody else than the client."""
    actor_token_type: str
    """The actor's type."""
    requested_token_type: str | None
    """The type of the token that's wanted; None leaves it to the server."""


class TokenExchangeParameters(TokenExchangeOptions[HTTPClient], EndpointParameters[HTTPClient], total=False):
    """All that a `TokenExchangeAuth` is made of."""

    subject_token: Required[str | Path | Callable[[], str] | AuthObject]
    """For whom the token is to be: text, the `Path` of a file, a function, or another auth object: its live token is
    used, and stays its own."""


class JwtBearerParameters(EndpointParameters[HTTPClient], total=False):
    """All that a `JwtBearerAuth` is made of."""

    assertion: Required[JwtAssertion | str | Path | Callable[[], str]]
    """A `JwtAssertion`, which makes one for each attempt; or one that others make: the `Path` of a file, a function, or
    text, which soon expires."""


class ResourceAuthOptions(LoginOptions, ServerOptions[HTTPClient], total=False):
    """Those of `ResourceAuth`."""

    login: Callable[[LoginContext], str] | DeviceLogin | None
    """How the user logs in: `BrowserLogin()`, `ConsoleLogin(uri)`, `DeviceLogin()`, or a function; without it the
    client gets a token of its own, if it has a secret, or there's one in the store, else that's a
    `ReauthorizationRequired`."""
    issuer: str | None
    """The only authorization server that will do; also where the resource itself names none."""
    client_id: str | None
    """The id of a client that was registered by hand; without it, one is registered where needed."""
    client_secret: str | None
    """Its secret, which needs `issuer`: else any API could name a server and be sent it."""
    client_metadata_url: str | None
    """The https URL of this program's metadata document, which is its client id where the server takes such. Not with
    `client_id`."""
    client_metadata: Mapping[str, Any] | None
    """Fields for dynamic registration (RFC 7591 section 2), such as `{"client_name": "My tool"}`; they override ours,
    None drops one."""
    redirect_uri: str | None
    """Where the server redirects the user to, for a login that needs to be told."""


class ResourceParameters(ResourceAuthOptions[HTTPClient], total=False):
    """All that a `ResourceAuth` is made of."""

    resource: str | None
    """The URL of the protected resource: the one that is called, or one above it."""


class ProviderOptions(RenewalOptions, ReachOptions, total=False):
    """Those of `TokenProviderAuth`."""


class ProviderParameters(ProviderOptions, total=False):
    """All that a `TokenProviderAuth` is made of."""

    provider: Callable[[OAuthToken | None], OAuthToken]
    """A function from the last token, or None, to the next. It's called in a thread of its own, may raise, and may
    block for `token_timeout` seconds."""


class BearerOptions(RequestOptions, ReachOptions, total=False):
    """Those of `BearerAuth`."""


class BearerParameters(BearerOptions, total=False):
    """All that a `BearerAuth` is made of."""

    token: str | OAuthToken
    """The token, as text or as an `OAuthToken`."""
