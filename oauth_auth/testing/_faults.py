"""Failures on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from ._received import ReceivedRequest

if TYPE_CHECKING:
    from ._api import Api

__all__ = ["Fault", "Faults"]

Refusal = tuple[int, Mapping[str, str], list[tuple[str, str]]]
"""Status, JSON fields and header fields."""


class Fault:
    """A planned number of refusals, each made when it's due: a challenge names URLs, known from the start on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._remaining = 0
        self._refusal: Callable[[ReceivedRequest], Refusal] | None = None

    def plan(self, count: int, refusal: Callable[[ReceivedRequest], Refusal]) -> None:
        with self._lock:
            self._remaining = count
            self._refusal = refusal

    def take(self, request: ReceivedRequest) -> Refusal | None:
        """Return the refusal of a request, and count it, or None if there is none left."""
        if self._remaining <= 0:
            return None
        with self._lock:
            if self._remaining <= 0 or self._refusal is None:
                return None
            self._remaining -= 1
            return self._refusal(request)


class Faults:
    """What makes endpoints of a `LocalProvider` fail; each may be planned at any time, from any thread."""

    _api: Api

    def __init__(self) -> None:
        self._token_fault = Fault()
        self._api_fault = Fault()
        self._registration_fault = Fault()

    def fail_token_requests(
        self,
        status: int,
        count: int = 1,
        retry_after: float | str | None = None,
        *,
        error: str | None = None,
    ) -> None:
        """Answer the next `count` token requests with this status, whatever they ask.

        This replaces an earlier call's failures; a `count` of 0 ends them. `retry_after` is sent as given: seconds, or
        an HTTP date. `error` is the answer's error code; by default `invalid_client` for 401, `temporarily_unavailable`
        for 429 and from 500 on, else `invalid_request`. Thread-safe.
        """
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        default_error = "temporarily_unavailable" if _is_passing(status) else "invalid_request"
        if status == HTTPStatus.UNAUTHORIZED:
            default_error = "invalid_client"
            headers["WWW-Authenticate"] = 'Basic realm="LocalProvider"'
        refusal: Refusal = status, {"error": error or default_error}, list(headers.items())
        self._token_fault.plan(count, lambda _: refusal)

    def fail_registrations(self, status: int, count: int = 1, *, error: str | None = None) -> None:
        """Answer the next `count` registrations with this status, whatever they ask.

        This replaces an earlier call's failures; a `count` of 0 ends them. `error` is the answer's error code; by
        default `temporarily_unavailable` for 429 and from 500 on, else `invalid_client_metadata`. Thread-safe.
        """
        default_error = "temporarily_unavailable" if _is_passing(status) else "invalid_client_metadata"
        refusal: Refusal = status, {"error": error or default_error}, []
        self._registration_fault.plan(count, lambda _: refusal)

    def fail_api_requests(self, status: int, count: int = 1, headers: Mapping[str, str] | None = None) -> None:
        """Answer the next `count` API requests with this status, whatever their token.

        This replaces an earlier call's failures; a `count` of 0 ends them. By default a 401 has the challenge of an
        invalid token (RFC 6750); with an empty `headers` it has none. Thread-safe.
        """
        fields = list((headers or {}).items())
        is_challenge = headers is None and status == HTTPStatus.UNAUTHORIZED

        def refusal(request: ReceivedRequest) -> Refusal:
            if is_challenge:
                return status, {}, [("WWW-Authenticate", self._api.invalid_token(request))]
            return status, {}, fields

        self._api_fault.plan(count, refusal)


def _is_passing(status: int) -> bool:
    """Return whether this status says that a later request may succeed."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
