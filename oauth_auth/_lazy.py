"""Names of a module that are imported at their first use, or that are elsewhere (PEP 562); modules that have moved."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

__all__ = ["attach", "keep_old_names", "loading"]

loading = threading.RLock()
"""Held by flights while they import: a fork in another thread waits, since in its child the import would never end."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=loading.acquire, after_in_parent=loading.release, after_in_child=loading.release)


def attach(
    module: str, sources: Mapping[str, str], places: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a module's `__getattr__` and `__dir__`.

    `sources` maps each name to the submodule, such as "._file", that it comes from; `dir()` lists `__all__`. `places`
    maps names that people look for here to the statement that imports them: that's an `ImportError` which says so.
    """

    def load(name: str) -> Any:
        if places is not None and name in places:
            raise ImportError(f"{name} isn't in {module}: write {places[name]}")
        if name not in sources:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(importlib.import_module(sources[name], module), name)

    def list_names() -> list[str]:
        return list(sys.modules[module].__all__)

    return load, list_names


_MOVED = {
    "_keys.binding": "_keys.dpop",
    "_server.authorization_code": "_server.code_grant",
    "_server.controller": "_server.operations",
    "_server.dead_tokens": "_server.grants",
    "_server.delegation": "_server.delegated_grants",
    "_server.device": "_server.device_grant",
    "_server.metadata": "_server.endpoints",
    "_server.resource": "_server.resource_grant",
    "login._device": "login._context",
    "stores._entry": "stores._serialized",
}
"""Modules by the names that older pickles have for them."""


def keep_old_names(package: str) -> None:
    """Have the old names of modules lead to them: a pickle names each class by its module at that time."""
    for old, new in _MOVED.items():
        module: Any = ModuleType(f"{package}.{old}", f"The name that older pickles have for {package}.{new}.")
        module.__getattr__ = functools.partial(_get_from, f"{package}.{new}")
        sys.modules[module.__name__] = module


def _get_from(module: str, name: str) -> Any:
    if name.startswith("__"):  # what the import system asks of each module
        raise AttributeError(name)
    return getattr(importlib.import_module(module), name)
