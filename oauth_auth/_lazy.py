"""Names of a module that are imported at their first use (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["attach"]


def attach(module: str, sources: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return a module's `__getattr__` and `__dir__`.

    `sources` maps each name to the submodule, such as "._file", that it comes from; `dir()` lists `__all__`.
    """

    def load(name: str) -> Any:
        if name not in sources:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(importlib.import_module(sources[name], module), name)

    def list_names() -> list[str]:
        return list(sys.modules[module].__all__)

    return load, list_names
