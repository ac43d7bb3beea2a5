"""The authorization server: Authlib's grants, over tokens kept in memory.

Authlib checks each request and builds each answer; here is what it leaves to its users: the client, what was issued,
and what ends which tokens. Tokens that come from one login, or from one call of the client-credentials grant, are a
*family*: a refresh token or code that is used twice was stolen, so its whole family ends (RFC 9700 section 4.14.2,
RFC 6749 section 4.1.2).
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from authlib.integrations.flask_oauth2 import (
    AuthorizationServer as FlaskAuthorizationServer,
)
from authlib.oauth2 import OAuth2Error, ResourceProtector
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    ClientMixin,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    MissingAuthorizationError,
    TokenMixin,
    UnsupportedTokenTypeError,
    grants,
)
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter

if TYPE_CHECKING:
    from ._provider import LocalProvider
    from ._received import ReceivedRequest

_REALM = "LocalProvider"
_CODE_LIFETIME = 60.0
_CONFIDENTIAL = ("client_secret_basic", "client_secret_post")
CLIENT_AUTH_METHODS = (*_CONFIDENTIAL, "none")


class AuthorizationServer(FlaskAuthorizationServer):  # type: ignore[misc]
    """Issues, refreshes, checks and revokes the tokens of one `LocalProvider`."""

    def __init__(self, provider: LocalProvider) -> None:
        super().__init__()
        self.provider = provider
        self.codes: dict[str, _Code] = {}
        self.access_tokens: dict[str, _Token] = {}
        self.refresh_tokens: dict[str, _Token] = {}
        # Authlib looks a code or refresh token up in one step and spends it in another. The lock is held over both, so
        # that of two requests with the same one only the first succeeds.
        self.lock = threading.RLock()
        self._client = _Client(provider)
        self._protector = ResourceProtector()
        self._protector.register_token_validator(_TokenValidator(self.access_tokens))
        self.register_client_auth_method("none", _authenticate_public_client)
        self.register_token_generator("default", self._generate_token)
        self.register_grant(_ClientCredentialsGrant)
        self.register_grant(_PasswordGrant)
        self.register_grant(_AuthorizationCodeGrant, [_S256Challenge(required=True)])
        self.register_grant(_RefreshTokenGrant)
        self.register_endpoint(_RevocationEndpoint)
        self.register_extension(_Issuer(provider))

    def challenge(self, request: ReceivedRequest) -> tuple[int, dict[str, str], list[Any]] | None:
        """Return the refusal of an API request, or None if its access token is valid.

        A refusal is a status, JSON fields and header fields, the challenge of RFC 6750 section 3 among them.
        """
        try:
            self._protector.validate_request(None, request)
        except (MissingAuthorizationError, UnsupportedTokenTypeError):
            # A request without a token is answered without an error code (RFC 6750 section 3.1).
            return 401, {}, [("WWW-Authenticate", f'Bearer realm="{_REALM}"')]
        except OAuth2Error as error:
            status, fields, headers = error()
            return status, fields, [field for field in headers if field[0] != "Content-Type"]
        return None

    def query_client(self, client_id: str) -> _Client | None:
        """Return the provider's one client if the id is its."""
        return self._client if client_id == self.provider.client_id else None

    def authenticate_client(self, request: Any, methods: Any, endpoint: str = "token") -> Any:
        """Authenticate the client; Basic credentials that aren't UTF-8 are answered with 401."""
        try:
            return super().authenticate_client(request, methods, endpoint)
        except UnicodeDecodeError:
            raise InvalidClientError(status_code=401) from None

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        """Keep an issued token, in the family of the code or refresh token that it was issued for."""
        origin = request.authorization_code or request.refresh_token
        issued = _Token(
            family=origin.family if origin else _Family(public=request.auth_method == "none"),
            user=request.user,
            scope=token.get("scope", ""),
            access_token=token["access_token"],
            refresh_token=token.get("refresh_token"),
            now=self.provider._now,
            expires_at=self.provider._now() + float(token.get("expires_in", "inf")),
        )
        self.access_tokens[issued.access_token] = issued
        if issued.refresh_token:
            self.refresh_tokens[issued.refresh_token] = issued

    def _generate_token(
        self, *, scope: str | None = None, include_refresh_token: bool = True, **_: object
    ) -> dict[str, Any]:
        token = _TokenAnswer(access_token=secrets.token_urlsafe(32), token_type="Bearer")
        lifetime = self.provider.token_lifetime
        if lifetime is not None:
            token["expires_in"] = int(lifetime) if float(lifetime).is_integer() else lifetime
        if include_refresh_token:
            token["refresh_token"] = secrets.token_urlsafe(32)
        if scope:
            token["scope"] = scope
        return token


class _TokenAnswer(dict[str, Any]):
    """A token answer whose `repr` holds no token: Authlib logs each answer at level debug."""

    def __repr__(self) -> str:
        return f"<token answer with {', '.join(self)}>"


@dataclass(slots=True, eq=False)
class _Family:
    """All tokens that come from one authorization; `public` says that the client had no secret."""

    public: bool
    ended: bool = False


