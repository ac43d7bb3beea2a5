"""The authorization server: Authlib's, with tokens kept in memory.

Authlib checks each request and builds each answer; here and in the modules beside is what it leaves to its users: the
client, what was issued, and what ends which tokens.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any

from authlib.integrations.flask_oauth2 import (
    AuthorizationServer as FlaskAuthorizationServer,
)
from authlib.oauth2.rfc6749 import (
    InvalidClientError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Request,
    UnauthorizedClientError,
    UnsupportedResponseTypeError,
)
from authlib.oauth2.rfc9207 import IssuerParameter

from ._assertions import Assertions
from ._client import (
    Client,
    authenticate_basic,
    authenticate_public,
    authenticate_tls,
    called_url,
    check_one_method,
    shown_certificate,
    usable_methods,
)
from ._clock import unix_time
from ._delegation import JwtBearerGrant, TokenExchangeGrant
from ._device import DeviceAuthorizationEndpoint, DeviceCode, DeviceCodeGrant
from ._grants import AuthorizationCodeGrant, ClientCredentialsGrant, PasswordGrant, RefreshTokenGrant, S256Challenge
from ._issued import AccessToken, Binding, Code, Family, RefreshToken, in_seconds
from ._jwts import Once
from ._login import Login, log_in
from ._proofs import ProofError, Proofs
from ._pushed import ENDPOINT, AuthorizationRequests
from ._registration import RegisteredClient, RegistrationEndpoint
from ._terms import Terms, read_terms
from ._token_endpoints import IntrospectionEndpoint, RevocationEndpoint

if TYPE_CHECKING:
    from ._provider import LocalProvider

__all__ = ["AuthorizationServer"]


class AuthorizationServer(FlaskAuthorizationServer):  # type: ignore[misc]
    """Issues, refreshes, checks and revokes the tokens of one `LocalProvider`."""

    def __init__(self, provider: LocalProvider) -> None:
        super().__init__()
        self.provider = provider
        self._last_login: Login | None = None
        self.codes: dict[str, Code] = {}
        self.device_codes: dict[str, DeviceCode] = {}
        self.user_grants: dict[str, tuple[str, bool]] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}
        # Authlib looks a code or refresh token up in one step and spends it in another. The lock is held over both, so
        # that of two requests with the same one only the first succeeds.
        self.lock = threading.RLock()
        self.proofs_seen = Once()
        self.proofs = Proofs(provider, self.unix_time, self.proofs_seen)
        self.assertions = Assertions(provider, self.unix_time)
        self.requests = AuthorizationRequests(provider, self)
        self.client = Client(provider)
        self.clients: dict[str, RegisteredClient] = {}
        self.registration = RegistrationEndpoint(self)
        self.register_client_auth_method("client_secret_basic", authenticate_basic)
        self.register_client_auth_method("private_key_jwt", self.assertions.authenticate_private_key_jwt)
        self.register_client_auth_method("client_secret_jwt", self.assertions.authenticate_client_secret_jwt)
        self.register_client_auth_method("tls_client_auth", authenticate_tls)
        self.register_client_auth_method("none", authenticate_public)
        self.register_token_generator("default", self._generate_token)
        self.register_grant(ClientCredentialsGrant)
        self.register_grant(PasswordGrant)
        self.register_grant(AuthorizationCodeGrant, [S256Challenge(required=True)])
        self.register_grant(DeviceCodeGrant)
        self.register_grant(RefreshTokenGrant)
        self.register_grant(TokenExchangeGrant)
        self.register_grant(JwtBearerGrant)
        for endpoint in (DeviceAuthorizationEndpoint, RevocationEndpoint, IntrospectionEndpoint):
            self.register_endpoint(endpoint)
        self.register_endpoint(self.registration)
        self.register_extension(_Issuer(provider))

    def now(self) -> float:
        """Return the time by which what was issued expires, in seconds of a clock that's never set."""
        return self.provider._now()

    def unix_time(self) -> float:
        """Return the Unix time of the provider's clock."""
        return unix_time() + self.provider.clock_offset

    def create_oauth2_request(self, request: Any) -> Any:
        """Return the request that Flask has; its grant may set the family that its tokens will be of."""
        if isinstance(request, OAuth2Request):
            return request
        made = super().create_oauth2_request(request)
        made.binding = Binding()
        made.family = None
        return made

    def get_authorization_grant(self, request: Any) -> Any:
        """Return the grant; a request without a response type is invalid (RFC 6749 section 4.1.2.1)."""
        try:
            return super().get_authorization_grant(request)
        except UnsupportedResponseTypeError as error:
            if request.payload.response_type:
                raise
            raise InvalidRequestError("Missing 'response_type' in request.", redirect_uri=error.redirect_uri) from None

    def get_token_grant(self, request: Any) -> Any:
        """Return the grant; a request without a grant type is invalid (RFC 6749 section 5.2)."""
        if not request.payload.grant_type:
            raise InvalidRequestError("Missing 'grant_type' in request.")
        return super().get_token_grant(request)

    def query_client(self, client_id: str) -> Client | None:
        """Return the client that has this id: the provider's own, or one that's registered."""
        if client_id == self.provider.client_id:
            return self.client
        return self.clients.get(client_id) or self.registration.client_of_document(client_id or "")

    def authenticate_client(self, request: Any, methods: Any, endpoint: str = "token") -> Any:
        """Authenticate the client, by one method; where it asks for tokens, read what they'll be bound to."""
        check_one_method(request)
        certificate = shown_certificate()
        if certificate is not None and not self.provider._is_live(certificate):
            raise InvalidClientError(description="The certificate was revoked.", status_code=401)
        client = super().authenticate_client(request, usable_methods(methods, self.provider), endpoint)
        if request.form.get("client_id") not in {None, "", client.get_client_id()}:
            raise InvalidClientError(description="The 'client_id' in the form is another client's.", status_code=401)
        if endpoint == "token" and not client.check_grant_type(request.payload.grant_type):
            raise UnauthorizedClientError("The client isn't registered for this grant type.")
        if endpoint in {"token", DeviceAuthorizationEndpoint.ENDPOINT_NAME}:
            self.check_scope(client, request.payload.scope)
        if endpoint in {"token", ENDPOINT}:
            self.bind(request, required=endpoint == "token" and self.provider.require_dpop)
        return client

    def check_scope(self, client: Client, scope: str | None) -> None:
        """Raise `InvalidScopeError` for a scope that isn't known here, or that the client isn't registered for."""
        known = self.provider.scopes_supported
        if known is not None and not {*(scope or "").split()} <= {*known}:
            raise InvalidScopeError("There is no such scope.")
        if client.get_allowed_scope(scope) is None:
            raise InvalidScopeError("The client isn't registered for this scope.")

    def bind(self, request: Any, *, required: bool) -> None:
        """Read the request's proof, or else its certificate, into `request.binding`. Raises `ProofError`."""
        proof = request.headers.get("DPoP")
        if proof is None:
            if required:
                raise ProofError("A proof is required.")
            request.binding = Binding(x5t=shown_certificate())
            return
        request.binding = Binding(jkt=self.proofs.check(proof, request.method, called_url()))

    def save_token(self, token: dict[str, Any], request: Any) -> None:
        """Keep an issued token, in the family of the code or refresh token that it was issued for."""
        scope, lifetime, issued_at = token.get("scope", ""), token.get("expires_in"), self.unix_time()
        origin = request.authorization_code or request.refresh_token
        asked = self.terms_of(request)
        family = request.family or (origin and origin.family) or self._new_family(request, scope, asked)
        terms = family.terms.narrowed(asked)
        if not request.refresh_token:
            family.public = request.auth_method == "none"
            family.jkt = request.binding.jkt if family.public else None
        if request.binding.jkt is not None:
            token["token_type"] = "DPoP"
        if terms.details:
            token["authorization_details"] = terms.details
        self.access_tokens[token["access_token"]] = AccessToken(
            family=family,
            scope=scope,
            now=self.now,
            expires_at=float("inf") if lifetime is None else self.now() + lifetime,
            iat=int(issued_at),
            exp=None if lifetime is None else int(issued_at + lifetime),
            binding=request.binding,
            terms=terms,
        )
        if "refresh_token" in token:
            self.refresh_tokens[token["refresh_token"]] = RefreshToken(family)

    def _new_family(self, request: Any, scope: str, terms: Terms) -> Family:
        """Return the family of a token request that is its user's login itself, or no user's at all."""
        login = Login(self.unix_time()) if request.user else None
        return Family(user=request.user, scope=scope, client=request.client, terms=terms, login=login)

    def log_in(self, payload: Any) -> Login:
        """Return the login that an authorization request gets, for which its user may have to log in again."""
        self._last_login = log_in(payload, self._last_login, self.unix_time())
        return self._last_login

    def terms_of(self, request: Any) -> Terms:
        """Return what a request asks for beyond its scope. Raises `OAuth2Error`."""
        return read_terms(request.payload, self.provider.authorization_details_types)

    def find_token(self, text: str) -> AccessToken | RefreshToken | None:
        """Return the token that was issued as this text, or None."""
        return self.access_tokens.get(text) or self.refresh_tokens.get(text)

    def decide(self, user_code: str, *, approved: bool) -> None:
        """Keep what the user says to the device that shows this code. Raises `LookupError` if none waits."""
        with self.lock:
            for device in self.device_codes.values():
                waits = device.user_code not in self.user_grants and not device.is_expired()
                if waits and device.is_typed_as(user_code):
                    self.user_grants[device.user_code] = self.provider.username, approved
                    return
        raise LookupError("No device waits with this user code: it is unknown, has expired, or was answered before.")

    def _generate_token(
        self, *, scope: str | None = None, include_refresh_token: bool = True, **_: object
    ) -> dict[str, Any]:
        token = _TokenAnswer(access_token=secrets.token_urlsafe(32), token_type="Bearer")
        lifetime = self.provider.token_lifetime
        if lifetime is not None:
            token["expires_in"] = in_seconds(lifetime)
        if include_refresh_token:
            token["refresh_token"] = secrets.token_urlsafe(32)
        if scope:
            token["scope"] = scope
        return token


class _TokenAnswer(dict[str, Any]):
    """A token answer whose `repr` holds no token: Authlib logs each answer at level debug."""

    def __repr__(self) -> str:
        return f"<token answer with {', '.join(self)}>"


class _Issuer(IssuerParameter):  # type: ignore[misc]
    """Adds the issuer to authorization responses (RFC 9207)."""

    def __init__(self, provider: LocalProvider) -> None:
        self._provider = provider

    def get_issuer(self) -> str:
        return self._provider.issuer
