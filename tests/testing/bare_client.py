"""A client that knows the protocol and nothing else, for asking a `LocalProvider`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import requests

from oauth_auth.testing import LocalProvider

__all__ = ["DEVICE", "REDIRECT_URI", "BareClient", "in_threads", "redirected", "refusal"]

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
REDIRECT_URI = "http://127.0.0.1:9/callback"

Result = TypeVar("Result")


class BareClient:
    """A client of one provider; `basic` are its Basic credentials, or None."""

    def __init__(self, provider: LocalProvider, session: requests.Session) -> None:
        self.provider = provider
        self.session = session
        self.basic: tuple[str, str] | None = (provider.client_id, provider.client_secret)

    def token(self, grant_type: str = "client_credentials", **fields: str) -> requests.Response:
        form = {"grant_type": grant_type, **fields}
        return self.session.post(self.provider.token_url, data=form, auth=self.basic)

    def password(self, **fields: str) -> requests.Response:
        user = {"username": self.provider.username, "password": self.provider.password}
        return self.token("password", **{**user, **fields})

    def refresh(self, refresh_token: str, **fields: str) -> requests.Response:
        return self.token("refresh_token", refresh_token=refresh_token, **fields)

    def authorize(self, **parameters: str) -> requests.Response:
        query = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": REDIRECT_URI,
            **parameters,
        }
        url = self.provider.authorization_url
        return self.session.get(url, params=query, allow_redirects=False)

    def code(self, **parameters: str) -> str:
        return redirected(self.authorize(**parameters))["code"]

    def exchange(self, code: str, **fields: str) -> requests.Response:
        fields = {"redirect_uri": REDIRECT_URI, **fields}
        return self.token("authorization_code", code=code, **fields)

    def device(self, **fields: str) -> requests.Response:
        return self.session.post(self.provider.device_authorization_url, data=fields, auth=self.basic)

    def poll(self, device_code: str, **fields: str) -> requests.Response:
        return self.token(DEVICE, device_code=device_code, **fields)

    def revoke(self, token: str) -> requests.Response:
        url = self.provider.revocation_url
        return self.session.post(url, data={"token": token}, auth=self.basic)

    def introspect(self, token: str, **fields: str) -> requests.Response:
        url = self.provider.introspection_url
        return self.session.post(url, data={"token": token, **fields}, auth=self.basic)

    def api(self, access_token: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {access_token}"}
        return self.session.get(self.provider.api_url, headers=headers)


def redirected(response: requests.Response) -> dict[str, str]:
    assert response.status_code == 302
    assert response.headers["Location"].startswith(REDIRECT_URI + "?")
    return {k: v for k, [v] in parse_qs(urlsplit(response.headers["Location"]).query).items()}


def refusal(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]


def in_threads(count: int, call: Callable[[], Result]) -> list[Result]:
    """Make a call from that many threads, all at the same moment."""
    barrier = threading.Barrier(count)

    def run(_: int) -> Result:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
