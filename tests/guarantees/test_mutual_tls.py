"""Guarantees 3, 5, 6 and 21 of certificates: what is shown to whom, and what happens when it's replaced."""

from __future__ import annotations

import contextlib
import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from oauth_auth import ClientCertificate, ConfigurationError, TokenError, TokenRequest, basic_authorization
from oauth_auth._server.calls import EndpointCalls
from tests.support import modes
from tests.support.certificates import Authority
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer

ALSO_SHARING = True
METADATA = "/.well-known/oauth-authorization-server"
BASIC = basic_authorization("client", "secret")


class Bound:
    """An authorization server and an API, whose tokens are good on connections with the certificate of their calls."""

    def __init__(self, authority: Authority, serve: Callable[..., ScriptedServer]) -> None:
        self.authority = authority
        self.bound: dict[str, str | None] = {}
        self.refused: set[str | None] = set()
        """The names of certificates that the API takes no more."""
        self.rejection = b"who are you?"
        self.aliases: dict[str, str] | None = None
        self.tokens = serve(self._issue, tls=authority.server_context())
        self.api = serve(self._answer, tls=authority.server_context())
        self.url = f"{self.tokens.url}/token"

    def _issue(self, request: Received) -> Answer:
        if request.method == "GET":
            return Answer(200, self._metadata())
        if request.path == "/revoke":
            return Answer(200)
        token = f"token-{len(self.bound) + 1}"
        self.bound[f"Bearer {token}"] = request.certificate
        return Answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    def _metadata(self) -> dict[str, Any]:
        url = self.tokens.url
        fields: dict[str, Any] = {"issuer": url, "token_endpoint": self.url, "revocation_endpoint": f"{url}/revoke"}
        return fields if self.aliases is None else {**fields, "mtls_endpoint_aliases": self.aliases}

    def _answer(self, request: Received) -> Answer:
        shown = request.certificate
        if shown in self.refused or self.bound.get(request.authorization or "", "") != shown:
            return Answer(401, self.rejection, (("WWW-Authenticate", 'Bearer error="invalid_token"'),))
        return Answer(200, request.body)

    def rotate(self, old: str, new: str) -> None:
        """Replace the client's certificate by one with another name; the API refuses the old one."""
        self.authority.write(self.authority.issue(new))
        self.refused.add(old)

    @contextlib.contextmanager
    def all_at_once(self, count: int, then: Callable[[], None] | None = None) -> Iterator[None]:
        """Have the API hold the next requests until so many are there, and then do something before it answers."""
        barrier, answer = threading.Barrier(count, then), self.api.script
        left = iter(range(count))

        def meet(request: Received) -> Answer:
            if next(left, None) is not None:
                barrier.wait(20)
            return answer(request)

        self.api.script = meet
        try:
            yield
        finally:
            self.api.script = answer

    @property
    def shown(self) -> list[tuple[str | None, int]]:
        """What each request of the API came with: the certificate's name, and the number of the connection."""
        return [(request.certificate, request.connection) for request in self.api.requests]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    return Authority(tmp_path, monkeypatch)


@pytest.fixture
def bound(authority: Authority, serve: Callable[..., ScriptedServer]) -> Bound:
    return Bound(authority, serve)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have calls pause for no time between their attempts."""
    monkeypatch.setattr(EndpointCalls, "pauses", ((0.0, 0.0), (0.0, 0.0)))


def auth_of(mode: Mode, bound: Bound, certificate: ClientCertificate, **options: Any) -> Any:
    return mode.plugin.ClientCredentialsAuth(bound.url, "client", client_certificate=certificate, **options)


# -- What is shown to whom --------------------------------------------------------------------------------------------


def test_each_call_shows_the_certificate(plugin_mode: Mode, bound: Bound) -> None:
    """Metadata, token and revocation: each call shows it, and on the wire there's the client's id and no secret."""
    certificate = bound.authority.certificate("one.example")
    auth = plugin_mode.plugin.ClientCredentialsAuth.from_issuer(
        bound.tokens.url, "client", client_certificate=certificate
    )
    auth.get_token()
    auth.revoke()
    told = [(urlsplit(request.path).path, request.certificate) for request in bound.tokens.requests]
    assert [(METADATA, "one.example"), ("/token", "one.example"), ("/revoke", "one.example")] == told
    sent = bound.tokens.requests[1:]
    assert [["client"]] * 2 == [request.form["client_id"] for request in sent]
    assert [None] * 2 == [request.authorization for request in sent]


def test_async_calls_show_the_certificate(mode: Mode, bound: Bound) -> None:
    """Calls from threads and from event loops alike show it, and the API sees the same."""
    certificate = bound.authority.certificate("one.example")
    with bound.authority.client(mode, auth_of(mode, bound, certificate), certificate) as client:
        assert 200 == client.get(bound.api.url).status_code
    assert ["one.example"] == [request.certificate for request in bound.tokens.requests]
    assert [("one.example", 1)] == bound.shown


def test_a_certificate_goes_with_another_way_to_authenticate(plugin_mode: Mode, bound: Bound) -> None:
    """Beside a secret it's shown, too, for tokens to be bound to; without one nothing is."""
    certificate = bound.authority.certificate("one.example")
    make = plugin_mode.plugin.ClientCredentialsAuth
    make(bound.url, "client", "secret", client_certificate=certificate).get_token()
    make(bound.url, "client", "secret").get_token()
    told = [(request.certificate, request.authorization) for request in bound.tokens.requests]
    assert [("one.example", BASIC), (None, BASIC)] == told


