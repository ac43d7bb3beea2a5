"""A file store keeps whole tokens for their owner alone, whatever happens to the processes that use it."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from oauth_auth import OAuthToken
from oauth_auth.errors import TokenStoreError
from oauth_auth.stores import FileTokenStore, KeyringTokenStore, LockTaken

KEY = "key"

needs_posix = pytest.mark.skipif(os.name != "posix", reason="files have no modes, and processes no signals")


@pytest.fixture
def store(tmp_path: Path) -> FileTokenStore:
    return FileTokenStore(tmp_path / "parent" / "tokens")


def modes_in(folder: Path) -> dict[str, int]:
    return {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@needs_posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277, 0o777], ids=oct)
def test_files_are_their_owners_alone(store: FileTokenStore, umask: int) -> None:
    """Folder 0700 and files 0600, under any umask."""
    before = os.umask(umask)
    try:
        with store.lock(KEY):
            store.save(KEY, OAuthToken(access_token="a"))
            store.save(KEY, OAuthToken(access_token="b"))
    finally:
        os.umask(before)
    assert 0o700 == stat.S_IMODE(store._folder.stat().st_mode)
    assert {".json": 0o600, ".lock": 0o600} == modes_in(store._folder)
    assert OAuthToken(access_token="b") == store.load(KEY)


def test_nothing_but_tokens_and_locks_is_left(store: FileTokenStore) -> None:
    """Each key has a file of its own and a lock, which stays: removing it would split those who wait for it."""
    for key in ("one", "other"):
        for _ in range(3):
            with store.lock(key):
                store.save(key, OAuthToken(access_token=key))
    assert [".json", ".json", ".lock", ".lock"] == sorted(path.suffix for path in store._folder.iterdir())
    before = store._path("one").with_suffix(".lock").stat().st_ino
    store.delete("one")
    with store.lock("one"):
        pass
    assert before == store._path("one").with_suffix(".lock").stat().st_ino
    assert OAuthToken(access_token="other") == store.load("other")


def test_a_failed_save_leaves_the_old_token(store: FileTokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing beside it."""
    store.save(KEY, OAuthToken(access_token="old"))

    def fail(*args: object) -> None:
        raise KeyboardInterrupt

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(os, name, fail)
            store.save(KEY, OAuthToken(access_token="new"))
    assert OAuthToken(access_token="old") == store.load(KEY)
    assert [".json"] == [path.suffix for path in store._folder.iterdir()]


@pytest.mark.parametrize("refusals", [0, 1, 3, 6, 7])
def test_a_file_in_use_is_replaced_when_it_is_free(
    store: FileTokenStore, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    """Windows refuses to replace a file that a sibling reads: a save waits, longer each time and 0.63 s in all."""
    store.save(KEY, OAuthToken(access_token="old"))
    replace, refused, pauses = os.replace, iter(range(refusals)), list[float]()

    def refuse_or_replace(*paths: Any) -> None:
        if next(refused, None) is not None:
            raise PermissionError(errno.EACCES, "in use", paths[1])
        replace(*paths)

    with monkeypatch.context() as patch, pytest.raises(TokenStoreError) if refusals > 6 else nullcontext():
        patch.setattr(os, "replace", refuse_or_replace)
        patch.setattr(time, "sleep", pauses.append)
        store.save(KEY, OAuthToken(access_token="new"))
    assert [0.01, 0.02, 0.04, 0.08, 0.16, 0.32][:refusals] == pauses
    assert OAuthToken(access_token="old" if refusals > 6 else "new") == store.load(KEY)
    assert [".json"] == [path.suffix for path in store._folder.iterdir()]


def test_what_killed_writers_left_is_removed(store: FileTokenStore) -> None:
    """After an hour, when nobody can be writing it any more; another key's files are that key's."""
    store.save(KEY, OAuthToken(access_token="a"))
    stem, other = store._path(KEY).stem, store._path("other").stem
    for name in (f"{stem}.old.tmp", f"{stem}.new.tmp", f"{other}.old.tmp", "mine.tmp"):
        (store._folder / name).write_text("half")
        if "new" not in name:
            os.utime(store._folder / name, (time.time() - 4000,) * 2)
    store.save(KEY, OAuthToken(access_token="b"))
    left = {path.name for path in store._folder.iterdir() if path.suffix == ".tmp"}
    assert {f"{stem}.new.tmp", f"{other}.old.tmp", "mine.tmp"} == left


def run(program: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"import sys\n{program}", *map(str, args)]
    return subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True)


