"""Guarantee 10: what real token endpoints answer is read as they mean it, and nothing else is taken for a token."""

from __future__ import annotations

import gzip
import json
import logging
import pickle
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import (
    ConfigurationError,
    OAuthProviderError,
    OAuthProviderException,
    OAuthToken,
    TokenError,
    TokenResponseError,
)
from oauth_auth._wire.messages import (
    TokenRequest,
    TokenResponse,
    build_token_request,
    join_scope,
    read_retry_after,
    read_token_response,
)
from tests.support.modes import Mode
from tests.support.scripted import Answer, ScriptedServer
from tests.support.tokens import Tokens, client_credentials
from tests.support.waiting import await_waiting

Serve = Callable[..., ScriptedServer]

FORM = "application/x-www-form-urlencoded"
CENTURY = 100 * 366 * 86400


def answered(mode: Mode, serve: Serve, answer: Answer) -> OAuthToken:
    """Return the token that the plug-in reads from this answer of a real token endpoint."""
    server = serve(lambda _: answer)
    token: OAuthToken = mode.plugin.ClientCredentialsAuth(server.url, "client", "secret").get_token()
    return token


def text(body: str | bytes, content_type: str | None, status: int = 200) -> Answer:
    body = body if isinstance(body, bytes) else body.encode()
    return Answer(status, body, () if content_type is None else (("Content-Type", content_type),))


# -- Lifetimes ------------------------------------------------------------------------------------------------------

LIFETIMES = [
    (3600, 3600),
    ("3600", 3600),
    (" 3600 ", 3600),
    (3600.0, 3600),
    (1800.5, 1800.5),
    ("1800.5", 1800.5),
    ("3.6e3", 3600),
    (0, 0),
    ("0", 0),
    (-1, 0),
    ("-3600", 0),
    (10**12, CENTURY),
    (10**400, None),
    (1e300, CENTURY),
    (None, None),
    ("", None),
    ("never", None),
    ("1 hour", None),
    (True, None),
    ([3600], None),
    ({"seconds": 3600}, None),
    (float("nan"), None),
    (float("inf"), None),
    ("Infinity", None),
    ("nan", None),
]


@pytest.mark.parametrize(("sent", "expected"), LIFETIMES)
def test_lifetimes_are_read(plugin_mode: Mode, serve: Serve, sent: object, expected: float | None) -> None:
    """`expires_in` may be a number or text; what is no number of seconds counts as absent."""
    begun = time.time()
    body = json.dumps({"access_token": "good", "token_type": "Bearer", "expires_in": sent})
    token = answered(plugin_mode, serve, text(body, "application/json"))
    assert expected == token.expires_in
    if expected is None:
        assert token.expiry is None
    else:
        assert token.expiry is not None
        assert begun + expected <= token.expiry <= time.time() + expected


