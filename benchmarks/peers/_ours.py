"""oauth_auth itself, and the plainest auth there can be: a constant header with a token that nobody renews."""

from __future__ import annotations

import dataclasses
import importlib
import time
from pathlib import Path
from typing import Any, ClassVar

from oauth_auth import OAuthToken

from ._aiohttp_peers import Session
from ._contender import SCENARIOS, Contender, httpx_options, plain_session

SHARED_KEY = "the-person"


class _Ours(Contender):
    remarks: ClassVar = {"proofs": "a generator can't be sent again: the caller gets the 401"}

    def _open(self, auth: Any) -> Any:
        return open_plain(self.http, auth, tasks=self.tasks)

    def _auth(self, name: str, provider: Any, **options: Any) -> Any:
        make = getattr(importlib.import_module(f"oauth_auth.{self.http}"), name)
        return make(provider.token_url, provider.client_id, provider.client_secret, **options)

    def service(self, provider: Any, early: float | None = None) -> Any:
        return self._open(self._auth("ClientCredentialsAuth", provider))

    def bound(self, provider: Any, early: float | None = None) -> Any:
        return self._open(self._auth("ClientCredentialsAuth", provider, dpop=True))

    def service_due_in(self, provider: Any, seconds: int) -> Any:
        # A life of 20 s has a leeway of 2 s, and before that a window of 4 s: it's renewed from a random moment of the
        # window's first half on, so 6 to 4 s before its end.
        provider.do(set={"token_lifetime": 20})
        token = self._auth("ClientCredentialsAuth", provider).get_token()
        aged = dataclasses.replace(token, expiry=time.time() + 5 + seconds)
        return self._open(self._auth("ClientCredentialsAuth", provider, token=aged))

    def person(self, provider: Any, kept: dict[str, Any]) -> Any:
        return self._open(self._auth("AuthorizationCodeAuth", provider, token=_token(kept)))

    def save_login(self, provider: Any, kept: dict[str, Any], folder: Path) -> None:
        from oauth_auth.stores import FileTokenStore

        FileTokenStore(folder).save(SHARED_KEY, _token(kept))

    def sharing(self, provider: Any, folder: Path) -> Any:
        from oauth_auth.stores import FileTokenStore

        store = FileTokenStore(folder)
        return self._open(self._auth("AuthorizationCodeAuth", provider, store=store, store_key=SHARED_KEY))


def _token(kept: dict[str, Any]) -> OAuthToken:
    return OAuthToken(
        access_token=kept["access_token"],
        refresh_token=kept["refresh_token"],
        expires_in=kept["expires_in"] if kept["expires_in"] > 0 else None,
        expiry=kept["expires_at"],
    )


def open_plain(http: str, auth: Any, *, tasks: bool) -> Any:
    """Return the HTTP library's own client with an auth plug-in."""
    if http == "requests":
        return plain_session(auth)
    if http == "aiohttp":
        return Session(auth)
    library = importlib.import_module(http)
    make = library.AsyncClient if tasks else library.Client
    return make(auth=auth, **httpx_options(library))


class OursRequests(_Ours):
    name = "oauth_auth, requests"
    http = "requests"


class OursHttpx(_Ours):
    name = "oauth_auth, httpx"
    http = "httpx"
    scenarios = ("hot_path", "stampede", "proofs")


class OursHttpxTasks(_Ours):
    name = "oauth_auth, httpx (tasks)"
    http = "httpx"
    tasks = True
    scenarios = tuple(name for name in SCENARIOS if name != "proofs")  # its client takes no body from a file


class OursHttpx2Tasks(_Ours):
    name = "oauth_auth, httpx2 (tasks)"
    http = "httpx2"
    tasks = True
    scenarios = ("hot_path", "stampede")


class OursAiohttpTasks(_Ours):
    name = "oauth_auth, aiohttp (tasks)"
    http = "aiohttp"
    tasks = True


class _Bare(Contender):
    scenarios = ("stampede", "expiry", "outage")

    def service(self, provider: Any, early: float | None = None) -> Any:
        token = provider.login(3600)["access_token"]
        return open_plain(self.http, constant_header(self.http, token), tasks=self.tasks)

    def service_due_in(self, provider: Any, seconds: int) -> Any:
        return self.service(provider)


def constant_header(http: str, token: str) -> Any:
    """Return the HTTP library's own kind of auth, which sets one header."""
    value = f"Bearer {token}"
    library = importlib.import_module(http)
    if http == "requests":

        class ConstantHeader(library.auth.AuthBase):  # type: ignore[misc]
            def __call__(self, request: Any) -> Any:
                request.headers["Authorization"] = value
                return request

        return ConstantHeader()

    if http == "aiohttp":

        async def constant_middleware(request: Any, handler: Any) -> Any:
            request.headers["Authorization"] = value
            return await handler(request)

        return constant_middleware

    class ConstantFlow(library.Auth):  # type: ignore[misc]
        def auth_flow(self, request: Any) -> Any:
            request.headers["Authorization"] = value
            yield request

    return ConstantFlow()


class BareRequests(_Bare):
    name = "no OAuth: constant header, requests"
    http = "requests"


class BareHttpxTasks(_Bare):
    name = "no OAuth: constant header, httpx (tasks)"
    http = "httpx"
    tasks = True


class BareAiohttpTasks(_Bare):
    name = "no OAuth: constant header, aiohttp (tasks)"
    http = "aiohttp"
    tasks = True


CONTENDERS: list[Contender] = [
    OursRequests(),
    OursHttpx(),
    OursHttpxTasks(),
    OursHttpx2Tasks(),
    OursAiohttpTasks(),
    BareRequests(),
    BareHttpxTasks(),
    BareAiohttpTasks(),
]
