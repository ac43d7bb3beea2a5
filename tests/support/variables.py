"""The environment variables that auth objects are made from."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["Variables"]


class Variables:
    """The environment, where nothing begins with the prefix but what's set here: the suite has unset the rest."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder

    def set(self, prefix: str = "OAUTH_", /, **values: str | None) -> None:
        for name, value in values.items():
            if value is None:
                self._monkeypatch.delenv(prefix + name, raising=False)
            else:
                self._monkeypatch.setenv(prefix + name, value)

    def set_file(self, name: str, content: bytes) -> None:
        path = self._folder / f"{name}.txt"
        path.write_bytes(content)
        self.set(**{name: None, f"{name}_FILE": str(path)})
