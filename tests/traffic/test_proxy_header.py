"""PROXY headers on real sockets: believed from listed peers, demanded of them, and nobody else's are looked at."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.core.plan import Identity, Listener, ListenerTls
from proxy.traffic.clients.client import ClientConnection
from tests.certificates import Authority
from tests.traffic.wire import OK, PATIENCE_S, Node, RawBackend, Wire, eventually

GET = b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
TOLD = b"PROXY TCP4 192.0.2.7 198.51.100.1 51000 443\r\n"
BINARY = (
    b"\r\n\r\n\x00\r\nQUIT\n"
    + struct.pack("!BBH", 0x21, 0x11, 15)
    + bytes([192, 0, 2, 7, 1, 1, 1, 1, 0, 1, 0, 2, 4, 0, 0])
)
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n" + struct.pack("!BBH", 0x20, 0, 0)

Start = Callable[..., Node]


@pytest.fixture
def node(start: Start) -> Node:
    return start(listener=Listener(proxy_protocol_from=("127.0.0.0/8",), handshake_s=PATIENCE_S))


@pytest.mark.parametrize(("header", "source"), [(TOLD, b"192.0.2.7"), (BINARY, b"192.0.2.7"), (LOCAL, b"127.0.0.1")])
def test_who_is_told_by_a_listed_peer_is_the_client(
    node: Node, legacy: RawBackend, header: bytes, source: bytes
) -> None:
    with node.client() as client:
        client.send(header, GET)
        with legacy.accept() as backend:
            head = backend.head()
            assert head.startswith(b"GET / HTTP/1.1\r\n")
            assert b"\r\nX-Forwarded-For: %b\r\n" % source in head
            backend.send(OK)
        assert client.answer()[0] == 200


def test_a_header_that_comes_byte_by_byte_is_read_and_not_one_byte_more(node: Node, legacy: RawBackend) -> None:
    for header in (TOLD, BINARY):
        with node.client() as client:
            for i in range(len(header)):
                client.send(header[i : i + 1])
            client.send(GET)
            with legacy.accept() as backend:
                assert b"\r\nX-Forwarded-For: 192.0.2.7\r\n" in backend.head()
                backend.send(OK)
            assert client.answer()[0] == 200


def test_trust_is_a_matter_of_who_is_told_and_not_of_who_tells(start: Start, legacy: RawBackend) -> None:
    node = start(
        listener=Listener(proxy_protocol_from=("127.0.0.1",)), identity=Identity(trusted_from=("127.0.0.1/32",))
    )
    with node.client() as client:
        client.send(TOLD, b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
        with legacy.accept() as backend:
            assert b"\r\nX-Forwarded-For: 192.0.2.7\r\n" in backend.head()
            backend.send(OK)
        assert b"X-Strangler" not in client.answer()[1]


def test_a_listed_peer_without_a_header_is_closed_and_counted(node: Node, legacy: RawBackend) -> None:
    for said in (GET, b"PROXY TCP4 nobody\r\n" + GET):
        with node.client() as client:
            client.send(said)
            assert client.ends() in ("closed", "reset")
    malformed = 'strangler_faults_total{party="client",stage="connect",kind="malformed"'
    eventually(lambda: node.count(malformed) == 2, "both were counted")
    assert not legacy.has_caller()


def test_the_header_of_a_peer_that_is_not_listed_is_never_read_as_one(start: Start, legacy: RawBackend) -> None:
    node = start(listener=Listener(proxy_protocol_from=("192.0.2.0/24",)))
    with node.client() as client:
        client.send(TOLD, GET)
        assert client.rest().startswith(b"HTTP/1.1 400 ")
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in backend.head()
            backend.send(OK)
        assert client.answer()[0] == 200


def test_a_listed_peer_that_says_nothing_is_let_go_after_a_while(start: Start) -> None:
    node = start(listener=Listener(proxy_protocol_from=("127.0.0.1",), handshake_s=0.1))
    with node.client() as client:
        client.send(TOLD[:9])
        assert client.ends() in ("closed", "reset")
    late = 'strangler_faults_total{party="client",stage="connect",kind="timeout"'
    eventually(lambda: node.count(late) == 1, "it was counted")


def test_the_header_stands_before_tls(start: Start, tmp_path: Path, legacy: RawBackend) -> None:
    authority = Authority(tmp_path)
    node = start(
        listener=Listener(
            tls=ListenerTls(certificates=(authority.pair("shop.test"),)), proxy_protocol_from=("127.0.0.1",)
        ),
        path_of=authority.path_of,
    )
    sock = socket.create_connection(("127.0.0.1", node.port), PATIENCE_S)
    sock.sendall(BINARY)
    with Wire(authority.trusting().wrap_socket(sock, server_hostname="shop.test")) as client:
        assert isinstance(client.sock, ssl.SSLSocket)
        client.send(GET)
        with legacy.accept() as backend:
            head = backend.head()
            assert b"\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n" in head
            backend.send(OK)
        assert client.answer()[0] == 200


def test_connections_that_only_connect_are_not_told_as_broken(node: Node) -> None:
    node.client().leave()
    left = 'strangler_faults_total{party="client",stage="connect",kind="left"'
    eventually(lambda: node.count(left) == 1, "it was counted")
    assert node.log_path is not None
    assert [json.loads(line) for line in node.log_path.read_bytes().splitlines()] == []


def test_whoever_is_taken_in_just_too_late_is_forgotten_when_gone(start: Start) -> None:
    node = start(listener=Listener(proxy_protocol_from=("127.0.0.1",), handshake_s=1e-6))
    for _ in range(20):
        with node.client() as client:
            client.send(TOLD)
            with contextlib.suppress(OSError):  # it may be gone already
                client.sock.shutdown(socket.SHUT_WR)
                client.ends()
    eventually(lambda: node.do(lambda: len(node.traffic._clients)) == 0, "nobody is there")


def test_a_client_that_is_given_up_in_the_turn_in_which_it_is_taken_in_is_forgotten(node: Node) -> None:
    (entrance, _), *_ = node.traffic.doors._entrances

    async def given_up() -> tuple[int, int]:
        before, after = socket.socketpair()
        after.setblocking(False)
        with before, after:
            task = asyncio.create_task(entrance._take_in(ClientConnection(node.traffic, "192.0.2.7"), after))
            for _ in range(2):
                await asyncio.sleep(0)
            there = len(node.traffic._clients)
            task.cancel()
            await asyncio.wait([task])
        return there, len(node.traffic._clients)

    assert node.run(given_up()) == (1, 0)
