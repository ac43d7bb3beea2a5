"""Guarantee 9, its other half: no request fails, or waits for long, because a token store is broken."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import keyring.core
import pytest
import redis
from cryptography.fernet import Fernet
from keyring.backends.fail import Keyring as NoKeyring

from oauth_auth import MemoryTokenStore, OAuthToken
from oauth_auth._renewal.store_entry import StoreEntry
from oauth_auth.stores import FileTokenStore, KeyringTokenStore, RedisTokenStore, TokenStore
from tests.servers.redis import RedisServer
from tests.support import modes
from tests.support.clock import Clock
from tests.support.log import Log
from tests.support.modes import Mode
from tests.support.scripted import ScriptedServer
from tests.support.tokens import Tokens, client_credentials, token_that_expires_in
from tests.support.waiting import await_end, flights_in_the_air

pytestmark = pytest.mark.shared_core

KEY = "key"
OLD = OAuthToken(access_token="top-secret-old", refresh_token="top-secret-older", expiry=1.0)
"""What a store held before: long expired."""


@dataclasses.dataclass
class Trouble:
    """A store that is broken from `begin` to `end`."""

    store: TokenStore
    begin: Callable[[], object]
    end: Callable[[], object]
    protects: bool = False
    """Whether what's in the store stays there as it is."""


# -- Troubles of our own stores -------------------------------------------------------------------------------------


def full_disk(request: pytest.FixtureRequest) -> Trouble:
    """The disk is full: a real one, if there may be one."""
    folder = request.getfixturevalue("tmp_path") / "tokens"
    folder.mkdir(mode=0o700)
    store, filler = FileTokenStore(folder), folder / "filler"
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k,mode=0700", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0:
        # Lazily: a thread that saves may have a file open for a moment yet.
        request.addfinalizer(lambda: subprocess.run(["umount", "--lazy", str(folder)], check=True))

        def fill() -> None:
            with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
                while True:
                    file.write(b"x" * 1024)

        return Trouble(store, fill, filler.unlink)
    monkeypatch, fsync = request.getfixturevalue("monkeypatch"), os.fsync

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # Not by undo(), which would take the clock away, too.
    return Trouble(
        store, lambda: monkeypatch.setattr(os, "fsync", fail), lambda: monkeypatch.setattr(os, "fsync", fsync)
    )


def directory_for_file(request: pytest.FixtureRequest) -> Trouble:
    """A folder lies where the file should be."""
    store = FileTokenStore(request.getfixturevalue("tmp_path") / "tokens")
    path = file_of(store)

    def begin() -> None:
        path.unlink(missing_ok=True)
        path.mkdir(parents=True)

    return Trouble(store, begin, path.rmdir)


def open_folder(request: pytest.FixtureRequest) -> Trouble:
    """Anybody may write to the folder."""
    folder = request.getfixturevalue("tmp_path") / "tokens"
    folder.mkdir(mode=0o700)
    return Trouble(FileTokenStore(folder), lambda: folder.chmod(0o777), lambda: folder.chmod(0o700))


def other_key(request: pytest.FixtureRequest) -> Trouble:
    """The entry is encrypted with a key that the program doesn't have."""
    folder = request.getfixturevalue("tmp_path") / "tokens"
    other = FileTokenStore(folder, encryption_key=Fernet.generate_key())
    store = FileTokenStore(folder, encryption_key=Fernet.generate_key())
    return Trouble(store, lambda: other.save(KEY, OLD), lambda: other.delete(KEY), protects=True)


def no_key(request: pytest.FixtureRequest) -> Trouble:
    """The entry is encrypted, and the program has no key."""
    own_redis: RedisServer = request.getfixturevalue("own_redis")
    other = RedisTokenStore(own_redis.url, encryption_key=Fernet.generate_key())
    store = RedisTokenStore(own_redis.url)
    return Trouble(store, lambda: other.save(KEY, OLD), lambda: other.delete(KEY), protects=True)


def redis_down(request: pytest.FixtureRequest) -> Trouble:
    """Redis doesn't run."""
    own_redis: RedisServer = request.getfixturevalue("own_redis")
    return Trouble(RedisTokenStore(own_redis.url), own_redis.stop, own_redis.start)


def redis_hangs(request: pytest.FixtureRequest) -> Trouble:
    """Redis takes connections, and never answers."""
    own_redis: RedisServer = request.getfixturevalue("own_redis")
    return Trouble(RedisTokenStore(own_redis.url), own_redis.hang, own_redis.go_on)


