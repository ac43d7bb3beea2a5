from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from .._events import emit
from .._wire.token import OAuthToken
from ..errors import ConfigurationError, TokenStoreError
from ._protocol import LOCK_WAIT, lock_taken
from ._serialized import EncryptionKey, SerializedStore, store_errors

__all__ = ["FileTokenStore", "file_lock", "make_folder", "replace_file", "require_filelock"]

_MAX_READ_BYTES = 2 * 1024 * 1024
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_LEFTOVER_SECONDS = 3600.0
_PAUSES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""How long a replacement that's refused waits before each further try, in seconds."""


class FileTokenStore(SerializedStore):
    """Keeps each token in a file of its own, for all processes of one user on one machine. Thread-safe.

    `folder` is made when needed, for its owner alone (mode 0700, files 0600). A file is replaced as a whole, so it
    can be read after any crash. `encryption_key` is a key of cryptography's `Fernet`, or several: the first encrypts,
    all decrypt. Needs `oauth_auth[file]`, with a key also `oauth_auth[encryption]`.

    Raises `TokenStoreError` if the folder, or a token's file, belongs to another user, or others may write to it: they
    could plant a token of theirs. A folder that other users may read is logged.
    """

    def __init__(self, folder: str | os.PathLike[str], *, encryption_key: EncryptionKey | None = None) -> None:
        require_filelock("FileTokenStore")
        super().__init__(encryption_key)
        self._folder = _read_path(folder)
        self._is_logged_open = False
        self._check_folder()

    @contextmanager
    def lock(self, key: str, *, timeout: float = LOCK_WAIT) -> Iterator[None]:
        """Hold the key's lock, which the system frees when this process ends, even by SIGKILL.

        Raises `LockTaken` if another renewal holds it for longer than `timeout` seconds, and `TokenStoreError`.
        """
        with _store_errors():
            self._make_folder()
        with file_lock(self._path(key).with_suffix(".lock"), timeout):
            yield

    def _path(self, key: str) -> Path:
        """Return the key's file, named after a digest: a key may hold characters that a file name can't."""
        return self._folder / f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}.json"

    def _get(self, key: str) -> bytes | None:
        self._check_folder()
        with _store_errors():
            try:
                with self._path(key).open("rb") as file:
                    self._check_entry(os.fstat(file.fileno()), key)
                    return file.read(_MAX_READ_BYTES)
            except FileNotFoundError:
                return None

    def _put(self, key: str, entry: bytes, token: OAuthToken) -> None:
        self._check_replaceable(key)
        with _store_errors():
            self._make_folder()
            replace_file(self._path(key), entry)

    def _remove(self, key: str) -> None:
        with _store_errors():
            self._path(key).unlink(missing_ok=True)

    def _make_folder(self) -> None:
        make_folder(self._folder)
        self._check_folder()

    def _check_folder(self) -> None:
        """Raise `TokenStoreError` if other users could plant tokens of theirs there; log once that they may read it."""
        try:
            status = self._folder.stat()
        except OSError:
            return  # it's made when needed, and what's wrong with it is raised then
        if not stat.S_ISDIR(status.st_mode):
            raise TokenStoreError(f"{self._folder} is no folder: give the path of one, which need not exist")
        if not hasattr(os, "geteuid"):
            return
        if status.st_uid != os.geteuid():
            raise TokenStoreError(f"{self._folder} belongs to another user: give a folder of your own for the tokens")
        if status.st_mode & _OTHERS_WRITE:
            raise TokenStoreError(f"other users may plant tokens in {self._folder}: run chmod 700 {self._folder}")
        if status.st_mode & 0o077 and not self._is_logged_open:
            self._is_logged_open = True
            text = "other users may look into the token folder %(folder)s: run chmod 700 %(folder)s"
            emit(logging.WARNING, "folder_open", text, folder=str(self._folder))

    def _check_entry(self, status: os.stat_result, key: str) -> None:
        """Raise `TokenStoreError` if another user could have written an entry, while the folder was open to them."""
        if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & _OTHERS_WRITE):
            path = self._path(key)
            reason = f"another user may have planted the token in {path}"
            raise TokenStoreError(f"{reason}: run rm {path}, or chmod 600 {path} if it's your own")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._folder)!r})"


def _read_path(folder: object) -> Path:
    try:
        if isinstance(folder, str | os.PathLike) and str(folder) and "\0" not in str(folder):
            return Path(folder).expanduser().absolute()
    except (TypeError, RuntimeError, OSError):  # bytes; the `~` of no user; the current folder is gone
        pass
    raise ConfigurationError("folder must be the path of a folder for the tokens, such as '~/.local/state/app'")


def _store_errors() -> AbstractContextManager[None]:
    return store_errors(lambda error: f"{error.strerror or error}: {error.filename or 'the token file'}", OSError)


# -- Files as they're locked and written -------------------------------------------------------------------------------


def require_filelock(store: str) -> None:
    """Raise `ImportError` with what to install, if filelock is missing."""
    try:
        import filelock  # noqa: F401 - only whether it's there
    except ImportError as error:  # pragma: no cover - tested in a process of its own
        raise ImportError(f'{store} needs filelock: pip install "oauth_auth[file]"') from error


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, with mode 0700 whatever the umask. Raises `OSError`."""
    if folder.exists():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)


@contextmanager
def file_lock(path: Path, timeout: float) -> Iterator[None]:
    """Hold the lock of a file, which the system frees when its holder ends. Raises `LockTaken`, `TokenStoreError`."""
    import filelock

    # Without `flock`, filelock would fall back to a lock that is a file's existence, and outlives its holder.
    options: dict[str, Any] = {"thread_local": False, "poll_interval": 0.02, "fallback_to_soft": False}
    lock = filelock.FileLock(path, max(timeout, 0), 0o600, **options)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise lock_taken(timeout) from None
    except (OSError, NotImplementedError, RuntimeError) as error:
        raise TokenStoreError(
            f"{path} can't be locked ({error}): use a folder on a local disk that this process may write to"
        ) from error
    try:
        yield
    finally:
        lock.release()


def replace_file(path: Path, content: bytes) -> None:
    """Write a file for its owner alone (mode 0600), as a whole: after a crash there is the old file or the new one.

    It's written beside the other, which is then replaced; the folder must exist. Raises `OSError`.
    """
    _remove_leftovers(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.stem}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), 0o600)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108 - `mkstemp` returns text
        raise
    _sync_folder(path.parent)


def _replace(temporary: str, path: Path) -> None:
    """Rename a file over another; where that one is in use, as soon as it isn't, within a second.

    Windows replaces no file that another process has open, such as a sibling that reads its token. Elsewhere nothing
    that passes refuses a file's owner, and to wait costs little.
    """
    for pause in _PAUSES:
        try:
            os.replace(temporary, path)  # noqa: PTH105 - `mkstemp` returns text
        except PermissionError:
            time.sleep(pause)
        else:
            return
    os.replace(temporary, path)  # noqa: PTH105 - as above


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote."""
    for leftover in path.parent.glob(f"{path.stem}.*.tmp"):
        with suppress(OSError):
            if leftover.stat().st_mtime < time.time() - _LEFTOVER_SECONDS:
                leftover.unlink()


def _sync_folder(folder: Path) -> None:
    """Write the rename to disk, so that it survives a power cut, where the system can open folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
