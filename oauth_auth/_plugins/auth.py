"""The methods of all auth objects: to get, refresh and revoke a token, and to close the object."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .._flight import Step, run, run_async
from .._lazy import loading
from .._wire.challenges import Kind, replay_statuses, telling_statuses
from .._wire.token import Credential, OAuthToken
from .answers import Rules
from .options import PLUGINS, Settings, load_for_flights
from .origins import Origins, Proofs
from .replacing import Parts

if TYPE_CHECKING:
    from .._renewal.source import TokenSource
    from .._renewal.store_entry import StoreEntry
    from .._server.grant import Grant
    from .._server.operations import OAuthAuthorizationController

__all__ = ["AsyncTokens", "TokenAuth", "auth_classes"]

_NOTHING: frozenset[Kind] = frozenset()
_OF_A_LOGIN = frozenset({Kind.LOGIN})
_OUR_MODULES = frozenset(f"oauth_auth.{library}" for library in PLUGINS)


class TokenAuth:
    """The base of all auth objects. Safe to share between threads, tasks and event loops.

    Copies and deep copies share everything with the original, its renewals included. A pickled one has the token, and
    its own way from there.
    """

    _controller_class: ClassVar[type[OAuthAuthorizationController]]
    _momentary: ClassVar[frozenset[str]] = frozenset({"_origins", "_parts", "_proofs", "_replaying", "_telling"})
    """The attributes that `_prepare` sets."""
    _needless: ClassVar[Mapping[str, str]] = {}
    """The options of other classes that would do nothing here, and why."""
    _reach: str | None = None
    """The resource that the token stays in, where a request goes without one until that demands it."""
    _source: TokenSource

    if not TYPE_CHECKING:  # with it, type checkers would take any argument, and let any name be set

        def __new__(cls, *args: object, **options: object) -> Self:  # noqa: ARG004 - the constructor's
            """Have there be what flights need: a pickle would name it one by one, and a fork not wait for that."""
            load_for_flights()
            return super().__new__(cls)

        def __setattr__(self, name: str, value: object) -> None:
            """Set an attribute that there is; an object of a class of ours has no others, but a subclass's may."""
            if type(self).__module__ in _OUR_MODULES and not name.startswith("_") and not hasattr(type(self), name):
                raise AttributeError(
                    f"{type(self).__name__} has no attribute {name!r} to set: options are given to the constructor"
                )
            super().__setattr__(name, value)

    def _take(self, settings: Settings, grant: Grant, *, token: OAuthToken | None, entry: StoreEntry) -> None:
        """Set the attributes from what the constructor has read."""
        from .._renewal.source import TokenSource  # noqa: PLC0415 - `load_for_flights` has loaded it

        self._scope, self._store = settings.scope, settings.store
        self._source = TokenSource(grant, settings.renewal, token=token, entry=entry)
        self._store_key = entry.key
        self._allowed_origins = settings.allowed_origins
        self._allow_insecure_transport = settings.allow_insecure_transport
        self._rejection_statuses = settings.rejection_statuses
        self._has_proofs = self._may_be_bound(settings)
        self._steps_up = self._demands_met(settings)
        self._shows_certificate = settings.certificate is not None
        self._prepare()

    def _may_be_bound(self, settings: Settings) -> bool:
        """Return whether there may be tokens that are bound to a key."""
        return settings.binding is not None

    def _demands_met(self, settings: Settings) -> frozenset[Kind]:
        """Return the demands of APIs, beyond a token, that a new authorization is to meet."""
        return _OF_A_LOGIN if settings.steps_up else _NOTHING

    def _prepare(self) -> None:
        """Set what isn't pickled: what's remembered of requests."""
        self._origins = Origins(self._allowed_origins, allow_insecure=self._allow_insecure_transport)
        self._proofs = Proofs() if self._has_proofs else None
        self._telling = telling_statuses(self._rejection_statuses, has_proofs=self._has_proofs)
        self._replaying = replay_statuses(
            self._rejection_statuses,
            has_proofs=self._has_proofs,
            steps_up=Kind.LOGIN in self._steps_up,
            widens_scope=Kind.SCOPE in self._steps_up,
        )
        rules = Rules(self._rejection_statuses, self._steps_up, self._has_proofs, self._source.renews, self._reach)
        self._parts = Parts(self._source, self._origins, self._proofs, rules)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self._momentary}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def _wrong_library(self, request: object) -> TypeError:
        """Return the error for a request of another library, which names the class to use with that."""
        library, name = type(request).__module__.partition(".")[0], type(self).__name__
        hint = f": use oauth_auth.{library}.{name}" if library in PLUGINS else ""
        return TypeError(f"{name} of {type(self).__module__} can't be used with a {type(request)}{hint}")

    def _obtain(self, request: Any) -> Generator[Step, Any, Credential | None]:
        """Return the credential to send a request with; None if it's to go without a token."""
        return self._source.obtain()

    def _is_repeatable(self, request: Any) -> bool:
        """Return whether a request that wasn't sent yet can be sent twice, with the same bytes."""
        raise NotImplementedError

    @property
    def token(self) -> OAuthToken | None:
        """The current token, or None if there is none yet; no I/O."""
        return self._source.token

    def get_token(self) -> OAuthToken:
        """Return a token that can be sent now, as a request would; block if one must be fetched.

        Raises `TokenError`.
        """
        return run(self._source.obtain()).token

    def refresh(self) -> OAuthToken:
        """Renew the token now, whatever its age, and return the new one; block meanwhile.

        Callers at the same time share one renewal; where a sibling on the same store has just renewed, its token is
        taken. Raises `TokenError`.
        """
        return run(self._source.renew()).token

    def revoke(self) -> None:
        """Revoke the token at the server (RFC 7009), the refresh token first, and forget it, in the store, too.

        It's forgotten whatever the server answers; then `OAuthError` is raised for what went wrong. Without a
        revocation URL it's only forgotten. Programs that share the store stop using this login at their next look into
        it, within the refresh window. The next request needs another token, for which the user may have to log in.
        """
        run(self._source.revoke())

    def close(self) -> None:
        """Wait for a renewal under way to end, and free what it used; save a token that couldn't be saved before.

        The object can be used again afterwards.
        """
        run(self._source.wait_idle())

    # For the command `oauth-auth`.

    def _log_in(self) -> OAuthToken:
        """Let the user log in, even if there is a valid token."""
        return run(self._source.log_in()).token

    @property
    def _has_unsaved(self) -> bool:
        """Whether the last token couldn't be saved in the store yet."""
        return self._source.has_unsaved

    def _stored_token(self) -> OAuthToken | None:
        """Return the newest token known, after a look into the store."""
        return self._source.check_store()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Share everything, as a connection pool would: some clients deep-copy their arguments for each request."""
        return copy.copy(self)

    def _describe(self) -> dict[str, object]:
        """Return what `repr` tells first: which server and client it's for."""
        return {}

    def __repr__(self) -> str:
        token, store = self.token, self._store
        # What another's store says of itself may hold a password.
        is_ours = type(store).__module__.startswith("oauth_auth.")
        told = {
            **self._describe(),
            "scope": self._scope,
            "store": store if store is None or is_ours else type(store),
            "expires": "no token yet" if token is None else _tell_expiry(token),
        }
        texts = ", ".join(f"{name}={value!r}" for name, value in told.items())
        return f"{type(self).__module__}.{type(self).__qualname__}({texts})"