def test_a_token_without_lifetime_is_used_on_and_on(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A token that the server gave no lifetime is sent until it's rejected."""
    del tokens.fields["expires_in"]
    with mode.client(client_credentials(mode, tokens)) as client:
        assert [200] * 3 == [client.get(api.url).status_code for _ in range(3)]
        assert 1 == tokens.calls
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    assert 2 == tokens.calls


@pytest.mark.parametrize("lifetime", [5, 1.5, "9", 10])
def test_a_lifetime_shorter_than_the_leeway_gives_a_usable_token(
    mode: Mode, tokens: Tokens, api: ScriptedServer, lifetime: object
) -> None:
    """A token that lives shorter than `leeway` serves more than one request."""
    tokens.fields["expires_in"] = lifetime
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


# -- Token types ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "Bearer"),
        ({"token_type": None}, "Bearer"),
        ({"token_type": ""}, "Bearer"),
        ({"token_type": "  "}, "Bearer"),
        ({"token_type": 1}, "Bearer"),
        ({"token_type": ["Bearer"]}, "Bearer"),
        ({"token_type": "Bearer"}, "Bearer"),
        ({"token_type": "bearer"}, "bearer"),
        ({"token_type": "BEARER"}, "BEARER"),
        ({"token_type": " bearer\n"}, "bearer"),
    ],
)
def test_token_types_are_read(
    plugin_mode: Mode,
    tokens: Tokens,
    api: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
    *,
    fields: dict[str, Any],
    expected: str,
) -> None:
    """`token_type` may be absent or in any case; the header says `Bearer` anyway, and nothing is logged."""
    tokens.fields = fields
    auth = client_credentials(plugin_mode, tokens)
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    assert (expected, "Bearer token-1") == (auth.token.token_type, api.requests[0].authorization)
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_an_unknown_token_type_is_sent_as_bearer_and_logged_once(
    mode: Mode, tokens: Tokens, api: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A token of a type that nobody knows is sent as Bearer; of that the log says a word, once."""
    token_type = f"unknown-{uuid.uuid4()}"  # what was logged once is not logged again in this process
    tokens.fields["token_type"] = token_type
    with mode.client(client_credentials(mode, tokens)) as client:
        client.get(api.url)
        tokens.revoke()
        client.get(api.url)
    with mode.client(client_credentials(mode, tokens)) as client:
        assert 200 == client.get(api.url).status_code
    assert 3 == tokens.calls
    assert ["Bearer token-1", "Bearer token-1", "Bearer token-2", "Bearer token-3"] == [
        request.authorization for request in api.requests
    ]
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert ("oauth_auth", True) == (warning.name, token_type in warning.getMessage())


# -- Scopes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("read write", "read write"),
        (["read", "write"], "read write"),
        (["read", 5, None, "write"], "read write"),
        ("read", "read"),
        ("", None),
        ([], None),
        (None, None),
        (5, None),
        ({"read": True}, None),
        ("read,write", "read,write"),
    ],
)
def test_scopes_are_read(plugin_mode: Mode, serve: Serve, sent: object, expected: str | None) -> None:
    """`scope` may be text, a list or absent, and differ from what was asked for."""
    token = answered(plugin_mode, serve, Answer(200, {"access_token": "good", "scope": sent}))
    assert expected == token.scope


def test_a_scope_that_changed_changes_nothing_else(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A server that grants less than was asked for is asked for the same again at renewal."""
    tokens.fields["scope"] = "read"
    auth = client_credentials(mode, tokens, scope=["read", "write"])
    with mode.client(auth) as client:
        client.get(api.url)
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    assert "read" == auth.token.scope
    assert [["read write"]] * 2 == [request.form["scope"] for request in tokens.server.requests]


# -- Bodies ---------------------------------------------------------------------------------------------------------

JSON_TOKEN = '{"access_token": "good", "expires_in": 60, "scope": "a b", "refresh_token": "re+fresh", "user": "ä"}'
FORM_TOKEN = "access_token=good&expires_in=60&scope=a+b&refresh_token=re%2Bfresh&user=%C3%A4"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (JSON_TOKEN, "application/json"),
        (JSON_TOKEN, "application/json; charset=utf-8"),
        (JSON_TOKEN, "APPLICATION/JSON"),
        (JSON_TOKEN, "application/vnd.acme+json"),
        (JSON_TOKEN, "text/plain"),
        (JSON_TOKEN, "text/html"),
        (JSON_TOKEN, FORM),
        (JSON_TOKEN, None),
        (JSON_TOKEN, ""),
        ("\ufeff" + JSON_TOKEN, "application/json"),
        ("\r\n " + JSON_TOKEN + "\n\n", "application/json"),
        (FORM_TOKEN, FORM),
        (FORM_TOKEN, FORM + "; charset=utf-8"),
        (FORM_TOKEN, FORM.upper()),
        (FORM_TOKEN, "text/plain"),
        (FORM_TOKEN, "text/plain;charset=UTF-8"),
        (FORM_TOKEN, None),
        (FORM_TOKEN + "\n", "text/plain"),
    ],
)
def test_bodies_are_read(plugin_mode: Mode, serve: Serve, body: str, content_type: str | None) -> None:
    """A token is read from JSON whatever its type says, and from a form that's declared so, as text or not at all."""
    token = answered(plugin_mode, serve, text(body, content_type))
    assert ("good", 60, "a b", "re+fresh", {"user": "ä"}) == (
        token.access_token,
        token.expires_in,
        token.scope,
        token.refresh_token,
        token.extra,
    )


