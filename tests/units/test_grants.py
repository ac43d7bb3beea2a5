"""What each grant knows of its tokens: when a refresh token is dead, which scope to ask for, what a provider may do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import (
    ConfigurationError,
    OAuthError,
    OAuthProviderException,
    OAuthToken,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
    TokenStoreError,
    TokenTransportError,
)
from oauth_auth._record import replace
from oauth_auth._server.calls import GivenUp, Run
from oauth_auth._server.code_grant import AuthorizationCodeGrant
from oauth_auth._server.device_grant import DeviceCodeGrant
from oauth_auth._server.given_tokens import FixedToken, TokenProvider
from oauth_auth._server.grants import (
    ClientCredentialsGrant,
    DeadTokens,
    PasswordGrant,
    RefreshingGrant,
    RefreshTokenGrant,
    ends_refresh_token,
    reauthorization,
)
from oauth_auth._wire.messages import TokenResponse, read_token_response
from oauth_auth._wire.token import digest
from oauth_auth._wire.token_request import build_token_request
from tests.support.steps import TOKEN_URL, Script, answer, play, token_calls

TOKEN = answer(200, {"access_token": "new"})
NEXT = answer(200, {"access_token": "new", "refresh_token": "next"})
REQUEST = build_token_request(TOKEN_URL, None, {})


def error_of(response: TokenResponse) -> TokenError:
    with pytest.raises(TokenError) as caught:
        read_token_response(REQUEST, response)
    return caught.value


def ending(script: Script, steps: Any) -> Any:
    """Return what the steps return, or the error that they raise."""
    try:
        return play(steps, script)
    except OAuthError as error:
        return error


# -- When a refresh token is dead -----------------------------------------------------------------------------------

ENDS = {
    "invalid_grant": answer(400, {"error": "invalid_grant"}),
    "invalid_grant with 401": answer(401, {"error": "invalid_grant"}),
    "invalid_grant with 200": answer(200, {"error": "invalid_grant"}),
    "invalid_grant with 500": answer(500, {"error": "invalid_grant"}),
    "invalid_request": answer(400, {"error": "invalid_request"}),
    "unsupported_grant_type": answer(400, {"error": "unsupported_grant_type"}),
    "an error of the server's own": answer(400, {"error": "token_expired"}),
    "400 empty": answer(400),
    "400 HTML": answer(400, b"<html>"),
    "400 without error": answer(400, {"message": "no"}),
    "400 form": answer(400, b"error=invalid_grant", content_type="application/x-www-form-urlencoded"),
    "400 too long": answer(400, b" " * (1024 * 1024 + 1)),
}
LEAVES = {
    "invalid_client": answer(400, {"error": "invalid_client"}),
    "unauthorized_client": answer(400, {"error": "unauthorized_client"}),
    "invalid_scope": answer(400, {"error": "invalid_scope"}),
    "invalid_target": answer(400, {"error": "invalid_target"}),
    "invalid_authorization_details": answer(400, {"error": "invalid_authorization_details"}),
    "use_dpop_nonce": answer(400, {"error": "use_dpop_nonce"}),
    "invalid_dpop_proof": answer(400, {"error": "invalid_dpop_proof"}),
    "server_error": answer(400, {"error": "server_error"}),
    "temporarily_unavailable": answer(400, {"error": "temporarily_unavailable"}),
    "invalid_request with 401": answer(401, {"error": "invalid_request"}),
    **{str(status): answer(status) for status in (401, 403, 404, 405, 429, 500, 503, 302)},
    "200 HTML": answer(200, b"<html>"),
}


@pytest.mark.parametrize("name", [*ENDS, *LEAVES])
def test_what_ends_a_refresh_token(name: str) -> None:
    """400 ends a refresh token whatever its body, unless it's about the client or the call; `invalid_grant` always."""
    assert (name in ENDS) is ends_refresh_token(error_of({**ENDS, **LEAVES}[name]))


def test_who_did_not_answer_ends_nothing() -> None:
    """A server that can't be reached, or an error of this program's own, says nothing of the refresh token."""
    assert not ends_refresh_token(TokenTransportError("no"))
    assert not ends_refresh_token(TokenError("a hook's"))


# -- Refreshing -----------------------------------------------------------------------------------------------------


def refreshing(**options: Any) -> RefreshingGrant:
    return RefreshTokenGrant(token_calls(**options), refresh_token="given")


