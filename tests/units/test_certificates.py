"""A client's certificate: files that can't be one, what contexts show while files change, and what isn't shown."""

from __future__ import annotations

import copy
import pickle
import ssl
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from oauth_auth import ClientCertificate, ConfigurationError, TokenError
from oauth_auth._keys import certificate as module
from oauth_auth._plugins.token_transport import make_tls_context, tls_context
from tests.support.certificates import Authority, Pair

PASSWORD = "correct horse"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    return Authority(tmp_path, monkeypatch)


def shown_by(context: ssl.SSLContext, authority: Authority) -> str | None:
    """Return the name in the certificate that a connection from the context shows; None if it shows none."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    server = authority.server_context().wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    for end in (client, server) * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        waiting = [other for other in waiting if other is not end]
    assert [] == waiting
    return dict((server.getpeercert() or {}).get("subjectAltName", ())).get("DNS")  # type: ignore[arg-type]


# -- What can't be one ------------------------------------------------------------------------------------------------


def _encrypted(authority: Authority, pair: Pair) -> None:
    authority.write(pair, pair.encrypted(PASSWORD))


def _folder(authority: Authority, pair: Pair) -> None:
    authority.files[1].unlink()
    authority.files[1].mkdir()


def _swapped(authority: Authority, pair: Pair) -> None:
    authority.files[0].write_bytes(pair.key)
    authority.files[1].write_bytes(pair.certificate)


WRITTEN: dict[str, tuple[Callable[[Authority, Pair], object], dict[str, Any], str]] = {
    "no certificate": (lambda a, p: a.files[0].unlink(), {}, "client.pem can't be read: No such file"),
    "no key": (lambda a, p: a.files[1].unlink(), {}, "client.key can't be read: No such file"),
    "a folder": (_folder, {}, "client.key can't be read: Is a dir"),
    "another's key": (lambda a, p: a.write(p, a.issue("two.example").key), {}, "isn't that of the certificate"),
    "a key of another kind": (
        lambda a, p: a.write(p, a.issue("two.example", trustme.KeyType.RSA).key),
        {},
        "isn't that of the certificate",
    ),
    "swapped": (_swapped, {}, "client.pem has no certificate in PEM"),
    "a certificate in place of the key": (
        lambda a, p: a.write(p, p.certificate),
        {},
        "client.key has no private key in PEM",
    ),
    "cut off": (lambda a, p: a.write(p, p.key[:60]), {}, "client.key"),
    "no password": (_encrypted, {}, "client.key is encrypted: pass its password"),
    "a wrong password": (_encrypted, {"password": "wrong"}, "can't be read: is the password right?"),
    "too long a password": (_encrypted, {"password": "wrong" * 1000}, "can't be read: is the password right?"),
    "a password too many": (lambda a, p: None, {"password": PASSWORD}, "isn't encrypted: leave the password out"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_files_that_cannot_be_used_are_refused(authority: Authority, name: str) -> None:
    """A missing, unreadable or foreign file, and a wrong password, are told at construction, and no secret is."""
    write, options, text = WRITTEN[name]
    pair = authority.issue("one.example")
    authority.write(pair)
    write(authority, pair)
    with pytest.raises(ConfigurationError) as raised:
        ClientCertificate(*authority.files, **options)
    assert text in str(raised.value)
    frames = [frame for frame, _ in traceback.walk_tb(raised.value.__traceback__)]
    ours = [repr(frame.f_locals) for frame in frames if frame.f_globals["__name__"].startswith("oauth_auth")]
    assert ours
    assert [] == [shown for shown in ours if "PRIVATE KEY" in shown or PASSWORD in shown or "wrong" in shown]


GIVEN: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "bytes": ((b"client.pem",), {}, "certificate must be the path of a PEM file, not bytes"),
    "nothing": (("",), {}, "certificate must be the path of a PEM file"),
    "PEM": (("-----BEGIN CERTIFICATE-----\nMII",), {}, "not what is in it"),
    "a key in PEM": (("client.pem", "-----BEGIN PRIVATE KEY-----\nMII"), {}, "private_key must be the path"),
    "an empty password": (("client.pem",), {"password": ""}, "password must be text or bytes that aren't empty"),
    "a number": (("client.pem",), {"password": 5}, "password must be text or bytes that aren't empty"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_no_path_is_refused(name: str) -> None:
    """PEM itself, which may be a key, isn't repeated in the error."""
    arguments, options, text = GIVEN[name]
    with pytest.raises(ConfigurationError, match=text) as raised:
        ClientCertificate(*arguments, **options)
    assert "MII" not in str(raised.value)


