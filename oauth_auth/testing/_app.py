"""The authorization server's pages and endpoints, in Flask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask
from authlib.oauth2 import OAuth2Error

from ._client import CLIENT_AUTH_METHODS

if TYPE_CHECKING:
    from ._authorization import AuthorizationServer
    from ._provider import LocalProvider

__all__ = ["create_app"]


def create_app(provider: LocalProvider, server: AuthorizationServer) -> flask.Flask:
    """Return the application that has all of the provider but its API."""
    app = flask.Flask(__name__, static_folder=None)

    @app.errorhandler(OAuth2Error)
    def refuse(error: OAuth2Error) -> flask.Response:
        response: flask.Response = server.handle_error_response(None, error)
        server.execute_hook("after_create_authorization_response", response)  # adds iss to a redirect
        return response

    @app.post("/token")
    def token() -> flask.Response:
        with server.lock:
            return server.create_token_response()  # type: ignore[no-any-return]

    @app.post("/revoke")
    def revoke() -> flask.Response:
        with server.lock:
            return server.create_endpoint_response("revocation")  # type: ignore[no-any-return]

    @app.get("/authorize")
    def authorize() -> flask.Response:
        grant = server.get_consent_grant(end_user=provider.username)
        # A real server would show a login page here, and go on when its form is sent.
        return server.create_authorization_response(  # type: ignore[no-any-return]
            grant_user=provider.username, grant=grant
        )

    @app.get("/.well-known/oauth-authorization-server")
    def metadata() -> dict[str, Any]:
        return _metadata(provider)

    return app


def _metadata(provider: LocalProvider) -> dict[str, Any]:
    """Return the server's metadata (RFC 8414)."""
    return {
        "issuer": provider.issuer,
        "authorization_endpoint": provider.authorization_url,
        "token_endpoint": provider.token_url,
        "revocation_endpoint": provider.revocation_url,
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "client_credentials", "password", "refresh_token"],
        "token_endpoint_auth_methods_supported": CLIENT_AUTH_METHODS,
        "revocation_endpoint_auth_methods_supported": CLIENT_AUTH_METHODS,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }
