"""Options: what is wrong is refused at construction, with a text that says what to write instead.

The options that all classes share, and URLs, have tables of their own: tests/units/test_options.py and test_urls.py.
"""

from __future__ import annotations

import inspect
import pydoc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import (
    ClientAssertion,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    ConfigurationError,
    DeviceLogin,
    DPoPKey,
    InsecureTransportError,
    JwtAssertion,
    MemoryTokenStore,
    OAuthToken,
    PrivateKeyJwt,
    PublicClient,
    RequestObject,
    Server,
)
from tests.support import modes
from tests.support.modes import Mode
from tests.support.tokens import Tokens

pytestmark = pytest.mark.shared_core

URL = "https://auth.example/token"
API = "https://api.example/v1"
ISSUER = "https://auth.example"
KEY = DPoPKey.generate().private_jwk

EMPTY = inspect.Parameter.empty


async def async_function(*_: object) -> None:
    """Be a callback that can't be called from a thread."""


class AsyncCallable:
    async def __call__(self, *_: object) -> None:
        """Be another one."""


# -- Options that all classes share ---------------------------------------------------------------------------------


def test_wrong_options_are_refused_by_all_classes(plugin_mode: Mode) -> None:
    """Each class checks the options that all have."""
    plugin = plugin_mode.plugin
    wrong: list[dict[str, Any]] = [{"leeway": -1}, {"scope": "\n"}, {"skope": "a"}, {"on_token_update": async_function}]
    calling: list[Callable[..., object]] = [
        lambda **o: plugin.ClientCredentialsAuth(URL, "client", **o),
        lambda **o: plugin.AuthorizationCodeAuth(URL, "client", **o),
        lambda **o: plugin.PasswordAuth(URL, "client", username="a", password="b", **o),
        lambda **o: plugin.RefreshTokenAuth(URL, "client", refresh_token="a", **o),
        lambda **o: plugin.TokenExchangeAuth(URL, "client", subject_token="a", **o),
        lambda **o: plugin.JwtBearerAuth(URL, assertion="a", **o),
        lambda **o: plugin.ResourceAuth(API, client_id="client", issuer=ISSUER, **o),
    ]
    makers: list[Callable[..., object]] = [
        *calling,
        lambda **o: plugin.TokenProviderAuth(lambda _: OAuthToken(access_token="a"), **o),
        lambda **o: plugin.BearerAuth("a", **o),
    ]
    for options in wrong:
        for make in makers:
            with pytest.raises(ConfigurationError):
                make(**options)
    profile: list[dict[str, Any]] = [{"dpop": "yes"}, {"client_certificate": "c.pem"}, {"authorization_details": [{}]}]
    for options in (*profile, {"introspection_url": "nowhere"}):
        for make in calling:
            with pytest.raises(ConfigurationError, match=next(iter(options))):
                make(**options)


# -- Arguments of each class ----------------------------------------------------------------------------------------

Plugin = Any

