"""Tests of code that uses OAuth, against a real authorization server and API on loopback.

    from oauth_auth.testing import LocalProvider

    with LocalProvider(token_lifetime=60) as provider:
        auth = ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)
        assert requests.get(provider.api_url, auth=auth).ok
        provider.revoke_access_tokens()
        assert requests.get(provider.api_url, auth=auth).ok
        assert len(provider.token_requests) == 2

In pytest, the fixture `oauth_provider` is a running `LocalProvider`, new for each test.

The server needs Authlib, Flask and joserfc: `pip install "oauth_auth[testing]"`. Importing this package imports none of
them; the first use of `LocalProvider` does.
"""

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from ._provider import LocalProvider
    from ._received import ReceivedRequest

__all__ = ["LocalProvider", "ReceivedRequest"]

__getattr__, __dir__ = attach(__name__, {"LocalProvider": "._provider", "ReceivedRequest": "._received"})
