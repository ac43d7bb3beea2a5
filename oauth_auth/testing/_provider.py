"""A real OAuth authorization server and API on loopback, with faults on demand.

The authorization server is Authlib's, the web framework Flask, the HTTP server werkzeug's; see `_authorization`, `_app`
and `_http`. Requests to the API don't pass through Flask: load tests send thousands a second, and each would take
0.3 ms instead of 0.2 (measured).
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

try:
    from ._api import Api
    from ._app import create_app
    from ._authorization import AuthorizationServer
    from ._http import LoopbackServer, json_answer
except ModuleNotFoundError as error:
    missing = (error.name or "").partition(".")[0]
    raise ImportError(
        f"LocalProvider is built on Authlib and Flask, and {missing!r} is missing. "
        'Install them: pip install "oauth_auth[testing]"',
        name=missing,
    ) from error

from ._clock import monotonic
from ._received import Headers, ReceivedRequest
from ._security import SecurityProfile

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from ._certificates import Certificates

_ALIASES = {f"/mtls/{name}" for name in ("token", "par", "device_authorization", "revoke", "introspect")}
"""Where clients' certificates are looked at (RFC 8705 section 5)."""
_CHUNK_BYTES = 64 * 1024


class LocalProvider(SecurityProfile):
    """An authorization server and an API on 127.0.0.1, which run for the length of a `with` block.

    It knows one client, confidential (`client_secret_basic`, `client_secret_post`) and, for codes with PKCE and for
    devices, also public; one user; and the grants client credentials, password, authorization code, device code and
    refresh token. The authorization endpoint approves at once, and allows any plain http redirect URI on loopback. A
    device waits for `approve_device` or `deny_device`; a GET of its `verification_uri_complete` approves, too.

    With `tls` it's served over https, with a certificate that clients trust by `ca_path`, and clients may authenticate,
    and bind their tokens, by certificates of `issue_certificate`, at the endpoints that its metadata has as
    `mtls_endpoint_aliases` (RFC 8705).

    What else clients must do, or are refused for, is said by the attributes of a `SecurityProfile`; by default nothing.

    All attributes may be set at any time, from any thread; the next request uses them. After the block, connections are
    refused; entering it again serves the same port, with all that was issued before.

    Attributes:
        token_lifetime: The lifetime of access tokens, in seconds; with None they don't expire, and answers have no
            `expires_in`.
        token_delay: How long the token endpoint takes for each answer, in seconds.
        rotate_refresh_tokens: Whether each refresh is answered with a new refresh token. The old one is then spent, and
            using it again ends all tokens of the same login.
        device_code_lifetime: How long a device's login may take, in seconds (RFC 8628 `expires_in`).
        device_interval: How long a device must wait between two polls, in seconds (RFC 8628 `interval`); one that polls
            sooner is told to slow down. Auth objects wait for at least a second, also before the first poll.
        token_requests: What the token endpoint received, failed requests included, in order of arrival; may be cleared.
        api_requests: What the API received; may be cleared.
    """

    def __init__(
        self,
        *,
        client_id: str = "local-client",
        client_secret: str = "correct-horse-battery-staple",  # noqa: S107 - it guards nothing
        username: str = "alice",
        password: str = "through-the-looking-glass",  # noqa: S107 - as above
        token_lifetime: float | None = 3600,
        token_delay: float = 0,
        rotate_refresh_tokens: bool = True,
        device_code_lifetime: float = 600,
        device_interval: float = 1,
        tls: bool = False,
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.username = username
        self.password = password
        self.token_lifetime = token_lifetime
        self.token_delay = token_delay
        self.rotate_refresh_tokens = rotate_refresh_tokens
        self.device_code_lifetime = device_code_lifetime
        self.device_interval = device_interval
        self.token_requests: list[ReceivedRequest] = []
        self.api_requests: list[ReceivedRequest] = []
        self.tls = tls
        self._certificates: Certificates | None = None
        if tls:
            from ._certificates import Certificates

            self._certificates = Certificates()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._now = monotonic
        self._token_fault = _Fault()
        self._api_fault = _Fault()
        self._authorization_server = AuthorizationServer(self)
        self._api = Api(self, self._authorization_server)
        self._flask = create_app(self, self._authorization_server)
        self._server: LoopbackServer | None = None
        self._port = 0

    def __enter__(self) -> Self:
        if self._server is not None:
            raise RuntimeError("This LocalProvider is already running.")
        context = None
        if self._certificates is not None:
            context = self._certificates.ssl_context()
            self._folder = tempfile.TemporaryDirectory(prefix="oauth_auth-")
            self._certificates.write_authority(Path(self._folder.name, "ca.pem"))
        self._server = LoopbackServer(self._serve, self._port, self._authorization_server.unix_time, context)
        self._port = self._server.port
        self._server.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __repr__(self) -> str:
        return f"<LocalProvider at {self.issuer}>" if self._port else "<LocalProvider, not started>"

    @property
    def issuer(self) -> str:
        """The server's issuer identifier, for `from_issuer`.

        Its metadata has the other URLs, by RFC 8414 and by OpenID Discovery; no ID tokens are issued.
        """
        if not self._port:
            raise RuntimeError("Start it first: `with LocalProvider() as provider:`")
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def ca_path(self) -> str:
        """The file with the certificate that clients must trust, PEM; with `tls=True`, until the block ends."""
        if self._folder is None:
            raise RuntimeError("It's there with TLS alone: `with LocalProvider(tls=True) as provider:`")
        return str(Path(self._folder.name, "ca.pem"))

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.issuer}/token"

    @property
    def authorization_url(self) -> str:
        """The authorization endpoint, which approves each request at once, as `username`."""
        return f"{self.issuer}/authorize"

    @property
    def pushed_authorization_request_url(self) -> str:
        """The endpoint that authorization requests may be pushed to (RFC 9126)."""
        return f"{self.issuer}/par"

    @property
    def device_authorization_url(self) -> str:
        """The device authorization endpoint (RFC 8628)."""
        return f"{self.issuer}/device_authorization"

    @property
    def revocation_url(self) -> str:
        """The revocation endpoint (RFC 7009); revoking a refresh token ends all tokens of its login."""
        return f"{self.issuer}/revoke"

    @property
    def introspection_url(self) -> str:
        """The introspection endpoint (RFC 7662), for who has the client's secret."""
        return f"{self.issuer}/introspect"

    @property
    def api_url(self) -> str:
        """A protected resource, for any method, and with any path after it.

        It answers with a JSON object: `method`, `path`, and the `length` and `sha256` of the request's body.
        """
        return f"{self.issuer}/api"

    @property
    def resource_metadata_url(self) -> str:
        """The API's metadata (RFC 9728), which its challenges name: the resource is `api_url`."""
        return f"{self.issuer}/.well-known/oauth-protected-resource/api"

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
        default_error = "invalid_request"
        if status == HTTPStatus.UNAUTHORIZED:
            default_error = "invalid_client"
            headers["WWW-Authenticate"] = 'Basic realm="LocalProvider"'
        elif status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            default_error = "temporarily_unavailable"
        refusal: _Refusal = status, {"error": error or default_error}, list(headers.items())
        self._token_fault.plan(count, lambda _: refusal)

    def fail_api_requests(self, status: int, count: int = 1, headers: Mapping[str, str] | None = None) -> None:
        """Answer the next `count` API requests with this status, whatever their token.

        This replaces an earlier call's failures; a `count` of 0 ends them. By default a 401 has the challenge of an
        invalid token (RFC 6750); with an empty `headers` it has none. Thread-safe.
        """
        fields = list((headers or {}).items())
        is_challenge = headers is None and status == HTTPStatus.UNAUTHORIZED

        def refusal(request: ReceivedRequest) -> _Refusal:
            if is_challenge:
                return status, {}, [("WWW-Authenticate", self._api.invalid_token(request))]
            return status, {}, fields

        self._api_fault.plan(count, refusal)

    def revoke_access_tokens(self) -> None:
        """Make the API reject each access token that was issued so far."""
        with self._authorization_server.lock:
            self._authorization_server.access_tokens.clear()

    def revoke_refresh_tokens(self) -> None:
        """Make the token endpoint refuse each refresh token that was issued so far."""
        with self._authorization_server.lock:
            self._authorization_server.refresh_tokens.clear()

    def turn_dpop_nonces(self) -> None:
        """Make new nonces, of the authorization server and of the API: proofs with the present ones are refused.

        With `dpop_nonces` alone. Thread-safe.
        """
        self._authorization_server.proofs.turn()
        self._api.proofs.turn()

    def issue_certificate(self, folder: str | Path) -> tuple[Path, Path]:
        """Write a new certificate by which the client can authenticate, and its key; return their paths.

        They're PEM files, `client.pem` and `client.key`, and replace those of an earlier call. Raises `RuntimeError`
        without `tls=True`. Thread-safe.
        """
        if self._certificates is None:
            raise RuntimeError("There are certificates with TLS alone: LocalProvider(tls=True)")
        return self._certificates.issue(Path(folder), self.client_id)

    def revoke_certificates(self) -> None:
        """Refuse each certificate that was issued so far, and the tokens that are bound to it. Thread-safe."""
        if self._certificates is not None:
            self._certificates.revoke()

    def approve_device(self, user_code: str) -> None:
        """Let the device that shows this code log in, as `username`; its next poll is answered with tokens.

        Raises `LookupError` if no device waits with this code. Thread-safe.
        """
        self._authorization_server.decide(user_code, approved=True)

    def deny_device(self, user_code: str) -> None:
        """Refuse the device that shows this code; its polls are answered with `access_denied`.

        Raises `LookupError` if no device waits with this code. Thread-safe.
        """
        self._authorization_server.decide(user_code, approved=False)

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if self._certificates is not None and path in _ALIASES:
            path = environ["PATH_INFO"] = path.removeprefix("/mtls")
            environ["oauth_auth.certificate"] = self._certificates.shown(environ)
        if path == "/api" or path.startswith("/api/"):
            return self._serve_api(environ, start_response)
        if path == "/token":
            return self._serve_token(environ, start_response)
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
        body = b"".join(iter(lambda: environ["wsgi.input"].read(_CHUNK_BYTES), b""))
        environ["wsgi.input"] = io.BytesIO(body)
        request = self._received(environ, body)
        self.token_requests.append(request)

        fault = self._token_fault.take(request)
        if self.token_delay > 0 and self._server and self._server.stopping.wait(self.token_delay):
            raise ConnectionAbortedError("The server ends: this request gets no answer.")
        if fault:
            return json_answer(start_response, *fault)
        return self._flask(environ, start_response)

    def _is_live(self, certificate: str) -> bool:
        """Return whether the certificate with this thumbprint is good still."""
        return self._certificates is not None and self._certificates.is_live(certificate)

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


_Refusal = tuple[int, Mapping[str, str], list[tuple[str, str]]]
"""Status, JSON fields and header fields."""


class _Fault:
    """A planned number of refusals, each made when it's due: a challenge names URLs, known from the start on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._remaining = 0
        self._refusal: Callable[[ReceivedRequest], _Refusal] | None = None

    def plan(self, count: int, refusal: Callable[[ReceivedRequest], _Refusal]) -> None:
        with self._lock:
            self._remaining = count
            self._refusal = refusal

    def take(self, request: ReceivedRequest) -> _Refusal | None:
        """Return the refusal of a request, and count it, or None if there is none left."""
        if self._remaining <= 0:
            return None
        with self._lock:
            if self._remaining <= 0 or self._refusal is None:
                return None
            self._remaining -= 1
            return self._refusal(request)
