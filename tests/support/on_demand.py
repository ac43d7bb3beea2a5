"""A grant of a resource that says itself what it wants, without a server: what it's asked for is noted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from oauth_auth import OAuthError, OAuthToken, ReauthorizationRequired, TokenError
from oauth_auth._server.calls import Steps
from oauth_auth._server.grant import OnDemandGrant
from oauth_auth._wire.challenges import Demand
from oauth_auth._wire.token import digest

__all__ = ["Asked"]

_T = TypeVar("_T")


class Asked(OnDemandGrant):
    """Brings what it's told to bring: an error is raised, anything else returned; `calls` is what it was asked."""

    def __init__(self, *tokens: OAuthToken | OAuthError, has_login: bool = True) -> None:
        self.tokens = list(tokens)
        """What redeeming a login, or asking as a service, brings, in turn."""
        self.refreshes: list[OAuthToken | OAuthError] = []
        self.demand: Demand | OAuthError | None = None
        """What the resource says without a token."""
        self.brings_more: bool | OAuthError = True
        self.moved: list[bool | OAuthError] = []
        """Whether the resource has another server, in turn; then not."""
        self.forgotten: list[bool] = []
        """Whether the client is another one after an error, in turn; then not."""
        self.has_login = has_login
        self.is_known = False
        self.calls: list[Any] = []
        self.demands: list[Mapping[str, str]] = []
        """What each login was asked with."""
        self._dead: set[str] = set()

    @property
    def needs_authorization(self) -> bool:
        return self.has_login or not self.is_known

    def accepts(self, token: OAuthToken) -> bool:
        return True

    @property
    def is_interactive(self) -> bool:
        return self.has_login

    def live_refresh_token(self, token: OAuthToken | None) -> str | None:
        refresh_token = None if token is None else token.refresh_token
        return None if refresh_token is None or digest(refresh_token) in self._dead else refresh_token

    def bury(self, digests: Any) -> None:
        self._dead.update(digests)

    def ask_resource(self) -> Steps[Demand | None]:
        self.calls.append("ask")
        return (yield from _bring(self.demand))

    def prepare(self, demand: Demand | None, last: OAuthToken | None) -> Steps[bool]:
        self.calls.append(("prepare", demand))
        self.is_known = True
        return (yield from _bring(self.brings_more))

    def has_moved(self, last: OAuthToken | None) -> Steps[bool]:
        self.calls.append("moved?")
        return (yield from _bring(self.moved.pop(0) if self.moved else False))

    def has_another_client(self, error: OAuthError) -> Steps[bool]:
        self.calls.append("client?")
        return (yield from _bring(self.forgotten.pop(0) if self.forgotten else False))

    def refresh(self, refresh_token: str, scope: str | None, key: Any = None) -> Steps[OAuthToken]:
        self.calls.append("refresh")
        brought = self.refreshes.pop(0)
        if isinstance(brought, ReauthorizationRequired):  # stands for a server's final refusal
            self.bury([digest(refresh_token)])
            raise TokenError("refused")
        return (yield from _bring(brought))

    def request_token(self, last: OAuthToken | None, refusal: TokenError | None, key: Any = None) -> Steps[OAuthToken]:
        self.calls.append("request")
        return (yield from _bring(self.tokens.pop(0)))

    def authorize(
        self, cancelled: threading.Event, key: Any = None, demands: Mapping[str, str] | None = None
    ) -> Callable[[], Steps[OAuthToken]]:
        self.calls.append("log in")
        self.demands.append(demands or {})
        return lambda: self.request_token(None, None, key)


def _bring(what: _T | OAuthError) -> Steps[_T]:
    yield from ()
    if isinstance(what, OAuthError):
        raise what
    return what
