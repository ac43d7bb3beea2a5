"""A resource that nobody has configured: what is asked of whom until there's a token, call by call."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from oauth_auth import (
    DiscoveryError,
    MemoryTokenStore,
    OAuthError,
    OAuthProviderException,
    OAuthToken,
    ReauthorizationRequired,
    RegistrationError,
    TokenResponseError,
    TokenTransportError,
)
from oauth_auth._record import asdict, replace
from oauth_auth._renewal.registrations import StoredRegistrations
from oauth_auth._server.bonds import Bond
from oauth_auth._server.calls import Ask, Run, Sleep, TokenHooks
from oauth_auth._server.operations import OAuthAuthorizationController
from oauth_auth._server.resource_grant import ResourceGrant
from oauth_auth._server.surroundings import ResourceOptions, Surroundings
from oauth_auth._wire.challenges import Demand, Kind
from oauth_auth._wire.messages import TokenResponse
from oauth_auth._wire.token import digest
from oauth_auth._wire.token_request import TokenRequest
from tests.support.steps import Transport, answer, play

API, AUTH = "https://api.example/mcp", "https://auth.example"
OTHER = "https://other.example"
RESOURCE_PLACE = "https://api.example/.well-known/oauth-protected-resource/mcp"
SERVER_PLACE = "/.well-known/oauth-authorization-server"
REDIRECT_URI = "http://127.0.0.1:7777/callback"
TOKEN = Demand(Kind.TOKEN)

_MAPPINGS = ("client_metadata", "field_parameters", "authorization_parameters", "targets", "details")

Answer = TokenResponse | Exception | Callable[[dict[str, Any]], TokenResponse]


class Web(Transport):
    """All servers that there are: what they're asked is in `calls`, and each URL has an answer, else it's a 404."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, Answer] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.clients: dict[str, dict[str, Any]] = {}
        self.logins: list[dict[str, str]] = []
        self.issued = 0
        self.add_server(AUTH)
        self.set_resource(AUTH)

    def set_resource(self, *issuers: str, **fields: Any) -> None:
        """Have the resource say that its tokens are from these servers."""
        self.places[RESOURCE_PLACE] = answer(200, {"resource": API, "authorization_servers": issuers, **fields})

    def add_server(self, issuer: str, /, **fields: Any) -> None:
        """Add an authorization server, whose metadata has these fields, too; with None one lacks."""
        metadata = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "registration_endpoint": f"{issuer}/register",
            "revocation_endpoint": f"{issuer}/revoke",
            "introspection_endpoint": f"{issuer}/introspect",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
            **fields,
        }
        metadata = {name: value for name, value in metadata.items() if value is not None}
        self.places[f"{issuer}{SERVER_PLACE}"] = answer(200, metadata)
        self.places[f"{issuer}/register"] = self._register
        self.places[f"{issuer}/token"] = self._issue
        self.places[f"{issuer}/revoke"] = answer(200)
        self.places[f"{issuer}/introspect"] = answer(200, {"active": True})

    def forget_clients(self, issuer: str = AUTH) -> None:
        """Have a server know none of the clients so far."""
        known = set(self.clients)

        def refuse(form: dict[str, Any]) -> TokenResponse:
            return answer(401, {"error": "invalid_client"}) if form.get("client_id") in known else self._issue(form)

        self.places[f"{issuer}/token"] = refuse

    def _register(self, metadata: dict[str, Any]) -> TokenResponse:
        client_id = f"client-{len(self.clients) + 1}"
        self.clients[client_id] = metadata
        return answer(201, {**metadata, "client_id": client_id})

    def _issue(self, form: dict[str, Any]) -> TokenResponse:
        self.issued += 1
        fields = {"access_token": f"token-{self.issued}", "token_type": "Bearer", "expires_in": 3600}
        if form["grant_type"] != "client_credentials":
            fields["refresh_token"] = f"refresh-{self.issued}"
        return answer(200, fields)

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        body = request.body
        is_json = request.headers.get("Content-Type") == "application/json"
        sent = json.loads(body) if is_json else dict(parse_qsl(body.decode()))
        self.calls.append((request.url, sent))
        found = self.places.get(request.url, answer(404))
        if isinstance(found, Exception):
            raise found
        return found(sent) if callable(found) else found

    def time_out(self, request: TokenRequest, timeout: float) -> TokenTransportError:
        return TokenTransportError("no answer")

    @property
    def asked(self) -> list[str]:
        """The URLs that were called, in their order."""
        return [url for url, _ in self.calls]

    @property
    def last_form(self) -> dict[str, Any]:
        return self.calls[-1][1]

    def log_in(self, begin: Any) -> str:
        """Log in as a user does who agrees to all."""
        request = begin(REDIRECT_URI)
        self.logins.append({name: " ".join(values) for name, values in parse_qs(urlsplit(request.url).query).items()})
        return f"{REDIRECT_URI}?{urlencode({'code': f'code-{len(self.logins)}', 'state': request.state})}"


