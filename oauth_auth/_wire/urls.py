"""URLs: the origin that a request goes to, and whether a secret may be sent there. Pure."""

from __future__ import annotations

import ipaddress
import string
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from urllib.parse import SplitResult, urljoin, urlsplit

from ..errors import ConfigurationError, InsecureTransportError

__all__ = [
    "MOST_ORIGINS",
    "as_http",
    "check_endpoint",
    "check_issuer",
    "check_resource",
    "check_transport",
    "is_plain_loopback",
    "leads_elsewhere",
    "origin_of",
    "proxy_for",
    "read_origins",
    "without_query",
]

MOST_ORIGINS = 1000
"""How many origins an auth object remembers at most, so that a crawler doesn't grow with the sites that it visits."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SAME_SECURITY = {"ws": "http", "wss": "https", "psse": "http", "sse": "https"}
"""Schemes of what is spoken over HTTP, and HTTP's own: WebSockets, and server-sent events in niquests (3.21)."""


def origin_of(url: str) -> str | None:
    """Return a URL's scheme, host and port (RFC 6454), the port only if it isn't the default; None without a host.

    The scheme is `http` or `https` also for what is spoken over them, such as WebSockets: it's the same server.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not parts.scheme or not host:
        return None
    host = f"[{host}]" if ":" in host else host
    scheme = _security(parts.scheme)
    return f"{scheme}://{host}" if port is None or port == _DEFAULT_PORTS.get(scheme) else f"{scheme}://{host}:{port}"


def leads_elsewhere(url: str, location: str) -> bool:
    """Return whether a redirect leads to another origin; one that can't be read leads nowhere."""
    try:
        target = urljoin(url, location)
    except ValueError:
        return False
    return origin_of(target) != origin_of(url)


def _security(scheme: str) -> str:
    """Return the scheme of HTTP that another one stands for; niquests names an implementation after it: `ws+x`."""
    plain, _, variant = scheme.partition("+")
    return scheme if variant == "unix" else _SAME_SECURITY.get(plain, plain)


def as_http(url: str) -> str:
    """Return the URL of the request that begins what is spoken over HTTP, such as WebSockets: it has HTTP's scheme."""
    scheme, separator, rest = url.partition(":")
    return f"{_security(scheme.lower())}{separator}{rest}"


def check_resource(resource: object) -> str:
    """Return the URI of a resource (RFC 8707 section 2). Raises `ConfigurationError`."""
    if not isinstance(resource, str) or not resource.isascii() or not resource.isprintable() or " " in resource:
        raise ConfigurationError("resource must be the URI of an API, in ASCII, such as 'https://api.example.com'")
    try:
        is_absolute = bool(urlsplit(resource).scheme)
    except ValueError:
        is_absolute = False
    if not is_absolute:
        raise ConfigurationError("resource must be an absolute URI, such as 'https://api.example.com' (RFC 8707)")
    if "#" in resource:
        raise ConfigurationError("resource must have no fragment (RFC 8707 section 2): leave out '#' and what follows")
    return resource


