"""WebSockets as tunnels: asked for, granted by a valid 101 alone, bytes both ways, and their ends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.core.care.reaching import QueueCare
from proxy.core.http.websocket import accept
from proxy.core.limits import Limits
from proxy.core.model import Backend
from proxy.core.plan import Area, Identity, Route, Segment, Source
from proxy.core.switches.covering import NOTHING_ROLLED_BACK, LiveEntry, LiveLatch, Under
from proxy.core.switches.latch import Entry, Scope
from tests.traffic.test_leaving import FLAT_BYTES, fill
from tests.traffic.wire import OK, Node, RawBackend, Wire, a_plan, build, eventually

# The handshake that RFC 6455 §1.3 works through.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def asking(path: bytes = b"/chat", **fields: bytes | None) -> bytes:
    """A handshake; a field of None is left out."""
    given = {
        "Host": b"shop",
        "Connection": b"keep-alive, Upgrade",
        "Upgrade": b"websocket",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": b"13",
    } | {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [b"%b: %b\r\n" % (name.encode(), value) for name, value in given.items() if value is not None]
    return b"GET %b HTTP/1.1\r\n%b\r\n" % (path, b"".join(lines))


def granting(
    version: bytes = b"1.1", upgrade: bytes = b"websocket", connection: bytes = b"Upgrade", accepted: bytes = ACCEPT
) -> bytes:
    return (
        b"HTTP/%b 101 Switching Protocols\r\nUpgrade: %b\r\nConnection: %b\r\nSec-WebSocket-Accept: %b\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n\r\n"
        % (version, upgrade, connection, accepted)
    )


GRANTED = granting()


@contextlib.contextmanager
def tunnel(node: Node, backend: RawBackend, path: bytes = b"/chat", **fields: bytes) -> Iterator[tuple[Wire, Wire]]:
    with node.client() as client:
        client.send(asking(path, **fields))
        with backend.accept() as server:
            server.head()
            server.send(GRANTED)
            assert b" 101 " in client.head()
            yield client, server


def passes(client: Wire, server: Wire, word: bytes = b"ping") -> None:
    """Bytes go both ways."""
    client.send(word)
    assert server.exactly(len(word)) == word
    server.send(word[::-1])
    assert client.exactly(len(word)) == word[::-1]


def ended(node: Node) -> dict[str, object]:
    """The one line that was logged."""
    (line,) = node.log_lines(1)
    told: dict[str, object] = json.loads(line)
    return told


# -- asked for, granted --------------------------------------------------------------------------------------------------


def test_a_valid_101_makes_a_tunnel_and_all_but_the_connection_s_own_passes_untouched(
    node: Node, legacy: RawBackend
) -> None:
    extension = b"permessage-deflate; client_max_window_bits"
    with node.client() as client:
        client.send(asking(Sec_WebSocket_Extensions=extension, sec_webSocket_protocol=b"chat, superchat"))
        with legacy.accept() as server:
            asked = server.head()
            for line in (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: " + KEY):
                assert asked.count(b"\r\n" + line + b"\r\n") == 1
            assert b"\r\nSec-WebSocket-Extensions: " + extension in asked
            assert b"\r\nsec-webSocket-protocol: chat, superchat\r\n" in asked
            assert asked.lower().count(b"connection:") == asked.lower().count(b"upgrade:") == 1
            server.send(GRANTED, b"at once")
            told = client.head()
            assert told.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            for line in GRANTED.split(b"\r\n")[1:-2]:
                assert told.count(line) == 1
            assert client.exactly(7) == b"at once"
            passes(client, server)


def test_who_waits_for_100_and_a_websocket_hears_both_from_the_backend_in_this_order(
    node: Node, legacy: RawBackend
) -> None:
    with node.client() as client:
        client.send(asking(Expect=b"100-continue"))
        with legacy.accept() as server:
            assert b"\r\nexpect: 100-continue\r\n" in server.head().lower()
            server.send(b"HTTP/1.1 100 Continue\r\n\r\n", GRANTED)
            assert client.head().startswith(b"HTTP/1.1 100 ")
            assert client.head().startswith(b"HTTP/1.1 101 ")
            passes(client, server)


def test_the_accept_that_is_asked_for_is_that_of_the_rfc() -> None:
    assert accept(KEY) == ACCEPT


@pytest.mark.parametrize(
    "wrong",
    [
        granting(accepted=b"x" + ACCEPT[1:]),
        granting(upgrade=b"h2c"),
        granting(upgrade=b"websocket, h2c"),
        granting(connection=b"close"),
        granting(version=b"1.0"),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        GRANTED.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Accept: %b\r\n\r\n" % ACCEPT),
    ],
)
def test_any_other_101_is_a_502_and_no_byte_behind_it_passes(node: Node, legacy: RawBackend, wrong: bytes) -> None:
    with node.client() as client:
        client.send(asking())
        with legacy.accept() as server:
            server.head()
            server.send(wrong, b"secret")
            status, head, body = client.answer()
            assert (status, b"legacy-head-malformed" in head, b"secret" in body) == (502, True, False)
            server.ends()
        client.send(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        with legacy.accept() as server:
            assert server.head().startswith(b"GET / ")


@pytest.mark.parametrize(
    "request_head",
    [
        asking(Upgrade=b"h2c", HTTP2_Settings=b"AAMAAABkAAQAAP__"),
        asking(Connection=b"keep-alive"),
        asking(Sec_WebSocket_Key=None),
        asking(Sec_WebSocket_Version=None),
        asking(sec_websocket_key=KEY),
        asking(Connection=b"Upgrade, Sec-WebSocket-Key"),
        asking().replace(b"HTTP/1.1", b"HTTP/1.0"),
        asking().replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"),
        asking(Content_Length=b"2") + b"hi",
    ],
)
def test_what_does_not_ask_properly_is_a_plain_request_and_its_101_a_502(
    node: Node, legacy: RawBackend, request_head: bytes
) -> None:
    with node.client() as client:
        client.send(request_head)
        with legacy.accept() as server:
            asked = server.head().lower()
            assert b"\r\nupgrade:" not in asked
            assert b"connection:" not in asked
            server.send(GRANTED)
            assert client.answer()[0] == 502


def test_of_several_protocols_websocket_alone_is_passed_on(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(asking(Upgrade=b"h2c, WebSocket"))
        with legacy.accept() as server:
            assert b"\r\nUpgrade: websocket\r\n" in server.head()


def test_any_other_answer_is_relayed_and_the_connection_goes_on(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(asking(Sec_WebSocket_Version=b"8"))
        with legacy.accept() as server:
            server.head()
            server.send(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 3\r\n\r\nold")
            status, head, body = client.answer()
            assert (status, b"Sec-WebSocket-Version: 13" in head, body) == (426, True, b"old")
            client.send(asking())
            server.head()
            server.send(GRANTED)
            client.head()
            passes(client, server)
    assert node.count('strangler_backend_connections_opened_total{backend="legacy"}') == 1


@pytest.mark.parametrize("in_one_piece", [True, False])
def test_what_comes_before_the_101_is_held_and_then_sent(node: Node, legacy: RawBackend, *, in_one_piece: bool) -> None:
    with node.client() as client:
        client.send(asking(), b"early" if in_one_piece else b"")
        with legacy.accept() as server:
            server.head()
            if not in_one_piece:
                client.send(b"early")
            server.sock.settimeout(0.1)
            with pytest.raises(TimeoutError):
                server.sock.recv(1)
            server.sock.settimeout(10)
            server.send(GRANTED)
            assert server.exactly(5) == b"early"
            client.head()
            passes(client, server)


def test_what_is_held_is_bounded_and_none_of_it_is_lost(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(asking())
        with legacy.accept() as server:
            server.head()
            sent = fill(client)
            assert sent < FLAT_BYTES
            server.send(GRANTED)
            client.head()
            assert server.exactly(sent) == b"x" * sent


def test_what_came_early_is_never_read_as_a_request_when_the_upgrade_is_refused(node: Node, legacy: RawBackend) -> None:
    with node.client() as client:
        client.send(asking(), b"GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n")
        with legacy.accept() as server:
            server.head()
            server.send(OK)
            status, head, body = client.answer()
            assert (status, b"\r\nConnection: close\r\n" in head, body) == (200, True, b"ok")
            assert client.rest() == b""
    assert len(node.log_lines(1)) == 1


# -- bytes ---------------------------------------------------------------------------------------------------------------


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


# -- the ends ------------------------------------------------------------------------------------------------------------


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


# -- rollback ------------------------------------------------------------------------------------------------------------


def rolled_back(node: Node, **scope: str) -> None:
    entry = Entry(id="r1", scope=Scope(**scope), by="me", reason="smells", at="now")

    def throw() -> None:
        node.latch = LiveLatch(1, [LiveEntry(entry, Under.RUNNING)])
        node.traffic.latch_changed()

    node.do(throw)


def recalling(node: Node) -> int:
    """How many are about to be recalled, once everything has been judged."""

    def look() -> tuple[bool, int]:
        lasting = node.traffic.lasting
        return not lasting._unjudged and lasting._judging is None, len(lasting._timers)

    eventually(lambda: node.do(look)[0], "everything is judged")
    return node.do(look)[1]


AT_ONCE: dict[str, Any] = {"rollback_drain_s": 0.01}


def test_a_rollback_ends_a_tunnel_on_new_and_none_on_legacy(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(**AT_ONCE)
    with tunnel(node, new, b"/new/chat") as (client, server), tunnel(node, legacy) as (other, kept):
        passes(client, server)
        rolled_back(node)
        assert client.rest() == b""
        assert server.ends()
        told = ended(node)
        assert (told["status"], told["fault"], told["closed_by"]) == (101, "proxy-body-rolled_back", "proxy")
        assert recalling(node) == 0
        passes(other, kept)
        with node.client() as back:
            back.send(asking(b"/new/chat"))
            with legacy.accept() as server:
                assert server.head().startswith(b"GET /new/chat ")


def test_a_rollback_ends_what_is_in_its_scope_alone(start: Callable[..., Node], new: RawBackend) -> None:
    other = Route(id="moved/2", area="moved", place="-", path="/other/**", to=Backend.NEW)
    node = start(
        routes=(other,),
        identity=Identity(region=(Source(source="cookie", name="region", place="-"),)),
        **AT_ONCE,
    )
    with tunnel(node, new, b"/new/1", Cookie=b"region=DE") as german, tunnel(node, new, b"/new/2") as kept:
        rolled_back(node, area="shop")
        assert recalling(node) == 0
        rolled_back(node, area="moved", region="DE")
        assert german[0].rest() == b""
        assert recalling(node) == 0
        passes(*kept)


def test_a_tunnel_that_lived_through_a_reload_is_judged_by_what_runs_now(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    by_cookie = Identity(region=(Source(source="cookie", name="region", place="-"),))
    node = start(identity=by_cookie, **AT_ONCE)
    first = node.traffic.wiring.generation
    with tunnel(node, new, b"/new/1", Cookie=b"region=DE") as (client, _), tunnel(node, new, b"/new/2") as kept:
        dach = Segment(name="dach", place="-", regions=("DE",))
        plan = replace(a_plan(legacy.url, new.url, identity=by_cookie, **AT_ONCE), segments=(dach,))

        def reload() -> None:
            node.traffic.swap(build(plan, 2))
            for _ in first.dismantle():
                pass

        node.do(reload)
        rolled_back(node, segment="dach")
        assert client.rest() == b""
        assert recalling(node) == 0
        passes(*kept)


def test_a_tunnel_whose_path_has_moved_to_another_area_is_found_under_both_names(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(**AT_ONCE)
    plan = a_plan(legacy.url, new.url, **AT_ONCE)
    renamed = replace(
        plan,
        areas=tuple(replace(area, name="elsewhere") for area in plan.areas),
        routes=tuple(replace(route, area="elsewhere", id="elsewhere/1") for route in plan.routes),
    )
    for name in ("moved", "elsewhere"):
        with tunnel(node, new, b"/new/chat") as (client, _):
            node.do(lambda: node.traffic.swap(build(renamed, 2)))
            rolled_back(node, area=name)
            assert client.rest() == b""
        node.latch = NOTHING_ROLLED_BACK
        node.do(lambda: node.traffic.swap(build(plan, 3)))


def test_the_ends_are_spread_and_what_is_released_in_time_stays(start: Callable[..., Node], new: RawBackend) -> None:
    node = start(rollback_drain_s=3600.0)
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(tunnel(node, new, b"/new/chat")) for _ in range(8)]
        rolled_back(node)
        assert recalling(node) == 8
        due_s = node.do(lambda: sorted(timer.when() for timer in node.traffic.lasting._timers.values()))
        now_s = node.do(node._loop.time)
        assert due_s[-1] - due_s[0] > 60
        assert due_s[-1] < now_s + 3600
        node.latch = NOTHING_ROLLED_BACK
        for held in node.do(lambda: list(node.traffic.lasting._timers)):
            node.do(lambda one=held: node.traffic.lasting._recall(one))  # type: ignore[misc]  # mypy loses the default
        for client, server in pairs:
            passes(client, server)


def test_a_handshake_that_a_rollback_overtakes_is_ended_as_soon_as_it_is_a_tunnel(
    start: Callable[..., Node], new: RawBackend
) -> None:
    node = start(**AT_ONCE)
    with node.client() as client:
        client.send(asking(b"/new/chat"))
        with new.accept() as server:
            server.head()
            rolled_back(node)
            server.send(GRANTED)
            client.head()
            assert client.rest() == b""


def test_a_reload_that_brings_a_tunnel_under_a_standing_rollback_ends_it(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(**AT_ONCE)
    with tunnel(node, new, b"/new/chat") as (client, server):
        rolled_back(node, area="elsewhere")
        assert recalling(node) == 0
        passes(client, server)
        route = Route(id="elsewhere/1", area="elsewhere", place="-", path="/new/chat", to=Backend.NEW)
        elsewhere = Area(name="elsewhere", place="-", flag="elsewhere")
        plan = a_plan(legacy.url, new.url, areas=(elsewhere,), routes=(route,), **AT_ONCE)
        node.do(lambda: node.traffic.swap(build(plan, 2)))
        assert client.rest() == b""


# -- event streams -------------------------------------------------------------------------------------------------------

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n"


@contextlib.contextmanager
def stream(node: Node, backend: RawBackend, path: bytes, head: bytes = STREAM) -> Iterator[tuple[Wire, Wire]]:
    with node.client() as client:
        client.send(b"GET %b HTTP/1.1\r\nHost: shop\r\n\r\n" % path)
        with backend.accept() as server:
            server.head()
            server.send(head, b"data: 1\n\n")
            assert client.until(b"data: 1\n\n")
            yield client, server


def test_a_rollback_cuts_event_streams_of_new_and_nothing_else(
    start: Callable[..., Node], legacy: RawBackend, new: RawBackend
) -> None:
    node = start(**AT_ONCE)
    plain = STREAM.replace(b"Text/Event-Stream", b"text/plain")
    with (
        stream(node, new, b"/new/events") as (client, server),
        stream(node, legacy, b"/events") as (kept, _),
        stream(node, new, b"/new/report", plain) as (report, reporter),
    ):
        rolled_back(node)
        assert client.rest() == b"\r\n"  # of the chunk that was there: the last one never comes
        assert server.ends()
        told = ended(node)
        assert (told["status"], told["fault"]) == (200, "proxy-body-rolled_back")
        assert recalling(node) == 0
        reporter.leave()
        assert report.until(b"0\r\n\r\n")
        assert kept.buffer == b"\r\n"
