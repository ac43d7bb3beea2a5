"""Endpoints are found out from an issuer's metadata: when first needed, once, and without trust in what's there.

Where metadata may be, and what it must say, are tables in tests/units/test_metadata.py.
"""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

import oauth_auth.httpx
from oauth_auth import (
    ClientSecretBasic,
    ConfigurationError,
    InsecureTransportError,
    MemoryTokenStore,
    OAuthError,
    ReauthorizationRequired,
    TokenResponseError,
    TokenTransportError,
)
from oauth_auth.testing import LocalProvider
from tests.servers.oidc_provider import OidcProvider
from tests.support.clock import Clock
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import token_that_expires_in
from tests.support.waiting import outcome_of, promptly

pytestmark = pytest.mark.shared_core

OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


class Issuer:
    """A scripted issuer. `places` are its metadata by path: a document, or a function that answers."""

    def __init__(self, serve: Callable[..., ScriptedServer], path: str = "") -> None:
        self.server = serve(self._answer)
        self.url = f"{self.server.url}{path}"
        self.document: dict[str, Any] = {
            "issuer": self.url,
            "token_endpoint": f"{self.server.url}/token",
            "authorization_endpoint": f"{self.server.url}/authorize",
            "device_authorization_endpoint": f"{self.server.url}/device",
            "revocation_endpoint": f"{self.server.url}/revoke",
        }
        self.places: dict[str, Any] = {OAUTH: self.document}
        self.issued = 0

    def _answer(self, request: Received) -> Answer:
        path = request.path.partition("?")[0]
        if path.endswith("/token"):
            self.issued += 1
            return Answer(200, {"access_token": f"token-{self.issued}", "expires_in": 3600})
        place = self.places.get(path, Answer(404, b"not found"))
        if callable(place):
            place = place(request)
        return place if isinstance(place, Answer) else Answer(200, place)

    def auth(self, mode: Mode, **options: Any) -> Any:
        return mode.plugin.ClientCredentialsAuth.from_issuer(self.url, "client", "secret", **options)

    @property
    def asked(self) -> list[str]:
        """The paths at which metadata was asked for."""
        return [request.path for request in self.server.requests if "/.well-known/" in request.path]

    @property
    def token_calls(self) -> list[Received]:
        return [request for request in self.server.requests if request.path.endswith("/token")]


@pytest.fixture
def issuer(serve: Callable[..., ScriptedServer]) -> Issuer:
    return Issuer(serve)


# -- Real servers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["issuer", "openid_issuer", "rfc8414_issuer"])
def test_a_certified_provider_is_found(oidc: OidcProvider, plugin_mode: Mode, name: str) -> None:
    """The issuer suffices, whether or not it has a path, and wherever its metadata is then."""
    client = oidc.basic
    auth = plugin_mode.plugin.ClientCredentialsAuth.from_issuer(
        getattr(oidc, name), client.client_id, client.client_secret, scope="api"
    )
    with plugin_mode.client(auth) as http:
        assert 200 == http.get(oidc.api_url).status_code


def test_all_endpoints_of_a_certified_provider_are_found(oidc: OidcProvider, plugin_mode: Mode) -> None:
    """A password's token is renewed and revoked at the endpoints that the metadata names."""
    auth = plugin_mode.plugin.PasswordAuth.from_issuer(
        oidc.openid_issuer, oidc.basic.client_id, oidc.basic.client_secret, username=oidc.username, password="x"
    )
    ended = auth.refresh().refresh_token
    auth.revoke()
    again = plugin_mode.plugin.RefreshTokenAuth.from_issuer(
        oidc.openid_issuer, oidc.basic.client_id, oidc.basic.client_secret, refresh_token=ended
    )
    with pytest.raises(ReauthorizationRequired):
        again.get_token()


def test_the_local_provider_is_found(provider: LocalProvider, plugin_mode: Mode) -> None:
    """Users' tests can give the local provider's issuer, too."""
    auth = plugin_mode.plugin.PasswordAuth.from_issuer(
        provider.issuer,
        provider.client_id,
        provider.client_secret,
        username=provider.username,
        password=provider.password,
    )
    with plugin_mode.client(auth) as http:
        assert 200 == http.get(provider.api_url).status_code
    auth.revoke()
    assert 1 == len(provider.token_requests)


