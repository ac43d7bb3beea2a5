"""A request that carried a token, and its answer: what that says of the token, and what is logged about it.

Which answers do so is decided by `_wire.challenges`, which token comes next by `_renewal`. A plug-in provides an
`Exchange`, the operations on its library's requests and responses.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any

from .._events import emit
from .._record import Record
from .._server.server_state import Challenges
from .._wire.challenges import (
    Demand,
    demand_for,
    errors_for,
    is_rejection,
    proof_error,
    tells_acceptance,
    wanted_scope,
)
from .._wire.http_fields import can_decompress
from .._wire.identifiers import covers
from .._wire.token import Credential, nonce_in
from .._wire.urls import origin_of, without_query
from .._wire.words import redact
from .auth import TokenAuth

__all__ = [
    "DRAIN_LIMIT",
    "DRAIN_SECONDS",
    "Exchange",
    "Rejection",
    "is_short",
    "may_be_short",
    "path_of",
]

DRAIN_LIMIT = 64 * 1024
"""How much of a rejected answer is read, in bytes as they're sent, so that its connection can be used again."""
DRAIN_SECONDS = 1.0
"""How long that may take; a longer answer, and a slower one, costs the connection."""


class Rejection(Record):
    """A request and the status of its answer, as errors and events name them."""

    method: str | None
    url: str
    status: int

    def __str__(self) -> str:
        return f"{self.method} {self.url} was answered with {self.status}"

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


