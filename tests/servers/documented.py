"""The hosts that the documentation names, such as https://api.example.com, really served: by `LocalProvider`.

They're reached through a proxy on loopback that the environment names, so the documentation's code runs as it stands,
in any process and with any HTTP library: the proxy answers for the hosts itself, with certificates of an authority
that the environment names as well.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, quote, urlencode

import trustme
from joserfc import jwt
from joserfc.jwk import ECKey

from oauth_auth.testing import LocalProvider

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from .documented_mcp import DocumentedMcpServer

__all__ = ["DocumentedHosts"]

AUTH = "auth.example.com"
API = "api.example.com"
_LOOPBACK = "http://127.0.0.1:9"
"""What `LocalProvider`, which allows redirects to loopback only, is told in place of the documentation's app."""
_APP = "https://app.example.com"
_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_ISSUER = f"https://{AUTH}"
_METADATA = {
    "issuer": _ISSUER,
    "token_endpoint": f"https://{AUTH}/token",
    "authorization_endpoint": f"https://{AUTH}/authorize",
    "device_authorization_endpoint": f"https://{AUTH}/device",
    "pushed_authorization_request_endpoint": f"https://{AUTH}/par",
    "revocation_endpoint": f"https://{AUTH}/revoke",
    "introspection_endpoint": f"https://{AUTH}/introspect",
    "registration_endpoint": f"https://{AUTH}/register",
    "token_endpoint_auth_methods_supported": [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        "client_secret_jwt",
        "tls_client_auth",
        "none",
    ],
    "code_challenge_methods_supported": ["S256"],
    "response_types_supported": ["code"],
    "authorization_response_iss_parameter_supported": True,
}
_WORKLOADS = "https://workloads.example.com"
"""Who vouches for programs: a cluster of Kubernetes, SPIFFE, GitHub."""
_RESOURCE_METADATA = "/.well-known/oauth-protected-resource"
_OF_THE_WAY = {"content-length", "transfer-encoding", "host", "connection"}
"""Headers that aren't passed on."""
_URL = "Documented-Url"
"""The header that tells `LocalProvider` which URL was called, since proofs and assertions are for that one."""


class DocumentedHosts:
    """A context manager. `environment` is what makes a process see the hosts; `folder` gets certificates and keys.

    `key.pem` is the client's private key, `workload-token` an assertion of the platform that the client runs on, and
    `service-account.json` what JWT bearer assertions are made with.
    """

    def __init__(self, folder: Path) -> None:
        self.provider = _Provider(client_id="client-id", client_secret="client-secret", password="alice's password")
        self.provider.dpop_nonces = True
        self.provider.assertion_issuer = _WORKLOADS
        self.folder = folder
        key, workloads = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
        self.provider.client_key = {"keys": [one.as_dict(private=False) for one in (key, workloads)]}
        (folder / "key.pem").write_bytes(key.as_pem(private=True))
        claims = {"iss": _WORKLOADS, "sub": "orders", "aud": _ISSUER, "exp": int(time.time()) + 3600}
        self._workload_token = jwt.encode({"alg": "ES256"}, claims, workloads)
        (folder / "workload-token").write_text(self._workload_token)
        account = {"client_email": "orders@project.iam.gserviceaccount.com", "token_uri": f"{_ISSUER}/token"}
        account |= {"private_key": key.as_pem(private=True).decode(), "private_key_id": "abc"}
        (folder / "service-account.json").write_text(json.dumps(account))
        authority = trustme.CA()
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(AUTH, API).configure_cert(self._tls)
        authority.configure_trust(self._tls)
        self._tls.verify_mode = ssl.CERT_OPTIONAL
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        authority.issue_cert("client.example.com").private_key_and_cert_chain_pem.write_to_path(
            str(folder / "client.pem")
        )
        self._authority_file = str(folder / "ca.pem")
        self._mcp_servers = _McpServers()

    def __enter__(self) -> Self:
        self.provider.__enter__()
        own = {"provider": self.provider, "tls": self._tls, "workload_token": self._workload_token}
        own["certified"] = set()
        own["mcp_servers"] = self._mcp_servers
        handler = type("Handler", (_Handler,), own)
        self._proxy = _Proxy(("127.0.0.1", 0), handler)
        threading.Thread(target=self._proxy.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._proxy.shutdown()
        self._proxy.server_close()
        self._mcp_servers.close()
        self.provider.__exit__(kind, error, traceback)

    @property
    def port(self) -> int:
        """The proxy's."""
        return self._proxy.server_port

    @property
    def origin(self) -> str:
        """The authorization server's on loopback, past the proxy."""
        return f"http://127.0.0.1:{self.provider.port}"

    @property
    def environment(self) -> dict[str, str]:
        proxy = f"http://127.0.0.1:{self.port}"
        trust = dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), self._authority_file)
        return {
            "HTTPS_PROXY": proxy,
            "https_proxy": proxy,
            "NO_PROXY": "127.0.0.1,localhost",
            "DOCUMENTED_PROXY": proxy,
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"https://{AUTH}/workload-token?api-version=1",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "token-of-the-job",
            **trust,
        }


