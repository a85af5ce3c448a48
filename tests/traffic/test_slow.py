"""Who sends or takes a byte now and then isn't silent, and is ended all the same; who waits for another isn't slow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.limits import Limit, Limits
from proxy.traffic.exchanges.pace import Pace
from tests.traffic.wire import OK, Node, RawBackend, Wire, eventually

Start = Callable[..., Node]

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
UPLOAD = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000000\r\n\r\n"
TICKS = 6
"""Longer than every limit here."""


@contextmanager
def trickling(wire: Wire, piece: bytes) -> Iterator[threading.Event]:
    """One side sends a piece every 50 ms, several in each tick, until it can't; the event says that it is over."""
    over = threading.Event()

    def trickle() -> None:
        while not over.wait(0.05):
            try:
                wire.send(piece)
            except OSError:
                over.set()

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    try:
        yield over
    finally:
        over.set()
        thread.join()


def some_ticks_later(node: Node) -> None:
    began = node.traffic.tick
    eventually(lambda: node.traffic.tick > began + TICKS, "some ticks later")


def reached(node: Node) -> dict[Limit, int]:
    counts = {limit: node.count(f'strangler_limits_reached_total{{limit="{limit}"}}') for limit in Limit}
    return {limit: count for limit, count in counts.items() if count}


def sipping(wire: Wire) -> threading.Thread:
    """Take 4 KiB every 20 ms, until everything is there or the connection ends: about 200 KB/s."""

    def sip() -> None:
        pause = threading.Event()
        try:
            while wire.sock.recv(4096):
                pause.wait(0.02)
        except OSError:
            pass

    thread = threading.Thread(target=sip, daemon=True)
    thread.start()
    return thread


def test_a_head_that_trickles_is_late_all_the_same(start: Start) -> None:
    node = start(limits=Limits(head_s=0.3))
    with node.client() as client:
        client.send(b"GET / HTTP/1.1\r\nX: ")
        with trickling(client, b"a"):
            assert client.head().startswith(b"HTTP/1.1 408 ")
    assert reached(node) == {Limit.HEAD_TIMEOUT: 1}


def test_a_body_that_trickles_is_late_all_the_same(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(body_s=0.3, min_rate_bytes=1000))
    with node.client() as client:
        client.send(UPLOAD)
        with legacy.accept() as backend, trickling(client, b"a"):
            assert client.head().startswith(b"HTTP/1.1 408 ")
            assert backend.ends()
    assert reached(node) == {Limit.MIN_RATE: 1}
    assert node.count('strangler_faults_total{party="client",stage="body",kind="timeout"') == 1


def test_an_early_answer_is_no_leave_to_trickle(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(body_s=0.3, min_rate_bytes=1000))
    with node.client() as client:
        client.send(UPLOAD)
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.head()
            with trickling(client, b"a"):
                assert client.ends()
    assert reached(node) == {Limit.MIN_RATE: 1}


@pytest.mark.parametrize("limits", [Limits(body_s=0.3, min_rate_bytes=0), Limits(body_s=0.3, min_rate_bytes=10)])
def test_a_body_that_keeps_the_pace_or_needn_t_comes_through(start: Start, legacy: RawBackend, limits: Limits) -> None:
    node = start(limits=limits)
    with node.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n")
        with legacy.accept() as backend:
            backend.head()
            with trickling(client, b"1\r\na\r\n") as over:
                some_ticks_later(node)
                assert not over.is_set()
            client.send(b"0\r\n\r\n")
            backend.until(b"0\r\n\r\n")
            backend.send(OK)
            assert client.answer()[2] == b"ok"
    assert reached(node) == {}


