"""Guarantee 14 for `ResourceAuth`: copied, forked, cancelled, closed and interrupted, also in the middle of a login."""

from __future__ import annotations

import gc
import logging
import re
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from oauth_auth import ConfigurationError, DeviceLogin, MemoryTokenStore, OAuthError, ReauthorizationRequired
from oauth_auth.login import LoginContext
from tests.guarantees import test_secrets
from tests.guarantees.test_secrets import MARK, leaks, log_leaks
from tests.support import modes
from tests.support.copies import SHARING_COPIES, forks, in_child, pickled
from tests.support.modes import Mode
from tests.support.registering import REDIRECT_URI, Registry, log_in, open_page
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.waiting import await_silence, await_waiting, flights_in_the_air, open_sockets, outcome_of, promptly

pytestmark = pytest.mark.shared_core

FIRST_LOGIN = {"API": 2, "resource metadata": 1, "server metadata": 1, "registration": 1, "token": 1, "login": 1}


@pytest.fixture
def registry(serve: Callable[..., ScriptedServer]) -> Registry:
    return Registry(serve)


class Slow:
    """A login function that waits, once the request is made, until it's let go on; it may see that it's cancelled."""

    def __init__(self) -> None:
        self._go_on = threading.Event()
        self._begun = threading.Semaphore(0)
        self.cancelled = threading.Event()

    def __call__(self, begin: LoginContext) -> str:
        url = begin(REDIRECT_URI).url
        self._begun.release()
        while not self._go_on.wait(0.01):
            if begin.is_cancelled:
                self.cancelled.set()
                raise ReauthorizationRequired("the user must log in: cancelled")
        return open_page(url)

    def await_begin(self) -> None:
        """Block until one more login has begun."""
        assert self._begun.acquire(timeout=20)

    def go_on(self) -> None:
        self._go_on.set()


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.go_on()
    await_silence()


def get(mode: Mode, auth: Any, url: str) -> int:
    """Send one request; return its status."""
    with mode.client(auth) as client:
        return int(client.get(url).status_code)


# -- Copies -----------------------------------------------------------------------------------------------------------


def test_a_pickled_copy_has_all(mode: Mode, registry: Registry) -> None:
    """A copy sends the token that there is, and renews it as the client that the original has registered."""
    registry.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_basic"]
    auth = registry.auth(mode, login=log_in)
    assert 200 == get(mode, auth, registry.url)
    other = pickled(auth)
    assert repr(auth) == repr(other)
    assert auth.token == other.token
    registry.forget_calls()
    with mode.client(other) as client:
        assert 200 == client.get(registry.url).status_code
        assert {"API": 1} == registry.counts
        registry.revoke()
        assert 200 == client.get(registry.url).status_code
    assert (0, 0) == (registry.counts["registration"], registry.counts["login"])
    assert (registry.calls("/token")[0].authorization or "").startswith("Basic ")


def test_a_pickled_copy_of_a_cold_object_logs_in(mode: Mode, registry: Registry) -> None:
    """A copy that was made before there was anything finds out all by itself."""
    other = pickled(registry.auth(mode, login=log_in))
    assert 200 == get(mode, other, registry.url)
    assert FIRST_LOGIN == registry.counts


@pytest.mark.parametrize("copy", SHARING_COPIES.values(), ids=list(SHARING_COPIES))
def test_a_copy_in_the_process_shares_all(mode: Mode, registry: Registry, copy: Callable[[Any], Any]) -> None:
    """Copies that were made before, during and after the login have the one token, of the one login."""
    auth = registry.auth(mode, login=log_in)
    before = copy(auth)
    assert 200 == get(mode, auth, registry.url)
    after = copy(auth)
    for other in (before, after):
        assert 200 == get(mode, other, registry.url)
    assert (1, 1) == (registry.counts["registration"], registry.counts["login"])


