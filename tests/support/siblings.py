"""Processes that share a store, each with an auth object of its own, told what to do and stopped or killed anywhere.

A renewal's steps, in order: `load`, `lock`, `locked`, `load`, `call` (before it's sent), `answered` (its head has
arrived, its body hasn't been read), `read`, `save`, `write` and `written` (around the one operation that replaces the
entry), `saved`, `unlock`, `unlocked`. At each a sibling can tell, wait for the test, or end itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import keyring  # noqa: F401 - loaded once for all siblings
import redis

from oauth_auth._plugins.token_transport import Body
from oauth_auth.stores import RedisTokenStore, TokenStore
from oauth_auth.stores._protocol import LOCK_WAIT
from tests.servers.keyring_in_files import FOLDER
from tests.support import modes
from tests.support.modes import Mode

__all__ = ["Plan", "Sibling", "Siblings"]

_STORE_TIMEOUT = 40.0
_ENVIRON = ("PYTHON_KEYRING_BACKEND", FOLDER, "XDG_STATE_HOME")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a sibling is: an auth object of a plug-in, with its store, and the lease of Redis locks if it's shorter."""

    mode: str
    grant: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    store: bytes
    """Pickled, since it's to be made where the environment is the sibling's."""
    environ: Mapping[str, str]
    lease: float = RedisTokenStore._lease_seconds


class Sibling:
    """The test's end of a process. `begin` has it do something and returns a future, `do` waits for that."""

    def __init__(self, plan: Plan) -> None:
        context = multiprocessing.get_context("forkserver")
        # So that starting a process costs milliseconds and not the imports.
        context.set_forkserver_preload([__name__])
        self._connection, there = context.Pipe()
        self._process = context.Process(target=_live, args=(there, plan), daemon=True)
        self._process.start()
        there.close()
        self._numbers = itertools.count()
        self._results: dict[int, Future[Any]] = defaultdict(Future)
        self._steps: dict[str, queue.SimpleQueue[Any]] = defaultdict(queue.SimpleQueue)
        self._sending = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def begin(self, name: str, *arguments: Any) -> Future[Any]:
        """Have it call one of `_Life`'s methods, in a thread of its own."""
        with self._sending:
            number = next(self._numbers)
            future = self._results[number]
            self._connection.send((number, name, arguments))
        return future

    def do(self, name: str, *arguments: Any) -> Any:
        """Do the same and return what the method returns."""
        return self.begin(name, *arguments).result(_STORE_TIMEOUT)

    def await_step(self, step: str) -> Any:
        """Block until it tells that it has come to a step; return what there's to say of it."""
        return self._steps[step].get(timeout=_STORE_TIMEOUT)

    def await_death(self) -> None:
        """Block until it has killed itself."""
        self._process.join(_STORE_TIMEOUT)
        assert -signal.SIGKILL == self._process.exitcode

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def end(self) -> None:
        """Kill it, if it still lives."""
        self._process.kill()
        self._process.join(_STORE_TIMEOUT)
        self._reader.join(_STORE_TIMEOUT)
        self._connection.close()
        self._process.close()

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                kind, key, value = self._connection.recv()
                if kind == "step":
                    self._steps[key].put(value)
                elif kind == "error":
                    self._results[key].set_exception(AssertionError(value))
                else:
                    self._results[key].set_result(value)
        for future in list(self._results.values()):
            if not future.done():
                future.set_exception(EOFError("the sibling is dead"))


class Siblings:
    """Starts siblings that end with the test."""

    def __init__(self) -> None:
        self._all: list[Sibling] = []

    def start(
        self,
        mode: Mode,
        grant: str,
        *arguments: Any,
        store: TokenStore,
        lease: float = RedisTokenStore._lease_seconds,
        **options: Any,
    ) -> Sibling:
        """Start one, and wait until it's ready."""
        environ = {name: os.environ[name] for name in _ENVIRON if name in os.environ}
        plan = Plan(mode.name, grant, arguments, options, pickle.dumps(store), environ, lease)
        self._all.append(sibling := Sibling(plan))
        sibling.do("wait")
        return sibling

    def end(self) -> None:
        """End all."""
        for sibling in self._all:
            sibling.end()


# -- In the sibling's process ---------------------------------------------------------------------------------------


def _live(connection: Connection, plan: Plan) -> None:
    os.environ.update(plan.environ)
    RedisTokenStore._lease_seconds = plan.lease
    logging.disable()  # what goes wrong here is what the tests are about
    try:
        _Life(connection, plan).run()
    finally:
        os._exit(0)  # whatever still waits in a thread


