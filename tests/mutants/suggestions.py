"""Where an edit that doesn't fit any longer may belong now."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from difflib import SequenceMatcher

from tests.mutants.edits import Edit, parsed
from tests.mutants.places import Place, Sources

__all__ = ["suggestions"]

_MOST = 3
_LEAST_ALIKE = 0.6


def suggestions(sources: Sources, name: str, edit: Edit) -> list[str]:
    """Return where the old source is now; if it's nowhere, what is most like it, by preference in what has the name."""
    if not edit.old:
        last = name.rpartition(".")[2]
        return [f"now {place.name}, in {place.file}?" for _, place in _all(sources) if place.name.endswith(last)][
            :_MOST
        ]
    found = [place for _, place in _all(sources) if place.name and edit.spots(place.node, place.siblings)]
    # What's within another place is told alone.
    inner = [one for one in found if not any(two is not one and _is_in(two, one) for two in found)]
    if inner:
        return [f"the same is in {place.name}, {place.file}:{place.node.lineno}" for place in inner[:_MOST]]
    return [f"alike ({ratio:.0%}): {text!r} in {place}" for ratio, text, place in _alike(sources, name, edit)[:_MOST]]


def _all(sources: Sources) -> Iterator[tuple[str, Place]]:
    return ((name, place) for name, found in sources.by_name.items() for place in found)


def _is_in(inner: Place, outer: Place) -> bool:
    return inner.file == outer.file and inner.name.startswith(f"{outer.name}." if outer.name else "")


def _alike(sources: Sources, name: str, edit: Edit) -> list[tuple[float, str, str]]:
    """Return pieces of source of the same kind that are like the old, the most alike first."""
    first = parsed(edit.old)[0]
    wanted = first.value if isinstance(first, ast.Expr) else first
    text = ast.unparse(wanted)
    matcher = SequenceMatcher(b=text, autojunk=False)
    near = sources.find(name)
    found: dict[str, tuple[float, str, str]] = {}
    for _, place in _all(sources):
        if not place.name:
            continue
        bonus = 0.1 if place in near else 0.0
        for node in ast.walk(place.node):
            if type(node) is not type(wanted):
                continue
            other = ast.unparse(node)
            if len(other) > 2 * len(text) + 20:
                continue
            matcher.set_seq1(other)
            if matcher.real_quick_ratio() + bonus < _LEAST_ALIKE or matcher.quick_ratio() + bonus < _LEAST_ALIKE:
                continue
            ratio = matcher.ratio() + bonus
            if ratio >= _LEAST_ALIKE and ratio >= found.get(other, (0.0,))[0]:
                found[other] = (ratio, other, f"{place.name}, {place.file}:{getattr(node, 'lineno', 0)}")
    return sorted(found.values(), reverse=True)
