"""Resources and issuers: which URL is within which resource, which are the same, and where their metadata is."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from itertools import product
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oauth_auth import ConfigurationError, InsecureTransportError
from oauth_auth._wire.identifiers import (
    check_protected_resource,
    covers,
    given_metadata_places,
    is_at_or_above,
    is_same_issuer,
    is_same_resource,
    leads_inside,
    resource_key,
    resource_metadata_places,
    server_metadata_places,
    without_lone_slash,
)

ORIGIN = "https://api.example"
thorough = settings(max_examples=500)


# -- Which URL is within a resource -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "url", "expected"),
    [
        # A bare origin has all that's there.
        (ORIGIN, f"{ORIGIN}", True),
        (ORIGIN, f"{ORIGIN}/", True),
        (ORIGIN, f"{ORIGIN}/any/path?q=1#f", True),
        (f"{ORIGIN}/", f"{ORIGIN}", True),
        (f"{ORIGIN}/", f"{ORIGIN}/any", True),
        # A path has itself, and what's below it by whole segments.
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1/", True),
        (f"{ORIGIN}/v1/", f"{ORIGIN}/v1", True),
        (f"{ORIGIN}/v1/", f"{ORIGIN}/v1/x", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1/x/y", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1?q=1", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1//x", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1/a..b", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1/...", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1/.well-known", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1/m%C3%BCller.json", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1/100%25", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1/a%2fb", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1?next=/v1/../x", True),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1x", False),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1;x", False),
        (f"{ORIGIN}/v1", f"{ORIGIN}/v1%2fx", False),
        (f"{ORIGIN}/v1", f"{ORIGIN}/%76%31/x", False),
        (f"{ORIGIN}/v1", f"{ORIGIN}/V1", False),
        (f"{ORIGIN}/v1", f"{ORIGIN}/", False),
        (f"{ORIGIN}/v1", f"{ORIGIN}", False),
        (f"{ORIGIN}/v1", f"{ORIGIN}//v1", False),
        (f"{ORIGIN}/v1", f"{ORIGIN}/x/v1", False),
        # The origin is compared as such: host in any case, the usual port or none.
        (f"{ORIGIN}/v1", "HTTPS://API.example/v1", True),
        (f"{ORIGIN}/v1", "https://api.example:443/v1", True),
        ("https://api.example:443/v1", f"{ORIGIN}/v1", True),
        (f"{ORIGIN}/v1", "wss://api.example/v1", True),
        (f"{ORIGIN}/v1", "https://api.example:8443/v1", False),
        (f"{ORIGIN}/v1", "http://api.example/v1", False),
        (f"{ORIGIN}/v1", "https://www.api.example/v1", False),
        (f"{ORIGIN}/v1", "https://api.example.evil.example/v1", False),
        (f"{ORIGIN}/v1", "https://api.example@evil.example/v1", False),
        (f"{ORIGIN}/v1", "https://evil.example/https://api.example/v1", False),
        (f"{ORIGIN}/v1", "https://evil.example\\@api.example/../v1", False),
        # What can't be read is outside.
        (f"{ORIGIN}/v1", "https://api.example:x/v1", False),
        (f"{ORIGIN}/v1", "https://[api.example/v1", False),
        (f"{ORIGIN}/v1", "/v1", False),
        (f"{ORIGIN}/v1", "", False),
    ],
)
def test_what_is_within_a_resource(resource: str, url: str, expected: bool) -> None:
    """Its origin, and its path or one below it by whole segments, as they're written."""
    assert expected is covers(resource, url)


CLIMBING = [
    # as they are
    *("..", "../x", ".", "./x", "a/../../x", "a/.."),
    # encoded, also repeatedly
    *("%2e%2e/x", "%2E%2e/x", ".%2e/x", "%2e/x", "..%2fx", "..%2Fx", "a%2f..%2f..%2fx"),
    *("%252e%252e/x", "..%252fx", "%25252e%25252e/x", "%2525252e%2525252e/x"),
    # behind what some servers take for a slash
    *("..\\x", "..%5cx", "a\\..\\..\\x", "..%255cx"),
    # before what some servers cut off
    *("..;a=b/x", "..;/x", "..%3bx/x", ".;/x", "..%00/x", "..%00", "..%3fx", "..%23x"),
    # with what some servers leave out
    *(" ../x", "%20../x", "..%20/x", ".%09./x", ".%0d%0a./x", "%09../x", ".\t./x", "\n../x"),
    # in UTF-8 that is longer than it may be, as old servers read it
    *("%c0%ae%c0%ae/x", "%C0%AE./x", "..%c0%afx", "..%c1%9cx", "%e0%80%ae%e0%80%ae/x", "%f0%80%80%ae./x"),
    *("%25c0%25ae%25c0%25ae/x",),
    # in letters that are normalized to dots and slashes
    *("%ef%bc%8e%ef%bc%8e/x", "%e2%80%a5/x", "..%ef%bc%8fx", "..%ef%bc%bcx", "\uff0e\uff0e/x"),
]


