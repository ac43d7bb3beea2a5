"""A Redis store shares tokens between machines: entries end by themselves, and a lock is a lease that can be lost."""

from __future__ import annotations

import copy
import datetime as dt
import ipaddress
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import redis
import redis.cluster
import redis.sentinel
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from oauth_auth import OAuthToken, TokenStoreError
from oauth_auth.stores import LockTaken, RedisTokenStore
from tests.servers.redis import RedisServer
from tests.servers.tls import tls_before
from tests.support import modes
from tests.support.ports import free_port
from tests.support.scripted import Answer, Received
from tests.support.tokens import Tokens, client_credentials, token_that_expires_in
from tests.support.waiting import await_end, flights_in_the_air

KEY = "key"
NAME = "oauth_auth:{key}"
LOCK = f"{NAME}:lock"
YEAR = 365 * 86400


@pytest.fixture
def store(own_redis: RedisServer) -> RedisTokenStore:
    return RedisTokenStore(own_redis.url)


@pytest.fixture
def short_lease(store: RedisTokenStore) -> None:
    store._lease_seconds = 1.0


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"expires_in": 600}, 600 + 3600),
        ({"expires_in": 600, "refresh_token": "r"}, YEAR),
        ({}, YEAR),
        ({"expiry": 1.0}, 3600),
        ({"expiry": 1.0, "extra": {"oauth_auth": {"logged_out": 1.0}}}, YEAR),
        ({"expiry": 1.0, "extra": {"oauth_auth": {"form": "plain"}}}, 3600),
        ({"expiry": 1.0, "extra": {"oauth_auth": "logged_out"}}, 3600),
        ({"expiry": -1e300}, 3600),
        ({"expiry": 1e300}, YEAR),
    ],
    ids=[
        *("expiry", "refresh token", "no expiry", "expired", "logged out", "with the grant's state", "with a word"),
        *("before all times", "after all times"),
    ],
)
def test_how_long_entries_live(
    store: RedisTokenStore, own_redis: RedisServer, fields: dict[str, Any], seconds: float
) -> None:
    """As long as they may be of use; each save counts anew."""
    token = OAuthToken(access_token="a", **fields)
    own_redis.client.set(NAME, b"", ex=5)
    store.save(KEY, token)
    assert seconds - 30 <= own_redis.client.ttl(NAME) <= seconds
    assert token == store.load(KEY)


def test_names_in_redis(own_redis: RedisServer) -> None:
    """The prefix tells programs apart; nothing else lies there, and a lock that was released is gone."""
    one, other = RedisTokenStore(own_redis.url), RedisTokenStore(own_redis.url, prefix="other:")
    for store in (one, other):
        with store.lock(KEY):
            store.save(KEY, OAuthToken(access_token=repr(store)[-8:-2].strip("'")))
    assert {NAME.encode(), b"other:{key}"} == set(own_redis.client.keys())
    assert one.load(KEY) != other.load(KEY)


@pytest.mark.usefixtures("short_lease")
def test_a_lease_is_renewed(store: RedisTokenStore, own_redis: RedisServer) -> None:
    """A holder that lives keeps the lock longer than one lease, and no thread of it is left when it's released."""
    with store.lock(KEY) as lease:
        deadline = time.monotonic() + 1.6
        while time.monotonic() < deadline:
            with pytest.raises(LockTaken), store.lock(KEY, timeout=0.1):
                pass
        assert lease.is_held()
        assert own_redis.client.pttl(LOCK) <= 1000
    assert not own_redis.client.exists(LOCK)
    await_end(flights_in_the_air(), 10)
    assert [] == flights_in_the_air()


@pytest.mark.usefixtures("short_lease")
def test_a_lease_outlives_a_short_trouble(store: RedisTokenStore, own_redis: RedisServer) -> None:
    """A holder that can't reach Redis for a moment renews the lease when it can again; till then it counts as held."""
    with store.lock(KEY) as lease:
        own_redis.client.config_set("requirepass", "x")
        for connection in own_redis.client.client_list():
            if connection["cmd"] != "client|list":
                own_redis.client.client_kill(connection["addr"])
        assert lease.is_held()
        own_redis.client.config_set("requirepass", "")
        threading.Event().wait(1.3)
        assert own_redis.client.exists(LOCK)
        assert lease.is_held()


@pytest.mark.parametrize("thief", [b"another", None], ids=["taken by another", "gone"])
def test_a_lost_lease(store: RedisTokenStore, own_redis: RedisServer, thief: bytes | None) -> None:
    """It's noticed; and what another holds by now isn't released."""
    with store.lock(KEY) as lease:
        assert lease.is_held()
        own_redis.client.delete(LOCK)
        if thief is not None:
            own_redis.client.set(LOCK, thief)
        assert not lease.is_held()
    assert thief == own_redis.client.get(LOCK)


@pytest.mark.usefixtures("short_lease")
def test_a_lease_that_redis_does_not_confirm(store: RedisTokenStore, own_redis: RedisServer) -> None:
    """If Redis is gone it counts as held for as long as it can be, and no longer."""
    with pytest.raises(TokenStoreError), store.lock(KEY) as lease:
        own_redis.stop()
        assert lease.is_held()
        threading.Event().wait(1.1)
        assert not lease.is_held()


