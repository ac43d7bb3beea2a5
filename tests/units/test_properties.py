"""Whatever arrives, only errors of ours come out, and no input is slow."""

from __future__ import annotations

import ipaddress
import json
import pickle
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oauth_auth import (
    ConfigurationError,
    OAuthProviderException,
    OAuthToken,
    TokenResponseError,
    basic_authorization,
)
from oauth_auth._clock import Now
from oauth_auth._wire.challenges import errors_for, is_rejection
from oauth_auth._wire.client_auth import ClientSecretBasic
from oauth_auth._wire.http_fields import read_retry_after
from oauth_auth._wire.messages import MAX_BODY, TokenResponse, join_scope, read_token_response
from oauth_auth._wire.token import Credential, is_sendable
from oauth_auth._wire.token_request import TokenRequest, build_token_request
from oauth_auth._wire.urls import check_endpoint, check_transport, origin_of, read_origins, without_query

thorough = settings(max_examples=200)

REQUEST = build_token_request(
    "https://auth.example/token", "Basic Y2xpZW50OnNlY3JldC1vZi1jbGllbnQ=", {"code": "abcdef"}
)

LIMIT = 5.0
"""Seconds of a core that nothing here may take: what is linear takes milliseconds, what is quadratic minutes."""


_T = TypeVar("_T")


def of_ours(call: Callable[[], _T], *errors: type[Exception]) -> _T | Exception:
    """Return what a call returns, or its error if it's one of these."""
    try:
        return call()
    except errors as error:
        return error


@contextmanager
def in_no_time() -> Iterator[None]:
    """Count the time that this thread has computed, which passes no sooner on a busy machine."""
    begun = time.thread_time()
    yield
    assert time.thread_time() - begun < LIMIT


# -- Token answers --------------------------------------------------------------------------------------------------

texts = st.text(max_size=40)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
fields = st.fixed_dictionaries(
    {},
    optional={
        "access_token": anything | st.just("good"),
        "token_type": anything,
        "expires_in": anything,
        "scope": anything,
        "refresh_token": anything,
        "error": anything,
        "error_description": anything,
        "error_uri": anything,
        "expiry": anything,
        "extra": anything,
    },
)
bodies = (
    st.binary(max_size=200)
    | texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
    | anything.map(lambda value: json.dumps(value).encode())
    | fields.map(lambda value: json.dumps(value).encode())
    | st.lists(st.sampled_from(["access_token=a", "error=b", "expires_in=5", "%", "&", "=", ";", "+"])).map(
        lambda parts: "&".join(parts).encode()
    )
)
content_types = (
    st.none() | texts | st.sampled_from(["application/json", "application/x-www-form-urlencoded", "text/plain"])
)
statuses = st.integers(100, 999) | st.sampled_from([200, 400, 401, 403, 503])


def check_answer(status: int, content_type: str | None, retry_after: str | None, body: bytes) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    if retry_after is not None:
        headers["retry-after"] = retry_after
    response = TokenResponse(status, headers, body)
    result = of_ours(lambda: read_token_response(REQUEST, response), OAuthProviderException, TokenResponseError)
    if isinstance(result, OAuthProviderException | TokenResponseError):
        assert status == result.status_code
        assert str(result) == str(pickle.loads(pickle.dumps(result)))
        assert str(result).isprintable()
        assert len(str(result)) < 3000
        assert result.retry_after is None or result.retry_after >= 0
        assert result.retryable is (status == 429 or status >= 500)
        return
    assert isinstance(result, OAuthToken)
    assert 200 <= status < 300
    assert is_sendable(result.access_token)
    assert result == OAuthToken.from_dict(result.to_dict())
    assert result.expires_in is None or result.expires_in >= 0
    assert (
        f"Bearer {result.access_token}"
        == Credential.from_token(result, Now.read(), random, leeway=10, refresh_window=300).header
    )
    for text in (result.token_type, result.scope, result.refresh_token):
        assert text is None or (isinstance(text, str) and text)