def check_transport(url: str, *, allow_insecure: bool) -> None:
    """Raise `InsecureTransportError` for a URL that would send a secret without TLS beyond this machine."""
    if allow_insecure:
        return
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None  # raised below, without the error as its context, whose text may hold a password
    if parts is None:
        raise InsecureTransportError("can't parse the host of this URL, so the token isn't sent")
    if _security(parts.scheme) == "http" and not _is_loopback(parts.hostname or ""):
        raise InsecureTransportError(
            f"{without_query(url)} would carry a token or secret over plain http: use https, "
            "or pass allow_insecure_transport=True if the network itself is safe"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_plain_loopback(url: str) -> bool:
    """Return whether this is plain http to this machine, which a proxy would carry over the network."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return _security(parts.scheme) == "http" and _is_loopback(parts.hostname or "")


def proxy_for(url: str, proxies: Mapping[str, str], bypasses: Callable[[str], object]) -> str | None:
    """Return the proxy for a URL, of those by scheme that `urllib.request.getproxies` returns; None for none.

    `bypasses` is `urllib.request.proxy_bypass`. Plain http to this machine goes through none.
    """
    parts = urlsplit(url)
    proxy = proxies.get(_security(parts.scheme)) or proxies.get("all")
    if proxy is None or is_plain_loopback(url) or bypasses(parts.netloc.rpartition("@")[2]):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


_EXAMPLE = "https://auth.example.com/token"
_EXAMPLES = {
    "issuer": "https://auth.example.com",
    "authorization_url": "https://auth.example.com/authorize",
    "device_authorization_url": "https://auth.example.com/device",
    "revocation_url": "https://auth.example.com/revoke",
}


def check_endpoint(name: str, url: object, *, allow_insecure: bool) -> str:
    """Return the URL of an endpoint. Raises `ConfigurationError`, which says what to write instead."""
    if not isinstance(url, str):
        raise ConfigurationError(f"{name} must be a URL as text, not {type(url).__name__}")
    parts = _split(name, url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ConfigurationError(
            f"{name} must be an absolute URL such as {_EXAMPLES.get(name, _EXAMPLE)!r}, not {without_query(url)!r}"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{name} must hold no user or password: pass client_id and client_secret instead")
    if "#" in url:
        raise ConfigurationError(f"{name} must have no fragment (RFC 6749 section 3.2): leave out '#' and what follows")
    try:
        check_transport(url, allow_insecure=allow_insecure)
    except InsecureTransportError as error:
        raise error.without_traceback(f" ({name})") from None
    return url


_HOST_CHARACTERS = f"{string.ascii_lowercase}{string.digits}-._"


def check_issuer(issuer: object, *, allow_insecure: bool) -> str:
    """Return the URL of an issuer (RFC 8414 section 2). Raises `ConfigurationError`, as `check_endpoint` does."""
    url = check_endpoint("issuer", issuer, allow_insecure=allow_insecure)
    if urlsplit(url).query:
        raise ConfigurationError("issuer must have no query (RFC 8414 section 2): leave out '?' and what follows")
    return url


def _split(name: str, url: str) -> SplitResult:
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise ConfigurationError(
            f"{name} has a space, a control character or a letter beyond ASCII: "
            "percent-encode it, and write a host as xn--…"
        )
    with suppress(ValueError):
        parts = urlsplit(url)
        _ = parts.port
        # Of other characters, such as a backslash or a percent sign, each library makes another host.
        if "[" in parts.netloc or not (parts.hostname or "").strip(_HOST_CHARACTERS):
            return parts
    raise ConfigurationError(f"{name} is no URL: its host or port can't be read")


def read_origins(origins: Iterable[str] | None, *, allow_insecure: bool) -> frozenset[str] | None:
    """Return the origins of `allowed_origins` as `origin_of` returns them; None allows any."""
    if origins is None:
        return None
    if isinstance(origins, str):
        raise ConfigurationError("allowed_origins must be a list of origins: put the text in brackets")
    if not isinstance(origins, Iterable):
        raise ConfigurationError(f"allowed_origins must be a list of origins, not {type(origins).__name__}")
    normal = set()
    for origin in origins:
        check_endpoint("allowed_origins", origin, allow_insecure=allow_insecure)
        parts = urlsplit(origin)
        if parts.path not in {"", "/"} or parts.query:
            raise ConfigurationError(
                f"allowed_origins takes origins, not URLs: write {parts.scheme}://{parts.netloc} without a path"
            )
        normal.add(origin_of(origin) or origin)
    return frozenset(normal)


def without_query(url: str) -> str:
    """Return a URL for messages, without the user info, query and fragment, which may hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an unreadable URL"
    prefix = f"{parts.scheme}://" if parts.scheme else ""
    return f"{prefix}{parts.netloc.rpartition('@')[2]}{parts.path}"
