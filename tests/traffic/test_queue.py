"""A backend that has as much in flight as it may have: who waits, whose turn it is, and for whom it was in vain."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from proxy.core.care.reaching import BreakerCare, Patience, QueueCare
from proxy.core.http import message
from proxy.core.model import Backend
from proxy.core.plan import Area, Identity, Route, Source
from proxy.core.switches.covering import LiveEntry, LiveLatch, Under
from proxy.core.switches.latch import Entry, Scope
from proxy.core.telling.faults import Kind
from proxy.traffic.backends.waiting import Waiting
from tests.traffic.test_choosing import EVERYTHING
from tests.traffic.wire import OK, Node, RawBackend, Wire, a_plan, eventually, fault_of

BY_HEADER = Identity(trusted_from=("127.0.0.0/8",), account=(Source(source="header", name="x-account-id", place="-"),))
PATIENT = QueueCare(wait_s=3600.0)


def get(path: str = "/", account: str = "") -> bytes:
    told = f"X-Account-Id: {account}\r\n" if account else ""
    return f"GET {path} HTTP/1.1\r\nHost: shop\r\n{told}\r\n".encode()


def waiting(node: Node, backend: Backend = Backend.LEGACY) -> int:
    return node.do(lambda: node.traffic._loads[backend].waiting)


def waits(node: Node, client: Wire, request: bytes, backend: Backend = Backend.LEGACY) -> None:
    """Send a request, and see it wait."""
    before = waiting(node, backend)
    client.send(request)
    eventually(lambda: waiting(node, backend) == before + 1, "it waits")


@contextmanager
def busy(node: Node, backend: RawBackend, path: str = "/") -> Iterator[Wire]:
    """A backend with one request in flight; gives its end of the connection."""
    with node.client() as client:
        client.send(get(path))
        with backend.accept() as wire:
            wire.head()
            yield wire


def test_a_request_waits_for_a_place_and_is_answered(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(legacy_options={"max_in_flight": 1, "queue": PATIENT})
    with busy(node, legacy) as wire, node.client() as second:
        waits(node, second, get("/second"))
        eventually(lambda: node.count("strangler_queue_waiting{") == 1, "the gauge tells")
        wire.send(OK)
        assert wire.head().startswith(b"GET /second ")
        wire.send(OK)
        assert second.answer()[0] == 200
    eventually(lambda: node.count('strangler_queue_wait_us_count{backend="legacy"}') == 1, "its wait is counted")
    eventually(lambda: node.count("strangler_queue_waiting{") == 0, "the gauge falls")
    assert node.do(lambda: node.traffic._loads[Backend.LEGACY].in_flight) == 0


def test_accounts_take_turns_and_nobody_overtakes(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(legacy_options={"max_in_flight": 1, "queue": PATIENT}, identity=BY_HEADER)
    with ExitStack() as stack:
        wire = stack.enter_context(busy(node, legacy))
        for path, account in (("/a1", "a"), ("/a2", "a"), ("/a3", "a"), ("/b1", "b"), ("/c1", "c"), ("/b2", "b")):
            waits(node, stack.enter_context(node.client()), get(path, account))
        served = []
        for _ in range(6):
            wire.send(OK)
            served.append(wire.head().split()[1].decode())
        wire.send(OK)
    assert served == ["/a1", "/b1", "/c1", "/a2", "/b2", "/a3"]


def test_one_account_cannot_take_the_whole_queue(start: Callable[..., Node], legacy: RawBackend) -> None:
    care = QueueCare(most=3, most_of_account=2, wait_s=4.5)
    node = start(legacy_options={"max_in_flight": 1, "queue": care}, identity=BY_HEADER)
    with ExitStack() as stack:
        stack.enter_context(busy(node, legacy))
        clients = [stack.enter_context(node.client()) for _ in range(5)]
        for client in clients[:2]:
            waits(node, client, get("/", "flood"))
        clients[2].send(get("/", "flood"))
        status, head, _ = clients[2].answer()
        assert (status, fault_of(head)) == (503, b"legacy-connect-busy")
        assert b"\r\nRetry-After: 5\r\n" in head
        waits(node, clients[3], get("/", "quiet"))
        clients[4].send(get("/", "late"))  # now nobody finds a place
        assert clients[4].answer()[0] == 503
    for why in ("too_many", "full"):
        assert node.count(f'strangler_queue_refused_total{{backend="legacy",why="{why}"}}') == 1


def test_without_an_account_an_address_is_what_has_a_part(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(legacy_options={"max_in_flight": 1, "queue": QueueCare(most=8, most_of_account=1, wait_s=3600.0)})
    with busy(node, legacy), node.client() as one, node.client() as same, socket.socket() as sock:
        sock.bind(("127.0.0.2", 0))
        sock.connect(("127.0.0.1", node.port))
        with Wire(sock) as other:
            waits(node, one, get())
            same.send(get())
            assert same.answer()[0] == 503
            waits(node, other, get())


def test_names_that_are_only_claimed_share_the_line_of_their_address(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    care = QueueCare(most=8, most_of_account=2, wait_s=3600.0)
    claimed = Source(source="cookie", name="account", place="-")
    identity = Identity(trusted_from=("127.0.0.9/32",), account=(claimed,))
    node = start(legacy_options={"max_in_flight": 1, "queue": care}, identity=identity)
    with ExitStack() as stack:
        stack.enter_context(busy(node, legacy))
        clients = [stack.enter_context(node.client()) for _ in range(3)]
        for client, name in zip(clients, ("one", "two", "three"), strict=True):
            request = f"GET /{name} HTTP/1.1\r\nHost: shop\r\nCookie: account={name}\r\n\r\n".encode()
            if name != "three":
                waits(node, client, request)
            else:
                client.send(request)
                assert client.answer()[0] == 503
        sock = stack.enter_context(socket.socket())
        sock.bind(("127.0.0.2", 0))
        sock.connect(("127.0.0.1", node.port))
        waits(node, stack.enter_context(Wire(sock)), get("/other"))
    assert node.count('strangler_queue_refused_total{backend="legacy",why="too_many"}') == 1


def test_behind_a_peer_that_is_believed_each_claimed_name_has_a_line(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    care = QueueCare(most=8, most_of_account=1, wait_s=3600.0)
    identity = Identity(trusted_from=("127.0.0.1/32",), account=(Source(source="cookie", name="account", place="-"),))
    node = start(legacy_options={"max_in_flight": 1, "queue": care}, identity=identity)
    with ExitStack() as stack:
        stack.enter_context(busy(node, legacy))
        for name in ("one", "two"):
            request = f"GET / HTTP/1.1\r\nHost: shop\r\nCookie: account={name}\r\n\r\n".encode()
            waits(node, stack.enter_context(node.client()), request)


def test_a_wait_that_lasts_too_long_ends_with_503(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(legacy_options={"max_in_flight": 1, "queue": QueueCare(wait_s=0.1)})
    with busy(node, legacy) as wire, node.client() as second:
        second.send(get("/late"))
        status, head, _ = second.answer()
        assert (status, fault_of(head)) == (503, b"legacy-connect-busy")
        assert node.count('strangler_queue_refused_total{backend="legacy",why="late"}') == 1
        wire.send(OK)
        eventually(lambda: node.do(lambda: node.traffic.in_flight) == 0, "the first is answered")
        second.send(get("/again"))  # its connection is kept, and the one that was refused reached nobody
        assert wire.head().startswith(b"GET /again ")


def test_a_request_whose_whole_time_is_over_in_line_was_late_in_line_and_asked_nobody(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    care = BreakerCare(least=1, first_s=3600.0, longest_s=3600.0)
    slow = Area(name="slow", place="-", flag="slow")
    patient = Route(
        id="slow/1",
        area="slow",
        place="-",
        path="/slow",
        to=Backend.LEGACY,
        patience={Backend.LEGACY: Patience(total_s=0)},
    )
    options = {"max_in_flight": 1, "queue": PATIENT, "total_s": 0.25, "breaker": care}
    node = start(legacy_options=options, areas=(slow,), routes=(patient,))
    with busy(node, legacy, "/slow"), node.client() as second:
        second.send(get("/late"))
        status, head, _ = second.answer()
        assert (status, fault_of(head)) == (503, b"legacy-connect-busy")
        assert b"\r\nRetry-After: 3600\r\n" in head
        assert node.count('strangler_queue_refused_total{backend="legacy",why="late"}') == 1
        assert node.count("strangler_breaker_open{") == 0


@pytest.mark.skipif(message.__file__.endswith(".so"), reason="compiled modules call each other without asking a name")
def test_a_defect_at_the_end_of_a_wait_ends_that_exchange_alone(
    start: Callable[..., Node], legacy: RawBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = start(legacy_options={"max_in_flight": 1, "queue": QueueCare(wait_s=0.1)})

    def broken(exchange: Waiting, kind: Kind) -> None:
        raise AssertionError(kind)

    monkeypatch.setattr(Waiting, "_refuse_at_load", broken)
    with busy(node, legacy), node.client() as second:
        second.send(get("/late"))
        status, head, _ = second.answer()
        assert (status, fault_of(head)) == (500, b"proxy-request-failed")
        assert waiting(node) == 0


def test_where_nobody_may_wait_a_full_backend_is_told_at_once(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(legacy_options={"max_in_flight": 1, "queue": QueueCare(most=0, wait_s=3600.0)})
    with busy(node, legacy), node.client() as second:
        second.send(get())
        assert second.answer()[0] == 503


def test_a_client_that_leaves_while_it_waits_has_asked_nothing(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(legacy_options={"max_in_flight": 1, "queue": PATIENT})
    with busy(node, legacy) as wire, node.client() as third:
        second = node.client()
        waits(node, second, b"POST /pay HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nhi")
        waits(node, third, get("/third"))
        second.leave()
        eventually(lambda: waiting(node) == 1, "it is out of the queue")
        wire.send(OK)
        assert wire.head().startswith(b"GET /third ")
    line = json.loads(node.log_lines(1)[0])
    assert (line["status"], line["fault"], line["path"]) == (499, "client-request-left", "/pay")


def test_whoever_waits_for_new_goes_to_legacy_when_it_is_rolled_back(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(new_options={"max_in_flight": 1, "queue": PATIENT})
    with busy(node, new, "/new/1"), node.client() as second:
        waits(node, second, get("/new/2"), Backend.NEW)
        node.latch = EVERYTHING
        node.do(node.traffic.latch_changed)
        with legacy.accept() as wire:
            assert wire.head().startswith(b"GET /new/2 ")
            wire.send(OK)
            assert second.answer()[0] == 200
    assert not new.has_caller()


def test_a_rollback_of_something_else_leaves_everybody_in_line_for_as_long_as_they_have_waited(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(new_options={"max_in_flight": 1, "queue": PATIENT})
    with busy(node, new, "/new/1") as wire, node.client() as second:
        waits(node, second, get("/new/2"), Backend.NEW)
        load = node.traffic._loads[Backend.NEW]
        since = node.do(lambda: dict(load._since_s))
        entry = Entry(id="r2", scope=Scope(area="elsewhere"), by="me", reason="smells", at="now")
        node.latch = LiveLatch(2, [LiveEntry(entry, Under.RUNNING)])
        node.do(node.traffic.latch_changed)
        assert node.do(lambda: dict(load._since_s)) == since
        wire.send(OK)
        assert wire.head().startswith(b"GET /new/2 ")
        wire.send(OK)
        assert second.answer()[0] == 200
    assert not legacy.has_caller()


def test_a_latch_that_changed_unnoticed_is_seen_when_the_turn_comes(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(new_options={"max_in_flight": 1, "queue": PATIENT})
    with busy(node, new, "/new/1") as wire, node.client() as second:
        waits(node, second, get("/new/2"), Backend.NEW)
        node.latch = EVERYTHING
        wire.send(OK)
        with legacy.accept() as other:
            assert other.head().startswith(b"GET /new/2 ")


def test_more_places_after_a_reload_are_taken_by_those_that_wait(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    options = {"max_in_flight": 1, "queue": PATIENT}
    node = start(legacy_options=options)
    with busy(node, legacy), node.client() as second:
        waits(node, second, get("/second"))
        node.swap(a_plan(legacy.url, new.url, legacy_options={**options, "max_in_flight": 2}))
        with legacy.accept() as wire:
            assert wire.head().startswith(b"GET /second ")


def test_nothing_that_waited_begins_at_an_endpoint_that_a_reload_took_away(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend, refusing: Callable[[], RawBackend]
) -> None:
    successor = refusing()
    successor.listen_again()
    options = {"max_in_flight": 1, "queue": PATIENT}
    node = start(legacy_options=options)
    with node.client() as client, busy(node, legacy) as first:
        waits(node, client, get("/late"))
        node.swap(a_plan(successor.url, new.url, legacy_options=options))
        first.send(OK)
        successor.serves(client)
    assert not legacy.has_caller()


def test_a_body_waits_with_its_request_and_arrives_whole(start: Callable[..., Node], legacy: RawBackend) -> None:
    body = bytes(range(256)) * 8192  # 2 MiB: more than is read while it waits
    node = start(legacy_options={"max_in_flight": 1, "queue": PATIENT})
    with busy(node, legacy) as wire, node.client() as second:
        waits(node, second, b"PUT /up HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n" % len(body))
        second.sock.setblocking(False)
        sent = 0

        def stuck() -> bool:
            nonlocal sent
            with suppress(BlockingIOError):
                sent += second.sock.send(body[sent:])
            return node.do(lambda: any(client._paused for client in node.traffic._clients))

        eventually(stuck, "nobody reads on")
        second.sock.settimeout(10)
        wire.send(OK)
        assert wire.head().startswith(b"PUT /up ")
        with ExitStack() as stack:
            rest = threading.Thread(target=second.sock.sendall, args=(body[sent:],))
            rest.start()
            stack.callback(rest.join)
            assert wire.exactly(len(body)) == body
        wire.send(OK)
        assert second.answer()[0] == 200
