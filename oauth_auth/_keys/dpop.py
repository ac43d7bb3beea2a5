"""Keys that tokens are bound to, and the proofs made with them (RFC 9449)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

from .._wire.checks import require_text
from .._wire.token import Prover
from .._wire.token_request import Attempt, PerAttempt
from .._wire.urls import without_query
from ..errors import ConfigurationError
from .jose import PrivateKey, encode_part, load_joserfc

__all__ = ["Binding", "DPoPKey", "digest_of_token", "prepare"]

_JSON = json.encoder.encode_basestring_ascii
_BASE64 = base64.urlsafe_b64encode


def prepare() -> None:
    """Load what keys need, before there's a flight that makes one. Raises `ImportError` without joserfc."""
    load_joserfc()


class DPoPKey:
    """A key that tokens are bound to: who has the token alone can't use it. Its repr shows nothing of it. Thread-safe.

    `private_key` and `password` are as in `PrivateKeyJwt`; a file is read once, since tokens are bound to that key.
    Raises `ConfigurationError`, and `ImportError` without joserfc.
    """

    __slots__ = ("_key", "_ready")

    def __init__(self, private_key: object, *, alg: str | None = None, password: str | bytes | None = None) -> None:
        key = PrivateKey(private_key, alg=alg, password=password)
        self._key = PrivateKey(key.jwk, alg=key.alg)
        self._ready: tuple[bytes, Callable[[bytes], bytes]] | None = None
        """The header of all proofs, encoded, and what signs them."""

    @classmethod
    def generate(cls, alg: str = "ES256") -> Self:
        """Return a new key for this algorithm. Raises `ConfigurationError`."""
        from joserfc import jwk

        curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
        if alg in curves:
            return cls(jwk.ECKey.generate_key(curves[alg]), alg=alg)
        if alg in {"EdDSA", "Ed25519"}:
            return cls(jwk.OKPKey.generate_key("Ed25519"), alg=alg)
        if alg in {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}:
            return cls(jwk.RSAKey.generate_key(2048), alg=alg)
        raise ConfigurationError(f"there are no keys for {alg!r}: alg must be ES256, or another one for key pairs")

    @property
    def alg(self) -> str:
        """The algorithm of its proofs (RFC 7518 section 3.1)."""
        return self._key.alg

    @property
    def thumbprint(self) -> str:
        """The SHA-256 thumbprint (RFC 7638), which tokens name as `jkt`."""
        return self._key.thumbprint

    @property
    def public_jwk(self) -> dict[str, Any]:
        """The public key, which proofs show."""
        return self._key.public_jwk

    @property
    def private_jwk(self) -> dict[str, Any]:
        """The key itself, as it's stored with a token: a secret."""
        return {**self._key.jwk, "alg": self.alg}

    def proof(self, method: str, url: str, *, token: str | None = None, nonce: str | None = None) -> str:
        """Return a proof for one request (RFC 9449 section 4.2): the value of its header `DPoP`.

        `token` is the access token that goes along, if one does, and `nonce` the server's last one.
        """
        ath = None if token is None else digest_of_token(require_text("token", token))
        return self._prove(ath, method, without_query(url), time.time(), nonce)

    def prover(self, access_token: str) -> Prover:
        """Return what makes the proofs of requests with this token."""
        return partial(self._prove, digest_of_token(access_token))

    def _prove(self, ath: str | None, method: str, htu: str, now: float, nonce: str | None) -> str:
        """Return a proof; `htu` is the URL without query and fragment, `ath` the digest of the token."""
        head, sign = self._ready or self._make_ready()
        jti = secrets.token_urlsafe(16)
        claims = f'{{"jti":"{jti}","htm":{_JSON(method)},"htu":{_JSON(htu)},"iat":{int(now)}'
        if ath is not None:
            claims += f',"ath":"{ath}"'
        if nonce is not None:
            claims += f',"nonce":{_JSON(nonce)}'
        message = head + _BASE64(f"{claims}}}".encode()).rstrip(b"=")
        return b"".join((message, b".", _BASE64(sign(message)).rstrip(b"="))).decode()

    def _make_ready(self) -> tuple[bytes, Callable[[bytes], bytes]]:
        head = encode_part({"typ": "dpop+jwt", "alg": self.alg, "jwk": self.public_jwk}) + b"."
        self._ready = ready = head, self._key.signer()
        return ready

    def __getstate__(self) -> dict[str, Any]:
        return {"_key": self._key, "_ready": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> DPoPKey:
        return self

    def header(self) -> PerAttempt:
        """Return the header `DPoP` of a call: a proof for each attempt."""

        def make(attempt: Attempt) -> str:
            return self._prove(None, "POST", without_query(attempt.url), attempt.wall, attempt.nonce)

        return PerAttempt(make, is_header=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DPoPKey) and self.private_jwk == other.private_jwk

    def __hash__(self) -> int:
        return hash(self.thumbprint)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Binding:
    """The keys of an auth object's tokens: `given` is the user's, which isn't stored; None stands for own ones."""

    __slots__ = ("_made", "given")

    def __init__(self, given: DPoPKey | None = None) -> None:
        self.given = given
        self._made: DPoPKey | None = None

    @property
    def name(self) -> str:
        """What tells its tokens from others in a store."""
        return "dpop" if self.given is None else f"dpop {self.given.thumbprint}"

    def key_for(self, present: DPoPKey | None) -> DPoPKey:
        """Return the key for the next token; `present` is that of the token which it replaces, if it's known.

        A refresh with another key may end the refresh token, so a login keeps its key. One that was made is used until
        a token is bound to it.
        """
        key = self.given or present
        if key is not None:
            return key
        if self._made is None:
            self._made = self.make()
        return self._made

    def use(self, key: DPoPKey | None) -> DPoPKey | None:
        """Take in that a token is bound to this key; return it, to be stored with the token, unless it's the user's."""
        if key is self._made:
            self._made = None  # the next login may be another user's
        return None if self.given is not None else key

    def make(self, private_jwk: Mapping[str, Any] | None = None) -> DPoPKey:
        """Return a new key for tokens, or the one that was made before. Raises `ConfigurationError` for another JWK."""
        return DPoPKey.generate() if private_jwk is None else DPoPKey(private_jwk)


def digest_of_token(access_token: str) -> str:
    """Return the digest of a token that a proof names it by (RFC 9449 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(access_token.encode()).digest()).rstrip(b"=").decode()
