"""A certificate for a server on this machine, made on the spot and thrown away with it.

Clients that insist on TLS can then be pointed at a local server.
"""

from __future__ import annotations

import datetime
import importlib
import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vivace.errors import ExtraMissing

__all__ = ["server_tls", "throw_away_tls", "trusting_tls"]

_DAYS = 7


def throw_away_tls(hosts: Sequence[str] = ("127.0.0.1", "localhost")) -> tuple[ssl.SSLContext, str]:
    """The TLS context of a server for `hosts`, and its certificate in PEM, for whoever trusts it.

    Raises ExtraMissing without the package cryptography, which google-genai brings along.
    """
    key_pem, certificate = _made(hosts)
    with tempfile.TemporaryDirectory() as folder:  # ssl reads keys from files only
        path = Path(folder, "both.pem")
        path.write_bytes(key_pem + certificate)
        return server_tls(path), certificate.decode()


def server_tls(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """The TLS context of a server. key: where it is not in the same file."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def trusting_tls(certificate: str) -> ssl.SSLContext:
    """The TLS context of a client that trusts this certificate, in PEM, and no other."""
    return ssl.create_default_context(cadata=certificate)


def _made(hosts: Sequence[str]) -> tuple[bytes, bytes]:
    x509, hashes, serial, ec, oid = (
        _part(name)
        for name in (
            "x509", "hazmat.primitives.hashes", "hazmat.primitives.serialization",
            "hazmat.primitives.asymmetric.ec", "x509.oid",
        )
    )  # fmt: skip
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(oid.NameOID.COMMON_NAME, "vivace, thrown away")])
    now = datetime.datetime.now(datetime.UTC)
    names = [_name(x509, host) for host in hosts]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serial.Encoding.PEM
    plain = serial.PrivateFormat.PKCS8
    return key.private_bytes(pem, plain, serial.NoEncryption()), made.public_bytes(pem)


def _name(x509: Any, host: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _part(name: str) -> Any:
    try:
        return importlib.import_module(f"cryptography.{name}")
    except ImportError as error:
        raise ExtraMissing(
            "making a certificate needs the package cryptography: pip install 'vivace[gemini]'"
        ) from error
