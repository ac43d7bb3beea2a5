"""Run requests' and httpx's own test-suites, as packages ship them, with an auth object in each session and client.

    python -m tests.foreign
    python -m tests.foreign --only httpx

Each suite runs as it is, with a `BearerAuth` and with a `ClientCredentialsAuth` whose tokens live two seconds. What
passes as it is has to pass with them, but for the tests in `differences.toml`: any other that fails is an error, and so
is a listed one that passes. A test that isn't listed and fails is run again alone, since some depend on time.

On 28 November 2026, with Python 3.11.7 and two cores, in two minutes:

    requests 2.34.2     613 pass as it is, and 609 with each auth object: 4 are listed; 177 requests, 20 token calls
    httpx 0.28.1      1,411 pass as it is, and 1,395 with each auth object: 16 are listed; 212 requests, 3 token calls
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from . import differences
from .differences import FILE, broken, judge

LIBRARIES = {"requests": 3, "httpx": 1}
"""How many runs of a suite at a time: that of requests waits more than it works, that of httpx has a fixed port."""
CLASSES = ("BearerAuth", "ClientCredentialsAuth")
_LONGEST = 900.0
"""Seconds that a suite may take."""


class SuiteFailed(Exception):
    """A suite didn't run as it should."""


class Result(NamedTuple):
    """What came of a suite."""

    outcomes: dict[str, str]
    requests: int
    """How many requests were given to the auth object."""
    token_calls: int


class Suite:
    """A library's tests, unpacked below a folder."""

    def __init__(self, library: str, folder: Path) -> None:
        self.library = library
        self.version = metadata.version(library)
        self._folder = folder
        wanted = f"{library}=={self.version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", library, wanted]
        subprocess.run(command, cwd=folder, check=True)
        (archive,) = folder.glob(f"{library}-*.tar.gz")
        with tarfile.open(archive) as sources:
            sources.extractall(folder, filter="data")
        self._sources = archive.with_name(archive.name.removesuffix(".tar.gz"))

    def run(self, auth_class: str, tests: Iterable[str] = ("tests",)) -> Result:
        """Run tests, all by default, with an auth object of this class, or with none. Raises `SuiteFailed`."""
        descriptor, result = tempfile.mkstemp(dir=self._folder)
        os.close(descriptor)
        options = ["-q", "-p", "default_auth", "-p", "no:cacheprovider", "-m", "not network", "--timeout", "60"]
        environ = {name: text for name, text in os.environ.items() if not name.lower().endswith("_proxy")}
        environ |= {
            "FOREIGN_LIBRARY": self.library,
            "FOREIGN_AUTH": auth_class,
            "FOREIGN_RESULT": result,
            "PYTHONPATH": str(Path(__file__).parent),
        }
        finished = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=self._sources,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LONGEST,
            check=False,
        )
        if finished.returncode not in {0, 1}:  # 1: some tests have failed
            raise SuiteFailed(f"{self.library} with {auth_class or 'no auth'}:\n{finished.stdout[-3000:]}")
        return Result(**json.loads(Path(result).read_text(encoding="utf-8")))


def check(suite: Suite, listed: list[str]) -> int:
    """Run a suite in each way, say what came of it, and return how many tests aren't as the list says."""
    begun = time.monotonic()
    with ThreadPoolExecutor(LIBRARIES[suite.library]) as pool:
        before, *after = pool.map(suite.run, ("", *CLASSES))
    seconds = time.monotonic() - begun
    print(f"{suite.library} {suite.version}, {seconds:.0f} s, as it is: {_counts(before)}", flush=True)
    if 20 * Counter(before.outcomes.values())["failed"] > len(before.outcomes):
        raise SuiteFailed("it fails as it is, so that it says little")
    wrong = 0
    for auth_class, result in zip(CLASSES, after, strict=True):
        print(f"  {auth_class}: {_counts(result)}; {result.requests} requests, {result.token_calls} token calls")
        if result.requests == 0 or (auth_class != "BearerAuth" and result.token_calls < 2):
            raise SuiteFailed("the auth object wasn't used, or never renewed its token")
        judgement = judge(broken(before.outcomes, result.outcomes), listed)
        unlisted = judgement.unlisted and _again(suite, auth_class, judgement.unlisted)
        wrong += len(unlisted) + len(judgement.stale)
        for test in judgement.unlisted:
            print(f"    {'FAILS, and is not listed' if test in unlisted else 'failed once, and not again'}: {test}")
        for test in judgement.stale:
            print(f"    LISTED, and doesn't differ: {test}")
    return wrong


def _again(suite: Suite, auth_class: str, tests: list[str]) -> set[str]:
    """Run tests alone, as they are and with the auth object; return those that are still broken."""
    return broken(suite.run("", tests).outcomes, suite.run(auth_class, tests).outcomes)


def _counts(result: Result) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(result.outcomes.values()).items()))


def main() -> int:
    """Check the suites; return 1 if one isn't as the list says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=LIBRARIES, action="append", help="this library; may be repeated")
    wrong = 0
    listed = differences.read(FILE.read_text(encoding="utf-8"))
    for library in parser.parse_args().only or LIBRARIES:
        with tempfile.TemporaryDirectory(prefix="oauth_auth-foreign-") as folder:
            suite = Suite(library, Path(folder))
            wrong += check(suite, [test for one in listed if one.library == library for test in one.tests])
    print("as listed" if wrong == 0 else f"{wrong} not as listed in {FILE.name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
