"""The grants: how each requests a token, refreshes it and revokes it, and which answers end a refresh token.

What happens after a refused refresh (`invalid_grant`, `invalid_scope`, …) is decided here. A grant makes no decision
about time, sharing or storing; it's used by one renewal at a time. Its calls of the server are steps, see `calls`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .._record import Record
from .._wire.client_auth import ClientAuthParameters
from .._wire.messages import read_introspection_response, read_revocation_response
from .._wire.token import OAuthToken, digest
from .._wire.token_request import FieldParameters, build_call
from ..errors import (
    OAuthProviderError,
    OAuthProviderException,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
    TokenTransportError,
)
from .calls import Steps, sends_async
from .client import Client, read_anew, refuses_client
from .endpoints import Endpoints
from .grant import Grant
from .operations import OAuthAuthorizationController

if TYPE_CHECKING:
    from .._keys.dpop import Binding, DPoPKey
    from .._wire.token_request import PerAttempt

__all__ = [
    "ClientCredentialsGrant",
    "DeadTokens",
    "PasswordGrant",
    "RefreshTokenGrant",
    "RefreshingGrant",
    "TokenCalls",
    "TokenEndpointGrant",
    "check_binding",
    "ends_refresh_token",
    "is_about_proof",
    "proof_of",
    "reauthorization",
]

_ABOUT_THE_PROOF = {
    "use_dpop_nonce",  # RFC 9449 section 8
    "invalid_dpop_proof",  # RFC 9449 section 5
}
_ABOUT_THE_CALL = {
    *_ABOUT_THE_PROOF,
    OAuthProviderError.INVALID_SCOPE,
    "invalid_target",  # RFC 8707 section 2
    "invalid_authorization_details",  # RFC 9396 section 5
    "server_error",
    "temporarily_unavailable",
}
"""Refusals of a refresh that say nothing against the refresh token."""

_MOST_DEAD = 100
"""How many are remembered: a server or a store returns one of the last, if any."""


class TokenCalls(Record):
    """What all token calls of an auth object have in common."""

    controller: OAuthAuthorizationController
    endpoints: Endpoints
    client: Client
    scope: str | None
    field_parameters: FieldParameters
    binding: Binding | None = None
    details: FieldParameters = MappingProxyType({})
    """The authorization details as a field: of what asks for something new, so not of a refresh."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class TokenEndpointGrant(Grant):
    """A grant that calls the token endpoint, through the controller's operations."""

    def __init__(self, calls: TokenCalls) -> None:
        self.controller = calls.controller
        self._endpoints = calls.endpoints
        self.client = calls.client
        self._scope = calls.scope
        self.field_parameters = calls.field_parameters
        self._binding = calls.binding
        self.details = calls.details

    @property
    def runs_code(self) -> bool:
        return self.client.runs_code

    @property
    def binding(self) -> Binding | None:
        return self._binding

    @property
    def scope(self) -> str | None:
        return self._scope

    @property
    def transport_error(self) -> type[TokenTransportError]:
        return self.controller.calls.transport.error_class

    @property
    def sends_async(self) -> bool:
        return sends_async(self.controller.calls.transport) and not self.is_interactive

    def _operate(self, operation: str, *args: Any, key: DPoPKey | None = None, **fields: Any) -> Steps[OAuthToken]:
        """Call one of the controller's operations, see `make_call`; `fields` are additional form fields."""

        def call(authorization: str | None, parameters: dict[str, Any]) -> Steps[OAuthToken]:
            return self.controller._steps(operation, authorization, *args, parameters)  # noqa: SLF001 - grants call its operations

        return self.make_call(call, key, fields)

    def make_call(
        self,
        call: Callable[[str | None, dict[str, Any]], Steps[OAuthToken]],
        key: DPoPKey | None,
        fields: Mapping[str, Any],
    ) -> Steps[OAuthToken]:
        """Make a token call as the client; `call` takes its header, and additional form fields.

        With a key the token must be bound to it: anything else isn't kept.
        """

        def send(client: ClientAuthParameters) -> Steps[OAuthToken]:
            return call(client.authorization, {**fields, **client.fields, **self.field_parameters, **proof_of(key)})

        return check_binding((yield from self.client.call(send)), key)

    def dump_state(self) -> dict[str, Any]:
        return self.client.dump_state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.client.load_state(state)

    def revoke(self, token: OAuthToken | None) -> Steps[None]:
        """Revoke the refresh token, then the access token: at most servers the first call ends both."""
        access_token = None if token is None else token.access_token
        refresh_token = self.live_refresh_token(token) or self.given_refresh_token()
        if access_token is None and refresh_token is None:
            return
        url = yield from self._endpoints.find("revocation_url")
        if url is None:
            return
        failure = None
        for kind, value in (("refresh_token", refresh_token), ("access_token", access_token)):
            try:
                if value is not None:
                    yield from self._revoke(url, value, kind)
            except TokenError as error:
                if error.status_code is None:  # nor could the next one be ended
                    raise failure or error from None
                # Some servers can't end access tokens (RFC 7009 section 2.2.1); then they live out their time.
                is_usual = isinstance(error, OAuthProviderException) and error.error == "unsupported_token_type"
                if not (is_usual and kind == "access_token" and refresh_token is not None):
                    failure = failure or error
        if failure is not None:
            raise failure

    def revoke_refresh_token(self, token: OAuthToken) -> Steps[None]:
        if token.refresh_token is None:
            return
        url = yield from self._endpoints.find("revocation_url")
        if url is not None:
            yield from self._revoke(url, token.refresh_token, "refresh_token")

    def introspect(self, access_token: str) -> Steps[Mapping[str, Any]]:
        """Return what the server tells about an access token (RFC 7662). Raises `OAuthError`."""
        url = yield from self._endpoints.require("introspection_url")

        def send(client: ClientAuthParameters) -> Steps[Mapping[str, Any]]:
            call = build_call(
                url, client.authorization, {"token": access_token, "token_type_hint": "access_token", **client.fields}
            )
            return self.controller.calls.call(call, read_introspection_response)

        return (yield from self.client.call(send))

    def _revoke(self, url: str, token: str, kind: str) -> Steps[None]:
        def send(client: ClientAuthParameters) -> Steps[None]:
            fields = {"token": token, "token_type_hint": kind, **client.fields}
            call = build_call(url, client.authorization, fields)
            return self.controller.calls.call(call, read_revocation_response)

        yield from self.client.call(send)


