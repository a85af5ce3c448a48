"""Backends over TLS: verified, told precisely when they can't be, and met anew when what is trusted changes."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from proxy.core.http.body import LINES_A_TURN
from proxy.core.http.websocket import accept
from proxy.core.limits import Limits
from proxy.core.plan import BackendTls
from tests.certificates import Authority, raise_at_bare_end
from tests.traffic.wire import PATIENCE_S, Node, RawBackend, Wire, a_plan

GET = b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)

Start = Callable[..., Node]


class SecureBackend(RawBackend):
    """A backend that shows a certificate."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.context = context
        self.asked_for: list[str | None] = []
        context.sni_callback = lambda connection, name, context: self.asked_for.append(name)
        self.url = f"https://localhost:{self.port}"

    def accept(self) -> Wire:
        sock = self.listening.accept()[0]
        sock.settimeout(PATIENCE_S)
        return Wire(self.context.wrap_socket(sock, server_side=True))

    def refuse(self) -> None:
        """Take a connection whose handshake fails."""
        with pytest.raises((ssl.SSLError, ConnectionError)):
            self.accept()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    directory = tmp_path / "files"
    directory.mkdir()
    return Authority(directory)


@pytest.fixture
def backend(authority: Authority) -> Iterator[SecureBackend]:
    made = SecureBackend(authority.serving(authority.sign("localhost")))
    yield made
    made.close()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    caplog.set_level(logging.WARNING, "backend")
    return lambda: "\n".join(record.getMessage() for record in caplog.records if record.name == "backend")


def options(authority: Authority, **tls: object) -> dict[str, object]:
    return {"legacy_options": {"tls": BackendTls(**{"ca": authority.ca, **tls})}, "path_of": authority.path_of}  # type: ignore[arg-type]


def answered(node: Node, backend: SecureBackend) -> int:
    """The status that a client is told when this backend is asked and answers."""
    with node.client() as client:
        client.send(GET)
        with backend.accept() as wire:
            wire.head()
            wire.send(OK)
            return client.answer()[0]


def ask(node: Node) -> tuple[int, bytes, bytes]:
    with node.client() as client:
        client.send(GET)
        return client.answer()


def test_a_backend_is_asked_over_tls_and_its_connection_is_kept(
    start: Start, authority: Authority, backend: SecureBackend
) -> None:
    node = start(legacy=backend.url, **options(authority))
    with node.client() as client:
        client.send(GET)
        with backend.accept() as wire:
            for again in (True, False):
                assert b"\r\nHost: shop.test\r\n" in wire.head()
                wire.send(OK)
                assert client.answer()[2] == b"ok"
                if again:
                    client.send(GET)
    assert backend.asked_for == ["localhost"]
    assert node.count("strangler_backend_connections_reused_total") == 1


def test_a_certificate_of_an_authority_that_is_not_trusted_is_a_fault_of_its_own(
    start: Start, authority: Authority, backend: SecureBackend, told: Callable[[], str]
) -> None:
    node = start(legacy=backend.url, **options(authority, ca=None))
    with node.client() as client:
        client.send(GET)
        backend.refuse()
        status, head, body = client.answer()
    assert status == 502
    assert b"\r\nX-Strangler-Error: legacy-connect-untrusted\r\n" in head
    assert b"certificate" in body
    assert "its certificate isn't trusted: unable to get local issuer certificate; if it is its own" in told()
    assert node.count('strangler_faults_total{party="legacy",stage="connect",kind="untrusted",backend="legacy"}') == 1


@pytest.mark.parametrize(
    ("names", "until", "said"),
    [
        (
            ("elsewhere.test",),
            None,
            "hostname mismatch, certificate is not valid for 'localhost'; if that host is right",
        ),
        (("localhost",), LONG_AGO + dt.timedelta(days=9), "certificate has expired; the system behind needs a new one"),
    ],
)
def test_a_certificate_for_another_host_and_an_expired_one_are_told_as_such(
    start: Start,
    authority: Authority,
    told: Callable[[], str],
    names: tuple[str, ...],
    until: dt.datetime | None,
    said: str,
) -> None:
    backend = SecureBackend(authority.serving(authority.sign(*names, until=until, since=until and LONG_AGO)))
    node = start(legacy=backend.url, **options(authority))
    with node.client() as client:
        client.send(GET)
        backend.refuse()
        _, head, _ = client.answer()
    assert b"\r\nX-Strangler-Error: legacy-connect-untrusted\r\n" in head
    assert said in told()
    backend.close()


