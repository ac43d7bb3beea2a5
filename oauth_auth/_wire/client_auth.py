"""Client authentication at the token endpoint (RFC 6749 section 2.3): the methods, and the forms of Basic. Pure.

Which form a server takes is detected by `_server.client`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

from .._record import Record
from ..errors import ConfigurationError
from .token_request import PerAttempt

__all__ = [
    "ClientAuthParameters",
    "ClientAuthentication",
    "ClientSecretBasic",
    "ClientSecretPost",
    "NoClient",
    "PublicClient",
    "basic_authorization",
]


class ClientAuthParameters(Record):
    """What a token call carries to authenticate the client: an Authorization header or form fields."""

    authorization: str | None
    fields: Mapping[str, str | PerAttempt]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class ClientAuthentication(Protocol):
    """A method of client authentication. It's a plain value; id and secret come from the auth object."""

    def authenticate(self, client_id: str, client_secret: str | None) -> ClientAuthParameters:
        """Return what to send. Raises `ConfigurationError` if the method needs a secret and there is none."""
        ...


class ClientSecretBasic(Record):
    """Send id and secret in an HTTP Basic header (RFC 6749 section 2.3.1).

    Both are form-encoded first, as the RFC demands; `encode=False` is for servers that don't decode them, such as
    Domino (panva/oauth4webapi#199, September 2025).
    """

    encode: bool = True

    def __init__(self, *, encode: bool = True) -> None:
        super().__init__(encode=encode)

    def authenticate(self, client_id: str, client_secret: str | None) -> ClientAuthParameters:
        """Return the Basic header."""
        secret = _require_secret(self, client_secret)
        if self.encode:
            return ClientAuthParameters(basic_authorization(client_id, secret), {})
        if ":" in client_id:
            raise ConfigurationError("ClientSecretBasic(encode=False) can't send a client_id with a colon in it")
        return ClientAuthParameters(_basic(client_id, secret), {})

    def other_form(self, client_id: str, client_secret: str) -> ClientSecretBasic | None:
        """Return the method that encodes where this one doesn't, or None if both send the same, or one can't."""
        if ":" in client_id or client_id + client_secret == quote(client_id + client_secret, safe=""):
            return None
        return ClientSecretBasic(encode=not self.encode)


class ClientSecretPost(Record):
    """Send id and secret as form fields (RFC 6749 section 2.3.1)."""

    def authenticate(self, client_id: str, client_secret: str | None) -> ClientAuthParameters:
        """Return the form fields."""
        return ClientAuthParameters(
            None, {"client_id": client_id, "client_secret": _require_secret(self, client_secret)}
        )


class PublicClient(Record):
    """Send only the client id, as a form field (RFC 6749 section 3.2.1)."""

    def authenticate(self, client_id: str, client_secret: str | None) -> ClientAuthParameters:
        """Return the form field. Raises `ConfigurationError` if there is a secret, which would not be sent."""
        if client_secret is not None:
            raise ConfigurationError("PublicClient sends no client_secret: leave it out, or choose ClientSecretPost()")
        return ClientAuthParameters(None, {"client_id": client_id})


class NoClient(Record):
    """Send nothing of a client: the grant says who asks, as an assertion does (RFC 7523 section 3.1)."""

    def authenticate(self, client_id: str, client_secret: str | None) -> ClientAuthParameters:
        """Return nothing."""
        return ClientAuthParameters(None, {})


def basic_authorization(client_id: str, client_secret: str) -> str:
    """Return a client's `Authorization` header (RFC 6749 section 2.3.1): id and secret form-encoded, then Basic."""
    for name, value in (("client_id", client_id), ("client_secret", client_secret)):
        if not isinstance(value, str):
            raise ConfigurationError(f"{name} must be text, not {type(value).__name__}")
    if not client_id:
        raise ConfigurationError("client_id is empty: give the id that the authorization server issued")
    # A space becomes "%20", not the "+" of form encoding: Authlib's server (1.9) decodes only percent signs.
    return _basic(quote(client_id, safe=""), quote(client_secret, safe=""))


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _require_secret(method: ClientAuthentication, client_secret: str | None) -> str:
    if client_secret is None:
        raise ConfigurationError(f"{type(method).__name__} needs a client_secret: pass it, or choose PublicClient()")
    return client_secret
