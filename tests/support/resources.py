"""A scripted protected resource and its authorization server, each an origin of its own.

Both do what their attributes say when a request arrives, and keep what they were asked: their faults are the test's to
choose.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.authority import REDIRECT_URI, Authority, Grant
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer

__all__ = ["NOT_HERE", "RESOURCE_PLACE", "SERVER_PLACE", "OpenAuthority", "Resource"]

RESOURCE_PLACE = "/.well-known/oauth-protected-resource"
SERVER_PLACE = "/.well-known/oauth-authorization-server"

NOT_HERE = Answer(404, b"<html>Not Found</html>", (("Content-Type", "text/html"),))

Document = Answer | Mapping[str, Any] | Callable[[Received], Answer]
"""What's at a place: an answer, what's sent as JSON, or a function of the request."""


def path_of(request: Received) -> str:
    """Return a request's path without its query."""
    return request.path.partition("?")[0]


def _answer_with(document: Document, request: Received) -> Answer:
    if isinstance(document, Answer):
        return document
    return Answer(200, document) if isinstance(document, Mapping) else document(request)


class OpenAuthority(Authority):
    """An authorization server where any client registers itself. `metadata` is what else its metadata says.

    Its issuer may have a path. In the metadata a None leaves a field out. `count` is how many tokens, codes and ids
    others have issued before, which have numbers.
    """

    def __init__(self, serve: Callable[..., ScriptedServer], path: str = "", count: int = 0) -> None:
        super().__init__(serve)
        self._count = count
        self.issuer = self.server.url + path
        self.metadata = {
            "registration_endpoint": self.url("/register"),
            "device_authorization_endpoint": self.url("/device"),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        }
        self.documents: dict[str, Document] = {f"{SERVER_PLACE}{path}": lambda _: Answer(200, self._metadata)}
        """Its metadata, by place; elsewhere there's none."""
        self.clients = {"client"}
        """The ids of the clients that it knows."""
        self.withheld: set[str] = set()
        """The scopes that nobody is granted."""
        self.tells_scope = False
        """Whether it tells the scope that it has granted."""
        self.ended: set[str] = set()
        """The tokens that aren't refreshed any more."""
        self.codes_of_devices: dict[str, dict[str, str]] = {}
        self.answers = {"/register": self._register, "/device": self._begin_device}

    def url(self, path: str) -> str:
        return f"{self.server.url}{path}"

    @property
    def looked(self) -> list[str]:
        """Where metadata was looked for, in order."""
        return [request.path for request in self.server.requests if "/.well-known/" in request.path]

    @property
    def asked(self) -> list[dict[str, str]]:
        """The parameters of each authorization request that a person was sent to."""
        return [dict(parse_qsl(urlsplit(url).query)) for url in self.visited]

    @property
    def registered(self) -> list[dict[str, Any]]:
        """What clients wanted to be registered with."""
        return [json.loads(request.body) for request in self.calls("/register")]

    def token_calls(self, grant_type: str) -> list[dict[str, list[str]]]:
        """Return the forms of the token calls of a grant type."""
        return [call.form for call in self.calls("/token") if [grant_type] == call.form["grant_type"]]

    def end_logins(self) -> None:
        """Have the refresh tokens that were issued so far refused."""
        self.ended |= self.tokens.keys()

    @property
    def _metadata(self) -> dict[str, Any]:
        return {name: value for name, value in super()._metadata.items() if value is not None}

    def _answer(self, request: Received) -> Answer:
        if "/.well-known/" in request.path:
            return _answer_with(self.documents.get(request.path, NOT_HERE), request)
        return super()._answer(request)

    def _register(self, request: Received) -> Answer:
        client_id = self._next("client")
        self.clients.add(client_id)
        return Answer(201, {**json.loads(request.body), "client_id": client_id})

    def _begin_device(self, request: Received) -> Answer:
        code = self._next("device")
        self.codes_of_devices[code] = {name: values[0] for name, values in request.form.items()}
        answer = {"device_code": code, "user_code": "ABCD", "verification_uri": self.url("/page"), "expires_in": 600}
        return Answer(200, answer)

    def _issue(self, request: Received) -> Answer:
        form = {name: values[0] for name, values in request.form.items()}
        by_basic = (request.authorization or "").startswith("Basic ")
        if not by_basic and form.get("client_id") not in self.clients:
            return Answer(401, {"error": "invalid_client"})
        if form.get("refresh_token", "").removeprefix("refresh-") in self.ended:
            return Answer(400, {"error": "invalid_grant"})
        answer = super()._issue(request)
        if answer.status == 200:
            token = answer.body["access_token"]
            grant = self.tokens[token]
            # The other grants' calls say themselves what is asked for.
            begun = self.codes_of_devices.get(form.get("device_code", ""), form)
            asked: dict[str, Any] = grant.parameters or begun
            names = [name for name in asked.get("scope", "").split() if name not in self.withheld]
            self.tokens[token] = dataclasses.replace(grant, parameters={**asked, "scope": " ".join(names)})
            if self.tells_scope:
                answer.body["scope"] = " ".join(names)
        return answer