def test_another_endpoint_is_asked_when_one_cannot_be_trusted(
    start: Start, authority: Authority, backend: SecureBackend
) -> None:
    wrong = SecureBackend(authority.serving(authority.sign("elsewhere.test")))
    node = start(legacy=(wrong.url, backend.url), **options(authority))
    node.prefer(wrong.url)
    with node.client() as client:
        client.send(GET)
        wrong.refuse()
        with backend.accept() as wire:
            wire.head()
            wire.send(OK)
            assert client.answer()[0] == 200
    wrong.close()


def test_the_name_that_is_asked_for_and_verified_can_be_set(start: Start, authority: Authority) -> None:
    backend = SecureBackend(authority.serving(authority.sign("legacy.internal")))
    node = start(legacy=backend.url, **options(authority, server_name="legacy.internal"))
    assert answered(node, backend) == 200
    assert backend.asked_for == ["legacy.internal"]
    backend.close()


def test_the_very_certificate_of_a_box_that_signed_its_own_can_be_trusted(start: Start, authority: Authority) -> None:
    alone = trustme.CA()
    leaf = alone.issue_cert("localhost")
    backend = SecureBackend(authority.serving(leaf))
    node = start(legacy=backend.url, **options(authority, ca=authority.keep(leaf.cert_chain_pems[0].bytes())))
    assert answered(node, backend) == 200
    backend.close()


def test_verification_can_be_switched_off(start: Start, authority: Authority) -> None:
    backend = SecureBackend(authority.serving(trustme.CA().issue_cert("elsewhere.test")))
    node = start(legacy=backend.url, **options(authority, verify=False))
    assert answered(node, backend) == 200
    backend.close()


def test_a_backend_that_asks_who_we_are_gets_our_certificate(
    start: Start, authority: Authority, backend: SecureBackend, told: Callable[[], str]
) -> None:
    backend.context.verify_mode = ssl.CERT_REQUIRED
    backend.context.load_verify_locations(authority.path_of(authority.ca.digest))
    node = start(legacy=backend.url, **options(authority, pair=authority.pair("proxy@shop.test")))
    with node.client() as client:
        client.send(GET)
        with backend.accept() as wire:
            assert isinstance(wire.sock, ssl.SSLSocket)
            assert "proxy@shop.test" in str(wire.sock.getpeercert())
            wire.head()
            wire.send(OK)
            assert client.answer()[0] == 200
    unknown = start(legacy=backend.url, **options(authority))
    for _ in range(3):
        with unknown.client() as client:
            client.send(GET)
            backend.refuse()
            assert client.answer()[0] == 502
    assert told().count("certificate required") == 1  # clients must not be able to fill the disk


def test_a_backend_that_speaks_no_tls_is_a_failed_handshake(
    start: Start, authority: Authority, legacy: RawBackend, told: Callable[[], str]
) -> None:
    node = start(legacy=legacy.url.replace("http:", "https:"), **options(authority))
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as wire:
            wire.exactly(1)
            wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            status, head, _ = client.answer()
    assert status == 502
    assert b"\r\nX-Strangler-Error: legacy-connect-handshake\r\n" in head
    assert "TLS failed: wrong version number" in told()


def test_a_handshake_counts_for_the_time_to_connect(start: Start, authority: Authority, legacy: RawBackend) -> None:
    node = start(
        legacy=legacy.url.replace("http:", "https:"),
        legacy_options={"connect_s": 0.1},
        path_of=authority.path_of,
    )
    with node.client() as client:
        client.send(GET)
        with legacy.accept():
            status, head, _ = client.answer()
    assert status == 504
    assert b"\r\nX-Strangler-Error: legacy-connect-timeout\r\n" in head


def test_what_is_trusted_now_holds_for_the_next_request(
    start: Start, authority: Authority, backend: SecureBackend, new: RawBackend
) -> None:
    node = start(legacy=backend.url, **options(authority))
    with node.client() as client:
        client.send(GET)
        with backend.accept() as kept:
            kept.head()
            kept.send(OK)
            assert client.answer()[0] == 200
            node.swap(a_plan(backend.url, new.url, legacy_options={"tls": BackendTls(ca=authority.ca)}))
            client.send(GET)
            kept.head()  # nothing of its TLS has changed
            kept.send(OK)
            assert client.answer()[0] == 200
            node.swap(a_plan(backend.url, new.url), 3)
            assert kept.rest() == b""
            client.send(GET)
            backend.refuse()
            assert client.answer()[0] == 502


