"""Several endpoints of one backend: who is asked, who is left out, who comes back."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from proxy.core.care.endpointhealth import Standing
from proxy.core.care.reaching import BreakerCare, EndpointCare
from proxy.core.http.websocket import SWITCH_HEAD, accept
from tests.traffic.wire import OK, Node, RawBackend, Wire, a_plan, eventually, full_backlog

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
ERROR = b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno"
LONG = EndpointCare(faults=2, first_s=3600.0, longest_s=3600.0)


@pytest.fixture
def three() -> Iterator[list[RawBackend]]:
    """Three endpoints."""
    found = [RawBackend() for _ in range(3)]
    yield found
    for one in found:
        one.close()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "backend"]


def held_off(node: Node, url: str, why: str) -> int:
    return node.count(f'strangler_endpoint_held_off{{backend="legacy",endpoint="{url}",why="{why}"}}')


def choices(node: Node, times: int) -> set[str]:
    """Which endpoints would be asked."""

    def choose() -> set[str]:
        traffic = node.traffic
        pool = next(iter(traffic.wiring.outlets.values())).pool
        found = [pool.choose(traffic.tick) for _ in range(times)]
        return {one.url for one in found if one is not None}

    return node.do(choose)


def test_requests_spread_over_three_endpoints_by_what_each_has_in_flight(
    start: Callable[..., Node], three: list[RawBackend]
) -> None:
    node = start(legacy=tuple(one.url for one in three))
    with ExitStack() as stack:
        clients = [stack.enter_context(node.client()) for _ in range(30)]
        for client in clients:
            client.send(GET)
        eventually(lambda: node.do(lambda: node.traffic.in_flight) == 30, "all are in flight")
        loads = node.do(lambda: [one.in_flight for one in node.traffic._endpoints.values()][:3])
        assert sum(loads) == 30
        assert max(loads) - min(loads) <= 6  # drawn at random without a look at the load they would differ by 9 or so


def test_an_endpoint_that_refuses_is_asked_last_and_no_request_fails(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    new.stop_listening()
    node = start(legacy=(legacy.url, new.url), legacy_options={"care": LONG})
    with node.client() as client:
        for _ in range(40):
            client.send(POST)
            with legacy.accept() as backend:
                backend.head()
                backend.send(LAST)
                assert client.answer()[0] == 200
    assert held_off(node, new.url, "unreachable") == 1
    assert choices(node, 100) == {legacy.url}
    assert node.count("strangler_retries_total") == 1


def test_an_endpoint_that_leaves_requests_unanswered_is_ejected_and_told_once(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(legacy=(legacy.url, new.url), legacy_options={"care": LONG})
    cut = 0
    while cut < 2:
        with node.client() as client:
            client.send(POST)
            endpoint, wire = whoever_is_asked(legacy, new)
            with wire:
                wire.head()
                if endpoint is new:
                    cut += 1
                    wire.leave()
                    assert client.answer()[0] == 502
                else:
                    wire.send(OK)
                    assert client.answer()[0] == 200
    assert held_off(node, new.url, "ejected") == 1
    assert node.count("strangler_endpoint_ejections_total") == 1
    assert told(caplog) == [
        f"legacy {new.url} leaves requests unanswered, 2 in a row; its other endpoints are asked first"
    ]
    assert choices(node, 100) == {legacy.url}


def test_errors_that_a_system_answers_eject_nobody(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(legacy=(legacy.url, new.url), legacy_options={"care": LONG})
    for _ in range(12):
        with node.client() as client:
            client.send(GET)
            _, wire = whoever_is_asked(legacy, new)
            with wire:
                wire.head()
                wire.send(ERROR)
                assert client.answer()[0] == 500
    assert choices(node, 100) == {legacy.url, new.url}


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (UPGRADE, b"HTTP/1.1 101 Go\r\n" + SWITCH_HEAD + b"Sec-WebSocket-Accept: " + accept(KEY) + b"\r\n\r\n"),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"),
    ],
)
def test_an_answer_that_lasts_ends_a_row_of_requests_left_unanswered_when_it_begins(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend, request_: bytes, answer: bytes
) -> None:
    node = start(legacy=(legacy.url, new.url), legacy_options={"care": LONG})

    def cut() -> None:
        node.prefer(new.url)
        with node.client() as client:
            client.send(POST)
            with new.accept() as backend:
                backend.head()
                backend.leave()
                assert client.answer()[0] == 502

    with node.client() as client:
        cut()
        node.prefer(new.url)
        client.send(request_)
        with new.accept() as lasting:
            lasting.head()
            lasting.send(answer)
            client.head()
            cut()
            assert held_off(node, new.url, "ejected") == 0
            cut()
            assert held_off(node, new.url, "ejected") == 1


def test_half_of_them_stay_in_however_many_leave_requests_unanswered(
    start: Callable[..., Node], three: list[RawBackend]
) -> None:
    node = start(
        legacy=tuple(one.url for one in three), legacy_options={"care": LONG, "breaker": BreakerCare(share_bp=0)}
    )
    for _ in range(30):
        with node.client() as client:
            client.send(POST)
            with whoever_is_asked(*three)[1] as wire:
                wire.head()
                wire.leave()
                assert client.answer()[0] == 502
    assert node.count("strangler_endpoint_held_off") == 1
    assert len(choices(node, 100)) == 2


def test_when_none_can_be_reached_all_are_tried_and_the_first_that_is_back_serves(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(legacy=(legacy.url, new.url), legacy_options={"care": LONG})
    legacy.stop_listening()
    new.stop_listening()
    with node.client() as client:
        client.send(GET)
        assert client.answer()[0] == 502
        assert choices(node, 100) == {legacy.url, new.url}
        new.listen_again()
        client.send(GET)
        new.serves(client)
        assert held_off(node, new.url, "returning") == 1
        assert held_off(node, legacy.url, "unreachable") == 1


def test_an_endpoint_that_returns_gets_its_whole_part_in_the_end(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    care = EndpointCare(first_s=0.25, longest_s=0.25, slow_start_s=0.5)
    node = start(legacy=(legacy.url, new.url), legacy_options={"care": care})
    endpoint = next(one for one in node.traffic._endpoints.values() if one.url == new.url)
    node.do(lambda: endpoint.unreachable(node.traffic.tick))
    eventually(lambda: held_off(node, new.url, "returning") == 1, "its time is over")
    node.do(lambda: endpoint.connected(node.traffic.tick))
    eventually(lambda: not endpoint.minded, "all is forgotten")
    assert node.count("strangler_endpoint_held_off") == 0


def test_a_blackholed_endpoint_costs_one_wait_and_not_one_for_each_request(
    start: Callable[..., Node], legacy: RawBackend
) -> None:
    with full_backlog() as url:
        node = start(legacy=(url, legacy.url), legacy_options={"care": LONG, "connect_s": 0.5})
        with node.client() as client:
            for _ in range(40):
                client.send(GET)
                with legacy.accept() as backend:
                    backend.head()
                    backend.send(LAST)
                    assert client.answer()[0] == 200
        assert node.count("strangler_retries_total") == 1


def test_what_is_believed_of_an_endpoint_that_is_gone_is_no_longer_shown(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(legacy=(legacy.url, new.url), legacy_options={"care": LONG})
    endpoint = next(one for one in node.traffic._endpoints.values() if one.url == new.url)
    node.do(lambda: endpoint.unreachable(node.traffic.tick))
    assert node.count("strangler_endpoint_held_off") == 1
    node.swap(a_plan(legacy.url, legacy.url))
    assert node.count("strangler_endpoint_held_off") == 0
    assert endpoint.health.believed(node.traffic.tick) is Standing.UNREACHABLE


def whoever_is_asked(*endpoints: RawBackend) -> tuple[RawBackend, Wire]:
    """The endpoint that gets a connection, and that."""
    ready, _, _ = select.select([one.listening for one in endpoints], [], [], 10)
    asked = next(one for one in endpoints if one.listening in ready)
    return asked, asked.accept()


def test_endpoints_whose_probes_fail_are_asked_last_and_when_all_fail_all_are_asked(
    start: Callable[..., Node], three: list[RawBackend]
) -> None:
    urls = {one.url for one in three}
    node = start(legacy=tuple(one.url for one in three))
    first, *others = sorted(urls)
    node.do(lambda: node.traffic.heed_probes(frozenset({f"legacy {first}"})))
    assert choices(node, 100) == set(others)
    assert held_off(node, first, "unhealthy") == 1
    node.do(lambda: node.traffic.heed_probes(frozenset(f"legacy {url}" for url in urls)))
    assert choices(node, 100) == urls
    node.do(lambda: node.traffic.heed_probes(frozenset()))
    assert node.count("strangler_endpoint_held_off") == 3  # returning
    node.do(lambda: node.traffic.heed_probes(frozenset({f"legacy {url}" for url in others})))
    assert choices(node, 200) == urls - set(others)


def test_what_probes_say_holds_for_endpoints_of_the_next_generation(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start()
    node.do(lambda: node.traffic.heed_probes(frozenset({f"legacy {new.url}"})))
    node.swap(a_plan((legacy.url, new.url), new.url))
    assert choices(node, 100) == {legacy.url}
