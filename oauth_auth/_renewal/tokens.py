"""What one auth object knows of its tokens: looks into the store, saves, and failures shared with siblings.

What reads or writes the store is a generator of effects.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from .._clock import Chance, Clock
from .._flight import do
from .._record import Record, replace
from .._server.calls import Steps
from .._server.grant import Grant, OnDemandGrant
from .._wire.token import Credential, OAuthToken, digest
from ..errors import TokenError
from .backoff import asked_pause
from .decisions import Reason, RenewalSettings
from .effects import Load, Loaded, Save, StillHeld
from .entry import Entry, SharedFailure
from .merge import Known, merge
from .store_entry import StoreEntry

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey

__all__ = ["LiveRefreshToken", "Tokens"]

_SHARED_PAUSE = 5.0
"""Seconds after a failure in which siblings on the same store share it; `Retry-After` may make them more."""
_FORMER_NAMES = {"_given": "given", "_stored": "stored"}
"""What attributes are called in pickles."""

_UNREAD = Loaded(Entry(), is_ok=False)


class LiveRefreshToken(Record):
    """A refresh token to renew with, the scope that was granted with it, and the token that it came with, if any."""

    refresh_token: str
    scope: str | None
    token: OAuthToken | None


class Tokens:
    """What one auth object knows of its tokens, of the store's entry, and of siblings' failures."""

    __slots__ = (
        "_chance",
        "_clock",
        "_entry",
        "_grant",
        "_settings",
        "given",
        "known",
        "name",
        "shared_times",
        "stored",
    )

    def __init__(
        self,
        grant: Grant,
        settings: RenewalSettings,
        entry: StoreEntry,
        *,
        token: OAuthToken | None,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._grant = grant
        self._settings = settings
        self._entry = entry
        self._clock = clock
        self._chance = chance
        given = grant.given_refresh_token()
        self.given = None if given is None else digest(given)
        """The digest of the refresh token that the grant was constructed with, as siblings may have been."""
        self.stored = _UNREAD
        """What the store held when last read."""
        self.known = Known(token)
        self.name = f"{chance.uniform(0, 2**52):.0f}"
        """Distinguishes this program's failures from those of siblings."""
        self.shared_times = 0
        """How many renewals in a row have failed, as siblings count them."""

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        for name, value in state[1].items():
            setattr(self, _FORMER_NAMES.get(name, name), value)

    def credential(self, token: OAuthToken) -> Credential:
        """Return what requests are sent with; for a token that's bound to a key, with what makes its proofs."""
        if not self._grant.renews:
            return Credential.unending(token)
        leeway, window, key = self._settings.leeway, self._settings.refresh_window, self.key_of(token)
        proof = None if key is None else key.prover(token.access_token)
        return Credential.from_token(
            token, self._clock(), self._chance, leeway=leeway, refresh_window=window, proof=proof
        )

    def key_of(self, token: OAuthToken | None) -> DPoPKey | None:
        """Return the key that a token is bound to; None if it's bound to none, or to one that isn't known."""
        binding = self._grant.binding
        if binding is None or token is None:
            return None
        return binding.given or self.known.key_of(token)

    def key_for_next(self, token: OAuthToken | None) -> DPoPKey | None:
        """Return the key to bind the next token to, which replaces this one; None if to none."""
        binding = self._grant.binding
        return None if binding is None else binding.key_for(self.key_of(token))

    def check_store(self) -> Steps[OAuthToken | None]:
        """Return the newest token known, after a look into the store; it need not be one that can be sent."""
        yield from self.look(())
        return self.known.last

    def look(self, excluded: Collection[str | None]) -> Steps[OAuthToken | None]:
        """Load; return a token that can be sent instead of making one, unless its header is excluded."""
        stored = yield from self.load()
        if stored.is_ok:
            self._grant.load_state(stored.entry.grant_state)
            if stored.entry.logged_out is not None:
                self._grant.bury(stored.entry.logged_out)
            self.known = merge(self.known, stored.entry)
        last = self.known.last
        if last is None or self._grant.has_unredeemed_code:
            return None
        credential = self.credential(last)
        is_usable = self._clock().wall < credential.stale_at and credential.header not in excluded
        return last if is_usable and self.can_send(last) else None

    def renewed(self, token: OAuthToken, key: DPoPKey | None, *, is_login: bool) -> None:
        """Take in a new token, and the key that it's bound to; `is_login` begins a new login."""
        binding = self._grant.binding
        kept = None if binding is None else binding.use(key)
        self.shared_times = 0
        self.known = self.known.renewed(token, is_login=is_login, key=kept)

    def load(self) -> Steps[Loaded]:
        """Read the store, without a thought of what that means."""
        self.stored = yield from do(Load())
        return self.stored

    def can_send(self, token: OAuthToken) -> bool:
        """Return whether this is a token as asked for: where it's to be bound, it is, and to a key that's known.

        And it's from where the user has said, if a resource was to say so.
        """
        grant = self._grant
        is_bound = grant.binding is None or (token.is_bound and self.key_of(token) is not None)
        return is_bound and (not isinstance(grant, OnDemandGrant) or grant.accepts(token))

    def raise_shared_failure(self, reason: Reason) -> None:
        """Raise the failure of a sibling that has just called the server, instead of calling it again."""
        failure = self.stored.entry.failure
        if failure is None or failure.by == self.name or reason.is_forced:
            return
        if not failure.is_recent(now := self._clock()):
            return
        self.shared_times = failure.times
        raise failure.restored(self._grant.transport_error, now)

    def share_failure(self, error: TokenError, excluded: Collection[str | None]) -> Steps[OAuthToken | None]:
        """Share a failure that may pass through the store; return a token that a sibling has saved meanwhile."""
        if not self._entry.is_shared or not error.retryable:
            return None
        self.shared_times += 1
        pause = max(_SHARED_PAUSE, asked_pause(error))
        now = self._clock()
        failure = SharedFailure.of(error, by=self.name, times=self.shared_times, now=now, pause=pause)
        is_ours = yield from do(StillHeld())
        # The entry is read again, since it's replaced as a whole; the store may work by now.
        token = yield from self.look(excluded)
        if token is None and failure is not None and is_ours and self.stored.is_ok:
            yield from do(Save(replace(self.stored.entry, failure=failure)))
        return token

    def save(self) -> Steps[None]:
        """Save the last token; an entry that can't be read isn't overwritten, and saving is tried again later."""
        token = self.known.last
        if token is None or not self._entry.is_shared:
            return
        known = self.known
        key = known.key_of(token)
        entry = Entry(token, self._grant.dump_state(), known.login, superseded=known.superseded, key=key)
        if self.stored.is_ok and (yield from do(Save(entry))):
            self.known = self.known.saved()
        else:
            self.known = replace(self.known, is_unsaved=True)

    def live_refresh_token(self) -> LiveRefreshToken | None:
        """Return a refresh token to renew with."""
        if self._grant.has_unredeemed_code:
            return None
        for token in (self.known.last, self.known.previous):
            if token is not None and (refresh_token := self._grant.live_refresh_token(token)) is not None:
                return LiveRefreshToken(refresh_token, token.scope, token)
        given = self._grant.given_refresh_token()
        return None if given is None else LiveRefreshToken(given, None, None)
