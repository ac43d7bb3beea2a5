"""However many callers want a token at once, one token call is made, and all share its token or its error."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import anyio
import pytest
import trio

from oauth_auth import OAuthProviderException, OAuthToken, TokenError
from tests.support import modes
from tests.support.clock import Clock
from tests.support.modes import Mode
from tests.support.scripted import Answer, ScriptedServer
from tests.support.tokens import Gate, Tokens, client_credentials, token_that_expires_in
from tests.support.waiting import await_waiting, outcome_of, promptly

pytestmark = pytest.mark.shared_core
ALSO_SHARING = True

BACKENDS = ("asyncio", "trio")

DROPPED = Answer(0)
DOWN = Answer(503)
REFUSED = Answer(401, {"error": "invalid_client"})
NO_TOKEN = Answer(200, b"<html>", (("Content-Type", "text/html"),))


def run_tasks(backend: str, count: int, function: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Run so many tasks on an event loop of their own; return what they return or raise."""
    outcomes = []

    async def one() -> None:
        try:
            outcomes.append(await function())
        except Exception as error:
            outcomes.append(error)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(one)

    anyio.run(main, backend=backend)
    return outcomes


def outcome(future: Future[Any]) -> Any:
    return future.exception(30) or future.result()


# -- Success is shared --------------------------------------------------------------------------------------------


@pytest.mark.each_mode
def test_requests_at_once_share_one_call(mode: Mode, tokens: Tokens, gate: Gate, api: ScriptedServer) -> None:
    """Many requests on a cold auth object make one token call, and all of them are sent with its token."""
    auth = client_credentials(mode, tokens)
    with mode.client(auth) as client:
        futures = [client.begin("GET", api.url) for _ in range(40)]
        await_waiting(auth, 40)
        gate.open()
        responses = [future.result(30) for future in futures]
    assert [200] * 40 == [response.status_code for response in responses]
    assert ["Bearer token-1"] * 40 == [request.authorization for request in api.requests]
    assert 1 == tokens.calls


def test_64_threads_share_one_call(plugin_mode: Mode, tokens: Tokens, pool: ThreadPoolExecutor) -> None:
    """64 threads that start at the same moment, with nothing to hold them up, make one call."""
    for round_ in range(1, 11):
        auth = client_credentials(plugin_mode, tokens)
        barrier = threading.Barrier(64)

        def get(auth: Any = auth, barrier: threading.Barrier = barrier) -> str:
            barrier.wait(20)
            return str(auth.get_token().access_token)

        got = [future.result(30) for future in [pool.submit(get) for _ in range(64)]]
        assert {f"token-{round_}"} == set(got)
        assert round_ == tokens.calls


