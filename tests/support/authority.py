"""A scripted authorization server with PAR, request objects, DPoP and introspection; and logins at it.

It issues what it's asked for, and keeps what it was asked: its faults are the test's to choose.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jwk

from tests.support.jwts import claims_of, header_of
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer

__all__ = ["REDIRECT_URI", "Authority", "thumbprint_of"]

REDIRECT_URI = "https://app.example/callback"


@dataclasses.dataclass(frozen=True)
class Grant:
    """What a token stands for: the parameters of its authorization request, and the key that it's bound to."""

    parameters: dict[str, Any]
    jkt: str | None = None


def thumbprint_of(proof: str) -> str:
    """Return the thumbprint of the key that a proof was made with."""
    return jwk.import_key(header_of(proof)["jwk"]).thumbprint()


class Authority:
    """The server. `faults` are answers to give first, by path; `visited` are the URLs that a person was sent to."""

    def __init__(self, serve: Callable[..., ScriptedServer]) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self.metadata: dict[str, Any] = {}
        self.faults: dict[str, list[Answer]] = {}
        self.answers: dict[str, Callable[[Received], Answer | None]] = {}
        """What the test answers itself, by path; None leaves the answer to the server."""
        self.fields: dict[str, Any] = {}
        """Of each token's answer, in addition."""
        self.pushed: dict[str, Grant] = {}
        self.codes: dict[str, Grant] = {}
        self.tokens: dict[str, Grant] = {}
        self.visited: list[str] = []
        self.server = serve(self._answer)
        self.issuer = self.server.url

    def url(self, path: str) -> str:
        return f"{self.issuer}{path}"

    def calls(self, path: str) -> list[Received]:
        """Return what has arrived at a path."""
        return [request for request in self.server.requests if request.path == path]

    def code_auth(self, mode: Mode, *args: Any, **options: Any) -> Any:
        """Make an auth object for logins."""
        secret = {"client_secret": "secret"} if not args and "client_auth" not in options else {}
        return mode.plugin.AuthorizationCodeAuth.from_issuer(self.issuer, "client", *args, **secret | options)

    # -- The person -----------------------------------------------------------------------------------------------

    def log_in(self, begin: Any) -> str:
        """Be a login function: let the person in at once."""
        return self.authorize(begin(REDIRECT_URI).url)

    def authorize(self, url: str) -> str:
        """Do what a browser does with the URL: return the one that it's redirected to."""
        self.visited.append(url)
        query = dict(parse_qsl(urlsplit(url).query))
        if "request_uri" in query:
            grant = self.pushed.pop(query["request_uri"])
            assert {"client_id", "request_uri"} == query.keys()
        else:
            grant = Grant(_parameters(parse_qs(urlsplit(url).query)))
        assert query["client_id"] == grant.parameters["client_id"]
        if "dpop_jkt" in grant.parameters:
            assert grant.jkt in {None, grant.parameters["dpop_jkt"]}
            grant = dataclasses.replace(grant, jkt=grant.parameters["dpop_jkt"])
        code = self._next("code")
        self.codes[code] = grant
        answer = {"code": code, "state": grant.parameters["state"], "iss": self.issuer}
        return f"{grant.parameters['redirect_uri']}?{urlencode(answer)}"

    # -- The endpoints --------------------------------------------------------------------------------------------

    def _next(self, name: str) -> str:
        with self._lock:
            self._count += 1
            return f"{name}-{self._count}"

    def _answer(self, request: Received) -> Answer:
        if request.path.startswith("/.well-known/"):
            return Answer(200, self._metadata)
        with self._lock:
            faults = self.faults.get(request.path)
            fault = faults.pop(0) if faults else None
        if fault is not None:
            return fault
        answer = self.answers[request.path](request) if request.path in self.answers else None
        return answer or {"/par": self._push, "/token": self._issue, "/introspect": self._introspect}[request.path](
            request
        )

    @property
    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": self.url("/authorize"),
            "token_endpoint": self.url("/token"),
            "pushed_authorization_request_endpoint": self.url("/par"),
            "introspection_endpoint": self.url("/introspect"),
            **self.metadata,
        }

    def _push(self, request: Received) -> Answer:
        reference, proof = self._next("urn:ietf:params:oauth:request_uri:"), request.headers.get("dpop")
        self.pushed[reference] = Grant(_parameters(request.form), None if proof is None else thumbprint_of(proof))
        return Answer(201, {"request_uri": reference, "expires_in": 60})

    def _issue(self, request: Received) -> Answer:
        proof = request.headers.get("dpop")
        jkt, grant = None if proof is None else thumbprint_of(proof), Grant({})
        if "code" in request.form:
            code = request.form["code"][0]
            if code not in self.codes or self.codes[code].jkt not in {None, jkt}:
                return Answer(400, {"error": "invalid_grant"})
            grant = self.codes.pop(code)
        elif "refresh_token" in request.form:
            grant = self.tokens[request.form["refresh_token"][0].removeprefix("refresh-")]
            if grant.jkt not in {None, jkt}:
                return Answer(400, {"error": "invalid_grant"})
        token = self._next("token")
        self.tokens[token] = dataclasses.replace(grant, jkt=jkt)
        kind = "Bearer" if jkt is None else "DPoP"
        fields = {"access_token": token, "token_type": kind, "expires_in": 3600, "refresh_token": f"refresh-{token}"}
        return Answer(200, {name: value for name, value in {**fields, **self.fields}.items() if value is not None})

    def _introspect(self, request: Received) -> Answer:
        grant = self.tokens.get(request.form["token"][0])
        return Answer(200, {"active": False} if grant is None else {"active": True, "client_id": "client"})

    # -- An API ---------------------------------------------------------------------------------------------------

    def grant_of(self, request: Received) -> Grant | None:
        """Return what the token of a request stands for; None without one that's good for it."""
        scheme, _, token = (request.authorization or "").partition(" ")
        grant = self.tokens.get(token)
        if grant is None or scheme != ("Bearer" if grant.jkt is None else "DPoP"):
            return None
        if grant.jkt is not None and grant.jkt != thumbprint_of(request.headers["dpop"]):
            return None
        return grant


def _parameters(query: dict[str, list[str]]) -> dict[str, Any]:
    """Return the parameters of an authorization request; of a signed one those in the request object."""
    if "request" in query:
        assert query.keys() <= {"client_id", "request", "client_secret", "client_assertion", "client_assertion_type"}
        return claims_of(query["request"][0])
    return {name: values[0] if len(values) == 1 else values for name, values in query.items()}