WRONG_ARGUMENTS: list[tuple[str, Callable[[Plugin], object], str]] = [
    ("no id", lambda p: p.ClientCredentialsAuth(URL, ""), "client_id must be the text that .*issued"),
    ("id None", lambda p: p.ClientCredentialsAuth(URL, None), "client_id must be"),
    ("id as bytes", lambda p: p.ClientCredentialsAuth(URL, b"client"), "client_id must be"),
    ("id beyond encoding", lambda p: p.ClientCredentialsAuth(URL, "\ud800", "secret"), "client_id"),
    ("public id beyond encoding", lambda p: p.ClientCredentialsAuth(URL, "\ud800"), "client_id"),
    ("empty secret", lambda p: p.ClientCredentialsAuth(URL, "client", ""), "client_secret must be .*None for a public"),
    ("secret as bytes", lambda p: p.ClientCredentialsAuth(URL, "client", b"secret"), "client_secret must be"),
    ("secret beyond encoding", lambda p: p.ClientCredentialsAuth(URL, "client", "\ud800"), "client_secret"),
    (
        "posted secret beyond encoding",
        lambda p: p.ClientCredentialsAuth(URL, "client", "\ud800", client_auth=ClientSecretPost()),
        "client_secret",
    ),
    (
        "post without secret",
        lambda p: p.ClientCredentialsAuth(URL, "client", client_auth=ClientSecretPost()),
        r"ClientSecretPost needs a client_secret: pass it, or choose PublicClient\(\)",
    ),
    (
        "basic without secret",
        lambda p: p.ClientCredentialsAuth(URL, "client", client_auth=ClientSecretBasic()),
        r"ClientSecretBasic needs a client_secret: pass it, or choose PublicClient\(\)",
    ),
    (
        "public with secret",
        lambda p: p.ClientCredentialsAuth(URL, "client", "secret", client_auth=PublicClient()),
        r"leave it out, or choose ClientSecretPost\(\)",
    ),
    (
        "colon in plain id",
        lambda p: p.ClientCredentialsAuth(URL, "a:b", "secret", client_auth=ClientSecretBasic(encode=False)),
        "colon",
    ),
    (
        "code without redirect URI",
        lambda p: p.AuthorizationCodeAuth(URL, "client", code="code"),
        "a code needs the redirect_uri .*pass redirect_uri=",
    ),
    (
        "empty code",
        lambda p: p.AuthorizationCodeAuth(URL, "c", code="", redirect_uri="https://app/"),
        "code must be text",
    ),
    (
        "code as number",
        lambda p: p.AuthorizationCodeAuth(URL, "c", code=5, redirect_uri="https://app/"),
        "code must be",
    ),
    (
        "empty redirect URI",
        lambda p: p.AuthorizationCodeAuth(URL, "c", code="x", redirect_uri=""),
        "redirect_uri must be",
    ),
    ("empty verifier", lambda p: p.AuthorizationCodeAuth(URL, "c", code_verifier=""), "code_verifier must be text"),
    (
        "code beyond encoding",
        lambda p: p.AuthorizationCodeAuth(URL, "c", code="\ud800", redirect_uri="https://app/"),
        "code",
    ),
    ("no username", lambda p: p.PasswordAuth(URL, "c", username="", password="x"), "username must be text"),
    ("no password", lambda p: p.PasswordAuth(URL, "c", username="a", password=None), "password must be text"),
    ("password as bytes", lambda p: p.PasswordAuth(URL, "c", username="a", password=b"x"), "password must be text"),
    ("password beyond encoding", lambda p: p.PasswordAuth(URL, "c", username="a", password="\ud800"), "password"),
    ("username beyond encoding", lambda p: p.PasswordAuth(URL, "c", username="\ud800", password="x"), "username"),
    ("no refresh token", lambda p: p.RefreshTokenAuth(URL, "c", refresh_token=""), "refresh_token must be text"),
    ("refresh token None", lambda p: p.RefreshTokenAuth(URL, "c", refresh_token=None), "refresh_token must be text"),
    ("refresh token beyond encoding", lambda p: p.RefreshTokenAuth(URL, "c", refresh_token="\udfff"), "refresh_token"),
    (
        "refresh token as token",
        lambda p: p.RefreshTokenAuth(URL, "c", refresh_token=OAuthToken(access_token="x")),
        "refresh_token must be text",
    ),
    ("no provider", lambda p: p.TokenProviderAuth(None), "provider must be a function"),
    (
        "provider that is a token",
        lambda p: p.TokenProviderAuth(OAuthToken(access_token="x")),
        "provider must be a func",
    ),
    ("async provider", lambda p: p.TokenProviderAuth(async_function), "plain function, not async"),
    ("async callable", lambda p: p.TokenProviderAuth(AsyncCallable()), "plain function, not async"),
    (
        "provider with a store and no key",
        lambda p: p.TokenProviderAuth(lambda _: None, store=MemoryTokenStore()),
        "give a store_key with the store",
    ),
    *(
        (f"par {par!r}", lambda p, par=par: p.AuthorizationCodeAuth(URL, "c", par=par), "par must be True or False")
        for par in ("yes", 1, "https://auth.example/par")
    ),
    (
        "par without a place for it",
        lambda p: p.AuthorizationCodeAuth(URL, "c", par=True),
        r"par needs the pushed_authorization_request_url: pass it, or use from_issuer\(\)",
    ),
    (
        "a place for PAR that's no URL",
        lambda p: p.AuthorizationCodeAuth(URL, "c", pushed_authorization_request_url="/par"),
        "pushed_authorization_request_url must be",
    ),
    *(
        (
            f"{signs!r} as a request object",
            lambda p, signs=signs: p.AuthorizationCodeAuth(URL, "c", request_object=signs),
            r"request_object must be an object such as RequestObject\(…\)",
        )
        for signs in ("jwt", True, RequestObject)
    ),
    (
        "request object for nobody",
        lambda p: p.AuthorizationCodeAuth(URL, "c", request_object=RequestObject(KEY)),
        r"whom requests are for: use from_issuer\(\), or pass it an audience",
    ),
    ("step-up without login", lambda p: p.AuthorizationCodeAuth(URL, "c", step_up=True), "step_up needs a login"),
    (
        "step-up that's no bool",
        lambda p: p.AuthorizationCodeAuth(URL, "c", step_up=1, login=print, authorization_url=URL),
        "step_up must be True or False",
    ),
    ("no subject", lambda p: p.TokenExchangeAuth(URL, "c", subject_token=None), "subject_token must be text, .* auth"),
    ("empty subject", lambda p: p.TokenExchangeAuth(URL, "c", subject_token=""), "subject_token must be"),
    (
        "subject as bytes",
        lambda p: p.TokenExchangeAuth(URL, "c", subject_token=b"x"),
        "subject_token must be text, the Path of a file, a function, or another auth object, not bytes",
    ),
    ("a class as subject", lambda p: p.TokenExchangeAuth(URL, "c", subject_token=p.BearerAuth), "another auth object"),
    ("actor as number", lambda p: p.TokenExchangeAuth(URL, "c", subject_token="x", actor_token=5), "actor_token must"),
    (
        "type as number",
        lambda p: p.TokenExchangeAuth(URL, "c", subject_token="x", subject_token_type=5),
        "subject_token_type must be",
    ),
    (
        "wanted type as number",
        lambda p: p.TokenExchangeAuth(URL, "c", subject_token="x", requested_token_type=5),
        "requested_token_type must be",
    ),
    (
        "function as subject with a store and no key",
        lambda p: p.TokenExchangeAuth(URL, "c", subject_token=lambda: "x", store=MemoryTokenStore()),
        "no key can be derived for this subject_token: give a store_key with the store",
    ),
    (
        "fixed token as subject with a store and no key",
        lambda p: p.TokenExchangeAuth(URL, "c", subject_token=p.BearerAuth("x"), store=MemoryTokenStore()),
        "give a store_key with the store",
    ),
    (
        "a login that is kept elsewhere as subject with a store and no key",
        lambda p: p.TokenExchangeAuth(
            URL, "c", subject_token=p.AuthorizationCodeAuth(URL, "c"), store=MemoryTokenStore()
        ),
        "give a store_key with the store",
    ),
    ("no client to exchange", lambda p: p.TokenExchangeAuth(URL, None, subject_token="x"), "client_id must be"),
    ("no assertion", lambda p: p.JwtBearerAuth(URL, assertion=None), "assertion must be a JwtAssertion, text, the Pa"),
    ("empty assertion", lambda p: p.JwtBearerAuth(URL, assertion=""), "assertion must be"),
    ("a class as assertion", lambda p: p.JwtBearerAuth(URL, assertion=JwtAssertion), "assertion must be"),
    (
        "auth object as assertion",
        lambda p: p.JwtBearerAuth(URL, assertion=p.BearerAuth("x")),
        "can't be an auth object: exchange its token, with TokenExchangeAuth",
    ),
    (
        "secret without a client",
        lambda p: p.JwtBearerAuth(URL, None, "secret", assertion="x"),
        "proves itself needs a client_id: pass it",
    ),
    (
        "key without a client",
        lambda p: p.JwtBearerAuth(URL, client_auth=PrivateKeyJwt(KEY), assertion="x"),
        "proves itself needs a client_id: pass it",
    ),
    (
        "key with a secret",
        lambda p: p.ClientCredentialsAuth(URL, "client", "secret", client_auth=PrivateKeyJwt(KEY)),
        "PrivateKeyJwt sends no client_secret: leave it out",
    ),
    (
        "somebody's assertion with a secret",
        lambda p: p.ClientCredentialsAuth(URL, "client", "secret", client_auth=ClientAssertion(Path("nowhere"))),
        "ClientAssertion sends no client_secret: leave it out",
    ),
    (
        "secret's assertion without one",
        lambda p: p.ClientCredentialsAuth(URL, "client", client_auth=ClientSecretJwt()),
        "ClientSecretJwt needs a client_secret",
    ),
    ("no resource", lambda p: p.ResourceAuth(None), "resource must be"),
    ("resource without scheme", lambda p: p.ResourceAuth("api.example/v1"), "resource must be"),
    ("resource with a fragment", lambda p: p.ResourceAuth("https://api.example/#v1"), "resource must .*fragment"),
    ("resource with a user", lambda p: p.ResourceAuth("https://me:pw@api.example/"), "resource must"),
    ("resource without TLS", lambda p: p.ResourceAuth("http://api.example/"), "plain http: use https, .*resource"),
    ("issuer with a query", lambda p: p.ResourceAuth(API, issuer="https://a.example/?x"), "issuer must have no query"),
    (
        "issuer without TLS",
        lambda p: p.ResourceAuth(API, issuer="http://a.example/"),
        "plain http: use https, .*issuer",
    ),
    ("empty id at a resource", lambda p: p.ResourceAuth(API, client_id=""), "client_id must be the text that .* None"),
    (
        "secret for nobody",
        lambda p: p.ResourceAuth(API, client_secret="s", issuer=ISSUER),
        "client_secret needs the client_id that it's for: pass it",
    ),
    (
        "secret for any server",
        lambda p: p.ResourceAuth(API, client_id="c", client_secret="s"),
        "client_secret needs issuer=, the server that it's for",
    ),
    (
        "key for any server",
        lambda p: p.ResourceAuth(API, client_id="c", client_auth=PrivateKeyJwt(KEY)),
        "client_auth needs issuer=, the server that it's for",
    ),
    (
        "empty secret at a resource",
        lambda p: p.ResourceAuth(API, client_id="c", client_secret="", issuer=ISSUER),
        "client_secret must be text .*None for a public client",
    ),
    (
        "method without a secret at a resource",
        lambda p: p.ResourceAuth(API, client_id="c", client_auth=ClientSecretPost(), login=print),
        r"ClientSecretPost needs a client_secret: pass it, or choose PublicClient\(\)",
    ),
    (
        "secret of a public client at a resource",
        lambda p: p.ResourceAuth(API, client_id="c", client_secret="s", issuer=ISSUER, client_auth=PublicClient()),
        r"leave it out, or choose ClientSecretPost\(\)",
    ),
    (
        "document and id",
        lambda p: p.ResourceAuth(API, client_id="c", client_metadata_url="https://app.example/client.json"),
        "client_metadata_url is the client's id itself: leave out client_id, or it",
    ),
    *(
        (
            f"document at {url!r}",
            lambda p, url=url: p.ResourceAuth(API, client_metadata_url=url),
            "client_metadata_url must be",
        )
        for url in ("http://app.example/client.json", "https://app.example", "https://app.example/", "client.json", 5)
    ),
    *(
        (
            f"client metadata {metadata!r}",
            lambda p, metadata=metadata: p.ResourceAuth(API, client_metadata=metadata),
            "client_metadata must be",
        )
        for metadata in ("name", ["name"], {5: "name"}, {"logo": b"bytes"}, {"x": {object()}})
    ),
    ("login that's a class", lambda p: p.ResourceAuth(API, login=DeviceLogin), "login must be .* mind the parentheses"),
    ("login that's async", lambda p: p.ResourceAuth(API, login=async_function), "login must be a plain function"),
    ("login that's text", lambda p: p.ResourceAuth(API, login="browser"), r"login must be an object such as Browser"),
    ("async show", lambda p: p.ResourceAuth(API, login=DeviceLogin(show=async_function)), "show must be a plain func"),
    ("relative redirect", lambda p: p.ResourceAuth(API, redirect_uri="/callback"), "redirect_uri must be an absolute"),
    (
        "parameters of our own",
        lambda p: p.ResourceAuth(API, authorization_parameters={"state": "x"}),
        "parameters can't have 'state': the request sets it itself",
    ),
    ("origins of a resource", lambda p: p.ResourceAuth(API, allowed_origins=[API]), "allowed_origins"),
    ("targets of a resource", lambda p: p.ResourceAuth(API, token_url=URL), "token_url"),
    ("no token", lambda p: p.BearerAuth(""), "access_token must be text"),
    ("token None", lambda p: p.BearerAuth(None), "token must be text or an OAuthToken"),
    ("token as bytes", lambda p: p.BearerAuth(b"token"), "token must be text or an OAuthToken"),
    ("token with a line end", lambda p: p.BearerAuth("token\n"), "without scheme or line end"),
    ("token with a scheme", lambda p: p.BearerAuth("Bearer token"), "leave out the scheme"),
    ("token beyond ASCII", lambda p: p.BearerAuth("tökén"), "printable ASCII"),
    ("callable as token", lambda p: p.BearerAuth(lambda: "token"), "token must be text or an OAuthToken"),
]


