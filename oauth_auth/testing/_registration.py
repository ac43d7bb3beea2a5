"""Clients that register (RFC 7591), or whose id is the URL of their metadata."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import flask
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AccessDeniedError
from authlib.oauth2.rfc7591 import (
    ClientMetadataClaims,
    ClientRegistrationEndpoint,
    InvalidClientMetadataError,
    InvalidRedirectURIError,
)

from ._client import Client, is_loopback, same, usable_methods, without_port
from ._client_document import fetch_document, is_document_url
from ._metadata import GRANT_TYPES

if TYPE_CHECKING:
    from ._authorization import AuthorizationServer

__all__ = ["RegistrationEndpoint"]

_METHODS = ("client_secret_basic", "client_secret_post", "none")
_LISTS = ("redirect_uris", "grant_types", "response_types", "contacts")


class RegistrationEndpoint(ClientRegistrationEndpoint):  # type: ignore[misc]
    """Checks metadata, and makes clients of it. Its caller holds the lock."""

    def __init__(self, server: AuthorizationServer) -> None:
        super().__init__(server, [_Claims])
        self._provider = server.provider

    def authenticate_token(self, request: Any) -> bool:
        """Return True where registration is open, to anybody."""
        if not self._provider.allow_registration:
            raise AccessDeniedError("Nobody can register here.", status_code=403)
        return True

    def extract_client_metadata(self, request: Any) -> dict[str, Any]:
        return self._read(flask.request.get_json(silent=True))

    def get_server_metadata(self) -> dict[str, Any]:
        """Return what the client's metadata must fit."""
        return {
            "grant_types_supported": GRANT_TYPES,
            "response_types_supported": ["code"],
            "scopes_supported": self._provider.scopes_supported,
            "token_endpoint_auth_methods_supported": usable_methods(_METHODS, self._provider),
        }

    def generate_client_info(self, *_: object) -> dict[str, Any]:
        return {"client_id": secrets.token_urlsafe(16), "client_id_issued_at": int(self.server.unix_time())}

    def save_client(
        self, client_info: Mapping[str, Any], client_metadata: Mapping[str, Any], request: Any
    ) -> RegisteredClient:
        return self._keep(client_info["client_id"], client_metadata)

    def generate_client_registration_info(self, client: RegisteredClient, request: Any) -> dict[str, Any] | None:
        """Return the secret and its end, if the client has one (RFC 7591 section 3.2.1)."""
        if client.secret is None:
            return None
        return {"client_secret": client.secret, "client_secret_expires_at": client.secret_expires_at}

    def client_of_document(self, client_id: str) -> RegisteredClient | None:
        """Return the client whose metadata is at the URL that its id is, None if there is none that will do."""
        if not self._provider.client_id_metadata_document_supported or not is_document_url(client_id):
            return None
        document = fetch_document(client_id)
        if document is None or document.get("client_id") != client_id or "client_secret" in document:
            return None
        try:
            metadata = self._read({"token_endpoint_auth_method": "none", **document})
        except OAuth2Error:
            return None
        return self._keep(client_id, metadata) if metadata["token_endpoint_auth_method"] == "none" else None

    def _read(self, given: object) -> dict[str, Any]:
        """Return the metadata that a client gives, with what holds where it gives none. Raises `OAuth2Error`."""
        if not isinstance(given, dict):
            raise InvalidClientMetadataError("The metadata must be a JSON object.")
        fields: dict[str, Any] = {
            "token_endpoint_auth_method": "client_secret_basic",
            "grant_types": ["authorization_code"],
            "response_types": ["code"],
        }
        if self._provider.scopes_supported is not None:
            fields["scope"] = " ".join(self._provider.scopes_supported)
        fields |= {name: value for name, value in given.items() if value is not None}
        request = SimpleNamespace(payload=SimpleNamespace(data=fields))
        return super().extract_client_metadata(request)  # type: ignore[no-any-return]

    def _keep(self, client_id: str, metadata: Mapping[str, Any]) -> RegisteredClient:
        client = self.server.clients[client_id] = RegisteredClient(self.server, client_id, metadata)
        return client


class _Claims(ClientMetadataClaims):  # type: ignore[misc]
    """The metadata that is known, with `application_type` (OpenID Connect Registration 2)."""

    REGISTERED_CLAIMS = (*ClientMetadataClaims.REGISTERED_CLAIMS, "application_type")

    def validate(self, *args: Any, **kwargs: Any) -> None:
        for name in {*self.REGISTERED_CLAIMS} & self.keys() - {"jwks"}:
            values = self[name] if name in _LISTS else [self[name]]
            if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                raise InvalidClientMetadataError(f"The {name} must be {'texts' if name in _LISTS else 'a text'}.")
        super().validate(*args, **kwargs)

    def validate_redirect_uris(self) -> None:
        """Take https, http on loopback, and schemes of the client's own, which Authlib doesn't know."""
        uris = self.get("redirect_uris", [])
        if not uris and "authorization_code" in self["grant_types"]:
            raise InvalidRedirectURIError("There must be redirect_uris.")
        for uri in uris:
            if not _is_redirect_uri(uri):
                raise InvalidRedirectURIError(
                    "Each of the redirect_uris must be https, http on loopback, or of a scheme."
                )


class RegisteredClient(Client):
    """A client that keeps to its metadata."""

    def __init__(self, server: AuthorizationServer, client_id: str, metadata: Mapping[str, Any]) -> None:
        super().__init__(server.provider)
        self._now = server.unix_time
        self._client_id = client_id
        self._metadata = metadata
        self.secret = None if metadata["token_endpoint_auth_method"] == "none" else secrets.token_urlsafe(32)
        lifetime = self._provider.client_secret_lifetime
        self.secret_expires_at = 0 if lifetime is None else int(self._now() + lifetime)

    def get_client_id(self) -> str:
        return self._client_id

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return the scope, or None if some of it isn't registered; who has registered none may ask for any."""
        ceiling = self._metadata.get("scope")
        allowed = ceiling is None or {*(scope or "").split()} <= {*ceiling.split()}
        return (scope or "") if allowed else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Allow what is registered, character by character, but for what `ignore_loopback_ports` says."""
        registered = self._metadata.get("redirect_uris", ())
        if redirect_uri in registered or not self._provider.ignore_loopback_ports:
            return redirect_uri in registered
        return is_loopback(redirect_uri) and without_port(redirect_uri) in map(without_port, registered)

    def check_client_secret(self, client_secret: str) -> bool:
        has_expired = 0 < self.secret_expires_at <= self._now()
        return self.secret is not None and not has_expired and same(client_secret, self.secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return bool(method == self._metadata["token_endpoint_auth_method"])

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self._metadata["grant_types"]


def _is_redirect_uri(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    if "#" in uri or parts.scheme == "http":
        return "#" not in uri and is_loopback(uri)
    return bool(parts.hostname if parts.scheme == "https" else parts.scheme)
