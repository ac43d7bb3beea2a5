"""An auth object lives anywhere: in several event loops, forked, copied, interrupted, and at the interpreter's exit."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import gc
import json
import linecache
import pickle
import re
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest
import trio

import oauth_auth
from oauth_auth import ClientSecretPost, OAuthToken, TokenError, _lazy
from oauth_auth._flight import Flight
from oauth_auth._renewal import renewals, slot, source
from oauth_auth.stores import MemoryTokenStore
from tests.support import modes
from tests.support.clock import Clock
from tests.support.copies import SHARING_COPIES, forks, in_child, pickled
from tests.support.modes import Mode
from tests.support.rotation import Rotation, refresh_token
from tests.support.scripted import Answer, ScriptedServer
from tests.support.tokens import Gate, Tokens, client_credentials, token_that_expires_in
from tests.support.waiting import await_waiting, flights_in_the_air, open_sockets, promptly

ALSO_SHARING = True

BACKENDS = ("asyncio", "trio")


@pytest.fixture
def hold_first(tokens: Tokens, gate: Gate) -> None:
    """Hold back the first token call only."""
    tokens.answer = lambda request: gate(request) if request is tokens.server.requests[0] else None


def request_with(mode: Mode, auth: Any, url: str) -> Any:
    with mode.client(auth) as client:
        return client.get(url)


# -- The classes, and ways to copy them -----------------------------------------------------------------------------

provided: list[OAuthToken | None] = []
updated: list[str] = []


def provide(last: OAuthToken | None) -> OAuthToken:
    provided.append(last)
    return OAuthToken(access_token=f"provided-{len(provided)}", expires_in=3600)


def note_update(token: OAuthToken) -> None:
    updated.append(token.access_token)


CLASSES: dict[str, Callable[..., Any]] = {
    "ClientCredentialsAuth": lambda plugin, url: plugin.ClientCredentialsAuth(url, "client", "secret"),
    "AuthorizationCodeAuth": lambda plugin, url: plugin.AuthorizationCodeAuth(
        url, "client", "secret", code="code", redirect_uri="http://127.0.0.1/callback", code_verifier="verifier"
    ),
    "PasswordAuth": lambda plugin, url: plugin.PasswordAuth(
        url, "client", "secret", username="user", password="password"
    ),
    "RefreshTokenAuth": lambda plugin, url: plugin.RefreshTokenAuth(url, "client", "secret", refresh_token="given"),
    "TokenExchangeAuth": lambda plugin, url: plugin.TokenExchangeAuth(url, "client", "secret", subject_token="given"),
    "JwtBearerAuth": lambda plugin, url: plugin.JwtBearerAuth(url, assertion="given"),
    "TokenProviderAuth": lambda plugin, url: plugin.TokenProviderAuth(provide),
    "BearerAuth": lambda plugin, url: plugin.BearerAuth("bearer"),
}


@pytest.fixture(params=CLASSES)
def make(request: pytest.FixtureRequest, tokens: Tokens) -> Callable[[Mode], Any]:
    """Each class, with a token endpoint that issues refresh tokens, too."""
    tokens.fields["refresh_token"] = "refresh"
    return lambda mode: CLASSES[request.param](mode.plugin, tokens.url)


@pytest.fixture(params=list(SHARING_COPIES.values()), ids=list(SHARING_COPIES))
def shared_copy(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Each way to copy an auth object that shares all with it."""
    return request.param  # type: ignore[no-any-return]


def test_all_classes_are_tested_here(plugin_mode: Mode) -> None:
    """What this file promises, it promises for each auth class that a plug-in exports.

    All but two, which have files of their own: a device code needs a person, and is a code afterwards; a resource has
    to be asked.
    """
    assert {*CLASSES, "DeviceCodeAuth", "ResourceAuth"} == {
        name for name in plugin_mode.plugin.__all__ if name.endswith("Auth")
    }


def test_a_copy_has_the_token(
    plugin_mode: Mode, make: Callable[[Mode], Any], serve: Callable[..., ScriptedServer]
) -> None:
    """A pickled copy goes on with the token that the original has, and renews it by itself when it has to."""
    api = serve(lambda request: Answer(200))
    auth = make(plugin_mode)
    token = auth.get_token()
    other = pickled(auth)
    assert type(auth) is type(other)
    assert repr(auth) == repr(other)
    assert token == other.token == other.get_token()
    request_with(plugin_mode, other, api.url)
    assert f"Bearer {token.access_token}" == api.requests[-1].authorization
    if auth._source.renews:
        renewed = other.refresh()
        assert token.access_token != renewed.access_token
        assert renewed == other.get_token()
    assert token == auth.get_token()


