"""Options: what is wrong is refused at construction, with a text that says what to write instead."""

from __future__ import annotations

import functools
import inspect
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import (
    ClientSecretBasic,
    ClientSecretPost,
    ConfigurationError,
    InsecureTransportError,
    MemoryTokenStore,
    OAuthError,
    OAuthToken,
    PublicClient,
    Server,
)
from oauth_auth._plugins.options import CommonOptions, Options, read_options
from tests.support import modes
from tests.support.modes import Mode
from tests.support.tokens import Tokens

URL = "https://auth.example/token"

EMPTY = inspect.Parameter.empty


async def async_function(*_: object) -> None:
    """Be a callback that can't be called from a thread."""


class AsyncCallable:
    async def __call__(self, *_: object) -> None:
        """Be another one."""


class AsyncStore:
    async def load(self, key: str) -> OAuthToken | None: ...

    async def save(self, key: str, token: OAuthToken) -> None: ...

    async def delete(self, key: str) -> None: ...

    def lock(self, key: str) -> Any: ...


class HalfStore:
    def load(self, key: str) -> OAuthToken | None: ...

    def save(self, key: str, token: OAuthToken) -> None: ...


class UncallableStore:
    load = save = delete = lock = None


# -- Options that all classes share: name, wrong values, and what the error says ------------------------------------

WRONG_OPTIONS: list[tuple[str, list[Any], str]] = [
    ("scope", ["a\nb", "a\tb", "\0", "a\x7f", "a\ud800"], "names separated by single spaces.*without control char"),
    ("scope", [5, 5.0, True, object(), b"read", [5], [None], ["a b"], [["a"]]], "scope must be text .*iterable"),
    ("field_parameters", ["a=b", [("a", "b")], 5, {5: "b"}, {b"a": "b"}], "mapping of field names to values"),
    ("field_parameters", [{"a": object()}, {"a": b"b"}, {"a": {"b": "c"}}, {"a": [["b"]]}, {"a": {"b"}}], "'a'.*None"),
    ("field_parameters", [{"a": "\ud800"}, {"a": ["ok", "\ud800"]}, {"\ud800": "a"}], "field"),
    ("client_auth", ["post", 5, ClientSecretPost, ClientSecretBasic, object()], r"ClientSecretPost\(\).*parentheses"),
    ("token", ["access", {"access_token": "a"}, 5, OAuthToken], r"OAuthToken\(access_token=…\)"),
    ("store", ["path", 5, {}, HalfStore(), object()], "load, save, delete and lock"),
    ("store", [MemoryTokenStore], r"store.*parentheses|MemoryTokenStore\(\)"),
    ("store", [AsyncStore(), UncallableStore()], "store"),
    ("store_key", ["", 5, b"key"], "store_key must be text.*None"),
    ("on_token_update", [5, "print", object()], "on_token_update must be a function"),
    (
        "on_token_update",
        [async_function, functools.partial(async_function), AsyncCallable()],
        "plain function, not async",
    ),
    ("token_timeout", [0, 0.0, -1, -0.1], "token_timeout must be"),
    ("token_timeout", ["10", None, True, float("nan"), float("inf"), 1j, [10]], "number of seconds.*10.0"),
    ("leeway", [-1, -0.001, "10", None, False, float("nan"), float("inf"), [10]], "number of seconds.*10.0"),
    ("refresh_window", [-1, "300", None, True, float("nan"), float("inf")], "number of seconds.*300.0"),
    ("allowed_origins", ["https://api.example", "api.example"], "must be a list of origins: .*brackets"),
    ("allowed_origins", [["api.example"], ["//api.example"], ["/path"], [""], ["ftp://api.example"]], "absolute URL"),
    (
        "allowed_origins",
        [["https://api.example/v1"], ["https://api.example?x"]],
        "write https://api.example without a path",
    ),
    ("allowed_origins", [["https://u:p@api.example"], ["https://api.example#x"]], "allowed_origins"),
    (
        "allowed_origins",
        [["https://bücher.example"], ["https://api.example\n"], ["https://a b"]],
        "percent-encode|ASCII",
    ),
    ("allowed_origins", [[5], [None], [b"https://api.example"], 5, True], "allowed_origins"),
    ("allow_insecure_transport", ["yes", "", 1, 0, None, []], "must be True or False"),
    ("rejection_statuses", [401, None, 4.5], r"sequence of statuses: \("),
    ("rejection_statuses", ["401", (200,), (99,), (600,), (401.0,), (True,), [None], ["401"]], r"such as \(401, 403\)"),
]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        pytest.param(name, value, text, id=re.sub(" at 0x[0-9a-f]+", "", f"{name}={value!r}")[:60])
        for name, values, text in WRONG_OPTIONS
        for value in values
    ],
)
def test_wrong_options_are_refused(plugin_mode: Mode, *, name: str, value: Any, text: str) -> None:
    """A common option of a wrong type or value is a `ConfigurationError` that names it and says what to write."""
    with pytest.raises(ConfigurationError, match=f"(?s){text}") as caught:
        plugin_mode.plugin.ClientCredentialsAuth(URL, "client", "secret", **{name: value})
    assert name.partition("_")[0] in str(caught.value)


