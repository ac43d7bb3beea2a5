"""What an answer says of the token that its request went with, and what follows from it. Pure.

An answer is read once, by `read`. What's done about it, and in which order, is `due` by that and by what was done
before: so no request is sent more often than it may be, whatever an API answers.
"""

from __future__ import annotations

import enum

from .._record import Record
from .._server.server_state import is_answerable
from .._wire.challenges import (
    Demand,
    Kind,
    demand_for,
    errors_for,
    is_rejection,
    proof_error,
    read_challenges,
    tells_acceptance,
    wanted_scope,
)
from .._wire.words import redact

__all__ = ["Due", "Progress", "Reading", "Rules", "due", "error_said", "read"]

_MOST_TIMES = 3
"""How often a request is sent to a resource that says itself what it wants."""
_MOST_REPLACED = 2
"""How many rejected tokens are replaced for one request: a sibling's may have been revoked as well."""
_LONGEST_CHALLENGES = 16 * 1024
"""More than is read of them."""


class Rules(Record):
    """How an auth object reads answers."""

    rejection_statuses: tuple[int, ...] = (401,)
    steps_up: frozenset[Kind] = frozenset()
    """The demands, beyond a token, that a new authorization is to meet."""
    has_proofs: bool = False
    renews: bool = True
    """Whether there can ever be another token than the first."""
    reach: str | None = None
    """The resource that the token stays in, where a request goes without one until that demands it."""


class Reading(Record):
    """What an answer says of its request's token; it may say several things, as each of its challenges may.

    It's empty where the request has left the origin, or the resource, that may have the token.
    """

    proof_error: str | None = None
    """What it has against the proof alone."""
    demand: Demand | None = None
    """What it demands and can be had: a token, or beyond the one that its request had a login or more scope."""
    rejects: bool = False
    lacks_scope: bool = False
    wanted_scope: str | None = None
    """The scope that's wanted if the token's isn't enough, if it's named."""
    accepts: bool = False
    """Whether its status shows that the token was accepted, if it isn't rejected."""


class Due(enum.Enum):
    """One thing to do about an answer."""

    PROVE = "send it again with another proof"
    MEET = "get the token that's demanded, and send the request again"
    STEP_UP = "have the user log in as is demanded, and send the request again"
    COUNT_VAIN_LOGIN = "note that the last login hasn't helped"
    NOTE = "note that the token is accepted, or that its scope isn't enough, if that's so"
    COUNT_VAIN_DEMAND = "note that the token which was demanded is rejected"
    REPLACE = "replace the rejected token, and send the request again"
    TELL_REJECTED_AGAIN = "log that a new token is rejected, too"


class Progress(Record):
    """What was done for a request, before the answer that's looked at now."""

    has_token: bool = True
    was_led_here: bool = False
    """Whether it was sent again before a redirect led to it: that's done once."""
    times_sent: int = 1
    """How often it was sent, but for what was only about a proof."""
    is_fresh: bool = False
    """Whether its token was made for the very demand of an answer to it: another wouldn't help."""
    replaced: int = 0
    """How many rejected tokens were replaced."""
    is_final: bool = False
    """Whether the last of them was replaced by one that was made because of the rejection."""
    login: Demand | None = None
    """What a login was made for since a token was replaced."""
    proved: tuple[tuple[str, str], ...] = ()
    """The URLs and errors for which another proof was sent with this token.

    By URL, since in httpx the answer may be one to a request that a redirect has led on, with a copy of the proof.
    """

    def may_prove(self, url: str, error: str, had: str | None, given: str | None) -> bool:
        """Return whether another proof is sent to this URL; the last one `had` a nonce, the answer has `given` one."""
        return is_answerable(error, had, given, [answered for where, answered in self.proved if where == url])

    def after_proof(self, url: str, error: str) -> Progress:
        """Return it after another proof was sent."""
        return self._replace(proved=(*self.proved, (url, error)))

    def after_demand(self, *, is_fresh: bool) -> Progress:
        """Return it after a request without a token was sent with one."""
        return Progress(times_sent=self.times_sent + 1, is_fresh=is_fresh)

    def after_step_up(self, login: Demand | None) -> Progress:
        """Return it after a request was sent again with the token of another login, made for it or found."""
        return self._replace(times_sent=self.times_sent + 1, login=login, proved=())

    def after_replacement(self, *, is_final: bool) -> Progress:
        """Return it after a request was sent again in place of one whose token was rejected."""
        return Progress(times_sent=self.times_sent + 1, replaced=self.replaced + 1, is_final=is_final)


def read(status: int, challenges: str | None, header: str, rules: Rules, *, demands: bool = True) -> Reading:
    """Return what an answer says of the token with this header, or with "" of there being none.

    `challenges` are its `WWW-Authenticate` headers, joined by commas. Without `demands` these aren't looked for.
    """
    found = read_challenges(challenges) if challenges else []
    lacking = wanted_scope(status, found)
    return Reading(
        proof_error(status, found) if rules.has_proofs else None,
        _demand(status, challenges, header, rules) if demands else None,
        rules.renews and is_rejection(status, found, rules.rejection_statuses, _scheme(header)),
        lacking is not None,
        redact(lacking, _secrets(header)),
        tells_acceptance(status),
    )


def _demand(status: int, challenges: str | None, header: str, rules: Rules) -> Demand | None:
    if header and not rules.steps_up:
        return None
    # What an API repeats of the token is neither told nor asked for.
    redacted = redact(challenges, _secrets(header), _LONGEST_CHALLENGES)
    demand = demand_for(status, redacted, rules.rejection_statuses, _scheme(header))
    return demand if demand is not None and (not header or demand.kind in rules.steps_up) else None


def error_said(challenges: str | None, header: str) -> str | None:
    """Return the error that an answer names for the token with this header, without what it repeats of that."""
    errors = errors_for(_scheme(header), challenges or "")
    return redact(errors[0], _secrets(header)) if errors else None


def due(reading: Reading, progress: Progress, rules: Rules) -> list[Due]:
    """Return what is done about an answer, in this order; with the first that sends the request again it ends."""
    steps = [] if reading.proof_error is None else [Due.PROVE]
    if progress.was_led_here:
        return [*steps, Due.TELL_REJECTED_AGAIN] if reading.rejects else steps
    if not progress.has_token:
        return [] if reading.demand is None else [Due.MEET]
    may_be_sent = rules.reach is None or progress.times_sent < _MOST_TIMES
    if progress.login is not None:
        if reading.demand is not None or reading.rejects:
            # Whatever is wrong with the token now: an API may take turns in what it demands.
            steps.append(Due.COUNT_VAIN_LOGIN)
    elif reading.demand is not None and may_be_sent:
        steps.append(Due.STEP_UP)
    if progress.is_fresh:
        return [*steps, Due.NOTE, *([Due.COUNT_VAIN_DEMAND, Due.TELL_REJECTED_AGAIN] if reading.rejects else ())]
    if progress.replaced or not reading.rejects:
        steps.append(Due.NOTE)
    if reading.rejects:
        is_over = progress.is_final or progress.replaced >= _MOST_REPLACED or not may_be_sent
        steps.append(Due.TELL_REJECTED_AGAIN if is_over else Due.REPLACE)
    return steps


def _scheme(header: str) -> str:
    """Return the scheme of a token's header, in lower case."""
    return header.partition(" ")[0].lower()


def _secrets(header: str) -> tuple[str, ...]:
    """Return what an answer may repeat of a token's header."""
    return (header.partition(" ")[2],)
