"""Guarantee 11: client authentication in the form that the server takes, found with one wrong attempt at most."""

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
    ClientSecretBasic,
    ClientSecretPost,
    MemoryTokenStore,
    OAuthProviderException,
    PublicClient,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
    basic_authorization,
)
from oauth_auth._wire.client_auth import ClientAuthParameters
from oauth_auth.testing import LocalProvider
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, token_that_expires_in

CLIENT_ID = "client id/é"
CLIENT_SECRET = "s3cr:et +%20/é&="

ENCODED = ClientSecretBasic()
PLAIN = ClientSecretBasic(encode=False)

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
FIRST = pytest.mark.parametrize("first", [ENCODED, PLAIN], ids=["encoded first", "plain first"])

Make = Callable[..., Any]


def name_of(way: ClientSecretBasic) -> str:
    return "encoded" if way.encode else "plain"


def other_than(form: str) -> str:
    return {"encoded": "plain", "plain": "encoded"}[form]


# -- The two forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client_id", "client_secret", "pair"),
    [
        ("client", "secret", "client:secret"),
        ("a b", "c d", "a%20b:c%20d"),
        ("a:b", "c:d", "a%3Ab:c%3Ad"),
        ("a/b", "c+d", "a%2Fb:c%2Bd"),
        ("100%", "&=?#", "100%25:%26%3D%3F%23"),
        ("é", "☃", "%C3%A9:%E2%98%83"),
        ("a-b._~", "A1", "a-b._~:A1"),
        ("client", "", "client:"),
    ],
)
def test_id_and_secret_are_form_encoded(client_id: str, client_secret: str, pair: str) -> None:
    """Id and secret are form-encoded, a space as %20, before they become Basic credentials (RFC 6749 §2.3.1)."""
    expected = "Basic " + base64.b64encode(pair.encode()).decode()
    assert expected == basic_authorization(client_id, client_secret)
    assert ClientAuthParameters(expected, {}) == ClientSecretBasic().authenticate(client_id, client_secret)


def test_without_encoding_they_stay_as_they_are() -> None:
    """`encode=False` sends id and secret in UTF-8, and nothing else is done to them."""
    assert ClientAuthParameters(basic(CLIENT_ID, CLIENT_SECRET), {}) == PLAIN.authenticate(CLIENT_ID, CLIENT_SECRET)


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


@pytest.mark.parametrize("way", [ClientSecretPost(), PublicClient()])
@pytest.mark.parametrize("refusal", [INVALID_CLIENT, Answer(400), Answer(401), Answer(403)])
def test_other_ways_have_one_form(
    plugin_mode: Mode, tokens: Tokens, *, way: ClientSecretPost | PublicClient, refusal: Answer
) -> None:
    """Where the server refuses a client that doesn't use Basic, nothing else is tried."""
    tokens.answer = lambda _: refusal
    secret = CLIENT_SECRET if isinstance(way, ClientSecretPost) else None
    auth = plugin_mode.plugin.ClientCredentialsAuth(tokens.url, CLIENT_ID, secret, client_auth=way)
    with pytest.raises(TokenError):
        auth.get_token()
    assert 1 == tokens.calls


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
@FIRST
def test_the_other_form_is_tried_once(mode: Mode, endpoint: Endpoint, make: Make, first: ClientSecretBasic) -> None:
    """Where the server refuses the first form, the same call is made in the other; else there is one call."""
    auth = make(mode, endpoint.url, client_auth=first)
    assert "token-1" == mode.get_token(auth).access_token
    expected = [endpoint.takes] if name_of(first) == endpoint.takes else [name_of(first), endpoint.takes]
    assert expected == endpoint.forms
    for field in ("code", "refresh_token", "grant_type", "username"):
        assert 1 == len(set(endpoint.sent(field)))


@GRANTS
@FIRST
def test_the_form_that_works_is_remembered_in_the_object(
    plugin_mode: Mode, endpoint: Endpoint, make: Make, first: ClientSecretBasic
) -> None:
    """Later calls of the same object, by whatever grant, use the form that worked."""
    auth = make(plugin_mode, endpoint.url, client_auth=first)
    auth.get_token()
    auth.refresh()
    auth.refresh()
    assert [endpoint.takes] * 2 == endpoint.forms[-2:]
    assert 2 + (1 if name_of(first) == endpoint.takes else 2) == len(endpoint.forms)


