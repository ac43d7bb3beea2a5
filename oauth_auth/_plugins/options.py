"""The options of auth objects: what constructors and factories take, and the checks at construction."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .._lazy import loading
from .._record import Record
from .._server.calls import TokenHooks
from .._wire.checks import require_flag, require_seconds, require_text
from .._wire.client_auth import ClientAuthentication
from .._wire.messages import join_scope
from .._wire.token import OAuthToken
from .._wire.token_request import FieldParameters, TokenRequest, build_token_request
from .._wire.urls import check_resource, read_origins
from ..errors import ConfigurationError
from ..stores import TokenStore
from . import option_types
from .option_types import DEFAULTS

__all__ = [
    "PLUGINS",
    "Settings",
    "check_callback",
    "derive_store_key",
    "family_of",
    "read_options",
    "takes_options",
]

PLUGINS = frozenset({"requests", "niquests", "httpx", "httpx2", "aiohttp"})
"""The HTTP libraries that there are plug-ins for."""

if TYPE_CHECKING:
    from .._keys.certificate import ClientCertificate
    from .._keys.dpop import Binding
    from .._renewal.decisions import RenewalSettings

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OF_A_CLIENT = "certificates and proxies are your own client's business: pass token_client=, a client with this option"
_HINTS = {
    **dict.fromkeys(("verify", "cert", "proxies", "proxy"), _OF_A_CLIENT),
    **dict.fromkeys(("session", "client"), "did you mean 'token_client'?"),
    "timeout": "did you mean 'token_timeout'?",
}
"""What to write instead of options that people know from HTTP libraries."""


class Settings(Record):
    """The options of one auth object, checked."""

    renewal: RenewalSettings
    scope: str | None
    field_parameters: FieldParameters
    targets: FieldParameters
    """Audience and resource as fields: `field_parameters` has them, too, unless it overrides them."""
    details: FieldParameters
    """The authorization details as a field of the requests that ask for something new."""
    offline_access: bool | None
    client_auth: ClientAuthentication | None
    binding: Binding | None
    certificate: ClientCertificate | None
    token: OAuthToken | None
    store: TokenStore | None
    store_key: str | None
    token_request_hook: Callable[[TokenRequest], TokenRequest] | None
    token_response_hook: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None
    token_client: Any
    allowed_origins: frozenset[str] | None
    allow_insecure_transport: bool
    rejection_statuses: tuple[int, ...]
    steps_up: bool
    """Whether a user logs in again where an API asks for that (RFC 9470)."""

    @property
    def hooks(self) -> TokenHooks:
        """What the user's code does with each token call."""
        return TokenHooks(self.token_request_hook, self.token_response_hook, self.allow_insecure_transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def takes_options(function: _Function) -> _Function:
    """Have a constructor or factory show the options that it takes, and refuse others.

    They are those of the typed dictionary that its `**options` is annotated with. `ConfigurationError` says what to
    write in place of one that there isn't; `TypeError` that the class was given in place of an object, where an HTTP
    library calls it with a request.
    """
    signature = _signature_of(function)
    known = frozenset(signature.parameters)

    @functools.wraps(function)
    def checked(*args: Any, **options: Any) -> Any:
        if not known.issuperset(options):
            _refuse_unknown(options, known, getattr(args[0], "_needless", {}))
        if len(args) > 1 and type(args[1]).__module__.partition(".")[0] in PLUGINS:
            name = type(args[0]).__name__
            raise TypeError(f"the class {name} was given in place of an object: write {name}(…), with its options")
        return function(*args, **options)

    checked.__signature__ = signature  # type: ignore[attr-defined]
    del checked.__wrapped__  # whose source has other parameters: Sphinx would take their defaults from it
    return cast("_Function", checked)


def family_of(function: Callable[..., Any]) -> type:
    """Return the typed dictionary of the options that a constructor or factory takes."""
    kind = function.__annotations__["options"].removeprefix("Unpack[")
    family: type = getattr(option_types, kind.partition("[")[0].rstrip("]"))
    return family


def _signature_of(function: Callable[..., Any]) -> inspect.Signature:
    named = list(inspect.signature(function).parameters.values())[:-1]
    taken = [one for kind in family_of(function).__mro__ for one in _parameters_of(kind)]
    return inspect.Signature([*named, *taken], return_annotation=function.__annotations__["return"])


@functools.cache
def _parameters_of(kind: type) -> tuple[inspect.Parameter, ...]:
    """Return the parameters that a typed dictionary adds to those of its bases."""
    found = []
    for name, annotation in inspect.get_annotations(kind).items():
        required = annotation.removeprefix("Required[")
        is_required = required != annotation
        default = inspect.Parameter.empty if is_required else DEFAULTS.get(name)
        text = required.removesuffix("]") if is_required else annotation
        found.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=text))
    return tuple(found)


