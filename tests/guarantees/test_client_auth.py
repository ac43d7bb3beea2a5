"""Guarantee 11: client authentication in the form that the server takes, found with one wrong attempt at most.

The forms, which refusals lead to the other one, and what is remembered are tables in tests/units/test_client_auth.py;
here it's shown that each grant of each plug-in goes by them.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from oauth_auth import (
    ClientSecretPost,
    MemoryTokenStore,
    OAuthProviderException,
    ReauthorizationRequired,
    TokenResponseError,
)
from oauth_auth._wire.client_auth import ClientAuthParameters
from oauth_auth.testing import LocalProvider
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, token_that_expires_in

pytestmark = pytest.mark.shared_core

CLIENT_ID = "client id/é"
CLIENT_SECRET = "s3cr:et +%20/é&="

INVALID_CLIENT = Answer(401, {"error": "invalid_client"})


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def form_of(request: Received) -> str:
    """Tell in which of the two forms a request's Basic credentials are, if they are the client's at all."""
    if request.authorization == basic(CLIENT_ID, CLIENT_SECRET):
        return "plain"
    kind, _, value = (request.authorization or "").partition(" ")
    user, _, password = base64.b64decode(value).decode().partition(":")
    if (kind, unquote(user), unquote(password)) == ("Basic", CLIENT_ID, CLIENT_SECRET):
        return "encoded"
    return "wrong"


class Endpoint:
    """A token endpoint that takes one form, of those that there are; it answers others with `refusal`."""

    def __init__(self, tokens: Tokens, takes: str) -> None:
        self.takes = takes
        self.refusal = INVALID_CLIENT
        self.then: Callable[[Received], Answer | None] = lambda _: None
        """What else to answer, when the client is known."""
        self.tokens = tokens
        self.url = tokens.url
        tokens.fields["refresh_token"] = "refresh-1"
        tokens.answer = lambda request: self.then(request) if form_of(request) == self.takes else self.refusal

    @property
    def forms(self) -> list[str]:
        return [form_of(request) for request in self.tokens.server.requests]

    def sent(self, field: str) -> list[str | None]:
        return [request.form.get(field, [None])[0] for request in self.tokens.server.requests]


@pytest.fixture
def any_endpoint(tokens: Tokens) -> Endpoint:
    """An endpoint whose form the test sets itself."""
    return Endpoint(tokens, "nothing")


@pytest.fixture(params=["encoded", "plain"], ids=["a server that decodes", "a server that doesn't"])
def endpoint(request: pytest.FixtureRequest, tokens: Tokens) -> Endpoint:
    return Endpoint(tokens, request.param)


def client_credentials(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.ClientCredentialsAuth(url, CLIENT_ID, CLIENT_SECRET, **options)


def password(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.PasswordAuth(url, CLIENT_ID, CLIENT_SECRET, username="alice", password="pass-word", **options)


def refresh_token(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.RefreshTokenAuth(url, CLIENT_ID, CLIENT_SECRET, refresh_token="refresh-0", **options)


def code(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.AuthorizationCodeAuth(
        url, CLIENT_ID, CLIENT_SECRET, code="the-code", redirect_uri="https://app.example/cb", **options
    )


GRANTS = pytest.mark.parametrize("make", [client_credentials, password, refresh_token, code])

Make = Callable[..., Any]


# -- What is sent ---------------------------------------------------------------------------------------------------


def test_the_default_is_basic_with_a_secret_and_public_without(plugin_mode: Mode, tokens: Tokens) -> None:
    """A client with a secret uses Basic, one without sends its id alone."""
    plugin_mode.plugin.ClientCredentialsAuth(tokens.url, "client", "secret").get_token()
    plugin_mode.plugin.ClientCredentialsAuth(tokens.url, "client").get_token()
    with_secret, without = tokens.server.requests
    assert (basic("client", "secret"), {"grant_type"}) == (with_secret.authorization, set(with_secret.form))
    assert (None, ["client"], {"grant_type", "client_id"}) == (
        without.authorization,
        without.form["client_id"],
        set(without.form),
    )


@GRANTS
def test_post_sends_both_as_fields(plugin_mode: Mode, tokens: Tokens, make: Make) -> None:
    """`ClientSecretPost` sends id and secret in the form, and no header."""
    make(plugin_mode, tokens.url, client_auth=ClientSecretPost()).get_token()
    [request] = tokens.server.requests
    assert (None, [CLIENT_ID], [CLIENT_SECRET]) == (
        request.authorization,
        request.form["client_id"],
        request.form["client_secret"],
    )


def test_a_way_of_ones_own_is_used_as_it_is(plugin_mode: Mode, tokens: Tokens) -> None:
    """An object of the user's with `authenticate` is asked for the header and the fields of each call."""

    class Own:
        def authenticate(self, client_id: str, client_secret: str | None) -> ClientAuthParameters:
            return ClientAuthParameters("Own x", {"client": f"{client_id} {client_secret}"})

    tokens.answer = lambda _: INVALID_CLIENT
    auth = plugin_mode.plugin.ClientCredentialsAuth(tokens.url, "client", "secret", client_auth=Own())
    with pytest.raises(OAuthProviderException):
        auth.get_token()
    [request] = tokens.server.requests
    assert ("Own x", ["client secret"]) == (request.authorization, request.form["client"])


