from __future__ import annotations

import contextvars
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from .._wire.urls import without_query
from ..errors import AuthorizationResponseError, ConfigurationError, ReauthorizationRequired
from ._context import LoginContext
from ._request import AuthorizationRequest

__all__ = ["BrowserLogin"]

_HOSTS = {
    "127.0.0.1": (socket.AF_INET, "127.0.0.1"),
    "localhost": (socket.AF_INET, "127.0.0.1"),
    "::1": (socket.AF_INET6, "::1"),
}
_MAX_CONNECTIONS = 50
"""More than a browser opens, and few enough for any machine."""
_CANCEL_CHECK_SECONDS = 0.2


class BrowserLogin:
    """Log the user in with this machine's browser, and listen on loopback for the redirect (RFC 8252 section 7.3).

    The redirect URI is http://127.0.0.1:PORT/callback, unless the auth object is given another on loopback; with
    `port` 0 the system chooses the port. `timeout` is how long to wait for the user, in seconds. `open_browser` is
    called with the URL, which is printed to stderr, too, and after 10 s what to look for; with `quiet` nothing is.
    """

    _hint_seconds = 10.0
    """How long the user may take before they are told what may be wrong."""
    _idle_seconds = 10.0
    """How long a connection may send nothing."""
    _last_page_seconds = 3.0
    """How long the listener waits for the browser to fetch the last page."""

    def __init__(
        self,
        *,
        port: int = 0,
        timeout: float = 300.0,
        open_browser: Callable[[str], object] = webbrowser.open,
        quiet: bool = False,
    ) -> None:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65536:
            raise ConfigurationError("port must be a number from 0, for any free port, to 65535")
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
            raise ConfigurationError("timeout must be a positive number of seconds, such as 300.0")
        if not callable(open_browser):
            raise ConfigurationError("open_browser must be a function that takes a URL, such as webbrowser.open")
        if not isinstance(quiet, bool):
            raise ConfigurationError("quiet must be True or False")
        self._port = port
        self._timeout = float(timeout)
        self._open_browser = open_browser
        self._quiet = quiet

    def __call__(self, begin: LoginContext) -> str:
        """Return the URL that the browser was redirected to.

        Raises `ReauthorizationRequired` after the time-out, and `ConfigurationError` for a port that's taken or a
        redirect URI that isn't on loopback.
        """
        host, port, path = _read_redirect_uri(begin.redirect_uri, self._port)
        wished = None if port else _port_of(begin.registered_uri)
        with _listen(host, port, self._idle_seconds, wished=wished) as listener:
            shown_host = f"[{host}]" if ":" in host else host
            origin = f"http://{shown_host}:{listener.server_port}"
            # Servers compare redirect URIs as strings (RFC 6749 section 3.1.2.3): no path is added to one without.
            request = begin(f"{origin}{path}")
            listener.expect(request, origin)
            threading.Thread(target=listener.serve_forever, args=(0.05,), name="oauth_auth-login", daemon=True).start()
            try:
                self._tell(f"Opening your browser to log in. If nothing opens, visit:\n{request.url}")
                self._open(request.url)
                is_answered = listener.wait(begin, min(self._hint_seconds, self._timeout))
                if not is_answered and self._timeout > self._hint_seconds:
                    self._tell(_hint(request.redirect_uri, is_port_ours=port == 0))
                    is_answered = listener.wait(begin, self._timeout - self._hint_seconds)
                if not is_answered:
                    raise ReauthorizationRequired(_too_late(request, self._timeout))
                return listener.take_answer(self._last_page_seconds)
            finally:
                listener.shutdown()
                listener.hang_up()

    def _tell(self, text: str) -> None:
        """Print a text to stderr, if there is one that takes it."""
        if not self._quiet and sys.stderr is not None:
            with suppress(OSError, ValueError):
                print(text, file=sys.stderr, flush=True)

    def _open(self, url: str) -> None:
        """Open the browser, in a thread: `webbrowser.open` returns only when a text browser such as w3m is closed."""

        def show() -> None:
            with suppress(BaseException):  # the user opens it by hand
                self._open_browser(url)

        # In this context, so that an `open_browser` which uses the auth object gets an error, and no deadlock.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(show,), name="oauth_auth-browser", daemon=True).start()


