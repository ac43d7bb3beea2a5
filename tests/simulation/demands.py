"""An API that demands: a token, more scope, another login (RFC 9470); the user who logs in; and the grants for that."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from oauth_auth._server.calls import EndpointCalls, TokenHooks
from oauth_auth._server.code_grant import AuthorizationCodeGrant
from oauth_auth._server.grants import TokenCalls
from oauth_auth._server.resource_grant import ResourceGrant
from oauth_auth._server.server_state import ServerState
from oauth_auth._server.surroundings import ResourceOptions, Surroundings
from oauth_auth._wire.challenges import Demand, Kind
from oauth_auth._wire.messages import TokenResponse
from oauth_auth._wire.token_request import TokenRequest
from oauth_auth.errors import ReauthorizationRequired

if TYPE_CHECKING:
    from .server import Issue, Server
    from .worker import Worker

__all__ = [
    "AUTHORIZATION_URL",
    "ORIGIN",
    "PATHS",
    "Answer",
    "Authorization",
    "User",
    "answer",
    "can_be_met",
    "document_at",
    "login_grant",
    "meets",
    "resource_grant",
]

ORIGIN = "https://api.test"
RESOURCE = "https://api.test"
ISSUER = "https://server.test"
AUTHORIZATION_URL = f"{ISSUER}/authorize"
REDIRECT_URI = "https://app.test/callback"
FRESH = 100.0
"""How old a login may be, in seconds, for the path that wants a fresh one."""
LISTED = ("read", "write")
"""The scope names that the resource's metadata lists."""

PATHS: Mapping[str, Demand | None] = {
    "/open": None,
    "/": Demand(Kind.TOKEN),
    "/write": Demand(Kind.SCOPE, scope="write", error="insufficient_scope"),
    "/admin": Demand(Kind.SCOPE, scope="admin", error="insufficient_scope"),
    "/gold": Demand(Kind.LOGIN, login=(("acr_values", "gold"),), error="insufficient_user_authentication"),
    "/fresh": Demand(Kind.LOGIN, login=(("max_age", f"{FRESH:.0f}"),), error="insufficient_user_authentication"),
    "/never": Demand(Kind.LOGIN, login=(("acr_values", "never"),), error="insufficient_user_authentication"),
}
"""What each path demands beyond a live token; `/open` not even that, and no login is ever enough for `/never`."""


class Answer(NamedTuple):
    """What the API answers: it accepts, rejects the token, or demands something."""

    is_accepted: bool
    demand: Demand | None = None


ACCEPTED, REJECTED = Answer(is_accepted=True), Answer(is_accepted=False)


def answer(server: Server, access: str | None, path: str) -> Answer:
    """Return the API's answer to a request with this access token, or with none."""
    demand = PATHS[path]
    if demand is None:
        return ACCEPTED
    if access is None:
        return Answer(is_accepted=False, demand=Demand(Kind.TOKEN, scope=None if path == "/" else demand.scope))
    if not server.is_live(access):
        return REJECTED
    return ACCEPTED if meets(server, server.by_access[access], demand) else Answer(is_accepted=False, demand=demand)


def meets(server: Server, issue: Issue, demand: Demand) -> bool:
    """Return whether a live token is what's demanded."""
    family, wanted = issue.family, dict(demand.login)
    if demand.kind is Kind.SCOPE:
        return {*(demand.scope or "").split()} <= {*family.scope.split()}
    if "max_age" in wanted:
        return server.now <= family.logged_in_at + float(wanted["max_age"])
    return wanted.get("acr_values", family.acr) == family.acr


def can_be_met(path: str, consent: str) -> bool:
    """Return whether a login, or a token with more scope, is enough for a path."""
    demand = PATHS[path]
    is_refused = consent == "some" and demand is not None and demand.kind is Kind.SCOPE
    return path != "/never" and not is_refused


class Authorization(NamedTuple):
    """What a code stands for."""

    asked: str | None
    scope: str
    acr: str
    at: float


