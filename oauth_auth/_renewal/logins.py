"""How a login is replaced by another one that was led elsewhere, and how it's ended. All of it is effects.

A login is what one refresh token after the other comes from; a logout and a new login concern all programs that share
the store, see `merge`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._events import emit
from .._flight import do
from .._record import Record, replace
from .._server.calls import Steps
from .._server.grant import Grant
from .._server.grants import reauthorization
from .._wire.token import OAuthToken, digest, subject_of
from ..errors import OAuthError, TokenStoreError
from .acquisition import Making
from .decisions import Reason
from .effects import Delete, Save, StillHeld
from .entry import Entry
from .landing import Acquired
from .merge import Known
from .store_entry import StoreEntry
from .tokens import Tokens

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey

__all__ = ["Logins", "NewLogin"]


class NewLogin(Record):
    """A user's login that was led elsewhere, as by a web application."""

    completion: Callable[[], bool | None]
    """Says whether the code was redeemed before: True if it has brought the present login, as with a redirect that
    comes again, which then changes nothing; False if it has brought an earlier one."""
    redeem: Callable[[], Steps[OAuthToken]]
    key: DPoPKey | None = None
    """The key that the code is bound to."""


class Logins:
    """How one auth object's logins begin, where they're led elsewhere, and end."""

    __slots__ = ("_entry", "_grant", "_making", "tokens")

    def __init__(self, tokens: Tokens, making: Making, grant: Grant, entry: StoreEntry) -> None:
        self.tokens = tokens
        self._making = making
        self._grant = grant
        self._entry = entry

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        """Restore what pickles had under this name when it stood for what `Tokens` is now: that, and nothing else."""
        self.tokens = Tokens.__new__(Tokens)
        self.tokens.__setstate__(state)

    def complete_login(self, login: NewLogin) -> Steps[tuple[Acquired, OAuthToken | None]]:
        """Return the token of a user's new login, and that of the login which it has replaced, if it's to be ended."""

        def make() -> Steps[tuple[Acquired, OAuthToken | None]]:
            present, is_present = self.tokens.known.last, login.completion()
            if is_present is not None:
                if present is None or not is_present:
                    raise reauthorization("this login was completed before, and has ended since", None, None)
                return Acquired(present, is_own=False), None
            token = yield from login.redeem()
            before = yield from self._keep(token, login.key)
            return Acquired(token, is_own=True), self._to_be_ended(before, token)

        result = yield from self._making.under_lock(Reason.LOGIN, None, make)
        assert isinstance(result, tuple)  # noqa: S101 - nothing else ends the wait for the lock
        return result

    def _keep(self, token: OAuthToken, key: DPoPKey | None) -> Steps[OAuthToken | None]:
        """Save the token of a new login, whatever siblings have done meanwhile; return that of the one before."""
        tokens = self.tokens
        if not ((yield from do(StillHeld())) and tokens.stored.is_ok):
            yield from tokens.look(())  # what a sibling has saved, if the lock was lost; the store may work by now
        before = tokens.known.last
        tokens.renewed(token, key, is_login=True)
        tokens.known = replace(tokens.known, previous=None)
        yield from tokens.save()
        return before

    def _to_be_ended(self, before: OAuthToken | None, token: OAuthToken) -> OAuthToken | None:
        """Return the token whose refresh token the new login has replaced.

        None where it's the same one, or where the new token isn't saved yet: then siblings have only the old one. And
        None for the same user: many servers end all of a user's tokens with one, the new login's among them.
        """
        if before is None or before.refresh_token is None:
            return None
        if before.refresh_token == token.refresh_token or self.tokens.known.is_unsaved:
            return None
        self._grant.bury([digest(before.refresh_token)])
        subject = subject_of(token)
        return None if subject is not None and subject == subject_of(before) else before

    def end_login(self, token: OAuthToken) -> Steps[None]:
        """Revoke the refresh token of a login that another has replaced; it isn't used any more, whatever happens."""
        try:
            yield from self._grant.revoke_refresh_token(token)
        except OAuthError as error:
            text = "the login before could not be revoked: %(error)s"
            emit(logging.WARNING, "not_revoked", text, error_type=type(error).__name__, error=str(error))

    def revoke(self) -> Steps[None]:
        """Revoke the newest token at the server, and forget it in the store and here; then raise what went wrong.

        The store keeps a mark of the logout: siblings then end this login, too (see `merge`), and don't save it again.
        """
        yield from self._making.take_lock(Reason.FORCED, None)
        yield from self.tokens.look(())
        failure: OAuthError | None = None
        try:
            yield from self._grant.revoke(self.tokens.known.last)
        except OAuthError as error:
            failure = error
        except GeneratorExit:
            raise
        except BaseException:  # whatever happened, the token isn't used any more
            yield from self._forget()
            raise
        if not (yield from self._forget()) and failure is None:
            failure = TokenStoreError("the token is forgotten here, but the store could not delete it: see the log")
        if failure is not None:
            raise failure

    def _forget(self) -> Steps[bool]:
        """Forget all tokens, and leave the mark of a logout in the store; return whether that worked."""
        tokens = self.tokens
        # An earlier mark stays: some siblings may not have seen it yet.
        given = frozenset() if tokens.given is None else frozenset({tokens.given})
        stored = tokens.stored.entry
        # Nor may what is stored be news to siblings, if this program has forgotten it in an attempt before.
        in_store = Known(stored.token, login=stored.login).digests()
        ended = tokens.known.digests() | in_store | given | (stored.logged_out or frozenset())
        for token in (tokens.known.last, tokens.known.previous):
            self._grant.invalidate(token)
        tokens.known = tokens.known.logged_out()
        if not self._entry.is_shared:
            return True
        if ended and (yield from do(Save(Entry(None, self._grant.dump_state(), logged_out=ended)))):
            return True
        return (yield from do(Delete()))
