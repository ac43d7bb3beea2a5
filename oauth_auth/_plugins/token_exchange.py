"""The auth class for tokens that are made of other tokens, and what can be given for one of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from .._server.grant import Grant
from .._server.grants import TokenCalls
from .._wire.checks import require_text
from .._wire.token import digest
from ..errors import ConfigurationError
from .auth import TokenAuth
from .option_types import ACCESS_TOKEN, HTTPClient
from .options import Settings, takes_options
from .token_endpoint import TokenEndpointAuth

if TYPE_CHECKING:
    from .option_types import AuthObject, TokenExchangeOptions, TokenExchangeParameters

__all__ = ["TokenExchange", "name_of_source", "source_of"]

_TYPES: TokenExchangeOptions[Any] = {"subject_token_type": ACCESS_TOKEN, "actor_token_type": ACCESS_TOKEN}
"""Part of the key that tokens are stored under, but for objects that are made from the environment."""


class TokenExchange(TokenEndpointAuth["TokenExchangeParameters[HTTPClient]"]):
    """Authorize requests with tokens that are exchanged for others, as a service acts for its caller (RFC 8693).

    Renewed with a refresh token if one came, else by exchanging again. A token that an API rejects is exchanged anew,
    and the subject left alone; a subject that the exchange refuses is renewed once, if it's an auth object's.
    """

    _grant_type = "token-exchange"

    @takes_options
    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        subject_token: str | Path | Callable[[], str] | AuthObject,
        **options: Unpack[TokenExchangeOptions[HTTPClient]],
    ) -> None:
        """Take the options; nothing is sent before a token is needed. Raises `ConfigurationError`."""
        self._set_up(
            {
                "issuer": None,
                "token_url": token_url,
                "client_id": client_id,
                "client_secret": client_secret,
                "subject_token": subject_token,
                **_TYPES,
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
        subject_token: str | Path | Callable[[], str] | AuthObject,
        token_url: str | None = None,
        **options: Unpack[TokenExchangeOptions[HTTPClient]],
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
                "subject_token": subject_token,
                **_TYPES,
                **options,
            }
        )

    @classmethod
    @takes_options
    def from_env(cls, prefix: str = "OAUTH_", **options: Unpack[TokenExchangeParameters[HTTPClient]]) -> Self:
        """Make one from environment variables; options override them.

        It reads what `ClientCredentialsAuth.from_env` reads. Raises `ConfigurationError`, which names the variable.
        """
        return cls._read_environment(prefix, options)

    def _make_grant(self, calls: TokenCalls, settings: Settings, own: TokenExchangeParameters[Any]) -> Grant:
        from .._server.delegated_grants import TokenExchangeGrant  # noqa: PLC0415 - not before there's an object

        actor = own.get("actor_token")
        return TokenExchangeGrant(
            calls,
            subject=source_of(own["subject_token"]),
            subject_type=own.get("subject_token_type") or ACCESS_TOKEN,
            actor=None if actor is None else source_of(actor),
            actor_type=own.get("actor_token_type") or ACCESS_TOKEN,
            requested_type=own.get("requested_token_type"),
        )

    def _prepare(self) -> None:
        """Set what isn't pickled; have tokens end with the logins of the auth objects that they are made of."""
        super()._prepare()
        from .._server.delegated_grants import TokenExchangeGrant, TokenOfAnother  # noqa: PLC0415 - see above

        assert isinstance(self._grant, TokenExchangeGrant)  # noqa: S101 - see above
        for subject in (self._grant.subject, self._grant.actor):
            if isinstance(subject, TokenOfAnother) and isinstance(subject.auth, TokenAuth):
                subject.auth._source.add_dependent(self._source)  # noqa: SLF001 - of the package

    def _check_own(self, own: TokenExchangeParameters[Any], *, has_issuer: bool) -> str:
        """Return what tells the tokens of these subjects from those of others."""
        subject, actor = own.get("subject_token"), own.get("actor_token")
        if subject is None:
            raise ConfigurationError(
                "subject_token must be text, the Path of a file, a function, or another auth object"
            )
        types = [own.get("subject_token_type"), own.get("actor_token_type"), own.get("requested_token_type")]
        for name, kind in zip(("subject_token_type", "actor_token_type", "requested_token_type"), types, strict=True):
            if kind is not None:
                require_text(name, kind)
        names = [name_of_source("subject_token", subject, own)]
        if actor is not None:
            names.append(name_of_source("actor_token", actor, own))
        return " ".join([*names, *(kind for kind in types if kind)])


def name_of_source(name: str, source: object, own: Mapping[str, Any]) -> str:
    """Check a source, and return a text that's equal only for what comes from the same one."""
    if isinstance(source, str):
        return digest(require_text(name, source))
    if isinstance(source, Path):
        return str(source.absolute())
    store = own.get("store")
    # Elsewhere its key doesn't tell users apart: those that log in have all the same one.
    if isinstance(source, TokenAuth) and store is not None and source._store is store:  # noqa: SLF001 - of the package
        return source._store_key  # noqa: SLF001
    if not isinstance(source, TokenAuth) and (isinstance(source, type) or not callable(source)):
        kinds = "text, the Path of a file, a function" + ("" if name == "assertion" else ", or another auth object")
        raise ConfigurationError(f"{name} must be {kinds}, not {type(source).__name__}")
    if store is not None and own.get("store_key") is None:
        raise ConfigurationError(f"no key can be derived for this {name}: give a store_key with the store")
    return ""


def source_of(source: Any) -> Any:
    """Return a source as grants take it."""
    from .._server.delegated_grants import TokenOfAnother  # noqa: PLC0415 - few programs need it

    if isinstance(source, TokenAuth):
        return TokenOfAnother(source, can_renew=source._source.renews)  # noqa: SLF001 - of the package
    return source.absolute() if isinstance(source, Path) else source