def test_a_sibling_that_took_the_lock_is_not_overwritten(
    store: RedisTokenStore, own_redis: RedisServer, tokens: Tokens
) -> None:
    """A renewal that lost its lock meanwhile takes the sibling's token, and leaves it where it is."""
    newer = token_that_expires_in(3000, "newer", refresh_token="newer")
    store.save(KEY, token_that_expires_in(-1, refresh_token="old"))

    def lose_lock(request: Received) -> Answer | None:
        own_redis.client.set(LOCK, b"another")
        RedisTokenStore(own_redis.url).save(KEY, newer)
        return None

    tokens.answer = lose_lock
    auth = modes.REQUESTS.plugin.AuthorizationCodeAuth(tokens.url, "client", store=store, store_key=KEY)
    assert "newer" == auth.get_token().access_token
    assert newer == store.load(KEY)
    assert b"another" == own_redis.client.get(LOCK)


def test_a_lost_lock_without_a_sibling(store: RedisTokenStore, own_redis: RedisServer, tokens: Tokens) -> None:
    """If nobody has saved anything meanwhile, the token is saved all the same."""

    def lose_lock(request: Received) -> None:
        own_redis.client.delete(LOCK)

    tokens.answer = lose_lock
    auth = client_credentials(modes.REQUESTS, tokens, store=store, store_key=KEY)
    assert "token-1" == auth.get_token().access_token
    assert "token-1" == getattr(store.load(KEY), "access_token", None)


STOPPED = """
import sys
from oauth_auth import OAuthToken
from oauth_auth.requests import TokenProviderAuth
from oauth_auth.stores import RedisTokenStore

def provide(last):
    print("calling", flush=True)
    sys.stdin.readline()
    return OAuthToken(access_token="stale", expires_in=3600)

store = RedisTokenStore(sys.argv[1])
store._lease_seconds = 0.5
auth = TokenProviderAuth(provide, store=store, store_key="key")
print(auth.get_token().access_token, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="the system stops no processes")
def test_a_process_that_was_stopped(store: RedisTokenStore, own_redis: RedisServer) -> None:
    """A holder that is stopped for longer than its lease finds the lock lost, and takes what a sibling saved."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, own_redis.url], stdin=PIPE, stdout=PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert "calling\n" == process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        with store.lock(KEY, timeout=10):  # free when the lease is over
            newer = token_that_expires_in(3000, "newer")
            store.save(KEY, newer)
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert "newer\n" == process.stdout.readline()
    assert newer == store.load(KEY)


# -- Clients of one's own -------------------------------------------------------------------------------------------


def decoding(stack: ExitStack, folder: Path) -> Any:
    server = stack.enter_context(RedisServer())
    return stack.enter_context(closing(redis.Redis(port=server.port, decode_responses=True, socket_timeout=2)))


def resp3(stack: ExitStack, folder: Path) -> Any:
    server = stack.enter_context(RedisServer())
    return stack.enter_context(closing(redis.Redis(port=server.port, protocol=3, socket_timeout=2)))


def resp2(stack: ExitStack, folder: Path) -> Any:
    server = stack.enter_context(RedisServer())
    return stack.enter_context(closing(redis.StrictRedis(port=server.port, protocol=2, socket_timeout=2)))


