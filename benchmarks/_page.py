"""The page docs/performance.md has parts, each between two comments; whoever measures writes its own part only."""

from __future__ import annotations

from pathlib import Path

TITLE = "# Performance\n"


def write_part(page: Path, name: str, text: str) -> None:
    """Put the text in place of the part, or at the end of the page if it has no such part yet."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    part = f"{begin}\n\n{text.strip()}\n\n{end}"
    old = page.read_text(encoding="utf-8") if page.exists() else TITLE
    before, found, rest = old.partition(begin)
    _, closed, after = rest.partition(end)
    if found and not closed:
        raise ValueError(f"{page} has {begin!r} without {end!r}")
    new = f"{before}{part}{after}" if found else f"{old.rstrip()}\n\n{part}\n"
    page.write_text(new, encoding="utf-8")


def read_part(page: Path, name: str) -> str | None:
    """Return the text of the part, or None if the page has no such part yet."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    _, found, rest = text.partition(f"<!-- {name}: begin -->")
    part, closed, _ = rest.partition(f"<!-- {name}: end -->")
    return part.strip() if found and closed else None


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; a bar in a cell doesn't end it."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def cells_of(line: str) -> list[str]:
    """Return the cells of a table's line."""
    return [cell.strip() for cell in line.strip("|").split("|")]
