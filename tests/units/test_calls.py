"""Calls of an endpoint, driven by hand: attempts, pauses, deadlines, what may be sent once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import OAuthProviderException, OAuthToken, TokenError, TokenResponseError, TokenTransportError
from oauth_auth._clock import Chance, Now
from oauth_auth._server.calls import Ask, EndpointCalls, GivenUp, HeldUp, Run, Sleep, no_retry
from oauth_auth._wire.messages import read_token_response
from oauth_auth._wire.token_request import Attempt, Call, PerAttempt, build_call, build_token_request
from tests.support.steps import (
    TOKEN_URL,
    HandClock,
    Highest,
    Lowest,
    Script,
    Transport,
    answer,
    form_of,
    play,
    token_calls,
)

REQUEST = build_token_request(TOKEN_URL, None, {"grant_type": "client_credentials"})
TOKEN = answer(200, {"access_token": "good", "expires_in": 60})
NO_ANSWER = TokenTransportError("could not be reached")


def refused_by(wall: str) -> TokenTransportError:
    return TokenTransportError(wall, retryable=False)


def call(script: Script, *, timeout: float = 10.0, chance: Chance | None = None, **options: Any) -> OAuthToken:
    """Make a call whose attempts the script answers."""
    calls = EndpointCalls(Transport(), timeout, clock=script.clock, chance=chance or Lowest())
    return play(calls.call(Call(REQUEST), read_token_response, **options), script)


def after(seconds: float, result: Any, clock: HandClock) -> Callable[[Any], Any]:
    """Return an answer that takes so long."""

    def answered(_: Any) -> Any:
        clock.advance(seconds)
        return result

    return answered


# -- Attempts and pauses --------------------------------------------------------------------------------------------


def test_one_attempt_is_enough_if_it_works() -> None:
    """A call that works is one attempt, of half of the time-out."""
    script = Script(TOKEN)
    assert "good" == call(script).access_token
    [ask] = script.effects
    assert (REQUEST, 5.0, 5.0, False) == (ask.request, ask.connect_timeout, ask.timeout, ask.is_single_use)


def test_an_answer_counts_from_when_it_arrived() -> None:
    """A token's lifetime counts from the arrival of the answer, by the clock of the calls."""
    clock = HandClock()
    token = call(Script(after(3.0, TOKEN, clock), clock=clock))
    assert clock.now.wall + 60 == token.expiry


@pytest.mark.parametrize("trouble", [NO_ANSWER, answer(429), answer(500), answer(503)], ids=str)
@pytest.mark.parametrize("times", [1, 2])
def test_trouble_that_passes_is_tried_again(trouble: Any, times: int) -> None:
    """What fails for a moment is tried up to twice more, after pauses."""
    script = Script(*[trouble] * times, TOKEN)
    assert "good" == call(script).access_token
    assert [Ask, *[Sleep, Ask] * times] == [type(effect) for effect in script.effects]


@pytest.mark.parametrize("trouble", [NO_ANSWER, answer(429), answer(503)], ids=str)
def test_the_third_failure_is_raised(trouble: Any) -> None:
    """After three attempts it's enough, and the last failure is raised."""
    script = Script(*[trouble] * 2, answer(502))
    with pytest.raises(TokenResponseError) as caught:
        call(script)
    assert (502, 3) == (caught.value.status_code, len(script.asked))


@pytest.mark.parametrize(
    "failure", [answer(400), answer(404), answer(200), answer(302), refused_by("closed"), TokenError("a hook's")]
)
def test_what_will_not_pass_is_not_tried_again(failure: Any) -> None:
    """What isn't retryable is raised at once."""
    script = Script(failure)
    with pytest.raises(TokenError):
        call(script)
    assert 1 == len(script.effects)


@pytest.mark.parametrize(("chance", "pauses"), [(Lowest(), [0.1, 0.5]), (Highest(), [0.3, 1.5])], ids=["least", "most"])
def test_pauses_grow_and_are_random(chance: Chance, pauses: list[float]) -> None:
    """The first pause is 0.1 to 0.3 s long, the second one 0.5 to 1.5 s."""
    script = Script(NO_ANSWER, NO_ANSWER, TOKEN)
    call(script, chance=chance)
    assert pauses == script.pauses