def test_wrong_options_are_refused_by_all_classes(plugin_mode: Mode) -> None:
    """Each class checks the options that all have."""
    plugin = plugin_mode.plugin
    wrong: list[dict[str, Any]] = [{"leeway": -1}, {"scope": "\n"}, {"skope": "a"}, {"on_token_update": async_function}]
    makers: list[Callable[..., object]] = [
        lambda **o: plugin.ClientCredentialsAuth(URL, "client", **o),
        lambda **o: plugin.AuthorizationCodeAuth(URL, "client", **o),
        lambda **o: plugin.PasswordAuth(URL, "client", username="a", password="b", **o),
        lambda **o: plugin.RefreshTokenAuth(URL, "client", refresh_token="a", **o),
        lambda **o: plugin.TokenProviderAuth(lambda _: OAuthToken(access_token="a"), **o),
        lambda **o: plugin.BearerAuth("a", **o),
    ]
    for options in wrong:
        for make in makers:
            with pytest.raises(ConfigurationError):
                make(**options)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("skope", "did you mean 'scope'?"),
        ("scopes", "did you mean 'scope'?"),
        ("timeout", "did you mean 'token_timeout'?"),
        ("clientauth", "did you mean 'client_auth'?"),
        ("on_update", "did you mean 'on_token_update'?"),
        ("xyz", "there are .*allowed_origins.*token_timeout"),
    ],
)
def test_unknown_options_are_refused(plugin_mode: Mode, name: str, hint: str) -> None:
    """An option that there isn't is a `ConfigurationError` that names the one that was meant."""
    with pytest.raises(ConfigurationError, match=f"unknown option '{name}': {hint}"):
        plugin_mode.plugin.ClientCredentialsAuth(URL, "client", "secret", **{name: "x"})


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
    ("no token", lambda p: p.BearerAuth(""), "access_token must be text"),
    ("token None", lambda p: p.BearerAuth(None), "token must be text or an OAuthToken"),
    ("token as bytes", lambda p: p.BearerAuth(b"token"), "token must be text or an OAuthToken"),
    ("token with a line end", lambda p: p.BearerAuth("token\n"), "without scheme or line end"),
    ("token with a scheme", lambda p: p.BearerAuth("Bearer token"), "leave out the scheme"),
    ("token beyond ASCII", lambda p: p.BearerAuth("tökén"), "printable ASCII"),
    ("callable as token", lambda p: p.BearerAuth(lambda: "token"), "token must be text or an OAuthToken"),
]


@pytest.mark.parametrize(("make", "text"), [pytest.param(*rest, id=name) for name, *rest in WRONG_ARGUMENTS])
def test_wrong_arguments_are_refused(plugin_mode: Mode, make: Callable[[Plugin], object], text: str) -> None:
    """An argument of a wrong type or value is a `ConfigurationError` that names it and says what to write."""
    with pytest.raises(ConfigurationError, match=text):
        make(plugin_mode.plugin)