@pytest.mark.parametrize("path", CLIMBING)
def test_dot_segments_are_outside(path: str) -> None:
    """However they're written: a server may take the path for that of another resource, and be sent the token."""
    assert not covers(f"{ORIGIN}/v1", f"{ORIGIN}/v1/{path}")
    assert not covers(ORIGIN, f"{ORIGIN}/{path}")
    assert not is_at_or_above(f"{ORIGIN}/{path}", f"{ORIGIN}/{path}")


# What servers do to a path before they look at it, one after the other, in any order and number.


def without_dots(path: str) -> str:
    """Resolve dot segments (RFC 3986 section 5.2.4)."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept = kept[:-1] or [""]
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)


CLEANINGS: list[Any] = [
    unquote,
    without_dots,
    lambda path: path.replace("\\", "/"),
    lambda path: re.sub("/+", "/", path),
    lambda path: "/".join(segment.partition(";")[0] for segment in path.split("/")),
    lambda path: "/".join(segment.strip() for segment in path.split("/")),
    lambda path: re.sub("[\t\r\n]", "", path),
    lambda path: path.partition("\0")[0],
    lambda path: re.split("[?#]", path)[0],
    lambda path: unicodedata.normalize("NFKC", path),
]

PIECES = (
    *(".", "..", "/", "\\", ";", "?", "#", " ", "\t", "\0", "%", "a", "v1", "\uff0e", "\uff0f", "\u2025", "\uff05"),
    *("%2e", "%2f", "%5c", "%25", "%252e", "%3b", "%00", "%09", "2e", "2f", "25", "..;", "../", "%ef%bc%8e"),
)
paths = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


def seen_by_servers(path: str) -> set[str]:
    """Return what servers may make of a path, whatever they do to it in whichever order."""
    seen, new = {path}, {path}
    while new:
        new = {clean(one) for one in new for clean in CLEANINGS} - seen
        seen |= new
    return seen


@thorough
@given(path=paths, encodings=st.integers(0, 2))
@example(path="\uff052e\uff052e/x", encodings=0)
@example(path="%25%092e./x", encodings=0)
def test_what_is_covered_stays_within_whatever_a_server_makes_of_it(path: str, encodings: int) -> None:
    """Decoded, normalized and cleaned in any order, the path of a URL that's covered is still one of the resource."""
    for _ in range(encodings):
        path = quote(path, safe="/")
    url = f"{ORIGIN}/v1/{path}"
    if covers(f"{ORIGIN}/v1", url):
        climbing = [seen for seen in seen_by_servers(urlsplit(url).path) if not f"{seen}/".startswith("/v1/")]
        assert [] == climbing


@thorough
@given(path=st.text(st.sampled_from("abcdefghij0123456789-_~!$&'()*+,=:@"), max_size=20), below=st.text(max_size=8))
def test_ordinary_paths_are_within(path: str, below: str) -> None:
    """Whatever is quoted as one segment is below its resource, unless it's a dot segment itself."""
    segment = quote(below, safe="")
    resource = f"{ORIGIN}/{path}" if path else ORIGIN
    cleaned = re.sub(r"[\s\x00-\x1f\x7f]", "", unicodedata.normalize("NFKC", unquote(unquote(below))))
    if not re.search(r"(^|[/\\])\.{1,2}([/\\;?#]|$)", cleaned) and "\0" not in below and "%" not in below:
        assert covers(resource, f"{resource}/{segment}")


