"""Finds out from a protected resource which authorization server its tokens come from (RFC 9728), and what it wants.

    the challenge ──► the resource's metadata: at the place that the challenge names, else at the well-known ones
    the metadata ───► the first of its servers whose metadata can be had, names that issuer, and can serve

Only the resource's own word counts: what another origin says, or what isn't of this resource, isn't used, and nothing
is sent to what it names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .._record import Record
from .._wire.challenges import Demand, demand_for
from .._wire.identifiers import (
    is_same_issuer,
    leads_inside,
    resource_metadata_places,
    server_metadata_places,
    without_lone_slash,
)
from .._wire.messages import TokenResponse, where_from
from .._wire.metadata import (
    LONGEST_DOCUMENT,
    NoMetadata,
    ResourceMetadata,
    read_metadata_response,
    read_resource_document,
)
from .._wire.token_request import REQUEST_HEADERS, Call, TokenRequest
from .._wire.urls import check_endpoint, origin_of, without_query
from .._wire.words import redact
from ..errors import ConfigurationError, DiscoveryError, InsecureTransportError, TokenError, TokenResponseError
from .calls import EndpointCalls, Steps
from .endpoints import Endpoints, fetch_metadata

__all__ = ["Asked", "Candidate", "Found", "ask_resource", "candidates_for", "discover", "examine", "find_resource"]

_LONGEST_LISTED = 300


class Found(Record):
    """What a new authorization goes by: the resource, as it names itself, and the server."""

    resource: ResourceMetadata
    endpoints: Endpoints
    server_metadata: Mapping[str, Any]

    @property
    def issuer(self) -> str:
        """The server's issuer, as it names itself."""
        return str(self.endpoints.issuer)


class Candidate(Record):
    """An authorization server that a resource names: what it says of itself, and why it can't serve, if it can't."""

    issuer: str
    reason: str | None
    endpoints: Endpoints | None = None
    metadata: Mapping[str, Any] = {}
    trouble: TokenError | None = None
    """The error, if the server may serve later."""


class Asked(Record):
    """What the resource has answered to a request without a token."""

    status_code: int
    demand: Demand | None
    """What it demands; None if nothing."""


def ask_resource(calls: EndpointCalls, resource: str, rejection_statuses: tuple[int, ...]) -> Steps[Asked]:
    """Return what the resource answers to a request without a token. Raises `TokenError`.

    The answer's body isn't read: it may be a stream without an end.
    """
    headers = {"Accept": "application/json, text/event-stream"}
    request = TokenRequest(method="GET", url=resource, headers=headers, fields={}, reads_body=False)

    def read(request: TokenRequest, response: TokenResponse) -> Asked:
        status = response.status_code
        if (status == 429 or status >= 500) and status not in rejection_statuses:
            raise TokenResponseError("the resource could not be asked what it wants", **where_from(request, response))
        return Asked(status, demand_for(status, response.headers.get("www-authenticate"), rejection_statuses, ""))

    return (yield from calls.call(Call(request), read))


def find_resource(calls: EndpointCalls, resource: str, named_place: str | None) -> Steps[ResourceMetadata | None]:
    """Return the metadata of a resource; None if it has none. Raises `TokenError`.

    It's looked for where a challenge has named it, if that's of the resource's own origin, then at the well-known
    places: that of the resource's path, and that of its origin (RFC 9728 section 3.1).
    """
    is_own = named_place is not None and origin_of(named_place) == origin_of(resource) and "@" not in named_place
    places = [named_place] if is_own and named_place is not None else []
    misfit = None
    for place in dict.fromkeys([*places, *resource_metadata_places(resource)]):
        request = TokenRequest(method="GET", url=place, headers=REQUEST_HEADERS, fields={})
        try:
            document = yield from calls.call(Call(request), read_resource_document)
        except NoMetadata:
            continue
        except TokenResponseError as error:
            if error.retryable:
                raise
            raise DiscoveryError(f"{error}; pass issuer=, if you know the server", url=place) from None
        found = ResourceMetadata.read(document, place, resource)
        if found is not None:
            return found
        misfit = misfit or (place, redact(document.get("resource"), (), _LONGEST_LISTED))
    if misfit is None:
        return None
    place, named = misfit
    raise DiscoveryError(
        f"the metadata at {without_query(place)} is of another resource, {named!r}, so it isn't believed: "
        f"is {resource} the URL of the API? A wider resource must have its metadata at its own well-known place",
        url=place,
    )


