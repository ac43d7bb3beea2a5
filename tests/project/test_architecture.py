from __future__ import annotations

import ast
import importlib
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

import oauth_auth
from oauth_auth import otel, stores, testing

PACKAGE = Path(oauth_auth.__file__).parent
HTTP_LIBRARIES = {"requests", "httpx", "httpx2", "niquests", "urllib3", "httpcore", "aiohttp"}
PLUGINS = ("requests", "niquests", "httpx", "httpx2", "aiohttp")

# From the inside out: what stands in one of these folders, or is one of these modules, imports only from those before
# it and from its own. A new module needs no row.
LAYERS = (
    {"errors", "_events", "_event_loops", "_flight", "_clock", "_lazy", "_record"},
    {"_wire"},
    {"_keys"},
    {"stores", "login"},
    {"_server"},
    {"_renewal"},
    {"_plugins"},
    set(PLUGINS),
    {"otel", "_command", "cli", "controller", "__main__"},
)


def modules() -> dict[str, Path]:
    """Return the package's modules by their name within it, without the testing part, which has servers in it."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        if name and not name.startswith("testing"):
            found[name] = path
    return found


def imports_of(name: str) -> set[str]:
    """Return what a module imports: absolute names as they are, those of the package with a dot in front."""
    path, names = modules()[name], set()
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) + 1 - node.level], *(node.module or "").split(".")]
            inner = [part for part in base if part]
            names |= {"." + ".".join(inner)} if inner else {f".{alias.name}" for alias in node.names}
    return names


def layer_of(name: str) -> int:
    """Return the layer of a module by its folder, or its own name."""
    return next(number for number, names in enumerate(LAYERS) if name.partition(".")[0] in names)


def test_only_plugins_import_an_http_library() -> None:
    """No module outside a plug-in imports an HTTP library."""
    found = {}
    for name in set(modules()) - set(PLUGINS):
        absolute = {imported.partition(".")[0] for imported in imports_of(name) if not imported.startswith(".")}
        found[name] = absolute & HTTP_LIBRARIES

    assert {} == {name: libraries for name, libraries in found.items() if libraries}


def test_imports_point_inward() -> None:
    """A module imports only from layers further in, or from its own."""
    found = {}
    for name in modules():
        relative = {imported.lstrip(".") for imported in imports_of(name) if imported.startswith(".")}
        found[name] = [imported for imported in relative if layer_of(imported) > layer_of(name)]

    assert {} == {name: outward for name, outward in found.items() if outward}


def test_no_name_stands_in_two_folders() -> None:
    """A module's name, without underscores, leads to one file."""
    names = sorted(name.rpartition(".")[2].strip("_") for name, path in modules().items() if path.stem != "__init__")

    twice = {name for name, next_name in itertools.pairwise(names) if name == next_name}
    assert twice <= {"resource"}  # of _plugins, which is going to be renamed


def test_modules_and_classes_are_readable_in_one_sitting() -> None:
    """No module is longer than 500 lines, and no class than 250."""
    too_long = []
    for name, path in modules().items():
        tree = ast.parse(text := path.read_text())
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        too_long += [name] if len(text.splitlines()) > 500 else []
        too_long += [f"{name}.{node.name}" for node in classes if (node.end_lineno or 0) - node.lineno >= 250]

    assert [] == too_long


@pytest.mark.parametrize(
    "module", [oauth_auth, otel, stores, testing, *(f"oauth_auth.{name}" for name in PLUGINS)], ids=str
)
def test_all_is_all(module: object) -> None:
    """`__all__` names once each what exists, and all plug-ins have the same names."""
    if isinstance(module, str):
        module = importlib.import_module(module)
        reference = importlib.import_module("oauth_auth.requests")
        assert set(reference.__all__) == set(module.__all__)
    names: list[str] = module.__all__  # type: ignore[attr-defined]

    assert len(set(names)) == len(names)
    assert all(hasattr(module, name) for name in names)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_package_itself_loads_no_http_library() -> None:
    """`import oauth_auth` loads no HTTP library, no event loop and no web framework."""
    heavy = HTTP_LIBRARIES | {"asyncio", "trio", "anyio", "flask", "authlib"}
    finished = run(f"import oauth_auth, sys; print(sorted({heavy!r} & set(sys.modules)))")

    assert "[]\n" == finished.stdout


@pytest.mark.parametrize("name", PLUGINS)
def test_plugins_load_no_telemetry(name: str) -> None:
    """Who doesn't import `oauth_auth.otel` pays nothing for it, even where OpenTelemetry is installed."""
    unwanted = {"opentelemetry", "oauth_auth.otel"}
    finished = run(
        f"import oauth_auth.{name}, sys; print({unwanted!r} & {{*sys.modules}}, oauth_auth._events.listeners)"
    )

    assert ("set() []\n", "") == (finished.stdout, finished.stderr)


@pytest.mark.parametrize(("name", "library"), [*((name, name) for name in PLUGINS), ("otel", "opentelemetry")])
def test_a_missing_extra_is_named(name: str, library: str) -> None:
    """Without the library, importing what needs it says what to install."""
    finished = run(f"import sys; sys.modules[{library!r}] = None; import oauth_auth.{name}")

    assert f'pip install "oauth_auth[{name}]"' in finished.stderr


def test_the_package_is_typed() -> None:
    """Type checkers take the package's annotations."""
    assert (PACKAGE / "py.typed").is_file()
