"""Start the certified `oidc-provider` as an authorization server and a protected API on loopback.

with OidcProvider() as server:
    requests.post(
        server.token_url,
        data={"grant_type": "client_credentials"},
        auth=(server.basic.client_id, server.basic.client_secret),
    )
"""

from __future__ import annotations

from typing import Any, ClassVar

from .node_server import NodeServer, RegisteredClient


class OidcProvider(NodeServer):
    """Run the server for the length of a `with` block; attributes are set once it is ready.

    Lifetimes are whole seconds. The server counts in whole seconds too, so that a token of N seconds is
    good for between N - 1 and N.
    """

    program: ClassVar = "server.mjs"

    issuer: str
    openid_issuer: str
    """Another, of the same clients and tokens: has a path, and its metadata where OpenID Discovery has it."""
    rfc8414_issuer: str
    """A third one; its metadata is only where RFC 8414 section 3.1 has it, before the path."""
    token_url: str
    authorization_url: str
    device_authorization_url: str
    introspection_url: str
    revocation_url: str
    api_url: str
    """A protected resource: any method and subpath; `/admin` below it wants the scope `admin`."""
    userinfo_url: str
    """Another protected resource, not written by us; wants the scope `openid`."""

    basic: RegisteredClient
    """`client_secret_basic`, letters and a hyphen."""
    special: RegisteredClient
    """`client_secret_basic`, id and secret of characters that RFC 6749 §2.3.1 has encoded."""
    plus: RegisteredClient
    """`client_secret_basic`, a secret with `+`: sent unencoded it is well-formed, and wrong."""
    post: RegisteredClient
    """`client_secret_post`."""
    public: RegisteredClient
    """`none`; PKCE is required, client credentials aren't allowed."""

    username: str
    password: str

    redirect_uri = "http://127.0.0.1/callback"
    """Registered, with any port, for 127.0.0.1, localhost and [::1]; so is the path `/oauth/done`."""

    def __init__(self, *, access_token_lifetime: int = 3600, refresh_token_lifetime: int = 14 * 86400) -> None:
        super().__init__(
            {
                "OIDC_ACCESS_TTL": str(access_token_lifetime),
                "OIDC_REFRESH_TTL": str(refresh_token_lifetime),
            }
        )

    def set_access_token_lifetime(self, seconds: int) -> None:
        """Give access tokens issued from now on this lifetime."""
        self._control("POST", f"/test/ttl?seconds={seconds}")

    def set_refresh_token_lifetime(self, seconds: int) -> None:
        """Give refresh tokens issued from now on this lifetime."""
        self._control("POST", f"/test/refresh-ttl?seconds={seconds}")

    def revoke_access_tokens(self) -> None:
        """Have every access token issued so far rejected; refresh tokens stay good."""
        self._control("POST", "/test/revoke-access-tokens")

    def reset(self) -> None:
        """Set the counters to zero and the lifetimes to those given at construction."""
        self._control("POST", "/test/reset")

    @property
    def token_requests(self) -> int:
        """How many token requests arrived since the last reset, refused ones included."""
        return int(self._control("GET", "/test/token-requests"))

    @property
    def api_requests(self) -> int:
        """How many requests the API got since the last reset, refused ones included."""
        return int(self._control("GET", "/test/api-requests"))

    def _take(self, ready: dict[str, Any]) -> None:
        super()._take(ready)
        for name, client in ready["clients"].items():
            setattr(self, name, RegisteredClient(**client))
        self.username, self.password = ready["username"], ready["password"]
