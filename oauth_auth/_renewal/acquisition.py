"""Acquires a token for one renewal: from the store, where a sibling may have put a newer one, else from the grant.

    look into the store ──► a sibling's newer token: take it
    take the store's lock ─► taken: defer, or wait, as the purpose says, and look meanwhile
    look again ────────────► a sibling's newer token: take it; a sibling's failure just now: share it
    refresh, or request a token (see `_server.grants`)
       (if a user must log in: release the lock, let them, take it again, look again)
    the lock is still ours? ► no, and a sibling has saved a token meanwhile: take that one
    save ──────────────────► fails: tried again later; the token serves this program meanwhile

All of it is generators of effects: no clock but the one passed in, no thread, no store, no client. An `Acquisition` is
used by one renewal at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from .._record import Record
from .._server.calls import HeldUp, Steps
from .._server.reauthorization import reauthorization
from .._wire.challenges import Demand
from .._wire.token import Credential, OAuthToken
from ..errors import OAuthError, ReauthorizationRequired, TokenError
from ..stores import LockTaken
from .decisions import Purpose, Reason
from .effects import Authorize, Await, Load, Lock, StillHeld, Unlock
from .entry import store_unread
from .known_tokens import KnownTokens
from .store_entry import Locked

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey

__all__ = ["Absent", "Acquired", "Acquisition", "Deferred", "Vain"]

_LOOK_INTERVAL = 0.5
"""Seconds between two looks into the store while a sibling renews, or a user logs in."""
_MOST_HOLD_UPS = 2
"""How often a program looks into the store again if it's held up between its look and the token call."""

_INTERACTIVE = {Reason.MISSING, Reason.REJECTED, Reason.FORCED, Reason.LOGIN, Reason.ASK}
"""Reasons for which a user may be asked to log in: there's no token that could be sent meanwhile."""
_NO_WAIT_FOR_LOCK = {Reason.DUE, Reason.STALE, Reason.UNSAVED}
"""Reasons for which a lock that a sibling holds isn't waited for: there's a token that can be sent meanwhile."""


class Acquired(Record):
    """A token, and whether it was made here rather than found in the store."""

    token: OAuthToken
    is_own: bool


class Deferred(Record):
    """No token now: a sibling renews, or the store is in trouble; to be tried again later."""


class Absent(Record):
    """No token, and none was asked for."""


class Vain(Record):
    """No token, since a new login could bring no more than there is."""


class _AuthorizationRequired(Record):
    """Only a new authorization can bring a token; `refusal` is what ended the last refresh token."""

    refusal: TokenError | None


_Result = TypeVar("_Result")