@GRANTS
@FIRST
def test_the_form_that_works_is_remembered_with_the_stored_token(
    plugin_mode: Mode, endpoint: Endpoint, make: Make, first: ClientSecretBasic
) -> None:
    """A program that is started again with the same store begins with the form that worked before."""
    store = MemoryTokenStore()
    make(plugin_mode, endpoint.url, client_auth=first, store=store).get_token()
    before = len(endpoint.forms)
    for _ in range(2):
        make(plugin_mode, endpoint.url, client_auth=first, store=store).refresh()
    assert [endpoint.takes] * 2 == endpoint.forms[before:]


@FIRST
@pytest.mark.parametrize("double", [lambda auth: pickle.loads(pickle.dumps(auth)), copy.deepcopy, copy.copy])
def test_the_form_that_works_is_remembered_across_copies(
    plugin_mode: Mode, endpoint: Endpoint, first: ClientSecretBasic, double: Callable[[Any], Any]
) -> None:
    """A copy of an object, pickled ones included, knows the form that works."""
    auth = client_credentials(plugin_mode, endpoint.url, client_auth=first)
    auth.get_token()
    before = len(endpoint.forms)
    double(auth).refresh()
    assert [endpoint.takes] == endpoint.forms[before:]


@pytest.mark.parametrize("stored", [False, True])
@FIRST
def test_a_remembered_form_is_never_second_guessed(
    plugin_mode: Mode, endpoint: Endpoint, first: ClientSecretBasic, stored: bool
) -> None:
    """When the server refuses the client in the form that had worked, the other isn't tried: the secret is wrong."""
    store = MemoryTokenStore()
    auth = refresh_token(plugin_mode, endpoint.url, client_auth=first, store=store)
    auth.get_token()
    if stored:
        auth = refresh_token(plugin_mode, endpoint.url, client_auth=first, store=store)
    before, works, endpoint.takes = len(endpoint.forms), endpoint.takes, "nothing"
    for _ in range(3):
        with pytest.raises(OAuthProviderException):
            auth.refresh()
    assert [works] * 3 == endpoint.forms[before:]
    endpoint.takes = works
    assert auth.refresh().access_token.startswith("token-")


# -- What refuses the client ----------------------------------------------------------------------------------------

REFUSES = {
    "400 invalid_client": Answer(400, {"error": "invalid_client"}),
    "401 invalid_client": Answer(401, {"error": "invalid_client"}),
    "403 invalid_client": Answer(403, {"error": "invalid_client"}),
    "200 invalid_client": Answer(200, {"error": "invalid_client"}),
    "400 unauthorized_client": Answer(400, {"error": "unauthorized_client"}),
    "401 unauthorized_client": Answer(401, {"error": "unauthorized_client"}),
    "403 unauthorized_client": Answer(403, {"error": "unauthorized_client"}),
    "400 empty": Answer(400),
    "401 empty": Answer(401),
    "403 empty": Answer(403),
    "401 HTML": Answer(401, b"<html>Unauthorized</html>", (("Content-Type", "text/html"),)),
    "401 other JSON": Answer(401, {"message": "who?"}),
    "401 error that is no text": Answer(401, {"error": {"code": 401}}),
    "401 that is cut off": Answer(401, b'{"er', (("Content-Length", "90"), ("Connection", "close"))),
}
DOES_NOT = {
    "400 invalid_grant": Answer(400, {"error": "invalid_grant"}),
    "401 invalid_grant": Answer(401, {"error": "invalid_grant"}),
    "400 invalid_request": Answer(400, {"error": "invalid_request"}),
    "400 invalid_scope": Answer(400, {"error": "invalid_scope"}),
    "403 access_denied": Answer(403, {"error": "access_denied"}),
    "404 empty": Answer(404),
    "405 empty": Answer(405),
    "200 HTML": Answer(200, b"<html>"),
    "302": Answer(302, b"", (("Location", "/login"),)),
    "429": Answer(429, b"", (("Retry-After", "60"),)),
    "500": Answer(500, b"", (("Retry-After", "60"),)),
    "503": Answer(503, b"", (("Retry-After", "60"),)),
}


