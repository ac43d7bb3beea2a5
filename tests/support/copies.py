"""Copies of auth objects: within a process, to another one, and by a fork."""

from __future__ import annotations

import copy
import os
import pickle
import select
import signal
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.waiting import outcome_of

__all__ = ["SHARING_COPIES", "forks", "in_child", "pickled"]

SHARING_COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy of arguments": lambda auth: copy.deepcopy({"auth": auth, "timeout": 5})["auth"],
}
"""Ways to copy an auth object within a process."""


def pickled(auth: Any) -> Any:
    """Copy an auth object as it's copied to another process."""
    return pickle.loads(pickle.dumps(auth))


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


def in_child(function: Callable[[], Any]) -> Any:
    """Fork, and return what the function returns, or raises, in the child."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and later warn of forks in programs with threads, which is what's tested here.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, pickle.dumps(outcome_of(function)))
        finally:
            os._exit(0)
    os.close(writer)
    try:
        if not select.select([reader], [], [], 15)[0]:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError("the child waits for ever")
        return pickle.loads(os.read(reader, 65536) or pickle.dumps("the child died"))
    finally:
        os.close(reader)
        os.waitpid(pid, 0)
