"""Certificates and keys, good and bad, made once for a run of the tests; by what they are, as docs/errors.md says it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

_SINCE = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_UNTIL = dt.datetime(2031, 1, 31, tzinfo=dt.UTC)
_HOST = "shop.example"

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def pems() -> Mapping[str, bytes]:
    """All of them."""
    above = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate(above, above, x509.NameOID.ORGANIZATION_NAME, "authority", "authority")
    key, weak = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 1024)
    certificate = _certificate(key, above, NameOID.COMMON_NAME, _HOST, "authority")
    return {
        "a certificate until 2031-01-31": certificate + authority,
        "the certificates from the authority down": authority + certificate,
        "its private key": _private(key),
        "its private key with a password": _private(key, b"secret"),
        "another private key": _private(ec.generate_private_key(ec.SECP256R1())),
        "a certificate with a key of 1024 bits": _certificate(weak, above, NameOID.COMMON_NAME, _HOST, "authority"),
        "a private key of 1024 bits": _private(weak),
        "the authority": authority,
    }


def _certificate(key: _Key, signed_by: _Key, kind: x509.ObjectIdentifier, name: str, issuer: str) -> bytes:
    issuer_name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, issuer)])
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(kind, name)]))
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_SINCE)
        .not_valid_after(_UNTIL)
    )
    if name == _HOST:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("Shop.Example")]), critical=False)
    return made.sign(signed_by, SHA256()).public_bytes(Encoding.PEM)


def _private(key: _Key, password: bytes | None = None) -> bytes:
    locked = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)
