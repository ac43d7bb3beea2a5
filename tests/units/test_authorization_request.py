"""`AuthorizationRequest`: where it sends the person, and what it takes for an answer."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import pickle
import re
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_auth import AuthorizationRequest, AuthorizationResponseError, ConfigurationError, InsecureTransportError

ISSUER = "https://auth.example.com"
URL = f"{ISSUER}/authorize"
CALLBACK = "https://app.example.com/callback"


def make(redirect_uri: str = CALLBACK, **options: Any) -> AuthorizationRequest:
    return AuthorizationRequest(URL, "client", redirect_uri, **options)


def answer(request: AuthorizationRequest, *extra: tuple[str, str], **fields: str | None) -> str:
    """Return a redirected URL: the right answer, with fields replaced, left out where None, and more in addition."""
    own = {"code": "the-code", "state": request.state, **fields}
    pairs = [(name, value) for name, value in own.items() if value is not None]
    joint = "&" if "?" in request.redirect_uri else "?"
    return f"{request.redirect_uri}{joint}{urlencode([*pairs, *extra])}"


def refusal(request: AuthorizationRequest, url: Any) -> AuthorizationResponseError:
    """Return the error; no secret of the request may be in it."""
    with pytest.raises(AuthorizationResponseError) as caught:
        request.code_from(url)
    shown = f"{caught.value!s} {caught.value!r} {caught.value.__dict__}"
    assert request.state not in shown
    assert request.code_verifier not in shown
    assert caught.value.__cause__ is None
    return caught.value


# -- The request ------------------------------------------------------------------------------------------------


def test_the_url_has_what_the_rfcs_want() -> None:
    """The URL has the parameters of RFC 6749 and RFC 7636, each once, and no verifier."""
    request = make(scope=["openid", "api"])
    url = urlsplit(request.url)
    digest = hashlib.sha256(request.code_verifier.encode()).digest()
    expected = [
        ("response_type", "code"),
        ("client_id", "client"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid api"),
        ("state", request.state),
        ("code_challenge", base64.urlsafe_b64encode(digest).decode().rstrip("=")),
        ("code_challenge_method", "S256"),
    ]

    assert URL == f"{url.scheme}://{url.netloc}{url.path}"
    assert expected == parse_qsl(url.query)
    assert request.code_verifier not in request.url


def test_the_challenge_is_that_of_the_rfc_s_own_example() -> None:
    """RFC 7636 appendix B: this verifier has this challenge."""
    fields = {**make().to_dict(), "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}
    url = AuthorizationRequest.from_dict(fields).url

    assert ["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"] == parse_qs(urlsplit(url).query)["code_challenge"]


def test_each_request_is_another() -> None:
    """State and verifier are of chance, of 256 bits and more, and of the characters that RFC 7636 allows."""
    requests = [make() for _ in range(100)]

    assert 100 == len({request.state for request in requests})
    assert 100 == len({request.code_verifier for request in requests})
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", request.state) for request in requests)
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", request.code_verifier) for request in requests)


@pytest.mark.parametrize(
    ("authorization_url", "beginning"),
    [
        (f"{URL}?tenant=a%20b", f"{URL}?tenant=a%20b&response_type=code&"),
        (f"{URL}?", f"{URL}?response_type=code&"),
        (f"{URL}?a=1&", f"{URL}?a=1&response_type=code&"),
        (URL, f"{URL}?response_type=code&"),
    ],
)
def test_the_endpoint_s_own_query_is_kept(authorization_url: str, beginning: str) -> None:
    """A query in the authorization URL is retained, and what's added is well-formed (RFC 6749 section 3.1)."""
    request = AuthorizationRequest(authorization_url, "client", CALLBACK)

    assert request.url.startswith(beginning)


def test_additional_parameters() -> None:
    """Additional parameters are sent; a sequence repeats its own, None drops it, and any character is encoded."""
    parameters = {"prompt": "consent", "resource": ["https://a.example/", "https://b.example/"], "x": None, "ü&": "=ö "}
    query = parse_qs(urlsplit(make(parameters=parameters).url).query)

    assert ["consent"] == query["prompt"]
    assert ["https://a.example/", "https://b.example/"] == query["resource"]
    assert "x" not in query
    assert ["=ö "] == query["ü&"]


