"""The grant of a resource that nobody has configured: it finds out server, client and scope, and makes a grant of them.

It has no token logic of its own: the authorization code, device and client credentials grants make the calls. What it
knows of a token is where it's from (see `bonds`), since nobody else may renew it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .._keys.binding import Binding
from .._wire.challenges import Demand, Kind
from .._wire.identifiers import is_same_issuer
from .._wire.scopes import is_within, scope_to_ask
from .._wire.token import OAuthToken, digest
from ..errors import (
    AuthorizationResponseError,
    OAuthError,
    OAuthProviderError,
    OAuthProviderException,
    ReauthorizationRequired,
    TokenError,
    TokenTransportError,
)
from .bonds import Bond, Bonds
from .calls import Run, Steps
from .controller import OAuthAuthorizationController
from .dead_tokens import DeadTokens
from .grant import Grant
from .grants import ClientCredentialsGrant, RefreshingGrant, TokenCalls, TokenEndpointGrant
from .metadata import Endpoints
from .reauthorization import reauthorization
from .surroundings import ClientIdentity, ResourceOptions, Surroundings

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey
    from ..login._request import AuthorizationRequest
    from .authorization_code import AuthorizationCodeGrant
    from .discovery import Found

__all__ = ["ResourceGrant"]

_STORE_SECONDS = 120.0
"""How long the store may take to say which client was registered; it bounds each of its calls itself."""
_UNKNOWN_CLIENT = {OAuthProviderError.INVALID_CLIENT, OAuthProviderError.UNAUTHORIZED_CLIENT}


class ResourceGrant(Grant):
    """Discovers, gets a client id, and then delegates to a grant that it makes."""

    def __init__(
        self,
        options: ResourceOptions,
        controller_class: type[OAuthAuthorizationController],
        surroundings: Surroundings,
        token: OAuthToken | None,
    ) -> None:
        self.options = options
        self.surroundings = surroundings
        self._controller_class = controller_class
        self._bonds, self._dead = Bonds(), DeadTokens()
        self._asked: str | None = None
        """The scope of the last authorization that was prepared here."""
        self._identity: ClientIdentity | None = None
        """The client of the last authorization."""
        self._pending: tuple[AuthorizationCodeGrant, Bond] | None = None
        """The grant whose code was not redeemed yet, and where its token will be from."""
        self._binding = options.binding
        if token is not None and options.issuer is not None and options.client_id is not None:
            # Of a server that only the API names, nobody knows whether the token is from it.
            self._bonds.note(token, Bond(options.issuer, options.client_id, options.resource, scope=token.scope))

    # -- What a renewal asks ----------------------------------------------------------------------------------------

    @property
    def is_on_demand(self) -> bool:
        return True

    @property
    def is_prepared(self) -> bool:
        is_known = self.surroundings.found is not None or self._bonds.latest is not None
        return is_known or not self.options.is_service

    @property
    def is_interactive(self) -> bool:
        return self.options.login is not None and not self.has_unredeemed_code

    @property
    def runs_code(self) -> bool:
        return bool(getattr(self.options.client_auth, "runs_code", False))

    @property
    def scope(self) -> str | None:
        bond = self._bonds.latest
        return self.options.scope if bond is None else bond.scope

    @property
    def transport_error(self) -> type[TokenTransportError]:
        return self.surroundings.calls.transport.error_class

    @property
    def binding(self) -> Binding | None:
        return self._binding

    @property
    def has_unredeemed_code(self) -> bool:
        return self._pending is not None and self._pending[0].has_unredeemed_code

    @property
    def key_of_code(self) -> DPoPKey | None:
        return None if self._pending is None else self._pending[0].key_of_code

    def live_refresh_token(self, token: OAuthToken | None) -> str | None:
        """Return a token's refresh token, unless it's dead, or isn't from where the resource's tokens are from now."""
        bond, issuer = self._bonds.of(token), self.options.issuer
        if bond is None or token is None or token.refresh_token is None or digest(token.refresh_token) in self._dead:
            return None
        if self._bonds.has_left(token) or not (issuer is None or is_same_issuer(bond.issuer, issuer)):
            return None
        return token.refresh_token if self.options.client_id in {None, bond.client_id} else None

    def bury(self, digests: Iterable[str]) -> None:
        self._dead.add(digests)

    def invalidate(self, token: OAuthToken | None) -> None:
        self._pending = None
        if token is not None and token.refresh_token is not None:
            self.bury([digest(token.refresh_token)])

    def dump_state(self) -> dict[str, Any]:
        return self._bonds.dump()

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._bonds.load(state, self.surroundings.may_call)
        bond = self._bonds.latest
        if bond is not None and bond.is_bound:
            self._bind_to_key()

    @property
    def latest_bond(self) -> Bond | None:
        """Where the last token is from."""
        return self._bonds.latest

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

    def _bind_to_key(self) -> None:
        if self._binding is None:
            from .._keys.dpop import prepare  # noqa: PLC0415 - most programs need no keys

            prepare()
            self._binding = Binding()

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
        from .authorization_code import AuthorizationCodeGrant, log_in  # noqa: PLC0415 - the plug-ins have loaded it
        from .authorization_request import AuthorizationOptions  # noqa: PLC0415

        options, inner = self.options, None

        def make(redirect_uri: str) -> AuthorizationRequest:
            nonlocal inner
            calls = self._calls_for_new(found, redirect_uri)
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
            return calls.endpoints.calls.run(inner.authorization_request(redirect_uri, key, demands))

        kept = None
        if options.client_id is None:
            kept = self.surroundings.registrations.find_latest(found.issuer)
        registered_uri = None if kept is None else kept.redirect_uri
        try:
            request, code = log_in(options.login, make, options.redirect_uri, cancelled, registered_uri)
        except ReauthorizationRequired as error:
            if error.__cause__ is None and not cancelled.is_set():
                self._forget_client()  # a server that doesn't know it tells the user alone
            raise
        assert inner is not None  # noqa: S101 - it has made the request
        grant, bond = inner, self._bond_of_new(found, key)
        self._pending = grant, bond
        return lambda: self._noted(grant.redeem(request, code, key), bond, grant)

    def _authorize_device(
        self,
        found: Found,
        cancelled: threading.Event,
        key: DPoPKey | None,
        demands: Mapping[str, str] | None,
    ) -> Callable[[], Steps[OAuthToken]]:
        from .device import DeviceCodeGrant, show_on_stderr  # noqa: PLC0415 - the plug-ins have loaded it

        calls = self._calls_for_new(found, None)
        show = self.options.login.show or show_on_stderr
        grant = DeviceCodeGrant(calls, show=show, offline_access=self.surroundings.offline_access)
        redeem = grant.authorize(cancelled, key, demands)
        return lambda: self._noted(redeem(), self._bond_of_new(found, key), grant)

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
            self._identity = identity
            scope = self._asked or (None if known is None else known.scope)
            bond, endpoints = self._bond_of_new(found, key)._replace(scope=scope), found.endpoints
        else:
            assert known is not None  # noqa: S101 - `is_prepared` says so
            bond, endpoints = known, self.surroundings.endpoints_of(known.issuer)
        service = ClientCredentialsGrant(self._token_calls(endpoints, identity, bond))
        return (yield from self._noted(service.request_token(last, refusal, key), bond, service))

    # -- What is done with a token where it's from --------------------------------------------------------------------

    def refresh(self, refresh_token: str, scope: str | None, key: DPoPKey | None = None) -> Steps[OAuthToken]:
        bond = self._bonds.of_refresh_token(refresh_token)
        assert bond is not None  # noqa: S101 - else it isn't live
        grant, identity = yield from self._grant_of(bond)
        try:
            return (yield from self._noted(grant.refresh(refresh_token, scope, key), bond, grant))
        except OAuthProviderException as error:
            if error.error in _UNKNOWN_CLIENT and bond.is_registered:
                # The client is gone, or what proves it, and with it what was issued to it.
                self.bury([digest(refresh_token)])
                if identity.registration is not None:
                    yield Run(partial(self.surroundings.registrations.forget, identity.registration), _STORE_SECONDS)
            raise

    def has_another_client(self, error: OAuthError) -> Steps[bool]:
        is_unknown = isinstance(error, OAuthProviderException | AuthorizationResponseError)
        if not is_unknown or error.error not in _UNKNOWN_CLIENT:  # type: ignore[attr-defined]
            return False
        if self._identity is None or self._identity.registration is None:
            return False
        yield Run(self._forget_client, _STORE_SECONDS)
        self._pending = None
        return True

    def revoke(self, token: OAuthToken | None) -> Steps[None]:
        bond = self._bonds.of(token)
        if bond is not None:
            grant, _ = yield from self._grant_of(bond)
            yield from grant.revoke(token)

    def revoke_refresh_token(self, token: OAuthToken) -> Steps[None]:
        bond = self._bonds.of(token)
        if bond is not None:
            grant, _ = yield from self._grant_of(bond)
            yield from grant.revoke_refresh_token(token)

    def find_endpoint(self, name: str) -> Steps[str | None]:
        """Return an endpoint of the server that the last token is from; None if there's none. Raises `OAuthError`."""
        bond = self._bonds.latest
        return None if bond is None else (yield from self.surroundings.endpoints_of(bond.issuer).find(name))

    def introspect(self, access_token: str) -> Steps[Mapping[str, Any]]:
        """Return what the server tells about an access token (RFC 7662). Raises `OAuthError`."""
        bond = self._bonds.latest
        if bond is None:
            raise TokenError(f"no server of {self.options.resource} is known yet: get a token first")
        grant, _ = yield from self._grant_of(bond)
        return (yield from grant.introspect(access_token))

    def _grant_of(self, bond: Bond) -> Steps[tuple[RefreshingGrant, ClientIdentity]]:
        identity: ClientIdentity = yield Run(partial(self.surroundings.client_of, bond), _STORE_SECONDS)
        endpoints = self.surroundings.endpoints_of(bond.issuer)
        return RefreshingGrant(self._token_calls(endpoints, identity, bond), self._dead), identity

    def _noted(self, steps: Steps[OAuthToken], bond: Bond, grant: TokenEndpointGrant) -> Steps[OAuthToken]:
        """Get a token by these steps; note where it's from."""
        token = yield from steps
        self._bonds.note(token, bond._replace(learned=grant.client.dump_state()))
        return token

    def _calls_for_new(self, found: Found, redirect_uri: str | None) -> TokenCalls:
        """Return what a new authorization calls with; registers a client if need be. Blocks. Raises `TokenError`."""
        self._identity = self.surroundings.client_for(found, redirect_uri, self._asked)
        return self._token_calls(found.endpoints, self._identity, self._bond_of_new(found, None))

    def _bond_of_new(self, found: Found, key: DPoPKey | None) -> Bond:
        identity = self._identity
        assert identity is not None  # noqa: S101 - the client comes first
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

    def _token_calls(self, endpoints: Endpoints, identity: ClientIdentity, bond: Bond) -> TokenCalls:
        options = self.options
        return TokenCalls(
            self._controller_class._from_endpoints(endpoints),  # noqa: SLF001 - of the package
            endpoints,
            self.surroundings.authenticated(identity, endpoints, bond.learned),
            bond.scope,
            {"resource": bond.resource, **options.field_parameters},
            self._binding,
            options.details,
        )

    def _forget_client(self) -> None:
        """Forget the client of the last authorization, if it was registered dynamically; blocks for the store."""
        if self._identity is not None and self._identity.registration is not None:
            self.surroundings.registrations.forget(self._identity.registration)