@pytest.mark.parametrize("copy", SHARING_COPIES.values(), ids=list(SHARING_COPIES))
def test_a_copy_made_during_a_login_shares_it(
    plugin_mode: Mode, registry: Registry, slow: Slow, copy: Callable[[Any], Any]
) -> None:
    """A request of a copy waits for the login that the original has begun."""
    auth = registry.auth(plugin_mode, login=slow)
    with plugin_mode.client(auth) as client, ThreadPoolExecutor(1) as pool:
        first = client.begin("GET", registry.url)
        slow.await_begin()
        second = pool.submit(get, plugin_mode, copy(auth), registry.url)
        await_waiting(auth, 2)
        slow.go_on()
        assert 200 == first.result(20).status_code
        assert 200 == second.result(20)
    assert 1 == len(registry.visited)


@forks
def test_a_child_keeps_the_token(plugin_mode: Mode, registry: Registry) -> None:
    """After a fork the child goes on with token, client and server that there are."""
    auth = registry.auth(plugin_mode)
    get(plugin_mode, auth, registry.url)
    await_silence()
    registry.revoke()
    registry.forget_calls()
    assert 200 == in_child(lambda: get(plugin_mode, auth, registry.url))
    assert {"API": 2, "token": 1} == registry.counts


@forks
@pytest.mark.parametrize("has_store", [False, True])
def test_a_child_forgets_the_login(plugin_mode: Mode, registry: Registry, slow: Slow, has_store: bool) -> None:
    """A child doesn't wait for a login that only its parent's thread leads: it has one of its own."""
    store = MemoryTokenStore() if has_store else None
    auth = registry.auth(plugin_mode, login=slow, store=store)
    with plugin_mode.client(auth) as client:
        waiting = client.begin("GET", registry.url)
        slow.await_begin()

        def child() -> int:
            slow.go_on()
            return get(plugin_mode, auth, registry.url)

        assert 200 == in_child(child)
        slow.go_on()
        assert 200 == waiting.result(20).status_code
    assert 2 == len(registry.calls("/token"))


# -- Cancellation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", modes.ASYNC, ids=str)
def test_a_cancelled_caller_ends_no_login(mode: Mode, registry: Registry, slow: Slow) -> None:
    """The login goes on when its caller is cancelled; the next request has it."""
    auth = registry.auth(mode, login=slow)

    async def leave() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(auth.aget_token)
            await anyio.to_thread.run_sync(slow.await_begin)
            group.cancel_scope.cancel()

    anyio.run(leave, backend=str(mode.backend))
    with mode.client(auth) as client:
        waiting = client.begin("GET", registry.url)
        await_waiting(auth, 1)
        slow.go_on()
        assert 200 == waiting.result(20).status_code
    assert (1, 1) == (len(registry.visited), len(registry.registrations))


@pytest.mark.parametrize("mode", modes.ASYNC, ids=str)
def test_a_cancelled_request_ends_no_login(mode: Mode, registry: Registry, slow: Slow) -> None:
    """Nor does a request that's cancelled while its API's demand is met: the next one shares its login."""
    auth = registry.auth(mode, login=slow)
    with mode.client(auth) as client:
        waiting = client.begin("GET", registry.url)
        slow.await_begin()
        waiting.cancel()
        slow.go_on()
        assert 200 == client.get(registry.url).status_code
    assert 1 == len(registry.visited)


def test_close_ends_a_login(mode: Mode, registry: Registry, slow: Slow) -> None:
    """`close()` cancels the login; who waits gets an error that says why."""
    auth = registry.auth(mode, login=slow, store=MemoryTokenStore())
    with mode.client(auth) as client:
        waiting = client.begin("GET", registry.url)
        slow.await_begin()
        promptly(auth.close)
        error = waiting.exception(20)
        assert isinstance(error, ReauthorizationRequired)
        assert "closed" in str(error)
        assert slow.cancelled.wait(20)
        assert 0 == registry.counts["login"]


