"""Caches of answers: what isn't cached is renewed and replayed as ever, and what is cached is returned as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import hishel
import hishel.httpx
import hishel.httpx2
import hishel.requests
import httpx
import pytest
import requests
import requests_cache
from cachecontrol import CacheControl

from tests.support import modes
from tests.support.modes import Client, Mode
from tests.support.scripted import Answer, Received, ScriptedServer

from .service import Service, go_through, sender

Open = Callable[[Any], AbstractContextManager[Client]]
"""Opens a client with a cache that uses an auth object."""


@contextmanager
def with_session(session: requests.Session, auth: Any) -> Iterator[Client]:
    session.auth = auth
    with session, ThreadPoolExecutor() as pool:
        yield Client(modes.REQUESTS, session, pool.submit)


def with_requests_cache(folder: Path, auth: Any, **options: Any) -> AbstractContextManager[Client]:
    return with_session(requests_cache.CachedSession(str(folder / "cache"), backend="filesystem", **options), auth)


def with_cachecontrol(folder: Path, auth: Any) -> AbstractContextManager[Client]:
    return with_session(CacheControl(requests.Session()), auth)


def with_hishel(mode: Mode, folder: Path, auth: Any, *, rfc: bool = False) -> AbstractContextManager[Client]:
    path = folder / "cache.db"
    if mode.library is requests:
        session = requests.Session()
        session.mount(
            "http://", hishel.requests.CacheAdapter(storage=hishel.SqliteStorage(database_path=path), rfc=rfc)
        )
        return with_session(session, auth)
    module: Any = hishel.httpx if mode.library is httpx else hishel.httpx2
    transport: Any
    if mode.backend is None:
        storage = hishel.SqliteStorage(database_path=path)
        transport = module.CacheTransport(mode.library.HTTPTransport(), storage, rfc)
    else:
        async_storage = hishel.AsyncSqliteStorage(database_path=path)
        transport = module.AsyncCacheTransport(mode.library.AsyncHTTPTransport(), async_storage, rfc)
    return mode.client(auth, transport=transport)


OF_HISHEL = (modes.REQUESTS, *modes.OF_HTTPX)
CACHES: dict[str, tuple[Mode, Callable[..., AbstractContextManager[Client]]]] = {
    "requests-cache": (modes.REQUESTS, with_requests_cache),
    "CacheControl": (modes.REQUESTS, with_cachecontrol),
    **{f"hishel with {mode}": (mode, partial(with_hishel, mode)) for mode in OF_HISHEL},
}


@pytest.mark.parametrize(("mode", "cached"), CACHES.values(), ids=CACHES)
def test_what_is_not_cached(
    mode: Mode, cached: Callable[..., AbstractContextManager[Client]], served: Service, tmp_path: Path
) -> None:
    """Requests that a cache lets through get a token, a renewed one, and are replayed."""
    with cached(tmp_path, served.auth(mode.plugin)) as client:
        go_through(served, sender(served, client))


@pytest.fixture
def things(serve: Callable[..., ScriptedServer], served: Service) -> ScriptedServer:
    """The service's API, whose answers may be cached."""

    def answer(request: Received) -> Answer:
        reply = served.reply(request.path, request.headers)
        return Answer(reply.status, reply.body, (("Cache-Control", "max-age=60"),))

    return serve(answer)


@pytest.mark.parametrize(("mode", "cached"), CACHES.values(), ids=CACHES)
def test_what_is_cached(
    mode: Mode,
    cached: Callable[..., AbstractContextManager[Client]],
    served: Service,
    things: ScriptedServer,
    tmp_path: Path,
) -> None:
    """Cached answers come without a request, whatever has become of the token; and to other logins as well."""
    with cached(tmp_path, served.auth(mode.plugin)) as client:
        assert 200 == client.get(things.url).status_code
        served.revoke()
        assert 200 == client.get(things.url).status_code
        assert 200 == client.get(things.url, auth=served.auth(mode.plugin)).status_code
    assert ["token-1"] == served.seen


@pytest.mark.parametrize("mode", OF_HISHEL, ids=str)
def test_hishel_by_the_rfc(mode: Mode, served: Service, things: ScriptedServer, tmp_path: Path) -> None:
    """With `rfc=True`, hishel is a shared cache, which keeps no answers to requests with a token."""
    with with_hishel(mode, tmp_path, served.auth(mode.plugin), rfc=True) as client:
        assert [200, 200] == [client.get(things.url).status_code for _ in range(2)]
        assert 200 == client.get(things.url, auth=served.auth(mode.plugin)).status_code
    assert ["token-1", "token-1", "token-2"] == served.seen


def test_requests_cache_by_token(served: Service, things: ScriptedServer, tmp_path: Path) -> None:
    """requests-cache keeps the answers to each token apart, if it's told to."""
    options = {"match_headers": ["Authorization"], "ignored_parameters": []}
    with with_requests_cache(tmp_path, served.auth(modes.REQUESTS.plugin), **options) as client:
        assert [200, 200] == [client.get(things.url).status_code for _ in range(2)]
        auth = served.auth(modes.REQUESTS.plugin)
        assert [200, 200] == [client.get(things.url, auth=auth).status_code for _ in range(2)]
    assert ["token-1", "token-2"] == served.seen


def test_a_cached_rejection(served: Service, things: ScriptedServer, tmp_path: Path) -> None:
    """A 401 that requests-cache has kept is returned as it is."""
    things.script = lambda _: Answer(401, b"not yours")
    with with_requests_cache(tmp_path, served.auth(modes.REQUESTS.plugin), allowable_codes=[200, 401]) as client:
        assert 401 == client.get(things.url).status_code
        assert [b"not yours"] * 2 == [client.get(things.url).content for _ in range(2)]
    assert 2 == len(things.requests)
    assert 2 == served.token_calls


def test_requests_cache_replays_once(served: Service, things: ScriptedServer, tmp_path: Path) -> None:
    """Though requests-cache calls response hooks twice, a request that's rejected is sent again once."""
    things.script = lambda _: Answer(401, b"not yours")
    with with_requests_cache(tmp_path, served.auth(modes.REQUESTS.plugin)) as client:
        answer = client.send("POST", things.url)
    assert (401, [401]) == (answer.status_code, [past.status_code for past in answer.history])
    assert ["Bearer token-1", "Bearer token-2"] == [request.authorization for request in things.requests]
