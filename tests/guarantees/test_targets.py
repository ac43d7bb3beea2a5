"""What a token is for: `audience`, `resource` (RFC 8707) and `offline_access` go where they must."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from oauth_auth import MemoryTokenStore, OAuthToken
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received
from tests.support.tokens import Tokens

pytestmark = pytest.mark.shared_core

TARGETS = {"audience": "orders-api", "resource": ["https://api.example/orders", "https://api.example/users"]}
SENT = {"audience": ["orders-api"], "resource": TARGETS["resource"]}
DEVICE = {"device_code": "dc", "user_code": "UC", "verification_uri": "https://auth.example/device", "interval": 0}
REDIRECT_URI = "https://app.example/callback"


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll for a device's token at once."""
    from oauth_auth._server.device_grant import DeviceCodeGrant

    monkeypatch.setattr(DeviceCodeGrant, "wait", lambda *_: False)


def make(mode: Mode, name: str, tokens: Tokens, **options: Any) -> Any:
    own: dict[str, dict[str, Any]] = {
        "AuthorizationCodeAuth": {
            "code": "code",
            "redirect_uri": REDIRECT_URI,
            "authorization_url": "https://auth.example/authorize",
        },
        "DeviceCodeAuth": {"device_authorization_url": f"{tokens.server.url}/device", "show": lambda **_: None},
        "PasswordAuth": {"username": "alice", "password": "pass word"},
        "RefreshTokenAuth": {"refresh_token": "given"},
    }
    return getattr(mode.plugin, name)(tokens.url, "client", "secret", **own.get(name, {}), **options)


def answer_devices(request: Received) -> Answer | None:
    return Answer(200, DEVICE) if request.path == "/device" else None


CLASSES = ["ClientCredentialsAuth", "AuthorizationCodeAuth", "DeviceCodeAuth", "PasswordAuth", "RefreshTokenAuth"]


@pytest.mark.parametrize("name", CLASSES)
def test_each_call_says_what_the_token_is_for(plugin_mode: Mode, name: str, tokens: Tokens) -> None:
    """Token calls, refreshes and the device request carry audience and resource, several by repetition."""
    tokens.answer, tokens.fields = answer_devices, {"expires_in": 3600, "refresh_token": "refresh"}
    auth = make(plugin_mode, name, tokens, **TARGETS)
    if name == "DeviceCodeAuth":
        auth._log_in()
    auth.get_token()
    auth.refresh()
    sent = [{key: request.form.get(key) for key in SENT} for request in tokens.server.requests]
    assert [SENT] * (3 if name == "DeviceCodeAuth" else 2) == sent


def test_the_authorization_request_says_it_too(plugin_mode: Mode, tokens: Tokens) -> None:
    """A user agrees to what the token will be for; `authorization_parameters` have the last word."""
    auth = make(plugin_mode, "AuthorizationCodeAuth", tokens, **TARGETS)
    query = parse_qs(urlsplit(auth.authorization_request().url).query)
    assert SENT == {key: query[key] for key in SENT}
    changed = {"audience": "other", "resource": None}
    auth = make(plugin_mode, "AuthorizationCodeAuth", tokens, **TARGETS, authorization_parameters=changed)
    query = parse_qs(urlsplit(auth.authorization_request().url).query)
    assert (["other"], None) == (query["audience"], query.get("resource"))


def test_field_parameters_have_the_last_word(plugin_mode: Mode, tokens: Tokens) -> None:
    """They override audience and resource, or drop them."""
    changed = {"audience": "other", "resource": None}
    make(plugin_mode, "ClientCredentialsAuth", tokens, **TARGETS, field_parameters=changed).get_token()
    form = tokens.server.requests[0].form
    assert (["other"], None) == (form["audience"], form.get("resource"))


