"""What importing a plug-in and making an auth object cost."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import tracemalloc
from typing import Any

import oauth_auth.aiohttp
import oauth_auth.httpx
import oauth_auth.httpx2
import oauth_auth.niquests
import oauth_auth.requests

from ._figures import Figure

ROUNDS = 15


def import_time(statement: str, before: str, cache: str) -> float:
    """Return the milliseconds that a statement takes in a new interpreter, after another, from compiled modules."""
    code = f"{before}; import time; begun = time.perf_counter(); {statement}; print(time.perf_counter() - begun)"
    command = [sys.executable, "-c", code]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = cache
    finished = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(finished.stdout) * 1000


def imports() -> list[Figure]:
    figures = []
    with tempfile.TemporaryDirectory() as cache:
        for name in ("requests", "niquests", "httpx", "httpx2", "aiohttp"):
            times = [import_time(f"import oauth_auth.{name}", f"import {name}", cache) for _ in range(ROUNDS + 1)]
            taken = statistics.median(times[1:])
            figures.append(Figure(f"import oauth_auth.{name}, after {name}", f"{taken:.1f} ms", "≤ 15 ms", taken <= 15))
    return figures


def memory() -> list[Figure]:
    makers: dict[str, Any] = {
        "ClientCredentialsAuth": lambda plugin: plugin.ClientCredentialsAuth("https://a.example/token", "id", "secret"),
        "AuthorizationCodeAuth": lambda plugin: plugin.AuthorizationCodeAuth("https://a.example/token", "id", "secret"),
        "PasswordAuth": lambda plugin: plugin.PasswordAuth("https://a.example/token", "id", username="u", password="p"),
    }
    worst, count = 0.0, 1000
    plugins = (oauth_auth.requests, oauth_auth.niquests, oauth_auth.httpx, oauth_auth.httpx2, oauth_auth.aiohttp)
    for plugin in plugins:
        for make in makers.values():
            make(plugin)
            tracemalloc.start()
            kept = [make(plugin) for _ in range(count)]
            worst = max(worst, tracemalloc.get_traced_memory()[0] / count)
            tracemalloc.stop()
            del kept
    return [Figure("memory of an auth object that hasn't called", f"{worst / 1024:.1f} KiB", "≤ 4 KiB", worst <= 4096)]


def run() -> list[Figure]:
    return imports() + memory()
