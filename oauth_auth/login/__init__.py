"""How a person logs in: the authorization request, and the ways to have somebody follow it.

`AuthorizationRequest` is for web applications, which redirect and come back by themselves; `BrowserLogin` and
`ConsoleLogin` are for programs that run where the person is. All are loaded at their first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._browser import BrowserLogin
    from ._console import ConsoleLogin
    from ._context import LoginContext
    from ._request import AuthorizationRequest

__all__ = ["AuthorizationRequest", "BrowserLogin", "ConsoleLogin", "LoginContext"]

_MODULES = {
    "AuthorizationRequest": "._request",
    "LoginContext": "._context",
    "BrowserLogin": "._browser",
    "ConsoleLogin": "._console",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
