from __future__ import annotations

import inspect
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from .._wire.token import OAuthToken
from ..errors import ConfigurationError, TokenStoreError
from ._protocol import LOCK_WAIT, lock_taken
from ._serialized import EncryptionKey, SerializedStore, store_errors

__all__ = ["RedisTokenStore"]

_SOCKET_TIMEOUT = 1.0
_YEAR_SECONDS = 365 * 86400
_HOUR_SECONDS = 3600


class RedisTokenStore(SerializedStore):
    """Keeps tokens in Redis or Valkey, for many machines. Thread-safe.

    `client_or_url` is a URL such as "redis://host:6379/0", or a client of your own: sync, of redis-py or valkey-py,
    for Sentinel, Cluster, TLS or Valkey; give it a `socket_timeout`. `prefix` begins each Redis key. `encryption_key`
    is a key of cryptography's `Fernet`, or several: the first encrypts, all decrypt. Needs `oauth_auth[redis]`.

    An entry with a refresh token, or without an expiry, is kept for a year from its last renewal, any other for an
    hour longer than its token. A lock is a lease of 10 seconds that its holder renews.
    """

    _lease_seconds = 10.0
    """How long a lock outlives its holder."""

    def __init__(
        self, client_or_url: Any, *, prefix: str = "oauth_auth:", encryption_key: EncryptionKey | None = None
    ) -> None:
        if not isinstance(prefix, str):
            raise ConfigurationError("prefix must be text, such as 'oauth_auth:'")
        self._url = client_or_url if isinstance(client_or_url, str) else None
        self._client = _client_for(client_or_url) if self._url else _checked(client_or_url)
        self._prefix = prefix
        super().__init__(encryption_key)

    @contextmanager
    def lock(self, key: str, *, timeout: float = LOCK_WAIT) -> Iterator[_Lease]:
        """Hold the key's lock; that of a killed holder is free after 10 seconds.

        Raises `LockTaken` if another renewal holds it for longer than `timeout` seconds, and `TokenStoreError`.
        """
        name = f"{self._name(key)}:lock"
        with _store_errors():
            # Not thread-local, since the lease renews it in a thread of its own.
            lock = self._client.lock(name, timeout=self._lease_seconds, sleep=0.05, thread_local=False)
            if not lock.acquire(blocking=timeout > 0, blocking_timeout=timeout):
                raise lock_taken(timeout)
        lease = _Lease(lock, self._lease_seconds)
        try:
            yield lease
        finally:
            lease.end()

    def _name(self, key: str) -> str:
        """Return the entry's name in Redis; by its hash tag, in braces, a cluster keeps entry and lock on one node."""
        return f"{self._prefix}{{{key}}}"

    def _get(self, key: str) -> bytes | None:
        with _store_errors():
            try:
                entry = self._client.get(self._name(key))
            except UnicodeDecodeError:  # it's damaged, and the client was made with decode_responses
                return b""
        return entry.encode("utf-8", "replace") if isinstance(entry, str) else entry

    def _put(self, key: str, entry: bytes, token: OAuthToken) -> None:
        self._check_replaceable(key)
        with _store_errors():
            self._client.set(self._name(key), entry, ex=_time_to_live(token))

    def _remove(self, key: str) -> None:
        with _store_errors():
            self._client.delete(self._name(key))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…, prefix={self._prefix!r})"

    def __getstate__(self) -> dict[str, Any]:
        if self._url is None:
            raise TypeError("a RedisTokenStore with a client of your own can't be pickled: make it from a URL")
        return {name: value for name, value in self.__dict__.items() if name != "_client"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._client = _client_for(state["_url"])


class _Lease:
    """A lock that ends by itself unless its holder, while it lives, extends it."""

    def __init__(self, lock: Any, seconds: float) -> None:
        self._lock = lock
        self._seconds = seconds
        self._is_lost = False
        self._ended = threading.Event()
        self._pid = os.getpid()
        self._renewed_at = time.monotonic()
        with suppress(RuntimeError):  # no thread starts at the interpreter's exit: the lease then isn't extended
            threading.Thread(target=self._keep_extending, name="oauth_auth-lease", daemon=True).start()

    def _keep_extending(self) -> None:
        while not self._ended.wait(self._seconds / 4):
            asked_at = time.monotonic()
            try:
                self._lock.extend(self._seconds, replace_ttl=True)
                self._renewed_at = asked_at
            except Exception as error:  # noqa: BLE001 - redis-py's or valkey-py's, which have no common base
                if _says_not_owned(error):
                    self._is_lost = True
                    return
                # Redis may answer again before the lease ends.

    def is_held(self) -> bool:
        """Return whether the lock is still this holder's; if Redis doesn't answer, whether the lease has time left."""
        if self._is_lost or self._pid != os.getpid():
            return False
        try:
            return bool(self._lock.owned())
        except Exception:  # noqa: BLE001 - redis-py's or valkey-py's, which have no common base
            return time.monotonic() < self._renewed_at + self._seconds

    def end(self) -> None:
        """Release the lock, unless it's lost, or this process is a fork of the one that holds it."""
        self._ended.set()
        if self._pid != os.getpid():
            return
        with _store_errors():
            try:
                self._lock.release()
            except Exception as error:
                if not _says_not_owned(error):
                    raise


def _says_not_owned(error: Exception) -> bool:
    """Return whether this is a client's `LockNotOwnedError`: redis-py and valkey-py have one each."""
    return "NotOwned" in type(error).__name__


def _client_for(url: str) -> Any:
    """Return a client with short time-outs, since requests may wait for the store. Raises `ConfigurationError`."""
    try:
        import redis
    except ImportError as error:  # pragma: no cover - tested in a process of its own
        raise ImportError('RedisTokenStore needs redis: pip install "oauth_auth[redis]"') from error
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        client = redis.Redis.from_url(
            url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
            socket_timeout=_SOCKET_TIMEOUT,
            socket_connect_timeout=_SOCKET_TIMEOUT,
            retry=Retry(NoBackoff(), 1),  # a connection may have gone stale since the last renewal
        )
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError):  # whose text may hold the URL's password
        raise ConfigurationError(
            "the Redis URL can't be read: write redis://host:port/number, or rediss://…, and only options of redis-py"
        ) from None
    return client


