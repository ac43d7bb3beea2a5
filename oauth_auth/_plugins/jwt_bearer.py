"""The auth class for service accounts and their assertions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from .._server.grant import Grant
from .._server.grants import TokenCalls
from ..errors import ConfigurationError
from .auth import TokenAuth
from .option_types import HTTPClient
from .options import Settings, takes_options
from .token_endpoint import TokenEndpointAuth
from .token_exchange import name_of_source, source_of

if TYPE_CHECKING:
    from .._keys.assertions import JwtAssertion
    from .option_types import EndpointOptions, JwtBearerParameters

__all__ = ["JwtBearer"]


class JwtBearer(TokenEndpointAuth["JwtBearerParameters[HTTPClient]"]):
    """Authorize requests with tokens that are asked for by assertions, as service accounts do (RFC 7523 section 2.1).

    Renewed by asking again, with another assertion. Without a `client_id` nothing of a client is sent.
    """

    _grant_type = "jwt-bearer"
    _needs_client = False

    @takes_options
    def __init__(
        self,
        token_url: str,
        client_id: str | None = None,
        client_secret: str | None = None,
        *,
        assertion: JwtAssertion | str | Path | Callable[[], str],
        **options: Unpack[EndpointOptions[HTTPClient]],
    ) -> None:
        """Take the options; nothing is sent before a token is needed. Raises `ConfigurationError`."""
        self._set_up(
            {
                "issuer": None,
                "token_url": token_url,
                "client_id": client_id,
                "client_secret": client_secret,
                "assertion": assertion,
                **options,
            }
        )

    @classmethod
    @takes_options
    def from_issuer(
        cls,
        issuer: str,
        client_id: str | None = None,
        client_secret: str | None = None,
        *,
        assertion: JwtAssertion | str | Path | Callable[[], str],
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
                "assertion": assertion,
                **options,
            }
        )

    @classmethod
    @takes_options
    def from_env(cls, prefix: str = "OAUTH_", **options: Unpack[JwtBearerParameters[HTTPClient]]) -> Self:
        """Make one from environment variables; options override them.

        It reads what `ClientCredentialsAuth.from_env` reads. Raises `ConfigurationError`, which names the variable.
        """
        return cls._read_environment(prefix, options)

    def _make_grant(self, calls: TokenCalls, settings: Settings, own: JwtBearerParameters[Any]) -> Grant:
        from .._server.delegated_grants import JwtBearerGrant  # noqa: PLC0415 - not before there's an object

        return JwtBearerGrant(calls, assertion=source_of(own["assertion"]))

    def _check_own(self, own: JwtBearerParameters[Any], *, has_issuer: bool) -> str:
        """Return what tells the tokens of this assertion from those of others."""
        assertion: Any = own.get("assertion")
        if assertion is None:
            raise ConfigurationError("assertion must be a JwtAssertion, text, the Path of a file, or a function")
        if hasattr(assertion, "field") and hasattr(assertion, "subject"):
            return f"{assertion.issuer} {assertion.subject} {assertion.name}"
        if isinstance(assertion, TokenAuth):
            raise ConfigurationError(
                "assertion can't be an auth object: exchange its token, with TokenExchangeAuth, or pass a function "
                "that returns the token, where the server takes it as an assertion"
            )
        return name_of_source("assertion", assertion, own)
