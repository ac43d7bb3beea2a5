"""The part of the page about the peers: an overview, then each scenario with its plot and its table."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._page import cells_of, table

from ._scenario import Column, in_order, middle, written

Row = dict[str, Any]
"""`name`; and `values`, or `cannot`, or `broke`; perhaps a `remark`."""


GLANCE = "### At a glance"
SET_UP = """\
- «(tasks)» are an async client in one event loop; the others are used by threads.
- requests-oauthlib and google-auth renew by themselves with a refresh token only. Where there is no person, they have
  one that the server doesn't rotate. The others use the client-credentials grant.
- The sessions of Authlib and requests-oauthlib must be given a first token. It's one that has expired.
- requests-auth and httpx-auth take no login that somebody kept. Where there is a person they know the password, and
  log in with it again when a refresh is refused or another thread is refreshing.
- «middleware by hand» is what aiohttp's own cookbook of client middlewares suggests, written for this server: a lock,
  an expiry, and one more try after a 401.
- mcp's provider is made for MCP servers, but works as a plug-in of httpx2. It discovers its endpoints, and lets one
  request through at a time."""


def surroundings() -> dict[str, str]:
    """Return where and when it's measured."""
    return {
        "date": f"{dt.datetime.now(dt.UTC):%d %B %Y}",
        "python": platform.python_version(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "versions": ", ".join(pinned_versions()),
    }


def pinned_versions() -> list[str]:
    """Return what the requirements file names, such as «mcp 2.3.0»."""
    text = (Path(__file__).parent / "requirements.txt").read_text(encoding="utf-8")
    return [f"{name} {version}" for name, version in re.findall(r"^([\w-]+)==(\S+)$", text, re.MULTILINE)]


def part_of_page(where: Mapping[str, str], scenarios: Mapping[str, Any], results: Mapping[str, list[Row]]) -> str:
    """Return the part as Markdown; `scenarios` are the modules, or what looks like them."""
    intro = (
        f"Measured on {where['date']} by `make bench` (`python -m benchmarks.peers`): Python {where['python']}, "
        f"{where['cores']} cores shared with the server, load average {where['load']} at the start; "
        f"{where['versions']}. Each library does the same work in each scenario, in a process of its own, the way its "
        "documentation says; the code is in `benchmarks/peers/`. The server is `oauth_auth.testing.LocalProvider`, in "
        "another process, but where a text says otherwise. Numbers are totals of one run, or medians of several rounds "
        "with what was least and greatest in brackets. Rows are sorted by what was measured. «can't» means that a "
        "library doesn't offer what the scenario is about, and isn't a failure. The notes say what failed, of several "
        "rounds in one."
    )
    pieces = ["## The same work through the peers", intro, SET_UP, f"{GLANCE}\n\n{overview(scenarios, results)}"]
    return "\n\n".join([*pieces, *(section(name, scenarios[name], rows) for name, rows in results.items())])


def rewritten(
    part: str, where: Mapping[str, str], scenarios: Mapping[str, Any], results: Mapping[str, list[Row]]
) -> str:
    """Return the part with these scenarios measured anew, each with its own date, and all else as it was."""
    begin, *sections = re.split(r"\n\n(?=### )", part)
    by_heading = {text.partition("\n")[0]: text for text in sections}
    when = f"Measured on {where['date']}: Python {where['python']}, load average {where['load']} at the start"
    when += "." if where["versions"] in begin else f"; {where['versions']}."
    by_heading[GLANCE] = f"{GLANCE}\n\n{overview(scenarios, results, by_heading[GLANCE])}"
    for name, rows in results.items():
        text = section(name, scenarios[name], rows, when)
        by_heading[text.partition("\n")[0]] = text
    return "\n\n".join([begin, *by_heading.values()])


def section(name: str, module: Any, rows: Sequence[Row], when: str | None = None) -> str:
    """Return what the page says of one scenario; `when` it was measured, if not with the others."""
    title = module.TITLE.format(**module.PARAMETERS)
    pieces = [f"### {title}", module.TEXT.format(**module.PARAMETERS), when, f"![{title}](performance/{name}.svg)"]
    return "\n\n".join([*filter(None, pieces), scenario_table(module.COLUMNS, module.PARAMETERS, rows)])


def overview(scenarios: Mapping[str, Any], results: Mapping[str, list[Row]], before: str = "") -> str:
    """Return one table of all libraries and scenarios, with one number of each: `before`, with these columns anew."""
    head, _, *old = [cells_of(line) for line in before.splitlines() if line.startswith("|")] or [["library"], []]
    cells = {name: dict(zip(head[1:], values, strict=True)) for name, *values in old}
    for name, rows in results.items():
        module = scenarios[name]
        heading = module.HEADLINE[1].format(**module.PARAMETERS)
        head += [] if heading in head else [heading]
        measured = {_shown(row["name"]): _headline(module, row) for row in rows}
        for library in {**cells, **measured}:
            cells.setdefault(library, {})[heading] = measured.get(library, "–")
    return table(head, [[library, *(row.get(heading, "–") for heading in head[1:])] for library, row in cells.items()])


def _headline(module: Any, row: Row) -> str:
    if "values" not in row:
        return "can't" if "cannot" in row else "broke"
    key = module.HEADLINE[0]
    digits = next(column.digits for column in module.COLUMNS if column.key == key)
    number = middle(row["values"][key])
    return "" if number is None else f"{number:.{digits}f}"


def scenario_table(columns: Sequence[Column], parameters: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Return one scenario's table."""
    body = []
    for row in in_order(rows, columns):
        values = row.get("values", {})
        cells = [written(values.get(column.key, ""), column.digits) for column in columns]
        body.append([_shown(row["name"]), *cells, _notes(row)])
    return table(["library", *(column.heading.format(**parameters) for column in columns), "notes"], body)


def in_a_line(columns: Sequence[Column], row: Row) -> str:
    """Return what a run shows of a row while it goes on."""
    values = row.get("values", {})
    cells = [f"{written(values[column.key], column.digits)} {column.key}" for column in columns if column.key in values]
    return "; ".join([*cells, _notes(row)] if _notes(row) else cells)


def _shown(name: str) -> str:
    return f"**{name}**" if name.startswith("oauth_auth") else name


def _notes(row: Row) -> str:
    broke = f"broke: {row['broke']}" if "broke" in row else ""
    notes = (row.get("cannot", ""), broke, row.get("values", {}).get("problems", ""), row.get("remark", ""))
    return "; ".join(note for note in notes if note)
