"""A body in tiny chunks takes much work for few bytes: it is done in turns, and the others have theirs in between."""

from __future__ import annotations

import contextlib
import threading

import pytest

from proxy.core.http.body import LINES_A_TURN
from tests.traffic.wire import OK, Node, RawBackend, Wire, eventually

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
HEADS = (
    b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
)

LARGE = bytes(range(256)) * 1024
MIXED = [*(bytes([i % 251]) for i in range(2500)), LARGE] * 80
"""20 MiB, more than kernel buffers on loopback hold, with thousands of one-byte chunks between the large ones."""


def on_the_wire(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def chunks(wire: Wire) -> list[bytes]:
    """All chunks of a body, up to its end."""
    found = []
    while size := int(wire.until(b"\r\n"), 16):
        found.append(wire.exactly(size))
        assert wire.exactly(2) == b"\r\n"
    assert wire.exactly(2) == b"\r\n"
    return found


def sending(wire: Wire, *pieces: bytes) -> threading.Thread:
    thread = threading.Thread(target=wire.send, args=pieces, daemon=True)
    thread.start()
    return thread


def test_no_turn_reads_more_tiny_chunks_of_a_request_than_its_share(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        thread = sending(client, HEADS[0], on_the_wire([b"a"] * 50_000), GET)
        with legacy.accept() as backend:
            backend.head()
            got = chunks(backend)
            assert b"".join(got) == b"a" * 50_000
            assert max(map(len, got)) <= LINES_A_TURN
            backend.send(OK)
            assert client.answer()[2] == b"ok"
            assert backend.head().startswith(b"GET / ")  # what was pipelined behind it came in order
            thread.join()


def test_no_turn_reads_more_tiny_chunks_of_an_answer_than_its_share(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            thread = sending(backend, HEADS[1], on_the_wire([b"a"] * 50_000))
            client.head()
            got = chunks(client)
            assert b"".join(got) == b"a" * 50_000
            assert max(map(len, got)) <= LINES_A_TURN
            thread.join()
            client.send(GET)
            backend.head()  # the connection is read again, and used again
            backend.send(OK)
            assert client.answer()[2] == b"ok"


@pytest.mark.parametrize("way", ["up", "down"])
def test_turns_and_a_slow_reader_lose_and_reorder_nothing(node: Node, legacy: RawBackend, way: str) -> None:
    body = on_the_wire(MIXED)
    with node.client(receive_bytes=4096) as client:
        client.send(HEADS[0] if way == "up" else GET)
        with legacy.accept() as backend:
            backend.head()
            source, sink = (client, backend) if way == "up" else (backend, client)
            thread = sending(source, b"" if way == "up" else HEADS[1], body)
            eventually(lambda: node.do(lambda: paused(node)), "the reader is found slow")
            if way == "down":
                client.head()
            assert b"".join(chunks(sink)) == b"".join(MIXED)
            thread.join()
            if way == "up":
                backend.send(OK)
                assert client.answer()[2] == b"ok"


def paused(node: Node) -> bool:
    """Whether one side doesn't take what is there for it."""
    (client,) = node.traffic._clients
    exchange = client.exchange
    assert exchange is not None
    connection = exchange._connection
    return not client.writable or (connection is not None and not connection.writable)


def test_a_client_that_leaves_between_two_turns_leaves_nothing_behind(node: Node, legacy: RawBackend) -> None:
    for _ in range(5):
        client = node.client()
        client.send(HEADS[0], on_the_wire([b"a"] * 20_000)[:-5])
        with legacy.accept() as backend:
            backend.head()
            client.reset()
            backend.ends()
    eventually(lambda: node.traffic.in_flight == 0, "all are over")
    assert node.count('strangler_faults_total{party="proxy"') == 0


def test_an_orphans_answer_in_tiny_chunks_is_read_to_its_end(node: Node, legacy: RawBackend) -> None:
    client = node.client()
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nhi")
    with legacy.accept() as backend:
        backend.head()
        backend.exactly(2)
        thread = sending(backend, HEADS[1], on_the_wire([b"a"] * 50_000))
        client.head()
        client.leave()
        thread.join()
        eventually(lambda: node.traffic.in_flight == 0, "it is over")
        with node.client() as another:
            another.send(GET)
            backend.head()
            backend.send(OK)
            assert another.answer()[2] == b"ok"


def test_who_pipelines_without_end_and_reads_nothing_is_read_no_further_than_is_answered(
    node: Node, legacy: RawBackend
) -> None:
    legacy.stop_listening()
    largest = 0
    with node.client(receive_bytes=4096) as client:
        client.sock.setblocking(False)

        def held() -> tuple[bool, int]:
            (one,) = node.traffic._clients
            return one._paused and not one.writable, len(one._buffer) + one.transport.get_write_buffer_size()

        def stands() -> bool:
            nonlocal largest
            with contextlib.suppress(BlockingIOError):
                client.sock.send(GET * 2000)
            stands, held_bytes = node.do(held)
            largest = max(largest, held_bytes)
            return stands

        eventually(stands, "the proxy reads no more")
    assert largest < 1024 * 1024
