"""How long a backend is waited for is the route's word, else its area's, else the backend's. Time passes by moving the ticks."""

from __future__ import annotations

import json
from collections.abc import Callable

from proxy.core.care.reaching import Patience
from proxy.core.model import Backend
from proxy.core.plan import Area, Route
from proxy.traffic.limits import ticks
from tests.traffic.wire import OK, Node, RawBackend, eventually, full_backlog

Start = Callable[..., Node]

SHOP = Area(name="shop", place="-", flag="shop", patience={Backend.LEGACY: Patience(timeout_s=60.0, total_s=600.0)})
PLAIN = Route(id="shop/plain", area="shop", place="-", path="/shop", to=Backend.LEGACY)
EXPORT = Route(
    id="shop/export",
    area="shop",
    place="-",
    path="/export",
    to=Backend.LEGACY,
    patience={Backend.LEGACY: Patience(timeout_s=300.0, total_s=0.0)},
)


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode()


def later(node: Node, seconds: float) -> None:
    """Let time pass, and the deadlines be looked at."""

    def jump() -> None:
        node.traffic.tick += ticks(seconds)

    node.do(jump)
    now = node.traffic.tick
    eventually(lambda: node.traffic.tick > now, "a sweep")


def test_a_silence_is_borne_as_long_as_the_route_or_its_area_says(start: Start, legacy: RawBackend) -> None:
    node = start(areas=(SHOP,), routes=(PLAIN, EXPORT))
    clients = [node.client() for _ in range(3)]
    backends = []
    for client, path in zip(clients, ("/", "/shop", "/export"), strict=True):
        client.send(get(path))
        backends.append(legacy.accept())
        backends[-1].head()
    later(node, 20)
    assert clients[0].answer()[0] == 504  # the backend's 20 s
    later(node, 30)
    assert node.do(lambda: node.traffic.in_flight) == 2
    later(node, 15)
    assert clients[1].answer()[0] == 504  # the area's 60 s
    later(node, 200)
    backends[2].send(OK)
    assert clients[2].answer()[2] == b"ok"  # the route's 300 s
    for wire in (*clients, *backends):
        wire.sock.close()


def test_a_whole_exchange_may_take_as_long_as_the_route_or_its_area_says(start: Start, legacy: RawBackend) -> None:
    node = start(areas=(SHOP,), routes=(PLAIN, EXPORT), legacy_options={"timeout_s": 60.0, "total_s": 100.0})
    clients = [node.client() for _ in range(3)]
    backends = []
    for client, path in zip(clients, ("/", "/shop", "/export"), strict=True):
        client.send(get(path))
        backends.append(legacy.accept())
        backends[-1].head()
        backends[-1].send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.head()

    def alive() -> list[int]:
        """Who still gets what its backend sends."""
        found = []
        for i, (client, backend) in enumerate(zip(clients, backends, strict=True)):
            try:
                backend.send(b"1\r\nx\r\n")
                client.exactly(6)
            except (OSError, EOFError):
                continue
            found.append(i)
        return found

    for _ in range(2):
        later(node, 45)
        assert alive() == [0, 1, 2]
    later(node, 15)
    assert alive() == [1, 2]
    for _ in range(11):
        later(node, 45)
        alive()
    assert alive() == [2]
    faults = [json.loads(line)["fault"] for line in node.log_lines(2)]
    assert faults == ["legacy-body-timeout"] * 2
    for wire in (*clients, *backends):
        wire.sock.close()


def test_the_time_for_a_whole_exchange_runs_while_it_waits_for_a_connection(start: Start) -> None:
    with full_backlog() as url:
        node = start(new=url, new_options={"connect_s": 100.0, "total_s": 5.0})
        with node.client() as client:
            client.send(get("/new/"))
            eventually(lambda: node.do(lambda: node.traffic.in_flight) == 1, "the request waits for a connection")
            later(node, 5)
            status, head, _ = client.answer()
    assert (status, b"X-Strangler-Error: new-connect-timeout\r\n" in head) == (504, True)


def test_a_client_that_left_an_unsafe_request_leaves_it_as_long_as_its_route_says(
    start: Start, legacy: RawBackend
) -> None:
    node = start(areas=(SHOP,), routes=(EXPORT,))
    client = node.client()
    client.send(b"POST /export HTTP/1.1\r\nHost: shop\r\nContent-Length: 1\r\n\r\nx")
    with legacy.accept() as backend:
        backend.head()
        backend.exactly(1)
        client.reset()
        eventually(lambda: node.do(lambda: len(node.traffic.orphans)) == 1, "the client has left")
        later(node, 200)
        assert node.do(lambda: len(node.traffic.orphans)) == 1
        later(node, 100)
        assert backend.ends()
