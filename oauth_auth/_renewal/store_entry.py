"""An auth object's place in a token store. What fails there is told, and nothing more: no request depends on it.

A store may hang, and a lock may belong to the thread that took it. So a flight makes all its calls in one thread,
that of its visit's clerk, and gives that up if a call takes too long.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .._events import emit
from .._wire.token import OAuthToken
from ..errors import ConfigurationError, TokenStoreError
from ..stores import LockTaken, TokenStore
from ..stores._protocol import LOCK_WAIT
from .backoff import Pause

if TYPE_CHECKING:
    from .store_worker import StoreWorker

__all__ = ["StoreEntry", "StoreSession"]

_MEMORY = "oauth_auth"
"""The field of a stored token's `extra` that keeps what the grant has learned, and whose the token is."""
_STORE_TIMEOUT = 5.0
"""How long a call to a store may take that doesn't say so itself, in seconds."""
_FIRST_REST = 5.0
_LONGEST_REST = 60.0
_LONGEST_REST_AFTER_HANGING = 3600.0
"""Each attempt at a store that never answers costs a thread, which is only had back if it does."""


class StoreEntry:
    """One key of a store. A shelf without a store is empty and stays so.

    `owner` is whose tokens these are, where the key alone doesn't tell: others' count as absent.
    """

    __slots__ = ("_owner", "_rest", "_store", "_supports_timeout", "_timeout", "_troubles", "key")

    def __init__(self, store: TokenStore | None, key: str, owner: Mapping[str, str] | None = None) -> None:
        self._store = store
        self.key = key
        self._owner = dict(owner or {})
        self._troubles: set[str] = set()
        self._rest: Pause | None = None
        self._timeout = _STORE_TIMEOUT
        self._supports_timeout = False
        """Whether the store's lock can be tried without waiting."""
        if store is not None:
            self._timeout = _read_timeout(getattr(store, "timeout", _STORE_TIMEOUT))
            self._supports_timeout = _takes_timeout(store.lock)

    @property
    def is_shared(self) -> bool:
        """Whether there is a store, and so may be siblings."""
        return self._store is not None

    @property
    def is_in_trouble(self) -> bool:
        """Whether the last load, save or lock failed: siblings may not know what this program knows."""
        return bool(self._troubles)

    def visit(self) -> StoreSession:
        """Return a context manager for one flight's calls."""
        return StoreSession(self)

    def unpack(self, stored: object) -> tuple[OAuthToken | None, Mapping[str, Any]]:
        """Return a stored token and the grant's memory; what is no token, or another client's, counts as absent."""
        if stored is not None and not isinstance(stored, OAuthToken):
            self.note("read", TokenStoreError(f"load returned {type(stored).__name__}, not an OAuthToken"))
            return None, {}
        if stored is None:
            self.note("read", None)
            return None, {}
        memory = stored.extra.get(_MEMORY)
        memory = dict(memory) if isinstance(memory, dict) else {}
        owner = memory.pop("owner", None)
        if isinstance(owner, dict) and self._owner and any(owner.get(k, v) != v for k, v in self._owner.items()):
            text = "a stored token is ignored: it's another client's, so give each client a store_key of its own"
            self.note("read", TokenStoreError(text))
            return None, {}
        self.note("read", None)
        return dataclasses.replace(stored, extra={k: v for k, v in stored.extra.items() if k != _MEMORY}), memory

    def pack(self, token: OAuthToken, memory: Mapping[str, Any]) -> OAuthToken:
        """Return what to store for a token and the grant's memory."""
        kept = {**memory, "owner": self._owner} if self._owner else dict(memory)
        return dataclasses.replace(token, extra={**token.extra, _MEMORY: kept}) if kept else token

    def note(
        self, action: str, error: BaseException | None, seconds: float = 0.0, *, still_hangs: bool = False
    ) -> None:
        """Tell of the first failure of a stretch, and of its end; leave a slow store alone for a while."""
        if error is None:
            if action in self._troubles:
                self._troubles.discard(action)
                if not self._troubles:
                    self._rest = None
                    emit(logging.INFO, "store_recovered", "token store works again")
            return
        from .store_worker import SLOW  # noqa: PLC0415 - programs without a store needn't load it

        if seconds >= SLOW or still_hangs:
            longest = _LONGEST_REST_AFTER_HANGING if still_hangs else _LONGEST_REST
            self._rest = Pause.of(_FIRST_REST if self._rest is None else min(self._rest.length * 2, longest))
        if not self._troubles:
            text = _text_of(error)
            message = "token store failed to %(action)s: %(error_type)s: %(error)s"
            emit(logging.WARNING, "store_failed", message, action=action, error_type=type(error).__name__, error=text)
        self._troubles.add(action)

    @property
    def is_resting(self) -> bool:
        """Whether the store failed slowly, a short time ago."""
        return self._rest is not None and self._rest.rest > 0

    def wake(self) -> None:
        """Use the store again: the call that had been given up has ended."""
        self._rest = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._store, self.key, self._owner)