@pytest.mark.parametrize("refusal", REFUSES)
@FIRST
def test_refusals_of_the_client_lead_to_the_other_form(
    plugin_mode: Mode, any_endpoint: Endpoint, *, first: ClientSecretBasic, refusal: str
) -> None:
    """`invalid_client`, `unauthorized_client`, and 400, 401, 403 without a readable error refuse the client."""
    any_endpoint.takes, any_endpoint.refusal = other_than(name_of(first)), REFUSES[refusal]
    assert "token-1" == code(plugin_mode, any_endpoint.url, client_auth=first).get_token().access_token
    assert [name_of(first), any_endpoint.takes] == any_endpoint.forms


@pytest.mark.parametrize("refusal", DOES_NOT)
@FIRST
def test_other_refusals_lead_to_no_other_form(
    plugin_mode: Mode, any_endpoint: Endpoint, *, first: ClientSecretBasic, refusal: str
) -> None:
    """Nothing else refuses the client, and a code isn't sent again in the other form."""
    any_endpoint.takes, any_endpoint.refusal = "nothing", DOES_NOT[refusal]
    with pytest.raises(TokenError):
        code(plugin_mode, any_endpoint.url, client_auth=first).get_token()
    assert [name_of(first)] == any_endpoint.forms


@pytest.mark.parametrize("refusal", REFUSES)
def test_a_plain_secret_that_is_refused_is_sent_once(plugin_mode: Mode, tokens: Tokens, refusal: str) -> None:
    """A secret that is the same in both forms is sent once, whatever the refusal, and by no later request either."""
    tokens.answer = lambda _: REFUSES[refusal]
    auth = code(with_client(plugin_mode, "client", "wr0ng-secret_.~"), tokens.url)
    for _ in range(3):
        with pytest.raises(TokenError):
            auth.get_token()
    assert 1 == tokens.calls


@pytest.mark.parametrize(("client_id", "secret"), [("client", "wr0ng-secret_.~"), ("a:b", "wr0ng"), ("a:b", "wr0 ng")])
@GRANTS
def test_a_wrong_plain_secret_is_sent_once(
    plugin_mode: Mode, tokens: Tokens, *, make: Make, client_id: str, secret: str
) -> None:
    """A secret that is the same in both forms, or has one form only, is sent once, by each grant."""
    tokens.answer = lambda _: INVALID_CLIENT
    auth = make(with_client(plugin_mode, client_id, secret), tokens.url)
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


@FIRST
@GRANTS
def test_a_wrong_secret_is_sent_once_in_each_form(
    plugin_mode: Mode, any_endpoint: Endpoint, make: Make, first: ClientSecretBasic
) -> None:
    """A wrong secret that differs in the two forms is sent once in each, and the first refusal is what's raised."""
    any_endpoint.takes = "nothing"
    any_endpoint.tokens.answer = lambda request: Answer(
        401, {"error": "invalid_client", "error_description": form_of(request)}
    )
    auth = make(plugin_mode, any_endpoint.url, client_auth=first)
    with pytest.raises(OAuthProviderException) as caught:
        auth.get_token()
    assert (401, name_of(first)) == (caught.value.status_code, caught.value.error_description)
    assert [name_of(first), other_than(name_of(first))] == any_endpoint.forms
    with pytest.raises(TokenError):
        auth.get_token()
    assert 2 == any_endpoint.tokens.calls


@FIRST
def test_another_refusal_of_the_other_form_proves_it(
    plugin_mode: Mode, any_endpoint: Endpoint, first: ClientSecretBasic
) -> None:
    """If the other form is refused for another reason, the client is known: that's raised, and the form kept."""
    any_endpoint.takes = other_than(name_of(first))
    any_endpoint.then = lambda _: Answer(400, {"error": "invalid_scope"})
    auth = client_credentials(plugin_mode, any_endpoint.url, client_auth=first)
    with pytest.raises(OAuthProviderException, match="invalid_scope"):
        auth.get_token()
    any_endpoint.then = lambda _: None
    auth.refresh()
    assert [name_of(first), any_endpoint.takes, any_endpoint.takes] == any_endpoint.forms