def test_callers_may_say_what_is_repeatable() -> None:
    """A caller that repeats calls itself has none of them repeated."""
    script = Script(NO_ANSWER)
    with pytest.raises(TokenTransportError):
        call(script, repeatable=no_retry)
    assert 1 == len(script.effects)


def test_statuses_are_noted() -> None:
    """The status of each attempt is noted, None where there was no answer."""
    script = Script(NO_ANSWER, answer(503), TOKEN)
    attempts = EndpointCalls(Transport(), 10.0, clock=script.clock, chance=Lowest()).token_call(Call(REQUEST))
    play(attempts.make(), script)
    assert [None, 503, 200] == attempts.statuses


# -- Retry-After ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [("3", 3.0), ("0", 0.1), ("-5", 0.1), ("soon", 0.1), ("", 0.1), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.1)],
)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_retry_after_makes_the_pause_longer(status: int, retry_after: str, pause: float) -> None:
    """The pause is as long as the server asks for, if that can be read and is longer than the usual one."""
    script = Script(answer(status, retry_after=retry_after), TOKEN)
    call(script)
    assert [pause] == script.pauses


@pytest.mark.parametrize(
    ("date", "pause"),
    [
        ("Wed, 13 Mar 2030 12:00:05 GMT", 5.0),
        ("Wednesday, 13-Mar-30 12:00:05 GMT", 5.0),
        ("Wed Mar 13 12:00:05 2030", 5.0),
    ],
    ids=["IMF-fixdate", "RFC 850", "asctime"],
)
def test_a_date_counts_from_the_answers_own(date: str, pause: float) -> None:
    """Until Retry-After's date it is as long as the server's own clock says, whatever this machine's does."""
    script = Script(answer(503, retry_after=date, date="Wed, 13 Mar 2030 12:00:00 GMT"), TOKEN)
    call(script)
    assert [pause] == script.pauses


@pytest.mark.parametrize("retry_after", ["10", "60", "9" * 60, "Fri, 31 Dec 2199 23:59:59 GMT"])
def test_a_pause_beyond_the_time_out_is_not_waited_for(retry_after: str) -> None:
    """Where the server asks for more than is left, the error comes at once, and says how long."""
    script = Script(answer(503, retry_after=retry_after))
    with pytest.raises(TokenResponseError) as caught:
        call(script)
    assert 1 == len(script.effects)
    assert (caught.value.retry_after or 0) >= 10


def test_an_error_of_the_protocol_tells_the_pause() -> None:
    """An error with a body of the protocol knows the pause, too."""
    with pytest.raises(OAuthProviderException) as caught:
        call(Script(answer(503, {"error": "temporarily_unavailable"}, retry_after="77")))
    assert (77.0, True) == (caught.value.retry_after, caught.value.retryable)


# -- Time -----------------------------------------------------------------------------------------------------------


def test_all_attempts_end_within_the_time_out() -> None:
    """Attempts that take all their time leave less to each next one, and end with the call's own."""
    clock = HandClock()
    begun = clock.now.monotonic
    hang = lambda ask: after(ask.timeout, NO_ANSWER, clock)(ask)
    script = Script(hang, hang, hang, clock=clock)
    with pytest.raises(TokenTransportError):
        call(script)
    assert [5.0, 4.9] == pytest.approx([ask.timeout for ask in script.asked])
    assert clock.now.monotonic - begun <= 10.0 + 1e-6


def test_what_may_be_used_once_is_waited_for() -> None:
    """A code's late answer is waited for as long as there's time; only the connection has half of it."""
    clock = HandClock()
    script = Script(after(2.0, NO_ANSWER, clock), TOKEN, clock=clock)
    call(script, single_use=True)
    assert [5.0, 10.0, 5.0, 7.9] == pytest.approx(
        [t for ask in script.asked for t in (ask.connect_timeout, ask.timeout)]
    )
    assert all(ask.is_single_use for ask in script.asked)


