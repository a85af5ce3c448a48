"""Who leaves early, who reads slowly, and what that does to the other side."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import pytest

from proxy.core.limits import Limits
from tests.traffic.wire import OK, Node, RawBackend, Wire, eventually, undated

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"

FLAT_BYTES = 16 << 20
"""More than kernel buffers on loopback and the proxy hold together; what is sent beyond must wait at its source."""


@pytest.mark.parametrize("go", [Wire.leave, Wire.reset, lambda wire: wire.sock.shutdown(1)])
def test_a_client_that_leaves_cancels_a_safe_request(
    node: Node, legacy: RawBackend, go: Callable[[Wire], None]
) -> None:
    client = node.client()
    client.send(GET)
    with legacy.accept() as backend:
        backend.head()
        go(client)
        assert backend.ends()
    (line,) = node.log_lines(1)
    told = json.loads(line)
    assert (told["status"], told["fault"]) == (499, "client-head-left")
    assert node.count('strangler_requests_total{area="-",backend="legacy",status="4xx"}') == 1
    assert node.count('strangler_faults_total{party="legacy"') == 0
    client.leave()


def test_a_client_that_leaves_lets_an_unsafe_request_run_to_its_end(node: Node, legacy: RawBackend) -> None:
    client = node.client()
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nhi")
    with legacy.accept() as backend:
        backend.head()
        client.leave()
        eventually(lambda: node.do(lambda: len(node.traffic.orphans)) == 1, "the client is missed")
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x" * 1_000_000)
        (line,) = node.log_lines(1)
        with node.client() as another:
            another.send(GET)
            assert backend.until(b"GET / ").endswith(b"GET / ")
            backend.head()
            backend.send(OK)
            assert another.answer()[2] == b"ok"
    assert json.loads(line)["status"] == 499


def test_a_request_without_a_client_ends_however_steadily_its_answer_trickles(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    node = start(legacy_options={"timeout_s": 0.5, "max_in_flight": 1})
    client = node.client()
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nhi")
    with legacy.accept() as backend:
        backend.head()
        client.leave()
        backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

        def cut_off() -> bool:
            with contextlib.suppress(OSError):
                backend.send(b"1\r\na\r\n")  # as often as is polled: never silent
            return node.traffic.in_flight == 0

        eventually(cut_off, "it is over")
    assert json.loads(node.log_lines(1)[0])["fault"] == "client-head-left"
    assert node.count('strangler_faults_total{party="legacy"') == 0
    with node.client() as another:
        another.send(GET)
        legacy.serves(another)


def test_a_body_cut_short_by_the_client_is_cut_at_the_backend(node: Node, legacy: RawBackend) -> None:
    client = node.client()
    client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    with legacy.accept() as backend:
        backend.head()
        backend.exactly(8)
        client.leave()
        assert backend.buffer == b""
        assert backend.sock.recv(100) == b""
    (line,) = node.log_lines(1)
    assert json.loads(line)["status"] == 499


def test_a_client_that_leaves_in_the_middle_of_an_answer_ends_it_at_the_backend(node: Node, legacy: RawBackend) -> None:
    client = node.client()
    client.send(GET)
    with legacy.accept() as backend:
        backend.head()
        backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        client.until(b"half")
        client.leave()
        assert backend.ends()
    (line,) = node.log_lines(1)
    assert (json.loads(line)["status"], json.loads(line)["fault"]) == (499, "client-body-left")


def fill(wire: Wire) -> int:
    """Send until the other side takes no more; how much that was."""
    sent = 0
    wire.sock.settimeout(1)
    try:
        while sent < 4 * FLAT_BYTES:
            sent += wire.sock.send(b"x" * 65536)
    except TimeoutError:
        pass
    wire.sock.settimeout(10)
    return sent


def test_a_client_that_reads_slowly_slows_the_backend_down_and_loses_nothing(node: Node, legacy: RawBackend) -> None:
    total = 4 * FLAT_BYTES
    with node.client(receive_bytes=65536) as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
            taken = fill(backend)
            assert taken < FLAT_BYTES
            client.head()
            read = 0
            backend.sock.setblocking(False)
            while read < total:
                if taken < total:
                    with contextlib.suppress(BlockingIOError):
                        taken += backend.sock.send(b"x" * min(65536, total - taken))
                read += len(client.buffer) or len(client.sock.recv(1 << 20))
                client.buffer = b""
            assert read == total
            backend.sock.settimeout(10)
            client.send(GET)
            assert backend.head()


def test_a_backend_that_reads_slowly_slows_the_client_down_and_loses_nothing(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n" % (8 * FLAT_BYTES))
        with legacy.accept() as backend:
            backend.head()
            taken = fill(client)
            assert taken < 2 * FLAT_BYTES
            read = len(backend.buffer)
            while read < taken:
                read += len(backend.sock.recv(1 << 20))
            assert read == taken


def test_a_client_that_stops_reading_is_given_up(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(limits=Limits(client_stall_s=0.2))
    with node.client(receive_bytes=65536) as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 * FLAT_BYTES))
            with pytest.raises(ConnectionError):
                backend.send(b"x" * 8 * FLAT_BYTES)
        (line,) = node.log_lines(1)
    assert json.loads(line)["fault"] == "client-body-timeout"


def test_pipelined_requests_beyond_a_bound_wait_in_the_socket(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            assert fill(client) < FLAT_BYTES
            backend.send(OK)
            assert client.answer()[2] == b"ok"


def test_draining_ends_idle_connections_and_lets_exchanges_finish(node: Node, legacy: RawBackend) -> None:
    with node.client() as idle, node.client() as busy:
        idle.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            idle.answer()
            busy.send(GET)
            backend.head()
            done = node.begin(node.traffic.drain(10))
            assert idle.rest() == b""
            backend.send(OK)
            assert undated(busy.rest()) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
            done.result(10)
            assert backend.ends() == "closed"


def test_a_request_on_its_way_on_an_idle_connection_is_answered_and_told_that_it_was_the_last(
    node: Node, legacy: RawBackend
) -> None:
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            client.answer()
            done = node.begin(node.traffic.drain(10))
            eventually(lambda: node.traffic.draining, "draining")
            client.send(GET)
            backend.head()
            backend.send(OK)
            assert undated(client.rest()) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        done.result(10)


def test_what_waits_in_the_accept_queue_is_answered_before_the_end(node: Node, legacy: RawBackend) -> None:
    node.do(node.stop_accepting)
    with node.client() as queued:
        queued.send(GET)
        done = node.begin(node.traffic.drain(10))
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            assert queued.rest().endswith(b"\r\n\r\nok")
        done.result(10)


def test_draining_ends_in_its_time(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            node.run(node.traffic.drain(0.1))
            assert backend.ends()
            client.ends()
    (line,) = node.log_lines(1)
    assert json.loads(line)["fault"] == "proxy-request-drained"
