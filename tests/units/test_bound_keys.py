"""A key travels with its token: which one each call proves, what is stored, and what siblings take over."""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import Any

import pytest

from oauth_auth import DPoPKey, OAuthToken, ReauthorizationRequired, TokenResponseError
from oauth_auth._keys.dpop import Binding
from oauth_auth._record import replace
from oauth_auth._renewal.entry import Entry, identity, pack, unpack
from oauth_auth._renewal.logins import NewLogin
from oauth_auth._renewal.merge import Known, merge
from oauth_auth._server.calls import Ask
from oauth_auth._server.code_grant import AuthorizationCodeGrant
from oauth_auth._server.grants import RefreshingGrant
from oauth_auth.errors import TokenStoreError
from tests.support.steps import answer, token_calls
from tests.units.test_acquisition import DUE, FORCED, THEIRS, World, stored, token

OURS, OTHERS = DPoPKey.generate(), DPoPKey.generate()
CODE_ANSWER = {"access_token": "new", "expires_in": 3600, "token_type": "DPoP", "refresh_token": "refresh-2"}


def bound(text: str, seconds: float = 3600.0, **fields: Any) -> OAuthToken:
    return token(text, seconds, token_type="DPoP", **fields)


def grant(binding: Binding | None = None) -> AuthorizationCodeGrant:
    calls = replace(token_calls(client_secret=None), binding=binding or Binding())
    return AuthorizationCodeGrant(calls, code=None, redirect_uri="https://app.example/cb", code_verifier=None)


def prover_of(ask: Ask) -> str:
    """Return the thumbprint of the key that a call's proof is of."""
    head = ask.request.headers["DPoP"].partition(".")[0]
    jwk = json.loads(base64.urlsafe_b64decode(f"{head}=="))["jwk"]
    return next(key.thumbprint for key in (OURS, OTHERS) if key.public_jwk == jwk)


def asked_with(world: World) -> list[str]:
    return [prover_of(effect) for effect in world.effects if isinstance(effect, Ask)]


DAMAGED_KEYS: list[Any] = ["x", 5, [], {}, {"kty": "oct", "k": "eA"}, OURS.public_jwk, {"kty": "EC", "crv": "P-256"}]
SPENT = bound("spent", -1, refresh_token="refresh")
KNOWN = Known(SPENT, in_store=SPENT, has_read=True, login=identity(SPENT), keys={identity(SPENT): OURS})


def test_a_refresh_proves_the_key_of_its_own_token() -> None:
    """A refresh token whose key is known is never sent with another one; the new token keeps it, in the store, too."""
    world = World(grant(), answer(200, CODE_ANSWER))
    world.tokens.known, world.entry = KNOWN, stored(SPENT, key=OURS)
    result = world.acquire()
    assert "new" == result.token.access_token
    assert [OURS.thumbprint] == asked_with(world)
    assert OURS == world.entry.key
    credential = world.credential(result.token)
    assert credential.proof is not None


def test_a_siblings_token_comes_with_its_key() -> None:
    """What a sibling has saved is adopted with its key, and refreshed with that."""
    world = World(grant(), answer(200, CODE_ANSWER))
    world.tokens.known, world.entry = KNOWN, stored(bound("theirs", refresh_token="theirs"), key=OTHERS)
    adopted = world.acquire(DUE, held=SPENT)
    assert "theirs" == adopted.token.access_token
    assert [] == asked_with(world)
    assert OTHERS == world.tokens.known.key_of(adopted.token)
    world.acquire(FORCED, held=adopted.token)
    assert [OTHERS.thumbprint] == asked_with(world)


def test_a_token_without_its_key_is_of_no_use() -> None:
    """A bound object takes no token from the store whose key isn't there."""
    world = World(grant(), answer(200, CODE_ANSWER))
    world.entry = stored(bound("theirs"))
    assert isinstance(world.acquire(), ReauthorizationRequired)
    world.entry = stored(bound("another"), key=OTHERS)
    assert "another" == world.acquire().token.access_token


def test_an_unsaved_token_keeps_its_key() -> None:
    """While the store is away, the token made here is renewed with the key it was made with."""
    world = World(grant(), answer(200, CODE_ANSWER), answer(200, {**CODE_ANSWER, "access_token": "newer"}))
    world.tokens.known, world.is_readable, world.is_writable = KNOWN, False, False
    world.acquire()
    world.acquire(FORCED, held=world.tokens.known.last)
    assert [OURS.thumbprint] * 2 == asked_with(world)
    world.is_readable = world.is_writable = True
    world.ending(world.making.flush(None))
    assert OURS == world.entry.key


