"""`--verbose`: one line on stderr for each request to the authorization server, without its query and body."""

from __future__ import annotations

import time
from typing import Any

from .._server.calls import TokenTransport
from .._wire.urls import without_query
from ..errors import OAuthError
from .reporting import echo

__all__ = ["VerboseTransport"]


class VerboseTransport:
    """Sends through another transport, and tells each attempt when it has ended, or is given up."""

    def __init__(self, transport: TokenTransport) -> None:
        self._transport = transport
        self.error_class = transport.error_class
        self._attempt: object = None
        """The one under way; what is given up may end later, and is told once."""

    def send(self, request: Any, connect_timeout: float, timeout: float) -> Any:
        """Send once. Raises `TokenTransportError`."""
        begun, self._attempt = time.monotonic(), (attempt := object())
        outcome = "failed"
        try:
            response = self._transport.send(request, connect_timeout, timeout)
            outcome = str(response.status_code)
        except OAuthError as error:
            outcome = "no answer" if error.__cause__ is None else f"no answer ({type(error.__cause__).__name__})"
            raise
        finally:
            if self._attempt is attempt:
                _tell(request, outcome, time.monotonic() - begun)
        return response

    def time_out(self, request: Any, timeout: float) -> Any:
        """Return the error for an answer that hasn't come within `timeout` seconds."""
        self._attempt = None
        _tell(request, "no answer", timeout)
        return self._transport.time_out(request, timeout)


def _tell(request: Any, outcome: str, seconds: float) -> None:
    echo(f"oauth-auth: {request.method} {without_query(request.url)}: {outcome}, {seconds:.2f} s")
