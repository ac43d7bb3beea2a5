from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import niquests
import pytest
from cryptography.fernet import Fernet

from oauth_auth import OAuthToken
from oauth_auth.stores import FileTokenStore, KeyringTokenStore, MemoryTokenStore, RedisTokenStore, TokenStore
from oauth_auth.testing import LocalProvider

from . import modes
from .modes import Mode
from .scripted import Answer, Received, Script, ScriptedServer
from .servers.keyring_in_files import FOLDER
from .servers.oidc_provider import OidcProvider
from .servers.programs import ServiceMissing
from .servers.redis import RedisServer
from .siblings import Siblings


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    with skipped_where_missing():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    with skipped_where_missing():
        return (yield)


@contextmanager
def skipped_where_missing() -> Iterator[None]:
    """Skip the test if a service that it needs is missing; fail it in CI, where all are there."""
    try:
        yield
    except ServiceMissing as missing:
        if os.environ.get("CI"):
            raise pytest.fail.Exception(str(missing), pytrace=False) from None
        raise pytest.skip.Exception(str(missing)) from None


@pytest.fixture(params=modes.ALL, ids=str)
def mode(request: pytest.FixtureRequest) -> Mode:
    """Each way in which the library is used."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=modes.SYNC, ids=str)
def plugin_mode(request: pytest.FixtureRequest) -> Mode:
    """One mode of each plug-in, where it doesn't matter whether the client is async."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider() as provider:
        yield provider


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Start scripted servers, which end with the test."""
    with ExitStack() as stack:
        yield lambda script, **options: stack.enter_context(ScriptedServer(script, **options))


@pytest.fixture
def read_environment() -> Iterator[None]:
    """Have niquests look at the environment's proxies again: it does so once in a program's life."""
    utilities: Any = niquests.utils
    utilities.getproxies.cache_clear()
    yield
    utilities.getproxies.cache_clear()


@pytest.fixture(scope="module")
def oidc() -> Iterator[OidcProvider]:
    """oidc-provider, for the tests of a module."""
    with OidcProvider() as server:
        yield server


@pytest.fixture(scope="session")
def running_redis() -> Iterator[RedisServer]:
    """A Redis for tests that leave it alone."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis for one test, to stop, hang and start again."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def keyring_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have this process and those that it starts use a keyring that needs no desktop; return where it keeps things."""
    import keyring.core

    folder = tmp_path / "keyring"
    folder.mkdir()
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "tests.servers.keyring_in_files.KeyringInFiles")
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    return folder


STORES = ("memory", "file", "file, encrypted", "keyring", "redis", "redis, encrypted")
"""All stores that come with the library, each in its ways."""
SHARED_STORES = STORES[1:]
"""Those that processes share."""


@pytest.fixture(params=STORES)
def make_store(request: pytest.FixtureRequest) -> Callable[[], TokenStore]:
    """Return a function that makes store objects at one place, for all stores."""
    return store_maker(request, request.param)


@pytest.fixture(params=SHARED_STORES)
def make_shared_store(request: pytest.FixtureRequest) -> Callable[[], TokenStore]:
    """Do the same for the stores that processes share."""
    return store_maker(request, request.param)


def store_maker(request: pytest.FixtureRequest, name: str) -> Callable[[], TokenStore]:
    """Return a function that makes store objects at one place, which ends with the test."""
    kind, _, encrypted = name.partition(", ")
    options = {"encryption_key": Fernet.generate_key()} if encrypted else {}
    if kind == "memory":
        memory = MemoryTokenStore()
        return lambda: memory
    if kind == "file":
        folder = request.getfixturevalue("tmp_path") / "tokens"
        return lambda: FileTokenStore(folder, **options)
    if kind == "keyring":
        request.getfixturevalue("keyring_folder")
        return lambda: KeyringTokenStore("oauth_auth tests")
    url, prefix = request.getfixturevalue("running_redis").url, f"{uuid.uuid4()}:"
    return lambda: RedisTokenStore(url, prefix=prefix, **options)


@pytest.fixture
def siblings() -> Iterator[Siblings]:
    """Start processes that share a store, which end with the test."""
    siblings = Siblings()
    yield siblings
    siblings.end()


class Tokens:
    """A scripted token endpoint that issues tokens named `token-1`, `token-2`, …; and an API that takes the last."""

    def __init__(self, serve: Callable[..., ScriptedServer]) -> None:
        self.issued = 0
        self.accepted: set[str] = set()
        self.fields: dict[str, Any] = {"token_type": "Bearer", "expires_in": 3600}
        self.answer: Callable[[Received], Answer | None] | None = None
        self.server = serve(self._issue)
        self.url = f"{self.server.url}/token"

    def _issue(self, request: Received) -> Answer:
        if self.answer is not None and (answer := self.answer(request)) is not None:
            return answer
        self.issued += 1
        token = f"token-{self.issued}"
        self.accepted = {f"Bearer {token}"}
        return Answer(200, {"access_token": token, **self.fields})

    @property
    def calls(self) -> int:
        return len(self.server.requests)

    def revoke(self) -> None:
        self.accepted = set()


@pytest.fixture
def tokens(serve: Callable[..., ScriptedServer]) -> Tokens:
    return Tokens(serve)


@pytest.fixture
def api(serve: Callable[..., ScriptedServer], tokens: Tokens) -> ScriptedServer:
    """An API that takes the token that was issued last, and answers with the body it got."""
    return serve(accepting(tokens))


def accepting(tokens: Tokens, challenge: str | None = 'Bearer error="invalid_token"') -> Script:
    def script(request: Received) -> Answer:
        if request.authorization in tokens.accepted:
            return Answer(200, request.body)
        return Answer(401, b"who are you?", () if challenge is None else (("WWW-Authenticate", challenge),))

    return script


def client_credentials(mode: Mode, tokens: Tokens, **options: Any) -> Any:
    return mode.plugin.ClientCredentialsAuth(tokens.url, "client", "secret", **options)


def token_that_expires_in(seconds: float, access_token: str = "given", **fields: Any) -> OAuthToken:
    """Make a token of one hour's lifetime that has this much left of it."""
    import time

    return OAuthToken(access_token=access_token, expires_in=3600, expiry=time.time() + seconds, **fields)