# -- Finding the form that works ------------------------------------------------------------------------------------


@GRANTS
def test_the_other_form_is_tried_once(plugin_mode: Mode, endpoint: Endpoint, make: Make) -> None:
    """Where the server refuses the first form, the same call is made in the other; else there is one call."""
    assert "token-1" == make(plugin_mode, endpoint.url).get_token().access_token
    assert (["encoded"] if endpoint.takes == "encoded" else ["encoded", "plain"]) == endpoint.forms
    for field in ("code", "refresh_token", "grant_type", "username"):
        assert 1 == len(set(endpoint.sent(field)))


def test_the_form_that_works_is_remembered_in_the_object(plugin_mode: Mode, endpoint: Endpoint) -> None:
    """Later calls of the same object, by whatever grant, use the form that worked."""
    auth = password(plugin_mode, endpoint.url)
    auth.get_token()
    auth.refresh()
    auth.refresh()
    assert [endpoint.takes] * 2 == endpoint.forms[-2:]
    assert 2 + (1 if endpoint.takes == "encoded" else 2) == len(endpoint.forms)


@GRANTS
def test_the_form_that_works_is_remembered_with_the_stored_token(
    plugin_mode: Mode, any_endpoint: Endpoint, make: Make
) -> None:
    """A program that is started again with the same store begins with the form that worked before."""
    store, any_endpoint.takes = MemoryTokenStore(), "plain"
    make(plugin_mode, any_endpoint.url, store=store).get_token()
    for _ in range(2):
        make(plugin_mode, any_endpoint.url, store=store).refresh()
    assert ["encoded", "plain", "plain", "plain"] == any_endpoint.forms


@pytest.mark.parametrize("double", [lambda auth: pickle.loads(pickle.dumps(auth)), copy.deepcopy, copy.copy])
def test_the_form_that_works_is_remembered_across_copies(
    plugin_mode: Mode, any_endpoint: Endpoint, double: Callable[[Any], Any]
) -> None:
    """A copy of an object, pickled ones included, knows the form that works."""
    any_endpoint.takes = "plain"
    auth = client_credentials(plugin_mode, any_endpoint.url)
    auth.get_token()
    double(auth).refresh()
    assert ["encoded", "plain", "plain"] == any_endpoint.forms


# -- What refuses the client ----------------------------------------------------------------------------------------

REFUSES = {
    "401 invalid_client": INVALID_CLIENT,
    "400 empty": Answer(400),
    "401 HTML": Answer(401, b"<html>Unauthorized</html>", (("Content-Type", "text/html"),)),
    "401 that is cut off": Answer(401, b'{"er', (("Content-Length", "90"), ("Connection", "close"))),
}


@pytest.mark.parametrize("refusal", REFUSES)
def test_refusals_of_the_client_lead_to_the_other_form(plugin_mode: Mode, any_endpoint: Endpoint, refusal: str) -> None:
    """An error of the protocol, an answer without one, and one that's cut off may all refuse the client."""
    any_endpoint.takes, any_endpoint.refusal = "plain", REFUSES[refusal]
    assert "token-1" == code(plugin_mode, any_endpoint.url).get_token().access_token
    assert ["encoded", "plain"] == any_endpoint.forms


@GRANTS
def test_a_wrong_plain_secret_is_sent_once(plugin_mode: Mode, tokens: Tokens, make: Make) -> None:
    """A secret that is the same in both forms is sent once, by each grant, and by no later request either."""
    tokens.answer = lambda _: INVALID_CLIENT
    auth = make(with_client(plugin_mode, "client", "wr0ng-secret_.~"), tokens.url)
    for _ in range(3):
        with pytest.raises(OAuthProviderException, match="invalid_client"):
            auth.get_token()
    assert 1 == tokens.calls


def with_client(mode: Mode, client_id: str, secret: str) -> Mode:
    """Return the mode with auth classes that are all of this client, whatever their arguments say."""

    class Plugin:
        def __getattr__(self, name: str) -> Any:
            cls = getattr(mode.plugin, name)
            return lambda url, _id, _secret, **options: cls(url, client_id, secret, **options)

    return dataclasses.replace(mode, plugin=Plugin())