@FIRST
def test_a_dead_refresh_token_is_found_with_the_right_form(
    mode: Mode, endpoint: Endpoint, first: ClientSecretBasic
) -> None:
    """A stored refresh token that's dead: found out with one wrong attempt at most, then the password."""

    def then(request: Received) -> Answer | None:
        return Answer(400, {"error": "invalid_grant"}) if "refresh_token" in request.form else None

    endpoint.then = then
    store = MemoryTokenStore()
    store.save("k", token_that_expires_in(-1, refresh_token="dead"))
    auth = password(mode, endpoint.url, client_auth=first, store=store, store_key="k")
    assert "token-1" == mode.get_token(auth).access_token
    guess = [] if endpoint.takes == name_of(first) else [name_of(first)]
    assert [*guess, endpoint.takes, endpoint.takes] == endpoint.forms
    assert ["refresh_token"] * (1 + len(guess)) + ["password"] == endpoint.sent("grant_type")


@pytest.mark.parametrize("way", [ENCODED, PLAIN])
def test_a_refusal_without_words_ends_a_refresh_token_after_both_forms(
    plugin_mode: Mode, tokens: Tokens, way: ClientSecretBasic
) -> None:
    """400 without a readable error may mean the client or the refresh token: after both forms it's the token."""
    tokens.answer = lambda _: Answer(400)
    auth = refresh_token(plugin_mode, tokens.url, client_auth=way)
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
    auth = code(plugin_mode, any_endpoint.url, client_auth=ENCODED)
    with pytest.raises(TokenResponseError):
        auth.get_token()
    for _ in range(2):
        with pytest.raises(ReauthorizationRequired):
            auth.refresh()
    assert ["encoded", "plain"] == any_endpoint.forms


def test_a_family_that_ends_at_a_wrong_authentication_survives(mode: Mode, endpoint: Endpoint) -> None:
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
    auth = code(mode, endpoint.url, store=store)
    auth.get_token()
    mode.refresh(auth)
    mode.refresh(code(mode, endpoint.url, store=store))
    mode.refresh(pickle.loads(pickle.dumps(auth)))
    assert not ended


def test_a_real_server_takes_the_encoded_form(mode: Mode) -> None:
    """A real server that decodes, with an id and a secret that need it: one call."""
    with LocalProvider(client_id="local client+%41", client_secret="correct horse/+%42") as provider:
        auth = mode.plugin.ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)
        with mode.client(auth) as client:
            assert 200 == client.get(provider.api_url).status_code
        assert 1 == len(provider.token_requests)


def test_the_other_form_is_found_while_a_request_waits(mode: Mode, endpoint: Endpoint, api: ScriptedServer) -> None:
    """A request goes through whichever form the server takes."""
    with mode.client(client_credentials(mode, endpoint.url)) as client:
        assert [200] * 5 == [response.status_code for response in client.get_many(api.url, 5)]
    assert 1 == endpoint.forms.count(endpoint.takes)


def test_what_is_shown_of_the_ways_holds_no_secret() -> None:
    """The ways of client authentication are plain values: equal if the same, and they hold no secret."""
    assert ClientSecretBasic() == ClientSecretBasic(encode=True) != PLAIN
    assert [
        "ClientSecretBasic(encode=True)",
        "ClientSecretPost()",
        "PublicClient()",
    ] == [repr(way) for way in (ClientSecretBasic(), ClientSecretPost(), PublicClient())]


def test_ways_are_equal_by_their_fields() -> None:
    """What a way shows of itself doesn't make it equal to another one, nor different."""

    class Quiet(ClientSecretBasic):
        def __repr__(self) -> str:
            return f"Quiet at {id(self)}"

    assert Quiet() == Quiet() != Quiet(encode=False)
    assert 2 == len({Quiet(), Quiet(), Quiet(encode=False)})
    assert Quiet() != ClientSecretBasic()
