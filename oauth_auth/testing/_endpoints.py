"""Where the endpoints of a `LocalProvider` are. Pure."""

from __future__ import annotations

__all__ = ["Endpoints"]


class Endpoints:
    """The URLs, all below the issuer's."""

    @property
    def issuer(self) -> str:
        """The server's issuer identifier."""
        raise NotImplementedError

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.issuer}/token"

    @property
    def authorization_url(self) -> str:
        """The authorization endpoint, which approves each request at once, as `username`."""
        return f"{self.issuer}/authorize"

    @property
    def pushed_authorization_request_url(self) -> str:
        """The endpoint that authorization requests may be pushed to (RFC 9126)."""
        return f"{self.issuer}/par"

    @property
    def device_authorization_url(self) -> str:
        """The device authorization endpoint (RFC 8628)."""
        return f"{self.issuer}/device_authorization"

    @property
    def revocation_url(self) -> str:
        """The revocation endpoint (RFC 7009); revoking a refresh token ends all tokens of its login."""
        return f"{self.issuer}/revoke"

    @property
    def registration_url(self) -> str:
        """The endpoint for dynamic client registration (RFC 7591), open to all while `allow_registration` is set."""
        return f"{self.issuer}/register"

    @property
    def introspection_url(self) -> str:
        """The introspection endpoint (RFC 7662), for who has the client's secret."""
        return f"{self.issuer}/introspect"

    @property
    def api_url(self) -> str:
        """A protected resource, for any method, and with any path after it.

        It answers with a JSON object: `method`, `path`, and the `length` and `sha256` of the request's body.
        """
        return f"{self.issuer}/api"

    @property
    def resource_metadata_url(self) -> str:
        """The API's metadata (RFC 9728), which its challenges name: the resource is `api_url`."""
        return f"{self.issuer}/.well-known/oauth-protected-resource/api"
