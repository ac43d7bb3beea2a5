"""What `oauth-auth discover` prints: what was found out of an API and its servers, and what's wrong with it. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from .._wire.words import redact

if TYPE_CHECKING:
    from .._server.survey import Server, Survey

__all__ = ["format_survey", "is_open", "problem", "report", "with_options"]

_LONGEST = 300
_NOT_FOUND = {404, 410}


_PARAMETER = r"\b(issuer|client_id|client_metadata_url)=(?=[\s;]|$)"


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
