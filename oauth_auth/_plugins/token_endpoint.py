"""The base of the auth classes that call a token endpoint: made from URLs, an issuer or the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from .._record import Record
from .._renewal.store_entry import StoreEntry
from .._server.calls import EndpointCalls
from .._server.client import Client
from .._server.grants import Grant, TokenCalls
from .._server.metadata import Endpoints
from .._wire.checks import require_text
from .._wire.urls import without_query
from ..errors import ConfigurationError
from .auth import TokenAuth
from .options import Settings, derive_store_key

__all__ = ["Location", "TokenEndpointAuth"]


class Location(Record):
    """Where the authorization server is: its token URL, or its issuer, whose metadata may name that URL."""

    token_url: str | None
    issuer: str | None = None


class TokenEndpointAuth(TokenAuth):
    """An auth object that calls a token endpoint."""

    _grant_type: ClassVar[str]
    _variables: ClassVar[Mapping[str, str]] = {}
    """What `from_env` reads for this class alone: the variable's name without its prefix, and the parameter's."""
    _endpoints: Endpoints

    @classmethod
    def from_issuer(cls, issuer: str, client_id: str, client_secret: str | None = None, **options: Any) -> Self:
        """Make one that takes the server's URLs from its metadata (RFC 8414, OpenID Discovery) when first needed.

        Options are those of the class; URLs among them, `token_url` included, override what the metadata says.
        """
        if issuer is None:
            raise ConfigurationError("issuer must be a URL as text, not NoneType")
        return cls._at(Location(options.pop("token_url", None), issuer), client_id, client_secret, **options)

    @classmethod
    def from_env(cls, prefix: str = "OAUTH_", **options: Any) -> Self:
        """Make one from environment variables; options override them.

        All classes read ISSUER or TOKEN_URL, CLIENT_ID, CLIENT_SECRET, SCOPE, REVOCATION_URL and STORE ("file:PATH",
        "keyring:" or "redis://…"), and some USERNAME, PASSWORD, REFRESH_TOKEN, AUTHORIZATION_URL, REDIRECT_URI and
        DEVICE_AUTHORIZATION_URL, each after the prefix. A variable whose name ends in _FILE names a file that holds
        the value; those of secret and password are read anew when the server refuses what was in them. Raises
        `ConfigurationError`, which names the variable.
        """
        from .environment import Environment, make_from_environment  # noqa: PLC0415 - few programs need to load it

        return make_from_environment(cls, Environment(prefix), cls._variables, options)

    @classmethod
    def _at(cls, location: Location, client_id: str, client_secret: str | None, **options: Any) -> Self:
        """Make one for a server at this location; the constructor takes a token URL only."""
        auth = cls.__new__(cls)
        auth._set_up(location, client_id, client_secret, **options)  # noqa: SLF001 - in place of __init__
        return auth

    def _set_up(self, location: Location, client_id: str, client_secret: str | None, **options: Any) -> None:
        """Do what the constructor does; `options` are those of the class."""
        raise NotImplementedError

    def _connect(
        self,
        location: Location,
        client_id: str,
        client_secret: str | None,
        settings: Settings,
        make_grant: Callable[[TokenCalls], Grant],
        *,
        subject: str = "",
        **urls: str | None,
    ) -> None:
        """Make the objects that call the server, from the inside out, and set up the auth object with them."""
        require_text("client_id", client_id, "the text that the authorization server issued")
        if client_secret is not None:
            require_text("client_secret", client_secret, "text that isn't empty, or None for a public client")
        transport = self._controller_class._make_transport(settings.token_client)  # noqa: SLF001 - of the package
        calls = EndpointCalls(transport, settings.renewal.token_timeout)
        token_url, issuer = location.token_url, location.issuer
        given = {"token_url": token_url, "revocation_url": settings.revocation_url, **urls}
        if issuer is None and token_url is None:
            raise ConfigurationError("token_url must be a URL as text, not NoneType")
        self._endpoints = Endpoints(given, issuer, calls, allow_insecure=settings.allow_insecure_transport)
        controller = self._controller_class._from_endpoints(self._endpoints)  # noqa: SLF001 - of the package
        client = Client(client_id, client_secret, settings.client_auth, self._endpoints)
        server_calls = TokenCalls(controller, self._endpoints, client, settings.scope, settings.field_parameters)
        entry = self._store_entry(settings, issuer or token_url or "", client_id, subject)
        self._take(settings, make_grant(server_calls), token=settings.token, entry=entry)

    def _store_entry(self, settings: Settings, server: str, client_id: str, subject: str) -> StoreEntry:
        if settings.store_key is None:
            return StoreEntry(settings.store, derive_store_key(settings, self._grant_type, server, client_id, subject))
        # The user's own key doesn't say whose token it is.
        return StoreEntry(settings.store, settings.store_key, {"server": without_query(server), "client_id": client_id})

    def _find_endpoint(self, name: str) -> str | None:
        """Return an endpoint's URL, or None if there's none; block to look it up. Raises `OAuthError`."""
        return self._endpoints.calls.run(self._endpoints.find(name))
