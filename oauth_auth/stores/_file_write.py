from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["replace_file"]

_LEFTOVER_SECONDS = 3600.0
_PAUSES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""How long a replacement that's refused waits before each further try, in seconds."""


def replace_file(path: Path, content: bytes) -> None:
    """Write a file for its owner alone (mode 0600), as a whole: after a crash there is the old file or the new one.

    It's written beside the other, which is then replaced; the folder must exist. Raises `OSError`.
    """
    _remove_leftovers(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.stem}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), 0o600)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108 - `mkstemp` returns text
        raise
    _sync_folder(path.parent)


def _replace(temporary: str, path: Path) -> None:
    """Rename a file over another; where that one is in use, as soon as it isn't, within a second.

    Windows replaces no file that another process has open, such as a sibling that reads its token. Elsewhere nothing
    that passes refuses a file's owner, and to wait costs little.
    """
    for pause in _PAUSES:
        try:
            os.replace(temporary, path)  # noqa: PTH105 - `mkstemp` returns text
        except PermissionError:
            time.sleep(pause)
        else:
            return
    os.replace(temporary, path)  # noqa: PTH105 - as above


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote."""
    for leftover in path.parent.glob(f"{path.stem}.*.tmp"):
        with suppress(OSError):
            if leftover.stat().st_mtime < time.time() - _LEFTOVER_SECONDS:
                leftover.unlink()


def _sync_folder(folder: Path) -> None:
    """Write the rename to disk, so that it survives a power cut, where the system can open folders."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
