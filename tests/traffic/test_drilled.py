"""Drills, as requests meet them: what the client sees, what reaches the backend, and whom nothing happens to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from proxy.core.care.reaching import EndpointCare
from proxy.core.model import Backend, Fallback
from proxy.core.plan import Area, Identity, Route, Source
from proxy.core.switches.covering import LiveEntry, LiveLatch, Under
from proxy.core.switches.drill import Drill, LiveDrill, read_injection
from proxy.core.switches.latch import Entry, Scope
from proxy.traffic.exchanges.drilling import Drilling
from tests.traffic.test_frozen import freeze
from tests.traffic.wire import OK, Node, RawBackend, eventually

GET = b"GET /new/ HTTP/1.1\r\nHost: shop\r\nX-Account-Id: acme\r\n\r\n"
POST = b"POST /new/ HTTP/1.1\r\nHost: shop\r\nX-Account-Id: acme\r\nContent-Length: 3\r\n\r\nabc"
BY_HEADER = Identity(trusted_from=("127.0.0.1/32",), account=(Source(source="header", name="X-Account-Id", place="-"),))


def drill(fault: str, area: str = "moved", *, name: str = "d1", **keys: object) -> Drill:
    rest: dict[str, object] = {
        "by": "me",
        "reason": "-",
        "at": "-",
        "until": "2027-01-12",
        "until_s": 0.0,
        "boot": "-",
        "uid": 0,
    }
    return Drill(id=name, scope=Scope(area=area), fault=read_injection(fault), **{**rest, **keys})  # type: ignore[arg-type]  # fields by name


class Drilled:
    """A node, and what a worker does for its drills."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.drilling = Drilling(node.traffic)

    def put(self, *drills: Drill, for_s: float = 60.0) -> None:
        ends_s = time.monotonic() + for_s
        self.node.do(lambda: self.drilling.put(tuple(LiveDrill(one, ends_s) for one in drills)))

    def hits(self) -> int:
        return self.node.do(lambda: sum(one.hits for one in self.drilling.tallies()))

    def noticed(self) -> set[str]:
        return self.node.do(lambda: {what for one in self.drilling.tallies() for what in one.noticed})

    @property
    def waiting(self) -> int:
        return self.node.do(lambda: len(self.drilling._waiting))


@pytest.fixture
def drilled(start: Callable[..., Node]) -> Drilled:
    return Drilled(start(identity=BY_HEADER, new_options={"timeout_s": 30.0}))


def roll_back(node: Node, scope: Scope = Scope()) -> None:  # noqa: B008  frozen
    entry = Entry(id="r1", scope=scope, by="me", reason="-", at="-")

    def put() -> None:
        node.latch = LiveLatch(1, [LiveEntry(entry, Under.RUNNING)])
        node.traffic.latch_changed()

    node.do(put)


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        ("status=503", 503, b"new-head-drilled"),
        ("status=429", 429, b"new-head-drilled"),
        ("reset", 502, b"new-head-cut"),
        ("refused", 502, b"new-connect-unreachable"),
    ],
)
@pytest.mark.parametrize("request_", [GET, POST])
def test_a_request_is_answered_instead_of_sent_and_told_as_of_new_and_of_the_drill(
    drilled: Drilled, new: RawBackend, fault: str, status: int, name: bytes, request_: bytes
) -> None:
    drilled.put(drill(fault))
    node = drilled.node
    with node.client() as client:
        for _ in range(2):  # on one connection, which stays open
            client.send(request_)
            got, head, _ = client.answer()
            assert got == status
            assert b"\r\nX-Strangler-Error: " + name + b"\r\n" in head
            assert b"\r\nX-Strangler-Drill: d1\r\n" in head
            assert b"\r\nX-Request-ID: " in head
    assert not new.has_caller()
    assert [json.loads(line)["drill"] for line in node.log_lines(2)] == ["d1", "d1"]
    assert node.count('strangler_drill_faults_total{area="moved",backend="new"') == 2
    assert node.count(f'strangler_requests_total{{area="moved",backend="new",status="{status // 100}xx"}}') == 2
    assert node.count('strangler_faults_total{party="new"') == 2


