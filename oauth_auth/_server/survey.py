"""What can be found out of a resource without logging in: all its servers, and how each could be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._record import Record
from .._wire.identifiers import leads_inside, without_lone_slash
from .._wire.metadata import ResourceMetadata
from .._wire.scopes import scope_to_ask
from ..errors import InsecureTransportError, TokenError
from .calls import EndpointCalls, Steps
from .discovery import Asked, Candidate, ask_resource, candidates_for, examine, find_resource
from .metadata import Endpoints

if TYPE_CHECKING:
    from .surroundings import ResourceOptions

__all__ = ["Server", "Survey", "survey"]


class Server(Record):
    """An authorization server of a resource."""

    issuer: str
    reason: str | None
    """Why it can't serve any of the logins; None if it can."""
    logins: tuple[str, ...] = ()
    """The logins that it can serve."""
    takes_document: bool = False
    """Whether the URL of a metadata document can be a client's id there."""
    registers: bool = False
    """Whether clients can be registered there dynamically."""


class Survey(Record):
    """What was found."""

    asked: Asked
    resource: str
    """The resource, as it names itself, else as it was given."""
    has_metadata: bool
    scopes: tuple[str, ...]
    """Those that the resource lists."""
    scope: str | None
    """What a login would ask for."""
    servers: tuple[Server, ...]
    is_guess: bool
    """Whether nobody has named the server: it's the resource's own origin, where it might be."""

    @property
    def is_usable(self) -> bool:
        """Whether a token can be had."""
        return any(server.reason is None for server in self.servers)


def survey(
    calls: EndpointCalls,
    options: ResourceOptions,
    logins: Mapping[str, Any],
    *,
    make_endpoints: Callable[[str, Mapping[str, Any], bool], Endpoints],
    make_calls: Callable[[str], EndpointCalls],
    why_not: Callable[[ResourceOptions, Endpoints, Mapping[str, Any]], Steps[str | None]],
) -> Steps[Survey]:
    """Ask the resource what it wants, then it and its servers what they say of themselves; nobody is sent a secret.

    `logins` are values of the option `login`, by a name for each, the preferred one first; `why_not` says why a server
    can't serve such options. Raises `TokenError`.
    """
    asked = yield from ask_resource(calls, options.resource, options.rejection_statuses)
    demand = asked.demand
    place = None if demand is None else demand.resource_metadata
    found = yield from find_resource(calls, options.resource, place)
    known = found or ResourceMetadata(without_lone_slash(options.resource))
    servers = []
    for issuer in candidates_for(known, options.resource, options.issuer):
        candidate = yield from examine(
            issuer,
            stays_outside=options.issuer is None and not leads_inside(options.resource),
            make_endpoints=make_endpoints,
            make_calls=make_calls,
            why_not=_anything_will_do,
            allow_insecure=options.allow_insecure,
        )
        reasons = {}
        for name, login in logins.items():
            reasons[name] = yield from _why_not(candidate, options._replace(login=login), why_not)
        servers.append((yield from _server(candidate, reasons)))
    scope = scope_to_ask(demand, given=options.scope, supported=known.scopes)
    is_guess = not known.servers and options.issuer is None
    return Survey(asked, known.resource, found is not None, known.scopes, scope, tuple(servers), is_guess)


def _anything_will_do(_: Endpoints, __: Mapping[str, Any]) -> Steps[str | None]:
    yield from ()
    return None


def _why_not(
    candidate: Candidate,
    options: ResourceOptions,
    why_not: Callable[[ResourceOptions, Endpoints, Mapping[str, Any]], Steps[str | None]],
) -> Steps[str | None]:
    """Return why a server can't serve these options; None if it can."""
    if candidate.endpoints is None:
        return candidate.reason
    try:
        return (yield from why_not(options, candidate.endpoints, candidate.metadata))
    except (TokenError, InsecureTransportError) as error:
        return str(error)


def _server(candidate: Candidate, reasons: Mapping[str, str | None]) -> Steps[Server]:
    usable = tuple(name for name, reason in reasons.items() if reason is None)
    registers = False
    if candidate.endpoints is not None:
        with suppress(TokenError, InsecureTransportError):
            registers = (yield from candidate.endpoints.find("registration_url")) is not None
    return Server(
        candidate.issuer,
        None if usable else next(iter(reasons.values())),
        usable,
        takes_document=candidate.metadata.get("client_id_metadata_document_supported") is True,
        registers=registers,
    )
