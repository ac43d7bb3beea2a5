"""The seed: five token operations, their models and errors; and the defects of the system that it came from."""

from __future__ import annotations

import base64
import hashlib
import inspect
import logging
import pickle
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any

import pytest

import oauth_auth
from oauth_auth import (
    ConfigurationError,
    MemoryTokenStore,
    OAuthProviderError,
    OAuthProviderException,
    OAuthToken,
    ReauthorizationRequired,
    Server,
    TokenResponseError,
    basic_authorization,
)
from oauth_auth.testing import LocalProvider
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, client_credentials

pytestmark = pytest.mark.shared_core

Serve = Callable[..., ScriptedServer]

EMPTY = inspect.Parameter.empty
REQUIRED: dict[str, object] = {"authorization": EMPTY}
OPTIONAL: dict[str, object] = {"_field_parameters": None}

OPERATIONS: dict[str, dict[str, object]] = {
    "request_token_o_auth_ccg": REQUIRED | {"scope": None} | OPTIONAL,
    "request_token_o_auth_acg": REQUIRED | {"code": EMPTY, "redirect_uri": EMPTY} | OPTIONAL,
    "refresh_token_o_auth_acg": REQUIRED | {"refresh_token": EMPTY, "scope": None} | OPTIONAL,
    "request_token_o_auth_ropcg": REQUIRED | {"username": EMPTY, "password": EMPTY, "scope": None} | OPTIONAL,
    "refresh_token_o_auth_ropcg": REQUIRED | {"refresh_token": EMPTY, "scope": None} | OPTIONAL,
}
GRANT_TYPES = {
    "request_token_o_auth_ccg": "client_credentials",
    "request_token_o_auth_acg": "authorization_code",
    "refresh_token_o_auth_acg": "refresh_token",
    "request_token_o_auth_ropcg": "password",
    "refresh_token_o_auth_ropcg": "refresh_token",
}
VALUES = {
    "code": "the code+/=",
    "redirect_uri": "https://app.example/cb?a=b",
    "refresh_token": "the refresh token",
    "username": "älice",
    "password": "päss & word",
}
BASIC = basic_authorization("client", "secret")

operation = pytest.mark.parametrize("operation", OPERATIONS)


def arguments(operation: str) -> dict[str, str]:
    """Return the required arguments of an operation, but for `authorization`."""
    return {name: VALUES[name] for name in OPERATIONS[operation] if name in VALUES}


def call(mode: Mode, url: Any, operation: str, authorization: str | None = BASIC, **options: Any) -> OAuthToken:
    controller = mode.plugin.OAuthAuthorizationController(url)
    token: OAuthToken = getattr(controller, operation)(authorization, **arguments(operation), **options)
    return token


# -- The five operations --------------------------------------------------------------------------------------------


@pytest.mark.each_plugin
def test_the_operations_have_the_seeds_parameters(plugin_mode: Mode) -> None:
    """Each operation has exactly the seed's parameters, by position or by name, with its defaults."""
    for operation, expected in OPERATIONS.items():
        signature = inspect.signature(getattr(plugin_mode.plugin.OAuthAuthorizationController, operation))
        own, *parameters = signature.parameters.values()
        assert "self" == own.name
        assert expected == {parameter.name: parameter.default for parameter in parameters}
        assert {inspect.Parameter.POSITIONAL_OR_KEYWORD} == {parameter.kind for parameter in parameters}


@pytest.mark.each_plugin
def test_there_are_no_other_operations(plugin_mode: Mode) -> None:
    """The controller has these five operations, and nothing else that users would call."""
    names = [name for name in dir(plugin_mode.plugin.OAuthAuthorizationController) if not name.startswith("_")]
    assert sorted(OPERATIONS) == sorted(names)


