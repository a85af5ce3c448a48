"""A host with several addresses, and addresses that come and go, as requests meet them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from proxy.core.care.reaching import EndpointCare
from tests.traffic.wire import OK, Node, RawBackend, Wire, eventually

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="needs several loopback addresses; on macOS: ifconfig lo0 alias 127.0.0.2"
)

Start = Callable[..., Node]

GET = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n"
ONE, TWO = "127.0.0.1", "127.0.0.2"


@pytest.fixture
def two(legacy: RawBackend) -> Iterator[RawBackend]:
    """The second address of the host whose first one `legacy` has."""
    found = RawBackend()
    found.listening.close()
    found.listening = socket.create_server((TWO, legacy.port))
    found.listening.settimeout(10)
    yield found
    found.close()


@pytest.fixture
def node(start: Start, legacy: RawBackend) -> Node:
    """Legacy is known by a name that the system doesn't have: without addresses it couldn't be reached."""
    care = EndpointCare(first_s=3600.0, longest_s=3600.0)
    return start(legacy=f"http://shop.invalid:{legacy.port}", legacy_options={"care": care})


def heed(node: Node, *addresses: str) -> None:
    node.do(lambda: node.traffic.heed_addresses({"shop.invalid": addresses} if addresses else {}))


def served(node: Node, backend: RawBackend, client: Wire) -> Wire:
    client.send(GET)
    wire = backend.accept()
    wire.head()
    wire.send(OK)
    assert client.answer()[2] == b"ok"
    return wire


def targets(node: Node) -> list[str]:
    return node.do(lambda: [one.target for one in node.traffic._endpoints.values() if one.backend == "legacy"])


def test_every_address_takes_its_part(node: Node, legacy: RawBackend, two: RawBackend) -> None:
    heed(node, ONE, TWO)
    clients = [node.client() for _ in range(4)]
    for client in clients:
        client.send(GET)
    eventually(lambda: node.do(lambda: node.traffic.in_flight) == 4, "all are under way before the first is answered")
    for backend in (legacy, two):  # two each, by what each has in flight
        for _ in range(2):
            with backend.accept() as wire:
                wire.head()
                wire.send(OK)
    for client in clients:
        assert client.answer()[2] == b"ok"
        client.sock.close()


def test_an_address_that_cannot_be_reached_costs_no_request(node: Node, legacy: RawBackend, two: RawBackend) -> None:
    two.close()
    heed(node, ONE, TWO)
    for _ in range(20):
        with node.client() as client:
            served(node, legacy, client).leave()
    name = f'endpoint="http://shop.invalid:{legacy.port} {TWO}",why="unreachable"'
    assert node.count(f'strangler_endpoint_held_off{{backend="legacy",{name}') == 1
    heed(node, ONE)
    assert node.count(f'strangler_endpoint_held_off{{backend="legacy",{name}') == 0


def test_an_address_that_vanished_ends_what_it_has_begun_and_gets_nothing_more(
    node: Node, legacy: RawBackend, two: RawBackend
) -> None:
    heed(node, ONE)
    with node.client() as idle, node.client() as busy, node.client() as client:
        busy.send(GET)
        begun = legacy.accept()
        begun.head()
        rested = served(node, legacy, idle)
        heed(node, TWO)
        assert rested.ends() in {"closed", "reset"}
        begun.send(OK)
        assert busy.answer()[2] == b"ok"
        assert begun.ends() in {"closed", "reset"}  # it isn't kept
        begun.leave()
        rested.leave()
        served(node, two, client).leave()
        assert not legacy.has_caller()


def test_an_address_that_stays_keeps_its_connections(node: Node, legacy: RawBackend, two: RawBackend) -> None:
    heed(node, ONE)
    with node.client() as client:
        wire = served(node, legacy, client)
        heed(node, ONE, TWO)
        heed(node, ONE)
        client.send(GET)
        wire.head()
        wire.send(OK)
        assert client.answer()[2] == b"ok"
        wire.leave()


def test_what_is_sent_once_more_goes_to_an_address_that_the_host_still_has(
    node: Node, legacy: RawBackend, two: RawBackend
) -> None:
    heed(node, ONE)
    with node.client() as client:
        first = served(node, legacy, client)
        client.send(GET)
        first.head()
        heed(node, TWO)
        first.leave()  # as a connection that was closed just when it was taken
        with two.accept() as again:
            again.head()
            again.send(OK)
            assert client.answer()[2] == b"ok"
        assert not legacy.has_caller()


def test_without_known_addresses_the_system_is_asked_for_the_name(start: Start, legacy: RawBackend) -> None:
    node = start(legacy=f"http://localhost:{legacy.port}")
    with node.client() as client:
        served(node, legacy, client).leave()
    assert targets(node) == ["localhost"]
    node.do(lambda: node.traffic.heed_addresses({"localhost": (ONE,)}))
    assert targets(node) == [ONE]
    eventually(lambda: node.do(lambda: node.traffic.in_flight) == 0, "it is over")
    node.do(lambda: node.traffic.heed_addresses({}))
    assert targets(node) == ["localhost"]
