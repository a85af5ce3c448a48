"""Certificates and private keys in PEM (RFC 7468): read, compared, and shown to OpenSSL before any worker has to.

The library is imported when there is something to read: few configurations have certificates, and none of the traffic's
processes reads any in this way.
"""

from __future__ import annotations

import itertools
import os
import re
import ssl
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from cryptography.x509 import Certificate

_KEY: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


class BadPem(Exception):
    """A file isn't what it should be. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A certificate as far as it matters here.

    Attributes:
        names: of hosts, lower-case, as the certificate lists them; no addresses, which nobody asks for by SNI.
        until: when it, or one of those that lead to the authority, ceases to be valid, in UTC.
        public: its key, as DER.
    """

    names: tuple[str, ...]
    until: datetime
    public: bytes


def read_chain(content: bytes) -> Chain:
    """A certificate and those that lead to its authority.

    Raises:
        BadPem: it is none, or they are in another order.
    """
    certificates = _certificates(content)
    for lower, upper in itertools.pairwise(certificates):
        if lower.issuer != upper.subject:
            raise BadPem(
                f"{lower.subject.rfc4514_string()} isn't signed by the one that follows it, "
                f"{upper.subject.rfc4514_string()}; first the host's own certificate, then the one that signed it, and so on"
            )
    return Chain(_names(certificates[0]), _until(certificates), _der(certificates[0].public_key()))


def read_authorities(content: bytes) -> datetime:
    """Authorities to trust; gives when the last of them ceases to be valid.

    Raises:
        BadPem: there are none.
    """
    certificates = _certificates(content)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata=b"".join(map(_plain, certificates)).decode()
        )
    except ssl.SSLError as error:
        raise BadPem(f"OpenSSL refuses it: {_words(error)}") from error
    return max(_until([one]) for one in certificates)


def read_key(content: bytes) -> bytes:
    """The public half of a private key, as DER.

    Raises:
        BadPem: it is none, or encrypted.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    found = _KEY.search(content)
    if found is None:
        raise BadPem('there is no private key in it; it begins with "-----BEGIN PRIVATE KEY-----"')
    if b"ENCRYPTED" in found[1] or b"Proc-Type: 4,ENCRYPTED" in found[0]:
        raise BadPem(
            "the private key is encrypted, and nobody is there to ask for a password: openssl pkey -in … -out …"
        )
    try:
        return _der(load_pem_private_key(found[0] + b"\n", None).public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadPem("the private key can't be read; copy it again, whole") from error


def refused_pair(chain: bytes, key: bytes) -> str | None:
    """Why OpenSSL, as it is set up on this machine, refuses a certificate with its key; None: it doesn't.

    It has rules of its own (keys that are too short, digests that are too old), and reads nothing but files.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with _as_file(chain) as one, _as_file(key) as other:
            context.load_cert_chain(one, other, password="")
    except ssl.SSLError as error:
        return _words(error)
    return None


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path under which a private key can be read: in memory, where that is possible."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile() as file:  # mode 0600
            file.write(content)
            file.flush()
            yield file.name


def _certificates(content: bytes) -> list[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates

    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise BadPem('there is no certificate in it; one begins with "-----BEGIN CERTIFICATE-----"')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities in certificates that are allowed all the same
            return load_pem_x509_certificates(content)
    except ValueError as error:
        raise BadPem("a certificate in it can't be read; copy it again, whole") from error


def _names(certificate: Certificate) -> tuple[str, ...]:
    from cryptography.x509 import DNSName, ExtensionNotFound, SubjectAlternativeName

    try:
        alternatives = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except (ExtensionNotFound, ValueError):
        return ()
    return tuple(dict.fromkeys(name.lower() for name in alternatives.get_values_for_type(DNSName)))


def _until(certificates: list[Certificate]) -> datetime:
    return min(one.not_valid_after_utc for one in certificates)


def _der(key: PublicKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _plain(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