class _Listener(ThreadingHTTPServer):
    """Takes one answer to one authorization request; any other HTTP request is refused, and changes nothing."""

    daemon_threads = True
    block_on_close = False
    # On Unix it allows the next login to use the port at once; on Windows it would let any program share the port.
    allow_reuse_address = sys.platform != "win32"
    allow_reuse_port = False
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily, idle_seconds: float) -> None:
        self.address_family = family
        self.idle_seconds = idle_seconds
        self._request: AuthorizationRequest | None = None
        self._origin = ""
        self._path = "/"
        self._answer = ""
        self._last_page = ""
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, None] = {}
        self._answered = threading.Event()
        self._shown = threading.Event()
        super().__init__(address, _Page)

    def server_bind(self) -> None:
        # Without HTTPServer's own, which looks this host's name up in the DNS.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def expect(self, request: AuthorizationRequest, origin: str) -> None:
        self._request, self._origin = request, origin
        self._path = urlsplit(request.redirect_uri).path or "/"

    def answer(self, target: str) -> tuple[int, bytes, dict[str, str]]:
        """Return the answer to a GET: status, page and headers."""
        path = target.partition("?")[0]
        if path == self._path:
            if not self._offer(target):
                return 400, _ELSEWHERE, {}
            # The last page has an address of its own, so that no code stays in the address bar and the history.
            return 303, b"", {"Location": self._last_page}
        if self._last_page and target == self._last_page:
            return 200, _DONE if target.endswith("/done") else _FAILED, {}
        return 404, _ELSEWHERE, {}

    def _offer(self, target: str) -> bool:
        """Keep the target of a request if it's the answer; return whether it is, or repeats, the answer kept."""
        request, url = self._request, f"{self._origin}{target}"
        if request is None or not request.is_answered_by(url):
            return False
        with self._lock:
            if self._answer:
                return url == self._answer
            try:
                request.code_from(url)
                page = "done"
            except AuthorizationResponseError:
                page = "failed"
            self._answer, self._last_page = url, f"{self._path.rstrip('/')}/{page}"
            self._answered.set()
        return True

    def has_shown(self, target: str) -> None:
        """Record that a page was sent to the browser."""
        if target == self._last_page:
            self._shown.set()

    def wait(self, begin: LoginContext, timeout: float) -> bool:
        """Wait for the answer, `timeout` seconds at most; return whether it's there."""
        deadline = time.monotonic() + timeout
        while not self._answered.wait(min(_CANCEL_CHECK_SECONDS, max(deadline - time.monotonic(), 0.0))):
            if begin.is_cancelled:
                raise ReauthorizationRequired("the user must log in: the login was cancelled")
            if time.monotonic() >= deadline:
                return False
        return True

    def take_answer(self, last_page_timeout: float) -> str:
        """Return the answer, once the browser has the last page, or after so many seconds."""
        self._shown.wait(last_page_timeout)
        return self._answer

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections[request] = None
            oldest = next(iter(self._connections)) if len(self._connections) > _MAX_CONNECTIONS else None
        if oldest is not None:
            _hang_up(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Shut down the connections that are still open: the login is over."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _hang_up(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing about connections that break off."""


def _hang_up(connection: socket.socket) -> None:
    """Shut down a connection; the thread that serves it then closes it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Page(BaseHTTPRequestHandler):
    """Answers each request with one of three pages, none of which repeats anything of the request."""

    protocol_version = "HTTP/1.1"
    server: _Listener

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.idle_seconds)

    def do_GET(self) -> None:
        if self.request_version == "HTTP/0.9":  # or a request line that broke off, perhaps within the code
            self.send_error(400)
            return
        self._send(*self.server.answer(self.path))
        self.server.has_shown(self.path)

    def __getattr__(self, name: str) -> Any:
        """Return a function that refuses the request for any other method."""
        if name.startswith("do_"):
            return lambda: self._send(405, _ELSEWHERE, {"Allow": "GET"})
        raise AttributeError(name)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a malformed request without repeating it."""
        with suppress(OSError):
            self.request_version = "HTTP/1.1"
            self._send(code, _ELSEWHERE)

    def version_string(self) -> str:
        return "oauth_auth"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Log nothing: the request line holds the code."""


_HEADERS: dict[str, str] = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}


def _page(mark: str, title: str, text: str) -> bytes:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ font: 1.125rem/1.6 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center; }}
main {{ max-width: 30rem; padding: 2rem; text-align: center; }}
.mark {{ font-size: 2.5rem; line-height: 1.25; margin: 0 0 .5rem; }}
h1 {{ font-size: 1.75rem; line-height: 1.25; margin: 0 0 .75rem; }}
p {{ margin: 0; text-wrap: balance; }}
</style>
</head>
<body><main><p class="mark" aria-hidden="true">{mark}</p><h1>{title}</h1><p>{text}</p></main></body>
</html>
""".encode()


_DONE = _page(
    "\N{CHECK MARK}", "You are logged in", "You can close this page and go back to the program that asked you."
)
_FAILED = _page("\N{BALLOT X}", "The login did not work", "Go back to the program that asked you: it says why.")
_ELSEWHERE = _page("", "Nothing to see here", "This address only takes the answer to a login that is under way.")


def _hint(redirect_uri: str, *, is_port_ours: bool) -> str:
    """Return what to do if the page in the browser shows an error."""
    port = urlsplit(redirect_uri).port
    registered = redirect_uri.replace(f":{port}", "", 1) if is_port_ours else redirect_uri
    text = (
        "Still waiting for the login. If the page shows an error, such as an unregistered redirect URI, register "
        f"{registered} with the server. If it doesn't know the client, check the client id."
    )
    if is_port_ours:
        text += f" If it compares literally, register {redirect_uri} and pass port={port} to BrowserLogin"
        text += ", or that URI to oauth-auth as --redirect-uri."
    return text


def _too_late(request: AuthorizationRequest, timeout: float) -> str:
    """Return the text of the error after the time-out: the query of the URL holds the state, and isn't shown."""
    return (
        f"the user must log in: they didn't within {timeout:.3g} s. The page at {without_query(request.url)} should "
        f"have led back to {request.redirect_uri}: if it shows an error, is that redirect URI registered? Without a "
        "browser: DeviceCodeAuth or ConsoleLogin in a program, --device or --console with the command"
    )


def _read_redirect_uri(redirect_uri: str | None, port: int) -> tuple[str, int, str]:
    """Return the host and port to listen on, and the redirect URI's path and query."""
    if redirect_uri is None:
        return "127.0.0.1", port, "/callback"
    try:
        parts = urlsplit(redirect_uri)
        host, given = parts.hostname or "", parts.port
    except ValueError:
        host, given = "", None
    if host not in _HOSTS or parts.scheme != "http" or parts.username is not None:
        raise ConfigurationError(
            "BrowserLogin needs a redirect_uri on this machine, such as 'http://127.0.0.1/callback' (RFC 8252 7.3)"
        )
    return host, given or port, redirect_uri.partition("//")[2].removeprefix(parts.netloc)


def _port_of(redirect_uri: str | None) -> int | None:
    return None if redirect_uri is None else urlsplit(redirect_uri).port


def _listen(host: str, port: int, idle_seconds: float, *, wished: int | None = None) -> _Listener:
    """Listen on a port; with 0 on the wished one if that's free, else on any."""
    family, address = _HOSTS[host]
    if wished:
        with suppress(OSError):
            return _Listener((address, wished), family, idle_seconds)
    try:
        return _Listener((address, port), family, idle_seconds)
    except OSError as error:
        raise ConfigurationError(
            f"BrowserLogin can't listen on port {port} of {host} ({error.strerror or error}): "
            "is another login under way? Choose another port, or 0 for any that is free"
        ) from None