def test_a_copy_of_a_cold_object_works(
    plugin_mode: Mode, make: Callable[[Mode], Any], serve: Callable[..., ScriptedServer]
) -> None:
    """A pickled copy made before there was any token gets its own."""
    api = serve(lambda request: Answer(200))
    other = pickled(make(plugin_mode))
    assert 200 == request_with(plugin_mode, other, api.url).status_code
    assert f"Bearer {other.token.access_token}" == api.requests[-1].authorization


def test_a_copy_of_a_used_object_replays(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A pickled copy of an object that has talked to an API renews a rejected token as the original would."""
    auth = client_credentials(plugin_mode, tokens)
    request_with(plugin_mode, auth, api.url)
    other = pickled(auth)
    tokens.revoke()
    assert 200 == request_with(plugin_mode, other, api.url).status_code
    assert ("token-1", "token-2") == (auth.token.access_token, other.token.access_token)
    assert 200 == request_with(plugin_mode, auth, api.url).status_code
    assert 3 == tokens.calls


def test_a_copy_has_all_settings(plugin_mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer]) -> None:
    """A pickled copy makes the same token calls, sends its token to the same origins, and calls the same callback."""
    api = serve(lambda request: Answer(403))
    foreign = serve(lambda request: Answer(200))
    auth = client_credentials(
        plugin_mode,
        tokens,
        scope=["read", "write"],
        field_parameters={"audience": "api"},
        client_auth=ClientSecretPost(),
        on_token_update=note_update,
        leeway=20.0,
        refresh_window=40.0,
        allowed_origins=[api.url],
        rejection_statuses=[403],
    )
    other = pickled(auth)
    for one in (auth, other):
        updated.clear()
        api.requests.clear()
        request_with(plugin_mode, one, foreign.url)
        request_with(plugin_mode, one, api.url)
        # Once fetched, and once more as the API rejected it with 403.
        assert 2 == len(updated)
        assert [f"Bearer {token}" for token in updated] == [request.authorization for request in api.requests]
    assert 4 == tokens.calls
    assert 1 == len({request.body for request in tokens.server.requests})
    assert [None, None] == [request.authorization for request in foreign.requests]
    assert auth._source._settings == other._source._settings


@pytest.mark.each_plugin
def test_a_copy_in_the_process_shares_the_token(
    mode: Mode, make: Callable[[Mode], Any], shared_copy: Callable[[Any], Any], serve: Callable[..., ScriptedServer]
) -> None:
    """What the one gets, renews or revokes, so does the other, whichever of them it was, cold or not."""
    api = serve(lambda request: Answer(200))
    auth = make(mode)
    other = shared_copy(auth)
    assert (type(auth), repr(auth)) == (type(other), repr(other))
    assert auth is not other
    assert 200 == request_with(mode, other, api.url).status_code
    assert other.token == auth.token is not None
    for one, another in ((auth, other), (other, auth), (shared_copy(other), auth)):
        if auth._source.renews:
            assert mode.refresh(one) == another.token == mode.get_token(another)
        assert 200 == request_with(mode, another, api.url).status_code
        assert f"Bearer {one.token.access_token}" == api.requests[-1].authorization
    mode.revoke(other)
    assert other.token == auth.token


def test_a_copy_in_the_process_shares_the_flight(
    mode: Mode, tokens: Tokens, gate: Gate, pool: ThreadPoolExecutor, shared_copy: Callable[[Any], Any]
) -> None:
    """A copy made while the original waits for a token waits for the same: they make one call between them."""
    auth = client_credentials(mode, tokens)
    waiting = pool.submit(mode.get_token, auth)
    gate.await_call()
    other = pool.submit(mode.get_token, shared_copy(auth))
    await_waiting(auth, 2)
    gate.open()
    assert ["token-1", "token-1"] == [future.result(30).access_token for future in (waiting, other)]
    assert 1 == tokens.calls


@pytest.mark.each_plugin
def test_copies_for_each_request_cost_no_login(
    mode: Mode, rotation: Rotation, tokens: Tokens, api: ScriptedServer, shared_copy: Callable[[Any], Any]
) -> None:
    """A client that copies its arguments for each request follows refresh tokens that rotate, and so does the original.

    Each token is used, rejected, and replaced once.
    """
    auth = refresh_token(mode, tokens.url)
    for number in range(6):
        one = auth if number % 3 == 2 else shared_copy(auth)
        for _ in range(2):
            assert 200 == request_with(mode, one, api.url).status_code
        tokens.revoke()
    assert [f"refresh-{number}" for number in range(6)] == rotation.calls


class SharedStore(MemoryTokenStore):
    """A store that can't be copied, like one that holds a connection."""

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedStore:
        raise AssertionError("a store goes along by reference")


def test_a_deep_copy_shares_the_store(plugin_mode: Mode, tokens: Tokens, clock: Clock) -> None:
    """The store goes along by reference: what one object renews, the other takes from there."""
    tokens.fields["refresh_token"] = "refresh"
    auth = plugin_mode.plugin.PasswordAuth(
        tokens.url, "client", "secret", username="user", password="password", store=SharedStore()
    )
    auth.get_token()
    other = copy.deepcopy(auth)
    clock.advance(3600)
    assert "token-2" == other.get_token().access_token
    assert "token-2" == auth.get_token().access_token
    assert 2 == tokens.calls


def test_a_deep_copy_shares_the_users_client(plugin_mode: Mode, tokens: Tokens) -> None:
    """A `token_client` can't be doubled: the copy uses the same."""
    with plugin_mode.token_client(headers={"X-Client": "mine"}) as client:
        auth = client_credentials(plugin_mode, tokens, token_client=client)
        copy.deepcopy(auth).get_token()
    assert "mine" == tokens.server.requests[0].headers["x-client"]


def test_a_copy_made_during_a_flight_has_none(
    plugin_mode: Mode, tokens: Tokens, gate: Gate, hold_first: None, pool: ThreadPoolExecutor
) -> None:
    """A pickled copy made while the original waits for a token waits for nothing: it makes a call of its own."""
    auth = client_credentials(plugin_mode, tokens)
    waiting = pool.submit(auth.get_token)
    gate.await_call()
    other = pickled(auth)
    assert "token-1" == promptly(other.get_token).access_token
    gate.open()
    assert "token-2" == waiting.result(30).access_token


UNPICKLE = """
import pickle, sys
auth = pickle.load(sys.stdin.buffer)
print(auth.token.access_token, auth.refresh().access_token)
"""


def test_a_pickle_works_in_another_interpreter(plugin_mode: Mode, tokens: Tokens) -> None:
    """A pickled auth object works in an interpreter that knows nothing else of the first."""
    auth = client_credentials(plugin_mode, tokens, store=MemoryTokenStore())
    auth.get_token()
    done = subprocess.run(
        [sys.executable, "-c", UNPICKLE], input=pickle.dumps(auth), capture_output=True, timeout=60, check=False
    )
    assert (b"token-1 token-2\n", b"") == (done.stdout.replace(b"\r", b""), done.stderr)


# -- Several event loops --------------------------------------------------------------------------------------------


def test_it_serves_one_event_loop_after_another(dual_mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A module-level constant serves several `asyncio.run`, trio and threads in turn, before and after renewals."""
    auth = client_credentials(dual_mode, tokens)

    async def main() -> int:
        async with dual_mode.async_client(auth=auth) as client:
            await auth.arefresh()
            response = await client.get(api.url)
        return int(response.status_code)

    async def in_trio() -> int:
        if dual_mode.runs_under_trio:
            return await main()
        await auth.arefresh()
        return 200

    assert [200, 200, 200] == [asyncio.run(main()), trio.run(in_trio), asyncio.run(main())]
    assert 200 == request_with(dual_mode, auth, api.url).status_code
    assert "token-3" == trio.run(auth.aget_token).access_token
    assert 3 == tokens.calls


# -- Forks ----------------------------------------------------------------------------------------------------------


@forks
def test_a_child_keeps_the_token(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """After a fork the child goes on with the token that there is."""
    auth = client_credentials(plugin_mode, tokens)
    plugin_mode.get_token(auth)
    assert 200 == in_child(lambda: request_with(plugin_mode, auth, api.url).status_code)
    assert ["Bearer token-1"] == [request.authorization for request in api.requests]
    assert 1 == tokens.calls


@forks
@pytest.mark.parametrize("store", [None, MemoryTokenStore], ids=["no-store", "store"])
def test_a_child_forgets_the_flight(
    plugin_mode: Mode,
    tokens: Tokens,
    gate: Gate,
    hold_first: None,
    pool: ThreadPoolExecutor,
    store: Callable[[], MemoryTokenStore] | None,
) -> None:
    """A child doesn't wait for a flight that only its parent has, nor for a lock that this flight holds."""
    auth = client_credentials(plugin_mode, tokens, store=store and store())
    waiting = pool.submit(plugin_mode.get_token, auth)
    gate.await_call()
    assert "token-1" == in_child(lambda: plugin_mode.get_token(auth).access_token)
    gate.open()
    assert "token-2" == waiting.result(30).access_token
    assert 2 == tokens.calls


@forks
def test_a_child_renews_by_itself(plugin_mode: Mode, tokens: Tokens, gate: Gate, hold_first: None) -> None:
    """While the parent renews in the background, the child sends the token, closes, and renews as it likes."""
    auth = client_credentials(plugin_mode, tokens, token=token_that_expires_in(100))
    auth.get_token()
    gate.await_call()

    def child() -> tuple[str, str]:
        before = plugin_mode.get_token(auth).access_token
        auth.close()
        return before, plugin_mode.refresh(auth).access_token

    assert ("given", "token-1") == in_child(child)
    gate.open()
    auth.close()
    assert "token-2" == auth.token.access_token


@forks
def test_a_child_of_a_child_works(plugin_mode: Mode, tokens: Tokens) -> None:
    """Children may fork, too."""
    auth = client_credentials(plugin_mode, tokens)

    def child() -> Any:
        mine = auth.get_token().access_token
        return mine, in_child(lambda: (auth.token.access_token, auth.refresh().access_token))

    assert ("token-1", ("token-1", "token-2")) == in_child(child)
    assert "token-3" == auth.get_token().access_token


@forks
def test_a_fork_waits_for_decisions(plugin_mode: Mode, tokens: Tokens, pool: ThreadPoolExecutor) -> None:
    """A thread that forks while another is deciding, under the library's lock, leaves the child no locked lock."""
    auth = client_credentials(plugin_mode, tokens)
    deciding = threading.Event()

    def decide() -> None:
        with slot.decision_lock:
            deciding.set()
            threading.Event().wait(0.3)  # the fork comes within this time, or shows nothing

    pool.submit(decide)
    assert deciding.wait(10)
    assert "token-1" == in_child(lambda: auth.get_token().access_token)


IN_FLIGHT = """
import importlib, sys
from oauth_auth import ClientSecretJwt, MemoryTokenStore, OAuthError
plugin = importlib.import_module("oauth_auth." + sys.argv[1])
options = {"store": MemoryTokenStore(), "token_timeout": 0.1}
if "dpop" in sys.argv:
    options["dpop"] = True
if "jwt" in sys.argv:
    options |= {"client_secret": "secret", "client_auth": ClientSecretJwt()}
auth = plugin.ClientCredentialsAuth("http://127.0.0.1:9/token", "client", **options)
before = set(sys.modules)
try:
    auth.get_token()
except OAuthError:
    print(sorted(name for name in set(sys.modules) - before if name.startswith(("oauth_auth.", "joserfc"))))
"""


@pytest.mark.parametrize("keys", ["none", "dpop", "jwt"])
def test_a_flight_imports_nothing(plugin_mode: Mode, keys: str) -> None:
    """What flights need is imported before: an import that's under way at a fork never ends in the child."""
    command = [sys.executable, "-c", IN_FLIGHT, plugin_mode.plugin.__name__.rpartition(".")[2], keys]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "[]\n" == finished.stdout


UNPICKLING = """
import pickle, sys
from oauth_auth._lazy import loading

class Looking:
    def find_spec(self, sought, *places):
        if sought.startswith(("oauth_auth._renewal.", "oauth_auth._server.")) and not loading._is_owned():
            print(sought)

import oauth_auth.{plugin}
sys.meta_path.insert(0, Looking())
print(type(pickle.loads({pickled!r})).__name__)
"""


def test_a_fork_waits_for_what_is_loaded_for_a_pickle(plugin_mode: Mode, tokens: Tokens) -> None:
    """What a program's first auth object needs is loaded where a fork waits for it, though it comes from a pickle."""
    plugin = plugin_mode.plugin.__name__.rpartition(".")[2]
    code = UNPICKLING.format(plugin=plugin, pickled=pickle.dumps(client_credentials(plugin_mode, tokens)))
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ClientCredentialsAuth\n" == finished.stdout


class Told:
    """A lock that tells when a fork takes it, and counts."""

    def __init__(self) -> None:
        self.count = 0
        self.is_taken = threading.Event()

    def acquire(self) -> None:
        self.count += 1
        self.is_taken.set()

    def release(self) -> None:
        self.count -= 1


@forks
def test_a_lock_that_comes_while_a_fork_waits_is_held_as_well(
    monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
) -> None:
    """A fork that waits for a module to be loaded takes the lock that this brings, and each lock is released once."""
    locks: list[Any] = [Told()]
    monkeypatch.setattr(_lazy, "_locks", locks)
    is_loading = threading.Event()

    def load() -> None:
        with _lazy.loading:
            is_loading.set()
            locks[0].is_taken.wait(10)
            _lazy.hold_across_forks(Told())  # type: ignore[arg-type]

    loaded = pool.submit(load)
    is_loading.wait(10)
    assert [(0, True)] * 2 == in_child(lambda: [(lock.count, lock.is_taken.is_set()) for lock in locks])
    loaded.result(10)
    assert [(0, True)] * 2 == [(lock.count, lock.is_taken.is_set()) for lock in locks]


@forks
def test_forks_while_others_launch_flights(plugin_mode: Mode, tokens: Tokens, pool: ThreadPoolExecutor) -> None:
    """A thread may fork at any moment of other threads' flights: each child works."""
    tokens.fields["expires_in"] = 0
    auth = client_credentials(plugin_mode, tokens, store=MemoryTokenStore(), on_token_update=note_update)
    # HTTP libraries import parts of themselves at a first call, and a child never ends an import that it was forked in.
    auth.get_token()
    over = threading.Event()

    def launch() -> None:
        while not over.is_set():
            auth.get_token()

    launching = [pool.submit(launch) for _ in range(3)]
    try:
        forking = pool.submit(lambda: [in_child(lambda: auth.get_token().access_token) for _ in range(6)])
        children = forking.result(60)
    finally:
        over.set()
    assert [None] * 3 == [future.result(30) for future in launching]
    assert 6 == len(set(children))
    assert {"token"} == {child.partition("-")[0] for child in children}


# -- The interpreter's exit -----------------------------------------------------------------------------------------

PROGRAM = """
import asyncio, atexit, signal, sys, threading, time
import oauth_auth.{plugin} as plugin
from oauth_auth import OAuthToken, TokenError

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored in background jobs

def on_token_update(token):
    with open({path!r}, "a") as file:
        print(token.access_token, file=file)

in_window = OAuthToken(access_token="given", expires_in=3600, expiry=time.time() + 100)

def auth(token=None, **options):
    return plugin.ClientCredentialsAuth(
        {token_url!r}, "client", "secret", on_token_update=on_token_update, token=token, **options
    )

"""


class Program:
    """A Python program that uses an auth object, in a process of its own."""

    def __init__(self, mode: Mode, tokens: Tokens, folder: Path) -> None:
        self._path = folder / "updates"
        self._start = PROGRAM.format(plugin=mode.library.__name__, path=str(self._path), token_url=tokens.url)
        self._process: subprocess.Popen[str] | None = None

    def run(self, code: str, *options: str) -> subprocess.Popen[str]:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", *options, "-c", self._start + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self._process

    def tell(self) -> None:
        """Send a line to the program."""
        assert self._process is not None
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)

    def line(self) -> str:
        """Return the next line that the program prints."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.end()
        return line.strip()

    def end(self) -> tuple[str, str, int]:
        """Wait for its end; return what else it printed, on both streams, and its exit status."""
        assert self._process is not None
        out, err = self._process.communicate(timeout=30)
        return out, err, self._process.returncode

    @property
    def updates(self) -> list[str]:
        """The tokens that `on_token_update` was given."""
        return self._path.read_text().split() if self._path.exists() else []

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def program(plugin_mode: Mode, tokens: Tokens, tmp_path: Path) -> Iterator[Program]:
    program = Program(plugin_mode, tokens, tmp_path)
    yield program
    program.kill()


LEAVE = """
auth(in_window).get_token()
threading.Thread(target=auth().get_token, daemon=True).start()
"""

LEAVE_LOOPS = """
import trio
async def move_on():
    with trio.move_on_after(0.05):
        await auth().aget_token()
try:
    asyncio.run(asyncio.wait_for(auth().aget_token(), 0.05))
except TimeoutError:
    trio.run(move_on)
"""


def test_a_flight_is_finished_at_exit(plugin_mode: Mode, program: Program, tokens: Tokens, gate: Gate) -> None:
    """A program that ends while token calls are under way waits for the answers, so that rotated tokens are saved."""
    is_sync = plugin_mode is modes.REQUESTS
    count = 2 if is_sync else 4
    program.run(LEAVE + ("" if is_sync else LEAVE_LOOPS) + "\nsys.stdin.readline()\nprint('leaving', flush=True)")
    for _ in range(count):
        gate.await_call()
    program.tell()
    assert "leaving" == program.line()
    gate.open()
    assert ("", "", 0) == program.end()
    assert count == tokens.calls
    assert [f"token-{number + 1}" for number in range(count)] == sorted(program.updates)


def test_it_works_at_exit(program: Program, tokens: Tokens) -> None:
    """An `atexit` handler gets its token, though no thread may be started any more; so does a thread before that."""
    program.run(
        """
atexit.register(lambda it: print("handler:", it.get_token().access_token), auth())
it, other = auth(), auth(in_window)
def late():
    threading.main_thread().join()
    print("thread:", it.get_token().access_token, other.get_token().access_token)
threading.Thread(target=late).start()
""",
        # urllib3 closes sockets by `weakref.finalize`, which does nothing any more after its own exit handler.
        "-Wignore::ResourceWarning",
    )
    out, err, status = program.end()
    assert ("", 0) == (err, status)
    assert re.fullmatch(r"thread: token-\d given\nhandler: token-\d\n", out)
    assert tokens.calls == len(program.updates)


def test_a_renewal_begun_at_exit_is_finished_or_not_begun(program: Program, tokens: Tokens, gate: Gate) -> None:
    """In an `atexit` handler a token in its window is sent; if that begins a renewal, its answer isn't lost."""
    process = program.run(
        """
def handler(it):
    print(it.get_token().access_token, flush=True)
    sys.stdin.readline()
atexit.register(handler, auth(in_window))
""",
        "-Wignore::ResourceWarning",
    )
    assert "given" == program.line()
    # Where the renewal has begun, the program tries to end before the answer is there.
    gate.may_call(0.5)
    program.tell()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
    gate.open()
    assert ("", "", 0) == program.end()
    assert tokens.calls == len(program.updates)


# -- Interruptions --------------------------------------------------------------------------------------------------

INTERRUPTED = """
import trio
for wait in [
    lambda it: it.get_token(),
    lambda it: asyncio.run(it.aget_token()),
    lambda it: trio.run(it.aget_token),
][:{ways}]:
    it = auth(token_timeout=60)  # within which no attempt is given up, whose successor would look like the next call
    try:
        wait(it)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
print(it.get_token().access_token in {tokens})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there's no SIGINT to send")
def test_ctrl_c_reaches_a_caller_that_waits(plugin_mode: Mode, program: Program, tokens: Tokens, gate: Gate) -> None:
    """Ctrl-C reaches a caller at once, while the token call goes on; its token is there for the next."""
    ways = 1 if plugin_mode is modes.REQUESTS else 3
    process = program.run(INTERRUPTED.format(ways=ways, tokens=[f"token-{number + 1}" for number in range(ways)]))
    for _ in range(ways):
        gate.await_call()
        process.send_signal(signal.SIGINT)
        assert "interrupted" == program.line()
    gate.open()
    assert ("True\n", "", 0) == program.end()
    assert ways == tokens.calls


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signal can be kept from a thread")
def test_ctrl_c_that_does_not_end_the_wait(program: Program, tokens: Tokens, gate: Gate) -> None:
    """Ctrl-C reaches a caller within a second or two even if the signal doesn't interrupt its wait.

    It doesn't on Windows, nor where it arrives between Python's last look for signals and the wait itself; here, since
    another thread gets it.
    """
    process = program.run(
        """
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
it = auth(token_timeout=60)
try:
    it.get_token()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    )
    gate.await_call()
    process.send_signal(signal.SIGINT)
    impatience = threading.Timer(15, process.kill)
    impatience.start()
    try:
        assert "interrupted" == program.line()
    finally:
        impatience.cancel()
    gate.open()
    assert ("", "", 0) == program.end()
    assert 1 == tokens.calls


