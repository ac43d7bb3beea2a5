"""OAuth 2 for HTTP libraries: an auth object that keeps requests authorized, whatever happens to its tokens.

This package holds what is common; the auth classes live in the plug-in for your HTTP library, such as
`oauth_auth.requests` or `oauth_auth.httpx`. It imports no HTTP library.
"""

import logging
from typing import TYPE_CHECKING, Any

from ._server.controller import Server
from ._wire.client_auth import ClientSecretBasic, ClientSecretPost, PublicClient, basic_authorization
from ._wire.token import OAuthToken
from .errors import (
    AuthorizationResponseError,
    ConfigurationError,
    InsecureTransportError,
    OAuthError,
    OAuthProviderError,
    OAuthProviderException,
    ReauthorizationRequired,
    TokenError,
    TokenResponseError,
    TokenStoreError,
    TokenTransportError,
)
from .stores import MemoryTokenStore, TokenStore

if TYPE_CHECKING:
    from .login import AuthorizationRequest, BrowserLogin, ConsoleLogin

logging.getLogger("oauth_auth").addHandler(logging.NullHandler())

__all__ = [
    "AuthorizationRequest",
    "AuthorizationResponseError",
    "BrowserLogin",
    "ClientSecretBasic",
    "ClientSecretPost",
    "ConfigurationError",
    "ConsoleLogin",
    "InsecureTransportError",
    "MemoryTokenStore",
    "OAuthError",
    "OAuthProviderError",
    "OAuthProviderException",
    "OAuthToken",
    "PublicClient",
    "ReauthorizationRequired",
    "Server",
    "TokenError",
    "TokenResponseError",
    "TokenStore",
    "TokenStoreError",
    "TokenTransportError",
    "basic_authorization",
]


def __getattr__(name: str) -> Any:
    """Load what few programs need at its first use."""
    if name in {"AuthorizationRequest", "BrowserLogin", "ConsoleLogin"}:
        from . import login  # noqa: PLC0415

        return getattr(login, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
