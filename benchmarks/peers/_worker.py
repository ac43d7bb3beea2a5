"""One contender in one scenario, in a process of its own: python -m benchmarks.peers._worker SCENARIO NAME QUICK."""

from __future__ import annotations

import importlib
import json
import logging
import sys
import warnings

from benchmarks._server import LOCAL_PROVIDER, remote_provider

from . import _aiohttp_peers, _httpx_peers, _ours, _requests_peers
from ._contender import Contender

ALL: list[Contender] = [
    *_ours.CONTENDERS,
    *_requests_peers.CONTENDERS,
    *_httpx_peers.CONTENDERS,
    *_aiohttp_peers.CONTENDERS,
]


def contender_named(name: str) -> Contender:
    return next(contender for contender in ALL if contender.name == name)


def be_quiet() -> None:
    """Leave out what libraries log and warn of: it costs time, and the measurements say it."""
    logging.disable()
    warnings.simplefilter("ignore")


def main() -> None:
    scenario, name, quick = sys.argv[1:]
    be_quiet()
    module = importlib.import_module(f"benchmarks.peers.{scenario}")
    with remote_provider(getattr(module, "SERVER", LOCAL_PROVIDER)) as provider:
        values = module.measure(contender_named(name), provider, quick=quick == "quick")
    print(json.dumps(values))


if __name__ == "__main__":
    main()
