"""What each grant knows: its own way to a token, whether a refresh token renews it, what it learned on the way.

A grant makes no decision about time, sharing or storing; it's asked by a flight, one flight at a time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from .._wire.client_auth import ClientAuthParameters
from .._wire.messages import FieldParameters, build_token_request, read_revocation_response
from .._wire.token import OAuthToken
from ..errors import (
    ConfigurationError,
    OAuthError,
    OAuthProviderError,
    OAuthProviderException,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
)
from .client import Client, refuses_client
from .controller import OAuthAuthorizationController
from .metadata import Endpoints

if TYPE_CHECKING:
    from ..login._context import Login
    from ..login._request import AuthorizationRequest

__all__ = [
    "AuthorizationCodeGrant",
    "ClientCredentialsGrant",
    "FixedToken",
    "Grant",
    "PasswordGrant",
    "RefreshTokenGrant",
    "RefreshingGrant",
    "TokenCalls",
    "TokenProvider",
    "ends_refresh_token",
    "reauthorization",
]


class Grant:
    """A way to tokens. `obtain` and `refresh` block, and raise `TokenError`."""

    renews: ClassVar[bool] = True
    """Whether there can ever be a token other than the first one."""

    @property
    def has_unredeemed_code(self) -> bool:
        """Whether `obtain` is to be used before any token that there is, stored ones included."""
        return False

    def live_refresh_token(self, last: OAuthToken | None) -> str | None:
        """Return the refresh token to renew `last` with, if there is one that no server has refused yet."""
        return None

    def refresh(self, refresh_token: str) -> OAuthToken:
        """Renew with a refresh token that `live_refresh_token` returned."""
        raise NotImplementedError

    def obtain(self, last: OAuthToken | None, refusal: TokenError | None) -> OAuthToken:
        """Get a token without a refresh token; `refusal` is what ended the one that was tried before."""
        raise NotImplementedError

    @property
    def is_interactive(self) -> bool:
        """Whether a person must act before there can be a token without a refresh token: then `ask`, not `obtain`."""
        return False

    def ask(self, over: threading.Event) -> Callable[[], OAuthToken]:
        """Have a person log in; return what gets the token then. `over` is set when it's of no use any more.

        Blocks for as long as the person takes, so it's called without the store's lock. Raises `OAuthError`.
        """
        raise NotImplementedError

    def revoke(self, token: OAuthToken | None) -> None:
        """End at the server, as far as it lets us (RFC 7009), what there is. Raises `OAuthError`."""

    def forget(self, token: OAuthToken | None) -> None:
        """Never use again what came with this token, nor what was given to get the first one."""

    def memory(self) -> dict[str, Any]:
        """Return what is worth knowing after a restart, as JSON; it's stored with the token."""
        return {}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Take in what `memory` returned once; anything else in it is ignored."""


def ends_refresh_token(error: TokenError) -> bool:
    """Tell whether a refusal means that the refresh token will never work again.

    Servers answer 400 with `invalid_grant`, `invalid_request` or nothing at all, so the status decides.
    """
    if isinstance(error, OAuthProviderException):
        if error.error == OAuthProviderError.INVALID_GRANT:
            return True
        return error.status_code == 400 and not refuses_client(error)
    return isinstance(error, TokenResponseError) and error.status_code == 400


class TokenCalls(NamedTuple):
    """What all calls of an auth object share."""

    controller: OAuthAuthorizationController
    endpoints: Endpoints
    client: Client
    scope: str | None
    field_parameters: FieldParameters

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class _TokenEndpointGrant(Grant):
    """A grant that calls the token endpoint, by the controller's operations."""

    def __init__(self, calls: TokenCalls) -> None:
        self._controller, self._endpoints, self._client, self._scope, self._field_parameters = calls

    def _fields(self, proof: ClientAuthParameters) -> FieldParameters:
        return {**proof.fields, **self._field_parameters}

    def memory(self) -> dict[str, Any]:
        return self._client.memory()

    def recall(self, memory: Mapping[str, Any]) -> None:
        self._client.recall(memory)

    def revoke(self, token: OAuthToken | None) -> None:
        """End refresh and access token, in this order: ending the first ends the second at most servers."""
        access_token, refresh_token = None if token is None else token.access_token, self.live_refresh_token(token)
        if access_token is None and refresh_token is None:
            return
        url = self._endpoints.find("revocation_url")
        if url is None:
            return
        failure = None
        for kind, value in (("refresh_token", refresh_token), ("access_token", access_token)):
            try:
                if value is not None:
                    self._revoke(url, value, kind)
            except TokenError as error:
                if error.status_code is None:  # nor could the next one be ended
                    raise failure or error from None
                # Some servers can't end access tokens (RFC 7009 section 2.2.1); then they live out their time.
                is_usual = isinstance(error, OAuthProviderException) and error.error == "unsupported_token_type"
                if not (is_usual and kind == "access_token" and refresh_token is not None):
                    failure = failure or error
        if failure is not None:
            raise failure

    def _revoke(self, url: str, token: str, kind: str) -> None:
        def send(proof: ClientAuthParameters) -> None:
            fields = {"token": token, "token_type_hint": kind, **proof.fields}
            request = build_token_request(url, proof.authorization, fields)
            self._controller.calls.call(request, read_revocation_response)

        self._client.call(send)


