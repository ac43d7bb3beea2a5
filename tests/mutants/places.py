"""Where a function, a class or a constant is in the package, by its qualified name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Place", "Sources"]

ROOT = Path(__file__).parents[2]
"""The folder with the package, the tests and all else."""
_FOLDERS = ("oauth_auth", "tests/simulation")
"""What faults are put into: the package, and the simulator's judge."""


class Place(NamedTuple):
    """What has a name in a file: its node, and the block that it stands in."""

    file: str
    name: str
    node: ast.stmt
    siblings: list[ast.stmt]


class Sources:
    """The trees of all that a fault can be put into."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.files = sorted(
            path.relative_to(root).as_posix() for folder in _FOLDERS for path in (root / folder).rglob("*.py")
        )

    def tree(self, file: str) -> ast.Module:
        """Return a tree of a file, for the caller to change."""
        return ast.parse((self._root / file).read_bytes(), file)

    @cached_property
    def by_name(self) -> dict[str, list[Place]]:
        """All that has a qualified name, of which several things may have one."""
        found = defaultdict(list)
        for file in self.files:
            for place in places(file, self.tree(file)):
                found[place.name].append(place)
        return dict(found)

    def find(self, name: str) -> list[Place]:
        """Return what has a name such as `State.launched`, or `decisions:State.launched` if that's not enough."""
        module, _, name = name.rpartition(":")
        dotted = f".{module}"
        return [place for place in self.by_name.get(name, ()) if not module or _dotted(place.file).endswith(dotted)]


def places(file: str, tree: ast.Module) -> Iterator[Place]:
    """Return all that has a name in a file: the module itself has none."""
    yield Place(file, "", ast.If(ast.Constant(value=True), tree.body, []), [])
    yield from _named(file, "", tree)


def _dotted(file: str) -> str:
    return f".{file.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}"


def _named(file: str, prefix: str, parent: ast.AST, *, is_local: bool = False) -> Iterator[Place]:
    """Return what has a name in a node's blocks; a function's variables count for nothing."""
    for _, block in ast.iter_fields(parent):
        for node in block if isinstance(block, list) else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield Place(file, f"{prefix}{node.name}", node, block)
                is_function = not isinstance(node, ast.ClassDef)
                yield from _named(file, f"{prefix}{node.name}.", node, is_local=is_function)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                for target in () if is_local else node.targets if isinstance(node, ast.Assign) else [node.target]:
                    if isinstance(target, ast.Name):
                        yield Place(file, f"{prefix}{target.id}", node, block)
            elif isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
                yield from _named(file, prefix, node, is_local=is_local)
