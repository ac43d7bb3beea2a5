"""Guarantee 3: an error of an unknown kind in a token call, a mock's or a hook's, says nothing of the next call."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import respx

from oauth_auth import ClientSecretBasic, MemoryTokenStore, OAuthToken, TokenError
from tests.support import modes
from tests.support.modes import Mode
from tests.support.rotation import Rotation, refresh_token
from tests.support.scripted import Answer, ScriptedServer
from tests.support.tokens import Tokens, client_credentials, token_that_expires_in
from tests.support.waiting import await_silence, await_waiting, outcome_of

pytestmark = pytest.mark.shared_core
ALSO_SHARING = True

KINDS: dict[str, Callable[[], Exception]] = {
    "Exception": lambda: Exception("not mocked"),
    "AssertionError": lambda: AssertionError("no route"),
    "LookupError": lambda: LookupError("no such key"),
    "RuntimeError": lambda: RuntimeError("sockets are blocked"),
    "OSError": lambda: OSError("no such file"),
    "ValueError": lambda: ValueError("no such value"),
    "JSONDecodeError": lambda: json.JSONDecodeError("no JSON", "<html>", 0),
}


class Hook:
    """A hook of a `token_client` that raises when it's told to."""

    client: Any

    def __init__(self) -> None:
        self.raises: Callable[[], Exception] | None = None

    def __call__(self, _: object) -> None:
        if self.raises is not None:
            raise self.raises()


@contextlib.contextmanager
def hooked(mode: Mode) -> Iterator[Hook]:
    """Make a `token_client` with a hook."""
    hook = Hook()
    with mode.token_client(hook=hook) as hook.client:
        yield hook


@pytest.fixture
def hook(mode: Mode) -> Iterator[Hook]:
    with hooked(mode) as hook:
        yield hook


@pytest.mark.each_mode
@pytest.mark.parametrize("kind", KINDS)
def test_the_next_request_asks_again(
    mode: Mode, tokens: Tokens, api: ScriptedServer, hook: Hook, kind: str, quick: None
) -> None:
    """A hook that raises once fails one request, whose call isn't repeated; the next one goes through."""
    hook.raises = KINDS[kind]
    with mode.client(client_credentials(mode, tokens, token_client=hook.client)) as client:
        error = outcome_of(client.get, api.url)
        assert (True, True, False) == (isinstance(error, TokenError), error.is_unexpected, error.retryable)
        assert 1 == tokens.calls
        hook.raises = None
        assert 200 == client.get(api.url).status_code
    assert 2 == tokens.calls


def test_who_waits_at_once_shares_it(mode: Mode, tokens: Tokens, api: ScriptedServer, hook: Hook) -> None:
    """Callers at the same time make one call, and each gets an error of its own; then there's one more."""
    auth = client_credentials(mode, tokens, token_client=hook.client)

    def fail() -> Exception:
        await_waiting(auth, 8)
        return LookupError("no such key")

    hook.raises = fail
    with mode.client(auth) as client:
        errors = client.get_many(api.url, 8)
        assert (8, {True}, 1) == (len(set(map(id, errors))), {error.is_unexpected for error in errors}, tokens.calls)
        hook.raises = None
        assert [200] * 8 == [answer.status_code for answer in client.get_many(api.url, 8)]
    assert 2 == tokens.calls


def test_renewals_are_spaced_while_the_token_is_good(
    mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer], hook: Hook
) -> None:
    """In the refresh window no request notices, and one attempt is made until the pause after it has passed."""
    api = serve(lambda _: Answer(200))
    hook.raises = KINDS["LookupError"]
    auth = client_credentials(mode, tokens, token=token_that_expires_in(120), token_client=hook.client)
    with mode.client(auth) as client:
        for _ in range(10):
            assert 200 == client.get(api.url).status_code
            await_silence()
    assert 1 == tokens.calls


def test_a_refresh_token_is_not_sent_again_by_itself(plugin_mode: Mode, tokens: Tokens, rotation: Rotation) -> None:
    """A hook may raise when the server has rotated: only another request sends the refresh token again."""
    with hooked(plugin_mode) as hook:
        hook.raises = KINDS["LookupError"]
        with pytest.raises(TokenError):
            refresh_token(plugin_mode, tokens.url, token_client=hook.client).get_token()
    assert ["refresh-0"] == rotation.calls


