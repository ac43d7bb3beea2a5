"""Acquires a token for one renewal: from the store, where a sibling may have put a newer one, else from the grant.

    look into the store ──► a sibling's newer token: take it
    renew under the lock ─► see `token_making`
       (if a user must log in: release the lock, let them, take it again, look again)

All of it is generators of effects: no clock but the one passed in, no thread, no store, no client. An `Acquisition` is
used by one renewal at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress

from .._record import Record
from .._server.calls import HeldUp, Steps
from .._server.grants import reauthorization
from .._wire.challenges import Demand
from .._wire.token import Credential, OAuthToken
from ..errors import OAuthError, ReauthorizationRequired, TokenError
from .decisions import Purpose, Reason
from .effects import Authorize, Await, Lock, Unlock
from .store_entry import Locked
from .token_making import LOOK_INTERVAL, Acquired, AuthorizationRequired, Deferred, TokenMaking

__all__ = ["Absent", "Acquisition", "Vain"]

_INTERACTIVE = {Reason.MISSING, Reason.REJECTED, Reason.FORCED, Reason.LOGIN, Reason.ASK}
"""Reasons for which a user may be asked to log in: there's no token that could be sent meanwhile."""


class Absent(Record):
    """No token, and none was asked for."""


class Vain(Record):
    """No token, since a new login could bring no more than there is."""


class Acquisition(TokenMaking):
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
        if not isinstance(result, AuthorizationRequired):
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
    ) -> Steps[Acquired | Deferred | Absent | AuthorizationRequired]:
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
            is_absent = isinstance(result, AuthorizationRequired) and purpose.reason is Reason.LOOK
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
        return Absent() if purpose.reason is Reason.LOOK else AuthorizationRequired(failure)

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
        assert not isinstance(result, AuthorizationRequired)  # noqa: S101 - it's prepared now
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
                outcome = yield Await(LOOK_INTERVAL)
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
