"""A web application whose users connect their accounts, each with a token of their own.

The server, the client, the redirect URI and the store come from the environment: OAUTH_ISSUER, OAUTH_CLIENT_ID,
OAUTH_CLIENT_SECRET, OAUTH_REDIRECT_URI and OAUTH_STORE. The application's own login puts "user" into the session,
which must be kept where users can't read it, such as by Flask-Session.
"""

import flask
import requests

from oauth_auth.requests import AuthorizationCodeAuth

app = flask.Flask(__name__)
app.config.from_prefixed_env()


def auth():
    return AuthorizationCodeAuth.from_env(store_key=flask.session["user"])


@app.post("/connect")
def connect():
    flask.session["login"] = (login := auth().authorization_request()).to_dict()
    return flask.redirect(login.url)


@app.get("/callback")
def callback():
    auth().complete_login(flask.session["login"], flask.request.url)
    return requests.get("https://api.example.com/orders", auth=auth()).json()
