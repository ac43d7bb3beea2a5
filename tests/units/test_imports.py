"""Names: what can be imported from where, and what is said to who looks in the wrong place."""

from __future__ import annotations

import importlib
import subprocess
import sys

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
    """Each store can be imported from the package, which loads none but the one in memory."""
    code = (
        "import sys, oauth_auth; print(sorted(name for name in sys.modules if name.startswith('oauth_auth.stores._')));"
        "from oauth_auth import FileTokenStore, KeyringTokenStore, MemoryTokenStore, RedisTokenStore;"
        "print(FileTokenStore.__module__)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, file_store = finished.stdout.splitlines()
    assert "['oauth_auth.stores._memory', 'oauth_auth.stores._protocol']" == loaded
    assert "oauth_auth.stores._file" == file_store
