"""The auth class of programs that were given a refresh token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from .._wire.checks import require_text
from .._wire.token import digest
from .option_types import HTTPClient
from .options import Settings, takes_options
from .token_endpoint import TokenEndpointAuth

if TYPE_CHECKING:
    from .._server.grant import Grant
    from .._server.grants import TokenCalls
    from .option_types import EndpointOptions, RefreshTokenParameters

__all__ = ["RefreshToken"]


class RefreshToken(TokenEndpointAuth["RefreshTokenParameters[HTTPClient]"]):
    """Authorize requests with a refresh token that came from elsewhere (RFC 6749 section 6).

    If the server rotates refresh tokens, a copy of the object needs the same store to follow.
    """

    _grant_type = "refresh_token"
    _variables: ClassVar[Mapping[str, str]] = {"REFRESH_TOKEN": "refresh_token"}

    @takes_options
    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        refresh_token: str,
        **options: Unpack[EndpointOptions[HTTPClient]],
    ) -> None:
        """Take the options; nothing is sent before a token is needed. Raises `ConfigurationError`."""
        self._set_up(
            {
                "issuer": None,
                "token_url": token_url,
                "client_id": client_id,
                "client_secret": client_secret,
                "refresh_token": refresh_token,
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
        refresh_token: str,
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
                "refresh_token": refresh_token,
                **options,
            }
        )

    @classmethod
    @takes_options
    def from_env(cls, prefix: str = "OAUTH_", **options: Unpack[RefreshTokenParameters[HTTPClient]]) -> Self:
        """Make one from environment variables; options override them.

        It reads what `ClientCredentialsAuth.from_env` reads, and REFRESH_TOKEN, each after the prefix. Raises
        `ConfigurationError`, which names the variable.
        """
        return cls._read_environment(prefix, options)

    def _make_grant(self, calls: TokenCalls, settings: Settings, own: RefreshTokenParameters[Any]) -> Grant:
        from .._server.grants import RefreshTokenGrant  # noqa: PLC0415 - `load_for_flights` has loaded it

        return RefreshTokenGrant(calls, refresh_token=own["refresh_token"] or "")

    def _check_own(self, own: RefreshTokenParameters[Any], *, has_issuer: bool) -> str:
        return digest(require_text("refresh_token", own.get("refresh_token")))
