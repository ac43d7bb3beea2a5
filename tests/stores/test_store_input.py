"""What stores are given, and what they find in themselves: checked, explained, and never sent by mistake."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import pickle
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from cryptography.fernet import Fernet, MultiFernet

from oauth_auth import ConfigurationError, MemoryTokenStore, OAuthToken, TokenStoreError
from oauth_auth.stores import FileTokenStore, KeyringTokenStore, LockTaken, RedisTokenStore, TokenStore
from oauth_auth.stores._serialized import Entries
from tests.support import modes
from tests.support.log import Log
from tests.support.scripted import ScriptedServer
from tests.support.stores import token_in
from tests.support.tokens import Tokens, client_credentials, token_that_expires_in
from tests.support.waiting import outcome_of

KEY = "key"
URL = "redis://user:pass-word@127.0.0.1:1/0"


# -- Where a file store may be --------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tokens"
    folder.mkdir(mode=0o700)
    return folder


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """It's said what the path must be."""
    path = tmp_path / "file"
    path.touch(0o600)
    with pytest.raises(TokenStoreError, match="is no folder"):
        FileTokenStore(path)
    below = FileTokenStore(path / "tokens")
    calls: list[Callable[[], object]] = [
        lambda: below.load(KEY),
        lambda: below.save(KEY, OAuthToken(access_token="a")),
    ]
    for call in calls:
        with pytest.raises(TokenStoreError, match="file/tokens"):
            call()


def test_a_folder_of_somebody_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who owns the folder could put tokens of theirs there."""
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(TokenStoreError, match="belongs to another user: give a folder of your own"):
        FileTokenStore(folder)


@pytest.mark.parametrize("mode", [0o777, 0o707, 0o1777, 0o702, 0o770, 0o2770, 0o730, 0o775])
def test_a_folder_that_others_may_write_to(folder: Path, mode: int) -> None:
    """It's refused, now and when it becomes so later, with the reason and the command that helps."""
    store = FileTokenStore(folder)
    folder.chmod(mode)
    calls: list[Callable[[], object]] = [
        lambda: FileTokenStore(folder),
        lambda: store.load(KEY),
        lambda: store.save(KEY, OAuthToken(access_token="a")),
        lambda: store.lock(KEY).__enter__(),
    ]
    for call in calls:
        with pytest.raises(TokenStoreError, match=f"other users may plant tokens in .*: run chmod 700 {folder}"):
            call()


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o711])
def test_a_folder_that_others_may_look_into(folder: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    """It's used, and told once."""
    folder.chmod(mode)
    store = FileTokenStore(folder)
    for _ in range(3):
        store.save(KEY, OAuthToken(access_token="a"))
        assert OAuthToken(access_token="a") == store.load(KEY)
    assert [f"chmod 700 {folder}" in record.getMessage() for record in caplog.records] == [True]


def somebody_else_owns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fstat = os.fstat

    def seen(descriptor: int) -> os.stat_result:
        found = fstat(descriptor)
        fields = list(found)
        fields[stat.ST_UID] += os.path.samestat(found, path.stat())
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", seen)


def opened(mode: int) -> Callable[[Path, pytest.MonkeyPatch], None]:
    return lambda path, _: path.chmod(mode)


PLANTED: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "a file of somebody else": somebody_else_owns,
    "a file that the group may write": opened(0o620),
    "a file that everybody may write": opened(0o602),
    "a folder that the group may write": lambda path, _: path.parent.chmod(0o770),
    "a folder that everybody may write": lambda path, _: path.parent.chmod(0o707),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_token_that_another_user_may_have_planted(
    folder: Path, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, name: str, log: Log
) -> None:
    """It's sent by no plug-in, and it's said what to do; when that's done the store works again."""
    store = FileTokenStore(folder)
    auths = [client_credentials(mode, tokens, store=store, store_key=KEY) for mode in modes.SYNC]
    store.save(KEY, token_that_expires_in(3000, "planted"))
    with monkeypatch.context() as patch:
        PLANTED[name](store._path(KEY), patch)
        with pytest.raises(TokenStoreError, match=r"may (have planted|plant) .*: run (rm|chmod 700) /"):
            store.load(KEY)
        assert "planted" not in {auth.get_token().access_token for auth in auths}
        assert len(auths) == tokens.calls
        assert "plant" in log.of_event("store_failed")[0]
    folder.chmod(0o700)
    store._path(KEY).unlink()
    for auth in auths:
        auth.close()
    assert token_in(store, KEY) in [auth.token for auth in auths]


def test_an_entry_that_its_owner_has_looked_at(folder: Path) -> None:
    """A file that others could have written is read again after the `chmod 600` that the error names."""
    store, token = FileTokenStore(folder), token_that_expires_in(3000)
    store.save(KEY, token)
    store._path(KEY).chmod(0o660)
    with pytest.raises(TokenStoreError, match="chmod 600") as caught:
        store.load(KEY)
    subprocess.run(str(caught.value).partition(", or ")[2].partition(" if ")[0], shell=True, check=True)
    assert token == store.load(KEY)


def test_paths_of_all_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A symbolic link, a relative path and `~` are what they mean, also after the current folder has changed."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    stores = [
        FileTokenStore(path) for path in ("~/real", "real", tmp_path / "link", Path("~") / "link", "./link/../real")
    ]
    monkeypatch.chdir("/")
    for number, store in enumerate(stores):
        store.save(KEY, OAuthToken(access_token=f"{number}"))
        assert [f"{number}"] * len(stores) == [found.access_token for s in stores if (found := s.load(KEY)) is not None]


