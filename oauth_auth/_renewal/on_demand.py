"""Acquires a token where the resource says itself what it wants: the second procedure, beside `acquisition`.

    look into the store ───► a sibling's newer token: take it
    renew where the token is from; if that server fails, or is doubted: has the resource another one by now?
    else ask the resource ─► it wants no token: there's none
    find out server, client and scope, and let the user log in, or ask as a service

Under a look (`Reason.LOOK`) nobody is asked for anything: what can't be renewed is absent.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from .._flight import do
from .._server.calls import HeldUp, Steps
from .._server.grant import OnDemandGrant
from .._wire.challenges import Demand
from ..errors import OAuthError, ReauthorizationRequired, TokenError
from .acquisition import Acquisition, AuthorizationRequired, Making, Order
from .decisions import Purpose, Reason
from .effects import Unlock
from .landing import Acquired, Nothing, Why
from .store_entry import StoreEntry
from .tokens import Tokens

__all__ = ["OnDemand"]


class OnDemand:
    """How an auth object gets its next token where the resource is to say whether it wants one, and from where."""

    __slots__ = ("_acquisition", "_grant", "_making", "_tokens")

    def __init__(self, tokens: Tokens, making: Making, grant: OnDemandGrant, entry: StoreEntry) -> None:
        self._acquisition = Acquisition(tokens, making, grant, entry)
        self._tokens = tokens
        self._making = making
        self._grant = grant

    def acquire(self, order: Order) -> Steps[Acquired | Nothing]:
        """Return a token that replaces the one that's held. Raises `OAuthError`."""
        purpose = order.purpose
        found, excluded = yield from self._acquisition.find(order)
        if found is not None:
            return found
        if purpose.reason is Reason.LOGIN:
            return (yield from self._log_in(order, excluded))
        result = yield from self._renew(purpose, excluded)
        if not isinstance(result, AuthorizationRequired):
            return result
        self._acquisition.require_user(purpose.reason, result)
        demand = purpose.demand
        if demand is None and purpose.reason is not Reason.REJECTED:  # nobody knows what it wants
            demand = yield from self._grant.ask_resource()
            if demand is None and purpose.reason is Reason.ASK:
                return Nothing(Why.BARE)
        yield from self._grant.prepare(demand, self._tokens.known.last)
        if self._grant.is_interactive:
            return (yield from self._authorize(order, excluded, demand))
        result = yield from self._making.renew(purpose, excluded)
        assert not isinstance(result, AuthorizationRequired)  # noqa: S101 - it's prepared now
        return result

    def _log_in(self, order: Order, excluded: Collection[str | None]) -> Steps[Acquired | Nothing]:
        """Authorize as the resource demands, whatever token there is; if nobody has said how, ask it."""
        demand = order.purpose.demand
        is_demanded = demand is not None
        if not is_demanded:
            demand = yield from self._grant.ask_resource()
        if not (yield from self._grant.prepare(demand, self._tokens.known.last)) and is_demanded:
            return Nothing(Why.VAIN)
        return (yield from self._authorize(order, excluded, demand))

    def _renew(
        self, purpose: Purpose, excluded: Collection[str | None]
    ) -> Steps[Acquired | Nothing | AuthorizationRequired]:
        """Renew where the token is from, unless its resource has another server by now.

        The resource is asked for that only if a token fresh from the server was rejected, or the server fails.
        """
        last, is_look = self._tokens.known.last, purpose.reason is Reason.LOOK
        if is_look and last is None:
            return Nothing(Why.ABSENT)  # there's nothing to renew, and so nothing to lock
        if purpose.doubts_server:
            with suppress(TokenError):
                yield from self._grant.has_moved(last)
        try:
            result = yield from self._making.renew(purpose, excluded)
        except (HeldUp, ReauthorizationRequired):
            if purpose.reason not in {Reason.LOOK, Reason.ASK}:
                raise
            return Nothing(Why.ABSENT if is_look else Why.BARE)
        except TokenError as error:
            if not (is_look or purpose.reason.may_ask_user):
                raise
            failure = error
        else:
            return Nothing(Why.ABSENT) if is_look and isinstance(result, AuthorizationRequired) else result
        yield from do(Unlock())
        is_elsewhere = False
        with suppress(TokenError):
            is_elsewhere = yield from self._grant.has_moved(last)
        if not is_elsewhere:
            raise failure
        return Nothing(Why.ABSENT) if is_look else AuthorizationRequired(failure)

    def _authorize(
        self, order: Order, excluded: Collection[str | None], demand: Demand | None
    ) -> Steps[Acquired | Nothing]:
        """Authorize, once more if the server has forgotten the client meanwhile."""
        try:
            return (yield from self._acquisition.authorize(excluded, order.cancelled, demand))
        except OAuthError as error:
            if not (yield from self._grant.has_another_client(error)):
                raise
        yield from do(Unlock())
        order.cancelled.clear()
        return (yield from self._acquisition.authorize(excluded, order.cancelled, demand))
