"""What people get wrong, in a table: each mistake is provoked, and its error must say what is wrong and what to do.

A mistake is a function that makes it: what it raises counts, or what `get_token()` of the auth object that it returns
raises. So mistakes that are noticed at construction stand in the same table.
"""

from __future__ import annotations

import ast
import pickle
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import oauth_auth
from oauth_auth import (
    BrowserLogin,
    ClientSecretPost,
    ConfigurationError,
    MemoryTokenStore,
    OAuthError,
    OAuthProviderException,
    OAuthToken,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
    TokenTransportError,
)
from tests.servers.tls import certificate_for_loopback, tls_before
from tests.support import modes
from tests.support.modes import Mode
from tests.support.ports import free_port
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens
from tests.units.test_trouble import TROUBLE

pytestmark = pytest.mark.shared_core

SECRETS = ("s3cret", "s3cr3t", "t0ken", "c0de", "r3fresh")
"""What no error may show: each secret below has one of these in it."""


class Stage(NamedTuple):
    """Where mistakes are made."""

    mode: Mode
    tokens: Tokens
    monkeypatch: pytest.MonkeyPatch
    serve: Callable[..., ScriptedServer]
    held: threading.Event
    folder: Path

    def auth(self, *, url: str | None = None, secret: str | None = "s3cret", **options: Any) -> Any:
        url = url or self.tokens.url
        return self.mode.plugin.ClientCredentialsAuth(f"{url}?key=s3cret", "orders", secret, **options)

    def answered(self, status: int, body: Any = b"", *headers: tuple[str, str], **options: Any) -> Any:
        """Return an auth object whose server answers so."""
        self.tokens.answer = lambda _: Answer(status, body, headers)
        return self.auth(**options)

    def elsewhere(self, **variables: str) -> Any:
        """Return an auth object for a server on another machine, with these variables in the environment."""
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)
        return self.auth(url="https://auth.example/token")


class Mistake(NamedTuple):
    """What is raised, and what its text must say; `{token_url}` and `{host}` stand for the server's."""

    provoke: Callable[[Stage], Any]
    error: type[Exception]
    facts: tuple[str, ...]
    not_said: tuple[str, ...] = ()
    calls: int | None = None
    """How many token calls may have arrived; None if it doesn't matter."""
    server_message: str | None = None


# -- What a server refuses --------------------------------------------------------------------------------------


def no_secret(stage: Stage) -> Any:
    body = {"error": "invalid_client", "error_description": "client authentication failed"}
    return stage.answered(401, body, secret=None)


def white_space(stage: Stage) -> Any:
    return stage.answered(401, {"error": "invalid_client"}, secret="s3cret\n")


def white_space_in_a_password(stage: Stage) -> Any:
    stage.tokens.answer = lambda _: Answer(400, {"error": "invalid_grant"})
    options: Any = {"username": "john", "password": " s3cret"}
    return stage.mode.plugin.PasswordAuth(stage.tokens.url, "orders", **options)


def a_used_code(stage: Stage) -> Any:
    stage.tokens.answer = lambda _: Answer(400, {"error": "invalid_grant"})
    options: Any = {"code": "c0de-of-a-user", "redirect_uri": "https://app.example/"}
    return stage.mode.plugin.AuthorizationCodeAuth(stage.tokens.url, "orders", "s3cret", **options)


def a_dead_refresh_token(stage: Stage) -> Any:
    stage.tokens.answer = lambda _: Answer(400, {"error": "invalid_grant", "error_description": "session not active"})
    return stage.mode.plugin.RefreshTokenAuth(stage.tokens.url, "orders", "s3cret", refresh_token="r3fresh-token")


def nobody(stage: Stage) -> Any:
    return stage.mode.plugin.AuthorizationCodeAuth(stage.tokens.url, "orders", "s3cret")


def somebody(stage: Stage) -> Any:
    token = OAuthToken(access_token="t0ken", expiry=1.0)
    return stage.mode.plugin.AuthorizationCodeAuth(stage.tokens.url, "orders", "s3cret", token=token)


def somebody_who_logged_out(stage: Stage) -> Any:
    options: Any = {"code": "c0de-of-a-user", "redirect_uri": "https://app.example/"}
    auth = stage.mode.plugin.AuthorizationCodeAuth(stage.tokens.url, "orders", "s3cret", **options)
    stage.mode.get_token(auth)
    stage.mode.revoke(auth)
    return auth


