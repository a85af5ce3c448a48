"""Retries: within a budget, and only where nothing can happen twice."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from proxy.core.care.reaching import BreakerCare, EndpointCare, Retries
from proxy.core.model import Backend
from proxy.traffic.exchanges.exchange import IDEMPOTENT
from proxy.traffic.limits import TICK_S
from tests.traffic.wire import OK, Node, RawBackend, Wire, eventually

Start = Callable[..., Node]

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TIGHT = Retries(percent=0, per_second=1, over_s=2.0)


def test_when_all_endpoints_fail_only_so_many_retries_are_made(
    start: Start, refusing: Callable[[], RawBackend], caplog: pytest.LogCaptureFixture
) -> None:
    node = start(legacy=tuple(refusing().url for _ in range(3)), legacy_options={"retries": TIGHT})

    def fail() -> tuple[int, int]:
        with node.client() as client:
            client.send(GET)
            assert client.answer()[0] == 502
        return node.count("strangler_retries_total"), node.count('strangler_retries_withheld_total{backend="legacy"')

    assert fail() == (2, 0)  # all three were tried
    assert fail() == (2, 1)
    assert fail() == (2, 2)
    (told,) = [record.getMessage() for record in caplog.records if "retries" in record.getMessage()]
    assert told == (
        "legacy: its retries are used up (0 % of its requests and 1 a second, over 2 s); "
        "what can't be reached isn't tried elsewhere"
    )

    def later() -> None:
        for _ in range(int(2 / TICK_S)):
            node.traffic._loads[Backend.LEGACY].retrying.turn()

    node.do(later)
    assert fail() == (4, 2)


def test_a_system_that_answers_earns_retries(start: Start, legacy: RawBackend) -> None:
    node = start(legacy_options={"retries": Retries(percent=20, per_second=0, over_s=60.0)})
    retrying = node.traffic._loads[Backend.LEGACY].retrying
    with node.client() as client:
        client.send(GET)
        backend = legacy.accept()
        for _ in range(10):
            backend.head()
            backend.send(OK)
            client.answer()
            client.send(GET)
        backend.head()
        assert node.do(lambda: [retrying.granted(0) for _ in range(3)]) == [True, True, False]
        backend.send(OK)
        client.answer()
        backend.leave()


def test_a_connection_that_was_closed_meanwhile_costs_no_budget(start: Start, legacy: RawBackend) -> None:
    node = start(legacy_options={"retries": Retries(percent=0, per_second=0)})
    with node.client() as client:
        client.send(GET)
        backend = legacy.accept()
        for _ in range(3):
            backend.head()
            backend.send(OK)
            client.answer()
            client.send(GET)
            backend.head()
            backend.leave()
            backend = legacy.accept()
        backend.head()
        backend.send(OK)
        assert client.answer()[0] == 200
        backend.leave()
    assert node.count("strangler_retries_withheld_total") == 0


def test_a_connection_that_rested_before_anybody_used_it_may_prove_stale_too(start: Start, legacy: RawBackend) -> None:
    node = start()
    endpoint = node.do(lambda: next(one for one in node.traffic._endpoints.values() if one.url == legacy.url))

    def rests() -> bool:
        """Whether somebody left while a connection was made for them, which is kept now; it is a matter of moments."""
        with node.client() as leaver:
            leaver.send(GET)
            leaver.reset()
        eventually(lambda: node.do(lambda: not (node.traffic._tasks or node.traffic.in_flight)), "it is over")
        if node.do(lambda: [connection.uses for connection in endpoint._idle]) == [0]:
            return True
        legacy.has_caller()  # too late: the request was sent
        return False

    eventually(rests, "a connection that nobody has used")
    with node.client() as client:
        client.send(GET)
        backend = legacy.accept()
        backend.head()
        backend.leave()
        legacy.serves(client)


class Unsteady:
    """A system that breaks off wherever it likes, decided by a seed, and remembers what reached it."""

    WAYS = ("answer", "answer and close", "close", "reset", "late", "half a head", "half an answer", "early")

    def __init__(self) -> None:
        self.arrived: Counter[bytes] = Counter()
        self.lot = random.Random(0)
        self._lock = threading.Lock()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Wire(sock),), daemon=True).start()

    def _draw(self) -> str:
        with self._lock:
            return self.lot.choices(self.WAYS, (6, 1, 1, 1, 1, 1, 1, 1))[0]

    def _serve(self, wire: Wire) -> None:
        with suppress(OSError, EOFError), wire:
            if self._draw() == "close":
                return
            while True:
                head = wire.head()
                found = re.search(rb"X-Id: (\S+)", head)
                assert found is not None
                with self._lock:
                    self.arrived[found[1]] += 1
                way = self._draw()
                if way == "early":
                    return  # before the body
                if length := re.search(rb"Content-Length: (\d+)", head):
                    wire.exactly(int(length[1]))
                answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(found[1]), found[1])
                match way:
                    case "answer" | "answer and close":
                        wire.send(answer)
                    case "late":
                        wire.send(b"HTTP/1.1 408 Late\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    case "half a head":
                        wire.send(answer[:20])
                    case "half an answer":
                        wire.send(answer[:-1])
                    case "reset":
                        wire.reset()
                if way != "answer":
                    return


@pytest.fixture
def unsteady() -> Iterator[tuple[Unsteady, Unsteady]]:
    found = Unsteady(), Unsteady()
    yield found
    for one in found:
        one.listening.close()


def test_what_may_not_happen_twice_arrives_once_however_a_system_breaks(
    start: Start, unsteady: tuple[Unsteady, Unsteady]
) -> None:
    node = start(
        legacy=tuple(one.url for one in unsteady),
        legacy_options={"care": EndpointCare(faults=0), "breaker": BreakerCare(share_bp=0)},
    )
    sent: dict[bytes, bytes] = {}
    answered = Counter[int]()
    for seed in range(40):
        lot = random.Random(seed)
        for i, one in enumerate(unsteady):
            one.lot.seed(seed * 2 + i)
        client = node.client()
        for number in range(12):
            method = lot.choice((b"GET", b"POST", b"PATCH", b"PUT", b"DELETE"))
            name = b"%d-%d" % (seed, number)
            sent[name] = method
            body = b"" if method in {b"GET", b"DELETE"} else b"x" * lot.choice((1, 1000, 50_000))
            try:
                client.send(b"%b / HTTP/1.1\r\nHost: shop\r\nX-Id: %b\r\n" % (method, name))
                client.send(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
                status, _, answer = client.answer()
            except (OSError, EOFError):
                client.sock.close()
                client = node.client()
                continue
            answered[status] += 1
            assert status != 200 or answer == name
            if status != 200:
                client.sock.close()
                client = node.client()
        client.sock.close()
    arrived = unsteady[0].arrived + unsteady[1].arrived
    assert answered[200] > 200
    often = {method: max(arrived[name] for name, one in sent.items() if one == method) for method in sent.values()}
    assert often.pop(b"GET") in {2, 3}  # on a kept connection, on a fresh one, and at the other endpoint
    assert often == {method: 2 if method in IDEMPOTENT else 1 for method in often}  # 2: or nothing was tried here


def test_requests_that_had_to_be_asked_elsewhere_earn_retries_as_others_do(
    start: Start, legacy: RawBackend, refusing: Callable[[], RawBackend]
) -> None:
    dead = refusing().url
    care = EndpointCare(first_s=0.0, longest_s=0.0)  # it is tried again and again
    retries = Retries(percent=50, per_second=1, over_s=60.0)
    node = start(legacy=(dead, legacy.url), legacy_options={"retries": retries, "care": care})
    sent = node.do(lambda: node.traffic.telemetry.sent_to(Backend.LEGACY))
    for number in range(1, 5):
        node.prefer(dead)
        with node.client() as client:
            client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            with legacy.accept() as wire:
                wire.head()
                wire.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                assert client.answer()[0] == 200
        assert node.do(lambda: node.traffic.telemetry.sent_to(Backend.LEGACY)) - sent == number
    assert node.count("strangler_retries_total") > 0


@pytest.mark.parametrize(("request_", "status"), [(GET, 200), (UPGRADE, 502)])
def test_only_what_asks_for_no_upgrade_is_asked_elsewhere_when_an_endpoint_dies_with_it(
    start: Start, legacy: RawBackend, new: RawBackend, request_: bytes, status: int
) -> None:
    node = start(legacy=(legacy.url, new.url))
    node.prefer(legacy.url)
    with node.client() as client:
        client.send(request_)
        with legacy.accept() as wire:
            wire.head()
            wire.leave()
        if status == 200:
            new.serves(client)
        else:
            assert client.answer()[0] == 502
            assert not new.has_caller()