def test_a_client_outlives_a_login_that_was_closed(mode: Mode, registry: Registry, slow: Slow) -> None:
    """That nobody answered a login which the program itself has ended says nothing of the client."""
    store = MemoryTokenStore()
    auth = registry.auth(mode, login=slow, store=store)
    with mode.client(auth) as client:
        waiting = client.begin("GET", registry.url)
        slow.await_begin()
        promptly(auth.close)
        waiting.exception(20)
    assert 200 == get(mode, registry.auth(mode, store=store), registry.url)
    assert 1 == len(registry.registrations)


def test_close_ends_a_device_s_login(mode: Mode, registry: Registry) -> None:
    """The same where a device polls."""
    shown = threading.Event()
    registry.answers["/token"] = lambda _: Answer(400, {"error": "authorization_pending"})
    auth = registry.auth(mode, login=DeviceLogin(show=lambda **_: shown.set()))
    with mode.client(auth) as client:
        waiting = client.begin("GET", registry.url)
        assert shown.wait(20)
        promptly(auth.close)
        assert isinstance(waiting.exception(20), ReauthorizationRequired)


def test_revoke_ends_a_login(mode: Mode, registry: Registry, slow: Slow) -> None:
    """`revoke()` doesn't wait for a person either."""
    auth = registry.auth(mode, login=slow)
    with mode.client(auth) as client:
        waiting = client.begin("GET", registry.url)
        slow.await_begin()
        assert promptly(mode.revoke, auth) is None
        assert isinstance(waiting.exception(20), ReauthorizationRequired)


# -- Interruptions ----------------------------------------------------------------------------------------------------

INTERRUPTED = """
import signal, sys, threading
import oauth_auth.{plugin} as plugin
from urllib.request import build_opener, ProxyHandler

signal.signal(signal.SIGINT, signal.default_int_handler)
released = threading.Event()

def log_in(begin):
    request = begin({redirect_uri!r})
    print("begun", flush=True)
    released.wait(60)
    return {redirect_uri!r} + "?error=access_denied&state=" + request.state

auth = plugin.ResourceAuth({url!r}, login=log_in)
try:
    auth.get_token()
except KeyboardInterrupt:
    print("interrupted", flush=True)
released.set()
auth.close()
print(repr(auth.token))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there's no SIGINT to send")
def test_ctrl_c_reaches_who_waits_for_a_login(plugin_mode: Mode, registry: Registry) -> None:
    """Ctrl-C during a login reaches the program at once, which ends as it likes."""
    names = {"plugin": plugin_mode.library.__name__, "url": registry.url, "redirect_uri": REDIRECT_URI}
    code = INTERRUPTED.format(**names)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert "begun\n" == process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert ("interrupted\nNone\n", "", 0) == (out, err, process.returncode)


# -- What is left behind ----------------------------------------------------------------------------------------------


def test_nothing_is_left_behind(mode: Mode, registry: Registry) -> None:
    """After a login, a renewal, a failure and `close()` there's no thread, no socket to the server, and no object."""
    auth = registry.auth(mode, store=MemoryTokenStore())
    with mode.client(auth) as client:
        assert 200 == client.get(registry.url).status_code
        registry.revoke()
        assert 200 == client.get(registry.url).status_code
        registry.answers["/token"] = lambda _: Answer(400, {"error": "invalid_request"})
        registry.revoke()
        outcome_of(client.get, registry.url)
    auth.close()
    await_silence()
    assert [] == flights_in_the_air()
    assert [] == open_sockets(registry.issuer)
    references = [weakref.ref(auth), weakref.ref(auth._source), weakref.ref(auth._grant)]
    del auth, client
    gc.collect()
    assert [None] * 3 == [reference() for reference in references]


# -- Secrets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def secretive(registry: Registry, caplog: pytest.LogCaptureFixture, quick: None) -> Registry:
    """A server all of whose secrets have the mark that the checks look for."""
    caplog.set_level(logging.DEBUG)
    registry.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    registry.registered["client_secret"] = f"registered-{MARK}"
    return registry


