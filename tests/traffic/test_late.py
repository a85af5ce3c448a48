"""Whoever is late, and what ends because of it: silence, totals, heads and bodies that don't come."""

from __future__ import annotations

import json
from collections.abc import Callable

from proxy.core.limits import Limits
from tests.traffic.wire import OK, Node, RawBackend, fault_of, full_backlog

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"


def test_a_silent_backend_is_a_gateway_timeout(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(legacy_options={"timeout_s": 0.1})
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            status, head, _ = client.answer()
            assert (status, fault_of(head)) == (504, b"legacy-head-timeout")
            assert backend.ends()


def test_silence_within_an_answer_cuts_it(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(legacy_options={"timeout_s": 0.1})
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            assert client.rest().endswith(b"half")
            (line,) = node.log_lines(1)
    assert json.loads(line)["fault"] == "legacy-body-timeout"


def test_a_total_limit_ends_what_never_falls_silent(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(legacy_options={"timeout_s": 60.0, "total_s": 0.2})
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                while True:
                    backend.send(b"1\r\nx\r\n")
                    client.exactly(6 if client.buffer else 1)
            except (OSError, EOFError):
                pass
    (line,) = node.log_lines(1)
    assert json.loads(line)["fault"] == "legacy-body-timeout"


def test_a_client_that_does_not_send_its_body_is_the_one_who_is_late(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    node = start(limits=Limits(body_s=0.1))
    with node.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 9\r\n\r\nhalf")
        with legacy.accept() as backend:
            backend.head()
            answer = client.rest()
            assert (answer[9:12], fault_of(answer)) == (b"408", b"client-body-timeout")
            assert backend.ends()
    assert node.count('strangler_faults_total{party="legacy"') == 0


def test_a_head_that_does_not_come_and_a_client_that_asks_nothing_are_ended(start: Callable[..., Node]) -> None:
    node = start(limits=Limits(head_s=0.1, idle_s=0.1))
    with node.client() as idle, node.client() as slow:
        slow.send(b"GET / HTTP/1.1\r\n")
        assert slow.rest()[9:12] == b"408"
        assert idle.rest() == b""


def test_a_connection_that_rested_too_long_is_closed(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(limits=Limits(backend_idle_s=0.1))
    with node.client() as client:
        client.send(GET)
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            client.answer()
            assert backend.ends() == "closed"


def test_a_connection_that_cannot_be_made_in_time_is_a_gateway_timeout(start: Callable[..., Node]) -> None:
    with full_backlog() as url:
        node = start(legacy=url, legacy_options={"connect_s": 0.05})
        with node.client() as client:
            client.send(GET)
            status, head, _ = client.answer()
    assert (status, fault_of(head)) == (504, b"legacy-connect-timeout")
