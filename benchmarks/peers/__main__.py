"""Put the same work through oauth_auth and its peers: python -m benchmarks.peers [--quick] [--write PAGE].

Each library in each scenario runs in a process of its own, with a time limit: one that breaks gives a row that says
how, and the run goes on. With `--only`, the rest of the page's part stays as it is.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks._page import read_part, write_part

from . import _comparison, _plots, _report
from ._contender import SCENARIOS, Contender
from ._worker import ALL

LIMIT = 60
SIDE_BY_SIDE = {"outage": 2, "rotation": 2}
"""Scenarios that wait more than they work: so many run at a time, so that the whole takes minutes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few seconds for each, to see whether it runs")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="the page whose part about the peers to write")
    parser.add_argument("--only", choices=SCENARIOS, action="append", help="this scenario; may be repeated")
    parser.add_argument("--redraw", type=Path, metavar="PAGE", help="only draw the comparison of the page's table")
    arguments = parser.parse_args()
    if arguments.redraw:
        draw_comparison(arguments.redraw)
        return
    names = arguments.only or SCENARIOS
    where = _report.surroundings()
    begun = time.monotonic()
    scenarios = {name: importlib.import_module(f"benchmarks.peers.{name}") for name in names}
    results = {name: run_scenario(name, scenarios[name], quick=arguments.quick) for name in names}
    print(f"took {time.monotonic() - begun:.0f} s", flush=True)
    if arguments.write:
        for name, rows in results.items():
            _plots.draw(arguments.write.parent / "performance", name, scenarios[name], rows)
        before = read_part(arguments.write, "peers") if arguments.only else None
        part = _report.rewritten(before, where, scenarios, results) if before else None
        write_part(arguments.write, "peers", part or _report.part_of_page(where, scenarios, results))
        draw_comparison(arguments.write)


def draw_comparison(page: Path) -> None:
    """Write the picture that the README and the documentation's first page show."""
    _plots.compare(page.parent / "_static" / "comparison.svg", _comparison.read(page.read_text(encoding="utf-8")))


def run_scenario(scenario: str, module: Any, *, quick: bool) -> list[dict[str, Any]]:
    """Return a row for each library that takes part."""
    print(f"{scenario} ...", flush=True)

    def run(contender: Contender) -> dict[str, Any]:
        row = {"name": contender.name, **run_one(scenario, contender, quick=quick)}
        if scenario in contender.remarks:
            row["remark"] = contender.remarks[scenario]
        print(f"  {contender.name}: {_report.in_a_line(module.COLUMNS, row)}", flush=True)
        return row

    begun = time.monotonic()
    with ThreadPoolExecutor(2 if quick else SIDE_BY_SIDE.get(scenario, 1)) as pool:
        rows = list(pool.map(run, [contender for contender in ALL if scenario in contender.scenarios]))
    print(f"  ({time.monotonic() - begun:.0f} s)", flush=True)
    return rows


def run_one(scenario: str, contender: Contender, *, quick: bool) -> dict[str, Any]:
    """Return what was measured, or why it wasn't."""
    if scenario in contender.cannot:
        return {"cannot": contender.cannot[scenario]}
    command = [sys.executable, "-m", "benchmarks.peers._worker", scenario, contender.name, "quick" if quick else "full"]
    try:
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return {"broke": f"not done after {LIMIT} s"}
    if done.returncode != 0:
        return {"broke": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:200]}
    return {"values": json.loads(done.stdout.splitlines()[-1])}


def environment() -> dict[str, str]:
    """Return the environment of a worker: no proxy, and plain http to loopback allowed where a library asks."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "AUTHLIB_INSECURE_TRANSPORT": "1", "OAUTHLIB_INSECURE_TRANSPORT": "1"}


if __name__ == "__main__":
    main()
