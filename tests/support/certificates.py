"""An authority for a test's certificates, servers that ask for them, and what happens to their files."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from oauth_auth import ClientCertificate
from tests.support.modes import Client, Mode

__all__ = ["Authority", "Pair"]


class Pair:
    """A certificate that has a name in it, and its key, both in PEM."""

    def __init__(self, name: str, issued: trustme.LeafCert) -> None:
        self.name = name
        self.certificate = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        self.key = issued.private_key_pem.bytes()

    def encrypted(self, password: str) -> bytes:
        """Return the key in PEM that needs a password."""
        key = serialization.load_pem_private_key(self.key, None)
        protection = serialization.BestAvailableEncryption(password.encode())
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


class Authority:
    """Issues certificates, and writes into a folder; the library trusts it until the test ends."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._authority = trustme.CA()
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.file)
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(name, str(self.file))

    @property
    def files(self) -> tuple[Path, Path]:
        """Where the client's certificate and key are."""
        return self.folder / "client.pem", self.folder / "client.key"

    def issue(self, name: str, kind: trustme.KeyType = trustme.KeyType.ECDSA) -> Pair:
        """Issue a client's certificate."""
        return Pair(name, self._authority.issue_cert(name, key_type=kind))

    def write(self, pair: Pair, key: bytes | None = None) -> None:
        """Replace what is in the files, the key by another one if that is given."""
        for path, content in zip(self.files, (pair.certificate, key or pair.key), strict=True):
            other = path.with_suffix(".new")
            other.write_bytes(content)
            other.replace(path)

    def certificate(self, name: str = "one.example", **options: Any) -> ClientCertificate:
        """Issue a certificate, write it, and return it as the library takes it."""
        self.write(self.issue(name))
        return ClientCertificate(*self.files, **options)

    def server_context(self) -> ssl.SSLContext:
        """Return the context of a server that asks for certificates, and does without."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1").configure_cert(context)
        self._authority.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    @contextlib.contextmanager
    def client(self, mode: Mode, auth: Any, certificate: ClientCertificate) -> Iterator[Client]:
        """Open a client that shows the certificate to APIs, as people are told to write it."""
        options = {} if mode.is_like_requests else {"verify": certificate.ssl_context()}
        with mode.client(auth, **options) as client:
            if mode.is_like_requests:
                client.inner.cert = certificate.files
                client.inner.verify = str(self.file)
            yield client