def redis_hangs_without_timeout(request: pytest.FixtureRequest) -> Trouble:
    """Redis never answers, and the user's client waits for ever."""
    own_redis: RedisServer = request.getfixturevalue("own_redis")
    client = redis.Redis(port=own_redis.port, socket_timeout=None)
    request.addfinalizer(client.close)
    return Trouble(RedisTokenStore(client), own_redis.hang, own_redis.go_on)


def redis_wants_password(request: pytest.FixtureRequest) -> Trouble:
    """Redis asks for a password that the URL doesn't have."""
    own_redis: RedisServer = request.getfixturevalue("own_redis")

    def set_password(old: str, new: str) -> None:
        with redis.Redis(port=own_redis.port, password=old or None) as client:
            client.config_set("requirepass", new)
            for connection in client.client_list():
                if connection["cmd"] != "client|list":
                    client.client_kill_filter(_id=connection["id"])  # which may have ended meanwhile

    store = RedisTokenStore(own_redis.url)
    return Trouble(store, lambda: set_password("", "open sesame"), lambda: set_password("open sesame", ""))


def redis_full(request: pytest.FixtureRequest) -> Trouble:
    """Redis is out of memory."""
    client = request.getfixturevalue("own_redis").client
    client.config_set("maxmemory-policy", "noeviction")
    return Trouble(
        RedisTokenStore(request.getfixturevalue("own_redis").url),
        lambda: client.config_set("maxmemory", "1"),
        lambda: client.config_set("maxmemory", "0"),
    )


def redis_replica(request: pytest.FixtureRequest) -> Trouble:
    """Redis is a replica, which can only be read."""
    own_redis: RedisServer = request.getfixturevalue("own_redis")
    main: RedisServer = request.getfixturevalue("running_redis")
    return Trouble(
        RedisTokenStore(own_redis.url),
        lambda: own_redis.client.replicaof("127.0.0.1", main.port),
        lambda: own_redis.client.replicaof("no", "one"),
    )


def redis_without_set(request: pytest.FixtureRequest) -> Trouble:
    """Redis doesn't know the command that saves, and tells what it was given."""
    own_redis: RedisServer = request.getfixturevalue("own_redis")

    def restart(*options: str) -> None:
        own_redis.stop()
        own_redis.start(*options)

    store = RedisTokenStore(own_redis.url)
    return Trouble(store, lambda: restart("--rename-command", "SET", ""), restart)


def keyring_locked(request: pytest.FixtureRequest) -> Trouble:
    """The keyring is locked, and nobody opens it."""
    locked: Path = request.getfixturevalue("keyring_folder") / "locked"
    return Trouble(KeyringTokenStore(), locked.touch, locked.unlink)


def no_keyring(request: pytest.FixtureRequest) -> Trouble:
    """There is no keyring on this machine."""
    request.getfixturevalue("keyring_folder")
    ours, no_backend = keyring.core.load_env(), NoKeyring()  # type: ignore[no-untyped-call]
    assert ours is not None
    return Trouble(
        KeyringTokenStore(), lambda: keyring.core.set_keyring(no_backend), lambda: keyring.core.set_keyring(ours)
    )


def prompting_keyring(request: pytest.FixtureRequest) -> Trouble:
    """The keyring asks a person, who isn't there."""
    request.getfixturevalue("keyring_folder")
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setattr(KeyringTokenStore, "timeout", 2.5)
    backend, answered = keyring.core.load_env(), threading.Event()
    assert backend is not None
    get_password = backend.get_password
    request.addfinalizer(answered.set)

    def prompt(service: str, username: str) -> str | None:
        assert answered.wait(60)
        return get_password(service, username)

    def begin() -> None:
        backend.get_password = prompt  # type: ignore[method-assign]
        keyring.core.set_keyring(backend)

    return Trouble(KeyringTokenStore(), begin, answered.set)


# -- Troubles of users' stores --------------------------------------------------------------------------------------


class Moody(MemoryTokenStore):
    """Does instead of the methods named what a test says."""

    def __init__(self, *methods: str) -> None:
        super().__init__()
        self.methods = methods
        self.mood: Callable[[], object] | None = None

    def suffer(self, method: str) -> None:
        if self.mood is not None and method in self.methods:
            self.mood()

    def load(self, key: str) -> OAuthToken | None:
        self.suffer("load")
        return super().load(key)

    def save(self, key: str, token: OAuthToken) -> None:
        self.suffer("save")
        super().save(key, token)

    @contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[None]:
        self.suffer("lock")
        with super().lock(key, timeout=timeout):
            yield
            self.suffer("unlock")


ALL_METHODS = ("load", "save", "lock", "unlock")