def test_threads_and_event_loops_share_one_call(
    dual_mode: Mode, tokens: Tokens, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    """500 tasks on two asyncio loops, tasks of trio and 64 threads, all on one object: one call."""
    auth = client_credentials(dual_mode, tokens)
    threads = [pool.submit(auth.get_token) for _ in range(64)]
    loops = [pool.submit(run_tasks, backend, 250, auth.aget_token) for backend in ("asyncio", "asyncio", "trio")]
    await_waiting(auth, 64 + 750)
    gate.open()
    got = [future.result(30) for future in threads]
    for loop in loops:
        got += loop.result(30)
    assert ["token-1"] * (64 + 750) == [token.access_token for token in got]
    assert 1 == tokens.calls


def test_loops_share_one_call_without_being_held_up(dual_mode: Mode, tokens: Tokens, pool: ThreadPoolExecutor) -> None:
    """Loops that begin at the same moment as threads do make one call with them."""
    for round_ in range(1, 6):
        auth = client_credentials(dual_mode, tokens)
        barrier = threading.Barrier(10)

        def begin(work: Callable[[], Any], barrier: threading.Barrier = barrier) -> Any:
            barrier.wait(20)
            return work()

        works: list[Callable[[], Any]] = [partial(run_tasks, name, 20, auth.aget_token) for name in BACKENDS]
        works += [partial(lambda get: [get()], auth.get_token)] * 8
        futures = [pool.submit(begin, work) for work in works]
        got = [token for future in futures for token in future.result(30)]
        assert [f"token-{round_}"] * 48 == [token.access_token for token in got]
        assert round_ == tokens.calls


@pytest.mark.parametrize("first", ["get_token", "refresh", "aget_token", "arefresh"])
def test_all_ways_to_a_token_share_a_flight(
    dual_mode: Mode, tokens: Tokens, gate: Gate, pool: ThreadPoolExecutor, first: str
) -> None:
    """Whichever of `get_token`, `refresh`, `aget_token` and `arefresh` began a call, the others share it."""
    auth = client_credentials(dual_mode, tokens)

    def call(name: str, backend: str = "asyncio") -> OAuthToken:
        method = getattr(auth, name)
        token: OAuthToken = anyio.run(method, backend=backend) if name.startswith("a") else method()
        return token

    futures = [pool.submit(call, first)]
    gate.await_call()
    futures += [pool.submit(call, name) for name in ("get_token", "refresh")]
    futures += [pool.submit(call, name, backend) for name in ("aget_token", "arefresh") for backend in BACKENDS]
    await_waiting(auth, 7)
    gate.open()
    assert ["token-1"] * 7 == [future.result(30).access_token for future in futures]
    assert 1 == tokens.calls


def test_refresh_shares_a_background_renewal(
    mode: Mode, tokens: Tokens, gate: Gate, pool: ThreadPoolExecutor, serve: Callable[..., ScriptedServer]
) -> None:
    """`refresh()` while a renewal is under way in the background waits for that one and makes none of its own."""
    open_api = serve(lambda request: Answer(200))
    auth = client_credentials(mode, tokens, token=token_that_expires_in(100))
    with mode.client(auth) as client:
        client.get(open_api.url)
    gate.await_call()
    refreshed = pool.submit(mode.refresh, auth)
    await_waiting(auth, 1)
    gate.open()
    assert "token-1" == refreshed.result(30).access_token
    assert 1 == tokens.calls


# -- Failure is shared --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "calls"),
    [(DOWN, 3), (DROPPED, 3), (REFUSED, 1), (NO_TOKEN, 1)],
    ids=["down", "dropped", "refused", "no-token"],
)
def test_a_failure_is_shared(
    mode: Mode, tokens: Tokens, gate: Gate, api: ScriptedServer, clock: Clock, answer: Answer, calls: int
) -> None:
    """A failing token endpoint is called once, with its retries; each caller gets an exception of its own."""
    auth = client_credentials(mode, tokens)
    with mode.client(auth) as client:
        futures = [client.begin("GET", api.url) for _ in range(20)]
        await_waiting(auth, 20)
        gate.open(answer)
        errors = [outcome(future) for future in futures]
    assert calls == tokens.calls
    assert [] == api.requests
    assert all(isinstance(error, TokenError) for error in errors), errors
    assert 1 == len({(type(error), str(error)) for error in errors})
    assert 20 == len({id(error) for error in errors})
    assert 20 == len({id(error.__traceback__) for error in errors})


def test_threads_and_event_loops_share_a_failure(
    dual_mode: Mode, tokens: Tokens, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    """Threads, asyncio and trio get the same failure, each caller as an object of its own."""
    auth = client_credentials(dual_mode, tokens)
    threads = [pool.submit(auth.get_token) for _ in range(64)]
    loops = [pool.submit(run_tasks, backend, 100, auth.aget_token) for backend in BACKENDS]
    await_waiting(auth, 264)
    gate.open(REFUSED)
    errors = [outcome(future) for future in threads]
    for loop in loops:
        errors += loop.result(30)
    assert 1 == tokens.calls
    assert {TokenError} == {base for error in errors for base in type(error).__mro__ if base is TokenError}
    assert 264 == len({id(error) for error in errors})


def test_an_exception_of_one_caller_is_no_business_of_others(
    mode: Mode, tokens: Tokens, gate: Gate, api: ScriptedServer
) -> None:
    """A note that a caller adds to its exception, or a cause that it sets, shows in nobody else's."""
    auth = client_credentials(mode, tokens)
    with mode.client(auth) as client:
        futures = [client.begin("GET", api.url) for _ in range(2)]
        await_waiting(auth, 2)
        gate.open(REFUSED)
        one, other = (outcome(future) for future in futures)
    one.add_note("mine")
    one.hint = "mine"
    one.__cause__ = ValueError()
    late = outcome_of(mode.get_token, auth)
    assert 1 == tokens.calls
    for error in (other, late):
        assert not hasattr(error, "__notes__")
        assert not hasattr(error, "hint")
        assert error.__cause__ is None


# -- A token for those who waited, and for no other -----------------------------------------------------------------


def test_a_token_without_lifetime_serves_all_that_waited(
    mode: Mode, tokens: Tokens, gate: Gate, api: ScriptedServer, clock: Clock
) -> None:
    """`expires_in: 0` serves all requests that waited for the token, and no other, not in the same moment."""
    tokens.fields["expires_in"] = 0
    auth = client_credentials(mode, tokens)
    with mode.client(auth) as client:
        futures = [client.begin("GET", api.url) for _ in range(20)]
        await_waiting(auth, 20)
        gate.open()
        assert [200] * 20 == [future.result(30).status_code for future in futures]
        assert ["Bearer token-1"] * 20 == [request.authorization for request in api.requests]
        assert 1 == tokens.calls
        for number in (2, 3):
            assert 200 == client.get(api.url).status_code
            assert f"Bearer token-{number}" == api.requests[-1].authorization
            assert number == tokens.calls


# -- Callers that go away -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cancelled", [{0}, {4}, {1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3, 4}], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cancelled_caller_takes_nothing_along(
    dual_mode: Mode, tokens: Tokens, gate: Gate, backend: str, cancelled: set[int]
) -> None:
    """Whoever of those that wait is cancelled, the flight goes on, and its token is there for the others and later."""
    updates: list[str] = []
    auth = client_credentials(dual_mode, tokens, on_token_update=lambda token: updates.append(token.access_token))
    got: dict[int, str] = {}

    async def wait(number: int, scope: anyio.CancelScope) -> None:
        with scope:
            got[number] = (await auth.aget_token()).access_token

    async def main() -> None:
        async with anyio.create_task_group() as group:
            scopes = [anyio.CancelScope() for _ in range(5)]
            for number, scope in enumerate(scopes):
                group.start_soon(wait, number, scope)
            await anyio.to_thread.run_sync(await_waiting, auth, 5)
            for number in cancelled:
                scopes[number].cancel()
            await anyio.lowlevel.checkpoint()
            gate.open()

    anyio.run(main, backend=backend)
    assert dict.fromkeys(set(range(5)) - cancelled, "token-1") == got
    assert "token-1" == auth.get_token().access_token
    assert ["token-1"] == updates
    assert 1 == tokens.calls


