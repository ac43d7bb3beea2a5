from __future__ import annotations

import gc
import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import niquests
import pytest
from hypothesis import HealthCheck, settings

from oauth_auth._flight import Flight
from oauth_auth._plugins.exchange import DRAIN_SECONDS
from oauth_auth._server.calls import EndpointCalls
from oauth_auth.stores import TokenStore
from oauth_auth.testing import LocalProvider
from tests.servers.keyring_in_files import FOLDER
from tests.servers.oidc_provider import OidcProvider
from tests.servers.programs import ServiceMissing
from tests.servers.redis import RedisServer
from tests.servers.secure_provider import SecureProvider
from tests.support import inherited, modes
from tests.support.clock import Clock, MonotonicClock
from tests.support.log import Log
from tests.support.modes import Mode
from tests.support.raw import RawServer
from tests.support.rotation import Rotation
from tests.support.scripted import ScriptedServer
from tests.support.siblings import Siblings
from tests.support.stores import SHARED_STORES, STORES, store_maker
from tests.support.tokens import Gate, Tokens, accepting
from tests.support.waiting import await_end, flights_in_the_air

_UNSET = inherited.clear(os.environ)

# Examples are many and cheap; a machine that's busy is no reason to fail.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_FROM_OUTSIDE = {"conformance", "dropin", "processes", "project", "servers"}
"""The folders whose tests use the package from outside, and run no line of it that no other test does."""


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "run only the tests whose lines are counted, or only the others; by default both"
    parser.addoption("--lines", choices=["counted", "uncounted"], help=help_text)
    help_text = "run each test in all modes that it applies to, not only in those in which it can fail differently"
    parser.addoption("--all-modes", action="store_true", help=help_text)


def pytest_report_header() -> str | None:
    """Say what whoever runs the tests has set, and they don't see."""
    return f"unset: {', '.join(_UNSET)}" if _UNSET else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--all-modes"):
        beyond = [item for item in items if item.get_closest_marker("beyond") is not None]
        items[:] = [item for item in items if item.get_closest_marker("beyond") is None]
        config.hook.pytest_deselected(items=beyond)
    wanted = config.getoption("--lines")
    if wanted is None:
        return
    chosen: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        (chosen if is_counted(item) == (wanted == "counted") else left).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=left)


def is_counted(item: pytest.Item) -> bool:
    """Return whether a test may run lines of the package that no other test does."""
    is_from_outside = item.path.relative_to(Path(__file__).parent).parts[0] in _FROM_OUTSIDE
    return not is_from_outside and item.get_closest_marker("beyond") is None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Have the garbage collector look at no test and no module: they stay, and each look at so many takes its time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


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


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "having(*properties): run in the modes alone that have these properties")
    config.addinivalue_line(
        "markers", "beyond: in a mode in which the test can't fail differently, or with further seeds (`--all-modes`)"
    )
    for name, meaning in modes.WHOSE.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test its modes: those that have the properties that it's marked with, and in which it can differ.

    In modules that set `ALSO_SHARING`, `mode` is those whose flights share a loop, too; in those that set
    `ONE_PER_PLUGIN`, since what they test is far from what a client is, it's one of each plug-in.
    """
    given = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    names = {name.strip() for group in given for name in (group.split(",") if isinstance(group, str) else group)}
    marks = list(metafunc.definition.iter_markers())
    needed = [name for mark in marks if mark.name == "having" for name in mark.args]
    whose = next((mark.name for mark in marks if mark.name in modes.WHOSE), "each_mode")
    sharing = modes.SHARING if getattr(metafunc.module, "ALSO_SHARING", False) else ()
    of_mode = modes.SYNC if getattr(metafunc.module, "ONE_PER_PLUGIN", False) else (*modes.ALL, *sharing)
    for name, candidates in (
        ("mode", of_mode),
        ("plugin_mode", modes.SYNC),
        ("dual_mode", modes.WITH_ASYNC),
    ):
        if name in metafunc.fixturenames and name not in names:
            having = [mode for mode in candidates if all(getattr(mode, need) for need in needed)]
            narrow = modes.narrow(having, whose, metafunc.function.__name__)
            values: list[Any] = list(narrow)
            if metafunc.config.getoption("--all-modes"):
                values = [mode if mode in narrow else pytest.param(mode, marks=pytest.mark.beyond) for mode in having]
            metafunc.parametrize(name, values, ids=str, indirect=True)


READERS = "_plugins.requests_like", "_plugins.httpx_exchange", "niquests", "aiohttp"
"""The modules that read rejected answers to their end."""


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have rejected answers read to their end, however long that takes a busy machine.

    Returns what makes it as long as is shipped, for tests of answers that have none.
    """

    def give(seconds: float) -> None:
        for name in READERS:
            monkeypatch.setattr(f"oauth_auth.{name}.DRAIN_SECONDS", seconds)

    give(60.0)
    return partial(give, DRAIN_SECONDS)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> float:
    """Have callers wait until all is told, since tests look at once, and a busy machine takes its time.

    Returns the shipped patience, for tests in which that would take for ever.
    """
    shipped = Flight.patience
    monkeypatch.setattr(Flight, "patience", 20.0)
    return shipped


