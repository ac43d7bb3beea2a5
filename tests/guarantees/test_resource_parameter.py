"""The parameter `resource` (RFC 8707) of `ResourceAuth`: in all that asks for a token, as the resource names itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import DeviceLogin, MemoryTokenStore
from oauth_auth._server.device_grant import DeviceCodeGrant
from tests.support.modes import Mode
from tests.support.resources import RESOURCE_PLACE, Resource
from tests.support.scripted import Answer, ScriptedServer

pytestmark = pytest.mark.shared_core
ONE_PER_PLUGIN = True


@pytest.fixture
def resource(serve: Callable[..., ScriptedServer]) -> Resource:
    return Resource(serve)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let devices poll at once."""
    monkeypatch.setattr(DeviceCodeGrant, "wait", lambda *_: False)


def service(resource: Resource) -> dict[str, Any]:
    return {"login": None, "client_id": "client", "client_secret": "s3cret", "issuer": resource.authority.issuer}


def sent(resource: Resource) -> dict[str, list[str]]:
    """Return the parameter in all places where it was, or could have been: "" stands for none."""
    authority = resource.authority
    found = {"authorization": [asked.get("resource", "") for asked in authority.asked]}
    for path in ("/device", "/token"):
        for call in authority.calls(path):
            name = call.form.get("grant_type", ["device"])[0].rpartition(":")[2]
            found.setdefault(name, []).extend(call.form.get("resource", [""]))
    return {name: texts for name, texts in found.items() if texts}


def test_each_call_has_it(mode: Mode, resource: Resource) -> None:
    """The authorization request, the token call, and each refresh: in another process, too."""
    store = MemoryTokenStore()
    with mode.client(resource.auth(mode, store=store)) as client:
        assert 200 == client.get(f"{resource.url}/below").status_code
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    resource.revoke()
    with mode.client(resource.auth(mode, store=store)) as client:
        assert 200 == client.get(resource.url).status_code
    own = resource.url
    assert {"authorization": [own], "authorization_code": [own], "refresh_token": [own, own]} == sent(resource)


def test_device_logins_have_it(mode: Mode, resource: Resource, no_pause: None) -> None:
    """The device request, and each poll."""
    login = DeviceLogin(show=lambda **_: None)
    pending = Answer(400, {"error": "authorization_pending"})
    resource.authority.faults["/token"] = [pending, pending]
    with mode.client(resource.auth(mode, login=login)) as client:
        assert 200 == client.get(resource.url).status_code
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    own = resource.url
    assert {"device": [own], "device_code": 3 * [own], "refresh_token": [own]} == sent(resource)


def test_services_have_it(mode: Mode, resource: Resource) -> None:
    """The token call."""
    with mode.client(resource.auth(mode, **service(resource))) as client:
        assert 200 == client.get(resource.url).status_code
    assert {"client_credentials": [resource.url]} == sent(resource)


@pytest.mark.parametrize("suffix", ["", "/"])
def test_it_is_the_metadatas_text(plugin_mode: Mode, resource: Resource, suffix: str) -> None:
    """Unchanged, also where the URL that was given lies below it, or differs in its slash."""
    resource.metadata["resource"] = named = resource.origin + suffix
    resource.documents = {RESOURCE_PLACE: resource.metadata}
    with plugin_mode.client(resource.auth(plugin_mode)) as client:
        assert 200 == client.get(resource.url).status_code
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    assert {named} == {text for texts in sent(resource).values() for text in texts}


@pytest.mark.parametrize(("path", "expected"), [("", ""), ("/", ""), ("/api/", "/api/"), ("/api", "/api")])
def test_without_metadata_it_is_the_url(
    plugin_mode: Mode, serve: Callable[..., ScriptedServer], path: str, expected: str
) -> None:
    """As given, but for a lone slash, which libraries add."""
    resource = Resource(serve, path)
    resource.documents, resource.challenges = {}, ()
    with plugin_mode.client(resource.auth(plugin_mode, issuer=resource.authority.issuer)) as client:
        assert 200 == client.get(f"{resource.origin}{path or '/'}").status_code
    assert {f"{resource.origin}{expected}"} == {text for texts in sent(resource).values() for text in texts}


def test_a_server_that_refuses_it(mode: Mode, resource: Resource) -> None:
    """The user's parameters have the last word: None drops it, in the authorization request and in the calls."""
    dropped = {"resource": None}
    auth = resource.auth(mode, field_parameters=dropped, authorization_parameters=dropped)
    with mode.client(auth) as client:
        assert 200 == client.get(resource.url).status_code
        resource.revoke()
        assert 200 == client.get(resource.url).status_code
    assert {"authorization": [""], "authorization_code": [""], "refresh_token": [""]} == sent(resource)


def test_another_text(plugin_mode: Mode, resource: Resource) -> None:
    """Nor need it be the resource's own word."""
    own = {"resource": "https://other.example.com/"}
    auth = resource.auth(plugin_mode, field_parameters=own, authorization_parameters=own)
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(resource.url).status_code
    assert {own["resource"]} == {text for texts in sent(resource).values() for text in texts}


def test_device_requests_without_it(plugin_mode: Mode, resource: Resource, no_pause: None) -> None:
    """`field_parameters` are of each call that a device makes."""
    auth = resource.auth(plugin_mode, login=DeviceLogin(show=lambda **_: None), field_parameters={"resource": None})
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(resource.url).status_code
    assert {"device": [""], "device_code": [""]} == sent(resource)