class Weird(BaseException):
    """An error that can't even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("top-secret")

    __repr__ = __str__


def user_store_raises(error: Callable[[], BaseException], *methods: str) -> Callable[[Any], Trouble]:
    def make(request: pytest.FixtureRequest) -> Trouble:
        store = Moody(*methods)

        def fail() -> None:
            raise error()

        return Trouble(store, lambda: setattr(store, "mood", fail), lambda: setattr(store, "mood", None))

    return make


class Impolite(Moody):
    """Its lock takes no time-out."""

    def lock(self, key: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return super().lock(key)


def user_store_hangs(*methods: str) -> Callable[[Any], Trouble]:
    def make(request: pytest.FixtureRequest) -> Trouble:
        # Without time-out it can't be told whether a lock hangs or is another's: both are waited for.
        request.getfixturevalue("monkeypatch").setattr(StoreEntry, "lock_wait", 0.0)
        store, released = Impolite(*methods), threading.Event()
        request.addfinalizer(released.set)

        def end() -> None:
            store.mood = None
            released.set()

        return Trouble(store, lambda: setattr(store, "mood", lambda: released.wait(60)), end)

    return make


class Rubbish(MemoryTokenStore):
    """Returns what no store should, while it's told to."""

    rubbish: Any = None

    def load(self, key: str) -> Any:
        return super().load(key) if self.rubbish is None else self.rubbish

    def lock(self, key: str, *, timeout: float = 30.0) -> Any:
        return super().lock(key, timeout=timeout) if self.rubbish is None else self.rubbish


def user_store_cannot_read(request: pytest.FixtureRequest) -> Trouble:
    """What's in a user's store can't be read, though the store can be written."""
    store = Moody("load")
    store._get = store._tokens.get  # type: ignore[attr-defined]

    def fail() -> None:
        raise LookupError

    def begin() -> None:
        store.save(KEY, OLD)
        store.mood = fail

    return Trouble(store, begin, lambda: setattr(store, "mood", None), protects=True)


def user_store_returns(rubbish: Any) -> Callable[[Any], Trouble]:
    def make(request: pytest.FixtureRequest) -> Trouble:
        store = Rubbish()
        return Trouble(store, lambda: setattr(store, "rubbish", rubbish), lambda: setattr(store, "rubbish", None))

    return make


QUICK: dict[str, Callable[[pytest.FixtureRequest], Trouble]] = {
    "disk full": full_disk,
    "folder for file": directory_for_file,
    "open folder": open_folder,
    "other key": other_key,
    "no key": no_key,
    "Redis down": redis_down,
    "Redis wants a password": redis_wants_password,
    "Redis full": redis_full,
    "Redis a replica": redis_replica,
    "Redis without SET": redis_without_set,
    "keyring locked": keyring_locked,
    "no keyring": no_keyring,
    "raises": user_store_raises(lambda: LookupError("top-secret"), *ALL_METHODS),
    "raises OSError": user_store_raises(lambda: OSError(5, "Input/output error"), "save", "lock"),
    "raises SystemExit": user_store_raises(lambda: SystemExit(1), *ALL_METHODS),
    "raises KeyboardInterrupt": user_store_raises(KeyboardInterrupt, *ALL_METHODS),
    "raises what can't be shown": user_store_raises(Weird, *ALL_METHODS),
    "raises StopIteration": user_store_raises(StopIteration, "load", "save"),
    "can't read": user_store_cannot_read,
    "returns a dictionary": user_store_returns({"access_token": "top-secret"}),
    "raises at save": user_store_raises(lambda: TimeoutError("too late"), "save"),
}
SLOW: dict[str, Callable[[pytest.FixtureRequest], Trouble]] = {
    "Redis hangs": redis_hangs,
    "Redis hangs without time-out": redis_hangs_without_timeout,
    "prompting keyring": prompting_keyring,
    "hangs in load": user_store_hangs("load"),
    "hangs in save": user_store_hangs("save"),
    "hangs in lock": user_store_hangs("lock"),
    "hangs in unlock": user_store_hangs("unlock"),
}


@pytest.fixture
def timeout_of_2_5_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StoreEntry, "default_timeout", 2.5)


def file_of(store: FileTokenStore) -> Path:
    return store._path(KEY)


def raw_entry(store: Any) -> bytes | None:
    return store._get(KEY)  # type: ignore[no-any-return]


def let_flights_end(auth: Any) -> None:
    auth.close()
    flights = [thread for thread in flights_in_the_air() if thread.name == "oauth_auth-flight"]
    await_end(flights, 10)  # their work is done, and a thread takes a moment to end
    assert [] == [thread for thread in flights if thread.is_alive()]


