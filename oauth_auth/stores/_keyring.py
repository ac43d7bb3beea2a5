from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from .._wire.token import OAuthToken
from ..errors import ConfigurationError, TokenStoreError
from ._file import file_lock, make_folder
from ._protocol import LOCK_WAIT
from ._serialized import SerializedStore, store_errors

__all__ = ["KeyringTokenStore"]

_PIECE_CHARACTERS = 1000
"""How long a piece is: Windows' Credential Manager takes 2,560 bytes, which are 1,280 characters."""
_MAX_PIECES = 40
_PIECES_MARK = "oauth_auth pieces"
_TRIAL = "oauth_auth trial"
_REMEDY = "have the package keyring use a back end that keeps passwords, or use FileTokenStore"


class KeyringTokenStore(SerializedStore):
    """Keeps tokens in the system's keyring, for all processes of one user on one machine. Thread-safe.

    A token that is too long for the back end is kept in several entries. `service` is the name that the keyring
    shows. A call may wait for the user to unlock the keyring, for a minute at most. Needs `oauth_auth[keyring]`.

    A keyring that is switched off (`keyring --disable`) keeps nothing: to save a token there raises `TokenStoreError`.
    """

    timeout = 60.0

    def __init__(self, service: str = "oauth_auth") -> None:
        if not isinstance(service, str) or not service:
            raise ConfigurationError("service must be the name for the keyring to show, such as 'oauth_auth'")
        try:
            import filelock  # noqa: F401 - the lock needs it later
            import keyring
            import platformdirs
        except ImportError as error:  # pragma: no cover - tested in a process of its own
            raise ImportError('KeyringTokenStore needs keyring: pip install "oauth_auth[keyring]"') from error
        super().__init__()
        self._service = service
        self._keyring: Any = keyring
        self._locks = Path(platformdirs.user_state_dir("oauth_auth")) / "locks"

    @contextmanager
    def lock(self, key: str, *, timeout: float = LOCK_WAIT) -> Iterator[None]:
        """Hold the key's lock, that of a file, which the system frees when this process ends.

        Raises `LockTaken` if another renewal holds it for longer than `timeout` seconds, and `TokenStoreError`.
        """
        name = hashlib.sha256(f"{self._service}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()
        with _store_errors():
            make_folder(self._locks)
        with file_lock(self._locks / f"{name}.lock", timeout):
            yield

    def _get(self, key: str) -> bytes | None:
        with _store_errors():
            text: str | None = self._keyring.get_password(self._service, key)
            while text is not None and text.startswith(_PIECES_MARK):
                pieces = [self._keyring.get_password(self._service, name) for name in text.split("\n")[1:]]
                if None not in pieces:
                    return "".join(pieces).encode()
                before, text = text, self._keyring.get_password(self._service, key)
                if text == before:
                    return b""  # it's damaged; else another process has replaced the pieces meanwhile
            return None if text is None else text.encode()

    def _put(self, key: str, entry: bytes, token: OAuthToken) -> None:
        text = entry.decode()
        with _store_errors():
            before = self._keyring.get_password(self._service, key)
            try:
                self._keyring.set_password(self._service, key, text)
            except Exception:
                if len(text) <= _PIECE_CHARACTERS:
                    raise
                self._put_pieces(key, text)
            self._remove_pieces(before)
            if before is None and self._keyring.get_password(self._service, key) is None:
                raise TokenStoreError(self._keeps_nothing())

    def _check_back_end(self) -> None:
        """Raise `TokenStoreError` if the keyring is known to keep nothing, though all calls of it work."""
        from keyring.backends import null

        with _store_errors():
            if isinstance(self._keyring.get_keyring(), null.Keyring):
                raise TokenStoreError(self._keeps_nothing())

    def _find_fault(self, *, writes: bool) -> str | None:
        """Return why this keyring can't keep tokens, or None if it can; with `writes` an entry is tried, and removed.

        Raises `TokenStoreError` if it's locked: then it may hold tokens.
        """
        from keyring.errors import KeyringLocked

        try:
            self._check_back_end()
            with _store_errors():
                self._keyring.get_password(self._service, _TRIAL)
                if writes:
                    self._try_out(f"{_TRIAL} {secrets.token_hex(4)}")
        except TokenStoreError as error:
            if isinstance(error.__cause__, KeyringLocked):
                raise
            return str(error).removesuffix(f": {_REMEDY}")
        return None

    def _try_out(self, name: str) -> None:
        self._keyring.set_password(self._service, name, _TRIAL)
        kept = self._keyring.get_password(self._service, name)
        with suppress(Exception):  # it's no secret
            self._keyring.delete_password(self._service, name)
        if kept != _TRIAL:
            raise TokenStoreError(self._keeps_nothing())

    def _keeps_nothing(self) -> str:
        back_end = type(self._keyring.get_keyring())
        return f"the keyring keeps nothing ({back_end.__module__}): {_REMEDY}"

    def _put_pieces(self, key: str, text: str) -> None:
        """Write the pieces under new names, then the entry that lists them: at each moment there is a whole token."""
        beginning = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        starts = range(0, len(text), _PIECE_CHARACTERS)
        names = [f"{beginning}.{secrets.token_hex(4)}" for _ in starts]
        if len(names) > _MAX_PIECES:
            raise TokenStoreError(f"the token is too long for a keyring ({len(text)} characters): use FileTokenStore")
        listing = "\n".join((_PIECES_MARK, *names))
        try:
            for name, start in zip(names, starts, strict=True):
                self._keyring.set_password(self._service, name, text[start : start + _PIECE_CHARACTERS])
            self._keyring.set_password(self._service, key, listing)
        except BaseException:
            self._remove_pieces(listing)
            raise

    def _remove(self, key: str) -> None:
        with _store_errors():
            before = self._keyring.get_password(self._service, key)
            if before is not None:
                self._keyring.delete_password(self._service, key)
                self._remove_pieces(before)

    def _remove_pieces(self, listing: str | None) -> None:
        if listing is not None and listing.startswith(_PIECES_MARK):
            for name in listing.split("\n")[1:]:
                with suppress(Exception):  # no entry lists it any more: one that stays does no harm
                    self._keyring.delete_password(self._service, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._service!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._service,)


def _store_errors() -> AbstractContextManager[None]:
    return store_errors(_describe)


def _describe(error: Exception) -> str:
    if type(error).__name__ == "NoKeyringError":
        return f"there is no keyring here: {_REMEDY}"
    return f"the keyring: {type(error).__name__}: {error}"
