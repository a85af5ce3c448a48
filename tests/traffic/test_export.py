"""Spans reach a collector that speaks OTLP over HTTP; one that doesn't answer costs spans, and nothing else."""

from __future__ import annotations

import functools
import gzip
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from proxy.core.plan import Area, Clause, Flag, Identity, Plan, Route, Source, Tracing
from proxy.traffic.telling import export
from tests.traffic.wire import OK, Node, RawBackend, a_plan, build, eventually

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00f067aa0ba902b7"
SAMPLED = b"traceparent: 00-%b-%b-01" % (TRACE, PARENT)
STATE = b"tracestate: congo=t61rcWkgMzE"

Start = Callable[..., Node]


class Collector:
    """Takes what is posted to it, decoded; `takes` False: refuses it for good."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.paths: list[str] = []
        self.takes = True
        self.let_go = threading.Event()
        self.let_go.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.let_go.wait(30)
                collector.paths.append(self.path)
                if collector.takes:
                    collector.requests.append(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200 if collector.takes else 400)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    @property
    def spans(self) -> list[Span]:
        several = [scope.spans for one in self.requests for part in one.resource_spans for scope in part.scope_spans]
        return [span for spans in several for span in spans]

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setattr(export, "_GATHER_S", 0.01)
    collector = Collector()
    yield collector
    collector.close()


def tracing(collector: Collector) -> Tracing:
    return Tracing(begin=True, sample_bp=10_000, export=collector.url)


def asked(node: Node, backend: RawBackend, target: bytes = b"/x", *lines: bytes, answer: bytes = OK) -> bytes:
    """Send a request that is answered; what its backend got of `traceparent`."""
    with node.client() as client:
        client.send(b"\r\n".join([b"GET %b HTTP/1.1" % target, b"Host: Shop.example:8080", *lines, b"", b""]))
        with backend.accept() as server:
            head = server.head()
            server.send(answer)
        client.answer()
    found = re.search(rb"\r\ntraceparent: (.*?)\r\n", head)
    return b"" if found is None else found[1]


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "string_value") for one in span.attributes}


def ramp(percent: int) -> dict[str, Any]:
    split = {"fractional": [["new", percent], ["legacy", 100 - percent]]}
    flag = Flag(
        key="orders",
        place="-",
        enabled=True,
        variants={"new": "new", "legacy": "legacy"},
        default="legacy",
        clauses=(Clause(id="1", place="-", then=split),),
        managed=True,
    )
    area = Area(name="orders", place="-", flag="orders")
    route = Route(id="orders/1", area="orders", place="-", path="/orders/{id}")
    identity = Identity(account=(Source(source="cookie", name="acct", place="-"),))
    return {"areas": (area,), "routes": (route,), "flags": (flag,), "identity": identity}


def test_a_request_is_one_span_that_says_who_answered_and_why(
    start: Start, new: RawBackend, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=rehearsal")
    node = start(tracing=tracing(collector), **ramp(100))
    traceparent = asked(node, new, b"/orders/7?secret=1", SAMPLED, STATE, b"Cookie: acct=acme")
    (span,) = eventually(lambda: collector.spans, "the span is there")
    assert collector.paths == ["/v1/traces"]
    assert traceparent == b"00-%b-%b-01" % (TRACE, span.span_id.hex().encode())
    assert (span.trace_id.hex().encode(), span.parent_span_id.hex().encode()) == (TRACE, PARENT)
    assert span.trace_state == "congo=t61rcWkgMzE"
    assert (span.name, span.kind) == ("GET /orders/{id}", Span.SPAN_KIND_SERVER)
    told = attributes(span)
    assert told.pop("strangler.request_id").encode() in node.log_lines(1)[0]
    assert 0 <= told.pop("strangler.head_us") <= (span.end_time_unix_nano - span.start_time_unix_nano) / 1000
    assert told == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/orders/{id}",
        "url.path": "/orders/7",
        "url.scheme": "http",
        "server.address": "shop.example",
        "network.protocol.version": "1.1",
        "strangler.area": "orders",
        "strangler.route": "orders/1",
        "strangler.backend": "new",
        "strangler.reason": "share",
        "strangler.clause": "1",
        "strangler.bucket": 73,
        "strangler.share_bp": 10_000,
        "strangler.generation": 1,
        "strangler.endpoint": new.url,
    }
    sender = {one.key: one.value.string_value for one in collector.requests[0].resource_spans[0].resource.attributes}
    assert sender["service.name"] == "strangler"
    assert sender["deployment.environment.name"] == "rehearsal"
    assert span.status.code == Status.STATUS_CODE_UNSET


def test_a_fault_makes_its_span_an_error_of_its_name(start: Start, legacy: RawBackend, collector: Collector) -> None:
    node = start(tracing=tracing(collector))
    with node.client() as client:
        client.send(b"GET /x HTTP/1.1\r\nHost: shop\r\n\r\n")
        with legacy.accept() as server:
            server.head()
        assert client.answer()[0] == 502
    (span,) = eventually(lambda: collector.spans, "the span is there")
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert attributes(span)["error.type"] == "legacy-head-cut"
    assert span.name == "GET"
    assert not span.parent_span_id


def test_what_somebody_else_chose_not_to_sample_passes_unchanged_and_is_not_exported(
    start: Start, legacy: RawBackend, collector: Collector
) -> None:
    node = start(tracing=tracing(collector))
    unsampled = b"00-%b-%b-00" % (TRACE, PARENT)
    assert asked(node, legacy, b"/x", b"traceparent: " + unsampled) == unsampled
    asked(node, legacy, b"/x", SAMPLED)
    (span,) = eventually(lambda: collector.spans, "the sampled one's span is there")
    assert span.parent_span_id.hex().encode() == PARENT


def test_a_collector_that_hangs_holds_no_request_up_and_costs_only_spans(
    start: Start, legacy: RawBackend, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "SPANS_WAITING", 3)
    node = start(tracing=tracing(collector))
    collector.let_go.clear()
    for _ in range(10):
        asked(node, legacy)
    dropped = eventually(lambda: node.count("strangler_spans_dropped_total"), "drops are counted")
    collector.let_go.set()
    eventually(lambda: node.count("strangler_spans_exported_total") + dropped >= 10, "the rest is sent")
    assert len(collector.spans) == 10 - node.count("strangler_spans_dropped_total")


def test_trouble_with_the_collector_is_told_once_and_so_is_its_end(
    start: Start, legacy: RawBackend, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    node = start(tracing=tracing(collector))
    collector.takes = False

    def lost(count: int) -> bool:
        return node.count("strangler_spans_dropped_total") == count

    for count in (1, 2):
        asked(node, legacy)
        eventually(functools.partial(lost, count), "it is counted")
    collector.takes = True
    asked(node, legacy)
    eventually(lambda: node.count("strangler_spans_exported_total"), "one is taken")
    first, last = [record.getMessage() for record in caplog.records if record.name == "tracing"]
    assert re.match(rf"spans can't be exported to {collector.url}: .*400", first)
    assert last == f"{collector.url} takes spans again; 2 are lost"


def plan(legacy: RawBackend, new: RawBackend, settings: Tracing | None) -> Plan:
    return a_plan(legacy.url, new.url, tracing=settings)


def test_a_reload_begins_and_ends_the_export_and_what_waits_is_sent(
    start: Start, legacy: RawBackend, new: RawBackend, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = start()
    asked(node, legacy)
    node.do(lambda: node.traffic.swap(build(plan(legacy, new, tracing(collector)), 2)))
    collector.let_go.clear()
    asked(node, legacy)
    asked(node, legacy)
    node.do(lambda: node.traffic.swap(build(plan(legacy, new, None), 3)))
    asked(node, legacy)
    collector.let_go.set()
    eventually(lambda: node.count("strangler_spans_exported_total") == 2, "what waited is sent and counted")
    assert [attributes(span)["strangler.generation"] for span in collector.spans] == [2, 2]


def test_a_worker_that_ends_sends_what_waits(start: Start, legacy: RawBackend, collector: Collector) -> None:
    node = start(tracing=tracing(collector))
    asked(node, legacy, answer=OK.replace(b"200 OK", b"299 Odd"))
    node.do(node.traffic.observers.close)
    assert [attributes(span)["http.response.status_code"] for span in collector.spans] == [299]
    assert node.count("strangler_spans_exported_total") == 1
