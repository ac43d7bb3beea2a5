"""Waiting for what the library does in threads, or where it has none; and for what must not wait for ever."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest


def flights_in_the_air() -> list[threading.Thread]:
    """Return the threads that the library has started and that haven't ended, but for those that save a token.

    What a broken store can't take is tried again for as long as it's broken.
    """
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("oauth_auth")]
    return [thread for thread in ours if thread.name != "oauth_auth-saver"]


def await_end(threads: Iterable[threading.Thread], timeout: float) -> None:
    """Wait for the end of each thread, at most so many seconds; also of one that another thread is just starting."""
    moment = threading.Event()
    for thread in threads:
        while True:
            try:
                thread.join(timeout)
                break
            except RuntimeError:  # it's listed as soon as start() is called, and joined only when it runs
                moment.wait(0.002)


def other_threads() -> set[threading.Thread]:
    """Return the threads that aren't the library's: those that save a token may outlive a test whose store fails."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("oauth_auth")}


def await_silence() -> None:
    """Block until flights have ended and all is told, where what's told is compared with all that should be.

    A thread may start another one at its end.
    """
    deadline = time.perf_counter() + 20
    while (threads := flights_in_the_air()) and time.perf_counter() < deadline:
        await_end(threads, deadline - time.perf_counter())


def nameless_threads() -> set[int]:
    """Return the ids of the threads that Python doesn't know, or knows no more; empty where the system doesn't tell."""
    tasks = Path("/proc/self/task")
    running = {int(task.name) for task in tasks.iterdir()} if tasks.exists() else set()
    return running - {thread.native_id for thread in threading.enumerate()}


def await_last_rites(before: set[int]) -> None:
    """Block until threads that have ended for Python are gone, too; `before` are those that it never knew.

    OpenSSL cleans up after each, under a lock; a fork just then leaves that locked, and its child can't sign any more.
    """
    await_silence()
    deadline = time.monotonic() + 20
    while not nameless_threads() <= before:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def await_waiting(auth: Any, count: int) -> None:
    """Block until so many threads and tasks wait for the auth object's flight.

    Nothing public tells, since nobody needs to know but tests that have an outcome shared by all.
    """
    deadline, moment, waiting = time.perf_counter() + 20, threading.Event(), 0
    while time.perf_counter() < deadline:
        if (flight := auth._source._slot.flight) is not None:
            waiting = flight.waiting
            if waiting >= count:
                return
        moment.wait(0.002)
    raise AssertionError(f"{waiting} wait for a token, not {count}")


def outcome_of(function: Callable[..., Any], *args: Any) -> Any:
    """Return what the function returns, or the error that it raises."""
    try:
        return function(*args)
    except Exception as error:
        return error


def promptly(function: Callable[..., Any], *args: Any) -> Any:
    """Do the same in a daemon thread, and fail if there's no outcome: a deadlock then ends with its test."""
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(outcome_of(function, *args)), daemon=True)
    thread.start()
    thread.join(10)
    assert outcomes, "it waits for ever"
    return outcomes[0]


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread of the library start any more."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("oauth_auth"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def open_sockets(url: str) -> list[socket.socket]:
    """Return the sockets in this process that are connected to a server."""
    port = int(url.rpartition(":")[2].partition("/")[0])

    def is_connected(candidate: Any) -> bool:
        # By its type, since `isinstance` asks weak proxies, too, whose objects may be gone.
        if not issubclass(type(candidate), socket.socket) or candidate.fileno() == -1:
            return False
        try:
            return bool(candidate.getpeername()[1] == port)
        except (OSError, IndexError):
            return False

    return [candidate for candidate in gc.get_objects() if is_connected(candidate)]
