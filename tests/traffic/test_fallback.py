"""`fallback: safe`: legacy answers reads in place of new, when new can't be reached at all, and never otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from proxy.core.care.probing import endpoint_name
from proxy.core.care.reaching import BreakerCare, EndpointCare, QueueCare, Retries
from proxy.core.model import Backend, Fallback
from proxy.core.plan import Area, Route
from tests.traffic.test_queue import busy, waits
from tests.traffic.wire import OK, Node, RawBackend, Wire, eventually, fault_of

LONG = BreakerCare(least=1, first_s=3600.0, longest_s=3600.0)
OFF = BreakerCare(share_bp=0)


def falling(name: str = "safe", *, retired: bool = False, **keys: str) -> dict[str, object]:
    """An area that lets legacy answer, as arguments of `a_plan`."""
    area = Area(name=name, place="-", flag=name, fallback=Fallback.SAFE, retired=retired)
    route = Route(id=f"{name}/1", area=name, place="-", path=f"/{name}/**", to=None if retired else Backend.NEW, **keys)  # type: ignore[arg-type]
    return {"areas": (area,), "routes": (route,)}


def get(path: str = "/safe/1", method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: shop\r\n{more}\r\n".encode()


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_legacy_answers_a_read_when_new_takes_no_connection_and_it_counts_as_failure_of_new(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend, method: str
) -> None:
    new.stop_listening()
    node = start(
        **falling(rewrite_new="/v2/**", rewrite_legacy="/old/**"),
        new_options={"breaker": OFF, "headers_set": (("X-Edge", "new"),)},
        cookies_new=("sid",),
        cookies_legacy=("JSESSIONID",),
    )
    with node.client() as client:
        client.send(get("/safe/1?q=%41", method, "Cookie: sid=1; JSESSIONID=2\r\n"))
        with legacy.accept() as wire:
            head = wire.head()
            wire.send(OK)
            assert client.answer()[0] == 200
    assert head.startswith(f"{method} /old/1?q=%41 HTTP/1.1\r\n".encode())  # legacy's own rewrite, headers, cookies
    assert b"Cookie: JSESSIONID=2\r\n" in head
    assert b"X-Edge" not in head
    line = json.loads(node.log_lines(1)[0])
    assert (line["status"], line["backend"], line["reason"], line["fault"]) == (200, "legacy", "fallback", None)
    assert node.count('strangler_faults_total{party="new",stage="connect",kind="unreachable",backend="new"}') == 1
    assert node.count('strangler_fallbacks_total{area="safe"}') == 1
    assert node.count('strangler_decisions_total{area="safe",backend="legacy",reason="fallback"}') == 1
    assert node.do(lambda: [load.in_flight for load in node.traffic._loads.values()]) == [0, 0]


@pytest.mark.parametrize(
    "request_",
    [
        get("/new/1"),  # its area doesn't say so
        b"POST /safe/1 HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n",
        b"GET /safe/1 HTTP/1.1\r\nHost: shop\r\nContent-Length: 2\r\n\r\nhi",
        get(
            more="Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        ),
        get("/safe/1", "TRACE"),
    ],
)
def test_nothing_else_falls_back(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend, request_: bytes
) -> None:
    new.stop_listening()
    node = start(**falling(), new_options={"breaker": OFF})
    with node.client() as client:
        client.send(request_)
        status, head, _ = client.answer()
    assert (status, fault_of(head)) == (502, b"new-connect-unreachable")
    assert not legacy.has_caller()


def test_a_retired_area_never_falls_back(start: Callable[..., Node], legacy: RawBackend, new: RawBackend) -> None:
    new.stop_listening()
    node = start(**falling(retired=True))
    with node.client() as client:
        client.send(get())
        assert client.answer()[0] == 502
    assert not legacy.has_caller()


def test_one_endpoint_that_can_be_reached_is_enough(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend, refusing: Callable[[], RawBackend]
) -> None:
    dead = refusing()
    node = start(**falling(), new=(dead.url, new.url))
    node.prefer(dead.url)
    with node.client() as client:
        client.send(get())
        new.serves(client)
    assert not legacy.has_caller()


def test_an_open_breaker_lets_reads_fall_back(start: Callable[..., Node], legacy: RawBackend, new: RawBackend) -> None:
    node = start(**falling(), new_options={"breaker": LONG})
    with node.client() as client:
        client.send(get())
        with new.accept() as wire:
            wire.head()
            wire.leave()
            status, head, _ = client.answer()
        assert (status, fault_of(head)) == (502, b"new-head-cut")  # once a byte was sent it is new's alone
        client.send(get())
        legacy.serves(client)
        client.send(b"POST /safe/1 HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
        status, head, _ = client.answer()
        assert (status, fault_of(head)) == (503, b"new-connect-tripped")
    assert node.count('strangler_faults_total{party="new",stage="connect",kind="tripped",backend="new"}') == 2
    assert not new.has_caller()


def test_where_no_endpoint_is_healthy_nobody_waits_for_one(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(**falling(), new_options={"care": EndpointCare(first_s=3600.0, longest_s=3600.0)})
    node.do(lambda: node.traffic.heed_probes(frozenset({endpoint_name(Backend.NEW, new.url)})))
    with node.client() as client:
        client.send(get())
        legacy.serves(client)
        assert not new.has_caller()
        node.do(lambda: node.traffic.heed_probes(frozenset()))
        client.send(get())
        new.serves(client)


def test_a_full_backend_is_no_reason_to_fall_back(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(**falling(), new_options={"max_in_flight": 1, "queue": QueueCare(most=0)})
    with busy(node, new, "/new/1"), node.client() as client:
        client.send(get())
        status, head, _ = client.answer()
    assert (status, fault_of(head)) == (503, b"new-connect-busy")
    assert not legacy.has_caller()


@pytest.mark.parametrize("most", [1, None])
def test_a_fallback_takes_no_place_from_requests_of_legacys_own(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend, most: int | None
) -> None:
    new.stop_listening()
    options = {"max_in_flight": most, "queue": QueueCare(most=1, wait_s=3600.0), "breaker": LONG}
    node = start(**falling(), legacy_options=options, new_options={"breaker": OFF})
    with ExitStack() as stack:
        client, own = (stack.enter_context(node.client()) for _ in range(2))
        wire = stack.enter_context(busy(node, legacy))
        if most is None:
            wire.leave()  # which opens the breaker
            eventually(lambda: node.count('strangler_breaker_open{backend="legacy"') == 1, "the breaker is open")
        client.send(get())
        status, head, _ = client.answer()
        assert (status, fault_of(head)) == (502, b"new-connect-unreachable")
        if most is not None:
            waits(node, own, get("/own"))
            client.send(get())
            assert client.answer()[0] == 502
            wire.send(OK)
            assert wire.head().startswith(b"GET /own ")
            wire.send(OK)
            assert own.answer()[0] == 200
    assert node.count("strangler_fallbacks_total") == 0


def test_an_error_that_new_answers_stays_its_answer(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(**falling())
    with node.client() as client:
        client.send(get())
        with new.accept() as wire:
            wire.head()
            wire.send(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")
            assert client.answer()[0] == 503
    assert not legacy.has_caller()


def test_what_went_out_on_a_stale_connection_does_not_fall_back(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(**falling(), new_options={"breaker": OFF})
    with node.client() as client:
        client.send(get())
        with new.accept() as wire:
            wire.head()
            wire.send(OK)
            assert client.answer()[0] == 200
            new.stop_listening()
            client.send(get())
            wire.head()  # it was sent
            wire.leave()
            status, head, _ = client.answer()
    assert (status, fault_of(head)) == (502, b"new-connect-unreachable")
    assert not legacy.has_caller()


def test_a_trial_that_finds_nobody_falls_back_and_leaves_the_breaker_open(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    new.stop_listening()
    node = start(**falling(), new_options={"breaker": BreakerCare(least=1, first_s=0.01, longest_s=0.01)})
    with node.client() as client:
        wires: list[Wire] = []
        for _ in range(12):
            client.send(get())
            if not wires:
                wires.append(legacy.accept())
            wires[0].head()
            wires[0].send(OK)
            assert client.answer()[0] == 200
        wires[0].leave()
    assert node.count("strangler_breaker_open{") == 1
    assert node.count('strangler_fallbacks_total{area="safe"}') == 12


def test_legacy_answers_when_no_retry_is_left_for_an_endpoint_that_was_down_a_moment_ago(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    other = RawBackend()
    for backend in (new, other):
        backend.close()
    care = EndpointCare(first_s=3600.0, longest_s=3600.0)
    node = start(
        **falling(),
        new=(new.url, other.url),
        new_options={"breaker": OFF, "care": care, "retries": Retries(percent=0, per_second=0)},
    )
    node.prefer(new.url)
    with node.client() as client:
        client.send(get())
        assert client.answer()[0] == 502  # of the other one nobody knows
        client.send(get())  # that one is asked now
        legacy.serves(client)
    assert node.count('strangler_faults_total{party="new",stage="connect",kind="unreachable",backend="new"}') == 2