def _new(plugin: Any) -> Any:
    return plugin.TokenProviderAuth(provide)


def _in_window(plugin: Any) -> Any:
    return plugin.TokenProviderAuth(provide, token=token_that_expires_in(100))


def _within_leeway(plugin: Any) -> Any:
    return plugin.TokenProviderAuth(provide, token=token_that_expires_in(9))


def _interrupted(function: Callable[[], Any], at: int, interrupt: Callable[[], Any]) -> str | None:
    """Call the function, and `interrupt` in it at the library's line number `at`; return which one that was.

    Python itself looks for signals between lines, and nowhere between a `with` and the lock that it takes or frees.
    """
    folder = str(Path(oauth_auth.__file__).parent)
    count, where = 0, None

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count, where
        path = frame.f_code.co_filename
        if not path.startswith(folder):
            return None
        line = linecache.getline(path, frame.f_lineno).strip()
        if event == "line" and not line.startswith("with "):
            count += 1
            if count == at:
                where = f"{Path(path).name}:{frame.f_lineno}: {line}"
                interrupt()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return where


def _raise() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def own_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a test a lock of its own in the library's place: if it fails, it may leave it locked for ever."""
    lock = type(slot.decision_lock)()
    for module in (renewals, slot, source):
        monkeypatch.setattr(module, "decision_lock", lock)


