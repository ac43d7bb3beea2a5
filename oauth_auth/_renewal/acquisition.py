"""How a flight comes to a token: from the store, where a sibling may have put a newer one, else from the grant.

    look into the store ──► a sibling's newer token: take it
    take the store's lock ─► taken: put off, or wait, as the aim says
    look again ────────────► a sibling's newer token: take it
    renew, or go the grant's own way
       (if a person must log in: release the lock, ask them, take it again, look again)
    the lock is still ours? ► no, and a sibling has saved a token meanwhile: take that one
    save ──────────────────► fails: try again later; the token serves this program meanwhile

An `Acquisition` is used by one flight at a time.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection
from typing import NamedTuple, TypeVar

from .._flight import Flight, mark_retrying
from .._server.grants import Grant, ends_refresh_token, reauthorization
from .._wire.token import Credential, OAuthToken
from ..errors import OAuthError, ReauthorizationRequired, TokenError, TokenStoreError
from ..stores import LockTaken
from ..stores._protocol import LOCK_WAIT
from .backoff import Pause
from .store_entry import StoreEntry, StoreSession

__all__ = ["Acquisition", "Aim", "PutOff", "RenewalSettings", "StoreUnread"]

_T = TypeVar("_T")

_ASKING_STEP = 0.5
"""How often, in seconds, the store is looked at while a person logs in."""
_FIRST_SAVE_PAUSE = 1.0
_LONGEST_SAVE_PAUSE = 60.0


class RenewalSettings(NamedTuple):
    """When tokens are renewed and what else happens then; times in seconds."""

    leeway: float
    refresh_window: float
    token_timeout: float
    on_token_update: Callable[[OAuthToken], object] | None


class Aim(NamedTuple):
    """What a flight is for."""

    rejected: str | None = None
    """The header that an API has rejected."""
    forced: bool = False
    """Whether a new token is wanted though the present one may be good."""
    lock_wait: float = LOCK_WAIT
    """How long to wait for a sibling's renewal, in seconds; shorter than the default: put off if it takes longer."""
    may_put_off: bool = False
    """Whether there's time to let trouble with the store pass, before a refresh token is used without its lock."""
    only_looks: bool = False
    """Whether only a sibling's token will do, since the server has refused to give another."""
    asks_anew: bool = False
    """Whether a person is to log in though there may be a token that's good."""
    may_ask: bool = False
    """Whether a person may be asked to log in, since there's no token that could be sent meanwhile."""


class _PersonNeeded(Exception):
    """Only a person can bring a token; `refusal` is what ended the last refresh token."""

    def __init__(self, refusal: TokenError | None) -> None:
        super().__init__()
        self.refusal = refusal


class StoreUnread(TokenError):
    """Only a person could bring a token, unless there's one in the store, which can't be read now."""

    retryable = True


class PutOff(Exception):
    """A sibling is renewing, or there's trouble that may pass: go on with the present token and look again later."""


