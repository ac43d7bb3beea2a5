"""The environment variables that auth objects are made from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["Variables"]


class Variables:
    """The environment, where nothing begins with the prefix but what's set here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder
        for name in list(os.environ):
            if name.startswith("OAUTH_") and name != "OAUTH_AUTH_TEST_KEYRING":
                monkeypatch.delenv(name)

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