@pytest.mark.parametrize(
    "options",
    [
        *({"parameters": {name: "x"}} for name in ("state", "client_id", "redirect_uri", "response_type", "scope")),
        *({"parameters": {name: "x"}} for name in ("code_challenge", "code_challenge_method")),
        {"parameters": {"a": 1}},
        {"parameters": {"a": b"x"}},
        {"parameters": {1: "x"}},
        {"parameters": {"a": "\ud800"}},
        {"parameters": {"\ud800": "a"}},
        {"parameters": [("a", "b")]},
        {"scope": 5},
        {"issuer": 5},
        *(
            {"redirect_uri": uri}
            for uri in ("", "/callback", "app.example.com/callback", "https://", "https:/cb", "?a")
        ),
        *({"redirect_uri": uri} for uri in (f"{CALLBACK}#here", f"{CALLBACK}#", "https://[x/cb", f"{CALLBACK} ", None)),
        *({"redirect_uri": uri} for uri in ("https://ü.example/", f"{CALLBACK}\n")),
        {"client_id": ""},
        {"client_id": None},
        {"client_id": "\ud800"},
        {"authorization_url": "auth.example.com"},
        {"authorization_url": f"{URL}#"},
        {"authorization_url": f"{URL}#x"},
        {"authorization_url": "https://user:word@auth.example.com/"},
    ],
)
def test_what_can_t_work_is_refused_at_once(options: dict[str, Any]) -> None:
    """A wrong argument is a `ConfigurationError` at construction."""
    arguments = {"authorization_url": URL, "client_id": "client", "redirect_uri": CALLBACK, **options}
    with pytest.raises(ConfigurationError):
        AuthorizationRequest(**arguments)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/authorize", "http://localhost/authorize", "http://[::1]/a"])
def test_loopback_needs_no_tls(url: str) -> None:
    """An authorization server on loopback may speak plain http."""
    assert AuthorizationRequest(url, "client", CALLBACK).url.startswith(f"{url}?")


def test_elsewhere_tls_is_needed() -> None:
    """An authorization endpoint on plain http beyond loopback is refused, unless it's allowed."""
    url = "http://auth.example.com/authorize"
    with pytest.raises(InsecureTransportError):
        AuthorizationRequest(url, "client", CALLBACK)

    request = AuthorizationRequest(url, "client", CALLBACK, allow_insecure_transport=True)
    assert request == AuthorizationRequest.from_dict(request.to_dict())


# -- The answer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "redirect_uri",
    [
        CALLBACK,
        "https://app.example.com",
        "https://app.example.com/callback?tenant=7&tenant=8",
        "http://127.0.0.1:49152/callback",
        "http://[::1]:49152/callback",
        "http://localhost/",
        "com.example.app:/callback",
        "com.example.app://host/callback",
        "urn:ietf:wg:oauth:2.0:oob",
    ],
)
def test_the_right_answer_has_a_code(redirect_uri: str) -> None:
    """The code is read from the redirected URL, whatever the redirect URI's kind, and from its query alone."""
    request = make(redirect_uri)
    url = answer(request, code="a+b/c=ä %")

    assert [redirect_uri] == parse_qs(urlsplit(request.url).query)["redirect_uri"]
    assert "a+b/c=ä %" == request.code_from(url)
    assert "a+b/c=ä %" == request.code_from(f"?{urlsplit(url).query}")
    assert request.is_answered_by(url)


@pytest.mark.parametrize("around", ["{}#_=_", "{}#", "  {}\n", "{}&session_state=1&scope=a", "{}&iss="])
def test_what_servers_and_people_add_does_no_harm(around: str) -> None:
    """A fragment, white space of a paste, unknown parameters: the code is still found."""
    request = make()

    assert "the-code" == request.code_from(around.format(answer(request)))