@pytest.mark.parametrize("clean", [True, False])
def test_an_answer_that_ends_with_its_connection_is_whole_only_if_tls_says_so(
    start: Start, authority: Authority, backend: SecureBackend, *, clean: bool
) -> None:
    node = start(legacy=backend.url, **options(authority))
    with node.client() as client:
        client.send(GET)
        wire = backend.accept()
        wire.head()
        wire.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        client.until(b"hello\r\n")
        assert isinstance(wire.sock, ssl.SSLSocket)
        if clean:
            with contextlib.suppress(OSError):  # the proxy needn't answer `close_notify`
                wire.sock.unwrap()
        with socket.socket(fileno=wire.sock.detach()):
            pass
        if clean:
            client.until(b"0\r\n\r\n")
        else:
            assert client.rest() == b""


def test_an_idle_connection_to_a_backend_is_ended_with_a_closure_alert(
    start: Start, authority: Authority, backend: SecureBackend
) -> None:
    node = start(legacy=backend.url, limits=Limits(backend_idle_s=0.3), **options(authority))
    with node.client() as client:
        client.send(GET)
        with backend.accept() as kept:
            kept.head()
            kept.send(OK)
            assert client.answer()[0] == 200
            assert isinstance(kept.sock, ssl.SSLSocket)
            raise_at_bare_end(kept.sock)
            assert kept.rest() == b""


def test_a_websocket_to_a_backend_over_tls_passes_both_ways(
    start: Start, authority: Authority, backend: SecureBackend
) -> None:
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    node = start(legacy=backend.url, **options(authority))
    for first_to_leave in ("backend", "client"):
        with node.client() as client:
            client.send(
                b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n" % key
            )
            with backend.accept() as wire:
                wire.head()
                wire.send(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: %b\r\n\r\nfirst" % accept(key)
                )
                client.head()
                assert client.exactly(5) == b"first"
                client.send(b"to the backend")
                assert wire.exactly(14) == b"to the backend"
                if first_to_leave == "client":
                    client.send(b"last")
                    client.sock.shutdown(socket.SHUT_WR)
                    assert wire.rest() == b"last"
                else:
                    wire.send(b"last")
                    assert isinstance(wire.sock, ssl.SSLSocket)
                    wire.sock.unwrap()
                    assert client.rest() == b"last"


def say_goodbye_behind(backend: SecureBackend, answer: bytes) -> socket.socket:
    """Take a request, and write answer, `close_notify` and FIN without waiting for anything."""
    sock = backend.listening.accept()[0]
    sock.settimeout(PATIENCE_S)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = backend.context.wrap_bio(incoming, outgoing, server_side=True)
    for step in (tls.do_handshake, tls.read):
        while True:
            try:
                step()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
    tls.write(answer)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.unwrap()
    sock.sendall(outgoing.read())
    sock.shutdown(socket.SHUT_WR)
    return sock


def test_an_answer_of_many_chunks_is_whole_though_its_backend_closes_at_once(
    start: Start, authority: Authority, backend: SecureBackend
) -> None:
    chunks = LINES_A_TURN * 3
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * chunks + b"0\r\n\r\n"
    node = start(legacy=backend.url, **options(authority))
    with node.client() as client:
        client.send(GET)
        with say_goodbye_behind(backend, answer):
            client.head()
            assert client.until(b"\r\n0\r\n\r\n").count(b"x") == chunks
    assert b'"fault":null' in node.log_lines(1)[0]


def test_a_slow_reader_gets_all_of_an_answer_whose_backend_has_gone(
    start: Start, authority: Authority, backend: SecureBackend
) -> None:
    node = start(legacy=backend.url, **options(authority))
    node.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that little waits in the kernel
    body = b"x" * 200_000
    with node.client(4096) as client:
        client.send(GET)
        with say_goodbye_behind(backend, b"HTTP/1.1 200 OK\r\n\r\n" + body):
            for _ in range(20):  # turns in which the proxy could hear of the end before the client has read
                with node.client() as other:
                    other.send(b"?\r\n\r\n")
                    other.rest()
            client.head()
            assert client.until(b"\r\n0\r\n\r\n").count(b"x") == len(body)
    assert b'"fault":null' in node.log_lines(21)[20]