def discover(
    calls: EndpointCalls,
    resource: str,
    named_place: str | None,
    *,
    issuer: str | None,
    make_endpoints: Callable[[str, Mapping[str, Any], bool], Endpoints],
    make_calls: Callable[[str], EndpointCalls],
    why_not: Callable[[Endpoints, Mapping[str, Any]], Steps[str | None]],
    allow_insecure: bool,
) -> Steps[Found]:
    """Return the resource's metadata, and the first of its servers that can serve. Raises `TokenError`.

    `issuer` is the only server that will do, if the user has named one. `make_endpoints` takes an issuer, its metadata,
    and whether addresses of this machine and its network are refused; `why_not` says why a server can't serve.
    """
    found = yield from find_resource(calls, resource, named_place)
    known = found or ResourceMetadata(without_lone_slash(resource))
    reasons, trouble = [], None
    for named in candidates_for(known, resource, issuer):
        candidate = yield from examine(
            named,
            stays_outside=issuer is None and not leads_inside(resource),
            make_endpoints=make_endpoints,
            make_calls=make_calls,
            why_not=why_not,
            allow_insecure=allow_insecure,
        )
        if candidate.reason is None and candidate.endpoints is not None:
            return Found(known, candidate.endpoints, candidate.metadata)
        reasons.append(f"{redact(without_query(named), (), _LONGEST_LISTED)}: {candidate.reason}")
        trouble = candidate.trouble or trouble
    if trouble is not None:
        raise trouble
    hint = "" if issuer is not None else "; pass issuer= if you know the server"
    where = "as its own server, since it has no metadata" if found is None and issuer is None else "as it says"
    raise DiscoveryError(
        f"no authorization server can be used for {resource}, {where}: {'; '.join(reasons)}{hint}", url=resource
    )


def examine(
    issuer: str,
    *,
    stays_outside: bool,
    make_endpoints: Callable[[str, Mapping[str, Any], bool], Endpoints],
    make_calls: Callable[[str], EndpointCalls],
    why_not: Callable[[Endpoints, Mapping[str, Any]], Steps[str | None]],
    allow_insecure: bool,
) -> Steps[Candidate]:
    """Return what a server says of itself, and why it can't serve, if it can't; see `discover`."""
    reason = _refusal(issuer, stays_outside=stays_outside, allow_insecure=allow_insecure)
    if reason is not None:
        return Candidate(issuer, reason)
    places = server_metadata_places(issuer)
    try:
        metadata = yield from fetch_metadata(make_calls(issuer), issuer, places, _read_metadata)
        endpoints = make_endpoints(str(metadata["issuer"]), metadata, stays_outside)
        reason = yield from why_not(endpoints, metadata)
    except InsecureTransportError as error:  # an endpoint's, which the server has chosen, not the user
        return Candidate(issuer, str(error))
    except TokenError as error:
        return Candidate(issuer, str(error), trouble=error if error.retryable else None)
    return Candidate(issuer, reason, endpoints, metadata)


_read_metadata = partial(read_metadata_response, is_same=is_same_issuer, longest=LONGEST_DOCUMENT)


def candidates_for(metadata: ResourceMetadata, resource: str, issuer: str | None) -> tuple[str, ...]:
    """Return the issuers to try. Raises `DiscoveryError` if the resource names others than the user."""
    if issuer is None:
        return metadata.servers or (str(origin_of(resource)),)
    if metadata.servers and not any(is_same_issuer(named, issuer) for named in metadata.servers):
        listed = redact(", ".join(map(without_query, metadata.servers)), (), _LONGEST_LISTED)
        raise DiscoveryError(
            f"{resource} names other authorization servers than issuer={issuer!r}: {listed}; "
            "pass the one that you trust, or leave issuer out",
            url=resource,
        )
    return (issuer,)


def _refusal(issuer: str, *, stays_outside: bool, allow_insecure: bool) -> str | None:
    """Return why nothing is sent to an issuer that a resource has named; None if something may be."""
    try:
        check_endpoint("issuer", issuer, allow_insecure=allow_insecure)
    except ConfigurationError as error:
        return str(error)
    if "?" in issuer:
        return "an issuer has no query (RFC 8414 section 2)"
    if stays_outside and leads_inside(issuer):
        return "that's this machine or a private network, where the resource isn't"
    return None
