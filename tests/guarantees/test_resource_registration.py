"""Guarantee 8, its first half: how a `ResourceAuth` gets a client id, what it asks for, and what becomes of answers."""

from __future__ import annotations

import socket
import time
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import (
    BrowserLogin,
    ClientSecretPost,
    DeviceLogin,
    MemoryTokenStore,
    ReauthorizationRequired,
    RegistrationError,
)
from oauth_auth._server.device_grant import DeviceCodeGrant
from oauth_auth.testing import LocalProvider
from tests.support.clock import Clock
from tests.support.log import Log
from tests.support.logins import Browser
from tests.support.modes import Mode
from tests.support.ports import free_port
from tests.support.registering import REDIRECT_URI, SECRET, Registry
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.waiting import outcome_of

pytestmark = pytest.mark.shared_core
ONE_PER_PLUGIN = True

DOCUMENT = "https://app.example.com/client.json"
BASIC_ALONE = {"token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"]}
POST_ALONE = {"token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"]}


@pytest.fixture
def registry(serve: Callable[..., ScriptedServer]) -> Registry:
    return Registry(serve)


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have devices poll at once."""
    monkeypatch.setattr(DeviceCodeGrant, "wait", lambda self, cancelled, seconds: cancelled.is_set())


def get(mode: Mode, auth: Any, url: str) -> int:
    """Send one request; return its status."""
    with mode.client(auth) as client:
        return int(client.get(url).status_code)


def used(registry: Registry) -> tuple[str, str]:
    """Return the ids with which the last person came, and with which their code was redeemed."""
    return registry.visited[-1]["client_id"], registry.calls("/token")[-1].form["client_id"][0]


# -- Which client -----------------------------------------------------------------------------------------------------


def test_a_given_client_comes_first(mode: Mode, registry: Registry) -> None:
    """Who passes `client_id` has nothing registered, whatever the server would take."""
    registry.metadata["client_id_metadata_document_supported"] = True
    registry.clients["mine"] = {}
    assert 200 == get(mode, registry.auth(mode, client_id="mine"), registry.url)
    assert ("mine", "mine") == used(registry)
    assert [] == registry.registrations


def test_then_a_metadata_document(mode: Mode, registry: Registry) -> None:
    """Its URL is the client id where the server says that it takes such, though a registration is kept."""
    store = MemoryTokenStore()
    registry.clients[DOCUMENT] = {}
    get(mode, registry.auth(mode, store=store), registry.url)
    registry.forget_calls()
    registry.metadata["client_id_metadata_document_supported"] = True
    assert 200 == get(mode, registry.auth(mode, store=store, client_metadata_url=DOCUMENT), registry.url)
    assert (DOCUMENT, DOCUMENT) == used(registry)
    assert [] == registry.registrations


@pytest.mark.parametrize("support", [None, False, "true"])
def test_a_document_is_of_no_use_elsewhere(plugin_mode: Mode, registry: Registry, support: object) -> None:
    """Where the server doesn't say that it takes it, a client is registered all the same."""
    registry.metadata["client_id_metadata_document_supported"] = support
    assert 200 == get(plugin_mode, registry.auth(plugin_mode, client_metadata_url=DOCUMENT), registry.url)
    assert 1 == len(registry.registrations)


def test_then_a_registration_that_is_kept(mode: Mode, registry: Registry) -> None:
    """What one object has registered another one uses, for its own login."""
    store = MemoryTokenStore()
    assert 200 == get(mode, registry.auth(mode, store=store), registry.url)
    client = used(registry)
    registry.forget_calls()
    assert 200 == get(mode, registry.auth(mode, store=store, store_key="another user"), registry.url)
    assert client == used(registry)
    assert [] == registry.registrations


def test_else_one_is_registered(mode: Mode, registry: Registry, log: Log) -> None:
    """A public client of this program, with all that its login needs; the log tells of it."""
    assert 200 == get(mode, registry.auth(mode), registry.url)
    assert [
        {
            "client_name": "oauth_auth",
            "redirect_uris": [REDIRECT_URI],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
        }
    ] == registry.registrations
    client_id, _ = used(registry)
    assert [f"client {client_id} registered at {registry.issuer}"] == log.of_event("registered")


