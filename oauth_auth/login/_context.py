from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ._request import AuthorizationRequest

__all__ = ["DeviceLogin", "Login", "LoginContext", "check_login", "check_parameters", "is_async"]


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


class DeviceLogin:
    """Log the user in on another device, with a code (RFC 8628): for machines without a browser.

    `show` is called with the keyword arguments `user_code`, `verification_uri`, `verification_uri_complete` (text or
    None) and `expires_in` (seconds), and tells the user where to log in; by default that's printed to stderr. It's for
    a `ResourceAuth`; elsewhere that's what a `DeviceCodeAuth` does. Raises `ConfigurationError`.
    """

    __slots__ = ("show",)

    def __init__(self, *, show: Callable[..., Any] | None = None) -> None:
        if show is not None and (not callable(show) or is_async(show)):
            raise ConfigurationError("show must be a plain function that takes user_code, verification_uri and more")
        self.show = show

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


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