class Gate:
    """A token endpoint's script that holds its answers back until it's opened."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        """What is answered then; None: a token."""
        self._opened = threading.Event()
        self._arrivals = threading.Semaphore(0)

    def __call__(self, request: Received) -> Any:
        self._arrivals.release()
        assert self._opened.wait(60)
        return self.answer

    def await_call(self) -> None:
        """Block until one more token call has arrived."""
        assert self.may_call(20), "no token call has come"

    def may_call(self, seconds: float) -> bool:
        """Tell whether one more token call arrives within this time."""
        return self._arrivals.acquire(timeout=seconds)

    def open(self, answer: Answer | None = None) -> None:
        self.answer = answer
        self._opened.set()


@pytest.fixture
def gate(tokens: Tokens) -> Iterator[Gate]:
    """Hold the answers of the token endpoint back, at most to the end of the test."""
    gate = Gate()
    tokens.answer = gate
    yield gate
    gate.open(gate.answer)
    # What was held goes on now: best to its end, before its servers and clock are gone.
    for flight in flights_in_the_air():
        flight.join(10)


def flights_in_the_air() -> list[threading.Thread]:
    """Return the threads that the library has started and that haven't ended."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("oauth_auth")]


def await_silence() -> None:
    """Block until flights of earlier tests have ended, where what's told is compared with all that should be."""
    for flight in flights_in_the_air():
        flight.join(20)


def await_waiting(auth: Any, count: int) -> None:
    """Block until so many threads and tasks wait for the auth object's flight.

    Nothing public tells, since nobody needs to know but tests that have an outcome shared by all.
    """
    deadline, moment, waiting = time.perf_counter() + 20, threading.Event(), 0
    while time.perf_counter() < deadline:
        if (flight := auth._source._flight) is not None:
            future = flight._future
            waiting = len(future._condition._waiters) + len(future._done_callbacks)
            if waiting >= count:
                return
        moment.wait(0.002)
    raise AssertionError(f"{waiting} wait for a token, not {count}")


def outcome_of(function: Callable[..., Any], *args: Any) -> Any:
    """Return what the function returns, or the error that it raises."""
    try:
        return function(*args)
    except Exception as error:
        return error


def promptly(function: Callable[..., Any], *args: Any) -> Any:
    """Do the same in a daemon thread, and fail if there's no outcome: a deadlock then ends with its test."""
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(outcome_of(function, *args)), daemon=True)
    thread.start()
    thread.join(10)
    assert outcomes, "it waits for ever"
    return outcomes[0]


class Clock:
    """The clock that the library goes by. It stands still and moves on when told, or where the library would sleep.

    `time.monotonic` goes on as well, since event loops live by it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        self.moved = 0.0
        monotonic, sleep = time.monotonic, time.sleep
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(time, "monotonic", lambda: monotonic() + self.moved)
        monkeypatch.setattr(time, "sleep", self._sleep)
        self._real_sleep = sleep
        self._of_earlier_tests = set(flights_in_the_air())

    def _sleep(self, seconds: float) -> None:
        if threading.current_thread() in self._of_earlier_tests:
            self._real_sleep(seconds)
        else:
            self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.moved += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)
