"""Guarantee 16 of the security profile: pushed and signed authorization requests, of logins here and in web apps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
from joserfc import jwk, jwt

from oauth_auth import (
    AuthorizationRequest,
    ConfigurationError,
    DPoPKey,
    MemoryTokenStore,
    OAuthError,
    OAuthProviderException,
    PrivateKeyJwt,
    RequestObject,
    TokenResponseError,
)
from tests.support.authority import REDIRECT_URI, Authority, thumbprint_of
from tests.support.jwts import claims_of, header_of
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer

pytestmark = pytest.mark.shared_core

KEY = DPoPKey.generate()
DETAILS = [{"type": "payment", "amount": {"currency": "EUR", "value": "1.00"}}]


@pytest.fixture
def authority(serve: Callable[..., ScriptedServer]) -> Authority:
    return Authority(serve)


@pytest.fixture
def api(serve: Callable[..., ScriptedServer], authority: Authority) -> ScriptedServer:
    """An API that takes each token of the server's, bound ones with a proof of their key."""

    def answer(request: Received) -> Answer:
        return Answer(401 if authority.grant_of(request) is None else 200, request.body)

    return serve(answer)


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


def call(mode: Mode, auth: Any, name: str, *args: Any) -> Any:
    """Call a method, or in modes of async libraries the one that's awaited."""
    if mode.backend is None:
        return getattr(auth, name)(*args)
    return anyio.run(partial(getattr(auth, f"a{name}"), *args), backend=mode.backend)


# -- Pushed ---------------------------------------------------------------------------------------------------------


def test_what_is_pushed_is_in_no_url(mode: Mode, authority: Authority, api: ScriptedServer) -> None:
    """The request goes to the server itself, with the client's secret; the person is sent with a reference alone."""
    auth = authority.code_auth(
        mode,
        login=authority.log_in,
        par=True,
        scope="read",
        resource=["https://a.example", "https://b.example"],
        authorization_details=DETAILS,
        authorization_parameters={"login_hint": "alice"},
    )
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    [pushed], [url], [token_call] = authority.calls("/par"), authority.visited, authority.calls("/token")
    assert "POST" == pushed.method
    assert pushed.authorization == token_call.authorization is not None
    form = dict(pushed.form)
    assert DETAILS == json.loads(form.pop("authorization_details")[0])
    assert {"state", "code_challenge"} <= form.keys()
    expected = {
        "response_type": ["code"],
        "client_id": ["client"],
        "redirect_uri": [REDIRECT_URI],
        "scope": ["read"],
        "code_challenge_method": ["S256"],
        "resource": ["https://a.example", "https://b.example"],
        "login_hint": ["alice"],
    }
    assert expected == {name: form[name] for name in expected}
    assert {"client_id", "request_uri"} == query_of(url).keys()
    assert ["https://a.example", "https://b.example"] == token_call.form["resource"]
    assert "authorization_details" not in token_call.form


@pytest.mark.parametrize("secret", ["fields", "header"])
def test_the_client_proves_itself_as_at_the_token_endpoint(
    plugin_mode: Mode, authority: Authority, secret: str
) -> None:
    """In the way that the server's metadata asks for."""
    if secret == "fields":
        authority.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    authority.code_auth(plugin_mode, login=authority.log_in, par=True).get_token()
    for received in (*authority.calls("/par"), *authority.calls("/token")):
        assert (secret == "header") == (received.authorization is not None)
        assert (["secret"] if secret == "fields" else None) == received.form.get("client_secret")


@pytest.mark.parametrize("fault", [Answer(503), Answer(429), Answer(0)], ids=["503", "429", "no answer"])
def test_each_attempt_to_push_has_an_assertion_and_a_proof_of_its_own(
    mode: Mode, authority: Authority, api: ScriptedServer, quick: None, fault: Answer
) -> None:
    """It's tried again as a token call is; nobody notices, and no assertion or proof is sent twice."""
    authority.faults["/par"] = [fault, fault]
    auth = authority.code_auth(
        mode, login=authority.log_in, par=True, dpop=True, client_auth=PrivateKeyJwt(KEY.private_jwk)
    )
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    pushed, tokens = authority.calls("/par"), authority.calls("/token")
    assert (3, 1) == (len(pushed), len(tokens))
    calls = [*pushed, *tokens]
    identifiers = [claims_of(one.form["client_assertion"][0])["jti"] for one in calls]
    identifiers += [claims_of(one.headers["dpop"])["jti"] for one in calls]
    assert 8 == len(set(identifiers))
    assert {authority.issuer} == {claims_of(one.form["client_assertion"][0])["aud"] for one in calls}
    assert 1 == len({thumbprint_of(one.headers["dpop"]) for one in calls})
    assert {("POST", authority.url("/par"))} == {
        (claims["htm"], claims["htu"]) for claims in (claims_of(one.headers["dpop"]) for one in pushed)
    }


