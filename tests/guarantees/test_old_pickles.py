"""Auth objects that were pickled before the package was rebuilt inside: they are read, and go on.

`old_pickles.json` has their classes, their tokens, and the pickles, compressed; all that's in them is made up. What's
pickled names classes of the package by their modules, so a class that moves leaves its name behind.
"""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import OAuthToken

OLD: list[tuple[str, str | None, str]] = json.loads(Path(__file__).with_name("old_pickles.json").read_text())
IDS = [f"{number}-{name}" for number, (name, _, _) in enumerate(OLD)]


def provide(last: OAuthToken | None) -> OAuthToken:
    """Stand for a user's function, which pickles name."""
    return OAuthToken(access_token="provided", expires_in=3600)


@pytest.mark.parametrize(("name", "text", "pickled"), OLD, ids=IDS)
def test_an_old_pickle_is_read(name: str, text: str | None, pickled: str) -> None:
    """It has its token, sends it without a call, and can be pickled anew."""
    auth: Any = pickle.loads(zlib.decompress(base64.b64decode(pickled)))
    again: Any = pickle.loads(pickle.dumps(auth))
    for one in (auth, again):
        assert name == f"{type(one).__module__}.{type(one).__name__}".removeprefix("oauth_auth.")
        assert text == (None if one.token is None else one.token.access_token)
        if text is not None and one._store is None:
            assert text == one.get_token().access_token
    assert repr(auth) == repr(again)


@pytest.mark.parametrize("pickled", [pickled for name, _, pickled in OLD if "Provider" in name])
def test_an_old_pickle_renews(pickled: str) -> None:
    """Its flights are those of today."""
    auth: Any = pickle.loads(zlib.decompress(base64.b64decode(pickled)))
    assert "provided" == auth.refresh().access_token == auth.get_token().access_token


def test_an_old_pickle_knows_what_it_knew() -> None:
    """What's known of tokens, and what the grant was given, is restored."""
    pickles = {name: pickled for name, text, pickled in OLD if text is not None}
    auth: Any = pickle.loads(zlib.decompress(base64.b64decode(pickles["requests.RefreshTokenAuth"])))
    tokens = auth._source._tokens
    assert "fake-refresh" == tokens.live_refresh_token().refresh_token
    assert ("fake-given", False) == (auth._source._grant.given_refresh_token(), tokens.stored.is_ok)
    assert tokens.given is not None
    resource: Any = pickle.loads(zlib.decompress(base64.b64decode(pickles["requests.ResourceAuth"])))
    assert "https://auth.example" == resource._grant.latest_bond.issuer
