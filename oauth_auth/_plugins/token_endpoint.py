"""The base of the auth classes that call a token endpoint: made from URLs, an issuer or the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

from .._flight import attempt, run_async
from .._server.calls import EndpointCalls, Steps
from .._server.endpoints import Endpoints
from .._server.server_state import ServerState
from .._wire.checks import require_text
from .._wire.client_auth import NoClient
from .._wire.token import OAuthToken, digest
from .._wire.urls import without_query
from ..errors import ConfigurationError, OAuthError
from .auth import TokenAuth
from .option_types import Generic
from .options import Settings, derive_store_key, read_options

if TYPE_CHECKING:
    from .._renewal.store_entry import StoreEntry
    from .._server.calls import TokenTransport
    from .._server.client import Client
    from .._server.grant import Grant
    from .._server.grants import TokenCalls
    from .environment import Environment
    from .option_types import EndpointParameters

__all__ = ["ServerAuth", "TokenEndpointAuth", "owner_of", "without_frames"]

_T = TypeVar("_T")
Parameters = TypeVar("Parameters")
OfEndpoint = TypeVar("OfEndpoint", bound="EndpointParameters[Any]")


class ServerAuth(TokenAuth, Generic[Parameters]):
    """An auth object that calls an authorization server; it's made of what a typed dictionary of its class has."""

    _variables: ClassVar[Mapping[str, str]] = {}
    """What `from_env` reads for this class alone: the variable's name without its prefix, and the parameter's."""
    _needed_variables: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Of each of these, one must be set."""
    _needs_client: ClassVar[bool] = False
    """Whether there must be a client."""
    _grant: Any

    @classmethod
    def _from_parameters(cls, parameters: Parameters) -> Self:
        """Make one in place of the constructor."""
        auth = cls.__new__(cls)
        auth._set_up(parameters)  # noqa: SLF001 - in place of __init__
        return auth

    @classmethod
    def _read_environment(cls, environment: str | Environment, options: Mapping[str, Any]) -> Self:
        """Make one of the options, and of variables for those that aren't given; None that is given is given.

        The environment may be a prefix.
        """
        from .environment import Environment, Wanted, make_from_environment  # noqa: PLC0415 - few programs need it

        if not isinstance(environment, Environment):
            environment = Environment(environment)
        wanted = Wanted(cls._environment_names(), cls._needed_variables, cls._needs_client)
        make = cast("Callable[[dict[str, Any]], Self]", cls._from_parameters)
        return make_from_environment(make, environment, wanted, options)

    @classmethod
    def _environment_names(cls) -> dict[str, str]:
        """Return the parameters by the variables that are read for them."""
        from .environment import variables_of  # noqa: PLC0415 - as above

        return variables_of(cls._variables)

    def _set_up(self, parameters: Parameters) -> None:
        """Make the objects that call the server, from the inside out, and take them.

        What isn't among the parameters has its default.
        """
        raise NotImplementedError

    @property
    def _calls(self) -> EndpointCalls:
        """What sends the calls."""
        raise NotImplementedError

    def _wrap_transport(self, wrap: Callable[[TokenTransport], TokenTransport]) -> None:
        """Have the calls go through what is made of their transport."""
        self._calls.transport = wrap(self._calls.transport)

    def _find_endpoint(self, name: str) -> str | None:
        """Return an endpoint's URL, or None if there's none; block to look it up. Raises `OAuthError`."""
        raise NotImplementedError

    def introspect(self, token: str | OAuthToken | None = None) -> Mapping[str, Any]:
        """Return what the server tells about a token (RFC 7662): by default the object's own, which may be fetched.

        `active` says whether it's good. Needs `introspection_url`, or an issuer whose metadata has it. Raises
        `ConfigurationError`, and `TokenError` if the server can't be asked.
        """
        if token is None:
            token = self.get_token()
        steps = self._grant.introspect(_text_of(token))
        del token  # an error comes from a frame that holds no secret
        return self._ask_server(steps)

    async def aintrospect(self, token: str | OAuthToken | None = None) -> Mapping[str, Any]:
        """Return what the server tells about a token without blocking the event loop, see `introspect`."""
        if token is None:
            token = (await run_async(self._source.obtain())).token
        steps = self._grant.introspect(_text_of(token))
        del token
        return await self._ask_server_async(steps)

    def _ask_server(self, steps: Steps[_T]) -> _T:
        """Return what the steps return; see `without_frames`."""
        return self._calls.run(without_frames(steps))

    async def _ask_server_async(self, steps: Steps[_T]) -> _T:
        """Return what the steps return, without blocking the event loop."""
        outcome: Any = await attempt(partial(self._ask_server, steps)).wait_async()
        result: _T = outcome.unwrap()
        return result


class TokenEndpointAuth(ServerAuth[OfEndpoint]):
    """An auth object that calls a token endpoint."""

    _needed_variables = (("ISSUER", "TOKEN_URL"),)
    _needs_client = True
    _grant_type: ClassVar[str]
    _own_urls: ClassVar[tuple[str, ...]] = ()
    """The parameters of this class that are URLs of the server, too."""
    _endpoints: Endpoints
    _client: Client

    @classmethod
    def _from_issuer(cls, parameters: OfEndpoint) -> Self:
        if parameters["issuer"] is None:
            raise ConfigurationError("issuer must be a URL as text, not NoneType")
        return cls._from_parameters(parameters)

    @property
    def _calls(self) -> EndpointCalls:
        return self._endpoints.calls

    def _set_up(self, parameters: OfEndpoint) -> None:
        given: Mapping[str, Any] = parameters
        settings = read_options(given)
        from .._server.client import Client  # noqa: PLC0415 - `load_for_flights` has loaded it, as below
        from .._server.grants import TokenCalls  # noqa: PLC0415

        token_url, issuer, client_id, client_secret = map(
            given.get, ("token_url", "issuer", "client_id", "client_secret")
        )
        subject = self._check_own(parameters, has_issuer=issuer is not None)
        client_auth = settings.client_auth
        if client_id is None and not self._needs_client:
            if client_secret is not None or client_auth is not None:
                raise ConfigurationError("a client that proves itself needs a client_id: pass it")
            client_id, client_auth = "", NoClient()
        else:
            client_id = require_text("client_id", client_id, "the text that the authorization server issued")
        if client_secret is not None:
            require_text("client_secret", client_secret, "text that isn't empty, or None for a public client")
        transport = self._controller_class._make_transport(settings.token_client, settings.certificate)  # noqa: SLF001 - of the package
        insecure = settings.allow_insecure_transport
        calls = EndpointCalls(transport, settings.renewal.token_timeout, settings.hooks, ServerState(issuer))
        urls = {name: given.get(name) for name in ("token_url", "revocation_url", "introspection_url", *self._own_urls)}
        if issuer is None and token_url is None:
            raise ConfigurationError("token_url must be a URL as text, not NoneType")
        shows_certificate = settings.certificate is not None
        self._endpoints = Endpoints(urls, issuer, calls, allow_insecure=insecure, shows_certificate=shows_certificate)
        controller = self._controller_class._from_endpoints(self._endpoints)  # noqa: SLF001 - of the package
        self._client = Client(client_id, client_secret, client_auth, self._endpoints)
        server_calls = TokenCalls(
            controller,
            self._endpoints,
            self._client,
            settings.scope,
            settings.field_parameters,
            settings.binding,
            settings.details,
        )
        entry = self._store_entry(settings, issuer or token_url or "", client_id, subject)
        self._grant = self._make_grant(server_calls, settings, parameters)
        self._take(settings, self._grant, token=settings.token, entry=entry)

    def _check_own(self, own: OfEndpoint, *, has_issuer: bool) -> str:
        """Check the parameters that only this class has; return what tells its tokens from those of other users."""
        return ""

    def _make_grant(self, calls: TokenCalls, settings: Settings, own: OfEndpoint) -> Grant:
        """Return the grant, made of the parameters that only this class has."""
        raise NotImplementedError

    def _store_entry(self, settings: Settings, server: str, client_id: str, subject: str) -> StoreEntry:
        from .._renewal.store_entry import StoreEntry  # noqa: PLC0415 - as above

        if settings.store_key is None:
            return StoreEntry(settings.store, derive_store_key(settings, self._grant_type, server, client_id, subject))
        owner = owner_of(settings, server, client_id)
        if not client_id and subject:
            owner["subject"] = digest(subject)
        return StoreEntry(settings.store, settings.store_key, owner)

    def _find_endpoint(self, name: str) -> str | None:
        """Return an endpoint's URL, or None if there's none; block to look it up. Raises `OAuthError`."""
        return self._endpoints.calls.run(self._endpoints.find(name))

    def _describe(self) -> dict[str, object]:
        server = self._endpoints.issuer or self._endpoints.given.get("token_url", "")
        return {"server": without_query(server), "client_id": self._client.client_id}


def owner_of(settings: Settings, server: str, client_id: str) -> dict[str, str]:
    """Return whose tokens are kept under a key of the user's own, which doesn't say so."""
    bound = {} if settings.binding is None else {"dpop": settings.binding.name}
    return {"server": without_query(server), "client_id": client_id, **bound}


def without_frames(steps: Steps[_T]) -> Steps[_T]:
    """Do the steps; an error comes from a frame that holds none of what they know: neither code, verifier nor key."""
    failure = None
    try:
        result = yield from steps
    except OAuthError as error:
        failure = error.without_traceback()
    if failure is not None:
        raise failure
    return result


def _text_of(token: object) -> str:
    """Return the text of a token. Raises `ConfigurationError` for anything else."""
    return require_text("token", token.access_token if isinstance(token, OAuthToken) else token)
