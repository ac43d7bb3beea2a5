from __future__ import annotations

import sys

from ..errors import ReauthorizationRequired
from ._context import LoginContext
from ._request import check_redirect_uri

__all__ = ["ConsoleLogin"]

_ATTEMPTS = 3


class ConsoleLogin:
    """Have a person open a URL in any browser, anywhere, and paste the one that it ends at.

    For machines without a browser, where the server knows no device login. `redirect_uri` must be registered with
    the server; nothing needs to answer there. Prompts on stderr and reads a line of stdin.
    """

    def __init__(self, redirect_uri: str) -> None:
        self._redirect_uri = check_redirect_uri(redirect_uri)

    def __call__(self, begin: LoginContext) -> str:
        """Return the URL that the person pastes. Raises `ReauthorizationRequired` if they end the input."""
        request = begin(self._redirect_uri)
        _print("To log in, open this URL in a browser:", "", f"    {request.url}", "")
        for attempts_left in reversed(range(_ATTEMPTS)):
            _print("Then paste the whole URL that the browser ends at, even if it shows an error there:")
            line = _read_line()
            if not line:
                raise ReauthorizationRequired("the user must log in again: the input ended before a URL was pasted")
            if request.is_answered_by(line.strip()) or not attempts_left:
                return line.strip()
            _print("That isn't the URL that this login ends at.")
        raise AssertionError  # pragma: no cover - the last round returns


def _read_line() -> str:
    """Return the next line of stdin, or "" if there's none, or no stdin."""
    try:
        return sys.stdin.readline()
    except UnicodeDecodeError:
        return "\n"  # no URL, at any rate
    except (AttributeError, ValueError):  # it's None, or closed
        return ""


def _print(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)
