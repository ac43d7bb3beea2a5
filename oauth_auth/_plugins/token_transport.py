"""What the plug-ins' transports share: the answer to a token call as it arrives, the error if none comes, and TLS."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from .._wire.encodings import decompress
from .._wire.messages import MAX_BODY, TokenRequest, TokenResponse
from .._wire.urls import without_query
from .._wire.words import without_secrets
from ..errors import TokenTransportError

__all__ = ["Body", "answer", "make_tls_context", "tls_context", "unreachable"]


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
    lower = {name.lower(): text for name, text in headers.items()}
    return TokenResponse(status_code, lower, decompress(raw, lower.get("content-encoding"), MAX_BODY + 1))


def unreachable(
    error_class: type[TokenTransportError],
    request: TokenRequest,
    error: Exception,
    copy: Callable[[str], Exception],
    *,
    status_code: int | None = None,
    retryable: bool = True,
) -> TokenTransportError:
    """Return what is raised for a library's error in a token call; no secret can be reached from it.

    `copy` makes its cause of a text: an error of the library without request, answer and traceback.
    """
    endpoint = without_query(request.url)
    text = without_secrets(str(error)) or type(error).__name__
    wrapped = error_class(
        f"{endpoint} could not be reached: {text}", token_url=endpoint, status_code=status_code, retryable=retryable
    )
    wrapped.__cause__ = copy(text)
    return wrapped


def make_tls_context() -> Any:
    """Make a TLS context for the certificates of this moment, for HTTP/1.1."""
    import ssl  # noqa: PLC0415 - not all plug-ins need it

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def tls_context(make: Callable[[], Any]) -> Any:
    """Return what `make` returns, made once for the certificates that the environment names now.

    Loading certificates takes longer than most token calls. A bundle that has been replaced is loaded anew.
    """
    return _make_for(make, *(_state_of(os.environ.get(name)) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")))


@functools.lru_cache(maxsize=8)
def _make_for(make: Callable[[], Any], *_: object) -> Any:
    return make()


def _state_of(path: str | None) -> tuple[str | None, int | None]:
    try:
        return path, None if path is None else os.stat(path).st_mtime_ns  # noqa: PTH116 - as it's given
    except OSError:
        return path, None
