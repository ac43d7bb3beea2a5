"""Guarantees 8 and 12: what a `ResourceAuth` has found out, registered and got is kept once, and shared."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import pytest

from oauth_auth import MemoryTokenStore, OAuthToken
from oauth_auth._renewal.store_entry import StoreEntry
from oauth_auth.stores import LockTaken, TokenStore
from tests.guarantees.test_broken_stores import QUICK
from tests.servers.redis import RedisServer
from tests.support import modes
from tests.support.clock import Clock
from tests.support.modes import Mode
from tests.support.registering import REDIRECT_URI, SECRET, Registry, log_in
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.siblings import Siblings
from tests.support.stores import SHARED_STORES, STORES, store_maker
from tests.support.waiting import outcome_of

pytestmark = pytest.mark.shared_core
ONE_PER_PLUGIN = True

BASIC_ALONE = {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
FIRST_LOGIN = {"API": 2, "resource metadata": 1, "server metadata": 1, "registration": 1, "token": 1, "login": 1}

WAYS = [(store, modes.REQUESTS) for store in STORES] + [
    ("file", mode) for mode in modes.ALL if mode is not modes.REQUESTS
]
"""Each store with one plug-in, and each plug-in with one store."""


@pytest.fixture
def registry(serve: Callable[..., ScriptedServer]) -> Registry:
    """A server whose clients all have secrets."""
    registry = Registry(serve)
    registry.metadata |= BASIC_ALONE
    return registry


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{way[1]}")
def way(request: pytest.FixtureRequest) -> tuple[Callable[[], TokenStore], Mode]:
    """How to make store objects at one place, and a mode."""
    name, mode = request.param
    return store_maker(request, name), mode


def get(mode: Mode, auth: Any, url: str) -> int:
    """Send one request; return its status."""
    with mode.client(auth) as client:
        return int(client.get(url).status_code)


def counted(registry: Registry, function: Callable[..., Any], *args: Any) -> tuple[Any, Counter[str]]:
    """Return what a function returns, and which calls it has caused."""
    registry.forget_calls()
    return function(*args), registry.counts


# -- Registered once --------------------------------------------------------------------------------------------------


def test_of_many_requests(mode: Mode, registry: Registry) -> None:
    """50 requests at once on an object without a token: one registration, one login."""
    with mode.client(registry.auth(mode)) as client:
        assert [200] * 50 == [answer.status_code for answer in client.get_many(registry.url, 50)]
    counts = registry.counts
    assert 100 >= counts.pop("API")
    assert {name: count for name, count in FIRST_LOGIN.items() if name != "API"} == counts


def test_of_many_objects(way: tuple[Callable[[], TokenStore], Mode], registry: Registry) -> None:
    """Objects on one store that all log in at once, each for a user of its own, have one client."""
    make_store, mode = way
    count, arrived = 6, threading.Barrier(6)

    def together(begin: Any) -> str:
        arrived.wait(20)
        return registry.log_in(begin)

    auths = [registry.auth(mode, store=make_store(), store_key=str(key), login=together) for key in range(count)]
    with ThreadPoolExecutor(count) as pool:
        assert [200] * count == list(pool.map(lambda auth: get(mode, auth, registry.url), auths))
    assert (1, count) == (len(registry.registrations), len(registry.visited))
    assert 1 == len({visit["client_id"] for visit in registry.visited})


def test_of_many_resources(way: tuple[Callable[[], TokenStore], Mode], registry: Registry) -> None:
    """All resources of an issuer share the client; each has tokens of its own."""
    make_store, mode = way
    urls = [f"{registry.url}/{name}" for name in ("a", "b", "c")]
    registry.answers |= {f"/api/{name}": _refuse_others(registry, name) for name in ("a", "b", "c")}
    for url in urls:
        auth = mode.plugin.ResourceAuth(url, login=registry.log_in, store=make_store())
        assert 200 == get(mode, auth, url)
    assert (1, 3) == (len(registry.registrations), len(registry.visited))
    assert urls == [visit["resource"] for visit in registry.visited]


def _refuse_others(registry: Registry, name: str) -> Callable[[Received], Answer | None]:
    place = f"{registry.issuer}/.well-known/oauth-protected-resource/api/{name}"

    def answer(request: Received) -> Answer | None:
        challenge = (("WWW-Authenticate", f'Bearer resource_metadata="{place}"'),)
        return None if request.authorization else Answer(401, b"", challenge)

    return answer


@pytest.mark.parametrize("name", SHARED_STORES)
def test_of_many_processes(request: pytest.FixtureRequest, siblings: Siblings, registry: Registry, name: str) -> None:
    """Processes that all start on an empty store register once; who logs in first does so for all."""
    make_store = store_maker(request, name)
    group = [
        siblings.start(modes.REQUESTS, "ResourceAuth", registry.url, login=log_in, store=make_store()) for _ in range(3)
    ]
    sent = [sibling.begin("send", registry.url, 4) for sibling in group]
    assert [[200] * 4] * 3 == [future.result(40) for future in sent]
    assert 1 == len(registry.registrations)
    assert 1 == len({visit["client_id"] for visit in registry.visited})


@pytest.mark.parametrize("mode", [mode for mode in modes.ALL if mode is not modes.REQUESTS], ids=str)
def test_of_many_processes_of_each_plug_in(
    request: pytest.FixtureRequest, siblings: Siblings, registry: Registry, mode: Mode
) -> None:
    """The same in each mode, with one store."""
    make_store = store_maker(request, "file")
    group = [siblings.start(mode, "ResourceAuth", registry.url, login=log_in, store=make_store()) for _ in range(2)]
    sent = [sibling.begin("send", registry.url, 4) for sibling in group]
    assert [[200] * 4] * 2 == [future.result(40) for future in sent]
    assert 1 == len(registry.registrations)


# -- Kept -------------------------------------------------------------------------------------------------------------


def test_another_object_needs_nothing(way: tuple[Callable[[], TokenStore], Mode], registry: Registry) -> None:
    """No call but its own while the token lives; two for its first renewal, the server's metadata and the refresh."""
    make_store, mode = way
    _, counts = counted(registry, get, mode, registry.auth(mode, store=make_store()), registry.url)
    assert FIRST_LOGIN == counts
    auth = registry.auth(mode, store=make_store())
    with mode.client(auth) as client:
        answer, counts = counted(registry, client.get, registry.url)
        assert (200, {"API": 1}) == (answer.status_code, counts)
        registry.revoke()
        answer, counts = counted(registry, client.get, registry.url)
        assert (200, {"API": 2, "server metadata": 1, "token": 1}) == (answer.status_code, counts)
        registry.revoke()
        answer, counts = counted(registry, client.get, registry.url)
        assert (200, {"API": 2, "token": 1}) == (answer.status_code, counts)


