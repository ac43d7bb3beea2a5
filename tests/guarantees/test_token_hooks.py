"""Hooks adapt token calls to servers that aren't standard; what goes wrong in one is told, and shows no secret."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from oauth_auth import OAuthProviderException, TokenError, TokenRequest, TokenResponseError
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received
from tests.support.tokens import Tokens, client_credentials

pytestmark = pytest.mark.shared_core

SECRET = "s3cret-of-the-client"


def in_json(request: TokenRequest) -> TokenRequest:
    return request.as_json()


def with_a_header(request: TokenRequest) -> TokenRequest:
    return dataclasses.replace(request, headers={**request.headers, "X-Tenant": "mine"})


def test_a_hook_sees_each_attempt(plugin_mode: Mode, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request of each attempt goes through the hook: method, URL, headers and fields."""
    monkeypatch.setattr("oauth_auth._server.calls.EndpointCalls.pauses", ((0.0, 0.0), (0.0, 0.0)))
    seen: list[TokenRequest] = []

    def note(request: TokenRequest) -> TokenRequest:
        seen.append(request)
        return with_a_header(request)

    tokens.answer = lambda _: Answer(503) if len(seen) < 3 else None
    client_credentials(plugin_mode, tokens, token_request_hook=note, scope="read").get_token()
    assert ["mine"] * 3 == [request.headers["x-tenant"] for request in tokens.server.requests]
    assert [("POST", tokens.url, {"grant_type": "client_credentials", "scope": "read"})] * 3 == [
        (request.method, request.url, dict(request.fields)) for request in seen
    ]
    assert seen[0].headers["Authorization"].startswith("Basic ")


def test_fields_can_be_sent_as_json(plugin_mode: Mode, tokens: Tokens) -> None:
    """`as_json()` makes the body JSON, with the header that says so; values may be nested."""

    def nested(request: TokenRequest) -> TokenRequest:
        return dataclasses.replace(request, fields={**request.fields, "device": {"id": 5}}).as_json()

    client_credentials(plugin_mode, tokens, token_request_hook=nested).get_token()
    [request] = tokens.server.requests
    assert "application/json" == request.headers["content-type"]
    assert {"grant_type": "client_credentials", "device": {"id": 5}} == json.loads(request.body)


def test_the_hook_sees_codes_and_refreshes_too(plugin_mode: Mode, tokens: Tokens) -> None:
    """Withings' `action=requesttoken` goes into the exchange of a code and into each refresh."""

    def add_action(request: TokenRequest) -> TokenRequest:
        return dataclasses.replace(request, fields={"action": "requesttoken", **request.fields})

    tokens.fields = {"expires_in": 3600, "refresh_token": "refresh"}
    auth = plugin_mode.plugin.AuthorizationCodeAuth(
        tokens.url, "client", SECRET, code="c", redirect_uri="https://a/", token_request_hook=add_action
    )
    auth.get_token()
    auth.refresh()
    assert [["requesttoken"]] * 2 == [request.form["action"] for request in tokens.server.requests]


def test_answers_are_read_as_the_hook_returns_them(plugin_mode: Mode, tokens: Tokens) -> None:
    """Nested and renamed fields, as Slack's and Withings', make a token."""
    body = {"ok": True, "authed_user": {"token": "nested", "lifetime": 60}}
    tokens.answer = lambda _: Answer(200, body)

    def unpack(fields: Any) -> Any:
        user = fields["authed_user"]
        return {"access_token": user["token"], "expires_in": user["lifetime"]}

    token = client_credentials(plugin_mode, tokens, token_response_hook=unpack).get_token()
    assert ("nested", 60) == (token.access_token, token.expires_in)


def test_an_error_can_be_made_readable(plugin_mode: Mode, tokens: Tokens) -> None:
    """A hook may name the error of an answer that says it in its own way, whatever its status."""
    tokens.answer = lambda _: Answer(200, {"ok": False, "reason": "bad_client"})
    auth = client_credentials(
        plugin_mode, tokens, token_response_hook=lambda fields: {"error": "invalid_client", "was": fields["reason"]}
    )
    with pytest.raises(OAuthProviderException) as caught:
        auth.get_token()
    assert "invalid_client" == caught.value.error


def raising(_: object) -> Any:
    raise KeyError(SECRET)