def an_echo(stage: Stage) -> Any:
    """Answer with all that was sent, in a page."""

    def echo(request: Received) -> Answer:
        text = f"{request.body.decode()} {request.form['password'][0]} {request.authorization}"
        return Answer(400, f"<html><title>{text}</title>".encode(), (("Content-Type", "text/html"),))

    stage.tokens.answer = echo
    options: Any = {"username": "john", "password": 's3cret & <"more"> of it'}
    return stage.mode.plugin.PasswordAuth(stage.tokens.url, "orders", "s3cr3t/+ %", **options)


REFUSED = "{token_url} refused client 'orders' (client_credentials)"
SIGN_IN = b"<!doctype html><html><head><title>Sign in</title></head></html>"

MISTAKES: dict[str, Mistake] = {
    "no secret": Mistake(
        no_secret,
        OAuthProviderException,
        (
            f'{REFUSED}: invalid_client, "client authentication failed". No secret was sent: client_secret is None.',
            "status 401",
        ),
        calls=1,
        server_message="client authentication failed",
    ),
    "a wrong secret": Mistake(
        lambda stage: stage.answered(401, {"error": "invalid_client"}),
        OAuthProviderException,
        (
            f"{REFUSED}: invalid_client.",
            "Are the client's credentials right? They were sent in the Authorization header (ClientSecretBasic).",
        ),
        ("No secret", "white space"),
    ),
    "white space in a secret": Mistake(
        white_space,
        OAuthProviderException,
        (REFUSED, "The client_secret that was sent begins or ends with white space."),
        ("No secret",),
    ),
    "white space in a password": Mistake(
        white_space_in_a_password,
        OAuthProviderException,
        ("client 'orders' (password)", "The password that was sent begins or ends with white space."),
        ("No secret",),
    ),
    "a scope that isn't granted": Mistake(
        lambda stage: stage.answered(400, {"error": "invalid_scope"}, scope="orders.read admin"),
        OAuthProviderException,
        (f"{REFUSED}: invalid_scope.", 'The scope was "orders.read admin".'),
    ),
    "words of the server's own": Mistake(
        lambda stage: stage.answered(400, {"errorCode": "E7", "errorSummary": "No such audience."}),
        TokenResponseError,
        (REFUSED, '"No such audience."', "status 400"),
        server_message="No such audience.",
    ),
    "words in an object": Mistake(
        lambda stage: stage.answered(403, {"error": {"code": 403, "message": "API disabled"}}),
        TokenResponseError,
        (REFUSED, '"API disabled"'),
        server_message="API disabled",
    ),
    "words of a gateway": Mistake(
        lambda stage: stage.answered(403, b"<html><title>403 Forbidden</title>", ("Content-Type", "text/html")),
        TokenResponseError,
        (REFUSED, '"403 Forbidden"'),
        server_message="403 Forbidden",
    ),
    "a server that repeats secrets": Mistake(an_echo, TokenResponseError, ("client 'orders' (password)", "[redacted]")),
    "a code that was used before": Mistake(
        a_used_code,
        OAuthProviderException,
        ("client 'orders' (authorization_code): invalid_grant.", "used before", "expired", "redirect_uri", "verifier"),
    ),
    "a refresh token that's dead": Mistake(
        a_dead_refresh_token,
        ReauthorizationRequired,
        (
            "the user must log in again: the server refused the refresh token (",
            "{token_url} refused client 'orders' (refresh_token): invalid_grant",
            "session not active",
        ),
        server_message="session not active",
    ),
    "nobody is logged in": Mistake(
        nobody, ReauthorizationRequired, ("nobody is logged in", "login=", "code=", "token="), ("again",), calls=0
    ),
    "a login that's over": Mistake(
        somebody,
        ReauthorizationRequired,
        ("the user must log in again: the token can't be renewed, since it came without a refresh token",),
        calls=0,
    ),
    "a login that was ended": Mistake(
        somebody_who_logged_out,
        ReauthorizationRequired,
        ("the user must log in again: the authorization code is used up",),
        calls=1,
    ),
    "a secret in the form": Mistake(
        lambda stage: stage.answered(401, {"error": "invalid_client"}, client_auth=ClientSecretPost()),
        OAuthProviderException,
        ("Are the client's credentials right? They were sent in the form (ClientSecretPost).",),
        ("No secret",),
    ),
    # -- What is no token endpoint
    "the issuer's URL": Mistake(
        lambda stage: stage.answered(404),
        TokenResponseError,
        ("there is no token endpoint at {token_url}", "if it is the issuer's, use from_issuer()", "status 404"),
        ("orders",),
        calls=1,
    ),
    "a URL that takes no POST": Mistake(
        lambda stage: stage.answered(405, {"error": "Method Not Allowed"}),
        OAuthProviderException,
        ("there is no token endpoint at {token_url}", "from_issuer()"),
        ("orders",),
    ),
    "the authorization URL": Mistake(
        lambda stage: stage.answered(200, SIGN_IN, ("Content-Type", "text/html")),
        TokenResponseError,
        ('the token endpoint answered with a web page, "Sign in"', "authorization URL", "proxy"),
        server_message="Sign in",
    ),
    "a URL that has moved": Mistake(
        lambda stage: stage.answered(301, b"", ("Location", "https://new.example/oauth/token?x=s3cret")),
        TokenResponseError,
        ("the token endpoint redirects to https://new.example/oauth/token,", "final URL"),
    ),
    "an answer without a token": Mistake(
        lambda stage: stage.answered(200, {"ok": True, "authed_user": {"access_token": "t0ken"}}),
        TokenResponseError,
        ("no access_token", "fields: ok, authed_user"),
    ),
}

