"""Assertions: statements that prove who a client is, or stand for a grant (RFC 7521, RFC 7523).

Each attempt at a call has one of its own: servers take a second use for a replay.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .._wire.checks import require_seconds, require_text
from .._wire.client_auth import ClientAuthParameters
from .._wire.token_request import Attempt, PerAttempt
from ..errors import ConfigurationError, TokenError
from .jose import PrivateKey, load_joserfc, sign_with_secret
from .secret_file import read_file

__all__ = ["ClientAssertion", "ClientSecretJwt", "JwtAssertion", "PrivateKeyJwt"]

_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_Sign = Callable[[Mapping[str, Any], Mapping[str, Any]], str]
_HMAC = ("HS256", "HS384", "HS512")


class _Jwt:
    """What the signed assertions have in common: their claims, and whom they are for."""

    def __init__(
        self,
        *,
        audience: str | None,
        lifetime: float,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> None:
        self.audience = None if audience is None else require_text("audience", audience)
        self._lifetime = require_seconds("lifetime", lifetime, 60.0, is_positive=True)
        self._claims = _read_fields("claims", claims)
        self._header = _read_fields("header", header)

    def _make(self, attempt: Attempt, issuer: str, subject: str, sign: _Sign, *, to_url: bool = False) -> str:
        """Return an assertion for one attempt.

        It's for whom the user names, else for the issuer where that's known, else for the very URL that is called;
        never for another endpoint of the server's, which is how assertions are stolen (CVE-2025-27370).
        """
        audience = self.audience or (attempt.url if attempt.issuer is None or to_url else attempt.issuer)
        now = int(attempt.wall)
        claims = {
            "iss": issuer,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "exp": now + max(round(self._lifetime), 1),
            "jti": secrets.token_urlsafe(16),
            **self._claims,
        }
        return sign(claims, {"typ": "JWT", **self._header})

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class PrivateKeyJwt(_Jwt):
    """Prove the client by assertions that its private key signs: `private_key_jwt` (OpenID Connect Core 9, RFC 7523).

    The server has the public key, or a URL of it.
    """

    def __init__(
        self,
        private_key: object,
        *,
        alg: str | None = None,
        kid: str | None = None,
        password: str | bytes | None = None,
        audience: str | None = None,
        lifetime: float = 60.0,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the key, and what assertions say. Thread-safe.

        Args:
            private_key: PEM (text, bytes), a JWK (mapping, text), a key of cryptography or joserfc, or the `Path` of a
                file with PEM or JWK, which is read for each signature; RSA, P-256, P-384, P-521 or Ed25519.
            alg: The algorithm; by default the JWK's, else RS256, ES256, ES384, ES512 or EdDSA.
            kid: The key's id, as the server knows it; by default the JWK's.
            password: The password of encrypted PEM.
            audience: Whom assertions are for; by default the issuer if it's known, else the URL that is called.
            lifetime: Seconds that an assertion is good for.
            claims: Further claims.
            header: Further fields of the header, such as `x5t#S256`.

        Raises `ConfigurationError` for a key that can't sign, and `ImportError` without joserfc.
        """
        super().__init__(audience=audience, lifetime=lifetime, claims=claims, header=header)
        self._key = PrivateKey(private_key, alg=alg, kid=kid, password=password)

    def authenticate(self, client_id: str, client_secret: str | None) -> ClientAuthParameters:
        """Return the form fields. Raises `ConfigurationError` if there is a secret, which would not be sent."""
        return self.authenticate_for(client_id, client_secret, to_url=False)

    def authenticate_for(self, client_id: str, client_secret: str | None, *, to_url: bool) -> ClientAuthParameters:
        """Return the form fields; with `to_url` assertions are for the URL that is called."""
        _refuse_secret(self, client_secret)

        def make(attempt: Attempt) -> str:
            return self._make(attempt, client_id, client_id, self._key.sign, to_url=to_url)

        return _parameters(client_id, _JWT_BEARER, PerAttempt(make))