def test_what_a_proxy_changes_does_no_harm() -> None:
    """Behind a proxy an application sees another scheme, host and port than the person does."""
    request = make()
    query = urlsplit(answer(request)).query

    assert "the-code" == request.code_from(f"http://10.0.0.7:8080/callback?{query}")
    assert "the-code" == request.code_from(f"/callback?{query}")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda request: answer(request, state=None),
        lambda request: answer(request, state=""),
        lambda request: answer(request, state=request.state[:-1]),
        lambda request: answer(request, state=f"{request.state}x"),
        lambda request: answer(request, state=request.state.swapcase()),
        lambda request: answer(request, state="ü€\U0001f600"),
        lambda request: answer(request, state=make().state),
        lambda request: answer(request, ("state", request.state)),
        lambda request: answer(request, ("state", "other")),
        lambda request: answer(request, ("code", "the-code")),
        lambda request: answer(request, ("code", "other")),
        lambda request: answer(request, ("error", "a"), ("error", "b")),
        lambda request: answer(request, ("iss", ISSUER), ("iss", ISSUER)),
        lambda request: answer(request, ("more", "1"), ("more", "2")),
        lambda request: answer(request, code=None),
        lambda request: answer(request, code=""),
        lambda request: answer(request).replace("/callback", "/elsewhere"),
        lambda request: answer(request).replace("/callback", "/callback/"),
        lambda request: answer(request).replace("/callback", ""),
        lambda request: answer(request).replace("?", "#"),
        lambda request: answer(request).replace("https://app.example.com", "com.example.app://x"),
        lambda request: answer(request).replace("app.example.com", "[app"),
        lambda request: answer(request).removeprefix(f"{CALLBACK}?"),
        lambda request: f"{answer(request)}&{'&'.join(f'p{n}=' for n in range(200))}",
        lambda request: f"{answer(request)}&x={'x' * 100_000}",
        lambda request: f"{answer(request)}&x=\ud800",
        lambda request: f"{CALLBACK}?code=c&state=\udcff",
        lambda request: CALLBACK,
        lambda request: "",
        lambda request: "?",
        lambda request: "the-code",
        lambda request: "https://[",
        lambda request: "\x00",
        lambda request: None,
        lambda request: answer(request).encode(),
    ],
)
def test_what_is_no_answer_has_no_code(spoil: Any) -> None:
    """A wrong state, a parameter more than once, another path, no code, or what's no URL at all is refused."""
    request = make()

    refusal(request, spoil(request))


@pytest.mark.parametrize("url", [CALLBACK, "?", f"{CALLBACK}?x=1"])
def test_a_redirect_without_anything_is_told_as_that(url: str) -> None:
    """A page that was just opened is no forged answer."""
    assert "there's neither a code nor an error in it" in str(refusal(make(), url))


def test_states_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a wrong state takes tells nothing of the right one."""
    compared: list[set[Any]] = []
    compare = hmac.compare_digest

    def note(one: Any, other: Any) -> bool:
        compared.append({one, other})
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", note)
    request = make()
    refusal(request, answer(request, state="guess"))
    request.is_answered_by(answer(request, state="guess"))

    assert 2 * [{b"guess", request.state.encode()}] == compared


@pytest.mark.parametrize(
    ("iss", "required", "is_taken"),
    [
        (ISSUER, True, True),
        (ISSUER, False, True),
        (None, False, True),
        (None, True, False),
        ("https://evil.example.com", True, False),
        ("https://evil.example.com", False, False),
        (f"{ISSUER}/", False, False),
        ("", False, False),
        ("ü", False, False),
    ],
)
def test_the_issuer_is_compared(iss: str | None, required: bool, is_taken: bool) -> None:
    """RFC 9207: an answer of another issuer is refused, and one without if the server always says."""
    request = make(issuer=ISSUER, issuer_required=required)
    url = answer(request, iss=iss)

    if is_taken:
        assert "the-code" == request.code_from(url)
    else:
        assert "9207" in str(refusal(request, url))
        # Nor is another server's error believed.
        assert refusal(request, answer(request, iss=iss, code=None, error="access_denied")).error is None


def test_an_error_says_what_the_server_says() -> None:
    """An error answer raises with its code and description, on one line and not too long."""
    request = make()
    url = answer(
        request, code=None, error="access_denied", error_description="no,\x1b[31m\r\n \u202ethank you" + "x" * 999
    )
    error = refusal(request, url)

    assert "access_denied" == error.error
    assert error.error_description is not None
    assert error.error_description.startswith("no, [31m")
    assert error.error_description.isprintable()
    assert 500 >= len(error.error_description)
    assert str(error).isprintable()
    copied = pickle.loads(pickle.dumps(error))
    assert (error.error, error.error_description) == (copied.error, copied.error_description)


def test_an_error_wins_over_a_code() -> None:
    """Who says both gave no code that could be trusted; an empty error is one, too."""
    request = make()

    assert "server_error" == refusal(request, answer(request, error="server_error")).error
    assert "unreadable" == refusal(request, answer(request, error="")).error


def test_an_error_without_the_state_is_not_believed() -> None:
    """Nobody without the state can end a login with an error of theirs."""
    request = make()

    assert refusal(request, answer(request, state="x", code=None, error="access_denied")).error is None


def test_a_redirect_uri_s_own_query_takes_nothing_away() -> None:
    """A redirect URI may have a query, even repeated names, but not the answer's own twice."""
    request = make(f"{CALLBACK}?state=mine")

    refusal(request, answer(request))


