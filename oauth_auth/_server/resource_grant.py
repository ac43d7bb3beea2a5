"""The grant of a resource that nobody has configured: it finds out server, client and scope, and makes a grant of them.

It has no token logic of its own: the authorization code, device and client credentials grants make the calls. What it
knows of a token is where it's from (see `bonds`), since nobody else may renew it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .._flight import do
from .._keys.dpop import Binding
from .._lazy import loading
from .._record import replace
from .._wire.challenges import Demand, Kind, is_within, scope_to_ask
from .._wire.identifiers import is_same_issuer
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
from .endpoints import Endpoints
from .grant import OnDemandGrant
from .grants import ClientCredentialsGrant, DeadTokens, RefreshingGrant, TokenCalls, TokenEndpointGrant, reauthorization
from .operations import OAuthAuthorizationController
from .surroundings import ClientIdentity, ResourceOptions, Surroundings

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey
    from ..login._request import AuthorizationRequest
    from .code_grant import AuthorizationCodeGrant
    from .discover import Found

__all__ = ["ResourceGrant"]

_STORE_SECONDS = 120.0
"""How long the store may take to say which client was registered; it bounds each of its calls itself."""
_UNKNOWN_CLIENT = {OAuthProviderError.INVALID_CLIENT, OAuthProviderError.UNAUTHORIZED_CLIENT}


class ResourceGrant(OnDemandGrant):
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
        self._tokens = ResourceTokens(options, controller_class, surroundings, token)
        self._asked: str | None = None
        """The scope of the last authorization that was prepared here."""
        self._identity: ClientIdentity | None = None
        """The client of the last authorization, if it was used."""
        self._pending: tuple[AuthorizationCodeGrant, Bond] | None = None
        """The grant whose code was not redeemed yet, and where its token will be from."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_tokens" not in state:  # in older pickles it's all one object
            tokens = state["_tokens"] = ResourceTokens.__new__(ResourceTokens)
            tokens.options, tokens.surroundings = state["options"], state["surroundings"]
            for former in ("_controller_class", "_dead"):
                setattr(tokens, former, state.pop(former))
            tokens.bonds, tokens.binding = state.pop("_bonds"), state.pop("_binding")
        self.__dict__.update(state)

    # -- What a renewal asks ----------------------------------------------------------------------------------------

    @property
    def runs_code(self) -> bool:
        return bool(getattr(self.options.client_auth, "runs_code", False))

    @property
    def scope(self) -> str | None:
        bond = self._tokens.bonds.latest
        return self.options.scope if bond is None else bond.scope

    @property
    def transport_error(self) -> type[TokenTransportError]:
        return self.surroundings.calls.transport.error_class

    @property
    def is_interactive(self) -> bool:
        return self.options.login is not None and not self.has_unredeemed_code

    @property
    def needs_authorization(self) -> bool:
        is_known = self.surroundings.found is not None or self._tokens.bonds.latest is not None
        return self.is_interactive or (self.options.is_service and not is_known)

    @property
    def has_unredeemed_code(self) -> bool:
        return self._pending is not None and self._pending[0].has_unredeemed_code

    @property
    def key_of_code(self) -> DPoPKey | None:
        return None if self._pending is None else self._pending[0].key_of_code

    # -- The tokens there are ---------------------------------------------------------------------------------------

    @property
    def latest_bond(self) -> Bond | None:
        """Where the last token is from."""
        return self._tokens.bonds.latest

    @property
    def binding(self) -> Binding | None:
        return self._tokens.binding

    def accepts(self, token: OAuthToken) -> bool:
        return self._tokens.accepts(token)

    def live_refresh_token(self, token: OAuthToken | None) -> str | None:
        return self._tokens.live_refresh_token(token)

    def refresh(self, refresh_token: str, scope: str | None, key: DPoPKey | None = None) -> Steps[OAuthToken]:
        return self._tokens.refresh(refresh_token, scope, key)

    def revoke(self, token: OAuthToken | None) -> Steps[None]:
        return self._tokens.revoke(token)

    def revoke_refresh_token(self, token: OAuthToken) -> Steps[None]:
        return self._tokens.revoke_refresh_token(token)

    def introspect(self, access_token: str) -> Steps[Mapping[str, Any]]:
        """Return what the server tells about an access token (RFC 7662). Raises `OAuthError`."""
        return self._tokens.introspect(access_token)

    def find_endpoint(self, name: str) -> Steps[str | None]:
        """Return an endpoint of the server that the last token is from; None if there's none. Raises `OAuthError`."""
        return self._tokens.find_endpoint(name)

    def bury(self, digests: Iterable[str]) -> None:
        self._tokens.bury(digests)

    def invalidate(self, token: OAuthToken | None) -> None:
        if token is not None and token.refresh_token is not None:
            self.bury([digest(token.refresh_token)])
        self._pending = None

    def dump_state(self) -> dict[str, Any]:
        return self._tokens.dump_state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._tokens.load_state(state)

    # -- Discovery --------------------------------------------------------------------------------------------------

    def ask_resource(self) -> Steps[Demand | None]:
        return (yield from self.surroundings.ask())

    def prepare(self, demand: Demand | None, last: OAuthToken | None) -> Steps[bool]:
        before = self._tokens.bonds.of(last) or self._tokens.bonds.latest
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
        bond = self._tokens.bonds.of(last) or self._tokens.bonds.latest
        if bond is None:
            return False
        found = yield from self._discover(None)
        return not is_same_issuer(bond.issuer, found.issuer)

    def _discover(self, demand: Demand | None) -> Steps[Found]:
        found = yield from self.surroundings.discover(demand, self._tokens.bonds.latest)
        self._tokens.bonds.move(found.issuer)
        if found.resource.requires_dpop:
            self._tokens.bind_to_key()
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
            return self._tokens.noted(grant.redeem(request, code, key), bond, grant)

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
        return lambda: self._tokens.noted(redeem(), self._bond_of_new(found, identity, key), grant)

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        if self._pending is not None and self._pending[0].has_unredeemed_code:
            grant, bond = self._pending
            return (yield from self._tokens.noted(grant.request_token(last, refusal, key), bond, grant))
        if not self.options.is_service:
            if last is None and refusal is None:
                raise ReauthorizationRequired(
                    f"nobody is logged in to {self.options.resource}: pass login=, such as BrowserLogin(), "
                    f"or run: oauth-auth login {self.options.resource}"
                )
            raise reauthorization(None, last, refusal) from refusal
        identity = self.surroundings.client_given(str(self.options.client_id))
        found, known = self.surroundings.found, self._tokens.bonds.latest
        if found is not None:
            scope = self._asked or (None if known is None else known.scope)
            bond, endpoints = replace(self._bond_of_new(found, identity, key), scope=scope), found.endpoints
        else:
            assert known is not None  # noqa: S101 - `needs_authorization` says so
            bond, endpoints = known, self.surroundings.endpoints_of(known.issuer)
        service = ClientCredentialsGrant(self._tokens.calls_of(endpoints, identity, bond))
        return (yield from self._tokens.noted(service.request_token(last, refusal, key), bond, service))

    # -- The client --------------------------------------------------------------------------------------------------

    def has_another_client(self, error: OAuthError) -> Steps[bool]:
        is_unknown = isinstance(error, OAuthProviderException | AuthorizationResponseError)
        if not is_unknown or error.error not in _UNKNOWN_CLIENT:  # type: ignore[attr-defined]
            return False
        if self._identity is None or self._identity.registration is None:
            return False
        yield from do(Run(self._forget_client, _STORE_SECONDS))
        self._pending = None
        return True

    def _calls_for_new(self, found: Found, redirect_uri: str | None) -> tuple[ClientIdentity, TokenCalls]:
        """Return the client of a new authorization, registered if need be, and what it calls with.

        Blocks. Raises `TokenError`.
        """
        identity = self.surroundings.client_for(found, redirect_uri, self._asked)
        return identity, self._tokens.calls_of(found.endpoints, identity, self._bond_of_new(found, identity, None))

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


