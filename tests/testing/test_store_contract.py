"""The kit for stores finds what it's there to find: each of these stores breaks one promise, and fails a test."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import OAuthToken, TokenStoreError
from oauth_auth.stores import FileTokenStore, LockTaken
from oauth_auth.testing.store_contract import StoreContract
from tests.support.waiting import await_end, other_threads


class Good:
    """A store as people write them: files, and a lock by `flock`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def path(self, key: str) -> Path:
        return FileTokenStore(self.folder)._path(key)

    def load(self, key: str) -> OAuthToken | None:
        try:
            return OAuthToken.from_dict(json.loads(self.path(key).read_text()))
        except FileNotFoundError:
            return None

    def save(self, key: str, token: OAuthToken) -> None:
        temporary = self.path(key).with_suffix(f".{os.urandom(4).hex()}")
        temporary.write_text(json.dumps(token.to_dict()))
        temporary.replace(self.path(key))

    def delete(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        with self.path(key).with_suffix(".lock").open("w") as file:
            deadline = time.monotonic() + timeout
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise LockTaken("taken") from None
                    time.sleep(0.01)
                else:
                    break
            yield None


class SimplyGood(Good):
    """Its lock takes no time-out."""

    def lock(self, key: str) -> Any:  # type: ignore[override]
        return super().lock(key)


# -- Stores that lose or change something ---------------------------------------------------------------------------


def forgets(field: str) -> type[Good]:
    class Forgets(Good):
        def save(self, key: str, token: OAuthToken) -> None:
            fields = {**token.to_dict(), field: None}
            super().save(key, OAuthToken.from_dict({**fields, "extra": fields["extra"] or {}}))

    return Forgets


class CountsExpiryAnew(Good):
    def load(self, key: str) -> OAuthToken | None:
        token = super().load(key)
        return token and OAuthToken.from_dict({**token.to_dict(), "expiry": None})


class RoundsTimes(Good):
    def save(self, key: str, token: OAuthToken) -> None:
        fields = token.to_dict()
        super().save(key, OAuthToken.from_dict({**fields, "expiry": fields["expiry"] and int(fields["expiry"])}))


class OnlyAscii(Good):
    def save(self, key: str, token: OAuthToken) -> None:
        json.dumps(token.to_dict(), ensure_ascii=False).encode("latin-1")
        super().save(key, token)


class CutsOff(Good):
    def save(self, key: str, token: OAuthToken) -> None:
        if len(json.dumps(token.to_dict())) > 4096:
            raise TokenStoreError("too long")
        super().save(key, token)


class FoldsCase(Good):
    def path(self, key: str) -> Path:
        return super().path(key.lower())


class Strips(Good):
    def path(self, key: str) -> Path:
        return super().path(key.strip())


class Normalizes(Good):
    def path(self, key: str) -> Path:
        import unicodedata

        return super().path(unicodedata.normalize("NFC", key))


class CutsKeys(Good):
    def path(self, key: str) -> Path:
        return super().path(key[:64])


class KeysAreFiles(Good):
    def path(self, key: str) -> Path:
        return self.folder / f"{key}.json"


class KeysAreFormats(Good):
    def path(self, key: str) -> Path:
        return super().path(key.format())


class OneForAll(Good):
    def path(self, key: str) -> Path:
        return self.folder / "token.json"


class RaisesForAbsent(Good):
    def load(self, key: str) -> OAuthToken | None:
        return OAuthToken.from_dict(json.loads(self.path(key).read_text()))


class DeletesOnlyWhatIsThere(Good):
    def delete(self, key: str) -> None:
        self.path(key).unlink()


class NeverDeletes(Good):
    def delete(self, key: str) -> None:
        pass


class DeletesAll(Good):
    def delete(self, key: str) -> None:
        for path in self.folder.glob("*.json"):
            path.unlink()


class WritesInPlace(Good):
    def save(self, key: str, token: OAuthToken) -> None:
        with self.path(key).open("w") as file:
            for letter in json.dumps(token.to_dict()):
                file.write(letter)
                file.flush()


class WritesOver(Good):
    def save(self, key: str, token: OAuthToken) -> None:
        descriptor = os.open(self.path(key), os.O_RDWR | os.O_CREAT)
        os.write(descriptor, json.dumps(token.to_dict()).encode())
        os.close(descriptor)


class DeletesFirst(Good):
    def save(self, key: str, token: OAuthToken) -> None:
        self.delete(key)
        time.sleep(0.002)
        super().save(key, token)


class KeepsFirst(Good):
    def save(self, key: str, token: OAuthToken) -> None:
        if self.load(key) is None:
            super().save(key, token)


class Caches(Good):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.cache: dict[str, OAuthToken | None] = {}

    def load(self, key: str) -> OAuthToken | None:
        if key not in self.cache:
            self.cache[key] = super().load(key)
        return self.cache[key]

    def save(self, key: str, token: OAuthToken) -> None:
        super().save(key, token)
        self.cache[key] = token

    def delete(self, key: str) -> None:
        super().delete(key)
        self.cache[key] = None


class ReturnsDictionaries(Good):
    def load(self, key: str) -> Any:
        token = super().load(key)
        return token and token.to_dict()


class ShowsSecrets(Good):
    def __repr__(self) -> str:
        return f"ShowsSecrets({[path.read_text() for path in self.folder.glob('*.json')]})"


class ErrorsShowSecrets(Good):
    def save(self, key: str, token: OAuthToken) -> None:
        try:
            super().save(key, token)
        except Exception as error:
            raise TokenStoreError(f"can't save {token.to_dict()}") from error


class SavesHalfOfWhatJsonCannotCarry(Good):
    def save(self, key: str, token: OAuthToken) -> None:
        with self.path(key).open("w") as file:
            json.dump(token.to_dict(), file)


class CopiesAreElsewhere(Good):
    def __deepcopy__(self, memo: object) -> CopiesAreElsewhere:
        return type(self)(self.folder / "copy")


class PicklesElsewhere(Good):
    def __reduce__(self) -> Any:
        return type(self), (self.folder / "copy",)


class Asynchronous(Good):
    async def save(self, key: str, token: OAuthToken) -> None:  # type: ignore[override]
        super().save(key, token)


class NoDelete(Good):
    delete = None  # type: ignore[assignment]


# -- Stores whose locks don't do what they should ---------------------------------------------------------------------


class NoLock(Good):
    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        yield None


class LocksThreadsOnly(Good):
    locks: dict[str, threading.Lock] = {}  # noqa: RUF012 - for all

    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        lock = self.locks.setdefault(key, threading.Lock())
        if not lock.acquire(timeout=timeout):
            raise LockTaken("taken")
        try:
            yield None
        finally:
            lock.release()

    def __reduce__(self) -> Any:
        return type(self), (self.folder,)


class LocksOneObjectOnly(Good):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.the_lock = threading.Lock()

    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        with self.the_lock:
            yield None

    def __reduce__(self) -> Any:
        return type(self), (self.folder,)


class ReentrantAmongThreads(Good):
    """Processes exclude each other, threads of one don't."""

    count = 0

    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        with (self.folder / "lock").open("w") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            yield None


class OneLockForAll(Good):
    def lock(self, key: str, *, timeout: float = 30.0) -> Any:
        return super().lock("all", timeout=timeout)


class SwallowsErrors(Good):
    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        with super().lock(key, timeout=timeout), contextlib.suppress(Exception):
            yield None


class ChangesErrors(Good):
    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        with super().lock(key, timeout=timeout):
            try:
                yield None
            except Exception as error:
                raise TokenStoreError("in the lock") from error


class LocksByExistence(Good):
    """What a killed holder leaves is there for ever."""

    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 1.0) -> Iterator[Any]:
        path, deadline = self.path(key).with_suffix(".lock"), time.monotonic() + timeout
        while True:
            try:
                path.touch(exist_ok=False)
            except FileExistsError:
                if time.monotonic() >= deadline:
                    raise LockTaken("taken") from None
                time.sleep(0.01)
            else:
                break
        try:
            yield None
        finally:
            path.unlink()