def test_the_last_of_the_time_is_not_begun_with() -> None:
    """No further attempt begins where next to nothing is left of the time."""
    clock = HandClock()
    script = Script(after(9.86, NO_ANSWER, clock), clock=clock)
    with pytest.raises(TokenTransportError):
        call(script)
    assert 1 == len(script.effects)


def test_a_machine_that_slept_asks_no_more() -> None:
    """Where the pause took longer than what was left, the failure before it is raised."""
    clock = HandClock()
    calls = EndpointCalls(Transport(), 10.0, clock=clock, chance=Lowest())
    steps = calls.call(Call(REQUEST), read_token_response)
    assert isinstance(next(steps), Ask)
    assert Sleep(0.1) == steps.send(answer(503))
    clock.advance(9.96)
    with pytest.raises(TokenResponseError) as caught:
        steps.send(None)
    assert 503 == caught.value.status_code


def test_setting_the_time_changes_nothing() -> None:
    """Deadlines go by the clock that is never set."""
    clock = HandClock()
    script = Script(NO_ANSWER, TOKEN, clock=clock)
    calls = EndpointCalls(Transport(), 10.0, clock=clock, chance=Lowest())
    steps = calls.call(Call(REQUEST), read_token_response)
    next(steps)
    clock.now = Now(clock.now.wall + 1e6, clock.now.monotonic)
    assert Sleep(0.1) == steps.throw(NO_ANSWER)
    assert isinstance(steps.send(None), Ask)
    assert [] == script.effects


def test_who_was_held_up_sends_nothing() -> None:
    """An attempt that wasn't made, because the program stood still, is neither repeated nor taken for an answer."""
    script = Script(None)
    with pytest.raises(HeldUp) as caught:
        call(script, single_use=True)
    assert (1, True) == (len(script.effects), caught.value.retryable)


# -- An attempt is built, not repeated ------------------------------------------------------------------------------


def numbered(seen: list[Attempt], *, runs_code: bool = False, is_header: bool = False) -> PerAttempt:
    """Return a part that's another one each time."""

    def make(attempt: Attempt) -> str:
        seen.append(attempt)
        return f"made-{len(seen)}"

    return PerAttempt(make, runs_code, is_header)


@pytest.mark.parametrize("runs_code", [False, True])
def test_what_proves_is_made_for_each_attempt(runs_code: bool) -> None:
    """Each attempt has parts of its own, which know where and when it goes; the rest is the same."""
    clock, seen = HandClock(), list[Attempt]()
    begun = clock.now.wall
    call = build_call(TOKEN_URL, None, {"client_assertion": numbered(seen, runs_code=runs_code), "grant_type": "x"})
    script = Script(after(3.0, answer(503), clock), NO_ANSWER, TOKEN, clock=clock)
    calls = EndpointCalls(Transport(), 10.0, clock=clock, chance=Lowest())
    assert "good" == play(calls.call(call, read_token_response), running_code(script)).access_token
    asked = [effect.request for effect in script.effects if isinstance(effect, Ask)]
    assert ["made-1", "made-2", "made-3"] == [request.fields["client_assertion"] for request in asked]
    assert [("client_assertion", "grant_type")] * 3 == [tuple(request.fields) for request in asked]
    assert all(request.fields["client_assertion"] in request.secrets for request in asked)
    assert [TOKEN_URL] * 3 == [attempt.url for attempt in seen]
    assert [0.0, 3.1, 3.6] == pytest.approx([attempt.wall - begun for attempt in seen])


def test_what_is_signed_is_of_the_time_after_the_users_code() -> None:
    """That may take long, as where another auth object has its user log in; the server's nonce may turn meanwhile."""
    clock, seen = HandClock(), list[Attempt]()
    begun = clock.now.wall
    calls = EndpointCalls(Transport(), 10.0, clock=clock, chance=Lowest())

    def make(_: Attempt) -> str:
        clock.advance(120.0)
        calls.server.nonce = "the-next"
        return "subject"

    parts = {"DPoP": numbered(seen, is_header=True), "client_assertion": numbered(seen)}
    subject = PerAttempt(make, runs_code=True, is_bounded=False)
    call = build_call(TOKEN_URL, None, {**parts, "subject_token": subject})
    assert "good" == play(calls.call(call, read_token_response), running_code(Script(TOKEN))).access_token
    assert [(120.0, "the-next")] * 2 == [(attempt.wall - begun, attempt.nonce) for attempt in seen]