def test_another_process_needs_nothing(
    request: pytest.FixtureRequest, siblings: Siblings, registry: Registry, plugin_mode: Mode
) -> None:
    """The same in a process that starts later."""
    make_store = store_maker(request, "file")
    get(plugin_mode, registry.auth(plugin_mode, store=make_store()), registry.url)
    sibling = siblings.start(plugin_mode, "ResourceAuth", registry.url, store=make_store())
    sent, counts = counted(registry, sibling.do, "send", registry.url, 1)
    assert ([200], {"API": 1}) == (sent, counts)
    registry.revoke()
    sent, counts = counted(registry, sibling.do, "send", registry.url, 1)
    assert ([200], {"API": 2, "server metadata": 1, "token": 1}) == (sent, counts)


def test_a_token_that_has_expired(mode: Mode, registry: Registry, clock: Clock) -> None:
    """Another object renews it before its first request, without a challenge."""
    store = MemoryTokenStore()
    get(mode, registry.auth(mode, store=store), registry.url)
    clock.advance(3601)
    registry.revoke()
    status, counts = counted(registry, get, mode, registry.auth(mode, store=store), registry.url)
    assert (200, {"API": 1, "server metadata": 1, "token": 1}) == (status, counts)


def test_who_has_no_login_uses_what_is_stored(mode: Mode, registry: Registry) -> None:
    """What the command has stored for a URL, an object with that URL finds, renews, and can't log in anew."""
    store = MemoryTokenStore()
    modes.HTTPX.plugin.ResourceAuth(registry.url, login=registry.log_in, store=store).get_token()
    auth = mode.plugin.ResourceAuth(registry.url, store=store)
    with mode.client(auth) as client:
        assert 200 == client.get(registry.url).status_code
        registry.revoke()
        assert 200 == client.get(registry.url).status_code
        registry.revoke()
        registry.refresh_tokens.clear()
        error = outcome_of(client.get, registry.url)
    assert "must log in" in str(error)
    assert 1 == len(registry.visited)


