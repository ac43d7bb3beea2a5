"""Endpoints are found out from an issuer's metadata: where it may be, what it must say, and what overrides it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from oauth_auth import ConfigurationError, InsecureTransportError, OAuthError, TokenResponseError, TokenTransportError
from oauth_auth._server.calls import EndpointCalls, Sleep
from oauth_auth._server.endpoints import Endpoints
from tests.support.steps import HandClock, Lowest, Transport, answer, play

ORIGIN = "https://auth.example"
OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


class Issuer:
    """Answers what is asked of an issuer. `places` are its metadata by path; what's asked for is kept."""

    def __init__(self, path: str = "", given: dict[str, str] | None = None, *, shows_certificate: bool = False) -> None:
        self.url = f"{ORIGIN}{path}"
        self.document: dict[str, Any] = {
            "issuer": self.url,
            "token_endpoint": f"{ORIGIN}/token",
            "revocation_endpoint": f"{ORIGIN}/revoke",
        }
        self.places: dict[str, Any] = {}
        self.asked: list[str] = []
        calls = EndpointCalls(Transport(), 10.0, clock=HandClock(), chance=Lowest())
        self.endpoints = Endpoints(
            given or {}, self.url, calls, allow_insecure=False, shows_certificate=shows_certificate
        )

    def find(self, name: str = "token_url") -> Any:
        """Return an endpoint's URL, or the error that's raised."""
        try:
            return play(self.endpoints.require(name), self._perform)
        except OAuthError as error:
            return error

    def _perform(self, effect: Any) -> Any:
        if isinstance(effect, Sleep):
            return None
        request = effect.request
        assert ("GET", b"") == (request.method, request.body)
        assert {"Accept": "application/json", "Accept-Encoding": "identity"} == request.headers
        assert not effect.is_single_use
        self.asked.append(urlsplit(request.url).path)
        found = self.places.get(self.asked[-1], answer(404))
        if isinstance(found, list):
            found = found.pop(0)
        if isinstance(found, Exception):
            raise found
        return answer(200, found) if isinstance(found, dict) else found


# -- Where it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("", [OAUTH, OPENID]),
        ("/", [OAUTH, OPENID]),
        ("/a/b", [f"{OAUTH}/a/b", f"/a/b{OPENID}", f"/a/b{OAUTH}", f"{OPENID}/a/b"]),
        ("/a/b/", [f"{OAUTH}/a/b", f"/a/b{OPENID}", f"/a/b{OAUTH}", f"{OPENID}/a/b"]),
    ],
)
def test_places(path: str, places: list[str]) -> None:
    """RFC 8414's place is asked first, then OpenID's, then those that some servers have taken for either."""
    for number, place in enumerate(places):
        issuer = Issuer(path)
        issuer.places = {place: issuer.document}
        assert f"{ORIGIN}/token" == issuer.find()
        assert places[: number + 1] == issuer.asked


@pytest.mark.parametrize(
    "nothing",
    [
        answer(200, b"<!doctype html>", content_type="text/html"),
        answer(200, b""),
        answer(200, b"[" * 100_000),
        answer(200, b"\xff\xfe{}"),
        answer(200, [1]),
        answer(200, None),
        answer(200, {}),
        answer(200, {"issuer": ["x"]}),
        answer(200, {"issuer": "https://neighbour.example"}),
        answer(204),
        answer(301, location="/elsewhere"),
        answer(400, {"error": "invalid_request"}),
        answer(401, b"who are you?"),
        answer(403),
        answer(404),
    ],
)
def test_what_is_no_metadata_does_not_end_the_search(nothing: Any) -> None:
    """Whatever is at the first place, a web application's page or a neighbour's document, the next one is asked."""
    issuer = Issuer()
    issuer.places = {OAUTH: nothing, OPENID: issuer.document}
    assert f"{ORIGIN}/token" == issuer.find()


def test_metadata_is_asked_for_once() -> None:
    """What was found is kept, for all endpoints."""
    issuer = Issuer()
    issuer.places = {OAUTH: issuer.document}
    assert [f"{ORIGIN}/token", f"{ORIGIN}/revoke"] * 2 == [issuer.find(n) for n in ("token_url", "revocation_url")] * 2
    assert [OAUTH] == issuer.asked


