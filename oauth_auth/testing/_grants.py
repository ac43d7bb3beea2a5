"""The grants that people and programs get tokens by: Authlib's, with what it leaves to its users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError, grants
from authlib.oauth2.rfc7636 import CodeChallenge

from ._client import CLIENT_AUTH_METHODS, CONFIDENTIAL, Client, same
from ._issued import Code, Family, RefreshToken
from ._login import max_age_of

if TYPE_CHECKING:
    from ._authorization import AuthorizationServer

__all__ = ["AuthorizationCodeGrant", "ClientCredentialsGrant", "PasswordGrant", "RefreshTokenGrant", "S256Challenge"]

_CODE_LIFETIME = 60.0


class ClientCredentialsGrant(grants.ClientCredentialsGrant):  # type: ignore[misc]
    """RFC 6749 section 4.4."""

    TOKEN_ENDPOINT_AUTH_METHODS = CONFIDENTIAL


class PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    """RFC 6749 section 4.3, for the provider's one user."""

    TOKEN_ENDPOINT_AUTH_METHODS = CONFIDENTIAL

    def authenticate_user(self, username: str, password: str) -> str:
        provider = self.server.provider
        if same(username, provider.username) and same(password, provider.password):
            return username
        # Authlib would answer invalid_request; RFC 6749 section 5.2 demands this.
        raise InvalidGrantError("Wrong username or password.")


class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """RFC 6749 section 4.1; a code is good once, and for a minute."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def validate_authorization_request(self) -> str:
        redirect_uri: str = super().validate_authorization_request()
        try:
            self.server.check_scope(self.request.client, self.request.payload.scope)
            self.server.terms_of(self.request)
            max_age_of(self.request.payload)
        except OAuth2Error as error:
            error.redirect_uri = redirect_uri
            raise
        return redirect_uri

    def save_authorization_code(self, code: str, request: Any) -> None:
        terms = self.server.terms_of(request)
        self.server.codes[code] = Code(
            family=Family(
                user=request.user,
                scope=request.payload.scope or "",
                client=request.client,
                terms=terms,
                login=self.server.log_in(request.payload),
            ),
            redirect_uri=request.payload.redirect_uri,
            code_challenge=request.payload.data.get("code_challenge"),
            code_challenge_method=request.payload.data.get("code_challenge_method"),
            expires_at=self.server.now() + _CODE_LIFETIME,
            jkt=request.payload.data.get("dpop_jkt"),
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        issued: Code | None = self.server.codes.get(code)
        if issued is None or not issued.family.is_of(client) or self.server.now() >= issued.expires_at:
            return None
        if issued.spent:
            issued.family.ended = True
            return None
        if issued.jkt not in {None, self.request.binding.jkt}:
            raise InvalidGrantError("The code is bound to another key.")
        return issued

    def delete_authorization_code(self, authorization_code: Code) -> None:
        authorization_code.spent = True

    def authenticate_user(self, authorization_code: Code) -> str | None:
        return authorization_code.family.user


class S256Challenge(CodeChallenge):  # type: ignore[misc]
    """PKCE without the method `plain`, which is also what a missing method means."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if data.get("code_challenge") and not data.get("code_challenge_method"):
            raise InvalidRequestError("Unsupported 'code_challenge_method'")
        super().validate_code_challenge(grant, redirect_uri)


class RefreshTokenGrant(grants.RefreshTokenGrant):  # type: ignore[misc]
    """RFC 6749 section 6, with or without rotation."""

    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def __init__(self, request: Any, server: AuthorizationServer) -> None:
        super().__init__(request, server)
        self.INCLUDE_NEW_REFRESH_TOKEN = server.provider.rotate_refresh_tokens

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken | None:
        token: RefreshToken | None = self.server.refresh_tokens.get(refresh_token)
        if token is None or (self.request.auth_method == "none" and not token.family.public):
            return None
        if token.spent:
            token.family.ended = True
        if token.family.ended:
            return None
        if token.family.jkt not in {None, self.request.binding.jkt}:
            raise InvalidGrantError("The refresh token is bound to another key.")
        return token

    def authenticate_user(self, refresh_token: RefreshToken) -> str | None:
        return refresh_token.family.user

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        refresh_token.spent = self.INCLUDE_NEW_REFRESH_TOKEN