def test_a_server_without_registration_names_what_to_pass(mode: Mode, registry: Registry) -> None:
    """Nobody is sent anywhere; the error says which options there are instead."""
    registry.metadata["registration_endpoint"] = None
    error = outcome_of(get, mode, registry.auth(mode), registry.url)
    assert "registers no clients" in str(error)
    assert "pass client_id=" in str(error)
    assert [] == registry.visited


# -- What is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "method"),
    [
        ({}, "none"),
        (BASIC_ALONE, "client_secret_basic"),
        (POST_ALONE, "client_secret_post"),
        ({"token_endpoint_auth_methods_supported": None}, "client_secret_basic"),
        ({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}, "client_secret_basic"),
    ],
    ids=["public", "Basic", "post", "not said", "none of ours"],
)
def test_the_method(mode: Mode, registry: Registry, metadata: dict[str, Any], method: str) -> None:
    """A public client where the server knows that, else Basic, else post; the form has `client_id` in any case."""
    registry.metadata |= metadata
    assert 200 == get(mode, registry.auth(mode), registry.url)
    (registration,) = registry.registrations
    assert method == registration["token_endpoint_auth_method"]
    (call,) = registry.calls("/token")
    client_id = used(registry)[0]
    secret = [f"{SECRET}{client_id}"]
    assert [client_id] == call.form["client_id"]
    assert (secret if method == "client_secret_post" else None) == call.form.get("client_secret")
    kind, _, credentials = (call.authorization or "").partition(" ")
    if method == "client_secret_basic":
        assert ("Basic", f"{client_id}:{secret[0]}") == (kind, b64decode(credentials).decode())
    else:
        assert "" == kind


def test_a_refresh_authenticates_in_the_same_way(mode: Mode, registry: Registry) -> None:
    """The secret of the registration goes with a renewal, too, of this program and of another on the same store."""
    registry.metadata |= BASIC_ALONE
    store = MemoryTokenStore()
    first = registry.auth(mode, store=store)
    get(mode, first, registry.url)
    for auth in (first, registry.auth(mode, store=store)):
        registry.revoke()
        assert 200 == get(mode, auth, registry.url)
    calls = registry.calls("/token")
    assert ["authorization_code", "refresh_token", "refresh_token"] == [call.form["grant_type"][0] for call in calls]
    assert 1 == len({call.authorization for call in calls})


def test_the_users_method_is_asked_for(plugin_mode: Mode, registry: Registry) -> None:
    """`client_auth` without `client_id` is how the registered client is to authenticate."""
    assert 200 == get(plugin_mode, registry.auth(plugin_mode, client_auth=ClientSecretPost()), registry.url)
    assert "client_secret_post" == registry.registrations[0]["token_endpoint_auth_method"]
    assert "client_secret" in registry.calls("/token")[0].form


@pytest.mark.parametrize(
    ("redirect_uri", "kind"),
    [
        ("http://127.0.0.1:49152/callback", "native"),
        ("http://[::1]:49152/callback", "native"),
        ("http://localhost:49152/callback", "native"),
        ("com.example.app:/callback", "native"),
        ("https://app.example.com/callback", "web"),
    ],
)
def test_the_application_type(plugin_mode: Mode, registry: Registry, redirect_uri: str, kind: str) -> None:
    """It's native for loopback and own schemes, since some servers refuse these to web applications."""
    assert 200 == get(plugin_mode, registry.auth(plugin_mode, redirect_uri=redirect_uri), registry.url)
    (registration,) = registry.registrations
    assert (kind, [redirect_uri]) == (registration["application_type"], registration["redirect_uris"])


def test_a_device_needs_no_redirect(mode: Mode, registry: Registry, prompt: None) -> None:
    """A client for logins on another device has that grant, and no redirect URI."""
    auth = registry.auth(mode, login=DeviceLogin(show=lambda **_: None))
    assert 200 == get(mode, auth, registry.url)
    (registration,) = registry.registrations
    assert ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"] == registration["grant_types"]
    assert "redirect_uris" not in registration
    assert ([], "native") == (registration["response_types"], registration["application_type"])


