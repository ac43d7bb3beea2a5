"""Acquires a token for one renewal: from the store, where a sibling may have put a newer one, else from the grant.

    look into the store ──► a sibling's newer token: take it
    under the store's lock, so that of all programs on one store one does:
        taken: defer, or wait, as the reason says, and look meanwhile
        look again ────────────► a sibling's newer token: take it; a sibling's failure just now: share it
        refresh, or request a token (see `_server.grants`)
        the lock is still ours? ► no, and a sibling has saved a token meanwhile: take that one
        save ──────────────────► fails: tried again later; the token serves this program meanwhile
    a user must log in ───► release the lock, let them, take it again, look again

All of it is generators of effects: no clock but the one passed in, no thread, no store, no client. The objects here
know nothing but their parts; they're used by one renewal at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypeVar

from .._clock import Clock
from .._flight import do
from .._record import Record
from .._server.calls import HeldUp, Steps
from .._server.grant import Grant
from .._server.grants import reauthorization
from .._wire.challenges import Demand
from .._wire.token import Credential, OAuthToken
from ..errors import ReauthorizationRequired, TokenError
from ..stores import LockTaken
from .decisions import Purpose, Reason
from .effects import Authorize, Await, Lock, StillHeld, Unlock
from .entry import store_unread
from .landing import Acquired, Nothing, Why
from .store_entry import Locked, StoreEntry
from .tokens import Tokens

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey

__all__ = ["Acquisition", "AuthorizationRequired", "Making", "Order"]

_LOOK_INTERVAL = 0.5
"""Seconds between two looks into the store while a sibling renews, or a user logs in."""
_MOST_HOLD_UPS = 2
"""How often a program looks into the store again if it's held up between its look and the token call."""

_Result = TypeVar("_Result")


class AuthorizationRequired(Record):
    """Only a new authorization can bring a token; `refusal` is what ended the last refresh token."""

    refusal: TokenError | None


class Order(Record):
    """What one renewal has to do: what it's for, what it must not bring, and how its wait for a user is ended."""

    purpose: Purpose
    held: Credential | None
    """What requests are sent with now."""
    provide: Callable[[OAuthToken], None]
    """Is called with a token in its last seconds."""
    cancelled: threading.Event
    """Ends the wait for a user, when it's set."""


