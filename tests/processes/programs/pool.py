"""A program with worker processes of `multiprocessing`, to which it gives work as told on stdin."""

from __future__ import annotations

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from oauth_auth.requests import ClientCredentialsAuth

from .common import SETTINGS, make_auth, work


def take(auth: ClientCredentialsAuth) -> None:
    """Keep what each process is given when it starts."""
    global AUTH  # noqa: PLW0603 - it's the program's
    AUTH = auth


def task() -> list[Any]:
    return work(AUTH)


def make_executor() -> ProcessPoolExecutor:
    method, _, way = SETTINGS["start"].partition(", ")
    workers, context = SETTINGS["workers"], multiprocessing.get_context(method)
    if way == "inherits":
        return ProcessPoolExecutor(workers, context)
    return ProcessPoolExecutor(workers, context, take, (AUTH,))


if __name__ == "__main__":
    AUTH = make_auth()
    with make_executor() as executor:
        for line in sys.stdin:
            futures = [executor.submit(task) for _ in range(int(line))]
            print(json.dumps([future.result(30) for future in futures]), flush=True)
