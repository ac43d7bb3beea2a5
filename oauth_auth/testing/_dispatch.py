"""Who answers a request to a `LocalProvider`, and the record of what arrived.

Requests to the API don't pass through Flask: load tests send thousands a second, and each would take 0.3 ms instead of
0.2 (measured).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ._faults import Fault, Faults, Refusal
from ._http import LoopbackServer, json_answer
from ._received import Headers, ReceivedRequest
from ._security import SecurityProfile

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from ._certificates import Certificates

__all__ = ["Dispatch"]

_ALIASES = {f"/mtls/{name}" for name in ("token", "par", "device_authorization", "revoke", "introspect")}
"""Where clients' certificates are looked at (RFC 8705 section 5)."""
_CHUNK_BYTES = 64 * 1024


class Dispatch(Faults, SecurityProfile):
    """The WSGI application that is all of a `LocalProvider`: its API, and the endpoints, which are Flask's."""

    token_delay: float
    _flask: WSGIApplication
    _certificates: Certificates | None
    _server: LoopbackServer | None
    _now: Callable[[], float]

    def __init__(self) -> None:
        super().__init__()
        self.token_requests: list[ReceivedRequest] = []
        self.api_requests: list[ReceivedRequest] = []
        self.registrations: list[ReceivedRequest] = []

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if self._certificates is not None and path in _ALIASES:
            path = environ["PATH_INFO"] = path.removeprefix("/mtls")
            environ["oauth_auth.certificate"] = self._certificates.shown(environ)
        if path == "/api" or path.startswith("/api/"):
            return self._serve_api(environ, start_response)
        if path == "/token":
            return self._serve_token(environ, start_response)
        if path == "/register":
            return self._serve_registration(environ, start_response)
        return self._flask(environ, start_response)

    def _serve_api(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        body = environ["wsgi.input"]
        head = chunk = body.read(_CHUNK_BYTES)
        digest, length = hashlib.sha256(head), len(head)
        while chunk := chunk and body.read(_CHUNK_BYTES):
            digest.update(chunk)
            length += len(chunk)
        request = self._received(environ, head)
        self.api_requests.append(request)

        fault = self._api_fault.take(request)
        if fault:
            return json_answer(start_response, *fault)
        nonce = [("DPoP-Nonce", self._api.proofs.nonce)] if self.dpop_nonces else []
        certificate = self._certificates and self._certificates.shown(environ)
        good = certificate if certificate and self._is_live(certificate) else None
        refusal = self._api.refusal(request, environ["oauth_auth.url"], good)
        if refusal:
            status, fields, headers = refusal
            return json_answer(start_response, status, fields, [*headers, *nonce])
        answer = {
            "method": request.method,
            "path": request.path,
            "length": length,
            "sha256": digest.hexdigest(),
        }
        return json_answer(start_response, 200, answer, nonce)

    def _serve_token(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal = self._keep(environ, self.token_requests, self._token_fault)
        if self.token_delay > 0 and self._server and self._server.stopping.wait(self.token_delay):
            raise ConnectionAbortedError("The server ends: this request gets no answer.")
        if refusal:
            return json_answer(start_response, *refusal)
        return self._flask(environ, start_response)

    def _serve_registration(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal = self._keep(environ, self.registrations, self._registration_fault)
        return json_answer(start_response, *refusal) if refusal else self._flask(environ, start_response)

    def _keep(self, environ: WSGIEnvironment, requests: list[ReceivedRequest], fault: Fault) -> Refusal | None:
        """Add the request to those that arrived; return the refusal that's planned for it, if one is."""
        body = b"".join(iter(lambda: environ["wsgi.input"].read(_CHUNK_BYTES), b""))
        environ["wsgi.input"] = io.BytesIO(body)
        request = self._received(environ, body)
        requests.append(request)
        return fault.take(request)

    def _received(self, environ: WSGIEnvironment, body: bytes) -> ReceivedRequest:
        path, _, query = environ["REQUEST_URI"].partition("?")
        headers = {
            name.removeprefix("HTTP_").replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        }
        return ReceivedRequest(
            method=environ["REQUEST_METHOD"],
            path=path,
            query=query,
            headers=Headers(headers),
            body=body,
            time=self._now(),
        )

    def _is_live(self, certificate: str) -> bool:
        """Return whether the certificate with this thumbprint is good still."""
        return self._certificates is not None and self._certificates.is_live(certificate)
