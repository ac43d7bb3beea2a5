"""Virtual environments that have some of the distributions that are installed here and no others, made of links.

So a program can be run with what it's said to need, and an import that nobody mentioned fails as it does for a reader.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import oauth_auth

__all__ = ["distributions_of", "make_environment"]

_OURS = "oauth-auth"
_SCRIPT = """\
#!{python}
import sys
from {entry.module} import {entry.attr} as main

if __name__ == "__main__":
    sys.exit(main())
"""


def distributions_of(requirements: Iterable[str]) -> dict[str, Distribution]:
    """Return what pip would install for the requirements, from what is installed here, by canonical name.

    Raises:
        LookupError: Something of it isn't installed here, in the version that is asked for.
    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    pending = [Requirement(text) for text in requirements]
    while pending:
        requirement = pending.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found[name] = _installed(requirement)
        for text in found[name].requires or ():
            further = Requirement(text)
            marker = further.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                pending.append(further)
    return found


def _installed(requirement: Requirement) -> Distribution:
    try:
        found = distribution(requirement.name)
    except PackageNotFoundError:
        raise LookupError(f"{requirement} isn't installed") from None
    if not requirement.specifier.contains(found.version, prereleases=True):
        raise LookupError(f"{requirement} is wanted, and {found.version} is installed")
    provided = {canonicalize_name(extra) for extra in found.metadata.get_all("Provides-Extra") or ()}
    unknown = {canonicalize_name(extra) for extra in requirement.extras} - provided
    if unknown:
        raise LookupError(f"{requirement.name} has no extra {', '.join(sorted(unknown))}")
    return found


def make_environment(folder: Path, requirements: Iterable[str], *modules: Path) -> Path:
    """Make a virtual environment in the folder, with further modules beside the packages; return its `bin`."""
    programs = folder / "bin"
    site = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    programs.mkdir(parents=True)
    site.mkdir(parents=True)
    base = Path(getattr(sys, "_base_executable", sys.executable))
    (folder / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    python = programs / "python"
    python.symlink_to(base)
    for name, found in distributions_of(requirements).items():
        if name == _OURS:
            (site / "oauth_auth").symlink_to(Path(oauth_auth.__file__).parent)
        _link_files(found, site)
        for entry in found.entry_points.select(group="console_scripts"):
            script = programs / entry.name
            script.write_text(_SCRIPT.format(python=python, entry=entry))
            script.chmod(0o755)
    for module in modules:
        (site / module.name).symlink_to(module)
    return programs


def _link_files(found: Distribution, site: Path) -> None:
    """Link a distribution's files; a folder that's a package is one link, and one that others may share is a folder."""
    for file in found.files or ():
        parts = PurePath(file).parts
        if parts[0] == ".." or parts[0] == "__pycache__" or file.suffix == ".pth":
            continue
        source, target = Path(str(found.locate_file(""))), site
        for part in parts:
            source, target = source / part, target / part
            if target.is_symlink():
                break
            if source.is_dir() and not (source / "__init__.py").exists() and source.suffix != ".dist-info":
                target.mkdir(exist_ok=True)
                continue
            target.symlink_to(source)
            break
