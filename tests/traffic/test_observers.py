"""What is looked at beyond the usual counts, and only where it is wanted."""

from __future__ import annotations

from collections.abc import Callable

from proxy.core.plan import Identity, Source
from proxy.core.telling.pages import TextPage
from proxy.core.telling.sightings import Seen
from tests.traffic.lasting import stream
from tests.traffic.wire import OK, Node, RawBackend, a_plan, build, eventually

BY_COOKIE = Identity(region=(Source(source="cookie", name="region", place="-"),))

Start = Callable[..., Node]


def asked(node: Node, backend: RawBackend, path: bytes = b"/x", fields: bytes = b"", answer: bytes = OK) -> None:
    with node.client() as client:
        client.send(b"GET %b HTTP/1.1\r\nHost: shop\r\n%b\r\n" % (path, fields))
        with backend.accept() as server:
            server.head()
            server.send(answer)
        client.answer()


def seen(node: Node) -> set[str]:
    text = TextPage(node.regions).read_text()
    seen = Seen()
    if text is not None:
        seen.add(text)
    return set(seen.last_s)


def test_routes_are_counted_by_status_and_time_where_that_is_wanted(
    start: Start, legacy: RawBackend, new: RawBackend
) -> None:
    node = start(metrics_by_route=True)
    asked(node, new, b"/new/a?client=bytes")
    asked(node, new, b"/new/b", answer=OK.replace(b"200", b"503"))
    asked(node, legacy)
    counted = {name: value for name, value in node.counters.items() if "strangler_route_requests" in name}
    assert counted == {
        'strangler_route_requests_total{route="moved/1",backend="new",status="2xx"}': 1,
        'strangler_route_requests_total{route="moved/1",backend="new",status="5xx"}': 1,
        'strangler_route_requests_total{route="-",backend="legacy",status="2xx"}': 1,
    }
    took_us = node.count('strangler_route_time_us_total{route="moved/1",backend="new"}')
    assert took_us > 0
    with stream(node, new, b"/new/events") as (client, server):
        server.leave()
        assert client.until(b"0\r\n\r\n")
    eventually(lambda: node.count('strangler_route_requests_total{route="moved/1"') == 3, "the stream is counted")
    assert node.count('strangler_route_time_us_total{route="moved/1",backend="new"}') == took_us


def test_routes_are_not_counted_where_nobody_asked_and_a_reload_may_change_that(
    start: Start, legacy: RawBackend, new: RawBackend
) -> None:
    node = start()
    asked(node, legacy)
    node.do(lambda: node.traffic.swap(build(a_plan(legacy.url, new.url, metrics_by_route=True), 2)))
    asked(node, legacy)
    node.do(lambda: node.traffic.swap(build(a_plan(legacy.url, new.url), 3)))
    asked(node, legacy)
    assert node.count("strangler_requests_total") == 3
    assert node.count("strangler_route_requests_total") == 1


def test_regions_that_requests_have_stand_on_the_page_and_in_no_metric(start: Start, legacy: RawBackend) -> None:
    node = start(identity=BY_COOKIE)
    asked(node, legacy, fields=b"Cookie: region=DE\r\n")
    asked(node, legacy, fields=b"Cookie: region=Osterreich-Ost\r\n")
    asked(node, legacy)
    eventually(lambda: seen(node) == {"DE", "Osterreich-Ost"}, "both regions are published")
    assert not [name for name, _ in node.counters.items() if "DE" in name or "Osterreich" in name]
