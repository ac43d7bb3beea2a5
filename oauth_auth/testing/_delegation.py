"""Tokens that are made of other people's statements: of tokens (RFC 8693), and of assertions (RFC 7523 section 2.1)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import BaseGrant, InvalidGrantError, InvalidRequestError, TokenEndpointMixin

from ._assertions import check_audience
from ._client import CLIENT_AUTH_METHODS, called_url
from ._issued import Family
from ._jwts import ASYMMETRIC, JwtError, check_times, keys_of, read_jwt

__all__ = ["JwtBearerGrant", "TokenExchangeGrant"]

_TYPE = "urn:ietf:params:oauth:token-type:"
_ACCESS_TOKEN = f"{_TYPE}access_token"
_FOREIGN = (f"{_TYPE}jwt", f"{_TYPE}id_token")
_Answer = tuple[int, dict[str, Any], Any]


class TokenExchangeGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """RFC 8693: a live access token, or one of the provider's `subject_tokens`, gives another access token."""

    GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def validate_token_request(self) -> None:
        self.request.client = self.authenticate_token_endpoint_client()
        form = self.request.form
        if form.get("requested_token_type", _ACCESS_TOKEN) != _ACCESS_TOKEN:
            raise InvalidRequestError("No tokens of the type in 'requested_token_type' are issued.")
        subject = self._party("subject_token")
        if form.get("actor_token") is not None:
            actor = self._party("actor_token")
            subject.actor = actor.user or actor.client.get_client_id()
        elif form.get("actor_token_type") is not None:
            raise InvalidRequestError("There is an 'actor_token_type' without an 'actor_token'.")
        subject.client = self.request.client
        subject.scope = self.request.payload.scope or subject.scope
        subject.terms = self.server.terms_of(self.request)
        self.request.family = subject

    def create_token_response(self) -> _Answer:
        token = self.generate_token(scope=self.request.family.scope, include_refresh_token=False)
        token["issued_token_type"] = _ACCESS_TOKEN
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER

    def _party(self, name: str) -> Family:
        """Return for whom a token in the request is. Raises `InvalidRequestError`, as section 2.2.2 says."""
        form = self.request.form
        text, kind = form.get(name), form.get(f"{name}_type")
        token = self.server.access_tokens.get(text) if kind == _ACCESS_TOKEN else None
        if token is not None and not token.is_expired() and not token.is_revoked():
            family = token.family
            return Family(user=family.user, scope=token.scope, client=family.client, login=family.login)
        if kind in _FOREIGN and text in self.server.provider.subject_tokens:
            return Family(user=self.server.provider.username, scope="", client=self.request.client)
        raise InvalidRequestError(f"The '{name}' is unknown as one of its type, has expired, or was revoked.")


class JwtBearerGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """RFC 7523 section 2.1: an assertion that's signed with the client's key gives an access token for its subject."""

    GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    TOKEN_ENDPOINT_AUTH_METHODS = CLIENT_AUTH_METHODS

    def validate_token_request(self) -> None:
        form = self.request.form
        shown = ("client_id", "client_secret", "client_assertion")
        if self.request.headers.get("Authorization") or any(name in form for name in shown):
            self.request.client = self.authenticate_token_endpoint_client()
        else:  # section 3.1: the client needn't authenticate
            self.request.client = self.server.client
            self.server.check_scope(self.request.client, self.request.payload.scope)
            self.server.bind(self.request, required=self.server.provider.require_dpop)
        if not form.get("assertion"):
            raise InvalidRequestError("Missing 'assertion' in request.")
        try:
            subject = self._subject(form["assertion"])
        except JwtError as error:
            raise InvalidGrantError(f"The assertion: {error}") from None
        scope, terms = self.request.payload.scope or "", self.server.terms_of(self.request)
        self.request.family = Family(user=subject, scope=scope, client=self.request.client, terms=terms)

    def create_token_response(self) -> _Answer:
        token = self.generate_token(scope=self.request.family.scope, include_refresh_token=False)
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER

    def _subject(self, assertion: str) -> str:
        """Return for whom an assertion is. Raises `JwtError`."""
        server = self.server
        claims = read_jwt(assertion, keys_of(server.provider.client_key), ASYMMETRIC)
        jti = claims.get("jti")
        if jti is not None and not server.assertions.seen.is_first(str(jti)):
            raise JwtError("It was used before.")
        for name in ("iss", "sub"):
            if not isinstance(claims.get(name), str) or not claims[name]:
                raise JwtError(f"It has no {name}.")
        check_audience(claims, server.provider, called_url())
        check_times(claims, server.unix_time())
        return str(claims["sub"])
