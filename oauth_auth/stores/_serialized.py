"""What a store outside this process keeps under a key: a token as JSON, encrypted if there's a key for that."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from .._events import emit
from .._wire.checks import require_encodable
from .._wire.token import OAuthToken
from ..errors import ConfigurationError, TokenStoreError

__all__ = ["EncryptionKey", "Entries", "SerializedStore", "store_errors"]

EncryptionKey = Any
"""A Fernet key as text or bytes, a `Fernet` or `MultiFernet`, or several keys: the first encrypts, all decrypt."""

_VERSION = 1
_FERNET = b"gAAAA"
"""How each Fernet token begins: with its version, and the first bytes of a time of 64 bits, which are zero."""
_MAX_ENTRY_BYTES = 1024 * 1024


class SerializedStore(ABC):
    """Loads and saves tokens as entries; a subclass reads, writes and removes the bytes, and has the lock.

    `_get`, `_put` and `_remove` raise `TokenStoreError`, see `store_errors`.
    """

    def __init__(self, encryption_key: EncryptionKey | None = None) -> None:
        self._entries = Entries(encryption_key)

    def load(self, key: str) -> OAuthToken | None:
        """Return the token saved under the key, or None. Raises `TokenStoreError`."""
        return self._entries.read(key, self._get(key))

    def save(self, key: str, token: OAuthToken) -> None:
        """Save the token under the key, in place of any other. Raises `TokenStoreError`; the old one then remains."""
        self._put(key, self._entries.write(key, token), token)

    def delete(self, key: str) -> None:
        """Remove the token under the key, if there is one. Raises `TokenStoreError`."""
        self._remove(key)

    @abstractmethod
    def _get(self, key: str) -> bytes | None:
        """Return the key's entry, or None."""

    @abstractmethod
    def _put(self, key: str, entry: bytes, token: OAuthToken) -> None:
        """Replace the key's entry by the one for this token."""

    @abstractmethod
    def _remove(self, key: str) -> None:
        """Remove the key's entry, if there is one."""

    def _check_replaceable(self, key: str) -> None:
        """Raise `TokenStoreError` if the key's entry is encrypted with a key that this store doesn't have."""
        self._entries.check_key(self._get(key))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


@contextmanager
def store_errors(describe: Callable[[Any], str], kind: type[Exception] = Exception) -> Iterator[None]:
    """Raise errors of a kind as `TokenStoreError`, with the text that `describe` returns and the error as cause.

    Where the cause may hold a secret, `describe` raises the `TokenStoreError` itself.
    """
    try:
        yield
    except TokenStoreError:
        raise
    except kind as error:
        raise TokenStoreError(describe(error)) from error


class Entries:
    """Writes and reads entries. One that can't be understood counts as absent, which is logged once for each key."""

    def __init__(self, encryption_key: EncryptionKey | None) -> None:
        self._fernet = None if encryption_key is None else _read_key(encryption_key)
        self._ignored: set[str] = set()

    def write(self, key: str, token: OAuthToken) -> bytes:
        """Return the entry for a token. Raises `TokenStoreError` for what JSON can't carry, or `read` wouldn't take."""
        try:
            text = json.dumps({"version": _VERSION, "key": key, "token": token.to_dict()})
        except (TypeError, ValueError, RecursionError):
            raise TokenStoreError("the token can't be stored: its `extra` holds values that JSON can't carry") from None
        entry = text.encode("ascii") if self._fernet is None else bytes(self._fernet.encrypt(text.encode("ascii")))
        if len(entry) > _MAX_ENTRY_BYTES:
            raise TokenStoreError("the token is too long to be stored: more than 1 MiB")
        return entry

    def read(self, key: str, entry: bytes | None) -> OAuthToken | None:
        """Return the token of an entry, or None. Raises `TokenStoreError` if it's encrypted with another key."""
        if entry is None:
            self._ignored.discard(key)
            return None
        self.check_key(entry)
        try:
            token = self._parse(key, entry)
        except ValueError as error:
            if key not in self._ignored:
                self._ignored.add(key)
                text = "a stored entry is ignored: %(reason)s"
                emit(logging.WARNING, "entry_ignored", text, reason=str(error))
            return None
        self._ignored.discard(key)
        return token

    def check_key(self, entry: bytes | None) -> None:
        """Raise `TokenStoreError` for an entry that is encrypted with another key: it may be another program's."""
        if entry is None or not entry.startswith(_FERNET):
            return
        if self._fernet is None:
            raise TokenStoreError("the stored token is encrypted: give the store its encryption_key, or delete it")
        if self._decrypted(entry) is None:
            raise TokenStoreError(
                "the stored token is encrypted with another key: add that one to encryption_key, after the key for "
                "new tokens, or delete what is stored"
            )

    def _parse(self, key: str, entry: bytes) -> OAuthToken:
        """Return the token. Raises `ValueError` with a reason that shows nothing of the entry."""
        if len(entry) > _MAX_ENTRY_BYTES:
            raise ValueError("it's longer than 1 MiB")
        if self._fernet is not None and (entry := self._decrypted(entry) or b"") == b"":
            raise ValueError("it isn't encrypted, and the store has an encryption_key")
        fields = _read_json(entry)
        version = fields.get("version")
        if not isinstance(version, int) or isinstance(version, bool):
            raise ValueError("it's damaged, or no token")  # noqa: TRY004 - of the entry, not of an argument
        if version > _VERSION:
            raise ValueError("a newer version of oauth_auth wrote it")
        if fields.get("key") != key:
            raise ValueError("it was stored under another key")
        try:
            token = OAuthToken._restore(fields.get("token") or {})  # noqa: SLF001 - what was written is what is read
            require_encodable("refresh_token", token.refresh_token or "")
        except ConfigurationError:
            raise ValueError("its fields are damaged") from None
        return token

    def _decrypted(self, entry: bytes) -> bytes | None:
        from cryptography.fernet import InvalidToken

        if self._fernet is None:
            return None
        try:
            return bytes(self._fernet.decrypt(entry))
        except InvalidToken:
            return None


def _read_json(entry: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(entry)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise ValueError("it's damaged, or no token")  # noqa: TRY004 - of the entry, not of an argument
    return fields


def _read_key(encryption_key: EncryptionKey) -> Any:
    """Return a `Fernet` or `MultiFernet`. Raises `ConfigurationError` for what is no key."""
    try:
        from cryptography.fernet import Fernet, MultiFernet
    except ImportError as error:  # pragma: no cover - tested in a process of its own
        raise ImportError('encryption_key needs cryptography: pip install "oauth_auth[encryption]"') from error
    if isinstance(encryption_key, Fernet | MultiFernet):
        return encryption_key
    if isinstance(encryption_key, str | bytes) or not isinstance(encryption_key, Iterable):
        encryption_key = [encryption_key]
    try:
        return MultiFernet([key if isinstance(key, Fernet) else Fernet(key) for key in encryption_key])
    except (ValueError, TypeError):
        raise ConfigurationError(
            "encryption_key must be a key made by cryptography's Fernet.generate_key(), or a list of such keys"
        ) from None
