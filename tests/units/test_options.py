"""The options that all auth classes share: what is wrong is refused, with a text that says what to write instead."""

from __future__ import annotations

import functools
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import (
    ClientSecretBasic,
    ClientSecretPost,
    ConfigurationError,
    DPoPKey,
    InsecureTransportError,
    MemoryTokenStore,
    OAuthError,
    OAuthToken,
)
from oauth_auth._plugins.options import derive_store_key, read_options
from oauth_auth._renewal.decisions import RenewalSettings
from oauth_auth.requests import BearerAuth, ClientCredentialsAuth, DeviceCodeAuth


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


KEY, OTHER = DPoPKey.generate(), DPoPKey.generate()
NESTED: dict[str, Any] = {"type": "a"}
NESTED["self"] = NESTED


# -- Wrong values: name, values, and what the error says ------------------------------------------------------------

WRONG_OPTIONS: list[tuple[str, list[Any], str]] = [
    ("scope", ["a\nb", "a\tb", "\0", "a\x7f", "a\ud800"], "names separated by single spaces.*without control char"),
    ("scope", [5, 5.0, True, object(), b"read", [5], [None], ["a b"], [["a"]]], "scope must be text .*iterable"),
    ("field_parameters", ["a=b", [("a", "b")], 5, {5: "b"}, {b"a": "b"}], "mapping of field names to values"),
    ("field_parameters", [{"a": object()}, {"a": b"b"}, {"a": {"b": "c"}}, {"a": [["b"]]}, {"a": {"b"}}], "'a'.*None"),
    ("field_parameters", [{"a": "\ud800"}, {"a": ["ok", "\ud800"]}, {"\ud800": "a"}], "field"),
    ("client_auth", ["post", 5, ClientSecretPost, ClientSecretBasic, object()], r"ClientSecretPost\(\).*parentheses"),
    ("token", ["access", {"access_token": "a"}, 5, OAuthToken], r"OAuthToken\(access_token=…\)"),
    ("store", ["path", Path("path")], r"write FileTokenStore\(…\)"),
    ("store", [5, {}, HalfStore(), object()], "load, save, delete and lock"),
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
    ("audience", [5, b"api", [5], [""], ["api", None], "\ud800"], "audience must be|surrogate"),
    (
        "resource",
        ["api.example", "/api", ["https://api.example", "x y"], "http://[", 5, "https://bücher"],
        "resource must",
    ),
    ("resource", ["https://api.example#part"], "leave out '#'"),
    ("offline_access", ["yes", 1, 0], "must be True or False"),
    ("dpop", ["true", 1, KEY.private_jwk, DPoPKey, object()], "dpop must be True, or a DPoPKey, not"),
    ("client_certificate", ["cert.pem", ("cert.pem", "key.pem"), True, object()], r"write ClientCertificate\("),
    ("authorization_details", ["[]", b"[]", {"type": "a"}, 5, True], "must be a list of mappings with a 'type'"),
    (
        "authorization_details",
        [[{}], [{"type": ""}], [{"type": 5}], ["type"], [None], [{"type": "a"}, {"Type": "b"}]],
        "each of the authorization_details must be a mapping with a 'type'",
    ),
    ("authorization_details", [[], (), iter(())], "is empty: name some, or leave it out"),
    (
        "authorization_details",
        [[{"type": "a", "b": object()}], [{"type": "a", "b": {1}}], [{"type": "a", (1,): 2}], [NESTED]],
        "must be what JSON can carry",
    ),
    ("step_up", ["yes", 1, None], "must be True or False"),
    ("token_request_hook", [5, "json"], "token_request_hook must be a function"),
    ("token_response_hook", [async_function, AsyncCallable()], "plain function, not async"),
    ("rejection_statuses", [401, None, 4.5], r"sequence of statuses: \("),
    ("rejection_statuses", ["401", (200,), (99,), (600,), (401.0,), (True,), [None], ["401"]], r"such as \(401, 403\)"),
]


@pytest.mark.parametrize(
    ("name", "values", "text"), WRONG_OPTIONS, ids=[f"{name}: {text}" for name, _, text in WRONG_OPTIONS]
)
def test_wrong_options_are_refused(name: str, values: list[Any], text: str) -> None:
    """An option of a wrong type or value is a `ConfigurationError` that names it and says what to write."""
    for value in values:
        with pytest.raises(ConfigurationError, match=f"(?s){text}") as caught:
            read_options({name: value})
        assert name.partition("_")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("skope", "did you mean 'scope'?"),
        ("scopes", "did you mean 'scope'?"),
        ("timeout", "did you mean 'token_timeout'?"),
        ("clientauth", "did you mean 'client_auth'?"),
        ("on_update", "did you mean 'on_token_update'?"),
        ("verify", "certificates .* pass token_client="),
        ("cert", "certificates .* pass token_client="),
        ("proxies", "certificates and proxies .* pass token_client="),
        ("session", "did you mean 'token_client'?"),
        ("xyz", "there are .*allowed_origins.*token_timeout"),
    ],
)
def test_unknown_options_are_refused(name: str, hint: str) -> None:
    """An option that there isn't is a `ConfigurationError` that names the one that was meant."""
    make: Any = ClientCredentialsAuth
    with pytest.raises(ConfigurationError, match=f"unknown option '{name}': {hint}"):
        make("https://auth.example/token", "client", **{name: "x"})