@pytest.fixture
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Mode:
    """Each way in which the library is used."""
    return request.param.prepared(monkeypatch)  # type: ignore[no-any-return]


@pytest.fixture
def plugin_mode(request: pytest.FixtureRequest) -> Mode:
    """One mode of each plug-in, where it doesn't matter whether the client is async."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def serve_raw() -> Iterator[Callable[..., RawServer]]:
    """Start servers that write bytes."""
    with ExitStack() as stack:
        yield lambda *pieces, **options: stack.enter_context(RawServer(*pieces, **options))


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


@pytest.fixture(scope="module")
def running_secure() -> Iterator[SecureProvider]:
    """oidc-provider with the security profile on, for the tests of a module."""
    with SecureProvider() as server:
        yield server


@pytest.fixture
def secure(running_secure: SecureProvider) -> SecureProvider:
    """The same as it was at the start."""
    running_secure.reset()
    return running_secure


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
def keyring_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have this process and those that it starts use a keyring that needs no desktop; return where it keeps things."""
    import keyring

    from tests.servers.keyring_in_files import KeyringInFiles

    folder = tmp_path / "keyring"
    folder.mkdir()
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "tests.servers.keyring_in_files.KeyringInFiles")
    monkeypatch.setenv(FOLDER, str(folder))
    for kind in ("STATE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path))
    back_end: Any = KeyringInFiles
    before = keyring.get_keyring()
    keyring.set_keyring(back_end())
    yield folder
    keyring.set_keyring(before)


@pytest.fixture(params=STORES)
def make_store(request: pytest.FixtureRequest) -> Callable[[], TokenStore]:
    """Return a function that makes store objects at one place, for all stores."""
    return store_maker(request, request.param)


@pytest.fixture(params=SHARED_STORES)
def make_shared_store(request: pytest.FixtureRequest) -> Callable[[], TokenStore]:
    """Do the same for the stores that processes share."""
    return store_maker(request, request.param)


@pytest.fixture
def siblings() -> Iterator[Siblings]:
    """Start processes that share a store, which end with the test."""
    siblings = Siblings()
    yield siblings
    siblings.end()


@pytest.fixture
def tokens(serve: Callable[..., ScriptedServer]) -> Tokens:
    return Tokens(serve)


@pytest.fixture
def api(serve: Callable[..., ScriptedServer], tokens: Tokens) -> ScriptedServer:
    """An API that takes the token that was issued last, and answers with the body it got."""
    return serve(accepting(tokens))


@pytest.fixture
def rotation(tokens: Tokens) -> Rotation:
    """Have the token endpoint rotate its refresh tokens."""
    return Rotation(tokens)


@pytest.fixture
def gate(tokens: Tokens) -> Iterator[Gate]:
    """Hold the answers of the token endpoint back, at most to the end of the test."""
    gate = Gate()
    tokens.answer = gate
    yield gate
    gate.open(gate.answer)
    # What was held goes on now: best to its end, before its servers and clock are gone.
    await_end(flights_in_the_air(), 10)


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """What a script waits for; set at the end of the test, so that no server hangs."""
    held = threading.Event()
    yield held
    held.set()


@pytest.fixture
def dual_mode(request: pytest.FixtureRequest) -> Mode:
    """The plug-ins whose objects serve threads and event loops alike."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(80) as pool:
        yield pool


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    """Find the library's records by their event, or by a word in them."""
    caplog.set_level(logging.DEBUG, "oauth_auth")
    return Log(caplog)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the retries of a token call follow each other at once."""
    monkeypatch.setattr(EndpointCalls, "pauses", ((0.0, 0.001), (0.0, 0.001)))


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> MonotonicClock:
    """The monotonic clock, which goes ahead when told."""
    return MonotonicClock(monkeypatch)
