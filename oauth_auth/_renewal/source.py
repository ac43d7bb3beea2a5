"""A `TokenSource` keeps a program's current credential, and knows when a new one is due and who waits for it.

    no token, or expired ──► callers wait for a flight
    ── refresh_at ─────────► one flight in the background; the token is still sent, and nobody waits
    ── stale_at ───────────► callers wait for a flight; if one fails, the old token is sent until it expires
    rejected by an API ────► that caller waits for a flight, unless there's a newer token already

Plug-ins read `current` and compare its `refresh_at` with the clock themselves: that's the hot path, and it's theirs.
All that isn't hot goes through `_plan`, which decides under a lock without any I/O, and then through a `Flight`,
which does the I/O without a lock, see `_acquisition`, and publishes what comes.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .._events import emit
from .._flight import Flight
from .._server.grants import Grant
from .._wire.token import Credential, OAuthToken
from .._wire.urls import MOST_ORIGINS
from ..errors import OAuthError, ReauthorizationRequired, TokenError
from .acquisition import Acquisition, Aim, PutOff, RenewalSettings
from .backoff import Failure, OriginBreaker, Pause
from .store_entry import StoreEntry

__all__ = ["TokenSource"]

_lock = threading.RLock()
"""Guards the decisions of all sources: held for microseconds, never across I/O.

Re-entrant, so that a signal handler or a finalizer that sends a request doesn't wait for the code that it interrupts.
A flight publishes without it, else such a handler would wait for a flight that waits for the lock. That's safe since
a flight is the only one to write while it's under way, and decisions look first for a flight, then at what it wrote.
"""

if hasattr(os, "register_at_fork"):
    # Held across a fork, so that the child finds no decision half made and no lock that nobody will release.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class _Outcome(NamedTuple):
    """How a flight ended: with a credential, or with an error that each waiter raises a copy of."""

    credential: Credential | None
    error: OAuthError | None
    is_new: bool = False
    is_inconclusive: bool = False
    """Whether those that wait for it should look for themselves: it was launched when nobody did."""


_PUT_OFF = _Outcome(None, None, is_inconclusive=True)
"""A flight that nobody waited for when it began, and that left the renewal to a sibling or to a later time."""

_LOOK_PAUSE = 1.0
"""Between two looks at what a sibling does, in seconds, or less where there's less time left."""


_STEP = 0.5
"""How often a login that has just begun is told that it's over, in seconds."""


class _Wait(NamedTuple):
    """A caller's wait for a flight, of `timeout` seconds at most."""

    flight: Flight[_Outcome]
    timeout: float | None = None


class _SameToken(TokenError):
    """A renewal brought the token that was there before, as from a provider's cache; another may come later."""

    retryable = True