def test_an_option_of_some_classes_is_unknown_to_others() -> None:
    """`BearerAuth` calls no server, and has no option for that."""
    make: Any = BearerAuth
    for name in ("audience", "revocation_url", "offline_access"):
        with pytest.raises(ConfigurationError, match=f"unknown option '{name}'"):
            make("token", **{name: "x"})


# -- What is right --------------------------------------------------------------------------------------------------

RIGHT_OPTIONS: dict[str, list[Any]] = {
    "scope": [None, "", "a b", ["a", "b"], ("a",), {"a", "b"}, (name for name in "ab")],
    "field_parameters": [None, {}, {"a": "b"}, {"a": ["b", 1, 1.5, True]}, {"a": None}],
    "audience": [None, "api", [], ["api", "other"], ("api",), (name for name in "ab")],
    "resource": [None, "https://api.example", ["https://api.example/v1", "urn:api"]],
    "offline_access": [None, True, False],
    "dpop": [None, False, True, KEY],
    "client_certificate": [None],
    "authorization_details": [None, [{"type": "a", "b": [{"c": None}]}], ({"type": "a"},), iter([{"type": "a"}])],
    "token_request_hook": [None, lambda request: request],
    "token_response_hook": [None, dict],
    "revocation_url": [None],
    "introspection_url": [None],
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
    own = {"self", "token_url", "client_id", "client_secret", "device_authorization_url", "show"}
    assert set(inspect.signature(DeviceCodeAuth.__init__).parameters) - own == set(RIGHT_OPTIONS)


@pytest.mark.parametrize("name", RIGHT_OPTIONS)
def test_right_options_are_taken(name: str) -> None:
    """Each option takes what the contract says."""
    for value in RIGHT_OPTIONS[name]:
        read_options({name: value})


def test_the_defaults_are_the_contracts() -> None:
    """Without options, times and statuses are those of the contract."""
    settings = read_options({})
    assert RenewalSettings(10.0, 300.0, 10.0, None) == settings.renewal
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
    assert (None, None, {}, {}, False) == (
        settings.binding,
        settings.certificate,
        settings.details,
        settings.targets,
        settings.steps_up,
    )


def test_a_token_without_its_key_is_refused() -> None:
    """A token is given, and nobody knows its key."""
    token = OAuthToken(access_token="x")
    with pytest.raises(ConfigurationError, match=r"dpop=True can't be used with token=.*pass its DPoPKey"):
        read_options({"dpop": True, "token": token})
    read_options({"dpop": KEY, "token": token})


def test_details_are_one_field_of_json() -> None:
    """Whatever was an iterable is an array, as RFC 9396 has it; what the caller changes later changes nothing."""
    detail: dict[str, Any] = {"type": "payment", "amount": {"currency": "EUR"}}
    settings = read_options({"authorization_details": iter([detail])})
    detail["type"] = "other"
    assert [{"type": "payment", "amount": {"currency": "EUR"}}] == json.loads(settings.details["authorization_details"])  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [ConfigurationError("text"), InsecureTransportError("text")])
def test_configuration_errors_are_value_errors(error: ConfigurationError) -> None:
    """A `ConfigurationError` is a ValueError and an `OAuthError`, never worth a retry, and pickles."""
    again = pickle.loads(pickle.dumps(error))
    for one in (error, again):
        assert isinstance(one, ValueError)
        assert isinstance(one, OAuthError)
        assert (False, "text") == (one.retryable, str(one))
    assert type(error) is type(again)


# -- Keys -----------------------------------------------------------------------------------------------------------


def key_of(options: dict[str, Any], *rest: str) -> str:
    grant_type, token_url, client_id, subject = rest or ("grant", "https://a/", "client", "")
    return derive_store_key(read_options(options), grant_type, token_url, client_id, subject)


def test_a_key_is_that_of_what_gets_equal_tokens() -> None:
    """Order and form of the scope make no other key, nor do times, stores and callbacks."""
    one = key_of({"scope": "a b"})
    assert one == key_of({"scope": ["b", "a"], "leeway": 1, "store": MemoryTokenStore(), "on_token_update": print})
    assert one == key_of({"scope": "a b", "dpop": False, "step_up": True, "client_auth": ClientSecretPost()})
    bound = key_of({"dpop": KEY})
    assert bound == key_of({"dpop": DPoPKey(KEY.private_jwk)})


def test_all_that_tells_tokens_apart_makes_another_key() -> None:
    """Scope, targets, details, fields, grant, server, client, subject and the tokens' key each make another key."""
    keys = [
        key_of({}),
        key_of({"scope": "a"}),
        key_of({"scope": "a b"}),
        key_of({"field_parameters": {"audience": "x"}}),
        key_of({"field_parameters": {"audience": "y"}}),
        key_of({"audience": ["x", "y"]}),
        key_of({"resource": "https://api.example"}),
        key_of({"resource": "https://other.example"}),
        key_of({"authorization_details": [{"type": "a"}]}),
        key_of({"authorization_details": [{"type": "b"}]}),
        key_of({"dpop": True}),
        key_of({"dpop": KEY}),
        key_of({"dpop": OTHER}),
        key_of({}, "another", "https://a/", "client", ""),
        key_of({}, "grant", "https://b/", "client", ""),
        key_of({}, "grant", "https://a/", "another", ""),
        key_of({}, "grant", "https://a/", "client", "alice"),
    ]
    assert len(keys) == len(set(keys))


def test_a_key_shows_no_secret() -> None:
    """The values of field parameters may be secret: a key is a digest."""
    assert 64 == len(key_of({"field_parameters": {"client_assertion": "secret"}}))