@pytest.mark.each_plugin
def test_the_constructor_has_the_contracts_parameters(plugin_mode: Mode) -> None:
    """`token_urls` comes by position, all else by name, with the contract's defaults."""
    signature = inspect.signature(plugin_mode.plugin.OAuthAuthorizationController)
    expected = {"token_client": None, "token_timeout": 10.0, "allow_insecure_transport": False}
    first, *options = signature.parameters.values()
    assert ("token_urls", EMPTY) == (first.name, first.default)
    assert expected == {parameter.name: parameter.default for parameter in options}
    assert {inspect.Parameter.KEYWORD_ONLY} == {parameter.kind for parameter in options}


@pytest.mark.each_plugin
@operation
def test_the_operations_post_what_the_seed_says(plugin_mode: Mode, tokens: Tokens, operation: str) -> None:
    """An operation is a POST of a form with the seed's headers and fields, and no others."""
    call(plugin_mode, tokens.url, operation)
    [request] = tokens.server.requests
    assert ("POST", "/token") == (request.method, request.path)
    assert ("application/json", "application/x-www-form-urlencoded", BASIC) == (
        request.headers["accept"],
        request.headers["content-type"],
        request.authorization,
    )
    expected = {"grant_type": GRANT_TYPES[operation], **arguments(operation)}
    assert {name: [value] for name, value in expected.items()} == request.form


def test_a_scope_is_sent_if_there_is_one(plugin_mode: Mode, tokens: Tokens) -> None:
    """`scope` is a form field where the seed has it, and left out if it's empty."""
    scopes: list[Any] = [None, "", "read write", ["read", "write"]]
    for operation in [name for name, parameters in OPERATIONS.items() if "scope" in parameters]:
        tokens.server.requests.clear()
        for scope in scopes:
            call(plugin_mode, tokens.url, operation, scope=scope)
        sent = [request.form.get("scope") for request in tokens.server.requests]
        assert (operation, [None, None, ["read write"], ["read write"]]) == (operation, sent)


def test_the_operations_take_all_by_name_or_by_position(plugin_mode: Mode, tokens: Tokens) -> None:
    """Arguments may be given by name or in the seed's order."""
    for operation, parameters in OPERATIONS.items():
        tokens.server.requests.clear()
        controller = plugin_mode.plugin.OAuthAuthorizationController(tokens.url)
        given = {"authorization": BASIC, **arguments(operation)}
        if "scope" in parameters:
            given["scope"] = "a b"
        getattr(controller, operation)(**given, _field_parameters={"x": "y"})
        getattr(controller, operation)(*given.values(), {"x": "y"})
        by_name, by_position = tokens.server.requests
        assert (by_name.form, by_name.authorization) == (by_position.form, by_position.authorization)
        assert ["y"] == by_name.form["x"]


def test_without_authorization_there_is_no_header(plugin_mode: Mode, tokens: Tokens) -> None:
    """`authorization=None` sends no Authorization header."""
    for operation in OPERATIONS:
        tokens.server.requests.clear()
        call(plugin_mode, tokens.url, operation, None)
        [request] = tokens.server.requests
        assert "authorization" not in request.headers


@pytest.mark.parametrize("by_text", [False, True])
def test_client_credentials_go_to_the_auth_server(plugin_mode: Mode, tokens: Tokens, by_text: bool) -> None:
    """Client credentials go to `Server.AUTH`, all other operations to `Server.DEFAULT`."""
    base = tokens.server.url
    urls: Any = {Server.DEFAULT: f"{base}/oauth2/non-auth-server/token", Server.AUTH: f"{base}/request_token"}
    if by_text:
        urls = {"default": urls[Server.DEFAULT], "auth": urls[Server.AUTH]}
    for operation in OPERATIONS:
        call(plugin_mode, urls, operation)
        expected = "/request_token" if operation == "request_token_o_auth_ccg" else "/oauth2/non-auth-server/token"
        assert (operation, expected) == (operation, tokens.server.requests[-1].path)


@pytest.mark.each_plugin
@operation
def test_the_operations_return_a_token(plugin_mode: Mode, tokens: Tokens, operation: str) -> None:
    """Each operation returns an `OAuthToken` with all that the answer said."""
    tokens.fields |= {"refresh_token": "refresh", "scope": "a", "id_token": "x"}
    begun = time.time()
    token = call(plugin_mode, tokens.url, operation)
    assert ("token-1", "Bearer", 3600, "a", "refresh", {"id_token": "x"}) == (
        token.access_token,
        token.token_type,
        token.expires_in,
        token.scope,
        token.refresh_token,
        token.extra,
    )
    assert token.expiry is not None
    assert begun + 3600 <= token.expiry <= time.time() + 3600


