"""Assertions by which the client authenticates, its own and those that others make for it (RFC 7521, RFC 7523)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidClientError
from joserfc.jwk import OctKey

from ._client import Client, called_url
from ._jwts import ASYMMETRIC, HMAC, JwtError, Once, check_times, header_of, keys_of, read_jwt

if TYPE_CHECKING:
    from ._provider import LocalProvider

__all__ = ["Assertions", "check_audience"]

_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Assertions:
    """Authenticates the client by assertions; each of its own is taken once, over all endpoints. Thread-safe."""

    def __init__(self, provider: LocalProvider, now: Callable[[], float]) -> None:
        self._provider = provider
        self._now = now
        self.seen = Once()

    def authenticate_private_key_jwt(self, query_client: Callable[[str], Client | None], request: Any) -> Client | None:
        """Return the client of an assertion that's signed with a private key; None if there's none."""
        if (assertion := _assertion_of(request, ASYMMETRIC)) is None:
            return None
        return self._authenticate(query_client, request, assertion, keys_of(self._provider.client_key), ASYMMETRIC)

    def authenticate_client_secret_jwt(
        self, query_client: Callable[[str], Client | None], request: Any
    ) -> Client | None:
        """Return the client of an assertion that's signed with its secret; None if there's none."""
        if (assertion := _assertion_of(request, HMAC)) is None:
            return None
        secret = self._provider.client_secret.encode()
        key = OctKey(secret, None)  # joserfc's own ways warn of short secrets
        return self._authenticate(query_client, request, assertion, [key], HMAC)

    def _authenticate(
        self,
        query_client: Callable[[str], Client | None],
        request: Any,
        assertion: str,
        keys: Sequence[Any],
        algorithms: Sequence[str],
    ) -> Client | None:
        try:
            claims = read_jwt(assertion, keys, algorithms)
            other = self._provider.assertion_issuer
            is_own = other is None or claims.get("iss") != other
            if is_own:
                self._check_own(claims, request)
            check_audience(claims, self._provider, called_url())
            check_times(claims, self._now())
        except JwtError as error:
            raise InvalidClientError(description=f"The client assertion: {error}", status_code=401) from None
        return query_client(request.form.get("client_id", claims.get("sub") if is_own else ""))

    def _check_own(self, claims: Mapping[str, Any], request: Any) -> None:
        """Check what an assertion that the client has made must have (RFC 7523 section 3). Raises `JwtError`."""
        if request.form.get("client_assertion_type") != _JWT_BEARER:
            raise JwtError("Its type is not that of a JWT of the client.")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise JwtError("It has no jti.")
        if not self.seen.is_first(jti):
            raise JwtError("It was used before.")
        if claims.get("iss") != self._provider.client_id:
            raise JwtError("Its iss is not the client.")
        if claims.get("sub") != self._provider.client_id:
            raise JwtError("Its sub is not the client.")


def check_audience(claims: Mapping[str, Any], provider: LocalProvider, url: str) -> None:
    """Check that a JWT is for this server, called by this URL. Raises `JwtError`."""
    audience = claims.get("aud")
    if provider.assertion_audience == "any":
        named = audience if isinstance(audience, list) else [audience]
        if provider.issuer not in named and url not in named:
            raise JwtError("Its aud is neither the issuer nor the URL that is called.")
    elif provider.assertion_audience == "issuer":
        if audience != provider.issuer:
            raise JwtError("Its aud is not the issuer.")
    elif audience != url:
        raise JwtError("Its aud is not the URL that is called.")


def _assertion_of(request: Any, algorithms: Sequence[str]) -> str | None:
    """Return the request's assertion if it's signed so, or can't be read: whoever comes first refuses it."""
    assertion: str | None = request.form.get("client_assertion")
    if assertion is None:
        return None
    try:
        algorithm = header_of(assertion).get("alg")
    except JwtError:
        return assertion
    return assertion if algorithm in algorithms or algorithm not in {*ASYMMETRIC, *HMAC} else None
