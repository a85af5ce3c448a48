"""Which trace a backend is told of, and what of it stands in the log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from proxy.core.plan import Identity, Tracing
from proxy.core.switches.covering import LiveLatch
from proxy.traffic.telling.tracing import Tracer
from tests.traffic.wire import OK, Node, RawBackend, a_plan, build

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
VALID = b"00-%b-00f067aa0ba902b7-01" % TRACE
STATE = (b"tracestate: congo=t61rcWkgMzE", b"Tracestate:  rojo=00f067aa0ba902b7,,x@y=z")

Start = Callable[..., Node]

TRUSTED = Identity(trusted_from=("127.0.0.1/32",))


def told(node: Node, backend: RawBackend, *lines: bytes) -> tuple[bytes, dict[bytes, list[bytes]]]:
    """The head that the backend gets, and its fields about traces."""
    with node.client() as client:
        client.send(b"\r\n".join([b"GET /x HTTP/1.1", b"Host: shop", *lines, b"", b""]))
        with backend.accept() as server:
            head = server.head()
            server.send(OK)
        assert client.answer()[0] == 200
    fields: dict[bytes, list[bytes]] = {}
    for name, value in re.findall(rb"(?im)^(trace[a-z]+):[ \t]*(.*?)\r$", head):
        fields.setdefault(name.lower(), []).append(value)
    return head, fields


def logged(node: Node, count: int) -> list[Any]:
    return [json.loads(line).get("trace") for line in node.log_lines(count)]


def test_without_a_setting_everything_passes_as_it_came_and_a_valid_trace_is_logged(
    node: Node, legacy: RawBackend
) -> None:
    line = b"TraceParent:   " + VALID
    head, _ = told(node, legacy, line, *STATE)
    assert b"\r\n".join([line, *STATE]) in head
    head, _ = told(node, legacy, b"traceparent: broken")
    assert b"traceparent: broken\r\n" in head
    head, fields = told(node, legacy)
    assert fields == {}
    assert logged(node, 3) == [TRACE.decode(), None, None]


def test_one_is_begun_where_none_came_and_a_valid_one_passes_unchanged(start: Start, legacy: RawBackend) -> None:
    node = start(tracing=Tracing(begin=True, sample_bp=10_000))
    begun = []
    for _ in range(2):
        _, fields = told(node, legacy)
        (value,) = fields[b"traceparent"]
        assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", value)
        begun.append(value[3:35].decode())
    assert begun[0] != begun[1]
    head, _ = told(node, legacy, b"Traceparent: " + VALID, *STATE)
    assert b"\r\n".join([b"Traceparent: " + VALID, *STATE]) in head
    assert logged(node, 3) == [*begun, TRACE.decode()]


@pytest.mark.parametrize(
    "lines",
    [
        (b"traceparent: 00-nothing-01",),
        (b"traceparent: " + VALID, b"traceparent: " + VALID),
        (b"traceparent: " + VALID, b"Connection: keep-alive, traceparent"),
        (),
    ],
)
def test_a_broken_one_is_replaced_and_its_state_goes_with_it(
    start: Start, legacy: RawBackend, lines: tuple[bytes, ...]
) -> None:
    node = start(tracing=Tracing(begin=True, sample_bp=0))
    _, fields = told(node, legacy, *lines, *STATE)
    assert set(fields) == {b"traceparent"}
    (value,) = fields[b"traceparent"]
    assert TRACE not in value
    assert value.endswith(b"-00")


@pytest.mark.parametrize("begin", [False, True])
def test_where_only_trusted_peers_are_heard_nobody_else_puts_a_request_into_a_trace(
    start: Start, legacy: RawBackend, begin: bool
) -> None:
    node = start(tracing=Tracing(begin=begin, trusted_only=True))
    _, fields = told(node, legacy, b"traceparent: " + VALID, *STATE)
    assert set(fields) == ({b"traceparent"} if begin else set())
    assert TRACE not in b"".join(fields.get(b"traceparent", []))
    assert TRACE.decode() not in logged(node, 1)


def test_where_only_trusted_peers_are_heard_they_are(start: Start, legacy: RawBackend) -> None:
    node = start(tracing=Tracing(trusted_only=True), identity=TRUSTED)
    _, fields = told(node, legacy, b"traceparent: " + VALID)
    assert fields == {b"traceparent": [VALID]}


def test_a_backends_own_setting_goes_before(start: Start, legacy: RawBackend) -> None:
    node = start(tracing=Tracing(begin=True), legacy_options={"headers_remove": ("TraceParent",)})
    _, fields = told(node, legacy, b"traceparent: " + VALID)
    assert fields == {}


def test_a_request_that_is_decided_anew_stays_in_its_trace(start: Start, legacy: RawBackend, new: RawBackend) -> None:
    node = start(tracing=Tracing(begin=True))
    plan = a_plan(legacy.url, new.url, tracing=Tracing(begin=True))
    with node.client() as client:
        client.send(b"GET /x HTTP/1.1\r\nHost: shop\r\n\r\n")
        with legacy.accept() as server:
            server.head()
            server.send(OK)
            client.answer()
            # A kept connection that proves stale just as latch and generation changed: everything is decided again.
            client.send(b"GET /x HTTP/1.1\r\nHost: shop\r\n\r\n")
            first = server.head()
            node.do(lambda: node.traffic.swap(build(plan, 2)))
            node.latch = LiveLatch(epoch=node.latch.epoch + 1, entries=())
        with legacy.accept() as server:
            second = server.head()
            server.send(OK)
        assert client.answer()[0] == 200
    value = re.compile(rb"\r\ntraceparent: (.*?)\r\n")
    assert value.findall(first) == value.findall(second)
    assert len(value.findall(second)) == 1


def test_about_the_share_that_is_set_is_sampled_by_ids_alone() -> None:
    (head,) = [build(a_plan("http://a:1", "http://b:2"))]
    assert head.settings.tracing is None
    for share_bp, least, most in ((0, 0, 0), (2_500, 350, 650), (10_000, 2000, 2000)):
        tracer = Tracer(Tracing(begin=True, sample_bp=share_bp))
        contexts = [tracer._begin().context for _ in range(2000)]
        sampled = [context for context in contexts if context is not None and context.sampled]
        assert least <= len(sampled) <= most
        assert all(int(context.trace_id[16:], 16) < share_bp / 10_000 * 2**64 for context in sampled)