@pytest.mark.each_plugin
@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (400, "invalid_request", "OAuth 2 provider returned an error."),
        (401, "invalid_client", "OAuth 2 provider says client authentication failed."),
    ],
)
def test_the_operations_raise_what_the_seed_says(
    plugin_mode: Mode, tokens: Tokens, *, status: int, error: str, text: str
) -> None:
    """400 and 401 with an error are `OAuthProviderException`, with the seed's words."""
    tokens.answer = lambda _: Answer(
        status, {"error": error, "error_description": "Because.", "error_uri": "https://x.example/why"}
    )
    for operation in OPERATIONS:
        with pytest.raises(OAuthProviderException) as caught:
            call(plugin_mode, tokens.url, operation)
        assert (error, "Because.", "https://x.example/why", status) == (
            caught.value.error,
            caught.value.error_description,
            caught.value.error_uri,
            caught.value.status_code,
        )
        assert str(caught.value).startswith(text)


def test_required_arguments_must_be_there(plugin_mode: Mode, tokens: Tokens) -> None:
    """A required argument that is missing in fact, None or empty, is a `ConfigurationError`; nothing is sent."""
    for operation in OPERATIONS:
        tokens.server.requests.clear()
        controller = plugin_mode.plugin.OAuthAuthorizationController(tokens.url)
        for name in arguments(operation):
            for wrong in (None, "", 5, b"bytes"):
                with pytest.raises(ConfigurationError, match=name):
                    getattr(controller, operation)(BASIC, **{**arguments(operation), name: wrong})
        assert 0 == tokens.calls


def test_the_controller_serves_many_calls_from_many_threads(plugin_mode: Mode, tokens: Tokens) -> None:
    """One controller can be used again and again, and from threads at the same time."""
    controller = plugin_mode.plugin.OAuthAuthorizationController(tokens.url)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(controller.request_token_o_auth_ccg, BASIC) for _ in range(16)]
    assert 16 == len({future.result().access_token for future in futures})