# -- What isn't there -------------------------------------------------------------------------------------------


def not_found(stage: Stage) -> Any:
    def fail(host: Any, *args: Any, **options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    stage.monkeypatch.setattr(socket, "getaddrinfo", fail)
    return stage.elsewhere()


def nobody_listens(stage: Stage) -> Any:
    return stage.auth(url=f"http://127.0.0.1:{free_port()}/token")


def no_answer(stage: Stage) -> Any:
    def hold(_: Received) -> Answer:
        stage.held.wait(20)
        return Answer(500)

    stage.tokens.answer = hold
    return stage.auth(token_timeout=0.25)


def certificate(stage: Stage) -> Any:
    return stage.auth(url="https://127.0.0.1:{}/token".format((stage.folder / "port").read_text()))


def missing_certificates(stage: Stage) -> Any:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        stage.monkeypatch.setenv(name, f"{stage.folder}/missing.pem")
    return certificate(stage)


def proxy_without_listener(stage: Stage) -> Any:
    return stage.elsewhere(https_proxy=f"http://john:s3cret@127.0.0.1:{free_port()}")


def proxy_that_answers(status: int) -> Callable[[Stage], Any]:
    def provoke(stage: Stage) -> Any:
        return stage.elsewhere(https_proxy=stage.serve(lambda _: Answer(status)).url)

    return provoke


def proxy_that_wants_a_login_for_plain_http(stage: Stage) -> Any:
    stage.monkeypatch.setenv("http_proxy", stage.serve(lambda _: Answer(407)).url)
    return stage.auth(url="http://auth.example/token", allow_insecure_transport=True)


EFFORT = " s; token_timeout is "

MISTAKES |= {
    "a host that doesn't exist": Mistake(
        not_found,
        TokenTransportError,
        ("could not be reached: auth.example was not found", "(3 attempts in ", EFFORT),
    ),
    "a port where nobody listens": Mistake(
        nobody_listens,
        TokenTransportError,
        ("refused the connection: nobody listens there", "(3 attempts in ", EFFORT),
    ),
    "a server that doesn't answer": Mistake(
        no_answer, TokenTransportError, ("timed out: no answer in time", " attempt", EFFORT, "token_timeout is 0.25 s")
    ),
    "a certificate of a private authority": Mistake(
        certificate,
        TokenTransportError,
        (
            "its certificate doesn't verify: unable to get local issuer",
            "verify of your session",
            "token_client=",
            "(1 att",
        ),
    ),
    "https where there's http": Mistake(
        lambda stage: stage.auth(url=stage.tokens.url.replace("http://", "https://")),
        TokenTransportError,
        ("doesn't speak TLS: is it http://", "(1 attempt "),
    ),
    "certificates that aren't there": Mistake(
        missing_certificates, TokenTransportError, ("{folder}/missing.pem, which isn't there", "(1 attempt ")
    ),
    "a proxy that isn't there": Mistake(
        proxy_without_listener, TokenTransportError, ("the proxy http://127.0.0.1:", "refused the connection: nobody")
    ),
    "a proxy that wants a login": Mistake(
        proxy_that_answers(407), TokenTransportError, ("the proxy http://127.0.0.1:", "wants a login", "into its URL")
    ),
    "a proxy that refuses": Mistake(
        proxy_that_answers(403), TokenTransportError, ("the proxy http://127.0.0.1:", "refused to connect", "403")
    ),
    "a proxy that wants a login for plain http": Mistake(
        proxy_that_wants_a_login_for_plain_http,
        TokenResponseError,
        ("a proxy before http://auth.example/token wants a login", "into its URL"),
        ("orders",),
    ),
    "a SOCKS proxy without the package for it": Mistake(
        lambda stage: stage.elsewhere(https_proxy="socks5://john:s3cret@127.0.0.1:9"),
        ConfigurationError,
        ("SOCKS|socks",),
        ("could not be reached",),
    ),
}


# -- What can't be right: told at construction, or at the first import ------------------------------------------


def class_as_auth(stage: Stage) -> Any:
    with stage.mode.client(stage.mode.plugin.ClientCredentialsAuth) as client:
        client.get(stage.tokens.url)


def client_of_another_library(stage: Stage) -> Any:
    return stage.auth(token_client=object())


def import_from_the_package(_: Stage) -> Any:
    from oauth_auth import ClientCredentialsAuth  # type: ignore[attr-defined]  # noqa: F401


def import_from_the_plugin(stage: Stage) -> Any:
    exec(f"from {stage.mode.plugin.__name__} import FileTokenStore")


def from_issuer(issuer: Any, **options: Any) -> Callable[[Stage], Any]:
    return lambda stage: stage.mode.plugin.AuthorizationCodeAuth.from_issuer(issuer, "orders", **options)


def with_option(**option: Any) -> Callable[[Stage], Any]:
    return lambda stage: stage.auth(**option)


NO_LOGIN = ("login must be an object such as BrowserLogin(), or a function: mind the parentheses",)
MISTAKES |= {
    "a class as auth": Mistake(
        class_as_auth,
        TypeError,
        ("the class ClientCredentialsAuth was given in place of an object: write ClientCredentialsAuth(…)",),
        calls=0,
    ),
    "a class as login": Mistake(from_issuer("https://auth.example", login=BrowserLogin), ConfigurationError, NO_LOGIN),
    "a class as store": Mistake(with_option(store=MemoryTokenStore), ConfigurationError, ("MemoryTokenStore()",)),
    "a path as store": Mistake(
        with_option(store="tokens"), ConfigurationError, ("not a path: write FileTokenStore(…)",)
    ),
    "an issuer with another path": Mistake(
        lambda stage: stage.mode.plugin.ClientCredentialsAuth.from_issuer(
            f"{stage.answered(404) and stage.tokens.server.url}/no", "orders"
        ),
        TokenResponseError,
        ("can't be the issuer: it has no metadata, neither at ", " nor at ", "is its path right?", "token_url"),
        ("content type",),
    ),
    "a client that's none": Mistake(client_of_another_library, ConfigurationError, ("token_client must be",)),
    "an import from the package": Mistake(
        import_from_the_package, ImportError, ("write from oauth_auth.requests import ClientCredentialsAuth",)
    ),
    "an import from the plug-in": Mistake(
        import_from_the_plugin, ImportError, ("write from oauth_auth import FileTokenStore",)
    ),
    "verify": Mistake(with_option(verify=False), ConfigurationError, ("unknown option 'verify'", "token_client=")),
    "proxies": Mistake(with_option(proxies={}), ConfigurationError, ("unknown option 'proxies'", "token_client=")),
    "cert": Mistake(with_option(cert="c.pem"), ConfigurationError, ("unknown option 'cert'", "token_client=")),
    "timeout": Mistake(with_option(timeout=5), ConfigurationError, ("did you mean 'token_timeout'?",)),
    "scopes": Mistake(with_option(scopes="a"), ConfigurationError, ("did you mean 'scope'?",)),
    "an issuer without https": Mistake(
        from_issuer("auth.example.com"), ConfigurationError, ("such as 'https://auth.example.com'",), ("/token",)
    ),
    "an authorization URL that's none": Mistake(
        from_issuer("https://auth.example", authorization_url="authorize"),
        ConfigurationError,
        ("authorization_url must be an absolute URL such as 'https://auth.example.com/authorize'",),
        ("/token",),
    ),
    "an audience that's no text": Mistake(with_option(audience=5), ConfigurationError, ("audience must be text",)),
    "a resource that's no URI": Mistake(with_option(resource="api"), ConfigurationError, ("absolute URI", "RFC 8707")),
    "a hook that's no function": Mistake(
        with_option(token_request_hook="json"), ConfigurationError, ("token_request_hook must be a function, not str",)
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Have a server with a certificate that nobody trusts; its port is in the folder's file `port`."""
    folder = tmp_path_factory.mktemp("mistakes")
    with tls_before(free_port(), certificate_for_loopback(folder)) as port:
        (folder / "port").write_text(str(port))
        yield folder


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, read_environment: None, quick: None) -> None:
    """Have no proxies but a mistake's, and no pauses between attempts."""
    for name in ("no_proxy", "NO_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def stage(
    plugin_mode: Mode,
    tokens: Tokens,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[..., ScriptedServer],
    held: threading.Event,
    folder: Path,
    environment: None,
) -> Stage:
    return Stage(plugin_mode, tokens, monkeypatch, serve, held, folder)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_explained(stage: Stage, name: str) -> None:
    """The error is of its class, says each fact in one line, blames nobody else, and shows no secret."""
    check(stage, MISTAKES[name])


@pytest.mark.parametrize("mode", modes.SHARING, ids=str, indirect=True)
@pytest.mark.parametrize("name", [name for name in MISTAKES if MISTAKES[name].error is not ReauthorizationRequired])
def test_a_mistake_is_explained_in_a_shared_event_loop(
    mode: Mode,
    tokens: Tokens,
    monkeypatch: pytest.MonkeyPatch,
    serve: Callable[..., ScriptedServer],
    held: threading.Event,
    folder: Path,
    environment: None,
    name: str,
) -> None:
    """It's the same where calls are sent from an event loop that many auth objects share."""
    check(Stage(mode, tokens, monkeypatch, serve, held, folder), MISTAKES[name])


def check(stage: Stage, mistake: Mistake) -> None:
    """Make a mistake, and look at its error."""
    with pytest.raises(mistake.error) as caught:
        stage.mode.get_token(mistake.provoke(stage))
    error, text = caught.value, str(caught.value)
    url = stage.tokens.url
    for fact in mistake.facts:
        pattern = "|".join(map(re.escape, fact.split("|")))
        assert re.search(pattern.replace(r"\{token_url\}", url).replace(r"\{folder\}", str(stage.folder)), text), text
    assert [] == [other for other in mistake.not_said if other in text]
    assert text.isprintable()
    assert mistake.calls in {None, stage.tokens.calls}
    if isinstance(error, TokenError):
        assert mistake.server_message is None or mistake.server_message == error.server_message
    if isinstance(error, OAuthError):
        copy = pickle.loads(pickle.dumps(error))
        assert (text, vars(error)) == (str(copy), vars(copy))
    shown = text + repr(vars(error)) + repr(error.__cause__)
    assert [] == [secret for secret in SECRETS if secret in shown]


def test_a_token_client_that_does_not_trust_the_server(stage: Stage) -> None:
    """With a `token_client` the error says that it's this client that doesn't trust the server."""
    with stage.mode.token_client() as client, pytest.raises(TokenTransportError) as caught:
        url = "https://127.0.0.1:{}/token".format((stage.folder / "port").read_text())
        stage.mode.get_token(stage.auth(url=url, token_client=client))
    assert "doesn't verify" in str(caught.value)
    assert "The token_client doesn't trust it" in str(caught.value)
    assert not caught.value.retryable


def test_the_librarys_own_text_is_in_the_cause(stage: Stage) -> None:
    """Where the text is ours, that of the library is still there to be looked at."""
    with pytest.raises(TokenTransportError) as caught:
        stage.mode.get_token(nobody_listens(stage))
    assert re.search("Connect(ion)? (refused|call failed)|attempts failed", str(caught.value.__cause__))


# -- The documentation -------------------------------------------------------------------------------------------


def texts_of_the_package() -> Iterator[str]:
    """Return all texts in the source; where a value is put in, there's `…`."""
    for path in Path(oauth_auth.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)  # type: ignore[misc]


def test_errors_are_documented_by_their_words() -> None:
    """What docs/errors.md says that an error says, errors do say: who searches for it finds it."""
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
    section = page.partition("\n## By its words\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    facts = (fact for mistake in MISTAKES.values() for fact in mistake.facts)
    said = "\n".join((*texts_of_the_package(), *facts, *(text for _, _, text, _ in TROUBLE.values())))
    parts = [part.strip() for cell in cells for text in re.findall("`([^`]+)`", cell) for part in text.split("…")]
    assert len(cells) > 30
    assert [] == [part for part in parts if part not in said]
