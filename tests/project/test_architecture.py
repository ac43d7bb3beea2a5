from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import oauth_auth
from oauth_auth import otel, stores, testing

PACKAGE = Path(oauth_auth.__file__).parent
HTTP_LIBRARIES = {"requests", "httpx", "httpx2", "niquests", "urllib3", "httpcore", "aiohttp"}
PLUGINS = ("requests", "niquests", "httpx", "httpx2")

# From the inside out: a module imports only from those before it.
LAYERS = (
    {"errors", "_events"},
    {"_urls", "_token", "_flight", "_pauses"},
    {"_client_auth", "_wire", "_policy", "_replay", "_clerk"},
    {"_calls", "stores._protocol", "stores._entry", "stores._file_lock"},
    {"login", "login._request", "login._begin", "login._browser", "login._console"},
    {"controller", "discovery", "stores", "stores._memory", "stores._file", "stores._keyring", "stores._redis"},
    {"_client"},
    {"_grants", "_shelf"},
    {"_device"},
    {"_acquisition"},
    {"_source"},
    {"_options"},
    {"_auth"},
    {"_auth_classes", "_environment"},
    {"_httpx_mechanics", "_requests_mechanics"},
    set(PLUGINS),
    {"otel", "_terminal"},
    {"cli"},
    {"__main__"},
)


def modules() -> dict[str, Path]:
    """Return the package's modules by their name within it, without the testing part, which has servers in it."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        if name and not name.startswith("testing"):
            found[name] = path
    return found


def imports_of(path: Path) -> set[str]:
    """Return what a module imports: absolute names as they are, relative ones with dots in front."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            names |= {f"{prefix}{alias.name}" if prefix.strip(".") == "" else prefix for alias in node.names}
    return names


@pytest.mark.parametrize("name", sorted(modules()))
def test_only_plugins_import_an_http_library(name: str) -> None:
    """No module outside a plug-in imports an HTTP library."""
    absolute = {imported.partition(".")[0] for imported in imports_of(modules()[name]) if not imported.startswith(".")}

    assert name in PLUGINS or not absolute & HTTP_LIBRARIES


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_point_inward(name: str) -> None:
    """A module imports only from layers further in, or from its own."""
    layer = next(number for number, names in enumerate(LAYERS) if name in names)
    allowed = set().union(*LAYERS[: layer + 1])
    relative = {imported.lstrip(".") for imported in imports_of(modules()[name]) if imported.startswith(".")}

    folder = name.partition(".")[0]

    assert {imported for imported in relative if not {imported, f"{folder}.{imported}"} & allowed} == set()


def test_each_module_has_a_layer() -> None:
    """A new module is given its place."""
    assert set().union(*LAYERS) == set(modules())


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
