"""Decides which token a request is sent with, when it's renewed, and who waits. No clock, lock, thread or I/O.

    no token, or expired ──► callers wait for a renewal
    ── refresh_at ─────────► one renewal in the background; the token is still sent, and nobody waits
    ── stale_at ───────────► callers wait for a renewal; if one fails, the old token is sent until it expires
    rejected by an API ────► that caller waits for a renewal, unless there's a newer token already

Rule: whatever decides about the token belongs here. There is one frozen `State`, one function for each question about
it, and one method for each event that changes it. While a renewal is under way, a decision returns
the very same state: the renewal alone may replace it then.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from .._clock import Chance, Now
from .._record import Record, replace
from .._wire.challenges import Demand
from .._wire.token import Credential, OAuthToken
from ..errors import OAuthError, TokenError
from .backoff import Cooldown, Failure, OriginBreaker

__all__ = [
    "CHECK_INTERVAL",
    "Around",
    "Bare",
    "Decision",
    "Decline",
    "Fail",
    "Purpose",
    "Reason",
    "RenewalSettings",
    "SameToken",
    "Send",
    "State",
    "Wait",
    "for_demand",
    "for_offer",
    "for_rejection",
    "for_renewal",
    "for_request",
    "for_step_up",
]

CHECK_INTERVAL = 1.0
"""Seconds between two looks for a sibling's token, or less where less time is left."""


class RenewalSettings(Record):
    """The options that govern renewals; times in seconds."""

    leeway: float
    refresh_window: float
    token_timeout: float
    on_token_update: Callable[[OAuthToken], object] | None


class Reason(enum.Enum):
    """Why a token is acquired."""

    MISSING = "there is none that could be sent"
    STALE = "it expires in a moment: callers wait, but not for a lock"
    DUE = "the refresh window has begun: nobody waits"
    REJECTED = "an API has rejected it"
    FORCED = "the program asked for a new one"
    LOGIN = "the program asked for a new login"
    UNSAVED = "it's good, but couldn't be saved yet"
    LOOK = "there may be one in the store, and nobody has asked for any"
    ASK = "the resource is to say whether it wants one"

    @property
    def may_ask_user(self) -> bool:
        """Whether a user may be asked to log in: there's no token that could be sent meanwhile."""
        return self in {Reason.MISSING, Reason.REJECTED, Reason.FORCED, Reason.LOGIN, Reason.ASK}

    @property
    def waits_for_lock(self) -> bool:
        """Whether a lock that a sibling holds is waited for: else there's a token that can be sent meanwhile."""
        return self not in {Reason.DUE, Reason.STALE, Reason.UNSAVED}

    @property
    def replaces(self) -> bool:
        """Whether the token that there is was rejected, or isn't wanted any more."""
        return self in {Reason.REJECTED, Reason.FORCED, Reason.LOGIN}

    @property
    def is_forced(self) -> bool:
        """Whether a new token is made whatever happened before: a sibling's failure doesn't count."""
        return self in {Reason.FORCED, Reason.LOGIN}


class Purpose(Record):
    """What a renewal is for."""

    reason: Reason
    rejected: str | None = None
    """The header that an API has rejected."""
    can_wait: bool = False
    """Whether there's time to let trouble with the store pass, before a refresh token is used without its lock."""
    check_only: bool = False
    """Whether only a sibling's token is looked for, since the server has refused to issue another."""
    demand: Demand | None = None
    """What an API demands of the new token."""
    doubts_server: bool = False
    """Whether a token fresh from the server was rejected, too, so that the resource may have another server by now."""


class Send(Record):
    """Send the request with this credential now; what is launched runs in the background."""

    credential: Credential
    launch: Purpose | None = None


class Wait(Record):
    """Wait for the renewal under way, or for the one to launch, for `timeout` seconds at most."""

    launch: Purpose | None = None
    timeout: float | None = None
    counts: bool = False
    """Whether the renewal counts against the origin that rejected the token, until it has helped."""
    is_login: bool = False
    """Whether the renewal is a login for the very demand that was to be met."""


class Fail(Record):
    """Raise the last renewal's error: another could not end otherwise now."""

    error: OAuthError


class Decline(Record):
    """Leave the answer to the caller: this origin rejects every token."""


class Bare(Record):
    """Send the request without a token: none is there, and none was asked for. A launch runs in the background."""

    launch: Purpose | None = None


Decision = Send | Wait | Fail | Decline | Bare


