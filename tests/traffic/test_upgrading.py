"""WebSockets asked for, and granted by a valid 101 alone."""

from __future__ import annotations

import pytest

from proxy.core.http.websocket import accept
from tests.traffic.lasting import ACCEPT, GRANTED, KEY, asking, granting, passes
from tests.traffic.test_leaving import FLAT_BYTES, fill
from tests.traffic.wire import OK, Node, RawBackend


def test_a_valid_101_makes_a_tunnel_and_all_but_the_connection_s_own_passes_untouched(
    node: Node, legacy: RawBackend
) -> None:
    extension = b"permessage-deflate; client_max_window_bits"
    with node.client() as client:
        client.send(asking(Sec_WebSocket_Extensions=extension, sec_webSocket_protocol=b"chat, superchat"))
        with legacy.accept() as server:
            asked = server.head()
            for line in (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: " + KEY):
                assert asked.count(b"\r\n" + line + b"\r\n") == 1
            assert b"\r\nSec-WebSocket-Extensions: " + extension in asked
            assert b"\r\nsec-webSocket-protocol: chat, superchat\r\n" in asked
            assert asked.lower().count(b"connection:") == asked.lower().count(b"upgrade:") == 1
            server.send(GRANTED, b"at once")
            told = client.head()
            assert told.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            for line in GRANTED.split(b"\r\n")[1:-2]:
                assert told.count(line) == 1
            assert client.exactly(7) == b"at once"
            passes(client, server)


def test_who_waits_for_100_and_a_websocket_hears_both_from_the_backend_in_this_order(
    node: Node, legacy: RawBackend
) -> None:
    with node.client() as client:
        client.send(asking(Expect=b"100-continue"))
        with legacy.accept() as server:
            assert b"\r\nexpect: 100-continue\r\n" in server.head().lower()
            server.send(b"HTTP/1.1 100 Continue\r\n\r\n", GRANTED)
            assert client.head().startswith(b"HTTP/1.1 100 ")
            assert client.head().startswith(b"HTTP/1.1 101 ")
            passes(client, server)


def test_the_accept_that_is_asked_for_is_that_of_the_rfc() -> None:
    assert accept(KEY) == ACCEPT


@pytest.mark.parametrize(
    "wrong",
    [
        granting(accepted=b"x" + ACCEPT[1:]),
        granting(upgrade=b"h2c"),
        granting(upgrade=b"websocket, h2c"),
        granting(connection=b"close"),
        granting(version=b"1.0"),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        GRANTED.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Accept: %b\r\n\r\n" % ACCEPT),
    ],
)
def test_any_other_101_is_a_502_and_no_byte_behind_it_passes(node: Node, legacy: RawBackend, wrong: bytes) -> None:
    with node.client() as client:
        client.send(asking())
        with legacy.accept() as server:
            server.head()
            server.send(wrong, b"secret")
            status, head, body = client.answer()
            assert (status, b"legacy-head-malformed" in head, b"secret" in body) == (502, True, False)
            server.ends()
        client.send(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        with legacy.accept() as server:
            assert server.head().startswith(b"GET / ")


@pytest.mark.parametrize(
    "request_head",
    [
        asking(Upgrade=b"h2c", HTTP2_Settings=b"AAMAAABkAAQAAP__"),
        asking(Connection=b"keep-alive"),
        asking(Sec_WebSocket_Key=None),
        asking(Sec_WebSocket_Version=None),
        asking(sec_websocket_key=KEY),
        asking(Connection=b"Upgrade, Sec-WebSocket-Key"),
        asking().replace(b"HTTP/1.1", b"HTTP/1.0"),
        asking().replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"),
        asking(Content_Length=b"2") + b"hi",
    ],
)
def test_what_does_not_ask_properly_is_a_plain_request_and_its_101_a_502(
    node: Node, legacy: RawBackend, request_head: bytes
) -> None:
    with node.client() as client:
        client.send(request_head)
        with legacy.accept() as server:
            asked = server.head().lower()
            assert b"\r\nupgrade:" not in asked
            assert b"connection:" not in asked
            server.send(GRANTED)
            assert client.answer()[0] == 502


def test_of_several_protocols_websocket_alone_is_passed_on(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(asking(Upgrade=b"h2c, WebSocket"))
        with legacy.accept() as server:
            assert b"\r\nUpgrade: websocket\r\n" in server.head()


def test_any_other_answer_is_relayed_and_the_connection_goes_on(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(asking(Sec_WebSocket_Version=b"8"))
        with legacy.accept() as server:
            server.head()
            server.send(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 3\r\n\r\nold")
            status, head, body = client.answer()
            assert (status, b"Sec-WebSocket-Version: 13" in head, body) == (426, True, b"old")
            client.send(asking())
            server.head()
            server.send(GRANTED)
            client.head()
            passes(client, server)
    assert node.count('strangler_backend_connections_opened_total{backend="legacy"}') == 1


@pytest.mark.parametrize("in_one_piece", [True, False])
def test_what_comes_before_the_101_is_held_and_then_sent(node: Node, legacy: RawBackend, *, in_one_piece: bool) -> None:
    with node.client() as client:
        client.send(asking(), b"early" if in_one_piece else b"")
        with legacy.accept() as server:
            server.head()
            if not in_one_piece:
                client.send(b"early")
            server.sock.settimeout(0.1)
            with pytest.raises(TimeoutError):
                server.sock.recv(1)
            server.sock.settimeout(10)
            server.send(GRANTED)
            assert server.exactly(5) == b"early"
            client.head()
            passes(client, server)


def test_what_is_held_is_bounded_and_none_of_it_is_lost(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(asking())
        with legacy.accept() as server:
            server.head()
            sent = fill(client)
            assert sent < FLAT_BYTES
            server.send(GRANTED)
            client.head()
            assert server.exactly(sent) == b"x" * sent


def test_what_came_early_is_never_read_as_a_request_when_the_upgrade_is_refused(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(asking(), b"GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n")
        with legacy.accept() as server:
            server.head()
            server.send(OK)
            status, head, body = client.answer()
            assert (status, b"\r\nConnection: close\r\n" in head, body) == (200, True, b"ok")
            assert client.rest() == b""
    assert len(node.log_lines(1)) == 1
