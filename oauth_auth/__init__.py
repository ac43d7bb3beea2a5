"""OAuth 2 for HTTP libraries: an auth object that keeps requests authorized, whatever happens to its tokens.

The auth classes are in the plug-in for your HTTP library, such as `oauth_auth.requests` or `oauth_auth.httpx`; here is
what they have in common. Importing this package imports no HTTP library.
"""

# General layout, from the inside out; imports point inward, and only the five plug-ins import an HTTP library: errors,
# _events, _flight; _wire: what the RFCs say, pure; _keys: what clients prove themselves with, and what tokens are
# bound to; stores: where tokens are kept; login: how a user logs in; _server: the calls of one authorization server;
# _renewal: which token is current, and how the next one comes; _plugins: what the plug-ins share; requests, niquests,
# httpx, httpx2, aiohttp: the plug-ins, one HTTP library each; otel, cli, testing: built on the rest.

import logging
from typing import TYPE_CHECKING

from ._lazy import attach, find_moved_modules
from ._server.operations import Server
from ._wire.client_auth import ClientSecretBasic, ClientSecretPost, PublicClient, basic_authorization
from ._wire.token import OAuthToken
from ._wire.token_request import TokenRequest
from .errors import (
    AuthorizationResponseError,
    ConfigurationError,
    DiscoveryError,
    InsecureTransportError,
    OAuthError,
    OAuthProviderError,
    OAuthProviderException,
    ReauthorizationRequired,
    RegistrationError,
    TokenError,
    TokenResponseError,
    TokenStoreError,
    TokenTransportError,
)
from .stores import TokenStore

if TYPE_CHECKING:
    from ._keys.assertions import ClientAssertion, ClientSecretJwt, JwtAssertion, PrivateKeyJwt
    from ._keys.certificate import ClientCertificate
    from ._keys.dpop import DPoPKey
    from ._keys.request_object import RequestObject
    from .login import AuthorizationRequest, BrowserLogin, ConsoleLogin, DeviceLogin
    from .stores import FileTokenStore, KeyringTokenStore, MemoryTokenStore, RedisTokenStore

logging.getLogger("oauth_auth").addHandler(logging.NullHandler())
find_moved_modules()

__all__ = [
    "AuthorizationRequest",
    "AuthorizationResponseError",
    "BrowserLogin",
    "ClientAssertion",
    "ClientCertificate",
    "ClientSecretBasic",
    "ClientSecretJwt",
    "ClientSecretPost",
    "ConfigurationError",
    "ConsoleLogin",
    "DPoPKey",
    "DeviceLogin",
    "DiscoveryError",
    "FileTokenStore",
    "InsecureTransportError",
    "JwtAssertion",
    "KeyringTokenStore",
    "MemoryTokenStore",
    "OAuthError",
    "OAuthProviderError",
    "OAuthProviderException",
    "OAuthToken",
    "PrivateKeyJwt",
    "PublicClient",
    "ReauthorizationRequired",
    "RedisTokenStore",
    "RegistrationError",
    "RequestObject",
    "Server",
    "TokenError",
    "TokenRequest",
    "TokenResponseError",
    "TokenStore",
    "TokenStoreError",
    "TokenTransportError",
    "basic_authorization",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = attach(
        __name__,
        {
            **dict.fromkeys(
                ("ClientAssertion", "ClientSecretJwt", "JwtAssertion", "PrivateKeyJwt"), "._keys.assertions"
            ),
            "ClientCertificate": "._keys.certificate",
            "DPoPKey": "._keys.dpop",
            "RequestObject": "._keys.request_object",
            **dict.fromkeys(("AuthorizationRequest", "BrowserLogin", "ConsoleLogin", "DeviceLogin"), ".login"),
            **dict.fromkeys(("FileTokenStore", "KeyringTokenStore", "MemoryTokenStore", "RedisTokenStore"), ".stores"),
        },
        {
            name: f"from oauth_auth.requests import {name}, or from .niquests, .httpx, .httpx2 or .aiohttp"
            for name in (
                *("AuthorizationCodeAuth", "BearerAuth", "ClientCredentialsAuth", "DeviceCodeAuth", "PasswordAuth"),
                *("JwtBearerAuth", "OAuthAuthorizationController", "RefreshTokenAuth", "TokenExchangeAuth"),
                *("ResourceAuth", "TokenProviderAuth"),
            )
        },
    )