@pytest.mark.parametrize(
    ("asked", "granted", "sent"),
    [(None, None, None), ("a b", None, "a b"), ("a b", "a", "a"), (None, "a", "a")],
)
def test_a_refresh_asks_for_the_scope_that_was_granted(
    asked: str | None, granted: str | None, sent: str | None
) -> None:
    """A refresh asks for the scope that the server told, else for the one that was asked for first."""
    script = Script(TOKEN)
    play(refreshing(scope=asked).refresh("refresh", granted), script)
    assert [sent] == [form.get("scope") for form in script.forms]


@pytest.mark.parametrize("status", [400, 200])
def test_a_scope_that_is_refused_is_left_out_once(status: int) -> None:
    """`invalid_scope` is answered once without any scope, and the refresh token lives on."""
    grant, script = refreshing(scope="a b"), Script(answer(status, {"error": "invalid_scope"}), TOKEN)
    assert "new" == play(grant.refresh("refresh", None), script).access_token
    assert ["a b", None] == [form.get("scope") for form in script.forms]


def test_a_scope_that_nobody_sent_is_not_left_out() -> None:
    """`invalid_scope` without a scope is an error, and ends no refresh token."""
    grant, script = refreshing(), Script(answer(400, {"error": "invalid_scope"}))
    assert isinstance(ending(script, grant.refresh("refresh", None)), OAuthProviderException)
    assert "refresh" == grant.live_refresh_token(OAuthToken(access_token="a", refresh_token="refresh"))


def test_a_second_refusal_of_the_scope_is_the_last() -> None:
    """A refresh is tried twice at most, and the second refusal is raised."""
    script = Script(*[answer(400, {"error": "invalid_scope"})] * 2)
    error = ending(script, refreshing(scope="a").refresh("refresh", None))
    assert ("invalid_scope", 2) == (error.error, len(script.asked))


@pytest.mark.parametrize(
    ("rotated", "kept", "is_live"), [(None, "refresh", True), ("refresh", "refresh", True), ("next", "next", False)]
)
def test_a_refresh_token_is_kept_or_replaced(rotated: str | None, kept: str, is_live: bool) -> None:
    """An answer without refresh token keeps the old one; one with another ends the old one."""
    grant = refreshing()
    token = play(grant.refresh("refresh", None), Script(answer(200, {"access_token": "new", "refresh_token": rotated})))
    assert kept == token.refresh_token
    old = OAuthToken(access_token="a", refresh_token="refresh")
    assert ("refresh" if is_live else None) == grant.live_refresh_token(old)


@pytest.mark.parametrize("name", [*ENDS, *LEAVES])
def test_a_dead_refresh_token_is_not_sent_again(name: str) -> None:
    """After a refusal that ends it, a refresh token is dead; after any other it lives."""
    grant = refreshing(client_secret=None)
    ending(Script(*[{**ENDS, **LEAVES}[name]] * 3), grant.refresh("refresh", None))
    live = grant.live_refresh_token(OAuthToken(access_token="a", refresh_token="refresh"))
    assert (None if name in ENDS else "refresh") == live


@pytest.mark.parametrize(
    "end",
    [
        lambda grant: ending(Script(answer(400)), grant.refresh("given", None)),
        lambda grant: ending(Script(NEXT), grant.refresh("given", None)),
        lambda grant: grant.bury([digest("given")]),
        lambda grant: grant.invalidate(None),
    ],
    ids=["refused", "replaced", "ended by a sibling", "ended"],
)
def test_a_given_refresh_token_dies_too(end: Callable[[RefreshingGrant], object]) -> None:
    """The refresh token that the grant was constructed with is live until it's refused, replaced or ended."""
    grant = refreshing(client_secret=None)
    assert "given" == grant.given_refresh_token()
    end(grant)
    assert None is grant.given_refresh_token()


def test_dead_refresh_tokens_are_bounded() -> None:
    """The last 100 dead refresh tokens are remembered; one that is ended again counts as new only once."""
    grant = refreshing()
    grant.bury(digest(f"refresh-{number}") for number in range(150))
    grant.bury([digest("refresh-149")])
    live = [
        number
        for number in range(150)
        if grant.live_refresh_token(OAuthToken(access_token="a", refresh_token=f"refresh-{number}")) is not None
    ]
    assert list(range(50)) == live


def test_grants_that_take_turns_share_what_is_dead() -> None:
    """A grant that's made anew for each call knows of the refresh tokens that another one has used up."""
    dead = DeadTokens()
    first, second = RefreshingGrant(token_calls(), dead), RefreshingGrant(token_calls(), dead)
    play(first.refresh("refresh", None), Script(NEXT))
    assert None is second.live_refresh_token(OAuthToken(access_token="a", refresh_token="refresh"))
    assert "next" == second.live_refresh_token(OAuthToken(access_token="a", refresh_token="next"))
    assert "refresh" == RefreshingGrant(token_calls()).live_refresh_token(
        OAuthToken(access_token="a", refresh_token="refresh")
    )


