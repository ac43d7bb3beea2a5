"""A Flask app that logs users in, and calls an API for each of them with a token of their own.

Run it: python examples/flask_login.py

Without the variables ISSUER, CLIENT_ID, CLIENT_SECRET and API_URL it brings its own server, which lets anybody in.
The client's redirect URI is the app's address with /callback.
"""

import os
import secrets
from functools import lru_cache
from typing import Any, NamedTuple

import flask
import requests
from werkzeug.wrappers import Response

from oauth_auth import (
    AuthorizationResponseError,
    MemoryTokenStore,
    OAuthError,
    ReauthorizationRequired,
)
from oauth_auth.requests import AuthorizationCodeAuth
from oauth_auth.testing import LocalProvider

PAGE = """<!doctype html>
<html lang="en"><title>Flask login</title><h1>{{ title }}</h1><p>{{ text }}</p>
{% if logged_in %}<form method="post" action="/logout"><button>Log out</button></form>
{% else %}<a href="/login">Log in</a>{% endif %}</html>
"""


class Server(NamedTuple):
    """The authorization server, this app's registration there, and the API."""

    issuer: str
    client_id: str
    client_secret: str | None
    api_url: str


def create_app(server: Server) -> flask.Flask:
    app = flask.Flask(__name__)
    # In production: a key and stores that all processes share, such as RedisTokenStore, and SESSION_COOKIE_SECURE.
    app.secret_key = secrets.token_bytes(32)
    app.config.update(SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SAMESITE="Lax")
    tokens = MemoryTokenStore()
    # Flask's session is a cookie that's signed and can be read: it holds names of what is kept here, no secret.
    logins: dict[str, dict[str, Any]] = {}

    @lru_cache(1000)
    def auth_of(user: str) -> AuthorizationCodeAuth:
        return AuthorizationCodeAuth.from_issuer(
            server.issuer,
            server.client_id,
            server.client_secret,
            scope="openid",
            offline_access=True,  # most servers give a refresh token only to those who ask for it
            store=tokens,
            store_key=user,  # one user's tokens are never another's
        )

    @app.get("/")
    def home() -> str:
        user = flask.session.get("user")
        if user is None:
            return flask.render_template_string(PAGE, title="Hello", text="You are not logged in.")
        answer = requests.get(server.api_url, auth=auth_of(user), timeout=5)
        answer.raise_for_status()
        return flask.render_template_string(PAGE, title="Hello", text=f"The API says {answer.text}", logged_in=True)

    @app.get("/login")
    def login() -> Response:
        request = auth_of("nobody yet").authorization_request(flask.url_for("callback", _external=True))
        flask.session["login"] = login_id = secrets.token_urlsafe()
        logins[login_id] = request.to_dict()
        if len(logins) > 10_000:  # most users come back within minutes, and some never do
            del logins[next(iter(logins))]
        return flask.redirect(request.url)

    @app.get("/callback")
    def callback() -> Response:
        begun = logins.pop(flask.session.pop("login", ""), None)  # each login is good for one answer
        if begun is None:
            flask.abort(400, "No login is under way.")
        user = secrets.token_urlsafe()  # or, with OpenID Connect, the subject of the ID token
        auth_of(user).complete_login(begun, flask.request.url)
        flask.session.clear()  # what another put there before the login isn't carried over
        flask.session["user"] = user
        return flask.redirect("/")

    @app.post("/logout")
    def logout() -> Response:
        if user := flask.session.pop("user", None):
            try:
                auth_of(user).revoke()
            except OAuthError as error:
                app.logger.warning("the server could not end a login: %s", error)
        return flask.redirect("/")

    @app.errorhandler(AuthorizationResponseError)
    def refused(error: AuthorizationResponseError) -> tuple[str, int]:
        app.logger.warning("a login did not work: %s", error)  # its text comes from whoever made the URL
        return flask.render_template_string(PAGE, title="The login did not work", text="Please try again."), 400

    @app.errorhandler(ReauthorizationRequired)
    def log_in_again(error: ReauthorizationRequired) -> Response:
        flask.session.clear()
        return flask.redirect("/login")

    return app


def main() -> None:
    port = int(os.environ.get("PORT", "5000"))
    if issuer := os.environ.get("ISSUER"):
        server = Server(issuer, os.environ["CLIENT_ID"], os.environ.get("CLIENT_SECRET"), os.environ["API_URL"])
        create_app(server).run(port=port)
        return
    with LocalProvider() as local:
        create_app(Server(local.issuer, local.client_id, local.client_secret, local.api_url)).run(port=port)


if __name__ == "__main__":
    main()