@pytest.mark.parametrize("trouble", [answer(500), answer(503), answer(429), TokenTransportError("no")], ids=str)
def test_trouble_is_tried_again_and_ends_the_search(trouble: Any) -> None:
    """Metadata is asked for like a token: up to three times, and no other place stands in for one in trouble."""
    issuer = Issuer()
    issuer.places = {OAUTH: [trouble, trouble, issuer.document]}
    assert f"{ORIGIN}/token" == issuer.find()
    assert [OAUTH] * 3 == issuer.asked
    issuer = Issuer()
    issuer.places = {OAUTH: trouble, OPENID: issuer.document}
    assert isinstance(issuer.find(), TokenResponseError | TokenTransportError)
    assert [OAUTH] * 3 == issuer.asked
    issuer.places = {OAUTH: issuer.document}
    assert f"{ORIGIN}/token" == issuer.find()


# -- What can't be used ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ({}, "is its path right"),
        ({OAUTH: answer(200, b"<html>")}, "is its path right"),
        ({OAUTH: {"token_endpoint": "https://a.example/token"}}, "has no issuer"),
        ({OAUTH: {"issuer": 5}}, "has no issuer"),
        ({OPENID: {"issuer": "https://a.example"}}, "'https://a.example': give it exactly so"),
        ({OAUTH: answer(301, location="/x"), OPENID: {"issuer": "https://a.example"}}, "https://a.example"),
        ({OAUTH: answer(301, location="/x")}, "redirects aren't followed"),
        ({OAUTH: answer(200, b'"' + b"x" * 1024 * 1024 + b'"')}, "longer than"),
    ],
)
def test_an_issuer_without_metadata_is_told(places: dict[str, Any], text: str) -> None:
    """What isn't there raises an error that says what to do: what's most telling of all places."""
    issuer = Issuer()
    issuer.places = places
    error = issuer.find()
    assert TokenResponseError is type(error)
    assert text in str(error)
    assert issuer.url in str(error)


@pytest.mark.parametrize(
    ("given", "named"), [("", "/"), ("/", ""), ("/a", "/a/"), ("/a/", "/a"), ("/A", "/a"), ("/a", "")]
)
def test_the_issuer_must_be_equal(given: str, named: str) -> None:
    """An issuer is compared as text (RFC 8414 section 3.3): a slash too many is an error that says so."""
    issuer = Issuer(given)
    document = {**issuer.document, "issuer": ORIGIN + named}
    issuer.places = dict.fromkeys((OAUTH, OPENID, f"{OAUTH}{given}", f"{given.rstrip('/')}{OPENID}"), document)
    assert f"{ORIGIN + named!r}: give it exactly so" in str(issuer.find())


@pytest.mark.parametrize(
    ("url", "error", "text"),
    [
        (None, TokenResponseError, "has no token_endpoint: pass token_url="),
        (5, TokenResponseError, "not int"),
        (["https://a.example"], TokenResponseError, "not list"),
        ("/token", TokenResponseError, "absolute URL"),
        ("", TokenResponseError, "absolute URL"),
        ("ftp://a.example/token", TokenResponseError, "absolute URL"),
        ("https://[", TokenResponseError, "no URL"),
        ("https://me:secret-word@a.example/token", TokenResponseError, "no user or password"),
        ("https://a.example/to ken", TokenResponseError, "has a space"),
        ("https://a.example/token#x", TokenResponseError, "no fragment"),
        ("http://a.example/token", InsecureTransportError, "plain http"),
    ],
)
def test_an_endpoint_that_is_no_url_is_told(url: Any, error: type[OAuthError], text: str) -> None:
    """Metadata is somebody else's text: what can't be an endpoint is an error that names it."""
    issuer = Issuer()
    issuer.places = {OAUTH: {**issuer.document, "token_endpoint": url}}
    found = issuer.find()
    assert error is type(found)
    assert text in str(found)
    assert "token_endpoint" in str(found)
    assert "secret-word" not in str(found)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://auth.example.com/?tenant=1", "no query"),
        ("https://auth.example.com/#x", "no fragment"),
        ("https://me:secret-word@auth.example.com", "no user"),
        ("auth.example.com", "absolute URL"),
        ("", "absolute URL"),
        (5, "as text"),
        ("https://auth.example.com/a b", "a space"),
    ],
)
def test_what_is_no_issuer_is_refused_at_once(url: Any, error: str) -> None:
    """A wrong issuer is known at construction."""
    with pytest.raises(ConfigurationError, match=error) as caught:
        Endpoints({}, url, EndpointCalls(Transport(), 10.0), allow_insecure=False)
    assert "issuer" in str(caught.value)
    assert "secret-word" not in str(caught.value)


