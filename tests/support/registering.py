"""A scripted API that says who issues tokens for it, the server where clients register for them, and a person.

It holds clients to what they have registered: its faults are the test's to choose.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from oauth_auth import ReauthorizationRequired
from oauth_auth.login import LoginContext
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer

__all__ = ["CODE", "REDIRECT_URI", "SECRET", "Registry", "log_in", "open_page"]

REDIRECT_URI = "http://127.0.0.1:49152/callback"
SECRET = "secret-of-"
"""What each client secret begins with."""
CODE = "code-"
"""What each authorization code begins with."""
_RESOURCE_METADATA = "/.well-known/oauth-protected-resource"
_KINDS = {
    "/.well-known/oauth-authorization-server": "server metadata",
    "/register": "registration",
    "/token": "token",
    "/device": "device",
    "/revoke": "revocation",
}


class Registry:
    """The API at `url` and its server; all below `url` may be resources of their own.

    `metadata` are fields of the server's metadata, and `registered` of its answers to registrations, that override its
    own; None drops one. `answers` are the test's own, by path; None leaves the answer to the server.
    """

    def __init__(self, serve: Callable[..., ScriptedServer]) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self.metadata: dict[str, Any] = {}
        self.registered: dict[str, Any] = {}
        self.answers: dict[str, Callable[[Received], Answer | None]] = {}
        self.scopes: list[str] | None = None
        """What the metadata of the resource lists."""
        self.wanted: dict[str, str] = {}
        """The scope that a path of the API needs, which its challenge names."""
        self.redirected: list[dict[str, str]] = []
        """What the next persons are redirected with instead of a code."""
        self.clients: dict[str, dict[str, Any]] = {}
        """What the server says of each client that it knows."""
        self.visited: list[dict[str, str]] = []
        """The parameters of the authorization requests that a person was sent with."""
        self.codes: dict[str, dict[str, str]] = {}
        self.refresh_tokens: dict[str, tuple[str, str]] = {}
        """The client and the scope of each."""
        self.tokens: dict[str, str] = {}
        """The scope of each access token that the API takes."""
        self.server = serve(self._answer)
        self.issuer = self.server.url
        self.url = f"{self.issuer}/api"

    def auth(self, mode: Mode, **options: Any) -> Any:
        """Make an auth object for the API, for a person by default."""
        return mode.plugin.ResourceAuth(self.url, **{"login": self.log_in, **options})

    # -- What has arrived -----------------------------------------------------------------------------------------

    @property
    def counts(self) -> Counter[str]:
        """How many calls of each kind have arrived, and how many persons came to log in."""
        counts = Counter(_kind_of(request.path) for request in self.server.requests)
        counts["login"] = len(self.visited)
        return +counts

    def forget_calls(self) -> None:
        """Count anew."""
        self.server.requests.clear()
        self.visited.clear()

    def calls(self, path: str) -> list[Received]:
        """Return what has arrived at a path."""
        return [request for request in self.server.requests if request.path == path]

    @property
    def registrations(self) -> list[dict[str, Any]]:
        """What clients have sent to register."""
        return [json.loads(request.body) for request in self.calls("/register")]

    def forget_clients(self) -> None:
        """Know no client any more."""
        with self._lock:
            self.clients.clear()

    def revoke(self) -> None:
        """Take none of the access tokens any more."""
        self.tokens.clear()

    # -- The person -----------------------------------------------------------------------------------------------

    def log_in(self, begin: Any) -> str:
        """Be a login function: let the person in at once; nobody answers where the server doesn't know the client."""
        return self.visit(begin(begin.redirect_uri or REDIRECT_URI).url)

    def visit(self, url: str) -> str:
        """Do what a browser does with the URL: return the one that it's redirected to."""
        asked = dict(parse_qsl(urlsplit(url).query))
        redirect = self._authorize(asked)
        if redirect is None:
            raise ReauthorizationRequired("the user must log in: nobody did")
        return redirect

    def _authorize(self, asked: dict[str, str]) -> str | None:
        """Return where a person is redirected to; None if they are shown an error."""
        with self._lock:
            self.visited.append(asked)
            client = self.clients.get(asked["client_id"])
            answer = self.redirected.pop(0) if self.redirected else None
        if client is None or asked["redirect_uri"] not in client.get("redirect_uris", [asked["redirect_uri"]]):
            return None
        if answer is None:
            code = self._next(CODE)
            self.codes[code] = asked
            answer = {"code": code}
        return f"{asked['redirect_uri']}?{urlencode({**answer, 'state': asked['state'], 'iss': self.issuer})}"

    def _show_login(self, request: Received) -> Answer:
        redirect = self._authorize(dict(parse_qsl(urlsplit(request.path).query)))
        return Answer(400, b"unknown client") if redirect is None else Answer(302, b"", (("Location", redirect),))

    # -- The server -----------------------------------------------------------------------------------------------

    def _next(self, name: str) -> str:
        with self._lock:
            self._count += 1
            return f"{name}{self._count}"

    def _answer(self, request: Received) -> Answer:
        own = self.answers.get(request.path)
        answer = None if own is None else own(request)
        if answer is not None:
            return answer
        if request.path.startswith("/authorize?"):
            return self._show_login(request)
        if request.path.startswith("/api"):
            return self._call_api(request)
        if request.path.startswith(f"{_RESOURCE_METADATA}/api"):
            return Answer(200, self._resource_metadata(request.path.removeprefix(_RESOURCE_METADATA)))
        do: Callable[[Received], Answer] | None = {
            "/.well-known/oauth-authorization-server": lambda _: Answer(200, self._server_metadata),
            "/register": self._register,
            "/token": self._issue,
            "/device": self._begin_device,
            "/revoke": lambda _: Answer(200),
        }.get(request.path)
        return Answer(404) if do is None else do(request)

    def _resource_metadata(self, path: str) -> dict[str, Any]:
        listed = {} if self.scopes is None else {"scopes_supported": self.scopes}
        return {"resource": f"{self.issuer}{path}", "authorization_servers": [self.issuer], **listed}

    @property
    def _server_metadata(self) -> dict[str, Any]:
        fields = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "registration_endpoint": f"{self.issuer}/register",
            "device_authorization_endpoint": f"{self.issuer}/device",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        }
        return _without_none({**fields, **self.metadata})

    def _register(self, request: Received) -> Answer:
        asked, client_id = json.loads(request.body), self._next("client-")
        secret = {} if asked["token_endpoint_auth_method"] == "none" else {"client_secret": f"{SECRET}{client_id}"}
        fields = _without_none({"client_id": client_id, **asked, **secret, **self.registered})
        with self._lock:
            self.clients[fields["client_id"]] = fields
        return Answer(201, fields)

    def _begin_device(self, request: Received) -> Answer:
        form = _first(request.form)
        if form["client_id"] not in self.clients:
            return Answer(401, {"error": "invalid_client"})
        code = self._next("device-")
        self.codes[code] = {"client_id": form["client_id"], "scope": form.get("scope", "")}
        address = {"verification_uri": f"{self.issuer}/enter", "expires_in": 600, "interval": 1}
        return Answer(200, {"device_code": code, "user_code": "ABCD", **address})

    def _issue(self, request: Received) -> Answer:
        form = _first(request.form)
        client_id, kind = form.get("client_id", ""), form["grant_type"]
        if kind != "client_credentials" and client_id not in self.clients:
            return Answer(401, {"error": "invalid_client"})
        with self._lock:
            if kind == "refresh_token":
                owner, scope = self.refresh_tokens.pop(form["refresh_token"], ("", ""))
            elif kind == "client_credentials":
                owner, scope = client_id, form.get("scope", "")
            else:
                asked = self.codes.pop(form.get("code") or form.get("device_code", ""), {})
                owner, scope = asked.get("client_id", ""), asked.get("scope", "")
        if owner != client_id:
            return Answer(400, {"error": "invalid_grant"})
        token, refresh_token = self._next("token-"), self._next("refresh-")
        self.tokens[token] = scope
        fields: dict[str, Any] = {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
        if kind != "client_credentials":
            self.refresh_tokens[refresh_token] = client_id, scope
            fields["refresh_token"] = refresh_token
        return Answer(200, {**fields, **({"scope": scope} if scope else {})})

    # -- The API --------------------------------------------------------------------------------------------------

    def _call_api(self, request: Received) -> Answer:
        wanted = self.wanted.get(request.path, "")
        token = (request.authorization or "").removeprefix("Bearer ")
        scope = self.tokens.get(token)
        if scope is None:
            return self._challenge(401, {"error": "invalid_token"} if token else {}, wanted)
        if not {*wanted.split()} <= {*scope.split()}:
            return self._challenge(403, {"error": "insufficient_scope"}, wanted)
        return Answer(200, token.encode())

    def _challenge(self, status: int, fields: Mapping[str, str], scope: str) -> Answer:
        fields = {"realm": "api", **fields, **({"scope": scope} if scope else {})}
        text = "Bearer " + ", ".join(f'{name}="{value}"' for name, value in fields.items())
        return Answer(status, b"", (("WWW-Authenticate", text),))


def log_in(begin: LoginContext) -> str:
    """Be a login of any process: have a person open the URL, whom the server lets in."""
    return open_page(begin(begin.redirect_uri or REDIRECT_URI).url)


def open_page(url: str) -> str:
    """Open an authorization request's URL from any process; return the one that it's redirected to."""
    with requests.Session() as session:
        session.trust_env = False
        answer: Any = session.get(url, allow_redirects=False, timeout=20)
    if "Location" not in answer.headers:
        raise ReauthorizationRequired("the user must log in: nobody did")
    return str(answer.headers["Location"])


def _kind_of(path: str) -> str:
    if path.startswith(_RESOURCE_METADATA):
        return "resource metadata"
    return "login" if path.startswith("/authorize") else _KINDS.get(path, "API")


def _first(form: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: values[0] for name, values in form.items()}


def _without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
