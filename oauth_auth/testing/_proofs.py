"""Proofs of possession of a key (RFC 9449): what the authorization server and the API check, each for itself."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authlib.oauth2 import OAuth2Error
from joserfc import jwk
from joserfc.errors import JoseError

from ._jwts import ASYMMETRIC, JwtError, Once, header_of, read_jwt

if TYPE_CHECKING:
    from ._provider import LocalProvider

__all__ = ["ProofError", "Proofs", "UseNonceError"]

_TOLERANCE = 60.0
"""How far a proof's `iat` may be from the server's time, in seconds."""


class ProofError(OAuth2Error):  # type: ignore[misc]
    """Section 5: the proof isn't valid."""

    error = "invalid_dpop_proof"


class UseNonceError(ProofError):
    """Section 8: the proof is valid but for its nonce."""

    error = "use_dpop_nonce"


class Proofs:
    """Checks the proofs of one place. `nonce` is the one that they must have, if any must. Thread-safe."""

    def __init__(self, provider: LocalProvider, now: Callable[[], float], seen: Once) -> None:
        self._provider = provider
        self._now = now
        self._seen = seen
        self.nonce = ""
        self.turn()

    def turn(self) -> None:
        """Make a new nonce, which all proofs must have from now on."""
        self.nonce = secrets.token_urlsafe(16)

    def check(self, proof: str, method: str, url: str, *, token: str | None = None) -> str:
        """Return the thumbprint of the key that a request is proved with (section 4.3).

        `url` is the one that was called, and `token` the access token that came along. Raises `ProofError`. A proof
        with a good signature counts as used, also if it's refused.
        """
        try:
            key = _public_key(header_of(proof, typ="dpop+jwt").get("jwk"))
            claims = read_jwt(proof, [key], ASYMMETRIC)
        except JwtError as error:
            raise ProofError(f"The proof: {error}") from None
        jti, iat = claims.get("jti"), claims.get("iat")
        if not isinstance(jti, str) or not jti:
            raise ProofError("The proof has no jti.")
        if not self._seen.is_first(jti):
            raise ProofError("The proof was used before.")
        if claims.get("htm") != method:
            raise ProofError("The proof is for another method.")
        if not isinstance(claims.get("htu"), str) or _normal(claims["htu"]) != _normal(url):
            raise ProofError("The proof is for another URL.")
        if isinstance(iat, bool) or not isinstance(iat, int | float) or abs(iat - self._now()) > _TOLERANCE:
            raise ProofError("The proof is too old, or of the future.")
        if token is not None and claims.get("ath") != _digest(token):
            raise ProofError("The proof is for another token.")
        if self._provider.dpop_nonces and claims.get("nonce") != self.nonce:
            raise UseNonceError("The proof must have the nonce that is in this answer.")
        return str(key.thumbprint())


def _public_key(fields: object) -> jwk.Key:
    """Return the key that's in a proof's header. Raises `JwtError`."""
    if not isinstance(fields, dict):
        raise JwtError("It has no public key in its header.")
    try:
        key = jwk.import_key(dict(fields))
    except (JoseError, ValueError, TypeError, KeyError):
        raise JwtError("The key in its header cannot be read.") from None
    if key.is_private:
        raise JwtError("The key in its header is a private one.")
    return key


def _digest(token: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


def _normal(url: str) -> tuple[str, ...] | None:
    """Return what tells URLs apart, but for the case of scheme and host; None for one with query or fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if "?" in url or "#" in url:
        return None
    host = parts.netloc.lower().removesuffix({"http": ":80", "https": ":443"}.get(parts.scheme, ":"))
    return parts.scheme, host, parts.path or "/"