# -- What is given --------------------------------------------------------------------------------------------------


def test_a_url_that_is_given_wins() -> None:
    """A URL that's given is used whatever the metadata says, and needs none; it's checked at construction."""
    issuer = Issuer(given={"token_url": "https://own.example/token"})
    assert ("https://own.example/token", []) == (issuer.find(), issuer.asked)
    with pytest.raises(ConfigurationError, match="revocation_url"):
        Issuer(given={"revocation_url": "nowhere"})


def test_without_an_issuer_there_is_no_metadata() -> None:
    """Where only URLs are known nobody is asked: the others aren't there."""
    given = {"token_url": f"{ORIGIN}/token"}
    endpoints = Endpoints(given, None, EndpointCalls(Transport(), 10.0), allow_insecure=False)
    nobody: Any = lambda effect: pytest.fail(repr(effect))
    assert (None, {}) == (play(endpoints.find("revocation_url"), nobody), play(endpoints.metadata(), nobody))


# -- Where calls that show a certificate go (RFC 8705 section 5) ------------------------------------------------------

ALIAS = "https://mtls.auth.example/token"


def with_aliases(aliases: Any, *, shows_certificate: bool = True, **given: str) -> Issuer:
    """Return an issuer whose metadata has these aliases."""
    issuer = Issuer(given=given, shows_certificate=shows_certificate)
    issuer.document |= {"authorization_endpoint": f"{ORIGIN}/authorize", "mtls_endpoint_aliases": aliases}
    issuer.places[OAUTH] = issuer.document
    return issuer


def test_calls_that_show_a_certificate_go_to_the_aliases() -> None:
    """An endpoint without an alias is called where it is; without a certificate, and for a URL given, none counts."""
    aliases = {"token_endpoint": ALIAS}
    issuer = with_aliases(aliases)
    assert (ALIAS, f"{ORIGIN}/revoke") == (issuer.find(), issuer.find("revocation_url"))
    assert f"{ORIGIN}/token" == with_aliases(aliases, shows_certificate=False).find()
    assert f"{ORIGIN}/mine" == with_aliases(aliases, token_url=f"{ORIGIN}/mine").find()


def test_browsers_are_sent_to_no_alias() -> None:
    """A person's browser hasn't got the certificate."""
    issuer = with_aliases({"authorization_endpoint": "https://mtls.auth.example/authorize"})
    assert f"{ORIGIN}/authorize" == issuer.find("authorization_url")


def test_every_endpoint_that_is_called_may_have_an_alias() -> None:
    """Pushed requests, device codes, introspection: one rule for all."""
    fields = ("revocation", "introspection", "device_authorization", "pushed_authorization_request")
    issuer = with_aliases({f"{field}_endpoint": f"https://mtls.auth.example/{field}" for field in fields})
    assert [f"https://mtls.auth.example/{field}" for field in fields] == [
        issuer.find(f"{field}_url") for field in fields
    ]


@pytest.mark.parametrize("aliases", [None, [], "https://mtls.auth.example", {}, {"token_endpoint": None}])
def test_aliases_that_are_none_count_for_nothing(aliases: Any) -> None:
    """What isn't an object of URLs is left aside, as unknown metadata is."""
    assert f"{ORIGIN}/token" == with_aliases(aliases).find()


@pytest.mark.parametrize(
    ("alias", "kind"),
    [
        ("http://mtls.auth.example/token", InsecureTransportError),
        ("nonsense", TokenResponseError),
        (5, TokenResponseError),
    ],
)
def test_an_alias_is_a_url_as_any_endpoint_is(alias: Any, kind: type[OAuthError]) -> None:
    """A certificate's tokens don't go over plain http because an alias says so."""
    assert isinstance(with_aliases({"token_endpoint": alias}).find(), kind)