class Program:
    """One program with a grant of the resource; those with one store share what's in it."""

    def __init__(
        self, web: Web, store: MemoryTokenStore | None = None, *, token: OAuthToken | None = None, **options: Any
    ) -> None:
        self.web = web
        every: dict[str, Any] = {
            **dict.fromkeys(ResourceOptions._fields),
            "resource": API,
            "login": web.log_in,
            **{name: {} for name in _MAPPINGS},
            **dict.fromkeys(("shows_certificate", "allow_insecure"), False),
            "rejection_statuses": (401,),
        }
        self.options = ResourceOptions(**{**every, **options})
        self.registrations = StoredRegistrations(store, self.options.redirect_uri, self.options.client_metadata)
        surroundings = Surroundings(self.options, web, 10.0, TokenHooks(), self.registrations)
        self.grant = ResourceGrant(self.options, OAuthAuthorizationController, surroundings, token)

    def run(self, steps: Any) -> Any:
        """Return what the steps return, or the error that they raise; pauses pass at once."""
        try:
            return play(steps, self._perform)
        except OAuthError as error:
            return error

    def _perform(self, effect: Any) -> Any:
        if isinstance(effect, Sleep):
            return None
        if isinstance(effect, Run):
            return effect.function()
        assert isinstance(effect, Ask)
        return effect.transport.send(effect.request, effect.connect_timeout, effect.timeout)

    def log_in(self, demand: Demand | None = TOKEN, last: OAuthToken | None = None) -> Any:
        """Do what a renewal does for a new login; return its token, or the error."""
        is_more = self.run(self.grant.prepare(demand, last))
        if is_more is not True:
            return is_more
        try:
            demands = {} if demand is None else dict(demand.login)
            return self.run(self.grant.authorize(threading.Event(), None, demands)())
        except OAuthError as error:
            return error

    def follow(self, other: Program) -> Program:
        """Take in what another program has stored."""
        self.grant.load_state(json.loads(json.dumps(other.grant.dump_state())))
        return self


def service(web: Web, store: MemoryTokenStore | None = None, **options: Any) -> Program:
    """Return a program that gets tokens for itself."""
    given = {"login": None, "client_id": "mine", "client_secret": "my-secret", "issuer": AUTH}
    return Program(web, store, **{**given, **options})


# -- What it costs ----------------------------------------------------------------------------------------------------


def test_the_first_login_costs_four_calls() -> None:
    """Of resource and server their metadata, a registration, a token call; and nothing before there's a demand."""
    web = Web()
    program = Program(web, MemoryTokenStore())
    assert [] == web.calls
    assert "token-1" == program.log_in().access_token
    assert [RESOURCE_PLACE, f"{AUTH}{SERVER_PLACE}", f"{AUTH}/register", f"{AUTH}/token"] == web.asked


def test_the_first_renewal_of_a_second_process_costs_two_calls() -> None:
    """Of the server its metadata, and a refresh, as the client that the token was issued to."""
    web, store = Web(), MemoryTokenStore()
    first = Program(web, store)
    token = first.log_in()
    second = Program(web, store).follow(first)
    web.calls.clear()
    assert "refresh-1" == second.grant.live_refresh_token(token)
    assert "token-2" == second.run(second.grant.refresh("refresh-1", None)).access_token
    assert [f"{AUTH}{SERVER_PLACE}", f"{AUTH}/token"] == web.asked
    assert {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-1",
        "client_id": "client-1",
        "resource": API,
    } == web.last_form


def test_the_next_renewals_cost_one_call() -> None:
    """What the server says of itself is kept."""
    web, store = Web(), MemoryTokenStore()
    program = Program(web, store)
    program.log_in()
    for number in (1, 2, 3):
        web.calls.clear()
        assert isinstance(program.run(program.grant.refresh(f"refresh-{number}", None)), OAuthToken)
        assert [f"{AUTH}/token"] == web.asked


def test_a_service_has_its_token_after_three_calls_and_the_next_after_two() -> None:
    """Nothing is registered; another process needs the server's metadata alone."""
    web = Web()
    first = service(web)
    assert first.grant.needs_authorization
    assert isinstance(first.log_in(), OAuthToken)
    assert [RESOURCE_PLACE, f"{AUTH}{SERVER_PLACE}", f"{AUTH}/token"] == web.asked
    second = service(web).follow(first)
    web.calls.clear()
    assert not second.grant.needs_authorization
    assert isinstance(second.run(second.grant.request_token(None, None)), OAuthToken)
    assert [f"{AUTH}{SERVER_PLACE}", f"{AUTH}/token"] == web.asked
    assert API == web.last_form["resource"]


def test_a_kept_registration_costs_nothing() -> None:
    """Another resource of the same server, and another process, have the client that's in the store."""
    web, store = Web(), MemoryTokenStore()
    Program(web, store).log_in()
    web.calls.clear()
    assert isinstance(Program(web, store).log_in(), OAuthToken)
    assert f"{AUTH}/register" not in web.asked
    assert ["client-1", "client-1"] == [login["client_id"] for login in web.logins]


# -- Where the server is found ----------------------------------------------------------------------------------------