def test_wrong_arguments_are_refused(plugin_mode: Mode) -> None:
    """An argument of a wrong type or value is a `ConfigurationError` that names it and says what to write."""
    for name, make, text in WRONG_ARGUMENTS:
        assert re.search(text, refusal(make, plugin_mode.plugin)), name


def refusal(make: Callable[..., object], *args: object) -> str:
    """Return what the `ConfigurationError` says, or that there is none."""
    try:
        return f"no error, but {make(*args)!r}"
    except ConfigurationError as error:
        return str(error)


# -- URLs -----------------------------------------------------------------------------------------------------------


def test_wrong_token_urls_are_refused(plugin_mode: Mode) -> None:
    """A token URL that's unfit is a `ConfigurationError` that says what to write, wherever it's given."""
    makers: list[Callable[[Any], object]] = [
        lambda url: plugin_mode.plugin.ClientCredentialsAuth(url, "client"),
        plugin_mode.plugin.OAuthAuthorizationController,
        lambda url: plugin_mode.plugin.OAuthAuthorizationController({Server.DEFAULT: URL, Server.AUTH: url}),
    ]
    for make in makers:
        for url in ("", None, "ftp://auth.example/", "https://user:password@auth.example/token"):
            with pytest.raises(ConfigurationError, match="token_url must"):
                make(url)