def test_a_client_is_not_slow_because_the_backend_is(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(body_s=0.3, min_rate_bytes=10_000_000))
    body = bytes(20_000_000)
    with node.client() as client:
        sending = threading.Thread(
            target=client.send, args=(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 20000000\r\n\r\n", body)
        )
        sending.start()
        with legacy.accept() as backend:
            backend.head()
            some_ticks_later(node)  # the backend reads nothing meanwhile
            assert reached(node) == {}
            node.do(lambda: node.traffic._obey(Limits()))
            assert backend.exactly(len(body)) == body
            sending.join()
            backend.send(OK)
            assert client.answer()[2] == b"ok"


def test_a_client_that_waits_for_100_continue_is_not_late(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(body_s=0.3))
    with node.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        with legacy.accept() as backend:
            backend.head()
            some_ticks_later(node)
            backend.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert client.head().startswith(b"HTTP/1.1 100 ")
            client.send(b"hi")
            assert backend.exactly(2) == b"hi"
            backend.send(OK)
            assert client.answer()[2] == b"ok"


def test_a_client_that_reads_slowly_is_cut(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(client_stall_s=1.0, min_rate_bytes=50_000_000))
    with node.client(receive_bytes=4096) as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            sipper = sipping(client)
            with pytest.raises(OSError):  # noqa: PT012  whichever write finds out
                backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
                while True:
                    backend.send(bytes(100_000))
            sipper.join()
    assert reached(node) == {Limit.MIN_RATE: 1}


def test_the_end_of_an_answer_that_is_not_taken_is_not_kept_for_ever(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(client_stall_s=0.3))
    with node.client(receive_bytes=4096) as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            size = 10_000_000
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            with pytest.raises(OSError):  # noqa: PT012  whichever write finds out
                for _ in range(size // 10_000):
                    backend.send(bytes(10_000))
                eventually(lambda: reached(node), "it is cut")
                raise BrokenPipeError
        eventually(lambda: len(node.traffic._clients) == 0, "it is gone")
    assert reached(node) == {Limit.STALL: 1}


def test_an_answers_head_that_trickles_is_late_all_the_same(start: Start, legacy: RawBackend) -> None:
    node = start(legacy_options={"timeout_s": 0.3})
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nX: ")
            with trickling(backend, b"a"):
                assert client.head().startswith(b"HTTP/1.1 504 ")
    assert node.count('strangler_faults_total{party="legacy",stage="head",kind="timeout"') == 1


def test_an_answer_that_trickles_although_it_announced_its_length_is_cut(start: Start, legacy: RawBackend) -> None:
    node = start(legacy_options={"timeout_s": 0.3, "min_rate_bytes": 1000})
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            with trickling(backend, b"a"):
                assert client.ends()
    assert node.count('strangler_faults_total{party="legacy",stage="body",kind="timeout"') == 1


@pytest.mark.parametrize(
    ("options", "framing", "piece"),
    [
        ({"min_rate_bytes": 1000}, b"Transfer-Encoding: chunked", b"1\r\na\r\n"),
        ({"min_rate_bytes": 1000}, b"Connection: close", b"a"),
        ({"min_rate_bytes": 0}, b"Content-Length: 1000000", b"a"),
    ],
    ids=["chunks", "until close", "off"],
)
def test_what_is_made_while_it_is_sent_may_trickle(
    start: Start, legacy: RawBackend, options: dict[str, int], framing: bytes, piece: bytes
) -> None:
    node = start(legacy_options={"timeout_s": 1.0, **options})  # longer than a busy machine holds up who trickles
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing)
            client.head()
            with trickling(backend, piece) as over:
                some_ticks_later(node)
                assert not over.is_set()
                assert node.count('strangler_faults_total{party="legacy"') == 0  # before it closes, which is one


def test_whoever_goes_on_sending_after_a_refusal_is_reset_in_the_end(start: Start) -> None:
    node = start(limits=Limits(linger_s=0.3))
    with node.client() as client:
        client.send(b"nonsense\r\n\r\n")
        assert client.head().startswith(b"HTTP/1.1 400 ")
        with trickling(client, b"a") as over:
            eventually(over.is_set, "it can't send any more")
    eventually(lambda: len(node.traffic._clients) == 0, "it is gone")


@given(
    st.integers(1, 9),
    st.floats(0, 100),
    st.lists(st.integers(0, 300), min_size=1, max_size=60),
)
def test_a_pace_is_too_slow_exactly_when_a_whole_window_was(window: int, rate: float, moves: list[int]) -> None:
    pace = Pace(0)
    moved = 0
    for i, more in enumerate(moves, 1):
        moved += more
        ended = i % (window + 1) == 0
        too_slow = ended and sum(moves[i - window - 1 : i]) < rate * (window + 1)
        assert pace.lags(moved, window, rate) is too_slow


def test_who_reads_slowly_but_steadily_does_not_stand_still(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(client_stall_s=0.5), legacy_options={"timeout_s": 0.5})
    half_read = threading.Event()
    with node.client(receive_bytes=4096) as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()

            def answer() -> None:
                try:
                    backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", bytes(100_000_000))
                except OSError:
                    half_read.set()

            threading.Thread(target=answer, daemon=True).start()
            sipper = sipping(client)
            some_ticks_later(node)
            some_ticks_later(node)
            assert sipper.is_alive()
            assert not half_read.is_set()
    assert reached(node) == {}
