from __future__ import annotations

import inspect
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .._wire.token import OAuthToken
from ..errors import ConfigurationError, TokenStoreError
from ._entry import EncryptionKey, Entries
from ._protocol import LOCK_WAIT, LockTaken

__all__ = ["RedisTokenStore"]

LEASE = 10.0
"""How long, in seconds, a lock outlives its holder; while the holder lives it's renewed."""
_TIMEOUT = 1.0
_A_YEAR = 365 * 86400
_AN_HOUR = 3600


class RedisTokenStore:
    """Keeps tokens in Redis or Valkey, for many machines. Thread-safe.

    `client_or_url` is a URL such as "redis://host:6379/0", or a client of your own: sync, of redis-py or valkey-py,
    for Sentinel, Cluster, TLS or Valkey; give it a `socket_timeout`. `prefix` begins each Redis key. `encryption_key`
    is a key of cryptography's `Fernet`, or several: the first encrypts, all decrypt. Needs `oauth_auth[redis]`.

    An entry with a refresh token, or without an expiry, lives for a year from its last renewal, others an hour
    longer than their token. A lock is a lease of 10 seconds that its holder renews.
    """

    def __init__(
        self, client_or_url: Any, *, prefix: str = "oauth_auth:", encryption_key: EncryptionKey | None = None
    ) -> None:
        if not isinstance(prefix, str):
            raise ConfigurationError("prefix must be text, such as 'oauth_auth:'")
        self._url = client_or_url if isinstance(client_or_url, str) else None
        self._client = _client_for(client_or_url) if self._url else _checked(client_or_url)
        self._prefix = prefix
        self._entries = Entries(encryption_key)

    def load(self, key: str) -> OAuthToken | None:
        """Return the token saved under the key, or None. Raises `TokenStoreError`."""
        return self._entries.read(key, self._read(key))

    def save(self, key: str, token: OAuthToken) -> None:
        """Save the token under the key, in place of any other. Raises `TokenStoreError`."""
        entry = self._entries.write(key, token)
        self._entries.check_key(self._read(key))
        with _as_store_errors():
            self._client.set(self._name(key), entry, ex=_time_to_live(token))

    def delete(self, key: str) -> None:
        """Forget the token under the key; there need be none. Raises `TokenStoreError`."""
        with _as_store_errors():
            self._client.delete(self._name(key))

    @contextmanager
    def lock(self, key: str, *, timeout: float = LOCK_WAIT) -> Iterator[_Lease]:
        """Hold the key's lock; a killed holder's becomes free after 10 seconds.

        Raises `LockTaken` if another renewal holds it for longer than `timeout` seconds, and `TokenStoreError`.
        """
        name = f"{self._name(key)}:lock"
        with _as_store_errors():
            # Not thread-local, since a thread of the lease's own renews it.
            lock = self._client.lock(name, timeout=LEASE, sleep=0.05, thread_local=False)
            if not lock.acquire(blocking=timeout > 0, blocking_timeout=timeout):
                raise LockTaken(f"another renewal has held the lock for more than {timeout:.3g} s")
        lease = _Lease(lock)
        try:
            yield lease
        finally:
            lease.end()

    def _name(self, key: str) -> str:
        """Return the entry's name in Redis; the braces keep it and its lock on the same node of a cluster."""
        return f"{self._prefix}{{{key}}}"

    def _read(self, key: str) -> bytes | None:
        with _as_store_errors():
            try:
                entry = self._client.get(self._name(key))
            except UnicodeDecodeError:  # it's damaged, and the client decodes what it gets
                return b""
        return entry.encode("utf-8", "replace") if isinstance(entry, str) else entry

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…, prefix={self._prefix!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> RedisTokenStore:
        return self

    def __getstate__(self) -> dict[str, Any]:
        if self._url is None:
            raise TypeError("a RedisTokenStore with a client of your own can't be pickled: make it from a URL")
        return {name: value for name, value in self.__dict__.items() if name != "_client"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._client = _client_for(state["_url"])


class _Lease:
    """A lock that is renewed as long as its holder lives."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._is_lost = False
        self._ended = threading.Event()
        self._pid = os.getpid()
        self._renewed_at = time.monotonic()
        with suppress(RuntimeError):  # at the interpreter's exit no thread starts: then it has to do as it is
            threading.Thread(target=self._keep, name="oauth_auth-lease", daemon=True).start()

    def _keep(self) -> None:
        while not self._ended.wait(LEASE / 4):
            asked = time.monotonic()
            try:
                self._lock.extend(LEASE, replace_ttl=True)
                self._renewed_at = asked
            except Exception as error:  # noqa: BLE001 - of whatever client it is
                if "NotOwned" in type(error).__name__:
                    self._is_lost = True
                    return
                # Redis may be back before the lease ends.

    def is_held(self) -> bool:
        """Tell whether the lock is still this holder's, as far as can be known."""
        if self._is_lost or self._pid != os.getpid():
            return False
        try:
            return bool(self._lock.owned())
        except Exception:  # noqa: BLE001 - of whatever client it is
            return time.monotonic() < self._renewed_at + LEASE

    def end(self) -> None:
        """Release the lock, unless it's lost already, or this is a forked child: then it's the parent's."""
        self._ended.set()
        if self._pid != os.getpid():
            return
        with _as_store_errors():
            try:
                self._lock.release()
            except Exception as error:
                if "NotOwned" not in type(error).__name__:
                    raise


def _client_for(url: str) -> Any:
    """Make a client that gives up soon: nobody should wait long for a store."""
    try:
        import redis  # noqa: PLC0415 - an extra
    except ImportError as error:  # pragma: no cover - held by a test that runs apart
        raise ImportError('RedisTokenStore needs redis: pip install "oauth_auth[redis]"') from error
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    try:
        client = redis.Redis.from_url(
            url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            retry=Retry(NoBackoff(), 1),  # a connection may have gone stale since the last renewal
        )
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError):  # which show the URL's password, or an option that there isn't
        raise ConfigurationError(
            "the Redis URL can't be read: write redis://host:port/number, or rediss://…, and only options of redis-py"
        ) from None
    return client


def _checked(client: Any) -> Any:
    methods = [getattr(client, name, None) for name in ("execute_command", "get", "set", "delete")]
    if not isinstance(client, type) and any(map(inspect.iscoroutinefunction, methods)):
        raise ConfigurationError("client_or_url must be a sync client, such as redis.Redis: flights use it in threads")
    if isinstance(client, type) or not all(hasattr(client, name) for name in ("get", "set", "delete", "lock")):
        raise ConfigurationError("client_or_url must be a URL such as 'redis://localhost:6379/0', or a Redis client")
    return client


@contextmanager
def _as_store_errors() -> Iterator[None]:
    try:
        yield
    except TokenStoreError:
        raise
    except Exception as error:  # noqa: BLE001 - of whatever client it is
        text, sign, _ = str(error).partition(", with args beginning with")
        # What follows that sign is the command, and so the token.
        raise TokenStoreError(f"Redis: {type(error).__name__}: {text}") from (None if sign else error)


def _time_to_live(token: OAuthToken) -> int:
    """Return how long an entry is of use, in seconds: nobody tells how long a refresh token lives."""
    if token.refresh_token is not None or token.expiry is None:
        return _A_YEAR
    return int(min(max(token.expiry - time.time(), 0.0) + _AN_HOUR, _A_YEAR))