def test_a_compressed_body_is_read(plugin_mode: Mode, serve: Serve) -> None:
    """A token is read from a compressed body."""
    headers = (("Content-Encoding", "gzip"), ("Content-Type", "application/json"))
    assert "good" == answered(plugin_mode, serve, Answer(200, gzip.compress(JSON_TOKEN.encode()), headers)).access_token


@pytest.mark.parametrize("status", [200, 201, 203, 299])
def test_any_2xx_may_bring_a_token(plugin_mode: Mode, serve: Serve, status: int) -> None:
    """A token is read from any answer with a status of success."""
    assert "good" == answered(plugin_mode, serve, Answer(status, {"access_token": "good"})).access_token


@pytest.mark.parametrize("error", [None, "", 0, False, [], {}])
def test_a_token_with_an_empty_error_is_a_token(plugin_mode: Mode, serve: Serve, error: object) -> None:
    """An `error` that says nothing, beside a token, is no error."""
    assert "good" == answered(plugin_mode, serve, Answer(200, {"access_token": "good", "error": error})).access_token


@pytest.mark.parametrize("status", [200, 400])
def test_a_token_beside_an_error_counts_by_its_status(plugin_mode: Mode, serve: Serve, status: int) -> None:
    """Where an answer has both a token and an error, success means the token, and another status the error."""
    answer = Answer(status, {"access_token": "good", "error": "invalid_scope"})
    if status == 200:
        assert "good" == answered(plugin_mode, serve, answer).access_token
        return
    with pytest.raises(OAuthProviderException):
        answered(plugin_mode, serve, answer)


def test_other_fields_survive(plugin_mode: Mode, serve: Serve) -> None:
    """All fields of an answer that aren't the RFC's are in `extra`, nested ones, too."""
    others = {"id_token": "x.y.z", "instance_url": "https://x.example", "user": {"id": 7}, "expiry": "soon", "extra": 1}
    token = answered(plugin_mode, serve, Answer(200, {"access_token": "good", **others}))
    assert others == token.extra


@pytest.mark.parametrize("access_token", ["a", "a.b-c_d~e+f/g==", "!#$%&'()*,:;<=>?@[]^`{|}", "x" * 5000])
def test_an_access_token_is_sent_as_it_came(plugin_mode: Mode, serve: Serve, tokens: Tokens, access_token: str) -> None:
    """An access token of any printable ASCII goes into the header unchanged."""
    api = serve(lambda _: Answer(200))
    tokens.answer = lambda _: Answer(200, {"access_token": access_token})
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        client.get(api.url)
    assert f"Bearer {access_token}" == api.requests[0].authorization


# -- What is no token -----------------------------------------------------------------------------------------------

