"""A backend that leaves requests unanswered: it is left alone for a while, tried, and asked again."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from proxy.core.care.reaching import BreakerCare, EndpointCare, QueueCare, Retries
from proxy.core.model import Backend
from tests.traffic.test_choosing import EVERYTHING
from tests.traffic.test_queue import busy, get, waits
from tests.traffic.wire import OK, Node, RawBackend, a_plan, eventually, fault_of, full_backlog

UNAVAILABLE = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"
HELD_OFF = EndpointCare(first_s=3600.0, longest_s=3600.0)
LONG = BreakerCare(least=2, first_s=3600.0, longest_s=3600.0)
SHORT = BreakerCare(least=2, first_s=0.01, longest_s=0.01, trials=2)


def breaker(node: Node, state: str) -> int:
    return node.count(f'strangler_breaker_open{{backend="legacy",state="{state}"}}')


def fail(node: Node, backend: RawBackend, times: int = 2) -> None:
    """Have requests cut before their answer."""
    for _ in range(times):
        with node.client() as client:
            client.send(get())
            with backend.accept() as wire:
                wire.head()
                wire.leave()
                assert client.answer()[0] == 502


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "backend"]


def test_who_leaves_requests_unanswered_is_asked_no_more_and_clients_are_told_at_once(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(legacy_options={"breaker": LONG})
    fail(node, legacy)
    with node.client() as client:
        client.send(get())
        status, head, _ = client.answer()
        assert (status, fault_of(head)) == (503, b"legacy-connect-tripped")
        after_s = int(head.partition(b"Retry-After: ")[2].partition(b"\r\n")[0])
        assert 2600 < after_s <= 4500
        assert not legacy.has_caller()
        client.send(get("/new/"))  # the other system has a breaker of its own
        new.serves(client)
    assert (breaker(node, "open"), breaker(node, "half_open")) == (1, 0)
    assert node.count('strangler_breaker_opened_total{backend="legacy"}') == 1
    assert node.count('strangler_refused_total{reason="legacy-connect-tripped"}') == 1
    (said,) = told(caplog)
    assert said.startswith("legacy leaves requests unanswered, 2 of the last 2: its breaker is open")
    assert json.loads(node.log_lines(3)[2])["fault"] == "legacy-connect-tripped"


def test_after_its_time_a_few_are_let_through_and_when_they_are_answered_all(
    start: Callable[..., Node], legacy: RawBackend, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(legacy_options={"breaker": SHORT})
    fail(node, legacy)
    eventually(lambda: breaker(node, "half_open") == 1, "it lets some through")
    with ExitStack() as stack:
        clients = [stack.enter_context(node.client()) for _ in range(3)]
        wires = []
        for client in clients[:2]:
            client.send(get())
            wires.append(stack.enter_context(legacy.accept()))
            wires[-1].head()
        clients[2].send(get())  # two are under way
        assert clients[2].answer()[0] == 503
        for client, wire in zip(clients[:2], wires, strict=True):
            wire.send(OK)
            assert client.answer()[0] == 200
        eventually(lambda: breaker(node, "half_open") == 0, "it is closed")
        clients[2].send(get())
        wires[1].head()
        wires[1].send(OK)
        assert clients[2].answer()[0] == 200
    assert breaker(node, "open") == 0
    assert "its breaker is closed" in told(caplog)[-1]


def test_a_trial_that_fails_opens_it_again(start: Callable[..., Node], legacy: RawBackend) -> None:
    care = BreakerCare(least=2, first_s=0.01, longest_s=3600.0)
    node = start(legacy_options={"breaker": care})
    fail(node, legacy)
    for _ in range(2):
        eventually(lambda: breaker(node, "half_open") == 1, "it lets some through")
        fail(node, legacy, 1)
        assert breaker(node, "half_open") == 0
        assert breaker(node, "open") == 1
    assert node.count("strangler_breaker_opened_total") == 1  # for people it was open all the time


def test_a_trial_whose_answer_is_long_has_proved_itself_with_its_head(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    node = start(legacy_options={"breaker": BreakerCare(least=2, first_s=0.01, longest_s=0.01, trials=1)})
    fail(node, legacy)
    eventually(lambda: breaker(node, "half_open") == 1, "it lets one through")
    with node.client() as client:
        client.send(get())
        with legacy.accept() as wire:
            wire.head()
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            eventually(lambda: breaker(node, "half_open") == 0, "it is closed")


def test_a_trial_whose_client_leaves_proves_nothing_and_gives_its_place_back(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    node = start(legacy_options={"breaker": BreakerCare(least=2, first_s=0.01, longest_s=3600.0, trials=1)})
    fail(node, legacy)
    eventually(lambda: breaker(node, "half_open") == 1, "it lets one through")
    client = node.client()
    client.send(get())
    with legacy.accept() as wire:
        wire.head()
        client.leave()
        wire.ends()
    eventually(lambda: node.do(lambda: node.traffic.in_flight) == 0, "it is over")
    assert breaker(node, "half_open") == 1
    with node.client() as another:
        another.send(get())
        legacy.serves(another)
    eventually(lambda: breaker(node, "half_open") == 0, "it is closed")


def test_those_who_wait_for_a_place_are_told_when_it_opens(start: Callable[..., Node], legacy: RawBackend) -> None:
    options: dict[str, Any] = {
        "max_in_flight": 1,
        "queue": QueueCare(wait_s=3600.0),
        "breaker": BreakerCare(least=1, first_s=3600.0, longest_s=3600.0),
    }
    node = start(legacy_options=options)
    with busy(node, legacy) as wire, node.client() as second:
        waits(node, second, get())
        wire.leave()
        status, head, _ = second.answer()
    assert (status, fault_of(head)) == (503, b"legacy-connect-tripped")


def test_a_backend_that_cannot_be_reached_opens_it_and_one_dead_endpoint_of_two_does_not(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    new.stop_listening()
    node = start(legacy=(legacy.url, new.url), legacy_options={"breaker": LONG})
    for _ in range(10):
        with node.client() as client:
            client.send(get())
            legacy.serves(client)
    assert breaker(node, "open") == 0
    with node.client() as client:
        client.send(get("/new/"))  # the same address is new's, too, and has its own breaker there
        assert client.answer()[0] == 502
    node = start(legacy=new.url, legacy_options={"breaker": LONG})
    with node.client() as client:
        for expected in (502, 502, 503):
            client.send(get())
            assert client.answer()[0] == expected


def test_a_retry_that_is_withheld_says_nothing_of_an_endpoint_that_would_have_answered(
    start: Callable[..., Node], legacy: RawBackend, refusing: Callable[[], RawBackend]
) -> None:
    dead = [refusing() for _ in range(2)]
    options = {"breaker": LONG, "retries": Retries(percent=0, per_second=0), "care": HELD_OFF}
    node = start(legacy=(*(one.url for one in dead), legacy.url), legacy_options=options)

    def busier() -> None:
        for endpoint in node.traffic._endpoints.values():
            endpoint.in_flight = int(endpoint.url == legacy.url)

    node.do(busier)  # whichever two are drawn, a dead one is asked
    with node.client() as client:
        for _ in dead:
            client.send(get())
            assert client.answer()[0] == 502
        assert breaker(node, "open") == 0
        client.send(get())
        legacy.serves(client)
    legacy.stop_listening()
    with node.client() as client:  # now nobody is left who could
        for expected in (502, 502, 502, 503):
            client.send(get())
            assert client.answer()[0] == expected


def test_a_trial_without_a_retry_proves_nothing(
    start: Callable[..., Node], legacy: RawBackend, refusing: Callable[[], RawBackend]
) -> None:
    dead = refusing()
    retries = Retries(percent=0, per_second=0)
    options = {
        "breaker": BreakerCare(least=1, first_s=0.01, longest_s=3600.0, trials=1),
        "retries": retries,
        "care": HELD_OFF,
    }
    node = start(legacy=(dead.url, legacy.url), legacy_options=options)
    node.prefer(legacy.url)
    fail(node, legacy, 1)
    eventually(lambda: breaker(node, "half_open") == 1, "it lets one through")
    node.prefer(dead.url)
    with node.client() as client:
        client.send(get())
        assert client.answer()[0] == 502
        assert breaker(node, "half_open") == 1
        client.send(get())
        legacy.serves(client)
    eventually(lambda: breaker(node, "half_open") == 0, "it has proved itself")
    assert breaker(node, "open") == 0


@pytest.mark.parametrize(("statuses", "opens"), [((), 0), ((503,), 1), ((502,), 0)])
def test_an_answer_is_an_answer_unless_its_status_is_said_to_be_none(
    start: Callable[..., Node], legacy: RawBackend, statuses: tuple[int, ...], opens: int
) -> None:
    node = start(legacy_options={"breaker": BreakerCare(least=4, first_s=3600.0, longest_s=3600.0, statuses=statuses)})
    with node.client() as client, ExitStack() as stack:
        wire = None
        for _ in range(4):
            client.send(get())
            wire = wire or stack.enter_context(legacy.accept())
            wire.head()
            wire.send(UNAVAILABLE)
            assert client.answer()[0] == 503
    eventually(lambda: node.do(lambda: node.traffic.in_flight) == 0, "the last one is over")
    assert breaker(node, "open") == opens


def test_a_reload_that_switches_it_off_lets_everybody_through(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(legacy_options={"breaker": LONG})
    fail(node, legacy)
    node.swap(a_plan(legacy.url, new.url, legacy_options={"breaker": BreakerCare(share_bp=0)}))
    assert node.do(lambda: node.traffic._loads[Backend.LEGACY].ceiling) > 0
    with node.client() as client:
        client.send(get())
        legacy.serves(client)
    assert breaker(node, "open") == 0


def test_connections_for_which_a_requests_total_was_too_short_count(start: Callable[..., Node]) -> None:
    with full_backlog() as url:
        node = start(legacy=url, legacy_options={"breaker": LONG, "total_s": 0.25, "connect_s": 60.0})
        with node.client() as client:
            for _ in range(2):
                client.send(get())
                status, head, _ = client.answer()
                assert (status, fault_of(head)) == (504, b"legacy-connect-timeout")
            client.send(get())
            status, head, _ = client.answer()
            assert (status, fault_of(head)) == (503, b"legacy-connect-tripped")


def test_a_rollback_does_not_wait_for_an_open_breaker_of_legacy(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(legacy_options={"breaker": LONG})
    fail(node, legacy)
    assert breaker(node, "open") == 1

    def roll_back() -> None:
        node.latch = EVERYTHING
        node.traffic.latch_changed()

    node.do(roll_back)
    with node.client() as client:
        client.send(get("/new/"))
        with legacy.accept() as wire:
            wire.head()
            for _ in range(LONG.trials):
                wire.send(OK)
                assert client.answer()[0] == 200
                client.send(get("/new/"))
                wire.head()
            wire.send(OK)
            assert client.answer()[0] == 200
    assert (breaker(node, "open"), breaker(node, "half_open")) == (0, 0)


def test_while_nobody_asks_it_stays_half_open_and_says_for_how_long(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    node = start(legacy_options={"breaker": SHORT})
    seconds = 'strangler_breaker_half_open_s{backend="legacy"}'
    fail(node, legacy)
    assert node.count(seconds) == 0
    eventually(lambda: node.count(seconds) >= 1, "a second without a request")
    assert breaker(node, "half_open") == 1
    with node.client() as client:
        for _ in range(2):
            client.send(get())
            legacy.serves(client)
    eventually(lambda: breaker(node, "half_open") == 0, "it is closed")
    assert node.count(seconds) == 0
