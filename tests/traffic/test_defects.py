"""Defects of ours in what a worker does once a tick: what they came up in ends, and all the rest is done."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from proxy.core.care.reaching import QueueCare
from proxy.core.http import message
from proxy.core.limits import Limits
from proxy.core.model import Backend
from proxy.traffic.backends.endpoint import Endpoint
from proxy.traffic.backends.load import Load
from proxy.traffic.clients.client import ClientConnection
from proxy.traffic.exchanges.exchange import Exchange
from proxy.traffic.telling.observers import Observers
from tests.traffic.wire import OK, Node, RawBackend, eventually

pytestmark = pytest.mark.skipif(
    message.__file__.endswith(".so"), reason="compiled modules call each other without asking a name"
)

Start = Callable[..., Node]

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nhi"


def breaks(
    monkeypatch: pytest.MonkeyPatch, of: type, name: str, which: Callable[[object], bool] = lambda _: True
) -> None:
    """Let a method of some objects of a class fail, as a defect of ours would."""
    works = getattr(of, name)

    def broken(self: object, *arguments: object) -> object:
        if which(self):
            raise ZeroDivisionError(name)
        return works(self, *arguments)

    monkeypatch.setattr(of, name, broken)


def defects(node: Node, where: str) -> int:
    return node.count(f'strangler_defects_total{{where="{where}"}}')


def test_a_client_whose_deadlines_cannot_be_looked_at_ends_alone(
    start: Start, legacy: RawBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = start(limits=Limits(head_s=0.3, idle_s=0.3))
    with node.client() as idle, node.client() as asks, node.client() as late:
        asks.send(GET)
        with legacy.accept() as backend:
            backend.head()
            ports = {asks.sock.getsockname()[1], idle.sock.getsockname()[1]}

            def one_of_them(client: object) -> bool:
                assert isinstance(client, ClientConnection)
                return client.transport.get_extra_info("peername")[1] in ports

            breaks(monkeypatch, ClientConnection, "sweep", one_of_them)
            late.send(GET[:-2])
            assert asks.rest()[9:12] == b"500"
            assert idle.ends() in {"closed", "reset"}
            assert late.rest()[9:12] == b"408", "the deadline of whoever comes behind them holds"
            assert backend.ends() in {"closed", "reset"}
    assert defects(node, "client") == 2
    assert node.do(lambda: node.traffic.in_flight) == 0


def test_a_request_whose_client_has_left_ends_too(
    start: Start, legacy: RawBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = start()
    client = node.client()
    client.send(POST)
    with legacy.accept() as backend:
        backend.head()
        client.leave()
        eventually(lambda: node.do(lambda: len(node.traffic.orphans)) == 1, "the client is missed")
        breaks(monkeypatch, Exchange, "sweep")
        assert backend.ends() in {"closed", "reset"}
    assert defects(node, "orphan") == 1
    assert node.do(lambda: len(node.traffic.orphans)) == 0


def test_what_is_done_for_all_goes_on_around_a_defect_that_is_said_once_and_counted_each_time(
    start: Start, legacy: RawBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(legacy_options={"max_in_flight": 1, "queue": QueueCare(wait_s=0.1)})
    with node.client() as first, node.client() as second, caplog.at_level(logging.ERROR):
        loads = node.traffic._loads
        breaks(monkeypatch, Load, "sweep", lambda load: load is loads[Backend.NEW])
        breaks(monkeypatch, Endpoint, "close_idle")
        breaks(monkeypatch, Observers, "publish")
        first.send(GET)
        with legacy.accept() as backend:
            backend.head()
            second.send(GET)
            assert second.answer()[0] == 503, "the wait for legacy ends, though new's load is broken"
            backend.send(OK)
            assert first.answer()[0] == 200
        for where in ("load", "endpoint", "observers"):
            eventually(lambda where=where: defects(node, where) > 3, f"{where} is counted in every tick")  # type: ignore[misc]  # a default binds it
            said = [
                record
                for record in caplog.records
                if record.getMessage().startswith("a defect") and f"({where})" in record.getMessage()
            ]
            assert len(said) == 1
            assert said[0].exc_info is not None
            assert said[0].exc_info[0] is ZeroDivisionError
    eventually(lambda: node.count('strangler_requests_total{area="-",backend="legacy",status="2xx"}'), "it is counted")


def test_a_defect_in_the_end_of_a_client_keeps_nobody_from_the_others(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = start(limits=Limits(idle_s=0.3))
    with node.client(), node.client() as other:
        eventually(lambda: node.count("strangler_client_connections_open") == 2, "both are there")
        broken = node.do(lambda: next(iter(node.traffic._clients)))
        breaks(monkeypatch, ClientConnection, "sweep", lambda client: client is broken)
        breaks(monkeypatch, ClientConnection, "broken")
        assert other.ends() == "closed"
        eventually(lambda: defects(node, "client") >= 4, "it is met at each tick, and so is its end")
