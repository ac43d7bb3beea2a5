"""Request objects: authorization requests that the client signs, so that nobody can change them (RFC 9101)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from .._wire.checks import require_seconds, require_text
from .._wire.token_request import Attempt
from ..errors import ConfigurationError
from .jose import PrivateKey

__all__ = ["RequestObject"]

_LONGEST = 3600
"""Seconds that a request object may be good for, from its `nbf` on (FAPI 2.0 Message Signing, section 5.3.1)."""
_BEHIND = 10
"""How far the server's clock may be behind ours, in seconds."""
_AS_JSON = {"authorization_details", "claims"}
"""Parameters that are JSON in a URL, and JSON's values in a request object."""


class RequestObject:
    """Signs authorization requests, which go as a JWT, by value or pushed (RFC 9101). Thread-safe."""

    def __init__(
        self,
        private_key: object,
        *,
        alg: str | None = None,
        kid: str | None = None,
        password: str | bytes | None = None,
        audience: str | None = None,
        lifetime: float = 300.0,
    ) -> None:
        """Take the key.

        Args:
            private_key: As in `PrivateKeyJwt`.
            alg: The algorithm; by default the JWK's, else RS256, ES256, ES384, ES512 or EdDSA.
            kid: The key's id, as the server knows it; by default the JWK's.
            password: The password of encrypted PEM.
            audience: Whom the requests are for; by default the issuer.
            lifetime: Seconds that a request is good for, at most an hour.

        Raises `ConfigurationError` for a key that can't sign, and `ImportError` without joserfc.
        """
        self.audience = None if audience is None else require_text("audience", audience)
        self._lifetime = require_seconds("lifetime", lifetime, 300.0, is_positive=True)
        if self._lifetime > _LONGEST:
            raise ConfigurationError(
                "lifetime must be at most 3600 seconds: a request is for the login that begins now"
            )
        self._key = PrivateKey(private_key, alg=alg, kid=kid, password=password)

    def sign(self, parameters: Iterable[tuple[str, str]], client_id: str, attempt: Attempt) -> str:
        """Return the request as a JWT. Raises `TokenError` if the key's file can't be used now."""
        now = int(attempt.wall)
        claims: dict[str, Any] = {}
        for name, text in parameters:
            value = _value(name, text)
            if name in claims:
                before = claims[name]
                claims[name] = [*(before if isinstance(before, list) else [before]), value]
            else:
                claims[name] = value
        claims |= {
            "iss": client_id,
            "aud": self.audience or attempt.issuer,
            "iat": now,
            "nbf": now - _BEHIND,
            "exp": min(now + max(round(self._lifetime), 1), now - _BEHIND + _LONGEST),
            "jti": secrets.token_urlsafe(16),
        }
        return self._key.sign(claims, {"typ": "oauth-authz-req+jwt"})

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def _value(name: str, text: str) -> Any:
    with suppress(ValueError):
        if name in _AS_JSON:
            return json.loads(text)
        if name == "max_age":
            return int(text)
    return text
