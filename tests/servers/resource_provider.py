"""Start the certified `oidc-provider`, at which clients register themselves, and an API of another origin, on loopback.

    with ResourceProvider() as server:
        session.auth = ResourceAuth(server.url, login=log_in)
        assert 200 == session.get(f"{server.url}/things").status_code

The API sends the challenges of RFC 9728, and has its metadata where that says: at the well-known place, with its path.
"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from .node_server import NodeServer, RegisteredClient
from .resource_server import ResourceServer

__all__ = ["ResourceProvider"]


class ResourceProvider(ResourceServer, NodeServer):
    """Run the server for the length of a `with` block; attributes are set once it is ready.

    The server counts in whole seconds, so that a token of N seconds is good for between N - 1 and N. It issues refresh
    tokens to those who ask for `offline_access` with `prompt=consent`. Clients of its own are native ones, if they say
    so: any port of their loopback redirect URIs will do.
    """

    program: ClassVar = "resource.mjs"

    url: str
    """A resource: any method and subpath. All want the scope `basic`, but `/admin` below it `admin`."""
    other_url: str
    """Another one of that origin, of the same server."""
    token_url: str
    authorization_url: str
    device_authorization_url: str
    revocation_url: str
    client_metadata_url: str
    """The id of a client that hasn't registered, but has a metadata document. It has `/callback`, with any port."""
    service: RegisteredClient
    """A client for its own tokens, known from the start, which is never forgotten."""

    def want_login(self, **wanted: Any) -> None:
        """Have the API want a login with one of `acr_values`, or not older than `max_age` seconds; without, any.

        A person logs in as strongly as was asked for: `password`, `phishing-resistant`.
        """
        self._control("POST", f"/test/login-wanted?{urlencode(wanted)}")

    def _take(self, ready: dict[str, Any]) -> None:
        super()._take(ready)
        self.service = RegisteredClient(**ready["service"])