def test_the_auth_classes_call_these_operations(
    plugin_mode: Mode, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each auth class gets and renews its tokens by the operations of the contract's table."""
    called: list[str] = []
    plugin = plugin_mode.plugin
    for name in OPERATIONS:
        plain = getattr(plugin.OAuthAuthorizationController, name)

        def noting(*args: Any, _name: str = name, _plain: Any = plain, **options: Any) -> Any:
            called.append(_name)
            return _plain(*args, **options)

        monkeypatch.setattr(plugin.OAuthAuthorizationController, name, noting)
    tokens.fields["refresh_token"] = "refresh"
    client = (tokens.url, "client", "secret")
    for auth, first, renewal in [
        (plugin.ClientCredentialsAuth(*client), "request_token_o_auth_ccg", "request_token_o_auth_ccg"),
        (
            plugin.AuthorizationCodeAuth(*client, code="code", redirect_uri="https://app/"),
            "request_token_o_auth_acg",
            "refresh_token_o_auth_acg",
        ),
        (
            plugin.PasswordAuth(*client, username="alice", password="x"),
            "request_token_o_auth_ropcg",
            "refresh_token_o_auth_ropcg",
        ),
        (plugin.RefreshTokenAuth(*client, refresh_token="x"), "refresh_token_o_auth_acg", "refresh_token_o_auth_acg"),
    ]:
        called.clear()
        auth.get_token()
        auth.refresh()
        assert [first, renewal] == called


# -- _field_parameters ----------------------------------------------------------------------------------------------


FIELD_PARAMETERS: list[tuple[Any, dict[str, list[str] | None]]] = [
    (None, {}),
    ({}, {}),
    ({"audience": "https://api"}, {"audience": ["https://api"]}),
    ({"resource": ["a", "b"]}, {"resource": ["a", "b"]}),
    ({"resource": ("a", "b", "a")}, {"resource": ["a", "b", "a"]}),
    ({"dropped": None}, {}),
    ({"resource": []}, {}),
    ({"resource": ["a", None]}, {"resource": ["a"]}),
    ({"number": 5, "truth": True}, {"number": ["5"], "truth": ["true"]}),
    ({"empty": ""}, {"empty": [""]}),
    ({"grant_type": "account_credentials"}, {"grant_type": ["account_credentials"]}),
    ({"grant_type": None}, {"grant_type": None}),
    ({"ünï": "cödé & more"}, {"ünï": ["cödé & more"]}),
]


@pytest.mark.parametrize("operation", ["request_token_o_auth_ccg", "request_token_o_auth_acg"])
def test_field_parameters_have_the_last_word(plugin_mode: Mode, tokens: Tokens, operation: str) -> None:
    """Additional fields are merged last: a list repeats its field, None drops it, ours can be overridden."""
    for parameters, changed in FIELD_PARAMETERS:
        call(plugin_mode, tokens.url, operation, _field_parameters=parameters)
        expected: dict[str, list[str] | None] = {"grant_type": [GRANT_TYPES[operation]]}
        expected |= {name: [value] for name, value in arguments(operation).items()}
        expected |= changed
        sent = tokens.server.requests[-1].form
        assert {name: values for name, values in expected.items() if values is not None} == sent


def test_any_field_can_be_overridden_or_dropped(plugin_mode: Mode, tokens: Tokens) -> None:
    """Each of our own fields can be overridden, and dropped."""
    for operation in OPERATIONS:
        tokens.server.requests.clear()
        names = [*arguments(operation)]
        call(plugin_mode, tokens.url, operation, _field_parameters=dict.fromkeys(names, "another"))
        call(plugin_mode, tokens.url, operation, _field_parameters=dict.fromkeys(names))
        overridden, dropped = tokens.server.requests
        grant_type = {"grant_type": [GRANT_TYPES[operation]]}
        assert grant_type | {name: ["another"] for name in names} == overridden.form
        assert grant_type == dropped.form


def test_field_parameters_of_another_type_are_refused(plugin_mode: Mode, tokens: Tokens) -> None:
    """Field parameters that no form can carry are a `ConfigurationError`; nothing is sent."""
    mistakes: list[Any] = ["a=b", [("a", "b")], 5, {"a": object()}, {"a": b"x"}, {"a": {"b": "c"}}, {"a": "\ud800"}]
    for wrong in mistakes:
        with pytest.raises(ConfigurationError):
            call(plugin_mode, tokens.url, "request_token_o_auth_ccg", _field_parameters=wrong)
    assert 0 == tokens.calls


def test_field_parameters_are_the_callers(plugin_mode: Mode, tokens: Tokens) -> None:
    """The mapping that's given isn't changed."""
    parameters = {"resource": ["a"], "x": None}
    call(plugin_mode, tokens.url, "request_token_o_auth_ccg", _field_parameters=parameters)
    assert {"resource": ["a"], "x": None} == parameters


def test_field_parameters_of_an_auth_object_go_with_each_call(plugin_mode: Mode, tokens: Tokens) -> None:
    """An auth object's `field_parameters` are in its first call and in each renewal, and have the last word."""
    tokens.fields["refresh_token"] = "refresh"
    auth = plugin_mode.plugin.PasswordAuth(
        tokens.url,
        "client",
        "secret",
        username="alice",
        password="x",
        scope="a",
        field_parameters={"audience": ["a", "b"], "scope": None, "username": "bob"},
    )
    auth.get_token()
    auth.refresh()
    first, renewal = tokens.server.requests
    assert [["a", "b"]] * 2 == [request.form["audience"] for request in (first, renewal)]
    assert (["bob"], False, False) == (first.form["username"], "scope" in first.form, "scope" in renewal.form)


# -- Models ---------------------------------------------------------------------------------------------------------


def test_the_errors_of_the_protocol() -> None:
    """`OAuthProviderError` has the RFC's six codes, and its members are their text."""
    codes = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ]
    assert issubclass(OAuthProviderError, StrEnum)
    assert codes == list(OAuthProviderError)
    assert codes == [str(code) for code in OAuthProviderError]
    assert [code.upper() for code in codes] == [code.name for code in OAuthProviderError]


