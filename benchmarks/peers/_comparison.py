"""What the picture of the comparison shows: read from the table «At a glance» of docs/performance.md."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks._page import cells_of

__all__ = ["Comparison", "read"]

SHOWN = {
    "outage": "token endpoint down for 3 s:\nfailed requests",
    "revocation": "tokens revoked 5 times:\nfailed requests",
    "refresh token shared by threads": "refresh token shared by\n16 threads: logins lost, of 3",
    "refresh token shared by processes": "refresh token shared by\n4 processes: failed, of 400",
}
"""By the beginning of a column's heading in the table."""


class Comparison(NamedTuple):
    """The libraries, and for each column of the picture its heading and a cell for each library."""

    libraries: list[str]
    headings: list[str]
    columns: list[list[str]]


def read(page: str) -> Comparison:
    """Return what the page's table says of the libraries that took part in all that's shown."""
    _, found, rest = page.partition("### At a glance")
    if not found:
        raise ValueError("the page has no table «At a glance»")
    lines = rest[: rest.find("\n###")].splitlines()
    head, _, *body = [cells_of(line) for line in lines if line.startswith("|")]
    numbers = [next(n for n, text in enumerate(head) if text.startswith(beginning)) for beginning in SHOWN]
    rows = [row for row in body if "–" not in [row[number] for number in numbers]]
    libraries = [row[0].strip("*") for row in rows]
    return Comparison(libraries, list(SHOWN.values()), [[row[n] for row in rows] for n in numbers])
