"""A load at a constant rate: a wait counts from the moment when the request was due, and a failure is never a figure."""

from __future__ import annotations

import itertools
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.waits import Waits, asked, steady
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("measurable")

STALL_S = 0.3


class Backend(socketserver.ThreadingTCPServer):
    """Answers every request; the 20th only after a stall, or with another status."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *, stalls: bool = False, refuses: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.stalls = stalls
        self.refuses = refuses
        self.asked = 0
        self.never = threading.Event()


class _Answers(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        backend = self.server
        assert isinstance(backend, Backend)
        while self.request.recv(65536):
            backend.asked += 1
            if backend.stalls and backend.asked == 20:
                backend.never.wait(STALL_S)
            status = b"503 Busy" if backend.refuses and backend.asked == 20 else b"200 OK"
            self.request.sendall(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\nok" % status)


@contextmanager
def served(serving: Backend) -> Iterator[None]:
    running = threading.Thread(target=serving.serve_forever)
    running.start()
    try:
        yield
    finally:
        serving.shutdown()
        running.join()


@contextmanager
def backend(**kind: bool) -> Iterator[int]:
    with Backend(**kind) as serving, served(serving):
        yield serving.server_address[1]


def test_what_was_due_during_a_stall_has_waited_since(tmp_path: Path) -> None:
    with backend(stalls=True) as port:
        waits = asked(tmp_path, port, ["/"], rate=100, connections=1, seconds=1)
    assert len(waits.pairs) == 100
    stalled = [wait_s for _, wait_s in waits.pairs if wait_s > STALL_S / 3]
    # On one connection in a closed loop a single request would tell of the stall; here all that were due in it do.
    assert len(stalled) >= 15
    assert waits.quantile_ms(1) >= STALL_S * 1_000


def test_requests_are_due_evenly_however_late_the_answers_are(tmp_path: Path) -> None:
    with backend(stalls=True) as port:
        waits = asked(tmp_path, port, ["/"], rate=100, connections=1, seconds=1)
    due = sorted(due_s for due_s, _ in waits.pairs)
    assert [later - sooner for sooner, later in itertools.pairwise(due)] == pytest.approx([0.01] * 99)


def test_an_answer_that_is_no_success_fails_the_measurement(tmp_path: Path) -> None:
    with backend(refuses=True) as port, pytest.raises(RuntimeError, match="status 503"):
        asked(tmp_path, port, ["/"], rate=100, connections=1, seconds=0.5)


def test_a_load_without_end_ends_with_its_block(tmp_path: Path) -> None:
    with (
        Backend() as serving,
        served(serving),
        steady(tmp_path, serving.server_address[1], ["/"], rate=200, connections=2) as waits,
    ):
        until(lambda: serving.asked > 2, "some requests")  # so that at least one of them was answered
    assert waits.pairs
    assert max(due_s for due_s, _ in waits.pairs) <= time.monotonic()


def test_a_span_takes_in_what_waited_into_it() -> None:
    waits = Waits(pairs=[(1.0, 0.1), (1.9, 0.3), (2.1, 0.1), (5.0, 0.1)])
    assert waits.within([(2.0, 3.0)]).pairs == [(1.9, 0.3), (2.1, 0.1)]
    assert waits.quantile_ms(0.5) == pytest.approx(100)
    assert waits.quantile_ms(1) == pytest.approx(300)