def test_an_encrypted_key_can_be_used(plugin_mode: Mode, bound: Bound) -> None:
    """The password opens it for the library's calls, and for contexts."""
    pair = bound.authority.issue("one.example")
    bound.authority.write(pair, pair.encrypted("correct horse"))
    certificate = ClientCertificate(*bound.authority.files, password="correct horse")
    auth_of(plugin_mode, bound, certificate).get_token()
    assert ["one.example"] == [request.certificate for request in bound.tokens.requests]


def test_copies_and_pickles_show_the_certificate(plugin_mode: Mode, bound: Bound) -> None:
    """An auth object that was copied or pickled has the certificate's files."""
    auth = auth_of(plugin_mode, bound, bound.authority.certificate("one.example"))
    for other in (copy.deepcopy(auth), pickle.loads(pickle.dumps(auth))):
        other.refresh()
    assert ["one.example"] * 2 == [request.certificate for request in bound.tokens.requests]


@pytest.mark.having("backend")
def test_calls_in_one_loop_show_their_own_certificates(mode: Mode, bound: Bound) -> None:
    """Auth objects of one event loop, with certificates of their own and without, have nothing in common."""
    certificate = bound.authority.certificate("one.example")
    auths = [auth_of(mode, bound, certificate), mode.plugin.ClientCredentialsAuth(bound.url, "client")]
    barrier, issue = threading.Barrier(2), bound.tokens.script

    def meet(request: Received) -> Answer:
        barrier.wait(20)
        return issue(request)

    async def call_all() -> None:
        async with anyio.create_task_group() as group:
            for auth in auths:
                group.start_soon(auth.aget_token)

    bound.tokens.script = meet
    anyio.run(call_all, backend=mode.backend or "asyncio")
    told = {auth.token.access_token: bound.bound[f"Bearer {auth.token.access_token}"] for auth in auths}
    assert ["one.example", None] == list(told.values())


def test_a_certificate_of_another_kind_is_refused(plugin_mode: Mode, bound: Bound) -> None:
    """A path isn't one; and beside `token_client` it would be shown by nobody."""
    certificate = bound.authority.certificate()
    with pytest.raises(ConfigurationError, match=r"write ClientCertificate\(certificate, private_key\)"):
        auth_of(plugin_mode, bound, "client.pem")  # type: ignore[arg-type]
    with plugin_mode.token_client() as client, pytest.raises(ConfigurationError, match="leave one of them out"):
        auth_of(plugin_mode, bound, certificate, token_client=client)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("shows", [False, True])
def test_aliases_are_for_certificates(plugin_mode: Mode, bound: Bound, shows: bool, given: bool) -> None:
    """Calls that show a certificate go to the aliases that there are, others to none; a URL given wins."""
    bound.aliases = {"token_endpoint": f"{bound.tokens.url}/mtls/token"}
    certificate = bound.authority.certificate()
    options = {
        **({"client_certificate": certificate} if shows else {}),
        **({"token_url": f"{bound.tokens.url}/given"} if given else {}),
    }
    auth = plugin_mode.plugin.ClientCredentialsAuth.from_issuer(bound.tokens.url, "client", **options)
    auth.get_token()
    auth.revoke()
    token_path = "/given" if given else "/mtls/token" if shows else "/token"
    paths = [urlsplit(request.path).path for request in bound.tokens.requests]
    assert {token_path, "/revoke", METADATA} == set(paths)


# -- What is replaced -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rejection", [b"", b"who are you?"])
def test_a_rotated_certificate_is_shown_by_the_replay(mode: Mode, bound: Bound, rejection: bytes) -> None:
    """A 401 for the old certificate is renewed with the new one, and replayed on a connection that shows that."""
    bound.rejection = rejection
    certificate = bound.authority.certificate("one.example")
    with bound.authority.client(mode, auth_of(mode, bound, certificate), certificate) as client:
        assert 200 == client.get(bound.api.url).status_code
        bound.rotate("one.example", "two.example")
        answer = client.send("POST", bound.api.url, body=b"order")
        assert (200, b"order") == (answer.status_code, answer.content)
        assert 200 == client.get(bound.api.url).status_code
    old, new = ("one.example", 1), ("two.example", 2)
    assert [old, old, new, new] == bound.shown
    assert ["one.example", "two.example"] == [request.certificate for request in bound.tokens.requests]