class Around(Record):
    """What a decision needs to know besides the state."""

    is_running: bool = False
    """Whether a renewal is under way."""
    is_retrying: bool = False
    """Whether a call of that renewal has failed and is tried again."""
    is_shared: bool = False
    """Whether there's a store, and so may be siblings."""
    token_timeout: float = 10.0
    login_for: Demand | None = None
    """The demand that the renewal under way lets the user log in for."""


class SameToken(TokenError):
    """A renewal brought the token that was there before, as from a provider's cache; another may come later."""

    retryable = True


class State(Record):
    """All that is known of the current token and of the renewals so far. Immutable."""

    credential: Credential | None = None
    """What requests are sent with."""
    failure: Failure | None = None
    """The last renewal's failure, until one works."""
    deferred_at: float = 0.0
    """When a renewal was last deferred, in Unix time."""
    checked: Cooldown | None = None
    """The pause after a look for a sibling's token, while the server refuses to issue one."""
    looked: Cooldown | None = None
    """The pause after a look for a token that was found nowhere, while none was asked for."""
    is_replacement: bool = False
    """Whether the credential was made because the one before was rejected or unwanted; else, if it's rejected at a
    replay, another renewal may help."""

    def unexpired(self, now: Now) -> Credential | None:
        """Return the credential if it can still be sent."""
        current = self.credential
        return current if current is not None and now.wall < current.expires_at else None

    def backing_off(self, now: Now) -> Failure | None:
        """Return the last failure while the cooldown after it lasts."""
        return self.failure if self.failure is not None and self.failure.cooldown.remaining(now) > 0 else None

    def renewed(self, credential: Credential, now: Now, chance: Chance, *, is_replacement: bool = False) -> State:
        """Return the state after a renewal; the very token that there was before counts as a failure."""
        held = self.credential
        if held is None or held.header != credential.header:
            return State(credential, is_replacement=is_replacement)
        same = replace(self, credential=credential)
        return same.failed(SameToken("the renewal brought the same token again"), now, chance)

    def provided(self, credential: Credential) -> State:
        """Return the state with a token in its last seconds, to be sent if there will be no better one."""
        return replace(self, credential=credential)

    def failed(self, error: OAuthError, now: Now, chance: Chance, *, times: int = 0) -> State:
        """Return the state after a renewal that failed; one that was due is postponed until the cooldown ends.

        `times` is how many failures in a row siblings have counted.
        """
        failure = Failure.after(self.failure, error, now, chance, times=times)
        state = replace(self, failure=failure)
        current = self.credential
        if current is None or now.wall < current.due_at:
            return state
        return state.due_again_at(min(max(current.stale_at, now.wall), now.wall + failure.cooldown.length))

    def deferred(self, now: Now) -> State:
        """Return the state after a renewal that left the work to a sibling, or to a time when the store works."""
        current = self.credential
        if current is None:
            return self
        deadline = current.next_deadline(now.wall)
        pause = min(CHECK_INTERVAL, max((deadline - now.wall) / 4, 0.05))
        return replace(self, deferred_at=now.wall).due_again_at(min(now.wall + pause, deadline))

    def due_again_at(self, refresh_at: float) -> State:
        """Return the state with a later renewal: until then requests take the fast path."""
        assert self.credential is not None  # noqa: S101 - callers have looked
        return replace(self, credential=replace(self.credential, refresh_at=refresh_at))

    def waiting_is_pointless(self, around: Around) -> bool:
        """Return whether a renewal has failed, or was deferred, since this token fell due, or is failing now."""
        due_at = 0.0 if self.credential is None else self.credential.due_at
        has_failed = self.failure is not None and self.failure.at >= due_at
        return has_failed or self.deferred_at >= due_at or around.is_retrying


def for_request(
    state: State, now: Now, around: Around, reason: Reason = Reason.MISSING
) -> tuple[Send | Wait | Fail, State]:
    """Decide for a request that is to be sent now; `reason` is why a token is acquired if there's none."""
    current = state.unexpired(now)
    if current is None:
        return (Wait(), state) if around.is_running else _launch(state, Purpose(reason), now, around)
    failure = state.backing_off(now)
    if now.wall >= current.stale_at and failure is None and not state.waiting_is_pointless(around):
        # The wait takes half of the old token's remaining life; then the old token is sent.
        launch = None if around.is_running else Purpose(Reason.STALE)
        return Wait(launch, timeout=(current.expires_at - now.wall) / 2), state
    if now.wall < current.refresh_at or around.is_running:
        return Send(current), state
    pause = around.token_timeout if failure is None else failure.cooldown.remaining(now)
    # Meanwhile other requests take the fast path.
    later = state.due_again_at(min(current.next_deadline(now.wall), now.wall + pause))
    if failure is not None:
        return Send(current), later
    return Send(current, Purpose(Reason.DUE, can_wait=now.wall < current.stale_at)), later


