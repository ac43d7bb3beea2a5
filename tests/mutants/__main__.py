"""Puts each fault into a copy of the package and runs the tests that must fail; says which faults go unnoticed.

    python -m tests.mutants          all of them
    python -m tests.mutants 7 9      those of these guarantees

First the tests run without any fault, and must pass. A fault counts as caught if a test fails; an error before a test
begins counts for nothing. Each runs in a process of its own, as many at once as there are cores.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.mutants import MUTANTS
from tests.mutants.mutant import ROOT, Mutant, node_id

_LONGEST = 300.0
"""How long a fault's tests may take, in seconds."""
_FAILED = re.compile(r"^FAILED .*", re.MULTILINE)


class Run(NamedTuple):
    """What came of some tests."""

    status: int | None
    """pytest's exit status; None if it had to be stopped."""
    output: str
    seconds: float

    @property
    def failure(self) -> str | None:
        """What pytest says of the test that has failed; None if none has, or an error kept the tests from running."""
        failed = _FAILED.search(self.output)
        return failed[0] if failed is not None and self.status == 1 else None

    @property
    def verdict(self) -> str:
        """How the run ended, in a word."""
        if self.failure is not None:
            return "caught"
        return "SURVIVED" if self.status == 0 else "NO VERDICT"


@contextmanager
def copy_of_package() -> Iterator[Path]:
    """Make a folder that has a copy of the package, and leads to all else as it is."""
    with tempfile.TemporaryDirectory(prefix="oauth_auth-mutant-") as folder:
        root = Path(folder)
        shutil.copytree(ROOT / "oauth_auth", root / "oauth_auth", ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.iterdir():
            if path.name != "oauth_auth" and not path.name.startswith("."):
                (root / path.name).symlink_to(path)
        yield root


def run_tests(root: Path, tests: Sequence[str]) -> Run:
    """Run tests on the package below a folder, up to the first failure."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "--timeout", "60"]
    command = [sys.executable, "-m", "pytest", *options, *map(node_id, tests)]
    begun = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=root,
        env=_environ(root),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=_LONGEST)
        status: int | None = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        status = None
    return Run(status, output, time.monotonic() - begun)


def _environ(root: Path) -> dict[str, str]:
    """Return an environment in which the package is imported from this folder, and leaves nothing in the tests'."""
    return {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}


def check_origin(root: Path) -> None:
    """Exit if another package than the copy is imported, such as one that's installed."""
    code = "import oauth_auth, pathlib; print(pathlib.Path(oauth_auth.__file__).parents[1])"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=_environ(root), capture_output=True, text=True, check=True
    )
    if Path(found.stdout.strip()).resolve() != root.resolve():
        sys.exit(f"oauth_auth is imported from {found.stdout.strip()}, not from the copy")


def try_mutant(mutant: Mutant) -> Run:
    """Run the tests that must fail on a copy with the fault in it."""
    with copy_of_package() as root:
        mutant.apply(root)
        return run_tests(root, mutant.tests)


def run_unchanged(mutants: Sequence[Mutant], jobs: int) -> None:
    """Run all tests on an unchanged copy, and exit if one fails: what it says of a fault would mean nothing."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    shares = [share for number in range(jobs) if (share := tests[number::jobs])]
    with copy_of_package() as root, ThreadPoolExecutor(jobs) as pool:
        check_origin(root)
        for run in pool.map(lambda share: run_tests(root, share), shares):
            if run.status != 0:
                sys.exit(f"{run.output}\nwithout any fault these tests fail, or weren't found")
            print(run.output.strip().splitlines()[-1], flush=True)


def main() -> int:
    """Try the faults, print a table, and return 1 if one of them goes unnoticed."""
    parser = argparse.ArgumentParser(description="Put faults into copies of the package, and run the tests.")
    parser.add_argument("guarantees", nargs="*", type=int, help="numbers of guarantees; all if there are none")
    parser.add_argument("-k", metavar="TEXT", default="", help="only faults whose name or file has this in it")
    parser.add_argument("-j", type=int, default=os.cpu_count() or 1, help="how many run at once")
    parser.add_argument("-v", action="store_true", help="show which test failed, or the output if none did")
    parser.add_argument("--no-check", action="store_true", help="don't run the tests without a fault first")
    asked = parser.parse_args()
    mutants = [
        mutant
        for mutant in MUTANTS
        if (not asked.guarantees or mutant.guarantee in asked.guarantees) and asked.k in f"{mutant.name} {mutant.path}"
    ]
    if wrong := [mutant for mutant in mutants if mutant.occurrences() != 1]:
        for mutant in wrong:
            print(f"{mutant.guarantee:2} {mutant.name}: its text is {mutant.occurrences()} times in {mutant.path}")
        return 1
    begun = time.monotonic()
    if not asked.no_check:
        run_unchanged(mutants, asked.j)
    escaped = 0
    with ThreadPoolExecutor(asked.j) as pool:
        for mutant, run in zip(mutants, pool.map(try_mutant, mutants), strict=True):
            print(f"{mutant.guarantee:2}  {run.verdict:10}  {run.seconds:5.1f} s  {mutant.name}", flush=True)
            escaped += run.failure is None
            if asked.v:
                print(run.failure or run.output)
    minutes = (time.monotonic() - begun) / 60
    print(f"{len(mutants)} faults, {len(mutants) - escaped} caught, {escaped} not, in {minutes:.1f} minutes")
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
