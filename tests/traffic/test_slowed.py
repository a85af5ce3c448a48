"""Slow answers of a drill, where their request went another way than it was to: nothing of one answer comes into another, or beyond the drill."""

from __future__ import annotations

import json
from collections.abc import Callable

from proxy.core.model import Backend, Fallback
from proxy.core.plan import Area, Route
from proxy.core.switches.latch import Scope
from tests.traffic.test_drilled import BY_HEADER, GET, Drilled, drill, roll_back
from tests.traffic.wire import OK, Node, RawBackend, eventually

FOR_EVER = "slow=1B"  # whoever meets it has its answer when the test has given up


def answered_by(backend: RawBackend, drilled: Drilled, send: Callable[[], None], told: Callable[[], bytes]) -> bytes:
    """The head of the answer that a system gives at once to what is sent."""
    send()
    with backend.accept() as wire:
        wire.head()
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"a" * 100)
        head = told()
    assert drilled.hits() == 0
    assert drilled.node.count("strangler_drill_faults_total") == 0
    return head


def test_nothing_of_an_answer_that_was_given_up_comes_into_the_next(
    start: Callable[..., Node], new: RawBackend
) -> None:
    drilled = Drilled(start(identity=BY_HEADER, new_options={"timeout_s": 30.0}))
    with drilled.node.client() as client:
        client.send(GET)
        with new.accept() as kept:
            kept.head()
            kept.send(OK)
            client.answer()
            drilled.put(drill("slow=2KB"))
            client.send(GET)
            kept.head()
            kept.send(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 999\r\n\r\n", b"T" * 999)
            with new.accept() as fresh:
                fresh.head()
                fresh.send(b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n", b"a" * 600)
                status, _, body = client.answer()
    assert (status, body) == (200, b"a" * 600)


def test_legacy_is_not_slow_where_it_answers_in_place_of_new(
    start: Callable[..., Node], legacy: RawBackend, refusing: Callable[[], RawBackend]
) -> None:
    area = Area(name="safe", place="-", flag="safe", fallback=Fallback.SAFE)
    route = Route(id="safe/1", area="safe", place="-", path="/safe/**", to=Backend.NEW)
    drilled = Drilled(start(identity=BY_HEADER, areas=(area,), routes=(route,), new=refusing().url))
    drilled.put(drill(FOR_EVER, "safe"))
    with drilled.node.client() as client:
        request = GET.replace(b"/new/", b"/safe/")
        head = answered_by(legacy, drilled, lambda: client.send(request), lambda: client.answer()[1])
    assert b"; fallback; " in head
    assert b"X-Strangler-Drill" not in head
    assert "drill" not in json.loads(drilled.node.log_lines(1)[0])


def test_a_rollback_takes_a_request_that_waits_for_a_place_out_of_a_slow_drill(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    drilled = Drilled(start(identity=BY_HEADER, new_options={"max_in_flight": 1, "timeout_s": 30.0}))
    node = drilled.node
    with node.client() as first, node.client() as client:
        first.send(GET)
        with new.accept() as busy:
            busy.head()
            drilled.put(drill(FOR_EVER))

            def ask() -> None:
                client.send(GET)
                eventually(lambda: node.do(lambda: node.traffic._loads[Backend.NEW].waiting) == 1, "it waits")
                roll_back(node, Scope(area="moved"))

            head = answered_by(legacy, drilled, ask, lambda: client.answer()[1])
            assert b"; rolled_back; " in head
            assert b"X-Strangler-Drill" not in head
            drilled.put()
            assert node.do(lambda: node.traffic.drilling) is None
            busy.send(OK)
            assert first.answer()[0] == 200
