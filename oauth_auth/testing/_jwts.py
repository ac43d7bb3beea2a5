"""JWTs that others made: proofs, assertions and request objects, read and checked (RFC 7519, RFC 7515)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from joserfc import jwk, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import JWSRegistry, extract_compact

__all__ = ["ASYMMETRIC", "HMAC", "JwtError", "Once", "check_times", "header_of", "keys_of", "read_jwt"]

ASYMMETRIC = (
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
    *("PS256", "PS384", "PS512", "RS256", "RS384", "RS512"),
)
"""The algorithms of key pairs that are taken."""
HMAC = ("HS256", "HS384", "HS512")
_UNREADABLE = "It is no JWT."


class JwtError(Exception):
    """What is wrong with a JWT, in a sentence that goes into an error's description."""


class Once:
    """Remembers identifiers for as long as the server lives. Thread-safe."""

    def __init__(self) -> None:
        self._seen: dict[str, object] = {}

    def is_first(self, identifier: str) -> bool:
        """Return whether this identifier comes for the first time."""
        mine = object()
        return self._seen.setdefault(identifier, mine) is mine


class _Registry(JWSRegistry):
    """Takes the algorithms it's told, and headers with a public RSA key in them.

    joserfc's own warns of the name EdDSA, which is the one that most clients know.
    """

    max_header_length = 8192

    def __init__(self, algorithms: Iterable[str]) -> None:
        super().__init__(algorithms=[*algorithms], strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(f"Algorithm of '{name}' is not allowed")
        return self.algorithms[name]


def header_of(text: str, *, typ: str | None = None) -> dict[str, Any]:
    """Return the header, unchecked but for its `typ`, if one is given. Raises `JwtError`."""
    try:
        header = extract_compact(text.encode(), registry=_Registry(())).headers()
    except (JoseError, ValueError, RecursionError):
        raise JwtError(_UNREADABLE) from None
    if typ is not None and str(header.get("typ")).lower().removeprefix("application/") != typ:
        raise JwtError(f"Its typ is not {typ}.")
    return header


def read_jwt(text: str, keys: Iterable[Any], algorithms: Iterable[str]) -> dict[str, Any]:
    """Return the claims of a JWT that one of these keys has signed. Raises `JwtError`."""
    header = header_of(text)
    registry = _Registry(algorithms)
    if header.get("alg") not in (registry.allowed or ()):
        raise JwtError("Its algorithm is not taken.")
    kid = header.get("kid")
    for key in keys:
        if kid is not None and key.kid is not None and kid != key.kid:
            continue
        try:
            return jwt.decode(text, key, registry=registry).claims
        except (JoseError, ValueError, TypeError, RecursionError):
            continue
    raise JwtError("Its signature is wrong, or of another key.")


def keys_of(source: Mapping[str, Any] | None) -> list[Any]:
    """Return the keys in a JWK or a JWK set; none for None."""
    if source is None:
        return []
    members = source.get("keys", [source])
    return [jwk.import_key(dict(member)) for member in members]


def check_times(claims: Mapping[str, Any], now: float, *, longest: float | None = None) -> None:
    """Check `exp`, which must be there, and `nbf` and `iat`, by the clock `now`. Raises `JwtError`.

    `longest` bounds the time from `nbf` or `iat`, one of which must then be there, to `exp`, in seconds.
    """
    for name in ("exp", "nbf", "iat"):
        if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
            raise JwtError(f"Its {name} is no number.")
    if "exp" not in claims:
        raise JwtError("It has no exp.")
    if now >= claims["exp"]:
        raise JwtError("It has expired.")
    if any(now < claims.get(name, now) - _LEEWAY for name in ("nbf", "iat")):
        raise JwtError("It is of the future.")
    if longest is not None and claims["exp"] - claims.get("nbf", claims.get("iat", float("-inf"))) > longest:
        raise JwtError(f"It is good for more than {longest:g} seconds.")


_LEEWAY = 5.0
"""What the client's clock may be ahead, in seconds."""