# -- Where metadata is ------------------------------------------------------------------------------------------


def test_metadata_is_found_at_the_last_place(serve: Callable[..., ScriptedServer], plugin_mode: Mode) -> None:
    """Whatever is where it might be, a page, a redirect or nothing, it's found at the last of the places."""
    issuer = Issuer(serve, "/a/b")
    issuer.places = {
        f"{OAUTH}/a/b": Answer(200, b"<!doctype html><title>Our app</title>", (("Content-Type", "text/html"),)),
        f"/a/b{OPENID}": Answer(301, b"", (("Location", "/elsewhere"),)),
        f"{OPENID}/a/b": issuer.document,
    }
    assert "token-1" == issuer.auth(plugin_mode).get_token().access_token
    assert [f"{OAUTH}/a/b", f"/a/b{OPENID}", f"/a/b{OAUTH}", f"{OPENID}/a/b"] == issuer.asked


# -- What can't be used -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ({}, "is its path right"),
        ({OAUTH: {"issuer": "https://a.example"}}, "'https://a.example': give it exactly so"),
        ({OAUTH: Answer(200, b'"' + b"x" * 1024 * 1024 + b'"')}, "longer than"),
    ],
    ids=["nothing", "another's", "too long"],
)
def test_an_issuer_without_metadata_is_told(
    issuer: Issuer, plugin_mode: Mode, places: dict[str, Any], text: str
) -> None:
    """What isn't there raises an error that says what to do, and no secret was sent anywhere."""
    issuer.places = places
    with pytest.raises(TokenResponseError) as caught:
        issuer.auth(plugin_mode).get_token()
    assert text in str(caught.value)
    assert issuer.url in str(caught.value)
    assert [] == issuer.token_calls


@pytest.mark.parametrize(
    ("url", "error"),
    [
        (None, TokenResponseError),
        ("https://me:secret-word@a.example/token", TokenResponseError),
        ("http://a.example/token", InsecureTransportError),
    ],
)
def test_an_endpoint_that_is_no_url_is_told(
    issuer: Issuer, plugin_mode: Mode, url: Any, error: type[OAuthError]
) -> None:
    """Metadata is somebody else's text: what can't be an endpoint is an error, and is asked nothing."""
    issuer.document["token_endpoint"] = url
    with pytest.raises(error, match="token_endpoint") as caught:
        issuer.auth(plugin_mode).get_token()
    assert "secret-word" not in str(caught.value)
    assert [] == issuer.token_calls


def test_what_is_no_issuer_is_refused_at_once(plugin_mode: Mode) -> None:
    """A wrong issuer, or a wrong URL beside it, is known at construction."""
    make = plugin_mode.plugin.ClientCredentialsAuth.from_issuer
    for wrong in (None, "", "https://auth.example.com/?tenant=1", "https://me:secret-word@auth.example.com"):
        with pytest.raises(ConfigurationError, match="issuer") as caught:
            make(wrong, "client", "secret")
        assert "secret-word" not in str(caught.value)
    for name in ("token_url", "revocation_url"):
        with pytest.raises(ConfigurationError, match=name):
            make("https://auth.example.com", "client", "secret", **{name: "nowhere"})
        with pytest.raises(InsecureTransportError, match=name):
            make("https://auth.example.com", "client", "secret", **{name: "http://a.example/"})


def test_an_insecure_issuer_is_refused(plugin_mode: Mode) -> None:
    """Metadata that came over plain http could send secrets anywhere; only who allows it gets it."""
    make = plugin_mode.plugin.ClientCredentialsAuth.from_issuer
    with pytest.raises(InsecureTransportError, match="issuer"):
        make("http://auth.example.com", "client", "secret")
    make("http://auth.example.com", "client", "secret", allow_insecure_transport=True)
    make("http://127.0.0.1:1", "client", "secret")


# -- When it's asked for ----------------------------------------------------------------------------------------