@thorough
@given(status=statuses, content_type=content_types, retry_after=st.none() | texts, body=bodies)
@example(status=200, content_type="application/json", retry_after=None, body=b'{"access_token": "Bearer x"}')
@example(
    status=200, content_type="application/json", retry_after=None, body=b'{"access_token": "a", "expires_in": 1e999}'
)
@example(
    status=200, content_type="application/json", retry_after=None, body=b'{"access_token": "a", "scope": ["\\ud800"]}'
)
@example(status=400, content_type="application/json", retry_after="\0", body=b'{"error": "\\ud800"}')
@example(status=200, content_type="text/plain", retry_after=None, body=b"access_token=%00")
def test_any_answer_is_a_token_or_an_error_of_ours(
    status: int, content_type: str | None, retry_after: str | None, body: bytes
) -> None:
    """Any status, content type and body is a token that can be sent, or an error that prints and pickles."""
    check_answer(status, content_type, retry_after, body)


@thorough
@given(status=st.sampled_from([200, 400]), answer=fields)
def test_any_fields_are_a_token_or_an_error_of_ours(status: int, answer: dict[str, Any]) -> None:
    """The same where the fields have the RFC's names, and values of any type."""
    check_answer(status, "application/json", None, json.dumps(answer).encode())


def read_or_error(response: TokenResponse) -> OAuthToken | Exception:
    return of_ours(lambda: read_token_response(REQUEST, response), OAuthProviderException, TokenResponseError)


