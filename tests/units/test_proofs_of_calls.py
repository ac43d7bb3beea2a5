"""What answers about proofs and assertions do to a call of the authorization server: nonces, clocks, audiences."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from oauth_auth import OAuthProviderException
from oauth_auth._keys.assertions import ClientAssertion, ClientSecretJwt, PrivateKeyJwt
from oauth_auth._keys.dpop import DPoPKey
from oauth_auth._server.calls import Ask, Sleep
from oauth_auth._server.server_state import Challenges, ServerState, is_nonce
from oauth_auth._wire.messages import TokenResponse
from oauth_auth._wire.token import nonce_in
from tests.support.steps import TOKEN_URL, HandClock, Script, answer, form_of, play, token_calls

ISSUER = "https://auth.example"
KEY = ec.generate_private_key(ec.SECP256R1())
PROVING = DPoPKey(KEY)
TOKEN = answer(200, {"access_token": "good", "token_type": "DPoP"})
INVALID_CLIENT = answer(401, {"error": "invalid_client"})


def refusal(error: str, status: int = 400, **headers: str) -> TokenResponse:
    return answer(status, {"error": error}, **headers)


def wants_nonce(nonce: str, status: int = 400) -> TokenResponse:
    return refusal("use_dpop_nonce", status, DPoP_Nonce=nonce)


def claims_of(jwt: str) -> dict[str, Any]:
    payload = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))  # type: ignore[no-any-return]


class Caller:
    """Calls the token endpoint with a proof, and perhaps an assertion, as a script answers."""

    def __init__(self, *answers: Any, method: Any = None, issuer: str | None = None) -> None:
        self.clock = HandClock()
        self.script = Script(*answers, clock=self.clock)
        secret = "secret" if method is None or isinstance(method, ClientSecretJwt) else None
        given = {"token_url": TOKEN_URL}
        self.calls = token_calls(clock=self.clock, method=method, client_secret=secret, issuer=issuer, given=given)
        self.server = self.calls.endpoints.calls.server
        self.server.issuer = issuer

    def refresh(self, operation: str = "refresh_token_o_auth_acg", *args: Any) -> Any:
        def send(client: Any) -> Any:
            fields = {**client.fields, "DPoP": PROVING.header()}
            return self.calls.controller._steps(operation, client.authorization, *(args or ("r",)), None, fields)

        return play(self.calls.client.call(send), self.script)

    @property
    def asked(self) -> list[Ask]:
        return [effect for effect in self.script.effects if isinstance(effect, Ask)]

    @property
    def proofs(self) -> list[str]:
        return [ask.request.headers["DPoP"] for ask in self.asked]

    @property
    def nonces(self) -> list[str | None]:
        return [nonce_in(proof) for proof in self.proofs]

    @property
    def audiences(self) -> list[str]:
        return [claims_of(form_of(ask)["client_assertion"])["aud"] for ask in self.asked]


# -- Nonces ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401])
def test_a_nonce_is_taken_at_once(status: int) -> None:
    """The same call goes out with a proof of its own and the nonce, without a pause; the next call has it at once."""
    caller = Caller(wants_nonce("one", status), TOKEN, TOKEN)
    caller.refresh()
    assert [None, "one"] == caller.nonces
    assert not [effect for effect in caller.script.effects if isinstance(effect, Sleep)]
    assert ["r", "r"] == [form_of(ask)["refresh_token"] for ask in caller.asked]
    caller.refresh()
    assert [None, "one", "one"] == caller.nonces
    assert 3 == len({claims_of(proof)["jti"] for proof in caller.proofs})
    assert {("POST", TOKEN_URL)} == {(claims_of(proof)["htm"], claims_of(proof)["htu"]) for proof in caller.proofs}


def test_a_nonce_may_come_with_any_answer() -> None:
    """A success brings one, too, and so does an error of another kind."""
    caller = Caller(
        answer(200, {"access_token": "good", "token_type": "DPoP"}, DPoP_Nonce="one"),
        refusal("invalid_scope", DPoP_Nonce="two"),
        TOKEN,
    )
    caller.refresh()
    with pytest.raises(OAuthProviderException):
        caller.refresh()
    caller.refresh()
    assert [None, "one", "two"] == caller.nonces


def test_challenges_do_not_count_as_attempts() -> None:
    """Between two of them trouble is tried again as ever."""
    caller = Caller(wants_nonce("one"), answer(503), wants_nonce("two"), answer(503), TOKEN)
    caller.refresh()
    assert [None, "one", "one", "two", "two"] == caller.nonces


def test_challenges_that_never_end() -> None:
    """After two of them in a call the third is raised."""
    caller = Caller(*(wants_nonce(f"n{number}") for number in range(5)))
    with pytest.raises(OAuthProviderException) as caught:
        caller.refresh()
    assert ("use_dpop_nonce", 3) == (caught.value.error, len(caller.asked))


@pytest.mark.parametrize(
    "response",
    [
        refusal("use_dpop_nonce"),
        wants_nonce(""),
        wants_nonce("x" * 100_000),
        wants_nonce("a\tb"),
        wants_nonce('a"b'),
        wants_nonce("ä"),
    ],
    ids=["none", "empty", "100 kB", "control character", "quote", "not ASCII"],
)
def test_a_challenge_without_a_nonce_is_raised(response: TokenResponse) -> None:
    """What can't be a nonce is none, and is never sent."""
    caller = Caller(response, TOKEN)
    with pytest.raises(OAuthProviderException):
        caller.refresh()
    caller.refresh()
    assert [None, None] == caller.nonces


