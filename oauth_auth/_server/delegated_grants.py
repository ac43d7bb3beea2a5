"""Grants that make a token of another one: token exchange (RFC 8693), and JWT bearer (RFC 7523 section 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .._flight import do
from .._keys.assertions import JwtAssertion, from_elsewhere
from .._wire.token import OAuthToken
from .._wire.token_request import PerAttempt
from ..errors import OAuthProviderException, TokenError
from .calls import LONGEST_OF_OTHERS, Run, Steps
from .grants import RefreshingGrant, TokenCalls, TokenEndpointGrant
from .operations import Server

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey

__all__ = ["JwtBearerGrant", "Source", "TokenExchangeGrant", "TokenOfAnother"]

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_REFUSES_SUBJECT = {"invalid_request", "invalid_grant", "invalid_token"}
"""What servers answer where a subject is no good (RFC 8693 section 2.2.2 has the first)."""


class _AuthObject(Protocol):
    """What's needed of another auth object."""

    @property
    def token(self) -> OAuthToken | None: ...
    def get_token(self) -> OAuthToken: ...
    def refresh(self) -> OAuthToken: ...


class TokenOfAnother:
    """The token of another auth object, which stays its own."""

    def __init__(self, auth: _AuthObject, *, can_renew: bool) -> None:
        self.auth = auth
        self._sent: str | None = None
        self.can_renew = can_renew

    def field(self) -> PerAttempt:
        """Return the form field: the token that's live when an attempt is made."""
        return PerAttempt(lambda _: self._get(), runs_code=True, is_bounded=False)

    def _get(self) -> str:
        self._sent = token = self.auth.get_token().access_token
        return token

    def renew(self) -> None:
        """Have the token renewed, unless it's another one by now than the one that was sent."""
        token = self.auth.token
        if token is None or token.access_token == self._sent:
            self.auth.refresh()


Source = str | Path | Callable[[], str] | TokenOfAnother
"""Where a subject or an assertion comes from."""


def _field(what: str, source: Source) -> str | PerAttempt:
    if isinstance(source, TokenOfAnother):
        return source.field()
    return source if isinstance(source, str) else from_elsewhere(what, source)


def _request(grant: TokenEndpointGrant, fields: Mapping[str, Any], key: DPoPKey | None) -> Steps[OAuthToken]:
    """Call the token endpoint with a grant's own fields, see `make_call`."""

    def call(authorization: str | None, parameters: dict[str, Any]) -> Steps[OAuthToken]:
        return grant.controller._call(Server.DEFAULT, authorization, fields, parameters)  # noqa: SLF001 - of the package

    return grant.make_call(call, key, grant.details)


class TokenExchangeGrant(RefreshingGrant):
    """RFC 8693; renewed with a refresh token if one came, else by exchanging again."""

    def __init__(
        self,
        calls: TokenCalls,
        *,
        subject: Source,
        subject_type: str,
        actor: Source | None,
        actor_type: str,
        requested_type: str | None,
    ) -> None:
        super().__init__(calls)
        self.subject, self.actor = subject, actor
        self._types = {
            "subject_token_type": subject_type,
            "actor_token_type": None if actor is None else actor_type,
            "requested_token_type": requested_type,
        }

    @property
    def runs_code(self) -> bool:
        return super().runs_code or not all(isinstance(one, str | Path | None) for one in (self.subject, self.actor))

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        """Exchange; a subject that's refused and is another auth object's is renewed once, and exchanged again."""
        others = [one for one in (self.subject, self.actor) if isinstance(one, TokenOfAnother) and one.can_renew]
        try:
            return (yield from self._exchange(key))
        except OAuthProviderException as error:
            if error.error not in _REFUSES_SUBJECT or not others:
                raise
        for other in others:
            yield from do(Run(other.renew, LONGEST_OF_OTHERS))
        return (yield from self._exchange(key))

    def _exchange(self, key: DPoPKey | None) -> Steps[OAuthToken]:
        actor = {} if self.actor is None else {"actor_token": _field("the actor token", self.actor)}
        fields = {
            "grant_type": _EXCHANGE,
            "subject_token": _field("the subject token", self.subject),
            **actor,
            **self._types,
            "scope": self.scope,
        }
        return _request(self, fields, key)


class JwtBearerGrant(TokenEndpointGrant):
    """RFC 7523 section 2.1; renewed by asking again, with another assertion."""

    def __init__(self, calls: TokenCalls, *, assertion: JwtAssertion | Source) -> None:
        super().__init__(calls)
        self._assertion = assertion

    @property
    def runs_code(self) -> bool:
        return super().runs_code or not isinstance(self._assertion, JwtAssertion | str | Path)

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        source = self._assertion
        field = source.field() if isinstance(source, JwtAssertion) else _field("the assertion", source)
        return _request(self, {"grant_type": _JWT_BEARER, "assertion": field, "scope": self.scope}, key)