@dataclass(slots=True, eq=False, repr=False)
class _Token(TokenMixin):  # type: ignore[misc]
    family: _Family
    user: str | None
    scope: str
    access_token: str
    refresh_token: str | None
    now: Callable[[], float]
    expires_at: float
    revoked: bool = False
    spent: bool = False

    def check_client(self, client: _Client) -> bool:
        return True

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return self.now() >= self.expires_at

    def is_revoked(self) -> bool:
        return self.revoked or self.family.ended


@dataclass(slots=True, eq=False, repr=False)
class _Code(AuthorizationCodeMixin):  # type: ignore[misc]
    family: _Family
    user: str
    scope: str
    redirect_uri: str
    code_challenge: str | None
    code_challenge_method: str | None
    expires_at: float
    spent: bool = False

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope


class _Client(ClientMixin):  # type: ignore[misc]
    """The provider's client: confidential, and public as well for a code with PKCE."""

    def __init__(self, provider: LocalProvider) -> None:
        self._provider = provider

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Allow any plain http URI on loopback (RFC 8252 section 7.3)."""
        try:
            parts = urlsplit(redirect_uri)
            host = parts.hostname or ""
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False
        return parts.scheme == "http" and loopback

    def check_client_secret(self, client_secret: str) -> bool:
        return _same(client_secret, self._provider.client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return True

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _authenticate_public_client(query_client: Callable[[str], Any], request: Any) -> Any:
    """Return the client by its id alone, if the request has no secret: a wrong one must be refused."""
    if request.headers.get("Authorization") or request.payload.data.get("client_secret"):
        return None
    return query_client(request.payload.client_id)


class _ClientCredentialsGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = _CONFIDENTIAL


class _PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = _CONFIDENTIAL

    def authenticate_user(self, username: str, password: str) -> str:
        provider = self.server.provider
        if _same(username, provider.username) and _same(password, provider.password):
            return username
        # Authlib would answer invalid_request; RFC 6749 section 5.2 demands this.
        raise InvalidGrantError("Wrong username or password.")


class _AuthorizationCodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def save_authorization_code(self, code: str, request: Any) -> None:
        self.server.codes[code] = _Code(
            family=_Family(public=False),
            user=request.user,
            scope=request.payload.scope or "",
            redirect_uri=request.payload.redirect_uri,
            code_challenge=request.payload.data.get("code_challenge"),
            code_challenge_method=request.payload.data.get("code_challenge_method"),
            expires_at=self.server.provider._now() + _CODE_LIFETIME,
        )

    def query_authorization_code(self, code: str, client: _Client) -> _Code | None:
        issued: _Code | None = self.server.codes.get(code)
        if issued is None or self.server.provider._now() >= issued.expires_at:
            return None
        if issued.spent:
            issued.family.ended = True
            return None
        return issued

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        authorization_code.spent = True
        authorization_code.family.public = self.request.auth_method == "none"

    def authenticate_user(self, authorization_code: _Code) -> str:
        return authorization_code.user


class _S256Challenge(CodeChallenge):  # type: ignore[misc]
    """PKCE without the method `plain`, which is also what a missing method means."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if data.get("code_challenge") and not data.get("code_challenge_method"):
            raise InvalidRequestError("Unsupported 'code_challenge_method'")
        super().validate_code_challenge(grant, redirect_uri)


class _RefreshTokenGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def __init__(self, request: Any, server: AuthorizationServer) -> None:
        super().__init__(request, server)
        self.INCLUDE_NEW_REFRESH_TOKEN = server.provider.rotate_refresh_tokens

    def authenticate_refresh_token(self, refresh_token: str) -> _Token | None:
        token: _Token | None = self.server.refresh_tokens.get(refresh_token)
        if token is None or (self.request.auth_method == "none" and not token.family.public):
            return None
        if token.spent:
            token.family.ended = True
        return None if token.family.ended else token

    def authenticate_user(self, refresh_token: _Token) -> str | None:
        return refresh_token.user

    def revoke_old_credential(self, refresh_token: _Token) -> None:
        refresh_token.spent = self.INCLUDE_NEW_REFRESH_TOKEN


class _RevocationEndpoint(RevocationEndpoint):  # type: ignore[misc]
    """Ends an access token alone, or with a refresh token its whole family (RFC 7009 section 2.1)."""

    CLIENT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def query_token(self, token_string: str, token_type_hint: str | None) -> _Token | None:
        server = self.server
        token: _Token | None = server.access_tokens.get(token_string)
        return token or server.refresh_tokens.get(token_string)

    def revoke_token(self, token: _Token, request: Any) -> None:
        if request.form["token"] == token.refresh_token:
            token.family.ended = True
        else:
            token.revoked = True


class _Issuer(IssuerParameter):  # type: ignore[misc]
    """Adds the issuer to authorization responses (RFC 9207)."""

    def __init__(self, provider: LocalProvider) -> None:
        self._provider = provider

    def get_issuer(self) -> str:
        return self._provider.issuer


class _TokenValidator(BearerTokenValidator):  # type: ignore[misc]
    def __init__(self, access_tokens: dict[str, _Token]) -> None:
        super().__init__(realm=_REALM)
        self._access_tokens = access_tokens

    def authenticate_token(self, token_string: str) -> _Token | None:
        return self._access_tokens.get(token_string)