@pytest.mark.parametrize(
    ("option", "hook", "text"),
    [
        ("token_request_hook", raising, "token_request_hook raised KeyError"),
        ("token_request_hook", lambda _: None, "token_request_hook must return the TokenRequest to send, not NoneType"),
        ("token_request_hook", lambda r: dataclasses.replace(r, fields={"a": object()}), "can't be sent"),
        ("token_request_hook", lambda r: dataclasses.replace(r, fields={"a": {1}}).as_json(), "JSON can carry"),
        ("token_request_hook", lambda r: dataclasses.replace(r, url="http://auth.example/token"), "plain http"),
        ("token_request_hook", lambda r: dataclasses.replace(r, url=None), "method and url must be text"),
        ("token_request_hook", lambda r: dataclasses.replace(r, headers=None), "must be mappings"),
        (
            "token_request_hook",
            lambda r: dataclasses.replace(r, headers={"Authorization": None}),
            "'Authorization' must",
        ),
        ("token_request_hook", lambda r: dataclasses.replace(r, headers={"X-Key": f"{SECRET}\n"}), "one line"),
        ("token_response_hook", lambda _: {1: 2}, "token_response_hook must return the answer's fields, not dict"),
        ("token_response_hook", raising, "token_response_hook raised KeyError"),
        ("token_response_hook", lambda _: None, "token_response_hook must return the answer's fields, not NoneType"),
        ("token_response_hook", lambda _: "x", "token_response_hook must return the answer's fields, not str"),
    ],
)
def test_a_hook_that_fails_is_a_token_error(
    plugin_mode: Mode, tokens: Tokens, option: str, hook: Any, text: str
) -> None:
    """What a hook raises, or returns wrongly, is a `TokenError` that names it, is not retried, and shows no secret."""
    with pytest.raises(TokenError, match=text) as caught:
        client_credentials(plugin_mode, tokens, **{option: hook}).get_token()
    assert not caught.value.retryable
    assert SECRET not in str(caught.value)
    assert tokens.calls == (option == "token_response_hook")


@pytest.mark.parametrize("hook", [raising, lambda _: None])
@pytest.mark.parametrize("answer", [Answer(400, {"error": "invalid_scope"}), Answer(200, {"error": "invalid_scope"})])
def test_the_servers_words_stand_where_a_hook_fails_on_an_error(
    plugin_mode: Mode, tokens: Tokens, hook: Any, answer: Answer
) -> None:
    """A hook written for tokens needs no branch for errors: what the server says is told."""
    tokens.answer = lambda _: answer
    with pytest.raises(OAuthProviderException) as caught:
        client_credentials(plugin_mode, tokens, token_response_hook=hook).get_token()
    assert "invalid_scope" == caught.value.error


def test_an_unreadable_error_stays_one(plugin_mode: Mode, tokens: Tokens) -> None:
    """An answer without fields and with a status of 400 is a `TokenResponseError`, whatever the hook does."""
    tokens.answer = lambda _: Answer(400, b"<html>")
    with pytest.raises(TokenResponseError):
        client_credentials(plugin_mode, tokens, token_response_hook=raising).get_token()


def test_a_secret_that_a_hook_has_moved_is_not_shown(plugin_mode: Mode, tokens: Tokens) -> None:
    """The secret of the header is known as one after the hook has put it into a field of another name."""

    def move(request: TokenRequest) -> TokenRequest:
        headers = {name: value for name, value in request.headers.items() if name != "Authorization"}
        return dataclasses.replace(request, headers=headers, fields={**request.fields, "appKey": SECRET})

    def echo(request: Received) -> Answer:
        return Answer(400, {"error": "invalid_request", "error_description": f"bad {request.form['appKey'][0]}"})

    tokens.answer = echo
    auth = plugin_mode.plugin.ClientCredentialsAuth(tokens.url, "client", SECRET, token_request_hook=move)
    with pytest.raises(OAuthProviderException) as caught:
        auth.get_token()
    assert SECRET not in f"{caught.value} {caught.value.error_description}"


def test_a_secret_that_a_hook_adds_is_not_shown(plugin_mode: Mode, tokens: Tokens) -> None:
    """What a hook puts into the header, or into a field that's secret by its name, is one of the secrets."""

    def add(request: TokenRequest) -> TokenRequest:
        headers, fields = (
            {**request.headers, "Authorization": f"Key {SECRET}"},
            {**request.fields, "assertion": "a55ert"},
        )
        return dataclasses.replace(request, headers=headers, fields=fields)

    tokens.answer = lambda request: Answer(400, {"error": "invalid_request", "error_description": f"{SECRET} a55ert"})
    with pytest.raises(OAuthProviderException) as caught:
        client_credentials(plugin_mode, tokens, token_request_hook=add).get_token()
    assert "[redacted] [redacted]" == caught.value.error_description


def test_other_calls_are_not_adapted(plugin_mode: Mode, tokens: Tokens) -> None:
    """A revocation is no token call: it goes as it is."""
    auth = client_credentials(
        plugin_mode, tokens, token_request_hook=with_a_header, revocation_url=f"{tokens.server.url}/revoke"
    )
    auth.get_token()
    auth.revoke()
    assert [("/token", "mine"), ("/revoke", None)] == [
        (request.path, request.headers.get("x-tenant")) for request in tokens.server.requests
    ]
