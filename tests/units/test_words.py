"""The words of others, and what is said of a refusal: what must be in them, and what must never be."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from oauth_auth import OAuthProviderException, TokenError, TokenResponseError, basic_authorization
from oauth_auth._wire.messages import (
    TokenResponse,
    read_device_response,
    read_token_response,
)
from oauth_auth._wire.metadata import read_metadata_response
from oauth_auth._wire.token_request import TokenRequest, build_token_request
from oauth_auth._wire.words import redact, server_words
from oauth_auth.errors import rebuild

URL = "https://auth.example/token"
SECRET = "p/ä\"<s3cret>'& +%\\x"

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "form": quote_plus,
    "form with %20": lambda text: quote(text, safe=""),
    "form in lower case": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with UTF-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON with escaped slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "HTML": html.escape,
    "HTML with decimal references": lambda text: (
        html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    ),
    "HTML with quotes": lambda text: html.escape(text, quote=False),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_removed_in_each_form(form: str) -> None:
    """What we sent is removed from a text in whichever form a server repeats it."""
    assert "no [redacted], no [redacted]!" == redact("no {0}, no {0}!".format(FORMS[form](SECRET)), [SECRET])


@pytest.mark.parametrize("before", [0, 190, 195, 199, 9_990, 10_000, 50_000])
def test_a_secret_is_removed_before_the_text_is_shortened(before: int) -> None:
    """No half of a secret is left where a text ends, wherever it stands, and though others are removed before it."""
    secret = "s" + "x" * 3000
    for text in ("a" * before + secret, secret * 5 + "a" * before + secret):
        assert "xxx" not in (redact(text, [secret], 200) or "")
        assert "xxx" not in (server_words({"message": text}, "", [secret]) or "")


JSON_WORDS: list[tuple[Any, str | None]] = [
    ({"error_description": "No."}, "No."),
    ({"errorCode": "E0000015", "errorSummary": "You do not have permission."}, "You do not have permission."),
    ({"message": "Bad client", "path": "/x"}, "Bad client"),
    ({"detail": "No such tenant", "title": "Not Found", "type": "about:blank"}, "No such tenant"),
    ({"type": "about:blank", "title": "Bad Request", "status": 400}, "Bad Request"),
    ({"error": {"code": 400, "message": "Bad audience"}}, "Bad audience"),
    ({"error": {"code": 400, "reason": "x"}}, "fields: error.code, error.reason"),
    ({"detail": [{"loc": ["body"]}], "kind": "x"}, "fields: detail, kind"),
    ({"error_description": "", "message": " \n ", "title": "T"}, "T"),
    ({"message": "two\r\nlines\x1b[31m"}, "two  lines [31m"),
    ({"message": "x" * 300}, "x" * 200),
    ({}, None),
    ([1], None),
]


@pytest.mark.parametrize(("body", "words"), JSON_WORDS)
def test_the_words_of_json(body: Any, words: str | None) -> None:
    """A server's own words are found wherever servers put them, are one line, and 200 characters at most."""
    error = refused(body)
    assert isinstance(error, TokenResponseError)
    assert words == error.server_message
    assert words is None or f': "{words}".' in str(error)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<html><head><title>Sign in</title>", "Sign in"),
        ("<!DOCTYPE html>\n<TITLE lang=en>\n  A &amp;\n B </TITLE>", "A & B"),
        ("<html><title>", None),
        ("<html><title></title>", None),
        ("<title" * 150_000, None),
        ("upstream connect error: a=b", None),
    ],
)
@pytest.mark.parametrize("status", [200, 401, 502])
def test_the_words_of_a_page(page: str, words: str | None, status: int) -> None:
    """Of a web page it's the title."""
    error = refused(page.encode(), status=status, kind="text/html")
    assert words == error.server_message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": "invalid_client", "error_description": "No."}, "No."),
        ({"error": "invalid_client", "error_description": "No.", "message": "other"}, "No."),
        ({"error": "invalid_client"}, None),
        ({"error": "Unauthorized", "message": "Bad credentials", "status": 401}, "Bad credentials"),
    ],
)
def test_the_words_with_an_error_of_the_protocol(body: Any, words: str | None) -> None:
    """Where the error is RFC 6749's, the words are its description; they outlive a pickle, and a copy."""
    error = refused(body)
    assert isinstance(error, OAuthProviderException)
    assert words == error.server_message
    for copy in (error.without_traceback(" (note)"), rebuild(type(error), error.args, error.__dict__)):
        assert words == copy.server_message


