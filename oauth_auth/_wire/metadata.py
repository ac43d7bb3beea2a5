"""What servers and resources say of themselves: how it's read, and whether it's believed. Pure, no I/O.

read_metadata_response    an authorization server's (RFC 8414 section 3.2)
read_resource_document    a protected resource's (RFC 9728 section 3.2)
ResourceMetadata.read     what of it is of use, if it's of the resource that was asked about (section 3.3)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Self

from .._record import Record
from ..errors import TokenResponseError
from .challenges import is_scope_name
from .identifiers import is_at_or_above, is_same_resource, resource_metadata_places
from .messages import MAX_BODY, TokenResponse, parse_body, quoted, redirect_target, text_in, where_from
from .token_request import TokenRequest
from .words import redact, server_words

__all__ = [
    "LONGEST_DOCUMENT",
    "NoMetadata",
    "ResourceMetadata",
    "read_metadata_response",
    "read_resource_document",
    "read_scopes",
]

LONGEST_DOCUMENT = 128 * 1024
"""The longest document that is read of a server or resource that nobody has named, in bytes."""
_MOST_SERVERS = 5
_MOST_SCOPES = 1000


class NoMetadata(TokenResponseError):
    """This URL has no metadata of what was asked about; the next may have. `reason` is what the user should know."""

    reason: str | None = None


def read_metadata_response(
    request: TokenRequest,
    response: TokenResponse,
    issuer: str,
    *,
    is_same: Callable[[object, str], bool] = lambda named, issuer: named == issuer,
    longest: int = MAX_BODY,
) -> Mapping[str, Any]:
    """Read an issuer's metadata; `is_same` says whether what it names is the issuer.

    Raises `TokenResponseError`, and `NoMetadata` of that kind.
    """
    metadata = _read_document(request, response, "the issuer's", longest)
    if not is_same(metadata.get("issuer"), issuer):
        # A host may have several issuers; this one's metadata may be at the next URL.
        named = redact(metadata.get("issuer"), ())
        name = f"calls it {named!r}: give it exactly so, if that's the server you mean" if named else "has no issuer"
        raise _no_metadata(request, response, "the metadata there is of another issuer", f"its metadata {name}")
    return metadata


def read_resource_document(request: TokenRequest, response: TokenResponse) -> Mapping[str, Any]:
    """Read a resource's metadata, whichever resource it names. Raises as `read_metadata_response` does.

    A bad gateway says that it isn't there: proxies answer so for places that they don't know.
    """
    if response.status_code == 502:
        raise _no_metadata(request, response, "there's no metadata there")
    return _read_document(request, response, "the resource's", LONGEST_DOCUMENT)


def _read_document(request: TokenRequest, response: TokenResponse, whose: str, longest: int) -> Mapping[str, Any]:
    status, where = response.status_code, where_from(request, response)
    if status == 429 or status >= 500:
        text = text_in(response)
        words = server_words(parse_body(text, "application/json"), text, request.secrets)
        message = f"{whose} metadata could not be fetched{quoted(words)}"
        raise TokenResponseError(message, server_message=words, **where)
    if 300 <= status < 400:
        place = redirect_target(request, response) or " to another place"
        reason = f"it redirects{place} for its metadata, and redirects aren't followed: give the final URL"
        raise _no_metadata(request, response, "there's a redirect", reason)
    if status != 200:
        raise _no_metadata(request, response, "there's no metadata there")
    if len(response.body) > longest:
        raise TokenResponseError(f"{whose} metadata is longer than {longest} bytes", **where)
    try:
        metadata = json.loads(response.body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise _no_metadata(request, response, "the answer is no metadata")
    return metadata


def _no_metadata(request: TokenRequest, response: TokenResponse, message: str, reason: str | None = None) -> NoMetadata:
    error = NoMetadata(message, **where_from(request, response))
    error.reason, error.retryable = reason, False
    return error


class ResourceMetadata(Record):
    """What a protected resource says of itself, as far as it's of use; what breaks the RFC counts as absent."""

    resource: str
    """Its identifier, as it names itself: what `resource` is in requests (RFC 8707)."""
    servers: tuple[str, ...] = ()
    """The issuers of its authorization servers, five at most."""
    scopes: tuple[str, ...] = ()
    requires_dpop: bool = False

    @classmethod
    def read(cls, document: Mapping[str, Any], place: str, given: str) -> Self | None:
        """Return what the document at this place says; None if it isn't of the resource that was given.

        It must name that one, or one above it; a wider one is believed from its own well-known place alone, else a
        tenant of a host could have tokens made that are good for all.
        """
        named = document.get("resource")
        if not isinstance(named, str) or not is_at_or_above(named, given):
            return None
        if not is_same_resource(named, given) and place != resource_metadata_places(named)[0]:
            return None
        return cls(
            named,
            _texts(document.get("authorization_servers"))[:_MOST_SERVERS],
            read_scopes(document),
            document.get("dpop_bound_access_tokens_required") is True,
        )


def read_scopes(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the scopes that metadata, of a resource or a server, lists as supported."""
    return tuple(name for name in _texts(metadata.get("scopes_supported")) if is_scope_name(name))[:_MOST_SCOPES]


def _texts(value: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in value if isinstance(text, str))) if isinstance(value, list) else ()
