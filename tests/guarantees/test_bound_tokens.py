"""A key lives as long as the tokens that are bound to it, wherever they go, and no refusal of a call ends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import (
    ClientSecretPost,
    DPoPKey,
    MemoryTokenStore,
    OAuthProviderException,
    OAuthToken,
    ReauthorizationRequired,
)
from oauth_auth.login import LoginContext
from tests.servers.secure_provider import SecureProvider, log_in
from tests.support import modes
from tests.support.copies import SHARING_COPIES, forks, in_child, pickled
from tests.support.modes import Mode
from tests.support.siblings import Siblings
from tests.support.stores import STORES, store_maker
from tests.support.waiting import await_last_rites, nameless_threads

pytestmark = pytest.mark.shared_core


def person(mode: Mode, secure: SecureProvider, client: str = "public", **options: Any) -> Any:
    """Make an auth object for somebody who logs in: by default of a client whose refresh tokens are bound."""
    return secure.make(mode, "AuthorizationCodeAuth", client, **{"dpop": True, **options})


def status(mode: Mode, auth: Any, url: str) -> int:
    with mode.client(auth) as client:
        return int(client.get(url).status_code)


def keys_at(secure: SecureProvider, place: str = "token") -> set[str]:
    """Return the thumbprints of the keys that the calls of an endpoint had proofs of."""
    return {call.key for call in secure.calls(place) if call.proof is not None}


# -- What is about the call ------------------------------------------------------------------------------------------

ABOUT_THE_CALL = (
    "use_dpop_nonce",
    "invalid_dpop_proof",
    "invalid_target",
    "invalid_scope",
    "invalid_authorization_details",
)


@pytest.mark.parametrize("error", ABOUT_THE_CALL)
@pytest.mark.parametrize("answered", [400, 401, 403])
def test_what_is_about_the_call_does_not_end_a_refresh_token(
    plugin_mode: Mode, secure: SecureProvider, error: str, answered: int
) -> None:
    """It's raised, whatever its status, and the refresh token is used again: nobody is sent to a login for it."""
    with person(plugin_mode, secure) as auth:
        first = auth.get_token()
        secure.refuse("token", answered, error, count=100, is_handled=False)
        with pytest.raises(OAuthProviderException) as caught:
            auth.refresh()
        assert error == caught.value.error
        assert not isinstance(caught.value, ReauthorizationRequired)
        assert first == auth.token
        secure.refuse("token", answered, error, count=0)
        assert first.access_token != auth.refresh().access_token
        assert 200 == status(plugin_mode, auth, secure.api_url)
    assert 1 == secure.logins


def test_a_nonce_does_not_use_up_a_code_or_a_refresh_token(mode: Mode, secure: SecureProvider) -> None:
    """Each is sent once more, with a proof that has it, and is good."""
    secure.use_nonces("required")
    with person(mode, secure) as auth:
        mode.get_token(auth)
        for _ in range(2):
            secure.use_nonces("required")  # another one
            mode.refresh(auth)
        assert 200 == status(mode, auth, secure.api_url)
    sent = [(call.fields or {}).get("code") or (call.fields or {})["refresh_token"] for call in secure.calls("token")]
    assert sent[0::2] == sent[1::2]
    assert (6, 3) == (len(sent), len(set(sent)))


# -- The key ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ["public", "fapi"])
def test_a_login_keeps_its_key(mode: Mode, secure: SecureProvider, client: str) -> None:
    """Its refresh tokens, whether they rotate or not, are good with this one alone; so is its code."""
    options: dict[str, Any] = {"par": True} if client == "fapi" else {}
    with person(mode, secure, client, **options) as auth:
        mode.get_token(auth)
        for _ in range(2):
            secure.revoke_access_tokens()
            assert 200 == status(mode, auth, secure.api_url)
            mode.refresh(auth)
    assert 5 == len(secure.calls("token"))
    assert 1 == len(keys_at(secure))
    assert client == "public" or keys_at(secure) == keys_at(secure, "pushed_authorization_request")
    assert 1 == secure.logins


@pytest.mark.parametrize("given", [False, True])
def test_the_code_is_bound_to_it(plugin_mode: Mode, secure: SecureProvider, given: bool) -> None:
    """The request says so, and who steals the code has no use for it."""
    asked: list[str] = []

    def login(begin: LoginContext) -> str:
        redirect = log_in(begin)
        assert begin.request is not None
        asked.append(dict(begin.request.parameters)["dpop_jkt"])
        return redirect

    key = DPoPKey.generate() if given else True
    with person(plugin_mode, secure, login=login, dpop=key) as auth:
        auth.get_token()
    assert {*asked} == keys_at(secure)
    assert not isinstance(key, DPoPKey) or [key.thumbprint] == asked


WAYS = [(store, modes.REQUESTS) for store in STORES] + [("file", mode) for mode in modes.ALL if mode != modes.REQUESTS]


@pytest.mark.parametrize(("name", "mode"), WAYS, ids=str)
def test_a_restart_with_a_store(request: pytest.FixtureRequest, secure: SecureProvider, name: str, mode: Mode) -> None:
    """The next program goes on with token, key and nonce: no token call, no login, no challenge."""
    make_store = store_maker(request, name)
    secure.use_nonces("required")
    with person(mode, secure, store=make_store()) as auth:
        assert 200 == status(mode, auth, secure.api_url)
    first = len(secure.calls("token"))
    for number in range(1, 3):
        with person(mode, secure, store=make_store()) as auth:
            assert 200 == status(mode, auth, secure.api_url)
            assert first + number - 1 == len(secure.calls("token"))
            mode.refresh(auth)
            assert 200 == status(mode, auth, secure.api_url)
        assert first + number == len(secure.calls("token"))
    assert (1, 1) == (secure.logins, len(keys_at(secure)))


