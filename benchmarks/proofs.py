"""What a bound token costs: proofs in terms of the one signature that each needs, memory, and calls."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import httpx
import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import oauth_auth.httpx
import oauth_auth.requests
from oauth_auth import DPoPKey, MemoryTokenStore, OAuthToken
from oauth_auth.testing import LocalProvider

from . import hot_path
from ._figures import Figure

ROUNDS = 301
MESSAGE = b"e" * 420
"""As long as what a proof's signature is over."""


def bound(plugin: Any) -> Any:
    token = OAuthToken(access_token="a-token-of-usual-length-0123456789abcdef", token_type="DPoP", expires_in=3600)
    auth_url = "https://auth.example.com/token"
    return plugin.ClientCredentialsAuth(auth_url, "client", "secret", token=token, dpop=DPoPKey.generate())


def time_signatures() -> Callable[[], float]:
    key, algorithm = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())

    def run() -> float:
        begun = time.perf_counter()
        for _ in range(hot_path.CALLS):
            key.sign(MESSAGE, algorithm)
        return time.perf_counter() - begun

    return run


def in_signatures(ours: Callable[[], float]) -> tuple[float, float]:
    """Return how many signatures a request's proof takes, and microseconds."""
    signatures = time_signatures()
    ours(), signatures()
    pairs = [(ours(), signatures()) for _ in range(ROUNDS)]
    ratio = statistics.median(mine / other for mine, other in pairs)
    return ratio, statistics.median(mine for mine, _ in pairs) / hot_path.CALLS * 1e6


def times() -> list[Figure]:
    figures = []
    for what, ours, most in (
        ("httpx sync: one flow with DPoP", hot_path.time_sync_flow(httpx, bound(oauth_auth.httpx)), 2.0),
        ("httpx async: one flow with DPoP", hot_path.time_async_flow(httpx, bound(oauth_auth.httpx)), 2.0),
        (
            "requests: one auth(prepared_request) with DPoP",
            hot_path.time_requests(requests, bound(oauth_auth.requests)),
            1.8,
        ),
    ):
        ratio, taken = in_signatures(ours)
        promised = f"≤ {most} ES256 signatures"
        figures.append(Figure(what, f"{ratio:.2f} ({taken:.1f} µs)", promised, ratio <= most))
    return figures


def memory() -> list[Figure]:
    """Measure what a bound object takes beyond another one, each with a key of its own."""
    taken, count = {}, 300
    for name, options in (("bearer", {}), ("bound", {"dpop": True})):
        tracemalloc.start()
        kept = []
        for number in range(count):
            auth = oauth_auth.requests.ClientCredentialsAuth(
                "https://a.example/token", f"id{number}", "secret", **options
            )
            if options:
                auth._grant.binding.key_for(None)
            kept.append(auth)
        taken[name] = tracemalloc.get_traced_memory()[0] / count
        tracemalloc.stop()
        del kept
    beyond = taken["bound"] - taken["bearer"]
    return [Figure("memory of DPoP, its key included", f"{beyond / 1024:.1f} KiB", "≤ 4 KiB", beyond <= 4096)]


def loaded() -> list[Figure]:
    code = "import sys, oauth_auth.requests; print('joserfc' in sys.modules or 'cryptography' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    is_loaded = finished.stdout.strip() == "True"
    words = "loaded" if is_loaded else "not loaded"
    return [Figure("joserfc and cryptography before a key is used", words, "not loaded", not is_loaded)]


def calls() -> list[Figure]:
    """Count the calls and requests that nonces cost."""
    with LocalProvider() as provider:
        provider.dpop_nonces = True
        store = MemoryTokenStore()

        def make() -> Any:
            own = (provider.token_url, provider.client_id, provider.client_secret)
            return oauth_auth.requests.ClientCredentialsAuth(*own, dpop=True, store=store)

        def counted(work: Callable[[], object], seen: Callable[[], int]) -> int:
            before = seen()
            work()
            return seen() - before

        def token_calls() -> int:
            return len(provider.token_requests)

        def api_requests() -> int:
            return len(provider.api_requests)

        auth = make()
        cold = counted(auth.get_token, token_calls)
        with requests.Session() as session:
            session.auth = auth
            first = counted(lambda: session.get(provider.api_url), api_requests)
            next_ones = counted(lambda: [session.get(provider.api_url) for _ in range(10)], api_requests)
        restart = counted(make().refresh, token_calls)
    return [
        Figure("token calls of a cold start that meets a nonce", str(cold), "2", cold == 2),
        Figure("token calls of a renewal after a restart, with a store", str(restart), "1", restart == 1),
        Figure("requests for the first one to an origin with nonces", str(first), "2", first == 2),
        Figure("requests for the next 10", str(next_ones), "10", next_ones == 10),
    ]


def run() -> list[Figure]:
    return [*times(), *memory(), *loaded(), *calls()]