def test_the_places_of_a_resources_metadata_are_asked_in_turn() -> None:
    """The challenge's, if it's of the resource's own origin, then the well-known ones."""
    web = Web()
    del web.places[RESOURCE_PLACE]
    web.places[f"{AUTH}/meta"] = answer(200, {"resource": API, "authorization_servers": [OTHER]})
    own = "https://api.example/meta"
    for named in (own, f"{AUTH}/meta", "https://api.example@evil.example/meta", "nonsense", None):
        web.calls.clear()
        error = Program(web).log_in(replace(TOKEN, resource_metadata=named))
        assert isinstance(error, DiscoveryError)
        places = [RESOURCE_PLACE, "https://api.example/.well-known/oauth-protected-resource"]
        assert [*([own] if named == own else []), *places] == web.asked[: len(places) + (named == own)]
        assert all(url.startswith("https://api.example/") for url in web.asked)


@pytest.mark.parametrize(
    "nothing",
    [
        answer(404),
        answer(401, b"who are you?", www_authenticate="Bearer"),
        answer(302, location=f"{OTHER}/metadata"),
        answer(502),
        answer(200, b"<html>", content_type="text/html"),
        answer(200, [1]),
    ],
    ids=["404", "401", "302", "502", "HTML", "a list"],
)
def test_what_is_no_metadata_does_not_end_the_search(nothing: TokenResponse) -> None:
    """The next place is asked; where there's none, the resource's origin is the issuer."""
    web = Web()
    web.add_server("https://api.example")
    web.places[RESOURCE_PLACE] = nothing
    assert isinstance(Program(web).log_in(), OAuthToken)
    assert f"https://api.example{SERVER_PLACE}" in web.asked
    assert not any(url.startswith(OTHER) for url in web.asked)
    assert API == web.last_form["resource"]


@pytest.mark.parametrize("trouble", [answer(500), answer(503), answer(429)], ids=["500", "503", "429"])
def test_a_server_error_is_not_no_metadata(trouble: TokenResponse) -> None:
    """It says nothing of the next place, which isn't asked."""
    web = Web()
    web.places[RESOURCE_PLACE] = trouble
    error = Program(web).log_in()
    assert (TokenResponseError, True) == (type(error), error.retryable)
    assert {RESOURCE_PLACE} == set(web.asked)


def test_a_document_that_is_too_long_ends_the_search() -> None:
    """It's an error that says what to pass, and isn't tried again."""
    web = Web()
    web.places[RESOURCE_PLACE] = answer(200, {"resource": API, "x": "y" * 128 * 1024})
    error = Program(web).log_in()
    assert (DiscoveryError, False) == (type(error), error.retryable)
    assert "issuer=" in str(error)


@pytest.mark.parametrize("named", ["https://api.example/other", "https://api.example", OTHER, "", None])
def test_metadata_of_another_resource_is_not_believed(named: Any) -> None:
    """Nothing is sent to the server that it names; the error names what it's of."""
    web = Web()
    web.add_server(OTHER)
    web.places[RESOURCE_PLACE] = answer(200, {"resource": named, "authorization_servers": [OTHER]})
    error = Program(web).log_in()
    assert DiscoveryError is type(error)
    assert "another resource" in str(error)
    assert not any(url.startswith(OTHER) for url in web.asked)


def test_a_wider_resource_is_believed_from_its_own_place() -> None:
    """And what's asked for is that resource, as it names itself."""
    web = Web()
    del web.places[RESOURCE_PLACE]
    web.places["https://api.example/.well-known/oauth-protected-resource"] = answer(
        200, {"resource": "https://api.example/", "authorization_servers": [AUTH]}
    )
    assert isinstance(Program(web).log_in(), OAuthToken)
    assert "https://api.example/" == web.last_form["resource"] == web.logins[0]["resource"]


def test_the_first_server_that_can_serve_is_taken() -> None:
    """Of five at most; those that can't be had, name another issuer, or lack what's needed, are passed over."""
    web = Web()
    unusable: dict[str, dict[str, Any]] = {
        "https://a.example": {"issuer": "https://z.example"},
        "https://b.example": {"code_challenge_methods_supported": ["plain"]},
        "https://c.example": {"code_challenge_methods_supported": None},
        "https://d.example": {"registration_endpoint": None},
        "https://e.example": {"token_endpoint": None},
        "https://f.example": {"authorization_endpoint": None},
    }
    for issuer, fields in unusable.items():
        web.add_server(issuer, **fields)
    for issuer in unusable:
        web.calls.clear()
        web.set_resource("https://gone.example", issuer, AUTH)
        assert isinstance(Program(web).log_in(), OAuthToken)
        assert f"{issuer}/token" not in web.asked
    web.set_resource(*list(unusable)[:5], AUTH)
    web.calls.clear()
    error = Program(web).log_in()
    assert DiscoveryError is type(error)
    assert not any(url.startswith(AUTH) for url in web.asked)
    assert all(issuer in str(error) for issuer in list(unusable)[:5])


def test_a_server_that_has_trouble_is_tried_again_later() -> None:
    """Where another can serve, that's taken; where none can, it's an error that may pass."""
    web = Web()
    web.add_server(OTHER)
    web.places[f"{OTHER}{SERVER_PLACE}"] = answer(503)
    web.set_resource(OTHER, AUTH)
    assert isinstance(Program(web).log_in(), OAuthToken)
    web.set_resource(OTHER)
    assert Program(web).log_in().retryable


