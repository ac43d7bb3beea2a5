"""Build the wheel, install it on each supported Python, and run the core's tests from another folder.

Run by `make test`, and by hand: `python tests/project/wheel.py [3.12 ...]`. The package is flat, so from the checkout
`import oauth_auth` would test the checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13")
NEWER = ("3.14",)
"""Versions that are tested where they are, in CI, too."""
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
OVERRIDDEN = "3.13"
"""The version where niquests is installed as most people do: with its fork of urllib3 over the one of requests."""
OLDEST = "3.12"
"""The version where HTTP libraries are the oldest that the extras allow; not httpx2, whose first cuts files short."""
OF_THE_WHEEL = ("testing/test_pytest_plugin.py", "project/test_examples.py", "guarantees/test_pairings.py")
"""What shows that the wheel is whole. It's enough on the Python that has just run the whole suite."""
OF_PYTHON = (
    "servers/test_authlib.py",
    "guarantees/test_lifecycle.py",
    "guarantees/test_unexpected_errors.py",
    "plugins/test_niquests.py",
    "plugins/test_aiohttp.py",
    "guarantees/test_seed.py",
)
"""What another Python, or another version of an HTTP library, may do in another way."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "build", "--quiet", "--wheel", "--outdir", folder, str(ROOT))
        (wheel,) = Path(folder).glob("*.whl")
        for version in sys.argv[1:] or (*VERSIONS, *NEWER):
            python = interpreter(version)
            if python is not None:
                check(python, wheel, Path(folder, version))
            elif os.environ.get("CI") and version not in NEWER:
                sys.exit(f"Python {version} is missing: install it, as `python{version}` or through pyenv")
            else:
                print(f"skipped: Python {version} is missing; install it, as `python{version}` or through pyenv")


def interpreter(version: str) -> str | None:
    """Find a Python of this version: this one, one on PATH that runs, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = [sys.executable, shutil.which(f"python{version}"), *map(str, pyenv.glob(f"{version}.*/bin/python"))]
    for candidate in filter(None, candidates):
        command = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.stdout.strip() == version:
            return candidate
    return None


def check(python: str, wheel: Path, folder: Path) -> None:
    """Install the wheel in a new environment and test it there."""
    is_overridden = folder.name == OVERRIDDEN
    urllib3 = "urllib3 overridden" if is_overridden else "urllib3 as it is"
    libraries = oldest_libraries() if folder.name == OLDEST else []
    print(f"wheel on Python {folder.name}, {', '.join([urllib3, *libraries])}", flush=True)
    apart = {"URLLIB3_NO_OVERRIDE": "1", "PIP_NO_BINARY": "urllib3-future"}
    for name, value in apart.items():
        os.environ.pop(name, None)
        if not is_overridden:
            os.environ[name] = value
    run(python, "-m", "venv", str(folder / "venv"))
    installed = str(folder / "venv" / "bin" / "python")
    run(installed, "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1")
    groups = [part for name in ("core", "demo") for part in ("--group", f"{ROOT / 'pyproject.toml'}:{name}")]
    run(installed, "-m", "pip", "install", "--quiet", f"oauth_auth @ {wheel.as_uri()}", *groups, *libraries)
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copy(ROOT / "pyproject.toml", folder)
    check_origin = f"import oauth_auth; assert oauth_auth.__file__.startswith({str(folder)!r}), oauth_auth.__file__"
    run(installed, "-c", check_origin, cwd=folder)
    check_urllib3 = f"import niquests; assert niquests.HAS_LEGACY_URLLIB3 is {not is_overridden}"
    run(installed, "-c", check_urllib3, cwd=folder)
    tests = OF_THE_WHEEL if folder.name == RUNNING else OF_THE_WHEEL + OF_PYTHON
    workers = os.environ.get("WORKERS", "auto")  # of the Makefile
    parallel = ("-n", workers, "--dist", "worksteal")
    run(installed, "-m", "pytest", "-q", *parallel, *(f"tests/{name}" for name in tests), cwd=folder)


def oldest_libraries() -> list[str]:
    """Return the requirements of the HTTP libraries as the extras have them, each for its oldest version."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return [extras[library][0].replace(">=", "==") for library in ("requests", "niquests", "httpx", "aiohttp")]


def run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True)


if __name__ == "__main__":
    main()
