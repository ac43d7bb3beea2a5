"""What the programs with several processes have in common: an auth object, and what they do with it."""

from __future__ import annotations

import json
import os
from typing import Any

import requests

from oauth_auth.requests import ClientCredentialsAuth
from oauth_auth.stores import FileTokenStore, RedisTokenStore, TokenStore

__all__ = ["SETTINGS", "make_auth", "work"]

SETTINGS: dict[str, Any] = json.loads(os.environ["SETTINGS"])


def make_auth() -> ClientCredentialsAuth:
    """Make the auth object, as programs do at the top of a module; use it at once if that's what is tested."""
    auth = ClientCredentialsAuth(*SETTINGS["client"], store=_make_store())
    if SETTINGS["is_used_first"]:
        auth.get_token()
    return auth


def _make_store() -> TokenStore | None:
    place = SETTINGS["store"]
    if place is None:
        return None
    return RedisTokenStore(place) if place.startswith("redis:") else FileTokenStore(place)


def work(auth: ClientCredentialsAuth) -> list[Any]:
    """Wait until as many processes as are expected have come so far, send a request, and return what came of it."""
    requests.get(SETTINGS["gathering"], timeout=30).raise_for_status()
    answer = requests.get(SETTINGS["api_url"], auth=auth, timeout=30)
    return [os.getpid(), answer.status_code, answer.request.headers["Authorization"]]
