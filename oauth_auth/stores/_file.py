from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from .._events import emit
from .._wire.token import OAuthToken
from ..errors import ConfigurationError, TokenStoreError
from ._entry import EncryptionKey, SerializedStore, store_errors
from ._file_lock import file_lock, make_folder, require_filelock
from ._file_write import replace_file
from ._protocol import LOCK_WAIT

__all__ = ["FileTokenStore"]

_MAX_READ_BYTES = 2 * 1024 * 1024
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


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