def catch_up(client: Any, url: str, auth: Any, clock: Clock, is_done: Callable[[], bool]) -> None:
    """Send requests, a good minute apart, until what is to happen has happened."""
    for _ in range(4):
        clock.advance(70)
        assert 200 == client.get(url).status_code
        let_flights_end(auth)
        if is_done():
            return
    raise AssertionError("the store isn't used again")


def holds(store: TokenStore, access_token: str) -> bool:
    token = store.load(KEY)
    return token is not None and token.access_token == access_token


def check_whole_story(
    mode: Mode, tokens: Tokens, api: ScriptedServer, log: Log, clock: Clock, trouble: Trouble
) -> float:
    """Break the store, send requests, mend it, send requests; return how long the first request took."""
    trouble.begin()
    before = raw_entry(trouble.store) if trouble.protects else None
    begun = time.perf_counter()
    auth = client_credentials(mode, tokens, store=trouble.store, store_key=KEY)
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        seconds = time.perf_counter() - begun
        for _ in range(3):
            begun = time.perf_counter()
            assert 200 == client.get(api.url).status_code
            assert time.perf_counter() - begun < 2.4
            clock.advance(2)  # attempts to catch up are due, and fail in the background
        let_flights_end(auth)
        assert (1, 0) == (len(log.of_event("store_failed")), len(log.of_event("store_recovered")))
        if trouble.protects:
            assert None is not before == raw_entry(trouble.store)
        trouble.end()
        catch_up(client, api.url, auth, clock, lambda: holds(trouble.store, "token-1"))
        assert 1 == tokens.calls
        mode.refresh(auth)
        assert holds(trouble.store, "token-2")
    assert (1, 1) == (len(log.of_event("store_failed")), len(log.of_event("store_recovered")))
    return seconds


@pytest.mark.parametrize("make", QUICK.values(), ids=QUICK)
def test_a_broken_store(
    make: Callable[[pytest.FixtureRequest], Trouble],
    request: pytest.FixtureRequest,
    tokens: Tokens,
    api: ScriptedServer,
    log: Log,
    caplog: pytest.LogCaptureFixture,
    clock: Clock,
) -> None:
    """Requests go through at once; it's told once, without secrets; and the token is saved when the store is back."""
    seconds = check_whole_story(modes.REQUESTS, tokens, api, log, clock, make(request))
    assert seconds < 4
    assert not [word for word in ("token-1", "top-secret", "Bearer", "sesame") if word in caplog.text]


@pytest.mark.parametrize("make", SLOW.values(), ids=SLOW)
@pytest.mark.usefixtures("timeout_of_2_5_s")
def test_a_hanging_store(
    make: Callable[[pytest.FixtureRequest], Trouble],
    request: pytest.FixtureRequest,
    tokens: Tokens,
    api: ScriptedServer,
    log: Log,
    clock: Clock,
) -> None:
    """The first request waits for the store's timeout, the next don't; the token is saved when the store is back."""
    assert check_whole_story(modes.REQUESTS, tokens, api, log, clock, make(request)) < 10


@pytest.mark.parametrize("url_is_given", [True, False], ids=["URL", "client without time-out"])
def test_how_long_a_hanging_redis_delays(
    url_is_given: bool, own_redis: RedisServer, tokens: Tokens, api: ScriptedServer
) -> None:
    """A Redis that hangs delays one request: by URL for two seconds, with a client of one's own for five."""
    with redis.Redis(port=own_redis.port) as client:
        store = RedisTokenStore(own_redis.url if url_is_given else client)
        store.load(KEY)
        own_redis.hang()
        auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
        begun = time.monotonic()
        with modes.REQUESTS.client(auth) as api_client:
            assert 200 == api_client.get(api.url).status_code
            assert 1 < time.monotonic() - begun < (4.5 if url_is_given else 9)
            begun = time.monotonic()
            for _ in range(3):
                modes.REQUESTS.refresh(auth)
                assert 200 == api_client.get(api.url).status_code
            assert time.monotonic() - begun < 1.9
        own_redis.go_on()
        let_flights_end(auth)


def test_every_plug_in_goes_on(mode: Mode, tokens: Tokens, api: ScriptedServer, log: Log, clock: Clock) -> None:
    """It's the same for all plug-ins and event loops."""
    store = Moody(*ALL_METHODS)

    def fail() -> None:
        raise LookupError

    trouble = Trouble(store, lambda: setattr(store, "mood", fail), lambda: setattr(store, "mood", None))
    check_whole_story(mode, tokens, api, log, clock, trouble)