def test_a_link_to_nowhere(tmp_path: Path) -> None:
    """A link that leads nowhere, or in a circle, is an error of the store's."""
    (tmp_path / "link").symlink_to("link")
    store = FileTokenStore(tmp_path / "link")
    with pytest.raises(TokenStoreError):
        store.save(KEY, OAuthToken(access_token="a"))


def test_an_entry_that_is_a_link(folder: Path, tmp_path: Path) -> None:
    """Saving replaces a link in the folder, not what it leads to."""
    store, other = FileTokenStore(folder), tmp_path / "other"
    other.write_text("precious")
    store._path(KEY).symlink_to(other)
    assert None is store.load(KEY)
    store.save(KEY, OAuthToken(access_token="a"))
    assert "precious" == other.read_text()


@pytest.mark.parametrize("path", ["", None, 3, b"/tmp/x", "~nobody-of-this-name/x", "a\0b", 3.5], ids=ascii)
def test_what_is_no_path(path: Any) -> None:
    """It's said what to write."""
    with pytest.raises(ConfigurationError, match="folder must be the path of a folder"):
        FileTokenStore(path)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EIO])
def test_a_file_system_without_locks(folder: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It's said what to do; no lock that would outlive its holder is used instead."""
    here, real = threading.get_ident(), fcntl.flock

    def flock(*args: Any) -> None:
        if threading.get_ident() != here:
            return real(*args)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(TokenStoreError, match=r"can't be locked .*: use a folder on a local disk"),
        FileTokenStore(folder).lock(KEY),
    ):
        pass


def test_the_same_thread_takes_a_lock_twice(make_store: Callable[[], TokenStore]) -> None:
    """The second time it's taken, as for anybody else: an error of the store's, and no deadlock."""
    store: Any = make_store()
    for timeout in (0.0, 0.1):
        with store.lock(KEY), pytest.raises(LockTaken), make_store().lock(KEY, timeout=timeout):  # type: ignore[call-arg]
            pass


# -- Entries that aren't ours ---------------------------------------------------------------------------------------


def entry(token: Any = None, **fields: Any) -> bytes:
    return json.dumps({"version": 1, "key": KEY, "token": token or {"access_token": "a"}, **fields}).encode()


