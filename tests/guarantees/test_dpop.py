"""Requests with tokens that are bound to a key (RFC 9449), at an API that takes no proof twice (`SecureProvider`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import DPoPKey, TokenResponseError
from tests.servers.real_servers import received, shown
from tests.servers.secure_provider import ApiRequest, SecureProvider
from tests.support.jwts import claims_of
from tests.support.modes import Client, Mode
from tests.support.scripted import Answer, ScriptedServer
from tests.support.tokens import Tokens, client_credentials

BODY = b"the same bytes" * 10_000
GOT = received(BODY)


@contextmanager
def client_of(mode: Mode, secure: SecureProvider, **options: Any) -> Iterator[Client]:
    """Open a client that has a token which is bound to a key."""
    with secure.make(mode, **{"dpop": True, **options}) as auth, mode.client(auth) as client:
        mode.get_token(auth)
        yield client


def errors(requests: list[ApiRequest]) -> list[str | None]:
    return [request.error for request in requests]


def identifiers(requests: list[ApiRequest]) -> set[str]:
    return {request.proof["claims"]["jti"] for request in requests if request.proof is not None}


# -- Proofs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "EdDSA", "RS256"])
def test_every_request_has_a_proof_of_its_own(mode: Mode, secure: SecureProvider, alg: str) -> None:
    """It names method and URL as they're sent, without query and fragment, and the token; and shows the public key."""
    key = DPoPKey.generate(alg)
    with client_of(mode, secure, dpop=key) as client:
        for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
            answer = client.send(
                method, f"{secure.api_url}/a%20b/%C3%A4?page=1#top", body=b"x" if method != "GET" else None
            )
            assert 200 == answer.status_code
        assert 200 == client.get(f"{secure.api_url}/ä").status_code
    requests = secure.api_requests()
    assert 6 * [None] == errors(requests)
    assert 6 == len(identifiers(requests))
    proof: Any = requests[0].proof
    assert {"typ": "dpop+jwt", "alg": alg, "jwk": key.public_jwk} == proof["header"]
    assert {"jti", "htm", "htu", "iat", "ath"} == proof["claims"].keys()
    assert f"{secure.api_url}/a%20b/%C3%A4" == proof["claims"]["htu"]
    assert not {"d", "p", "q", "k"} & proof["header"]["jwk"].keys()


@pytest.mark.parametrize("nonces", [False, True])
def test_a_redirect_within_the_origin_has_its_own(mode: Mode, secure: SecureProvider, nonces: bool) -> None:
    """The token goes along with a proof for the next URL, and the body does: whatever the API thinks of the copy."""
    with client_of(mode, secure) as client:
        if nonces:
            secure.turn_nonce()
        answer = client.send("POST", f"{secure.api_url}/here?redirect=/api/there", body=BODY)
        assert GOT == shown(answer)
    accepted = [request for request in secure.api_requests() if request.error is None]
    assert ["/api/here", "/api/there"] == [request.path for request in accepted]
    assert 1 == len(secure.calls("token"))


def test_a_redirect_to_another_origin_has_none(mode: Mode, secure: SecureProvider) -> None:
    """The token doesn't go there; and nor does a proof, except by httpx, where one without its token opens nothing."""
    with client_of(mode, secure) as client:
        assert 401 == client.get(f"{secure.api_url}?redirect={secure.other_api_url}").status_code
    (foreign,) = secure.api_requests("other_api")
    assert ("", "") == (foreign.scheme, foreign.token)
    assert mode.is_like_httpx or foreign.proof is None
    assert 1 == len(secure.calls("token"))


def test_copies_of_a_proof_open_nothing(plugin_mode: Mode, secure: SecureProvider) -> None:
    """A request that's sent again by its maker has a proof of its own, as any other."""
    with client_of(plugin_mode, secure) as client:
        for _ in range(3):
            assert 200 == client.get(secure.api_url).status_code
    assert 3 == len(identifiers(secure.api_requests()))


# -- Nonces ---------------------------------------------------------------------------------------------------------


def test_a_nonce_is_answered_with_a_proof(mode: Mode, secure: SecureProvider) -> None:
    """The same token and the same bytes again, and no token call; the next request knows the nonce."""
    with client_of(mode, secure) as client:
        for _ in range(2):
            secure.turn_nonce()
            assert GOT == shown(client.send("POST", secure.api_url, body=BODY))
            assert GOT == shown(client.send("POST", secure.api_url, body=BODY))
    requests = secure.api_requests()
    assert 2 * ["use_dpop_nonce", None, None] == errors(requests)
    assert 6 * [GOT] == [{"length": request.length, "sha256": request.sha256} for request in requests]
    assert 1 == len({request.token for request in requests})
    assert 6 == len(identifiers(requests))
    assert 1 == len(secure.calls("token"))