class Making:
    """Makes a token under the store's lock."""

    __slots__ = ("_clock", "_entry", "_grant", "_tokens")

    def __init__(self, tokens: Tokens, grant: Grant, entry: StoreEntry, clock: Clock) -> None:
        self._tokens = tokens
        self._grant = grant
        self._entry = entry
        self._clock = clock

    def renew(
        self, purpose: Purpose, excluded: Collection[str | None]
    ) -> Steps[Acquired | Nothing | AuthorizationRequired]:
        """Refresh or request a token under the lock; a failure that may pass is left there for siblings."""

        def make() -> Steps[Acquired | Nothing | AuthorizationRequired]:
            if purpose.can_wait and self._entry.is_in_trouble and self._tokens.live_refresh_token() is not None:
                return Nothing(Why.DEFERRED)
            try:
                return (yield from self._make(excluded))
            except HeldUp:
                raise
            except TokenError as error:  # not a failure that a sibling has shared: sharing it again would never end
                if (token := (yield from self._tokens.share_failure(error, excluded))) is not None:
                    return Acquired(token, is_own=False)
                raise

        result = yield from self.under_lock(purpose.reason, excluded, make)
        if isinstance(result, AuthorizationRequired):
            yield from do(Unlock())
        return result

    def under_lock(
        self, reason: Reason, excluded: Collection[str | None] | None, make: Callable[[], Steps[_Result]]
    ) -> Steps[_Result | Acquired | Nothing]:
        """Take the lock, look, and make a token; look again if the program was held up between look and call.

        With `excluded` None, a token is made whatever a sibling has saved meanwhile.
        """
        for is_last in (False,) * _MOST_HOLD_UPS + (True,):
            found = yield from self.take_lock(reason, excluded)
            if found is not None:
                return found
            if self._entry.is_shared:
                # A sibling may have renewed, or failed, while this one waited for the lock.
                token = yield from self._tokens.look(excluded or ())
                if excluded is not None:
                    if token is not None:
                        return Acquired(token, is_own=False)
                    self._tokens.raise_shared_failure(reason)
            try:
                return (yield from make())
            except HeldUp:
                if is_last:
                    raise
            yield from do(Unlock())
        raise AssertionError  # pragma: no cover - the last round returns or raises

    def take_lock(self, reason: Reason, excluded: Collection[str | None] | None) -> Steps[Acquired | Nothing | None]:
        """Take the store's lock; return what was found meanwhile, or None once the renewal may go on.

        While a sibling holds it, the store is looked into, so that waiters needn't each take the lock for a look.
        A renewal goes on without the lock only if the store fails, or if the entry hasn't changed for 30 seconds: the
        holder must be stopped or dead, since a renewal ends earlier, with a new token or a failure in the store. The
        spare lock then lets the waiters go on one after the other.
        With `excluded` None, nothing that's found ends the wait.
        """
        tokens, patience, is_spare = self._tokens, _LOOK_INTERVAL if reason.waits_for_lock else 0.0, False
        begun, seen = self._clock().monotonic, tokens.stored.entry
        while (yield from do(Lock(patience, is_spare))) is Locked.TAKEN:
            if not reason.waits_for_lock:
                return Nothing(Why.DEFERRED)
            token = yield from tokens.look(excluded or ())
            if excluded is not None:
                if token is not None:
                    return Acquired(token, is_own=False)
                tokens.raise_shared_failure(reason)
            if tokens.stored.entry != seen:
                begun, seen = self._clock().monotonic, tokens.stored.entry
            if self._clock().monotonic >= begun + self._entry.lock_wait:
                if is_spare:
                    break
                is_spare, begun = True, self._clock().monotonic
        if is_spare:
            text = f"another renewal has held the lock for more than {self._entry.lock_wait:.3g} s"
            self._entry.failed("lock", LockTaken(text))
        return None

    def _make(self, excluded: Collection[str | None]) -> Steps[Acquired | AuthorizationRequired]:
        """Refresh, else request a token or ask for a user; save the new token."""
        refusal, tokens = None, self._tokens
        while (live := tokens.live_refresh_token()) is not None:
            key = tokens.key_for_next(live.token)
            try:
                token = yield from self._grant.refresh(live.refresh_token, live.scope, key)
            except TokenError as error:
                if (again := tokens.live_refresh_token()) is not None and again.refresh_token == live.refresh_token:
                    raise
                refusal = error
            else:
                return (yield from self.keep(token, key, excluded, is_login=False))
            # A sibling without the lock may have refreshed first, and saved its token.
            if (adopted := (yield from tokens.look(excluded))) is not None:
                return Acquired(adopted, is_own=False)
        if self._grant.needs_authorization:
            return AuthorizationRequired(refusal)
        key = self._grant.key_of_code or tokens.key_for_next(tokens.known.last)
        try:
            token = yield from self._grant.request_token(tokens.known.last, refusal, key)
        except ReauthorizationRequired as error:
            if not self._entry.is_shared or tokens.stored.is_ok:
                raise
            raise store_unread(error) from None
        return (yield from self.keep(token, key, excluded, is_login=True))

    def keep(
        self, token: OAuthToken, key: DPoPKey | None, excluded: Collection[str | None], *, is_login: bool
    ) -> Steps[Acquired]:
        """Save a new token, and its key, unless a sibling has saved one since the lock was lost."""
        tokens = self._tokens
        is_ours = yield from do(StillHeld())
        tokens.renewed(token, key, is_login=is_login)
        if not is_ours:
            newer = yield from tokens.look(excluded)
            if newer is not None and newer is not token:
                return Acquired(newer, is_own=False)
            if tokens.known.last is None:
                raise reauthorization("the user has logged out in another program", None, None)
        if not tokens.stored.is_ok:
            yield from tokens.load()  # the store may work by now
        yield from tokens.save()
        return Acquired(token, is_own=True)

    def flush(self, held: Credential | None) -> Steps[Acquired | Nothing]:
        """Save what couldn't be saved before, or return a sibling's token if it's better than what is held."""
        tokens = self._tokens
        if (yield from do(Lock(0.0))) is Locked.TAKEN and not tokens.known.is_only_here:
            return Nothing(Why.DEFERRED)
        # It's saved even without the lock: the holder needs it, and the lock may be left over from an outage.
        token = yield from tokens.look({None if held is None else held.header})
        if tokens.known.is_unsaved:
            yield from tokens.save()
        return Nothing(Why.DEFERRED) if token is None else Acquired(token, is_own=False)


