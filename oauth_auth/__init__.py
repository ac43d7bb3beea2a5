"""OAuth 2 for HTTP libraries: an auth object that keeps requests authorized, whatever happens to its tokens.

This package holds what is common; the auth classes live in the plug-in for your HTTP library, such as
`oauth_auth.requests` or `oauth_auth.httpx`. It imports no HTTP library.
"""

import logging

from ._client_auth import ClientSecretBasic, ClientSecretPost, PublicClient, basic_authorization
from ._token import OAuthToken
from .controller import Server
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

logging.getLogger("oauth_auth").addHandler(logging.NullHandler())

__all__ = [
    "AuthorizationResponseError",
    "ClientSecretBasic",
    "ClientSecretPost",
    "ConfigurationError",
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
