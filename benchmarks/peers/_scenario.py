"""A scenario is a module with a title, a text, columns, and `measure`; here is what they share."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

Value = float | str | list[float]
"""A number, a text, or what several rounds gave."""


class Column(NamedTuple):
    key: str
    heading: str
    digits: int = 0
    plotted: bool = True
    """Texts aren't."""


def middle(value: Value) -> float | None:
    """Return the number to draw and to sort by, or None."""
    if isinstance(value, list):
        return statistics.median(value) if value else None
    return None if isinstance(value, str) else float(value)


def spread(value: Value) -> tuple[float, float] | None:
    """Return the least and the greatest of several rounds, if there were several."""
    return (min(value), max(value)) if isinstance(value, list) and len(value) > 1 else None


def written(value: Value, digits: int) -> str:
    """Return a value as the table shows it: a median with its spread, unless all rounds agree."""
    number = middle(value)
    if number is None:
        return value if isinstance(value, str) else ""
    text = f"{number:.{digits}f}"
    ends = spread(value)
    low, high = (f"{end:.{digits}f}" for end in ends) if ends else (text, text)
    return text if low == high else f"{text} ({low} to {high})"


def in_order(rows: Sequence[dict[str, Any]], columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Sort by what was measured, first column first, whoever it is; then those that broke, then those that can't."""

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        values = row.get("values", {})
        numbers = (middle(values.get(column.key, "")) for column in columns)
        return ("cannot" in row, "broke" in row, *(0.0 if number is None else number for number in numbers))

    return sorted(rows, key=key)