@pytest.mark.parametrize("url", ["{}/", "{}/deeper"])
def test_another_url_is_another_resource(plugin_mode: Mode, registry: Registry, url: str) -> None:
    """A token is found by the URL that it was stored for, a slash at its end aside."""
    store = MemoryTokenStore()
    get(plugin_mode, registry.auth(plugin_mode, store=store), registry.url)
    other = plugin_mode.plugin.ResourceAuth(url.format(registry.url), store=store)
    found = outcome_of(plugin_mode.get_token, other)
    assert isinstance(found, OAuthToken) == url.endswith("/")


def test_a_login_in_one_process_serves_another(mode: Mode, registry: Registry, held: threading.Event) -> None:
    """A user who is asked in two programs answers in one of them: the other's login ends, and its request goes on."""
    store, begun, ended = MemoryTokenStore(), threading.Event(), threading.Event()

    def patient(begin: Any) -> str:
        begin(REDIRECT_URI)
        begun.set()
        while not begin.is_cancelled:
            held.wait(0.01)
        ended.set()
        return ""

    auth = registry.auth(mode, store=store, login=patient)
    with mode.client(auth) as client:
        waiting = client.begin("GET", registry.url)
        assert begun.wait(20)
        assert 200 == get(mode, registry.auth(mode, store=store), registry.url)
        assert 200 == waiting.result(20).status_code
        assert ended.wait(20)
    assert (1, 1) == (len(registry.registrations), len(registry.visited))


# -- Secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["file, encrypted", "redis, encrypted"])
def test_an_encrypted_store_shows_no_secret(
    request: pytest.FixtureRequest, registry: Registry, plugin_mode: Mode, name: str
) -> None:
    """Neither client secrets nor tokens are to be seen in what lies there, under whatever key."""
    make_store = store_maker(request, name)
    get(plugin_mode, registry.auth(plugin_mode, store=make_store()), registry.url)
    client_id = registry.visited[0]["client_id"]
    if name.startswith("file"):
        files = request.getfixturevalue("tmp_path").rglob("*")
        raw = {str(file): file.read_bytes() for file in files if file.is_file()}
    else:
        server: RedisServer = request.getfixturevalue("running_redis")
        prefix = make_store()._prefix  # type: ignore[attr-defined]
        raw = {key: server.client.get(key) or b"" for key in server.client.keys(f"{prefix}*")}
    assert 3 <= len(raw)
    for key, value in raw.items():
        for secret in (SECRET, client_id, "refresh-", "access_token"):
            assert secret.encode() not in value, key


def test_keys_tell_nothing(plugin_mode: Mode, registry: Registry) -> None:
    """The keys of a store are digests: whoever lists them learns of no server, client or user."""
    store = MemoryTokenStore()
    metadata = {"client_name": "unmistakable"}
    get(plugin_mode, registry.auth(plugin_mode, store=store, client_metadata=metadata), registry.url)
    assert 4 == len(store._tokens)
    assert all(64 == len(key) and {*key} <= {*"0123456789abcdef"} for key in store._tokens)


# -- Stores in trouble ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in QUICK if name not in {"other key", "no key", "can't read"}])
def test_a_store_that_fails(request: pytest.FixtureRequest, plugin_mode: Mode, registry: Registry, name: str) -> None:
    """A login, later requests and a renewal all work: the object knows its own client and token."""
    trouble = QUICK[name](request)
    trouble.begin()
    auth = registry.auth(plugin_mode, store=trouble.store)
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(registry.url).status_code
        registry.revoke()
        assert 200 == client.get(registry.url).status_code
    assert (1, 1) == (len(registry.registrations), len(registry.visited))
    trouble.end()


