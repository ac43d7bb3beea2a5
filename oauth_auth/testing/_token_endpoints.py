"""The endpoints for tokens that exist: revocation (RFC 7009) and introspection (RFC 7662)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint as AuthlibRevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint as AuthlibIntrospectionEndpoint

from ._client import CLIENT_AUTH_METHODS, CONFIDENTIAL, Client
from ._issued import AccessToken, RefreshToken
from ._terms import audience_of

__all__ = ["IntrospectionEndpoint", "RevocationEndpoint"]


class _OfAnyToken:
    """Finds a token whatever its hint says; Authlib refuses hints other than the two that RFC 7009 names."""

    server: Any

    def check_params(self, request: Any, client: Client) -> None:
        if not request.form.get("token"):
            raise InvalidRequestError("Missing 'token' in request.")

    def query_token(self, token_string: str, token_type_hint: str | None) -> AccessToken | RefreshToken | None:
        return self.server.find_token(token_string)  # type: ignore[no-any-return]


class RevocationEndpoint(_OfAnyToken, AuthlibRevocationEndpoint):  # type: ignore[misc]
    """Ends an access token alone, or with a refresh token its whole family (RFC 7009 section 2.1)."""

    CLIENT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def revoke_token(self, token: AccessToken | RefreshToken, request: Any) -> None:
        token.revoke()


class IntrospectionEndpoint(_OfAnyToken, AuthlibIntrospectionEndpoint):  # type: ignore[misc]
    """Tells whether a token is active, and what it's good for, to who has the client's secret."""

    CLIENT_AUTH_METHODS = CONFIDENTIAL

    def check_permission(self, token: AccessToken | RefreshToken, client: Client, request: Any) -> bool:
        return True

    def introspect_token(self, token: AccessToken | RefreshToken) -> dict[str, Any]:
        """Return the fields of RFC 7662 section 2.2 that are known."""
        provider = self.server.provider
        fields = {
            "active": True,
            "iss": provider.issuer,
            "client_id": token.family.client.get_client_id(),
            "scope": token.get_scope() or None,
            "username": token.family.user,
            "sub": token.family.user,
        }
        if isinstance(token, AccessToken):
            fields |= {
                "token_type": "Bearer" if token.binding.jkt is None else "DPoP",
                "iat": token.iat,
                "exp": token.exp,
                "cnf": token.binding.confirmation(),
                "aud": audience_of(token.terms),
                "authorization_details": token.terms.details or None,
                "act": token.family.actor and {"sub": token.family.actor},
            }
            if login := token.family.login:
                fields |= {"acr": login.acr, "auth_time": int(login.at)}
        return {name: value for name, value in fields.items() if value is not None}
