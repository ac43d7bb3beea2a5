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

ROUNDS = 25
PLUGINS = ("requests", "niquests", "httpx", "httpx2", "aiohttp")
FIRST_OBJECT = 'ClientCredentialsAuth("https://auth.example.com/token", "id", "secret")'


def run_code(code: str, cache: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a new interpreter whose environment is spelt out, from compiled modules."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    environment |= {"PYTHONPYCACHEPREFIX": cache, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment)


def own_times(code: str, cache: str) -> tuple[float, int]:
    """Return how long the package's modules take to import by themselves, in milliseconds, and how many they are.

    It's the best of many runs: a busy machine makes it more, and nothing makes it less.
    """

    def once() -> tuple[float, int]:
        lines = run_code(code, cache, "-X", "importtime").stderr.splitlines()
        taken = [
            int(line.split(":")[1].split("|")[0])
            for line in lines
            if line.split("|")[-1].strip().startswith("oauth_auth")
        ]
        return sum(taken) / 1000, len(taken)

    return min(once() for _ in range(ROUNDS + 1))


def processor_time(before: str, statement: str, cache: str) -> float:
    """Return the median of the milliseconds of CPU that a statement takes in a new interpreter, after another."""
    code = f"{before}; import time; begun = time.process_time(); {statement}; print(time.process_time() - begun)"
    return statistics.median([float(run_code(code, cache).stdout) * 1000 for _ in range(ROUNDS + 1)][1:])


def imports() -> list[Figure]:
    figures = []
    with tempfile.TemporaryDirectory() as cache:
        for name in PLUGINS:
            before, statement = f"import {name}", f"from oauth_auth.{name} import ClientCredentialsAuth"
            what = f"{statement}, after {name}"
            taken, number = own_times(f"{before}; {statement}", cache)
            with_object, number_with = own_times(f"{before}; {statement}; {FIRST_OBJECT}", cache)
            processor = processor_time(before, statement, cache)
            figures += [
                Figure(f"{what}: its modules' own times", f"{taken:.1f} ms", "≤ 9.5 ms", taken <= 9.5),
                Figure(f"{what}: CPU", f"{processor:.1f} ms", "≤ 14 ms", processor <= 14),
                Figure(f"{what}: modules", f"{number}", "≤ 45", number <= 45),
                Figure("the same, with the first object", f"{with_object:.1f} ms", "≤ 12 ms", with_object <= 12),
                Figure("the same: modules", f"{number_with}", "≤ 60", number_with <= 60),
            ]
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
