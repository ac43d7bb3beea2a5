"""What is sent to an authorization server, and what its answers mean: tables of both."""

from __future__ import annotations

import json
import pickle
import time
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
from oauth_auth._record import replace
from oauth_auth._wire.http_fields import read_retry_after
from oauth_auth._wire.messages import (
    MAX_BODY,
    DeviceResponse,
    TokenResponse,
    join_scope,
    read_device_response,
    read_introspection_response,
    read_pushed_response,
    read_revocation_response,
    read_token_response,
)
from oauth_auth._wire.metadata import NoMetadata, read_metadata_response
from oauth_auth._wire.token_request import TokenRequest, build_token_request
from tests.support.steps import answer, at

FORM = "application/x-www-form-urlencoded"
CENTURY = 100 * 366 * 86400
REQUEST = build_token_request("https://auth.example/token?tenant=1", "Basic Y2xpZW50OnMzY3JldA==", {"code": "c0de"})


def text(body: str | bytes, content_type: str | None, status: int = 200) -> TokenResponse:
    raw = body if isinstance(body, bytes) else body.encode()
    return TokenResponse(status, {} if content_type is None else {"content-type": content_type}, raw)


def read(response: TokenResponse) -> OAuthToken:
    """Return the token of an answer that arrived at a known time."""
    return read_token_response(REQUEST, replace(response, received_at=at(0).wall))


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
def test_lifetimes_are_read(sent: object, expected: float | None) -> None:
    """`expires_in` may be a number or text; what is no number of seconds counts as absent."""
    body = json.dumps({"access_token": "good", "token_type": "Bearer", "expires_in": sent})
    token = read(text(body, "application/json"))
    assert (expected, None if expected is None else at(0).wall + expected) == (token.expires_in, token.expiry)


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
def test_token_types_are_read(fields: dict[str, Any], expected: str) -> None:
    """`token_type` may be absent or in any case."""
    assert expected == read(answer(200, {"access_token": "good", **fields})).token_type


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
def test_scopes_are_read(sent: object, expected: str | None) -> None:
    """`scope` may be text, a list or absent, and differ from what was asked for."""
    assert expected == read(answer(200, {"access_token": "good", "scope": sent})).scope


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
def test_bodies_are_read(body: str, content_type: str | None) -> None:
    """A token is read from JSON whatever its type says, and from a form that's declared so, as text or not at all."""
    token = read(text(body, content_type))
    assert ("good", 60, "a b", "re+fresh", {"user": "ä"}) == (
        token.access_token,
        token.expires_in,
        token.scope,
        token.refresh_token,
        token.extra,
    )


@pytest.mark.parametrize("status", [200, 201, 203, 299])
def test_any_2xx_may_bring_a_token(status: int) -> None:
    """A token is read from any answer with a status of success."""
    assert "good" == read(answer(status, {"access_token": "good"})).access_token


@pytest.mark.parametrize("error", [None, "", 0, False, [], {}])
def test_a_token_with_an_empty_error_is_a_token(error: object) -> None:
    """An `error` that says nothing, beside a token, is no error."""
    assert "good" == read(answer(200, {"access_token": "good", "error": error})).access_token


def test_a_token_beside_an_error_counts_by_its_status() -> None:
    """Where an answer has both a token and an error, success means the token, and another status the error."""
    both = {"access_token": "good", "error": "invalid_scope"}
    assert "good" == read(answer(200, both)).access_token
    with pytest.raises(OAuthProviderException):
        read(answer(400, both))


def test_other_fields_survive() -> None:
    """All fields of an answer that aren't the RFC's are in `extra`, nested ones, too."""
    others = {"id_token": "x.y.z", "instance_url": "https://x.example", "user": {"id": 7}, "expiry": "soon", "extra": 1}
    assert others == read(answer(200, {"access_token": "good", **others})).extra


@pytest.mark.parametrize("access_token", ["a", "a.b-c_d~e+f/g==", "!#$%&'()*,:;<=>?@[]^`{|}", "x" * 5000])
def test_an_access_token_stays_as_it_came(access_token: str) -> None:
    """An access token of any printable ASCII is read unchanged."""
    assert access_token == read(answer(200, {"access_token": access_token})).access_token


