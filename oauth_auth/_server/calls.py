"""Calls of an authorization server's endpoints: each attempt bounded in time, and tried again where that's safe."""

from __future__ import annotations

import logging
import random
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from .._events import emit
from .._flight import Flight, mark_retrying
from .._wire.messages import TokenRequest, TokenResponse
from ..errors import OAuthError, TokenError, TokenTransportError

__all__ = ["EndpointCalls", "TokenTransport", "no_retry"]

_T = TypeVar("_T")

_WORTHWHILE = 0.05
"""The least time, in seconds, that must be left for another attempt."""
_PAUSES = ((0.1, 0.3), (0.5, 1.5))
"""Bounds, in seconds, of the random pause after the first and the second attempt."""


class TokenTransport(Protocol):
    """How a plug-in sends one request to an authorization server through its HTTP library."""

    def __init__(self, token_client: Any) -> None:
        """Take the user's client, or None to make one for each call. Raises `ConfigurationError` for another type."""

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        """Send once, follow no redirect; the time-outs bound each wait, in seconds. Raises `TokenTransportError`."""
        ...

    def time_out(self, request: TokenRequest, timeout: float) -> TokenTransportError:
        """Return the error for an answer that wasn't there after so many seconds."""
        ...


class EndpointCalls:
    """Sends requests through one transport. `timeout` bounds a call with its retries, in seconds."""

    __slots__ = ("_timeout", "_transport")

    def __init__(self, transport: TokenTransport, timeout: float) -> None:
        self._transport = transport
        self._timeout = timeout

    def call(
        self,
        request: TokenRequest,
        read: Callable[[TokenRequest, TokenResponse], _T],
        *,
        repeatable: Callable[[TokenError], bool] = lambda error: error.retryable,
        single_use: bool = False,
        statuses: list[int | None] | None = None,
    ) -> _T:
        """Send and read the answer; do it again, up to three times in all, if that fails and is `repeatable`.

        `single_use` is for what may be used once: a late answer is waited for, since code or refresh token, sent again,
        would count as stolen where the server has taken it by then, and it would end all tokens that came from it.
        `statuses` takes each attempt's HTTP status, None without an answer.
        """
        statuses = [] if statuses is None else statuses
        deadline = time.monotonic() + self._timeout
        for pauses in (*_PAUSES, None):
            statuses.append(None)
            left = max(deadline - time.monotonic(), _WORTHWHILE)
            half = min(self._timeout / 2, left)
            try:
                response = self._send(request, half, left if single_use else half)
                statuses[-1] = response.status_code
                return read(request, response)
            except TokenError as error:
                statuses[-1] = error.status_code
                if pauses is None or not repeatable(error):
                    raise
                pause = max(random.uniform(*pauses), error.retry_after or 0.0)  # noqa: S311
                if time.monotonic() + pause + _WORTHWHILE > deadline:
                    raise
                failure = error
            mark_retrying()
            time.sleep(pause)
            if time.monotonic() + _WORTHWHILE > deadline:  # the machine slept, too
                raise failure
        raise AssertionError  # pragma: no cover - the last round returns or raises

    def _send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        """Send in a thread that can be given up: a library's time-outs bound waits for some bytes, not their sum."""

        def attempt() -> TokenResponse | Exception:
            try:
                return self._transport.send(request, connect_timeout, timeout)
            except Exception as error:  # noqa: BLE001 - it's raised where it's waited for
                return error

        answer = Flight(attempt, daemon=True).wait(timeout)
        if answer is None:
            raise self._transport.time_out(request, timeout)
        if isinstance(answer, OAuthError):
            raise answer
        if isinstance(answer, Exception):  # a hook of the user's client, say
            text = "".join(traceback.format_exception(answer))
            emit(logging.ERROR, "crashed", "a token call ended in an unexpected error:\n%(error)s", error=text)
            name = type(answer).__name__
            raise TokenError(f"the token call ended in an unexpected {name}") from answer.with_traceback(None)
        return answer


def no_retry(_: TokenError) -> bool:
    """Be the `repeatable` of a call that its caller repeats itself."""
    return False
