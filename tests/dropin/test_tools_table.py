"""The documentation's table of test tools and extensions tells what is tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def versions_in(page: str) -> dict[str, str]:
    """Return the versions in a page's table of tools."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    tables = [row for row in rows if len(row) in {3, 4}]
    return {row[0]: row[2].rstrip(" |") for row in tables if re.match(r"\d", row[2])}


def test_the_table_tells_the_versions_of_the_dependencies() -> None:
    """The table has each tool that's tested, since the version that the dependencies ask for."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    asked = {
        re.split(r"\[|>=", line)[0]: line.partition(">=")[2]
        for line in (*groups["core"], *groups["dropin-tools"])
        if isinstance(line, str)
    }
    pages = [path.read_text() for path in (ROOT / "docs").glob("dropin*.md")]
    documented = {name: since for page in pages for name, since in versions_in(page).items()}

    in_core = {"responses", "respx", "niquests-mock", "freezegun"}
    tested = {re.split(r"\[|>=", line)[0] for line in groups["dropin-tools"]} | in_core
    assert {name: asked[name] for name in tested} == {name: documented.get(name) for name in tested}
