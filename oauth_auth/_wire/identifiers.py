"""The identifiers of protected resources and authorization servers: which are the same, or one above the other. Pure.

They are compared as text, as their owners wrote them: what isn't plainly the same counts as another.

    RFC 9728 section 3    where a resource's metadata is
    RFC 8414 section 3    where a server's metadata is
    RFC 8707 section 2    what identifies a resource
"""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import SplitResult, unquote, urlsplit

from ..errors import ConfigurationError
from .urls import check_endpoint, check_resource, origin_of

__all__ = [
    "check_protected_resource",
    "covers",
    "given_metadata_places",
    "is_at_or_above",
    "is_same_issuer",
    "is_same_resource",
    "leads_inside",
    "resource_key",
    "resource_metadata_places",
    "server_metadata_places",
    "without_lone_slash",
]

_RESOURCE_METADATA = "/.well-known/oauth-protected-resource"
_SERVER_METADATA = "/.well-known/oauth-authorization-server"
_OPENID_METADATA = "/.well-known/openid-configuration"

_MOST_DECODINGS = 3


def check_protected_resource(resource: object, *, allow_insecure: bool) -> str:
    """Return the URL of a resource as it was given. Raises `ConfigurationError` for what can't be one."""
    if not isinstance(resource, str):
        raise ConfigurationError(f"resource must be the URL of an API as text, not {type(resource).__name__}")
    check_resource(check_endpoint("resource", resource, allow_insecure=allow_insecure))
    if urlsplit(resource).query:
        raise ConfigurationError("resource must have no query: leave out '?' and what follows")
    if _climbs(urlsplit(resource).path):
        raise ConfigurationError("resource must have no '.' or '..' in its path: write the path without them")
    return resource


def covers(resource: str, url: str) -> bool:
    """Return whether a URL is within a resource: its origin, and its path or one below it, by whole segments.

    A path with dot segments, however they're written, is outside: a server may take it for another one.
    """
    parts = _split(url)
    if parts is None or origin_of(url) != origin_of(resource):
        return False
    return not _climbs(parts.path) and _is_below(parts.path, urlsplit(resource).path)


def is_at_or_above(named: object, given: str) -> bool:
    """Return whether the resource that metadata names is the one that was given, or one above it."""
    if not isinstance(named, str) or "#" in named or not named.isascii() or not named.isprintable():
        return False
    parts = _split(named)
    if parts is None or parts.username is not None or parts.password is not None or parts.query:
        return False
    return (
        origin_of(named) == origin_of(given) and not _climbs(parts.path) and _is_below(urlsplit(given).path, parts.path)
    )


def is_same_resource(one: str, other: str) -> bool:
    """Return whether two URLs identify the same resource; a trailing slash doesn't count."""
    return resource_key(one) == resource_key(other)


def resource_key(resource: str) -> str:
    """Return the text that is equal for the same resource: its origin, and its path without a trailing slash."""
    return f"{origin_of(resource)}{urlsplit(resource).path.rstrip('/')}"


def without_lone_slash(identifier: str) -> str:
    """Return an identifier without the slash that libraries add to a bare origin."""
    parts = _split(identifier)
    return identifier[:-1] if parts is not None and parts.path == "/" and identifier.endswith("/") else identifier


def is_same_issuer(named: object, issuer: str) -> bool:
    """Return whether an issuer is the one that was looked for: letter by letter, but for the slash of a bare origin.

    Some write it, and some don't (measured: Google's resources name it with the slash, its metadata without).
    """
    return isinstance(named, str) and without_lone_slash(named) == without_lone_slash(issuer)


def resource_metadata_places(resource: str) -> list[str]:
    """Return the well-known places of a resource's metadata: that of its path, then that of its origin."""
    origin, path = _origin_and_path(resource)
    places = [f"{origin}{_RESOURCE_METADATA}{path}", f"{origin}{_RESOURCE_METADATA}"]
    return list(dict.fromkeys(places))


def server_metadata_places(issuer: str) -> list[str]:
    """Return the places of a server's metadata: that of RFC 8414, then those of OpenID, inserted and appended."""
    oauth, openid, appended, oauth_appended = _server_places(issuer)
    return list(dict.fromkeys((oauth, openid, appended, oauth_appended)))


def given_metadata_places(issuer: str) -> list[str]:
    """Return the same for an issuer that the user has named, the usual places of OpenID's servers first."""
    oauth, openid, appended, oauth_appended = _server_places(issuer)
    return list(dict.fromkeys((oauth, appended, oauth_appended, openid)))


def _server_places(issuer: str) -> tuple[str, str, str, str]:
    origin, path = _origin_and_path(issuer)
    return (
        f"{origin}{_SERVER_METADATA}{path}",
        f"{origin}{_OPENID_METADATA}{path}",
        f"{origin}{path}{_OPENID_METADATA}",
        f"{origin}{path}{_SERVER_METADATA}",
    )


def leads_inside(url: str) -> bool:
    """Return whether a URL names an address of this machine or of a private network, literally.

    That's each address but those that are global and of one host, in each notation that systems take, and `localhost`.
    Names aren't resolved.
    """
    parts = _split(url)
    host = "" if parts is None else (parts.hostname or "").rstrip(".")
    if not host or host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return True
    return address is not None and (address.is_multicast or not address.is_global)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is, if it's one, also in the old notations: 127.1, 0x7f000001, 2130706433."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        if not re.fullmatch(r"[0-9a-fx.]+", host):
            return None
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        return inner or _translated(address)
    return address


_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""Outside of it are also the ways to write IPv4 addresses that few systems route (RFC 4291 section 2.4)."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _translated(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the IPv4 address that a translated one stands for (RFC 6052), else the address itself."""
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def _origin_and_path(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _is_below(path: str, above: str) -> bool:
    above = above.rstrip("/")
    return path.rstrip("/") == above or path.startswith(f"{above}/")


def _climbs(path: str) -> bool:
    """Return whether a path has dot segments, or may have them for a server that decodes and cleans it at will.

    Encoded repeatedly, behind backslashes, before what is cut off, with what is left out, in other letters.
    """
    if path.isascii() and "." not in path and "%" not in path:
        return False
    for _ in range(_MOST_DECODINGS):
        if re.search(_OVERLONG, path):
            return True
        cleaned = re.sub(_LEFT_OUT, "", _normalized(unquote(path)))
        if cleaned == path:
            return re.search(_DOT_SEGMENT, path) is not None
        path = cleaned
    return True  # nobody writes so


_OVERLONG = r"(?i)%(?:c[01]%[89ab]|e0%[89]|f0%8)"
"""UTF-8 of more bytes than it may have (RFC 3629 section 3): old servers read dots and slashes out of it."""
_LEFT_OUT = r"[\s\x01-\x1f\x7f]+"
_DOT_SEGMENT = r"(?:^|[/\\])\.{1,2}(?:[/\\;?#\0]|$)"


def _normalized(text: str) -> str:
    if text.isascii():
        return text
    import unicodedata  # noqa: PLC0415 - few paths have such letters

    return unicodedata.normalize("NFKC", text)