def test_programs_with_other_targets_share_no_token(plugin_mode: Mode, tokens: Tokens) -> None:
    """Audience and resource tell stored tokens apart; `offline_access` doesn't."""
    store = MemoryTokenStore()
    same: dict[str, Any] = {"store": store, "scope": "read"}
    for options in ({}, {"audience": "a"}, {"audience": "b"}, {"resource": "https://api.example"}):
        make(plugin_mode, "PasswordAuth", tokens, **same, **options).get_token()
    assert 4 == tokens.calls
    first, second = (
        make(plugin_mode, "AuthorizationCodeAuth", tokens, **same, offline_access=flag) for flag in (True, False)
    )
    assert first.get_token() == second.get_token()
    assert 5 == tokens.calls


OFFLINE = ["openid", "offline_access"]


@pytest.mark.parametrize(
    ("option", "scope", "listed", "asked", "prompt"),
    [
        (None, "read", OFFLINE, "read offline_access", "consent"),
        (None, "read offline_access", OFFLINE, "read offline_access", "consent"),
        (None, "read", ["openid"], "read", None),
        (None, "read", "offline_access", "read", None),
        (None, "read", None, "read", None),
        (None, None, OFFLINE, None, None),
        (True, "read", None, "read offline_access", "consent"),
        (True, None, ["openid"], "offline_access", "consent"),
        (False, "read", OFFLINE, "read", None),
    ],
)
def test_offline_access_is_asked_for_where_the_server_offers_it(
    plugin_mode: Mode, tokens: Tokens, option: Any, scope: Any, listed: Any, asked: Any, prompt: Any
) -> None:
    """A user's login asks for a refresh token by OpenID's scope: by default where a scope is given and it's listed."""

    def answer_metadata(request: Received) -> Answer | None:
        if ".well-known" not in request.path:
            return answer_devices(request)
        urls = {"token_endpoint": tokens.url, "authorization_endpoint": "https://auth.example/authorize"}
        urls["device_authorization_endpoint"] = f"{tokens.server.url}/device"
        return Answer(200, {"issuer": tokens.server.url, **urls, "scopes_supported": listed})

    tokens.answer = answer_metadata
    client, options = (tokens.server.url, "client"), {"scope": scope, "offline_access": option}
    auth = plugin_mode.plugin.AuthorizationCodeAuth.from_issuer(*client, **options)
    query = parse_qs(urlsplit(auth.authorization_request(REDIRECT_URI).url).query)
    assert (asked, prompt) == tuple(query.get(name, [None])[0] for name in ("scope", "prompt"))
    plugin_mode.plugin.DeviceCodeAuth.from_issuer(*client, **options, show=lambda **_: None).get_token()
    [request] = [one for one in tokens.server.requests if one.path == "/device"]
    assert asked == request.form.get("scope", [None])[0]


def test_the_users_own_prompt_stays(plugin_mode: Mode, tokens: Tokens) -> None:
    """`authorization_parameters` override the prompt that comes with `offline_access`."""
    parameters = {"prompt": "login"}
    auth = make(plugin_mode, "AuthorizationCodeAuth", tokens, offline_access=True, authorization_parameters=parameters)
    assert ["login"] == parse_qs(urlsplit(auth.authorization_request().url).query)["prompt"]


def test_what_the_url_says_is_not_said_twice(plugin_mode: Mode, tokens: Tokens) -> None:
    """Servers refuse a parameter that comes twice: one in the `authorization_url` stays alone."""
    url = "https://auth.example/authorize?prompt=login&audience=other"
    options = {"authorization_url": url, "offline_access": True, **TARGETS}
    auth = plugin_mode.plugin.AuthorizationCodeAuth(tokens.url, "client", **options)
    query = parse_qs(urlsplit(auth.authorization_request(REDIRECT_URI).url).query)
    assert (["login"], ["other"], SENT["resource"]) == (query["prompt"], query["audience"], query["resource"])


def test_a_token_gives_its_header(plugin_mode: Mode) -> None:
    """`OAuthToken.authorization` is what goes into the Authorization header."""
    assert "Bearer abc" == OAuthToken(access_token="abc", token_type="mac").authorization