def _refuse_unknown(options: Mapping[str, Any], parameters: frozenset[str], needless: Mapping[str, str]) -> None:
    known = sorted(parameters - {"self", "cls"})
    name = next(name for name in options if name not in known)
    if name in needless:
        raise ConfigurationError(f"{name} would do nothing here: {needless[name]}; leave it out")
    import difflib  # noqa: PLC0415 - only this message needs it

    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    raise ConfigurationError(f"unknown option {name!r}: {_HINTS.get(name, hint)}")


_OF_FLIGHTS = (
    "oauth_auth._renewal.source",
    "oauth_auth._server.grants",
    "oauth_auth._plugins.trouble",
    "html",
    "urllib.request",
    "email.utils",
)


def load_for_flights() -> None:
    """Import what flights need and the plug-ins' import leaves out, before there's an object, and so a flight.

    An import that's under way in one thread while another forks never ends in the child, which then waits for it.
    """
    with loading:
        for name in _OF_FLIGHTS:
            if name not in sys.modules:
                with suppress(ImportError, OSError):  # the program may have given up its rights to read files
                    importlib.import_module(name)


def read_options(options: Mapping[str, Any]) -> Settings:
    """Check the options that all classes share; one that isn't given has its default, and others are left aside.

    Raises `ConfigurationError` with a text that says what to write instead.
    """
    token, store_key = options.get("token"), options.get("store_key")
    if token is not None and not isinstance(token, OAuthToken):
        raise ConfigurationError(f"token must be an OAuthToken, not {type(token).__name__}: OAuthToken(access_token=…)")
    if store_key is not None:
        require_text("store_key", store_key, "text that isn't empty, or None to derive one")
    client_auth = options.get("client_auth")
    if client_auth is not None and (isinstance(client_auth, type) or not hasattr(client_auth, "authenticate")):
        raise ConfigurationError("client_auth must be an object such as ClientSecretPost(): mind the parentheses")
    insecure = require_flag("allow_insecure_transport", _given(options, "allow_insecure_transport"))
    offline_access = options.get("offline_access")
    if offline_access is not None:
        require_flag("offline_access", offline_access)
    targets = {name: _read_target(name, options.get(name)) for name in ("audience", "resource")}
    targets = {name: value for name, value in targets.items() if value}
    return Settings(
        renewal=_read_renewal(options),
        scope=join_scope(options.get("scope")),
        field_parameters={**targets, **_read_field_parameters(options.get("field_parameters"))},
        targets=targets,
        details=_read_details(options.get("authorization_details")),
        offline_access=offline_access,
        client_auth=client_auth,
        binding=_read_dpop(options.get("dpop"), has_token=token is not None),
        certificate=_read_certificate(options.get("client_certificate"), options.get("token_client")),
        token=token,
        store=_read_store(options.get("store")),
        store_key=store_key,
        token_request_hook=check_callback("token_request_hook", options.get("token_request_hook")),
        token_response_hook=check_callback("token_response_hook", options.get("token_response_hook")),
        token_client=options.get("token_client"),
        allowed_origins=read_origins(options.get("allowed_origins"), allow_insecure=insecure),
        allow_insecure_transport=insecure,
        rejection_statuses=_read_statuses(_given(options, "rejection_statuses")),
        steps_up=require_flag("step_up", _given(options, "step_up")),
    )