@pytest.mark.parametrize("inside", ["https://127.0.0.1", "https://10.0.0.1", "https://localhost", "https://[::1]"])
def test_nothing_is_sent_to_this_machine_for_a_resource_that_is_elsewhere(inside: str) -> None:
    """Neither to a server there, nor to an endpoint; unless the user has named the issuer."""
    web = Web()
    web.add_server(inside)
    web.set_resource(inside)
    assert "private network" in str(Program(web).log_in())
    for name in ("token_endpoint", "authorization_endpoint", "registration_endpoint"):
        web.add_server(AUTH, **{name: f"{inside}/x"})
        web.set_resource(AUTH)
        assert "private network" in str(Program(web).log_in())
    assert not any(url.startswith(inside) for url in web.asked)
    web.add_server(AUTH, token_endpoint=f"{inside}/token")
    assert isinstance(Program(web, issuer=AUTH).log_in(), OAuthToken)


@pytest.mark.parametrize("issuer", ["http://auth.example", "ftp://auth.example", "https://auth.example?a=b", "x", ""])
def test_what_is_no_issuer_is_not_asked(issuer: str) -> None:
    """A resource may name anything."""
    web = Web()
    web.set_resource(issuer)
    assert DiscoveryError is type(Program(web).log_in())
    assert [RESOURCE_PLACE] == web.asked


def test_the_users_issuer_is_the_only_one() -> None:
    """Whether the resource lists it among others, or tells nothing; one that lists others alone is an error."""
    web = Web()
    web.add_server(OTHER)
    web.set_resource(OTHER, f"{AUTH}/")
    assert isinstance(Program(web, issuer=AUTH).log_in(), OAuthToken)
    assert not any(url.startswith(OTHER) for url in web.asked)
    web.places[RESOURCE_PLACE] = answer(404)
    assert isinstance(Program(web, issuer=AUTH).log_in(), OAuthToken)
    web.set_resource(OTHER)
    web.calls.clear()
    error = Program(web, issuer=AUTH).log_in()
    assert (DiscoveryError, [RESOURCE_PLACE]) == (type(error), web.asked)


def test_a_named_issuer_need_not_list_pkce() -> None:
    """Some servers know it, and don't say so: for them the user vouches."""
    web = Web()
    web.add_server(AUTH, code_challenge_methods_supported=None)
    assert "pass issuer=" in str(Program(web).log_in())
    assert isinstance(Program(web, issuer=AUTH).log_in(), OAuthToken)
    web.add_server(AUTH, code_challenge_methods_supported=["plain"])
    assert DiscoveryError is type(Program(web, issuer=AUTH).log_in())


def test_the_place_that_a_challenge_names_is_known_where_there_is_none() -> None:
    """For a login that no challenge led to, and to see whether the server has moved, the resource is asked for it."""
    web = Web()
    web.add_server(OTHER)
    place = "https://api.example/metadata"
    web.places[place] = web.places.pop(RESOURCE_PLACE)
    web.places[API] = answer(401, www_authenticate=f'Bearer resource_metadata="{place}"')
    program = Program(web)
    assert isinstance(program.log_in(replace(TOKEN, resource_metadata=place)), OAuthToken)
    assert API not in web.asked
    token = program.log_in(None)
    assert isinstance(token, OAuthToken)
    assert False is program.run(program.grant.has_moved(token))
    web.places[place] = answer(200, {"resource": API, "authorization_servers": [OTHER]})
    assert True is program.run(program.grant.has_moved(token))


# -- Which client -----------------------------------------------------------------------------------------------------


def test_a_given_client_is_used_and_bound_to_its_first_server() -> None:
    """Nothing is registered; a resource that names another server later is an error, and nothing is sent there."""
    web = Web()
    web.add_server(OTHER)
    program = Program(web, client_id="mine")
    token = program.log_in()
    assert f"{AUTH}/register" not in web.asked
    assert "mine" == web.last_form["client_id"]
    web.set_resource(OTHER)
    web.calls.clear()
    error = program.log_in(last=token)
    assert DiscoveryError is type(error)
    assert AUTH in str(error)
    assert OTHER in str(error)
    assert not any(url.startswith(f"{OTHER}/token") for url in web.asked)


def test_a_metadata_document_is_used_where_the_server_knows_it() -> None:
    """Elsewhere a client is registered."""
    web = Web()
    document = "https://app.example/client.json"
    assert isinstance(Program(web, client_metadata_url=document).log_in(), OAuthToken)
    assert "client-1" == web.last_form["client_id"]
    web.add_server(AUTH, client_id_metadata_document_supported=True, registration_endpoint=None)
    web.calls.clear()
    assert isinstance(Program(web, client_metadata_url=document).log_in(), OAuthToken)
    assert document == web.last_form["client_id"]