@pytest.mark.shared_core
@pytest.mark.parametrize("operation", ["get_token", "refresh"])
@pytest.mark.parametrize("make_auth", [_new, _in_window, _within_leeway])
def test_ctrl_c_at_any_line_leaves_it_usable(
    own_lock: None, plugin_mode: Mode, make_auth: Callable[[Any], Any], operation: str
) -> None:
    """Wherever in a caller's way Ctrl-C arrives, other threads aren't left waiting for what the caller was to do."""
    for at in range(1, 1000):
        auth = make_auth(plugin_mode.plugin)
        where = _interrupted(getattr(auth, operation), at, _raise)
        if where is None:
            break
        assert isinstance(promptly(auth.get_token), OAuthToken), where
        assert isinstance(promptly(auth.refresh), OAuthToken), where
    assert at > 10


@pytest.mark.shared_core
@pytest.mark.parametrize("operation", ["get_token", "refresh"])
@pytest.mark.parametrize("make_auth", [_new, _in_window, _within_leeway])
def test_a_signal_handler_may_use_it_anywhere(
    own_lock: None, plugin_mode: Mode, make_auth: Callable[[Any], Any], operation: str
) -> None:
    """A signal handler, or a finalizer, that asks for a token while its thread is doing so waits for no other."""
    for at in range(1, 1000):
        auth = make_auth(plugin_mode.plugin)
        got: list[Any] = []
        where = promptly(
            _interrupted,
            lambda auth=auth, got=got: got.append(getattr(auth, operation)()),
            at,
            lambda auth=auth, got=got: got.append(auth.get_token()),
        )
        if where is None:
            break
        assert [OAuthToken, OAuthToken] == [type(token) for token in got], where
    assert at > 10


