"""A token endpoint that rotates refresh tokens and detects reuse, and auth objects for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.modes import Mode
from tests.support.scripted import Answer, Received
from tests.support.tokens import Tokens

REDIRECT_URI = "https://app.example/callback"

INVALID_GRANT = Answer(400, {"error": "invalid_grant"})


class Rotation:
    """A token endpoint that answers each call with a new refresh token, and ends the family at a spent one.

    Access and refresh token of one answer have the same number.
    """

    def __init__(self, tokens: Tokens) -> None:
        self.live: str | None = "refresh-0"
        self.tokens = tokens
        self.before: Callable[[Received], Answer | None] = lambda _: None
        tokens.answer = self._answer

    def _answer(self, request: Received) -> Answer | None:
        if (answer := self.before(request)) is not None:
            return answer
        if request.form["grant_type"] == ["refresh_token"] and request.form["refresh_token"] != [self.live]:
            self.live = None
            return INVALID_GRANT
        self.live = f"refresh-{self.tokens.issued + 1}"
        self.tokens.fields["refresh_token"] = self.live
        return None

    def revoke(self) -> None:
        """End all tokens, as many servers do when an access token is revoked."""
        self.live = None
        self.tokens.revoke()

    @property
    def calls(self) -> list[str]:
        """What was sent, such as `password`, `refresh-1` or the code."""
        return [sent_with(request) for request in self.tokens.server.requests]


def sent_with(request: Received) -> str:
    form = request.form
    [text] = form.get("refresh_token") or form.get("code") or form["grant_type"]
    return text


def password(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.PasswordAuth(url, "client", "secret", username="alice", password="pass-word", **options)


def refresh_token(mode: Mode, url: str, text: str = "refresh-0", **options: Any) -> Any:
    return mode.plugin.RefreshTokenAuth(url, "client", "secret", refresh_token=text, **options)


def code(mode: Mode, url: str, text: str | None = "the-code", **options: Any) -> Any:
    return mode.plugin.AuthorizationCodeAuth(url, "client", "secret", code=text, redirect_uri=REDIRECT_URI, **options)