NO_TOKENS = {
    "empty": text("", "application/json"),
    "no content": Answer(204),
    "empty object": Answer(200, {}),
    "null": text("null", "application/json"),
    "list": text('["access_token"]', "application/json"),
    "number": text("5", "application/json"),
    "text in JSON": text('"good"', "application/json"),
    "broken JSON": text('{"access_token": "good"', "application/json"),
    "deep JSON": text("[" * 100_000, "application/json"),
    "deep object": text('{"a":' * 100_000, "application/json"),
    "huge number": text("1" * 100_000, "application/json"),
    "HTML": text("<html>access_token=good&</html>", "text/html"),
    "HTML with a form's body": text(FORM_TOKEN, "text/html"),
    "form declared as JSON": text(FORM_TOKEN, "application/json"),
    "UTF-16": text(JSON_TOKEN.encode("utf-16"), "application/json"),
    "bytes": text(bytes(range(256)), "application/octet-stream"),
    "many fields": text("a=1&" * 5000 + FORM_TOKEN, FORM),
    "null token": Answer(200, {"access_token": None}),
    "empty token": Answer(200, {"access_token": ""}),
    "number as token": Answer(200, {"access_token": 7}),
    "list as token": Answer(200, {"access_token": ["good"]}),
    "token with a line end": Answer(200, {"access_token": "good\r\nX-Evil: yes"}),
    "token with a null byte": Answer(200, {"access_token": "good\0"}),
    "token beyond ASCII": Answer(200, {"access_token": "gööd"}),
    "token with a space before": Answer(200, {"access_token": " good"}),
    "token with a scheme": Answer(200, {"access_token": "Bearer good"}),
    "another name": Answer(200, {"accessToken": "good"}),
    "redirect": text("", None, 302),
    "not modified": text("", None, 304),
}


@pytest.mark.parametrize("name", NO_TOKENS)
def test_what_is_no_token_is_never_sent(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, name: str) -> None:
    """An answer of success without a token that can be sent is a `TokenResponseError`; the API isn't asked."""
    tokens.answer = lambda _: NO_TOKENS[name]
    auth = client_credentials(plugin_mode, tokens)
    with plugin_mode.client(auth) as client, pytest.raises(TokenResponseError) as caught:
        client.get(api.url)
    assert (NO_TOKENS[name].status, tokens.url, False) == (
        caught.value.status_code,
        caught.value.token_url,
        caught.value.retryable,
    )
    assert ([], None) == (api.requests, auth.token)


# -- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (json.dumps({"error": "invalid_scope", "error_description": "No such scope.", "error_uri": "https://x/y"}), ""),
        ("error=invalid_scope&error_description=No+such+scope.&error_uri=https%3A%2F%2Fx%2Fy", FORM),
    ],
    ids=["JSON", "form"],
)
def test_errors_are_read_with_any_status(
    plugin_mode: Mode, serve: Serve, quick: None, *, status: int, body: str, content_type: str
) -> None:
    """An error of RFC 6749 is an `OAuthProviderException` with all that it says, with status 200, too."""
    server = serve(lambda _: text(body, content_type, status))
    with pytest.raises(OAuthProviderException) as caught:
        plugin_mode.plugin.ClientCredentialsAuth(server.url, "client", "secret").get_token()
    error = caught.value
    assert (OAuthProviderError.INVALID_SCOPE, "No such scope.", "https://x/y", status, server.url) == (
        error.error,
        error.error_description,
        error.error_uri,
        error.status_code,
        error.token_url,
    )
    assert "invalid_scope: No such scope." in str(error)


@pytest.mark.parametrize("known", list(OAuthProviderError))
def test_a_known_error_is_a_member(plugin_mode: Mode, serve: Serve, known: OAuthProviderError) -> None:
    """`error` is a member of `OAuthProviderError` for each of the RFC's codes."""
    with pytest.raises(OAuthProviderException) as caught:
        answered(plugin_mode, serve, Answer(400, {"error": str(known)}))
    assert caught.value.error is known


@pytest.mark.parametrize("unknown", ["consent_required", "INVALID_GRANT", "https://errors.example/7", "x" * 400])
def test_an_unknown_error_survives_as_text(plugin_mode: Mode, serve: Serve, unknown: str) -> None:
    """An `error` that the RFC doesn't know is there as the server wrote it."""
    with pytest.raises(OAuthProviderException) as caught:
        answered(plugin_mode, serve, Answer(400, {"error": unknown}))
    assert unknown == caught.value.error