def line_from(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


KILLER = """
import os, random, signal, time
from oauth_auth import OAuthToken
from oauth_auth.errors import TokenStoreError
from oauth_auth.stores import FileTokenStore
store = FileTokenStore(sys.argv[1])

def write():
    number = store.load("key").refresh_token
    for n in range(int(number) + 1, 10**9):
        with store.lock("key"):
            store.save("key", OAuthToken(access_token=f"{n}" + "a" * 20_000 + f"{n}", refresh_token=f"{n}"))

store.save("key", OAuthToken(access_token="00", refresh_token="0"))
rounds, token = 0, store.load("key")
while rounds < 100 or (int(token.refresh_token) <= 20 and rounds < 2000):  # on a busy machine some save nothing
    rounds += 1
    pid = os.fork()
    if pid == 0:
        write()
    time.sleep(random.uniform(0.002, 0.02))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    token = store.load("key")
    assert token.access_token.startswith(token.refresh_token) and token.access_token.endswith(token.refresh_token)
    with store.lock("key", timeout=0.0):
        pass
print(token.refresh_token)
"""


@needs_posix
def test_a_writer_that_is_killed(store: FileTokenStore) -> None:
    """However often a writer is killed, and wherever in its work: there's a whole token, and the lock is free."""
    with run(KILLER, store._folder) as process:
        saved = int(line_from(process))
    assert 0 == process.returncode
    assert saved > 20


FORKER = """
import os, time
from oauth_auth import OAuthToken
from oauth_auth.errors import TokenStoreError
from oauth_auth.stores import FileTokenStore
store = FileTokenStore(sys.argv[1])
lock = store.lock("key")
lock.__enter__()
if os.fork() == 0:
    print(os.getpid(), flush=True)
    if sys.argv[2] == "collect":
        del lock
        import gc
        gc.collect()
        print("collected", flush=True)
    if sys.argv[2] == "exit":
        os._exit(0) if sys.argv[3] == "hard" else sys.exit(0)
    time.sleep(60)
if sys.argv[2] == "exit":
    os.wait()
    print("ended", flush=True)
sys.stdin.read(1)
"""


@needs_posix
def test_a_child_does_not_keep_the_lock(store: FileTokenStore) -> None:
    """A process that was forked while its parent held the lock doesn't hold it when the parent has been killed."""
    with run(FORKER, store._folder, "sleep") as process:
        child = int(line_from(process))
        try:
            with pytest.raises(LockTaken), store.lock(KEY, timeout=0):
                pass
            process.kill()
            process.wait(20)
            with store.lock(KEY, timeout=5):
                pass
        finally:
            os.kill(child, signal.SIGKILL)


@needs_posix
@pytest.mark.parametrize("how", [("collect",), ("exit", "soft"), ("exit", "hard")], ids=" ".join)
def test_a_child_does_not_free_the_lock(store: FileTokenStore, how: tuple[str, ...]) -> None:
    """What a forked child does with its copy of the parent's lock frees it for nobody."""
    with run(FORKER, store._folder, *how) as process:
        child = int(line_from(process))
        try:
            assert line_from(process) in {"collected", "ended"}
            with pytest.raises(LockTaken), store.lock(KEY, timeout=0):
                pass
        finally:
            process.kill()
            if how == ("collect",):
                os.kill(child, signal.SIGKILL)


FORKED_USER = """
import os
from oauth_auth import OAuthToken
from oauth_auth.errors import TokenStoreError
from oauth_auth.stores import FileTokenStore
store = FileTokenStore(sys.argv[1])
with store.lock("key"):
    pid = os.fork()
    if pid == 0:
        store.save("key", OAuthToken(access_token="child"))
        print(store.load("key").access_token, flush=True)
        try:
            with store.lock("key", timeout=0.2):
                print("has lock", flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
        with store.lock("other", timeout=1):
            print("has other", flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
pid = os.fork()
if pid == 0:
    with store.lock("key", timeout=1):
        print("has lock", flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""


@needs_posix
def test_a_child_can_use_the_store(store: FileTokenStore) -> None:
    """A process forked while the lock is held can load and save, and takes the lock when it's free."""
    with run(FORKED_USER, store._folder) as process:
        lines = [line_from(process) for _ in range(4)]
        assert ["child", "LockTaken", "has other", "has lock"] == lines
        assert 0 == process.wait(20)


@needs_posix
def test_a_child_process_that_is_started_does_not_inherit_the_lock(store: FileTokenStore) -> None:
    """A program that was started meanwhile doesn't hold the lock either."""
    with store.lock(KEY):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=PIPE, close_fds=False)
    with child, store.lock(KEY, timeout=0):
        child.kill()


def test_many_threads(store: FileTokenStore) -> None:
    """Threads that load, change and save under the lock undo nothing of each other's, and leave no open file."""
    store.save(KEY, OAuthToken(access_token="0"))
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.exists() else 0

    def count_up(number: int) -> None:
        for _ in range(4):
            with store.lock(KEY), store.lock(f"other {number}"):
                token = store.load(KEY)
                assert token is not None
                store.save(KEY, OAuthToken(access_token=str(int(token.access_token) + 1)))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(count_up, range(16)))
    assert OAuthToken(access_token="64") == store.load(KEY)
    assert not before or len(list(descriptors.iterdir())) <= before


def test_a_waiting_thread_gets_the_lock_soon(store: FileTokenStore) -> None:
    """Who waits for the lock has it within a fraction of a second after it's free."""
    freed: list[float] = []
    held = threading.Event()

    def hold() -> None:
        with store.lock(KEY):
            held.set()
            threading.Event().wait(0.1)
        freed.append(time.monotonic())

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(20)
    with store.lock(KEY):
        taken = time.monotonic()
    thread.join(20)
    assert taken - freed[0] < 0.5


def test_the_folder_may_vanish(store: FileTokenStore) -> None:
    """A folder that somebody removes is made again, and a lock file that vanishes harms nobody."""
    import shutil

    for _ in range(2):
        with store.lock(KEY):
            store.save(KEY, OAuthToken(access_token="a"))
            store._path(KEY).with_suffix(".lock").unlink()
        assert OAuthToken(access_token="a") == store.load(KEY)
        shutil.rmtree(store._folder)
        assert None is store.load(KEY)
        store.delete(KEY)


def test_the_keyrings_locks_are_files_of_their_owner(keyring_folder: Path, tmp_path: Path) -> None:
    """They lie in a folder of the user's state, and are nobody else's."""
    before = os.umask(0)
    try:
        with KeyringTokenStore().lock(KEY):
            pass
    finally:
        os.umask(before)
    folder: Any = KeyringTokenStore()._locks
    assert folder.is_relative_to(tmp_path)
    assert (0o700, {".lock": 0o600}) == (stat.S_IMODE(folder.stat().st_mode), modes_in(folder))