def test_the_last_dead_tokens_are_remembered() -> None:
    """A hundred, in the order in which they ended first."""
    dead = DeadTokens()
    assert "a" not in dead
    dead.add(f"digest-{number}" for number in range(100))
    dead.add(["digest-0"])
    assert "digest-0" in dead
    dead.add(["a", "b"])
    assert [False, False, True, True, True] == [name in dead for name in ("digest-0", "digest-1", "digest-2", "a", "b")]


def test_tokens_without_refresh_token_have_none() -> None:
    """There's nothing to refresh with without a token, or a token that came without a refresh token."""
    grant = refreshing()
    assert None is grant.live_refresh_token(None)
    assert None is grant.live_refresh_token(OAuthToken(access_token="a"))


# -- Each grant's own way -------------------------------------------------------------------------------------------


def test_client_credentials_ask_again() -> None:
    """Client credentials are asked for with their scope, whatever there was before."""
    script = Script(TOKEN)
    play(ClientCredentialsGrant(token_calls(scope="a b")).request_token(None, None), script)
    assert [{"grant_type": "client_credentials", "scope": "a b"}] == script.forms


def test_the_password_is_used_again() -> None:
    """The password grant asks with the password whenever no refresh token is left."""
    script = Script(TOKEN)
    grant = PasswordGrant(token_calls(), username="alice", password="pass-word")
    play(grant.request_token(None, TokenError("refused")), script)
    assert [{"grant_type": "password", "username": "alice", "password": "pass-word"}] == script.forms


def test_client_and_field_parameters_go_along() -> None:
    """Form fields that authenticate the client, and those of the user, are sent; the user's have the last word."""
    calls = replace(token_calls(client_secret=None), field_parameters={"audience": "api", "client_id": "mine"})
    script = Script(TOKEN)
    play(ClientCredentialsGrant(calls).request_token(None, None), script)
    assert [{"grant_type": "client_credentials", "client_id": "mine", "audience": "api"}] == script.forms


def code_grant(**options: Any) -> AuthorizationCodeGrant:
    fields: dict[str, Any] = {"code": "the-code", "redirect_uri": "https://app.example/cb", "code_verifier": "verifier"}
    return AuthorizationCodeGrant(token_calls(), **{**fields, **options})


def test_a_code_is_redeemed_with_its_verifier() -> None:
    """A code is sent with its redirect URI and PKCE's verifier, and is spent then."""
    grant, script = code_grant(), Script(TOKEN)
    play(grant.request_token(None, None), script)
    form = {"grant_type": "authorization_code", "code": "the-code", "redirect_uri": "https://app.example/cb"}
    assert [{**form, "code_verifier": "verifier"}] == script.forms
    assert not grant.has_unredeemed_code
    with pytest.raises(ReauthorizationRequired, match="the authorization code is used up"):
        play(grant.request_token(None, None), Script())


@pytest.mark.parametrize("trouble", [answer(503), answer(400, {"error": "invalid_grant"}), answer(200)], ids=str)
def test_any_answer_spends_a_code(trouble: Any) -> None:
    """After any answer the code is never sent again."""
    grant = code_grant()
    assert isinstance(ending(Script(trouble), grant.request_token(None, None)), TokenError)
    assert not grant.has_unredeemed_code


def test_a_code_without_an_answer_is_still_good() -> None:
    """Where no answer came the code is kept for the next renewal."""
    grant = code_grant()
    ending(Script(*[TokenTransportError("no")] * 3), grant.request_token(None, None))
    assert grant.has_unredeemed_code


def test_a_spent_code_is_remembered_with_the_token() -> None:
    """A program that's started again with the same code knows from the store that it's spent, and none but that."""
    grant = code_grant()
    play(grant.request_token(None, None), Script(TOKEN))
    state = grant.dump_state()
    assert digest("the-code") == state["code"]
    for code, is_good in (("the-code", False), ("another", True)):
        again = code_grant(code=code)
        again.load_state(state)
        assert is_good is again.has_unredeemed_code


@pytest.mark.parametrize("code", [None, 5, ["x"], "junk"])
def test_damaged_state_spends_no_code(code: Any) -> None:
    """A stored note that can't be read leaves the code as it is."""
    grant = code_grant()
    grant.load_state({"code": code})
    assert grant.has_unredeemed_code