def test_each_origin_has_nonces_of_its_own(mode: Mode, secure: SecureProvider) -> None:
    """Two APIs in turns, and the authorization server, cost one challenge each, and not one for each request."""
    secure.use_nonces("required")
    secure.turn_nonce()
    secure.turn_nonce("other_api")
    with secure.make(mode, dpop=True) as auth, mode.client(auth) as client:
        for _ in range(4):
            assert [200, 200] == [client.get(url).status_code for url in (secure.api_url, secure.other_api_url)]
        mode.refresh(auth)
    for at in ("api", "other_api"):
        assert ["use_dpop_nonce", None, None, None, None] == errors(secure.api_requests(at))
    calls = secure.calls("token")
    assert [True, False, False] == [call.nonce is None for call in calls]
    nonces = [{request.nonce for request in secure.api_requests(at)} - {None} for at in ("api", "other_api")]
    assert [1, 1] == [len(known) for known in nonces]
    assert 3 == len({*nonces[0], *nonces[1], calls[-1].nonce})


def test_a_nonce_may_come_with_a_success(mode: Mode, secure: SecureProvider) -> None:
    """The next request has it, before the API wants it."""
    with client_of(mode, secure) as client:
        secure.turn_nonce()
        assert 200 == client.get(secure.api_url).status_code
        secure.turn_nonce(keeps_others=True)
        for _ in range(3):
            assert 200 == client.get(secure.api_url).status_code
    requests = secure.api_requests()
    assert ["use_dpop_nonce", None, None, None, None] == errors(requests)
    _, first, second, third, fourth = [request.nonce for request in requests]
    assert first == second != third == fourth


def with_nonce(status: int, nonce: str, error: str | None = None) -> Answer:
    headers = [("DPoP-Nonce", nonce)]
    if error is not None:
        headers.append(("WWW-Authenticate", f'DPoP error="{error}"'))
    return Answer(status, b"", tuple(headers))


NEEDED, INVALID = "use_dpop_nonce", "invalid_token"
ANSWERS = {
    "success": [with_nonce(204, "a"), with_nonce(200, "b"), with_nonce(204, "c")],
    "trouble": [with_nonce(503, "a"), with_nonce(429, "b"), with_nonce(403, "c")],
    "challenged": [with_nonce(401, "a", NEEDED), with_nonce(200, "b"), with_nonce(200, "c")],
    "rejected": [with_nonce(401, "a", INVALID), with_nonce(200, "b"), with_nonce(200, "c")],
}


@pytest.mark.parametrize("answers", ANSWERS.values(), ids=ANSWERS)
def test_a_nonce_may_come_with_any_answer(
    mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer], answers: list[Answer]
) -> None:
    """Whatever it says, and to whichever request: the next one has it, also where that's sent again."""
    left = [*answers, Answer(200)]
    api = serve(lambda _: left.pop(0))
    tokens.fields["token_type"] = "DPoP"
    with client_credentials(mode, tokens, dpop=True) as auth, mode.client(auth) as client:
        while left:
            client.get(api.url)
    assert [None, "a", "b", "c"] == [claims_of(request.headers["dpop"]).get("nonce") for request in api.requests]


@pytest.mark.parametrize("order", ["proof", "token"])
def test_challenges_do_not_use_up_the_replay(mode: Mode, secure: SecureProvider, order: str) -> None:
    """A request that meets a new nonce and has a token that was revoked goes through, whichever is looked at first."""
    secure.look_first_at(order)
    with client_of(mode, secure) as client:
        secure.turn_nonce()
        assert 200 == client.get(secure.api_url).status_code
        secure.revoke_access_tokens()
        secure.turn_nonce()
        assert GOT == shown(client.send("POST", secure.api_url, body=BODY))
    expected = {"proof": ["use_dpop_nonce", "invalid_token", None], "token": ["invalid_token", None]}[order]
    requests = secure.api_requests()[2:]
    assert expected == errors(requests)
    assert {tuple(GOT.values())} == {(request.length, request.sha256) for request in requests}
    assert 2 == len({request.token for request in requests})
    assert 2 == len(secure.calls("token"))