class StoreSession:
    """One flight's calls to the store. None of them raises but `lock`, and that only `LockTaken`."""

    def __init__(self, shelf: StoreEntry) -> None:
        self._shelf = shelf
        self._store = shelf._store  # noqa: SLF001 - a visit is part of its shelf
        self._clerk: StoreWorker | None = None
        self._held: Any = None
        self.could_load = False
        """Whether the last `load` did not fail."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._clerk is not None:
            self._clerk.shutdown()

    def load(self) -> tuple[OAuthToken | None, Mapping[str, Any]]:
        """Return the stored token and the grant's memory; what is no token counts as absent."""
        store, key = self._store, self._shelf.key
        if store is None:
            return None, {}
        self.could_load, stored = self._call("load", lambda: store.load(key))
        return self._shelf.unpack(stored) if self.could_load else (None, {})

    def save(self, token: OAuthToken, memory: Mapping[str, Any]) -> bool:
        """Save both; tell whether that worked."""
        store, key = self._store, self._shelf.key
        if store is None:
            return False
        kept = self._shelf.pack(token, memory)
        return self._call("save", lambda: store.save(key, kept))[0]

    def delete(self) -> bool:
        """Forget what is stored; tell whether nothing is there any more."""
        store, key = self._store, self._shelf.key
        return store is None or self._call("delete", lambda: store.delete(key))[0]

    @contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Hold the store's lock if it can be had; a renewal without it is better than none.

        Raises `LockTaken` if it's taken and `timeout`, in seconds, is shorter than a renewal may wait.
        """
        store, key, shelf = self._store, self._shelf.key, self._shelf
        if store is None:
            yield
            return
        clerk_lock = _Lock(lambda: store.lock(key, timeout=timeout) if shelf._supports_timeout else store.lock(key))  # type: ignore[call-arg]  # noqa: SLF001
        wait = timeout if shelf._supports_timeout else LOCK_WAIT  # noqa: SLF001
        has_lock = self._call(
            "lock", clerk_lock.enter, wait, given_up=clerk_lock.leave, non_blocking=timeout < LOCK_WAIT
        )[0]
        self._held = clerk_lock.held if has_lock else None
        try:
            yield
        finally:
            self._held = None
            if has_lock:
                self._unlock(clerk_lock.leave)

    def has_lost_lock(self) -> bool:
        """Tell whether a lock that was had is another's by now, as after this process was stopped for long."""
        is_held = getattr(self._held, "is_held", None)
        if is_held is None:
            return False
        done, held = self._call("lock", is_held)
        return done and not held

    def _call(
        self,
        action: str,
        function: Callable[[], Any],
        wait: float = 0.0,
        *,
        given_up: Callable[[], Any] | None = None,
        non_blocking: bool = False,
    ) -> tuple[bool, Any]:
        """Return whether a call of the store ended well, and what it returned.

        `wait` is how long it may take beyond the store's timeout; `given_up` is called should it end after all.
        """
        shelf = self._shelf
        if shelf.is_resting:
            return False, None
        if self._clerk is None:
            from .store_worker import StoreWorker  # noqa: PLC0415 - see above

            self._clerk = StoreWorker(shelf.wake)
        begun = time.monotonic()
        result, error = self._clerk.do(function, wait + shelf._timeout, given_up)  # noqa: SLF001
        if error is None:
            shelf.note(action, None)
            return True, result
        if isinstance(error, LockTaken):
            if non_blocking:
                raise error
            shelf.note(action, error)
        else:
            seconds = time.monotonic() - begun - wait
            shelf.note(action, error, seconds, still_hangs=self._clerk.is_abandoned)
        return False, None

    def _unlock(self, leave: Callable[[], Any]) -> None:
        """Release the lock, whatever happened meanwhile; for a store that has become slow nobody waits."""
        if self._clerk is not None and (self._clerk.is_abandoned or self._shelf.is_resting):
            self._clerk.submit_later(leave)
        else:
            self._call("unlock", leave)


class _Lock:
    """A store's lock; entering and leaving it are calls of the visit's thread."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._lock: Any = None
        self.held: Any = None

    def enter(self) -> None:
        lock = self._make()
        self.held = lock.__enter__()
        self._lock = lock

    def leave(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.__exit__(None, None, None)


def _read_timeout(timeout: object) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ConfigurationError("the store's attribute `timeout` must be a number of seconds, more than 0")
    return float(timeout)


def _takes_timeout(lock: Callable[..., Any]) -> bool:
    import inspect  # noqa: PLC0415 - programs without a store needn't load it

    try:
        return "timeout" in inspect.signature(lock).parameters
    except (TypeError, ValueError):  # it's no Python function
        return False


def _text_of(error: BaseException) -> str:
    """Return what an error says, if it's of a kind that doesn't show the token."""
    if not isinstance(error, OSError | TokenStoreError):
        return "…"
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a store may raise anything
        return "…"
