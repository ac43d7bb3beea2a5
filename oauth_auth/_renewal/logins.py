"""How a login is replaced by another one that was led elsewhere, and how it's ended. All of it is effects.

A login is what one refresh token after the other comes from; a logout and a new login concern all programs that share
the store, see `merge`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from .._events import emit
from .._server.calls import Steps
from .._server.reauthorization import reauthorization
from .._wire.token import OAuthToken, digest
from ..errors import OAuthError, TokenStoreError
from .acquisition import Acquired, Acquisition, Deferred
from .decisions import Purpose, Reason
from .effects import Delete, Save
from .entry import Entry
from .merge import Known

__all__ = ["Logins"]


class Logins(Acquisition):
    """How one auth object gets its next token, and how its logins begin and end."""

    __slots__ = ()

    def complete_login(
        self, is_complete: Callable[[], bool], redeem: Callable[[], Steps[OAuthToken]]
    ) -> Steps[Acquired | Deferred]:
        """Return the token of a user's new login, in place of whatever there was; the login before is ended.

        If the store says that this login was completed before, as by the same redirect, nothing changes.
        """

        def make() -> Steps[Acquired]:
            before = self.known.last
            if is_complete():
                if before is None:
                    raise reauthorization("this login was completed before, and has ended since", None, None)
                return Acquired(before, is_own=False)
            token = yield from redeem()
            acquired: Acquired = yield from self._keep(token, (), is_login=True)
            if before is not None and before.refresh_token != token.refresh_token:
                yield from self._end_login(before)
            return acquired

        return (yield from self._under_lock(Purpose(Reason.LOGIN), None, make))

    def _end_login(self, token: OAuthToken) -> Steps[None]:
        """Revoke the refresh token of a login that another has replaced; it isn't used any more, whatever happens."""
        try:
            yield from self._grant.revoke_refresh_token(token)
        except OAuthError as error:
            text = "the login before could not be revoked: %(error)s"
            emit(logging.WARNING, "not_revoked", text, error_type=type(error).__name__, error=str(error))
        self._grant.bury([] if token.refresh_token is None else [digest(token.refresh_token)])

    def revoke(self) -> Steps[None]:
        """Revoke the newest token at the server, and forget it in the store and here; then raise what went wrong.

        The store keeps a mark of the logout: siblings then end this login, too (see `merge`), and don't save it again.
        """
        yield from self._take_lock(Purpose(Reason.FORCED), None)
        yield from self._look(())
        failure: OAuthError | None = None
        try:
            yield from self._grant.revoke(self.known.last)
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
        # An earlier mark stays: some siblings may not have seen it yet.
        given = frozenset() if self._given is None else frozenset({self._given})
        stored = self._stored.entry
        # Nor may what is stored be news to siblings, if this program has forgotten it in an attempt before.
        in_store = Known(stored.token, login=stored.login).digests()
        ended = self.known.digests() | in_store | given | (stored.logged_out or frozenset())
        for token in (self.known.last, self.known.previous):
            self._grant.invalidate(token)
        self.known = self.known.logged_out()
        if not self._entry.is_shared:
            return True
        if ended and (yield Save(Entry(None, self._grant.dump_state(), logged_out=ended))):
            return True
        is_deleted: bool = yield Delete()
        return is_deleted
