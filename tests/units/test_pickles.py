"""Pickles that an earlier state of the library has made; `pickles.json` has them, compressed, by what they are of."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import DPoPKey, FileTokenStore, OAuthToken, Server
from oauth_auth.login import DeviceLogin

STORED = json.loads((Path(__file__).parent / "pickles.json").read_text())


def load(name: str) -> Any:
    return pickle.loads(zlib.decompress(base64.b64decode(STORED[name])))


@pytest.mark.parametrize("name", STORED)
def test_a_pickle_of_before_loads(name: str) -> None:
    """It becomes an object of today, which can be told from its repr, and be pickled in turn."""
    loaded = load(name)

    assert repr(pickle.loads(pickle.dumps(loaded))).split(" at 0x")[0] == repr(loaded).split(" at 0x")[0]


def test_what_is_in_a_pickle_of_before() -> None:
    """Values are what they were."""
    token = OAuthToken(access_token="tok-a", expiry=4e9, refresh_token="tok-r", scope="read", extra={"a": 1})

    assert (token, token.access_token) == (load("token"), load("requests cc").get_token().access_token)
    assert (DPoPKey, FileTokenStore, DeviceLogin, Server) == (
        *(type(load(name)) for name in ("dpop key", "store file", "device login")),
        type(load("server")),
    )


def test_a_module_that_never_was_is_no_module() -> None:
    """What has moved is found by its name alone."""
    with pytest.raises(ModuleNotFoundError):
        __import__("oauth_auth._server.nothing")
