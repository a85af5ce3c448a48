"""What breaks is told by its name, cut where it must be cut, and never ended cleanly."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from proxy.core.care.reaching import QueueCare
from proxy.core.http import message
from tests.traffic.wire import OK, Node, RawBackend, Wire, eventually, fault_of

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET http://other/ HTTP/1.1\r\nHost: shop\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Host\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
        (b"GET /" + b"a" * 20_000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    ],
)
def test_a_request_that_can_be_read_in_two_ways_reaches_no_backend(
    node: Node, legacy: RawBackend, request_head: bytes, status: int
) -> None:
    with node.client() as client:
        client.send(request_head)
        answer = client.rest()
    assert int(answer[9:12]) == status
    assert fault_of(answer).startswith(b"client-")
    assert b"\r\nX-Request-ID: " in answer
    assert not legacy.has_caller()
    (line,) = node.log_lines(1)
    assert json.loads(line)["status"] == status
    assert node.count("strangler_requests_total") == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"\x00",
        b"HTTP/2",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 103 Early Hints\r\n\r\n220 mail",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
    ],
)
def test_a_backend_that_speaks_no_clear_http_is_a_bad_gateway(node: Node, legacy: RawBackend, answer: bytes) -> None:
    with node.client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        with legacy.accept() as backend:
            backend.head()
            backend.send(answer)
            told = client.rest()
            assert (told[9:12], fault_of(told)) == (b"502", b"legacy-head-malformed")
            assert backend.ends()


def test_no_backend_there_is_a_bad_gateway_and_the_client_may_go_on(node: Node, new: RawBackend) -> None:
    new.stop_listening()
    with node.client() as client:
        for _ in range(2):
            client.send(b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n")
            status, head, _ = client.answer()
            assert (status, fault_of(head)) == (502, b"new-connect-unreachable")
    assert node.count('strangler_faults_total{party="new",stage="connect",kind="unreachable",backend="new"}') == 2


def test_a_name_that_dns_cannot_hold_is_a_bad_gateway(start: Callable[..., Node]) -> None:
    node = start(new=f"http://{'a' * 64}.internal:80")
    with node.client() as client:
        client.send(b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n")
        status, head, _ = client.answer()
        assert (status, fault_of(head)) == (502, b"new-connect-unreachable")


def test_being_out_of_descriptors_is_no_fault_of_a_backend(node: Node, legacy: RawBackend, new: RawBackend) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with node.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        with legacy.accept() as backend:  # the client's connection is there
            backend.head()
            backend.send(OK)
            assert client.answer()[0] == 200
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                client.send(b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n")
                status, head, _ = client.answer()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert (status, fault_of(head)) == (503, b"proxy-connect-busy")
        client.send(b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n")
        new.serves(client)
    assert node.count('strangler_faults_total{party="new",stage="connect",kind="unreachable",backend="new"}') == 0


def test_another_endpoint_is_asked_when_one_cannot_be_reached(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    new.stop_listening()
    node = start(legacy=(new.url, legacy.url))
    node.prefer(new.url)
    with node.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nhi")
        with legacy.accept() as backend:
            backend.head()
            assert backend.exactly(2) == b"hi"
            backend.send(OK)
            assert client.answer()[0] == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nha\r\nbroken",
    ],
)
def test_an_answer_cut_short_never_ends_cleanly(node: Node, legacy: RawBackend, answer: bytes) -> None:
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(answer)
        told = client.rest()
    assert not told.endswith(b"0\r\n\r\n")
    assert told.rpartition(b"\r\n\r\n")[2] != b"half56789"
    (line,) = node.log_lines(1)
    assert json.loads(line)["fault"].startswith("legacy-body-")


def test_an_answer_cut_short_resets_a_client_for_whom_closing_is_the_end(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf")
            client.head()
        assert client.ends() == "reset"


_A_PROCESS = """
import sys
from tests.traffic.wire import Node, a_plan
print(Node(a_plan(sys.argv[1], sys.argv[1])).port, flush=True)
sys.stdin.read()
"""


def test_half_an_answer_does_not_look_whole_when_the_proxy_is_killed(legacy: RawBackend) -> None:
    args = [sys.executable, "-c", _A_PROCESS, legacy.url]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with Wire(socket.create_connection(("127.0.0.1", int(process.stdout.readline())))) as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            with legacy.accept() as backend:
                backend.head()
                backend.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
                client.until(b"half")
                process.kill()
                assert client.ends() == "reset"


def test_an_answer_that_ends_by_closing_reaches_a_slow_reader_whole(node: Node, legacy: RawBackend) -> None:
    body = bytes(range(256)) * 60_000
    with node.client(receive_bytes=4096) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        with legacy.accept() as backend:
            backend.head()
            sender = threading.Thread(target=backend.send, args=(b"HTTP/1.1 200 OK\r\n\r\n", body), daemon=True)
            sender.start()
            client.head()
            got = client.exactly(len(body) - 70_000)  # what is left has gone to the kernel, or waits to be written
            sender.join()
        eventually(lambda: node.traffic.in_flight == 0, "the answer has ended")
        assert got + client.rest() == body


def test_a_backend_that_resets_an_answer_without_length_does_not_end_it(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(GET)
        backend = legacy.accept()
        backend.head()
        backend.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        client.until(b"half\r\n")
        backend.reset()
        assert client.rest() == b""


def test_a_full_backend_is_told_with_when_to_come_back(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(legacy_options={"max_in_flight": 3, "queue": QueueCare(most=0)}, share=2)
    with node.client() as first, node.client() as second, node.client() as third:
        first.send(GET)
        second.send(GET)
        eventually(lambda: node.do(lambda: node.traffic.in_flight) == 2, "two requests in flight")
        third.send(GET)
        status, head, _ = third.answer()
        assert (status, fault_of(head)) == (503, b"legacy-connect-busy")
        assert b"\r\nRetry-After: 1\r\n" in head
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            eventually(lambda: node.do(lambda: node.traffic.in_flight) == 1, "one is answered")
            third.send(GET)
            backend.head()
            backend.send(OK)
            assert third.answer()[0] == 200


@pytest.mark.skipif(message.__file__.endswith(".so"), reason="compiled modules call each other without asking a name")
def test_a_defect_of_ours_is_told_as_ours_and_ends_one_exchange_alone(
    node: Node, legacy: RawBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with node.client() as client, node.client() as another:
        with monkeypatch.context() as broken:
            broken.setattr("proxy.traffic.exchanges.exchange.decide", breaks)
            client.send(GET)
            answer = client.rest()
        assert (answer[9:12], fault_of(answer)) == (b"500", b"proxy-request-failed")
        assert "ZeroDivisionError" in caplog.text
        another.send(GET)
        with legacy.accept() as backend:
            backend.head()
            with monkeypatch.context() as broken:
                broken.setattr("proxy.traffic.exchanges.answer.read_answer_head", breaks)
                backend.send(OK)
                assert another.rest()[9:12] == b"500"
    assert node.do(lambda: node.traffic.in_flight) == 0


def test_a_connection_that_is_made_just_too_late_is_closed_and_counted_as_closed(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    node = start(legacy_options={"connect_s": 1e-6})
    with node.client() as client:
        client.send(GET)
        assert client.answer()[0] == 504
    with legacy.accept() as backend:
        assert backend.ends() == "closed"
    assert node.count("strangler_backend_connections_opened_total") == 1  # else this test shows nothing
    assert node.count("strangler_backend_connections_open{") == 0