def test_the_terminal_is_not_asked_for_a_password(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL would ask whoever sits there; a program that nobody sees would hang."""
    pair = authority.issue("one.example")
    authority.write(pair, pair.encrypted(PASSWORD))
    given: list[Any] = []

    def load_cert_chain(self: ssl.SSLContext, certificate: str, key: str, password: Any) -> None:
        given.append(password())
        raise ssl.SSLError

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load_cert_chain)
    with pytest.raises(ConfigurationError, match="pass its password"):
        ClientCertificate(*authority.files)
    assert {b""} == set(given)


# -- What it is -------------------------------------------------------------------------------------------------------


def test_paths_are_absolute_and_the_password_is_not_shown(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may change its folder later; and `repr` has the paths alone."""
    pair = authority.issue("one.example")
    authority.write(pair, pair.encrypted(PASSWORD))
    monkeypatch.chdir(authority.folder)
    certificate = ClientCertificate("client.pem", Path("client.key"), password=PASSWORD)
    monkeypatch.chdir("/")
    assert (f"{authority.folder}/client.pem", f"{authority.folder}/client.key") == certificate.files
    assert f"ClientCertificate('{authority.folder}/client.pem', '{authority.folder}/client.key')" == repr(certificate)
    assert "one.example" == shown_by(certificate.ssl_context(), authority)


def test_one_file_may_have_both(authority: Authority) -> None:
    """Without a path of its own, the key is in the certificate's file."""
    pair = authority.issue("one.example")
    path = authority.files[0]
    path.write_bytes(pair.key + pair.certificate)
    certificate = ClientCertificate(path)
    assert (str(path), str(path)) == certificate.files
    assert "one.example" == shown_by(certificate.ssl_context(), authority)
    path.write_bytes(pair.certificate)
    with pytest.raises(ConfigurationError, match=r"client\.pem has no private key in PEM"):
        ClientCertificate(path)


def test_a_copy_is_the_same_and_a_pickle_has_the_paths(authority: Authority) -> None:
    """So contexts that a copy's owner was given follow, too; and files may be missing while it's unpickled."""
    pair = authority.issue("one.example")
    authority.write(pair, pair.encrypted(PASSWORD))
    certificate = ClientCertificate(*authority.files, password=PASSWORD.encode())
    assert certificate is copy.copy(certificate) is copy.deepcopy(certificate)
    pickled = pickle.dumps(certificate)
    for path in authority.files:
        path.rename(f"{path}.away")
    other = pickle.loads(pickled)
    for path in authority.files:
        Path(f"{path}.away").rename(path)
    assert certificate.files == other.files
    assert "one.example" == shown_by(other.ssl_context(), authority)


# -- What contexts show -----------------------------------------------------------------------------------------------


def test_contexts_follow_at_the_next_token_call(authority: Authority) -> None:
    """What was given out shows the new certificate after it, and the old one before."""
    certificate = authority.certificate("one.example")
    given = [certificate.ssl_context() for _ in range(2)]
    authority.write(authority.issue("two.example"))
    assert ["one.example"] * 2 == [shown_by(context, authority) for context in given]
    own = tls_context(make_tls_context, certificate)
    assert ["two.example"] * 3 == [shown_by(context, authority) for context in (*given, own)]
    assert "two.example" == shown_by(certificate.ssl_context(), authority)


def test_a_pair_that_does_not_fit_leaves_contexts_as_they_are(authority: Authority) -> None:
    """OpenSSL would take the new certificate, fail at the key, and show none from then on."""
    certificate = authority.certificate("one.example")
    given = certificate.ssl_context()
    authority.write(authority.issue("two.example"), authority.issue("three.example").key)
    for _ in range(2):
        with pytest.raises(TokenError, match=r"client\.key isn't that of the certificate in .*client\.pem") as raised:
            tls_context(make_tls_context, certificate)
        assert raised.value.retryable
    with pytest.raises(TokenError):
        certificate.ssl_context()
    assert "one.example" == shown_by(given, authority)


def test_a_pair_that_changes_while_it_is_loaded_is_loaded_again(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All contexts show the same pair, the one that is there at the end."""
    certificate = authority.certificate("one.example")
    given = [certificate.ssl_context() for _ in range(3)]
    authority.write(authority.issue("two.example"))
    three, load, loads = authority.issue("three.example"), ssl.SSLContext.load_cert_chain, []

    def load_and_change(self: ssl.SSLContext, *arguments: Any) -> None:
        load(self, *arguments)
        loads.append(self)
        if len(loads) == 2:  # the one that tries it, and the first of the three
            authority.write(three)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load_and_change)
    own = tls_context(make_tls_context, certificate)
    monkeypatch.undo()
    assert ["three.example"] * 4 == [shown_by(context, authority) for context in (*given, own)]


def test_connections_are_not_made_while_their_certificate_changes(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL doesn't lock its contexts: both at once have crashed the process, or shown no certificate."""
    held: list[bool] = []

    class Lock:
        def __enter__(self) -> None:
            held.append(True)

        def __exit__(self, *exc_info: object) -> None:
            held.append(False)

    certificate = authority.certificate("one.example")
    context = certificate.ssl_context()
    authority.write(authority.issue("two.example"))
    monkeypatch.setattr(module, "_lock", Lock())
    tls_context(make_tls_context, certificate)
    assert [True, False] == held[:2]
    held.clear()
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="127.0.0.1")
    assert [True, False] == held
    held.clear()
    with Connected() as end:
        context.wrap_socket(end, server_hostname="127.0.0.1", do_handshake_on_connect=False).close()
    assert [True, False] == held


class Connected:
    """A connected socket whose other end is closed with it."""

    def __enter__(self) -> Any:
        import socket

        self.ends = socket.socketpair()
        return self.ends[0]

    def __exit__(self, *exc_info: object) -> None:
        for end in self.ends:
            end.close()


def test_many_threads_may_connect_while_files_change(authority: Authority) -> None:
    """Each connection shows one of the certificates that were there, and never none."""
    pairs = [authority.issue(name) for name in ("one.example", "two.example")]
    authority.write(pairs[0])
    certificate = ClientCertificate(*authority.files)
    context, is_over = certificate.ssl_context(), threading.Event()

    def rotate() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            authority.write(pairs[number % 2], pairs[number % 2].key)
            try:
                tls_context(make_tls_context, certificate)
            except TokenError:  # it's written in two steps
                continue

    thread = threading.Thread(target=rotate)
    thread.start()
    shown = {shown_by(context, authority) for _ in range(50)}
    is_over.set()
    thread.join()
    assert shown <= {"one.example", "two.example"}


def test_a_context_for_calls_is_kept_while_nothing_changes(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making one takes longer than most calls; other files, and another bundle to trust, make another one."""
    certificate = authority.certificate("one.example")
    first = tls_context(make_tls_context, certificate)
    assert first is tls_context(make_tls_context, certificate)
    assert first is not tls_context(ssl.create_default_context, certificate)
    monkeypatch.delenv("SSL_CERT_FILE")
    second = tls_context(make_tls_context, certificate)
    assert second not in {first, tls_context(make_tls_context, None)}
    authority.write(authority.issue("two.example"))
    assert second is not tls_context(make_tls_context, certificate)


def test_contexts_that_nobody_has_any_more_are_forgotten(authority: Authority) -> None:
    """A program may make one for each client."""
    certificate = authority.certificate("one.example")
    kept = certificate.ssl_context()
    for _ in range(10):
        certificate.ssl_context()
    assert [kept] == list(certificate._given)
