"""How flights land: what each ending makes of the state that requests are decided by. Pure.

    a procedure brings    `Acquired`, `Nothing`, or an error
    a landing makes of it a state, an event to emit, and
    what `source` gets      `Got`, `Failed` or `Nothing`: it says what callers get

Each `land_*` returns `Landed`. What a token is sent with was made before, and who publishes the state is a `Slot`.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Mapping

from .._clock import Chance, Now
from .._record import Record
from .._wire.token import Credential, OAuthToken
from ..errors import OAuthError
from .backoff import Cooldown
from .decisions import CHECK_INTERVAL, Purpose, State

__all__ = [
    "Acquired",
    "Event",
    "Failed",
    "FlightOutcome",
    "Flown",
    "Got",
    "Landed",
    "Nothing",
    "Why",
    "land_failed",
    "land_token",
    "land_without",
    "provide",
    "still_valid",
]


class Acquired(Record):
    """A token, and whether it was made here rather than found in the store."""

    token: OAuthToken
    is_own: bool


class Why(enum.Enum):
    """Why there's neither a token nor an error."""

    DEFERRED = "a sibling renews, or the store is in trouble: to be tried again later"
    ABSENT = "none was found, and none was asked for"
    BARE = "the resource was to say whether it wants one, and the request goes without"
    VAIN = "a new login could bring no more than there is"
    ENDED = "the login was ended"


class Nothing(Record):
    """Neither a token nor an error: who waits decides anew."""

    why: Why


class Got(Record):
    """A credential for all that wait."""

    credential: Credential
    is_new: bool
    is_replacement: bool
    """Whether the token was made because the one before was rejected or unwanted."""


class Failed(Record):
    """An error, of which each waiter raises a copy."""

    error: OAuthError
    is_for_all: bool = True
    """Whether it's the error of all that wait; else only of who has launched the flight, and others decide anew."""


FlightOutcome = Got | Failed | Nothing
"""How a flight has ended, for those who wait."""


class Event(Record):
    """What is emitted: see `_events.emit`."""

    level: int
    name: str
    text: str
    fields: Mapping[str, object]


class Landed(Record):
    """What a landing makes of the state, and of the waits."""

    state: State
    outcome: FlightOutcome
    event: Event | None = None


class Flown(Record):
    """What a landing needs to know besides the state and what was brought."""

    now: Now
    chance: Chance
    held: Credential | None = None
    """What requests were sent with when the flight began."""
    has_token: bool = True
    """Whether any token is known, sent or not; there's none if the user has logged out in another program."""
    duration: float = 0.0


def land_token(state: State, acquired: Acquired, credential: Credential, purpose: Purpose, flown: Flown) -> Landed:
    """Land with a token, and what it's sent with. One that was found is new only where another was sent before."""
    held = flown.held
    is_replacement = acquired.is_own and (purpose.reason.replaces or purpose.demand is not None)
    name = "adopted" if not acquired.is_own else "acquired" if held is None else "renewed"
    text = f"token {name} in %(duration).3f s, expires in %(expires_in)s s"
    fields = {"duration": flown.duration, "expires_in": acquired.token.expires_in}
    return Landed(
        state.renewed(credential, flown.now, flown.chance, is_replacement=is_replacement),
        Got(credential, acquired.is_own or (held is not None and held.header != credential.header), is_replacement),
        Event(logging.INFO, name, text, fields),
    )


def land_without(state: State, nothing: Nothing, purpose: Purpose, flown: Flown) -> Landed:
    """Land with neither a token nor an error."""
    match nothing.why:
        case Why.DEFERRED if purpose.check_only and state.failure is not None:
            left = state if flown.has_token else State(failure=state.failure)
            return Landed(left, Failed(state.failure.error))
        case Why.DEFERRED:
            return Landed(still_valid(state, flown).deferred(flown.now), nothing)
        case Why.ABSENT | Why.BARE:
            looked = Cooldown.begin(flown.now, CHECK_INTERVAL)
            return Landed(State(failure=state.failure, looked=looked), nothing)
        case Why.ENDED:
            return Landed(State(), nothing)
        case Why.VAIN:
            return Landed(still_valid(state, flown), nothing)


def land_failed(state: State, error: OAuthError, flown: Flown, *, shared_times: int, is_for_all: bool = True) -> Landed:
    """Land with an error; `shared_times` is how many renewals in a row have failed as siblings count them."""
    if state.credential is not None and not flown.has_token:
        state = State(failure=state.failure)
    state = state.failed(error, flown.now, flown.chance, times=shared_times)
    pause = 0.0 if state.failure is None else state.failure.cooldown.length
    text = "token call failed after %(duration).3f s, next one in %(pause).1f s at the earliest: %(error)s"
    fields = {"duration": flown.duration, "pause": pause, "error_type": type(error).__name__, "error": str(error)}
    return Landed(state, Failed(error, is_for_all), Event(logging.WARNING, "failed", text, fields))


def still_valid(state: State, flown: Flown) -> State:
    """Return the state before the flight; an empty one if the user has logged out in another program."""
    return State() if state.credential is not None and not flown.has_token else state


def provide(state: State, credential: Credential, now: Now, *, rejected: str | None) -> State:
    """Return the state with a stored token in its last seconds, to be sent if no better one comes, unless rejected."""
    is_of_use = now.wall < credential.expires_at and credential.header != rejected
    return state.provided(credential) if is_of_use else state
