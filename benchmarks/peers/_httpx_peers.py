"""The peers that work with httpx or httpx2."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from ._contender import NO_401, NO_DPOP, AsyncRereading, Contender, httpx_options, read_json, write_json


class AuthlibAsyncClient(Contender):
    name = "Authlib AsyncOAuth2Client (tasks)"
    http = "httpx2"
    tasks = True
    early = 60
    cannot: ClassVar = {"revocation": NO_401, "proofs": NO_DPOP}

    def _client(self, provider: Any, **options: Any) -> Any:
        import httpx2
        from authlib.integrations.httpx_client import AsyncOAuth2Client

        options = {"token_endpoint": provider.token_url, **httpx_options(httpx2), **options}
        return AsyncOAuth2Client(provider.client_id, provider.client_secret, **options)

    def service(self, provider: Any, early: float | None = None) -> Any:
        leeway = self.early if early is None else early
        old = {"access_token": "expired", "token_type": "Bearer", "expires_at": 1}
        return self._client(provider, grant_type="client_credentials", token=old, leeway=leeway)

    def person(self, provider: Any, kept: dict[str, Any]) -> Any:
        return self._client(provider, token=kept)

    def sharing(self, provider: Any, folder: Path) -> Any:
        path = folder / "token.json"

        async def update_token(token: Any, refresh_token: str | None = None, access_token: str | None = None) -> None:
            write_json(path, token)

        client = self._client(provider, token=read_json(path), update_token=update_token, leeway=0.2)
        return AsyncRereading(client, path)


class HttpxAuth(Contender):
    """It takes no login that was kept, and with a code opens a browser: so it knows the person's password."""

    name = "httpx-auth"
    http = "httpx"
    early = 30
    logs_in = True
    cannot: ClassVar = {"revocation": NO_401, "proofs": NO_DPOP}
    remarks: ClassVar = dict.fromkeys(("rotation", "processes"), "may log in with the password again")

    def _open(self, auth: Any) -> Any:
        import httpx

        make = httpx.AsyncClient if self.tasks else httpx.Client
        return make(auth=auth, **httpx_options(httpx))

    def service(self, provider: Any, early: float | None = None) -> Any:
        from httpx_auth import OAuth2, OAuth2ClientCredentials

        OAuth2.token_cache.clear()
        auth = OAuth2ClientCredentials(
            provider.token_url, provider.client_id, provider.client_secret, early_expiry=early
        )
        return self._open(auth)

    def person(self, provider: Any, kept: dict[str, Any]) -> Any:
        from httpx_auth import OAuth2

        OAuth2.token_cache.clear()
        return self._open(self._password(provider))

    def _password(self, provider: Any) -> Any:
        from httpx_auth import OAuth2ResourceOwnerPasswordCredentials

        return OAuth2ResourceOwnerPasswordCredentials(
            provider.token_url,
            provider.username,
            provider.password,
            client_auth=(provider.client_id, provider.client_secret),
            early_expiry=0.2,
        )

    def save_login(self, provider: Any, kept: dict[str, Any], folder: Path) -> None:
        import httpx
        from httpx_auth import JsonTokenFileCache, OAuth2

        OAuth2.token_cache = JsonTokenFileCache(folder / "tokens.json")
        with httpx.Client(auth=self._password(provider), **httpx_options(httpx)) as client:
            client.get(provider.api_url)

    def sharing(self, provider: Any, folder: Path) -> Any:
        from httpx_auth import JsonTokenFileCache, OAuth2

        OAuth2.token_cache = JsonTokenFileCache(folder / "tokens.json")
        return self._open(self._password(provider))


class HttpxAuthTasks(HttpxAuth):
    name = "httpx-auth (tasks)"
    tasks = True


class Mcp(Contender):
    """It's made for servers of the Model Context Protocol, but is an auth plug-in like any other.

    It discovers its endpoints, and gets its first token when a request has been answered with 401.
    """

    name = "mcp (tasks)"
    http = "httpx2"
    tasks = True
    logs_in = True
    cannot: ClassVar = {"proofs": NO_DPOP}
    remarks: ClassVar = {
        "stampede": "one request at a time",
        "expiry": "one request at a time",
        "processes": "a stored token's expiry isn't known; a 401 then wants a person",
    }

    def _open(self, auth: Any) -> Any:
        import httpx2

        return httpx2.AsyncClient(auth=auth, **httpx_options(httpx2))

    def service(self, provider: Any, early: float | None = None) -> Any:
        from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider

        auth = ClientCredentialsOAuthProvider(
            server_url=provider.api_url,
            storage=_Storage(provider, None),
            client_id=provider.client_id,
            client_secret=provider.client_secret,
            issuer=provider.issuer,
        )
        return self._open(auth)

    def person(self, provider: Any, kept: dict[str, Any]) -> Any:
        browser = _Browser()
        return self._with_code(provider, _Storage(provider, None), browser.redirect, browser.callback)

    def _with_code(self, provider: Any, storage: Any, redirect_handler: Any, callback_handler: Any) -> Any:
        from mcp.client.auth import OAuthClientProvider
        from mcp.shared.auth import OAuthClientMetadata

        metadata = OAuthClientMetadata.model_validate({"redirect_uris": [REDIRECT_URI]})
        auth = OAuthClientProvider(
            server_url=provider.api_url,
            client_metadata=metadata,
            storage=storage,
            redirect_handler=redirect_handler,
            callback_handler=callback_handler,
        )
        return self._open(auth)

    def sharing(self, provider: Any, folder: Path) -> Any:
        async def ask(*_: Any) -> Any:
            raise PersonNeededError

        return self._with_code(provider, _Storage(provider, folder / "token.json"), ask, ask)


REDIRECT_URI = "http://localhost:3000/callback"


class PersonNeededError(Exception):
    """Nobody is there to log in again."""


class _Browser:
    """A person who approves at once: the authorization endpoint's answer is the redirect."""

    async def redirect(self, url: str) -> None:
        import httpx2

        async with httpx2.AsyncClient(trust_env=False) as browser:
            response = await browser.get(url)
        query = parse_qs(urlsplit(response.headers["Location"]).query)
        self._answer = {name: query[name][0] for name in ("code", "state", "iss") if name in query}

    async def callback(self) -> Any:
        from mcp.shared.auth import AuthorizationCodeResult

        return AuthorizationCodeResult(**self._answer)


class _Storage:
    """mcp's `TokenStorage`: in memory, or in a file."""

    def __init__(self, provider: Any, path: Path | None) -> None:
        self._provider, self._path = provider, path
        self._tokens: Any = None

    async def get_tokens(self) -> Any:
        from mcp.shared.auth import OAuthToken

        if self._path and self._path.exists():
            return OAuthToken.model_validate(read_json(self._path))
        return self._tokens

    async def set_tokens(self, tokens: Any) -> None:
        self._tokens = tokens
        if self._path:
            write_json(self._path, tokens.model_dump(mode="json"))

    async def get_client_info(self) -> Any:
        from mcp.shared.auth import OAuthClientInformationFull

        info = {
            "client_id": self._provider.client_id,
            "client_secret": self._provider.client_secret,
            "redirect_uris": [REDIRECT_URI],
            "token_endpoint_auth_method": "client_secret_basic",
            "issuer": self._provider.issuer,
        }
        return OAuthClientInformationFull.model_validate(info)

    async def set_client_info(self, client_info: Any) -> None:
        pass


CONTENDERS: list[Contender] = [AuthlibAsyncClient(), HttpxAuth(), HttpxAuthTasks(), Mcp()]
