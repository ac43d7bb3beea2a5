"""Where an authorization server's endpoints are: as given, else as its metadata says (RFC 8414, OpenID Discovery)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from .._wire.messages import MAX_BODY, TokenRequest, TokenResponse, read_retry_after, redact
from .._wire.urls import check_endpoint, without_query
from ..errors import ConfigurationError, InsecureTransportError, TokenResponseError
from .calls import EndpointCalls

__all__ = ["Endpoints", "Issuer"]

_FIELDS = {
    "token_url": "token_endpoint",
    "authorization_url": "authorization_endpoint",
    "device_authorization_url": "device_authorization_endpoint",
    "revocation_url": "revocation_endpoint",
}


class Issuer(NamedTuple):
    """In place of a token URL: the issuer whose metadata tells it, or the URL that overrides what it tells."""

    issuer: str
    token_url: str | None


class Endpoints:
    """The endpoints of one server. Metadata is fetched when it's first needed, and kept. Thread-safe.

    `given` are URLs by their option's name; they override what the metadata says.
    """

    calls: EndpointCalls
    """How the metadata is asked for; set by whoever makes the object."""

    def __init__(self, given: Mapping[str, str | None], issuer: str | None, *, allow_insecure: bool) -> None:
        self.given: dict[str, str] = {
            name: check_endpoint(name, url, allow_insecure=allow_insecure)
            for name, url in given.items()
            if url is not None
        }
        self.issuer = None if issuer is None else check_endpoint("issuer", issuer, allow_insecure=allow_insecure)
        if issuer is not None and urlsplit(issuer).query:
            raise ConfigurationError("issuer must have no query (RFC 8414 section 2): leave out '?' and what follows")
        self.allow_insecure = allow_insecure
        self._metadata: Mapping[str, Any] | None = None

    def require(self, name: str) -> str:
        """Return an endpoint's URL; block to find it out. Raises `OAuthError` if it isn't there."""
        url = self.find(name)
        if url is None:
            raise TokenResponseError(f"the metadata of {self.issuer} has no {_FIELDS[name]}: pass {name}=")
        return url

    def find(self, name: str) -> str | None:
        """Return an endpoint's URL, or None if there's none; block to find it out. Raises `OAuthError`."""
        if name in self.given or self.issuer is None:
            return self.given.get(name)
        url = self.metadata().get(_FIELDS[name])
        if url is None:
            return None
        try:
            return check_endpoint(f"{_FIELDS[name]} of {self.issuer}", url, allow_insecure=self.allow_insecure)
        except InsecureTransportError:
            raise
        except ConfigurationError as error:
            raise TokenResponseError(f"the issuer's metadata can't be used: {error}") from None

    def metadata(self) -> Mapping[str, Any]:
        """Return the issuer's metadata, {} if no issuer is known; block to fetch it. Raises `TokenError`."""
        if self.issuer is None:
            return {}
        if self._metadata is None:
            self._metadata = self._fetch(self.issuer)
        return self._metadata

    def _fetch(self, issuer: str) -> Mapping[str, Any]:
        """Ask at each of the places where metadata may be; the first that has this issuer's counts."""
        failures = []
        for url in _places(issuer):
            request = TokenRequest(url, {"Accept": "application/json"}, b"", (), method="GET")
            try:
                return self.calls.call(request, lambda request, response: _read(request, response, issuer))
            except _NotHere as error:
                failures.append(error)
        telling = min(failures, key=lambda error: (error.reason is None, error.status_code))
        reason = telling.reason or "it has no metadata, neither of RFC 8414 nor of OpenID: is it the token URL?"
        raise TokenResponseError(
            f"{issuer} can't be the issuer: {reason}", status_code=telling.status_code, token_url=telling.token_url
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Endpoints:
        """Be shared, as all that a grant has: the user's client can't be doubled."""
        return self


class _NotHere(TokenResponseError):
    """No metadata at this place; there may be some at the next."""

    reason: str | None = None
    """What to tell the user of it if there's none anywhere, and there's more to tell than that."""

    def because(self, reason: str) -> Self:
        self.reason = reason
        return self


def _places(issuer: str) -> list[str]:
    """Return where to look, in order: for an issuer with a path, before it (RFC 8414) and after it (OpenID)."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    oauth, openid = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
    places = [f"{origin}{oauth}{path}", f"{origin}{path}{openid}"]
    return places if not path else [*places, f"{origin}{path}{oauth}", f"{origin}{openid}{path}"]


def _read(request: TokenRequest, response: TokenResponse, issuer: str) -> Mapping[str, Any]:
    status, headers, body = response
    where: dict[str, Any] = {
        "status_code": status,
        "token_url": without_query(request.url),
        "retry_after": read_retry_after(headers.get("retry-after")),
    }
    if status == 429 or status >= 500:
        raise TokenResponseError("the issuer's metadata could not be had", **where)
    if 300 <= status < 400:
        reason = "it redirects to another place for its metadata, and redirects aren't followed: give the final URL"
        raise _NotHere("there's a redirect", **where).because(reason)
    if status != 200:
        raise _NotHere("there's no metadata there", **where)
    if len(body) > MAX_BODY:
        raise TokenResponseError(f"the issuer's metadata is longer than {MAX_BODY} bytes", **where)
    try:
        metadata = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise _NotHere("what is there is no metadata", **where)
    if metadata.get("issuer") != issuer:
        # Where hosts have several issuers, it may be a neighbour's; this one's own may be at the next place.
        named = redact(metadata.get("issuer"), ())
        name = f"calls it {named!r}: give it exactly so, if that's the server you mean" if named else "has no issuer"
        raise _NotHere("the metadata there is of another issuer", **where).because(f"its metadata {name}")
    return metadata