def test_a_nonce_that_the_proof_had_is_no_news() -> None:
    """A server that refuses the very nonce that it has given is told so once."""
    caller = Caller(wants_nonce("one"), wants_nonce("one"), TOKEN)
    with pytest.raises(OAuthProviderException):
        caller.refresh()
    assert [None, "one"] == caller.nonces


def test_it_counts_what_this_proof_had() -> None:
    """Others may have learned the nonce while the proof was on its way: that it's known by then doesn't matter."""
    caller = Caller(wants_nonce("one"), TOKEN)

    def learned_meanwhile(_: Ask) -> TokenResponse:
        caller.server.nonce = "one"
        return wants_nonce("one")

    caller.script.answers[0] = learned_meanwhile
    caller.refresh()
    assert [None, "one"] == caller.nonces


# -- Clocks ---------------------------------------------------------------------------------------------------------


def date(seconds: float) -> str:
    """Return the date of a server whose clock is ahead."""
    import email.utils

    return email.utils.formatdate(HandClock().now.wall + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("ahead", "minded"), [(-3600.0, True), (-5.5, True), (-3.0, False), (4.0, False), (60.0, True)]
)
def test_a_refused_proof_is_made_anew_by_the_servers_clock(ahead: float, minded: bool) -> None:
    """Once; by the clock of the answer, if it's 5 s away or more. The next call goes by it from the start."""
    caller = Caller(refusal("invalid_dpop_proof", Date=date(ahead)), TOKEN, TOKEN)
    caller.refresh()
    caller.refresh()
    first, *others = (claims_of(proof)["iat"] for proof in caller.proofs)
    assert [ahead if minded else 0.0] * 2 == pytest.approx([other - first for other in others], abs=1.0)


def test_a_second_refusal_of_the_proof_is_raised() -> None:
    """It isn't the clock, then."""
    caller = Caller(refusal("invalid_dpop_proof"), refusal("invalid_dpop_proof"), TOKEN)
    with pytest.raises(OAuthProviderException) as caught:
        caller.refresh()
    assert ("invalid_dpop_proof", 2) == (caught.value.error, len(caller.asked))


def test_dates_that_can_not_be() -> None:
    """A clock that is decades away is no clock."""
    server = ServerState()
    for text in ("Mon, 01 Jan 1990 00:00:00 GMT", "soon", ""):
        server.note({"date": text}, HandClock().now.wall)
        assert not server.sets_clock(for_proof=True)
    assert 0.0 == server.offset


# -- Assertions -----------------------------------------------------------------------------------------------------

METHODS = pytest.mark.parametrize("method", [PrivateKeyJwt(KEY), ClientSecretJwt()], ids=["key", "secret"])


