"""Guarantee 9, for many programs on one store, in real threads: an outage costs no login, and a cold start no convoy.

The same in virtual time, for many more of them, is in tests/simulation.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from oauth_auth import MemoryTokenStore, OAuthError, OAuthToken, ReauthorizationRequired
from oauth_auth._renewal.store_entry import StoreEntry
from oauth_auth._server.calls import EndpointCalls
from oauth_auth.testing import LocalProvider
from tests.support import modes
from tests.support.modes import Mode
from tests.support.tokens import Tokens, client_credentials

pytestmark = pytest.mark.shared_core


def test_an_outage_that_outlasts_the_token_costs_no_login(
    provider: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred programs whose token expires while the server is down all go on with their login afterwards.

    A failing call takes a second and a lock is waited for a second and a half, not thirty: so there's a queue that
    would take minutes. The outage ends when it does most harm: while many ask at once, if they ever do.
    """
    monkeypatch.setattr(StoreEntry, "lock_wait", 1.5)
    monkeypatch.setattr(EndpointCalls, "pauses", ((0.3, 0.3), (0.6, 0.6)))
    provider.token_lifetime = 2.0
    plugin = modes.REQUESTS.plugin
    client = (provider.token_url, provider.client_id, provider.client_secret)
    user = {"username": provider.username, "password": provider.password}
    first = plugin.PasswordAuth(*client, **user).get_token().refresh_token
    store = MemoryTokenStore()
    programs = [plugin.RefreshTokenAuth(*client, refresh_token=first, store=store) for _ in range(100)]
    programs[0].get_token()
    ended, errors, after = threading.Event(), [], []

    def run(auth: Any) -> None:
        while not ended.is_set():
            try:
                auth.get_token()
            except OAuthError as error:
                errors.append(error)
            ended.wait(0.3)
        try:
            after.append(auth.get_token())
        except OAuthError as error:
            after.append(error)

    threads = [threading.Thread(target=run, args=(auth,)) for auth in programs]
    provider.fail_token_requests(503, count=10**6)
    for thread in threads:
        thread.start()
    await_storm(provider, 6)
    provider.fail_token_requests(503, count=0)
    time.sleep(3)  # a lifetime and more
    ended.set()
    for thread in threads:
        thread.join(30)
    assert {OAuthToken} == {type(outcome) for outcome in after}
    assert [] == [error for error in errors if isinstance(error, ReauthorizationRequired)]


def await_storm(provider: LocalProvider, seconds: float) -> None:
    """Wait so long, or until twenty token calls have come within a quarter of a second."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = len(provider.token_requests)
        time.sleep(0.25)
        if len(provider.token_requests) >= before + 20:
            return


class SlowStore(MemoryTokenStore):
    """A store whose every call takes its time; `saved_at` is when it first had a token."""

    saved_at: float | None = None

    def load(self, key: str) -> OAuthToken | None:
        time.sleep(0.1)
        return super().load(key)

    def save(self, key: str, token: OAuthToken) -> None:
        time.sleep(0.1)
        super().save(key, token)
        if self.saved_at is None:
            self.saved_at = time.monotonic()

    @contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[None]:
        with super().lock(key, timeout=timeout):
            time.sleep(0.05)
            yield


@pytest.mark.parametrize("which", modes.SYNC, ids=str)
def test_at_a_cold_start_nobody_queues_only_to_look(which: Mode, tokens: Tokens) -> None:
    """Fifty programs that start at once on a slow store have the first one's token a second after it was saved."""
    store = SlowStore()
    start = threading.Barrier(50, timeout=30)

    def get_token(auth: Any) -> tuple[str, float]:
        start.wait()
        return auth.get_token().access_token, time.monotonic()

    programs = [client_credentials(which, tokens, store=store) for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(get_token, programs))
    assert {"token-1"} == {token for token, _ in results}
    assert 1 == tokens.calls
    assert store.saved_at is not None
    assert max(ended for _, ended in results) - store.saved_at < 1.5
