"""`BearerAuth` without an HTTP library."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic

from ..._renewal.store_entry import StoreEntry
from ..._server.grants import FixedToken
from ..._wire.client_auth import ClientAuthentication
from ..._wire.token import OAuthToken
from ..._wire.token_request import FieldParameters
from ...errors import ConfigurationError
from ...stores import TokenStore
from ..auth import TokenAuth
from ..options import HTTPClient, check_arguments, read_options


class Bearer(TokenAuth, Generic[HTTPClient]):
    """Authorize requests with one token that is never renewed (RFC 6750); a 401 is returned to the caller."""

    @check_arguments
    def __init__(
        self,
        token: str | OAuthToken,
        *,
        scope: str | Iterable[str] | None = None,
        field_parameters: FieldParameters | None = None,
        client_auth: ClientAuthentication | None = None,
        store: TokenStore | None = None,
        store_key: str | None = None,
        on_token_update: Callable[[OAuthToken], object] | None = None,
        token_client: HTTPClient | None = None,
        token_timeout: float = 10.0,
        leeway: float = 10.0,
        refresh_window: float = 300.0,
        allowed_origins: Iterable[str] | None = None,
        allow_insecure_transport: bool = False,
        rejection_statuses: Iterable[int] = (401,),
    ) -> None:
        """Take the options; nothing is sent before a token is needed. Raises `ConfigurationError`.

        Args:
            token: The token, as text or as an `OAuthToken`.
            scope: Text with names separated by spaces, or an iterable of names.
            field_parameters: Additional form fields of each token call, with the last word; a sequence repeats its
                field, None drops it.
            client_auth: `ClientSecretBasic()`, `ClientSecretPost()` or `PublicClient()`; by default the first with a
                secret, the last without.
            store: Where tokens are kept and shared, such as `FileTokenStore(…)`; by default in memory.
            store_key: The key to use in the store; by default one derived from what the token is for.
            on_token_update: Called with each new token, after it was saved and before any request uses it, in a
                thread of its own. What it raises is logged; if it takes longer than `token_timeout`, the requests go
                on without it.
            token_client: A sync client of the same HTTP library that sends the token calls, for proxies and
                certificates; it stays yours to close. For aiohttp: a function that makes a `ClientSession`.
            token_timeout: Seconds that a whole token call with its retries may take; one attempt takes at most half
                of it. It bounds a provider and `on_token_update`, too.
            leeway: A token this near its expiry, in seconds, is not sent unless no better one can be had; at most a
                tenth of the token's lifetime.
            refresh_window: Seconds before that in which the token is renewed in the background; at most a fifth of
                its lifetime.
            allowed_origins: The origins that the token may go to, such as "https://api.example.com"; None allows any
                that the caller addresses. Requests to others go without the token.
            allow_insecure_transport: Allow http:// beyond loopback.
            rejection_statuses: The statuses by which an API says that it rejects the token.
        """
        settings = read_options({**locals(), "token": None})
        if isinstance(token, str):
            token = OAuthToken(access_token=token)
        if not isinstance(token, OAuthToken):
            raise ConfigurationError(f"token must be text or an OAuthToken, not {type(token).__name__}")
        # There is nothing to store: the token comes from the caller each time.
        self._take(settings, FixedToken(), token=token, entry=StoreEntry(None, ""))
