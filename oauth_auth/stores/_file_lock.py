from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import TokenStoreError
from ._protocol import lock_taken

__all__ = ["file_lock", "make_folder", "require_filelock"]


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
