"""What a worker takes stays below what is computed from its configuration, whatever clients and backends do."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.memory import private_bytes
from proxy.config.compile import compile_files
from proxy.config.text.files import read_files
from proxy.core.footprint import footprint
from proxy.core.plan import Plan
from tests.app.node import Config, Node
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux: /proc tells what memory is private"
)

CONNECTIONS = 20  # the fewer, the more weighs what is no connection's: the stricter
ROUTES = """\
version: 1
backends:
  legacy: {{url: "{legacy}", timeout: 1h, min_rate: off}}
  new: {{url: "{new}", timeout: 1h, min_rate: off}}
identity: {{account: "cookie:acct"}}
segments: {{pilots: {{accounts: pilots.txt}}}}
limits: {{connections: {connections}, rated_accounts: 4096, stall: 1h, body_timeout: 1h, min_rate: off}}
rate: {{account: 1000000/s}}
areas: {{orders: {{routes: [{{path: /orders}}]}}}}
cache: off
otherwise: legacy
"""

STILL_S = 0.6  # memory that hasn't grown for so long isn't growing
A_SHORT_PATH = b"/" + b"/ab" * 5300
_random = random.Random(5)


def lines(count: int, size: int, name: str = "X") -> bytes:
    """Header lines that nobody has seen before."""
    return b"".join(b"%b-%d: %b\r\n" % (name.encode(), _random.getrandbits(40), b"v" * size) for _ in range(count))


def full_head(method: bytes, framing: bytes = b"") -> bytes:
    """A request's head as large as it may be."""
    start = b"%b %b HTTP/1.1\r\nHost: shop\r\n%b" % (method, A_SHORT_PATH, framing)
    return start + lines(80, (65_000 - len(start)) // 80 - 20) + b"\r\n"


class Hostile:
    """A backend that reads nothing, or nothing but one head, and answers without end where it is told to."""

    def __init__(self, *, answers: bool) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self._answers = answers
        self._held: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listening.accept()
                self._held.append(sock)
                if self._answers:
                    threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    @staticmethod
    def _answer(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.recv(1)
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + lines(200, 280) + b"\r\n"
            sock.sendall(head + b"1\r\na\r\n" * 200_000)
            while True:
                sock.sendall(b"40000\r\n" + b"z" * 0x40000 + b"\r\n")

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # it is what ends an accept in another thread
        self._accepting.join()
        self._listening.close()
        for sock in self._held:
            sock.close()


def grown_to(pid: int, push: Callable[[], None]) -> int:
    """Private memory of a process, in bytes, once something that is done again and again makes it grow no more."""
    most = private_bytes([pid])
    since_s = time.monotonic()
    pause = threading.Event()
    while time.monotonic() - since_s < STILL_S:
        push()
        pause.wait(0.02)
        now = private_bytes([pid])
        if now > most * 1.005:
            since_s = time.monotonic()
        most = max(most, now)
    return most


@contextlib.contextmanager
def serving(root: Path, backend_url: str) -> Iterator[tuple[Node, Plan]]:
    config = Config(root / "config", backend_url, backend_url)
    config.contents["routes.yaml"] = ROUTES.format(legacy=backend_url, new=backend_url, connections=CONNECTIONS)
    config.swap()
    log = root / "access.log"
    os.mkfifo(log)
    nobody_reads = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    node = Node(config, root / "state", "--drain", "0", "--access-log", str(log))
    try:
        node.wait_ready()
        plan = compile_files(read_files(config.routes, config.flags)).plan
        assert plan is not None
        yield node, plan
    finally:
        node.end()
        os.close(nobody_reads)


PIPELINED = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n" * 20_000
CHUNKS = b"1\r\na\r\n" * 50_000
LARGE = b"100000\r\n" + b"u" * 0x100000 + b"\r\n"
CHUNKED = full_head(b"PUT", b"Transfer-Encoding: chunked\r\n")


@pytest.mark.parametrize(
    ("answers", "begin", "go_on"),
    [
        pytest.param(True, full_head(b"GET"), PIPELINED, id="pipelined behind answers that nobody takes"),
        pytest.param(False, CHUNKED, CHUNKS, id="uploads in the smallest chunks that nobody takes"),
        pytest.param(True, CHUNKED, LARGE, id="uploads and answers that nobody takes"),
    ],
)
def test_connections_that_all_do_their_worst_take_less_than_was_computed(
    tmp_path: Path, *, answers: bool, begin: bytes, go_on: bytes
) -> None:
    with (
        contextlib.closing(Hostile(answers=answers)) as backend,
        serving(tmp_path, backend.url) as (node, plan),
        contextlib.ExitStack() as clients,
    ):
        port = int(node.url.rpartition(":")[2])
        socks = [clients.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(CONNECTIONS)]
        pid = node.worker_pid()
        left = dict.fromkeys(socks, begin)
        for sock in socks:
            sock.setblocking(False)

        def push() -> None:
            for sock in socks:
                with contextlib.suppress(BlockingIOError):
                    left[sock] = left[sock][sock.send(left[sock]) :] or go_on

        def all_in_flight() -> bool:
            push()
            return node.metric("strangler_requests_in_flight") == CONNECTIONS

        before = private_bytes([pid])
        until(all_in_flight, "all of them in flight")
        grown = grown_to(pid, push) - before
        bound = footprint(plan)
        assert bound.connections == CONNECTIONS
        # What is shared isn't what is tried here: connections alone must stay below what is computed for them.
        assert CONNECTIONS * 250_000 < grown < CONNECTIONS * bound.connection_bytes, f"{grown / 2**20:.1f} MiB"


class Inventive(socketserver.StreamRequestHandler):
    """Answers each request with a head like none before."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            if line == b"\r\n":
                said = b"HTTP/1.1 200 %x" % _random.getrandbits(400)
                self.wfile.write(said + b"\r\nContent-Length: 0\r\n" + lines(4, 60, "N" * 100) + b"\r\n")


def unheard_of() -> bytes:
    """A request in which everything is new that a worker could remember."""
    name = b"%x" % _random.getrandbits(400)
    options = b", ".join(b"%x" % _random.getrandbits(100) for _ in range(4))
    return (
        b"GET /%b HTTP/1.1\r\nHost: %b\r\nConnection: %b\r\nCookie: acct=%b\r\n" % (b"\xff" * 900, name, options, name)
        + lines(4, 30, "H" * 90)
        + b"\r\n"
    )


def send(client: socket.socket, requests: int) -> None:
    for _ in range(requests):
        client.sendall(unheard_of())


def test_what_a_worker_remembers_of_requests_takes_less_than_was_computed(tmp_path: Path) -> None:
    requests = 5000  # each with a host, options and four header lines of its own: more than is remembered of each
    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Inventive) as backend,
        serving(tmp_path, f"http://127.0.0.1:{backend.server_address[1]}") as (node, plan),
    ):
        backend.daemon_threads = True
        threading.Thread(target=backend.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        with socket.create_connection(("127.0.0.1", int(node.url.rpartition(":")[2]))) as client:
            pid = node.worker_pid()
            before = private_bytes([pid])
            sending = threading.Thread(target=send, args=(client, requests), daemon=True)
            sending.start()
            answered, tail = 0, b""
            while answered < requests:
                data = client.recv(1 << 16)
                assert data, "closed"
                answered += (tail + data).count(b"HTTP/1.1 200 ") - tail.count(b"HTTP/1.1 200 ")
                tail = data[-12:]
            sending.join()
            grown = private_bytes([pid]) - before
        bound = footprint(plan)
        assert 10 * 2**20 < grown < bound.shared_bytes, f"{grown / 2**20:.1f} of {bound.shared_bytes / 2**20:.1f} MiB"
        until(lambda: node.metric("strangler_log_lines_dropped_total") > 0, "the log holding as much as it may")
        backend.shutdown()
