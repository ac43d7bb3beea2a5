"""One of the processes that share a login: python -m benchmarks.peers._sharer SETTINGS."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

from ._contender import expired
from ._load import Driver
from ._worker import be_quiet, contender_named


def main() -> None:
    settings = json.loads(sys.argv[1])
    be_quiet()
    contender = contender_named(settings["contender"])
    provider, folder = SimpleNamespace(**settings["provider"]), Path(settings["folder"])
    contender.person(provider, expired({"access_token": "a", "refresh_token": "b", "token_type": "Bearer"}))  # imports
    print("ready", flush=True)
    sys.stdin.readline()
    driver = Driver(contender.sharing(provider, folder), tasks=contender.tasks)
    load = driver.steady(provider.api_url, settings["rate"], settings["seconds"])
    driver.close()
    print(json.dumps({"requests": len(load.answers), "failures": load.failures, "problems": load.counts}))


if __name__ == "__main__":
    main()