# -- Where no thread can be started ---------------------------------------------------------------------------------


@pytest.fixture
def no_threads() -> Iterator[pytest.MonkeyPatch]:
    """Let the library start no thread, as if the system had none left; undone by `undo()`."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("oauth_auth"):
            raise RuntimeError("can't start new thread")
        start(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        yield patch


def test_a_token_can_be_had_without_a_thread(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, no_threads: pytest.MonkeyPatch
) -> None:
    """Where the system has no thread left, a caller that needs a token fetches it itself."""
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        assert 200 == client.get(api.url).status_code
    assert 1 == tokens.calls


def test_a_renewal_that_found_no_thread_is_begun_later(
    plugin_mode: Mode, tokens: Tokens, clock: Clock, no_threads: pytest.MonkeyPatch
) -> None:
    """A background renewal that no thread could be had for costs the caller nothing, and is begun a little later."""
    auth = client_credentials(plugin_mode, tokens, token=token_that_expires_in(150))
    assert "given" == plugin_mode.get_token(auth).access_token
    assert 0 == tokens.calls
    no_threads.undo()
    clock.advance(60)
    assert "given" == plugin_mode.get_token(auth).access_token
    # Not `close()`: it would begin what nobody has begun.
    assert soon(lambda: auth.token.access_token == "token-1")
    assert 1 == tokens.calls


def soon(condition: Callable[[], bool]) -> bool:
    """Wait for what threads do in the background; tell whether it has come true."""
    moment = threading.Event()
    return any(condition() or moment.wait(0.005) for _ in range(4000))


# -- Closing, and what is left behind -------------------------------------------------------------------------------


def _aclose(backend: str) -> Callable[[Any], None]:
    return lambda auth: anyio.run(auth.aclose, backend=backend)


WAYS_TO_CLOSE: dict[str, Callable[[Any], None]] = {
    "close": lambda auth: auth.close(),
    "asyncio": _aclose("asyncio"),
    "trio": _aclose("trio"),
}


@pytest.mark.parametrize(
    ("mode", "close"),
    [
        pytest.param(mode, close, id=f"{mode}-{way}")
        for mode in modes.SYNC
        for way, close in WAYS_TO_CLOSE.items()
        if mode is not modes.REQUESTS or way == "close"
    ],
)
def test_close_lets_a_flight_end(
    mode: Mode, tokens: Tokens, gate: Gate, pool: ThreadPoolExecutor, close: Callable[[Any], None]
) -> None:
    """`close()` during a flight waits for its end, and leaves no socket open; those that wait get the token."""
    auth = client_credentials(mode, tokens)
    waiting = pool.submit(auth.get_token)
    gate.await_call()
    assert 1 == len(open_sockets(tokens.url))
    closing = pool.submit(close, auth)
    await_waiting(auth, 2)
    assert not closing.done()
    gate.open()
    closing.result(30)
    assert [] == open_sockets(tokens.url)
    assert "token-1" == waiting.result(30).access_token


def test_it_can_be_used_again_after_close(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A closed auth object keeps its token and gets new ones, as often as it's closed."""
    auth = client_credentials(mode, tokens)
    with mode.client(auth) as client:
        for number in range(1, 4):
            auth.close()
            auth.close()
            assert 200 == client.get(api.url).status_code
            assert number == tokens.calls
            tokens.revoke()


