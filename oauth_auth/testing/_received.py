"""Requests that a `LocalProvider` received, for tests to look at. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs


class Headers(Mapping[str, str]):
    """Header fields by name, in any case; iteration yields the names in lower case."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = {name.lower(): value for name, value in fields.items()}

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        """Return the fields' names, without their values, which may be secret."""
        return f"<Headers {', '.join(self._fields)}>"


@dataclass(frozen=True, slots=True, repr=False)
class ReceivedRequest:
    """A request as it was received.

    `path` and `query` are as sent, still percent-encoded. `headers` can be looked up in any case. The `body` of an API
    request is cut at 64 KiB. `time` is when it arrived, in seconds of a monotonic clock.

    The `repr` shows only method and path: the rest may be secret.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    time: float

    @property
    def form(self) -> dict[str, list[str]]:
        """The fields of a form-encoded body, each with all its values; empty for any other body."""
        if self._media_type != "application/x-www-form-urlencoded":
            return {}
        return parse_qs(self.body.decode("utf-8", "replace"), keep_blank_values=True)

    @property
    def json(self) -> Any:
        """What a JSON body says; None for any other body."""
        if self._media_type != "application/json":
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def _media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def __repr__(self) -> str:
        return f"<ReceivedRequest {self.method} {self.path}>"