def cluster(stack: ExitStack, folder: Path) -> Any:
    stack.push(server := RedisServer())
    server.start("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    deadline = time.monotonic() + 20
    while server.client.cluster("info")["cluster_state"] != "ok":
        assert time.monotonic() < deadline, "the cluster doesn't come up"
        time.sleep(0.05)
    return stack.enter_context(closing(redis.cluster.RedisCluster(host="127.0.0.1", port=server.port)))


def sentinel(stack: ExitStack, folder: Path) -> Any:
    server = stack.enter_context(RedisServer())
    stack.push(watcher := RedisServer())
    config = folder / "sentinel.conf"
    config.write_text(f"port {watcher.port}\nsentinel monitor main 127.0.0.1 {server.port} 1\n")
    watcher.start_as_sentinel(config)
    watchers: Any = redis.sentinel.Sentinel([("127.0.0.1", watcher.port)], socket_timeout=2)  # type: ignore[no-untyped-call]
    stack.callback(watchers.sentinels[0].close)
    return stack.enter_context(closing(watchers.master_for("main", redis.Redis)))


CLIENTS = {f.__name__: f for f in (decoding, resp2, resp3, cluster, sentinel)}


@pytest.mark.parametrize("make", CLIENTS.values(), ids=CLIENTS)
def test_clients_of_all_kinds(make: Callable[[ExitStack, Path], Any], tmp_path: Path) -> None:
    """Tokens and leases work with each kind of client that redis-py has."""
    token = OAuthToken(access_token="a", refresh_token="ü 🔑", extra={"a": ["ö"]}, expires_in=60)
    with ExitStack() as stack:
        client = make(stack, tmp_path)
        for key in (KEY, "another", "{x}", "}", "ü"):
            store = RedisTokenStore(client)
            assert None is store.load(key)
            with store.lock(key) as lease:
                store.save(key, token)
                with pytest.raises(LockTaken), RedisTokenStore(client).lock(key, timeout=0.1):
                    pass
                lease._lock.extend(60, replace_ttl=True)  # as its thread does
                assert 10 < client.ttl(f"oauth_auth:{{{key}}}:lock") <= 60
                assert lease.is_held()
            with store.lock(key, timeout=0):
                assert token == store.load(key)
            store.delete(key)
            assert None is store.load(key)
        if make is cluster:
            assert client.keyslot(NAME) == client.keyslot(LOCK)


def test_an_entry_that_a_decoding_client_cannot_decode(own_redis: RedisServer) -> None:
    """It counts as damaged, as with any other client."""
    own_redis.client.set(NAME, b"\xff\xfe")
    with redis.Redis(port=own_redis.port, decode_responses=True) as client:
        store = RedisTokenStore(client)
        assert None is store.load(KEY)
        store.save(KEY, OAuthToken(access_token="a"))
        assert OAuthToken(access_token="a") == store.load(KEY)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    path.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def test_tls(certificate: Path, own_redis: RedisServer) -> None:
    """A rediss:// URL works with a certificate that is known, and with no other."""
    with tls_before(own_redis.port, certificate) as port:
        store = RedisTokenStore(f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}")
        with store.lock(KEY):
            store.save(KEY, OAuthToken(access_token="a"))
        assert OAuthToken(access_token="a") == store.load(KEY)
        with pytest.raises(TokenStoreError, match=r"(?i)certificate"):
            RedisTokenStore(f"rediss://127.0.0.1:{port}").load(KEY)


# -- Where store objects go -----------------------------------------------------------------------------------------


def test_it_pickles_and_copies(own_redis: RedisServer) -> None:
    """By URL it pickles, encryption key and all; a client of one's own can't, and that's said. Copies share all."""
    key = "3q2-796tvu_erb7v3q2-796tvu_erb7v3q2-796tvu8="
    store = RedisTokenStore(own_redis.url, prefix="p:", encryption_key=key)
    store.save(KEY, OAuthToken(access_token="a"))
    for twin in (pickle.loads(pickle.dumps(store)), copy.deepcopy(store), copy.copy(store)):
        assert OAuthToken(access_token="a") == twin.load(KEY)
        assert own_redis.client.get("p:{key}").startswith(b"gAAAA")
    mine = RedisTokenStore(own_redis.client)
    assert mine is copy.deepcopy(mine)
    with pytest.raises(TypeError, match="make it from a URL"):
        pickle.dumps(mine)


FORK = """
import os, sys
from oauth_auth import OAuthToken
from oauth_auth.stores import RedisTokenStore
store = RedisTokenStore(sys.argv[1])
store.load("key")
with store.lock("key") as lease:
    pid = os.fork()
    if pid == 0:
        store.save("key", OAuthToken(access_token="child"))
        try:
            with store.lock("key", timeout=0.0):
                print("has lock", flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
        sys.exit(0)
    os.waitpid(pid, 0)
    print(lease.is_held(), store.load("key").access_token, flush=True)
pid = os.fork()
if pid == 0:
    with store.lock("key", timeout=1):
        print("has lock", flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system doesn't fork")
def test_a_forked_child(own_redis: RedisServer) -> None:
    """A child that was forked while the lock is held uses the store, and doesn't have the lock."""
    run = subprocess.run(
        [sys.executable, "-c", FORK, own_redis.url], capture_output=True, text=True, timeout=60, check=True
    )
    assert ["LockTaken", "True child", "has lock"] == run.stdout.splitlines()


def test_connections_that_went_stale(store: RedisTokenStore, own_redis: RedisServer) -> None:
    """Connections that a firewall or a restart has ended since the last renewal are no trouble."""
    for _ in range(3):
        with store.lock(KEY):
            store.save(KEY, OAuthToken(access_token="a"))
        own_redis.client.client_kill_filter(_type="normal", skipme=True)
        assert OAuthToken(access_token="a") == store.load(KEY)
        own_redis.client.client_kill_filter(_type="normal", skipme=True)


def test_a_key_of_another_type(store: RedisTokenStore, own_redis: RedisServer) -> None:
    """What is no text isn't ours: it's an error, and stays."""
    own_redis.client.lpush(NAME, "mine")
    calls: list[Callable[[], object]] = [
        lambda: store.load(KEY),
        lambda: store.save(KEY, OAuthToken(access_token="a")),
    ]
    for call in calls:
        with pytest.raises(TokenStoreError, match="WRONGTYPE"):
            call()
    assert [b"mine"] == own_redis.client.lrange(NAME, 0, -1)


def test_what_an_entry_looks_like(store: RedisTokenStore, own_redis: RedisServer) -> None:
    """JSON, for people who look into their Redis, and versions to come."""
    store.save(KEY, OAuthToken(access_token="a"))
    fields = json.loads(own_redis.client.get(NAME))
    assert (1, "key", "a") == (fields["version"], fields["key"], fields["token"]["access_token"])