def test_both_servers_need_a_url(plugin_mode: Mode) -> None:
    """A mapping of token URLs without one of the servers is a `ConfigurationError` that names it."""
    mappings: list[Any] = [{}, {Server.AUTH: URL}, {Server.DEFAULT: URL}, {"AUTH": URL, "DEFAULT": URL}]
    for urls in mappings:
        with pytest.raises(ConfigurationError, match=r"Server\.(DEFAULT|AUTH)"):
            plugin_mode.plugin.OAuthAuthorizationController(urls)


def test_the_controllers_options_are_checked(plugin_mode: Mode) -> None:
    """No time-out and no permission passes that the auth classes would refuse: «no», as from an environment."""
    for timeout in (0, -1, "10", None, True, float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="token_timeout must be"):
            plugin_mode.plugin.OAuthAuthorizationController(URL, token_timeout=timeout)
    for value in ("no", "", 1, 0, None):
        with pytest.raises(ConfigurationError, match="allow_insecure_transport"):
            plugin_mode.plugin.OAuthAuthorizationController("http://auth.example/", allow_insecure_transport=value)


def test_plain_http_beyond_loopback_is_refused(plugin_mode: Mode) -> None:
    """A token URL or origin over plain http beyond loopback is an `InsecureTransportError`, unless it's allowed."""
    plugin = plugin_mode.plugin
    makers: list[Callable[..., object]] = [
        lambda **o: plugin.ClientCredentialsAuth("http://auth.example/token", "client", "secret", **o),
        lambda **o: plugin.OAuthAuthorizationController("http://auth.example/token", **o),
        lambda **o: plugin.BearerAuth("token", allowed_origins=["http://api.example"], **o),
    ]
    for make in makers:
        with pytest.raises(InsecureTransportError, match="use https, or pass allow_insecure_transport=True"):
            make()
        make(allow_insecure_transport=True)
    plugin.ClientCredentialsAuth("http://localhost:1/token", "client", "secret")
    plugin.OAuthAuthorizationController("http://127.0.0.1/token")


