"""What an API that nobody has configured costs: with a token nothing more, without one a few calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import httpx
import niquests
import requests

import oauth_auth.aiohttp
import oauth_auth.httpx
import oauth_auth.niquests
import oauth_auth.requests
from oauth_auth import MemoryTokenStore, OAuthToken
from oauth_auth.testing import LocalProvider

from ._figures import Figure
from .hot_path import (
    ConstantHeader,
    compare,
    constant_flow,
    constant_middleware,
    time_aiohttp,
    time_async_flow,
    time_requests,
    time_sync_flow,
)

AT_ONCE = 50


def resource(plugin: Any) -> Any:
    token = OAuthToken(access_token="a-token-of-usual-length-0123456789abcdef", expires_in=3600)
    return plugin.ResourceAuth("https://api.example.com/v1", token=token)


def with_a_token() -> list[Figure]:
    of_requests, of_niquests = resource(oauth_auth.requests), resource(oauth_auth.niquests)
    of_httpx, of_aiohttp = resource(oauth_auth.httpx), resource(oauth_auth.aiohttp)
    pairs = [
        (requests, "one auth(prepared_request)", time_requests(requests, of_requests), None, 2.5),
        (niquests, "one auth(prepared_request)", time_requests(niquests, of_niquests), None, 2.5),
        (httpx, "one flow, sync", time_sync_flow(httpx, of_httpx), time_sync_flow(httpx, constant_flow(httpx)), 1.0),
        (httpx, "one flow, async", time_async_flow(httpx, of_httpx), time_async_flow(httpx, constant_flow(httpx)), 1.0),
        (aiohttp, "one request without a network", time_aiohttp(of_aiohttp), time_aiohttp(constant_middleware), 1.05),
    ]
    figures = []
    for library, what, ours, theirs, most in pairs:
        ratio, mine, other = compare(ours, theirs or time_requests(library, ConstantHeader()))
        measured = f"{ratio:.2f} × ({mine:.2f} µs to {other:.2f} µs)"
        name, promised = f"{library.__name__}, a resource's: {what}", f"≤ {most} × a constant header"
        figures.append(Figure(name, measured, promised, ratio <= most))
    return figures


class Counting(requests.Session):
    """Counts the calls to server and resource."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def request(self, *args: Any, **options: Any) -> requests.Response:
        self.count += 1
        return super().request(*args, **options)


def log_in(begin: Any) -> str:
    """Log in without a user: the provider approves at once."""
    location: str = requests.get(begin("http://127.0.0.1/callback").url, allow_redirects=False).headers["Location"]
    return location


def without_one() -> list[Figure]:
    with LocalProvider() as provider:
        store = MemoryTokenStore()

        def calls(url: str, at_once: int = 1) -> tuple[int, int]:
            """Return how many calls a new object makes, and how often the API was asked."""
            with Counting() as client:
                auth = oauth_auth.requests.ResourceAuth(url, login=log_in, store=store, token_client=client)
                before = len(provider.api_requests)
                with ThreadPoolExecutor(at_once) as pool:
                    answers = [pool.submit(requests.get, url, auth=auth) for _ in range(at_once)]
                    assert {200} == {answer.result().status_code for answer in answers}
                return client.count, len(provider.api_requests) - before

        first, asked = calls(provider.api_url)
        provider.revoke_access_tokens()
        renewal, _ = calls(provider.api_url)
        store, registered = MemoryTokenStore(), len(provider.registrations)
        at_once, _ = calls(provider.api_url, AT_ONCE)
        registrations = len(provider.registrations) - registered
    return [
        Figure("calls to server and resource at the first login ever", str(first), "4", first == 4),
        Figure("requests to the API for the first one", str(asked), "2", asked == 2),
        Figure("calls at the first renewal of another process", str(renewal), "2", renewal == 2),
        Figure(f"calls for {AT_ONCE} first requests at once", str(at_once), "4", at_once == 4),
        Figure("registrations for them", str(registrations), "1", registrations == 1),
    ]


def run() -> list[Figure]:
    return [*with_a_token(), *without_one()]