class TokenSource:
    """One program's tokens from one grant. Safe to use from threads, tasks, several event loops and forked children.

    `token` is a token to begin with; of it and a stored one the later expiry wins.
    """

    __slots__ = (
        "__weakref__",
        "_acquisition",
        "_failure",
        "_flight",
        "_grant",
        "_login_is_over",
        "_looked",
        "_put_off_at",
        "_renewal",
        "_shelf",
        "current",
        "rejecting_origins",
    )

    def __init__(
        self,
        grant: Grant,
        renewal: RenewalSettings,
        *,
        token: OAuthToken | None = None,
        shelf: StoreEntry | None = None,
    ) -> None:
        self._grant = grant
        self._renewal = renewal
        self._shelf = shelf or StoreEntry(None, "")
        self._acquisition = Acquisition(grant, renewal, self._shelf, token)
        self.current: Credential | None = None
        """The credential that requests are sent with. Published by one assignment, so it can be read without a lock."""
        # With a store or a code to look at first, the token given isn't sent before a flight has done so.
        if token is not None and not self._shelf.is_shared and not grant.has_unredeemed_code:
            self.current = self._acquisition.credential(token)
        self._forget_the_moment()

    def _forget_the_moment(self) -> None:
        self.rejecting_origins: dict[Hashable, OriginBreaker] = {}
        """Origins that rejected a token and haven't accepted any since; an origin is whatever the plug-in calls it."""
        self._flight: Flight[_Outcome] | None = None
        self._failure: Failure | None = None
        self._put_off_at = 0.0
        """When a renewal was last put off, in Unix time."""
        self._looked: Pause | None = None
        """The pause after a look for a sibling's token, while the server refuses to give one."""
        self._login_is_over = threading.Event()
        """Set to end the login that the present flight may be waiting for."""

    # -- What callers use ---------------------------------------------------------------------------------------

    @property
    def token(self) -> OAuthToken | None:
        """The current token, or the one given to begin with; no I/O."""
        current = self.current
        return self._acquisition.last if current is None else current.token

    @property
    def renews(self) -> bool:
        """Whether there can ever be another token than the first."""
        return self._grant.renews

    def obtain(self) -> Credential:
        """Return a credential to send now; block if there is none yet. Raises `OAuthError`."""
        while True:
            step = self._plan()
            if isinstance(step, Credential):
                return step
            with _noting_the_wait():
                outcome = step.flight.wait(step.timeout)
            if (credential := self._after_the_wait(outcome)) is not None:
                return credential

    async def aobtain(self) -> Credential:
        """Do the same for a task of asyncio or trio."""
        while True:
            step = self._plan()
            if isinstance(step, Credential):
                return step
            with _noting_the_wait():
                outcome = await step.flight.wait_async(step.timeout)
            if (credential := self._after_the_wait(outcome)) is not None:
                return credential

    def renew(self) -> Credential:
        """Return a credential newer than the current one, whatever its age; share a running flight that brings one."""
        while True:
            outcome = self._plan_renewal().wait()
            if outcome is not None and not outcome.is_inconclusive and (outcome.is_new or outcome.error is not None):
                return self._settle(outcome, forced=True)

    async def arenew(self) -> Credential:
        """Do the same for a task of asyncio or trio."""
        while True:
            outcome = await self._plan_renewal().wait_async()
            if outcome is not None and not outcome.is_inconclusive and (outcome.is_new or outcome.error is not None):
                return self._settle(outcome, forced=True)

    def replace(self, rejected: str, origin: Hashable, about: str) -> Credential | None:
        """Return a credential to replace the one with this header, which the origin has rejected.

        None means that the origin rejects every token, so that another one now would be a waste. Errors end in `about`.
        """
        for _ in range(3):
            step = self._plan_replacement(rejected, origin, about)
            if step is None or isinstance(step, Credential):
                return step
            with _noting_the_wait():
                outcome = step.flight.wait()
            if outcome is None or outcome.is_inconclusive:
                continue
            credential = self._settle(outcome, rejected=rejected, about=about)
            if credential.header != rejected:
                return credential
        return None

    async def areplace(self, rejected: str, origin: Hashable, about: str) -> Credential | None:
        """Do the same for a task of asyncio or trio."""
        for _ in range(3):
            step = self._plan_replacement(rejected, origin, about)
            if step is None or isinstance(step, Credential):
                return step
            with _noting_the_wait():
                outcome = await step.flight.wait_async()
            if outcome is None or outcome.is_inconclusive:
                continue
            credential = self._settle(outcome, rejected=rejected, about=about)
            if credential.header != rejected:
                return credential
        return None

    def log_in(self) -> Credential:
        """Have a person log in, though there may be a token that's good; return the new credential."""
        with _lock:
            flight = self._launch(Aim(asks_anew=True, may_ask=True))
        outcome = flight.wait()
        return self._settle(outcome or _PUT_OFF, forced=True)

    def look(self) -> OAuthToken | None:
        """Return the newest token known, after a look into the store, whatever its age; block meanwhile."""
        return self._acquisition.look()

    @property
    def has_unsaved(self) -> bool:
        """Whether the last token couldn't be saved in the store."""
        return self._acquisition.unsaved is not None

    def revoke(self) -> None:
        """End the newest token at the server and forget it. Raises `OAuthError` for what went wrong, afterwards."""
        while True:
            flight, is_own = self._plan_revocation()
            outcome = flight.wait()
            if is_own and outcome is not None:
                return self._raise(outcome)

    async def arevoke(self) -> None:
        """Do the same for a task of asyncio or trio."""
        while True:
            flight, is_own = self._plan_revocation()
            outcome = await flight.wait_async()
            if is_own and outcome is not None:
                return self._raise(outcome)

    def _raise(self, outcome: _Outcome) -> None:
        if outcome.error is not None:
            raise outcome.error.without_traceback()

    def trust(self, origin: Hashable) -> None:
        """Note that an origin accepted a token; needed only where it's `rejecting_origins`."""
        with _lock:
            self.rejecting_origins.pop(origin, None)

    def finish(self) -> None:
        """Block until no flight is under way; a login that somebody is to do is given up."""
        while (flight := self._flight) is not None and flight.is_under_way and not flight.is_ours:
            self._login_is_over.set()
            flight.wait(_STEP)

    async def afinish(self) -> None:
        """Do the same for a task of asyncio or trio."""
        while (flight := self._flight) is not None and flight.is_under_way and not flight.is_ours:
            self._login_is_over.set()
            await flight.wait_async(_STEP)

    def __getstate__(self) -> dict[str, Any]:
        names = ("_acquisition", "_grant", "_renewal", "_shelf", "current")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._forget_the_moment()

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenSource:
        """Share store, callbacks, the user's client and what the grant has learned: none of them can be doubled."""
        twin = copy.copy(self)
        twin._acquisition = copy.copy(self._acquisition)  # noqa: SLF001 - its own
        return twin

    def _after_the_wait(self, outcome: _Outcome | None) -> Credential | None:
        """Return what to send after a wait that brought this, or nothing in time; None: decide again."""
        if outcome is None:
            return self._unexpired()
        return None if outcome.is_inconclusive else self._settle(outcome)

    def _settle(
        self, outcome: _Outcome, *, rejected: str | None = None, forced: bool = False, about: str = ""
    ) -> Credential:
        """Return the flight's credential, else the old one while it lasts, else raise the flight's error."""
        if outcome.credential is not None:
            return outcome.credential
        current = self._unexpired()
        if current is not None and not forced and current.header != rejected:
            return current
        raise (outcome.error or TokenError("the renewal was put off")).without_traceback(about)

    def _unexpired(self) -> Credential | None:
        current = self.current
        return current if current is not None and time.time() < current.expires_at else None

    # -- Decisions: under the lock, without I/O -----------------------------------------------------------------

    def _plan(self) -> Credential | _Wait:
        """Decide for a request that is to be sent now."""
        with _lock:
            flight = self._under_way()
            current, now = self.current, time.time()
            if current is None or now >= current.expires_at:
                return _Wait(self._join(flight) or self._launch_unless_held(Aim(may_ask=True)))
            if now >= current.stale_at and not self._does_not_hurry(current, flight):
                # Half of what the old token has left to live is spent waiting; then it's sent while it lasts. A sibling
                # that renews, or was killed meanwhile, isn't waited for.
                left = current.expires_at - now
                return _Wait(self._join(flight) or self._launch(Aim(lock_wait=0.0)), left / 2)
            if now >= current.refresh_at and flight is None:
                flight = self._renew_in_background(current, now)
        if flight is not None:
            flight.start(in_background=True)
        return current

    def _renew_in_background(self, current: Credential, now: float) -> Flight[_Outcome] | None:
        """Return a flight to start that nobody waits for; keep other callers on the hot path meanwhile."""
        failure = self._pausing()
        pause = self._renewal.token_timeout if failure is None else failure.pause.rest
        latest = current.stale_at if now < current.stale_at else current.expires_at
        self.current = dataclasses.replace(current, refresh_at=min(latest, now + pause))
        if self._acquisition.unsaved is not None and now < current.due_at:
            return self._launch_with(self._catch_up)
        if failure is not None:
            return None
        in_time = now < current.due_at + (current.stale_at - current.due_at) * 0.75
        return self._launch(Aim(lock_wait=0.0, may_put_off=in_time))

    def _does_not_hurry(self, current: Credential, flight: Flight[_Outcome] | None) -> bool:
        """Tell whether waiting for a renewal is in vain, as far as is known: one failed, or is put off, or falters."""
        failed = self._failure is not None and self._failure.at >= current.due_at
        return failed or self._put_off_at >= current.due_at or (flight is not None and flight.is_retrying)

    def _plan_renewal(self) -> Flight[_Outcome]:
        """Decide for a caller who wants a new token, come what may."""
        with _lock:
            return self._join(self._under_way()) or self._launch(Aim(forced=True, may_ask=True))

    def _plan_revocation(self) -> tuple[Flight[_Outcome], bool]:
        """Decide for a caller who wants the token ended: after a flight that's under way."""
        with _lock:
            flight = self._join(self._under_way())
            return (self._launch_with(self._revoke), True) if flight is None else (flight, False)

    def _plan_replacement(self, rejected: str, origin: Hashable, about: str) -> Credential | _Wait | None:
        """Decide for a request that was answered with a rejection of its token."""
        with _lock:
            flight = self._under_way()
            current, now = self.current, time.time()
            newer = current if current is not None and current.header != rejected and now < current.expires_at else None
            if newer is not None and (now < newer.stale_at or (flight is None and self._pausing() is not None)):
                return newer
            flight = self._join(flight)
            if flight is None:
                failure = self._pausing()
                held = failure is not None and failure.fails_fast
                if newer is None and not held and not self._may_replace(origin):
                    return None
                flight = self._launch_unless_held(Aim(rejected=rejected, may_ask=True), about)
        return _Wait(flight)

    def _may_replace(self, origin: Hashable) -> bool:
        """Tell whether a token call for this origin makes sense, and count it until the origin accepts a token.

        One token after the other that it rejects before it accepted anything may mean that it rejects them all: the
        first few are replaced at once, the next after growing pauses.
        """
        past = self.rejecting_origins.get(origin)
        if past is not None and past.pause.rest > 0:
            return False
        if self._failure is not None and not isinstance(self._failure.error, _SameToken):
            return True  # the last renewal brought no token that the origin could have rejected
        if len(self.rejecting_origins) >= MOST_ORIGINS:
            self.rejecting_origins.clear()
        self.rejecting_origins[origin] = OriginBreaker.after(past, is_interactive=self._grant.is_interactive)
        return True

    def _under_way(self) -> Flight[_Outcome] | None:
        flight = self._flight
        return flight if flight is not None and flight.is_under_way else None

    def _join(self, flight: Flight[_Outcome] | None) -> Flight[_Outcome] | None:
        """Return the flight to wait for it. Raises `TokenError` for a callback that would wait for itself."""
        if flight is not None and flight.is_ours:
            raise TokenError(
                "a callback of this auth object used the auth object itself, which waits for the callback: "
                "use the token that the callback was given, or another auth object"
            )
        return flight

    def _pausing(self) -> Failure | None:
        failure = self._failure
        return failure if failure is not None and failure.pause.rest > 0 else None

    def _launch_unless_held(self, aim: Aim, about: str = "") -> Flight[_Outcome]:
        """Launch a flight, or raise the failure that holds callers; but a sibling may have stored a token since."""
        failure = self._pausing()
        if failure is None or not failure.fails_fast:
            return self._launch(aim)
        if not self._shelf.is_shared or (self._looked is not None and self._looked.rest > 0):
            raise failure.error.without_traceback(about)
        self._looked = Pause.of(_LOOK_PAUSE)
        return self._launch(aim._replace(only_looks=True))

    def _launch(self, aim: Aim) -> Flight[_Outcome]:
        return self._launch_with(lambda: self._fly(aim))

    def _launch_with(self, work: Callable[[], _Outcome]) -> Flight[_Outcome]:
        self._flight = flight = Flight(work)
        return flight

    # -- The flight: in a thread of its own, without the lock ---------------------------------------------------

    def _fly(self, aim: Aim) -> _Outcome:
        begun = time.monotonic()
        held, self._login_is_over = self.current, threading.Event()
        try:
            token, is_own = self._acquisition.acquire(
                held, aim, lambda token: self._fall_back_on(token, aim.rejected), self._login_is_over
            )
            if is_own:
                self._tell(token)
            credential = self._acquisition.credential(token)
        except PutOff:
            return self._publish_delay(aim)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the callers that wait must be told
            # Where a person could log in, those who have no token any more may still ask them.
            is_inconclusive = isinstance(error, ReauthorizationRequired) and error.retryable
            return self._publish_failure(error, time.monotonic() - begun)._replace(is_inconclusive=is_inconclusive)
        self._publish(held, credential)
        event = "adopted" if not is_own else "acquired" if held is None else "renewed"
        text = f"token {event} in %(duration).3f s, expires in %(expires_in)s s"
        emit(logging.INFO, event, text, duration=time.monotonic() - begun, expires_in=token.expires_in)
        return _Outcome(credential, None, is_own or (held is not None and held.header != credential.header))

    def _publish(self, held: Credential | None, credential: Credential) -> None:
        unsaved = self._acquisition.unsaved
        if unsaved is not None:  # the next request after the pause has it saved
            again = min(credential.refresh_at, time.time() + unsaved.length)
            credential = dataclasses.replace(credential, refresh_at=again)
        self._acquisition.last = credential.token
        self.current = credential
        if held is not None and held.header == credential.header:
            self._pause_after(_SameToken("the renewal brought the same token again"))
        else:
            self._failure = None
        self._flight = None

    def _publish_delay(self, aim: Aim) -> _Outcome:
        """Have the present token sent on, and the next request after a moment look again."""
        failure = self._failure
        self._flight = None
        if aim.only_looks and failure is not None:
            return _Outcome(None, failure.error)
        current, now = self.current, time.time()
        if current is not None:
            self._put_off_at = now
            latest = current.stale_at if now < current.stale_at else current.expires_at
            pause = min(_LOOK_PAUSE, max((latest - now) / 4, 0.05))
            self.current = dataclasses.replace(current, refresh_at=now + pause)
        return _PUT_OFF

    def _catch_up(self) -> _Outcome:
        """Save what couldn't be saved, or take what a sibling saved meanwhile."""
        held = self.current
        try:
            token = None if held is None else self._acquisition.catch_up(held)
        except PutOff:
            token = None
        except BaseException as error:  # noqa: BLE001 - whatever it is, callers may be waiting by now
            return self._publish_failure(error, 0.0)
        if token is not None:
            self._publish(held, self._acquisition.credential(token))
        elif held is not None:
            unsaved = self._acquisition.unsaved
            again = held.due_at if unsaved is None else min(held.due_at, time.time() + unsaved.length)
            self.current = dataclasses.replace(held, refresh_at=again)
        self._flight = None
        return _PUT_OFF

    def _publish_failure(self, error: BaseException, seconds: float) -> _Outcome:
        if isinstance(error, OAuthError):
            ours = error.without_traceback()
        else:
            emit(logging.ERROR, "crashed", "a renewal ended in an unexpected error:\n%(error)s", error=_text_of(error))
            ours = TokenError(f"the renewal ended in an unexpected {type(error).__name__}: see the log")
        pause = self._pause_after(ours)
        self._flight = None
        text = "token call failed after %(duration).3f s, next one in %(pause).1f s at the earliest: %(error)s"
        kind = type(ours).__name__
        emit(logging.WARNING, "failed", text, duration=seconds, pause=pause, error_type=kind, error=str(ours))
        return _Outcome(None, ours)

    def _pause_after(self, error: OAuthError) -> float:
        """Remember a failure, and put off the renewal that was due; return for how many seconds."""
        self._failure = Failure.after(self._failure, error)
        pause = self._failure.pause.length
        current, now = self.current, time.time()
        if current is not None and now >= current.due_at:
            self.current = dataclasses.replace(current, refresh_at=min(max(current.stale_at, now), now + pause))
        return pause

    def _revoke(self) -> _Outcome:
        failure: OAuthError | None = None
        try:
            self._acquisition.revoke()
        except OAuthError as error:
            failure = error.without_traceback()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller must be told
            text = "a revocation ended in an unexpected error:\n%(error)s"
            emit(logging.ERROR, "crashed", text, error=_text_of(error))
            failure = TokenError(f"the revocation ended in an unexpected {type(error).__name__}: see the log")
        self.current = None
        self._failure = None
        self._flight = None
        return _Outcome(None, failure, is_inconclusive=True)

    def _fall_back_on(self, token: OAuthToken, rejected: str | None) -> None:
        """At the start, publish a token in its last seconds, to be sent if there will be no better one."""
        credential = self._acquisition.credential(token)
        if time.time() < credential.expires_at and credential.header != rejected:
            self.current = credential

    def _tell(self, token: OAuthToken) -> None:
        if self._renewal.on_token_update is None:
            return
        try:
            self._renewal.on_token_update(token)
        except BaseException as error:  # noqa: BLE001 - the token is good whatever the callback does
            emit(logging.ERROR, "callback_failed", "on_token_update raised an error:\n%(error)s", error=_text_of(error))


@contextmanager
def _noting_the_wait() -> Iterator[None]:
    begun = time.monotonic()
    yield
    emit(logging.DEBUG, "waited", "waited %(duration).3f s for a token", duration=time.monotonic() - begun)


def _text_of(error: BaseException) -> str:
    """Return an error's traceback as text: its frames, which some handlers look into, hold secrets."""
    return "".join(traceback.format_exception(error))
