"""A program with Sentry, which a process isn't rid of again: makes trouble, and prints as JSON what would be sent.

It reads the secrets from its standard input, since Sentry sends a program's arguments and lines of its source, too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.aiohttp import AioHttpIntegration
from sentry_sdk.integrations.httpx import HttpxIntegration
from sentry_sdk.integrations.httpx2 import Httpx2Integration
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.transport import Transport

from oauth_auth._server.calls import EndpointCalls
from tests.support import modes
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.waiting import await_silence

SECRETS: dict[str, str] = {}


class Kept(Transport):
    """Keeps what's to be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.payloads: list[Any] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.payloads += [item.payload.json for item in envelope.items]


class Service:
    """A token endpoint and an API; the endpoint fails as it's told, the API takes the last token."""

    def __init__(self) -> None:
        self.failure: Answer | None = None
        self.issued = 0

    def __call__(self, request: Received) -> Answer:
        if request.path == "/token":
            return self.failure or self._issue()
        is_good = request.authorization == f"Bearer {SECRETS['access_token']}-{self.issued}"
        return Answer(200 if is_good else 401, b"body")

    def _issue(self) -> Answer:
        self.issued += 1
        access_token = f"{SECRETS['access_token']}-{self.issued}"
        refresh_token = SECRETS["refresh_token"]
        return Answer(200, {"access_token": access_token, "refresh_token": refresh_token, "expires_in": 3600})

    def revoke(self) -> None:
        self.issued += 1


def password(mode: Mode, url: str, **options: Any) -> Any:
    return mode.plugin.PasswordAuth(
        url, "client-id", SECRETS["client_secret"], username="user", password=SECRETS["password"], **options
    )


def refresh_token(mode: Mode, url: str) -> Any:
    return mode.plugin.RefreshTokenAuth(
        url, "client-id", SECRETS["client_secret"], refresh_token=SECRETS["refresh_token"]
    )


def code(mode: Mode, url: str) -> Any:
    return mode.plugin.AuthorizationCodeAuth(
        url, "client-id", SECRETS["client_secret"], code=SECRETS["code"], redirect_uri="http://127.0.0.1/callback"
    )


def with_broken_hook(mode: Mode, url: str) -> Any:
    """Make an auth object whose token calls end in an error of the user's."""

    def hook(*_: Any, **__: Any) -> None:
        raise LookupError("the user's")

    def make() -> Any:
        raise LookupError("the user's")

    if mode is modes.AIOHTTP:
        return password(mode, url, token_client=make)
    token_client = mode.sync_client()
    if mode.is_like_requests:
        token_client.hooks["response"].append(hook)
    else:
        token_client.event_hooks = {"response": [hook]}
    return password(mode, url, token_client=token_client)


REFUSED = Answer(400, {"error": "invalid_grant"})
FAILURES: list[tuple[Callable[[Mode, str], Any], Answer | None]] = [
    *((make, failure) for make in (password, refresh_token, code) for failure in (REFUSED, Answer(0))),
    (with_broken_hook, None),
]


def make_trouble(mode: Mode, url: str, service: Service) -> None:
    """Send requests that fail at the first token, at a replay, and after it; Sentry captures each error."""
    for make, failure in FAILURES:
        service.failure = failure
        with make(mode, f"{url}/token") as auth, mode.client(auth) as client:
            captured(lambda: client.get(url))
            captured(lambda: mode.get_token(auth))
    service.failure = None
    with password(mode, f"{url}/token") as auth, mode.client(auth) as client:
        client.get(url)
        service.revoke()
        captured(lambda: fail(client.get(url)))
        service.failure = REFUSED
        service.revoke()
        captured(lambda: client.get(url))


def fail(response: Any) -> None:
    raise LookupError(response.status_code)


def captured(function: Callable[[], Any]) -> None:
    try:
        function()
    except Exception as error:
        sentry_sdk.capture_exception(error)


def show() -> None:
    """Raise an error from a frame that has a secret, so that what looks for secrets is seen to find one."""
    secret = SECRETS["client_secret"]
    raise LookupError(len(secret))


def main() -> None:
    SECRETS.update(json.load(sys.stdin))
    kept = Kept()
    sentry_sdk.init(
        "https://key@sentry.example.com/1",
        transport=kept,
        attach_stacktrace=True,
        include_local_variables=True,
        traces_sample_rate=1.0,
        event_scrubber=EventScrubber(denylist=[], pii_denylist=[]),  # what it would hide is to be seen
        auto_enabling_integrations=False,
        integrations=[HttpxIntegration(), Httpx2Integration(), AioHttpIntegration()],
    )
    EndpointCalls.pauses = ((0.0, 0.001), (0.0, 0.001))
    captured(show)
    sent, kept.payloads = {"shown": kept.payloads}, []
    for name in sys.argv[1:]:
        [mode] = [mode for mode in modes.ALL if mode.name == name]
        service = Service()
        with ScriptedServer(service) as server, sentry_sdk.start_transaction(name=mode.name):
            make_trouble(mode, server.url, service)
            await_silence()  # what goes wrong in a flight is logged when its callers have gone on
        sent[mode.name], kept.payloads = kept.payloads, []
    print(json.dumps(sent))


if __name__ == "__main__":
    main()