def _tell_expiry(token: OAuthToken) -> str:
    if token.expiry is None:
        return "never"
    try:
        return dt.datetime.fromtimestamp(token.expiry, dt.UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # beyond what the system's dates can say
        return f"{token.expiry} s"


class AsyncTokens(TokenAuth):
    """The async methods, for libraries with async clients; for asyncio and trio."""

    async def aget_token(self) -> OAuthToken:
        """Return a token that can be sent now, as a request would. Raises `TokenError`."""
        return (await run_async(self._source.obtain())).token

    async def arefresh(self) -> OAuthToken:
        """Renew the token now, whatever its age, and return the new one. Raises `TokenError`."""
        return (await run_async(self._source.renew())).token

    async def arevoke(self) -> None:
        """Revoke the token and forget it, see `revoke`."""
        await run_async(self._source.revoke())

    async def aclose(self) -> None:
        """Close without blocking the event loop, see `close`."""
        await run_async(self._source.wait_idle())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


# -- The classes ----------------------------------------------------------------------------------------------------

_GRANTS = {
    "AuthorizationCodeAuth": ("authorization_code", "AuthorizationCode"),
    "BearerAuth": ("given", "Bearer"),
    "ClientCredentialsAuth": ("client_credentials", "ClientCredentials"),
    "DeviceCodeAuth": ("device", "DeviceCode"),
    "JwtBearerAuth": ("jwt_bearer", "JwtBearer"),
    "PasswordAuth": ("password", "Password"),
    "RefreshTokenAuth": ("refresh_token", "RefreshToken"),
    "ResourceAuth": ("resource_auth", "Resource"),
    "TokenExchangeAuth": ("token_exchange", "TokenExchange"),
    "TokenProviderAuth": ("given", "Provider"),
}
"""The modules, and in these the classes, of the grants that the auth classes of each plug-in are made of."""


def auth_classes(
    plugin: str, base: type[TokenAuth], *, of_resource: type[TokenAuth] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a plug-in, whose auth classes are made when they're first asked for.

    `base` is the plug-in's own for its library; a `ResourceAuth` may have another one.
    """
    module = sys.modules[plugin]

    def find(name: str) -> Any:
        if name not in _GRANTS:
            if name in sys.modules["oauth_auth"].__all__:
                raise ImportError(f"{name} isn't in {plugin}: write from oauth_auth import {name}")
            raise AttributeError(f"module {plugin!r} has no attribute {name!r}")
        with loading:
            chosen: type = of_resource if name == "ResourceAuth" and of_resource is not None else base
            auth_class = _make_class(plugin, name, chosen)
            setattr(module, name, auth_class)
        return auth_class

    def list_names() -> list[str]:
        return sorted({*module.__dict__, *module.__all__})

    return find, list_names


@functools.cache  # whoever replaces it for a while, as `mock.patch` does, deletes it from the module in the end
def _make_class(plugin: str, name: str, base: type) -> type:
    place, of_grant = _GRANTS[name]
    grant = getattr(importlib.import_module(f"{__package__}.{place}"), of_grant)
    return type(name, (grant, base), {"__module__": plugin, "__doc__": _Documentation(grant)})


class _Documentation:
    """The docstring of an auth class, with its arguments, which are put together when somebody reads it."""

    def __init__(self, grant: type) -> None:
        self._grant = grant

    def __get__(self, auth: object, auth_class: type) -> str | None:
        from . import option_docs, option_types  # noqa: PLC0415 - programs don't read it

        if self._grant.__doc__ is None:  # as Python leaves docstrings out if it's told to
            return None
        family = getattr(option_types, f"{self._grant.__name__}Parameters")
        return f"{inspect.cleandoc(self._grant.__doc__)}\n\n{option_docs.describe_arguments(self._grant, family)}\n"
