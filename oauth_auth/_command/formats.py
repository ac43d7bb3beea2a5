"""What the command prints: a token, and what is known of one. Pure."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from .._wire.token import OAuthToken, id_claims
from ..errors import ConfigurationError

__all__ = ["STATUS_FORMATS", "TOKEN_FORMATS", "describe", "exec_credential", "format_status", "format_token", "user_of"]

_EXEC_GROUP = "client.authentication.k8s.io"
_EXEC_VERSIONS = (f"{_EXEC_GROUP}/v1", f"{_EXEC_GROUP}/v1beta1")
_USER_CLAIMS = ("preferred_username", "email", "name", "sub")
"""The claims that name the user (OpenID Connect Core section 5.1), best first."""


def _text(token: OAuthToken) -> str:
    return token.access_token


def _header(token: OAuthToken) -> str:
    return f"Authorization: {token.authorization}"


def _json(token: OAuthToken) -> str:
    fields = {"access_token": token.access_token, "token_type": token.token_type}
    return json.dumps({**fields, "expires_at": _unix_time(token), "scope": token.scope})


_TOKEN_WRITERS: dict[str, Callable[[OAuthToken], str]] = {"text": _text, "header": _header, "json": _json}
TOKEN_FORMATS = (*_TOKEN_WRITERS, "exec-credential")
STATUS_FORMATS = ("text", "json")


def format_token(token: OAuthToken, kind: str, exec_info: str | None) -> str:
    """Return what is printed of a token; `exec_info` is what the variable `KUBERNETES_EXEC_INFO` holds.

    Raises `ConfigurationError` if that can't be answered.
    """
    return exec_credential(token, exec_info) if kind == "exec-credential" else _TOKEN_WRITERS[kind](token)


def exec_credential(token: OAuthToken, exec_info: str | None) -> str:
    """Return Kubernetes' `ExecCredential`, in the version that's asked for; without a time if none is known."""
    version = _EXEC_VERSIONS[0] if not exec_info else _asked_version(exec_info)
    status: dict[str, Any] = {"token": token.access_token}
    expires_at = _unix_time(token)
    if expires_at is not None and (moment := _rfc3339(expires_at)) is not None:
        status["expirationTimestamp"] = moment
    return json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})


def _asked_version(exec_info: str) -> str:
    try:
        fields = json.loads(exec_info)
    except (ValueError, RecursionError):
        fields = None
    version = fields.get("apiVersion") if isinstance(fields, dict) else None
    if version not in _EXEC_VERSIONS:
        raise ConfigurationError(f"KUBERNETES_EXEC_INFO must ask for apiVersion {' or '.join(_EXEC_VERSIONS)}")
    return str(version)


def _unix_time(token: OAuthToken) -> int | None:
    """Return when a token expires, in whole seconds, rather too early than too late."""
    return None if token.expiry is None else math.floor(token.expiry)


def _rfc3339(moment: int) -> str | None:
    try:
        return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # beyond the year 9999
        return None


def format_status(token: OAuthToken, about: Mapping[str, str | None]) -> str:
    """Return a token's state as JSON; `about` is what is known of it besides."""
    names = ("issuer", "client_id", "user", "scope", "store")
    known = {name: about[name] for name in about if name not in names} | {name: about.get(name) for name in names}
    known["scope"] = token.scope or known["scope"]
    return json.dumps({**known, "expires_at": _unix_time(token)})


def user_of(token: OAuthToken) -> str | None:
    """Return the user that the token's ID token names, or None."""
    claims = id_claims(token)
    found = [claims.get(name) for name in _USER_CLAIMS]
    return next((name for name in found if isinstance(name, str) and name and name.isprintable()), None)


def describe(token: OAuthToken, now: float) -> list[str]:
    """Return lines about a token's scope and lifetime, at a moment in Unix time."""
    lines = []
    if token.scope:
        lines.append(f"Scope: {token.scope}")
    if token.expiry is not None:
        left = token.expiry - now
        lines.append(f"The access token expires in {_shown(left)}." if left > 0 else "The access token has expired.")
    if token.refresh_token is not None:
        lines.append("It's renewed when needed.")
    return lines


def _shown(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