class ClientCredentialsGrant(_TokenEndpointGrant):
    """RFC 6749 section 4.4; renewed by asking again."""

    def obtain(self, last: OAuthToken | None, refusal: TokenError | None) -> OAuthToken:
        return self._client.call(
            lambda proof: self._controller.request_token_o_auth_ccg(
                proof.authorization, self._scope, self._fields(proof)
            )
        )


class RefreshingGrant(_TokenEndpointGrant):
    """A grant whose tokens come with refresh tokens."""

    def __init__(self, calls: TokenCalls) -> None:
        super().__init__(calls)
        self._spent: frozenset[str] = frozenset()
        """Digests of the refresh tokens that the server has ended or replaced: they're never sent again."""

    def live_refresh_token(self, last: OAuthToken | None) -> str | None:
        return self._unless_spent(last.refresh_token if last is not None else None)

    def _unless_spent(self, refresh_token: str | None) -> str | None:
        return None if refresh_token is None or _digest(refresh_token) in self._spent else refresh_token

    def refresh(self, refresh_token: str) -> OAuthToken:
        try:
            token = self._client.call(lambda proof: self._refresh(proof, refresh_token))
        except TokenError as error:
            if ends_refresh_token(error):
                self._spent |= {_digest(refresh_token)}
            raise
        if token.refresh_token is None:  # then the old one stays good (RFC 6749 section 6)
            return dataclasses.replace(token, refresh_token=refresh_token)
        if token.refresh_token != refresh_token:
            self._spent |= {_digest(refresh_token)}
        return token

    def _refresh(self, proof: ClientAuthParameters, refresh_token: str) -> OAuthToken:
        return self._controller.refresh_token_o_auth_acg(
            proof.authorization, refresh_token, self._scope, self._fields(proof)
        )

    def forget(self, token: OAuthToken | None) -> None:
        if token is not None and token.refresh_token is not None:
            self._spent |= {_digest(token.refresh_token)}


