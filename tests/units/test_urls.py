"""URLs: which may be an endpoint's, where a secret may go, what origins are."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_auth import ConfigurationError, InsecureTransportError
from oauth_auth._wire.urls import check_endpoint, check_transport, origin_of, read_origins, without_query

WRONG_URLS = [
    ("", "absolute URL such as 'https://auth.example.com/token'"),
    ("token", "absolute URL"),
    ("/token", "absolute URL"),
    ("//auth.example/token", "absolute URL"),
    ("auth.example/token", "absolute URL"),
    ("auth.example:443/token", "absolute URL"),
    ("https:/auth.example/token", "absolute URL"),
    ("https://", "absolute URL"),
    ("https:///token", "absolute URL"),
    ("https://:443/token", "absolute URL"),
    ("ftp://auth.example/token", "absolute URL"),
    ("file:///token", "absolute URL"),
    ("https://[::1/token", "no URL"),
    ("https://auth.example:port/", "no URL"),
    ("https://auth.example:99999/", "no URL"),
    ("https://auth.example/to ken", "percent-encode"),
    (" https://auth.example/token", "percent-encode"),
    ("https://auth.example/token\n", "percent-encode"),
    ("https://auth.example/\0", "percent-encode"),
    ("https://bücher.example/token", "percent-encode|punycode|xn--"),
    ("https://user:password@auth.example/token", "client_id and client_secret instead"),
    ("https://user@auth.example/token", "client_id and client_secret instead"),
    ("https://auth.example/token#part", "leave out '#'"),
    (None, "URL as text, not NoneType"),
    (5, "URL as text, not int"),
    (b"https://auth.example/token", "URL as text, not bytes"),
    (["https://auth.example/token"], "URL as text, not list"),
]


@pytest.mark.parametrize(("url", "text"), WRONG_URLS)
def test_wrong_urls_are_refused(url: Any, text: str) -> None:
    """A URL that is empty, relative, no URL or unfit is a `ConfigurationError` that says what to write."""
    with pytest.raises(ConfigurationError, match=text) as caught:
        check_endpoint("token_url", url, allow_insecure=False)
    assert str(caught.value).startswith("token_url ")


INSECURE = [
    "http://auth.example/token",
    "HTTP://auth.example/token",
    "http://127.0.0.1.auth.example/token",
    "http://localhost.auth.example/token",
    "http://notlocalhost/token",
    "http://10.0.0.1/token",
    "http://192.168.1.1:8080/token",
    "http://0.0.0.0/token",
    "http://128.0.0.1/token",
    "http://[2001:db8::1]/token",
    "http://[::]/token",
]
SECURE = [
    "https://auth.example/token",
    "HTTPS://auth.example/token",
    "https://auth.example:8443/token?tenant=1",
    "https://10.0.0.1/token",
    "http://127.0.0.1/token",
    "http://127.8.9.10:8080/token",
    "http://localhost/token",
    "http://LOCALHOST:1/token",
    "http://auth.localhost/token",
    "http://[::1]:8080/token",
]


@pytest.mark.parametrize("url", INSECURE)
def test_plain_http_beyond_loopback_is_refused(url: str) -> None:
    """An endpoint, origin or request over plain http beyond loopback is an error of its own, unless it's allowed."""
    origin = url.removesuffix("/token")
    with pytest.raises(InsecureTransportError, match=r"use https, or .*_transport=True .*\(token_url\)"):
        check_endpoint("token_url", url, allow_insecure=False)
    with pytest.raises(InsecureTransportError):
        read_origins([origin], allow_insecure=False)
    with pytest.raises(InsecureTransportError):
        check_transport(url, allow_insecure=False)
    assert url == check_endpoint("token_url", url, allow_insecure=True)
    assert read_origins([origin], allow_insecure=True)
    check_transport(url, allow_insecure=True)


@pytest.mark.parametrize("url", SECURE)
def test_https_and_loopback_are_taken(url: str) -> None:
    """A URL with https goes anywhere, plain http to loopback, by whatever name it's called."""
    assert url == check_endpoint("token_url", url, allow_insecure=False)
    check_transport(url, allow_insecure=False)


@pytest.mark.parametrize(
    ("url", "is_safe"),
    [
        ("ws://api.example/", False),
        ("wss://api.example/", True),
        ("psse://api.example/", False),
        ("sse://api.example/", True),
        ("ws+rfc8441://api.example/", False),
        ("http+unix://%2Frun%2Fapi.sock/", True),
        ("ws://127.0.0.1/", True),
        ("mailto:x", True),
        ("https://[::1", False),
    ],
)
def test_schemes_of_http_are_known(url: str, is_safe: bool) -> None:
    """HTTP without TLS is found out whatever its scheme is called; a URL that can't be read isn't safe."""
    try:
        check_transport(url, allow_insecure=False)
    except InsecureTransportError:
        assert not is_safe
    else:
        assert is_safe


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.example/v1?x#y", "https://api.example"),
        ("HTTPS://API.Example:443/", "https://api.example"),
        ("http://api.example:80", "http://api.example"),
        ("https://api.example:8443/", "https://api.example:8443"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
        ("https://user:password@api.example/", "https://api.example"),
        ("/path", None),
        ("https:///path", None),
        ("https://[::1", None),
        ("https://api.example:port/", None),
    ],
)
def test_origins_are_read(url: str, origin: str | None) -> None:
    """An origin is scheme, host and port in their normal form, without a port that's the scheme's own."""
    assert origin == origin_of(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:password@auth.example:1/token?key=x#y", "https://auth.example:1/token"),
        ("https://auth.example", "https://auth.example"),
        ("token", "token"),
        ("https://[::1", "an unreadable URL"),
    ],
)
def test_messages_show_no_secret_of_a_url(url: str, shown: str) -> None:
    """User, password, query and fragment are left out of what is shown."""
    assert shown == without_query(url)


def test_no_origins_are_any() -> None:
    """None allows any origin, an empty list none."""
    assert (None, frozenset()) == (read_origins(None, allow_insecure=False), read_origins([], allow_insecure=False))
