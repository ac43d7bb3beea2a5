"""Guarantees 7 to 10 of the security profile, where requests are led on, or each nonce is good for one proof."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import pytest

from tests.support.modes import AIOHTTP, NIQUESTS, Mode
from tests.support.proving import Nonces, ProvingServer
from tests.support.scripted import Answer, Received, ScriptedServer

Serve = Callable[..., ScriptedServer]

NONCES = pytest.mark.parametrize("nonces", ["none", "one", "once"])
CHAIN = {"/a": "/b", "/b": "/c", "/c": "/d?x=1"}


def test_a_nonce_in_the_answer_to_a_challenged_request_counts(mode: Mode, serve: Serve) -> None:
    """A server that gives each answer a nonce is asked once for the first one, and never again."""
    server = ProvingServer(serve, nonces="once")
    with server.make(mode) as auth, mode.client(auth) as client:
        assert [200] * 4 == [client.get(f"{server.url}/x").status_code for _ in range(4)]
    assert 5 == len(server.requests)


def test_callers_that_are_challenged_together_each_use_their_own_nonce(mode: Mode, serve: Serve) -> None:
    """Nonces that are good once: what another caller was given meanwhile may be used up."""
    server = ProvingServer(serve, nonces="once", together=8)
    with server.make(mode) as auth, mode.client(auth) as client:
        mode.get_token(auth)
        answers = client.get_many(f"{server.url}/x", 8)
    assert [200] * 8 == [getattr(answer, "status_code", answer) for answer in answers]
    assert 2 * 8 == len(server.requests)


@NONCES
def test_requests_that_redirects_lead_on_have_proofs_of_their_own(mode: Mode, serve: Serve, nonces: Nonces) -> None:
    """Whether the first one was challenged or not, and as often as it's led on."""
    server = ProvingServer(serve, nonces=nonces, redirects=CHAIN)
    with server.make(mode) as auth, mode.client(auth) as client:
        answer = client.send("POST", f"{server.url}/a", body=b"body")
    assert (200, b"body") == (answer.status_code, answer.content)
    assert 1 == server.token_calls
    if not mode.is_like_httpx:  # which copies the proof
        assert [] == server.refused


@NONCES
def test_after_a_replay_redirects_are_proved_too(mode: Mode, serve: Serve, nonces: Nonces) -> None:
    """A proof that's refused where a redirect leads isn't the token's fault, which was just replaced."""
    server = ProvingServer(serve, nonces=nonces, redirects=CHAIN)
    with server.make(mode) as auth, mode.client(auth) as client:
        server.ended.add(mode.get_token(auth).access_token)
        assert 200 == client.get(f"{server.url}/a").status_code
    assert 2 == server.token_calls


def test_a_nonce_challenge_leaves_the_replay_for_where_a_redirect_leads(mode: Mode, serve: Serve) -> None:
    """The token ends between the two: it's renewed once, as if there had been no challenge."""
    server = ProvingServer(serve, nonces="one", redirects={"/a": "/b"}, ends_first_at="/a")
    with server.make(mode) as auth, mode.client(auth) as client:
        assert 200 == client.get(f"{server.url}/a").status_code
    assert 2 == server.token_calls


@NONCES
@pytest.mark.having("is_like_requests")
def test_no_proof_is_sent_to_another_origin(mode: Mode, serve: Serve, nonces: Nonces) -> None:
    """Nor the token, whether the request that's led there was challenged or not."""
    elsewhere = serve(lambda _: Answer(200))
    server = ProvingServer(serve, nonces=nonces, redirects={"/a": f"{elsewhere.url}/x"})
    with server.make(mode) as auth, mode.client(auth) as client:
        assert 200 == client.get(f"{server.url}/a").status_code
    (request,) = elsewhere.requests
    assert not {"authorization", "dpop"} & request.headers.keys()


@pytest.mark.having("is_like_httpx")
def test_redirects_whose_proofs_are_refused_end(mode: Mode, serve: Serve) -> None:
    """There each place that a request is led to may refuse its proof once: the client's limit of redirects holds."""
    server: ScriptedServer = serve(lambda request: leading_on(request, server))
    auth = mode.plugin.ClientCredentialsAuth(f"{server.url}/token", "client", "secret", dpop=True)
    with auth, mode.client(auth) as client, pytest.raises(mode.library.TooManyRedirects):
        client.get(f"{server.url}/0")
    assert len(server.requests) < 100


def leading_on(request: Received, server: ScriptedServer) -> Answer:
    """Refuse the first proof at each URL, and lead on from there when the next one comes."""
    if request.path == "/token":
        return Answer(200, {"access_token": "token", "token_type": "DPoP"})
    if sum(past.path == request.path for past in server.requests) == 1:
        return Answer(401, b"", (("WWW-Authenticate", 'DPoP error="invalid_dpop_proof"'),))
    return Answer(307, b"", (("Location", f"/{int(request.path[1:]) + 1}"),))


@pytest.mark.parametrize("path", ["", "?x=1"])
def test_a_url_without_a_path_is_proved_as_it_is_sent(mode: Mode, serve: Serve, path: str) -> None:
    """It's sent with the path `/`, which some servers compare letter by letter."""
    server = ProvingServer(serve)
    with server.make(mode) as auth, mode.client(auth) as client:
        assert 200 == client.get(f"{server.url}{path}").status_code
    assert [] == server.refused


def test_what_is_spoken_over_http_is_proved_as_a_request_of_http(serve: Serve) -> None:
    """Server-sent events and WebSockets have schemes of their own, which the server never sees."""
    server = ProvingServer(serve, nonces="one")
    events = server.url.replace("http://", "psse://")
    with server.make(NIQUESTS) as auth, NIQUESTS.client(auth) as client:
        answer = client.get(f"{events}/x?y=1")
        answer.close()
        assert 200 == answer.status_code
    with server.make(AIOHTTP) as auth, AIOHTTP.client(auth) as client, pytest.raises(aiohttp.WSServerHandshakeError):
        client.run(client.inner.ws_connect, server.url.replace("http://", "ws://"))  # the server doesn't speak it
    assert ([], 4) == (server.refused, len(server.requests))
