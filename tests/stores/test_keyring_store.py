"""A keyring keeps tokens of any sensible length, in pieces where it must, and there's always a whole one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.backends.null
import keyring.errors
import pytest

from oauth_auth import OAuthToken, TokenStoreError
from oauth_auth.stores import KeyringTokenStore, TokenStore
from oauth_auth.testing.store_contract import StoreContract
from tests.support.log import Log
from tests.support.modes import Mode
from tests.support.tokens import Tokens, client_credentials
from tests.support.waiting import promptly

KEY = "key"


def token(letter: str, length: int = 4000) -> OAuthToken:
    return OAuthToken(access_token=letter * length, refresh_token=letter * 100)


SHORT = OAuthToken(access_token="short")


def limit(folder: Path, characters: int = 1280) -> None:
    """Have the keyring take no more than Windows' does."""
    (folder / "limit").write_text(str(characters))


@pytest.fixture
def store(keyring_folder: Path) -> KeyringTokenStore:
    limit(keyring_folder)
    return KeyringTokenStore()


def entries(folder: Path) -> int:
    return len([path for path in folder.iterdir() if path.name not in {"limit", "locked"}])


class TestKeyringWithLimit(StoreContract):
    """It's a store like any other."""

    shared_between_processes: ClassVar[bool] = False

    @pytest.fixture
    def make_store(self, keyring_folder: Path) -> Callable[[], TokenStore]:
        limit(keyring_folder)
        return KeyringTokenStore


def test_one_entry_where_that_will_do(keyring_folder: Path) -> None:
    """Back ends without a limit get a token as a whole."""
    KeyringTokenStore().save(KEY, token("a", 100_000))
    assert token("a", 100_000) == KeyringTokenStore().load(KEY)
    assert 1 == entries(keyring_folder)


def test_pieces_come_and_go(store: KeyringTokenStore, keyring_folder: Path) -> None:
    """Each save and delete removes the pieces of the token before; another key's stay."""
    store.save("other", token("o"))
    counts = []
    for new in (SHORT, token("a"), token("b"), SHORT, token("c", 8000), token("d")):
        store.save(KEY, new)
        assert new == store.load(KEY)
        counts.append(entries(keyring_folder))
    assert [1, 6, 6, 1, 10, 6] == [count - 6 for count in counts]
    store.delete(KEY)
    assert 6 == entries(keyring_folder)
    assert (None, token("o")) == (store.load(KEY), store.load("other"))


def test_a_token_of_too_many_pieces(store: KeyringTokenStore, keyring_folder: Path) -> None:
    """It's refused, with what to use instead, and the old token stays."""
    store.save(KEY, token("a"))
    with pytest.raises(TokenStoreError, match=r"too long for a keyring.*: use FileTokenStore"):
        store.save(KEY, token("b", 50_000))
    assert token("a") == store.load(KEY)
    assert 6 == entries(keyring_folder)


def test_a_back_end_that_takes_still_less(store: KeyringTokenStore, keyring_folder: Path) -> None:
    """If not even pieces fit, it's the back end's error, nothing is left, and the old token stays."""
    store.save(KEY, token("a"))
    limit(keyring_folder, 500)
    with pytest.raises(TokenStoreError, match="PasswordSetError"):
        store.save(KEY, token("b"))
    assert token("a") == store.load(KEY)
    assert 6 == entries(keyring_folder)