# -- What is right --------------------------------------------------------------------------------------------------


def test_construction_sends_nothing(plugin_mode: Mode, tokens: Tokens) -> None:
    """An auth object is made of right options without asking anybody."""
    right: dict[str, Any] = {
        "scope": ["a", "b"],
        "field_parameters": {"audience": ["x", "y"]},
        "client_auth": ClientSecretPost(),
        "token": OAuthToken(access_token="x"),
        "store": MemoryTokenStore(),
        "store_key": "key",
        "on_token_update": print,
        "token_timeout": 5,
        "allowed_origins": ["https://api.example"],
        "rejection_statuses": (401, 403),
    }
    plugin_mode.plugin.ClientCredentialsAuth(tokens.url, "client", "secret", **right)
    assert 0 == tokens.calls


ENDPOINT = {"token_url": EMPTY, "client_id": EMPTY, "client_secret": None}
SHARED = {"allowed_origins": None, "allow_insecure_transport": False, "rejection_statuses": (401,)}
RENEWING = {
    **SHARED,
    **dict.fromkeys(("token", "store", "store_key", "on_token_update")),
    "token_timeout": 10.0,
    "leeway": 10.0,
    "refresh_window": 300.0,
}
CALLING = {
    **RENEWING,
    **dict.fromkeys(("scope", "field_parameters", "client_auth", "token_client")),
    **dict.fromkeys(("audience", "resource", "revocation_url", "token_request_hook", "token_response_hook")),
    **dict.fromkeys(("dpop", "client_certificate", "authorization_details", "introspection_url")),
}
LOGIN = {**CALLING, "offline_access": None}
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
SIGNATURES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ClientCredentialsAuth": (ENDPOINT, CALLING),
    "AuthorizationCodeAuth": (
        ENDPOINT,
        LOGIN
        | dict.fromkeys(
            (
                *("code", "redirect_uri", "code_verifier"),
                *("authorization_url", "authorization_parameters", "login"),
                *("par", "pushed_authorization_request_url", "request_object"),
            )
        )
        | {"step_up": False},
    ),
    "DeviceCodeAuth": (ENDPOINT, {**LOGIN, "device_authorization_url": None, "show": None}),
    "PasswordAuth": (ENDPOINT, {**CALLING, "username": EMPTY, "password": EMPTY}),
    "RefreshTokenAuth": (ENDPOINT, {**CALLING, "refresh_token": EMPTY}),
    "TokenExchangeAuth": (
        ENDPOINT,
        {
            **CALLING,
            "subject_token": EMPTY,
            "subject_token_type": ACCESS_TOKEN,
            "actor_token": None,
            "actor_token_type": ACCESS_TOKEN,
            "requested_token_type": None,
        },
    ),
    "JwtBearerAuth": ({**ENDPOINT, "client_id": None}, {**CALLING, "assertion": EMPTY}),
    "TokenProviderAuth": ({"provider": EMPTY}, RENEWING),
    "BearerAuth": ({"token": EMPTY}, SHARED),
}
NO_TEXT = {"subject_token", "assertion"}
"""What no variable can hold, though an object can't do without it."""
FACTORIES = [name for name, (positional, _) in SIGNATURES.items() if "token_url" in positional]


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(function).parameters.values() if p.name not in {"self", "cls"}]