def entry_with(**fields: Any) -> bytes:
    return entry({"access_token": "a", **fields})


ALIEN = {
    "empty": b"",
    "not JSON": b"hello",
    "half": entry()[:30],
    "null": b"null",
    "a list": b"[1, 2]",
    "a text": b'"token"',
    "deep": b'{"version": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep, not closed": b"[" * 100_000,
    "deep extra": b'{"version":1,"key":"key","token":{"access_token":"a","extra":'
    + b'{"a":' * 90_000
    + b"1"
    + b"}" * 90_002,
    "invalid UTF-8": b'{"version": 1, "key": "key", "token": {"access_token": "\xff\xfe"}}',
    "UTF-16": entry().decode().encode("utf-16-le")[:-1],
    "null bytes": b"\0" * 100,
    "null byte in the token": entry({"access_token": "a\0b"}),
    "line end in the token": entry({"access_token": "a\nX-Injected: b"}),
    "no token": entry({"refresh_token": "b"}),
    "empty token": entry({"access_token": ""}),
    "scheme in the token": entry({"access_token": "Bearer a"}),
    "token a list": entry(["a"]),
    "token a text": entry("a"),
    "token a number": entry({"access_token": 3}),
    "NaN expiry": b'{"version":1,"key":"key","token":{"access_token":"a","expiry":NaN}}',
    "infinite expiry": b'{"version":1,"key":"key","token":{"access_token":"a","expiry":Infinity}}',
    "expiry beyond floats": b'{"version":1,"key":"key","token":{"access_token":"a","expiry":1' + b"0" * 400 + b"}}",
    "expiry of 9,000 digits": b'{"version":1,"key":"key","token":{"access_token":"a","expiry":1' + b"0" * 9000 + b"}}",
    "expiry a text": entry_with(expiry="2030-01-01"),
    "expiry true": entry_with(expiry=True),
    "expires_in a list": entry_with(expires_in=[1]),
    "token_type a number": entry_with(token_type=1),
    "scope a list": entry_with(scope=["a"]),
    "refresh token an object": entry_with(refresh_token={"a": "b"}),
    "refresh token that can't be sent": entry_with(refresh_token="\ud800"),
    "extra a list": entry_with(extra=[1]),
    "newer": entry(version=2),
    "version a text": entry(version="1"),
    "version true": entry(version=True),
    "no version": entry(version=None),
    "another key": entry(key="another"),
    "no key": entry(key=None),
    "longer than 1 MiB": entry_with(extra={"a": "b" * 1024 * 1024}),
    "longer than 4 MiB": b"x" * 4 * 1024 * 1024,
}