@pytest.mark.parametrize("error", ["invalid_grant", "consent_required"])
def test_the_exception_holds_what_the_server_said(error: str) -> None:
    """`OAuthProviderException` has the error, known or not, its description and URI, and the status; it pickles."""
    made = OAuthProviderException(
        error,
        error_description="Why.",
        error_uri="https://x",
        status_code=401,
        token_url="https://auth.example/token",
        retry_after=5.0,
    )
    for exception in (made, pickle.loads(pickle.dumps(made))):
        assert (error, "Why.", "https://x", 401, "https://auth.example/token", 5.0, False) == (
            exception.error,
            exception.error_description,
            exception.error_uri,
            exception.status_code,
            exception.token_url,
            exception.retry_after,
            exception.retryable,
        )
        assert isinstance(exception.error, OAuthProviderError) is (error == "invalid_grant")
        assert isinstance(exception, oauth_auth.TokenError)


def test_the_exception_needs_only_the_error() -> None:
    """Only `error` is required."""
    exception = OAuthProviderException("invalid_scope")
    assert (None, None, "invalid_scope" in str(exception)) == (
        exception.error_description,
        exception.error_uri,
        True,
    )
    with pytest.raises(TypeError):
        OAuthProviderException()  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "wrong", [(None, "secret"), ("client", None), (5, "secret"), (b"client", b"secret"), ("", "x")]
)
def test_basic_authorization_takes_text_alone(wrong: Any) -> None:
    """Id and secret that aren't text are a `ConfigurationError`, never `Basic None`."""
    with pytest.raises(ConfigurationError):
        basic_authorization(*wrong)


def test_the_two_servers() -> None:
    """`Server` has the seed's two members."""
    assert ["DEFAULT", "AUTH"] == [server.name for server in Server]


# -- The defects of the system behind the seed ----------------------------------------------------------------------


