"""What the servers have in common that protect a resource and tell themselves who issues tokens for it."""

from __future__ import annotations

from typing import Any

from oauth_auth.login import LoginContext

from .login import authorize
from .server_process import ServerProcess

REDIRECT_URI = "http://127.0.0.1:49152/callback"


def log_in(begin: LoginContext) -> str:
    """Be a `login`: have a person open the URL, whom the server lets in; return the redirect."""
    return authorize(begin(REDIRECT_URI).url, REDIRECT_URI)


class ResourceServer(ServerProcess):
    """A protected resource and its authorization server, where clients register themselves, and logins are approved.

    Attributes are set once it is ready. Lifetimes are whole seconds. The scopes of the resource are `basic`, without
    which nothing is to be had, and `admin`.
    """

    url: str
    """The resource."""
    issuer: str
    """Its authorization server, as the metadata names it."""

    def set_access_token_lifetime(self, seconds: int) -> None:
        """Give access tokens issued from now on this lifetime."""
        self._control("POST", f"/test/ttl?seconds={seconds}")

    def revoke_access_tokens(self) -> None:
        """Have every access token issued so far rejected; refresh tokens stay good."""
        self._control("POST", "/test/revoke-access-tokens")

    def forget_clients(self) -> None:
        """Know no client any more that has registered so far."""
        self._control("POST", "/test/forget-clients")

    def reset(self) -> None:
        """Set the counters to zero, and behave as at the start."""
        self._control("POST", "/test/reset")

    @property
    def registrations(self) -> int:
        """How many clients have come to register since the last reset, refused ones included."""
        return self._calls("registration")

    @property
    def logins(self) -> int:
        """How many authorization requests there were since the last reset, refused ones included."""
        return self._calls("authorization")

    @property
    def token_requests(self) -> int:
        """How many token requests arrived since the last reset, refused ones included."""
        return self._calls("token")

    @property
    def metadata_requests(self) -> int:
        """How often a well-known place was looked at since the last reset, also where there's nothing."""
        return self._calls("metadata")

    @property
    def requests(self) -> int:
        """How many requests the resource got since the last reset, refused ones included."""
        return self._calls("resource")

    def _calls(self, place: str) -> int:
        calls: dict[str, Any] = self._control("GET", "/test/calls")
        return int(calls.get(place, 0))
