"""What `oauth-auth discover` tells of an API: it's found out without logging in, then written as lines or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._record import Record, replace
from .._server.discover import Asked, Candidate, ask_resource, candidates_for, examine, find_resource
from .._wire.challenges import scope_to_ask
from .._wire.identifiers import leads_inside, without_lone_slash
from .._wire.metadata import ResourceMetadata
from .._wire.words import redact
from ..errors import InsecureTransportError, TokenError

if TYPE_CHECKING:
    from .._server.calls import Steps
    from .._server.endpoints import Endpoints
    from .._server.surroundings import ResourceOptions, Surroundings

__all__ = ["Server", "Survey", "format_survey", "is_open", "problem", "report", "survey", "with_options"]

_LONGEST = 300
_NOT_FOUND = {404, 410}
_PARAMETER = r"\b(issuer|client_id|client_metadata_url)=(?=[\s;]|$)"


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


def survey(surroundings: Surroundings, logins: Mapping[str, Any]) -> Steps[Survey]:
    """Ask the resource what it wants, then it and its servers what they say of themselves; nobody is sent a secret.

    `logins` are values of the option `login`, by a name for each, the preferred one first. Raises `TokenError`.
    """
    calls, options = surroundings.calls, surroundings.options
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
            make_endpoints=surroundings.make_endpoints,
            make_calls=surroundings.make_calls,
            why_not=_anything_will_do,
            allow_insecure=options.allow_insecure,
        )
        reasons = {}
        for name, login in logins.items():
            reasons[name] = yield from _why_not(surroundings, candidate, replace(options, login=login))
        servers.append((yield from _server(candidate, reasons)))
    scope = scope_to_ask(demand, given=options.scope, supported=known.scopes)
    is_guess = not known.servers and options.issuer is None
    return Survey(asked, known.resource, found is not None, known.scopes, scope, tuple(servers), is_guess)


def _anything_will_do(_: Endpoints, __: Mapping[str, Any]) -> Steps[str | None]:
    yield from ()
    return None


def _why_not(surroundings: Surroundings, candidate: Candidate, options: ResourceOptions) -> Steps[str | None]:
    """Return why a server can't serve these options; None if it can."""
    if candidate.endpoints is None:
        return candidate.reason
    try:
        return (yield from surroundings.why_not(options, candidate.endpoints, candidate.metadata))
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


def with_options(text: str) -> str:
    """Return a text that tells a program what to pass, with the command's options in place of parameters."""
    return re.sub(_PARAMETER, lambda found: f"--{found[1].replace('_', '-')}", text)


def is_open(found: Survey) -> bool:
    """Return whether neither a token is demanded, nor a server known that could issue one."""
    return found.asked.demand is None and found.is_guess and not found.is_usable


def problem(found: Survey) -> str | None:
    """Return why nobody can use the API; None if it can be used, with a token or without."""
    status = found.asked.status_code
    if found.is_usable:
        return None
    if is_open(found):
        if status in _NOT_FOUND:
            return f"{found.resource} answers with status {status}, and names no server: is it the URL of the API?"
        if 300 <= status < 400:
            return f"{found.resource} redirects, with status {status}: give the URL that it leads to"
        return None
    servers = "; ".join(f"{_shown(server.issuer)}: {_reason(server)}" for server in found.servers)
    if found.is_guess:
        return (
            f"{found.resource} demands a token, but names no authorization server, nor is it one itself "
            f"({servers}); pass --issuer if you know the server"
        )
    return f"no authorization server of {found.resource} can be used: {servers}"


def report(found: Survey) -> str:
    """Return lines for people."""
    is_demanded = found.asked.demand is not None
    lines = [f"Resource: {found.resource}", f"Token: {'demanded' if is_demanded else 'not demanded'}"]
    if found.scopes:
        lines.append(f"Scopes: {' '.join(found.scopes)}")
    if is_open(found):
        return "\n".join(lines)
    lines.append(f"A login asks for: {found.scope or 'no scope'}")
    for server in found.servers:
        name = _shown(server.issuer)
        if server.reason is not None:
            lines.append(f"Server: {name} can't be used: {_reason(server)}")
            continue
        clients = [_CLIENT_IDS[way] for way in _client_ids(server)]
        guess = " (a guess, since the API names none)" if found.is_guess else ""
        lines += [f"Server: {name}{guess}", f"  Client id: {', '.join(clients) or 'registered by hand (--client-id)'}"]
        lines.append(f"  Login: {', '.join(_LOGINS[way] for way in server.logins)}")
    return "\n".join(lines)


_CLIENT_IDS = {
    "registration": "registered when it's needed",
    "metadata_document": "a metadata document (--client-metadata-url)",
}
_LOGINS = {
    "browser": "with a browser",
    "device": "on another device (--device)",
    "client_credentials": "the client itself (--grant client_credentials)",
}


def format_survey(found: Survey) -> str:
    """Return the same as JSON, for programs."""
    servers = () if is_open(found) else found.servers
    fields = {
        "resource": found.resource,
        "demands_token": found.asked.demand is not None,
        "scopes": found.scopes,
        "scope": found.scope,
        "servers": [
            {
                "issuer": server.issuer,
                "usable": server.reason is None,
                "reason": _reason(server),
                "client_id": _client_ids(server),
                "login": server.logins,
            }
            for server in servers
        ],
    }
    return json.dumps(fields)


def _client_ids(server: Server) -> list[str]:
    """Return the ways to a client id that a server has, besides one that was registered by hand."""
    ways = {"registration": server.registers, "metadata_document": server.takes_document}
    return [way for way, is_there in ways.items() if is_there]


def _reason(server: Server) -> str | None:
    return None if server.reason is None else with_options(server.reason)


def _shown(issuer: str) -> str:
    return redact(issuer, (), _LONGEST) or "a server without a name"