def test_defect_01_threads_on_a_cold_client_share_one_call(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """Eight requests at once on a cold client make one token call, not eight."""
    with mode.client(client_credentials(mode, tokens)) as client:
        assert [200] * 8 == [response.status_code for response in client.get_many(api.url, 8)]
    assert 1 == tokens.calls


def test_defect_02_a_refusal_is_raised_and_remembered(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A bad secret is raised as what it is, and later requests don't post it again at once."""
    tokens.answer = lambda _: Answer(401, {"error": "invalid_client"})
    with mode.client(client_credentials(mode, tokens)) as client:
        errors = []
        for _ in range(5):
            with pytest.raises(OAuthProviderException) as caught:
                client.get(api.url)
            errors.append(caught.value.error)
    assert [OAuthProviderError.INVALID_CLIENT] * 5 == errors
    assert (1, []) == (tokens.calls, api.requests)


def test_defect_02_an_outage_is_raised_with_its_status(
    mode: Mode, tokens: Tokens, api: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 503 is raised as what it is; when it's over, requests go through."""
    tokens.answer = lambda _: Answer(503)
    with mode.client(client_credentials(mode, tokens)) as client:
        with pytest.raises(TokenResponseError) as caught:
            client.get(api.url)
        assert (503, True) == (caught.value.status_code, caught.value.retryable)
        tokens.answer = None
        assert 200 == client.get(api.url).status_code


def test_defect_03_a_body_that_is_no_json_makes_a_printable_error(
    mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """A 400 or 401 whose body isn't JSON is an error that can be printed; what bodies there are, units have."""
    for status, body in ((400, b""), (401, b"<html>")):
        tokens.answer = lambda _, status=status, body=body: Answer(status, body)
        with mode.client(client_credentials(mode, tokens)) as client, pytest.raises(TokenResponseError) as caught:
            client.get(api.url)
        assert f"status {status}" in str(caught.value)


def test_defect_03_no_request_says_bearer_none(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A 200 without access token is an error; no request goes out with `Bearer None`."""
    tokens.answer = lambda _: Answer(200, {"token_type": "Bearer"})
    with mode.client(client_credentials(mode, tokens)) as client, pytest.raises(TokenResponseError):
        client.get(api.url)
    assert [] == api.requests


def test_defect_04_zero_seconds_do_not_mean_for_ever(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """`expires_in: 0` serves one request; the next one gets another token."""
    tokens.fields["expires_in"] = 0
    with mode.client(client_credentials(mode, tokens)) as client:
        assert [200, 200] == [client.get(api.url).status_code for _ in range(2)]
    assert 2 == tokens.calls


def test_defect_04_a_skew_beyond_the_lifetime_does_no_harm(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A leeway not smaller than the lifetime doesn't make requests fail, nor fetch a token for each."""
    tokens.fields["expires_in"] = 60
    with mode.client(client_credentials(mode, tokens, leeway=3600.0)) as client:
        assert [200] * 3 == [client.get(api.url).status_code for _ in range(3)]
    assert 1 == tokens.calls


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_defect_05_expiry_is_utc(plugin_mode: Mode, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    """`expiry` is Unix time, not local wall time."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        begun = time.time()
        token = client_credentials(plugin_mode, tokens).get_token()
        assert begun + 3600 <= token.expiry <= time.time() + 3600
    finally:
        monkeypatch.undo()
        time.tzset()


def test_defect_06_the_old_refresh_token_is_kept(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A refresh answer without `refresh_token` doesn't lose the old one: the next renewal sends it again."""
    tokens.answer = lambda request: (
        Answer(200, {"access_token": "first", "refresh_token": "refresh-1"}) if "code" in request.form else None
    )
    tokens.accepted = {"Bearer first"}
    auth = mode.plugin.AuthorizationCodeAuth(tokens.url, "client", "secret", code="x", redirect_uri="https://app/")
    with mode.client(auth) as client:
        for _ in range(3):
            assert 200 == client.get(api.url).status_code
            tokens.revoke()
    assert [["refresh-1"]] * 2 == [request.form["refresh_token"] for request in tokens.server.requests[1:]]


def test_defect_07_without_credentials_there_is_no_basic_none(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A client without a secret sends no Authorization header at all."""
    with mode.client(mode.plugin.ClientCredentialsAuth(tokens.url, "client")) as client:
        assert 200 == client.get(api.url).status_code
    assert [None] == [request.authorization for request in tokens.server.requests]


@pytest.mark.parametrize("refresh", [False, True])
def test_defect_08_a_manual_fetch_is_told_and_kept(
    mode: Mode, tokens: Tokens, api: ScriptedServer, refresh: bool
) -> None:
    """A token fetched by hand is told to `on_token_update`, and used by the next request."""
    told: list[OAuthToken] = []
    auth = client_credentials(mode, tokens, on_token_update=told.append)
    token = mode.refresh(auth) if refresh else mode.get_token(auth)
    assert ([token], token) == (told, auth.token)
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    assert 1 == tokens.calls


def test_defect_09_logs_hold_neither_bodies_nor_tokens(
    mode: Mode, provider: LocalProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """At level DEBUG our log has neither secrets nor tokens, through a login, a rejection and a refusal."""
    caplog.set_level(logging.DEBUG)
    auth = mode.plugin.PasswordAuth(
        provider.token_url,
        provider.client_id,
        provider.client_secret,
        username=provider.username,
        password=provider.password,
    )
    secrets = [provider.client_secret, provider.password, basic_authorization("x", "y").partition(" ")[0] + " "]
    with mode.client(auth) as client:
        client.get(provider.api_url)
        secrets += [auth.token.access_token, auth.token.refresh_token]
        provider.revoke_access_tokens()
        client.get(provider.api_url)
        secrets += [auth.token.access_token, auth.token.refresh_token]
        provider.revoke_access_tokens()
        provider.fail_token_requests(403)
        with pytest.raises(OAuthProviderException):
            client.get(provider.api_url)
    text = "\n".join(record.getMessage() for record in caplog.records if record.name == "oauth_auth")
    assert "acquired" in text
    assert [] == [secret for secret in secrets if secret in text]


@pytest.mark.each_plugin
@pytest.mark.parametrize("grant", ["client credentials", "code", "password"])
def test_defect_10_a_401_is_renewed_and_replayed(mode: Mode, tokens: Tokens, api: ScriptedServer, grant: str) -> None:
    """A token that the API rejects is renewed, codes' and passwords' ones by refresh, and the request replayed."""
    plugin, client_args = mode.plugin, (tokens.url, "client", "secret")
    tokens.fields["refresh_token"] = "refresh"
    auth = {
        "client credentials": lambda: plugin.ClientCredentialsAuth(*client_args),
        "code": lambda: plugin.AuthorizationCodeAuth(*client_args, code="x", redirect_uri="https://app/"),
        "password": lambda: plugin.PasswordAuth(*client_args, username="alice", password="x"),
    }[grant]()
    with mode.client(auth) as client:
        client.get(api.url)
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    renewal = "client_credentials" if grant == "client credentials" else "refresh_token"
    assert [renewal] == tokens.server.requests[-1].form["grant_type"]


def test_defect_11_secrets_are_form_encoded_before_basic(mode: Mode, tokens: Tokens) -> None:
    """Id and secret are form-encoded before they become Basic credentials."""
    mode.get_token(mode.plugin.ClientCredentialsAuth(tokens.url, "my client", "s:ecret/+é"))
    expected = base64.b64encode(b"my%20client:s%3Aecret%2F%2B%C3%A9").decode()
    assert [f"Basic {expected}"] == [request.authorization for request in tokens.server.requests]


def test_defect_12_a_public_client_with_pkce_and_a_store(mode: Mode, api: ScriptedServer, tokens: Tokens) -> None:
    """A public client's code goes with PKCE's verifier, sync and async, and a store keeps what it brought."""

    def answer(request: Received) -> Answer | None:
        if request.form.get("code_verifier") != ["the-verifier"] or request.form["client_id"] != ["client"]:
            return Answer(400, {"error": "invalid_grant"})
        return None

    tokens.answer = answer
    store = MemoryTokenStore()
    plugin = mode.plugin
    options = {"code": "x", "redirect_uri": "https://app/", "store": store}
    with mode.client(
        plugin.AuthorizationCodeAuth(tokens.url, "client", code_verifier="the-verifier", **options)
    ) as client:
        assert 200 == client.get(api.url).status_code
    with mode.client(plugin.AuthorizationCodeAuth(tokens.url, "client", store=store)) as client:
        assert 200 == client.get(api.url).status_code
    assert 1 == tokens.calls


def test_defect_12_pkce_is_checked_by_a_real_server(plugin_mode: Mode, provider: LocalProvider) -> None:
    """A real server takes the verifier that belongs to the code's challenge, and no other."""
    verifier = "a-verifier-of-more-than-forty-three-characters-in-all"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    redirect_uri = "http://127.0.0.1:1/callback"

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any) -> None:
            return None

    def a_code() -> str:
        query = urllib.parse.urlencode(
            {
                "response_type": "code",
                "client_id": provider.client_id,
                "redirect_uri": redirect_uri,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)
        try:
            opener.open(f"{provider.authorization_url}?{query}")
        except urllib.error.HTTPError as redirect:
            with redirect:
                location = redirect.headers["Location"]
                return urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)["code"][0]
        raise AssertionError

    def exchange(code_verifier: str) -> OAuthToken:
        auth = plugin_mode.plugin.AuthorizationCodeAuth(
            provider.token_url,
            provider.client_id,
            code=a_code(),
            redirect_uri=redirect_uri,
            code_verifier=code_verifier,
        )
        token: OAuthToken = auth.get_token()
        return token

    assert exchange(verifier).refresh_token
    with pytest.raises((OAuthProviderException, ReauthorizationRequired)):
        exchange(verifier[::-1])
