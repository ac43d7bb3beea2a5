from __future__ import annotations

import ast
import importlib
import itertools
import subprocess
import sys
from collections import Counter
from functools import cache
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


@cache
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


def inner_imports() -> dict[str, set[str]]:
    """Return which modules of the package each of them imports, wherever it does so."""
    names, found = set(modules()), dict[str, set[str]]()
    for name in names:
        of_modules = {f"{module}.{each}" for module, each in imported_names(name).values()} & names
        found[name] = (of_modules | {module for module, _ in imported_names(name).values()}) & names - {name}
    return found


@cache
def imported_names(name: str) -> dict[str, tuple[str, str]]:
    """Return what a module imports from the package: what it's called, its module, and its name there."""
    path, found = modules()[name], dict[str, tuple[str, str]]()
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level > 0:
            base = [*package[: len(package) + 1 - node.level], *(node.module or "").split(".")]
            module = ".".join(part for part in base if part)
            found |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}
    return found


def reached_from(name: str, imports: dict[str, set[str]]) -> set[str]:
    """Return what a module imports, and what that imports, and so on."""
    reached: set[str] = set()
    left = set(imports[name])
    while left:
        reached |= left
        left = {further for each in left for further in imports[each]} - reached
    return reached


def test_imports_run_in_no_circle() -> None:
    """No module imports itself by way of others, not even later, or for types: each can be read after those it uses."""
    imports = inner_imports()

    assert set() == {name for name in imports if name in reached_from(name, imports)}


def test_renewal_has_eight_floors() -> None:
    """In `_renewal` no chain of imports is longer than eight modules."""
    imports = {name: {each for each in found if "_renewal." in each} for name, found in inner_imports().items()}

    def floor(name: str) -> int:
        return 1 + max((floor(each) for each in imports[name]), default=0)

    assert max(floor(name) for name in imports if name.startswith("_renewal.")) <= 8


def test_modules_are_readable_in_one_sitting() -> None:
    """No module is longer than 500 lines."""
    assert {} == {name: lines for name, path in modules().items() if (lines := path.read_text().count("\n")) > 500}


REACHING = {"_command": 7, "_plugins": 93, "_server": 16, "aiohttp": 19, "niquests": 29, "requests": 8, "stores": 2}
"""How often folders and modules use private members that another file of an inheritance chain defines: ever less."""


def classes() -> dict[tuple[str, str], ast.ClassDef]:
    """Return the package's classes by module and name."""
    return {
        (name, node.name): node
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }


def is_of_self(node: ast.AST) -> bool:
    """Return whether a node is `self`, `cls` or `super()`."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def members_of(node: ast.ClassDef) -> set[str]:
    """Return the names that a class itself defines."""
    found: set[str] = set()
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(inner.name)
        targets = inner.targets if isinstance(inner, ast.Assign) else [getattr(inner, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    attributes = [inner for inner in ast.walk(node) if isinstance(inner, ast.Attribute)]
    return found | {each.attr for each in attributes if isinstance(each.ctx, ast.Store) and is_of_self(each.value)}


def test_private_members_are_used_where_they_are_defined() -> None:
    """A private member is used only in the file that defines it: nobody has to open another to know what it is."""
    found, all_classes = Counter[str](), classes()
    members = {key: members_of(node) for key, node in all_classes.items()}

    def bases_of(key: tuple[str, str]) -> set[tuple[str, str]]:
        bases, imported = set(), imported_names(key[0])
        for base in all_classes[key].bases:
            name = getattr(base.value if isinstance(base, ast.Subscript) else base, "id", "")
            base_key = (key[0], name) if (key[0], name) in all_classes else imported.get(name, ("", ""))
            if base_key in all_classes:
                bases |= {base_key, *bases_of(base_key)}
        return bases

    where = []
    for key, node in all_classes.items():
        bases = bases_of(key)
        here = members[key].union(*(members[base] for base in bases if base[0] == key[0]))
        elsewhere = set[str]().union(*(members[base] for base in bases if base[0] != key[0]))
        for use in ast.walk(node):
            if not isinstance(use, ast.Attribute) or not is_of_self(use.value) or use.attr not in elsewhere:
                continue
            is_private = use.attr.startswith("_") and not use.attr.endswith("__")
            if is_private and (use.attr not in here or isinstance(use.value, ast.Call)):
                found[key[0].partition(".")[0]] += 1
                where.append(f"{key[0]}.{key[1]}, line {use.lineno}: {use.attr}")

    assert {} == {folder: count for folder, count in found.items() if count > REACHING.get(folder, 0)}, where


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
