"""The server starts when asked, ends with its block, and says why when it can't."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from subprocess import PIPE
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from . import node_server
from .oidc_provider import OidcProvider
from .programs import ServiceMissing
from .server_process import ServerFailed

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_is_left() -> None:
    """After the block the process is gone and reaped, whether the block ends well or not."""
    with pytest.raises(ZeroDivisionError), OidcProvider(access_token_lifetime=5) as server:
        pid = server.pid
        raise ZeroDivisionError
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(RuntimeError):
        _ = server.pid


def test_server_that_dies_is_reported() -> None:
    """A server that ends by itself during the block is an error with its log."""
    with pytest.raises(ServerFailed, match="ended by itself"), OidcProvider() as server:
        process = server._process
        assert process is not None and process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def test_failed_start_shows_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that doesn't start is an error with what it wrote to stderr."""
    (tmp_path / "node_modules" / "oidc-provider").mkdir(parents=True)
    (tmp_path / "server.mjs").write_text("throw new Error('out of order');")
    monkeypatch.setattr(OidcProvider, "folder", tmp_path)
    with pytest.raises(ServerFailed, match="out of order"), OidcProvider():
        pass


def test_server_of_a_killed_session_exits() -> None:
    """A session that is killed, and so can't clean up, leaves no server behind."""
    program = (
        "import sys; from tests.servers.oidc_provider import OidcProvider\n"
        "with OidcProvider() as server: print(server.issuer, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program]
    node_server.require_node()
    folder = node_server.FOLDER.parents[2]
    with subprocess.Popen(command, cwd=folder, stdin=PIPE, stdout=PIPE, text=True) as session:
        assert session.stdout is not None
        address = urlsplit(session.stdout.readline().strip())
        assert address.hostname is not None
        with socket.create_connection((address.hostname, address.port or 0), timeout=10) as connection:
            session.kill()
            with suppress(ConnectionResetError):  # where the server hadn't taken the connection yet
                assert connection.recv(1) == b""


@pytest.mark.parametrize("missing", ["node", "oidc-provider"])
def test_missing_service_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Without Node, or without the packages, one line says how to get them."""
    monkeypatch.setattr(node_server, "node", lambda least: None if missing == "node" else "node")
    monkeypatch.setattr(OidcProvider, "folder", tmp_path / "tests" / "servers" / "oidc")
    with (
        pytest.raises(ServiceMissing, match=f"^{missing}.*`npm ci` in tests/servers/oidc") as caught,
        OidcProvider(),
    ):
        pass
    assert "\n" not in str(caught.value)