def test_a_nonce_is_taken_at_the_first_push(mode: Mode, authority: Authority, api: ScriptedServer) -> None:
    """The server may ask for a nonce there; the token call has it from the beginning."""

    def needs_nonce(request: Received) -> Answer | None:
        if claims_of(request.headers["dpop"]).get("nonce") == "n1":
            return None
        return Answer(400, {"error": "use_dpop_nonce"}, (("DPoP-Nonce", "n1"),))

    authority.answers.update({"/par": needs_nonce, "/token": needs_nonce})
    with mode.client(authority.code_auth(mode, login=authority.log_in, par=True, dpop=True)) as client:
        assert 200 == client.get(api.url).status_code
    assert (2, 1) == (len(authority.calls("/par")), len(authority.calls("/token")))


REFUSALS: dict[str, tuple[Answer, type[OAuthError]]] = {
    "error": (Answer(400, {"error": "invalid_request_object"}), OAuthProviderException),
    "no reference": (Answer(201, {"expires_in": 60}), TokenResponseError),
    "page": (Answer(200, b"<html>hello</html>", (("Content-Type", "text/html"),)), TokenResponseError),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_nobody_is_sent_anywhere_with_what_is_refused(
    mode: Mode, authority: Authority, api: ScriptedServer, name: str
) -> None:
    """The refusal is raised where the request was made, without another attempt, and no browser opens."""
    refusal, error = REFUSALS[name]
    authority.answers["/par"] = lambda _: refusal
    opened: list[str] = []

    def login(begin: Any) -> str:
        opened.append(begin(REDIRECT_URI).url)
        return opened[0]

    with mode.client(authority.code_auth(mode, login=login, par=True)) as client, pytest.raises(error) as caught:
        client.get(api.url)
    assert type(caught.value) is error
    assert ([], 1, []) == (opened, len(authority.calls("/par")), authority.calls("/token"))
    assert [] == api.requests
    web = authority.code_auth(mode, par=True)
    with pytest.raises(error):
        call(mode, web, "authorization_request", REDIRECT_URI)


@pytest.mark.parametrize(
    ("par", "required", "given", "pushes"),
    [
        (None, None, False, False),
        (None, False, False, False),
        (None, "true", False, False),
        (None, True, False, True),
        (None, None, True, True),
        (True, None, False, True),
        (True, False, True, True),
        (False, True, False, False),
        (False, True, True, False),
    ],
)
def test_which_requests_are_pushed(
    plugin_mode: Mode, authority: Authority, par: bool | None, required: object, given: bool, pushes: bool
) -> None:
    """Where it's asked for, a URL given, or the server requires it; an endpoint in the metadata isn't enough."""
    if required is not None:
        authority.metadata["require_pushed_authorization_requests"] = required
    url = {"pushed_authorization_request_url": authority.url("/par")} if given else {}
    auth = authority.code_auth(plugin_mode, par=par, **url)
    request = auth.authorization_request(REDIRECT_URI)
    assert (1 if pushes else 0) == len(authority.calls("/par"))
    assert pushes == ("request_uri" in query_of(request.url))
    assert auth.complete_login(request, authority.authorize(request.url)) == auth.token


def test_without_metadata_the_url_is_given(plugin_mode: Mode, authority: Authority) -> None:
    """A server without metadata takes pushed requests, too; one whose metadata has no endpoint can't."""
    auth = plugin_mode.plugin.AuthorizationCodeAuth(
        authority.url("/token"),
        "client",
        authorization_url=authority.url("/authorize"),
        pushed_authorization_request_url=authority.url("/par"),
        login=authority.log_in,
    )
    auth.get_token()
    [pushed] = authority.calls("/par")
    assert (["client"], None) == (pushed.form["client_id"], pushed.authorization)
    authority.metadata["pushed_authorization_request_endpoint"] = None
    with pytest.raises(TokenResponseError, match="has no pushed_authorization_request_endpoint: pass"):
        authority.code_auth(plugin_mode, par=True).authorization_request(REDIRECT_URI)


def test_a_reference_is_used_once(mode: Mode, authority: Authority, api: ScriptedServer) -> None:
    """Each login has a request of its own: servers take a reference once."""
    auth = authority.code_auth(mode, login=authority.log_in, par=True)
    authority.fields["refresh_token"] = None
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        authority.tokens.clear()
        assert 200 == client.get(api.url).status_code
    assert 2 == len({url for url in authority.visited if "request_uri" in url}) == len(authority.calls("/par"))


# -- Signed ---------------------------------------------------------------------------------------------------------


def verified(text: str) -> Mapping[str, Any]:
    return jwt.decode(text, jwk.import_key(KEY.public_jwk), algorithms=["ES256"]).claims


@pytest.mark.parametrize("par", [False, True], ids=["by value", "pushed"])
def test_nobody_can_change_what_is_signed(mode: Mode, authority: Authority, api: ScriptedServer, par: bool) -> None:
    """All parameters are in the signed object; beside it there's the client's id, and pushed what proves the client."""
    auth = authority.code_auth(
        mode,
        "secret",
        login=authority.log_in,
        par=par,
        dpop=True,
        request_object=RequestObject(KEY.private_jwk, kid="k"),
        scope="read",
        resource=["https://a.example", "https://b.example"],
        authorization_details=DETAILS,
        authorization_parameters={"max_age": "0", "login_hint": "alice"},
    )
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    [url] = authority.visited
    if par:
        [pushed] = authority.calls("/par")
        assert {"client_id", "request"} == pushed.form.keys()
        [text] = pushed.form["request"]
    else:
        assert {"client_id", "request"} == query_of(url).keys()
        [text] = query_of(url)["request"]
    assert {"alg": "ES256", "kid": "k", "typ": "oauth-authz-req+jwt"} == header_of(text)
    claims = verified(text)
    [token_call] = authority.calls("/token")
    expected = {
        "iss": "client",
        "aud": authority.issuer,
        "client_id": "client",
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": "read",
        "code_challenge_method": "S256",
        "resource": ["https://a.example", "https://b.example"],
        "authorization_details": DETAILS,
        "max_age": 0,
        "login_hint": "alice",
        "dpop_jkt": thumbprint_of(token_call.headers["dpop"]),
    }
    assert expected == {name: claims[name] for name in expected}
    assert 0 < claims["exp"] - claims["nbf"] <= 3600


def test_each_attempt_to_push_is_signed_anew(plugin_mode: Mode, authority: Authority, quick: None) -> None:
    """A request object counts once, too; what it says is the same request."""
    authority.faults["/par"] = [Answer(503), Answer(0)]
    signs = RequestObject(KEY.private_jwk)
    authority.code_auth(plugin_mode, login=authority.log_in, par=True, request_object=signs).get_token()
    claims = [verified(one.form["request"][0]) for one in authority.calls("/par")]
    assert (3, 1) == (len({one["jti"] for one in claims}), len({one["state"] for one in claims}))


def test_a_request_is_signed_by_the_servers_clock(plugin_mode: Mode, authority: Authority) -> None:
    """Where a refused proof has told the server's time, `nbf` and `exp` are by that."""
    late = (("Date", "Wed, 13 Mar 2030 12:00:00 GMT"),)
    refused = Answer(400, {"error": "invalid_dpop_proof"}, late)
    authority.faults["/par"] = [refused]
    signs = RequestObject(KEY.private_jwk)
    auth = authority.code_auth(plugin_mode, par=True, request_object=signs, dpop=True)
    auth.authorization_request(REDIRECT_URI)
    [_, second] = [verified(one.form["request"][0]) for one in authority.calls("/par")]
    assert 1_899_633_600 == pytest.approx(second["iat"], abs=30)


# -- Web applications -----------------------------------------------------------------------------------------------

FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "pushed": {"par": True},
    "signed": {"request_object": RequestObject(KEY.private_jwk)},
    "pushed and signed": {"par": True, "request_object": RequestObject(KEY.private_jwk)},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dpop", [None, True, KEY], ids=["bearer", "own key", "given key"])
def test_what_one_process_begins_another_completes(
    mode: Mode, authority: Authority, api: ScriptedServer, form: str, dpop: Any
) -> None:
    """The session carries the reference, or the signed request, and the key that the code is bound to."""
    options = {**FORMS[form], "dpop": dpop}
    request = call(mode, authority.code_auth(mode, **options), "authorization_request", REDIRECT_URI)
    carried = json.loads(json.dumps(request.to_dict()))
    assert request.url == AuthorizationRequest.from_dict(carried).url
    assert (dpop is True) == ("dpop_key" in carried)
    redirected = authority.authorize(request.url)
    other = authority.code_auth(mode, **options)
    token = call(mode, other, "complete_login", carried, redirected)
    assert ("Bearer" if dpop is None else "DPoP") == token.token_type
    with mode.client(other) as client:
        assert 200 == client.get(api.url).status_code
    [grant] = [authority.tokens[token.access_token]]
    if dpop is None:
        assert grant.jkt is None
    else:
        expected = KEY.thumbprint if dpop is KEY else DPoPKey(carried["dpop_key"]).thumbprint
        assert expected == grant.jkt == grant.parameters["dpop_jkt"]
    assert len(authority.calls("/par")) == ("par" in FORMS[form])


def test_each_request_has_a_key_of_its_own(plugin_mode: Mode, authority: Authority, api: ScriptedServer) -> None:
    """Two people's logins at the same time are bound to two keys, and each goes on with its own, from its store."""
    auths = [authority.code_auth(plugin_mode, dpop=True, store=MemoryTokenStore()) for _ in range(2)]
    requests = [auth.authorization_request(REDIRECT_URI) for auth in (auths[0], auths[0])]
    redirected = [authority.authorize(request.url) for request in requests]
    tokens = [auth.complete_login(r, url) for auth, r, url in zip(auths, requests, redirected, strict=True)]
    keys = [authority.tokens[token.access_token].jkt for token in tokens]
    assert 2 == len(set(keys))
    for auth, key in zip(auths, keys, strict=True):
        renewed = auth.refresh()
        assert key == authority.tokens[renewed.access_token].jkt
        with plugin_mode.client(auth) as client:
            assert 200 == client.get(api.url).status_code


def test_a_login_that_fails_keeps_the_key_of_the_one_before(plugin_mode: Mode, authority: Authority) -> None:
    """The token that's there goes on with its own key, whatever became of a new request's."""
    auth = authority.code_auth(plugin_mode, dpop=True)
    first = auth.authorization_request(REDIRECT_URI)
    token = auth.complete_login(first, authority.authorize(first.url))
    second = auth.authorization_request(REDIRECT_URI)
    with pytest.raises(OAuthProviderException, match="invalid_grant"):
        auth.complete_login(second, authority.authorize(second.url).replace("code-", "code-x"))
    assert token == auth.get_token()
    jkt = authority.tokens[token.access_token].jkt
    assert jkt == authority.tokens[auth.refresh().access_token].jkt


def test_the_same_redirect_again_is_the_same_login(mode: Mode, authority: Authority, api: ScriptedServer) -> None:
    """A page that's loaded again changes nothing, the key neither."""
    auth = authority.code_auth(mode, dpop=True, store=MemoryTokenStore(), store_key="alice")
    request = call(mode, auth, "authorization_request", REDIRECT_URI)
    url = authority.authorize(request.url)
    token = call(mode, auth, "complete_login", request.to_dict(), url)
    assert token == call(mode, auth, "complete_login", request.to_dict(), url)
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    assert 1 == len(authority.calls("/token"))


@pytest.mark.parametrize("key", [{}, {"kty": "EC"}, DPoPKey.generate().public_jwk, {"kty": "oct", "k": "hunter2x"}])
def test_a_session_with_a_spoiled_key_is_told(plugin_mode: Mode, authority: Authority, key: Any) -> None:
    """By a `ConfigurationError` that shows no key, and before the code is spent."""
    auth = authority.code_auth(plugin_mode, dpop=True)
    request = auth.authorization_request(REDIRECT_URI)
    spoiled = {**request.to_dict(), "dpop_key": key}
    url = authority.authorize(request.url)
    with pytest.raises(ConfigurationError) as caught:
        auth.complete_login(spoiled, url)
    assert "hunter2x" not in str(caught.value)
    assert [] == authority.calls("/token")
    assert auth.complete_login(request, url) == auth.token
