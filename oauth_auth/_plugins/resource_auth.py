"""The auth class of APIs that nobody has configured, and which requests its token goes with."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack
from urllib.parse import urlsplit

from .._flight import Step
from .._record import replace
from .._renewal.store_entry import StoreEntry
from .._server.calls import EndpointCalls, Steps
from .._wire.challenges import Kind
from .._wire.checks import require_encodable, require_text
from .._wire.client_auth import ClientSecretBasic, ClientSecretPost, PublicClient
from .._wire.identifiers import check_protected_resource, resource_key
from .._wire.token import Credential
from .._wire.urls import check_endpoint, check_issuer, origin_of, without_query
from ..errors import ConfigurationError
from .option_types import HTTPClient
from .options import Settings, derive_store_key, read_options, takes_options
from .token_endpoint import ServerAuth, owner_of

if TYPE_CHECKING:
    from .._server.calls import TokenTransport
    from .._server.resource_grant import ResourceGrant
    from .option_types import ResourceAuthOptions, ResourceParameters

__all__ = ["Resource"]


_PROOFS = ("client_secret", "client_assertion")
"""The fields that prove a client."""


_OF_A_USER = frozenset({Kind.LOGIN, Kind.SCOPE})
_OF_A_CLIENT = frozenset({Kind.SCOPE})


class Resource(ServerAuth["ResourceParameters[HTTPClient]"]):
    """Authorize requests to an API that says itself what it wants (RFC 9728), such as an MCP server.

    Its challenges tell which authorization server it has, and which scope a request needs; the client is registered
    there (RFC 7591), and the user logs in. A request within the resource goes with the token if there is one, else
    without, and only an answer that demands one leads to a login. Requests elsewhere go without.
    """

    _variables: ClassVar[Mapping[str, str]] = {
        "RESOURCE": "resource",
        "ISSUER": "issuer",
        "CLIENT_ID": "client_id",
        "CLIENT_SECRET": "client_secret",
        "CLIENT_METADATA_URL": "client_metadata_url",
        "SCOPE": "scope",
        "AUDIENCE": "audience",
        "REDIRECT_URI": "redirect_uri",
        "REVOCATION_URL": "revocation_url",
        "STORE": "store",
    }
    _needed_variables: ClassVar[tuple[tuple[str, ...], ...]] = (("RESOURCE",),)
    _grant: ResourceGrant

    @takes_options
    def __init__(self, resource: str, **options: Unpack[ResourceAuthOptions[HTTPClient]]) -> None:
        """Take the options; nothing is sent before a request needs it. Raises `ConfigurationError`."""
        self._set_up({"resource": resource, **options})

    @classmethod
    @takes_options
    def from_env(cls, prefix: str = "OAUTH_", **options: Unpack[ResourceParameters[HTTPClient]]) -> Self:
        """Make one from environment variables; options override them.

        It reads RESOURCE, ISSUER, CLIENT_ID, CLIENT_SECRET, CLIENT_METADATA_URL, SCOPE, AUDIENCE, REDIRECT_URI,
        REVOCATION_URL and STORE, each after the prefix, and those of keys: see `ClientCredentialsAuth.from_env`. Raises
        `ConfigurationError`, which names the variable.
        """
        return cls._read_environment(prefix, options)

    @classmethod
    def _environment_names(cls) -> dict[str, str]:
        return dict(cls._variables)

    def _set_up(self, parameters: ResourceParameters[HTTPClient]) -> None:
        from .._renewal.registrations import StoredRegistrations  # noqa: PLC0415 - few programs need them, as below
        from .._server.resource_grant import ResourceGrant  # noqa: PLC0415
        from .._server.surroundings import Surroundings  # noqa: PLC0415

        insecure = bool(parameters.get("allow_insecure_transport"))
        resource = check_protected_resource(parameters.get("resource"), allow_insecure=insecure)
        settings = read_options({**parameters, "resource": None})
        settings = replace(settings, allowed_origins=frozenset({str(origin_of(resource))}))
        options = _read_options(parameters, settings, resource)
        transport = self._controller_class._make_transport(settings.token_client, settings.certificate)  # noqa: SLF001 - of the package
        registrations = StoredRegistrations(settings.store, options.redirect_uri, options.client_metadata)
        surroundings = Surroundings(options, transport, settings.renewal.token_timeout, settings.hooks, registrations)
        self._grant = ResourceGrant(options, self._controller_class, surroundings, settings.token)
        self._reach = resource
        entry = _store_entry(settings, options)
        self._take(settings, self._grant, token=settings.token, entry=entry)

    def _may_be_bound(self, settings: Settings) -> bool:
        return True  # the resource may say that it wants such tokens

    def _demands_met(self, settings: Settings) -> frozenset[Kind]:
        options = self._grant.options
        if options.login is not None:
            return _OF_A_USER
        return _OF_A_CLIENT if options.is_service else super()._demands_met(settings)

    def _obtain(self, request: Any) -> Generator[Step, Any, Credential | None]:
        """Return the credential to send a request with, or None; what can't be sent again has the resource asked."""
        return self._source.offer(asks=not self._is_repeatable(request))

    @property
    def _calls(self) -> EndpointCalls:
        return self._grant.surroundings.calls

    def _wrap_transport(self, wrap: Callable[[TokenTransport], TokenTransport]) -> None:
        self._grant.surroundings.wrap_transport(wrap)

    def _find_endpoint(self, name: str) -> str | None:
        steps: Steps[str | None] = self._grant.find_endpoint(name)
        return self._calls.run(steps)

    def _describe(self) -> dict[str, object]:
        options = self._grant.options
        told: dict[str, object] = {"resource": options.resource}
        told |= {} if options.issuer is None else {"issuer": without_query(options.issuer)}
        return told | ({} if options.client_id is None else {"client_id": options.client_id})