# -- Property tests ---------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["state", "code", "iss", "error", "error_description", "State", "code[]", "x", ""])
VALUES = st.one_of(st.sampled_from(["STATE", "the-code", ISSUER, "", "STATE ", "%53"]), st.text(max_size=8))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6), st.sampled_from([CALLBACK, "", "/callback", "https://e.org/"]))
def test_no_code_without_the_one_right_state(pairs: list[tuple[str, str]], base: str) -> None:
    """Whatever the parameters: a code comes only with one state, the right one, one code, no error and no other iss."""
    request = make(issuer=ISSUER)
    query = urlencode([(name, request.state if value == "STATE" else value) for name, value in pairs], errors="replace")
    try:
        code = request.code_from(f"{base}?{query}")
    except AuthorizationResponseError:
        return
    got = parse_qs(query, keep_blank_values=True)
    assert [request.state] == got["state"]
    assert [code] == got["code"]
    assert got.get("iss", [ISSUER]) == [ISSUER]
    assert "error" not in got
    assert "https://e.org/" != base


@given(st.text(max_size=200))
def test_any_text_is_an_answer_or_an_error_of_ours(text: str) -> None:
    """Whatever is pasted, and wherever the right state is in it, nothing else is raised."""
    request = make()
    for url in (text, f"{CALLBACK}?{text}", f"{CALLBACK}?state={request.state}&{text}", f"https://{text}?state=x"):
        request.is_answered_by(url)
        try:
            code = request.code_from(url)
        except AuthorizationResponseError:
            continue
        assert f"state={request.state}" in url
        assert code


@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])), st.text(max_size=5))
def test_codes_come_through_unchanged(code: str, junk: str) -> None:
    """Each code that a server may send is returned as it was sent."""
    request = make()

    assert code == request.code_from(f"{CALLBACK}?code={quote(code, safe='')}&state={request.state}")


# -- Through a session ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        make(),
        make(scope="a b", issuer=ISSUER, issuer_required=True, parameters={"p": ["1", "2"], "q": "r", "n": None}),
        make("urn:ietf:wg:oauth:2.0:oob"),
    ],
    ids=["plain", "with everything", "out of band"],
)
def test_a_request_goes_through_a_session(request_: AuthorizationRequest) -> None:
    """As JSON, pickled or copied, it's the same: the same URL, and it takes the same answer."""
    again = [
        AuthorizationRequest.from_dict(json.loads(json.dumps(request_.to_dict()))),
        pickle.loads(pickle.dumps(request_)),
        copy.deepcopy(request_),
        copy.copy(request_),
    ]
    for twin in again:
        assert request_ == twin
        assert hash(request_) == hash(twin)
        assert request_.url == twin.url
        assert request_.code_verifier == twin.code_verifier
        iss = twin.to_dict()["issuer"]
        assert "the-code" == twin.code_from(answer(request_, iss=iss))
        refusal(twin, answer(request_, iss=iss, state="x"))
        if iss:
            refusal(twin, answer(request_))


