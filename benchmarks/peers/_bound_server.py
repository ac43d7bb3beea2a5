"""An authorization server and two APIs that take bound tokens only, each with a nonce of its own (RFC 9449).

Written for the scenario «proofs» with the standard library and joserfc alone: what a proof must be isn't what one of
the libraries thinks. No proof is believed twice, and each must have the latest nonce of the server that it's for. A
nonce goes along with the challenge that asks for it, with nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from joserfc import jwk, jwt
from joserfc.errors import JoseError

__all__ = ["BODY_LIMIT", "BoundServers"]

CLIENT_ID, CLIENT_SECRET = "local-client", "correct-horse-battery-staple"
BASIC = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
BODY_LIMIT = 0.5
"""A body that doesn't go on for so many seconds is answered with 408."""
MOST_AGE = 60.0


class RefusedError(Exception):
    """The answer's error code (RFC 9449 sections 7.1, 8 and 9, RFC 6750 section 3.1)."""


class Token(NamedTuple):
    thumbprint: str
    end: float


class BoundServers:
    """The three servers, in threads. Thread-safe."""

    def __init__(self) -> None:
        self.token_lifetime = 3600
        self.api_delay = 0.0
        """Seconds that the APIs take to answer."""
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}
        self._spent: set[str] = set()
        self._api_requests = 0
        self._accepted: list[str] = []
        self._servers = [_Server(self, handler) for handler in (_TokenEndpoint, _Api, _Api)]

    @property
    def attributes(self) -> dict[str, Any]:
        """What a client must know."""
        token_server, *apis = [server.origin for server in self._servers]
        api_urls = [f"{origin}/things" for origin in apis]
        own = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        return {"token_url": f"{token_server}/token", "api_urls": api_urls, **own}

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def turn_nonces(self) -> None:
        """Make a new nonce for each of the APIs."""
        for server in self._servers[1:]:
            server.nonce = secrets.token_urlsafe(16)

    def revoke_access_tokens(self) -> None:
        """Refuse all tokens that were issued so far."""
        with self._lock:
            self._tokens.clear()

    def count_api_requests(self) -> int:
        """Return how many requests have reached the APIs since it was called last, refused ones included."""
        with self._lock:
            counted, self._api_requests = self._api_requests, 0
        return counted

    def take_accepted(self) -> list[str]:
        """Return the digests of the bodies that were answered with 200 since it was called last, the empty included."""
        with self._lock:
            accepted, self._accepted = self._accepted, []
        return accepted

    def issue(self, thumbprint: str) -> dict[str, Any]:
        token, life = secrets.token_urlsafe(32), self.token_lifetime
        with self._lock:
            self._tokens[token] = Token(thumbprint, time.monotonic() + life)
        return {"access_token": token, "token_type": "DPoP", "expires_in": life}

    def note_api_request(self) -> None:
        with self._lock:
            self._api_requests += 1

    def note_accepted(self, body: bytes) -> None:
        with self._lock:
            self._accepted.append(hashlib.sha256(body).hexdigest())

    def check_token(self, token: str, thumbprint: str) -> None:
        """Raise `RefusedError` for a token that isn't known, has expired, or is bound to another key."""
        known = self._tokens.get(token)
        if known is None or known.end <= time.monotonic() or known.thumbprint != thumbprint:
            raise RefusedError("invalid_token")

    def check_proof(self, proof: str, method: str, url: str, nonce: str, *, token: str | None = None) -> str:
        """Return the thumbprint of the proof's key (section 4.3), or raise `RefusedError`."""
        try:
            head = json.loads(base64.urlsafe_b64decode(proof.partition(".")[0] + "=="))
            key = jwk.import_key(head["jwk"])
            claims = jwt.decode(proof, key, algorithms=["ES256"]).claims
        except (JoseError, ValueError, TypeError, KeyError):
            raise RefusedError("invalid_dpop_proof") from None
        digest = None if token is None else _encoded(hashlib.sha256(token.encode()).digest())
        right = head.get("typ") == "dpop+jwt" and not key.is_private
        right &= (claims.get("htm"), claims.get("htu"), claims.get("ath")) == (method, url, digest)
        right &= abs(claims.get("iat", 0) - time.time()) < MOST_AGE
        if not right or not self._is_first(claims.get("jti")):
            raise RefusedError("invalid_dpop_proof")
        if claims.get("nonce") != nonce:
            raise RefusedError("use_dpop_nonce")
        return str(key.thumbprint())

    def _is_first(self, jti: str | None) -> bool:
        with self._lock:
            if not jti or jti in self._spent:
                return False
            self._spent.add(jti)
            return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, servers: BoundServers, handler: type[_Handler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.servers = servers
        self.nonce = secrets.token_urlsafe(16)
        self.origin = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up isn't worth a word."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def handle_request(self, body: bytes) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.connection.settimeout(BODY_LIMIT)
        try:
            body = self._body()
        except TimeoutError:
            self.close_connection = True
            self.answer(408, {}, {"Connection": "close"})
            return
        self.connection.settimeout(None)
        self.handle_request(body)

    def do_POST(self) -> None:
        self.do_GET()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def check_proof(self, token: str | None = None) -> str:
        url = self.server.origin + self.path.partition("?")[0]
        proof = self.headers.get("DPoP") or ""
        return self.server.servers.check_proof(proof, self.command, url, self.server.nonce, token=token)

    def nonce_for(self, refused: RefusedError) -> dict[str, str]:
        return {"DPoP-Nonce": self.server.nonce} if str(refused) == "use_dpop_nonce" else {}

    def answer(self, status: int, fields: dict[str, Any], headers: dict[str, str]) -> None:
        body = json.dumps(fields).encode()
        self.send_response(status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        pass


class _TokenEndpoint(_Handler):
    def handle_request(self, body: bytes) -> None:
        if self.headers.get("Authorization") != BASIC and CLIENT_SECRET.encode() not in body:
            self.answer(401, {"error": "invalid_client"}, {"WWW-Authenticate": "Basic"})
            return
        try:
            thumbprint = self.check_proof()
        except RefusedError as refused:
            self.answer(400, {"error": str(refused)}, self.nonce_for(refused))
            return
        self.answer(200, self.server.servers.issue(thumbprint), {"Cache-Control": "no-store"})


class _Api(_Handler):
    def handle_request(self, body: bytes) -> None:
        servers = self.server.servers
        servers.note_api_request()
        time.sleep(servers.api_delay)
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        try:
            servers.check_token(token if scheme.lower() == "dpop" else "", self.check_proof(token))
        except RefusedError as refused:
            challenge = f'DPoP error="{refused}", algs="ES256"'
            self.answer(401, {"error": str(refused)}, {"WWW-Authenticate": challenge, **self.nonce_for(refused)})
            return
        servers.note_accepted(body)
        self.answer(200, {}, {})


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def main() -> None:
    servers = BoundServers()
    print(json.dumps(servers.attributes), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(servers, command["call"])() if "call" in command else None
        for name, value in command.get("set", {}).items():
            setattr(servers, name, value)
        print(json.dumps(answer), flush=True)
    servers.close()


if __name__ == "__main__":
    main()