def test_no_idle_connection_shows_the_old_certificate(mode: Mode, bound: Bound) -> None:
    """The connections that a client keeps show the old one: none of them is used for the replay, or after it."""
    certificate = bound.authority.certificate("one.example")
    with bound.authority.client(mode, auth_of(mode, bound, certificate), certificate) as client:
        with bound.all_at_once(4):
            assert [200] * 4 == [answer.status_code for answer in client.get_many(bound.api.url, 4)]
        bound.rotate("one.example", "two.example")
        assert 200 == client.get(bound.api.url).status_code
        with bound.all_at_once(4):
            assert [200] * 4 == [answer.status_code for answer in client.get_many(bound.api.url, 4)]
    assert [*["one.example"] * 5, *["two.example"] * 5] == [name for name, _ in bound.shown]
    assert 2 == len(bound.tokens.requests)


@pytest.mark.parametrize("mode", [modes.REQUESTS, modes.NIQUESTS], ids=str)
def test_an_adapter_shows_the_certificate(mode: Mode, bound: Bound) -> None:
    """A session's adapter can have the context, which takes keys with a password, and follows a rotation."""
    certificate = bound.authority.certificate("one.example")

    class Adapter(mode.library.adapters.HTTPAdapter):  # type: ignore[misc, name-defined]
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options, ssl_context=certificate.ssl_context())

    with mode.client(auth_of(mode, bound, certificate)) as client:
        client.inner.mount("https://", Adapter())
        assert 200 == client.get(bound.api.url).status_code
        bound.rotate("one.example", "two.example")
        assert 200 == client.get(bound.api.url).status_code
    assert [("one.example", 1), ("one.example", 1), ("two.example", 2)] == bound.shown


def test_all_that_meet_a_rotation_go_through(mode: Mode, bound: Bound) -> None:
    """Requests that were under way when it happened share one renewal, and each is replayed with the new one."""
    certificate = bound.authority.certificate("one.example")
    with bound.authority.client(mode, auth_of(mode, bound, certificate), certificate) as client:
        assert 200 == client.get(bound.api.url).status_code
        with bound.all_at_once(8, then=lambda: bound.rotate("one.example", "two.example")):
            assert [200] * 8 == [answer.status_code for answer in client.get_many(bound.api.url, 8)]
    assert 2 == len(bound.tokens.requests)


def test_files_are_read_behind_a_swapped_link(plugin_mode: Mode, bound: Bound) -> None:
    """Kubernetes has a link to the folder with both files, and swaps that; each token call sees what is there now."""
    folder = bound.authority.folder
    for name in ("one.example", "two.example"):
        bound.authority.write(bound.authority.issue(name))
        (folder / name).mkdir()
        for path in bound.authority.files:
            path.rename(folder / name / path.name)
    (folder / "data").symlink_to("one.example")
    auth = auth_of(
        plugin_mode, bound, ClientCertificate(*(folder / "data" / path.name for path in bound.authority.files))
    )
    auth.get_token()
    (folder / "next").symlink_to("two.example")
    (folder / "next").replace(folder / "data")
    auth.refresh()
    assert ["one.example", "two.example"] == [request.certificate for request in bound.tokens.requests]


BROKEN: dict[str, Callable[[Authority], object]] = {
    "half replaced": lambda authority: authority.write(
        authority.issue("two.example"), authority.issue("other.example").key
    ),
    "half written": lambda authority: authority.files[1].write_bytes(authority.files[1].read_bytes()[:50]),
    "gone": lambda authority: authority.files[1].unlink(),
}


@pytest.mark.parametrize("breakage", BROKEN)
def test_a_good_token_outlives_broken_files(mode: Mode, bound: Bound, breakage: str, at_once: None) -> None:
    """Files that can't be used are an error that names them and may pass; meanwhile the token that is good goes on."""
    auth = auth_of(mode, bound, bound.authority.certificate("one.example"))
    mode.get_token(auth)
    BROKEN[breakage](bound.authority)
    with pytest.raises(TokenError, match=r"client\.key") as raised:
        mode.refresh(auth)
    assert raised.value.retryable
    assert "token-1" == mode.get_token(auth).access_token
    bound.rotate("one.example", "two.example")
    assert "token-2" == mode.refresh(auth).access_token
    assert ["one.example", "two.example"] == [request.certificate for request in bound.tokens.requests]


def test_a_pair_that_is_being_written_is_waited_for(plugin_mode: Mode, bound: Bound, at_once: None) -> None:
    """A call that finds a new certificate with the old key is tried again, as one that meets a busy server is."""
    one, two = (bound.authority.issue(name) for name in ("one.example", "two.example"))
    bound.authority.write(one)
    keys = iter([one.key, two.key])

    def write(request: TokenRequest) -> TokenRequest:
        bound.authority.write(two, next(keys))
        return request

    certificate = ClientCertificate(*bound.authority.files)
    auth = auth_of(plugin_mode, bound, certificate, token_request_hook=write)
    assert "token-1" == auth.get_token().access_token
    assert ["two.example"] == [request.certificate for request in bound.tokens.requests]
