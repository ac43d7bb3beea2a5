"""What a protected resource says of itself: which documents are read, and which of them are believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oauth_auth import OAuthError, TokenResponseError
from oauth_auth._record import replace
from oauth_auth._wire.identifiers import is_at_or_above, is_same_issuer, resource_metadata_places
from oauth_auth._wire.messages import MAX_BODY, TokenResponse
from oauth_auth._wire.metadata import (
    LONGEST_DOCUMENT,
    NoMetadata,
    ResourceMetadata,
    read_metadata_response,
    read_resource_document,
)
from oauth_auth._wire.token_request import REQUEST_HEADERS, TokenRequest
from tests.support.steps import answer

ORIGIN = "https://api.example"
GIVEN = f"{ORIGIN}/a/b"
PLACE = f"{ORIGIN}/.well-known/oauth-protected-resource"
REQUEST = TokenRequest(method="GET", url=f"{PLACE}/a/b?tenant=secret-tenant", headers=REQUEST_HEADERS, fields={})


def read(response: TokenResponse) -> Any:
    """Return the document, or the error that's raised."""
    try:
        return read_resource_document(REQUEST, response)
    except OAuthError as error:
        return error


# -- Documents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [
        answer(200, {"resource": GIVEN}),
        answer(200, b'\xef\xbb\xbf{"resource": "https://api.example/a/b"}'),
        answer(200, json.dumps({"resource": GIVEN}).encode(), content_type="text/plain"),
        answer(200, {"resource": GIVEN}, content_type="text/html"),
    ],
)
def test_a_json_object_is_a_document(response: TokenResponse) -> None:
    """Whatever it's called; with a byte order mark, too."""
    assert {"resource": GIVEN} == read(response)


@pytest.mark.parametrize(
    "response",
    [
        answer(200, b"<!doctype html><title>Welcome</title>", content_type="text/html"),
        answer(200, b""),
        answer(200, b"[" * 100_000),
        answer(200, b"\xff\xfe{}"),
        answer(200, b"{"),
        answer(200, [1]),
        answer(200, None),
        answer(200, "text"),
        answer(200, 5),
        answer(201, {"resource": GIVEN}),
        answer(204),
        answer(206, {"resource": GIVEN}),
        answer(301, location="https://evil.example/"),
        answer(302),
        answer(307, {"resource": GIVEN}, location="/elsewhere"),
        answer(400, {"resource": GIVEN}),
        answer(401, b"who are you?", www_authenticate='Bearer resource_metadata="https://evil.example"'),
        answer(403),
        answer(404),
        answer(410),
        answer(502),
        answer(502, {"resource": GIVEN}),
    ],
)
def test_anything_else_is_not_here(response: TokenResponse) -> None:
    """The next place may have it; what's no document isn't tried again."""
    error = read(response)
    assert (NoMetadata, False) == (type(error), error.retryable)
    assert "secret-tenant" not in str(error)


@pytest.mark.parametrize("status", [429, 500, 501, 503, 504, 599])
def test_trouble_says_nothing(status: int) -> None:
    """It's an error, which may pass, with the server's own words."""
    error = read(answer(status, {"error": "down", "error_description": "back at ten"}, retry_after="7"))
    assert (TokenResponseError, True, status, 7.0) == (
        type(error),
        error.retryable,
        error.status_code,
        error.retry_after,
    )
    assert "back at ten" in str(error)


def test_a_document_may_have_128_kib() -> None:
    """A longer one isn't read, and isn't tried again; an issuer that the user has named may have more to say."""
    frame = len(json.dumps({"resource": GIVEN, "x": ""}))
    longest = answer(200, {"resource": GIVEN, "x": "y" * (LONGEST_DOCUMENT - frame)})
    assert (128 * 1024, LONGEST_DOCUMENT) == (LONGEST_DOCUMENT, len(longest.body))
    assert GIVEN == read(longest)["resource"]
    error = read(replace(longest, body=longest.body + b" "))
    assert (TokenResponseError, False) == (type(error), error.retryable)
    assert "longer than 131072 bytes" in str(error)
    document = {"issuer": ORIGIN, "x": "y" * LONGEST_DOCUMENT}
    assert len(json.dumps(document)) < MAX_BODY
    assert document == read_metadata_response(REQUEST, answer(200, document), ORIGIN)


@pytest.mark.parametrize(("named", "issuer"), [(f"{ORIGIN}/", ORIGIN), (ORIGIN, f"{ORIGIN}/"), (GIVEN, GIVEN)])
def test_the_slash_of_an_issuer_counts_for_those_who_named_it(named: str, issuer: str) -> None:
    """An issuer that a resource names may have it or lack it; one that the user names must be the same text."""
    response = answer(200, {"issuer": named})
    assert {"issuer": named} == read_metadata_response(REQUEST, response, issuer, is_same=is_same_issuer)
    if named == issuer:
        assert {"issuer": named} == read_metadata_response(REQUEST, response, issuer)
    else:
        with pytest.raises(NoMetadata):
            read_metadata_response(REQUEST, response, issuer)


