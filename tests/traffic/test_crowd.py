"""How many clients may be connected, in all and from one address, and what becomes of one too many."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from proxy.core.limits import Limit, Limits
from proxy.core.plan import Identity, Listener
from proxy.traffic.clients.crowd import site_of
from proxy.traffic.limits import affordable_connections
from tests.traffic.wire import OK, Node, RawBackend, Wire, a_plan, build, eventually, full_backlog

Start = Callable[..., Node]

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
TWO_EACH = Limits(connections_per_client=2)


def served(client: Wire, legacy: RawBackend) -> bool:
    """Whether a request of this client is answered by the backend."""
    client.send(GET)
    with legacy.accept() as backend:
        backend.head()
        backend.send(OK[:17] + b"Connection: close\r\n" + OK[17:])
        return client.answer()[2] == b"ok"


def connected(node: Node, count: int) -> None:
    eventually(lambda: node.do(lambda: len(node.traffic._clients)) == count, f"{count} clients")


def reached(node: Node, limit: Limit) -> int:
    return node.count(f'strangler_limits_reached_total{{limit="{limit}"}}')


def test_one_address_has_so_many_connections_and_the_next_is_told(
    start: Start, legacy: RawBackend, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(limits=TWO_EACH)
    with node.client() as first, node.client() as second:
        assert served(first, legacy)
        for _ in range(2):
            with node.client() as third:
                answer = third.rest()
                assert answer.startswith(b"HTTP/1.1 429 ")
                assert re.search(rb"\r\nRetry-After: \d+\r\n", answer)
                assert b"X-Strangler-Error: client-connect-busy\r\n" in answer
            connected(node, 2)
        assert served(second, legacy)
        first.leave()
        connected(node, 1)
        with node.client() as fourth:
            assert served(fourth, legacy)
    assert reached(node, Limit.CONNECTIONS_PER_CLIENT) == 2
    assert node.count('strangler_refused_total{reason="client-connect-busy"}') == 2
    assert len([text for text in caplog.messages if "127.0.0.1 has more than the 2 connections" in text]) == 1


def test_an_address_that_does_not_take_no_for_an_answer_is_reset(start: Start) -> None:
    node = start(limits=TWO_EACH)
    clients = [node.client() for _ in range(4)]  # the third and fourth are told, and linger
    connected(node, 4)
    with node.client() as fifth:
        assert fifth.ends() == "reset"
    for client in clients:
        client.leave()


def test_trusted_peers_stand_for_many_and_have_no_limit(start: Start, legacy: RawBackend) -> None:
    node = start(limits=TWO_EACH, identity=Identity(trusted_from=("127.0.0.1/32",)))
    with node.client(), node.client(), node.client() as third:
        assert served(third, legacy)


def test_a_limit_that_comes_with_a_reload_counts_whoever_is_connected(start: Start, legacy: RawBackend) -> None:
    node = start()
    with node.client(), node.client() as second:
        assert served(second, legacy)
        node.do(lambda: node.traffic.swap(build(a_plan(legacy.url, legacy.url, limits=TWO_EACH), 2)))
        with node.client() as third:
            assert third.rest().startswith(b"HTTP/1.1 429 ")
        node.do(lambda: node.traffic.swap(build(a_plan(legacy.url, legacy.url), 3)))
        with node.client() as third:
            assert served(third, legacy)


def test_addresses_told_by_proxy_protocol_count_each_for_itself(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(connections_per_client=1), listener=Listener(proxy_protocol_from=("127.0.0.1/32",)))
    told = b"PROXY TCP4 203.0.113.%d 192.0.2.1 4711 80\r\n"
    with node.client() as first, node.client() as other, node.client() as again:
        first.send(told % 1)
        assert served(first, legacy)
        other.send(told % 2)
        assert served(other, legacy)
        again.send(told % 1)
        assert again.rest().startswith(b"HTTP/1.1 429 ")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b"203.0.113.1", b"203.0.113.2", False),
        (b"203.0.113.1", b"::ffff:203.0.113.1", True),
        (b"2001:db8::1", b"2001:db8::ffff:2", True),
        (b"2001:db8:0:1::1", b"2001:db8:0:2::1", False),
        (b"fe80::1%eth0", b"fe80::2%eth0", True),
    ],
)
def test_who_may_use_any_address_of_a_network_is_one_client(one: bytes, other: bytes, *, same: bool) -> None:
    assert (site_of(one) == site_of(other)) is same


@pytest.mark.parametrize("listener", [Listener(), Listener(proxy_protocol_from=("127.0.0.2/32",))], ids=["plain", "by hand"])  # fmt: skip
def test_when_all_places_are_taken_newcomers_wait_until_somebody_goes(
    start: Start, legacy: RawBackend, caplog: pytest.LogCaptureFixture, listener: Listener
) -> None:
    node = start(limits=Limits(connections=2), listener=listener)
    with node.client() as first, node.client() as second, node.client() as third:
        first.send(GET)
        second.send(GET)
        with legacy.accept() as one, legacy.accept() as two:
            one.head()
            two.head()
            third.send(GET)
            began = node.traffic.tick
            eventually(lambda: node.traffic.tick > began + 2, "two ticks later")
            assert not legacy.has_caller()  # nobody accepted it
            assert len(node.traffic._clients) == 2
            one.send(OK)
            two.send(OK)
            assert first.answer()[2] == second.answer()[2] == b"ok"
            first.leave()
            for backend in (one, two):
                backend.leave()
        with legacy.accept() as backend:
            backend.head()
            backend.send(OK)
            assert third.answer()[2] == b"ok"
    assert reached(node, Limit.CONNECTIONS) >= 1
    assert len([text for text in caplog.messages if "as many as limits.connections allows" in text]) == 1


def test_who_has_been_idle_longest_makes_room(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(connections=3))
    with node.client() as oldest, node.client() as younger, node.client() as newest, node.client() as waiting:
        assert oldest.rest() == b""  # closed, though its 75 s aren't over
        assert served(waiting, legacy)
        assert served(newest, legacy)
        del younger


def test_a_request_whose_client_left_holds_its_place_until_it_is_over(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(connections=1))
    with node.client() as first:
        first.send(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nab")
        backend = legacy.accept()
        backend.head()
    eventually(lambda: node.do(lambda: len(node.traffic.orphans)) == 1, "it runs on")
    with backend, node.client() as second:
        second.send(GET)
        began = node.traffic.tick
        eventually(lambda: node.traffic.tick > began + 2, "two ticks later")
        assert not legacy.has_caller()
        backend.send(OK[:17] + b"Connection: close\r\n" + OK[17:])
        with legacy.accept() as another:
            another.head()
            another.send(OK)
            assert second.answer()[2] == b"ok"


def test_attempts_to_connect_for_clients_that_left_hold_their_places(start: Start) -> None:
    with full_backlog() as nowhere:
        node = start(legacy=nowhere, legacy_options={"connect_s": 0.5}, limits=Limits(connections=8))
        most = 0
        for _ in range(40):
            with node.client() as client:
                client.send(GET)
                client.reset()
            most = max(most, node.do(lambda: len(node.traffic._tasks)))
        assert 4 < most <= 8 + 4  # a few come in one turn of the loop, before anybody is seen to have left
        assert reached(node, Limit.CONNECTIONS) >= 1
    with node.client() as client:  # nobody listens there any more
        client.send(GET)
        assert client.answer()[0] in {502, 503}
    eventually(lambda: node.do(lambda: node.traffic.deserted) == 0, "nothing is left of them")


def test_a_reload_that_makes_room_lets_in_who_waits(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(connections=1))
    with node.client() as first, node.client() as second:
        first.send(GET)
        with legacy.accept() as backend:
            backend.head()
            eventually(lambda: node.traffic.doors.held, "nobody else is let in")
            node.do(lambda: node.traffic.swap(build(a_plan(legacy.url, legacy.url, limits=Limits(connections=5)), 2)))
            second.send(GET)
            with legacy.accept() as another:
                another.head()
                another.send(OK)
                assert second.answer()[2] == b"ok"


def test_whoever_waits_when_the_worker_ends_is_answered_still(start: Start, legacy: RawBackend) -> None:
    node = start(limits=Limits(connections=1))
    with node.client() as first, node.client() as second:
        first.send(GET)
        with legacy.accept() as backend:
            backend.head()
            second.send(GET)
            eventually(lambda: node.traffic.doors.held, "nobody else is let in")
            draining = node.begin(node.traffic.drain(10))
            with legacy.accept() as another:
                another.head()
                another.send(OK)
                backend.send(OK)
                assert second.answer()[2] == first.answer()[2] == b"ok"
            draining.result(10)


def test_a_worker_gets_its_part_of_the_nodes_places(start: Start) -> None:
    assert start(limits=Limits(connections=5), share=2).traffic._clients.most == 3
    assert start().traffic._clients.most == affordable_connections()


def test_more_places_than_there_are_descriptors_for_are_not_promised_and_that_is_said(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(limits=Limits(connections=10_000_000))
    assert node.traffic._clients.most == affordable_connections()
    assert len([text for text in caplog.messages if "limits.connections wants 10000000 here" in text]) == 1