def test_the_words_of_an_answer_without_a_token() -> None:
    """An answer that isn't an error, and no token either, is told by its words, or by its fields."""
    for body, words in (({"ok": True, "authed_user": {}}, "fields: ok, authed_user"), ({"message": "later"}, "later")):
        error = refused(body, status=200)
        assert words == error.server_message
        assert f'no access_token that a header can carry: "{words}"' in str(error)


def test_the_words_of_other_endpoints() -> None:
    """Device endpoint and metadata are told by their words, too."""
    answer = TokenResponse(200, {}, b'{"message": "no devices today"}')
    with pytest.raises(TokenResponseError, match='"no devices today"') as device:
        read_device_response(sent(PUBLIC), answer)
    trouble = TokenResponse(503, {}, b"<html><title>Down for repair</title>")
    with pytest.raises(TokenResponseError, match='could not be fetched: "Down for repair"') as metadata:
        read_metadata_response(sent({}), trouble, "https://auth.example")
    assert ("no devices today", "Down for repair") == (device.value.server_message, metadata.value.server_message)


# -- What is said of a refusal --------------------------------------------------------------------------------------


def refused(
    body: Any,
    *,
    status: int = 400,
    kind: str = "application/json",
    request: TokenRequest | None = None,
    location: str | None = None,
) -> Any:
    request = request or sent({"grant_type": "client_credentials", "client_id": "orders"})
    headers = {} if location is None else {"location": location}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(TokenError) as caught:
        read_token_response(request, TokenResponse(status, {"content-type": kind, **headers}, raw))
    assert str(caught.value).isprintable()
    return caught.value


def sent(fields: Mapping[str, str], authorization: str | None = None) -> TokenRequest:
    return build_token_request(f"{URL}?key=k3y", authorization, fields)


PUBLIC = {"grant_type": "client_credentials", "client_id": "orders", "scope": "a b"}
BASIC = basic_authorization("orders", "s3cret")
CODE = {"grant_type": "authorization_code", "code": "c0de", "redirect_uri": "https://x/"}
REFUSALS: dict[str, tuple[Mapping[str, str], str | None, str, list[str], list[str]]] = {
    "no secret": (
        PUBLIC,
        None,
        "invalid_client",
        [
            f"{URL} refused client 'orders' (client_credentials): invalid_client, \"words of the server\". No secret",
            "No secret was sent: client_secret is None.",
        ],
        ["scope", "white space"],
    ),
    "no secret, and another reason": (PUBLIC, None, "invalid_request", ["invalid_request"], ["No secret"]),
    "a secret in the header": (
        {"grant_type": "refresh_token", "refresh_token": "r3fresh"},
        BASIC,
        "invalid_client",
        [
            "client 'orders' (refresh_token)",
            "Are the client's credentials right? They were sent in the Authorization header (ClientSecretBasic).",
        ],
        ["No secret", "ClientSecretPost"],
    ),
    "a secret in the form": (
        {**PUBLIC, "client_secret": "s3cret"},
        None,
        "invalid_client",
        ["Are the client's credentials right? They were sent in the form (ClientSecretPost)."],
        ["No secret", "ClientSecretBasic"],
    ),
    "an assertion": ({**PUBLIC, "client_assertion": "s3cret"}, None, "invalid_client", ["'orders'"], ["authenticated"]),
    "white space in the header": (
        PUBLIC,
        basic_authorization("orders", "s3cret\n"),
        "invalid_client",
        ["The client_secret that was sent begins or ends with white space."],
        [],
    ),
    "white space in the form": (
        {**PUBLIC, "client_secret": " s3cret", "client_id": "orders "},
        None,
        "unauthorized_client",
        ["The client_id that was sent begins or ends", "The client_secret that was sent begins or ends"],
        ["authenticated"],
    ),
    "white space in a password": (
        {"grant_type": "password", "username": "john", "password": "s3cret ", "client_id": "orders"},
        None,
        "invalid_grant",
        ["(password)", "The password that was sent begins or ends with white space."],
        ["code"],
    ),
    "a scope": (PUBLIC, BASIC, "invalid_scope", ['The scope was "a b".'], ["secret"]),
    "no scope": ({"grant_type": "client_credentials"}, BASIC, "invalid_scope", ["No scope was asked for"], []),
    "a code": (CODE, BASIC, "invalid_grant", ["used before", "expired", "redirect_uri or code_verifier"], []),
    "no client": ({"grant_type": "x"}, None, "invalid_client", ["a client without client_id (x)", "No secret"], []),
    "another scheme": (PUBLIC, "Digest s3cret", "invalid_client", ["client 'orders'"], ["authenticated"]),
    "a Basic header that can't be read": (PUBLIC, "Basic s3cret!", "invalid_client", ["without client_id"], []),
    "no grant": ({"token": "t0ken", "client_id": "orders"}, None, "x", [f"{URL} refused client 'orders': x, "], []),
}


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("status", [200, 400, 401, 403, 429])
def test_what_is_said_of_a_refusal(name: str, status: int) -> None:
    """A refusal names the client and the grant, and says of what was sent what may be wrong; no secret, no query."""
    fields, authorization, code, facts, others = REFUSALS[name]
    body = {"error": code, "error_description": "words of the server"}
    error = refused(body, status=status, request=sent(fields, authorization))
    for fact in (*facts, '"words of the server"', f"status {status}"):
        assert fact in str(error)
    assert [] == [other for other in (*others, "k3y", "s3cret", "c0de", "r3fresh", "t0ken") if other in str(error)]