class ClientCredentialsGrant(TokenEndpointGrant):
    """RFC 6749 section 4.4; renewed by asking again."""

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        return self._operate("request_token_o_auth_ccg", self._scope, key=key, **self.details)


class DeadTokens:
    """Digests of the refresh tokens that a server has ended or replaced, the last ones."""

    __slots__ = ("_digests",)

    def __init__(self) -> None:
        self._digests: dict[str, None] = {}

    def add(self, digests: Iterable[str]) -> None:
        """Take in more of them."""
        dead = {**self._digests, **dict.fromkeys(digests)}
        self._digests = dict.fromkeys(list(dead)[-_MOST_DEAD:])

    def __contains__(self, token_digest: str) -> bool:
        return token_digest in self._digests


class RefreshingGrant(TokenEndpointGrant):
    """A grant whose tokens come with refresh tokens."""

    _refresh_operation = "refresh_token_o_auth_acg"

    def __init__(self, calls: TokenCalls, dead: DeadTokens | None = None) -> None:
        super().__init__(calls)
        self._dead = dead or DeadTokens()

    def live_refresh_token(self, token: OAuthToken | None) -> str | None:
        refresh_token = None if token is None else token.refresh_token
        return None if refresh_token is None or digest(refresh_token) in self._dead else refresh_token

    def bury(self, digests: Iterable[str]) -> None:
        self._dead.add(digests)

    def refresh(self, refresh_token: str, scope: str | None, key: DPoPKey | None = None) -> Steps[OAuthToken]:
        """Renew. The granted scope is asked for (RFC 6749 section 6); if it's refused, the call is repeated without.

        eBay, Volkswagen and Entra v1 require a scope in the refresh; oidc-provider and Authlib refuse one that goes
        beyond what was granted. Such a refusal (`invalid_scope`) leaves the refresh token valid.
        """
        operation, scope = self._refresh_operation, scope or self._scope
        try:
            try:
                token = yield from self._operate(operation, refresh_token, scope, key=key)
            except OAuthProviderException as error:
                if scope is None or error.error != OAuthProviderError.INVALID_SCOPE:
                    raise
                token = yield from self._operate(operation, refresh_token, None, key=key)
        except TokenError as error:
            if ends_refresh_token(error):
                self.bury([digest(refresh_token)])
            raise
        if token.refresh_token is None:  # then the old one stays good (RFC 6749 section 6)
            return dataclasses.replace(token, refresh_token=refresh_token)
        if token.refresh_token != refresh_token:
            self.bury([digest(refresh_token)])
        return token

    def invalidate(self, token: OAuthToken | None) -> None:
        if token is not None and token.refresh_token is not None:
            self.bury([digest(token.refresh_token)])


