"""What a token is for, beyond its scope: whom (RFC 8707, RFC 8693), and what in detail (RFC 9396)."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2 import OAuth2Error

__all__ = ["InvalidTargetError", "Terms", "audience_of", "read_terms"]


class InvalidTargetError(OAuth2Error):  # type: ignore[misc]
    """RFC 8707 section 2."""

    error = "invalid_target"


class InvalidAuthorizationDetailsError(OAuth2Error):  # type: ignore[misc]
    """RFC 9396 section 5."""

    error = "invalid_authorization_details"


@dataclass(frozen=True, slots=True)
class Terms:
    """What was asked for, or granted; no audience stands for any."""

    audience: tuple[str, ...] = ()
    details: tuple[dict[str, Any], ...] = ()

    def narrowed(self, asked: Terms) -> Terms:
        """Return what is granted of what is asked for, which is all if nothing is. Raises for what isn't in it."""
        if self.audience and not set(asked.audience) <= set(self.audience):
            raise InvalidTargetError("The login was for other resources.")
        if not all(detail in self.details for detail in asked.details):
            raise InvalidAuthorizationDetailsError("The login was for other authorization details.")
        return Terms(asked.audience or self.audience, asked.details or self.details)


def read_terms(payload: Any, types: Collection[str] | None) -> Terms:
    """Return what a request asks for; `types` are those of details that are known, None any.

    Raises `InvalidTargetError` and `InvalidAuthorizationDetailsError`.
    """
    resources = tuple(payload.datalist.get("resource", ()))
    for resource in resources:
        if not _is_absolute(resource):
            raise InvalidTargetError("A resource must be an absolute URI without a fragment.")
    text = payload.data.get("authorization_details")
    audience = (*resources, *payload.datalist.get("audience", ()))
    return Terms(audience, () if text is None else _read_details(text, types))


def audience_of(terms: Terms) -> str | list[str] | None:
    """Return the claim `aud` (RFC 7519 section 4.1.3)."""
    return [*terms.audience] if len(terms.audience) > 1 else next(iter(terms.audience), None)


def _is_absolute(uri: str) -> bool:
    try:
        return bool(urlsplit(uri).scheme) and "#" not in uri
    except ValueError:
        return False


def _read_details(text: str, types: Collection[str] | None) -> tuple[dict[str, Any], ...]:
    try:
        details = json.loads(text)
    except (ValueError, RecursionError):
        details = None
    if not isinstance(details, list) or not details:
        raise InvalidAuthorizationDetailsError("The authorization details must be a JSON array.")
    for detail in details:
        if not isinstance(detail, dict) or not isinstance(detail.get("type"), str):
            raise InvalidAuthorizationDetailsError("Each of the authorization details must be an object with a type.")
        if types is not None and detail["type"] not in types:
            raise InvalidAuthorizationDetailsError("The type of authorization details is unknown.")
    return tuple(details)
