"""What an auth object knows of its tokens: which refresh token it renews with, and the scope that goes along."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_auth import OAuthToken
from oauth_auth._renewal.decisions import RenewalSettings
from oauth_auth._renewal.merge import Known
from oauth_auth._renewal.store_entry import StoreEntry
from oauth_auth._renewal.tokens import LiveRefreshToken, Tokens
from oauth_auth._server.code_grant import AuthorizationCodeGrant
from oauth_auth._server.grants import RefreshTokenGrant
from oauth_auth._wire.token import digest
from tests.support.steps import HandClock, Highest, token_calls

LAST = OAuthToken(access_token="last", refresh_token="of-last", scope="read")
PREVIOUS = OAuthToken(access_token="previous", refresh_token="of-previous", scope="read write")
BARE = OAuthToken(access_token="bare", scope="other")


def known_to(grant: Any, last: OAuthToken | None, previous: OAuthToken | None) -> Tokens:
    settings = RenewalSettings(10.0, 300.0, 10.0, None)
    tokens = Tokens(grant, settings, StoreEntry(None, ""), token=None, clock=HandClock(), chance=Highest())
    tokens.known = Known(last, previous)
    return tokens


@pytest.mark.parametrize(
    ("last", "previous", "dead", "expected"),
    [
        (LAST, PREVIOUS, [], LiveRefreshToken("of-last", "read", LAST)),
        (LAST, PREVIOUS, ["of-last"], LiveRefreshToken("of-previous", "read write", PREVIOUS)),
        (BARE, PREVIOUS, [], LiveRefreshToken("of-previous", "read write", PREVIOUS)),
        (LAST, PREVIOUS, ["of-last", "of-previous"], LiveRefreshToken("given", None, None)),
        (LAST, None, ["of-last"], LiveRefreshToken("given", None, None)),
        (None, None, [], LiveRefreshToken("given", None, None)),
        (LAST, PREVIOUS, ["of-last", "of-previous", "given"], None),
    ],
)
def test_a_refresh_token_goes_with_its_own_scope(
    last: OAuthToken | None, previous: OAuthToken | None, dead: list[str], expected: LiveRefreshToken | None
) -> None:
    """A refresh asks for the scope that was granted with its very refresh token, and proves that token's key."""
    grant = RefreshTokenGrant(token_calls(client_secret=None), refresh_token="given")
    grant.bury(digest(text) for text in dead)
    assert expected == known_to(grant, last, previous).live_refresh_token()


def test_a_code_comes_before_any_refresh_token() -> None:
    """What the program was given to begin with is used first."""
    grant = AuthorizationCodeGrant(
        token_calls(client_secret=None), code="code", redirect_uri="https://a/cb", code_verifier=None
    )
    assert None is known_to(grant, LAST, PREVIOUS).live_refresh_token()