@pytest.mark.parametrize("alien", ALIEN.values(), ids=ALIEN)
def test_an_entry_that_is_not_ours(alien: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It counts as absent, and is told once with a reason that shows nothing of it."""
    entries = Entries(None)
    assert [None] * 3 == [entries.read(KEY, alien) for _ in range(3)]
    [record] = caplog.records
    assert ("entry_ignored", logging.WARNING) == (record.oauth_event, record.levelno)  # type: ignore[attr-defined]
    assert len(record.getMessage()) < 150


@pytest.mark.parametrize("kind", ["file", "Redis"])
def test_an_entry_that_is_not_ours_is_replaced(
    kind: str, request: pytest.FixtureRequest, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In each store it counts as absent, is told once, and can be replaced."""
    for alien in (b"", b"\0" * 100, ALIEN["half"], ALIEN["longer than 4 MiB"]):
        caplog.clear()
        if kind == "file":
            store: Any = FileTokenStore(folder)
            store._path(KEY).write_bytes(alien)
        else:
            server = request.getfixturevalue("running_redis")
            store = RedisTokenStore(server.url, prefix="alien:")
            server.client.set("alien:{key}", alien)
        assert [None] * 3 == [store.load(KEY) for _ in range(3)]
        assert ["entry_ignored"] == [record.oauth_event for record in caplog.records]  # type: ignore[attr-defined]
        store.save(KEY, OAuthToken(access_token="good"))
        assert OAuthToken(access_token="good") == store.load(KEY)


STRANGE = {
    "before all times": entry_with(expiry=-1e300, expires_in=3600),
    "a negative lifetime": entry_with(expires_in=-5, expiry=4e9),
    "after all times": entry_with(expiry=1e308, expires_in=1e308),
    "an integer after all times": entry_with(expiry=10**300, expires_in=10**300),
    "memory a list": entry_with(expiry=4e9, extra={"oauth_auth": [1]}),
    "memory of wrong types": entry_with(
        expiry=4e9, extra={"oauth_auth": {"basic_encode": "no", "code": 3, "owner": 7}}
    ),
    "owner a text": entry_with(expiry=4e9, extra={"oauth_auth": {"owner": "x"}}),
    "nested": entry_with(expiry=1, extra={"a": [[[[[[{}]]]]]]}),
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize("grant", ["ClientCredentialsAuth", "AuthorizationCodeAuth"])
def test_an_entry_that_is_ours_but_strange(
    strange: bytes, grant: str, folder: Path, tokens: Tokens, api: ScriptedServer
) -> None:
    """A request goes through, with the stored token or with another."""
    store = FileTokenStore(folder)
    store._path(KEY).write_bytes(strange)
    options = {} if grant == "ClientCredentialsAuth" else {"code": "code", "redirect_uri": "https://a.example/"}
    auth = getattr(modes.REQUESTS.plugin, grant)(tokens.url, "client", "secret", store=store, store_key=KEY, **options)
    tokens.accepted = {"Bearer a"}
    with modes.REQUESTS.client(auth) as client:
        assert 200 == client.get(api.url).status_code


def test_a_file_that_was_copied(folder: Path, tokens: Tokens) -> None:
    """A token under another's name isn't taken for it, encrypted or not."""
    for options in ({}, {"encryption_key": Fernet.generate_key()}):
        store = FileTokenStore(folder, **options)
        store.save("alice", token_that_expires_in(3000, "alices"))
        shutil.copy(store._path("alice"), store._path("bob"))
        assert None is store.load("bob")
        auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key="bob")
        assert auth.get_token().access_token.startswith("token-")
        store.delete("bob")
        store.delete("alice")


@pytest.mark.parametrize("change", ["client_id", "token_url"])
def test_a_token_of_another_client(change: str, tokens: Tokens, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two clients with one explicit key never send each other's tokens or refresh tokens, and that's told."""
    plugin, store = modes.REQUESTS.plugin, FileTokenStore(folder)
    other_url, other_id = (tokens.url, "other") if change == "client_id" else (f"{tokens.url}/other", "client")
    tokens.fields["refresh_token"] = "theirs"
    other = plugin.PasswordAuth(other_url, other_id, username="u", password="p", store=store, store_key=KEY)
    other.get_token()
    ours = plugin.PasswordAuth(tokens.url, "client", username="u", password="p", store=store, store_key=KEY)
    for _ in range(3):
        assert "token-2" == ours.get_token().access_token
    assert ["password", "password"] == [request.form["grant_type"][0] for request in tokens.server.requests]
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 == len(told)
    assert "give each client a store_key of its own" in told[0]


def test_a_token_too_long_to_be_read_again(make_shared_store: Callable[[], TokenStore]) -> None:
    """It's refused at once, and what was there before stays."""
    store = make_shared_store()
    store.save(KEY, OAuthToken(access_token="a"))
    with pytest.raises(TokenStoreError, match="too long"):
        store.save(KEY, OAuthToken(access_token="a" * 1024 * 1024))
    assert OAuthToken(access_token="a") == store.load(KEY)


@pytest.mark.parametrize("extra", [{"a": 1j}, {"a": {1}}, {"a": b"x"}, {("a",): 1}], ids=repr)
def test_a_token_that_json_cannot_carry(extra: Any, make_shared_store: Callable[[], TokenStore]) -> None:
    """It's refused, with a text that says why, and what was there before stays."""
    store = make_shared_store()
    store.save(KEY, OAuthToken(access_token="a"))
    with pytest.raises(TokenStoreError, match="JSON can't carry"):
        store.save(KEY, OAuthToken(access_token="b", extra=extra))
    assert OAuthToken(access_token="a") == store.load(KEY)


# -- Options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "short", "ü" * 44, b"x" * 44, 3, [], [None], ["short"], {}, Fernet], ids=ascii)
@pytest.mark.parametrize(
    "make",
    [
        lambda key, path: FileTokenStore(path, encryption_key=key),
        lambda key, path: RedisTokenStore(URL, encryption_key=key),
    ],
    ids=["file", "Redis"],
)
def test_what_is_no_encryption_key(key: Any, make: Callable[..., Any], tmp_path: Path) -> None:
    """It's said how to make one, without showing what was given."""
    with pytest.raises(ConfigurationError, match=r"Fernet\.generate_key\(\)") as caught:
        make(key, tmp_path)
    assert "short" not in str(caught.value)


def test_encryption_keys_of_all_kinds(folder: Path) -> None:
    """One key as text, bytes or object, or several: the first encrypts, and all decrypt."""
    old, new = Fernet.generate_key(), Fernet.generate_key()
    FileTokenStore(folder, encryption_key=old).save(KEY, OAuthToken(access_token="a"))
    kinds = (
        old.decode(),
        old,
        Fernet(old),
        [new, old],
        (Fernet(new), old.decode()),
        MultiFernet([Fernet(new), Fernet(old)]),
    )
    for kind in kinds:
        assert OAuthToken(access_token="a") == FileTokenStore(folder, encryption_key=kind).load(KEY)
    FileTokenStore(folder, encryption_key=[new, old]).save(KEY, OAuthToken(access_token="b"))
    assert OAuthToken(access_token="b") == FileTokenStore(folder, encryption_key=new).load(KEY)
    with pytest.raises(TokenStoreError, match="encrypted with another key: add that one to encryption_key"):
        FileTokenStore(folder, encryption_key=old).load(KEY)
    with pytest.raises(TokenStoreError, match="encrypted: give the store its encryption_key"):
        FileTokenStore(folder).load(KEY)


class AsyncStore:
    async def get(self) -> None: ...
    async def set(self) -> None: ...
    async def delete(self) -> None: ...
    async def lock(self) -> None: ...


class OwnAsyncRedis(redis.asyncio.Redis):
    """Asynchronous, though its module's name doesn't say so."""


WRONG_CLIENTS = {
    "None": lambda: None,
    "empty": lambda: "",
    "bytes": lambda: b"redis://localhost",
    "number": lambda: 6379,
    "other scheme": lambda: "http://user:pass-word@localhost",
    "no scheme": lambda: "user:pass-word@localhost:6379",
    "bad port": lambda: "redis://user:pass-word@localhost:port",
    "class": lambda: redis.Redis,
    "asyncio": redis.asyncio.Redis,
    "own asyncio": OwnAsyncRedis,
    "asynchronous methods": AsyncStore,
    "bad option": lambda: "rediss://user:pass-word@localhost/0?ssl_cert_reqs=pass-word",
    "unknown option": lambda: "redis://user:pass-word@localhost/0?no_such_option=pass-word",
}


@pytest.mark.parametrize("make", WRONG_CLIENTS.values(), ids=WRONG_CLIENTS)
def test_what_is_no_redis(make: Callable[[], Any]) -> None:
    """It's said what to write, without the password."""
    with pytest.raises(ConfigurationError, match=r"URL|must be a sync client") as caught:
        RedisTokenStore(make())
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["redis://h", "rediss://h:1/2", "unix:///x?db=1", "valkey://h:1", "valkeys://h", "redis://h?socket_timeout=3"],
)
def test_urls_of_all_kinds(url: str) -> None:
    """All of redis-py's URLs will do, and the same with Valkey's name; nothing is contacted yet."""
    assert "RedisTokenStore(…, prefix='oauth_auth:')" == repr(RedisTokenStore(url))


@pytest.mark.parametrize("service", ["", None, 3])
def test_what_is_no_service(service: Any) -> None:
    """It's said what the name is for."""
    with pytest.raises(ConfigurationError, match="service must be the name"):
        KeyringTokenStore(service)


@pytest.mark.parametrize("prefix", [None, b"x", 3])
def test_what_is_no_prefix(prefix: Any) -> None:
    """It's said what to write."""
    with pytest.raises(ConfigurationError, match="prefix must be text"):
        RedisTokenStore(URL, prefix=prefix)


class NoPatience(MemoryTokenStore):
    def __init__(self, timeout: Any) -> None:
        super().__init__()
        self.timeout = timeout


@pytest.mark.parametrize(
    "store",
    [
        FileTokenStore,
        MemoryTokenStore,
        "redis://localhost",
        {},
        *map(NoPatience, ("1 min", None, 0, -1, float("nan"), True)),
    ],
    ids=repr,
)
def test_what_is_no_store(store: Any, tokens: Tokens) -> None:
    """A class in place of an object, or an object that can't be used, is refused before any request."""
    with pytest.raises(ConfigurationError, match="store"):
        client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)


