"""The grant of a resource that nobody has configured: it finds out server, client and scope, and makes a grant of them.

It has no token logic of its own: the authorization code, device and client credentials grants make the calls. What it
knows of a token is where it's from (see `bonds`), since nobody else may renew it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .._flight import do
from .._wire.challenges import Demand, Kind, is_within, scope_to_ask
from .._wire.identifiers import is_same_issuer
from .._wire.token import OAuthToken
from ..errors import (
    AuthorizationResponseError,
    OAuthError,
    OAuthProviderException,
    ReauthorizationRequired,
    TokenError,
)
from .bonds import Bond
from .calls import Run, Steps
from .grants import ClientCredentialsGrant, TokenCalls, reauthorization
from .operations import OAuthAuthorizationController
from .resource_tokens import STORE_SECONDS, UNKNOWN_CLIENT, ResourceTokens
from .surroundings import ClientIdentity, ResourceOptions, Surroundings

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey
    from ..login._request import AuthorizationRequest
    from .code_grant import AuthorizationCodeGrant
    from .discover import Found

__all__ = ["ResourceGrant"]


class ResourceGrant(ResourceTokens):
    """Discovers, gets a client id, and then delegates to a grant that it makes."""

    def __init__(
        self,
        options: ResourceOptions,
        controller_class: type[OAuthAuthorizationController],
        surroundings: Surroundings,
        token: OAuthToken | None,
    ) -> None:
        super().__init__(options, controller_class, surroundings, token)
        self._asked: str | None = None
        """The scope of the last authorization that was prepared here."""
        self._identity: ClientIdentity | None = None
        """The client of the last authorization, if it was used."""
        self._pending: tuple[AuthorizationCodeGrant, Bond] | None = None
        """The grant whose code was not redeemed yet, and where its token will be from."""

    # -- What a renewal asks ----------------------------------------------------------------------------------------

    @property
    def is_interactive(self) -> bool:
        return self.options.login is not None and not self.has_unredeemed_code

    @property
    def needs_authorization(self) -> bool:
        is_known = self.surroundings.found is not None or self._bonds.latest is not None
        return self.is_interactive or (self.options.is_service and not is_known)

    @property
    def has_unredeemed_code(self) -> bool:
        return self._pending is not None and self._pending[0].has_unredeemed_code

    @property
    def key_of_code(self) -> DPoPKey | None:
        return None if self._pending is None else self._pending[0].key_of_code

    def invalidate(self, token: OAuthToken | None) -> None:
        super().invalidate(token)
        self._pending = None

    # -- Discovery --------------------------------------------------------------------------------------------------

    def ask_resource(self) -> Steps[Demand | None]:
        return (yield from self.surroundings.ask())

    def prepare(self, demand: Demand | None, last: OAuthToken | None) -> Steps[bool]:
        before = self._bonds.of(last) or self._bonds.latest
        found = yield from self._discover(demand)
        is_same = before is not None and is_same_issuer(before.issuer, found.issuer)
        # Scopes of one server say nothing to another.
        asked = before.scope if before is not None and is_same else None
        granted = last.scope if last is not None and is_same else None
        supported = found.resource.scopes
        scope = scope_to_ask(demand, given=self.options.scope, supported=supported, asked=asked, granted=granted)
        self._asked = scope
        is_for_more = demand is not None and demand.kind is Kind.SCOPE
        return not is_for_more or not is_within(scope, granted or asked)

    def has_moved(self, last: OAuthToken | None) -> Steps[bool]:
        bond = self._bonds.of(last) or self._bonds.latest
        if bond is None:
            return False
        found = yield from self._discover(None)
        return not is_same_issuer(bond.issuer, found.issuer)

    def _discover(self, demand: Demand | None) -> Steps[Found]:
        found = yield from self.surroundings.discover(demand, self._bonds.latest)
        self._bonds.move(found.issuer)
        if found.resource.requires_dpop:
            self._bind_to_key()
        return found

    # -- Authorization ----------------------------------------------------------------------------------------------

    def authorize(
        self, cancelled: threading.Event, key: DPoPKey | None = None, demands: Mapping[str, str] | None = None
    ) -> Callable[[], Steps[OAuthToken]]:
        found = self.surroundings.found
        assert found is not None  # noqa: S101 - `prepare` comes first
        if self.options.login is None:
            return lambda: self.request_token(None, None, key)
        self._identity = None
        if self.options.has_device_login:
            return self._authorize_device(found, cancelled, key, demands)
        return self._authorize_by_code(found, cancelled, key, demands)

    def _authorize_by_code(
        self,
        found: Found,
        cancelled: threading.Event,
        key: DPoPKey | None,
        demands: Mapping[str, str] | None,
    ) -> Callable[[], Steps[OAuthToken]]:
        from .authorization_request import AuthorizationOptions  # noqa: PLC0415
        from .code_grant import AuthorizationCodeGrant, log_in  # noqa: PLC0415 - the plug-ins have loaded it

        options = self.options
        made: list[tuple[AuthorizationCodeGrant, ClientIdentity]] = []

        def make(redirect_uri: str) -> AuthorizationRequest:
            identity, calls = self._calls_for_new(found, redirect_uri)
            inner = AuthorizationCodeGrant(
                calls,
                code=None,
                redirect_uri=None,
                code_verifier=None,
                options=AuthorizationOptions(
                    options.authorization_parameters,
                    {"resource": found.resource.resource, **options.targets, **options.details},
                    self.surroundings.offline_access,
                ),
            )
            made.append((inner, identity))
            return calls.endpoints.calls.run(inner.authorization_request(redirect_uri, key, demands))

        kept = None
        if options.client_id is None:
            kept = self.surroundings.registrations.find_latest(found.issuer)
        registered_uri = None if kept is None else kept.redirect_uri
        try:
            request, code = log_in(options.login, make, options.redirect_uri, cancelled, registered_uri)
        except OAuthError as error:
            # One that was cancelled may end much later, while another is under way.
            if made and not cancelled.is_set():
                self._identity = made[-1][1]
                if isinstance(error, ReauthorizationRequired) and error.__cause__ is None:
                    self._forget_client()  # a server that doesn't know it tells the user alone
            raise
        grant, identity = made[-1]

        def redeem() -> Steps[OAuthToken]:
            bond = self._bond_of_new(found, identity, key)
            self._identity, self._pending = identity, (grant, bond)
            return self._noted(grant.redeem(request, code, key), bond, grant)

        return redeem

    def _authorize_device(
        self,
        found: Found,
        cancelled: threading.Event,
        key: DPoPKey | None,
        demands: Mapping[str, str] | None,
    ) -> Callable[[], Steps[OAuthToken]]:
        from .device_grant import DeviceCodeGrant, show_on_stderr  # noqa: PLC0415 - the plug-ins have loaded it

        identity, calls = self._calls_for_new(found, None)
        show = self.options.login.show or show_on_stderr
        grant = DeviceCodeGrant(calls, show=show, offline_access=self.surroundings.offline_access)
        try:
            redeem = grant.authorize(cancelled, key, demands)
        except OAuthError:
            if not cancelled.is_set():
                self._identity = identity
            raise
        return lambda: self._noted(redeem(), self._bond_of_new(found, identity, key), grant)

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        if self._pending is not None and self._pending[0].has_unredeemed_code:
            grant, bond = self._pending
            return (yield from self._noted(grant.request_token(last, refusal, key), bond, grant))
        if not self.options.is_service:
            if last is None and refusal is None:
                raise ReauthorizationRequired(
                    f"nobody is logged in to {self.options.resource}: pass login=, such as BrowserLogin(), "
                    f"or run: oauth-auth login {self.options.resource}"
                )
            raise reauthorization(None, last, refusal) from refusal
        identity = self.surroundings.client_given(str(self.options.client_id))
        found, known = self.surroundings.found, self._bonds.latest
        if found is not None:
            scope = self._asked or (None if known is None else known.scope)
            bond, endpoints = self._bond_of_new(found, identity, key)._replace(scope=scope), found.endpoints
        else:
            assert known is not None  # noqa: S101 - `is_prepared` says so
            bond, endpoints = known, self.surroundings.endpoints_of(known.issuer)
        service = ClientCredentialsGrant(self._token_calls(endpoints, identity, bond))
        return (yield from self._noted(service.request_token(last, refusal, key), bond, service))

    # -- The client --------------------------------------------------------------------------------------------------

    def has_another_client(self, error: OAuthError) -> Steps[bool]:
        is_unknown = isinstance(error, OAuthProviderException | AuthorizationResponseError)
        if not is_unknown or error.error not in UNKNOWN_CLIENT:  # type: ignore[attr-defined]
            return False
        if self._identity is None or self._identity.registration is None:
            return False
        yield from do(Run(self._forget_client, STORE_SECONDS))
        self._pending = None
        return True

    def _calls_for_new(self, found: Found, redirect_uri: str | None) -> tuple[ClientIdentity, TokenCalls]:
        """Return the client of a new authorization, registered if need be, and what it calls with.

        Blocks. Raises `TokenError`.
        """
        identity = self.surroundings.client_for(found, redirect_uri, self._asked)
        return identity, self._token_calls(found.endpoints, identity, self._bond_of_new(found, identity, None))

    def _bond_of_new(self, found: Found, identity: ClientIdentity, key: DPoPKey | None) -> Bond:
        registration = identity.registration
        return Bond(
            found.issuer,
            identity.client_id,
            found.resource.resource,
            scope=self._asked,
            redirect_uri=None if registration is None else registration.redirect_uri,
            is_registered=registration is not None,
            is_bound=key is not None,
        )

    def _forget_client(self) -> None:
        """Forget the client of the last authorization, if it was registered dynamically; blocks for the store."""
        if self._identity is not None and self._identity.registration is not None:
            self.surroundings.registrations.forget(self._identity.registration)