class User:
    """Logs in at one program's request, after a while, unless they refuse; may agree to less than what's asked for."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._chance = Random(f"{worker.world.config.seed}-{worker.index}-user")
        self.refuses_until = 0.0
        self._codes = 0

    def log_in(self, context: Any) -> str:
        """Do what a login does: it's told where to go, and returns where the user was redirected to."""
        worker, world = self._worker, self._worker.world
        if context.is_cancelled:
            raise ReauthorizationRequired("the login was cancelled")
        if world.now < self.refuses_until:
            worker.judge.logins.refused(worker)
            raise ReauthorizationRequired("the user doesn't log in")
        request = context(REDIRECT_URI)
        parameters = dict(request.parameters)
        asked = parameters.get("scope")
        names = (asked or "read write").split()
        if world.config.consent == "some":
            names = [name for name in names if name == names[0] or self._chance.random() < 0.5]
        acr = parameters.get("acr_values", "plain")
        self._codes += 1
        code = f"C{worker.index}.{worker.epoch}.{self._codes}"
        granted = Authorization(asked, " ".join(names), "plain" if acr == "never" else acr, world.now)
        worker.server.codes[code] = granted
        worker.judge.logins.made(worker, granted, parameters)
        world.note(worker, f"the user logs in: {granted.scope}, {granted.acr}")
        return f"{REDIRECT_URI}?code={code}&state={request.state}&iss={ISSUER}"


def login_grant(worker: Worker, shared: TokenCalls) -> AuthorizationCodeGrant:
    """Return the grant of a program whose user logs in."""
    return AuthorizationCodeGrant(shared, code=None, redirect_uri=None, code_verifier=None, login=worker.user.log_in)


class VirtualSurroundings(Surroundings):
    """The shipped ones, in virtual time."""

    def __init__(self, worker: Worker, *args: Any) -> None:
        self._worker = worker
        super().__init__(*args)

    def make_calls(self, issuer: str | None = None) -> EndpointCalls:
        """Return calls whose clock is the program's."""
        worker, server = self._worker, ServerState(issuer)
        return EndpointCalls(worker.transport, 10.0, TokenHooks(), server, clock=worker.clock, chance=worker.chance)


def resource_grant(worker: Worker, controller_class: Any) -> ResourceGrant:
    """Return the grant of a program whose API says itself what it wants; its client is registered by hand."""
    is_service = worker.world.config.grant == "service"
    options = ResourceOptions(
        resource=RESOURCE,
        login=None if is_service else worker.user.log_in,
        client_id="client",
        client_secret="secret" if is_service else None,
        issuer=ISSUER if is_service else None,
        client_metadata_url=None,
        client_metadata={},
        redirect_uri=REDIRECT_URI,
        scope=None,
        offline_access=None,
        field_parameters={},
        authorization_parameters={},
        targets={},
        details={},
        client_auth=None,
        binding=None,
        shows_certificate=False,
        revocation_url=None,
        introspection_url=None,
        allow_insecure=False,
        rejection_statuses=(401,),
    )
    registrations: Any = None  # the client has an id
    surroundings = VirtualSurroundings(worker, options, worker.transport, 10.0, TokenHooks(), registrations)
    return ResourceGrant(options, controller_class, surroundings, None)


def document_at(request: TokenRequest, *, is_open: bool, has_revocation: bool) -> TokenResponse | None:
    """Return what the resource, or the server, says of itself; None for all that isn't asked by GET."""
    if request.method != "GET":
        return None
    url = request.url.rstrip("/")
    if url == RESOURCE:
        demands: dict[str, str] = {} if is_open else {"www-authenticate": 'Bearer scope="read"'}
        return TokenResponse(200 if is_open else 401, demands, b"")
    documents: dict[str, Callable[[], dict[str, Any]]] = {
        f"{ORIGIN}/.well-known/oauth-protected-resource": lambda: {
            "resource": RESOURCE,
            "authorization_servers": [ISSUER],
            "scopes_supported": list(LISTED),
        },
        f"{ISSUER}/.well-known/oauth-authorization-server": lambda: {
            "issuer": ISSUER,
            "token_endpoint": f"{ISSUER}/token",
            "authorization_endpoint": AUTHORIZATION_URL,
            "code_challenge_methods_supported": ["S256"],
            **({"revocation_endpoint": f"{ISSUER}/revoke"} if has_revocation else {}),
        },
    }
    document = documents.get(url)
    if document is None:
        return TokenResponse(404, {}, b"")
    return TokenResponse(200, {"content-type": "application/json"}, json.dumps(document()).encode())