def test_no_secret_is_shown(folder: Path) -> None:
    """Neither keys nor passwords are in what is shown of stores and errors."""
    key = Fernet.generate_key().decode()
    store = RedisTokenStore(URL, encryption_key=key)
    shown = [repr(store), repr(store._entries), repr(FileTokenStore(folder, encryption_key=key))]
    for call in (
        lambda: store.load(KEY),
        lambda: store.save(KEY, OAuthToken(access_token="a")),
        lambda: store.lock(KEY).__enter__(),
    ):
        error = outcome_of(call)
        assert isinstance(error, TokenStoreError)
        shown += [str(error), repr(error), str(error.__cause__)]
    assert not [text for text in shown if "pass-word" in text or key[:10] in text]


def test_what_redis_says_of_a_command_it_does_not_know(running_redis: Any) -> None:
    """Its answer has the beginning of what was to be saved, and the error hasn't."""
    with redis.Redis(port=running_redis.port) as client:

        class Renamed:
            """A server whose SET has another name."""

            get, delete, lock = client.get, client.delete, client.lock

            def set(self, *args: Any, **options: Any) -> Any:
                return client.execute_command("SETT", *args)

        store = RedisTokenStore(Renamed())
        error = outcome_of(store.save, KEY, OAuthToken(access_token="top-secret"))
    assert isinstance(error, TokenStoreError)
    assert "unknown command" in str(error)
    assert "top-secret" not in f"{error} {error!r} {error.__cause__}"


def test_errors_travel(folder: Path) -> None:
    """They pickle, as all errors of the library do."""
    folder.chmod(0o777)
    error = outcome_of(FileTokenStore, folder)
    assert str(error) == str(pickle.loads(pickle.dumps(error)))
    assert str(LockTaken("taken")) == str(pickle.loads(pickle.dumps(LockTaken("taken"))))


def test_a_lock_is_refused_in_time(make_store: Callable[[], TokenStore]) -> None:
    """A time-out that is over before it begins is none."""
    store: Any = make_store()
    with store.lock(KEY):
        for timeout in (0, 0.0, -1, 0.05):
            begun = time.monotonic()
            with pytest.raises(LockTaken), store.lock(KEY, timeout=timeout):
                pass
            assert time.monotonic() - begun < 10  # and not for as long as a lock is waited for