@METHODS
@pytest.mark.parametrize("takes", [ISSUER, TOKEN_URL])
def test_the_audience_that_the_server_takes_is_remembered(method: Any, takes: str) -> None:
    """It's the issuer; where that's refused, once the URL that is called; what works is stored, and not asked again."""

    def judge(ask: Ask) -> TokenResponse:
        return TOKEN if claims_of(form_of(ask)["client_assertion"])["aud"] == takes else INVALID_CLIENT

    caller = Caller(*[judge] * 5, method=method, issuer=ISSUER)
    for _ in range(2):
        caller.refresh()
    assert ([ISSUER, ISSUER] if takes == ISSUER else [ISSUER, TOKEN_URL, TOKEN_URL]) == caller.audiences
    again = Caller(*[judge] * 2, method=method, issuer=ISSUER)
    again.calls.client.load_state(caller.calls.client.dump_state())
    again.refresh()
    assert [takes] == again.audiences
    again.script.answers[:] = [INVALID_CLIENT] * 2
    with pytest.raises(OAuthProviderException):
        again.refresh()
    assert [takes, takes] == again.audiences


@pytest.mark.parametrize(
    ("method", "issuer"),
    [
        (PrivateKeyJwt(KEY, audience="https://named.example"), ISSUER),
        (PrivateKeyJwt(KEY), None),
        (ClientAssertion(lambda: "a.e30.c"), ISSUER),
    ],
    ids=["named", "no issuer", "of others"],
)
def test_without_an_alternative_a_refusal_is_raised(method: Any, issuer: str | None) -> None:
    """Where there's only one audience, the client is refused once."""
    caller = Caller(INVALID_CLIENT, TOKEN, method=method, issuer=issuer)
    caller.script.answers[:0] = []
    with pytest.raises(OAuthProviderException):
        play_with_code(caller)
    assert 1 == len(caller.asked)


def play_with_code(caller: Caller) -> None:
    """Call, and run the user's code."""
    script = caller.script

    class WithCode:
        effects = script.effects
        answers = script.answers

        def __call__(self, effect: Any) -> Any:
            return effect.function() if hasattr(effect, "function") else script(effect)

    caller.script = WithCode()  # type: ignore[assignment]
    caller.refresh()


@METHODS
@pytest.mark.parametrize(("ahead", "attempts"), [(29.0, 1), (31.0, 2), (-3600.0, 2)])
def test_a_refused_assertion_is_made_anew_by_the_servers_clock(method: Any, ahead: float, attempts: int) -> None:
    """Once, if the clock of the answer is 30 s away or more: no refusal of an assertion ever says why."""
    refused = answer(401, {"error": "invalid_client"}, Date=date(ahead))
    caller = Caller(refused, TOKEN, method=method)
    if attempts == 1:
        with pytest.raises(OAuthProviderException):
            caller.refresh()
    else:
        caller.refresh()
    stamps = [claims_of(form_of(ask)["client_assertion"])["iat"] for ask in caller.asked]
    assert [0.0, ahead][:attempts] == pytest.approx([stamp - stamps[0] for stamp in stamps], abs=1.0)


def test_assertion_and_proof_are_new_each_time() -> None:
    """After trouble, a challenge, another audience: no identifier is ever used twice, and each URL is its own."""
    method = PrivateKeyJwt(KEY)
    caller = Caller(answer(503), wants_nonce("one"), INVALID_CLIENT, TOKEN, method=method, issuer=ISSUER)
    caller.refresh()
    used = [claims_of(form_of(ask)["client_assertion"])["jti"] for ask in caller.asked]
    used += [claims_of(proof)["jti"] for proof in caller.proofs]
    assert (4, 8) == (len(caller.asked), len(set(used)))


# -- The pure parts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "had", "given", "again"),
    [
        ("use_dpop_nonce", None, "n", [True, True, False]),
        ("use_dpop_nonce", "m", "n", [True, True, False]),
        ("use_dpop_nonce", "n", "n", [False]),
        ("use_dpop_nonce", None, None, [False]),
        ("invalid_dpop_proof", None, None, [True, False]),
        ("invalid_grant", None, "n", [False]),
        (None, None, "n", [False]),
    ],
)
def test_which_refusals_are_about_the_proof(
    error: str | None, had: str | None, given: str | None, again: list[bool]
) -> None:
    """Nonces twice, bad proofs once; all else isn't about it."""
    challenges = Challenges()
    assert again == [challenges.answer(error, had, given) for _ in again]


@pytest.mark.parametrize(("text", "is_one"), [("a", True), ("~!#[]", True), ("x" * 4096, True), ("x" * 4097, False)])
def test_what_can_be_a_nonce(text: str, is_one: bool) -> None:
    """RFC 9449 section 8.1: the characters of RFC 6749's NQCHAR."""
    assert is_one is is_nonce(text)