class ClientSecretJwt(_Jwt):
    """Prove the client by assertions that its secret signs: `client_secret_jwt` (OpenID Connect Core 9)."""

    def __init__(self, *, alg: str = "HS256", audience: str | None = None, lifetime: float = 60.0) -> None:
        """Take what assertions say; the secret is the auth object's.

        Args:
            alg: HS256, HS384 or HS512.
            audience: Whom assertions are for; by default the issuer if it's known, else the URL that is called.
            lifetime: Seconds that an assertion is good for.

        Raises `ConfigurationError`, and `ImportError` without joserfc.
        """
        super().__init__(audience=audience, lifetime=lifetime)
        load_joserfc()
        if alg not in _HMAC:
            raise ConfigurationError(f"alg must be {' or '.join(_HMAC)}: to sign with a key is PrivateKeyJwt(…)")
        self._alg = alg

    def authenticate(self, client_id: str, client_secret: str | None) -> ClientAuthParameters:
        """Return the form fields. Raises `ConfigurationError` without a secret, and `ImportError` without joserfc."""
        return self.authenticate_for(client_id, client_secret, to_url=False)

    def authenticate_for(self, client_id: str, client_secret: str | None, *, to_url: bool) -> ClientAuthParameters:
        """Return the form fields; with `to_url` assertions are for the URL that is called."""
        if client_secret is None:
            raise ConfigurationError("ClientSecretJwt needs a client_secret: pass it, or choose PrivateKeyJwt(…)")

        def sign(claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
            return sign_with_secret(client_secret, self._alg, claims, header)

        def make(attempt: Attempt) -> str:
            return self._make(attempt, client_id, client_id, sign, to_url=to_url)

        return _parameters(client_id, _JWT_BEARER, PerAttempt(make))


class ClientAssertion:
    """Prove the client by assertions that somebody else makes: Kubernetes, SPIFFE, a cloud, or a function of yours."""

    def __init__(self, assertion: Path | Callable[[], str], *, assertion_type: str = _JWT_BEARER) -> None:
        """Take where assertions come from. Thread-safe.

        Args:
            assertion: The `Path` of a file, which is read for each attempt and may be missing until then, or a function
                that returns one; it's called for each attempt, in a thread, and bounded in time as the attempt is.
            assertion_type: The URN of its format (RFC 7521 section 4.2).

        Raises `ConfigurationError`.
        """
        if isinstance(assertion, str | bytes):
            raise ConfigurationError("assertion must be the Path of a file, or a function: a text would soon expire")
        if not isinstance(assertion, Path) and (isinstance(assertion, type) or not callable(assertion)):
            raise ConfigurationError(
                f"assertion must be the Path of a file, or a function, not {type(assertion).__name__}"
            )
        self._assertion = assertion.absolute() if isinstance(assertion, Path) else assertion
        self.runs_code = not isinstance(assertion, Path)
        self._type = require_text("assertion_type", assertion_type)

    def authenticate(self, client_id: str, client_secret: str | None) -> ClientAuthParameters:
        """Return the form fields. Raises `ConfigurationError` if there is a secret, which would not be sent."""
        _refuse_secret(self, client_secret)
        return _parameters(client_id, self._type, from_elsewhere("the client assertion", self._assertion))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class JwtAssertion(_Jwt):
    """Makes assertions for `JwtBearerAuth`: who signs vouches for the subject (RFC 7523 section 2.1)."""

    def __init__(
        self,
        private_key: object,
        *,
        issuer: str,
        subject: str | None = None,
        audience: str | None = None,
        alg: str | None = None,
        kid: str | None = None,
        password: str | bytes | None = None,
        lifetime: float = 300.0,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the key, and what assertions say. Thread-safe.

        Args:
            private_key: As in `PrivateKeyJwt`.
            issuer: Who vouches, such as a service account.
            subject: For whom; by default the issuer itself.
            audience: Whom assertions are for; by default the server's issuer if it's known, else its token URL.
            alg: As in `PrivateKeyJwt`.
            kid: The key's id, as the server knows it; by default the JWK's.
            password: The password of encrypted PEM.
            lifetime: Seconds that an assertion is good for.
            claims: Further claims, such as Google's `scope`.
            header: Further fields of the header.

        Raises `ConfigurationError` for a key that can't sign, and `ImportError` without joserfc.
        """
        super().__init__(audience=audience, lifetime=lifetime, claims=claims, header=header)
        self.issuer = require_text("issuer", issuer)
        self.subject = self.issuer if subject is None else require_text("subject", subject)
        self._key = PrivateKey(private_key, alg=alg, kid=kid, password=password)

    @property
    def name(self) -> str:
        """What tells its tokens from those of other claims."""
        return json.dumps([self.audience, self._claims], sort_keys=True)

    def field(self) -> PerAttempt:
        """Return the form field."""
        return PerAttempt(lambda attempt: self._make(attempt, self.issuer, self.subject, self._key.sign))


def from_elsewhere(what: str, source: Path | Callable[[], str]) -> PerAttempt:
    """Return a form field whose text is in a file, or is what a function of the user's returns."""
    if not isinstance(source, Path):
        return PerAttempt(lambda _: source(), runs_code=True)
    return PerAttempt(lambda _: _read(what, source))


def _read(what: str, path: Path) -> str:
    """Return what a file holds now; whoever writes it may be at it just now, so an error is retryable."""
    try:
        if text := read_file(str(path), again=True).strip():
            return text
        failure = TokenError(f"{what} is in the file {path} with nothing in it")
    except ValueError as error:
        failure = TokenError(f"{what} is in the file {path} {error}")
    failure.retryable = True
    raise failure


def _parameters(client_id: str, assertion_type: str, assertion: PerAttempt) -> ClientAuthParameters:
    return ClientAuthParameters(
        None, {"client_id": client_id, "client_assertion_type": assertion_type, "client_assertion": assertion}
    )


def _refuse_secret(method: object, client_secret: str | None) -> None:
    if client_secret is not None:
        raise ConfigurationError(f"{type(method).__name__} sends no client_secret: leave it out")


def _read_fields(name: str, fields: object) -> dict[str, Any]:
    """Return a copy of claims or header fields that JSON can carry."""
    if fields is None:
        return {}
    if not isinstance(fields, Mapping) or not all(isinstance(key, str) for key in fields):
        raise ConfigurationError(f"{name} must be a mapping of names to values")
    try:
        json.dumps(dict(fields))
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError(f"{name} must be what JSON can carry") from None
    return dict(fields)
