"""The tokens of a resource that nobody has configured: where each is from, and what is done with it there.

What a token is from renews it and ends it, and nobody else is told of it: see `bonds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .._flight import do
from .._keys.dpop import Binding
from .._lazy import loading
from .._wire.identifiers import is_same_issuer
from .._wire.token import OAuthToken, digest
from ..errors import (
    OAuthProviderError,
    OAuthProviderException,
    TokenError,
    TokenTransportError,
)
from .bonds import Bond, Bonds
from .calls import Run, Steps
from .endpoints import Endpoints
from .grant import OnDemandGrant
from .grants import DeadTokens, RefreshingGrant, TokenCalls, TokenEndpointGrant
from .operations import OAuthAuthorizationController
from .surroundings import ClientIdentity, ResourceOptions, Surroundings

if TYPE_CHECKING:
    from .._keys.dpop import Binding, DPoPKey

__all__ = ["STORE_SECONDS", "UNKNOWN_CLIENT", "ResourceTokens"]

STORE_SECONDS = 120.0
"""How long the store may take to say which client was registered; it bounds each of its calls itself."""
UNKNOWN_CLIENT = {OAuthProviderError.INVALID_CLIENT, OAuthProviderError.UNAUTHORIZED_CLIENT}


class ResourceTokens(OnDemandGrant):
    """The part of a resource's grant that's about the tokens there are."""

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
        self._binding = options.binding
        if token is not None and options.issuer is not None and options.client_id is not None:
            # Of a server that only the API names, nobody knows whether the token is from it.
            self._bonds.note(token, Bond(options.issuer, options.client_id, options.resource, scope=token.scope))

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

    def accepts(self, token: OAuthToken) -> bool:
        """Return whether a token is from the server and the client that the user has named, as far as it's known."""
        bond, issuer = self._bonds.of(token), self.options.issuer
        is_its_server = bond is None or issuer is None or is_same_issuer(bond.issuer, issuer)
        return is_its_server and (bond is None or self.options.client_id in {None, bond.client_id})

    def live_refresh_token(self, token: OAuthToken | None) -> str | None:
        """Return a token's refresh token, unless it's dead, or isn't from where the resource's tokens are from now."""
        if token is None or token.refresh_token is None or digest(token.refresh_token) in self._dead:
            return None
        is_known = self._bonds.of(token) is not None and not self._bonds.has_left(token)
        return token.refresh_token if is_known and self.accepts(token) else None

    def bury(self, digests: Iterable[str]) -> None:
        self._dead.add(digests)

    def invalidate(self, token: OAuthToken | None) -> None:
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

    def _bind_to_key(self) -> None:
        if self._binding is None:
            with loading:
                from .._keys.dpop import Binding, prepare  # noqa: PLC0415 - most programs need no keys

                prepare()
                self._binding = Binding()

    def refresh(self, refresh_token: str, scope: str | None, key: DPoPKey | None = None) -> Steps[OAuthToken]:
        bond = self._bonds.of_refresh_token(refresh_token)
        assert bond is not None  # noqa: S101 - else it isn't live
        grant, identity = yield from self._grant_of(bond)
        try:
            return (yield from self._noted(grant.refresh(refresh_token, scope, key), bond, grant))
        except OAuthProviderException as error:
            if error.error in UNKNOWN_CLIENT and bond.is_registered:
                # The client is gone, or what proves it, and with it what was issued to it.
                self.bury([digest(refresh_token)])
                if identity.registration is not None:
                    forget = partial(self.surroundings.registrations.forget, identity.registration)
                    yield from do(Run(forget, STORE_SECONDS))
            raise

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
        identity = yield from do(Run(partial(self.surroundings.client_of, bond), STORE_SECONDS))
        endpoints = self.surroundings.endpoints_of(bond.issuer)
        return RefreshingGrant(self._token_calls(endpoints, identity, bond), self._dead), identity

    def _noted(self, steps: Steps[OAuthToken], bond: Bond, grant: TokenEndpointGrant) -> Steps[OAuthToken]:
        """Get a token by these steps; note where it's from."""
        token = yield from steps
        self._bonds.note(token, bond._replace(learned=grant.client.dump_state()))
        return token

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
