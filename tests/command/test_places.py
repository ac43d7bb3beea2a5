"""Where the command keeps tokens if nobody says so: in the keyring, or without a working one in a file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import keyring
import keyring.core
import pytest
from keyring.errors import InitError, KeyringLocked

from oauth_auth.testing import LocalProvider
from tests.command.running import Browser, grants, run
from tests.servers.keyring_in_files import KeyringInFiles

SAID = "Without a working keyring"


def use(kind: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Have a back end of keyring's be the one."""

    def spoil(environment: pytest.MonkeyPatch) -> None:
        environment.setenv("PYTHON_KEYRING_BACKEND", f"keyring.backends.{kind}.Keyring")
        environment.setattr(keyring.core, "_keyring_backend", None)

    return spoil


def raise_in(method: str, error: Exception) -> Callable[[pytest.MonkeyPatch], None]:
    """Have a method of the keyring raise."""

    def spoil(environment: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise error

        environment.setattr(KeyringInFiles, method, fail)

    return spoil


def forget(environment: pytest.MonkeyPatch) -> None:
    """Have the keyring keep nothing, without a word."""
    environment.setattr(KeyringInFiles, "set_password", lambda *_: None)


def uninstall(environment: pytest.MonkeyPatch) -> None:
    environment.setitem(sys.modules, "keyring", None)


WITHOUT = {
    "none": use("fail"),
    "null": use("null"),
    "failing": raise_in("get_password", InitError("no session bus")),
    "read-only": raise_in("set_password", RuntimeError("read-only")),
    "forgetful": forget,
    "not installed": uninstall,
}


@pytest.fixture
def default(person: LocalProvider, environment: pytest.MonkeyPatch) -> LocalProvider:
    """A server for persons, and no word on the store."""
    environment.delenv("OAUTH_STORE")
    return person


@pytest.mark.parametrize("kind", WITHOUT)
def test_without_a_keyring_it_is_a_file(
    default: LocalProvider, browser: Browser, environment: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    """The token is in a file for its owner alone, in the user's folder for data; login and status say so."""
    WITHOUT[kind](environment)
    login = run("login")
    assert (0, "") == (login.status, login.stdout), login.stderr
    folder = tmp_path / "oauth_auth" / "tokens"
    (entry,) = folder.glob("*.json")
    assert [0o600, 0o700] == [path.stat().st_mode & 0o777 for path in (entry, folder)]
    (said,) = [line for line in login.stderr.splitlines() if SAID in line]
    assert said.endswith(f" the token is in a file that only you can read, in {folder}.")
    status = run("status")
    assert (0, True) == (status.status, f"{SAID} the token is in a file that only you" in status.stderr)
    assert f"file:{folder}" == json.loads(run("status", "--format", "json").stdout)["store"]
    token = run("token")
    assert (0, "") == (token.status, token.stderr)
    environment.undo()
    environment.setenv("XDG_CONFIG_HOME", str(tmp_path))
    environment.setenv("XDG_DATA_HOME", str(tmp_path))
    # With a keyring again, the token is where it was, and no login is lost.
    assert token == run("token", "--client-secret", default.client_secret)
    assert ["authorization_code"] == grants(default)


@pytest.mark.parametrize("kind", ["none", "null", "failing", "not installed"])
def test_a_keyring_that_was_chosen_is_an_error(
    default: LocalProvider, browser: Browser, environment: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    """Who asks for the keyring gets it or an error, before anybody logs in; also who did so at the login."""
    assert 0 == run("login", "--store", "keyring:").status
    browser.opened.clear()
    WITHOUT[kind](environment)
    for args in (["login", "--store", "keyring:"], ["login"], ["token"], ["status"], ["logout"]):
        ended = run(*args)
        assert (2 if kind == "not installed" else 1) == ended.status
        assert "keyring" in ended.error
    assert [] == browser.opened
    assert not (tmp_path / "oauth_auth" / "tokens").exists()


def test_a_keyring_that_has_the_token_is_needed(
    default: LocalProvider, browser: Browser, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A login that's in the keyring isn't looked for in a file when the keyring fails; a new login makes one there."""
    assert SAID not in run("login").stderr
    with environment.context() as patch:
        WITHOUT["failing"](patch)
        for args in (["token"], ["status"], ["logout"]):
            ended = run(*args)
            assert (1, True) == (ended.status, "no session bus" in ended.error)
        login = run("login")
        assert (0, True) == (login.status, f"{SAID} (the keyring: InitError: no session bus)" in login.stderr)
        assert 0 == run("token").status


@pytest.mark.parametrize("method", ["get_password", "set_password"])
def test_a_locked_keyring_is_not_absent(
    default: LocalProvider, browser: Browser, environment: pytest.MonkeyPatch, tmp_path: Path, method: str
) -> None:
    """The user may unlock it: that's an error, and nobody logs in for nothing."""
    raise_in(method, KeyringLocked("locked"))(environment)
    ended = run("login")
    assert (1, True) == (ended.status, "KeyringLocked" in ended.error)
    assert [] == browser.opened
    assert not (tmp_path / "oauth_auth" / "tokens").exists()


def test_nothing_is_left_of_the_trial(default: LocalProvider, browser: Browser, keyring_folder: Path) -> None:
    """A login tries the keyring before anybody logs in; afterwards the token alone is there."""
    assert 0 == run("login").status
    assert 1 == len(list(keyring_folder.iterdir()))
    assert "keyring:" == json.loads(run("status", "--format", "json").stdout)["store"]


def test_a_service_needs_no_keyring(machine: LocalProvider, environment: pytest.MonkeyPatch) -> None:
    """A client's own token is kept in the file, too, so that the next call makes no request."""
    environment.delenv("OAUTH_STORE")
    WITHOUT["none"](environment)
    token = run("token")
    assert (0, "") == (token.status, token.stderr)
    assert token == run("token")
    assert ["client_credentials"] == grants(machine)
