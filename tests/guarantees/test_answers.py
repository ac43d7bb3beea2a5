"""Guarantee 10: what real token endpoints answer is read as they mean it, and nothing else is taken for a token.

What each answer means is in tests/units/test_messages.py; here it's shown that each plug-in reads answers so.
"""

from __future__ import annotations

import gzip
import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import ConfigurationError, OAuthProviderException, OAuthToken, TokenError, TokenResponseError
from tests.support.modes import Mode
from tests.support.scripted import Answer, ScriptedServer
from tests.support.tokens import Tokens, client_credentials
from tests.support.waiting import await_waiting

pytestmark = pytest.mark.shared_core

Serve = Callable[..., ScriptedServer]

FORM = "application/x-www-form-urlencoded"


# -- What is a token ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", [FORM, "text/plain;charset=UTF-8", None])
def test_odd_answers_are_read(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, content_type: str | None) -> None:
    """A form in place of JSON, a lifetime as text, a type in small letters and other fields are what they mean."""
    body = b"access_token=a.b-c_d~e%2Bf/g==&token_type=bearer&expires_in=3600&scope=a+b&user=%C3%A4\n"
    tokens.answer = lambda _: Answer(203, body, () if content_type is None else (("Content-Type", content_type),))
    tokens.accepted = {"Bearer a.b-c_d~e+f/g=="}
    auth = client_credentials(plugin_mode, tokens)
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    token = auth.token
    assert ("bearer", 3600, "a b", {"user": "ä"}) == (token.token_type, token.expires_in, token.scope, token.extra)


@pytest.mark.each_plugin
def test_a_compressed_body_is_read(plugin_mode: Mode, serve: Serve) -> None:
    """A token is read from a compressed body."""
    headers = (("Content-Encoding", "gzip"), ("Content-Type", "application/json"))
    server = serve(lambda _: Answer(200, gzip.compress(b'{"access_token": "good"}'), headers))
    auth = plugin_mode.plugin.ClientCredentialsAuth(server.url, "client", "secret")
    assert "good" == auth.get_token().access_token


@pytest.mark.parametrize(
    ("fields", "expires_in", "scope"),
    [
        ({"expires_in": "3600", "token_type": "bearer", "scope": ["a", "b"]}, 3600, "a b"),
        ({"expires_in": 3600.0, "scope": "a b"}, 3600, "a b"),
        ({"expires_in": "", "scope": "", "token_type": "", "refresh_token": ""}, None, None),
        ({"expires_in": None, "scope": None, "token_type": None}, None, None),
    ],
    ids=["texts and a list", "numbers", "empty texts", "nulls"],
)
def test_a_provider_passes_on_what_a_server_answers(
    mode: Mode, tokens: Tokens, api: ScriptedServer, fields: dict[str, Any], expires_in: float | None, scope: str | None
) -> None:
    """`from_dict` of an answer, in a token provider, reads what the library's own calls read."""
    tokens.accepted = {"Bearer provided"}
    auth = mode.plugin.TokenProviderAuth(lambda _: OAuthToken.from_dict({"access_token": "provided", **fields}))
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    assert ("bearer", expires_in, scope) == (auth.token.token_type.lower(), auth.token.expires_in, auth.token.scope)


# -- Lifetimes ------------------------------------------------------------------------------------------------------