class Acquisition(KnownTokens):
    """How one auth object gets its next token."""

    __slots__ = ()

    def acquire(
        self,
        held: Credential | None,
        purpose: Purpose,
        provide: Callable[[OAuthToken], None],
        cancelled: threading.Event,
    ) -> Steps[Acquired | Deferred | Absent | Vain]:
        """Return a token that replaces `held`. Raises `TokenError`.

        `provide` is called with a token in its last seconds; `cancelled`, when set, ends the wait for a user.
        """
        excluded = {purpose.rejected, None if held is None else held.header}
        token = yield from self._look(excluded)
        if purpose.reason is Reason.LOGIN:
            return (yield from self._log_in(token, excluded, purpose.demand, cancelled))
        if token is not None and not (purpose.reason is Reason.FORCED and held is None):
            return Acquired(token, is_own=False)
        if purpose.check_only:
            return Deferred()
        if token is not None:  # a new token is wanted, and this is the old one
            excluded.add(self.credential(token).header)
        last = self.known.last
        if held is None and last is not None and self.can_send(last) and not self._grant.has_unredeemed_code:
            provide(last)
        is_on_demand = self._grant.is_on_demand
        result = yield from (self._renew_on_demand if is_on_demand else self._renew)(purpose, excluded)
        if not isinstance(result, _AuthorizationRequired):
            return result
        if purpose.reason not in _INTERACTIVE:
            # Retryable, so that it doesn't keep later callers from asking a user.
            later = reauthorization(None, self.known.last, result.refusal)
            later.retryable = True
            raise later
        if is_on_demand:
            return (yield from self._authorize_on_demand(purpose, excluded, cancelled))
        return (yield from self._authorize(excluded, cancelled))

    def _log_in(
        self,
        found: OAuthToken | None,
        excluded: Collection[str | None],
        demand: Demand | None,
        cancelled: threading.Event,
    ) -> Steps[Acquired | Deferred | Vain]:
        """Authorize anew, whatever token there is, unless one that was found may be of the login that's demanded.

        Where none is demanded, the resource is asked what it wants, if it's known to tell.
        """
        last, is_demanded = self.known.last, demand is not None
        if is_demanded and found is not None:
            return Acquired(found, is_own=False)
        if not is_demanded and self._grant.is_on_demand:
            demand = yield from self._grant.ask_resource()
        if not (yield from self._grant.prepare(demand, last)) and is_demanded:
            return Vain()
        present = None if last is None else self.credential(last).header
        return (yield from self._authorize({*excluded, present}, cancelled, demand))

    def _renew_on_demand(
        self, purpose: Purpose, excluded: Collection[str | None]
    ) -> Steps[Acquired | Deferred | Absent | _AuthorizationRequired]:
        """Renew where the token is from, unless its resource has another server by now.

        The resource is asked for that only if a token fresh from the server was rejected, or the server fails.
        """
        grant, last = self._grant, self.known.last
        if purpose.reason is Reason.LOOK and last is None:
            return Absent()  # there's nothing to renew, and so nothing to lock
        if purpose.doubts_server:
            with suppress(TokenError):
                yield from grant.has_moved(last)
        try:
            result = yield from self._renew(purpose, excluded)
            is_absent = isinstance(result, _AuthorizationRequired) and purpose.reason is Reason.LOOK
            return Absent() if is_absent else result
        except (HeldUp, ReauthorizationRequired):
            if purpose.reason not in {Reason.LOOK, Reason.ASK}:
                raise
            return Absent()
        except TokenError as error:
            if purpose.reason not in _INTERACTIVE | {Reason.LOOK}:
                raise
            failure = error
        yield Unlock()
        is_elsewhere = False
        with suppress(TokenError):
            is_elsewhere = yield from grant.has_moved(last)
        if not is_elsewhere:
            raise failure
        return Absent() if purpose.reason is Reason.LOOK else _AuthorizationRequired(failure)

    def _authorize_on_demand(
        self, purpose: Purpose, excluded: Collection[str | None], cancelled: threading.Event
    ) -> Steps[Acquired | Deferred | Absent]:
        """Authorize as the resource demands; where nobody knows what that is, it's asked without a token."""
        demand = purpose.demand
        if demand is None and purpose.reason is not Reason.REJECTED:
            demand = yield from self._grant.ask_resource()
            if demand is None and purpose.reason is Reason.ASK:
                return Absent()
        yield from self._grant.prepare(demand, self.known.last)
        if self._grant.is_interactive:
            return (yield from self._authorize(excluded, cancelled, demand))
        result = yield from self._renew(purpose, excluded)
        assert not isinstance(result, _AuthorizationRequired)  # noqa: S101 - it's prepared now
        return result

    def flush_unsaved(self, held: Credential | None) -> Steps[Acquired | Deferred]:
        """Save what couldn't be saved before, or return a sibling's token if it's better."""
        if (yield Lock(0.0)) is Locked.TAKEN and not self.known.is_only_here:
            return Deferred()
        # It's saved even without the lock: the holder needs it, and the lock may be left over from an outage.
        token = yield from self._look({None if held is None else held.header})
        if self.known.is_unsaved:
            yield from self._save()
        return Deferred() if token is None else Acquired(token, is_own=False)

    def _renew(
        self, purpose: Purpose, excluded: Collection[str | None]
    ) -> Steps[Acquired | Deferred | _AuthorizationRequired]:
        """Make a token under the store's lock; a failure that may pass is left there for siblings."""

        def make() -> Steps[Acquired | Deferred | _AuthorizationRequired]:
            if purpose.can_wait and self._entry.is_in_trouble and self._live_refresh_token() is not None:
                return Deferred()
            try:
                return (yield from self._make(excluded))
            except HeldUp:
                raise
            except TokenError as error:  # not a failure that a sibling has shared: sharing it again would never end
                if (token := (yield from self._share_failure(error, excluded))) is not None:
                    return Acquired(token, is_own=False)
                raise

        result = yield from self._under_lock(purpose, excluded, make)
        if isinstance(result, _AuthorizationRequired):
            yield Unlock()
        return result

    def _under_lock(
        self, purpose: Purpose, excluded: Collection[str | None] | None, make: Callable[[], Steps[_Result]]
    ) -> Steps[_Result | Acquired | Deferred]:
        """Take the lock, look, and make a token; look again if the program was held up between look and call.

        With `excluded` None, a token is made whatever a sibling has saved meanwhile.
        """
        for is_last in (False,) * _MOST_HOLD_UPS + (True,):
            found = yield from self._take_lock(purpose, excluded)
            if found is not None:
                return found
            if self._entry.is_shared:
                # A sibling may have renewed, or failed, while this one waited for the lock.
                token = yield from self._look(excluded or ())
                if excluded is not None:
                    if token is not None:
                        return Acquired(token, is_own=False)
                    self._raise_shared_failure(purpose)
            try:
                return (yield from make())
            except HeldUp:
                if is_last:
                    raise
            yield Unlock()
        raise AssertionError  # pragma: no cover - the last round returns or raises

    def _take_lock(
        self, purpose: Purpose, excluded: Collection[str | None] | None
    ) -> Steps[Acquired | Deferred | None]:
        """Take the store's lock; return what was found meanwhile, or None once the renewal may go on.

        While a sibling holds it, the store is looked into, so that waiters needn't each take the lock for a look.
        A renewal goes on without the lock only if the store fails, or if the entry hasn't changed for 30 seconds: the
        holder must be stopped or dead, since a renewal ends earlier, with a new token or a failure in the store. The
        spare lock then lets the waiters go on one after the other.
        With `excluded` None, nothing that's found ends the wait.
        """
        may_wait, is_spare = purpose.reason not in _NO_WAIT_FOR_LOCK, False
        begun, seen = self._clock().monotonic, self._stored.entry
        while (yield Lock(_LOOK_INTERVAL if may_wait else 0.0, is_spare)) is Locked.TAKEN:
            if not may_wait:
                return Deferred()
            token = yield from self._look(excluded or ())
            if excluded is not None:
                if token is not None:
                    return Acquired(token, is_own=False)
                self._raise_shared_failure(purpose)
            if self._stored.entry != seen:
                begun, seen = self._clock().monotonic, self._stored.entry
            if self._clock().monotonic >= begun + self._entry.lock_wait:
                if is_spare:
                    break
                is_spare, begun = True, self._clock().monotonic
        if is_spare:
            text = f"another renewal has held the lock for more than {self._entry.lock_wait:.3g} s"
            self._entry.failed("lock", LockTaken(text))
        return None

    def _make(self, excluded: Collection[str | None]) -> Steps[Acquired | _AuthorizationRequired]:
        """Refresh, else request a token or ask for a user; save the new token."""
        refusal = None
        while (live := self._live_refresh_token()) is not None:
            key = self._key_for_next(live.token)
            try:
                token = yield from self._grant.refresh(live.refresh_token, live.scope, key)
            except TokenError as error:
                if (again := self._live_refresh_token()) is not None and again.refresh_token == live.refresh_token:
                    raise
                refusal = error
            else:
                return (yield from self._keep(token, key, excluded, is_login=False))
            # A sibling without the lock may have refreshed first, and saved its token.
            if (adopted := (yield from self._look(excluded))) is not None:
                return Acquired(adopted, is_own=False)
        if self._grant.is_interactive or not self._grant.is_prepared:
            return _AuthorizationRequired(refusal)
        key = self._grant.key_of_code or self._key_for_next(self.known.last)
        try:
            token = yield from self._grant.request_token(self.known.last, refusal, key)
        except ReauthorizationRequired as error:
            if not self._entry.is_shared or self._stored.is_ok:
                raise
            raise store_unread(error) from None
        return (yield from self._keep(token, key, excluded, is_login=True))

    def _authorize(
        self,
        excluded: Collection[str | None],
        cancelled: threading.Event,
        demand: Demand | None = None,
    ) -> Steps[Acquired | Deferred]:
        """Authorize, once more if the server has forgotten the client meanwhile, see `_authorize_once`."""
        try:
            return (yield from self._authorize_once(excluded, cancelled, demand))
        except OAuthError as error:
            if not (yield from self._grant.has_another_client(error)):
                raise
        yield Unlock()
        cancelled.clear()
        return (yield from self._authorize_once(excluded, cancelled, demand))

    def _authorize_once(
        self, excluded: Collection[str | None], cancelled: threading.Event, demand: Demand | None
    ) -> Steps[Acquired | Deferred]:
        """Let a user log in without the lock, since that takes minutes; then get the token under it.

        A sibling's token ends the wait, whether a user logged in there or here.
        """
        key = self._key_for_next(self.known.last)
        demands = {} if demand is None else dict(demand.login)
        yield Authorize(lambda: self._grant.authorize(cancelled, key, demands))
        try:
            while True:
                outcome = yield Await(_LOOK_INTERVAL)
                if cancelled.is_set() and (outcome is None or outcome.error is not None):
                    raise ReauthorizationRequired("the user must log in: the auth object was closed meanwhile")
                if outcome is not None:
                    break
                if self._entry.is_shared and (token := (yield from self._look(excluded))) is not None:
                    return Acquired(token, is_own=False)
        finally:
            cancelled.set()
        redeem: Callable[[], Steps[OAuthToken]] = outcome.unwrap()

        def make() -> Steps[Acquired]:
            new = yield from redeem()
            return (yield from self._keep(new, key, excluded, is_login=True))

        return (yield from self._under_lock(Purpose(Reason.LOGIN), excluded, make))

    def _keep(
        self, token: OAuthToken, key: DPoPKey | None, excluded: Collection[str | None], *, is_login: bool
    ) -> Steps[Acquired]:
        """Save a new token, and its key, unless a sibling has saved one since the lock was lost."""
        self.shared_times = 0
        is_ours = yield StillHeld()
        self.known = self.known.renewed(token, is_login=is_login, key=self._to_be_kept(key))
        if not is_ours:
            newer = yield from self._look(excluded)
            if newer is not None and newer is not token:
                return Acquired(newer, is_own=False)
            if self.known.last is None:
                raise reauthorization("the user has logged out in another program", None, None)
        if not self._stored.is_ok:
            self._stored = yield Load()  # the store may work by now
        yield from self._save()
        return Acquired(token, is_own=True)