# -- Which resource is which ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "given", "expected"),
    [
        (f"{ORIGIN}/a/b", f"{ORIGIN}/a/b", True),
        (f"{ORIGIN}/a/b/", f"{ORIGIN}/a/b", True),
        (f"{ORIGIN}/a/b", f"{ORIGIN}/a/b/", True),
        (f"{ORIGIN}/a", f"{ORIGIN}/a/b", True),
        (f"{ORIGIN}/a/", f"{ORIGIN}/a/b", True),
        (ORIGIN, f"{ORIGIN}/a/b", True),
        (f"{ORIGIN}/", f"{ORIGIN}/a/b", True),
        ("https://API.example:443/a", f"{ORIGIN}/a/b", True),
        # below it, beside it, elsewhere
        (f"{ORIGIN}/a/b/c", f"{ORIGIN}/a/b", False),
        (f"{ORIGIN}/a/bc", f"{ORIGIN}/a/b", False),
        (f"{ORIGIN}/a/b", f"{ORIGIN}/a/bc", False),
        (f"{ORIGIN}/c", f"{ORIGIN}/a/b", False),
        ("https://evil.example/a", f"{ORIGIN}/a", False),
        ("https://www.api.example", f"{ORIGIN}/a", False),
        ("http://api.example/a", f"{ORIGIN}/a", False),
        ("https://api.example:8443/a", f"{ORIGIN}/a", False),
        # no resource's identifier
        (f"{ORIGIN}/a#", f"{ORIGIN}/a", False),
        (f"{ORIGIN}/a#b", f"{ORIGIN}/a", False),
        (f"{ORIGIN}/a?b=c", f"{ORIGIN}/a", False),
        ("https://me@api.example/a", f"{ORIGIN}/a", False),
        ("https://:pw@api.example/a", f"{ORIGIN}/a", False),
        ("https://@api.example/a", f"{ORIGIN}/a", False),
        (f"{ORIGIN}/a/..", f"{ORIGIN}/a", False),
        (f"{ORIGIN}/./a", f"{ORIGIN}/a", False),
        (f"{ORIGIN}/\xe4", f"{ORIGIN}/\xe4", False),
        (f"{ORIGIN}/a\n", f"{ORIGIN}/a", False),
        ("https://api.example:x/a", f"{ORIGIN}/a", False),
        ("https://[api.example/a", f"{ORIGIN}/a", False),
        ("urn:example:api", f"{ORIGIN}/a", False),
        ("/a", f"{ORIGIN}/a", False),
        ("", ORIGIN, False),
        (None, ORIGIN, False),
        ([ORIGIN], ORIGIN, False),
    ],
)
def test_what_metadata_may_name(named: object, given: str, expected: bool) -> None:
    """The resource that was given, or one above it."""
    assert expected is is_at_or_above(named, given)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (ORIGIN, f"{ORIGIN}/", True),
        (f"{ORIGIN}/a", f"{ORIGIN}/a/", True),
        (f"{ORIGIN}/a", "https://API.example:443/a", True),
        (f"{ORIGIN}/a", f"{ORIGIN}/A", False),
        (f"{ORIGIN}/a", ORIGIN, False),
        (f"{ORIGIN}/a", f"{ORIGIN}/%61", False),
        (ORIGIN, "http://api.example", False),
    ],
)
def test_the_same_resource(one: str, other: str, expected: bool) -> None:
    """A trailing slash doesn't count, the path's letters do; what's kept in a store goes by the same text."""
    assert expected is is_same_resource(one, other)
    assert expected is (resource_key(one) == resource_key(other))


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (f"{ORIGIN}/", ORIGIN),
        (ORIGIN, ORIGIN),
        (f"{ORIGIN}/a/", f"{ORIGIN}/a/"),
        (f"{ORIGIN}/?a", f"{ORIGIN}/?a"),
        (f"{ORIGIN}//", f"{ORIGIN}//"),
        ("https://[x/", "https://[x/"),
    ],
)
def test_the_slash_of_a_bare_origin(identifier: str, expected: str) -> None:
    """Libraries add it; all else stays as it is."""
    assert expected == without_lone_slash(identifier)


@pytest.mark.parametrize(
    ("named", "issuer", "expected"),
    [
        (ORIGIN, ORIGIN, True),
        (f"{ORIGIN}/", ORIGIN, True),
        (ORIGIN, f"{ORIGIN}/", True),
        (f"{ORIGIN}/a", f"{ORIGIN}/a", True),
        # with a path it's letter by letter
        (f"{ORIGIN}/a/", f"{ORIGIN}/a", False),
        (f"{ORIGIN}/a", f"{ORIGIN}/a/", False),
        (f"{ORIGIN}/A", f"{ORIGIN}/a", False),
        ("https://API.example", ORIGIN, False),
        ("https://api.example:443", ORIGIN, False),
        ("http://api.example", ORIGIN, False),
        (f"{ORIGIN}//", ORIGIN, False),
        ("", ORIGIN, False),
        (None, ORIGIN, False),
        ([ORIGIN], ORIGIN, False),
    ],
)
def test_the_same_issuer(named: object, issuer: str, expected: bool) -> None:
    """Letter by letter (RFC 8414 section 3.3), but for the slash of a bare origin."""
    assert expected is is_same_issuer(named, issuer)