async def _cancel(auth: Any) -> None:
    task = asyncio.create_task(auth.aget_token())
    await asyncio.to_thread(await_waiting, auth, 1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _wait_for(auth: Any) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(auth.aget_token(), 0.05)


async def _timeout(auth: Any) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await auth.arefresh()


async def _move_on(auth: Any) -> None:
    with trio.move_on_after(0.05) as scope:
        await auth.aget_token()
    assert scope.cancelled_caught


async def _fail_after(auth: Any) -> None:
    with pytest.raises(trio.TooSlowError), trio.fail_after(0.05):
        await auth.arefresh()


@pytest.mark.parametrize(
    ("backend", "give_up"),
    [("asyncio", _cancel), ("asyncio", _wait_for), ("asyncio", _timeout), ("trio", _move_on), ("trio", _fail_after)],
)
def test_a_caller_may_give_up(
    dual_mode: Mode, tokens: Tokens, gate: Gate, backend: str, give_up: Callable[[Any], Awaitable[None]]
) -> None:
    """A caller's own time-out ends its waiting at once; the token call isn't lost, nor made again."""
    auth = client_credentials(dual_mode, tokens)
    anyio.run(give_up, auth, backend=backend)
    gate.await_call()
    gate.open()
    assert "token-1" == auth.get_token().access_token
    assert 1 == tokens.calls


@pytest.mark.parametrize("async_mode", modes.ASYNC, ids=str)
def test_a_cancelled_request_takes_nothing_along(
    async_mode: Mode, tokens: Tokens, gate: Gate, api: ScriptedServer
) -> None:
    """A request that's cancelled while it waits for a token leaves client and auth object fit for the others."""
    auth = client_credentials(async_mode, tokens)
    with async_mode.client(auth) as client:
        cancelled, other = client.begin("GET", api.url), client.begin("GET", api.url)
        await_waiting(auth, 2)
        cancelled.cancel()
        gate.open()
        assert 200 == other.result(30).status_code
        assert 200 == client.get(api.url).status_code
    assert 1 == tokens.calls


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_closed_event_loop_disturbs_nobody(
    dual_mode: Mode,
    tokens: Tokens,
    gate: Gate,
    pool: ThreadPoolExecutor,
    caplog: pytest.LogCaptureFixture,
    backend: str,
) -> None:
    """An event loop that ends while its tasks wait for a flight leaves flight, other loops and threads alone."""
    auth = client_credentials(dual_mode, tokens)

    async def leave() -> None:
        with anyio.move_on_after(0.05):
            await auth.aget_token()

    anyio.run(leave, backend=backend)
    others = [pool.submit(auth.get_token), pool.submit(anyio.run, auth.aget_token)]
    await_waiting(auth, 2)
    gate.open()
    assert ["token-1"] * 2 == [future.result(30).access_token for future in others]
    assert 1 == tokens.calls
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]