def test_where_new_seems_to_refuse_connections_legacy_answers_reads_of_an_area_that_says_so(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    area = Area(name="safe", place="-", flag="safe", fallback=Fallback.SAFE)
    route = Route(id="safe/1", area="safe", place="-", path="/safe/**", to=Backend.NEW)
    drilled = Drilled(start(identity=BY_HEADER, areas=(area,), routes=(route,)))
    drilled.put(drill("refused", "safe"))
    with drilled.node.client() as client:
        client.send(GET.replace(b"/new/", b"/safe/"))
        with legacy.accept() as backend:
            assert b"GET /safe/" in backend.head()
            backend.send(OK)
            status, head, _ = client.answer()
        assert status == 200
        assert b"\r\nX-Strangler-Drill: d1\r\n" in head
        client.send(POST.replace(b"/new/", b"/safe/"))
        assert client.answer()[0] == 502
    assert not new.has_caller()
    assert drilled.noticed() == {"unreachable"}


def test_whoever_is_not_trusted_is_not_told_of_the_drill(start: Callable[..., Node]) -> None:
    by_cookie = Identity(account=(Source(source="cookie", name="acct", place="-"),))
    drilled = Drilled(start(identity=by_cookie))
    drilled.put(drill("reset"))
    with drilled.node.client() as client:
        client.send(b"GET /new/ HTTP/1.1\r\nHost: shop\r\nCookie: acct=acme\r\n\r\n")
        status, head, _ = client.answer()
    assert status == 502
    assert b"X-Strangler-Drill" not in head


def test_other_areas_systems_and_requests_without_an_account_pass_untouched(
    drilled: Drilled, new: RawBackend, legacy: RawBackend
) -> None:
    drilled.put(
        drill("reset", "elsewhere"),
        drill("reset", backend=Backend.LEGACY, name="d2"),
        drill("status=500", share_bp=0, name="d3"),
    )
    with drilled.node.client() as client:
        client.send(GET)
        with new.accept() as backend:
            backend.head()
            backend.send(OK)
            assert client.answer()[0] == 200
            drilled.put(drill("reset", name="d4"))
            client.send(b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n")
            backend.head()
            backend.send(OK)
            assert client.answer()[0] == 200
        client.send(b"GET /old/ HTTP/1.1\r\nHost: shop\r\nX-Account-Id: acme\r\n\r\n")
        legacy.serves(client)
    assert drilled.hits() == 0


def test_requests_without_an_account_are_hit_where_the_drill_says_so(drilled: Drilled) -> None:
    drilled.put(drill("status=500", without_account=True))
    with drilled.node.client() as client:
        client.send(b"GET /new/ HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert client.answer()[0] == 500


def test_a_delay_holds_a_request_before_anything_is_sent_and_then_lets_it_through(
    drilled: Drilled, new: RawBackend
) -> None:
    drilled.put(drill("delay=200ms"))
    with drilled.node.client() as client:
        began_s = time.monotonic()
        client.send(POST)
        with new.accept() as backend:
            assert time.monotonic() - began_s > 0.19
            backend.head()
            assert backend.exactly(3) == b"abc"
            backend.send(OK)
        status, head, _ = client.answer()
    assert status == 200
    assert b"\r\nX-Strangler-Drill: d1\r\n" in head
    (line,) = [json.loads(line) for line in drilled.node.log_lines(1)]
    assert line["drill"] == "d1"
    assert line["fault"] is None
    assert line["head_us"] > 190_000


def test_a_delay_beyond_the_backends_time_is_its_time_out_and_nothing_is_sent(
    start: Callable[..., Node], new: RawBackend
) -> None:
    drilled = Drilled(start(identity=BY_HEADER, new_options={"timeout_s": 0.1}))
    drilled.put(drill("delay=60s"))
    with drilled.node.client() as client:
        client.send(GET)
        status, head, _ = client.answer()
    assert status == 504
    assert b"X-Strangler-Error: new-head-timeout" in head
    assert not new.has_caller()


def test_a_rollback_takes_requests_out_of_a_drill_at_once_also_those_that_it_holds(
    drilled: Drilled, legacy: RawBackend, new: RawBackend
) -> None:
    drilled.put(drill("delay=20s"))
    with drilled.node.client() as client:
        client.send(POST)
        eventually(lambda: drilled.waiting == 1, "the request is held")
        roll_back(drilled.node)
        with legacy.accept() as backend:
            assert b"POST /new/" in backend.head()
            backend.exactly(3)
            backend.send(OK)
            assert client.answer()[0] == 200
            drilled.put(drill("status=500", name="d2"), drill("status=500", name="d3", backend=Backend.LEGACY))
            client.send(GET)
            backend.head()
            backend.send(OK)
            assert client.answer()[0] == 200, "not even a drill of legacy stands in a rollback's way"
    assert not new.has_caller()


def test_latch_and_freezes_let_go_of_those_that_they_cover_alone(drilled: Drilled, new: RawBackend) -> None:
    drilled.put(drill("delay=20s"))
    with drilled.node.client() as reader, drilled.node.client() as writer:
        reader.send(GET)
        writer.send(POST)
        eventually(lambda: drilled.waiting == 2, "both are held")
        roll_back(drilled.node, Scope(area="elsewhere"))
        assert drilled.waiting == 2
        freeze(drilled.node, "elsewhere")
        drilled.node.do(drilled.drilling.hurry)
        assert drilled.waiting == 2
        freeze(drilled.node, "moved")
        drilled.node.do(drilled.drilling.hurry)
        status, head, _ = writer.answer()
        assert (status, b"X-Strangler-Error: proxy-request-frozen" in head) == (503, True)
        assert drilled.waiting == 1
    assert not new.has_caller()


def test_the_end_of_a_drill_lets_go_whom_it_holds_and_leaves_nothing_behind(drilled: Drilled, new: RawBackend) -> None:
    drilled.put(drill("delay=20s"))
    with drilled.node.client() as client:
        client.send(GET)
        eventually(lambda: drilled.waiting == 1, "the request is held")
        drilled.put()
        new.serves(client)
    eventually(lambda: drilled.node.do(lambda: drilled.node.traffic.drilling is None), "nobody is asked any more")
    assert drilled.hits() == 1, "what came of it is still told"


def test_it_ends_by_the_workers_own_clock_though_nobody_ended_it(drilled: Drilled, new: RawBackend) -> None:
    drilled.put(drill("reset"), for_s=0.0)
    with drilled.node.client() as client:
        client.send(GET)
        new.serves(client)


@pytest.mark.parametrize("request_", [GET, POST])
def test_a_client_that_leaves_while_it_is_held_has_asked_nothing(
    drilled: Drilled, new: RawBackend, request_: bytes
) -> None:
    drilled.put(drill("delay=20s"))
    with drilled.node.client() as client:
        client.send(request_)
        eventually(lambda: drilled.waiting == 1, "the request is held")
    eventually(lambda: drilled.waiting == 0, "it is let go")
    assert drilled.node.do(lambda: drilled.node.traffic.in_flight) == 0
    assert json.loads(drilled.node.log_lines(1)[0])["fault"] == "client-request-left"
    assert not new.has_caller()


def test_a_slow_body_comes_whole_at_its_pace_and_its_connection_is_not_used_again(
    drilled: Drilled, new: RawBackend
) -> None:
    body = bytes(range(256)) * 40  # 10 KiB, a fifth of a second at this pace
    drilled.put(drill("slow=50KB"))
    with drilled.node.client() as client:
        client.send(GET)
        with new.accept() as backend:
            backend.head()
            began_s = time.monotonic()
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
            status, head, got = client.answer()
            assert time.monotonic() - began_s > 0.1
            assert (status, got) == (200, body)
            assert b"X-Strangler-Drill: d1" in head
            assert backend.ends() == "closed"


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked\r\n", b""])
def test_a_slow_body_without_a_length_ends_as_it_would_have(drilled: Drilled, new: RawBackend, framing: bytes) -> None:
    drilled.put(drill("slow=50KB"))
    body = b"x" * 10_000
    with drilled.node.client() as client:
        client.send(GET)
        with new.accept() as backend:
            backend.head()
            sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if framing else body
            backend.send(b"HTTP/1.1 200 OK\r\n", framing, b"\r\n", sent)
            backend.leave()
        client.head()
        got = client.until(b"0\r\n\r\n")
    assert got.count(b"x") == len(body)


def test_a_slow_drill_leaves_alone_what_may_change_data(drilled: Drilled, new: RawBackend) -> None:
    drilled.put(drill("slow=1B"))
    with drilled.node.client() as client:
        client.send(POST)
        with new.accept() as backend:
            backend.head()
            backend.send(OK)
            assert client.answer()[2] == b"ok"
    assert drilled.hits() == 0


def test_the_end_of_a_drill_lets_a_slow_body_go(drilled: Drilled, new: RawBackend) -> None:
    drilled.put(drill("slow=10B"))
    with drilled.node.client() as client:
        client.send(GET)
        with new.accept() as backend:
            backend.head()
            backend.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"y" * 100_000)
            client.head()
            drilled.put()
            assert client.exactly(100_000) == b"y" * 100_000


def test_injected_faults_hold_no_endpoint_off_but_tell_when_they_would_have(start: Callable[..., Node]) -> None:
    with_two = Drilled(
        start(
            new=("http://127.0.0.1:9", "http://127.0.0.1:10"),
            new_options={"care": EndpointCare(faults=2)},
            identity=BY_HEADER,
        )
    )
    with_two.put(drill("reset"))
    with with_two.node.client() as client:
        for _ in range(20):
            client.send(GET)
            assert client.answer()[0] == 502
    assert with_two.noticed() == {"ejected", "breaker"}
    with_two.put(drill("refused", name="d2"))
    with with_two.node.client() as client:
        client.send(GET)
        assert client.answer()[0] == 502
    assert with_two.noticed() == {"ejected", "breaker", "unreachable"}
    assert with_two.node.count("strangler_endpoint_held_off") == 0
    assert with_two.node.count("strangler_endpoint_ejections_total") == 0
    assert with_two.node.count("strangler_breaker_opened_total") == 0


def test_more_requests_than_may_wait_are_spared(drilled: Drilled, new: RawBackend) -> None:
    drilled.drilling = Drilling(drilled.node.traffic, most_waiting=1)
    drilled.put(drill("delay=20s"))
    with drilled.node.client() as one, drilled.node.client() as other:
        one.send(GET)
        eventually(lambda: drilled.waiting == 1, "the request is held")
        other.send(GET)
        new.serves(other)
        assert [one.spared for one in drilled.node.do(drilled.drilling.tallies)] == [1]
