from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .._wire.token import OAuthToken
from ..errors import ConfigurationError, TokenStoreError
from ._entry import Entries
from ._file_lock import file_lock, make_folder
from ._protocol import LOCK_WAIT

__all__ = ["KeyringTokenStore"]

_PIECE = 1000
"""So many characters fit into an entry of each back end that is known; Windows takes 1,280."""
_MOST_PIECES = 40
_MARK = "oauth_auth pieces"


class KeyringTokenStore:
    """Keeps tokens in the system's keyring, for all processes of one user on one machine. Thread-safe.

    A token that is too long for the back end is kept in several entries. `service` is the name that the keyring
    shows. A call may wait for a person to unlock the keyring, for a minute at most. Needs `oauth_auth[keyring]`.
    """

    timeout = 60.0

    def __init__(self, service: str = "oauth_auth") -> None:
        if not isinstance(service, str) or not service:
            raise ConfigurationError("service must be the name for the keyring to show, such as 'oauth_auth'")
        try:
            import filelock  # noqa: F401, PLC0415 - an extra
            import keyring  # noqa: PLC0415
            import platformdirs  # noqa: PLC0415
        except ImportError as error:  # pragma: no cover - held by a test that runs apart
            raise ImportError('KeyringTokenStore needs keyring: pip install "oauth_auth[keyring]"') from error
        self._service = service
        self._keyring: Any = keyring
        self._locks = Path(platformdirs.user_state_dir("oauth_auth")) / "locks"
        self._entries = Entries(None)

    def load(self, key: str) -> OAuthToken | None:
        """Return the token saved under the key, or None. Raises `TokenStoreError`."""
        with _as_store_errors():
            text = self._read(key)
        return self._entries.read(key, None if text is None else text.encode())

    def save(self, key: str, token: OAuthToken) -> None:
        """Save the token under the key, in place of any other. Raises `TokenStoreError`."""
        text = self._entries.write(key, token).decode()
        with _as_store_errors():
            before = self._keyring.get_password(self._service, key)
            try:
                self._keyring.set_password(self._service, key, text)
            except Exception:
                if len(text) <= _PIECE:
                    raise
                self._save_pieces(key, text)
            self._remove_pieces(before)

    def delete(self, key: str) -> None:
        """Forget the token under the key; there need be none. Raises `TokenStoreError`."""
        with _as_store_errors():
            before = self._keyring.get_password(self._service, key)
            if before is not None:
                self._keyring.delete_password(self._service, key)
                self._remove_pieces(before)

    @contextmanager
    def lock(self, key: str, *, timeout: float = LOCK_WAIT) -> Iterator[None]:
        """Hold the key's lock, a file's, which the system frees when this process dies.

        Raises `LockTaken` if another renewal holds it for longer than `timeout` seconds, and `TokenStoreError`.
        """
        name = hashlib.sha256(f"{self._service}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()
        with _as_store_errors():
            make_folder(self._locks)
        with file_lock(self._locks / f"{name}.lock", timeout):
            yield

    def _save_pieces(self, key: str, text: str) -> None:
        """Write the pieces under new names, and then the entry that lists them: there's always a whole token."""
        beginning = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        names = [f"{beginning}.{secrets.token_hex(4)}" for _ in range(0, len(text), _PIECE)]
        if len(names) > _MOST_PIECES:
            raise TokenStoreError(f"the token is too long for a keyring ({len(text)} characters): use FileTokenStore")
        try:
            for number, name in enumerate(names):
                self._keyring.set_password(self._service, name, text[number * _PIECE : (number + 1) * _PIECE])
            self._keyring.set_password(self._service, key, "\n".join((_MARK, *names)))
        except BaseException:
            self._remove_pieces("\n".join((_MARK, *names)))
            raise

    def _read(self, key: str) -> str | None:
        text: str | None = self._keyring.get_password(self._service, key)
        while text is not None and text.startswith(_MARK):
            pieces = [self._keyring.get_password(self._service, name) for name in text.split("\n")[1:]]
            if None not in pieces:
                return "".join(pieces)
            before, text = text, self._keyring.get_password(self._service, key)
            if text == before:
                return ""  # it's damaged; else a sibling has replaced the pieces meanwhile
        return text

    def _remove_pieces(self, text: str | None) -> None:
        if text is not None and text.startswith(_MARK):
            for name in text.split("\n")[1:]:
                with suppress(Exception):  # it's of no use any more, and in nobody's way
                    self._keyring.delete_password(self._service, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._service!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> KeyringTokenStore:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._service,)


@contextmanager
def _as_store_errors() -> Iterator[None]:
    try:
        yield
    except TokenStoreError:
        raise
    except Exception as error:
        raise TokenStoreError(f"the keyring: {type(error).__name__}: {error}") from error
