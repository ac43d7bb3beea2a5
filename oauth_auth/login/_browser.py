from __future__ import annotations

import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from ..errors import AuthorizationResponseError, ConfigurationError, ReauthorizationRequired
from ._begin import Begin
from ._request import AuthorizationRequest

__all__ = ["BrowserLogin"]

_HOSTS = {"127.0.0.1": socket.AF_INET, "localhost": socket.AF_INET, "::1": socket.AF_INET6}
_IDLE = 10.0
"""How long a connection may say nothing, in seconds."""
_LAST_PAGE = 3.0
"""How long the listener stays for the browser to fetch the last page, in seconds."""
_STEP = 0.2


class BrowserLogin:
    """Have a person log in with this machine's browser, and listen on loopback for its return (RFC 8252).

    The redirect URI is http://127.0.0.1:PORT/callback, unless the auth object is given another on loopback; with
    `port` 0 the system chooses one. `timeout` is how long to wait for the person, in seconds. `open_browser` is
    called with the URL; if it returns False or raises, the URL is printed to stderr.
    """

    def __init__(
        self, *, port: int = 0, timeout: float = 300.0, open_browser: Callable[[str], object] = webbrowser.open
    ) -> None:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65536:
            raise ConfigurationError("port must be a number from 0, for any free port, to 65535")
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
            raise ConfigurationError("timeout must be a positive number of seconds, such as 300.0")
        if not callable(open_browser):
            raise ConfigurationError("open_browser must be a function that takes a URL, such as webbrowser.open")
        self._port = port
        self._timeout = float(timeout)
        self._open_browser = open_browser

    def __call__(self, begin: Begin) -> str:
        """Return the URL that the browser was redirected to.

        Raises `ReauthorizationRequired` after the time-out, and `ConfigurationError` for a port that's taken or a
        redirect URI that isn't on loopback.
        """
        host, port, path, query = _read_redirect_uri(begin.redirect_uri, self._port)
        with _listen(host, port) as listener:
            shown_host = f"[{host}]" if ":" in host else host
            redirect_uri = f"http://{shown_host}:{listener.server_port}{path}{query}"
            request = begin(redirect_uri)
            listener.expect(request, path)
            threading.Thread(target=listener.serve_forever, args=(0.05,), name="oauth_auth-login", daemon=True).start()
            try:
                self._show(request.url)
                return listener.wait(begin, self._timeout)
            finally:
                listener.shutdown()

    def _show(self, url: str) -> None:
        """Open the browser, in a thread: some browsers come back only when they're closed."""

        def show() -> None:
            try:
                opened = self._open_browser(url)
            except Exception:  # noqa: BLE001 - then the person opens it by hand
                opened = False
            if opened is False:
                print(f"To log in, open this URL in a browser:\n\n    {url}\n", file=sys.stderr, flush=True)

        threading.Thread(target=show, name="oauth_auth-browser", daemon=True).start()