def test_a_dictionary_is_apart() -> None:
    """What's done to the dictionary changes no request."""
    request = make(parameters={"p": ["1"]})
    url = request.url
    request.to_dict()["parameters"]["p"].append("2")
    request.to_dict()["state"] = "x"

    assert url == request.url


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (lambda request: request.pushed("urn:x:1"), {"request_uri": ["urn:x:1"]}),
        (lambda request: request.signed("a.b.c"), {"request": ["a.b.c"]}),
        (lambda request: request.signed("a.b.c").pushed("urn:x:1"), {"request_uri": ["urn:x:1"]}),
        (lambda request: request.pushed("urn:x:1").bound_to({"d": "secret"}), {"request_uri": ["urn:x:1"]}),
    ],
    ids=["pushed", "signed", "both", "bound"],
)
def test_a_request_that_nobody_can_read(change: Any, shown: dict[str, Any]) -> None:
    """Pushed or signed, its URL has the client and that alone; so it is after a session has carried it."""
    plain = make(scope="a", parameters={"login_hint": "alice"})
    request = change(plain)

    carried = AuthorizationRequest.from_dict(json.loads(json.dumps(request.to_dict())))
    for one in (request, carried, copy.deepcopy(request), pickle.loads(pickle.dumps(request))):
        assert {"client_id": ["client"], **shown} == parse_qs(urlsplit(one.url).query)
        assert request == one
        assert plain.parameters == one.parameters
        assert "the-code" == one.code_from(answer(plain))
    assert plain != request
    assert "alice" in plain.url


@pytest.mark.parametrize("authorization_url", [f"{URL}?tenant=a", f"{URL}?tenant=a&"])
def test_the_endpoint_s_own_query_is_kept_beside_a_reference(authorization_url: str) -> None:
    """The endpoint's URL is the server's to choose."""
    request = AuthorizationRequest(authorization_url, "client", CALLBACK).pushed("urn:x:1")

    assert f"{URL}?tenant=a&client_id=client&request_uri=urn%3Ax%3A1" == request.url


def test_the_key_of_a_request() -> None:
    """It's carried, and apart from what the dictionary becomes."""
    jwk = {"kty": "EC", "d": "secret"}
    request = make().bound_to(jwk)
    fields = request.to_dict()
    again = AuthorizationRequest.from_dict(fields)
    for changed in (jwk, fields["dpop_key"]):
        changed["d"] = "other"

    assert {"kty": "EC", "d": "secret"} == request.dpop_key == again.dpop_key
    assert None is make().dpop_key


@pytest.mark.parametrize(
    "spoil",
    [
        *({name: None} for name in ("request", "request_uri", "dpop_key")),
        *({name: 5} for name in ("request", "request_uri", "dpop_key")),
        {"dpop_key": "secret"},
        {"request": {}},
        *({name: None} for name in ("authorization_url", "client_id", "redirect_uri", "state", "code_verifier")),
        *({name: ""} for name in ("authorization_url", "client_id", "redirect_uri", "state", "code_verifier")),
        *({name: 5} for name in ("authorization_url", "client_id", "redirect_uri", "state", "code_verifier", "scope")),
        {"issuer": 5},
        {"parameters": {"state": ["x"]}},
        {"parameters": "x"},
        {"authorization_url": "nowhere"},
        {"redirect_uri": "nowhere"},
    ],
)
def test_a_spoiled_dictionary_is_refused(spoil: dict[str, Any]) -> None:
    """A session's content that isn't what was put there is a `ConfigurationError`, and shows no secret."""
    fields = {**make().to_dict(), **spoil}
    with pytest.raises(ConfigurationError) as caught:
        AuthorizationRequest.from_dict(fields)
    assert str(fields["code_verifier"]) == "" or str(fields["code_verifier"]) not in str(caught.value)


@pytest.mark.parametrize("fields", [None, [], "x", {}, 5])
def test_what_is_no_dictionary_is_refused(fields: Any) -> None:
    """A session without a login is a `ConfigurationError`, too."""
    with pytest.raises(ConfigurationError):
        AuthorizationRequest.from_dict(fields)


def test_its_repr_shows_no_secret() -> None:
    """Neither state nor verifier nor additional parameters, which may be secret, are shown."""
    request = make(parameters={"login_hint": "alice@example.com"})
    request = request.signed("s1gned").pushed("urn:r3ference").bound_to({"d": "s3cret"})
    shown = repr(request)

    assert "client" in shown
    assert URL in shown
    assert request.state not in shown
    assert request.code_verifier not in shown
    assert not [text for text in ("alice", "s1gned", "r3ference", "s3cret") if text in shown]