class KeepsLockAfterErrors(Good):
    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        file = self.path(key).with_suffix(".lock").open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        self.__dict__.setdefault("kept", []).append(file)
        yield None
        file.close()


class NeverUnlocks(Good):
    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        file = self.path(key).with_suffix(".lock").open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        self.__dict__.setdefault("kept", []).append(file)
        yield None

    def __reduce__(self) -> Any:
        return type(self), (self.folder,)


class IgnoresTimeout(Good):
    def lock(self, key: str, *, timeout: float = 30.0) -> Any:
        return super().lock(key, timeout=4.0)


class GivesUpAtOnce(Good):
    def lock(self, key: str, *, timeout: float = 30.0) -> Any:
        return super().lock(key, timeout=0.0)


class EntersAfterTimeout(Good):
    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        try:
            with super().lock(key, timeout=timeout):
                yield None
        except LockTaken:
            yield None


class RaisesAnotherError(Good):
    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        try:
            with super().lock(key, timeout=timeout):
                yield None
        except LockTaken as error:
            raise TokenStoreError(str(error)) from None


class LocksLoadsOut(Good):
    """Load and save take the lock themselves."""

    def load(self, key: str) -> OAuthToken | None:
        with super().lock(key, timeout=0.5):
            return super().load(key)


class LocksAtCall(Good):
    """It takes the lock when it's asked for one, before anybody enters it."""

    def lock(self, key: str, *, timeout: float = 30.0) -> Any:
        stack = contextlib.ExitStack()
        stack.enter_context(super().lock(key, timeout=timeout))
        return stack


