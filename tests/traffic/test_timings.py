"""How long exchanges took: what is counted, and what must not be."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Backend
from proxy.core.telling.counters import PAGE_BYTES, Counters
from proxy.traffic.telling.timings import BOUNDS_US, Timings
from tests.traffic.lasting import stream, tunnel
from tests.traffic.wire import Node, RawBackend, eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def buckets(counters: Counters, name: str) -> list[int]:
    """How many lie in each bucket, from the cumulative counts."""
    values = dict(counters.items())
    upto = [values[f'{name}_bucket{{backend="new",le="{bound}"}}'] for bound in (*BOUNDS_US, "+Inf")]
    assert upto[-1] == values[f'{name}_count{{backend="new"}}']
    return [count - before for count, before in zip(upto, [0, *upto], strict=False)]


def expected(times: list[int]) -> list[int]:
    places = [bisect_left(BOUNDS_US, us) for us in times]
    return [places.count(place) for place in range(len(BOUNDS_US) + 1)]


near_bounds = st.sampled_from(BOUNDS_US).flatmap(lambda bound: st.integers(bound - 2, bound + 2))
microseconds = st.integers(0, 20_000_000) | near_bounds


@given(st.lists(st.lists(st.tuples(microseconds, st.none() | microseconds), max_size=5), max_size=4))
def test_every_exchange_stands_once_in_its_bucket_whenever_it_is_published(
    ticks: list[list[tuple[int, int | None]]],
) -> None:
    counters = Counters(memoryview(bytearray(PAGE_BYTES)))
    timings = Timings(counters, Backend.NEW)
    durations: list[int] = []
    heads: list[int] = []
    for tick in ticks:
        for more_us, head_us in tick:
            # Apart by more than one callback takes, or at one moment: what lies between is the callback itself.
            duration_us = more_us if head_us is None else head_us + (more_us if more_us >= 100 else 0)
            timings.add(duration_us, head_us)
            durations.append(duration_us)
            heads += [] if head_us is None else [head_us]
        timings.flush()
    assert buckets(counters, "strangler_request_duration_us") == expected(durations)
    assert buckets(counters, "strangler_request_head_us") == expected(heads)
    values = dict(counters.items())
    assert values['strangler_request_duration_us_sum{backend="new"}'] == sum(durations)
    assert values['strangler_request_head_us_sum{backend="new"}'] == sum(heads)


def counted(node: Node, name: str) -> int:
    return node.count(f'strangler_{name}_count{{backend="new"}}')


def test_what_lasts_is_counted_as_open_and_never_as_slow(node: Node, new: RawBackend) -> None:
    open_streams = 'strangler_event_streams_open{area="moved",backend="new"}'
    with stream(node, new, b"/new/events") as (client, server):
        assert node.count(open_streams) == 1
        server.leave()
        assert client.until(b"0\r\n\r\n")
    eventually(lambda: node.count("strangler_requests_total") == 1, "the stream is over")
    assert node.count(open_streams) == 0
    with tunnel(node, new, b"/new/chat"):
        pass
    with node.client() as client:
        client.send(b"GET /new/x HTTP/1.1\r\nHost: shop\r\n\r\n")
        with new.accept() as server:
            server.head()
            server.send(OK)  # the body comes apart
            client.head()
            server.send(b"ok")
            assert client.exactly(2) == b"ok"
    eventually(lambda: counted(node, "request_duration_us"), "the histogram is published")
    assert (counted(node, "request_duration_us"), counted(node, "request_head_us")) == (1, 1)
    assert counted(node, "backend_connect_us") == 3


def test_an_exchange_without_an_answer_has_no_head_to_be_timed(node: Node, new: RawBackend) -> None:
    with node.client() as client:
        client.send(b"GET /new/x HTTP/1.1\r\nHost: shop\r\n\r\n")
        with new.accept() as server:
            server.head()
        assert client.answer()[0] == 502
    eventually(lambda: counted(node, "request_duration_us"), "the histogram is published")
    assert counted(node, "request_head_us") == 0