REDIRECT = Answer(307, b"", (("Location", "/there"),))
CHAINS = {
    "nonce, redirect, nonce": [with_nonce(401, "a", NEEDED), REDIRECT, with_nonce(401, "b", NEEDED)],
    "nonce, redirect, rejected": [with_nonce(401, "a", NEEDED), REDIRECT, with_nonce(401, "b", INVALID)],
    "rejected, redirect, nonce": [with_nonce(401, "a", INVALID), REDIRECT, with_nonce(401, "b", NEEDED)],
    "redirect, nonce, rejected": [REDIRECT, with_nonce(401, "a", NEEDED), with_nonce(401, "b", INVALID)],
}


@pytest.mark.parametrize("answers", CHAINS.values(), ids=CHAINS)
def test_challenges_are_answered_wherever_a_request_is_led(
    mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer], answers: list[Answer]
) -> None:
    """Before a redirect and behind it, before the replay and after it."""
    left = [*answers, Answer(200)]
    api = serve(lambda _: left.pop(0))
    tokens.fields["token_type"] = "DPoP"
    with client_credentials(mode, tokens, dpop=True) as auth, mode.client(auth) as client:
        assert 200 == client.send("POST", api.url, body=BODY).status_code
    last = claims_of(api.requests[-1].headers["dpop"])
    assert (f"{api.url}/there", "b") == (last["htu"], last["nonce"])
    assert 4 * [BODY] == [request.body for request in api.requests]
    # httpx copies the proof behind a redirect; a server refuses it, which is answered as well.
    assert mode.is_like_httpx or 4 == len({claims_of(request.headers["dpop"])["jti"] for request in api.requests})


def test_callers_that_meet_a_nonce_together_all_go_through(mode: Mode, secure: SecureProvider) -> None:
    """It's told by what each one's own proof had, and not by whether the nonce is news."""
    with client_of(mode, secure) as client:
        for _ in range(3):
            secure.turn_nonce()
            answers = client.get_many(secure.api_url, 16)
            assert 16 * [200] == [getattr(answer, "status_code", answer) for answer in answers]
    assert 1 == len(secure.calls("token"))
    requests = secure.api_requests()
    assert len(requests) == len(identifiers(requests)) <= 3 * 32


@pytest.mark.parametrize("error", ["use_dpop_nonce", "invalid_dpop_proof"])
def test_challenges_that_never_end(mode: Mode, secure: SecureProvider, error: str) -> None:
    """After two nonces, or one bad proof, the answer is the caller's; nobody asks for a token; then all is well."""
    with client_of(mode, secure) as client:
        secure.refuse("api", 401, error, count=100)
        answer = client.send("POST", secure.api_url, body=BODY)
        assert (401, error) == (answer.status_code, answer.json()["error"])
        assert {"use_dpop_nonce": 3, "invalid_dpop_proof": 2}[error] == len(secure.api_requests())
        secure.refuse("api", 401, error, count=0)
        assert 200 == client.get(secure.api_url).status_code
    assert 1 == len(secure.calls("token"))


def test_a_challenge_without_a_nonce_is_the_callers(mode: Mode, secure: SecureProvider) -> None:
    """There's nothing to answer it with."""
    with client_of(mode, secure) as client:
        secure.refuse("api", 401, "use_dpop_nonce", has_nonce=False)
        assert 401 == client.get(secure.api_url).status_code
        assert 200 == client.get(secure.api_url).status_code
    assert ["use_dpop_nonce", None] == errors(secure.api_requests())
    assert 1 == len(secure.calls("token"))


def test_a_body_that_can_not_be_sent_again(mode: Mode, secure: SecureProvider) -> None:
    """The challenge is the caller's, and the next request knows the nonce: it never sends nothing in place of it."""

    def pieces() -> Iterator[bytes]:
        yield from (b"one", b"two")

    async def pieces_async() -> Any:
        for piece in pieces():
            yield piece

    with client_of(mode, secure) as client:
        secure.turn_nonce()
        for status in (401, 200):
            body = pieces_async() if mode.backend is not None else pieces()
            assert status == client.send("POST", secure.api_url, body=body).status_code
    assert [6, 6] == [request.length for request in secure.api_requests()]
    assert 1 == len(secure.calls("token"))


def test_a_file_is_sent_again(plugin_mode: Mode, secure: SecureProvider, tmp_path: Path) -> None:
    """From its start."""
    path = tmp_path / "body"
    path.write_bytes(BODY)
    with client_of(plugin_mode, secure) as client, path.open("rb") as file:
        secure.turn_nonce()
        assert GOT == shown(client.send("POST", secure.api_url, body=file))
    assert ["use_dpop_nonce", None] == errors(secure.api_requests())


