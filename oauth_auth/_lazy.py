"""Names of a module that are imported at their first use, or that are elsewhere (PEP 562); modules that have moved.

And what forks wait for: imports, and locks.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = ["attach", "find_moved_modules", "hold_across_forks", "loading"]

loading = threading.RLock()
"""Held by flights while they import: a fork in another thread waits, since in its child the import would never end."""

_locks: list[threading.RLock] = []
_taken: list[threading.RLock] = []
"""Those that the fork under way has taken."""


def hold_across_forks(lock: threading.RLock) -> None:
    """Have forks wait for a lock, and hold it meanwhile: so a child finds nothing half done, and no lock held."""
    _locks.append(lock)


def _before_fork() -> None:
    """Take the locks, `loading` last, since whoever has another of them may be about to import.

    What is being imported meanwhile may bring a lock of its own: then it begins anew.
    """
    while True:
        locks = [*reversed(_locks), loading]
        for lock in locks:
            lock.acquire()
        if len(locks) == len(_locks) + 1:
            _taken[:] = locks
            return
        for lock in locks:
            lock.release()


def _after_fork() -> None:
    for lock in reversed(_taken):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


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


class _MovedModules:
    """Imports modules of `_MOVED` for who unpickles, as what has moved; the import system asks it last.

    A module at each old place would do the same, but whoever looks for a class would find two files.
    """

    @staticmethod
    def find_spec(name: str, *places: object) -> ModuleSpec | None:  # noqa: ARG004 - as the import system calls it
        """Return how to import a module; None if it's none that has moved."""
        package, _, inner = name.partition(".")
        if package != __package__ or inner not in _MOVED:
            return None
        from importlib.machinery import ModuleSpec  # noqa: PLC0415 - few programs unpickle

        return ModuleSpec(name, _MovedModules, origin=f"{package}.{_MOVED[inner]}")  # type: ignore[arg-type] # a loader

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Leave it to the import system to make one."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Fill a module with the names of the one that its classes are in now."""
        origin = None if module.__spec__ is None else module.__spec__.origin
        vars(module).update(
            (name, value)
            for name, value in vars(importlib.import_module(str(origin))).items()
            if not name.startswith("__")
        )


def find_moved_modules() -> None:
    """Have pickles of before load."""
    sys.meta_path.append(_MovedModules)
