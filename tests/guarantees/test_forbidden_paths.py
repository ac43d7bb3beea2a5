"""Guarantee 5: a resource that rejects every token, among others that don't, costs a handful of token calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore
from tests.support.clock import Clock
from tests.support.modes import Mode
from tests.support.rotation import Rotation, code
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, client_credentials

pytestmark = pytest.mark.shared_core

HANDFUL = 5


@pytest.fixture
def api(serve: Callable[..., ScriptedServer], tokens: Tokens) -> ScriptedServer:
    """An API that says 401 for what this client may not have: all below `/admin`, and each POST."""

    def script(request: Received) -> Answer:
        is_forbidden = request.path.startswith("/admin") or request.method == "POST"
        is_good = request.authorization in tokens.accepted and not is_forbidden
        return Answer(200 if is_good else 401, request.body)

    return serve(script)


def statuses(client: Any, *requests: tuple[str, str]) -> list[int]:
    return [client.send(method, url).status_code for method, url in requests]


def test_a_forbidden_path_among_good_ones(mode: Mode, tokens: Tokens, api: ScriptedServer, clock: Clock) -> None:
    """A hundred rounds of a path that takes the token and one that takes none cost a handful of calls in a minute."""
    with mode.client(client_credentials(mode, tokens)) as client:
        for _ in range(100):
            clock.advance(0.5)
            assert [200, 401] == statuses(client, ("GET", f"{api.url}/orders"), ("GET", f"{api.url}/admin"))
    assert tokens.calls <= 1 + HANDFUL


def test_forty_forbidden_paths(mode: Mode, tokens: Tokens, api: ScriptedServer, clock: Clock) -> None:
    """They cost together what one of them costs, also if each has another query, and with a good one between."""
    with mode.client(client_credentials(mode, tokens)) as client:
        for number in range(40):
            clock.advance(1)
            urls = (f"{api.url}/orders?page={number}", f"{api.url}/admin/{number}?page={number}")
            assert [200, 401] == statuses(client, *(("GET", url) for url in urls))
    assert tokens.calls <= 1 + HANDFUL


def test_a_method_that_is_forbidden(mode: Mode, tokens: Tokens, api: ScriptedServer, clock: Clock) -> None:
    """The same for one URL that may be read and not written."""
    with mode.client(client_credentials(mode, tokens)) as client:
        for _ in range(50):
            clock.advance(1)
            assert [200, 401] == statuses(client, ("GET", f"{api.url}/orders"), ("POST", f"{api.url}/orders"))
    assert tokens.calls <= 1 + HANDFUL


def test_many_callers_of_forbidden_paths(mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer]) -> None:
    """Requests at the same time cost no more than one after the other."""

    def script(request: Received) -> Answer:  # older tokens live on
        return Answer(401 if request.authorization is None or request.path.startswith("/admin") else 200)

    api = serve(script)
    with mode.client(client_credentials(mode, tokens)) as client:
        client.get(f"{api.url}/orders")
        futures = [
            client.begin("GET", f"{api.url}/{'orders' if number % 2 else 'admin'}/{number % 20}")
            for number in range(200)
        ]
        assert [401, 200] * 100 == [future.result(60).status_code for future in futures]
    assert tokens.calls <= 1 + HANDFUL


@pytest.mark.parametrize(
    "storm",
    [
        [("GET", "/admin")],
        [("GET", f"/admin/{number}") for number in range(40)],
        [("POST", "/orders")],
    ],
    ids=["one path", "forty paths", "one method"],
)
def test_a_revocation_in_the_middle(
    mode: Mode, tokens: Tokens, api: ScriptedServer, clock: Clock, storm: list[tuple[str, str]]
) -> None:
    """While renewals are spaced, a path that has accepted the token is renewed for at once: one call, no failure."""
    with mode.client(client_credentials(mode, tokens)) as client:

        def storms() -> None:
            for number in range(40):
                clock.advance(0.1)
                method, path = storm[number % len(storm)]
                seen = statuses(client, ("GET", f"{api.url}/orders"), (method, f"{api.url}{path}"))
                assert [200, 401] == seen

        storms()
        for _ in range(2):
            calls = tokens.calls
            tokens.revoke()
            assert [200] == statuses(client, ("GET", f"{api.url}/orders"))
            assert calls + 1 == tokens.calls
            storms()
            assert tokens.calls <= calls + 1 + HANDFUL


@pytest.mark.parametrize("paths", [1, 40])
def test_rotating_refresh_tokens_outlive_it(
    plugin_mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, paths: int
) -> None:
    """A user's login isn't worn out by a path that they may not use."""
    with plugin_mode.client(code(plugin_mode, tokens.url)) as client:
        for number in range(80):
            urls = (f"{api.url}/orders", f"{api.url}/admin/{number % paths}")
            assert [200, 401] == statuses(client, *(("GET", url) for url in urls))
    assert len(rotation.calls) <= 1 + HANDFUL
    assert rotation.live is not None


# -- A sibling's token that is rejected, too ------------------------------------------------------------------------


def test_an_adopted_token_that_is_rejected_is_renewed(
    mode: Mode, rotation: Rotation, tokens: Tokens, serve: Callable[..., ScriptedServer]
) -> None:
    """A token that was adopted after a rejection may have been revoked as well: then there's one renewal more."""
    url = serve(lambda request: Answer(200 if request.authorization in tokens.accepted else 401)).url
    store = MemoryTokenStore()
    one, other = (code(mode, tokens.url, store=store, store_key="k") for _ in range(2))
    with mode.client(one) as its_client, mode.client(other) as client:
        assert [200, 200] == [c.get(url).status_code for c in (its_client, client)]
        mode.refresh(one)
        tokens.revoke()
        answer = client.get(url)
        assert 200 == answer.status_code
        assert [200, 200] == [c.get(url).status_code for c in (its_client, client)]
    assert ["the-code", "refresh-1", "refresh-2"] == rotation.calls


def test_ten_of_them_share_the_renewal(
    mode: Mode, rotation: Rotation, tokens: Tokens, serve: Callable[..., ScriptedServer]
) -> None:
    """Ten requests that are rejected with both tokens make one call."""
    rejected = threading.Barrier(10, timeout=20)

    def script(request: Received) -> Answer:
        if request.authorization in tokens.accepted:
            return Answer(200)
        if request.authorization == "Bearer token-1":
            rejected.wait()
        return Answer(401)

    url = serve(script).url
    store = MemoryTokenStore()
    one, other = (code(mode, tokens.url, store=store, store_key="k") for _ in range(2))
    for auth in (one, other):
        mode.get_token(auth)
    mode.refresh(one)
    tokens.revoke()
    with mode.client(other) as client:
        assert [200] * 10 == [answer.status_code for answer in client.get_many(url, 10)]
    assert ["the-code", "refresh-1", "refresh-2"] == rotation.calls
