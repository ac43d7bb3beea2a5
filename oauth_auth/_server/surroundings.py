"""What is found out about a resource that nobody has configured: its server, and the client that is used there.

Discovery and registration are loaded when they're needed first: most programs have a token by then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .._events import emit
from .._lazy import loading
from .._record import Record
from .._wire.challenges import Demand, Kind, united
from .._wire.client_auth import ClientAuthentication
from .._wire.identifiers import is_same_issuer, leads_inside
from .._wire.metadata import LONGEST_DOCUMENT, read_scopes
from .._wire.token_request import FieldParameters
from .._wire.urls import check_endpoint
from ..errors import ConfigurationError, DiscoveryError
from .bonds import Bond
from .calls import EndpointCalls, Steps, TokenHooks
from .client import Client
from .endpoints import Endpoints
from .server_state import ServerState

if TYPE_CHECKING:
    from .._keys.dpop import Binding
    from .._wire.registration import Registration
    from .calls import TokenTransport
    from .discover import Found
    from .register import Registrations

__all__ = ["ClientIdentity", "ResourceOptions", "Surroundings"]


class ResourceOptions(Record):
    """What a user has said of a resource, its server and the client."""

    resource: str
    login: Any
    """How the user logs in: a function, or a `DeviceLogin`; None for the client itself, or nobody."""
    client_id: str | None
    client_secret: str | None
    issuer: str | None
    client_metadata_url: str | None
    client_metadata: Mapping[str, Any]
    redirect_uri: str | None
    scope: str | None
    offline_access: bool | None
    field_parameters: FieldParameters
    authorization_parameters: Mapping[str, Any]
    targets: FieldParameters
    """The audience, as a parameter of the authorization request."""
    details: FieldParameters
    client_auth: ClientAuthentication | None
    binding: Binding | None
    shows_certificate: bool
    revocation_url: str | None
    introspection_url: str | None
    allow_insecure: bool
    rejection_statuses: tuple[int, ...]

    @property
    def has_device_login(self) -> bool:
        """Whether the user logs in on another device."""
        return self.login is not None and not callable(self.login)

    @property
    def is_service(self) -> bool:
        """Whether the client gets a token for itself."""
        has_proof = self.client_secret is not None or self.client_auth is not None or self.shows_certificate
        return self.login is None and self.client_id is not None and has_proof

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class ClientIdentity(Record):
    """A client id, and how it's proved."""

    client_id: str
    client_secret: str | None
    client_auth: ClientAuthentication | None
    registration: Registration | None = None
    """What it was registered with dynamically, if it was."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Surroundings:
    """The server and the client of a resource, as far as they're known. Used by one renewal at a time."""

    def __init__(
        self,
        options: ResourceOptions,
        transport: TokenTransport,
        timeout: float,
        hooks: TokenHooks,
        registrations: Registrations,
    ) -> None:
        self.options = options
        self._transport, self._timeout, self._hooks = transport, timeout, hooks
        self.calls = self.make_calls()
        """Those of discovery."""
        self.registrations = registrations
        self.found: Found | None = None
        """What the last discovery has found."""
        self._named_place: str | None = None
        """Where the resource has said that its metadata is, if it has."""
        self._has_said_place = False
        """Whether it has had the chance to say so."""
        self._servers: dict[str, Endpoints] = {}
        """The servers that were called, by issuer."""

    def make_calls(self, issuer: str | None = None) -> EndpointCalls:
        """Return what calls one server: what is known of its clock and nonces is for it alone."""
        return EndpointCalls(self._transport, self._timeout, self._hooks, ServerState(issuer))

    def wrap_transport(self, wrap: Callable[[TokenTransport], TokenTransport]) -> None:
        """Have all calls go through what is made of the transport."""
        self._transport = wrap(self._transport)
        self.calls = self.make_calls()

    def ask(self) -> Steps[Demand | None]:
        """Return what the resource demands of a request without a token."""
        with loading:
            from .discover import ask_resource  # noqa: PLC0415

        asked = yield from ask_resource(self.calls, self.options.resource, self.options.rejection_statuses)
        self._note_place(asked.demand)
        return asked.demand

    def _note_place(self, demand: Demand | None) -> None:
        self._named_place, self._has_said_place = None if demand is None else demand.resource_metadata, True

    def _find_place(self, demand: Demand | None) -> Steps[str | None]:
        """Return where the resource says that its metadata is; None if it doesn't.

        Each challenge for a token tells. Others needn't, so that it's asked, unless it was before.
        """
        if demand is not None and (demand.kind is Kind.TOKEN or demand.resource_metadata is not None):
            self._note_place(demand)
        elif not self._has_said_place:
            yield from self.ask()
        return self._named_place

    def endpoints_of(self, issuer: str) -> Endpoints:
        """Return the endpoints of a server whose tokens there are."""
        if issuer not in self._servers:
            self._servers[issuer] = self.make_endpoints(issuer, None, self._stays_outside)
        return self._servers[issuer]

    def may_call(self, issuer: str) -> bool:
        """Return whether a server may be called that a store has named; a damaged entry may name anything."""
        try:
            check_endpoint("issuer", issuer, allow_insecure=self.options.allow_insecure)
        except ConfigurationError:
            return False
        return not (self._stays_outside and leads_inside(issuer))

    @property
    def _stays_outside(self) -> bool:
        """Whether nothing is sent to this machine or its network, since the resource isn't there."""
        return self.options.issuer is None and not leads_inside(self.options.resource)

    def discover(self, demand: Demand | None, bond: Bond | None) -> Steps[Found]:
        """Find out what the resource says of itself now, and its server of itself. Raises `TokenError`.

        `bond` says at which server the client was used before.
        """
        with loading:
            from .discover import discover  # noqa: PLC0415

        options = self.options
        found = yield from discover(
            self.calls,
            options.resource,
            (yield from self._find_place(demand)),
            issuer=options.issuer,
            make_endpoints=self.make_endpoints,
            make_calls=self.make_calls,
            why_not=partial(self.why_not, options),
            allow_insecure=options.allow_insecure,
        )
        self._check_client_fits(found.issuer, bond)
        text = "the server of %(resource)s is %(issuer)s"
        emit(logging.INFO, "discovered", text, resource=found.resource.resource, issuer=found.issuer)
        self.found = found
        self._servers[found.issuer] = found.endpoints
        return found

    def _check_client_fits(self, issuer: str, bond: Bond | None) -> None:
        """Raise `DiscoveryError` for another server than that which the user's client is known to belong to."""
        options = self.options
        if options.client_id is None or options.issuer is not None or bond is None:
            return
        if not is_same_issuer(bond.issuer, issuer):
            raise DiscoveryError(
                f"{options.resource} names another server, {issuer}, than the one that client_id= was used at, "
                f"{bond.issuer}: pass issuer= if the client is registered there, too",
                url=options.resource,
            )

    def why_not(self, options: ResourceOptions, endpoints: Endpoints, metadata: Mapping[str, Any]) -> Steps[str | None]:
        """Return why a server can't serve; None if it can."""
        needed = ["token_url"]
        if options.has_device_login:
            needed.append("device_authorization_url")
        elif options.login is not None:
            needed.append("authorization_url")
        for name in needed:
            if (yield from endpoints.find(name)) is None:
                return f"its metadata has no {name.removesuffix('_url')} endpoint".replace("_", " ")
        if options.login is not None and not options.has_device_login:
            methods = metadata.get("code_challenge_methods_supported")
            if isinstance(methods, list) and "S256" not in methods:
                return "it doesn't know PKCE with S256 (RFC 7636), without which no user logs in here"
            if not isinstance(methods, list) and options.issuer is None:
                return "its metadata doesn't say that it knows PKCE (RFC 7636): pass issuer= if it does"
        if options.client_id is not None or options.login is None or self.takes_document(metadata):
            return None
        if (yield from endpoints.find("registration_url")) is None:
            return "it registers no clients (RFC 7591): pass client_id= of one registered by hand"
        return None

    def takes_document(self, metadata: Mapping[str, Any]) -> bool:
        """Return whether the URL of the client's metadata document is its id at this server."""
        is_supported = metadata.get("client_id_metadata_document_supported") is True
        return self.options.client_metadata_url is not None and is_supported

    def make_endpoints(self, issuer: str, metadata: Mapping[str, Any] | None, stays_outside: bool) -> Endpoints:  # noqa: FBT001
        options = self.options
        return Endpoints(
            {"revocation_url": options.revocation_url, "introspection_url": options.introspection_url},
            issuer,
            self.make_calls(issuer),
            allow_insecure=options.allow_insecure,
            shows_certificate=options.shows_certificate,
            metadata=metadata,
            stays_outside=stays_outside,
            longest=LONGEST_DOCUMENT,
        )

    # -- The client -------------------------------------------------------------------------------------------------

    def client_of(self, bond: Bond) -> ClientIdentity:
        """Return the client that a token was issued to, as far as it's still known. May block for the store."""
        options = self.options
        is_its_server = options.issuer is None or is_same_issuer(bond.issuer, options.issuer)
        if bond.client_id == options.client_id and is_its_server:
            return self.client_given(options.client_id)
        if not bond.is_registered:
            return ClientIdentity(bond.client_id, None, None)
        kept = self.registrations.find_client(bond.issuer, bond.client_id, bond.redirect_uri)
        if kept is None or kept.client_id != bond.client_id:
            # If it's a public one, that's all that it needs.
            return ClientIdentity(bond.client_id, None, None)
        return ClientIdentity(kept.client_id, kept.client_secret, kept.client_auth, kept)

    def client_given(self, client_id: str) -> ClientIdentity:
        """Return the client that the user has registered by hand."""
        return ClientIdentity(client_id, self.options.client_secret, self.options.client_auth)

    def client_for(self, found: Found, redirect_uri: str | None, scope: str | None) -> ClientIdentity:
        """Return the client for a new authorization, registered if need be; blocks meanwhile. Raises `TokenError`."""
        options, metadata = self.options, found.server_metadata
        if options.client_id is not None:
            return self.client_given(options.client_id)
        if options.client_metadata_url is not None and self.takes_document(metadata):
            return ClientIdentity(options.client_metadata_url, None, None)
        with loading:
            from .register import register  # noqa: PLC0415

        endpoints = found.endpoints
        # With what is added for a login that outlives its page.
        to_ask, _ = endpoints.calls.run(endpoints.scope_of_login(scope, self.offline_access))
        supported = united(*found.resource.scopes, *read_scopes(metadata))

        def make(before: Registration | None) -> Registration:
            url = endpoints.calls.run(endpoints.require("registration_url"))
            steps = register(
                endpoints.calls,
                url,
                metadata,
                issuer=found.issuer,
                redirect_uri=redirect_uri,
                scope=to_ask,
                # Others use the client, too, whose scope stays in its ceiling.
                supported=united(supported, None if before is None else before.scope),
                client_auth=options.client_auth,
                own=options.client_metadata,
            )
            return endpoints.calls.run(steps)

        kept = self.registrations.obtain(
            found.issuer, redirect_uri, lambda kept: kept.serves(to_ask, time.time()), make
        )
        return ClientIdentity(kept.client_id, kept.client_secret, kept.client_auth, kept)

    def authenticated(self, identity: ClientIdentity, endpoints: Endpoints, learned: Mapping[str, Any]) -> Client:
        """Return what authenticates a client at a server; `learned` is what the server is known to take."""
        client = Client(identity.client_id, identity.client_secret, identity.client_auth, endpoints, always_named=True)
        client.load_state(learned)
        return client

    @property
    def offline_access(self) -> bool | None:
        """Whether to ask for offline access: None for where the server lists it; not beyond a scope of the user's."""
        options = self.options
        return False if options.offline_access is None and options.scope is not None else options.offline_access
