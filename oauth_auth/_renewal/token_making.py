"""Makes a token under the store's lock, so that of all programs on one store one does.

take the store's lock ─► taken: defer, or wait, as the purpose says, and look meanwhile
look again ────────────► a sibling's newer token: take it; a sibling's failure just now: share it
refresh, or request a token (see `_server.grants`)
the lock is still ours? ► no, and a sibling has saved a token meanwhile: take that one
save ──────────────────► fails: tried again later; the token serves this program meanwhile
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypeVar

from .._record import Record
from .._server.calls import HeldUp, Steps
from .._server.grants import reauthorization
from .._wire.token import OAuthToken
from ..errors import ReauthorizationRequired, TokenError
from ..stores import LockTaken
from .decisions import Purpose, Reason
from .effects import Load, Lock, StillHeld, Unlock
from .entry import store_unread
from .known_tokens import KnownTokens
from .store_entry import Locked

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey

__all__ = ["LOOK_INTERVAL", "Acquired", "AuthorizationRequired", "Deferred", "TokenMaking"]

LOOK_INTERVAL = 0.5
"""Seconds between two looks into the store while a sibling renews, or a user logs in."""
_MOST_HOLD_UPS = 2
"""How often a program looks into the store again if it's held up between its look and the token call."""

_NO_WAIT_FOR_LOCK = {Reason.DUE, Reason.STALE, Reason.UNSAVED}
"""Reasons for which a lock that a sibling holds isn't waited for: there's a token that can be sent meanwhile."""


class Acquired(Record):
    """A token, and whether it was made here rather than found in the store."""

    token: OAuthToken
    is_own: bool


class Deferred(Record):
    """No token now: a sibling renews, or the store is in trouble; to be tried again later."""


class AuthorizationRequired(Record):
    """Only a new authorization can bring a token; `refusal` is what ended the last refresh token."""

    refusal: TokenError | None


_Result = TypeVar("_Result")


class TokenMaking(KnownTokens):
    """How one auth object makes its next token."""

    __slots__ = ()

    def _renew(
        self, purpose: Purpose, excluded: Collection[str | None]
    ) -> Steps[Acquired | Deferred | AuthorizationRequired]:
        """Make a token under the store's lock; a failure that may pass is left there for siblings."""

        def make() -> Steps[Acquired | Deferred | AuthorizationRequired]:
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
        if isinstance(result, AuthorizationRequired):
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
        while (yield Lock(LOOK_INTERVAL if may_wait else 0.0, is_spare)) is Locked.TAKEN:
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

    def _make(self, excluded: Collection[str | None]) -> Steps[Acquired | AuthorizationRequired]:
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
            return AuthorizationRequired(refusal)
        key = self._grant.key_of_code or self._key_for_next(self.known.last)
        try:
            token = yield from self._grant.request_token(self.known.last, refusal, key)
        except ReauthorizationRequired as error:
            if not self._entry.is_shared or self._stored.is_ok:
                raise
            raise store_unread(error) from None
        return (yield from self._keep(token, key, excluded, is_login=True))

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
