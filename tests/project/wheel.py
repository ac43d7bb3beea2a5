"""Install the wheel on each supported Python, and test it there, from another folder: the whole core, or once through.

The package is flat, so from the checkout `import oauth_auth` would test the checkout. See tests/project/release.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.project.once_through import signatures

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
)
"""What another Python, or another version of an HTTP library, may do in another way."""


_PLUGINS = "requests,niquests,httpx,httpx2,aiohttp,testing"
"""The extras that `once_through` needs."""


@contextmanager
def check_wheel(
    wheel: Path, unpacked: Path, folder: Path, versions: Iterable[str] = (), *, brief: bool = False
) -> Iterator[None]:
    """Make the environments, all at once, while the caller does something else; then test the wheel in each.

    `unpacked` is the source distribution, whose tests are run; of these, if it's to be brief, `once_through` alone.
    """
    pythons = {}
    for version in versions or (*VERSIONS, *NEWER):
        python = interpreter(version)
        if python is not None:
            pythons[version] = python
        elif os.environ.get("CI") and version not in NEWER:
            sys.exit(f"Python {version} is missing: install it, as `python{version}` or through pyenv")
        else:
            print(f"skipped: Python {version} is missing; install it, as `python{version}` or through pyenv")
    with ThreadPoolExecutor() as pool:
        prepare = install_plugins if brief else install
        ready = [pool.submit(prepare, python, wheel, unpacked, folder / version) for version, python in pythons.items()]
        yield
        for installed in ready:
            (check_briefly if brief else check)(installed.result())


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


def install(python: str, wheel: Path, unpacked: Path, folder: Path) -> Path:
    """Install the wheel and what tests need in a new environment, with the tests beside it; return their folder."""
    libraries = oldest_libraries() if folder.name == OLDEST else []
    groups = [part for name in ("core", "demo") for part in ("--group", f"{ROOT / 'pyproject.toml'}:{name}")]
    install_in(folder, python, f"oauth_auth @ {wheel.as_uri()}", *groups, *libraries)
    for name in ("tests", "examples"):
        shutil.copytree(unpacked / name, folder / name)
    shutil.copy(unpacked / "pyproject.toml", folder)
    return folder


def install_plugins(python: str, wheel: Path, unpacked: Path, folder: Path) -> Path:
    """Install the wheel with what the plug-ins alone need, and `once_through` beside it; return their folder."""
    libraries = oldest_libraries() if folder.name == OLDEST else []
    install_in(folder, python, f"oauth_auth[{_PLUGINS}] @ {wheel.as_uri()}", *libraries)
    shutil.copy(unpacked / "tests" / "project" / "once_through.py", folder)
    return folder


def install_in(folder: Path, python: str, *requirements: str) -> None:
    """Install requirements in a new environment there, by the pip that's here: a new one takes as long as they do."""
    run(python, "-m", "venv", "--without-pip", str(folder / "venv"))
    pip = (sys.executable, "-m", "pip", "--python", str(folder / "venv" / "bin" / "python"))
    run(*pip, "install", "--quiet", "--no-compile", *requirements, env=environment(folder))


def environment(folder: Path) -> dict[str, str]:
    """Return the variables by which niquests leaves urllib3 as it is, or not."""
    apart = {"URLLIB3_NO_OVERRIDE": "1", "PIP_NO_BINARY": "urllib3-future"}
    others = {name: value for name, value in os.environ.items() if name not in apart}
    return others if folder.name == OVERRIDDEN else others | apart


def check(folder: Path) -> None:
    """Test the wheel that's installed there."""
    python, env = python_of(folder)
    tests = OF_THE_WHEEL if folder.name == RUNNING else OF_THE_WHEEL + OF_PYTHON
    parallel = ("-n", "auto", "--dist", "worksteal")
    run(python, "-m", "pytest", "-q", *parallel, *(f"tests/{name}" for name in tests), cwd=folder, env=env)


def check_briefly(folder: Path) -> None:
    """Go once through what another Python may do in another way; the signatures are those of this one."""
    python, env = python_of(folder)
    command = [python, "-W", "error", "once_through.py"]
    finished = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode:
        sys.exit(f"failed: {' '.join(command)}")
    if json.loads(finished.stdout) != signatures():
        sys.exit(f"other signatures than here: {finished.stdout}")


def python_of(folder: Path) -> tuple[str, dict[str, str]]:
    """Return the Python that's there with its environment, when it's sure that it has what it should have."""
    is_overridden = folder.name == OVERRIDDEN
    urllib3 = "urllib3 overridden" if is_overridden else "urllib3 as it is"
    libraries = oldest_libraries() if folder.name == OLDEST else []
    print(f"wheel on Python {folder.name}, {', '.join([urllib3, *libraries])}", flush=True)
    python, env = str(folder / "venv" / "bin" / "python"), environment(folder)
    check_origin = f"import oauth_auth; assert oauth_auth.__file__.startswith({str(folder)!r}), oauth_auth.__file__"
    run(python, "-c", check_origin, cwd=folder, env=env)
    check_urllib3 = f"import niquests; assert niquests.HAS_LEGACY_URLLIB3 is {not is_overridden}"
    run(python, "-c", check_urllib3, cwd=folder, env=env)
    return python, env


def oldest_libraries() -> list[str]:
    """Return the requirements of the HTTP libraries as the extras have them, each for its oldest version."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return [extras[library][0].replace(">=", "==") for library in ("requests", "niquests", "httpx", "aiohttp")]


def run(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, quiet: bool = False) -> None:
    """Run a command; if it fails, so does this program. With `quiet`, what it says is shown only then."""
    finished = subprocess.run(command, cwd=cwd, env=env, check=False, capture_output=quiet, text=True)
    if finished.returncode:
        output = f"{finished.stdout}{finished.stderr}" if quiet else ""
        sys.exit(f"{output}failed: {' '.join(command)}")
