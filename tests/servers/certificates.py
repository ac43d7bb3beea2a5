"""Certificates for tests: an authority of their own, and what it issues; and such as nobody has issued."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc.jwk import ECKey

__all__ = ["Authority", "Certificate", "self_signed"]


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as files of PEM."""

    certificate: Path
    private_key: Path

    @property
    def subject(self) -> str:
        """The distinguished name (RFC 4514)."""
        return self._read().subject.rfc4514_string()

    @property
    def thumbprint(self) -> str:
        """The digest that tokens name it by (RFC 8705 section 3.1)."""
        return base64.urlsafe_b64encode(self._read().fingerprint(hashes.SHA256())).rstrip(b"=").decode()

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key with the certificate, as a client registers a self-signed one (RFC 8705 section 2.2)."""
        key = ECKey.import_key(self.private_key.read_bytes()).as_dict(private=False)
        der = self._read().public_bytes(serialization.Encoding.DER)
        return {**key, "x5c": [base64.b64encode(der).decode()], "x5t#S256": self.thumbprint}

    def copy_over(self, other: Certificate) -> None:
        """Put this one where another one is, as who renews certificates does."""
        for source, target in ((self.certificate, other.certificate), (self.private_key, other.private_key)):
            new = target.with_suffix(".new")
            new.write_bytes(source.read_bytes())
            new.replace(target)

    def _read(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes())


class Authority:
    """An authority that writes into a folder: `ca.pem`, a certificate for 127.0.0.1, and those of clients."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self._numbers = itertools.count(1)
        self.certificate = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.certificate)
        self.server = self._write("server", self._authority.issue_cert("127.0.0.1"))

    def issue(self, name: str) -> Certificate:
        """Issue a client's certificate; the next one with this name has the same subject, and another key."""
        issued = self._authority.issue_cert(
            f"{name}.example", common_name=name, organization_name="Tests", organization_unit_name="Clients"
        )
        return self._write(f"{name}-{next(self._numbers)}", issued)

    def _write(self, name: str, issued: trustme.LeafCert) -> Certificate:
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        issued.private_key_pem.write_to_path(made.private_key)
        for blob in issued.cert_chain_pems:
            blob.write_to_path(made.certificate, append=True)
        return made


def self_signed(folder: Path, name: str) -> Certificate:
    """Make a certificate that its own key signs."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    made.private_key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return made