# -- Where metadata is ------------------------------------------------------------------------------------------------

RESOURCE, OAUTH, OPENID = (
    f"{ORIGIN}/.well-known/{name}"
    for name in ("oauth-protected-resource", "oauth-authorization-server", "openid-configuration")
)


@pytest.mark.parametrize(
    ("resource", "places"),
    [
        (ORIGIN, [RESOURCE]),
        (f"{ORIGIN}/", [RESOURCE]),
        (f"{ORIGIN}/a/b", [f"{RESOURCE}/a/b", RESOURCE]),
        (f"{ORIGIN}/a/b/", [f"{RESOURCE}/a/b", RESOURCE]),
    ],
)
def test_places_of_a_resources_metadata(resource: str, places: list[str]) -> None:
    """That of its path, then that of its origin (RFC 9728 section 3.1)."""
    assert places == resource_metadata_places(resource)


@pytest.mark.parametrize(
    ("issuer", "places", "of_given"),
    [
        (ORIGIN, [OAUTH, OPENID], [OAUTH, OPENID]),
        (f"{ORIGIN}/", [OAUTH, OPENID], [OAUTH, OPENID]),
        (
            f"{ORIGIN}/a",
            [f"{OAUTH}/a", f"{OPENID}/a", f"{ORIGIN}/a/.well-known/openid-configuration"],
            [f"{OAUTH}/a", f"{ORIGIN}/a/.well-known/openid-configuration"],
        ),
    ],
)
def test_places_of_a_servers_metadata(issuer: str, places: list[str], of_given: list[str]) -> None:
    """RFC 8414's, then OpenID's, inserted and appended; for an issuer that the user has named, appended first."""
    found = server_metadata_places(issuer)
    assert places == found[: len(places)]
    assert of_given == given_metadata_places(issuer)[: len(of_given)]
    assert sorted(found) == sorted(given_metadata_places(issuer))
    assert len(found) <= 4


# -- What leads inside ------------------------------------------------------------------------------------------------

INSIDE = [
    *("localhost", "LOCALHOST", "localhost.", "a.localhost", "a.b.localhost."),
    *("127.0.0.1", "127.0.0.1.", "127.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
    *("0.0.0.0", "192.0.2.1", "198.18.0.1", "240.0.0.1", "255.255.255.255"),
    # of many hosts
    *("224.0.0.1", "224.0.1.1", "239.255.255.255", "0xE0000001", "[ff02::1]", "[ff0e::1]", "[::ffff:224.0.0.1]"),
    # as systems take them, too
    *("127.1", "10.1", "0", "2130706433", "0x7f000001", "0x7f.1", "0X7F.0.0.1", "0177.0.0.1", "017700000001"),
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fd12::1]", "[fec0::1]"),
    "[2001:db8::1]",
    # addresses that stand for others
    *("[::ffff:127.0.0.1]", "[::ffff:a00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]"),
    *("[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a00:1::1]", "[2001:0:0:0:0:0:80ff:fffe]"),
    "",
]
OUTSIDE = [
    *("api.example", "localhost.example", "notlocalhost", "localhost.localdomain", "127.0.0.1.example", "10.example"),
    *("cafe.de", "fed.ee", "0xabc.example", "1.2.3.4.5", "256.1.1.1.example"),
    *("8.8.8.8", "172.32.0.1", "192.169.0.1", "128.0.0.1", "134744072", "0x08080808"),
    *("[2606:4700::1111]", "[::ffff:8.8.8.8]", "[64:ff9b::8.8.8.8]", "[2002:808:808::1]"),
]


@pytest.mark.parametrize("host", INSIDE)
def test_hosts_inside(host: str) -> None:
    """This machine, and its network, in each notation of an address; and what has no host at all."""
    assert leads_inside(f"https://{host}/token")
    assert leads_inside(f"https://{host}:8443/token")


@pytest.mark.parametrize("host", OUTSIDE)
def test_hosts_outside(host: str) -> None:
    """Other addresses, and all names: they aren't resolved."""
    assert not leads_inside(f"https://{host}/token")


