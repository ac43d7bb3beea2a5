"""The options that all auth classes share: their types, and the checks at construction."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

from .._record import Record
from .._renewal.decisions import RenewalSettings
from .._wire.checks import require_flag, require_seconds, require_text
from .._wire.client_auth import ClientAuthentication
from .._wire.messages import FieldParameters, build_token_request, join_scope
from .._wire.token import OAuthToken
from .._wire.urls import read_origins
from ..errors import ConfigurationError
from ..stores import TokenStore

__all__ = [
    "CommonOptions",
    "EndpointOptions",
    "Options",
    "Settings",
    "check_callback",
    "derive_store_key",
    "read_options",
]


class CommonOptions(TypedDict, total=False):
    """Keyword-only options of all auth classes.

    scope: text with names separated by spaces, or an iterable of names.
    field_parameters: additional form fields of each token call, with the last word; a sequence repeats its field,
        None drops it.
    client_auth: `ClientSecretBasic()` (the default with a secret), `ClientSecretPost()` or `PublicClient()` (the
        default without).
    store, store_key: a `TokenStore`, and the key to use in it; by default one derived from what the token is for.
    on_token_update: called with each new token, after it was saved and before any request uses it, in a thread of
        its own. What it raises is logged; if it takes longer than token_timeout, the requests go on without it.
    token_client: a sync client of the same HTTP library that sends the token calls; it stays yours to close.
    token_timeout: seconds that a whole token call with its retries may take; one attempt takes at most half of it.
        It bounds a provider and on_token_update, too.
    leeway: a token this near its expiry, in seconds, is not sent unless no better one can be had; at most a tenth
        of the token's lifetime.
    refresh_window: seconds before that in which the token is renewed in the background; at most a fifth of its
        lifetime.
    allowed_origins: the origins that the token may go to, such as "https://api.example.com"; None allows any that
        the caller addresses. Requests to others go without the token.
    allow_insecure_transport: allow http:// beyond loopback.
    rejection_statuses: the statuses by which an API says that it rejects the token.
    """

    scope: str | Iterable[str] | None
    field_parameters: FieldParameters | None
    client_auth: ClientAuthentication | None
    store: TokenStore | None
    store_key: str | None
    on_token_update: Callable[[OAuthToken], object] | None
    token_client: Any
    token_timeout: float
    leeway: float
    refresh_window: float
    allowed_origins: Iterable[str] | None
    allow_insecure_transport: bool
    rejection_statuses: Iterable[int]


class Options(CommonOptions, total=False):
    """The options of all classes that don't take their token as an argument.

    token: a token to begin with; of it and a stored one the later expiry wins.
    """

    token: OAuthToken | None


class EndpointOptions(Options, total=False):
    """The options of all classes that call a token endpoint.

    revocation_url: where tokens are ended (RFC 7009); if it's None and the metadata has none, `revoke` only forgets.
    """

    revocation_url: str | None


class Settings(Record):
    """The options of one auth object, checked."""

    renewal: RenewalSettings
    scope: str | None
    field_parameters: FieldParameters
    client_auth: ClientAuthentication | None
    token: OAuthToken | None
    store: TokenStore | None
    store_key: str | None
    token_client: Any
    allowed_origins: frozenset[str] | None
    allow_insecure_transport: bool
    rejection_statuses: tuple[int, ...]
    revocation_url: str | None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def read_options(options: Mapping[str, Any], kind: type[CommonOptions]) -> Settings:
    """Check the options. Raises `ConfigurationError` with a text that says what to write instead."""
    known = kind.__annotations__
    for name in options:
        if name not in known:
            import difflib  # noqa: PLC0415 - only this message needs it

            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise ConfigurationError(f"unknown option {name!r}: {hint}")
    token, store_key = options.get("token"), options.get("store_key")
    if token is not None and not isinstance(token, OAuthToken):
        raise ConfigurationError(f"token must be an OAuthToken, not {type(token).__name__}: OAuthToken(access_token=…)")
    if store_key is not None:
        require_text("store_key", store_key, "text that isn't empty, or None to derive one")
    client_auth = options.get("client_auth")
    if client_auth is not None and (isinstance(client_auth, type) or not hasattr(client_auth, "authenticate")):
        raise ConfigurationError("client_auth must be an object such as ClientSecretPost(): mind the parentheses")
    insecure = require_flag("allow_insecure_transport", options.get("allow_insecure_transport", False))
    return Settings(
        renewal=_read_renewal(options),
        scope=join_scope(options.get("scope")),
        field_parameters=_read_field_parameters(options.get("field_parameters")),
        client_auth=client_auth,
        token=token,
        store=_read_store(options.get("store")),
        store_key=store_key,
        token_client=options.get("token_client"),
        allowed_origins=read_origins(options.get("allowed_origins"), allow_insecure=insecure),
        allow_insecure_transport=insecure,
        rejection_statuses=_read_statuses(options.get("rejection_statuses", (401,))),
        revocation_url=options.get("revocation_url"),
    )


def _read_renewal(options: Mapping[str, Any]) -> RenewalSettings:
    seconds = {
        name: require_seconds(name, options.get(name, default), default, is_positive=name == "token_timeout")
        for name, default in {"leeway": 10.0, "refresh_window": 300.0, "token_timeout": 10.0}.items()
    }
    return RenewalSettings(**seconds, on_token_update=check_callback("on_token_update", options.get("on_token_update")))


def check_callback(name: str, callback: Any) -> Any:
    """Return a callback, or None. Raises `ConfigurationError` for anything but a plain function."""
    if callback is not None and not callable(callback):
        raise ConfigurationError(f"{name} must be a function, not {type(callback).__name__}")
    if inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(getattr(type(callback), "__call__", None)):  # noqa: B004
        raise ConfigurationError(f"{name} must be a plain function, not async: it's called in a thread of its own")
    return callback


def _read_store(store: Any) -> TokenStore | None:
    if store is None:
        return None
    if isinstance(store, type) or not isinstance(store, TokenStore):
        raise ConfigurationError("store must be an object with load, save, delete and lock, such as MemoryTokenStore()")
    for name in ("load", "save", "delete", "lock"):
        if inspect.iscoroutinefunction(getattr(store, name)):
            raise ConfigurationError(f"store.{name} must be a plain method, not async: it's called in a thread")
    return store


def _read_field_parameters(parameters: Any) -> FieldParameters:
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping) or not all(isinstance(name, str) for name in parameters):
        raise ConfigurationError("field_parameters must be a mapping of field names to values")
    build_token_request("", None, parameters)
    return dict(parameters)


def _read_statuses(statuses: Any) -> tuple[int, ...]:
    try:
        read = tuple(statuses)
    except TypeError:
        raise ConfigurationError(f"rejection_statuses must be a sequence of statuses: ({statuses!r},)") from None
    if not all(isinstance(status, int) and 300 <= status <= 599 for status in read):
        raise ConfigurationError(f"rejection_statuses must be HTTP statuses such as (401, 403), not {read!r}")
    return read


def derive_store_key(settings: Settings, grant_type: str, token_url: str, client_id: str, subject: str) -> str:
    """Return the key under which a token is stored: equal only for what must get equal tokens.

    Field parameters distinguish audiences and tenants, so they count; their values may be secret, so it's a digest.
    """
    parameters = sorted((name, repr(value)) for name, value in settings.field_parameters.items())
    scope = sorted((settings.scope or "").split())
    parts = json.dumps([token_url, client_id, grant_type, subject, scope, parameters])
    return hashlib.sha256(parts.encode()).hexdigest()
