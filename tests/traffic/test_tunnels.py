"""WebSockets as tunnels: bytes both ways, and their ends."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from proxy.core.care.reaching import QueueCare
from proxy.core.limits import Limits
from tests.traffic.lasting import asking, ended, passes, tunnel
from tests.traffic.test_leaving import FLAT_BYTES, fill
from tests.traffic.wire import Node, RawBackend, Wire, a_plan, build, eventually


@pytest.mark.parametrize("to_client", [True, False])
def test_whoever_reads_slowly_slows_the_other_side_down_and_nothing_is_lost(
    node: Node, legacy: RawBackend, *, to_client: bool
) -> None:
    with tunnel(node, legacy) as (client, server):
        source, sink = (server, client) if to_client else (client, server)
        sent = fill(source)
        assert sent < FLAT_BYTES
        assert sink.exactly(sent) == b"x" * sent
        passes(client, server)


def test_half_a_close_is_passed_on_and_the_other_direction_goes_on(node: Node, legacy: RawBackend) -> None:
    with tunnel(node, legacy) as (client, server):
        client.send(b"last words")
        client.sock.shutdown(1)
        assert server.rest() == b"last words"
        server.send(b"an answer all the same")
        assert client.exactly(22) == b"an answer all the same"
        server.leave()
        assert client.rest() == b""
    told = ended(node)
    assert (told["status"], told["fault"], told["closed_by"]) == (101, None, "client")


def test_what_waits_for_a_slow_client_still_arrives_after_the_backend_has_gone(node: Node, legacy: RawBackend) -> None:
    with tunnel(node, legacy) as (client, server):
        sent = fill(server)
        server.leave()
        assert client.rest() == b"x" * sent


@pytest.mark.parametrize("go", [Wire.leave, Wire.reset])
def test_a_client_that_leaves_is_no_fault_and_ends_it_at_the_backend(
    node: Node, legacy: RawBackend, go: Callable[[Wire], None]
) -> None:
    with tunnel(node, legacy) as (client, server):
        passes(client, server, b"twelve bytes")
        go(client)
        assert server.ends()
        server.leave()
        told = ended(node)
    assert (told["status"], told["fault"], told["closed_by"]) == (101, None, "client")
    head_bytes = len(asking())
    assert told["received"] == head_bytes + 12
    assert isinstance(told["sent"], int)
    assert told["sent"] > 12
    assert node.count("strangler_faults_total") == 0
    assert node.count('strangler_requests_total{area="-",backend="legacy",status="1xx"}') == 1


def test_a_backend_that_closes_is_no_fault_and_one_that_breaks_is(node: Node, legacy: RawBackend) -> None:
    with tunnel(node, legacy) as (client, server):
        server.leave()
        assert client.rest() == b""
        client.leave()
        told = ended(node)
        assert (told["fault"], told["closed_by"]) == (None, "legacy")
    with tunnel(node, legacy) as (client, server):
        server.reset()
        client.ends()
        told = json.loads(node.log_lines(2)[1])
        assert (told["status"], told["fault"], told["closed_by"]) == (101, "legacy-body-cut", "legacy")


def test_a_tunnel_counts_as_in_flight_and_in_a_gauge_of_its_own_and_not_as_slow(
    start: Callable[..., Node], new: RawBackend
) -> None:
    node = start(new_options={"max_in_flight": 1, "queue": QueueCare(most=0)})
    gauge = 'strangler_tunnels_open{area="moved",backend="new"}'
    with tunnel(node, new, b"/new/chat") as (client, server):
        assert node.count(gauge) == 1
        with node.client() as another:
            another.send(b"GET /new/1 HTTP/1.1\r\nHost: shop\r\n\r\n")
            assert another.answer()[0] == 503
        client.leave()
        server.ends()
    eventually(lambda: node.count(gauge) == 0, "the gauge falls")
    assert node.do(lambda: node.traffic.in_flight) == 0
    assert node.do(lambda: node.traffic.lasting.held) == set()
    node.close()
    assert node.count('strangler_request_duration_us_count{backend="new"}') == 1  # the refused one


def test_a_tunnel_in_which_nothing_moves_is_ended(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(limits=Limits(tunnel_idle_s=0.5), legacy_options={"timeout_s": 0.01, "total_s": 0.01})
    with tunnel(node, legacy) as (client, server):
        assert client.rest() == b""
        assert server.ends()
    told = ended(node)
    assert (told["fault"], told["closed_by"]) == ("proxy-body-timeout", "proxy")


def test_half_a_tunnel_is_given_less_time(start: Callable[..., Node], legacy: RawBackend) -> None:
    node = start(limits=Limits(tunnel_half_closed_s=0.5))
    with tunnel(node, legacy) as (client, server):
        client.sock.shutdown(1)
        assert server.rest() == b""
        assert client.rest() == b""
    assert ended(node)["fault"] == "proxy-body-timeout"


def test_draining_gives_tunnels_time_and_ends_them_before_its_own_is_over(node: Node, legacy: RawBackend) -> None:
    with tunnel(node, legacy) as (client, server):
        drained = node.begin(node.traffic.drain(3.0))
        eventually(lambda: node.traffic.draining, "draining")
        passes(client, server)
        assert client.ends()
        assert server.ends()
        drained.result(10)
    told = ended(node)
    assert (told["fault"], told["closed_by"]) == ("proxy-body-drained", "proxy")


def test_draining_ends_as_soon_as_the_last_tunnel_has(node: Node, legacy: RawBackend) -> None:
    with tunnel(node, legacy) as (client, server):
        drained = node.begin(node.traffic.drain(600))
        eventually(lambda: node.traffic.draining, "draining")
        client.leave()
        server.rest()
        server.leave()
        drained.result(10)


def test_a_reload_leaves_a_tunnel_alone(node: Node, legacy: RawBackend, new: RawBackend) -> None:
    with tunnel(node, legacy) as (client, server):
        node.do(lambda: node.traffic.swap(build(a_plan(new.url, new.url), 2)))
        passes(client, server)
