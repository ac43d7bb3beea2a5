"""A back end for `keyring` that needs no desktop: a file for each password, in the folder that the environment names.

Processes share it. It can be locked, as a person's keyring is, and can have a limit, as that of Windows has.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError, PasswordSetError

__all__ = ["FOLDER", "KeyringInFiles"]

FOLDER = "OAUTH_AUTH_TEST_KEYRING"


class KeyringInFiles(KeyringBackend):
    """Passwords of any length, unless the folder has a file `limit`; a file `locked` locks it."""

    priority = 0.1

    def get_password(self, service: str, username: str) -> str | None:
        try:
            return self._path(service, username).read_text()
        except FileNotFoundError:
            return None

    def set_password(self, service: str, username: str, password: str) -> None:
        path = self._path(service, username)
        limit = path.parent / "limit"
        if limit.exists() and len(password) > int(limit.read_text()):
            raise PasswordSetError("The stub received bad data")
        temporary = path.with_suffix(f".{os.urandom(4).hex()}")
        temporary.write_text(password)
        temporary.replace(path)

    def delete_password(self, service: str, username: str) -> None:
        try:
            self._path(service, username).unlink()
        except FileNotFoundError:
            raise PasswordDeleteError("Password not found") from None

    def _path(self, service: str, username: str) -> Path:
        folder = Path(os.environ[FOLDER])
        if (folder / "locked").exists():
            raise KeyringLocked("Failed to unlock the keyring!")
        return folder / hashlib.sha256(f"{service}\0{username}".encode()).hexdigest()