BODIES: dict[str, tuple[str | bytes, str | None]] = {
    "empty": ("", None),
    "empty JSON": ("", "application/json"),
    "HTML": ("<html><h1>Bad Gateway</h1></html>", "text/html"),
    "text": ("upstream connect error", "text/plain"),
    "JSON without error": ('{"message": "no"}', "application/json"),
    "error that is no text": ('{"error": {"code": 400}}', "application/json"),
    "error that is a number": ('{"error": 400}', "application/json"),
    "empty error": ('{"error": ""}', "application/json"),
    "list": ("[1]", "application/json"),
    "bytes": (b"\xff\xfe\x00", "application/octet-stream"),
    "a token, of all things": (JSON_TOKEN, "application/json"),
}


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 408, 418, 429, 431, 451, 500, 502, 503, 504, 599])
@pytest.mark.parametrize("name", BODIES)
def test_bodies_without_an_error_of_the_protocol_are_errors_all_the_same(status: int, name: str) -> None:
    """Any 4xx or 5xx with any body is a `TokenResponseError` that can be printed and pickled, and knows its status."""
    body, content_type = BODIES[name]
    headers = {} if content_type is None else {"content-type": content_type}
    raw = body if isinstance(body, bytes) else body.encode()
    with pytest.raises(TokenResponseError) as caught:
        read_token_response(REQUEST, TokenResponse(status, headers, raw))
    error = pickle.loads(pickle.dumps(caught.value))
    assert (status, content_type, status == 429 or status >= 500) == (
        error.status_code,
        error.content_type,
        error.retryable,
    )
    assert f"status {status}" in str(error)


@pytest.mark.parametrize("status", [400, 401, 503])
@pytest.mark.parametrize("name", BODIES)
def test_a_request_raises_errors_that_can_be_printed(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, quick: None, *, status: int, name: str
) -> None:
    """The same through a real endpoint: a request raises the error, whatever the body."""
    body, content_type = BODIES[name]
    tokens.answer = lambda _: text(body, content_type, status)
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client, pytest.raises(TokenError) as caught:
        client.get(api.url)
    assert status == caught.value.status_code
    assert f"status {status}" in str(caught.value)
    assert [] == api.requests


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("two\r\nlines\x1b[31m", "two  lines [31m"),
        ("  ", None),
        ("", None),
        (5, None),
        (["a"], None),
        ({"de": "nein"}, None),
        ("x" * 501, "x" * 500),
        ("ok \ud800", "ok"),
        ("ünï", "ünï"),
    ],
)
def test_descriptions_are_one_line_of_bounded_length(sent: object, shown: str | None) -> None:
    """What the server says of its error is made fit for a log: one line, at most 500 characters."""
    body = json.dumps({"error": "invalid_grant", "error_description": sent, "error_uri": sent}).encode()
    with pytest.raises(OAuthProviderException) as caught:
        read_token_response(REQUEST, TokenResponse(400, {}, body))
    assert (shown, shown) == (caught.value.error_description, caught.value.error_uri)
    assert str(caught.value).isprintable()


def test_a_content_type_that_cannot_be_shown_is_left_out() -> None:
    """A content type with control characters, or a very long one, doesn't get into errors as it is."""
    for value in ("text/\x1b[31m", "x" * 10_000):
        with pytest.raises(TokenResponseError) as caught:
            read_token_response(REQUEST, TokenResponse(500, {"content-type": value}, b""))
        assert len(str(caught.value)) < 400
        assert str(caught.value).isprintable()


# -- Pure -----------------------------------------------------------------------------------------------------------

REQUEST = build_token_request("https://auth.example/token?tenant=1", "Basic Y2xpZW50OnMzY3JldA==", {"code": "c0de"})


