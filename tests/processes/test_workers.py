"""Worker processes that are forked, or given the auth object: each works, and with a store they share one token."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests

from oauth_auth.testing import LocalProvider
from tests.servers.redis import RedisServer
from tests.support.scripted import ScriptedServer

from .running import Gathering, listening, running

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

WORKERS = 3
Round = Callable[[], list[Any]]
"""Has each worker send a request at the same time, and returns what came of it."""


@contextmanager
def gunicorn(settings: dict[str, Any]) -> Iterator[Round]:
    """Serve a module-level auth object with `--preload`."""
    with ExitStack() as stack, ThreadPoolExecutor(WORKERS) as pool:
        descriptor, url = stack.enter_context(listening())
        options = ["--preload", "--workers", str(WORKERS), "--bind", f"fd://{descriptor}"]
        command = ("-m", "gunicorn", *options, "tests.processes.programs.wsgi:app")
        program = stack.enter_context(running(*command, settings=settings, descriptors=(descriptor,)))
        yield lambda: [answer.json() for answer in pool.map(requests.get, [url] * WORKERS)]
        assert 0 == program.terminate()
        assert "Traceback" not in program.said


@contextmanager
def celery(settings: dict[str, Any]) -> Iterator[Round]:
    """Run tasks in Celery's prefork workers, with the broker's server as the store."""
    module = "tests.processes.programs.tasks"
    options = ["--pool", "prefork", "--concurrency", str(WORKERS), "--without-gossip", "--without-mingle"]
    with RedisServer() as server:
        settings |= {"redis": server.url, "store": settings["store"] and server.url}
        with (
            running("-m", "celery", "--app", module, "worker", *options, settings=settings) as worker,
            running("-m", module, settings=settings) as sender,
        ):
            yield lambda: sender.ask(WORKERS)
            assert 0 == sender.finish()
            assert 0 == worker.terminate()


def pool_that(start: str) -> Any:
    """Return how to run tasks in processes of `multiprocessing` that get the auth object in one of the ways."""

    @contextmanager
    def pool(settings: dict[str, Any]) -> Iterator[Round]:
        settings |= {"start": start, "workers": WORKERS}
        with running("-W", "error", "-m", "tests.processes.programs.pool", settings=settings) as program:
            yield lambda: program.ask(WORKERS)
            assert 0 == program.finish()

    return pool


PROGRAMS = {
    "gunicorn": gunicorn,
    "celery": celery,
    **{start: pool_that(start) for start in ("fork, inherits", "fork, is given", "spawn, is given")},
}


@pytest.mark.parametrize("program", list(PROGRAMS.values()), ids=list(PROGRAMS))
@pytest.mark.parametrize("is_used_first", [True, False], ids=["used before", "fresh"])
@pytest.mark.parametrize("has_store", [True, False], ids=["store", "no store"])
def test_workers_get_along(
    program: Any,
    is_used_first: bool,
    has_store: bool,
    provider: LocalProvider,
    settings: dict[str, Any],
    serve: Callable[..., ScriptedServer],
) -> None:
    """A token that was there before the workers is theirs; another costs one call in all, without a store one each."""
    settings |= {"gathering": serve(Gathering(WORKERS)).url, "is_used_first": is_used_first}
    if not has_store:
        settings["store"] = None
    each = 1 if has_store else WORKERS
    calls = []
    with program(settings) as send_all:
        for _ in range(3):
            results = send_all()
            assert [200] * WORKERS == [status for _, status, _ in results]
            assert WORKERS == len({process for process, _, _ in results})
            calls.append(len(provider.token_requests))
            # Where the token was fetched once, all have the same; where each fetched its own, no two have.
            assert (1 if has_store or calls == [1] else WORKERS) == len({sent for _, _, sent in results})
            provider.revoke_access_tokens()
    first = 1 if is_used_first else each
    assert [first, first + each, first + 2 * each] == calls