class Watched(MemoryTokenStore):
    """Notes its calls by their keys; those of one method may hang."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []
        self.hanging = ""
        self.released = threading.Event()

    def _note(self, method: str, key: str) -> None:
        self.calls.append((method, key))
        if method == self.hanging:
            self.released.wait(60)

    def load(self, key: str) -> OAuthToken | None:
        self._note("load", key)
        return super().load(key)

    def save(self, key: str, token: OAuthToken) -> None:
        self._note("save", key)
        super().save(key, token)

    @contextmanager
    def lock(self, key: str, *, timeout: float = 30.0) -> Iterator[None]:
        self._note("lock", key)
        with super().lock(key, timeout=timeout):
            yield

    def registrations(self) -> dict[str, OAuthToken]:
        """Return what it has of clients, by key."""
        return {key: token for key, token in self._tokens.items() if token.token_type == "client_registration"}


@pytest.mark.parametrize("method", ["load", "save", "lock"])
def test_a_store_that_hangs(mode: Mode, registry: Registry, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """It's waited for once for each key, as long as a call may take, and left alone from then on."""
    monkeypatch.setattr(StoreEntry, "default_timeout", 0.3)
    monkeypatch.setattr(StoreEntry, "first_cooldown", 600.0)
    store = Watched()
    store.hanging = method
    try:
        with mode.client(registry.auth(mode, store=store)) as client:
            for _ in range(4):
                assert 200 == client.get(registry.url).status_code
                registry.revoke()
    finally:
        store.released.set()
    hung = Counter(key for called, key in store.calls if called == method)
    assert {1} == {*hung.values()}
    assert (1, 1) == (len(registry.registrations), len(registry.visited))


