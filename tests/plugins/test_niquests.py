"""What niquests has and requests hasn't: one object for sync and async sessions, promised answers, early hooks."""

from __future__ import annotations

import asyncio
import copy
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import niquests
import niquests.adapters
import pytest
import requests

import oauth_auth.requests
from oauth_auth import ConfigurationError, InsecureTransportError, OAuthToken, TokenError
from oauth_auth.niquests import BearerAuth, ClientCredentialsAuth
from tests.guarantees.test_replay import AsyncFile
from tests.servers.h2c import H2CServer
from tests.support.modes import NIQUESTS, NIQUESTS_ASYNCIO, Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Gate, Tokens, accepting, client_credentials, token_that_expires_in
from tests.support.waiting import await_waiting

GIVEN = OAuthToken(access_token="given")
"""A token that the APIs of these tests don't take."""

BOTH = pytest.mark.parametrize("mode", [NIQUESTS, NIQUESTS_ASYNCIO], ids=str)

BEGINNINGS = pytest.mark.parametrize("token", [None, GIVEN], ids=["cold", "rejected"])


def sent(server: Any) -> list[str | None]:
    return [request.authorization for request in server.requests]


def cold(tokens: Tokens, **options: Any) -> ClientCredentialsAuth:
    return ClientCredentialsAuth(tokens.url, "client", "secret", **options)


# -- Sync and async sessions ------------------------------------------------------------------------------------------


@BEGINNINGS
def test_a_sync_session_works_where_an_event_loop_runs(
    tokens: Tokens, api: ScriptedServer, token: OAuthToken | None
) -> None:
    """In a notebook, say: a running loop doesn't make a session async."""
    auth = cold(tokens, token=token)

    async def main() -> list[int]:
        with niquests.Session() as session:
            session.auth = auth
            sync = session.get(api.url).status_code
        async with niquests.AsyncSession(auth=auth) as session:
            return [sync or 0, (await session.get(api.url)).status_code or 0]

    assert [200, 200] == asyncio.run(main())
    assert 1 == tokens.calls


@BEGINNINGS
def test_a_waiting_request_leaves_the_event_loop_free(
    tokens: Tokens, api: ScriptedServer, gate: Gate, token: OAuthToken | None
) -> None:
    """While an async session waits for a token, first or new, its event loop goes on."""
    auth = cold(tokens, token=token)

    async def main() -> int:
        async with niquests.AsyncSession(auth=auth) as session:
            request = asyncio.create_task(session.get(api.url))
            await asyncio.to_thread(gate.await_call)
            gate.open()
            return (await request).status_code or 0

    assert 200 == asyncio.run(asyncio.wait_for(main(), 20))


def test_sessions_of_both_kinds_wait_for_one_flight(tokens: Tokens, api: ScriptedServer, gate: Gate) -> None:
    """Threads with sync sessions and tasks of several event loops share one token call."""
    auth = cold(tokens)

    def sync() -> list[int]:
        with niquests.Session(auth=auth) as session:
            return [session.get(api.url).status_code or 0]

    async def main() -> list[int]:
        async with niquests.AsyncSession(auth=auth) as session:
            answers = await asyncio.gather(*(session.get(api.url) for _ in range(20)))
            return [answer.status_code or 0 for answer in answers]

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(sync) for _ in range(4)] + [pool.submit(asyncio.run, main()) for _ in range(2)]
        await_waiting(auth, 44)
        gate.open()
        assert [200] * 44 == [status for future in futures for status in future.result(30)]
    assert 1 == tokens.calls


@BEGINNINGS
def test_functions_of_the_module_take_it(tokens: Tokens, api: ScriptedServer, token: OAuthToken | None) -> None:
    """`niquests.get` and `niquests.aget` take an auth object as sessions do."""
    auth = cold(tokens, token=token)

    async def main() -> niquests.Response:
        return await niquests.apost(api.url, data=b"body", auth=cold(tokens, token=token))

    sync, awaited = niquests.post(api.url, data=b"body", auth=auth), asyncio.run(main())

    assert [(200, b"body")] * 2 == [(answer.status_code, answer.content) for answer in (sync, awaited)]


