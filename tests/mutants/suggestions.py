"""Where an edit that doesn't fit any longer may belong now."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import lru_cache

from tests.mutants.edits import Edit, parsed
from tests.mutants.places import Place, Sources

__all__ = ["suggestions"]

_MOST = 3
_LEAST_ALIKE = 0.6


def suggestions(sources: Sources, name: str, edit: Edit) -> list[str]:
    """Return where the old source is now; if it's nowhere, what is most like it."""
    if not edit.old:
        last = name.rpartition(".")[2]
        return [f"now {place.name}, in {place.file}?" for place in _all(sources) if place.name.endswith(last)][:_MOST]
    outer = [one for one in _all(sources) if "." not in one.name and edit.spots(one.node, one.siblings)]
    found = [
        one for one in _all(sources) if any(_is_in(one, two) for two in outer) and edit.spots(one.node, one.siblings)
    ]
    # What's within another place is told alone.
    if inner := [one for one in found if not any(two is not one and _is_in(two, one) for two in found)]:
        return [f"the same is in {place.name}, {place.file}:{place.node.lineno}" for place in inner[:_MOST]]
    return [f"alike ({ratio:.0%}): {text!r} in {place}" for ratio, text, place in _alike(sources, edit)[:_MOST]]


def _all(sources: Sources) -> Iterator[Place]:
    """Return what has a name in the package; what's within another comes after it."""
    return (
        place for found in sources.by_name.values() for place in found if place.name and place.file.startswith("oauth")
    )


def _is_in(inner: Place, outer: Place) -> bool:
    return inner.file == outer.file and f"{inner.name}.".startswith(f"{outer.name}.")


@lru_cache(maxsize=1)
def _pieces(sources: Sources) -> dict[type[ast.AST], dict[str, str]]:
    """Return all source of the package by the kind of its node, and where each piece is."""
    innermost = {node: place for place in _all(sources) for node in ast.walk(place.node)}
    found: dict[type[ast.AST], dict[str, str]] = defaultdict(dict)
    for node, place in innermost.items():
        if isinstance(node, ast.stmt | ast.expr):
            found[type(node)][ast.unparse(node)] = f"{place.name}, {place.file}:{node.lineno}"
    return found


def _alike(sources: Sources, edit: Edit) -> list[tuple[float, str, str]]:
    """Return pieces of source of the same kind that are like the old, the most alike first."""
    first = parsed(edit.old)[0]
    wanted = first.value if isinstance(first, ast.Expr) else first
    matcher = SequenceMatcher(b=ast.unparse(wanted), autojunk=False)
    found: list[tuple[float, str, str]] = []
    for text, where in _pieces(sources)[type(wanted)].items():
        matcher.set_seq1(text)
        if min(matcher.real_quick_ratio(), matcher.quick_ratio()) >= _LEAST_ALIKE and matcher.ratio() >= _LEAST_ALIKE:
            found.append((matcher.ratio(), text, where))
    return sorted(found, reverse=True)
