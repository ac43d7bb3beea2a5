"""A pytest plug-in for the suites of HTTP libraries: gives each session and client an auth object by default.

It imports nothing of `tests`, since those suites have a package of that name, too. The environment tells what to do:
`FOREIGN_LIBRARY` is the library, `FOREIGN_AUTH` the class, or empty to change nothing, and `FOREIGN_RESULT` the file
that gets what came of it.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oauth_auth.testing import LocalProvider

TOKEN_LIFETIME = 2
"""Seconds, so that a suite lives through many renewals."""
CLIENTS = {"requests": ["Session"], "httpx": ["Client", "AsyncClient"]}


class DefaultAuth:
    """Changes the library's clients, counts what they do with the auth object, and notes each test's outcome."""

    def __init__(self, library: str, auth_class: str) -> None:
        self._library: Any = importlib.import_module(library)
        self._names = CLIENTS[library]
        self._plugin: Any = importlib.import_module(f"oauth_auth.{library}")
        self._auth_class = auth_class
        self._provider = LocalProvider(token_lifetime=TOKEN_LIFETIME)
        self._outcomes: dict[str, str] = {}
        self._requests = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Iterator[None]:
        """Run the tests with the auth object in place, and a server that issues its tokens."""
        with self._provider:
            if self._auth_class:
                auth = self._make_auth()
                for name in self._names:
                    client_class = getattr(self._library, name)
                    client_class.__init__ = _with_default(client_class.__init__, auth)
            return (yield)

    def _make_auth(self) -> Any:
        auth_class = getattr(self._plugin, self._auth_class)
        for name in ("__call__", "sync_auth_flow", "async_auth_flow"):
            if hasattr(auth_class, name):
                setattr(auth_class, name, self._counting(getattr(auth_class, name)))
        # Hosts of their tests are reached over plain http.
        options: dict[str, Any] = {"allow_insecure_transport": True}
        if self._auth_class == "BearerAuth":
            return auth_class("mF_9.B5f-4.1JqM", **options)
        provider = self._provider
        return auth_class(provider.token_url, provider.client_id, provider.client_secret, **options)

    def _counting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def counted(*args: Any) -> Any:
            self._requests += 1
            return method(*args)

        return counted

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome; an error before or after a test counts as its failure."""
        if report.when == "call" or report.outcome != "passed":
            self._outcomes[report.nodeid] = "xfailed" if hasattr(report, "wasxfail") else report.outcome

    def pytest_sessionfinish(self) -> None:
        """Write down what came of it."""
        token_calls = len(self._provider.token_requests)
        result = {"outcomes": self._outcomes, "requests": self._requests, "token_calls": token_calls}
        Path(os.environ["FOREIGN_RESULT"]).write_text(json.dumps(result), encoding="utf-8")


def _with_default(init: Callable[..., None], auth: Any) -> Callable[..., None]:
    @functools.wraps(init)
    def changed(self: Any, *args: Any, **options: Any) -> None:
        if "auth" in init.__annotations__:  # of httpx
            init(self, *args, **{"auth": auth, **options})
        else:  # of requests, where it's an attribute
            init(self, *args, **options)
            self.auth = auth

    return changed


def pytest_configure(config: pytest.Config) -> None:
    """Begin."""
    plugin = DefaultAuth(os.environ["FOREIGN_LIBRARY"], os.environ["FOREIGN_AUTH"])
    config.pluginmanager.register(plugin, "oauth_auth-default-auth")