class _Listener(ThreadingHTTPServer):
    """Takes one answer to one request; whatever else comes by is sent away, and changes nothing."""

    daemon_threads = True
    block_on_close = False
    # Elsewhere it allows to begin again at once; on Windows it would allow anybody to listen at the same port.
    allow_reuse_address = sys.platform != "win32"
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily) -> None:
        self.address_family = family
        self._request: AuthorizationRequest | None = None
        self.path = "/"
        self.answer = ""
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._last_page = threading.Event()
        super().__init__(address, _Page)

    def server_bind(self) -> None:
        # Without HTTPServer's own, which asks the name service for this host's name.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def expect(self, request: AuthorizationRequest, path: str) -> None:
        self._request, self.path = request, path

    def last_page(self, path: str) -> bytes | None:
        """Return the page to end with: its address holds no code, for history and bystanders to see."""
        beginning = self.path.rstrip("/")
        return {f"{beginning}/done": _DONE, f"{beginning}/failed": _FAILED}.get(path)

    def offer(self, target: str) -> bool | None:
        """Take the target of a request if it's the answer; tell whether it has a code, or None if it isn't one."""
        request = self._request
        url = f"http://{self.server_name}:{self.server_port}{target}"
        if request is None or not request.is_answered_by(url):
            return None
        with self._lock:
            if self.answer:
                return None
            self.answer = url
        try:
            request.code_from(url)
        except AuthorizationResponseError:
            return False
        finally:
            self._answered.set()
        return True

    def say_goodbye(self) -> None:
        self._last_page.set()

    def wait(self, begin: Begin, timeout: float) -> str:
        """Return the answer, once the browser has the last page."""
        deadline = time.monotonic() + timeout
        while not self._answered.wait(min(_STEP, max(deadline - time.monotonic(), 0.0))):
            if begin.is_over:
                raise ReauthorizationRequired("the login is over: another process has got a token")
            if time.monotonic() >= deadline:
                raise ReauthorizationRequired(f"a person must log in again: nobody did within {timeout:.0f} s")
        self._last_page.wait(_LAST_PAGE)
        return self.answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that break off."""


class _Page(BaseHTTPRequestHandler):
    """Answers each request with one of three pages, none of which holds a word of the request."""

    timeout = _IDLE
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        last_page = self.server.last_page(self.path)
        if last_page is not None:
            self._send(200, last_page)
            self.server.say_goodbye()
        elif path != self.server.path:
            self._send(404, _ELSEWHERE)
        else:
            outcome = self.server.offer(self.path)
            if outcome is None:
                self._send(400, _ELSEWHERE)
            else:
                self._send(303, b"", {"Location": f"{path.rstrip('/')}/{'done' if outcome else 'failed'}"})

    def __getattr__(self, name: str) -> Any:
        """Have every other method refused, whatever it's called."""
        if name.startswith("do_"):
            return lambda: self._send(405, _ELSEWHERE, {"Allow": "GET"})
        raise AttributeError(name)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what isn't HTTP without repeating it."""
        with suppress(OSError):
            self.request_version = "HTTP/1.1"
            self._send(code, _ELSEWHERE)

    def version_string(self) -> str:
        return "oauth_auth"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Log nothing: the line of a request holds the code."""


_HEADERS: dict[str, str] = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}


def _page(title: str, text: str) -> bytes:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ font: 1.125rem/1.6 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center; }}
main {{ max-width: 30rem; padding: 2rem; }}
h1 {{ font-size: 1.75rem; line-height: 1.25; margin: 0 0 .75rem; }}
p {{ margin: 0; }}
</style>
</head>
<body><main><h1>{title}</h1><p>{text}</p></main></body>
</html>
""".encode()


_DONE = _page("You are logged in", "You can close this page and go back to the program that asked you.")
_FAILED = _page("The login did not work", "Go back to the program that asked you: it says why.")
_ELSEWHERE = _page("Nothing to see here", "This address only takes the answer to a login that is under way.")


def _read_redirect_uri(redirect_uri: str | None, port: int) -> tuple[str, int, str, str]:
    """Return host, port, path and query to listen for."""
    if redirect_uri is None:
        return "127.0.0.1", port, "/callback", ""
    try:
        parts = urlsplit(redirect_uri)
        host, given = parts.hostname or "", parts.port
    except ValueError:
        host, given = "", None
    if host not in _HOSTS or parts.scheme != "http":
        raise ConfigurationError(
            "BrowserLogin needs a redirect_uri on this machine, such as 'http://127.0.0.1/callback' (RFC 8252 7.3)"
        )
    return host, given or port, parts.path or "/", f"?{parts.query}" if parts.query else ""


def _listen(host: str, port: int) -> _Listener:
    try:
        return _Listener((host, port), _HOSTS[host])
    except OSError as error:
        raise ConfigurationError(
            f"BrowserLogin can't listen on port {port} of {host} ({error.strerror or error}): "
            "is another login under way? Choose another port, or 0 for any that is free"
        ) from None
