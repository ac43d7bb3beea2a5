"""The authorization code grant (RFC 6749 section 4.1): a code is redeemed once; after that a login is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .._wire.token import OAuthToken, digest
from ..errors import ConfigurationError, OAuthError, ReauthorizationRequired, TokenError
from .authorization_request import AuthorizationOptions, AuthorizationRequests
from .calls import Steps
from .grants import RefreshingGrant, TokenCalls, is_about_proof, reauthorization

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey
    from ..login._context import Login
    from ..login._request import AuthorizationRequest

__all__ = ["AuthorizationCodeGrant", "log_in"]


_MOST_COMPLETED = 8


def log_in(
    login: Login,
    make: Callable[[str], AuthorizationRequest],
    redirect_uri: str | None,
    cancelled: threading.Event,
    registered_uri: str | None = None,
) -> tuple[AuthorizationRequest, str]:
    """Have the user log in; return the request that they were sent with, and the code. Raises `OAuthError`."""
    from ..login._context import LoginContext  # noqa: PLC0415 - programs without logins needn't load it

    context = LoginContext(make, redirect_uri, cancelled, registered_uri)
    try:
        redirected_url = login(context)
    except OAuthError:
        raise
    except Exception as error:
        raise ReauthorizationRequired(f"the login raised {type(error).__name__}") from error
    request = context.request
    if request is None or not isinstance(redirected_url, str):
        raise ConfigurationError("a login must call begin(redirect_uri), and return the URL that was redirected to")
    return request, request.code_from(redirected_url)


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
        options: AuthorizationOptions | None = None,
    ) -> None:
        super().__init__(calls)
        self._login = login
        self._requests = AuthorizationRequests(calls, options or AuthorizationOptions())
        self._given_redirect_uri = redirect_uri
        self._code = code
        self._redirect_uri = redirect_uri
        self._code_verifier = code_verifier
        self._key_of_code: DPoPKey | None = None
        self._redeemed_code: str | None = None
        self._completed: tuple[str, ...] = ()
        """Digests of the last codes that have brought a login by `complete`, the present one's last: the same redirect
        may come again."""

    @property
    def has_unredeemed_code(self) -> bool:
        return self._code is not None

    @property
    def key_of_code(self) -> DPoPKey | None:
        return self._key_of_code if self.has_unredeemed_code else None

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        code, redirect_uri = self._code, self._redirect_uri
        if code is None or redirect_uri is None:
            reason = None if self._redeemed_code is None else "the authorization code is used up"
            raise reauthorization(reason, last, refusal) from refusal
        verifier = {} if self._code_verifier is None else {"code_verifier": self._code_verifier}
        try:
            token = yield from self._operate("request_token_o_auth_acg", code, redirect_uri, key=key, **verifier)
        except TokenError as error:
            if error.status_code is not None and not is_about_proof(error):
                self._mark_redeemed(code)
            raise
        self._mark_redeemed(code)
        return token

    @property
    def is_interactive(self) -> bool:
        return self._login is not None and self._code is None

    def authorize(
        self, cancelled: threading.Event, key: DPoPKey | None = None, demands: Mapping[str, str] | None = None
    ) -> Callable[[], Steps[OAuthToken]]:
        assert self._login is not None  # noqa: S101 - `is_interactive` says so
        # A server that's down is an error, and no reason to open a browser.
        self._endpoints.calls.run(self._endpoints.require("authorization_url"))

        def make(redirect_uri: str) -> AuthorizationRequest:
            return self._endpoints.calls.run(self.authorization_request(redirect_uri, key, demands))

        request, code = log_in(self._login, make, self._given_redirect_uri, cancelled)
        return partial(self.redeem, request, code, key)

    def redeem(self, request: AuthorizationRequest, code: str, key: DPoPKey | None) -> Steps[OAuthToken]:
        """Redeem the code of a login; it's kept, and sent again later if the server can't be reached now."""
        self._code, self._redirect_uri, self._code_verifier = code, request.redirect_uri, request.code_verifier
        self._key_of_code = key
        return (yield from self.request_token(None, None, key))

    def authorization_request(
        self, redirect_uri: str | None, key: DPoPKey | None = None, more: Mapping[str, str] | None = None
    ) -> Steps[AuthorizationRequest]:
        """Return a new request that a user authorize the client; its code is bound to the key. Raises `OAuthError`."""
        redirect_uri = redirect_uri or self._given_redirect_uri
        if redirect_uri is None:
            raise ConfigurationError("an authorization request needs the redirect_uri: pass it")
        return self._requests.make(redirect_uri, key, more)

    def request_for_web(self, redirect_uri: str | None) -> Steps[AuthorizationRequest]:
        """Return a new request that a web application sends its user with; it carries the key that's made for it."""
        if self._binding is None:
            return (yield from self.authorization_request(redirect_uri))
        key = self._binding.given or self._binding.make()
        request = yield from self.authorization_request(redirect_uri, key)
        return request if self._binding.given is not None else request.bound_to(key.private_jwk)

    def key_of_request(self, request: AuthorizationRequest) -> DPoPKey | None:
        """Return the key that the code of a web application's request is bound to."""
        if self._binding is None:
            return None
        return self._binding.given or self._binding.make(request.dpop_key)

    def completion(self, code: str) -> bool | None:
        """Return whether this code has brought the present login, or else an earlier one; None if it brought none."""
        code_digest = digest(code)
        return None if code_digest not in self._completed else code_digest == self._completed[-1]

    def complete(
        self, code: str, redirect_uri: str, code_verifier: str, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        """Redeem the code of a login that a web application has led. Raises `TokenError`, and then changes nothing."""
        token = yield from self._operate(
            "request_token_o_auth_acg", code, redirect_uri, key=key, code_verifier=code_verifier
        )
        self._mark_redeemed(code)
        self._note_completion(digest(code))
        return token

    def _note_completion(self, code_digest: str) -> None:
        self._completed = (*self._completed, code_digest)[-_MOST_COMPLETED:]

    def invalidate(self, token: OAuthToken | None) -> None:
        super().invalidate(token)
        self._code = None

    def _mark_redeemed(self, code: str) -> None:
        self._code = None
        self._redeemed_code = digest(code)

    def dump_state(self) -> dict[str, Any]:
        redeemed: dict[str, Any] = {} if self._redeemed_code is None else {"code": self._redeemed_code}
        completed = {"completed": list(self._completed)} if self._completed else {}
        return {**super().dump_state(), **redeemed, **completed}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what was learned; a code that brought the stored token, before a restart, isn't sent again."""
        super().load_state(state)
        redeemed = state.get("code")
        completed = state.get("completed")
        if isinstance(completed, list):
            for code_digest in completed:
                if isinstance(code_digest, str) and code_digest not in self._completed:
                    self._note_completion(code_digest)
        if self._code is not None and redeemed == digest(self._code):
            self._mark_redeemed(self._code)
        elif self._redeemed_code is None and isinstance(redeemed, str):
            self._redeemed_code = redeemed  # the code of another program, which may be given it again
