"""Client authentication: its forms, and the client that finds out which one its server takes."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from oauth_auth import (
    ClientSecretBasic,
    ClientSecretPost,
    ConfigurationError,
    OAuthProviderException,
    PublicClient,
    TokenError,
    TokenResponseError,
    TokenTransportError,
    basic_authorization,
)
from oauth_auth._server.calls import Steps
from oauth_auth._server.client import Client, refuses_client
from oauth_auth._wire.client_auth import ClientAuthentication, ClientAuthParameters
from oauth_auth._wire.messages import TokenResponse, read_token_response
from oauth_auth._wire.token_request import build_token_request
from tests.support.steps import TOKEN_URL, Script, answer, play, token_calls

CLIENT_ID, CLIENT_SECRET = "client id/é", "s3cr:et +%20/é&="
ENCODED, PLAIN = ClientSecretBasic(), ClientSecretBasic(encode=False)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


# -- The forms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client_id", "client_secret", "pair"),
    [
        ("client", "secret", "client:secret"),
        ("a b", "c d", "a%20b:c%20d"),
        ("a:b", "c:d", "a%3Ab:c%3Ad"),
        ("a/b", "c+d/e", "a%2Fb:c%2Bd%2Fe"),
        ("100%", "&=?#", "100%25:%26%3D%3F%23"),
        ("é", "☃", "%C3%A9:%E2%98%83"),
        ("a-b._~", "A1", "a-b._~:A1"),
        ("client", "", "client:"),
    ],
)
def test_id_and_secret_are_form_encoded(client_id: str, client_secret: str, pair: str) -> None:
    """Id and secret are form-encoded, a space as %20, before they become Basic credentials (RFC 6749 section 2.3.1)."""
    expected = "Basic " + base64.b64encode(pair.encode()).decode()
    assert expected == basic_authorization(client_id, client_secret)
    assert ClientAuthParameters(expected, {}) == ENCODED.authenticate(client_id, client_secret)


def test_without_encoding_they_stay_as_they_are() -> None:
    """`encode=False` sends id and secret in UTF-8, and nothing else is done to them."""
    assert ClientAuthParameters(basic(CLIENT_ID, CLIENT_SECRET), {}) == PLAIN.authenticate(CLIENT_ID, CLIENT_SECRET)


def test_other_ways_send_fields() -> None:
    """`ClientSecretPost` sends id and secret in the form, `PublicClient` the id alone."""
    fields = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    assert ClientAuthParameters(None, fields) == ClientSecretPost().authenticate(CLIENT_ID, CLIENT_SECRET)
    assert ClientAuthParameters(None, {"client_id": CLIENT_ID}) == PublicClient().authenticate(CLIENT_ID, None)


@pytest.mark.parametrize(
    ("way", "client_id", "client_secret", "text"),
    [
        (ENCODED, "client", None, "ClientSecretBasic needs a client_secret"),
        (ENCODED, "", "secret", "client_id is empty"),
        (PLAIN, "client", None, "ClientSecretBasic needs a client_secret"),
        (PLAIN, "a:b", "secret", "colon"),
        (ClientSecretPost(), "client", None, "ClientSecretPost needs a client_secret"),
        (PublicClient(), "client", "secret", "PublicClient sends no client_secret"),
    ],
)
def test_what_a_way_cannot_send_is_refused(
    way: ClientAuthentication, client_id: str, client_secret: str | None, text: str
) -> None:
    """A way that needs a secret, or would leave one unsent, is a `ConfigurationError` that says what to write."""
    with pytest.raises(ConfigurationError, match=text):
        way.authenticate(client_id, client_secret)


@pytest.mark.parametrize(("client_id", "client_secret"), [(5, "secret"), ("client", 5), (None, "x"), ("x", b"y")])
def test_basic_credentials_are_text(client_id: Any, client_secret: Any) -> None:
    """Id and secret of any other type are refused."""
    with pytest.raises(ConfigurationError, match="must be text"):
        basic_authorization(client_id, client_secret)


def test_ways_are_plain_values() -> None:
    """The ways of client authentication are equal if the same, and hold no secret."""
    assert ClientSecretBasic() == ClientSecretBasic(encode=True) != PLAIN
    assert 4 == len({ENCODED, PLAIN, ClientSecretBasic(), ClientSecretPost(), PublicClient()})
    assert ["ClientSecretBasic(encode=True)", "ClientSecretPost()", "PublicClient()"] == [
        repr(way) for way in (ENCODED, ClientSecretPost(), PublicClient())
    ]
    assert "ClientAuthParameters(…)" == repr(ENCODED.authenticate(CLIENT_ID, CLIENT_SECRET))


def test_ways_are_equal_by_their_fields() -> None:
    """What a way shows of itself doesn't make it equal to another one, nor different."""

    class Quiet(ClientSecretBasic):
        def __repr__(self) -> str:
            return f"Quiet at {id(self)}"

    assert Quiet() == Quiet() != Quiet(encode=False)
    assert 2 == len({Quiet(), Quiet(), Quiet(encode=False)})
    assert Quiet() != ClientSecretBasic()