# -- URLs -----------------------------------------------------------------------------------------------------------

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
def test_wrong_token_urls_are_refused(plugin_mode: Mode, url: Any, text: str) -> None:
    """A token URL that is empty, relative, no URL or unfit is a `ConfigurationError` that says what to write."""
    makers: list[Callable[[], object]] = [
        lambda: plugin_mode.plugin.ClientCredentialsAuth(url, "client"),
        lambda: plugin_mode.plugin.OAuthAuthorizationController(url),
        lambda: plugin_mode.plugin.OAuthAuthorizationController({Server.DEFAULT: URL, Server.AUTH: url}),
    ]
    for make in makers:
        with pytest.raises(ConfigurationError, match=text):
            make()


@pytest.mark.parametrize("urls", [{}, {Server.AUTH: URL}, {Server.DEFAULT: URL}, {"AUTH": URL, "DEFAULT": URL}])
def test_both_servers_need_a_url(plugin_mode: Mode, urls: Any) -> None:
    """A mapping of token URLs without one of the servers is a `ConfigurationError` that names it."""
    with pytest.raises(ConfigurationError, match=r"Server\.(DEFAULT|AUTH)"):
        plugin_mode.plugin.OAuthAuthorizationController(urls)


@pytest.mark.parametrize("timeout", [0, -1, "10", None, True, float("nan"), float("inf")])
def test_the_controllers_time_out_is_checked(plugin_mode: Mode, timeout: Any) -> None:
    """A `token_timeout` that is no positive number of seconds is a `ConfigurationError`."""
    with pytest.raises(ConfigurationError, match="token_timeout must be"):
        plugin_mode.plugin.OAuthAuthorizationController(URL, token_timeout=timeout)


@pytest.mark.parametrize("value", ["no", "", 1, 0, None])
def test_the_controllers_permission_is_checked(plugin_mode: Mode, value: Any) -> None:
    """`allow_insecure_transport="no"`, as from an environment, doesn't allow plain http: it's refused."""
    with pytest.raises(ConfigurationError, match="allow_insecure_transport"):
        plugin_mode.plugin.OAuthAuthorizationController("http://auth.example/token", allow_insecure_transport=value)


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
def test_plain_http_beyond_loopback_is_refused(plugin_mode: Mode, url: str) -> None:
    """A token URL or origin over plain http beyond loopback is an `InsecureTransportError`, unless it's allowed."""
    plugin = plugin_mode.plugin
    origin = url.removesuffix("/token")
    makers: list[Callable[..., object]] = [
        lambda **o: plugin.ClientCredentialsAuth(url, "client", "secret", **o),
        lambda **o: plugin.OAuthAuthorizationController(url, **o),
        lambda **o: plugin.BearerAuth("token", allowed_origins=[origin], **o),
    ]
    for make in makers:
        with pytest.raises(InsecureTransportError, match="use https, or pass allow_insecure_transport=True"):
            make()
        make(allow_insecure_transport=True)


@pytest.mark.parametrize("url", SECURE)
def test_https_and_loopback_are_taken(plugin_mode: Mode, url: str) -> None:
    """A URL with https goes anywhere, plain http to loopback, by whatever name it's called."""
    plugin_mode.plugin.ClientCredentialsAuth(url, "client", "secret")
    plugin_mode.plugin.OAuthAuthorizationController(url)


# -- What is right --------------------------------------------------------------------------------------------------

