"""Clients over TLS: met, told apart, refused, let go, and given another certificate without being dropped."""

from __future__ import annotations

import json
import random
import re
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.core.http.websocket import accept
from proxy.core.limits import Limits
from proxy.core.plan import Listener, ListenerTls
from proxy.traffic.limits import WATER_BYTES
from tests.certificates import Authority, raise_at_bare_end
from tests.traffic.wire import PATIENCE_S, Node, RawBackend, Wire, a_plan, eventually

GET = b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LATE = b'strangler_faults_total{party="client",stage="connect",kind="timeout"'

Start = Callable[..., Node]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    directory = tmp_path / "files"
    directory.mkdir()
    return Authority(directory)


def secure(node: Node, authority: Authority, name: str = "shop.test", context: ssl.SSLContext | None = None) -> Wire:
    """A client whose handshake is done."""
    sock = socket.create_connection(("127.0.0.1", node.port), PATIENCE_S)
    return Wire((context or authority.trusting()).wrap_socket(sock, server_hostname=name))


@pytest.fixture
def node(start: Start, authority: Authority) -> Node:
    tls = ListenerTls(certificates=(authority.pair("shop.test"),))
    return start(listener=Listener(tls=tls), path_of=authority.path_of)


def shown(client: Wire) -> set[str]:
    """The names in the certificate that the proxy showed."""
    assert isinstance(client.sock, ssl.SSLSocket)
    certificate = client.sock.getpeercert()
    assert certificate is not None
    return set(re.findall(r"'DNS', '([^']+)'", str(certificate["subjectAltName"])))


def test_a_client_over_tls_is_answered_and_backends_hear_of_https(
    node: Node, authority: Authority, legacy: RawBackend
) -> None:
    with secure(node, authority) as client:
        client.send(GET)
        with legacy.accept() as backend:
            for again in (True, False):
                head = backend.head()
                assert b"\r\nX-Forwarded-Proto: https\r\n" in head
                assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in head
                backend.send(OK)
                assert client.answer()[2] == b"ok"
                if again:
                    client.send(GET)
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.selected_alpn_protocol() == "http/1.1"


