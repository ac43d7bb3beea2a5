"""Where an authorization server's endpoints are: as given, else as its metadata says (RFC 8414, OpenID Discovery)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .._wire.identifiers import given_metadata_places, leads_inside
from .._wire.messages import MAX_BODY, TokenResponse
from .._wire.metadata import NoMetadata, read_metadata_response
from .._wire.token_request import REQUEST_HEADERS, Call, TokenRequest
from .._wire.urls import check_endpoint, check_issuer, without_query
from ..errors import ConfigurationError, DiscoveryError, InsecureTransportError, TokenResponseError
from .calls import EndpointCalls, Steps

__all__ = ["Endpoints", "fetch_metadata"]

_FIELDS = {
    "token_url": "token_endpoint",
    "authorization_url": "authorization_endpoint",
    "device_authorization_url": "device_authorization_endpoint",
    "revocation_url": "revocation_endpoint",
    "introspection_url": "introspection_endpoint",
    "pushed_authorization_request_url": "pushed_authorization_request_endpoint",
    "registration_url": "registration_endpoint",
}

_OFFLINE_ACCESS = "offline_access"


_WRONG_ISSUER = ": is its path right? If it's the token URL, pass it as token_url to the class itself"


class Endpoints:
    """The endpoints of one server. Metadata is fetched with `calls` when it's first needed, and kept. Thread-safe.

    `given` are URLs by their option's name; they override what the metadata says. Where the calls show a certificate,
    they go to the aliases that the metadata has for that (RFC 8705 section 5). Lookups are generators of steps, since
    they may need a call. `metadata` is what was fetched before; with `stays_outside` it may name no address of this
    machine or of a private network. `longest` is how much of it is read, in bytes.
    """

    def __init__(
        self,
        given: Mapping[str, str | None],
        issuer: str | None,
        calls: EndpointCalls,
        *,
        allow_insecure: bool,
        shows_certificate: bool = False,
        metadata: Mapping[str, Any] | None = None,
        stays_outside: bool = False,
        longest: int = MAX_BODY,
    ) -> None:
        self.calls = calls
        self.given: dict[str, str] = {
            name: check_endpoint(name, url, allow_insecure=allow_insecure)
            for name, url in given.items()
            if url is not None
        }
        self.issuer = None if issuer is None else check_issuer(issuer, allow_insecure=allow_insecure)
        self.allow_insecure = allow_insecure
        self._shows_certificate = shows_certificate
        self._metadata = metadata
        self._stays_outside = stays_outside
        self._read = partial(read_metadata_response, longest=longest)

    def require(self, name: str) -> Steps[str]:
        """Return an endpoint's URL. Raises `TokenError` if there's none in the metadata, else `ConfigurationError`."""
        url = yield from self.find(name)
        if url is None and self.issuer is None:
            raise ConfigurationError(f"there's no {name}: pass it, or use from_issuer()")
        if url is None:
            raise TokenResponseError(f"the metadata of {self.issuer} has no {_FIELDS[name]}: pass {name}=")
        return url

    def find(self, name: str) -> Steps[str | None]:
        """Return an endpoint's URL, or None if there's none. Raises `OAuthError`."""
        if name in self.given or self.issuer is None:
            return self.given.get(name)
        metadata = yield from self.metadata()
        url = self._alias(metadata, name) or metadata.get(_FIELDS[name])
        if url is None:
            return None
        if self._stays_outside and isinstance(url, str) and leads_inside(url):
            raise DiscoveryError(
                f"{_FIELDS[name]} of {self.issuer} is on this machine or a private network, where the resource isn't: "
                "nothing is sent there; pass issuer= if that's right",
                url=without_query(url),
            )
        try:
            return check_endpoint(f"{_FIELDS[name]} of {self.issuer}", url, allow_insecure=self.allow_insecure)
        except InsecureTransportError:
            raise
        except ConfigurationError as error:
            raise TokenResponseError(f"the issuer's metadata can't be used: {error}") from None

    def _alias(self, metadata: Mapping[str, Any], name: str) -> Any:
        """Return where calls that show a certificate go instead (RFC 8705 section 5), if the metadata says so."""
        aliases = metadata.get("mtls_endpoint_aliases")
        if not self._shows_certificate or name == "authorization_url" or not isinstance(aliases, Mapping):
            return None
        return aliases.get(_FIELDS[name])

    def metadata(self) -> Steps[Mapping[str, Any]]:
        """Return the issuer's metadata, {} if no issuer is known. Raises `TokenError`."""
        if self.issuer is None:
            return {}
        if self._metadata is None:
            places = given_metadata_places(self.issuer)
            self._metadata = yield from fetch_metadata(self.calls, self.issuer, places, self._read, _WRONG_ISSUER)
        return self._metadata

    def scope_of_login(self, scope: str | None, offline_access: bool | None) -> Steps[tuple[str | None, bool]]:  # noqa: FBT001 - an option
        """Return the scope to have a user agree to, and whether it asks for offline access (OpenID Core 11).

        That's what some servers give a refresh token for. Unless the option says so, it's asked for where there's a
        scope, and the metadata lists it.
        """
        names = (scope or "").split()
        if offline_access is None and names:
            supported = (yield from self.metadata()).get("scopes_supported")
            offline_access = isinstance(supported, list) and _OFFLINE_ACCESS in supported
        if not offline_access:
            return scope, False
        return " ".join(dict.fromkeys([*names, _OFFLINE_ACCESS])), True


def fetch_metadata(
    calls: EndpointCalls,
    issuer: str,
    places: Sequence[str],
    read: Callable[[TokenRequest, TokenResponse, str], Mapping[str, Any]] = read_metadata_response,
    hint: str = "",
) -> Steps[Mapping[str, Any]]:
    """Return the metadata from the first of these places that has this issuer's. Raises `TokenError`.

    `hint` ends the error's text where there's none.
    """
    failures = []
    for url in places:
        request = TokenRequest(method="GET", url=url, headers=REQUEST_HEADERS, fields={})
        try:
            return (yield from calls.call(Call(request), lambda request, response: read(request, response, issuer)))
        except NoMetadata as error:
            failures.append(error)
    best = min(failures, key=lambda error: (error.reason is None, error.status_code))
    looked = " nor at ".join(str(error.token_url) for error in failures[:2])
    reason = best.reason or f"it has no metadata, neither at {looked}{hint}"
    raise TokenResponseError(
        f"{issuer} can't be the issuer: {reason}", status_code=best.status_code, token_url=best.token_url
    )