def defaults(parameters: list[inspect.Parameter], kind: Any) -> dict[str, Any]:
    return {p.name: p.default for p in parameters if p.kind is kind}


def test_the_classes_have_the_contracts_parameters(plugin_mode: Mode) -> None:
    """Each class has exactly the contract's positional parameters, and its options by name alone, each with a type."""
    for name, (positional, own) in SIGNATURES.items():
        parameters = parameters_of(getattr(plugin_mode.plugin, name))
        assert positional == defaults(parameters, inspect.Parameter.POSITIONAL_OR_KEYWORD), name
        assert own == defaults(parameters, inspect.Parameter.KEYWORD_ONLY), name
        assert [] == [p.name for p in parameters if p.annotation is EMPTY], name


NEEDLESS = ("scope", "field_parameters", "client_auth", "token_client")
NEEDLESS_FOR_ONE = (
    *("store", "store_key", "leeway", "refresh_window"),
    *("token_timeout", "on_token_update"),
)


def test_an_option_that_would_do_nothing_is_refused(plugin_mode: Mode) -> None:
    """Where no token call is made, or none is renewed, an option for that is an error that says so."""
    plugin = plugin_mode.plugin
    for name in NEEDLESS:
        text = refusal(lambda name=name: plugin.TokenProviderAuth(lambda _: None, **{name: None}))
        assert f"{name} would do nothing here: the provider gets the tokens, and no token call" in text
        text = refusal(lambda name=name: plugin.BearerAuth("x", **{name: None}))
        assert f"{name} would do nothing here: the token is given, and no token call is made; leave it out" == text
    for name in NEEDLESS_FOR_ONE:
        text = refusal(lambda name=name: plugin.BearerAuth("x", **{name: None}))
        why = "there's nothing to keep" if name.startswith("store") else "the token is never renewed"
        assert re.search(f"^{name} would do nothing here: .*{why}; leave it out$", text)