class Resource:
    """The resource: an API that wants a token of one of its servers, and echoes what it's sent."""

    def __init__(self, serve: Callable[..., ScriptedServer], path: str = "/api") -> None:
        self._serve = serve
        self.authority = OpenAuthority(serve)
        self.authorities = [self.authority]
        """The servers whose tokens are good here."""
        self.server = serve(self._answer)
        self.origin = self.server.url
        self.url = self.origin + path
        self.metadata: dict[str, Any] = {"resource": self.url, "authorization_servers": [self.authority.issuer]}
        self.documents: dict[str, Document] = {f"{RESOURCE_PLACE}{path}": self.metadata}
        """Its metadata, by place; elsewhere there's none."""
        named = f'resource_metadata="{self.origin}{RESOURCE_PLACE}{path}"'
        self.challenges: tuple[str, ...] = (f"Bearer {named}",)
        """The challenges of a request without a token, each a header field of its own."""
        self.rejection = f'Bearer error="invalid_token", {named}'
        """The challenge of a token that's no good."""
        self.open_paths: set[str] = set()
        """Where no token is wanted."""
        self.needs: dict[str, str] = {}
        """The scope that a path needs."""
        self.names_scope = True
        """Whether the challenge says so."""
        self.demands: dict[str, str] = {}
        """What a login must have been asked for with."""
        self.revoked: set[str] = set()
        """The access tokens that aren't good any more."""
        self.takes_tokens = True
        """Whether any token is good here."""
        self.answers: dict[str, Callable[[Received], Answer | None]] = {}
        """What the test answers itself, by path; None leaves the answer to the resource."""

    def auth(self, mode: Mode, **options: Any) -> Any:
        """Make an auth object whose user logs in at once."""
        return mode.plugin.ResourceAuth(self.url, **{"login": self.log_in, **options})

    def log_in(self, begin: Any) -> str:
        """Be a login function: let the person in at the server that they are sent to."""
        url = begin(REDIRECT_URI).url
        [authority] = [one for one in self.authorities if url.startswith(f"{one.server.url}/")]
        return authority.authorize(url)

    def add_authority(self, path: str = "") -> OpenAuthority:
        """Return one more server whose tokens are good here; the metadata doesn't name it yet."""
        authority = OpenAuthority(self._serve, path, 100 * len(self.authorities))
        self.authorities.append(authority)
        return authority

    def revoke(self) -> None:
        """Have every access token issued so far rejected; refresh tokens stay good."""
        self.revoked |= {token for authority in self.authorities for token in authority.tokens}

    @property
    def looked(self) -> list[str]:
        """Where metadata was looked for, in order."""
        return [request.path for request in self.server.requests if request.path.startswith("/.well-known/")]

    @property
    def requests(self) -> list[Received]:
        """All other requests."""
        return [request for request in self.server.requests if not request.path.startswith("/.well-known/")]

    @property
    def tokens(self) -> list[str | None]:
        """The token of each of them."""
        return [request.authorization and request.authorization.partition(" ")[2] for request in self.requests]

    def _answer(self, request: Received) -> Answer:
        if request.path.startswith("/.well-known/"):
            return _answer_with(self.documents.get(request.path, NOT_HERE), request)
        path = path_of(request)
        answer = self.answers[path](request) if path in self.answers else None
        return answer or self._serve_api(request)

    def _serve_api(self, request: Received) -> Answer:
        if path_of(request) in self.open_paths:
            return Answer(200, request.body)
        if request.authorization is None:
            return self._refuse(401, *self.challenges)
        grants = [grant for authority in self.authorities if (grant := authority.grant_of(request)) is not None]
        if not grants or not self.takes_tokens or request.authorization.partition(" ")[2] in self.revoked:
            return self._refuse(401, self.rejection)
        return self._check(request, grants[0])

    def _check(self, request: Received, grant: Grant) -> Answer:
        if not self.demands.items() <= grant.parameters.items():
            wanted = "".join(f', {name}="{value}"' for name, value in self.demands.items())
            return self._refuse(401, f'Bearer error="insufficient_user_authentication"{wanted}')
        needed = self.needs.get(path_of(request), "")
        if {*needed.split()} <= {*grant.parameters.get("scope", "").split()}:
            return Answer(200, request.body)
        named = f', scope="{needed}"' if self.names_scope else ""
        return self._refuse(403, f'Bearer error="insufficient_scope"{named}')

    def _refuse(self, status: int, *challenges: str) -> Answer:
        return Answer(status, b"refused", tuple(("WWW-Authenticate", challenge) for challenge in challenges))