def test_a_redis_that_comes_and_goes(own_redis: RedisServer, tokens: Tokens, api: ScriptedServer, log: Log) -> None:
    """Each stretch of trouble is told once, and so is its end."""
    auth = client_credentials(modes.REQUESTS, tokens, store=RedisTokenStore(own_redis.url), store_key=KEY)
    told = []
    for _ in range(3):
        for change in (own_redis.stop, own_redis.start):
            change()
            for _ in range(2):
                auth.refresh()
            told.append((len(log.of_event("store_failed")), len(log.of_event("store_recovered"))))
    assert [(1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3)] == told


@pytest.mark.parametrize("seconds", [-1, 100], ids=["expired", "in its last seconds"])
def test_a_rotated_refresh_token_is_not_lost_with_its_store(
    seconds: float, plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, clock: Clock
) -> None:
    """If a rotated token can't be saved, it goes on in memory, and no spent refresh token comes back from the store."""
    store = Moody("save")
    store.save(KEY, token_that_expires_in(seconds, refresh_token="refresh-0"))
    sent = []

    def fail() -> None:
        raise LookupError

    def rotate(request: Any) -> None:
        sent.append(request.form["refresh_token"])
        tokens.fields["refresh_token"] = f"refresh-{tokens.issued + 1}"

    tokens.answer, store.mood = rotate, fail
    auth = plugin_mode.plugin.AuthorizationCodeAuth(tokens.url, "client", store=store, store_key=KEY)
    for _ in range(3):
        auth.refresh()
    store.mood = None
    clock.advance(70)
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        let_flights_end(auth)
    assert [[f"refresh-{n}"] for n in range(3)] == sent
    assert holds(store, "token-3")


@pytest.mark.parametrize("entry", [b"", b"{", b"null", b"\xff\xfe\x00", b'{"version": 1, "key": "key", "tok'])
def test_a_damaged_entry(entry: bytes, tokens: Tokens, api: ScriptedServer, log: Log, tmp_path: Path) -> None:
    """What is no token counts as absent, is told once, and is replaced."""
    store = FileTokenStore(tmp_path / "tokens")
    store.save(KEY, OLD)
    file_of(store).write_bytes(entry)
    auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
    with modes.REQUESTS.client(auth) as client:
        for _ in range(3):
            assert 200 == client.get(api.url).status_code
    assert holds(store, "token-1")
    assert (0, 1, 1) == (len(log.of_event("store_failed")), len(log.of_event("entry_ignored")), tokens.calls)


def test_a_plain_entry_where_encrypted_ones_are_wanted(
    tokens: Tokens, api: ScriptedServer, log: Log, tmp_path: Path
) -> None:
    """A token that anybody could have put there isn't sent, and is replaced by an encrypted one."""
    FileTokenStore(tmp_path / "tokens").save(KEY, token_that_expires_in(3000))
    store = FileTokenStore(tmp_path / "tokens", encryption_key=Fernet.generate_key())
    auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
    assert "token-1" == auth.get_token().access_token
    assert 1 == len(log.of_event("entry_ignored"))
    assert b"token-1" not in file_of(store).read_bytes()
    assert holds(store, "token-1")


READ_ONLY = """
import os, sys
from oauth_auth import OAuthToken
from oauth_auth.requests import TokenProviderAuth
from oauth_auth.stores import FileTokenStore
import logging, cryptography.fernet, filelock, concurrent.futures, queue, difflib, inspect
logging.basicConfig(format="%(oauth_event)s %(message)s")
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
store = FileTokenStore(sys.argv[1])
calls = []
auth = TokenProviderAuth(lambda _: OAuthToken(access_token="token"), store=store, store_key="key")
for _ in range(3):
    print(auth.refresh().access_token)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders have no modes")
@pytest.mark.parametrize("is_there", [True, False], ids=["read-only", "can't be made"])
def test_a_read_only_folder(is_there: bool, tmp_path: Path) -> None:
    """A folder that can't be written to, or made, harms nothing; the log says where."""
    import tempfile

    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        folder = Path(parent) / "tokens"
        if is_there:
            folder.mkdir()
            if os.geteuid() == 0:
                os.chown(folder, 65534, 65534)
            folder.chmod(0o500)
        else:
            Path(parent).chmod(0o555)
        run = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(folder)],
            env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},  # nor there
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        Path(parent).chmod(0o755)
    assert "token\n" * 3 == run.stdout, run.stderr
    assert ["store_failed"] == [line.split()[0] for line in run.stderr.splitlines()], run.stderr
    assert str(folder) in run.stderr