class Exchange(ABC):
    """A request that carried a token, and its latest answer. In async code the operations may return awaitables."""

    def __init__(self, auth: TokenAuth, response: Any) -> None:
        # Of the package, as this class is.
        self._source = auth._source  # noqa: SLF001
        self._origins = auth._origins  # noqa: SLF001
        self._rejection_statuses = auth._rejection_statuses  # noqa: SLF001
        self._steps_up = auth._steps_up  # noqa: SLF001
        self._reach = auth._reach  # noqa: SLF001
        self._shows_certificate = auth._shows_certificate  # noqa: SLF001
        self.proofs = auth._proofs  # noqa: SLF001
        self.response = response
        """The latest answer: `send_again` replaces it."""
        self.was_replayed = False
        """Whether it was sent again with another token, itself or before a redirect led to it: that's done once."""
        self.times_sent = 1
        """How often it was sent, but for what was only about a proof."""

    # -- What the answer says -----------------------------------------------------------------------------------

    @property
    def status(self) -> int:
        """The answer's status."""
        return int(self.response.status_code)

    @property
    def challenges(self) -> str | None:
        """Its `WWW-Authenticate` headers, joined by commas."""
        found: str | None = self.response.headers.get("WWW-Authenticate")
        return found

    @property
    @abstractmethod
    def target(self) -> tuple[str | None, str]:
        """The method and the URL of the request that it answers."""

    @property
    @abstractmethod
    def leads_elsewhere(self) -> bool:
        """Whether it's a redirect to another origin, which nobody has followed yet."""

    @property
    @abstractmethod
    def proof(self) -> str | None:
        """The proof that the request which it answers had, if any."""

    def proof_error(self, header: str) -> str | None:
        """Return what the answer says against the proof alone, if the request carried the token with this header."""
        if self.proofs is None or not self.carried(header):
            return None
        return proof_error(self.status, self.challenges)

    def demand(self, header: str) -> Demand | None:
        """Return what the answer demands for its request, which had the token with this header, or with "" none."""
        if not self.carried(header):
            return None
        # What an API repeats of the token is neither told nor asked for.
        challenges = redact(self.challenges, _secrets(header), _LONGEST_CHALLENGES)
        return demand_for(self.status, challenges, self._rejection_statuses, _scheme(header))

    def step_up_demand(self, header: str) -> Demand | None:
        """Return what the answer demands beyond the token with this header: another login, or more scope."""
        if not self._steps_up:
            return None
        demand = self.demand(header)
        return demand if demand is not None and demand.kind in self._steps_up else None

    @property
    def may_be_sent_again(self) -> bool:
        """Whether it may be sent once more: a resource that says itself what it wants gets a request three times."""
        return self._reach is None or self.times_sent < _MOST_TIMES

    @property
    def is_within_reach(self) -> bool:
        """Whether the request that it answers went to where the token may be: a redirect may have led it away."""
        return self._reach is None or covers(self._reach, self.target[1])

    def answers_proof(self, challenges: Challenges, error: str) -> bool:
        """Return whether another proof is to be sent; take in nonce and clock of the answer."""
        assert self.proofs is not None  # noqa: S101 - there's an error about one
        url, headers = self.target[1], self.response.headers
        given = self.proofs.note_nonce(url, headers.get("DPoP-Nonce"))
        if error == "invalid_dpop_proof":
            self.proofs.note_date(url, headers)
        return challenges.answer(error, nonce_in(self.proof), given)

    @abstractmethod
    def carried(self, header: str) -> bool:
        """Return whether the request that it answers went to the origin first addressed, with this header, or none."""

    def rejection(self, header: str) -> Rejection | None:
        """Return the request and its answer, if that rejects the token with this header."""
        is_rejecting = is_rejection(self.status, self.challenges, self._rejection_statuses, _scheme(header))
        if not is_rejecting or not self._source.renews or not self.carried(header):
            return None
        return self.summary()

    def summary(self) -> Rejection:
        """Return the request and its answer."""
        method, url = self.target
        return Rejection(method, without_query(url), self.status)

    def accepted_path(self, header: str) -> str | None:
        """Return what accepted the token with this header, as `path_of` does; None if nothing shows that.

        A redirect to another origin does, as to a download; one within the origin may lead to a 401.
        """
        accepts = self.leads_elsewhere or tells_acceptance(self.status)
        return path_of(*self.target) if accepts and self.carried(header) else None

    # -- What is told of it, each thing once ----------------------------------------------------------------------

    def tell_insufficient_scope(self, header: str) -> None:
        """Log it if the answer says that the scope of the token with this header isn't enough."""
        wanted = wanted_scope(self.status, self.challenges)
        if wanted is None or not self.carried(header):
            return
        wanted = redact(wanted, _secrets(header))
        if self._origins.is_news("insufficient_scope", origin_of(self.target[1]), wanted):
            self.summary().emit_insufficient_scope(wanted, self._source.scope_of(header) or "unknown")

    def tell_rejected_again(self, origin: Hashable, header: str) -> None:
        """Log it if the answer rejects the token with this header, which is a new one."""
        rejection = self.rejection(header)
        if rejection is None:
            return
        if self._source.record_rejection_of_new(origin, path_of(rejection.method, rejection.url)):
            errors = errors_for(_scheme(header), self.challenges or "")
            rejection.emit_rejected_again(redact(errors[0], _secrets(header)) if errors else None)

    # -- What is done with it -----------------------------------------------------------------------------------

    @abstractmethod
    def can_replay(self) -> Any:
        """Return whether the request can be sent again with the same bytes; rewind its body."""

    @property
    def is_short(self) -> bool:
        """Whether its connection is worth reading it, and the answer says so."""
        return self.may_be_short and is_short(self.response.headers)

    @property
    def may_be_short(self) -> bool:
        """Whether its connection is worth reading it, as far as is known.

        Not if a certificate was shown on it, which may have been replaced: another connection shows the next one.
        """
        return not self._shows_certificate and may_be_short(self.response.headers)

    @abstractmethod
    def drain(self) -> Any:
        """Read the answer, which frees its connection for others, if it's short and says so; the caller may get it."""

    @abstractmethod
    def discard(self) -> Any:
        """Free the answer's connection: by reading the rest of it, if that's short, else by closing it."""

    @abstractmethod
    def close(self) -> Any:
        """Close the answer, unless it was read."""

    @abstractmethod
    def send_again(self, credential: Credential) -> Any:
        """Send the request with this token and the cookies that the answer sets; the new answer replaces the old."""

    def mind_proofs(self) -> None:
        """Take in the nonce of the latest answer, for the next proof."""
        if self.proofs is not None:
            self.proofs.note_nonce(self.target[1], self.response.headers.get("DPoP-Nonce"))

    def authorize(self, headers: Any, credential: Credential) -> None:
        """Set the headers of the request that is sent again.

        Its proof has the nonce that came with the answer: one that others were given since may be used up by them.
        """
        if self.proofs is None:
            headers["Authorization"] = credential.text
        else:
            method, url = self.target
            nonce = self.proofs.note_nonce(url, self.response.headers.get("DPoP-Nonce"))
            self.proofs.authorize(headers, credential, method, url, nonce)


_MOST_TIMES = 3
_LONGEST_SCOPE = 500
_LONGEST_CHALLENGES = 16 * 1024
"""More than is read of them."""


def _shown(scope: str | None) -> str | None:
    return None if scope is None else scope[:_LONGEST_SCOPE]


def _scheme(header: str) -> str:
    """Return the scheme of a token's header, in lower case."""
    return header.partition(" ")[0].lower()


def _secrets(header: str) -> tuple[str, ...]:
    """Return what an answer may repeat of a token's header."""
    return (header.partition(" ")[2],)


def path_of(method: str | None, url: str) -> str:
    """Return what acceptance and rejection are noted by: the method counts, since APIs treat them differently."""
    return f"{method} {without_query(url)}"


def is_short(headers: Mapping[str, str]) -> bool:
    """Return whether an answer says that reading it costs less than another connection."""
    return headers.get("Content-Length") is not None and may_be_short(headers)


def may_be_short(headers: Mapping[str, str]) -> bool:
    """Return whether an answer doesn't say that it's too long to be read, or packed in an unknown way."""
    length = headers.get("Content-Length") or "0"
    return can_decompress(headers.get("Content-Encoding")) and length.isdecimal() and int(length) <= DRAIN_LIMIT
