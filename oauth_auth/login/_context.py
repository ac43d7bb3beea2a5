from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ._request import AuthorizationRequest

__all__ = ["Login", "LoginContext"]


class LoginContext:
    """The argument of a login, which calls it with the redirect URI to make the `AuthorizationRequest`."""

    def __init__(
        self,
        make: Callable[[str], AuthorizationRequest],
        redirect_uri: str | None,
        cancelled: threading.Event,
        registered_uri: str | None = None,
    ) -> None:
        self._make = make
        self._cancelled = cancelled
        self.redirect_uri = redirect_uri
        """The redirect URI that the auth object was given, or None."""
        self.registered_uri = registered_uri
        """The redirect URI that the client was registered with before: one to prefer, where none was given."""
        self.request: AuthorizationRequest | None = None
        """The request made last, or None before the first."""

    def __call__(self, redirect_uri: str) -> AuthorizationRequest:
        """Return a new request whose answer comes to `redirect_uri`. Raises `ConfigurationError`."""
        self.request = self._make(redirect_uri)
        return self.request

    @property
    def is_cancelled(self) -> bool:
        """Whether the login is no longer needed: another process has a token by now, or the auth object was closed."""
        return self._cancelled.is_set()


Login = Callable[[LoginContext], str]
"""Sends the user to `begin(redirect_uri).url`, and returns the URL that they were redirected to."""


def check_parameters(parameters: object) -> None:
    """Raise `ConfigurationError` for what can't be additional parameters of an authorization request."""
    if parameters is not None:
        from ._request import read_parameters

        read_parameters(parameters)


def check_login(login: object) -> None:
    """Raise `ConfigurationError` for what can't be a login."""
    if isinstance(login, type) or not callable(login):
        raise ConfigurationError("login must be an object such as BrowserLogin(), or a function: mind the parentheses")
    if is_async(login):
        raise ConfigurationError("login must be a plain function, not async: it's called in a thread of its own")


def is_async(function: object) -> bool:
    """Return whether a callable returns something to be awaited."""
    call = getattr(type(function), "__call__", None)  # noqa: B004 - of the class, since it's looked up there
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
