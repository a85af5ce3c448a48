"""Certificates made for a test: an authority, what it signs, and the files of both, each named by its digest too."""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl
from pathlib import Path

import trustme

from proxy.core.plan import KeyPair, Pem


class Authority:
    """Signs certificates, and keeps them as the state directory does: each file under its digest."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trusted = trustme.CA()

    def path_of(self, digest: str) -> Path:
        """Where the file with a digest stands."""
        return self.directory / digest

    def keep(self, content: bytes) -> Pem:
        """A file as a plan names it."""
        digest = hashlib.sha256(content).hexdigest()
        self.path_of(digest).write_bytes(content)
        return Pem(file="-", digest=digest)

    @property
    def ca(self) -> Pem:
        """The authority's own certificate."""
        return self.keep(self.trusted.cert_pem.bytes())

    def sign(self, *names: str, until: dt.datetime | None = None, since: dt.datetime | None = None) -> trustme.LeafCert:
        """A certificate for these names."""
        return self.trusted.issue_cert(*names, not_after=until, not_before=since)

    def pair(self, *names: str, leaf: trustme.LeafCert | None = None) -> KeyPair:
        """A certificate and its key, as a plan names them."""
        leaf = leaf or self.sign(*names)
        return KeyPair(certificate=self.keep(chain_of(leaf)), key=self.keep(key_of(leaf)), names=names)

    def trusting(self) -> ssl.SSLContext:
        """For a client that trusts this authority alone."""
        context = ssl.create_default_context(cafile=self.path_of(self.ca.digest))
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def serving(self, leaf: trustme.LeafCert) -> ssl.SSLContext:
        """For a backend that shows a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        return context


def chain_of(leaf: trustme.LeafCert) -> bytes:
    """The certificate, and those above it."""
    return b"".join(blob.bytes() for blob in leaf.cert_chain_pems)


def key_of(leaf: trustme.LeafCert) -> bytes:
    """The private key."""
    return leaf.private_key_pem.bytes()


def raise_at_bare_end(sock: ssl.SSLSocket) -> None:
    """Take an end without a closure alert for what it is: a cut (`ssl.SSLEOFError`), where Python's default is a clean end."""
    sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]  # typeshed knows it as an argument of wrap_socket alone