class AuthorizationCodeGrant(RefreshingGrant):
    """RFC 6749 section 4.1, with PKCE's verifier (RFC 7636); a code is used once, and `login` brings another."""

    def __init__(
        self,
        calls: TokenCalls,
        *,
        code: str | None,
        redirect_uri: str | None,
        code_verifier: str | None,
        login: Login | None = None,
        authorization_parameters: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(calls)
        self._login = login
        self._authorization_parameters = authorization_parameters
        self._given_redirect_uri = redirect_uri
        self._code = code
        self._redirect_uri = redirect_uri
        self._code_verifier = code_verifier
        self._spent_code: str | None = None

    @property
    def has_unredeemed_code(self) -> bool:
        return self._code is not None

    def obtain(self, last: OAuthToken | None, refusal: TokenError | None) -> OAuthToken:
        code, redirect_uri = self._code, self._redirect_uri
        if code is None or redirect_uri is None:
            reason = "nobody has logged in" if self._spent_code is None else "the authorization code is used up"
            raise reauthorization(reason, last, refusal) from refusal
        verifier = {} if self._code_verifier is None else {"code_verifier": self._code_verifier}
        try:
            token = self._client.call(
                lambda proof: self._controller.request_token_o_auth_acg(
                    proof.authorization, code, redirect_uri, {**verifier, **self._fields(proof)}
                )
            )
        except TokenError as error:
            if error.status_code is not None:
                self._spend(code)
            raise
        self._spend(code)
        return token

    @property
    def is_interactive(self) -> bool:
        return self._login is not None and self._code is None

    def ask(self, over: threading.Event) -> Callable[[], OAuthToken]:
        from ..login._context import LoginContext  # noqa: PLC0415 - programs that log nobody in needn't load it

        assert self._login is not None  # noqa: S101 - `is_interactive` says so
        # A server that's down is an error, and no reason to open a browser.
        self._endpoints.require("authorization_url")
        begin = LoginContext(self._begin, self._given_redirect_uri, over)
        try:
            redirected_url = self._login(begin)
        except OAuthError:
            raise
        except Exception as error:
            raise ReauthorizationRequired(f"the login raised {type(error).__name__}") from error
        request = begin.request
        if request is None or not isinstance(redirected_url, str):
            raise ConfigurationError("a login must call begin(redirect_uri), and return the URL that was redirected to")
        code = request.code_from(redirected_url)

        def exchange() -> OAuthToken:
            # Kept, so that it's sent again if the server can't be reached now.
            self._code, self._redirect_uri, self._code_verifier = code, request.redirect_uri, request.code_verifier
            return self.obtain(None, None)

        return exchange

    def _begin(self, redirect_uri: str) -> AuthorizationRequest:
        from ..login._request import AuthorizationRequest  # noqa: PLC0415 - see above

        metadata = self._endpoints.metadata()
        return AuthorizationRequest(
            self._endpoints.require("authorization_url"),
            self._client.client_id,
            redirect_uri,
            scope=self._scope,
            issuer=self._endpoints.issuer,
            issuer_required=metadata.get("authorization_response_iss_parameter_supported") is True,
            parameters=self._authorization_parameters,
            allow_insecure_transport=self._endpoints.allow_insecure,
        )

    def forget(self, token: OAuthToken | None) -> None:
        super().forget(token)
        self._code = None

    def _spend(self, code: str) -> None:
        self._code = None
        self._spent_code = _digest(code)

    def memory(self) -> dict[str, Any]:
        spent = {} if self._spent_code is None else {"code": self._spent_code}
        return {**super().memory(), **spent}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Recall, too, that the code given has brought the stored token already: the program was started again."""
        super().recall(memory)
        spent = memory.get("code")
        if self._code is not None and spent == _digest(self._code):
            self._spend(self._code)
        elif self._spent_code is None and isinstance(spent, str):
            self._spent_code = spent  # another's, who may come back with it


class PasswordGrant(RefreshingGrant):
    """RFC 6749 section 4.3; without a live refresh token the password is used again."""

    def __init__(
        self,
        calls: TokenCalls,
        *,
        username: str,
        password: str,
    ) -> None:
        super().__init__(calls)
        self._username = username
        self._password = password

    def obtain(self, last: OAuthToken | None, refusal: TokenError | None) -> OAuthToken:
        return self._client.call(
            lambda proof: self._controller.request_token_o_auth_ropcg(
                proof.authorization, self._username, self._password, self._scope, self._fields(proof)
            )
        )

    def _refresh(self, proof: ClientAuthParameters, refresh_token: str) -> OAuthToken:
        return self._controller.refresh_token_o_auth_ropcg(
            proof.authorization, refresh_token, self._scope, self._fields(proof)
        )


class RefreshTokenGrant(RefreshingGrant):
    """RFC 6749 section 6, from a refresh token that came from elsewhere."""

    def __init__(
        self,
        calls: TokenCalls,
        *,
        refresh_token: str,
    ) -> None:
        super().__init__(calls)
        self._given = refresh_token

    def live_refresh_token(self, last: OAuthToken | None) -> str | None:
        rotated = last.refresh_token if last is not None else None
        return self._unless_spent(rotated) or self._unless_spent(self._given)

    def obtain(self, last: OAuthToken | None, refusal: TokenError | None) -> OAuthToken:
        raise reauthorization("the refresh token is used up", last, refusal) from refusal

    def forget(self, token: OAuthToken | None) -> None:
        super().forget(token)
        self._spent |= {_digest(self._given)}


class TokenProvider(Grant):
    """The user's own function, from the last token or None to the next."""

    def __init__(self, provider: Callable[[OAuthToken | None], OAuthToken]) -> None:
        self._provider = provider

    def obtain(self, last: OAuthToken | None, refusal: TokenError | None) -> OAuthToken:
        try:
            token = self._provider(last)
        except OAuthError:
            raise
        except Exception as error:
            failure = TokenError(f"the token provider raised {type(error).__name__}")
            failure.retryable = True
            raise failure from error
        if not isinstance(token, OAuthToken):
            raise TokenError(f"the token provider must return an OAuthToken, not {type(token).__name__}")
        return token


class FixedToken(Grant):
    """A token that came from elsewhere and that nothing here can renew."""

    renews = False

    def obtain(self, last: OAuthToken | None, refusal: TokenError | None) -> OAuthToken:
        raise ReauthorizationRequired("BearerAuth can't renew its token: make a new one with a new token")


def reauthorization(reason: str, last: OAuthToken | None, refusal: TokenError | None) -> ReauthorizationRequired:
    if refusal is not None:
        reason = f"the server refused the refresh token ({refusal})"
    elif last is not None and last.refresh_token is None:
        reason = "the token can't be renewed, since it came without a refresh token"
    elif last is not None:
        reason = "the refresh token was refused before"
    error = ReauthorizationRequired(f"a person must log in again: {reason}")
    if refusal is not None:
        error.token_url, error.status_code = refusal.token_url, refusal.status_code
    return error


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