def test_a_loop_closed_under_its_tasks_disturbs_nobody(
    dual_mode: Mode, tokens: Tokens, gate: Gate, pool: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """Even a loop that's closed without cancelling its tasks first disturbs nobody else."""
    auth = client_credentials(dual_mode, tokens)
    loop = asyncio.new_event_loop()
    task = loop.create_task(auth.aget_token())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    other = pool.submit(auth.get_token)
    await_waiting(auth, 2)
    gate.open()
    assert "token-1" == other.result(30).access_token
    assert [] == [record for record in caplog.records if record.levelno > logging.INFO]
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # the test means to leave it so


# -- Context and callbacks ------------------------------------------------------------------------------------------

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")


def test_callbacks_run_in_a_copy_of_the_callers_context(mode: Mode, tokens: Tokens) -> None:
    """What a callback reads from context variables is the caller's; what it sets there stays its own."""
    seen = []

    def on_token_update(token: OAuthToken) -> None:
        seen.append(tenant.get(None))
        tenant.set("callback's")

    auth = client_credentials(mode, tokens, on_token_update=on_token_update)

    def call() -> str:
        tenant.set("caller's")
        mode.get_token(auth)
        return tenant.get()

    assert "caller's" == contextvars.Context().run(call)
    assert ["caller's"] == seen


def _request(mode: Mode, auth: Any, url: str) -> Any:
    if mode.backend is None:
        with mode.sync_client() as client:
            return client.get(url, auth=auth)

    async def get() -> Any:
        async with mode.async_client(auth=auth) as client:
            return await client.get(url)

    return anyio.run(get, backend=mode.backend)


async def _in_another_thread(auth: Any) -> Any:
    return await asyncio.to_thread(auth.get_token)


USES: dict[str, Callable[[Mode, Any, str], Any]] = {
    "request": _request,
    "get_token": lambda mode, auth, url: auth.get_token(),
    "refresh": lambda mode, auth, url: auth.refresh(),
    "asyncio.to_thread": lambda mode, auth, url: asyncio.run(_in_another_thread(auth)),
    "aget_token": lambda mode, auth, url: mode.get_token(auth),
    "arefresh": lambda mode, auth, url: mode.refresh(auth),
}


in_callback = pytest.mark.parametrize(
    ("mode", "use"),
    [
        pytest.param(mode, use, id=f"{mode}-{name}")
        for mode in modes.ALL
        for name, use in USES.items()
        if mode.backend is not None or name not in {"aget_token", "arefresh"}
    ],
)
"""Each way in which a callback may use its own auth object."""


@in_callback
def test_a_provider_that_uses_its_own_auth_object_gets_an_error(
    mode: Mode, api: ScriptedServer, tokens: Tokens, use: Callable[[Mode, Any, str], Any]
) -> None:
    """A token provider that asks its own auth object for a token gets an error, not a deadlock."""
    errors = []

    def provider(last: OAuthToken | None) -> OAuthToken:
        errors.append(outcome_of(use, mode, auth, api.url))
        return OAuthToken(access_token="provided")

    auth = mode.plugin.TokenProviderAuth(provider)
    assert "provided" == promptly(mode.get_token, auth).access_token
    assert [TokenError] == [type(error) for error in errors], errors


@in_callback
def test_an_update_callback_that_uses_its_own_auth_object_gets_an_error(
    mode: Mode, tokens: Tokens, api: ScriptedServer, use: Callable[[Mode, Any, str], Any]
) -> None:
    """An `on_token_update` that uses its own auth object gets an error, not a deadlock; the token is used."""
    errors = []

    def on_token_update(token: OAuthToken) -> None:
        errors.append(outcome_of(use, mode, auth, api.url))

    auth = client_credentials(mode, tokens, on_token_update=on_token_update)
    assert 200 == promptly(_request, mode, auth, api.url).status_code
    assert [TokenError] == [type(error) for error in errors], errors
    assert 1 == tokens.calls


def test_a_provider_that_fails_over_itself_fails_once(mode: Mode) -> None:
    """The error that such a callback gets, if it doesn't catch it, is its callers' error; and no deadlock either."""

    def provider(last: OAuthToken | None) -> OAuthToken:
        return auth.get_token()  # type: ignore[no-any-return]

    auth: Any = mode.plugin.TokenProviderAuth(provider)
    error = promptly(mode.get_token, auth)
    assert TokenError is type(error)
    assert "callback" in str(error)


def test_a_callback_may_close_its_own_auth_object(plugin_mode: Mode, tokens: Tokens) -> None:
    """`close()` in a callback doesn't wait for the flight that the callback is part of."""
    auth: Any = client_credentials(plugin_mode, tokens, on_token_update=lambda token: auth.close())
    assert "token-1" == promptly(auth.get_token).access_token


def test_a_provider_may_use_another_auth_object(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """Auth objects may be chained: one's provider uses another's requests."""
    inner = client_credentials(mode, tokens)

    def provider(last: OAuthToken | None) -> OAuthToken:
        assert 200 == _request(mode, inner, api.url).status_code
        return OAuthToken(access_token="provided")

    outer = mode.plugin.TokenProviderAuth(provider)
    assert "provided" == mode.get_token(outer).access_token
    assert 1 == tokens.calls


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_provider_may_run_an_event_loop(mode: Mode, serve: Callable[..., ScriptedServer], backend: str) -> None:
    """A callback is plain code in a thread of its own: it may run an event loop, whatever its callers run on."""
    vault = serve(lambda request: Answer(200, b"provided"))

    def provider(last: OAuthToken | None) -> OAuthToken:
        return OAuthToken(access_token=anyio.run(fetch, backend=backend))

    async def fetch() -> str:
        async with modes.HTTPX.library.AsyncClient() as client:
            return str((await client.get(vault.url)).text)

    auth = mode.plugin.TokenProviderAuth(provider)
    assert "provided" == mode.get_token(auth).access_token


def test_a_ring_of_providers_gets_an_error(plugin_mode: Mode) -> None:
    """Two auth objects whose providers use each other get an error, not a deadlock."""

    def provider(other: str) -> Callable[[OAuthToken | None], OAuthToken]:
        return lambda last: ring[other].get_token()

    ring = {name: plugin_mode.plugin.TokenProviderAuth(provider(other)) for name, other in (("a", "b"), ("b", "a"))}
    error = promptly(ring["a"].get_token)
    assert TokenError is type(error)
    assert "callback" in str(error)


class RaisingHandler(logging.Handler):
    """A log handler that raises, and doesn't leave that to `handleError` as those of the standard library do."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ZeroDivisionError


@pytest.fixture
def raising_handler() -> Iterator[None]:
    logger = logging.getLogger("oauth_auth")
    handler, level = RaisingHandler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_a_log_handler_that_raises_harms_no_request(
    mode: Mode, tokens: Tokens, api: ScriptedServer, raising_handler: None
) -> None:
    """Whatever a log handler raises, tokens are fetched, rejected ones replaced, and requests go through."""
    tokens.fields["token_type"] = f"unheard-of-{mode}"  # logged at its first occurrence
    auth = client_credentials(mode, tokens)
    assert 200 == promptly(_request, mode, auth, api.url).status_code
    tokens.revoke()
    assert 200 == promptly(_request, mode, auth, api.url).status_code
    assert 2 == tokens.calls


def test_a_log_handler_that_raises_leaves_nobody_waiting(
    mode: Mode, tokens: Tokens, api: ScriptedServer, raising_handler: None
) -> None:
    """A failure that can't be logged is still the callers' failure, and the auth object goes on to work."""
    tokens.answer = lambda request: REFUSED
    auth = client_credentials(mode, tokens)
    assert OAuthProviderException is type(promptly(_request, mode, auth, api.url))
    tokens.answer = None
    assert "token-1" == promptly(mode.refresh, auth).access_token


IN_A_LOOP = """
import asyncio, importlib.util, sys
import {library}
from oauth_auth.{library} import ClientCredentialsAuth

assert importlib.util.find_spec("trio") is not None
assert "trio" not in sys.modules

async def main():
    objects = [ClientCredentialsAuth("{token_url}", "client", "secret", scope=str(n)) for n in range(100)]
    await asyncio.gather(*(auth.aget_token() for auth in objects))
    assert "trio" in sys.modules

asyncio.run(main())
"""


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_loop_where_trio_is_installed_and_not_imported(library: str, tokens: Tokens) -> None:
    """A hundred objects that get their first tokens at once in asyncio, while a token call imports trio, all get them.

    In a process of its own, since the tests have trio imported.
    """
    text = IN_A_LOOP.format(library=library, token_url=tokens.url)
    for _ in range(3):  # it's a race
        finished = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
        assert (0, "") == (finished.returncode, finished.stderr)
    assert 300 == tokens.calls