def test_siblings_are_not_held_either(plugin_mode: Mode, tokens: Tokens) -> None:
    """On a store that's shared, another program's mock or hook is no failure of the server's."""
    store = MemoryTokenStore()
    with hooked(plugin_mode) as hook:
        hook.raises = KINDS["LookupError"]
        one = client_credentials(plugin_mode, tokens, store=store, token_client=hook.client)
        assert isinstance(outcome_of(one.get_token), TokenError)
        # The server has issued the first token, which the hook kept from us.
        assert "token-2" == client_credentials(plugin_mode, tokens, store=store).get_token().access_token
        assert "token-2" == one.get_token().access_token


def test_an_error_of_ones_own_client_authentication(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """The same if it's the renewal that ends in one, before anything is sent."""
    fails = [False]

    class Authentication:
        def authenticate(self, client_id: str, client_secret: str | None) -> Any:
            if fails[0]:
                raise LookupError("the key is being rotated")
            return basic.authenticate(client_id, client_secret)

    basic = ClientSecretBasic()
    with mode.client(client_credentials(mode, tokens, client_auth=Authentication())) as client:
        fails[0] = True
        assert outcome_of(client.get, api.url).is_unexpected
        fails[0] = False
        assert 200 == client.get(api.url).status_code
    assert 1 == tokens.calls


# -- Mocks ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def not_mocked(mode: Mode) -> Iterator[None]:
    """Have all calls of the library end in a bare exception, as mocks do at what they weren't told of."""

    def fail(*args: Any, **options: Any) -> Any:
        error = KINDS["Exception"]()
        raise error

    with pytest.MonkeyPatch.context() as patch:
        mode.break_calls(patch, fail)
        yield


@pytest.mark.each_mode
def test_tests_that_forgot_a_mock_harm_no_other(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """After four that forgot the token URL, one with the same auth object that didn't goes through at once."""
    auth = client_credentials(mode, tokens)
    for _ in range(4):
        with mode.client(auth) as client, not_mocked(mode):
            assert isinstance(outcome_of(client.get, api.url), TokenError)
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    assert 1 == tokens.calls


@pytest.mark.each_mode
@pytest.mark.parametrize("mode", [modes.HTTPX, modes.HTTPX_ASYNCIO, modes.HTTPX_TRIO], ids=str)
def test_tests_that_forgot_a_route_of_respx_harm_no_other(mode: Mode) -> None:
    """The same with respx, which raises an `AssertionError`."""
    url, api = "https://auth.example/token", "https://api.example/"
    auth = mode.plugin.ClientCredentialsAuth(url, "client", "secret")
    for mocks_the_token_url in (False, False, False, False, True):
        with respx.mock(assert_all_called=False) as mock:
            mock.get(api).respond(200)
            if mocks_the_token_url:
                mock.post(url).respond(200, json={"access_token": "it", "expires_in": 3600})
            with mode.client(auth) as client:
                answer = outcome_of(client.get, api)
        assert isinstance(answer, TokenError) is not mocks_the_token_url
    assert 200 == answer.status_code


# -- What holds callers, and what doesn't ---------------------------------------------------------------------------


def test_a_provider_that_raises_is_asked_again(mode: Mode, api: ScriptedServer, tokens: Tokens) -> None:
    """A token provider's error may pass, as ever."""
    fails = [True]
    tokens.accepted = {"Bearer provided"}

    def provider(_: OAuthToken | None) -> OAuthToken:
        if fails[0]:
            raise LookupError("the vault is locked")
        return OAuthToken(access_token="provided", expires_in=3600)

    with mode.client(mode.plugin.TokenProviderAuth(provider)) as client:
        error = outcome_of(client.get, api.url)
        assert (True, False) == (error.retryable, error.is_unexpected)
        fails[0] = False
        assert 200 == client.get(api.url).status_code


def test_the_servers_word_still_counts(mode: Mode, tokens: Tokens, api: ScriptedServer, hook: Hook) -> None:
    """A refusal after such an error is remembered: callers get it without a call."""
    hook.raises = KINDS["LookupError"]
    with mode.client(client_credentials(mode, tokens, token_client=hook.client)) as client:
        assert outcome_of(client.get, api.url).is_unexpected
        hook.raises = None
        tokens.answer = lambda _: Answer(400, {"error": "invalid_scope"})
        errors = [outcome_of(client.get, api.url) for _ in range(5)]
    assert {("invalid_scope", False)} == {(error.error, error.is_unexpected) for error in errors}
    assert 2 == tokens.calls
