"""Guarantee 12: no secret is shown, by whatever path: reprs, errors, what they hold and where they passed, logs."""

from __future__ import annotations

import base64
import copy
import dataclasses
import gc
import logging
import pickle
import re
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, quote_plus

import anyio
import pytest
import requests
from joserfc import jwk

import oauth_auth
from oauth_auth import (
    AuthorizationRequest,
    ClientAssertion,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    ConfigurationError,
    DPoPKey,
    InsecureTransportError,
    JwtAssertion,
    MemoryTokenStore,
    OAuthError,
    OAuthProviderException,
    OAuthToken,
    PrivateKeyJwt,
    PublicClient,
    RequestObject,
    TokenError,
    basic_authorization,
)
from oauth_auth._flight import Outcome
from oauth_auth._plugins.options import read_options
from oauth_auth._record import Record, asdict
from oauth_auth._wire.client_auth import ClientAuthentication, ClientAuthParameters
from oauth_auth._wire.messages import TokenResponse
from oauth_auth._wire.token import Credential
from tests.support.jwts import claims_of
from tests.support.modes import HTTPX, HTTPX2, OF_REQUESTS, Mode
from tests.support.ports import free_port
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, accepting, token_that_expires_in
from tests.support.waiting import await_silence, outcome_of

pytestmark = pytest.mark.shared_core

Serve = Callable[..., ScriptedServer]

ALSO_SHARING = True

MARK = "s3cret"
"""Part of each secret in these tests. Some have letters that encodings change, but never within the mark."""

CLIENT_SECRET = "client s3cret/+é"
PASSWORD = "pass-s3cret word"
REFRESH_TOKEN = "refresh-s3cret"
CODE = "code-s3cret"
VERIFIER = "verifier-s3cret"
ACCESS_TOKEN = "access-s3cret"
ASSERTION = "assertion-s3cret"
SUBJECT = "subject-s3cret"
ACTOR = "actor-s3cret"
SHORT, LONG = "correct", "correct-s3cret"
KEY = DPoPKey.generate().private_jwk
PEM = jwk.ECKey.import_key(KEY).as_pem(private=True, password=PASSWORD)

BASICS = [
    base64.b64encode(pair.encode()).decode()
    for pair in (f"client:{CLIENT_SECRET}", f"client:{quote(CLIENT_SECRET, safe='')}")
]

KEY_TEXTS = [KEY["d"], *(line for line in PEM.decode().splitlines() if len(line) > 50 and "-" not in line)]
"""How a private key would be recognized, as a JWK and as PEM."""

OWN_FOLDER = str(Path(oauth_auth.__file__).parent)


def shown(text: str) -> list[str]:
    """Return what secrets a text shows: among them whatever is signed, as proofs and assertions are."""
    return [secret for secret in (MARK, *BASICS, *KEY_TEXTS) if secret in text] + re.findall(r"\beyJ\w+", text)


def held(root: object) -> list[str]:
    """Return the secrets among all that can be reached from an object, but for tracebacks and what isn't data."""
    found, seen, left = [], set(), [root]
    while left:
        thing = left.pop()
        if id(thing) in seen or isinstance(thing, types.ModuleType | types.FrameType | types.TracebackType | type):
            continue
        seen.add(id(thing))
        if isinstance(thing, bytes):
            thing = thing.decode("latin-1")
        if isinstance(thing, str):
            found += [f"{thing!r}" for _ in shown(thing)]
        elif not isinstance(thing, types.FunctionType | types.BuiltinFunctionType):
            left += gc.get_referents(thing)
            if isinstance(thing, BaseException):
                left += [thing.__cause__, thing.__context__, thing.args, vars(thing)]
    return found


def chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    left = [error]
    while left:
        error = left.pop()
        if error is not None and error not in seen:
            seen.append(error)
            left += [error.__cause__, error.__context__]
            yield error


def locals_shown(error: BaseException, *, of_all_frames: bool = False) -> list[str]:
    """Return the locals that show a secret in the frames that an error has passed, ours if not all."""
    found = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if of_all_frames or file.startswith(OWN_FOLDER):
            found += [
                f"{name} in {Path(file).name}:{line}" for name, value in frame.f_locals.items() if shown(repr(value))
            ]
    return found


def leaks(error: BaseException) -> list[str]:
    """Return all ways in which an error shows a secret."""
    found = held(error)
    for one in chain(error):
        texts = [str(one), repr(one), repr(vars(one)), *map(repr, one.args), *getattr(one, "__notes__", ())]
        found += [text for text in texts if shown(text)]
        # What raised the library's error had the request in its hands.
        found += locals_shown(one, of_all_frames=one is not error and not isinstance(one, OAuthError))
    if isinstance(error, OAuthError):
        found += [text for text in [pickle.dumps(error).decode("latin-1")] if shown(text)]
    found += shown("".join(traceback.format_exception(error)))
    return found