def test_the_scope_is_a_ceiling(mode: Mode, registry: Registry) -> None:
    """All that resource and server list is registered with what is asked for, so that more needs no other client."""
    registry.wanted["/api"] = "special"
    registry.scopes = ["read", "write"]
    registry.metadata["scopes_supported"] = ["read", "admin"]
    assert 200 == get(mode, registry.auth(mode), registry.url)
    assert {"special", "read", "write", "admin"} == {*registry.registrations[0]["scope"].split()}
    assert "special" == registry.visited[0]["scope"]


def test_without_a_scope_to_ask_for_none_is_registered(plugin_mode: Mode, registry: Registry) -> None:
    """A ceiling would be of no use to a login that asks for nothing."""
    registry.metadata["scopes_supported"] = ["admin"]
    assert 200 == get(plugin_mode, registry.auth(plugin_mode), registry.url)
    assert "scope" not in registry.registrations[0]


def refuse_ceilings(request: Received) -> Answer | None:
    is_too_much = b"admin" in request.body
    return Answer(400, {"error": "invalid_client_metadata"}) if is_too_much else None


def test_a_ceiling_that_is_refused_is_lowered(mode: Mode, registry: Registry) -> None:
    """Then what is to be asked for is registered, once more and no further."""
    registry.wanted["/api"] = "read"
    registry.metadata["scopes_supported"] = ["read", "admin"]
    registry.answers["/register"] = refuse_ceilings
    assert 200 == get(mode, registry.auth(mode), registry.url)
    assert ["read admin", "read"] == [asked["scope"] for asked in registry.registrations]


@pytest.mark.parametrize(("status", "times"), [(400, 2), (401, 1), (403, 1), (429, 3), (500, 3)])
def test_a_refusal_is_bounded(plugin_mode: Mode, registry: Registry, quick: None, status: int, times: int) -> None:
    """A lower ceiling is of no use against other refusals; what may pass is tried as any call of the server."""
    registry.wanted["/api"] = "read"
    registry.metadata["scopes_supported"] = ["read", "admin"]
    registry.answers["/register"] = lambda _: Answer(status, {"error": "access_denied"})
    error = outcome_of(get, plugin_mode, registry.auth(plugin_mode), registry.url)
    assert isinstance(error, RegistrationError)
    assert times >= len(registry.registrations)
    assert (status in {429, 500}) == error.retryable


def test_more_scope_than_was_registered_needs_another_client(mode: Mode, registry: Registry) -> None:
    """A registration that was told a scope which doesn't cover what is to be asked for is replaced."""
    registry.wanted |= {"/api": "read", "/api/admin": "admin"}
    auth = registry.auth(mode, store=MemoryTokenStore())
    with mode.client(auth) as client:
        assert 200 == client.get(registry.url).status_code
        assert 200 == client.get(f"{registry.url}/admin").status_code
    assert ["read", {"read", "admin"}] == [
        registry.registrations[0]["scope"],
        {*registry.registrations[1]["scope"].split()},
    ]
    assert 2 == len({visit["client_id"] for visit in registry.visited})


def test_a_registration_that_tells_no_scope_serves_all(mode: Mode, registry: Registry) -> None:
    """Nobody knows its ceiling, so it's used until the server says otherwise."""
    registry.wanted |= {"/api": "read", "/api/admin": "admin"}
    registry.registered["scope"] = ""
    with mode.client(registry.auth(mode, store=MemoryTokenStore())) as client:
        assert [200, 200] == [client.get(url).status_code for url in (registry.url, f"{registry.url}/admin")]
    assert 1 == len(registry.registrations)


