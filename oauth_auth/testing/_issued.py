"""What the authorization server has issued, and what ends it.

Tokens that come from one login, or from one call of the client-credentials grant, are a *family*: a refresh token or
code that is used twice was stolen, so its whole family ends (RFC 9700 section 4.14.2, RFC 6749 section 4.1.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, TokenMixin

from ._client import Client
from ._login import Login
from ._terms import Terms

__all__ = ["AccessToken", "Binding", "Code", "Family", "RefreshToken", "in_seconds"]


def in_seconds(duration: float) -> float:
    """Return the duration as JSON should have it: an integer where it is one."""
    return int(duration) if float(duration).is_integer() else duration


@dataclass(frozen=True, slots=True)
class Binding:
    """What a token is bound to, if to anything, by its thumbprint.

    `jkt` is a key's (RFC 9449 section 6), `x5t` a certificate's (RFC 8705 section 3.1).
    """

    jkt: str | None = None
    x5t: str | None = None

    def confirmation(self) -> dict[str, str] | None:
        """Return the claim `cnf` (RFC 7800)."""
        if self.jkt is not None:
            return {"jkt": self.jkt}
        return None if self.x5t is None else {"x5t#S256": self.x5t}


@dataclass(slots=True, eq=False)
class Family:
    """All tokens that come from one authorization of one client.

    `scope`, with `terms`, is what was granted, and so the scope of all its refresh tokens (RFC 6749 section 6); an
    access token may have less. `public` says that the client had no secret; `jkt` is the thumbprint of the key that its
    refresh tokens are then bound to (RFC 9449 section 5). `actor` is who acts for the user (RFC 8693 section 4.1).
    """

    user: str | None
    scope: str
    client: Client
    public: bool = False
    jkt: str | None = None
    terms: Terms = field(default_factory=Terms)
    login: Login | None = None
    actor: str | None = None
    ended: bool = False

    def is_of(self, client: Client) -> bool:
        """Return whether the client is the one that the tokens were issued to, under whatever id it has now."""
        return self.client.get_client_id() == client.get_client_id()


class _Token(TokenMixin):  # type: ignore[misc]
    __slots__ = ()
    family: Family

    def check_client(self, client: Client) -> bool:
        """Return whether the token was issued to this client."""
        return self.family.is_of(client)


@dataclass(slots=True, eq=False, repr=False)
class AccessToken(_Token):
    """An access token. It expires by the clock `now`; `iat` and `exp` are what introspection tells, in Unix time."""

    family: Family
    scope: str
    now: Callable[[], float]
    expires_at: float
    iat: int
    exp: int | None
    binding: Binding = field(default_factory=Binding)
    terms: Terms = field(default_factory=Terms)
    revoked: bool = False

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return self.now() >= self.expires_at

    def is_revoked(self) -> bool:
        return self.revoked or self.family.ended

    def revoke(self) -> None:
        """End this token alone (RFC 7009 section 2.1)."""
        self.revoked = True


@dataclass(slots=True, eq=False, repr=False)
class RefreshToken(_Token):
    """A refresh token, `spent` once it was exchanged for the next."""

    family: Family
    spent: bool = False

    def get_scope(self) -> str:
        return self.family.scope

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.spent or self.family.ended

    def revoke(self) -> None:
        """End all tokens of the login."""
        self.family.ended = True


@dataclass(slots=True, eq=False, repr=False)
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    """An authorization code, `spent` once it was exchanged for tokens.

    `jkt` is the thumbprint of the key that it's bound to, if it is (RFC 9449 section 10).
    """

    family: Family
    redirect_uri: str
    code_challenge: str | None
    code_challenge_method: str | None
    expires_at: float
    jkt: str | None
    spent: bool = False

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.family.scope
