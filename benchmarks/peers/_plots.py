"""One picture for each scenario, and one of all: bars for what was measured, one row for each library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks._svg import for_both_themes

from ._comparison import Comparison
from ._scenario import Column, in_order, middle, spread

OURS, PEERS, BARE = "#1b6ca8", "#c97b3d", "#9a9a9a"
MISSING = "#666666"


def draw(folder: Path, name: str, module: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Write the scenario's picture as SVG, the same bytes for the same numbers."""
    columns = [column for column in module.COLUMNS if column.plotted]
    ordered = in_order(rows, module.COLUMNS)
    figure = Figure(figsize=(3.4 + 2.9 * len(columns), 1.5 + 0.34 * len(ordered)), layout="constrained")
    axes = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axis, column in zip(axes, columns, strict=True):
        _draw_column(axis, column, module.PARAMETERS, ordered)
    axes[0].set_yticks(range(len(ordered)), [row["name"] for row in ordered])
    figure.suptitle(module.TITLE.format(**module.PARAMETERS), fontsize=12)
    save(figure, folder / f"{name}.svg")


def save(figure: Figure, file: Path) -> None:
    """Write a figure as SVG, the same bytes for the same numbers, for light and dark pages."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": file.stem, "svg.fonttype": "none"}):
        figure.savefig(file, metadata={"Date": None}, facecolor="white")
    file.write_text(for_both_themes(file.read_text(encoding="utf-8")), encoding="utf-8")


def compare(file: Path, comparison: Comparison) -> None:
    """Write the picture of all libraries and of what went wrong with them."""
    height = 0.9 + 0.25 * len(comparison.libraries)
    figure = Figure(figsize=(10.4, height), layout="constrained")
    axes = figure.subplots(1, len(comparison.headings), sharey=True, squeeze=False)[0]
    for axis, heading, cells in zip(axes, comparison.headings, comparison.columns, strict=True):
        greatest = max((int(cell) for cell in cells if cell.isdigit()), default=0) or 1
        for place, (library, cell) in enumerate(zip(comparison.libraries, cells, strict=True)):
            number = int(cell) if cell.isdigit() else 0
            color = OURS if number == 0 and cell.isdigit() else PEERS
            axis.barh(place, number, height=0.66, color=_color(library))
            style = {"color": color, "weight": "bold"} if cell.isdigit() else {"color": MISSING, "style": "italic"}
            axis.annotate(cell, (number, place), (4, 0), textcoords="offset points", va="center", fontsize=8.5, **style)
        axis.set_title(heading, fontsize=9, loc="left")
        axis.set_xlim(0, 1.25 * greatest)
        axis.set_ylim(len(cells) - 0.5, -0.5)
        axis.tick_params(left=False, bottom=False, labelbottom=False, labelsize=9)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    axes[0].set_yticks(range(len(comparison.libraries)), comparison.libraries)
    for label in axes[0].get_yticklabels():
        label.set_weight("bold" if label.get_text().startswith("oauth_auth") else "normal")
    save(figure, file)


def _draw_column(axis: Any, column: Column, parameters: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    numbers = [middle(row.get("values", {}).get(column.key, "")) for row in rows]
    greatest = max((number for number in numbers if number is not None), default=0) or 1
    for place, (row, number) in enumerate(zip(rows, numbers, strict=True)):
        if number is None:
            text = "can't" if "cannot" in row else "broke"
            axis.text(0.01 * greatest, place, text, va="center", fontsize=8, color=MISSING, style="italic")
            continue
        axis.barh(place, number, height=0.66, color=_color(row["name"]))
        ends = spread(row["values"][column.key])
        if ends and ends[0] < ends[1]:
            axis.plot(ends, (place, place), color="black", linewidth=1, solid_capstyle="butt")
        edge = max(number, ends[1] if ends else number, 0)
        axis.annotate(
            f"{number:.{column.digits}f}", (edge, place), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axis.set_xlabel(column.heading.format(**parameters), fontsize=9)
    axis.tick_params(labelsize=8.5)
    axis.margins(x=0.18)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    if not any(numbers):
        axis.set_xlim(0, 1)
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=column.digits == 0))


def _color(name: str) -> str:
    if name.startswith("oauth_auth"):
        return OURS
    return BARE if name.startswith("no OAuth") else PEERS
