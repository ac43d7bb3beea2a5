"""A client's certificate (RFC 8705): its files, and TLS contexts that show it."""

from __future__ import annotations

import ssl
from pathlib import Path

__all__ = ["ClientCertificate"]


class ClientCertificate:
    """A client's certificate and its private key, PEM files that are read anew when they change. Thread-safe."""

    def __init__(
        self,
        certificate: str | Path,
        private_key: str | Path | None = None,
        *,
        password: str | bytes | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def files(self) -> tuple[str, str]:
        """The paths, as `requests` takes them for `session.cert`."""
        raise NotImplementedError

    def ssl_context(self) -> ssl.SSLContext:
        """Return a TLS context that shows the certificate."""
        raise NotImplementedError
