"""What a plug-in does with its library's requests and answers, and what the plug-ins share of that.

A body is sent again only if that's certain to be the same: bytes, and files that report their position and can be moved
back to it. Generators, iterators and objects of unknown kinds may be exhausted, and sending the rest would lose data
silently.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from http.cookies import BaseCookie
from typing import TYPE_CHECKING, Any, Protocol

from .._wire.http_fields import can_decompress

if TYPE_CHECKING:
    from .._wire.token import Credential
    from .answers import Answer
    from .origins import Proofs

__all__ = [
    "DRAIN_LIMIT",
    "DRAIN_SECONDS",
    "Exchange",
    "are_rewindable",
    "cookie_pairs",
    "is_fixed",
    "is_short",
    "may_be_short",
    "position_of",
    "rewind",
    "rewind_async",
    "with_new_cookies",
]

DRAIN_LIMIT = 64 * 1024
"""How much of a rejected answer is read, in bytes as they're sent, so that its connection can be used again."""
DRAIN_SECONDS = 1.0
"""How long that may take; a longer answer, and a slower one, costs the connection."""


class Exchange(Protocol):
    """A request that an auth object dealt with, and its latest answer. In async code the operations may be awaited."""

    response: Any
    """The latest answer: `send_again` replaces it."""
    was_replayed: bool
    """Whether it was sent again with another token, itself or before a redirect led to it: that's done once."""

    def answer(self) -> Answer:
        """Return what the latest answer says, and to which request."""
        ...

    def carried(self, header: str) -> bool:
        """Return whether the request that it answers went to the origin first addressed, with this header, or none."""
        ...

    def led_on(self, header: str) -> tuple[str | None, str] | None:
        """Return method and URL of a request with this header whose answer led on, as only a good token has it do.

        A redirect to another origin does, as to a download; one within the origin may lead to a 401.
        """
        ...

    def mind_proofs(self, proofs: Proofs) -> None:
        """Take in the nonce of the latest answer, for the next proof."""
        ...

    def can_replay(self) -> Any:
        """Return whether the request can be sent again with the same bytes; rewind its body."""
        ...

    def drain(self) -> Any:
        """Read the answer, which frees its connection for others, if it's short and says so; the caller may get it."""
        ...

    def discard(self) -> Any:
        """Free the answer's connection: by reading the rest of it, if that's short, else by closing it."""
        ...

    def close(self) -> Any:
        """Close the answer, unless it was read."""
        ...

    def send_again(self, credential: Credential, proof: str | None) -> Any:
        """Send the request with this token, and the cookies that the answer sets; the new answer replaces the old."""
        ...


def is_short(headers: Mapping[str, str]) -> bool:
    """Return whether an answer says that reading it costs less than another connection."""
    return headers.get("Content-Length") is not None and may_be_short(headers)


def may_be_short(headers: Mapping[str, str]) -> bool:
    """Return whether an answer doesn't say that it's too long to be read, or packed in an unknown way.

    If a certificate was shown on its connection it isn't read at all, since that may have been replaced: another
    connection shows the next one.
    """
    length = headers.get("Content-Length") or "0"
    return can_decompress(headers.get("Content-Encoding")) and length.isdecimal() and int(length) <= DRAIN_LIMIT


def is_fixed(body: object) -> bool:
    """Return whether a body is the same each time it's read: None, bytes, text, or a list of bytes and text."""
    if isinstance(body, list | tuple):
        return all(isinstance(part, bytes | str) for part in body)
    return body is None or isinstance(body, bytes | str | bytearray | memoryview)


def position_of(body: Any) -> int | None:
    """Return a file's position, for `rewind`; None if it has none."""
    if not hasattr(body, "read") or not hasattr(body, "seek"):
        return None
    try:
        position = body.tell()
    except Exception:  # noqa: BLE001 - a file of any kind, which then isn't replayed
        return None
    return position if isinstance(position, int) else None


def rewind(body: Any, position: object) -> bool:
    """Move a file to a position, and return whether it's there."""
    if isinstance(position, bool) or not isinstance(position, int):
        return False
    try:
        body.seek(position)
        return bool(body.tell() == position)
    except Exception:  # noqa: BLE001 - closed, not seekable, or no file at all
        return False


def are_rewindable(files: Iterable[Any]) -> bool:
    """Return whether all parts of a multipart body can be read again from their beginning, and move files there."""
    return all(is_fixed(file) or (not _is_closed(file) and rewind(file, 0)) for file in files)


def _is_closed(file: Any) -> bool:
    return isinstance(file, io.IOBase) and file.closed


def cookie_pairs(cookies: str | None) -> dict[str, str]:
    """Read a Cookie header."""
    pairs = (pair.strip().partition("=") for pair in (cookies or "").split(";"))
    return {name: value for name, separator, value in pairs if separator}


def with_new_cookies(header: str | None, before: BaseCookie[str], after: BaseCookie[str]) -> str:
    """Return a Cookie header after a client's jar has changed; what the jar didn't have is the caller's, and stays."""
    kept = {name: value for name, value in cookie_pairs(header).items() if name in after or name not in before}
    new = {name: cookie.coded_value for name, cookie in after.items() if before.get(name) != cookie}
    return "; ".join(f"{name}={value}" for name, value in {**kept, **new}.items())


async def rewind_async(request: Any) -> bool:
    """Rewind a request's async file to its first position; return whether that worked."""
    body, position = request.body, getattr(request, "_body_position", None)
    if isinstance(position, bool) or not isinstance(position, int):
        return False
    try:
        await body.seek(position)
        return bool(await body.tell() == position)
    except Exception:  # noqa: BLE001 - closed, or not seekable
        return False