class Acquisition:
    """How one auth object gets its next token."""

    __slots__ = ("_entry", "_grant", "_making", "_tokens")

    def __init__(self, tokens: Tokens, making: Making, grant: Grant, entry: StoreEntry) -> None:
        self._tokens = tokens
        self._making = making
        self._grant = grant
        self._entry = entry

    def acquire(self, order: Order) -> Steps[Acquired | Nothing]:
        """Return a token that replaces the one that's held. Raises `OAuthError`."""
        purpose = order.purpose
        found, excluded = yield from self.find(order)
        if found is not None:
            return found
        if purpose.reason is not Reason.LOGIN:
            result = yield from self._making.renew(purpose, excluded)
            if not isinstance(result, AuthorizationRequired):
                return result
            self.require_user(purpose.reason, result)
        return (yield from self.authorize(excluded, order.cancelled, purpose.demand))

    def find(self, order: Order) -> Steps[tuple[Acquired | Nothing | None, Collection[str | None]]]:
        """Look into the store: return a token, or that nothing is left to do; else None. And what isn't to be brought.

        A token that may be sent meanwhile is provided.
        """
        purpose, held, tokens = order.purpose, order.held, self._tokens
        excluded = {purpose.rejected, None if held is None else held.header}
        token = yield from tokens.look(excluded)
        last = tokens.known.last
        if purpose.reason is Reason.LOGIN:
            if token is not None and purpose.demand is not None:  # it may be of the login that's demanded
                return Acquired(token, is_own=False), excluded
            return None, excluded if last is None else {*excluded, tokens.credential(last).header}
        if token is not None and not (purpose.reason is Reason.FORCED and held is None):
            return Acquired(token, is_own=False), excluded
        if purpose.check_only:
            return Nothing(Why.DEFERRED), excluded
        if token is not None:  # a new token is wanted, and this is the old one
            excluded.add(tokens.credential(token).header)
        if held is None and last is not None and tokens.can_send(last) and not self._grant.has_unredeemed_code:
            order.provide(last)
        return None, excluded

    def require_user(self, reason: Reason, required: AuthorizationRequired) -> None:
        """Raise `ReauthorizationRequired` if no user may be asked now."""
        if not reason.may_ask_user:
            # Retryable, so that it doesn't keep later callers from asking a user.
            later = reauthorization(None, self._tokens.known.last, required.refusal)
            later.retryable = True
            raise later

    def authorize(
        self, excluded: Collection[str | None], cancelled: threading.Event, demand: Demand | None = None
    ) -> Steps[Acquired | Nothing]:
        """Let a user log in without the lock, since that takes minutes; then get the token under it.

        A sibling's token ends the wait, whether a user logged in there or here. `demand` is what an API asks of the
        login (RFC 9470).
        """
        grant, tokens = self._grant, self._tokens
        key = tokens.key_for_next(tokens.known.last)
        demands = {} if demand is None else dict(demand.login)
        yield from do(Authorize(lambda: grant.authorize(cancelled, key, demands)))
        try:
            while True:
                outcome = yield from do(Await(_LOOK_INTERVAL))
                if cancelled.is_set() and (outcome is None or outcome.error is not None):
                    raise ReauthorizationRequired("the user must log in: the auth object was closed meanwhile")
                if outcome is not None:
                    break
                if self._entry.is_shared and (token := (yield from tokens.look(excluded))) is not None:
                    return Acquired(token, is_own=False)
        finally:
            cancelled.set()
        redeem: Callable[[], Steps[OAuthToken]] = outcome.unwrap()

        def make() -> Steps[Acquired]:
            new = yield from redeem()
            return (yield from self._making.keep(new, key, excluded, is_login=True))

        return (yield from self._making.under_lock(Reason.LOGIN, excluded, make))