def echoing(status: int, registry: Registry) -> Callable[[Received], Answer | None]:
    """Answer with all that was sent."""
    text = "client_secret={client_secret} code={code} verifier={code_verifier} refresh={refresh_token}"

    def answer(request: Received) -> Answer | None:
        form = {name: values[0] for name, values in request.form.items()}
        names = ("client_secret", "code", "code_verifier", "refresh_token")
        echo = text.format(**{name: form.get(name) for name in names})
        return Answer(status, {"error": "invalid_grant", "error_description": echo})

    return answer


FAULTS: dict[str, Callable[[Registry], object]] = {
    "the code is refused": lambda r: r.answers.update({"/token": echoing(400, r)}),
    "the client is refused": lambda r: r.answers.update({"/token": lambda _: Answer(401, {"error": "invalid_client"})}),
    "the server is out": lambda r: r.answers.update({"/token": echoing(503, r)}),
    "the connection ends": lambda r: r.answers.update({"/token": lambda _: Answer(0)}),
    "a page": lambda r: r.answers.update({"/token": lambda _: Answer(200, b"<html>")}),
    "a token that can't be sent": lambda r: r.answers.update(
        {"/token": lambda _: Answer(200, {"access_token": f"{MARK}\n", "token_type": "Bearer"})}
    ),
    "the redirect has an error": lambda r: r.redirected.append({"error": "access_denied"}),
    "the redirect is another's": lambda r: r.redirected.append({"code": f"code-{MARK}", "iss": "https://other"}),
    "a registration with a secret, of no use": lambda r: r.registered.update(
        {"token_endpoint_auth_method": "private_key_jwt"}
    ),
    "a registration without an id": lambda r: r.registered.update({"client_id": 5}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_errors_show_no_secret(mode: Mode, secretive: Registry, caplog: pytest.LogCaptureFixture, fault: str) -> None:
    """Neither an error, its traceback, its pickle nor the log shows the client's secret, a code or a verifier."""
    FAULTS[fault](secretive)
    requests: list[Any] = []

    def watched(begin: LoginContext) -> str:
        requests.append(begin(REDIRECT_URI))
        return secretive.visit(requests[-1].url)

    with mode.client(secretive.auth(mode, login=watched, store=MemoryTokenStore())) as client:
        error = outcome_of(client.get, secretive.url)
    assert isinstance(error, OAuthError)
    assert [] == leaks(error)
    assert [] == log_leaks(caplog)
    for request in requests:
        for text in (str(error), caplog.text):
            assert request.code_verifier not in text
            assert request.state not in text
    assert not re.search(r"code-\d", f"{error}{caplog.text}")


def test_a_refresh_shows_no_secret(mode: Mode, secretive: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """Nor does what goes wrong at a renewal."""
    auth = mode.plugin.ResourceAuth(secretive.url, login=secretive.log_in)
    with mode.client(auth) as client:
        client.get(secretive.url)
        secretive.revoke()
        secretive.answers["/token"] = echoing(503, secretive)
        error = outcome_of(client.get, secretive.url)
    assert isinstance(error, OAuthError)
    assert [] == leaks(error)
    assert [] == log_leaks(caplog)
    assert not re.search(r"refresh-\d", f"{error}{caplog.text}")


def test_objects_show_no_secret(plugin_mode: Mode, secretive: Registry) -> None:
    """Nor do the auth object and all that is in its hands, by their repr."""
    auth = secretive.auth(plugin_mode, store=MemoryTokenStore())
    get(plugin_mode, auth, secretive.url)
    surroundings = auth._grant.surroundings
    registrations = surroundings.registrations
    kept = registrations.find_latest(secretive.issuer)
    assert kept.client_secret == f"registered-{MARK}"
    identity = auth._grant._identity
    for thing in (
        auth,
        auth._grant,
        auth._grant.options,
        surroundings,
        registrations,
        kept,
        identity,
        [kept.to_token()],
    ):
        assert [] == test_secrets.shown(repr(thing))
        assert [] == test_secrets.shown(str(thing))


def test_a_given_secret_is_not_shown(plugin_mode: Mode, registry: Registry) -> None:
    """Nor that of a client registered by hand."""
    auth = plugin_mode.plugin.ResourceAuth(
        registry.url, client_id="c", client_secret=f"own-{MARK}", issuer=registry.issuer
    )
    for thing in (auth, auth._grant, auth._grant.options, auth._grant.surroundings):
        assert [] == test_secrets.shown(repr(thing))


# -- What it's made of ------------------------------------------------------------------------------------------------

LAZY = """
import sys
import oauth_auth.{plugin} as plugin
from oauth_auth import MemoryTokenStore, OAuthToken
from oauth_auth.stores import MemoryTokenStore

def loaded():
    return [name for name in ("_server.discover", "_server.register", "login._browser")
            if "oauth_auth." + name in sys.modules]

print(loaded())
auth = plugin.ResourceAuth({url!r}, token=OAuthToken(access_token="t", expires_in=3600))
print(auth.get_token().access_token, loaded())
other = plugin.ResourceAuth({url!r})
try:
    other.get_token()
except Exception as error:
    print(type(error).__name__, loaded())
"""


def test_discovery_loads_when_a_challenge_comes(plugin_mode: Mode, registry: Registry) -> None:
    """Neither an import of the plug-in, an object nor a token loads what most programs never need."""
    code = LAZY.format(plugin=plugin_mode.library.__name__, url=registry.url)
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ["[]", "t []", "ReauthorizationRequired []"] == finished.stdout.splitlines()


FORKING = """
import faulthandler, importlib, os, sys, threading
import oauth_auth.{plugin} as plugin
from tests.support.registering import log_in

name, held = "oauth_auth._server." + sys.argv[1], threading.Event()

class Slow:
    def find_spec(self, sought, path=None, target=None):
        if sought == name and not held.is_set():
            held.set()
            threading.Event().wait(0.5)  # the fork comes within this time, or shows nothing

sys.meta_path.insert(0, Slow())
loading = threading.Thread(target=plugin.ResourceAuth({url!r}, login=log_in).get_token)
loading.start()
assert held.wait(20)
child = os.fork()
if child == 0:
    faulthandler.dump_traceback_later(5, exit=True)  # a child that waits for ever ends by it
    importlib.import_module(name)
    os._exit(0)
loading.join()
print(os.waitpid(child, 0)[1])
"""


@forks
@pytest.mark.parametrize("module", ["discover", "register"])
def test_a_fork_waits_for_what_is_being_loaded(plugin_mode: Mode, registry: Registry, module: str) -> None:
    """A child of a program that forks while a flight loads discovery or registration doesn't wait for it for ever."""
    code = FORKING.format(plugin=plugin_mode.library.__name__, url=registry.url)
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, module], capture_output=True, text=True, check=False, timeout=60
    )
    assert ("0\n", "") == (finished.stdout, finished.stderr)


def test_a_class_in_place_of_an_object_is_told(mode: Mode, registry: Registry) -> None:
    """A class given as auth, its parentheses forgotten, raises rather than sends the request without a token."""
    with mode.client() as client, pytest.raises((TypeError, OAuthError)):
        client.get(registry.url, auth=mode.plugin.ResourceAuth)
    assert {} == registry.counts


def test_a_login_class_is_told(plugin_mode: Mode, registry: Registry) -> None:
    """So does a login whose parentheses were forgotten."""
    for login in (DeviceLogin, Slow):
        with pytest.raises(ConfigurationError, match="mind the parentheses"):
            registry.auth(plugin_mode, login=login)