@pytest.mark.parametrize("error", [keyring.errors.KeyringLocked, KeyboardInterrupt])
@pytest.mark.parametrize("before", [SHORT, token("a")], ids=["short", "long"])
def test_a_save_that_fails_in_the_middle(
    store: KeyringTokenStore,
    keyring_folder: Path,
    before: OAuthToken,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wherever it fails, the old token stays, and no piece of the new one."""
    store.save(KEY, before)
    count, backend = entries(keyring_folder), keyring.get_keyring()
    set_password = backend.set_password
    for number in range(2, 8):
        left = iter(range(number))

        def set_some(service: str, username: str, password: str) -> None:
            if next(left, None) is None:
                raise error
            set_password(service, username, password)

        with monkeypatch.context() as patch, pytest.raises((TokenStoreError, KeyboardInterrupt)):
            patch.setattr(backend, "set_password", set_some)
            store.save(KEY, token("b", 6000))
        assert (before, count) == (store.load(KEY), entries(keyring_folder))


KILLED = """
import itertools, os, sys
import keyring
from oauth_auth import OAuthToken
from oauth_auth.stores import KeyringTokenStore
backend = keyring.get_keyring()
set_password, calls = backend.set_password, itertools.count()
def set_some(*args):
    if next(calls) == int(sys.argv[1]):
        os._exit(7)
    set_password(*args)
backend.set_password = set_some
KeyringTokenStore().save("key", OAuthToken(access_token="b" * 4000, refresh_token="b" * 100))
"""


@pytest.mark.parametrize("number", [2, 6])
def test_a_process_that_dies_in_the_middle(store: KeyringTokenStore, number: int) -> None:
    """The old token is still there, and the next save works."""
    store.save(KEY, token("a"))
    run = subprocess.run([sys.executable, "-c", KILLED, str(number)], check=False, timeout=60)
    assert 7 == run.returncode
    assert token("a") == store.load(KEY)
    store.save(KEY, token("c"))
    assert token("c") == store.load(KEY)


def test_a_piece_that_is_missing(
    store: KeyringTokenStore, keyring_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The token counts as absent, that's told once, and another one can be saved."""
    store.save(KEY, token("a"))
    keyring.delete_password("oauth_auth", (keyring.get_password("oauth_auth", KEY) or "").split("\n")[2])
    assert [None, None] == [promptly(store.load, KEY) for _ in range(2)]
    assert 1 == len(caplog.records)
    store.save(KEY, token("b"))
    assert (token("b"), 6) == (store.load(KEY), entries(keyring_folder))


def test_reading_while_pieces_are_replaced(store: KeyringTokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a sibling replaces the token between two pieces, a reader gets a whole one."""
    store.save(KEY, token("a"))
    backend, letters = keyring.get_keyring(), iter("bcdefgh")
    get_password = backend.get_password
    asked: list[str] = []

    def get_slowly(service: str, username: str) -> str | None:
        asked.append(username)
        if asked[-2:-1] == [KEY] != [username] and (letter := next(letters, None)):
            with monkeypatch.context() as patch:
                patch.setattr(backend, "get_password", get_password)
                store.save(KEY, token(letter))
        return get_password(service, username)

    monkeypatch.setattr(backend, "get_password", get_slowly)
    assert token("h") == store.load(KEY)


def test_many_readers_and_a_writer(store: KeyringTokenStore) -> None:
    """Nobody sees half a token, or none, while it's replaced."""
    letters = "abcdefghij" * 3
    store.save(KEY, token("a"))
    done = threading.Event()

    def read() -> set[Any]:
        seen = set()
        while not done.is_set():
            found = store.load(KEY)
            seen.add(found and (len(set(found.access_token)), len(found.access_token)))
        return seen

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        for letter in letters:
            store.save(KEY, token(letter))
        done.set()
        assert [{(1, 4000)}] * 4 == [reader.result(20) for reader in readers]


def test_services_are_apart(keyring_folder: Path) -> None:
    """Two programs' tokens are under the names that they gave, and so are their locks."""
    one, other = KeyringTokenStore("one"), KeyringTokenStore("other")
    with one.lock(KEY, timeout=0), other.lock(KEY, timeout=0):
        one.save(KEY, SHORT)
        assert (SHORT, None) == (one.load(KEY), other.load(KEY))
    assert keyring.get_password("one", KEY) is not None


def test_what_is_no_token_of_ours(store: KeyringTokenStore, caplog: pytest.LogCaptureFixture) -> None:
    """A password that lies under the key counts as absent, and isn't shown."""
    for password in ("top-secret", "", "oauth_auth pieces", "oauth_auth pieces\n", "oauth_auth pieces\n\n", "\ud800"):
        try:
            keyring.set_password("oauth_auth", KEY, password)
        except UnicodeEncodeError:
            continue
        assert None is promptly(store.load, KEY)
    assert 1 == len(caplog.records)
    assert "top-secret" not in caplog.text


def test_a_locked_keyring(store: KeyringTokenStore, keyring_folder: Path) -> None:
    """It's an error of the store's that says so."""
    store.save(KEY, SHORT)
    (keyring_folder / "locked").touch()
    calls: list[Callable[[], object]] = [
        lambda: store.load(KEY),
        lambda: store.save(KEY, SHORT),
        lambda: store.delete(KEY),
    ]
    for call in calls:
        with pytest.raises(TokenStoreError, match="KeyringLocked"):
            call()
    (keyring_folder / "locked").unlink()
    assert SHORT == store.load(KEY)


class Forgetful(keyring.backend.KeyringBackend):
    """A back end that takes everything and keeps nothing, of whatever make."""

    priority = -1

    def get_password(self, service: str, username: str) -> str | None:
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        pass

    def delete_password(self, service: str, username: str) -> None:
        raise keyring.errors.PasswordDeleteError


NOTHING_KEPT = [keyring.backends.null.Keyring, keyring.backends.fail.Keyring, Forgetful]


@pytest.mark.parametrize("back_end", NOTHING_KEPT, ids=["null", "fail", "another"])
def test_a_keyring_that_keeps_nothing(
    keyring_folder: Path, back_end: Any, mode: Mode, tokens: Tokens, log: Log
) -> None:
    """A save there is an error that says what to do; requests go on with the token in memory, and it's logged."""
    keyring.set_keyring(back_end())
    store = KeyringTokenStore()
    for new in (SHORT, token("a", 40_000)):
        with pytest.raises(TokenStoreError, match=r"keyring.*: .*or use FileTokenStore"):
            store.save(KEY, new)
    auth = client_credentials(mode, tokens, store=store, store_key=KEY)
    assert "token-1" == mode.get_token(auth).access_token
    assert "or use FileTokenStore" in log.of_event("store_failed")[0]
