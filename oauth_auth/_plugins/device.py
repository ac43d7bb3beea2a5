"""The auth class for users who log in on another device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from .._server.grant import Grant
from .._server.grants import TokenCalls
from ..errors import ConfigurationError
from .option_types import HTTPClient
from .options import Settings, check_callback, takes_options
from .token_endpoint import TokenEndpointAuth

if TYPE_CHECKING:
    from .option_types import DeviceCodeOptions, DeviceCodeParameters

__all__ = ["DeviceCode"]


class DeviceCode(TokenEndpointAuth["DeviceCodeParameters[HTTPClient]"]):
    """Authorize requests for a user who logs in on another device (RFC 8628).

    Afterwards the refresh token renews; without a live one the user logs in again.
    """

    _grant_type = "authorization_code"  # a login in a browser serves here, too: it's the same user
    _variables: ClassVar[Mapping[str, str]] = {"DEVICE_AUTHORIZATION_URL": "device_authorization_url"}
    _own_urls = ("device_authorization_url",)

    @takes_options
    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        **options: Unpack[DeviceCodeOptions[HTTPClient]],
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
        **options: Unpack[DeviceCodeOptions[HTTPClient]],
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
    def from_env(cls, prefix: str = "OAUTH_", **options: Unpack[DeviceCodeParameters[HTTPClient]]) -> Self:
        """Make one from environment variables; options override them.

        It reads what `ClientCredentialsAuth.from_env` reads, and DEVICE_AUTHORIZATION_URL, each after the prefix.
        Raises `ConfigurationError`, which names the variable.
        """
        return cls._read_environment(prefix, options)

    def _make_grant(self, calls: TokenCalls, settings: Settings, own: DeviceCodeParameters[Any]) -> Grant:
        from .._server.device_grant import DeviceCodeGrant, show_on_stderr  # noqa: PLC0415 - not before there's an object

        return DeviceCodeGrant(calls, show=own.get("show") or show_on_stderr, offline_access=settings.offline_access)

    def _check_own(self, own: DeviceCodeParameters[Any], *, has_issuer: bool) -> str:
        if own.get("device_authorization_url") is None and not has_issuer:
            raise ConfigurationError("DeviceCodeAuth needs the device_authorization_url: pass it, or use from_issuer()")
        check_callback("show", own.get("show"))
        return ""