def test_a_lock_that_is_never_released(mode: Mode, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds the lock of a registration taken for longer than one takes goes on without it."""
    store = Watched()
    get(mode, registry.auth(mode, store=store), registry.url)
    key = next(key for called, key in store.calls if called == "lock" and key in store.registrations())
    for kept in store.registrations():
        store.delete(kept)
    monkeypatch.setattr(StoreEntry, "lock_wait", 0.6)
    with store.lock(key):
        assert 200 == get(mode, registry.auth(mode, store=store, store_key="other"), registry.url)
    assert 2 == len(registry.registrations)


def test_a_registration_that_cannot_be_saved(mode: Mode, registry: Registry) -> None:
    """Another program, whose refresh lacks the secret, has the user log in anew rather than fails for ever."""

    class Forgetful(MemoryTokenStore):
        def save(self, key: str, token: OAuthToken) -> None:
            if token.token_type == "client_registration":
                raise OSError
            super().save(key, token)

    store = Forgetful()
    get(mode, registry.auth(mode, store=store), registry.url)
    registry.answers["/token"] = _require_secrets
    registry.revoke()
    assert 200 == get(mode, registry.auth(mode, store=store), registry.url)
    assert (2, 2) == (len(registry.registrations), len(registry.visited))


def _require_secrets(request: Received) -> Answer | None:
    return None if request.authorization else Answer(401, {"error": "invalid_client"})


@pytest.mark.parametrize("damage", ["gone", "another's"])
def test_a_registration_that_is_lost(mode: Mode, registry: Registry, damage: str) -> None:
    """The same where the store has lost it, or has another one in its place."""
    store = MemoryTokenStore()
    registry.answers["/token"] = _require_secrets
    get(mode, registry.auth(mode, store=store), registry.url)
    for key, token in [*store._tokens.items()]:
        if token.token_type == "client_registration":
            store.delete(key)
    if damage == "another's":
        get(mode, registry.auth(mode, store=store, store_key="other"), registry.url)
    registry.revoke()
    before = len(registry.registrations)
    assert 200 == get(mode, registry.auth(mode, store=store), registry.url)
    assert before + (damage == "gone") == len(registry.registrations)


DAMAGED: dict[str, dict[str, Any]] = {
    "no issuer": {"issuer": None},
    "an issuer that is no text": {"issuer": 7},
    "another issuer": {"issuer": "https://elsewhere.example"},
    "an unknown method": {"method": "private_key_jwt"},
    "a method that is no text": {"method": ["none"]},
    "a scope that is no text": {"scope": ["a"]},
    "a redirect URI that is no text": {"redirect_uri": 1},
    "a time that is no number": {"expires_at": "soon"},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_registration_is_none(plugin_mode: Mode, registry: Registry, name: str) -> None:
    """What can't be a registration counts as absent: another is registered, and nothing fails."""
    store = MemoryTokenStore()
    get(plugin_mode, registry.auth(plugin_mode, store=store), registry.url)
    for key, token in [*store._tokens.items()]:
        if token.token_type == "client_registration":
            fields = token.to_dict()
            store.save(key, OAuthToken.from_dict({**fields, "extra": {**token.extra, **DAMAGED[name]}}))
    auth = registry.auth(plugin_mode, store=store, store_key="other")
    assert 200 == get(plugin_mode, auth, registry.url)
    assert 200 == get(plugin_mode, registry.auth(plugin_mode, store=store), registry.url)


def test_a_token_is_no_registration(plugin_mode: Mode, registry: Registry) -> None:
    """Nor is a registration a token: what lies under the other's key counts as absent."""
    store = MemoryTokenStore()
    get(plugin_mode, registry.auth(plugin_mode, store=store), registry.url)
    registrations = {key: token for key, token in store._tokens.items() if token.token_type == "client_registration"}
    (token,) = [token for key, token in store._tokens.items() if key not in registrations]
    for key in registrations:
        store.save(key, token)
    assert 200 == get(plugin_mode, registry.auth(plugin_mode, store=store, store_key="other"), registry.url)
    assert 2 == len(registry.registrations)


# -- Races ------------------------------------------------------------------------------------------------------------


def test_a_client_is_forgotten_under_its_lock(mode: Mode, registry: Registry) -> None:
    """Another program can't save the next one between a look at the dead one and its end."""

    class Guarded(MemoryTokenStore):
        unguarded: ClassVar[list[str]] = []

        def delete(self, key: str) -> None:
            with suppress(LockTaken), self.lock(key, timeout=0.0):
                self.unguarded.append(key)
            super().delete(key)

    store = Guarded()
    with mode.client(registry.auth(mode, store=store)) as client:
        client.get(registry.url)
        registry.forget_clients()
        registry.revoke()
        assert 200 == client.get(registry.url).status_code
    assert [] == store.unguarded
    assert {registry.visited[-1]["client_id"]} == {
        token.access_token for token in store._tokens.values() if token.token_type == "client_registration"
    }


@pytest.mark.parametrize(("step", "visit"), [("call", 3), ("written", 1), ("saved", 1), ("saved", 2), ("call", 4)])
@pytest.mark.parametrize("name", ["file", "redis"])
def test_a_crash_between_registration_and_login(
    request: pytest.FixtureRequest, siblings: Siblings, registry: Registry, name: str, step: str, visit: int
) -> None:
    """Who comes after a program that died anywhere in its first login gets its token, with two clients at most."""
    make_store = store_maker(request, name)
    first = siblings.start(modes.REQUESTS, "ResourceAuth", registry.url, login=log_in, store=make_store(), lease=1.0)
    first.do("at", step, "kill", visit)
    first.begin("send", registry.url, 1)
    first.await_death()
    has_saved = step in {"saved", "written"} or visit == 4
    before = len(registry.registrations)
    second = siblings.start(modes.REQUESTS, "ResourceAuth", registry.url, login=log_in, store=make_store(), lease=1.0)
    assert [200] == second.do("send", registry.url, 1)
    assert before + (not has_saved) == len(registry.registrations)


def test_a_refusal_of_a_stored_token_is_not_repeated(mode: Mode, registry: Registry, clock: Clock) -> None:
    """A token that has expired and can't be renewed for good costs a handful of calls, however many requests come."""
    store = MemoryTokenStore()
    registry.clients["mine"] = {}
    get(mode, registry.auth(mode, store=store, client_id="mine", issuer=registry.issuer), registry.url)
    registry.forget_clients()
    clock.advance(3601)
    registry.revoke()
    registry.forget_calls()
    auth = registry.auth(mode, store=store, client_id="mine", issuer=registry.issuer)
    with mode.client(auth) as client:
        for _ in range(10):
            outcome_of(client.get, registry.url)
    assert 2 >= registry.counts["token"]
    assert 4 >= registry.counts["server metadata"] + registry.counts["resource metadata"]
