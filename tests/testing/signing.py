"""Keys that sign what clients send: proofs, assertions, request objects; right, unless a test says otherwise."""

from __future__ import annotations

import base64
import hashlib
import itertools
import time
from typing import Any

from joserfc import jwk, jwt

__all__ = ["SigningKey", "without_none"]

Header = dict[str, Any] | None

_NUMBERS = itertools.count()


class SigningKey:
    """A key pair."""

    def __init__(self, key: jwk.Key | None = None, alg: str = "ES256") -> None:
        self.key = key or jwk.ECKey.generate_key("P-256")
        self.alg = alg

    @property
    def public(self) -> dict[str, Any]:
        return dict(self.key.as_dict(private=False))

    @property
    def thumbprint(self) -> str:
        return self.key.thumbprint()

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """Return a JWT; None leaves a claim or header field out."""
        head = without_none({"alg": self.alg, **header})
        return jwt.encode(head, without_none(claims), self.key, algorithms=[self.alg], default_type=None)

    def proof(
        self,
        url: str,
        method: str = "POST",
        *,
        token: str | None = None,
        header: Header = None,
        **changes: Any,
    ) -> str:
        """Return a DPoP proof."""
        claims = {"htm": method, "htu": url, "iat": int(time.time()), "jti": fresh_id()}
        if token is not None:
            claims["ath"] = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        return self.sign({**claims, **changes}, **{"typ": "dpop+jwt", "jwk": self.public, **(header or {})})

    def assertion(
        self, client_id: str, audience: object, *, header: dict[str, Any] | None = None, **changes: Any
    ) -> str:
        """Return an assertion by which a client authenticates."""
        now = int(time.time())
        claims = {"iss": client_id, "sub": client_id, "aud": audience, "iat": now, "exp": now + 60, "jti": fresh_id()}
        return self.sign({**claims, **changes}, **{"typ": "JWT", **(header or {})})


def fresh_id() -> str:
    return f"jti-{next(_NUMBERS)}"


def without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