# -- What is no token -----------------------------------------------------------------------------------------------

NO_TOKENS = {
    "empty": text("", "application/json"),
    "no content": answer(204),
    "empty object": answer(200, {}),
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
    "null token": answer(200, {"access_token": None}),
    "empty token": answer(200, {"access_token": ""}),
    "number as token": answer(200, {"access_token": 7}),
    "list as token": answer(200, {"access_token": ["good"]}),
    "token with a line end": answer(200, {"access_token": "good\r\nX-Evil: yes"}),
    "token with a null byte": answer(200, {"access_token": "good\0"}),
    "token beyond ASCII": answer(200, {"access_token": "gööd"}),
    "token with a space before": answer(200, {"access_token": " good"}),
    "token with a scheme": answer(200, {"access_token": "Bearer good"}),
    "another name": answer(200, {"accessToken": "good"}),
    "redirect": text("", None, 302),
    "not modified": text("", None, 304),
}


@pytest.mark.parametrize("name", NO_TOKENS)
def test_what_is_no_token_is_an_error(name: str) -> None:
    """An answer of success without a token that can be sent is a `TokenResponseError`, which isn't tried again."""
    with pytest.raises(TokenResponseError) as caught:
        read(NO_TOKENS[name])
    assert (NO_TOKENS[name].status_code, "https://auth.example/token", False) == (
        caught.value.status_code,
        caught.value.token_url,
        caught.value.retryable,
    )


def test_a_longer_body_is_refused() -> None:
    """An answer of more than 1 MiB isn't read, whatever is in it."""
    body = b'{"access_token": "good"}'
    assert "good" == read(text(body.ljust(MAX_BODY), "application/json")).access_token
    with pytest.raises(TokenResponseError, match="more than 1048576 bytes"):
        read(text(body.ljust(MAX_BODY + 1), "application/json"))


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
def test_errors_are_read_with_any_status(status: int, body: str, content_type: str) -> None:
    """An error of RFC 6749 is an `OAuthProviderException` with all that it says, with status 200, too."""
    with pytest.raises(OAuthProviderException) as caught:
        read(text(body, content_type, status))
    error = caught.value
    assert (OAuthProviderError.INVALID_SCOPE, "No such scope.", "https://x/y", status) == (
        error.error,
        error.error_description,
        error.error_uri,
        error.status_code,
    )
    assert 'invalid_scope, "No such scope.".' in str(error)
    assert f"(status {status})" in str(error)


@pytest.mark.parametrize("known", list(OAuthProviderError))
def test_a_known_error_is_a_member(known: OAuthProviderError) -> None:
    """`error` is a member of `OAuthProviderError` for each of the RFC's codes."""
    with pytest.raises(OAuthProviderException) as caught:
        read(answer(400, {"error": str(known)}))
    assert caught.value.error is known


@pytest.mark.parametrize("unknown", ["consent_required", "INVALID_GRANT", "https://errors.example/7", "x" * 400])
def test_an_unknown_error_survives_as_text(unknown: str) -> None:
    """An `error` that the RFC doesn't know is there as the server wrote it."""
    with pytest.raises(OAuthProviderException) as caught:
        read(answer(400, {"error": unknown}))
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
STATUSES = (400, 401, 402, 403, 404, 405, 408, 418, 429, 431, 451, 500, 502, 503, 504, 599)


@pytest.mark.parametrize("name", BODIES)
def test_bodies_without_an_error_of_the_protocol_are_errors_all_the_same(name: str) -> None:
    """Any 4xx or 5xx with any body is a `TokenResponseError` that can be printed and pickled, and knows its status."""
    body, content_type = BODIES[name]
    for status in STATUSES:
        with pytest.raises(TokenResponseError) as caught:
            read(text(body, content_type, status))
        error = pickle.loads(pickle.dumps(caught.value))
        assert (status, content_type, status == 429 or status >= 500) == (
            error.status_code,
            error.content_type,
            error.retryable,
        )
        assert f"status {status}" in str(error)


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


