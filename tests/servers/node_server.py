"""Run a program of Node as a server, and install what such programs need."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from .programs import ServiceMissing, node, npm
from .server_process import ServerProcess

FOLDER = Path(__file__).parent / "oidc"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient:
    """A client that the server knows; a public one has no secret."""

    client_id: str
    client_secret: str | None = field(repr=False)

    @property
    def secret(self) -> str:
        """The secret of a confidential client; raises ValueError for a public one."""
        if self.client_secret is None:
            raise ValueError(f"{self.client_id} is a public client")
        return self.client_secret


class NodeServer(ServerProcess):
    """A program of Node in a folder with packages of its own."""

    program: ClassVar[str]
    folder: ClassVar[Path] = FOLDER
    package: ClassVar[str] = "oidc-provider"
    """The package in the folder's `node_modules` without which the program doesn't run."""

    def _command(self) -> tuple[list[str], Path]:
        return [require_node(self.folder, self.package), self.program], self.folder


def require_node(folder: Path = FOLDER, package: str = "oidc-provider", least: tuple[int, int] = (20, 20)) -> str:
    """Return the path of Node. Raises `ServiceMissing`, also where the folder's packages aren't installed."""
    program = node(least)
    if program is None or not (folder / "node_modules" / package).is_dir():
        what = f"node ({least[0]}.{least[1]} or later)" if program is None else package
        raise ServiceMissing(
            f"{what} isn't installed: `make test` runs `npm ci` in {_relative(folder)}, which needs Node and npm"
        )
    return program


def _relative(folder: Path) -> str:
    """Name the folder as one would type it from the checkout."""
    return "/".join(folder.parts[-3:])


def install(folder: Path) -> None:
    """Install a folder's packages. Without npm do nothing: the tests that need them say so."""
    if (command := npm()) is not None:
        subprocess.run([*command, "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True)


if __name__ == "__main__":
    install(Path(sys.argv[1]))
