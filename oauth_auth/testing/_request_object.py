"""Authorization requests that the client has signed (RFC 9101)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import OAuth2Payload

from ._jwts import ASYMMETRIC, JwtError, check_times, header_of, keys_of, read_jwt

if TYPE_CHECKING:
    from ._provider import LocalProvider

__all__ = ["Fields", "read_request_object"]

_LONGEST = 3600.0
"""How long a request object may be good for, in seconds (FAPI 2.0 Message Signing 5.3.1)."""


class InvalidRequestObjectError(OAuth2Error):  # type: ignore[misc]
    """Section 7."""

    error = "invalid_request_object"


class Fields(OAuth2Payload):  # type: ignore[misc]
    """Authorization request parameters that came another way than in the URL, each with all its values."""

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._values = values

    @property
    def data(self) -> dict[str, str]:
        """The parameters, each with its first value."""
        return {name: values[0] for name, values in self._values.items()}

    @property
    def datalist(self) -> dict[str, list[str]]:
        """The parameters, each with all its values."""
        return dict(self._values)


def read_request_object(text: str, client_id: str | None, provider: LocalProvider, now: float) -> Fields:
    """Return the parameters in a request object; those beside it don't count (section 6.3).

    Raises `InvalidRequestObjectError`.
    """
    try:
        header_of(text, typ="oauth-authz-req+jwt")
        claims = read_jwt(text, keys_of(provider.client_key), ASYMMETRIC)
        check_times(claims, now, longest=_LONGEST)
        _check(claims, client_id, provider)
    except JwtError as error:
        raise InvalidRequestObjectError(f"The request object: {error}") from None
    return Fields({name: _texts(value) for name, value in claims.items() if name not in _OF_THE_JWT})


_OF_THE_JWT = {"iss", "aud", "exp", "nbf", "iat", "jti"}


def _check(claims: Mapping[str, Any], client_id: str | None, provider: LocalProvider) -> None:
    if "nbf" not in claims:
        raise JwtError("It has no nbf.")
    if claims.get("iss") != provider.client_id:
        raise JwtError("Its iss is not the client.")
    audience = claims.get("aud")
    if provider.issuer not in (audience if isinstance(audience, list) else [audience]):
        raise JwtError("Its aud is not the issuer.")
    if claims.get("client_id") != provider.client_id or client_id not in {None, provider.client_id}:
        raise JwtError("Its client_id is not that of the client beside it.")
    if "request" in claims or "request_uri" in claims:
        raise JwtError("There is a request in it.")


def _texts(value: Any) -> list[str]:
    """Return a claim as the values that a parameter would have (section 4)."""
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return list(value)
    return [value if isinstance(value, str) else json.dumps(value)]
