"""Secrets that are in files, where whoever rotates them puts the next one."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, Self

__all__ = ["FileSecret", "read_bytes", "read_file"]

_MAX_BYTES = 64 * 1024


class FileSecret(str):
    """A secret that was read from a file, which may hold another one by now. Its repr shows neither."""

    __slots__ = ("path",)
    path: str

    def __new__(cls, secret: str, path: str) -> Self:
        made = super().__new__(cls, secret)
        made.path = str(Path(path).absolute())
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.path)

    def __repr__(self) -> str:
        return "'…'"

    def read_anew(self) -> FileSecret | None:
        """Return the secret that is in the file by now; None if there's no other."""
        try:
            text = read_file(self.path, again=True)
        except ValueError:
            return None
        return None if text == self else FileSecret(text, self.path)


def read_bytes(path: str | Path, *, again: bool) -> bytes:
    """Return what a file holds now; one that is read `again` and again can't be a pipe, whose writer isn't waited for.

    Raises `ValueError` that says what's wrong with the file.
    """
    try:
        with open(path, "rb", opener=_open_at_once if again else None) as file:
            is_fit = not again or stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(_MAX_BYTES + 1) if is_fit else b""
    except OSError as error:
        reason = error.strerror
    else:
        if len(content) > _MAX_BYTES:
            raise ValueError(f"is longer than {_MAX_BYTES} bytes")
        if is_fit:
            return content
        reason = "it's no regular file"
    raise ValueError(f"can't be read: {reason}")


def read_file(path: str, *, again: bool = False) -> str:
    """Return a file's text, without a line end at its end; `again` as in `read_bytes`.

    Raises `ValueError` that says what's wrong with the file.
    """
    try:
        text = read_bytes(path, again=again).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("that can't be read: it isn't UTF-8") from None
    except ValueError as error:
        raise ValueError(f"that {error}") from None
    text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not text:
        raise ValueError("with nothing in it")
    return text


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
