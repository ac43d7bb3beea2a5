"""Dynamic client registration (RFC 7591): what is sent, and what an answer says. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeGuard
from urllib.parse import urlsplit

from .._record import Record
from ..errors import RegistrationError
from .challenges import is_within
from .client_auth import ClientAuthentication, ClientSecretBasic, ClientSecretPost, PublicClient
from .messages import TokenResponse, read_fields
from .token import OAuthToken
from .token_request import REQUEST_HEADERS, TokenRequest
from .urls import is_plain_loopback, without_query

__all__ = ["Registration", "build_registration", "choose_method", "client_metadata_for", "read_registration_response"]

_METHODS: dict[str, type[Any]] = {
    "none": PublicClient,
    "client_secret_basic": ClientSecretBasic,
    "client_secret_post": ClientSecretPost,
}
_DEFAULT_METHOD = "client_secret_basic"
"""That of clients which name none (RFC 7591 section 2), and of servers which list none (RFC 8414 section 2)."""
_TOKEN_TYPE = "client_registration"
_LONGEST = 16 * 1024
"""The longest client id and secret that are taken, in characters: some servers put all that they know into them."""
_NEVER = 1e11
"""A time so late that a secret which ends then might as well not end, in Unix time."""
_CLIENT_NAME = "oauth_auth"
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class Registration(Record):
    """A client that was registered dynamically, as far as it's needed to use it. Its repr shows no secret."""

    issuer: str
    client_id: str
    client_secret: str | None
    method: str
    """How it authenticates, as RFC 7591 names it."""
    redirect_uri: str | None
    scope: str | None = None
    """The scope that it was registered with: no more may be asked for. None if none was told."""
    expires_at: float | None = None
    """When the secret expires, in Unix time."""

    @property
    def client_auth(self) -> ClientAuthentication:
        """The method of client authentication."""
        method: ClientAuthentication = _METHODS[self.method]()
        return method

    def serves(self, scope: str | None, now: float) -> bool:
        """Return whether it can still be used, to ask for this scope."""
        is_expired = self.expires_at is not None and self.expires_at <= now
        return not is_expired and (self.scope is None or is_within(scope, self.scope))

    def to_token(self) -> OAuthToken:
        """Return it in the shape in which stores keep it: the secret is where they encrypt, or guard, tokens."""
        fields = {name: getattr(self, name) for name in ("issuer", "method", "redirect_uri", "scope", "expires_at")}
        return OAuthToken(
            access_token=self.client_id,
            token_type=_TOKEN_TYPE,
            refresh_token=self.client_secret,
            extra={name: value for name, value in fields.items() if value is not None},
        )

    @classmethod
    def from_token(cls, token: OAuthToken | None) -> Self | None:
        """Return what a store has kept; None if it's no registration, or damaged."""
        if token is None or token.token_type != _TOKEN_TYPE:
            return None
        extra, method = token.extra, token.extra.get("method")
        issuer, expires_at = extra.get("issuer"), extra.get("expires_at")
        redirect_uri, scope = extra.get("redirect_uri"), extra.get("scope")
        if not isinstance(issuer, str) or not isinstance(method, str) or method not in _METHODS:
            return None
        if method != "none" and token.refresh_token is None:
            return None
        if not all(text is None or isinstance(text, str) for text in (redirect_uri, scope)):
            return None
        expires_at = expires_at if isinstance(expires_at, int | float) else None
        return cls(issuer, token.access_token, token.refresh_token, method, redirect_uri, scope, expires_at)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(issuer={self.issuer!r}, client_id={self.client_id!r}, …)"


def choose_method(supported: object, wanted: ClientAuthentication | None) -> str:
    """Return the method to ask for: that of the user's, else the first that the server knows; public, Basic, post."""
    for name, method in _METHODS.items():
        if isinstance(wanted, method):
            return name
    listed = supported if isinstance(supported, list) else [_DEFAULT_METHOD]
    return next((name for name in _METHODS if name in listed), _DEFAULT_METHOD)


def client_metadata_for(
    redirect_uri: str | None, scope: str | None, method: str, own: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the metadata of a client (RFC 7591 section 2) that redirects here, or without a URI logs in by device.

    `own` are the user's fields, which override ours; None drops one.
    """
    is_device = redirect_uri is None
    metadata: dict[str, Any] = {
        "client_name": _CLIENT_NAME,
        "redirect_uris": None if is_device else [redirect_uri],
        "grant_types": [_DEVICE_GRANT if is_device else "authorization_code", "refresh_token"],
        "response_types": [] if is_device else ["code"],
        "token_endpoint_auth_method": method,
        "application_type": "native" if is_device or _is_native(str(redirect_uri)) else "web",
        "scope": scope,
        **own,
    }
    return {name: value for name, value in metadata.items() if value is not None}


def _is_native(redirect_uri: str) -> bool:
    """Return whether only a program on the user's machine is redirected to: on loopback, or by a scheme of its own."""
    return is_plain_loopback(redirect_uri) or urlsplit(redirect_uri).scheme not in {"http", "https"}


def build_registration(url: str, metadata: Mapping[str, Any]) -> TokenRequest:
    """Build the request of a registration (RFC 7591 section 3.1)."""
    headers = {**REQUEST_HEADERS, "Content-Type": "application/json"}
    return TokenRequest(url=url, headers=headers, fields=dict(metadata))


def read_registration_response(
    request: TokenRequest, response: TokenResponse, issuer: str, redirect_uri: str | None
) -> Registration:
    """Read the answer to a registration (RFC 7591 section 3.2.1). Raises `TokenError`.

    What it says of the client wins over what was asked for. The redirect URIs in it aren't compared: servers write
    them in their own ways.
    """
    fields = read_fields(request, response, "registration endpoint")
    asked: Mapping[str, Sequence[str] | str] = request.fields
    client_id, secret = fields.get("client_id"), fields.get("client_secret")
    method = fields.get("token_endpoint_auth_method") or asked.get("token_endpoint_auth_method", _DEFAULT_METHOD)
    secret = secret if _is_text(secret) else None
    place = without_query(request.url)
    problem = None
    if not _is_text(client_id) or not client_id.isascii() or not client_id.isprintable():
        problem = "its answer has no usable client_id"
    elif not isinstance(method, str) or method not in _METHODS:
        problem = f"it wants the client to authenticate by {str(method)[:50]!r}"
    elif method != "none" and secret is None:
        problem = (
            f"it wants the client to authenticate by {method!r}, and its answer has no client_secret that can be sent"
        )
    if problem is not None:
        raise RegistrationError(
            f"the client registered at {place} can't be used: {problem}; pass client_id= of one registered by hand",
            status_code=response.status_code,
            registration_url=place,
        )
    scope, expires_at = fields.get("scope", asked.get("scope")), fields.get("client_secret_expires_at")
    is_number = isinstance(expires_at, int | float) and not isinstance(expires_at, bool) and 0 < expires_at < _NEVER
    return Registration(
        issuer,
        str(client_id),
        secret if method != "none" else None,
        str(method),
        redirect_uri,
        scope if isinstance(scope, str) and scope else None,
        float(expires_at) if is_number and secret is not None else None,  # type: ignore[arg-type]
    )


def _is_text(value: object) -> TypeGuard[str]:
    """Return whether this is text that can be sent, and isn't too long to be part of a URL or header."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST:
        return False
    return all(not "\ud800" <= character <= "\udfff" for character in value)
