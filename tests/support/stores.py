"""What tests make stores with: each that comes with the library, in its ways."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

import pytest
from cryptography.fernet import Fernet

from oauth_auth import OAuthToken
from oauth_auth._renewal.entry import unpack
from oauth_auth.stores import FileTokenStore, KeyringTokenStore, MemoryTokenStore, RedisTokenStore, TokenStore

STORES = ("memory", "file", "file, encrypted", "keyring", "redis", "redis, encrypted")
"""All stores that come with the library, each in its ways."""
SHARED_STORES = STORES[1:]
"""Those that processes share."""


def store_maker(request: pytest.FixtureRequest, name: str) -> Callable[[], TokenStore]:
    """Return a function that makes store objects at one place, which ends with the test."""
    kind, _, encrypted = name.partition(", ")
    options = {"encryption_key": Fernet.generate_key()} if encrypted else {}
    if kind == "memory":
        memory = MemoryTokenStore()
        return lambda: memory
    if kind == "file":
        folder = request.getfixturevalue("tmp_path") / "tokens"
        return lambda: FileTokenStore(folder, **options)
    if kind == "keyring":
        request.getfixturevalue("keyring_folder")
        return lambda: KeyringTokenStore("oauth_auth tests")
    url, prefix = request.getfixturevalue("running_redis").url, f"{uuid.uuid4()}:"
    return lambda: RedisTokenStore(url, prefix=prefix, **options)


def token_in(store: TokenStore, key: str) -> OAuthToken | None:
    """Return the token that a store has under a key; the mark of a logout is none."""
    return unpack(store.load(key), {}).token


class Failing(MemoryTokenStore):
    """A store that fails to save as often as it's told; `saved` is set when it has saved."""

    def __init__(self, failures: float) -> None:
        super().__init__()
        self.failures = failures
        self.saved = threading.Event()

    def save(self, key: str, token: OAuthToken) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise OSError("no space left")
        super().save(key, token)
        self.saved.set()