class ResourceTokens:
    """The tokens that a resource has had: what one is from renews it and ends it, and nobody else is told of it."""

    __slots__ = ("_controller_class", "_dead", "binding", "bonds", "options", "surroundings")

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
        self._dead = DeadTokens()
        self.bonds = Bonds()
        """Where each of them is from."""
        self.binding = options.binding
        if token is not None and options.issuer is not None and options.client_id is not None:
            # Of a server that only the API names, nobody knows whether the token is from it.
            self.bonds.note(token, Bond(options.issuer, options.client_id, options.resource, scope=token.scope))

    def accepts(self, token: OAuthToken) -> bool:
        """Return whether a token is from the server and the client that the user has named, as far as it's known."""
        bond, issuer = self.bonds.of(token), self.options.issuer
        is_its_server = bond is None or issuer is None or is_same_issuer(bond.issuer, issuer)
        return is_its_server and (bond is None or self.options.client_id in {None, bond.client_id})

    def live_refresh_token(self, token: OAuthToken | None) -> str | None:
        """Return a token's refresh token, unless it's dead, or isn't from where the resource's tokens are from now."""
        if token is None or token.refresh_token is None or digest(token.refresh_token) in self._dead:
            return None
        is_known = self.bonds.of(token) is not None and not self.bonds.has_left(token)
        return token.refresh_token if is_known and self.accepts(token) else None

    def bury(self, digests: Iterable[str]) -> None:
        """Mark the refresh tokens with these digests as dead."""
        self._dead.add(digests)

    def dump_state(self) -> dict[str, Any]:
        """Return where they are from, as JSON."""
        return self.bonds.dump()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `dump_state` returned, here or in another program."""
        self.bonds.load(state, self.surroundings.may_call)
        bond = self.bonds.latest
        if bond is not None and bond.is_bound:
            self.bind_to_key()

    def bind_to_key(self) -> None:
        """Have the next tokens bound to a key."""
        if self.binding is None:
            with loading:
                from .._keys.dpop import prepare  # noqa: PLC0415 - most programs need no keys

                prepare()
            self.binding = Binding()

    def refresh(self, refresh_token: str, scope: str | None, key: DPoPKey | None = None) -> Steps[OAuthToken]:
        """Renew where the refresh token is from. Raises `TokenError`."""
        bond = self.bonds.of_refresh_token(refresh_token)
        assert bond is not None  # noqa: S101 - else it isn't live
        grant, identity = yield from self._grant_of(bond)
        try:
            return (yield from self.noted(grant.refresh(refresh_token, scope, key), bond, grant))
        except OAuthProviderException as error:
            if error.error in _UNKNOWN_CLIENT and bond.is_registered:
                # The client is gone, or what proves it, and with it what was issued to it.
                self.bury([digest(refresh_token)])
                if identity.registration is not None:
                    forget = partial(self.surroundings.registrations.forget, identity.registration)
                    yield from do(Run(forget, _STORE_SECONDS))
            raise

    def revoke(self, token: OAuthToken | None) -> Steps[None]:
        """Revoke a token and its refresh token where they are from. Raises `OAuthError`."""
        bond = self.bonds.of(token)
        if bond is not None:
            grant, _ = yield from self._grant_of(bond)
            yield from grant.revoke(token)

    def revoke_refresh_token(self, token: OAuthToken) -> Steps[None]:
        """Revoke the refresh token alone. Raises `OAuthError`."""
        bond = self.bonds.of(token)
        if bond is not None:
            grant, _ = yield from self._grant_of(bond)
            yield from grant.revoke_refresh_token(token)

    def find_endpoint(self, name: str) -> Steps[str | None]:
        """Return an endpoint of the server that the last token is from; None if there's none. Raises `OAuthError`."""
        bond = self.bonds.latest
        return None if bond is None else (yield from self.surroundings.endpoints_of(bond.issuer).find(name))

    def introspect(self, access_token: str) -> Steps[Mapping[str, Any]]:
        """Return what the server tells about an access token (RFC 7662). Raises `OAuthError`."""
        bond = self.bonds.latest
        if bond is None:
            raise TokenError(f"no server of {self.options.resource} is known yet: get a token first")
        grant, _ = yield from self._grant_of(bond)
        return (yield from grant.introspect(access_token))

    def _grant_of(self, bond: Bond) -> Steps[tuple[RefreshingGrant, ClientIdentity]]:
        identity = yield from do(Run(partial(self.surroundings.client_of, bond), _STORE_SECONDS))
        endpoints = self.surroundings.endpoints_of(bond.issuer)
        return RefreshingGrant(self.calls_of(endpoints, identity, bond), self._dead), identity

    def noted(self, steps: Steps[OAuthToken], bond: Bond, grant: TokenEndpointGrant) -> Steps[OAuthToken]:
        """Get a token by these steps; note where it's from."""
        token = yield from steps
        self.bonds.note(token, replace(bond, learned=grant.client.dump_state()))
        return token

    def calls_of(self, endpoints: Endpoints, identity: ClientIdentity, bond: Bond) -> TokenCalls:
        """Return what calls a server for such a token."""
        options = self.options
        return TokenCalls(
            self._controller_class._from_endpoints(endpoints),  # noqa: SLF001 - of the package
            endpoints,
            self.surroundings.authenticated(identity, endpoints, bond.learned),
            bond.scope,
            {"resource": bond.resource, **options.field_parameters},
            self.binding,
            options.details,
        )