def running_code(script: Script) -> Callable[[Any], Any]:
    """Answer as the script does, and call the user's code."""
    return lambda effect: effect.function() if isinstance(effect, Run) else script(effect)


def raise_secret(_: Attempt) -> str:
    raise ValueError("s3cret")


def give_up(_: Attempt) -> str:
    raise GivenUp


@pytest.mark.parametrize(
    ("make", "text", "retryable"),
    [
        (raise_secret, "the function that makes client_assertion raised ValueError", True),
        (give_up, "the function that makes client_assertion hasn't returned within 5 s", True),
        (lambda _: None, "the function that makes client_assertion must return text, not NoneType", False),
        (lambda _: "", "the function that makes client_assertion must return text, not str", False),
        (
            lambda _: "s3cret\ud800",
            (
                "what the function that makes client_assertion returned has half a surrogate pair in it, "
                "which can't be sent"
            ),
            False,
        ),
    ],
)
def test_code_of_the_users_that_fails(make: Callable[[Attempt], Any], text: str, retryable: bool) -> None:
    """It's a `TokenError` without what the code says, and nothing is sent."""
    part = PerAttempt(make, runs_code=True)
    script = Script(*[TOKEN] * 3)
    calls = EndpointCalls(Transport(), 10.0, clock=script.clock, chance=Lowest())
    with pytest.raises(TokenError) as caught:
        steps = calls.call(build_call(TOKEN_URL, None, {"client_assertion": part}), read_token_response)
        play(steps, running_code(script))
    assert (text, retryable) == (str(caught.value), caught.value.retryable)
    assert [] == script.effects


# -- Which operation repeats what -----------------------------------------------------------------------------------

OPERATIONS: dict[str, tuple[Any, ...]] = {
    "client credentials": ("request_token_o_auth_ccg", "Basic x"),
    "password": ("request_token_o_auth_ropcg", "Basic x", "alice", "pass-word"),
    "code": ("request_token_o_auth_acg", "Basic x", "the-code", "https://app.example/cb"),
    "refresh acg": ("refresh_token_o_auth_acg", "Basic x", "refresh-0"),
    "refresh ropcg": ("refresh_token_o_auth_ropcg", "Basic x", "refresh-0"),
}
REFRESHES = ["refresh acg", "refresh ropcg"]
ONCE = ["code", *REFRESHES]


def operate(name: str, *answers: Any) -> tuple[TokenError | OAuthToken, Script]:
    """Return how an operation ended that gets these answers, the last one for ever, and what it did."""
    script = Script(*answers, *[answers[-1]] * 3)
    try:
        return play(token_calls(clock=script.clock).controller._steps(*OPERATIONS[name]), script), script
    except TokenError as error:
        return error, script


def cut_off(status: int) -> TokenTransportError:
    """Return what a transport raises for an answer whose body ended too early."""
    return TokenTransportError("the answer ended too early", status_code=status)


FINAL = {
    **{str(status): answer(status) for status in (400, 401, 402, 403, 404, 408, 409, 418, 422, 425, 451, 499)},
    **{
        f"{status} with an error": answer(status, {"error": "temporarily_unavailable"})
        for status in (400, 401, 402, 403, 404, 408, 409, 418, 422, 425, 451, 499)
    },
    "404 HTML": answer(404, b"<html>"),
    "400 with Retry-After": answer(400, retry_after="0"),
    "200 without token": answer(200, {}),
    "200 HTML": answer(200, b"<html>"),
    "200 empty": answer(200),
    "200 with an error": answer(200, {"error": "invalid_scope"}),
    "204": answer(204),
    "302": answer(302, location="/elsewhere"),
    "307": answer(307, location="/elsewhere"),
}
PASSING = {
    **{str(status): answer(status) for status in (429, 500, 502, 503, 504, 599)},
    "429 with Retry-After": answer(429, retry_after="0"),
    "502 HTML": answer(502, b"<html>"),
    "500 with an error": answer(500, {"error": "server_error"}),
    "503 that is cut off": cut_off(503),
}
CUT_OFF = {
    "200 that is cut off": cut_off(200),
    "400 that is cut off": cut_off(400),
    "401 that is cut off": cut_off(401),
}