@pytest.mark.parametrize("name", FACTORIES)
def test_the_factories_have_the_constructors_options(plugin_mode: Mode, name: str) -> None:
    """`from_issuer` and `from_env` have each option of the constructor, of the same type and with the same default."""
    auth_class = getattr(plugin_mode.plugin, name)
    options = {p.name: (p.annotation, p.default) for p in parameters_of(auth_class)}
    url = {"token_url": ("str | None", None)}
    from_issuer = {p.name: (p.annotation, p.default) for p in parameters_of(auth_class.from_issuer)}
    assert {**options, **url, "issuer": ("str", EMPTY)} == from_issuer
    optional = {
        option: (kind, default) if default is not EMPTY or option in NO_TEXT else (f"{kind} | None", None)
        for option, (kind, default) in options.items()
    }
    from_env = {p.name: (p.annotation, p.default) for p in parameters_of(auth_class.from_env)}
    assert {**optional, **url, "issuer": ("str | None", None), "prefix": ("str", "OAUTH_")} == from_env


def test_help_tells_each_option(plugin_mode: Mode) -> None:
    """`help()` has each option's meaning, in the same words in each class."""
    meanings: dict[str, set[str]] = {}
    for name in SIGNATURES:
        auth_class = getattr(plugin_mode.plugin, name)
        text = re.sub(r" {2,}", " ", pydoc.plain(pydoc.render_doc(auth_class)).replace("|", ""))
        text = text.partition("Args:")[2]  # what comes before has the signature, since Python 3.13 a line for each
        for parameter in parameters_of(auth_class):
            found = re.search(rf"\n {parameter.name}: ((?:.|\n )*?)\n(?: \w+: | \n)", text)
            assert found is not None, (name, parameter.name)
            meanings.setdefault(parameter.name, set()).add(" ".join(found[1].split()))
    assert {"scope", "leeway", "provider"} <= meanings.keys()
    assert [] == [name for name, texts in meanings.items() if len(texts) > 1 and name != "token"]