def _read_options(parameters: ResourceParameters[Any], settings: Settings, resource: str) -> Any:
    """Return what the user has said of resource, server and client. Raises `ConfigurationError`."""
    from .._server.surroundings import ResourceOptions  # noqa: PLC0415

    client_id, secret = parameters.get("client_id"), parameters.get("client_secret")
    issuer, url = parameters.get("issuer"), parameters.get("client_metadata_url")
    login, redirect_uri = parameters.get("login"), parameters.get("redirect_uri")
    if client_id is not None:
        require_encodable("client_id", require_text("client_id", client_id, "the text that the server issued, or None"))
    if secret is not None:
        require_text("client_secret", secret, "text that isn't empty, or None for a public client")
    if issuer is not None:
        check_issuer(issuer, allow_insecure=settings.allow_insecure_transport)
    urls = {name: parameters.get(name) for name in ("revocation_url", "introspection_url")}
    for name, place in urls.items():
        if place is not None:
            check_endpoint(name, place, allow_insecure=settings.allow_insecure_transport)
    _check_client(client_id, secret, issuer, settings)
    if client_id is not None:
        method = settings.client_auth or (PublicClient() if secret is None else ClientSecretBasic())
        method.authenticate(client_id, secret)  # raises ConfigurationError before anybody logs in
    if url is not None:
        _check_client_metadata_url(url, client_id)
    _check_login(login, redirect_uri, parameters.get("authorization_parameters"))
    return ResourceOptions(
        resource=resource,
        login=login,
        client_id=client_id,
        client_secret=secret,
        issuer=issuer,
        client_metadata_url=url,
        client_metadata=_read_client_metadata(parameters.get("client_metadata")),
        redirect_uri=redirect_uri,
        scope=settings.scope,
        offline_access=settings.offline_access,
        field_parameters=settings.field_parameters,
        authorization_parameters=parameters.get("authorization_parameters") or {},
        targets=settings.targets,
        details=settings.details,
        client_auth=settings.client_auth,
        binding=settings.binding,
        shows_certificate=settings.certificate is not None,
        revocation_url=parameters.get("revocation_url"),
        introspection_url=parameters.get("introspection_url"),
        allow_insecure=settings.allow_insecure_transport,
        rejection_statuses=settings.rejection_statuses,
    )


def _check_client(client_id: object, secret: object, issuer: object, settings: Settings) -> None:
    """Raise `ConfigurationError` for a proof of the client without the server that it's for."""
    given = {
        "client_secret": secret is not None,
        "client_auth": not isinstance(settings.client_auth, PublicClient | ClientSecretBasic | ClientSecretPost | None),
        "client_certificate": settings.certificate is not None,
    }
    given |= {f"field_parameters[{name!r}]": name in settings.field_parameters for name in _PROOFS}
    name = next((name for name, is_given in given.items() if is_given), None)
    if name is None:
        return
    if client_id is None:
        raise ConfigurationError(f"{name} needs the client_id that it's for: pass it")
    if issuer is None:
        raise ConfigurationError(
            f"{name} needs issuer=, the server that it's for: else any API could name one of its own, and be sent it"
        )


def _check_client_metadata_url(url: object, client_id: object) -> None:
    if client_id is not None:
        raise ConfigurationError("client_metadata_url is the client's id itself: leave out client_id, or it")
    parts = urlsplit(check_endpoint("client_metadata_url", url, allow_insecure=True))
    if parts.scheme != "https" or parts.path in {"", "/"}:
        raise ConfigurationError("client_metadata_url must be an https URL with a path, where the document is")


def _check_login(login: object, redirect_uri: object, authorization_parameters: object) -> None:
    from ..login._context import DeviceLogin, check_login, check_parameters  # noqa: PLC0415 - few programs need them
    from ..login._request import check_redirect_uri  # noqa: PLC0415

    if login is not None and not isinstance(login, DeviceLogin):
        check_login(login)
    if redirect_uri is not None:
        check_redirect_uri(require_text("redirect_uri", redirect_uri, "the URL that users are redirected to, or None"))
    check_parameters(authorization_parameters)


def _read_client_metadata(metadata: object) -> Mapping[str, Any]:
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping) or not all(isinstance(name, str) for name in metadata):
        raise ConfigurationError("client_metadata must be a mapping of names to what JSON can carry (RFC 7591)")
    import json  # noqa: PLC0415 - few programs need it here

    try:
        json.dumps(dict(metadata))
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError("client_metadata must be what JSON can carry (RFC 7591 section 2)") from None
    return dict(metadata)


def _store_entry(settings: Settings, options: Any) -> StoreEntry:
    """Return where the token is kept: with what else finds it, from whichever program it comes."""
    resource, client = resource_key(options.resource), options.client_id or options.client_metadata_url or ""
    if settings.store_key is not None:
        return StoreEntry(settings.store, settings.store_key, owner_of(settings, resource, client))
    grant_type = "client_credentials" if options.is_service else "authorization_code"
    key = derive_store_key(settings, grant_type, resource, client, "resource")
    return StoreEntry(settings.store, key)