@pytest.mark.parametrize("name", FINAL)
def test_a_final_answer_is_final(name: str) -> None:
    """A 2xx, 3xx or 4xx other than 429 ends each operation, whatever its body says and Retry-After asks for."""
    for operation in OPERATIONS:
        error, script = operate(operation, FINAL[name])
        assert isinstance(error, TokenResponseError | OAuthProviderException)
        assert (operation, False, 1) == (operation, error.retryable, len(script.effects))


@pytest.mark.parametrize("name", PASSING)
def test_429_and_5xx_are_tried_again(name: str) -> None:
    """429 and 5xx, which say that the server did nothing, are tried again with all but a code, three times in all."""
    for operation in set(OPERATIONS) - {"code"}:
        error, script = operate(operation, PASSING[name])
        assert isinstance(error, TokenError)
        assert (operation, True, 3) == (operation, error.retryable, len(script.asked))


@pytest.mark.parametrize("name", [*PASSING, *CUT_OFF])
def test_a_code_is_never_sent_twice_after_an_answer(name: str) -> None:
    """A code is sent once if any answer came, be it cut off."""
    error, script = operate("code", {**PASSING, **CUT_OFF}[name])
    assert isinstance(error, TokenError)
    assert 1 == len(script.effects)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_nobody_answered_is_sent_again(operation: str) -> None:
    """A connection that couldn't be made, or ended without an answer, is tried again with a code, too."""
    error, script = operate(operation, NO_ANSWER)
    assert isinstance(error, TokenTransportError)
    assert 3 == len(script.asked)


@pytest.mark.parametrize("operation", REFRESHES)
@pytest.mark.parametrize("name", CUT_OFF)
def test_a_refresh_token_that_may_be_spent_is_not_sent_again(operation: str, name: str) -> None:
    """A refresh token isn't sent again where the server may have rotated it: a 2xx says so, even if cut short."""
    error, script = operate(operation, CUT_OFF[name])
    assert isinstance(error, TokenError)
    assert 1 == len(script.effects)


@pytest.mark.parametrize("operation", ["client credentials", "password"])
def test_what_is_cut_off_is_asked_for_again_where_nothing_is_spent(operation: str) -> None:
    """An answer that was cut off is asked for again where nothing is spent."""
    token, script = operate(operation, cut_off(200), TOKEN)
    assert isinstance(token, OAuthToken)
    assert 2 == len(script.asked)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_only_what_may_be_used_once_is_single_use(operation: str) -> None:
    """A code or refresh token is looked after before it's sent; what can be sent twice isn't."""
    _, script = operate(operation, TOKEN)
    assert [operation in ONCE] == [ask.is_single_use for ask in script.asked]


FORMS = {
    "client credentials": {"grant_type": "client_credentials"},
    "password": {"grant_type": "password", "username": "alice", "password": "pass-word"},
    "code": {"grant_type": "authorization_code", "code": "the-code", "redirect_uri": "https://app.example/cb"},
    "refresh acg": {"grant_type": "refresh_token", "refresh_token": "refresh-0"},
    "refresh ropcg": {"grant_type": "refresh_token", "refresh_token": "refresh-0"},
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_operation_sends_its_form(operation: str) -> None:
    """Each operation posts the fields of its grant, and the header that it was given."""
    _, script = operate(operation, TOKEN)
    [ask] = script.asked
    assert (FORMS[operation], "Basic x") == (form_of(ask), ask.request.headers["Authorization"])
