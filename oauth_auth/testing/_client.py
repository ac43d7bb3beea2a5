"""The provider's own client, and how clients authenticate (RFC 6749 section 2.3)."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_plus, urlsplit

import flask
from authlib.oauth2.rfc6749 import ClientMixin, InvalidRequestError
from werkzeug.datastructures import Authorization

if TYPE_CHECKING:
    from ._provider import LocalProvider

__all__ = [
    "CLIENT_AUTH_METHODS",
    "CONFIDENTIAL",
    "Client",
    "authenticate_basic",
    "authenticate_public",
    "authenticate_tls",
    "called_url",
    "check_one_method",
    "is_loopback",
    "same",
    "shown_certificate",
    "usable_methods",
    "without_port",
]

CONFIDENTIAL = ("client_secret_basic", "client_secret_post", "private_key_jwt", "client_secret_jwt", "tls_client_auth")
CLIENT_AUTH_METHODS = (*CONFIDENTIAL, "none")


class Client(ClientMixin):  # type: ignore[misc]
    """The provider's own client: confidential, and public as well for a code with PKCE, and for a device."""

    def __init__(self, provider: LocalProvider) -> None:
        self._provider = provider

    def get_client_id(self) -> str:
        return self._provider.client_id

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str | None) -> str | None:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Allow any plain http URI on loopback (RFC 8252 section 7.3)."""
        return is_loopback(redirect_uri)

    def check_client_secret(self, client_secret: str) -> bool:
        return same(client_secret, self._provider.client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return True

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return True


def is_loopback(uri: str) -> bool:
    """Return whether this is a plain http URI on loopback."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
    return parts.scheme == "http" and loopback


def without_port(uri: str) -> str:
    """Return the URI without its port."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.hostname or "").geturl()


def usable_methods(methods: Iterable[str], provider: LocalProvider) -> list[str]:
    """Return those of these ways of client authentication that can be used now."""
    allowed = provider.client_auth_methods
    usable = [method for method in methods if allowed is None or method in allowed]
    return [method for method in usable if provider.tls or method != "tls_client_auth"]


def called_url() -> str:
    """Return the URL that's being called, without its query."""
    return str(flask.request.environ["oauth_auth.url"])


def shown_certificate() -> str | None:
    """Return the thumbprint of the certificate that was shown, where certificates are looked at."""
    thumbprint: str | None = flask.request.environ.get("oauth_auth.certificate")
    return thumbprint


def same(given: str, expected: str) -> bool:
    """Return whether two texts are the same, in a time that doesn't tell where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())


def check_one_method(request: Any) -> None:
    """Raise `InvalidRequestError` for a client that authenticates in two ways at once (RFC 6749 section 5.2)."""
    scheme = request.headers.get("Authorization", "").partition(" ")[0]
    ways = scheme.lower() == "basic", *(request.form.get(name) for name in ("client_secret", "client_assertion"))
    if sum(map(bool, ways)) > 1:
        raise InvalidRequestError("The client authenticates in more than one way: one is enough.")


def authenticate_basic(query_client: Callable[[str], Client | None], request: Any) -> Client | None:
    """Return the client of Basic credentials, form-decoded as RFC 6749 section 2.3.1 says.

    Authlib decodes percent signs only. That reading counts, too, for clients that send a plus sign as it is.
    """
    credentials = Authorization.from_header(request.headers.get("Authorization"))
    if credentials is None or credentials.type != "basic":
        return None
    for decode in (unquote_plus, unquote):
        client = query_client(decode(credentials.username or ""))
        if client and client.check_client_secret(decode(credentials.password or "")):
            return client
    return None


def authenticate_tls(query_client: Callable[[str], Client | None], request: Any) -> Client | None:
    """Return the client by its id and the certificate that it shows, if it shows nothing else (RFC 8705 section 2)."""
    return None if shown_certificate() is None else authenticate_public(query_client, request)


def authenticate_public(query_client: Callable[[str], Client | None], request: Any) -> Client | None:
    """Return the client by its id alone, if the request has no secret: a wrong one must be refused."""
    if request.headers.get("Authorization") or request.payload.data.get("client_secret"):
        return None
    return query_client(request.payload.client_id)
