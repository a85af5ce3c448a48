"""TLS as a user sets it up: files that are renewed while traffic flows, and what happens when they don't fit."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from tests.app.node import Config, Node, backends
from tests.certificates import chain_of, key_of
from tests.waiting import until

LISTENER = """\
listener: {tls: {certificates: {certificate: tls/shop.pem, key: tls/shop.key}}}
error_pages: {502: pages/502.html}
"""
PAGE = "<!doctype html><p>Please quote {{request_id}} ({{ status }} {{reason}}, {{fault}}).</p>\n"
UNUSED_PORT = "http://127.0.0.1:1"


class Shop:
    """A node that is met over TLS, whose new system is down."""

    def __init__(self, root: Path, legacy: str) -> None:
        self.authority = trustme.CA()
        self.state = root / "state"
        self.config = Config(root / "config", legacy, UNUSED_PORT)
        self.config.contents["routes.yaml"] += LISTENER
        self.config.contents["pages/502.html"] = PAGE
        self.first = self.authority.issue_cert("first.test", "shop.test")
        self.put(self.first)
        for name in ("tls", "pages"):
            (self.config.root / name).symlink_to(Path("..data") / name)
        self.node = Node(self.config, self.state, "--drain", "10")

    def put(self, leaf: trustme.LeafCert, key: trustme.LeafCert | None = None) -> None:
        """Put a certificate in place, as cert-manager does: both files at once."""
        self.config.contents["tls/shop.pem"] = chain_of(leaf).decode()
        self.config.contents["tls/shop.key"] = key_of(key or leaf).decode()
        self.config.swap()

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        address = urlsplit(self.node.url)
        sock = socket.create_connection((address.hostname, address.port or 0), 10)
        return context.wrap_socket(sock, server_hostname="shop.test")

    def shown(self) -> str:
        """The first name in the certificate that is shown now."""
        with self.connect() as client:
            found = re.search(r"'DNS', '([^']+)'", str(client.getpeercert()))
            assert found is not None
            return found[1]

    def complaints(self) -> str:
        return "\n".join(one["text"] for one in self.node.status()["complaints"])


def ask(client: ssl.SSLSocket, path: str) -> bytes:
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length is not None
    while len(body) < int(length[1]):
        body += client.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with backends() as (legacy, _):
        made = Shop(tmp_path, legacy.url)
        try:
            made.node.wait_ready()
            yield made
        finally:
            made.node.end()


def test_a_renewed_certificate_is_shown_to_the_next_client_and_nobody_is_dropped(shop: Shop) -> None:
    assert shop.shown() == "first.test"
    with shop.connect() as kept:
        assert ask(kept, "/").endswith(b"legacy")
        shop.put(shop.authority.issue_cert("second.test", "shop.test"))
        until(lambda: shop.shown() == "second.test", "the new certificate is shown")
        assert ask(kept, "/").endswith(b"legacy")
    contents = b"".join(path.read_bytes() for path in (shop.state / "files").iterdir())
    assert contents.count(b"PRIVATE KEY-----\n") == 2, "the former key is kept: only what is in force should be"
    assert b"PRIVATE KEY" not in b"".join(path.read_bytes() for path in (shop.state / "plans").iterdir())
    assert shop.state.stat().st_mode & 0o077 == 0


def test_a_certificate_without_its_key_changes_nothing_not_even_for_a_worker_that_starts_anew(shop: Shop) -> None:
    second = shop.authority.issue_cert("second.test", "shop.test")
    shop.put(second, key=shop.first)
    until(lambda: "isn't the private key of the certificate" in shop.complaints(), "it is told")
    assert shop.shown() == "first.test"
    former = shop.node.worker_pid()

    os.kill(former, signal.SIGKILL)
    until(lambda: shop.node.worker_pid() not in (0, former), "a successor")
    assert shop.shown() == "first.test"
    shop.put(second)
    until(lambda: shop.shown() == "second.test", "what fits together is in force")
    assert "private key" not in shop.complaints()


def test_a_certificate_that_ends_soon_is_told_by_status(shop: Shop) -> None:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=5, hours=1)
    shop.put(shop.authority.issue_cert("shop.test", not_after=soon))
    until(lambda: re.search(r"for shop.test expires in [45] days, on", shop.complaints()), "it is told")


def test_the_operators_page_stands_for_our_own_answers_alone(shop: Shop) -> None:
    with shop.connect() as client:
        answer = ask(client, "/help/me")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
        assert b"\r\nContent-Type: text/html; charset=utf-8\r\n" in head
        assert b"\r\nX-Strangler-Error: new-connect-unreachable" in head
        request_id = re.search(rb"X-Request-ID: (\S+)", head)
        assert request_id is not None
        said = b"<p>Please quote %b (502 Bad Gateway, new-connect-unreachable).</p>\n" % request_id[1]
        assert body == b"<!doctype html>" + said
        client.sendall(b"BROKEN\r\n\r\n")
        refused = client.recv(65536)
        assert refused.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in refused