def test_it_is_a_context_manager(plugin_mode: Mode, tokens: Tokens, gate: Gate) -> None:
    """`with auth:` gives the object itself, and closes it at the end: a renewal under way is waited for."""
    auth = client_credentials(plugin_mode, tokens, token=token_that_expires_in(100))
    with auth as same:
        assert auth is same
        assert "given" == auth.get_token().access_token
        gate.await_call()
        gate.open()
    assert "token-1" == auth.token.access_token


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_an_async_context_manager(dual_mode: Mode, tokens: Tokens, gate: Gate, backend: str) -> None:
    """`async with auth:` does the same without holding up the event loop."""
    auth = client_credentials(dual_mode, tokens, token=token_that_expires_in(100))

    async def main() -> None:
        async with anyio.create_task_group() as group, auth as same:
            assert auth is same
            assert "given" == (await auth.aget_token()).access_token
            # It runs while the end of the block waits, or never.
            group.start_soon(open_gate)

    async def open_gate() -> None:
        await_waiting(auth, 1)
        gate.open()

    anyio.run(main, backend=backend)
    assert "token-1" == auth.token.access_token


def test_nothing_is_left_behind(mode: Mode, tokens: Tokens, api: ScriptedServer, clock: Clock) -> None:
    """After tokens were fetched, renewed, rejected and not had, no thread, socket or ResourceWarning remains."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        auth = client_credentials(mode, tokens)
        with mode.client(auth) as client:
            assert 200 == client.get(api.url).status_code
            tokens.revoke()
            assert 200 == client.get(api.url).status_code
            clock.advance(3600 - 100)
            assert 200 == client.get(api.url).status_code
            auth.close()
            clock.advance(3600)
            for answer in (Answer(503), Answer(0), Answer(200, b"<html>")):
                tokens.answer = lambda request, answer=answer: answer
                with pytest.raises(TokenError):
                    client.get(api.url)
                clock.advance(60)
        assert soon(lambda: not flights_in_the_air())
        assert [] == open_sockets(tokens.url)
        del auth, client
        gc.collect()
    assert [] == [str(warning.message) for warning in caught]


def test_a_call_without_an_answer_leaves_nothing_behind(plugin_mode: Mode, tokens: Tokens, gate: Gate) -> None:
    """A token call that is given up, since the server doesn't answer, leaves no thread and no socket open."""
    auth = client_credentials(plugin_mode, tokens, token_timeout=0.3)
    assert isinstance(promptly(auth.get_token), TokenError)
    auth.close()
    assert soon(lambda: not flights_in_the_air())
    assert soon(lambda: not open_sockets(tokens.url))
    assert tokens.calls > 0