def log_leaks(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return all ways in which what the library has logged shows a secret."""
    found = []
    formatter = logging.Formatter("%(message)s")
    for record in caplog.records:
        if record.name.partition(".")[0] == "oauth_auth":
            texts = [formatter.format(record), repr(record.args), repr(vars(record))]
            found += [text for text in texts if shown(text)]
            if record.exc_info and record.exc_info[1] is not None:
                found += [name for one in chain(record.exc_info[1]) for name in locals_shown(one)]
    return found


def test_the_checks_of_this_file_see_secrets() -> None:
    """What these tests look with isn't blind: it sees secrets in attributes, causes, locals and pickles."""
    inner = ValueError("x")
    inner.request = {"headers": [f"Bearer {ACCESS_TOKEN}".encode()]}  # type: ignore[attr-defined]
    outer = TokenError("y")
    outer.__cause__ = inner
    assert held(outer)
    assert leaks(TokenError(f"{BASICS[0]}"))
    assert leaks(TokenError("z", {"deep": [MARK]}))
    with pytest.raises(ZeroDivisionError) as caught:
        fail_with_a_local()
    assert ["secret in test_secrets.py"] == [
        name.partition(":")[0] for name in locals_shown(caught.value, of_all_frames=True)
    ]


def fail_with_a_local() -> None:
    secret = MARK  # noqa: F841
    _ = 1 / 0


@pytest.fixture(autouse=True)
def no_pauses(quick: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


# -- Auth objects of all kinds --------------------------------------------------------------------------------------


def basic_client(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.ClientCredentialsAuth(url, "client", CLIENT_SECRET, **options)


def plain_client(mode: Mode, url: str, **options: Any) -> Any:
    return basic_client(mode, url, client_auth=ClientSecretBasic(encode=False), **options)


def posting_client(mode: Mode, url: str, **options: Any) -> Any:
    return basic_client(
        mode, url, client_auth=ClientSecretPost(), field_parameters={"assertion": ASSERTION, "a": "b"}, **options
    )


def password(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.PasswordAuth(url, "client", CLIENT_SECRET, username="alice", password=PASSWORD, **options)


def refresh_token(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.RefreshTokenAuth(url, "client", CLIENT_SECRET, refresh_token=REFRESH_TOKEN, **options)


def code(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.AuthorizationCodeAuth(
        url, "client", CLIENT_SECRET, code=CODE, redirect_uri="https://app/cb", code_verifier=VERIFIER, **options
    )


def public_code(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.AuthorizationCodeAuth(
        url, "client", code=CODE, redirect_uri="https://app/cb", code_verifier=VERIFIER, **options
    )


def key_client(mode: Mode, url: str, **options: Any) -> Any:
    method = PrivateKeyJwt(PEM, password=PASSWORD, claims={"tenant": MARK})
    return mode.plugin.ClientCredentialsAuth(url, "client", client_auth=method, **options)


def secret_jwt_client(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.ClientCredentialsAuth(url, "client", CLIENT_SECRET, client_auth=ClientSecretJwt(), **options)


def vouched_for_client(mode: Mode, url: str, **options: Any) -> Any:
    method = ClientAssertion(lambda: ASSERTION)
    return mode.plugin.ClientCredentialsAuth(url, "client", client_auth=method, **options)


def exchange(mode: Mode, url: str, **options: Any) -> Any:
    subjects: dict[str, Any] = {"subject_token": SUBJECT, "actor_token": ACTOR}
    return mode.plugin.TokenExchangeAuth(url, "client", CLIENT_SECRET, **subjects, **options)


def exchange_of_another(mode: Mode, url: str, **options: Any) -> Any:
    other = mode.plugin.BearerAuth(SUBJECT)
    return mode.plugin.TokenExchangeAuth(
        url, "client", CLIENT_SECRET, subject_token=other, **{"store_key": "key", **options}
    )


def jwt_bearer(mode: Mode, url: str, **options: Any) -> Any:
    assertion = JwtAssertion(KEY, issuer="issuer", claims={"scope": MARK})
    return mode.plugin.JwtBearerAuth(url, assertion=assertion, **options)


def assertion_bearer(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.JwtBearerAuth(url, assertion=ASSERTION, **options)


KINDS = [
    *(basic_client, plain_client, posting_client, password, refresh_token, code, public_code),
    *(key_client, secret_jwt_client, vouched_for_client, exchange, exchange_of_another, jwt_bearer, assertion_bearer),
]
MAKE = pytest.mark.parametrize("make", KINDS)

Make = Callable[..., Any]


OPERATIONS: dict[str, tuple[str, ...]] = {
    "request_token_o_auth_ccg": (),
    "request_token_o_auth_acg": (CODE, "https://app/cb"),
    "refresh_token_o_auth_acg": (REFRESH_TOKEN,),
    "request_token_o_auth_ropcg": ("alice", PASSWORD),
    "refresh_token_o_auth_ropcg": (REFRESH_TOKEN,),
}
"""The controller's, with what they take after the authorization."""


# -- Failures of the token endpoint ---------------------------------------------------------------------------------


def echo(request: Received) -> str:
    """Repeat all that a request said, in the ways in which servers do."""
    form = " ".join(f"{name}={value}" for name, values in request.form.items() for value in values)
    header = request.authorization or ""
    basic = base64.b64decode(header.partition(" ")[2] or b"").decode()
    return f"{form} | {request.body.decode()} | {header} | {basic} | {basic.partition(':')[2]}"


def echoes(status: int) -> Callable[[Received], Answer]:
    def answer(request: Received) -> Answer:
        said = echo(request)
        return Answer(status, {"error": "invalid_scope", "error_description": said, "error_uri": f"https://x/?{said}"})

    return answer


def header_safe(text: str) -> str:
    return text.encode("ascii", "replace").decode().replace("\n", " ")


FAILURES: dict[str, Callable[[Received], Answer]] = {
    "no answer": lambda _: Answer(0),
    "200 with an error that echoes": echoes(200),
    "400 that echoes": echoes(400),
    "401 that echoes": echoes(401),
    "503 that echoes": echoes(503),
    "error code that echoes": lambda request: Answer(400, {"error": f"no {echo(request)}"}),
    "400 HTML that echoes": lambda request: Answer(400, echo(request).encode(), (("Content-Type", "text/html"),)),
    "form that echoes": lambda request: Answer(
        400,
        f"error=no&error_description={quote_plus(echo(request))}".encode(),
        (("Content-Type", "application/x-www-form-urlencoded"),),
    ),
    "200 that echoes without a token": lambda request: Answer(200, {"request": echo(request)}),
    "200 with a token that can't be": lambda _: Answer(200, {"access_token": f"{ACCESS_TOKEN}\n"}),
    "200 that is cut off": lambda _: Answer(
        200, f'{{"access_token": "{ACCESS_TOKEN}'.encode(), (("Content-Length", "900"), ("Connection", "close"))
    ),
    "200 that isn't gzip": lambda request: Answer(200, echo(request).encode(), (("Content-Encoding", "gzip"),)),
    "200 too long": lambda request: Answer(200, echo(request).encode() * 20_000),
    "302 that echoes": lambda request: Answer(
        302, b"", (("Location", f"https://x/?{header_safe(quote(echo(request)))}"),)
    ),
    "content type that echoes": lambda request: Answer(
        500, b"", (("Content-Type", header_safe(f"text/{echo(request)[:90]}")),)
    ),
    "Retry-After that echoes": lambda request: Answer(429, b"", (("Retry-After", header_safe(echo(request))),)),
}


@pytest.mark.each_plugin
@MAKE
@pytest.mark.parametrize("failure", ["400 that echoes", "200 that is cut off"])
def test_a_failure_of_the_token_endpoint_shows_no_secret(
    plugin_mode: Mode, tokens: Tokens, caplog: pytest.LogCaptureFixture, *, make: Make, failure: str
) -> None:
    """Whatever the token endpoint answers, echoes included, neither the error nor the log shows a secret."""
    tokens.answer = FAILURES[failure]
    auth = make(plugin_mode, tokens.url)
    for ask in (auth.get_token, auth.refresh):
        with pytest.raises(TokenError) as caught:
            ask()
        assert [] == leaks(caught.value)
    assert [] == log_leaks(caplog)


def test_a_failing_operation_shows_no_secret(
    plugin_mode: Mode, tokens: Tokens, caplog: pytest.LogCaptureFixture, quick: None
) -> None:
    """The same for the controller's operations, which raise in the caller's own thread, at all sorts of answers."""
    calls = plugin_mode.plugin.OAuthAuthorizationController(tokens.url)
    authorization = basic_authorization("client", CLIENT_SECRET)
    operations: list[Callable[[], OAuthToken]] = [
        lambda: calls.request_token_o_auth_ccg(authorization, _field_parameters={"client_assertion": ASSERTION}),
        lambda: calls.request_token_o_auth_acg(authorization, CODE, "https://app/cb", {"code_verifier": VERIFIER}),
        lambda: calls.refresh_token_o_auth_acg(authorization, REFRESH_TOKEN),
        lambda: calls.request_token_o_auth_ropcg(authorization, "alice", PASSWORD),
        lambda: calls.refresh_token_o_auth_ropcg(authorization, REFRESH_TOKEN),
    ]
    for name, failure in FAILURES.items():
        tokens.answer = failure
        for operation in operations:
            with pytest.raises(TokenError) as caught:
                operation()
            assert (name, []) == (name, leaks(caught.value))
    assert [] == log_leaks(caplog)


def test_a_server_that_echoes_shows_no_proof(plugin_mode: Mode, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Neither proof, nor assertion, nor signed request: what a server repeats of them isn't shown."""

    def repeat(request: Received) -> Answer:
        found = [request.headers.get("dpop", ""), *(text for name in sent for text in request.form.get(name, ()))]
        return Answer(400, {"error": "invalid_request", "error_description": " ".join(filter(None, found))})

    sent, server, key = ("client_assertion", "assertion", "request"), serve(repeat), DPoPKey.generate().private_jwk
    options: dict[str, Any] = {"client_id": "client", "client_auth": PrivateKeyJwt(key), "dpop": True}
    own = {"assertion": JwtAssertion(key, issuer="issuer")}
    pushing = plugin_mode.plugin.AuthorizationCodeAuth(
        server.url,
        redirect_uri="https://app/cb",
        authorization_url=f"{server.url}/authorize",
        pushed_authorization_request_url=f"{server.url}/par",
        request_object=RequestObject(key, audience="server"),
        **options,
    )
    for ask in (
        plugin_mode.plugin.JwtBearerAuth(server.url, **options, **own).get_token,
        pushing.authorization_request,
    ):
        with pytest.raises(OAuthProviderException, match="redacted") as caught:
            ask()
        assert [] == leaks(caught.value)
    assert [] == log_leaks(caplog)
    assert 2 == len(server.requests)


@pytest.mark.parametrize("dpop", [True, DPoPKey(KEY)], ids=["own key", "given key"])
def test_a_life_with_a_bound_token_shows_no_key(
    mode: Mode, serve: Serve, caplog: pytest.LogCaptureFixture, dpop: Any
) -> None:
    """Acquired with a nonce, rejected, replayed, stored, copied: neither log nor repr show key, proof or token."""
    caplog.set_level(logging.DEBUG, "oauth_auth")
    taken: set[str] = set()

    def issue(request: Received) -> Answer:
        if "nonce" not in claims_of(request.headers["dpop"]):
            return Answer(400, {"error": "use_dpop_nonce"}, (("DPoP-Nonce", "nonce"),))
        text = f"{ACCESS_TOKEN}-{len(server.requests)}"
        taken.add(f"DPoP {text}")
        return Answer(200, {"access_token": text, "token_type": "DPoP", "expires_in": 3600})

    server, store = serve(issue), MemoryTokenStore()
    api = serve(lambda request: Answer(200 if request.authorization in taken else 401))
    options = {"store": store, "store_key": "key", "client_auth": PrivateKeyJwt(KEY), "dpop": dpop}
    auth = mode.plugin.ClientCredentialsAuth(server.url, "client", **options)
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        taken.clear()
        assert 200 == client.get(api.url).status_code
    if dpop is True:
        keys = [thing for thing in ours(auth) if isinstance(thing, DPoPKey)]
        assert [] != keys
        assert [] == [name for key in keys for name in (repr(key), str(key)) if key.private_jwk["d"] in name]
    again = pickle.loads(pickle.dumps(auth))
    things = [store, *ours(auth), *ours(again)]
    shows = [thing for thing in things if shown(repr(thing)) or (not isinstance(thing, str) and shown(str(thing)))]
    assert [] == [type(thing).__name__ for thing in shows]
    assert [] == log_leaks(caplog)


WRONG_LOGINS: dict[str, Callable[[str], str]] = {
    "another state": lambda url: url.replace("state=", "state=x"),
    "another path": lambda url: url.replace("/cb", "/elsewhere"),
    "an error": lambda url: url.replace(f"code={CODE}", "error=access_denied"),
    "a code that's refused": lambda url: url,
}


@pytest.mark.parametrize("wrong", WRONG_LOGINS)
def test_a_login_that_fails_shows_no_secret(
    mode: Mode, serve: Serve, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    """What a web application has carried holds verifier and private key, the redirect a code: none is in our frames."""
    server = serve(lambda request: Answer(400, {"error": "invalid_grant", "error_description": echo(request)}))
    auth = mode.plugin.AuthorizationCodeAuth(
        server.url, "client", dpop=True, authorization_url=f"{server.url}/authorize", redirect_uri="https://app/cb"
    )
    made = auth.authorization_request()
    carried = {**made.to_dict(), "code_verifier": f"{VERIFIER}{'x' * 40}", "dpop_key": KEY}
    url = WRONG_LOGINS[wrong](f"https://app/cb?code={CODE}&state={made.state}")
    request = AuthorizationRequest.from_dict(carried)
    for one in (carried, request):
        complete = (
            partial(auth.complete_login, one, url)
            if mode.backend is None
            else partial(anyio.run, partial(auth.acomplete_login, one, url), backend=mode.backend)
        )
        with pytest.raises(OAuthError) as caught:
            complete()
        assert [] == leaks(caught.value)
    assert [] == shown(repr(request))
    assert [] == log_leaks(caplog)


def test_a_session_that_is_spoiled_shows_no_key(plugin_mode: Mode) -> None:
    """Whatever it holds in place of the key, the error doesn't repeat it, nor do the frames that it passed."""
    auth = plugin_mode.plugin.AuthorizationCodeAuth(
        "https://auth.example/token", "client", dpop=True, authorization_url="https://auth.example/a"
    )
    made = auth.authorization_request("https://app/cb")
    for key in ({**KEY, "x": MARK}, {**KEY, "kty": MARK}, {"kty": "oct", "k": MARK}, MARK):
        with pytest.raises(ConfigurationError) as caught:
            auth.complete_login({**made.to_dict(), "dpop_key": key}, f"https://app/cb?code={CODE}&state={made.state}")
        assert [] == leaks(caught.value)


@pytest.mark.each_plugin
@MAKE
def test_an_endpoint_out_of_reach_shows_no_secret(
    plugin_mode: Mode, caplog: pytest.LogCaptureFixture, make: Make
) -> None:
    """A connection that is refused shows no secret, though the library's error is the cause."""
    with pytest.raises(plugin_mode.plugin.TokenTransportError) as caught:
        make(plugin_mode, f"http://127.0.0.1:{free_port()}").get_token()
    assert caught.value.__cause__ is not None
    assert [] == leaks(caught.value)
    assert [] == log_leaks(caplog)


@pytest.mark.each_plugin
def test_a_time_out_shows_no_secret(plugin_mode: Mode, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """A server that doesn't answer in time: no secret is shown."""
    ended = threading.Event()
    server = serve(lambda _: Answer(0 if ended.wait(20) else 500))
    with pytest.raises(plugin_mode.plugin.TokenTransportError) as caught:
        password(plugin_mode, server.url, token_timeout=0.2).get_token()
    ended.set()
    assert [] == leaks(caught.value)
    assert [] == log_leaks(caplog)


QUERIES = ["key=query-s3cret", "key=query-s3cr%65t", "key=query|s3cret", "key=%7es3cret&x", "s3cret"]


def token_call(mode: Mode, tokens: Tokens, url: str) -> None:
    basic_client(mode, url).get_token()


def device_login(mode: Mode, tokens: Tokens, url: str) -> None:
    options = {"device_authorization_url": url, "show": lambda **_: None}
    mode.plugin.DeviceCodeAuth(tokens.url, "client", CLIENT_SECRET, **options).get_token()


def revocation(mode: Mode, tokens: Tokens, url: str) -> None:
    basic_client(mode, tokens.url, token=token_that_expires_in(60), revocation_url=url).revoke()


TROUBLES = {"busy": Answer(500), "elsewhere": Answer(302), "empty": Answer(200, {}), "out of reach": None}


@pytest.mark.each_plugin
@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("call", [token_call, device_login, revocation])
def test_the_query_of_an_endpoint_is_not_shown(
    plugin_mode: Mode, tokens: Tokens, caplog: pytest.LogCaptureFixture, call: Callable[..., None], trouble: str
) -> None:
    """A key in the query of an endpoint's URL is in no error, in whatever spelling the library sends it."""
    answer = TROUBLES[trouble]
    tokens.answer = lambda _: answer
    for query in QUERIES:
        url = f"{tokens.server.url if answer else f'http://127.0.0.1:{free_port()}'}/endpoint?{query}"
        error = outcome_of(call, plugin_mode, tokens, url)
        if (call, trouble) != (revocation, "empty"):  # which is a success there
            assert isinstance(error, TokenError)
            assert url.partition("?")[0] == error.token_url
            assert [] == leaks(error)
    assert [] == log_leaks(caplog)


def test_fields_that_are_secret_by_their_name_are_not_echoed(plugin_mode: Mode, tokens: Tokens) -> None:
    """A server that repeats a secret field, one of the user's own included, is quoted without it."""
    tokens.answer = echoes(400)
    for name in ("code", "code_verifier", "client_secret", "client_assertion", "assertion"):
        with pytest.raises(OAuthProviderException) as caught:
            basic_client(plugin_mode, tokens.url, field_parameters={name: PASSWORD}).get_token()
        assert [] == leaks(caught.value)


def test_a_secret_within_another_is_not_shown_in_part(plugin_mode: Mode, tokens: Tokens) -> None:
    """Where one secret begins as another does, the rest of the longer one isn't shown either."""
    tokens.answer = lambda request: Answer(
        400, {"error": "invalid_grant", "error_description": f"wrong verifier: {request.form['code_verifier'][0]}"}
    )
    calls = plugin_mode.plugin.OAuthAuthorizationController(tokens.url)
    with pytest.raises(OAuthProviderException) as caught:
        calls.request_token_o_auth_acg(None, SHORT, "https://app/cb", {"code_verifier": LONG})
    assert [] == leaks(caught.value)


@pytest.mark.each_plugin
@pytest.mark.parametrize(
    "raised",
    [
        lambda: ZeroDivisionError("hook"),
        lambda: KeyError("hook"),
        lambda: RuntimeError("hook"),
        lambda: OSError("hook"),
    ],
)
def test_an_error_in_a_hook_of_token_client_shows_no_secret(
    plugin_mode: Mode, tokens: Tokens, caplog: pytest.LogCaptureFixture, raised: Callable[[], Exception]
) -> None:
    """Whatever a hook of `token_client` raises, our frames show no secret, neither raised nor logged."""

    def hook(_: object) -> None:
        raise raised()

    with plugin_mode.token_client(hook=hook) as token_client, pytest.raises(OAuthError) as caught:
        password(plugin_mode, tokens.url, token_client=token_client).get_token()
    assert [] == leaks(caught.value)
    assert [] == log_leaks(caplog)


# -- The frames that log from ---------------------------------------------------------------------------------------


def expanded(root: object) -> Iterator[object]:
    """Yield what a report of a frame's locals shows: items of sequences and mappings, fields of records, to the end."""
    left, seen = [root], set()
    while left:
        thing = left.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        yield thing
        if isinstance(thing, Mapping):
            left += [*thing.keys(), *thing.values()]
        elif isinstance(thing, Sequence | AbstractSet) and not isinstance(thing, str | bytes):
            left += thing
        elif isinstance(thing, Record):
            left += asdict(thing).values()
        elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
            left += [getattr(thing, field.name) for field in dataclasses.fields(thing)]


def stack_shows(frame: types.FrameType | None, *, of_all_frames: bool = True) -> list[str]:
    """Return the locals of a frame and of those that called it, ours if not all, in which a secret is found."""
    found = []
    while frame is not None:
        file = frame.f_code.co_filename
        if of_all_frames or file.startswith(OWN_FOLDER):
            for name, value in list(frame.f_locals.items()):
                if any(shown(repr(thing)) for thing in expanded(value)):
                    found.append(f"{name} in {frame.f_code.co_name} of {Path(file).name}")
        frame = frame.f_back
    return found


class Reporter(logging.Handler):
    """Looks at the stack that each record comes from, as error reporters do that attach it."""

    def __init__(self, *, of_all_frames: bool = True) -> None:
        super().__init__(logging.DEBUG)
        self.of_all_frames = of_all_frames
        self.found: dict[str, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        event, is_ours = vars(record)["oauth_event"], threading.current_thread().name.startswith("oauth_auth")
        if is_ours or not self.of_all_frames:  # callers have secrets of their own
            found = stack_shows(sys._getframe(1), of_all_frames=self.of_all_frames)
            self.found.setdefault(event, []).extend(found)


@pytest.fixture
def report() -> Iterator[Callable[..., Reporter]]:
    """Attach a reporter to the library's logger, until the end of the test."""
    logger, reporters = logging.getLogger("oauth_auth"), []

    def attach(**options: Any) -> Reporter:
        reporters.append(Reporter(**options))
        logger.addHandler(reporters[-1])
        return reporters[-1]

    yield attach
    await_silence()
    for reporter in reporters:
        logger.removeHandler(reporter)


def fail(*args: Any, **options: Any) -> Any:
    raise LookupError("a mock's, say")


def test_the_reporter_sees_secrets() -> None:
    """What these tests look with isn't blind: it sees what is deep in lists, records and tokens."""
    secret_token = OAuthToken(access_token="t", refresh_token=REFRESH_TOKEN)
    nothing, deep, token = "x", [{"a": (Outcome(MARK),)}], Outcome(secret_token)  # noqa: F841, RUF100
    found = stack_shows(sys._getframe(0))
    assert {"deep", "token", "secret_token"} <= {name.partition(" ")[0] for name in found}
    assert "nothing" not in {name.partition(" ")[0] for name in found}


@pytest.mark.each_plugin
@MAKE
def test_an_unexpected_error_is_logged_from_frames_without_secrets(
    mode: Mode, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, report: Callable[..., Reporter], make: Make
) -> None:
    """Where a token call ends in an unexpected error, and a traceback is logged, no frame there holds a secret."""
    mode.break_calls(monkeypatch, fail)
    reporter = report()
    with pytest.raises(TokenError, match="unexpected LookupError"):
        mode.get_token(make(mode, tokens.url))
    await_silence()
    assert {"crashed": [], "token_call": [], "failed": []} == reporter.found


class Breaking(ClientAuthentication):
    """Works until it's broken."""

    is_broken: ClassVar[bool] = False

    def authenticate(self, client_id: str, client_secret: str | None) -> ClientAuthParameters:
        return fail() if self.is_broken else ClientSecretPost().authenticate(client_id, client_secret)


def test_an_error_in_a_renewal_is_logged_from_frames_without_secrets(
    mode: Mode, tokens: Tokens, report: Callable[..., Reporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same where it's the renewal that ends so, or a revocation."""
    auth = password(mode, tokens.url, client_auth=Breaking(), revocation_url=tokens.url)
    secret_tokens(tokens)
    mode.get_token(auth)
    monkeypatch.setattr(Breaking, "is_broken", True)
    reporter = report()
    for call in (mode.refresh, mode.revoke):
        with pytest.raises(TokenError, match="unexpected LookupError"):
            call(auth)
    await_silence()
    assert {"crashed": [], "failed": []} == reporter.found


def test_an_error_in_a_callback_is_logged_from_frames_without_secrets(
    mode: Mode, tokens: Tokens, report: Callable[..., Reporter]
) -> None:
    """The same where `on_token_update` raises, or hangs."""
    secret_tokens(tokens)
    go_on = threading.Event()
    reporter = report()
    mode.get_token(password(mode, tokens.url, on_token_update=fail))
    mode.get_token(password(mode, tokens.url, on_token_update=lambda _: go_on.wait(20), token_timeout=0.5))
    go_on.set()
    await_silence()
    assert {"token_call": [], "callback_failed": [], "callback_hangs": [], "acquired": []} == reporter.found


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_unexpected_error_of_an_operation_is_logged_from_frames_without_secrets(
    plugin_mode: Mode,
    tokens: Tokens,
    monkeypatch: pytest.MonkeyPatch,
    report: Callable[..., Reporter],
    operation: str,
) -> None:
    """The same for an operation of the controller, but for the frames of who calls it with secrets."""
    plugin_mode.break_calls(monkeypatch, fail)
    reporter = report(of_all_frames=False)
    operations = plugin_mode.plugin.OAuthAuthorizationController(tokens.url)
    with pytest.raises(TokenError, match="unexpected LookupError"):
        getattr(operations, operation)(basic_authorization("client", CLIENT_SECRET), *OPERATIONS[operation])
    assert {"crashed": [], "token_call": []} == reporter.found


# -- Failures on the way of a request -------------------------------------------------------------------------------


def secret_tokens(tokens: Tokens) -> None:
    """Have the endpoint issue access and refresh tokens that these tests know as secrets."""

    def answer(_: Received) -> Answer:
        tokens.issued += 1
        number = tokens.issued
        tokens.accepted = {f"Bearer {ACCESS_TOKEN}-{number}"}
        return Answer(200, {"access_token": f"{ACCESS_TOKEN}-{number}", "refresh_token": f"{REFRESH_TOKEN}-{number}"})

    tokens.answer = answer


@pytest.mark.each_mode
@pytest.mark.parametrize("make", [basic_client, password])
def test_a_renewal_that_fails_after_a_rejection_shows_no_secret(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, caplog: pytest.LogCaptureFixture, make: Make
) -> None:
    """Where a token is rejected and its renewal fails, the error shows neither, nor do our frames that it passed."""
    secret_tokens(tokens)
    with plugin_mode.client(make(plugin_mode, tokens.url)) as client:
        assert 200 == client.get(api.url).status_code
        tokens.revoke()
        tokens.answer = echoes(400)
        with pytest.raises(TokenError) as caught:
            client.get(api.url)
    assert [] == leaks(caught.value)
    assert [] == log_leaks(caplog)


@pytest.mark.parametrize("make", [posting_client, password, public_code])
def test_a_life_without_trouble_shows_no_secret(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, caplog: pytest.LogCaptureFixture, make: Make
) -> None:
    """Acquired, renewed, rejected, replayed, adopted, told: the log at level DEBUG shows no secret."""
    secret_tokens(tokens)
    store = MemoryTokenStore()
    auth = make(plugin_mode, tokens.url, store=store, on_token_update=lambda _: None)
    with plugin_mode.client(auth) as client:
        for _ in range(3):
            assert 200 == client.get(api.url).status_code
            tokens.revoke()
        plugin_mode.refresh(auth)
    make(plugin_mode, tokens.url, store=store).get_token()
    assert any(record.name == "oauth_auth" for record in caplog.records)
    assert [] == log_leaks(caplog)


@pytest.mark.parametrize("method", ["load", "save", "lock"])
def test_trouble_with_a_store_shows_no_secret(
    plugin_mode: Mode, tokens: Tokens, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    """What is logged of a store's trouble doesn't show the token, even if the store's own error does."""
    secret_tokens(tokens)

    class Indiscreet(MemoryTokenStore):
        """Puts into its errors what it should have saved."""

        said = f"access_token={ACCESS_TOKEN}-1 refresh_token={REFRESH_TOKEN}-1"

    def fail(self: MemoryTokenStore, *args: Any) -> Any:
        raise ValueError(f"can't {method}: {Indiscreet.said}")

    setattr(Indiscreet, method, fail)
    auth = password(plugin_mode, tokens.url, store=Indiscreet())
    auth.get_token()
    auth.refresh()
    assert "ValueError" in caplog.text
    assert [] == log_leaks(caplog)


def test_a_provider_that_fails_shows_no_secret(
    mode: Mode, api: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception of the user's provider is the cause, without the frames that it passed in our code."""

    def provider(last: OAuthToken | None) -> OAuthToken:
        vault_password = "s3cret-of-vault"  # noqa: F841
        raise LookupError("the vault is locked")

    token = token_that_expires_in(-1, ACCESS_TOKEN)
    auth = mode.plugin.TokenProviderAuth(provider, token=token)
    with mode.client(auth) as client, pytest.raises(TokenError) as caught:
        client.get(api.url)
    assert isinstance(caught.value.__cause__, LookupError)
    assert [] == leaks(caught.value)
    assert [] == log_leaks(caplog)


def test_a_fixed_token_that_cannot_be_renewed_shows_no_secret(plugin_mode: Mode) -> None:
    """`BearerAuth.refresh` raises without its token."""
    with pytest.raises(TokenError) as caught:
        plugin_mode.plugin.BearerAuth(ACCESS_TOKEN).refresh()
    assert [] == leaks(caught.value)


@pytest.mark.each_plugin
def test_plain_http_to_an_api_shows_no_secret(mode: Mode) -> None:
    """A request over plain http beyond loopback is refused without showing the token that it would have carried."""
    auth = mode.plugin.BearerAuth(ACCESS_TOKEN)
    with mode.client(auth) as client, pytest.raises(InsecureTransportError) as caught:
        client.get("http://api.invalid/path")
    assert [] == leaks(caught.value)


# -- Construction ---------------------------------------------------------------------------------------------------

URL = "https://auth.example/token"
WRONG: dict[str, Callable[[Any], object]] = {
    "secret as bytes": lambda p: p.ClientCredentialsAuth(URL, "client", b"s3cret"),
    "secret that can't be encoded": lambda p: p.ClientCredentialsAuth(URL, "client", "s3cret\udc80"),
    "secret of a public client": lambda p: p.ClientCredentialsAuth(URL, "c", MARK, client_auth=PublicClient()),
    "secret as client_auth": lambda p: p.ClientCredentialsAuth(URL, "c", "x", client_auth=MARK),
    "id with a colon": lambda p: p.ClientCredentialsAuth(URL, "c:", MARK, client_auth=ClientSecretBasic(encode=False)),
    "password as bytes": lambda p: p.PasswordAuth(URL, "c", "x", username="a", password=b"s3cret"),
    "password that can't be encoded": lambda p: p.PasswordAuth(URL, "c", "x", username="a", password="s3cret\ud800"),
    "refresh token as bytes": lambda p: p.RefreshTokenAuth(URL, "c", "x", refresh_token=b"s3cret"),
    "code as bytes": lambda p: p.AuthorizationCodeAuth(URL, "c", "x", code=b"s3cret", redirect_uri="https://app/"),
    "code without redirect URI": lambda p: p.AuthorizationCodeAuth(URL, "c", "x", code=MARK),
    "verifier as bytes": lambda p: p.AuthorizationCodeAuth(URL, "c", "x", code_verifier=b"s3cret"),
    "token as text": lambda p: p.ClientCredentialsAuth(URL, "c", "x", token=MARK),
    "token with a line end": lambda p: p.BearerAuth("s3cret\n"),
    "token with a scheme": lambda p: p.BearerAuth("Bearer s3cret"),
    "token as bytes": lambda p: p.BearerAuth(b"s3cret"),
    "store that is none": lambda p: p.ClientCredentialsAuth(URL, "c", "x", store=MARK),
    "provider that is a token": lambda p: p.TokenProviderAuth(MARK),
    "callback that is none": lambda p: p.ClientCredentialsAuth(URL, "c", "x", on_token_update=MARK),
    "field as bytes": lambda p: p.ClientCredentialsAuth(URL, "c", "x", field_parameters={"assertion": b"s3cret"}),
    "field that can't be": lambda p: p.ClientCredentialsAuth(URL, "c", "x", field_parameters={"otp": "s3cret\ud800"}),
    "URL with user and password": lambda p: p.ClientCredentialsAuth("https://u:s3cret@auth.example/", "c", "x"),
    "URL with a fragment": lambda p: p.ClientCredentialsAuth("https://auth.example/#s3cret", "c", "x"),
    "relative URL": lambda p: p.ClientCredentialsAuth("/token?key=s3cret", "c", "x"),
    "plain http": lambda p: p.ClientCredentialsAuth("http://auth.example/token?key=s3cret", "c", "x"),
    "URL beyond reading": lambda p: p.ClientCredentialsAuth("https://[s3cret", "c", "x"),
    "port beyond reading": lambda p: p.ClientCredentialsAuth("https://a:s3cret/", "c", "x"),
    "origin with a password": lambda p: p.BearerAuth("x", allowed_origins=["https://u:s3cret@api.example"]),
    "origin as text": lambda p: p.BearerAuth("x", allowed_origins="https://api.example/?key=s3cret"),
    "authorization": lambda p: p.OAuthAuthorizationController(URL).request_token_o_auth_ccg("Basic s3cret\n"),
    "access token": lambda _: OAuthToken(access_token="s3cret\n"),
    "stored access token": lambda _: OAuthToken.from_dict({"access_token": ["s3cret"]}),
    "stored refresh token": lambda _: OAuthToken.from_dict({"access_token": "x", "refresh_token": ["s3cret"]}),
}


def test_a_wrong_option_is_not_shown(plugin_mode: Mode) -> None:
    """An option that's refused isn't repeated where it may be a secret."""
    for name, make in WRONG.items():
        with pytest.raises(ConfigurationError) as caught:
            make(plugin_mode.plugin)
        error = caught.value
        texts = [text for one in chain(error) for text in (str(one), repr(one), *map(repr, one.args))]
        assert (name, []) == (name, [text for text in texts if shown(text)])
        assert [] == held(error)
        assert [] == shown(pickle.dumps(error).decode("latin-1"))


# -- Reprs ----------------------------------------------------------------------------------------------------------


def ours(root: object) -> Iterator[object]:
    """Yield all objects of this library's classes that can be reached from one."""
    seen, left = set(), [root]
    while left:
        thing = left.pop()
        if id(thing) in seen or isinstance(thing, types.ModuleType | types.FrameType | type):
            continue
        seen.add(id(thing))
        if type(thing).__module__.startswith("oauth_auth"):
            yield thing
        if isinstance(thing, dict | list | tuple | set | types.MethodType) or type(thing).__module__.startswith(
            "oauth"
        ):
            left += gc.get_referents(thing)


@pytest.mark.each_plugin
@MAKE
def test_no_repr_shows_a_secret(plugin_mode: Mode, tokens: Tokens, make: Make) -> None:
    """Neither an auth object nor any object of ours that it holds shows a secret in its repr."""
    secret_tokens(tokens)
    store = MemoryTokenStore()
    auth = make(plugin_mode, tokens.url, store=store, token=token_that_expires_in(-5, ACCESS_TOKEN))
    auth.get_token()
    things = list(ours(auth))
    assert len(things) > 5
    # A header's text is the header, so only its repr can hide it.
    shows = [thing for thing in things if shown(repr(thing)) or (not isinstance(thing, str) and shown(str(thing)))]
    assert [] == [type(thing).__name__ for thing in shows]
    assert tokens.url in repr(auth)


def test_values_on_the_way_show_no_secret() -> None:
    """What token calls pass around shows no secret in its repr, for those who look on in a debugger or a tracer."""
    settings = read_options(
        {"token": OAuthToken(access_token=ACCESS_TOKEN), "field_parameters": {"assertion": ASSERTION}}
    )
    credential = Credential.unending(OAuthToken(access_token=ACCESS_TOKEN))
    things = [
        settings,
        credential,
        credential.header,
        ClientSecretBasic().authenticate("client", CLIENT_SECRET),
        ClientSecretPost().authenticate("client", CLIENT_SECRET),
        TokenResponse(200, {"set-cookie": "s3cret"}, b'{"access_token": "s3cret"}'),
    ]
    assert [] == [type(thing).__name__ for thing in things if shown(repr(thing))]


@pytest.mark.parametrize("form", [repr, str, "{}".format, "{!r}".format, ascii])
def test_a_token_shows_no_secret(form: Callable[[object], str]) -> None:
    """No way of printing a token shows access or refresh token, or the other fields of its answer."""
    token = OAuthToken(access_token=ACCESS_TOKEN, refresh_token=REFRESH_TOKEN, extra={"id_token": MARK}, scope="a b")
    assert [] == shown(form(token))
    assert "a b" in form(token)


def test_a_store_shows_no_secret() -> None:
    """A memory store shows how many tokens it has, and none of them."""
    store = MemoryTokenStore()
    store.save("key", OAuthToken(access_token=ACCESS_TOKEN))
    assert "MemoryTokenStore(1 tokens)" == repr(store)


# -- What is put into requests ------------------------------------------------------------------------------------


@pytest.mark.each_mode
@pytest.mark.parametrize("mode", [*OF_REQUESTS, HTTPX, HTTPX2], ids=str)
def test_a_pickled_response_holds_no_secret_but_the_token_it_carried(mode: Mode, serve: Serve, tokens: Tokens) -> None:
    """A response pickles, with a lambda as callback, too, and takes no auth object along; nor does its request."""
    secret_tokens(tokens)
    api = serve(accepting(tokens))
    auth = password(mode, tokens.url, on_token_update=lambda token: None)
    with mode.client(auth) as client:
        responses = [client.get(api.url)]
        tokens.revoke()
        responses.append(client.get(api.url))  # replayed
        if mode.library is not requests:
            responses[-1].history.clear()  # not all of them pickle their history

    for response in responses:
        assert 200 == response.status_code
        pickled = pickle.dumps(response)
        text = pickled.replace(f"{ACCESS_TOKEN}-".encode(), b"")
        assert [] == shown(text.decode("latin-1"))
        again = pickle.loads(pickled)
        assert (200, response.content) == (again.status_code, again.content)
        assert 200 == copy.deepcopy(response).status_code


@pytest.mark.each_plugin
@pytest.mark.parametrize("mode", OF_REQUESTS, ids=str)
def test_the_header_is_plain_text(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """What is put into a request is a `str` and no kind of it: cassettes and YAML take nothing else."""
    with mode.client(password(mode, tokens.url)) as client:
        first = client.get(api.url)
        known = client.get(api.url)
        tokens.revoke()
        replayed = client.get(api.url)

    responses = [first, known, replayed, *replayed.history]
    assert 4 == len(responses)
    assert {str} == {type(response.request.headers["Authorization"]) for response in responses}


PROXIES = ["http://user:proxy-s3cret@127.0.0.1:9", "http://user:proxy-s3cret@no-such-host.invalid:80"]


@pytest.mark.each_plugin
@pytest.mark.parametrize("proxy", [*PROXIES, "http://user:proxy-s3cret@:80", "nothing://user:proxy-s3cret@host"])
def test_the_password_of_a_proxy_is_not_shown(
    plugin_mode: Mode,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    read_environment: None,
    proxy: str,
) -> None:
    """Where the environment's proxy can't be used, neither error nor log has its password."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy)
    auth = basic_client(plugin_mode, "http://auth.example/token", allow_insecure_transport=True, token_timeout=0.2)
    with pytest.raises(OAuthError) as caught:
        auth.get_token()
    assert [] == leaks(caught.value)
    assert [] == log_leaks(caplog)