def test_the_scope_that_is_registered_is_the_ceiling() -> None:
    """All that resource and server list, besides what's asked for; refused, it's the latter alone."""
    web = Web()
    web.set_resource(AUTH, scopes_supported=["read", "write"])
    web.add_server(AUTH, scopes_supported=["admin"])
    Program(web).log_in(replace(TOKEN, scope="read"))
    assert ["read write admin"] == [client["scope"] for client in web.clients.values()]
    assert "read" == web.logins[-1]["scope"]

    def picky(metadata: dict[str, Any]) -> TokenResponse:
        is_short = metadata.get("scope") == "read"
        return web._register(metadata) if is_short else answer(400, {"error": "invalid_client_metadata"})

    web.places[f"{AUTH}/register"] = picky
    assert isinstance(Program(web).log_in(replace(TOKEN, scope="read")), OAuthToken)
    assert "read" == web.clients["client-2"]["scope"]


def test_without_a_scope_to_ask_for_none_is_registered() -> None:
    """Then the server's default is what's wanted."""
    web = Web()
    web.add_server(AUTH, scopes_supported=["admin"])
    Program(web).log_in()
    assert "scope" not in web.clients["client-1"]
    assert "scope" not in web.logins[-1]


def test_a_registration_that_does_not_cover_the_scope_is_replaced() -> None:
    """What a client may ask for is bounded by what it was registered with."""
    web, store = Web(), MemoryTokenStore()
    Program(web, store).log_in(replace(TOKEN, scope="read"))
    Program(web, store).log_in(replace(TOKEN, scope="read"))
    Program(web, store).log_in(replace(TOKEN, scope="read write"))
    assert ["read", "read write"] == [client["scope"] for client in web.clients.values()]


@pytest.mark.parametrize(
    ("refusal", "calls"),
    [
        (answer(400, {"error": "invalid_redirect_uri"}), 2),
        (answer(403, {"error": "access_denied"}), 1),
        (answer(404), 1),
        (answer(200, b"<html>"), 1),
    ],
    ids=["400", "403", "404", "HTML"],
)
def test_a_registration_that_is_refused_says_what_to_pass(refusal: TokenResponse, calls: int) -> None:
    """With what the server said of it; only where the scope may be the reason it's tried with less."""
    web = Web()
    web.set_resource(AUTH, scopes_supported=["read", "write"])
    web.places[f"{AUTH}/register"] = refusal
    error = Program(web, scope="read").log_in()
    assert RegistrationError is type(error)
    assert f"{AUTH}/register" == error.registration_url
    assert "pass client_id=" in str(error)
    assert calls == web.asked.count(f"{AUTH}/register")
    assert [] == web.logins


# -- How a client ends ------------------------------------------------------------------------------------------------


def test_a_client_that_the_server_has_forgotten_is_forgotten_here() -> None:
    """A refresh that says so ends the refresh token, and the next login registers anew."""
    web, store = Web(), MemoryTokenStore()
    program = Program(web, store)
    token = program.log_in()
    web.forget_clients()
    error = program.run(program.grant.refresh("refresh-1", None))
    assert "invalid_client" == error.error
    assert None is program.grant.live_refresh_token(token)
    assert "token-2" == program.log_in(last=token).access_token
    assert "client-2" == web.last_form["client_id"]


def test_a_client_that_a_sibling_has_replaced_already_ends_its_refresh_tokens_too() -> None:
    """The registration isn't in the store any more; else this program would try for ever, and ask nobody."""
    web, store = Web(), MemoryTokenStore()
    program = Program(web, store)
    token = program.log_in()
    kept = program.registrations.find_latest(AUTH)
    assert kept is not None
    program.registrations.forget(kept)
    web.forget_clients()
    assert "invalid_client" == program.run(program.grant.refresh("refresh-1", None)).error
    assert None is program.grant.live_refresh_token(token)


def test_what_is_about_a_given_client_ends_nothing() -> None:
    """It may be a mistake in the server's configuration; the user's client isn't replaced."""
    web = Web()
    program = Program(web, client_id="mine")
    token = program.log_in()
    web.places[f"{AUTH}/token"] = answer(401, {"error": "invalid_client"})
    error = program.run(program.grant.refresh("refresh-1", None))
    assert "invalid_client" == error.error
    assert "refresh-1" == program.grant.live_refresh_token(token)
    assert not program.run(program.grant.has_another_client(error))


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        ("invalid_client", 401, True),
        ("unauthorized_client", 400, True),
        ("invalid_grant", 400, False),
        ("invalid_request", 400, False),
    ],
)
def test_which_errors_a_new_client_helps_with(error: str, status: int, expected: bool) -> None:
    """Those that are about the client: then it's registered anew, once, at the next attempt."""
    web, store = Web(), MemoryTokenStore()
    program = Program(web, store)
    web.places[f"{AUTH}/token"] = answer(status, {"error": error})
    refused = program.log_in()
    assert isinstance(refused, OAuthProviderException)
    assert expected is program.run(program.grant.has_another_client(refused))
    assert expected is (program.registrations.find_latest(AUTH) is None)
    web.add_server(AUTH)
    assert isinstance(program.log_in(), OAuthToken)
    assert (2 if expected else 1) == len(web.clients)


