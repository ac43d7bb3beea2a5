"""The authorization server's endpoints and pages, in Flask."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import flask
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError

from ._metadata import DOCUMENTS

if TYPE_CHECKING:
    from ._authorization import AuthorizationServer
    from ._provider import LocalProvider

__all__ = ["create_app"]

_ONCE = (
    *("grant_type", "client_id", "client_secret", "scope", "username", "password", "refresh_token", "code"),
    *("redirect_uri", "code_verifier", "response_type", "state", "code_challenge", "code_challenge_method"),
    *("device_code", "token", "token_type_hint", "client_assertion", "client_assertion_type"),
    *("request", "request_uri", "dpop_jkt", "authorization_details"),
    *("acr_values", "max_age", "prompt", "assertion", "subject_token", "subject_token_type"),
    *("actor_token", "actor_token_type", "requested_token_type"),
)
"""The parameters that the server knows. Unknown ones are ignored, and some may repeat: `resource` (RFC 8707), say."""
_DEVICE_PAGE = """<!doctype html>
<title>Log in a device</title>
<form><label>The code that the device shows: <input name="user_code"></label> <button>Approve</button></form>
"""


def create_app(provider: LocalProvider, server: AuthorizationServer) -> flask.Flask:
    """Return the application that has all of the provider but its API."""
    app = flask.Flask(__name__, static_folder=None)

    app.before_request(_refuse_repeated_parameters)
    _add_endpoints(app, provider, server)
    _add_pages(app, provider, server)
    for path, document in DOCUMENTS.items():
        app.add_url_rule(path, path, partial(document, provider))
    return app


def _add_endpoints(app: flask.Flask, provider: LocalProvider, server: AuthorizationServer) -> None:
    """Add what programs call."""

    @app.after_request
    def tell_nonce(response: flask.Response) -> flask.Response:
        if provider.dpop_nonces and flask.request.endpoint in {"token", "par"}:
            response.headers["DPoP-Nonce"] = server.proofs.nonce
        return response

    @app.errorhandler(OAuth2Error)
    def refuse(error: OAuth2Error) -> flask.Response:
        response: flask.Response = server.handle_error_response(None, error)
        server.execute_hook("after_create_authorization_response", response)  # adds iss to a redirect
        return response

    @app.post("/token")
    def token() -> flask.Response:
        with server.lock:
            return server.create_token_response()  # type: ignore[no-any-return]

    @app.post("/par")
    def par() -> flask.Response:
        with server.lock:
            return server.handle_response(*server.requests.push())  # type: ignore[no-any-return]

    @app.post("/revoke", defaults={"name": "revocation"})
    @app.post("/introspect", defaults={"name": "introspection"})
    @app.post("/register", defaults={"name": "client_registration"})
    @app.post("/device_authorization", defaults={"name": "device_authorization"})
    def endpoint(name: str) -> flask.Response:
        with server.lock:
            return server.create_endpoint_response(name)  # type: ignore[no-any-return]


def _add_pages(app: flask.Flask, provider: LocalProvider, server: AuthorizationServer) -> None:
    """Add what browsers are sent to."""

    @app.get("/authorize")
    def authorize() -> flask.Response:
        with server.lock:
            request = server.requests.from_browser()
            grant = server.get_consent_grant(request, end_user=provider.username)
            # A real server would show a login page here, and go on when its form is sent.
            return server.create_authorization_response(  # type: ignore[no-any-return]
                request, grant_user=provider.username, grant=grant
            )

    @app.get("/device")
    def device() -> str | tuple[str, int]:
        user_code = flask.request.args.get("user_code")
        if not user_code:
            return _DEVICE_PAGE
        try:
            provider.approve_device(user_code)
        except LookupError as error:
            return str(error), 404
        return "The device is logged in."


def _refuse_repeated_parameters() -> None:
    """Raise `InvalidRequestError` for a parameter that's there twice (RFC 6749 sections 3.1 and 3.2)."""
    values = flask.request.values
    for name in _ONCE:
        if len(values.getlist(name)) > 1:
            raise InvalidRequestError(f"Multiple '{name}' in request.", state=values.get("state"))