def test_metadata_is_asked_for_once_and_late(issuer: Issuer, mode: Mode) -> None:
    """Not at construction, but in the first flight; then never again, however many callers and renewals there are."""
    auth = issuer.auth(mode)
    assert [] == issuer.server.requests
    with mode.client(auth) as http:
        answers = http.get_many(f"{issuer.server.url}/api", 30)
        assert 30 == len(answers)
    assert ([OAUTH], 1) == (issuer.asked, issuer.issued)
    mode.refresh(auth)
    mode.refresh(auth)
    assert ([OAUTH], 3) == (issuer.asked, issuer.issued)


@pytest.mark.each_plugin
def test_nothing_secret_is_sent_for_metadata(issuer: Issuer, plugin_mode: Mode) -> None:
    """The question is a plain GET: no credentials, no cookie, no body."""
    issuer.places[OAUTH] = lambda _: Answer(200, issuer.document, (("Set-Cookie", "a=b; Path=/"),))
    issuer.auth(plugin_mode).get_token()
    asked, called = issuer.server.requests
    assert ("GET", OAUTH, b"", "application/json") == (asked.method, asked.path, asked.body, asked.headers["accept"])
    assert {"authorization", "cookie", "content-type"}.isdisjoint(asked.headers)
    assert "cookie" not in called.headers


@pytest.mark.each_plugin
def test_no_redirect_is_followed(issuer: Issuer, plugin_mode: Mode, serve: Callable[..., ScriptedServer]) -> None:
    """Metadata comes from the issuer's own origin or not at all, even with a client that follows redirects."""
    elsewhere = serve(lambda _: Answer(200, issuer.document))
    for place in (OAUTH, OPENID):
        issuer.places[place] = Answer(302, b"", (("Location", f"{elsewhere.url}/"),))
    with plugin_mode.token_client() as client, pytest.raises(TokenResponseError, match="aren't followed"):
        issuer.auth(plugin_mode, token_client=client).get_token()
    assert [] == elsewhere.requests


@pytest.mark.parametrize("trouble", [Answer(503, b"", (("Retry-After", "1"),)), Answer(0)])
def test_trouble_that_passes_is_not_noticed(issuer: Issuer, plugin_mode: Mode, clock: Clock, trouble: Answer) -> None:
    """Metadata is asked for again like a token call: up to three times in all."""
    answers = iter([trouble, trouble, Answer(200, issuer.document)])
    issuer.places[OAUTH] = lambda _: next(answers)
    assert "token-1" == issuer.auth(plugin_mode).get_token().access_token
    assert 3 * [OAUTH] == issuer.asked


def test_a_failure_is_not_kept(issuer: Issuer, mode: Mode, clock: Clock) -> None:
    """What failed is asked for again by a later request, once the pause is over, and then kept."""
    issuer.places[OAUTH] = Answer(500)
    auth = issuer.auth(mode)
    with mode.client(auth) as http:
        with pytest.raises(TokenResponseError, match="500"):
            http.get(f"{issuer.server.url}/api")
        assert 3 == len(issuer.asked)
        issuer.places[OAUTH] = issuer.document
        clock.advance(120)
        http.get(f"{issuer.server.url}/api")
    assert ("token-1", 4) == (auth.token.access_token, len(issuer.asked))


def test_many_callers_share_a_failure(issuer: Issuer, mode: Mode, clock: Clock) -> None:
    """A server without metadata is asked once for all callers, and each gets an error of its own."""
    issuer.places = {}
    with mode.client(issuer.auth(mode)) as http:
        errors = http.get_many(f"{issuer.server.url}/api", 20)
    assert {TokenResponseError} == {type(error) for error in errors}
    assert 20 == len({id(error) for error in errors})
    assert [OAUTH, OPENID] == issuer.asked


@pytest.mark.each_plugin
def test_an_issuer_that_is_not_there(plugin_mode: Mode) -> None:
    """A refused connection is the library's own kind of error, and says where."""
    make = plugin_mode.plugin.ClientCredentialsAuth.from_issuer
    auth = make("http://127.0.0.1:1", "c", "secret-word", token_timeout=0.3)
    with pytest.raises(plugin_mode.transport_error) as caught:
        auth.get_token()
    assert isinstance(caught.value, TokenTransportError)
    assert f"http://127.0.0.1:1{OAUTH}" in str(caught.value)
    assert "secret-word" not in str(caught.value)


@pytest.mark.each_plugin
def test_an_issuer_that_is_slow(issuer: Issuer, plugin_mode: Mode) -> None:
    """An issuer that doesn't answer costs as long as a token call that isn't answered, and no longer."""
    hold = threading.Event()
    issuer.places[OAUTH] = lambda _: hold.wait(20) or Answer(200, issuer.document)
    try:
        error = promptly(issuer.auth(plugin_mode, token_timeout=0.4).get_token)
    finally:
        hold.set()
    assert isinstance(error, TokenTransportError)
    assert isinstance(error, plugin_mode.transport_error)


def test_a_stored_token_needs_no_metadata(issuer: Issuer, plugin_mode: Mode) -> None:
    """While the issuer is down, a token that is still good goes out, and nobody asks."""
    store = MemoryTokenStore()
    first = issuer.auth(plugin_mode, store=store)
    first.get_token()
    issuer.places = {OAUTH: Answer(500)}
    issuer.server.requests.clear()
    with plugin_mode.client(issuer.auth(plugin_mode, store=store)) as http:
        http.get(f"{issuer.server.url}/api")
    assert ["/api"] == [request.path for request in issuer.server.requests]


def test_a_token_outlives_trouble_with_the_issuer(issuer: Issuer, plugin_mode: Mode, clock: Clock) -> None:
    """A token in its last seconds is sent when the metadata for its renewal can't be had."""
    issuer.places = {}
    auth = issuer.auth(plugin_mode, token=token_that_expires_in(5))
    with plugin_mode.client(auth) as http:
        http.get(f"{issuer.server.url}/api")
    assert "Bearer given" == issuer.server.requests[-1].authorization


# -- What overrides it ------------------------------------------------------------------------------------------


def test_a_url_that_is_given_wins(issuer: Issuer, plugin_mode: Mode) -> None:
    """An explicit URL is used whatever the metadata says, or doesn't."""
    del issuer.document["token_endpoint"]
    issuer.document["revocation_endpoint"] = "not a URL"
    issuer.places["/own/revoke"] = Answer(200)
    base = issuer.server.url
    auth = issuer.auth(plugin_mode, token_url=f"{base}/own/token", revocation_url=f"{base}/own/revoke")
    auth.get_token()
    assert ["/own/token"] == [request.path for request in issuer.token_calls]
    auth.revoke()
    assert "/own/revoke" == issuer.server.requests[-1].path


@pytest.mark.parametrize(
    ("methods", "client_auth", "is_basic"),
    [(["client_secret_post"], None, False), (["client_secret_post"], ClientSecretBasic(), True)],
)
def test_the_client_authenticates_as_the_server_wants(
    issuer: Issuer, plugin_mode: Mode, methods: list[str], client_auth: Any, is_basic: bool
) -> None:
    """A server that takes the secret in the form alone gets it so, at the first call; who says how has his way."""
    issuer.document["token_endpoint_auth_methods_supported"] = methods
    auth = issuer.auth(plugin_mode, client_auth=client_auth)
    auth.get_token()
    (call,) = issuer.token_calls
    assert is_basic == (call.authorization is not None) == ("client_secret" not in call.form)


