"""Runs what looks for a fault in forks of one process, which has imported all libraries but not the package."""

from __future__ import annotations

import ast
import compileall
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutants.looking import Found
from tests.mutants.places import ROOT, Sources

__all__ = ["Job", "Outcome", "copies", "run", "warm_up"]

_LONGEST = 180.0
"""How long a process may take, in seconds."""
_LIBRARIES = (
    "aiohttp.web",
    "anyio",
    "authlib.integrations.flask_oauth2",
    "cryptography.fernet",
    "cryptography.x509",
    "flask",
    "freezegun",
    "h2.connection",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "hypothesis.strategies",
    "joserfc.jwt",
    "keyring",
    "niquests",
    "opentelemetry.sdk.trace.export",
    "redis.asyncio",
    "requests",
    "trio",
    "trustme",
)
"""What tests import, so that each process needn't."""


@dataclass(frozen=True)
class Job:
    """Something to look for, in a copy of the package with some files changed."""

    name: str
    look: Callable[[Callable[[Found], object]], None]
    """It's given what takes what it finds: the first counts."""
    changed: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """What came of a job."""

    found: Found
    seconds: float
    """How long it took by the clock."""
    cpu: float
    """How long it kept a core busy."""
    output: str


@contextmanager
def copies() -> Iterator[Path]:
    """Make a folder for copies, with the first, `unchanged`, from which the others are made.

    All its modules are written from their trees, as those with a fault are, so that a fault is all that differs.
    """
    with TemporaryDirectory(prefix="mutants-") as folder:
        root = Path(folder, "unchanged")
        root.mkdir()
        for path in ROOT.iterdir():
            if path.name not in {"oauth_auth", "tests"} and not path.name.startswith("."):
                (root / path.name).symlink_to(path)
        (root / "tests").mkdir()
        for path in (ROOT / "tests").iterdir():
            if path.name not in {"simulation", "__pycache__"}:
                (root / "tests" / path.name).symlink_to(path)
        sources = Sources(ROOT)
        for name in ("oauth_auth", "tests/simulation"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for file in sources.files:
            (root / file).write_text(ast.unparse(sources.tree(file)), encoding="utf-8")
        compileall.compile_dir(root / "oauth_auth", quiet=1)
        compileall.compile_dir(root / "tests" / "simulation", quiet=1)
        yield root


def warm_up() -> None:
    """Import what processes would import each for itself."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    if "oauth_auth" in sys.modules or threading.active_count() > 1:
        raise RuntimeError("a library has imported the package, or started a thread: no process can be forked")
    gc.collect()
    gc.freeze()


class _Process:
    """A fork that does a job in a copy of its own."""

    def __init__(self, job: Job, unchanged: Path) -> None:
        self.job = job
        self._begun = time.monotonic()
        self.deadline = self._begun + _LONGEST
        self._folder = TemporaryDirectory(prefix="copy-", dir=unchanged.parent, ignore_cleanup_errors=True)
        self._root = Path(self._folder.name, "root")
        shutil.copytree(unchanged, self._root, symlinks=True)
        for file, text in job.changed.items():
            (self._root / file).unlink()
            (self._root / file).write_text(text, encoding="utf-8")
            for stale in (self._root / file).parent.glob(f"__pycache__/{Path(file).stem}.*"):
                stale.unlink()
        self.reader, writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.setsid()
                self._look(lambda found: os.write(writer, f"{json.dumps(found)}\n".encode()))
            finally:
                os._exit(0)
        os.close(writer)

    def _look(self, write: Callable[[Found], object]) -> None:
        """Do the job, with this copy being all that the process knows of the package and the tests."""
        output = os.open(self._root / "output.txt", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(self._root)
        for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
            del sys.modules[name]
        sys.path[:] = [str(self._root), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
        os.environ["PYTHONPATH"] = str(self._root)
        os.environ["TMPDIR"] = tempfile.tempdir = self._folder.name

        def tell(found: Found) -> None:
            origin = Path(str(sys.modules["oauth_auth"].__file__)).parents[1]
            write(found if origin == self._root else Found("NO VERDICT", f"oauth_auth is imported from {origin}"))

        try:
            self.job.look(tell)
        except BaseException as error:
            traceback.print_exc()
            write(Found("NO VERDICT", f"{type(error).__name__}: {error}"))

    def end(self) -> Outcome:
        """Read what was found, and leave nothing of the process."""
        written = os.read(self.reader, 65536) if time.monotonic() < self.deadline else b""
        os.close(self.reader)
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        _, _, usage = os.wait4(self._pid, 0)
        output = (self._root / "output.txt").read_text(encoding="utf-8", errors="replace")
        self._folder.cleanup()
        seconds = time.monotonic() - self._begun
        nothing = Found("NO VERDICT", f"no word after {seconds:.0f} s")
        found = Found(*json.loads(written.splitlines()[0])) if written else nothing
        return Outcome(found, seconds, usage.ru_utime + usage.ru_stime, output)


def run(jobs: Iterable[Job], unchanged: Path, at_once: int) -> Iterator[tuple[Job, Outcome]]:
    """Do jobs, so many at once, and yield each one's outcome when it's there."""
    waiting = deque(jobs)
    with selectors.DefaultSelector() as selector:
        while waiting or selector.get_map():
            while waiting and len(selector.get_map()) < at_once:
                process = _Process(waiting.popleft(), unchanged)
                selector.register(process.reader, selectors.EVENT_READ, process)
            ready = {key.data for key, _ in selector.select(1.0)}
            now = time.monotonic()
            for key in list(selector.get_map().values()):
                if key.data in ready or now >= key.data.deadline:
                    selector.unregister(key.fileobj)
                    yield key.data.job, key.data.end()