class Acquisition:
    """The tokens that one auth object knows of: the last, the one that a sibling's replaced, the one in the store."""

    __slots__ = ("_grant", "_knows_store", "_renewal", "_seen", "_shelf", "_spare", "last", "unsaved")

    def __init__(self, grant: Grant, renewal: RenewalSettings, shelf: StoreEntry, token: OAuthToken | None) -> None:
        self._grant = grant
        self._renewal = renewal
        self._shelf = shelf
        self.last = token
        """The newest token known, whether or not it can be sent: what is renewed from. A flight that makes another
        sets it when that one is published."""
        self._spare: OAuthToken | None = None
        """The one that a sibling's replaced: asked only if that one's refresh token is refused."""
        self._seen: OAuthToken | None = None
        """What the store held when last looked at; only something else is news."""
        self._knows_store = False
        """Whether the store could be read or written once: only then `_seen` says anything."""
        self.unsaved: Pause | None = None
        """Set while the last token couldn't be saved: the pause before the next attempt."""

    def credential(self, token: OAuthToken) -> Credential:
        """Return what requests are sent with."""
        if not self._grant.renews:
            return Credential.unending(token)
        return Credential.from_token(token, leeway=self._renewal.leeway, refresh_window=self._renewal.refresh_window)

    def acquire(
        self, held: Credential | None, aim: Aim, meanwhile: Callable[[OAuthToken], None], over: threading.Event
    ) -> tuple[OAuthToken, bool]:
        """Return a token to go on with instead of `held`, and whether it was made rather than found in the store.

        `meanwhile` is called with a token that's in its last seconds, before a better one is asked for. `over`, when
        set, ends the wait for a person. Raises `TokenError` and `PutOff`.
        """
        unwanted = {aim.rejected, None if held is None else held.header}
        with self._shelf.visit() as visit:
            token = self._look(visit, unwanted)
            if aim.asks_anew:
                present = None if self.last is None else self.credential(self.last).header
                return self._ask(visit, {*unwanted, present}, over)
            if token is not None and not (aim.forced and held is None):
                return token, False
            if aim.only_looks:
                raise PutOff
            if token is not None:  # a new token is wanted, and this is the one that there was
                unwanted.add(self.credential(token).header)
            if held is None and self.last is not None and not self._grant.has_unredeemed_code:
                meanwhile(self.last)
            try:
                return self._renew(visit, aim, unwanted)
            except _PersonNeeded as needed:
                refusal = needed.refusal
            if not aim.may_ask:
                # No failure that would hold the callers who may ask, later on.
                later = reauthorization("nobody has logged in yet", self.last, refusal)
                later.retryable = True
                raise later
            return self._ask(visit, unwanted, over)

    def _renew(self, visit: StoreSession, aim: Aim, unwanted: Collection[str | None]) -> tuple[OAuthToken, bool]:
        """Make a token under the store's lock."""
        try:
            with visit.lock(aim.lock_wait):
                # A sibling may have renewed while this one waited for the lock.
                if self._shelf.is_shared and (token := self._look(visit, unwanted)) is not None:
                    return token, False
                if aim.may_put_off and self._shelf.is_in_trouble and self._live_refresh_token() is not None:
                    raise PutOff
                return self._make(visit, unwanted)
        except LockTaken:
            raise PutOff from None

    def _ask(
        self, visit: StoreSession, unwanted: Collection[str | None], over: threading.Event
    ) -> tuple[OAuthToken, bool]:
        """Have a person log in, without the lock, which they would hold for minutes; then get the token with it.

        A sibling's token ends the wait, whether a person logged in there or here.
        """
        asking = Flight(lambda: _outcome_of(self._grant.ask, over), daemon=True)
        mark_retrying()
        try:
            while True:
                if not threading.main_thread().is_alive():
                    raise ReauthorizationRequired("a person must log in again: the program ended before they had")
                answer = asking.wait(_ASKING_STEP)
                if over.is_set() and not callable(answer):
                    raise ReauthorizationRequired("a person must log in again: the auth object was closed meanwhile")
                if answer is not None:
                    break
                if self._shelf.is_shared and (token := self._look(visit, unwanted)) is not None:
                    return token, False
        finally:
            over.set()
        if isinstance(answer, BaseException):
            raise answer
        with visit.lock(LOCK_WAIT):
            if self._shelf.is_shared and (token := self._look(visit, unwanted)) is not None:
                return token, False
            return self._keep(visit, answer(), unwanted)

    def look(self) -> OAuthToken | None:
        """Return the newest token known, after a look into the store; it need not be one that can be sent."""
        with self._shelf.visit() as visit:
            self._look(visit, ())
        return self.last

    def revoke(self) -> None:
        """End the newest token at the server, and forget it in the store and here; then raise what went wrong."""
        is_deleted = False
        failure: OAuthError | None = None
        with self._shelf.visit() as visit, visit.lock(LOCK_WAIT):
            self._look(visit, ())
            try:
                self._grant.revoke(self.last)
            except OAuthError as error:
                failure = error
            finally:  # whatever happens, it isn't used any more
                for token in (self.last, self._spare):
                    self._grant.forget(token)
                self.last = self._spare = self.unsaved = None
                if is_deleted := visit.delete():
                    self._seen = None  # else what was seen there counts as old news from now on
        if failure is None and not is_deleted:
            failure = TokenStoreError("the token is forgotten here, but the store could not delete it: see the log")
        if failure is not None:
            raise failure

    def catch_up(self, held: Credential) -> OAuthToken | None:
        """Save what couldn't be saved before; return a sibling's token instead if it's better. Raises `PutOff`."""
        try:
            with self._shelf.visit() as visit, visit.lock(0.0):
                token = self._look(visit, {held.header})
                if self.unsaved is not None and self.last is not None:
                    self._save(visit if visit.could_load else None, self.last)
                return token
        except LockTaken:
            raise PutOff from None

    def _make(self, visit: StoreSession, unwanted: Collection[str | None]) -> tuple[OAuthToken, bool]:
        """Renew with a refresh token, else go the grant's own way; save what comes."""
        refusal = None
        while (refresh_token := self._live_refresh_token()) is not None:
            try:
                token = self._grant.refresh(refresh_token)
            except TokenError as error:
                if not ends_refresh_token(error):
                    raise
                refusal = error
            else:
                break
            # A sibling without the lock may have been faster: what it saved is worth a look before giving up.
            if (adopted := self._look(visit, unwanted)) is not None:
                return adopted, False
        else:
            if self._grant.is_interactive:
                raise _PersonNeeded(refusal)
            try:
                token = self._grant.obtain(self.last, refusal)
            except ReauthorizationRequired as error:
                if not self._shelf.is_shared or visit.could_load:
                    raise
                raise _unread(error) from None
        return self._keep(visit, token, unwanted)

    def _keep(
        self, visit: StoreSession, token: OAuthToken, unwanted: Collection[str | None]
    ) -> tuple[OAuthToken, bool]:
        """Save a new token, unless a sibling has saved one since the lock was lost."""
        if visit.has_lost_lock():
            self.last = token
            if (newer := self._look(visit, unwanted)) is not None and newer is not token:
                return newer, False
        if not visit.could_load:
            visit.load()  # it may be possible by now
        self._save(visit if visit.could_load else None, token)
        return token, True

    def _save(self, visit: StoreSession | None, token: OAuthToken) -> None:
        """Save, or without a visit note that it's still to be done: what can't be read isn't overwritten."""
        if visit is not None and visit.save(token, self._grant.memory()):
            self._seen = token
            self._knows_store = True
            self.unsaved = None
        elif self._shelf.is_shared:
            length = _FIRST_SAVE_PAUSE if self.unsaved is None else self.unsaved.length * 2
            self.unsaved = Pause.of(min(length, _LONGEST_SAVE_PAUSE))

    def _live_refresh_token(self) -> str | None:
        if self._grant.has_unredeemed_code:
            return None
        refresh_token = self._grant.live_refresh_token(self.last)
        if refresh_token is None and self._spare is not None:
            return self._grant.live_refresh_token(self._spare)
        return refresh_token

    def _look(self, visit: StoreSession, unwanted: Collection[str | None]) -> OAuthToken | None:
        """Load; return a token that can be sent instead of making one, unless its header is unwanted."""
        stored, memory = visit.load()
        self._grant.recall(memory)
        if stored is not None and not _same(stored, self._seen):
            self._seen = stored
            # At the first look the later expiry wins, and after a save that failed; else what is new in the store is
            # a sibling's, and newer.
            knows_better = self._knows_store and self.unsaved is None
            if knows_better or self.last is None or _expiry(stored) >= _expiry(self.last):
                self.last, self._spare = stored, self.last
                self.unsaved = None
            else:
                self._spare = stored
        self._knows_store = self._knows_store or visit.could_load
        last = self.last
        if last is None or self._grant.has_unredeemed_code:
            return None
        credential = self.credential(last)
        return last if time.time() < credential.stale_at and credential.header not in unwanted else None


def _unread(error: ReauthorizationRequired) -> TokenError:
    """Return what to say instead while the store may have a token that nobody can read: a login would be too early."""
    unread = StoreUnread(f"the token store can't be read; if there's no token in it, {error}")
    unread.token_url, unread.status_code = error.token_url, error.status_code
    return unread


def _outcome_of(ask: Callable[[threading.Event], _T], over: threading.Event) -> _T | BaseException:
    try:
        return ask(over)
    except BaseException as error:  # noqa: BLE001 - it's raised where it's waited for
        return error


def _same(one: OAuthToken, other: OAuthToken | None) -> bool:
    return other is not None and (one.access_token, one.refresh_token) == (other.access_token, other.refresh_token)


def _expiry(token: OAuthToken) -> float:
    return math.inf if token.expiry is None else token.expiry
