"""A function as a cloud runs it: each line on stdin is an invocation, and between two the process may be stopped.

A line has the seconds by which the clock has gone on meanwhile. The function prints the status and the token that was
sent; and when the invocation has ended, the token that it has then, and what of the auth object still runs.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

import requests

from oauth_auth import OAuthToken
from oauth_auth.requests import ClientCredentialsAuth

SETTINGS = json.loads(os.environ["SETTINGS"])
_LEFT = SETTINGS["seconds_left"]
AUTH = ClientCredentialsAuth(
    *SETTINGS["client"],
    token=_LEFT and OAuthToken(access_token="given", expires_in=3600, expiry=time.time() + _LEFT),
    **SETTINGS["options"],
)


def handler() -> None:
    try:
        answer = requests.get(SETTINGS["api_url"], auth=AUTH, timeout=30)
        print(json.dumps([answer.status_code, answer.request.headers["Authorization"]]), flush=True)
    finally:
        if SETTINGS["closes"]:
            AUTH.close()


def go_on(seconds: float) -> None:
    """Have the wall clock be so much later. The monotonic one may stand still in what's frozen."""
    real = time.time
    time.time = lambda: real() + seconds


def still_running() -> list[str]:
    """Return the names of the library's threads that aren't just ending."""
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("oauth_auth")]
    for thread in ours:
        thread.join(1)
    return [thread.name for thread in ours if thread.is_alive()]


if __name__ == "__main__":
    for line in sys.stdin:
        go_on(float(line))
        handler()
        print(json.dumps([AUTH.token and AUTH.token.access_token, still_running()]), flush=True)