# -- Proofs that are refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [-600, 600])
def test_the_clock_of_the_api_counts(mode: Mode, secure: SecureProvider, ahead: int) -> None:
    """A proof that it refuses is made anew by the time of its answer; the next one is made so at once."""
    with client_of(mode, secure) as client:
        secure.set_clock_ahead(ahead)
        assert GOT == shown(client.send("POST", secure.api_url, body=BODY))
        assert 200 == client.get(secure.api_url).status_code
        # The other one, which has the same clock, is another origin.
        assert 200 == client.get(secure.other_api_url).status_code
    assert ["invalid_dpop_proof", None, None] == errors(secure.api_requests())
    assert ["invalid_dpop_proof", None] == errors(secure.api_requests("other_api"))
    assert 1 == len(secure.calls("token"))


def test_the_clock_of_the_authorization_server_counts(plugin_mode: Mode, secure: SecureProvider) -> None:
    """Where it has no nonces it looks at the time; it's asked once more, by its own, and from then on by that."""
    secure.use_nonces("none")
    secure.set_clock_ahead(-600)
    with client_of(plugin_mode, secure, client="post") as client:
        assert 200 == client.get(secure.api_url).status_code
    assert 2 == len(secure.calls("token"))


@pytest.mark.having("is_like_requests")
def test_what_retries_below_the_auth(mode: Mode, secure: SecureProvider) -> None:
    """An adapter sends the same proof twice, which is refused as a replay: it's answered with a fresh one."""
    retry_class: Any = mode.library.adapters.Retry
    retry = retry_class(total=3, status_forcelist=[503], backoff_factor=0, allowed_methods=None)
    with secure.make(mode, dpop=True) as auth, mode.client(auth) as client:
        mode.get_token(auth)
        adapter = mode.library.adapters.AsyncHTTPAdapter if mode.backend else mode.library.adapters.HTTPAdapter
        client.inner.mount("http://", adapter(max_retries=retry))
        secure.refuse("api", 503)
        assert GOT == shown(client.send("POST", secure.api_url, body=BODY))
    assert ["503", "invalid_dpop_proof", None] == errors(secure.api_requests())
    assert 1 == len(secure.calls("token"))


# -- No downgrade ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "MAC"])
def test_a_token_that_is_not_bound_is_refused(plugin_mode: Mode, tokens: Tokens, token_type: str) -> None:
    """It's not kept, and not sent: who asks for a bound token gets no other."""
    tokens.fields["token_type"] = token_type
    auth = client_credentials(plugin_mode, tokens, dpop=True)
    with auth, plugin_mode.client(auth) as client, pytest.raises(TokenResponseError, match="DPoP"):
        client.get(f"{tokens.server.url}/api")
    assert auth.token is None
    assert ["/token"] == [request.path for request in tokens.server.requests]


@pytest.mark.parametrize("token_type", ["DPoP", "dpop", "DPOP"])
def test_the_scheme_is_dpop(
    plugin_mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer], token_type: str
) -> None:
    """However the server writes it."""
    api = serve(lambda request: Answer(200))
    tokens.fields["token_type"] = token_type
    with client_credentials(plugin_mode, tokens, dpop=True) as auth, plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
    assert ["DPoP token-1"] == [request.authorization for request in api.requests]
    assert "dpop" in api.requests[0].headers


# -- Threads, tasks, loops ------------------------------------------------------------------------------------------


def test_a_cold_start_costs_two_token_calls(mode: Mode, secure: SecureProvider) -> None:
    """For any number of callers: one that learns the nonce, and one that brings the token for all."""
    secure.use_nonces("required")
    secure.turn_nonce()
    with secure.make(mode, dpop=True) as auth, mode.client(auth) as client:
        answers = client.get_many(secure.api_url, 16)
        assert 16 * [200] == [getattr(answer, "status_code", answer) for answer in answers]
    assert 2 == len(secure.calls("token"))
    assert 1 == len({request.token for request in secure.api_requests()})


def test_threads_share_one_object(plugin_mode: Mode, secure: SecureProvider) -> None:
    """Clients of several threads, each its own, with one auth object: all go through nonces and a revocation."""
    start = threading.Barrier(8)
    with secure.make(plugin_mode, dpop=True) as auth:
        auth.get_token()

        def use(number: int) -> list[int]:
            with plugin_mode.client(auth) as client:
                start.wait(30)
                if number == 0:
                    secure.turn_nonce()
                    secure.revoke_access_tokens()
                return [client.get(secure.api_url).status_code for _ in range(5)]

        with ThreadPoolExecutor(8) as pool:
            assert 8 * [5 * [200]] == list(pool.map(use, range(8)))
    assert 2 == len(secure.calls("token"))
