"""Guarantee 14: wrong pairings fail loudly, and right ones can be mixed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from oauth_auth import OAuthError, OAuthToken
from tests.support.modes import (
    ALL,
    HTTPX,
    HTTPX2,
    HTTPX2_ASYNCIO,
    HTTPX2_TRIO,
    HTTPX_ASYNCIO,
    HTTPX_TRIO,
    NIQUESTS,
    NIQUESTS_ASYNCIO,
    SYNC,
    Mode,
)
from tests.support.scripted import ScriptedServer
from tests.support.tokens import Tokens, client_credentials

GIVEN = OAuthToken(access_token="given")

WRONG = [
    pytest.param(plugin, client, id=f"{plugin} in {client}")
    for plugin in SYNC
    for client in ALL
    if plugin.library is not client.library
]


def auths(mode: Mode, tokens: Tokens) -> Iterator[Any]:
    """Make auth objects of all classes of a plug-in, with a token at hand and without."""
    plugin, client = mode.plugin, (tokens.url, "client", "secret")
    yield plugin.ClientCredentialsAuth(*client)
    yield plugin.ClientCredentialsAuth(*client, token=GIVEN)
    yield plugin.AuthorizationCodeAuth(*client, token=GIVEN)
    yield plugin.PasswordAuth(*client, username="u", password="p")
    yield plugin.RefreshTokenAuth(*client, refresh_token="r")
    yield plugin.TokenProviderAuth(lambda last: GIVEN)
    yield plugin.BearerAuth("given")
    yield plugin.ResourceAuth(tokens.url)
    yield plugin.ResourceAuth(tokens.url, token=GIVEN)


@pytest.mark.parametrize(("plugin", "client_mode"), WRONG)
def test_auth_of_another_library_raises(plugin: Mode, client_mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """An auth object in another library's request is a `TypeError` or an error of ours; nothing is sent anywhere."""
    with client_mode.client() as client:
        for auth in auths(plugin, tokens):
            with pytest.raises((TypeError, OAuthError)):
                client.get(api.url, auth=auth)

    assert [] == api.requests
    assert 0 == tokens.calls


@pytest.mark.parametrize(("plugin", "client_mode"), WRONG)
def test_auth_of_another_library_raises_as_the_clients_own(
    plugin: Mode, client_mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """The same where it's set on the client, at the latest at its first request."""
    for auth in auths(plugin, tokens):
        # Leaving the context closes the client, so what it raises at the first request comes out here, too.
        with pytest.raises((TypeError, OAuthError)), client_mode.client(auth) as client:
            client.get(api.url)

    assert [] == api.requests
    assert 0 == tokens.calls


def test_class_in_place_of_an_object_raises(mode: Mode, api: ScriptedServer) -> None:
    """A class given as auth, its parentheses forgotten, raises rather than sends the request without a token."""
    with mode.client() as client, pytest.raises((TypeError, OAuthError)):
        client.get(api.url, auth=mode.plugin.ClientCredentialsAuth)

    assert [] == api.requests


@pytest.mark.parametrize(
    "modes",
    [
        (HTTPX, HTTPX_ASYNCIO, HTTPX_TRIO),
        (HTTPX2, HTTPX2_ASYNCIO, HTTPX2_TRIO),
        (NIQUESTS, NIQUESTS_ASYNCIO, NIQUESTS_ASYNCIO),
    ],
    ids=lambda modes: modes[0].name,
)
@pytest.mark.parametrize("begin", ["cold", "rejected"])
def test_one_object_serves_sync_and_async_clients_at_once(
    modes: tuple[Mode, ...], tokens: Tokens, api: ScriptedServer, begin: str
) -> None:
    """Clients of both kinds, threads and several event loops share one object, its token and its one token call."""
    token = None if begin == "cold" else GIVEN
    auth = client_credentials(modes[0], tokens, token=token)

    def send(mode: Mode) -> list[int]:
        with mode.client(auth) as client:
            return [response.status_code for response in client.get_many(api.url, 10)]

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(send, modes * 2))

    assert [[200] * 10] * 6 == statuses
    assert 1 == tokens.calls


ALIASED = """
import sys
import httpx2
httpx2.alias_httpx()
import httpx
import oauth_auth.httpx
assert httpx is httpx2
auth = oauth_auth.httpx.ClientCredentialsAuth(sys.argv[1], "client", "secret")
with httpx.Client(auth=auth) as client, httpx2.Client(auth=auth) as other:
    print(client.get(sys.argv[2]).status_code, other.get(sys.argv[2]).status_code)
import asyncio
async def main():
    async with httpx.AsyncClient(auth=auth) as client:
        print((await client.get(sys.argv[2])).status_code)
asyncio.run(main())
import oauth_auth.httpx2
with httpx.Client(auth=oauth_auth.httpx2.BearerAuth("token-1")) as client:
    print(client.get(sys.argv[2]).status_code)
"""


def test_httpx_may_be_an_alias_of_httpx2(tokens: Tokens, api: ScriptedServer) -> None:
    """After `httpx2.alias_httpx()` both plug-ins serve the one library that there is then."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", ALIASED, tokens.url, api.url],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ("200 200\n200\n200\n", "", 0) == (run.stdout, run.stderr, run.returncode)
    assert ["Bearer token-1"] * 4 == [request.authorization for request in api.requests]
    assert 1 == tokens.calls