class _Provider(LocalProvider):
    """The server as it's seen from outside."""

    @property
    def issuer(self) -> str:
        return _ISSUER

    @property
    def port(self) -> int:
        return self._port

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        url = environ.pop("HTTP_" + _URL.upper().replace("-", "_"), None)
        environ["oauth_auth.url"] = url or environ["oauth_auth.url"]
        return super()._serve(environ, start_response)


class _McpServers:
    """The MCP server, started when it's called first: most programs don't."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: DocumentedMcpServer | None = None

    @property
    def port(self) -> int:
        from .documented_mcp import DocumentedMcpServer  # it takes a second

        with self._lock:
            if self._server is None:
                self._server = DocumentedMcpServer()
            return self._server.port

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients leave as they like."""


class _Handler(BaseHTTPRequestHandler):
    """Takes a CONNECT, and then answers what comes through the tunnel in the host's place."""

    protocol_version = "HTTP/1.1"
    timeout = 10
    provider: _Provider
    tls: ssl.SSLContext
    workload_token: str
    mcp_servers: _McpServers
    certified: set[str]
    """The tokens that are bound to the client's certificate, with their scheme."""
    host = ""
    has_certificate = False

    def do_CONNECT(self) -> None:
        self.host = self.path.partition(":")[0]
        if self.host not in {AUTH, API}:
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        connection = self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        self.has_certificate = bool(connection.getpeercert())
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        body = self._read_body()
        if self.host == API and path.startswith(_RESOURCE_METADATA):
            resource = f"https://{API}{path.removeprefix(_RESOURCE_METADATA)}"
            self._answer(200, {"resource": resource, "authorization_servers": [_ISSUER]})
        elif self.host == API:
            if self.headers.get("Authorization") in self.certified and not self.has_certificate:
                self._answer(401, {"error": "invalid_token"})
                return
            self._forward(f"/api{self.path}", body, "/mcp" if path == "/mcp" else None)
        elif path.startswith("/.well-known/"):
            self._answer(200, _METADATA)
        elif path == "/device":
            self._answer(200, _device())
        elif path == "/workload-token":
            self._answer(200, {"value": self.workload_token})
        elif path in {"/token", "/par"}:
            self._forward(path, self._form(body))
        elif path == "/register":
            self._forward(path, body.replace(_APP.encode(), _LOOPBACK.encode()))
        else:
            self._forward(f"{path}?{query.replace(quote(_APP, safe=''), quote(_LOOPBACK, safe=''))}", body)

    def finish(self) -> None:
        super().finish()
        self.rfile.close()
        self.connection.close()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _form(self, body: bytes) -> bytes:
        """Return the form for a server that never saw the device, and allows no app but those on loopback."""
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
        if fields.get("grant_type") == _DEVICE:  # the person has approved at once
            provider = self.provider
            fields = {"grant_type": "password", "username": provider.username, "password": provider.password}
            fields |= {"client_id": provider.client_id, "client_secret": provider.client_secret}
        if self._proves_itself_by_certificate(fields):
            fields["client_secret"] = self.provider.client_secret
        if (uri := fields.get("redirect_uri", "")).startswith(_APP):
            fields["redirect_uri"] = uri.replace(_APP, _LOOPBACK)
        return urlencode(fields).encode()

    def _proves_itself_by_certificate(self, fields: Mapping[str, str]) -> bool:
        shown = self.headers.get("Authorization"), fields.get("client_secret"), fields.get("client_assertion")
        return self.has_certificate and not any(shown)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while length := int(self.rfile.readline(), 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _forward(self, target: str, body: bytes, mcp_target: str | None = None) -> None:
        """Pass on what the provider answers; with `mcp_target`, what the MCP server does, if the provider agrees."""
        answer, content = self._ask(self.provider.port, target, body)
        if mcp_target is not None and answer.status == 200:
            answer, content = self._ask(self.mcp_servers.port, mcp_target, body)
        if self.has_certificate and target == "/token" and answer.status == 200:
            self.certified.add(f"Bearer {json.loads(content)['access_token']}")
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name == "Location":
                self.send_header(name, value.replace(_LOOPBACK, _APP))
            elif name.lower() not in {*_OF_THE_WAY, "date", "server"}:
                place = f"https://{API}{_RESOURCE_METADATA}{self.path.partition('?')[0]}"
                self.send_header(name, value.replace(self.provider.resource_metadata_url, place))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _ask(self, port: int, target: str, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        inner = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_WAY}
        headers[_URL] = f"https://{self.host}{self.path.partition('?')[0]}"
        inner.request(self.command, target, body or None, headers)
        answer = inner.getresponse()
        content = answer.read()
        inner.close()
        return answer, content

    def _answer(self, status: int, fields: dict[str, Any]) -> None:
        content = json.dumps(fields).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""


def _device() -> dict[str, Any]:
    uri = f"https://{AUTH}/activate"
    return {
        "device_code": "device-code",
        "user_code": "WDJB-MJHT",
        "verification_uri": uri,
        "verification_uri_complete": f"{uri}?user_code=WDJB-MJHT",
        "expires_in": 600,
        "interval": 0,
    }
