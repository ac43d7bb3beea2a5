from __future__ import annotations

import sys

from ..errors import ReauthorizationRequired
from ._context import LoginContext
from ._request import check_redirect_uri

__all__ = ["ConsoleLogin"]

_ATTEMPTS = 3


class ConsoleLogin:
    """Log the user in with a browser on any machine: they open a URL, and paste the one that they are redirected to.

    For machines without a browser, where the server has no device authorization endpoint. `redirect_uri` must be
    registered with the server; nothing needs to answer there. Prompts on stderr and reads a line of stdin.
    """

    def __init__(self, redirect_uri: str) -> None:
        self._redirect_uri = check_redirect_uri(redirect_uri)

    def __call__(self, begin: LoginContext) -> str:
        """Return the URL that the user pastes. Raises `ReauthorizationRequired` if they end the input."""
        request = begin(self._redirect_uri)
        _print("To log in, open this URL in a browser:", "", f"    {request.url}", "")
        for attempts_left in reversed(range(_ATTEMPTS)):
            _print("Then paste the whole URL that the browser ends at, even if it shows an error there:")
            line = _read_line()
            if not line:
                raise ReauthorizationRequired("the user must log in: the input ended before a URL was pasted")
            if request.is_answered_by(line.strip()) or not attempts_left:
                return line.strip()
            _print("That isn't the URL that this login ends at.")
        raise AssertionError  # pragma: no cover - the last attempt returns


def _read_line() -> str:
    """Return the next line of stdin, or "" if there is none or stdin is closed."""
    try:
        return sys.stdin.readline()
    except UnicodeDecodeError:
        return "\n"  # a line, but no URL
    except (AttributeError, ValueError):  # stdin is None, as under pythonw, or closed
        return ""


def _print(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)