@pytest.mark.parametrize("name", ["leeway", "tokn", "scope"])
def test_a_name_that_there_is_not_cannot_be_set(plugin_mode: Mode, name: str) -> None:
    """An option set on the object would have no effect, so that's an error; what there is can be patched."""
    auth = plugin_mode.plugin.BearerAuth("token")
    with pytest.raises(AttributeError, match=f"no attribute '{name}' to set: options are given to the constructor"):
        setattr(auth, name, 5)
    auth.get_token = lambda: "patched"
    assert "patched" == auth.get_token()
    del auth.get_token
    assert "token" == auth.get_token().access_token


def test_subclasses_are_free(plugin_mode: Mode) -> None:
    """A class of the user's own can have attributes of its own."""

    class Own(plugin_mode.plugin.BearerAuth):  # type: ignore[name-defined, misc]
        pass

    auth = Own("token")
    auth.tenant = "mine"
    assert "mine" == auth.tenant


@pytest.mark.parametrize("name", list(SIGNATURES))
def test_a_repr_tells_which_it_is(plugin_mode: Mode, name: str) -> None:
    """A repr has the class, the server, the client, the scope, the store and the expiry."""

    class OwnStore(MemoryTokenStore):
        def __repr__(self) -> str:
            return "password"

    token = OAuthToken(access_token="s3cret", expiry=1_800_000_000)
    _, own = SIGNATURES[name]
    given = {"scope": ["b", "a"], "token": token, "store": OwnStore(), "store_key": "key"}
    options: dict[str, Any] = {option: value for option, value in given.items() if option in own}
    required = {option: "s3cret-but-for-name" for option, default in own.items() if default is EMPTY}
    if name == "DeviceCodeAuth":
        required["device_authorization_url"] = "https://auth.example/device"
    if name in FACTORIES:
        args: list[Any] = [f"{URL}?tenant=1", "orders", "s3cret"]
    else:
        args = [(lambda _: None) if name == "TokenProviderAuth" else token]
    shown = repr(getattr(plugin_mode.plugin, name)(*args, **options, **required))
    assert shown.startswith(f"{plugin_mode.plugin.__name__}.{name}(")
    assert ("scope" in own) == ("scope='b a'" in shown)
    assert "expires='2027-01-15T08:00:00+00:00'" in shown
    assert (name in FACTORIES) == (f"server='{URL}', client_id='orders'" in shown)
    assert ("store" in own) == ("OwnStore" in shown)
    assert "s3cret" not in shown
    assert "password" not in shown


def test_all_plugins_export_the_same_names() -> None:
    """Each plug-in has the same names, with the nine classes and the controller among them."""
    names = {tuple(sorted(mode.plugin.__all__)) for mode in modes.SYNC}
    assert 1 == len(names)
    assert {*SIGNATURES, "OAuthAuthorizationController"} <= set(names.pop())


def test_options_are_read_once(plugin_mode: Mode, tokens: Tokens) -> None:
    """Changing a list or mapping after construction changes nothing."""
    fields, scope = {"audience": "a"}, ["a"]
    auth = plugin_mode.plugin.ClientCredentialsAuth(
        tokens.url, "client", "secret", field_parameters=fields, scope=scope
    )
    fields["audience"] = "b"
    scope.append("b")
    auth.get_token()
    [request] = tokens.server.requests
    assert (["a"], ["a"]) == (request.form["audience"], request.form["scope"])
