"""What a renewal needs of a grant: where tokens come from, and how they are renewed and ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .._wire.token import OAuthToken
from ..errors import TokenError, TokenTransportError
from .calls import Steps

if TYPE_CHECKING:
    from .._keys.dpop import Binding, DPoPKey
    from .._wire.challenges import Demand
    from ..errors import OAuthError

__all__ = ["Grant", "OnDemandGrant"]


class Grant:
    """A grant: where tokens come from. `request_token` and `refresh` are steps, and raise `TokenError`."""

    renews: ClassVar[bool] = True
    """Whether there can ever be a token other than the first one."""

    @property
    def runs_code(self) -> bool:
        """Whether a renewal calls code of the user's."""
        return False

    @property
    def scope(self) -> str | None:
        """The scope that it asks for, if any."""
        return None

    @property
    def transport_error(self) -> type[TokenTransportError]:
        """The class of the error if the server can't be reached; a plug-in's is an error of its HTTP library, too."""
        return TokenTransportError

    @property
    def sends_async(self) -> bool:
        """Whether its calls of the server can be made from tasks of asyncio, and nothing else in it blocks."""
        return False

    @property
    def has_unredeemed_code(self) -> bool:
        """Whether `request_token` is to be used before any token that there is, stored ones included."""
        return False

    @property
    def key_of_code(self) -> DPoPKey | None:
        """The key that the unredeemed code is bound to (RFC 9449 section 10), if that's known."""
        return None

    def live_refresh_token(self, token: OAuthToken | None) -> str | None:
        """Return the refresh token that came with this token, unless a server has refused or replaced it."""
        return None

    def given_refresh_token(self) -> str | None:
        """Return the refresh token that the grant was constructed with, if it's still live."""
        return None

    @property
    def binding(self) -> Binding | None:
        """Which keys its tokens are bound to; None if to none."""
        return None

    def refresh(self, refresh_token: str, scope: str | None, key: DPoPKey | None = None) -> Steps[OAuthToken]:
        """Renew with a live refresh token; `scope` is what was granted with it, None if the server didn't say.

        `key` is the one to bind the token to, here and below; a refresh token has one of its own.
        """
        raise NotImplementedError

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        """Get a token without a refresh token; `refusal` is what ended the one that was tried before."""
        raise NotImplementedError

    @property
    def is_interactive(self) -> bool:
        """Whether only a user can bring a token once no refresh token is live: see `authorize`."""
        return False

    @property
    def needs_authorization(self) -> bool:
        """Whether nothing can be requested now: a user must log in, or it isn't known yet where."""
        return self.is_interactive

    def authorize(
        self, cancelled: threading.Event, key: DPoPKey | None = None, demands: Mapping[str, str] | None = None
    ) -> Callable[[], Steps[OAuthToken]]:
        """Run the interactive login, if there is one; return the steps that redeem its result, or that do without.

        `cancelled` is set when the login is no longer needed; `demands` are parameters of the authorization request
        that an API has asked for (RFC 9470 section 4). Blocks for as long as the user takes, so it's called
        without the store's lock. Raises `OAuthError`.
        """
        return lambda: self.request_token(None, None, key)

    def revoke(self, token: OAuthToken | None) -> Steps[None]:
        """Revoke this token and its refresh token at the server, where it can (RFC 7009). Raises `OAuthError`."""
        yield from ()

    def revoke_refresh_token(self, token: OAuthToken) -> Steps[None]:
        """Revoke this token's refresh token alone, as `revoke` does."""
        yield from ()

    # -- How tokens end, and what is kept of them -------------------------------------------------------------------

    def invalidate(self, token: OAuthToken | None) -> None:
        """Mark this token's refresh token, and the code or refresh token the grant was constructed with, as dead."""

    def bury(self, digests: Iterable[str]) -> None:
        """Mark the refresh tokens with these digests as dead, since a sibling has ended their login."""

    def dump_state(self) -> dict[str, Any]:
        """Return what is worth knowing after a restart, as JSON; it's stored with the token."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `dump_state` returned; unknown keys are ignored."""


class OnDemandGrant(Grant):
    """A grant where no token is asked for before an API demands one, and where it's from may only be found out then."""

    def accepts(self, token: OAuthToken) -> bool:
        """Return whether a token that was found may be sent: not if it's from elsewhere than the user has said."""
        raise NotImplementedError

    def ask_resource(self) -> Steps[Demand | None]:
        """Return what the resource demands of a request without a token; None if it demands nothing."""
        raise NotImplementedError

    def prepare(self, demand: Demand | None, last: OAuthToken | None) -> Steps[bool]:
        """Find out what a new authorization needs to meet a demand; `last` is the newest token, whoever it's from.

        Returns whether it can bring more than the last one has. Raises `OAuthError`.
        """
        raise NotImplementedError

    def has_moved(self, last: OAuthToken | None) -> Steps[bool]:
        """Find out whether the resource has another server than that of the last token. Raises `OAuthError`."""
        raise NotImplementedError

    def has_another_client(self, error: OAuthError) -> Steps[bool]:
        """Forget the client if the error says that the server doesn't know it; return whether another can be had."""
        raise NotImplementedError
