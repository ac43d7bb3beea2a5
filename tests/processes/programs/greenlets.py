"""A hundred users in greenlets of gevent, with one auth object; each line on stdin has all of them send a request.

Meanwhile another sends one that needs no token.
"""

# ruff: noqa: E402 - gevent comes first, as it must
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import importlib
import json
import os
import sys
from typing import Any

import gevent

from oauth_auth.stores import FileTokenStore

SETTINGS = json.loads(os.environ["SETTINGS"])
USERS = 100


def make_client(library: str) -> Any:
    module = importlib.import_module(library)
    return module.Session() if hasattr(module, "Session") else module.Client()


def make_auth(library: str) -> Any:
    plugin = importlib.import_module(f"oauth_auth.{library}")
    return plugin.ClientCredentialsAuth(*SETTINGS["client"], store=FileTokenStore(SETTINGS["store"]))


if __name__ == "__main__":
    client, plain = make_client(SETTINGS["library"]), make_client(SETTINGS["library"])
    client.auth = make_auth(SETTINGS["library"])
    for _ in sys.stdin:
        users = [gevent.spawn(client.get, SETTINGS["api_url"]) for _ in range(USERS)]
        gevent.sleep(0)  # until all have begun
        answers = [plain.get(SETTINGS["other_url"]), *(user.get() for user in users)]
        print(json.dumps([answer.status_code for answer in answers]), flush=True)
