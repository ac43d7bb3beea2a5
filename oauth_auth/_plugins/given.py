"""The auth classes of programs that have their tokens from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Unpack

from .._renewal.store_entry import StoreEntry
from .._wire.token import OAuthToken
from ..errors import ConfigurationError
from .auth import TokenAuth
from .options import check_callback, read_options, takes_options

if TYPE_CHECKING:
    from .option_types import BearerOptions, ProviderOptions

__all__ = ["Bearer", "Provider"]

_OF_A_CALL = ("scope", "field_parameters", "client_auth", "token_client")
_OF_A_STORE = ("store", "store_key")
_OF_A_RENEWAL = ("leeway", "refresh_window", "token_timeout", "on_token_update")


class Provider(TokenAuth):
    """Authorize requests with tokens from a function of yours."""

    _needless: ClassVar[Mapping[str, str]] = dict.fromkeys(
        _OF_A_CALL, "the provider gets the tokens, and no token call is made for it"
    )

    @takes_options
    def __init__(self, provider: Callable[[OAuthToken | None], OAuthToken], **options: Unpack[ProviderOptions]) -> None:
        """Take the options; nothing is sent before a token is needed. Raises `ConfigurationError`."""
        from .._server.given_tokens import TokenProvider  # noqa: PLC0415 - not before there's an object

        settings = read_options(options)
        if provider is None:
            raise ConfigurationError("provider must be a function from the last OAuthToken, or None, to the next")
        if settings.store is not None and settings.store_key is None:
            raise ConfigurationError("no key can be derived for a provider's tokens: give a store_key with the store")
        entry = StoreEntry(settings.store, settings.store_key or "")
        grant = TokenProvider(check_callback("provider", provider), settings.renewal.token_timeout)
        self._take(settings, grant, token=settings.token, entry=entry)


class Bearer(TokenAuth):
    """Authorize requests with one token that is never renewed (RFC 6750); a 401 is returned to the caller."""

    _needless: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(_OF_A_CALL, "the token is given, and no token call is made"),
        **dict.fromkeys(_OF_A_STORE, "the token is given each time, so there's nothing to keep"),
        **dict.fromkeys(_OF_A_RENEWAL, "the token is never renewed"),
    }

    @takes_options
    def __init__(self, token: str | OAuthToken, **options: Unpack[BearerOptions]) -> None:
        """Take the options. Raises `ConfigurationError`."""
        from .._server.given_tokens import FixedToken  # noqa: PLC0415 - not before there's an object

        settings = read_options(options)
        if isinstance(token, str):
            token = OAuthToken(access_token=token)
        if not isinstance(token, OAuthToken):
            raise ConfigurationError(f"token must be text or an OAuthToken, not {type(token).__name__}")
        self._take(settings, FixedToken(), token=token, entry=StoreEntry(None, ""))