RIGHT_OPTIONS: dict[str, list[Any]] = {
    "scope": [None, "", "a b", ["a", "b"], ("a",), {"a", "b"}, (name for name in "ab")],
    "field_parameters": [None, {}, {"a": "b"}, {"a": ["b", 1, 1.5, True]}, {"a": None}],
    "client_auth": [None, ClientSecretBasic(), ClientSecretBasic(encode=False), ClientSecretPost()],
    "token": [None, OAuthToken(access_token="x")],
    "store": [None, MemoryTokenStore()],
    "store_key": [None, "key"],
    "on_token_update": [None, print, lambda _: None, functools.partial(print, "new")],
    "token_client": [None],
    "token_timeout": [1, 10.0, 0.5, 300],
    "leeway": [0, 0.0, 10, 3600.0],
    "refresh_window": [0, 300.0],
    "allowed_origins": [
        None,
        [],
        ["https://api.example"],
        ("https://api.example/", "https://API.example:8443", "http://127.0.0.1:8000"),
        {"https://api.example"},
        (origin for origin in ["https://api.example"]),
    ],
    "allow_insecure_transport": [True, False],
    "rejection_statuses": [(401,), [401, 403], {401, 498}, (), (302,)],
}


def test_all_options_are_tried_here() -> None:
    """The table of right values has each option that there is."""
    assert set(Options.__annotations__) | set(CommonOptions.__annotations__) == set(RIGHT_OPTIONS)


@pytest.mark.parametrize("name", RIGHT_OPTIONS)
def test_right_options_are_taken_and_send_nothing(plugin_mode: Mode, tokens: Tokens, name: str) -> None:
    """Each option takes what the contract says, and construction sends nothing."""
    for value in RIGHT_OPTIONS[name]:
        plugin_mode.plugin.ClientCredentialsAuth(tokens.url, "client", "secret", **{name: value})
    assert 0 == tokens.calls


def test_the_defaults_are_the_contracts() -> None:
    """Without options, times and statuses are those of the contract."""
    settings = read_options({}, Options)
    assert (10.0, 300.0, 10.0, None) == settings.renewal
    assert (None, {}, None, None, None, None, None, None, False, (401,)) == (
        settings.scope,
        settings.field_parameters,
        settings.client_auth,
        settings.token,
        settings.store,
        settings.store_key,
        settings.token_client,
        settings.allowed_origins,
        settings.allow_insecure_transport,
        settings.rejection_statuses,
    )


ENDPOINT = {"token_url": EMPTY, "client_id": EMPTY, "client_secret": None}
SIGNATURES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ClientCredentialsAuth": (ENDPOINT, {}),
    "AuthorizationCodeAuth": (
        ENDPOINT,
        dict.fromkeys(
            (
                *("code", "redirect_uri", "code_verifier"),
                *("authorization_url", "authorization_parameters", "login"),
            )
        ),
    ),
    "DeviceCodeAuth": (ENDPOINT, {"device_authorization_url": None, "show": None}),
    "PasswordAuth": (ENDPOINT, {"username": EMPTY, "password": EMPTY}),
    "RefreshTokenAuth": (ENDPOINT, {"refresh_token": EMPTY}),
    "TokenProviderAuth": ({"provider": EMPTY}, {}),
    "BearerAuth": ({"token": EMPTY}, {}),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_classes_have_the_contracts_parameters(plugin_mode: Mode, name: str) -> None:
    """Each class has exactly the contract's positional parameters, and its own by name alone."""
    positional, own = SIGNATURES[name]
    parameters = inspect.signature(getattr(plugin_mode.plugin, name)).parameters.values()
    assert positional == {p.name: p.default for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD}
    assert own == {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_all_plugins_export_the_same_names() -> None:
    """Each plug-in has the same names, with the six classes and the controller among them."""
    names = {tuple(sorted(mode.plugin.__all__)) for mode in modes.SYNC}
    assert 1 == len(names)
    assert {*SIGNATURES, "OAuthAuthorizationController"} <= set(names.pop())


@pytest.mark.parametrize("error", [ConfigurationError("text"), InsecureTransportError("text")])
def test_configuration_errors_are_value_errors(error: ConfigurationError) -> None:
    """A `ConfigurationError` is a ValueError and an `OAuthError`, never worth a retry, and pickles."""
    again = pickle.loads(pickle.dumps(error))
    for one in (error, again):
        assert isinstance(one, ValueError)
        assert isinstance(one, OAuthError)
        assert (False, "text") == (one.retryable, str(one))
    assert type(error) is type(again)


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