class SaysThatItIsLost(Good):
    class Lease:
        """It's lost from the beginning."""

        def is_held(self) -> bool:
            return False

    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        with super().lock(key, timeout=timeout):
            yield self.Lease()


class BoundToThread(Good):
    """Its lock is free for others only when the thread that had it has ended."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.mine = threading.local()

    @contextlib.contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[Any]:
        held = self.mine.__dict__.setdefault("held", contextlib.ExitStack())
        if not hasattr(self.mine, key):
            held.enter_context(super().lock(key, timeout=timeout))
            setattr(self.mine, key, True)
        yield None

    def __reduce__(self) -> Any:
        return type(self), (self.folder,)


MUTANTS: tuple[type[Good], ...] = (
    *map(forgets, ("refresh_token", "expiry", "expires_in", "scope", "token_type", "extra")),
    *(CountsExpiryAnew, RoundsTimes, OnlyAscii, CutsOff, FoldsCase, Strips, Normalizes, CutsKeys, KeysAreFiles),
    *(KeysAreFormats, OneForAll, RaisesForAbsent, DeletesOnlyWhatIsThere, NeverDeletes, DeletesAll, WritesInPlace),
    *(WritesOver, DeletesFirst, KeepsFirst, Caches, ReturnsDictionaries, ShowsSecrets, ErrorsShowSecrets),
    *(SavesHalfOfWhatJsonCannotCarry, CopiesAreElsewhere, PicklesElsewhere, Asynchronous, NoDelete, NoLock),
    *(LocksThreadsOnly, LocksOneObjectOnly, ReentrantAmongThreads, OneLockForAll, SwallowsErrors, ChangesErrors),
    *(
        LocksByExistence,
        KeepsLockAfterErrors,
        NeverUnlocks,
        IgnoresTimeout,
        GivesUpAtOnce,
        EntersAfterTimeout,
        RaisesAnotherError,
    ),
    *(LocksLoadsOut, LocksAtCall, SaysThatItIsLost, BoundToThread),
)


class Hasty(StoreContract):
    """The tests, for stores of which some hang."""

    timeout = 3.0


def failures(
    make_store: Callable[[], Any], contract_class: type[StoreContract] = StoreContract, *, first: bool = False
) -> list[str]:
    """Run the kit's tests, as pytest would; return the names of those that fail."""
    failed: list[str] = []
    contract = contract_class()
    for name in sorted(vars(StoreContract), key=lambda name: "process" in name or "killed" in name):
        if not name.startswith("test_"):
            continue
        method = getattr(contract, name)
        marks = [mark for mark in getattr(method, "pytestmark", []) if mark.name == "parametrize"]
        cases = [{mark.args[0]: value} for mark in marks for value in mark.args[1]] or [{}]
        for case in cases:
            wanted = method.__code__.co_varnames[1 : method.__code__.co_argcount]
            given = {"make_store": make_store, "store": make_store()} if not failed or not first else {}
            if not given:
                return failed
            arguments = {**{name: value for name, value in given.items() if name in wanted}, **case}
            try:
                method(**arguments)
            except (Exception, pytest.fail.Exception):
                failed.append(name)
    return failed


@pytest.fixture
def maker(tmp_path: Path) -> Callable[[type[Good]], Callable[[], Good]]:
    def make_maker(kind: type[Good]) -> Callable[[], Good]:
        return lambda: kind(tmp_path / "tokens")

    return make_maker


@pytest.mark.parametrize("kind", [Good, SimplyGood])
def test_a_good_store_passes(kind: type[Good], maker: Any) -> None:
    """With a time-out in its lock or without."""
    assert [] == failures(maker(kind))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
@pytest.mark.filterwarnings("ignore")
def test_a_store_that_breaks_a_promise_fails(mutant: type[Good], maker: Any) -> None:
    """Whatever a store does wrong that would hurt its users, one of the tests finds."""
    before = other_threads()
    found = failures(maker(mutant), Hasty, first=True)
    gc.collect()  # locks that were never released are free now
    await_end(other_threads() - before, 10)
    assert found