def test_client_metadata_has_the_last_word(mode: Mode, registry: Registry) -> None:
    """Its fields go beside ours, or replace them; None drops one."""
    metadata = {"client_name": "My tool", "contacts": ["me@example.com"], "response_types": None, "x": {"y": [1, None]}}
    assert 200 == get(mode, registry.auth(mode, client_metadata=metadata), registry.url)
    (registration,) = registry.registrations
    assert ("My tool", ["me@example.com"]) == (registration["client_name"], registration["contacts"])
    assert "response_types" not in registration
    assert {"y": [1, None]} == registration["x"]
    assert "none" == registration["token_endpoint_auth_method"]


def test_each_client_metadata_is_a_client(plugin_mode: Mode, registry: Registry) -> None:
    """Programs that call themselves by other names on one store don't use each other's registration."""
    store = MemoryTokenStore()
    for name in ("one", "two", "one"):
        auth = registry.auth(plugin_mode, store=store, client_metadata={"client_name": name}, store_key=name)
        registry.revoke()
        assert 200 == get(plugin_mode, auth, registry.url)
    assert ["one", "two"] == [registration["client_name"] for registration in registry.registrations]


def test_the_method_may_be_dropped(plugin_mode: Mode, registry: Registry) -> None:
    """A client that registers without a method, and is told none, has Basic (RFC 7591 section 2)."""

    def register(request: Received) -> Answer:
        registry.clients["c"] = {}
        return Answer(201, {"client_id": "c", "client_secret": "secret"})

    registry.answers["/register"] = register
    auth = registry.auth(plugin_mode, client_metadata={"token_endpoint_auth_method": None})
    assert 200 == get(plugin_mode, auth, registry.url)
    assert (registry.calls("/token")[0].authorization or "").startswith("Basic ")


# -- What is answered -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "sent"),
    [
        ({"token_endpoint_auth_method": "client_secret_post", "client_secret": "s"}, "form"),
        ({"token_endpoint_auth_method": "client_secret_basic", "client_secret": "s"}, "header"),
        ({"token_endpoint_auth_method": "none", "client_secret": "s"}, None),
        ({"client_secret_expires_at": 0}, None),
    ],
)
def test_the_answer_wins(plugin_mode: Mode, registry: Registry, told: dict[str, Any], sent: str | None) -> None:
    """What the server says of the client is how it authenticates, though a public one was asked for."""
    registry.registered |= told
    assert 200 == get(plugin_mode, registry.auth(plugin_mode), registry.url)
    (call,) = registry.calls("/token")
    assert (sent == "form", sent == "header") == ("client_secret" in call.form, call.authorization is not None)


