"""Certificates for loopback TLS servers, made anew in a temporary folder; no system trusts them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _san(host: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    if key:
        pem += key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    return pem


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test run's own."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """A new authority; `folder` takes its files."""
        key = ec.generate_private_key(ec.SECP256R1())
        name, now = _name("test authority"), datetime.now(UTC)
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(folder, key, certificate)

    def server(self, *hosts: str, expired: bool = False) -> ssl.SSLContext:
        """A server's context with a certificate for `hosts` that this authority signed."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC) - (30 * DAY if expired else timedelta())
        certificate = (
            x509.CertificateBuilder(
                self.certificate.subject, _name(hosts[0]), key.public_key(), x509.random_serial_number(), now - DAY,
                now + DAY,
            )
            .add_extension(x509.SubjectAlternativeName([_san(host) for host in hosts]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )  # fmt: skip
        return self._context(_pem(certificate, key))

    def own(self) -> ssl.SSLContext:
        """A server's context with the authority's own, self-signed certificate."""
        return self._context(_pem(self.certificate, self.key))

    def client(self) -> ssl.SSLContext:
        """A client's context that trusts this authority and nothing else."""
        return ssl.create_default_context(cadata=_pem(self.certificate).decode())

    def _context(self, pem: bytes) -> ssl.SSLContext:
        path = self.folder / f"{len(list(self.folder.iterdir()))}.pem"
        path.write_bytes(pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context