# -- Which refusals are the client's --------------------------------------------------------------------------------

REFUSES: dict[str, TokenResponse] = {
    **{
        f"{status} {error}": answer(status, {"error": error})
        for status in (200, 400, 401, 403, 500)
        for error in ("invalid_client", "unauthorized_client")
    },
    **{f"{status} empty": answer(status) for status in (400, 401, 403)},
    "401 HTML": answer(401, b"<html>Unauthorized</html>", content_type="text/html"),
    "401 other JSON": answer(401, {"message": "who?"}),
    "401 error that is no text": answer(401, {"error": {"code": 401}}),
}
DOES_NOT: dict[str, TokenResponse] = {
    "400 invalid_grant": answer(400, {"error": "invalid_grant"}),
    "401 invalid_grant": answer(401, {"error": "invalid_grant"}),
    "400 invalid_request": answer(400, {"error": "invalid_request"}),
    "400 invalid_scope": answer(400, {"error": "invalid_scope"}),
    "403 access_denied": answer(403, {"error": "access_denied"}),
    **{f"{status} empty": answer(status) for status in (402, 404, 405, 429, 500, 503)},
    "200 HTML": answer(200, b"<html>"),
    "302": answer(302, location="/login"),
}
REQUEST = build_token_request(TOKEN_URL, None, {})


def error_of(response: TokenResponse) -> TokenError:
    with pytest.raises(TokenError) as caught:
        read_token_response(REQUEST, response)
    return caught.value


@pytest.mark.parametrize("name", [*REFUSES, *DOES_NOT])
def test_what_refuses_the_client(name: str) -> None:
    """`invalid_client`, `unauthorized_client`, and 400, 401, 403 without a readable error refuse the client."""
    assert (name in REFUSES) is refuses_client(error_of({**REFUSES, **DOES_NOT}[name]))


def test_who_did_not_answer_refused_nothing() -> None:
    """A server that couldn't be reached has said nothing of the client."""
    assert not refuses_client(TokenTransportError("no"))


# -- The client that finds out --------------------------------------------------------------------------------------

TOKEN = answer(200, {"access_token": "good"})
INVALID_CLIENT = answer(401, {"error": "invalid_client"})


def client_of(
    client_id: str = CLIENT_ID,
    client_secret: str | None = CLIENT_SECRET,
    method: ClientAuthentication | None = None,
    issuer: str | None = None,
) -> Client:
    return token_calls(client_id=client_id, client_secret=client_secret, method=method, issuer=issuer).client


class Server:
    """Answers calls: with a token, or what else is set, if the client comes in the form that it takes."""

    def __init__(self, takes: str, refusal: Any = INVALID_CLIENT) -> None:
        self.takes = takes
        self.refusal = refusal
        self.then: Any = TOKEN
        self.forms: list[str] = []

    def send(self, client: ClientAuthParameters) -> Steps[Any]:
        """Be what a grant calls the client with."""
        self.forms.append(form_of(client))
        response = self.then if self.forms[-1] == self.takes else self.refusal
        yield from ()
        if isinstance(response, BaseException):
            raise response
        return read_token_response(REQUEST, response)

    def call(self, client: Client) -> Any:
        return play(client.call(self.send), Script())


