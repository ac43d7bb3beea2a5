"""How a user logs in: the authorization request, and ways to have it answered.

`AuthorizationRequest` is for web applications, which redirect the user themselves; `BrowserLogin` and `ConsoleLogin`
are for programs on the user's machine, `DeviceLogin` for those without a browser. Each is imported at its first use.
"""

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from ._browser import BrowserLogin
    from ._console import ConsoleLogin
    from ._context import DeviceLogin, LoginContext
    from ._request import AuthorizationRequest

__all__ = ["AuthorizationRequest", "BrowserLogin", "ConsoleLogin", "DeviceLogin", "LoginContext"]

__getattr__, __dir__ = attach(
    __name__,
    {
        "AuthorizationRequest": "._request",
        "BrowserLogin": "._browser",
        "ConsoleLogin": "._console",
        "DeviceLogin": "._context",
        "LoginContext": "._context",
    },
)
