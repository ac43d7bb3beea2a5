"""Processes share a login whose refresh token rotates, through a file."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from ._contender import Contender, fresh
from ._load import told
from ._scenario import Column, Value

LIFE, RATE = 2, 20
TITLE = "A rotating refresh token, shared by {count} processes"
TEXT = (
    "{count} processes share a person's login through a file, each library the way its documentation says to keep "
    "tokens: `FileTokenStore` (oauth_auth), `update_token` (Authlib) and `token_updater` (requests-oauthlib) writing "
    "the file that is read again before each request, `JsonTokenFileCache` (httpx-auth, requests-auth), a "
    f"`TokenStorage` (mcp). Tokens live {LIFE} s, the token endpoint takes 100 ms, and each process sends {RATE} "
    "requests a second for {seconds} s. As above, a spent refresh token that comes again ends the login."
)
COLUMNS = (
    Column("failures", "failed requests"),
    Column("requests", "of", plotted=False),
    Column("ended", "logins that ended"),
    Column("calls", "token calls"),
)
HEADLINE = ("failures", "refresh token shared by processes: failed requests")
PARAMETERS = {"count": 4, "seconds": 5}


def measure(contender: Contender, provider: Any, *, quick: bool) -> dict[str, Value]:
    seconds = 3 if quick else PARAMETERS["seconds"]
    provider.do(set={"rotate_refresh_tokens": True, "token_lifetime": LIFE, "token_delay": 0.1})
    provider.do(call="revoke_refresh_tokens")
    with tempfile.TemporaryDirectory() as folder:
        names = ("issuer", "token_url", "api_url", "client_id", "client_secret", "username", "password")
        settings = {"provider": {name: getattr(provider, name) for name in names}, "folder": folder}
        settings |= {"contender": contender.name, "rate": RATE, "seconds": seconds}
        command = [sys.executable, "-m", "benchmarks.peers._sharer", json.dumps(settings)]
        processes: list[Any] = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(PARAMETERS["count"])
        ]
        for process in processes:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("a process ended before it had begun")
        before = provider.token_calls
        contender.save_login(provider, fresh(provider.login(LIFE)), Path(folder))
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        results = [json.loads(process.communicate()[0]) for process in processes]
        calls = provider.token_calls - before
    return {
        "ended": provider.families()[1],
        "failures": sum(result["failures"] for result in results),
        "requests": f"{sum(result['requests'] for result in results)}",
        "calls": calls,
        "problems": told(sum((Counter(result["problems"]) for result in results), Counter())),
    }