def test_a_key_that_is_given_is_not_stored(plugin_mode: Mode, secure: SecureProvider) -> None:
    """The program has it anyway; without it, or with another one, the stored token isn't taken."""
    saved: list[str] = []

    class Seen(MemoryTokenStore):
        def save(self, key: str, token: OAuthToken) -> None:
            saved.append(f"{token.to_dict()}")
            super().save(key, token)

    key, store = DPoPKey.generate(), Seen()
    with secure.make(plugin_mode, store=store, dpop=key) as auth:
        token = auth.get_token()
    assert saved
    assert not [text for text in saved if key.private_jwk["d"] in text]
    for other in (key, DPoPKey.generate(), True, None):
        with secure.make(plugin_mode, store=store, dpop=other) as auth:
            assert (other is key) == (auth.get_token().access_token == token.access_token)
            assert 200 == status(plugin_mode, auth, secure.api_url)
    assert 4 == len(secure.calls("token"))


def test_a_token_that_is_given_goes_on_with_its_key(mode: Mode, secure: SecureProvider) -> None:
    """Who keeps tokens on their own passes the key beside them."""
    key = DPoPKey.generate()
    with person(mode, secure, dpop=key) as auth:
        token = mode.get_token(auth)
    with person(mode, secure, dpop=key, token=token) as auth:
        assert 200 == status(mode, auth, secure.api_url)
        secure.revoke_access_tokens()
        assert 200 == status(mode, auth, secure.api_url)
    assert (1, {key.thumbprint}) == (secure.logins, keys_at(secure))


# -- Copies ----------------------------------------------------------------------------------------------------------

COPIES: dict[str, Callable[[Any], Any]] = {**SHARING_COPIES, "pickle": pickled}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "cold"])
def test_copies_have_the_key(mode: Mode, secure: SecureProvider, copied: Callable[[Any], Any], is_warm: bool) -> None:
    """A copy sends the token, renews it, and replays, as the original would."""
    auth = person(mode, secure)
    if is_warm:
        assert 200 == status(mode, auth, secure.api_url)
    with copied(auth) as other:
        secure.turn_nonce()
        assert 200 == status(mode, other, secure.api_url)
        mode.refresh(other)
        secure.revoke_access_tokens()
        secure.turn_nonce()
        assert 200 == status(mode, other, secure.api_url)
    assert (1, 1) == (secure.logins, len(keys_at(secure)))
    assert {"invalid_token", "use_dpop_nonce", None} == {request.error for request in secure.api_requests()}


@forks
def test_a_child_has_the_key(plugin_mode: Mode, secure: SecureProvider) -> None:
    """It sends the token and renews it; and both it and its parent make proofs that are their own."""
    before = nameless_threads()
    auth = person(plugin_mode, secure)
    assert 200 == status(plugin_mode, auth, secure.api_url)

    def child() -> tuple[int, int]:
        first = status(plugin_mode, auth, secure.api_url)
        plugin_mode.refresh(auth)
        return first, status(plugin_mode, auth, secure.api_url)

    await_last_rites(before)
    assert (200, 200) == in_child(child)
    assert 200 == status(plugin_mode, auth, secure.api_url)
    assert (1, 1) == (secure.logins, len(keys_at(secure)))
    assert 4 * [None] == [request.error for request in secure.api_requests()]


# -- Siblings --------------------------------------------------------------------------------------------------------


def test_siblings_adopt_token_and_key_together(mode: Mode, secure: SecureProvider) -> None:
    """Whoever renews, all go on with what that brought; no token is ever sent with another one's key."""
    store = MemoryTokenStore()
    one, two = (secure.make(mode, store=store, dpop=True) for _ in range(2))
    with one, two:
        for renewing, other in ((one, two), (two, one), (one, two)):
            token = mode.refresh(renewing)
            secure.revoke_access_tokens()
            assert 200 == status(mode, renewing, secure.api_url)
            assert 200 == status(mode, other, secure.api_url)
            assert token != renewing.token == mode.get_token(other)
    assert {None, "invalid_token"} == {request.error for request in secure.api_requests()}
    assert 6 == len(secure.calls("token"))


@pytest.mark.parametrize("mode", modes.ALL, ids=str)
def test_processes_share_token_and_key(
    request: pytest.FixtureRequest, siblings: Siblings, secure: SecureProvider, mode: Mode
) -> None:
    """A fleet's cold start costs one token call and a nonce, and each revocation one; all requests go through."""
    make_store = store_maker(request, "file")
    secure.use_nonces("required")
    secure.turn_nonce()
    options: dict[str, Any] = {"dpop": True, "client_auth": ClientSecretPost(), "scope": "api", "store_key": "k"}
    arguments = (mode, "ClientCredentialsAuth", secure.token_url, secure.clients["post"], secure.secret)
    group = [siblings.start(*arguments, store=make_store(), **options) for _ in range(3)]
    for calls in (2, 3, 4):
        begun = [sibling.begin("send", secure.api_url, 4) for sibling in group]
        assert 3 * [4 * [200]] == [future.result(30) for future in begun]
        assert calls == len(secure.calls("token"))
        secure.revoke_access_tokens()
        secure.turn_nonce()
