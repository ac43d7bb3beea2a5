"""The auth classes without an HTTP library: each is a mixin that has a grant's options.

A plug-in combines each with the base for its library, and names the class of the library's clients:
`class ClientCredentialsAuth(ClientCredentials[requests.Session], RequestsAuth)`. The options are written out in each
signature, since that's where editors, type checkers and `help()` look; tests/units/test_signatures.py keeps them alike.
"""

from .authorization_code import AuthorizationCode
from .bearer import Bearer
from .client_credentials import ClientCredentials
from .device_code import DeviceCode
from .password import Password
from .refresh_token import RefreshToken
from .token_provider import Provider

__all__ = ["AuthorizationCode", "Bearer", "ClientCredentials", "DeviceCode", "Password", "Provider", "RefreshToken"]
