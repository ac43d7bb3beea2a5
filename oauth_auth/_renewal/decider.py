"""How callers decide, under a lock and without I/O, and what they make of a flight that has landed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._clock import Now
from .._wire.token import Credential
from ..errors import TokenError
from .decisions import Around, Bare, Decision, Fail, Send, State, Wait
from .landing import FlightLike, FlightOutcome, decision_lock
from .renewer import Renewer

__all__ = ["Decider", "joined"]


class Decider(Renewer):
    """The part of a `TokenSource` that applies `decisions` to its state, and launches what they call for."""

    __slots__ = ()

    def _decide(self, decide: Callable[[State, Now, Around], tuple[Any, State]], about: str = "") -> tuple[Any, Any]:
        """Return the decision, and the flight under way or launched by it. Raises the error that it calls for."""
        with decision_lock:
            flight, before = self._under_way(), self._state  # the flight first, then what it wrote
            decision: Decision
            decision, after = decide(before, self._clock(), self._around(flight))
            if after is not before:  # never while a flight is under way: it may publish just now
                self._publish(after)
            if isinstance(decision, Fail):
                raise decision.error.without_traceback(about)
            if isinstance(decision, Send | Wait | Bare) and decision.launch is not None:
                flight = self._launch(self._fly(decision.launch))
        return decision, flight

    def _around(self, flight: FlightLike | None) -> Around:
        is_retrying = flight is not None and flight.is_retrying
        return Around(flight is not None, is_retrying, self._entry.is_shared, self._settings.token_timeout)

    def _settle(
        self, outcome: FlightOutcome, *, rejected: str | None = None, forced: bool = False, about: str = ""
    ) -> Credential:
        """Return the flight's credential, else the old one while it lasts, else raise the flight's error."""
        if outcome.credential is not None:
            return outcome.credential
        current = self._state.unexpired(self._clock())
        if current is not None and not forced and current.header != rejected:
            return current
        raise (outcome.error or TokenError("the renewal was deferred")).without_traceback(about)


def joined(flight: FlightLike | None) -> FlightLike:
    """Return a flight to wait for. Raises `TokenError` for a callback that would wait for itself."""
    assert flight is not None  # noqa: S101 - a decision to wait has found or launched one
    if flight.is_reentrant:
        raise TokenError(
            "a callback of this auth object used the auth object itself, which waits for the callback: "
            "use the token that the callback was given, or another auth object"
        )
    return flight