def test_it_is_garbage_in_the_end(
    plugin_mode: Mode, make: Callable[[Mode], Any], serve: Callable[..., ScriptedServer]
) -> None:
    """Nothing in the library keeps an auth object that nobody uses any more."""
    api = serve(lambda request: Answer(200))
    auth = make(plugin_mode)
    request_with(plugin_mode, auth, api.url)
    auth.close()
    reference = weakref.ref(auth)
    source = weakref.ref(auth._source)
    del auth
    assert is_garbage(reference)
    assert is_garbage(source)


def test_an_object_dropped_during_a_flight_is_garbage_after_it(plugin_mode: Mode, tokens: Tokens, gate: Gate) -> None:
    """A flight whose auth object is dropped ends as it would have, and then nothing of it remains."""
    updated.clear()
    token = token_that_expires_in(100)
    # The garbage collector of a busy machine may take longer than an attempt does by default.
    auth = client_credentials(plugin_mode, tokens, token=token, on_token_update=note_update, token_timeout=120.0)
    auth.get_token()
    gate.await_call()
    source = weakref.ref(auth._source)
    del auth
    gc.collect()
    gate.open()
    assert is_garbage(source)
    assert ["token-1"] == updated


def test_renewals_begun_by_callbacks_keep_nothing(plugin_mode: Mode) -> None:
    """A callback's context, in which the next renewal is begun, and so on, doesn't keep all earlier renewals."""
    contexts: list[contextvars.Context] = []
    auth = plugin_mode.plugin.TokenProviderAuth(
        provide, on_token_update=lambda token: contexts.append(contextvars.copy_context())
    )
    of_earlier_tests = flights()
    auth.refresh()
    for _ in range(10):
        contexts.pop().run(auth.refresh)

    assert soon(lambda: len([flight for flight in flights() if flight not in of_earlier_tests]) <= 1)