def test_bodies_pass_both_ways_over_tls_no_faster_than_they_are_read(
    node: Node, authority: Authority, legacy: RawBackend
) -> None:
    body = random.Random(1).randbytes(1 << 20) * 24

    def held() -> int:
        (client,) = node.traffic._clients
        exchange = client.exchange
        assert exchange is not None
        ends = [client.transport, *([exchange._connection.transport] if exchange._connection else ())]
        return max(int(end.get_write_buffer_size()) for end in ends)

    def slow(wire: Wire) -> bytes:
        eventually(lambda: node.do(held) > WATER_BYTES, "it waits for its reader")
        assert node.do(held) < 4 * WATER_BYTES + 262_144  # one read of uvloop's is added to what waits
        return wire.exactly(len(body))

    with secure(node, authority) as client, ThreadPoolExecutor() as threads:
        client.send(b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: %d\r\n\r\n" % len(body))
        with legacy.accept() as backend:
            backend.head()
            sending = threads.submit(client.send, body)
            assert slow(backend) == body
            sending.result(PATIENCE_S)
            sending = threads.submit(backend.send, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
            client.head()
            assert slow(client) == body
            sending.result(PATIENCE_S)


def test_plain_text_on_a_port_for_tls_gets_an_answer_that_says_so(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(GET)
        answer = client.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"https://" in answer
    assert b"\r\nX-Strangler-Error: client-head-malformed\r\n" in answer
    assert not legacy.has_caller()
    (line,) = node.log_lines(1)
    assert json.loads(line)["status"] == 400


def test_a_client_gets_the_certificate_of_the_name_it_asks_for_else_the_first(
    start: Start, authority: Authority
) -> None:
    pairs = tuple(authority.pair(name) for name in ("shop.test", "www.old.test", "*.old.test"))
    node = start(listener=Listener(tls=ListenerTls(certificates=pairs)), path_of=authority.path_of)
    lenient = authority.trusting()
    lenient.check_hostname = False
    for asked, expected in {
        "shop.test": "shop.test",
        "WWW.old.test": "www.old.test",
        "api.old.test": "*.old.test",
        "a.b.old.test": "shop.test",
        "elsewhere.test": "shop.test",
    }.items():
        with secure(node, authority, asked, lenient) as client:
            assert shown(client) == {expected}, asked


def test_another_certificate_is_shown_to_the_next_client_and_the_former_one_stays_connected(
    start: Start, authority: Authority, legacy: RawBackend, new: RawBackend
) -> None:
    def listening(name: str) -> Listener:
        return Listener(tls=ListenerTls(certificates=(authority.pair(name, "shop.test"),)))

    node = start(listener=listening("first.test"), path_of=authority.path_of)
    with secure(node, authority) as former:
        assert shown(former) == {"first.test", "shop.test"}
        node.swap(a_plan(legacy.url, new.url, listener=listening("second.test")))
        with secure(node, authority) as latter:
            assert shown(latter) == {"second.test", "shop.test"}
        former.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            assert former.answer()[2] == b"ok"


def test_tls_begins_and_ends_with_a_reload(
    start: Start, authority: Authority, legacy: RawBackend, new: RawBackend
) -> None:
    node = start(path_of=authority.path_of)
    tls = Listener(tls=ListenerTls(certificates=(authority.pair("shop.test"),)))
    with node.client() as plain:
        node.swap(a_plan(legacy.url, new.url, listener=tls))
        with secure(node, authority):
            pass
        plain.send(GET)
        with legacy.accept() as backend:
            assert b"X-Forwarded-Proto: http\r\n" in backend.head()
            backend.send(OK)
            assert plain.answer()[0] == 200
    node.swap(a_plan(legacy.url, new.url), 3)
    with node.client() as plain:
        plain.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            assert plain.answer()[0] == 200


def test_only_clients_with_a_certificate_of_the_right_authority_come_in(
    start: Start, authority: Authority, tmp_path: Path
) -> None:
    tls = ListenerTls(certificates=(authority.pair("shop.test"),), client_ca=authority.ca)
    node = start(listener=Listener(tls=tls), path_of=authority.path_of)
    known = authority.trusting()
    authority.sign("gateway@shop.test").configure_cert(known)
    with secure(node, authority, context=known) as client:
        client.send(b"BROKEN\r\n\r\n")
        assert client.answer()[0] == 400
    stranger = authority.trusting()
    (tmp_path / "others").mkdir()
    Authority(tmp_path / "others").sign("gateway@shop.test").configure_cert(stranger)
    for context in (stranger, authority.trusting()):
        refusals = (ssl.SSLError, ConnectionError, EOFError)  # which of them is OpenSSL's and the system's choice
        with pytest.raises(refusals), secure(node, authority, context=context) as client:  # noqa: PT012
            client.send(GET)
            client.head()
    refused = 'strangler_faults_total{party="client",stage="connect",kind="handshake"'
    eventually(lambda: node.count(refused) == 2, "both were counted")


def test_versions_below_the_minimum_are_refused(start: Start, authority: Authority) -> None:
    tls = ListenerTls(certificates=(authority.pair("shop.test"),), minimum="1.3")
    node = start(listener=Listener(tls=tls), path_of=authority.path_of)
    old = authority.trusting()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secure(node, authority, context=old)
    with secure(node, authority) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        assert client.sock.version() == "TLSv1.3"


@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x00\x05hello"])
def test_a_handshake_that_does_not_come_to_its_end_is_cut(start: Start, authority: Authority, said: bytes) -> None:
    tls = ListenerTls(certificates=(authority.pair("shop.test"),))
    node = start(listener=Listener(tls=tls, handshake_s=0.1), path_of=authority.path_of)
    with node.client() as client:
        client.send(said)
        client.ends()
    faults = 'strangler_faults_total{party="client",stage="connect"'
    eventually(lambda: node.count(faults) == 1, "it was counted")


def test_one_address_cannot_take_all_places_by_handshakes_that_do_not_end(
    start: Start, authority: Authority, legacy: RawBackend
) -> None:
    tls = ListenerTls(certificates=(authority.pair("shop.test"),))
    limits = Limits(connections=4, connections_per_client=2)
    node = start(listener=Listener(tls=tls, handshake_s=3600.0), limits=limits, path_of=authority.path_of)
    with ExitStack() as stack:
        silent = [stack.enter_context(node.client()) for _ in range(6)]
        for one in silent[2:]:
            assert one.rest() == b""
        sock = socket.create_connection(("127.0.0.1", node.port), PATIENCE_S, ("127.0.0.2", 0))
        with Wire(authority.trusting().wrap_socket(sock, server_hostname="shop.test")) as another:
            another.send(GET)
            with legacy.accept() as backend:
                backend.head()
                backend.send(OK)
                assert another.answer()[2] == b"ok"
        assert node.traffic.doors.greeting == 2
        assert node.count('strangler_limits_reached_total{limit="connections_per_client"}') == 4
        silent[0].leave()
        eventually(lambda: node.traffic.doors.greeting == 1, "its place is free")
        with secure(node, authority):
            pass


def test_an_upload_that_is_not_wanted_gets_its_answer_and_a_clean_end(
    start: Start, authority: Authority, legacy: RawBackend
) -> None:
    tls = ListenerTls(certificates=(authority.pair("shop.test"),))
    node = start(listener=Listener(tls=tls), limits=Limits(linger_s=0.3), path_of=authority.path_of)
    with secure(node, authority) as client:
        client.send(b"POST / HTTP/1.0\r\nHost: shop.test\r\nContent-Length: 1000000\r\n\r\nbegun")
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.0 403 No\r\n\r\nnot wanted")
            backend.leave()
        assert isinstance(client.sock, ssl.SSLSocket)
        raise_at_bare_end(client.sock)
        answer = client.rest()  # raises unless it ends with `close_notify`
    assert answer.startswith(b"HTTP/1.1 403 No\r\n")
    assert answer.endswith(b"not wanted")


@pytest.mark.parametrize("whole", [True, False])
def test_where_closing_is_the_end_only_a_whole_answer_gets_a_closure_alert(
    node: Node, authority: Authority, legacy: RawBackend, *, whole: bool
) -> None:
    with secure(node, authority) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        raise_at_bare_end(client.sock)
        client.send(b"GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n")
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            client.until(b"hello")
            if whole:
                backend.send(b"0\r\n\r\n")
        if whole:
            assert client.rest() == b""
        else:
            with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
                client.rest()


def test_an_answer_that_breaks_never_ends_cleanly(node: Node, authority: Authority, legacy: RawBackend) -> None:
    with secure(node, authority) as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            client.until(b"hello\r\n")
        assert b"0\r\n" not in client.rest()


def test_a_websocket_over_tls_passes_both_ways_and_the_end_of_one_side_is_the_end(
    node: Node, authority: Authority, legacy: RawBackend
) -> None:
    key = b"dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = (
        b"GET /chat HTTP/1.1\r\nHost: shop.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n" % key
    )
    granted = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept(key)
    )
    for first_to_leave in ("backend", "client"):
        with secure(node, authority) as client:
            client.send(upgrade)
            with legacy.accept() as backend:
                backend.head()
                backend.send(granted, b"first")
                client.head()
                assert client.exactly(5) == b"first"
                client.send(b"to the backend")
                assert backend.exactly(14) == b"to the backend"
                if first_to_leave == "backend":
                    backend.send(b"last")
                    backend.leave()
                    assert client.rest() == b"last"
                else:
                    client.send(b"last")
                    assert isinstance(client.sock, ssl.SSLSocket)
                    client.sock.unwrap()
                    assert backend.rest() == b"last"
    lines = [json.loads(line) for line in node.log_lines(2)]
    assert [line["closed_by"] for line in lines] == ["legacy", "client"]
    assert [line["fault"] for line in lines] == [None, None]


def test_draining_lets_a_handshake_that_was_begun_come_to_its_end(
    node: Node, authority: Authority, legacy: RawBackend
) -> None:
    with node.client() as client:
        context = authority.trusting()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secured = context.wrap_bio(incoming, outgoing, server_hostname="shop.test")
        with pytest.raises(ssl.SSLWantReadError):
            secured.do_handshake()
        hello = outgoing.read()
        client.send(hello[:10])
        eventually(lambda: node.traffic.doors.greeting, "it is accepted")
        ended = node.begin(node.traffic.drain(PATIENCE_S))
        eventually(lambda: node.traffic.draining, "draining")
        client.send(hello[10:])
        assert client.exactly(1) == b"\x16"
    ended.result(PATIENCE_S)
