"""The endpoints for tokens that exist: revocation (RFC 7009) and introspection (RFC 7662)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint as AuthlibRevocationEndpoint

from ._client import CLIENT_AUTH_METHODS, Client
from ._issued import AccessToken, RefreshToken

__all__ = ["RevocationEndpoint"]


class RevocationEndpoint(AuthlibRevocationEndpoint):  # type: ignore[misc]
    """Ends an access token alone, or with a refresh token its whole family (RFC 7009 section 2.1)."""

    CLIENT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def check_params(self, request: Any, client: Client) -> None:
        """Raise `InvalidRequestError` without a token; any hint will do, where Authlib knows but two."""
        if not request.form.get("token"):
            raise InvalidRequestError("Missing 'token' in request.")

    def query_token(self, token_string: str, token_type_hint: str | None) -> AccessToken | RefreshToken | None:
        return self.server.find_token(token_string)  # type: ignore[no-any-return]

    def revoke_token(self, token: AccessToken | RefreshToken, request: Any) -> None:
        token.revoke()
