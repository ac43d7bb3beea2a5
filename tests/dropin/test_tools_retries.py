"""tenacity and stamina: they retry what can't be had for the moment, be it the token or the request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import stamina
import tenacity

import oauth_auth
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer

from .service import Service, nothing, posting

Retry = Callable[[Any], Any]
"""Decorates a function or a coroutine function."""

ATTEMPTS = 3
"""How often a token call is tried before its callers get an error."""


class Outages:
    """The service with a token endpoint that ends connections without an answer, so many times."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.left = 0

    def __call__(self, request: Received) -> Answer:
        if request.path == "/token" and self.left:
            self.left -= 1
            return Answer(0)
        return self.service(request)

    def begin(self) -> None:
        self.left = ATTEMPTS


@pytest.fixture
def outages(service: Service, serve: Callable[..., ScriptedServer], quick: None) -> Outages:
    outages = Outages(service)
    service.origin = serve(outages).url
    return outages


def with_tenacity(mode: Mode) -> Retry:
    """Retry what the HTTP library counts as trouble with the network: a token call's trouble is among it."""
    return tenacity.retry(
        retry=tenacity.retry_if_exception_type(mode.transport_error),
        stop=tenacity.stop_after_attempt(2),
        wait=tenacity.wait_none(),
        reraise=True,
    )


def is_retryable(error: Exception) -> bool:
    return isinstance(error, oauth_auth.OAuthError) and error.retryable


def with_stamina(mode: Mode) -> Retry:
    """Retry what the error itself says may work later."""
    return stamina.retry(on=is_retryable, attempts=2, wait_initial=0, wait_max=0, wait_jitter=0)


TOOLS = pytest.mark.parametrize("retry", [with_tenacity, with_stamina])


@TOOLS
def test_requests(mode: Mode, retry: Callable[[Mode], Retry], outages: Outages) -> None:
    """Requests that meet an outage of the token endpoint succeed at the retry: the first, a renewal and a replay."""
    service = outages.service
    with mode.client(service.auth(mode.plugin)) as client:
        post = retry(mode)(posting(client, service.api_url))
        for happen in (nothing, service.expire, service.revoke):
            outages.begin()
            happen()
            assert 200 == client.run(post)
            assert 0 == outages.left
    assert 3 == service.token_calls
    assert [b"body"] * len(service.bodies) == service.bodies


@TOOLS
def test_tokens(mode: Mode, retry: Callable[[Mode], Retry], outages: Outages) -> None:
    """`get_token()` can be retried, too."""
    auth = outages.service.auth(mode.plugin)

    def get() -> Any:
        return retry(mode)(auth.get_token)()

    async def get_async() -> Any:
        return await retry(mode)(auth.aget_token)()

    outages.begin()
    with mode.client() as client:
        token = client.run(get if mode.backend is None else get_async)
    assert ("token-1", 0) == (token.access_token, outages.left)


@TOOLS
def test_refusals(plugin_mode: Mode, retry: Callable[[Mode], Retry], serve: Callable[..., ScriptedServer]) -> None:
    """What the server refuses isn't retried."""
    server = serve(lambda _: Answer(400, {"error": "invalid_client"}))
    auth = plugin_mode.plugin.ClientCredentialsAuth(server.url, "client-id", "client-secret")
    with pytest.raises(oauth_auth.OAuthProviderException):
        retry(plugin_mode)(auth.get_token)()
    assert 1 == len(server.requests)
