"""The auth class of programs that act for themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, Unpack

from .option_types import HTTPClient
from .options import Settings, takes_options
from .token_endpoint import TokenEndpointAuth

if TYPE_CHECKING:
    from .._server.grant import Grant
    from .._server.grants import TokenCalls
    from .option_types import ClientCredentialsParameters, EndpointOptions

__all__ = ["ClientCredentials"]


class ClientCredentials(TokenEndpointAuth["ClientCredentialsParameters[HTTPClient]"]):
    """Authorize requests as the client itself (RFC 6749 section 4.4)."""

    _grant_type = "client_credentials"

    @takes_options
    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        **options: Unpack[EndpointOptions[HTTPClient]],
    ) -> None:
        """Take the options; nothing is sent before a token is needed. Raises `ConfigurationError`."""
        self._set_up(
            {
                "issuer": None,
                "token_url": token_url,
                "client_id": client_id,
                "client_secret": client_secret,
                **options,
            }
        )

    @classmethod
    @takes_options
    def from_issuer(
        cls,
        issuer: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        token_url: str | None = None,
        **options: Unpack[EndpointOptions[HTTPClient]],
    ) -> Self:
        """Make one that takes the server's URLs from its metadata (RFC 8414, OpenID Discovery) when first needed.

        `issuer` is the URL that the metadata names, to the letter. URLs that are given override those in the metadata.
        The options are the constructor's.
        """
        return cls._from_issuer(
            {
                "issuer": issuer,
                "client_id": client_id,
                "client_secret": client_secret,
                "token_url": token_url,
                **options,
            }
        )

    @classmethod
    @takes_options
    def from_env(cls, prefix: str = "OAUTH_", **options: Unpack[ClientCredentialsParameters[HTTPClient]]) -> Self:
        """Make one from environment variables; options override them.

        It reads ISSUER or TOKEN_URL, CLIENT_ID, CLIENT_SECRET, SCOPE, AUDIENCE, RESOURCE, REVOCATION_URL, STORE
        ("file:PATH", "keyring:" or "redis://…"), each after the prefix. A variable whose name ends in _FILE names a
        file that holds the value; those of secret and password are read anew when the server refuses what was in them.

        PRIVATE_KEY or PRIVATE_KEY_FILE with PRIVATE_KEY_ID, CLIENT_ASSERTION_FILE, CLIENT_CERTIFICATE_FILE with
        CLIENT_CERTIFICATE_KEY_FILE, and DPOP ("true") stand for `client_auth`, `client_certificate` and `dpop`; these
        files are read anew for each call. Raises `ConfigurationError`, which names the variable.
        """
        return cls._read_environment(prefix, options)

    def _make_grant(self, calls: TokenCalls, settings: Settings, own: ClientCredentialsParameters[Any]) -> Grant:
        from .._server.grants import ClientCredentialsGrant  # noqa: PLC0415 - `load_for_flights` has loaded it

        return ClientCredentialsGrant(calls)
