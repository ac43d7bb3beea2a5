"""What users write, as type checkers see it. Checked by mypy and pyright, never run."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import aiohttp
import httpx
import httpx2
import niquests
import requests
from opentelemetry import metrics, trace

import oauth_auth.aiohttp
import oauth_auth.httpx
import oauth_auth.httpx2
import oauth_auth.niquests
import oauth_auth.otel
import oauth_auth.requests
from oauth_auth import (
    AuthorizationRequest,
    BrowserLogin,
    ClientAssertion,
    ClientCertificate,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    DeviceLogin,
    DiscoveryError,
    DPoPKey,
    FileTokenStore,
    JwtAssertion,
    MemoryTokenStore,
    OAuthProviderException,
    OAuthToken,
    PrivateKeyJwt,
    PublicClient,
    RegistrationError,
    RequestObject,
    Server,
    TokenRequest,
    TokenStore,
    basic_authorization,
)
from oauth_auth.testing import LocalProvider


def in_requests() -> None:
    auth = oauth_auth.requests.ClientCredentialsAuth("https://a.example/token", "id", "secret", scope=["a", "b"])
    session = requests.Session()
    session.auth = auth
    requests.get("https://api.example", auth=auth, timeout=5)
    assert_type(auth.token, OAuthToken | None)
    assert_type(auth.get_token(), OAuthToken)
    assert_type(auth.refresh(), OAuthToken)
    with auth as same:
        assert_type(same, oauth_auth.requests.ClientCredentialsAuth)


def in_httpx() -> None:
    auth = oauth_auth.httpx.PasswordAuth("https://a.example/token", "id", username="u", password="p", leeway=5)
    httpx.Client(auth=auth)
    httpx.AsyncClient(auth=auth)
    auth2 = oauth_auth.httpx2.RefreshTokenAuth("https://a.example/token", "id", refresh_token="r")
    httpx2.Client(auth=auth2)
    httpx2.AsyncClient(auth=auth2)


async def of_a_resource() -> None:
    url = "https://api.example.com/mcp"
    auth = oauth_auth.httpx2.ResourceAuth(url, login=BrowserLogin(), store=MemoryTokenStore(), scope=["a"])
    httpx2.AsyncClient(auth=auth)
    assert_type(await auth.aget_token(), OAuthToken)
    device = oauth_auth.requests.ResourceAuth(url, login=DeviceLogin(), client_metadata={"client_name": "x"})
    assert_type(device.token, OAuthToken | None)
    assert_type(oauth_auth.httpx.ResourceAuth.from_env(login=BrowserLogin()), oauth_auth.httpx.ResourceAuth)
    oauth_auth.niquests.ResourceAuth(url, client_id="id", client_secret="secret", issuer="https://auth.example.com")
    try:
        device.get_token()
    except RegistrationError as error:
        assert_type((error.error, error.error_description), tuple[str | None, str | None])
        assert_type((error.status_code, error.registration_url), tuple[int | None, str | None])
    except DiscoveryError as error:
        assert_type(error.url, str | None)


async def in_async_httpx() -> None:
    auth = oauth_auth.httpx.AuthorizationCodeAuth("https://a.example/token", "id", code="c", redirect_uri="r")
    assert_type(await auth.aget_token(), OAuthToken)
    assert_type(await auth.arefresh(), OAuthToken)
    async with auth as same:
        assert_type(same, oauth_auth.httpx.AuthorizationCodeAuth)


def in_niquests() -> None:
    auth = oauth_auth.niquests.RefreshTokenAuth("https://a.example/token", "id", refresh_token="r")
    session = niquests.Session(auth=auth)
    session.auth = auth
    niquests.get("https://api.example", auth=auth)
    with auth as same:
        assert_type(same, oauth_auth.niquests.RefreshTokenAuth)


async def in_async_niquests() -> None:
    auth = oauth_auth.niquests.ClientCredentialsAuth(
        "https://a.example/token", "id", "secret", token_client=niquests.Session()
    )
    session = niquests.AsyncSession(auth=auth)
    session.auth = auth
    await niquests.aget("https://api.example", auth=auth)
    assert_type(await auth.aget_token(), OAuthToken)
    assert_type(await auth.arefresh(), OAuthToken)
    await auth.aclose()
    async with auth as same:
        assert_type(same, oauth_auth.niquests.ClientCredentialsAuth)


async def in_aiohttp() -> None:
    auth = oauth_auth.aiohttp.ClientCredentialsAuth(
        "https://a.example/token", "id", "secret", token_client=aiohttp.ClientSession
    )
    async with aiohttp.ClientSession(middlewares=[auth]) as session, session.get("https://api.example") as answer:
        assert_type(answer, aiohttp.ClientResponse)
    assert_type(await auth.aget_token(), OAuthToken)
    async with auth as same:
        assert_type(same, oauth_auth.aiohttp.ClientCredentialsAuth)


def renew(last: OAuthToken | None) -> OAuthToken:
    return last or OAuthToken(access_token="x", expires_in=60)


class MyStore:
    def load(self, key: str) -> OAuthToken | None:
        return None

    def save(self, key: str, token: OAuthToken) -> None: ...

    def delete(self, key: str) -> None: ...

    def lock(self, key: str) -> MemoryLock:
        return MemoryLock()


class MemoryLock:
    def __enter__(self) -> None: ...

    def __exit__(self, *exc_info: object) -> None: ...


def all_options() -> None:
    store: TokenStore = MyStore()
    oauth_auth.requests.TokenProviderAuth(renew, store=store, store_key="mine")
    oauth_auth.requests.BearerAuth("x", allowed_origins=["https://api.example"])
    oauth_auth.requests.ClientCredentialsAuth(
        "https://a.example/token",
        "id",
        "secret",
        scope="a b",
        field_parameters={"audience": "x", "resource": ["a", "b"], "scope": None},
        client_auth=ClientSecretBasic(encode=False),
        token=OAuthToken(access_token="x"),
        store=MemoryTokenStore(),
        store_key="key",
        on_token_update=print,
        token_client=requests.Session(),
        token_timeout=5.0,
        leeway=5,
        refresh_window=60,
        allowed_origins={"https://api.example"},
        allow_insecure_transport=True,
        rejection_statuses=(401, 403),
    )
    oauth_auth.httpx.ClientCredentialsAuth("https://a.example/token", "id", "secret", client_auth=ClientSecretPost())
    oauth_auth.httpx.ClientCredentialsAuth("https://a.example/token", "id", client_auth=PublicClient())


def from_the_factories() -> None:
    auth = oauth_auth.requests.ClientCredentialsAuth.from_issuer(
        "https://a.example", "id", "secret", audience="orders", resource=["https://api.example"], token_url=None
    )
    assert_type(auth, oauth_auth.requests.ClientCredentialsAuth)
    assert_type(oauth_auth.httpx.PasswordAuth.from_env(), oauth_auth.httpx.PasswordAuth)
    oauth_auth.httpx.PasswordAuth.from_env("MY_", username="alice", scope="read", token_client=httpx.Client())
    oauth_auth.aiohttp.DeviceCodeAuth.from_issuer("https://a.example", "id", offline_access=True)


def as_json(request: TokenRequest) -> TokenRequest:
    return dataclasses.replace(request, headers={**request.headers, "X": "y"}).as_json()


def unpack(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"access_token": fields["body"]["token"]}


async def in_a_web_application() -> None:
    auth = oauth_auth.httpx.AuthorizationCodeAuth.from_issuer(
        "https://a.example", "id", "secret", token_request_hook=as_json, token_response_hook=unpack
    )
    request = auth.authorization_request("https://app.example/callback")
    assert_type(request, AuthorizationRequest)
    assert_type(await auth.aauthorization_request("https://app.example/callback"), AuthorizationRequest)
    assert_type(auth.complete_login(request, "https://app.example/callback?code=c"), OAuthToken)
    assert_type((await auth.acomplete_login(request, "?code=c")).authorization, str)
    oauth_auth.requests.AuthorizationCodeAuth.from_issuer(
        "https://a.example", "id", login=BrowserLogin(), store=FileTokenStore("~/.tokens")
    )


async def with_keys() -> None:
    key, certificate = DPoPKey.generate(), ClientCertificate("client.pem", Path("client.key"))
    assert_type(key.thumbprint, str)
    assert_type(certificate.files, tuple[str, str])
    assert_type(certificate.ssl_context(), ssl.SSLContext)
    make = oauth_auth.httpx.ClientCredentialsAuth.from_issuer
    make("https://a.example", "id", client_auth=PrivateKeyJwt(Path("key.pem"), kid="k", claims={"tenant": "t"}))
    make("https://a.example", "id", "secret", client_auth=ClientSecretJwt(), dpop=True)
    make("https://a.example", "id", client_auth=ClientAssertion(Path("/var/run/secrets/token")))
    make("https://a.example", "id", client_auth=ClientAssertion(lambda: "x"), client_certificate=certificate)
    auth = oauth_auth.httpx.AuthorizationCodeAuth.from_issuer(
        "https://a.example",
        "id",
        client_auth=PrivateKeyJwt("key"),
        dpop=key,
        par=True,
        request_object=RequestObject("key"),
        login=BrowserLogin(),
        step_up=True,
        resource=["https://api.example"],
        authorization_details=[{"type": "payment", "amount": {"value": 1}}],
    )
    assert_type(auth.authorization_request("https://app.example/callback"), AuthorizationRequest)
    assert_type(await auth.aauthorization_request(), AuthorizationRequest)
    assert_type(auth.introspect(), Mapping[str, Any])
    assert_type(await auth.aintrospect(OAuthToken(access_token="x")), Mapping[str, Any])


def with_tokens_of_others() -> None:
    url = "https://a.example/token"
    subject = oauth_auth.requests.AuthorizationCodeAuth(url, "id")
    exchanged = oauth_auth.niquests.TokenExchangeAuth(
        url, "id", "secret", subject_token=subject, actor_token=lambda: "x"
    )
    again = oauth_auth.aiohttp.TokenExchangeAuth.from_env(subject_token=exchanged, actor_token=Path("token"))
    aiohttp.ClientSession(middlewares=[again])
    assertion = JwtAssertion(Path("key.pem"), issuer="x@y.iam", claims={"scope": "a"})
    niquests.Session(auth=oauth_auth.niquests.JwtBearerAuth(url, assertion=assertion))
    httpx.Client(auth=oauth_auth.httpx.JwtBearerAuth.from_issuer("https://a.example", "id", assertion="text"))


def in_the_controller() -> None:
    urls: Mapping[Server, str] = {Server.DEFAULT: "https://a.example/token", Server.AUTH: "https://b.example/token"}
    controller = oauth_auth.requests.OAuthAuthorizationController(urls, token_timeout=5)
    try:
        token = controller.request_token_o_auth_ccg(basic_authorization("id", "secret"), "a b", {"audience": "x"})
    except OAuthProviderException as error:
        assert_type(error.status_code, int | None)
    else:
        assert_type(token, OAuthToken)


def in_telemetry() -> None:
    oauth_auth.otel.instrument()
    oauth_auth.otel.instrument(tracer_provider=trace.get_tracer_provider(), meter_provider=metrics.get_meter_provider())
    oauth_auth.otel.uninstrument()


def in_tests() -> None:
    with LocalProvider(token_lifetime=2) as provider:
        assert_type(provider.token_url, str)
        provider.fail_token_requests(503, count=2, retry_after=1)
        provider.device_code_lifetime = 30
        provider.approve_device("BCDF-GHJK")
