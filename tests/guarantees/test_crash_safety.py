"""Guarantee 9: a process that is killed or stopped, at whatever step of a renewal, takes nobody else along."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

import oauth_auth.requests
from oauth_auth import OAuthToken
from oauth_auth.stores import TokenStore
from oauth_auth.testing import LocalProvider
from tests.support import modes
from tests.support.siblings import Sibling, Siblings
from tests.support.stores import SHARED_STORES, store_maker

pytestmark = pytest.mark.shared_core

BEFORE = ("locked", "load", "call")
"""Steps at which the refresh token is still good."""
LOST = ("answered", "read", "save", "write")
"""Steps at which the server has rotated it, and nothing but the process knows the new one."""
AFTER = ("written", "saved", "unlock")
"""Steps at which the new one is there for all."""
STEPS = (*BEFORE, *LOST, *AFTER)

REDIRECT_URI = "http://127.0.0.1/callback"
GRANTS = ("ClientCredentialsAuth", "PasswordAuth", "AuthorizationCodeAuth", "RefreshTokenAuth")
AGAIN = "ReauthorizationRequired"

# What a survivor's request comes to, and the token calls of both: the victim's comes first, if it came to that.
OUTCOMES: dict[str, dict[tuple[str, ...], tuple[Any, list[str]]]] = {
    "ClientCredentialsAuth": {
        BEFORE: (200, ["client_credentials"]),
        LOST: (200, ["client_credentials", "client_credentials"]),
        AFTER: (200, ["client_credentials"]),
    },
    "PasswordAuth": {
        BEFORE: (200, ["refresh_token"]),
        LOST: (200, ["refresh_token", "refresh_token", "password"]),
        AFTER: (200, ["refresh_token"]),
    },
    "AuthorizationCodeAuth": {
        BEFORE: (200, ["refresh_token"]),
        LOST: (AGAIN, ["refresh_token", "refresh_token"]),
        AFTER: (200, ["refresh_token"]),
    },
    "RefreshTokenAuth": {
        BEFORE: (200, ["refresh_token"]),
        # The one given is tried last.
        LOST: (AGAIN, ["refresh_token", "refresh_token", "refresh_token"]),
        AFTER: (200, ["refresh_token"]),
    },
}

SHORT_LEASE = 0.5
LIFETIME = 3600


class Scene:
    """Processes with the same valid token, on one store and with a server that rotates refresh tokens."""

    def __init__(self, siblings: Siblings, provider: LocalProvider, make_store: Callable[[], TokenStore]) -> None:
        self.provider = provider
        self.store = make_store()
        self._make_store = make_store
        self._siblings = siblings
        self._grant = ""
        self._options: dict[str, Any] = {}

    def log_in(self, grant: str) -> None:
        """Have a first token stored that was got by this grant, and forget how."""
        self._grant = grant
        plugin: Any = oauth_auth.requests
        client = (self.provider.token_url, self.provider.client_id, self.provider.client_secret)
        user = {"username": self.provider.username, "password": self.provider.password}
        once: dict[str, Any] = {}
        self._options = {"store_key": "k"}
        if grant == "PasswordAuth":
            self._options |= user
        elif grant == "RefreshTokenAuth":
            self._options["refresh_token"] = plugin.PasswordAuth(*client, **user).get_token().refresh_token
        elif grant == "AuthorizationCodeAuth":
            once = {"code": self._code(), "redirect_uri": REDIRECT_URI}
        with getattr(plugin, grant)(*client, store=self.store, **self._options, **once) as auth:
            auth.get_token()
        self.provider.token_requests.clear()

    def _code(self) -> str:
        query = {"response_type": "code", "client_id": self.provider.client_id, "redirect_uri": REDIRECT_URI}
        answer = requests.get(self.provider.authorization_url, query, allow_redirects=False, timeout=20)
        return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]

    def start(self, *, late: float = LIFETIME + 1, lease: float = SHORT_LEASE) -> Sibling:
        """Start a process that has taken the token, and whose clock then goes forward, by default beyond its end."""
        client = (self.provider.token_url, self.provider.client_id, self.provider.client_secret)
        sibling = self._siblings.start(
            modes.REQUESTS, self._grant, *client, store=self._make_store(), lease=lease, **self._options
        )
        sibling.do("get_token")
        sibling.do("move_clock", late)
        return sibling

    def kill_at(self, step: str, victim: Sibling) -> None:
        """Have a process killed at a step of its renewal."""
        victim.do("at", step, "kill", 2 if step == "load" else 1)
        victim.begin("send", self.provider.api_url, 1)
        victim.await_death()

    @property
    def token_calls(self) -> list[str]:
        return [request.form["grant_type"][0] for request in self.provider.token_requests]

    @property
    def stored(self) -> OAuthToken:
        token = self.store.load("k")
        assert token is not None
        return token


def outcome(grant: str, step: str) -> tuple[Any, list[str]]:
    return next(outcome for steps, outcome in OUTCOMES[grant].items() if step in steps)


CASES = [(store, "PasswordAuth", step) for store in SHARED_STORES for step in STEPS] + [
    ("file", grant, step) for grant in GRANTS if grant != "PasswordAuth" for step in STEPS
]


@pytest.mark.parametrize(("name", "grant", "step"), CASES)
def test_a_process_is_killed(
    request: pytest.FixtureRequest, siblings: Siblings, provider: LocalProvider, name: str, grant: str, step: str
) -> None:
    """The others go on at once, or for Redis when the lease ends; a family is lost only if nobody has its new token."""
    scene = Scene(siblings, provider, store_maker(request, name))
    scene.log_in(grant)
    victim, survivor = scene.start(), scene.start()
    scene.kill_at(step, victim)
    status, seconds = survivor.do("timed", provider.api_url)
    assert outcome(grant, step) == (status, scene.token_calls)
    assert seconds < 5
    if status == 200:
        # Nothing that the victim left is in the way of the next renewals.
        for _ in range(2):
            survivor.do("move_clock", LIFETIME)
            assert [200] == survivor.do("send", provider.api_url, 1)
        assert survivor.do("token").access_token == scene.stored.access_token


def test_the_lease_of_a_killed_process_ends(
    request: pytest.FixtureRequest, siblings: Siblings, provider: LocalProvider
) -> None:
    """Redis frees a killed holder's lock within 15 seconds; who has a valid token, if a stale one, isn't delayed."""
    scene = Scene(siblings, provider, store_maker(request, "redis"))
    scene.log_in("PasswordAuth")
    victim, survivor = scene.start(lease=10), scene.start(lease=10)
    in_window, in_leeway = scene.start(late=LIFETIME - 60), scene.start(late=LIFETIME - 5)
    scene.kill_at("call", victim)
    waiting = survivor.begin("timed", provider.api_url)
    for bystander in (in_window, in_leeway):
        for _ in range(3):
            assert [200] == bystander.do("send", provider.api_url, 1)
        assert {0.0} == set(bystander.do("lock_waits"))
    assert not waiting.done()
    status, seconds = waiting.result(20)
    assert (200, True) == (status, seconds < 15)
    assert ["refresh_token"] == scene.token_calls


@pytest.mark.parametrize("grant", ["ClientCredentialsAuth", "PasswordAuth"])
@pytest.mark.parametrize("step", ["load", "call", "answered", "read"])
def test_a_process_is_stopped_for_longer_than_its_lease(
    request: pytest.FixtureRequest, siblings: Siblings, provider: LocalProvider, grant: str, step: str
) -> None:
    """Another takes the lock over and renews; the stopped one, when it goes on, doesn't replace what that one saved.

    Nobody can keep it from sending a refresh token that is spent by then, if it was stopped just before: the server
    then ends the family, and the password helps. Its request succeeds all the same.
    """
    scene = Scene(siblings, provider, store_maker(request, "redis"))
    scene.log_in(grant)
    stopped, other = scene.start(), scene.start()
    stopped.do("at", step, "hold", 2 if step == "load" else 1)
    sent = stopped.begin("send", provider.api_url, 1)
    stopped.await_step(step)
    stopped.signal(signal.SIGSTOP)
    assert [200] == other.do("send", provider.api_url, 1)
    saved = scene.stored
    stopped.signal(signal.SIGCONT)
    stopped.do("go", step)
    assert [200] == sent.result(20)
    ended_family = (grant, step) == ("PasswordAuth", "call")
    assert ended_family == (saved.access_token != scene.stored.access_token)
    for sibling in (stopped, other):
        assert [200] == sibling.do("send", provider.api_url, 1)