# -- What is believed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "place", "is_believed"),
    [
        # The resource itself, from any place of its origin
        (GIVEN, f"{PLACE}/a/b", True),
        (GIVEN, PLACE, True),
        (GIVEN, f"{ORIGIN}/anywhere", True),
        (f"{GIVEN}/", f"{ORIGIN}/anywhere", True),
        ("https://API.example:443/a/b", f"{ORIGIN}/anywhere", True),
        # A wider one, from its own place alone
        (f"{ORIGIN}/a", f"{PLACE}/a", True),
        (f"{ORIGIN}/a/", f"{PLACE}/a", True),
        (f"{ORIGIN}/a", f"{PLACE}/a/b", False),
        (f"{ORIGIN}/a", PLACE, False),
        (f"{ORIGIN}/a", f"{ORIGIN}/a/b/metadata", False),
        (ORIGIN, PLACE, True),
        (f"{ORIGIN}/", PLACE, True),
        (ORIGIN, f"{PLACE}/", False),
        (ORIGIN, f"{PLACE}?x", False),
        (ORIGIN, f"{PLACE}/a/b", False),
        (ORIGIN, f"{PLACE}/a", False),
        # Another one, from nowhere
        (f"{ORIGIN}/a/b/c", f"{PLACE}/a/b/c", False),
        (f"{ORIGIN}/c", PLACE, False),
        ("https://evil.example/a/b", f"{PLACE}/a/b", False),
        (f"{GIVEN}#x", f"{PLACE}/a/b", False),
        ("", f"{PLACE}/a/b", False),
        (None, f"{PLACE}/a/b", False),
        ([GIVEN], f"{PLACE}/a/b", False),
        ({}, f"{PLACE}/a/b", False),
    ],
)
def test_whose_word_counts(named: Any, place: str, is_believed: bool) -> None:
    """Else a tenant of a host could have tokens made that are good for all."""
    found = ResourceMetadata.read({"resource": named, "authorization_servers": ["https://auth.example"]}, place, GIVEN)
    assert is_believed is (found is not None)
    if found is not None:
        assert (named, ("https://auth.example",)) == (found.resource, found.servers)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, ResourceMetadata(GIVEN)),
        (
            {
                "authorization_servers": ["https://a.example", "https://b.example"],
                "scopes_supported": ["x", "y"],
                "dpop_bound_access_tokens_required": True,
            },
            ResourceMetadata(GIVEN, ("https://a.example", "https://b.example"), ("x", "y"), requires_dpop=True),
        ),
        # each once, the first five
        ({"authorization_servers": ["a", "b", "a", "c", "d", "e", "f"]}, ResourceMetadata(GIVEN, tuple("abcde"))),
        # What breaks the RFC counts as absent.
        ({"authorization_servers": "https://a.example"}, ResourceMetadata(GIVEN)),
        ({"authorization_servers": {"https://a.example": 1}}, ResourceMetadata(GIVEN)),
        ({"authorization_servers": [None, 5, ["x"], {}, "a"]}, ResourceMetadata(GIVEN, ("a",))),
        ({"authorization_servers": None, "scopes_supported": None}, ResourceMetadata(GIVEN)),
        ({"scopes_supported": "a b"}, ResourceMetadata(GIVEN)),
        ({"scopes_supported": ["a", "b c", "", '"', "\xe4", None, "d", "a"]}, ResourceMetadata(GIVEN, (), ("a", "d"))),
        ({"dpop_bound_access_tokens_required": "true"}, ResourceMetadata(GIVEN)),
        ({"dpop_bound_access_tokens_required": 1}, ResourceMetadata(GIVEN)),
    ],
)
def test_what_is_of_use(document: dict[str, Any], expected: ResourceMetadata) -> None:
    """Servers, scopes, and whether tokens are to be bound."""
    assert expected == ResourceMetadata.read({"resource": GIVEN, **document}, f"{PLACE}/a/b", GIVEN)


def test_scopes_are_bounded() -> None:
    """No more than a thousand are taken."""
    names = [f"scope-{number}" for number in range(5000)]
    found = ResourceMetadata.read({"resource": GIVEN, "scopes_supported": names}, PLACE, GIVEN)
    assert found is not None
    assert tuple(names[:1000]) == found.scopes


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([GIVEN, ORIGIN]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(
    resource=junk | st.sampled_from([GIVEN, f"{ORIGIN}/a", ORIGIN]),
    servers=junk,
    scopes=junk,
    place=st.sampled_from([f"{PLACE}/a/b", f"{PLACE}/a", PLACE, GIVEN]),
)
def test_whatever_it_says_only_its_own_resource_counts(resource: Any, servers: Any, scopes: Any, place: str) -> None:
    """What's believed is the resource given or one above it, a wider one from its own place; nothing raises."""
    document = {"resource": resource, "authorization_servers": servers, "scopes_supported": scopes}
    found = ResourceMetadata.read(document, place, GIVEN)
    if found is not None:
        assert found.resource == resource
        assert is_at_or_above(resource, GIVEN)
        assert resource.rstrip("/") == GIVEN or place == resource_metadata_places(resource)[0]
        assert all(isinstance(text, str) for text in (*found.servers, *found.scopes))
