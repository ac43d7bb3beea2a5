"""The authorization code grant (RFC 6749 section 4.1): a code is redeemed once; after that a login is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .._wire.token import OAuthToken, digest
from ..errors import ConfigurationError, OAuthError, ReauthorizationRequired, TokenError
from .calls import Steps
from .grants import RefreshingGrant, TokenCalls
from .reauthorization import reauthorization

if TYPE_CHECKING:
    from ..login._context import Login
    from ..login._request import AuthorizationRequest

__all__ = ["AuthorizationCodeGrant"]


class AuthorizationCodeGrant(RefreshingGrant):
    """RFC 6749 section 4.1, with PKCE's verifier (RFC 7636); a code is redeemed once; `login` gets another."""

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
        self._redeemed_code: str | None = None

    @property
    def has_unredeemed_code(self) -> bool:
        return self._code is not None

    def request_token(self, last: OAuthToken | None, refusal: TokenError | None) -> Steps[OAuthToken]:
        code, redirect_uri = self._code, self._redirect_uri
        if code is None or redirect_uri is None:
            reason = None if self._redeemed_code is None else "the authorization code is used up"
            raise reauthorization(reason, last, refusal) from refusal
        verifier = {} if self._code_verifier is None else {"code_verifier": self._code_verifier}
        try:
            token = yield from self._operate("request_token_o_auth_acg", code, redirect_uri, **verifier)
        except TokenError as error:
            if error.status_code is not None:
                self._mark_redeemed(code)
            raise
        self._mark_redeemed(code)
        return token

    @property
    def is_interactive(self) -> bool:
        return self._login is not None and self._code is None

    def authorize(self, cancelled: threading.Event) -> Callable[[], Steps[OAuthToken]]:
        from ..login._context import LoginContext  # noqa: PLC0415 - programs without logins needn't load it

        assert self._login is not None  # noqa: S101 - `is_interactive` says so
        # A server that's down is an error, and no reason to open a browser.
        self._endpoints.calls.run(self._endpoints.require("authorization_url"))
        context = LoginContext(self._make_request, self._given_redirect_uri, cancelled)
        try:
            redirected_url = self._login(context)
        except OAuthError:
            raise
        except Exception as error:
            raise ReauthorizationRequired(f"the login raised {type(error).__name__}") from error
        request = context.request
        if request is None or not isinstance(redirected_url, str):
            raise ConfigurationError("a login must call begin(redirect_uri), and return the URL that was redirected to")
        code = request.code_from(redirected_url)

        def redeem() -> Steps[OAuthToken]:
            # Kept: it's sent again later if the server can't be reached now.
            self._code, self._redirect_uri, self._code_verifier = code, request.redirect_uri, request.code_verifier
            return self.request_token(None, None)

        return redeem

    def _make_request(self, redirect_uri: str) -> AuthorizationRequest:
        from ..login._request import AuthorizationRequest  # noqa: PLC0415 - see above

        run, endpoints = self._endpoints.calls.run, self._endpoints
        metadata = run(endpoints.metadata())
        return AuthorizationRequest(
            run(endpoints.require("authorization_url")),
            self._client.client_id,
            redirect_uri,
            scope=self._scope,
            issuer=endpoints.issuer,
            issuer_required=metadata.get("authorization_response_iss_parameter_supported") is True,
            parameters=self._authorization_parameters,
            allow_insecure_transport=endpoints.allow_insecure,
        )

    def invalidate(self, token: OAuthToken | None) -> None:
        super().invalidate(token)
        self._code = None

    def _mark_redeemed(self, code: str) -> None:
        self._code = None
        self._redeemed_code = digest(code)

    def dump_state(self) -> dict[str, Any]:
        redeemed = {} if self._redeemed_code is None else {"code": self._redeemed_code}
        return {**super().dump_state(), **redeemed}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what was learned; a code that brought the stored token, before a restart, isn't sent again."""
        super().load_state(state)
        redeemed = state.get("code")
        if self._code is not None and redeemed == digest(self._code):
            self._mark_redeemed(self._code)
        elif self._redeemed_code is None and isinstance(redeemed, str):
            self._redeemed_code = redeemed  # the code of another program, which may be given it again
