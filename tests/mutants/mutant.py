"""What a mutant is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Mutant"]

ROOT = Path(__file__).parents[2]
"""The folder with the package, the tests and all else."""


class Mutant(NamedTuple):
    """A fault: in place of a text of the package there's another, and these tests must fail."""

    guarantee: int
    """The number in docs/guarantees.md of what it breaks."""
    name: str
    """What is broken."""
    path: str
    """The file, below `oauth_auth`."""
    text: str
    """What is replaced; it occurs once in the file."""
    replacement: str
    tests: tuple[str, ...]
    """Node ids below `tests`, as few as will do."""

    def occurrences(self) -> int:
        """Return how often the text is in the file: the fault can be put there if it's once."""
        return (ROOT / "oauth_auth" / self.path).read_text(encoding="utf-8").count(self.text)

    def apply(self, root: Path) -> None:
        """Put the fault into the package below this folder."""
        file = root / "oauth_auth" / self.path
        file.write_text(file.read_text(encoding="utf-8").replace(self.text, self.replacement), encoding="utf-8")


def node_id(test: str) -> str:
    """Return a test's node id as pytest takes it from the root."""
    return f"tests/{test}"