@pytest.mark.parametrize("url", ["", "/token", "https:///token", "https://[x/", "https://api.example:x/"])
def test_what_cannot_be_read_leads_inside(url: str) -> None:
    """Nothing is sent there."""
    assert leads_inside(url)


def dotted(number: int, parts: int, bases: tuple[str, ...]) -> str:
    """Return an address in one of the notations that `inet_aton` takes."""
    shifts = [24, 16, 8][: parts - 1]
    numbers = [(number >> shift) & 0xFF for shift in shifts]
    rest = number & ((1 << (32 - 8 * len(numbers))) - 1)
    return ".".join(format(n, base) for n, base in zip((*numbers, rest), bases, strict=False))


@thorough
@given(
    number=st.integers(0, 2**32 - 1) | st.integers(0x7F000000, 0x7FFFFFFF) | st.integers(0x0A000000, 0x0AFFFFFF),
    parts=st.integers(1, 4),
    bases=st.tuples(*[st.sampled_from(["d", "#x", "#X"])] * 4),
)
@example(number=0xE0000001, parts=4, bases=("d", "d", "d", "d"))
@example(number=0xE0000001, parts=1, bases=("#x", "d", "d", "d"))
@example(number=0xF0000001, parts=2, bases=("d", "#X", "d", "d"))
def test_one_address_in_all_notations(number: int, parts: int, bases: tuple[str, ...]) -> None:
    """An address leads where it leads, however it's written, inside an address of IPv6, too.

    Some of those of many hosts, 224.0.0.0/4, are global to `ipaddress`; none is one host outside.
    """
    plain = ipaddress.IPv4Address(number)
    expected = not plain.is_global or plain.is_multicast
    assert expected is leads_inside(f"https://{dotted(number, parts, bases)}/")
    for template in ("::ffff:{}", "64:ff9b::{}"):
        assert expected is leads_inside(f"https://[{template.format(plain)}]/")


# -- What can be a resource -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "resource",
    [ORIGIN, f"{ORIGIN}/", f"{ORIGIN}/a/b", f"{ORIGIN}/a/", "HTTPS://API.example/a", "http://localhost:8000/mcp"],
)
def test_a_resource_is_taken_as_it_was_given(resource: str) -> None:
    """What's sent is compared as text elsewhere."""
    assert resource == check_protected_resource(resource, allow_insecure=False)


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        (None, "as text, not NoneType"),
        (5, "as text, not int"),
        (b"https://api.example", "as text, not bytes"),
        ("", "absolute URL"),
        ("api.example", "absolute URL"),
        ("urn:example:api", "absolute URL"),
        ("ftp://api.example", "absolute URL"),
        ("https://", "absolute URL"),
        ("https://[x", "can't be read"),
        ("https://api.example:x", "can't be read"),
        (f"{ORIGIN}/a b", "a space"),
        (f"{ORIGIN}/\xe4", "ASCII"),
        (f"{ORIGIN}/a\n", "control character"),
        ("https://me:pw@api.example", "no user or password"),
        (f"{ORIGIN}/a#b", "no fragment"),
        (f"{ORIGIN}/#", "no fragment"),
        (f"{ORIGIN}/a?b=c", "no query"),
        (f"{ORIGIN}/a/../b", "'..' in its path"),
        (f"{ORIGIN}/a/%2e%2e/b", "'..' in its path"),
    ],
)
def test_what_is_no_resource_is_refused(resource: Any, text: str) -> None:
    """At construction, with what to write instead; a password isn't repeated."""
    with pytest.raises(ConfigurationError, match=re.escape(text)) as caught:
        check_protected_resource(resource, allow_insecure=False)
    assert "me:pw" not in str(caught.value)


def test_plain_http_is_for_this_machine() -> None:
    """Beyond it there's an option for those who know their network."""
    with pytest.raises(InsecureTransportError):
        check_protected_resource("http://api.example", allow_insecure=False)
    assert "http://api.example" == check_protected_resource("http://api.example", allow_insecure=True)


def test_a_resource_covers_itself_and_names_itself() -> None:
    """What was given is within itself, is at or above itself, and has the first place of its metadata."""
    for host, path in product(("api.example", "api.example:8443"), ("", "/", "/a", "/a/", "/a/b;c=d/e~f")):
        resource = f"https://{host}{path}"
        assert covers(resource, resource)
        assert is_at_or_above(resource, resource)
        assert is_same_resource(resource, resource)
        assert resource_metadata_places(resource)[0].endswith(f"oauth-protected-resource{path.rstrip('/')}")
