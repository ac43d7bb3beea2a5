"""Guarantee 16 of `ResourceAuth`: it says what it does, and no secret."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthError
from tests.support.modes import Mode
from tests.support.resources import Resource
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.waiting import await_silence

pytestmark = pytest.mark.shared_core

NAMES = ("challenged", "discovered", "registered", "stepped_up")


@pytest.fixture
def resource(serve: Callable[..., ScriptedServer]) -> Resource:
    return Resource(serve)


@pytest.fixture(autouse=True)
def listening(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "oauth_auth")


def events(caplog: pytest.LogCaptureFixture, names: tuple[str, ...] = NAMES) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of these names with their fields, in order."""
    await_silence()
    fields = [vars(record) for record in caplog.records]
    return [
        (record["oauth_event"], {name[6:]: value for name, value in record.items() if name.startswith("oauth_")})
        for record in fields
        if record.get("oauth_event", "") in names
    ]


def told(caplog: pytest.LogCaptureFixture) -> str:
    """Return all that was logged, the fields included."""
    await_silence()
    return "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)


def test_what_is_told(mode: Mode, resource: Resource, caplog: pytest.LogCaptureFixture) -> None:
    """Each step has an event, in order, with what it was about."""
    resource.challenges = (f'{resource.challenges[0]}, error="invalid_token", scope="read"',)
    resource.needs = {"/api/write": "write"}
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.send("POST", f"{resource.url}?key=s3cret", body=b"x").status_code
        assert 200 == client.get(f"{resource.url}/write?key=s3cret").status_code
        assert 200 == client.get(resource.url).status_code
    found = events(caplog, (*NAMES, "step_up"))
    assert ["challenged", "discovered", "registered", "step_up", "discovered", "registered", "stepped_up"] == [
        name for name, _ in found
    ]
    fields = [{name: value for name, value in given.items() if name != "event"} for _, given in found]
    challenged, discovered, registered, step_up, again, _, stepped_up = fields
    assert challenged == {
        "method": "POST",
        "url": resource.url,
        "status": 401,
        "error": "invalid_token",
        "scope": "read",
    }
    assert {"resource": resource.url, "issuer": resource.authority.issuer} == discovered == again
    assert {"client_id": "client-1", "issuer": resource.authority.issuer} == registered
    request = {"method": "GET", "url": f"{resource.url}/write", "status": 403}
    assert request == stepped_up
    assert request == {name: value for name, value in step_up.items() if name != "demands"}


def test_what_is_not_told(mode: Mode, resource: Resource, caplog: pytest.LogCaptureFixture) -> None:
    """A request with a token, and one to an open API, tell nothing at all."""
    resource.open_paths.add("/api/open")
    with mode.client(resource.auth(mode)) as client:
        assert 200 == client.get(f"{resource.url}/open").status_code
        assert "" == told(caplog)
        assert 200 == client.get(resource.url).status_code
        await_silence()
        caplog.clear()
        assert 200 == client.get(resource.url).status_code
        assert "" == told(caplog)


def test_a_siblings_client_is_not_registered(
    plugin_mode: Mode, resource: Resource, caplog: pytest.LogCaptureFixture
) -> None:
    """`registered` is told once for all that share a registration."""
    store = MemoryTokenStore()
    for _ in range(2):
        resource.auth(plugin_mode, store=store).get_token()
        resource.auth(plugin_mode, store=store).revoke()
    assert 2 == len(resource.authority.visited)
    assert 1 == len(events(caplog, ("registered",)))


def test_no_secret_is_told(mode: Mode, resource: Resource, caplog: pytest.LogCaptureFixture) -> None:
    """Neither tokens nor codes, nor the secret of a registered client, nor what proves who has begun a login."""
    authority = resource.authority
    authority.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_basic"]

    def register(request: Received) -> Answer:
        return Answer(201, {"client_id": "known", "client_secret": "s3cret", "client_secret_expires_at": 0})

    authority.answers["/register"] = register
    authority.clients.add("known")
    resource.needs = {"/api/write": "write"}
    with mode.client(resource.auth(mode, store=MemoryTokenStore())) as client:
        for path in ("", "/write"):
            assert 200 == client.get(f"{resource.url}{path}").status_code
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    text = told(caplog)
    states = [asked["state"] for asked in authority.asked]
    codes = [form["code"][0] for form in authority.token_calls("authorization_code")]
    verifiers = [form["code_verifier"][0] for form in authority.token_calls("authorization_code")]
    for secret in ("s3cret", *authority.tokens, *states, *codes, *verifiers):
        assert secret not in text
    assert "registered" in text


@pytest.mark.parametrize(
    "challenge",
    [
        lambda token: f'Bearer error="insufficient_scope", scope="{token}"',
        lambda token: f'Bearer error="insufficient_user_authentication", acr_values="{token}"',
        lambda token: f'Bearer error="{token}"',
    ],
    ids=["scope", "acr_values", "error"],
)
def test_an_api_that_echoes_the_token(
    mode: Mode, resource: Resource, challenge: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    """What it says is told without it."""
    auth = resource.auth(mode)
    token = mode.get_token(auth)

    def answer(request: Received) -> Answer:
        sent = (request.authorization or "").partition(" ")[2]
        return Answer(401, b"", (("WWW-Authenticate", challenge(sent)),))

    resource.answers["/api"] = answer
    with mode.client(auth) as client:
        assert 401 == client.get(resource.url).status_code
    assert token.access_token not in told(caplog)


def test_documents_that_name_secrets(plugin_mode: Mode, resource: Resource, caplog: pytest.LogCaptureFixture) -> None:
    """What can't be used is named in errors without user info and query, where secrets might be."""
    resource.metadata["authorization_servers"] = ["https://user:s3cret@127.0.0.1:1/x?key=s3cret"]
    auth = resource.auth(plugin_mode)
    with plugin_mode.client(auth) as client, pytest.raises(OAuthError) as raised:
        client.get(resource.url)
    assert "s3cret" not in str(raised.value)
    assert "s3cret" not in told(caplog)