def test_an_error_names_the_endpoint_without_its_query() -> None:
    """The token URL in errors has no query, which may hold a key."""
    with pytest.raises(TokenResponseError) as caught:
        read_token_response(REQUEST, TokenResponse(500, {}, b""))
    assert "https://auth.example/token" == caught.value.token_url
    assert "tenant" not in str(caught.value)


# -- Requests -------------------------------------------------------------------------------------------------------


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
    assert {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": FORM} == request.headers


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
    assert "TokenRequest(method='POST', url='https://auth.example/token?tenant=1')" == repr(REQUEST)


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


# -- Retry-After ----------------------------------------------------------------------------------------------------


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
    assert seconds == read_retry_after(value, at(0).wall)


@pytest.mark.parametrize(
    "value",
    ["Wed, 13 Mar 2030 12:00:05 GMT", "Wednesday, 13-Mar-30 12:00:05 GMT", "Wed Mar 13 12:00:05 2030"],
    ids=["IMF-fixdate", "RFC 850", "asctime"],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_dates_are_in_utc_everywhere(monkeypatch: pytest.MonkeyPatch, value: str, zone: str) -> None:
    """Each of HTTP's three forms of a date means the same wherever the client lives."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert 5.0 == read_retry_after(value, NOON)
    finally:
        monkeypatch.undo()
        time.tzset()


NOON = 1_899_633_600.0
"""Wed, 13 Mar 2030 12:00:00 GMT."""
READERS: dict[str, Callable[[TokenRequest, TokenResponse], object]] = {
    "token": read_token_response,
    "device authorization": read_device_response,
    "revocation": read_revocation_response,
    "pushed authorization request": read_pushed_response,
    "introspection": read_introspection_response,
    "metadata": lambda request, response: read_metadata_response(request, response, "https://auth.example"),
}


@pytest.mark.parametrize(
    ("date", "received_at", "seconds"),
    [
        ("Wed, 13 Mar 2030 12:00:00 GMT", 0.0, 5.0),  # this machine's clock is wrong
        ("Wed, 13 Mar 2030 12:00:04 GMT", NOON, 1.0),
        ("Wed, 13 Mar 2030 12:00:09 GMT", NOON, 0.0),
        (None, NOON, 5.0),
        ("yesterday", NOON + 2, 3.0),
    ],
)
@pytest.mark.parametrize("endpoint", READERS)
def test_a_pause_counts_from_the_answers_own_date(
    endpoint: str, date: str | None, received_at: float, seconds: float
) -> None:
    """A date in `Retry-After` is compared with the answer's `Date`, the server's own clock; else with its arrival."""
    headers = {"retry-after": "Wed, 13 Mar 2030 12:00:05 GMT", **({} if date is None else {"date": date})}
    with pytest.raises(TokenResponseError) as caught:
        READERS[endpoint](REQUEST, TokenResponse(503, headers, b"", received_at))
    assert seconds == caught.value.retry_after


# -- Revocation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": "ignored"}'])
@pytest.mark.parametrize("status", [200, 204, 299])
def test_any_success_ends_a_token(status: int, body: bytes) -> None:
    """Any 2xx says that the token is ended, whatever its body."""
    assert None is read_revocation_response(REQUEST, TokenResponse(status, {}, body))  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (answer(400, {"error": "unsupported_token_type"}), OAuthProviderException),
        (answer(503), TokenResponseError),
        (answer(404), TokenResponseError),
        (answer(302, location="/x"), TokenResponseError),
    ],
)
def test_all_else_does_not(response: TokenResponse, error: type[Exception]) -> None:
    """Any other answer is the error that it is at the token endpoint, too."""
    with pytest.raises(error):
        read_revocation_response(REQUEST, response)


# -- Device authorization -------------------------------------------------------------------------------------------

DEVICE = {"device_code": "d", "user_code": "WDJB-MJHT", "verification_uri": "https://x.example/device"}
READ = DeviceResponse("d", "WDJB-MJHT", "https://x.example/device", None, 600.0, None)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, READ),
        ({"expires_in": 900, "interval": 3}, replace(READ, expires_in=900.0, interval=3.0)),
        ({"expires_in": "900", "interval": "3"}, replace(READ, expires_in=900.0, interval=3.0)),
        ({"expires_in": -1, "interval": -1}, READ),
        ({"expires_in": 10**400, "interval": "soon"}, READ),
        ({"expires_in": None, "interval": [5]}, READ),
        ({"expires_in": float("nan"), "interval": {}}, READ),
        (
            {"verification_uri_complete": "https://x.example/c"},
            replace(READ, verification_uri_complete="https://x.example/c"),
        ),
        ({"verification_uri_complete": "https://x.example/\x1b[31m"}, READ),
        ({"verification_uri_complete": 5}, READ),
    ],
)
def test_a_devices_code_is_read(fields: dict[str, Any], expected: DeviceResponse) -> None:
    """A device's answer is read with what it says of times, and with defaults where it says nothing of use."""
    assert expected == read_device_response(REQUEST, answer(200, {**DEVICE, **fields}))


def test_an_older_name_of_the_page_is_read() -> None:
    """Google's endpoint calls the page `verification_url`."""
    fields = {"device_code": "d", "user_code": "c", "verification_url": "https://old.example"}
    assert "https://old.example" == read_device_response(REQUEST, answer(200, fields)).verification_uri


@pytest.mark.parametrize("name", DEVICE)
@pytest.mark.parametrize("value", [None, "", 5, ["x"], "two\nlines", "\x1b[31m", "\ud800"])
def test_a_devices_code_must_be_fit_to_be_shown(name: str, value: Any) -> None:
    """What a user is to be shown is one line of text: a server must not command a terminal."""
    with pytest.raises(TokenResponseError, match="lacks a usable"):
        read_device_response(REQUEST, answer(200, {**DEVICE, name: value}))


def test_a_devices_code_is_not_shown() -> None:
    """The repr of a device's answer shows none of its codes."""
    assert "DeviceResponse(…)" == repr(READ)


def test_a_device_endpoint_refuses_as_a_token_endpoint_does() -> None:
    """An error of the protocol is an error of the protocol there, too."""
    with pytest.raises(OAuthProviderException):
        read_device_response(REQUEST, answer(400, {"error": "invalid_scope"}))


# -- Pushed authorization requests and introspection ----------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201])
def test_a_reference_is_read(status: int) -> None:
    """The endpoint answers 201; whether one with 200 tells a reference isn't in doubt (RFC 9126 section 2.2)."""
    assert "urn:x:1" == read_pushed_response(REQUEST, answer(status, {"request_uri": "urn:x:1", "expires_in": 60}))


@pytest.mark.parametrize(
    "fields", [{}, *({"request_uri": value} for value in ("", None, 5, ["urn:x"], "a\nb", "\x1b"))]
)
def test_an_answer_without_a_reference_is_refused(fields: dict[str, Any]) -> None:
    """Nobody can be sent anywhere with it."""
    with pytest.raises(TokenResponseError, match="pushed authorization request endpoint") as caught:
        read_pushed_response(REQUEST, answer(201, fields))
    assert (201, "https://auth.example/token", False) == (
        caught.value.status_code,
        caught.value.token_url,
        caught.value.retryable,
    )


@pytest.mark.parametrize("is_active", [True, False])
def test_what_is_told_of_a_token(is_active: bool) -> None:
    """All fields come as the server sends them (RFC 7662 section 2.2)."""
    fields = {"active": is_active, "scope": "a", "cnf": {"jkt": "x"}}
    assert fields == read_introspection_response(REQUEST, answer(200, fields))


@pytest.mark.parametrize("fields", [{}, {"scope": "a"}, *({"active": v} for v in ("true", 1, 0, None, [True]))])
def test_a_token_is_not_active_by_chance(fields: dict[str, Any]) -> None:
    """Only true and false say whether a token is good: "false" would count as true, and null as nothing."""
    with pytest.raises(TokenResponseError, match="introspection endpoint") as caught:
        read_introspection_response(REQUEST, answer(200, fields))
    assert (200, False) == (caught.value.status_code, caught.value.retryable)


@pytest.mark.parametrize("reader", [read_pushed_response, read_introspection_response])
@pytest.mark.parametrize(
    ("response", "error", "retryable"),
    [
        (answer(400, {"error": "invalid_request"}), OAuthProviderException, False),
        (answer(200, {"error": "invalid_request"}), OAuthProviderException, False),
        (answer(401, {"error": "invalid_client"}), OAuthProviderException, False),
        (answer(503, {}), TokenResponseError, True),
        (answer(429, {}), TokenResponseError, True),
        (answer(302, {}, Location="https://x.example"), TokenResponseError, False),
        (text("<html>Log in</html>", "text/html"), TokenResponseError, False),
        (text("", None), TokenResponseError, False),
        (text("[]", "application/json"), TokenResponseError, False),
        (text("[" * 100_000, "application/json"), TokenResponseError, False),
        (text(b"\xff" * (MAX_BODY + 1), "application/json"), TokenResponseError, False),
    ],
)
def test_they_refuse_as_a_token_endpoint_does(
    reader: Callable[[TokenRequest, TokenResponse], object],
    response: TokenResponse,
    error: type[TokenError],
    retryable: bool,
) -> None:
    """Whatever arrives is what was asked for, or an error that says whether asking again may help."""
    with pytest.raises(error) as caught:
        reader(REQUEST, response)
    assert type(caught.value) is error
    assert retryable is caught.value.retryable


# -- Metadata -------------------------------------------------------------------------------------------------------

ISSUER = "https://auth.example/tenant"


@pytest.mark.parametrize("body", [{"issuer": ISSUER}, {"issuer": ISSUER, "token_endpoint": 5, "x": [1]}])
def test_metadata_is_read(body: dict[str, Any]) -> None:
    """Metadata of the issuer is returned as it is, with a byte order mark, too."""
    assert body == read_metadata_response(REQUEST, answer(200, body), ISSUER)
    marked = "\ufeff".encode() + json.dumps(body).encode()
    assert body == read_metadata_response(REQUEST, TokenResponse(200, {}, marked), ISSUER)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (answer(404), None),
        (answer(204), None),
        (answer(400, {"error": "invalid_request"}), None),
        (answer(200, b"<html>"), None),
        (answer(200, b""), None),
        (answer(200, [ISSUER]), None),
        (answer(200, b"[" * 100_000), None),
        (answer(302, location="/x"), "redirects aren't followed"),
        (answer(200, {}), "its metadata has no issuer"),
        (answer(200, {"issuer": 5}), "its metadata has no issuer"),
        (answer(200, {"issuer": "https://auth.example/tenant/"}), "calls it 'https://auth.example/tenant/'"),
        (answer(200, {"issuer": "https://evil.example\x1b[31m"}), "calls it 'https://evil.example [31m'"),
    ],
)
def test_there_may_be_no_metadata_at_a_place(response: TokenResponse, reason: str | None) -> None:
    """What is no metadata of this issuer leaves the search to go on, and says what's worth telling."""
    with pytest.raises(NoMetadata) as caught:
        read_metadata_response(REQUEST, response, ISSUER)
    assert (caught.value.reason is None) if reason is None else (reason in (caught.value.reason or ""))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_is_no_missing_metadata(status: int) -> None:
    """An issuer in trouble is asked again, and the search ends if that doesn't help."""
    with pytest.raises(TokenResponseError) as caught:
        read_metadata_response(REQUEST, answer(status), ISSUER)
    assert (TokenResponseError, True) == (type(caught.value), caught.value.retryable)


def test_metadata_is_bounded() -> None:
    """A document of more than 1 MiB isn't read."""
    with pytest.raises(TokenResponseError, match="longer than 1048576 bytes") as caught:
        read_metadata_response(REQUEST, TokenResponse(200, {}, b" " * (MAX_BODY + 1)), ISSUER)
    assert not isinstance(caught.value, NoMetadata)


# -- Pure -----------------------------------------------------------------------------------------------------------


def test_reading_changes_nothing() -> None:
    """Reading an answer is pure: the same answer gives the same token, and a request object is never changed."""
    request = TokenRequest(url="https://auth.example/token", headers={}, fields={})
    response = TokenResponse(200, {"content-type": "application/json"}, JSON_TOKEN.encode(), at(0).wall)
    assert read_token_response(request, response) == read_token_response(request, response)
