"""A real OAuth authorization server and API on loopback, with faults on demand.

The authorization server is Authlib's, the web framework Flask, the HTTP server werkzeug's; see `_authorization`, `_app`
and `_http`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

try:
    from ._api import Api
    from ._app import create_app
    from ._authorization import AuthorizationServer
    from ._dispatch import Dispatch
    from ._http import LoopbackServer
except ModuleNotFoundError as error:
    missing = (error.name or "").partition(".")[0]
    raise ImportError(
        f"LocalProvider is built on Authlib and Flask, and {missing!r} is missing. "
        'Install them: pip install "oauth_auth[testing]"',
        name=missing,
    ) from error

from ._clock import monotonic
from ._endpoints import Endpoints
from ._security import RegistrationPolicy

if TYPE_CHECKING:
    from ._certificates import Certificates


class LocalProvider(Dispatch, Endpoints, RegistrationPolicy):
    """An authorization server and an API on 127.0.0.1, which run for the length of a `with` block.

    It knows one client, confidential (`client_secret_basic`, `client_secret_post`) and, for codes with PKCE and for
    devices, also public; one user; and the grants client credentials, password, authorization code, device code and
    refresh token. The authorization endpoint approves at once, and allows any plain http redirect URI on loopback. A
    device waits for `approve_device` or `deny_device`; a GET of its `verification_uri_complete` approves, too.

    Beside this client there are those that register (RFC 7591), as a `RegistrationPolicy` says. They are held to what
    they have registered: secret or none, redirect URIs, grant types, and the scope, which without one of their own is
    `scopes_supported`.

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
        registrations: What the registration endpoint received, failed requests included; may be cleared.
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
        super().__init__()
        self.client_id = client_id
        self.client_secret = client_secret
        self.username = username
        self.password = password
        self.token_lifetime = token_lifetime
        self.token_delay = token_delay
        self.rotate_refresh_tokens = rotate_refresh_tokens
        self.device_code_lifetime = device_code_lifetime
        self.device_interval = device_interval
        self.tls = tls
        self._certificates: Certificates | None = None
        if tls:
            from ._certificates import Certificates

            self._certificates = Certificates()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._now = monotonic
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

    def revoke_access_tokens(self) -> None:
        """Make the API reject each access token that was issued so far."""
        with self._authorization_server.lock:
            self._authorization_server.access_tokens.clear()

    def revoke_refresh_tokens(self) -> None:
        """Make the token endpoint refuse each refresh token that was issued so far."""
        with self._authorization_server.lock:
            self._authorization_server.refresh_tokens.clear()

    def forget_clients(self) -> None:
        """Forget each client that has registered: its id is unknown from now on, to all endpoints.

        The token endpoint answers with `invalid_client`, and the authorization endpoint with an error instead of a
        redirect. Their access tokens stay as they are. Thread-safe.
        """
        with self._authorization_server.lock:
            self._authorization_server.clients.clear()

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