def test_a_login_that_nobody_answered_forgets_the_client() -> None:
    """A server shows an unknown client to the person alone; one that was cancelled, or failed here, says nothing."""
    web, store = Web(), MemoryTokenStore()

    def unanswered(begin: Any) -> str:
        begin(REDIRECT_URI)
        raise ReauthorizationRequired("nobody came back")

    def broken(begin: Any) -> str:
        begin(REDIRECT_URI)
        raise ZeroDivisionError

    Program(web, store).log_in()
    registrations = Program(web, store).registrations
    assert isinstance(Program(web, store, login=broken).log_in(), ReauthorizationRequired)
    assert None is not registrations.find_latest(AUTH)
    assert isinstance(Program(web, store, login=unanswered).log_in(), ReauthorizationRequired)
    assert None is registrations.find_latest(AUTH)


# -- Scope ------------------------------------------------------------------------------------------------------------


def test_more_scope_is_asked_for_with_all_that_was() -> None:
    """By a new authorization; where all of it was asked for already, none could bring more."""
    web = Web()
    program = Program(web, MemoryTokenStore())
    first = program.log_in(replace(TOKEN, scope="read"))
    more = Demand(Kind.SCOPE, scope="write")
    second = program.log_in(more, first)
    assert ["read", "read write"] == [login["scope"] for login in web.logins]
    assert ("token-2", "read write") == (second.access_token, program.grant.scope)
    assert False is program.log_in(more, second)
    program.log_in(TOKEN, second)
    assert "read write" == web.logins[-1]["scope"]


def test_what_was_granted_counts_where_the_server_tells_it() -> None:
    """A scope that was asked for, and not granted, is asked for again; one that was granted isn't."""
    web = Web()
    program = Program(web, MemoryTokenStore())
    web.places[f"{AUTH}/token"] = lambda form: answer(200, {"access_token": "narrow", "scope": "read"})
    token = program.log_in(replace(TOKEN, scope="read write"))
    assert True is program.run(program.grant.prepare(Demand(Kind.SCOPE, scope="write"), token))


@pytest.mark.parametrize(
    ("options", "listed", "expected"),
    [
        ({}, ["offline_access", "read"], ("read offline_access", "consent")),
        ({}, ["read"], ("read", None)),
        ({"scope": "read"}, ["offline_access"], ("read", None)),
        ({"scope": "read", "offline_access": True}, [], ("read offline_access", "consent")),
        ({"offline_access": False}, ["offline_access"], ("read", None)),
    ],
)
def test_offline_access(options: dict[str, Any], listed: list[str], expected: tuple[str, str | None]) -> None:
    """It's added where the server lists it, unless the user has said which scope; it's registered, too."""
    web = Web()
    web.add_server(AUTH, scopes_supported=listed)
    Program(web, **options).log_in(replace(TOKEN, scope="read"))
    assert expected == (web.logins[-1]["scope"], web.logins[-1].get("prompt"))
    registered = web.clients["client-1"]["scope"].split()
    assert {*expected[0].split()} <= {*registered}


# -- The resource's identifier ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "named", "expected"),
    [
        (API, API, API),
        (API, f"{API}/", f"{API}/"),
        ("https://api.example/", None, "https://api.example"),
        ("https://api.example/", "https://api.example/", "https://api.example/"),
        (f"{API}/", None, f"{API}/"),
    ],
)
def test_what_the_resource_is_called(given: str, named: str | None, expected: str) -> None:
    """As it names itself, unchanged; else as it was given, without a lone slash: at each call, and to the user."""
    web = Web()
    for place in (RESOURCE_PLACE, "https://api.example/.well-known/oauth-protected-resource"):
        web.places[place] = answer(200, {"resource": named, "authorization_servers": [AUTH]})
        if named is None:
            del web.places[place]
    program = Program(web, resource=given, issuer=AUTH)
    assert isinstance(program.log_in(), OAuthToken)
    assert isinstance(program.run(program.grant.refresh("refresh-1", None)), OAuthToken)
    forms = [form for url, form in web.calls if url.endswith("/token")]
    assert [expected] * 3 == [*[form["resource"] for form in forms], web.logins[0]["resource"]]


def test_a_server_that_refuses_the_parameter_gets_none() -> None:
    """The user's parameters override it, and drop it."""
    web = Web()
    options: dict[str, Any] = {"field_parameters": {"resource": None}, "authorization_parameters": {"resource": None}}
    assert isinstance(Program(web, **options).log_in(), OAuthToken)
    assert "resource" not in web.last_form
    assert "resource" not in web.logins[0]


# -- A server that moves ----------------------------------------------------------------------------------------------


def test_nothing_of_the_old_server_reaches_the_new_one() -> None:
    """Its clients, tokens and scopes stay behind: the new one gets a client of its own, and a login."""
    web, store = Web(), MemoryTokenStore()
    web.add_server(OTHER)
    program = Program(web, store)
    token = program.log_in(replace(TOKEN, scope="read"))
    assert False is program.run(program.grant.has_moved(token))
    web.set_resource(OTHER)
    web.calls.clear()
    assert True is program.run(program.grant.has_moved(token))
    assert None is program.grant.live_refresh_token(token)
    assert "token-2" == program.log_in(TOKEN, token).access_token
    assert not any(url.startswith(AUTH) for url in web.asked)
    sent = json.dumps([web.calls, web.logins[-1]])
    assert not [old for old in ("client-1", "refresh-1", "token-1", "code-1", "read") if f'"{old}"' in sent]
    assert "client-2" == web.logins[-1]["client_id"]


