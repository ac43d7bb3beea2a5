"""A FastAPI app that logs users in, and calls an API for each of them with a token of their own.

Run it: python examples/fastapi_login.py

Without the variables ISSUER, CLIENT_ID, CLIENT_SECRET and API_URL it brings its own server, which lets anybody in.
The client's redirect URI is the app's address with /callback.
"""

import html
import logging
import os
import secrets
from functools import lru_cache
from typing import Any, NamedTuple

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

from oauth_auth import (
    AuthorizationResponseError,
    MemoryTokenStore,
    OAuthError,
    ReauthorizationRequired,
)
from oauth_auth.httpx import AuthorizationCodeAuth
from oauth_auth.testing import LocalProvider

log = logging.getLogger("uvicorn.error")

LOGIN = '<a href="/login">Log in</a>'
LOGOUT = '<form method="post" action="/logout"><button>Log out</button></form>'


class Server(NamedTuple):
    """The authorization server, this app's registration there, and the API."""

    issuer: str
    client_id: str
    client_secret: str | None
    api_url: str


def page(title: str, text: str, action: str, status: int = 200) -> HTMLResponse:
    head = f'<!doctype html><html lang="en"><title>FastAPI login</title><h1>{html.escape(title)}</h1>'
    return HTMLResponse(f"{head}<p>{html.escape(text)}</p>{action}</html>", status)


def create_app(server: Server) -> FastAPI:
    app = FastAPI(openapi_url=None)
    # In production: a key and stores that all processes share, such as RedisTokenStore, and https_only=True. The
    # session is a cookie that's signed and can be read: it holds names of what is kept here, no secret.
    app.add_middleware(SessionMiddleware, secret_key=secrets.token_urlsafe(), same_site="lax", https_only=False)
    tokens = MemoryTokenStore()
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
    async def home(request: Request) -> HTMLResponse:
        user = request.session.get("user")
        if user is None:
            return page("Hello", "You are not logged in.", LOGIN)
        async with httpx.AsyncClient(auth=auth_of(user)) as client:
            answer = await client.get(server.api_url)
        answer.raise_for_status()
        return page("Hello", f"The API says {answer.text}", LOGOUT)

    @app.get("/login")
    async def login(request: Request) -> RedirectResponse:
        authorization = await auth_of("nobody yet").aauthorization_request(str(request.url_for("callback")))
        request.session["login"] = login_id = secrets.token_urlsafe()
        logins[login_id] = authorization.to_dict()
        if len(logins) > 10_000:  # most users come back within minutes, and some never do
            del logins[next(iter(logins))]
        return RedirectResponse(authorization.url)

    @app.get("/callback")
    async def callback(request: Request) -> RedirectResponse:
        begun = logins.pop(request.session.pop("login", ""), None)  # each login is good for one answer
        if begun is None:
            raise HTTPException(400, "No login is under way.")
        user = secrets.token_urlsafe()  # or, with OpenID Connect, the subject of the ID token
        await auth_of(user).acomplete_login(begun, str(request.url))
        request.session.clear()  # what another put there before the login isn't carried over
        request.session["user"] = user
        return RedirectResponse("/")

    @app.post("/logout")
    async def logout(request: Request) -> RedirectResponse:
        if user := request.session.pop("user", None):
            try:
                await auth_of(user).arevoke()
            except OAuthError as error:
                log.warning("the server could not end a login: %s", error)
        return RedirectResponse("/", 303)

    @app.exception_handler(AuthorizationResponseError)
    async def refused(request: Request, error: AuthorizationResponseError) -> HTMLResponse:
        log.warning("a login did not work: %s", error)  # its text comes from whoever made the URL
        return page("The login did not work", "Please try again.", LOGIN, 400)

    @app.exception_handler(ReauthorizationRequired)
    async def log_in_again(request: Request, error: ReauthorizationRequired) -> RedirectResponse:
        request.session.clear()
        return RedirectResponse("/login")

    return app


def main() -> None:
    port = int(os.environ.get("PORT", "8000"))
    if issuer := os.environ.get("ISSUER"):
        server = Server(issuer, os.environ["CLIENT_ID"], os.environ.get("CLIENT_SECRET"), os.environ["API_URL"])
        uvicorn.run(create_app(server), port=port)
        return
    with LocalProvider() as local:
        uvicorn.run(create_app(Server(local.issuer, local.client_id, local.client_secret, local.api_url)), port=port)


if __name__ == "__main__":
    main()