def _given(options: Mapping[str, Any], name: str) -> Any:
    return options.get(name, DEFAULTS[name])


def _read_dpop(dpop: object, *, has_token: bool) -> Binding | None:
    """Return which keys tokens are bound to; None if to none."""
    if dpop is None or dpop is False:
        return None
    from .._keys.dpop import Binding, prepare  # noqa: PLC0415 - most programs need no keys

    if dpop is True:
        if has_token:
            raise ConfigurationError("dpop=True can't be used with token=, whose key nobody knows: pass its DPoPKey")
        prepare()
        return Binding()
    if not (type(dpop).__name__ == "DPoPKey" and hasattr(dpop, "prover")):
        raise ConfigurationError(f"dpop must be True, or a DPoPKey, not {type(dpop).__name__}")
    return Binding(dpop)  # type: ignore[arg-type]


def _read_certificate(certificate: object, token_client: object) -> ClientCertificate | None:
    if certificate is None:
        return None
    if type(certificate).__name__ != "ClientCertificate" or not hasattr(certificate, "ssl_context"):
        raise ConfigurationError(
            f"client_certificate must be a ClientCertificate, not {type(certificate).__name__}: "
            "write ClientCertificate(certificate, private_key) with the files' paths"
        )
    if token_client is not None:
        raise ConfigurationError(
            "client_certificate can't be used with token_client: leave one of them out; "
            "a client of your own shows the certificate that it's configured with"
        )
    return certificate  # type: ignore[return-value]


def _read_details(details: Any) -> FieldParameters:
    """Return authorization details as a field (RFC 9396 section 2); none for None."""
    if details is None:
        return {}
    if isinstance(details, Mapping | str | bytes) or not isinstance(details, Iterable):
        raise ConfigurationError("authorization_details must be a list of mappings with a 'type' each (RFC 9396)")
    read = list(details)
    for one in read:
        if not isinstance(one, Mapping) or not isinstance(one.get("type"), str) or not one["type"]:
            raise ConfigurationError("each of the authorization_details must be a mapping with a 'type' (RFC 9396)")
    if not read:
        raise ConfigurationError("authorization_details is empty: name some, or leave it out")
    try:
        return {"authorization_details": json.dumps([dict(one) for one in read])}
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError("authorization_details must be what JSON can carry") from None


def _read_target(name: str, value: Any) -> str | list[str]:
    """Return one text, or a list of several; empty for none."""
    if value is None:
        return ""
    if isinstance(value, bytes) or not isinstance(value, Iterable):
        raise ConfigurationError(f"{name} must be text, or an iterable of texts, not {type(value).__name__}")
    texts = [value] if isinstance(value, str) else list(value)
    check = check_resource if name == "resource" else functools.partial(require_text, "audience")
    texts = [check(text) for text in texts]
    return texts[0] if len(texts) == 1 else texts


def _read_renewal(options: Mapping[str, Any]) -> RenewalSettings:
    from .._renewal.decisions import RenewalSettings  # noqa: PLC0415 - `load_for_flights` has loaded it

    seconds = {
        name: require_seconds(name, _given(options, name), DEFAULTS[name], is_positive=name == "token_timeout")
        for name in ("leeway", "refresh_window", "token_timeout")
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
        if isinstance(store, str | os.PathLike):
            raise ConfigurationError(
                "store must be an object, not a path: write FileTokenStore(…) with the folder's path"
            )
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
    bound = [] if settings.binding is None else [settings.binding.name]
    details = list(settings.details.values())
    parts = json.dumps([token_url, client_id, grant_type, subject, scope, parameters, *bound, *details])
    return hashlib.sha256(parts.encode()).hexdigest()
