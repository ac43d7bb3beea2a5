"""Start the certified `oidc-provider` as an authorization server and a protected API on loopback.

    with OidcProvider() as server:
        requests.post(
            server.token_url,
            data={"grant_type": "client_credentials"},
            auth=(server.basic.client_id, server.basic.client_secret),
        )

It is a process of its own: a clock moved in this process doesn't move there, and the controls below go
through `http.client`, which no HTTP mock of a test intercepts.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from .programs import ServiceMissing, node, npm

if TYPE_CHECKING:
    from types import TracebackType

FOLDER = Path(__file__).parent / "oidc"
_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 10.0


class ServerFailed(Exception):
    """The server didn't start, or ended by itself; the text holds what it wrote to stderr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient:
    """A client that the server knows; a public one has no secret."""

    client_id: str
    client_secret: str | None = field(repr=False)

    @property
    def secret(self) -> str:
        """The secret of a confidential client; raises ValueError for a public one."""
        if self.client_secret is None:
            raise ValueError(f"{self.client_id} is a public client")
        return self.client_secret


class OidcProvider:
    """Run the server for the length of a `with` block; attributes are set once it is ready.

    Lifetimes are whole seconds. The server counts in whole seconds too, so that a token of N seconds is
    good for between N - 1 and N.
    """

    issuer: str
    openid_issuer: str
    """Another, of the same clients and tokens: has a path, and its metadata where OpenID Discovery has it."""
    rfc8414_issuer: str
    """A third one; its metadata is only where RFC 8414 section 3.1 has it, before the path."""
    token_url: str
    authorization_url: str
    device_authorization_url: str
    introspection_url: str
    revocation_url: str
    api_url: str
    """A protected resource: any method and subpath; `/admin` below it wants the scope `admin`."""
    userinfo_url: str
    """Another protected resource, not written by us; wants the scope `openid`."""

    basic: RegisteredClient
    """`client_secret_basic`, letters and a hyphen."""
    special: RegisteredClient
    """`client_secret_basic`, id and secret of characters that RFC 6749 §2.3.1 has encoded."""
    plus: RegisteredClient
    """`client_secret_basic`, a secret with `+`: sent unencoded it is well-formed, and wrong."""
    post: RegisteredClient
    """`client_secret_post`."""
    public: RegisteredClient
    """`none`; PKCE is required, client credentials aren't allowed."""

    username: str
    password: str

    redirect_uri = "http://127.0.0.1/callback"
    """Registered, with any port, for 127.0.0.1, localhost and [::1]; so is the path `/oauth/done`."""

    def __init__(self, *, access_token_lifetime: int = 3600, refresh_token_lifetime: int = 14 * 86400) -> None:
        self._environment = {
            "OIDC_ACCESS_TTL": str(access_token_lifetime),
            "OIDC_REFRESH_TTL": str(refresh_token_lifetime),
        }
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        program = require_node()
        self._log = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                [program, "server.mjs"],
                cwd=FOLDER,
                env=os.environ | self._environment,
                stdin=subprocess.PIPE,  # never written to: its end tells an orphaned server to exit
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is for the tests; they then stop the server
            )
            self._read_ready_line(self._process)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        died = self._process is not None and self._process.poll() is not None
        log = self.log
        self._stop()
        if died and exc is None:
            raise ServerFailed(f"the server ended by itself:\n{log}")

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("the server isn't running")
        return self._process.pid

    @property
    def log(self) -> str:
        """What the server has written to stderr so far."""
        if self._log is None:
            return ""
        # By a second descriptor: seeking in the shared one would move where the server writes next.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def set_access_token_lifetime(self, seconds: int) -> None:
        """Give access tokens issued from now on this lifetime."""
        self._control("POST", f"/test/ttl?seconds={seconds}")

    def set_refresh_token_lifetime(self, seconds: int) -> None:
        """Give refresh tokens issued from now on this lifetime."""
        self._control("POST", f"/test/refresh-ttl?seconds={seconds}")

    def revoke_access_tokens(self) -> None:
        """Have every access token issued so far rejected; refresh tokens stay good."""
        self._control("POST", "/test/revoke-access-tokens")

    def reset(self) -> None:
        """Set the counters to zero and the lifetimes to those given at construction."""
        self._control("POST", "/test/reset")

    @property
    def token_requests(self) -> int:
        """How many token requests arrived since the last reset, refused ones included."""
        return int(self._control("GET", "/test/token-requests"))

    @property
    def api_requests(self) -> int:
        """How many requests the API got since the last reset, refused ones included."""
        return int(self._control("GET", "/test/api-requests"))

    def _read_ready_line(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        # Reading blocks until the line or the end of the stream, and a server that hangs gives neither.
        watchdog = threading.Timer(_START_TIMEOUT, process.kill)
        watchdog.start()
        try:
            line = process.stdout.readline()
        finally:
            watchdog.cancel()
            watchdog.join()
        if not line:
            process.wait(_STOP_TIMEOUT)
            raise ServerFailed(f"the server didn't start (exit status {process.returncode}):\n{self.log}")
        ready = json.loads(line)
        for name, url in ready["urls"].items():
            setattr(self, name, url)
        for name, client in ready["clients"].items():
            setattr(self, name, RegisteredClient(**client))
        self.username, self.password = ready["username"], ready["password"]

    def _control(self, method: str, path: str) -> Any:
        address = urlsplit(self.issuer)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read().decode()
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise ValueError(f"{method} {path}: {response.status} {body}")
        return json.loads(body)

    def _stop(self) -> None:
        process, self._process = self._process, None
        log, self._log = self._log, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        if log is not None:
            log.close()


def require_node() -> str:
    """Return the path of Node. Raises `ServiceMissing`, also where the server's packages aren't installed."""
    program = node()
    if program is None or not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        what = "node (20.20 or later)" if program is None else "oidc-provider"
        raise ServiceMissing(
            f"{what} isn't installed: `make test` runs `npm ci` in {_relative(FOLDER)}, which needs Node and npm"
        )
    return program


def _relative(folder: Path) -> str:
    """Name the folder as one would type it from the checkout."""
    return "/".join(folder.parts[-3:])


def install() -> None:
    """Install the server's packages. Without npm do nothing: the tests that need them say so."""
    if (command := npm()) is not None:
        subprocess.run([*command, "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=FOLDER, check=True)


if __name__ == "__main__":
    install()
