"""Freezes, as requests meet them: nothing that may change data begins, and what began before is counted until it is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from proxy.core.switches.freeze import Freeze, LiveFreeze
from proxy.core.switches.latch import Scope
from tests.traffic.lasting import passes, tunnel
from tests.traffic.wire import OK, Node, RawBackend, eventually, full_backlog

POST = b"POST /new/ HTTP/1.1\r\nHost: shop\r\nContent-Length: 3\r\n\r\nabc"


def freeze(node: Node, *areas: str) -> None:
    freezes = tuple(
        LiveFreeze(
            Freeze(
                id=area, scope=Scope(area=area), by="me", reason="-", at="-", until="2027-01-12", until_s=0.0, boot="-"
            ),
            time.monotonic() + 90.0,
        )
        for area in areas
    )
    node.do(lambda: setattr(node.traffic, "freezes", freezes))


def counted(node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return node.do(node.traffic.in_flight_under_freezes)


def test_a_write_is_refused_reaches_no_backend_and_leaves_the_connection_open(node: Node, new: RawBackend) -> None:
    freeze(node, "moved")
    with node.client() as client:
        client.send(POST)
        status, head, body = client.answer()
        assert status == 503
        assert b"x-strangler-error: proxy-request-frozen" in head.lower()
        assert b"retry-after: 90" in head.lower()
        assert b"writes stand still" in body
        assert not new.has_caller()
        client.send(b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n")
        new.serves(client)
    lines = [json.loads(line) for line in node.log_lines(2)]
    assert [(line["status"], line["fault"], line["area"]) for line in lines] == [
        (503, "proxy-request-frozen", "moved"),
        (200, None, "moved"),
    ]


def test_a_write_whose_body_still_comes_is_refused_at_once(node: Node, new: RawBackend) -> None:
    freeze(node, "moved")
    with node.client() as client:
        client.send(b"POST /new/ HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000000\r\n\r\nabc")
        status, head, _ = client.answer()
    assert status == 503
    assert b"connection: close" in head.lower()
    assert not new.has_caller()


def test_a_freeze_during_a_wait_is_obeyed_before_the_first_byte(start: Callable[..., Node], legacy: RawBackend) -> None:
    with full_backlog() as url:
        node = start(new=url, new_options={"connect_s": 0.5})
        with node.client() as client:
            client.send(POST)
            eventually(lambda: node.do(lambda: node.traffic.in_flight) == 1, "the request waits for a connection")
            freeze(node, "moved")
            assert counted(node) == ((1,), (0,))  # it may still begin, as far as anybody knows
            assert client.answer()[0] == 503
    assert counted(node) == ((0,), (0,))
    assert not legacy.has_caller()


def test_what_began_before_is_counted_until_it_is_over_also_when_its_client_has_left(
    node: Node, new: RawBackend
) -> None:
    with node.client() as client:
        client.send(POST)
        with new.accept() as backend:
            backend.head()
            backend.exactly(3)
            freeze(node, "elsewhere", "moved")
            assert counted(node) == ((0, 1), (0, 0))
            client.leave()
            eventually(lambda: len(node.traffic.orphans) == 1, "the client has left")
            assert counted(node) == ((0, 1), (0, 0))
            backend.send(OK)
            eventually(lambda: counted(node) == ((0, 0), (0, 0)), "it is over")


def test_reads_in_flight_are_not_counted(node: Node, new: RawBackend) -> None:
    with node.client() as client:
        client.send(b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n")
        with new.accept() as backend:
            backend.head()
            freeze(node, "moved")
            assert counted(node) == ((0,), (0,))
            backend.send(OK)
            assert client.answer()[0] == 200


def test_tunnels_stay_open_and_are_counted_as_such(node: Node, new: RawBackend) -> None:
    with tunnel(node, new, b"/new/chat") as (client, server):
        freeze(node, "moved", "elsewhere")
        assert counted(node) == ((0, 0), (1, 0))
        passes(client, server)
    eventually(lambda: counted(node) == ((0, 0), (0, 0)), "the tunnel has ended")
