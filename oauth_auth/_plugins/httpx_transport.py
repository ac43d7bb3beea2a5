"""How token calls are sent through httpx and httpx2, which have the same shape and different classes."""

from __future__ import annotations

import functools
import os
import time
from types import ModuleType
from typing import Any, ClassVar

from .. import errors
from .._wire.messages import MAX_BODY, TokenRequest, TokenResponse
from .._wire.urls import without_query
from ..errors import ConfigurationError

__all__ = ["HttpxTokenTransport"]


class HttpxTokenTransport:
    """Sends token calls with the user's client, or with one of its own for each call.

    Token calls are rare, so no connection is kept between them that could go stale, be shared with a forked child or
    stay open.
    """

    __slots__ = ("_client",)

    _library: ClassVar[Any]
    error_class: ClassVar[type[errors.TokenTransportError]]

    def __init__(self, token_client: Any) -> None:
        if token_client is not None and not isinstance(token_client, self._library.Client):
            name = self._library.__name__
            raise ConfigurationError(f"token_client must be a {name}.Client, which is sync, not {type(token_client)}")
        self._client = token_client

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        """Send once. Raises `TokenTransportError`."""
        timeouts = (connect_timeout, timeout)
        if self._client is not None:
            return self._send(self._client, request, timeouts)
        certificates = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        try:
            tls = _ssl_context(self._library, certificates)
            client = self._library.Client(verify=tls, headers={"Connection": "close"})
        except (OSError, ValueError, self._library.InvalidURL) as error:
            # The environment names a CA bundle that doesn't exist, or a proxy that is no URL.
            failure = self._wrap(error, request, None)
        else:
            with client:
                return self._send(client, request, timeouts)
        raise failure

    def time_out(self, request: TokenRequest, timeout: float) -> errors.TokenTransportError:
        """Return the error for an answer that hasn't come within `timeout` seconds."""
        return self._wrap(self._library.ReadTimeout(f"no answer in {timeout:.3g} s"), request, None)

    def _send(self, client: Any, request: TokenRequest, timeouts: tuple[float, float]) -> TokenResponse:
        connect_timeout, timeout = timeouts
        deadline = time.monotonic() + timeout
        response = None
        try:
            waits = self._library.Timeout(timeout, connect=connect_timeout)
            call = client.build_request(
                request.method, request.url, content=request.body or None, headers=request.headers, timeout=waits
            )
            if "Authorization" not in request.headers:
                call.headers.pop("Authorization", None)
            response = client.send(call, stream=True, auth=None, follow_redirects=False)
            try:
                body = self._read(response, deadline)
            finally:
                response.close()
            return TokenResponse(response.status_code, dict(response.headers), body)
        except self._library.HTTPStatusError as error:  # a hook of the user's that raises for a status
            response = error.response
            body = response.content[: MAX_BODY + 1] if hasattr(response, "_content") else b""
            return TokenResponse(response.status_code, dict(response.headers), body)
        except (self._library.HTTPError, self._library.InvalidURL, RuntimeError, OSError, ValueError) as error:
            if response is not None and 400 <= response.status_code < 500:
                return TokenResponse(response.status_code, dict(response.headers), b"")  # the status says enough
            failure = self._wrap(error, request, None if response is None else response.status_code)
        raise failure

    def _read(self, response: Any, deadline: float) -> bytes:
        """Read the body as it arrives, to its end or to one byte more than is allowed."""
        body = bytearray()
        late = False
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BODY:
                break
            if late:  # no caller waits any more; an answer that was complete by then was used
                raise self._library.ReadTimeout("the answer took too long to arrive")
            late = time.monotonic() > deadline
        return bytes(body[: MAX_BODY + 1])

    def _wrap(self, error: Exception, request: TokenRequest, status_code: int | None) -> errors.TokenTransportError:
        """Wrap a copy of the library's error, without its request, answer and traceback."""
        endpoint = without_query(request.url)
        text = str(error).replace(request.url, endpoint) or type(error).__name__
        is_transport = isinstance(error, self._library.TransportError)
        wrapped = self.error_class(
            f"{endpoint} could not be reached: {text}",
            token_url=endpoint,
            status_code=status_code,
            retryable=isinstance(error, self._library.RequestError)
            and not isinstance(error, self._library.UnsupportedProtocol),
        )
        wrapped.__cause__ = (type(error) if is_transport else self._library.TransportError)(text)
        return wrapped


@functools.lru_cache(maxsize=8)
def _ssl_context(library: ModuleType, certificates: tuple[str | None, str | None]) -> Any:  # noqa: ARG001 - part of the cache's key
    """Return the library's default TLS context; loading its certificates takes longer than most token calls."""
    return library.create_ssl_context()