def test_a_given_key_is_not_stored() -> None:
    """It's the user's own, and the same for all tokens."""
    world = World(grant(Binding(OTHERS)), answer(200, CODE_ANSWER))
    world.tokens.known, world.entry = replace(KNOWN, keys={}), stored(SPENT)
    world.acquire()
    assert [OTHERS.thumbprint] == asked_with(world)
    assert world.entry.key is None


def test_a_token_that_is_not_bound_is_not_kept() -> None:
    """Asked for a bound token, a server that gives another one is refused; what was there stays."""
    world = World(grant(), answer(200, {**CODE_ANSWER, "token_type": "Bearer"}))
    world.tokens.known, world.entry = KNOWN, stored(SPENT, key=OURS)
    error = world.acquire()
    assert isinstance(error, TokenResponseError)
    assert "isn't bound" in str(error)
    assert SPENT == world.entry.token


def test_a_login_that_was_led_elsewhere_has_its_own_key() -> None:
    """A code is redeemed with the key that its request named, and the new login keeps it."""
    own = grant()
    world = World(own, answer(200, CODE_ANSWER))
    world.tokens.known, world.entry = KNOWN, stored(SPENT, key=OURS)
    redeem = partial(own.complete, "code", "https://app.example/cb", "verifier", OTHERS)
    world.ending(world.logins.complete_login(NewLogin(partial(own.completion, "code"), redeem, OTHERS)))
    assert [OTHERS.thumbprint] == asked_with(world)[:1]
    assert OTHERS == world.entry.key


def test_a_key_that_was_made_is_used_until_a_token_is_bound_to_it() -> None:
    """Attempts that fail don't make a key each: a code may be bound to it."""
    binding = Binding()
    made = binding.key_for(None)
    assert made is binding.key_for(None)
    assert OURS is binding.key_for(OURS)
    assert OTHERS is Binding(OTHERS).key_for(OURS)


def test_keys_of_tokens_that_are_gone_are_forgotten() -> None:
    """As many keys are kept as tokens."""
    known = KNOWN
    for number in range(5):
        new = bound(f"new-{number}", refresh_token=f"refresh-{number}")
        known = known.renewed(new, is_login=False, key=OTHERS).saved()
    assert len(known.keys) <= 3
    assert OTHERS == known.key_of(new)


def test_a_merge_takes_token_and_key_together() -> None:
    """Whichever token counts in the end, its key is known."""
    later = bound("later", 7200)
    after = merge(KNOWN, stored(later, key=OTHERS))
    assert (later, OTHERS) == (after.last, after.key_of(later))
    assert OURS == after.key_of(SPENT)


def test_what_is_stored_of_a_key() -> None:
    """It's the private JWK, beside the token; a damaged one counts as absent."""
    entry = Entry(SPENT, {}, identity(SPENT), key=OURS)
    packed = pack(entry, {})
    assert entry == unpack(OAuthToken.from_dict(json.loads(json.dumps(packed.to_dict()))), {})
    state = next(value for value in packed.extra.values() if isinstance(value, dict) and "key" in value)
    for damaged in DAMAGED_KEYS:
        state["key"] = damaged
        assert unpack(packed, {}).key is None


@pytest.mark.parametrize(
    ("ours", "theirs"), [({}, {"dpop": "dpop"}), ({"dpop": "dpop"}, {}), ({"dpop": "a"}, {"dpop": "b"})]
)
def test_bound_and_other_tokens_are_never_mixed_up(ours: dict[str, str], theirs: dict[str, str]) -> None:
    """Under a store_key of the user's, a token of the other kind is ignored, with a text that says what to do."""
    assert THEIRS.token is not None
    packed = pack(THEIRS, {"client_id": "a", **theirs})
    with pytest.raises(TokenStoreError, match="store_key"):
        unpack(packed, {"client_id": "a", **ours})


def test_grants_without_a_binding_have_no_keys() -> None:
    """Without `dpop` a key in the store is of no use, and nothing is proved."""
    plain = RefreshingGrant(token_calls())
    world = World(plain)
    world.entry = stored(token("theirs"), key=OURS)
    taken = world.acquire()
    assert world.credential(taken.token).proof is None