def test_a_token_without_lifetime_is_used_on_and_on(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A token that the server gave no lifetime is sent until it's rejected."""
    del tokens.fields["expires_in"]
    with mode.client(client_credentials(mode, tokens)) as client:
        assert [200] * 3 == [client.get(api.url).status_code for _ in range(3)]
        assert 1 == tokens.calls
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    assert 2 == tokens.calls


def test_a_lifetime_shorter_than_the_leeway_gives_a_usable_token(
    mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """A token that lives shorter than `leeway` serves more than one request."""
    tokens.fields["expires_in"] = 5
    with mode.client(client_credentials(mode, tokens, leeway=10.0, refresh_window=300.0)) as client:
        assert [200] * 3 == [client.get(api.url).status_code for _ in range(3)]
    assert 1 == tokens.calls


def test_a_token_of_no_lifetime_serves_those_who_waited_and_no_other(
    mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """`expires_in: 0` serves all requests that waited for it; the next request gets a token of its own."""
    tokens.fields["expires_in"] = 0
    count = 10
    auth = client_credentials(mode, tokens)
    tokens.answer = lambda _: await_waiting(auth, count)
    with mode.client(auth) as client:
        assert [200] * count == [response.status_code for response in client.get_many(api.url, count)]
        assert 1 == tokens.calls
        tokens.answer = None
        assert 200 == client.get(api.url).status_code
    assert 2 == tokens.calls
    assert ["Bearer token-1"] * count + ["Bearer token-2"] == [request.authorization for request in api.requests]


# -- Token types and scopes -----------------------------------------------------------------------------------------


def test_an_unknown_token_type_is_sent_as_bearer_and_logged_once(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A token of a type that nobody knows is sent as Bearer; of that the log says a word, once."""
    token_type = f"unknown-{uuid.uuid4()}"  # what was logged once is not logged again in this process
    tokens.fields["token_type"] = token_type
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        client.get(api.url)
        tokens.revoke()
        client.get(api.url)
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        assert 200 == client.get(api.url).status_code
    assert 3 == tokens.calls
    assert ["Bearer token-1", "Bearer token-1", "Bearer token-2", "Bearer token-3"] == [
        request.authorization for request in api.requests
    ]
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert ("oauth_auth", True) == (warning.name, token_type in warning.getMessage())


def test_a_scope_that_changed_changes_nothing_else(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A server that grants less than was asked for is asked for the same again at renewal."""
    tokens.fields["scope"] = "read"
    auth = client_credentials(plugin_mode, tokens, scope=["read", "write"])
    with plugin_mode.client(auth) as client:
        client.get(api.url)
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    assert "read" == auth.token.scope
    assert [["read write"]] * 2 == [request.form["scope"] for request in tokens.server.requests]


# -- What is no token -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"<html>access_token=good&</html>", b"", b'{"access_token": "good\\r\\nX-Evil: yes"}', b'{"access_token": 7}'],
    ids=["HTML", "empty", "a line end in it", "a number"],
)
def test_what_is_no_token_is_never_sent(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, body: bytes) -> None:
    """An answer of success without a token that can be sent is a `TokenResponseError`; the API isn't asked."""
    tokens.answer = lambda _: Answer(200, body, (("Content-Type", "text/html"),))
    auth = client_credentials(plugin_mode, tokens)
    with plugin_mode.client(auth) as client, pytest.raises(TokenResponseError) as caught:
        client.get(api.url)
    assert (200, tokens.url, False) == (caught.value.status_code, caught.value.token_url, caught.value.retryable)
    assert ([], None, 1) == (api.requests, auth.token, tokens.calls)


@pytest.mark.parametrize("answer", [{}, {"error": "nobody"}, {"access_token": "a\nb"}, []], ids=str)
def test_a_provider_that_gets_no_token_fails_the_request_as_a_server_does(
    mode: Mode, api: ScriptedServer, answer: Any
) -> None:
    """What `from_dict` raises in a token provider reaches the request as a `TokenError`, which may pass."""
    auth = mode.plugin.TokenProviderAuth(lambda _: OAuthToken.from_dict(answer))
    with mode.client(auth) as client, pytest.raises(TokenError) as caught:
        client.get(api.url)
    assert not isinstance(caught.value, ConfigurationError)
    assert isinstance(caught.value.__cause__, ConfigurationError)
    assert str(caught.value.__cause__) in str(caught.value)
    assert (True, []) == (caught.value.retryable, api.requests)


@pytest.mark.parametrize("status", [400, 401, 503])
def test_a_request_raises_errors_that_can_be_printed(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, quick: None, status: int
) -> None:
    """A request raises what a refusal without an error of the protocol is, with its status."""
    tokens.answer = lambda _: Answer(status, b"<html><h1>No</h1></html>", (("Content-Type", "text/html"),))
    auth = client_credentials(plugin_mode, tokens)
    with plugin_mode.client(auth) as client, pytest.raises(TokenResponseError) as caught:
        client.get(api.url)
    assert (status, "text/html") == (caught.value.status_code, caught.value.content_type)
    assert f"status {status}" in str(caught.value)
    assert [] == api.requests


@pytest.mark.parametrize("status", [200, 400])
def test_a_request_raises_the_errors_of_the_protocol(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, status: int
) -> None:
    """A request raises an error of RFC 6749 with all that it says, with status 200, too."""
    said = {"error": "invalid_scope", "error_description": "No such scope.", "error_uri": "https://x/y"}
    tokens.answer = lambda _: Answer(status, said)
    auth = client_credentials(plugin_mode, tokens)
    with plugin_mode.client(auth) as client, pytest.raises(OAuthProviderException) as caught:
        client.get(api.url)
    error = caught.value
    assert (*said.values(), status, tokens.url) == (
        error.error,
        error.error_description,
        error.error_uri,
        error.status_code,
        error.token_url,
    )
    assert [] == api.requests
