"""What an answer says of the token that its request went with. Pure: an answer is read once, by `read`."""

from __future__ import annotations

from .._record import Record
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

__all__ = ["NOTHING", "Answer", "Reading", "Rules", "error_said", "read"]

_LONGEST_CHALLENGES = 16 * 1024
"""More than is read of them."""


class Answer(Record):
    """What is looked at of an answer, and of the request that it answers; each library says it in its own words."""

    status: int
    challenges: str | None
    """Its `WWW-Authenticate` headers, joined by commas."""
    method: str | None
    """The method and the URL of the request."""
    url: str
    proof: str | None
    """The proof that the request had, if any (`DPoP`)."""


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


NOTHING = Reading()
_ACCEPTED = Reading(accepts=True)


def read(status: int, challenges: str | None, header: str, rules: Rules, *, demands: bool = True) -> Reading:
    """Return what an answer says of the token with this header, or with "" of there being none.

    `challenges` are its `WWW-Authenticate` headers, joined by commas. Without `demands` these aren't looked for.
    """
    if not challenges and status not in rules.rejection_statuses:
        return _ACCEPTED if tells_acceptance(status) else NOTHING
    scheme, secrets, demand = header.partition(" ")[0].lower(), _secrets(header), None
    if demands and (not header or rules.steps_up):
        # What an API repeats of the token is neither told nor asked for.
        redacted = redact(challenges, secrets, _LONGEST_CHALLENGES)
        found = demand_for(status, redacted, rules.rejection_statuses, scheme)
        demand = found if found is not None and (not header or found.kind in rules.steps_up) else None
    said = read_challenges(challenges) if challenges else []
    lacking = wanted_scope(status, said)
    return Reading(
        proof_error(status, said) if rules.has_proofs else None,
        demand,
        rules.renews and is_rejection(status, said, rules.rejection_statuses, scheme),
        lacking is not None,
        redact(lacking, secrets) if lacking else None,
        tells_acceptance(status),
    )


def error_said(challenges: str | None, header: str) -> str | None:
    """Return the error that an answer names for the token with this header, without what it repeats of that."""
    errors = errors_for(header.partition(" ")[0].lower(), challenges or "")
    return redact(errors[0], _secrets(header)) if errors else None


def _secrets(header: str) -> tuple[str, ...]:
    """Return what an answer may repeat of a token's header."""
    return (header.partition(" ")[2],)
