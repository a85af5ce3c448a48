"""A rollback ends the WebSockets and event streams that are on new, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from proxy.core.model import Backend
from proxy.core.plan import Area, Identity, Route, Segment, Source
from proxy.core.switches.covering import NOTHING_ROLLED_BACK, LiveEntry, LiveLatch, Under
from proxy.core.switches.latch import Entry, Scope
from tests.traffic.lasting import GRANTED, STREAM, asking, ended, passes, stream, tunnel
from tests.traffic.wire import Node, RawBackend, a_plan, build, eventually


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
