"""What the provider says of itself: as an authorization server, as an OpenID provider, and as an API. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc8628 import DEVICE_CODE_GRANT_TYPE

from ._client import CLIENT_AUTH_METHODS, CONFIDENTIAL, usable_methods
from ._delegation import JwtBearerGrant, TokenExchangeGrant
from ._jwts import ASYMMETRIC, HMAC

if TYPE_CHECKING:
    from ._provider import LocalProvider

__all__ = ["DOCUMENTS", "GRANT_TYPES"]

GRANT_TYPES = (
    "authorization_code",
    "client_credentials",
    "password",
    "refresh_token",
    DEVICE_CODE_GRANT_TYPE,
    TokenExchangeGrant.GRANT_TYPE,
    JwtBearerGrant.GRANT_TYPE,
)


def _server_metadata(provider: LocalProvider) -> dict[str, Any]:
    """Return the authorization server's metadata (RFC 8414)."""
    types, scopes = provider.authorization_details_types, provider.scopes_supported
    endpoints = {
        "token_endpoint": provider.token_url,
        "device_authorization_endpoint": provider.device_authorization_url,
        "revocation_endpoint": provider.revocation_url,
        "introspection_endpoint": provider.introspection_url,
        "pushed_authorization_request_endpoint": provider.pushed_authorization_request_url,
    }
    return {
        "issuer": provider.issuer,
        "authorization_endpoint": provider.authorization_url,
        **endpoints,
        **(_mutual_tls(provider, endpoints) if provider.tls else {}),
        **({"registration_endpoint": provider.registration_url} if provider.allow_registration else {}),
        **({"client_id_metadata_document_supported": True} if provider.client_id_metadata_document_supported else {}),
        **({} if scopes is None else {"scopes_supported": [*scopes]}),
        "require_pushed_authorization_requests": provider.require_pushed_authorization_requests,
        "request_parameter_supported": True,
        "request_uri_parameter_supported": False,
        "request_object_signing_alg_values_supported": ASYMMETRIC,
        "require_signed_request_object": provider.require_signed_request_object,
        **({} if types is None else {"authorization_details_types_supported": [*types]}),
        "response_types_supported": ["code"],
        "grant_types_supported": GRANT_TYPES,
        "token_endpoint_auth_methods_supported": usable_methods(CLIENT_AUTH_METHODS, provider),
        "revocation_endpoint_auth_methods_supported": usable_methods(CLIENT_AUTH_METHODS, provider),
        "introspection_endpoint_auth_methods_supported": usable_methods(CONFIDENTIAL, provider),
        "token_endpoint_auth_signing_alg_values_supported": (*ASYMMETRIC, *HMAC),
        "revocation_endpoint_auth_signing_alg_values_supported": (*ASYMMETRIC, *HMAC),
        "introspection_endpoint_auth_signing_alg_values_supported": (*ASYMMETRIC, *HMAC),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "protected_resources": [provider.api_url],
        "dpop_signing_alg_values_supported": ASYMMETRIC,
    }


def _mutual_tls(provider: LocalProvider, endpoints: Mapping[str, str]) -> dict[str, Any]:
    """Return what RFC 8705 adds: certificates are looked at under the aliases alone (section 5)."""
    aliases = {name: url.replace(provider.issuer, f"{provider.issuer}/mtls") for name, url in endpoints.items()}
    return {"mtls_endpoint_aliases": aliases, "tls_client_certificate_bound_access_tokens": True}


def _openid_metadata(provider: LocalProvider) -> dict[str, Any]:
    """Return the same with what OpenID Discovery requires in addition."""
    return {
        **_server_metadata(provider),
        "jwks_uri": f"{provider.issuer}/jwks",
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def _resource_metadata(provider: LocalProvider) -> dict[str, Any]:
    """Return the API's metadata (RFC 9728), whose scopes are those that are for it."""
    scopes = provider.scopes_supported
    of_api = [scope for scope in scopes or () if scope != "offline_access"]
    return {
        "resource": provider.api_url,
        "authorization_servers": [provider.issuer],
        **({} if scopes is None else {"scopes_supported": of_api}),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ASYMMETRIC,
        "dpop_bound_access_tokens_required": provider.require_dpop,
        "tls_client_certificate_bound_access_tokens": provider.tls,
    }


def _key_set(_: LocalProvider) -> dict[str, Any]:
    """Return the keys of ID tokens: none, since no ID token is issued."""
    return {"keys": []}


DOCUMENTS: dict[str, Callable[[LocalProvider], dict[str, Any]]] = {
    "/.well-known/oauth-authorization-server": _server_metadata,
    "/.well-known/openid-configuration": _openid_metadata,
    "/.well-known/oauth-protected-resource/api": _resource_metadata,
    "/jwks": _key_set,
}
"""The documents by their path."""
