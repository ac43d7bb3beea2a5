"""What the plug-ins' transports share: the answer to a token call as it arrives, the error if none comes, and TLS."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .._wire.http_fields import decompress
from .._wire.messages import MAX_BODY, TokenResponse
from .._wire.token_request import TokenRequest
from .._wire.urls import proxy_for, without_query
from .._wire.words import redact, without_secrets
from ..errors import ConfigurationError, TokenTransportError

if TYPE_CHECKING:
    from .._keys.certificate import ClientCertificate
    from .trouble import Circumstances

__all__ = [
    "CERTIFICATE_VARIABLES",
    "Body",
    "answer",
    "circumstances",
    "http_proxy",
    "lacks_package",
    "make_tls_context",
    "tls_context",
    "unreachable",
]

CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""The variables of the environment that name certificates for most libraries."""


class Body:
    """The body of an answer as it arrives, to its end or to one byte more than is allowed."""

    def __init__(self, deadline: float, too_late: Callable[[str], Exception]) -> None:
        self._deadline = deadline
        self._too_late = too_late
        self._bytes = bytearray()
        self._is_late = False

    @property
    def content(self) -> bytes:
        """What has arrived."""
        return bytes(self._bytes[: MAX_BODY + 1])

    def takes(self, chunk: bytes) -> bool:
        """Take another part; return whether it's enough. Raises the library's error if it has come too late."""
        self._bytes += chunk
        if len(self._bytes) > MAX_BODY:
            return True
        if self._is_late:  # nobody waits any more; but what had arrived whole by then was used
            raise self._too_late("the answer took too long to arrive")
        self._is_late = time.monotonic() > self._deadline
        return False


def answer(status_code: int, headers: Mapping[str, str], raw: bytes) -> TokenResponse:
    """Return an answer whose body is still as it was sent."""
    lower: dict[str, str] = {}
    for name, text in headers.items():  # some libraries have a field that comes twice here twice
        lower[name.lower()] = f"{lower[name.lower()]}, {text}" if name.lower() in lower else text
    return TokenResponse(status_code, lower, decompress(raw, lower.get("content-encoding"), MAX_BODY + 1))


def unreachable(
    error_class: type[TokenTransportError],
    request: TokenRequest,
    error: Exception,
    copy: Callable[[str], Exception],
    around: Circumstances,
    *,
    status_code: int | None = None,
    retryable: bool = True,
) -> TokenTransportError:
    """Return what is raised for a library's error in a token call; no secret can be reached from it.

    `copy` makes its cause of a text, the library's: an error without request, answer and traceback.
    """
    from .trouble import diagnose  # noqa: PLC0415 - most programs never need it

    endpoint = without_query(request.url)
    text = _clean(str(error), request) or type(error).__name__
    trouble = diagnose(error, request.url, around)
    said = text if trouble is None else _clean(trouble.text, request)
    wrapped = error_class(
        f"{endpoint} could not be reached: {said}",
        token_url=endpoint,
        status_code=status_code,
        retryable=retryable and (trouble is None or trouble.may_pass),
    )
    wrapped.__cause__ = copy(text)
    return wrapped


def _clean(text: str, request: TokenRequest) -> str:
    # The secrets first, whole: the other takes parts of them away.
    return without_secrets(redact(text, request.secrets) or "")


def lacks_package(text: str) -> ConfigurationError:
    """Return what is raised if the library lacks a package for the call, such as one for SOCKS proxies."""
    return ConfigurationError(f"the token call can't be made, since a package is missing: {without_secrets(text)}")


def http_proxy(library: str, url: str) -> str | None:
    """Return the proxy that the environment names for a URL. Raises `ConfigurationError` for one of SOCKS."""
    import urllib.request  # noqa: PLC0415 - most plug-ins leave it to their library

    proxy = proxy_for(url, urllib.request.getproxies(), urllib.request.proxy_bypass)
    if proxy is not None and proxy.lower().startswith("socks"):
        kind = proxy.partition(":")[0]
        raise ConfigurationError(f"{library} has no {kind} proxies, but the environment names one: pass a token_client")
    return proxy


def circumstances(
    proxy: object, *, is_own_client: bool, variables: tuple[str, ...] = CERTIFICATE_VARIABLES
) -> Circumstances:
    """Return what is known around a call: its proxy's URL, and of the variables that may name certificates."""
    from .trouble import Circumstances  # noqa: PLC0415 - see above

    missing = None
    for name in variables:
        path = os.environ.get(name)
        if path and not os.path.exists(path):  # noqa: PTH110 - as it's given
            missing = missing or f"{name} names {path}, which isn't there"
    shown = None if proxy is None else without_query(str(proxy)).rstrip("/")
    return Circumstances(shown, missing, is_own_client)


def make_tls_context() -> Any:
    """Make a TLS context for the certificates of this moment, for HTTP/1.1."""
    import ssl  # noqa: PLC0415 - not all plug-ins need it

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def tls_context(
    make: Callable[[], Any], certificate: ClientCertificate | None, variables: tuple[str, ...] = CERTIFICATE_VARIABLES
) -> Any:
    """Return what `make` returns, made once for the certificates that the environment names now.

    It shows the client's, if there is one. Loading certificates takes longer than most token calls. A bundle that has
    been replaced is loaded anew. Raises `TokenError` if the client's can't be used.
    """
    trusted = tuple(_state_of(os.environ.get(name)) for name in variables)
    if certificate is None:
        return _make_for(make, *trusted)
    return certificate._context_for_calls(make, trusted)  # noqa: SLF001 - of the package


@functools.lru_cache(maxsize=8)
def _make_for(make: Callable[[], Any], *_: object) -> Any:
    return make()


def _state_of(path: str | None) -> tuple[str | None, int | None]:
    try:
        return path, None if path is None else os.stat(path).st_mtime_ns  # noqa: PTH116 - as it's given
    except OSError:
        return path, None
