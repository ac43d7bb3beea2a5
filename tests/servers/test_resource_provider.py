"""`ResourceAuth` against oidc-provider and an API of another origin, which say themselves what they want."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from oauth_auth import DeviceLogin, MemoryTokenStore, ReauthorizationRequired
from tests.support import modes
from tests.support.modes import Mode

from .login import approve_device
from .resource_provider import ResourceProvider
from .resource_server import log_in

pytestmark = pytest.mark.shared_core

BODY = b"the same bytes" * 1000
SHOWN = {"method": "POST", "length": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()}
"""What the API says of a request with that body."""


@pytest.fixture(scope="module")
def running() -> Iterator[ResourceProvider]:
    with ResourceProvider() as server:
        yield server


@pytest.fixture
def server(running: ResourceProvider) -> ResourceProvider:
    running.reset()
    return running


def make(mode: Mode, server: ResourceProvider, **options: Any) -> Any:
    """Make an auth object with which Alice logs in."""
    return mode.plugin.ResourceAuth(server.url, **{"login": log_in, **options})


def counts(server: ResourceProvider) -> tuple[int, int, int]:
    """Return how many registrations, logins and token requests there were."""
    return server.registrations, server.logins, server.token_requests


def test_the_url_is_enough(mode: Mode, server: ResourceProvider) -> None:
    """Ten requests at once lead to one login of one client, and arrive whole; a revocation costs one refresh."""
    with make(mode, server) as auth, mode.client(auth) as client:
        answers = [client.begin("POST", f"{server.url}/things", body=BODY) for _ in range(10)]
        assert 10 * [SHOWN] == [answer.result(30).json() for answer in answers]
        assert (1, 1, 1) == (server.registrations, server.logins, server.token_requests)
        server.revoke_access_tokens()
        answers = [client.begin("POST", f"{server.url}/things", body=BODY) for _ in range(10)]
        assert 10 * [SHOWN] == [answer.result(30).json() for answer in answers]
        assert (1, 1, 2) == counts(server)
        assert {"basic", "admin", "offline_access"} >= {*auth.token.scope.split()} >= {"basic", "admin"}


def test_resources_of_a_server_share_the_client(mode: Mode, server: ResourceProvider) -> None:
    """Each resource of an issuer gets tokens of its own, renewed as such, all by one registration."""
    store = MemoryTokenStore()
    with make(mode, server, store=store) as first, mode.client(first) as client:
        assert 200 == client.get(server.url).status_code
        assert 401 == client.get(server.other_url).status_code  # its token doesn't go there
    second = mode.plugin.ResourceAuth(server.other_url, login=log_in, store=store)
    with second, mode.client(second) as client:
        for _ in range(2):
            assert 200 == client.get(server.other_url).status_code
            server.revoke_access_tokens()
    assert (1, 2, 3) == counts(server)


def test_a_program_to_come_needs_no_person(mode: Mode, server: ResourceProvider) -> None:
    """What's in the store is enough for a program that can't ask anybody, also when the token has to be renewed."""
    store = MemoryTokenStore()
    mode.get_token(make(mode, server, store=store))
    before = server.metadata_requests
    with make(mode, server, store=store, login=None) as auth, mode.client(auth) as client:
        assert 200 == client.get(server.url).status_code
        assert (1, 1, 1, before) == (*counts(server), server.metadata_requests)
        server.revoke_access_tokens()
        assert 200 == client.get(server.url).status_code
        assert (1, 1, 2, before + 1) == (*counts(server), server.metadata_requests)


def test_a_forgotten_client_is_replaced(mode: Mode, server: ResourceProvider) -> None:
    """Where the server doesn't know the client any more, the request that finds out is answered all the same."""
    with make(mode, server) as auth, mode.client(auth) as client:
        assert 200 == client.get(server.url).status_code
        server.forget_clients()
        server.revoke_access_tokens()
        assert SHOWN == client.send("POST", server.url, body=BODY).json()
        assert (2, 2, 3) == counts(server)  # after a refresh in vain
        server.revoke_access_tokens()
        assert 200 == client.get(server.url).status_code
        assert (2, 2, 4) == counts(server)