def _checked(client: Any) -> Any:
    methods = [getattr(client, name, None) for name in ("execute_command", "get", "set", "delete")]
    if not isinstance(client, type) and any(map(inspect.iscoroutinefunction, methods)):
        raise ConfigurationError("client_or_url must be a sync client, such as redis.Redis: it's used in threads")
    if isinstance(client, type) or not all(hasattr(client, name) for name in ("get", "set", "delete", "lock")):
        raise ConfigurationError("client_or_url must be a URL such as 'redis://localhost:6379/0', or a Redis client")
    return client


def _store_errors() -> AbstractContextManager[None]:
    return store_errors(_describe)


def _describe(error: Exception) -> str:
    # Redis 8.0 answers an unknown command with the command's arguments, and so with the token.
    text, sign, _ = str(error).partition(", with args beginning with")
    text = f"Redis: {type(error).__name__}: {text}"
    if sign:
        raise TokenStoreError(text) from None
    return text


def _time_to_live(token: OAuthToken) -> int:
    """Return how long to keep an entry, in seconds. How long a refresh token lives isn't known: a year.

    So long is also kept what says that the user has logged out: the other processes are to learn of it.
    """
    state = token.extra.get("oauth_auth")
    is_logged_out = isinstance(state, Mapping) and "logged_out" in state
    if token.refresh_token is not None or token.expiry is None or is_logged_out:
        return _YEAR_SECONDS
    return int(min(max(token.expiry - time.time(), 0.0) + _HOUR_SECONDS, _YEAR_SECONDS))
