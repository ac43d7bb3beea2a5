"""What is told of a request that carried a token, and of its answer."""

from __future__ import annotations

import logging

from .._events import emit
from .._record import Record
from .._wire.challenges import Demand
from .._wire.urls import without_query

__all__ = ["Rejection", "path_of"]

_LONGEST_SCOPE = 500


class Rejection(Record):
    """A request and the status of its answer, as errors and events name them."""

    method: str | None
    url: str
    """Without its query."""
    status: int

    def __str__(self) -> str:
        return f"{self.method} {self.url} was answered with {self.status}"

    @property
    def path(self) -> str:
        """What it's noted by, see `path_of`."""
        return f"{self.method} {self.url}"

    @property
    def about(self) -> str:
        """The end of an error's text that comes from it."""
        return f" (after {self})"

    def emit_rejection(self, *, can_replay: bool) -> None:
        """Log that it rejects the token, and without `can_replay` that the request won't be sent again."""
        emit(
            logging.INFO,
            "rejected",
            "token rejected: %(method)s %(url)s was answered with %(status)s",
            **self._asdict(),
        )
        if not can_replay:
            text = "not replayed, since the body can't be sent again: %(method)s %(url)s, answered with %(status)s"
            emit(logging.WARNING, "not_replayed", text, **self._asdict())

    def emit_replay(self) -> None:
        """Log that the request is sent again."""
        text = "replayed with another token: %(method)s %(url)s, answered with %(status)s before"
        emit(logging.INFO, "replayed", text, **self._asdict())

    def emit_challenged(self, error: str) -> None:
        """Log that it's about the proof alone, and that another one is sent."""
        text = "another proof is sent: %(method)s %(url)s was answered with %(status)s, error %(error)s"
        emit(logging.DEBUG, "challenged", text, **self._asdict(), error=error, scope=None)

    def emit_demand(self, demand: Demand) -> None:
        """Log that it asks for a token."""
        text = "a token is asked for: %(method)s %(url)s was answered with %(status)s, wants scope %(scope)s"
        emit(logging.DEBUG, "challenged", text, **self._asdict(), error=demand.error, scope=_shown(demand.scope))

    def emit_step_up(self, demand: Demand) -> None:
        """Log that it asks for another login, or for more scope."""
        text = "another authorization is asked for: %(method)s %(url)s was answered with %(status)s, wants %(demands)s"
        wanted = {} if demand.scope is None else {"scope": _shown(demand.scope)}
        emit(logging.INFO, "step_up", text, **self._asdict(), demands={**dict(demand.login), **wanted})

    def emit_stepped_up(self) -> None:
        """Log that it's sent again with the token of another login."""
        text = "stepped up, sent again with another token: %(method)s %(url)s, answered with %(status)s before"
        emit(logging.INFO, "stepped_up", text, **self._asdict())

    def emit_rejected_again(self, error: str | None) -> None:
        """Log that it rejects a new token, too; `error` is the challenge's."""
        text = (
            "a new token was rejected, too: %(method)s %(url)s was answered with %(status)s, error %(error)s; "
            "does the API want another audience or scope, or the tokens of another server?"
        )
        emit(logging.WARNING, "rejected_again", text, **self._asdict(), error=error)

    def emit_insufficient_scope(self, wanted: str | None, present: str) -> None:
        """Log that the token's scope isn't enough."""
        text = (
            "the token's scope isn't enough: %(method)s %(url)s was answered with %(status)s and wants scope "
            "%(wanted_scope)s; the token has %(token_scope)s"
        )
        emit(
            logging.WARNING,
            "insufficient_scope",
            text,
            **self._asdict(),
            wanted_scope=wanted,
            token_scope=present,
        )


def _shown(scope: str | None) -> str | None:
    return None if scope is None else scope[:_LONGEST_SCOPE]


def path_of(method: str | None, url: str) -> str:
    """Return what acceptance and rejection are noted by: the method counts, since APIs treat them differently."""
    return f"{method} {without_query(url)}"