def test_the_note_of_another_program_goes_along() -> None:
    """What another program has spent stays noted, since it may come back with it."""
    grant = code_grant(code=None)
    grant.load_state({"code": "digest of another"})
    assert "digest of another" == grant.dump_state()["code"]


@pytest.mark.parametrize(
    ("options", "is_interactive"),
    [
        ({}, False),
        ({"code": None}, False),
        ({"login": lambda _: "url"}, False),
        ({"login": lambda _: "url", "code": None}, True),
    ],
)
def test_a_login_is_for_who_has_no_code(options: dict[str, Any], is_interactive: bool) -> None:
    """A user is asked only where there is a login and no code."""
    assert is_interactive is code_grant(**options).is_interactive


def test_a_logout_ends_the_code_too() -> None:
    """A code that wasn't redeemed is not redeemed after a logout."""
    grant = code_grant()
    grant.invalidate(None)
    assert not grant.has_unredeemed_code


@pytest.mark.parametrize(
    "result",
    [None, 5, "https://app.example/cb?code=x"],
)
def test_a_login_must_begin(result: Any) -> None:
    """A login that never called `begin`, or returns no URL, is a `ConfigurationError`."""
    calls = token_calls(given={"token_url": TOKEN_URL, "authorization_url": "https://auth.example/authorize"})
    grant = AuthorizationCodeGrant(calls, code=None, redirect_uri=None, code_verifier=None, login=lambda _: result)
    with pytest.raises(ConfigurationError, match="begin"):
        grant.authorize(threading.Event())


def test_a_login_that_raises_leaves_no_login() -> None:
    """Whatever a login raises, the user must log in again; errors of ours go through."""

    def broken(_: object) -> str:
        raise ZeroDivisionError

    calls = token_calls(given={"token_url": TOKEN_URL, "authorization_url": "https://auth.example/authorize"})
    grant = AuthorizationCodeGrant(calls, code=None, redirect_uri=None, code_verifier=None, login=broken)
    with pytest.raises(ReauthorizationRequired, match="ZeroDivisionError"):
        grant.authorize(threading.Event())


def test_a_refresh_token_that_is_used_up_needs_a_user() -> None:
    """`RefreshTokenGrant` and `DeviceCodeGrant` have no way of their own that asks nobody."""
    for grant in (refreshing(), DeviceCodeGrant(token_calls(), show=lambda **_: None)):
        with pytest.raises(ReauthorizationRequired):
            play(grant.request_token(None, None), Script())


# -- The user's own function ----------------------------------------------------------------------------------------


def test_a_provider_gets_the_last_token() -> None:
    """A provider is called with the last token, within the time-out, and what it returns is the next."""
    last, new = OAuthToken(access_token="last"), OAuthToken(access_token="new")
    seen = []
    steps = TokenProvider(lambda token: seen.append(token) or new, 7.0).request_token(last, None)  # type: ignore[func-returns-value]
    script = Script(lambda run: run.function())
    assert new is play(steps, script)
    [run] = script.effects
    assert ([last], Run, 7.0) == (seen, type(run), run.timeout)


@pytest.mark.parametrize("raised", [ZeroDivisionError("x"), OSError("x"), ValueError("x")])
def test_a_provider_that_raises_may_work_later(raised: Exception) -> None:
    """What a provider raises becomes an error of ours with that cause, which may be tried again."""
    error = ending(Script(raised), TokenProvider(lambda _: None, 7.0).request_token(None, None))  # type: ignore[arg-type, return-value]
    assert (TokenError, True, raised) == (type(error), error.retryable, error.__cause__)
    assert type(raised).__name__ in str(error)


@pytest.mark.parametrize("raised", [ConfigurationError("no access_token"), TokenStoreError("no access_token")])
def test_a_provider_that_gets_rubbish_has_no_token(raised: OAuthError) -> None:
    """An error of ours that isn't about tokens is the cause of one that is, which says what it says."""
    error = ending(Script(raised), TokenProvider(lambda _: None, 7.0).request_token(None, None))  # type: ignore[arg-type, return-value]
    assert (TokenError, True, raised) == (type(error), error.retryable, error.__cause__)
    assert f"{type(raised).__name__}: no access_token" in str(error)


def test_a_providers_own_refusal_goes_through() -> None:
    """A `TokenError` that a provider raises is the renewal's."""
    refusal = ReauthorizationRequired("log in")
    assert refusal is ending(Script(refusal), TokenProvider(lambda _: None, 7.0).request_token(None, None))  # type: ignore[arg-type, return-value]