MIB = 1024 * 1024
LONG_BODIES: dict[str, Callable[[], bytes]] = {
    "brackets": lambda: b"[" * MIB,
    "objects": lambda: b'{"a":' * (MIB // 5),
    "digits": lambda: b"9" * MIB,
    "exponent": lambda: b'{"access_token": "a", "expires_in": 1' + b"0" * (MIB - 100) + b"}",
    "digits as text": lambda: b'{"access_token": "a", "expires_in": "' + b"9" * (MIB - 100) + b'"}',
    "escapes": lambda: b'{"error": "' + b"\\u0000" * ((MIB - 100) // 6) + b'"}',
    "backslashes": lambda: b'"' + b"\\" * (MIB - 1),
    "quotes": lambda: b'"' * MIB,
    "ampersands": lambda: b"&" * MIB,
    "semicolons": lambda: b";" * MIB,
    "equals": lambda: b"=" * MIB,
    "percents": lambda: b"error=" + b"%" * (MIB - 6),
    "percents of a kind": lambda: b"error=" + b"%41" * ((MIB - 6) // 3),
    "pluses": lambda: b"access_token=" + b"+" * (MIB - 13),
    "many fields": lambda: b"a=1&" * (MIB // 4),
    "bytes that are no text": lambda: b"\xff" * MIB,
    "spaces": lambda: b" " * MIB,
    "byte order marks": lambda: b"\xef\xbb\xbf" * (MIB // 3),
    "long token": lambda: b'{"access_token": "' + b"a" * (MIB - 100) + b'"}',
    "long token type": lambda: b'{"access_token": "a", "token_type": "' + b"x " * (MIB // 2 - 100) + b'"}',
    "long description": lambda: b'{"error": "a", "error_description": "' + b"secret-of-client" * (MIB // 17) + b'"}',
    "many keys": lambda: b"{" + b",".join(b'"%d":1' % number for number in range(90_000)) + b"}",
    "many scopes": lambda: b'{"access_token": "a", "scope": [' + b",".join([b'"a"'] * 200_000) + b"]}",
    "one byte too long": lambda: b" " * (MAX_BODY + 1),
}


@pytest.mark.parametrize("name", LONG_BODIES)
def test_no_answer_is_slow(name: str) -> None:
    """No body of 1 MiB takes long to read, however it's made."""
    for content_type in ("application/json", "application/x-www-form-urlencoded"):
        for status in (200, 400):
            response = TokenResponse(status, {"content-type": content_type}, LONG_BODIES[name]())
            with in_no_time():
                result = read_or_error(response)
            assert isinstance(result, OAuthToken) or len(str(result)) < 3000


# -- WWW-Authenticate -----------------------------------------------------------------------------------------------

challenge_parts = st.lists(
    st.sampled_from(["Bearer", "bearer", "Basic", "Digest", "error", "realm", "invalid_token", "insufficient_scope"])
    | st.sampled_from([" ", ",", "=", '"', "\\", "\t", "a", "é", "abc==", ";", "\n", "\0", "invalid_request"]),
    max_size=30,
).map("".join)


@thorough
@given(header=challenge_parts | st.text(max_size=100) | st.none(), status=statuses)
@example(header='Bearer error="insufficient_scope"', status=401)
@example(header='Bearer error="\\', status=401)
def test_any_challenge_is_read(header: str | None, status: int) -> None:
    """Any `WWW-Authenticate` says whether the token was rejected; unreadable, it says nothing."""
    verdict = is_rejection(status, header, (401,))
    assert verdict is False or status == 401
    if header is not None:
        errors = errors_for("bearer", header)
        assert all(isinstance(error, str) for error in errors)
        if status == 401 and not errors:
            assert verdict


tokens = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
quoted = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
realm = quoted.map(lambda text: 'realm="' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')


@thorough
@given(
    scheme=st.sampled_from(["Bearer", "bearer", "BEARER"]),
    before=st.lists(realm, max_size=2),
    error=tokens,
    is_quoted=st.booleans(),
    after=st.lists(realm, max_size=2),
    others=st.lists(st.sampled_from(['Basic realm="x, error=\\"y\\""', "Negotiate", "Negotiate abc==", "Digest a=b"])),
)
def test_a_challenge_of_the_protocol_is_understood(
    *, scheme: str, before: list[str], error: str, is_quoted: bool, after: list[str], others: list[str]
) -> None:
    """The error of a Bearer challenge is found among parameters and other schemes' challenges, wherever it stands."""
    parameter = f'error="{error}"' if is_quoted else f"error={error}"
    challenge = f"{scheme} " + ", ".join([*before, parameter, *after])
    for header in (", ".join([*others, challenge]), ", ".join([challenge, *others])):
        assert [error] == errors_for("bearer", header)
        rejected = error not in {"insufficient_scope", "insufficient_user_authentication", "invalid_request"}
        assert rejected is is_rejection(401, header, (401,))


PIECES = [
    "Bearer ",
    "a",
    "a ",
    " ",
    ",",
    ", ",
    "\t",
    '"',
    '\\"',
    "a=",
    'a="',
    'a="b',
    "=",
    "a==,",
    "Bearer a=b,",
    "\\",
    "é",
]


@pytest.mark.parametrize("prefix", ["", "Bearer ", 'Bearer error="', "Bearer a=b, "])
@pytest.mark.parametrize("length", [8000, MIB])
def test_no_challenge_is_slow(prefix: str, length: int) -> None:
    """No `WWW-Authenticate` takes long to read, however long it is and whatever it repeats."""
    for piece in PIECES:
        header = prefix + piece * (length // len(piece))
        with in_no_time():
            errors_for("bearer", header)
            is_rejection(401, header, (401,))


# -- Retry-After ----------------------------------------------------------------------------------------------------


@thorough
@given(value=st.text(max_size=80) | st.integers().map(str) | st.floats().map(str) | st.none())
@example(value="Mon, 01 Jan 0000 00:00:00 GMT")
@example(value="Mon, 01 Jan 9999 99:99:99 -9999")
@example(value="Mon, 01 Jan 2024 00:00:00 +2500")
@example(value="9" * 64)
def test_any_retry_after_is_seconds_or_nothing(value: str | None) -> None:
    """Any `Retry-After` is a number of seconds, of a century at most, or nothing."""
    seconds = read_retry_after(value, 1.9e9)
    assert seconds is None or 0 <= seconds <= 100 * 366 * 86400


dates = st.datetimes().map(lambda moment: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))


@thorough
@given(value=dates)
def test_any_date_is_seconds_or_nothing(value: str) -> None:
    """The same for any date that there is."""
    seconds = read_retry_after(value, 1.9e9)
    assert seconds is None or 0 <= seconds <= 100 * 366 * 86400


@pytest.mark.parametrize("piece", ["9", " ", "Mon, ", "(", "\\(", ",", ":", "٣", "-", "GMT ", '"'])
def test_no_retry_after_is_slow(piece: str) -> None:
    """No `Retry-After` takes long to read."""
    with in_no_time():
        read_retry_after(piece * (MIB // len(piece)), 0.0)


# -- Stored tokens --------------------------------------------------------------------------------------------------

stored = st.dictionaries(
    st.sampled_from(["access_token", "token_type", "expires_in", "scope", "expiry", "refresh_token", "extra", "x"])
    | texts
    | st.integers(),
    anything | st.binary(max_size=5) | st.just("good"),
    max_size=9,
)


@thorough
@given(fields=stored | fields)
@example(fields={"access_token": "good", "expires_in": 10**400})
@example(fields={"access_token": "good", "expires_in": 1.7e308, "expiry": -1.7e308})
@example(fields={"access_token": "good", "extra": {5: 6}})
def test_any_dictionary_is_a_token_or_an_error_of_ours(fields: dict[Any, Any]) -> None:
    """Whatever a store kept, `from_dict` makes a token that survives being stored again, or says that it can't."""
    try:
        token = OAuthToken.from_dict(fields)
    except ConfigurationError:
        return
    assert repr(token) == repr(OAuthToken.from_dict(token.to_dict()))
    assert isinstance(token.is_expired(), bool)
    credential = Credential.from_token(token, Now.read(), random, leeway=10.0, refresh_window=300.0)
    assert credential.refresh_at <= credential.stale_at <= credential.expires_at


lifetimes = st.floats(0, 1e9) | st.integers(0, 10**9) | st.sampled_from([0, 0.5, 1, 9, 10, 11, 60, 300, 3600])


@thorough
@given(lifetime=lifetimes, leeway=lifetimes, window=lifetimes)
def test_the_windows_are_capped(lifetime: float, leeway: float, window: float) -> None:
    """Leeway is at most a tenth of a lifetime, the window at most a fifth; renewal begins in its first half."""
    token = OAuthToken(access_token="a", expires_in=lifetime, expiry=1e9 + lifetime)
    credential = Credential.from_token(token, Now.read(), random, leeway=leeway, refresh_window=window)
    slack = 1e-6 * (1e9 + lifetime)
    assert 1e9 + lifetime == credential.expires_at
    assert abs(min(leeway, lifetime / 10) - (credential.expires_at - credential.stale_at)) <= slack
    stretch = min(window, lifetime / 5)
    assert stretch / 2 - slack <= credential.stale_at - credential.refresh_at <= stretch + slack


# -- What we send ---------------------------------------------------------------------------------------------------


@thorough
@given(scope=st.text(max_size=50) | st.lists(st.text(max_size=20) | leaves, max_size=5) | anything)
def test_any_scope_is_joined_or_refused(scope: Any) -> None:
    """Any scope is one line of names, each once separated by a space, or a `ConfigurationError`."""
    try:
        joined = join_scope(scope)
    except ConfigurationError:
        return
    assert joined is None or (joined.isprintable() and "  " not in joined and joined == joined.strip())
    assert joined == join_scope(joined)


@pytest.mark.parametrize("scope", ["a " * (MIB // 2), " " * MIB, "a" * MIB, ["a"] * 300_000, "a\n" * 1000])
def test_no_scope_is_slow(scope: Any) -> None:
    """No scope takes long to read."""
    with in_no_time():
        of_ours(lambda: join_scope(scope), ConfigurationError)


@thorough
@given(parameters=st.dictionaries(texts, anything | st.binary(max_size=4), max_size=4), authorization=st.none() | texts)
def test_any_fields_are_sent_or_refused(parameters: dict[str, Any], authorization: str | None) -> None:
    """Any fields and header make a request in ASCII that shows none of them, or are a `ConfigurationError`."""
    try:
        request = build_token_request("https://auth.example/token", authorization, parameters)
    except ConfigurationError:
        return
    assert request.body.isascii()
    assert all(name.isascii() and value.isascii() and value.isprintable() for name, value in request.headers.items())
    assert "TokenRequest(method='POST', url='https://auth.example/token')" == repr(request)


@thorough
@given(client_id=st.text(max_size=30), client_secret=st.text(max_size=30), encode=st.booleans())
def test_any_client_is_proven_or_refused(client_id: str, client_secret: str, encode: bool) -> None:
    """Any id and secret make a Basic header in ASCII, or are a `ConfigurationError`."""
    ways: list[Callable[[], str | None]] = [
        lambda: basic_authorization(client_id, client_secret),
        lambda: ClientSecretBasic(encode=encode).authenticate(client_id, client_secret).authorization,
    ]
    for way in ways:
        try:
            header = way()
        except ConfigurationError:
            continue
        assert header is not None
        assert header.startswith("Basic ")
        assert header.isascii()
        assert header.isprintable()


# -- URLs -----------------------------------------------------------------------------------------------------------

url_parts = st.lists(
    st.sampled_from(
        ["http", "https", ":", "/", "//", "@", "[", "]", "::1", "127.0.0.1", "localhost", ".", "a", "?", "#"]
    )
    | st.sampled_from(
        ["%", "\\", " ", "\n", "\0", "é", "0x7f", "443", "99999", "user", "HTTP", "\ud800", "\uff0e", "\u2100"]
    ),
    max_size=10,
).map("".join)
urls = url_parts | st.text(max_size=40) | st.text(max_size=30).map(lambda text: f"https://{text}/")


@thorough
@given(url=urls, insecure=st.booleans())
@example(url="http://127.0.0.1\\@auth.example/", insecure=False)
@example(url="http://localhost:80@auth.example/", insecure=False)
@example(url="https://[::1", insecure=True)
@example(url="https://[v1.x]/", insecure=True)
@example(url="https://a]b[/", insecure=True)
def test_any_url_is_an_endpoint_or_refused(url: str, insecure: bool) -> None:
    """Any URL is one that secrets may go to, or a `ConfigurationError`; whatever it is, it can be shown."""
    shown = without_query(url)
    assert "?" not in shown
    assert "#" not in shown
    origin = origin_of(url)
    assert origin is None or origin == origin_of(origin)
    endpoint = of_ours(lambda: check_endpoint("token_url", url, allow_insecure=insecure), ConfigurationError)
    if isinstance(endpoint, Exception):
        return
    assert endpoint.isascii()
    assert origin is not None
    assert "@" not in origin
    check_transport(endpoint, allow_insecure=insecure)
    if not insecure and origin.startswith("http:"):
        host = urlsplit(origin).hostname or ""
        assert host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback


@thorough
@given(url=urls)
def test_any_url_is_safe_or_refused(url: str) -> None:
    """Any URL of a request may carry a token, or is an error of ours; no other error comes out."""
    refusal = of_ours(lambda: check_transport(url, allow_insecure=False), ConfigurationError)
    assert "?" not in str(refusal).partition(" would carry")[0]


@thorough
@given(origins=st.lists(urls | leaves, max_size=3) | anything)
def test_any_origins_are_read_or_refused(origins: Any) -> None:
    """Any `allowed_origins` are origins in their normal form, or a `ConfigurationError`."""
    try:
        read = read_origins(origins, allow_insecure=True)
    except ConfigurationError:
        return
    assert read is None or all(origin == origin_of(origin) for origin in read)


LONG_URLS = ["a", "/", ":", "@", "[", "?", "#", "%41", ".", "a.", "1.", "0:", "\\", "é"]


@pytest.mark.parametrize("prefix", ["", "http://", "https://auth.example/"])
def test_no_url_is_slow(prefix: str) -> None:
    """No URL of 1 MiB takes long to check."""
    for piece in LONG_URLS:
        url = prefix + piece * (MIB // len(piece))
        with in_no_time():
            without_query(url)
            origin_of(url)
            of_ours(lambda: check_endpoint("token_url", url, allow_insecure=False), ConfigurationError)
            of_ours(lambda: check_transport(url, allow_insecure=False), ConfigurationError)


# -- Redaction ------------------------------------------------------------------------------------------------------

secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40)


@thorough
@given(secret=secrets, other=secrets, around=st.lists(st.sampled_from(["SECRET", "OTHER", " ", "x", "\n"]), max_size=8))
def test_no_echo_shows_a_secret(secret: str, other: str, around: list[str]) -> None:
    """Wherever a server's words repeat a secret, they're shown without it."""
    said = "".join({"SECRET": secret, "OTHER": other}.get(part, part) for part in around)
    request: TokenRequest = build_token_request(
        "https://auth.example/", None, {"client_secret": other, "password": secret}
    )
    body = json.dumps({"error": "no", "error_description": said, "error_uri": said}).encode()
    with pytest.raises(OAuthProviderException) as caught:
        read_token_response(request, TokenResponse(400, {}, body))
    # A secret may be part of our own words, such as «redacted» or the URL.
    for shown in (caught.value.error_description or "", caught.value.error_uri or ""):
        rest = shown.replace("[redacted]", "\n")
        assert secret not in rest
        assert other not in rest
