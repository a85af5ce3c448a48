"""With few file descriptors: who comes beyond them waits, nobody is refused, and no processor is spent on it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.node import cpu_s
from tests.app.node import Config, Node
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("sh") is None, reason="needs Linux's /proc and a shell with ulimit"
)

DESCRIPTORS = 200
CLIENTS = 300
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Patient(socketserver.ThreadingTCPServer):
    """Answers every request, but `/slow` only once it is let go."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self) -> None:
        self.let_go = threading.Event()
        super().__init__(("127.0.0.1", 0), _Patiently)


class _Patiently(socketserver.StreamRequestHandler):
    server: Patient

    def handle(self) -> None:
        slow = False
        with contextlib.suppress(ConnectionError):
            while line := self.rfile.readline():
                slow = slow or b"/slow" in line
                if line == b"\r\n":
                    if slow:
                        self.server.let_go.wait(30)
                        slow = False
                    self.wfile.write(OK)


@contextlib.contextmanager
def few_descriptors(root: Path) -> Iterator[tuple[Node, Patient, Patient]]:
    with Patient() as legacy, Patient() as new:
        urls = []
        for backend in (legacy, new):
            threading.Thread(target=backend.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            urls.append(f"http://127.0.0.1:{backend.server_address[1]}")
        command = ("sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$0" "$@"', sys.executable, "-m", "proxy")
        running = Node(Config(root / "config", *urls), root / "state", "--drain", "5", command=command)
        try:
            yield running.wait_ready(), legacy, new
        finally:
            for backend in (legacy, new):
                backend.let_go.set()
            running.end()
            for backend in (legacy, new):
                backend.shutdown()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode()


def answered(sock: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"ok"):
        data = sock.recv(4096)
        assert data, f"closed after {got!r}"
        got += data
    return got[:12]


def test_more_clients_than_there_are_descriptors_wait_and_are_all_served(tmp_path: Path) -> None:
    with few_descriptors(tmp_path) as (node, legacy, _), contextlib.ExitStack() as clients:
        worker = node.worker_pid()
        port = int(node.url.rpartition(":")[2])
        socks = []
        for _ in range(CLIENTS):
            sock = clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            sock.sendall(get("/slow"))
            socks.append(sock)
        open_now = "strangler_client_connections_open"
        taken = int(
            until(
                lambda: node.metric(open_now) >= (DESCRIPTORS - 64) // 2 and node.metric(open_now),
                "all places are taken",
            )
        )
        assert taken == (DESCRIPTORS - 64) // 2
        used_s, began = cpu_s([worker]), node.metric("strangler_limits_reached_total")
        for _ in range(20):  # some time passes, with 200 who wait at the door
            node.metric(open_now)
            threading.Event().wait(0.05)
        assert cpu_s([worker]) - used_s < 0.5
        assert began == 1
        assert node.metric(open_now) == taken
        legacy.let_go.set()
        for sock in socks:
            assert answered(sock) == b"HTTP/1.1 200"
            sock.close()
        assert node.metric("strangler_faults_total") == 0


def test_connections_that_idle_at_one_system_leave_their_descriptors_to_the_other(tmp_path: Path) -> None:
    with few_descriptors(tmp_path) as (node, legacy, new), contextlib.ExitStack() as clients:
        port = int(node.url.rpartition(":")[2])
        places = (DESCRIPTORS - 64) // 2
        legacy.let_go.clear()
        socks = [
            clients.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(places)
        ]
        for path, backend in (("/slow", legacy), ("/help/slow", new)):
            for sock in socks:
                sock.sendall(get(path))
            until(lambda: node.metric("strangler_requests_in_flight") == places, "all are under way at once")
            backend.let_go.set()
            assert [answered(sock) for sock in socks] == [b"HTTP/1.1 200"] * places
        assert node.metric("strangler_faults_total") == 0