def test_a_token_is_ended_where_it_is_from() -> None:
    """Whatever the resource says by then: revocation and introspection go to the token's server."""
    web = Web()
    web.add_server(OTHER)
    program = Program(web)
    token = program.log_in()
    web.set_resource(OTHER)
    program.run(program.grant.has_moved(token))
    web.calls.clear()
    assert None is program.run(program.grant.revoke(token))
    assert None is program.run(program.grant.revoke_refresh_token(token))
    assert {"active": True} == program.run(program.grant.introspect(token.access_token))
    assert {f"{AUTH}/revoke", f"{AUTH}/introspect"} == set(web.asked)
    assert f"{AUTH}/token" == program.run(program.grant.find_endpoint("token_url"))


def test_without_a_token_there_is_nothing_to_end() -> None:
    """Nobody is asked, and nobody is known."""
    web = Web()
    grant = Program(web).grant
    program = Program(web)
    assert [None] * 3 == [
        program.run(grant.revoke(OAuthToken(access_token="a"))),
        program.run(grant.revoke(None)),
        program.run(grant.find_endpoint("token_url")),
    ]
    assert False is program.run(grant.has_moved(None))
    assert "no server" in str(program.run(grant.introspect("a")))
    assert [] == web.calls


@pytest.mark.parametrize(
    ("options", "is_live"),
    [
        ({"issuer": AUTH, "client_id": "mine"}, True),
        ({"client_id": "mine"}, False),
        ({"issuer": AUTH}, False),
        ({}, False),
    ],
)
def test_a_given_token_is_not_sent_to_a_server_that_only_the_api_named(options: dict[str, Any], is_live: bool) -> None:
    """Whose it is nobody knows, unless the user has said so."""
    token = OAuthToken(access_token="given", refresh_token="given-refresh")
    web = Web()
    program = Program(web, token=token, **options)
    assert ("given-refresh" if is_live else None) == program.grant.live_refresh_token(token)
    assert isinstance(program.log_in(last=token), OAuthToken)
    assert "given-refresh" not in json.dumps(web.calls)
    if is_live:
        assert isinstance(program.run(program.grant.refresh("given-refresh", None)), OAuthToken)


@pytest.mark.parametrize(
    ("options", "is_live"),
    [
        ({}, True),
        ({"issuer": AUTH}, True),
        ({"issuer": f"{AUTH}/"}, True),
        ({"issuer": OTHER}, False),
        ({"client_id": "client-1"}, True),
        ({"client_id": "another"}, False),
    ],
)
def test_whose_refresh_tokens_are_used(options: dict[str, Any], is_live: bool) -> None:
    """Those of the server and client that the user has named, if they have; what a store holds may be of others."""
    web = Web()
    first = Program(web)
    token = first.log_in()
    again = Program(web, **options).follow(first)
    assert ("refresh-1" if is_live else None) == again.grant.live_refresh_token(token)
    again.grant.bury([digest("refresh-1")])
    assert None is again.grant.live_refresh_token(token)


def test_tokens_that_nobody_knows_are_not_renewed() -> None:
    """A stored token without its bond, and one without refresh token."""
    grant = Program(Web()).grant
    for token in (None, OAuthToken(access_token="a"), OAuthToken(access_token="a", refresh_token="b")):
        assert None is grant.live_refresh_token(token)


def test_a_logout_ends_the_refresh_token_and_the_code() -> None:
    """What was begun isn't gone on with."""
    web = Web()
    program = Program(web)
    token = program.log_in()
    web.places[f"{AUTH}/token"] = TokenTransportError("no")
    assert isinstance(program.log_in(last=token), TokenTransportError)
    begun = [program.grant.has_unredeemed_code]
    program.grant.invalidate(token)
    assert [True, False] == [*begun, program.grant.has_unredeemed_code]
    assert None is program.grant.live_refresh_token(token)


def test_a_code_that_could_not_be_redeemed_is_redeemed_later() -> None:
    """Where the server is out of reach after the login, the user needn't log in again."""
    web = Web()
    program = Program(web, MemoryTokenStore())
    web.places[f"{AUTH}/token"] = TokenTransportError("no")
    assert isinstance(program.log_in(), TokenTransportError)
    assert (True, False) == (program.grant.has_unredeemed_code, program.grant.is_interactive)
    web.add_server(AUTH)
    token = program.run(program.grant.request_token(None, None))
    assert ("token-1", "code-1") == (token.access_token, web.last_form["code"])
    assert (False, True) == (program.grant.has_unredeemed_code, program.grant.is_interactive)
    assert "refresh-1" == program.grant.live_refresh_token(token)