UNUSABLE: dict[str, tuple[Answer, str]] = {
    "a method of keys": (
        Answer(201, {"client_id": "c", "token_endpoint_auth_method": "private_key_jwt"}),
        "it wants the client to authenticate by 'private_key_jwt'",
    ),
    "no secret": (
        Answer(201, {"client_id": "c", "token_endpoint_auth_method": "client_secret_basic"}),
        "its answer has no client_secret",
    ),
    "an empty secret": (
        Answer(201, {"client_id": "c", "token_endpoint_auth_method": "client_secret_post", "client_secret": ""}),
        "its answer has no client_secret",
    ),
    "a method that is no text": (
        Answer(201, {"client_id": "c", "token_endpoint_auth_method": ["none"]}),
        "it wants the client to authenticate by",
    ),
    "no id": (Answer(201, {"token_endpoint_auth_method": "none"}), "no usable client_id"),
    "an empty id": (Answer(201, {"client_id": ""}), "no usable client_id"),
    "an id that is no text": (Answer(201, {"client_id": 7}), "no usable client_id"),
    "an id with a line break": (Answer(201, {"client_id": "c\r\nd"}), "no usable client_id"),
    "a list": (Answer(201, ["c"]), "no usable client_id"),
    "a page": (Answer(200, b"<html>Sign in</html>", (("Content-Type", "text/html"),)), "registration"),
    "nothing": (Answer(204), "no usable client_id"),
    "a redirect": (Answer(302, b"", (("Location", "/elsewhere"),)), "registration"),
    "a refusal": (Answer(403, {"error": "access_denied", "error_description": "by invitation"}), "by invitation"),
    "a page of refusal": (Answer(401, b"<html>"), "status 401"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_can_not_work_is_told(mode: Mode, registry: Registry, name: str) -> None:
    """Nobody is sent to a login that can't succeed: the error names the server, the reason and what to pass instead."""
    answer, reason = UNUSABLE[name]
    registry.answers["/register"] = lambda _: answer
    error = outcome_of(get, mode, registry.auth(mode), registry.url)
    assert isinstance(error, RegistrationError)
    assert reason in str(error)
    assert "client_id=" in str(error)
    assert registry.issuer in str(error)
    assert (f"{registry.issuer}/register", answer.status) == (error.registration_url, error.status_code)
    is_refusal = name == "a refusal"
    assert (("access_denied", "by invitation") if is_refusal else (None, None)) == (
        error.error,
        error.error_description,
    )
    assert not error.retryable
    assert [] == registry.visited


def test_a_failure_is_not_repeated_at_once(mode: Mode, registry: Registry) -> None:
    """Later requests get the same error without a call of the server: each has its API asked alone."""
    registry.answers["/register"] = lambda _: Answer(403, {"error": "access_denied"})
    with mode.client(registry.auth(mode)) as client:
        for _ in range(5):
            assert isinstance(outcome_of(client.get, registry.url), RegistrationError)
    assert {"API": 5, "resource metadata": 1, "server metadata": 1, "registration": 1} == registry.counts


# -- When it's made anew ----------------------------------------------------------------------------------------------


def test_a_secret_that_has_expired(mode: Mode, registry: Registry, clock: Clock) -> None:
    """A client whose secret's time is over is registered anew for the next login, and only then."""
    registry.metadata |= BASIC_ALONE
    registry.registered["client_secret_expires_at"] = time.time() + 3600
    store = MemoryTokenStore()
    get(mode, registry.auth(mode, store=store), registry.url)
    get(mode, registry.auth(mode, store=store, store_key="other"), registry.url)
    assert 1 == len(registry.registrations)
    clock.advance(3601)
    registry.revoke()
    assert 200 == get(mode, registry.auth(mode, store=store, store_key="third"), registry.url)
    assert 2 == len(registry.registrations)
    assert used(registry)[0] != registry.visited[0]["client_id"]


def test_a_refresh_with_an_expired_secret(mode: Mode, registry: Registry) -> None:
    """If the server refuses the client at a refresh, another is registered, and the user logs in, in one flight."""
    registry.metadata |= BASIC_ALONE
    auth = registry.auth(mode, store=MemoryTokenStore())
    with mode.client(auth) as client:
        client.get(registry.url)
        registry.forget_clients()
        registry.revoke()
        registry.forget_calls()
        assert 200 == client.get(registry.url).status_code
    assert {"API": 2, "token": 2, "resource metadata": 1, "server metadata": 1, "registration": 1, "login": 1} == (
        registry.counts
    )


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client"])
@pytest.mark.parametrize("status", [400, 401])
def test_at_the_token_endpoint(mode: Mode, registry: Registry, error: str, status: int) -> None:
    """A code that's refused since the client isn't known: another client, another login, once."""
    faults = [Answer(status, {"error": error})]
    registry.answers["/token"] = lambda _: faults.pop() if faults else None
    assert 200 == get(mode, registry.auth(mode, store=MemoryTokenStore()), registry.url)
    assert 2 == len(registry.registrations)
    assert 2 == len({visit["client_id"] for visit in registry.visited})


def test_it_is_made_anew_once(mode: Mode, registry: Registry) -> None:
    """A server that never knows its own clients is asked for two in a flight, and the error is the second's."""
    registry.answers["/token"] = lambda _: Answer(401, {"error": "invalid_client"})
    error = outcome_of(get, mode, registry.auth(mode, store=MemoryTokenStore()), registry.url)
    assert "invalid_client" == error.error
    assert (2, 2, 2) == (len(registry.registrations), len(registry.visited), len(registry.calls("/token")))


@pytest.mark.parametrize("kind", ["unauthorized_client", "invalid_client"])
def test_in_the_redirect(mode: Mode, registry: Registry, kind: str) -> None:
    """The same where the server says so in the redirect."""
    registry.redirected = [{"error": kind}]
    assert 200 == get(mode, registry.auth(mode), registry.url)
    assert 2 == len(registry.registrations)


@pytest.mark.parametrize("kind", ["access_denied", "invalid_scope", "server_error"])
def test_another_error_in_the_redirect_says_nothing_of_the_client(
    plugin_mode: Mode, registry: Registry, kind: str
) -> None:
    """It stays, and the error is the caller's."""
    registry.redirected = [{"error": kind}]
    store = MemoryTokenStore()
    error = outcome_of(get, plugin_mode, registry.auth(plugin_mode, store=store), registry.url)
    assert kind == error.error
    assert 200 == get(plugin_mode, registry.auth(plugin_mode, store=store), registry.url)
    assert 1 == len(registry.registrations)


@pytest.mark.parametrize("place", ["/device", "/token"])
def test_at_a_device_s_login(mode: Mode, registry: Registry, prompt: None, place: str) -> None:
    """The same where a device asks for a code, or polls."""
    faults = [Answer(401, {"error": "invalid_client"})]
    registry.answers[place] = lambda _: faults.pop() if faults else None
    assert 200 == get(mode, registry.auth(mode, login=DeviceLogin(show=lambda **_: None)), registry.url)
    assert 2 == len(registry.registrations)


def test_after_a_login_that_nobody_answered(mode: Mode, registry: Registry) -> None:
    """A server shows «unknown client» to the person alone: so the next login has another client."""
    store = MemoryTokenStore()
    get(mode, registry.auth(mode, store=store), registry.url)
    registry.forget_clients()
    error = outcome_of(get, mode, registry.auth(mode, store=store, store_key="other"), registry.url)
    assert isinstance(error, ReauthorizationRequired)
    assert 1 == len(registry.registrations)
    assert 200 == get(mode, registry.auth(mode, store=store, store_key="third"), registry.url)
    assert 2 == len(registry.registrations)


def test_a_login_that_fails_by_itself_says_nothing_of_the_client(plugin_mode: Mode, registry: Registry) -> None:
    """A bug in a login function is no sign of an unknown client."""
    store = MemoryTokenStore()

    def log_in(begin: Any) -> str:
        begin(REDIRECT_URI)
        raise KeyError

    outcome_of(get, plugin_mode, registry.auth(plugin_mode, store=store, login=log_in), registry.url)
    assert 200 == get(plugin_mode, registry.auth(plugin_mode, store=store), registry.url)
    assert 1 == len(registry.registrations)


def test_a_given_client_is_never_replaced(mode: Mode, registry: Registry) -> None:
    """The user's own client stays the only one, whatever the server says of it."""
    error = outcome_of(get, mode, registry.auth(mode, client_id="unknown", login=_answering(registry)), registry.url)
    assert "invalid_client" == error.error
    assert [] == registry.registrations


def _answering(registry: Registry) -> Callable[[Any], str]:
    """Make a login at a server that lets anybody in, and doesn't know their client at the token endpoint."""

    def log_in(begin: Any) -> str:
        request = begin(REDIRECT_URI)
        return f"{REDIRECT_URI}?code=c&state={request.state}"

    return log_in


def test_revoke_leaves_it(mode: Mode, registry: Registry) -> None:
    """Who logs out and in again does so with the same client."""
    auth = registry.auth(mode, store=MemoryTokenStore())
    with mode.client(auth) as client:
        client.get(registry.url)
        mode.revoke(auth)
        registry.revoke()
        assert 200 == client.get(registry.url).status_code
    assert (1, 2) == (len(registry.registrations), len(registry.visited))
    assert 1 <= len(registry.calls("/revoke"))


# -- The listener's port ----------------------------------------------------------------------------------------------


def port_of(uri: str) -> int:
    return int(uri.split(":")[2].split("/", maxsplit=1)[0])


def test_the_port_is_registered_and_tried_first(mode: Mode, provider: LocalProvider) -> None:
    """A server that compares ports is satisfied with one registration, whatever port the first listener had."""
    store, browser = MemoryTokenStore(), Browser()
    for key in ("one", "two", "three"):
        auth = mode.plugin.ResourceAuth(
            provider.api_url, login=BrowserLogin(open_browser=browser, quiet=True), store=store, store_key=key
        )
        assert 200 == get(mode, auth, provider.api_url)
    (registration,) = provider.registrations
    (uri,) = registration.json["redirect_uris"]
    assert 0 < port_of(uri)
    assert 3 == len(browser.opened)


def test_a_port_that_is_taken(plugin_mode: Mode, provider: LocalProvider) -> None:
    """Then another one is, and registered; it's the one that is tried first from then on."""
    store, browser = MemoryTokenStore(), Browser()

    def log_in(key: str) -> None:
        auth = plugin_mode.plugin.ResourceAuth(
            provider.api_url, login=BrowserLogin(open_browser=browser, quiet=True), store=store, store_key=key
        )
        assert 200 == get(plugin_mode, auth, provider.api_url)

    log_in("one")
    with _occupied(port_of(provider.registrations[0].json["redirect_uris"][0])):
        log_in("two")
    log_in("three")
    ports = [port_of(registration.json["redirect_uris"][0]) for registration in provider.registrations]
    assert 2 == len(set(ports)) == len(ports)


def _occupied(port: int) -> Any:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


@pytest.mark.parametrize("way", ["port", "redirect_uri"])
def test_the_users_choice_wins(plugin_mode: Mode, provider: LocalProvider, way: str) -> None:
    """`port=` and `redirect_uri=` are commands, though another port is registered."""
    store, browser = MemoryTokenStore(), Browser()
    auth = plugin_mode.plugin.ResourceAuth(
        provider.api_url, login=BrowserLogin(open_browser=browser, quiet=True), store=store, store_key="one"
    )
    assert 200 == get(plugin_mode, auth, provider.api_url)
    port = free_port()
    options: dict[str, Any] = {"redirect_uri": f"http://127.0.0.1:{port}/there"} if way == "redirect_uri" else {}
    login = BrowserLogin(open_browser=browser, quiet=True, port=port if way == "port" else 0)
    auth = plugin_mode.plugin.ResourceAuth(provider.api_url, login=login, store=store, store_key="two", **options)
    assert 200 == get(plugin_mode, auth, provider.api_url)
    uris = [registration.json["redirect_uris"][0] for registration in provider.registrations]
    assert port == port_of(uris[1])
    assert ("there" if way == "redirect_uri" else "callback") == uris[1].rpartition("/")[2]


def test_a_users_redirect_uri_without_a_port(plugin_mode: Mode, provider: LocalProvider) -> None:
    """The listener's port is put in, registered, and tried first next time, as where no redirect URI is given."""
    store, browser = MemoryTokenStore(), Browser()
    for key in ("one", "two"):
        auth = plugin_mode.plugin.ResourceAuth(
            provider.api_url,
            login=BrowserLogin(open_browser=browser, quiet=True),
            redirect_uri="http://127.0.0.1/there",
            store=store,
            store_key=key,
        )
        assert 200 == get(plugin_mode, auth, provider.api_url)
    (registration,) = provider.registrations
    assert registration.json["redirect_uris"][0].endswith("/there")


def test_persons_and_devices_have_clients_of_their_own(plugin_mode: Mode, registry: Registry, prompt: None) -> None:
    """A client is registered for one kind of login: on one store, each finds its own."""
    store = MemoryTokenStore()
    logins: list[Any] = [registry.log_in, DeviceLogin(show=lambda **_: None)] * 2
    for key, login in enumerate(logins):
        auth = registry.auth(plugin_mode, login=login, store=store, store_key=str(key))
        assert 200 == get(plugin_mode, auth, registry.url)
    assert [["code"], []] == [registration["response_types"] for registration in registry.registrations]
