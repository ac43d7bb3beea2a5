"""A token endpoint and an API in one, which take no proof of possession twice; nonces may turn with each answer."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from joserfc import jwk

from tests.support.jwts import claims_of, header_of
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer

__all__ = ["ProvingServer"]

Nonces = Literal["none", "one", "once"]


class ProvingServer:
    """Answers at `/token` as a token endpoint, and elsewhere as an API, which redirects where `redirects` says so.

    `nonces` says which nonces the API's proofs must have: any, the one in `nonce`, or one that has come with an answer
    and wasn't used; then each answer has a new one. `refused` is why proofs were refused, in order. The first token
    ends once it was accepted at the path `ends_first_at`. So many requests as `together` says are answered at once.
    """

    def __init__(
        self,
        serve: Callable[..., ScriptedServer],
        *,
        nonces: Nonces = "none",
        redirects: Mapping[str, str] = MappingProxyType({}),
        ends_first_at: str | None = None,
        together: int = 1,
    ) -> None:
        self.nonces = nonces
        self.nonce = "the-nonce"
        self.redirects = redirects
        self._ends_first_at = ends_first_at
        self._together = threading.Barrier(together)
        self.ended: set[str] = set()
        """Access tokens that the API doesn't take any more."""
        self.refused: list[str] = []
        self._lock = threading.Lock()
        self._used: set[str] = set()
        self._unused_nonces: set[str] = set()
        self._tokens: dict[str, str] = {}
        self._answers = 0
        self._server: ScriptedServer = serve(self._answer_one)
        self.url = self._server.url

    def make(self, mode: Mode, **options: Any) -> Any:
        """Make an auth object whose tokens are bound to a key."""
        return mode.plugin.ClientCredentialsAuth(f"{self.url}/token", "client", "secret", dpop=True, **options)

    @property
    def token_calls(self) -> int:
        return sum(request.path == "/token" for request in self._server.requests)

    @property
    def requests(self) -> list[Received]:
        """What the API got."""
        return [request for request in self._server.requests if request.path != "/token"]

    def _answer_one(self, request: Received) -> Answer:
        if request.path == "/token":
            with self._lock:
                return self._issue(request)
        self._together.wait(20)
        with self._lock:
            answer = self._answer(request)
        self._together.wait(20)
        return answer

    def _issue(self, request: Received) -> Answer:
        token = f"token-{self.token_calls}"
        error, thumbprint = self._check(request, None)
        if error is not None:
            return Answer(400, {"error": error})
        self._tokens[token] = thumbprint
        return Answer(200, {"access_token": token, "token_type": "DPoP", "expires_in": 3600})

    def _answer(self, request: Received) -> Answer:
        token = (request.authorization or "").removeprefix("DPoP ")
        error, thumbprint = self._check(request, token)
        headers = []
        if self.nonces != "none":
            claims = claims_of(request.headers["dpop"])
            error = error or self._check_nonce(claims.get("nonce"))
            headers.append(("DPoP-Nonce", self._next_nonce()))
        if error is None and (token in self.ended or self._tokens.get(token) != thumbprint):
            error = "invalid_token"
        if error is not None:
            return Answer(401, b"refused", (*headers, ("WWW-Authenticate", f'DPoP error="{error}"')))
        if request.path == self._ends_first_at and len(self._tokens) == 1:
            self.ended.add(token)
        location = self.redirects.get(request.path)
        if location is not None:
            return Answer(307, b"", (*headers, ("Location", location)))
        return Answer(200, request.body, tuple(headers))

    def _next_nonce(self) -> str:
        if self.nonces == "one":
            return self.nonce
        self._answers += 1
        nonce = f"nonce-{self._answers}"
        self._unused_nonces.add(nonce)
        return nonce

    def _check_nonce(self, nonce: str | None) -> str | None:
        is_good = nonce == self.nonce if self.nonces == "one" else nonce in self._unused_nonces
        self._unused_nonces.discard(nonce or "")
        return None if is_good else "use_dpop_nonce"

    def _check(self, request: Received, token: str | None) -> tuple[str | None, str]:
        """Return the error of a request's proof, if it has one, and the thumbprint of its key."""
        proof = request.headers.get("dpop", "")
        claims = claims_of(proof)
        ath = None if token is None else _digest(token)
        faults = {
            "used": claims["jti"] in self._used,
            "htm": claims["htm"] != request.method,
            "htu": claims["htu"] != self.url + request.path.partition("?")[0],
            "ath": claims.get("ath") != ath,
        }
        self._used.add(claims["jti"])
        found = [name for name, is_there in faults.items() if is_there]
        self.refused += found
        return "invalid_dpop_proof" if found else None, jwk.import_key(header_of(proof)["jwk"]).thumbprint()


def _digest(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