def test_a_refusal_without_an_error_of_the_protocol() -> None:
    """It names the client and the grant, too, and the URL once."""
    error = refused({"message": "no"}, status=403)
    assert f"{URL} refused client 'orders' (client_credentials), without an error of RFC 6749" in str(error)
    assert 1 == str(error).count(URL)


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("body", [b"", b"<html><title>Not Found</title>", b'{"error": "Not Found"}'])
def test_where_there_is_no_endpoint(status: int, body: bytes) -> None:
    """404 and 405 mean another URL: no client is blamed, unless the protocol's own error says so."""
    error = refused(body, status=status)
    assert f"there is no token endpoint at {URL}" in str(error)
    assert "if it is the issuer's, use from_issuer()" in str(error)
    assert (b"Not" in body) is ("The server said" in str(error))
    assert "orders" not in str(error)
    assert "refused client 'orders'" in str(refused({"error": "invalid_client"}, status=status))


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("https://other.example/login?key=k3y#x", " to https://other.example/login,"),
        ("/a/b?c", " to https://auth.example/a/b,"),
        ("//user:k3y@x.example", " to https://x.example,"),
        ("https://[", ","),
        (None, ","),
    ],
)
def test_a_redirect_says_where_to(location: str | None, place: str) -> None:
    """A redirect is told with its target, without query and user info."""
    error = refused(b"", status=302, location=location)
    assert f"the token endpoint redirects{place} and token calls follow no redirect: give its final URL" in str(error)
    assert "k3y" not in str(error)


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        (b"<html lang=en><title>Sign in</title>", "text/html"),
        (b"\n<!doctype html><title>Sign in</title>a=b", ""),
        (b"<!-- page --><title>Sign in</title>", "text/html; charset=utf-8"),
    ],
)
def test_a_web_page_where_a_token_was_expected(page: bytes, kind: str) -> None:
    """A page with status 200 is told by its title, and what it may be."""
    error = refused(page, status=200, kind=kind)
    assert 'answered with a web page, "Sign in": is this the authorization URL, or does a proxy answer?' in str(error)


def test_a_proxy_that_wants_a_login() -> None:
    """407 is a proxy's, not the server's: no client is blamed."""
    error = refused(b"", status=407)
    assert f"a proxy before {URL} wants a login" in str(error)
    assert "orders" not in str(error)


def test_a_token_is_a_token_whatever_else_is_said() -> None:
    """An answer with a token isn't searched for words."""
    response = TokenResponse(200, {}, b'{"access_token": "a", "message": "hello", "error": ""}')
    assert "a" == read_token_response(sent(PUBLIC), response).access_token