def form_of(sent: ClientAuthParameters) -> str:
    if sent.authorization is None:
        return " ".join(sent.fields)
    kind, _, value = sent.authorization.partition(" ")
    user, _, password = base64.b64decode(value).decode().partition(":")
    if (user, password) == (CLIENT_ID.partition(":")[0], CLIENT_SECRET):
        return "plain"
    return "encoded" if (kind, unquote(user), unquote(password)) == ("Basic", CLIENT_ID, CLIENT_SECRET) else "wrong"


FIRST = pytest.mark.parametrize("first", [ENCODED, PLAIN], ids=["encoded first", "plain first"])
TAKES = pytest.mark.parametrize("takes", ["encoded", "plain"])


def name_of(way: ClientSecretBasic) -> str:
    return "encoded" if way.encode else "plain"


@FIRST
@TAKES
def test_the_other_form_is_tried_once(first: ClientSecretBasic, takes: str) -> None:
    """Where the server refuses the first form the same call is made in the other, and never looked for again."""
    client, server = client_of(method=first), Server(takes)
    for _ in range(3):
        assert "good" == server.call(client).access_token
    guess = [] if name_of(first) == takes else [name_of(first)]
    assert [*guess, *[takes] * 3] == server.forms


@FIRST
@TAKES
def test_the_form_that_works_is_dumped_and_restored(first: ClientSecretBasic, takes: str) -> None:
    """What was found out goes along with the token: a client that restores it begins with the form that works."""
    client, server = client_of(method=first), Server(takes)
    assert {} == client.dump_state()
    server.call(client)
    assert {"basic_encode": takes == "encoded"} == client.dump_state()
    again, server = client_of(method=first), Server(takes)
    again.load_state({**client.dump_state(), "unknown": 1})
    server.call(again)
    assert [takes] == server.forms


@pytest.mark.parametrize("state", [{}, {"basic_encode": None}, {"basic_encode": 1}, {"basic_encode": "yes"}])
def test_damaged_state_restores_nothing(state: dict[str, Any]) -> None:
    """What can't be read of what was found out counts as not found out."""
    client = client_of()
    client.load_state(state)
    assert {} == client.dump_state()


def test_what_was_found_out_here_counts_more() -> None:
    """A form that this client has found isn't replaced by one that was stored."""
    client, server = client_of(), Server("encoded")
    server.call(client)
    client.load_state({"basic_encode": False})
    assert {"basic_encode": True} == client.dump_state()


@FIRST
@TAKES
@pytest.mark.parametrize("is_restored", [False, True])
def test_a_remembered_form_is_never_second_guessed(first: ClientSecretBasic, takes: str, is_restored: bool) -> None:
    """When the server refuses the client in the form that had worked, the other isn't tried: the secret is wrong."""
    client, server = client_of(method=first), Server(takes)
    server.call(client)
    if is_restored:
        state = client.dump_state()
        client = client_of(method=first)
        client.load_state(state)
    server.forms.clear()
    server.takes = "nothing"
    for _ in range(3):
        with pytest.raises(OAuthProviderException):
            server.call(client)
    assert [takes] * 3 == server.forms


@FIRST
@pytest.mark.parametrize("name", REFUSES)
def test_refusals_of_the_client_lead_to_the_other_form(first: ClientSecretBasic, name: str) -> None:
    """Whatever refuses the client leads to the other form."""
    takes = name_of(ClientSecretBasic(encode=not first.encode))
    server = Server(takes, REFUSES[name])
    assert "good" == server.call(client_of(method=first)).access_token
    assert [name_of(first), takes] == server.forms


@FIRST
@pytest.mark.parametrize("name", DOES_NOT)
def test_other_refusals_lead_to_no_other_form(first: ClientSecretBasic, name: str) -> None:
    """Nothing else does, and nothing is learned from it."""
    client, server = client_of(method=first), Server("nothing", DOES_NOT[name])
    with pytest.raises(TokenError):
        server.call(client)
    assert ([name_of(first)], {}) == (server.forms, client.dump_state())


@FIRST
def test_a_wrong_secret_is_sent_once_in_each_form(first: ClientSecretBasic) -> None:
    """If both forms are refused, the first refusal is raised, and none of them is remembered."""
    refusals = {
        "encoded": answer(401, {"error": "invalid_client", "error_description": "of encoded"}),
        "plain": answer(401, {"error": "invalid_client", "error_description": "of plain"}),
    }
    client, server = client_of(method=first), Server("nothing")
    send: Callable[[ClientAuthParameters], Steps[Any]] = server.send

    def refuse(sent: ClientAuthParameters) -> Steps[Any]:
        server.refusal = refusals[form_of(sent)]
        return send(sent)

    with pytest.raises(OAuthProviderException) as caught:
        play(client.call(refuse), Script())
    assert (f"of {name_of(first)}", None) == (caught.value.error_description, caught.value.__cause__)
    assert (2, {}) == (len(server.forms), client.dump_state())