def test_a_provider_that_hangs_is_given_up() -> None:
    """A provider that takes longer than the time-out is an error that says so, and may be tried again."""
    error = ending(Script(GivenUp()), TokenProvider(lambda _: None, 7.0).request_token(None, None))  # type: ignore[arg-type, return-value]
    assert (TokenError, True, None) == (type(error), error.retryable, error.__cause__)
    assert "7 s (token_timeout)" in str(error)


@pytest.mark.parametrize("result", [None, "token", {"access_token": "x"}, 5])
def test_a_provider_must_return_a_token(result: Any) -> None:
    """Anything but an `OAuthToken` is an error that names its type, and not tried again."""
    error = ending(Script(result), TokenProvider(lambda _: result, 7.0).request_token(None, None))
    assert (False, True) == (error.retryable, type(result).__name__ in str(error))


def test_a_fixed_token_cannot_be_renewed() -> None:
    """`BearerAuth` has no other token, and says what to do."""
    assert not FixedToken.renews
    with pytest.raises(ReauthorizationRequired, match="BearerAuth"):
        play(FixedToken().request_token(None, None), Script())


# -- Ending tokens --------------------------------------------------------------------------------------------------

BOTH = OAuthToken(access_token="access", refresh_token="refresh")
REVOCATION = {"token_url": TOKEN_URL, "revocation_url": "https://auth.example/revoke"}
OK = answer(200)
REFUSED = answer(400, {"error": "invalid_request"})
UNSUPPORTED = answer(400, {"error": "unsupported_token_type"})


@pytest.mark.parametrize(
    ("token", "answers", "sent", "error"),
    [
        (BOTH, [OK, OK], ["refresh", "access"], None),
        (OAuthToken(access_token="access"), [OK, OK], ["given", "access"], None),
        (None, [OK], ["given"], None),
        (BOTH, [OK, UNSUPPORTED], ["refresh", "access"], None),
        (BOTH, [UNSUPPORTED, OK], ["refresh", "access"], "unsupported_token_type"),
        (BOTH, [REFUSED, OK], ["refresh", "access"], "invalid_request"),
        (BOTH, [OK, REFUSED], ["refresh", "access"], "invalid_request"),
    ],
)
def test_tokens_are_ended(token: OAuthToken | None, answers: list[Any], sent: list[str], error: str | None) -> None:
    """Refresh token, then access token are ended; a server that can end only the first is usual."""
    script = Script(*answers)
    result = ending(script, refreshing(given=REVOCATION).revoke(token))
    assert (error, sent) == (getattr(result, "error", None), [form["token"] for form in script.forms])
    hints = {"refresh": "refresh_token", "given": "refresh_token", "access": "access_token"}
    assert [hints[value] for value in sent] == [form["token_type_hint"] for form in script.forms]


def test_an_unreachable_server_is_asked_once() -> None:
    """Where the first can't be ended because nobody answers, the second isn't tried."""
    script = Script(*[TokenTransportError("no")] * 3)
    assert isinstance(ending(script, refreshing(given=REVOCATION).revoke(BOTH)), TokenTransportError)
    assert {"refresh"} == {form["token"] for form in script.forms}


def test_a_client_credentials_token_that_cannot_be_ended_is_an_error() -> None:
    """Where the access token is all that there is, a server that can't end it has ended nothing."""
    grant = ClientCredentialsGrant(token_calls(given=REVOCATION))
    error = ending(Script(UNSUPPORTED), grant.revoke(OAuthToken(access_token="access")))
    assert "unsupported_token_type" == error.error


@pytest.mark.parametrize("given", [None, REVOCATION])
def test_there_may_be_nothing_to_end(given: Any) -> None:
    """Without a revocation endpoint, or without a token, nobody is asked."""
    grant = ClientCredentialsGrant(token_calls(given=given))
    script = Script()
    assert None is ending(script, grant.revoke(BOTH if given is None else None))
    assert [] == script.effects


# -- What is said to who must log in --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "refusal", "text"),
    [
        (None, None, "nobody is logged in: pass login="),
        (OAuthToken(access_token="a"), None, "came without a refresh token"),
        (BOTH, None, "was refused before"),
        (BOTH, TokenResponseError("no", status_code=400, token_url=TOKEN_URL), "the server refused the refresh token"),
    ],
)
def test_why_a_user_must_log_in(last: OAuthToken | None, refusal: TokenError | None, text: str) -> None:
    """The error says why, with what the server said of it."""
    error = reauthorization(None, last, refusal)
    assert text in str(error)
    expected = (None, None) if refusal is None else (400, TOKEN_URL)
    assert expected == (error.status_code, error.token_url)