class _Life:
    def __init__(self, connection: Connection, plan: Plan) -> None:
        self._connection = connection
        self._steps = _Steps(self._send)
        mode = next(mode for mode in modes.ALL if mode.name == plan.mode)
        self._mode = mode
        self._steps.watch_token_calls(mode)
        self._steps.watch_writing()
        store = _WatchedStore(pickle.loads(plan.store), self._steps)
        self._auth = getattr(mode.plugin, plan.grant)(*plan.arguments, **{**plan.options, "store": store})
        self._sending = threading.Lock()
        self._shift = 0.0

    def run(self) -> None:
        with self._mode.client(self._auth) as self._client, contextlib.suppress(EOFError):
            while True:
                threading.Thread(target=self._obey, args=self._connection.recv(), daemon=True).start()

    def _obey(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        try:
            self._send("result", number, getattr(self, name)(*arguments))
        except Exception as error:  # the test is told
            self._send("error", number, f"{type(error).__name__}: {error}")

    def _send(self, *message: Any) -> None:
        with self._sending:
            self._connection.send(message)

    def wait(self) -> None:
        """Do nothing."""

    def send(self, url: str, count: int) -> list[Any]:
        """Send requests at the same time; return their statuses, or the names of the errors they raised."""
        answers = self._client.get_many(url, count)
        return [type(answer).__name__ if isinstance(answer, Exception) else answer.status_code for answer in answers]

    def timed(self, url: str) -> tuple[Any, float]:
        """Send one; return its status or error's name, and how long it took."""
        begun = time.perf_counter()
        (status,) = self.send(url, 1)
        return status, time.perf_counter() - begun

    def get_token(self) -> Any:
        """Return a token that can be sent now."""
        return self._auth.get_token()

    def token(self) -> Any:
        """Return the current token, once no renewal is under way."""
        self._auth.close()
        return self._auth.token

    def move_clock(self, seconds: float) -> None:
        """Have the library's clock go on from so much later."""
        shift = self._shift = self._shift + seconds
        real = time.clock_gettime
        time.time = lambda: real(time.CLOCK_REALTIME) + shift

    def at(self, step: str, action: str, visit: int = 1) -> None:
        """Do something at a step when it's come to again: `tell`, `hold` or `kill`."""
        self._steps.at(step, action, visit)

    def go(self, step: str) -> None:
        """Go on from a step at which it's held."""
        self._steps.go(step)

    def lock_waits(self) -> list[float]:
        """Return how long each renewal so far would have waited for the lock, once none is under way."""
        self._auth.close()
        return list(self._steps.lock_waits)


class _Steps:
    def __init__(self, send: Callable[..., None]) -> None:
        self._send = send
        self._actions: dict[str, tuple[str, int]] = {}
        self._held: dict[str, threading.Event] = defaultdict(threading.Event)
        self.counts: Counter[str] = Counter()
        self.lock_waits: list[float] = []
        self._is_saving = False

    def at(self, step: str, action: str, visit: int) -> None:
        self._actions[step] = action, visit + self.counts[step]

    def go(self, step: str) -> None:
        self._held[step].set()

    def come_to(self, step: str, about: Any = None) -> None:
        self.counts[step] += 1
        action, visit = self._actions.get(step, ("", 0))
        if action == "tell":
            self._send("step", step, about)
        elif self.counts[step] != visit:
            return
        elif action == "hold":
            self._send("step", step, about)
            self._held[step].wait(_STORE_TIMEOUT)
        elif action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

    def watch_token_calls(self, mode: Mode) -> None:
        transport: Any = mode.plugin.OAuthAuthorizationController._transport_class
        send, takes = transport.send, Body.takes

        def watched_send(*args: Any, **kwargs: Any) -> Any:
            self.come_to("call")
            answer = send(*args, **kwargs)
            self.come_to("read")
            return answer

        def watched_takes(body: Body, chunk: bytes) -> bool:
            if not body.content:
                self.come_to("answered")
            return takes(body, chunk)

        transport.send = watched_send
        Body.takes = watched_takes  # type: ignore[assignment, method-assign]

    def watch_writing(self) -> None:
        """Watch what makes a saved entry the valid one: a file's rename, also below the keyring; SET."""

        def watched(function: Callable[..., Any]) -> Callable[..., Any]:
            def write(*args: Any, **kwargs: Any) -> Any:
                if not self._is_saving:
                    return function(*args, **kwargs)
                self.come_to("write")
                result = function(*args, **kwargs)
                self.come_to("written")
                return result

            return write

        os.replace = watched(os.replace)
        redis.Redis.set = watched(redis.Redis.set)  # type: ignore[method-assign]

    @contextmanager
    def saving(self) -> Iterator[None]:
        self.come_to("save")
        self._is_saving = True
        try:
            yield
        finally:
            self._is_saving = False
        self.come_to("saved")


class _WatchedStore:
    def __init__(self, store: Any, steps: _Steps) -> None:
        self._store = store
        self._steps = steps
        self.timeout = getattr(store, "timeout", 5.0)

    def load(self, key: str) -> Any:
        self._steps.come_to("load")
        return self._store.load(key)

    def save(self, key: str, token: Any) -> None:
        with self._steps.saving():
            self._store.save(key, token)

    def delete(self, key: str) -> None:
        self._store.delete(key)

    @contextmanager
    def lock(self, key: str, *, timeout: float = LOCK_WAIT) -> Iterator[Any]:
        self._steps.lock_waits.append(timeout)
        self._steps.come_to("lock", timeout)
        with self._store.lock(key, timeout=timeout) as held:
            self._steps.come_to("locked")
            yield held
            self._steps.come_to("unlock")
        self._steps.come_to("unlocked")
