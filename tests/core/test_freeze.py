"""Freezes: for how long, on which clock, and which requests lie in their scope."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.deciding.decision import Decision, decide
from proxy.core.generation import Generation
from proxy.core.http.message import read_request_head
from proxy.core.model import Backend
from proxy.core.switches.bounded import LONGEST_S, Clock, SeveralUnreadable, decode_several, encode_several
from proxy.core.switches.covering import NOTHING_ROLLED_BACK
from proxy.core.switches.freeze import NOTHING_FROZEN, Freeze, Freezes, LiveFreeze, freezing, writes
from proxy.core.switches.latch import Scope
from tests.core.plans import area, live, plan, route

NOW_S = 1_800_000_000.0


def clock(*, boot: str = "this", monotonic_s: float = 100.0, unix_s: float = NOW_S) -> Clock:
    return Clock(boot=boot, monotonic_s=monotonic_s, unix_s=unix_s)


def thrown(scope: Scope | None = None, *, for_s: float = 120.0, name: str = "z1") -> Freeze:
    until = dt.datetime.fromtimestamp(NOW_S + for_s, dt.UTC).isoformat().replace("+00:00", "Z")
    return Freeze(
        id=name,
        scope=scope or Scope(area="orders"),
        by="ann",
        reason="moving data",
        at="-",
        until=until,
        until_s=100.0 + for_s,
        boot="this",
    )


def test_before_a_reboot_the_monotonic_clock_counts_whatever_the_wall_clock_says() -> None:
    assert thrown().left_s(clock(monotonic_s=130.0, unix_s=0.0)) == 90.0
    assert thrown().left_s(clock(monotonic_s=220.0, unix_s=0.0)) == 0.0


def test_after_a_reboot_the_wall_clock_counts() -> None:
    assert thrown().left_s(clock(boot="next", monotonic_s=1.0, unix_s=NOW_S + 100.0)) == pytest.approx(20.0)


@given(st.floats(1.0, 1e9), st.sampled_from(["this", "next"]), st.floats(-1e9, 1e9))
def test_nothing_makes_a_freeze_last_longer_than_15_minutes(for_s: float, boot: str, shift_s: float) -> None:
    freeze = thrown(for_s=min(for_s, 1e9))
    assert freeze.left_s(clock(boot=boot, monotonic_s=100.0 + shift_s, unix_s=NOW_S + shift_s)) <= LONGEST_S


def test_the_file_gives_back_what_was_written_and_leaves_out_keys_that_narrow_nothing() -> None:
    freezes = NOTHING_FROZEN.adding(thrown())
    assert decode_several(encode_several(freezes), Freezes) == freezes
    assert b"segment" not in encode_several(freezes)


@pytest.mark.parametrize("text", [b"", b"{", b'{"version": 2}', b'{"version": 1, "epoch": 0, "more": 1}', b"\xff"])
def test_a_file_that_is_none_is_unreadable(text: bytes) -> None:
    with pytest.raises(SeveralUnreadable):
        decode_several(text, Freezes)


def test_an_end_that_is_no_time_is_unreadable() -> None:
    with pytest.raises(SeveralUnreadable):
        decode_several(encode_several(NOTHING_FROZEN.adding(thrown())).replace(b'"until": "2', b'"until": "x'), Freezes)


def test_the_same_scope_frozen_again_is_one_freeze_with_another_end() -> None:
    pilots = thrown(Scope(area="orders", segment="pilots"), name="z2")
    freezes = NOTHING_FROZEN.adding(thrown()).adding(pilots)
    longer = freezes.adding(thrown(for_s=300.0))
    assert longer.entries == (thrown(for_s=300.0), pilots)
    assert longer.epoch == 3
    assert longer.ending(Scope(area="orders")) == Freezes(epoch=4, entries=(pilots,))


def test_what_is_over_is_no_longer_in_force() -> None:
    freezes = NOTHING_FROZEN.adding(thrown(for_s=10.0)).adding(thrown(Scope(area="help"), name="z2"))
    assert [one.id for one in freezes.lasting(clock(monotonic_s=110.0)).entries] == ["z2"]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
def test_reading_passes(method: bytes) -> None:
    assert not writes(method)


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE", b"TRACE", b"REPORT", b"get"])
def test_every_other_method_is_held_up(method: bytes) -> None:
    assert writes(method)


def test_a_client_is_told_whole_seconds_and_one_at_least() -> None:
    assert LiveFreeze(thrown(), ends_s=10.2).retry_after_s(now_s=5.0) == 6
    assert LiveFreeze(thrown(), ends_s=10.2).retry_after_s(now_s=10.2) == 1


def decided(generation: Generation, path: str, *lines: str) -> Decision:
    head = read_request_head("\r\n".join([f"POST {path} HTTP/1.1", "Host: shop", *lines]).encode())
    return decide(generation, head, peer_trusted=True, latch=NOTHING_ROLLED_BACK)


def found(decision: Decision, *scopes: Scope) -> list[str]:
    live_ones = [LiveFreeze(thrown(scope, name=str(at)), ends_s=at) for at, scope in enumerate(scopes)]
    frozen = freezing(decision, live_ones)
    return [] if frozen is None else [frozen.freeze.id]


def test_an_area_is_frozen_also_where_it_is_retired_or_fixed() -> None:
    generation = live(
        plan(
            route("/orders/**"),
            route("/help/**", area="help", to=Backend.NEW),
            route("/blog/**", area="blog"),
            areas=(area("orders"), area("help"), area("blog", retired=True)),
        )
    )
    assert found(decided(generation, "/help/"), Scope(area="help")) == ["0"]
    assert found(decided(generation, "/blog/"), Scope(area="blog")) == ["0"]
    assert found(decided(generation, "/orders/1"), Scope(area="help")) == []
    assert found(decided(generation, "/elsewhere"), Scope(area="help")) == []


def test_of_several_the_one_that_lasts_longest_is_told() -> None:
    generation = live(plan(route("/orders/**")))
    assert found(decided(generation, "/orders/1"), Scope(area="orders"), Scope(area="orders", segment="gone")) == ["1"]


def test_a_segment_that_can_not_be_judged_counts_as_in_scope() -> None:
    generation = live(plan(route("/orders/**")))
    assert found(decided(generation, "/orders/1"), Scope(area="orders", segment="gone")) == ["0"]
