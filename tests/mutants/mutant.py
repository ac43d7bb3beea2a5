"""What a mutant is."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from tests.mutants.edits import Edit, Spot
from tests.mutants.places import Place, Sources, places

__all__ = ["Mutant", "node_id"]


@dataclass(frozen=True)
class Mutant:
    """A fault in the package, and where it must be noticed: by tests, or in histories that are simulated."""

    guarantee: int | None
    """The number in docs/guarantees.md of what it breaks; none if the simulator looks for it."""
    name: str
    """What is broken."""
    place: str
    """What is changed, by its qualified name, such as `State.launched` or `MAX_BODY`.

    The edit fits once in all that has the name. Otherwise, its module stands before it, as in `merge:adopted`; with
    nothing after the colon it's the module as a whole.
    """
    edit: Edit
    tests: tuple[str, ...] = ()
    """Node ids below `tests`, as few as will do."""
    histories: tuple[str, ...] = ()
    """The kinds of histories that the simulator looks for it in, in turn."""
    also: tuple[tuple[str, Edit], ...] = ()
    """What else is changed, and where."""
    is_defect: bool = False
    """Whether the package had it once: then the simulator must find it."""
    why_not: str = ""
    """If no history can find it: why it changes nothing that is promised."""

    @property
    def changes(self) -> tuple[tuple[str, Edit], ...]:
        """All changes: where, and what."""
        return ((self.place, self.edit), *self.also)

    def misfits(self, sources: Sources) -> list[tuple[str, Edit, int]]:
        """Return the changes that can't be made, and in how many spots each could: only one will do."""
        counts = [(name, edit, len(find(sources, name, edit))) for name, edit in self.changes]
        return [(name, edit, count) for name, edit, count in counts if count != 1]

    def changed(self, sources: Sources) -> dict[str, str]:
        """Return the files that have the fault in them, each with its new text."""
        return {file: ast.unparse(tree) for file, tree in self.changed_trees(sources).items()}

    def changed_trees(self, sources: Sources) -> dict[str, ast.Module]:
        """Return the trees of these files."""
        trees: dict[str, ast.Module] = {}
        for name, edit in self.changes:
            ((place, _),) = find(sources, name, edit)
            if place.file not in trees:
                trees[place.file] = sources.tree(place.file)
            tree = trees[place.file]
            for own in places(place.file, tree):
                if own.name == place.name:
                    for spot in edit.spots(own.node, own.siblings):
                        edit.apply(spot)
        return trees


def find(sources: Sources, name: str, edit: Edit) -> list[tuple[Place, Spot]]:
    """Return where an edit fits in what has a name."""
    return [(place, spot) for place in sources.find(name) for spot in edit.spots(place.node, place.siblings)]


def node_id(test: str) -> str:
    """Return a test's node id as pytest takes it from the root."""
    return f"tests/{test}"
