"""Driving the library's procedures by hand: a clock that moves when told, chance that is known, answers in turn."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qs

from oauth_auth._clock import Now
from oauth_auth._flight import carry_out
from oauth_auth._server.calls import Ask, EndpointCalls, Sleep, Steps
from oauth_auth._server.client import Client
from oauth_auth._server.endpoints import Endpoints
from oauth_auth._server.grants import TokenCalls
from oauth_auth._server.operations import OAuthAuthorizationController
from oauth_auth._wire.client_auth import ClientAuthentication
from oauth_auth._wire.messages import TokenResponse
from oauth_auth._wire.token_request import TokenRequest
from oauth_auth.errors import TokenTransportError

__all__ = ["TOKEN_URL", "HandClock", "Highest", "Lowest", "Script", "answer", "at", "form_of", "play", "token_calls"]

_T = TypeVar("_T")

TOKEN_URL = "https://auth.example/token"
_WALL, _MONOTONIC = 1_900_000_000.0, 5_000.0


def at(seconds: float) -> Now:
    """Return a reading of both clocks, so many seconds after a moment that is the same for all tests."""
    return Now(_WALL + seconds, _MONOTONIC + seconds)


class HandClock:
    """A clock that stands still, and moves when told."""

    def __init__(self) -> None:
        self.now = at(0)

    def __call__(self) -> Now:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now = Now(self.now.wall + seconds, self.now.monotonic + seconds)


class Highest:
    """Chance that always brings the greater number."""

    def uniform(self, a: float, b: float, /) -> float:
        return max(a, b)


class Lowest:
    """Chance that always brings the smaller number."""

    def uniform(self, a: float, b: float, /) -> float:
        return min(a, b)


class Transport:
    """What sends nothing, since nobody carries its attempts out."""

    error_class: ClassVar[type[TokenTransportError]] = TokenTransportError

    def __init__(self, token_client: Any = None) -> None: ...

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        raise AssertionError(request)

    def time_out(self, request: TokenRequest, timeout: float) -> TokenTransportError:
        raise AssertionError(request)


class Script:
    """Answers what steps yield, in turn: with a value, an error to raise, or a function of what was yielded.

    Pauses pass at once on the clock, and need no answer; `effects` is what was yielded.
    """

    def __init__(self, *answers: Any, clock: HandClock | None = None) -> None:
        self.answers = list(answers)
        self.effects: list[Any] = []
        self.clock = clock or HandClock()

    def __call__(self, effect: Any) -> Any:
        self.effects.append(effect)
        if isinstance(effect, Sleep):
            self.clock.advance(effect.seconds)
            return None
        assert self.answers, f"nothing is left to answer {effect!r} with"
        given = self.answers.pop(0)
        if callable(given):
            given = given(effect)
        if isinstance(given, BaseException):
            raise given
        return given

    @property
    def asked(self) -> list[Ask]:
        """The attempts of token calls."""
        return [effect for effect in self.effects if isinstance(effect, Ask)]

    @property
    def pauses(self) -> list[float]:
        """The pauses between them."""
        return [effect.seconds for effect in self.effects if isinstance(effect, Sleep)]

    @property
    def forms(self) -> list[dict[str, str]]:
        """The form of each attempt."""
        return [form_of(ask) for ask in self.asked]


def play(steps: Steps[_T], script: Callable[[Any], Any]) -> _T:
    """Return what the steps return, as the script answers them."""
    return carry_out(steps, script)


def form_of(ask: Ask) -> dict[str, str]:
    """Return the form fields of an attempt, each of which is there once."""
    fields = parse_qs(ask.request.body.decode(), keep_blank_values=True)
    assert all(len(values) == 1 for values in fields.values())
    return {name: value for name, [value] in fields.items()}


def answer(status: int = 200, body: Any = b"", **headers: str) -> TokenResponse:
    """Return an answer; a body that is no bytes is sent as JSON, and `_` in a header's name stands for `-`."""
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
        named.setdefault("content-type", "application/json")
    return TokenResponse(status, named, body)


def token_calls(
    *,
    clock: HandClock | None = None,
    client_id: str = "client",
    client_secret: str | None = "secret",
    method: ClientAuthentication | None = None,
    scope: str | None = None,
    issuer: str | None = None,
    given: Mapping[str, str] | None = None,
    timeout: float = 10.0,
) -> TokenCalls:
    """Return what grants call a server with; a script answers instead of the server."""
    calls = EndpointCalls(Transport(), timeout, clock=clock or HandClock(), chance=Lowest())
    urls = ({} if issuer else {"token_url": TOKEN_URL}) if given is None else given
    endpoints = Endpoints(urls, issuer, calls, allow_insecure=False)
    client = Client(client_id, client_secret, method, endpoints)
    controller = OAuthAuthorizationController._from_endpoints(endpoints)
    return TokenCalls(controller, endpoints, client, scope, {})
