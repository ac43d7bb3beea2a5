"""A figure of the table: what was measured, what came out, and what it should be."""

from __future__ import annotations

from typing import NamedTuple


class Figure(NamedTuple):
    what: str
    measured: str
    promised: str
    kept: bool