@GRANTS
def test_a_wrong_secret_is_sent_once_in_each_form(plugin_mode: Mode, any_endpoint: Endpoint, make: Make) -> None:
    """A wrong secret that differs in the two forms is sent once in each, and the first refusal is what's raised."""
    any_endpoint.takes = "nothing"
    any_endpoint.tokens.answer = lambda request: Answer(
        401, {"error": "invalid_client", "error_description": form_of(request)}
    )
    auth = make(plugin_mode, any_endpoint.url)
    for _ in range(2):
        with pytest.raises(OAuthProviderException) as caught:
            auth.get_token()
        assert (401, "encoded") == (caught.value.status_code, caught.value.error_description)
    assert ["encoded", "plain"] == any_endpoint.forms


def test_a_dead_refresh_token_is_found_with_the_right_form(plugin_mode: Mode, endpoint: Endpoint) -> None:
    """A stored refresh token that's dead: found out with one wrong attempt at most, then the password."""

    def then(request: Received) -> Answer | None:
        return Answer(400, {"error": "invalid_grant"}) if "refresh_token" in request.form else None

    endpoint.then = then
    store = MemoryTokenStore()
    store.save("k", token_that_expires_in(-1, refresh_token="dead"))
    auth = password(plugin_mode, endpoint.url, store=store, store_key="k")
    assert "token-1" == auth.get_token().access_token
    guess = [] if endpoint.takes == "encoded" else ["encoded"]
    assert [*guess, endpoint.takes, endpoint.takes] == endpoint.forms
    assert ["refresh_token"] * (1 + len(guess)) + ["password"] == endpoint.sent("grant_type")


def test_a_refusal_without_words_ends_a_refresh_token_after_both_forms(plugin_mode: Mode, tokens: Tokens) -> None:
    """400 without a readable error may mean the client or the refresh token: after both forms it's the token."""
    tokens.answer = lambda _: Answer(400)
    auth = refresh_token(plugin_mode, tokens.url)
    with pytest.raises(ReauthorizationRequired):
        auth.get_token()
    with pytest.raises(ReauthorizationRequired):
        auth.refresh()
    assert 2 == tokens.calls


def test_a_remembered_form_takes_such_a_refusal_at_its_word(plugin_mode: Mode, endpoint: Endpoint) -> None:
    """With the form known, 400 without a readable error means the refresh token: it's sent once."""
    auth = password(plugin_mode, endpoint.url)
    auth.get_token()
    before = len(endpoint.forms)
    endpoint.then = lambda request: Answer(400) if "refresh_token" in request.form else None
    auth.refresh()
    assert [endpoint.takes] * 2 == endpoint.forms[before:]
    assert ["refresh_token", "password"] == endpoint.sent("grant_type")[before:]


def test_a_code_is_not_sent_a_third_time(plugin_mode: Mode, any_endpoint: Endpoint) -> None:
    """A code goes out once in each form, and not again after the other form's answer, be it a passing trouble."""
    any_endpoint.takes = "plain"
    any_endpoint.then = lambda _: Answer(503, b"", (("Retry-After", "0"),))
    auth = code(plugin_mode, any_endpoint.url)
    with pytest.raises(TokenResponseError):
        auth.get_token()
    for _ in range(2):
        with pytest.raises(ReauthorizationRequired):
            auth.refresh()
    assert ["encoded", "plain"] == any_endpoint.forms


def test_a_family_that_ends_at_a_wrong_authentication_survives(plugin_mode: Mode, endpoint: Endpoint) -> None:
    """At a server that ends the refresh token at one wrong client authentication, no renewal does one."""
    ended = False

    def answer(request: Received) -> Answer | None:
        nonlocal ended
        if form_of(request) != endpoint.takes:
            ended = ended or "refresh_token" in request.form
            return INVALID_CLIENT
        return Answer(400, {"error": "invalid_grant"}) if ended and "refresh_token" in request.form else None

    endpoint.tokens.answer = answer
    store = MemoryTokenStore()
    auth = code(plugin_mode, endpoint.url, store=store)
    auth.get_token()
    auth.refresh()
    code(plugin_mode, endpoint.url, store=store).refresh()
    pickle.loads(pickle.dumps(auth)).refresh()
    assert not ended


def test_a_real_server_takes_the_encoded_form(plugin_mode: Mode) -> None:
    """A real server that decodes, with an id and a secret that need it: one call."""
    with LocalProvider(client_id="local client+%41", client_secret="correct horse/+%42") as provider:
        auth = plugin_mode.plugin.ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)
        with plugin_mode.client(auth) as client:
            assert 200 == client.get(provider.api_url).status_code
        assert 1 == len(provider.token_requests)


def test_the_other_form_is_found_while_a_request_waits(
    plugin_mode: Mode, endpoint: Endpoint, api: ScriptedServer
) -> None:
    """A request goes through whichever form the server takes."""
    with plugin_mode.client(client_credentials(plugin_mode, endpoint.url)) as client:
        assert [200] * 5 == [response.status_code for response in client.get_many(api.url, 5)]
    assert 1 == endpoint.forms.count(endpoint.takes)
