"""Generations, the latch and several endpoints, as requests meet them."""

from __future__ import annotations

import json
from collections.abc import Callable

from proxy.core.model import Backend
from proxy.core.plan import Route
from proxy.core.switches.covering import LiveEntry, LiveLatch, Under
from proxy.core.switches.latch import Entry, Scope
from tests.traffic.wire import OK, Node, RawBackend, a_plan, build, eventually, full_backlog

NEW = b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"

ENTRY = Entry(id="r1", scope=Scope(), by="me", reason="smells", at="now")
EVERYTHING = LiveLatch(1, [LiveEntry(ENTRY, Under.RUNNING)])


def test_each_backend_gets_its_requests(node: Node, legacy: RawBackend, new: RawBackend) -> None:
    with node.client() as client:
        client.send(NEW)
        with new.accept() as backend:
            backend.head()
            backend.send(OK)
            client.answer()
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            client.answer()
        lines = [json.loads(line) for line in node.log_lines(2)]
    assert [(line["area"], line["route"], line["backend"], line["reason"]) for line in lines] == [
        ("moved", "moved/1", "new", "fixed"),
        (None, None, "legacy", "otherwise"),
    ]


def test_endpoints_take_turns_and_the_one_with_least_in_flight_goes_first(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(legacy=(legacy.url, new.url))
    with node.client() as one, node.client() as two, node.client() as three, node.client() as four:
        for client in (one, two, three, four):
            client.send(GET)
        with legacy.accept() as first, legacy.accept() as second, new.accept() as third, new.accept() as fourth:
            for wire in (first, second, third, fourth):  # not before all four have been given out
                wire.head()
                wire.send(OK)
        for client in (one, two, three, four):
            assert client.answer()[2] == b"ok"


def test_a_request_lives_in_the_generation_it_began_in(node: Node, legacy: RawBackend, new: RawBackend) -> None:
    swapped = build(a_plan(new.url, new.url), number=2)
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            node.do(lambda: node.traffic.swap(swapped))
            backend.send(OK)
            assert client.answer()[2] == b"ok"
            assert backend.ends() == "closed"  # its endpoint went: drained, not cut
        client.send(GET)
        with new.accept() as backend:
            backend.head()
            backend.send(OK)
            assert client.answer()[2] == b"ok"
        lines = [json.loads(line)["generation"] for line in node.log_lines(2)]
    assert lines == [1, 2]


def test_connections_survive_a_swap_that_keeps_their_endpoint(node: Node, legacy: RawBackend, new: RawBackend) -> None:
    swapped = build(a_plan(legacy.url, new.url, routes=(_more,)), number=2)
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            client.answer()
            node.do(lambda: node.traffic.swap(swapped))
            client.send(GET)
            backend.head()
            backend.send(OK)
            assert client.answer()[2] == b"ok"


_more = Route(id="moved/2", area="moved", place="-", path="/more", to=Backend.NEW)


def test_a_rollback_takes_whoever_connects_to_a_black_hole_out_of_it_at_once(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    with full_backlog() as url:
        node = start(new=url, new_options={"connect_s": 3600.0})
        with node.client() as client, node.client() as gone:
            client.send(NEW)
            gone.send(NEW)
            eventually(lambda: node.do(lambda: len(node.traffic._tasks)) == 2, "both wait for a connection")
            gone.leave()
            eventually(lambda: node.do(lambda: node.traffic.in_flight) == 1, "one has left")
            elsewhere = Entry(id="r2", scope=Scope(area="elsewhere"), by="me", reason="-", at="-")
            for latch in (LiveLatch(1, [LiveEntry(elsewhere, Under.RUNNING)]), EVERYTHING):
                assert not legacy.has_caller()
                node.latch = latch
                node.do(node.traffic.latch_changed)
            with legacy.accept() as backend:
                assert backend.head().startswith(b"GET /new/ ")
                backend.send(OK)
                assert client.answer()[2] == b"ok"
        loads = node.do(lambda: [load.in_flight for load in node.traffic._loads.values()])
        eventually(lambda: node.do(lambda: len(node.traffic._tasks)) == 1, "nobody connects for it any more")
    assert loads == [0, 0]


def test_a_rollback_during_a_wait_is_obeyed_before_the_first_byte(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    with full_backlog() as url:
        node = start(new=url, new_options={"connect_s": 0.5})
        with node.client() as client:
            client.send(NEW)
            eventually(lambda: node.do(lambda: node.traffic.in_flight) == 1, "the request waits for a connection")
            node.latch = EVERYTHING
            with legacy.accept() as backend:
                assert backend.head().startswith(b"GET /new/ ")
                backend.send(OK)
                assert client.answer()[2] == b"ok"
            (line,) = node.log_lines(1)
    assert json.loads(line)["reason"] == "rolled_back"
    assert json.loads(line)["backend"] == "legacy"
