"""Secrets that are in files, where whoever rotates them puts the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

__all__ = ["FileSecret", "read_anew", "read_file"]

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


def read_file(path: str) -> str:
    """Return a file's text, without a line end at its end. Raises `ValueError` that says what's wrong with the file."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MAX_BYTES + 1).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't UTF-8"
        raise ValueError(f"that can't be read: {reason}") from None
    if len(text) > _MAX_BYTES:
        raise ValueError(f"that is longer than {_MAX_BYTES} bytes")
    text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not text:
        raise ValueError("with nothing in it")
    return text


def read_anew(secret: str | None) -> FileSecret | None:
    """Return the secret that is in this one's file by now; None if there's no other, or it came from no file."""
    if not isinstance(secret, FileSecret):
        return None
    try:
        text = read_file(secret.path)
    except ValueError:
        return None
    return None if text == secret else FileSecret(text, secret.path)
