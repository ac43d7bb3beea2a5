"""Names: what can be imported from where, and what is said to who looks in the wrong place."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import oauth_auth

PLUGINS = ("requests", "niquests", "httpx", "httpx2", "aiohttp")
CLASSES = (
    *("AuthorizationCodeAuth", "BearerAuth", "ClientCredentialsAuth", "DeviceCodeAuth", "PasswordAuth"),
    *("OAuthAuthorizationController", "RefreshTokenAuth", "ResourceAuth", "TokenProviderAuth"),
)


@pytest.mark.parametrize("name", CLASSES)
def test_the_package_says_where_the_classes_are(name: str) -> None:
    """`from oauth_auth import ClientCredentialsAuth` is an `ImportError` that has the right statement."""
    with pytest.raises(ImportError, match=f"write from oauth_auth.requests import {name}, or from .niquests, .httpx"):
        getattr(oauth_auth, name)


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("name", ["BrowserLogin", "DeviceLogin", "DiscoveryError", "FileTokenStore", "OAuthToken"])
def test_a_plugin_says_what_is_in_the_package(plugin: str, name: str) -> None:
    """`from oauth_auth.requests import BrowserLogin` is an `ImportError` that has the right statement."""
    module = importlib.import_module(f"oauth_auth.{plugin}")
    with pytest.raises(ImportError, match=f"write from oauth_auth import {name}"):
        getattr(module, name)


@pytest.mark.parametrize("module", ["oauth_auth", *(f"oauth_auth.{plugin}" for plugin in PLUGINS)])
def test_what_is_nowhere_is_an_attribute_error(module: str) -> None:
    """A name that there isn't is no `ImportError`, so `hasattr` and the like work."""
    assert not hasattr(importlib.import_module(module), "ClientAuth")


def test_the_stores_are_loaded_at_their_first_use() -> None:
    """Each store can be imported from the package, which loads none by itself."""
    code = (
        "import sys, oauth_auth; print(sorted(name for name in sys.modules if name.startswith('oauth_auth.stores._')));"
        "from oauth_auth import FileTokenStore, KeyringTokenStore, MemoryTokenStore, RedisTokenStore;"
        "print(FileTokenStore.__module__)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, file_store = finished.stdout.splitlines()
    assert "['oauth_auth.stores._protocol']" == loaded
    assert "oauth_auth.stores._file" == file_store


# -- Auth classes, which are made when they're first asked for ---------------------------------------------------------


def run(code: str, *args: str, folder: Path | None = None) -> str:
    """Return what a program prints."""
    environment = {**os.environ, "PYTHONPATH": "" if folder is None else str(folder)}
    finished = subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=None if folder is None else folder.parent,  # the folder that a program is started in comes first
    )
    assert "" == finished.stderr
    return finished.stdout


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_class_is_the_same_after_it_was_replaced_for_a_while(plugin: str) -> None:
    """Who replaces it before it was asked for, as a test does, deletes it in the end: it's not made a second time."""
    code = (
        f"from unittest import mock; import oauth_auth.{plugin} as plugin\n"
        "patcher = mock.patch.object(plugin, 'PasswordAuth')\n"
        "with patcher: one = patcher.temp_original\n"
        "print(plugin.PasswordAuth is one)"
    )
    assert "True\n" == run(code)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_class_is_loaded_when_it_is_asked_for(plugin: str) -> None:
    """A program loads what its own grant needs; another class is there from then on, and it's always the same."""
    code = (
        f"import oauth_auth.{plugin} as plugin, sys; name = 'oauth_auth._plugins.password';"
        "one = plugin.ClientCredentialsAuth; print(name in sys.modules, 'PasswordAuth' in dir(plugin));"
        "two = plugin.PasswordAuth; print(name in sys.modules, two is plugin.PasswordAuth);"
        f"print(two.__module__, two.__qualname__); from oauth_auth.{plugin} import *; print(PasswordAuth is two)"
    )
    assert f"False True\nTrue True\noauth_auth.{plugin} PasswordAuth\nTrue\n" == run(code)


def test_a_pickle_makes_the_class() -> None:
    """An object can be unpickled in a program that hasn't asked for its class."""
    make = (
        "import pickle; from oauth_auth.requests import PasswordAuth;"
        "print(pickle.dumps(PasswordAuth('https://a.example/', 'c', username='a', password='b')).hex())"
    )
    read = "import pickle, sys; print(repr(pickle.loads(bytes.fromhex(sys.argv[1]))))"
    assert run(read, run(make).strip()).startswith("oauth_auth.requests.PasswordAuth(server='https://a.example/'")


def test_a_fork_waits_for_a_class_that_is_being_made() -> None:
    """An import under way in another thread would never end in the child: it's done under the lock of forks."""
    code = """
import sys, threading
import oauth_auth.requests
from oauth_auth._lazy import loading

begun, may_go_on = threading.Event(), threading.Event()

class Slow:
    @staticmethod
    def find_spec(name, path, target=None):
        if name == "oauth_auth._plugins.password":
            begun.set()
            may_go_on.wait()

sys.meta_path.insert(0, Slow)
found = []
thread = threading.Thread(target=lambda: found.append(oauth_auth.requests.PasswordAuth))
thread.start()
begun.wait()
print(loading.acquire(blocking=False))
may_go_on.set()
thread.join()
print(found == [oauth_auth.requests.PasswordAuth], loading.acquire(blocking=False))
"""
    assert "False\nTrue True\n" == run(code)


def test_without_its_source_the_package_says_where_options_are_described(tmp_path: Path) -> None:
    """In a zip of byte code all works; `help()` has each option, and where its meaning is."""
    package, archive = Path(oauth_auth.__file__).parent, tmp_path / "package.zip"
    compile_all = "import compileall, sys; compileall.compile_dir(sys.argv[1], ddir='', legacy=True, quiet=2)"
    copy = tmp_path / "copy" / "oauth_auth"
    for path in package.rglob("*.py"):
        if "testing" not in path.parts:
            target = copy / path.relative_to(package)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    run(compile_all, str(copy))
    with zipfile.ZipFile(archive, "w") as file:
        for path in copy.rglob("*.pyc"):
            file.write(path, path.relative_to(copy.parent))
    code = (
        "import inspect, oauth_auth.requests as r; print(r.__file__.rpartition('package.zip')[1]);"
        "print('leeway' in inspect.signature(r.ClientCredentialsAuth).parameters);"
        "print(r.ClientCredentialsAuth.__doc__)"
    )
    shown = run(code, folder=archive)
    assert shown.startswith("package.zip\nTrue\nAuthorize requests as the client itself")
    assert "Args:" in shown
    assert "docs/options.md" in shown
