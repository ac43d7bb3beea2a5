"""The auth class for users who have entrusted the program with their password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from .._wire.checks import require_text
from .option_types import HTTPClient
from .options import Settings, takes_options
from .token_endpoint import TokenEndpointAuth

if TYPE_CHECKING:
    from .._server.grant import Grant
    from .._server.grants import TokenCalls
    from .option_types import EndpointOptions, PasswordParameters

__all__ = ["Password"]


class Password(TokenEndpointAuth["PasswordParameters[HTTPClient]"]):
    """Authorize requests for a user whose password the program knows (RFC 6749 section 4.3).

    Renewed with the refresh token; without a live one the password is used again.
    """

    _grant_type = "password"
    _variables: ClassVar[Mapping[str, str]] = {"USERNAME": "username", "PASSWORD": "password"}

    @takes_options
    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        username: str,
        password: str,
        **options: Unpack[EndpointOptions[HTTPClient]],
    ) -> None:
        """Take the options; nothing is sent before a token is needed. Raises `ConfigurationError`."""
        self._set_up(
            {
                "issuer": None,
                "token_url": token_url,
                "client_id": client_id,
                "client_secret": client_secret,
                "username": username,
                "password": password,
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
        username: str,
        password: str,
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
                "username": username,
                "password": password,
                **options,
            }
        )

    @classmethod
    @takes_options
    def from_env(cls, prefix: str = "OAUTH_", **options: Unpack[PasswordParameters[HTTPClient]]) -> Self:
        """Make one from environment variables; options override them.

        It reads what `ClientCredentialsAuth.from_env` reads, and USERNAME and PASSWORD, each after the prefix. Raises
        `ConfigurationError`, which names the variable.
        """
        return cls._read_environment(prefix, options)

    def _make_grant(self, calls: TokenCalls, settings: Settings, own: PasswordParameters[Any]) -> Grant:
        from .._server.grants import PasswordGrant  # noqa: PLC0415 - `load_for_flights` has loaded it

        return PasswordGrant(calls, username=own["username"] or "", password=own["password"] or "")

    def _check_own(self, own: PasswordParameters[Any], *, has_issuer: bool) -> str:
        require_text("password", own.get("password"))
        return require_text("username", own.get("username"))