def for_offer(state: State, now: Now, around: Around, *, asks: bool = False) -> tuple[Send | Wait | Fail | Bare, State]:
    """Decide for a request whose API may want no token; with `asks` it's to be asked first.

    Where there's none, and none was asked for, the store is looked into once, and again after a pause while requests
    go on.
    """
    failure = state.backing_off(now)
    if asks and (around.is_running or failure is None or not failure.fails_fast(now)):
        return for_request(state, now, around, Reason.ASK)
    has_failed = state.unexpired(now) is None and failure is not None
    if state.credential is not None and not has_failed:
        return for_request(state, now, around, Reason.LOOK)
    if has_failed or not around.is_shared:
        return Bare(), state  # the API says whether that matters
    if state.looked is None:
        return for_request(state, now, around, Reason.LOOK)
    if around.is_running or state.looked.remaining(now) > 0:
        return Bare(), state
    return Bare(Purpose(Reason.LOOK)), replace(state, looked=Cooldown.begin(now, CHECK_INTERVAL))


def for_demand(state: State, now: Now, around: Around, *, demand: Demand) -> tuple[Send | Wait | Fail, State]:
    """Decide for a request that went without a token, and whose API demands one."""
    current = state.unexpired(now)
    if current is not None:
        return Send(current), state  # it has come since
    if around.is_running:
        return Wait(), state
    return _launch(state, Purpose(Reason.MISSING, demand=demand), now, around)


def for_rejection(
    state: State, now: Now, around: Around, *, rejected: str, path: str, breaker: OriginBreaker | None
) -> tuple[Decision, State]:
    """Decide for a request to a path that has rejected its token, the one with the header `rejected`.

    `breaker` is that of the path's origin, or None while no renewal was vain for it.
    """
    current, failure = state.unexpired(now), state.backing_off(now)
    newer = current if current is not None and current.header != rejected else None
    if newer is not None and (now.wall < newer.stale_at or (failure is not None and not around.is_running)):
        return Send(newer), state  # a late answer for an old token: no token call
    if around.is_running:
        return Wait(), state  # ten rejections, one call
    counts = False
    if newer is None and not (failure is not None and failure.fails_fast(now)):
        if breaker is not None and breaker.blocks(now, path, rejected):
            return Decline(), state
        # After a failure there was no token that the origin could have rejected.
        counts = state.failure is None or isinstance(state.failure.error, SameToken)
    # After the pause that follows vain renewals.
    doubts = breaker is not None and breaker.cooldown.length > 0 and (path, rejected) not in breaker.accepting
    decision, state = _launch(state, Purpose(Reason.REJECTED, rejected, doubts_server=doubts), now, around)
    return (replace(decision, counts=counts) if isinstance(decision, Wait) else decision), state


def for_renewal(state: State, around: Around, reason: Reason) -> tuple[Wait, State]:
    """Decide for a caller who wants a new token whatever the present one's age; one under way is shared."""
    return Wait(None if around.is_running else Purpose(reason)), state


def for_step_up(
    state: State, now: Now, around: Around, *, sent: str, demand: Demand
) -> tuple[Send | Wait | Fail, State]:
    """Decide for a request whose API asks for another login, or more scope, than its token's with the header `sent`.

    A token that has come since is tried first: others may have had the same answer. After a login that failed no user
    is asked again at once.
    """
    if around.is_running:
        return Wait(is_login=around.login_for == demand), state
    current, failure = state.unexpired(now), state.backing_off(now)
    if current is not None and current.header != sent:
        return Send(current), state
    if failure is not None and failure.is_of_login and failure.fails_fast(now):
        return Fail(failure.error), state
    return Wait(Purpose(Reason.LOGIN, demand=demand), is_login=True), state


def _launch(state: State, purpose: Purpose, now: Now, around: Around) -> tuple[Wait | Fail, State]:
    """Launch a renewal that callers wait for, unless the last one failed for good: then look for a sibling's token."""
    failure = state.backing_off(now)
    if failure is None or not failure.fails_fast(now):
        return Wait(purpose), state
    if not around.is_shared or (state.checked is not None and state.checked.remaining(now) > 0):
        return Fail(failure.error), state
    checked = replace(state, checked=Cooldown.begin(now, CHECK_INTERVAL))
    return Wait(replace(purpose, check_only=True)), checked
