"""Build the source distribution, and the wheel from it; check both, and test them: `make release`.

`make test-all` rehearses it in a folder that's removed, and `make test` does so briefly. By hand, with the Pythons to
test the wheel on: `python -m tests.project.release --rehearse [3.12 ...]`.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

from tests.project.wheel import check_wheel, run

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rehearse", action="store_true", help="keep nothing, and take the version as it is")
    parser.add_argument("--brief", action="store_true", help="test what another Python may do in another way alone")
    parser.add_argument("python", nargs="*", help="a version to test the wheel on, in place of all that are supported")
    arguments = parser.parse_args()
    if arguments.brief and not arguments.rehearse:
        parser.error("a release is tested as a whole")
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.rehearse:
            uncommitted = subprocess.check_output(["git", "status", "--porcelain"], cwd=ROOT, text=True)
            problems = reasons_to_wait(version(), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), uncommitted)
            if problems:
                sys.exit("\n".join(problems))
        sdist, wheel = build(Path(folder))
        check(sdist, wheel)
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        unpacked = Path(folder, sdist.name.removesuffix(".tar.gz"))
        with check_wheel(wheel, unpacked, Path(folder), arguments.python, brief=arguments.brief):
            if not arguments.brief:
                check_sdist(unpacked)
        if not arguments.rehearse:
            shutil.rmtree(ROOT / "dist", ignore_errors=True)
            (ROOT / "dist").mkdir()
            for distribution in (sdist, wheel):
                print(shutil.copy(distribution, ROOT / "dist"))


def version() -> str:
    """Return the version that pyproject.toml says."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def reasons_to_wait(version: str, changelog: str, uncommitted: str) -> list[str]:
    """Return what stands against a release of this version, as lines for a person."""
    reasons = []
    if uncommitted:
        reasons.append(f"commit this first, or remove it:\n{uncommitted.rstrip()}")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        reasons.append(f"CHANGELOG.md has no section of this version, with its date: ## [{version}] - YYYY-MM-DD")
    return reasons


def build(folder: Path) -> tuple[Path, Path]:
    """Build the source distribution, and the wheel from that; return their paths."""
    run(sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT), quiet=True)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


def check(sdist: Path, wheel: Path) -> None:
    """Have the tools of packaging look at them."""
    run(sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel))
    run(sys.executable, "-m", "check_wheel_contents", str(wheel))
    run(sys.executable, "-m", "validate_pyproject", str(ROOT / "pyproject.toml"))
    skipped = ["AuthorEmail"]  # the project has no address for mail
    if "\nProject-URL: " not in metadata_in(wheel):
        skipped.append("Url")  # and none for anything yet
        print("no repository is set in pyproject.toml: the package has no URLs, and the README's links are plain text")
    run(sys.executable, "-m", "pyroma", "--min", "10", "--skip-tests", ",".join(skipped), str(sdist))


def metadata_in(wheel: Path) -> str:
    """Return the metadata of a wheel, which has the README in it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return archive.read(name).decode()


def check_sdist(unpacked: Path) -> None:
    """Test what is in the source distribution there: all tests can be collected, and those of the pure modules pass."""
    print("source distribution", flush=True)
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", "-k", "units", cwd=unpacked)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
