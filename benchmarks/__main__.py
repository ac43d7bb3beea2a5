"""Measure what the library promises in figures: python -m benchmarks [--write FILE]."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
from importlib.metadata import version
from pathlib import Path

from . import cost, fleet, hot_path, load, proofs, resources, tenants
from ._figures import Figure
from ._page import table, write_part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the Markdown page whose part about these figures to write")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    for part in (hot_path, proofs, resources, load, tenants, fleet, cost):
        print(f"{part.__name__} ...", flush=True)
        for figure in part.run():
            mark = "✓" if figure.kept else "✗"
            print(f"  {mark} {figure.what}: {figure.measured} (promised: {figure.promised})", flush=True)
            figures.append(figure)
    if arguments.write:
        write_part(arguments.write, "figures", part_of_page(figures))


def part_of_page(figures: list[Figure]) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("requests", "niquests", "httpx", "httpx2", "aiohttp"))
    rows = [[f.what, f.measured, f.promised, "yes" if f.kept else "**no**"] for f in figures]
    intro = (
        f"Measured on {dt.datetime.now(dt.UTC):%d %B %Y} by `make figures` (`python -m benchmarks`): Python "
        f"{platform.python_version()}, {libraries}, {os.cpu_count()} cores shared with the server. Each figure is "
        "a comparison within one run; ratios are medians over many rounds in turn."
    )
    head = "## What is promised"
    return "\n\n".join([head, intro, table(["what", "measured", "promised", "kept"], rows)])


if __name__ == "__main__":
    main()