@BOTH
def test_auth_of_the_request_wins_over_that_of_the_session(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A pair, a text or another object given with a request takes the place of the session's auth object."""
    with mode.client(client_credentials(mode, tokens)) as client:
        for auth in (("user", "password"), "other", lambda request: request, BearerAuth("mine")):
            client.get(api.url, auth=auth)

    assert ["Basic dXNlcjpwYXNzd29yZA==", "Bearer other", None, "Bearer mine"] == sent(api)
    assert 0 == tokens.calls


# -- Never without its token ------------------------------------------------------------------------------------------


@BOTH
def test_a_prepared_request_gets_its_token_when_it_is_sent(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """Of a request that was prepared while there was no token, each copy that's sent carries one."""
    with mode.client(client_credentials(mode, tokens)) as client:
        prepared = client.inner.prepare_request(niquests.Request("POST", api.url, data=b"body"))
        assert 0 == tokens.calls
        for request in (prepared.copy(), copy.copy(prepared), prepared, prepared):
            assert 200 == client.run(client.inner.send, request).status_code

    assert ["Bearer token-1"] * 4 == sent(api)
    assert 1 == tokens.calls


def test_a_request_that_no_session_sends_is_not_sent(tokens: Tokens, api: ScriptedServer) -> None:
    """Whoever hands a request to an adapter, before the session has added the token, gets an error."""
    auth = cold(tokens)
    with niquests.Session(auth=auth) as session:
        prepared = session.prepare_request(niquests.Request("GET", api.url))
        with pytest.raises(TokenError, match="session"):
            session.get_adapter(api.url).send(prepared)
        auth.get_token()
        prepared = session.prepare_request(niquests.Request("GET", api.url))
        assert 200 == session.get_adapter(api.url).send(prepared).status_code

    assert ["Bearer token-1"] == sent(api)


@BOTH
def test_a_token_fetched_late_is_not_added_after_a_redirect(
    mode: Mode, tokens: Tokens, api: ScriptedServer, serve: Callable[..., ScriptedServer]
) -> None:
    """The hook that adds a first token is called after redirects, too; another origin gets no token by it."""
    other = serve(lambda request: Answer(302, b"", (("Location", f"{api.url}/back"),)))
    api.script = lambda request: Answer(302, b"", (("Location", other.url),)) if request.path == "/" else Answer(200)
    with mode.client(client_credentials(mode, tokens)) as client:
        assert 200 == client.get(f"{api.url}/").status_code

    assert [None] == sent(other)
    assert ["Bearer token-1", None] == sent(api), "what the other origin asks for isn't what the caller asked for"


@BOTH
@BEGINNINGS
def test_hooks_of_the_callers_see_the_token(
    mode: Mode, tokens: Tokens, api: ScriptedServer, token: OAuthToken | None
) -> None:
    """Hooks of all kinds see requests with their token, and the last answer instead of the rejection."""
    seen: list[tuple[str, Any]] = []

    def on_request(request: Any) -> None:
        seen.append(("pre_request", request.headers["Authorization"]))

    def on_send(request: Any) -> None:
        seen.append(("pre_send", request.headers["Authorization"]))

    async def on_response(response: Any, **_: Any) -> None:
        seen.append(("response", response.status_code))

    def on_response_sync(response: Any, **_: Any) -> None:
        seen.append(("response", response.status_code))

    hooks: dict[str, list[Any]] = {
        "pre_request": [on_request],
        "pre_send": [on_send],
        "response": [on_response_sync if mode.backend is None else on_response],
    }
    with mode.client(client_credentials(mode, tokens, token=token), hooks=hooks) as client:
        assert 200 == client.get(api.url).status_code

    first = "Bearer token-1" if token is None else "Bearer given"
    last = [("pre_send", "Bearer token-1")] if token else []
    assert [("pre_request", first), ("pre_send", first), *last, ("response", 200)] == seen


def test_lifecycle_hooks_of_a_session_work(tokens: Tokens, api: ScriptedServer) -> None:
    """Sessions that have niquests' own rate limiters as hooks get their tokens, too."""
    with niquests.Session(hooks=niquests.TokenBucketLimiter(1000), auth=cold(tokens, token=GIVEN)) as session:
        assert 200 == session.get(api.url).status_code

    async def main() -> int:
        hooks = niquests.AsyncTokenBucketLimiter(1000)
        async with niquests.AsyncSession(hooks=hooks, auth=cold(tokens)) as session:
            return (await session.get(api.url)).status_code or 0

    assert 200 == asyncio.run(main())


@BOTH
def test_an_error_of_a_first_token_is_the_requests(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """Where no token can be had, the request raises so, nothing is sent, and no coroutine is left behind."""
    tokens.answer = lambda request: Answer(400, {"error": "invalid_scope"})
    with mode.client(client_credentials(mode, tokens)) as client, pytest.raises(TokenError, match="invalid_scope"):
        client.get(api.url)
    gc.collect()

    assert [] == api.requests


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@BOTH
def test_objects_of_requests_raise_though_they_know_the_origin(
    mode: Mode, tokens: Tokens, api: ScriptedServer, *, warm: bool
) -> None:
    """An auth object for requests that was used with its own library, at the same URL, still raises in niquests."""
    url = f"{api.url}/"  # niquests doesn't add the slash
    auth = oauth_auth.requests.ClientCredentialsAuth(tokens.url, "client", "secret")
    for _ in range(3 * warm):  # from the second request on the origin is the one used last
        assert 200 == requests.get(url, auth=auth, timeout=10).status_code
    with mode.client(auth) as client, pytest.raises(TypeError, match="can't be used with"):
        client.get(url)

    assert ["Bearer token-1"] * 3 * warm == sent(api)


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_objects_of_niquests_raise_though_they_know_the_origin(
    tokens: Tokens, api: ScriptedServer, *, warm: bool
) -> None:
    """The other way round: one for niquests raises in requests, whatever it was used with before."""
    url = f"{api.url}/"
    auth = cold(tokens)
    for _ in range(3 * warm):
        assert 200 == niquests.get(url, auth=auth).status_code
    with pytest.raises(TypeError, match="can't be used with"):
        requests.get(url, auth=auth, timeout=10)

    assert ["Bearer token-1"] * 3 * warm == sent(api)


@pytest.mark.parametrize("scheme", ["http", "ws", "psse", "ws+any", "psse+any"])
def test_no_token_in_the_clear_over_other_schemes(tokens: Tokens, scheme: str) -> None:
    """The schemes for events and WebSockets without TLS are plain http, too."""
    with pytest.raises(InsecureTransportError):
        niquests.Request("GET", f"{scheme}://api.example/", auth=cold(tokens, token=GIVEN)).prepare()


@pytest.mark.parametrize("url", ["http+unix://%2Frun%2Fa.sock/", "wss://api.example/", "sse://api.example/"])
def test_sockets_of_this_machine_and_tls_are_no_plain_http(tokens: Tokens, url: str) -> None:
    """A token may go through a socket in the file system, and through TLS."""
    prepared = niquests.Request("GET", url, auth=cold(tokens, token=GIVEN)).prepare()

    assert {"Authorization": "Bearer given"} == dict(prepared.headers or {})


# -- Bodies and streams -----------------------------------------------------------------------------------------------


def test_an_async_file_is_sent_again(tokens: Tokens, api: ScriptedServer) -> None:
    """A file that is read asynchronously is sent again from where it stood."""
    with NIQUESTS_ASYNCIO.client(client_credentials(NIQUESTS_ASYNCIO, tokens, token=GIVEN)) as client:
        file = AsyncFile(b"one two")
        client.run(file.seek, 4)
        response = client.send("POST", api.url, body=file)

    assert (200, b"two") == (response.status_code, response.content)
    assert [b"two"] * 2 == [request.body for request in api.requests]


@BEGINNINGS
def test_a_streamed_answer_of_an_async_session_is_an_async_response(
    tokens: Tokens, api: ScriptedServer, token: OAuthToken | None
) -> None:
    """With `stream=True` the caller gets an `AsyncResponse`, and a rejection before it, already read."""

    async def main() -> tuple[type, bytes | None, list[bytes | None]]:
        async with (
            niquests.AsyncSession(auth=cold(tokens, token=token)) as session,
            await session.post(api.url, data=b"body", stream=True) as response,
        ):
            return type(response), await response.content, [past.content for past in response.history]

    past = [] if token is None else [b"who are you?"]
    assert (niquests.AsyncResponse, b"body", past) == asyncio.run(main())


def test_an_adapter_of_an_older_kind_takes_the_replay(tokens: Tokens, api: ScriptedServer) -> None:
    """An adapter that knows none of niquests' own options, which a session accepts, is sent the replay as well."""

    class Adapter(niquests.adapters.HTTPAdapter):
        def send(  # type: ignore[override]
            self,
            request: Any,
            stream: Any = False,
            timeout: Any = None,
            verify: Any = True,
            cert: Any = None,
            proxies: Any = None,
        ) -> Any:
            return super().send(request, stream, timeout, verify, cert, proxies)

    with niquests.Session(auth=cold(tokens, token=GIVEN)) as session:
        session.mount(api.url, Adapter())
        assert 200 == session.post(api.url, data=b"body").status_code

    assert [("Bearer given", b"body"), ("Bearer token-1", b"body")] == [
        (request.authorization, request.body) for request in api.requests
    ]


# -- Promised answers: sessions that send several requests on one connection, without waiting -------------------------


@pytest.fixture
def serve_h2() -> Iterator[Callable[..., H2CServer]]:
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(H2CServer(script))


MULTIPLEXED = {"multiplexed": True, "disable_http1": True}


def get_promised(mode: Mode, auth: Any, urls: list[str], **options: Any) -> list[niquests.Response]:
    """Send requests without waiting for their answers, then gather these."""
    if mode.backend is None:
        with niquests.Session(**MULTIPLEXED, auth=auth) as session:  # type: ignore[arg-type]
            promised = [session.post(url, data=b"body", **options) for url in urls]
            assert all(one.lazy for one in promised)
            session.gather()
            for one in promised:
                _ = one.content  # after redirects niquests hasn't read it
            return promised

    async def main() -> list[niquests.Response]:
        async with niquests.AsyncSession(**MULTIPLEXED, auth=auth) as session:  # type: ignore[arg-type]
            promised = [await session.post(url, data=b"body", **options) for url in urls]
            assert all(one.lazy for one in promised)
            await session.gather()
            for one in promised:
                if isinstance(one, niquests.AsyncResponse):  # so, too
                    await one.content
                for past in one.history:  # on a connection that others share it isn't read by itself
                    if isinstance(past, niquests.AsyncResponse):
                        past._content, past.__class__ = await past.content, niquests.Response  # type: ignore[assignment]
            return promised

    return asyncio.run(main())


@BOTH
@BEGINNINGS
def test_promised_answers_are_those_of_the_replay(
    mode: Mode, tokens: Tokens, serve_h2: Callable[..., H2CServer], token: OAuthToken | None
) -> None:
    """The caller holds a promise when the rejection arrives: it's kept by the replay's answer, on HTTP/2, too."""
    api = serve_h2(accepting(tokens))
    promised = get_promised(mode, client_credentials(mode, tokens, token=token), [f"{api.url}/{n}" for n in range(5)])

    assert [(200, b"body")] * 5 == [(answer.status_code, answer.content) for answer in promised]
    assert [f"{api.url}/{n}" for n in range(5)] == [answer.url for answer in promised]
    past = [] if token is None else [(401, b"who are you?")]
    assert [past] * 5 == [[(one.status_code, one.content) for one in answer.history] for answer in promised]
    assert 1 == tokens.calls
    assert {"Bearer token-1"} | ({"Bearer given"} if token else set()) == set(sent(api))
    assert all(request.body == b"body" for request in api.requests)


@BOTH
def test_promised_answers_after_redirects_are_the_callers(
    mode: Mode, tokens: Tokens, serve_h2: Callable[..., H2CServer]
) -> None:
    """After a redirect niquests shows hooks the redirect in place of the last answer, whose 401 is the caller's."""
    answer = accepting(tokens)

    def script(request: Received) -> Answer:
        return Answer(307, b"", (("Location", "/there"),)) if request.path == "/here" else answer(request)

    api = serve_h2(script)
    (promised,) = get_promised(mode, client_credentials(mode, tokens, token=GIVEN), [f"{api.url}/here"])

    assert (401, f"{api.url}/there") == (promised.status_code, promised.url)
    assert ["Bearer given"] * 2 == sent(api)


@BOTH
def test_promised_answers_of_foreign_origins_renew_nothing(
    mode: Mode, tokens: Tokens, serve_h2: Callable[..., H2CServer]
) -> None:
    """A redirect to another origin takes no token along, and its 401 renews none."""
    other = serve_h2(lambda request: Answer(401, b"no"))
    api = serve_h2(lambda request: Answer(307, b"", (("Location", f"{other.url}/"),)))
    (promised,) = get_promised(mode, client_credentials(mode, tokens, token=GIVEN), [api.url])

    assert 401 == promised.status_code
    assert (["Bearer given"], [None], 0) == (sent(api), sent(other), tokens.calls)


@BOTH
def test_a_promise_whose_renewal_fails_raises_when_it_is_kept(
    mode: Mode, tokens: Tokens, serve_h2: Callable[..., H2CServer]
) -> None:
    """The error of a renewal comes out where answers are gathered."""
    tokens.answer = lambda request: Answer(400, {"error": "invalid_scope"})
    api = serve_h2(accepting(tokens))
    with pytest.raises(TokenError, match="401"):
        get_promised(mode, client_credentials(mode, tokens, token=GIVEN), [api.url])


def test_a_multiplexed_session_takes_token_calls(tokens: Tokens, serve_h2: Callable[..., H2CServer]) -> None:
    """A `token_client` may be one that only promises its answers."""
    server = serve_h2(lambda request: Answer(200, b'{"access_token": "promised", "expires_in": 60}'))
    with niquests.Session(**MULTIPLEXED) as token_client:  # type: ignore[arg-type]
        auth = ClientCredentialsAuth(server.url, "client", "secret", token_client=token_client)
        assert "promised" == auth.get_token().access_token
    assert b"grant_type=client_credentials" == server.requests[0].body


def test_an_async_session_takes_no_token_calls(tokens: Tokens) -> None:
    """Token calls are made in a thread: the `token_client` must be a sync session."""
    with pytest.raises(ConfigurationError, match=r"niquests\.Session"):
        ClientCredentialsAuth(tokens.url, "client", "secret", token_client=niquests.AsyncSession())


@pytest.mark.parametrize("goes_through_proxy", [False, True], ids=["direct", "through a proxy"])
def test_a_token_call_starts_no_thread_of_niquests(
    goes_through_proxy: bool,
    serve: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    read_environment: None,
) -> None:
    """A token call has the library's own threads alone: at exit, from Python 3.12 on, no other could start."""
    names: list[str] = []

    def answer(_: Received) -> Answer:
        names.extend(thread.name for thread in threading.enumerate() if thread not in earlier)
        return Answer(200, {"access_token": "token"})

    server = serve(answer)
    earlier = set(threading.enumerate())
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if goes_through_proxy:
        monkeypatch.setenv("http_proxy", server.url)
    url = "http://auth.invalid/token" if goes_through_proxy else server.url
    ClientCredentialsAuth(url, "client", "secret", allow_insecure_transport=True).get_token()
    of_server = [name for name in names if "process_request_thread" in name]
    of_earlier_tests = {"oauth_auth-saver"}  # whose stores fail
    assert {"oauth_auth-flight", "oauth_auth-attempt"} == set(names) - set(of_server) - of_earlier_tests


# -- The hot path -----------------------------------------------------------------------------------------------------


def test_a_valid_token_is_added_at_once(tokens: Tokens) -> None:
    """With a valid token a request is complete when it's prepared: nothing is left to do when it's sent."""
    auth = cold(tokens, token=token_that_expires_in(3600))
    prepared = niquests.Request("GET", "https://api.example/", auth=auth).prepare()

    assert prepared.headers is not None
    assert "Bearer given" == prepared.headers["Authorization"]
    assert [] == prepared.hooks["pre_request"]
