"""uvicorn's `--reload`: each new process goes on with the stored token."""

from __future__ import annotations

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.support.scripted import ScriptedServer
from tests.support.tokens import Gate, Tokens

from .running import Program, listening, running

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="only Unix hands on sockets so")

APP = Path(__file__).parent / "programs" / "asgi.py"


def change(app: Path, program: Program) -> None:
    """Write the next version of the application, and wait until the old process takes no more requests."""
    # Of another length: Python takes a file of the same second and size for what it has compiled before.
    app.write_text(app.read_text().replace("VERSION = 1", "VERSION = 1 + 1"))
    deadline, moment = time.monotonic() + 30, threading.Event()
    while "Shutting down" not in program.said:
        assert time.monotonic() < deadline, "it isn't reloaded"
        if "Reloading" not in program.said:
            app.touch()  # what was there at the reloader's first look is no change
        moment.wait(0.1)


def test_a_reload_costs_no_token(
    tokens: Tokens, gate: Gate, api: ScriptedServer, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    """A reload in the middle of a token call lets it end, and the new process takes the token that it brought."""
    app = tmp_path / "app" / "asgi.py"
    app.parent.mkdir()
    shutil.copy(APP, app)
    settings = {"client": [tokens.url, "client", "secret"], "api_url": api.url, "store": str(tmp_path / "store")}
    with listening() as (descriptor, url):
        options = ["--reload", "--reload-dir", str(app.parent), "--app-dir", str(app.parent), "--lifespan", "off"]
        command = ("-m", "uvicorn", *options, "--fd", str(descriptor), "asgi:app")
        with running(*command, settings=settings, descriptors=(descriptor,)) as program:
            first = pool.submit(requests.get, url, timeout=60)
            gate.await_call()
            change(app, program)
            gate.open()
            assert [1, 200, "Bearer token-1"] == first.result(60).json()
            assert [2, 200, "Bearer token-1"] == requests.get(url, timeout=60).json()
            assert 0 == program.terminate()
            assert "Traceback" not in program.said
    assert 1 == tokens.calls