def test_an_error_names_the_endpoint_without_its_query() -> None:
    """The token URL in errors has no query, which may hold a key."""
    with pytest.raises(TokenResponseError) as caught:
        read_token_response(REQUEST, TokenResponse(500, {}, b""))
    assert "https://auth.example/token" == caught.value.token_url
    assert "tenant" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({}, b""),
        ({"a": "b"}, b"a=b"),
        ({"a": "b c", "d": "ü&="}, b"a=b+c&d=%C3%BC%26%3D"),
        ({"a": None}, b""),
        ({"a": ""}, b"a="),
        ({"a": 5, "b": 1.5, "c": True, "d": False}, b"a=5&b=1.5&c=true&d=false"),
        ({"a": ["x", "y"]}, b"a=x&a=y"),
        ({"a": ("x", 2)}, b"a=x&a=2"),
        ({"a": []}, b""),
        ({"a": ["x", None]}, b"a=x"),
    ],
)
def test_fields_are_encoded(fields: dict[str, Any], body: bytes) -> None:
    """A form's values may be text, numbers and truth values; a sequence repeats its field, None drops it."""
    request = build_token_request("https://auth.example/token", None, fields)
    assert body == request.body
    assert {"Accept": "application/json", "Content-Type": FORM} == request.headers


@pytest.mark.parametrize("value", [object(), b"bytes", {"a": "b"}, {"set"}, [["nested"]], [object()], 1j])
def test_fields_of_other_types_are_refused(value: object) -> None:
    """A form's value of any other type is a `ConfigurationError` that names the field."""
    with pytest.raises(ConfigurationError, match="'audience'"):
        build_token_request("https://auth.example/token", None, {"audience": value})


@pytest.mark.parametrize(
    "authorization", ["", "Basic x\r\nX: y", "Basic ü", " Basic x", "Basic x\n", "\0", 5, b"Basic"]
)
def test_an_authorization_that_is_no_header_is_refused(authorization: Any) -> None:
    """An authorization that a header can't carry is a `ConfigurationError`, and isn't shown in it."""
    with pytest.raises(ConfigurationError, match="basic_authorization") as caught:
        build_token_request("https://auth.example/token", authorization, {})
    assert "Basic x" not in str(caught.value)


def test_a_token_request_shows_no_secret() -> None:
    """The repr of a request has the URL alone."""
    assert "TokenRequest(url='https://auth.example/token?tenant=1')" == repr(REQUEST)


@pytest.mark.parametrize(
    ("scope", "joined"),
    [
        (None, None),
        ("", None),
        (" ", None),
        ([], None),
        ([""], None),
        ("read", "read"),
        ("read  write ", "read write"),
        (["read", "write"], "read write"),
        (("read",), "read"),
        (iter(["read", "write"]), "read write"),
        ({"read": 1}, "read"),
    ],
)
def test_scopes_are_joined(scope: Any, joined: str | None) -> None:
    """A scope is text or an iterable of names; an empty one is none."""
    assert joined == join_scope(scope)


@pytest.mark.parametrize("scope", ["a\nb", "a\tb", "\0", ["a b"], ["a", 5], [None], b"read", "a\x7f", "a\ud800"])
def test_scopes_that_cannot_be_are_refused(scope: Any) -> None:
    """A scope with control characters, or of anything but text, is a `ConfigurationError`."""
    with pytest.raises(ConfigurationError, match="scope must be"):
        join_scope(scope)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("9" * 60, CENTURY),
        ("9" * 5000, None),
        ("-1", None),
        ("1.5", None),
        ("1e9", None),
        ("٣", None),
        ("soon", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", CENTURY),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 99 Jan 1970 00:00:00 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 +9999999999", None),
        (",,,,", None),
    ],
)
def test_retry_after_is_read(value: str | None, seconds: float | None) -> None:
    """`Retry-After` is seconds or a date; what it can't be is None, and no value does any harm."""
    assert seconds == read_retry_after(value, time.time())


def test_reading_changes_nothing() -> None:
    """Reading an answer is pure: the same answer gives the same token, and a request object is never changed."""
    request = TokenRequest("https://auth.example/token", {}, b"", ())
    response = TokenResponse(200, {"content-type": "application/json"}, JSON_TOKEN.encode())
    one, other = read_token_response(request, response), read_token_response(request, response)
    assert one.to_dict() | {"expiry": 0} == other.to_dict() | {"expiry": 0}
