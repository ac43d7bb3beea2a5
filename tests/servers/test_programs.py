"""This machine's programs are taken where they're recent enough, else those of packages, else tests are skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import skipped_where_missing

from . import programs
from .programs import ServiceMissing, node, npm, of_machine, redis_server
from .redis import RedisServer

Install = Callable[[str, str], str]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a program that says its version on a PATH that has nothing else, and return its path."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(name: str, says: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho '{says}'\n")
        path.chmod(0o755)
        return str(path)

    return install


def test_what_the_machine_has_is_taken(install: Install) -> None:
    """Node, npm and Redis of the machine are used where they're there."""
    paths = (
        install("node", "v20.20.2"),
        install("npm", "11.1.0"),
        install("redis-server", "Redis server v=7.0.15 sha=0"),
    )
    assert paths == (node(), *(npm() or ()), redis_server())


def test_valkey_of_the_machine_is_taken(install: Install) -> None:
    """Valkey is as good as Redis."""
    assert install("valkey-server", "Valkey server v=8.1.1 sha=0") == redis_server()


@pytest.mark.parametrize(
    ("of_node", "of_redis"),
    [("v18.19.0", "Redis server v=6.0.16 sha=0"), ("v20.9.0", "what?"), ("", "")],
    ids=["old", "too old in its minor version", "silent"],
)
def test_what_does_not_do_comes_from_a_package(
    of_node: str, of_redis: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that are too old, or don't run, are passed over."""
    monkeypatch.setattr(programs, "_of_package", lambda _, name: install(f"packaged-{name}", "v=30.1"))
    folder = Path(install("node", of_node)).parent
    install("npm", "9.2.0")
    install("redis-server", of_redis)
    packaged = [str(folder / f"packaged-{name}") for name in ("node", "npm-cli.js", "valkey-server")]
    assert packaged == [*(npm() or ()), redis_server()]


def test_the_server_of_the_package_works(install: Install) -> None:
    """Where the machine has no Redis, one starts all the same."""
    with RedisServer() as server:
        assert server.client.set("key", "value")


def test_nothing_anywhere(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is neither on the machine nor in a package is missing."""
    monkeypatch.setattr(programs, "_of_package", lambda *_: None)
    assert (None, None) == (node(), npm())
    with pytest.raises(ServiceMissing, match="redis-server"):
        redis_server()
    with pytest.raises(ServiceMissing, match="apt-get install chromium"):
        of_machine("chromium", "google-chrome")


@pytest.mark.parametrize("is_ci", [False, True], ids=["by hand", "CI"])
def test_a_test_without_its_service(is_ci: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It's skipped, and fails in CI."""
    monkeypatch.setenv("CI", "true" if is_ci else "")
    with (
        pytest.raises(pytest.fail.Exception if is_ci else pytest.skip.Exception, match=r"^redis is missing$"),
        skipped_where_missing(),
    ):
        raise ServiceMissing("redis is missing")