class PasswordGrant(RefreshingGrant):
    """RFC 6749 section 4.3; without a live refresh token the password is used again."""

    _refresh_operation = "refresh_token_o_auth_ropcg"

    def __init__(self, calls: TokenCalls, *, username: str, password: str) -> None:
        super().__init__(calls)
        self._username = username
        self._password = password

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        """Get a token with the password; if a file that it came from has another one by now, with that."""
        try:
            return (yield from self._request(key))
        except OAuthProviderException as error:
            is_refused = error.error == OAuthProviderError.INVALID_GRANT
            if not is_refused or (next_password := read_anew(self._password)) is None:
                raise
        self._password = next_password
        return (yield from self._request(key))

    def _request(self, key: DPoPKey | None) -> Steps[OAuthToken]:
        who = (self._username, self._password)
        return self._operate("request_token_o_auth_ropcg", *who, self._scope, key=key, **self.details)


class RefreshTokenGrant(RefreshingGrant):
    """RFC 6749 section 6, from a refresh token that came from elsewhere."""

    def __init__(self, calls: TokenCalls, *, refresh_token: str) -> None:
        super().__init__(calls)
        self._given = refresh_token
        self._is_given_dead = False

    def given_refresh_token(self) -> str | None:
        return None if self._is_given_dead else self._given

    def bury(self, digests: Iterable[str]) -> None:
        """Mark refresh tokens as dead; the one given stays so, however many die after it."""
        digests = list(digests)
        super().bury(digests)
        self._is_given_dead = self._is_given_dead or digest(self._given) in digests

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        yield from ()
        raise reauthorization("the refresh token is used up", last, refusal) from refusal

    def invalidate(self, token: OAuthToken | None) -> None:
        super().invalidate(token)
        self.bury([digest(self._given)])


# -- What errors and tokens mean for a grant ---------------------------------------------------------------------------


def ends_refresh_token(error: TokenError) -> bool:
    """Return whether a refusal means that the refresh token will never work again.

    Measured: servers answer 400 with `invalid_grant`, `invalid_request` or nothing at all, so the status decides,
    unless the error is about the client, or about the call.
    """
    if isinstance(error, OAuthProviderException):
        if error.error == OAuthProviderError.INVALID_GRANT:
            return True
        return error.status_code == 400 and error.error not in _ABOUT_THE_CALL and not refuses_client(error)
    return isinstance(error, TokenResponseError) and error.status_code == 400


def is_about_proof(error: TokenError) -> bool:
    """Return whether a refusal is about the proof of a key alone, so that a code that went along isn't used up."""
    return isinstance(error, OAuthProviderException) and error.error in _ABOUT_THE_PROOF


def check_binding(token: OAuthToken, key: DPoPKey | None) -> OAuthToken:
    """Return the token. Raises `TokenResponseError` if it should be bound to a key, and isn't."""
    if key is not None and not token.is_bound:
        kind = token.token_type[:50]
        raise TokenResponseError(
            f"the token isn't bound to a key, as dpop= asks: the server gave one of the type {kind!r}; "
            "is DPoP (RFC 9449) on for this client?"
        )
    return token


def proof_of(key: DPoPKey | None) -> dict[str, PerAttempt]:
    """Return the header of a call that proves a key; nothing without one."""
    return {} if key is None else {"DPoP": key.header()}


def reauthorization(reason: str | None, last: OAuthToken | None, refusal: TokenError | None) -> ReauthorizationRequired:
    """Return the error that says why the user must log in.

    `reason` is used where nothing more exact is known; without one, nobody is logged in.
    """
    if refusal is not None:
        reason = f"the server refused the refresh token ({refusal})"
    elif last is not None and last.refresh_token is None:
        reason = "the token can't be renewed, since it came without a refresh token"
    elif last is not None:
        reason = "the refresh token was refused before"
    if reason is None:
        return ReauthorizationRequired("nobody is logged in: pass login=, such as BrowserLogin(), code= or token=")
    error = ReauthorizationRequired(f"the user must log in again: {reason}")
    if refusal is not None:
        error.token_url, error.status_code = refusal.token_url, refusal.status_code
        error.server_message = refusal.server_message
    return error
