"""Mistakes that people make, each of which mypy and pyright find. Checked by both, never run.

An `ignore` that a checker has no use for is an error: so each of these is one to both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import httpx
import niquests
import requests

import oauth_auth.aiohttp
import oauth_auth.httpx
import oauth_auth.niquests
import oauth_auth.requests
from oauth_auth import (
    BrowserLogin,
    ClientAssertion,
    DeviceLogin,
    DPoPKey,
    JwtAssertion,
    MemoryTokenStore,
    OAuthToken,
    PrivateKeyJwt,
    RequestObject,
)
from oauth_auth import ClientCredentialsAuth as Elsewhere  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
from oauth_auth.requests import BrowserLogin as NotHere  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]

__all__ = ["Elsewhere", "NotHere"]

URL, ISSUER = "https://auth.example.com/token", "https://auth.example.com"
API = "https://api.example.com/v1"

service = oauth_auth.requests.ClientCredentialsAuth
user = oauth_auth.requests.AuthorizationCodeAuth
exchange = oauth_auth.requests.TokenExchangeAuth
resource = oauth_auth.requests.ResourceAuth


def at_construction() -> None:
    service(URL, "id", "secret", scop="read")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    service(URL, "id", "secret", leeway="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", "secret", store="file:tokens")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", "secret", store=MemoryTokenStore)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", "secret", token="abc")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", "secret", rejection_statuses=401)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", "secret", client_auth="post")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", "secret", timeout=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    scope: Any = "read"  # of no type: which field mypy compares a text with goes by the order that it has read them in
    service(URL, "id", "secret", scope)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    oauth_auth.requests.PasswordAuth(URL, "id", "secret", username="alice")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    oauth_auth.requests.TokenProviderAuth(lambda: OAuthToken(access_token="x"))  # type: ignore[arg-type, misc]  # pyright: ignore[reportArgumentType]
    user(URL, "id", login=BrowserLogin)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    user(URL, "id", redirect_url="https://app.example.com/callback")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def at_a_resource() -> None:
    resource(API, "id")  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    resource(API, login=DeviceLogin)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    resource(API, allowed_origins=[API])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    resource(API, client_metadata=[("client_name", "x")])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def with_keys() -> None:
    service(URL, "id", client_auth=PrivateKeyJwt)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", client_auth=ClientAssertion("eyJ…"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", dpop="true")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", dpop=Path("key.pem"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", client_certificate="client.pem")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", client_certificate=("client.pem", "client.key"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", authorization_details={"type": "payment"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    service(URL, "id", authorization_details=["payment"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    service(URL, "id", step_up=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    user(URL, "id", par="https://auth.example.com/par")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    user(URL, "id", request_object=PrivateKeyJwt("key"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    user(URL, "id", step_up=BrowserLogin())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    JwtAssertion("key")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    DPoPKey()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    RequestObject("key", lifetime="300")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    exchange(URL, "id", "secret")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    exchange(URL, "id", "secret", subject_token=b"token")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    exchange(URL, "id", "secret", subject_token=OAuthToken(access_token="x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    exchange(URL, "id", "secret", subject_token="x", actor_token=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    oauth_auth.requests.JwtBearerAuth(URL)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    oauth_auth.requests.JwtBearerAuth(URL, assertion=service(URL, "id", "secret"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    oauth_auth.requests.JwtBearerAuth(URL, assertion=PrivateKeyJwt("key"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service(URL, "id", "secret").introspect(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    oauth_auth.httpx.BearerAuth("x").introspect()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def with_the_factories() -> None:
    service.from_issuer(ISSUER, "id", "secret", scop="read")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    service.from_issuer(ISSUER, "id", "secret", audience=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service.from_issuer(ISSUER)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    service.from_env(client_secret=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    service.from_env("OAUTH_", scop="read")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    user.from_issuer(ISSUER, "id", pars=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    exchange.from_issuer(ISSUER, "id", "secret")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    exchange.from_env()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    user.from_issuer(ISSUER, "id", login=BrowserLogin)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def across_libraries() -> None:
    requests.get("https://api.example.com", auth=oauth_auth.httpx.BearerAuth("x"), timeout=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    httpx.Client(auth=oauth_auth.requests.BearerAuth("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    aiohttp.ClientSession(middlewares=[oauth_auth.httpx.BearerAuth("x")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    service(URL, "id", "secret", token_client=httpx.Client())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    oauth_auth.httpx.ClientCredentialsAuth(URL, "id", "secret", token_client=requests.Session())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    oauth_auth.httpx.ClientCredentialsAuth(URL, "id", "secret", token_client=httpx.AsyncClient())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    oauth_auth.niquests.ClientCredentialsAuth(URL, "id", "secret", token_client=requests.Session())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    oauth_auth.aiohttp.ClientCredentialsAuth(URL, "id", "secret", token_client=niquests.Session())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def with_an_object() -> None:
    auth = service(URL, "id", "secret")
    requests.get("https://api.example.com", auth=service, timeout=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    auth.aget_token()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    auth.tokn  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    auth.leeway = 5  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    print(auth.token.access_token)  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    print(auth.get_token()["access_token"])  # type: ignore[index]  # pyright: ignore[reportIndexIssue, reportUnknownArgumentType]