def flights() -> list[Flight[Any]]:
    """Return the renewals that something keeps; savers of earlier tests may begin flights of their own meanwhile."""
    gc.collect()
    kept = [candidate for candidate in gc.get_objects() if isinstance(candidate, Flight)]
    return [flight for flight in kept if flight._name == "oauth_auth-flight"]


def is_garbage(reference: weakref.ref[Any]) -> bool:
    """Tell whether an object has gone, or goes in a moment: a thread that has done its work still holds it."""

    def is_gone() -> bool:
        gc.collect()
        return reference() is None

    return soon(is_gone)


SMALL: dict[str, Callable[..., Any]] = {
    **CLASSES,
    "ResourceAuth": lambda plugin, url: plugin.ResourceAuth(url),
    "ResourceAuth for users": lambda plugin, url: plugin.ResourceAuth(url, login=print),
}


MEASURING = """
import gc, importlib, json, sys, tracemalloc
from tests.guarantees.test_lifecycle import SMALL

plugin = importlib.import_module(sys.argv[1])

def size(make):
    kept = [make(plugin, "https://auth.example/token")]
    gc.collect()
    tracemalloc.start()
    kept += [make(plugin, "https://auth.example/token") for _ in range(50)]
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] / 50
    tracemalloc.stop()
    return taken

print(json.dumps({name: size(make) for name, make in SMALL.items()}))
"""


def test_unused_objects_are_small(plugin_mode: Mode) -> None:
    """An auth object that hasn't been used yet takes 4 KiB at most."""
    # In a program of its own: what earlier tests have done to a class counts for all its objects.
    command = [sys.executable, "-c", MEASURING, plugin_mode.plugin.__name__]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    sizes = json.loads(finished.stdout)
    assert SMALL.keys() == sizes.keys()
    assert {} == {name: size for name, size in sizes.items() if size > 4096}