def test_more_scope(mode: Mode, server: ResourceProvider) -> None:
    """Ten requests that want more scope lead to one login of the same client, for all that was granted, and more."""
    with make(mode, server, scope="basic") as auth, mode.client(auth) as client:
        assert 200 == client.get(server.url).status_code
        answers = [client.begin("POST", f"{server.url}/admin", body=BODY) for _ in range(10)]
        assert 10 * [SHOWN] == [answer.result(30).json() for answer in answers]
        assert 200 == client.get(server.url).status_code
        assert (1, 2, 2) == counts(server)
        assert {"basic", "admin"} == {*auth.token.scope.split()}


def test_a_stronger_login(mode: Mode, server: ResourceProvider) -> None:
    """A login as the API wants it is made for it, and no refresh is tried."""
    # oidc-provider takes the parameters of OpenID in its requests alone
    with make(mode, server, scope="openid basic") as auth, mode.client(auth) as client:
        assert 200 == client.get(server.url).status_code
        server.want_login(acr_values="phishing-resistant")
        assert SHOWN == client.send("POST", server.url, body=BODY).json()
        assert (1, 2, 2) == counts(server)
        assert 200 == client.get(server.url).status_code
        assert (1, 2, 2) == counts(server)


def test_a_stronger_login_needs_a_person(mode: Mode, server: ResourceProvider) -> None:
    """Where nobody can be asked, the API's answer is the caller's, and nothing is tried."""
    store = MemoryTokenStore()
    mode.get_token(make(mode, server, store=store))
    server.want_login(acr_values="phishing-resistant")
    with make(mode, server, store=store, login=None) as auth, mode.client(auth) as client:
        refused = client.get(server.url)
        assert 401 == refused.status_code
        assert "insufficient_user_authentication" in refused.headers["WWW-Authenticate"]
        assert (1, 1, 1) == counts(server)


def test_a_device(server: ResourceProvider) -> None:
    """A person logs in on another device; the token is renewed without.

    All plug-ins at once, since this one waits as long as the server says.
    """

    def show(*, verification_uri_complete: str, **_: object) -> None:
        approve_device(verification_uri_complete)

    def use(mode: Mode) -> list[Any]:
        with make(mode, server, login=DeviceLogin(show=show)) as auth, mode.client(auth) as client:
            shown = client.send("POST", server.url, body=BODY).json()
            all_have_one.wait(30)
            if mode is modes.SYNC[0]:
                server.revoke_access_tokens()
            all_have_one.wait(30)
            return [shown, client.get(server.url).status_code]

    all_have_one = threading.Barrier(len(modes.SYNC))
    with ThreadPoolExecutor(len(modes.SYNC)) as pool:
        assert len(modes.SYNC) * [[SHOWN, 200]] == list(pool.map(use, modes.SYNC))
    assert (len(modes.SYNC), 0) == (server.registrations, server.logins)


def test_a_service(mode: Mode, server: ResourceProvider) -> None:
    """A client that was registered by hand gets tokens of its own for the resource, and is renewed as it likes."""
    service = {"client_id": server.service.client_id, "client_secret": server.service.secret, "issuer": server.issuer}
    with make(mode, server, login=None, **service) as auth, mode.client(auth) as client:
        assert 10 * [200] == [answer.status_code for answer in client.get_many(f"{server.url}/admin", 10)]
        assert (0, 0, 1) == counts(server)
        server.revoke_access_tokens()
        assert SHOWN == client.send("POST", server.url, body=BODY).json()
        assert (0, 0, 2) == counts(server)


def test_a_metadata_document(mode: Mode, server: ResourceProvider) -> None:
    """A program with a document on the web needs no registration."""
    with make(mode, server, client_metadata_url=server.client_metadata_url) as auth, mode.client(auth) as client:
        assert SHOWN == client.send("POST", server.url, body=BODY).json()
        server.revoke_access_tokens()
        assert 200 == client.get(server.url).status_code
        assert (0, 1, 2) == counts(server)


def test_a_logout(mode: Mode, server: ResourceProvider) -> None:
    """A logout ends the login, here, in the store and at the server; the next one is of the same client."""
    store = MemoryTokenStore()
    with make(mode, server, store=store) as auth, mode.client(auth) as client:
        assert 200 == client.get(server.url).status_code
        ended = auth.token.access_token
        mode.revoke(auth)
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"Bearer {ended}"}
            assert 401 == session.get(server.url, headers=headers, timeout=10).status_code
        with make(mode, server, store=store, login=None) as other, pytest.raises(ReauthorizationRequired):
            mode.get_token(other)
        assert 200 == client.get(server.url).status_code
        assert (1, 2) == (server.registrations, server.logins)
