"""Tokens that don't come from a token endpoint: from a function of the user's, or given once and for all."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._flight import do
from .._wire.token import OAuthToken
from ..errors import OAuthError, ReauthorizationRequired, TokenError
from .calls import GivenUp, Run, Steps
from .grant import Grant

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey

__all__ = ["FixedToken", "TokenProvider"]


class TokenProvider(Grant):
    """The user's own function, which gets the last token or None and returns the next, within `timeout` seconds."""

    @property
    def runs_code(self) -> bool:
        return True

    def __init__(self, provider: Callable[[OAuthToken | None], OAuthToken], timeout: float) -> None:
        self._provider = provider
        self._timeout = timeout

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        failure: TokenError
        try:
            token: object = yield from do(Run(functools.partial(self._provider, last), self._timeout))
        except TokenError:
            raise
        except GivenUp:
            failure = TokenError(f"the token provider hasn't returned within {self._timeout:.3g} s (token_timeout)")
            failure.retryable = True
            raise failure from None
        except Exception as error:
            reason = f": {error}" if isinstance(error, OAuthError) else ""  # the text of others may hold a secret
            failure = TokenError(f"the token provider raised {type(error).__name__}{reason}")
            failure.retryable = True
            raise failure from error
        if not isinstance(token, OAuthToken):
            raise TokenError(f"the token provider must return an OAuthToken, not {type(token).__name__}")
        return token


class FixedToken(Grant):
    """A token that came from elsewhere and that nothing here can renew."""

    renews = False

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        yield from ()
        raise ReauthorizationRequired("BearerAuth can't renew its token: make a new one with a new token")