def test_a_public_client_stays_public(issuer: Issuer, plugin_mode: Mode) -> None:
    """Without a secret there's nothing to choose."""
    issuer.document["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    auth = plugin_mode.plugin.RefreshTokenAuth.from_issuer(issuer.url, "client", refresh_token="r")
    auth.get_token()
    assert {"grant_type", "refresh_token", "client_id"} == issuer.token_calls[0].form.keys()


# -- An object lives anywhere -----------------------------------------------------------------------------------


@pytest.mark.parametrize("asked_before", [False, True])
def test_copies_work(serve: Callable[..., ScriptedServer], plugin_mode: Mode, asked_before: bool) -> None:
    """A copy finds the server as the original does, and knows what the original had found out."""
    duplicates: list[Callable[[Any], Any]] = [copy.copy, copy.deepcopy, lambda auth: pickle.loads(pickle.dumps(auth))]
    for duplicate in duplicates:
        issuer = Issuer(serve)
        auth = issuer.auth(plugin_mode)
        if asked_before:
            auth.get_token()
        twin = duplicate(auth)
        assert f"token-{issuer.issued + 1}" == twin.refresh().access_token
        assert f"token-{issuer.issued + 1}" == auth.refresh().access_token
        assert len(issuer.asked) <= 2
        if asked_before:
            assert 1 == len(issuer.asked)


@pytest.mark.each_plugin
def test_a_deep_copy_shares_the_user_s_client(issuer: Issuer, plugin_mode: Mode) -> None:
    """The client that sends the calls can't be doubled: it's shared, as without an issuer."""
    lock = threading.Lock()
    with plugin_mode.token_client(hook=lambda _: lock.acquire(blocking=False)) as client:
        if plugin_mode.has_sync_client:
            client.unlike_others = lock
        twin = copy.deepcopy(issuer.auth(plugin_mode, token_client=client))
        assert "token-1" == twin.get_token().access_token
    assert lock.locked()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("asked_before", [False, True])
def test_a_forked_child_works(issuer: Issuer, plugin_mode: Mode, asked_before: bool) -> None:
    """A child finds the server by itself, or goes on with what its parent had found out."""
    auth = issuer.auth(plugin_mode)
    if asked_before:
        auth.get_token()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        token = outcome_of(auth.refresh)
        os.write(write, str(getattr(token, "access_token", token)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert f"token-{1 + asked_before}" == os.read(read, 1000).decode()
    os.close(read)
    os.close(write)
    assert 1 == len(issuer.asked)


def test_two_event_loops(issuer: Issuer) -> None:
    """Nothing that was found out is bound to the event loop in which it was."""
    auth = oauth_auth.httpx.ClientCredentialsAuth.from_issuer(issuer.url, "client", "secret")
    for backend in ("asyncio", "trio", "asyncio"):
        anyio.run(auth.arefresh, backend=backend)
    assert ([OAUTH], 3) == (issuer.asked, issuer.issued)


def test_each_class_has_it(plugin_mode: Mode) -> None:
    """Each class that calls a token endpoint can be made from an issuer alone; its repr shows no secret."""
    classes: list[tuple[str, dict[str, Any]]] = [
        ("AuthorizationCodeAuth", {}),
        ("AuthorizationCodeAuth", {"login": lambda begin: ""}),
        ("DeviceCodeAuth", {}),
        ("PasswordAuth", {"username": "alice", "password": "secret-word"}),
        ("RefreshTokenAuth", {"refresh_token": "secret-word"}),
    ]
    for name, options in classes:
        auth_class = getattr(plugin_mode.plugin, name)
        auth = auth_class.from_issuer("https://auth.example.com", "client", "secret-too", **options)
        assert type(auth) is auth_class
        assert "secret" not in repr(auth)
        with pytest.raises(ConfigurationError, match="bogus"):
            auth_class.from_issuer("https://auth.example.com", "c", **{**options, "bogus": 1})


def test_the_others_have_it_not(plugin_mode: Mode) -> None:
    """What calls no server has no issuer."""
    for name in ("TokenProviderAuth", "BearerAuth"):
        assert not hasattr(getattr(plugin_mode.plugin, name), "from_issuer")


def test_a_login_needs_an_endpoint(issuer: Issuer, plugin_mode: Mode) -> None:
    """A server without an authorization endpoint is an error that says what to pass, and nobody is asked to log in."""
    del issuer.document["authorization_endpoint"]
    asked: list[Any] = []
    auth = plugin_mode.plugin.AuthorizationCodeAuth.from_issuer(issuer.url, "client", login=asked.append)
    with pytest.raises(TokenResponseError, match="authorization_endpoint: pass authorization_url="):
        auth.get_token()
    assert [] == asked
