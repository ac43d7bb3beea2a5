"""Certificates of a provider that's served over TLS: its own, and those that its clients show (RFC 8705)."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import trustme
except ModuleNotFoundError as error:
    raise ImportError(
        f'LocalProvider(tls=True) needs trustme, and {error.name!r} is missing: pip install "oauth_auth[testing]"',
        name=error.name,
    ) from error

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["Certificates"]


class Certificates:
    """An authority, what it has issued, and which of that is good still. Thread-safe."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self._lock = threading.Lock()
        self._live: set[str] = set()

    def ssl_context(self) -> ssl.SSLContext:
        """Return the server's context, which asks clients for a certificate and makes do without one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("127.0.0.1", "localhost", "::1").configure_cert(context)
        self._authority.configure_trust(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def write_authority(self, path: Path) -> None:
        """Write the authority's certificate, for clients to trust."""
        self._authority.cert_pem.write_to_path(path)

    def issue(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write a new certificate and its key; return their paths."""
        issued = self._authority.issue_cert("client.example", common_name=name)
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        with self._lock:
            self._live.add(_thumbprint(ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())))
        paths = folder / "client.pem", folder / "client.key"
        for path, content in zip(paths, (chain, issued.private_key_pem.bytes()), strict=True):
            beside = path.with_suffix(path.suffix + ".new")
            beside.write_bytes(content)
            beside.replace(path)  # a program under test may read it just now
        return paths

    def revoke(self) -> None:
        """End all certificates that were issued so far."""
        with self._lock:
            self._live.clear()

    def is_live(self, thumbprint: str) -> bool:
        """Return whether the certificate was issued here, and not revoked since."""
        return thumbprint in self._live

    @staticmethod
    def shown(environ: WSGIEnvironment) -> str | None:
        """Return the thumbprint of the certificate that the client has shown on this connection, if any."""
        certificate = environ["werkzeug.socket"].getpeercert(binary_form=True)
        return None if certificate is None else _thumbprint(certificate)


def _thumbprint(certificate: bytes) -> str:
    """Return what `x5t#S256` is (section 3.1), of a certificate in DER."""
    return base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode()
