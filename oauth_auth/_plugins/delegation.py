"""What `TokenExchangeAuth` and `JwtBearerAuth` do with their subjects and assertions: checks, and grants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._wire.checks import require_text
from .._wire.token import digest
from ..errors import ConfigurationError
from .auth import TokenAuth

if TYPE_CHECKING:
    from .._renewal.source import TokenSource
    from .._server.grant import Grant
from .._server.grants import TokenCalls

__all__ = [
    "ACCESS_TOKEN",
    "depend_on_subjects",
    "make_exchange",
    "make_jwt_bearer",
    "name_of_assertion",
    "name_of_subjects",
]

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def name_of_subjects(own: Mapping[str, Any]) -> str:
    """Return what tells the tokens of these subjects from those of others. Raises `ConfigurationError`."""
    if own.get("subject_token") is None:
        raise ConfigurationError("subject_token must be text, the Path of a file, a function, or another auth object")
    for name in _TYPES:
        if own.get(name) is not None:
            require_text(name, own.get(name))
    names = [_name_of("subject_token", own.get("subject_token"), own)]
    if own.get("actor_token") is not None:
        names.append(_name_of("actor_token", own.get("actor_token"), own))
    return " ".join([*names, *(str(own[name]) for name in _TYPES if own.get(name))])


_TYPES = ("subject_token_type", "actor_token_type", "requested_token_type")


def name_of_assertion(own: Mapping[str, Any]) -> str:
    """Return what tells the tokens of this assertion from those of others. Raises `ConfigurationError`."""
    assertion = own.get("assertion")
    if assertion is None:
        raise ConfigurationError("assertion must be a JwtAssertion, text, the Path of a file, or a function")
    if hasattr(assertion, "field") and hasattr(assertion, "subject"):
        return f"{assertion.issuer} {assertion.subject} {assertion.name}"
    if isinstance(assertion, TokenAuth):
        raise ConfigurationError(
            "assertion can't be an auth object: exchange its token, with TokenExchangeAuth, or pass a function that "
            "returns the token, where the server takes it as an assertion"
        )
    return _name_of("assertion", assertion, own)


def _name_of(name: str, source: object, own: Mapping[str, Any]) -> str:
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


def _source_of(source: Any) -> Any:
    """Return a source as grants take it."""
    from .._server.delegated_grants import TokenOfAnother  # noqa: PLC0415 - few programs need it

    if isinstance(source, TokenAuth):
        return TokenOfAnother(source, can_renew=source._source.renews)  # noqa: SLF001 - of the package
    return source.absolute() if isinstance(source, Path) else source


def make_exchange(calls: TokenCalls, own: Mapping[str, Any]) -> Grant:
    """Return the grant of `TokenExchangeAuth`."""
    from .._server.delegated_grants import TokenExchangeGrant  # noqa: PLC0415 - few programs need it

    actor = own.get("actor_token")
    return TokenExchangeGrant(
        calls,
        subject=_source_of(own.get("subject_token")),
        subject_type=own.get("subject_token_type") or ACCESS_TOKEN,
        actor=None if actor is None else _source_of(actor),
        actor_type=own.get("actor_token_type") or ACCESS_TOKEN,
        requested_type=own.get("requested_token_type"),
    )


def depend_on_subjects(source: TokenSource, grant: Grant) -> None:
    """Have tokens end with the logins of the auth objects that they are made of."""
    from .._server.delegated_grants import TokenExchangeGrant, TokenOfAnother  # noqa: PLC0415 - few programs need it

    assert isinstance(grant, TokenExchangeGrant)  # noqa: S101 - see above
    for subject in (grant.subject, grant.actor):
        if isinstance(subject, TokenOfAnother) and isinstance(subject.auth, TokenAuth):
            subject.auth._source.add_dependent(source)  # noqa: SLF001 - of the package


def make_jwt_bearer(calls: TokenCalls, own: Mapping[str, Any]) -> Grant:
    """Return the grant of `JwtBearerAuth`."""
    from .._server.delegated_grants import JwtBearerGrant  # noqa: PLC0415 - few programs need it

    return JwtBearerGrant(calls, assertion=_source_of(own.get("assertion")))