@FIRST
@pytest.mark.parametrize(
    ("trouble", "is_proved"),
    [
        (answer(400, {"error": "invalid_scope"}), True),
        (answer(400, {"error": "invalid_grant"}), True),
        (answer(404), True),
        (answer(503), False),
        (answer(429), False),
        (TokenTransportError("no"), False),
    ],
    ids=str,
)
def test_another_refusal_of_the_other_form_proves_it(first: ClientSecretBasic, trouble: Any, is_proved: bool) -> None:
    """If the other form is refused for another reason, the client is known: that's raised, and the form kept."""
    takes = name_of(ClientSecretBasic(encode=not first.encode))
    client, server = client_of(method=first), Server(takes)
    server.then = trouble
    with pytest.raises(TokenError) as caught:
        server.call(client)
    assert not refuses_client(caught.value)
    assert ({"basic_encode": takes == "encoded"} if is_proved else {}) == client.dump_state()


@pytest.mark.parametrize(
    ("client_id", "client_secret", "method"),
    [
        ("client", "wr0ng-secret_.~", None),
        ("a:b", "wr0ng", None),
        ("a:b", "wr0 ng", None),
        (CLIENT_ID, CLIENT_SECRET, ClientSecretPost()),
        (CLIENT_ID, None, PublicClient()),
        (CLIENT_ID, None, None),
    ],
    ids=["same in both", "id with a colon", "one form only", "post", "public", "public by default"],
)
def test_what_has_one_form_is_sent_once(
    client_id: str, client_secret: str | None, method: ClientAuthentication | None
) -> None:
    """What is the same in both forms, or has one form only, is sent once, whatever the refusal."""
    for name, refusal in REFUSES.items():
        client, server = client_of(client_id, client_secret, method), Server("nothing", refusal)
        with pytest.raises((OAuthProviderException, TokenResponseError)):
            server.call(client)
        assert (name, 1) == (name, len(server.forms))
        client.load_state({"basic_encode": False})
        assert {} == client.dump_state()


# -- What metadata says ---------------------------------------------------------------------------------------------

ISSUER = "https://auth.example"


@pytest.mark.parametrize(
    ("methods", "form"),
    [
        (None, "encoded"),
        ("client_secret_post", "encoded"),
        ([], "encoded"),
        (["client_secret_post"], "client_id client_secret"),
        (["client_secret_post", "private_key_jwt"], "client_id client_secret"),
        (["client_secret_basic", "client_secret_post"], "encoded"),
        (["private_key_jwt"], "encoded"),
    ],
)
def test_metadata_may_ask_for_post(methods: Any, form: str) -> None:
    """A server that lists `client_secret_post` and not `client_secret_basic` gets id and secret in the form."""
    metadata = answer(200, {"issuer": ISSUER, "token_endpoint_auth_methods_supported": methods})
    client, server, script = client_of(issuer=ISSUER), Server(form), Script(metadata)
    for _ in range(2):
        play(client.call(server.send), script)
    assert ([form] * 2, 1) == (server.forms, len(script.asked))


@pytest.mark.parametrize(
    ("client_secret", "method", "form"),
    [(CLIENT_SECRET, PLAIN, "plain"), (None, None, "client_id"), (CLIENT_SECRET, ENCODED, "encoded")],
)
def test_a_way_that_is_given_is_not_looked_up(
    client_secret: str | None, method: ClientAuthentication | None, form: str
) -> None:
    """A way that the user chose, and a client without a secret, need no metadata."""
    client, server = client_of(client_secret=client_secret, method=method, issuer=ISSUER), Server(form)
    server.call(client)
    assert [form] == server.forms


def test_an_impossible_way_is_an_error_at_once() -> None:
    """A way that can't work is a `ConfigurationError` at construction."""
    with pytest.raises(ConfigurationError):
        client_of(client_secret=None, method=ClientSecretPost())