# -- Who needs a user -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "is_interactive", "is_service"),
    [
        ({}, True, False),
        ({"login": None}, False, False),
        ({"login": None, "client_id": "mine"}, False, False),
        ({"login": None, "client_id": "mine", "client_secret": "s", "issuer": AUTH}, False, True),
        ({"client_id": "mine", "client_secret": "s", "issuer": AUTH}, True, False),
    ],
)
def test_whom_a_token_is_for(options: dict[str, Any], is_interactive: bool, is_service: bool) -> None:
    """With a login it's the user; else the client itself, with a secret; else nobody can get one."""
    program = Program(Web(), **options)
    assert (is_interactive, is_service) == (program.grant.is_interactive, program.options.is_service)


def test_without_login_and_secret_a_user_is_needed() -> None:
    """The error says what to pass, and which command logs in."""
    error = Program(Web(), login=None).log_in()
    assert ReauthorizationRequired is type(error)
    assert f"oauth-auth login {API}" in str(error)


def test_a_login_that_is_demanded_reaches_the_authorization_request() -> None:
    """RFC 9470's parameters go along."""
    web = Web()
    Program(web).log_in(Demand(Kind.LOGIN, login=(("acr_values", "gold"), ("max_age", "0"))))
    assert {"acr_values": "gold", "max_age": "0"}.items() <= web.logins[0].items()


# -- What the resource wants, asked without a token -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (answer(401, www_authenticate='Bearer scope="a", resource_metadata="https://api.example/m"'), Kind.TOKEN),
        (answer(401), Kind.TOKEN),
        (answer(403, www_authenticate='Bearer error="insufficient_scope"'), Kind.SCOPE),
        (answer(200), None),
        (answer(404), None),
        (answer(405), None),
        (answer(302, location=OTHER), None),
    ],
)
def test_the_resource_is_asked_with_one_get(response: TokenResponse, expected: Kind | None) -> None:
    """Without credentials, and no redirect is followed; what isn't a demand is none."""
    web = Web()
    web.places[API] = response
    program = Program(web)
    demand = program.run(program.grant.ask_resource())
    assert (expected, [API]) == (None if demand is None else demand.kind, web.asked)


@pytest.mark.parametrize("response", [answer(429), answer(500), answer(503)])
def test_a_resource_that_has_trouble_says_nothing(response: TokenResponse) -> None:
    """That's an error, which may pass; unless the user counts such a status as a demand."""
    web = Web()
    web.places[API] = response
    error = Program(web).run(Program(web).grant.ask_resource())
    assert (TokenResponseError, True) == (type(error), error.retryable)
    program = Program(web, rejection_statuses=(response.status_code,))
    assert Kind.TOKEN is program.run(program.grant.ask_resource()).kind


# -- Keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("says", [True, False, None, "true", 1])
def test_a_resource_that_wants_bound_tokens(says: object) -> None:
    """It says so in its metadata, and a program that finds such a token in the store knows it from there."""
    web = Web()
    web.set_resource(AUTH, dpop_bound_access_tokens_required=says)
    program = Program(web)
    assert program.grant.binding is None
    program.run(program.grant.prepare(TOKEN, None))
    assert (says is True) == (program.grant.binding is not None)
    bond = Bond(AUTH, "client", API, is_bound=says is True)
    again = Program(web).grant
    again.load_state({"bonds": {"digest": asdict(bond)}})
    assert (says is True) == (again.binding is not None)


def test_nothing_secret_is_shown() -> None:
    """Not by what the grant holds."""
    web = Web()
    program = service(web)
    program.log_in()
    grant = program.grant
    bond = grant.latest_bond
    assert bond is not None
    identity = grant.surroundings.client_of(bond)
    assert "my-secret" == identity.client_secret
    assert "my-secret" not in f"{program.options!r} {grant!r} {grant.surroundings!r} {identity!r} {bond!r}"
    assert "my-secret" not in json.dumps(program.grant.dump_state())


def test_servers_do_not_share_what_is_known_of_one() -> None:
    """Clocks and nonces are each server's own."""
    web = Web()
    web.add_server(OTHER)
    program = Program(web)
    program.log_in()
    web.set_resource(OTHER)
    program.log_in()
    calls = {issuer: program.grant.surroundings.endpoints_of(issuer).calls for issuer in (AUTH, OTHER)}
    assert calls[AUTH].server is not calls[OTHER].server
    assert [AUTH, OTHER] == [calls[issuer].server.issuer for issuer in (AUTH, OTHER)]


@pytest.mark.parametrize("issuer", ["https://10.0.0.1", "http://auth.example", "nonsense"])
def test_a_stored_bonds_server_is_not_called(issuer: str) -> None:
    """What a program finds in the store is believed no more than what a resource says."""
    web = Web()
    program = Program(web)
    token = OAuthToken(access_token="a", refresh_token="refresh")
    program.grant.load_state({"bonds": {digest("refresh"): asdict(Bond(issuer, "client", API))}})
    assert None is program.grant.live_refresh_token(token)
    program.run(program.grant.revoke(token))
    assert [] == web.asked
    program.grant.load_state({"bonds": {digest("refresh"): asdict(Bond(AUTH, "client", API))}})
    assert "refresh" == program.grant.live_refresh_token(token)
